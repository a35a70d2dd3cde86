"""Fixtures shared by the tests: settings in a folder of their own, a simulated fleet, its learning cycles."""

import os
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import settings as hypothesis_settings

from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.domain.settings import PREFIX, FederatedLearningConfig
from fl_assets.storage.simulator import simulate

hypothesis_settings.register_profile("default", deadline=None)  # a busy machine is no failed property
hypothesis_settings.load_profile("default")

LAST_DAY = date(2026, 11, 14)
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
    }
    return FederatedLearningConfig.from_env(**(paths | overrides))


def coordinator_in(folder: Path, **overrides) -> FederatedLearningCoordinator:
    """A coordinator with every path below `folder` and a Dagster instance that leaves nothing behind."""
    return FederatedLearningCoordinator(settings_in(folder, **overrides), instance=dg.DagsterInstance.ephemeral())


@pytest.fixture(scope="session")
def fleet(tmp_path_factory) -> Path:
    """Folder with the telemetry of a small simulated fleet (`telemetry/cache`, `telemetry/truth.json`)."""
    folder = tmp_path_factory.mktemp("fleet")
    simulate(folder / "telemetry" / "cache", days=10, nodes=10, events_per_day=1500, seed=5, end=LAST_DAY)
    return folder


@pytest.fixture(scope="session")
def learned(fleet, tmp_path_factory) -> FederatedLearningCoordinator:
    """The fleet after a backfill of its ten days; tests read it and change nothing."""
    folder = tmp_path_factory.mktemp("learned")
    coordinator = coordinator_in(folder, telemetry_path=fleet / "telemetry" / "cache")
    coordinator.backfill(date(2026, 11, 5), LAST_DAY)
    return coordinator
