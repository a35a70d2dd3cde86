"""Ingesting everything that a fleet sends: files of events, and summaries of nodes that send no events.

What does not go here: reading either (`events/`, `coordinator_side.py`).
"""

import hashlib
from collections.abc import Callable, Collection
from datetime import date

from fl_assets.events.engine import Engine
from fl_assets.events.index import Backlog, DayBacklog, TelemetryIndex
from fl_assets.events.outcome import IngestReport
from fl_assets.federation.coordinator_side import SummaryFiles, Taken


class Intake:
    """Ingests events and summaries, and counts what has not been analysed."""

    def __init__(
        self,
        engine: Engine,
        summaries: SummaryFiles,
        index: TelemetryIndex,
        *,
        note_days: Callable[[Collection[date]], None] = lambda _: None,
    ) -> None:
        """Ingest by these; `note_days` is called with the days that have new events."""
        self._engine, self._note_days = engine, note_days
        self._summaries = summaries
        self._index = index

    def ingest(self, progress: Callable[[str], None] | None = None) -> tuple[IngestReport, Taken]:
        """Store what is new in the folders of telemetry and of summaries; idempotent."""
        report, taken = self._engine.ingest(progress), self._summaries.take(self._index)
        if report.days or taken.days:
            self._note_days({*report.days, *taken.days})
        if progress and taken.files:
            progress(
                f"{taken.files} files of summaries: {taken.summaries} taken, {taken.known} known, "
                f"{len(taken.refused)} refused"
            )
        return report, taken

    def backlog(self) -> Backlog:
        """Count by day the events not analysed yet: in files, in the lake, and in waiting summaries."""
        events = self._index.backlog()
        days = {entry.day: entry for entry in events.days}
        for day, (count, token) in self._summaries.waiting().items():
            days[day] = _with_summary(days.get(day, DayBacklog(day, 0, "none")), day, count, token)
        found = tuple(days[day] for day in sorted(days))
        return Backlog(sum(entry.events for entry in found), events.files, found, events.unscanned)


def _with_summary(old: DayBacklog, day: date, count: int, token: str) -> DayBacklog:
    both = hashlib.sha256(f"{old.token}\n{token}".encode()).hexdigest()[:32]
    return DayBacklog(day, old.events + count, both)
