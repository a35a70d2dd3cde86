"""JSON lines of one's own, by a mapping."""

import re
from pathlib import Path

import orjson
import pytest

from fl_assets.events.formats import detect
from fl_assets.events.formats.seam import EventLine, RefusedLine
from fl_assets.events.mapping_files import mapped_formats
from fl_assets.infra.rule_files import RuleFileError

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"
LINES = [
    {
        "at": "2026-11-02T12:00:00Z",
        "tool": "search",
        "took": 120,
        "fine": True,
        "place": "berlin",
        "request": "r1",
    },
    {
        "at": 1_793_620_801,
        "tool": "book",
        "took": "80",
        "fine": False,
        "problem": {"text": "no seats"},
        "chat": "c1",
        "args": {"n": 2},
    },
    {
        "at": "2026-11-02T12:00:03Z",
        "tool": None,
        "took": 1,
        "asked": "Two seats?",
        "answered": "None left",
        "chat": "c1",
    },
    {"tool": "x", "took": 1},
]


def mapping_of_the_docs(tmp_path: Path) -> Path:
    (text,) = re.findall(r"```yaml\n(mappings:.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return path


def test_the_mapping_of_the_docs_reads_calls_and_turns(tmp_path):
    own = mapped_formats(mapping_of_the_docs(tmp_path))
    content = [orjson.dumps(line) for line in LINES]
    assert detect("x.jsonl", b"\n".join(content)) is None
    found = detect("x.jsonl", b"\n".join(content), own)
    assert found is not None
    results = list(found.read(enumerate(content, 1)))
    events = [orjson.loads(entry.data) for entry in results if isinstance(entry, EventLine)]
    calls = [event["execution_trace"] for event in events if event["execution_trace"]]
    assert sorted(
        (call["service"], call["method"], call["duration_ms"], call["success"], call["error"])
        for call in calls
    ) == [("shop", "book", 80.0, False, "no seats"), ("shop", "search", 120.0, True, None)]
    by_method = {call["method"]: call["metadata"] for call in calls}
    assert (by_method["search"]["node_id"], by_method["book"]["arguments"]) == ("berlin", '{"n":2}')
    (turn,) = [event["conversation_log"] for event in events if event["conversation_log"]]
    assert (turn["session_id"], turn["user_query"], turn["system_response"]) == (
        "c1",
        "Two seats?",
        "None left",
    )
    (refused,) = [entry for entry in results if isinstance(entry, RefusedLine)]
    assert (refused.line, refused.detail) == (4, "1 of 1 lines: shop_logs: no at")


def test_native_lines_stay_native_and_no_file_is_no_mapping(tmp_path):
    assert mapped_formats(None) == ()
    own = mapped_formats(mapping_of_the_docs(tmp_path))
    assert detect("x", b'{"event_type": "ExecutionTrace", "tool": 1, "took": 2}', own) is None


def test_a_mistake_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text("mappings:\n  - id: a\n    when: [x]\n    tyme: at\n")
    with pytest.raises(RuleFileError, match=r"mapping\.yaml:\d+"):
        mapped_formats(path)
