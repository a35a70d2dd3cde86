"""The lake: day-partitioned Parquet and, for each table and day, a manifest that says what must be there.

What goes here: finding, adding, replacing, verifying and expiring a day's files. What does not: what the rows
mean (`tables.py`, `events/event.py`), computing them (the engines).

Layout: `<root>/<table>/event_date=2026-11-01/<hash of the file>.parquet`, one or several, and, beside them,
`manifest.json`. The manifest names the files, and is renamed into place last: a crash at any point leaves the
old day or the new one, never a mixture, and at worst files that no manifest names, which `clean` removes.

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

    name: str = Field(
        pattern=r"^[0-9a-f-]+\.parquet$", description="Below the day's folder, and nowhere else."
    )
    sha256: str
    rows: int = Field(ge=0)


class Manifest(Record):
    """What one day of one table holds."""

    table: str
    day: date
    rows: int = Field(ge=0)
    content_hash: str = Field(
        description="Hash of the rows without where they came from: the same in any order and over any "
        "split into files."
    )
    version: int = Field(ge=1, description="Counts how often the content changed.")
    source_files: tuple[str, ...] = Field(
        description="Files the rows came from; they may have been deleted since."
    )
    schema_version: int
    duckdb_version: str
    files: tuple[LakeFile, ...] = Field(
        (), description="Each is sorted by itself; none once the raw day was removed."
    )
    is_expired: bool = Field(
        False, description="Whether retention removed the rows; the counts say what there was."
    )
    stats: dict[str, int | float] = Field(default_factory=dict)


def _schema_of(content: bytes) -> int:
    """Return the schema that a manifest says it has; 0 where that cannot be read."""
    try:
        return int(orjson.loads(content)["schema_version"])
    except (ValueError, KeyError, TypeError):
        return 0


def _check_schema(path: Path, schema: int) -> None:
    """Refuse what a later release wrote: it may mean something else by the same fields."""
    if schema > SCHEMA_VERSION:
        message = (
            f"{path} was written by a later release (schema {schema}, this one reads up to "
            f"{SCHEMA_VERSION}). Use that "
            "release, or name a lake of its own in FEDERATED_LEARNING_LAKE_PATH; nothing was changed."
        )
        raise LakeError(message)


_P = ParamSpec("_P")
_R = TypeVar("_R")


def retry_on_conflict(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Repeat what locks, reads and commits, from its start, where another coordinator committed meanwhile."""
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
        """Return what one day of a table holds, or None where it was never written.

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
            message = f"{path} is not a manifest: {error}. {self._remedy()}."
            raise LakeError(message) from error
        _check_schema(path, manifest.schema_version)
        return manifest

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
        manifests = (self.manifest(table, day) for day in sorted(set(days)))
        return [
            self.folder(table, manifest.day) / file.name
            for manifest in manifests
            if manifest
            for file in manifest.files
        ]

    def content_of(self, day: date) -> str:
        """Return a token that changes exactly when what is stored of a day does."""
        manifests = (self.manifest(table, day) for table in _CONTENT_TABLES)
        summaries = self.manifest(_SUMMARIES, day)
        return "-".join(
            [
                *(manifest.content_hash if manifest else "none" for manifest in manifests),
                *([summaries.content_hash] if summaries else []),
            ]
        )

    def events_on(self, day: date) -> int:
        """Return the events of a day: calls and turns that are stored.

        Those that summaries tell of, a node that has both being counted by its summary.
        """
        summaries = self.manifest(_SUMMARIES, day)
        told = {
            node
            for path in self.files(_SUMMARIES, [day])
            for node in pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"].to_pylist()
        }
        events = int(summaries.stats["summary_events"]) if summaries else 0
        for table in _CONTENT_TABLES[:2]:
            manifest = self.manifest(table, day)
            events += manifest.rows if manifest else 0
            for path in self.files(table, [day]) if told else ():
                nodes = pq.read_table(path, columns=["node_id"], partitioning=None)["node_id"]
                events -= sum(
                    one["counts"] for one in nodes.value_counts().to_pylist() if one["values"] in told
                )
        return events

    @contextmanager
    def lock(self, wait_secs: float = 600.0) -> Iterator[None]:
        """Let one process at a time write to the lake; what is on an object store is fetched first.

        Raises:
            IngestBusyError: another one held the lock for `wait_secs`; those who take turns may be waited for
                longer.
            LakeError: the object store cannot be reached, or takes no conditional puts; or it lost what the
                mirror has.
        """
        path = self.root / "ingest.lock"  # in it, so that all who share the lake meet there
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path, wait_secs=wait_secs))
            except LockBusyError as error:
                message = f"{error}: one process at a time may ingest"
                raise IngestBusyError(message) from error
            yield

    def check_pseudonym_key(self, key: bytes) -> None:
        """Note whose key makes this lake's pseudonyms, or check that it is `key`.

        Raises:
            ForeignKeyError: the lake was filled with another key.
        """
        mark = hashlib.sha256(b"fl_assets pseudonyms" + key).hexdigest()
        if self._first("pseudonym.check", mark.encode()) != mark.encode():
            message = (
                f"{self.place} was filled with another pseudonym.key than that of this data folder: "
                "copy the file from a coordinator that shares the lake"
            )
            raise ForeignKeyError(message)

    def _first(self, name: str, content: bytes) -> bytes:
        """Write a file of the lake where there is none; return what is there."""
        path = self.root / name
        if not path.exists():
            write_atomically(path, content)
        return path.read_bytes()

    def add(self, table: str, day: date, rows: int, write: Callable[[Path], object]) -> LakeFile:
        """Write a file of a day; until a commit names it, it is at `staged`.

        Args:
            table: name of the table.
            day: the day.
            rows: how many `write` writes.
            write: writes the Parquet to the path that it is given.
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
        """Return where a file that was added is before it is committed."""
        return self.folder(table, day) / (file.name + _STAGED)

    def commit(self, manifest: Manifest, write: Callable[[Path], None] | None = None) -> Manifest:
        """Let a day of a table be what a manifest says, and remove all else from its folder.

        Args:
            manifest: what the day holds from now on.
            write: writes all rows of the day to the path that it is given: they are its only file.

        Returns:
            The manifest as stored.

        Raises:
            ConcurrentCommitError: another coordinator committed to the object store since `lock` was taken.
        """
        folder = self.folder(manifest.table, manifest.day)
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest(manifest.table, manifest.day)  # one that is damaged is not overwritten
        if write:
            manifest = manifest.model_copy(
                update={"files": (self.add(manifest.table, manifest.day, manifest.rows, write),)}
            )
        content = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        with self._publishing(manifest, content):
            for file in manifest.files:
                with suppress(FileNotFoundError):  # it was committed before
                    self.staged(manifest.table, manifest.day, file).replace(folder / file.name)
            sync_folder(folder)
            write_atomically(folder / MANIFEST, content)
            self.sweep(manifest.table, manifest.day)
        return manifest

    def _publishing(self, manifest: Manifest, content: bytes) -> AbstractContextManager[None]:  # noqa: ARG002
        """Commit where others read it, before the block puts the day in place here."""
        return nullcontext()

    def refresh(self) -> None:
        """Fetch what others committed; nothing for a lake that is a folder."""

    def verify(self, table: str, day: date) -> list[Violation]:
        """Compare the manifest of a day with its Parquet files, byte for byte.

        A day that was never written has nothing wrong.
        """
        manifest = self.manifest(table, day)
        if manifest is None or manifest.is_expired:
            return []
        subject, rule = f"{table} of {day}", "lake_matches_manifest"
        found = self._verify_store(manifest)
        for file in manifest.files:
            path = self.folder(table, day) / file.name
            try:
                sha256, rows = hash_file(path), pq.read_metadata(path).num_rows
            except FileNotFoundError:
                found.append(
                    Violation(
                        rule=rule, subject=subject, expected=f"the file {file.name}", actual="no such file"
                    )
                )
                continue
            except (OSError, ValueError) as error:
                found.append(
                    Violation(
                        rule=rule,
                        subject=subject,
                        expected=f"the Parquet file {file.name}",
                        actual=f"a damaged file ({error})",
                    )
                )
                continue
            expected, actual = f"{file.rows} rows, SHA-256 {file.sha256}", f"{rows} rows, SHA-256 {sha256}"
            if expected != actual:
                found.append(Violation(rule=rule, subject=subject, expected=expected, actual=actual))
        if (rows := sum(file.rows for file in manifest.files)) != manifest.rows:
            found.append(
                Violation(
                    rule=rule,
                    subject=subject,
                    expected=f"{manifest.rows} rows",
                    actual=f"{rows} rows in {len(manifest.files)} files",
                )
            )
        return found

    def _verify_store(self, manifest: Manifest) -> list[Violation]:  # noqa: ARG002
        """Return what differs between a manifest and the object store; nothing without one."""
        return []

    def sweep(self, table: str, day: date) -> list[Path]:
        """Remove from a day's folder what its manifest does not name; return it.

        Call it under the ingestion lock only.
        """
        folder = self.folder(table, day)
        manifest = self.manifest(table, day)
        kept = {MANIFEST, *(file.name for file in manifest.files)} if manifest else set()
        removed = [path for path in sorted(folder.iterdir()) if path.name not in kept]
        for path in removed:
            path.unlink(missing_ok=True)
        if manifest is None:
            with suppress(OSError):
                folder.rmdir()
        return removed

    def clean(self) -> list[Path]:
        """Remove what an interrupted commit left behind: files that no manifest names; return them.

        Call it under the ingestion lock only.
        """
        folders = sorted(self.root.glob(f"*/{PREFIX}*"))
        return [
            path
            for folder in folders
            for path in self.sweep(folder.parent.name, date.fromisoformat(folder.name.removeprefix(PREFIX)))
        ]

    @retry_on_conflict
    def expire(self, today: date, retention_days: int) -> list[date]:
        """Remove the rows of days more than `retention_days` before `today` (0: none).

        Say so in their manifests, which stay; summaries are sums, and stay.
        """
        if retention_days == 0:
            return []
        tables = (
            sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name != _SUMMARIES)
            if self.root.is_dir()
            else []
        )
        old = [
            (table, day)
            for table in tables
            for day in self.days(table)
            if day < today - timedelta(days=retention_days)
        ]
        manifests = [
            manifest
            for table, day in old
            if (manifest := self.manifest(table, day)) and not manifest.is_expired
        ]
        if not manifests:
            return []
        with self.lock():  # ingestion may be adding files to one of these days
            for before in manifests:
                if manifest := self.manifest(before.table, before.day):
                    self.commit(manifest.model_copy(update={"is_expired": True, "files": ()}))
        return sorted({manifest.day for manifest in manifests})


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_and_hash(path: Path) -> str:
    """Have a file reach the disk; return its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return hash_file(path)
