"""LiteLLM: its `StandardLoggingPayload` (callbacks, `s3`, `gcs`) and rows of its spend logs.

Source: BerriAI/litellm, `litellm/types/utils.py` (`StandardLoggingPayload`), `schema.prisma`
(`LiteLLM_SpendLogs`). Times have no zone and are read as UTC.
"""

from typing import Any

from fl_assets.events.formats.exceptions import leaf_of
from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import as_object, decoded, first, present, required_text

_OPERATIONS = (("embedding", "embeddings"), ("mcp", "execute_tool"), ("text_completion", "text_completion"))
_SERVICE_KEYS = ("user_api_key_alias", "user_api_key_team_alias")


def _span(raw: dict[str, Any]) -> Span:
    metadata = as_object(raw.get("metadata"))
    error = as_object(raw.get("error_information") or metadata.get("error_information"))
    failed = "fail" in str(raw.get("status") or metadata.get("status") or "").lower()
    call = str(raw.get("call_type") or "")
    code = first(error, ("error_code",))
    text = first(error, ("error_message",)) or first(raw, ("error_str",))
    span_id = required_text(raw.get("id") or raw.get("request_id"), "id")
    given = as_object(raw.get("model_parameters")).items()
    attributes: dict[str, Any] = {
        **{f"gen_ai.request.{key}": item for key, item in given if not isinstance(item, list | dict)},
        "gen_ai.operation.name": next((name for word, name in _OPERATIONS if word in call), "chat"),
        **_mcp_tool(raw, metadata),
        "gen_ai.request.model": raw.get("model") or raw.get("model_group"),
        "gen_ai.provider.name": raw.get("custom_llm_provider"),
        "session.id": raw.get("session_id") or metadata.get("session_id"),
        "cache_hit": raw.get("cache_hit"),
        "gen_ai.usage.input_tokens": raw.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": raw.get("completion_tokens"),
        "gen_ai.usage.cost": raw.get("response_cost") or raw.get("spend"),
        "input.value": decoded(raw.get("messages") or raw.get("proxy_server_request")),
        "output.value": decoded(raw.get("response")),
    }
    raised = {
        "http.response.status_code": code if code.isdigit() else "",
        "exception.type": first(error, ("error_class",)),
        "exception.message": text,
        "exception.stacktrace": first(error, ("traceback",)),
    }
    return Span(
        trace_id=str(raw.get("trace_id") or raw.get("session_id") or span_id),
        span_id=span_id,
        parent_id="",
        name=call or "completion",
        start_ns=any_ns(raw.get("startTime"), "startTime"),
        end_ns=any_ns(raw.get("endTime"), "endTime"),
        status="error" if failed else "unset",
        status_message=leaf_of(text),
        scope="litellm",
        attributes=present({**attributes, **(raised if failed else {})}),
        resource={"service.name": first(metadata, _SERVICE_KEYS) or "litellm"},
    )


def _mcp_tool(raw: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a call to an MCP server's tool through the proxy; {} for any other."""
    called = as_object(raw.get("mcp_tool_call_metadata") or metadata.get("mcp_tool_call_metadata"))
    return {"gen_ai.tool.name": called.get("name"), "gen_ai.tool.call.arguments": called.get("arguments")}


FORMAT = Format(
    "litellm",
    "LiteLLM's logging payloads and spend logs (JSON, JSONL).",
    has_all(
        json_key("call_type"),
        json_key("startTime"),
        json_key("custom_llm_provider|error_information|completionStartTime|spend|response_cost"),
    ),
    entry_reader(_span, "payloads"),
)
