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
    unseen: dict[str, datetime | None] = dict.fromkeys(ends)

    def timed(durations: Durations, scale: Fraction) -> list[tuple[int, int]]:
        """Return a histogram, with the variance of its noise."""
        variance = variance_of(scale, summary.settings.epsilon)
        return [*durations, (NOISE_BUCKET, variance)] if variance else list(durations)

    signatures = [
        own
        | ends
        | {
            "service": one.service,
            "method": one.method,
            "message_id": hashlib.md5(one.error.encode(), usedforsecurity=False).hexdigest()[:16],
            "masked_error": one.error,
            "has_text": one.has_text,
            "failures": one.failures,
            "sessions": one.sessions,
            "exemplar_trace_ids": [],
            "incidents": None if one.people is None else _incidents(summary.node_id, one.people),
            "latency_histogram": timed(one.durations, OF_ONE) if one.durations else [],
        }
        for one in summary.failures
    ]
    totals = [
        own
        | {
            "service": one.service,
            "method": one.method,
            "calls": one.calls,
            "failures": one.failures,
            "sessions": one.sessions,
            "latency_histogram": timed(one.durations, OF_CALLS),
        }
        for one in summary.calls
    ]
    if summary.unnamed.calls:
        known = sum(one.failures for one in summary.calls) - sum(one.failures for one in summary.failures)
        failed = min(max(0, summary.unnamed.failures - known), summary.unnamed.calls)
        totals.append(
            own
            | {
                "service": OTHER,
                "method": OTHER,
                "calls": summary.unnamed.calls,
                "failures": failed,
                "sessions": 0,
                "latency_histogram": [],
            }
        )

    def talk(service: str, signal: str, affected: int, sessions: int, turns: int) -> dict[str, Any]:
        seen = ends if affected else unseen
        counted = {
            "service": service,
            "signal": signal,
            "sessions_affected": affected,
            "sessions": sessions,
            "turns": turns,
        }
        return own | seen | counted | {"exemplar_session_ids": []}

    signals = [talk(one.service, one.signal, one.affected, one.sessions, one.turns) for one in summary.talk]
    if summary.unnamed.sessions:
        signals += [talk(OTHER, signal, 0, summary.unnamed.sessions, 0) for signal in SIGNALS]
    return SummaryRows(signatures, totals, signals)


def _incidents(node_id: str, people: int) -> list[str]:
    """Return one incident per person of a node, in the form of `failure_signatures.incidents`."""
    hashed = (
        hashlib.md5(f"{node_id}|person {number}".encode(), usedforsecurity=False).hexdigest()
        for number in range(min(people, MAX_INCIDENTS))
    )
    return sorted(f"{one[10:16]}{one[:10]}00" for one in hashed)
