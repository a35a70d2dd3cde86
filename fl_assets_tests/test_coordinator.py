"""What a coordinator leaves behind in a process that lives long."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from fl_assets import coordinator as module
from fl_assets.coordinator import FederatedLearningCoordinator, InsufficientData
from fl_assets.core.cycles import Window
from fl_assets.infra.cycle_log import CycleLog
from fl_assets_tests.conftest import LAST_DAY, settings_in


def test_each_cycle_closes_the_dagster_instance_that_it_opened(tmp_path, monkeypatch):
    opened, closed = [], []

    class Told(dg.DagsterInstance):
        def dispose(self) -> None:
            closed.append(self)
            super().dispose()

    def open_home(config) -> dg.DagsterInstance:
        opened.append(Told.from_config(str(module.prepare_home(config))))
        opened[-1].__class__ = Told
        return opened[-1]

    monkeypatch.setattr(module, "open_home", open_home)
    settings = settings_in(tmp_path / "data")
    settings.telemetry_path.mkdir(parents=True)
    runner = FederatedLearningCoordinator(settings)
    for _ in range(2):
        with pytest.raises(InsufficientData):
            runner.run_learning_cycle(LAST_DAY)
    runner.apply_updates(LAST_DAY)
    assert len(opened) == 3
    assert closed == opened


def test_a_cycle_that_was_cut_short_does_not_hide_the_one_that_was_run_again(tmp_path):
    """The demo holds the clock, so that both began at the same time."""
    settings = settings_in(tmp_path / "data")
    settings.telemetry_path.mkdir(parents=True)
    runner = FederatedLearningCoordinator(settings)
    log = CycleLog(runner.workspace.warehouse, clock=lambda: datetime(2026, 11, 30, 0, 15, tzinfo=UTC))
    for run in ("cut short", "again"):
        log.begin(run, Window((LAST_DAY,), 1200, 1000))
    log.finish("again", LAST_DAY, "completed", "fine")
    result = runner.result_of(LAST_DAY)
    assert result is not None
    assert (result.status, result.reason) == ("completed", "fine")
