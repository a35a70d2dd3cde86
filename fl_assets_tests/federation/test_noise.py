"""The noise is distributed as it says: exactly, by walking through every choice that the sampler can make."""

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import pytest

from fl_assets.federation import noise, privacy
from fl_assets.federation.counting import COARSE, MAX_CALLS, OF_CALLS, OF_ONE, PARTS, SLOW, UNTIMED, DayCounts
from fl_assets.federation.noise import discrete_laplace
from fl_assets.federation.summary import SharedSettings, Summary

SCALES = [Fraction(1), OF_ONE, OF_CALLS, Fraction(5, 2)]


class _OpenError(Exception):
    """A choice that the path so far does not decide.

    Its probabilities, or none where the path is not followed.
    """


def distribution(run: Callable[[Callable], int | bool], *, least: float = 1e-13) -> Counter:
    """The probability of each outcome of `run`, which asks for each choice by its probabilities.

    Paths less likely than `least` are left out.
    """
    found: Counter = Counter()
    waiting: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while waiting:
        path, likely = waiting.pop()
        rest = iter(path)

        def choose(probabilities, rest=rest):
            if (chosen := next(rest, None)) is None:
                raise _OpenError(probabilities)
            return chosen

        try:
            found[run(choose)] += likely
        except _OpenError as opened:
            waiting += [
                ((*path, place), likely * part)
                for place, part in enumerate(opened.args[0])
                if likely * part > least
            ]
    return found


class _Chooser:
    """What `_happens` draws from: of a number only whether it is below `numerator` matters."""

    def __init__(self, numerator: int, choose: Callable) -> None:
        self.numerator, self.choose = numerator, choose

    def randrange(self, end: int) -> int:
        below = min(1.0, self.numerator / end)
        return (0, self.numerator)[self.choose((below, 1 - below))]


@pytest.mark.parametrize("gamma", [Fraction(0), Fraction(1, 20), Fraction(4, 9), Fraction(1)])
def test_a_coin_falls_with_probability_e_to_minus_gamma(gamma):
    found = distribution(lambda choose: noise._happens(gamma, _Chooser(gamma.numerator, choose)))
    assert found[True] == pytest.approx(math.exp(-gamma), abs=1e-10)
    assert sum(found.values()) == pytest.approx(1, abs=1e-10)


def exactly(scale: Fraction, monkeypatch) -> dict[int, float]:
    """The sampler's distribution.

    That of one round, given that the round ends in a number (the next round is the same again).
    """

    def run(choose) -> int:
        asked: list[Fraction | int] = []

        def happens(gamma, _):
            asked.append(gamma)
            return choose((math.exp(-gamma), 1 - math.exp(-gamma))) == 0

        class Draws:
            def randrange(self, end: int) -> int:
                if asked and asked[-1] != Fraction(1):
                    raise _OpenError(())  # another round
                if asked:
                    asked.append(0)  # the sign
                return choose([1 / end] * end)

        monkeypatch.setattr(noise, "_happens", happens)
        return discrete_laplace(scale, Draws())

    found = distribution(run)
    return {value: likely / sum(found.values()) for value, likely in found.items()}


@pytest.mark.parametrize("scale", SCALES)
def test_the_noise_is_discrete_laplace_of_the_scale_asked_for(scale, monkeypatch):
    found = exactly(scale, monkeypatch)
    ratio = math.exp(-1 / scale)
    for value in range(-20, 21):
        assert found[value] == pytest.approx((1 - ratio) / (1 + ratio) * ratio ** abs(value), rel=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_one_more_in_the_count_changes_no_outcome_by_more_than_e_to_epsilon(scale, monkeypatch):
    found = exactly(scale, monkeypatch)
    odds = [found[value - 1] / found[value] for value in range(-15, 16)]
    assert max(max(odds), 1 / min(odds)) == pytest.approx(math.exp(1 / scale), rel=1e-6), (
        "no more, and no less"
    )


ONE_FAILED = {"failures": PARTS, "calls": 1}
ONE_DID_BOTH = {"failures": 1, "talk": 1, "calls": 1}
ONE_WENT_WELL = {"calls": MAX_CALLS}


def day_counts(had: int, *, failures: int = 0, talk: int = 0, calls: int = 0) -> DayCounts:
    """A day with so much of one session in it, most of it in rows that count nought without it.

    So many sessions had their names.
    """
    failure = {"service": "search", "method": "query", "has_text": True}
    return DayCounts(
        events=0,
        failures=[
            failure
            | {"error": "timed out", "failures": (late := min(failures, 1)), "durations": [(SLOW[2], late)]},
            failure | {"error": "no route", "failures": 7 + max(failures - 1, 0)},
        ],
        calls=[
            {
                "service": "search",
                "method": "query",
                "calls": 40,
                "durations": [(UNTIMED, 3), (COARSE[3], 37)],
            },
            {
                "service": "search",
                "method": "plan",
                "calls": calls,
                "durations": [(COARSE[2], calls // 2), (COARSE[4], calls - calls // 2)],
            },
        ],
        talk=[
            {"service": "support", "signal": "correction", "sessions": 8 + talk, "affected": talk},
            {"service": "support", "signal": "refusal", "sessions": 8 + talk, "affected": 2},
        ],
        seen={
            "errors": {"timed out": had, "no route": 7},
            "methods": {"search\x1fquery": 9, "search\x1fplan": had},
            "agents": {"support": 9},
            "signals": {"support\x1fcorrection": had, "support\x1frefusal": 3},
        },
    )


def published(day: DayCounts, epsilon: float, seed: int = 1) -> Summary:
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    return privacy.publish(
        day,
        node_id="n1",
        day=moment.date(),
        sequence=1,
        created_at=moment,
        settings=SharedSettings(mask_version="0" * 12, min_sessions=3, epsilon=epsilon),
        random=Random(seed),
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_count_by_duration_says_how_often_it_has_noise_whatever_that_came_to(seed):
    late = next(row for row in published(day_counts(3, failures=1), 1.0, seed).failures if row.durations)
    assert [bucket for bucket, _ in late.durations] == list(SLOW)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("part", [ONE_FAILED, ONE_DID_BOTH, ONE_WENT_WELL])
@pytest.mark.parametrize("had", [3, 2])
def test_all_numbers_of_a_summary_together_tell_of_a_session_no_more_than_epsilon(
    had, part, epsilon, monkeypatch
):
    def numbers(day: DayCounts) -> list[tuple[int, Fraction]]:
        """Each number that noise was put on, with the scale of its noise."""
        found: list[tuple[int, Fraction]] = []

        class Noise:
            def __init__(self, scale: Fraction, _: Random) -> None:
                self.scale = scale

            def __radd__(self, count: int) -> int:
                found.append((count, self.scale))
                return count

        monkeypatch.setattr(privacy, "discrete_laplace", Noise)
        published(day, epsilon)
        return found

    given, without = numbers(day_counts(had, **part)), numbers(day_counts(had))
    assert [scale for _, scale in given] == [scale for _, scale in without], (
        "the same numbers get the same noise, also where a count is nought"
    )
    assert all(scale > 0 for _, scale in given)
    loss = sum(abs(one - other) / scale for (one, scale), (other, _) in zip(given, without, strict=True))
    assert loss == Fraction(str(epsilon)), "the most that a session can change uses epsilon up, and no more"


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="scale=0: must be positive"):
        discrete_laplace(Fraction(0), Random(1))
