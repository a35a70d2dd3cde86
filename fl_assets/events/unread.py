"""What a file of no known format looks like, by its first bytes, and what to do about it.

What does not go here: formats that are read (`formats/`), storing what was refused (`quarantine.py`).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from fl_assets.events.event import safe_redact
from fl_assets.events.find import Source
from fl_assets.events.formats import HEAD_BYTES
from fl_assets.events.outcome import Unread
from fl_assets.events.quarantine import Refused
from fl_assets.events.read import may_grow
from fl_assets.events.rows import row_file_of
from fl_assets.events.unpack import coding_of

_DOCS = "docs/formats.md says what is read"
MAPPED = "if it is a log of your own, say which field is what in FEDERATED_LEARNING_MAPPING_PATH"
_LINES_LOOKED_AT = 20
_PACKED = (
    (b"PK\x03\x04", "a zip archive", "unpack it into the folder"),
    (b"BZh", "bzip2 data", "pack it with gzip or zstd, or not at all"),
    (b"\xfd7zXZ\x00", "xz data", "pack it with gzip or zstd, or not at all"),
    (b"\x04\x22\x4d\x18", "lz4 data", "pack it with gzip or zstd, or not at all"),
    (b"\xff\x06\0\0sNaPpY", "snappy data", "pack it with gzip or zstd, or not at all"),
    (b"\x78\x9c", "zlib data", "pack it with gzip or zstd, or not at all"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it into the folder"),
    (b"PAR1", "Parquet within other packing", "unpack it: Parquet is packed already"),
    (b"SQLite format 3\x00", "an SQLite database", "export its traces as JSON"),
    (b"Obj\x01", "Avro", "export JSON or JSONL instead"),
    (b"ORC", "ORC", "export JSON or JSONL instead"),
    (b"ARROW1", "Arrow", "export JSON or JSONL instead"),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "write it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "write it as UTF-8"),
    (b"%PDF", "a PDF", "move it out of the folder"),
    (b"\x89PNG", "an image", "move it out of the folder"),
    (b"\xff\xd8\xff", "an image", "move it out of the folder"),
    (b"\x7fELF", "a program", "move it out of the folder"),
)
_MAGICS = tuple(magic for magic, _, _ in _PACKED)
_FIXES = {
    "damaged_file": "send the file again; what came before the damage was kept",
    "over_limit": "split the file",
    "line_too_long": "raise FEDERATED_LEARNING_MAX_LINE_BYTES, or write shorter lines",
    "invalid_json": "have the writer end each event with a line end, and rotate between events",
    "incomplete_line": "have the writer end each event with a line end, and rotate between events",
    "cannot_open": "let the coordinator read it, or move it out of the folder",
    "bad_timestamp": "write ISO 8601 times in UTC",
    "wrong_time_unit": "write nanoseconds since 1970, as OTLP says",
    "before_start": "set FEDERATED_LEARNING_START_DATE to an earlier day",
}
_NATIVE = re.compile(rb'"(?<!\\")(?:event_type|execution_trace|conversation_log)"\s*:')
_PRINTED_BY_NODE = re.compile(r"[\[{]\s*(?:\{\s*)?[A-Za-z_$][\w$]*: ")
_TAR_AT = 257
_LOG_LINE = re.compile(
    r"\s*(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d|\[?\d\d/\w{3}/\d{4}|\w{3} [ \d]\d \d\d:\d\d:\d\d"
    r"|\[?(?:DEBUG|INFO|WARN|WARNING|ERROR|FATAL|TRACE)\b"
    r"|(?:time|ts|level)=)"
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of no known format."""

    what: str
    """What it looks like."""
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


def fix_for(reason: str) -> str:
    """Return a likely fix for a reason of refusal."""
    return _FIXES.get(reason, _DOCS)


def unread_of(
    path: str, size: int, rows: Sequence[Refused], clean: Callable[[str], str], *, is_whole: bool
) -> Unread:
    """Return what was not read of a file: the first refusal in words, the other reasons with their counts."""
    first = min(rows)
    others: Counter[str] = Counter()
    for row in rows:
        others[row.reason] += row.events or row.lines
    del others[first.reason]
    also = "".join(f"; also {number:,} {reason}" for reason, number in sorted(others.items()))
    return Unread(
        path=path,
        size=size,
        is_whole=is_whole,
        lines=sum(row.lines for row in rows),
        events=sum(row.events for row in rows),
        reason=first.reason,
        detail=safe_redact(first.detail, clean) + also,
        fix=fix_for(first.reason),
    )


def archive_of(head: bytes) -> Foreign | None:
    """Recognise an archive or a binary file by its first bytes, before its content is taken for lines."""
    for magic, what, fix in _PACKED if head.startswith(_MAGICS) else ():
        if head.startswith(magic):
            return Foreign(what, fix)
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return Foreign("a tar archive", "unpack it into the folder")
    return None


def could_be_events(head: bytes) -> bool:
    """Whether a file's first bytes have a native event, even a broken one."""
    return _NATIVE.search(head) is not None


def may_become_events(head: bytes, source: Source, now: datetime) -> bool:
    """Whether a file is too incomplete to be refused: blank, or still within its first line."""
    start = head.lstrip()
    is_first_line = start[:1] in b"{[" and b"\n" not in start and b"\0" not in start
    return not start or (is_first_line and len(head) < HEAD_BYTES and may_grow(source, head, now))


