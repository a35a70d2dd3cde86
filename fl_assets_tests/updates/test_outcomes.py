"""Verdicts on trials.

Sure of what helps and of what harms, sure of nothing too often, blind to order, names, later days and single
liars.
"""

import math
import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.updates.lessons import HelpEstimate, Lesson, benefit, learn
from fl_assets.updates.outcomes import BETTER_ALPHA, judge
from fl_assets.updates.randomisation import DRAWS, boundaries, draws_of, late
from fl_assets.updates.trial import BASELINE_DAYS, WATCH_DAYS, Trial

RELEASED = date(2026, 11, 15)
MAX_DAYS = 14


def fleet(
    seed: int = 1,
    *,
    nodes: int = 20,
    treated: int = 10,
    days: int = MAX_DAYS,
    effect: float = 1.0,
    calls: int = 1000,
    rate: float = 0.05,
    slower: float = 1.0,
    unsteady: float = 0.1,
):
    """Counts of a fleet whose canary nodes fail `effect` times as often from the release on."""
    random = np.random.default_rng(seed)
    own, drift = rate * np.exp(random.normal(0, 0.5, nodes)), np.exp(random.normal(0, 0.15, nodes))
    rows = []
    for offset in range(-BASELINE_DAYS, days + 1):
        common = math.exp(random.normal(0, 0.3))
        for node in range(nodes):
            is_treated = node < treated and offset >= 0
            expected = own[node] * common * (drift[node] if offset > 0 else 1) * (effect if is_treated else 1)
            failed, other = random.binomial(calls, min(0.9, expected)), random.binomial(calls, 0.02)
            p95 = 800 * math.exp(random.normal(0, unsteady)) * (slower if is_treated else 1)
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
    return counts, Trial(f"{seed:016x}", tuple(names[:treated]), tuple(names[treated:]), RELEASED)


def verdict(counts, trial, days: int = MAX_DAYS, **given):
    return judge(
        counts, trial, day=RELEASED + timedelta(days=days), max_days=MAX_DAYS, **({"interval": False} | given)
    )


def test_half_the_failures_is_better_and_twice_is_worse():
    found = verdict(*fleet(effect=0.5))
    assert found.finding == "better"
    assert re.fullmatch(
        r"\d+ % fewer of these failures on the trial half after \d+ days, and nothing else got worse",
        found.reason,
    )
    found = verdict(*fleet(effect=2.0))
    assert (found.finding, "the failure got more frequent on" in found.reason) == ("worse", True)


def test_the_effect_and_its_interval_agree_with_the_verdict():
    found = verdict(*fleet(effect=0.5), interval=True)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect.ratio < found.high < 1
    assert 0.35 < found.effect.ratio < 0.7


def test_a_change_without_effect_is_promoted_and_rolled_back_no_more_often_than_is_allowed():
    found = [verdict(*fleet(seed, nodes=9, treated=4, days=6), 6).finding for seed in range(80)]
    limit = float(late(BETTER_ALPHA, np.array([6 / 10]))[0])  # 80 trials leave room for three standard errors
    assert found.count("better") / 80 <= limit + 3 * math.sqrt(limit / 80)
    assert found.count("worse") / 80 <= 0.05 + 3 * math.sqrt(0.05 / 80)


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
        treated = counts["node_id"].isin(trial.treated) & (counts["event_date"] > RELEASED)
        counts.loc[treated, guard] += 200
    found = verdict(counts, trial)
    assert (found.finding, guard in found.reason) == ("worse", True)


def test_a_latency_that_rises_within_the_margin_stops_nothing():
    assert verdict(*fleet(effect=0.5, slower=1.15)).finding == "better"


@pytest.mark.parametrize("unsteady", [0.6, 1.5])
def test_a_latency_half_as_long_again_is_seldom_promoted_however_unsteady_it_is(unsteady):
    found = [verdict(*fleet(seed, effect=0.3, slower=1.5, unsteady=unsteady), 6).finding for seed in range(8)]
    assert found.count("better") <= 2, "a tenth of the looks, but for chance"


def test_an_unsteady_latency_holds_nothing_back_while_it_can_be_told():
    found = [verdict(*fleet(seed, effect=0.3, unsteady=0.6)).finding for seed in range(8)]
    assert found.count("better") >= 7


def test_where_nothing_can_be_told_of_latency_the_verdict_says_so():
    held = [
        one
        for seed in range(6)
        if (one := verdict(*fleet(seed, effect=0.3, unsteady=6.0))).finding != "better"
    ]
    assert len(held) >= 3
    assert all(one.finding == "inconclusive" and "varies too much" in one.reason for one in held)


