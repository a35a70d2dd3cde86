"""The model of a pattern's next day: three probabilities whose product is `confidence_raw`.

What goes here: what is derived from one pattern's days and from what the fleet's other patterns show.
What does not: learning from what came true (`calibration.py`), features for it (`features.py`).

- it is no one-off: a two-groups model (Efron, *Large-Scale Inference*, 2010, ch. 2) of how many incidents a
  pattern has;
- it does not end tonight: beta-geometric survival by age (Fader and Hardie, *How to project customer
  retention*, 2007);
- if it goes on, tomorrow's count is high enough and spread enough: gamma-Poisson with discounted history
  (Harvey and Fernandes, *Time series models for count or qualitative observations*, 1989), its nodes
  Dirichlet-multinomial, with a concentration as in Escobar and West (1995).

What the fleet's other patterns show (`FleetPrior`) is empirical Bayes on the same counts. Nothing is sampled.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from fl_assets.patterns.counts import MEMORY
from fl_assets.patterns.states import (
    CLEAN_DAYS,
    SPREAD_COUNTS,
    FailureHistory,
    day_variance,
    spells,
    votes_of,
)

PRIOR_EXPOSURE = 0.05
"""Days without failures that every pattern starts with."""
SILENCE_VARIANCE = 0.2
"""Squared coefficient of variation that is added when all the nodes that had a pattern have fallen silent."""
SURVIVAL_PRIOR = (0.3, 1.2)
"""Beta prior of the chance that a pattern ends on a day: a new one goes on with probability 0.8, an old one
0.98."""
SURVIVAL_WEIGHT = 20.0
"""Spell days that the survival prior is worth against the fleet's own."""
INCIDENTS_CENSORED = 10
"""The background of one-offs is fitted to patterns with no more incidents than this."""
BACKGROUND_PRIOR, BACKGROUND_WEIGHT, BACKGROUND_CEILING = 0.1, 20.0, 0.8
"""Chance that a one-off is followed by a further incident: prior, the patterns it is worth, and the most
assumed."""
SHARE_ONE_OFF, REAL_CONTINUES = 0.5, 0.9
"""Share of patterns that are one-offs, and the chance of a further incident in those that are not."""


@dataclass(frozen=True)
class Question:
    """What must happen on the next day: on how many nodes, in how many sessions."""

    nodes: int = 2
    sessions: int = 2


TWO_NODES = Question(2, 2)
"""What confidence is about."""
TWO_SESSIONS = Question(1, 2)
"""The same in a fleet where one node may be enough (`MIN_NODES=1`)."""
ANYWHERE = Question(1, 1)
"""What corroboration is about: on any of the nodes that are left."""


@dataclass(frozen=True)
class FleetPrior:
    """What a day's patterns show together: how often a one-off repeats, and how soon failures end."""

    background: float
    ends: tuple[float, float]

    @classmethod
    def of(cls, facts: FailureHistory, window: int) -> "FleetPrior":
        """Fit both to the facts of all patterns of a fleet."""
        failing = facts.failures[:, -window:].sum(axis=1) > 0
        return cls(_background(facts.incidents[failing]), _ends(facts))

    def noise_p_value(self, incidents: np.ndarray) -> np.ndarray:
        """Return the chance that background noise shows as many `incidents`, given that it shows one."""
        return np.where(incidents > 0, self.background ** np.maximum(incidents - 1, 0), 1.0)

    def not_one_off(self, incidents: np.ndarray) -> np.ndarray:
        """Return the posterior probability that a pattern with `incidents` is more than a one-off."""
        more = np.maximum(incidents - 1, 0)
        odds = SHARE_ONE_OFF * (1 - self.background) / ((1 - SHARE_ONE_OFF) * (1 - REAL_CONTINUES))
        # Of the quotient: of ten thousand incidents, both powers by themselves are nought.
        with np.errstate(over="ignore"):
            return 1 / (1 + odds * (self.background / REAL_CONTINUES) ** more)

    def goes_on(self, age: np.ndarray) -> np.ndarray:
        """Return the probability that a pattern with `age` days of failures has another."""
        alpha, beta = self.ends
        lived = np.maximum(age - 1, 0)
        return (beta + lived) / (alpha + beta + lived)


