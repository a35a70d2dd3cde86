"""What an event is: the rules a line must keep, said twice, for bulk and for the few lines that need a second look.

What goes here: the shape of the telemetrist's events, the reasons for which a line is refused, how a batch of lines is read, and the SQL that looks through it.
What does not: files (`events/telemetry_files.py`), running SQL (`events/duckdb_engine.py`), what is personal (`redaction.py`).

`read_events` and `events_sql` are fast: msgspec reads a line into declared types, strictly, and SQL marks as suspect what breaks a rule beyond types.
`read_line` is slow: it sees suspect lines only, and gives either a reason or the same event in a form that the fast way takes.
"""

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import orjson
import pyarrow as pa

from fl_assets.events.redaction import (
    H_KEYS,
    H_SECRET_WORD,
    ITEM_SEPARATOR,
    KEY_SEPARATOR,
    RULES,
    UNREDACTABLE,
    Rule,
    pseudonym,
    redact_select,
    redact_with_counts,
)

Reason = Literal[
    "not_utf8",
    "nul_character",
    "line_too_long",
    "invalid_json",
    "too_deep",
    "too_many_keys",
    "not_an_object",
    "missing_event_id",
    "unknown_event_type",
    "payload_mismatch",
    "missing_field",
    "wrong_type",
    "bad_duration",
    "bad_timestamp",
    "incomplete_line",
    "damaged_file",
    "bad_json",
    "bad_span",
    "bad_record",
    "unsupported_format",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""Rules a line can break; the last four are those of `events/formats`."""

EXCERPT_CHARS = 200
MAX_KEYS = 4096
_EXCERPT_READ = 2000
_LONG_LINE, _MANY_MARKS = 16_384, 1024
_SLICE_BYTES = 64 * 1024

IDS = (
    "event_id",
    "trace_id",
    "request_id",
    "service",
    "method",
    "caused_by",
    "log_id",
    "session_id",
    "node_id",
)
"""Names rather than texts: one that holds personal data gets a pseudonym, so that it still tells things apart."""
TRACE_TEXTS = ("trace_id", "request_id", "service", "method", "error", "caused_by")
TALK_TEXTS = ("log_id", "session_id", "user_query", "system_response")
_PAYLOADS = {"ExecutionTrace": "execution_trace", "ConversationLog": "conversation_log"}
_TOP_KEYS = ("event_id", "event_type", "timestamp", *_PAYLOADS.values())
_PAYLOAD_KEYS = {
    "execution_trace": (*TRACE_TEXTS, "duration_ms", "success", "metadata", "timestamp"),
    "conversation_log": (*TALK_TEXTS, "metadata", "timestamp"),
}
_KNOWN_KEYS = frozenset({*_TOP_KEYS, *(key for keys in _PAYLOAD_KEYS.values() for key in keys)})


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not an event: the rule it breaks, and what was found (not yet redacted)."""

    reason: Reason
    detail: str


class _RuleError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.bad = BadLine(reason, detail)


# Slow: one line ---------------------------------------------------------------------------------------------


def read_line(line: bytes) -> bytes | BadLine | None:
    """Read one line strictly.

    Of keys that are there twice the last counts (as RFC 8259, section 4, says of most readers). Unknown fields move to `metadata`; a known one in the wrong place is
    left out. A leap second counts as the second after it.

    Returns:
        The same event with every field in its declared type, as one line of JSON; or the rule that the line breaks; or None for a blank line.
    """
    line = line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    if not line:
        return None
    try:
        return orjson.dumps(_event(_parse(line)))
    except _RuleError as error:
        return error.bad


def _parse(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _RuleError("not_utf8", f"byte {line[error.start]:#04x} at position {error.start}") from error
    if "\0" in text:
        raise _RuleError("nul_character", f"NUL byte at position {line.index(0)}")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        deep = any(word in str(error).lower() for word in ("depth", "recursion"))
        raise _RuleError(
            "too_deep" if deep else "invalid_json", error.msg + f" at position {error.pos}"
        ) from error
    if not isinstance(value, dict):
        raise _RuleError("not_an_object", f"a JSON {_kind(value)}")
    if len(line) > _LONG_LINE or "\\u0000" in text:
        for item in _parts(value):
            if isinstance(item, dict) and len(item) > MAX_KEYS:
                raise _RuleError("too_many_keys", f"{len(item)} keys in one object, {MAX_KEYS} at the most")
            if isinstance(item, str) and "\0" in item:
                raise _RuleError("nul_character", "\\u0000 in a text")
    return value


def _parts(value: Any) -> Iterator[Any]:
    """Give a value and all that is in it, keys too."""
    held = [value]
    while held:
        item = held.pop()
        yield item
        if isinstance(item, dict):
            held += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            held += item


def _kind(value: Any) -> str:
    names = {
        dict: "object",
        list: "array",
        str: "text",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names[type(value)]


def _event(value: dict[str, Any]) -> dict[str, Any]:
    event_id = _text(value, "event_id")
    if not event_id:
        raise _RuleError("missing_event_id", "no event_id")
    kind = value.get("event_type")
    if not isinstance(kind, str) or kind not in _PAYLOADS:
        raise _RuleError(
            "unknown_event_type", f"event_type {str(kind)[:80]!r}" if kind is not None else "no event_type"
        )
    present = [name for name in _PAYLOADS.values() if value.get(name) is not None]
    if present != [_PAYLOADS[kind]]:
        raise _RuleError("payload_mismatch", f"{kind} with {' and '.join(present) or 'no payload'}")
    name = present[0]
    payload = value[name]
    if not isinstance(payload, dict):
        raise _RuleError("wrong_type", f"{name} is a JSON {_kind(payload)}, not an object")
    times = [_time(value, "timestamp"), _time(payload, "timestamp")]
    body: dict[str, Any] = dict(_payload(name, payload))
    unknown = {
        key: item for source in (value, payload) for key, item in source.items() if key not in _KNOWN_KEYS
    }
    body["metadata"] = {
        **{key: _as_text(item) for key, item in unknown.items() if item is not None},
        **_metadata(payload),
    }
    return {
        "event_id": event_id,
        "event_type": kind,
        name: body,
        "timestamp": next((time for time in times if time), None),
    }


def _payload(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    if name == "conversation_log":
        return {field: _text(payload, field) for field in TALK_TEXTS}
    found: dict[str, Any] = {field: _text(payload, field) for field in TRACE_TEXTS}
    for field in ("service", "method"):
        if not found[field]:
            raise _RuleError("missing_field", f"no {field}")
    success, duration = payload.get("success"), payload.get("duration_ms")
    if success is None:
        raise _RuleError("missing_field", "no success")
    if not isinstance(success, bool):
        raise _RuleError("wrong_type", f"success is a JSON {_kind(success)}, not true or false")
    if duration is not None and (isinstance(duration, bool) or not isinstance(duration, int | float)):
        raise _RuleError("wrong_type", f"duration_ms is a JSON {_kind(duration)}, not a number")
    if duration is not None and not 0 <= duration < 1e300:
        raise _RuleError("bad_duration", f"duration_ms {str(duration)[:40]} is not a finite number from 0")
    return {**found, "success": success, "duration_ms": None if duration is None else float(duration)}


def _text(source: dict[str, Any], field: str) -> str | None:
    value = source.get(field)
    if value is not None and not isinstance(value, str):
        raise _RuleError("wrong_type", f"{field} is a JSON {_kind(value)}, not a text")
    return value


def _metadata(payload: dict[str, Any]) -> dict[str, str | None]:
    value = payload.get("metadata")
    if value is not None and not isinstance(value, dict):
        raise _RuleError("wrong_type", f"metadata is a JSON {_kind(value)}, not an object")
    return {key: None if item is None else _as_text(item) for key, item in (value or {}).items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_TIME = re.compile(
    r"([12]\d{3}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)((?:\.\d{1,12})?)(?: ?(?:[Zz]|UTC)|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


def parse_time(text: str) -> datetime | None:
    """Read an ISO 8601 time with seconds as aware UTC; without a zone it is UTC; None where it is not one.

    RFC 3339, section 5.6, and its appendix D for leap seconds.
    """
    match = _TIME.fullmatch(text)
    if not match:
        return None
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        time = datetime.fromisoformat(f"{day}T{hour}:{minute}:{'59' if second == '60' else second}").replace(
            tzinfo=UTC
        )
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        time += (
            timedelta(microseconds=int(fraction[1:7].ljust(6, "0")))
            if second != "60"
            else timedelta(seconds=1)
        )
        return time - (-offset if sign == "-" else offset)
    except (ValueError, OverflowError):
        return None


def _time(source: dict[str, Any], field: str) -> str | None:
    text = _text(source, field)
    if text is None:
        return None
    time = parse_time(text)
    if time is None:
        raise _RuleError(
            "bad_timestamp", f"timestamp {text[:60]!r} is not an ISO 8601 time of the years 1000 to 2999"
        )
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_CONTROLS = {0x1D: " ", 0x1E: " ", 0x1F: " "}
"""Separators of the engine, which no text may hold."""
_MARKS = dict.fromkeys(range(0x02, 0x06), " ")
"""Marks of redaction, which turns them into blanks where it looks closer: a key with one would change again and again, and its event be refused."""


def excerpt_source(line: bytes) -> str:
    """Return what of a refused line is to be redacted and then cut to EXCERPT_CHARS; what may be half a secret, where the line was cut for reading, is left out."""
    text = line[:_EXCERPT_READ].decode(errors="replace").strip().replace("\0", "\ufffd").translate(_CONTROLS)
    return text[:-EXCERPT_CHARS] if len(line) > _EXCERPT_READ else text


def excerpt(line: bytes, redact: Callable[[str], str]) -> str:
    """Return the redacted start of a line."""
    return safe_redact(excerpt_source(line), redact)[:EXCERPT_CHARS]


def safe_redact(text: str, redact: Callable[[str], str]) -> str:
    """Redact, and fail closed: a text whose redaction fails is not kept."""
    try:
        return redact(text)
    except Exception:  # whatever it is, the raw text must not get through
        return UNREDACTABLE


def redact_event(
    line: bytes, secret: bytes, redact: Callable[[str], tuple[str, dict[str, int]]] = redact_with_counts
) -> tuple[bytes, Counter[str]]:
    """Redact an event as `read_line` gave it, value by value; return it with the number of values masked by entity.

    Args:
        line: what `read_line` returned.
        secret: key of the pseudonyms that ids with personal data get.
        redact: gives a text redacted, and the counts.
    """
    counts: Counter[str] = Counter()

    def text(value: str) -> str:
        try:
            redacted, found = redact(value)
        except Exception:  # whatever it is, the raw text must not get through
            redacted, found = UNREDACTABLE, {UNREDACTABLE[1:-1]: 1}
        counts.update(found)
        return redacted

    def name(value: str) -> str:
        value = value.translate(_CONTROLS)
        return value if text(value) == value else pseudonym(value, secret)

    def item(key: str, value: str | None) -> str | None:
        if not value:
            return value
        if key in IDS:
            return name(value)
        # A key may say what its value is (`password`), so they are read together, as the engine does.
        together = text(f"{key.translate(_CONTROLS)}{KEY_SEPARATOR}{value.translate(_CONTROLS)}")
        return together.partition(KEY_SEPARATOR)[2] if KEY_SEPARATOR in together else UNREDACTABLE

    event = orjson.loads(line)
    event["event_id"] = name(event["event_id"])
    payload = event.get("execution_trace") or event["conversation_log"]
    for key, value in payload.items():
        if isinstance(value, str):
            payload[key] = name(value) if key in IDS else text(value.translate(_CONTROLS))
    metadata: dict[str, str | None] = {}
    for key, value in payload["metadata"].items():
        known = name(key).translate(_MARKS)
        while known in metadata:
            known += " "
        metadata[known] = item(key, value)
    payload["metadata"] = metadata
    return orjson.dumps(event), counts


def event_day(time: datetime | None, received: datetime, start: date) -> tuple[date, bool]:
    """Return the day an event belongs to, and whether its own time was out of range (so that the day is the one it was received on)."""
    if time is None or time.date() < start or time > received + timedelta(days=1):
        return max(received.date(), start), True
    return time.date(), False


# Fast: a batch of lines -------------------------------------------------------------------------------------------------


class _Payload(
    msgspec.Struct, forbid_unknown_fields=True, gc=False
):  # no garbage collection: they hold no cycles, and there are millions
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: str | None = None


class _Trace(_Payload, gc=False):
    trace_id: str | None = None
    request_id: str | None = None
    service: str | None = None
    method: str | None = None
    error: str | None = None
    caused_by: str | None = None
    duration_ms: float | None = None
    success: bool | None = None


class _Talk(_Payload, gc=False):
    log_id: str | None = None
    session_id: str | None = None
    user_query: str | None = None
    system_response: str | None = None


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: str | None = None
    event_type: str | None = None
    timestamp: str | None = None
    execution_trace: _Trace | None = None
    conversation_log: _Talk | None = None


_DECODER = msgspec.json.Decoder(_Event)
_NOTHING, _NO_TRACE, _NO_TALK = _Event(), _Trace(), _Talk()
_CHUNK_LINES = 2048
"""Lines that are Python objects at a time: about what the processor's cache holds."""
_EVENT_TEXTS = ("event_id", "event_type", "timestamp")


def _decoded(line: memoryview) -> _Event:
    """Read a line as an event of declared types; one with unknown fields the strict way first; what `read_line` refuses is an event without anything."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError):
        strict = read_line(bytes(line))
        return _DECODER.decode(strict) if isinstance(strict, bytes) else _NOTHING


def read_events(lines: pa.ChunkedArray) -> pa.Table:
    """Read lines as events, without a copy of the lines; msgspec refuses what JSON (RFC 8259) or the declared types do not allow.

    Args:
        lines: UTF-8 texts, valid.

    Returns:
        A row a line, in order: event_id, event_type, timestamp, has_trace, has_talk, payload_time, the texts of both payloads, duration_ms (float64), success, metadata (JSON as it
        was written, '{}' for null) and has_control, which says that a text holds NUL or a separator of redaction. Of a line that `read_line` refuses event_id is null.
    """
    return pa.Table.from_batches(
        [
            _events_of(chunk.slice(start, _CHUNK_LINES))
            for chunk in lines.chunks
            for start in range(0, len(chunk), _CHUNK_LINES)
        ]
        or [_events_of(pa.array([], pa.string()))]
    )


def _events_of(lines: pa.StringArray) -> pa.RecordBatch:
    _, offsets_buffer, data_buffer = lines.buffers()
    offsets = (
        np.frombuffer(offsets_buffer or b"", np.int32)[lines.offset : lines.offset + len(lines) + 1]
        if len(lines)
        else np.zeros(1, np.int32)
    )
    data, places = memoryview(data_buffer or b"")[offsets[0] : offsets[-1]], (offsets - offsets[0]).tolist()
    events = [_decoded(data[start:end]) for start, end in pairwise(places)]
    traces = [event.execution_trace or _NO_TRACE for event in events]
    talks = [event.conversation_log or _NO_TALK for event in events]
    payloads = [event.execution_trace or event.conversation_log or _NO_TRACE for event in events]
    metadata = [bytes(payload.metadata) for payload in payloads]
    columns = {
        name: pa.array([*map(attrgetter(name), rows)], pa.string())
        for rows, names in ((events, _EVENT_TEXTS), (traces, TRACE_TEXTS), (talks, TALK_TEXTS))
        for name in names
    }
    return pa.RecordBatch.from_pydict(
        columns
        | {
            "has_trace": pa.array([trace is not _NO_TRACE for trace in traces], pa.bool_()),
            "has_talk": pa.array([talk is not _NO_TALK for talk in talks], pa.bool_()),
            "payload_time": pa.array([payload.timestamp for payload in payloads], pa.string()),
            "metadata": pa.array([b"{}" if one == b"null" else one for one in metadata], pa.binary()).cast(
                pa.string()
            ),
            "duration_ms": pa.array([trace.duration_ms for trace in traces], pa.float64()),
            "success": pa.array([trace.success for trace in traces], pa.bool_()),
            "has_control": pa.array(_has_control(data, places[1:])),
        }
    )


_CONTROL = re.compile(rb"\\u00(?:00|1[d-fD-F])")


def _has_control(data: memoryview, ends: list[int]) -> np.ndarray:
    """Tell which lines hold NUL, or a separator of redaction, as JSON writes it: after an even number of backslashes, since one that is escaped is a letter."""
    found = np.zeros(len(ends), dtype=bool)
    for match in _CONTROL.finditer(data):
        start = match.start()
        while start and data[start - 1] == ord("\\"):
            start -= 1
        if (match.start() - start) % 2 == 0:
            found[bisect_right(ends, start)] = True
    return found


def places_of(byte: int, data: np.ndarray) -> np.ndarray:
    """Return where a byte is, as int64, in order; slice by slice, so that what is compared stays in the processor's cache and no new memory is asked of the system.

    Args:
        byte: which.
        data: bytes (uint8).
    """
    found = [
        np.flatnonzero(data[start : start + _SLICE_BYTES] == byte) + start
        for start in range(0, len(data), _SLICE_BYTES)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


TEXTS = ("error", "user_query", "system_response")


_TRACE_CONTENT = "event_id, timestamp, node_id, service, method, trace_id, request_id, duration_ms, success, error, caused_by, metadata"
_TALK_CONTENT = (
    "event_id, timestamp, node_id, log_id, session_id, trace_id, user_query, system_response, metadata"
)


def content_sql(kind: Literal["trace", "talk", "either"]) -> str:
    """Return SQL for the hash of an event's content: all that is stored of it but where it was found and which day that made it."""
    trace, talk = f"hash({_TRACE_CONTENT})", f"hash({_TALK_CONTENT})"
    return {"trace": trace, "talk": talk, "either": f"case when is_trace then {trace} else {talk} end"}[kind]


_HEX_ID = "[0-9a-f]{2}[0-9a-f]*[a-f][0-9a-f]*"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SAFE_NAME = f"(?:{_UUID}|{_HEX_ID}|[0-9]{{1,6}}|(?:0|[1-9][0-9]{{0,2}})[.][0-9]{{1,3}}[.][0-9]{{1,3}}|[A-Za-z][A-Za-z_-]{{0,15}}[0-9]{{0,3}}[a-z]?)?"
"""Shapes of names that no rule masks but by chance: a number is one of six digits at the most, and a hex id has a letter after the second place (a card has none, an
IBAN might begin with two)."""
_SAFE_NAMES = f"(?:{_SAFE_NAME}{ITEM_SEPARATOR})*{_SAFE_NAME}"
_SAFE_KEY = (
    "(?:(?:node|session|trace|span|parent_span|request|task|run|turn|step|agent|conversation|thread|tenant|tool)(?:_id)?|(?:agent_|model_)?version|model|region|zone"
    "|environment|env|status|status_code|service|method|source_dataset|timestamp_origin|trial|attempt|retries|provider|operation|framework|language|channel|tier)"
)
_SAFE_METADATA = f'[{{](?:"{_SAFE_KEY}":"{_SAFE_NAME}",)*"{_SAFE_KEY}":"{_SAFE_NAME}"[}}]'
"""Metadata in which nothing can be masked: of no key that says its value is a secret, and with values of a safe shape."""


_SAFE_ITEM = f"(?:{_SAFE_KEY}{KEY_SEPARATOR})?{_SAFE_NAME}"
"""The same as one item: an entry of such metadata, or a name alone."""

_NUMBERS = ("IBAN", "CARD", "SSN", "MAC", "IPV6", "IPV4", "PHONE")
_COMMON = ("EMAIL", "HOME_USER", "URL_CREDENTIALS")


def _of(entities: tuple[str, ...], *others: str) -> tuple[Rule, ...]:
    """Rules of some entities, with all that look for the same hints or for one of the others, in their order."""
    hints = {rule.hint for rule in RULES if rule.entity in entities and not rule.hint.startswith("</")}.union(
        others
    )
    return tuple(rule for rule in RULES if rule.hint in hints)


RULE_SETS: dict[int, tuple[Rule, ...]] = {
    1: _of(_COMMON),
    2: _of((*_COMMON, *_NUMBERS)),
    3: _of(_COMMON, H_KEYS),
    4: tuple(rule for rule in RULES if not rule.hint.startswith("</")),
    5: RULES,
}
"""Which rules a text needs, by what was found in it: most need few, and each rule costs time even where it has nothing to do."""


def _matches(column: str, patterns: Iterable[str]) -> str:
    """SQL: whether any of the patterns matches. Long ones have an automaton each, as one of them all would not fit RE2's cache."""
    patterns = list(dict.fromkeys(patterns))
    groups = [
        "|".join(pattern for pattern in patterns if len(pattern) <= 1000),
        *(pattern for pattern in patterns if len(pattern) > 1000),
    ]
    tests = [
        f"regexp_matches({column}, '{group}')"
        for group in (group.replace("'", "''") for group in groups)
        if group
    ]
    return "case " + " ".join(f"when {test} then true" for test in tests) + " else false end"


def _has(column: str, rules: Iterable[Rule]) -> str:
    """SQL: whether any of the rules finds something. The hints are asked first; what none finds, none changes."""
    rules = list(rules)
    hints = list(dict.fromkeys(rule.hint for rule in rules))
    finds = " ".join(
        f"when case when {_matches(column, [hint])} then {_matches(column, [found])} else false end then true"
        for hint in hints
        for found in ["|".join(rule.find for rule in rules if rule.hint == hint)]
    )
    return f"case when {_matches(column, hints)} then case {finds} else false end else false end"


def events_sql(events: str, start: date) -> str:
    """Return a SELECT of what is to be known of events before they are redacted: one row each, with `row_no`. It holds raw text, so it must stay in memory.

    Where `is_suspect`, the line must go through `read_line` and `redact_event` first, and nothing else in the row means anything. What must be redacted: TEXTS; `names`, which
    holds those names that have no safe shape; and the entries of metadata by `keys` and `items`, which are null where nothing in it can be personal.

    Args:
        events: a relation of what `read_events` gave and (`row_no`, `node`: by folder or null, `received`: TIMESTAMP, UTC).
        start: first day there is.
    """
    names = f"concat_ws(chr({ord(ITEM_SEPARATOR)}), {', '.join(IDS)})"
    in_time = "(payload_time is null or (payload_time >= '1' and payload_time < '3' and payload_time[11] in ('T', ' ', 't')))"
    return f"""
    with fl_typed as (
        select * exclude (payload_time), coalesce(timestamp, payload_time) as time_text, case when timestamp is not null then nullif(payload_time, timestamp) end as payload_time,
            case when metadata <> '{{}}' then json_extract_string(metadata, ['$.node_id', '$.trace_id', '$.caused_by']) end as found
        from {events}),
    fl_events as (
        select * replace (coalesce(trace_id, case when has_talk then found[2] end) as trace_id, coalesce(caused_by, found[3]) as caused_by),
            coalesce(nullif(found[1], ''), node, 'unknown') as node_id, metadata = '{{}}' or regexp_full_match(metadata, '{_SAFE_METADATA}') as is_safe_metadata,
            case when strlen(time_text) < 19 or time_text < '1' or time_text >= '3' or time_text[11] not in ('T', ' ', 't') then null
                 when suffix(time_text, 'Z') then try_cast(time_text as timestamp)
                 else make_timestamp(epoch_us(try_cast(time_text as timestamptz))) end as event_time
        from fl_typed),
    fl_names as (
        select *, {names} as names, case when not is_safe_metadata then json_keys(metadata) end as keys,
            coalesce(event_time < timestamp '{start}' or event_time > received + interval 1 day, true) as has_clock_skew
        from fl_events)
    select row_no, has_clock_skew, coalesce(event_time, received) as timestamp, node_id, trace_id, caused_by,
        coalesce(
            event_id = '' or has_trace = has_talk or event_type <> case when has_trace then 'ExecutionTrace' else 'ConversationLog' end
            or has_control or not starts_with(metadata, '{{') or (event_time is null and time_text is not null) or not {in_time}
            or case when strlen(metadata) > {_LONG_LINE} then length(regexp_replace(metadata, '[^\\[{{:]+', '', 'g')) > {_MANY_MARKS} else false end
            or (has_trace and (service = '' or method = '' or coalesce(duration_ms < 0 or duration_ms >= 1e300, false)))
            or case when keys is null then false else list_unique(keys) < len(keys) end, true)
        or event_id is null or (has_trace and (service is null or method is null or success is null)) as is_suspect,
        case when not regexp_full_match(names, '{_SAFE_NAMES}') then names end as names,
        keys, case when not is_safe_metadata then json_extract_string(metadata, '$.*') end as items,
        case when has_clock_skew then greatest(received::date, date '{start}') else event_time::date end as event_date
    from fl_names"""  # noqa: S608 - constants and names of our own only


def rule_sets_sql(items: str) -> str:
    """Return a SELECT of (`item_no`, `rule_set`) of `items`, a relation of (`item_no`, `item`), row by row: which of RULE_SETS each needs, 0 for none."""
    numbers, tags = _of(_NUMBERS), [rule.hint for rule in RULES if rule not in RULE_SETS[4]]
    rare = [
        rule.hint
        for rule in RULE_SETS[4]
        if rule not in (*RULE_SETS[2], *RULE_SETS[3], *_of((), H_SECRET_WORD))
    ]
    secret = f"""case when {_matches("item", [*tags, *rare, H_SECRET_WORD])} then case when {_matches("item", tags)} then 5
        when {_matches("item", rare)} then 4 when {_has("item", _of((), H_SECRET_WORD))} then 4 else 0 end else 0 end"""
    has = {
        "key": _has("item", _of((), H_KEYS)),
        "number": _has("item", numbers),
        "common": _matches("item", (rule.hint for rule in RULE_SETS[1])),
    }
    columns = {"secret": secret, **{f"has_{name}": test for name, test in has.items()}}
    looked = ", ".join(f"case when not is_safe then {test} end as {name}" for name, test in columns.items())
    return f"""select item_no, case when is_safe then 0 when secret > 0 then secret when has_key and has_number then 4 when has_key then 3 when has_number then 2
            when has_common then 1 else 0 end as rule_set
        from (select *, {looked} from (select *, coalesce(regexp_full_match(item, '{_SAFE_ITEM}'), true) as is_safe from {items}))"""  # noqa: S608 - our own names


def redacted_sql(items: str, rule_set: int) -> str:
    """Return a SELECT of (`item_no`, `item`, `masked`), row by row: items redacted, and null where nothing was masked.

    `masked` names what was masked, once a value, and with a minus what the raw text named already; each name ends in a blank.

    Args:
        items: a relation of (`item_no`, `item`).
        rule_set: which of RULE_SETS they need.
    """
    names = "regexp_extract_all({}, '<([A-Z_0-9]+)>', 1)"
    counts = f"list_concat({names.format('item')}, list_transform({names.format('raw')}, lambda name: '-' || name))"
    return f"""select item_no, case when item is distinct from raw then coalesce(item, '{UNREDACTABLE}') end as item,
            case when item is distinct from raw then array_to_string({counts}, ' ') || ' ' end as masked
        from ({redact_select(f"(select item_no, item, item as raw from {items})", ["item"], rules=RULE_SETS[rule_set])})"""  # noqa: S608 - constants and names of our own only


def staged_sql(events: str) -> str:
    """Return a SELECT of what staging remembers of events that are not suspect: `content` and `id_hash` are hashes, of all that is stored of an event and of its id.

    Args:
        events: what `events_sql` gave, redacted; `masked` says what was.
    """
    return f"""select event_date, file_no, line_no, is_trace, has_clock_skew, masked, {content_sql("either")} as content, hash(event_id) as id_hash
        from {events} where not is_suspect"""  # noqa: S608 - constants and names of our own only
