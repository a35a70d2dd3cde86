"""The local mirror of a lake on an object store: all reads go to it. Needs the extra [object-storage].

What goes here: updating the mirror from the store (`lock`), and committing to the store, then to the mirror.
What does not: the commit protocol (`remote_lake.py`), the folder itself (`lake.py`).
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from fl_assets.core.models import Violation
from fl_assets.infra.disk import write_atomically
from fl_assets.infra.errors import LakeError
from fl_assets.infra.lake import (
    MANIFEST,
    PREFIX,
    TEMPORARY,
    Lake,
    LakeFile,
    Manifest,
    hash_file,
    mismatch,
    sync_and_hash,
)
from fl_assets.infra.remote_lake import RemoteLake

_MIRRORED, _SWEPT = "mirrored.json", "swept"
"""Files: the manifests that the mirror holds, by folder, and when its coordinator last swept the store."""
SWEEP_SECS = 86_400


class MirroredLake(Lake):
    """The mirror below `root` of the lake in `remote`."""

    def __init__(self, root: Path, remote: RemoteLake) -> None:
        super().__init__(root)
        self.remote = remote

    @property
    def place(self) -> str:
        """Where the lake is, for people."""
        return self.remote.url

    @contextmanager
    def lock(self, wait_secs: float = 600.0) -> Iterator[None]:
        """Let one process at a time write to the lake, and update the mirror first.

        Raises:
            IngestBusyError: another process held the lock or the lease for `wait_secs`.
            LakeError: the store cannot be reached, has no conditional puts, or lost what the mirror has.
        """
        with super().lock(wait_secs):
            self._pull()  # the slow part, before others wait for the lease
            with self.remote.lease(wait_secs):
                self._pull()
                yield

    def refresh(self) -> None:
        """Update the mirror from its store, without taking the lease that other coordinators wait for."""
        with super().lock():  # among the processes that share this folder
            self._pull()

    def clean(self) -> list[Path]:
        """Remove what no manifest names, here and, once a day, in the store; return it."""
        removed, swept = super().clean(), self.root / _SWEPT
        if not swept.exists() or time.time() - swept.stat().st_mtime > SWEEP_SECS:
            removed += [Path(key) for key in self.remote.sweep(self._named)]
            swept.touch()
        return removed

    def _remedy(self) -> str:
        return "Move that folder out of the mirror: it is fetched again from its store"

    def _first(self, name: str, content: bytes) -> bytes:
        return self.remote.put_if_absent(name, content)

    def _name_of(self, sha256: str) -> str:
        return f"{sha256[:24]}-{secrets.token_hex(4)}.parquet"  # in a store no name is ever used again

    @contextmanager
    def _publishing(self, manifest: Manifest, content: bytes) -> Iterator[None]:
        added = {file.name: self.staged(manifest.table, manifest.day, file) for file in manifest.files}
        new = {name: path for name, path in added.items() if path.exists()}
        mirrored = self.remote.commit(self._key(manifest), content, new)
        yield
        self._note(mirrored)

    def _key(self, manifest: Manifest) -> str:
        return self.folder(manifest.table, manifest.day).relative_to(self.root).as_posix()

    def _pull(self) -> None:
        """Fetch the manifests that changed, and the files that they name."""
        self.remote.check_conditional_put()
        path = self.root / _MIRRORED
        held: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
        while True:
            head = self.remote.read_head()
            days = head.days if head else {}
            if lost := sorted(held.keys() - days.keys()):
                raise LakeError(
                    f"{self.remote.url} no longer knows "
                    f"{lost[0]}{f' and {len(lost) - 1} more' if lost[1:] else ''}, which it has known "
                    "before: restore head.json (the bucket's "
                    f"versioning has it); or, to start over, remove {self.root} and index.sqlite in the "
                    "data folder"
                )
            stale = [
                folder
                for folder, name in days.items()
                if held.get(folder) != name or not (self.root / folder / MANIFEST).is_file()
            ]
            try:
                for folder in stale:
                    self._fetch(folder, days[folder])
            except FileNotFoundError as error:
                if (now := self.remote.read_head()) and head and now.commit == head.commit:
                    raise LakeError(
                        f"{self.remote.url} has lost an object that a manifest names "
                        f"({error.args[0]}): restore it (the bucket's versioning has it)"
                    ) from error
                continue  # swept after another commit
            break
        if stale:
            self._note(days)

    def _fetch(self, folder: str, name: str) -> None:
        """Replace a day of the mirror by what a manifest of the store names."""
        content, _ = self.remote.objects.read(f"{folder}/{name}")
        try:
            manifest = Manifest.model_validate_json(content)
        except ValueError as error:
            raise LakeError(
                f"{self.remote.url}/{folder}/{name} is not a manifest of this release: {error}. Let "
                "all who share the lake run the same release."
            ) from error
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            if not (self.root / folder / file.name).is_file():
                self._fetch_file(folder, file)
        write_atomically(self.root / folder / MANIFEST, content)
        self.sweep(manifest.table, manifest.day)

    def _fetch_file(self, folder: str, file: LakeFile) -> None:
        temporary = self.root / folder / f"{secrets.token_hex(8)}{TEMPORARY}"
        self.remote.objects.download(f"{folder}/{file.name}", temporary)
        if (sha256 := sync_and_hash(temporary)) != file.sha256:
            temporary.unlink()
            raise LakeError(
                f"{self.remote.url}/{folder}/{file.name} has SHA-256 {sha256}, and its manifest "
                f"says {file.sha256}: restore it (the bucket's versioning has it)"
            )
        temporary.replace(self.root / folder / file.name)

    def _note(self, days: dict[str, str]) -> None:
        write_atomically(self.root / _MIRRORED, orjson.dumps(days))

    def _named(self) -> set[str]:
        """Return the keys of all files that manifests name."""
        return {
            f"{path.parent.relative_to(self.root).as_posix()}/{file.name}"
            for path in self.root.glob(f"*/{PREFIX}*/{MANIFEST}")
            for file in Manifest.model_validate_json(path.read_bytes()).files
        }

    def _verify_store(self, manifest: Manifest) -> list[Violation]:
        """Check that the store has a day's files, as large as in the mirror; repair those of the mirror."""
        folder = self.folder(manifest.table, manifest.day)
        key = self._key(manifest)
        head, mirrored = self.remote.read_head(), orjson.loads((self.root / _MIRRORED).read_bytes())
        if head is None or head.days.get(key) != mirrored.get(key):
            return []  # another coordinator committed: the mirror is older, until `lock`
        stored = {Path(one.key).name: one.size for one in self.remote.objects.listed(key)}
        found = []
        for file in manifest.files:
            subject = f"{manifest.table} of {manifest.day} in {self.remote.url}"
            try:
                if file.name not in stored:
                    raise FileNotFoundError
                path = folder / file.name
                if not path.is_file() or hash_file(path) != file.sha256:
                    self._fetch_file(key, file)
                if (size := path.stat().st_size) != stored[file.name]:
                    found.append(mismatch(subject, f"{size} bytes", f"{stored[file.name]} bytes"))
            except FileNotFoundError:
                found.append(mismatch(subject, f"the object {file.name}", "no such object"))
            except LakeError as error:
                found.append(mismatch(subject, f"the object {file.name}", f"a damaged one ({error})"))
        return found
