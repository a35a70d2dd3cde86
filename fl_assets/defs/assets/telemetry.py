"""Telemetry assets: the fleet's events, checked, redacted and stored by day.

What goes here: the wiring of ingestion. What does not: parsing, redaction, storage (`events/engine.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import dagster as dg
import duckdb

from fl_assets.core.inputs import missing_inputs
from fl_assets.defs.assets.sources import pulled_telemetry
from fl_assets.defs.metadata import numbers, preview, table_spec
from fl_assets.defs.partitions import BACKFILL, DAILY, days_of
from fl_assets.defs.per_day import each_in_session, report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.engine import Engine
from fl_assets.events.formats.outcomes import NO_FAILURE
from fl_assets.events.outcome import IngestReport
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.report.words import inert

GROUP = "telemetry"
PREVIEWS = {
    "raw_traces": ("node_id", "method", "outcome"),
    "conversation_logs": ("node_id", "user_query", "system_response"),
    "quarantined_events": ("reason", "detail", "excerpt"),
    "error_records": ("record_id", "target_service", "error_type"),
    "evaluations": ("name", "value", "label", "node_id"),
    "node_summaries": ("events", "failures", "node_id", "min_sessions"),
}
NOTHING = {
    "raw_traces": "no call of this day was read: no file has one, or those that do could not be read",
    "conversation_logs": "no conversation of this day was read; docs/formats.md says how to log one",
    "quarantined_events": "every line of this day could be read",
    "error_records": "no error record of this day was read; docs/formats.md says what they are",
    "evaluations": "no score or judgement of this day was read; docs/formats.md says whose are",
    "node_summaries": "no node sent a summary of this day; docs/federation.md says when one would",
}
"""By table: the reason why a day has no rows."""
_MASKED = "redacted_"
FROM_SOURCES = ("raw_traces", "conversation_logs", "quarantined_events", "evaluations")
SPECS = {
    name: table_spec(name, GROUP, [pulled_telemetry] if name in FROM_SOURCES else []) for name in PREVIEWS
}
"""Specs by table, for the `deps` of later assets."""


@dg.multi_asset(
    specs=list(SPECS.values()),
    partitions_def=DAILY,
    backfill_policy=BACKFILL,
    can_subset=True,
    description="Read what is new in the folders of telemetry and summaries, once for all its days, and "
    "store it redacted.",
)
@without_secrets
def telemetry(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult]:
    """Read new files of telemetry and summaries, once for all their days, and store them redacted."""
    space, days = workspace.open(), days_of(context.partition_keys)
    for line in missing_inputs(space.settings):
        context.log.warning(line)
    report, taken = space.intake.ingest(progress=lambda text: context.log.info(inert(text)))
    space.warehouse.create(space.settings.lake_folder)
    if is_learning_cycle(context):
        for day in each_in_session(space.warehouse, days):
            space.cycles.begin(context.run.run_id, space.days.window(day))
    for name, columns in PREVIEWS.items():
        key = dg.AssetKey(name)
        if key not in context.selected_asset_keys:
            continue
        for day in days:
            manifest = space.lake.manifest_or_damage(name, day)
            stats = _day_stats(space.engine.day_stats(day)) if name == "raw_traces" else {}
            stats |= {"refused_in_this_run": len(taken.refused)} if name == "node_summaries" else {}
            stats |= _not_read(report) if name == "quarantined_events" else {}
            rows = manifest.rows if manifest else 0
            sample = preview(_sample(space.engine, name, day), columns)
            shown: dict[str, Any] = {"first": sample} if rows else {"nothing_here": NOTHING[name]}
            report_day(context, day, name, rows, {**stats, **shown, "files_read_in_this_run": report.files})
        yield dg.MaterializeResult(asset_key=key)


def is_learning_cycle(context: dg.AssetExecutionContext) -> bool:
    """Whether this run goes on to `learning_cycles`, rather than materialising some assets by hand."""
    selection = context.run.asset_selection
    return not selection or dg.AssetKey("learning_cycles") in selection


def _day_stats(stats: Mapping[str, float]) -> dict[str, Any]:
    """Return a day's numbers, those of masked values in one line."""
    masked = {name.removeprefix(_MASKED): stats[name] for name in stats if name.startswith(_MASKED)}
    most_first = sorted(masked.items(), key=lambda one: -one[1])
    said = ", ".join(f"{name.replace('_', ' ')} {count:,.0f}" for name, count in most_first if count)
    kept = {name: stats[name] for name in stats if not name.startswith(_MASKED)}
    return {**numbers(kept), "masked_values": said or "none"}


def _not_read(report: IngestReport) -> dict[str, Any]:
    """Return what this run did not read, of whatever day."""
    rows = [
        {"events": one.events, "file": f"{one.path}: {one.reason.replace('_', ' ')}; {one.fix}"}
        for one in report.unread
    ]
    columns = ("events", "file")
    numbers_of = {"files_not_read_in_this_run": report.ignored, "events_lost_in_this_run": report.lost_events}
    return numbers_of | ({"not_read_in_this_run": preview(rows, columns, limit=20)} if rows else {})


def _sample(engine: Engine, table: str, day: date) -> list[dict[str, Any]]:
    """Return a day's first rows; none if a file cannot be read, which `lake_matches_manifest` reports."""
    try:
        rows = engine.sample(table, day).to_pylist()
    except duckdb.Error:
        return []
    if table != "raw_traces":
        return rows
    silent = {True: "succeeded", False: "failed without a text"}
    stopped = {name: name for name in NO_FAILURE}
    return [
        row | {"outcome": row["error"] or stopped.get(row["caused_by"]) or silent[row["success"]]}
        for row in rows
    ]
