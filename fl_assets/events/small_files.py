"""Many small files, put together: what a file costs must not be the cost of a batch.

What goes here: whole native files of few lines, and one batch of the lines of many. What does not: reading a
file that is large, packed, still written or in any way odd (`read.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fl_assets.events.read import BATCH_SCHEMA, SHORTEST_EVENT, Reading, split

_TOGETHER_BYTES = 1024 * 1024
_SMALL_BYTES = 16 * 1024
"""Of a file beyond, what its batch costs no longer matters, and the time that it takes is watched."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file whose lines are all complete, in ASCII, and of a length that is read."""

    number: int
    content: bytes
    lines: int


def small_file(reading: Reading, number: int, head: bytes, *, most: int) -> SmallFile | None:
    """Return a file that its first bytes are all of, noted in `reading` as read; None for any other."""
    source = reading.source
    if source.coding or source.offset or not len(head) == source.size <= _SMALL_BYTES:
        return None
    if not head.isascii() or head[-1:] != b"\n":
        return None
    lines = head.split(b"\n")[:-1]
    if not SHORTEST_EVENT <= min(map(len, lines)) <= max(map(len, lines)) <= most:
        return None
    reading.end_lines, reading.end_offset = len(lines), source.size
    return SmallFile(number, head, len(lines))


def put_together(found: Iterable[pa.RecordBatch | SmallFile]) -> Iterator[pa.RecordBatch]:
    """Give batches in their order, those of small files that follow each other as one."""
    held: list[SmallFile] = []
    size = 0
    for one in found:
        if isinstance(one, SmallFile):
            held.append(one)
            size += len(one.content)
            if size < _TOGETHER_BYTES:
                continue
        if held:
            yield _batch_of(held)
            held, size = [], 0
        if not isinstance(one, SmallFile):
            yield one
    if held:
        yield _batch_of(held)


def _batch_of(files: list[SmallFile]) -> pa.RecordBatch:
    _, lines = split(b"".join(one.content for one in files))
    counts = np.array([one.lines for one in files])
    numbers = np.repeat(np.array([one.number for one in files], dtype=np.int32), counts)
    within = np.arange(len(lines), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return pa.RecordBatch.from_arrays([pa.array(numbers), pa.array(within), lines], schema=BATCH_SCHEMA)
