"""What a prediction is made from: some twenty numbers for each pattern, known by the end of a day.

What goes here: features of a pattern's own past, of its fleet and of the calendar. What does not: their
weights (`calibration.py`).
"""

import numpy as np
from scipy.special import logit

from fl_assets.patterns.counts import HISTORY_DAYS
from fl_assets.patterns.fleet import outcomes_of
from fl_assets.patterns.persistence import FleetPrior, Outlook, Question, outlook
from fl_assets.patterns.states import FailureHistory, votes_of

OUTCOME_MEMORY = 0.9
"""Weight of a past outcome relative to the one of the day after it."""
FLEET_SHARE, FLEET_WEIGHT = 0.6, 20.0
"""Share of predictions that come true before any is seen, and the outcomes that this is worth."""
OWN_WEIGHT = 2.0
"""Outcomes of its own that the fleet's share is worth for a pattern."""

NAMES = (
    "constant", "enough", "not_one_off", "goes_on", "own_outcomes", "own_days", "own_runs", "above_usual",
    "below_usual", "fleet_weekday", "own_weekday", "failures", "nodes", "first_day", "first_day_failures",
    "age", "fleet_outcomes", "variance", "reporting", "fleet_above_usual", "expected", "next_weekday",
    "runs",
)  # fmt: skip


def features(
    facts: FailureHistory, prior: FleetPrior, window: int, question: Question
) -> tuple[np.ndarray, Outlook]:
    """Return one row of numbers per pattern, in the order of `NAMES`, and the model's view they contain."""
    view = outlook(facts, prior, window, question)
    came_true, known = outcomes_of(facts, window, question)
    days = facts.failures.shape[1]
    memory = OUTCOME_MEMORY ** np.arange(days - 2, -1, -1)
    seen, true = (known * memory).sum(axis=1), (known * came_true * memory).sum(axis=1)
    votes = votes_of(facts.loudest)
    fleet_share = (true @ votes + FLEET_WEIGHT * FLEET_SHARE) / (seen @ votes + FLEET_WEIGHT)
    own_share = (true + OWN_WEIGHT * fleet_share) / (seen + OWN_WEIGHT)

    own_days, own_runs, runs, next_weekday = _wide_days(facts, question, votes)
    usual = _log_rate(facts, slice(0, days), memory=OUTCOME_MEMORY)
    excess = np.clip(_log_rate(facts, slice(days - window, days), memory=1.0) - usual, -2.5, 2.5)
    mean_excess = np.average(excess, weights=view.failing * votes + 1e-9) if excess.size else 0.0
    excess = mean_excess + (excess - mean_excess) * _reliability(facts, view.variance, window)
    fleet_weekday, own_weekday = _weekday(came_true, known, own_share, votes)
    failures = np.log1p(facts.failures[:, -window:].sum(axis=1) / facts.repeats)
    first_day = (view.age <= 1).astype(float)
    columns = (
        np.ones(failures.size),
        np.clip(logit(np.clip(view.enough, 1e-4, 1 - 1e-4)), -6, 6),
        np.log(np.maximum(view.not_one_off, 1e-3)),
        logit(np.clip(view.goes_on, 0.01, 0.99)) - 2,
        logit(own_share),
        logit(own_days),
        logit(own_runs) - 1,
        np.maximum(excess, 0),
        np.minimum(excess, 0),
        fleet_weekday,
        own_weekday,
        failures - 2,
        np.log(np.maximum(facts.failing_nodes[:, -1], 1)) - 1,
        first_day,
        first_day * (failures - 2),
        np.log(np.maximum(view.age, 1)) - 1.5,
        np.full(failures.size, logit(fleet_share) - logit(FLEET_SHARE)),
        np.log(view.variance) + 2.5,
        np.log(np.maximum(facts.reporting, 1)) - 3,
        np.full(failures.size, mean_excess),
        np.clip(np.log(np.maximum(view.expected, 1e-3)), -3, 3),
        next_weekday,
        logit(np.clip(view.enough * runs, 1e-3, 1 - 1e-3)),
    )
    return np.stack(columns, axis=1), view


