"""Whether updates helped: the asset that judges the trials that `applied_updates` of earlier days began.

What does not go here: how a trial is judged (`updates/outcomes.py`), the steps that follow
(`updates/trials.py`).

It depends on the patterns alone, so that harm is rolled back on a gated day, too, and comes before playbooks
and decisions: no change is called untried on the day that its trial has ended.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.metadata import counts, preview, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import report_day
from fl_assets.defs.pictures import before_and_after, pictures
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc
from fl_assets.updates.history import lessons
from fl_assets.updates.lessons import learn
from fl_assets.updates.rollout import open_releases
from fl_assets.updates.trials import judge_day

GROUP = "updates"
NO_TRIAL = (
    "no change is on trial: one begins when a decision is approved (or FEDERATED_LEARNING_APPLY is canary or "
    "on), and is judged from the second day on"
)
SHORT_ID = 8
"""Letters of an id that are shown; commands and the launchpad accept the start of an id."""


@dg.asset(deps=[failure_patterns], **table_asset("update_outcomes", GROUP))
@without_secrets
def update_outcomes(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Whether updates helped: promotes trials that did, rolls back the worse, inconclusive or faded ones."""
    space = workspace.open()
    for day in space.gate.sound_days(days_of(context.partition_keys)):
        found = judge_day(space.updates, day, clock=now_utc)
        rows = space.warehouse.replace_records("update_outcomes", day, found)
        learned = learn(lessons(open_releases(space.updates).rollouts().values()))
        titles = space.report.playbook_titles(day)
        table = [
            {
                "id": one["decision_id"][:SHORT_ID],
                "verdict": f"{_verdict(one)}; failures {_effect(one)}",
                "what and why": f"{titles.get(one['improvement_id'], one['target'])}: {one['reason']}",
            }
            for one in found
        ]
        scores = [
            {"remedy": remedy, **score, "helps": f"{learned.helps(remedy, '').probability:.0%}"}
            for remedy, score in learned.scores.items()
        ]
        shown: dict[str, Any] = {
            **counts(row["verdict"] for row in found),
            **pictures(rates=before_and_after(found)),
            "trials": preview(table, ("id", "verdict", "what and why"), limit=len(table)),
            "remedies": preview(scores, ("remedy", "helpful", "harmful", "inconclusive", "helps")),
        }
        report_day(context, day, "update_outcomes", rows, shown, nothing=NO_TRIAL)


def _verdict(outcome: Mapping[str, Any]) -> str:
    done = "" if outcome["action"] == "none" else f", {outcome['action'].replace('_', ' ')}"
    return f"{outcome['verdict']}{done}"


def _effect(outcome: Mapping[str, Any]) -> str:
    """Say what a change did to the failures, with its interval."""
    low, high = outcome["effect_low"], outcome["effect_high"]
    if outcome["effect"] is None:
        return "not known yet"
    return f"x {outcome['effect']:.2f}" + (f" ({low:.2f} to {high:.2f})" if low and high else "")
