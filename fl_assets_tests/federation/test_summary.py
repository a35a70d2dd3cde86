"""What rare texts share is told and nothing else of them, and durations under noise are believed only where
there are enough.
"""

import re
from datetime import UTC, date, datetime
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.federation.counting import COARSE, OF_CALLS, SLOW
from fl_assets.federation.noise import discrete_laplace
from fl_assets.federation.rare import shared_templates
from fl_assets.federation.rows import rows_of
from fl_assets.federation.summary import CallCount, FailureCount, SharedSettings, Summary, Suppressed
from fl_assets.infra.json_text import canonical_record
from fl_assets.patterns.latency import noised_estimate, noised_quantile, quantile
from fl_assets.sums.masking import MAX_INCIDENTS, NOISE_BUCKET

GOALS = ("audit tickets", "merge reports", "export routes", "audit leads", "translate claims")


def test_a_node_with_few_texts_tells_what_is_the_same_around_the_place_where_they_differ():
    seen = {f"Agent stopped before the goal '{goal}' was met <STATUS_504>": 1 for goal in GOALS}
    assert set(shared_templates(seen, 3).values()) == {
        "Agent stopped before the goal <VAR> was met <STATUS_504>"
    }
    assert shared_templates(dict(list(seen.items())[:2]), 3) == {}, "two sessions had it"
    assert shared_templates(dict.fromkeys(seen, 3), 3) == {}, "each is told as it is"
    assert shared_templates({f"goal '{goal}' was met": 1 for goal in GOALS}, 3) == {}, (
        "three words are too few to say that it is one failure"
    )


WORDS = st.sampled_from(
    ["disk", "full", "on", "node", "while", "writing", "secret", "vault", "key", "<NUM>", "<ID>"]
)


@given(
    st.dictionaries(st.lists(WORDS, min_size=1, max_size=9).map(" ".join), st.integers(1, 4), max_size=25),
    st.integers(1, 5),
    st.randoms(),
)
def test_a_template_holds_only_words_of_every_text_that_it_stands_for_and_no_order_matters(seen, k, random):
    found = shared_templates(seen, k)
    assert all(seen[text] < k for text in found)
    for text, template in found.items():
        assert set(re.findall(r"[a-z]+", template)) <= set(re.findall(r"[a-z]+", text))
    for template in set(found.values()):
        assert sum(seen[text] for text, told in found.items() if told == template) >= k
    shuffled = list(seen.items())
    random.shuffle(shuffled)
    assert shared_templates(dict(shuffled), k) == found


def histogram(calls: int, *, nodes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact buckets of log-normal durations around 300 ms, and the same with the noise of so many nodes in
    them.
    """
    took = np.random.default_rng(seed).lognormal(np.log(300), 0.8, calls)
    fine = np.ceil(np.log(took) / np.log(1.1)).astype(int)
    random, wide = Random(seed), np.array(COARSE[1:])
    exact = np.bincount(np.minimum((fine + 16) // 17, len(wide)), minlength=len(wide) + 1)[1:]
    noise = [sum(discrete_laplace(OF_CALLS, random) for _ in range(nodes)) for _ in wide]
    return fine, np.r_[NOISE_BUCKET, wide], np.r_[int(2 * OF_CALLS**2) * nodes, exact + noise]


@pytest.mark.parametrize("seed", range(10))
def test_a_median_with_noise_is_near_the_exact_one_or_unknown(seed):
    fine, buckets, weights = histogram(2_000, nodes=6, seed=seed)
    exact, high = (quantile(*np.unique(fine, return_counts=True), q) for q in (0.5, 0.99))
    assert exact / 1.6 < noised_quantile(buckets, weights, 0.5) < exact * 1.6
    assert np.isnan(noised_quantile(buckets, weights, 0.99))
    estimate = noised_estimate(buckets, weights)
    assert high / 1.5 < estimate < 2 * high, "twenty calls cannot be told from noise"
    assert np.isnan(noised_quantile(*histogram(60, nodes=6, seed=seed)[1:], 0.5))


def test_a_high_quantile_with_noise_is_estimated_unless_more_calls_lie_beyond_than_may():
    buckets = np.array([NOISE_BUCKET, *COARSE[1:]])

    def p99(slowest: int) -> float:
        calls = [0, 0, 3_000, 6_500, 400, 0, 0, slowest]
        return noised_estimate(buckets, np.array([72 * 18, *calls]))

    assert 1.1 ** COARSE[4] < p99(0) < 1.1 ** COARSE[5]
    assert p99(60) == p99(0), "which may be noise"
    assert np.isnan(p99(250))


def test_a_median_among_failures_known_to_be_fast_is_unknown():
    buckets = np.array([NOISE_BUCKET, *SLOW])
    slow = noised_quantile(buckets, np.array([18 * 12, 40, 20, 500, 0]), 0.5)
    assert 1.1 ** SLOW[1] < slow < 1.1 ** SLOW[2]
    assert np.isnan(noised_quantile(buckets, np.array([18 * 12, 500, 20, 40, 0]), 0.5))


def told(epsilon: float, durations) -> Summary:
    calls = CallCount(
        service="search", method="query", calls=90, failures=0, sessions=90, durations=durations
    )
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    settings = SharedSettings(mask_version="0" * 12, min_sessions=3, epsilon=epsilon)
    common = {
        "node_id": "n1",
        "sequence": 1,
        "events": 90,
        "failures": (),
        "talk": (),
        "unnamed": Suppressed(failures=0, calls=0, sessions=0),
    }
    return Summary(day=moment.date(), created_at=moment, settings=settings, calls=(calls,), **common)


def test_noise_may_bring_counts_below_nought_and_its_variance_stands_beside_them():
    (row,) = rows_of(told(0.5, ((17, -4), (34, 70)))).totals
    assert row["latency_histogram"] == [(17, -4), (34, 70), (NOISE_BUCKET, 288)]
    assert row["event_date"] == date(2026, 11, 2)
    with pytest.raises(ValueError, match="positive counts"):
        told(0.0, ((17, -4), (34, 70)))


def test_persons_of_a_summary_are_incidents_that_are_the_same_on_all_days():
    calls = CallCount(service="search", method="query", calls=90, failures=60, sessions=60)

    def incidents(day: date, people: int | None) -> list[str] | None:
        failed = FailureCount(
            service="search",
            method="query",
            error="too slow",
            has_text=True,
            failures=60,
            sessions=60,
            people=people,
        )
        said = told(0.0, ()).model_copy(update={"day": day, "failures": (failed,), "calls": (calls,)})
        return rows_of(said).signatures[0]["incidents"]

    first, later = incidents(date(2026, 11, 2), 2), incidents(date(2026, 11, 3), 40)
    assert len(first) == 2
    assert set(first) < set(later), "the node's first two persons count as the same on both days"
    assert len(later) == MAX_INCIDENTS
    assert incidents(date(2026, 11, 2), None) is None


def test_a_count_without_persons_is_written_as_earlier_releases_wrote_it():
    known = {"service": "s", "method": "m", "error": "e", "has_text": True, "failures": 1, "sessions": 1}
    assert b"people" not in canonical_record(FailureCount(**known))
    assert b'"people":1' in canonical_record(FailureCount(**known, people=1))
