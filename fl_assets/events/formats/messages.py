"""The question and the answer in a span, from the many shapes in which producers write messages.

What goes here: reading messages from attributes and events, and the user's own words from a prompt. What does
not: which spans are turns (`traces.py`).

Shapes are tried in order: OpenTelemetry GenAI (`gen_ai.input.messages`, span or log events,
`gen_ai.prompt.N.*`), OpenInference (`llm.input_messages.N.message.*`), Pydantic AI, Vercel's AI SDK, and last
`input.value` and `output.value`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fl_assets.events.formats.spans import SpanEvent
from fl_assets.events.formats.values import as_object, decoded, names

Events = Iterable[SpanEvent]

_PREFIX = re.compile(
    r"^[ \t]*(?:#{1,4} *|\*\*|\[|<\|)?(system|developer|user|human|assistant|ai|bot"
    r"|tool)(?:[ \t]*(?:prompt|message))?"
    r"(?:[ \t]*:(?:\*\*)?|\*\*:?|\]:?|\|>)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_LLAMA = re.compile(r"\[INST\](?:\s*<<SYS>>.*?<</SYS>>)?(.*?)(?:\[/INST\]|\Z)", re.DOTALL)
_TAGGED = re.compile(
    r"<\|im_start\|>\s*(\w+)\n(.*?)(?:<\|im_end\|>|\Z)"
    r"|<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)"
    r"|<start_of_turn>\s*(\w+)\n(.*?)(?:<end_of_turn>|\Z)",
    re.DOTALL,
)
"""A role and its text in chat templates: ChatML, Llama 3, Gemma."""
_TURN_OF_MODEL = "\n\nAssistant:"
"""End of prompts for completion models."""
_INSERTED = re.compile(
    r"<(system-reminder|command-name|command-message|command-args|command-contents|local-command-stdout"
    r"|local-command-stderr|environment_context|user_instructions|ide_\w+)>.*?</\1>",
    re.DOTALL,
)
"""What coding agents (Claude Code, Codex) insert into the user's words."""

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_CALLS = {"tool_call", "tool_use", "function_call", "toolcall", "tool-call"}
_WORDS = {"", "text", "input_text", "output_text"}
_MAX_DEPTH = 8
_INDEXED = re.compile(
    r"^(gen_ai\.prompt|gen_ai\.completion|llm\.input_messages"
    r"|llm\.output_messages)\.(\d+)\.(?:message\.)?(.+)$"
)
_PART = re.compile(r"(?:contents?|parts)\.(\d+)(?:\.message_content)?(?:\.text|\.content)?$")
_ASKED = names(
    "messages new_message message inputs task query question user_input user_query user_msg "
    "user_message user_prompt userMessage userInput chatInput human_input utterance instruction "
    "request msg q contents prompt input text content args"
)
_ANSWERED = names(
    "choices generations candidates messages message answer response output result final_output "
    "final_answer reply completion generated_text output_text text content raw"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: role (user, assistant, another or ''), text, and whether it calls a tool."""

    role: str
    text: str
    calls: bool = False


def turn_of(
    values: Mapping[str, Any], events: Events = (), *, is_agent: bool = False, is_open: bool = False
) -> tuple[str, str] | None:
    """Return the user's last words and the assistant's answer; None without either, or for a tool call.

    Args:
        values: attributes of the span.
        events: its events, in order.
        is_agent: whether the span is an agent's run, in which tool calls are only steps.
        is_open: whether a turn without an answer counts, which is then ''.
    """
    said = list(_from_events(events))
    indexed = _indexed(values)
    asked = next((text for side in _asked(values, said, indexed) if (text := _query(side))), "")
    if not asked:
        return None
    for side in _answered(values, said, indexed):
        answers = [message for message in side if message.role in {"assistant", ""}]
        if not answers:
            continue
        if answers[-1].text and not answers[-1].calls:
            return asked, _without_prefix(answers[-1].text)
        if answers[-1].calls and not is_agent:
            return None
    return (asked, "") if is_open else None


def of_trace(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of the whole trace that Langfuse's SDKs write on a span, if any, else all."""
    if "langfuse.trace.input" not in values:
        return values
    return {key: values.get(key) for key in ("langfuse.trace.input", "langfuse.trace.output")}


def users_words(text: str) -> str:
    r"""Return the user's words in a prompt, without system prompt, role prefixes and what agents insert.

    `system: be brief\nuser: hello` is `hello`, also in ChatML. A text that does not begin with a role is the
    user's as a whole; '' where the user has said nothing.
    """
    text = _INSERTED.sub("", text).strip()
    if parts := [tuple(filter(None, part)) for part in _TAGGED.findall(text)]:
        return next((part[1].strip() for part in reversed(parts) if part[0] == "user" and len(part) > 1), "")
    if parts := _LLAMA.findall(text):
        return parts[-1].strip()
    if text.endswith(_TURN_OF_MODEL) and (place := text.find("\n\nHuman: ")) > 0:
        text = text[place:].strip()  # behind a system prompt
    begins = _PREFIX.match(text)
    if not begins or (begins[1].lower() not in {"system", "developer", "user", "human"}):
        return text
    parts = _PREFIX.split(text)[1:]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    return next(
        (
            body.strip()
            for role, body in reversed(pairs)
            if role.lower() in {"user", "human"} and body.strip()
        ),
        "",
    )


def _without_prefix(text: str) -> str:
    match = _PREFIX.match(text)
    return text[match.end() :].strip() if match and match[1].lower() in {"assistant", "ai", "bot"} else text


def _query(messages: Iterable[Message]) -> str:
    """Return the last words of a user, skipping tool results, which in Claude's API have the user's role."""
    for message in reversed(list(messages)):
        if message.role == "user" and message.text and (text := users_words(message.text)):
            return text
    return ""


def _asked(
    values: Mapping[str, Any], said: list[Message], indexed: Mapping[str, list[Message]]
) -> Iterator[Iterable[Message]]:
    yield read(values.get("gen_ai.input.messages"))
    yield said
    yield indexed.get("gen_ai.prompt", ())
    yield indexed.get("llm.input_messages", ())
    for key in ("pydantic_ai.all_messages", "all_messages_events", "events", "ai.prompt.messages"):
        yield read(values.get(key))
    yield read(as_object(values.get("gcp.vertex.agent.llm_request")).get("contents"))
    for key in (
        "ai.prompt",
        "gen_ai.prompt",
        "input.value",
        "traceloop.entity.input",
        "langfuse.observation.input",
        "langfuse.trace.input",
        "request_data",
        "langsmith.inputs",
    ):
        yield _loose(values.get(key), "user", _ASKED)


def _answered(
    values: Mapping[str, Any], said: list[Message], indexed: Mapping[str, list[Message]]
) -> Iterator[Iterable[Message]]:
    yield read(values.get("gen_ai.output.messages"))
    yield said
    yield indexed.get("gen_ai.completion", ())
    yield indexed.get("llm.output_messages", ())
    for key in ("pydantic_ai.all_messages", "all_messages_events", "events"):
        yield read(values.get(key))
    yield read(as_object(values.get("gcp.vertex.agent.llm_response")).get("content"))
    for key in (
        "ai.response.text",
        "gen_ai.completion",
        "output.value",
        "final_result",
        "traceloop.entity.output",
        "langfuse.observation.output",
        "langfuse.trace.output",
        "response_data",
        "langsmith.outputs",
    ):
        yield _loose(values.get(key), "assistant", _ANSWERED)


def read(value: Any) -> list[Message]:
    """Read a list of messages (or one), as JSON text or as objects; anything else is left out."""
    value = decoded(value)
    entries = value if isinstance(value, list) else [value]
    if len(entries) == 1 and isinstance(entries[0], list):  # a batch of one
        entries = entries[0]
    return [message for entry in entries if isinstance(entry, dict) and (message := _message(entry))]


def _message(entry: Mapping[str, Any]) -> Message | None:
    """Read one message of any of the shapes that frameworks write."""
    inner = entry.get("message")
    if isinstance(inner, dict) and "message" not in inner:  # a choice
        found = _message({"role": "assistant", **inner})
        if (found and (found.text or found.calls)) or "text" not in entry:
            return found
    content = entry.get("content")
    if isinstance(content, dict) and "parts" in content and "role" not in entry:  # a candidate of Gemini
        return _message({"role": "model", **content})
    kind, inside = entry.get("id"), entry.get("kwargs")
    if isinstance(kind, list) and kind and isinstance(inside, dict):  # LangChain's serialized messages
        name = str(kind[-1]).lower().removesuffix("chunk").removesuffix("message")
        return _message({"role": name, **inside, "id": None})
    event = str(entry.get("event.name") or "")
    role = (
        entry.get("role")
        or entry.get("author")
        or {"gen_ai.user.message": "user", "gen_ai.choice": "assistant"}.get(event)
    )
    if not role and entry.get("type") in ("human", "ai", "system", "tool"):  # LangChain
        role = entry["type"]
    if not isinstance(role, str):
        return None
    extra = entry.get("additional_kwargs")
    calls = bool(
        entry.get("tool_calls")
        or entry.get("function_call")
        or entry.get("toolCalls")
        or (isinstance(extra, dict) and extra.get("tool_calls"))
    )
    texts = []
    for key in ("content", "parts", "text"):
        if (part := entry.get(key)) is not None:
            text, called = _part(part)
            texts.append(text)
            calls = calls or called
    return Message(_ROLES.get(role.lower(), role.lower()), next((text for text in texts if text), ""), calls)


def words_of(content: Any) -> str:
    """Return the text of a message's content: a text, or the texts among its parts."""
    return _part(content)[0]


def _part(value: Any, depth: int = 0) -> tuple[str, bool]:
    """Return the text of a message's content (text, part or list of parts), and whether it calls a tool."""
    if depth > _MAX_DEPTH:
        return "", False
    if isinstance(value, str):
        return value.strip(), False
    if isinstance(value, list):
        found = [_part(entry, depth + 1) for entry in value]
        return "\n".join(text for text, _ in found if text), any(called for _, called in found)
    if isinstance(value, dict):
        kind = str(value.get("type") or "").lower()
        if kind in _CALLS or any(
            isinstance(value.get(key), dict) for key in ("function_call", "functionCall", "tool_call")
        ):
            return "", True
        if kind in _WORDS:
            text = value.get("text", value.get("content", value.get("parts")))
            return _part(text, depth + 1) if text is not None else ("", False)
    return "", False


def _from_events(events: Events) -> Iterator[Message]:
    """Yield the messages in events of the GenAI conventions since 1.27 (attributes hold log bodies)."""
    for name, given, _ in events:
        values = {**given, **as_object(given.get("gen_ai.event.content"))}  # as Azure's SDKs wrap them
        if name == "gen_ai.client.inference.operation.details":
            yield from read(values.get("gen_ai.input.messages"))
            yield from read(values.get("gen_ai.output.messages"))
        elif name == "gen_ai.content.prompt":
            yield from _loose(values.get("gen_ai.prompt"), "user", _ASKED)
        elif name == "gen_ai.content.completion":
            yield from _loose(values.get("gen_ai.completion"), "assistant", _ANSWERED)
        elif name == "gen_ai.choice":
            message = decoded(values.get("message"))
            yield from read(
                {
                    "role": "assistant",
                    **(
                        message
                        if isinstance(message, dict)
                        else {"content": message or decoded(values.get("content"))}
                    ),
                }
            )
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            yield from read(
                {
                    "role": role,
                    **{key: decoded(values[key]) for key in ("content", "tool_calls") if values.get(key)},
                }
            )


def _indexed(values: Mapping[str, Any]) -> dict[str, list[Message]]:
    """Return messages in numbered attributes (`llm.input_messages.0.message.content`), by prefix."""
    found: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    parts: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for key, value in values.items():
        if not (match := _INDEXED.match(key)):
            continue
        place, field = (match[1], int(match[2])), match[3]
        if field in {"role", "content"}:
            found[place][field] = decoded(value) if field == "content" else value
        elif field.startswith(("tool_calls.", "function_call")):
            found[place]["tool_calls"] = True
        elif (part := _PART.match(field)) and isinstance(value, str):
            parts[place][int(part[1])] = value
    for place, texts in parts.items():
        found[place].setdefault("content", "\n".join(texts[number] for number in sorted(texts)))
    lists: dict[str, list[Message]] = defaultdict(list)
    for (prefix, _), entry in sorted(found.items()):
        role = "assistant" if prefix in {"gen_ai.completion", "llm.output_messages"} else "user"
        lists[prefix].extend(read({"role": entry.pop("role", None) or role, **entry}))
    return lists


def _loose(value: Any, role: str, keys: Iterable[str]) -> list[Message]:
    """Read a text, messages, or an object with either under one of the keys; anything else is empty."""
    value = decoded(value)
    if isinstance(value, str):
        return [Message(role, value.strip())] if value.strip() else []
    if isinstance(value, list):
        return read(value)
    if isinstance(value, dict):
        if "role" in value and (found := read(value)):
            return found
        for key in keys:
            inner = value.get(key)
            if inner and (found := _nested(inner, role, keys)):
                return found
    return []


def _nested(value: Any, role: str, keys: Iterable[str] = ()) -> list[Message]:
    value = decoded(value)
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | dict):
        value = value[0]
    if isinstance(value, str):
        return [Message(role, value.strip())] if value.strip() else []
    if isinstance(value, dict):
        found = read({"role": role, **value})
        if any(message.text or message.calls for message in found):
            return found
        return next(
            (said for key in keys if (inner := value.get(key)) and (said := _nested(inner, role))), []
        )
    is_argument = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
    if is_argument:  # of a function
        return [Message(role, value[0].strip())] if value[0].strip() else []
    return read(value)
