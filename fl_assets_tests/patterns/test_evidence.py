import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.counted_fleets import counts_of
from fl_assets.patterns.association import wilson
from fl_assets.patterns.confidence import assess
from fl_assets.patterns.counts import Counts
from fl_assets.patterns.evidence import summarise as summarise_window
from fl_assets.patterns.latency import quantile
from fl_assets.patterns.window import WindowSums, conversation_patterns
from fl_assets.sums.masking import BUCKET_BASE

DAY = date(2026, 11, 20)
SIGNATURE = [
    "event_date",
    "node_id",
    "service",
    "method",
    "message_id",
    "failures",
    "sessions",
    "first_seen",
    "last_seen",
    "exemplar_trace_ids",
]
TOTAL = ["event_date", "node_id", "service", "method", "calls", "failures", "latency_histogram"]
SIGNAL = [
    "event_date",
    "node_id",
    "service",
    "signal",
    "sessions_affected",
    "sessions",
    "turns",
    "first_seen",
    "last_seen",
    "exemplar_session_ids",
]


def _grouped(patterns: dict[str, str]) -> pd.DataFrame:
    rows = [
        (message, pattern, "error", f"template of {pattern}", "said alike", 1)
        for message, pattern in patterns.items()
    ]
    return pd.DataFrame(
        rows, columns=["message_id", "pattern_id", "kind", "template", "why_grouped", "messages"]
    )


def _signature(
    days_ago, node, message, failures, *, service="search", method="query", traces=None, histogram=None
):
    day = DAY - timedelta(days=days_ago)
    noon = pd.Timestamp(day) + pd.Timedelta(hours=12)
    row = dict(
        zip(
            SIGNATURE,
            (
                day,
                node,
                service,
                method,
                message,
                failures,
                failures,
                noon,
                noon,
                traces or [f"{node}-{days_ago}"],
            ),
            strict=True,
        )
    )
    return row | {"latency_histogram": histogram or {20: failures}}


def _total(days_ago, node, calls, failures, *, service="search", method="query", histogram=None):
    return dict(
        zip(
            TOTAL,
            (
                DAY - timedelta(days=days_ago),
                node,
                service,
                method,
                calls,
                failures,
                histogram or {10: calls - failures},
            ),
            strict=True,
        )
    )


def _signal(days_ago, node, signal, affected, sessions, *, service="agent"):
    day = DAY - timedelta(days=days_ago)
    noon = pd.Timestamp(day) + pd.Timedelta(hours=12) if affected else pd.NaT
    return dict(
        zip(
            SIGNAL,
            (
                day,
                node,
                service,
                signal,
                affected,
                sessions,
                affected,
                noon,
                noon,
                ["s1"] if affected else [],
            ),
            strict=True,
        )
    )


def summarise(*frames, day, window_days):
    return summarise_window(WindowSums(*frames, day, window_days))


def test_with_noise_durations_of_all_known_days_count_and_without_those_of_the_window():
    def told(variance: int) -> pd.Series:
        rows = [
            _total(back, "n1", 100, 0, histogram={-2: variance, 51: 60, 68: 40} if variance else {10: 100})
            for back in range(1, 6)
        ]
        now = {-2: variance, 51: 60, 68: 40} if variance else {60: 90}
        totals = pd.DataFrame([*rows, _total(0, "n1", 100, 10, histogram=now)])
        signatures = _signatures(_signature(0, "n1", "m", 10))
        return summarise(_grouped({"m": "p"}), signatures, totals, _signals(), day=DAY, window_days=1).iloc[0]

    assert told(0)["p50_ms"] == pytest.approx(1.1**59.5, rel=0.01)
    assert np.isnan(told(3_000)["p50_ms"])
    assert 1.1**34 < told(500)["p50_ms"] < 1.1**51, "of one day alone it would be unknown"
    assert told(10)["p99_ms"] > told(10)["p95_ms"]
    assert [told(variance)["is_p99_estimated"] for variance in (0, 10, 3_000)] == [False, True, False]


def counts(*frames, day=DAY):
    return WindowSums(*frames, day).counts


def reporting(totals, signals):
    return WindowSums(_grouped({}), _signatures(), totals, signals, DAY).reported


def _frame(rows, columns):
    return pd.DataFrame(rows, columns=columns)


def _signatures(*rows):
    return _frame(rows, [*SIGNATURE, "latency_histogram"])