@dataclass(frozen=True)
class Outlook:
    """The model's three probabilities for each row, and what else it derives."""

    failing: np.ndarray
    """Whether the window has a failure that the model can read."""
    not_one_off: np.ndarray
    """Probability that the pattern is more than a one-off."""
    goes_on: np.ndarray
    """Probability that its spell does not end tonight."""
    enough: np.ndarray
    """Probability that, if it goes on, tomorrow answers the question."""
    age: np.ndarray
    """Days with failures of the present spell."""
    variance: np.ndarray
    """Squared coefficient of variation from day to day."""
    expected: np.ndarray
    """Failures (in sessions) expected tomorrow, over those that half the present rate needs."""

    @property
    def probability(self) -> np.ndarray:
        """The product: the probability before anything is learnt from past days."""
        return np.where(self.failing, self.not_one_off * self.goes_on * self.enough, 0.0)


def outlook(facts: FailureHistory, prior: FleetPrior, window: int, question: Question) -> Outlook:
    """Return the model's view of the next day.

    With y_d failures (in sessions) and e_d calls on day d of the present spell, v the variance from day to
    day, n_d that of noise, and w_d = MEMORY^age / (1 + v e_d r + n_d / (e_d r)), r the typical rate, the
    level is gamma with shape about sum(w y) and mean sum(w y) / sum(w e); tomorrow's count is negative
    binomial.
    """
    days = facts.failures.shape[1]
    age, clean = spells(facts)
    begins = (facts.failures > 0) & ((age == 1) | (clean >= CLEAN_DAYS))
    last_begin = np.where(begins, np.arange(days), -1).max(axis=1, initial=-1)
    in_spell = np.maximum.accumulate(begins, axis=1) & (np.arange(days) >= last_begin[:, None])
    variance = day_variance(facts, in_spell)
    failures, exposure = facts.failures / facts.repeats[:, None], facts.exposure
    # A day's count says little more about the level than the day-to-day variation lets it.
    trust = np.where(in_spell, MEMORY ** np.arange(days - 1, -1, -1), 0.0)
    usual = (failures * trust).sum(axis=1) / np.maximum((exposure * trust).sum(axis=1), 1e-9)
    typical = usual * variance
    noise = facts.noise / facts.repeats[:, None] ** 2 / np.maximum(usual[:, None] * exposure, 1.0)
    trust = trust / (1 + typical[:, None] * exposure + noise)
    reported = np.maximum((exposure[:, -window:] > 0).sum(axis=1), 1)
    tomorrow = next_weekday_calls(exposure.sum(axis=0))
    next_calls = np.maximum(exposure[:, -window:].sum(axis=1) / reported * tomorrow, 1e-9)
    seen = (failures * trust).sum(axis=1)
    failing = (facts.failures[:, -window:].sum(axis=1) > 0) & (seen > 0)
    seen = np.where(failing, seen, 1.0)
    prior_calls = PRIOR_EXPOSURE * next_calls / (1 + typical * next_calls)
    expected = seen / ((exposure * trust).sum(axis=1) + prior_calls) * next_calls
    size = 1 / (1 / seen + variance + variance / seen + SILENCE_VARIANCE * (1 - facts.complete))
    half = failures[:, -window:].sum(axis=1) / reported / 2 * tomorrow
    needed = np.maximum(np.ceil(half - 1e-9), float(question.sessions))
    return Outlook(
        failing=failing,
        not_one_off=prior.not_one_off(facts.incidents),
        goes_on=prior.goes_on(age[:, -1]),
        enough=_tail(facts, expected, size, needed, question.nodes),
        age=age[:, -1],
        variance=variance,
        expected=np.where(failing, expected / needed, 0.0),
    )


