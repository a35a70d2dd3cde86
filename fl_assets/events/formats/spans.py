"""The span, to which every format of calls is converted.

What does not go here: any wire format, and what a span means (`conventions.py`, `outcomes.py`, `messages.py`,
`traces.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import Struct

from fl_assets.events.formats.times import MAX_NS, ns_or_none
from fl_assets.events.formats.values import as_object, objects_of


class SpanEvent(NamedTuple):
    """An event of a span, or a log record of it; `time_ns` is since 1970, 0 when unknown."""

    name: str
    values: Mapping[str, Any]
    time_ns: int = 0


def events_in(
    value: Any,
    attributes_of: Callable[[Any], Mapping[str, Any]] = as_object,
    time_of: Callable[[Any], int] = ns_or_none,
) -> tuple[SpanEvent, ...]:
    """Return the events of a span: objects with name, attributes, and a time under a usual name."""
    return tuple(
        SpanEvent(
            str(event.get("name") or event.get("Name") or ""),
            attributes_of(event.get("attributes") or event.get("Attributes")),
            time_of(next(filter(None, map(event.get, _TIMES)), None)),
        )
        for event in objects_of(value)
    )


_TIMES = ("timeUnixNano", "time_unix_nano", "timestamp", "time", "Time")


class Span(Struct, frozen=True):
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
    attributes: Mapping[str, Any] = {}
    resource: Mapping[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    event_id: str = ""
    """Id of its event where the ids of trace and span change with each copy of it."""

    def __post_init__(self) -> None:
        if not 0 < (self.end_ns or self.start_ns) <= MAX_NS or not 0 <= self.start_ns <= MAX_NS:
            times = f"it starts at {self.start_ns} and ends at {self.end_ns} ns"
            raise ValueError(f"span {self.span_id} has no usable time: {times}")

    @property
    def time_ns(self) -> int:
        """When it ended, or began where no end is known."""
        return self.end_ns or self.start_ns

    @property
    def duration_ms(self) -> float | None:
        """Its duration; None when its start or end is unknown, or they are in the wrong order."""
        return (self.end_ns - self.start_ns) / 1e6 if 0 < self.start_ns <= self.end_ns else None


@dataclass(frozen=True, slots=True)
class Session:
    """What all spans of an agent's session have in common; `about` are their attributes."""

    trace_id: str
    service: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def span(
        self,
        span_id: str,
        operation: str,
        name: str,
        times: tuple[int, int],
        error: str = "",
        *,
        status: str = "",
        parent_id: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> Span:
        """Return a span of the session.

        An `execute_tool` is of a tool of the span's name. The status is by default `error` with an error,
        else `unset`; times are start and end, nanoseconds since 1970, 0 where unknown.
        """
        tool = {"gen_ai.tool.name": name} if operation == "execute_tool" else {}
        return Span(
            self.trace_id,
            span_id,
            parent_id,
            name,
            *times,
            status or ("error" if error else "unset"),
            error,
            attributes={**self.about, "gen_ai.operation.name": operation, **tool, **(more or {})},
            resource={"service.name": self.service},
        )


@dataclass(slots=True)
class UsersQuestion:
    """A user's question and the last answer to it so far; times are nanoseconds since 1970."""

    line: int
    key: str
    asked_ns: int
    words: str
    answered_ns: int = 0
    answer: str = ""
    model: Any = None

    def answered(self, when: int, text: str, model: Any = None) -> None:
        """Take an answer, which replaces an earlier one."""
        self.answered_ns, self.answer, self.model = when, text, model

    def turn(self, session: Session) -> tuple[int, Span]:
        """Return the turn's line and span."""
        said = {"input.value": self.words, "output.value": self.answer, "turn.is_open": True}
        model = {"gen_ai.request.model": self.model} if self.model is not None else {}
        times = (self.asked_ns, self.answered_ns or self.asked_ns)
        return self.line, session.span(
            self.key, "invoke_agent", "turn", times, status="log", more={**said, **model}
        )


@dataclass(slots=True)
class Dialogue:
    """The questions of one session, one after another, each with the last answer to it."""

    session: Session
    question: UsersQuestion | None = None

    def asked(self, line: int, key: Any, when: int, words: str) -> Iterator[tuple[int, Span]]:
        """Take a question; yield the turn that the one before it was."""
        yield from self.end()
        self.question = UsersQuestion(line, f"turn-{key}", when, words)

    def answered(self, when: int, text: str, model: Any = None) -> None:
        """Take an answer to the open question, if there is one."""
        if self.question and text:
            self.question.answered(when, text, model)

    def end(self) -> Iterator[tuple[int, Span]]:
        """Yield the turn of the open question, if there is one."""
        if self.question:
            yield self.question.turn(self.session)
            self.question = None
