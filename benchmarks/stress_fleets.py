"""Worlds that nobody planned for: each regime breaks one assumption of the model of confidence."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from counted_fleets import DAYS, END, CountedFleet, fleet_of


@dataclass(frozen=True)
class Regime:
    """How a stress world differs from a quiet fleet; each field at its default changes nothing.

    Attributes:
        nodes: fewest and most nodes.
        weekday: share of a failing pattern's level that is missing on its off days (three random weekdays).
        weekend_calls: share of the usual calls that is made at weekends.
        on_off: chances per day that a failing pattern pauses, and that it comes back.
        outages: short failures of 1 to 3 days on most nodes.
        retried_on: nodes that one request of noise is retried on by a load balancer.
        load_test: factor of all calls on one day in ten, without a further failure.
        growth: factor of all calls per day.
        shared_days: standard deviation of the logarithm of a factor that all failures of a day share.
        dispersion: shape of the gamma factor of a pattern's day; small is bursty.
        volume: failures per day of a pattern, as powers of ten.
        churn: share of the nodes that come or go during the 35 days.
        silent: share of the days on which nodes report nothing, and share of the nodes then.
    """

    nodes: tuple[int, int] = (8, 60)
    weekday: float = 0.0
    weekend_calls: float = 1.0
    on_off: tuple[float, float] | None = None
    outages: int = 2
    retried_on: int = 1
    load_test: float = 1.0
    growth: float = 1.0
    shared_days: float = 0.0
    dispersion: float = 12.0
    volume: tuple[float, float] = (0.3, 2.3)
    churn: float = 0.0
    silent: tuple[float, float] = (0.0, 0.0)


REGIMES = {
    "three_nodes": Regime(nodes=(3, 3)),
    "five_nodes": Regime(nodes=(5, 5)),
    "weekday": Regime(weekday=0.95),
    "on_off": Regime(on_off=(0.3, 0.35)),
    "quiet_weekends": Regime(weekend_calls=0.03),
    "outages": Regime(outages=25),
    "balanced_retries": Regime(retried_on=4),
    "load_tests": Regime(load_test=10.0),
    "growing": Regime(growth=1.08),
    "shrinking": Regime(growth=1 / 1.06),
    "storms": Regime(shared_days=0.8),
    "bursty": Regime(dispersion=0.7),
    "sparse": Regime(volume=(-0.5, 0.7)),
    "churn": Regime(churn=0.7),
    "mixed": Regime(
        nodes=(4, 40),
        weekday=0.5,
        weekend_calls=0.3,
        on_off=(0.12, 0.4),
        outages=8,
        retried_on=3,
        shared_days=0.4,
        dispersion=3.0,
        churn=0.3,
    ),
}

UNFITTED = {
    "two_nodes": Regime(nodes=(2, 2)),
    "huge": Regime(volume=(2.5, 4.0)),
    "gaps": Regime(silent=(0.2, 1.0)),
    "half_silent": Regime(silent=(0.3, 0.6)),
    "rollout": Regime(nodes=(4, 10), growth=1.2),
    "wild": Regime(volume=(1.0, 3.0), dispersion=0.3),
}
"""Regimes that are measured alone: what a fleet begins with was never fitted to them."""


def stress_fleet(regime: Regime, seed: int, *, null: bool = False) -> CountedFleet:
    """Draw a fleet of a regime; of 35 patterns most are chronic, some new, fixed, rare, or on one node."""
    rng = np.random.default_rng([seed, 80])
    nodes = int(rng.integers(regime.nodes[0], regime.nodes[1] + 1))
    weekday = np.array([(END - timedelta(days=DAYS - 1 - index)).weekday() for index in range(DAYS)])
    week = np.where(weekday >= 5, regime.weekend_calls, 1.0)
    tests = np.where(rng.random(DAYS) < 0.1, regime.load_test, 1.0)
    traffic = rng.lognormal(np.log(10 ** rng.uniform(1.7, 3.0)), 0.7, nodes)
    present = rng.random((DAYS, nodes)) >= rng.uniform(0, 0.05)
    turned = rng.integers(2, DAYS, nodes)
    comes, goes = rng.random((2, nodes)) < regime.churn / 2
    index = np.arange(DAYS)[:, None]
    present &= ~(comes & (index < turned)) & ~(goes & (index >= turned))
    silence = np.random.default_rng([seed, 81])
    share, part = regime.silent
    present &= ~((silence.random((DAYS, 1)) < share) & (silence.random((DAYS, nodes)) < part))
    trend = regime.growth ** (np.arange(DAYS) - DAYS / 2)
    calls = rng.poisson(traffic * (week * trend)[:, None]) * present
    extra = rng.poisson(traffic * (week * trend * (tests - 1))[:, None]) * present
    methods = [
        (rng.binomial(calls, share), rng.binomial(extra, share)) for share in rng.uniform(0.1, 0.9, 10)
    ]
    shared = rng.lognormal(-(regime.shared_days**2) / 2, regime.shared_days, DAYS)
    shapes = ["chronic"] * 18 + ["new"] * 7 + ["fixed"] * 4 + ["rare"] * 4 + ["single_node"] * 3
    shapes = [] if null else shapes + ["burst"] * regime.outages
    drawn: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    for shape in shapes:
        own, tested = methods[rng.integers(len(methods))]
        some = max(min(nodes, 3), round(nodes * (rng.beta(3, 1.5) if shape == "burst" else rng.beta(1, 2))))
        chosen = rng.choice(nodes, 1 if shape == "single_node" else some, replace=False)
        of_node = np.zeros(nodes)
        of_node[chosen] = rng.gamma(2.0, 0.5, chosen.size)
        start = int(rng.integers(1, DAYS - 2))
        if shape == "new":
            level = (np.arange(DAYS) >= start).astype(float)
        elif shape == "fixed":
            level = (np.arange(DAYS) < start).astype(float)
        elif shape == "burst":
            ends = start + rng.integers(1, 4)
            level = ((np.arange(DAYS) >= start) & (np.arange(DAYS) < ends)).astype(float)
        else:
            level = np.ones(DAYS)
        off = rng.choice(7, 3, replace=False)
        level *= np.where(np.isin(weekday, off), 1 - regime.weekday, 1.0)
        if regime.on_off and shape in ("chronic", "new"):
            level *= _markov(rng, *regime.on_off)
        volume = rng.uniform(*regime.volume) if shape != "burst" else rng.uniform(1.0, 2.5)
        mean = (own * of_node).sum() / DAYS
        rate = (10**volume if shape != "rare" else rng.uniform(0.1, 0.8)) / max(mean, 1e-9)
        daily = rng.gamma(regime.dispersion, 1 / regime.dispersion, DAYS) * shared
        cell = rng.gamma(4.0, 0.25, (DAYS, nodes))
        failed = rng.binomial(own, np.minimum(rate * (level * daily)[:, None] * of_node * cell, 0.9))
        drawn.append((shape, failed, failed, own + tested))
    kinds = int(rng.integers(20, 60)) if rng.random() < 0.5 else 0
    incidents = rng.poisson(rng.uniform(3, 25) * week)
    on = np.repeat(np.arange(DAYS), incidents)
    kind = rng.integers(kinds, size=on.size) if kinds else np.arange(on.size)
    requests: list[tuple[int, int]] = []
    for number in np.unique(kind):
        own, tested = methods[number % len(methods)]
        failed = np.zeros((DAYS, nodes), dtype=np.int64)
        for day in on[kind == number]:
            requests.append((len(drawn), int(day)))
            many = (
                min(nodes, regime.retried_on)
                if regime.retried_on == 1
                else rng.integers(1, regime.retried_on + 1)
            )
            places = rng.choice(nodes, min(int(many), nodes), replace=False, p=traffic / traffic.sum())
            failed[day, places] += 1
        failed = np.minimum(failed, own)
        drawn.append(("noise", failed, failed, own + tested))
    return fleet_of(drawn, calls + extra, requests)


def _markov(rng: np.random.Generator, pauses: float, returns: float) -> np.ndarray:
    """Return 1 on the days on which a pattern that pauses and comes back is on, else 0."""
    is_on, days = bool(rng.random() < returns / (pauses + returns)), []
    for draw in rng.random(DAYS):
        is_on = draw >= pauses if is_on else draw < returns
        days.append(float(is_on))
    return np.array(days)
