"""Fit what a fleet's learning begins with (`fl_assets/patterns/prior.py`), and check it on fleets left out.

    python benchmarks/fit_prior.py --counts DIR [DIR …] [--check]

Prints a weight for each feature and by how much kinds of fleets differ in it: empirical Bayes, by EM over
kinds of fleets, each with weights of its own (Laplace approximation) drawn to the common ones. Outcomes of
one day count as fewer the more they go together. Seeds are those below 10 000, which no figure of
`benchmarks/confidence.py` uses. Real counts whose names differ by digits alone (`flights`, `flights2001`) are
one kind.

`--check` fits again without each kind of fleet in turn, predicts that kind with what the others taught, and
prints how it was calibrated: nothing that was learnt saw the fleets that it is measured on.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from counted_fleets import (
    CountedFleet,
    counts_until,
    draw_fleet,
    outcomes,
    real_fleet,
    simulated_fleet,
    sources_in,
)
from scipy.special import expit
from stress_fleets import REGIMES, stress_fleet

from fl_assets.patterns.calibration import REPLAYED_DAYS, Calibration, calibrate, reliability
from fl_assets.patterns.features import NAMES, features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import FleetPrior
from fl_assets.patterns.states import load_tests

Day = tuple[np.ndarray, np.ndarray]
"""Features and outcomes of one day's predictions."""
Fleets = list[tuple[str, CountedFleet, Sequence[int], Sequence[int]]]
"""Source, fleet, days before its last whose past is learnt from, days that are checked."""
TWICE = ("friendly", "simulator")
"""Kinds of fleets that weigh twice."""
SPREAD, SPREAD_KINDS = 0.05, 8.0
"""Variance between kinds before any is seen, and the kinds that it is worth."""
STEPS, NEWTON_STEPS, MOST_STEP, MOST = 20, 12, 3.0, 3000.0
"""Steps of EM, of each fit; most that one changes log odds by; outcomes that a kind counts as at most."""


def days_of(fleet: CountedFleet, backs: Sequence[int]) -> list[Day]:
    """Return features and outcomes of what a fleet learns from on the days `backs` before its last."""
    found = []
    for back in backs:
        day = fleet.end - timedelta(days=back)
        now = Fleet(*counts_until(fleet, day), day=day, window_days=fleet.window_days)
        now.learn(range(REPLAYED_DAYS + 1))
        came_true, known = now.outcomes()
        is_load_test = load_tests(now.facts().exposure.sum(axis=0))
        for ago in range(REPLAYED_DAYS, 0, -1):
            facts = now.facts(ago)
            rows, view = features(facts, FleetPrior.of(facts, now.window), now.window, now.question)
            kept = known[:, -ago] & view.failing
            if kept.any() and not is_load_test[-ago]:
                found.append((rows[kept], came_true[kept, -ago].astype(float)))
    return found


def independent(days: Sequence[Day]) -> np.ndarray:
    """Return what each outcome counts, less the more the outcomes of a day go together."""
    rows, outcomes = (np.concatenate(part) for part in zip(*days, strict=True))
    weights, _ = nearest(
        rows, outcomes, np.ones(len(rows)), np.zeros(rows.shape[1]), np.full(len(NAMES), 3.0)
    )
    together = pairs = 0.0
    for day, happened in days:
        said = expit(day @ weights)
        chance = said * (1 - said)
        together += (happened - said).sum() ** 2 - chance.sum()
        pairs += np.sqrt(chance).sum() ** 2 - chance.sum()
    same_day = np.clip(together / max(pairs, 1.0), 0.005, 0.5)
    worth = np.concatenate([np.full(len(day), 1 / (1 + (len(day) - 1) * same_day)) for day, _ in days])
    return worth * min(1.0, MOST / worth.sum())


