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
from fl_assets.patterns.states import load_tests, votes_of

REPLAYED_DAYS = 20
"""Past days that are assessed again to learn from; each keeps a week or more of history."""
MEMORY_OF_DAYS = 0.96
"""Share of what was learnt that is kept from one day to the next; the rest goes back to the prior."""
SAME_DAY, SAME_DAY_PAIRS = 0.02, 200.0
"""Correlation of two outcomes of one day before any is seen, and the pairs of outcomes that it is worth."""
SAME_DAY_BOUNDS = (0.005, 0.5)
"""Least and most of it that is believed."""
LIKELY = 0.6
"""Probability from which a prediction may be drawn back."""
DRAWN_BACK_PRECISION = 6.0
"""Precision of the share that likely predictions are drawn back by, before any came true or not."""
ERROR_OF_ODDS = 0.6
"""Squared error, in log odds, of likely predictions: a smaller excess over `LIKELY` is mostly error."""
EXCESS, EXCESS_WEIGHT = 1.0, 10.0
"""Mean square, in log odds, by which likely predictions exceed `LIKELY` before any is made, and the
predictions that it is worth."""
_NEWTON_STEPS, BINS = 4, 10


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
        said = expit(rows @ self.weights / np.sqrt(1 + np.pi * variance / 8))
        return np.clip(said, 1e-6, 1 - 1e-6)

    def update(self, rows: np.ndarray, happened: np.ndarray, worth: np.ndarray) -> None:
        """Learn from one day's outcomes, each of which counts as `worth` independent ones."""
        if not len(rows):
            return
        kept, given = MEMORY_OF_DAYS * self._precision, (1 - MEMORY_OF_DAYS) * self._prior_precision
        before = kept + given
        mean = np.linalg.solve(before, kept @ self.weights + given @ self._prior)
        weights, precision = mean.copy(), before
        for _ in range(_NEWTON_STEPS):
            said = expit(rows @ weights)
            precision = before + (rows * (worth * said * (1 - said))[:, None]).T @ rows
            slope = rows.T @ (worth * (said - happened)) + before @ (weights - mean)
            weights = weights - np.linalg.solve(precision, slope)
        self.weights, self._precision = weights, precision


class Calibration:
    """What a fleet's past days taught: weights of the features, and how far to trust high predictions.

    - Outcomes of one day go together (a storm, a holiday, an outage): how much is estimated from how far
      whole days came out better or worse than was said, and n outcomes of one day are worth n / (1 + (n - 1)
      of that correlation).
    - Whoever acts on the highest of many predictions acts on those that err upwards. So likely predictions
      are drawn back towards `LIKELY` by as much as the fleet's earlier ones said too much; as far as nothing
      is known of that, by the share of their excess that is error. Where a fleet's likely predictions barely
      exceed `LIKELY` (failures in bursts, delays) that is most of it, where they are near 1 next to nothing
      (Efron, *Tweedie's formula and selection bias*, JASA 106, 2011).
    """

    def __init__(self, weights: Sequence[float] = WEIGHTS, precision: Sequence[float] = PRECISION) -> None:
        """Begin with what other fleets taught."""
        self._learner = Learner(weights, precision)
        self._together, self._pairs = SAME_DAY * SAME_DAY_PAIRS, SAME_DAY_PAIRS
        self._seen_share, self._seen_precision = 0.0, 0.0
        self._excess, self._likely = EXCESS * EXCESS_WEIGHT, EXCESS_WEIGHT
        self._share = _expected_share(SAME_DAY, EXCESS)

    def __call__(self, rows: np.ndarray, view: Outlook) -> np.ndarray:
        """Return the probability of each row of features; 0 where the window has no failure."""
        return np.where(view.failing, self._drawn_back(self._learner.predict(rows)), 0.0)

    def learn(self, rows: np.ndarray, happened: np.ndarray, votes: np.ndarray) -> None:
        """Learn from one day's features and outcomes.

        `votes` is what each outcome counts (`states.votes_of`).
        """
        if not len(rows):
            return
        said = self._learner.predict(rows)
        same_day = self._correlate(said, happened, votes)
        self._judge(said, happened, votes, same_day)
        self._learner.update(rows, happened, votes / (1 + max(votes.sum() - 1, 0) * same_day))

    def _correlate(self, said: np.ndarray, happened: np.ndarray, votes: np.ndarray) -> float:
        """Add a day to the estimate of the correlation within days (by moments), and return it."""
        chance = said * (1 - said)
        alone = (votes**2 * chance).sum()
        kept, given = MEMORY_OF_DAYS, (1 - MEMORY_OF_DAYS) * SAME_DAY_PAIRS
        self._together = kept * self._together + given * SAME_DAY
        self._together += (votes * (happened - said)).sum() ** 2 - alone
        self._pairs = kept * self._pairs + given + (votes * np.sqrt(chance)).sum() ** 2 - alone
        return float(np.clip(self._together / self._pairs, *SAME_DAY_BOUNDS))

    def _judge(self, said: np.ndarray, happened: np.ndarray, votes: np.ndarray, same_day: float) -> None:
        """Learn by what share likely predictions said too much."""
        likely = said > LIKELY
        said, true, votes = said[likely], happened[likely], votes[likely]
        odds, beyond = logit(said), _beyond(said)
        kept, given = MEMORY_OF_DAYS, (1 - MEMORY_OF_DAYS) * EXCESS_WEIGHT
        self._excess = kept * self._excess + given * EXCESS + (votes * beyond**2).sum()
        self._likely = kept * self._likely + given + votes.sum()
        expected = _expected_share(same_day, self._excess / self._likely) * DRAWN_BACK_PRECISION
        before = kept * self._seen_precision + DRAWN_BACK_PRECISION
        mean = share = (kept * self._seen_share + expected) / before
        worth = votes / (1 + max(votes.sum() - 1, 0) * same_day)
        precision = before
        for _ in range(_NEWTON_STEPS):
            now = expit(odds - share * beyond)
            precision = before + (worth * beyond**2 * now * (1 - now)).sum()
            share += ((worth * beyond * (now - true)).sum() - before * (share - mean)) / precision
        self._seen_precision = precision - DRAWN_BACK_PRECISION
        self._seen_share = precision * share - expected
        self._share = float(share)

    def _drawn_back(self, said: np.ndarray) -> np.ndarray:
        return expit(logit(said) - np.clip(self._share, 0.0, 1.0) * _beyond(said))


