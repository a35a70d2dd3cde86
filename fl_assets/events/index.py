"""The index: which bytes of which file are ingested, which days were analysed since.

What goes here: the SQLite file behind ingestion and sensor. What does not: reading files (`read.py`), storing events. The warehouse is never opened
here, so that a sensor may count at any time.
"""

import hashlib
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import orjson

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.event import event_day, parse_time
from fl_assets.events.find import Source, list_files
from fl_assets.events.formats import EventLine, Format, ReadOptions, detect
from fl_assets.events.read import SETTLED, Reading, line_batches, numbered_lines, read_head
from fl_assets.infra.lake import Lake

_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class DayBacklog:
    """Events of one day that were not analysed yet."""

    day: date
    events: int
    token: str
    """Changes exactly when what is known of the day does: files that wait, and what the lake holds."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events that were not analysed yet, in files that wait and in days of the lake that grew since."""

    events: int
    files: int
    """Files with bytes that were not ingested."""
    days: tuple[DayBacklog, ...]
    unscanned: int = 0
    """Files among them that this tick had no time to count; the next one goes on with them."""


_DDL = """
create table if not exists files (
    kind text not null, path text not null, size integer not null, mtime_ns integer not null, inode integer not null, head text not null, head_bytes integer not null,
    offset integer not null, lines integer not null, last_day text, format text not null, primary key (kind, path)) without rowid;
create table if not exists scans (
    kind text not null, path text not null, size integer not null, mtime_ns integer not null, offset integer not null, counts text not null,
    primary key (kind, path)) without rowid;
create table if not exists days (
    day text primary key, events integer not null, token text not null, analysed_events integer not null default 0, analysed_token text) without rowid;
"""


