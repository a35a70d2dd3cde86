"""Native events as a list, or pretty-printed; the engine validates them like its own lines."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from fl_assets.events.formats.seam import (
    DEFAULT_OPTIONS,
    EventLine,
    Format,
    Lines,
    ReadOptions,
    RefusedLine,
    json_records,
)

NATIVE = re.compile(rb'"(?<!\\")event_type"\s*:\s*"(?:ExecutionTrace|ConversationLog)"')
_BEGINS_MANY_LINES = re.compile(rb"\s*(?:\[|\{\s*(?:\r?\n|\Z))")


def _matches(_: str, head: bytes) -> bool:
    return NATIVE.search(head) is not None and _BEGINS_MANY_LINES.match(head) is not None


def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[EventLine | RefusedLine]:
    """Yield each event as it is."""
    del options
    for record in json_records(lines):
        if isinstance(record, RefusedLine):
            yield record
        else:
            line, value = record
            entries: list[Any] = value if isinstance(value, list) else [value]
            for entry in entries:
                try:
                    yield EventLine(line, orjson.dumps(entry))
                except orjson.JSONEncodeError as error:
                    yield RefusedLine(line, "bad_record", f"an event cannot be read: {error}")


FORMAT = Format("telemetrist_document", "Native events as a JSON list, or pretty-printed.", _matches, read)
