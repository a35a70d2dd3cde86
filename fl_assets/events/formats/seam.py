"""What a format is to the engine: a name, a test of a file's first bytes, and a way from lines to rows.

What goes here: the records of the seam, and the one reader of JSON that all formats share. What does not: any
format (one file each, beside this one), files, compression, redaction and quarantine (the engine's).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Any, Literal

import orjson

Lines = Iterable[tuple[int, bytes]]
"""Numbered lines of one file, from 1, with or without their line ends."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Largest document of many lines, and largest single line of a format, that is parsed: what it takes in
memory is some six times that."""

MAX_DOCUMENT_VALUES = 4_000_000
"""Values in one such document: empty lists of two bytes each would take thirty times their size in memory."""

RefusedReason = Literal[
    "bad_json", "bad_span", "bad_record", "unsupported_format", "wrong_time_unit", "before_start", "not_used"
]
"""`wrong_time_unit`: milliseconds, say, in a field of nanoseconds; `before_start`: older than the first day
that is analysed; `not_used`: no call, no turn."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event (or, for table `error_records`, that table's row) as one line of JSON.

    `line` is the line of the file that it came from.
    """

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EvaluationLine:
    """One row of the table `evaluations` as one line of JSON; without a `node_id` it is the folder's."""

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """What became no event: line (0 for the file as a whole), reason, and what was found.

    The engine quarantines it.
    """

    line: int
    reason: RefusedReason
    detail: str
    events: int = 1
    """How many events are lost by it; 0 for what was read and is rightly left out, which never counts as
    broken."""


