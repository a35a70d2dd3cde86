"""The user's own JSON, by a mapping of its fields (docs/formats.md, `FEDERATED_LEARNING_MAPPING_PATH`).

What goes here: the record of a mapping, and its format. What does not: reading the file
(`events/mapping_files.py`).
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import any_ns, as_list, as_object, number_of, text_of

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
    marks = [re.compile(rb'"(?<!\\")' + re.escape(name.encode()) + rb'"\s*:') for name in mapping.when]

    def of_record(value: Any) -> Iterator[Span | str]:
        for entry in as_list(value) or [value]:
            try:
                yield from _spans(as_object(entry), mapping)
            except ValueError as error:
                yield f"{mapping.id}: {error}"

    return Format(
        name=mapping.id,
        description=f"JSON lines read by the mapping {mapping.id}.",
        matches=lambda _, head: all(mark.search(head) for mark in marks),
        read=span_reader(of_record, "lines"),
    )


def _spans(raw: dict[str, Any], mapping: FieldMapping) -> Iterator[Span]:
    end = any_ns(_value(raw, mapping.time), mapping.time)
    if not end:
        message = f"no {mapping.time}"
        raise ValueError(message)
    digest = hashlib.sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest()
    key = text_of(_value(raw, mapping.event)) or digest[:16]
    session = text_of(_value(raw, mapping.session))
    took = number_of({"ms": _value(raw, mapping.duration_ms)}, ("ms",))
    error = failed_text(_value(raw, mapping.error))
    is_ok = _value(raw, mapping.ok)
    failed = str(is_ok).lower() in _FALSE if is_ok is not None else bool(error)
    common: dict[str, Any] = {
        "trace_id": text_of(_value(raw, mapping.trace)) or session or digest[:32],
        "parent_id": "",
        "end_ns": end,
        "resource": {
            "service.name": text_of(_value(raw, mapping.service)),
            "node.id": text_of(_value(raw, mapping.node)),
        },
    }
    if method := text_of(_value(raw, mapping.method)):
        attributes = {
            "session.id": session,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": method,
            "gen_ai.tool.call.arguments": _value(raw, mapping.arguments),
        }
        yield Span(
            **common,
            span_id=key,
            name=method,
            start_ns=end - int(took * 1e6) if took is not None else 0,
            status="error" if failed else "ok",
            status_message=error if failed else "",
            attributes=attributes,
        )
    question, answer = (text_of(_value(raw, path)) for path in (mapping.question, mapping.answer))
    if question:
        said = {
            "session.id": session,
            "gen_ai.operation.name": "invoke_agent",
            "input.value": question,
            "output.value": answer,
            "turn.is_open": True,
        }
        yield Span(**common, span_id=f"{key}-turn", name="turn", start_ns=end, status="log", attributes=said)
