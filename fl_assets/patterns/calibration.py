"""Whether confidence keeps its word, and its correction from days whose next day is known.

What goes here: what came true, the map from raw to recalibrated confidence, and how both are measured.
What does not: the model behind the raw confidence (`confidence.py`) and drawing the report (the asset).

Everything about day D reads days up to D alone, so that no order of backfill can change it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from fl_assets.patterns.confidence import Fleet
from fl_assets.patterns.counts import HISTORY_DAYS, Counts

REPLAYED_DAYS = 14
"""Past days that a calibration is learned from."""
PLATT_PAIRS, PLATT_EITHER = 100, 15
"""Pairs of confidence and outcome from which the map is fitted at all, and how many of them must have come true, and not."""
ISOTONIC_PAIRS, ISOTONIC_EITHER = 1000, 150
"""The same for a free monotone map; below them it is a logistic curve."""
IDENTITY_WEIGHT = 40.0
"""Pairs that say `the raw confidence is right`, added to those seen, evenly over 0 to 1."""

_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Calibration:
    """A monotone map from raw to recalibrated confidence: straight lines between knots."""

    kind: Literal["identity", "platt", "isotonic"]
    pairs: int
    raw: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Return the recalibrated confidence of each raw one."""
        return np.interp(raw, self.raw, self.calibrated)


IDENTITY = Calibration(kind="identity", pairs=0, raw=(0.0, 1.0), calibrated=(0.0, 1.0))


@dataclass(frozen=True)
class ReliabilityReport:
    """How predictions and outcomes compare.

    `bins` has `low, high, count, predicted, observed`, one row a non-empty bin, equal in width. `ece` is the expected calibration error over those
    bins; `precision` and `recall` take a prediction at `threshold` or above as a yes, and are None where there is nothing to divide by.
    """

    pairs: int
    brier: float
    ece: float
    threshold: float
    precision: float | None
    recall: float | None
    bins: pd.DataFrame


def replay(
    counts: Counts, reporting: pd.DataFrame, *, day: date, window_days: int, days: int = REPLAYED_DAYS
) -> pd.DataFrame:
    """Assess the days before `day` again, each from what was known by its end, and say what came true.

    Args:
        counts: as for `assess`; rows after `day` are ignored.
        reporting: as for `assess`.
        day: the analysed day: the last whose outcome is used.
        window_days: days analysed together, the same for all replayed days.
        days: how many days to replay; those without any count are left out.

    Returns:
        `event_date, pattern_id, confidence_raw, confidence, happened`, by day and pattern; `confidence` uses the calibration of its own day.
    """
    return _replayed(
        Fleet(counts, reporting, day=day, window_days=window_days), day, days, with_confidence=True
    )


def calibrate(
    counts: Counts, reporting: pd.DataFrame, *, day: date, window_days: int, days: int = REPLAYED_DAYS
) -> Calibration:
    """Learn the calibration to `assess` a day with, from the days before it; arguments as for `replay`."""
    pairs = _replayed(
        Fleet(counts, reporting, day=day, window_days=window_days), day, days, with_confidence=False
    )
    return fit(pairs["confidence_raw"].to_numpy(), pairs["happened"].to_numpy())


def _replayed(fleet: Fleet, day: date, days: int, *, with_confidence: bool) -> pd.DataFrame:
    if not 1 <= days <= HISTORY_DAYS - 7:
        message = f"days={days}: must lie between 1 and {HISTORY_DAYS - 7}, so that each replayed day has a week behind it"
        raise ValueError(message)
    backs = list(range(days, 0, -1))
    fleet.learn([0, *backs])
    parts: list[pd.DataFrame] = []
    for back in backs:
        happened, known = fleet.outcome(back)
        raw = fleet.raw_confidence(back)
        part = pd.DataFrame(
            {
                "event_date": pd.Timestamp(day - timedelta(days=back)),
                "pattern_id": fleet.patterns,
                "confidence_raw": raw,
            }
        )
        if with_confidence:
            seen = pd.concat(parts) if parts else None
            # What happened to day `back + 1` is known at the end of day `back`, hence all parts so far.
            known_by_then = (
                IDENTITY
                if seen is None
                else fit(seen["confidence_raw"].to_numpy(), seen["happened"].to_numpy())
            )
            part["confidence"] = fleet.confidence(known_by_then, back)
        part["happened"] = happened
        parts.append(part[known])
    return pd.concat(parts, ignore_index=True)


