"""What a node says of itself without its events: the summary, what may be in it, and when it is believed.

What goes here: the summary's shape and canonical bytes, what is left out of it, how a session's part is bounded and noise is put on, the rules by which one
is refused, and the rows that follow from it. What does not: files, keys, the ledger (`federation/node_side.py`, `federation/coordinator_side.py`), the
sampler (`noise.py`), which nodes report (`nodes.py`). docs/federation.md tells the same in prose.

A *session* is what is protected: a conversation with all calls that belong to it, or a trace that belongs to none. Calls without a trace are one session.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from itertools import groupby
from math import ceil
from random import Random
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from fl_assets.adapters.manifest import canonical
from fl_assets.core.models import Record, Signal
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import redact
from fl_assets.federation.noise import discrete_laplace
from fl_assets.patterns.mining import group_messages
from fl_assets.sums.conversations import SIGNALS, conversation_signals_sql
from fl_assets.sums.masking import (
    MAX_MASKED_CHARS,
    NO_TEXT_PREFIX,
    NOISE_BUCKET,
    NOISE_WIDTH,
    bucket_sql,
    failures_sql,
    mask_sql,
)

FORMAT = "fl-assets-summary/1"
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest summary that is read, bytes."""
MAX_ROWS = 50_000
MAX_NAME, MAX_ERROR, MAX_COUNT = 200, MAX_MASKED_CHARS + 13, 10**12
OTHER = "(few sessions)"
"""Service and method of the calls whose own are not named."""
NODE_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What a node may be called: a key's file name, and nothing that could be a path."""

MAX_CALLS = 6
"""With noise a session counts as one failed call or one conversation and one successful call, or else as so many successful calls at the most."""
OF_CALLS, OF_ONE = Fraction(MAX_CALLS), Fraction(MAX_CALLS, MAX_CALLS - 1)
"""Scales of the noise on successful calls, and on failures and conversations, for an epsilon of 1: 1 / OF_ONE + 1 / OF_CALLS = MAX_CALLS / OF_CALLS = 1."""
COARSE = (UNTIMED := -3, *range(NOISE_WIDTH, 8 * NOISE_WIDTH + 1, NOISE_WIDTH))
"""Buckets of durations with noise, each named by the last of those that it is made of: calls of no known duration, up to 5 ms, 26 ms …, and all above 84 s."""

RULES: Mapping[str, str] = {
    "size": f"a summary is one line of at most {MAX_LINE_BYTES} bytes",
    "format": "it is a signed summary in canonical form that breaks no bound",
    "schema_version": f"its format is {FORMAT}",
    "unknown_node": "the public key of its node is registered",
    "signature": "its node's key signed exactly this",
    "wrong_node": "it is signed by the node that it names, and not by another",
    "settings_match": "node and coordinator mask alike and agree on k and epsilon",
    "day": "its day is a partition that has begun",
    "replay": "its sequence number is above the highest ever taken of its node and day",
    "expired": "the raw events of its day have not been removed by retention",
}
"""Every rule of admission; a refusal begins with its name."""


