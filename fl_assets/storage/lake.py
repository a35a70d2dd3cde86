"""The lake: day-partitioned Parquet and, for each table and day, a manifest that says what must be there.

What goes here: finding, replacing, verifying and expiring a day's file. What does not: what the rows mean (`tables.py`, `domain/telemetry.py`),
computing them (the engines).

Layout: `<root>/<table>/event_date=2026-11-01/<hash of the file>.parquet` and, beside it, `manifest.json`. The manifest names the file, and is renamed into place last:
a crash at any point leaves the old day or the new one, never a mixture, and at worst a file that no manifest names, which `clean` removes.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import orjson
import pyarrow.parquet as pq
from pydantic import Field

from fl_assets.domain.models import Record, Violation

SCHEMA_VERSION = 1
_MANIFEST, _PREFIX, _TEMPORARY = "manifest.json", "event_date=", ".tmp"
_CONTENT_TABLES = ("raw_traces", "conversation_logs", "error_records")
_SUMMARIES = "node_summaries"


class Manifest(Record):
    """What one day of one table holds."""

    table: str
    day: date
    rows: int = Field(ge=0)
    content_hash: str = Field(description="Hash of the rows without where they came from: the same in any order and over any split into files.")
    version: int = Field(ge=1, description="Counts how often the content changed.")
    source_files: tuple[str, ...] = Field(description="Files the rows came from; they may have been deleted since.")
    schema_version: int
    duckdb_version: str
    file: str = Field(description="Name of the Parquet file; '' once the raw day was removed.")
    file_sha256: str
    is_expired: bool = Field(False, description="Whether retention removed the rows; the counts say what there was.")
    stats: dict[str, int | float] = Field(default_factory=dict)


class LakeError(RuntimeError):
    """A manifest that cannot be read; the text names it."""


class ForeignKeyError(RuntimeError):
    """A lake whose pseudonyms were made with another key; the text says how to go on."""


class IngestBusyError(RuntimeError):
    """Another process has been writing to the lake for longer than we wait."""


class Lake:
    """Parquet by table and day below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, table: str, day: date) -> Path:
        """Return the folder of one day of a table."""
        return self.root / table / f"{_PREFIX}{day.isoformat()}"

    def manifest(self, table: str, day: date) -> Manifest | None:
        """Return what one day of a table holds, or None where it was never written.

        Raises:
            LakeError: the manifest is damaged.
        """
        path = self.folder(table, day) / _MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            message = f"{path} is not a manifest: {error}. Remove that folder and ingest its source files again."
            raise LakeError(message) from error

    def days(self, table: str) -> list[date]:
        """Return the days that were ever written, oldest first."""
        folder = self.root / table
        names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
        days = [date.fromisoformat(name.removeprefix(_PREFIX)) for name in names if name.startswith(_PREFIX)]
        return sorted(day for day in days if (self.folder(table, day) / _MANIFEST).is_file())

    def files(self, table: str, days: Iterable[date]) -> list[Path]:
        """Return the Parquet files of those of the days that have rows, oldest first."""
        manifests = (self.manifest(table, day) for day in sorted(set(days)))
        return [self.folder(table, manifest.day) / manifest.file for manifest in manifests if manifest and manifest.file]

    def content_of(self, day: date) -> str:
        """Return a token that changes exactly when what is stored of a day's events, error records and summaries does."""
        manifests = (self.manifest(table, day) for table in _CONTENT_TABLES)
        summaries = self.manifest(_SUMMARIES, day)
        return "-".join([*(manifest.content_hash if manifest else "none" for manifest in manifests), *([summaries.content_hash] if summaries else [])])

    def events_on(self, day: date) -> int:
        """Return the events of a day: calls and turns that are stored, and those that summaries tell of, a node that has both being counted by its summary."""
        summaries = self.manifest(_SUMMARIES, day)
        told = {node for path in self.files(_SUMMARIES, [day]) for node in pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"].to_pylist()}
        events = int(summaries.stats["summary_events"]) if summaries else 0
        for table in _CONTENT_TABLES[:2]:
            manifest = self.manifest(table, day)
            events += manifest.rows if manifest else 0
            for path in self.files(table, [day]) if told else ():
                nodes = pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"]
                events -= sum(one["counts"] for one in nodes.value_counts().to_pylist() if one["values"] in told)
        return events

    @contextmanager
    def lock(self, wait_secs: float = 600.0) -> Iterator[None]:
        """Let one process at a time write to the lake.

        Raises:
            IngestBusyError: another one held the lock for `wait_secs`.
        """
        path = self.root / "ingest.lock"  # in it, so that all who share the lake meet there
        path.parent.mkdir(parents=True, exist_ok=True)
        stop = time.monotonic() + wait_secs
        with path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > stop:
                        message = f"another process has held {path} for {wait_secs:.0f} s: one process at a time may ingest"
                        raise IngestBusyError(message) from error
                    time.sleep(0.2)
            yield

    def claim(self, key: bytes) -> None:
        """Note whose key makes this lake's pseudonyms, or see that it is `key`: with another one, the same person would get a second name.

        Raises:
            ForeignKeyError: the lake was filled with another key.
        """
        path = self.root / "pseudonym.check"
        mark = hashlib.sha256(b"fl_assets pseudonyms" + key).hexdigest()
        if not path.exists():
            write_atomically(path, mark.encode())
        elif path.read_text() != mark:
            message = f"{self.root} was filled with another pseudonym.key than that of this data folder: copy the file from a coordinator that shares the lake"
            raise ForeignKeyError(message)

    def commit(self, manifest: Manifest, write: Callable[[Path], None] | None = None) -> Manifest:
        """Replace one day of a table; without `write` only its manifest.

        Args:
            manifest: what the day holds from now on; `file` and `file_sha256` are filled in here.
            write: writes the Parquet to the path that it is given.

        Returns:
            The manifest as stored.
        """
        folder = self.folder(manifest.table, manifest.day)
        folder.mkdir(parents=True, exist_ok=True)
        old = self.manifest(manifest.table, manifest.day)
        if write:
            temporary = folder / f"rows{_TEMPORARY}"
            write(temporary)
            sha256 = _sync_and_hash(temporary)
            manifest = manifest.model_copy(update={"file": f"{sha256[:24]}.parquet", "file_sha256": sha256})
            temporary.replace(folder / manifest.file)
            sync_folder(folder)
        write_atomically(folder / _MANIFEST, orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
        if old and old.file and old.file != manifest.file:
            (folder / old.file).unlink(missing_ok=True)
        return manifest

    def verify(self, table: str, day: date) -> list[Violation]:
        """Compare the manifest of a day with its Parquet file, byte for byte; a day that was never written has nothing wrong."""
        manifest = self.manifest(table, day)
        if manifest is None or manifest.is_expired:
            return []
        subject = f"{table} of {day}"
        path = self.folder(table, day) / manifest.file
        try:
            sha256, rows = _hash(path), pq.read_metadata(path).num_rows
        except FileNotFoundError:
            return [Violation(rule="lake_matches_manifest", subject=subject, expected=f"the file {manifest.file}", actual="no such file")]
        except (OSError, ValueError) as error:
            return [Violation(rule="lake_matches_manifest", subject=subject, expected=f"the Parquet file {manifest.file}", actual=f"a damaged file ({error})")]
        expected, actual = f"{manifest.rows} rows, SHA-256 {manifest.file_sha256}", f"{rows} rows, SHA-256 {sha256}"
        return [Violation(rule="lake_matches_manifest", subject=subject, expected=expected, actual=actual)] if expected != actual else []

    def clean(self) -> list[Path]:
        """Remove what an interrupted commit left behind: files that no manifest names; return them. Call it under the ingestion lock only."""
        removed = []
        for folder in sorted(self.root.glob(f"*/{_PREFIX}*")):
            manifest = self.manifest(folder.parent.name, date.fromisoformat(folder.name.removeprefix(_PREFIX)))
            kept = {_MANIFEST, manifest.file if manifest else ""}
            for path in sorted(folder.iterdir()):
                if path.name not in kept:
                    path.unlink()
                    removed.append(path)
            if manifest is None:
                with suppress(OSError):
                    folder.rmdir()
        return removed

    def expire(self, today: date, retention_days: int) -> list[date]:
        """Remove the rows of days more than `retention_days` before `today` (0: none), and say so in their manifests, which stay; summaries are sums, and stay."""
        if retention_days == 0:
            return []
        expired = set()
        for table in sorted(path.name for path in self.root.iterdir() if path.name != _SUMMARIES) if self.root.is_dir() else []:
            for day in self.days(table):
                manifest = self.manifest(table, day)
                if manifest and not manifest.is_expired and day < today - timedelta(days=retention_days):
                    self.commit(manifest.model_copy(update={"is_expired": True, "file": "", "file_sha256": ""}))
                    expired.add(day)
        return sorted(expired)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a crash leaves the old one or the new one."""
    temporary = path.with_name(path.name + _TEMPORARY)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder of ours with all that is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_and_hash(path: Path) -> str:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return _hash(path)


def sync_folder(path: Path) -> None:
    """Make renames in a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
