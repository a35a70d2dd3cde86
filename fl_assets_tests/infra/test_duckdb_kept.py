"""An instance of DuckDB that is used again is as closed, as empty and as sound as a new one."""

import subprocess
import sys
import threading

import duckdb
import pytest

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra import duckdb_kept
from fl_assets.infra.duckdb_file import connect
from fl_assets.sums.engine import sums_of


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Grows with each instance that is started."""
    found, real = [], duckdb.connect
    monkeypatch.setattr(duckdb_kept, "_idle", {})
    monkeypatch.setattr(duckdb, "connect", lambda *given: found.append("one") or real(*given))
    return found


@pytest.fixture
def engine(tmp_path) -> DuckDBEngine:
    return DuckDBEngine(FederatedLearningConfig(data_path=tmp_path / "data"))


def uses(tmp_path, engine):
    (tmp_path / "lake").mkdir(exist_ok=True)
    return {
        "file": lambda: connect(tmp_path / "w.duckdb", allowed=[tmp_path / "lake"]),
        "lake": engine.connect,
    }


KINDS = pytest.mark.parametrize("kind", ["file", "lake"])


@KINDS
def test_one_instance_serves_many_uses_and_none_after_an_error(tmp_path, engine, started, kind):
    use = uses(tmp_path, engine)[kind]
    for _ in range(3):
        with use() as connection:
            connection.execute("create or replace temp table mine as select 1")
    assert len(started) == 1
    with pytest.raises(RuntimeError, match="boom"), use():
        raise RuntimeError("boom")
    with use() as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]
    assert len(started) == 2


@KINDS
def test_what_an_instance_remembers_of_blocks_it_let_go_of_is_bounded(tmp_path, engine, started, kind):
    use, remembered = uses(tmp_path, engine)[kind], []
    for _ in range(2 * duckdb_kept._MOST_USES):
        with use() as connection:
            connection.execute("create or replace table t as select range as a from range(9)")
            connection.execute("select a from t join t as u using (a) order by a").fetchall()
            found = connection.execute("select sum(dead_nodes) from duckdb_eviction_queues()").fetchall()
            remembered.append(found[0][0])
    half = len(remembered) // 2
    assert 100 < max(remembered[:half]) == pytest.approx(max(remembered[half:]), rel=0.1)
    assert len(started) == 2


@KINDS
@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('/etc/passwd')",
        "attach '{folder}/other.duckdb'",
        "copy (select 1) to '{folder}/out.csv'",
        "load httpfs",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "set global memory_limit = '1TB'",
        "set lock_configuration = false",
    ],
)
def test_the_second_use_reaches_no_more_than_the_first(tmp_path, engine, started, kind, statement):
    use = uses(tmp_path, engine)[kind]
    with use():
        pass
    with use() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(folder=tmp_path)).fetchall()
    assert len(started) == 1


def test_a_kept_instance_has_the_settings_of_a_connection_to_the_file(tmp_path, started):
    lake = str((tmp_path / "lake").resolve())
    with connect(tmp_path / "w.duckdb", allowed=[tmp_path / "lake"]):
        pass
    with connect(tmp_path / "w.duckdb", allowed=[tmp_path / "lake"]) as connection:
        ours = dict(connection.execute("select name, value from duckdb_settings()").fetchall())
        place = connection.execute("select current_catalog(), current_schema()").fetchall()
    with duckdb.connect(str(tmp_path / "w.duckdb")) as plain:
        plain.execute(f"set allowed_directories = ['{lake}']")
        for one in ("enable_external_access = false", "autoinstall_known_extensions = false"):
            plain.execute(f"set {one}")
        plain.execute("set lock_configuration = true")
        theirs = dict(plain.execute("select name, value from duckdb_settings()").fetchall())
        assert place == plain.execute("select current_catalog(), current_schema()").fetchall()
    different = {name for name in theirs if ours[name] != theirs[name]}
    different.discard("enable_progress_bar")  # which depends on whether a terminal or a notebook is there
    assert different <= {"search_path", "enable_external_file_cache"}


def test_between_two_uses_another_process_gets_the_file(tmp_path, started):
    path = tmp_path / "w.duckdb"
    for number in range(2):
        with connect(path) as connection:
            connection.execute(f"create table of_{number} as select 1 as n")
        script = (
            f"import duckdb; duckdb.connect({str(path)!r}).execute('create table other_{number} (n int)')"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
    with connect(path) as connection:
        found = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    assert found == {"of_0", "of_1", "other_0", "other_1"}
    assert len(started) == 1
    assert not path.with_name("w.duckdb.wal").exists()


@pytest.mark.parametrize("name", ["memory.duckdb", "main.duckdb", "a 'b' \"c\".duckdb", "ü.db"])
def test_a_file_may_have_any_name(tmp_path, name, started):
    for _ in range(2):
        with connect(tmp_path / name) as connection:
            connection.execute("create table if not exists t as select 1 as n")
            assert connection.execute("select * from t").fetchall() == [(1,)]
    with duckdb.connect(str(tmp_path / name)) as connection:
        assert connection.execute("select * from t").fetchall() == [(1,)]


def test_a_thread_waits_for_the_file_that_another_has_open(tmp_path):
    path, begun, seen = tmp_path / "w.duckdb", threading.Event(), []

    def read() -> None:
        begun.set()
        with connect(path) as connection:
            seen.extend(connection.execute("select * from t").fetchall())

    with connect(path) as connection:
        other = threading.Thread(target=read)
        other.start()
        assert begun.wait(10)
        connection.execute("create table t as select 1 as n")
    other.join(10)
    assert seen == [(1,)]


def test_threads_that_read_the_lake_do_not_see_each_other(engine):
    with engine.connect() as one, engine.connect() as other:
        one.execute("create table t as select 1 as n")
        with pytest.raises(duckdb.CatalogException):
            other.execute("select * from t")


def test_nothing_of_one_use_is_there_in_the_next(tmp_path, engine, started):
    rows = RAW_TRACES.arrow_schema.empty_table()
    for _ in range(3):
        with engine.connect() as connection:
            connection.register("given", rows)
            connection.execute("create view raw_traces as select * from given")
            connection.execute("create table kept as select 1 as n")
            connection.execute("create macro more(n) as n + 1")
            sums_of(connection)
    assert len(started) == 1
    for found in ("from given", "from raw_traces", "from kept", "select more(1)", "select blank_digits('1')"):
        with engine.connect() as connection, pytest.raises(duckdb.CatalogException):
            connection.execute(found)


def test_spill_files_are_gone_after_a_use_and_the_next_may_spill(tmp_path):
    engine = DuckDBEngine(FederatedLearningConfig(data_path=tmp_path / "data", memory_mb=1000))
    for _ in range(2):
        with engine.connect() as connection:
            connection.execute(
                "create table many as select md5(range::varchar) as a, md5((-range)::varchar) as b "
                "from range(3_000_000)"
            )
            assert any(one.stat().st_size for one in tmp_path.rglob("duckdb_temp*"))
            assert connection.execute("select count(distinct a) > 0 from many").fetchall() == [(True,)]
        assert list(tmp_path.rglob("duckdb_temp*")) == []


@pytest.mark.parametrize("connect_to", [DuckDBEngine.connect, DuckDBEngine.connect_alone])
def test_times_are_utc_whatever_the_zone_of_the_machine(engine, connect_to):
    with connect_to(engine) as connection:
        for one in (connection, connection.cursor()):
            assert one.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]
