"""Verdicts on canaries: sure of what helps and of what harms, sure of nothing too often, and blind to order, names and what came later."""

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.updates.lessons import Lesson, learn
from fl_assets.updates.outcomes import BASELINE_DAYS, BETTER_ALPHA, DRAWS, Trial, _boundaries, _draws, judge

RELEASED = date(2026, 11, 15)
MAX_DAYS = 14


def fleet(
    seed: int = 1,
    *,
    nodes: int = 20,
    canaries: int = 4,
    days: int = MAX_DAYS,
    effect: float = 1.0,
    calls: int = 1000,
    rate: float = 0.05,
    slower: float = 1.0,
):
    """Counts of a fleet whose canary nodes fail `effect` times as often from the release on, and its trial."""
    random = np.random.default_rng(seed)
    own, drift = rate * np.exp(random.normal(0, 0.5, nodes)), np.exp(random.normal(0, 0.15, nodes))
    rows = []
    for offset in range(-BASELINE_DAYS, days + 1):
        common = math.exp(random.normal(0, 0.3))
        for node in range(nodes):
            is_treated = node < canaries and offset >= 0
            expected = own[node] * common * (drift[node] if offset > 0 else 1) * (effect if is_treated else 1)
            failed, other = random.binomial(calls, min(0.9, expected)), random.binomial(calls, 0.02)
            p95 = 800 * math.exp(random.normal(0, 0.1)) * (slower if is_treated else 1)
            rows.append(
                (
                    f"n{node:02d}",
                    RELEASED + timedelta(days=offset),
                    failed,
                    calls,
                    min(calls, failed + other),
                    calls,
                    p95,
                )
            )
    names = [f"n{node:02d}" for node in range(nodes)]
    counts = pd.DataFrame(
        rows, columns=["node_id", "event_date", "failures", "calls", "all_failures", "all_calls", "p95_ms"]
    )
    return counts, Trial(f"{seed:016x}", tuple(names[:canaries]), tuple(names[canaries:]), RELEASED)


def verdict(counts, trial, days: int = MAX_DAYS, **given):
    return judge(
        counts, trial, day=RELEASED + timedelta(days=days), max_days=MAX_DAYS, **({"interval": False} | given)
    )


def test_half_the_failures_is_better_and_twice_is_worse():
    assert verdict(*fleet(effect=0.5)).finding == "better"
    found = verdict(*fleet(effect=2.0))
    assert (found.finding, "the pattern itself" in found.reason) == ("worse", True)


def test_the_effect_and_its_interval_agree_with_the_verdict():
    found = verdict(*fleet(effect=0.5), interval=True)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect.ratio < found.high < 1
    assert 0.35 < found.effect.ratio < 0.7


def test_a_change_without_effect_is_promoted_and_rolled_back_no_more_often_than_is_allowed():
    found = [verdict(*fleet(seed, nodes=9, canaries=3, days=6), 6).finding for seed in range(80)]
    # 6 of 14 days have passed, so at most that share of the error is spent; 80 trials leave room for three standard errors.
    limit = BETTER_ALPHA * 6 / 14
    assert found.count("better") / 80 <= limit + 3 * math.sqrt(limit / 80)
    assert found.count("worse") / 80 <= 2 * limit + 3 * math.sqrt(2 * limit / 80)


def test_too_little_waits_and_then_is_inconclusive_which_is_no_success():
    counts, trial = fleet(calls=20)
    assert verdict(counts, trial, 3).finding == "wait"
    found = verdict(counts, trial, MAX_DAYS)
    assert found.finding == "inconclusive"
    assert "not success" in found.reason


def test_a_trial_without_a_day_of_telemetry_waits_and_then_ends():
    counts, trial = fleet(days=0)
    assert verdict(counts, trial, 2, interval=True).finding == "wait"
    assert verdict(counts, trial, MAX_DAYS).finding == "inconclusive"


def test_a_day_that_goes_badly_everywhere_is_nobodys_fault():
    counts, trial = fleet()
    after = counts["event_date"] > RELEASED
    counts.loc[after, "failures"] = np.minimum(3 * counts.loc[after, "failures"], counts.loc[after, "calls"])
    assert verdict(counts, trial).finding == "inconclusive"