Read = EventLine | EvaluationLine | RefusedLine
"""What comes of reading a file."""


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

    `matches(name, head)` looks at the file's name and its first bytes (decompressed, some 64 KiB, perhaps cut
    within a line).
    `read(lines, options)` is a pure function from a file's lines to events and refusals. It streams: nothing
    is read ahead that the format does not need.
    """

    name: str
    description: str
    matches: Callable[[str, bytes], bool]
    read: Callable[..., Iterator[Read]]
    table: Literal["events", "error_records"] = "events"


def early_in_words(count: int, noun: str, start: date, first: date) -> str:
    """Say how much was left out since it is older than the first day that is analysed."""
    return (
        f"{count} {noun} ended before {start}, the first day that is analysed "
        f"(FEDERATED_LEARNING_START_DATE); the first of them on {first}"
    )


def json_records(lines: Lines) -> Iterator[tuple[int, Any] | RefusedLine]:
    """Give each JSON value of a file with the line it begins on.

    One per line, or documents of many lines, one after another.

    A file is taken line by line as soon as one of its first two lines is an object or a list by itself; a
    line that does not parse then costs that line alone, and several values on a line are several. Otherwise a
    document ends where its brackets do; one that does not parse is tried line by line, so that two broken
    lines at the start of a file do not cost the file. Documents over `MAX_DOCUMENT_BYTES` or
    `MAX_DOCUMENT_VALUES` are refused.
    """
    numbered = ((number, line.removeprefix(b"\xef\xbb\xbf").rstrip()) for number, line in lines)
    filled = ((number, line) for number, line in numbered if line)
    first = list(islice(filled, 2))
    if not first:
        return
    is_lines = any(isinstance(_parsed(line), dict | list) for _, line in first)
    if first[0][1] not in {b"{", b"["} and is_lines:
        for number, line in chain(first, filled):
            yield from _of_line(number, line)
    else:
        yield from _documents(chain(first, filled))


def _documents(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Any] | RefusedLine]:
    held: list[tuple[int, bytes]] = []
    size = depth = 0
    for number, line in lines:
        is_cut = depth > 0 and line[:1] in b"{[" and len(held) > 1 and held[1][1][:1] in b" \t"
        is_cut = is_cut and held[0][1][:1] == b"{"  # a list may have its entries there
        if is_cut:  # what is indented has no bracket at the start of a line: here begins another document
            yield from _of_document(held)
            held, size, depth = [], 0, 0
        held.append((number, line))
        size += len(line) + 1
        depth += _opened(line)
        if size > MAX_DOCUMENT_BYTES:
            detail = f"the document has more than {MAX_DOCUMENT_BYTES} bytes, the most that is parsed at once"
            yield RefusedLine(0 if held[0][0] == 1 else held[0][0], "bad_json", detail)
            return
        if depth <= 0:
            yield from _of_document(held)
            held, size, depth = [], 0, 0
    if held:
        yield from _of_document(held)


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def _opened(line: bytes) -> int:
    """Return how many brackets a line opens and does not close."""
    bare = _STRING.sub(b"", line) if b'"' in line else line
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def is_balanced(text: bytes) -> bool:
    """Whether as many brackets close as open, and no text is cut: of a JSON value no beginning is."""
    return b'"' not in _STRING.sub(b"", text) and _opened(text) == 0


def _of_document(held: list[tuple[int, bytes]]) -> Iterator[tuple[int, Any] | RefusedLine]:
    text = b"\n".join(line for _, line in held).rstrip(b", ")
    if too_many := _too_many_values(text):
        yield RefusedLine(held[0][0], "bad_json", too_many, _events_in(text))
        return
    try:
        yield held[0][0], orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if len(held) == 1 or any(
            isinstance(value := _parsed(line.rstrip(b", ")), dict) and value for _, line in held
        ):
            is_listed = held[0][1] == b"["
            for number, line in held:
                if not (is_listed and line in {b"[", b"]"}):
                    yield from _of_line(number, line)
        else:
            is_file = held[0][0] == 1
            detail = f"neither one JSON document nor one per line: {error}"
            yield RefusedLine(0 if is_file else held[0][0], "bad_json", detail, _events_in(text))


def _of_line(number: int, line: bytes) -> Iterator[tuple[int, Any] | RefusedLine]:
    if len(line) > MAX_DOCUMENT_BYTES:
        detail = f"the line has {len(line)} bytes, more than the {MAX_DOCUMENT_BYTES} that are parsed at once"
        yield RefusedLine(number, "bad_json", detail)
        return
    if too_many := _too_many_values(line):
        yield RefusedLine(number, "bad_json", too_many, _events_in(line))
        return
    try:
        yield number, orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if (
            line[-1:] == b"," and (value := _parsed(line[:-1])) is not None
        ):  # the entries of a list, one per line
            yield number, value
        elif values := _concatenated(line):
            yield from ((number, value) for value in values)
        elif (value := _behind_words(line)) is not None:
            yield number, value
        else:
            yield RefusedLine(number, "bad_json", str(error), _events_in(line))


def _parsed(line: bytes) -> Any:
    if _too_many_values(line):
        return None
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _behind_words(line: bytes) -> Any:
    """Parse the object at the end of a line that a logger begins with words of its own; None without one."""
    place = line.find(b"{", 0, _MAX_WORDS)
    return _parsed(line[place:]) if place > 0 and line[-1:] == b"}" else None


_MAX_WORDS = 300
_BETWEEN = re.compile(rb"}\s*{")


def _concatenated(line: bytes) -> list[Any]:
    """Read objects written one after another without a line end, as some delivery streams do.

    What is no such line gives [].
    """
    if not _BETWEEN.search(line):
        return []
    decoder, text, values, at = json.JSONDecoder(), line.decode("utf-8", "replace"), [], 0
    try:
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            values.append(value)
            at += len(text) - at - len(text[at:].lstrip()) if text[at : at + 1].isspace() else 0
    except (ValueError, RecursionError):
        return []
    return values


def _too_many_values(text: bytes) -> str:
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    return (
        f"{values:,} values in one document, at most {MAX_DOCUMENT_VALUES:,} are read"
        if values > MAX_DOCUMENT_VALUES
        else ""
    )


_EVENT = re.compile(rb'"(?:spanId|span_id|parentObservationId|parent_observation_id|run_type)"\s*:')


def _events_in(text: bytes) -> int:
    """Return how many events are lost with a text that cannot be read, by the ids in it.

    A line of words between others, as a program prints them, is none.
    """
    found = sum(1 for _ in _EVENT.finditer(text))
    return found or int(text.lstrip()[:1] in {b"{", b"["})
