"""The workspace answers what needs more than one store: windows, suspects, what is out of date."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import orjson
import pandas as pd
import pytest

from fl_assets.coordinator import open_home
from fl_assets.core.cycles import window_of
from fl_assets.core.settings import SettingsError
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.workspace import Workspace
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in

DAY = date(2026, 11, 1)


def record(record_id: str, request_id: str, **given) -> dict:
    """One error record of the self-improvement engine."""
    return {
        "id": record_id,
        "request_id": request_id,
        "failure_type": "tool",
        "error_category": "timeout",
        "error_stage": "execution",
        "target_service": "search",
        "error_type": "Timeout",
        "error_message": "search timed out",
        "contributing_tools": ["search_tool"],
        "suspected_prompts_or_configs": ["prompts/search.md"],
        "proposed_corrections": [],
        "original_query_snapshot": "q",
        "plan_summary": "p",
        "tool_error_summaries": [],
        "created_at": f"{DAY}T11:00:00Z",
        "updated_at": f"{DAY}T11:00:00Z",
    } | given


@pytest.fixture
def space(tmp_path) -> Workspace:
    """Two failures of one kind, one of another, and records that explain some of them."""
    settings = settings_in(tmp_path)
    settings.telemetry_path.mkdir(parents=True)
    settings.error_records_path.mkdir(parents=True)
    calls = [
        call_line("e1", success=False, error="search timed out after 5 s", request_id="r1"),
        call_line("e2", success=False, error="search timed out after 9 s", request_id="r2"),
        call_line("e3", success=False, error="index missing", request_id="r3"),
        call_line("e4", request_id="r4"),
    ]
    (settings.telemetry_path / "events_1.jsonl").write_bytes(b"\n".join(calls) + b"\n")
    records = [
        record("x1", "r1"),
        record("x2", "r2", suspected_prompts_or_configs=["config.toml"]),
        record("x3", "r4"),
        record("x4", "unknown"),
    ]
    (settings.error_records_path / "records.jsonl").write_bytes(
        b"".join(orjson.dumps(one) + b"\n" for one in records)
    )
    made = Workspace(settings)
    made.engine.ingest()
    return made


def test_error_records_name_what_they_suspect_of_the_message_of_their_request(space):
    signatures, _ = space.engine.signatures(DAY)
    message_of = {row["masked_error"]: row["message_id"] for row in signatures.to_pylist()}
    (timeout,) = [message_id for masked, message_id in message_of.items() if "timed out" in masked]
    assert space.patterns.suspects([DAY]) == {timeout: ["search_tool", "config.toml", "prompts/search.md"]}


def test_without_records_nobody_is_suspected(space):
    assert space.patterns.suspects([date(2026, 11, 2)]) == {}


def test_sums_are_made_again_only_where_the_events_changed(space):
    assert space.sums.refresh_signatures(space.days.with_events(DAY)) == [DAY]
    assert space.sums.refresh_signatures(space.days.with_events(DAY)) == []
    (space.settings.telemetry_path / "events_2.jsonl").write_bytes(
        call_line("e5", success=False, error="index missing", request_id="r5") + b"\n"
    )
    space.engine.ingest()
    assert space.sums.refresh_signatures(space.days.with_events(DAY)) == [DAY]
    failures = space.warehouse.rows(
        "select sum(failures)::bigint as n from failure_signatures where event_date = $day", {"day": DAY}
    )
    assert failures == [{"n": 4}]


def test_a_window_counts_calls_and_turns(space):
    assert space.days.events_on(DAY) == 4
    assert space.days.window(DAY).events == 4
    assert not space.days.window(DAY).is_sufficient


@pytest.mark.parametrize("required", [1, 10_000])  # a window of a day, and of a week
def test_what_a_history_leaves_out_of_old_days_changes_no_pattern(tmp_path, required):
    space, random = Workspace(settings_in(tmp_path)), np.random.default_rng(1)
    for back in range(12, -1, -1):
        day = DAY - timedelta(days=back)
        noon = pd.Timestamp(day) + pd.Timedelta(hours=12)
        place = {"service": "search", "method": "query"}
        seen = [
            (node, text)
            for node in ("n1", "n2", "n3")
            for text in ("index missing", "disk full", *["no route"] * (back > 1))
            if random.random() < 0.4
        ]
        failures = [
            {
                "node_id": node,
                **place,
                "message_id": text,
                "masked_error": text,
                "has_text": True,
                "failures": 2,
                "sessions": 2,
                "first_seen": noon,
            }
            | {
                "last_seen": noon,
                "exemplar_trace_ids": [f"{node}-{text}-{day}"],
                "incidents": None,
                "latency_histogram": [(int(random.integers(90)), 2)],
            }
            for node, text in seen
        ]
        totals = [
            {
                "node_id": node,
                **place,
                "calls": 90,
                "failures": 6,
                "sessions": 50,
                "latency_histogram": [(20 + back, 84)],
            }
            for node in ("n1", "n2", "n3")
        ]
        space.warehouse.replace_records("failure_signatures", day, failures)
        space.warehouse.replace_records("call_totals", day, totals)
    history = space.patterns.history(DAY)
    whole = replace(
        history,
        **{
            name: space.warehouse.read(f"select * from {table}")
            for name, table in (("signatures", "failure_signatures"), ("totals", "call_totals"))
        },
    )
    assert len(history.signatures) == len(whole.signatures)
    assert history.signatures["latency_histogram"].isna().any()
    assert history.signatures["exemplar_trace_ids"].isna().any()
    given = {
        "rules": load_failure_classes(),
        "corrections": load_corrections(space.settings.corrections_path),
        "false_discovery_rate": 0.1,
    }
    window = window_of(DAY, lambda _: 100, required=required, max_days=space.settings.max_window_days)
    lean, full = (analyse(one, window, **given).patterns for one in (history, whole))
    assert len(lean) == 3
    assert (lean["failures"] == 0).any() == (required == 1)
    pd.testing.assert_frame_equal(lean, full)


def test_a_file_of_events_of_many_days_takes_no_transaction_a_day(tmp_path, monkeypatch):
    # 1 400 lines of 1 400 days kept a cycle from ending: each day's verdicts were a commit, two a day.
    settings = settings_in(tmp_path, min_events=1)
    settings.telemetry_path.mkdir(parents=True)
    days = [DAY - timedelta(days=back) for back in range(60)]
    lines = [call_line(f"e{day}", timestamp=f"{day}T01:00:00Z", success=False, error="x") for day in days]
    (settings.telemetry_path / "flood.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space = Workspace(settings)
    space.engine.ingest()
    commits: list[str] = []
    replace_days = space.warehouse.replace_days

    def counted(name, by_day, **given):
        commits.append(name)
        return replace_days(name, by_day, **given)

    monkeypatch.setattr(space.warehouse, "replace_days", counted)
    assert space.sums.refresh_conversations(space.days.with_events(DAY)) == sorted(days)
    assert commits == ["gate_verdicts"] * 3 + ["conversation_signals"] * 3
    assert space.warehouse.rows("select count(*) as n from gate_verdicts")[0]["n"] == 2 * len(days)
    assert not space.sums.refresh_conversations(space.days.with_events(DAY))


def test_a_path_with_characters_of_patterns_is_a_path(tmp_path, monkeypatch):
    """In no file name of ours, of DuckDB or of Dagster is `[` anything but itself; of `?` it is said."""
    settings = settings_in(tmp_path / "we[i]rd *{x}'% z")
    (settings.telemetry_path / "n[1]").mkdir(parents=True)
    (settings.telemetry_path / "n[1]" / "a?*.jsonl").write_bytes(
        call_line("e1", success=False, error="x") + b"\n"
    )
    space = Workspace(settings)
    report, _ = space.intake.ingest()
    assert (report.events, report.unread) == (1, ())
    space.warehouse.create(settings.lake_folder)
    assert space.warehouse.rows("select event_id, node_id from raw_traces") == [
        {"event_id": "e1", "node_id": "n1"}
    ]
    space.sums.refresh_signatures([DAY])
    assert space.patterns.history(DAY).messages["masked_error"].tolist() == ["x"]
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(SettingsError, match="name a folder without them in DAGSTER_HOME"):
        open_home(settings)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_home(settings) as instance:
        assert instance.telemetry_enabled is False
    with pytest.raises(SettingsError, match=r"FEDERATED_LEARNING_DATA_PATH.*without \?"):
        settings_in(tmp_path / "a?b")
    with pytest.raises(SettingsError, match="two hexadecimal digits"):
        settings_in(tmp_path / "a%41b")
