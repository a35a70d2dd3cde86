"""Asset checks: what must hold before a run goes on.

What goes here: one check a rule, with the numbers that a person needs. What does not: the rules (`playbooks/quality.py`, asked through `gate.py`).

Checks are per partition. A run of many days evaluates a check once for all of them: it blocks when every day fails; when some days
pass, it warns and lists the rest, which the steps after it leave out by asking the same rules, so that a thin day in a long
backfill stops only itself. The verdict on each of its days is filed under that day besides (`metadata.judged`).
"""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from fl_assets.core.cycles import mode_of
from fl_assets.core.models import Violation
from fl_assets.defs.metadata import file_verdict, judged, preview
from fl_assets.defs.partitions import DAILY, days_of
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction import residue
from fl_assets.playbooks import quality
from fl_assets.playbooks.gate import held, too_few_events
from fl_assets.updates.rollout import open_releases, recover_configs
from fl_assets.workspace import Workspace

Rule = Callable[[Workspace, date], list[Violation]]
Numbers = Callable[[Sequence[date]], dict[str, float]]
SHOWN = 20


def report(
    context: dg.AssetCheckExecutionContext,
    workspace: WorkspaceResource,
    rule: Rule,
    expected: str,
    numbers: Numbers = lambda _: {},
) -> dg.AssetCheckResult:
    """Ask a rule about each day of the run and return what it found, blocking when no day is left; `numbers` of the days are shown beside."""
    space = workspace.open()
    found = {day: rule(space, day) for day in space.one_by_one(days_of(context.partition_keys))}
    titles = {
        playbook.improvement_id: playbook.title
        for day, problems in found.items()
        if problems
        for playbook in space.playbooks(day)
    }

    def verdict(days: Sequence[date]) -> dg.AssetCheckResult:
        bad = [day for day in days if found[day]]
        rows = [
            {"day": str(day), "title": titles.get(problem.subject, ""), **problem.model_dump()}
            for day in bad
            for problem in found[day]
        ]
        more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        summary = (
            f"{rows[0]['title'] or rows[0]['subject']} has {rows[0]['actual']}{more}"
            if rows
            else "every rule holds"
        )
        metadata = {
            "days": ", ".join(str(day) for day in (bad or days)[:SHOWN]),
            "days_checked": len(days),
            "days_failed": len(bad),
            "violations": len(rows),
            **numbers(days),
        }
        if rows:
            metadata["offending"] = preview(
                rows, ("day", "rule", "title", "subject", "expected", "actual"), limit=SHOWN
            )
        return dg.AssetCheckResult(
            passed=not rows,
            severity=dg.AssetCheckSeverity.ERROR if len(bad) == len(days) else dg.AssetCheckSeverity.WARN,
            description=f"expected {expected}; found: {summary}",
            metadata=metadata,
        )

    result = judged(context, verdict)
    if not result.passed and result.severity == dg.AssetCheckSeverity.ERROR:
        excuse_those_behind(context, list(found), result)
    return result


