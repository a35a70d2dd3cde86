"""From spans, whoever wrote them, to the telemetrist's events: what each means, each failure once, each turn of talk once.

What goes here: the conventions of OpenTelemetry GenAI, OpenInference and a few frameworks (which span is a tool call, an LLM call, an agent; its service,
method, error and metadata), and what needs a whole trace: which failures only repeat a deeper one, which talk is only a part of a larger one.
What does not: any wire format (`otlp.py`, `langfuse.py`), the reading of messages (`messages.py`).

Sources: OpenTelemetry semantic conventions for generative AI (1.28 to 1.40; attributes, span events and log events), for exceptions and for resources;
OpenInference semantic conventions 0.1.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fl_assets.events.formats.messages import talk
from fl_assets.events.formats.seam import Refusal, Row

MAX_HELD_SPANS = 100_000
"""Spans whose place in their trace is remembered at a time: a trace spread over more of one file is settled in parts."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Failures and talk that wait for the rest of their trace, in bytes of JSON."""
MAX_VALUE, MAX_ATTRIBUTES, MAX_NAME = 200, 48, 120

SAID = "said"
"""Status of a stand-in for a span of which only log events are known: it is no call, but what it says belongs to the span of that id."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = 253_402_300_799 * 10**9  # the end of year 9999, the last that a datetime can hold


@dataclass(frozen=True, slots=True)
class Span:
    """One span with plain values; ids are what the format makes of them, times are nanoseconds since 1970 UTC.

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
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def __post_init__(self) -> None:
        if not 0 < (self.end_ns or self.start_ns) <= _LAST_NS or self.start_ns < 0:
            message = f"span {self.span_id} has no usable time: it starts at {self.start_ns} and ends at {self.end_ns} ns"
            raise ValueError(message)

    @property
    def failed(self) -> bool:
        """Whether the span's own status says so; an exception that was recorded but handled does not."""
        return self.status == "error"


# What one span means ---------------------------------------------------------------------------------------------------

_KINDS = {
    "llm": "llm",
    "generation": "llm",
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "ai.generatetext": "llm",
    "ai.streamtext": "llm",
    "ai.generateobject": "llm",
    "ai.streamobject": "llm",
    "tool": "tool",
    "execute_tool": "tool",
    "ai.toolcall": "tool",
    "agent": "agent",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "agent",
    "embedding": "embedding",
    "embeddings": "embedding",
    "ai.embed": "embedding",
    "retriever": "retriever",
    "retrieval": "retriever",
    "chain": "chain",
    "workflow": "chain",
    "task": "chain",
    "reranker": "reranker",
    "guardrail": "guardrail",
    "evaluator": "evaluator",
}
_KIND_KEYS = (
    "openinference.span.kind",
    "gen_ai.operation.name",
    "traceloop.span.kind",
    "ai.operationId",
    "langfuse.observation.type",
)
_TOOL_KEYS = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "mcp.tool.name")
_MODEL_KEYS = ("gen_ai.request.model", "llm.model_name", "gen_ai.response.model", "ai.model.id", "model_name")
_AGENT_KEYS = ("gen_ai.agent.name", "agent.name", "agent_name", "traceloop.entity.name")
_SESSION_KEYS = (
    "gen_ai.conversation.id",
    "session.id",
    "conversation.id",
    "conversation_id",
    "thread_id",
    "langfuse.session.id",
)
_REQUEST_KEYS = (
    "request_id",
    "request.id",
    "http.request.header.x-request-id",
    "gen_ai.tool.call.id",
    "ai.toolCall.id",
)
_NODE_KEYS = ("service.instance.id", "host.name", "k8s.pod.name", "host.id")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RESOURCE_KEYS = (
    "service.version",
    "service.namespace",
    "deployment.environment",
    "deployment.environment.name",
)

