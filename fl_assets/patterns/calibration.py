"""Learning from past days whose next day is known, and whether predictions were right.

What goes here: the weights of the features, learnt day by day within a fleet from a prior, and how
predictions are measured. What does not: the features (`features.py`), drawing the report (the asset).

Everything about day D reads days up to D alone, so that no order of backfill can change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from fl_assets.patterns.counts import HISTORY_DAYS
from fl_assets.patterns.features import features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import FleetPrior, Outlook
from fl_assets.patterns.prior import PRECISION, WEIGHTS

REPLAYED_DAYS = 20
"""Past days that are assessed again to learn from; each keeps a week or more of history."""
MEMORY_OF_DAYS = 0.96
"""Share of what was learnt that is kept from one day to the next; the rest goes back to the prior."""
SAME_DAY = 0.03
"""Correlation of outcomes on one day: n of them are worth n / (1 + (n - 1) SAME_DAY)."""
LIKELY, LIKELY_PRIOR = 0.6, (0.85, 8.0)
"""Predictions from which a fleet's record counts; the share of them that comes true, and the days' worth of
it, before any is seen."""
LIKELY_SAME_DAY = 0.1
"""Correlation of their outcomes on one day."""
TRUSTED_RECORD, CAUTION = 0.9, 2.5
"""Record from which nothing is held back, and log odds that are taken off per unit below it."""
POOR_RECORD, MORE_CAUTION, MOST_CAUTION = 0.68, 6.0, 2.0
"""Record below which more is taken off, that much more per unit, and the most in all."""
SHARED, SHARED_CAUTION, SHARED_PRIOR = 0.4, 0.5, 50.0
"""Standard deviation of what whole days share (in log odds) from which more is taken off, how much per unit,
and the squared variance of outcomes that no such thing is worth before any day is seen."""
CAUTIOUS_FROM, CAUTIOUS_WHOLLY = 0.55, 0.7
"""Probabilities between which that begins."""
_NEWTON_STEPS = 4


class Learner:
    """A logistic regression that is updated day by day (Laplace approximation), drawn back to its prior.

    After West, Harrison and Migon (JASA 80, 1985) and McCormick et al. (Biometrics 68, 2012).
    """

    def __init__(self, weights: Sequence[float], precision: Sequence[float]) -> None:
        """Begin with a Gaussian prior: its mean and the precision of each weight."""
        self._prior, self._prior_precision = np.array(weights, dtype=float), np.diag(precision).astype(float)
        self.weights, self._precision = self._prior.copy(), self._prior_precision.copy()

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities, drawn to one half where the weights are uncertain (MacKay, 1992)."""
        variance = np.einsum("ij,ji->i", rows, np.linalg.solve(self._precision, rows.T))
        return expit(rows @ self.weights / np.sqrt(1 + np.pi * variance / 8))

    def update(self, rows: np.ndarray, happened: np.ndarray) -> None:
        """Learn from one day's outcomes."""
        if not len(rows):
            return
        kept, given = MEMORY_OF_DAYS * self._precision, (1 - MEMORY_OF_DAYS) * self._prior_precision
        before = kept + given
        mean = np.linalg.solve(before, kept @ self.weights + given @ self._prior)
        worth = 1 / (1 + (len(rows) - 1) * SAME_DAY)
        weights, precision = mean.copy(), before
        for _ in range(_NEWTON_STEPS):
            said = expit(rows @ weights)
            precision = before + worth * (rows * (said * (1 - said))[:, None]).T @ rows
            slope = worth * rows.T @ (said - happened) + before @ (weights - mean)
            weights = weights - np.linalg.solve(precision, slope)
        self.weights, self._precision = weights, precision


class Calibration:
    """What a fleet's past days taught: weights of the features, and how far to trust high predictions.

    Whoever acts on the highest of many predictions acts on those that err upwards, the more so the less a
    fleet's failures can be foretold. So where what was called likely came true less often than
    `TRUSTED_RECORD`, what is called likely next is lowered, by as much as the record falls short; and by more
    where whole days come out better or worse than was said, since a record of days on which all went one way
    is no record of many predictions.
    """

    def __init__(self) -> None:
        """Begin with what other fleets taught."""
        self._learner = Learner(WEIGHTS, PRECISION)
        share, weight = LIKELY_PRIOR
        self._came_true, self._likely = share * weight, weight
        self._shared, self._independent = 0.0, 0.0

    def __call__(self, rows: np.ndarray, view: Outlook) -> np.ndarray:
        """Return the probability of each row of features; 0 where the window has no failure."""
        return np.where(view.failing, self._cautious(self._learner.predict(rows)), 0.0)

    def learn(self, rows: np.ndarray, happened: np.ndarray) -> None:
        """Learn from one day's features and outcomes."""
        said = self._learner.predict(rows) if len(rows) else np.zeros(0)
        likely = said >= LIKELY
        share, weight = LIKELY_PRIOR
        worth = 1 / (1 + (max(likely.sum(), 1) - 1) * LIKELY_SAME_DAY)
        kept = MEMORY_OF_DAYS
        self._came_true = (
            kept * self._came_true + (1 - kept) * share * weight + worth * happened[likely].sum()
        )
        self._likely = kept * self._likely + (1 - kept) * weight + worth * likely.sum()
        chance = (said * (1 - said)).sum()
        self._shared = kept * self._shared + (happened - said).sum() ** 2 - chance
        self._independent = kept * self._independent + chance**2
        self._learner.update(rows, happened)

    def _cautious(self, said: np.ndarray) -> np.ndarray:
        record = self._came_true / self._likely
        less = CAUTION * max(TRUSTED_RECORD - record, 0.0) + MORE_CAUTION * max(POOR_RECORD - record, 0.0)
        of_days = np.sqrt(max(self._shared, 0.0) / (self._independent + SHARED_PRIOR))
        less += SHARED_CAUTION * max(of_days - SHARED, 0.0)
        odds = logit(np.clip(said, 1e-6, 1 - 1e-6))
        start, end = logit(CAUTIOUS_FROM), logit(CAUTIOUS_WHOLLY)
        share = np.clip((odds - start) / (end - start), 0.0, 1.0)
        return expit(odds - share * min(less, MOST_CAUTION))


