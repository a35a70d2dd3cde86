"""The lake: Parquet by table and day, with a manifest for each that names its files.

What goes here: finding, adding, replacing, verifying and expiring a day's files. What does not: what the rows
mean (`tables.py`, `events/event.py`), computing them (the engines).

Layout: `<root>/<table>/event_date=2026-11-01/` with `<hash of the file>.parquet`, one or several, and
`manifest.json`. The manifest is renamed into place last: a crash leaves the old day or the new one, never a
mixture, and at worst files that no manifest names, which `clean` removes.

A lake on an object store has the same layout in a local folder, its mirror (`mirror.py`). `open_lake` chooses
between the two.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

import orjson
import pyarrow.parquet as pq
from pydantic import Field
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from fl_assets.core.models import Record, Violation
from fl_assets.infra.disk import LockBusyError, locked, sync_folder, write_atomically
from fl_assets.infra.errors import ConcurrentCommitError, ForeignKeyError, IngestBusyError, LakeError

SCHEMA_VERSION = 2
MANIFEST, PREFIX = "manifest.json", "event_date="
TEMPORARY, _STAGED = ".tmp", ".staged"
_CONTENT_TABLES = ("raw_traces", "conversation_logs", "error_records")
_SUMMARIES = "node_summaries"


class LakeFile(Record):
    """A Parquet file of a day."""

    name: str = Field(pattern=r"^[0-9a-f-]+\.parquet$")
    """Within the day's folder."""
    sha256: str
    rows: int = Field(ge=0)


class Manifest(Record):
    """What one day of one table holds."""

    table: str
    day: date
    rows: int = Field(ge=0)
    content_hash: str
    """Hash of the rows without their sources: the same in any order and split into files."""
    version: int = Field(ge=1)
    """Counts how often the content changed."""
    source_files: tuple[str, ...]
    """Files the rows came from; some may be deleted by now."""
    schema_version: int
    duckdb_version: str
    files: tuple[LakeFile, ...] = ()
    """Each is sorted by itself; none once the day has expired."""
    is_expired: bool = False
    """Whether retention removed the rows; the counts are those of before."""
    stats: dict[str, int | float] = Field(default_factory=dict)
    damage: str = Field("", exclude=True)
    """Why the one on disk cannot be read (`manifest_or_damage`)."""


def _schema_of(content: bytes) -> int:
    """Return the schema version of a manifest; 0 where that cannot be read."""
    try:
        return int(orjson.loads(content)["schema_version"])
    except (ValueError, KeyError, TypeError):
        return 0


def _check_schema(path: Path, schema: int) -> None:
    """Refuse the manifest of a later release, whose fields may mean something else."""
    if schema > SCHEMA_VERSION:
        raise LakeError(
            f"{path} was written by a later release (schema {schema}, this one reads up to "
            f"{SCHEMA_VERSION}). Use that "
            "release, or name a lake of its own in FEDERATED_LEARNING_LAKE_PATH; nothing was changed."
        )


_P = ParamSpec("_P")
_R = TypeVar("_R")


