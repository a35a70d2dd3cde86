"""What is different about the calls that fail, against calls of the same methods that succeed.

What goes here: which differences hold, how strong they are, and their order. What does not: counting
(`calls.py`, `call_sums.py`), words about them (`playbooks/`).

Looked at are a session's calls up to its first failure of the family, since what comes later follows from it.
A session's successful calls resemble each other, so they weigh together as one call. Where every node has one
value of an attribute, nodes are compared and not calls. What is kept survives the false-discovery control
over everything that was looked at on the day.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr

from fl_assets.core.tables import PATTERN_CONTRASTS
from fl_assets.patterns.association import adjusted, information, p_more, ratio_of_rates

FALSE_DISCOVERY_RATE = 0.01
MIN_LIFT, MIN_SHARE = 2.0, 0.5
"""Least failure rate with the trait over the rate without it, and least share of failures that have it."""
MIN_ABOVE = 0.9
"""Share of pairs of nodes, one with an attribute and one without, of which the one with it fails more often.
"""
MIN_SESSIONS = 5
MIN_CALLS = 20
"""Calls with another value of an attribute that must be known before it is called better."""
MAX_PER_FAMILY = 5
SAME_NODE = 0.8
"""Share of a family's failures on one node from which it is called that node's own."""
KINDS = (
    "method", "number", "items", "argument", "type", "format", "value", "attribute", "earlier", "flag",
    "command", "length", "before", "node", "place", "hour",
)  # fmt: skip
"""In the order that breaks ties: what can be changed comes first."""
_OPPOSITE = {"argument": "missing", "earlier": "not called before", "flag": "missing", "command": "missing"}


def contrasts(
    totals: pd.DataFrame,
    cells: pd.DataFrame,
    node_rates: pd.DataFrame,
    numbers: pd.DataFrame,
    *,
    min_nodes: int,
) -> pd.DataFrame:
    """Return the differences that hold, strongest first within each family.

    The frames are those of statements in `call_sums`. A trait is named once `min_nodes` fail with it; a node
    of its own is the exception.
    """
    known = totals[(totals["failed"] > 0) & (totals["succeeded"] > 0)].set_index("family")
    found = pd.concat([_traits(known, cells, node_rates), _cuts(known, numbers)], ignore_index=True)
    if found.empty:
        return pd.DataFrame(columns=PATTERN_CONTRASTS.day_columns)
    found = _with_rates(found)
    found = found[_hold(found, min_nodes)]
    found["order"] = found["kind"].map(KINDS.index)
    found = found.sort_values(
        ["family_id", "strength", "order", "name", "value"], ascending=[True, False, True, True, True]
    )
    # Of several that say the same of the same calls, the first is enough.
    found = found.drop_duplicates(["family_id", "failed_with", "succeeded_with"])
    found = found.drop_duplicates(["family_id", "kind", "name"])
    found["rank"] = found.groupby("family_id").cumcount() + 1
    return found[found["rank"] <= MAX_PER_FAMILY][PATTERN_CONTRASTS.day_columns].reset_index(drop=True)


def _with_rates(found: pd.DataFrame) -> pd.DataFrame:
    """Add the rates with and without a trait, their ratio, and the p-value adjusted for all that was tried.

    Comparisons of nodes have few units and few candidates; calls have many of both, and each is controlled by
    itself.
    """
    calls_with = found["failed_with"] + found["succeeded_with"]
    calls_without = found["failed"] + found["succeeded"] - calls_with
    failed_without = found["failed"] - found["failed_with"]
    lift, lift_low, lift_high = ratio_of_rates(
        *(
            column.to_numpy(float)
            for column in (found["failed_with"], calls_with, failed_without, calls_without)
        )
    )
    return found.assign(
        q_value=found.groupby("of_nodes")["p_value"].transform(
            lambda values: adjusted(values.to_numpy(float))
        ),
        rate_with=found["failed_with"] / np.maximum(1, calls_with),
        rate_without=failed_without / np.maximum(1, calls_without),
        lift=lift,
        lift_low=lift_low,
        lift_high=lift_high,
    )


def _hold(found: pd.DataFrame, min_nodes: int) -> pd.Series:
    """Whether a difference is sure, large, in most of the failures, and of enough nodes or of one alone."""
    share = found["failed_with"] / found["failed"]
    shared = (found["nodes"] >= min_nodes) & (found["failed_with"] >= max(MIN_SESSIONS, min_nodes))
    own = (share >= SAME_NODE) & (found["failed_with"] >= MIN_SESSIONS)
    return (
        (found["q_value"] <= FALSE_DISCOVERY_RATE)
        & (found["lift"] >= MIN_LIFT)
        & (found["lift_low"] > 1)
        & (share >= MIN_SHARE)
        & found["holds_within_nodes"]
        & np.where(found["kind"] == "node", own, shared)
    )


def _weighed(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Add p-value and strength, with successful calls weighed by their sessions."""
    failed, succeeded = frame["failed"].to_numpy(float), frame["succeeded"].to_numpy(float)
    weight = frame["family_id"].map(known["succeeded_sessions"] / known["succeeded"]).to_numpy(float)
    with_, other = frame["failed_with"].to_numpy(float), frame["succeeded_with"].to_numpy(float) * weight
    everyone = succeeded * weight
    p_value = p_more(with_, failed, with_ + other, failed + everyone)
    strength = information(with_, failed - with_, other, everyone - other)
    return frame.assign(p_value=p_value, strength=strength)


