"""The nodes of a fleet: which are known, new or silent, and how complete a day therefore is.

What goes here: a node's status on a day, from what it reported on the days before. What does not: reading
rows, words for people (`report/`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any, Literal

SERIES_DAYS = 14
"""Days, ending with the one asked about, that a node is known by."""
USUAL_DAYS = 7
"""Days before the one asked about that say which nodes usually report, and how much."""
QUIET_SHARE = 0.25
"""A node is quiet when it reports less than this share of what it usually does."""
NodeStatus = Literal["reporting", "quiet", "silent", "first seen"]


@dataclass(frozen=True)
class NodeDay:
    """What one node reported on a day, and its status."""

    node_id: str
    status: NodeStatus
    calls: int
    failures: int
    conversations: int
    usual: float
    """Median calls and conversations a day of the days before on which the fleet reported."""
    series: tuple[int, ...]
    """Calls and conversations of each of the last days, oldest first."""
    silent_days: int
    """Days since it last reported, of those in the series; 0 when it reported on the day."""
    is_expected: bool
    """Whether it reported on at least half of the usual days, or is registered."""


def nodes_of(
    totals: Iterable[Mapping[str, Any]],
    conversations: Iterable[Mapping[str, Any]],
    day: date,
    registered: Collection[str] = (),
) -> list[NodeDay]:
    """Return every node that reported in the last fourteen days or is registered, by name.

    Args:
        totals: `event_date, node_id, calls, failures`, sums of the last fourteen days.
        conversations: `event_date, node_id, sessions`, sums of the same days.
        day: the day asked about.
        registered: nodes that are expected whether they reported or not.
    """
    days = [day - timedelta(days=back) for back in range(SERIES_DAYS - 1, -1, -1)]
    events: Counter[tuple[str, date]] = Counter()
    parts: Counter[tuple[str, str]] = Counter()
    for rows, name in ((totals, "calls"), (conversations, "sessions")):
        for row in rows:
            if row["event_date"] not in days:
                continue
            events[row["node_id"], row["event_date"]] += row[name]
            if row["event_date"] == day:
                parts[row["node_id"], name] += row[name]
                parts[row["node_id"], "failures"] += row.get("failures", 0)
    # When nobody reported, collection failed, not a node.
    reported_on = {when for _, when in events}
    usual_days = [when for when in days[-1 - USUAL_DAYS : -1] if when in reported_on]
    found = []
    for node in sorted({*(name for name, _ in events), *registered}):
        series = tuple(events[node, when] for when in days)
        usual = float(median([events[node, when] for when in usual_days] or [0]))
        found.append(
            NodeDay(
                node_id=node,
                status=_status(series, usual),
                calls=parts[node, "calls"],
                failures=parts[node, "failures"],
                conversations=parts[node, "sessions"],
                usual=usual,
                series=series,
                silent_days=next((back for back, count in enumerate(series[::-1]) if count), SERIES_DAYS),
                is_expected=node in registered or usual > 0,
            )
        )
    return found


def completeness(nodes: Iterable[NodeDay]) -> float:
    """Return the share of the expected nodes that reported; 1 where none was expected."""
    expected = [node for node in nodes if node.is_expected]
    return sum(node.status != "silent" for node in expected) / len(expected) if expected else 1.0


def _status(series: tuple[int, ...], usual: float) -> NodeStatus:
    """Name what the last day of a series means, given the node's usual events per day."""
    if not series[-1]:
        return "silent"
    if not any(series[:-1]):
        return "first seen"
    return "quiet" if series[-1] < QUIET_SHARE * usual else "reporting"
