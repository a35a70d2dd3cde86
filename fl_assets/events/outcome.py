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

    @property
    def is_left_out(self) -> bool:
        """Whether it was left out on purpose, and nothing is lost."""
        return not self.events and self.reason in {"not_used", "before_start"}

    @property
    def is_refused(self) -> bool:
        """Whether nothing was read of a file: of no known format, or of one that holds no events."""
        return self.is_whole or (not self.events and self.reason == "unsupported_format")

    def __str__(self) -> str:
        if self.is_whole:
            return f"{self.path} ({self.size:,} bytes) is not read: {self.detail}"
        if self.is_left_out:
            return f"{self.path}: {self.detail}; {self.fix}"
        if self.is_refused:
            return f"{self.path} is not read: {self.detail}; {self.fix}"
        lost = "1 entry" if self.lines == 1 else f"{self.lines:,} entries"
        lost = _counted(self.events, "event") if self.events else lost
        first = "first " if max(self.events, self.lines) > 1 else ""
        return f"{self.path}: {lost} could not be read, {first}{self.reason}: {self.detail}; {self.fix}"


def unread_in_words(unread: Sequence[Unread], most: int = 5) -> list[str]:
    """Return lines of text: how much was not read, then each file with its first reason and a likely fix.

    What was left out on purpose comes last.
    """
    if not unread:
        return []
    whole = sum(one.is_whole for one in unread)
    refused = sum(one.is_refused for one in unread) - whole
    left_out = sum(one.is_left_out for one in unread)
    others = len(unread) - whole - refused - left_out
    events = sum(one.events for one in unread)
    in_others = _counted(others, "other file" if whole or refused else "file")
    counts = {
        f"{_counted(whole, 'file')} of no known format": whole,
        f"{_counted(refused, 'file')} of a format that holds no events": refused,
        f"{_counted(events, 'unreadable event')} in {in_others}": events,
        f"unreadable parts of {in_others}": others and not events,
    }
    lost = [words for words, count in counts.items() if count]
    head = " and ".join([", ".join(lost[:-1]), lost[-1]] if lost[1:] else lost)
    heads = [head if lost else "", f"parts of {_counted(left_out, 'file')}, on purpose" if left_out else ""]
    unread = sorted(unread, key=lambda one: one.is_left_out)
    more = len(unread) - most
    return [
        f"{'; '.join(filter(None, heads))}:",
        *(_visible(str(one)) for one in unread[:most]),
        *([f"and {more:,} more: fl-assets inspect names each"] if more > 0 else []),
    ]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
    repeats: dict[str, int] = field(default_factory=dict)
    """By file, its events that were dropped since they, or versions of them, are stored."""
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
