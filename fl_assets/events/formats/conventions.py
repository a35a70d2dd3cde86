"""What one span is, by the conventions of its producer (OpenTelemetry GenAI, OpenInference, frameworks' own).

What goes here: which span is a tool call, an LLM call, an agent; its service, method, session, tokens
and metadata. What does not: whether it failed (`outcomes.py`), its messages (`messages.py`), any wire format.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fl_assets.events.formats.attributes import ATTRIBUTES
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import as_object, first, names, number_of, text_of

MAX_VALUE, MAX_ATTRIBUTES, MAX_NAME, MAX_ARGUMENTS = 200, 48, 120, 2000

_KINDS = {
    word: kind
    for kind, words in {
        "llm": "llm generation chat text_completion generate_content chat_model llm_request "
        "ai.generatetext ai.streamtext ai.generateobject ai.streamobject",
        "tool": "tool execute_tool tools/call ai.toolcall tool.execution",
        "agent": "agent invoke_agent invoke_workflow",
        "operation": "create_agent agent_handoff plan create_memory update_memory upsert_memory "
        "delete_memory search_memory create_memory_store delete_memory_store",
        "embedding": "embedding embeddings ai.embed",
        "retriever": "retriever retrieval",
        "chain": "chain workflow task",
        "reranker": "reranker",
        "guardrail": "guardrail",
        "evaluator": "evaluator",
    }.items()
    for word in names(words)
}
"""What a word of a `kind` attribute says; an `operation` is neither call of a model nor run of an agent."""
_NO_SESSION = re.compile(r"(?i)(?:null|none|nil|undefined|nan|n/a|false|\(null\)|[0-]*)")
_USED, _PAID = "langfuse.observation.usage_details", "langfuse.observation.cost_details"
_OF_LANGFUSE = {
    "input_tokens": (_USED, ("input", "input_tokens", "prompt_tokens", "promptTokens")),
    "output_tokens": (_USED, ("output", "output_tokens", "completion_tokens", "completionTokens")),
    "cost_usd": (_PAID, ("total",)),
}
"""What Langfuse's SDKs write as JSON within a text: where, and under which names."""
_MEANINGS = names("kind tool model agent session input_tokens output_tokens cost_usd arguments")
_SESSION = frozenset(ATTRIBUTES["session"])
_ARGUMENTS = frozenset(ATTRIBUTES["arguments"])
_COUNTED = frozenset((*(key for name in _OF_LANGFUSE for key in ATTRIBUTES[name]), _USED, _PAID))
"""Attributes with a number of tokens, or a cost."""
_TELLING = frozenset(
    (
        *(key for what in names("kind tool model agent step") for key in ATTRIBUTES[what]),
        *names("gen_ai.operation.name http.route http.request.method http.method"),
    )
)
"""All that `_kind_of` and `_method_of` look at."""
_MAX_REMEMBERED = 400
"""Characters of what is remembered."""
_UNDERSCORED = {
    key.replace(".", "_"): key
    for key in (
        *(key for what in _MEANINGS for key in ATTRIBUTES[what]),
        *names("error.type gen_ai.tool.call.result gen_ai.input.messages gen_ai.output.messages"),
    )
}
"""Names of attributes in stores that have no dots in names."""

_MERGED = "execute_tool (merged)"
_LIBRARY = re.compile(r"^(?:openinference|opentelemetry)\.instrumentation\.")
_VERB = re.compile(
    r"^(?:execute_tool|running tool:?|invoke_agent|create_agent|agent_run|call_tool|tools/call)\s+",
    re.IGNORECASE,
)
LOOKS_LIKE_ID = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"
)
_NUMBER = re.compile(r"[0-9]+")
# Content and people stay out of metadata: what was said goes to conversation_logs, a tool's arguments to one
# key, the rest of it nowhere.
_CONTENT = re.compile(
    r"(?i)(?:^|[._])(?:messages?|prompts?|completions?|contents?|arguments|args|parameters|json_schema"
    r"|schema|definitions|description|instructions|events|thought"
    r"|history|input|output|result|response|request|body|text|stacktrace|system_prompt|final_result"
    r"|documents?|tools|headers?|cookies?|error|exception)(?:$|[._])"
    r"|^(?:user|enduser|crew|process|telemetry|logfire)[._]|^turn\.is_open$"
)
_ALWAYS = re.compile(
    r"^(?:gen_ai\.(?:request\.[a-z_.]+|response\.(?:model|finish_reasons|id)|usage\.[a-z_.]+|output\.type)"
    r"|llm\.token_count\.[a-z_.]+"
    r"|http\.request\.method|[a-z_.]+\.status_code|langfuse\.prompt\.(?:name|version)"
    r"|llm\.prompt_template\.version|error\.type)$"
)


