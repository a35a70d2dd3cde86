"""The lake: day-partitioned Parquet and, for each table and day, a manifest that says what must be there.

What goes here: finding, adding, replacing, verifying and expiring a day's files. What does not: what the rows mean (`tables.py`, `events/telemetry.py`),
computing them (the engines).

Layout: `<root>/<table>/event_date=2026-11-01/<hash of the file>.parquet`, one or several, and, beside them, `manifest.json`. The manifest names the files, and is renamed
into place last: a crash at any point leaves the old day or the new one, never a mixture, and at worst files that no manifest names, which `clean` removes.

A lake on an object store (`remote_lake.py`) has the same layout in a local folder, its mirror. All is read from there; `lock` brings it up to the store, and what `commit`
says is the store's before it is the mirror's.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import orjson
import pyarrow.parquet as pq
from pydantic import Field
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from fl_assets.core.models import Record, Violation
from fl_assets.core.settings import FederatedLearningConfig

if TYPE_CHECKING:  # of the extra [object-storage]
    from fl_assets.infra.remote_lake import RemoteLake

SCHEMA_VERSION = 2
_MANIFEST, _PREFIX, _TEMPORARY = "manifest.json", "event_date=", ".tmp"
_STAGED = ".staged"
_MIRRORED, _SWEPT = "mirrored.json", "swept"
"""Of a mirror: the manifests that it holds, by folder, and when its coordinator last swept the store."""
SWEEP_SECS = 86_400
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
        description="Hash of the rows without where they came from: the same in any order and over any split into files."
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


class LakeError(RuntimeError):
    """A manifest that cannot be read; the text names it."""


class ForeignKeyError(RuntimeError):
    """A lake whose pseudonyms were made with another key; the text says how to go on."""


class IngestBusyError(RuntimeError):
    """Another process has been writing to the lake for longer than we wait."""


class LakeMovedError(RuntimeError):
    """Another coordinator committed to a lake on an object store since it was read; see `again_if_moved`."""


_P = ParamSpec("_P")
_R = TypeVar("_R")


def again_if_moved(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what takes the lock, reads the lake, and commits what it decided on that decide anew where it was overtaken."""
    return retry(retry=retry_if_exception_type(LakeMovedError), stop=stop_after_attempt(5), reraise=True)(
        method
    )