def test_canary_nodes_that_fall_silent_are_harm_though_nothing_fails_on_them():
    counts, trial = fleet()
    gone = counts["node_id"].isin(trial.treated) & (counts["event_date"] > RELEASED)
    found = verdict(counts[~gone], trial)
    assert (found.finding, "silent_days" in found.reason) == ("worse", True)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0]))
def test_the_verdict_does_not_depend_on_the_order_of_rows(seed, effect):
    counts, trial = fleet(effect=effect, days=4, nodes=10, treated=3)
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
def test_no_more_draws_cross_than_the_error_that_is_spent(nodes, treated, looks, seed):
    draws = draws_of(*groups(nodes, treated), "seed")
    values = (
        np.random.default_rng(seed).integers(0, 5, (len(draws), looks)).astype(float)
    )  # ties, as small counts have
    spent = 0.2 * np.arange(1, looks + 1) / looks
    bounds = boundaries(values, spent)
    crossed = np.logical_or.accumulate(values > bounds, axis=1)
    assert (crossed.mean(axis=0) <= spent + 1e-9).all()


def groups(nodes: int, treated: int):
    return np.arange(nodes) < treated, np.zeros(nodes, int)


def test_the_draws_hold_the_one_made_first_and_every_other_once_where_they_are_few():
    few = draws_of(*groups(6, 3), "seed")
    assert np.flatnonzero(few[0]).tolist() == [0, 1, 2]
    assert len({tuple(row) for row in few}) == len(few) == 20
    made = np.arange(6) % 2 == 0  # the draw that was made need not be the first by name
    assert (draws_of(made, np.zeros(6, int), "seed")[0] == made).all()
    many = draws_of(*groups(60, 6), "seed")
    assert (len(many), np.flatnonzero(many[0]).tolist()) == (DRAWS, list(range(6)))
    assert (many == draws_of(*groups(60, 6), "seed")).all()
    assert (many != draws_of(*groups(60, 6), "other")).any()


def test_other_draws_have_as_many_newcomers_as_the_one_made():
    treated, newcomers = np.arange(30) % 2 == 0, np.arange(30) >= 20
    draws = draws_of(treated, newcomers, "seed")
    assert (draws[:, newcomers].sum(axis=1) == 5).all()
    assert (draws.sum(axis=1) == 15).all()


def test_a_trial_needs_treated_and_control_nodes_and_none_in_both():
    for treated, control in (((), ("a",)), (("a",), ()), (("a",), ("a", "b"))):
        with pytest.raises(ValueError, match=r"treated and \d control nodes"):
            Trial("d", treated, control, RELEASED)


# Stages


def test_a_canary_is_safe_when_nothing_is_sure_and_stopped_when_it_harms():
    counts, trial = fleet(days=3, effect=0.5, treated=4)
    canary = replace(trial, stage="canary")
    assert verdict(counts, canary, 1).finding == "wait"
    assert verdict(counts, canary, 2).finding == "safe"
    counts, trial = fleet(days=3, effect=3.0, nodes=40, treated=4)
    assert verdict(counts, replace(trial, stage="canary"), 3).finding == "worse"


def watched(then: float) -> tuple[pd.DataFrame, Trial]:
    """A fleet 30 days after a promotion whose effect of one half became `then`, four nodes held back, and its
    watch.
    """
    counts, trial = fleet(nodes=24, treated=20, days=WATCH_DAYS, effect=then)
    return counts, replace(trial, stage="watch", since=RELEASED, expected=0.5)


def test_an_effect_that_lasts_is_kept_and_one_that_is_gone_is_taken_back():
    assert verdict(*watched(0.5), WATCH_DAYS).finding == "kept"
    waiting = verdict(*watched(0.5), WATCH_DAYS - 1)
    assert waiting.finding == "wait"
    assert "nothing says that the effect is fading" in waiting.reason
    assert verdict(*watched(1.0), WATCH_DAYS).finding == "faded"


def test_an_effect_of_the_first_days_alone_is_not_promoted():
    counts, trial = fleet(nodes=40, treated=20)
    early = counts["node_id"].isin(trial.treated) & counts["event_date"].between(*first_days(2))
    counts.loc[early, "failures"] //= 3
    assert verdict(counts, trial).finding != "better"


def first_days(count: int) -> tuple[date, date]:
    return RELEASED + timedelta(days=1), RELEASED + timedelta(days=count)


# What is no help, and what is no harm


