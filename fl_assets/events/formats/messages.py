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

from fl_assets.events.formats.attributes import ATTRIBUTES
from fl_assets.events.formats.spans import SpanEvent
from fl_assets.events.formats.values import as_object, decoded, names

Events = Iterable[SpanEvent]

_PREFIX = re.compile(
    r"^[ \t]*(?:#{1,4} *|\*\*|\[|<\|)?(system|developer|user|human|assistant|ai|bot"
    r"|tool)(?:[ \t]*(?:prompt|message))?"
    r"(?:[ \t]*:(?:\*\*)?|\*\*:?|\]:?|\|>)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_LLAMA = re.compile(r"\[INST\](.*?)(?:\[/INST\]|\Z)", re.DOTALL)
_TAGGED = re.compile(
    r"<\|im_start\|>\s*(\w+)\n(.*?)(?:<\|im_end\|>|\Z)"
    r"|<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)"
    r"|<start_of_turn>\s*(\w+)\n(.*?)(?:<end_of_turn>|\Z)",
    re.DOTALL,
)
"""A role and its text in chat templates: ChatML, Llama 3, Gemma."""
_TURN_OF_MODEL = "\n\nAssistant:"
"""End of prompts for completion models."""
_INSERTED = (
    r"(system-reminder|command-name|command-message|command-args|command-contents|local-command-stdout"
    r"|local-command-stderr|local-command-caveat|bash-input|bash-stdout|bash-stderr|user-prompt-submit-hook"
    r"|teammate-message|environment_context|user_instructions|ide_\w+)"
)
"""Tags of what coding agents (Claude Code, Codex) insert into the user's words."""
_TAG = re.compile(rf"<{_INSERTED}\b[^<>]*>|</{_INSERTED}>")

_NOTICE = "<task-notification>"
"""What Claude Code says in the user's place of what ran beside, to the end of the message."""

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant"}
_ROLES_OF_PAIRS = frozenset({"system", "user", "human", "assistant", "ai"})
_OF_EVENTS = {"gen_ai.user.message": "user", "gen_ai.choice": "assistant"}
_CONTENTS = ("content", "parts", "text", "blocks", "_content")
_CALLS = {"tool_call", "tool_use", "function_call", "toolcall", "tool-call"}
_WORDS = {"", "text", "input_text", "output_text"}
_MAX_DEPTH = 8
_INDEXED = re.compile(
    r"^(gen_ai\.prompt|gen_ai\.completion|llm\.input_messages"
    r"|llm\.output_messages)\.(\d{1,9})\.(?:message\.)?(.+)$"
)
_PART = re.compile(r"(?:contents?|parts)\.(\d{1,9})(?:\.message_content)?(?:\.text|\.content)?$")
_HISTORY = ("pydantic_ai.all_messages", "all_messages_events", "events")


@dataclass(frozen=True)
class _Side:
    """Where what a user asked, or an assistant answered, is; what comes first is preferred."""

    role: str
    messages: str
    numbered: tuple[str, str]
    history: tuple[str, ...]
    gemini: tuple[str, str]
    texts: list[str]
    """Attributes with a text, messages, or an object with either."""
    fields: tuple[str, ...]
    """Fields of such an object."""


_ASKED = _Side(
    "user",
    "gen_ai.input.messages",
    ("gen_ai.prompt", "llm.input_messages"),
    (*_HISTORY, "ai.prompt.messages"),
    ("gcp.vertex.agent.llm_request", "contents"),
    ATTRIBUTES["question"],
    names(
        "messages new_message message inputs task query question user_input user_query user_msg "
        "user_message user_prompt userMessage userInput chatInput human_input utterance instruction "
        "request msg q contents prompt input text content args query_str query_bundle str_or_query_bundle "
        "inputText kwargs state body payload params"
    ),
)
_ANSWERED = _Side(
    "assistant",
    "gen_ai.output.messages",
    ("gen_ai.completion", "llm.output_messages"),
    _HISTORY,
    ("gcp.vertex.agent.llm_response", "content"),
    ATTRIBUTES["answer"],
    names(
        "choices generations candidates messages message answer response output result final_output "
        "final_answer reply completion generated_text output_text text content raw chat_message "
        "return_values generation outputText outputs artifacts replies"
    ),
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

    In an agent's run tool calls are only steps. An open turn counts without an answer, which is '' then.
    """
    said = list(_from_events(events))
    indexed = _indexed(values)
    asked = next((text for side in _said_by(_ASKED, values, said, indexed) if (text := _query(side))), "")
    if not asked:
        return None
    for side in _said_by(_ANSWERED, values, said, indexed):
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
    text = _without_inserted(text.partition(_NOTICE)[0]).strip()
    if parts := [tuple(filter(None, part)) for part in _TAGGED.findall(text)]:
        return next((part[1].strip() for part in reversed(parts) if part[0] == "user" and len(part) > 1), "")
    if parts := _LLAMA.findall(text):
        system, mark, said = parts[-1].partition("<</SYS>>")
        return (said if mark and system.lstrip().startswith("<<SYS>>") else parts[-1]).strip()
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


def _without_inserted(text: str) -> str:
    """Leave out what is within the tags of `_INSERTED`; one that is not closed is text."""
    tags = list(_TAG.finditer(text))
    ends: defaultdict[str, list[re.Match[str]]] = defaultdict(list)
    for tag in reversed(tags):
        if tag[2]:
            ends[tag[2]].append(tag)
    kept, at = [], 0
    for tag in tags:
        if tag[1] and tag.start() >= at:
            while (closing := ends[tag[1]]) and closing[-1].start() < tag.end():
                closing.pop()
            if closing:
                kept.append(text[at : tag.start()])
                at = closing[-1].end()
    return "".join([*kept, text[at:]])


def _without_prefix(text: str) -> str:
    match = _PREFIX.match(text)
    return text[match.end() :].strip() if match and match[1].lower() in {"assistant", "ai", "bot"} else text


def _query(messages: Iterable[Message]) -> str:
    """Return the last words of a user, skipping tool results, which in Claude's API have the user's role."""
    for message in reversed(list(messages)):
        if message.role == "user" and message.text and (text := users_words(message.text)):
            return text
    return ""


def _said_by(
    side: _Side, values: Mapping[str, Any], said: list[Message], indexed: Mapping[str, list[Message]]
) -> Iterator[Iterable[Message]]:
    yield read(values.get(side.messages))
    yield said
    yield from (indexed.get(prefix, ()) for prefix in side.numbered)
    yield from (read(values.get(key)) for key in side.history)
    yield read(as_object(values.get(side.gemini[0])).get(side.gemini[1]))
    yield from (_loose(values.get(key), side) for key in side.texts)


def read(value: Any) -> list[Message]:
    """Read a list of messages (or one), as JSON text or as objects; anything else is left out."""
    value = decoded(value)
    entries = value if isinstance(value, list) else [value]
    if len(entries) == 1 and isinstance(entries[0], list) and not _is_pair(entries[0]):  # a batch of one
        entries = entries[0]
    entries = [{"role": one[0], "content": one[1]} if _is_pair(one) else one for one in entries]
    return [message for entry in entries if isinstance(entry, dict) and (message := _message(entry))]


def _is_pair(value: Any) -> bool:
    """Whether a value is a message as LangGraph also takes it: its role and its text."""
    is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return is_pair and value[0].lower() in _ROLES_OF_PAIRS


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
    role = entry.get("role") or entry.get("author") or _OF_EVENTS.get(str(entry.get("event.name")))
    if not role and entry.get("type") in ("human", "ai", "system", "tool"):  # LangChain
        role = entry["type"]
    if not role and str(entry.get("type")).endswith("Message"):  # AutoGen
        role = "user" if entry.get("source") == "user" else "assistant" if entry.get("source") else None
    if not isinstance(role, str):
        return None
    extra = as_object(entry.get("additional_kwargs"))
    parts = [_part(entry[key]) for key in _CONTENTS if key in entry]
    calls = any(entry.get(key) for key in ("tool_calls", "function_call", "toolCalls")) or any(
        called for _, called in parts
    )
    text = next((text for text, _ in parts if text), "")
    return Message(_ROLES.get(role.lower(), role.lower()), text, calls or bool(extra.get("tool_calls")))


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
            isinstance(value.get(key), dict)
            for key in ("function_call", "functionCall", "tool_call", "toolUse")
        ):
            return "", True
        if kind in _WORDS:
            return _part(value.get("text", value.get("content", value.get("parts"))), depth + 1)
    return "", False


def _from_events(events: Events) -> Iterator[Message]:
    """Yield the messages in events of the GenAI conventions since 1.27 (attributes hold log bodies)."""
    for name, given, _ in events:
        values = {**given, **as_object(given.get("gen_ai.event.content"))}  # as Azure's SDKs wrap them
        if name == "gen_ai.client.inference.operation.details":
            yield from read(values.get("gen_ai.input.messages"))
            yield from read(values.get("gen_ai.output.messages"))
        elif name == "gen_ai.content.prompt":
            yield from _loose(values.get("gen_ai.prompt"), _ASKED)
        elif name == "gen_ai.content.completion":
            yield from _loose(values.get("gen_ai.completion"), _ANSWERED)
        elif name == "gen_ai.choice":
            message = decoded(values.get("message"))
            content = {"content": message or decoded(values.get("content"))}
            yield from read({"role": "assistant", **(message if isinstance(message, dict) else content)})
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            given = {key: decoded(values[key]) for key in ("content", "tool_calls") if values.get(key)}
            yield from read({"role": role, **given})


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


def _loose(value: Any, side: _Side) -> list[Message]:
    """Read a text, messages, or an object with either in one of the side's fields; anything else is empty."""
    value = decoded(value)
    if isinstance(value, list):
        return read(value)
    if not isinstance(value, dict):
        return _text(value, side)
    if "role" in value and (found := read(value)):
        return found
    return _in_fields(value, side, deeper=True) or _in_components(value, side)


def _in_components(value: dict[str, Any], side: _Side) -> list[Message]:
    """Read what a pipeline of Haystack was given (`data`), or answered (`replies`), by component."""
    inner = as_object(value.get("data")) if side.role == "user" else value
    components = [one for one in inner.values() if isinstance(one, dict)]
    given = (one for one in components if side.role == "user" or "replies" in one)
    return next((found for one in given if (found := _in_fields(one, side, deeper=False))), [])


def _in_fields(value: dict[str, Any], side: _Side, *, deeper: bool) -> list[Message]:
    found = (_nested(value[key], side, deeper=deeper) for key in side.fields if value.get(key))
    return next((messages for messages in found if messages), [])


def _text(value: Any, side: _Side) -> list[Message]:
    return [Message(side.role, value.strip())] if isinstance(value, str) and value.strip() else []


def _nested(value: Any, side: _Side, *, deeper: bool) -> list[Message]:
    value = decoded(value)
    while (
        isinstance(value, list)
        and len(value) == 1
        and isinstance(value[0], list | dict)
        and not _is_pair(value[0])
    ):
        value = value[0]
    if isinstance(value, dict):
        found = read({"role": side.role, **value})
        if any(message.text or message.calls for message in found):
            return found
        return _in_fields(value, side, deeper=False) if deeper else []
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):  # argument of a function
        value = value[0]
    return read(value) if isinstance(value, list) else _text(value, side)
