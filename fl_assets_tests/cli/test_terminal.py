"""What somebody at a terminal meets: searching, shortened output, folders that are only read, taken ports."""

import errno
import io
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError
from typer.main import get_command
from typer.testing import CliRunner

from fl_assets import cli, coordinator
from fl_assets.cli.answers import what_follows
from fl_assets.cli.application import CommandError, check_address_space, main, one_of, parse_day
from fl_assets.cli.console import TOP, fail, say, show_decisions, show_json, status
from fl_assets.cli.help_page import SECTIONS
from fl_assets.cli.processes import ServeError, check_port, serve
from fl_assets.core.settings import SettingsError
from fl_assets.infra.clock import now_utc
from fl_assets.infra.disk import locked
from fl_assets.report.build import build_report
from fl_assets_tests.conftest import LAST_DAY, texts_below
from fl_assets_tests.report.test_report import decision_row, rows


def run(*words: str):
    return CliRunner().invoke(cli.app, list(words), catch_exceptions=False)


@pytest.fixture
def at_home(copied, monkeypatch, tmp_path):
    made = copied()
    for name, value in made.config.model_dump().items():
        if name.endswith("_path") and value is not None:
            monkeypatch.setenv(f"FEDERATED_LEARNING_{name.upper()}", str(value))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "")
    return made


def test_a_status_code_and_a_node_find_the_pattern(at_home):
    everything = run("patterns").stdout.splitlines()
    by_code = run("patterns", "401").stdout.splitlines()
    assert 1 < len(by_code) < len(everything)
    assert "Unauthorized" in by_code[1]
    (node,) = {
        row["node_id"]
        for row in at_home.workspace.report.failures_by_node(LAST_DAY)
        if row["pattern_id"] == by_code[1].split()[0]
    }
    assert by_code[1] in run("patterns", node, "auth").stdout.splitlines()
    assert "has 401 and no-such-node" in run("patterns", "401", "no-such-node").stdout


def test_a_cycle_shows_a_few_playbooks_and_where_the_rest_is(at_home):
    def listed(text: str) -> int:
        return len(re.findall(r"  (?:prompt|adapter|config|workflow)  ", text))

    short = run("cycle", "--date", str(LAST_DAY)).stdout
    assert listed(short) == TOP
    assert "fl-assets playbooks" in short
    assert "held because" not in short
    whole = run("cycle", "--if-new", "--date", str(LAST_DAY), "-v").stdout
    assert listed(whole) == len(at_home.workspace.playbooks.of(LAST_DAY))
    assert "held because" in whole


def test_a_cycle_that_was_run_is_not_run_again_when_nothing_is_new(at_home):
    count = "select count(*) as cycles from learning_cycles"
    run("cycle", "--date", str(LAST_DAY))
    before = at_home.workspace.warehouse.rows(count)
    assert f"Learning cycle of {LAST_DAY}: completed" in run("cycle", "--if-new").stdout
    assert at_home.workspace.warehouse.rows(count) == before


def test_reading_needs_no_right_to_write(at_home, monkeypatch):
    run("patterns")
    before = texts_below(at_home.config.data_path)
    monkeypatch.setattr(os, "access", lambda *_args, **_given: False)
    for words in (["patterns"], ["patterns", "401"], ["playbooks"], ["decisions"], ["updates"]):
        assert run(*words).exit_code == 0
    pattern = at_home.workspace.warehouse.read_day("failure_patterns", LAST_DAY)[0]["pattern_id"]
    assert run("explain", pattern).exit_code == 0
    assert texts_below(at_home.config.data_path) == before


def test_a_report_that_cannot_be_written_again_is_told_from_the_page_that_is_there(at_home, monkeypatch):
    def refuse(*_given):
        raise OSError(errno.EROFS, "Read-only file system", "/data/reports")

    page = str(at_home.config.reports_path / f"{LAST_DAY}.html")
    assert page in run("report").stdout
    monkeypatch.setattr("fl_assets.report.page.write_report", refuse)
    assert page in run("report").stdout
    at_home.config.reports_path.rename(at_home.config.data_path / "away")
    with pytest.raises(OSError, match="Read-only"):
        run("report")


def test_a_file_that_cannot_be_used_is_named_without_the_number_of_the_error(monkeypatch, capsys):
    def refuse():
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/data/.lock")

    monkeypatch.setattr("fl_assets.cli.application.app", refuse)
    with pytest.raises(SystemExit):
        main()
    assert "error: /srv/data/.lock: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("disk I/O error", "; see that its disk has space, and run it again"),
        ("database or disk is full", "; see that its disk has space, and run it again"),
        ("database is locked", "; run it again"),
    ],
)
def test_what_dagsters_own_database_says_is_one_line_and_of_a_full_disk_what_to_do(
    monkeypatch, capsys, said, hint
):
    def full():
        raise OperationalError("PRAGMA table_xinfo", (), sqlite3.OperationalError(said))

    monkeypatch.setattr("fl_assets.cli.application.app", full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith(f"error: Dagster's database: {said}{hint}")
    assert "PRAGMA" not in told


def test_a_terminal_of_another_encoding_gets_what_it_can_show(at_home):
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "patterns"],
        capture_output=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
    )
    assert b"failures" in shown.stdout
    assert shown.stdout.isascii()