_LIBRARY = re.compile(r"^(?:openinference|opentelemetry)\.instrumentation\.")
_VERB = re.compile(
    r"^(?:execute_tool|running tool:?|invoke_agent|create_agent|agent_run|call_tool|tools/call)\s+",
    re.IGNORECASE,
)
_ID = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"
)
_NUMBER = re.compile(r"[0-9]+")
# Content and people stay out of metadata: what was said goes to conversation_logs, the rest of it nowhere.
_CONTENT = re.compile(
    r"(?i)(?:^|[._])(?:messages?|prompts?|completions?|contents?|arguments|parameters|json_schema|schema|definitions|description|instructions|events|thought|history"
    r"|input|output|result|response|request|body|text|stacktrace|system_prompt|final_result|documents?|tools|headers?|cookies?)(?:$|[._])"
    r"|^(?:user|enduser|crew|process|telemetry|logfire)[._]"
)
_ALWAYS = re.compile(
    r"^(?:gen_ai\.(?:request\.[a-z_.]+|response\.(?:model|finish_reasons|id)|usage\.[a-z_.]+|output\.type)|llm\.token_count\.[a-z_.]+"
    r"|http\.request\.method|[a-z_.]+\.status_code|langfuse\.prompt\.(?:name|version)|llm\.prompt_template\.version)$"
)


