"""Telemetry files: finding them, reading their lines as bytes, and remembering which bytes have been ingested.

What goes here: listing, decompressing, splitting, and the SQLite index behind ingestion and sensor. What does not: what a line means (`events/telemetry.py`),
storing events (`lake.py`). The warehouse is never opened here, so that a sensor may count at any time.
"""

import hashlib
import os
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.formats import HEAD_BYTES, MAX_DOCUMENT_BYTES, Format, Row, detect
from fl_assets.events.telemetry import Reason, event_day, parse_time, places_of
from fl_assets.infra.lake import Lake

BLOCK_BYTES = 4 * 1024 * 1024
SETTLED = timedelta(days=1)
"""A last line without a line end is taken as it is once its file has not changed for so long."""
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_NATIVE_SUFFIXES = {".jsonl", ".json", ".ndjson"}
_UNFINISHED_SUFFIXES = {".tmp", ".part", ".swp"}
_FEED_BYTES = {
    "gzip": 256 * 1024,
    "zstd": 2048,
}  # a zstd block of 4 bytes may stand for 128 KiB, so it is fed in small bites
_HEAD_BYTES = 4096


# Finding ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file that has bytes which were not ingested yet."""

    kind: str
    """`events` or `error_records`: which folder it was found in."""
    root: Path
    path: str
    """Relative to the root, with `/`."""
    size: int
    mtime_ns: int
    inode: int
    head: str
    """Hash of its first bytes (`head_bytes` of them), by which a file that was replaced is told from one that grew."""
    head_bytes: int
    offset: int = 0
    """First byte that was not ingested; of a compressed file 0, as it is read as a whole."""
    lines: int = 0
    """Complete lines before the offset."""
    last_day: date | None = None
    """Day of the last valid event before the offset."""

    @property
    def received(self) -> datetime:
        """When the file got its last byte."""
        return datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)

    @property
    def compression(self) -> str | None:
        """`gzip`, `zstd` or None, by the name's end."""
        return _COMPRESSED.get(Path(self.path).suffix.lower())

    @property
    def name(self) -> str:
        """File name without `.gz` or `.zst`."""
        name = Path(self.path).name
        return name[: -len(Path(name).suffix)] if self.compression else name

    @property
    def node(self) -> str | None:
        """The node by folder: the first one below the root."""
        return self.path.split("/")[0] if "/" in self.path else None

    @property
    def has_native_name(self) -> bool:
        """Whether the name says JSON lines."""
        return Path(self.name).suffix.lower() in _NATIVE_SUFFIXES