def test_more_successes_are_no_help():
    counts, trial = fleet(nodes=40, treated=20)
    after = counts["node_id"].isin(trial.treated) & (counts["event_date"] > RELEASED)
    counts.loc[after, ["calls", "all_calls"]] *= 2
    found = verdict(counts, trial)
    assert found.effect.ratio < 0.6
    assert found.finding == "inconclusive"
    assert re.match(r"\d+ % fewer of these failures .*, not promoted: .*more successes", found.reason)


def test_half_the_failures_of_the_target_are_no_help_while_all_together_rise():
    counts, trial = fleet(nodes=40, treated=20, effect=0.5)
    after = counts["node_id"].isin(trial.treated) & (counts["event_date"] > RELEASED)
    counts.loc[after, "all_failures"] += 50
    assert verdict(counts, trial).finding != "better"


def test_another_pattern_of_the_service_that_gets_worse_is_named():
    counts, trial = fleet(nodes=40, treated=20, effect=0.5)
    other = counts[["node_id", "event_date", "calls"]].assign(failures=20.0)
    after = other["node_id"].isin(trial.treated) & (other["event_date"] > RELEASED)
    other.loc[after, "failures"] *= 2
    found = verdict(counts, trial, others={"timeout p7": other, "auth p8": other.assign(failures=20.0)})
    assert (found.finding, "timeout p7" in found.reason, "auth" in found.reason) == ("worse", True, False)


@pytest.mark.parametrize(("effect", "says", "wanted"), [(0.5, 1000, "better"), (1.0, 0, "inconclusive")])
def test_one_lying_node_neither_wins_nor_loses_a_promotion(effect, says, wanted):
    counts, trial = fleet(nodes=40, treated=20, effect=effect)
    lies = (counts["node_id"] == trial.treated[0]) & (counts["event_date"] > RELEASED)
    counts.loc[lies, ["failures", "all_failures"]] = says
    assert verdict(counts, trial).finding == wanted


def test_newcomers_count_with_what_is_known_of_them():
    counts, trial = fleet(nodes=40, treated=20, effect=0.5)
    names = sorted({*trial.treated, *trial.control})[::2]
    known = counts[~(counts["node_id"].isin(names) & (counts["event_date"] < RELEASED))]
    assert verdict(known, replace(trial, newcomers=frozenset(names))).finding == "better"


def test_power_is_high_where_a_fifth_is_found_and_low_where_it_is_not():
    assert verdict(*fleet(nodes=60, treated=30)).power > 0.8
    assert verdict(*fleet(nodes=12, treated=6, calls=6)).power < 0.5


# What ends teach


def test_two_failed_trials_end_a_playbook():
    tried = [
        Lesson("c1", "i1", "r", "worse"),
        Lesson("c2", "i1", "r", "inconclusive", power=0.9),
        Lesson("c3", "i2", "r", "inconclusive", power=0.9),
        Lesson("c4", "i3", "r", "better"),
        Lesson("c5", "i4", "s", "rejected"),
        Lesson("c6", "i5", "r", "inconclusive", power=0.3),
        Lesson("c7", "i5", "r", "inconclusive"),
    ]
    found = learn(tried)
    assert found.retired == {"i1"}, "a trial that could not have seen a 20 % effect retires nothing"
    assert found.scores["r"] == {"helpful": 1, "harmful": 1, "inconclusive": 4, "faded": 0, "rejected": 0}
    turned = learn(reversed(tried))
    assert (found.retired, found.scores) == (turned.retired, turned.scores)


def test_how_likely_a_remedy_helps_begins_at_a_half_and_follows_its_trials():
    assert learn([]).helps("r", "timeout").probability == 0.5
    tried = [Lesson(f"c{n}", f"i{n}", "r", "better", "timeout", effect=0.4) for n in range(4)]
    found = learn(tried)
    assert found.helps("r", "timeout").probability > found.helps("r", "auth").probability > 0.5
    assert found.helps("r", "timeout").reduction > found.helps("s", "timeout").reduction
    failed = learn(
        [*tried, *(Lesson(f"d{n}", f"j{n}", "r", "inconclusive", "auth", power=0.9) for n in range(8))]
    )
    assert failed.helps("r", "auth").probability < 0.5 < failed.helps("r", "timeout").probability


def test_what_prevents_most_is_worth_most_and_needs_fewer_nodes():
    def worth(failures: float, helps: float, reduction: float = 0.5):
        given = {"persists": 0.9, "nodes": 60, "minimum": 3, "max_days": 14}
        return benefit(failures_a_day=failures, helps=HelpEstimate(helps, reduction), **given)

    assert worth(1000, 0.5).value > worth(100, 0.5).value
    assert worth(1000, 0.8).value > worth(1000, 0.2).value
    assert worth(1000, 0.5, 0.6).nodes < worth(1000, 0.5, 0.3).nodes <= 60
