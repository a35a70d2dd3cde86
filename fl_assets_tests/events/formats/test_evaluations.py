"""Scores of every producer: what was judged, of what, by whom, and how."""

import orjson
import pytest

from fl_assets.events.formats import HEAD_BYTES, detect
from fl_assets.events.formats.seam import EvaluationLine, RefusedLine
from fl_assets_tests.build import DAY
from fl_assets_tests.events.formats.documents import AT, INSPECT, LANGSMITH, MLFLOW, NANO, SPAN, TRACE
from fl_assets_tests.events.test_ingest import Case

NAME = [
    {"key": "gen_ai.evaluation.name", "value": {"stringValue": "relevance"}},
    {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.8}},
    {"key": "gen_ai.evaluation.score.label", "value": {"stringValue": "relevant"}},
    {"key": "gen_ai.evaluation.explanation", "value": {"stringValue": "on topic"}},
]
NODE = {"attributes": [{"key": "host.name", "value": {"stringValue": "node-7"}}]}
CHAT = {
    "traceId": TRACE,
    "spanId": SPAN,
    "name": "chat",
    "startTimeUnixNano": str(NANO),
    "endTimeUnixNano": str(NANO + 10**9),
    "attributes": [{"key": "gen_ai.conversation.id", "value": {"stringValue": "s1"}}],
}
RESULT = {"timeUnixNano": str(NANO), "attributes": NAME}


