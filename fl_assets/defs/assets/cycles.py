"""The record of cycles: closes a cycle's row at its end. Rows of cycles that end early are closed there."""

import dagster as dg

from fl_assets.defs.assets.outcomes import update_outcomes
from fl_assets.defs.assets.updates import applied_updates, update_decisions
from fl_assets.defs.metadata import numbers, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import each_in_session, report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.updates.decisions import cycle_result

GROUP = "cycles"


@dg.asset(deps=[update_decisions, applied_updates, update_outcomes], **table_asset("learning_cycles", GROUP))
@without_secrets
def learning_cycles(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Every cycle that was run, one row per run and day, however it ended."""
    space = workspace.open()
    for day in each_in_session(space.warehouse, days_of(context.partition_keys)):
        status, reason, counts = cycle_result(space.updates, day)
        space.cycles.finish(context.run.run_id, day, status, reason, **counts)
        rows = space.warehouse.read_day("learning_cycles", day)
        ended = {"status": status.replace("_", " "), "because": reason}
        report_day(context, day, "learning_cycles", len(rows), {**ended, **numbers(counts)})
