"""What confidence promises.

It is about nodes and days, no single node makes it, and no order of rows changes it.
"""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from benchmarks.counted_fleets import counts_of
from fl_assets.patterns import confidence
from fl_assets.patterns.confidence import discoveries
from fl_assets.patterns.counts import HISTORY_DAYS, noise_of_capped
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import FleetPrior, next_weekday_calls
from fl_assets.patterns.states import day_variance

DAY = date(2026, 3, 31)
THRESHOLD = 0.7
NODES, CALLS = 12, 200


def frames(patterns: dict[str, np.ndarray], calls: int = CALLS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build counts and reporting from failures (nodes, days), the last day being DAY.

    Every node makes `calls` calls a day, more if it fails more.
    """
    names = list(patterns)
    failures = np.array([patterns[name] for name in names])
    pattern, node, day = (place.ravel() for place in np.indices(failures.shape))
    counts = pd.DataFrame(
        {
            "pattern_id": np.array(names, dtype=object)[pattern],
            "event_date": np.array(
                [DAY - timedelta(days=back) for back in range(failures.shape[2] - 1, -1, -1)], dtype=object
            )[day],
            "node_id": np.array([f"node-{number:02d}" for number in range(failures.shape[1])], dtype=object)[
                node
            ],
            "failures": failures.ravel(),
            "calls": np.maximum(failures.ravel(), calls),
            "sessions": failures.ravel(),
        }
    )
    reporting = counts.groupby(["event_date", "node_id"], as_index=False)["calls"].max()
    return counts, reporting


def assess(counts: pd.DataFrame, reporting: pd.DataFrame, **given) -> pd.DataFrame:
    return confidence.assess(counts_of(counts), reporting, **given)


def noise(days: int, seed: int = 0, patterns: int = 20) -> dict[str, np.ndarray]:
    """One-off failures: each pattern once, on one node, on the last days."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(patterns):
        failures = np.zeros((NODES, days), dtype=int)
        failures[rng.integers(NODES), days - 1 - rng.integers(min(days, 5))] = 1
        found[f"noise-{number:02d}"] = failures
    return found


def on(nodes: int, days: int, a_day: int, of_days: int = 14) -> np.ndarray:
    """Failures on the first `nodes` nodes, `a_day` a day, on the last `days` of `of_days` days."""
    failures = np.zeros((NODES, of_days), dtype=int)
    failures[:nodes, of_days - days :] = a_day
    return failures


def belief(failures: np.ndarray, *, window_days: int = 1, calls: int = CALLS) -> pd.Series:
    """Assess one pattern beside some noise."""
    said = assess(
        *frames({"p": failures, **noise(failures.shape[1])}, calls), day=DAY, window_days=window_days
    )
    return said.set_index("pattern_id").loc["p"]


def random_fleet(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    level = rng.gamma(1.0, 4.0, (8, 1, 1)) * (rng.random((8, NODES, 1)) < 0.5)
    return {
        f"p{number}": counts for number, counts in enumerate(rng.poisson(level * np.ones((8, NODES, 10))))
    }


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_changes_nothing(seed):
    counts, reporting = frames(random_fleet(seed))
    shuffled = counts.sample(frac=1, random_state=seed), reporting.sample(frac=1, random_state=seed + 1)
    pd.testing.assert_frame_equal(
        assess(counts, reporting, day=DAY, window_days=2), assess(*shuffled, day=DAY, window_days=2)
    )


def test_noise_of_summaries_is_not_read_as_variation_from_day_to_day():
    rng = np.random.default_rng(5)
    exact = {f"p{number:03d}": rng.poisson(on(5, 12, 25)) for number in range(120)}
    noised = {
        name: np.where(counts > 0, np.maximum(counts + np.rint(rng.laplace(0, 6, counts.shape)), 1), 0)
        for name, counts in exact.items()
    }

    def variance(patterns: dict[str, np.ndarray], of_noise: float = 0.0) -> float:
        rows, reporting = frames(patterns)
        counts = counts_of(rows)
        if of_noise:
            counts = replace(counts, failures=counts.failures.assign(noise=of_noise))
        facts = Fleet(counts, reporting, day=DAY, window_days=1).facts()
        return float(np.mean(day_variance(facts, facts.failures > 0)))

    without, unknown, known = variance(exact), variance(noised), variance(noised, 72.0)
    assert unknown > 1.4 * without, "what is wrong where nobody says how much noise there is"
    assert known == pytest.approx(without, rel=0.25)


def test_without_noise_leaving_nodes_out_makes_none():
    counts, reporting = frames({"p": on(5, 6, 4)})
    (cube,) = Fleet(counts_of(counts), reporting, day=DAY, window_days=1)._cubes()
    assert cube.without(np.array([[0, 1]])).noise.shape == cube.noise.shape == (1, 1, HISTORY_DAYS)


def test_node_days_bounded_by_one_node_carry_its_noise():
    noise = np.full((1, 4, 1), 18.0)
    is_capped = np.array([[[False], [False], [True], [True]]])
    assert noise_of_capped(noise, is_capped).sum() == pytest.approx(18.0 * (1 + 3**2))
    assert noise_of_capped(noise, np.zeros_like(is_capped)).sum() == 18.0 * 4


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_what_nodes_are_called_changes_nothing(seed):
    counts, reporting = frames(random_fleet(seed))
    names = dict(
        zip(
            sorted(reporting["node_id"].unique()),
            np.random.default_rng(seed).permutation(NODES).astype(str),
            strict=True,
        )
    )
    renamed = (
        counts.assign(node_id=counts["node_id"].map(names)),
        reporting.assign(node_id=reporting["node_id"].map(names)),
    )
    pd.testing.assert_frame_equal(
        assess(counts, reporting, day=DAY, window_days=1), assess(*renamed, day=DAY, window_days=1), atol=2e-6
    )


def test_a_row_split_in_two_counts_as_one():
    counts, reporting = frames({"p": on(5, 6, 4), **noise(14)})
    half = counts.assign(
        failures=counts["failures"] / 2, sessions=counts["sessions"] / 2, calls=counts["calls"] / 2
    )
    pd.testing.assert_frame_equal(
        assess(counts, reporting, day=DAY, window_days=1),
        assess(pd.concat([half, half], ignore_index=True), reporting, day=DAY, window_days=1),
    )


def test_days_after_the_analysed_one_and_beyond_the_history_say_nothing():
    counts, reporting = frames({"p": on(5, 6, 4), **noise(14)})
    known = assess(counts, reporting, day=DAY, window_days=1)
    later = counts.assign(event_date=DAY + timedelta(days=1), failures=99)
    ancient = counts.assign(event_date=DAY - timedelta(days=28), failures=99)
    pd.testing.assert_frame_equal(
        known, assess(pd.concat([counts, later, ancient]), reporting, day=DAY, window_days=1)
    )


@given(factor=st.integers(2, 50))
@settings(max_examples=10, deadline=None)
def test_confidence_is_about_rates_relative_to_each_other_not_about_traffic(factor):
    assert belief(on(5, 6, 4), calls=CALLS * factor)["confidence"] == pytest.approx(
        belief(on(5, 6, 4))["confidence"], abs=1e-5
    )


def test_the_longer_a_failure_lasts_the_surer_it_is():
    by_days = [belief(on(5, days, 4))["confidence"] for days in (1, 2, 3, 5, 8, 13)]
    assert by_days == sorted(by_days)
    assert by_days[0] < by_days[-1]


def test_the_more_nodes_have_it_the_surer_it_is():
    by_nodes = [belief(on(nodes, 6, 2))["confidence"] for nodes in (1, 2, 3, 4, 6, 10)]
    assert by_nodes == sorted(by_nodes)


def test_the_more_often_it_fails_the_surer_it_is():
    by_count = [belief(on(5, 6, count))["confidence"] for count in (1, 2, 5, 20, 80)]
    assert (np.diff(by_count) > -0.01).all()  # what is nearly certain already may move a little
    assert by_count[0] < by_count[2]


@given(counts=st.lists(st.integers(0, 100_000), min_size=14, max_size=14))
@settings(max_examples=25, deadline=None)
def test_one_node_alone_is_never_believed_whatever_it_reports(counts):
    failures = np.zeros((NODES, 14), dtype=int)
    failures[3] = counts
    said = belief(failures)
    assert said["confidence"] <= 0.4
    assert not said["is_significant"]


@given(
    start=st.integers(0, 20),
    step=st.floats(0.1, 200),
    days=st.integers(2, 28),
    window_days=st.sampled_from([1, 7]),
)
@settings(max_examples=15, deadline=None)
def test_case_20_a_drip_from_one_node_is_never_believed_on_any_of_its_days(start, step, days, window_days):
    failures = np.zeros((NODES, days), dtype=int)
    failures[3] = start + step * np.arange(days)
    assert belief(failures, window_days=window_days)["confidence"] <= 0.4


@given(
    honest=st.lists(st.tuples(st.integers(1, NODES - 1), st.integers(0, 13)), max_size=3),
    hostile=st.lists(st.integers(0, 20_000), min_size=14, max_size=14),
    window_days=st.sampled_from([1, 3, 7]),
)
@settings(max_examples=25, deadline=None)
def test_one_node_never_lifts_what_others_saw_now_and_then_over_the_threshold(honest, hostile, window_days):
    failures = np.zeros((NODES, 14), dtype=int)
    for node, day in honest:
        failures[node, day] = 1
    failures[0] = hostile
    assert belief(failures, window_days=window_days)["confidence"] < THRESHOLD


@given(seed=st.integers(0, 10_000), loud=st.integers(100, 20_000), louder=st.integers(100, 20_000))
@settings(max_examples=8, deadline=None)
def test_what_the_loudest_two_nodes_report_corroborates_nothing(seed, loud, louder):
    said = []
    for count in (loud, louder):
        patterns = {name: failures.copy() for name, failures in random_fleet(seed).items()}
        patterns["p0"][:2] = count
        said.append(
            assess(*frames({**patterns, **noise(10)}), day=DAY, window_days=1).set_index("pattern_id")
        )
    # 0.03: what past days taught may shift a little too.
    assert said[0].loc["p0", "corroboration"] == pytest.approx(said[1].loc["p0", "corroboration"], abs=0.03)


@pytest.mark.parametrize(("nodes", "min_nodes"), [(1, 3), (2, 3), (1, 2)])
def test_what_fewer_nodes_have_than_are_needed_is_not_corroborated(nodes, min_nodes):
    said = assess(*frames({"p": on(nodes, 10, 30), **noise(14)}), day=DAY, window_days=1, min_nodes=min_nodes)
    assert said.set_index("pattern_id").loc["p", "corroboration"] == 0


def test_where_one_node_is_enough_sessions_take_the_place_of_nodes():
    counts, reporting = frames({"p": on(1, 10, 8), **noise(14, patterns=5)})
    one = {"day": DAY, "window_days": 1, "min_nodes": 1}
    several = assess(counts, reporting, **one).set_index("pattern_id").loc["p"]
    assert several["confidence"] >= THRESHOLD
    assert several["corroboration"] >= 0.8 * THRESHOLD
    assert several["is_significant"]
    three = assess(counts, reporting, day=DAY, window_days=1).set_index("pattern_id").loc["p"]
    assert three["confidence"] < 0.2
    assert not three["is_significant"]


def of_one_user(counts: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """All the failures of a pattern as one user's, an incident on each day."""
    days = counts.loc[(counts["pattern_id"] == pattern) & (counts["failures"] > 0), "event_date"].unique()
    return pd.DataFrame({"pattern_id": pattern, "event_date": days, "actor": "u", "incidents": 8})


@pytest.mark.parametrize("min_nodes", [1, 3])
def test_one_user_makes_nothing_actionable_on_however_many_nodes_a_load_balancer_spreads_them(min_nodes):
    counts, reporting = frames({"p": on(NODES, 7, 3), **noise(14)})
    given = {"day": DAY, "window_days": 1, "min_nodes": min_nodes}
    alone = confidence.assess(counts_of(counts, of_one_user(counts, "p")), reporting, **given)
    crowd = confidence.assess(counts_of(counts), reporting, **given)
    alone, crowd = (said.set_index("pattern_id").loc["p"] for said in (alone, crowd))
    assert crowd["is_significant"]
    assert not alone["is_significant"]
    assert alone["p_value"] == 1
    if min_nodes == 1:
        assert alone["corroboration"] == 0 < crowd["corroboration"]


@pytest.mark.parametrize("back", [1, 7, 20])
def test_a_load_test_or_two_nodes_flood_of_calls_holds_nothing_back(back):
    counts, reporting = frames({"p": on(6, 28, 5, of_days=28), **noise(28)})
    day = DAY - timedelta(days=back)
    honest = assess(counts, reporting, day=DAY, window_days=1).set_index("pattern_id").loc["p"]
    for nodes, factor in ((NODES, 30), (2, 1000)):
        liars = {f"node-{number:02d}" for number in range(nodes)}
        more = (counts["event_date"] == day) & counts["node_id"].isin(liars)
        flooded = counts.assign(calls=counts["calls"].where(~more, counts["calls"] * factor))
        said = assess(flooded, reporting, day=DAY, window_days=1).set_index("pattern_id").loc["p"]
        assert said["confidence"] > honest["confidence"] - 0.05
        assert said["confidence"] >= THRESHOLD


def test_two_nodes_that_flood_a_pattern_of_three_others_do_not_hold_it_back():
    failures = np.zeros((NODES, 14), dtype=int)
    failures[:3] = np.array([[4], [10], [30]])
    honest = belief(failures)
    failures[3:5, -1] = 2_000
    flooded = belief(failures, calls=CALLS)
    assert flooded["confidence"] > honest["confidence"] - 0.1


def test_tomorrows_calls_are_those_that_all_earlier_weeks_agree_on():
    week = np.array([100, 100, 100, 100, 100, 3, 3.0])
    calls = np.tile(week, 4)
    assert next_weekday_calls(calls[:5]) == 1.0  # no week before
    assert next_weekday_calls(calls[:12]) == pytest.approx(0.03**0.5)  # one Friday: half of what it says
    assert next_weekday_calls(calls[:26]) == pytest.approx(0.03)  # a Friday
    assert next_weekday_calls(calls[:25]) == 1.0  # a Thursday
    assert next_weekday_calls(calls) == pytest.approx(100 / 3)  # a Sunday
    calls[19] = 30
    assert next_weekday_calls(calls[:26]) == pytest.approx(0.3)  # the least of what all weeks say
    calls[19] = 300  # a load test on a Saturday
    assert next_weekday_calls(calls[:26]) == 1.0


def test_a_strong_new_failure_on_many_nodes_is_believed_on_the_first_day_of_all():
    strong, weak = belief(on(6, 1, 20, of_days=1)), belief(on(3, 1, 1, of_days=1))
    assert THRESHOLD <= strong["confidence"] < 0.9
    assert strong["is_significant"]
    assert weak["confidence"] < 0.6


def test_what_does_not_fail_in_the_window_has_no_confidence():
    failures = on(6, 10, 5)
    failures[:, -1] = 0
    said = belief(failures)
    assert (said["confidence"], said["confidence_raw"], said["p_value"], said["is_significant"]) == (
        0.0,
        0.0,
        1.0,
        False,
    )


def test_nodes_that_fell_silent_make_it_less_sure():
    counts, reporting = frames({"p": on(6, 10, 5), **noise(14)})
    quiet = {f"node-{node:02d}" for node in range(3)}
    said = []
    for gone in (set(), quiet):
        kept = [
            frame[~((frame["event_date"] == DAY) & frame["node_id"].isin(gone))]
            for frame in (counts, reporting)
        ]
        said.append(assess(*kept, day=DAY, window_days=1).set_index("pattern_id").loc["p", "confidence"])
    assert said[1] < said[0] - 0.005


def test_noise_is_not_significant_and_failures_of_many_nodes_are():
    said = assess(*frames({"p": on(6, 4, 5), **noise(14)}), day=DAY, window_days=1).set_index("pattern_id")
    assert said.index[said["is_significant"]].tolist() == ["p"]
    assert said.loc["p", "p_value"] < 1e-6


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_a_fleet_of_nothing_but_sporadic_failures_gets_no_confident_pattern(seed):
    rng = np.random.default_rng(seed)
    kinds = {f"kind-{kind}": rng.poisson(0.04, (NODES, 20)) for kind in range(40)}
    said = assess(*frames(kinds), day=DAY, window_days=1)
    assert not ((said["confidence"] >= THRESHOLD) & said["is_significant"]).any()


def test_each_state_follows_its_rule():
    quiet = np.zeros((NODES, 14), dtype=int)
    back = on(5, 14, 6)
    back[:, -5:-1] = 0
    rising, falling = on(5, 14, 4), on(5, 14, 40)
    rising[:5, -1], falling[:5, -1] = 30, 4
    resolved, paused = on(5, 14, 6), on(5, 14, 6)
    resolved[:, -3:], paused[:, -2:] = 0, 0
    patterns = {
        "known": on(5, 14, 6),
        "new": on(5, 1, 6),
        "regressed": back,
        "rising": rising,
        "falling": falling,
        "resolved": resolved,
    }
    said = assess(*frames({**patterns, "paused": paused, "never": quiet}), day=DAY, window_days=1).set_index(
        "pattern_id"
    )["state"]
    assert {name: said[name] for name in patterns} == {name: name for name in patterns}
    assert said["paused"] == "falling"


def test_nothing_is_new_when_there_were_no_days_before():
    for days in (1, 2, 3):
        assert belief(on(5, days, 6, of_days=days))["state"] == "first_seen"
    assert belief(on(5, 4, 6, of_days=4))["state"] == "known"


def test_one_failure_after_clean_days_is_no_regression():
    back = on(5, 14, 6)
    back[:, -5:] = 0
    back[0, -1] = 1
    assert belief(back)["state"] != "regressed"
    back[:3, -1] = 1
    assert belief(back)["state"] == "regressed"


def test_what_fell_on_the_last_day_is_not_rising():
    failures = on(5, 18, 4, of_days=18)
    failures[:5, -4:] = [[60, 50, 40, 3]] * 5
    counts, reporting = frames({"p": failures, **noise(18)})
    said = assess(counts, reporting, day=DAY, window_days=4).set_index("pattern_id")["state"]
    assert said["p"] != "rising"
    failures[:5, -4:] = [[20, 30, 40, 50]] * 5
    counts, reporting = frames({"p": failures, **noise(18)})
    said = assess(counts, reporting, day=DAY, window_days=4).set_index("pattern_id")["state"]
    assert said["p"] == "rising"


@pytest.mark.parametrize(("last", "state"), [([8, 7, 6, 4], "known"), ([4, 6, 7, 8], "rising")])
def test_what_came_days_ago_and_declines_since_is_not_rising(last, state):
    failures = on(12, 18, 2, of_days=18)
    failures[:12, -4:] = [last] * 12
    counts, reporting = frames({"p": failures, **noise(18)})
    said = assess(counts, reporting, day=DAY, window_days=1).set_index("pattern_id")["state"]
    assert said["p"] == state


def test_days_without_calls_are_not_clean_days():
    counts, reporting = frames({"p": on(5, 14, 6), **noise(14)})
    recent = counts["event_date"] > DAY - timedelta(days=4)
    silent = counts[~(recent & (counts["pattern_id"] == "p"))]
    assert (
        assess(silent, reporting, day=DAY, window_days=1).set_index("pattern_id").loc["p", "state"] == "known"
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_discoveries_are_those_of_benjamini_and_hochberg(p_values, rate):
    p_values = np.array(p_values)
    adjusted = false_discovery_control(p_values, method="bh")
    clear = np.abs(adjusted - rate) > 1e-9
    found = discoveries(p_values, rate, among=np.ones(p_values.size, dtype=bool))
    assert (found[clear] == (adjusted <= rate)[clear]).all()


def test_no_counts_give_an_empty_frame_of_the_same_columns():
    counts, reporting = frames({"p": on(3, 1, 1)})
    filled = assess(counts, reporting, day=DAY, window_days=1)
    said = assess(counts.iloc[:0], reporting, day=DAY, window_days=1)
    assert said.columns.tolist() == filled.columns.tolist()
    assert said.empty


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"window_days": 0}, "window_days=0"),
        ({"window_days": 1, "false_discovery_rate": 1.0}, "false_discovery_rate=1.0"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        assess(*frames({"p": on(3, 1, 1)}), day=DAY, **arguments)


def test_a_missing_column_is_named():
    counts, reporting = frames({"p": on(3, 1, 1)})
    with pytest.raises(ValueError, match=r"counts lacks the columns \['sessions'\]"):
        assess(counts.drop(columns="sessions"), reporting, day=DAY, window_days=1)


@pytest.mark.parametrize("background", [0.0, 0.1, 0.5, 0.8])
def test_however_many_incidents_there_are_more_of_them_are_no_less_believed(background):
    incidents = np.array([0, 1, 2, 10, 1000, 10_000, 100_000, 10**9])
    belief = FleetPrior(background, (1.0, 1.0)).not_one_off(incidents)
    assert np.isfinite(belief).all()
    assert (np.diff(belief) >= 0).all()
    assert belief[-1] > 0.999
