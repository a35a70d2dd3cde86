"""CSV tables with a header: one record per row.

Such are Langfuse's exports of observations, traces and scores, ClickHouse's CSVWithNames, and data frames.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError, line_of, value_of

_NAME = re.compile(r"[A-Za-z_][\w.\-]{0,119}")
_SEPARATORS = ",\t;"
_FEWEST_COLUMNS = 3


def matches(start: bytes) -> bool:
    """Whether a file begins with a header of at least three names."""
    first, end, _ = start.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    return bool(end) and _separator(first.decode("utf-8", "replace")) is not None


def _separator(header: str) -> str | None:
    """Return the separator of a header; None where the line is none."""
    if header[:1] in ("{", "["):
        return None  # JSON; making a reader costs more than anything else that is asked of a small file
    for separator in _SEPARATORS:
        if header.count(separator) < _FEWEST_COLUMNS - 1:
            continue
        try:
            names = next(csv.reader([header], delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        # a data frame's index comes first, unnamed or named like a column
        repeats = len(names) - len(set(names))
        are_names = all(map(_NAME.fullmatch, names[1:] if names[:1] == [""] else names))
        is_header = are_names and repeats <= 1 and len(set(names)) >= _FEWEST_COLUMNS
        if is_header:
            return separator
    return None


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each row as a line of JSON; empty cells are null, cells with JSON become values.

    Raises:
        BadRowsError: a cell is too large.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    try:
        header = text.readline(MAX_RECORD_BYTES)
        separator = _separator(header.rstrip("\r\n")) or ","
        names = next(csv.reader([header], delimiter=separator))
        csv.field_size_limit(MAX_RECORD_BYTES)
        for row in csv.reader(text, delimiter=separator):
            if row:
                record = zip(names, row, strict=False)
                yield line_of({name: value_of(cell) for name, cell in record if name})
    except csv.Error as error:
        raise BadRowsError(f"CSV that cannot be read: {error}") from error
    finally:
        text.detach()
