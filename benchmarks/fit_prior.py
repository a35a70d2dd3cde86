"""Fit what a fleet's learning begins with (`fl_assets/patterns/prior.py`), and check it on fleets left out.

    python benchmarks/fit_prior.py --counts DIR [DIR …] [--check]

Prints a weight for each feature and by how much kinds of fleets differ in it: empirical Bayes, by EM over
kinds of fleets, each with weights of its own (Laplace approximation) drawn to the common ones. Outcomes of
one day count as fewer the more they go together. Seeds are those below 10 000, which no figure of
`benchmarks/confidence.py` uses.

`--check` fits again without each kind of fleet in turn, predicts that kind with what the others taught, and
prints how it was calibrated: nothing that was learnt saw the fleets that it is measured on.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from counted_fleets import CountedFleet, counts_until, draw_fleet, real_fleet, simulated_fleet, sources_in
from scipy.special import expit
from stress_fleets import REGIMES, stress_fleet

from fl_assets.patterns.calibration import Calibration, calibrate, reliability
from fl_assets.patterns.features import NAMES, features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import FleetPrior

Day = tuple[np.ndarray, np.ndarray]
"""Features and outcomes of one day's predictions."""
TWICE = ("friendly", "simulator")
"""Kinds of fleets that weigh twice."""
SPREAD, SPREAD_KINDS = 0.05, 8.0
"""Variance between kinds before any is seen, and the kinds that it is worth."""
STEPS, NEWTON_STEPS, MOST = 20, 8, 3000.0
"""Steps of EM, of each fit; independent outcomes that a kind counts as at most."""


def assessed(fleet: CountedFleet, backs: Sequence[int]) -> Iterator[tuple[Fleet, np.ndarray]]:
    """Yield the fleet as of each of the days `backs` before its last; its outcomes, NaN where unknown."""
    for back in backs:
        day = fleet.end - timedelta(days=back)
        now = Fleet(*counts_until(fleet, day), day=day, window_days=fleet.window_days)
        after = day + timedelta(days=1)
        later = Fleet(*counts_until(fleet, after), day=after, window_days=fleet.window_days)
        came_true, known = (values[:, -1] for values in later.outcomes())
        yield now, np.where(known, came_true, np.nan)


def days_of(fleet: CountedFleet, backs: Sequence[int]) -> list[Day]:
    """Return features and outcomes of the days `backs` before a fleet's last."""
    found = []
    for now, outcomes in assessed(fleet, backs):
        facts = now.facts()
        rows, view = features(facts, FleetPrior.of(facts, now.window), now.window, now.question)
        kept = np.isfinite(outcomes) & view.failing
        found.append((rows[kept], outcomes[kept]))
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
        weights = weights - np.linalg.solve(bend, slope)
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


def check(
    name: str, fleets: Sequence[CountedFleet], backs: Sequence[int], kinds: dict[str, list[Day]]
) -> None:
    """Predict a kind of fleet with what the others taught, and print how it was calibrated."""
    weights, variance = fit({other: days for other, days in kinds.items() if other != name})
    said, happened = [], []
    for fleet in fleets:
        for now, outcomes in assessed(fleet, backs):
            calibration, _ = calibrate(now, start=Calibration(weights, 1 / variance))
            facts = now.facts()
            rows, view = features(facts, FleetPrior.of(facts, now.window), now.window, now.question)
            kept = np.isfinite(outcomes) & view.failing
            said.append(calibration(rows, view)[kept])
            happened.append(outcomes[kept].astype(bool))
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
        "--every", type=int, default=3, help="of real counts, every so many days (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="also leave each kind out in turn")
    arguments = parser.parse_args()
    seeds, early, late = range(arguments.seeds), (1, 2, 5, 9, 14, 20, 27, 31, 33), range(1, 20, 2)
    fleets = {
        "friendly": ([draw_fleet(seed) for seed in range(5 * arguments.seeds // 3)], early),
        "simulator": ([simulated_fleet(seed) for seed in range(5 * arguments.seeds // 3)], early),
    }
    fleets |= {
        name: ([stress_fleet(regime, seed) for seed in seeds], late) for name, regime in REGIMES.items()
    }
    for folder in arguments.counts:
        for name in sources_in(folder):
            fleet = real_fleet(folder, name)
            first = pd.to_datetime(fleet.counts.failures["event_date"]).min().date()
            fleets[name] = [fleet], range(1, (fleet.end - first).days, arguments.every)
    kinds = {
        name: [day for fleet in drawn for day in days_of(fleet, backs)]
        for name, (drawn, backs) in fleets.items()
    }
    weights, variance = fit(kinds)
    for name, weight, spread in zip(NAMES, weights, np.sqrt(variance), strict=True):
        print(f'    ("{name}", {weight:.3f}, {spread:.3f}),')
    if arguments.check:
        for name, (drawn, backs) in fleets.items():
            check(name, drawn, backs, kinds)


if __name__ == "__main__":
    main()
