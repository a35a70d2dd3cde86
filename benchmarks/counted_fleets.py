"""Fleets as the frames that confidence is computed from, without writing a single event."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from fl_assets.patterns.counts import HISTORY_DAYS, Counts
from fl_assets.patterns.fleet import Fleet
from fl_assets.simulator.catalogue import AGENTS, METHOD_INDEX, NOISE
from fl_assets.simulator.plan import DEFAULT_END, plan_fleet
from fl_assets.simulator.truth import planted_failures

COLUMNS = ["pattern_id", "event_date", "node_id", "failures", "sessions", "calls"]
DAYS = 35
END = date(2026, 10, 31)


def counts_of(rows: pd.DataFrame, users: pd.DataFrame | None = None) -> Counts:
    """Take apart rows of `pattern_id, event_date, node_id, failures, sessions, calls`, in any order.

    Args:
        rows: counts.
        users: `pattern_id, event_date, actor, incidents` of the patterns whose users are known; of others
            every session is someone else's.

    Raises:
        ValueError: when a column is missing.
    """
    missing = sorted(set(COLUMNS) - set(rows.columns))
    if missing:
        message = f"counts lacks the columns {missing}; it has {sorted(rows.columns)}"
        raise ValueError(message)
    rows = rows.assign(set_id=rows["pattern_id"])
    failures, calls = rows[rows["failures"] > 0], rows[rows["calls"] > 0]
    return Counts(
        failures[["pattern_id", "event_date", "node_id", "failures", "sessions"]],
        calls[["set_id", "event_date", "node_id", "calls"]],
        rows[["pattern_id", "set_id"]].drop_duplicates(),
        _incidents(failures, users),
    )


def _incidents(failures: pd.DataFrame, users: pd.DataFrame | None) -> pd.DataFrame | None:
    if users is None or not len(users):
        return None
    others = failures[~failures["pattern_id"].astype(str).isin(set(users["pattern_id"]))]
    others = others[["pattern_id", "event_date", "sessions"]].rename(columns={"sessions": "incidents"})
    return pd.concat([users, others.astype({"pattern_id": str}).assign(actor=None)], ignore_index=True)


def outcomes(counts: Counts, *, day: date, window_days: int) -> pd.DataFrame:
    """Return which patterns of `day` came true on the day after.

    Args:
        counts: as for `assess`, the day after included.
        day: the day that was analysed.
        window_days: days analysed together.

    Returns:
        `pattern_id, happened`, by pattern_id, without the patterns that had no failure in the window or no
        call on the day after.
    """
    reporting = counts.calls[["event_date", "node_id", "calls"]]
    fleet = Fleet(counts, reporting, day=day + timedelta(days=1), window_days=window_days)
    happened, known = (values[:, -1] for values in fleet.outcomes())
    return pd.DataFrame({"pattern_id": fleet.patterns[known], "happened": happened[known]})


def simulate_counts(
    days: int, nodes: int, events_per_day: int, seed: int, null: bool = False, *, end: date = DEFAULT_END
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Show a plan as the frames that confidence is computed from, without writing a single event.

    Args:
        days: Days, the last of them `end`.
        nodes: Nodes in the fleet.
        events_per_day: Events of the whole fleet a day, on average.
        seed: What everything is drawn from.
        null: Plant nothing; noise alone.
        end: Last day.

    Returns:
        counts: `pattern_id, event_date, node_id, failures, sessions, calls`, one row a pattern, day and node
            that made calls to its methods (for
            conversations: held sessions with its agent). `sessions` equals `failures`: that two fall into one
                trace is left out.
        reporting: `event_date, node_id, calls`, one row a day and node that reported anything; calls and
            conversations together, as in `evidence.py`.
        truth: `pattern_id, kind, failure_class, shape, actionable, nodes, first_day, last_day`, one row a
            pattern that happened; `shape` is `noise` for noise, whose `failure_class` is `other`.

        All are ordered by their keys.
    """
    plan = plan_fleet(days, nodes, events_per_day, seed, end=end, null=null)
    names = [failure.id for failure in (*plan.call_failures, *plan.talk_failures)]
    kinds = ["error" if failure.text else "silent" for failure in plan.call_failures] + [
        "conversation"
    ] * len(plan.talk_failures)
    targets = [[METHOD_INDEX[target] for target in failure.targets] for failure in plan.call_failures]
    failed = [*plan.failures.sum(axis=3), *plan.affected]
    called = [plan.calls[:, :, chosen].sum(axis=2) for chosen in targets] + [
        plan.sessions[:, :, AGENTS.index(f.agent)] for f in plan.talk_failures
    ]
    for kind in np.flatnonzero(plan.noise.sum(axis=(1, 2))):
        names.append(f"noise-{kind:02d}")
        kinds.append("error")
        failed.append(plan.noise[kind])
        called.append(plan.calls[:, :, METHOD_INDEX[NOISE[kind].service, NOISE[kind].method]])
    planted = {failure.id: failure for failure in planted_failures(plan, {})}

    happened = [index for index in range(len(names)) if failed[index].any()]
    failed_stack = np.array([failed[index] for index in happened]).reshape(-1, days, nodes)
    called_stack = np.array([called[index] for index in happened]).reshape(-1, days, nodes)
    pattern, day, node = np.nonzero(called_stack)
    calendar, fleet = np.array(plan.days, dtype="datetime64[us]"), np.array(plan.nodes, dtype=object)
    ids = np.array([names[index] for index in happened], dtype=object)
    counts = pd.DataFrame(
        {
            "pattern_id": ids[pattern],
            "event_date": calendar[day],
            "node_id": fleet[node],
            "failures": failed_stack[pattern, day, node].astype(np.int64),
            "sessions": failed_stack[pattern, day, node].astype(np.int64),
            "calls": called_stack[pattern, day, node].astype(np.int64),
        }
    )
    reported = plan.calls.sum(axis=2) + plan.sessions.sum(axis=2)
    day, node = np.nonzero(reported)
    reporting = pd.DataFrame(
        {"event_date": calendar[day], "node_id": fleet[node], "calls": reported[day, node].astype(np.int64)}
    )
    rows = []
    for index in happened:
        known = planted.get(names[index])
        seen = (
            plan.days[failed[index].any(axis=1).argmax()],
            plan.days[days - 1 - failed[index].any(axis=1)[::-1].argmax()],
        )
        rows.append(
            {
                "pattern_id": names[index],
                "kind": kinds[index],
                "failure_class": known.failure_class if known else "other",
                "shape": known.shape if known else "noise",
                "actionable": known.actionable if known else False,
                "nodes": int(failed[index].any(axis=0).sum()),
                "first_day": seen[0],
                "last_day": seen[1],
            }
        )
    columns = ["pattern_id", "kind", "failure_class", "shape", "actionable", "nodes", "first_day", "last_day"]
    truth = pd.DataFrame(rows, columns=columns).sort_values("pattern_id", ignore_index=True)
    keys = ["pattern_id", "event_date", "node_id"]
    return (
        counts.sort_values(keys, ignore_index=True),
        reporting.sort_values(keys[1:], ignore_index=True),
        truth,
    )


