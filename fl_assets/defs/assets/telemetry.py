"""Telemetry assets: what the fleet wrote, checked, redacted and stored by day.

What goes here: the wiring of the ingestion engine. What does not: parsing, redaction, storage (`events/engine.py`).
"""

from collections.abc import Iterator

import dagster as dg

from fl_assets.defs.metadata import numbers, preview, report_day, table_spec
from fl_assets.defs.partitions import BACKFILL, DAILY, days_of
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.playbooks.gate import too_few_events
from fl_assets.workspace import missing_inputs

GROUP = "telemetry"
PREVIEWS = {
    "raw_traces": ("timestamp", "node_id", "service", "method", "duration_ms", "success", "error"),
    "conversation_logs": ("timestamp", "node_id", "session_id", "user_query", "system_response"),
    "quarantined_events": ("source_file", "source_line", "reason", "detail", "excerpt"),
    "error_records": (
        "record_id",
        "request_id",
        "target_service",
        "error_type",
        "suspected_prompts_or_configs",
    ),
    "node_summaries": (
        "node_id",
        "sequence",
        "events",
        "failures",
        "unnamed_failures",
        "min_sessions",
        "epsilon",
        "source_file",
    ),
}


@dg.multi_asset(
    specs=[table_spec(name, GROUP) for name in PREVIEWS],
    partitions_def=DAILY,
    backfill_policy=BACKFILL,
    can_subset=True,
    description="Read what is new in the folders of telemetry and summaries, once for all its days, and store it redacted.",
)
def telemetry(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult]:
    """Read what is new in the folders of telemetry and summaries, once for all its days, and store it redacted."""
    space, days = workspace.open(), days_of(context.partition_keys)
    for line in missing_inputs(space.settings):
        context.log.warning(line)
    report, taken = space.ingest(progress=context.log.info)
    space.warehouse.create(space.settings.lake_folder)
    if is_learning_cycle(context):
        log = CycleLog(space.warehouse)
        for window in map(space.window, space.one_by_one(days)):
            log.begin(context.run.run_id, window)
            for violation in too_few_events(space, window.day):
                log.finish(context.run.run_id, window.day, "insufficient_data", str(violation))
    for name, columns in PREVIEWS.items():
        key = dg.AssetKey(name)
        if key not in context.selected_asset_keys:
            continue
        for day in days:
            manifest = space.lake.manifest(name, day)
            stats = numbers(space.engine.day_stats(day)) if name == "raw_traces" else {}
            stats |= {"refused_in_this_run": len(taken.refused)} if name == "node_summaries" else {}
            sample = preview(space.engine.sample(name, day).to_pylist(), columns)
            report_day(
                context,
                day,
                name,
                manifest.rows if manifest else 0,
                {**stats, "preview": sample, "files_read_in_this_run": report.files},
            )
        yield dg.MaterializeResult(asset_key=key)


def is_learning_cycle(context: dg.AssetExecutionContext) -> bool:
    """Whether this run goes on to `learning_cycles`, rather than materialising some assets by hand."""
    selection = context.run.asset_selection
    return not selection or dg.AssetKey("learning_cycles") in selection
