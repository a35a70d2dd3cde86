"""JSON of which there is one form only: what is signed or hashed, and what strangers wrote.

What goes here: the canonical form, and a reader that refuses what JSON readers disagree about. What does not:
what a document means.
"""

import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any, *, ascii_only: bool = True) -> bytes:
    """Return the one form of a JSON value that is stored, hashed and signed: keys sorted, no blanks.

    Args:
        value: plain lists, dicts and scalars. Floats are written as Python does, so what several writers sign
            holds whole numbers only.
        ascii_only: escape all other characters; else they are UTF-8.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def canonical_record(record: BaseModel) -> bytes:
    """Return the one form of a record that is stored and signed, in ASCII."""
    return canonical_json(record.model_dump(mode="json"))


def strict_json(content: bytes | str) -> Any:
    """Return JSON in which no key occurs twice and every number is one.

    Raises:
        ValueError: it is not, or is nested deeper than Python reads.
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except RecursionError:
        message = "nested too deep"
        raise ValueError(message) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            message = f"key {name[:80]!r} occurs twice"
            raise ValueError(message)
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    message = f"{name} is no JSON number"
    raise ValueError(message)