def list_files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give path (relative, with `/`) and status of each finished file below `root`, sorted by path; hidden ones are left out, links to folders not followed."""
    found: list[tuple[str, os.stat_result]] = []
    folders = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if entry.name.startswith(".") or Path(entry.name).suffix.lower() in _UNFINISHED_SUFFIXES:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{prefix}{entry.name}/"))
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            if entry.is_file():
                found.append((prefix + entry.name, status))
    yield from sorted(found)


# Reading ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reading:
    """What became of one source while it was read; complete once its lines are exhausted."""

    source: Source
    format: str = "telemetrist"
    end_offset: int = 0
    end_lines: int = 0
    problems: list[tuple[int, Reason, str, bytes, int]] = field(default_factory=list)
    """(line, reason, detail, start of the line, its bytes) of what never became a line of a batch."""

    def bad(self, line: int, reason: Reason, detail: str, start: bytes = b"", size: int = 0) -> None:
        """Note something that is not a line."""
        self.problems.append((line, reason, detail, start[:4096], size or len(start)))


class DamagedFileError(ValueError):
    """Compressed data ends too early or is not what it claims to be."""


def blocks(file: BinaryIO, compression: str | None) -> Iterator[bytes]:
    """Give a file's bytes, decompressed, in blocks of bounded size; what is good before the damage comes first.

    Raises:
        DamagedFileError: the compressed data is cut or corrupt, from the block after the last good one on.
    """
    if compression is None:
        while block := file.read(BLOCK_BYTES):
            yield block
        return
    yield from _joined(_decompressed(file, compression))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held, size = [], 0
    error: DamagedFileError | None = None
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
    except DamagedFileError as caught:
        error = caught
    if held:
        yield b"".join(held)
    if error:
        raise error


def _decompressed(file: BinaryIO, compression: str) -> Iterator[bytes]:
    def begin() -> Any:  # the two have no type in common, and differ in what `decompress` takes
        return (
            zlib.decompressobj(wbits=31)
            if compression == "gzip"
            else zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
        )

    frame, begun, read = begin(), False, 0
    while data := file.read(_FEED_BYTES[compression]):
        read += len(data)
        while data:
            if not begun and not data.strip(b"\0"):
                break  # padding between or after members
            try:
                piece = (
                    frame.decompress(data, BLOCK_BYTES) if compression == "gzip" else frame.decompress(data)
                )
            except (zlib.error, zstandard.ZstdError) as error:
                message = (
                    f"{compression} data damaged within the {len(data)} bytes before byte {read}: {error}"
                )
                raise DamagedFileError(message) from error
            begun = True
            if piece:
                yield piece
            if frame.eof:
                data, frame, begun = frame.unused_data, begin(), False
            else:
                data = frame.unconsumed_tail if compression == "gzip" else b""
    if begun:
        message = f"{compression} data ends after {read} bytes, within a {'member' if compression == 'gzip' else 'frame'}"
        raise DamagedFileError(message)


def read_head(source: Source) -> bytes:
    """Return the first bytes of a file, decompressed, for format detection; what there is of a damaged one."""
    head = b""
    try:
        with (source.root / source.path).open("rb") as file:
            for block in blocks(file, source.compression):
                head += block
                if len(head) >= HEAD_BYTES:
                    break
    except (DamagedFileError, OSError):
        pass
    return head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")


def numbered_lines(reading: Reading, now: datetime) -> Iterator[tuple[int, bytes]]:
    """Give all lines of a file with their numbers, from 1, for a format that is not the telemetrist's; damage ends them and is noted.

    Lines longer than `MAX_DOCUMENT_BYTES` are skipped while streaming, and noted. A last line without a line end that may still be written is left for next time.
    """
    source = reading.source
    held: list[bytes] = []  # of a line whose end has not been seen; of one that is too long, its start
    size = number = 0
    reading.end_offset = source.size
    try:
        with (source.root / source.path).open("rb") as file:
            for block in (
                blocks(file, source.compression) if source.compression else _up_to(file, source.size)
            ):
                *pieces, rest = block.split(b"\n")
                for piece in pieces:
                    number += 1
                    if size + len(piece) > MAX_DOCUMENT_BYTES:
                        reading.bad(
                            number,
                            "line_too_long",
                            f"{size + len(piece)} bytes, {MAX_DOCUMENT_BYTES} at the most",
                            b"".join(held),
                            size + len(piece),
                        )
                    else:
                        yield number, b"".join((*held, piece))
                    held, size = [], 0
                size += len(rest)
                held = [*held, rest] if size <= MAX_DOCUMENT_BYTES else [b"".join(held)[:4096]]
    except DamagedFileError as error:
        reading.bad(0, "damaged_file", str(error))
    last = b"".join(held)
    if size > MAX_DOCUMENT_BYTES:
        reading.bad(
            number + 1, "line_too_long", f"{size} bytes, {MAX_DOCUMENT_BYTES} at the most", last, size
        )
    elif last.strip() and not (
        source.compression
        or now - source.received > SETTLED
        or last.strip() in {b"}", b"]"}
        or _is_object(last)
    ):
        reading.end_offset -= size
    elif last:
        yield number + 1, last
    reading.end_lines = number


def line_batches(
    reading: Reading, file_no: int, *, max_line_bytes: int, now: datetime
) -> Iterator[pa.RecordBatch]:
    """Give the new complete lines of a telemetrist file as batches of (file_no, line_no, line), without copying them.

    Lines longer than `max_line_bytes` are skipped while streaming; they and lines that are not UTF-8 are noted in `reading`. A last line without a line end is
    left for next time, unless it is a whole JSON object, or nothing was added to the file for a day.
    """
    source = reading.source
    number = source.lines
    rest = b""  # of a line whose end has not been seen
    skipped, skipped_start = 0, b""  # of a line that is too long already
    consumed = source.offset
    try:
        with (source.root / source.path).open("rb") as file:
            file.seek(source.offset)
            limited = (
                blocks(file, source.compression)
                if source.compression
                else _up_to(file, source.size - source.offset)
            )
            for block in limited:
                first = consumed == 0 and not rest and not skipped
                if first and block.startswith(b"\xef\xbb\xbf"):
                    block, consumed = block[3:], 3
                end = block.find(b"\n") if rest or skipped else -1
                if skipped:
                    if end < 0:
                        skipped += len(block)
                        continue
                    skipped += end
                    number += 1
                    reading.bad(
                        number,
                        "line_too_long",
                        f"{skipped} bytes, {max_line_bytes} at the most",
                        skipped_start,
                        skipped,
                    )
                    consumed += skipped + 1
                    block, skipped, end = block[end + 1 :], 0, -1
                data = rest + block if rest else block
                last = data.rfind(b"\n")
                if last < 0:
                    rest = data
                else:
                    rest = data[last + 1 :]
                    yield from _batch(reading, file_no, number, data, last + 1, max_line_bytes)
                    number += reading.end_lines
                    consumed += last + 1
                if len(rest) > max_line_bytes:
                    skipped, skipped_start, rest = len(rest), rest[:4096], b""
    except DamagedFileError as error:
        reading.bad(0, "damaged_file", str(error))
    settled = source.compression is not None or now - source.received > SETTLED
    if skipped and settled:
        reading.bad(
            number + 1,
            "line_too_long",
            f"{skipped} bytes, {max_line_bytes} at the most",
            skipped_start,
            skipped,
        )
        consumed += skipped
    elif rest.strip() and (settled or _is_object(rest)):
        data = rest + b"\n"
        yield from _batch(reading, file_no, number, data, len(data), max_line_bytes)
        consumed += len(rest)  # the number stays: the line end, when it comes, ends this very line
    reading.end_lines = number
    reading.end_offset = source.size if source.compression else consumed


def _up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Give the blocks of a plain file, but no byte that came after it was listed."""
    while size > 0 and (block := file.read(min(BLOCK_BYTES, size))):
        size -= len(block)
        yield block


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict | list)
    except orjson.JSONDecodeError:
        return False


