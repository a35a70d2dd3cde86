"""Running Dagster on one machine: code server, daemon and guarded webserver.

`dagster dev` starts the same three, with an unguarded webserver.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from fl_assets.infra.disk import LockBusyError, locked
from fl_assets.infra.errors import ExplainedError

MODULE = "fl_assets.definitions"
START_SECS = 120.0
_STOP_SECS = 20.0
"""Time to stop before a process is killed: a daemon may be in the middle of a tick."""
_POLL_SECS = 0.5


class ServeError(ExplainedError):
    """One of the processes ended, or did not start; the text says which."""


def serve(home: Path, *, host: str, port: int) -> NoReturn:
    """Run code server, daemon and webserver until interrupted, then stop them.

    Raises:
        ServeError: one of them ended by itself.
        KeyboardInterrupt: it was asked to stop (SIGINT or SIGTERM).
    """
    environment = {**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_IS_DEV_CLI": "1"}
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    with ExitStack() as stack:
        _hold(home, stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fl-")))
        running: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, words: Sequence[str]) -> None:
            running[name] = stack.enter_context(_process(words, environment))

        code = folder / "code"
        command = [script("dagster"), "code-server", "start", "--socket", str(code), "--module-name", MODULE]
        start("code server", [*command, "--location-name", "fl_assets", "--log-level", "warning"])
        _wait_for(code, running)
        workspace = folder / "workspace.yaml"
        server = {"grpc_server": {"socket": str(code), "location_name": "fl_assets"}}
        workspace.write_text(json.dumps({"load_from": [server]}), encoding="utf-8")
        where = ["--workspace", str(workspace)]
        # Its sensors say each half minute that there is nothing to do; the UI shows the same.
        start("daemon", [script("dagster-daemon"), "run", "--log-level", "warning", *where])
        web = [sys.executable, "-m", "fl_assets.cli.webserver", "--host", host, "--port", str(port)]
        start("webserver", [*web, *where])
        while True:
            _check(running)
            time.sleep(_POLL_SECS)


def check_port(host: str, port: int) -> None:
    """Check that the webserver's address is free.

    Raises:
        ServeError: it is in use, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                free = f"give another: make dev PORT={port + 1}, or fl-assets dev --port {port + 1}"
                message = f"port {port} is in use by another program; {free}"
            else:
                message = f"port {port} cannot be listened on: {error.strerror or error}"
            raise ServeError(message) from error


def _hold(home: Path, stack: ExitStack) -> None:
    """Lock the home: two daemons would start each run twice."""
    try:
        stack.enter_context(locked(home / ".serving", wait_secs=0))
    except LockBusyError as error:
        raise ServeError(
            f"{home} is served by another `make dev` or `fl-assets dev`; stop that one, or give this "
            "one data of its own (FEDERATED_LEARNING_DATA_PATH)"
        ) from error


def script(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def _process(words: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process, and stop it and its children at the end of the block."""
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the code server's child would survive it
        process.wait()


def _wait_for(path: Path, running: dict[str, subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + START_SECS
    while time.monotonic() < until:
        _check(running)
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.1)
    raise ServeError(f"the code server did not start within {START_SECS:.0f} s")


def _check(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            raise ServeError(
                f"the {name} ended with exit code {process.returncode}; what it printed says why"
            )


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
