"""The clock, the default of all functions that take one; simulations of past days can set it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

_held: list[datetime] = []


def now_utc() -> datetime:
    """Return the present time, aware, UTC."""
    return _held[-1] if _held else datetime.now(UTC)


def yesterday() -> date:
    """Return the day before today, UTC."""
    return now_utc().date() - timedelta(days=1)


@contextmanager
def held_at(moment: datetime) -> Iterator[None]:
    """Let `now_utc` return one moment (aware) in this process for the length of the block."""
    _held.append(moment.astimezone(UTC))
    try:
        yield
    finally:
        _held.pop()
