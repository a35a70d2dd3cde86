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
from fl_assets.federation.counting import COARSE, OF_CALLS, OF_ONE, SLOW, UNTIMED, DayCounts
from fl_assets.federation.names import NOTHING_KNOWN, KnownNames, Thresholds
from fl_assets.federation.noise import discrete_laplace
from fl_assets.federation.summary import (
    MAX_NAME,
    SIGNALS,
    CallCount,
    FailureCount,
    SharedSettings,
    Summary,
    Suppressed,
    TalkCount,
    is_stand_in,
)

_NOTHING = Suppressed(failures=0, calls=0, sessions=0)


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
    delta: float = 0.0,
    known: KnownNames = NOTHING_KNOWN,
) -> Summary:
    """Return the summary of a node's day: names that k sessions had, with noise if epsilon is set.

    A name (masked error or the template in its place, service and method, agent) that fewer than
    `settings.min_sessions` sessions had is left out, and so is a signal that fewer showed. A name that
    redaction would still change is left out as well.

    With noise. *Sensitivity*: from its own events alone, BOUNDED_SQL counts a session by up to PARTS parts, a
    conversation (of one agent, with one signal or none) and failures (each of a text of its own), and by at
    most CALLS_BESIDE successful calls. Each of these is in one number: a row's, or `unnamed`'s; successful
    calls are counted by method and COARSE duration, failures whose text says that time ran out by SLOW
    duration. So removing the session changes all numbers together by n
    failures or conversations and CALLS_BESIDE[n] calls, as long as the same rows are published, including
    those with a bounded count of 0. *Noise*: each number gets a discrete Laplace variable, of scale OF_ONE /
    epsilon for failures and conversations and OF_CALLS / epsilon for calls. For each n the changes over the
    scales add up to epsilon at most, so the whole is epsilon-differentially private given the rows (Dwork et
    al., *Calibrating noise to sensitivity in private data analysis*, 2006; integers: Ghosh et al.,
    *Universally utility-maximizing privacy mechanisms*, 2009). All else (calls of a method, raising counts of
    a row to one, the number of events) is computed from the noised numbers. Durations of other failed calls
    are left out, and with a delta those of all. *Not* hidden by noise: which rows are published, which exact
    counts decide, and whether the node had events.

    With a delta k decides nothing, and the noise decides about the rows, too. Numbers are those above, of
    every row that the bounded parts count something in or whose name is in `known`, which holds published
    names alone; nothing is said of the rest (`unnamed`). A row is published when its noised count reaches its
    threshold (`names.Thresholds`). *Argument*: take one session away. A row that others count in too, or that
    is known, is there in both days, and its noised count, by which it is published or not, is covered by
    epsilon. A row that the session alone counts in is a new one: on the day without the session it cannot be
    published; on the day with it it is with a probability that, over all such rows of a session, is at most
    delta; when it is not, the two days say the same. So the whole is (epsilon, delta)-differentially private
    (stability-based histograms: Korolova et al., *Releasing search queries and clicks privately*, 2009;
    Desfontaines et al., *Differentially private partition selection*, 2020), in the other direction, too,
    while delta is below 1 - exp(-epsilon / MAX_CALLS). What a failure's row needs of its method follows from
    published rows. Days compose: names published on earlier days are known to whoever reads this one.

    Args:
        counts: The day's counts; bounded by session (BOUNDED_SQL) when there is noise.
        node_id: The node.
        day: The day.
        sequence: Number of the summary.
        created_at: Time of the summary.
        settings: Masks, k and epsilon.
        random: Source of the noise; needed with an epsilon.
        delta: 0 for names by exact counts and k; else the probability with which one session may publish a
            name that is its own; needs an epsilon.
        known: Names that were published before; with a delta.
    """
    if delta and not settings.epsilon:
        message = f"delta={delta}: needs an epsilon, for the noise decides which names are published"
        raise ValueError(message)
    kept = _Kept([], [], [], _NOTHING) if delta else _named(counts, settings.min_sessions)
    events = counts.events
    if settings.epsilon:
        if random is None:
            message = "epsilon needs a source of noise: give `random`"
            raise ValueError(message)
        noise = _Noise(Fraction(str(settings.epsilon)), random)
        shown = {
            signal for signal, sessions in counts.seen["signals"].items() if sessions >= settings.min_sessions
        }
        kept = _by_threshold(counts, known, delta, noise) if delta else _noised(kept, shown, noise)
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

    calls = [
        dict(row)
        for row in counts.calls
        if enough("methods", row["service"], row["method"]) and _is_plain(row["service"], row["method"])
    ]
    pairs = {(row["service"], row["method"]) for row in calls}
    failures = [
        dict(row)
        for row in counts.failures
        if (row["service"], row["method"]) in pairs and enough("errors", row["error"]) and _may_be_named(row)
    ]
    talk = [
        dict(row) for row in counts.talk if enough("agents", row["service"]) and _is_plain(row["service"])
    ]
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


def _is_plain(*names: str) -> bool:
    return all(len(name) <= MAX_NAME and clean_text(name) == name for name in names)


def _may_be_named(row: Mapping[str, Any]) -> bool:
    return (
        clean_text(row["error"]) == row["error"]
        if row["has_text"]
        else is_stand_in(row["error"], row["service"], row["method"])
    )


