"""A person approves a decision where it is read: on its page in the Dagster UI, with the terminal's code."""

import shutil
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from playwright.sync_api import Page, expect

from fl_assets.coordinator import prepare_home
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.clock import now_utc
from fl_assets.updates.answers import codes_of
from fl_assets.updates.rollout import open_releases
from fl_assets.workspace import Workspace
from fl_assets_tests.browser.conftest import PATIENCE_MS, WORKSPACE, needs_chromium, serving
from fl_assets_tests.conftest import coordinator_in, settings_in
from fl_assets_tests.faults.test_cycles import variables_of
from fl_assets_tests.updates.test_rollout import CONFIG, NODES, POLICY, write_day

EDITOR = ".CodeMirror"


@pytest.fixture(scope="session")
def learned_yesterday(instance, tmp_path_factory) -> tuple[Path, date]:
    """Twelve nodes whose searches time out, after yesterday's cycle: a decision waits for a person."""
    needs_chromium()
    folder, day = tmp_path_factory.mktemp("approval"), now_utc().date() - timedelta(days=1)
    for back in range(14):
        failing = {node: 3 + (back + place) % 4 for place, node in enumerate(NODES)}
        write_day(folder / "telemetry" / "cache", day - timedelta(days=back), failing)
    (folder / "agents").mkdir()
    (folder / "agents" / "policy.yaml").write_text(POLICY)
    (folder / "agents" / "agent.toml").write_bytes(CONFIG)
    settings = settings_of(folder)
    with dg.DagsterInstance.from_config(str(launching_at_once(prepare_home(settings)))) as home:
        given = {"min_events": 100, "update_policy_path": settings.update_policy_path}
        assert coordinator_in(folder, home, **given).run_learning_cycle(day).status == "completed"
    return folder, day


@pytest.fixture
def ui(learned_yesterday, tmp_path) -> Iterator[tuple[str, Workspace, date]]:
    """A webserver over a copy of that fleet, its stores and the day."""
    learned, day = learned_yesterday
    folder = tmp_path / "fleet"
    shutil.copytree(learned, folder)
    settings = settings_of(folder)
    variables = variables_of(settings) | {
        "FEDERATED_LEARNING_MIN_EVENTS": "100",
        "FEDERATED_LEARNING_UPDATE_POLICY_PATH": str(settings.update_policy_path),
    }
    launching_at_once(Path(variables["DAGSTER_HOME"]))
    with serving(variables, tmp_path, module="fl_assets.cli.webserver", where=WORKSPACE) as address:
        yield address, Workspace(settings), day


def settings_of(folder: Path) -> FederatedLearningConfig:
    return settings_in(folder, min_events=100, update_policy_path=folder / "agents" / "policy.yaml")


def launching_at_once(home: Path) -> Path:
    """Let the webserver launch runs itself: no daemon of these tests takes them from a queue."""
    path = home / "dagster.yaml"
    content = yaml.safe_load(path.read_text())
    content.pop("concurrency")
    content["run_coordinator"] = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    path.write_text(yaml.safe_dump(content))
    return home


def open_the_launchpad(page: Page, address: str, day: date, decision: str) -> None:
    """Go from the list of decisions to the page of one, and from there to the launchpad."""
    page.goto(f"{address}/assets/update_decisions?view=partitions&partition={day}")
    expect(page.get_by_role("cell", name=decision[:8], exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    row = page.get_by_role("row").filter(has_text=f"page_{decision[:8]}")
    row.get_by_text("[Show Markdown]").last.click()
    dialog = page.get_by_role("dialog")
    for words in ("The change", "Evidence", "How sure", "Accept it, or turn it down", f"approve {decision}"):
        expect(dialog.get_by_text(words).first).to_be_visible(timeout=PATIENCE_MS)
    dialog.get_by_role("link", name="filled in already").click()
    expect(page.locator(EDITOR)).to_contain_text(decision, timeout=PATIENCE_MS)
    expect(page.get_by_text(f"partition: {day}")).to_be_visible(timeout=PATIENCE_MS)


def launch(page: Page) -> None:
    """Launch what the launchpad holds, and wait for the page of the run."""
    button = page.get_by_role("button", name="Launch Run")
    expect(button).to_be_enabled(timeout=PATIENCE_MS)
    button.click()
    page.wait_for_url("**/runs/**", timeout=PATIENCE_MS)


def test_a_decision_is_approved_from_its_page_with_its_code(watched, ui):
    address, space, day = ui
    ((decision, code),) = codes_of(space.updates, day).items()
    page = watched.page
    open_the_launchpad(page, address, day, decision)
    page.locator(EDITOR).evaluate(
        "(one, code) => one.CodeMirror.setValue(one.CodeMirror.getValue().replace('the code', code))", code
    )
    launch(page)
    until = time.monotonic() + PATIENCE_MS / 1000
    while decision not in (known := open_releases(space.updates).rollouts()):
        assert time.monotonic() < until, "no approval was recorded"
        page.wait_for_timeout(500)
    assert (known[decision].by, known[decision].code) == ("your name", code)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_wrong_code_is_said_first_thing_and_approves_nothing(watched, ui):
    address, space, day = ui
    ((decision, _),) = codes_of(space.updates, day).items()
    page = watched.page
    open_the_launchpad(page, address, day, decision)
    launch(page)
    said = page.get_by_text(f"decision {decision}: 'the code' is not its code").last
    expect(said).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Stack Trace")).to_have_count(0)
    assert open_releases(space.updates).rollouts() == {}
