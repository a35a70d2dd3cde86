"""What calibration promises: it never looks ahead, never reorders, and moves only when enough has come true and not."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.counted_fleets import counts_of, outcomes
from fl_assets.patterns.calibration import IDENTITY, calibrate, fit, reliability, replay
from fl_assets.patterns.confidence import SOLO_CEILING
from fl_assets_tests.patterns.test_confidence import DAY, NODES, assess, frames, noise, on

TOMORROW = DAY + timedelta(days=1)


def next_day(failures: list[int], calls: int = 200) -> pd.DataFrame:
    """Counts in which pattern p has 8 failures a day on five nodes up to DAY, and `failures` by node on the day after."""
    counts, _ = frames({"p": on(5, 6, 8)})
    rows = [
        ("p", TOMORROW, f"node-{node:02d}", failed, calls, failed) for node, failed in enumerate(failures)
    ]
    return pd.concat([counts, pd.DataFrame(rows, columns=counts.columns)], ignore_index=True)


@pytest.mark.parametrize(
    ("failures", "happened"),
    [
        ([8, 8, 8, 8, 8, *[0] * 7], True),
        ([10, 10, *[0] * 10], True),  # half of 40, on two nodes
        ([9, 10, *[0] * 10], False),  # less than half
        ([40, *[0] * 11], False),  # one node
        ([0] * 12, False),
    ],
)
def test_it_comes_true_on_two_nodes_at_half_the_rate(failures, happened):
    assert outcomes(counts_of(next_day(failures)), day=DAY, window_days=1)["happened"].tolist() == [happened]


def test_a_loud_node_counts_as_three_of_the_next_when_it_comes_true():
    # 6 from the second node, at most 18 from the first: 24 of 40.
    assert outcomes(counts_of(next_day([1000, 6, *[0] * 10], calls=2000)), day=DAY, window_days=1)[
        "happened"
    ].tolist() == [False]
    assert outcomes(counts_of(next_day([150, 6, *[0] * 10])), day=DAY, window_days=1)[
        "happened"
    ].tolist() == [True]


def test_a_day_without_calls_tells_nothing():
    assert outcomes(counts_of(next_day([])), day=DAY, window_days=1).empty


@pytest.fixture(scope="module")
def fleet() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(5)
    patterns = {
        f"real-{number}": rng.poisson(rng.gamma(2, 2) * (rng.random((NODES, 1)) < 0.6) * np.ones((NODES, 28)))
        for number in range(15)
    }
    patterns |= {f"kind-{number}": rng.poisson(0.02, (NODES, 28)) for number in range(40)}
    return frames(patterns)


def test_a_calibration_depends_on_nothing_after_its_day(fleet):
    day = DAY - timedelta(days=5)
    counts, reporting = fleet
    past = counts_of(counts[counts["event_date"] <= day]), reporting[reporting["event_date"] <= day]
    fleet = counts_of(counts), reporting
    assert calibrate(*fleet, day=day, window_days=1) == calibrate(*past, day=day, window_days=1)
    pd.testing.assert_frame_equal(
        replay(*fleet, day=day, window_days=1), replay(*past, day=day, window_days=1)
    )


def test_a_replayed_day_says_what_was_said_on_that_day():
    rng = np.random.default_rng(6)
    patterns = {
        f"p{number}": rng.poisson(2.0 * (rng.random((NODES, 1)) < 0.5) * np.ones((NODES, 12)))
        for number in range(6)
    }
    counts, reporting = frames({**patterns, **noise(12)})
    again = replay(counts_of(counts), reporting, day=DAY, window_days=1, days=6)
    for back in (1, 4, 6):
        day = DAY - timedelta(days=back)
        said = assess(counts, reporting, day=day, window_days=1).set_index("pattern_id")["confidence_raw"]
        replayed = again[again["event_date"] == pd.Timestamp(day)].set_index("pattern_id")["confidence_raw"]
        assert len(replayed) > 0
        np.testing.assert_allclose(replayed, said[replayed.index], atol=1e-6)
        happened = outcomes(counts_of(counts), day=day, window_days=1).set_index("pattern_id")["happened"]
        assert (
            again[again["event_date"] == pd.Timestamp(day)].set_index("pattern_id")["happened"].to_dict()
            == happened[replayed.index].to_dict()
        )


def test_a_replay_is_calibrated_by_what_was_known_on_each_day(fleet):
    again = replay(counts_of(fleet[0]), fleet[1], day=DAY, window_days=1)
    last = again["event_date"] == again["event_date"].max()
    before = again[~last]
    known = fit(before["confidence_raw"].to_numpy(), before["happened"].to_numpy())
    assert known.kind != "identity"
    expected = known(again.loc[last, "confidence_raw"].to_numpy())
    said = again.loc[last, "confidence"].to_numpy()
    np.testing.assert_allclose(said[expected <= SOLO_CEILING], expected[expected <= SOLO_CEILING])
    assert (said <= expected + 1e-9).all()
    assert (said[expected > SOLO_CEILING] > SOLO_CEILING).any()


@pytest.mark.parametrize("days", [0, 22])
def test_more_days_than_the_history_bears_are_refused(fleet, days):
    with pytest.raises(ValueError, match=f"days={days}"):
        replay(counts_of(fleet[0]), fleet[1], day=DAY, window_days=1, days=days)


def drawn(pairs: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident predictions: what is said with p comes true with p²."""
    rng = np.random.default_rng(seed)
    raw = rng.random(pairs)
    return raw, rng.random(pairs) < raw**2


