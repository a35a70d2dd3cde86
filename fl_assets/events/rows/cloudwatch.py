"""Logs in CloudWatch's own JSON: what it delivers, and answers of its API, of which the messages are taken.

These are `{"messageType": "DATA_MESSAGE", "logEvents": [{"message": …}]}` one after another (subscriptions
by way of Firehose), `{"events": [{"message": …}]}` (`filter-log-events`, `get-log-events`), and `{"results":
[[{"field": "@message", "value": …}]]}` (Logs Insights).

Source: CloudWatch Logs User Guide, "Subscription filters"; its API reference.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any, BinaryIO

from fl_assets.events.formats.seam import RefusedLine, json_records
from fl_assets.events.formats.values import as_list, as_object, objects_of, text_of
from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError

_MARKS = re.compile(
    rb'\s*\{\s*(?:"messageType"\s*:\s*"(?:DATA|CONTROL)_MESSAGE"'
    rb'|"events"\s*:\s*\[\s*\{\s*"(?:logStreamName|timestamp)"\s*:[^{},]+,\s*"(?:timestamp|message)"\s*:'
    rb'|"results"\s*:\s*\[\s*\[\s*\{\s*"field"\s*:\s*"@)'
)


def matches(start: bytes) -> bool:
    """Whether a file begins as one of these."""
    return _MARKS.match(start) is not None


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the messages, each with a line end.

    Raises:
        BadRowsError: a document is damaged or too large; those after it on lines of their own are read first.
    """
    refused: RefusedLine | None = None
    read = iter(lambda: file.readline(MAX_RECORD_BYTES + 1), b"")
    for found in json_records(zip(count(1), read, strict=False)):
        if isinstance(found, RefusedLine):
            refused = refused or found
            continue
        for message in _messages(as_object(found[1])):
            yield message.strip().encode("utf-8", "replace") + b"\n"
    if refused and refused.events:
        raise BadRowsError(f"of what CloudWatch keeps, line {refused.line}: {refused.detail}")


def _messages(whole: dict[str, Any]) -> Iterator[str]:
    for event in objects_of(whole.get("logEvents")) or objects_of(whole.get("events")):
        yield text_of(event.get("message"))
    for row in as_list(whole.get("results")):
        yield from (text_of(one.get("value")) for one in objects_of(row) if one.get("field") == "@message")
