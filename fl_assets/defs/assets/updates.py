"""Update assets: what happens with each playbook, what was carried out, and whether it helped.

What goes here: the wiring of `rollout.py` and `updates/decide.py`. What does not: the rules of a decision, of
a canary, of a verdict.

`update_outcomes` comes before `update_decisions` of the same day, and hangs on patterns alone: harm is rolled
back on a day that is gated, too, and the day's decisions know of it. What it judges are trials that
`applied_updates` of earlier days began.
"""

from datetime import timedelta
from typing import get_args

import dagster as dg
from pydantic import Field

from fl_assets.defs.assets.adapters import adapter_catalogue
from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.assets.playbooks import playbooks
from fl_assets.defs.metadata import numbers, preview, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import report_day
from fl_assets.defs.pictures import before_and_after, pictures
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc
from fl_assets.updates.answers import answer
from fl_assets.updates.history import fold, lessons
from fl_assets.updates.lessons import learn
from fl_assets.updates.rollout import carry_out_day, open_releases
from fl_assets.updates.trial import Finding
from fl_assets.updates.trials import judge_day

GROUP = "updates"


class Answers(dg.Config):
    """What a person says to decisions, for launching `applied_updates` in the UI.

    The same as `fl-assets approve` and `reject`.
    """

    approve: list[str] = Field(default_factory=list, description="Ids of decisions that are approved.")
    reject: list[str] = Field(default_factory=list, description="Ids of decisions that are rejected.")
    codes: list[str] = Field(
        default_factory=list,
        description="The code of each, as `fl-assets decisions` shows it; it is good once.",
    )
    reason: str = Field("", description="Why; needed with either.")
    by: str = Field("", description="Who answers; needed with either.")


@dg.asset(deps=[failure_patterns], **table_asset("update_outcomes", GROUP))
@without_secrets
def update_outcomes(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Whether updates helped.

    Promotes trials that are better, rolls back those that are worse, inconclusive or have faded.
    """
    space = workspace.open()
    for day in space.gate.sound_days(days_of(context.partition_keys)):
        found = judge_day(space.updates, day, clock=now_utc)
        rows = space.warehouse.replace_records("update_outcomes", day, found)
        verdicts = {
            f"verdict_{name}": sum(row["verdict"] == name for row in found) for name in get_args(Finding)
        }
        shown = preview(
            found,
            (
                "decision_id",
                "category",
                "stage",
                "verdict",
                "action",
                "effect",
                "effect_low",
                "effect_high",
                "days_observed",
                "reason",
            ),
        )
        learned = learn(lessons(open_releases(space.updates).rollouts().values()))
        scores = [{"remedy_id": remedy, **score} for remedy, score in learned.scores.items()]
        columns = ("remedy_id", "helpful", "harmful", "inconclusive", "faded", "rejected")
        report_day(
            context,
            day,
            "update_outcomes",
            rows,
            {
                **numbers(verdicts),
                **pictures(rates=before_and_after(found)),
                "trials": shown,
                "remedies": preview(scores, columns),
            },
        )


@dg.asset(deps=[playbooks, adapter_catalogue, update_outcomes], **table_asset("update_decisions", GROUP))
@without_secrets
def update_decisions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """The decision for each playbook: apply, canary, hold, reject or none, with reasons.

    Each carries its rollback plan.
    """
    space, days = workspace.open(), days_of(context.partition_keys)
    # A run that makes the playbooks goes on with the days that pass the gate. One that only decides says
    # `hold` for each playbook of the others.
    makes_playbooks = playbooks.key in context.job_def.asset_layer.selected_asset_keys
    ready = space.gate.ready_days(days) if makes_playbooks else space.gate.sound_days(days)
    events = open_releases(space.updates).events()
    for day in ready:
        known = fold(event for event in events if event.at.date() <= day + timedelta(days=1))
        decisions = space.decisions.decide(day, today=now_utc().date(), rollouts=known.values())
        rows = space.decisions.replace(day, decisions)
        actions = {
            f"action_{name}": sum(decision.action == name for decision in decisions)
            for name in ("apply", "canary", "hold", "reject", "none")
        }
        shown = preview(
            [decision.model_dump() for decision in decisions],
            ("action", "target", "reasons", "helps", "benefit", "to_value", "from_value", "category", "mode"),
        )
        report_day(context, day, "update_decisions", rows, {**numbers(actions), "decisions": shown})


@dg.asset(deps=[update_decisions], **table_asset("applied_updates", GROUP))
@without_secrets
def applied_updates(context: dg.AssetExecutionContext, config: Answers, workspace: WorkspaceResource) -> None:
    """What was done about each decision that asks for a change.

    Staged, on canary nodes, applied, or why not; each is carried out once.
    """
    space, days = workspace.open(), days_of(context.partition_keys)
    for yes, decisions in ((True, config.approve), (False, config.reject)):
        for decision in decisions:
            given = {"by": config.by, "reason": config.reason, "codes": config.codes}
            answer(space.updates, decision, yes=yes, **given, clock=now_utc)
    for day in days:
        if space.warehouse.manifest("update_decisions", day) is None:
            continue
        found = carry_out_day(space.updates, day, clock=now_utc)
        rows = space.warehouse.replace_records("applied_updates", day, found)
        statuses = {
            f"status_{name}": sum(row["status"] == name for row in found)
            for name in ("staged", "canary", "applied", "waiting", "rejected", "refused")
        }
        shown = preview(
            found,
            ("decision_id", "status", "category", "target", "from_value", "to_value", "decided_by", "reason"),
        )
        report_day(context, day, "applied_updates", rows, {**numbers(statuses), "updates": shown})
