"""One failure, once, though its trace lies in several files: of several days, services or polls."""

from itertools import permutations

import orjson
import pytest

from fl_assets_tests.events.test_ingest import Case

ERROR = "ToolError: stock service returned 503"
MIDNIGHT = 1_793_664_000 * 10**9
"""Of 3 November 2026, in nanoseconds."""


def span(number: int, parent: int, begin: int, end: int, error: str = "") -> bytes:
    """One request of one span, with times in seconds from midnight."""
    found = {
        "traceId": "ab" * 16,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": f"step {'abcdef'[number]}",
        "startTimeUnixNano": str(MIDNIGHT + begin * 10**9),
        "endTimeUnixNano": str(MIDNIGHT + end * 10**9),
        "status": {"code": 2, "message": error} if error else {},
    }
    return orjson.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [found]}]}]})


ROOT, TOOL = span(1, 0, -20, 20, ERROR), span(2, 1, 5, 10, ERROR)


RECORD = orjson.dumps(
    {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": str(MIDNIGHT + 10 * 10**9),
                                "severityNumber": 17,
                                "traceId": "ab" * 16,
                                "spanId": f"{2:016x}",
                                "attributes": [{"key": "exception.message", "value": {"stringValue": ERROR}}],
                            }
                        ]
                    }
                ]
            }
        ]
    }
)


def causes(case: Case) -> dict[str, str | None]:
    days = case.engine.lake.days("raw_traces")
    for day in days:
        assert case.engine.lake.verify("raw_traces", day) == []
    rows = [row for day in days for row in case.rows("raw_traces", day)]
    return {row["event_id"][-1]: row["caused_by"] and row["caused_by"][-1] for row in rows}


@pytest.mark.parametrize("first", ["root", "tool", "both at once"])
def test_a_trace_over_midnight_in_two_files_has_its_failure_once(tmp_path, first):
    case = Case(tmp_path)
    files = {"root": ("n1/day2.jsonl", ROOT), "tool": ("n1/day3.jsonl", TOOL)}
    for name in sorted(files, key=lambda name: name != first):
        case.write(*files[name])
        if first != "both at once":
            case.engine.ingest()
    case.engine.ingest()
    assert causes(case) == {"1": "2", "2": None}


@pytest.mark.parametrize("order", [*permutations("abc")])
def test_the_order_of_files_does_not_matter(tmp_path, order):
    case = Case(tmp_path)
    files = {"a": ROOT, "b": span(2, 1, -10, 15, ERROR), "c": span(3, 2, 5, 10, ERROR)}
    for name in order:
        case.write(f"n1/{name}.jsonl", files[name])
        case.engine.ingest()
    found = causes(case)
    assert [name for name, cause in found.items() if cause is None] == ["3"], "the deepest alone"
    assert found["1"] in {"2", "3"}


def test_what_is_known_by_another_file_is_no_conflict_when_the_file_comes_again(tmp_path):
    case = Case(tmp_path)
    case.write("n1/a.jsonl", ROOT)
    case.write("n1/b.jsonl", TOOL)
    case.engine.ingest()
    case.write("n1/again.jsonl", ROOT)
    report = case.engine.ingest()
    assert (report.duplicates, report.conflicts) == (1, 0)
    assert causes(case) == {"1": "2", "2": None}


def test_neither_another_node_nor_another_error_takes_a_failure_away(tmp_path):
    case = Case(tmp_path)
    case.write("n1/a.jsonl", ROOT, span(4, 1, -10, -5))
    case.write("n2/b.jsonl", TOOL)
    case.write("n1/c.jsonl", span(3, 1, -18, -15, "disk is full"))
    case.engine.ingest()
    assert causes(case) == {"1": None, "2": None, "3": None, "4": None}


@pytest.mark.parametrize("order", ["logs spans", "spans logs", "both at once"])
def test_a_log_record_of_another_file_gives_its_span_words(tmp_path, order):
    """The Collector writes log records and spans to files of their own."""
    case = Case(tmp_path)
    files = {"logs": RECORD, "spans": span(2, 1, 5, 10, "error")}
    for name in files if order == "both at once" else order.split():
        case.write(f"n1/{name}.jsonl", files[name])
        if order != "both at once":
            case.engine.ingest()
    case.write("n1/root.jsonl", ROOT)
    case.engine.ingest()
    case.write("n1/again.jsonl", files["spans"])
    report = case.engine.ingest()
    assert (report.duplicates, report.conflicts) == (1, 0)
    assert causes(case) == {"1": "2", "2": None}
    rows = case.rows("raw_traces", *case.engine.lake.days("raw_traces"))
    assert {row["error"] for row in rows} == {ERROR}
