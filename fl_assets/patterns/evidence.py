"""What is known of each pattern: counts by node and day, rates with intervals, baselines, series, latency and exemplars.

What goes here: sums over the warehouse's small tables, as frames of some thousand rows. What does not: which messages are one pattern (`patterns.py`), what
it is a case of (`failure_classes.py`), or what to believe of it (`confidence.py`).

Every function is pure and gives the same frame for any order of its rows and for any split of a day's sums over rows.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
import pandas as pd

from fl_assets.patterns.confidence import Counts
from fl_assets.patterns.nodes import USUAL_DAYS
from fl_assets.sums.masking import NOISE_BUCKET, NOISE_WIDTH

HORIZON_DAYS = 28
"""Days of history, the analysed day included, that evidence is drawn from."""
BASELINE_DAYS = 14
"""Days before the window that the baseline rate is taken over, and for which a pattern that stopped is still told of."""
SERIES_DAYS = 14
"""Days in a pattern's series."""
BUCKET_BASE = 1.1
"""Latency bucket b holds durations in (1.1^(b-1), 1.1^b] ms; bucket -1 holds 0."""
MAX_METHODS, MAX_BREAKDOWN, MAX_EXEMPLARS = 10, 20, 3
_Z95 = 1.959963984540054

SIGNAL_SENTENCES = {
    "repeated_question": "The user asks the same question again.",
    "correction": "The user says that the answer is wrong or not what was asked for.",
    "abandonment": "The user gives up: takes the question back, asks for a person, or leaves without thanks after a complaint.",
    "refusal": "The system says that it cannot or may not help.",
    "apology_loop": "The system apologises in two turns running.",
    "confident_after_failure": "The system reports success after a call in the same conversation failed, and says nothing of the failure.",
}
"""What each conversation signal means, in one sentence: the template of its patterns."""

_EVENT_COLUMNS = [
    "pattern_id",
    "event_date",
    "node_id",
    "service",
    "method",
    "failures",
    "sessions",
    "first_seen",
    "last_seen",
    "exemplars",
    "latency_histogram",
    "is_conversation",
]


def conversation_patterns(signals: pd.DataFrame) -> pd.DataFrame:
    """Return one pattern for each signal and agent that was ever affected, in the columns of `grouped`.

    Args:
        signals: Rows of conversation_signals.

    Returns:
        One row a pattern with `message_id` (`signal|service`), `pattern_id`, `kind`, `template`, `why_grouped` and `messages`, ordered by message.
    """
    seen = (
        signals.loc[signals["sessions_affected"] > 0, ["signal", "service"]]
        .drop_duplicates()
        .sort_values(["signal", "service"])
    )
    message_ids = [f"{signal}|{service}" for signal, service in seen.itertuples(index=False)]
    return pd.DataFrame(
        {
            "message_id": pd.Series(message_ids, dtype="str"),
            "pattern_id": pd.Series(
                [_conversation_pattern_id(message_id) for message_id in message_ids], dtype="str"
            ),
            "kind": pd.Series("conversation", index=range(len(message_ids)), dtype="str"),
            "template": pd.Series([SIGNAL_SENTENCES[signal] for signal in seen["signal"]], dtype="str"),
            "why_grouped": pd.Series(
                "One pattern for each signal and agent.", index=range(len(message_ids)), dtype="str"
            ),
            "messages": pd.Series(1, index=range(len(message_ids)), dtype="int64"),
        }
    )


def counts(
    grouped: pd.DataFrame,
    signatures: pd.DataFrame,
    totals: pd.DataFrame,
    signals: pd.DataFrame,
    day: date,
    days: int = HORIZON_DAYS,
) -> Counts:
    """Return failures and calls of each pattern by node and day.

    The calls are those to the (service, method) pairs in which the pattern failed within these days, so that a rate means the same thing on all of them.

    Args:
        grouped: One row a message: `message_id`, `pattern_id`.
        signatures: Rows of failure_signatures.
        totals: Rows of call_totals.
        signals: Rows of conversation_signals.
        day: Last day that counts; later rows are ignored.
        days: Days, ending with `day`, that count.

    Returns:
        Each of its frames ordered by all but the counts. For a conversation pattern the calls are conversations.

    Raises:
        ValueError: when a signature names a message that is in no pattern.
    """
    first_day = day - timedelta(days=days - 1)
    events = _failure_rows(grouped, signatures, signals, first_day, day)
    return _counts(events, _call_rows(totals, signals, first_day, day))


