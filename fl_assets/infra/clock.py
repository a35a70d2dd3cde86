"""The clock: what reads the time takes it as an argument, and this is its default."""

from datetime import UTC, datetime


def now_utc() -> datetime:
    """Return the present time, aware, UTC."""
    return datetime.now(UTC)
