"""From spans to events, trace by trace: each failure once, each question of a user once.

What goes here: decisions that need the whole trace, and making events. What does not: any wire format, and
what one span means (`conventions.py`, `outcomes.py`, `messages.py`).
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
from msgspec.structs import replace

from fl_assets.events.formats.causes import FailedSpan, Place, causes_of, nearest_of
from fl_assets.events.formats.conventions import (
    agent_of,
    is_summary,
    kind_and_method,
    kind_of,
    metadata_of,
    model_of,
    request_of,
    service_of,
    session_of,
)
from fl_assets.events.formats.evaluations import Evaluation, in_span
from fl_assets.events.formats.exceptions import is_vague
from fl_assets.events.formats.messages import of_trace, turn_of
from fl_assets.events.formats.nodes import node_of
from fl_assets.events.formats.outcomes import NO_FAILURE, outcome_of
from fl_assets.events.formats.parts import EXECUTION, PERMISSION, WHOLE, shared_id, with_parts
from fl_assets.events.formats.seam import (
    DEFAULT_OPTIONS,
    UNFORESEEN,
    EvaluationLine,
    EventLine,
    Read,
    ReadOptions,
    RefusedLine,
    early_in_words,
    in_words,
)
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import iso, iso_ns
from fl_assets.events.formats.turns import Turn, one_per_question
from fl_assets.events.formats.values import first, text_of

MAX_HELD_SPANS = 100_000
"""Spans that are held at a time; a trace spread over more spans of a file is settled in parts."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Bytes of failures and turns that are held at a time."""


_OVERHEAD = 200
"""Bytes of what is held, beside its texts."""
_MOST_ABOVE = 100
"""Spans above a failure without words among which such are looked for."""
_PARTS = frozenset({WHOLE, EXECUTION, PERMISSION})


def event_id(span: Span) -> str:
    """Return the id of a span's event, which is the same in whatever file the span is."""
    return span.event_id or shared_id(span) or f"{span.trace_id}:{span.span_id}"


def trace_event(span: Span, options: ReadOptions = DEFAULT_OPTIONS) -> dict[str, Any]:
    """Return the ExecutionTrace event of a span, at the time of its end.

    `caused_by` is the end of a call that neither succeeded nor failed (`NO_FAILURE`). One without an end is
    `unfinished`, and replaced by a later version.
    """
    kind, method = kind_and_method(span)
    outcome = outcome_of(span, kind)
    metadata = metadata_of(span, kind, node_of(span, options.node_attributes))
    if outcome.kind in NO_FAILURE:
        metadata["caused_by"] = outcome.kind
    if not span.end_ns:
        metadata["unfinished"] = "true"
    when = iso(span.time_ns)
    trace = {
        "trace_id": span.trace_id,
        "request_id": request_of(span),
        "service": service_of(span),
        "method": method,
        "duration_ms": span.duration_ms,
        "success": outcome.kind == "ok",
        "error": outcome.error,
        "metadata": metadata,
        "timestamp": when,
    }
    return {
        "event_id": event_id(span),
        "event_type": "ExecutionTrace",
        "execution_trace": trace,
        "conversation_log": None,
        "timestamp": when,
    }


def turn_in(line: int, span: Span, kind: str, options: ReadOptions) -> Turn | None:
    """Return the turn of an LLM or agent span with question and answer; None for any other span."""
    is_of_trace = bool(span.attributes.get("turn.of_trace")) or "langfuse.trace.input" in span.attributes
    if kind not in {"llm", "agent"} and not is_of_trace:
        return None
    if first(span.resource, ("deployment.environment",)).startswith("langfuse-"):  # its own judges' traces
        return None
    said = turn_of(
        of_trace(span.attributes) if is_of_trace else span.attributes,
        span.events,
        is_agent=kind == "agent" or is_of_trace,
        is_open=bool(span.attributes.get("turn.is_open")),
    )
    if said is None:
        return None
    about = {
        "answer": "" if said[1] else "unknown",
        "unfinished": "" if said[1] else "true",
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "node_id": node_of(span, options.node_attributes),
        "service": service_of(span),
        "agent": agent_of(span),
        "model": model_of(span),
        "updated_at": first(span.attributes, ("updated_at",)),
    }
    return Turn(
        line,
        f"{event_id(span)}:talk",
        span.span_id,
        session_of(span.attributes),
        *said,
        span.start_ns or span.end_ns,
        span.time_ns,
        {key: value for key, value in about.items() if value},
        is_of_trace=is_of_trace,
    )


