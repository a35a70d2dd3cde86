"""Asset checks: one for each rule of the gate, and two that only warn.

What goes here: showing verdicts as checks. What does not: the rules (`playbooks/rules.py`).

Checks are per partition. A run of many days evaluates a check once for all of them: it blocks when every day
fails. When some days pass, it warns, and later steps leave the failed days out (`Gate.sound_days`,
`Gate.ready_days`), so that a bad day in a long backfill stops only itself. Each day's result is recorded
under that day (`per_day.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from fl_assets.core.cycles import mode_of
from fl_assets.defs.metadata import CHECK_ROWS, check_result, preview
from fl_assets.defs.partitions import DAILY, days_of
from fl_assets.defs.per_day import evaluate_per_day, mark_downstream_checks_skipped
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.playbooks import rules
from fl_assets.playbooks.gate import Verdict
from fl_assets.playbooks.rules import GateRule
from fl_assets.updates.decisions import cycle_result
from fl_assets.updates.history import Rollout
from fl_assets.updates.rollout import open_releases, recover_configs
from fl_assets.workspace import Workspace

NOT_READ = ("events", "reason", "path", "fix")
OFFENDING = ("found", "needed", "of")
"""Columns that fit a page 1280 pixels wide; runs of many days have the day before them."""


def rule_checks() -> list[dg.AssetChecksDefinition]:
    """Return a blocking check for each rule of the gate."""
    return [_check_of(rule) for rule in (*rules.INPUT_RULES, *rules.GATE)]


def _check_of(rule: GateRule[Any]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=rule.asset, name=rule.name, description=rule.doc, blocking=True, partitions_def=DAILY
    )
    @without_secrets
    def check(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
        space, days = workspace.open(), days_of(context.partition_keys)
        with space.warehouse.session():
            verdicts = space.gate.ask(rule, days)
            titles = _titles(space, verdicts)
            kept = {day: space.gate.kept(rule, day) for day, one in verdicts.items() if not one.stopping}
            _close_cycles(space, context.run.run_id, verdicts)
        limits: dict[str, Any] = {name: f"{limit:g}" for name, limit in rule.limits(space.settings).items()}
        if rule.asset == "raw_traces" and (unread := space.index.unread()):
            limits["not_read"] = preview([asdict(one) for one in unread], NOT_READ, limit=CHECK_ROWS)
        expected = rule.expected(space.settings)
        result = evaluate_per_day(
            context,
            lambda some: _result({day: verdicts[day] for day in some}, expected, titles, kept, limits),
        )
        if not result.passed and result.severity == dg.AssetCheckSeverity.ERROR:
            mark_downstream_checks_skipped(context, days, result)
        return result

    return check


def _result(
    verdicts: Mapping[date, Verdict],
    expected: str,
    titles: Mapping[str, str],
    kept: Mapping[date, str],
    limits: Mapping[str, Any],
) -> dg.AssetCheckResult:
    """Return a check's result for some days: an error when all fail, else a warning that lists those that do.

    Args:
        verdicts: Verdicts by day.
        expected: What the rule asks for.
        titles: Titles of playbooks by id.
        kept: Descriptions of the days that keep the rule.
        limits: Further metadata; limits are text, since the UI plots numbers.
    """
    failed = [day for day, verdict in verdicts.items() if verdict.stopping]
    rows = [
        {
            "day": str(day),
            "found": broken.actual,
            "needed": broken.expected,
            "of": titles.get(broken.subject, broken.subject),
        }
        for day in failed
        for broken in verdicts[day].stopping
    ]
    numbers: dict[str, Any] = {"violations": len(rows), **limits}
    if len(verdicts) > 1:
        numbers |= {
            "days": ", ".join(str(day) for day in (failed or list(verdicts))[:CHECK_ROWS]),
            "days_failed": f"{len(failed)} of {len(verdicts)}",
        }
    said = _said(rows, expected, [kept[day] for day in verdicts if day in kept])
    return check_result(
        rows,
        ("day", *OFFENDING) if len(verdicts) > 1 else OFFENDING,
        numbers=numbers,
        failed=said,
        is_error=len(failed) == len(verdicts),
    )


def _said(rows: Sequence[Mapping[str, str]], expected: str, kept: Sequence[str]) -> str:
    """Return a check's description: what was expected and found, or the numbers of the last day."""
    if rows:
        more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        return f"expected {expected}; found: {rows[0]['of']} has {rows[0]['found']}{more}"
    return kept[0] if len(kept) == 1 else f"all {len(kept)} days; the last: {kept[-1]}"


