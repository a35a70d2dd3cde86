"""Redaction of many texts at once: Arrow in, Arrow out, and only what was changed."""

import numpy as np
import pyarrow as pa

from fl_assets.events.redaction.engine import redact_all


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
    given = texts.filter(pa.array(chosen)).cast(pa.binary()).to_pylist()
    for place, text, (after, counts) in zip(
        np.flatnonzero(chosen).tolist(), given, redact_all(given), strict=True
    ):
        if after != text:
            places[place] = len(redacted)
            redacted.append(after)
            masked.append("".join(f"{entity} " * count for entity, count in counts.items()))
    return places, pa.array(redacted, pa.binary()).cast(pa.string()), pa.array(masked, pa.string())
