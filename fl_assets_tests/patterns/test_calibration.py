"""What calibration promises.

It never looks ahead, never reorders, and moves only when enough has come true and not.
"""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.counted_fleets import counts_of, outcomes
from fl_assets.patterns.calibration import EXCESS, Calibration, Learner, calibrate, reliability
from fl_assets.patterns.features import NAMES, features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import FleetPrior
from fl_assets.patterns.prior import PRECISION, WEIGHTS
from fl_assets.patterns.states import load_tests, votes_of
from fl_assets_tests.patterns.test_confidence import DAY, NODES, assess, frames, noise, on

TOMORROW = DAY + timedelta(days=1)


def next_day(failures: list[int], calls: int = 200) -> pd.DataFrame:
    """Counts in which pattern p has 8 failures a day on five nodes up to DAY, and `failures` by node on the
    day after.
    """
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


@pytest.mark.parametrize(
    ("failures", "happened"),
    [
        # The first node counts 16 at most, since its days were of 8: with 4 of another node it is 20 of 40.
        ([1000, 4, *[0] * 10], True),
        ([1000, 3, *[0] * 10], False),
        # A node without days of its own counts as the median of the day: 2 + 2 + 2.
        ([0] * 7 + [1000, 2, 2, 0, 0], False),
        ([0] * 7 + [1000, 8, 8, 0, 0], True),
    ],
)
def test_a_node_day_counts_up_to_what_is_usual_for_the_node(failures, happened):
    said = outcomes(counts_of(next_day(failures)), day=DAY, window_days=1)
    assert said["happened"].tolist() == [happened]


def test_a_day_of_a_load_test_teaches_nothing():
    calls = np.full(28, 100.0)
    calls[20] = 150
    assert np.flatnonzero(load_tests(calls)).tolist() == [20]
    assert not load_tests(100 * 1.08 ** np.arange(28)).any()  # growth is none
    grown = load_tests(100 * 1.2 ** np.arange(28))  # fast growth neither, once days after it are known
    assert np.flatnonzero(grown).tolist() == [26, 27]
    assert not load_tests(np.tile([100, 100, 100, 100, 100, 3, 3.0], 4)).any()  # nor is a Monday


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


def fleet_of(counts: pd.DataFrame, reporting: pd.DataFrame, day=DAY) -> Fleet:
    return Fleet(counts_of(counts), reporting, day=day, window_days=1)


def replay(counts: pd.DataFrame, reporting: pd.DataFrame, day=DAY, **given) -> pd.DataFrame:
    return calibrate(fleet_of(counts, reporting, day), **given)[1]


def test_a_calibration_depends_on_nothing_after_its_day(fleet):
    day = DAY - timedelta(days=5)
    counts, reporting = fleet
    past = counts[counts["event_date"] <= day], reporting[reporting["event_date"] <= day]
    pd.testing.assert_frame_equal(replay(*fleet, day=day), replay(*past, day=day))
    pd.testing.assert_frame_equal(
        assess(*fleet, day=day, window_days=1), assess(*past, day=day, window_days=1)
    )


def test_a_replayed_day_says_what_was_said_on_that_day():
    rng = np.random.default_rng(6)
    patterns = {
        f"p{number}": rng.poisson(2.0 * (rng.random((NODES, 1)) < 0.5) * np.ones((NODES, 12)))
        for number in range(6)
    }
    counts, reporting = frames({**patterns, **noise(12)})
    again = replay(counts, reporting)
    for back in (1, 4, 6):
        day = DAY - timedelta(days=back)
        said = assess(counts, reporting, day=day, window_days=1).set_index("pattern_id")
        replayed = again[again["event_date"] == pd.Timestamp(day)].set_index("pattern_id")
        assert len(replayed) > 0
        for name in ("confidence_raw", "confidence"):
            np.testing.assert_allclose(replayed[name], said.loc[replayed.index, name], atol=2e-6)
        happened = outcomes(counts_of(counts), day=day, window_days=1).set_index("pattern_id")["happened"]
        assert replayed["happened"].to_dict() == happened[replayed.index].to_dict()


@pytest.mark.parametrize("days", [0, 22])
def test_more_days_than_the_history_bears_are_refused(fleet, days):
    with pytest.raises(ValueError, match=f"days={days}"):
        replay(*fleet, days=days)


def drawn(pairs: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a world in which the prior is wrong: everything comes true half as often as it says."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 1, (pairs, len(NAMES)))
    rows[:, 0] = 1
    said = 1 / (1 + np.exp(-rows @ np.array(WEIGHTS)))
    return rows, rng.random(pairs) < said / 2


def test_without_a_past_the_prior_speaks():
    rows, _ = drawn(50)
    learner = Learner(WEIGHTS, PRECISION)
    expected = 1 / (1 + np.exp(-rows @ np.array(WEIGHTS)))
    said = learner.predict(rows)
    assert (np.abs(said - 0.5) <= np.abs(expected - 0.5) + 1e-12).all()  # less sure, never surer
    learner.update(rows[:0], np.zeros(0), np.zeros(0))
    np.testing.assert_array_equal(learner.predict(rows), said)


def test_what_a_fleet_teaches_corrects_the_prior_on_pairs_not_seen():
    learner = Learner(WEIGHTS, PRECISION)
    rows, happened = drawn(4000, seed=2)
    before = reliability(learner.predict(rows), happened)
    for day in range(20):
        learner.update(*drawn(60, seed=100 + day), np.ones(60))
    after = reliability(learner.predict(rows), happened)
    assert before.ece > 0.2
    assert after.ece < 0.07
    assert after.brier < before.brier - 0.04


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_a_days_pairs_changes_nothing(seed):
    rows, happened = drawn(300, seed)
    order = np.random.default_rng(seed).permutation(300)
    one, other = Learner(WEIGHTS, PRECISION), Learner(WEIGHTS, PRECISION)
    one.update(rows, happened, np.ones(300))
    other.update(rows[order], happened[order], np.ones(300))
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-9)


