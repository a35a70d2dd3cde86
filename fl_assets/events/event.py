"""One event, read strictly and redacted value by value: the slow path, for lines that bulk reading suspects.

What goes here: the shape of the telemetrist's events, and the reasons for refusing a line. What does not:
reading in bulk (`bulk.py`, `sql.py`), files (`read.py`), the rules of redaction (`redaction/`).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import orjson

from fl_assets.events.formats.seam import RefusedReason
from fl_assets.events.formats.values import kind_in_words, names
from fl_assets.events.redaction import KEY_SEPARATOR, UNREDACTABLE, pseudonym, redact_with_counts

LineReason = Literal[
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
    "cannot_open",
    "over_limit",
]
Reason = Literal[LineReason, RefusedReason]
"""Rules that a line or a file can break; the second are those of `events/formats`."""

EXCERPT_CHARS = 200
MAX_KEYS = 4096
MAX_DEPTH = 200
"""Deepest nesting of a line; later steps walk values recursively."""
_LONG_LINE = 16_384
_EXCERPT_READ = 2000

IDS = names("event_id trace_id request_id service method caused_by log_id session_id node_id")
"""Names: one that holds personal data gets a pseudonym, so that it still identifies."""
TRACE_TEXTS = ("trace_id", "request_id", "service", "method", "error", "caused_by")
TURN_TEXTS = ("log_id", "session_id", "user_query", "system_response")
_PAYLOADS = {"ExecutionTrace": "execution_trace", "ConversationLog": "conversation_log"}
_TOP_KEYS = ("event_id", "event_type", "timestamp", *_PAYLOADS.values())
_PAYLOAD_KEYS = {
    "execution_trace": (*TRACE_TEXTS, "duration_ms", "success", "metadata", "timestamp"),
    "conversation_log": (*TURN_TEXTS, "metadata", "timestamp"),
}
_KNOWN_KEYS = frozenset({*_TOP_KEYS, *(key for keys in _PAYLOAD_KEYS.values() for key in keys)})


@dataclass(frozen=True, slots=True)
class BadLine:
    """A refused line: the rule it breaks, and what was found (not redacted)."""

    reason: Reason
    detail: str


class _RuleError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.bad = BadLine(reason, detail)


def read_line(line: bytes) -> bytes | BadLine | None:
    """Read one line strictly.

    Of repeated keys the last counts (as in most readers: RFC 8259, section 4). Unknown fields move to
    `metadata`; known ones in the wrong place are left out. A leap second counts as the next second.

    Returns:
        The event with every field in its declared type, as one line of JSON; the rule that the line breaks;
        or None for a blank line.
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
        raise _RuleError("not_an_object", f"a JSON {kind_in_words(value)}")
    if _is_deep(value):
        raise _RuleError("too_deep", f"nested more than {MAX_DEPTH} deep")
    if len(line) > _LONG_LINE or "\\u0000" in text:
        for item in _parts(value):
            if isinstance(item, dict) and len(item) > MAX_KEYS:
                raise _RuleError("too_many_keys", f"{len(item)} keys in one object, {MAX_KEYS} at the most")
            if isinstance(item, str) and "\0" in item:
                raise _RuleError("nul_character", "\\u0000 in a text")
    return value


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than MAX_DEPTH; level by level, as recursion would overflow."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _parts(value: Any) -> Iterator[Any]:
    """Yield a value and all within it, keys included."""
    held = [value]
    while held:
        item = held.pop()
        yield item
        if isinstance(item, dict):
            held += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            held += item


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
    name, payload = present[0], value[present[0]]
    if not isinstance(payload, dict):
        raise _RuleError("wrong_type", f"{name} is a JSON {kind_in_words(payload)}, not an object")
    times = [_time(value, "timestamp"), _time(payload, "timestamp")]
    unknown = {key: item for key, item in (value | payload).items() if key not in _KNOWN_KEYS}
    more = {key: _as_text(item) for key, item in unknown.items() if item is not None}
    body = {**_payload(name, payload), "metadata": {**more, **_metadata(payload)}}
    return {"event_id": event_id, "event_type": kind, name: body, "timestamp": times[0] or times[1]}


