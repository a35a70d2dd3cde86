"""The one partitions definition.

What goes here: daily partitions, UTC, by event time. What does not: which of them a run takes
(`automation.py`).

Every asset shares this object and the same backfill policy: with another definition, a mapping with an offset
or another policy, Dagster would put parent and child into separate runs, and a blocking check would gate
nothing.
"""

import warnings
from datetime import date

import dagster as dg

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.first_day import first_partition

# What makes one run of many days possible is marked beta and preview in 1.13. We pin the minor version;
# without this, every start of every command would greet its user with thirty lines about it.
for _note in (r"Parameter `backfill_policy`", r"Specifying a partitions_def on an AssetCheckSpec"):
    warnings.filterwarnings("ignore", message=_note)

DAYS_PER_RUN = 31
"""Days that one run of a backfill takes at the most, so that a year costs twelve processes and not 365."""


def daily_partitions(settings: FederatedLearningConfig) -> dg.DailyPartitionsDefinition:
    """Return the days from the first one (`infra/first_day.py`) to today.

    Today is there too, so that the sensor can run a cycle before midnight.
    """
    return dg.DailyPartitionsDefinition(
        start_date=str(first_partition(settings)), timezone="UTC", end_offset=1
    )


DAILY = daily_partitions(FederatedLearningConfig.from_env())
BACKFILL = dg.BackfillPolicy.multi_run(max_partitions_per_run=DAYS_PER_RUN)


def days_of(partition_keys: list[str]) -> list[date]:
    """Return the days that a run was asked for, oldest first."""
    return sorted(date.fromisoformat(key) for key in partition_keys)
