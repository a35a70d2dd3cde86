"""Fit the weights that every fleet's learning begins with (`fl_assets/patterns/prior.py`), and print them.

    python benchmarks/fit_prior.py --counts DIR

Each kind of fleet weighs alike, friendly ones more, whatever its size. Seeds are those below 10 000, which no
figure of `benchmarks/confidence.py` uses.
"""

import argparse
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from counted_fleets import (
    REGIMES,
    CountedFleet,
    counts_until,
    draw_fleet,
    real_fleet,
    simulated_fleet,
    sources_in,
    stress_fleet,
)
from scipy.special import expit

from fl_assets.patterns.features import NAMES, features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import TWO_NODES, FleetPrior

SHARES = {"friendly": 6.0, "simulator": 3.0}
"""Weight of a kind of fleet; 1 where it is not named."""
PENALTY, STEPS = 3.0, 30


def pairs(fleet: CountedFleet, backs: range) -> tuple[np.ndarray, np.ndarray]:
    """Return features and outcomes of the days `backs` before a fleet's last."""
    rows, outcomes = [], []
    later = Fleet(*counts_until(fleet, fleet.end), day=fleet.end, window_days=fleet.window_days)
    for back in backs:
        day = fleet.end - timedelta(days=back)
        came_true, known = (values[:, -1] for values in later.outcomes())
        now = Fleet(*counts_until(fleet, day), day=day, window_days=fleet.window_days)
        found, view = features(now.facts(), FleetPrior.of(now.facts(), now.window), now.window, TWO_NODES)
        kept = known & view.failing
        rows.append(found[kept])
        outcomes.append(came_true[kept])
        later = now
    return np.concatenate(rows), np.concatenate(outcomes).astype(float)


def fit(rows: np.ndarray, outcomes: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge logistic regression, its constant all but free."""
    penalty = np.diag(np.r_[1e-3, np.full(rows.shape[1] - 1, PENALTY)])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        said = expit(rows @ weights)
        slope = rows.T @ (worth * (said - outcomes)) + penalty @ weights
        bend = (rows * (worth * said * (1 - said))[:, None]).T @ rows + penalty
        weights -= np.linalg.solve(bend, slope)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=Path, help="folder of real counts")
    parser.add_argument("--seeds", type=int, default=3, help="fleets of each kind (default: %(default)s)")
    arguments = parser.parse_args()
    kinds: dict[str, list[CountedFleet]] = {
        "friendly": [draw_fleet(seed) for seed in range(4 * arguments.seeds)],
        "simulator": [simulated_fleet(seed) for seed in range(2 * arguments.seeds)],
    }
    kinds |= {
        name: [stress_fleet(regime, seed) for seed in range(arguments.seeds)]
        for name, regime in REGIMES.items()
    }
    spans = dict.fromkeys(kinds, 33)
    for name in sources_in(arguments.counts) if arguments.counts else []:
        fleet = real_fleet(arguments.counts, name)
        kinds[name] = [fleet]
        spans[name] = (fleet.end - pd.to_datetime(fleet.counts.failures["event_date"]).min().date()).days - 1
    rows, outcomes, worth = [], [], []
    for name, fleets in kinds.items():
        found = [pairs(fleet, range(1, spans[name] + 1)) for fleet in fleets]
        rows += [part for part, _ in found]
        outcomes += [part for _, part in found]
        total = sum(len(part) for _, part in found)
        worth.append(np.full(total, 1000 * SHARES.get(name, 1.0) / total))
        print(f"{name}: {total} pairs")
    weights = fit(np.concatenate(rows), np.concatenate(outcomes), np.concatenate(worth))
    for name, weight in zip(NAMES, weights, strict=True):
        print(f'    ("{name}", {weight:.3f}),')


if __name__ == "__main__":
    main()
