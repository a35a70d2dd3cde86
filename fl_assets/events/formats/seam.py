"""What a format is to the engine: a name, a test of a file's first bytes, and a way from lines to rows.

What goes here: the records of the seam, and the one reader of JSON that all formats share. What does not: any format
(one file each, beside this one), files, compression, redaction and quarantine (the engine's).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Any, Literal

import orjson

Lines = Iterable[tuple[int, bytes]]
"""Numbered lines of one file, from 1, with or without their line ends."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Largest document of many lines, and largest single line of a format, that is parsed: what it takes in memory is some six times that."""

RefusedReason = Literal[
    "bad_json", "bad_span", "bad_record", "unsupported_format", "wrong_time_unit", "before_start", "not_used"
]
"""`wrong_time_unit`: milliseconds, say, in a field of nanoseconds; `before_start`: older than the first day that is analysed; `not_used`: no call, no turn."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event (or, for table `error_records`, that table's row) as one line of JSON, and the line it came from."""

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """What became no event: line (0 for the file as a whole), reason, and what was found; the engine quarantines it."""

    line: int
    reason: RefusedReason
    detail: str
    events: int = 1
    """How many events are lost by it; 0 for what was read and is rightly left out, which never counts as broken."""


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may want to know of the deployment."""

    start: date | None = None
    """First day that is analysed: what ended before it is left out, and said to be."""
    node_attributes: tuple[str, ...] = ()
    """Attributes that name the node, in order of preference; empty for the built-in order."""


DEFAULT_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class Format:
    """One input format.

    `matches(name, head)` looks at the file's name and its first bytes (decompressed, some 64 KiB, perhaps cut within a line).
    `read(lines, options)` is a pure function from a file's lines to events and refusals. It streams: nothing is read ahead that the format does not need.
    """

    name: str
    description: str
    matches: Callable[[str, bytes], bool]
    read: Callable[..., Iterator[EventLine | RefusedLine]]
    table: Literal["events", "error_records"] = "events"


def json_records(lines: Lines) -> Iterator[tuple[int, Any] | RefusedLine]:
    """Give each JSON value of a file with the line it begins on, whether the file holds one per line or is one (pretty-printed) document.

    A file is taken line by line as soon as one of its first two lines is an object or a list by itself; a line that does not parse then costs that
    line alone. Otherwise it is one document; when that does not parse either, its lines are tried singly, so that two broken lines at the start of a
    file do not cost the file. A document over `MAX_DOCUMENT_BYTES` is refused.
    """
    numbered = ((number, line.removeprefix(b"\xef\xbb\xbf").strip()) for number, line in lines)
    filled = ((number, line) for number, line in numbered if line)
    first = list(islice(filled, 2))
    if not first:
        return
    if first[0][1] not in {b"{", b"["} and any(isinstance(_parsed(line), dict | list) for _, line in first):
        yield from map(_one, chain(first, filled))
        return
    held, size = [], 0
    for number, line in chain(first, filled):
        size += len(line) + 1
        if size > MAX_DOCUMENT_BYTES:
            yield RefusedLine(
                0,
                "bad_json",
                f"the document has more than {MAX_DOCUMENT_BYTES} bytes, which is the most that is parsed at once",
            )
            return
        held.append((number, line))
    try:
        yield held[0][0], orjson.loads(b"\n".join(line for _, line in held))
    except orjson.JSONDecodeError as error:
        if any(isinstance(value := _parsed(line), dict) and value for _, line in held):
            yield from map(_one, held)
        else:
            yield RefusedLine(0, "bad_json", f"neither one JSON document nor one per line: {error}")


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _one(pair: tuple[int, bytes]) -> tuple[int, Any] | RefusedLine:
    number, line = pair
    if len(line) > MAX_DOCUMENT_BYTES:
        return RefusedLine(
            number,
            "bad_json",
            f"the line has {len(line)} bytes, more than the {MAX_DOCUMENT_BYTES} that are parsed at once",
        )
    try:
        return number, orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return RefusedLine(number, "bad_json", str(error))