def _totals(*rows):
    return _frame(rows, TOTAL)


def _signals(*rows):
    return _frame(rows, SIGNAL)


def _fleet(seed: int):
    """A small fleet over thirty days: messages of three patterns, two services, talk."""
    random = np.random.default_rng(seed)
    signatures, totals, signals = [], [], []
    for ago in range(30):
        for node in ("a", "b", "c")[: random.integers(1, 4)]:
            for service, method in (("search", "query"), ("search", "rank"), ("mail", "send")):
                failures = 0
                for message in ("m1", "m2", "m3", "m4"):
                    if random.random() < 0.3:
                        count = int(random.integers(1, 5))
                        failures += count
                        signatures.append(
                            _signature(
                                ago,
                                node,
                                message,
                                count,
                                service=service,
                                method=method,
                                traces=[f"t{i}" for i in random.integers(0, 50, 3)],
                                histogram={int(b): 1 for b in random.integers(-1, 60, count)},
                            )
                        )
                totals.append(
                    _total(
                        ago,
                        node,
                        failures + int(random.integers(1, 50)),
                        failures,
                        service=service,
                        method=method,
                    )
                )
            signals.append(_signal(ago, node, "refusal", int(random.integers(0, 3)), 5))
            signals.append(_signal(ago, node, "correction", int(random.integers(0, 3)), 5))
    grouped = _grouped({"m1": "p1", "m2": "p1", "m3": "p2", "m4": "p3"})
    return grouped, _signatures(*signatures), _totals(*totals), _signals(*signals)


def _plain(frame: pd.DataFrame) -> list:
    return json.loads(frame.to_json(orient="split", date_format="iso"))["data"]


def _parts(counted: Counts) -> tuple[pd.DataFrame, ...]:
    return counted.failures, counted.calls, counted.set_of


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), shuffle=st.integers(0, 1000))
def test_no_result_depends_on_the_order_of_rows(seed, shuffle):
    frames = _fleet(seed)
    shuffled = [frame.sample(frac=1, random_state=shuffle).reset_index(drop=True) for frame in frames]
    assert _plain(summarise(*frames, day=DAY, window_days=3)) == _plain(
        summarise(*shuffled, day=DAY, window_days=3)
    )
    for ordered, mixed in zip(
        _parts(counts(*frames, day=DAY)), _parts(counts(*shuffled, day=DAY)), strict=True
    ):
        assert _plain(ordered) == _plain(mixed)
    assert _plain(reporting(*frames[2:])) == _plain(reporting(*shuffled[2:]))


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000))
def test_splitting_a_days_sums_into_single_failures_changes_nothing(seed):
    grouped, signatures, totals, signals = _fleet(seed)
    pieces = []
    for row in signatures.to_dict("records"):
        buckets = [bucket for bucket, weight in row["latency_histogram"].items() for _ in range(weight)]
        for piece in range(row["failures"]):
            own = {buckets[piece]: 1} if piece < len(buckets) else {}
            pieces.append(row | {"failures": 1, "sessions": 1, "latency_histogram": own})
    whole = summarise(grouped, signatures, totals, signals, day=DAY, window_days=7)
    assert _plain(
        summarise(grouped, _signatures(*pieces), totals, signals, day=DAY, window_days=7)
    ) == _plain(whole)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000))
def test_every_rate_lies_in_its_interval_and_every_count_agrees(seed):
    summary = summarise(*_fleet(seed), day=DAY, window_days=2)
    assert (summary["rate_low"] <= summary["failure_rate"]).all()
    assert (summary["failure_rate"] <= summary["rate_high"]).all()
    assert (
        summary[["failure_rate", "rate_low", "rate_high", "peer_rate", "top_node_share"]]
        .stack()
        .between(0, 1)
        .all()
    )
    assert (summary["nodes_affected"] <= summary["nodes_reporting"]).all()
    for row in summary.to_dict("records"):
        assert sum(row["series"][-2:]) == row["failures"]
        assert sum(row["series_calls"][-2:]) == row["calls"]
        if row["kind"] == "error":
            assert sum(place["failures"] for place in json.loads(row["breakdown"])) == row["failures"]


