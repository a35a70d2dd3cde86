"""The one `Definitions` of the project, which `dagster dev`, the CLI and the Python API all run."""

import dagster as dg

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs import assets
from fl_assets.defs.automation import (
    apply_updates_job,
    approved_updates,
    cycle_schedule,
    learning_cycle_job,
    minimum_events_reached,
    record_failed_cycles,
)
from fl_assets.defs.checks import CHECKS
from fl_assets.defs.resources import resources


def build(settings: FederatedLearningConfig | None = None) -> dg.Definitions:
    """Return the definitions, by default with the settings of the environment."""
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets),
        asset_checks=[*CHECKS, *dg.load_asset_checks_from_package_module(assets)],
        jobs=[learning_cycle_job, apply_updates_job],
        schedules=[cycle_schedule(settings or FederatedLearningConfig.from_env())],
        sensors=[minimum_events_reached, approved_updates, record_failed_cycles],
        resources=resources(settings),
        executor=dg.in_process_executor,
    )


defs = build()