class Lake:
    """Parquet by table and day below `root`: the lake itself, or the mirror of a `remote` one."""

    def __init__(self, root: Path, remote: "RemoteLake | None" = None) -> None:
        self.root, self.remote = root, remote

    @classmethod
    def of(cls, settings: FederatedLearningConfig) -> "Lake":
        """Return the lake that the settings name.

        Raises:
            LakeError: it is on an object store, and the extra that this needs is not installed.
        """
        if isinstance(settings.lake_path, Path):
            return cls(settings.lake_path)
        if find_spec("obstore") is None:
            message = f"FEDERATED_LEARNING_LAKE_PATH={settings.lake_path}, but obstore is not installed: pip install 'fl-assets[object-storage]', or name a folder"
            raise LakeError(message)
        from fl_assets.infra.remote_lake import Objects, RemoteLake

        return cls(settings.lake_folder, RemoteLake(Objects(settings.lake_path)))

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
            remedy = "Remove that folder: it is fetched again"
            if not self.remote:
                remedy = f"Remove that folder (of a lake that an earlier release wrote: all {self.root}/*/{_PREFIX}*) and index.sqlite in the data folder, and run a cycle"
                remedy = f"{remedy}: all files of telemetry are read again, and nothing is stored twice"
            message = f"{path} is not a manifest: {error}. {remedy}."
            raise LakeError(message) from error

    def days(self, table: str) -> list[date]:
        """Return the days that were ever written, oldest first."""
        folder = self.root / table
        names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
        days = [date.fromisoformat(name.removeprefix(_PREFIX)) for name in names if name.startswith(_PREFIX)]
        return sorted(day for day in days if (self.folder(table, day) / _MANIFEST).is_file())

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
        """Return a token that changes exactly when what is stored of a day's events, error records and summaries does."""
        manifests = (self.manifest(table, day) for table in _CONTENT_TABLES)
        summaries = self.manifest(_SUMMARIES, day)
        return "-".join(
            [
                *(manifest.content_hash if manifest else "none" for manifest in manifests),
                *([summaries.content_hash] if summaries else []),
            ]
        )

    def events_on(self, day: date) -> int:
        """Return the events of a day: calls and turns that are stored, and those that summaries tell of, a node that has both being counted by its summary."""
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
        """Let one process at a time write to the lake; a mirror is brought up to its store first.

        Raises:
            IngestBusyError: another one held the lock for `wait_secs`; those who take turns may be waited for longer.
            LakeError: the object store cannot be reached, or takes no conditional puts; or it lost what the mirror has.
        """
        path = self.root / "ingest.lock"  # in it, so that all who share the lake meet there
        path.parent.mkdir(parents=True, exist_ok=True)
        since, seen = time.monotonic(), 0
        with path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.utime(file.fileno())  # tells those who wait of another turn
                    break
                except BlockingIOError as error:
                    if (turn := os.fstat(file.fileno()).st_mtime_ns) != seen:
                        since, seen = time.monotonic(), turn
                    if time.monotonic() - since > wait_secs:
                        message = f"another process has held {path} for {wait_secs:.0f} s: one process at a time may ingest"
                        raise IngestBusyError(message) from error
                    time.sleep(0.2)
            if self.remote is None:
                yield
                return
            self._pull(self.remote)  # what may take long, before anybody waits for us
            with self.remote.hold(wait_secs):
                self._pull(self.remote)
                yield

    def claim(self, key: bytes) -> None:
        """Note whose key makes this lake's pseudonyms, or see that it is `key`: with another one, the same person would get a second name.

        Raises:
            ForeignKeyError: the lake was filled with another key.
        """
        path = self.root / "pseudonym.check"
        mark = hashlib.sha256(b"fl_assets pseudonyms" + key).hexdigest()
        if self.remote:
            found = self.remote.first(path.name, mark.encode()).decode()
        else:
            if not path.exists():
                write_atomically(path, mark.encode())
            found = path.read_text()
        if found != mark:
            message = f"{self.remote.url if self.remote else self.root} was filled with another pseudonym.key than that of this data folder: copy the file from a coordinator that shares the lake"
            raise ForeignKeyError(message)

    def add(self, table: str, day: date, rows: int, write: Callable[[Path], object]) -> LakeFile:
        """Write a file of a day, which is not part of it before a commit names it: until then it is at `staged`.

        Args:
            table: name of the table.
            day: the day.
            rows: how many `write` writes.
            write: writes the Parquet to the path that it is given.
        """
        folder = self.folder(table, day)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{secrets.token_hex(8)}{_TEMPORARY}"
        write(temporary)
        sha256 = _sync_and_hash(temporary)
        unique = f"-{secrets.token_hex(4)}" if self.remote else ""  # there a name is never used again
        file = LakeFile(name=f"{sha256[:24]}{unique}.parquet", sha256=sha256, rows=rows)
        temporary.replace(self.staged(table, day, file))
        return file

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
            LakeMovedError: another coordinator committed to the object store since `lock` was taken.
        """
        folder = self.folder(manifest.table, manifest.day)
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest(manifest.table, manifest.day)  # one that is damaged is not overwritten
        if write:
            manifest = manifest.model_copy(
                update={"files": (self.add(manifest.table, manifest.day, manifest.rows, write),)}
            )
        content = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        mirrored: dict[str, str] | None = None
        if self.remote:
            staged = {
                file.name: path
                for file in manifest.files
                if (path := self.staged(manifest.table, manifest.day, file)).exists()
            }
            mirrored = self.remote.commit(folder.relative_to(self.root).as_posix(), content, staged)
        for file in manifest.files:
            with suppress(FileNotFoundError):  # it was committed before
                self.staged(manifest.table, manifest.day, file).replace(folder / file.name)
        sync_folder(folder)
        write_atomically(folder / _MANIFEST, content)
        self.sweep(manifest.table, manifest.day)
        if mirrored:
            self._note(mirrored)
        return manifest

    # The mirror of a lake on an object store ---------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring a mirror up to its store, without a word to other coordinators."""
        if self.remote:
            with Lake(self.root).lock():  # of the processes that share this folder
                self._pull(self.remote)

    def _pull(self, remote: "RemoteLake") -> None:
        """Make the folder what the store holds: manifests that changed, and the files that they name and it lacks."""
        remote.prove()
        path = self.root / _MIRRORED
        held: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
        while True:
            head = remote.look()
            days = head.days if head else {}
            if lost := sorted(held.keys() - days.keys()):
                message = (
                    f"{remote.url} no longer knows {lost[0]}{f' and {len(lost) - 1} more' if lost[1:] else ''}, which it has known before: restore head.json (the bucket's "
                    f"versioning has it); or, to begin anew, remove {self.root} and index.sqlite in the data folder"
                )
                raise LakeError(message)
            stale = [
                folder
                for folder, name in days.items()
                if held.get(folder) != name or not (self.root / folder / _MANIFEST).is_file()
            ]
            try:
                for folder in stale:
                    self._fetch(remote, folder, days[folder])
            except FileNotFoundError as error:
                if (now := remote.look()) and head and now.commit == head.commit:
                    message = f"{remote.url} has lost an object that a manifest names ({error.args[0]}): restore it (the bucket's versioning has it)"
                    raise LakeError(message) from error
                continue  # it was swept, since somebody committed after we looked
            break
        if stale:
            self._note(days)

    def _fetch(self, remote: "RemoteLake", folder: str, name: str) -> None:
        """Let a day of the mirror be what a manifest of the store says."""
        content, _ = remote.objects.read(f"{folder}/{name}")
        try:
            manifest = Manifest.model_validate_json(content)
        except ValueError as error:
            message = f"{remote.url}/{folder}/{name} is not a manifest of this release: {error}. Let all who share the lake run the same release."
            raise LakeError(message) from error
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            if not (self.root / folder / file.name).is_file():
                self._fetch_file(remote, folder, file)
        write_atomically(self.root / folder / _MANIFEST, content)
        self.sweep(manifest.table, manifest.day)

    def _fetch_file(self, remote: "RemoteLake", folder: str, file: LakeFile) -> None:
        temporary = self.root / folder / f"{secrets.token_hex(8)}{_TEMPORARY}"
        remote.objects.download(f"{folder}/{file.name}", temporary)
        if (sha256 := _sync_and_hash(temporary)) != file.sha256:
            temporary.unlink()
            message = f"{remote.url}/{folder}/{file.name} has SHA-256 {sha256}, and its manifest says {file.sha256}: restore it (the bucket's versioning has it)"
            raise LakeError(message)
        temporary.replace(self.root / folder / file.name)

    def _note(self, days: dict[str, str]) -> None:
        write_atomically(self.root / _MIRRORED, orjson.dumps(days))

    def _named(self) -> set[str]:
        """Return the keys of all files that manifests name."""
        folders = [folder for folder in self.root.glob(f"*/{_PREFIX}*") if (folder / _MANIFEST).is_file()]
        manifests = [Manifest.model_validate_json((folder / _MANIFEST).read_bytes()) for folder in folders]
        return {
            f"{folder.parent.name}/{folder.name}/{file.name}"
            for folder, manifest in zip(folders, manifests, strict=True)
            for file in manifest.files
        }

    # -------------------------------------------------------------------------------------------------------------------

    def verify(self, table: str, day: date) -> list[Violation]:
        """Compare the manifest of a day with its Parquet files, byte for byte; a day that was never written has nothing wrong."""
        manifest = self.manifest(table, day)
        if manifest is None or manifest.is_expired:
            return []
        subject, rule = f"{table} of {day}", "lake_matches_manifest"
        found = [] if self.remote is None else self._verify_remote(self.remote, manifest)
        for file in manifest.files:
            path = self.folder(table, day) / file.name
            try:
                sha256, rows = _hash(path), pq.read_metadata(path).num_rows
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

    def _verify_remote(self, remote: "RemoteLake", manifest: Manifest) -> list[Violation]:
        """Compare a day of the store with its manifest: that its files are there, as long as those of the mirror; and fetch anew what is amiss in the mirror."""
        folder = self.folder(manifest.table, manifest.day)
        key = folder.relative_to(self.root).as_posix()
        head, mirrored = remote.look(), orjson.loads((self.root / _MIRRORED).read_bytes())
        if head is None or head.days.get(key) != mirrored.get(key):
            return []  # another coordinator went on: the mirror is what it was, until `lock`
        stored = {Path(one.key).name: one.size for one in remote.objects.listed(key)}
        found = []
        for file in manifest.files:
            subject = f"{manifest.table} of {manifest.day} in {remote.url}"
            try:
                if file.name not in stored:
                    raise FileNotFoundError
                path = folder / file.name
                if not path.is_file() or _hash(path) != file.sha256:
                    self._fetch_file(remote, key, file)
                if stored[file.name] != path.stat().st_size:
                    actual = f"{stored[file.name]} bytes"
                    found.append(
                        Violation(
                            rule="lake_matches_manifest",
                            subject=subject,
                            expected=f"{path.stat().st_size} bytes",
                            actual=actual,
                        )
                    )
            except FileNotFoundError:
                found.append(
                    Violation(
                        rule="lake_matches_manifest",
                        subject=subject,
                        expected=f"the object {file.name}",
                        actual="no such object",
                    )
                )
            except LakeError as error:
                found.append(
                    Violation(
                        rule="lake_matches_manifest",
                        subject=subject,
                        expected=f"the object {file.name}",
                        actual=f"a damaged one ({error})",
                    )
                )
        return found

    def sweep(self, table: str, day: date) -> list[Path]:
        """Remove from a day's folder what its manifest does not name; return it. Call it under the ingestion lock only."""
        folder = self.folder(table, day)
        manifest = self.manifest(table, day)
        kept = {_MANIFEST, *(file.name for file in manifest.files)} if manifest else set()
        removed = [path for path in sorted(folder.iterdir()) if path.name not in kept]
        for path in removed:
            path.unlink(missing_ok=True)
        if manifest is None:
            with suppress(OSError):
                folder.rmdir()
        return removed

    def clean(self) -> list[Path]:
        """Remove what an interrupted commit left behind: files that no manifest names; return them. Call it under the ingestion lock only."""
        folders = sorted(self.root.glob(f"*/{_PREFIX}*"))
        removed = [
            path
            for folder in folders
            for path in self.sweep(folder.parent.name, date.fromisoformat(folder.name.removeprefix(_PREFIX)))
        ]
        swept = self.root / _SWEPT
        if self.remote and (not swept.exists() or time.time() - swept.stat().st_mtime > SWEEP_SECS):
            removed += [Path(key) for key in self.remote.sweep(self._named)]
            swept.touch()
        return removed

    @again_if_moved
    def expire(self, today: date, retention_days: int) -> list[date]:
        """Remove the rows of days more than `retention_days` before `today` (0: none), and say so in their manifests, which stay; summaries are sums, and stay."""
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