def fit(raw: np.ndarray, happened: np.ndarray) -> Calibration:
    """Fit the monotone map from raw confidence to how often it came true.

    Too few pairs leave the confidence as it is; some give a logistic curve (Platt, 1999), drawn towards the identity; many a free monotone one
    (Zadrozny and Elkan, 2002), drawn towards it too.

    Args:
        raw: confidences between 0 and 1.
        happened: whether each came true.
    """
    raw, happened = np.asarray(raw, dtype=float), np.asarray(happened, dtype=float)
    either = min(happened.sum(), happened.size - happened.sum())
    if raw.size < PLATT_PAIRS or either < PLATT_EITHER:
        return Calibration(kind="identity", pairs=raw.size, raw=IDENTITY.raw, calibrated=IDENTITY.calibrated)
    values = np.concatenate([raw, _GRID])
    truth = np.concatenate([happened, _GRID])
    weight = np.concatenate([np.ones(raw.size), np.full(_GRID.size, IDENTITY_WEIGHT / _GRID.size)])
    order = np.lexsort((truth, values))
    values, truth, weight = values[order], truth[order], weight[order]
    if raw.size < ISOTONIC_PAIRS or either < ISOTONIC_EITHER:
        return Calibration(
            kind="platt",
            pairs=raw.size,
            raw=tuple(_GRID.tolist()),
            calibrated=tuple(_platt(values, truth, weight).tolist()),
        )
    from sklearn.isotonic import IsotonicRegression  # takes a second to import, and most commands fit nothing

    fitted = (
        IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        .fit(values, truth, sample_weight=weight)
        .predict(_GRID)
    )
    return Calibration(
        kind="isotonic",
        pairs=raw.size,
        raw=tuple(_GRID.tolist()),
        calibrated=tuple(np.maximum.accumulate(fitted).tolist()),
    )


def _platt(raw: np.ndarray, happened: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the best curve expit(a + b logit(raw)), b >= 0, on the grid."""
    from scipy.optimize import minimize  # as above

    bounded = logit(np.clip(raw, 0.005, 0.995))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        line = at[0] + at[1] * bounded
        error = weight * (expit(line) - happened)
        return float((weight * (np.logaddexp(0, line) - happened * line)).sum()), np.array(
            [error.sum(), (error * bounded).sum()]
        )

    best = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(-8, 8), (0, 8)]).x
    return expit(best[0] + best[1] * logit(np.clip(_GRID, 0.005, 0.995)))


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
        message = f"{predicted.size} predictions beside {observed.size} outcomes: there must be one outcome a prediction"
        raise ValueError(message)
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    table = (
        pd.DataFrame({"bin": place, "predicted": predicted, "observed": observed.astype(float)})
        .groupby("bin", sort=True)
        .agg(count=("predicted", "size"), predicted=("predicted", "mean"), observed=("observed", "mean"))
    )
    table.insert(0, "low", table.index / bins)
    table.insert(1, "high", (table.index + 1) / bins)
    said_yes = predicted >= threshold
    right = int((said_yes & observed).sum())
    return ReliabilityReport(
        pairs=predicted.size,
        brier=float(np.mean((predicted - observed) ** 2)) if predicted.size else 0.0,
        ece=float(
            (table["count"] * (table["predicted"] - table["observed"]).abs()).sum() / max(predicted.size, 1)
        ),
        threshold=threshold,
        precision=right / int(said_yes.sum()) if said_yes.any() else None,
        recall=right / int(observed.sum()) if observed.any() else None,
        bins=table.reset_index(drop=True),
    )