def _traits(known: pd.DataFrame, cells: pd.DataFrame, node_rates: pd.DataFrame) -> pd.DataFrame:
    """Return every trait that calls have or lack, with its p-value."""
    rows = cells[cells["family"].isin(known.index)].rename(
        columns={"family": "family_id", "feature": "kind", "failed_nodes": "nodes"}
    )
    if rows.empty:
        return rows
    rows["failed"], rows["succeeded"] = (
        rows["family_id"].map(known[name]) for name in ("failed", "succeeded")
    )
    rows["relation"] = rows["value"].where(
        rows["kind"].isin(["argument", "flag", "command", "earlier", "before"]), "is"
    )
    rows["value"] = rows["value"].where(rows["relation"] == "is", "")
    lacking = rows[rows["kind"].isin(_OPPOSITE.keys())].copy()
    lacking["relation"] = lacking["kind"].map(_OPPOSITE)
    lacking["failed_with"] = lacking["failed"] - lacking["failed_with"]
    lacking["succeeded_with"] = lacking["succeeded"] - lacking["succeeded_with"]
    lacking["nodes"] = lacking["family_id"].map(known["failed_nodes"])
    lacking["mh_with"], lacking["mh_without"] = lacking["mh_without"], lacking["mh_with"]
    rows = pd.concat([rows, lacking], ignore_index=True)
    rows = _weighed(rows, known)
    # Within nodes the difference must be there too, or it is one between nodes.
    rows["holds_within_nodes"] = rows["mh_with"] >= 1.5 * rows["mh_without"]
    rows["better_value"] = _better_values(rows)
    mixed = rows.groupby(["family_id", "kind", "name"])["nodes_mixed"].transform("sum")
    of_nodes = (rows["kind"] == "attribute") & (mixed == 0)
    rows["of_nodes"] = of_nodes
    rates = {str(family): _NodeRates.of(group) for family, group in node_rates.groupby("family")}
    chosen = rows.loc[of_nodes, ["family_id", "node_ids"]].itertuples(index=False)
    compared = [rates[family].compared(nodes) for family, nodes in chosen]
    if compared:
        rows.loc[of_nodes, "p_value"], rows.loc[of_nodes, "holds_within_nodes"] = zip(*compared, strict=True)
    rows.loc[rows["kind"] == "node", "holds_within_nodes"] = True
    return rows


