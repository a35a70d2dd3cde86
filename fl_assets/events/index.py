"""The index: which bytes of which file are ingested, and which days were analysed since.

What goes here: the SQLite file behind ingestion and sensor. What does not: reading files (`read.py`), storing
events. The warehouse, which one process at a time may open, is not used, so the sensor can run at any time.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, BinaryIO

import orjson

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.count import count_by_day
from fl_assets.events.find import MAX_HOLE_BYTES, Source, hole_of, open_regular, walk
from fl_assets.events.formats import FORMATS
from fl_assets.events.index_schema import migrate
from fl_assets.events.outcome import Unread
from fl_assets.events.read import SETTLED, Reading
from fl_assets.events.rows import ROW_FILES
from fl_assets.events.unpack import coding_of
from fl_assets.infra.bucket_files import refresh
from fl_assets.infra.clock import now_utc
from fl_assets.infra.lake import Lake
from fl_assets.infra.sqlite_file import transaction

_HEAD_BYTES = 4096
_KEPT_BYTES = 32 * 1024 * 1024
"""Of small files, whose content is kept from listing to reading: opening each once more costs a fifth."""
_SPOTS, _SPOT_BYTES = 8, 512
"""Number and size of the samples of a file, beside its first bytes, that show whether it was replaced."""
_OF_SOURCE = ("kind", "path", "size", "mtime_ns", "ctime_ns", "inode", "head", "head_bytes", "spots")


@dataclass(frozen=True, slots=True)
class DayBacklog:
    """Events of one day that were not analysed yet."""

    day: date
    events: int
    token: str
    """Changes exactly when the day's pending files or stored events do."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events that were not analysed yet, in pending files and in the lake."""

    events: int
    files: int
    """Pending files: those with bytes that were not ingested."""
    days: tuple[DayBacklog, ...]
    unscanned: int = 0
    """Pending files that there was no time to count yet."""


