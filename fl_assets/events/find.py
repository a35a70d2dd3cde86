"""Finding telemetry: which files there are, and how far each was read.

What goes here: `Source` and the walk over a folder. What does not: reading a file (`read.py`), remembering what was read (`index.py`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_NATIVE_SUFFIXES = {".jsonl", ".json", ".ndjson"}
_UNFINISHED_SUFFIXES = {".tmp", ".part", ".swp"}


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
