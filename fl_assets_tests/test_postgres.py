"""Dagster's instance on a real PostgreSQL, from Debian's packages, started here on loopback and stopped
afterwards.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fl_assets.coordinator import POSTGRES, prepare_home
from fl_assets.core.settings import PREFIX, SettingsError
from fl_assets.simulator.write import simulate
from fl_assets_tests.conftest import LAST_DAY, settings_in

PASSWORD = "quite:secret/@%"  # characters that a URL must escape
ESCAPED = "quite%3Asecret%2F%40%25"


def server_programs() -> Path | None:
    """The folder of PostgreSQL's `initdb` and `pg_ctl`, which Debian leaves out of PATH."""
    found = shutil.which("initdb")
    return (
        Path(found).resolve().parent
        if found
        else max(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None
        )
    )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a fresh PostgreSQL server, without a database."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres, the [postgres] extra, is not installed")
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses to be root
    folder = Path(tempfile.mkdtemp(prefix="fl-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run(
            [programs / command[0], *command[1:]], check=True, capture_output=True, cwd=folder, **user
        )

    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            shutil.chown(folder, **user)
            shutil.chown(folder / "password", **user)
        run("initdb", "-D", "data", "-U", "fleet", "-A", "scram-sha-256", "--pwfile", "password", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
        run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://fleet:{ESCAPED}@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(server, request) -> str:
    """The URL of an empty database of the test's own."""
    name = f"d{abs(hash(request.node.name))}"
    ask(f"{server}/postgres", f"create database {name}")
    return f"{server}/{name}"


def ask(url: str, statement: str) -> list[tuple]:
    import psycopg2

    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def environment(settings, url: str) -> dict[str, str]:
    """The variables that a user sets."""
    values = {
        f"{PREFIX}{name.upper()}": str(getattr(settings, name))
        for name in ("data_path", "telemetry_path", "error_records_path", "playbook_path")
    }
    return {**os.environ, **values, POSTGRES: url, "DAGSTER_HOME": ""}


def test_a_cycle_is_kept_in_postgres_and_the_password_nowhere(tmp_path, database, monkeypatch):
    simulate(tmp_path / "cache", days=5, nodes=6, events_per_day=1100, seed=5, end=LAST_DAY)
    settings = settings_in(tmp_path / "data", telemetry_path=tmp_path / "cache")
    command = [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "cycle", "-vv", "--date", str(LAST_DAY)]
    shown = subprocess.run(
        command, env=environment(settings, database), capture_output=True, text=True, timeout=600, check=False
    )
    assert shown.returncode == 0, shown.stderr
    home = settings.data_path / "dagster"
    assert not list(home.rglob("*.db")), "nothing is kept in SQLite"
    assert not [secret for secret in (PASSWORD, ESCAPED) if secret in shown.stdout + shown.stderr]
    assert not [
        path
        for path in home.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in (PASSWORD, ESCAPED))
    ]

    monkeypatch.setenv(POSTGRES, database)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        asset = dg.AssetKey("failure_patterns")
        assert instance.get_materialized_partitions(asset) == {str(LAST_DAY)}
        (record,) = instance.fetch_materializations(asset, limit=1).records
        assert record.asset_materialization.metadata["dagster/partition_row_count"].value > 0
        assert ESCAPED not in instance.info_str()
    assert ask(database, "select count(*) from runs") == [(1,)]
    ((passed,),) = ask(
        database,
        "select count(*) from asset_check_executions where execution_status = 'SUCCEEDED' and asset_key "
        "like '%playbooks%'",
    )
    assert passed >= 4


PREPARE = """
import sys
from fl_assets.coordinator import prepare_home
from fl_assets.core.settings import FederatedLearningConfig
print("ready", flush=True)
sys.stdin.readline()
prepare_home(FederatedLearningConfig.from_env())
"""


@pytest.mark.faults
@pytest.mark.parametrize("homes", [1, 3], ids=["of one machine", "of three machines"])
def test_processes_that_meet_an_empty_database_at_once_all_find_it_ready(tmp_path, database, homes):
    command = [sys.executable, "-W", "ignore", "-c", PREPARE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    folders = [tmp_path / str(number % homes) for number in range(3)]
    running = [
        subprocess.Popen(command, env=environment(settings_in(folder), database), text=True, **pipes)
        for folder in folders
    ]
    try:
        assert [one.stdout.readline() for one in running] == ["ready\n"] * 3
        for one in running:
            one.stdin.write("go\n")
            one.stdin.flush()
        told = [one.communicate(timeout=300)[1] for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    assert [one.returncode for one in running] == [0, 0, 0], told
    assert len(ask(database, "select * from alembic_version")) == 1


def test_a_database_that_refuses_is_one_line_that_names_the_setting_and_not_the_password(tmp_path, database):
    wrong = environment(settings_in(tmp_path), database.replace("secret", "guess"))
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "home"],
        env=wrong,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert shown.returncode == 1
    (error,) = [line for line in shown.stderr.splitlines() if line.startswith("error: ")]
    assert f"{POSTGRES}=(not shown): PostgreSQL cannot be used" in error
    assert "guess" not in shown.stderr + shown.stdout
    assert "Traceback" not in shown.stderr


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dagster_postgres.utils", None)
    monkeypatch.setenv(
        POSTGRES, "unset again after the test"
    )  # what is asked for sets it, for Dagster to read
    with pytest.raises(SettingsError, match=r"needs the \[postgres\] extra; install it"):
        prepare_home(
            settings_in(tmp_path, dagster_postgres_url="postgresql+psycopg2://fleet@127.0.0.1/dagster")
        )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hush@h/d",
        "postgresql+psycopg2://u:hu/sh@h/d",
        "postgresql+psycopg2://u:hush@h",
        "hush",
        "postgresql+psycopg2://u:hu#sh@h/d",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url):
    with pytest.raises(
        SettingsError, match=rf"^{POSTGRES}=\(not shown\): must be a URL like postgresql\+psycopg2://"
    ) as caught:
        settings_in(Path(), dagster_postgres_url=url)
    assert "hu" not in str(caught.value)