def excuse_those_behind(
    context: dg.AssetCheckExecutionContext, days: Sequence[date], stopped: dg.AssetCheckResult
) -> None:
    """Say of each check that this run planned and will not come to why it was not asked; Dagster would show it as failed, without a word."""
    (key,) = context.selected_asset_check_keys
    behind = (
        dg.AssetSelection.assets(key.asset_key)
        .downstream(include_self=False)
        .resolve(context.op_execution_context.job_def.asset_layer.asset_graph)
    )
    for record in context.instance.all_logs(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    ):
        planned = record.get_dagster_event().event_specific_data.asset_check_key
        if planned.asset_key in behind:
            unasked = dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"not asked: {key.name} stopped the run ({stopped.description})",
            )
            for day in days:
                file_verdict(context, planned, day, unasked, blocking=False)


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def minimum_events(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """The day's window holds the minimum of events."""
    space = workspace.open()
    required = space.settings.min_events

    def numbers(days: Sequence[date]) -> dict[str, float]:
        return {"required": required, "collected": min(space.window(day).events for day in days)}

    return report(context, workspace, too_few_events, f"at least {required} events in the window", numbers)


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def few_malformed_lines(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """The share of lines that could not be read stays below the maximum."""
    maximum = workspace.open().settings.max_bad_ratio

    def rule(space: Workspace, day: date) -> list[Violation]:
        manifest = space.lake.manifest("quarantined_events", day)
        quarantined = manifest.rows if manifest else 0
        return quality.bad_ratio(quarantined, quarantined + space.events_on(day), maximum, subject=str(day))

    return report(
        context, workspace, rule, f"at most {maximum:.1%} malformed lines", lambda _: {"maximum": maximum}
    )


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def lake_matches_manifest(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """What the lake holds is what was committed: rows and hash."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return [
            problem
            for table in ("raw_traces", "conversation_logs", "node_summaries")
            for problem in space.lake.verify(table, day)
        ]

    return report(context, workspace, rule, "rows and content hash as committed")


@dg.asset_check(asset="failure_signatures", blocking=True, partitions_def=DAILY)
def tables_match_manifest(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """What the warehouse holds is what was committed: a torn log loses rows without an error."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return [
            problem
            for name in ("failure_signatures", "call_totals")
            for problem in space.warehouse.verify(name, space.window(day).days)
        ]

    return report(context, workspace, rule, "rows and content hash as committed")


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def confidence_gate(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """At least one playbook of the day reaches the threshold, when there are any."""
    threshold = workspace.open().settings.threshold

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.confidence_gate(space.playbooks(day), threshold)

    return report(
        context,
        workspace,
        rule,
        f"a playbook with confidence of at least {threshold}",
        lambda _: {"threshold": threshold},
    )


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def evidence_is_real(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Every playbook's evidence equals a recount of the lake's events."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.evidence_is_real(space.playbooks(day), space.recount(day))

    return report(context, workspace, rule, "evidence that a recount from raw_traces confirms")


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def enough_nodes(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """No playbook that may be acted on rests on fewer nodes than the minimum."""
    minimum = workspace.open().settings.min_nodes

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.enough_nodes(space.playbooks(day), minimum)

    return report(
        context,
        workspace,
        rule,
        f"at least {minimum} nodes behind what may be acted on",
        lambda _: {"minimum": minimum},
    )


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def no_personal_data(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """No text of a playbook holds personal data or a secret."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.no_personal_data(space.playbooks(day), residue)

    return report(context, workspace, rule, "no personal data and no secret in any playbook")


@dg.asset_check(asset="playbooks", partitions_def=DAILY)
def nothing_is_held(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """No playbook of the day is held back; a warning lists those that are, and never stops a run."""
    space = workspace.open()

    def verdict(days: Sequence[date]) -> dg.AssetCheckResult:
        rows = [
            {
                "day": str(day),
                "title": playbook.title,
                "confidence": playbook.confidence,
                "held_because": playbook.held_because,
            }
            for day in days
            for playbook in held(space.playbooks(day))
        ]
        metadata = {"days": f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0]), "held": len(rows)}
        if rows:
            metadata["playbooks"] = preview(rows, ("day", "title", "confidence", "held_because"), limit=SHOWN)
        return dg.AssetCheckResult(
            passed=not rows,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"expected no playbook held back; found: {len(rows)} held",
            metadata=metadata,
        )

    return judged(context, verdict)


@dg.asset_check(asset="update_outcomes", partitions_def=DAILY)
def updates_stand(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """No update was rolled back (a warning), and none waits for a person to put files right (an error); never stops a run."""
    space = workspace.open()
    failed = [
        one for one in open_releases(space).rollouts().values() if one.ended == "failed" and one.ended_at
    ]
    half_done = recover_configs(space)

    def verdict(days: Sequence[date]) -> dg.AssetCheckResult:
        rows = [
            {**row, "day": str(day)}
            for day in days
            for row in space.warehouse.read_day("update_outcomes", day)
            if row["action"] == "rolled_back"
        ]
        people = [
            {
                "day": str(day),
                "decision_id": one.update.decision_id,
                "category": one.update.category,
                "verdict": "failed",
                "reason": one.reason,
            }
            for day in days
            for one in failed
            if one.ended_at
            and mode_of(day, today=one.ended_at.date()) == "live"
            and day <= one.ended_at.date()
        ]
        people += (
            [
                {
                    "day": str(days[-1]),
                    "decision_id": "",
                    "category": "config",
                    "verdict": "half done",
                    "reason": half_done,
                }
            ]
            if half_done
            else []
        )
        shown = people + [
            row for row in rows if row["decision_id"] not in {one["decision_id"] for one in people}
        ]
        summary = (
            f"{len(shown) - len(people)} rolled back by their measured outcome, {len(people)} for a person to look at"
            if shown
            else "every update stands"
        )
        metadata = {"rolled_back": len(shown) - len(people), "needs_a_person": len(people)}
        if shown:
            metadata["updates"] = preview(
                shown, ("day", "decision_id", "category", "verdict", "reason"), limit=SHOWN
            )
        return dg.AssetCheckResult(
            passed=not shown,
            severity=dg.AssetCheckSeverity.ERROR if people else dg.AssetCheckSeverity.WARN,
            description=f"expected no update rolled back; found: {summary}",
            metadata=metadata,
        )

    return judged(context, verdict)


CHECKS = [
    minimum_events,
    few_malformed_lines,
    lake_matches_manifest,
    tables_match_manifest,
    confidence_gate,
    evidence_is_real,
    enough_nodes,
    no_personal_data,
    nothing_is_held,
    updates_stand,
]
