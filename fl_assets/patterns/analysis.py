"""One day's failure patterns, from sums to confidence: the order in which the domain's parts are applied.

What goes here: which part follows which. What does not: grouping (`patterns.py`), classes (`failure_classes.py`), counts (`evidence.py`),
belief (`confidence.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from fl_assets.core.cycles import Window
from fl_assets.patterns.calibration import calibrate, replay
from fl_assets.patterns.classes import ClassRule, classify
from fl_assets.patterns.confidence import assess
from fl_assets.patterns.evidence import conversation_patterns, counts, reporting, summarise, unpublished
from fl_assets.patterns.grouping import Corrections, group_patterns


@dataclass(frozen=True)
class History:
    """What the warehouse knows up to the end of a day.

    Attributes:
        messages: distinct masked messages: `message_id, masked_error, has_text, service, method, first_day`.
        signatures: rows of failure_signatures; those before the horizon only date the first failure of a message.
        totals: rows of call_totals within the horizon.
        signals: rows of conversation_signals within the horizon.
        summarised: `event_date, node_id` of the rows that came from summaries.
    """

    messages: pd.DataFrame
    signatures: pd.DataFrame
    totals: pd.DataFrame
    signals: pd.DataFrame
    summarised: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"event_date": [], "node_id": []}))


@dataclass(frozen=True)
class Analysis:
    """Rows of failure_patterns and of pattern_members for one day."""

    patterns: pd.DataFrame
    members: pd.DataFrame


def analyse(
    history: History,
    window: Window,
    *,
    rules: Sequence[ClassRule],
    corrections: Corrections,
    false_discovery_rate: float,
    summary_min_nodes: int = 1,
    suspects: Mapping[str, Sequence[str]] | None = None,
) -> Analysis:
    """Return the patterns of a window's last day; a pure function of what was known by its end.

    Args:
        history: Sums up to that day.
        window: Days analysed together.
        rules: Failure classes, in the order they are tried.
        corrections: People's merges and splits.
        false_discovery_rate: Level of the day's false-discovery control.
        summary_min_nodes: Nodes that must have a pattern that only summaries tell of; of fewer, it is assessed with the others and not shown.
        suspects: Message id to the prompts, configs and tools that error records name for it, most named first.
    """
    grouped = group_patterns(history.messages, corrections)
    patterns = summarise(
        grouped,
        history.signatures,
        history.totals,
        history.signals,
        day=window.day,
        window_days=len(window.days),
    )
    talk = conversation_patterns(history.signals)
    members = pd.concat(
        [grouped[["pattern_id", "message_id"]], talk[["pattern_id", "message_id"]]], ignore_index=True
    )
    members = members[members["pattern_id"].isin(patterns["pattern_id"])]
    by_node = counts(grouped, history.signatures, history.totals, history.signals, window.day)
    reported = reporting(history.totals, history.signals, window.day)
    day, days = window.day, len(window.days)
    calibration = calibrate(by_node, reported, day=day, window_days=days)
    beliefs = assess(
        by_node,
        reported,
        day=day,
        window_days=days,
        calibration=calibration,
        false_discovery_rate=false_discovery_rate,
    )
    hidden = unpublished(by_node.failures, history.summarised, summary_min_nodes)
    patterns, members = (frame[~frame["pattern_id"].isin(hidden)] for frame in (patterns, members))
    patterns = patterns.merge(beliefs, on="pattern_id", how="left", validate="one_to_one")
    signal_of = dict(zip(talk["pattern_id"], talk["message_id"].str.split("|").str[0], strict=True))
    patterns["failure_class"] = [
        signal_of[row["pattern_id"]]
        if row["kind"] == "conversation"
        else classify(row["template"], row["methods"], row["services"], row["kind"], rules)
        for row in patterns.to_dict("records")
    ]
    named = _suspects_of(members, suspects or {})
    patterns["suspects"] = [named.get(pattern_id, []) for pattern_id in patterns["pattern_id"]]
    return Analysis(patterns, members.sort_values(["pattern_id", "message_id"], ignore_index=True))


def replayed(history: History, members: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Assess the days before the window's last again, and say what came true; columns as `calibration.replay` gives them.

    Args:
        history: Sums up to that day.
        members: The day's rows of pattern_members.
        window: Days analysed together.
    """
    known = history.signatures[history.signatures["message_id"].isin(members["message_id"])]
    by_node = counts(members, known, history.totals, history.signals, window.day)
    return replay(
        by_node,
        reporting(history.totals, history.signals, window.day),
        day=window.day,
        window_days=len(window.days),
    )


def _suspects_of(members: pd.DataFrame, suspects: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Gather what is suspected of a pattern's messages, each name once, in the order given."""
    named: dict[str, dict[str, None]] = {}
    for pattern_id, message_id in zip(members["pattern_id"], members["message_id"], strict=True):
        for name in suspects.get(message_id, ()):
            named.setdefault(pattern_id, {})[name] = None
    return {pattern_id: list(names) for pattern_id, names in named.items()}