def _payload(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    if name == "conversation_log":
        return {field: _text(payload, field) for field in TURN_TEXTS}
    found: dict[str, Any] = {field: _text(payload, field) for field in TRACE_TEXTS}
    for field in ("service", "method"):
        if not found[field]:
            raise _RuleError("missing_field", f"no {field}")
    success, duration = payload.get("success"), payload.get("duration_ms")
    if success is None:
        raise _RuleError("missing_field", "no success")
    if not isinstance(success, bool):
        raise _RuleError("wrong_type", f"success is a JSON {kind_in_words(success)}, not true or false")
    if duration is not None and (isinstance(duration, bool) or not isinstance(duration, int | float)):
        raise _RuleError("wrong_type", f"duration_ms is a JSON {kind_in_words(duration)}, not a number")
    if duration is not None and not 0 <= duration < 1e300:
        raise _RuleError("bad_duration", f"duration_ms {str(duration)[:40]} is not a finite number from 0")
    return {**found, "success": success, "duration_ms": None if duration is None else float(duration)}


def _text(source: dict[str, Any], field: str) -> str | None:
    value = source.get(field)
    if value is not None and not isinstance(value, str):
        raise _RuleError("wrong_type", f"{field} is a JSON {kind_in_words(value)}, not a text")
    return value


def _metadata(payload: dict[str, Any]) -> dict[str, str | None]:
    value = payload.get("metadata")
    if value is not None and not isinstance(value, dict):
        raise _RuleError("wrong_type", f"metadata is a JSON {kind_in_words(value)}, not an object")
    return {key: None if item is None else _as_text(item) for key, item in (value or {}).items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_TIME = re.compile(
    r"([12]\d{3}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)((?:\.\d{1,12})?)"
    r"(?: ?(?:[Zz]|UTC)|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


def parse_time(text: str) -> datetime | None:
    """Parse an ISO 8601 time with seconds as aware UTC, the default zone; None for anything else.

    Source: RFC 3339, section 5.6, and appendix D for leap seconds.
    """
    match = _TIME.fullmatch(text)
    if not match:
        return None
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        is_leap = second == "60"
        time = datetime.fromisoformat(f"{day}T{hour}:{minute}:{'59' if is_leap else second}+00:00")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        rest = timedelta(seconds=1) if is_leap else timedelta(microseconds=int(fraction[1:7].ljust(6, "0")))
        return time + rest - (-offset if sign == "-" else offset)
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
"""Separators of redaction, which no text may hold."""
_MARKS = dict.fromkeys(range(0x02, 0x06), " ")
"""Marks of redaction, which replaces them by blanks: a key with one would never be stable."""


def excerpt_source(line: bytes) -> str:
    """Return the start of a refused line, to be redacted and then cut to EXCERPT_CHARS.

    Its end is dropped where the line was cut: it may be half a secret.
    """
    text = line[:_EXCERPT_READ].decode(errors="replace").strip().replace("\0", "\ufffd").translate(_CONTROLS)
    return text[:-EXCERPT_CHARS] if len(line) > _EXCERPT_READ else text


def excerpt(line: bytes, redact: Callable[[str], str]) -> str:
    """Return the redacted start of a line."""
    return safe_redact(excerpt_source(line), redact)[:EXCERPT_CHARS]


def safe_redact(text: str, redact: Callable[[str], str]) -> str:
    """Redact a text; UNREDACTABLE where that fails."""
    try:
        return redact(text)
    except Exception:  # fail closed
        return UNREDACTABLE


def redact_event(
    line: bytes, secret: bytes, redact: Callable[[str], tuple[str, dict[str, int]]] = redact_with_counts
) -> tuple[bytes, Counter[str]]:
    """Redact an event value by value; return it with the number of values masked, by entity.

    `line` is as `read_line` returns it, `secret` the key of the pseudonyms that ids with personal data get.
    """
    event, redaction = orjson.loads(line), _Redaction(secret, redact)
    event["event_id"] = redaction.name(event["event_id"])
    payload = event.get("execution_trace") or event["conversation_log"]
    for key, value in payload.items():
        if isinstance(value, str):
            payload[key] = redaction.name(value) if key in IDS else redaction.text(value.translate(_CONTROLS))
    metadata: dict[str, str | None] = {}
    for key, value in payload["metadata"].items():
        known = redaction.name(key).translate(_MARKS)
        while known in metadata:
            known += " "
        metadata[known] = redaction.item(key, value) if value else value
    payload["metadata"] = metadata
    return orjson.dumps(event), redaction.counts


class _Redaction:
    """Redaction of one event; `counts` are the masked values, by entity."""

    def __init__(self, secret: bytes, redact: Callable[[str], tuple[str, dict[str, int]]]) -> None:
        self._secret, self._redact = secret, redact
        self.counts: Counter[str] = Counter()

    def text(self, value: str) -> str:
        """Return a redacted text, UNREDACTABLE where that fails."""
        try:
            redacted, found = self._redact(value)
        except Exception:  # fail closed
            redacted, found = UNREDACTABLE, {UNREDACTABLE[1:-1]: 1}
        self.counts.update(found)
        return redacted

    def name(self, value: str) -> str:
        """Return an id, or its pseudonym where it holds personal data."""
        value = value.translate(_CONTROLS)
        return value if self.text(value) == value else pseudonym(value, self._secret)

    def item(self, key: str, value: str) -> str:
        """Return a redacted value of metadata; its key may say what it is (`password`)."""
        if key in IDS:
            return self.name(value)
        together = self.text(f"{key.translate(_CONTROLS)}{KEY_SEPARATOR}{value.translate(_CONTROLS)}")
        return together.partition(KEY_SEPARATOR)[2] if KEY_SEPARATOR in together else UNREDACTABLE


FIRST_TELEMETRY = date(2020, 1, 1)
"""A time before this day is taken for a wrong clock."""


def is_history(line: bytes, start: date) -> date | None:
    """Return the day of an event that is older than the first day that is analysed; None for any other."""
    event = orjson.loads(line)
    payload = event.get("execution_trace") or event.get("conversation_log") or {}
    time = parse_time(str(event.get("timestamp") or payload.get("timestamp")))
    return time.date() if time and FIRST_TELEMETRY <= time.date() < start else None


def event_day(time: datetime | None, received: datetime, start: date) -> tuple[date, bool]:
    """Return the day an event belongs to, and whether its time was out of range: then the day of receipt."""
    if time is None or time.date() < start or time > received + timedelta(days=1):
        return max(received.date(), start), True
    return time.date(), False