def _titles(space: Workspace, verdicts: Mapping[date, Verdict]) -> dict[str, str]:
    """Return the titles of playbooks by id, of the days that are stopped."""
    stopped = [day for day, verdict in verdicts.items() if verdict.stopping]
    return {one.improvement_id: one.title for day in stopped for one in space.playbooks.of(day)}


def _close_cycles(space: Workspace, run_id: str, verdicts: Mapping[date, Verdict]) -> None:
    """Close the cycles of stopped days, which later steps leave out."""
    for day, verdict in verdicts.items():
        if verdict.stopping:
            status, reason, counts = cycle_result(space.updates, day)
            space.cycles.finish(run_id, day, status, reason, **counts)


@dg.asset_check(asset="update_outcomes", partitions_def=DAILY)
@without_secrets
def updates_stand(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """No update was rolled back (a warning), and none waits for a person to repair files (an error)."""
    space = workspace.open()
    rollouts = open_releases(space.updates).rollouts()
    half_done = recover_configs(space.updates)

    def evaluate(days: Sequence[date]) -> dg.AssetCheckResult:
        people = [row for day in days for row in _for_a_person(rollouts.values(), day)]
        if half_done:
            people.append(_row(days[-1], "", "half done", half_done))
        known = {row["decision_id"] for row in people}
        measured = [
            {**row, "day": str(day)}
            for day in days
            for row in space.warehouse.read_day("update_outcomes", day)
            if row["action"] == "rolled_back" and row["decision_id"] not in known
        ]
        under_way = sum(one.is_running or one.is_watched for one in rollouts.values())
        return check_result(
            people + measured,
            ("day", "decision_id", "verdict", "reason"),
            numbers={"rolled_back": len(measured), "needs_a_person": len(people)},
            failed=f"expected no update rolled back; found: {len(measured)} rolled back by their measured "
            f"outcome, {len(people)} for a person to look at",
            passed=f"{under_way} updates on trial or being watched, none rolled back",
            is_error=bool(people),
            shown_as="updates",
        )

    return evaluate_per_day(context, evaluate)


def _for_a_person(rollouts: Iterable[Rollout], day: date) -> Iterator[dict[str, str]]:
    """Yield the updates that could not be carried out, on the days on which that was news."""
    for one in rollouts:
        ended = one.ended_at.date() if one.ended == "failed" and one.ended_at else None
        if ended and day <= ended and mode_of(day, today=ended) == "live":
            yield _row(day, one.update.decision_id, "failed", one.reason)


def _row(day: date, decision_id: str, verdict: str, reason: str) -> dict[str, str]:
    return {"day": str(day), "decision_id": decision_id, "verdict": verdict, "reason": reason}


_SCORED = """
    with scored as (
        select event_date, evaluation_id, node_id, trace_id, name, value, label from evaluations
        where list_contains($days, event_date) and trace_id is not null),
    around as (select min(event_date) - 14 as first, max(event_date) + 1 as last from scored),
    known as (
        select trace_id from raw_traces, around where event_date between first and last
        union select trace_id from conversation_logs, around where event_date between first and last)
    select *, trace_id in (select trace_id from known where trace_id is not null) as is_known from scored
    order by event_date, evaluation_id"""
"""A person may score a trace days after it."""


@dg.asset_check(asset="evaluations", partitions_def=DAILY)
@without_secrets
def evaluations_have_traces(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Most scores that name a trace name a stored one, of that day or fourteen before; else a warning."""
    space = workspace.open()
    space.warehouse.create(space.settings.lake_folder)  # the views over the lake's present files

    def evaluate(days: Sequence[date]) -> dg.AssetCheckResult:
        rows = space.warehouse.rows(_SCORED, {"days": list(days)})
        lost = [row for row in rows if not row["is_known"]]
        said = f"{len(rows) - len(lost)} of {len(rows)} scores have a stored trace, half should"
        return check_result(
            lost,
            ("name", "value", "trace_id", "node_id"),
            numbers={"scores_with_a_trace": len(rows), "without_its_trace": len(lost)},
            failed=said,
            is_passed=2 * len(lost) <= len(rows),
            shown_as="unknown",
        )

    return evaluate_per_day(context, evaluate)


CHECKS = [*rule_checks(), evaluations_have_traces, updates_stand]
