"""Days of events in the lake: how many events each has, which are analysed together, which expire.

What goes here: questions about days as a whole. What does not: storing events (`ingest.py`), whether a day
may be used (`playbooks/gate.py`).
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from fl_assets.core.cycles import Window, latest_worth, window_of
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.lake import Lake

EVENT_TABLES = ("raw_traces", "conversation_logs", "node_summaries")


def with_neighbours(days: Iterable[date]) -> set[date]:
    """Return the days and those before and after each: one event may be dated differently by two files."""
    return {day + timedelta(days=offset) for day in days for offset in (-1, 0, 1)}


class EventDays:
    """The days of a lake.

    Events of a day that is not usable do not count in windows of later days.
    """

    def __init__(
        self, lake: Lake, settings: FederatedLearningConfig, *, is_usable: Callable[[date], bool]
    ) -> None:
        self._lake = lake
        self._settings = settings
        self._is_usable = is_usable
        self._counted: dict[tuple[date, str], int] = {}  # by day and its content

    def events_on(self, day: date) -> int:
        """Return the number of a day's events: calls, turns, and those that summaries report."""
        key = (day, self._lake.content_of(day))
        if key not in self._counted:
            self._counted[key] = self._lake.events_on(day)
        return self._counted[key]

    def window(self, day: date) -> Window:
        """Return the days that `day` is analysed together with."""

        def events(each: date) -> int:
            found = self.events_on(each)
            return found if each == day or (found and self._is_usable(each)) else 0

        most = self._settings.max_window_days
        return window_of(day, events, required=self._settings.min_events, max_days=most)

    def with_events(self, until: date) -> list[date]:
        """Return the days up to `until` that the lake holds events of, oldest first."""
        return sorted({day for table in EVENT_TABLES for day in self._lake.days(table) if day <= until})

    def latest(self, until: date) -> date | None:
        """Return the latest day up to `until` with more than stray events; None of an empty lake."""
        return latest_worth(self.with_events(until), self.events_on, required=self._settings.min_events)

    def expire(self, analysed: date, *, today: date) -> list[date]:
        """Remove the raw events of days past retention and return these days.

        `analysed` is the latest day whose sums are stored: later days keep their events.
        """
        keep = self._settings.retention_days
        return self._lake.expire(min(today, analysed + timedelta(days=keep + 1)), keep) if keep else []
