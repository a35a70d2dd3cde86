"""Servers on loopback that speak the documented APIs of the five sources, filled with a day of theirs.

What goes here: pages and their order, as each API's reference has them. What does not: any assertion.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fl_assets_tests.adapter_servers import Handler, Server

DAY = "2026-11-02"
TOKEN = "sk-lf-4f1c9d2e7b3a4c58"
PROJECT = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"


def query_of(handler: Handler) -> dict[str, list[str]]:
    return parse_qs(urlsplit(handler.path).query)


def body_of(handler: Handler) -> bytes:
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def as_json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content_Type": "application/json"}


def part(rows: list[Any], query: dict[str, list[str]], at: str = "cursor") -> tuple[list[Any], str | None]:
    """The rows of a page whose cursor is a number in disguise, and the next cursor."""
    start = int((query.get(at) or ["c0"])[0].removeprefix("c"))
    end = start + int(query["limit"][0])
    return rows[start:end], f"c{end}" if end < len(rows) else None


# Langfuse
# ----------------------------------------------------------------------------------------------------


def observation(number: int, *, done: bool = True, **given: Any) -> dict[str, Any]:
    """A tool's call; every third fails."""
    bad = number % 3 == 0
    fields = {
        "id": f"{number:016x}",
        "traceId": f"trace-{number // 3}",
        "parentObservationId": None,
        "type": "TOOL",
        "name": "search",
        "input": '{"q": "trains"}',
        "startTime": f"{DAY}T10:00:{number % 60:02d}.000Z",
        "endTime": f"{DAY}T10:00:{number % 60:02d}.500Z" if done else None,
        "level": "ERROR" if bad else "DEFAULT",
        "statusMessage": "upstream timed out" if bad else None,
        "metadata": {},
    }
    return fields | given


