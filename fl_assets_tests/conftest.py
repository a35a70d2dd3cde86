"""Fixtures shared by the tests: settings in a folder of their own, a simulated fleet, its learning cycles."""

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import settings as hypothesis_settings

from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.defs.automation import range_tags
from fl_assets.defs.partitions import DAILY
from fl_assets.defs.resources import resources
from fl_assets.simulator.write import simulate

# A busy machine is no failed property. CI tries the same examples each time, so that it judges the change;
# people's runs go on looking for new ones.
hypothesis_settings.register_profile("default", deadline=None, derandomize=os.environ.get("CI") == "true")
hypothesis_settings.load_profile("default")

# Processes that tests start read compiled modules: to compile all of them takes each the better part of a
# second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

DAYS = [date(2026, 11, day) for day in range(9, 15)]
LAST_DAY = DAYS[-1]
SHARED_DATA = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No test reads the developer's own settings."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def settings_in(folder: Path, **overrides) -> FederatedLearningConfig:
    """Settings with every path below `folder`."""
    paths = {
        "data_path": folder,
        "telemetry_path": folder / "telemetry" / "cache",
        "error_records_path": folder / "self-improve" / "records",
        "playbook_path": folder / "playbooks",
        "summaries_path": folder / "summaries",
        "node_keys_path": folder / "node-keys",
    }
    return FederatedLearningConfig.from_env(**(paths | overrides))


@pytest.fixture(scope="session", autouse=True)
def instance():
    """One Dagster instance for all tests, in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def coordinator_in(folder: Path, instance: dg.DagsterInstance, **overrides) -> FederatedLearningCoordinator:
    """A coordinator with every path below `folder`."""
    return FederatedLearningCoordinator(settings_in(folder, **overrides), instance=instance)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory) -> Iterator[Path]:
    """Telemetry folder of a small simulated fleet, which no test writes into; `truth.json` lies beside it."""
    cache = tmp_path_factory.mktemp("fleet") / "cache"
    simulate(cache, days=len(DAYS), nodes=8, events_per_day=1200, seed=5, end=LAST_DAY)
    simulated = set(texts_below(cache))
    yield cache
    assert set(texts_below(cache)) == simulated, "a test wrote into the fleet that all tests share"


@pytest.fixture(scope="session")
def learned(fleet, tmp_path_factory, instance) -> FederatedLearningCoordinator:
    """The fleet after a backfill of all its days in one run; tests read it and change nothing."""
    coordinator = coordinator_in(tmp_path_factory.mktemp("learned"), instance, telemetry_path=fleet)
    coordinator.backfill(DAYS[0], LAST_DAY)
    return coordinator


@pytest.fixture
def copied(learned, fleet, tmp_path, instance):
    """A coordinator with the learned one's lake, and its results unless `fresh`; settings as given."""

    def make(*, fresh: bool = False, **overrides) -> FederatedLearningCoordinator:
        results = ("warehouse.*", "playbooks", "reports") if fresh else ()
        shutil.copytree(learned.config.data_path, tmp_path / "copy", ignore=shutil.ignore_patterns(*results))
        return coordinator_in(tmp_path / "copy", instance, **({"telemetry_path": fleet} | overrides))

    return make


def texts_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ask(
    check: dg.AssetChecksDefinition, instance, first: date, last: date, **overrides
) -> list[dg.AssetCheckEvaluation]:
    """Run one check alone and return what it said: of each day where there are many, then of all."""
    (key,) = check.check_keys
    job = dg.define_asset_job("ask", selection=dg.AssetSelection.checks(check))
    settings = {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in overrides.items()
        if value is not None
    }
    defs = dg.Definitions(
        assets=[dg.AssetSpec(key.asset_key, partitions_def=DAILY)],
        asset_checks=[check],
        jobs=[job],
        resources=resources(FederatedLearningConfig.from_env(**settings)),
    )
    outcome = defs.resolve_job_def("ask").execute_in_process(
        instance=instance, raise_on_error=False, tags=range_tags(first, last)
    )
    return outcome.get_asset_check_evaluations()
