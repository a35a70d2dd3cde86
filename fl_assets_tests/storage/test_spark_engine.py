"""The Spark engine does what the default one does; it says what is missing."""

import json
import re
import sys
from datetime import date

import dagster as dg
import pytest

from benchmarks.engines import differences, engines, outcome, texts, write_cases
from fl_assets.resources import run_in_pipes
from fl_assets.storage import spark_engine
from fl_assets.storage.duckdb_engine import DuckDBEngine
from fl_assets.storage.simulator import simulate
from fl_assets.storage.spark_engine import SparkEngine, SparkJobError, SparkUnavailableError, check_available, run_plainly
from fl_assets.storage.workspace import Workspace
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in

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
def test_within_a_dagster_run_the_job_goes_through_pipes_and_gives_what_the_default_engine_gives(tmp_path, lean, instance):
    cache = tmp_path / "cache"
    cache.mkdir()
    simulate(cache, days=2, nodes=4, events_per_day=1000, seed=5, end=date(2026, 11, 14))
    write_cases(cache, corpus_step=20)
    ours, theirs = engines(tmp_path, cache, "local[2]")
    expected_report = ours.ingest()
    launched = []

    def launch(command, tell):
        launched.append(json.loads(command[-1])["verb"])
        return run_in_pipes(command, tell)

    theirs._launch = launch
    reports = []

    @dg.asset
    def ingested(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        reports.append(theirs.ingest(context.log.info))
        return dg.MaterializeResult()

    result = dg.materialize([ingested], instance=instance)
    assert result.success
    (report,) = reports
    assert report.events == expected_report.events > 2000
    assert (report.quarantined, report.duplicates, report.conflicts) == (expected_report.quarantined, expected_report.duplicates, expected_report.conflicts)
    assert report.redactions == expected_report.redactions
    expected, found = outcome(ours), outcome(theirs)
    assert differences(expected, found) == []
    compared, only = texts(ours, theirs)
    assert only == []
    assert compared > 4000
    assert len({reason for key, rows in expected.items() if key.startswith("refused") for _, _, reason in rows}) > 12
    assert launched == ["ingest"], "what the job changed it also summed: one JVM"
    logged = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("new events" in message for message in logged), "progress came through Pipes"
    assert not list((theirs.settings.data_path / "tmp").rglob("*.parquet")), "nothing staged is left"


def test_one_setting_chooses_the_engine(tmp_path):
    assert type(Workspace(settings_in(tmp_path)).engine) is DuckDBEngine
    assert type(Workspace(settings_in(tmp_path, engine="spark")).engine) is SparkEngine


def test_what_is_missing_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: None)
    with pytest.raises(
        SparkUnavailableError, match=r"FEDERATED_LEARNING_ENGINE=spark, but pyspark is not installed.*pip install 'fl-assets\[spark\]'.*ENGINE=duckdb"
    ):
        check_available()
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: True)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(SparkUnavailableError, match=r"no Java by JAVA_HOME=/nowhere \(it needs Java 17 or later\)"):
        check_available()


def test_a_java_that_is_too_old_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(spark_engine, "find_spec", lambda _: True)
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkUnavailableError, match="is '11', and PySpark 4 needs 17"):
        check_available()


def spark_in(folder, monkeypatch, launch) -> SparkEngine:
    monkeypatch.setattr(spark_engine, "check_available", lambda: None)
    engine = SparkEngine(settings_in(folder, engine="spark"), launch=launch)
    engine.settings.telemetry_path.mkdir(parents=True)
    (engine.settings.telemetry_path / "a.jsonl").write_bytes(call_line("e1") + b"\n")
    return engine


def test_a_job_that_fails_stores_nothing_and_its_file_is_read_again(tmp_path, monkeypatch):
    engine = spark_in(tmp_path, monkeypatch, lambda *_: {"error": "OutOfMemoryError: heap"})
    with pytest.raises(SparkJobError, match="heap"):
        engine.ingest()
    assert engine.lake.days("raw_traces") == []
    assert DuckDBEngine(engine.settings).ingest().events == 1


def test_without_a_new_file_no_job_is_started(tmp_path, monkeypatch):
    engine = spark_in(tmp_path, monkeypatch, lambda *_: pytest.fail("started"))
    DuckDBEngine(engine.settings).ingest()
    assert engine.ingest().events == 0


def test_a_job_that_dies_tells_its_last_words_redacted():
    script = "print('cannot reach jane.doe@example.com'); raise SystemExit(3)"
    with pytest.raises(SparkJobError, match=re.compile(r"status 3.*cannot reach <EMAIL>", re.DOTALL)):
        run_plainly([sys.executable, "-c", script], lambda _: None)


def test_what_a_process_says_is_passed_on():
    said = []
    script = """import json; print('{"fl_assets": {"told": "half"}}'); print('noise'); print('{"fl_assets": {"days": []}}')"""
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
    DuckDBEngine(engine.settings).ingest()
    space = Workspace(engine.settings)
    space.engine = engine
    space.recount(date(2026, 11, 14))
    assert [order["verb"] for order in orders] == ["sum"]
    assert set(days) <= set(orders[0]["days"])
    space.recount(date(2026, 11, 14))
    assert len(orders) == 1, "what this process counted is not asked for again"