def _wide_days(facts: FailureHistory, question: Question, votes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what the days say on which a pattern failed as widely as the question asks.

    Returns:
        The share of such days since its first failure; of runs of them that went on, by the pattern alone and
        with the fleet's share; and how much more often than usual they fell on the weekday that comes next.
    """
    days = facts.failures.shape[1]
    wide = (facts.failing_nodes >= question.nodes) & (facts.sessions >= question.sessions)
    has_calls = facts.exposure > 0
    memory = np.append(OUTCOME_MEMORY ** np.arange(days - 2, -1, -1) * OUTCOME_MEMORY, 1.0)
    since_first = has_calls & (np.cumsum(facts.failures, axis=1) > 0)
    own_days = ((wide & since_first) @ memory + 0.5) / (since_first @ memory + 1)
    stays = (wide[:, :-1] & wide[:, 1:]).sum(axis=1)
    at_risk = (wide[:, :-1] & has_calls[:, 1:]).sum(axis=1)
    of_fleet = (stays @ votes + 8) / (at_risk @ votes + 10)
    weekday = np.arange(days - 7, -1, -7)
    heard = since_first[:, weekday]
    beyond = (heard * (wide[:, weekday] - own_days[:, None])).sum(axis=1)
    next_weekday = beyond / (heard.sum(axis=1) + 1.5)
    return own_days, (stays + 1.5) / (at_risk + 2), (stays + 4 * of_fleet) / (at_risk + 4), next_weekday


def _log_rate(facts: FailureHistory, part: slice, memory: float) -> np.ndarray:
    """Return the logarithm of failures over calls in a part of the days, older ones weighing less."""
    failures, exposure = facts.failures[:, part], facts.exposure[:, part]
    weights = memory ** np.arange(failures.shape[1] - 1, -1, -1)
    return np.log((failures @ weights + 0.5) / np.maximum(exposure @ weights, 1.0))


def _reliability(facts: FailureHistory, variance: np.ndarray, window: int) -> np.ndarray:
    """Return which part of the variance of a rate over its usual one is not the noise of summaries.

    To first order: of the logarithm of a window's share of the failures over that of all days.
    """
    days = facts.failures.shape[1]
    failures, noise = (facts.failures / facts.repeats[:, None], facts.noise / facts.repeats[:, None] ** 2)
    memory = OUTCOME_MEMORY ** np.arange(days - 1, -1, -1)
    recent = np.arange(days) >= days - window
    slope = recent / ((failures @ recent)[:, None] + 0.5) - memory / ((failures @ memory)[:, None] + 0.5)
    real = (slope**2 * (variance[:, None] * failures**2 + failures)).sum(axis=1)
    return real / np.maximum(real + (slope**2 * noise).sum(axis=1), 1e-9)


def _weekday(
    came_true: np.ndarray, known: np.ndarray, own_share: np.ndarray, votes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much more often than usual a prediction made on this weekday came true, in log odds, shrunk.

    Of the fleet, from each of the last weeks' shares on the weekday; and of each pattern, beyond its own
    share.
    """
    rows, days = known.shape
    same = np.arange(days - 7, -1, -7)
    seen, true = votes @ known, votes @ (known & came_true)
    share = (true.sum() + 2 * FLEET_SHARE) / (seen.sum() + 2)
    of_day = logit((true[same] + 2 * share) / (seen[same] + 2)) - logit(share)
    fleet = of_day.sum() / (HISTORY_DAYS / 7 - 2 + 1) if same.size else 0.0
    beyond = (known * (came_true - own_share[:, None]))[:, same].sum(axis=1)
    return np.full(rows, fleet), beyond / (known[:, same].sum(axis=1) + 1.5)