def events_of(
    spans: Iterable[tuple[int, Span | Evaluation] | RefusedLine], options: ReadOptions = DEFAULT_OPTIONS
) -> Iterator[Read]:
    """Convert numbered spans, in any order, to events, and evaluations to rows; pass on refusals.

    Successful calls are yielded at once. Failures and turns are held until the end, or until more than
    `MAX_HELD_SPANS` spans or `MAX_HELD_BYTES` are held, when the traces without news for longest are settled.
    """
    held: OrderedDict[str, _Trace] = OrderedDict()
    early = _Early(options)
    spans_held = bytes_held = 0
    turns: list[Turn] = []
    failure: Exception | None = None
    try:
        for entry in spans:
            if isinstance(entry, RefusedLine):
                yield entry
                continue
            line, span = entry
            if early.holds(span):
                continue
            if (trace := held.get(span.trace_id)) is None:
                trace = held[span.trace_id] = _Trace(options)
            held.move_to_end(span.trace_id)
            spans_held += isinstance(span, Span) and span.span_id not in trace.places
            size = trace.size
            try:
                yield from trace.add(line, span)
            except UNFORESEEN as error:
                yield RefusedLine(line, "bad_span", in_words(error))
            bytes_held += trace.size - size
            while held and (spans_held > MAX_HELD_SPANS or bytes_held > MAX_HELD_BYTES):
                _, oldest = held.popitem(last=False)
                spans_held, bytes_held = spans_held - len(oldest.places), bytes_held - oldest.size
                yield from oldest.settled()
                yield from (turn.event() for turn in one_per_question(oldest.settled_turns()))
    except Exception as error:  # what is held by then is not lost with it
        failure = error
    for trace in held.values():
        yield from trace.settled()
        turns += trace.settled_turns()
    yield from (turn.event() for turn in one_per_question(turns))
    yield from early.refused()
    if failure:
        raise failure


class _Early:
    """Spans older than the first day that is analysed: left out, and counted."""

    def __init__(self, options: ReadOptions) -> None:
        self._start = options.start
        self._before_ns = iso_ns(f"{options.start.isoformat()}T00:00:00") if options.start else 0
        self._count, self._first_ns = 0, 0

    def holds(self, span: Span | Evaluation) -> bool:
        """Whether a span is too old; it is counted then."""
        if span.time_ns >= self._before_ns:
            return False
        self._count += 1
        self._first_ns = min(self._first_ns or span.time_ns, span.time_ns)
        return True

    def refused(self) -> Iterator[RefusedLine]:
        if self._count and self._start:
            first_day = date.fromisoformat(iso(self._first_ns)[:10])
            words = early_in_words(self._count, "spans", self._start, first_day)
            yield RefusedLine(0, "before_start", words, 0)


