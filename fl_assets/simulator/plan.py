"""The plan of a simulated fleet: counts of calls, sessions and failures by node and day, drawn from a seed.

What does not go here: telemetry (`emit.py`), the record of planted failures (`truth.py`).

How often a planted failure happens on a node and day: `rate × level of the day × node factor × node-day
factor`, binomial in the calls there. Both factors are gamma with mean 1, which makes the counts
over-dispersed (negative binomial like), as real failure counts are. The level of a day is the failure's
shape:

    chronic      1 on every day
    new          0, then 1 on the last two to four days
    rising       from 0.15 to 1, as the square of time
    fixed        1, then 0 from about three fifths of the days on
    single_node  1 on every day, on the busiest node alone
    burst        1 on two days around two fifths of the days, 0 else
    rare         1, at a rate that gives 0.4 failures a day in the whole fleet, however large it is

Noise is one or two failures on one node at a time, of forty kinds, at most 20 incidents a day however large
the fleet is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from fl_assets.simulator.catalogue import (
    AGENT_SHARES,
    AGENTS,
    CALL_FAILURES,
    METHOD_INDEX,
    METHODS,
    NOISE,
    TALK_FAILURES,
    CallFailure,
    Shape,
    TalkFailure,
)

TURN_SHARE = 0.25
"""Share of the events that are turns of talk."""
TURNS_PER_SESSION = 4
WEEKDAYS = np.array([1.05, 1.08, 1.08, 1.06, 1.0, 0.87, 0.86])
SILENT_SHARE = 0.02
"""Share of node-days on which a node reports nothing."""
NODE_SHAPE, NODE_DAY_SHAPE = 5.0, 8.0
"""Gamma shapes of the two factors; their variances are the reciprocals."""
RATE_SIGMA = 0.2
"""How much a failure's rate differs from one seed to another, as the sigma of its logarithm."""
MAX_RATE = 0.95
RARE_PER_DAY = 0.4
NOISE_PER_CALL, MAX_NOISE_PER_DAY = 0.0017, 20.0
DEFAULT_END = date(2026, 10, 31)
REGIONS = (("eu-central", 0), ("us-east", 6), ("ap-south", -5), ("eu-west", 1))


@dataclass(frozen=True)
class FleetPlan:
    """Calls, sessions and failures of each node and day; D days, N nodes, M methods, A agents."""

    seed: int
    """Seed it was drawn from."""
    days: tuple[date, ...]
    """D days, oldest first."""
    nodes: tuple[str, ...]
    """N node names."""
    calls: np.ndarray
    """Calls, D × N × M."""
    turns: np.ndarray
    """Turns of talk, D × N × A."""
    sessions: np.ndarray
    """Sessions, D × N × A."""
    failures: np.ndarray
    """Failed calls of each planted failure, F × D × N × M."""
    affected: np.ndarray
    """Sessions that show each planted conversation failure, T × D × N."""
    noise: np.ndarray
    """Failed calls of each kind of noise, K × D × N."""
    levels: np.ndarray
    """Level of each planted failure on each day, (F + T) × D."""
    call_failures: tuple[CallFailure, ...]
    """The F planted failures in calls."""
    talk_failures: tuple[TalkFailure, ...]
    """The T planted failures in talk."""


def levels(shape: Shape, days: int, when: float = 0.5) -> np.ndarray:
    """Return the level of a shape on each day (see the module); `when`, 0 to 1, moves its turning point."""
    day = np.arange(days)
    if shape == "new":
        return (day >= max(min(1, days - 1), days - 2 - int(when * 3))).astype(float)
    if shape == "rising":
        return 0.15 + 0.85 * (day / (days - 1)) ** 2 if days > 1 else np.ones(1)
    if shape == "fixed":
        return (day < max(1, round(days * (0.45 + 0.3 * when)))).astype(float)
    if shape == "burst":
        start = min(int(days * (0.2 + 0.4 * when)), max(days - 3, 0))
        return ((day >= start) & (day < start + 2)).astype(float)
    return np.ones(days)


