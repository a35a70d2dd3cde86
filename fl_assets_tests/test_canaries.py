"""A planted value of every entity, in every field that can hold one, is nowhere in what the project keeps."""

import orjson
import pytest
from typer.testing import CliRunner

from fl_assets import cli
from fl_assets.core.tables import LAKE_TABLES, WAREHOUSE_TABLES
from fl_assets.definitions import defs
from fl_assets.report import alerts
from fl_assets.workspace import Workspace
from fl_assets_tests.build import call_line, turn_line
from fl_assets_tests.conftest import LAST_DAY, settings_in
from fl_assets_tests.events.test_redaction import CANARIES, SECRET_PARTS


def needles() -> dict[str, bytes]:
    """What must not be found, by entity: the whole value, or its secret part."""
    return {entity: SECRET_PARTS.get(entity, value).encode() for entity, value in CANARIES.items()} | {
        "HOME_USER": b"/home/canary"
    }


def lines_with(entity: str, value: str, time: str) -> list[bytes]:
    """Events and broken lines that hold a value in every text field, on four nodes so that a playbook is made
    of it.
    """
    lines = []
    for node in range(4):
        for number in range(6):
            key = f"{entity}-{node}-{number}"
            metadata = {
                "node_id": f"n{node}",
                "note": f"see {value}",
                f"key {value}": "1",
                "nested": orjson.dumps({"deep": value}).decode(),
            }
            lines.append(
                call_line(
                    f"e-{key}",
                    timestamp=time,
                    success=False,
                    error=f"Timeout while handling {value} after {number} s",
                    metadata=metadata,
                )
            )
            lines.append(
                turn_line(
                    f"c-{key}",
                    timestamp=time,
                    user_query=f"Please use {value}",
                    system_response=f"I used {value}",
                    metadata=metadata,
                )
            )
    lines.append(
        call_line(
            f"i-{entity}",
            timestamp=time,
            service=f"svc {value}",
            method=f"do {value}",
            trace_id=value,
            request_id=value,
            metadata={"node_id": value},
        )
    )
    lines.append(
        turn_line(
            f"s-{entity}", timestamp=time, session_id=value, metadata={"node_id": value, "trace_id": value}
        )
    )
    lines.append(b'{"event_id": "broken", "note": ' + orjson.dumps(f"text {value} text"))
    return lines


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folder of everything that a cycle over the canaries keeps."""
    folder = tmp_path_factory.mktemp("canaries")
    cache = folder / "telemetry" / "cache"
    cache.mkdir(parents=True)
    lines = [
        line
        for entity, value in CANARIES.items()
        for line in lines_with(entity, value, f"{LAST_DAY}T10:00:00Z")
    ]
    (cache / "events_canary.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            settings_in(folder / "data", telemetry_path=cache, min_events=10, max_bad_ratio=1.0)
            .model_dump()
            .items()
        ):
            if value is not None and not isinstance(value, tuple):
                patch.setenv(f"FEDERATED_LEARNING_{name.upper()}", str(value))
        patch.setenv("DAGSTER_HOME", "")
        shown = CliRunner().invoke(cli.app, ["cycle", "--date", str(LAST_DAY), "-vv"], catch_exceptions=False)
    (folder / "data" / "printed.log").write_text(shown.output)
    return folder / "data"


def everything(folder) -> dict[str, bytes]:
    """Every file as bytes, and every table, compressed on disk, as text."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    space = Workspace(settings_in(folder))
    for table in (*LAKE_TABLES, *WAREHOUSE_TABLES):
        rows = (
            space.warehouse.rows(f"select * from {table.name}")
            if table in WAREHOUSE_TABLES or space.lake.days(table.name)
            else []
        )
        found[f"table {table.name}"] = repr(rows).encode()
    return found


def test_the_canaries_went_through_the_whole_cycle(kept):
    stored = everything(kept)
    assert b"<EMAIL>" in stored["table raw_traces"]
    assert b"<EMAIL>" in stored["table quarantined_events"]
    assert b"improvement_id" in stored["table playbooks"]
    assert any(name.startswith("dagster/") for name in stored)
    assert any(name.startswith("playbooks/") for name in stored)


@pytest.mark.parametrize("entity", sorted(CANARIES))
def test_a_canary_is_nowhere(kept, entity):
    needle = needles()[entity]
    assert [name for name, content in everything(kept).items() if needle in content] == []


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Folder of everything that a cycle keeps whose step raises an error that quotes ids and a file name, and
    what it sent.
    """
    folder = tmp_path_factory.mktemp("failed")
    cache = folder / "telemetry" / "cache"
    cache.mkdir(parents=True)
    lines = [call_line(f"e{number}", timestamp=f"{LAST_DAY}T10:00:00Z") for number in range(20)]
    (cache / "events_canary.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    sent: list[bytes] = []

    def crash(*_: object, **__: object) -> None:
        try:
            raise KeyError(tuple(CANARIES.values()))
        except KeyError as error:
            text = "; ".join(f"id '{value}' of file 'a {value}.jsonl'" for value in CANARIES.values())
            raise ValueError(text) from error

    with pytest.MonkeyPatch.context() as patch:
        settings = settings_in(folder / "data", telemetry_path=cache, min_events=10, max_bad_ratio=1.0)
        for name, value in settings.model_dump().items():
            if value is not None and not isinstance(value, tuple):
                patch.setenv(f"FEDERATED_LEARNING_{name.upper()}", str(value))
        patch.setenv("FEDERATED_LEARNING_ALERT_WEBHOOK", "http://127.0.0.1:9/hook")
        patch.setenv("DAGSTER_HOME", "")
        patch.setattr(alerts, "_post", lambda _, body: sent.append(body))
        patch.setattr("fl_assets.defs.assets.patterns.analyse", crash)
        shown = CliRunner().invoke(cli.app, ["cycle", "--date", str(LAST_DAY), "-vv"])
    data = folder / "data"
    (data / "printed.log").write_text(f"{shown.output}\n{shown.exception}")
    (data / "sent.log").write_bytes(b"\n".join(sent))
    return data


def test_an_error_of_a_step_is_kept_shown_and_sent(failed):
    stored = everything(failed)
    assert b"<EMAIL>" in stored["printed.log"]
    assert b"<EMAIL>" in stored["sent.log"]
    assert any(
        b"ValueError: id " in content for name, content in stored.items() if name.startswith("dagster/")
    )


@pytest.mark.parametrize("entity", sorted(CANARIES))
def test_a_canary_in_an_error_is_nowhere(failed, entity):
    needle = needles()[entity]
    assert [name for name, content in everything(failed).items() if needle in content] == []


def test_every_step_check_sensor_and_schedule_redacts_its_errors():
    repository = defs.get_repository_def()
    steps = {one.op for one in repository.assets_defs_by_key.values()} | {
        one.op for one in repository.asset_checks_defs_by_key.values()
    }
    bare = [op.name for op in steps if not getattr(op.compute_fn.decorated_fn, "has_redacted_errors", False)]
    assert bare == []
