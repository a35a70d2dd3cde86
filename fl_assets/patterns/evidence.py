"""What is known of each pattern: rates with intervals, baselines, series, places, nodes and exemplars.

What goes here: the columns of failure_patterns that are counted, one function per family of columns. What
does not: the sums they are drawn from (`window.py`), latency (`latency.py`), classes (`classes.py`),
confidence (`confidence.py`).

Every function is pure and gives the same frame for any order of its rows and for any split of a day's sums
over rows.
"""

import json
from datetime import timedelta

import numpy as np
import pandas as pd

from fl_assets.patterns.association import wilson
from fl_assets.patterns.counts import Counts
from fl_assets.patterns.latency import latency
from fl_assets.patterns.nodes import SERIES_DAYS, USUAL_DAYS
from fl_assets.patterns.window import PAIR, WindowSums, conversation_patterns, since

MAX_METHODS, MAX_BREAKDOWN, MAX_EXEMPLARS = 10, 20, 3
"""Entries at most of `methods`, `breakdown` and `exemplar_trace_ids`."""
INCIDENT_FAILURES = 5
"""Failures from which what only one node has is named as an incident of that node."""

Columns = dict[str, pd.Series]
"""Columns of failure_patterns, each indexed by pattern."""


def summarise(window: WindowSums) -> pd.DataFrame:
    """Return the evidence of every pattern that failed in the window or in the fourteen days before it.

    A pattern that stopped stays, with no failures, so that it can be called resolved.

    Returns:
        The columns of failure_patterns but for class, state, confidence, significance and suspects; most
        failures first, then by id. Intervals are at 95 % (`association.wilson`). `lift` is null where the
        baseline is nil or unknown.

    Raises:
        ValueError: when a signature names a message that is in no pattern.
    """
    recent = since(window.failed, window.baseline_start)["pattern_id"]
    patterns = pd.Index(sorted(set(recent)), name="pattern_id", dtype="str")
    daily = _daily(window.counts)
    daily = daily[daily["pattern_id"].isin(patterns)]
    columns: Columns = {
        "event_date": pd.Series(window.day, index=patterns, dtype=object),
        "pattern_id": pd.Series(patterns, index=patterns),
        "window_days": pd.Series(window.window_days, index=patterns),
        **_texts(window, patterns),
        **_places(window, patterns),
        **_rates(window, daily, patterns),
        **_nodes(window, patterns),
        **_times(window, patterns),
        **_series(window, daily, patterns),
        **latency(window, patterns),
        "exemplar_trace_ids": _exemplars(window, patterns),
    }
    summary = pd.DataFrame(columns, index=patterns).reset_index(drop=True)
    return summary.sort_values(["failures", "pattern_id"], ascending=[False, True], ignore_index=True)


def below_min_nodes(failed: pd.DataFrame, summarised: pd.DataFrame, min_nodes: int) -> set[str]:
    """Return the patterns that only summaries report, on fewer than `min_nodes` nodes.

    Such a message might identify a single node, so it is not published.

    Args:
        failed: `pattern_id, event_date, node_id` of the failures.
        summarised: `event_date, node_id` of each node's day that is known from its summary.
        min_nodes: nodes that must have had the pattern within those days.
    """
    summaries = set(zip(pd.to_datetime(summarised["event_date"]), summarised["node_id"], strict=True))
    keys = zip(failed["event_date"], failed["node_id"], strict=True)
    is_summary = np.array([key in summaries for key in keys], dtype=bool)
    nodes = failed.groupby("pattern_id")["node_id"].nunique()
    return set(nodes[nodes < min_nodes].index) - set(failed.loc[~is_summary, "pattern_id"])


def _texts(window: WindowSums, patterns: pd.Index) -> Columns:
    """Kind, template and grouping of each pattern, from messages and from conversations."""
    names = ["kind", "template", "why_grouped", "messages"]
    both = [window.grouped, conversation_patterns(window.signals)]
    known = pd.concat([frame[["pattern_id", *names]] for frame in both], ignore_index=True)
    known = known.sort_values(["pattern_id", *names]).drop_duplicates("pattern_id").set_index("pattern_id")
    return {name: known[name].reindex(patterns) for name in names}


