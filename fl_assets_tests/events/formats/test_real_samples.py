"""Real files of real producers, where they are at hand.

Calls, failures, repeats and turns, counted by hand.
"""

from pathlib import Path

import pytest

from fl_assets_tests.events.formats.reading import rows

SAMPLES = Path(__file__).parents[3] / "../shared/data/raw_formats"

REAL = {  # calls, failures of their own, repeats of them, turns of talk
    "adk_session/sample.session.json": ("adk_session", 3, 0, 0, 1),
    "langfuse_export/agno-2025-06-11.json": ("langfuse", 6, 0, 0, 1),
    "langfuse_export/beeai-2025-08-01.json": ("langfuse", 29, 0, 0, 1),
    "langfuse_export/crewai-2025-07-11.json": ("langfuse", 6, 0, 0, 1),
    "langfuse_export/google-adk-2025-08-28.json": ("langfuse", 5, 0, 0, 1),
    "langfuse_export/google-vertex-tools-langchain-2025-09-19.json": ("langfuse", 1, 0, 0, 1),
    "langfuse_export/langgraph-2025-08-22.json": ("langfuse", 9, 0, 0, 1),
    "langfuse_export/langgraph-python-2025-08-22.json": ("langfuse", 9, 0, 0, 1),
    "langfuse_export/microsoft-agent-2025-10-14.json": ("langfuse", 4, 0, 0, 1),
    "langfuse_export/openai-agents-2025-09-30.json": ("langfuse", 5, 0, 0, 1),
    "langfuse_export/pydantic-ai-2025-06-06.json": ("langfuse", 3, 0, 0, 1),
    "langfuse_export/pydantic-ai-tools-2025-12-04.json": ("langfuse", 12, 0, 0, 1),
    "langfuse_export/vercel-aisdk-2025-11-17.json": ("langfuse", 3, 0, 0, 0),
    "openhands_eval_output/output.jsonl": ("openhands_eval_output", 111, 46, 0, 2),
    "otlp_collector_file/otelcol_file_export.agento.jsonl": ("otlp", 2, 0, 0, 0),
    "otlp_rebuilt/agno-2025-06-11.otlp.json": ("otlp", 4, 0, 0, 1),
    "otlp_rebuilt/beeai-2025-08-01.otlp.json": ("otlp", 29, 0, 0, 1),
    "otlp_rebuilt/crewai-2025-07-11.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/google-adk-2025-08-28.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/microsoft-agent-2025-10-14.otlp.json": ("otlp", 4, 0, 0, 0),
    "otlp_rebuilt/openai-agents-2025-09-30.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/pydantic-ai-2025-06-06.otlp.json": ("otlp", 2, 0, 0, 1),
    "otlp_rebuilt/pydantic-ai-tools-2025-12-04.otlp.json": ("otlp", 11, 0, 0, 2),
    "otlp_rebuilt/vercel-aisdk-2025-11-17.otlp.json": ("otlp", 3, 0, 0, 0),
    "otlp_replayed/genai_openai_v2_tau_airline.otlp.jsonl": ("otlp", 463, 0, 0, 0),
    "otlp_replayed/openinference_smolagents_tau_airline.otlp.jsonl": ("otlp", 1079, 73, 73, 47),
}
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the real samples (../shared/data/raw_formats) are not here"
)


def samples() -> list[str]:
    return sorted(
        str(path.relative_to(SAMPLES))
        for path in SAMPLES.glob("*/*")
        if path.name not in {"LICENSE", "README.md"}
    )


@pytest.mark.real
@needs_samples
def test_every_raw_sample_is_ingested_with_sensible_rows_or_refused_by_name():
    assert set(samples()) == {*REAL, "swe_agent_traj/rock.traj"}
    for path, expected in REAL.items():
        name, found, refused = rows(Path(path).name, (SAMPLES / path).read_bytes())
        calls = [event["execution_trace"] for event in found if event["execution_trace"]]
        failed = [trace for trace in calls if not trace["success"]]
        repeats = sum("caused_by" in trace["metadata"] for trace in failed)
        talk = [event["conversation_log"] for event in found if event["conversation_log"]]
        assert (name, len(calls), len(failed) - repeats, repeats, len(talk)) == expected, path
        assert refused == [], path
        assert len({event["event_id"] for event in found}) == len(found), path
        assert all(trace["error"] for trace in failed), path
        assert all(turn["user_query"] and turn["system_response"] and turn["session_id"] for turn in talk), (
            path
        )
        assert len({(trace["service"], trace["method"]) for trace in calls}) <= 20, path
        assert all(
            trace["timestamp"].startswith(("2024-", "2025-", "2026-")) and trace["timestamp"].endswith("Z")
            for trace in calls
        ), path


@pytest.mark.real
@needs_samples
def test_146_error_spans_are_73_failures_all_of_them_of_tools():
    path = SAMPLES / "otlp_replayed/openinference_smolagents_tau_airline.otlp.jsonl"
    _, found, _ = rows(path.name, path.read_bytes())
    failed = {
        event["event_id"]: event["execution_trace"]
        for event in found
        if event["execution_trace"] and not event["execution_trace"]["success"]
    }
    own = {identity for identity, trace in failed.items() if "caused_by" not in trace["metadata"]}
    assert (len(failed), len(own)) == (146, 73)
    assert {failed[identity]["metadata"]["span_kind"] for identity in own} == {"tool"}
    assert {
        trace["metadata"]["caused_by"] for trace in failed.values() if "caused_by" in trace["metadata"]
    } == own


@pytest.mark.real
@needs_samples
def test_the_trajectory_without_times_is_refused_with_a_reason_that_names_the_format():
    path = SAMPLES / "swe_agent_traj/rock.traj"
    name, found, refused = rows(path.name, path.read_bytes())
    assert (name, found) == ("swe_agent_traj", [])
    assert [(entry.line, entry.reason) for entry in refused] == [(0, "unsupported_format")]
    assert refused[0].detail.startswith("swe_agent_traj: ")


@pytest.mark.real
@needs_samples
def test_an_export_of_langfuse_and_the_spans_it_was_made_of_are_the_same_calls():
    for path in sorted(SAMPLES.glob("otlp_rebuilt/*.otlp.json")):
        export = SAMPLES / "langfuse_export" / path.name.replace(".otlp", "")
        _, spans, _ = rows(path.name, path.read_bytes())
        _, observations, _ = rows(export.name, export.read_bytes())
        ours = {event["event_id"]: event["execution_trace"] for event in spans if event["execution_trace"]}
        theirs = {
            event["event_id"]: event["execution_trace"] for event in observations if event["execution_trace"]
        }
        assert set(ours) <= set(theirs)
        for identity, trace in ours.items():
            assert {key: trace[key] for key in ("service", "duration_ms", "success", "timestamp")} == {
                key: theirs[identity][key] for key in ("service", "duration_ms", "success", "timestamp")
            }
