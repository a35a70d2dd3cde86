"""Everything that runs of many days need beyond runs of one day.

What goes here: recording metadata and check results under each day of a run, one database session per day.
What does not: which days continue (`playbooks/gate.py`), what is shown (`metadata.py`).

A run takes up to 31 days, so that a year takes twelve processes and not 365. Dagster records results under
the run; users read them by day.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # noqa: TID251  has no public name in 1.13, which we pin
    AssetCheckEvaluationTargetMaterializationData,
)

from fl_assets.defs.partitions import days_of
from fl_assets.infra.warehouse import Warehouse
from fl_assets.workspace import Workspace


def each_in_session(warehouse: Warehouse, days: Iterable[date]) -> Iterator[date]:
    """Yield each day with one connection to the warehouse, which is released between days."""
    for day in days:
        with warehouse.session():
            yield day


def sound_days(context: dg.AssetExecutionContext, space: Workspace) -> Iterator[date]:
    """Yield the days of a run that keep every input rule, each with one connection to the warehouse."""
    return each_in_session(space.warehouse, space.gate.sound_days(days_of(context.partition_keys)))


def report_day(
    context: dg.AssetExecutionContext,
    day: date,
    table_name: str,
    rows: int,
    metadata: Mapping[str, Any],
    *,
    nothing: str = "",
) -> None:
    """Attach a day's metadata to its own partition; where there are no rows, `nothing` in its place."""
    shown = {"nothing_here": nothing} if nothing and not rows else metadata
    context.add_asset_metadata(
        {"dagster/partition_row_count": rows, **shown}, asset_key=table_name, partition_key=str(day)
    )


def evaluate_per_day(
    context: dg.AssetCheckExecutionContext, evaluate: Callable[[Sequence[date]], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """Return a check's result for all days of a run, after recording each day's own where there are several.

    Dagster 1.13 plans a partitioned check once per day but records its one result under no day, so that every
    planned one would be shown as skipped.
    """
    days, spec = days_of(context.partition_keys), next(iter(context.check_specs))
    for day in days if len(days) > 1 else ():
        file_result(context, spec.key, day, evaluate([day]), blocking=spec.blocking)
    return evaluate(days)


def file_result(
    context: dg.AssetCheckExecutionContext,
    key: dg.AssetCheckKey,
    day: date,
    found: dg.AssetCheckResult,
    *,
    blocking: bool,
) -> None:
    """Record a check's result for one day; only the result that the check returns can stop the run."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.passed,
        metadata=found.metadata,
        target_materialization_data=_checked_materialization(context, key.asset_key, day),
        severity=found.severity,
        description=found.description,
        blocking=blocking,
        partition=str(day),
    )
    context.op_execution_context.log_event(evaluation)  # ty: ignore[invalid-argument-type]  (its hint forgets the fourth kind that it takes)


def _checked_materialization(
    context: dg.AssetCheckExecutionContext, asset_key: dg.AssetKey, day: date
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return a day's latest materialization, without which the UI shows the check as not run."""
    of_day = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[str(day)])
    for latest in context.instance.fetch_materializations(of_day, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
        )
    return None


def mark_downstream_checks_skipped(
    context: dg.AssetCheckExecutionContext, days: Sequence[date], stopped: dg.AssetCheckResult
) -> None:
    """Record for each check that a stopped run will not reach why; Dagster would show it as failed."""
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
                file_result(context, planned, day, unasked, blocking=False)