@dataclass(frozen=True)
class CountedFleet:
    """One simulated fleet: the frames that `assess` reads, and the shape of each pattern."""

    counts: pd.DataFrame | Counts
    reporting: pd.DataFrame
    shapes: pd.Series
    end: date
    window_days: int = 1
    users: pd.DataFrame | None = None


def draw_fleet(seed: int, *, null: bool = False, nodes: int | None = None) -> CountedFleet:
    """Draw a fleet whose size, traffic, rates, retries, silence and noise differ from seed to seed.

    Noise is either one-off texts, each on one node, or some dozens of kinds that come back at random on
    random nodes.
    """
    rng = np.random.default_rng([seed, 77])
    nodes = nodes or int(rng.integers(5, 60))
    traffic = rng.lognormal(np.log(10 ** rng.uniform(1.7, 3.2)), 0.6, nodes)
    week = 1 + 0.15 * np.sin(np.arange(DAYS) * 2 * np.pi / 7)
    reports = rng.random((DAYS, nodes)) >= rng.uniform(0, 0.06)
    leaves = rng.integers(DAYS // 2, DAYS * 6, nodes)
    reports &= np.arange(DAYS)[:, None] < leaves
    calls = rng.poisson(traffic * week[:, None]) * reports
    window = int(rng.choice([1, 1, 1, 1, 3, 7]))
    shapes = (
        []
        if null
        else ["chronic"] * 12
        + ["new"] * 8
        + ["rising"] * 5
        + ["fixed"] * 6
        + ["burst"] * 5
        + ["rare"] * 5
        + ["single_node"] * 4
    )
    methods = [rng.binomial(calls, share) for share in rng.uniform(0.1, 0.9, 12)]
    drawn: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    for shape in shapes:
        own_calls = methods[rng.integers(len(methods))]
        affected = np.zeros(nodes)
        chosen = rng.choice(
            nodes,
            1 if shape == "single_node" else min(nodes, max(3, round(nodes * rng.beta(1, 2)))),
            replace=False,
        )
        heterogeneity = rng.uniform(1.0, 8.0)
        affected[chosen] = rng.gamma(heterogeneity, 1 / heterogeneity, chosen.size)
        level = np.ones(DAYS)
        start = int(rng.integers(1, DAYS - 2))
        if shape == "new":
            level = (np.arange(DAYS) >= start).astype(float)
        elif shape == "rising":
            level = np.minimum(0.05 * rng.uniform(1.08, 1.5) ** np.arange(DAYS), 1.0)
        elif shape == "fixed":
            level = np.where(np.arange(DAYS) < start, 1.0, rng.choice([0.0, 0.0, 0.1]))
        elif shape == "burst":
            level = ((np.arange(DAYS) >= start) & (np.arange(DAYS) < start + rng.integers(1, 4))).astype(
                float
            )
        if shape == "rare":
            rate = np.full((DAYS, nodes), rng.uniform(0.1, 0.8) / max(own_calls.sum() / DAYS, 1))
        else:
            wanted = 10 ** rng.uniform(0.3, 2.5) / max((own_calls * affected).sum() / DAYS, 1e-9)
            spread = rng.uniform(3, 12)
            day = rng.gamma(12, 1 / 12, DAYS)[:, None]
            rate = np.minimum(
                wanted * level[:, None] * day * affected * rng.gamma(spread, 1 / spread, (DAYS, nodes)), 0.95
            )
        sessions = rng.binomial(own_calls, rate)
        repeats = rng.choice([1.0, 1.0, 0.6])
        failed = (
            np.minimum(
                sessions + rng.negative_binomial(np.maximum(sessions, 1), repeats) * (sessions > 0), own_calls
            )
            if repeats < 1
            else sessions
        )
        drawn.append((shape, failed, sessions, own_calls))
    incidents = rng.poisson(rng.uniform(3, 25), DAYS)
    recurring = rng.random() < 0.5
    variety = int(rng.integers(20, 80)) if recurring else int(incidents.sum())
    noise = np.zeros((variety, DAYS, nodes), dtype=np.int64)
    days = np.repeat(np.arange(DAYS), incidents)
    kind = rng.integers(variety, size=days.size) if recurring else np.arange(days.size)
    at = rng.choice(nodes, days.size, p=traffic / traffic.sum())
    np.add.at(noise, (kind, days, at), 1 + rng.poisson(0.5, days.size))
    for number in range(variety):
        own_calls = methods[number % len(methods)]
        seen = np.minimum(noise[number], own_calls)
        drawn.append(("noise", seen, np.minimum(seen, 1), own_calls))
    return fleet_of(drawn, calls, window_days=window)


def simulated_fleet(seed: int, *, null: bool = False) -> CountedFleet:
    """Return a fleet of the project's own simulator."""
    rng = np.random.default_rng([seed, 78])
    nodes = int(rng.integers(8, 60))
    counts, reporting, truth = simulate_counts(
        DAYS, nodes, int(nodes * 10 ** rng.uniform(2.0, 2.9)), seed, null
    )
    counts, reporting = (
        frame.assign(event_date=pd.to_datetime(frame["event_date"])) for frame in (counts, reporting)
    )
    return CountedFleet(counts, reporting, truth.set_index("pattern_id")["shape"], DEFAULT_END)


def fleet_of(
    drawn: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    calls: np.ndarray,
    requests: list[tuple[int, int]] | None = None,
    window_days: int = 1,
) -> CountedFleet:
    """Return the frames of drawn patterns.

    Args:
        drawn: shape, failures, sessions and calls by day and node, one a pattern.
        calls: all calls by day and node.
        requests: place of a pattern and day, one a request whose user is someone else than all other users;
            where it is not given nobody is known.
        window_days: days analysed together.
    """
    names = [f"{shape}-{number}" for number, (shape, *_) in enumerate(drawn)]
    failed, sessions, called = (np.array([one[part] for one in drawn]) for part in (1, 2, 3))
    pattern, day, node = np.nonzero(called)
    calendar = pd.date_range(end=pd.Timestamp(END), periods=DAYS).to_numpy()
    fleet_nodes = [f"node-{index:02d}" for index in range(calls.shape[1])]
    counts = pd.DataFrame(
        {
            "pattern_id": pd.Categorical.from_codes(pattern, names),
            "event_date": calendar[day],
            "node_id": pd.Categorical.from_codes(node, fleet_nodes),
            "failures": failed[pattern, day, node],
            "sessions": sessions[pattern, day, node],
            "calls": called[pattern, day, node],
        }
    )
    day, node = np.nonzero(calls)
    reporting = pd.DataFrame(
        {
            "event_date": calendar[day],
            "node_id": pd.Categorical.from_codes(node, fleet_nodes),
            "calls": calls[day, node],
        }
    )
    shapes = pd.Series([shape for shape, *_ in drawn], index=names)
    if requests is None:
        return CountedFleet(counts, reporting, shapes, END, window_days)
    # A request of noise is one user's, on whatever nodes it was retried.
    asked = [(names[place], day, f"user {number}") for number, (place, day) in enumerate(requests)]
    users = pd.DataFrame(asked, columns=["pattern_id", "event_date", "actor"]).assign(incidents=1)
    users["event_date"] = calendar[users["event_date"].to_numpy(dtype=int)]
    return CountedFleet(counts, reporting, shapes, END, window_days, users)


# Real counts ------------------------------------------------------------------------------------------------


def real_fleet(folder: Path, name: str) -> CountedFleet:
    """Read the real counts called `name`: failures, calls and patterns, each a file."""
    failures, calls, patterns = (
        pd.read_csv(folder / f"{name}.{part}.csv.gz", dtype={"pattern": str, "method": str, "node": str})
        for part in ("failures", "calls", "patterns")
    )
    failures["day"], calls["day"] = pd.to_datetime(failures["day"]), pd.to_datetime(calls["day"])
    counts = Counts(
        failures.rename(columns={"pattern": "pattern_id", "day": "event_date", "node": "node_id"}),
        calls.rename(columns={"method": "set_id", "day": "event_date", "node": "node_id"}),
        patterns.rename(columns={"pattern": "pattern_id", "method": "set_id"}).drop_duplicates("pattern_id"),
    )
    reporting = counts.calls.groupby(["event_date", "node_id"], as_index=False)["calls"].sum()
    shapes = pd.Series("real", index=sorted(counts.set_of["pattern_id"]))
    return CountedFleet(counts, reporting, shapes, max(failures["day"].max(), calls["day"].max()).date())


def sources_in(folder: Path) -> list[str]:
    """Return the names of the real counts in a folder."""
    return sorted(path.name.removesuffix(".failures.csv.gz") for path in folder.glob("*.failures.csv.gz"))


def counts_until(fleet: CountedFleet, day: date, days: int = HISTORY_DAYS) -> tuple[Counts, pd.DataFrame]:
    """Return the counts of the last `days` days up to `day`, and what nodes reported on them."""
    counts = fleet.counts if isinstance(fleet.counts, Counts) else counts_of(fleet.counts, fleet.users)
    last = pd.Timestamp(day)
    first = last - pd.Timedelta(days=days - 1)

    def within(frame: pd.DataFrame) -> pd.DataFrame:
        dates = frame["event_date"].to_numpy()
        return frame[(dates >= first.to_numpy()) & (dates <= last.to_numpy())]

    incidents = None if counts.incidents is None else within(counts.incidents)
    known = Counts(within(counts.failures), within(counts.calls), counts.set_of, incidents)
    return known, within(fleet.reporting)
