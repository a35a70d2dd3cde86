"""The asset of pulled telemetry: a day of each source in sources.yaml, as files for the ingestion.

What goes here: the wiring of `sources/pull.py`. What does not: any server's API.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from fl_assets.defs.metadata import check_result, file_asset, preview
from fl_assets.defs.partitions import DAILY, days_of
from fl_assets.defs.per_day import evaluate_per_day, report_day
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.sources.pull import Pulled

GROUP = "telemetry"
NO_SOURCE = (
    "no server is asked for traces, since FEDERATED_LEARNING_SOURCES_PATH names none; files in the telemetry "
    "folder need none (docs/connect.md)"
)
COLUMNS = ("day", "source", "kept", "completed", "problem")


@dg.asset(**file_asset(GROUP, {"python"}))
@without_secrets
def pulled_telemetry(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """A day of traces from Langfuse, Phoenix, MLflow, LangSmith and ClickHouse, as telemetry files.

    They come from the servers that sources.yaml names.
    """
    space, days = workspace.open(), days_of(context.partition_keys)
    if not space.sources:
        context.log.info("no sources: FEDERATED_LEARNING_SOURCES_PATH is not set, or names none")
    found = space.pull.days(space.sources, days, context.log.info)
    for one in found:
        if one.problem:
            context.log.warning(f"{one.source} of {one.day}: {one.problem}")
    for day in days:
        of_day = [one for one in found if one.day == day]
        failed = sum(bool(one.problem) for one in of_day)
        numbers = {"sources": len(of_day), "sources_that_did_not_answer": failed}
        shown = {**numbers, "pulled": preview(_rows(of_day), COLUMNS, limit=100)}
        kept = sum(one.kept for one in of_day)
        report_day(context, day, "pulled_telemetry", kept, shown if of_day else {"nothing_here": NO_SOURCE})


@dg.asset_check(asset=pulled_telemetry, partitions_def=DAILY)
@without_secrets
def sources_answer(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Every source gave the whole day; else a warning, and the next pull continues where this one stopped."""
    space = workspace.open()

    def evaluate(days: Sequence[date]) -> dg.AssetCheckResult:
        missing = space.pull.incomplete(space.sources, days)
        named = ", ".join(dict.fromkeys(one.source for one in missing))
        return check_result(
            _rows(missing),
            COLUMNS,
            numbers={"sources_that_did_not_answer": len(missing)},
            failed=f"expected every source to give the day; found: {named} did not",
            passed="every source gave the day" if space.sources else "no source is set",
        )

    return evaluate_per_day(context, evaluate)


def _rows(found: Sequence[Pulled]) -> list[dict[str, Any]]:
    return [one.model_dump() for one in found]