def retry_on_conflict(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Rerun a method that locks, reads and commits when another coordinator committed meanwhile."""
    is_conflict = retry_if_exception_type(ConcurrentCommitError)
    return retry(retry=is_conflict, stop=stop_after_attempt(5), reraise=True)(method)


class Lake:
    """Parquet by table and day below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """Where the lake is, for people."""
        return str(self.root)

    def folder(self, table: str, day: date) -> Path:
        """Return the folder of one day of a table."""
        return self.root / table / f"{PREFIX}{day.isoformat()}"

    def manifest(self, table: str, day: date) -> Manifest | None:
        """Return the manifest of a day of a table, None where it was never written.

        Raises:
            LakeError: the manifest is damaged, or a later release wrote it.
        """
        path = self.folder(table, day) / MANIFEST
        try:
            content = path.read_bytes()
            manifest = Manifest.model_validate_json(content)
        except FileNotFoundError:
            return None
        except ValueError as error:
            _check_schema(path, _schema_of(content))
            raise LakeError(f"{path} is not a manifest: {error}. {self._remedy()}.") from error
        _check_schema(path, manifest.schema_version)
        return manifest

    def manifest_or_damage(self, table: str, day: date) -> Manifest | None:
        """Return the manifest for a reader: instead of a damaged one, one without rows that says so.

        So a damaged day stops no other: `verify` names it, and nothing is written to it or removed from it.

        Raises:
            LakeError: a later release wrote it.
        """
        path = self.folder(table, day) / MANIFEST
        try:
            return self.manifest(table, day)
        except LakeError as error:
            try:
                content = path.read_bytes()
            except OSError:
                content = b""
            if _schema_of(content) > SCHEMA_VERSION:
                raise
            return Manifest(
                table=table,
                day=day,
                rows=0,
                content_hash=f"damaged {hashlib.sha256(content).hexdigest()}",
                version=1,
                source_files=(),
                schema_version=SCHEMA_VERSION,
                duckdb_version="",
                damage=str(error),
            )

    def _remedy(self) -> str:
        """Return what to do about a damaged manifest."""
        return (
            "Put that folder back from a backup. Without one, move it (of a lake that an earlier release "
            f"wrote: all {self.root}/*/{PREFIX}*) out of the lake, and index.sqlite out of the data folder, "
            "and run a cycle: the files of telemetry that are there are read again, and nothing is stored "
            "twice. Keep what was moved: its Parquet has the events of files that are gone"
        )

    def days(self, table: str) -> list[date]:
        """Return the days that were ever written, oldest first."""
        folder = self.root / table
        names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
        days = [date.fromisoformat(name.removeprefix(PREFIX)) for name in names if name.startswith(PREFIX)]
        return sorted(day for day in days if (self.folder(table, day) / MANIFEST).is_file())

    def files(self, table: str, days: Iterable[date]) -> list[Path]:
        """Return the Parquet files of those of the days that have rows, oldest day first."""
        manifests = (self.manifest_or_damage(table, day) for day in sorted(set(days)))
        return [
            self.folder(table, manifest.day) / file.name
            for manifest in manifests
            if manifest
            for file in manifest.files
        ]

    def paths(self, table: str, days: Iterable[date]) -> list[str]:
        """Return the same as absolute paths, for DuckDB."""
        return [os.fspath(path.resolve()) for path in self.files(table, days)]

    def content_of(self, day: date) -> str:
        """Return a token that changes exactly when what is stored of a day does."""
        manifests = (self.manifest_or_damage(table, day) for table in _CONTENT_TABLES)
        summaries = self.manifest_or_damage(_SUMMARIES, day)
        return "-".join(
            [
                *(manifest.content_hash if manifest else "none" for manifest in manifests),
                *([summaries.content_hash] if summaries else []),
            ]
        )

    def events_on(self, day: date) -> int:
        """Return the number of a day's events: calls, turns, and those that summaries report.

        A node that has both counts by its summary.
        """
        summaries = self.manifest_or_damage(_SUMMARIES, day)
        summarised = {
            node
            for path in self.files(_SUMMARIES, [day])
            for node in pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"].to_pylist()
        }
        events = int(summaries.stats.get("summary_events", 0)) if summaries else 0
        for table in _CONTENT_TABLES[:2]:
            manifest = self.manifest_or_damage(table, day)
            events += manifest.rows if manifest else 0
            for path in self.files(table, [day]) if summarised else ():
                nodes = pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"]
                counts = nodes.value_counts().to_pylist()
                events -= sum(one["counts"] for one in counts if one["values"] in summarised)
        return events

    @contextmanager
    def lock(self, wait_secs: float = 600.0) -> Iterator[None]:
        """Let one process at a time write to the lake; a mirror is brought up to date first.

        Raises:
            IngestBusyError: another process held the lock for `wait_secs`.
            LakeError: of an object store (see `MirroredLake.lock`).
        """
        path = self.root / "ingest.lock"  # within the lake, for all that share it
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path, wait_secs=wait_secs))
            except LockBusyError as error:
                raise IngestBusyError(f"{error}: one process at a time may ingest") from error
            yield

    def check_pseudonym_key(self, key: bytes) -> None:
        """Check that this lake's pseudonyms are made with `key`, which an empty lake adopts.

        Raises:
            ForeignKeyError: the lake was filled with another key.
        """
        mark = hashlib.sha256(b"fl_assets pseudonyms" + key).hexdigest()
        if self._first("pseudonym.check", mark.encode()) != mark.encode():
            raise ForeignKeyError(
                f"{self.place} was filled with another pseudonym.key than that of this data folder: "
                "copy the file from a coordinator that shares the lake"
            )

    def _first(self, name: str, content: bytes) -> bytes:
        """Create a file of the lake unless it exists; return its content."""
        path = self.root / name
        if not path.exists():
            write_atomically(path, content)
        return path.read_bytes()

    def add(self, table: str, day: date, rows: int, write: Callable[[Path], object]) -> LakeFile:
        """Write a file of a day; it is at `staged` until a commit names it.

        `write` writes the Parquet, of `rows` rows, to a path.
        """
        folder = self.folder(table, day)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{secrets.token_hex(8)}{TEMPORARY}"
        write(temporary)
        sha256 = sync_and_hash(temporary)
        file = LakeFile(name=self._name_of(sha256), sha256=sha256, rows=rows)
        temporary.replace(self.staged(table, day, file))
        return file

    def _name_of(self, sha256: str) -> str:
        return f"{sha256[:24]}.parquet"

    def staged(self, table: str, day: date, file: LakeFile) -> Path:
        """Return the path of an added file before its commit."""
        return self.folder(table, day) / (file.name + _STAGED)

    def commit(self, manifest: Manifest, write: Callable[[Path], None] | None = None) -> Manifest:
        """Replace a day of a table by what a manifest names, and remove all else from its folder.

        `write` writes all rows of the day to a path, which is then its only file.

        Returns:
            The manifest as stored.

        Raises:
            ConcurrentCommitError: another coordinator committed to the object store since `lock` was taken.
        """
        folder = self.folder(manifest.table, manifest.day)
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest(manifest.table, manifest.day)  # raises rather than overwrite a damaged one
        if write:
            manifest = manifest.model_copy(
                update={"files": (self.add(manifest.table, manifest.day, manifest.rows, write),)}
            )
        content = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        with self._publishing(manifest, content):
            for file in manifest.files:
                with suppress(FileNotFoundError):  # in place already
                    self.staged(manifest.table, manifest.day, file).replace(folder / file.name)
            sync_folder(folder)
            write_atomically(folder / MANIFEST, content)
            self.sweep(manifest.table, manifest.day)
        return manifest

    def _publishing(self, manifest: Manifest, content: bytes) -> AbstractContextManager[None]:  # noqa: ARG002
        """Commit to the object store, if there is one, before the block changes the folder."""
        return nullcontext()

    def refresh(self) -> None:
        """Fetch what others committed; nothing for a lake that is a folder."""

    def verify(self, table: str, day: date) -> list[Violation]:
        """Compare the Parquet files of a day with its manifest, byte for byte; nothing for a missing day."""
        manifest = self.manifest_or_damage(table, day)
        if manifest is None or manifest.is_expired:
            return []
        subject = f"{table} of {day}"
        if manifest.damage:
            return [mismatch(subject, f"the manifest {self.folder(table, day) / MANIFEST}", manifest.damage)]
        found = self._verify_store(manifest)
        for file in manifest.files:
            path = self.folder(table, day) / file.name
            expected = f"{file.rows} rows, SHA-256 {file.sha256}"
            try:
                actual = f"{pq.read_metadata(path).num_rows} rows, SHA-256 {hash_file(path)}"
            except FileNotFoundError:
                expected, actual = f"the file {file.name}", "no such file"
            except (OSError, ValueError) as error:
                expected, actual = f"the Parquet file {file.name}", f"a damaged file ({error})"
            if expected != actual:
                found.append(mismatch(subject, expected, actual))
        if (rows := sum(file.rows for file in manifest.files)) != manifest.rows:
            actual = f"{rows} rows in {len(manifest.files)} files"
            found.append(mismatch(subject, f"{manifest.rows} rows", actual))
        return found

    def _verify_store(self, manifest: Manifest) -> list[Violation]:  # noqa: ARG002
        """Return the differences between a manifest and the object store; none without a store."""
        return []

    def sweep(self, table: str, day: date) -> list[Path]:
        """Remove what a day's manifest does not name; return it. Needs the ingestion lock."""
        folder = self.folder(table, day)
        manifest = self.manifest_or_damage(table, day)
        if manifest and manifest.damage:
            return []
        kept = {MANIFEST, *(file.name for file in manifest.files)} if manifest else set()
        removed = [path for path in sorted(folder.iterdir()) if path.name not in kept]
        for path in removed:
            path.unlink(missing_ok=True)
        if manifest is None:
            with suppress(OSError):
                folder.rmdir()
        return removed

    def clean(self) -> list[Path]:
        """Remove all files that no manifest names; return them. Needs the ingestion lock."""
        folders = sorted(self.root.glob(f"*/{PREFIX}*"))
        return [
            path
            for folder in folders
            for path in self.sweep(folder.parent.name, date.fromisoformat(folder.name.removeprefix(PREFIX)))
        ]

    @retry_on_conflict
    def expire(self, today: date, retention_days: int) -> list[date]:
        """Remove the rows of days more than `retention_days` (0: none) before `today`; return these days.

        Their manifests stay and say so. Summaries are sums, and stay.
        """
        if retention_days == 0:
            return []
        first_kept = today - timedelta(days=retention_days)
        tables = sorted(path.name for path in self.root.glob("*/") if path.name != _SUMMARIES)
        old = [(table, day) for table in tables for day in self.days(table) if day < first_kept]
        found = [self.manifest_or_damage(table, day) for table, day in old]
        manifests = [one for one in found if one and not one.is_expired and not one.damage]
        if not manifests:
            return []
        with self.lock():  # read again, as ingestion may have added to one of these days
            for before in manifests:
                if manifest := self.manifest(before.table, before.day):
                    self.commit(manifest.model_copy(update={"is_expired": True, "files": ()}))
        return sorted({manifest.day for manifest in manifests})


def mismatch(subject: str, expected: str, actual: str) -> Violation:
    """Return a violation of the rule `lake_matches_manifest`."""
    return Violation(rule="lake_matches_manifest", subject=subject, expected=expected, actual=actual)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_and_hash(path: Path) -> str:
    """Flush a file to the disk; return its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return hash_file(path)
