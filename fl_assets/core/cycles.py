"""When a cycle runs and which days it analyses.

What goes here: the window of a day with few events, the cron lines of an interval, the partitions of a tick.
What does not: Dagster, clocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from fl_assets.core.models import Mode
from fl_assets.core.settings import DAY_SECS

STRAY_SHARE = 0.01
"""Share of a busy day's events below which a day is no day of telemetry."""
STRAY_LOOK_BACK_DAYS = 7
"""Days before it among which the busy day is looked for."""


@dataclass(frozen=True)
class Window:
    """Days analysed together, oldest first; the last is the day that is analysed."""

    days: tuple[date, ...]
    events: int
    required: int
    own_events: int = 1
    """Events of the last day alone."""

    @property
    def day(self) -> date:
        """The day that is analysed."""
        return self.days[-1]

    @property
    def is_sufficient(self) -> bool:
        """Whether the window has the required number of events, and the day itself at least one."""
        return self.events >= self.required and self.own_events > 0


def window_of(day: date, events_on: Callable[[date], int], *, required: int, max_days: int) -> Window:
    """Return `day` with the fewest preceding days that bring its events to `required`, at most `max_days`."""
    events, days = 0, []
    for back in range(max_days):
        current = day - timedelta(days=back)
        days.append(current)
        events += events_on(current)
        if events >= required:
            break
    return Window(tuple(reversed(days)), events, required, events_on(day))


def latest_worth(days: Sequence[date], events_on: Callable[[date], int], *, required: int) -> date | None:
    """Return the latest day of `days` (with events, oldest first) that is more than strays; None of no days.

    Strays are fewer than STRAY_SHARE of the events of the busiest of the STRAY_LOOK_BACK_DAYS days before:
    late files and clocks that run ahead leave some on a day that has nothing else. Never stray are as many as
    a cycle needs (`required`): a quiet Sunday, or the first day of an outage, is a day of telemetry.
    """
    for day in reversed(days):
        first = day - timedelta(days=STRAY_LOOK_BACK_DAYS)
        before = max((events_on(each) for each in days if first <= each < day), default=0)
        if events_on(day) >= min(required, STRAY_SHARE * before):
            return day
    return None


def cron_lines(interval_secs: int) -> list[str]:
    """Return cron lines (UTC) for a cycle interval.

    A day or more runs daily at 00:15 (`days_due` then skips days, which cron cannot), a shorter
    interval from midnight on.
    """
    if interval_secs >= DAY_SECS:
        return ["15 0 * * *"]
    minutes_of_day = range(0, DAY_SECS // 60, interval_secs // 60)
    by_hour: dict[int, list[int]] = {}
    for total in minutes_of_day:
        by_hour.setdefault(total // 60, []).append(total % 60)
    hours_of: dict[tuple[int, ...], list[int]] = {}
    for hour, minutes in by_hour.items():
        hours_of.setdefault(tuple(minutes), []).append(hour)
    return [
        f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
        for minutes, hours in sorted(hours_of.items())
    ]


def days_due(today: date, interval_secs: int, *, start: date) -> list[date]:
    """Return the days that a schedule tick of `today` asks for, oldest first.

    An interval below a day asks for today at every tick; one of n days asks every n days, counted from
    `start`, for the n days before today.
    """
    if interval_secs < DAY_SECS:
        return [today]
    every = interval_secs // DAY_SECS
    if (today - start).days % every:
        return []
    return [day for back in range(every, 0, -1) if (day := today - timedelta(days=back)) >= start]


def mode_of(day: date, *, today: date) -> Mode:
    """Return `live` for today and yesterday, else `backtest`."""
    return "live" if (today - day).days <= 1 else "backtest"
