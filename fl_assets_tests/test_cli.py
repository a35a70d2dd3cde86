"""The command line: words for people, JSON for machines, one clear line for an error."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, time, timedelta

import pytest
from typer.testing import CliRunner

from fl_assets import cli
from fl_assets.cli.application import CommandError
from fl_assets.core.settings import SettingsError
from fl_assets.sums.engine import SummingEngine
from fl_assets_tests.build import DAY, call_line
from fl_assets_tests.conftest import DAYS, LAST_DAY, settings_in


@pytest.fixture
def at_home(copied, monkeypatch, tmp_path):
    """The learned fleet as the environment's settings, and a Dagster home of its own."""
    coordinator = copied()
    for name, value in coordinator.config.model_dump().items():
        if value is not None:
            monkeypatch.setenv(
                f"FEDERATED_LEARNING_{name.upper()}",
                ",".join(value) if isinstance(value, tuple) else str(value),
            )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    return coordinator


def run(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


def test_a_cycle_says_what_was_read_found_held_and_where(at_home, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "cycle", "--date", str(LAST_DAY)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    for words in (
        f"Learning cycle of {LAST_DAY}: completed",
        "events read",
        "patterns found",
        "playbooks are ready",
        "for review",
        "warehouse",
    ):
        assert words in shown.stdout
    assert shown.stderr == ""


def test_json_is_for_machines(at_home):
    shown = json.loads(run("cycle", "--date", str(LAST_DAY), "--json").stdout)
    assert shown["cycle"]["status"] == "completed"
    assert {"events_processed", "improvements_generated", "adapters_updated", "configs_updated"} <= set(
        shown["cycle"]
    )
    assert len(shown["playbooks"]) == shown["cycle"]["improvements_generated"]


def test_a_day_with_a_stray_event_is_passed_over_and_that_is_said(at_home, tmp_path, monkeypatch):
    after = LAST_DAY + timedelta(days=1)
    telemetry = tmp_path / "more"
    telemetry.mkdir()
    (telemetry / "a.jsonl").write_bytes(call_line("stray", timestamp=f"{after}T00:05:00Z") + b"\n")
    monkeypatch.setenv("FEDERATED_LEARNING_TELEMETRY_PATH", str(telemetry))
    shown = run("cycle", "--if-new").stdout
    assert f"Learning cycle of {LAST_DAY}: completed" in shown
    assert f"{after}: 1 stray event; `fl-assets cycle --date {after}` analyses it all the same" in shown
    assert "passed over" not in run("cycle", "--if-new", "--date", str(LAST_DAY)).stdout


def test_too_few_events_are_exit_code_three_of_a_cycle_and_of_a_backfill(at_home, monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_MIN_EVENTS", "1000000")
    for words in (["cycle", "--date", str(LAST_DAY)], ["backfill", str(DAYS[0]), str(DAYS[1])]):
        shown = run(*words)
        assert shown.exit_code == 3
        assert "insufficient_data" in shown.stdout


def test_exit_codes_are_told(at_home):
    shown = " ".join(run("--help").stdout.split())
    assert "0 done" in shown
    assert "3 too few events" in shown


def test_piped_tables_have_a_line_a_row_and_no_blanks_at_its_end(at_home):
    for command, count in (
        ("patterns", None),
        ("playbooks", len(at_home.workspace.playbooks.of(LAST_DAY))),
        ("decisions", None),
    ):
        lines = run(command, "--date", str(LAST_DAY)).stdout.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []
        assert max(map(len, lines)) > 150, "nothing is folded"
        if count:
            assert (
                sum(bool(re.search(r"  (prompt|adapter|config|workflow)  ", line)) for line in lines) == count
            )


def test_decisions_say_what_happens_and_not_none(at_home):
    shown = run("decisions", "--date", str(LAST_DAY)).stdout
    assert "for review (backtest)" in shown
    assert "held back (backtest)" in shown
    assert "none (backtest)" not in shown


def test_events_of_a_day_are_decided_again_and_what_to_do_next_is_said(tmp_path, monkeypatch):
    settings = settings_in(tmp_path)
    settings.telemetry_path.mkdir(parents=True)
    settings.error_records_path.mkdir(parents=True, exist_ok=True)
    (settings.telemetry_path / "a.jsonl").write_bytes(call_line("e1") + b"\n")
    for name in ("telemetry", "data", "error_records"):
        monkeypatch.setenv(f"FEDERATED_LEARNING_{name.upper()}_PATH", str(getattr(settings, f"{name}_path")))
    early = DAY - timedelta(days=20)
    SummingEngine(settings, clock=lambda: datetime.combine(early, time(12), UTC)).ingest()
    shown = run("reingest", str(early)).stdout
    assert f"1 events of {early} came to their own days" in shown
    assert f"fl-assets backfill {early} {DAY}" in shown
    with pytest.raises(CommandError, match=f"{early} has no event whose own time is of another day"):
        run("reingest", str(early))


def test_a_backfill_has_one_line_a_day(at_home):
    shown = json.loads(run("backfill", str(DAYS[0]), str(DAYS[1]), "--json").stdout)
    assert [entry["day"] for entry in shown] == [str(DAYS[0]), str(DAYS[1])]


@pytest.mark.parametrize(
    "arguments", [["rebuild"], ["reingest", "2026-11-01"], ["summarize", "--out", "told.jsonl"]]
)
def test_a_path_that_is_not_there_stops_a_command_before_it_writes_anything(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDERATED_LEARNING_TELEMETRY_PATH", "nowhere")
    with pytest.raises(SettingsError, match="FEDERATED_LEARNING_TELEMETRY_PATH='nowhere': is not there"):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        (
            {"FEDERATED_LEARNING_MIN_EVENTS": "few"},
            ["cycle"],
            "FEDERATED_LEARNING_MIN_EVENTS='few': must be a whole number of at least 1",
        ),
        (
            {"FEDERATED_LEARNING_MIN_EVENST": "9"},
            ["cycle"],
            "FEDERATED_LEARNING_MIN_EVENST: unknown setting; did you mean FEDERATED_LEARNING_MIN_EVENTS?",
        ),
        ({"FEDERATED_LEARNING_DATA_PATH": "file/data"}, ["patterns"], "file/data: Not a directory"),
        (
            {"FEDERATED_LEARNING_TELEMETRY_PATH": "nowhere"},
            ["playbooks"],
            "FEDERATED_LEARNING_TELEMETRY_PATH='nowhere': is not there",
        ),
        (
            {"FEDERATED_LEARNING_UPDATE_POLICY_PATH": "policy.yaml"},
            ["updates"],
            "FEDERATED_LEARNING_UPDATE_POLICY_PATH='policy.yaml': is not there",
        ),
        ({}, ["backfill", "2026-11-14", "2026-11-01"], "give FROM and TO in order"),
        ({}, ["simulate", "--out", "."], "is not empty"),
    ],
)
def test_an_error_is_one_clear_message_and_no_traceback(tmp_path, environment, arguments, words):
    (tmp_path / "file").write_text("")
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, **environment, "DAGSTER_HOME": ""},
        timeout=120,
    )
    assert shown.returncode == 1
    assert words in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert len(shown.stderr.splitlines()) == 1
    assert shown.stdout == ""


