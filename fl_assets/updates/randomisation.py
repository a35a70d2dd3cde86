"""The randomisation test behind verdicts: draws of treated nodes, and spending the error over daily looks.

What goes here: draws, spending functions, boundaries. What does not: the measures (`updates/measures.py`).

Treated nodes were drawn by a keyed hash, so every draw of as many nodes was equally likely: a verdict
compares the effect with those of other draws (randomisation test: Fisher 1935; Rosenbaum, "Observational
Studies", 2002, ch. 2).
"""

import hashlib
import math
from itertools import combinations
from statistics import NormalDist

import numpy as np

DRAWS = 2000
"""Draws of treated nodes that the real one is compared with; all of them where there are fewer."""


def draws_of(treated: np.ndarray, strata: np.ndarray, seed: str) -> np.ndarray:
    """Return draws of treated nodes as booleans, (draws, nodes).

    The first is the real draw; the others have as many nodes of each stratum. Each stratum was drawn from
    separately.
    """
    made = treated.astype(bool)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    counts = [int(made[group].sum()) for group in groups]
    if len(groups) == 1 and math.comb(len(made), counts[0]) <= DRAWS:
        found = np.zeros((math.comb(len(made), counts[0]), len(made)), dtype=bool)
        for place, chosen in enumerate(combinations(range(len(made)), counts[0])):
            found[place, list(chosen)] = True
        own = int(np.flatnonzero((found == made).all(axis=1))[0])
        found[[0, own]] = found[[own, 0]]
        return found
    generator = np.random.default_rng(int(hashlib.sha256(f"draws\n{seed}".encode()).hexdigest()[:16], 16))
    found = np.zeros((DRAWS, len(made)), dtype=bool)
    rows = np.arange(DRAWS)[:, None]
    for group, count in zip(groups, counts, strict=True):
        order = np.argsort(generator.random((DRAWS, len(group))), axis=1)[:, :count]
        found[rows, group[order]] = True
    found[0] = made
    return found


def evenly(alpha: float, times: np.ndarray) -> np.ndarray:
    """Return the error spent by each time, a share of the stage: evenly, to find harm early."""
    return alpha * np.minimum(1.0, times)


def late(alpha: float, times: np.ndarray) -> np.ndarray:
    """Return the error spent by each time: little of it early, so that an effect must last.

    The O'Brien-Fleming type of Lan and DeMets (Biometrika 70, 1983): 2 - 2 Φ(z / √t), z the upper alpha / 2
    point.
    """
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2)
    return np.array(
        [2 - 2 * normal.cdf(z / math.sqrt(min(1.0, time))) if time > 0 else 0.0 for time in times]
    )


def boundaries(paths: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Return the value above which a draw crosses at each look, infinite while none may.

    The share of draws that have crossed by look k never exceeds `spent[k]`; draws with equal values cross
    together or not at all.

    Args:
        paths: (draws, looks); larger is more extreme.
        spent: Error that may be spent by each look.
    """
    values = np.where(np.isnan(paths), -np.inf, paths)
    alive = np.ones(len(values), dtype=bool)
    bounds = np.full(values.shape[1], np.inf)
    for look in range(values.shape[1]):
        allowed = math.floor(spent[look] * len(values) + 1e-9) - int((~alive).sum())
        if allowed <= 0:
            continue
        left = np.sort(values[alive, look])[::-1]
        if allowed >= len(left):
            continue
        bounds[look] = left[allowed]
        alive &= ~(values[:, look] > bounds[look])
    return bounds


def first_crossing(paths: np.ndarray, spent: np.ndarray) -> int | None:
    """Return the first look at which the real draw crosses."""
    crossed = np.flatnonzero(paths[0] > boundaries(paths, spent))
    return int(crossed[0]) if len(crossed) else None
