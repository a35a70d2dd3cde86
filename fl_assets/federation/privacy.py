"""Making a day's counts publishable: suppressing rare names, and adding noise.

What does not go here: bounding a session's contribution (`counting.py`), the sampler (`noise.py`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import groupby
from random import Random
from typing import Any

from fl_assets.federation.admission import clean_text
from fl_assets.federation.counting import COARSE, OF_CALLS, OF_ONE, UNTIMED, DayCounts
from fl_assets.federation.noise import discrete_laplace
from fl_assets.federation.summary import (
    MAX_NAME,
    CallCount,
    FailureCount,
    SharedSettings,
    Summary,
    Suppressed,
    TalkCount,
    is_stand_in,
)


@dataclass(frozen=True)
class _Kept:
    failures: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    talk: list[dict[str, Any]]
    unnamed: Suppressed


def publish(
    counts: DayCounts,
    *,
    node_id: str,
    day: date,
    sequence: int,
    created_at: datetime,
    settings: SharedSettings,
    random: Random | None = None,
) -> Summary:
    """Return the summary of a node's day: names that k sessions had, with noise if epsilon is set.

    A name (masked error or the template in its place, service and method, agent) that fewer than
    `settings.min_sessions` sessions had is left out, and so is a signal that fewer showed. A name that
    redaction would still change is left out as well.

    With noise. *Sensitivity*: from its own events alone, BOUNDED_SQL counts a session as one failed call or
    one conversation (of one agent, with one signal or none) and one successful call, or else as at most
    MAX_CALLS successful calls. Each of these is in one number: a row's, or `unnamed`'s; successful calls are
    counted by method and COARSE duration. So removing the session changes all numbers together by 1 failure
    or conversation and 1 call, or by MAX_CALLS calls, as long as the same rows are published, including those
    with a bounded count of 0. *Noise*: each number gets a discrete Laplace variable, of scale OF_ONE /
    epsilon for failures and conversations and OF_CALLS / epsilon for calls. In both cases the changes over
    the scales add up to epsilon, so the whole is epsilon-differentially private given the rows (Dwork et al.,
    *Calibrating noise to sensitivity in private data analysis*, 2006; integers: Ghosh et al., *Universally
    utility-maximizing privacy mechanisms*, 2009). All else (calls of a method, raising counts of a row to
    one, the number of events) is computed from the noised numbers. Durations of failed calls are left out.
    *Not* hidden by noise: which rows are published, which exact counts decide, and whether the node had
    events.

    Args:
        counts: The day's counts; bounded by session (BOUNDED_SQL) when there is noise.
        node_id: The node.
        day: The day.
        sequence: Number of the summary.
        created_at: Time of the summary.
        settings: Masks, k and epsilon.
        random: Source of the noise; needed with an epsilon.
    """
    kept = _named(counts, settings.min_sessions)
    events = counts.events
    if settings.epsilon:
        if random is None:
            message = "epsilon needs a source of noise: give `random`"
            raise ValueError(message)
        shown = {
            signal for signal, sessions in counts.seen["signals"].items() if sessions >= settings.min_sessions
        }
        kept = _noised(kept, shown, Fraction(str(settings.epsilon)), random)
        talk = {one["service"]: one["sessions"] for one in kept.talk}
        events = (
            sum(one["calls"] for one in kept.calls)
            + kept.unnamed.calls
            + sum(talk.values())
            + kept.unnamed.sessions
        )
    return Summary(
        node_id=node_id,
        day=day,
        sequence=sequence,
        created_at=created_at,
        settings=settings,
        events=events,
        failures=tuple(FailureCount(**row) for row in kept.failures),
        calls=tuple(CallCount(**row) for row in kept.calls),
        talk=tuple(TalkCount(**row) for row in kept.talk),
        unnamed=kept.unnamed,
    )


def _named(counts: DayCounts, k: int) -> _Kept:
    """Split a day into rows that k sessions had, and the sums of all others."""

    def enough(kind: str, *name: str) -> bool:
        return counts.seen[kind].get("\x1f".join(name), 0) >= k

    def is_plain(*names: str) -> bool:
        return all(len(name) <= MAX_NAME and clean_text(name) == name for name in names)

    def may_tell(row: Mapping[str, Any]) -> bool:
        return (
            clean_text(row["error"]) == row["error"]
            if row["has_text"]
            else is_stand_in(row["error"], row["service"], row["method"])
        )

    calls = [
        dict(row)
        for row in counts.calls
        if enough("methods", row["service"], row["method"]) and is_plain(row["service"], row["method"])
    ]
    pairs = {(row["service"], row["method"]) for row in calls}
    failures = [
        dict(row)
        for row in counts.failures
        if (row["service"], row["method"]) in pairs and enough("errors", row["error"]) and may_tell(row)
    ]
    talk = [dict(row) for row in counts.talk if enough("agents", row["service"]) and is_plain(row["service"])]
    for row in talk:
        if not enough("signals", row["service"], row["signal"]):
            row |= {"affected": 0, "turns": 0}
    heard, named = ({row["service"]: row["sessions"] for row in rows} for rows in (counts.talk, talk))
    unnamed = Suppressed(
        failures=sum(row["failures"] for row in counts.failures) - sum(row["failures"] for row in failures),
        calls=sum(row["calls"] for row in counts.calls) - sum(row["calls"] for row in calls),
        sessions=sum(heard.values()) - sum(named.values()),
    )
    return _Kept(_in_order(failures), _in_order(calls), _in_order(talk), unnamed)


def _in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        rows, key=lambda row: tuple(row.get(name, "") for name in ("service", "method", "signal", "error"))
    )


def _noised(kept: _Kept, shown: Collection[str], epsilon: Fraction, random: Random) -> _Kept:
    """Add noise to every number; see `publish`.

    `shown` are the agents' signals that are published, as SEEN_SQL names them. A published row counts
    something, so no count falls below one.
    """

    def noised(count: int, scale: Fraction = OF_ONE) -> int:
        return count + discrete_laplace(scale / epsilon, random)

    failures = [
        row | dict.fromkeys(("failures", "sessions"), max(1, noised(row["failures"])))
        for row in kept.failures
    ]
    named: dict[tuple[Any, Any], int] = {}
    for row in failures:
        pair = (str(row["service"]), str(row["method"]))
        named[pair] = named.get(pair, 0) + row["failures"]
    calls = []
    for row in kept.calls:
        failed, exact = named.get((row["service"], row["method"]), 0), dict(row["durations"])
        durations = {bucket: noised(exact.get(bucket, 0), OF_CALLS) for bucket in COARSE}
        count = max(1, failed, failed + sum(durations.values()))
        timed = tuple((bucket, calls) for bucket, calls in durations.items() if bucket != UNTIMED and calls)
        calls.append(row | {"calls": count, "failures": failed, "sessions": count, "durations": timed})
    talk = []
    for service, group in groupby(kept.talk, key=lambda row: row["service"]):
        rows = list(group)
        # A signal that too few showed is published as 0. That depends on its name, not on its count: adding
        # noise to all counts but 0 would tell 0 from 1.
        said = [row for row in rows if f"{service}\x1f{row['signal']}" in shown]
        affected = {row["signal"]: noised(row["affected"]) for row in said}
        sessions = noised(rows[0]["sessions"] - sum(row["affected"] for row in said)) + sum(affected.values())
        affected = {signal: max(1, count) for signal, count in affected.items()}
        sessions = max(1, sessions, *affected.values())
        talk += [
            row
            | {
                "affected": affected.get(row["signal"], 0),
                "sessions": sessions,
                "turns": affected.get(row["signal"], 0),
            }
            for row in rows
        ]
    unnamed = Suppressed(
        failures=max(0, noised(kept.unnamed.failures)),
        calls=max(0, noised(kept.unnamed.calls, OF_CALLS)),
        sessions=max(0, noised(kept.unnamed.sessions)),
    )
    return _Kept(failures, calls, talk, unnamed)
