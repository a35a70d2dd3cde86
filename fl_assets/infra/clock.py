"""The clock: what reads the time takes it as an argument, and this is its default.

What goes here: the present time, and holding it still while a simulated fleet lives through past days. What
does not: what is done at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_held: list[datetime] = []


def now_utc() -> datetime:
    """Return the present time, aware, UTC."""
    return _held[-1] if _held else datetime.now(UTC)


@contextmanager
def held_at(moment: datetime) -> Iterator[None]:
    """Let the present of this process be a moment (aware) for the length of the block; for simulations."""
    _held.append(moment.astimezone(UTC))
    try:
        yield
    finally:
        _held.pop()
