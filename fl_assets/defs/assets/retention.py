"""The retention asset: the only step that deletes events.

What goes here: the wiring of `EventDays.expire`. What does not: removing files (`infra/lake.py`).
"""

import dagster as dg

from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.metadata import file_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc

# It depends on the patterns alone, so that a gated day does not keep old events; the lowest priority makes it
# the last step of a cycle.
LAST = {"dagster/priority": "-2"}


@dg.asset(deps=[failure_patterns], op_tags=LAST, **file_asset("retention", {"parquet"}))
@without_secrets
def raw_event_retention(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Removes raw events (not sums) past FEDERATED_LEARNING_RETENTION_DAYS once they are analysed."""
    space = workspace.open()
    for day in space.gate.sound_days(days_of(context.partition_keys)):
        removed = space.days.expire(day, today=now_utc().date())
        kept = space.settings.retention_days
        forever = "FEDERATED_LEARNING_RETENTION_DAYS is 0: kept forever"
        why = f"no further day is older than {kept} days" if kept else forever
        named = ", ".join(map(str, removed)) or f"none ({why})"
        report_day(context, day, "raw_event_retention", len(removed), {"days_removed": named})
