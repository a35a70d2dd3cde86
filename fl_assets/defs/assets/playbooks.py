"""The asset of playbooks: proposed changes, with the reasons for those that are held.

What goes here: the wiring of `playbooks/propose.py`. What does not: remedies (`remedies.yaml`), rules
(`playbooks/rules.py`).
"""

from typing import Any

import dagster as dg
import pandas as pd

from fl_assets.core.models import Playbook
from fl_assets.defs.assets.outcomes import update_outcomes
from fl_assets.defs.assets.patterns import KNOWLEDGE_SPECS, failure_patterns
from fl_assets.defs.metadata import counts, numbers, preview, table_asset
from fl_assets.defs.per_day import report_day, sound_days
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.playbooks.fleet import FleetKnowledge
from fl_assets.playbooks.propose import propose
from fl_assets.playbooks.remedies import load_remedies
from fl_assets.report.words import without_subject
from fl_assets.updates.proposals import playbook_page

GROUP = "playbooks"
MAX_PAGES = 100
"""Playbooks of a day that the UI shows in full; files hold all."""


@dg.asset(deps=[failure_patterns, *KNOWLEDGE_SPECS, update_outcomes], **table_asset("playbooks", GROUP))
@without_secrets
def playbooks(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Proposed changes for the day's patterns, with confidence, evidence and what holds each back."""
    space = workspace.open()
    remedies = load_remedies(space.settings.remedies_path)
    for day in sound_days(context, space):
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
        held = [playbook for playbook in proposed if playbook.held_because]
        in_order = sorted(proposed, key=lambda playbook: playbook.rank)
        why = [{"playbook": one.title, "held because": _reasons(one)} for one in in_order[len(ready) :]]
        columns = ("failures", "nodes", "confidence", "playbook")
        pages = "\n\n---\n\n".join(map(playbook_page, in_order[:MAX_PAGES]))
        shown: dict[str, Any] = {
            **numbers({"passed_the_gate": len(ready), "held": len(held)}),
            **counts(one.category for one in proposed),
            "to_read": dg.MetadataValue.md(pages),
            "passing": preview(map(_line, in_order), columns, limit=len(ready)),
            "held_back": preview(why, ("playbook", "held because"), limit=len(why)),
        }
        nothing = "no failure of the day is known well enough for a change to be proposed"
        report_day(context, day, "playbooks", rows, shown, nothing=nothing)


def _reasons(playbook: Playbook) -> str:
    return "; ".join(without_subject(one, playbook.improvement_id) for one in playbook.held_because)


def _line(playbook: Playbook) -> dict[str, Any]:
    return {
        "failures": playbook.evidence_count,
        "nodes": f"{playbook.nodes_affected} of {playbook.nodes_reporting}",
        "confidence": f"{playbook.confidence:.0%}",
        "playbook": f"{playbook.title} ({playbook.category})",
    }
