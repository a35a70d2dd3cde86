"""Files that are no lines of JSON: converted to such lines, one record each, which the formats then read.

What goes here: the list of kinds. What does not: a kind (one file each), what a record means (`formats/`),
compression (`unpack.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fl_assets.events.rows import cloudwatch, container_logs, csv_table, inspect_eval, otlp_protobuf, parquet
from fl_assets.events.rows.record import BadRowsError

__all__ = ["ROW_FILES", "BadRowsError", "RowFile", "row_file_of"]


@dataclass(frozen=True)
class RowFile:
    """One kind of file.

    `matches(start)` looks at its first bytes, some 4 KiB.
    `lines(file)` yields records as lines of JSON with line ends, one (of Parquet, one batch) at a time, and
    raises `BadRowsError` at damage, after what was good.
    """

    name: str
    matches: Callable[[bytes], bool]
    lines: Callable[[BinaryIO], Iterator[bytes]]
    is_seekable: bool
    """Whether reading needs to seek, so that it cannot be inside other packing."""


ROW_FILES = {
    kind.name: kind
    for kind in (
        RowFile("parquet", parquet.matches, parquet.lines, is_seekable=True),
        RowFile("inspect_eval", inspect_eval.matches, inspect_eval.lines, is_seekable=True),
        RowFile("otlp_protobuf", otlp_protobuf.matches, otlp_protobuf.lines, is_seekable=False),
        RowFile("cloudwatch", cloudwatch.matches, cloudwatch.lines, is_seekable=False),
        RowFile("container_log", container_logs.matches, container_logs.lines, is_seekable=False),
        RowFile("csv", csv_table.matches, csv_table.lines, is_seekable=False),
    )
}
"""By name, in the order in which they are tried."""


def row_file_of(start: bytes, *, is_packed: bool = False) -> str | None:
    """Return the kind of a file by its first bytes; None for text and anything else.

    What `is_packed` was unpacked, so that it cannot seek.
    """
    fitting = (kind for kind in ROW_FILES.values() if not (is_packed and kind.is_seekable))
    return next((kind.name for kind in fitting if kind.matches(start)), None)
