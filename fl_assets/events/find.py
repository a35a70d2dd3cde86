"""Finding telemetry files.

What goes here: `Source`, the walk over a folder, the safe way to open a file in it. What does not: reading a
file (`read.py`), what was read before (`index.py`).

Files that cannot be read are listed with the reason, and stop no others.
"""

import errno
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

_PACKED_SUFFIXES = (".gz", ".zst", ".zstd")
_UNFINISHED_SUFFIXES = (".tmp", ".part", ".swp")
_SESSIONS = (
    ".claude/projects",
    ".codex/archived_sessions",
    ".codex/sessions",
    ".copilot/session-state",
    ".gemini/tmp",
    ".local/share/goose/sessions",
    ".local/share/opencode/storage",
    ".qwen/projects",
    ".qwen/tmp",
)
"""Where agents keep sessions in a home folder; what else is in those hidden folders, such as credentials, is
left out."""
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LAST_NS = 253_402_300_799 * 10**9
"""The end of year 9999, the last that a datetime can hold."""
MAX_HOLE_BYTES = 16 * 1024**3
"""Most that a file may hold of holes, which cost no disk and have to be read all the same; a log that was
truncated under its writer has one as long as it was."""
_MAX_HOLES = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """A file with bytes that were not ingested yet."""

    kind: str
    """`events` or `error_records`: which folder it was found in."""
    root: Path
    path: str
    """Relative to the root, with `/`."""
    size: int
    mtime_ns: int
    inode: int
    head: str
    """Hash of its first `head_bytes` bytes, which tells a replaced file from one that grew."""
    head_bytes: int
    coding: str | None = None
    """Compression, encoding or kind of `rows`, by content: `gzip`, `zstd`, `framed_zstd`, `utf-16`,
    `parquet` …; None for plain UTF-8."""
    offset: int = 0
    """First byte that was not ingested; 0 for files with a coding, which are read whole."""
    lines: int = 0
    """Complete lines before the offset."""
    last_day: date | None = None
    """Day of the last valid event before the offset."""
    refused: str | None = None
    """Why it cannot be opened."""
    ctime_ns: int | None = None
    """When it last changed; unlike mtime, programs cannot set it."""
    spots: str = ""
    """Hash of samples spread over it (`index.py`)."""
    content: bytes | None = field(default=None, repr=False, compare=False)
    """All of it, where it is small, plain, and was read when it was listed."""

    @property
    def last_written(self) -> datetime:
        """The file's mtime."""
        return datetime.fromtimestamp(min(max(self.mtime_ns, 0), _LAST_NS) / 1e9, UTC)

    @property
    def weight(self) -> int:
        """Bytes of text left to read; estimated where it is packed."""
        return (self.size - self.offset) * (8 if self.coding else 1)

    @property
    def name(self) -> str:
        """File name without a suffix of compression."""
        name = self.path.rpartition("/")[2]
        return Path(name).stem if name.lower().endswith(_PACKED_SUFFIXES) else name

    @property
    def node(self) -> str | None:
        """The node by folder: the first folder below the root."""
        return self.path.split("/")[0] if "/" in self.path else None

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            OSError: it is gone, may not be read, is a link, or is no regular file.
        """
        return open_regular(self.root, self.path)


@dataclass(slots=True)
class Listing:
    """Content of a folder."""

    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    """Path (relative, with `/`) and status of each regular file, sorted by path."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason of what cannot be read: unreadable folders, links that leave the folder, pipes, names
    that are not UTF-8."""


def open_regular(root: Path, path: str) -> BinaryIO:
    """Open a regular file below a folder, without blocking on a pipe; links must stay below the folder.

    Raises:
        OSError: it is gone, may not be read, leads out of the folder, or is no regular file.
    """
    full = os.path.join(root, path)  # noqa: PTH118 - called for each file; Path is slower
    try:
        descriptor = os.open(full, _OPEN_FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        full = os.fspath(_within(root, Path(full)))
        descriptor = os.open(full, _OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _kind_of(os.lstat(full).st_mode), path)
    return os.fdopen(descriptor, "rb")


def _within(root: Path, link: Path) -> Path:
    """Return the target of a link.

    Raises:
        OSError: it leads in circles, to nothing, or out of the folder.
    """
    target = Path(os.path.realpath(link, strict=True))
    if not target.is_relative_to(os.path.realpath(root)):
        raise OSError(errno.EXDEV, "a link that leaves the folder of telemetry", str(link))
    return target


def walk(root: Path) -> Listing:
    """List what is below a folder, at any depth.

    Hidden and unfinished files are left out, but for the sessions in an agent's hidden folder; links to
    folders are not followed, and links to files only within the folder.
    """
    found = Listing()
    folders = [(os.fspath(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.refused.append((_shown(prefix), f"the folder cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                folders += _sessions_in(folder, prefix, entry.name)
                continue
            if entry.name.lower().endswith(_UNFINISHED_SUFFIXES):
                continue
            path = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, f"{path}/"))
                else:
                    _add(found, root, path, entry)
            except FileNotFoundError:
                continue  # deleted since the folder was listed
            except OSError as error:
                found.refused.append((_shown(path), error.strerror or str(error)))
    found.files.sort()
    found.refused.sort()
    return found


def _sessions_in(folder: str, prefix: str, name: str) -> list[tuple[str, str]]:
    """Return the folders of sessions in a hidden folder, with what is before the names of their files."""
    places = [path for path in _SESSIONS if path.startswith(f"{name}/") and Path(folder, path).is_dir()]
    root = Path(folder).resolve() if places else Path()
    return [
        (os.fspath(root / path), f"{prefix}{path}/")
        for path in places
        if (root / path).resolve() == root / path  # no part of it is a link
    ]


def _add(found: Listing, root: Path, path: str, entry: os.DirEntry[str]) -> None:
    if _shown(path) != path:
        found.refused.append((_shown(path), "the name is not UTF-8: rename the file"))
        return
    if entry.is_symlink():
        if not _within(root, Path(entry.path)).is_dir():
            found.files.append((path, entry.stat()))
        return
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        found.files.append((path, status))
    else:
        found.refused.append((path, _kind_of(status.st_mode)))


def _shown(path: str) -> str:
    """Return a path as valid text, with bytes that are not UTF-8 escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _kind_of(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a link that took the file's place"),
        (stat.S_ISDIR, "a folder"),
    )
    return next((name for test, name in kinds if test(mode)), "a device") + ", not a regular file"


def hole_of(file: BinaryIO, status: os.stat_result) -> int:
    """Return how many bytes of a file are holes, of the first thousand; 0 where there cannot be too many."""
    if status.st_size - status.st_blocks * 512 <= MAX_HOLE_BYTES:
        return 0  # also of what is merely stored compressed, most of which has no holes at all
    holes = place = 0
    for _ in range(_MAX_HOLES):
        try:
            begin = os.lseek(file.fileno(), place, os.SEEK_HOLE)
            place = os.lseek(file.fileno(), begin, os.SEEK_DATA)
        except OSError:  # no data after it
            return holes + status.st_size - begin
        holes += place - begin
        if place <= begin:
            break
    return holes
