"""The record of cycles.

What goes here: closing a cycle's row when it has come to its end. What does not: cycles that ended early, whose rows are closed where they ended.
"""

import dagster as dg

from fl_assets.defs.metadata import numbers, report_day, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.playbooks.gate import outcome

GROUP = "cycles"


@dg.asset(
    deps=["update_decisions", "applied_updates", "update_outcomes"], **table_asset("learning_cycles", GROUP)
)
def learning_cycles(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Every cycle that was run, one row a run and day, insufficient data, gated days and failures included."""
    space = workspace.open()
    log = CycleLog(space.warehouse)
    for day in space.one_by_one(days_of(context.partition_keys)):
        status, reason, counts = outcome(space, day)
        log.finish(context.run.run_id, day, status, reason, **counts)
        rows = space.warehouse.read_day("learning_cycles", day)
        report_day(context, day, "learning_cycles", len(rows), numbers(counts))
