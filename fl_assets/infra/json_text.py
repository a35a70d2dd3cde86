"""Canonical JSON for what is signed or hashed, and a strict and a lenient reader for what others wrote."""

import json
from typing import Any

import orjson
from pydantic import BaseModel


def canonical_json(value: Any, *, ascii_only: bool = True) -> bytes:
    """Return the canonical form of a JSON value: keys sorted, no blanks.

    Args:
        value: plain lists, dicts and scalars; what writers in other languages sign must hold no floats.
        ascii_only: escape other characters; else they are UTF-8.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def canonical_record(record: BaseModel) -> bytes:
    """Return the canonical form of a record, in ASCII."""
    return canonical_json(record.model_dump(mode="json"))


def strict_json(content: bytes | str) -> Any:
    """Parse JSON, refusing repeated keys and NaN, about which readers disagree.

    Raises:
        ValueError: it has one of these, is no JSON, or is nested too deep.
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def lenient_json(content: bytes) -> Any:
    """Parse JSON with what orjson refuses: NaN, lone surrogates, long numbers, bytes that are no UTF-8.

    Raises:
        ValueError: it is no JSON, or is nested too deep.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        try:
            return json.loads(content.decode(errors="replace"), parse_int=_number)
        except RecursionError:
            raise ValueError("nested too deep") from None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < _MAX_DIGITS else float(digits)


_MAX_DIGITS = 400


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"key {name[:80]!r} occurs twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