def unpublished(failing: pd.DataFrame, summarised: pd.DataFrame, min_nodes: int) -> set[str]:
    """Return the patterns that only summaries tell of, on fewer than `min_nodes` nodes: what they say could be the business of one node alone.

    Args:
        failing: `pattern_id, event_date, node_id` of the failures, as `counts` gives them.
        summarised: `event_date, node_id`: what is known of a node's day from its summary.
        min_nodes: nodes that must have had the pattern within those days.
    """
    told = set(zip(pd.to_datetime(summarised["event_date"]), summarised["node_id"], strict=True))
    is_told = np.array(
        [key in told for key in zip(failing["event_date"], failing["node_id"], strict=True)], dtype=bool
    )
    nodes = failing.groupby("pattern_id")["node_id"].nunique()
    return set(nodes[nodes < min_nodes].index) - set(failing.loc[~is_told, "pattern_id"])


def reporting(
    totals: pd.DataFrame, signals: pd.DataFrame, day: date, days: int = HORIZON_DAYS
) -> pd.DataFrame:
    """Return what each node reported on each day, any service: calls and conversations together.

    Returns:
        `event_date, node_id, calls`, ordered by the first two.
    """
    calls = _call_rows(totals, signals, day - timedelta(days=days - 1), day)
    # Each signal's row repeats the conversations of its node and agent: count them once.
    talk = (
        calls.loc[calls["is_conversation"]]
        .groupby(["event_date", "node_id", "service"], as_index=False)["calls"]
        .max()
    )
    reported = pd.concat(
        [
            calls.loc[~calls["is_conversation"], ["event_date", "node_id", "calls"]],
            talk[["event_date", "node_id", "calls"]],
        ]
    )
    return reported.groupby(["event_date", "node_id"], as_index=False, sort=True)["calls"].sum()


