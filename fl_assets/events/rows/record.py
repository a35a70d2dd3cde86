"""What kinds of files share: the error, the most that a record may be, and a value as JSON.

What goes here: nothing that knows a kind.
"""

import ast
from typing import Any, Literal

import orjson

from fl_assets.events.formats.seam import MAX_DOCUMENT_BYTES
from fl_assets.events.formats.values import cut

MAX_RECORD_BYTES = MAX_DOCUMENT_BYTES
"""Largest record that is read, as it is in the file and as a line of JSON."""


_MAX_QUOTED = 1024 * 1024
"""Characters of a cell in single quotes: it takes some hundred times that to read it."""


class BadRowsError(ValueError):
    """A file is damaged, or holds a record larger than any that is read."""

    def __init__(self, message: str, reason: Literal["damaged_file", "over_limit"] = "damaged_file") -> None:
        super().__init__(message)
        self.reason: Literal["damaged_file", "over_limit"] = reason


def value_of(cell: str) -> Any:
    """Give a cell that is an object or a list as that, an empty one as None, others as their text.

    It may be JSON, or in single quotes, as ClickHouse and data frames write maps and lists.
    """
    if cell[:1] not in {"{", "["}:
        return cell or None
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        is_quoted = cell.startswith(("{'", "['", "[{'")) and len(cell) <= _MAX_QUOTED
    try:
        value = ast.literal_eval(cell) if is_quoted else cell
        line_of(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return cell
    return value


def as_texts(value: Any) -> Any:
    """Give a value with the texts that were written as bytes, be they names, as texts."""
    if isinstance(value, bytes):
        return _plain(value)
    if isinstance(value, dict):
        return {as_texts(name): as_texts(item) for name, item in value.items()}
    return [as_texts(item) for item in value] if isinstance(value, list) else value


def line_of(record: Any) -> bytes:
    """Write a record as a line of JSON; times without a zone are UTC, bytes are text or else hex.

    What is nested too deep is left out.
    """
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(record, default=_plain, option=option)
    except orjson.JSONEncodeError:
        return orjson.dumps(cut(record), default=_plain, option=option)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return raw.hex()
        return text if text.isprintable() or any(letter in text for letter in "\n\r\t") else raw.hex()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    try:
        return float(value)  # decimals
    except (TypeError, ValueError):
        return str(value)
