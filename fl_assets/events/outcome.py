"""What an ingestion did, and what it did not read.

What goes here: the records that ingestion returns. What does not: making them (`ingest.py`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Unread:
    """What of one file was not read, redacted."""

    path: str
    size: int
    """Bytes of the file."""
    is_whole: bool
    """Whether no format knows the file, so that nothing of it was read."""
    lines: int
    events: int
    """Events that were lost; 0 for a file of no known format, which holds none that we know of."""
    reason: str
    """Of the first one: a name from a fixed set."""
    detail: str
    fix: str
    """What most likely helps."""

    def __str__(self) -> str:
        if self.is_whole:
            return f"{self.path} ({self.size:,} bytes) is not read: {self.detail}"
        lost = f"{self.events:,} {'event' if self.events == 1 else 'events'}" if self.events else "1 entry"
        lost = lost if self.events or self.lines == 1 else f"{self.lines:,} entries"
        return f"{self.path}: {lost} could not be read, first {self.reason}: {self.detail}; {self.fix}"


def unread_in_words(unread: Sequence[Unread], most: int = 5) -> list[str]:
    """Return lines that say what was not read.

    How much, then each file with the first reason and the nearest fix.

    Args:
        unread: by file, what was not read.
        most: files that are named.
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
    """Return a text with no character that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


MAX_UNREAD = 1000
"""Files that a report names; `ignored` and `lost_events` count them all."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingestion did."""

    files: int = 0
    events: int = 0
    """New ones, stored."""
    quarantined: int = 0
    """Refused lines and files."""
    lost_events: int = 0
    """Events that were lost with them."""
    duplicates: int = 0
    """Events that were there already, or twice in the files, with the same content."""
    conflicts: int = 0
    """The same id with other content, of which the first one stored stays, and ids that another node has too,
    which both stay."""
    superseded: int = 0
    """Unfinished versions that gave way to finished ones."""
    mended: int = 0
    """Values in which a character that no JSON may hold was replaced."""
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
        return IngestReport(
            files=self.files + other.files,
            events=self.events + other.events,
            quarantined=self.quarantined + other.quarantined,
            lost_events=self.lost_events + other.lost_events,
            duplicates=self.duplicates + other.duplicates,
            conflicts=self.conflicts + other.conflicts,
            superseded=self.superseded + other.superseded,
            mended=self.mended + other.mended,
            redactions=dict(sorted((Counter(self.redactions) + Counter(other.redactions)).items())),
            formats=dict(sorted((Counter(self.formats) + Counter(other.formats)).items())),
            ignored=self.ignored + other.ignored,
            error_records=self.error_records + other.error_records,
            evaluations=self.evaluations + other.evaluations,
            days=tuple(sorted({*self.days, *other.days})),
            unread=(*self.unread, *other.unread)[:MAX_UNREAD],
            seconds=self.seconds + other.seconds,
        )