@pytest.mark.parametrize("guard", ["p95_ms", "all_failures"])
def test_a_guard_metric_that_gets_worse_rolls_back_what_helps(guard):
    counts, trial = fleet(effect=0.9, slower=3.0 if guard == "p95_ms" else 1.0)
    if guard == "all_failures":
        treated = counts["node_id"].isin(trial.canary) & (counts["event_date"] > RELEASED)
        counts.loc[treated, guard] += 200
    found = verdict(counts, trial)
    assert (found.finding, guard in found.reason) == ("worse", True)


def test_a_latency_that_rises_within_the_margin_stops_nothing():
    assert verdict(*fleet(effect=0.5, slower=1.15)).finding == "better"


def test_canary_nodes_that_fall_silent_are_harm_though_nothing_fails_on_them():
    counts, trial = fleet()
    gone = counts["node_id"].isin(trial.canary) & (counts["event_date"] > RELEASED)
    found = verdict(counts[~gone], trial)
    assert (found.finding, "silent_days" in found.reason) == ("worse", True)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0]))
def test_the_verdict_does_not_depend_on_the_order_of_rows(seed, effect):
    counts, trial = fleet(effect=effect, days=4, nodes=10, canaries=3)
    shuffled = counts.sample(frac=1, random_state=seed)
    assert verdict(shuffled, trial, 4) == verdict(counts, trial, 4)


def test_what_a_day_says_does_not_depend_on_later_days():
    counts, trial = fleet(effect=0.6)
    for days in (1, 4, 9):
        known = counts[counts["event_date"] <= RELEASED + timedelta(days=days)]
        assert verdict(known, trial, days) == verdict(counts, trial, days)


def test_a_verdict_once_sure_stays_and_names_the_first_sure_day():
    counts, trial = fleet(effect=0.5)
    decided = verdict(counts, trial).decided_on
    first = next(days for days in range(1, MAX_DAYS + 1) if verdict(counts, trial, days).finding == "better")
    assert decided == RELEASED + timedelta(days=first)


def test_the_day_of_the_release_counts_neither_before_nor_after():
    counts, trial = fleet(effect=0.5)
    spoiled = counts.copy()
    spoiled.loc[spoiled["event_date"] == RELEASED, ["failures", "all_failures"]] = 0
    assert verdict(spoiled, trial) == verdict(counts, trial)


@settings(max_examples=50)
@given(st.integers(4, 14), st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_no_more_draws_cross_than_the_error_that_is_spent(nodes, canaries, looks, seed):
    draws = _draws(nodes, canaries, "seed")
    values = (
        np.random.default_rng(seed).integers(0, 5, (len(draws), looks)).astype(float)
    )  # ties, as small counts have
    spent = 0.2 * np.arange(1, looks + 1) / looks
    bounds = _boundaries(values, spent)
    crossed = np.logical_or.accumulate(values > bounds, axis=1)
    assert (crossed.mean(axis=0) <= spent + 1e-9).all()


def test_the_draws_hold_the_one_made_first_and_every_other_once_where_they_are_few():
    few = _draws(6, 3, "seed")
    assert few[0].tolist() == [0, 1, 2]
    assert len({tuple(row) for row in few}) == len(few) == 20
    many = _draws(60, 6, "seed")
    assert (len(many), many[0].tolist()) == (DRAWS, list(range(6)))
    assert (many == _draws(60, 6, "seed")).all()
    assert (many != _draws(60, 6, "other")).any()


def test_a_trial_needs_canary_and_control_nodes_and_none_in_both():
    for canary, control in (((), ("a",)), (("a",), ()), (("a",), ("a", "b"))):
        with pytest.raises(ValueError, match=r"canary and \d control nodes"):
            Trial("d", canary, control, RELEASED)


def test_harm_and_rejection_end_a_change_and_two_failed_trials_a_playbook():
    tried = [
        Lesson("c1", "i1", "r", "worse"),
        Lesson("c2", "i1", "r", "inconclusive"),
        Lesson("c3", "i2", "r", "inconclusive"),
        Lesson("c4", "i3", "r", "better"),
        Lesson("c5", "i4", "s", "rejected"),
    ]
    found = learn(tried)
    assert found.rejected == {"c1", "c5"}
    assert found.retired == {"i1"}
    assert found.scores["r"] == {"helpful": 1, "harmful": 1, "inconclusive": 2, "rejected": 0}
    assert found == learn(reversed(tried))
