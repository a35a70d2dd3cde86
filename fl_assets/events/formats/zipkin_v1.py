"""Zipkin's JSON of version 1: spans whose times, sides and tags are annotations with endpoints.

What goes here: what of version 1 is said otherwise in version 2. What does not: version 2 (`zipkin.py`).

Source: openzipkin/zipkin-api, `zipkin-api.yaml` and `thrift/zipkinCore.thrift`; `V1SpanConverter` of
openzipkin/zipkin.
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import as_object, first, objects_of
from fl_assets.events.formats.zipkin import span_of

_SIDES = (("SERVER", "sr", "ss"), ("CLIENT", "cs", "cr"))
"""Of a call that both sides tell of in one span, the server's is the service."""


def _of_v1(value: dict[str, Any]) -> Span:
    notes, tags = objects_of(value.get("annotations")), objects_of(value.get("binaryAnnotations"))
    values = ((str(tag.get("key")), tag.get("value")) for tag in tags)  # `true` only names the other side
    said = {key: value for key, value in values if isinstance(value, str | int | float) and value is not True}
    at = {str(note.get("value")): note.get("timestamp") for note in reversed(notes)}
    side = next((side for side in _SIDES if side[1] in at or side[2] in at), None)
    start, end = (at.get(side[1]), at.get(side[2])) if side else (None, None)
    took = end - start if isinstance(start, int | float) and isinstance(end, int | float) else None
    times = [when for note in notes if isinstance(when := note.get("timestamp"), int | float)]
    own = [note for note in notes if side and note.get("value") in side[1:]]
    local = (as_object(note.get("endpoint")) for note in (*own, *notes, *tags))
    return span_of(
        {
            **{key: value.get(key) for key in ("traceId", "id", "parentId", "name")},
            "kind": side[0] if side else "",
            # of a span that the client began too, the server says neither when nor how long
            "shared": side is not None and side[0] == "SERVER" and not value.get("timestamp"),
            "timestamp": value.get("timestamp") or start or min(times, default=None),
            "duration": value.get("duration") or took,
            "localEndpoint": next((one for one in local if first(one, ("serviceName",))), {}),
            "annotations": [note for note in notes if note.get("value") not in ("cs", "cr", "sr", "ss")],
            "tags": said | ({"error": ""} if "error" in at else {}),
        }
    )


FORMAT = Format(
    "zipkin_v1",
    "Zipkin's JSON of version 1.",
    has_all(
        json_key("binaryAnnotations", rb"\[")
        + b"|"
        + json_key("annotations", rb'\[\s*\{[^\]]{0,400}"endpoint"\s*:\s*\{')
    ),
    entry_reader(_of_v1),
)
