"""Fleets as the frames that confidence is computed from, without writing a single event."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from fl_assets.patterns.confidence import Fleet
from fl_assets.patterns.counts import Counts
from fl_assets.simulator.fleet_catalogue import AGENTS, METHOD_INDEX, NOISE
from fl_assets.simulator.simulation import DEFAULT_END, plan_fleet, planted_failures

COLUMNS = ["pattern_id", "event_date", "node_id", "failures", "sessions", "calls"]


def counts_of(rows: pd.DataFrame) -> Counts:
    """Take apart rows of `pattern_id, event_date, node_id, failures, sessions, calls`, in any order.

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
    )


def outcomes(counts: Counts, *, day: date, window_days: int) -> pd.DataFrame:
    """Say which patterns of `day` came true on the day after: on two nodes, at no less than half the rate of the window.

    Args:
        counts: as for `assess`, the day after included.
        day: the day that was analysed.
        window_days: days analysed together.

    Returns:
        `pattern_id, happened`, by pattern_id, without the patterns that had no failure in the window or no call on the day after.
    """
    reporting = counts.calls[["event_date", "node_id", "calls"]]
    fleet = Fleet(counts, reporting, day=day + timedelta(days=1), window_days=window_days)
    happened, known = fleet.outcome(1)
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
        counts: `pattern_id, event_date, node_id, failures, sessions, calls`, one row a pattern, day and node that made calls to its methods (for
            conversations: held sessions with its agent). `sessions` equals `failures`: that two fall into one trace is left out.
        reporting: `event_date, node_id, calls`, one row a day and node that reported anything; calls and conversations together, as in `evidence.py`.
        truth: `pattern_id, kind, failure_class, shape, actionable, nodes, first_day, last_day`, one row a pattern that happened; `shape` is `noise`
            for noise, whose `failure_class` is `other`.

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
