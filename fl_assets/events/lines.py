"""Lines between reading a file (`read.py`) and staging."""

from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa

from fl_assets.events.read import BATCH_SCHEMA
from fl_assets.infra.time_limit import Watch

BATCH_BYTES = 32 * 1024 * 1024
_MANY_BATCHES = 64
"""Tables of more batches are copied to one: each batch has a fixed cost later."""


class FollowedLines:
    """Lines of a file, which can be resumed after the line that a reader failed over.

    Attributes:
        done: number of the last line that yielded a result.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]], watch: Watch) -> None:
        self._lines, self._watch = lines, watch
        self._again: list[tuple[int, bytes]] = []
        self._given: list[tuple[int, bytes]] = []
        self.done = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._given = []
        for pair in chain(self._again, self._lines):
            self._again = [one for one in self._again if one[0] > pair[0]]
            self._given = [*self._given[-2:], pair]
            self._watch.check()
            yield pair

    def skip_bad(self) -> tuple[int, bytes]:
        """Return the number and start of the line that a reader failed over; iteration resumes after it.

        Readers look ahead by two lines at the start; a second line that was only looked at is repeated.
        """
        if not self._given:
            return self.done, b""
        is_at_first = len(self._given) == 2 and self.done < self._given[0][0]
        number, line = self._given[0 if is_at_first else -1]
        self._again = [self._given[1]] if is_at_first else []
        return number, line[:4096]


def tables_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Combine batches to tables of about BATCH_BYTES."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.get_total_buffer_size()
        if size >= BATCH_BYTES:
            yield _table(held)
            held, size = [], 0
    if held:
        yield _table(held)


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(batches, schema=BATCH_SCHEMA)
    return table.combine_chunks() if len(batches) > _MANY_BATCHES else table
