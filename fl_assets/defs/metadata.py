"""Metadata of assets: column schemas, previews, and the options that every asset shares.

What does not go here: pictures (`pictures.py`), the numbers themselves.

Text from telemetry is shown only inside table values, which the UI renders as plain text: its markdown loads
remote images, and its url values render `javascript:` links.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from fl_assets.core.tables import TABLES
from fl_assets.defs.partitions import BACKFILL, DAILY

CODE_VERSION = "2"
"""Raise it when a table's meaning changes: the UI then marks earlier materialisations as outdated."""

PREVIEW_ROWS, CHECK_ROWS = 10, 20
PREVIEW_CHARS = 160
"""A page 1280 pixels wide leaves some 60 characters to all columns of a table: use four at most, numbers
first and the text, which may wrap, last."""
_UNBREAKABLE = re.compile(r"\S{25,}")
"""Text, such as JSON without blanks, that would make a table too wide; blanks are added where JSON may have
them."""
_MAY_BREAK = re.compile(r'(,|":|[{\[](?=["{\[]))')
OWNERS = ["team:feedback-loop"]
TAGS = {"domain": "federated-learning"}
FRESHNESS = dg.FreshnessPolicy.cron(deadline_cron="0 3 * * *", lower_bound_delta=timedelta(hours=24))
"""One object for all assets: Dagster takes 20 ms to check each."""


def column_schema(table_name: str) -> dg.TableSchema:
    """Return the declared columns of a table, with types and meanings."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, column.type, description=column.doc)
            for column in TABLES[table_name].columns
        ]
    )


def table_spec(
    table_name: str, group: str, deps: Sequence[dg.AssetsDefinition | dg.AssetSpec] = ()
) -> dg.AssetSpec:
    """Return the spec of the asset that is the table of the same name."""
    options = _of_table(table_name, group)
    return dg.AssetSpec(table_name, deps=list(deps), description=TABLES[table_name].doc, **options)


def table_asset(table_name: str, group: str) -> dict[str, Any]:
    """Return the options of the `@dg.asset` of a table; its docstring is the description."""
    return _PER_DAY | _of_table(table_name, group)


def file_asset(group: str, kinds: set[str]) -> dict[str, Any]:
    """Return the options of an `@dg.asset` of files; its docstring is the description."""
    return _PER_DAY | _shared(group, kinds)


_PER_DAY = {"partitions_def": DAILY, "backfill_policy": BACKFILL}


def _of_table(table_name: str, group: str) -> dict[str, Any]:
    kinds = {"duckdb", "parquet"} if group == "telemetry" else {"duckdb", "python"}
    metadata = {"dagster/column_schema": column_schema(table_name), "dagster/table_name": table_name}
    return _shared(group, kinds) | {"metadata": metadata}


def _shared(group: str, kinds: set[str]) -> dict[str, Any]:
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


def check_result(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    numbers: Mapping[str, Any],
    failed: str,
    passed: str = "",
    is_passed: bool | None = None,
    is_error: bool = False,
    shown_as: str = "offending",
) -> dg.AssetCheckResult:
    """Return the result of a check: a table of the rows that offend, and the numbers.

    Unless `is_passed` says otherwise it passes without rows; it warns unless `is_error`. `failed` is said of
    a check that passes, too, where `passed` has no words of its own.
    """
    is_passed = not rows if is_passed is None else is_passed
    table = {shown_as: preview(rows, columns, limit=CHECK_ROWS)} if rows else {}
    return dg.AssetCheckResult(
        passed=is_passed,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=(is_passed and passed) or failed,
        metadata={**numbers, **table},
    )


def counts(names: Iterable[str]) -> dict[str, int]:
    """Return how often each name occurs, most frequent first; blanks become underscores."""
    in_order = sorted(Counter(names).items(), key=lambda one: (-one[1], one[0]))
    return {name.replace(" ", "_"): count for name, count in in_order}


def numbers(values: Mapping[str, float | int | None]) -> dict[str, float | int]:
    """Return the numbers that are not None as plain int and float, which the UI plots."""
    return {
        name: (round(float(value), 3) if isinstance(value, float) else int(value))
        for name, value in sorted(values.items())
        if value is not None
    }


def of(part: float, whole: float) -> str:
    """Return a count of a whole with its share: `26 of 100 (26%)`."""
    return f"{part:,.0f} of {whole:,.0f}" + (f" ({part / whole:.0%})" if whole else "")


def _cell(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3)
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = _UNBREAKABLE.sub(lambda found: _MAY_BREAK.sub(r"\1 ", found[0]), text)
    return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"


def _kind(records: Sequence[dg.TableRecord], name: str) -> str:
    kinds = {type(record.data[name]) for record in records if record.data[name] != ""}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    return "float" if kinds and kinds <= {int, float} else "string"
