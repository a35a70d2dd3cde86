"""What one span is, by the conventions of its producer (OpenTelemetry GenAI, OpenInference, frameworks' own).

What goes here: which span is a tool call, an LLM call, an agent; its service, method, session, tokens
and metadata. What does not: whether it failed (`outcomes.py`), its messages (`messages.py`), any wire format.

Sources: OpenTelemetry semantic conventions for generative AI (1.28 to 1.40, and `semantic-conventions-genai`
0.1), for resources, Kubernetes and FaaS; OpenInference semantic conventions 0.1; Traceloop, Vercel AI SDK,
MCP, Claude Code and Langfuse attributes.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import as_object, first, names, number_of

MAX_VALUE, MAX_ATTRIBUTES, MAX_NAME, MAX_ARGUMENTS = 200, 48, 120, 2000

_KINDS = {
    "llm": "llm",
    "generation": "llm",
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "chat_model": "llm",
    "llm_request": "llm",
    "ai.generatetext": "llm",
    "ai.streamtext": "llm",
    "ai.generateobject": "llm",
    "ai.streamobject": "llm",
    "tool": "tool",
    "execute_tool": "tool",
    "tools/call": "tool",
    "ai.toolcall": "tool",
    "tool.execution": "tool",
    "agent": "agent",
    "invoke_agent": "agent",
    "invoke_workflow": "agent",
    "create_agent": "operation",
    "agent_handoff": "operation",
    "plan": "operation",
    "create_memory": "operation",
    "update_memory": "operation",
    "upsert_memory": "operation",
    "delete_memory": "operation",
    "search_memory": "operation",
    "create_memory_store": "operation",
    "delete_memory_store": "operation",
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
"""What a word of one of `_KIND_KEYS` says; an `operation` is neither call of a model nor run of an agent, and
keeps its own name."""
_KIND_KEYS = names(
    "gen_ai.operation.name openinference.span.kind traceloop.span.kind ai.operationId "
    "langfuse.observation.type span.type mcp.method.name mlflow.spanType"
)
_TOOL_KEYS = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "mcp.tool.name", "tool_name")
_MODEL_KEYS = names(
    "gen_ai.request.model llm.model_name gen_ai.response.model ai.model.id "
    "langfuse.observation.model.name model_name model"
)
AGENT_KEYS = names("gen_ai.agent.name agent.name agent_name traceloop.entity.name gen_ai.workflow.name")
_SESSION_KEYS = names(
    "gen_ai.conversation.id session.id conversation.id conversation_id session_id sessionId "
    "thread_id gen_ai.thread.id langfuse.session.id langsmith.trace.session_id "
    "traceloop.association.properties.session_id traceloop.association.properties.conversation_id "
    "mlflow.trace.session ai.telemetry.metadata.sessionId ai.telemetry.metadata.session_id "
    "ai.telemetry.metadata.threadId ai.telemetry.metadata.chatId langsmith.metadata.session_id "
    "langsmith.metadata.thread_id copilot_chat.chat_session_id gcp.vertex.agent.session_id"
)
_NO_SESSION = re.compile(r"(?i)(?:null|none|nil|undefined|nan|n/a|false|\(null\)|[0-]*)")
_REQUEST_KEYS = names(
    "request_id request.id http.request.header.x-request-id gen_ai.tool.call.id ai.toolCall.id tool_use_id"
)
_RESOURCE_KEYS = names("service.version service.namespace deployment.environment deployment.environment.name")
_INPUT_TOKEN_KEYS = names(
    "gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens llm.token_count.prompt "
    "llm.usage.prompt_tokens ai.usage.inputTokens ai.usage.promptTokens input_tokens "
    "input_token_count"
)
_OUTPUT_TOKEN_KEYS = names(
    "gen_ai.usage.output_tokens gen_ai.usage.completion_tokens llm.token_count.completion "
    "llm.usage.completion_tokens ai.usage.outputTokens ai.usage.completionTokens output_tokens "
    "output_token_count"
)
_LANGFUSE_USAGE = ("langfuse.observation.usage_details", "langfuse.observation.cost_details")
"""What Langfuse's SDKs write as JSON within a text."""
_USED_INPUT = ("input", "input_tokens", "prompt_tokens", "promptTokens")
_USED_OUTPUT = ("output", "output_tokens", "completion_tokens", "completionTokens")
_COST_KEYS = ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "cost_usd", "operation.cost")
_ARGUMENT_KEYS = names(
    "gen_ai.tool.call.arguments tool.parameters ai.toolCall.args ai.toolCall.input tool_arguments "
    "tool_parameters tool_input gcp.vertex.agent.tool_call_args input.value traceloop.entity.input "
    "langfuse.observation.input"
)

_UNDERSCORED = {
    key.replace(".", "_"): key
    for keys in (
        _KIND_KEYS,
        _TOOL_KEYS,
        _MODEL_KEYS,
        AGENT_KEYS,
        _SESSION_KEYS,
        _INPUT_TOKEN_KEYS,
        _OUTPUT_TOKEN_KEYS,
        _COST_KEYS,
        _ARGUMENT_KEYS,
        ("error.type", "gen_ai.tool.call.result", "gen_ai.input.messages", "gen_ai.output.messages"),
    )
    for key in keys
}

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
    r"|^(?:user|enduser|crew|process|telemetry|logfire)[._]"
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
    values = span.attributes
    for key in _KIND_KEYS:
        if not (given := values.get(key)):
            continue
        word = str(given).lower()
        if kind := _KINDS.get(word) or _KINDS.get(word.removesuffix(".dogenerate").removesuffix(".dostream")):
            return kind
    if first(values, ("gen_ai.tool.name", "ai.toolCall.name", "mcp.tool.name", "tool_name")):
        return "tool"
    if first(values, ("tool.name",)) and not first(values, _MODEL_KEYS):
        return "tool"
    if first(values, AGENT_KEYS):
        return "operation" if first(values, ("gen_ai.operation.name",)) else "agent"
    return "llm" if first(values, _MODEL_KEYS) else ""


