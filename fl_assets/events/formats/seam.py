"""The interface between a format and the engine, and the reader of JSON that all formats share.

What does not go here: any format (one file each), files, redaction and quarantine (the engine's).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Any, Literal

import orjson

UNFORESEEN = (
    MemoryError,
    RecursionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What a reader may raise over an entry of a shape that nobody foresaw."""

Lines = Iterable[tuple[int, bytes]]
"""Numbered lines of one file, from 1, with or without their line ends."""

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Largest document, or line of a format, that is parsed; it takes some six times that in memory."""

MAX_DOCUMENT_VALUES = 4_000_000
"""Most values in one such document: empty lists take thirty times their size in memory."""

RefusedReason = Literal[
    "bad_json", "bad_span", "bad_record", "unsupported_format", "wrong_time_unit", "before_start", "not_used"
]
"""`wrong_time_unit`: such as milliseconds in a field of nanoseconds; `before_start`: older than the first day
that is analysed; `not_used`: no call, no turn."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event (or row of `error_records`) as JSON, and the line of the file that it came from."""

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EvaluationLine:
    """One row of `evaluations` as JSON; the default of `node_id` is the file's folder."""

    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A refusal, which the engine quarantines: line (0 for the whole file), reason, and what was found."""

    line: int
    reason: RefusedReason
    detail: str
    events: int = 1
    """How many events are lost by it; 0 for what is left out on purpose."""


Read = EventLine | EvaluationLine | RefusedLine
"""What a reader yields."""


@dataclass(frozen=True)
class ReadOptions:
    """Settings of a reader."""

    start: date | None = None
    """First day that is analysed: what ended before it is left out, and counted."""
    node_attributes: tuple[str, ...] = ()
    """Attributes that name the node, in order of preference; empty for the built-in order."""


DEFAULT_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class Format:
    """One input format.

    `matches(name, head)` tests the file's name and its first bytes (decompressed, some 64 KiB, perhaps cut
    within a line).
    `read(lines, options)` is a pure, streaming function from a file's lines to events and refusals.
    """

    name: str
    description: str
    matches: Callable[[str, bytes], bool]
    read: Callable[..., Iterator[Read]]
    table: Literal["events", "error_records"] = "events"


def in_words(error: Exception) -> str:
    """Return why an entry cannot be read; of an error that no reader raises by itself, its type too."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"[:300]


def early_in_words(count: int, noun: str, start: date, first: date) -> str:
    """Return a text about events that are older than the first day that is analysed."""
    return (
        f"{count} {noun} ended before {start}, the first day that is analysed "
        f"(FEDERATED_LEARNING_START_DATE); the first of them on {first}"
    )


def json_records(lines: Lines) -> Iterator[tuple[int, Any] | RefusedLine]:
    """Yield each JSON value of a file with the line it begins on: one per line, or documents of many lines.

    A file is read line by line if one of its first two lines is an object or a list by itself; a line may
    then have several values, and a bad one costs that line alone. Otherwise a document ends where its
    brackets do; one that does not parse is tried line by line. Documents over `MAX_DOCUMENT_BYTES` or
    `MAX_DOCUMENT_VALUES` are refused. Lines of words, which a program prints between its records, are
    counted.
    """
    words = 0
    for record in _values_of(lines):
        if record is _WORDS:
            words += 1
        else:
            yield record
    if words:
        yield RefusedLine(0, "not_used", f"{words:,} {'line is' if words == 1 else 'lines are'} no JSON", 0)


def _values_of(lines: Lines) -> Iterator[tuple[int, Any] | RefusedLine]:
    numbered = ((number, line.removeprefix(b"\xef\xbb\xbf").rstrip()) for number, line in lines)
    filled = ((number, line) for number, line in numbered if line)
    first = list(islice(filled, 2))
    if not first:
        return
    value = _parsed(first[0][1])
    is_value = isinstance(value, dict | list)
    is_lines = is_value or any(isinstance(_parsed(line), dict | list) for _, line in first[1:])
    if first[0][1] not in {b"{", b"["} and is_lines:
        if is_value and len(first[0][1]) <= MAX_DOCUMENT_BYTES:
            yield first.pop(0)[0], value  # a small file may have no other line, so it is parsed once
        del value
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
        # an indented document has no bracket at the start of a line: another one begins there
        if held and (is_cut or depth <= 0):
            yield from _of_document(held)
            held, size, depth = [], 0, 0
        held.append((number, line))
        size += len(line) + 1
        depth += _opened(line)
        if size > MAX_DOCUMENT_BYTES:
            detail = f"the document has more than {MAX_DOCUMENT_BYTES} bytes, the most that is parsed at once"
            yield RefusedLine(0 if held[0][0] == 1 else held[0][0], "bad_json", detail)
            return
    if held:
        yield from _of_document(held, is_file=held[0][0] == 1)


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|(?P<cut>))')


def _opened(line: bytes) -> int:
    """Return how many more brackets a line opens than it closes."""
    bare = _bare(line) if b'"' in line else line
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _bare(text: bytes) -> bytes:
    """Leave out the strings in JSON; of one that is cut its quote stays."""
    return _STRING.sub(lambda string: b"" if string["cut"] is None else b'"', text)


def is_balanced(text: bytes) -> bool:
    """Whether as many brackets close as open, and no string is cut, unlike in a truncated JSON value."""
    return b'"' not in _bare(text) and _opened(text) == 0


def _of_document(
    held: list[tuple[int, bytes]], *, is_file: bool = False
) -> Iterator[tuple[int, Any] | RefusedLine]:
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
        if line[-1:] == b"," and (value := _parsed(line[:-1])) is not None:  # an entry of a list
            yield number, value
        elif values := _concatenated(line):
            yield from ((number, value) for value in values)
        elif (value := _behind_words(line)) is not None:
            yield number, value
        elif b'":' not in line and line[-1:] not in _ENDS and not _events_in(line):
            yield _WORDS
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
    """Parse the object after a logger's prefix; None without one."""
    place = line.find(b"{", 0, _MAX_WORDS)
    return _parsed(line[place:]) if place > 0 and line[-1:] == b"}" else None


_WORDS = RefusedLine(0, "not_used", "words", 0)
"""Stands for a line that is no part of a record."""
_ENDS = {b"}", b"]", b",", b'"'}
"""How a line ends that was cut off a record."""
_MAX_WORDS = 300
_BETWEEN = re.compile(rb"}\s*{")
_BLANK = re.compile(r"\s*")


def _concatenated(line: bytes) -> list[Any]:
    """Parse objects one after another on one line, as some delivery streams write; [] otherwise."""
    if not _BETWEEN.search(line):
        return []
    decoder, text, values, at = json.JSONDecoder(), line.decode("utf-8", "replace"), [], 0
    try:
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            values.append(value)
            blank = _BLANK.match(text, at)
            at = blank.end() if blank else at
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
    """Estimate how many events are lost with an unparsable text, by its ids; plain words are none."""
    found = sum(1 for _ in _EVENT.finditer(text))
    return found or int(text.lstrip()[:1] in {b"{", b"["})
