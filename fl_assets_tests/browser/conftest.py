"""A headless Chromium, a Dagster home with two cycles in it, and a webserver over that home; all on this
machine alone.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from fl_assets.coordinator import InsufficientData, prepare_home
from fl_assets.core.settings import PREFIX
from fl_assets_tests.conftest import DAYS, LAST_DAY, coordinator_in, settings_in

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
START_SECS = 120
GATED_DAY = DAYS[-2]
EMPTY_DAY = LAST_DAY + timedelta(days=1)
"""Without an event of its own."""
WORKSPACE = ("-w", str(Path(__file__).parents[2] / "workspace.yaml"))
"""As `fl-assets dev` serves it: runs of a terminal are filed under the name that it gives the code."""


@pytest.fixture(scope="module")
def chromium():
    """The browser; it closes after each module, as Dagster's own event loop cannot run in a thread where
    Playwright's does.
    """
    needs_chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def needs_chromium() -> None:
    """Skip what needs a browser where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")


class Watched:
    """A page, with what it asked for and what it complained of."""

    def __init__(self, page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )


@pytest.fixture
def watched(chromium) -> Iterator[Watched]:
    """A fresh page, 1280 pixels wide."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    yield Watched(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def home(request, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy of the learned fleet whose last day was completed, whose day before was gated and on whose day
    after nothing came, all as runs of a Dagster home; and its environment.
    """
    needs_chromium()  # before the fleet learns for nobody
    learned, fleet = request.getfixturevalue("learned"), request.getfixturevalue("fleet")
    folder = tmp_path_factory.mktemp("home") / "data"
    shutil.copytree(learned.config.data_path, folder)
    config = settings_in(folder, telemetry_path=fleet)
    path = prepare_home(config)
    with dg.DagsterInstance.from_config(str(path)) as instance:
        assert (
            coordinator_in(folder, instance, telemetry_path=fleet, threshold=1.0)
            .run_learning_cycle(GATED_DAY)
            .status
            == "gated"
        )
        with pytest.raises(InsufficientData, match="no telemetry"):
            coordinator_in(folder, instance, telemetry_path=fleet).run_learning_cycle(EMPTY_DAY)
        assert (
            coordinator_in(folder, instance, telemetry_path=fleet).run_learning_cycle(LAST_DAY).status
            == "completed"
        )
    settings = {
        name: str(getattr(config, name))
        for name in ("data_path", "telemetry_path", "playbook_path", "error_records_path")
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return path, {
        **plain,
        "DAGSTER_HOME": str(path),
        **{f"{PREFIX}{name.upper()}": value for name, value in settings.items()},
    }


@pytest.fixture(scope="session")
def webserver(home, tmp_path_factory) -> Iterator[str]:
    """The address of a Dagster webserver over that home."""
    _, environment = home
    folder = tmp_path_factory.mktemp("webserver")
    with serving(environment, folder, module="fl_assets.cli.webserver", where=WORKSPACE) as address:
        yield address


@contextmanager
def serving(
    environment: dict[str, str],
    folder: Path,
    *,
    module: str = "dagster_webserver",
    where: tuple[str, str] = ("-m", "fl_assets.definitions"),
) -> Iterator[str]:
    """Run a webserver (guarded.

    `fl_assets.cli.webserver`) on a free port of this machine, its log in `folder`; yields its address.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "webserver.log"
    words = [sys.executable, "-m", module, "--host", "127.0.0.1", "--port", str(port), *where]
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until the webserver answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + START_SECS
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"the webserver ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with opener.open(f"{address}/server_info", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the webserver did not answer within {START_SECS} s: {log.read_text()[-2000:]}")


def is_local(url: str) -> bool:
    """Whether a request stays in this machine."""
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:"))
