"""The numbers at the head of a report, each compared with the day before.

What goes here: counting, and whether a share changed significantly. What does not: the rest of a report
(`report/build.py`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np

from fl_assets.patterns.association import wilson
from fl_assets.report.records import Headline, PatternLine, PlaybookLine, Quality, ReportRows, Row


def headlines(
    rows: ReportRows,
    patterns: Sequence[PatternLine],
    playbooks: Sequence[PlaybookLine],
    quality: Quality,
    window: int,
) -> tuple[Headline, ...]:
    """Return the numbers of the window, compared with the day before if the window is one day."""
    days = [rows.day - timedelta(days=place) for place in range(window)]
    day_before = rows.day - timedelta(days=1)
    earlier = rows.ingestion.get(day_before, {}) if window == 1 else {}
    if not events_of(earlier):
        earlier = {}
    failing = [one for one in patterns if one.failures]
    passing = [one for one in playbooks if not one.held_because]
    apart = sum(one.is_apart for one in passing)
    elsewhere = f"{apart} under way or tried, " if apart else ""
    compared = rows.previous_day is not None and window == 1
    reported_before = {
        row["node_id"] for row in (*rows.totals, *rows.conversations) if row["event_date"] == day_before
    }
    silent = len(quality.silent)
    states = Counter(one.state for one in failing if one.nodes_affected >= rows.min_nodes)
    few = sum(one.nodes_affected < rows.min_nodes for one in failing)
    moods = [f"{states[state]} {state}" for state in ("new", "rising", "regressed") if states[state]]
    failed, failed_before = _failed(rows.totals, days), _failed(rows.totals, [day_before])
    unread, unread_before = _unreadable(rows.ingestion.get(rows.day, {})), _unreadable(earlier)
    files_left_out = quality.unread and not quality.quarantined  # a file that cannot be read has no day
    return (
        Headline(
            name="Events",
            value=quality.events if window == 1 or not rows.cycle else rows.cycle.get("events_processed", 0),
            before=events_of(earlier) or None,
            note="calls and conversation turns",
        ),
        Headline(
            name="Failed calls",
            value=_share(*failed),
            before=_share(*failed_before) if window == 1 else None,
            unit="share",
            more_is="bad",
            note=f"{failed[0]:,} of {failed[1]:,} calls",
            is_sure=window == 1 and _apart(failed, failed_before),
        ),
        Headline(
            name="Patterns failing",
            value=len(failing),
            before=sum(row["failures"] > 0 for row in rows.earlier_patterns) if compared else None,
            more_is="bad",
            note=f"{', '.join(moods) or 'none new or rising'}{f'; {few} on few nodes' if few else ''}",
        ),
        Headline(
            name="Playbooks ready",
            value=len(passing) - apart,
            before=None,
            note=f"{elsewhere}{len(playbooks) - len(passing)} held back",
        ),
        Headline(
            name="Nodes reporting",
            value=quality.nodes_reporting,
            before=len(reported_before) if reported_before and window == 1 else None,
            more_is="good",
            note=f"{silent} silent, {quality.completeness:.0%} complete" if silent else "none silent",
        ),
        Headline(
            name="Unreadable lines",
            value=quality.bad_ratio,
            before=earlier.get("bad_ratio"),
            unit="share",
            more_is="bad",
            note=f"{quality.quarantined:,} lines{'; some files not read' if files_left_out else ''}",
            is_sure=_apart(unread, unread_before),
        ),
    )


def events_of(stats: Mapping[str, float]) -> int:
    """Return the events of a day, read here or counted in summaries."""
    return int(stats.get("events", 0)) + int(stats.get("summary_events", 0))


def _failed(totals: Iterable[Row], days: Collection[date]) -> tuple[int, int]:
    rows = [row for row in totals if row["event_date"] in days]
    return sum(row["failures"] for row in rows), sum(row["calls"] for row in rows)


def _unreadable(stats: Mapping[str, float]) -> tuple[int, int]:
    bad = int(stats.get("quarantined", 0))
    return bad, bad + int(stats.get("events", 0))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _apart(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """Whether the 95 % intervals of two shares do not overlap."""
    if not now[1] or not before[1]:
        return False
    low, high = wilson(np.array([now[0], before[0]]), np.array([now[1], before[1]]))
    return bool(low[0] > high[1] or high[0] < low[1])
