"""What was not read is said where people look.

At the end of a cycle, in its JSON and its report, and before a cycle by `inspect`.
"""

import json
from datetime import date

import pytest
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets_tests.build import DAY, call_line
from fl_assets_tests.conftest import coordinator_in, settings_in


@pytest.fixture
def at_home(monkeypatch, tmp_path):
    """Settings below a folder, as the environment's."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("FEDERATED_LEARNING_TELEMETRY_PATH", str(tmp_path / "telemetry" / "cache"))
    monkeypatch.setenv("FEDERATED_LEARNING_DATA_PATH", str(tmp_path))
    monkeypatch.setenv("FEDERATED_LEARNING_PLAYBOOK_PATH", str(tmp_path / "playbooks"))
    monkeypatch.setenv("FEDERATED_LEARNING_ERROR_RECORDS_PATH", str(tmp_path / "records"))
    monkeypatch.setenv("FEDERATED_LEARNING_MIN_EVENTS", "10")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "telemetry" / "cache" / "n1"
    cache.mkdir(parents=True)
    return cache


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def good(count: int) -> bytes:
    return b"".join(call_line(f"e{number}") + b"\n" for number in range(count))


def test_inspect_says_of_each_file_what_a_cycle_would_make_of_it_and_leaves_no_trace(at_home, tmp_path):
    (at_home / "a.jsonl").write_bytes(good(20) + b"{cut\n")
    (at_home / "notes.csv").write_bytes(b"a,b,c\n1,2,3\n")
    before = sorted(tmp_path.rglob("*"))
    shown = run("inspect", str(at_home.parent))
    for words in (
        "n1/a.jsonl    telemetrist  20",
        "skipped: 1 file of no known format and 1 unreadable event in 1 other file:",
        "n1/notes.csv (12 bytes) is not read: CSV",
        "n1/a.jsonl: 1 event could not be read, invalid_json",
        "a cycle of 2026-11-01 would read 20 events in 1 day; it needs 10, and would go on",
    ):
        assert words in shown.stdout
    found = json.loads(run("inspect", str(at_home / "a.jsonl"), "--json").stdout)
    assert [(one["events"], one["nodes"], one["unread"]["events"]) for one in found["files"]] == [
        (20, ["n1"], 1)
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_inspect_tells_what_is_lost_from_what_repeats_and_what_was_left_out(at_home):
    record = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1793620800000000000"}]}]}]}\n'
    for name, content in {
        "a.jsonl": good(3),
        "b.jsonl": good(4),
        "c.traj": b'{"trajectory": [{"action": "ls"}], "history": [], "info": {}}\n',
        "d.json": record,
        "e.jsonl": good(1) + b"{cut\n",
        "f.csv": b"a,b,c\n1,2,3\n",
    }.items():
        (at_home / name).write_bytes(content)
    shown = run("inspect", str(at_home)).stdout
    table, _, words = shown.partition("\nskipped: 1 file of ")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert rows["a.jsonl"][:2] == ["telemetrist", "3"]
    assert rows["b.jsonl"][:3] == ["telemetrist", "1", "3"]
    assert rows["c.traj"][-3:] == ["all", "of", "it"]
    assert rows["d.json"] == ["otlp", "0"]
    assert rows["e.jsonl"][:3] == ["telemetrist", "0", "1"]
    lost = "no known format, 1 file of a format that holds no events and 1 unreadable event in 1 other file"
    assert words.startswith(f"{lost}; parts of 1 file, on purpose:\n")
    assert "d.json: 1 record is no call" in words


OWN = (
    b'{"at": "2026-11-01T10:00:00Z", "tool": "search", "took": 12, "fine": true, "shop": "s1"}\n'
    b'{"at": "2026-11-01T10:00:01Z", "tool": "pay", "took": 9, "fine": false, "shop": "s1"}\n'
)


def test_inspect_offers_a_mapping_for_json_lines_of_ones_own_which_then_reads_them(
    at_home, tmp_path, monkeypatch
):
    (at_home / "a.jsonl").write_bytes(OWN + b'{"at": "2026-11-01T10:00:02Z", \n')
    shown = run("inspect", str(at_home)).stdout
    said = " ".join(shown.split())
    assert "JSON lines, but none of the formats known here (keys: at, fine, shop, took, tool)" in said
    assert "line 3 is broken JSON" in said
    assert "FEDERATED_LEARNING_MAPPING_PATH" in shown
    offered = shown[shown.index("mappings:") :]
    assert "    # not used yet: shop" in offered
    (tmp_path / "mapping.yaml").write_text(offered)
    monkeypatch.setenv("FEDERATED_LEARNING_MAPPING_PATH", str(tmp_path / "mapping.yaml"))
    (at_home / "a.jsonl").write_bytes(OWN)
    (file,) = json.loads(run("inspect", str(at_home), "--json").stdout)["files"]
    assert (file["format"], file["events"], file["unread"]) == ("my_logs", 2, None)


def test_inspect_offers_a_mapping_for_a_table_of_ones_own_which_then_reads_it(at_home, tmp_path, monkeypatch):
    table = b"at;tool;took;fine\n2026-11-01T10:00:00Z;search;12;true\n2026-11-01T10:00:01Z;pay;9;false\n"
    (at_home / "a.csv").write_bytes(table)
    shown = run("inspect", str(at_home)).stdout
    said = " ".join(shown.split())
    assert "CSV, but none of the tables known here (keys: at, fine, took, tool); if it is a log of" in said
    (tmp_path / "mapping.yaml").write_text(shown[shown.index("mappings:") :])
    monkeypatch.setenv("FEDERATED_LEARNING_MAPPING_PATH", str(tmp_path / "mapping.yaml"))
    (file,) = json.loads(run("inspect", str(at_home), "--json").stdout)["files"]
    assert (file["format"], file["events"], file["unread"]) == ("my_logs", 2, None)


def test_a_config_file_gets_no_mapping_and_a_field_without_a_name_that_is_known_is_left_to_the_person(
    at_home,
):
    (at_home / "config.json").write_bytes(b'{\n "at": "x",\n "tools": []\n}\n')
    assert "mappings:" not in run("inspect", str(at_home)).stdout
    (at_home / "a.jsonl").write_bytes(b'{"when_it_was": 1, "it": 2}\n' * 2)
    assert "time: WHICH_FIELD" in run("inspect", str(at_home)).stdout


def test_every_reason_for_which_entries_of_a_file_were_refused_is_said_with_its_count(at_home):
    late = call_line("late").replace(b"2026-11-01", b"2026-99-01")
    (at_home / "a.jsonl").write_bytes(good(3) + b"{cut\n" + late + b"\n" + late + b"\n{cut\n")
    shown = run("inspect", str(at_home)).stdout
    assert (
        "n1/a.jsonl: 4 events could not be read, first invalid_json"
        in f"n1/{shown[shown.index('a.jsonl: ') :]}"
    )
    assert "; also 2 bad_timestamp" in shown


ANSWERS = {
    "nothing": ({}, "holds no file"),
    "nothing that is telemetry": (
        {"a.csv": b"a,b,c\n1,2,3\n", "b.json": b"{}\n"},
        "2 files, none of which could be read",
    ),
    "too few": ({"a.jsonl": good(3)}, "3 events"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_no_file_no_readable_file_and_too_few_events_are_three_answers(at_home, name):
    files, words = ANSWERS[name]
    for path, content in files.items():
        (at_home / path).write_bytes(content)
    shown = run("cycle", "--date", str(DAY))
    assert shown.exit_code == 3
    assert words in shown.stdout
    if name != "too few":
        cause, stopped = (shown.stdout.index(one) for one in ("FEDERATED_LEARNING_TELEMETRY_PATH", "stopped"))
        assert cause < stopped
    assert f"from {at_home.parent}" in shown.stdout
    assert [words for _, words in ANSWERS.values() if words in shown.stdout] == [words]


def test_a_cycle_its_json_and_its_report_name_what_was_not_read(tmp_path, instance):
    settings = settings_in(tmp_path)
    cache = settings.telemetry_path / "n1"
    cache.mkdir(parents=True)
    (cache / "a.jsonl").write_bytes(good(200) + b'{"event_id": "cut\n')
    (cache / "config.json").write_bytes(b'{"model": "x"}\n')
    (cache / "export.csv").write_bytes(b"a,b,c\n1,2,3\n")
    coordinator = coordinator_in(tmp_path, instance, min_events="100")
    assert coordinator.run_learning_cycle(DAY).status == "completed"
    unread = coordinator.workspace.index.unread()
    assert [one.path for one in unread] == ["n1/a.jsonl", "n1/config.json", "n1/export.csv"]
    page = (settings.reports_path / f"{DAY}.html").read_text(encoding="utf-8")
    for words in ("config.json", "CSV", "could not be read"):
        assert words in page
    assert date.fromisoformat(str(DAY)) in coordinator.workspace.days.with_events(DAY)


def test_a_day_that_its_input_stops_has_no_patterns_that_were_looked_for(at_home):
    (at_home / "a.jsonl").write_bytes(good(20) + b"{cut\n" * 20)
    shown = run("cycle", "--date", str(DAY)).stdout
    assert "Gated: " in shown
    assert "patterns found    not looked for" in shown
    assert "()" not in shown
