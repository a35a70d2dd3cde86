"""Redaction of many texts at once: Arrow in, Arrow out, and only what was changed."""

from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fl_assets.events.redaction.engine import changed_of
from fl_assets.events.redaction.views import TRIGGER

_ONE_AT_A_TIME = Lock()
"""RE2 gives Python's lock away for each search: two threads that redact would hand it to each other a hundred
thousand times, which takes as long as redaction.
"""


def redact_many(texts: pa.StringArray, chosen: np.ndarray) -> tuple[np.ndarray, pa.Array, pa.Array]:
    """Redact some of many texts.

    Args:
        texts: distinct, none null.
        chosen: (texts,) bool, false where nothing can be masked.

    Returns:
        Of each text, its place among those that were changed, or -1 (int64); those, redacted; and what was
        masked in each: the name of its entity for each value, each with a blank behind it.
    """
    places = np.full(len(texts), -1)
    redacted: list[bytes] = []
    masked: list[str] = []
    (at,) = np.nonzero(chosen)
    given = texts.filter(pa.array(chosen)).cast(pa.binary())
    order = pc.sort_indices(given)  # those that begin alike mostly need the same rules, or none
    at, given = at[order.to_numpy()], given.take(order)
    have_views = pc.match_substring_regex(given, TRIGGER).to_pylist()
    with _ONE_AT_A_TIME:
        for place, after, counts in changed_of(given.to_pylist(), have_views):
            places[at[place]] = len(redacted)
            redacted.append(after)
            masked.append("".join(f"{entity} " * count for entity, count in counts.items()))
    return places, pa.array(redacted, pa.binary()).cast(pa.string()), pa.array(masked, pa.string())