class SummaryRefusedError(ValueError):
    """A summary that must not be taken; `rule` is one of RULES."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}; must hold: {RULES[rule]}")
        self.rule, self.detail = rule, detail


# The summary -----------------------------------------------------------------------------------------------------------

Name = Field(min_length=0, max_length=MAX_NAME)
Count = Field(ge=0, le=MAX_COUNT)
Durations = tuple[tuple[int, int], ...]


class FailureCount(Record):
    """Failed calls of one method with one masked error."""

    service: str = Name
    method: str = Name
    error: str = Field(
        min_length=1,
        max_length=2 * MAX_NAME + MAX_ERROR,
        description="Masked error, or the stand-in for none.",
    )
    has_text: bool
    failures: int = Field(ge=1, le=MAX_COUNT)
    sessions: int = Count
    durations: Durations = Field(
        (), max_length=300, description="Bucket and calls, as in failure_signatures; empty with noise."
    )


class CallCount(Record):
    """Calls of one method."""

    service: str = Name
    method: str = Name
    calls: int = Field(ge=1, le=MAX_COUNT)
    failures: int = Count
    sessions: int = Count
    durations: Durations = Field(
        (),
        max_length=300,
        description="Bucket and successful calls; with noise COARSE buckets, and calls as noise has left them.",
    )


class TalkCount(Record):
    """Conversations of one agent that show one signal."""

    service: str = Name
    signal: Signal
    affected: int = Count
    sessions: int = Count
    turns: int = Count


class Unnamed(Record):
    """What too few sessions had to be named, as numbers."""

    failures: int = Count
    calls: int = Count
    sessions: int = Count


class Agreed(Record):
    """Settings that node and coordinator must share, or their numbers could not be added."""

    mask_version: str = Field(pattern=r"^[0-9a-f]{12}$")
    min_sessions: int = Field(ge=1)
    epsilon: float = Field(ge=0, le=100, description="0 is no noise.")


class Summary(Record):
    """One node's day."""

    format: Literal["fl-assets-summary/1"] = FORMAT
    node_id: str = Field(pattern=NODE_ID)
    day: date
    sequence: int = Field(ge=1, le=MAX_COUNT, description="Rises with every new summary of the node.")
    created_at: datetime
    settings: Agreed
    events: int = Count
    failures: tuple[FailureCount, ...] = Field(max_length=MAX_ROWS)
    calls: tuple[CallCount, ...] = Field(max_length=MAX_ROWS)
    talk: tuple[TalkCount, ...] = Field(max_length=MAX_ROWS)
    unnamed: Unnamed

    @model_validator(mode="after")
    def _numbers_agree(self) -> "Summary":
        of_pair = {(one.service, one.method): one for one in self.calls}
        named: dict[tuple[str, str], int] = dict.fromkeys(of_pair, 0)
        keys = [(one.service, one.method, one.error) for one in self.failures]
        talk = [(one.service, one.signal) for one in self.talk]
        if len(set(keys)) < len(keys) or len(of_pair) < len(self.calls) or len(set(talk)) < len(talk):
            message = (
                "each (service, method, error), (service, method) and (service, signal) may be there once"
            )
            raise ValueError(message)
        for one in self.failures:
            pair = (one.service, one.method)
            if pair not in of_pair:
                message = f"failures of {pair} need its calls"
                raise ValueError(message)
            if not one.has_text and not is_stand_in(one.error, one.service, one.method):
                message = f"a failure of {pair} without a text must have the stand-in of its service and method, with a status or none"
                raise ValueError(message)
            named[pair] += one.failures
        for pair, one in of_pair.items():
            if not named[pair] <= one.failures <= one.calls:
                message = f"{pair}: {named[pair]} named failures, {one.failures} failures and {one.calls} calls must not fall in this order"
                raise ValueError(message)
        for one in self.talk:
            if one.affected > one.sessions:
                message = f"{one.service} {one.signal}: {one.affected} of {one.sessions} conversations"
                raise ValueError(message)
        for one in (*self.failures, *self.calls):
            least = -MAX_COUNT if self.settings.epsilon else 1
            if any(
                not (-1 <= bucket <= 240 and least <= calls <= MAX_COUNT) for bucket, calls in one.durations
            ):
                message = "durations must be buckets from -1 to 240 with positive counts (with noise, any)"
                raise ValueError(message)
        return self

    @property
    def content(self) -> str:
        """Hash of what it says, whenever and under whichever number it is said."""
        same = self.model_copy(update={"sequence": 1, "created_at": datetime(2000, 1, 1, tzinfo=UTC)})
        return hashlib.sha256(canonical(same)).hexdigest()


class SignedSummary(Record):
    """A summary and its node's signature, base64."""

    signed: Summary
    signature: str = Field(max_length=100)


