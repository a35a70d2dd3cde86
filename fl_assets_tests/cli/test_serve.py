"""`fl-assets dev`: one command, three processes, a guarded webserver, and nothing left when it is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from fl_assets.cli import processes
from fl_assets.core.settings import PREFIX

PATIENCE_SECS = 120


def ask(address: str, **headers: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    query = json.dumps(
        {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"}
    )
    request = urllib.request.Request(
        f"{address}/graphql", query.encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_dev_serves_a_guarded_ui_and_leaves_nothing_running(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plain = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "DAGSTER"))}
    environment = plain | {f"{PREFIX}DATA_PATH": str(tmp_path / "data")}
    log, address = tmp_path / "log", f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "fl_assets.cli", "dev", "--port", str(port)]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until, found = time.monotonic() + PATIENCE_SECS, (0, b"")
        while b"learning_cycle" not in found[1]:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.5)
            try:
                found = ask(address)
            except OSError:
                continue
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3
        assert ask(address, Origin="http://evil.example")[0] == 403
        assert ask(address, Host="evil.example")[0] == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=90) == 0, log.read_text()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, alive
        assert "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def test_a_process_that_ends_ends_the_others_with_one_line(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    environment |= {f"{PREFIX}DATA_PATH": str(tmp_path / "data"), f"{PREFIX}MIN_EVENTS": "many"}
    command = [sys.executable, "-m", "fl_assets.cli", "dev", "--port", "1"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=PATIENCE_SECS)
    assert done.returncode == 1
    assert b"FEDERATED_LEARNING_MIN_EVENTS" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_serve_takes_what_dagster_webserver_takes(words):
    done = subprocess.run(
        [sys.executable, "-m", "fl_assets.cli", "serve", *words], capture_output=True, timeout=PATIENCE_SECS
    )
    assert done.returncode == 0
    assert b"dagster-webserver" in done.stdout


def test_what_a_process_has_started_ends_with_it(tmp_path, monkeypatch):
    """As a code server that is busy when it is asked to stop, and has a server of its own."""
    monkeypatch.setattr(processes, "_STOP_SECS", 0.3)
    child = tmp_path / "child"
    script = f"trap '' TERM INT; sleep 600 & echo $! > {child}.part; mv {child}.part {child}; wait"
    with processes._process(["sh", "-c", script], dict(os.environ)) as process:
        until = time.monotonic() + PATIENCE_SECS
        while not child.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        started = psutil.Process(int(child.read_text()))
    assert process.returncode is not None
    _, alive = psutil.wait_procs([started], timeout=10)
    assert not alive
