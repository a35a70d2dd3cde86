"""Amazon Bedrock's log of model invocations, as it delivers it to S3 and to CloudWatch.

A record is a call of a model; the results of tools in its request are calls of these. What is larger than
100 kB stands in objects of its own, and is not read.

Source: Amazon Bedrock User Guide, "Monitor model invocation"; Bedrock Runtime's API (`Converse`), and the
bodies of `InvokeModel` of Anthropic's models. A record has one time, and of `Converse` a latency.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import Found, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session
from fl_assets.events.formats.times import timestamp_of
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import (
    as_object,
    decoded,
    first,
    number_of,
    objects_of,
    required_text,
    text_of,
)


def _of_record(value: Any) -> Iterator[Found]:
    raw = as_object(value)
    given, answer = as_object(raw.get("input")), as_object(raw.get("output"))
    body, said = as_object(given.get("inputBodyJson")), decoded(answer.get("outputBodyJson"))
    when = timestamp_of(raw, "a record has no timestamp")
    request = required_text(raw.get("requestId"), "requestId")
    code, model = first(raw, ("errorCode",)), first(raw, ("modelId",)).rpartition("/")[2]
    session = Session(request, _role(raw), as_object(raw.get("requestMetadata")))
    for result, name, called in _tool_results(objects_of(body.get("messages"))):
        failed = result.get("status") == "error" or result.get("is_error") is True
        error = failed_text(result.get("content")) or "error" if failed else ""
        key = first(result, ("toolUseId", "tool_use_id"))
        more = {"gen_ai.tool.call.id": key, "gen_ai.tool.call.arguments": called.get("input")}
        status = "" if failed else "ok"
        span = session.span(key, "execute_tool", name, (0, when), error, status=status, more=more)
        yield replace(span, event_id=f"bedrock:{key}")
    said = next(iter(objects_of(as_object(said).get("results"))), said)  # of Titan
    latency = number_of(as_object(_last(said, "metrics")), ("latencyMs",)) or 0
    yield session.span(
        request,
        "chat",
        "chat",
        (when - round(latency * 1e6) if latency else 0, when),
        f"{code}: {first(raw, ('errorMessage',))}".removesuffix(": "),
        status="error" if code else "ok",
        more={
            "gen_ai.request.model": model,
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.response.finish_reason": first(as_object(said), ("stopReason", "stop_reason")),
            "gen_ai.usage.input_tokens": given.get("inputTokenCount"),
            "gen_ai.usage.output_tokens": answer.get("outputTokenCount"),
            "input.value": body or None,
            "output.value": _streamed(objects_of(said)) if isinstance(said, list) else said,
        },
    )


def _role(raw: dict[str, Any]) -> str:
    """Return the role or user that called, from `arn:aws:sts::1:assumed-role/ROLE/SESSION`."""
    name = first(as_object(raw.get("identity")), ("arn",)).split("/")
    return name[1] if len(name) > 1 else "bedrock"


def _last(said: Any, key: str) -> Any:
    """Return a field of an answer: of its last part, where it was streamed."""
    parts = [as_object(one.get("metadata")) or one for one in objects_of(said)]
    return next((one[key] for one in reversed(parts or [as_object(said)]) if key in one), None)


def _streamed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a streamed answer as the message that it is."""
    found = [as_object(one.get("contentBlockDelta") or one.get("contentBlockStart")) or one for one in parts]
    text = "".join(text_of(as_object(one.get("delta")).get("text")) for one in found)
    starts = [as_object(one.get("start")) for one in found]
    calls = [start for start in starts if "toolUse" in start]
    return {"role": "assistant", "content": [*([{"text": text}] if text else []), *calls]}


def _tool_results(messages: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Yield the results in a request's last message, those that are new, with what was called."""
    calls: dict[str, dict[str, Any]] = {}
    for message in messages[-2:]:
        for part in objects_of(message.get("content")):
            call = as_object(part.get("toolUse")) or (part if part.get("type") == "tool_use" else {})
            calls[first(call, ("toolUseId", "id"))] = call
            result = as_object(part.get("toolResult")) or (part if part.get("type") == "tool_result" else {})
            if key := first(result, ("toolUseId", "tool_use_id")):
                called = calls.get(key, {})
                yield result, first(called, ("name",)) or "unknown", called


FORMAT = Format(
    "bedrock",
    "Amazon Bedrock's log of model invocations (JSON lines).",
    has_all(json_key("schemaType", rb'"ModelInvocationLog"')),
    span_reader(_of_record, "records"),
)
