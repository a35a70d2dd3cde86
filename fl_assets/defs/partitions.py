"""The one partitions definition: days in UTC, by event time.

Every asset shares this object and the same backfill policy: with another definition, an offset mapping or
another policy, Dagster would put parent and child into separate runs, and a blocking check would gate
nothing.
"""

import warnings
from datetime import date

import dagster as dg

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.first_day import first_partition

# These features are beta and preview in 1.13, whose minor version we pin; without the filter every command
# would start with thirty lines of warnings.
for _note in (r"Parameter `backfill_policy`", r"Specifying a partitions_def on an AssetCheckSpec"):
    warnings.filterwarnings("ignore", message=_note)

DAYS_PER_RUN = 31
"""Most days of one run of a backfill, so that a year takes twelve processes and not 365."""


def daily_partitions(settings: FederatedLearningConfig) -> dg.DailyPartitionsDefinition:
    """Return the days from the first one (`infra/first_day.py`) to today, so that today can be run, too."""
    return dg.DailyPartitionsDefinition(
        start_date=str(first_partition(settings)), timezone="UTC", end_offset=1
    )


DAILY = daily_partitions(FederatedLearningConfig.from_env())
BACKFILL = dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_PER_RUN)


def days_of(partition_keys: list[str]) -> list[date]:
    """Return the days that a run was asked for, oldest first."""
    return sorted(date.fromisoformat(key) for key in partition_keys)
