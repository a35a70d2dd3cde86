"""Batches that Langfuse's SDKs send: events that create and update traces, observations and scores.

What goes here: putting the parts of one thing together, as Langfuse does. What does not: what an observation
is (`langfuse.py`).

Source: Langfuse's API reference (`POST /api/public/ingestion`): each event has a type, a time and a body; the
body's id says of what it is, and later fields stand before earlier ones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fl_assets.events.formats.langfuse import EVENTS, evaluation_of, span_of, turn_of_trace
from fl_assets.events.formats.readers import Found, NotUsed, Records, file_reader, or_reason
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.times import ns_or_none
from fl_assets.events.formats.values import as_object, objects_of

MAX_HELD = 100_000
"""Observations of a file that wait for their updates; of more, the oldest are taken as they are."""
_TYPE = re.compile(r"([a-z]+)-(create|update)")


@dataclass(slots=True)
class _Known:
    """What a file says of one thing so far: its line, fields, and when it was said last."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)

    def add(self, body: dict[str, Any], when: Any) -> None:
        """Let what is said now stand before what was; of metadata key by key."""
        metadata = {**as_object(self.fields.get("metadata")), **as_object(body.get("metadata"))}
        self.fields |= {key: value for key, value in body.items() if value is not None}
        if metadata:
            self.fields["metadata"] = metadata
        if ns_or_none(when) >= ns_or_none(self.fields.get("updatedAt")):
            self.fields["updatedAt"] = when


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    traces: dict[str, _Known] = {}
    held: dict[str, _Known] = {}
    for line, record in records:
        value = as_object(record)
        for event in objects_of(value.get("batch")) or [value]:
            if (found := or_reason(_taken, event, line, traces, held)) is not None:
                yield line, found
            if len(held) > MAX_HELD:
                yield _observation(held.pop(next(iter(held))), traces)
    for one in held.values():
        yield _observation(one, traces)
    for one in traces.values():
        if (span := or_reason(turn_of_trace, one.fields)) is not None:
            yield one.line, span


def _taken(
    event: dict[str, Any], line: int, traces: dict[str, _Known], held: dict[str, _Known]
) -> Found | None:
    """Remember what an event says of a trace or an observation; give what it is otherwise."""
    kind, body = str(event.get("type") or ""), as_object(event.get("body"))
    match = _TYPE.fullmatch(kind)
    if match is None:
        return NotUsed(kind[:60] or "events without a type")
    if match[1] == "score":
        return or_reason(evaluation_of, {}, {"timestamp": event.get("timestamp"), **body})
    if not isinstance(identity := body.get("id"), str) or not identity:
        return f"{kind[:60]} has no id in its body"
    if match[1] not in {"trace", "observation"}:
        body = {**body, "type": match[1].upper()}
    known = (traces if match[1] == "trace" else held).setdefault(identity, _Known(line))
    known.add(body, event.get("timestamp"))
    known.fields.setdefault("timestamp", event.get("timestamp"))
    return None


def _observation(known: _Known, traces: dict[str, _Known]) -> tuple[int, Found]:
    fields = known.fields
    is_begun = bool(fields.get("startTime"))
    if not is_begun and str(fields.get("level") or "").upper() != "ERROR":
        return known.line, NotUsed("updates of observations that began in another file")
    trace = traces.get(str(fields.get("traceId") or ""))
    return known.line, or_reason(span_of, trace.fields if trace else {}, fields)


FORMAT = Format(
    "langfuse_ingestion",
    "Batches that Langfuse's SDKs send (`/api/public/ingestion`), and their events one by one.",
    EVENTS,
    file_reader(_of_file, "events"),
)
