"""How tables and numbers are shown in the Dagster UI.

What goes here: column schemas, previews, the options that every asset shares. What does not: pictures (`pictures.py`), numbers themselves.

Text from telemetry is shown only inside table values, which the UI renders as plain text: its markdown loads remote images, and its
url values render `javascript:` links.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # noqa: TID251  has no public name in 1.13, which we pin
    AssetCheckEvaluationTargetMaterializationData,
)

from fl_assets.core.tables import TABLES
from fl_assets.defs.partitions import BACKFILL, DAILY, days_of

CODE_VERSION = "1"
"""Raise it when a table's meaning changes: the UI then marks what was made before as outdated."""

PREVIEW_ROWS = 10
PREVIEW_CHARS = 160
OWNERS = ["team:feedback-loop"]
TAGS = {"domain": "federated-learning"}
FRESHNESS = dg.FreshnessPolicy.cron(deadline_cron="0 3 * * *", lower_bound_delta=timedelta(hours=24))
"""One for all: Dagster looks through years of the cron to check each, 20 ms."""


def column_schema(table_name: str) -> dg.TableSchema:
    """Return the declared columns of a table, with types and meanings."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, description=column.doc)
            for column in TABLES[table_name].columns
        ]
    )


def table_spec(table_name: str, group: str, deps: Sequence[str] = ()) -> dg.AssetSpec:
    """Return the spec of the asset that is the table of the same name."""
    return dg.AssetSpec(
        table_name, deps=list(deps), description=TABLES[table_name].doc, **_shared(table_name, group)
    )


def table_asset(table_name: str, group: str) -> dict[str, Any]:
    """Return the options of the `@dg.asset` that makes the table of the same name; its docstring is the description."""
    return {"partitions_def": DAILY, "backfill_policy": BACKFILL, **_shared(table_name, group)}


def file_asset(group: str, kinds: set[str]) -> dict[str, Any]:
    """Return the options of an `@dg.asset` that makes files, not a table; its docstring is the description."""
    return {"partitions_def": DAILY, "backfill_policy": BACKFILL, **_common(group, kinds)}


def _shared(table_name: str, group: str) -> dict[str, Any]:
    kinds = {"duckdb", "parquet"} if group == "telemetry" else {"duckdb", "python"}
    return {
        **_common(group, kinds),
        "metadata": {"dagster/column_schema": column_schema(table_name), "dagster/table_name": table_name},
    }


def _common(group: str, kinds: set[str]) -> dict[str, Any]:
    return {
        "group_name": group,
        "kinds": kinds,
        "owners": OWNERS,
        "tags": TAGS,
        "code_version": CODE_VERSION,
        "freshness_policy": FRESHNESS,
    }


def preview(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, limit: int = PREVIEW_ROWS
) -> dg.MetadataValue:
    """Return the first rows as a table value; long texts are cut, lists and dates become text."""
    records = [
        dg.TableRecord({name: _cell(row[name]) for name in columns})
        for _, row in zip(range(limit), rows, strict=False)
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, _kind(records, name)) for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)


def numbers(values: Mapping[str, float | int | None]) -> dict[str, float | int]:
    """Return the numbers that are there, as plain int and float, so that the UI plots them over partitions."""
    return {
        name: (float(value) if isinstance(value, float) else int(value))
        for name, value in sorted(values.items())
        if value is not None
    }


def report_day(
    context: dg.AssetExecutionContext, day: date, table_name: str, rows: int, metadata: Mapping[str, Any]
) -> None:
    """Attach a day's numbers to its own partition, also in a run of many days."""
    context.add_asset_metadata(
        {"dagster/partition_row_count": rows, **metadata}, asset_key=table_name, partition_key=str(day)
    )


def judged(
    context: dg.AssetCheckExecutionContext, verdict: Callable[[Sequence[date]], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """Return a check's verdict on all days of a run; in a run of many, file the verdict on each under its own partition first.

    Dagster 1.13 plans a partitioned check once a day and files its one result under no day at all, so that every planned one would be shown as skipped.
    """
    days, spec = days_of(context.partition_keys), next(iter(context.check_specs))
    for day in days if len(days) > 1 else ():
        file_verdict(context, spec.key, day, verdict([day]), blocking=spec.blocking)
    return verdict(days)


def file_verdict(
    context: dg.AssetCheckExecutionContext,
    key: dg.AssetCheckKey,
    day: date,
    found: dg.AssetCheckResult,
    *,
    blocking: bool,
) -> None:
    """Record the verdict of a check on one day; what stops a run is only the result that the check itself returns."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.passed,
        metadata=found.metadata,
        target_materialization_data=_judged_materialization(context, key.asset_key, day),
        severity=found.severity,
        description=found.description,
        blocking=blocking,
        partition=str(day),
    )
    context.op_execution_context.log_event(evaluation)  # ty: ignore[invalid-argument-type]  (its hint forgets the fourth kind that it takes)


def _judged_materialization(
    context: dg.AssetCheckExecutionContext, asset_key: dg.AssetKey, day: date
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return a day's latest materialization, which a check's status is compared with; without it the UI shows the check as not run."""
    latest = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=[str(day)]), limit=1
    ).records
    return (
        AssetCheckEvaluationTargetMaterializationData(
            storage_id=latest[0].storage_id, run_id=latest[0].run_id, timestamp=latest[0].timestamp
        )
        if latest
        else None
    )


def _cell(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 4)
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"


def _kind(records: Sequence[dg.TableRecord], name: str) -> str:
    kinds = {type(record.data[name]) for record in records if record.data[name] != ""}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    return "float" if kinds and kinds <= {int, float} else "string"