def summarise(
    grouped: pd.DataFrame,
    signatures: pd.DataFrame,
    totals: pd.DataFrame,
    signals: pd.DataFrame,
    *,
    day: date,
    window_days: int,
    days: int = HORIZON_DAYS,
) -> pd.DataFrame:
    """Return the evidence of every pattern that failed in the window or in the fourteen days before it.

    A pattern that stopped stays, with no failures, so that it can be called resolved.

    Args:
        grouped: One row a message: `message_id, pattern_id, kind, template, why_grouped, messages`.
        signatures: Rows of failure_signatures up to `day`; those before the last `days` only date the first failure.
        totals: Rows of call_totals up to `day`.
        signals: Rows of conversation_signals up to `day`.
        day: The day that is analysed.
        window_days: Days, ending with `day`, that are analysed together.
        days: Days of history, ending with `day`.

    Returns:
        The columns of failure_patterns but for class, state, confidence, p-value, significance and suspects; most failures first, then by id.
        Intervals are Wilson's at 95 % (Wilson 1927, JASA 22:209). `lift` is null where the baseline is nil or unknown.

    Raises:
        ValueError: when a signature names a message that is in no pattern.
    """
    window_start = day - timedelta(days=window_days - 1)
    baseline_start = window_start - timedelta(days=BASELINE_DAYS)
    first_day = min(day - timedelta(days=days - 1), baseline_start)
    events = _failure_rows(grouped, signatures, signals, first_day, day)
    calls = _call_rows(totals, signals, first_day, day)
    recent = set(_since(events, baseline_start)["pattern_id"])
    events = events[events["pattern_id"].isin(recent)]
    by_node = _counts(events, calls)
    daily = _daily(by_node)
    patterns = pd.Index(sorted(recent), name="pattern_id", dtype="str")

    in_window, failing = _since(daily, window_start), _since(by_node.failures, window_start)
    before = _since(daily[daily["event_date"] < pd.Timestamp(window_start)], baseline_start)
    window_events = _since(events, window_start)
    sums = (
        in_window.groupby("pattern_id")[["failures", "sessions", "calls"]]
        .sum()
        .reindex(patterns, fill_value=0)
    )
    base = before.groupby("pattern_id")[["failures", "calls"]].sum().reindex(patterns, fill_value=0)
    node_sums = failing.groupby(["pattern_id", "node_id"])["failures"].sum()
    affected = node_sums.groupby("pattern_id").size().reindex(patterns, fill_value=0)
    loudest = node_sums.groupby("pattern_id").max().reindex(patterns, fill_value=0)
    most_calls = _since(by_node.calls, window_start).groupby("set_id")["calls"].max()
    most_calls = by_node.set_of.set_index("pattern_id")["set_id"].map(most_calls).reindex(patterns).fillna(0)
    most_failures = failing.groupby("pattern_id")["failures"].max().reindex(patterns, fill_value=0)

    failures, attempts = sums["failures"].to_numpy(float), sums["calls"].to_numpy(float)
    rate = _ratio(failures, attempts, otherwise=0.0)
    rate_low, rate_high = wilson(failures, attempts)
    baseline_rate = _ratio(base["failures"].to_numpy(float), base["calls"].to_numpy(float))
    known = (
        _known_messages(grouped, signals)
        .set_index("pattern_id")[["kind", "template", "why_grouped", "messages"]]
        .reindex(patterns)
    )
    series, series_calls = _series(daily, patterns, day)
    reported = reporting(totals, signals, day, window_days)
    expected = reporting(totals, signals, day, window_days + USUAL_DAYS)
    quantiles = _latency(events, calls, window_start, patterns)
    seen = _seen(grouped, signatures, signals, day, patterns)

    summary = pd.DataFrame(
        {
            "event_date": pd.Series(day, index=patterns, dtype=object),
            "pattern_id": patterns,
            "kind": known["kind"],
            "template": known["template"],
            **_places(events, window_start, patterns),
            "window_days": window_days,
            "failures": sums["failures"],
            "sessions": sums["sessions"],
            "calls": sums["calls"],
            "failure_rate": rate,
            "rate_low": rate_low,
            "rate_high": rate_high,
            "baseline_rate": baseline_rate,
            "lift": _ratio(rate, baseline_rate),
            "peer_rate": _peer_rate(events, calls, window_start, sums),
            "nodes_affected": affected,
            "nodes_reporting": reported["node_id"].nunique(),
            "nodes_expected": expected["node_id"].nunique(),
            "top_node_share": _ratio(loudest.to_numpy(float), failures, otherwise=0.0),
            "first_seen": seen["first_seen"],
            "last_seen": seen["last_seen"],
            "series": series,
            "series_calls": series_calls,
            **quantiles,
            "peak_calls_per_node": np.maximum(most_calls, most_failures).astype("int64"),
            "exemplar_trace_ids": _exemplars(window_events, events, patterns),
            "messages": known["messages"],
            "why_grouped": known["why_grouped"],
        },
        index=patterns,
    ).reset_index(drop=True)
    return summary.sort_values(["failures", "pattern_id"], ascending=[False, True], ignore_index=True)


def wilson(failures: np.ndarray, attempts: np.ndarray, z: float = _Z95) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's score interval for each rate; (0, 1) where nothing was attempted."""
    n = np.maximum(attempts, 1.0)
    share = failures / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    empty = attempts <= 0
    low = np.where(empty | (failures <= 0), 0.0, np.clip(centre - half, 0.0, 1.0))
    high = np.where(empty | (failures >= n), 1.0, np.clip(centre + half, 0.0, 1.0))
    return low, high


