"""The span, to which every format of calls is converted.

What does not go here: any wire format, and what a span means (`conventions.py`, `outcomes.py`, `messages.py`,
`traces.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_NS = 253_402_300_799 * 10**9  # the end of year 9999, the last that a datetime can hold


class SpanEvent(NamedTuple):
    """An event of a span, or a log record of it; `time_ns` is since 1970, 0 when unknown."""

    name: str
    values: Mapping[str, Any]
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """One span with plain values; times are nanoseconds since 1970 UTC, 0 where unknown.

    The status is `ok`, `error` or `unset`, as in OpenTelemetry. A span of status `log` or `error-log` holds
    log records of the span with its id: the first is no call, the second a failed call unless the file has
    the span itself. One of status `evaluation` is no call, and has evaluations as its events.

    Raises:
        ValueError: it has no valid time.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str = ""
    scope: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    event_id: str = ""
    """Id of its event where the ids of trace and span change with each copy of it."""

    def __post_init__(self) -> None:
        if not 0 < (self.end_ns or self.start_ns) <= MAX_NS or not 0 <= self.start_ns <= MAX_NS:
            times = f"it starts at {self.start_ns} and ends at {self.end_ns} ns"
            message = f"span {self.span_id} has no usable time: {times}"
            raise ValueError(message)

    @property
    def time_ns(self) -> int:
        """When it ended, or began where no end is known."""
        return self.end_ns or self.start_ns

    @property
    def duration_ms(self) -> float | None:
        """Its duration; None when its start or end is unknown, or they are in the wrong order."""
        return (self.end_ns - self.start_ns) / 1e6 if 0 < self.start_ns <= self.end_ns else None


def turn_span(
    common: dict[str, Any],
    span_id: str,
    asked: tuple[int, str],
    answer: tuple[int, str],
    about: Mapping[str, Any],
) -> Span:
    """Return the span of a user's question and its answer.

    Args:
        common: trace_id, parent_id and resource.
        span_id: id of the turn.
        asked: time, nanoseconds since 1970, and text of the question.
        answer: the same of the answer; (0, "") for none.
        about: further attributes.
    """
    fields: dict[str, Any] = {**common, "span_id": span_id}
    return Span(
        **fields,
        name="turn",
        start_ns=asked[0],
        end_ns=answer[0] or asked[0],
        status="log",
        attributes={
            **about,
            "gen_ai.operation.name": "invoke_agent",
            "input.value": asked[1],
            "output.value": answer[1],
            "turn.is_open": True,
        },
    )
