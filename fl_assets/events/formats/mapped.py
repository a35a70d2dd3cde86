"""The user's own JSON, by a mapping of its fields (docs/formats.md, `FEDERATED_LEARNING_MAPPING_PATH`).

What goes here: the record of a mapping, and its format. What does not: reading the file
(`events/mapping_files.py`).
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import orjson
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, number_of, text_of

_FALSE = frozenset({"false", "no", "0", "error", "failed", "failure", "fail"})


class FieldMapping(BaseModel):
    """Fields of a line: each a name, a path (`call.tool`), or a fixed text after `=` (`=billing`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"[a-z][a-z0-9_]{0,40}", description="Name of the format.")
    when: tuple[str, ...] = Field(
        min_length=1, description="Names of fields that a line has; they tell the format from others."
    )
    time: str = Field(description="When it ended: ISO 8601, or a number since 1970.")
    service: str = Field("=unknown", description="Who was called.")
    method: str | None = Field(None, description="What was called.")
    duration_ms: str | None = Field(None, description="How long it took, milliseconds.")
    ok: str | None = Field(None, description="Whether it succeeded; without it, a line with an error failed.")
    error: str | None = Field(None, description="The error's text.")
    event: str | None = Field(None, description="Id of the event; without it, made from the line.")
    trace: str | None = Field(None, description="The task or request it belongs to.")
    session: str | None = Field(None, description="The conversation.")
    node: str | None = Field(None, description="The place it comes from.")
    arguments: str | None = Field(None, description="What the tool was called with.")
    question: str | None = Field(None, description="What the user said.")
    answer: str | None = Field(None, description="What was answered.")


def _value(raw: dict[str, Any], path: str | None) -> Any:
    """Return a field; a path with dots is first tried as a name."""
    if path is None:
        return None
    if path.startswith("="):
        return path[1:]
    if path in raw:
        return raw[path]
    value: Any = raw
    for name in path.split("."):
        value = as_object(value).get(name)
    return value


def mapped_format(mapping: FieldMapping) -> Format:
    """Return the format of a mapping: each line is a call, a turn, or both."""

    def of_record(value: Any) -> Iterator[Span | str]:
        try:
            yield from _spans(as_object(value), mapping)
        except ValueError as error:
            yield f"{mapping.id}: {error}"

    return Format(
        mapping.id,
        f"JSON lines read by the mapping {mapping.id}.",
        has_all(*(json_key(re.escape(name)) for name in mapping.when)),
        span_reader(of_record, "lines"),
    )


def _spans(raw: dict[str, Any], mapping: FieldMapping) -> Iterator[Span]:
    def text(field: str) -> str:
        return text_of(_value(raw, getattr(mapping, field)))

    end = any_ns(_value(raw, mapping.time), mapping.time)
    if not end:
        raise ValueError(f"no {mapping.time}")
    digest = hashlib.sha256(text_of(raw, orjson.OPT_SORT_KEYS).encode()).hexdigest()
    key, session_id = text("event") or digest[:16], text("session")
    session = Session(text("trace") or session_id or digest[:32], text("service"), {"session.id": session_id})
    took = number_of({"ms": _value(raw, mapping.duration_ms)}, ("ms",))
    error, is_ok = failed_text(_value(raw, mapping.error)), _value(raw, mapping.ok)
    failed = str(is_ok).lower() in _FALSE if is_ok is not None else bool(error)
    spans = []
    if method := text("method"):
        times = (max(0, end - int(took * 1e6)) if took is not None else 0, end)
        status, error = ("error", error) if failed else ("ok", "")
        about = {"gen_ai.tool.call.arguments": _value(raw, mapping.arguments)}
        spans.append(session.span(key, "execute_tool", method, times, error, status=status, more=about))
    if question := text("question"):
        turn = UsersQuestion(0, f"{key}-turn", end, question)
        turn.answered(end, text("answer"))
        spans.append(turn.turn(session)[1])
    yield from (replace(span, resource={**span.resource, "node.id": text("node")}) for span in spans)
