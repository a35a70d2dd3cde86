"""Reading events in bulk: msgspec parses batches of lines, strictly typed, into Arrow columns.

What does not go here: rules beyond types (`sql.py` marks lines that break one as suspect, and `event.py`
reads those again), files (`read.py`).
"""

import re
from bisect import bisect_right
from itertools import pairwise
from operator import attrgetter

import msgspec
import numpy as np
import pyarrow as pa

from fl_assets.events.event import TRACE_TEXTS, TURN_TEXTS, read_line

_SLICE_BYTES = 64 * 1024


# gc=False: there are millions, and they hold no reference cycles
class _Payload(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: str | None = None


class _Trace(_Payload, gc=False):
    trace_id: str | None = None
    request_id: str | None = None
    service: str | None = None
    method: str | None = None
    error: str | None = None
    caused_by: str | None = None
    duration_ms: float | None = None
    success: bool | None = None


class _Turn(_Payload, gc=False):
    log_id: str | None = None
    session_id: str | None = None
    user_query: str | None = None
    system_response: str | None = None


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: str | None = None
    event_type: str | None = None
    timestamp: str | None = None
    execution_trace: _Trace | None = None
    conversation_log: _Turn | None = None


_DECODER = msgspec.json.Decoder(_Event)
_NOTHING, _NO_TRACE, _NO_TURN = _Event(), _Trace(), _Turn()
_CHUNK_LINES = 2048
"""Lines that are Python objects at a time: what fits into the processor's cache."""
_EVENT_TEXTS = ("event_id", "event_type", "timestamp")


def decoded(line: memoryview) -> _Event:
    """Parse a line, by `read_line` where it has unknown fields; an empty event where that refuses it."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError):
        strict = read_line(bytes(line))
        return _DECODER.decode(strict) if isinstance(strict, bytes) else _NOTHING


def time_texts(event: _Event) -> tuple[str | None, str | None] | None:
    """Return both times of an event as they were written; None for what is no event (`read_line`)."""
    trace, turn = event.execution_trace, event.conversation_log
    kind = "ConversationLog" if trace is None else "ExecutionTrace"
    if not event.event_id or (trace is None) == (turn is None) or event.event_type != kind:
        return None
    if trace is not None and not (trace.service and trace.method and trace.success is not None):
        return None
    return event.timestamp, (trace or turn or _NO_TRACE).timestamp


def read_events(lines: pa.ChunkedArray) -> pa.Table:
    """Parse lines as events, without copying the lines.

    Args:
        lines: valid UTF-8.

    Returns:
        One row per line, in order: event_id, event_type, timestamp, has_trace, has_turn, payload_time, the
        texts of both payloads, duration_ms (float64), success, metadata (JSON as written, '{}' for null) and
        has_control: whether a text has NUL or a separator of redaction. event_id is null where `read_line`
        refuses the line.
    """
    return pa.Table.from_batches(
        [
            _events_of(chunk.slice(start, _CHUNK_LINES))
            for chunk in lines.chunks
            for start in range(0, len(chunk), _CHUNK_LINES)
        ]
        or [_events_of(pa.array([], pa.string()))]
    )


def _events_of(lines: pa.StringArray) -> pa.RecordBatch:
    _, offsets_buffer, data_buffer = lines.buffers()
    offsets = (
        np.frombuffer(offsets_buffer or b"", np.int32)[lines.offset : lines.offset + len(lines) + 1]
        if len(lines)
        else np.zeros(1, np.int32)
    )
    data, places = memoryview(data_buffer or b"")[offsets[0] : offsets[-1]], (offsets - offsets[0]).tolist()
    events = [decoded(data[start:end]) for start, end in pairwise(places)]
    traces = [event.execution_trace or _NO_TRACE for event in events]
    turns = [event.conversation_log or _NO_TURN for event in events]
    payloads = [event.execution_trace or event.conversation_log or _NO_TRACE for event in events]
    metadata = [bytes(payload.metadata) for payload in payloads]
    columns = {
        name: pa.array([*map(attrgetter(name), rows)], pa.string())
        for rows, names in ((events, _EVENT_TEXTS), (traces, TRACE_TEXTS), (turns, TURN_TEXTS))
        for name in names
    }
    return pa.RecordBatch.from_pydict(
        columns
        | {
            "has_trace": pa.array([trace is not _NO_TRACE for trace in traces], pa.bool_()),
            "has_turn": pa.array([turn is not _NO_TURN for turn in turns], pa.bool_()),
            "payload_time": pa.array([payload.timestamp for payload in payloads], pa.string()),
            "metadata": pa.array([b"{}" if one == b"null" else one for one in metadata], pa.binary()).cast(
                pa.string()
            ),
            "duration_ms": pa.array([trace.duration_ms for trace in traces], pa.float64()),
            "success": pa.array([trace.success for trace in traces], pa.bool_()),
            "has_control": pa.array(_has_control(data, places[1:])),
        }
    )


_CONTROL = re.compile(rb"\\u00(?:00|1[d-fD-F])")


def _has_control(data: memoryview, ends: list[int]) -> np.ndarray:
    r"""Return which lines have a JSON escape of NUL or of a separator of redaction.

    It counts after an even number of backslashes: `\\u0000` is text.
    """
    found = np.zeros(len(ends), dtype=bool)
    for match in _CONTROL.finditer(data):
        start = match.start()
        while start and data[start - 1] == ord("\\"):
            start -= 1
        if (match.start() - start) % 2 == 0:
            found[bisect_right(ends, start)] = True
    return found


def places_of(byte: int, data: np.ndarray) -> np.ndarray:
    """Return the positions of a byte in `data` (uint8), as int64, in order.

    It compares slice by slice, in the processor's cache and without new allocations.
    """
    found = [
        np.flatnonzero(data[start : start + _SLICE_BYTES] == byte) + start
        for start in range(0, len(data), _SLICE_BYTES)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
