"""Verdicts on canaries of simulated fleets whose truth is known, beside a comparison of before and after.

    python benchmarks/outcomes.py [--fleets 200] [--seed 20261124] [--days 14]

Each fleet runs one canary: the change makes the targeted failure 50 % or 20 % rarer, does nothing, or makes it 20 % more frequent. Traffic is 1 000 calls
a node and day, or 50. Fleets have 12 to 120 nodes, a tenth of them canaries, three at the least. Nodes differ in traffic (log-normal, sigma 0.6) and rate
(sigma 0.7), drift after the release whether they took the change or not (sigma 0.2), and vary from day to day beyond binomial noise (sigma 0.3); a common day
effect wanders (autoregressive, sigma 0.25, with a weekly wave), and one node of every fourth fleet has a bad day. Base rates lie between 1 % and 10 %.
The simulator shares no code with the judge, and the default seed was not looked at while the judge was made.

Ours is `outcomes.judge`, looked at every day until it decides, for 14 days at the most. The baseline looks daily too: it compares the canary nodes' rate
since the release with the 14 days before, promotes below 0.9 and rolls back above 1.1. The last line printed is JSON, shares of fleets: helpful means the
50 % effect at 1 000 calls, promoted within 7 days; harmful and useless are the worse of the two traffics.
"""

import argparse
import json
import time
from datetime import date, timedelta

import numpy as np
import pandas as pd

from fl_assets.updates.outcomes import BASELINE_DAYS, Trial, judge

START = date(2026, 11, 15)
EFFECTS = {"50 % fewer": 0.5, "20 % fewer": 0.8, "none": 1.0, "20 % more": 1.2}
TRAFFIC = (1000, 50)


def fleet(
    random: np.random.Generator, *, effect: float, traffic: int, days: int
) -> tuple[pd.DataFrame, Trial]:
    """Return the counts by node and day of one fleet, and its trial."""
    nodes = int(random.choice([12, 20, 40, 80, 120]))
    names = np.array([f"node-{number:03d}" for number in range(nodes)])
    canary = np.zeros(nodes, dtype=bool)
    canary[random.permutation(nodes)[: max(3, round(nodes / 10))]] = True
    span = BASELINE_DAYS + 1 + days
    calendar = [START + timedelta(days=offset - BASELINE_DAYS) for offset in range(span)]
    after = np.arange(span) > BASELINE_DAYS
    wander = np.zeros(span)
    for day in range(1, span):
        wander[day] = 0.7 * wander[day - 1] + random.normal(0, 0.25 * np.sqrt(1 - 0.49))
    wander += 0.15 * np.sin(2 * np.pi * (np.arange(span) + random.integers(7)) / 7)
    size = np.exp(random.normal(0, 0.6, nodes))
    calls = random.poisson(
        traffic * (size / size.mean())[:, None] * np.exp(random.normal(0, 0.15, (nodes, span)))
    )
    base = np.exp(random.uniform(np.log(0.01), np.log(0.1)))
    log_rate = np.log(base) + random.normal(0, 0.7, nodes)[:, None] - 0.7**2 / 2 + wander[None, :]
    log_rate = log_rate + random.normal(0, 0.2, nodes)[:, None] * after + random.normal(0, 0.3, (nodes, span))
    if random.random() < 0.25:
        log_rate[random.integers(nodes), random.integers(span)] += np.log(5)
    treated = np.where(after[None, :] & canary[:, None], np.log(effect), 0.0)
    failures = random.binomial(calls, np.minimum(0.6, np.exp(log_rate + treated)))
    other = random.binomial(calls, np.minimum(0.3, 0.03 * np.exp(random.normal(0, 0.4, (nodes, span)))))
    p95 = 900 * np.exp(
        random.normal(0, 0.5, nodes)[:, None] + 0.3 * wander[None, :] + random.normal(0, 0.1, (nodes, span))
    )
    counts = pd.DataFrame(
        {
            "node_id": np.repeat(names, span),
            "event_date": calendar * nodes,
            "failures": failures.ravel(),
            "calls": calls.ravel(),
            "all_failures": np.minimum(failures + other, calls).ravel(),
            "all_calls": calls.ravel(),
            "p95_ms": p95.ravel(),
        }
    )
    counts = counts[random.random(len(counts)) > 0.01]  # now and then a node misses a day
    return counts, Trial(f"{random.integers(2**63):016x}", tuple(names[canary]), tuple(names[~canary]), START)