def test_rates_are_shares_of_the_calls_to_the_affected_methods_only():
    signatures = _signatures(_signature(0, "a", "m1", 5))
    totals = _totals(_total(0, "a", 50, 9), _total(0, "b", 50, 0), _total(0, "a", 1000, 0, method="rank"))
    (row,) = summarise(
        _grouped({"m1": "p1"}), signatures, totals, _signals(), day=DAY, window_days=1
    ).to_dict("records")
    assert (row["failures"], row["calls"], row["failure_rate"]) == (5, 100, 0.05)
    assert row["peer_rate"] == pytest.approx(0.04)
    assert (
        row["nodes_affected"],
        row["nodes_reporting"],
        row["top_node_share"],
        row["peak_calls_per_node"],
    ) == (1, 2, 1.0, 50)


def test_the_baseline_is_the_fourteen_days_before_the_window_and_no_others():
    rows = [_signature(ago, "a", "m1", 2) for ago in (0, 1, 14, 15)] + [_signature(16, "a", "m1", 90)]
    totals = [_total(ago, "a", 100, 2) for ago in range(16)] + [_total(16, "a", 100, 90)]
    (row,) = summarise(
        _grouped({"m1": "p1"}), _signatures(*rows), _totals(*totals), _signals(), day=DAY, window_days=2
    ).to_dict("records")
    assert row["failure_rate"] == pytest.approx(0.02)
    assert row["baseline_rate"] == pytest.approx(4 / 1400)
    assert row["lift"] == pytest.approx(0.02 / (4 / 1400))
    assert row["first_seen"] == pd.Timestamp(DAY - timedelta(days=16)) + pd.Timedelta(hours=12)


def test_a_pattern_that_stopped_stays_with_no_failures():
    rows = [_signature(5, "a", "m1", 3), _signature(20, "a", "m2", 3)]
    totals = [_total(ago, "a", 100, 0) for ago in range(28)]
    summary = summarise(
        _grouped({"m1": "p1", "m2": "p2"}),
        _signatures(*rows),
        _totals(*totals),
        _signals(),
        day=DAY,
        window_days=1,
    )
    assert summary["pattern_id"].tolist() == ["p1"]  # p2 stopped more than fourteen days before
    (row,) = summary.to_dict("records")
    assert (
        row["failures"],
        row["failure_rate"],
        row["calls"],
        row["services"],
        row["exemplar_trace_ids"],
    ) == (0, 0.0, 100, ["search"], ["a-5"])
    assert row["baseline_rate"] == pytest.approx(3 / 1400)


def test_later_days_are_not_looked_at():
    frames = _fleet(3)
    past = [
        frames[0],
        *(
            frame[pd.to_datetime(frame["event_date"]) <= pd.Timestamp(DAY - timedelta(days=9))]
            for frame in frames[1:]
        ),
    ]
    then = DAY - timedelta(days=9)
    assert _plain(summarise(*frames, day=then, window_days=2)) == _plain(
        summarise(*past, day=then, window_days=2)
    )


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), window_days=st.integers(1, 7))
def test_patterns_that_share_their_calls_are_believed_as_if_each_had_its_own(seed, window_days):
    frames = _fleet(seed)
    shared, reported = counts(*frames, day=DAY), reporting(*frames[2:])
    rows = (
        shared.set_of.merge(shared.calls, on="set_id")
        .merge(shared.failures, on=["pattern_id", "event_date", "node_id"], how="outer")
        .fillna(0)
    )
    assert len(shared.calls) < len(rows)
    own = counts_of(rows.assign(calls=rows[["calls", "failures"]].max(axis=1)))
    pd.testing.assert_frame_equal(
        assess(shared, reported, day=DAY, window_days=window_days),
        assess(own, reported, day=DAY, window_days=window_days),
    )


def test_a_node_that_reported_nothing_has_no_row():
    totals = _totals(_total(0, "a", 10, 1), _total(1, "b", 10, 0))
    counted = counts(_grouped({"m1": "p1"}), _signatures(_signature(0, "a", "m1", 1)), totals, _signals())
    assert counted.calls[["node_id", "calls"]].to_numpy().tolist() == [["b", 10], ["a", 10]]
    assert counted.failures[["node_id", "failures"]].to_numpy().tolist() == [["a", 1]]
    assert reporting(totals, _signals())[["node_id", "calls"]].to_numpy().tolist() == [["b", 10], ["a", 10]]