def nearest(
    rows: np.ndarray, outcomes: np.ndarray, worth: np.ndarray, mean: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most likely weights under a Gaussian prior, and the variance of each."""
    weights, bend = mean.copy(), np.diag(precision)
    for _ in range(NEWTON_STEPS):
        said = expit(rows @ weights)
        bend = (rows * (worth * said * (1 - said))[:, None]).T @ rows + np.diag(precision)
        slope = rows.T @ (worth * (said - outcomes)) + precision * (weights - mean)
        step = np.linalg.solve(bend, slope)
        weights = weights - step / max(1.0, np.abs(rows @ step).max() / MOST_STEP)
    return weights, np.diag(np.linalg.inv(bend))


def fit(kinds: Mapping[str, Sequence[Day]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the common weights of kinds of fleets, and the variance between kinds of each."""
    known = {}
    for name, days in kinds.items():
        rows, outcomes = (np.concatenate(part) for part in zip(*days, strict=True))
        known[name] = rows, outcomes, independent(days)
    shares = np.array([2.0 if name in TWICE else 1.0 for name in known])
    mean, variance = np.zeros(len(NAMES)), np.full(len(NAMES), SPREAD)
    for _ in range(STEPS):
        found = [nearest(*data, mean, 1 / variance) for data in known.values()]
        weights, own = (np.array(part) for part in zip(*found, strict=True))
        apart = shares @ ((weights - mean) ** 2 + own)
        mean = shares @ weights / shares.sum()
        variance = (apart + SPREAD_KINDS * SPREAD) / (shares.sum() + SPREAD_KINDS)
    return mean, variance


def check(kind: str, fleets: Fleets, kinds: dict[str, list[Day]]) -> None:
    """Predict a kind of fleet with what the others taught, and print how each source was calibrated."""
    weights, variance = fit({other: days for other, days in kinds.items() if other != kind})
    for name in sorted({name for name, *_ in fleets}):
        said, happened = [], []
        for fleet, back in (
            (fleet, back) for own, fleet, _, backs in fleets if own == name for back in backs
        ):
            day = fleet.end - timedelta(days=back)
            now = Fleet(*counts_until(fleet, day), day=day, window_days=fleet.window_days)
            calibration, _ = calibrate(now, start=Calibration(weights, 1 / variance))
            facts = now.facts()
            rows, view = features(facts, FleetPrior.of(facts, now.window), now.window, now.question)
            later, _ = counts_until(fleet, day + timedelta(days=1))
            came = outcomes(later, day=day, window_days=fleet.window_days).set_index("pattern_id")["happened"]
            outcome = came.reindex(now.patterns).to_numpy(dtype=float)
            kept = np.isfinite(outcome) & view.failing
            said.append(calibration(rows, view)[kept])
            happened.append(outcome[kept].astype(bool))
        predicted, true = np.concatenate(said), np.concatenate(happened)
        report, likely = reliability(predicted, true), predicted >= 0.7
        means = (predicted[likely].mean(), true[likely].mean()) if likely.any() else (float("nan"),) * 2
        print(
            f"{name:18} n {len(true):6}  ECE {report.ece:.3f}  Brier {report.brier:.4f}  "
            f"of {likely.sum():5} of .7 and more said {means[0]:.3f}, true {means[1]:.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=Path, nargs="*", default=[], help="folders of real counts")
    parser.add_argument("--seeds", type=int, default=3, help="fleets of each kind (default: %(default)s)")
    parser.add_argument(
        "--every",
        type=int,
        default=3,
        help="real counts are checked every so many days (default: %(default)s)",
    )
    parser.add_argument("--check", action="store_true", help="also leave each kind out in turn")
    arguments = parser.parse_args()
    seeds, early, late = range(arguments.seeds), (1, 2, 5, 9, 14, 20, 27, 31, 33), range(1, 20, 2)
    more = range(5 * arguments.seeds // 3)
    fleets: dict[str, Fleets] = {
        "friendly": [("friendly", draw_fleet(seed), (1, 21), early) for seed in more],
        "simulator": [("simulator", simulated_fleet(seed), (1, 21), early) for seed in more],
    }
    for name, regime in REGIMES.items():
        fleets[name] = [(name, stress_fleet(regime, seed), (1, 21), late) for seed in seeds]
    for folder in arguments.counts:
        for name in sources_in(folder):
            fleet = real_fleet(folder, name)
            first = pd.to_datetime(fleet.counts.failures["event_date"]).min().date()
            days = (fleet.end - first).days
            one = (name, fleet, range(0, days, REPLAYED_DAYS), range(1, days, arguments.every))
            fleets.setdefault(name.rstrip("0123456789"), []).append(one)
    kinds = {
        kind: [day for _, fleet, backs, _ in drawn for day in days_of(fleet, backs)]
        for kind, drawn in fleets.items()
    }
    weights, variance = fit(kinds)
    for name, weight, spread in zip(NAMES, weights, np.sqrt(variance), strict=True):
        print(f'    ("{name}", {weight:.3f}, {spread:.3f}),', flush=True)
    if arguments.check:
        for kind, drawn in fleets.items():
            check(kind, drawn, kinds)


if __name__ == "__main__":
    main()