def attribute_of(name: str) -> str:
    """Name the attribute that a store which has no dots in names keeps as `name`."""
    return _UNDERSCORED.get(name, name)


def kind_of(span: Span) -> str:
    """Return a span's kind: llm, tool, agent, operation, chain, embedding, retriever …; '' when unknown."""
    return kind_and_method(span)[0]


def kind_and_method(span: Span) -> tuple[str, str]:
    """Return a span's kind, and what was called: remembered, since spans say the same over and over."""
    telling = _telling_of(tuple(span.attributes))
    given = [span.attributes[name] for name in telling]
    try:
        if sum(map(len, given), len(span.name)) <= _MAX_REMEMBERED:
            return _kind_and_method(span.name, telling, *given)
    except TypeError:  # a number, or what cannot be a key
        pass
    return _kind_and_method.__wrapped__(span.name, telling, *given)


@lru_cache(maxsize=1000)
def _telling_of(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in _TELLING)


@lru_cache(maxsize=4096)
def _kind_and_method(name: str, telling: tuple[str, ...], *given: Any) -> tuple[str, str]:
    values = dict(zip(telling, given, strict=True))
    kind = _kind_of(values)
    return kind, _method_of(name, values, kind)


def _kind_of(values: Mapping[str, Any]) -> str:
    for key in ATTRIBUTES["kind"]:
        if given := values.get(key):
            word = str(given).lower()
            word = word.removesuffix(".dogenerate").removesuffix(".dostream") if "." in word else word
            if kind := _KINDS.get(word):
                return kind
    if first(values, ("gen_ai.tool.name", "ai.toolCall.name", "mcp.tool.name", "tool_name")):
        return "tool"
    if first(values, ("tool.name",)) and not first(values, ATTRIBUTES["model"]):
        return "tool"
    if first(values, ATTRIBUTES["agent"]):
        return "operation" if first(values, ("gen_ai.operation.name",)) else "agent"
    return "llm" if first(values, ATTRIBUTES["model"]) else ""


def is_summary(span: Span) -> bool:
    """Whether a span only sums up others for a drawing: what ADK writes after tool calls in parallel."""
    return span.name == _MERGED or span.attributes.get("gen_ai.tool.name") == "(merged tools)"


def plain_name(name: str) -> str:
    """Mask ids and numbers in a span's name, so that methods stay few: `Step 12` is `Step <NUM>`."""
    return _masked(name.strip()[: 10 * MAX_NAME])


@lru_cache(maxsize=1000)
def _masked(name: str) -> str:
    return _NUMBER.sub("<NUM>", LOOKS_LIKE_ID.sub("<ID>", name))[:MAX_NAME]


def _method_of(name: str, values: Mapping[str, Any], kind: str) -> str:
    """Return what was called: tool, operation and model, agent, route, or the span's name without numbers."""
    name = plain_name(name) or "unknown"
    if kind == "tool":
        return first(values, ATTRIBUTES["tool"])[:MAX_NAME] or _VERB.sub("", name)
    operation = first(values, ("gen_ai.operation.name",))
    if kind in {"llm", "embedding"} and (model := first(values, ATTRIBUTES["model"])):
        return f"{operation or ('chat' if kind == 'llm' else 'embeddings')} {model}"[:MAX_NAME]
    if kind == "operation":
        return operation[:MAX_NAME] or name
    if kind == "agent":
        verb = operation if operation == "invoke_workflow" else "invoke_agent"
        if agent := _agent_in(values):
            return f"{verb} {plain_name(agent)}"
        return verb if "invoke_" in name else name
    if route := first(values, ("http.route",)):
        return f"{first(values, ('http.request.method', 'http.method'))} {route}".strip()[:MAX_NAME]
    step = plain_name(first(values, ATTRIBUTES["step"]))
    return f"{name} {step}"[:MAX_NAME] if step else name


