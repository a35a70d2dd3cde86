"""The playbook asset: proposed changes, those that are held with the reason.

What goes here: the wiring of `playbooks/propose.py`. What does not: remedies (`remedies.yaml`), rules
(`playbooks/rules.py`).
"""

import dagster as dg
import pandas as pd

from fl_assets.defs.assets.patterns import KNOWLEDGE_SPECS, failure_patterns
from fl_assets.defs.metadata import numbers, preview, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import each_in_session, report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.playbooks.propose import FleetKnowledge, propose
from fl_assets.playbooks.rule_files import load_remedies

GROUP = "playbooks"


@dg.asset(deps=[failure_patterns, *KNOWLEDGE_SPECS], **table_asset("playbooks", GROUP))
@without_secrets
def playbooks(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Proposed changes for the day's patterns, with confidence, evidence and what holds each back."""
    space = workspace.open()
    remedies = load_remedies(space.settings.remedies_path)
    for day in each_in_session(space.warehouse, space.gate.sound_days(days_of(context.partition_keys))):
        read = space.warehouse.read_day
        found = [read(f"pattern_{name}", day) for name in ("consequences", "contrasts", "cures", "examples")]
        proposed = propose(
            pd.DataFrame(read("failure_families", day)),
            remedies,
            day=day,
            settings=space.settings,
            previous=space.playbooks.before(day),
            known=FleetKnowledge(*found, helps=space.playbooks.helped(day)),
        )
        rows = space.playbooks.replace(day, proposed)
        ready = [playbook for playbook in proposed if not playbook.held_because]
        sums = {"playbooks": rows, "actionable": len(ready), "held": rows - len(ready)}
        by_category = {
            f"category_{name}": sum(playbook.category == name for playbook in proposed)
            for name in ("prompt", "adapter", "config", "workflow")
        }
        shown = preview(
            [playbook.model_dump() for playbook in proposed],
            (
                "title",
                "confidence",
                "held_because",
                "category",
                "evidence_count",
                "nodes_affected",
                "nodes_reporting",
                "state",
            ),
        )
        report_day(
            context,
            day,
            "playbooks",
            rows,
            {**numbers(sums), **numbers(by_category), "playbooks_of_the_day": shown},
        )
