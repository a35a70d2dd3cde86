"""The lake on an object store (S3, GCS, Azure), where there is neither rename nor `flock`.

What goes here: the operations we need of a store, the commit protocol, the lease. What does not: days,
manifests and the local mirror that all reads go to (`mirror.py`). Needs the extra [object-storage].

The store is the source of truth; each coordinator reads a local mirror of it. Objects below the URL, of which
only `head.json` and `lease.json` are ever replaced:

- `head.json`: `{"commit": token, "days": {folder: manifest}}`
- `raw_traces/event_date=2026-11-01/manifest-<token>.json`, named by `head.json`
- `raw_traces/event_date=2026-11-01/<hash>-<token>.parquet`, named by a manifest
- `lease.json`: who may ingest
- `pseudonym.check`: whose key made the pseudonyms

1. *Commit.* Upload the new files, then the manifest, then replace `head.json` if it is still the version that
   was read last (a conditional put). That put is the commit: nothing of the day is visible before it, all of
   it after. No name is used twice, so a `head.json` stands for one state of the whole lake.
2. *Ingest.* Read `head.json`, update the mirror, look there for ids that are stored already, commit. If
   anybody else committed in between, for any day (the same id may fall on two days), our commit fails with
   `ConcurrentCommitError` and the ingestion starts again. So each event is stored once, whatever the order of
   steps, which a property test varies.
3. *Lease.* Only an optimisation: `lease.json` names a holder, who renews it; whoever sees it unchanged for
   `LEASE_SECS` by its own clock takes it. No clocks are compared, and correctness does not depend on it.
4. *A put whose answer is lost* may have succeeded, and its retry then fails: `head.json` is read again, and
   holds our token if it did.
5. *Sweep.* Replace `head.json` by itself under a new token, which makes commits in progress fail; what no
   manifest names now will never be named. Delete that where it is older than an hour by the store's clock. A
   mirror that misses a file reads `head.json` again.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import obstore
import orjson
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore, from_url
from pydantic import Field, ValidationError

from fl_assets.core.models import Record
from fl_assets.infra.errors import ConcurrentCommitError, IngestBusyError, LakeError, first_words

LEASE_SECS = 60.0
"""Seconds without renewal after which a lease may be taken."""
GRACE = timedelta(hours=1)
"""Age of an object that no manifest names before it is deleted."""
_HEAD, _LEASE, _PROBE = "head.json", "lease.json", "probe-"
_LOOK_SECS = 0.5
_RETRIES = 6
_PART_BYTES = 16 * 1024 * 1024
"""Of a download: by default a request must end within 30 s."""
_PROVEN: set[str] = set()
"""Stores whose conditional puts this process has checked."""

Version = dict[str, str]
"""Version of an object's content: an ETag, a generation."""


class ChangedError(Exception):
    """A conditional put was refused: the object has another version, or exists though it should not."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a listing."""

    key: str
    size: int
    modified: datetime
    """By the store's clock."""


class Objects:
    """The operations we need of the store at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: Any = _opened(url)

    def read(self, key: str) -> tuple[bytes, Version]:
        """Return an object's content and version.

        Raises:
            FileNotFoundError: there is none.
        """
        found = obstore.get(self._store, key)
        return bytes(found.bytes()), _version(found.meta)

    def put(self, key: str, content: bytes, *, if_match: Version | None) -> Version:
        """Replace one version of an object, or, for None, create it; return the new version.

        Raises:
            ChangedError: it has another version, or exists.
        """
        try:
            mode: Any = if_match or "create"  # obstore's stub lacks versions as modes
            return _version(obstore.put(self._store, key, content, mode=mode, use_multipart=False))
        except (AlreadyExistsError, PreconditionError) as error:
            raise ChangedError(key) from error

    def upload(self, key: str, path: Path) -> None:
        """Upload a local file."""
        obstore.put(self._store, key, path)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file.

        Raises:
            FileNotFoundError: there is no such object.
        """
        size, begin = 1, 0
        with path.open("wb") as file:
            while begin < size:
                part = obstore.get(self._store, key, options={"range": (begin, begin + _PART_BYTES)})
                size = part.meta["size"]
                begin += file.write(part.bytes())

    def listed(self, prefix: str = "") -> list[Listed]:
        """Return the objects below a prefix."""
        return [
            Listed(meta["path"], meta["size"], meta["last_modified"])
            for batch in obstore.list(self._store, prefix or None)
            for meta in batch
        ]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, whether or not they exist."""
        if found := list(keys):
            obstore.delete(self._store, found)

    def modified(self, key: str) -> tuple[datetime, Version]:
        """Return when an object was put, by the store's clock, and its version."""
        meta = obstore.head(self._store, key)
        return meta["last_modified"], _version(meta)