def of_span(span: dict) -> dict:
    return {"resourceSpans": [{"resource": NODE, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def of_log(**more: object) -> dict:
    entry = {**RESULT, "eventName": "gen_ai.evaluation.result", **more}
    return {"resourceLogs": [{"resource": NODE, "scopeLogs": [{"logRecords": [entry]}]}]}


SCORE = {
    "id": "sc1",
    "timestamp": f"{AT}0Z",
    "trace_id": "T1",
    "observation_id": "O1",
    "name": "helpful",
    "value": 0.3,
    "source": "ANNOTATION",
    "comment": "no",
    "data_type": "NUMERIC",
    "string_value": None,
}
FEEDBACK = {
    "id": "f1",
    "created_at": f"{AT}0.5",
    "run_id": "r1",
    "trace_id": "t1",
    "key": "correct",
    "score": True,
    "value": None,
    "comment": "right",
    "correction": None,
    "feedback_source": {"type": "app", "metadata": {}},
}
ASSESSED = {
    **MLFLOW,
    "info": {
        **MLFLOW["info"],
        "assessments": [
            {
                "assessment_id": "a1",
                "assessment_name": "relevance",
                "source": {"source_type": "LLM_JUDGE", "source_id": "gpt-4o"},
                "create_time": f"{AT}0Z",
                "feedback": {"value": "partly"},
                "rationale": "half of it",
            },
            {"assessment_name": "expected", "create_time": f"{AT}0Z", "expectation": {"value": "42"}},
        ],
    },
}
MLFLOW_TRACE = "a2ed4d1080239befbba86b679879bcfb"
ANNOTATION = {
    "data": [
        {
            "id": "p1",
            "created_at": f"{AT}0+00:00",
            "name": "tone",
            "annotator_kind": "HUMAN",
            "result": {"label": "rude", "score": 0.0, "explanation": "shouts"},
            "span_id": SPAN.upper(),
        }
    ]
}
GRADED = {**INSPECT, "samples": [{**INSPECT["samples"][0], "scores": {"match": {"value": "I"}}}]}
TOLD = {  # trace, span, session, node, name, value, label, source, explanation
    "span event": (
        of_span({**CHAT, "events": [{**RESULT, "name": "gen_ai.evaluation.result"}]}),
        (TRACE, SPAN, "s1", "node-7", "relevance", 0.8, "relevant", None, "on topic"),
    ),
    "evaluator's span": (
        of_span({**CHAT, "attributes": NAME}),
        (TRACE, SPAN, None, "node-7", "relevance", 0.8, "relevant", None, "on topic"),
    ),
    "log record": (
        of_log(traceId=TRACE, spanId=SPAN),
        (TRACE, SPAN, None, "node-7", "relevance", 0.8, "relevant", None, "on topic"),
    ),
    "log record without a trace": (
        of_log(),
        (None, None, None, "node-7", "relevance", 0.8, "relevant", None, "on topic"),
    ),
    "langfuse row": (SCORE, ("t1", "o1", None, None, "helpful", 0.3, None, "annotation", "no")),
    "langfuse page": (
        {
            "data": [
                {"id": "s", "timestamp": f"{AT}0Z", "traceId": "T1", "sessionId": None, "name": "ok"}
                | {"value": 1, "stringValue": "True", "dataType": "BOOLEAN", "source": "EVAL"}
            ],
            "meta": {"page": 1},
        },
        ("t1", None, None, None, "ok", 1.0, "True", "eval", None),
    ),
    "langsmith feedback": (FEEDBACK, ("t1", "r1", None, None, "correct", 1.0, "true", "app", "right")),
    "mlflow assessment": (
        ASSESSED,
        (
            "a2ed4d1080239befbba86b679879bcfb",
            None,
            "s1",
            None,
            "relevance",
            None,
            "partly",
            "llm_judge",
            "half of it",
        ),
    ),
    "phoenix annotation": (ANNOTATION, (None, SPAN, None, None, "tone", 0.0, "rude", "human", "shouts")),
    "inspect score": (GRADED, ("run:1:1", "sample", "s1", None, "match", 0.0, "I", "scorer", None)),
}
_COLUMNS = ("trace_id", "span_id", "session_id", "node_id", "name", "value", "label", "source", "explanation")


def evaluations(value: object) -> tuple[list[dict], list[RefusedLine]]:
    content = orjson.dumps(value)
    found = detect("x", content[:HEAD_BYTES])
    assert found is not None
    read = list(found.read([(1, content)]))
    return [orjson.loads(one.data) for one in read if isinstance(one, EvaluationLine)], [
        one for one in read if isinstance(one, RefusedLine)
    ]


@pytest.mark.parametrize("told", TOLD)
def test_a_score_says_of_what_it_is_and_who_gave_it(told):
    value, expected = TOLD[told]
    (only,), refused = evaluations(value)
    assert tuple(only.get(name) for name in _COLUMNS) == expected
    assert only["timestamp"].startswith("2026-11-02T12:0")
    assert only["evaluation_id"]
    assert refused == []


def test_the_scores_within_a_trace_have_its_session():
    trace = {
        "id": "t1",
        "timestamp": f"{AT}0Z",
        "sessionId": "s1",
        "observations": [{"id": "o1", "traceId": "t1", "type": "TOOL", "name": "a", "startTime": f"{AT}0Z"}],
        "scores": [{**SCORE, "trace_id": "t1"}, "sc2"],
    }
    (only,), _ = evaluations(trace)
    assert (only["session_id"], only["trace_id"]) == ("s1", "t1")


def test_a_run_says_the_mean_of_its_feedback():
    run = {**LANGSMITH[0], "feedback_stats": {"thumbs": {"n": 2, "avg": 0.5}, "none": {"n": 0}}}
    (only,), _ = evaluations(run)
    assert (only["name"], only["value"], only["span_id"]) == ("thumbs", 0.5, run["id"])


@pytest.mark.parametrize("wrong", [{"value": None}, {"name": ""}, {"timestamp": "yesterday"}])
def test_a_score_without_score_name_or_time_is_said(wrong):
    found, (refused,) = evaluations({**SCORE, **wrong})
    assert found == []
    assert refused.reason == "bad_span"


def test_scores_are_stored_by_day_redacted_and_once(tmp_path):
    case = Case(tmp_path)
    row = {**SCORE, "comment": "call anna.schmidt@example.com"}
    case.write("berlin/a.jsonl", orjson.dumps(row), orjson.dumps(row))
    assert case.engine.ingest().evaluations == 1
    case.write("berlin/b.jsonl", orjson.dumps(row), orjson.dumps({**row, "id": "sc2"}))
    assert case.engine.ingest().evaluations == 1
    stored = case.rows("evaluations", DAY.replace(day=2))
    assert [one["evaluation_id"] for one in stored] == ["sc1", "sc2"]
    assert {(one["node_id"], one["explanation"], one["source_file"]) for one in stored} == {
        ("berlin", "call <EMAIL>", "berlin/a.jsonl"),
        ("berlin", "call <EMAIL>", "berlin/b.jsonl"),
    }
    assert case.engine.lake.verify("evaluations", DAY.replace(day=2)) == []


def test_of_a_score_that_was_changed_the_last_version_stays(tmp_path):
    case = Case(tmp_path)
    changed = {**SCORE, "value": 0, "updatedAt": "2026-11-03T08:00:00Z"}
    case.write("berlin/a.jsonl", orjson.dumps(SCORE))
    case.engine.ingest()
    case.write("paris/a.jsonl", orjson.dumps({**changed, "value": 9}))  # another node's is no change of it
    case.write("berlin/b.jsonl", orjson.dumps(changed), orjson.dumps(SCORE))
    assert case.engine.ingest().evaluations == 1
    case.write("berlin/c.jsonl", orjson.dumps(SCORE))  # the old version, read late
    case.write("berlin/d.jsonl", orjson.dumps(changed))
    assert case.engine.ingest().evaluations == 0
    stored = case.rows("evaluations", DAY.replace(day=2))
    assert [(one["evaluation_id"], one["node_id"], one["value"]) for one in stored] == [("sc1", "berlin", 0)]
    assert case.engine.lake.verify("evaluations", DAY.replace(day=2)) == []
