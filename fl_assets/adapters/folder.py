"""The folder of adapters: layout, locks, links, and files opened by descriptor.

What does not go here: which version is installed (`store.py`), known versions (`memory.py`), checking a
version (`examine.py`).

Layout below the data folder: `adapters/<name>/<version>/` holds the two files, manifest and signature (and
model-signing bundle); `adapters/<name>/current` links to the version in use.

Folders are opened by descriptor without following links, so that links put in their place are refused. There
are two locks: one for installing, which may take as long as a download, and one for switching, which does not
wait for it.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from fl_assets.adapters.manifest import (
    MANIFEST,
    MANIFEST_BYTES,
    SIGNATURE,
    SIGNATURE_BYTES,
    AdapterManifest,
    folder_name,
    parse_manifest,
    version_key,
)
from fl_assets.infra.disk import locked
from fl_assets.infra.errors import ExplainedError

CURRENT, _NEW_LINK = "current", ".current.new"
TEMPORARY = (".staging-", ".trash-")
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class AdapterStoreError(ExplainedError):
    """The folder of adapters or its memory is damaged; the text names the path and what to do."""


class AdapterFolder:
    """The folder below one data folder."""

    def __init__(self, data_path: Path) -> None:
        self.root = data_path / "adapters"
        self._data_path = data_path

    @contextmanager
    def open(self) -> Generator[int]:
        """Open the folder itself, created if need be."""
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.root, FOLDER_FLAGS)
        except OSError as error:
            raise AdapterStoreError(f"{self.root} must be a folder and no link: {error.strerror}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def adapter(self, root: int, adapter_id: str) -> Generator[int]:
        """Open the folder of an installed adapter."""
        try:
            found = opened(root, folder_name(adapter_id))
            with found as folder:
                yield folder
        except FileNotFoundError as error:
            raise AdapterStoreError(f"{adapter_id} is not installed below {self.root}") from error

    @contextmanager
    def version(self, root: int, adapter_id: str, version: str) -> Generator[int]:
        """Open the folder of an installed version."""
        version_key(version)
        with self.adapter(root, adapter_id) as adapter:
            if version not in versions_in(adapter):
                raise AdapterStoreError(
                    f"{adapter_id} {version} is not installed below {self.root}; installed are "
                    f"{', '.join(versions_in(adapter)) or 'none'}"
                )
            with opened(adapter, version) as folder:
                yield folder

    @contextmanager
    def installing(self) -> Generator[None]:
        """Let one process at a time install, after removing what a crash left."""
        with self._locked("adapter-install.lock"):
            with self.open() as root:
                for leftover in [entry for entry in names_in(root) if entry.startswith(TEMPORARY)]:
                    shutil.rmtree(leftover, dir_fd=root)
            yield

    @contextmanager
    def switching(self) -> Generator[None]:
        """Let one process at a time switch versions and save the memory."""
        with self._locked("adapter-switch.lock"):
            yield

    @contextmanager
    def _locked(self, name: str) -> Generator[None]:
        self._data_path.mkdir(parents=True, exist_ok=True)
        with locked(self._data_path / name):
            yield


@contextmanager
def opened(parent: int, name: str) -> Generator[int]:
    """Open a folder inside an open folder; a link in its place is an error."""
    try:
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):  # the errors for a link
            raise
        raise AdapterStoreError(
            f"{name} in the folder of adapters is a link or a file; must be a folder"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def read_only(folder: int, name: str) -> Generator[BufferedReader]:
    """Open a plain file with a single name for reading.

    Raises:
        OSError: it is not there, or a link.
        ValueError: it is not a plain file, or has several names.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise ValueError(f"{name} is no plain file of a single name")
        yield file


def names_in(folder: int) -> list[str]:
    """Return the sorted names in an open folder."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def versions_in(folder: int) -> list[str]:
    """Return the versions in an adapter's folder, newest first."""
    found = []
    for name in names_in(folder):
        with suppress(ValueError):
            found.append((version_key(name), name))
    return [name for _, name in sorted(found, reverse=True)]


def current_version(folder: int, shown: Path) -> str | None:
    """Return the version that `current` in an adapter's folder leads to; `shown` is its path for errors."""
    try:
        target = os.readlink(CURRENT, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AdapterStoreError(f"{shown / CURRENT} must be a link to a version: {error.strerror}") from error
    if target not in versions_in(folder):
        raise AdapterStoreError(
            f"{shown / CURRENT} leads to {target!r}, which is no installed version; remove it"
        )
    return target


def point_to(folder: int, version: str) -> None:
    """Point `current` to a version, atomically."""
    with suppress(FileNotFoundError):
        os.unlink(_NEW_LINK, dir_fd=folder)
    os.symlink(version, _NEW_LINK, dir_fd=folder)
    os.rename(_NEW_LINK, CURRENT, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def discard(root: int, folder: int, version: str) -> None:
    """Remove a version: rename it to the trash, then delete its files."""
    trash = f"{TEMPORARY[1]}{secrets.token_hex(8)}"
    os.rename(version, trash, src_dir_fd=folder, dst_dir_fd=root)
    shutil.rmtree(trash, dir_fd=root)


def stored_manifest(folder: int, version: str) -> AdapterManifest | None:
    """Return the manifest of a version in an adapter's folder, None if it cannot be read."""
    with (
        suppress(OSError, ValueError, AdapterStoreError),
        opened(folder, version) as inside,
        read_only(inside, MANIFEST) as file,
    ):
        return parse_manifest(file.read(MANIFEST_BYTES + 2))
    return None


def stored_signature(folder: int) -> str:
    """Return the signature in a version's folder, '' if it cannot be read."""
    with suppress(OSError, ValueError), read_only(folder, SIGNATURE) as file:
        return file.read(SIGNATURE_BYTES).decode("ascii", "replace")
    return ""
