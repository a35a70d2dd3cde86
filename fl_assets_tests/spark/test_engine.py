"""The Spark engine does what the default one does; it says what is missing."""

import json
import re
import sys
from dataclasses import astuple
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engines import END, differences, engines, outcome, texts, write_cases
from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.defs import resources
from fl_assets.defs.resources import run_in_pipes
from fl_assets.events.find import Source
from fl_assets.events.read import Reading, line_batches
from fl_assets.simulator.write import simulate
from fl_assets.spark import engine as spark_engine
from fl_assets.spark.division import divided, joined, line_ends
from fl_assets.spark.engine import (
    SparkEngine,
    SparkJobError,
    SparkUnavailableError,
    check_available,
    run_plainly,
)
from fl_assets.sums.engine import SummingEngine
from fl_assets.workspace import Workspace
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in, texts_below

try:
    check_available()
    MISSING = ""
except SparkUnavailableError as error:
    MISSING = str(error)
needs_spark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def lean(monkeypatch, tmp_path):
    """A JVM that starts quickly, by what a user would write: spark-defaults.conf."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("spark.driver.extraJavaOptions -XX:+UseSerialGC\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))


@needs_spark
@pytest.mark.faults
def test_a_whole_cycle_with_one_setting_changed_gives_the_same_lake_patterns_playbooks_and_decisions(
    tmp_path, lean, instance, monkeypatch
):
    cache = tmp_path / "cache"
    cache.mkdir()
    simulate(cache, days=5, nodes=6, events_per_day=1000, seed=5, end=END)
    write_cases(cache, corpus_step=20)
    launched = []

    def launch(command, tell):
        launched.append(json.loads(command[-1])["verb"])
        return run_in_pipes(command, tell)

    monkeypatch.setattr(resources, "run_in_pipes", launch)
    ours, theirs = (
        FederatedLearningCoordinator(engine.settings, instance=instance)
        for engine in engines(tmp_path, cache, "local[2]")
    )
    expected, found = ours.run_learning_cycle(END), theirs.run_learning_cycle(END)
    assert launched == ["ingest"], "one JVM a cycle, through Pipes: what ingestion changed the same job sums"
    for name in (
        "failure_patterns",
        "pattern_members",
        "playbooks",
        "update_decisions",
        "failure_signatures",
        "call_totals",
        "conversation_signals",
    ):
        rows = [coordinator.workspace.warehouse.read_day(name, END) for coordinator in (ours, theirs)]
        assert rows[0], name
        assert rows[0] == rows[1], name
    assert texts_below(ours.config.playbook_path) == texts_below(theirs.config.playbook_path)
    assert (found.status, found.events_processed, found.improvements_generated) == (
        expected.status,
        expected.events_processed,
        expected.improvements_generated,
    )
    stored = [coordinator.workspace.engine for coordinator in (ours, theirs)]
    compared, only = texts(*stored)
    assert only == []
    assert compared > 4000
    expected, found = (outcome(SummingEngine(engine.settings)) for engine in stored)
    assert differences(expected, found) == []
    assert (
        len({reason for key, rows in expected.items() if key.startswith("refused") for *_, reason in rows})
        > 12
    )
    (run,) = instance.get_run_records(dg.RunsFilter(tags={}), limit=1)
    logged = [entry.user_message for entry in instance.all_logs(run.dagster_run.run_id)]
    assert any("new events" in message for message in logged), "progress came through Pipes"
    assert not list((theirs.config.data_path / "tmp").rglob("*.parquet")), "nothing staged is left"


LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" ")), max_size=30)


@given(LINES, st.booleans(), st.integers(1, 40), st.integers(0, 3))
def test_a_file_divided_at_any_size_is_read_as_a_whole_one_is(lines, is_ended, share, done):
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_bytes(b"\n".join(lines) + (b"\n" if is_ended else b""))
        offset = len(b"".join(line + b"\n" for line in lines[:done]))
        status = path.stat()
        if offset >= status.st_size:
            return
        source = Source(
            "events",
            path.parent,
            path.name,
            status.st_size,
            status.st_mtime_ns,
            status.st_ino,
            "",
            0,
            offset=offset,
            lines=min(done, len(lines)),
        )

        def read(source):
            reading = Reading(source)
            batches = line_batches(reading, 0, max_line_bytes=8, now=source.last_written)
            return reading, [
                (number, line)
                for batch in batches
                for number, line in zip(*batch.select(["line_no", "line"]).to_pydict().values(), strict=True)
            ]

        counts = [
            line_ends(source, begin, min(begin + share, source.size))
            for begin in range(source.offset, source.size, share)
        ]
        parts = [read(part) for part in divided(source, counts)]
        whole, expected = read(source)
        assert [line for _, lines in parts for line in lines] == expected
        found = joined([reading for reading, _ in parts], source)
        assert (found.end_offset, found.end_lines) == (whole.end_offset, whole.end_lines)
        # A task writes what it refused among its own results, so a joined reading holds none.
        refused = [problem for reading, _ in parts for problem in reading.problems]
        assert sorted(refused, key=astuple) == sorted(whole.problems, key=astuple)


def test_one_setting_chooses_the_engine(tmp_path):
    assert type(Workspace(settings_in(tmp_path)).engine) is SummingEngine
    assert type(Workspace(settings_in(tmp_path, engine="spark")).engine) is SparkEngine


def test_what_is_missing_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: None)
    with pytest.raises(
        SparkUnavailableError,
        match=r"FEDERATED_LEARNING_ENGINE=spark, but pyspark is not installed.*pip install "
        r"'fl-assets\[spark\]'.*ENGINE=duckdb",
    ):
        check_available()
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: True)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(
        SparkUnavailableError, match=r"no Java by JAVA_HOME=/nowhere \(it needs Java 17 or later\)"
    ):
        check_available()


def test_a_java_that_is_too_old_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: True)
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkUnavailableError, match="is 11, and PySpark 4 needs 17"):
        check_available()


def spark_in(folder, monkeypatch, launch) -> SparkEngine:
    monkeypatch.setattr(spark_engine, "check_available", lambda: None)
    engine = SparkEngine(settings_in(folder, engine="spark"), launch=launch)
    engine.settings.telemetry_path.mkdir(parents=True)
    (engine.settings.telemetry_path / "a.jsonl").write_bytes(call_line("e1") + b"\n")
    return engine


def test_a_job_that_fails_stores_nothing_and_its_file_is_read_again(tmp_path, monkeypatch):
    engine = spark_in(tmp_path, monkeypatch, lambda *_: {"error": "OutOfMemoryError: heap"})
    with pytest.raises(SparkJobError, match=r"SPARK_MASTER=local\[\*\].*is read again.*heap"):
        engine.ingest()
    assert engine.lake.days("raw_traces") == []
    assert SummingEngine(engine.settings).ingest().events == 1


def test_without_a_new_file_no_job_is_started(tmp_path, monkeypatch):
    engine = spark_in(tmp_path, monkeypatch, lambda *_: pytest.fail("started"))
    SummingEngine(engine.settings).ingest()
    assert engine.ingest().events == 0


def test_a_job_that_dies_tells_its_last_words_redacted():
    script = "print('cannot reach jane.doe@example.com'); raise SystemExit(3)"
    with pytest.raises(SparkJobError, match=re.compile(r"status 3.*cannot reach <EMAIL>", re.DOTALL)):
        run_plainly([sys.executable, "-c", script], lambda _: None)


def test_a_job_that_fails_tells_why_and_what_it_said_last():
    script = """print('no space for a heap'); print('{"fl_assets": {"error": "the JVM did not start"}}')"""
    assert run_plainly([sys.executable, "-c", script], lambda _: None) == {
        "error": "the JVM did not start; it said last:\nno space for a heap"
    }


def test_what_a_process_says_is_passed_on():
    said = []
    script = """import json; print('{"fl_assets": {"progress": "half"}}'); print('noise'); print('{"fl_assets": {"days": []}}')"""  # noqa: E501
    assert run_plainly([sys.executable, "-c", script], said.append) == {"days": []}
    assert said == ["half"]


def test_a_recount_sums_the_days_of_its_window_in_one_job(tmp_path, monkeypatch):
    orders = []

    def launch(command, _):
        orders.append(json.loads(command[-1]))
        return {}

    engine = spark_in(tmp_path, monkeypatch, launch)
    days = ["2026-11-12", "2026-11-13", "2026-11-14"]
    lines = [call_line(f"day-{day}", timestamp=f"{day}T10:00:00Z") for day in days]
    (engine.settings.telemetry_path / "b.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    SummingEngine(engine.settings).ingest()
    space = Workspace(engine.settings)
    space.engine = engine
    space.sums.refresh_signatures(space.days.with_events(date(2026, 11, 14)))
    assert [order["verb"] for order in orders] == ["sum"]
    assert set(days) <= set(orders[0]["days"])
    space.sums.refresh_signatures(space.days.with_events(date(2026, 11, 14)))
    assert len(orders) == 1, "what is stored is not asked for again"
