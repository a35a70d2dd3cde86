"""Update assets: decisions about playbooks, and carrying them out.

What goes here: the wiring of `updates/`. What does not: the rules of decisions, trials and verdicts; whether
updates helped (`outcomes.py`).
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from fl_assets.core.models import Decision, Playbook
from fl_assets.defs.assets.adapters import adapter_catalogue
from fl_assets.defs.assets.outcomes import GROUP, SHORT_ID, update_outcomes
from fl_assets.defs.assets.playbooks import playbooks
from fl_assets.defs.failures import in_one_line
from fl_assets.defs.metadata import counts, preview, table_asset
from fl_assets.defs.partitions import days_of
from fl_assets.defs.per_day import report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.defs.terminal_runs import LOCATION
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc
from fl_assets.updates.answers import AnswerError, answer_each
from fl_assets.updates.decide import in_words, is_for_review
from fl_assets.updates.history import MACHINE, fold
from fl_assets.updates.proposals import answer_config, can_be_answered, proposal
from fl_assets.updates.rollout import carry_out_day, open_releases

MAX_PAGES = 60
"""Decisions of a day with a page in the UI; `data/proposals` has all that wait for a person."""
HERE = f"__repository__@{LOCATION}"


class Answers(dg.Config):
    """A person's answers to decisions, for launching `applied_updates` in the UI."""

    # Plain defaults: with factories, the launchpad would not fill these fields in.
    approve: list[str] = Field([], description="Ids of decisions that are approved.")
    reject: list[str] = Field([], description="Ids of decisions that are rejected.")
    codes: list[str] = Field(
        [], description="The code of each, as `fl-assets decisions` shows it; it is good once."
    )
    reason: str = Field("", description="Why; needed with either.")
    by: str = Field("", description="Who answers; needed with either.")


@dg.asset(deps=[playbooks, adapter_catalogue, update_outcomes], **table_asset("update_decisions", GROUP))
@without_secrets
def update_decisions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """The decision for each playbook: apply, canary, hold, reject or none, with reasons and rollback plan."""
    space, days = workspace.open(), days_of(context.partition_keys)
    # A run that also makes the playbooks continues with days that pass the gate. One that only decides holds
    # the playbooks of all others.
    makes_playbooks = playbooks.key in context.job_def.asset_layer.selected_asset_keys
    ready = space.gate.ready_days(days) if makes_playbooks else space.gate.sound_days(days)
    events = open_releases(space.updates).events()
    for day in ready:
        known = fold(event for event in events if event.at.date() <= day + timedelta(days=1))
        decisions = space.decisions.decide(day, today=now_utc().date(), rollouts=known.values())
        rows = space.decisions.replace(day, decisions)
        playbooks_of_day = {one.improvement_id: one for one in space.playbooks.of(day)}
        shown = _shown_decisions(decisions, playbooks_of_day, _place(context))
        report_day(context, day, "update_decisions", rows, shown)


def _shown_decisions(
    decisions: Collection[Decision], playbooks: Mapping[str, Playbook], place: str
) -> dict[str, Any]:
    """Return the metadata of a day's decisions: counts by kind, a table, and a page of each."""
    in_order = sorted(
        decisions,
        key=lambda one: (
            not is_for_review(one),
            not can_be_answered(one),
            -(one.benefit or 0.0),
            one.decision_id,
        ),
    )
    table = [
        {
            "id": one.decision_id[:SHORT_ID],
            "decision": in_words(one.model_dump()),
            "playbook": playbooks[one.improvement_id].title,
        }
        for one in in_order
    ]
    pages = {
        f"page_{one.decision_id[:SHORT_ID]}": dg.MetadataValue.md(
            proposal(playbooks[one.improvement_id], one, _launchpad(one, place))
        )
        for one in in_order[:MAX_PAGES]
    }
    to_answer = sum(map(is_for_review, decisions))
    how = "nobody is asked to act on this day"
    if to_answer:
        how = f"{to_answer} wait for an answer: each page below says what changes, why, and how to accept it"
    return {
        **counts(in_words(one.model_dump()) for one in decisions),
        "how_to_answer": how,
        "decisions": preview(table, ("id", "decision", "playbook"), limit=len(table)),
        **pages,
    }


def _launchpad(decision: Decision, place: str) -> str:
    """Return the path, within the UI, of a launchpad that holds an approval, all but its code."""
    if not can_be_answered(decision):
        return ""
    tag = f"tags[0][key]=dagster/partition&tags[0][value]={decision.day}"
    config = quote(answer_config(decision.decision_id, "the code"), safe="")
    return f"/locations/{place}/jobs/apply_updates/playground/setup?{quote(tag, safe='=&')}&config={config}"


def _place(context: dg.AssetExecutionContext) -> str:
    """Return where this code is in the UI; a run from the terminal may not know, and takes our name."""
    origin = context.run.remote_job_origin
    return f"__repository__@{origin.repository_origin.code_location_origin.location_name}" if origin else HERE


@dg.asset(deps=[update_decisions], **table_asset("applied_updates", GROUP))
@in_one_line(AnswerError)
@without_secrets
def applied_updates(context: dg.AssetExecutionContext, config: Answers, workspace: WorkspaceResource) -> None:
    """What was done about each decision: staged, on canary nodes, applied, or why not; each is done once."""
    space, days = workspace.open(), days_of(context.partition_keys)
    given = [*((one, True) for one in config.approve), *((one, False) for one in config.reject)]
    answer_each(space.updates, given, by=config.by, reason=config.reason, codes=config.codes, clock=now_utc)
    for day in days:
        if space.warehouse.manifest("update_decisions", day) is None:
            continue
        found = carry_out_day(space.updates, day, clock=now_utc)
        rows = space.warehouse.replace_records("applied_updates", day, found)
        titles = space.report.playbook_titles(day)
        table = [
            {
                "id": row["decision_id"][:SHORT_ID],
                "status": f"{row['status']}{_by(row['decided_by'])}",
                "what and why": f"{titles.get(row['improvement_id'], row['target'])}: {row['reason']}",
            }
            for row in found
        ]
        shown: dict[str, Any] = {
            **counts(row["status"] for row in found),
            "updates": preview(table, ("id", "status", "what and why"), limit=len(table)),
        }
        nothing = "no decision of this day asks for a change that could be carried out"
        report_day(context, day, "applied_updates", rows, shown, nothing=nothing)


def _by(who: str) -> str:
    """Return who decided, where it was a person."""
    return f" by {who}" if who and who != MACHINE else ""