def plan_fleet(
    days: int,
    nodes: int,
    events_per_day: int,
    seed: int,
    *,
    end: date = DEFAULT_END,
    null: bool = False,
    more: tuple[CallFailure, ...] = (),
) -> FleetPlan:
    """Draw what each node does on each day.

    Args:
        days: Days, the last of them `end`.
        nodes: Nodes in the fleet.
        events_per_day: Events of the whole fleet a day, on average; the total is exact.
        seed: What everything is drawn from.
        end: Last day.
        null: Plant nothing; noise alone.
        more: Failures that are planted besides those of the catalogue.

    Raises:
        ValueError: naming the argument that is below 1.
    """
    for name, value in (("days", days), ("nodes", nodes), ("events_per_day", events_per_day)):
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
    rng = np.random.default_rng([seed, 0])
    calendar = tuple(end - timedelta(days=days - 1 - index) for index in range(days))
    names = tuple(
        f"{REGIONS[index % len(REGIONS)][0]}-{index // len(REGIONS) + 1:02d}" for index in range(nodes)
    )

    traffic = rng.lognormal(0, 0.5, nodes)
    is_reporting = rng.random((days, nodes)) >= SILENT_SHARE
    is_reporting[~is_reporting.any(axis=1)] = True
    share = WEEKDAYS[[day.weekday() for day in calendar]][:, None] * traffic * is_reporting
    events = rng.multinomial(days * events_per_day, (share / share.sum()).ravel()).reshape(days, nodes)

    turns = rng.multinomial(rng.binomial(events, TURN_SHARE), AGENT_SHARES)
    turns[turns < TURNS_PER_SESSION - 1] = 0  # too few for a conversation: those events are calls
    sessions = np.where(turns > 0, np.maximum(1, turns // TURNS_PER_SESSION), 0)
    weights = np.array([method.weight for method in METHODS])
    mix = rng.dirichlet(weights / weights.sum() * 150, nodes)
    calls = rng.multinomial(events - turns.sum(axis=2), mix)

    call_failures = () if null else (*CALL_FAILURES, *more)
    talk_failures = () if null else TALK_FAILURES
    of_calls, failures = _failing_calls(call_failures, calls, traffic, seed)
    noise = _noise(calls - failures.sum(axis=0), np.random.default_rng([seed, 2]))
    of_talk, affected = _affected_sessions(talk_failures, sessions, failures.sum(axis=(0, 3)), traffic, seed)
    return FleetPlan(
        seed=seed,
        days=calendar,
        nodes=names,
        calls=calls,
        turns=turns,
        sessions=sessions,
        failures=failures,
        affected=affected,
        noise=noise,
        levels=np.concatenate([of_calls, of_talk]),
        call_failures=call_failures,
        talk_failures=talk_failures,
    )


def _failing_calls(
    planted: Sequence[CallFailure], calls: np.ndarray, traffic: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each failure by day, and its failed calls by day, node and method."""
    left = calls.copy()
    days = len(calls)
    level = np.zeros((len(planted), days))
    failures = np.zeros((len(planted), *calls.shape), dtype=np.int32)
    for index, failure in enumerate(planted):
        own = np.random.default_rng([seed, 1, index])
        targets = [METHOD_INDEX[target] for target in failure.targets]
        level[index] = levels(failure.shape, days, own.random())
        rates = _rates(failure, level[index], left[:, :, targets].sum(axis=2), traffic, own)
        failures[index][:, :, targets] = own.binomial(left[:, :, targets], rates[:, :, None])
        left -= failures[index]
    return level, failures


def _affected_sessions(
    planted: Sequence[TalkFailure], sessions: np.ndarray, failed: np.ndarray, traffic: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of each failure of talk by day, and its sessions by day and node."""
    free = sessions.copy()
    days, nodes = failed.shape
    level = np.zeros((len(planted), days))
    affected = np.zeros((len(planted), days, nodes), dtype=np.int32)
    for index, failure in enumerate(planted):
        own = np.random.default_rng([seed, 3, index])
        left = free[:, :, AGENTS.index(failure.agent)]
        level[index] = levels(failure.shape, days, own.random())
        count = own.binomial(left, _rates(failure, level[index], left, traffic, own))
        if failure.signal == "confident_after_failure":  # needs a failed call each to be confident about
            count = np.minimum(count, failed)
        affected[index] = count
        left -= count
    return level, affected


def _rates(
    failure: CallFailure | TalkFailure,
    level: np.ndarray,
    calls: np.ndarray,
    traffic: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the probability (D × N) that a call or session has a failure."""
    days, nodes = calls.shape
    if failure.shape == "rare":
        return np.full((days, nodes), min(MAX_RATE, RARE_PER_DAY * days / max(1, calls.sum())))
    if failure.shape == "single_node":
        chosen = np.array([traffic.argmax()])
    else:
        few = failure.node_share > 1  # that many nodes, busy ones, or there would be nothing to see
        chosen = traffic.argsort()[nodes // 2 :] if few else np.arange(nodes)
        wanted = max(3, round(failure.node_share if few else failure.node_share * nodes))
        chosen = np.sort(rng.choice(chosen, min(len(chosen), wanted), replace=False))
    of_node = np.zeros(nodes)
    of_node[chosen] = (
        1.0 if failure.shape == "single_node" else rng.gamma(NODE_SHAPE, 1 / NODE_SHAPE, len(chosen))
    )
    of_node_day = rng.gamma(NODE_DAY_SHAPE, 1 / NODE_DAY_SHAPE, (days, nodes))
    rate = failure.rate * rng.lognormal(0, RATE_SIGMA)
    return np.minimum(MAX_RATE, rate * level[:, None] * of_node * of_node_day)


def _noise(left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw sporadic failures, K × D × N, out of the calls that are left (D × N × M)."""
    days, nodes, _ = left.shape
    noise = np.zeros((len(NOISE), days, nodes), dtype=np.int32)
    calls = left.sum(axis=2)
    incidents = rng.poisson(min(NOISE_PER_CALL * calls.sum(), MAX_NOISE_PER_DAY * days))
    cells = (
        rng.choice(days * nodes, incidents, p=(calls / max(1, calls.sum())).ravel())
        if calls.sum()
        else np.zeros(0, int)
    )
    kinds = rng.integers(len(NOISE), size=incidents)
    sizes = 1 + rng.poisson(0.5, incidents)
    np.add.at(noise.reshape(len(NOISE), -1), (kinds, cells), sizes)
    taken = np.zeros_like(left)
    for kind, source in enumerate(NOISE):
        method = METHOD_INDEX[source.service, source.method]
        noise[kind] = np.minimum(noise[kind], left[:, :, method] - taken[:, :, method])
        taken[:, :, method] += noise[kind]
    return noise
