"""Pattern assets: sums of failures, signals in conversations, patterns, and what the fleet knows of them.

What goes here: the wiring of `sums/` and `patterns/`. What does not: grouping, counting, confidence.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from fl_assets.defs.assets.telemetry import SPECS
from fl_assets.defs.metadata import PREVIEW_ROWS, counts, numbers, of, preview, table_asset, table_spec
from fl_assets.defs.partitions import BACKFILL, DAILY, days_of
from fl_assets.defs.per_day import report_day, sound_days
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
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.patterns.store import MAX_MESSAGES, left_out
from fl_assets.playbooks.wording import contrast_text, cure_text, percent

GROUP = "patterns"
TOP = 30
"""Patterns that the UI lists; the report lists all."""


@dg.asset(deps=[SPECS["raw_traces"], SPECS["node_summaries"]], **table_asset("failure_signatures", GROUP))
@without_secrets
def failure_signatures(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Failures of a day as sums by node, service, method and masked error, with call totals."""
    space, days = workspace.open(), days_of(context.partition_keys)
    refreshed = space.sums.refresh_signatures(space.days.with_events(days[-1]))
    context.log.info(f"summed {len(refreshed)} days that were new or had changed")
    for day in sound_days(context, space):
        sums, largest = space.sums.largest_signatures(day, PREVIEW_ROWS)
        rows = sums.pop("rows")
        table = [
            row | {"error": f"{row['service']} {row['method']}: {row['masked_error']}"} for row in largest
        ]
        shown = {
            **numbers(sums),
            **pictures(by_hour=volume_by_hour(space.report.hourly(day))),
            "most_failures": preview(table, ("failures", "node_id", "error")),
        }
        report_day(context, day, "failure_signatures", rows, shown)