def signed_bytes(summary: Summary) -> bytes:
    """Return what the signature is over: the canonical form behind a line that says what it is, so that no other document can pass for it."""
    return b"fl-assets node summary 1\n" + canonical(summary)


def is_stand_in(error: str, service: str, method: str) -> bool:
    """Whether this is how the masked error of a failure without a text reads, with a status of a plain form or none."""
    status = error.removeprefix(_stand_in(service, method))
    return (
        len(status) < len(error) and re.fullmatch(r"(?: status=[A-Za-z0-9_.:/ -]{1,64})?", status) is not None
    )


def _stand_in(service: str, method: str) -> str:
    return f"{NO_TEXT_PREFIX} service={service} method={method}"


def mask_version() -> str:
    """Return what tells one way of masking from another: nodes and coordinator must mask alike."""
    return hashlib.sha256(mask_sql("t").encode()).hexdigest()[:12]


def agreed(settings: FederatedLearningConfig) -> Agreed:
    """Return what this machine's settings ask of a summary."""
    return Agreed(
        mask_version=mask_version(),
        min_sessions=settings.summary_min_sessions,
        epsilon=settings.summary_epsilon,
    )


# On the node: counting, by session -------------------------------------------------------------------------------------

_SESSION_KEY = "metadata->>'$.session_id'"

SESSION_SQL = (
    f"""create temp table fl_units as
        select trace_id, min(unit) as unit from (
            select trace_id, nullif({_SESSION_KEY}, '') as unit from raw_traces
            union all select trace_id, coalesce(session_id, log_id, event_id) from conversation_logs)
        where trace_id is not null and unit is not null group by trace_id""",  # noqa: S608 - constants of our own only
    # The session stands in the node's place, so that the statements that sum by node sum by session.
    "create temp view fl_calls as select * replace (coalesce(unit, trace_id, '') as node_id) from (select t.*, unit from raw_traces t left join fl_units using (trace_id))",
    "create temp view fl_turns as select * replace (coalesce(session_id, log_id, event_id) as node_id) from conversation_logs",
    f"create temp table fl_failed as {failures_sql('fl_calls')}",
    f"create temp table fl_talk as {conversation_signals_sql('fl_turns', 'raw_traces')}",
)
"""Statements that make of the views `raw_traces` and `conversation_logs` of a day the failed calls and signals of each session."""

SEEN_SQL = {
    "errors": "select masked_error, count(distinct node_id) from fl_failed group by 1",
    "methods": "select service || chr(31) || method, count(distinct node_id) from fl_calls group by 1",
    "agents": "select service, count(distinct node_id) from fl_talk group by 1",
    "signals": "select service || chr(31) || signal, count(distinct node_id) from fl_talk where sessions_affected > 0 group by 1",
}
"""How many sessions had each name."""

_TRACES = "count(distinct trace_id) + bool_or(trace_id is null)::integer as sessions"
EXACT_SQL = {
    "failures": f"""
        select service, method, masked_error as error, any_value(has_text) as has_text, count(*) as failures, {_TRACES}, histogram(bucket) as durations
        from fl_failed group by all""",  # noqa: S608
    "calls": f"""
        select service, method, count(*) as calls, count(*) filter (not success and caused_by is null) as failures, {_TRACES},
            histogram({bucket_sql("duration_ms")}) filter (success and duration_ms is not null) as durations
        from fl_calls group by all""",  # noqa: S608
    "talk": """
        select service, signal, sum(sessions_affected)::bigint as affected, sum(sessions)::bigint as sessions, sum(turns)::bigint as turns
        from fl_talk group by all""",
}
"""What a coordinator would count of the day's events (signature_sql, call_totals_sql, conversation_signals_sql), of all sessions together."""