class TelemetryIndex:
    """Which bytes of which file are ingested, which days were analysed since: a SQLite file, safe to use from several processes at once.

    A file counts as ingested only once `commit` was called, after the lake's. It is known by its path and the hash of its first bytes, so that one that grew is
    read from where reading ended, one that was replaced or truncated is read anew, and one that was only renamed is not read again.
    """

    def __init__(
        self, settings: FederatedLearningConfig, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._path = settings.data_path / "index.sqlite"
        self._roots = {"events": settings.telemetry_path, "error_records": settings.error_records_path}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            if connection.execute("pragma user_version").fetchone()[0] == 0:
                connection.executescript(f"begin immediate; {_DDL} pragma user_version = 1; commit;")
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")
        finally:
            connection.close()  # rolls back what was not committed

    def pending(self) -> list[Source]:
        """Return the files with bytes that were not ingested yet, sorted by kind and path."""
        with self._open() as connection:
            return self._pending(connection)

    def _pending(self, connection: sqlite3.Connection) -> list[Source]:
        known = {(row["kind"], row["path"]): row for row in connection.execute("select * from files")}
        listed = {
            (kind, path): status for kind, root in self._roots.items() for path, status in list_files(root)
        }
        moved = {
            (row["kind"], row["inode"]): row
            for key, row in known.items()
            if key not in listed or listed[key].st_ino != row["inode"]
        }
        found = []
        for (kind, path), status in listed.items():
            row = known.get((kind, path))
            if (
                row
                and (row["size"], row["mtime_ns"], row["inode"])
                == (status.st_size, status.st_mtime_ns, status.st_ino)
                and not _waits(row, status, self._clock())
            ):
                continue
            if row is None or row["inode"] != status.st_ino:
                row = moved.get((kind, status.st_ino), row)
            source = self._compare(kind, path, status, row)
            if source is None and row is not None:
                connection.execute("delete from files where kind = ? and path = ?", (kind, row["path"]))
                connection.execute(
                    "insert or replace into files values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        kind,
                        path,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ino,
                        *(
                            row[name]
                            for name in ("head", "head_bytes", "offset", "lines", "last_day", "format")
                        ),
                    ),
                )
            if source is not None:
                found.append(source)
        return found

    def _compare(
        self, kind: str, path: str, status: os.stat_result, row: sqlite3.Row | None
    ) -> Source | None:
        """Return the source with where to go on reading; None where only name or times changed."""
        root = self._roots[kind]
        try:
            with (root / path).open("rb") as file:
                start = file.read(min(_HEAD_BYTES, status.st_size))
        except OSError:
            return None  # it vanished, or may not be read: the next look will tell
        fresh = Source(
            kind, root, path, status.st_size, status.st_mtime_ns, status.st_ino, _digest(start), len(start)
        )
        if (
            row is None
            or len(start) < row["head_bytes"]
            or _digest(start[: row["head_bytes"]]) != row["head"]
            or status.st_size < row["offset"]
        ):
            return fresh
        if row["format"] == "ignored" or status.st_size == row["offset"]:
            return None
        if fresh.compression or row["format"] != "telemetrist":
            return fresh
        return replace(
            fresh,
            offset=row["offset"],
            lines=row["lines"],
            last_day=date.fromisoformat(row["last_day"]) if row["last_day"] else None,
        )

    def commit(
        self,
        readings: Iterable[Reading],
        last_days: dict[tuple[str, str], date],
        days: Iterable[date],
        lake: Lake,
    ) -> None:
        """Record, after the lake's commit, that files were ingested up to where they were read, and what the lake now holds of `days`.

        Args:
            readings: each file that was read.
            last_days: by (kind, path), the day of a file's last valid event.
            days: those that the lake's commits touched.
            lake: read for their rows and tokens.
        """
        with self._open() as connection:
            for reading in readings:
                source = reading.source
                last_day = last_days.get((source.kind, source.path), source.last_day)
                connection.execute(
                    "delete from files where kind = ? and inode = ? and path <> ? and head = ?",
                    (source.kind, source.inode, source.path, source.head),
                )
                connection.execute(
                    "insert or replace into files values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(
                            source.kind,
                            source.path,
                            source.size,
                            source.mtime_ns,
                            source.inode,
                            source.head,
                            source.head_bytes,
                        ),
                        *(
                            reading.end_offset,
                            reading.end_lines,
                            last_day.isoformat() if last_day else None,
                            reading.format,
                        ),
                    ),
                )
                connection.execute(
                    "delete from scans where kind = ? and path = ?", (source.kind, source.path)
                )
            for day in sorted(days):
                connection.execute(
                    "insert into days (day, events, token) values (?, ?, ?) on conflict (day) do update set events = excluded.events, token = excluded.token",
                    (day.isoformat(), lake.events_on(day), lake.content_of(day)),
                )

    def mark_analysed(self, day: date, token: str) -> None:
        """Record that a day was analysed when the lake's `content_of(day)` was `token`."""
        with self._open() as connection:
            connection.execute(
                "update days set analysed_events = events, analysed_token = ? where day = ? and token = ?",
                (token, day.isoformat(), token),
            )

    def backlog(self, scan_secs: float = 20.0) -> Backlog:
        """Count what was not analysed yet, by day: in files that wait (a scan of bytes, remembered by file version), and in the lake since its last analysis.

        Args:
            scan_secs: seconds to spend on files that were never counted; the others cost a stat each.
        """
        now = self._clock()
        stop = now.timestamp() + scan_secs
        with self._open() as connection:
            sources = [source for source in self._pending(connection) if source.kind == "events"]
            cached = {
                (row["path"], row["size"], row["mtime_ns"], row["offset"]): row["counts"]
                for row in connection.execute("select * from scans where kind = 'events'")
            }
            days = {date.fromisoformat(row["day"]): row for row in connection.execute("select * from days")}
        counts: list[tuple[Source, dict[str, int]]] = []
        fresh, unscanned = [], 0
        for source in sources:
            text = cached.get((source.path, source.size, source.mtime_ns, source.offset))
            if text is None and self._clock().timestamp() > stop:
                unscanned += 1
                continue
            if text is None:
                text = orjson.dumps(
                    {day.isoformat(): number for day, number in sorted(self._count(source, now).items())}
                ).decode()
                fresh.append(("events", source.path, source.size, source.mtime_ns, source.offset, text))
            counts.append((source, orjson.loads(text)))
        if fresh:
            with self._open() as connection:
                connection.executemany("insert or replace into scans values (?, ?, ?, ?, ?, ?)", fresh)
        waiting: dict[date, list[tuple[Source, int]]] = {}
        for source, by_day in counts:
            for day, number in by_day.items():
                waiting.setdefault(date.fromisoformat(day), []).append((source, number))
        found = []
        for day in sorted({*waiting, *days}):
            row, files = days.get(day), waiting.get(day, [])
            stale = row is not None and row["token"] != row["analysed_token"]
            if not files and not stale:
                continue
            stored = max(0, row["events"] - row["analysed_events"]) if row is not None and stale else 0
            token = row["token"] if row is not None else "none"
            if files:
                parts = [
                    token,
                    *(
                        f"{source.path}\0{source.size}\0{source.mtime_ns}\0{source.offset}\0{number}"
                        for source, number in files
                    ),
                ]
                token = hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
            found.append(DayBacklog(day, stored + sum(number for _, number in files), token))
        return Backlog(sum(day.events for day in found), len(sources), tuple(found), unscanned)

    def _read_options(self) -> ReadOptions:
        return ReadOptions(self._settings.start_date, self._settings.node_attributes)

    def _count(self, source: Source, now: datetime) -> Counter[date]:
        """Count the events of a file by day from its bytes: each line with an id counts, by the last timestamp in it."""
        head = read_head(source)
        entry = detect(source.name, head)
        reading, counts, start = Reading(source), Counter(), self._settings.start_date
        if not is_readable(source, head, entry) or (entry and entry.table != "events"):
            return counts
        received = min(source.received, now)
        days: dict[bytes, date] = {}

        def add(stamp: bytes) -> None:
            if stamp not in days:
                key = stamp[:10] if stamp.endswith(b"Z") else stamp
                if len(days) > 100_000:
                    days.clear()
                days[stamp] = (
                    days.get(key) or event_day(parse_time(stamp.decode(errors="replace")), received, start)[0]
                )
            counts[days[stamp]] += 1

        try:
            if entry:
                for row in entry.read(numbered_lines(reading, now), self._read_options()):
                    if isinstance(row, EventLine):
                        add(_stamp(row.data, 0, len(row.data)))
                return counts
            for batch in line_batches(reading, 0, max_line_bytes=self._settings.max_line_bytes, now=now):
                _, offsets, data = batch.column(2).buffers()
                ends = np.frombuffer(offsets, dtype=np.int32)[batch.column(2).offset :][
                    : len(batch) + 1
                ].tolist()
                text = data.to_pybytes()
                for begin, end in pairwise(ends):
                    if text.find(b'"event_id"', begin, end) >= 0:
                        add(_stamp(text, begin, end))
        except OSError:
            counts.clear()  # it vanished while it was read
        return counts


def is_readable(source: Source, head: bytes, entry: Format | None) -> bool:
    """Whether a file is telemetry: of a known format, named as JSON lines, or with events of the telemetrist in its first bytes."""
    return entry is not None or source.has_native_name or b'"event_type"' in head


_STAMP = re.compile(rb'"timestamp"\s*:\s*"([^"\\]{1,40})"')


def _stamp(text: bytes, begin: int, end: int) -> bytes:
    """Return the last timestamp between two positions, or b''."""
    at = text.rfind(b'"timestamp"', begin, end)
    match = _STAMP.match(text, at, end) if at >= 0 else None
    return match.group(1) if match else b""


def _digest(start: bytes) -> str:
    return hashlib.sha256(start).hexdigest()[:32]


def _waits(row: sqlite3.Row, status: os.stat_result, now: datetime) -> bool:
    """Whether a file that did not change still has a last line without an end that may be taken by now."""
    return (
        row["format"] != "ignored"
        and row["offset"] < status.st_size
        and now - datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC) > SETTLED
    )
