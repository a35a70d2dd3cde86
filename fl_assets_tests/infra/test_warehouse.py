"""The warehouse replaces whole days, in one transaction, and notices what a torn log lost."""

import multiprocessing
import os
import signal
import time
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fl_assets.core.cycles import Window
from fl_assets.core.tables import LAKE_TABLES, TABLES, WAREHOUSE_TABLES
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.infra.duckdb_file import WarehouseBusyError, WarehouseFileError, connect
from fl_assets.infra.warehouse import Warehouse

DAY, NEXT = date(2026, 11, 1), date(2026, 11, 2)


def members(*ids: str) -> pa.Table:
    return pa.table(
        {"pattern_id": ["p"] * len(ids), "message_id": list(ids)},
        schema=pa.schema([("pattern_id", pa.string()), ("message_id", pa.string())]),
    )


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    made = Warehouse.at(tmp_path / "warehouse.duckdb", lake_path=tmp_path / "lake")
    made.create()
    return made


def stored(warehouse: Warehouse, day: date) -> list[str]:
    return [row["message_id"] for row in warehouse.read_day("pattern_members", day)]


def test_a_rerun_replaces_its_day_and_no_other(warehouse):
    warehouse.replace("pattern_members", DAY, members("a", "b"))
    warehouse.replace("pattern_members", NEXT, members("c"))
    assert warehouse.replace("pattern_members", DAY, members("b", "d")) == 2
    assert stored(warehouse, DAY) == ["b", "d"]
    assert stored(warehouse, NEXT) == ["c"]


def test_an_empty_day_is_a_day(warehouse):
    warehouse.replace("pattern_members", DAY, members("a"))
    assert warehouse.replace("pattern_members", DAY, members()) == 0
    assert stored(warehouse, DAY) == []
    assert warehouse.manifest("pattern_members", DAY)["rows"] == 0


USAGE = (("input_tokens", "BIGINT"), ("output_tokens", "BIGINT"), ("cost_usd", "DOUBLE"))


def test_tokens_and_cost_are_columns_of_the_view_of_calls(tmp_path, warehouse):
    folder = tmp_path / "lake" / "raw_traces" / "event_date=2026-11-01"
    folder.mkdir(parents=True)
    metadata = ['{"input_tokens":"7","output_tokens":"2","cost_usd":"0.5"}', '{"input_tokens":"many"}', "{}"]
    pq.write_table(pa.table({"event_id": ["a", "b", "c"], "metadata": metadata}), folder / "x.parquet")
    warehouse.create(tmp_path / "lake")
    found = warehouse.rows("select input_tokens, output_tokens, cost_usd from raw_traces order by event_id")
    assert [tuple(row.values()) for row in found] == [(7, 2, 0.5), (None, None, None), (None, None, None)]


def test_a_lake_table_without_files_is_an_empty_view_of_its_columns(tmp_path, warehouse):
    for _ in range(2):
        warehouse.create(tmp_path / "lake")
    for table in LAKE_TABLES:
        found = warehouse.rows(
            "select column_name, column_type from (describe select * from query_table($name))",
            {"name": table.name},
        )
        assert [(row["column_name"], row["column_type"]) for row in found] == [
            *((column.name, column.type) for column in table.columns),
            *(USAGE if table.name == "raw_traces" else ()),
        ]
        assert warehouse.rows("select count(*) as n from query_table($name)", {"name": table.name}) == [
            {"n": 0}
        ]


def test_the_hash_of_a_day_does_not_depend_on_row_order(warehouse):
    warehouse.replace("pattern_members", DAY, members("a", "b", "c"))
    first = warehouse.manifest("pattern_members", DAY)
    warehouse.replace("pattern_members", DAY, members("c", "a", "b"))
    assert warehouse.manifest("pattern_members", DAY) == first


def test_a_missing_column_changes_nothing_and_is_named(warehouse):
    warehouse.replace("pattern_members", DAY, members("a"))
    with pytest.raises(ValueError, match="column 'message_id' is missing"):
        warehouse.replace("pattern_members", DAY, pa.table({"pattern_id": ["p"]}))
    assert stored(warehouse, DAY) == ["a"]


def test_swapped_columns_are_stored_by_name(warehouse):
    warehouse.replace("pattern_members", DAY, members("a").select(["message_id", "pattern_id"]))
    assert warehouse.read_day("pattern_members", DAY) == [
        {"event_date": DAY, "pattern_id": "p", "message_id": "a"}
    ]


def test_lost_rows_are_noticed(warehouse, tmp_path):
    warehouse.replace("pattern_members", DAY, members("a", "b"))
    assert warehouse.verify("pattern_members", [DAY, NEXT]) == []
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("delete from pattern_members where message_id = 'b'")
    (problem,) = warehouse.verify("pattern_members", [DAY])
    assert problem.rule == "tables_match_manifest"
    assert problem.expected.startswith("2 rows")
    assert problem.actual.startswith("1 rows")


