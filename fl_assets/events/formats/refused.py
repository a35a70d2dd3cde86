"""Formats that are recognised only to be refused, with a reason that names them.

What goes here: files that a fleet may well drop into the cache and that hold no calls we could count. What
does not: anything that has rows.
"""

from collections.abc import Iterator
from functools import partial

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.otlp import METRICS
from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Format, Lines, ReadOptions, RefusedLine


def _refuse(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS, *, detail: str) -> Iterator[RefusedLine]:
    del lines, options  # nothing of it is read
    yield RefusedLine(0, "unsupported_format", detail, 0)


def _format(name: str, description: str, pattern: bytes, why: str, *more: bytes) -> Format:
    """Return a format that has a pattern, and more of them."""
    return Format(name, description, has_all(pattern, *more), partial(_refuse, detail=f"{name}: {why}"))


FORMATS = (
    METRICS,
    _format(
        "swe_agent_traj",
        "SWE-agent trajectories (.traj): refused, their steps have no times.",
        rb'"(?<!\\")trajectory"\s*:\s*\[\s*(?:\{\s*"(?:action|observation|response|state|thought)"\s*:|\])',
        "the steps of a SWE-agent trajectory have no times, so they belong to no day; "
        "trace the agent with OpenTelemetry instead",
    ),
    _format(
        "claude_code_stream",
        "What `claude -p --output-format stream-json` prints: refused, its lines have no times.",
        rb'"type"\s*:\s*"system"\s*,\s*"subtype"\s*:\s*"init"',
        "what Claude Code prints with stream-json has no times, so it belongs to no day; "
        "send the session itself (~/.claude/projects)",
    ),
    _format(
        "codex_exec",
        "What `codex exec --json` prints: refused, its lines have no times.",
        rb'^\s*\{"type"\s*:\s*"thread\.started"',
        "what codex exec --json prints has no times, so it belongs to no day; "
        "send the rollout itself (~/.codex/sessions)",
    ),
    _format(
        "tempo_search",
        "Answers of Tempo's search: refused, they name traces and hold no spans.",
        rb'"(?<!\\")rootTraceName"\s*:',
        "what Tempo's search answers names traces only; ask for /api/traces/<id>",
    ),
    _format(
        "helicone",
        "Requests that Helicone exports: refused.",
        rb'"(?<!\\")(?:request|response)_created_at"\s*:',
        "what Helicone exports is not read; trace the agent with OpenTelemetry instead",
    ),
    _format(
        "weave",
        "Calls of Weights & Biases' Weave: refused.",
        rb'"(?<!\\")op_name"\s*:\s*"weave:///',
        "calls of Weave are not read; trace the agent with OpenTelemetry instead",
    ),
    _format(
        "braintrust",
        "Logs of Braintrust: refused.",
        rb'"(?<!\\")_xact_id"\s*:',
        "logs of Braintrust are not read; trace the agent with OpenTelemetry instead",
    ),
    _format(
        "dify",
        "Messages of Dify's API: refused, they hold no calls.",
        json_key("conversation_id"),
        "messages of Dify hold no calls; connect Dify to Langfuse, LangSmith or OpenTelemetry (its "
        "monitoring's tracing), and send what that exports",
        json_key("agent_thoughts|message_files|retriever_resources"),
        json_key("query"),
    ),
    _format(
        "chat_dataset",
        "Chats for training or batches of requests: refused, they have no times.",
        rb'^\s*\[?\s*\{"messages"\s*:\s*\[|^\s*\{"custom_id"\s*:.{0,4000}"(?:body|response)"\s*:',
        "chats without times belong to no day",
    ),
)
