"""Trials on simulated fleets whose truth is known: verdicts, attacks, what lasts, and in which order trials
prevent most.

    python benchmarks/outcomes.py [--fleets 100] [--seed 20261124] [--days 14] [--only NAME]

Each fleet runs one trial as the product does (`updates/canary.py`, `updates/outcomes.py`): a tenth of the
nodes for the safety look, then half of them, then all but those held back, judged every day. Fleets have 12
to 120 nodes. Nodes differ in traffic (log-normal, sigma 0.6) and rate (sigma 0.7), drift after the release
whether they took the change or not (sigma 0.2), and vary from day to day beyond binomial noise (sigma 0.3); a
common day effect wanders (autoregressive, sigma 0.25, with a weekly wave), and one node of every fourth fleet
has a bad day. Base rates lie between 1 % and 10 %. The simulator shares no code with the judge, and the
default seed was not looked at while the judge was made.

Scenarios beside the plain effects (50 % or 20 % fewer failures in the end, none, 20 % more; 1 000 or 50
requests a node and day):

    retry        the change retries: requests that fail in the end fall to 3.7 %; events are made, and counted
    by `updates/ends.py` dilution     no effect, and 25 % more, or twice as many, successful calls of the same
    requests; made and counted as events, too elsewhere    the target falls by half, and all failures rise by
    22 % novelty      a node that takes the change fails half as often for two days, then as before, or then
    20 % more captured     3 of 15 nodes chose their names so that a public hash would make them canary nodes,
    and report no failure; the change
                 does 20 % harm
    liar         one treated node reports no failure at all (no effect), or fails each request (50 % fewer)
    newcomers    half of the nodes have no past
    forty        20 % fewer failures, 40 nodes

The order of trials is tried in a world of its own: 20 patterns, 60 nodes, 120 days (`failures_avoided`). The
baseline of verdicts compares the canary nodes' rate before and after; that of the order is the hash order,
one trial at a time on all nodes. The last line printed is JSON, shares of
fleets: helpful means the 50 % effect at 1 000 requests, promoted within 10 days; harmful and useless are the
worse of the two traffics.
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from fl_assets.updates.canary import TrialNodes, draw_nodes
from fl_assets.updates.ends import ends_sql
from fl_assets.updates.lessons import Lesson, benefit, learn
from fl_assets.updates.outcomes import judge
from fl_assets.updates.trial import BASELINE_DAYS, WATCH_DAYS, Trial, days_of_stage

START = date(2026, 11, 15)
EFFECTS = {"50 % fewer": 0.5, "20 % fewer": 0.8, "none": 1.0, "20 % more": 1.2}
TRAFFIC = (1000, 50)
Change = Callable[[np.ndarray], np.ndarray]
"""Days since a node took the change (from 1) to the factor on its failures."""


@dataclass
class World:
    """A fleet without the change.

    Log rates and requests by node and day, days from BASELINE_DAYS before the release on.
    """

    random: np.random.Generator
    names: list[str]
    requests: np.ndarray
    log_rate: np.ndarray
    p95: np.ndarray
    liars: dict[str, float] = field(default_factory=dict)
    newcomers: frozenset[str] = frozenset()
    other_factor: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    @classmethod
    def make(cls, random: np.random.Generator, *, nodes: int, traffic: int, days: int) -> "World":
        """Draw a fleet."""
        span = BASELINE_DAYS + 1 + days
        after = np.arange(span) > BASELINE_DAYS
        wander = np.zeros(span)
        for day in range(1, span):
            wander[day] = 0.7 * wander[day - 1] + random.normal(0, 0.25 * np.sqrt(1 - 0.49))
        wander += 0.15 * np.sin(2 * np.pi * (np.arange(span) + random.integers(7)) / 7)
        size = np.exp(random.normal(0, 0.6, nodes))
        requests = random.poisson(
            traffic * (size / size.mean())[:, None] * np.exp(random.normal(0, 0.15, (nodes, span)))
        )
        base = np.exp(random.uniform(np.log(0.01), np.log(0.1)))
        log_rate = np.log(base) + random.normal(0, 0.7, nodes)[:, None] - 0.7**2 / 2 + wander[None, :]
        log_rate = (
            log_rate + random.normal(0, 0.2, nodes)[:, None] * after + random.normal(0, 0.3, (nodes, span))
        )
        if random.random() < 0.25:
            log_rate[random.integers(nodes), random.integers(span)] += np.log(5)
        p95 = 900 * np.exp(
            random.normal(0, 0.5, nodes)[:, None]
            + 0.3 * wander[None, :]
            + random.normal(0, 0.1, (nodes, span))
        )
        names = [f"node-{number:03d}" for number in range(nodes)]
        missed = random.random((nodes, span)) < 0.01  # now and then a node misses a day
        return cls(random, names, np.where(missed, 0, requests), log_rate, p95)

    def observe(self, change: Change, taken: np.ndarray, days: slice) -> pd.DataFrame:
        """Draw what nodes report on some days.

        Args:
            change: What the change does.
            taken: Day (as index) on which each node took it; a large number for never.
            days: Indices.
        """
        index = np.arange(self.requests.shape[1])[days]
        since = np.maximum(0, index[None, :] - taken[:, None])
        factor = np.where(since > 0, change(since), 1.0)
        requests = self.requests[:, days]
        failed = self.random.binomial(requests, np.minimum(0.6, np.exp(self.log_rate[:, days]) * factor))
        other_rate = np.minimum(0.3, 0.03 * np.exp(self.random.normal(0, 0.4, requests.shape)))
        if self.other_factor:
            other_rate = np.minimum(
                0.6,
                self.other_factor(np.exp(self.log_rate[:, days]), other_rate) * (since > 0)
                + other_rate * (since == 0),
            )
        other = self.random.binomial(requests, other_rate)
        for name, share in self.liars.items():
            node = self.names.index(name)
            failed[node] = np.where(since[node] > 0, share * requests[node], failed[node])
            other[node] = np.where(since[node] > 0, 0, other[node])
        frame = pd.DataFrame(
            {
                "node_id": np.repeat(self.names, len(index)),
                "event_date": [START + timedelta(days=int(day) - BASELINE_DAYS) for day in index]
                * len(self.names),
                "failures": failed.ravel().astype(float),
                "calls": requests.ravel().astype(float),
                "all_failures": np.minimum(failed + other, requests).ravel().astype(float),
                "all_calls": requests.ravel().astype(float),
                "p95_ms": self.p95[:, days].ravel(),
            }
        )
        is_new = frame["node_id"].isin(self.newcomers) & (frame["event_date"] < START - timedelta(days=1))
        return frame[(frame["calls"] > 0) & ~is_new]


@dataclass(frozen=True)
class Ended:
    """How a trial ended.

    The finding, the day after the release, and whether a promoted change was still in force after the watch.
    """

    finding: str
    day: int
    is_kept: bool = False

    @property
    def is_promoted(self) -> bool:
        """Whether all nodes got the change."""
        return self.finding == "better"


def run_trial(world: World, nodes: TrialNodes, change: Change, days: int, *, watch: bool = False) -> Ended:
    """Run one trial as the product does, and return how it ended."""
    names, never = np.array(world.names), 10**6
    decision = f"{world.random.integers(2**63):016x}"
    taken = np.where(np.isin(names, nodes.canary), BASELINE_DAYS, never)
    canary_days = days_of_stage("canary", days)
    half_on = BASELINE_DAYS + canary_days + 1
    counts = world.observe(change, taken, slice(0, half_on + 1))
    canary = Trial(decision, nodes.canary, tuple(sorted({*world.names} - {*nodes.canary})), START, "canary")
    canary = replace(canary, newcomers=world.newcomers)
    found = judge(counts, canary, day=START + timedelta(days=canary_days), max_days=days, interval=False)
    if found.finding != "safe":
        return Ended(found.finding, (found.decided_on - START).days if found.decided_on else canary_days)
    taken = np.where((taken == never) & np.isin(names, nodes.half), half_on, taken)
    later = world.observe(change, taken, slice(half_on + 1, BASELINE_DAYS + days + 1))
    counts = pd.concat([counts, later])
    since = START + timedelta(days=canary_days + 1)
    half = Trial(decision, nodes.half, nodes.rest, START, "half", since, newcomers=world.newcomers)
    found = judge(counts, half, day=START + timedelta(days=days), max_days=days, interval=False)
    ended = Ended(found.finding, (found.decided_on - START).days if found.decided_on else days)
    if not ended.is_promoted or not watch:
        return ended
    on = BASELINE_DAYS + ended.day + 1
    counts = counts[counts["event_date"] <= START + timedelta(days=ended.day)]
    taken = np.where((taken == never) & ~np.isin(names, nodes.held_back), on, taken)
    counts = pd.concat([counts, world.observe(change, taken, slice(on + 1, on + 1 + WATCH_DAYS))])
    promoted_on = START + timedelta(days=ended.day + 1)
    treated = tuple(sorted({*world.names} - {*nodes.held_back}))
    watched = Trial(
        decision, treated, nodes.held_back, START, "watch", promoted_on, found.effect.ratio, world.newcomers
    )
    last = judge(counts, watched, day=promoted_on + timedelta(days=WATCH_DAYS), max_days=days, interval=False)
    return replace(ended, is_kept=last.finding == "kept")


def drawn(world: World) -> TrialNodes:
    """Draw the nodes of a trial with a key that nobody knows.

    Every run of the benchmark draws with the same ones.
    """
    established = set(world.names) - world.newcomers
    key = world.random.bytes(32)
    return draw_nodes(key, "d", established, world.newcomers, share=0.1, minimum=3)


def always(factor: float) -> Change:
    """A change that multiplies failures by one factor."""
    return lambda since: np.full(since.shape, factor)


def for_two_days(first: float, then: float) -> Change:
    """A change that does one thing on the first two days of a node, and another after them."""
    return lambda since: np.where(since <= 2, first, then)


def nodes_of_a_fleet(random: np.random.Generator) -> int:
    """Draw how many nodes a fleet has."""
    return int(random.choice([12, 20, 40, 80, 120]))


# Scenarios
# ----------------------------------------------------------------------------------------------------


def plain(
    random: np.random.Generator, effect: float, traffic: int, days: int, *, nodes: int = 0
) -> tuple[Ended, str, int]:
    """Run a trial of one effect; return how it ended, and what the baseline says and when."""
    world = World.make(random, nodes=nodes or nodes_of_a_fleet(random), traffic=traffic, days=days)
    chosen = drawn(world)
    state = random.bit_generator.state
    ended = run_trial(world, chosen, always(effect), days)
    random.bit_generator.state = state
    taken = np.where(np.isin(world.names, chosen.canary), BASELINE_DAYS, 10**6)
    counts = world.observe(always(effect), taken, slice(0, BASELINE_DAYS + days + 1))
    return ended, *before_after(counts, chosen.canary, days)


def before_after(counts: pd.DataFrame, canary: tuple[str, ...], days: int) -> tuple[str, int]:
    """Return the baseline's verdict and its day.

    The canary nodes' rate against their own before, with fixed thresholds.
    """
    own = counts[counts["node_id"].isin(canary)].groupby("event_date")[["failures", "calls"]].sum()
    earlier, later = own[own.index < START].sum(), own[own.index > START].cumsum()
    before = (earlier["failures"] + 0.5) / (earlier["calls"] + 1)
    for day, row in later.iterrows():
        ratio = (row["failures"] + 0.5) / (row["calls"] + 1) / before
        if ratio < 0.9 or ratio > 1.1:
            return ("better" if ratio < 0.9 else "worse"), (day - START).days
    return "inconclusive", days


def with_events(random: np.random.Generator, days: int, *, mended: float, attempts: float) -> Ended:
    """Run a trial of a change that acts on calls: events are made and counted as the product counts them.

    Args:
        random: What is drawn from.
        days: Days of the trial.
        mended: Share of the failing requests that the change makes succeed in the end, by calls after the
            failed one.
        attempts: Further successful calls for each request.
    """
    world = World.make(random, nodes=int(random.choice([12, 20, 40])), traffic=60, days=days)
    chosen = drawn(world)

    def counted(
        change: Change, taken: np.ndarray, part: slice, plain: Callable = World.observe
    ) -> pd.DataFrame:
        counts = plain(world, change, taken, part)
        index = (
            pd.to_datetime(counts["event_date"]) - pd.Timestamp(START)
        ).dt.days.to_numpy() + BASELINE_DAYS
        has = index > taken[[world.names.index(name) for name in counts["node_id"]]]
        return as_the_product_counts(random, counts, has, mended, attempts)

    world.observe = counted  # type: ignore[method-assign]
    return run_trial(world, chosen, always(1.0), days)


def as_the_product_counts(
    random: np.random.Generator, counts: pd.DataFrame, has: np.ndarray, mended: float, attempts: float
) -> pd.DataFrame:
    """Make the calls behind counts of requests, with what the change adds on nodes that have it, and count
    how they ended.
    """
    requests = counts["calls"].to_numpy(dtype=int)
    cell = np.repeat(np.arange(len(counts)), requests)
    place = np.arange(len(cell)) - np.repeat(requests.cumsum() - requests, requests)
    fails = place < counts["failures"].to_numpy()[cell]
    first = pd.DataFrame({"cell": cell, "request": np.arange(len(cell)), "success": ~fails, "step": 0})
    is_mended = fails & has[cell] & (random.random(len(cell)) < mended)
    more = has[cell] & ~fails
    extra = [first[is_mended].assign(success=True, step=1)]
    for round_ in range(math.ceil(attempts)):
        extra.append(first[more & (random.random(len(cell)) < attempts - round_)].assign(step=1 + round_))
    calls = pd.concat([first, *extra], ignore_index=True)
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.register("calls", calls)
        connection.register(
            "cells", counts.assign(cell=np.arange(len(counts)))[["cell", "node_id", "event_date"]]
        )
        connection.execute("""
            create table traces as select event_date::date as event_date, row_number() over ()::varchar
                as event_id, node_id,
                'search' as service, 'query' as method, request::varchar as trace_id,
                event_date::timestamp + to_seconds(step) as timestamp, 10.0 as duration_ms, success,
                case when not success then 'request timed out' end as error, null::varchar as caused_by,
                    '{}'::json as metadata
            from calls join cells using (cell)""")
        connection.execute("create table logs (trace_id varchar, session_id varchar)")
        ended = connection.sql(f"""
            select node_id, event_date, sum(sessions) as calls,
                coalesce(sum(sessions) filter (message_id is not null), 0) as failures
            from ({ends_sql("traces", "logs")}) where service is not null group by all""").df()
    keys = ["node_id", "event_date"]
    ended["event_date"] = pd.to_datetime(ended["event_date"]).dt.date
    other = (counts["all_failures"] - counts["failures"]).clip(lower=0)
    found = counts[[*keys, "all_calls", "p95_ms"]].assign(other=other).merge(ended, on=keys)
    found["all_failures"] = np.minimum(found["failures"] + found["other"], found["all_calls"])
    return found.drop(columns="other").astype({"failures": float, "calls": float})


def elsewhere(random: np.random.Generator, days: int) -> Ended:
    """The target falls by half, and other failures rise so that all together are 22 % more."""
    world = World.make(random, nodes=nodes_of_a_fleet(random), traffic=1000, days=days)
    world.other_factor = lambda target, other: 1.22 * (target + other) - 0.5 * target
    return run_trial(world, drawn(world), always(0.5), days)


def novelty(random: np.random.Generator, days: int, then: float) -> Ended:
    """The change helps every node for two days."""
    world = World.make(random, nodes=nodes_of_a_fleet(random), traffic=1000, days=days + WATCH_DAYS + 1)
    return run_trial(world, drawn(world), for_two_days(0.5, then), days, watch=True)


def captured(random: np.random.Generator, days: int) -> Ended:
    """Three of fifteen nodes chose names that a public hash of decision and node would draw, and lie.

    The change does 20 % harm.
    """
    world = World.make(random, nodes=15, traffic=1000, days=days)

    def public(name: str) -> bytes:
        return hashlib.sha256(f"canary\nd\n{name}".encode()).digest()

    lowest = min(public(name) for name in world.names[3:])
    for place in range(3):
        ground = (f"node-x{place}-{serial}" for serial in range(10**6))
        world.names[place] = next(name for name in ground if public(name) < lowest)
    world.liars = dict.fromkeys(world.names[:3], 0.0)
    return run_trial(world, drawn(world), always(1.2), days)


def with_liar(random: np.random.Generator, days: int, effect: float, says: float) -> Ended:
    """One treated node reports what it likes."""
    world = World.make(random, nodes=nodes_of_a_fleet(random), traffic=1000, days=days)
    chosen = drawn(world)
    world.liars = {chosen.canary[0]: says}
    return run_trial(world, chosen, always(effect), days)


def with_newcomers(random: np.random.Generator, days: int, effect: float) -> Ended:
    """Half of the nodes began to report a day before the release."""
    world = World.make(random, nodes=int(random.choice([20, 40, 80, 120])), traffic=1000, days=days)
    world.newcomers = frozenset(random.choice(world.names, len(world.names) // 2, replace=False).tolist())
    return run_trial(world, drawn(world), always(effect), days)


# The order of trials
# ----------------------------------------------------------------------------------------------------

PATTERNS, FLEET_NODES, WORLD_DAYS, REMEDIES = 20, 60, 120, 8


def avoided(random: np.random.Generator, order: str, days: int) -> float:
    """Return the share of all failures of WORLD_DAYS that promoted changes avoid, in one fleet.

    A pattern's failures a day are log-normal (sigma 1.5); it goes on each day with a probability of its own;
    its confidence says how likely it is there in a fortnight. Its remedy (one of eight, each of which helps
    with a probability of its own) prevents 20 % to 80 %, or nothing. A trial on n nodes finds an effect with
    the power that the normal distribution gives it, on the day that the late spending of error allows.
    """
    volume = np.exp(random.normal(4, 1.5, PATTERNS))
    stays = 1 - np.exp(random.uniform(np.log(0.002), np.log(0.05), PATTERNS))
    remedy = random.integers(REMEDIES, size=PATTERNS)
    chance = random.beta(1, 1.5, REMEDIES)[remedy]
    reduction = np.where(random.random(PATTERNS) < chance, random.uniform(0.2, 0.8, PATTERNS), 0.0)
    rank = random.permutation(PATTERNS)
    live, factor = np.ones(PATTERNS, bool), np.ones(PATTERNS)
    running: dict[int, tuple[float, bool, int]] = {}
    lessons: list[Lesson] = []
    tried = np.zeros(PATTERNS, int)
    total = prevented = 0.0
    for day in range(WORLD_DAYS):
        live &= random.random(PATTERNS) < stays
        total += float((volume * live).sum())
        prevented += float((volume * live * (1 - factor)).sum())
        for pattern, (until, helps, _) in list(running.items()):
            if day >= until:
                del running[pattern]
                effect = 1 - reduction[pattern] if helps else 1.0
                factor[pattern] = effect if helps else 1.0
                ended = "better" if helps else "inconclusive"
                lessons.append(
                    Lesson(str(pattern), str(pattern), str(remedy[pattern]), ended, "c", effect, 0.8)
                )
        known = learn(lessons)
        waiting = [
            one
            for one in range(PATTERNS)
            if live[one] and one not in running and factor[one] == 1 and tried[one] < 2
        ]
        worth = {
            one: benefit(
                failures_a_day=float(volume[one]),
                persists=float(stays[one] ** 14),
                helps=known.helps(str(remedy[one]), "c"),
                nodes=FLEET_NODES,
                minimum=3,
                max_days=days,
            )
            for one in waiting
        }
        waiting.sort(key=lambda one: rank[one] if order == "hash" else -worth[one].value)
        for one in waiting:
            free = FLEET_NODES - sum(nodes for _, _, nodes in running.values())
            nodes = FLEET_NODES if order == "hash" else worth[one].nodes
            if nodes > free:
                break
            effect = -math.log(1 - reduction[one]) if reduction[one] else 0.0
            spread = math.sqrt(4 * (0.11 + 1 / max(0.05, volume[one] / FLEET_NODES * days)) / nodes)
            found = random.normal(effect / spread, 1) > 1.645
            share = min(1.0, max(0.36, 1.645 / max(0.1, effect / spread)))
            length = (
                days_of_stage("canary", days) + 1 + days_of_stage("half", days) * (share if found else 1.0)
            )
            running[one] = (day + length, bool(found and effect), nodes)
            tried[one] += 1
    return prevented / max(total, 1e-9)


def main() -> None:
    """Print a table of shares by effect, traffic and judge, the scenarios, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fleets", type=int, default=100, help="fleets per effect, traffic and scenario")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument(
        "--only", default="", help="run the scenarios whose names begin so, and print no JSON"
    )
    given = parser.parse_args()
    began = time.process_time()
    found: dict[str, list[Ended]] = {}
    baseline: dict[str, list[tuple[str, int]]] = {}
    fleets, days = given.fleets, given.days

    def run(name: str, trial: Callable[[np.random.Generator], Ended | tuple[Ended, str, int]]) -> None:
        if not name.startswith(given.only):
            return
        random = np.random.default_rng([given.seed, int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)])
        results = [trial(random) for _ in range(fleets)]
        found[name] = [one[0] if isinstance(one, tuple) else one for one in results]
        baseline[name] = [one[1:] for one in results if isinstance(one, tuple)]
        for title, verdicts in (
            ("ours", [(one.finding, one.day) for one in found[name]]),
            ("before/after", baseline[name]),
        ):
            if verdicts:
                promoted = [day for verdict, day in verdicts if verdict == "better"]
                shares = [
                    np.mean([verdict == wanted for verdict, _ in verdicts])
                    for wanted in ("better", "worse", "inconclusive")
                ]
                median = f"{np.median(promoted):.0f}" if promoted else "-"
                soon = sum(day <= 10 for day in promoted) / len(verdicts)
                print(
                    f"{name:<24}{title:<14}{shares[0]:>9.1%}{soon:>11.1%}{shares[1]:>13.1%}{shares[2]:>10.1%}{median:>11}",
                    flush=True,
                )

    print(
        f"{'scenario':<24}{'judge':<14}{'promoted':>9}{'in 10 days':>11}{'rolled back':>13}{'given up':>10}{'median day':>11}"  # noqa: E501
    )
    for name, effect in EFFECTS.items():
        for traffic in TRAFFIC:
            run(f"{name}, {traffic}", lambda random, e=effect, t=traffic: plain(random, e, t, days))
    run("forty", lambda random: plain(random, 0.8, 1000, days, nodes=40))
    run("retry", lambda random: with_events(random, days, mended=1 - 0.037, attempts=0))
    run("dilution, 25 %", lambda random: with_events(random, days, mended=0, attempts=0.25))
    run("dilution, twice", lambda random: with_events(random, days, mended=0, attempts=1))
    run("elsewhere", lambda random: elsewhere(random, days))
    run("novelty, then nothing", lambda random: novelty(random, days, 1.0))
    run("novelty, then harm", lambda random: novelty(random, days, 1.2))
    run("captured", lambda random: captured(random, days))
    run("liar, 50 % fewer", lambda random: with_liar(random, days, 0.5, 1.0))
    run("liar, none", lambda random: with_liar(random, days, 1.0, 0.0))
    run("newcomers, 50 % fewer", lambda random: with_newcomers(random, days, 0.5))
    run("newcomers, none", lambda random: with_newcomers(random, days, 1.0))
    orders = {
        order: np.mean(
            [avoided(np.random.default_rng([given.seed, 9, fleet]), order, days) for fleet in range(fleets)]
        )
        for order in ("hash", "benefit")
    }
    print(
        f"failures avoided: {orders['benefit']:.1%} in the order of expected benefit, "
        f"{orders['hash']:.1%} in that of a hash"
    )
    seconds = time.process_time() - began
    print(f"{fleets} fleets per line, seed {given.seed}; {seconds:.0f} s of one core")
    if given.only:
        return

    def promoted(*names: str) -> float:
        return max(float(np.mean([one.is_promoted for one in found[name]])) for name in names)

    def of_baseline(*names: str) -> float:
        return max(float(np.mean([verdict == "better" for verdict, _ in baseline[name]])) for name in names)

    harmful, useless = ([f"{name}, {traffic}" for traffic in TRAFFIC] for name in ("20 % more", "none"))
    kept = max(
        float(np.mean([one.is_kept for one in found[name]])) for name in found if name.startswith("novelty")
    )
    helpful = "50 % fewer, 1000"
    print(
        json.dumps(
            {
                "harmful_promoted": promoted(*harmful),
                "useless_promoted": promoted(*useless),
                "helpful_promoted": float(
                    np.mean([one.is_promoted and one.day <= 10 for one in found[helpful]])
                ),
                "retry_promoted": promoted("retry"),
                "dilution_promoted": promoted("dilution, 25 %", "dilution, twice"),
                "elsewhere_promoted": promoted("elsewhere"),
                "novelty_kept_after_30_days": kept,
                "captured_harmful_promoted": promoted("captured"),
                "twenty_percent_found_40_nodes": promoted("forty"),
                "failures_avoided_share": round(float(orders["benefit"]), 4),
                "one_liar": {
                    "helpful_promoted": promoted("liar, 50 % fewer"),
                    "useless_promoted": promoted("liar, none"),
                },
                "newcomers": {
                    "helpful_promoted": promoted("newcomers, 50 % fewer"),
                    "useless_promoted": promoted("newcomers, none"),
                },
                "baseline": {
                    "harmful_promoted": of_baseline(*harmful),
                    "useless_promoted": of_baseline(*useless),
                    "helpful_promoted": float(
                        np.mean([v == "better" and day <= 10 for v, day in baseline[helpful]])
                    ),
                    "failures_avoided_share": round(float(orders["hash"]), 4),
                },
                "seconds": round(seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
