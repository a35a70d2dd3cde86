"""Times in loose JSON, for all formats: nanoseconds since 1970 UTC, 0 where unknown."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = frozenset({2**63 - 1, 2**64 - 1})
"""What some writers use for unknown times: the largest integers."""
_UNITS = {"seconds": 10**8, "milliseconds": 10**11, "microseconds": 10**14, "nanoseconds": 10**17}
"""The least number that a time since 1970 is in each unit; a thousand times that is in the next."""
MAX_NS = 253_402_300_800 * 10**9 - 1
"""The end of year 9999, the last that a datetime can hold."""


class TimeUnitError(ValueError):
    """A time in another unit than that of its field."""


class NoTimesError(ValueError):
    """A file of a known format has no times, so that its day is unknown."""


def iso_ns(value: Any, field: str = "time") -> int:
    """Return an ISO 8601 time (default zone UTC) as nanoseconds since 1970, 0 for null.

    Raises:
        ValueError: naming the field.
    """
    if value is None or value == "":
        return 0
    try:
        when = datetime.fromisoformat(value)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        since = max(0, (when - _EPOCH) // timedelta(microseconds=1) * 1000)
        if since > MAX_NS:  # in UTC
            raise OverflowError
        return since
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{field} is {value!r:.60}, must be an ISO 8601 time") from error


def timestamp_of(entry: Mapping[str, Any], missing: str) -> int:
    """Return an entry's `timestamp` as `iso_ns` does.

    Raises:
        ValueError: it is no time, or `missing`.
    """
    if when := iso_ns(entry.get("timestamp"), "timestamp"):
        return when
    raise ValueError(missing)


def any_ns(value: Any, field: str = "time") -> int:
    """Return a time in nanoseconds, from ISO 8601 or a number since 1970 in s, ms, us or ns, by its size.

    Null is 0.

    Raises:
        ValueError: naming the field.
    """
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            return iso_ns(value, field)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value == 0):
        return 0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 10**8 <= value <= MAX_NS:
        raise ValueError(f"{field} is {value!r:.60}, must be a time since 1970")
    if value < 10**11:
        return round(value * 10**6) * 1000
    if value < 10**14:
        return round(value * 1000) * 1000
    return int(value) * (1000 if value < 10**17 else 1)


def ns_or_none(value: Any) -> int:
    """Return a time as `any_ns` does; 0 for what is none."""
    try:
        return any_ns(value)
    except ValueError:
        return 0


def check_ns(value: int, field: str) -> int:
    """Return a time in nanoseconds, 0 for an unknown one; times before 1973 are in another unit.

    Raises:
        TimeUnitError: naming the field and the unit it looks like.
    """
    if value >= _UNITS["nanoseconds"]:
        return 0 if value in _NEVER else value
    return 0 if value < 0 else _in_unit(value, field, "nanoseconds")


def check_us(value: Any, field: str) -> Any:
    """Return a time in microseconds, unless its size shows another unit.

    Raises:
        TimeUnitError: naming the field and the unit it looks like.
    """
    return _in_unit(value, field, "microseconds") if isinstance(value, int | float) else value


def _in_unit(value: float, field: str, unit: str) -> Any:
    for name, least in _UNITS.items():
        if name != unit and least <= value < 1000 * least:
            raise TimeUnitError(f"{field} looks like {name}, not {unit}: {value}")
    return value


def iso(ns: int) -> str:
    """Return nanoseconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    seconds, micros = divmod(ns // 1000, 1_000_000)
    minutes, second = divmod(seconds, 60)
    return f"{_minute(minutes)}:{second:02d}.{micros:06d}Z"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    """Return minutes since 1970 as ISO 8601: of a day there are 1440."""
    return (_EPOCH + timedelta(minutes=minutes)).isoformat(timespec="minutes").removesuffix("+00:00")
