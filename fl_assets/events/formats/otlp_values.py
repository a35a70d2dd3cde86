"""OTLP's JSON values, in every spelling that writers use: ids, integers, times, attributes."""

import base64
import re
from typing import Any

from fl_assets.events.formats.times import check_ns, iso_ns
from fl_assets.events.formats.values import as_list, as_object, get, objects_of

_MAX_DEPTH = 20
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]")
_HEX = re.compile(r"[0-9a-fA-F]+")


def time_of(raw: dict[str, Any], field: str) -> int:
    """Return a time in nanoseconds; 0 where there is none.

    Raises:
        TimeUnitError: it is in another unit.
    """
    value = get(raw, field)
    if isinstance(value, str) and not value.isdecimal() and _ISO.match(value):
        return iso_ns(value, field)
    return check_ns(integer_of(value, field), field)


def id_of(value: Any, field: str, size: int) -> str:
    """Return an id as lower-case hex, from hex (OTLP/JSON) or base64 (generic protobuf libraries).

    Raises:
        ValueError: it is neither, or all zeros.
    """
    text = value if isinstance(value, str) else ""
    if not _HEX.fullmatch(text) or len(text) != 2 * size:
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != size:
            raise ValueError(f"{field} is {value!r:.60}, must be {2 * size} hexadecimal digits")
        text = raw.hex()
    if not text.strip("0"):
        raise ValueError(f"{field} is all zeros, which is no id")
    return text.lower()


def integer_of(value: Any, field: str) -> int:
    """Return a 64-bit integer, written as text or as a number; 0 for none.

    Raises:
        ValueError: it is no integer.
    """
    if value is None or value == "":
        return 0
    if type(value) is str and len(value) < 20 and value.isdecimal():  # as the specification has it
        return int(value)
    try:
        is_float = isinstance(value, str) and ("e" in value.lower() or "." in value)
        return int(float(value) if is_float else value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{field} is {value!r:.60}, must be an integer") from error


def attributes_of(value: Any, depth: int = 0) -> dict[str, Any]:
    """Return attributes, from a list of key and AnyValue or from an object of plain values."""
    if isinstance(value, dict):
        return {str(key): any_value(entry, depth) for key, entry in value.items()}
    found: dict[str, Any] = {}
    for entry in objects_of(value):
        if not (key := entry.get("key")):
            continue
        inner = entry.get("value")
        text = inner.get("stringValue") if type(inner) is dict else None  # by far the most frequent
        found[str(key)] = any_value(get(entry, "value"), depth) if text is None or depth else text
    return found


def any_value(value: Any, depth: int = 0) -> Any:
    """Return an AnyValue as a plain value, if it is not one; bytes stay base64, too deep ones are None."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [any_value(entry, depth + 1) for entry in value]
    if not isinstance(value, dict):
        return value
    if (text := value.get("stringValue")) is not None:
        return text  # by far the most frequent
    for key in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if (found := get(value, key)) is not None:
            return found
    if (number := get(value, "intValue")) is not None:
        return _whole_number(number)
    if (array := get(value, "arrayValue")) is not None:
        return [any_value(entry, depth + 1) for entry in as_list(as_object(array).get("values"))]
    if (pairs := get(value, "kvlistValue")) is not None:
        return attributes_of(as_object(pairs).get("values"), depth + 1)
    return {str(key): any_value(entry, depth + 1) for key, entry in value.items()} or None


def _whole_number(value: Any) -> int | str:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