def likely_days(fleet: tuple[pd.DataFrame, pd.DataFrame], came_true: float, days: int = 15) -> Calibration:
    """Learn from days on which so large a share of likely predictions came true, and nothing else."""
    built = fleet_of(*fleet)
    facts = built.facts()
    rows, view = features(facts, FleetPrior.of(facts, 1), 1, built.question)
    calibration = Calibration()
    likely = rows[calibration(rows, view) >= 0.6]
    assert len(likely) >= 5
    happened = np.arange(len(likely)) < came_true * len(likely)
    for _ in range(days):
        calibration.learn(likely, happened, np.ones(len(likely)))
    return calibration


def test_likely_predictions_are_drawn_back_where_they_said_too_much_and_no_others(fleet):
    said = np.array([0.3, 0.5, 0.75, 0.95])
    new, good, poor = (
        one._drawn_back(said) for one in (Calibration(), likely_days(fleet, 1.0), likely_days(fleet, 0.4))
    )
    for drawn_back in (new, good, poor):
        np.testing.assert_allclose(drawn_back[:2], said[:2])
    assert (poor[2:] < new[2:]).all()
    assert (new[2:] < good[2:]).all()  # without a record the doubt of having none


def lone_feature(log_odds: float, predictions: int) -> np.ndarray:
    """Rows that the prior says exactly so much of, in log odds: the constant alone."""
    rows = np.zeros((predictions, len(NAMES)))
    rows[:, 0] = log_odds / WEIGHTS[0]
    return rows


def drawn_back_after(log_odds: float, came_true: float, days: int = 2) -> float:
    """What 0.85 is drawn back to after days of twenty predictions each that the weights say so much of."""
    calibration = Calibration(precision=np.full(len(NAMES), 1e9))  # weights that stay as they are
    rows, rng = lone_feature(log_odds, 20), np.random.default_rng(7)
    for _ in range(days):
        calibration.learn(rows, rng.random(20) < came_true, np.ones(20))
    return float(calibration._drawn_back(np.array([0.85]))[0])


def test_likely_predictions_that_barely_exceed_the_others_are_drawn_back_more_for_the_same_record():
    barely, far = drawn_back_after(0.8, 0.69), drawn_back_after(3.0, 0.953)  # both came true as was said
    assert barely < far - 0.05
    assert barely < drawn_back_after(0.8, 0.69, days=5)  # the record outweighs it


def test_where_nothing_likely_was_said_yet_the_usual_excess_speaks():
    new, unlikely = Calibration(), Calibration()
    for _ in range(10):
        unlikely.learn(lone_feature(-2.0, 20), np.zeros(20, dtype=bool), np.ones(20))
    said = np.array([0.4, 0.6, 0.85])
    np.testing.assert_allclose(new._drawn_back(said)[:2], said[:2])
    assert 0.72 < new._drawn_back(said)[2] < 0.82
    assert unlikely._excess / unlikely._likely == pytest.approx(EXCESS)


def test_many_predictions_of_one_pair_of_nodes_move_the_excess_by_their_votes():
    alone, crowd = Calibration(), Calibration()
    alone.learn(lone_feature(5.0, 5), np.ones(5, dtype=bool), np.ones(5))
    crowd.learn(lone_feature(5.0, 40), np.ones(40, dtype=bool), np.full(40, 5 / 40))
    assert crowd._excess == pytest.approx(alone._excess)
    assert crowd._likely == pytest.approx(alone._likely)


def test_outcomes_that_go_together_by_day_count_as_fewer():
    rng = np.random.default_rng(3)
    rows, votes = np.repeat([np.eye(len(NAMES))[0]], 40, axis=0), np.ones(40)
    alone, together = Calibration(), Calibration()
    for day in range(20):
        alone.learn(rows, rng.random(40) < 0.5, votes)
        together.learn(rows, np.full(40, day % 2 == 0), votes)
    said = alone._learner.predict(rows[:1])
    assert alone._correlate(said, np.array([True]), votes[:1]) < 0.05
    assert together._correlate(said, np.array([True]), votes[:1]) > 0.4


def test_what_two_nodes_report_of_many_patterns_counts_as_what_a_pair_usually_has():
    honest = np.repeat(np.arange(8), 2)
    np.testing.assert_allclose(votes_of(honest), 1)
    votes = votes_of(np.concatenate([honest, np.full(40, 99)]))
    np.testing.assert_allclose(votes[:16], 1)
    assert votes[16:].sum() == pytest.approx(6)
    assert votes_of(np.zeros(0)).size == 0
    np.testing.assert_allclose(votes_of(np.repeat([0, 1, 2], 12)), 1)  # three nodes: all pairs have many


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