# Of sessions with talk and calls every other counts by its talk, drawn by the hash of its id.
_TALKS = "(node_id not in (select node_id from fl_calls) or md5('talk' || node_id) >= '8')"
_COARSE_SQL = f"least({NOISE_WIDTH} * greatest(1, ceil({bucket_sql('duration_ms')} / {NOISE_WIDTH}))::integer, {COARSE[-1]})"
BOUNDED_SQL = {
    "failures": f"""
        select service, method, masked_error as error, any_value(has_text) as has_text, count(*) filter (place = 1 and not talks) as failures
        from (
            select *, node_id in (select node_id from fl_talk where {_TALKS}) as talks, row_number() over (partition by node_id order by md5(event_id)) as place
            from fl_failed)
        group by all""",  # noqa: S608
    "calls": f"""
        with fl_one as (select node_id from fl_failed union select node_id from fl_talk where {_TALKS}),
        fl_drawn as (
            select service, method, success, case when duration_ms is null then {UNTIMED} else {_COARSE_SQL} end as bucket,
                row_number() over (partition by node_id, success order by md5(event_id)) as place,
                case when node_id in (select node_id from fl_one) then 1 else {MAX_CALLS} end as most
            from fl_calls),
        fl_counted as (select service, method, bucket, count(*) filter (success and place <= most) as calls from fl_drawn group by all)
        select service, method, sum(calls)::bigint as calls, map_from_entries(list((bucket, calls))) as durations from fl_counted group by all""",  # noqa: S608
    "talk": f"""
        with fl_own as (select node_id, arg_min(service, md5(service || node_id)) as service from fl_talk where {_TALKS} group by node_id),
        fl_shown as (
            select service, arg_min(signal, md5(signal || node_id)) as signal
            from fl_talk semi join fl_own using (node_id, service) where sessions_affected > 0 group by node_id, service)
        select service, signal, coalesce(sessions, 0) as sessions, coalesce(affected, 0) as affected
        from (select distinct service, signal from fl_talk)
        left join (select service, count(*) as sessions from fl_own group by all) using (service)
        left join (select service, signal, count(*) as affected from fl_shown group by all) using (service, signal)""",  # noqa: S608
}
"""The same counts with each session's part bounded, as MAX_CALLS says: which of its calls, agents and signals count is drawn by the hash of their ids.

Calls are the successful ones. A row of which nothing was drawn counts nought and is there all the same, or whether it is there would tell of a session what noise
hides.
"""

MAX_GAP, MIN_SHARED = 3, 4
"""Rare texts are one when all but so many neighbouring words, and so many words at the least, are the same."""
_WORD = re.compile(r"[^\W_]+")
_HELD = re.compile(r"<[A-Z*][A-Z0-9_]*>|<\*>")


def shared_templates(seen: Mapping[str, int], k: int) -> dict[str, str]:
    """Return for masked errors that fewer than k sessions had the template that they share with others, where there is one: what varies becomes `<VAR>`.

    The miner's templates first (`patterns.py`), then, for a node alone has few texts to mine from, what is the same but for one place. Every word of a template is in every error that it stands for. Whether enough sessions had any of those is counted afterwards.

    Args:
        seen: sessions by masked error.
        k: sessions that must have had a text.
    """
    by_status: dict[str, list[str]] = {}
    for error in sorted(seen):
        text, status = split_status(error)
        by_status.setdefault(status, []).append(text)
    found: dict[str, str] = {}
    for status, bare in by_status.items():
        grouping = group_messages(bare)
        members: dict[int, list[str]] = {}
        for group, text in zip(grouping.group.tolist(), bare, strict=True):
            members.setdefault(group, []).append(text)
        for group, texts in members.items():
            template = grouping.templates[group].replace("<*>", "<VAR>")
            shared = set.intersection(*(set(_WORD.findall(_HELD.sub(" ", text))) for text in texts))
            rare = [text for text in texts if seen[text + status] < k]
            if (
                len(texts) > 1
                and set(_WORD.findall(_HELD.sub(" ", template))) <= shared
                and sum(seen[text + status] for text in rare) >= k
            ):
                found |= {text + status: template + status for text in rare}
        rare = {
            text: seen[text + status]
            for text in bare
            if seen[text + status] < k and text + status not in found
        }
        found |= {text + status: template + status for text, template in _gapped(rare, k).items()}
    return found


