"""Redaction of many texts at once: Arrow in, Arrow out, and only what was changed."""

import numpy as np
import pyarrow as pa

from fl_assets.events.redaction.engine import redact_bytes


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
    _, offsets_buffer, data = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    content = memoryview(data or b"")
    for place in np.flatnonzero(chosen).tolist():
        text = bytes(content[offsets[place] : offsets[place + 1]])
        after, counts = redact_bytes(text)
        if after != text:
            places[place] = len(redacted)
            redacted.append(after)
            masked.append("".join(f"{entity} " * count for entity, count in counts.items()))
    return places, pa.array(redacted, pa.binary()).cast(pa.string()), pa.array(masked, pa.string())
