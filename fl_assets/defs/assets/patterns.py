"""Pattern assets: what fails, as sums, as talk, and as patterns with their evidence.

What goes here: the wiring of `patterns/analysis.py`. What does not: grouping, counting, belief (`domain/`).
"""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from fl_assets.defs.assets.telemetry import SPECS
from fl_assets.defs.metadata import numbers, preview, table_asset, table_spec
from fl_assets.defs.partitions import BACKFILL, DAILY, days_of
from fl_assets.defs.per_day import each_in_session, report_day
from fl_assets.defs.pictures import (
    nodes_by_patterns,
    pattern_trends,
    pictures,
    reliability_diagram,
    volume_by_hour,
)
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.patterns.analysis import analyse, replayed
from fl_assets.patterns.calibration import reliability
from fl_assets.patterns.rule_files import load_corrections, load_failure_classes

GROUP = "patterns"


@dg.asset(deps=[SPECS["raw_traces"], SPECS["node_summaries"]], **table_asset("failure_signatures", GROUP))
@without_secrets
def failure_signatures(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Failures of a day as sums by node, service, method and masked error, with call totals."""
    space, days = workspace.open(), days_of(context.partition_keys)
    refreshed = space.sums.refresh_signatures(space.days.with_events(days[-1]))
    context.log.info(f"summed {len(refreshed)} days that were new or had changed")
    for day in each_in_session(space.warehouse, space.gate.sound_days(days)):
        rows = space.warehouse.read_day("failure_signatures", day)
        sums = {
            "failures": sum(row["failures"] for row in rows),
            "distinct_messages": len({row["message_id"] for row in rows}),
        }
        largest = sorted(rows, key=lambda row: (-row["failures"], row["message_id"], row["node_id"]))
        report_day(
            context,
            day,
            "failure_signatures",
            len(rows),
            {
                **numbers(sums),
                **pictures(by_hour=volume_by_hour(space.report.hourly(day))),
                "most_failures": preview(
                    largest, ("node_id", "service", "method", "failures", "masked_error")
                ),
            },
        )


@dg.asset(
    deps=[SPECS[name] for name in ("raw_traces", "conversation_logs", "node_summaries")],
    **table_asset("conversation_signals", GROUP),
)
@without_secrets
def conversation_signals(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Failure seen in talk.

    Repeated questions, corrections, abandonment, refusals, apology loops, success claimed after a failure.
    """
    space, days = workspace.open(), days_of(context.partition_keys)
    space.sums.refresh_conversations(space.days.with_events(days[-1]))
    for day in each_in_session(space.warehouse, space.gate.sound_days(days)):
        rows = space.warehouse.read_day("conversation_signals", day)
        affected: dict[str, int] = {}
        for row in rows:
            affected[row["signal"]] = affected.get(row["signal"], 0) + row["sessions_affected"]
        seen = sorted(
            (row for row in rows if row["sessions_affected"]),
            key=lambda row: (-row["sessions_affected"], row["node_id"], row["signal"]),
        )
        table = preview(seen, ("node_id", "service", "signal", "sessions_affected", "sessions"))
        report_day(
            context, day, "conversation_signals", len(rows), {**numbers(affected), "most_affected": table}
        )


@dg.asset(
    deps=[failure_signatures, conversation_signals, SPECS["error_records"]],
    **table_asset("failure_patterns", GROUP),
)
@without_secrets
def failure_patterns(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """What keeps failing.

    Messages grouped into patterns, each with nodes, rate, state and a confidence that can be checked.
    """
    space = workspace.open()
    for day in each_in_session(space.warehouse, space.gate.sound_days(days_of(context.partition_keys))):
        window = space.days.window(day)
        found = analyse(
            space.patterns.history(day),
            window,
            rules=load_failure_classes(),
            corrections=load_corrections(space.settings.corrections_path),
            false_discovery_rate=space.settings.false_discovery_rate,
            min_nodes=space.settings.min_nodes,
            summary_min_nodes=space.settings.summary_min_nodes,
            suspects=space.patterns.suspects(window.days),
        )
        rows = space.patterns.replace(day, found)
        for each in window.days:
            space.index.mark_analysed(each, space.lake.content_of(each))
        states = found.patterns["state"].value_counts().to_dict()
        sums = {
            "patterns": rows,
            "families": len(found.families),
            "significant": int(found.patterns["is_significant"].sum()),
            "window_days": len(window.days),
            "events_in_window": window.events,
        }
        top = preview(
            found.patterns.head(10).to_dict("records"),
            (
                "template",
                "failure_class",
                "state",
                "failures",
                "failure_rate",
                "nodes_affected",
                "nodes_reporting",
                "confidence",
                "corroboration",
            ),
        )
        shown = found.patterns.to_dict("records")
        drawn = pictures(
            trends=pattern_trends(shown), by_node=nodes_by_patterns(space.report.failures_by_node(day), shown)
        )
        by_state = {f"state_{name}": count for name, count in states.items()}
        report_day(
            context,
            day,
            "failure_patterns",
            rows,
            {**numbers(sums), **numbers(by_state), **drawn, "top": top},
        )


KNOWLEDGE = {
    "pattern_consequences": (
        "family_id",
        "failures",
        "recovered_rate",
        "calls_to_recover",
        "end_measure",
        "risk_ratio",
    ),
    "pattern_contrasts": (
        "family_id",
        "kind",
        "name",
        "relation",
        "value",
        "rate_with",
        "rate_without",
        "nodes",
    ),
    "pattern_examples": ("family_id", "succeeded", "node_id", "method", "timestamp", "message"),
    "pattern_cures": ("family_id", "source", "subject", "name", "change", "help_rate", "base_rate", "nodes"),
}
"""Tables of what the fleet knows, with the columns that are shown."""
KNOWLEDGE_SPECS = [table_spec(name, GROUP, deps=[failure_patterns]) for name in KNOWLEDGE]


@dg.multi_asset(
    specs=KNOWLEDGE_SPECS,
    partitions_def=DAILY,
    backfill_policy=BACKFILL,
    description="What failures cost, what is different about the calls that fail, and what worked, from "
    "the fleet's own calls.",
)
@without_secrets
def fleet_knowledge(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult]:
    """Compare calls that fail with calls that succeed, and first attempts with second ones."""
    space = workspace.open()
    for day in each_in_session(space.warehouse, space.gate.sound_days(days_of(context.partition_keys))):
        known = space.patterns.knowledge(day, space.days.window(day), space.settings.min_nodes)
        for name, rows in (
            ("pattern_consequences", known.consequences),
            ("pattern_contrasts", known.contrasts),
            ("pattern_cures", known.cures),
            ("pattern_examples", known.examples),
        ):
            count = space.warehouse.replace(name, day, rows.assign(event_date=day))
            shown = preview(rows.head(10).to_dict("records"), KNOWLEDGE[name])
            report_day(context, day, name, count, {"first": shown})
    for name in KNOWLEDGE:
        yield dg.MaterializeResult(asset_key=dg.AssetKey(name))


@dg.asset(deps=[failure_patterns], **table_asset("confidence_calibration", GROUP))
@without_secrets
def confidence_calibration(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """How often what was believed came true.

    Past days assessed again, each from what was known by its end.
    """
    space = workspace.open()
    for day in each_in_session(space.warehouse, space.gate.sound_days(days_of(context.partition_keys))):
        members = pd.DataFrame(
            space.warehouse.read_day("pattern_members", day), columns=["pattern_id", "message_id"]
        )
        past = replayed(
            space.patterns.history(day), members, space.days.window(day), min_nodes=space.settings.min_nodes
        )
        report = reliability(
            past["confidence"].to_numpy(), past["happened"].to_numpy(), threshold=space.settings.threshold
        )
        bins = report.bins.rename(columns={"low": "bin_low", "high": "bin_high", "count": "predictions"})
        rows = space.warehouse.replace("confidence_calibration", day, bins)
        scores = {
            "predictions": report.pairs,
            "brier_score": report.brier,
            "expected_calibration_error": report.ece,
            "precision_at_threshold": report.precision,
            "recall_at_threshold": report.recall,
        }
        table = preview(
            bins.to_dict("records"), ("bin_low", "bin_high", "predictions", "predicted", "observed")
        )
        drawn = pictures(diagram=reliability_diagram(bins.to_dict("records"), space.settings.threshold))
        report_day(
            context, day, "confidence_calibration", rows, {**numbers(scores), **drawn, "reliability": table}
        )
