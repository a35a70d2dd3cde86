"""Files that no crash, full disk or other process leaves half written.

What goes here: new files, atomic replacement, syncing, locks. What does not: what is written.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_POLL_SECS = 0.2


class LockBusyError(TimeoutError):
    """Another process has held a lock for longer than we wait."""


@contextmanager
def new_file(path: Path | str, *, mode: int | None = None, folder: int | None = None) -> Generator[BinaryIO]:
    """Create a file that must not exist; it is on the disk when the block ends, and gone when it raises.

    Args:
        path: where; below `folder`, an open descriptor, when that is given.
        mode: exactly these permissions; by default what the umask leaves of 0666.
        folder: descriptor of the folder that `path` is relative to.

    Raises:
        OSError: it exists, or the disk refused.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666 if mode is None else mode, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(path, dir_fd=folder)
        raise


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace a file so that a crash leaves the old one or the new one; a link is replaced, not followed.

    The file gets exactly the permissions `mode`, by default what the umask leaves of 0666.

    Raises:
        OSError: the disk refused; the old file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with new_file(temporary, mode=mode) as file:
        file.write(content)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_writable(path: Path) -> bool:
    """Whether a file (if it exists) and its folder may be changed."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def sync_folder(path: Path) -> None:
    """Make renames in a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it, if it exists."""
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def locked(
    path: Path, *, shared: bool = False, wait_secs: float | None = None, create: bool = True
) -> Generator[int]:
    """Hold the lock on a file for the length of the block; yields its descriptor.

    Args:
        path: the file; created if need be, never reached through a link.
        shared: allow other holders that ask for it as shared.
        wait_secs: how long to wait for one holder, longer while holders change; None waits forever.
        create: whether to create a missing file.

    Raises:
        LockBusyError: another process held it for `wait_secs`.
        FileNotFoundError: it is missing, and `create` is False.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if wait_secs is None:
            fcntl.flock(descriptor, kind)
        else:
            _wait_for(descriptor, kind, path, wait_secs)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, kind: int, path: Path, wait_secs: float) -> None:
    since, seen = time.monotonic(), 0
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            os.utime(descriptor)  # shows those who wait that the holder changed
            return
        except BlockingIOError as error:
            if (turn := os.fstat(descriptor).st_mtime_ns) != seen:
                since, seen = time.monotonic(), turn
            if time.monotonic() - since >= wait_secs:
                raise LockBusyError(f"another process has held {path} for {wait_secs:.0f} s") from error
            time.sleep(min(_POLL_SECS, wait_secs))


class Disk:
    """The calls by which a change of several steps writes to disk; tests let the k-th one fail."""

    def write(self, path: Path, content: bytes, mode: int) -> None:
        """Write a new file; its name must not exist."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        path.chmod(mode)

    def append(self, path: Path, content: bytes) -> None:
        """Append to a file, which is created if need be."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "ab") as file:
            file.write(content)

    def sync(self, path: Path) -> None:
        """Flush a file or folder to the disk."""
        sync_folder(path)

    def rename(self, source: Path, target: Path) -> None:
        """Replace the target by the source atomically."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it exists."""
        path.unlink(missing_ok=True)

    def write_fresh(self, path: Path, content: bytes, mode: int) -> None:
        """Write and sync a file, in place of one that a crash may have left."""
        self.remove(path)
        self.write(path, content, mode)
        self.sync(path)

    def write_like(self, path: Path, content: bytes, *, like: Path) -> None:
        """Write and sync a file with the owner, mode and attributes of another.

        Raises:
            OSError: the disk refused, or this user may not set that owner or those attributes.
        """
        status = like.stat()
        self.remove(path)
        self.write(path, content, 0o600)
        if (path.stat().st_uid, path.stat().st_gid) != (status.st_uid, status.st_gid):
            os.chown(path, status.st_uid, status.st_gid)
        for name in _attributes(like):
            os.setxattr(path, name, os.getxattr(like, name))
        path.chmod(stat.S_IMODE(status.st_mode))  # last, since chown clears bits of it
        self.sync(path)

    def place(self, path: Path, content: bytes, mode: int, *, by_way_of: Path) -> None:
        """Replace a file atomically, by way of a temporary name that only the holder of a lock uses."""
        self.write_fresh(by_way_of, content, mode)
        self.rename(by_way_of, path)
        self.sync(path.parent)


def _attributes(path: Path) -> list[str]:
    """Return the names of a file's extended attributes, access control lists among them."""
    if not hasattr(os, "listxattr"):
        return []
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