@dg.asset(
    deps=[SPECS[name] for name in ("raw_traces", "conversation_logs", "node_summaries")],
    **table_asset("conversation_signals", GROUP),
)
@without_secrets
def conversation_signals(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Signals of failure in conversations.

    Repeated questions, corrections, abandonment, refusals, apology loops, success claimed after a failure.
    """
    space, days = workspace.open(), days_of(context.partition_keys)
    space.sums.refresh_conversations(space.days.with_events(days[-1]))
    for day in sound_days(context, space):
        rows = space.warehouse.read_day("conversation_signals", day)
        affected: Counter[str] = Counter()
        for row in rows:
            affected[row["signal"]] += row["sessions_affected"]
        seen = sorted(
            (row for row in rows if row["sessions_affected"]),
            key=lambda row: (-row["sessions_affected"], row["node_id"], row["signal"]),
        )
        table = [
            {
                "conversations": of(row["sessions_affected"], row["sessions"]),
                "signal": row["signal"],
                "where": f"{row['service']} on {row['node_id']}",
            }
            for row in seen
        ]
        most = preview(table, ("conversations", "signal", "where"))
        shown = {**numbers(affected), "most_affected": most}
        nothing = "no conversation was logged on this day; docs/formats.md says how to log one"
        report_day(context, day, "conversation_signals", len(rows), shown, nothing=nothing)


@dg.asset(
    deps=[failure_signatures, conversation_signals, SPECS["error_records"]],
    **table_asset("failure_patterns", GROUP),
)
@without_secrets
def failure_patterns(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """Failures grouped into patterns, each with nodes, rate, state and a confidence that can be checked."""
    space = workspace.open()
    for day in sound_days(context, space):
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
        rare = left_out(space.warehouse, day)
        if rare["messages"]:
            context.log.warning(
                f"{rare['failures']:,} failures of {rare['messages']:,} rare messages are in no "
                f"pattern: an analysis looks at {MAX_MESSAGES:,} messages, those of most nodes first"
            )
        for each in window.days:
            space.index.mark_analysed(each, space.lake.content_of(each))
        titles = space.report.titles(day)
        shown: list[dict[str, Any]] = [
            {**row, "template": titles[row["pattern_id"]]} for row in found.patterns.to_dict("records")
        ]
        failing = [row for row in shown if row["failures"]]
        sums = {
            "failing": len(failing),
            "failures": sum(row["failures"] for row in failing),
            "significant": sum(bool(row["is_significant"]) for row in failing),
            "not_seen_now": len(shown) - len(failing),
            "messages_in_no_pattern": rare["messages"],
            "failures_in_no_pattern": rare["failures"],
            "window_days": len(window.days),
            "events_in_window": window.events,
        }
        drawn = pictures(
            trends=pattern_trends(shown), by_node=nodes_by_patterns(space.report.failures_by_node(day), shown)
        )
        top = preview(map(_line, failing), ("failures", "nodes", "confidence", "what fails"), limit=TOP)
        by_state = counts(row["state"] for row in failing)
        report_day(context, day, "failure_patterns", rows, {**numbers(sums), **by_state, **drawn, "top": top})


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pattern as the UI's table shows it: numbers first, then the text."""
    kind = f"{row['failure_class'].replace('_', ' ')}, {row['state']}"
    return {
        "failures": of(row["failures"], row["calls"]),
        "nodes": f"{row['nodes_affected']} of {row['nodes_reporting']}",
        "confidence": f"{row['confidence']:.0%}",
        "what fails": f"{row['template']} ({kind})",
    }


def _cost(row: Mapping[str, Any]) -> dict[str, Any]:
    with_it, without = row["ends"], row["ends_without"]
    ends = "not known"
    if with_it and without:
        ends = f"{percent(row['bad_ends'] / with_it)}, {percent(row['bad_ends_without'] / without)} without"
    return {"failures": row["failures"], "later succeed": percent(row["recovered_rate"]), "end badly": ends}


KNOWLEDGE: dict[str, tuple[Callable[[Mapping[str, Any]], dict[str, Any]], str]] = {
    "pattern_consequences": (_cost, "nothing failed, so there is nothing that a failure could have cost"),
    "pattern_contrasts": (
        lambda row: {"what is different": contrast_text(row)},
        "no argument or attribute tells the calls that fail from those that succeed",
    ),
    "pattern_examples": (
        lambda row: {"call": f"{row['method']}{' (succeeded)' if row['succeeded'] else ''}"},
        "nothing failed on this day",
    ),
    "pattern_cures": (
        lambda row: {"what worked": cure_text(row)},
        "nothing that was done after a failure worked better than anything else",
    ),
}
"""By table of what the fleet knows: its row as the UI shows it, and the reason why a day has none."""
KNOWLEDGE_SPECS = [
    table_spec(name, GROUP, deps=[failure_patterns, SPECS["evaluations"]]) for name in KNOWLEDGE
]


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
    for day in sound_days(context, space):
        known = space.patterns.knowledge(day, space.days.window(day), space.settings.min_nodes)
        frames = {name: getattr(known, name.removeprefix("pattern_")) for name in KNOWLEDGE}
        stored = {
            name: space.warehouse.replace(name, day, frame.assign(event_date=day))
            for name, frame in frames.items()
        }
        fails = space.report.titles(day, "family")
        for name, (line, nothing) in KNOWLEDGE.items():
            rows = frames[name].head(PREVIEW_ROWS).to_dict("records")
            table = [
                {**line(row), "what fails": row.get("message") or fails[row["family_id"]]} for row in rows
            ]
            shown = {"first": preview(table, tuple(table[0]))} if table else {}
            report_day(context, day, name, stored[name], shown, nothing=nothing)
    for name in KNOWLEDGE:
        yield dg.MaterializeResult(asset_key=dg.AssetKey(name))


@dg.asset(deps=[failure_patterns], **table_asset("confidence_calibration", GROUP))
@without_secrets
def confidence_calibration(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """How often predictions came true: past days assessed again, each from what was known by its end."""
    space = workspace.open()
    for day in sound_days(context, space):
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
        filled = [row for row in bins.to_dict("records") if row["predictions"]]
        table = [
            {
                "assessments": row["predictions"],
                "believed": f"{row['predicted']:.0%}",
                "came true": f"{row['observed']:.0%}",
            }
            for row in filled
        ]
        shown = {
            **numbers(scores),
            **pictures(diagram=reliability_diagram(filled, space.settings.threshold)),
            "reliability": preview(table, ("assessments", "believed", "came true")),
        }
        nothing = "not enough days yet to compare what was believed with what came"
        report_day(context, day, "confidence_calibration", rows, shown, nothing=nothing)
