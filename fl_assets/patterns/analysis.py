"""One day's failure patterns, from sums to confidence.

What goes here: the order of this stage's parts. What does not: grouping (`grouping.py`), classes
(`classes.py`), counts (`window.py`, `evidence.py`), probabilities (`confidence.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from fl_assets.core.cycles import Window
from fl_assets.patterns.calibration import calibrate
from fl_assets.patterns.classes import ClassRule
from fl_assets.patterns.confidence import assess
from fl_assets.patterns.evidence import below_min_nodes, summarise
from fl_assets.patterns.families import NO_KIND, families, family_id_of, kinds
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.grouping import Corrections, group_patterns
from fl_assets.patterns.window import WindowSums, conversation_patterns


@dataclass(frozen=True)
class History:
    """What the warehouse knows up to the end of a day."""

    messages: pd.DataFrame
    """Distinct masked messages: `message_id, masked_error, has_text, service, method, first_day`."""
    signatures: pd.DataFrame
    """Rows of failure_signatures; those before the horizon only date the first failure of a message."""
    totals: pd.DataFrame
    """Rows of call_totals within the horizon."""
    signals: pd.DataFrame
    """Rows of conversation_signals within the horizon."""
    summarised: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"event_date": [], "node_id": [], "noise": []})
    )
    """`event_date, node_id, noise` of the rows that came from summaries; `noise` is its variance on each
    number of failures or conversations."""


@dataclass(frozen=True)
class Analysis:
    """Rows of failure_patterns, failure_families and pattern_members for one day."""

    patterns: pd.DataFrame
    members: pd.DataFrame
    families: pd.DataFrame


def analyse(
    history: History,
    window: Window,
    *,
    rules: Sequence[ClassRule],
    corrections: Corrections,
    false_discovery_rate: float,
    min_nodes: int = 3,
    summary_min_nodes: int = 1,
    suspects: Mapping[str, Sequence[str]] | None = None,
) -> Analysis:
    """Return the patterns of a window's last day; a pure function of its arguments.

    Args:
        history: Sums up to that day.
        window: Days analysed together.
        rules: Failure classes, in the order they are tried.
        corrections: People's merges and splits.
        false_discovery_rate: Level of the day's false-discovery control.
        min_nodes: Nodes that a playbook must rest on; with 1, sessions take the place of nodes.
        summary_min_nodes: Nodes that must have a pattern that only summaries report; with fewer it is
            assessed with the others and not shown.
        suspects: Message id to the prompts, configs and tools that error records name for it, most named
            first.
    """
    grouped = group_patterns(history.messages, corrections)
    conversations = conversation_patterns(history.signals)

    def assessed(groups: pd.DataFrame) -> pd.DataFrame:
        """Return evidence and confidence of groups of messages: of patterns, or of families of them."""
        sums = _sums(groups, history, window)
        confidence = assess(
            sums.counts,
            sums.reported,
            day=window.day,
            window_days=len(window.days),
            min_nodes=min_nodes,
            false_discovery_rate=false_discovery_rate,
        )
        hidden = below_min_nodes(sums.counts.failures, history.summarised, summary_min_nodes)
        evidence = summarise(sums)
        evidence = evidence[~evidence["pattern_id"].isin(hidden)]
        # Without a pattern the column of ids is one of numbers.
        confidence = confidence.astype({"pattern_id": evidence["pattern_id"].dtype})
        return evidence.merge(confidence, on="pattern_id", how="left", validate="one_to_one")

    patterns = assessed(grouped)
    weights = history.signatures.groupby("message_id", as_index=False)["failures"].sum()
    weighted = history.messages.merge(weights, on="message_id", how="left").fillna({"failures": 0})
    kind_of = kinds(weighted, grouped, patterns, rules)
    family_of = families(history.messages, grouped, kind_of)
    signals = conversations["message_id"].str.split("|").str[0]
    signal_of = dict(zip(conversations["pattern_id"], signals, strict=True))
    names = patterns["pattern_id"].tolist()
    found = [kind_of.get(name, NO_KIND) for name in names]
    classes = [signal_of.get(name) or kind.failure_class for name, kind in zip(names, found, strict=True)]
    patterns["failure_class"] = classes
    patterns["rule_id"] = [kind.rule_id for kind in found]
    patterns["is_harmless"] = [kind.is_harmless for kind in found]
    patterns["family_id"] = patterns["pattern_id"].map(lambda name: family_of.get(name, name))
    patterns["family_id"] = patterns["family_id"].astype(patterns["pattern_id"].dtype)  # also of no pattern
    members = pd.concat([grouped, conversations], ignore_index=True)[["pattern_id", "message_id"]]
    members = members[members["pattern_id"].isin(names)]
    named = _suspects_of(members, suspects or {})
    patterns["suspects"] = [named.get(name, []) for name in names]
    together = grouped.assign(pattern_id=grouped["pattern_id"].map(family_of))
    pooled = _families(patterns, assessed(together))
    return Analysis(patterns, members.sort_values(["pattern_id", "message_id"], ignore_index=True), pooled)


_LEADS = ("pattern_id", "kind", "template", "why_grouped", "failure_class", "rule_id", "is_harmless")
"""Columns that a family takes from its leading pattern."""


def _families(patterns: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """Return rows of failure_families: evidence of all their messages, pooled, and words of the lead.

    `pooled` is the same evidence by family, with its id where a pattern has its own.
    """
    is_oldest = patterns["pattern_id"].map(family_id_of) == patterns["family_id"]
    # The oldest pattern leads, so that references to the family stay valid; the largest where it has left.
    by_size = patterns.assign(is_oldest=is_oldest).sort_values(
        ["is_oldest", "failures", "pattern_id"], ascending=[False, False, True]
    )
    lead = by_size.drop_duplicates("family_id").set_index("family_id")[list(_LEADS)]
    lists = by_size.groupby("family_id").agg(
        patterns=("pattern_id", sorted),
        suspects=("suspects", lambda every: list(dict.fromkeys(name for names in every for name in names))),
    )
    rows = pooled.rename(columns={"pattern_id": "family_id"}).drop(columns=list(_LEADS), errors="ignore")
    rows = rows.join(lead, on="family_id", how="inner")
    if rows.empty:  # pandas gives lists of nothing an index that is a column, too
        return rows.assign(patterns=[], suspects=[])
    rows = rows.join(lists, on="family_id")
    return rows.sort_values(["failures", "family_id"], ascending=[False, True], ignore_index=True)


def replayed(history: History, members: pd.DataFrame, window: Window, *, min_nodes: int = 3) -> pd.DataFrame:
    """Assess the days before the window's last again; return the frame of `calibration.calibrate`."""
    known = history.signatures[history.signatures["message_id"].isin(members["message_id"])]
    sums = _sums(members, replace(history, signatures=known), window)
    days = len(window.days)
    fleet = Fleet(sums.counts, sums.reported, day=window.day, window_days=days, min_nodes=min_nodes)
    return calibrate(fleet)[1]


def _sums(grouped: pd.DataFrame, history: History, window: Window) -> WindowSums:
    return WindowSums(
        grouped,
        history.signatures,
        history.totals,
        history.signals,
        window.day,
        len(window.days),
        history.summarised,
    )


def _suspects_of(members: pd.DataFrame, suspects: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the suspects of each pattern's messages, each once, in the order given."""
    named: dict[str, dict[str, None]] = {}
    for pattern_id, message_id in zip(members["pattern_id"], members["message_id"], strict=True):
        for name in suspects.get(message_id, ()):
            named.setdefault(pattern_id, {})[name] = None
    return {pattern_id: list(names) for pattern_id, names in named.items()}