def looks_like(name: str, start: bytes, head: bytes) -> Foreign:
    """Return what a file of no known format looks like, by its first bytes: as they are, and unpacked."""
    kind = row_file_of(start) or row_file_of(head, is_packed=True)
    if kind and (found := _table(kind, head)):
        return found
    if found := archive_of(head) or archive_of(start):
        return found
    if (coding := coding_of(head)) in {"gzip", "zstd", "framed_zstd"}:
        return Foreign(f"{coding} data within other packing", "unpack it once")
    if not head:
        return Foreign("packed data of which nothing could be unpacked", "send the file again")
    if head[1::2].count(0) > len(head) // 3 or head[::2].count(0) > len(head) // 3:
        return Foreign("UTF-16 text without a byte order mark", "write it as UTF-8")
    if b"\0" in head or _share_of_controls(head) > 0.1:
        return Foreign("binary data", f"export JSON or JSONL instead: {_DOCS}")
    found = _text(name.lower(), head.decode("utf-8", "replace"))
    return Foreign(f"messages of CloudWatch: {found.what}", found.fix) if kind == "cloudwatch" else found


def _table(kind: str, head: bytes) -> Foreign | None:
    """Return what a table of no known format looks like, by its first row."""
    what = {"csv": "CSV", "parquet": "Parquet", "otlp_protobuf": "OTLP protobuf"}.get(kind)
    row = _value(head.partition(b"\n")[0].decode("utf-8", "replace"))
    if what is None:
        return None
    if not isinstance(row, dict):
        return Foreign(f"{what} without a row that could be read", "send the file again")
    mapped = "" if kind == "otlp_protobuf" else f"{MAPPED}; "
    return Foreign(f"{what}, but none of the tables known here{_named(row)}", f"{mapped}{_DOCS}")


def _named(value: Any) -> str:
    keys = sorted(value) if isinstance(value, dict) else []
    return f" (keys: {', '.join(str(key)[:40] for key in keys[:6])})" if keys else ""


def _share_of_controls(head: bytes) -> float:
    controls = bytes({*range(0x20)} - {*b"\t\n\r\x1b"})
    return 1 - len(head.translate(None, controls)) / len(head)


def _text(name: str, text: str) -> Foreign:
    stripped = text.lstrip("\ufeff \t\r\n")
    lines = [line for line in stripped.splitlines()[:_LINES_LOOKED_AT] if line.strip()]
    if stripped[:1] in "{[" and not _LOG_LINE.match(stripped):
        return _json(stripped, lines)
    for separator, what in ((",", "CSV"), ("\t", "CSV with tabs"), (";", "CSV with semicolons")):
        counts = [line.count(separator) for line in lines[:2]]
        is_like_it = len(counts) == 2 and counts[0] >= 2 and counts[0] == counts[1]
        if name.endswith((".csv", ".tsv")) or (is_like_it and not _LOG_LINE.match(lines[0])):
            return Foreign("CSV" if name.endswith(".csv") else what, "export JSON or JSONL instead")
    if stripped.startswith("<"):
        return Foreign("XML or HTML", f"export JSON or JSONL instead: {_DOCS}")
    if sum(_LOG_LINE.match(line) is not None for line in lines) * 2 > len(lines):
        return Foreign("an application log", f"send traces instead: {_DOCS}")
    if name.endswith((".yaml", ".yml", ".toml", ".ini", ".md", ".txt", ".py", ".sh")):
        return Foreign(f"text ({name.rpartition('.')[2]})", "move it out of the folder")
    return Foreign("text", f"{_DOCS}; or move it out of the folder")


def _json(text: str, lines: list[str]) -> Foreign:
    value = _value(text)
    found = [_value(line) for line in lines]
    objects = [one for one in found if isinstance(one, dict)]
    is_lines = value is None and len(lines) > 1 and 2 * len(objects) >= len(lines)
    first = None if value is not None or is_lines else _first_of_several(text)
    if first is not None:
        value = first
    elif value is None:
        value = objects[0] if is_lines else found[0]
    if value is None and _PRINTED_BY_NODE.match(text):
        fix = "write them with JSON.stringify, or send OTLP to a Collector"
        return Foreign("objects as Node prints them, which is no JSON", fix)
    if value is None and len(text) < 60_000:
        return Foreign(
            "broken JSON", "neither one document nor one per line can be read: send the file again"
        )
    broken = [number for number, one in enumerate(found, 1) if one is None and number < len(lines)]
    if len(text) < 60_000 and len(lines) < _LINES_LOOKED_AT and found[-1] is None:
        broken.append(len(lines))
    which = f"; line {broken[0]} is broken JSON" if is_lines and broken else ""
    kind = "JSON lines" if is_lines else "JSON documents" if first is not None else "JSON"
    is_by_line = is_lines or len(lines) == 1
    mapped = f"{MAPPED}; " if is_by_line and isinstance(value, dict) else ""
    return Foreign(
        f"{kind}, but none of the formats known here{_named(value)}{which}",
        f"{mapped}{_DOCS}; or move it out of the folder",
    )


def _first_of_several(text: str) -> Any:
    """Return the first of documents one after another; None if another does not follow it."""
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if text[end:].lstrip()[:1] in ("{", "[") else None


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