@dataclass(frozen=True)
class ReliabilityReport:
    """How predictions and outcomes compare.

    `bins` has `low, high, count, predicted, observed`, one row per non-empty bin, equal in width. `ece` is
    the expected calibration error over those bins; `precision` and `recall` take a prediction at `threshold`
    or above as a yes, and are None where there is nothing to divide by.
    """

    pairs: int
    brier: float
    ece: float
    threshold: float
    precision: float | None
    recall: float | None
    bins: pd.DataFrame


def calibrate(fleet: Fleet, days: int = REPLAYED_DAYS) -> tuple[Calibration, pd.DataFrame]:
    """Assess past days again, each from what was known by its end, and learn from each.

    Args:
        fleet: its last day is the last whose outcome is used.
        days: how many days to replay; those without any failure are left out.

    Returns:
        What was learnt by the end of the last day; and `event_date, pattern_id, confidence_raw, confidence,
        happened` by day and pattern, where `confidence` is what was said with the calibration of its own day.

    Raises:
        ValueError: when a replayed day would have less than a week behind it.
    """
    if not 1 <= days <= HISTORY_DAYS - 7:
        message = (
            f"days={days}: must lie between 1 and {HISTORY_DAYS - 7}, so that each day has a week behind it"
        )
        raise ValueError(message)
    backs = range(days, 0, -1)
    fleet.learn([0, *backs])
    came_true, is_known = fleet.outcomes()
    calibration, parts = Calibration(), []
    for back in backs:
        facts = fleet.facts(back)
        rows, view = features(facts, FleetPrior.of(facts, fleet.window), fleet.window, fleet.question)
        happened, known = came_true[:, -back], is_known[:, -back] & view.failing
        day = pd.DataFrame({"pattern_id": fleet.patterns, "confidence_raw": view.probability})
        day = day.assign(confidence=calibration(rows, view), happened=happened)
        day.insert(0, "event_date", pd.Timestamp(fleet.day - timedelta(days=back)))
        parts.append(day[known])
        calibration.learn(rows[known], happened[known])
    return calibration, pd.concat(parts, ignore_index=True)


def reliability(
    predictions: Sequence[float] | np.ndarray,
    happened: Sequence[bool] | np.ndarray,
    *,
    threshold: float = 0.7,
    bins: int = 10,
) -> ReliabilityReport:
    """Compare predicted probabilities with what happened.

    Args:
        predictions: probabilities between 0 and 1.
        happened: whether each came true, in the same order.
        threshold: from which a prediction is a yes.
        bins: bins of equal width.

    Raises:
        ValueError: when the lengths differ.
    """
    predicted, observed = np.asarray(predictions, dtype=float), np.asarray(happened, dtype=bool)
    if predicted.shape != observed.shape:
        message = (
            f"{predicted.size} predictions beside {observed.size} outcomes: there must be one per prediction"
        )
        raise ValueError(message)
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    pairs = pd.DataFrame({"bin": place, "predicted": predicted, "observed": observed.astype(float)})
    table = pairs.groupby("bin", sort=True).agg(
        count=("predicted", "size"), predicted=("predicted", "mean"), observed=("observed", "mean")
    )
    table.insert(0, "low", table.index / bins)
    table.insert(1, "high", (table.index + 1) / bins)
    said_yes = predicted >= threshold
    right = int((said_yes & observed).sum())
    gap = table["count"] * (table["predicted"] - table["observed"]).abs()
    return ReliabilityReport(
        pairs=predicted.size,
        brier=float(np.mean((predicted - observed) ** 2)) if predicted.size else 0.0,
        ece=float(gap.sum() / max(predicted.size, 1)),
        threshold=threshold,
        precision=right / int(said_yes.sum()) if said_yes.any() else None,
        recall=right / int(observed.sum()) if observed.any() else None,
        bins=table.reset_index(drop=True),
    )
