"""The rows of failure_signatures, call_totals and conversation_signals of a summary."""

import hashlib
from datetime import datetime, time
from fractions import Fraction
from math import ceil
from typing import Any

from fl_assets.federation.counting import OF_CALLS, OF_ONE
from fl_assets.federation.summary import OTHER, Durations, Summary
from fl_assets.sums.conversations import SIGNALS
from fl_assets.sums.masking import MAX_INCIDENTS, NOISE_BUCKET
from fl_assets.sums.summaries import SummaryRows


def variance_of(scale: Fraction, epsilon: float) -> int:
    """Return the variance of a number's noise, rounded up; `scale` is that for an epsilon of 1."""
    return ceil(2 * (scale / Fraction(str(epsilon))) ** 2) if epsilon else 0


def rows_of(summary: Summary) -> SummaryRows:
    """Return a summary's rows of a day's sums.

    Times are not known, so first and last seen are the ends of the day. Calls and conversations without a
    name count as those of `OTHER`. Of incidents only the number of persons is known, so a node's first,
    second … person is taken to be the same in all texts and on all days: the fewest that there can have been.
    """
    own = {"event_date": summary.day, "node_id": summary.node_id}
    ends = {
        "first_seen": datetime.combine(summary.day, time.min),
        "last_seen": datetime.combine(summary.day, time(23, 59, 59)),
    }
    return SummaryRows(
        [own | ends | row for row in _signatures(summary)],
        [own | row for row in _totals(summary)],
        [
            own | (ends if row["sessions_affected"] else dict.fromkeys(ends)) | row
            for row in _signals(summary)
        ],
    )


def _signatures(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "service": one.service,
            "method": one.method,
            "message_id": hashlib.md5(one.error.encode(), usedforsecurity=False).hexdigest()[:16],
            "masked_error": one.error,
            "has_text": one.has_text,
            "failures": one.failures,
            "sessions": one.sessions,
            "exemplar_trace_ids": [],
            "incidents": None if one.people is None else _incidents(summary.node_id, one.people),
            "latency_histogram": _timed(summary, one.durations, OF_ONE) if one.durations else [],
        }
        for one in summary.failures
    ]


def _totals(summary: Summary) -> list[dict[str, Any]]:
    totals = [
        {
            "service": one.service,
            "method": one.method,
            "calls": one.calls,
            "failures": one.failures,
            "sessions": one.sessions,
            "latency_histogram": _timed(summary, one.durations, OF_CALLS),
        }
        for one in summary.calls
    ]
    unnamed = summary.unnamed
    if unnamed.calls:
        known = sum(one.failures for one in summary.calls) - sum(one.failures for one in summary.failures)
        totals.append(
            {
                "service": OTHER,
                "method": OTHER,
                "calls": unnamed.calls,
                "failures": min(max(0, unnamed.failures - known), unnamed.calls),
                "sessions": 0,
                "latency_histogram": [],
            }
        )
    return totals


def _signals(summary: Summary) -> list[dict[str, Any]]:
    counted = [(one.service, one.signal, one.affected, one.sessions, one.turns, []) for one in summary.talk]
    if summary.unnamed.sessions:
        counted += [(OTHER, signal, 0, summary.unnamed.sessions, 0, []) for signal in SIGNALS]
    names = ("service", "signal", "sessions_affected", "sessions", "turns", "exemplar_session_ids")
    return [dict(zip(names, row, strict=True)) for row in counted]


def _timed(summary: Summary, durations: Durations, scale: Fraction) -> list[tuple[int, int]]:
    """Return a histogram, with the variance of its noise."""
    variance = variance_of(scale, summary.settings.epsilon)
    return [*durations, (NOISE_BUCKET, variance)] if variance else list(durations)


def _incidents(node_id: str, people: int) -> list[str]:
    """Return one incident per person of a node, in the form of `failure_signatures.incidents`."""
    hashed = (
        hashlib.md5(f"{node_id}|person {number}".encode(), usedforsecurity=False).hexdigest()
        for number in range(min(people, MAX_INCIDENTS))
    )
    return sorted(f"{one[10:16]}{one[:10]}00" for one in hashed)