@dataclass(slots=True)
class _Trace:
    """A trace so far: the place of each span, and the failures and turns that need the rest of it."""

    options: ReadOptions
    places: dict[str, Place] = field(default_factory=dict)
    failures: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)
    logged: dict[str, list[tuple[int, Span]]] = field(default_factory=dict)
    errors: dict[str, tuple[int, Span]] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    whole: dict[str, tuple[int, Span]] = field(default_factory=dict)
    parts: dict[str, list[tuple[int, Span]]] = field(default_factory=dict)
    """Calls that have spans of their own for parts of them, and these, by the call's id."""
    judges: set[str] = field(default_factory=set)
    """Spans of evaluators: what is asked below them, no user asked."""
    evaluations: list[tuple[int, Evaluation]] = field(default_factory=list)
    node: str = ""
    size: int = 0

    @property
    def session(self) -> str:
        """The session, if there is only one."""
        return next(iter(self.sessions)) if len(self.sessions) == 1 else ""

    def add(self, line: int, span: Span | Evaluation) -> Iterator[EventLine]:
        """Add a span; yield its call's event unless it has to wait for the rest of the trace."""
        if isinstance(span, Evaluation):
            self.evaluations.append((line, span))
            self.size += len(span.explanation) + _OVERHEAD
        elif span.status in {"evaluation", "log", "error-log"}:
            self._add_record(line, span)
        elif is_summary(span):
            self.places.setdefault(span.span_id, Place(span.parent_id))
        elif span.name in _PARTS:
            self._add_part(line, span)
        elif "logfire.pending_parent_id" not in span.attributes:
            yield from self._add_call(line, span)
        elif span.start_ns and (begun := _begun(span)).span_id not in self.places:
            yield from self._add_call(line, begun)

    def _add_part(self, line: int, span: Span) -> None:
        self.places.setdefault(span.span_id, Place(span.parent_id))
        if span.name == WHOLE:
            self.whole[span.span_id] = (line, span)
        else:
            self.parts.setdefault(span.parent_id, []).append((line, span))
        self.size += _size_of(span)

    def _add_record(self, line: int, span: Span) -> None:
        """Add what is no call by itself: evaluations, and log records."""
        if span.status == "evaluation":
            self._add_evaluations(line, span, node_of(span, self.options.node_attributes))
        elif span.status == "log":
            if session := session_of(span.attributes):
                self.sessions.add(session)
            self.places.setdefault(span.span_id, Place(span.parent_id))
            self.logged.setdefault(span.span_id, []).append((line, span))
        else:
            self.errors.setdefault(span.span_id, (line, span))
        self.size += _size_of(span)

    def _add_evaluations(self, line: int, span: Span, node: str) -> None:
        self.evaluations += ((line, found) for found in in_span(span, node))

    def _add_call(self, line: int, span: Span) -> Iterator[EventLine]:
        """Add a call; yield its event unless it failed."""
        event = trace_event(span, self.options)
        call = event["execution_trace"]
        metadata = call["metadata"]
        if metadata.get("span_kind") == "evaluator":
            self.judges.add(span.span_id)
        self.node = self.node or metadata.get("node_id", "")
        self._add_evaluations(line, span, metadata.get("node_id", ""))
        if session := metadata.get("session_id"):
            self.sessions.add(session)
        ended = "ok" if call["success"] else metadata.get("caused_by", "failed")
        says_ok = span.status == "ok" and ended != "failed"
        self.places[span.span_id] = Place(span.parent_id, span.start_ns, span.time_ns, ended, says_ok)
        if ended == "failed":
            self.failures[span.span_id] = (line, event)
            self.size += len(orjson.dumps(event))
        else:
            yield EventLine(line, orjson.dumps(event))
        if turn := turn_in(line, span, metadata.get("span_kind", ""), self.options):
            self.turns[span.span_id] = turn
            self.size += len(turn.query) + len(turn.answer)

    def settled(self) -> Iterator[EventLine | EvaluationLine]:
        """Yield the failures, with their causes, and the evaluations, with the trace's node and session."""
        for span_id, (line, span) in self.whole.items():
            parts = [part for _, part in self.parts.pop(span_id, ())]
            yield from self._add_call(line, with_parts(span, parts))
        for line, span in (one for parts in self.parts.values() for one in parts):
            if span.name == EXECUTION:  # of a call in another file
                yield from self._add_call(line, span)
        for span_id, (line, span) in self.errors.items():
            yield from self._of_error_log(span_id, line, span)
        yield from self._stopped_with_a_step()
        failed = {
            span_id: FailedSpan(event["execution_trace"]["error"] or "", self.places[span_id].end_ns)
            for span_id, (_, event) in self.failures.items()
        }
        causes = causes_of(self.places, failed)
        for root in set(causes.values()):
            self._take_words(root, causes)
        for span_id, (line, event) in self.failures.items():
            if span_id in causes:
                cause = self.failures[causes[span_id]][1]["event_id"]
                event["execution_trace"]["metadata"]["caused_by"] = cause
            yield EventLine(line, orjson.dumps(event))
        for line, found in self.evaluations:
            yield found.row(line, session=self.session, node=self.node)

    def _take_words(self, root: str, causes: Mapping[str, str]) -> None:
        """Give a failure that says nothing the words of the nearest span above that repeats it."""
        call = self.failures[root][1]["execution_trace"]
        error, here = call["error"] or "", root
        for _ in range(_MOST_ABOVE):
            if not is_vague(error) or (place := self.places.get(here)) is None:
                return
            here = place.parent
            if causes.get(here) == root:
                above = self.failures[here][1]["execution_trace"]["error"] or ""
                if above and error.lower() in above.lower():
                    call["error"] = error = above

    def _of_error_log(self, span_id: str, line: int, span: Span) -> Iterator[EventLine]:
        """Add the log record of an error: a failure of its own, unless its span says more.

        A failed span with a vague error takes its text; a span of status `ok` ignores it, and so do others if
        the exception was handled. Where the span is not in this file, the record stands for it, as
        `unfinished`.
        """
        place = self.places.get(span_id)
        event = trace_event(replace(span, status="error"), self.options)
        call = event["execution_trace"]
        if span_id in self.failures:
            known = self.failures[span_id][1]["execution_trace"]
            known["error"] = call["error"] if is_vague(known["error"] or "") else known["error"]
            return
        if place is not None:
            if place.says_ok or span.attributes.get("exception.escaped") is False:
                return
            event["event_id"] += ":log"
        elif not span.start_ns:
            call["metadata"]["unfinished"] = "true"
        if "caused_by" in call["metadata"]:
            yield EventLine(line, orjson.dumps(event))
            return
        key = event["event_id"] if place else span_id
        self.failures[key] = (line, event)
        self.places[key] = Place(place.parent if place else "", span.start_ns, span.time_ns, "failed")

    def _stopped_with_a_step(self) -> Iterator[EventLine]:
        """Yield failed spans with a vague error above a cancelled or waiting step: they ended like it."""
        stopped = {key: place.ended for key, place in self.places.items() if place.ended in NO_FAILURE[:2]}
        nearest = nearest_of(self.places, self.failures)
        above = {span_id: nearest(span_id) for span_id in (*stopped, *self.failures)}
        failed_below = Counter(above[span_id] for span_id in self.failures)
        while stopped:
            found = {above[span_id]: ended for span_id, ended in stopped.items()}
            stopped = {
                span_id: ended
                for span_id, ended in found.items()
                if span_id
                and not failed_below[span_id]
                and is_vague(self.failures[span_id][1]["execution_trace"]["error"] or "")
            }
            for span_id, ended in stopped.items():
                line, event = self.failures.pop(span_id)
                failed_below[above[span_id]] -= 1
                event["execution_trace"]["metadata"]["caused_by"] = ended
                self.places[span_id] = self.places[span_id]._replace(ended=ended)
                yield EventLine(line, orjson.dumps(event))

    def settled_turns(self) -> list[Turn]:
        """Return the outermost turns: steps of an agent with a turn of its own are left out."""
        for span_id, parts in self.logged.items():
            parts.sort(key=lambda part: part[1].end_ns)  # stable: equal times keep the file's order
            line, last = parts[-1]
            said = replace(last, events=tuple(event for _, part in parts for event in part.events))
            if turn := turn_in(line, said, kind_of(said), self.options):
                self.turns.setdefault(span_id, turn)
        found = [turn for turn in self.turns.values() if turn.is_of_trace]
        if not found:
            above, judge = nearest_of(self.places, self.turns), nearest_of(self.places, self.judges)
            found = [turn for key, turn in self.turns.items() if not above(key) and not judge(key)]
        return [
            replace(turn, session=turn.session or self.session or turn.about["trace_id"]) for turn in found
        ]


def _size_of(span: Span) -> int:
    """Give about how many bytes a span holds by itself: its resource is shared."""
    values = (span.attributes, *(event.values for event in span.events))
    return _OVERHEAD + len(span.status_message) + sum(len(text_of(one)) for one in values)


def _begun(span: Span) -> Span:
    """Return the span that Logfire announces, by a span below it, when it begins: without an end."""
    above = first(span.attributes, ("logfire.pending_parent_id",))
    parent = above if above.strip("0") else ""
    return replace(span, span_id=span.parent_id or span.span_id, parent_id=parent, end_ns=0)
