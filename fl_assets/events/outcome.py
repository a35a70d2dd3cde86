"""What an ingestion returns: its report, and what it could not read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read of one file, redacted."""

    path: str
    size: int
    """Bytes of the file."""
    is_whole: bool
    """Whether nothing was read, as the file is of no known format."""
    lines: int
    events: int
    """Events that were lost, as far as known: 0 for a file of no known format."""
    reason: str
    """Of the first refusal: a name from a fixed set."""
    detail: str
    fix: str
    """What is most likely to help."""

    def __str__(self) -> str:
        if self.is_whole:
            return f"{self.path} ({self.size:,} bytes) is not read: {self.detail}"
        lost = f"{self.events:,} {'event' if self.events == 1 else 'events'}" if self.events else "1 entry"
        lost = lost if self.events or self.lines == 1 else f"{self.lines:,} entries"
        return f"{self.path}: {lost} could not be read, first {self.reason}: {self.detail}; {self.fix}"


def unread_in_words(unread: Sequence[Unread], most: int = 5) -> list[str]:
    """Return lines of text: how much was not read, then each file with its first reason and a likely fix.

    Args:
        unread: by file, what was not read.
        most: number of files to name.
    """
    if not unread:
        return []
    whole = sum(one.is_whole for one in unread)
    events, others = sum(one.events for one in unread), len(unread) - whole
    in_others = f"{others:,} {'other ' if whole else ''}{'file' if others == 1 else 'files'}"
    parts = [
        f"{whole:,} {'file' if whole == 1 else 'files'} of no known format" if whole else "",
        f"{events:,} {'event' if events == 1 else 'events'} in {in_others}" if events else "",
    ]
    found = " and ".join(part for part in parts if part) or f"parts of {len(unread):,} files"
    more = len(unread) - most
    return [
        f"{found} could not be read:",
        *(_visible(str(one)) for one in unread[:most]),
        *([f"and {more:,} more: fl-assets inspect names each"] if more > 0 else []),
    ]


def _visible(text: str) -> str:
    """Return a text without control characters, for a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


MAX_UNREAD = 1000
"""Most files that a report names; `ignored` and `lost_events` count them all."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingestion did."""

    files: int = 0
    events: int = 0
    """New events, stored."""
    quarantined: int = 0
    """Refused lines and files."""
    lost_events: int = 0
    """Events that were lost with them."""
    duplicates: int = 0
    """Events with the id and content of another one, which were dropped."""
    conflicts: int = 0
    """Events with a known id but other content, which were dropped, and ids that another node has too."""
    superseded: int = 0
    """Unfinished or earlier versions of events, which were replaced."""
    mended: int = 0
    """Values in which a character that JSON does not allow was replaced."""
    redactions: dict[str, int] = field(default_factory=dict)
    """Values masked, by entity."""
    formats: dict[str, int] = field(default_factory=dict)
    """Files by format."""
    ignored: int = 0
    """Files of no known format."""
    error_records: int = 0
    evaluations: int = 0
    days: tuple[date, ...] = ()
    """Days whose content changed."""
    unread: tuple[Unread, ...] = ()
    """By file, what was not read."""
    seconds: float = 0.0

    def merged(self, other: "IngestReport") -> "IngestReport":
        """Return the sum of two reports."""
        sums: dict[str, Any] = {}
        for name in (one.name for one in fields(self)):
            mine, more = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                sums[name] = dict(sorted((Counter(mine) + Counter(more)).items()))
            else:
                sums[name] = mine + more
        sums["days"] = tuple(sorted(set(sums["days"])))
        sums["unread"] = sums["unread"][:MAX_UNREAD]
        return IngestReport(**sums)