@dataclass(frozen=True)
class _NodeRates:
    """Failure rates of a family's calls, by node."""

    places: dict[str, int]
    rate: np.ndarray
    """(nodes,) failed calls over all."""
    arcsine: np.ndarray
    """(nodes,) arcsine of the rate's root, whose variance does not depend on the rate."""
    variance: float
    """Of an arcsine by the counts alone, on average."""

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "_NodeRates":
        """Take them from rows of `call_sums.NODE_RATES_SQL`."""
        calls = rows["calls"].to_numpy(float)
        rate = rows["failed"].to_numpy(float) / calls
        places = {node: place for place, node in enumerate(rows["node_id"])}
        return cls(places, rate, np.arcsin(np.sqrt(rate)), float(np.mean(1 / (4 * calls))))

    def compared(self, nodes: Iterable[str]) -> tuple[float, bool]:
        """Compare the nodes that have an attribute with those that do not.

        Nodes differ for reasons of their own, so they and not their calls are the units; the variance is
        never taken below that of the counts.

        Returns:
            The p-value of a higher rate with it, by a one-sided t-test of arcsine rates; and whether most
            nodes with it fail more than most without.
        """
        has = np.zeros(len(self.rate), bool)
        has[[self.places[node] for node in nodes if node in self.places]] = True
        number = int(has.sum())
        others = len(has) - number
        if number < 2 or not others:
            return 1.0, False
        is_above = (self.rate[has][:, None] > self.rate[~has]).mean() >= MIN_ABOVE
        if others < 2:
            return 1.0, bool(is_above)
        sides = self.arcsine[has], self.arcsine[~has]
        degrees = len(has) - 2
        spread = sum(((side - side.mean()) ** 2).sum() for side in sides) / degrees
        error = np.sqrt(max(spread, self.variance) * (1 / number + 1 / others))
        p_value = stdtr(degrees, -(sides[0].mean() - sides[1].mean()) / error)
        return float(p_value), bool(is_above)


def _better_values(rows: pd.DataFrame) -> pd.Series:
    """Return, for each value of an attribute, the other value with which fewest of the same calls fail.

    The same for the type and the form of an argument; '' for none.
    """
    compared = ("attribute", "type", "format")
    of_attributes = rows[
        rows["kind"].isin(compared) & (rows["failed_with"] + rows["succeeded_with"] >= MIN_CALLS)
    ]
    rate = of_attributes["failed_with"] / (of_attributes["failed_with"] + of_attributes["succeeded_with"])
    ordered = of_attributes.assign(rate=rate).sort_values(
        ["rate", "succeeded_with", "value"], ascending=[True, False, True]
    )
    best = ordered.groupby(["family_id", "kind", "name"])["value"].first()
    found = [
        best.get((row["family_id"], row["kind"], row["name"]), "") if row["kind"] in compared else ""
        for row in rows.to_dict("records")
    ]
    return pd.Series(found, index=rows.index).where(lambda values: values != rows["value"], "")


def _cuts(known: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the best cut of each number that calls carry: above it or up to it more of them fail."""
    groups = numbers[numbers["family"].isin(known.index)].groupby(["family", "feature", "name"])
    rows = [
        {"family_id": family, "kind": kind, "name": name}
        | _best_cut(group, known.at[family, "succeeded_sessions"] / known.at[family, "succeeded"])
        | {"holds_within_nodes": True, "better_value": "", "of_nodes": False}
        for (family, kind, name), group in groups
        if len(group) >= 2 and group["failed"].any() and group["succeeded"].any()
    ]
    return pd.DataFrame(rows)


def _best_cut(group: pd.DataFrame, weight: float) -> dict[str, Any]:
    """Return the cut of a number with the least p-value, of rows that are ordered by it.

    `weight` is what a successful call counts for.
    """
    values, failed, succeeded = (group[name].to_numpy(float) for name in ("number", "failed", "succeeded"))
    all_failed, all_succeeded = failed.sum(), succeeded.sum()
    below_failed, below_succeeded = failed.cumsum()[:-1], succeeded.cumsum()[:-1]
    sides = {
        "above": (all_failed - below_failed, all_succeeded - below_succeeded),
        "up to": (below_failed, below_succeeded),
    }
    everyone = all_failed + all_succeeded * weight
    cuts = []
    for relation, (with_, other) in sides.items():
        chance = p_more(
            with_, np.full_like(with_, all_failed), with_ + other * weight, np.full_like(with_, everyone)
        )
        at = int(np.argmin(chance))
        cuts.append((chance[at], relation, at))
    p_value, relation, at = min(cuts)
    with_, other = sides[relation][0][at], sides[relation][1][at]
    inside = group["number"] > values[at] if relation == "above" else group["number"] <= values[at]
    parts = (with_, all_failed - with_, other * weight, (all_succeeded - other) * weight)
    return {
        "relation": relation,
        "value": f"{values[at]:g}",
        "failed_with": with_,
        "succeeded_with": other,
        "failed": all_failed,
        "succeeded": all_succeeded,
        "nodes": group.loc[inside, "failed_node_ids"].explode().nunique(),
        "p_value": min(1.0, p_value * 2 * len(values)),
        "strength": information(*(np.array([part]) for part in parts))[0],
    }
