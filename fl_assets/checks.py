"""Asset checks: what must hold before a run goes on.

What goes here: one check a rule, with the numbers that a person needs. What does not: the rules (`domain/quality.py`, asked through `gate.py`).

Checks are per partition. A run of many days evaluates a check once for all of them: it blocks when every day fails; when some days
pass, it warns and lists the rest, which the steps after it leave out by asking the same rules, so that a thin day in a long
backfill stops only itself.
"""

from collections.abc import Callable
from datetime import date

import dagster as dg

from fl_assets.domain import quality
from fl_assets.domain.models import Violation
from fl_assets.domain.redaction import residue
from fl_assets.gate import held, too_few_events
from fl_assets.metadata import preview
from fl_assets.partitions import DAILY, days_of
from fl_assets.resources import WorkspaceResource
from fl_assets.storage.workspace import Workspace

Rule = Callable[[Workspace, date], list[Violation]]
SHOWN = 20


def report(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource, rule: Rule, expected: str, **numbers: float) -> dg.AssetCheckResult:
    """Ask a rule about each day of the run and return what it found, blocking when no day is left."""
    space, days = workspace.open(), days_of(context.partition_keys)
    found = {day: rule(space, day) for day in space.one_by_one(days)}
    bad = [day for day, problems in found.items() if problems]
    titles = {playbook.improvement_id: playbook.title for day in bad for playbook in space.playbooks(day)}
    rows = [{"day": str(day), "title": titles.get(problem.subject, ""), **problem.model_dump()} for day in bad for problem in found[day]]
    everything = len(bad) == len(days)
    summary = (
        "every rule holds"
        if not rows
        else f"{rows[0]['title'] or rows[0]['subject']} has {rows[0]['actual']}" + (f", and {len(rows) - 1} more" if len(rows) > 1 else "")
    )
    metadata = {
        "days": ", ".join(str(day) for day in (bad or days)[:SHOWN]),
        "days_checked": len(days),
        "days_failed": len(bad),
        "violations": len(rows),
        **numbers,
    }
    if rows:
        metadata["offending"] = preview(rows, ("day", "rule", "title", "subject", "expected", "actual"), limit=SHOWN)
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.ERROR if everything else dg.AssetCheckSeverity.WARN,
        description=f"expected {expected}; found: {summary}",
        metadata=metadata,
    )


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def minimum_events(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """The day's window holds the minimum of events."""
    space = workspace.open()
    windows = [space.window(day) for day in days_of(context.partition_keys)]
    thinnest = min(window.events for window in windows)
    required = space.settings.min_events
    return report(context, workspace, too_few_events, f"at least {required} events in the window", required=required, collected=thinnest)


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def few_malformed_lines(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """The share of lines that could not be read stays below the maximum."""
    maximum = workspace.open().settings.max_bad_ratio

    def rule(space: Workspace, day: date) -> list[Violation]:
        manifest = space.lake.manifest("quarantined_events", day)
        quarantined = manifest.rows if manifest else 0
        return quality.bad_ratio(quarantined, quarantined + space.events_on(day), maximum, subject=str(day))

    return report(context, workspace, rule, f"at most {maximum:.1%} malformed lines", maximum=maximum)


@dg.asset_check(asset="raw_traces", blocking=True, partitions_def=DAILY)
def lake_matches_manifest(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """What the lake holds is what was committed: rows and hash."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return [*space.lake.verify("raw_traces", day), *space.lake.verify("conversation_logs", day)]

    return report(context, workspace, rule, "rows and content hash as committed")


@dg.asset_check(asset="failure_signatures", blocking=True, partitions_def=DAILY)
def tables_match_manifest(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """What the warehouse holds is what was committed: a torn log loses rows without an error."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return [problem for name in ("failure_signatures", "call_totals") for problem in space.warehouse.verify(name, space.window(day).days)]

    return report(context, workspace, rule, "rows and content hash as committed")


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def confidence_gate(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """At least one playbook of the day reaches the threshold, when there are any."""
    threshold = workspace.open().settings.threshold

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.confidence_gate(space.playbooks(day), threshold)

    return report(context, workspace, rule, f"a playbook with confidence of at least {threshold}", threshold=threshold)


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def evidence_is_real(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
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

    return report(context, workspace, rule, f"at least {minimum} nodes behind what may be acted on", minimum=minimum)


@dg.asset_check(asset="playbooks", blocking=True, partitions_def=DAILY)
def no_personal_data(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """No text of a playbook holds personal data or a secret."""

    def rule(space: Workspace, day: date) -> list[Violation]:
        return quality.no_personal_data(space.playbooks(day), residue)

    return report(context, workspace, rule, "no personal data and no secret in any playbook")


@dg.asset_check(asset="playbooks", partitions_def=DAILY)
def nothing_is_held(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """No playbook of the day is held back; a warning lists those that are, and never stops a run."""
    space, days = workspace.open(), days_of(context.partition_keys)
    rows = [
        {"day": str(day), "title": playbook.title, "confidence": playbook.confidence, "held_because": playbook.held_because}
        for day in days
        for playbook in held(space.playbooks(day))
    ]
    metadata = {"days": f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0]), "held": len(rows)}
    if rows:
        metadata["playbooks"] = preview(rows, ("day", "title", "confidence", "held_because"), limit=SHOWN)
    return dg.AssetCheckResult(
        passed=not rows, severity=dg.AssetCheckSeverity.WARN, description=f"expected no playbook held back; found: {len(rows)} held", metadata=metadata
    )


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
]