def before_after(counts: pd.DataFrame, trial: Trial, days: int) -> tuple[str, int]:
    """Return the baseline's verdict and its day: the canary nodes' rate against their own before, with fixed thresholds."""
    own = counts[counts["node_id"].isin(trial.canary)].groupby("event_date")[["failures", "calls"]].sum()
    earlier = own[own.index < trial.released_on].sum()
    later = own[own.index > trial.released_on].cumsum()
    before = (earlier["failures"] + 0.5) / (earlier["calls"] + 1)
    for day, row in later.iterrows():
        ratio = (row["failures"] + 0.5) / (row["calls"] + 1) / before
        if ratio < 0.9 or ratio > 1.1:
            return ("better" if ratio < 0.9 else "worse"), (day - trial.released_on).days
    return "inconclusive", days


def ours(counts: pd.DataFrame, trial: Trial, days: int) -> tuple[str, int]:
    """Return the verdict and its day: what looking every day comes to, as the verdict names the first day that it was sure."""
    found = judge(counts, trial, day=trial.released_on + timedelta(days=days), max_days=days, interval=False)
    return found.finding, (found.decided_on - trial.released_on).days if found.decided_on else days


def main() -> None:
    """Print a table of shares by effect, traffic and judge, then the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fleets", type=int, default=200, help="fleets an effect and traffic")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--days", type=int, default=14)
    given = parser.parse_args()
    began = time.process_time()
    shares: dict[tuple[str, str, int], dict[str, float]] = {}
    print(
        f"{'effect':<12}{'calls/day':>10}  {'judge':<14}{'promoted':>9}{'in 7 days':>10}{'waiting':>9}{'rolled back':>12}{'given up':>9}{'median day':>11}"
    )
    for place, (name, effect) in enumerate(EFFECTS.items()):
        for traffic in TRAFFIC:
            random = np.random.default_rng([given.seed, place, traffic])
            trials = [
                fleet(random, effect=effect, traffic=traffic, days=given.days) for _ in range(given.fleets)
            ]
            for title, judged in (("ours", ours), ("before/after", before_after)):
                found = [judged(counts, trial, given.days) for counts, trial in trials]
                promoted = [day for verdict, day in found if verdict == "better"]
                row = {
                    "promoted": len(promoted) / len(found),
                    "in_7": sum(day <= 7 for day in promoted) / len(found),
                    "waiting": sum(verdict == "inconclusive" or day > 7 for verdict, day in found)
                    / len(found),
                    "rolled_back": sum(verdict == "worse" for verdict, _ in found) / len(found),
                    "given_up": sum(verdict == "inconclusive" for verdict, _ in found) / len(found),
                }
                shares[title, name, traffic] = row
                median = f"{np.median(promoted):.0f}" if promoted else "-"
                print(
                    f"{name:<12}{traffic:>10}  {title:<14}{row['promoted']:>9.1%}{row['in_7']:>10.1%}{row['waiting']:>9.1%}"
                    f"{row['rolled_back']:>12.1%}{row['given_up']:>9.1%}{median:>11}"
                )
    seconds = time.process_time() - began
    print(
        f"{given.fleets} fleets a line, seed {given.seed}; `waiting` is undecided after 7 days; {seconds:.0f} s of one core"
    )
    print(
        json.dumps(
            {
                "harmful_promoted": max(
                    shares["ours", "20 % more", traffic]["promoted"] for traffic in TRAFFIC
                ),
                "useless_promoted": max(shares["ours", "none", traffic]["promoted"] for traffic in TRAFFIC),
                "helpful_promoted": shares["ours", "50 % fewer", 1000]["in_7"],
                "baseline": {
                    "harmful_promoted": max(
                        shares["before/after", "20 % more", traffic]["promoted"] for traffic in TRAFFIC
                    ),
                    "useless_promoted": max(
                        shares["before/after", "none", traffic]["promoted"] for traffic in TRAFFIC
                    ),
                    "helpful_promoted": shares["before/after", "50 % fewer", 1000]["in_7"],
                },
                "seconds": round(seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