def quantile(buckets: np.ndarray, weights: np.ndarray, q: float, width: int = 1) -> float:
    """Return the q-quantile, ms, of a log histogram whose buckets are sorted, interpolated (in the logarithm) within its bucket, which is `width` of ours."""
    cumulated = np.cumsum(weights)
    target = q * cumulated[-1]
    at = int(np.argmax(cumulated >= target))
    bucket = int(buckets[at])
    if bucket < 0:
        return 0.0
    inside = (target - (cumulated[at] - weights[at])) / weights[at]
    return float(BUCKET_BASE ** (bucket + width * (inside - 1)))


def noised_quantile(buckets: np.ndarray, weights: np.ndarray, q: float) -> float:
    """Return the q-quantile, ms, of a histogram with noise in it; NaN when on one side of it are fewer calls than three standard errors of their count.

    Args:
        buckets: sorted; the first is NOISE_BUCKET, and its weight the variance of the noise in each bucket of NOISE_WIDTH.
        weights: calls; noise may have made them fewer than none.
        q: which.
    """
    wide = np.ceil(np.maximum(buckets[1:], 1) / NOISE_WIDTH).astype("int64")
    calls = np.bincount(wide, weights=weights[1:], minlength=1)
    # The noise of a sum over part of the buckets is largest for half of them.
    if min(q, 1 - q) * calls.sum() < 3 * np.sqrt(weights[0] * calls.size / 2):
        return float("nan")
    return quantile(NOISE_WIDTH * np.arange(calls.size), calls, q, NOISE_WIDTH)


def _conversation_pattern_id(message_id: str) -> str:
    return hashlib.sha256(f"conversation|{message_id}".encode()).hexdigest()[:16]