_FORMATS = hashlib.sha256(
    "\n".join(sorted([*(entry.name for entry in FORMATS), *ROW_FILES])).encode()
).hexdigest()[:16]
"""Changes when a format is added: then files of unknown format are tried again."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """Result of a file in one round."""

    reading: Reading
    last_day: date | None
    """Day of its last valid event, if any."""
    unread: Unread | None
    """What could not be read of it, if anything."""


class TelemetryIndex:
    """Which bytes of which file are ingested, and which days were analysed since; safe for several processes.

    A file counts as ingested once `commit` was called, after the lake's. It is identified by path, inode and
    the hash of its first bytes: one that grew is read on, one that was replaced or truncated is read again,
    one that was only renamed is not.
    """

    def __init__(self, settings: FederatedLearningConfig, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._settings = settings
        self._clock = clock
        self._path = settings.data_path / "index.sqlite"
        self._roots = {"events": settings.telemetry_folder, "error_records": settings.error_records_path}

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, migrate)

    def pending(self) -> list[Source]:
        """Return the files, by kind and path, with bytes to ingest, or that cannot be opened."""
        self._bring()
        with self._open() as connection:
            return self._pending(connection)

    def _bring(self) -> None:
        """Fetch new files where telemetry is in a bucket.

        Raises:
            LakeError: the bucket cannot be reached.
        """
        if isinstance(place := self._settings.telemetry_path, str):
            refresh(place, self._roots["events"])

    def _pending(self, connection: sqlite3.Connection) -> list[Source]:
        note = "insert or replace into notes values ('formats', ?)"
        if _note(connection, "formats") != _FORMATS:
            connection.execute("delete from files where format = 'unknown'")
            connection.execute(note, (_FORMATS,))
        known = {(row["kind"], row["path"]): row for row in connection.execute("select * from files")}
        listings = {kind: walk(root) for kind, root in self._roots.items()}
        listed = {(kind, path): status for kind, found in listings.items() for path, status in found.files}
        moved = {
            (row["kind"], row["inode"]): row
            for key, row in known.items()
            if key not in listed or listed[key].st_ino != row["inode"]
        }
        now, found, kept = self._clock(), [], 0
        for (kind, path), status in listed.items():
            row = known.get((kind, path))
            if row and _is_same(row, status) and not _waits(row, status, now):
                continue
            if row is None or row["inode"] != status.st_ino:
                row = moved.get((kind, status.st_ino), row)
            source = self._compare(kind, path, status, row)
            if source is not None:
                kept += len(source.content or b"")
                found.append(source if kept < _KEPT_BYTES else replace(source, content=None))
            elif row is not None:
                connection.execute("delete from files where kind = ? and path = ?", (kind, row["path"]))
                now_is = {"kind": kind, "path": path, "size": status.st_size, "inode": status.st_ino}
                now_is |= {"mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
                _store(connection, [dict(row) | now_is])
        found += [
            self._unopened(kind, path, reason, now)
            for kind, listing in listings.items()
            for path, reason in listing.refused
        ]
        return sorted(found, key=lambda source: (source.kind, source.path))

    def _unopened(self, kind: str, path: str, reason: str, now: datetime) -> Source:
        root = self._roots[kind]
        try:
            changed = (root / path).lstat().st_mtime_ns
        except (OSError, ValueError):
            changed = int(now.timestamp() * 1e9)
        return Source(kind, root, path, 0, changed, 0, "", 0, refused=reason)

    def _compare(
        self, kind: str, path: str, status: os.stat_result, row: sqlite3.Row | None
    ) -> Source | None:
        """Return the source with the offset to read from; None where only name or times changed."""
        root = self._roots[kind]
        known = (kind, root, path, status.st_size, status.st_mtime_ns, status.st_ino)
        try:
            with open_regular(root, path) as file:
                start = file.read(min(_HEAD_BYTES, status.st_size))
                spots = _spots_of(file, status.st_size)
                hole = hole_of(file, status)
        except FileNotFoundError:
            return None  # deleted meanwhile
        except OSError as error:
            return Source(*known, "", 0, refused=error.strerror or str(error))
        if hole > MAX_HOLE_BYTES:
            refused = (
                f"of its {status.st_size:,} bytes {hole:,} are holes, which hold nothing; "
                f"{MAX_HOLE_BYTES:,} are read at the most"
            )
            return Source(*known, "", 0, refused=refused)
        fresh = Source(
            *known,
            _digest(start),
            len(start),
            coding=coding_of(start),
            ctime_ns=status.st_ctime_ns,
            spots=spots,
            content=start if len(start) == status.st_size else None,
        )
        is_other = row and row["size"] == fresh.size and row["spots"] not in (None, spots)
        if (
            row is None
            or is_other
            or len(start) < row["head_bytes"]
            or _digest(start[: row["head_bytes"]]) != row["head"]
            or status.st_size < row["offset"]
        ):
            return fresh
        if status.st_size == row["offset"] and row["format"] != "unopened":
            return None
        if fresh.coding or row["format"] != "telemetrist":
            return fresh
        return replace(
            fresh,
            offset=row["offset"],
            lines=row["lines"],
            last_day=date.fromisoformat(row["last_day"]) if row["last_day"] else None,
        )

    def commit(self, results: Iterable[FileResult], days: Iterable[date], lake: Lake) -> None:
        """Record, after the lake's commit, how far files were read, and the events of changed days.

        `days` are those that the lake's commits changed.
        """
        met = self._clock().isoformat()
        with self._open() as connection:
            rows = [_row_of(result, met) for result in results]
            connection.executemany(
                """delete from files indexed by files_by_inode
                    where kind = :kind and inode = :inode and path <> :path and head = :head""",
                rows,
            )
            _store(connection, rows)
            connection.executemany("delete from scans where kind = :kind and path = :path", rows)
            for day in sorted(days):
                connection.execute(
                    """insert into days (day, events, token) values (?, ?, ?)
                        on conflict (day) do update set events = excluded.events, token = excluded.token""",
                    (day.isoformat(), lake.events_on(day), lake.content_of(day)),
                )

    def note_ingestion(self, begun: datetime) -> None:
        """Record when the last ingestion that read anything began."""
        with self._open() as connection:
            connection.execute(
                "insert or replace into notes values ('last_ingestion', ?)", (begun.isoformat(),)
            )

    def unread(self) -> list[Unread]:
        """Return what could not be read, by path.

        That is files of no known format that still exist, and parts of files of the last ingestion.
        """
        with self._open() as connection:
            last = _note(connection, "last_ingestion") or ""
            rows = connection.execute(
                "select kind, path, format, unread from files where unread is not null order by kind, path"
            ).fetchall()
        found = []
        for row in rows:
            fields = orjson.loads(row["unread"])
            met = fields.pop("met")
            is_there = fields["is_whole"] and os.path.lexists(self._roots[row["kind"]] / row["path"])
            if is_there or (met >= last and not fields["is_whole"]):
                found.append(Unread(**fields))
        return found

    def formats(self) -> list[tuple[str, str]]:
        """Return path and format of each known file."""
        with self._open() as connection:
            rows = connection.execute("select path, format from files order by path").fetchall()
        return [(row["path"], row["format"]) for row in rows]

    def why_nothing(self) -> str:
        """Return why there are no events: no files, or none that could be read; '' where there are events."""
        root, place = self._roots["events"], self._settings.telemetry_path
        listing = walk(root)
        if not listing.files and not listing.refused:
            what = "holds no file" if root.is_dir() else "is not there"
            return f"{place} {what} (FEDERATED_LEARNING_TELEMETRY_PATH)"
        with self._open() as connection:
            read = """select count(*) from files
                where kind = 'events' and size > 0 and format not in ('unknown', 'unopened')"""
            files = connection.execute(read).fetchone()[0]
        number = len(listing.files) + len(listing.refused)
        unread = "1 file, which" if number == 1 else f"{number:,} files, none of which"
        could = "could not" if number == 1 else "could"
        return "" if files else f"{place} (FEDERATED_LEARNING_TELEMETRY_PATH) holds {unread} {could} be read"

    def mark_analysed(self, day: date, token: str) -> None:
        """Record that a day was analysed with the lake's `content_of(day)` being `token`."""
        with self._open() as connection:
            connection.execute(
                "update days set analysed_events = events, analysed_token = ? where day = ? and token = ?",
                (token, day.isoformat(), token),
            )

    def backlog(self, scan_secs: float = 20.0) -> Backlog:
        """Count the events that were not analysed yet, by day, in pending files and in the lake.

        Files are counted for `scan_secs` seconds; counts are kept by version of the file.
        """
        self._bring()
        with self._open() as connection:
            sources = [source for source in self._pending(connection) if source.kind == "events"]
            cached = {
                (row["path"], row["size"], row["mtime_ns"], row["offset"]): row["counts"]
                for row in connection.execute("select * from scans where kind = 'events'")
            }
            days = {date.fromisoformat(row["day"]): row for row in connection.execute("select * from days")}
        counted = self._counted(sources, cached, scan_secs)
        waiting: dict[date, list[tuple[Source, int]]] = {}
        for source, by_day in counted:
            for day, number in by_day.items():
                waiting.setdefault(date.fromisoformat(day), []).append((source, number))
        of_days = (
            _day_backlog(day, days.get(day), waiting.get(day, [])) for day in sorted({*waiting, *days})
        )
        found = tuple(filter(None, of_days))
        return Backlog(sum(day.events for day in found), len(sources), found, len(sources) - len(counted))

    def _counted(
        self, sources: list[Source], cached: dict[tuple[Any, ...], str], scan_secs: float
    ) -> list[tuple[Source, dict[str, int]]]:
        """Count the events of files by day, until the time is up."""
        now = self._clock()
        stop = now.timestamp() + scan_secs
        counts, fresh = [], []
        for source in sources:
            version = (source.path, source.size, source.mtime_ns, source.offset)
            if (text := cached.get(version)) is None:
                if self._clock().timestamp() > stop:
                    continue
                found = sorted(count_by_day(source, now, self._settings).items())
                text = orjson.dumps({day.isoformat(): number for day, number in found}).decode()
                fresh.append(("events", *version, text))
            counts.append((source, orjson.loads(text)))
        if fresh:
            with self._open() as connection:
                connection.executemany("insert or replace into scans values (?, ?, ?, ?, ?, ?)", fresh)
        return counts