@lru_cache
def _opened(url: str) -> Any:
    # Client options given here would override those of AWS_*, GOOGLE_* and AZURE_*.
    return (
        MemoryStore() if url.startswith("memory:") else from_url(url, retry_config={"max_retries": _RETRIES})
    )


def _version(meta: Mapping[str, Any]) -> Version:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}


_Folder = Annotated[str, Field(pattern=r"^[a-z_]+/event_date=[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
_ManifestName = Annotated[str, Field(pattern=r"^manifest-[0-9a-f]{16}\.json$")]


class Head(Record):
    """State of the lake."""

    commit: str
    """Token, by which a writer recognises its own commit."""
    days: dict[_Folder, _ManifestName]
    """The manifest of each day of each table."""


class RemoteLake:
    """The shared side of a lake; take the `lease` before writing."""

    def __init__(
        self,
        objects: Objects,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects, self.url = objects, objects.url
        self._sleep, self._clock = sleep, clock
        self._head: Head | None = None
        self._version: Version | None = None

    # State
    # ------------------------------------------------------------------------------------------------

    def read_head(self) -> Head | None:
        """Return the state of the lake, None before the first commit; the next commit builds on it.

        Raises:
            LakeError: `head.json` is damaged.
        """
        try:
            content, self._version = self.objects.read(_HEAD)
            self._head = Head.model_validate_json(content)
        except FileNotFoundError:
            self._head = self._version = None
        except ValidationError as error:
            raise LakeError(
                f"{self.url}/{_HEAD} is not what this program writes: {error}. Restore its last "
                "version (the bucket's versioning has it)."
            ) from error
        return self._head

    def commit(self, folder: str, manifest: bytes, files: Mapping[str, Path]) -> dict[str, str]:
        """Commit the manifest of a day; return the manifests of all days.

        `files` are those that the store does not have yet, by name.

        Raises:
            ConcurrentCommitError: somebody else committed since `read_head`.
        """
        for name, path in files.items():
            self.objects.upload(f"{folder}/{name}", path)
        name = f"manifest-{secrets.token_hex(8)}.json"
        self.objects.put(f"{folder}/{name}", manifest, if_match=None)
        return self._replace({**(self._head.days if self._head else {}), folder: name})

    def _replace(self, days: dict[str, str]) -> dict[str, str]:
        head = Head(commit=secrets.token_hex(8), days=dict(sorted(days.items())))
        content = orjson.dumps(head.model_dump(), option=orjson.OPT_INDENT_2)
        try:
            self._version = self.objects.put(_HEAD, content, if_match=self._version)
            self._head = head
        except (ChangedError, BaseError) as error:
            found = self.read_head()
            if found is None or found.commit != head.commit:
                if not isinstance(error, ChangedError):
                    raise
                raise ConcurrentCommitError(self._moved()) from error
        return head.days

    def _moved(self) -> str:
        return (
            f"another coordinator committed to {self.url} while this one was about to: what was not "
            "committed yet is read again by the next ingestion"
        )

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        """Create an object unless it exists; return its content."""
        try:
            return self.objects.read(key)[0]
        except FileNotFoundError:
            with suppress(ChangedError):
                self.objects.put(key, content, if_match=None)
        return self.objects.read(key)[0]

    def sweep(self, named: Callable[[], set[str]]) -> list[str]:
        """Delete what no manifest names and is older than `GRACE`; return it. Needs the `lease`.

        Args:
            named: returns the keys of all files named by the manifests of the last `read_head`.

        Raises:
            ConcurrentCommitError: somebody else committed since `read_head`.
        """
        if self._head is None:
            return []
        days = self._replace(self._head.days)
        kept = {
            _HEAD,
            _LEASE,
            "pseudonym.check",
            *(f"{folder}/{name}" for folder, name in days.items()),
            *named(),
        }
        now, version = self.objects.modified(_HEAD)
        if version != self._version:
            raise ConcurrentCommitError(self._moved())
        old = [one.key for one in self.objects.listed() if one.key not in kept and one.modified < now - GRACE]
        self.objects.delete(old)
        return old

    # Lease
    # ------------------------------------------------------------------------------------------------

    @contextmanager
    def lease(self, wait_secs: float) -> Iterator[None]:
        """Hold the lease for the length of the block, renewed by a thread.

        Raises:
            IngestBusyError: another coordinator held it for `wait_secs`.
        """
        version = self._take(wait_secs)
        stop = threading.Event()

        def keep() -> None:
            nonlocal version
            while not stop.wait(LEASE_SECS / 3):
                try:
                    version = self.objects.put(_LEASE, _lease(is_held=True), if_match=version)
                except ChangedError:
                    return  # taken by another: our commit may fail, and is then repeated
                except BaseError:
                    continue

        keeper = threading.Thread(target=keep, name="fl-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()
            with suppress(ChangedError, BaseError):  # else it expires
                self.objects.put(_LEASE, _lease(is_held=False), if_match=version)

    def _take(self, wait_secs: float) -> Version:
        begin = since = self._clock()
        seen: Version | None = None
        last = ""
        while True:
            content, version = b"", None
            with suppress(FileNotFoundError):
                content, version = self.objects.read(_LEASE)
            now = self._clock()
            if version != seen:
                seen, since = version, now
            holder = _holder(content)
            if holder != last:
                last, begin = holder, now
            if not holder or now - since >= LEASE_SECS:
                with suppress(ChangedError):
                    return self.objects.put(_LEASE, _lease(is_held=True), if_match=version)
            if now - begin > wait_secs:
                raise IngestBusyError(
                    f"{holder or 'another coordinator'} has held {self.url}/{_LEASE} for "
                    f"{wait_secs:.0f} s: one coordinator at a time may ingest"
                )
            self._sleep(_LOOK_SECS)

    def check_conditional_put(self) -> None:
        """Check that the store refuses a put whose condition does not hold; otherwise days could be lost.

        Raises:
            LakeError: it does not, or cannot be reached.
        """
        if self.url in _PROVEN:
            return
        key = _PROBE + secrets.token_hex(8)
        try:
            first = self.objects.put(key, b"1", if_match=None)
            second = self.objects.put(key, b"2", if_match=first)
            kept = [self._refuses(key, None), self._refuses(key, first)]
            self.objects.delete([key])
        except (BaseError, FileNotFoundError, ValueError) as error:
            raise LakeError(
                f"{self.url} cannot be used as the lake: {first_words(error)}. Check that the bucket exists, "
                "and the credentials and the endpoint in the environment "
                "(AWS_*, GOOGLE_*, AZURE_*); docs/scaling.md lists what they must allow"
            ) from None
        if not all(kept) or first == second:
            raise LakeError(
                f"{self.url} cannot be used as the lake: it overwrites an object whatever If-None-Match "
                "or If-Match say, so two coordinators would lose each other's days. "
                "Use a store that keeps conditional puts, or a folder that all of them mount"
            )
        _PROVEN.add(self.url)

    def _refuses(self, key: str, version: Version | None) -> bool:
        try:
            self.objects.put(key, b"3", if_match=version)
        except ChangedError:
            return True
        return False


def _lease(*, is_held: bool) -> bytes:
    holder = f"process {os.getpid()} on {socket.gethostname()}" if is_held else ""
    return orjson.dumps({"holder": holder, "sign": secrets.token_hex(8)})


def _holder(content: bytes) -> str:
    """Return the holder of a lease, '' for nobody."""
    try:
        return str(orjson.loads(content)["holder"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