def test_what_is_neither_a_decision_nor_an_adapter_is_called_so(at_home):
    with pytest.raises(CommandError, match=r"No decision 'typo' .*; as adapter: typo is not"):
        run("rollback", "typo", "--reason", "why")


def test_an_ambiguous_beginning_lists_what_it_matches():
    ids = ["p-1a", "p-1b", "p-2"]
    assert one_of("p-2", ids, "patterns", "fl-assets patterns") == "p-2"
    with pytest.raises(CommandError, match="'p-1' matches 2 patterns: p-1a, p-1b"):
        one_of("p-1", ids, "patterns", "fl-assets patterns")
    with pytest.raises(CommandError, match="'x' matches none of the patterns; `fl-assets patterns` lists"):
        one_of("x", ids, "patterns", "fl-assets patterns")


def test_a_playbook_is_exported_by_the_id_that_the_list_shows(at_home):
    rows = run("playbooks").stdout.splitlines()
    first = next(row for row in rows if re.match(r"[0-9a-f]{16}  ", row))
    assert run("export", first[:10]).stdout.startswith("# ")


def test_approving_what_is_held_back_is_refused_in_one_sentence(at_home):
    held = next(
        row["decision_id"]
        for row in at_home.workspace.warehouse.read_day("update_decisions", LAST_DAY)
        if row["route"] == "gate"
    )
    with pytest.raises(ValueError, match=r"held back.*: there is nothing to approve") as caught:
        run("approve", held, "--reason", "why")
    assert len(str(caught.value)) < 140


def test_who_approves_a_prompt_is_told_to_change_it():
    assert "then change the prompt there: `fl-assets updates` names them" in what_follows("prompt")
    assert "change the" not in what_follows("config")


@pytest.mark.parametrize(("mode", "is_told"), [("live", True), ("backtest", False)])
def test_a_list_of_decisions_ends_with_how_to_answer_one(mode, is_told, capsys):
    report = build_report(rows(decisions=[decision_row(route="export", mode=mode)]))
    show_decisions(report, {}, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("To answer one: fl-assets approve ID --reason WHY") == is_told


def test_explaining_a_pattern_says_each_thing_once(at_home):
    first = run("patterns").stdout.splitlines()[1].split()[0]
    told = run("explain", first).stdout
    assert "Evidence:" not in told, "the rates and nodes stand above"
    assert told.count("  cost  ") == told.count("It costs ") == 1


def test_an_ambiguous_decision_lists_what_it_matches(at_home):
    from fl_assets.updates.answers import code_for

    rows = at_home.workspace.warehouse.read_day("update_decisions", LAST_DAY)
    with pytest.raises(
        ValueError, match=f"matches [0-9]+ decisions: .*{min(row['decision_id'] for row in rows)}"
    ):
        code_for(at_home.workspace.updates, "")


def test_days_may_be_named():
    today = now_utc().date()
    assert parse_day("today") == today
    assert parse_day("Yesterday") == today - timedelta(days=1)
    shown = CliRunner().invoke(cli.app, ["patterns", "--date", "2026-13-01"])
    assert shown.exit_code == 2
    assert (
        "'2026-13-01' is not a valid date; write it as YYYY-MM-DD, or today or yesterday (UTC)"
        in " ".join(shown.stderr.replace("│", " ").split())
    )


def test_an_interrupted_command_says_that_it_may_be_run_again(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fl_assets.coordinator.prepare_home", interrupted)
    monkeypatch.setattr(sys, "argv", ["fl-assets", "home"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; run it again, nothing is stored twice\n"


def test_a_data_folder_that_is_only_read_is_named_with_its_setting(monkeypatch, capsys, tmp_path):
    def refused(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place / "x"))

    monkeypatch.setattr("fl_assets.coordinator.prepare_home", refused)
    monkeypatch.setattr(sys, "argv", ["fl-assets", "home"])
    monkeypatch.setenv("FEDERATED_LEARNING_DATA_PATH", str(tmp_path / "data"))
    said = {}
    for place in (tmp_path / "data", tmp_path / "elsewhere"):
        with pytest.raises(SystemExit):
            main()
        said[place.name] = " ".join(capsys.readouterr().err.split())
    assert "must be writable, or set FEDERATED_LEARNING_DATA_PATH" in said["data"]
    assert "FEDERATED_LEARNING_DATA_PATH" not in said["elsewhere"]


@pytest.mark.parametrize("name", [one for names in SECTIONS.values() for one in names])
def test_the_help_of_a_command_breaks_no_option_at_a_terminal_and_counts_no_default(name):
    shown = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "80"}).stdout
    assert "Usage: " in shown
    assert [line for line in shown.splitlines() if line.endswith("-")] == []
    assert "[default: 0]" not in shown


def test_the_version_is_shown():
    assert run("--version").stdout.startswith("fl-assets ")


def test_a_taken_port_is_said_before_anything_starts():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is in use.*make dev PORT={port + 1}"):
            check_port("127.0.0.1", port)
        done = subprocess.run(
            [sys.executable, "-m", "fl_assets.cli", "dev", "--port", str(port)],
            capture_output=True,
            text=True,
        )
        assert re.fullmatch(rf"error: port {port} is in use by .*\n", done.stderr), "nothing of it is masked"
    check_port("127.0.0.1", port)


def test_a_home_that_is_served_is_not_served_twice(tmp_path):
    with locked(tmp_path / ".serving"), pytest.raises(ServeError, match="is served by another `make dev`"):
        serve(tmp_path, host="127.0.0.1", port=1)


def test_a_relative_home_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "somewhere")
    with pytest.raises(SettingsError, match="DAGSTER_HOME='somewhere': must be an absolute path"):
        coordinator.dagster_home(coordinator.FederatedLearningConfig.from_env())


