"""Which names a day holds when the noise itself decides: thresholds with their delta, and names known before.

What goes here: how high a noised count must be for its row to be published. What does not: the noise, and
the rows (`privacy.py`, whose docstring has the argument).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from fl_assets.federation.counting import COARSE, MAX_CALLS, OF_CALLS, OF_ONE, PARTS
from fl_assets.federation.summary import SIGNALS, Summary

ROW_OF_NOISE = 0.01
"""Chance that a row of a name known before is published although nobody had it that day."""


@dataclass(frozen=True)
class KnownNames:
    """Names that summaries held before, so that whether they are named tells nothing of today.

    Attributes:
        failures: service, method and error.
        methods: service and method.
        agents: agents that people talked to.
    """

    failures: frozenset[tuple[str, str, str]] = frozenset()
    methods: frozenset[tuple[str, str]] = frozenset()
    agents: frozenset[str] = frozenset()

    @classmethod
    def of(cls, summaries: Iterable[Summary]) -> "KnownNames":
        """Return the names that summaries hold."""
        all_of = list(summaries)
        return cls(
            frozenset((row.service, row.method, row.error) for one in all_of for row in one.failures),
            frozenset((row.service, row.method) for one in all_of for row in one.calls),
            frozenset(row.service for one in all_of for row in one.talk),
        )


NOTHING_KNOWN = KnownNames()


@dataclass(frozen=True)
class Thresholds:
    """The least noised count of a row that is published, of new names and of known ones.

    Of a method: its successful calls, all durations together. Of an agent: its conversations, which are no
    fewer than those with any one signal.
    """

    new_failure: int
    known_failure: int
    new_method: int
    known_method: int
    new_agent: int
    known_agent: int

    @classmethod
    def of(cls, epsilon: Fraction, delta: float) -> "Thresholds":
        """Return those with which one session publishes any name that is its own with probability <= delta.

        Half of delta is for its failures and its conversation, PARTS of them at the most, the other half for
        its successful calls, in MAX_CALLS methods at the most.
        """
        one, calls = OF_ONE / epsilon, OF_CALLS / epsilon
        half, parts = delta / 2, len(SIGNALS) + 1
        of_one = half / PARTS
        of_agent = max(least_count(one, parts, of_one / 2), least_count(one, 1, of_one / 2 / len(SIGNALS)))
        return cls(
            least_count(one, 1, of_one) + 1,
            least_count(one, 1, ROW_OF_NOISE),
            least_count(calls, len(COARSE), half / MAX_CALLS) + MAX_CALLS,
            least_count(calls, len(COARSE), ROW_OF_NOISE),
            of_agent + 1,
            least_count(one, parts, ROW_OF_NOISE),
        )


@cache
def least_count(scale: Fraction, parts: int, chance: float) -> int:
    """Return the least t that so many discrete Laplace variables reach together with at most `chance`."""
    most = math.ceil(60 * scale)
    sizes = np.abs(np.arange(-most, most + 1))
    alone = np.exp(-sizes / float(scale))
    alone /= alone.sum()
    together = alone
    for _ in range(parts - 1):
        together = np.convolve(together, alone)
    reached = together[::-1].cumsum()[::-1]
    return int(np.argmax(reached <= chance)) - most * parts
