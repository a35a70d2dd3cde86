"""The registry of nodes (which report, are new or silent), and the check of refused summaries.

What goes here: the wiring of `patterns/nodes.py` and `federation/coordinator_side.py`. What does not: a
node's status, the rules of admission (`federation/admission.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from fl_assets.defs.assets.patterns import conversation_signals, failure_signatures
from fl_assets.defs.assets.telemetry import SPECS
from fl_assets.defs.metadata import check_result, numbers, of, preview, table_asset
from fl_assets.defs.partitions import DAILY
from fl_assets.defs.per_day import evaluate_per_day, report_day, sound_days
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.federation.coordinator_side import SummaryFiles
from fl_assets.patterns.nodes import NodeDay, completeness, nodes_of

GROUP = "patterns"
SHOWN = 20
REFUSAL_COLUMNS = ("rule", "day", "path", "detail")


@dg.asset(
    deps=[failure_signatures, conversation_signals, SPECS["node_summaries"]],
    **table_asset("node_registry", GROUP),
)
@without_secrets
def node_registry(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Which nodes are known, new or silent, what each sends, and how complete the day is."""
    space = workspace.open()
    registered = space.summaries.registered()
    for day in sound_days(context, space):
        nodes = nodes_of(*space.report.reported(day), day, registered)
        rows = _rows(space.summaries, day, nodes, registered)
        space.warehouse.replace_records("node_registry", day, rows)
        sums: dict[str, float] = {
            "silent": sum(node.status == "silent" and node.is_expected for node in nodes),
            "new": sum(node.status == "first seen" for node in nodes),
            "expected": sum(node.is_expected for node in nodes),
            "reporting": sum(node.status != "silent" for node in nodes),
        }
        sums |= {
            "sending_summaries": sum(row["source"] == "summary" for row in rows),
            "completeness": completeness(nodes),
        }
        order = sorted(
            rows,
            key=lambda row: (
                row["status"] != "silent" or not row["is_expected"],
                row["status"] in ("reporting", "silent"),
                row["node_id"],
            ),
        )
        table = [
            {
                "calls": row["calls"],
                "failed": of(row["failures"], row["calls"]) if row["calls"] else "–",
                "usual a day": round(row["usual"]),
                "node": f"{row['node_id']}: {_status(row)}",
            }
            for row in order[:SHOWN]
        ]
        shown = preview(table, ("calls", "failed", "usual a day", "node"), limit=SHOWN)
        report_day(context, day, "node_registry", len(rows), {**numbers(sums), "nodes": shown})


def _status(row: Mapping[str, Any]) -> str:
    if row["status"] == "silent":
        return f"silent for {row['silent_days']} day{'' if row['silent_days'] == 1 else 's'}"
    return f"{row['status']}, by summary" if row["source"] == "summary" else row["status"]


def _rows(
    summaries: SummaryFiles, day: date, nodes: Sequence[NodeDay], registered: Sequence[str]
) -> list[dict[str, Any]]:
    summarised = summaries.nodes(day)
    found = []
    for node in nodes:
        source, sequence = "none" if node.status == "silent" else "raw", None
        if node.node_id in summarised:
            source, sequence = "summary", summarised[node.node_id]["sequence"]
        row = {"source": source, "is_registered": node.node_id in registered, "sequence": sequence}
        found.append(asdict(node) | row)
    return found


@dg.asset_check(asset=node_registry, partitions_def=DAILY)
@without_secrets
def every_node_reports(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Every node that is registered, or reported on most days of the week before, reports; else a warning."""
    space = workspace.open()

    def evaluate(days: Sequence[date]) -> dg.AssetCheckResult:
        rows = [
            {"day": str(day), **row}
            for day in days
            for row in space.warehouse.read_day("node_registry", day)
            if row["is_expected"] and row["status"] == "silent"
        ]
        named = ", ".join(row["node_id"] for row in rows[:3])
        known = sum(row["is_expected"] for row in space.warehouse.read_day("node_registry", days[-1]))
        return check_result(
            rows,
            ("silent_days", "usual", "day", "node_id"),
            numbers={"silent": len(rows)},
            failed=f"expected every node to report; found: {len(rows)} silent ({named})",
            passed=f"{known} nodes expected on {days[-1]}, all of them report",
        )

    return evaluate_per_day(context, evaluate)


@dg.asset_check(asset="node_summaries", partitions_def=DAILY)
@without_secrets
def summaries_are_taken(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource
) -> dg.AssetCheckResult:
    """Nothing in the folder of summaries is refused; else a warning names file, line and rule."""
    summaries = workspace.open().summaries
    rows = [asdict(one) for one in summaries.refusals()]
    rules = ", ".join(sorted({row["rule"] for row in rows}))
    result = check_result(
        rows,
        REFUSAL_COLUMNS,
        numbers={"refused": len(rows)},
        failed=f"expected every summary to be taken; found: {len(rows)} refused ({rules})",
        passed=f"summaries of {len(summaries.registered())} registered nodes, none refused",
    )
    return evaluate_per_day(context, lambda _: result)