def test_a_query_reads_no_file_of_the_machine(warehouse, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(duckdb.PermissionException):
        warehouse.read("select * from read_text($file)", {"file": str(tmp_path / "secret.txt")})


@pytest.mark.parametrize("value", ["'; drop table pattern_members; --", "%", "a\nb", "\\", '"'])
def test_values_are_bound(warehouse, value):
    warehouse.replace("pattern_members", DAY, members(value))
    assert warehouse.rows(
        "select count(*) as n from pattern_members where message_id = $id", {"id": value}
    ) == [{"n": 1}]


def test_a_body_that_raises_closes_its_connection(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), connect(tmp_path / "w.duckdb"):
        raise RuntimeError("boom")
    with connect(tmp_path / "w.duckdb", wait_secs=0.1) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def hold(path: Path, ready, secs: float) -> None:
    with connect(path):
        ready.set()
        time.sleep(secs)


@pytest.fixture
def spawn():
    return multiprocessing.get_context("spawn")


def test_a_second_process_waits_its_turn(tmp_path, spawn):
    ready = spawn.Event()
    holder = spawn.Process(target=hold, args=(tmp_path / "w.duckdb", ready, 1.0))
    holder.start()
    assert ready.wait(30)
    with connect(tmp_path / "w.duckdb") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    holder.join()


def test_a_wait_that_is_too_long_names_the_file(tmp_path, spawn):
    ready = spawn.Event()
    holder = spawn.Process(target=hold, args=(tmp_path / "w.duckdb", ready, 60.0))
    holder.start()
    assert ready.wait(30)
    with (
        pytest.raises(WarehouseBusyError, match=r"w\.duckdb is in use.*one process at a time"),
        connect(tmp_path / "w.duckdb", wait_secs=0.3),
    ):
        pass
    holder.kill()
    holder.join()


@pytest.mark.parametrize("damage", ["folder", "zeros"])
def test_a_file_that_is_no_database_is_left_alone_and_named(tmp_path, damage):
    path = tmp_path / "w.duckdb"
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\0" * 20_000)
    with pytest.raises(WarehouseFileError, match="cannot be opened"), connect(path, wait_secs=0.2):
        pass
    assert path.is_dir() if damage == "folder" else path.read_bytes() == b"\0" * 20_000


def rewrite(path: Path, lake: Path) -> None:
    warehouse = Warehouse.at(path, lake_path=lake)
    for round_ in range(10_000):
        warehouse.replace("pattern_members", DAY, members(*(f"{round_}-{number}" for number in range(50))))


def test_a_killed_writer_leaves_the_old_day_or_the_new_one(warehouse, tmp_path, spawn):
    warehouse.replace("pattern_members", DAY, members(*(f"old-{number}" for number in range(50))))
    for pause in (0.9, 1.13):
        writer = spawn.Process(target=rewrite, args=(tmp_path / "warehouse.duckdb", tmp_path / "lake"))
        writer.start()
        time.sleep(pause)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        rounds = {message.rpartition("-")[0] for message in stored(warehouse, DAY)}
        assert len(stored(warehouse, DAY)) == 50
        assert len(rounds) == 1, "a mixture of two writes"


def test_every_table_declares_its_key_and_documents_its_columns():
    for table in TABLES.values():
        assert set(table.key) <= set(table.column_names)
        assert all(column.doc.endswith(".") for column in table.columns)
        assert table.arrow_schema.names == table.column_names
    assert all(table.columns[0].name == "event_date" for table in WAREHOUSE_TABLES)


def test_a_table_of_an_earlier_version_gets_the_columns_declared_since(warehouse, tmp_path):
    with connect(tmp_path / "warehouse.duckdb") as connection:
        connection.execute("alter table update_decisions drop column playbook_hash")
        connection.execute("insert into update_decisions by name select 'd1' as decision_id")
    warehouse.create()
    (row,) = warehouse.rows("select * from update_decisions")
    assert (row["decision_id"], row["playbook_hash"]) == ("d1", None)


def test_a_cycle_row_is_opened_closed_and_never_left_running(warehouse):
    now = datetime.fromisoformat("2026-11-02T00:20:00+00:00")
    log = CycleLog(warehouse, clock=lambda: now)
    window = Window((DAY,), 1200, 1000)
    log.begin("killed", window)
    log.begin("second", window)
    log.finish("second", DAY, "completed", "fine", improvements_generated=3)
    assert log.finish("unknown", DAY, "completed", "fine") is None
    rows = {row["cycle_id"]: row for row in warehouse.read_day("learning_cycles", DAY)}
    assert rows[f"killed/{DAY}"]["status"] == "failed"
    assert rows[f"second/{DAY}"]["status"] == "completed"
    assert rows[f"second/{DAY}"]["improvements_generated"] == 3
    assert rows[f"second/{DAY}"]["end_time"] == now.replace(tzinfo=None)


def test_a_failed_run_closes_what_it_left_open(warehouse):
    log = CycleLog(warehouse)
    log.begin("run", Window((DAY,), 1200, 1000))
    log.begin("other", Window((NEXT,), 1200, 1000))
    log.fail_open("run", "disk full")
    assert [(row["status"], row["reason"]) for row in warehouse.read_day("learning_cycles", DAY)] == [
        ("failed", "disk full")
    ]
    assert [row["status"] for row in warehouse.read_day("learning_cycles", NEXT)] == ["running"]