def next_weekday_calls(calls: np.ndarray) -> float:
    """Return tomorrow's calls over today's, as far as the same two weekdays of all earlier weeks agree.

    The least of their changes, in logarithms, if all have one sign, and none otherwise; half of it from a
    single week. `calls` are the fleet's by day, the last one today.
    """
    after = np.arange(calls.size - 7, 0, -7)
    after = after[(calls[after] > 0) & (calls[after - 1] > 0)]
    changes = np.log(calls[after] / calls[after - 1])
    signs = np.sign(changes)
    if not changes.size or not (signs == signs[0]).all():
        return 1.0
    return float(np.exp(signs[0] * np.abs(changes).min() * changes.size / max(changes.size, 2)))


def _tail(
    facts: FailureHistory, expected: np.ndarray, size: np.ndarray, needed: np.ndarray, nodes: int
) -> np.ndarray:
    """Return P(T >= needed) for a negative binomial T of mean `expected` and `size`.

    Given T the nodes are Dirichlet-multinomial, with the nodes' weights, and a concentration for nodes not
    yet
    affected: its posterior mean under a Gamma prior, given the nodes and their weight (Escobar and West,
        1995).
    """

    def tail(least: np.ndarray) -> np.ndarray:
        return betainc(least, size, expected / (expected + size))

    enough = above = tail(needed)
    if nodes < 2:
        return enough
    new = np.maximum(facts.nodes - 0.5, 0.05) / (1 + np.log1p(facts.weight))
    on_one = np.zeros_like(enough)
    anywhere = rising_factorials(new + facts.weight)
    for place, count in enumerate(SPREAD_COUNTS):
        last = count == SPREAD_COUNTS[-1]
        beyond = np.zeros_like(enough) if last else tail(np.maximum(needed, SPREAD_COUNTS[place + 1]))
        on_one += (above - beyond) * np.minimum(facts.rising_on_one_node[:, place] / anywhere[:, place], 1.0)
        above = beyond
    return np.clip(enough - on_one, 0.0, 1.0)


def rising_factorials(start: np.ndarray) -> np.ndarray:
    """Return start (start + 1) … (start + n - 1) for each n of `SPREAD_COUNTS`, the last axis."""
    found, product = [], start
    for step in range(1, SPREAD_COUNTS[-1]):
        product = product * (start + step)
        if step + 1 in SPREAD_COUNTS:
            found.append(product)
    return np.stack(found, axis=-1)


def _background(incidents: np.ndarray) -> float:
    """Fit a geometric distribution to the low end of incidents: an empirical null (Efron, 2004)."""
    low = incidents[(incidents > 0) & (incidents <= INCIDENTS_CENSORED)]
    chance = np.linspace(0.01, BACKGROUND_CEILING, 200)
    further = (low - 1).sum()
    fit = low.size * (np.log1p(-chance) - np.log1p(-(chance**INCIDENTS_CENSORED))) + further * np.log(chance)
    prior = BACKGROUND_WEIGHT * (
        BACKGROUND_PRIOR * np.log(chance) + (1 - BACKGROUND_PRIOR) * np.log1p(-chance)
    )
    return float(chance[np.argmax(fit + prior)])


def _ends(facts: FailureHistory) -> tuple[float, float]:
    """Scale the survival prior's chance of an end to what this fleet's spells have shown.

    A day counts once the `CLEAN_DAYS` after it are over; a pattern whose incidents come from one node does
    not count.
    """
    alpha, beta = SURVIVAL_PRIOR
    age, _ = spells(facts)
    active = facts.failures > 0
    days = active.shape[1] - CLEAN_DAYS
    later = np.stack([active[:, ahead : days + ahead] for ahead in range(1, CLEAN_DAYS + 1)]).any(axis=0)
    at_risk = active[:, :days] & (facts.incidents > 1)[:, None]
    expected = np.where(at_risk, alpha / (alpha + beta + np.maximum(age[:, :days] - 1, 0)), 0.0).sum(axis=1)
    votes = votes_of(facts.loudest)
    prior_ends = SURVIVAL_WEIGHT * alpha / (alpha + beta)
    scale = (prior_ends + votes @ (at_risk & ~later).sum(axis=1)) / (prior_ends + votes @ expected)
    return float(np.clip(alpha * scale, 0.05, 3.0)), beta