def _expected_share(same_day: float, excess: float) -> float:
    """Return by what share likely predictions say too much, before any of a fleet came true or not.

    Args:
        same_day: correlation of two outcomes of one day: the effect that a day shares is averaged over.
        excess: mean square, in log odds, by which likely predictions exceed `LIKELY`.
    """
    variance = np.pi**2 / 3 * same_day / (1 - same_day)
    return float(1 - 1 / np.sqrt(1 + np.pi * variance / 8) + ERROR_OF_ODDS / (ERROR_OF_ODDS + excess))


def _beyond(said: np.ndarray) -> np.ndarray:
    """Return by how much, in log odds, each prediction exceeds `LIKELY`."""
    return np.maximum(logit(said) - logit(LIKELY), 0.0)


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


def calibrate(
    fleet: Fleet, days: int = REPLAYED_DAYS, *, start: Calibration | None = None
) -> tuple[Calibration, pd.DataFrame]:
    """Assess past days again, each from what was known by its end, and learn from each.

    Args:
        fleet: its last day is the last whose outcome is used.
        days: how many days to replay; those without any failure are left out.
        start: what is known before the first; what other fleets taught, where it is not given.

    Returns:
        What was learnt by the end of the last day; and `event_date, pattern_id, confidence_raw, confidence,
        happened` by day and pattern, where `confidence` is what was said with the calibration of its own day.

    Raises:
        ValueError: when a replayed day would have less than a week behind it.
    """
    if not 1 <= days <= HISTORY_DAYS - 7:
        raise ValueError(
            f"days={days}: must lie between 1 and {HISTORY_DAYS - 7}, so that each day has a week behind it"
        )
    backs = range(days, 0, -1)
    fleet.learn([0, *backs])
    came_true, is_known = fleet.outcomes()
    calibration, parts = start or Calibration(), []
    is_load_test = load_tests(fleet.facts().exposure.sum(axis=0))
    for back in backs:
        facts = fleet.facts(back)
        rows, view = features(facts, FleetPrior.of(facts, fleet.window), fleet.window, fleet.question)
        happened, known = came_true[:, -back], is_known[:, -back] & view.failing
        day = pd.DataFrame({"pattern_id": fleet.patterns, "confidence_raw": view.probability})
        day = day.assign(confidence=calibration(rows, view), happened=happened)
        day.insert(0, "event_date", pd.Timestamp(fleet.day - timedelta(days=back)))
        parts.append(day[known])
        if not is_load_test[-back]:
            calibration.learn(rows[known], happened[known], votes_of(facts.loudest[known]))
    return calibration, pd.concat(parts, ignore_index=True)


def reliability(
    predictions: Sequence[float] | np.ndarray,
    happened: Sequence[bool] | np.ndarray,
    *,
    threshold: float = 0.7,
) -> ReliabilityReport:
    """Compare predicted probabilities with what happened.

    A prediction from `threshold` on is a yes.

    Raises:
        ValueError: when the lengths differ.
    """
    predicted, observed = np.asarray(predictions, dtype=float), np.asarray(happened, dtype=bool)
    if predicted.shape != observed.shape:
        raise ValueError(
            f"{predicted.size} predictions beside {observed.size} outcomes: there must be one per prediction"
        )
    place = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    pairs = pd.DataFrame({"bin": place, "predicted": predicted, "observed": observed.astype(float)})
    table = pairs.groupby("bin", sort=True).agg(
        count=("predicted", "size"), predicted=("predicted", "mean"), observed=("observed", "mean")
    )
    table.insert(0, "low", table.index / BINS)
    table.insert(1, "high", (table.index + 1) / BINS)
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