def is_summary(span: Span) -> bool:
    """Whether a span only sums up others for a drawing: what ADK writes after tool calls in parallel."""
    return first(span.attributes, ("gen_ai.tool.name",)) == "(merged tools)" or span.name == _MERGED


def plain_name(name: str) -> str:
    """Mask ids and numbers in a span's name, so that methods stay few: `Step 12` is `Step <NUM>`."""
    return _masked(name.strip()[: 10 * MAX_NAME])


@lru_cache(maxsize=1000)
def _masked(name: str) -> str:
    return _NUMBER.sub("<NUM>", LOOKS_LIKE_ID.sub("<ID>", name))[:MAX_NAME]


def method_of(span: Span, kind: str) -> str:
    """Return what was called: tool, operation and model, agent, route, or the span's name without numbers."""
    values = span.attributes
    name = plain_name(span.name) or "unknown"
    if kind == "tool":
        return first(values, _TOOL_KEYS)[:MAX_NAME] or _VERB.sub("", name)
    if kind in {"llm", "embedding"} and (model := first(values, _MODEL_KEYS)):
        operation = str(values.get("gen_ai.operation.name") or ("chat" if kind == "llm" else "embeddings"))
        return f"{operation} {model}"[:MAX_NAME]
    if kind == "operation":
        operation = first(values, ("gen_ai.operation.name",))
        return operation[:MAX_NAME] or name
    if kind == "agent":
        agent = agent_of(span)
        if not agent and "invoke_" not in name:
            return name
        operation = first(values, ("gen_ai.operation.name",))
        operation = operation if operation == "invoke_workflow" else "invoke_agent"
        return f"{operation} {plain_name(agent)}" if agent else operation
    if route := first(values, ("http.route",)):
        return f"{first(values, ('http.request.method', 'http.method'))} {route}".strip()[:MAX_NAME]
    return name


def agent_of(span: Span) -> str:
    """Return the agent's name; '' without one, or for an id."""
    agent = first(span.attributes, AGENT_KEYS)
    return "" if LOOKS_LIKE_ID.search(agent) else agent


def model_of(span: Span) -> str:
    """Return the model's name; '' without one."""
    return first(span.attributes, _MODEL_KEYS)


def service_of(span: Span) -> str:
    """Return the service's name, or the instrumented library's where none was configured."""
    service = first(span.resource, ("service.name",))
    if service and not service.startswith("unknown_service"):
        return service[:MAX_NAME]
    return _LIBRARY.sub("", span.scope)[:MAX_NAME] or "unknown"


def session_of(values: Mapping[str, Any]) -> str:
    """Return the session; '' for none, and for placeholders such as "null" or the nil UUID."""
    if values.keys().isdisjoint(_SESSION_KEYS):
        return ""
    for key in _SESSION_KEYS:
        if (session := first(values, (key,))) and not _NO_SESSION.fullmatch(session):
            return session
    return ""


def request_of(span: Span) -> str:
    """Return the id of the request, of the tool call, or of the span."""
    return first(span.attributes, _REQUEST_KEYS) or span.span_id


def tokens_and_cost(span: Span, kind: str) -> dict[str, float]:
    """Return `input_tokens`, `output_tokens`, `cost_usd`, if known; not of agents, which sum their calls'."""
    if kind in {"agent", "chain"}:
        return {}
    values = span.attributes
    found = {
        "input_tokens": number_of(values, _INPUT_TOKEN_KEYS),
        "output_tokens": number_of(values, _OUTPUT_TOKEN_KEYS),
        "cost_usd": number_of(values, _COST_KEYS),
    }
    if not values.keys().isdisjoint(_LANGFUSE_USAGE):
        usage, cost = (as_object(values.get(key)) for key in _LANGFUSE_USAGE)
        more = (number_of(usage, _USED_INPUT), number_of(usage, _USED_OUTPUT), number_of(cost, ("total",)))
        found |= {key: value for key, value in zip(found, more, strict=True) if value is not None}
    return {key: value for key, value in found.items() if value is not None}


def arguments_of(span: Span) -> str:
    """Return a tool call's arguments as text or JSON, cut to `MAX_ARGUMENTS`; '' without any."""
    for key in _ARGUMENT_KEYS:
        value = span.attributes.get(key)
        if value not in (None, "", {}, []):
            return (value if isinstance(value, str) else orjson.dumps(value, default=str).decode())[
                :MAX_ARGUMENTS
            ]
    return ""


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
        found = {key: text for key in _RESOURCE_KEYS if (text := first(resource, (key,)))}
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
        **{key: _plain(value) for key, value in tokens_and_cost(span, kind).items()},
        **_of_resource(span.resource),
    }
    for key in _kept_of(tuple(span.attributes)):
        if len(found) >= MAX_ATTRIBUTES:
            break
        text = _scalar(span.attributes[key])
        if text and len(text) <= MAX_VALUE:
            found.setdefault(key, text)
    return {key: value for key, value in found.items() if value}


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _scalar(value: Any) -> str:
    """Return a scalar or list of scalars as text; '' for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
        return ",".join(_scalar(entry) for entry in value)
    return ""
