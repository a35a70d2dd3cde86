"""The decision asset: what happens with each playbook, and how to take it back.

What goes here: the wiring of `domain/updates.py`. What does not: the rules of a decision.
"""

import dagster as dg

from fl_assets.gate import decide_day, gate
from fl_assets.metadata import numbers, preview, report_day, table_asset
from fl_assets.partitions import days_of
from fl_assets.resources import WorkspaceResource
from fl_assets.storage.cycle_log import now_utc

GROUP = "updates"


@dg.asset(deps=["playbooks", "adapter_catalogue"], **table_asset("update_decisions", GROUP))
def update_decisions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """What happens with each playbook (apply, canary, hold, reject or none), with reasons and the way back."""
    space, days = workspace.open(), days_of(context.partition_keys)
    # A run of one gated day stops at the gate. In a run of many the gate cannot stop one of them, so this step leaves it out.
    ready = days if len(days) == 1 else [day for day in space.sufficient(days) if not gate(space, day)]
    for day in ready:
        decisions = decide_day(space, day, today=now_utc().date())
        rows = space.store_decisions(day, decisions)
        actions = {f"action_{name}": sum(decision.action == name for decision in decisions) for name in ("apply", "canary", "hold", "reject", "none")}
        shown = preview([decision.model_dump() for decision in decisions], ("action", "mode", "category", "target", "from_value", "to_value", "reasons"))
        report_day(context, day, "update_decisions", rows, {**numbers(actions), "decisions": shown})
