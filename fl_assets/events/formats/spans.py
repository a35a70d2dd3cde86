"""A span, and the reader that formats of spans share.

What goes here: the record that every format of calls is turned into, and the way from a file's JSON to
events. What does not: any wire format, and what a span means (`conventions.py`, `outcomes.py`, `messages.py`,
`traces.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_NS = 253_402_300_799 * 10**9  # the end of year 9999, the last that a datetime can hold


class SpanEvent(NamedTuple):
    """An event of a span, or a log record that belongs to it; `time_ns` is since 1970, 0 when unknown."""

    name: str
    values: Mapping[str, Any]
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """One span with plain values.

    Ids are what the format makes of them, times are nanoseconds since 1970 UTC and 0 where unknown.

    The status is `ok`, `error` or `unset`, as OpenTelemetry has them. A span of status `log` or `error-log`
    stands in for one of which only log records are known: what it says belongs to the span of that id. The
    first is no call; the second is a failed one, unless the file has the span itself. One of status
    `evaluation` is no call either, and carries evaluations as its events.

    Raises:
        ValueError: when it has no time that a row can have.
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
        """How long it took; None when its start or its end is unknown, or they are in the wrong order."""
        return (self.end_ns - self.start_ns) / 1e6 if 0 < self.start_ns <= self.end_ns else None
