"""Plain values from loose JSON, for all formats: objects, lists, texts and numbers."""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import orjson

from fl_assets.events.mend import mended

_MAX_MENDED = 1024 * 1024
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_MAX_DEPTH = 100
_TOO_DEEP = "(nested too deep)"


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text, which blanks divide: for long lists of keys."""
    return tuple(text.split())


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, which some exports write as JSON text; {} for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = decoded(value)
    return value if isinstance(value, dict) else {}


def bounded(value: Any) -> Any:
    """Return a value with what is nested too deep, or is no number or character of JSON, replaced.

    `orjson` reads 1024 levels and writes 254; Python's `repr` fails in between.
    """
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return cut(value)
    return value


def cut(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return a value down to a depth, with numbers and characters that JSON has not as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict | list) and not depth:
        return _TOO_DEEP
    if isinstance(value, dict):
        return {cut(key, 0): cut(one, depth - 1) for key, one in value.items()}
    return [cut(one, depth - 1) for one in value] if isinstance(value, list) else value


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
            value = bounded(orjson.loads(value)) if _may_be_deep(value) else orjson.loads(value)
        except orjson.JSONDecodeError:
            if (found := _mended(value)) is None:
                return value
            value = found
    return value


def _may_be_deep(text: str) -> bool:
    return text.count("{") + text.count("[") > _MAX_DEPTH


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


def text_of(value: Any, option: int = 0) -> str:
    """Return any value as text: texts as they are, null as '', others as JSON, with options of orjson."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value, default=str, option=option).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(cut(value), default=str, option=option).decode()


def required_text(value: Any, field: str) -> str:
    """Return a text that is required.

    Raises:
        ValueError: naming the field.
    """
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise ValueError(f"{field} is {value!r:.60}, must be a text")
    return str(value).strip()


def kind_in_words(value: Any) -> str:
    """Return what JSON calls a value: object, array, text, boolean, number or null."""
    kinds = {dict: "object", list: "array", str: "text", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def integer_in(text: str) -> int:
    """Return the whole number that a text is, of up to 18 digits; 0 for any other text."""
    return int(text) if _INTEGER.fullmatch(text) else 0


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
