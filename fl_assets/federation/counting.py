"""How a node counts its day by session, with and without a bound on each session's part.

What goes here: SQL over the views `raw_traces` and `conversation_logs`, and its result as a record. What does not: what of it is published
(`privacy.py`).

A *session* is what is protected: a conversation with all calls that belong to it, or a trace that belongs to none. Calls without a trace
are one session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import NOISE_WIDTH, bucket_sql, failures_sql

MAX_CALLS = 6
"""With noise a session counts as one failed call or one conversation and one successful call, or else as so many successful calls at the most."""


OF_CALLS, OF_ONE = Fraction(MAX_CALLS), Fraction(MAX_CALLS, MAX_CALLS - 1)
"""Scales of the noise on successful calls, and on failures and conversations, for an epsilon of 1: 1 / OF_ONE + 1 / OF_CALLS = MAX_CALLS / OF_CALLS = 1."""


COARSE = (UNTIMED := -3, *range(NOISE_WIDTH, 8 * NOISE_WIDTH + 1, NOISE_WIDTH))
"""Buckets of durations with noise, each named by the last of those that it is made of: calls of no known duration, up to 5 ms, 26 ms …, and all above 84 s."""


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