@dataclass(frozen=True)
class _Noise:
    """Adds noise to every number; see `publish`.

    A published row counts something, so no count falls below one.
    """

    epsilon: Fraction
    random: Random

    def on(self, count: int, scale: Fraction = OF_ONE) -> int:
        return count + discrete_laplace(scale / self.epsilon, self.random)

    def failures(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            exact = dict(row.get("durations", ()))
            durations = {bucket: self.on(exact.get(bucket, 0)) for bucket in SLOW} if exact else {}
            count = max(1, sum(durations.values()) if exact else self.on(row["failures"]))
            # None is left out, for how many there are says how often the count has noise.
            timed = tuple(durations.items())
            found.append({**row, "failures": count, "sessions": count, "durations": timed})
        return found

    def calls(
        self, rows: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return methods' calls: `failures` as published, and successful ones with noise."""
        named: dict[tuple[Any, Any], int] = {}
        for row in failures:
            pair = (str(row["service"]), str(row["method"]))
            named[pair] = named.get(pair, 0) + row["failures"]
        found = []
        for row in rows:
            failed, exact = named.get((row["service"], row["method"]), 0), dict(row["durations"])
            durations = {bucket: self.on(exact.get(bucket, 0), OF_CALLS) for bucket in COARSE}
            count = max(1, failed, failed + sum(durations.values()))
            timed = tuple(
                (bucket, calls) for bucket, calls in durations.items() if bucket != UNTIMED and calls
            )
            found.append({**row, "calls": count, "failures": failed, "sessions": count, "durations": timed})
        return found

    def talk(self, rows: Iterable[Mapping[str, Any]], shown: Collection[str]) -> list[dict[str, Any]]:
        """Return agents' conversations; `shown` are the signals (as SEEN_SQL names them) with noise."""
        found = []
        for service, group in groupby(rows, key=lambda row: row["service"]):
            of_agent = list(group)
            # A signal that too few showed is published as 0. That depends on its name, not on its count:
            # adding noise to all counts but 0 would tell 0 from 1.
            said = [row for row in of_agent if f"{service}\x1f{row['signal']}" in shown]
            affected = {row["signal"]: self.on(row["affected"]) for row in said}
            quiet = self.on(of_agent[0]["sessions"] - sum(row["affected"] for row in said))
            sessions = quiet + sum(affected.values())
            affected = {signal: max(1, count) for signal, count in affected.items()}
            sessions = max(1, sessions, *affected.values())
            for row in of_agent:
                count = affected.get(row["signal"], 0)
                found.append({**row, "affected": count, "sessions": sessions, "turns": count})
        return found


def _noised(kept: _Kept, shown: Collection[str], noise: _Noise) -> _Kept:
    """Put noise on the numbers of the rows that k sessions had."""
    failures = noise.failures(kept.failures)
    calls = noise.calls(kept.calls, failures)
    talk = noise.talk(kept.talk, shown)
    unnamed = Suppressed(
        failures=max(0, noise.on(kept.unnamed.failures)),
        calls=max(0, noise.on(kept.unnamed.calls, OF_CALLS)),
        sessions=max(0, noise.on(kept.unnamed.sessions)),
    )
    return _Kept(failures, calls, talk, unnamed)


def _by_threshold(counts: DayCounts, known: KnownNames, delta: float, noise: _Noise) -> _Kept:
    """Put noise on the numbers of all rows, and keep those that reach their threshold."""
    least = Thresholds.of(noise.epsilon, delta)
    failures = _failures_above(least, counts, known, noise)
    calls = _calls_above(least, counts, known, noise, failures)
    return _Kept(failures, calls, _talk_above(least, counts, known, noise), _NOTHING)


def _failures_above(
    least: Thresholds, counts: DayCounts, known: KnownNames, noise: _Noise
) -> list[dict[str, Any]]:
    names = ("service", "method", "error")
    counted = dict.fromkeys(known.failures, 0)
    counted |= {
        tuple(row[name] for name in names): row["failures"] for row in counts.failures if row["failures"]
    }
    candidates = [
        dict(zip(names, key, strict=True))
        | {"has_text": not is_stand_in(key[2], key[0], key[1]), "failures": failed}
        for key, failed in counted.items()
    ]

    def threshold(row: Mapping[str, Any]) -> int:
        is_known = tuple(row[name] for name in names) in known.failures
        return least.known_failure if is_known else least.new_failure

    noised = noise.failures(_in_order(filter(_may_be_named, candidates)))
    return [row for row in noised if row["failures"] >= threshold(row)]


def _calls_above(
    least: Thresholds, counts: DayCounts, known: KnownNames, noise: _Noise, failures: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Keep methods that reach their threshold, and those that have one of `failures`."""
    failing = {(row["service"], row["method"]) for row in failures}
    methods = {
        (service, method): {"service": service, "method": method, "durations": ()}
        for service, method in known.methods | failing
    }
    methods |= {(row["service"], row["method"]): dict(row) for row in counts.calls if row["calls"]}
    return [
        row
        for row in noise.calls(_in_order(row for pair, row in methods.items() if _is_plain(*pair)), failures)
        if (pair := (row["service"], row["method"])) in failing
        or row["calls"] >= (least.known_method if pair in known.methods else least.new_method)
    ]


def _talk_above(
    least: Thresholds, counts: DayCounts, known: KnownNames, noise: _Noise
) -> list[dict[str, Any]]:
    heard = {row["service"] for row in counts.talk if row["sessions"]} | known.agents
    said = {(row["service"], row["signal"]): row["affected"] for row in counts.talk}
    sessions = {row["service"]: row["sessions"] for row in counts.talk}
    rows = [
        {
            "service": service,
            "signal": signal,
            "sessions": sessions.get(service, 0),
            "affected": said.get((service, signal), 0),
        }
        for service in heard
        if _is_plain(service)
        for signal in SIGNALS
    ]
    talk = []
    for row in noise.talk(_in_order(rows), {f"{row['service']}\x1f{row['signal']}" for row in rows}):
        if row["sessions"] >= (least.known_agent if row["service"] in known.agents else least.new_agent):
            is_shown = row["affected"] >= least.known_failure
            talk.append(row if is_shown else row | {"affected": 0, "turns": 0})
    return talk