def test_simulate_writes_the_same_bytes_for_the_same_arguments(tmp_path):
    arguments = [
        "--days",
        "2",
        "--nodes",
        "3",
        "--events-per-day",
        "100",
        "--seed",
        "9",
        "--end",
        "2026-11-14",
    ]
    for name in ("one", "two"):
        assert run("simulate", "--out", str(tmp_path / name / "cache"), *arguments).exit_code == 0
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    again = run("simulate", "--if-empty", "--out", str(tmp_path / "one" / "cache"))
    assert "has files already" in again.stdout


def test_a_playbook_is_exported_as_an_issue_and_as_cases(at_home, tmp_path):
    ready = json.loads(run("playbooks", "--json").stdout)[0]
    issue = run("export", ready["improvement_id"][:6]).stdout
    assert issue.startswith(f"# {ready['title']}")
    out = tmp_path / "deep" / "cases.jsonl"
    assert str(out) in run("export", "--format", "jsonl", "--out", str(out), "--most", "2").stdout
    found = [json.loads(line) for line in out.read_text().splitlines()]
    families = {one["advice"]["family_id"] for one in json.loads(run("playbooks", "--json").stdout)}
    assert found
    assert {one["family_id"] for one in found} <= families
    assert max(Counter(one["family_id"] for one in found).values()) <= 2
    with pytest.raises(cli.application.CommandError, match=r"no playbook of .* begins with 'zz'"):
        run("export", "zz")
