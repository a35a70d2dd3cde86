"""One day's failure patterns, from sums to confidence: the order in which the parts of this stage are applied.

What goes here: which part follows which. What does not: grouping (`grouping.py`), classes (`classes.py`), counts
(`window.py`, `evidence.py`), probabilities (`confidence.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from fl_assets.core.cycles import Window
from fl_assets.patterns.calibration import calibrate, replay
from fl_assets.patterns.classes import ClassRule, classify
from fl_assets.patterns.confidence import assess
from fl_assets.patterns.evidence import below_min_nodes, summarise
from fl_assets.patterns.grouping import Corrections, group_patterns
from fl_assets.patterns.window import WindowSums, conversation_patterns


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
        summary_min_nodes: Nodes that must have a pattern that only summaries report; with fewer it is assessed
            with the others and not shown.
        suspects: Message id to the prompts, configs and tools that error records name for it, most named first.
    """
    grouped = group_patterns(history.messages, corrections)
    sums = _sums(grouped, history, window)
    patterns = summarise(sums)
    conversations = conversation_patterns(history.signals)
    members = pd.concat([grouped, conversations], ignore_index=True)[["pattern_id", "message_id"]]
    members = members[members["pattern_id"].isin(patterns["pattern_id"])]
    day, window_days = window.day, len(window.days)
    assessed = assess(
        sums.counts,
        sums.reported,
        calibration=calibrate(sums.counts, sums.reported, day=day, window_days=window_days),
        false_discovery_rate=false_discovery_rate,
        day=day,
        window_days=window_days,
    )
    hidden = below_min_nodes(sums.counts.failures, history.summarised, summary_min_nodes)
    patterns, members = (frame[~frame["pattern_id"].isin(hidden)] for frame in (patterns, members))
    patterns = patterns.merge(assessed, on="pattern_id", how="left", validate="one_to_one")
    signals = conversations["message_id"].str.split("|").str[0]
    signal_of = dict(zip(conversations["pattern_id"], signals, strict=True))
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
    """Assess the days before the window's last again; columns as of `calibration.replay`.

    Args:
        history: Sums up to that day.
        members: The day's rows of pattern_members.
        window: Days analysed together.
    """
    known = history.signatures[history.signatures["message_id"].isin(members["message_id"])]
    sums = _sums(members, replace(history, signatures=known), window)
    return replay(sums.counts, sums.reported, day=window.day, window_days=len(window.days))


def _sums(grouped: pd.DataFrame, history: History, window: Window) -> WindowSums:
    return WindowSums(
        grouped, history.signatures, history.totals, history.signals, window.day, len(window.days)
    )


def _suspects_of(members: pd.DataFrame, suspects: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Gather what is suspected of a pattern's messages, each name once, in the order given."""
    named: dict[str, dict[str, None]] = {}
    for pattern_id, message_id in zip(members["pattern_id"], members["message_id"], strict=True):
        for name in suspects.get(message_id, ()):
            named.setdefault(pattern_id, {})[name] = None
    return {pattern_id: list(names) for pattern_id, names in named.items()}