def _known_messages(grouped: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    """One row a pattern, from messages and from talk."""
    columns = ["pattern_id", "kind", "template", "why_grouped", "messages"]
    every = pd.concat([grouped[columns], conversation_patterns(signals)[columns]], ignore_index=True)
    return every.sort_values(columns).drop_duplicates("pattern_id")


def _between(frame: pd.DataFrame, first_day: date | None, day: date) -> pd.DataFrame:
    """Rows of the days that count, with `event_date` as a timestamp at midnight."""
    dates = pd.to_datetime(frame["event_date"]).dt.as_unit("us")
    keep = dates <= pd.Timestamp(day)
    if first_day is not None:
        keep &= dates >= pd.Timestamp(first_day)
    return frame.assign(event_date=dates)[keep]


def _since(frame: pd.DataFrame, first_day: date) -> pd.DataFrame:
    return frame[frame["event_date"] >= pd.Timestamp(first_day)]


def _failure_rows(
    grouped: pd.DataFrame, signatures: pd.DataFrame, signals: pd.DataFrame, first_day: date | None, day: date
) -> pd.DataFrame:
    """Failures by pattern, day, node, service and method; talk is brought to the same columns, its method being the signal."""
    signatures, signals = _between(signatures, first_day, day), _between(signals, first_day, day)
    calls = signatures.merge(grouped[["message_id", "pattern_id"]], on="message_id", how="left")
    strays = sorted(calls.loc[calls["pattern_id"].isna(), "message_id"].unique())
    if strays:
        message = f"{len(strays)} message(s) of failure_signatures are in no pattern, the first is {strays[0]!r}: group every message known up to the day"
        raise ValueError(message)
    calls = calls.rename(columns={"exemplar_trace_ids": "exemplars"}).assign(is_conversation=False)
    talk = signals[signals["sessions_affected"] > 0].drop(columns="sessions")
    talk = talk.rename(
        columns={"sessions_affected": "failures", "exemplar_session_ids": "exemplars", "signal": "method"}
    )
    pattern_ids = [
        _conversation_pattern_id(f"{signal}|{service}")
        for signal, service in zip(talk["method"], talk["service"], strict=True)
    ]
    talk = talk.assign(
        pattern_id=pd.Series(pattern_ids, index=talk.index, dtype="str"),
        sessions=talk["failures"],
        latency_histogram=pd.Series(None, index=talk.index, dtype=object),
        is_conversation=True,
    )
    return _stack([calls[_EVENT_COLUMNS], talk[_EVENT_COLUMNS]])


def _call_rows(
    totals: pd.DataFrame, signals: pd.DataFrame, first_day: date | None, day: date
) -> pd.DataFrame:
    """Calls by day, node, service and method, in the columns that `_failure_rows` can be held against."""
    columns = [
        "event_date",
        "node_id",
        "service",
        "method",
        "calls",
        "failures",
        "latency_histogram",
        "is_conversation",
    ]
    calls = _between(totals, first_day, day).assign(is_conversation=False)
    talk = _between(signals, first_day, day)
    talk = talk.rename(columns={"signal": "method", "sessions": "calls", "sessions_affected": "failures"})
    talk = talk.assign(
        latency_histogram=pd.Series(None, index=talk.index, dtype=object), is_conversation=True
    )
    return _stack([calls[columns], talk[columns]])


def _stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate those frames that have rows, so that an empty one decides no type."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0].reset_index(drop=True)


_PAIR = ["is_conversation", "service", "method"]


def _pair_sets(events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number the sets of (service, method) pairs that patterns fail in; most patterns share a set, so calls are summed once a set.

    Returns:
        `pattern_id, set_id`, and `set_id` with the pair's columns.
    """
    pairs = events[["pattern_id", *_PAIR]].drop_duplicates()
    pairs = pairs.assign(pair=pairs.groupby(_PAIR, sort=True).ngroup()).sort_values(["pattern_id", "pair"])
    sets = pairs.groupby("pattern_id", sort=True)["pair"].agg(tuple)
    set_ids = pd.Series(pd.factorize(sets)[0], index=sets.index, dtype="int64")
    pairs = pairs.assign(set_id=pairs["pattern_id"].map(set_ids).astype("int64"))
    return pairs[["pattern_id", "set_id"]].drop_duplicates(), pairs[["set_id", *_PAIR]].drop_duplicates()


def _counts(events: pd.DataFrame, calls: pd.DataFrame) -> Counts:
    """Failures by pattern, day and node, and calls by set of methods, day and node."""
    keys = ["event_date", "node_id"]
    of_pattern, of_set = _pair_sets(events)
    attempted = (
        of_set.merge(calls[[*_PAIR, *keys, "calls"]], on=_PAIR)
        .groupby(["set_id", *keys], as_index=False)["calls"]
        .sum()
    )
    attempted = attempted[attempted["calls"] > 0]
    failed = events.groupby(["pattern_id", *keys], as_index=False)[["failures", "sessions"]].sum()
    failed = failed[failed["failures"] > 0]
    is_known = of_pattern["pattern_id"].isin(failed["pattern_id"]) | of_pattern["set_id"].isin(
        attempted["set_id"]
    )
    return Counts(failed, attempted, of_pattern[is_known])


def _daily(counts: Counts) -> pd.DataFrame:
    """Failures, sessions and calls by pattern and day; on no node are calls fewer than failures (noised summaries may say so)."""
    keys = ["pattern_id", "event_date"]
    known = counts.failures.merge(counts.set_of, on="pattern_id").merge(
        counts.calls, on=["set_id", "event_date", "node_id"], how="left"
    )
    known = known.assign(beyond=(known["failures"] - known["calls"].fillna(0)).clip(lower=0))
    failed = known.groupby(keys, as_index=False)[["failures", "sessions", "beyond"]].sum()
    attempted = counts.set_of.merge(
        counts.calls.groupby(["set_id", "event_date"], as_index=False)["calls"].sum(), on="set_id"
    )
    both = attempted.merge(failed, on=keys, how="outer").fillna(
        {"failures": 0, "sessions": 0, "beyond": 0, "calls": 0}
    )
    both = both.assign(calls=both["calls"] + both["beyond"]).astype(
        dict.fromkeys(("failures", "sessions", "calls"), "int64")
    )
    return both[[*keys, "failures", "sessions", "calls"]]


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """`above / below`, and `otherwise` where `below` is nil or unknown."""
    possible = below > 0
    return np.where(possible, above / np.where(possible, below, 1.0), otherwise)


def _peer_rate(
    events: pd.DataFrame, calls: pd.DataFrame, window_start: date, sums: pd.DataFrame
) -> np.ndarray:
    """Rate of all other failures in the same services and methods."""
    of_pattern, of_set = _pair_sets(events)
    failed = _since(calls, window_start).groupby(_PAIR, as_index=False)["failures"].sum()
    set_failures = of_set.merge(failed, on=_PAIR).groupby("set_id")["failures"].sum()
    every = (
        of_pattern.set_index("pattern_id")["set_id"]
        .map(set_failures)
        .reindex(sums.index)
        .fillna(0)
        .to_numpy(float)
    )
    others = np.clip(every - sums["failures"].to_numpy(float), 0, None)
    return np.clip(_ratio(others, sums["calls"].to_numpy(float), otherwise=0.0), 0.0, 1.0)


def _series(by_day: pd.DataFrame, patterns: pd.Index, day: date) -> tuple[pd.Series, pd.Series]:
    """Failures and calls of each of the last days, oldest first."""
    days = pd.date_range(end=pd.Timestamp(day), periods=SERIES_DAYS, freq="D").as_unit("us")
    daily = by_day.set_index(["pattern_id", "event_date"])[["failures", "calls"]]
    grid = daily.reindex(
        pd.MultiIndex.from_product([patterns, days], names=["pattern_id", "event_date"]), fill_value=0
    )
    shape = (len(patterns), SERIES_DAYS)
    return tuple(
        pd.Series(grid[name].to_numpy("int64").reshape(shape).tolist(), index=patterns, dtype=object)
        for name in ("failures", "calls")
    )  # ty: ignore


def _histogram_rows(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Buckets and weights of the frame's histograms, summed by `keys`; a MAP arrives as a dict or as pairs."""
    rows, buckets, weights = [], [], []
    for row, histogram in enumerate(frame["latency_histogram"]):
        if not isinstance(
            histogram, dict | list | np.ndarray
        ):  # a null in an object column is a None, a NaN or an NA
            continue
        for bucket, weight in histogram.items() if isinstance(histogram, dict) else histogram:
            rows.append(row)
            buckets.append(bucket)
            weights.append(weight)
    long = frame[keys].iloc[rows].assign(bucket=np.array(buckets, "int64"), weight=np.array(weights, "int64"))
    long = long[long["weight"] != 0]
    return long.groupby([*keys, "bucket"], as_index=False, sort=True)["weight"].sum()


def _quantiles(long: pd.DataFrame, key: str, points: tuple[float, ...]) -> pd.DataFrame:
    """Quantiles by `key`, from rows sorted by key and bucket."""
    found = {}
    for group, rows in long.groupby(key, sort=True):
        of = noised_quantile if rows["bucket"].iloc[0] == NOISE_BUCKET else quantile
        found[group] = [of(rows["bucket"].to_numpy(), rows["weight"].to_numpy(), q) for q in points]
    return pd.DataFrame.from_dict(found, orient="index", columns=list(points), dtype=float)


def _latency(
    events: pd.DataFrame, calls: pd.DataFrame, window_start: date, patterns: pd.Index
) -> dict[str, pd.Series]:
    """Quantiles of successful calls to the affected methods and of the failed calls themselves, in the window."""
    of_pattern, of_set = _pair_sets(events)
    succeeded = _histogram_rows(_since(calls, window_start), _PAIR)
    merged = (
        of_set.merge(succeeded, on=_PAIR)
        .groupby(["set_id", "bucket"], as_index=False, sort=True)["weight"]
        .sum()
    )
    by_set = _quantiles(merged, "set_id", (0.5, 0.95, 0.99))
    set_ids = of_pattern.set_index("pattern_id")["set_id"].reindex(patterns)
    failed = _quantiles(_histogram_rows(_since(events, window_start), ["pattern_id"]), "pattern_id", (0.5,))
    return {
        "p50_ms": set_ids.map(by_set[0.5]).astype(float),
        "p95_ms": set_ids.map(by_set[0.95]).astype(float),
        "p99_ms": set_ids.map(by_set[0.99]).astype(float),
        "failure_p50_ms": failed[0.5].reindex(patterns),
    }


def _places(events: pd.DataFrame, window_start: date, patterns: pd.Index) -> dict[str, pd.Series]:
    """Services, methods and their breakdown, most failures first; where there are none in the window, most failures before it first."""
    rows = events.assign(
        in_window=np.where(events["event_date"] >= pd.Timestamp(window_start), events["failures"], 0)
    )
    rows = rows.assign(method=np.where(rows["is_conversation"], "", rows["method"]))
    by_place = rows.groupby(["pattern_id", "service", "method"], as_index=False)[
        ["in_window", "failures"]
    ].sum()
    order, ascending = ["pattern_id", "in_window", "failures"], [True, False, False]
    by_place = by_place.sort_values([*order, "service", "method"], ascending=[*ascending, True, True])

    def names(column: str, most: int | None) -> pd.Series:
        sums = (
            by_place[by_place[column] != ""]
            .groupby(["pattern_id", column], as_index=False)[["in_window", "failures"]]
            .sum()
        )
        sums = sums.sort_values([*order, column], ascending=[*ascending, True])
        return _lists(sums, column, patterns, most)

    records = by_place.assign(
        entry=[
            {"service": service, "method": method, "failures": int(failures)}
            for service, method, failures in by_place[["service", "method", "in_window"]].itertuples(
                index=False
            )
        ]
    )
    breakdown = _lists(records, "entry", patterns, MAX_BREAKDOWN).map(
        lambda entries: json.dumps(entries, ensure_ascii=False)
    )
    return {
        "services": names("service", None),
        "methods": names("method", MAX_METHODS),
        "breakdown": breakdown,
    }


def _lists(rows: pd.DataFrame, column: str, patterns: pd.Index, most: int | None) -> pd.Series:
    """The column's values as one list a pattern, in row order."""
    found = {
        pattern: values.tolist()[:most] for pattern, values in rows.groupby("pattern_id", sort=False)[column]
    }
    return pd.Series([found.get(pattern, []) for pattern in patterns], index=patterns, dtype=object)


def _exemplars(window_events: pd.DataFrame, events: pd.DataFrame, patterns: pd.Index) -> pd.Series:
    """Up to three traces a pattern, of the newest day and of different nodes first; from before the window when it holds none."""
    quiet = events[~events["pattern_id"].isin(set(window_events["pattern_id"]))]
    rows = pd.concat([window_events, quiet])[["pattern_id", "event_date", "node_id", "exemplars"]]
    rows = (
        rows.assign(
            exemplars=[sorted(ids) if isinstance(ids, list | np.ndarray) else [] for ids in rows["exemplars"]]
        )
        .explode("exemplars")
        .dropna()
    )
    rows = rows.drop_duplicates().sort_values(
        ["pattern_id", "event_date", "node_id", "exemplars"], ascending=[True, False, True, True]
    )
    rows = rows.assign(turn=rows.groupby(["pattern_id", "event_date", "node_id"]).cumcount())
    rows = rows.sort_values(
        ["pattern_id", "event_date", "turn", "node_id"], ascending=[True, False, True, True]
    ).drop_duplicates(["pattern_id", "exemplars"])
    return _lists(rows, "exemplars", patterns, MAX_EXEMPLARS)


def _seen(
    grouped: pd.DataFrame, signatures: pd.DataFrame, signals: pd.DataFrame, day: date, patterns: Iterable[str]
) -> pd.DataFrame:
    """First and last failure that is known up to the day."""
    rows = _failure_rows(grouped, signatures, signals, None, day)
    rows = rows.assign(
        first_seen=pd.to_datetime(rows["first_seen"]), last_seen=pd.to_datetime(rows["last_seen"])
    )
    return (
        rows.groupby("pattern_id")
        .agg(first_seen=("first_seen", "min"), last_seen=("last_seen", "max"))
        .reindex(patterns)
    )