def first(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Give the first of the keys that has a text or a number, as text; '' without one."""
    for key in keys:
        if (
            (value := values.get(key)) is not None
            and isinstance(value, str | int | float)
            and (text := str(value).strip())
        ):
            return text
    return ""


def kind_of(span: Span) -> str:
    """Say what kind of step a span is: llm, tool, agent, chain, embedding, retriever …; '' when nothing tells."""
    values = span.attributes
    for key in _KIND_KEYS:
        word = str(values.get(key) or "").lower()
        if kind := _KINDS.get(word) or _KINDS.get(word.removesuffix(".dogenerate").removesuffix(".dostream")):
            return kind
    if first(values, ("gen_ai.tool.name", "ai.toolCall.name", "mcp.tool.name")):
        return "tool"
    if first(values, _AGENT_KEYS):
        return "agent"
    return "llm" if first(values, _MODEL_KEYS) else ""


def plain_name(name: str) -> str:
    """Mask ids and numbers in a span's name, so that methods stay few: `Step 12` is `Step <NUM>`."""
    return _NUMBER.sub("<NUM>", _ID.sub("<ID>", name.strip()))[:MAX_NAME]


def method_of(span: Span, kind: str) -> str:
    """Name what was called: the tool, operation and model, the agent, the route, or else the span's name without its numbers."""
    values = span.attributes
    name = plain_name(span.name) or "unknown"
    if kind == "tool":
        return first(values, _TOOL_KEYS)[:MAX_NAME] or _VERB.sub("", name)
    if kind in {"llm", "embedding"} and (model := first(values, _MODEL_KEYS)):
        operation = str(values.get("gen_ai.operation.name") or ("chat" if kind == "llm" else "embeddings"))
        return f"{operation} {model}"[:MAX_NAME]
    if kind == "agent":
        agent = first(values, _AGENT_KEYS)
        if not agent and "invoke_agent" not in name:
            return name
        return "invoke_agent" if not agent or _ID.search(agent) else f"invoke_agent {plain_name(agent)}"
    if route := first(values, ("http.route",)):
        return f"{first(values, ('http.request.method', 'http.method'))} {route}".strip()[:MAX_NAME]
    return name


def service_of(span: Span) -> str:
    """Name the service: the resource's, or the instrumented library where the SDK was never told one (`unknown_service…`)."""
    service = first(span.resource, ("service.name",))
    if service and not service.startswith("unknown_service"):
        return service[:MAX_NAME]
    return _LIBRARY.sub("", span.scope)[:MAX_NAME] or "unknown"


def error_of(span: Span) -> str | None:
    """Give the text of a failed span: its last exception, its status message, or its error type; None when it has no text."""
    for name, values in reversed(span.events):
        if name == "exception" and (text := _exception(values)):
            return text
    return (
        span.status_message.strip()
        or _exception(span.attributes)
        or first(span.attributes, ("error.message", "error.type"))
        or None
    )


def _exception(values: Mapping[str, Any]) -> str:
    """Put an exception in one text: `type: message`; without a message, the last line of its stack trace."""
    kind, message = first(values, ("exception.type",)), first(values, ("exception.message",))
    if not message:
        stack = first(values, ("exception.stacktrace",)).splitlines()
        return stack[-1].strip() if stack else kind
    if not kind or message.startswith((f"{kind}:", f"{kind.rpartition('.')[2]}:")):
        return message
    return f"{kind}: {message}"


def _text(value: Any) -> str:
    """Write an attribute as text; '' for what is no scalar or short list of scalars."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
        return ",".join(_text(entry) for entry in value)
    return ""


def node_of(span: Span) -> str:
    """Return the node that a span comes from, or ''.

    A `service.instance.id` that is a UUID, as OpenTelemetry's resource conventions recommend, is another one after each restart: a node that restarts
    would pass for many, so another name goes before it.
    """
    instance, *others = (first(span.resource, (key,)) for key in _NODE_KEYS)
    return next(
        (name for name in ("" if _UUID.fullmatch(instance) else instance, *others, instance) if name), ""
    )


def metadata_of(span: Span, kind: str) -> dict[str, str]:
    """Collect what helps to explain a call, as text: ids, kind, scope, and the short attributes that hold no content and name no user."""
    found = {
        "node_id": node_of(span),
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "span_kind": kind,
        "span_name": span.name[:MAX_NAME],
        "scope": span.scope,
        **{key: first(span.resource, (key,)) for key in _RESOURCE_KEYS},
    }
    useful = sorted(key for key in span.attributes if _ALWAYS.match(key) or not _CONTENT.search(key))
    for key in useful:
        if len(found) >= MAX_ATTRIBUTES:
            break
        text = _text(span.attributes[key])
        if text and len(text) <= MAX_VALUE and len(key) <= MAX_NAME:
            found.setdefault(key, text)
    return {key: value for key, value in found.items() if value}


def iso(ns: int) -> str:
    """Write nanoseconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    return (
        (_EPOCH + timedelta(microseconds=ns // 1000))
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def event_id(span: Span) -> str:
    """Derive the id of a span's event from its ids alone, so that the same span read from any file is the same event."""
    return f"{span.trace_id}:{span.span_id}"


def trace_event(span: Span) -> dict[str, Any]:
    """Make the ExecutionTrace event of a span; its time is when the span ended."""
    kind = kind_of(span)
    when = iso(span.end_ns or span.start_ns)
    trace = {
        "trace_id": span.trace_id,
        "request_id": first(span.attributes, _REQUEST_KEYS) or span.span_id,
        "service": service_of(span),
        "method": method_of(span, kind),
        "duration_ms": max(0, (span.end_ns or span.start_ns) - span.start_ns) / 1e6,
        "success": not span.failed,
        "error": error_of(span) if span.failed else None,
        "metadata": metadata_of(span, kind),
        "timestamp": when,
    }
    return {
        "event_id": event_id(span),
        "event_type": "ExecutionTrace",
        "execution_trace": trace,
        "conversation_log": None,
        "timestamp": when,
    }


def talk_event(span: Span) -> dict[str, Any] | None:
    """Make the ConversationLog event of an LLM or agent span that says what the user asked and what was answered; None for any other."""
    kind = kind_of(span)
    if kind not in {"llm", "agent"} or (said := talk(span.attributes, span.events)) is None:
        return None
    when = iso(span.end_ns or span.start_ns)
    about = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "node_id": node_of(span),
        "service": service_of(span),
        "agent": "" if _ID.search(agent := first(span.attributes, _AGENT_KEYS)) else agent,
        "model": first(span.attributes, _MODEL_KEYS),
    }
    log = {
        "log_id": span.span_id,
        "session_id": first(span.attributes, _SESSION_KEYS),
        "user_query": said[0],
        "system_response": said[1],
        "metadata": {key: value for key, value in about.items() if value},
        "timestamp": when,
    }
    return {
        "event_id": f"{event_id(span)}:talk",
        "event_type": "ConversationLog",
        "execution_trace": None,
        "conversation_log": log,
        "timestamp": when,
    }


# What only a whole trace tells -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Trace:
    """What is remembered of a trace: where each span hangs, and the failures and talk that wait for the rest of it."""

    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    failures: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    talks: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    said: dict[str, list[tuple[int, Span]]] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    size: int = 0


def rows(spans: Iterable[tuple[int, Span] | Refusal]) -> Iterator[Row | Refusal]:
    """Turn numbered spans, in any order, into rows; refusals pass through.

    Successful calls leave at once. Failures and talk wait until their trace is settled: at the end, or when more than `MAX_HELD_SPANS` spans or
    `MAX_HELD_BYTES` are held, the trace that was heard from longest ago first. So the order of spans in a file does not matter as long as a trace lies
    within that many spans of it; what a trace has in other files is not seen.
    """
    held: OrderedDict[str, _Trace] = OrderedDict()
    spans_held = bytes_held = 0
    for entry in spans:
        if isinstance(entry, Refusal):
            yield entry
            continue
        line, span = entry
        trace = held.setdefault(span.trace_id, _Trace())
        held.move_to_end(span.trace_id)
        if session := first(span.attributes, _SESSION_KEYS):
            trace.sessions.add(session)
        spans_held += span.span_id not in trace.places
        size = 0
        if span.status == SAID:
            trace.places.setdefault(span.span_id, ("", "unset"))
            trace.said.setdefault(span.span_id, []).append((line, span))
            size += len(str(span.events))
        else:
            trace.places[span.span_id] = (span.parent_id, span.status)
            event = trace_event(span)
            data = orjson.dumps(event)
            if span.failed:
                trace.failures[span.span_id], trace.ends[span.span_id] = (line, event), span.end_ns
                size += len(data)
            else:
                yield Row(line, data)
            if said := talk_event(span):
                trace.talks[span.span_id] = (line, said)
                size += len(said["conversation_log"]["user_query"]) + len(
                    said["conversation_log"]["system_response"]
                )
        trace.size += size
        bytes_held += size
        while held and (spans_held > MAX_HELD_SPANS or bytes_held > MAX_HELD_BYTES):
            _, oldest = held.popitem(last=False)
            spans_held, bytes_held = spans_held - len(oldest.places), bytes_held - oldest.size
            yield from _settled(oldest)
    for trace in held.values():
        yield from _settled(trace)


def _settled(trace: _Trace) -> Iterator[Row]:
    """Give what a trace held back: failures with what caused them, and the outermost talk."""
    causes = _causes(trace)
    for span_id, (line, event) in trace.failures.items():
        if span_id in causes:
            event["execution_trace"]["metadata"]["caused_by"] = trace.failures[causes[span_id]][1]["event_id"]
        yield Row(line, orjson.dumps(event))
    for span_id, parts in trace.said.items():
        parts.sort(key=lambda part: part[1].end_ns)  # stable: equal times keep the file's order
        line, last = parts[-1]
        if said := talk_event(
            replace(last, events=tuple(event for _, part in parts for event in part.events))
        ):
            trace.talks.setdefault(span_id, (line, said))
    above = _nearest(trace, trace.talks, lambda _: False)
    session = next(iter(trace.sessions)) if len(trace.sessions) == 1 else ""
    for span_id, (line, event) in trace.talks.items():
        if not above(
            span_id
        ):  # a step of an agent that was asked and answered as a whole is no turn of its own
            log = event["conversation_log"]
            log["session_id"] = log["session_id"] or session or log["metadata"]["trace_id"]
            yield Row(line, orjson.dumps(event))


def _causes(trace: _Trace) -> dict[str, str]:
    """Find, for each failed span, the deepest failed span below it that it only repeats.

    A failure is passed on from span to span until one says that it succeeded (status `ok`, not merely unset): what fails above that failed by itself.
    Of equally deep ones the last to end is taken, then the greatest id. Spans whose parents form a ring cause nothing.
    """
    above = _nearest(trace, trace.failures, lambda status: status == "ok")
    parent = {span_id: above(span_id) for span_id in trace.failures}
    waiting = dict.fromkeys(trace.failures, 0)
    for up in parent.values():
        if up:
            waiting[up] += 1
    best = {span_id: (0, trace.ends[span_id], span_id) for span_id in trace.failures}
    leaves = [span_id for span_id, count in waiting.items() if not count]
    while leaves:
        span_id = leaves.pop()
        if up := parent[span_id]:
            depth, end, deepest = best[span_id]
            best[up] = max(best[up], (depth + 1, end, deepest))
            waiting[up] -= 1
            if not waiting[up]:
                leaves.append(up)
    return {
        span_id: deepest for span_id, (depth, _, deepest) in best.items() if depth and not waiting[span_id]
    }


def _nearest(trace: _Trace, targets: Collection[str], stops: Callable[[str], bool]) -> Callable[[str], str]:
    """Make a function from a span to its nearest ancestor among the targets ('' for none); each span is walked over once, rings end the walk."""
    known: dict[str, str] = {}

    def nearest(span_id: str) -> str:
        path, here = [], span_id
        seen = {span_id}
        while True:
            path.append(here)
            up = trace.places[here][0]
            if up not in trace.places or up in seen:
                answer = ""
            elif up in targets:
                answer = up
            elif stops(trace.places[up][1]):
                answer = ""
            elif up in known:
                answer = known[up]
            else:
                seen.add(up)
                here = up
                continue
            known.update(dict.fromkeys(path, answer))
            return answer

    return nearest
