"""What was asked and what was answered, from the many shapes in which spans carry messages.

What goes here: reading messages out of attributes and events. What does not: deciding which spans talk (`spans.py`).

A side that is not found in one shape is looked for in the next: OpenTelemetry GenAI (`gen_ai.input.messages`, span or log events, `gen_ai.prompt.N.*`),
OpenInference (`llm.input_messages.N.message.*`), Pydantic AI, Vercel's AI SDK, and last `input.value` and `output.value`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

Events = Iterable[tuple[str, Mapping[str, Any]]]

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
    r"^(gen_ai\.prompt|gen_ai\.completion|llm\.input_messages|llm\.output_messages)\.(\d+)\.(?:message\.)?(.+)$"
)
_ASKED = (
    "messages",
    "new_message",
    "message",
    "task",
    "query",
    "question",
    "user_input",
    "user_query",
    "prompt",
    "input",
    "text",
    "content",
)
_ANSWERED = (
    "choices",
    "messages",
    "message",
    "answer",
    "response",
    "output",
    "result",
    "final_output",
    "text",
    "content",
    "raw",
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message: whose (user, assistant, another role or ''), its text, and whether it calls a tool."""

    role: str
    text: str
    calls: bool = False


def talk(values: Mapping[str, Any], events: Events = ()) -> tuple[str, str] | None:
    """Give the last thing the user said and the assistant's answer; None when either is missing or the answer is a tool call.

    Args:
        values: attributes of the span.
        events: names and attributes of its events, in order.
    """
    said = list(_from_events(events))
    indexed = _indexed(values)
    asked = next((text for side in _asked(values, said, indexed) if (text := _query(side))), "")
    if not asked:
        return None
    for side in _answered(values, said, indexed):
        answers = [message for message in side if message.role in {"assistant", ""}]
        if answers:
            last = answers[-1]
            return (asked, last.text) if last.text and not last.calls else None
    return None


def _query(messages: Iterable[Message]) -> str:
    return next(
        (message.text for message in reversed(list(messages)) if message.role == "user" and message.text), ""
    )


def _asked(
    values: Mapping[str, Any], said: list[Message], indexed: Mapping[str, list[Message]]
) -> Iterator[Iterable[Message]]:
    yield read(values.get("gen_ai.input.messages"))
    yield said
    yield indexed.get("gen_ai.prompt", ())
    yield indexed.get("llm.input_messages", ())
    for key in ("pydantic_ai.all_messages", "all_messages_events", "events", "ai.prompt.messages"):
        yield read(values.get(key))
    for key in ("ai.prompt", "gen_ai.prompt", "input.value", "traceloop.entity.input"):
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
    for key in (
        "ai.response.text",
        "gen_ai.completion",
        "output.value",
        "final_result",
        "traceloop.entity.output",
    ):
        yield _loose(values.get(key), "assistant", _ANSWERED)


def _decoded(value: Any) -> Any:
    """Parse a text that is JSON; leave anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def read(value: Any) -> list[Message]:
    """Read a list of messages (or one), as JSON text or as objects; what is none is left out."""
    value = _decoded(value)
    entries = value if isinstance(value, list) else [value]
    return [message for entry in entries if isinstance(entry, dict) and (message := _message(entry))]


def _message(entry: Mapping[str, Any]) -> Message | None:
    """Read one message of any of the shapes that frameworks write."""
    inner = entry.get("message")
    if isinstance(inner, dict) and "message" not in inner:  # a choice
        return _message({"role": "assistant", **inner})
    event = str(entry.get("event.name") or "")
    role = (
        entry.get("role")
        or entry.get("author")
        or {"gen_ai.user.message": "user", "gen_ai.choice": "assistant"}.get(event)
    )
    if not role and entry.get("type") in (
        "human",
        "ai",
        "system",
        "tool",
    ):  # LangChain; a tuple, for the type may be anything
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


def _part(value: Any, depth: int = 0) -> tuple[str, bool]:
    """Give the text of a message's content, which is a text, a part or a list of parts, and whether a part calls a tool."""
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
    """Read the events of the GenAI conventions, of 1.27 to today; the body of a log record is among its attributes here."""
    for name, values in events:
        if name == "gen_ai.client.inference.operation.details":
            yield from read(values.get("gen_ai.input.messages"))
            yield from read(values.get("gen_ai.output.messages"))
        elif name == "gen_ai.content.prompt":
            yield from _loose(values.get("gen_ai.prompt"), "user", _ASKED)
        elif name == "gen_ai.content.completion":
            yield from _loose(values.get("gen_ai.completion"), "assistant", _ANSWERED)
        elif name == "gen_ai.choice":
            message = _decoded(values.get("message"))
            yield from read(
                {
                    "role": "assistant",
                    **(
                        message
                        if isinstance(message, dict)
                        else {"content": message or _decoded(values.get("content"))}
                    ),
                }
            )
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            yield from read(
                {
                    "role": role,
                    **{key: _decoded(values[key]) for key in ("content", "tool_calls") if values.get(key)},
                }
            )


def _indexed(values: Mapping[str, Any]) -> dict[str, list[Message]]:
    """Gather `llm.input_messages.0.message.content` and its like into messages, by prefix and in the order of their numbers."""
    found: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    parts: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for key, value in values.items():
        if not (match := _INDEXED.match(key)):
            continue
        place, field = (match[1], int(match[2])), match[3]
        if field in {"role", "content"}:
            found[place][field] = _decoded(value) if field == "content" else value
        elif field.startswith(("tool_calls.", "function_call")):
            found[place]["tool_calls"] = True
        elif field.startswith("contents.") and field.endswith(".message_content.text"):
            parts[place][int(field.split(".")[1])] = str(value)
    for place, texts in parts.items():
        found[place].setdefault("content", "\n".join(texts[number] for number in sorted(texts)))
    lists: dict[str, list[Message]] = defaultdict(list)
    for (prefix, _), entry in sorted(found.items()):
        role = "assistant" if prefix in {"gen_ai.completion", "llm.output_messages"} else "user"
        lists[prefix].extend(read({"role": entry.pop("role", None) or role, **entry}))
    return lists


def _loose(value: Any, role: str, keys: Iterable[str]) -> list[Message]:
    """Read a value that may be a plain text, messages, or an object that holds either under one of the keys; anything else says nothing."""
    value = _decoded(value)
    if isinstance(value, str):
        return [Message(role, value.strip())] if value.strip() else []
    if isinstance(value, list):
        return read(value)
    if isinstance(value, dict):
        if "role" in value and (found := read(value)):
            return found
        for key in keys:
            inner = value.get(key)
            if inner and (found := _nested(inner, role)):
                return found
    return []


def _nested(value: Any, role: str) -> list[Message]:
    value = _decoded(value)
    if isinstance(value, str):
        return [Message(role, value.strip())] if value.strip() else []
    if isinstance(value, dict):
        return read({"role": role, **value})
    return read(value)
