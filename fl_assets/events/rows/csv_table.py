"""CSV tables with a line of names: a record a row.

Langfuse's export of observations, traces and scores, ClickHouse's CSVWithNames, data frames.

What goes here: telling a table from other text, cells as values. What does not: what a row means
(`formats/`).
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
    """Whether a file begins with a line of names, of which there are at least three."""
    first, end, _ = start.removeprefix(codecs.BOM_UTF8).partition(b"\n")
    return bool(end) and _separator(first.decode("utf-8", "replace")) is not None


def _separator(header: str) -> str | None:
    """Say what stands between the names of a header; None where it is none."""
    for separator in _SEPARATORS:
        if header.count(separator) < _FEWEST_COLUMNS - 1:
            continue
        try:
            names = next(csv.reader([header], delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        # a data frame's index comes first, without a name or with that of a column
        repeats = len(names) - len(set(names))
        are_names = all(map(_NAME.fullmatch, names[1:] if names[:1] == [""] else names))
        is_header = are_names and repeats <= 1 and len(set(names)) >= _FEWEST_COLUMNS
        if is_header:
            return separator
    return None


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Give each row as a line of JSON; empty cells are null, cells that are JSON become values.

    Raises:
        BadRowsError: where a cell is larger than any record that is read.
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
        message = f"CSV that cannot be read: {error}"
        raise BadRowsError(message) from error
    finally:
        text.detach()