def _gapped(seen: Mapping[str, int], k: int) -> dict[str, str]:
    """Return for texts that differ in one place alone, of MAX_GAP words at the most, what they share, where k sessions had any of them; the largest groups first."""
    groups: dict[str, list[str]] = {}
    for text in sorted(seen):
        words = text.split()
        of_prose = [bool(_WORD.search(_HELD.sub("", word))) for word in words]
        places = [
            (first, after)
            for first in range(len(words))
            for after in range(first + 1, min(first + MAX_GAP, len(words)) + 1)
        ]
        enough = [
            (first, after)
            for first, after in places
            if sum(of_prose) - sum(of_prose[first:after]) >= MIN_SHARED
        ]
        for template in {" ".join((*words[:first], "<VAR>", *words[after:])) for first, after in enough}:
            groups.setdefault(template, []).append(text)
    found: dict[str, str] = {}
    for template in sorted(
        groups, key=lambda template: (-sum(seen[text] for text in groups[template]), -len(template), template)
    ):
        left = [text for text in groups[template] if text not in found]
        if len(left) > 1 and sum(seen[text] for text in left) >= k:
            found |= dict.fromkeys(left, template)
    return found


def split_status(error: str) -> tuple[str, str]:
    """Return a masked error without the status that masking has put at its end, and that status, '' for none."""
    text = _STATUS.sub("", error)
    return text, error[len(text) :]


@dataclass(frozen=True)
class DayCounts:
    """A node's day, before anything is left out.

    Attributes:
        events: calls and turns.
        failures: `service, method, error, has_text, failures`, and without noise `sessions, durations`.
        calls: `service, method, calls, durations`, and without noise `failures, sessions`; with noise successful ones alone, their durations in COARSE buckets.
        talk: `service, signal, sessions, affected`, and without noise `turns`.
        seen: sessions by name, for each key of SEEN_SQL.
    """

    events: int
    failures: Sequence[Mapping[str, Any]]
    calls: Sequence[Mapping[str, Any]]
    talk: Sequence[Mapping[str, Any]]
    seen: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class _Kept:
    failures: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    talk: list[dict[str, Any]]
    unnamed: Unnamed