def test_talk_is_a_pattern_for_each_signal_and_agent_and_its_calls_are_conversations():
    signals = _signals(
        _signal(0, "a", "refusal", 2, 10),
        _signal(0, "b", "refusal", 0, 30),
        _signal(0, "a", "correction", 0, 10),
    )
    empty = _grouped({})
    (row,) = summarise(empty, _signatures(), _totals(), signals, day=DAY, window_days=1).to_dict("records")
    assert (row["kind"], row["failures"], row["calls"], row["failure_rate"], row["nodes_reporting"]) == (
        "conversation",
        2,
        40,
        0.05,
        2,
    )
    assert (row["services"], row["methods"], row["exemplar_trace_ids"]) == (["agent"], [], ["s1"])
    assert conversation_patterns(signals)["message_id"].tolist() == ["refusal|agent"]
    assert reporting(_totals(), signals)["calls"].tolist() == [10, 30]


def test_a_message_in_no_pattern_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="'m9'"):
        counts(_grouped({"m1": "p1"}), _signatures(_signature(0, "a", "m9", 1)), _totals(), _signals())


def test_nothing_known_gives_an_empty_table_with_every_column():
    summary = summarise(_grouped({}), _signatures(), _totals(), _signals(), day=DAY, window_days=1)
    assert len(summary) == 0
    assert {"pattern_id", "series", "p95_ms", "breakdown"} <= set(summary.columns)


def test_exemplars_come_from_different_nodes_first():
    rows = [
        _signature(0, "a", "m1", 9, traces=["a1", "a2", "a3"]),
        _signature(0, "b", "m1", 1, traces=["b1"]),
    ]
    totals = _totals(_total(0, "a", 10, 9), _total(0, "b", 10, 1))
    (row,) = summarise(
        _grouped({"m1": "p1"}), _signatures(*rows), totals, _signals(), day=DAY, window_days=1
    ).to_dict("records")
    assert row["exemplar_trace_ids"] == ["a1", "b1", "a2"]


@given(
    durations=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=200), q=st.sampled_from([0.5, 0.95, 0.99])
)
def test_a_quantile_from_buckets_is_within_one_bucket_of_the_true_one(durations, q):
    buckets = np.ceil(np.log(durations) / np.log(BUCKET_BASE) - 1e-9).astype(int)
    values, weights = np.unique(buckets, return_counts=True)
    true = np.quantile(durations, q, method="inverted_cdf")
    assert true / BUCKET_BASE * 0.999 <= quantile(values, weights, q) <= true * BUCKET_BASE * 1.001


def test_quantiles_of_a_merged_histogram_are_those_of_the_affected_methods():
    totals = _totals(
        _total(0, "a", 11, 1, histogram={-1: 5, 30: 5}),
        _total(0, "b", 10, 0, histogram=[(30, 10)]),
        _total(0, "b", 10, 0, method="rank"),
    )
    signature = _signature(0, "a", "m1", 1, histogram={50: 1})
    (row,) = summarise(
        _grouped({"m1": "p1"}), _signatures(signature), totals, _signals(), day=DAY, window_days=1
    ).to_dict("records")
    assert BUCKET_BASE**29 < row["p50_ms"] < BUCKET_BASE**30
    assert row["failure_p50_ms"] == pytest.approx(BUCKET_BASE**49.5)


def test_wilson_matches_the_published_example():
    low, high = wilson(
        np.array([81.0, 0.0, 0.0]), np.array([263.0, 10.0, 0.0])
    )  # Newcombe 1998, table I, 81/263: .2553 to .3662
    assert (round(low[0], 4), round(high[0], 4)) == (0.2553, 0.3662)
    assert (low[1], round(high[1], 4)) == (0.0, 0.2775)
    assert (low[2], high[2]) == (0.0, 1.0)


@pytest.mark.parametrize(("service_elsewhere", "node"), [("search", "n1"), ("other", None)])
def test_a_failure_is_one_nodes_own_only_where_other_nodes_run_the_service_too(service_elsewhere, node):
    totals = _totals(_total(0, "n1", 40, 9), _total(0, "n2", 40, 0, service=service_elsewhere, method="m"))
    signatures = _signatures(_signature(0, "n1", "m1", 9))
    summary = summarise(_grouped({"m1": "p1"}), signatures, totals, _signals(), day=DAY, window_days=1)
    assert summary["incident_node"].tolist() == [node]