def _rates(window: WindowSums, daily: pd.DataFrame, patterns: pd.Index) -> Columns:
    """Counts and rates of the window, and what they are compared with."""
    in_window = since(daily, window.start)
    before = daily[daily["event_date"] < pd.Timestamp(window.start)]
    now = _sums(in_window, ["failures", "sessions", "calls"], patterns)
    baseline = _sums(since(before, window.baseline_start), ["failures", "calls"], patterns)
    failures, calls = now["failures"].to_numpy(float), now["calls"].to_numpy(float)
    rate = _ratio(failures, calls, otherwise=0.0)
    rate_low, rate_high = wilson(failures, calls)
    baseline_rate = _ratio(baseline["failures"].to_numpy(float), baseline["calls"].to_numpy(float))
    derived = {
        "failure_rate": rate,
        "rate_low": rate_low,
        "rate_high": rate_high,
        "baseline_rate": baseline_rate,
        "lift": _ratio(rate, baseline_rate),
        "peer_rate": _peer_rate(window, now),
    }
    return {
        **{name: now[name] for name in now.columns},
        **{name: pd.Series(values, index=patterns) for name, values in derived.items()},
    }


def _nodes(window: WindowSums, patterns: pd.Index) -> Columns:
    """How many nodes have each pattern, of how many, and how much the loudest and the busiest contribute."""
    failed = since(window.counts.failures, window.start)
    by_node = failed.groupby(["pattern_id", "node_id"])["failures"].sum().groupby("pattern_id")
    affected, loudest, failures = (
        found.reindex(patterns, fill_value=0)
        for found in (by_node.size(), by_node.max(), failed.groupby("pattern_id")["failures"].sum())
    )
    most_calls = since(window.counts.calls, window.start).groupby("set_id")["calls"].max()
    set_ids = window.set_of.set_index("pattern_id")["set_id"].reindex(patterns)
    most_failures = failed.groupby("pattern_id")["failures"].max().reindex(patterns, fill_value=0)
    peak = np.maximum(set_ids.map(most_calls).fillna(0), most_failures).astype("int64")

    def reporting(days: int) -> int:
        first = window.day - timedelta(days=days - 1)
        return since(window.reported, first)["node_id"].nunique()

    first_node = failed.groupby("pattern_id")["node_id"].first().reindex(patterns)
    # Of a service that runs on one node alone, that node is no reason.
    of_service = since(window.called, window.start).groupby("service")["node_id"].nunique()
    services = window.failed[["pattern_id", "service"]].drop_duplicates()
    homes = services["service"].map(of_service).groupby(services["pattern_id"]).max().reindex(patterns)
    is_one_nodes = (affected == 1) & (failures >= INCIDENT_FAILURES) & (homes != 1)
    named = [str(node) if alone else None for node, alone in zip(first_node, is_one_nodes, strict=True)]
    incident_node = pd.Series(named, index=patterns, dtype=object)
    return {
        "nodes_affected": affected,
        "nodes_reporting": pd.Series(reporting(window.window_days), index=patterns),
        "nodes_expected": pd.Series(reporting(window.window_days + USUAL_DAYS), index=patterns),
        "top_node_share": pd.Series(
            _ratio(loudest.to_numpy(float), failures.to_numpy(float), otherwise=0.0), index=patterns
        ),
        "incident_node": incident_node,
        "peak_calls_per_node": peak,
    }


def _times(window: WindowSums, patterns: pd.Index) -> Columns:
    """First and last failure known up to the day."""
    seen = window.ever_failed.groupby("pattern_id")
    return {
        "first_seen": pd.to_datetime(seen["first_seen"].min()).reindex(patterns),
        "last_seen": pd.to_datetime(seen["last_seen"].max()).reindex(patterns),
    }


def _series(window: WindowSums, daily: pd.DataFrame, patterns: pd.Index) -> Columns:
    """Failures and calls of each of the last days, oldest first."""
    days = pd.date_range(end=pd.Timestamp(window.day), periods=SERIES_DAYS, freq="D").as_unit("us")
    cells = pd.MultiIndex.from_product([patterns, days], names=["pattern_id", "event_date"])
    grid = daily.set_index(["pattern_id", "event_date"])[["failures", "calls"]].reindex(cells, fill_value=0)

    def rows(name: str) -> pd.Series:
        values = grid[name].to_numpy("int64").reshape(len(patterns), SERIES_DAYS)
        return pd.Series(values.tolist(), index=patterns, dtype=object)

    return {"series": rows("failures"), "series_calls": rows("calls")}


