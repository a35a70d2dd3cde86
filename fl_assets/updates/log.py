"""The history of updates as a file of JSON lines that only grows.

What goes here: appending and reading lines. What does not: what follows from them (`updates/history.py`),
carrying anything out (`updates/releases.py`).

A line counts once its line end is written and synced; the next append drops what a crash left of a line.
Times never fall: an event gets the clock's time or its predecessor's, whichever is later.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fl_assets.infra.disk import Disk, locked
from fl_assets.infra.errors import NeedsHumanError, unreadable
from fl_assets.updates.history import Event, What


class UpdateLog:
    """The history in one file."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime], disk: Disk | None = None) -> None:
        self.path = path
        self._clock = clock
        self._disk = disk or Disk()

    @contextmanager
    def locked(self) -> Generator[None]:
        """Let one process at a time read, decide and append."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            yield

    def events(self) -> list[Event]:
        """Return every event in order.

        Raises:
            NeedsHumanError: a line that was complete cannot be read, or a number is not its place.
        """
        events = []
        for number, line in enumerate(self._lines(), start=1):
            try:
                event = Event.model_validate_json(line)
            except ValidationError as error:
                what = f"needs a person: line {number} of {self.path}"
                raise NeedsHumanError(unreadable(what, error, "restore the file from a backup")) from error
            if event.number != number:
                raise NeedsHumanError(
                    f"needs a person: line {number} of {self.path} has number {event.number}; lines "
                    "were removed or added by hand"
                )
            events.append(event)
        return events

    def now(self, events: list[Event]) -> datetime:
        """Return the time of the next event: the clock's, or the last event's if that is later."""
        now = self._clock().astimezone(UTC)
        return max(now, events[-1].at) if events else now

    def append(self, what: What, *, events: list[Event], **fields: Any) -> list[Event]:
        """Write the next event and return the history with it.

        The caller holds the lock and read `events` under it.

        Raises:
            OSError: the disk refused; the event does not count.
        """
        event = Event(number=len(events) + 1, at=self.now(events), what=what, **fields)
        whole = sum(len(line) + 1 for line in self._lines())
        is_new = not self.path.exists()
        if not is_new and self.path.stat().st_size > whole:
            os.truncate(self.path, whole)  # the start of a line that a crash left
        self._disk.append(self.path, event.model_dump_json().encode() + b"\n")
        self._disk.sync(self.path)
        if is_new:
            self._disk.sync(self.path.parent)
        return [*events, event]

    def _lines(self) -> list[bytes]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