BATCH_SCHEMA = pa.schema([("file_no", pa.int32()), ("line_no", pa.int64()), ("line", pa.string())])


def batch_of(file_no: int, numbers: np.ndarray, lines: pa.Array) -> pa.RecordBatch:
    """Return one batch in the schema that the engine reads."""
    return pa.RecordBatch.from_arrays(
        [pa.array(np.full(len(numbers), file_no, dtype=np.int32)), pa.array(numbers), lines],
        schema=BATCH_SCHEMA,
    )


def _batch(
    reading: Reading, file_no: int, before: int, data: bytes, end: int, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Split `data[:end]`, which ends with a line end; sets `reading.end_lines` to the number of lines in it."""
    ends = places_of(ord("\n"), np.frombuffer(data, dtype=np.uint8, count=end))
    offsets = np.empty(len(ends) + 1, dtype=np.int32)
    offsets[0] = 0
    offsets[1:] = ends + 1
    reading.end_lines = len(ends)
    numbers = np.arange(before + 1, before + len(ends) + 1, dtype=np.int64)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    keep = np.diff(offsets) <= max_line_bytes + 1
    for index in np.flatnonzero(~keep):
        line = data[offsets[index] : ends[index]]
        reading.bad(
            int(numbers[index]), "line_too_long", f"{len(line)} bytes, {max_line_bytes} at the most", line
        )
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        for index in np.flatnonzero(keep):
            line = data[offsets[index] : ends[index]]
            try:
                line.decode()
            except UnicodeDecodeError as error:
                keep[index] = False
                reading.bad(
                    int(numbers[index]),
                    "not_utf8",
                    f"byte {line[error.start]:#04x} at position {error.start}",
                    line,
                )
        lines = pa.array(
            [data[offsets[index] : offsets[index + 1]] for index in np.flatnonzero(keep)], type=pa.binary()
        ).cast(pa.string())
        yield batch_of(file_no, numbers[keep], lines)
        return
    if not keep.all():
        lines, numbers = lines.filter(pa.array(keep)), numbers[keep]
    yield batch_of(file_no, numbers, lines)


# Remembering -----------------------------------------------------------------------------------------------------------


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
                for row in entry.read(numbered_lines(reading, now)):
                    if isinstance(row, Row):
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