def _places(window: WindowSums, patterns: pd.Index) -> Columns:
    """Services, methods and their breakdown, most failures in the window first, then most before it."""
    failed = window.failed[window.failed["pattern_id"].isin(patterns)]
    in_window = failed["failures"].where(failed["event_date"] >= pd.Timestamp(window.start), 0)
    method = failed["method"].where(~failed["is_conversation"].astype(bool), "")
    rows = failed.assign(in_window=in_window, method=method)
    sums = ["in_window", "failures"]
    by_place = rows.groupby(["pattern_id", "service", "method"], as_index=False)[sums].sum()
    by_place = by_place.sort_values(
        ["pattern_id", *sums, "service", "method"], ascending=[True, False, False, True, True]
    )

    def names(column: str, most: int | None) -> pd.Series:
        named = by_place[by_place[column] != ""].groupby(["pattern_id", column], as_index=False)[sums].sum()
        named = named.sort_values(["pattern_id", *sums, column], ascending=[True, False, False, True])
        return _lists(named, column, patterns, most)

    places = by_place[["service", "method", "in_window"]].itertuples(index=False)
    entries = [
        {"service": service, "method": method, "failures": int(failures)}
        for service, method, failures in places
    ]
    breakdown = _lists(by_place.assign(entry=entries), "entry", patterns, MAX_BREAKDOWN)
    return {
        "services": names("service", None),
        "methods": names("method", MAX_METHODS),
        "breakdown": breakdown.map(lambda places: json.dumps(places, ensure_ascii=False)),
    }


def _exemplars(window: WindowSums, patterns: pd.Index) -> pd.Series:
    """Up to three traces per pattern, of the newest day and of different nodes first.

    They are from before the window when it holds none.
    """
    in_window = since(window.failed, window.start)
    quiet = window.failed[~window.failed["pattern_id"].isin(set(in_window["pattern_id"]))]
    rows = pd.concat([in_window, quiet])[["pattern_id", "event_date", "node_id", "exemplars"]]
    rows = rows[rows["pattern_id"].isin(patterns)]
    found = [sorted(ids) if isinstance(ids, list | np.ndarray) else [] for ids in rows["exemplars"]]
    rows = rows.assign(exemplars=found).explode("exemplars").dropna().drop_duplicates()
    rows = rows.sort_values(
        ["pattern_id", "event_date", "node_id", "exemplars"], ascending=[True, False, True, True]
    )
    rows = rows.assign(turn=rows.groupby(["pattern_id", "event_date", "node_id"]).cumcount())
    rows = rows.sort_values(
        ["pattern_id", "event_date", "turn", "node_id"], ascending=[True, False, True, True]
    )
    rows = rows.drop_duplicates(["pattern_id", "exemplars"])
    return _lists(rows, "exemplars", patterns, MAX_EXEMPLARS)


def _daily(counts: Counts) -> pd.DataFrame:
    """Failures, sessions and calls by pattern and day.

    On no node are calls fewer than failures; summaries with noise may say so.
    """
    keys = ["pattern_id", "event_date"]
    known = counts.failures.merge(counts.set_of, on="pattern_id")
    known = known.merge(counts.calls, on=["set_id", "event_date", "node_id"], how="left")
    known = known.assign(beyond=(known["failures"] - known["calls"].fillna(0)).clip(lower=0))
    failed = known.groupby(keys, as_index=False)[["failures", "sessions", "beyond"]].sum()
    called = counts.calls.groupby(["set_id", "event_date"], as_index=False)["calls"].sum()
    both = counts.set_of.merge(called, on="set_id").merge(failed, on=keys, how="outer")
    both = both.fillna(dict.fromkeys(("failures", "sessions", "beyond", "calls"), 0))
    both = both.assign(calls=both["calls"] + both["beyond"])
    columns = ["failures", "sessions", "calls"]
    return both[[*keys, *columns]].astype(dict.fromkeys(columns, "int64"))


def _sums(daily: pd.DataFrame, columns: list[str], patterns: pd.Index) -> pd.DataFrame:
    return daily.groupby("pattern_id")[columns].sum().reindex(patterns, fill_value=0)


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Return `above / below`, and `otherwise` where `below` is nil or unknown."""
    possible = below > 0
    return np.where(possible, above / np.where(possible, below, 1.0), otherwise)


def _peer_rate(window: WindowSums, now: pd.DataFrame) -> np.ndarray:
    """Return the rate of all other failures in the same services and methods."""
    failed = since(window.called, window.start).groupby(PAIR, as_index=False)["failures"].sum()
    by_set = window.sets.merge(failed, on=PAIR).groupby("set_id")["failures"].sum()
    every = window.set_of.set_index("pattern_id")["set_id"].map(by_set).reindex(now.index).fillna(0)
    others = np.clip(every.to_numpy(float) - now["failures"].to_numpy(float), 0, None)
    return np.clip(_ratio(others, now["calls"].to_numpy(float), otherwise=0.0), 0.0, 1.0)


def _lists(rows: pd.DataFrame, column: str, patterns: pd.Index, most: int | None) -> pd.Series:
    """Return the column's values as one list per pattern, in row order."""
    groups = rows.groupby("pattern_id", sort=False)[column]
    found = {pattern: values.tolist()[:most] for pattern, values in groups}
    return pd.Series([found.get(pattern, []) for pattern in patterns], index=patterns, dtype=object)
