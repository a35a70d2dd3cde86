"""What liars can do to a fleet's confidence: make a fake actionable, or hold a true failure back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from counted_fleets import COLUMNS, CountedFleet, counts_of, draw_fleet

from fl_assets.patterns.counts import Counts

SPREAD = {"chronic", "new", "rising", "fixed", "burst", "rare"}
"""Shapes of planted failures on several nodes."""
Judge = Callable[[Counts, pd.DataFrame, date, int], pd.DataFrame]
"""Frames, day and window to one row per pattern with `is_actionable`."""


@dataclass(frozen=True)
class Attack:
    """Failures and calls that liars add to a fleet's frames.

    Attributes:
        failures: rows of `pattern_id, event_date, node_id, failures, sessions, calls` and, where all of a
            row's sessions are one user's, `user`.
        calls: `event_date, node_id, calls`: successful calls, to every method alike, as a share of all calls
            there.
    """

    failures: pd.DataFrame
    calls: pd.DataFrame


def flood(
    patterns: Sequence[str], days: Sequence[date], nodes: Sequence[str], count: int, user: str = ""
) -> Attack:
    """Fail `count` times in each pattern, on each day and node; as one user's where one is named."""
    index = pd.MultiIndex.from_product([patterns, pd.to_datetime(list(days)), nodes], names=COLUMNS[:3])
    rows = index.to_frame(index=False).assign(failures=count, sessions=count, calls=count, user=user)
    return Attack(rows, pd.DataFrame({"event_date": [], "node_id": [], "factor": []}))


def more_calls(days: Sequence[date], nodes: Sequence[str], factor: float) -> Attack:
    """Make `factor` times the usual calls on each day and node, without a failure."""
    index = pd.MultiIndex.from_product([pd.to_datetime(list(days)), nodes], names=["event_date", "node_id"])
    return Attack(pd.DataFrame(columns=[*COLUMNS, "user"]), index.to_frame(index=False).assign(factor=factor))


def attacked(fleet: CountedFleet, attack: Attack) -> tuple[Counts, pd.DataFrame]:
    """Return the fleet's frames with an attack in them."""
    plain = {"pattern_id": str, "node_id": str}
    counts, reporting = fleet.counts.astype(plain), fleet.reporting.astype({"node_id": str})
    fresh = sorted(set(attack.failures["pattern_id"]) - set(fleet.shapes.index))
    # A fresh pattern is in a method that all nodes call. Rows of one pattern, day and node are summed by who
    # reads them.
    called = [reporting.assign(pattern_id=pattern, failures=0, sessions=0) for pattern in fresh]
    if len(attack.failures):
        counts = pd.concat([counts, attack.failures, *called], ignore_index=True)
        own = attack.failures[["event_date", "node_id", "calls"]]
        reporting = pd.concat([reporting, own], ignore_index=True)
    if len(attack.calls):
        keys = ["event_date", "node_id"]
        counts, reporting = (
            frame.merge(attack.calls.astype({"node_id": str}), on=keys, how="left").assign(
                calls=lambda f: f["calls"] * f["factor"].fillna(1)
            )
            for frame in (counts, reporting)
        )
    return counts_of(counts, _users(attack)), reporting


def _users(attack: Attack) -> pd.DataFrame | None:
    """Return whose the requests were that one user made behind a load balancer."""
    keys = ["pattern_id", "event_date", "user"]
    named = attack.failures[attack.failures["user"] != ""]
    found = named.groupby(keys, as_index=False)["sessions"].sum()
    return found.rename(columns={"user": "actor", "sessions": "incidents"}) if len(found) else None


def attack_table(seeds: range, judge: Judge) -> dict[str, dict[str, object]]:
    """Try every attack on a fleet per seed; return tries and successes of each, and their share."""
    tries: dict[str, list[bool]] = {}
    for seed in seeds:
        fleet = draw_fleet(seed, nodes=50 if seed % 2 else None)
        end, window = fleet.end, fleet.window_days
        days = [end - timedelta(days=back) for back in range(30)]
        nodes = sorted(str(node) for node in fleet.reporting["node_id"].unique())
        liars = [str(node) for node in np.random.default_rng([seed, 79]).permutation(nodes)[:3]]
        honest = judge(counts_of(fleet.counts), fleet.reporting, end, window).set_index("pattern_id")[
            "is_actionable"
        ]
        sure = sorted(honest.index[honest])
        true = [pattern for pattern in sure if fleet.shapes[pattern] in SPREAD]
        fakes = [
            pattern
            for pattern in honest.index
            if fleet.shapes[pattern] not in SPREAD or fleet.shapes[pattern] == "rare"
        ]
        fakes = sorted(set(fakes) - set(sure))
        real = sorted(set(honest.index) - set(sure) - set(fakes))

        def found(
            attack: Attack, day: date = end, window: int = window, fleet: CountedFleet = fleet
        ) -> set[str]:
            said = judge(*attacked(fleet, attack), day, window)
            return set(said.loc[said["is_actionable"], "pattern_id"])

        def make(name: str, attack: Attack, of: Sequence[str], **given: object) -> None:
            actionable = found(attack, **given)
            tries.setdefault(name, []).extend(pattern in actionable for pattern in of)

        def hold(name: str, attack: Attack, true: Sequence[str] = tuple(true)) -> None:
            actionable = found(attack)
            tries.setdefault(name, []).extend(pattern not in actionable for pattern in true)

        one, two, three = liars[:1], liars[:2], liars[:3]
        make("make: one node, 10 000 fakes", flood(["fake"], days[:1], one, 10_000), ["fake"])
        make("make: one node imitates, loudly, 5 days", flood(fakes, days[:5], one, 2_000), fakes)
        make("make: one node imitates, quietly, 5 days", flood(fakes, days[:5], one, 3), fakes)
        make("make: one node, 30 days", flood(["drip"], days, one, 8), ["drip"])
        make("make: two nodes, 10 days", flood(["pair"], days[:10], two, 30), ["pair"])
        make("make: two nodes imitate, loudly, 5 days", flood(fakes, days[:5], two, 2_000), fakes)
        make(
            "make: one user behind a load balancer, 20 requests a day, 7 days",
            flood(["own text"], days[:7], nodes[:20], 1, "u"),
            ["own text"],
        )
        outage = flood(["outage"], days[2:4], nodes, 20)
        for day in days[:2]:
            make("make: a burst that has ended", outage, ["outage"], day=day, window=1)
        if len(nodes) >= 50:
            make("price: three nodes of fifty, 10 days", flood(["three"], days[:10], three, 30), ["three"])
        make("price: one node tips over a real failure of others", flood(real, days[:5], one, 2_000), real)
        hold("hold: one node floods failures today", flood(true, days[:1], one, 2_000))
        hold("hold: two nodes flood failures today", flood(true, days[:1], two, 2_000))
        for back in (1, 7, 20):
            hold(
                f"hold: two nodes make 100 times the calls {back} days ago",
                more_calls([days[back]], two, 100),
            )
        for factor in (3, 10, 30):
            hold(
                f"hold: a load test of {factor} times the traffic yesterday",
                more_calls([days[1]], nodes, factor),
            )
        hold(
            "hold: calibration, one node lets 40 texts come true for 20 days",
            flood([f"c{n}" for n in range(40)], days[:20], one, 3),
        )
        hold(
            "hold: calibration, two nodes let 40 texts stop every other day",
            flood([f"c{n}" for n in range(40)], days[1:20:2], two, 30),
        )
    return {
        name: {"succeeded": sum(done), "tries": len(done), "share": round(sum(done) / max(len(done), 1), 3)}
        for name, done in tries.items()
    }
