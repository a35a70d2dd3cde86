"""The noise is distributed as it says, and to the last bit."""

import math
from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from fl_assets.domain.noise import discrete_laplace


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(5, 2), Fraction(20, 7)])
def test_the_noise_is_discrete_laplace_of_the_scale_asked_for(scale):
    random, draws = Random(1), 20_000
    seen = Counter(discrete_laplace(scale, random) for _ in range(draws))
    ratio = math.exp(-1 / scale)
    for value in range(-4, 5):
        expected = (1 - ratio) / (1 + ratio) * ratio ** abs(value)
        assert seen[value] / draws == pytest.approx(expected, abs=4 * math.sqrt(expected / draws))
    assert sum(value * count for value, count in seen.items()) / draws == pytest.approx(0, abs=0.1)


def test_one_more_in_the_count_changes_no_outcome_by_more_than_e_to_epsilon():
    random, draws, epsilon = Random(2), 40_000, Fraction(1, 2)
    with_one, without = (Counter(count + discrete_laplace(1 / epsilon, random) for _ in range(draws)) for count in (6, 5))
    for value in range(2, 10):
        assert with_one[value] < without[value] * math.exp(epsilon) * 1.15
        assert without[value] < with_one[value] * math.exp(epsilon) * 1.15


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="scale=0: must be positive"):
        discrete_laplace(Fraction(0), Random(1))