def _day_backlog(day: date, row: sqlite3.Row | None, files: list[tuple[Source, int]]) -> DayBacklog | None:
    """Return what waits of a day: events in files, and those stored since it was analysed, if any."""
    is_stale = row is not None and row["token"] != row["analysed_token"]
    if not files and not is_stale:
        return None
    stored = max(0, row["events"] - row["analysed_events"]) if row is not None and is_stale else 0
    token = row["token"] if row is not None else "none"
    if files:
        parts = (
            f"{source.path}\0{source.size}\0{source.mtime_ns}\0{source.offset}\0{number}"
            for source, number in files
        )
        text = "\n".join([token, *parts])
        token = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
    return DayBacklog(day, stored + sum(number for _, number in files), token)


def _spots_of(file: BinaryIO, size: int) -> str:
    """Return a hash of samples spread over a file, its end included; '' where its head is all of it."""
    if size <= _HEAD_BYTES:
        return ""
    found = []
    for spot in range(1, _SPOTS + 1):
        file.seek(max(0, size * spot // _SPOTS - _SPOT_BYTES))
        found.append(file.read(_SPOT_BYTES))
    return _digest(b"".join(found))


def _digest(start: bytes) -> str:
    return hashlib.sha256(start).hexdigest()[:32]


def _waits(row: sqlite3.Row, status: os.stat_result, now: datetime) -> bool:
    """Whether an unchanged file has a last line without a line end that is old enough to be read now."""
    return (
        row["offset"] < status.st_size
        and now - datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC) > SETTLED
    )


def _is_same(row: sqlite3.Row, status: os.stat_result) -> bool:
    """Whether a file is unchanged since it was read; one that could not be opened is tried again."""
    seen = (row["size"], row["mtime_ns"], row["inode"])
    return (
        seen == (status.st_size, status.st_mtime_ns, status.st_ino)
        and row["ctime_ns"] in (None, status.st_ctime_ns)
        and row["format"] != "unopened"
    )


def _row_of(result: FileResult, met: str) -> dict[str, Any]:
    """Return what is remembered of a file that was met at a time."""
    source, reading = result.reading.source, result.reading
    last_day = result.last_day or source.last_day
    unread = {"met": met, **asdict(result.unread)} if result.unread else None
    is_unopened = result.unread is not None and result.unread.reason == "cannot_open"
    return {
        **{name: getattr(source, name) for name in _OF_SOURCE},
        "offset": reading.end_offset,
        "lines": reading.end_lines,
        "last_day": last_day.isoformat() if last_day else None,
        "format": "unopened" if is_unopened else reading.format,
        "unread": orjson.dumps(unread).decode() if unread else None,
    }


def _store(connection: sqlite3.Connection, rows: list[dict[str, Any]]) -> None:
    """Put rows of equal names in the place of those of the same files."""
    if rows:
        names, values = ", ".join(rows[0]), ", ".join(f":{name}" for name in rows[0])
        into = f"insert or replace into files ({names}) values ({values})"  # noqa: S608 - our own names
        connection.executemany(into, rows)


def _note(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("select value from notes where name = ?", (name,)).fetchone()
    return row["value"] if row else None