def summarise(
    counts: DayCounts,
    *,
    node_id: str,
    day: date,
    sequence: int,
    created_at: datetime,
    settings: Agreed,
    random: Random | None = None,
) -> Summary:
    """Return the summary of a node's day: what k sessions had, with noise where epsilon says so.

    A name (masked error or the template in its place, service and method, agent) that fewer than `settings.min_sessions` sessions had is left out, and so is a
    signal that fewer showed.
    A name that redaction would still change is left out as well.

    With noise. *Sensitivity*: BOUNDED_SQL draws from a session's events alone that it counts as one failed call or one conversation (of one agent, with one signal or
    none) and one successful call, or else as MAX_CALLS successful calls at the most; each of these is in one number (a row's, or `unnamed`'s), a successful call in
    that of its method and COARSE duration. So with and without the session all numbers together differ by 1 in a failure or conversation and by 1 in a
    call, or by MAX_CALLS in calls, as long as the same rows are published, those of a bounded count of nought among them.
    *Noise*: to each number is added a discrete Laplace variable, of scale OF_ONE / epsilon to failures and conversations and OF_CALLS / epsilon to calls: in
    either case the differences over the scales add up to epsilon, so that the whole is epsilon-differentially private given the rows (Dwork et al., *Calibrating
    noise to sensitivity in private data analysis*, 2006; integers: Ghosh et al., *Universally utility-maximizing privacy mechanisms*, 2009). All that
    follows (calls of a method, no count of a row below one, the number of events) is computed from the noised numbers. Durations of failed calls are left out. *Not* hidden by
    noise: which names are published in which rows, which exact counts decide, and whether the node had events on the day.

    Args:
        counts: The day; bounded by session (BOUNDED_SQL) when there is noise.
        node_id: Who says it.
        day: The day.
        sequence: Its number.
        created_at: When.
        settings: Masks, k and epsilon.
        random: What noise is drawn from; needed with an epsilon.
    """
    kept = _named(counts, settings.min_sessions)
    events = counts.events
    if settings.epsilon:
        if random is None:
            message = "noise needs something to be drawn from: give `random`"
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
    """Split a day into what k sessions had and numbers of the rest."""

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
    unnamed = Unnamed(
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
    """Put noise on every number; see `summarise`. `shown` are the agents' signals (as SEEN_SQL names them) with noise.

    That a row is published says that it counts something, so nothing falls below one.
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
        # A signal that too few showed stays unsaid. Its name says so and never its count: noise on all counts but nought would tell nought from one.
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
    unnamed = Unnamed(
        failures=max(0, noised(kept.unnamed.failures)),
        calls=max(0, noised(kept.unnamed.calls, OF_CALLS)),
        sessions=max(0, noised(kept.unnamed.sessions)),
    )
    return _Kept(failures, calls, talk, unnamed)


# On the coordinator: what is believed, and what follows -----------------------------------------------------------------

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_STATUS = re.compile(r"( <STATUS_[0-9]{3}>)?$")


def clean_text(text: str) -> str:
    """Return a text of a summary without control characters, personal data and secrets; an honest node's stays as it is."""
    return redact(_CONTROL.sub(" ", text))


def read_summary(line: bytes) -> SignedSummary:
    """Return the signed summary in a line; whose it is has yet to be shown.

    Raises:
        SummaryRefusedError: size, schema_version or format.
    """
    line = line.removesuffix(b"\n")
    if len(line) > MAX_LINE_BYTES:
        raise SummaryRefusedError("size", f"{len(line)} bytes")
    try:
        found = json.loads(line)
        stated = found["signed"]["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SummaryRefusedError(
            "format", f"{type(error).__name__} while reading it as JSON with `signed` and `signature`"
        ) from error
    if stated != FORMAT:
        raise SummaryRefusedError("schema_version", repr(stated)[:80])
    try:
        signed = SignedSummary.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # Only names of fields of ours are repeated, never what the line holds.
        raise SummaryRefusedError(
            "format", f"{'.'.join(str(part) for part in first['loc'])[:80]} breaks its rule ({first['type']})"
        ) from None
    if canonical(signed) != line:
        raise SummaryRefusedError("format", "not in canonical form (sorted keys, no blanks, no key twice)")
    return signed


def check_summary(summary: Summary, *, settings: FederatedLearningConfig, ours: Agreed, today: date) -> None:
    """Refuse a summary of a known node that this coordinator cannot add to others.

    Raises:
        SummaryRefusedError: settings_match or day.
    """
    differing = [
        name for name in Agreed.model_fields if getattr(summary.settings, name) != getattr(ours, name)
    ]
    if differing:
        told = ", ".join(
            f"{name} is {getattr(summary.settings, name)} there and {getattr(ours, name)} here"
            for name in differing
        )
        raise SummaryRefusedError("settings_match", told)
    if not settings.start_date <= summary.day <= today:
        raise SummaryRefusedError("day", f"{summary.day} is not between {settings.start_date} and {today}")


def clean_summary(summary: Summary, masked: Mapping[str, str]) -> tuple[Summary, int]:
    """Return a summary whose texts have been cleaned and masked once more, and how many of them changed.

    Args:
        summary: As it came; hostile.
        masked: For each of `texts_to_mask(summary)` what masking makes of it.
    """
    changed = 0

    def name(text: str) -> str:
        return clean_text(text)[:MAX_NAME]

    failures: dict[tuple[str, str, str], FailureCount] = {}
    for one in summary.failures:
        service, method = name(one.service), name(one.method)
        error = (
            _masked(one.error, masked)
            if one.has_text
            else one.error.replace(_stand_in(one.service, one.method), _stand_in(service, method), 1)
        )
        changed += (service, method, error) != (one.service, one.method, one.error)
        moved = one.model_copy(update={"service": service, "method": method, "error": error})
        failures[service, method, error] = _sum(
            failures.get((service, method, error)), moved, ("failures", "sessions")
        )
    calls: dict[tuple[str, str], CallCount] = {}
    for one in summary.calls:
        pair = (name(one.service), name(one.method))
        changed += pair != (one.service, one.method)
        calls[pair] = _sum(
            calls.get(pair),
            one.model_copy(update={"service": pair[0], "method": pair[1]}),
            ("calls", "failures", "sessions"),
        )
    talk: dict[tuple[str, str], TalkCount] = {}
    for one in summary.talk:
        service = name(one.service)
        changed += service != one.service
        talk[service, one.signal] = _sum(
            talk.get((service, one.signal)),
            one.model_copy(update={"service": service}),
            ("affected", "sessions", "turns"),
        )
    if not changed:
        return summary, 0
    update = {
        "failures": tuple(failures.values()),
        "calls": tuple(calls.values()),
        "talk": tuple(talk.values()),
    }
    return Summary.model_validate(summary.model_copy(update=update).model_dump()), changed


def texts_to_mask(summary: Summary) -> list[str]:
    """Return the error texts that masking is to see again: cleaned, without the status that masking itself has put at the end."""
    return sorted({split_status(clean_text(one.error))[0] for one in summary.failures if one.has_text})


def _masked(error: str, masked: Mapping[str, str]) -> str:
    text, status = split_status(clean_text(error))
    return (masked[text] + status)[:MAX_ERROR] or "<EMPTY>"


def _sum(one: Any, other: Any, names: Sequence[str]) -> Any:
    """Add the counts of two rows that cleaning has made the same."""
    if one is None:
        return other
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    if hasattr(one, "durations"):
        sums["durations"] = merge_durations(one.durations, other.durations)
    return one.model_copy(update=sums)


def merge_durations(*given: Iterable[tuple[int, int]]) -> Durations:
    """Return the sum of histograms, by bucket."""
    found: dict[int, int] = {}
    for one in given:
        for bucket, calls in one:
            found[bucket] = found.get(bucket, 0) + calls
    return tuple(sorted(found.items()))


@dataclass(frozen=True)
class SummaryRows:
    """Rows of failure_signatures, call_totals and conversation_signals."""

    signatures: list[dict[str, Any]]
    totals: list[dict[str, Any]]
    signals: list[dict[str, Any]]


def rows_of(summary: Summary) -> SummaryRows:
    """Return what a summary adds to a day's sums.

    Of times only the day is known: first and last seen are its ends. Calls and conversations that are not named count as those of `OTHER`.
    """
    own = {"event_date": summary.day, "node_id": summary.node_id}
    ends = {
        "first_seen": datetime.combine(summary.day, time.min),
        "last_seen": datetime.combine(summary.day, time(23, 59, 59)),
    }
    unseen: dict[str, datetime | None] = dict.fromkeys(ends)
    # A discrete Laplace variable of scale b has a variance just below 2 b^2.
    noise = (
        [(NOISE_BUCKET, ceil(2 * (OF_CALLS / Fraction(str(summary.settings.epsilon))) ** 2))]
        if summary.settings.epsilon
        else []
    )
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
            "latency_histogram": list(one.durations),
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
            "latency_histogram": [*one.durations, *noise],
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
