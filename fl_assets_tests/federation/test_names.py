"""With a delta the noise decides which names a summary holds, and one session changes little of that."""

import math
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import pytest

from fl_assets.federation import privacy
from fl_assets.federation.counting import COARSE, MAX_CALLS, OF_CALLS, OF_ONE, PARTS, DayCounts
from fl_assets.federation.names import KnownNames, Thresholds, least_count
from fl_assets.federation.summary import SIGNALS, SharedSettings, Summary

EPSILON, DELTA = Fraction(1), 0.01
NAME = ("search", "query", "timed out")
MOMENT = datetime(2026, 11, 2, tzinfo=UTC)


def day_of(failed: int, *, calls: int = 0, talked: int = 0, signal: int = 0) -> DayCounts:
    """A day on which so many sessions count, each in rows of which nothing else is known."""
    service, method, error = NAME
    talk = [
        {
            "service": "support",
            "signal": name,
            "sessions": talked,
            "affected": signal if name == SIGNALS[0] else 0,
        }
        for name in SIGNALS
    ]
    return DayCounts(
        events=0,
        failures=[
            {"service": service, "method": method, "error": error, "has_text": True, "failures": failed}
        ],
        calls=[{"service": service, "method": method, "calls": calls, "durations": [(COARSE[2], calls)]}],
        talk=talk,
        seen={"errors": {error: 99}, "methods": {}, "agents": {}, "signals": {}},
    )


def summary(
    day: DayCounts,
    seed: int = 1,
    known: KnownNames = KnownNames(),  # noqa: B008
    delta: float = DELTA,
) -> Summary:
    return privacy.publish(
        day,
        node_id="n1",
        day=MOMENT.date(),
        sequence=1,
        created_at=MOMENT,
        settings=SharedSettings(mask_version="0" * 12, min_sessions=3, epsilon=float(EPSILON)),
        random=Random(seed),
        delta=delta,
        known=known,
    )


def pmf(scale: Fraction, value: int) -> float:
    ratio = math.exp(-1 / scale)
    return (1 - ratio) / (1 + ratio) * ratio ** abs(value)


@pytest.mark.parametrize("chance", [0.2, 1e-5, 1e-9])
@pytest.mark.parametrize("scale", [OF_ONE, OF_CALLS])
def test_a_threshold_is_the_least_that_noise_reaches_with_no_more_than_its_chance(scale, chance):
    def reached(least: int) -> float:
        return sum(pmf(scale, value) for value in range(least, least + 400))

    found = least_count(scale, 1, chance)
    assert reached(found) <= chance < reached(found - 1)
    both = least_count(scale, 2, chance)
    values = range(-300, 301)
    of_two = [sum(pmf(scale, one) * reached(least - one) for one in values) for least in (both, both - 1)]
    assert of_two[0] <= chance < of_two[1]


def outcomes(failed: int, known: KnownNames, monkeypatch) -> Counter:
    """How likely each thing is that a summary may say of failures, by every value of their noise."""
    found: Counter = Counter()
    for value in range(-90, 91):
        monkeypatch.setattr(
            privacy, "discrete_laplace", lambda scale, _, v=value: v if scale == OF_ONE else 0
        )
        said = [(row.error, row.failures) for row in summary(day_of(failed), known=known).failures]
        found[tuple(said)] += pmf(OF_ONE / EPSILON, value)
    return found


@pytest.mark.parametrize("failed", [0, 1, 4, 9, 15])
@pytest.mark.parametrize("is_known", [False, True])
def test_one_session_more_changes_what_is_said_by_no_more_than_epsilon_and_delta(
    failed, is_known, monkeypatch
):
    known = KnownNames(failures=frozenset({NAME})) if is_known else KnownNames()
    one, other = (outcomes(count, known, monkeypatch) for count in (failed, failed + 1))
    assert sum(one.values()) == pytest.approx(1, abs=1e-9)
    bound, delta = math.exp(1 / OF_ONE), 0 if is_known else DELTA / 2 / PARTS
    for first, second in ((one, other), (other, one)):
        beyond = sum(max(0.0, likely - bound * second[said]) for said, likely in first.items())
        assert beyond <= delta + 1e-9


def test_the_names_of_one_session_alone_are_published_no_more_often_than_delta():
    """All that it may bring: a failure and a call, or a conversation and a call, or some calls."""
    tries = 300
    for part in (
        {"failed": 1, "calls": 1},
        {"failed": 0, "talked": 1, "signal": 1, "calls": 3},
        {"failed": 1, "talked": 1, "signal": 1, "calls": 1},
        {"failed": 0, "calls": MAX_CALLS},
    ):
        found = [summary(day_of(**part), seed) for seed in range(tries)]
        named = sum(bool(one.failures or one.calls or one.talk) for one in found)
        assert named <= tries * DELTA + 3 * math.sqrt(tries * DELTA)


def test_a_row_that_counts_nothing_is_not_there_whatever_the_noise(monkeypatch):
    monkeypatch.setattr(privacy, "discrete_laplace", lambda *_: 500)
    found = summary(day_of(0))
    assert (found.failures, found.calls, found.talk) == ((), (), ())
    assert set(found.unnamed.model_dump().values()) == {0}


def test_what_many_had_is_published_and_known_from_then_on_though_few_have_it():
    many = summary(day_of(60, calls=400, talked=90, signal=50), delta=1e-5)
    known = KnownNames.of([many])
    assert NAME in known.failures
    assert known.agents == {"support"}
    few, least = 17, Thresholds.of(EPSILON, 1e-5)
    assert least.known_failure < few < least.new_failure
    unknown, seen = (
        sum(bool(summary(day_of(few, calls=9), seed, of, 1e-5).failures) for seed in range(40))
        for of in (KnownNames(), known)
    )
    assert unknown < 10
    assert seen > 30
    nobody = [summary(day_of(0), seed, known, 1e-5) for seed in range(100)]
    assert sum(bool(one.failures) for one in nobody) <= 5, "and seldom where nobody has it"