def test_a_home_of_ones_own_sends_nothing_and_keeps_its_settings(tmp_path, monkeypatch):
    config = coordinator.FederatedLearningConfig.from_env()
    home = tmp_path / "new" / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert coordinator.dagster_home(config) == home
    with dg.DagsterInstance.from_config(str(home)) as made:
        assert not made.telemetry_enabled
    (home / "dagster.yaml").write_text("nux: {enabled: false}\n")
    coordinator.dagster_home(config)
    assert Path(home / "dagster.yaml").read_text() == "nux: {enabled: false}\n"


def test_a_run_of_the_terminal_is_filed_where_the_ui_looks(at_home, instance):
    at_home.run_learning_cycle(LAST_DAY)
    (run_,) = instance.get_runs(
        dg.RunsFilter(job_name="learning_cycle", tags={".dagster/repository": "__repository__@fl_assets"}),
        limit=1,
    )
    assert run_.is_finished
    assert run_.remote_job_origin.repository_origin.get_label() == "__repository__@fl_assets"
    assert run_.remote_job_origin.job_name == "learning_cycle"


def test_every_command_is_in_one_section_and_its_sentence_is_whole():
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(get_command(cli.app).commands)
    shown = run("--help").stdout
    assert "...\n" not in shown.partition("Options:")[2]


def test_json_is_the_same_value_and_moves_no_terminal(capsys):
    odd = {"name": "a\u202eb\u200b\u001b[31m\U000e0041 é 東京", "rows": ["\u2066x\nline"]}
    show_json(odd)
    said = capsys.readouterr().out
    assert json.loads(said) == odd
    assert said.replace("\n", "").isprintable()
    assert "é 東京" in said


def test_no_line_moves_a_terminal(capsys):
    say("a\x1b]8;;http://evil\x07b\x7f\u202e\n東京")
    with pytest.raises(SystemExit):
        fail("a\x9b31mb")
    said = capsys.readouterr()
    assert said.out == "a\\u001b]8;;http://evil\\u0007b\\u007f\\u202e\n東京\n"
    assert "a\\u009b31mb" in said.err


def test_no_progress_moves_a_terminal(monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr("fl_assets.cli.console._err", terminal)
    with status("Reading") as show:
        show("a\x1b]8;;http://evil\x07b\u202e.jsonl")
        time.sleep(0.3)
    assert "]8;;http://evil" in terminal.file.getvalue()
    assert "\x1b]8" not in terminal.file.getvalue()
    assert "\u202e" not in terminal.file.getvalue()


def test_a_limit_of_address_space_is_an_error_and_no_crash(monkeypatch):
    """Under `ulimit -v` of 2 GB a library ends the process, with no word of ours."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (2 * 10**9, -1))
    with pytest.raises(CommandError, match=r"limited to 1907 MiB \(ulimit -v\)"):
        check_address_space()
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    check_address_space()


def test_without_a_terminal_each_day_of_the_demo_is_a_line_as_it_begins(capsys):
    with status("simulating a fleet", as_lines=True) as say:
        say("7%: learning from 2026-11-18")
        assert capsys.readouterr().err == "simulating a fleet: 7%: learning from 2026-11-18\n"
