"""Traces of the OpenAI Agents SDK, as its processors export them: objects `trace` and `trace.span`.

Source: openai/openai-agents-python, `tracing/span_data.py`, `tracing/spans.py` (`SpanImpl.export`),
`tracing/traces.py`.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import Found, Records, file_reader, or_reason
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import iso_ns
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, present, required_text

_KINDS = {
    "agent": "invoke_agent",
    "function": "execute_tool",
    "generation": "chat",
    "response": "chat",
    "handoff": "agent_handoff",
    "mcp_tools": "mcp.tools/list",
    "guardrail": "guardrail",
}


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    traces: dict[str, dict[str, Any]] = {}
    for line, value in records:
        raw = as_object(value)
        if raw.get("object") == "trace":
            traces[str(raw.get("id"))] = raw
        else:
            yield line, or_reason(_span, raw, traces.get(str(raw.get("trace_id")), {}))


def _span(raw: dict[str, Any], trace: dict[str, Any]) -> Span:
    data = as_object(raw.get("span_data"))
    kind, error = str(data.get("type") or ""), raw.get("error")
    inner, usage, config = (as_object(data.get(key)) for key in ("data", "usage", "model_config"))
    name = first(data, ("name",)) or kind or "span"
    name = f"{data.get('from_agent')} to {data.get('to_agent')}" if kind == "handoff" else name
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _KINDS.get(kind, ""),
        "gen_ai.tool.name": name if kind == "function" else None,
        "gen_ai.agent.name": name if kind == "agent" else None,
        "session.id": trace.get("group_id"),
        "gen_ai.request.model": data.get("model"),
        "input.value": data.get("input"),
        "output.value": data.get("output") or data.get("response"),
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
        "gen_ai.request.temperature": config.get("temperature"),
        "sdk_span_type": inner.get("sdk_span_type"),
        "guardrail.triggered": data.get("triggered"),
        "mcp.server": data.get("server"),
    }
    return Span(
        trace_id=required_text(raw.get("trace_id"), "trace_id"),
        span_id=required_text(raw.get("id"), "id"),
        parent_id=str(raw.get("parent_id") or ""),
        name=name,
        start_ns=iso_ns(raw.get("started_at"), "started_at"),
        end_ns=iso_ns(raw.get("ended_at"), "ended_at"),
        status="error" if error else "unset",
        status_message=_error(error),
        scope="openai-agents",
        attributes=present(attributes),
        resource={"service.name": trace.get("workflow_name") or "openai-agents"},
    )


def _error(error: Any) -> str:
    """Return the message, with the detail in `data`."""
    whole = as_object(error)
    message = first(whole, ("message",)) or failed_text(error)
    data = as_object(whole.get("data"))
    detail = failed_text({"error": data["error"]}) if data.get("error") else ""
    limits = ", ".join(f"{key} {value}" for key, value in data.items() if type(value) is int)
    return ": ".join(part for part in (message, detail or limits) if part)


FORMAT = Format(
    "openai_agents",
    "Traces of the OpenAI Agents SDK, one object per line.",
    has_all(json_key("object", rb'"trace\.span"')),
    file_reader(_of_file, pages="data"),
)