def agent_of(span: Span) -> str:
    """Return the agent's name; '' without one, or for an id."""
    return _agent_in(span.attributes)


def _agent_in(values: Mapping[str, Any]) -> str:
    agent = first(values, ATTRIBUTES["agent"])
    return "" if LOOKS_LIKE_ID.search(agent) else agent


def model_of(span: Span) -> str:
    """Return the model's name; '' without one."""
    return first(span.attributes, ATTRIBUTES["model"])


def service_of(span: Span) -> str:
    """Return the service's name, or the instrumented library's where none was configured."""
    service = first(span.resource, ("service.name",))
    if service and not service.startswith("unknown_service"):
        return service[:MAX_NAME]
    return _LIBRARY.sub("", span.scope)[:MAX_NAME] or "unknown"


def session_of(values: Mapping[str, Any]) -> str:
    """Return the session; '' for none, and for placeholders such as "null" or the nil UUID."""
    if _SESSION.isdisjoint(values):  # the usual case
        return ""
    found = (first(values, (key,)) for key in ATTRIBUTES["session"])
    return next((session for session in found if session and not _NO_SESSION.fullmatch(session)), "")


def request_of(span: Span) -> str:
    """Return the id of the request, of the tool call, or of the span."""
    return first(span.attributes, ATTRIBUTES["request"]) or span.span_id


def tokens_and_cost(span: Span, kind: str) -> dict[str, str]:
    """Return `input_tokens`, `output_tokens`, `cost_usd`, if known; not of agents, which sum their calls'."""
    values = span.attributes
    if kind in {"agent", "chain"} or _COUNTED.isdisjoint(values):
        return {}
    found = {
        name: number_of(values, ATTRIBUTES[name]) for name in ("input_tokens", "output_tokens", "cost_usd")
    }
    for name, (attribute, keys) in _OF_LANGFUSE.items():
        if attribute in values and (number := number_of(as_object(values[attribute]), keys)) is not None:
            found[name] = number
    known = {name: number for name, number in found.items() if number is not None}
    return {
        name: f"{number:.0f}" if number == int(number) else repr(number) for name, number in known.items()
    }


def arguments_of(span: Span) -> str:
    """Return a tool call's arguments as text or JSON, cut to `MAX_ARGUMENTS`; '' without any."""
    if _ARGUMENTS.isdisjoint(span.attributes):
        return ""
    found = (span.attributes.get(key) for key in ATTRIBUTES["arguments"])
    return next((text_of(value)[:MAX_ARGUMENTS] for value in found if value not in (None, "", {}, [])), "")


@lru_cache(maxsize=1000)
def _kept_of(names: tuple[str, ...]) -> list[str]:
    """Give the names of attributes that go into metadata, in order; spans of one kind have the same ones."""
    short = (name for name in names if len(name) <= MAX_NAME)
    return sorted(name for name in short if _ALWAYS.match(name) is not None or not _CONTENT.search(name))


class _Last:
    """The resource looked at last, and what it says: spans of one resource follow each other."""

    known: tuple[Mapping[str, Any], dict[str, str]] = ({}, {})


def _of_resource(resource: Mapping[str, Any]) -> dict[str, str]:
    """Give what metadata says of a resource."""
    last, found = _Last.known
    if last is not resource:
        found = {key: text for key in ATTRIBUTES["resource"] if (text := first(resource, (key,)))}
        _Last.known = (resource, found)
    return found


def metadata_of(span: Span, kind: str, node: str) -> dict[str, str]:
    """Return metadata of a call: ids, kind, scope, arguments, and short attributes without content."""
    found = {
        "node_id": node,
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "session_id": session_of(span.attributes),
        "span_kind": kind,
        "span_name": span.name[:MAX_NAME],
        "scope": span.scope,
        "arguments": arguments_of(span) if kind == "tool" else "",
        **tokens_and_cost(span, kind),
        **_of_resource(span.resource),
    }
    for key in _kept_of(tuple(span.attributes)):
        if len(found) >= MAX_ATTRIBUTES:
            break
        text = _scalar(span.attributes[key])
        if text and len(text) <= MAX_VALUE:
            found.setdefault(key, text)
    return {key: value for key, value in found.items() if value}


def _scalar(value: Any) -> str:
    """Return a scalar or list of scalars as text; '' for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
        return ",".join(_scalar(entry) for entry in value)
    return ""