def test_too_few_pairs_leave_confidence_as_it_is():
    assert fit(*drawn(99))(np.array([0.1, 0.7])).tolist() == [0.1, 0.7]
    assert fit(np.full(500, 0.9), np.ones(500, dtype=bool)).kind == "identity"
    assert fit(np.zeros(0), np.zeros(0)) == IDENTITY


@pytest.mark.parametrize(("pairs", "kind"), [(400, "platt"), (3000, "isotonic")])
def test_overconfidence_is_corrected_on_pairs_not_seen(pairs, kind):
    calibration = fit(*drawn(pairs))
    raw, happened = drawn(4000, seed=2)
    before, after = reliability(raw, happened), reliability(calibration(raw), happened)
    assert calibration.kind == kind
    assert before.ece > 0.12
    assert after.ece < 0.05
    assert after.brier < before.brier


@given(st.integers(0, 10_000), st.sampled_from([150, 1500]))
@settings(max_examples=20, deadline=None)
def test_every_calibration_is_monotone_and_a_probability(seed, pairs):
    rng = np.random.default_rng(seed)
    calibrated = fit(rng.random(pairs), rng.random(pairs) < 0.5)(np.linspace(0, 1, 301))
    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_pairs_changes_nothing(seed):
    raw, happened = drawn(1500, seed)
    order = np.random.default_rng(seed).permutation(1500)
    np.testing.assert_allclose(
        fit(raw, happened).calibrated, fit(raw[order], happened[order]).calibrated, atol=1e-9
    )


def test_reliability_is_what_a_hand_computes():
    report = reliability([0.05, 0.15, 0.75, 0.85, 0.95], [False, True, True, False, True], threshold=0.7)
    assert report.brier == pytest.approx((0.05**2 + 0.85**2 + 0.25**2 + 0.85**2 + 0.05**2) / 5)
    assert report.ece == pytest.approx((0.05 + 0.85 + 0.25 + 0.85 + 0.05) / 5)
    assert (report.precision, report.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert report.bins["count"].tolist() == [1, 1, 1, 1, 1]


def test_reliability_of_nothing_has_no_precision():
    report = reliability([], [])
    assert (report.pairs, report.precision, report.recall, len(report.bins)) == (0, None, None, 0)


def test_predictions_without_outcomes_are_refused():
    with pytest.raises(ValueError, match="2 predictions beside 1 outcomes"):
        reliability([0.1, 0.2], [True])
