"""Real files of a second collection, where they are at hand.

Calls, failures and turns, counted by hand in the file.
"""

from pathlib import Path

import pytest

from fl_assets_tests.events.formats.reading import counted, rows, unpacked

SAMPLES = Path(__file__).parents[3] / "../shared/data/raw_formats_2"
REAL = {  # format, calls, failures of their own, turns
    "claude_code/edge_cases.jsonl": ("claude_code", 3, 1, 2),
    "claude_code/representative_messages.jsonl": ("claude_code", 2, 0, 4),
    "claude_otlp/logs.jsonl": ("otlp", 1, 0, 0),
    "inspect/log_tool_call_error.json": ("inspect", 12, 10, 0),
    "jaeger/genaiTestTrace.json": ("jaeger", 57, 1, 2),
    "langfuse_new/autogen-2025-06-06.json": ("langfuse", 2, 0, 1),
    "langfuse_new/koog-2025-08-26.json": ("langfuse", 11, 0, 1),
    "langfuse_new/llamaindex-2025-06-05.json": ("langfuse", 2, 0, 1),
    "langfuse_new/openai-assistants-2024-05-29.json": ("langfuse", 4, 0, 1),
    "langsmith/wrap_openai_default.json": ("langsmith", 1, 0, 1),
    "litellm/spend_logs.jsonl": ("litellm", 1, 0, 0),
    "litellm/standard_logging_payload.json": ("litellm", 1, 0, 1),
    "openhands_v1/events.jsonl": ("openhands_v1", 3, 3, 0),
    "own_run_mlflow/trace.json": ("mlflow", 2, 1, 1),
    "own_run_mlflow/traces.jsonl": ("mlflow", 2, 1, 1),
    "own_run_openai_agents/openinference.otlp.binpb": ("otlp", 11, 2, 0),
    "own_run_openai_agents/openinference.otlp.console.json": ("otel_console", 11, 2, 0),
    "own_run_openai_agents/openinference.otlp.json": ("otlp", 11, 2, 0),
    "own_run_openai_agents/trace_export.jsonl": ("openai_agents", 10, 2, 0),
    "own_run_pydantic_ai/retry.otlp.json": ("otlp", 6, 1, 1),
    "own_run_strands/toolerror.otlp.binpb": ("otlp", 6, 1, 1),
    "own_run_strands/toolerror.otlp.json": ("otlp", 6, 1, 1),
    "strands_evals/claude_live_spans.json": ("otel_console", 10, 0, 1),
    "zipkin/yelp.json": ("zipkin", 16, 0, 0),
}
REFUSED = {
    "codex_rollout/codex_session_rollout.json": ("codex", "without times"),
    "miniswe/github_issue.traj.json": ("mini_swe", "no times"),
    "miniswe/local.traj.json": ("mini_swe", "no times"),
    "otelproto/events.json": ("otlp", "1 browser.page_view"),
    "otelproto/logs.json": ("otlp", "1 my.library record"),
}
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the second collection of real samples is not here"),
]


def test_every_file_is_read_or_refused_by_name():
    found = {str(path.relative_to(SAMPLES)) for path in SAMPLES.glob("*/*") if path.is_file()}
    assert found == {*REAL, *REFUSED}
    for path, expected in REAL.items():
        content = unpacked(SAMPLES / path)
        read = counted(Path(path).name, content)
        _, events, _ = rows(Path(path).name, content)
        failed = [
            event
            for event in events
            if event["execution_trace"]
            and not event["execution_trace"]["success"]
            and "caused_by" not in event["execution_trace"]["metadata"]
        ]
        assert (read.format, read.calls, len(failed), len(read.turns)) == expected, path
    for path, (name, words) in REFUSED.items():
        content = (SAMPLES / path).read_bytes()
        found_name, events, refused = rows(Path(path).name, content)
        assert (found_name, events, len(refused), refused[0].events) == (name, [], 1, 0), path
        assert words in refused[0].detail, path