def langfuse(count: int, *, newer: bool = True) -> Server:
    """Observations, one score of the first; before v4 with sessions on traces alone."""
    told = {"sessionId": "s-1", "traceName": "travel"}
    rows = [observation(number, **(told if newer else {})) for number in range(count)]
    traces = [
        {
            "id": f"trace-{number}",
            "name": "travel",
            "timestamp": f"{DAY}T10:00:00.000Z",
            "sessionId": "s-1",
            "input": "Find me a train",
            "output": "There is one at ten.",
            "public": False,
            "observations": ["0"],
            "scores": [],
        }
        for number in range((count + 2) // 3)
    ]
    score = {
        "id": "score-1",
        "name": "helpful",
        "value": 1,
        "dataType": "NUMERIC",
        "source": "API",
        "timestamp": f"{DAY}T11:00:00.000Z",
    }

    def page(_: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        query = query_of(handler)
        if path == "/api/public/v2/observations" and newer:
            assert (query["fromStartTime"], query["toStartTime"]) == (
                [f"{DAY}T00:00:00.000000Z"],
                ["2026-11-03T00:00:00.000000Z"],
            )
            found, after = part(rows, query)
            return as_json({"data": found, "meta": {"cursor": after} if after else {}})
        if path == "/api/public/v3/scores" and newer:
            subject = {"kind": "observation", "id": f"{0:016x}", "traceId": "trace-0"}
            return as_json({"data": [{**score, "subject": subject}], "meta": {"limit": 100}})
        older = {
            "/api/public/traces": traces,
            "/api/public/observations": rows,
            "/api/public/v2/scores": [{**score, "traceId": "trace-0", "observationId": f"{0:016x}"}],
        }.get(path)
        if newer or older is None:
            return None
        limit, number = int(query["limit"][0]), int(query["page"][0])
        meta = {"page": number, "limit": limit, "totalPages": -(-len(older) // limit)}
        return as_json({"data": older[(number - 1) * limit : number * limit], "meta": meta})

    return Server(page)


# Phoenix
# ----------------------------------------------------------------------------------------------------


def phoenix(count: int) -> Server:
    """Spans of tools, every third failed; an annotation on the first."""
    rows = [
        {
            "id": f"U3Bhbjo{number}",
            "name": "search",
            "context": {"trace_id": f"{number // 3:032x}", "span_id": f"{number + 1:016x}"},
            "span_kind": "TOOL",
            "parent_id": None,
            "start_time": f"{DAY}T10:00:{number % 60:02d}+00:00",
            "end_time": f"{DAY}T10:01:{number % 60:02d}+00:00",
            "status_code": "ERROR" if number % 3 == 0 else "OK",
            "status_message": "upstream timed out" if number % 3 == 0 else "",
            "attributes": {"tool.name": "search", "input.value": "x" * 200},
            "events": [],
        }
        for number in range(count)
    ]
    made = {
        "id": "U3BhbkFubm90YXRpb246MQ==",
        "created_at": f"{DAY}T12:00:00+00:00",
        "updated_at": f"{DAY}T12:00:00+00:00",
        "source": "API",
        "user_id": None,
        "name": "correct",
        "annotator_kind": "HUMAN",
        "result": {"label": "no", "score": 0.0, "explanation": None},
        "identifier": "",
        "span_id": f"{1:016x}",
    }

    def page(_: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        query = query_of(handler)
        if path == "/v1/projects":
            found, after = part(
                [{"id": "UHJv", "name": "default"}, {"id": "UHJvamVjdDoy", "name": "my/shop"}], query
            )
            return as_json({"data": found, "next_cursor": after})
        if path == "/v1/projects/UHJvamVjdDoy/spans":
            found, after = part(rows, query)
            return as_json({"data": found, "next_cursor": after})
        if path == "/v1/projects/UHJvamVjdDoy/span_annotations":
            given = [made] if made["span_id"] in query["span_ids"] else []
            return as_json({"data": given, "next_cursor": None})
        return None

    return Server(page)


# MLflow
# ----------------------------------------------------------------------------------------------------


def mlflow(count: int) -> Server:
    """Traces of one tool each, every third failed and judged."""
    begin = 1_793_613_600_000  # 2026-11-02 10:00

    def info(number: int) -> dict[str, Any]:
        found = {
            "trace_id": f"tr-{number:032x}",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "7"}},
            "request_time": f"{DAY}T10:00:{number % 60:02d}Z",
            "state": "OK",
            "trace_metadata": {"mlflow.trace_schema.version": "3", "mlflow.trace.session": "s-1"},
            "tags": {"mlflow.traceName": "travel", "node.id": "shop"},
        }
        judged = {
            "assessment_id": f"a-{number}",
            "assessment_name": "correct",
            "trace_id": found["trace_id"],
            "source": {"source_type": "HUMAN", "source_id": "anna"},
            "create_time": f"{DAY}T12:00:00Z",
            "feedback": {"value": False},
        }
        return found | ({"assessments": [judged]} if number % 3 == 0 else {})

    def spans(number: int) -> list[dict[str, Any]]:
        bad = number % 3 == 0
        return [
            {
                "trace_id": f"{number:032x}",
                "span_id": f"{number + 1:016x}",
                "parent_span_id": None,
                "name": "search",
                "start_time_unix_nano": (begin + 1000 * number) * 10**6,
                "end_time_unix_nano": (begin + 1000 * number + 500) * 10**6,
                "events": [],
                "status": {
                    "code": "STATUS_CODE_ERROR" if bad else "STATUS_CODE_OK",
                    "message": "upstream timed out" if bad else "",
                },
                "attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"q": "trains"}'},
            }
        ]

    def page(method: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        query = query_of(handler)
        if path == "/api/2.0/mlflow/experiments/get-by-name":
            return (
                as_json({"experiment": {"experiment_id": "7"}}) if query["experiment_name"] == ["x"] else None
            )
        if (method, path) == ("POST", "/api/3.0/mlflow/traces/search"):
            asked = json.loads(body_of(handler))
            assert asked["locations"][0]["mlflow_experiment"]["experiment_id"] == "7"
            assert re.findall(r"\d{13}", asked["filter"]) == ["1793577600000", "1793664000000"]
            start = int(asked.get("page_token") or 0)
            end = start + asked["max_results"]
            more = {"next_page_token": str(end)} if end < count else {}
            found = [info(number) for number in range(start, min(end, count))]
            return as_json({**({"traces": found} if found else {}), **more})
        if path == "/ajax-api/2.0/mlflow/get-trace-artifact":
            return as_json({"spans": spans(int(query["request_id"][0].removeprefix("tr-"), 16))})
        return None

    return Server(page)


# LangSmith
# ----------------------------------------------------------------------------------------------------


def langsmith(count: int, *, newer: bool = True) -> Server:
    """Runs of tools, every third failed, the first one judged."""

    def run(number: int) -> dict[str, Any]:
        key = f"00000000-0000-4000-8000-{number:012d}"
        bad = number % 3 == 0
        found = {
            "id": key,
            "trace_id": key,
            "name": "search",
            "run_type": "TOOL" if newer else "tool",
            "status": ("ERROR" if bad else "SUCCESS") if newer else ("error" if bad else "success"),
            "start_time": f"{DAY}T10:00:{number % 60:02d}.000000Z",
            "end_time": f"{DAY}T10:00:{number % 60:02d}.500000Z",
            "error": "TimeoutError('upstream timed out')" if bad else None,
            "inputs": {"input": "trains"},
            "outputs": {"output": "one"},
            "extra": {"metadata": {"thread_id": "s-1"}},
            "dotted_order": f"20261102T1000{number % 60:02d}000000Z{key}",
            "feedback_stats": {"helpful": {"n": 1, "avg": 1.0}} if number == 0 else None,
        }
        return found | ({"project_id": PROJECT, "parent_run_ids": []} if newer else {"session_id": PROJECT})

    def page(method: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        query = query_of(handler)
        if path == "/api/v1/sessions":
            return as_json([{"id": PROJECT, "name": "x"}] if query["name"] == ["x"] else [])
        if (method, path) == ("POST", "/api/v2/runs/query") and newer:
            asked = json.loads(body_of(handler))
            assert asked["project_ids"] == [PROJECT]
            assert asked["min_start_time"] == f"{DAY}T00:00:00.000000Z"
            size, key, items = asked["page_size"], "next_cursor", "items"
        elif (method, path) == ("POST", "/api/v1/runs/query") and not newer:
            asked = json.loads(body_of(handler))
            assert asked["session"] == [PROJECT]
            assert f'gte(start_time, "{DAY}T00:00:00.000000Z")' in asked["filter"]
            size, key, items = asked["limit"], "cursors", "runs"
        else:
            return None
        start = int(asked.get("cursor") or 0)
        after = str(start + size) if start + size < count else None
        found = [run(number) for number in range(start, min(start + size, count))]
        return as_json({items: found, key: after if newer else {"next": after}})

    return Server(page)


# ClickHouse
# ----------------------------------------------------------------------------------------------------


def clickhouse(count: int) -> Server:
    """Rows of `otel_traces`, of which many share a time; every third failed."""
    rows = [
        {
            "Timestamp": f"{DAY} 10:00:{number // 4 % 60:02d}.000000000",
            "TraceId": f"{number // 3:032x}",
            "SpanId": f"{number + 1:016x}",
            "ParentSpanId": "",
            "SpanName": "search",
            "SpanKind": "Internal",
            "ServiceName": "travel",
            "ResourceAttributes": {"service.name": "travel"},
            "SpanAttributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
            "Duration": 500_000_000,
            "StatusCode": "Error" if number % 3 == 0 else "Ok",
            "StatusMessage": "upstream timed out" if number % 3 == 0 else "",
            "Events.Timestamp": [],
            "Events.Name": [],
            "Events.Attributes": [],
        }
        for number in range(count)
    ]

    def page(method: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        query, asked = query_of(handler), body_of(handler).decode()
        if (method, path) != ("POST", "/") or "otel_logs" in asked:
            return None
        assert "format JSONEachRow" in asked
        found = [row for row in rows if query["param_start"][0] <= row["Timestamp"] < query["param_end"][0]]
        skip, limit = int(query["param_skip"][0]), int(query["param_rows"][0])
        lines = [json.dumps(row).encode() for row in found[skip : skip + limit]]
        return b"".join(line + b"\n" for line in lines), {}

    return Server(page)


# Lies
# ----------------------------------------------------------------------------------------------------

PATHS = {
    "langfuse": "/api/public/v2/observations",
    "phoenix": "/v1/projects/UHJvamVjdDoy/spans",
    "mlflow": "/api/3.0/mlflow/traces/search",
    "langsmith": "/api/v2/runs/query",
    "clickhouse": "/",
}
"""What each kind is asked for records."""
RECORD = b'{"id": "x", "trace_id": "tr-1", "context": {"trace_id": "t", "span_id": "s"}}'


def a_page(kind: str, record: bytes = RECORD, after: bytes = b"null") -> bytes:
    """An answer with one record and the mark of a next page, both as JSON."""
    return {
        "langfuse": b'{"data": [%s], "meta": {"cursor": %s}}',
        "phoenix": b'{"data": [%s], "next_cursor": %s}',
        "mlflow": b'{"traces": [%s], "next_page_token": %s}',
        "langsmith": b'{"items": [%s], "next_cursor": %s}',
        "clickhouse": b'{"Timestamp": "2026-11-02 10:00:00.0", "Body": %s, "x": %s}',
    }[kind] % (record, after)
