"""Plain values from loose JSON, for all formats: objects, lists, texts and times."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from fl_assets.events.mend import mended

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = frozenset({2**63 - 1, 2**64 - 1})
"""What some writers use for unknown times: the largest integers."""
_UNITS = {"seconds": 10**8, "milliseconds": 10**11, "microseconds": 10**14, "nanoseconds": 10**17}
"""The least number that a time since 1970 is in each unit; a thousand times that is in the next."""
_MAX_MENDED = 1024 * 1024
_LAST_NS = 253_402_300_799 * 10**9  # the end of year 9999, the last that a datetime can hold


class TimeUnitError(ValueError):
    """A time in another unit than that of its field."""


class NoTimesError(ValueError):
    """A file of a known format has no times, so that its day is unknown."""


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text, which blanks divide: for long lists of keys."""
    return tuple(text.split())


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, which some exports write as JSON text; {} for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = decoded(value)
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list; [] for anything else."""
    return value if isinstance(value, list) else []


def objects_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list."""
    return [entry for entry in as_list(value) if isinstance(entry, dict)]


@cache
def _snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), key)


def get(value: dict[str, Any], key: str) -> Any:
    """Return a field by its camelCase name, or as snake_case, which protobuf's JSON parsers accept too."""
    found = value.get(key)
    return found if found is not None else value.get(_snake(key))


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null or empty."""
    return {key: value for key, value in values.items() if value not in (None, "", {}, [])}


def decoded(value: Any) -> Any:
    """Parse JSON within a text, up to three levels, repairing bad characters; else return the value."""
    for _ in range(3):
        if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "[", '"'}:
            return value
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            if (found := _mended(value)) is None:
                return value
            value = found
    return value


def _mended(text: str) -> Any:
    """Parse JSON after repairing bad characters; None where there are none, or nothing helps."""
    fixed, values = mended(text.encode("utf-8", "replace")) if len(text) <= _MAX_MENDED else (b"", 0)
    try:
        return orjson.loads(fixed) if values else None
    except orjson.JSONDecodeError:
        return None


def first(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return the value of the first of the keys with a text or a number, as text; '' without one."""
    for key in keys:
        if (
            key in values
            and isinstance(value := values[key], str | int | float)
            and (text := str(value).strip())
        ):
            return text
    return ""


def text_of(value: Any) -> str:
    """Return any value as text: texts as they are, null as '', others as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def required_text(value: Any, field: str) -> str:
    """Return a text that is required.

    Raises:
        ValueError: naming the field.
    """
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise ValueError(f"{field} is {value!r:.60}, must be a text")
    return str(value).strip()


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
        return max(0, (when - _EPOCH) // timedelta(microseconds=1) * 1000)
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
    if not isinstance(value, int | float) or isinstance(value, bool) or not 10**8 <= value <= _LAST_NS:
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
    when = _EPOCH + timedelta(microseconds=ns // 1000)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def number_of(values: Mapping[str, Any], keys: Collection[str]) -> float | None:
    """Return the first finite number from 0 under one of the keys, also written as text; None without one."""
    if values.keys().isdisjoint(keys):  # the usual case
        return None
    for key in keys:
        value = values.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if 0 <= number < 1e15:
            return number
    return None
