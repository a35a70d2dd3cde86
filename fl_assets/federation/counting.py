"""Counting a node's day by session, with and without a bound on each session's contribution.

What goes here: SQL over the views `raw_traces` and `conversation_logs`, and its result as a record. What does
not: which counts are published (`privacy.py`).

A *session* is a conversation with all its calls, or a trace without a conversation. Calls without a trace are
one session. The unit of protection is a session, or where events name users all sessions in which a user is
the first named; one of them counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import NOISE_WIDTH, bucket_sql, failures_sql

MAX_CALLS, PARTS = 6, 2
CALLS_BESIDE = (MAX_CALLS, 3, 1)
"""With noise a session counts by up to PARTS parts, a conversation and failures, and by at most so many
successful calls beside none, one or two of them."""
OF_CALLS, OF_ONE = Fraction(MAX_CALLS), Fraction(PARTS * MAX_CALLS, MAX_CALLS - 1)
"""Scales of the noise on successful calls, and on failures and conversations, for an epsilon of 1: n / OF_ONE
+ CALLS_BESIDE[n] / OF_CALLS is 1."""
COARSE = (UNTIMED := -3, *range(NOISE_WIDTH, 8 * NOISE_WIDTH + 1, NOISE_WIDTH))
"""Buckets of durations with noise, each named by its last fine bucket: calls without a duration, up to 5 ms,
26 ms …, and all above 84 s."""
SLOW = (FAST := -1, *COARSE[-3:])
"""Durations of failures that ran out of time, with noise: up to 3.3 s or unknown, up to 17 s, 84 s, more."""
_SESSION = "nullif(metadata->>'$.session_id', '')"
_USER = (
    "coalesce(nullif(metadata->>'$.user_id', ''), nullif(metadata->>'$.\"user.id\"', ''), "
    "nullif(metadata->>'$.\"enduser.id\"', ''))"
)
_TURN = "coalesce(session_id, log_id, event_id)"
_SOURCE = f"coalesce('s:' || {_SESSION}, 't:' || nullif(trace_id, ''), '')"

SESSION_SQL = (
    # A source is the calls that name a session, or the other calls of a trace, which several conversations
    # may name.
    f"""create temp table fl_owners as
        select distinct session, source from (
            select {_SESSION} as session, 's:' || {_SESSION} as source from raw_traces
            union all select {_SESSION}, 't:' || trace_id from raw_traces
            union all select {_TURN}, 's:' || {_TURN} from conversation_logs
            union all select {_TURN}, 't:' || trace_id from conversation_logs)
        where session is not null and source is not null""",  # noqa: S608 - constants of our own only
    f"""create temp table fl_users as
        select session, min(person) as person from (
            select {_SESSION} as session, {_USER} as person from raw_traces
            union all select {_TURN}, {_USER} from conversation_logs)
        where session is not null and person is not null group by session""",  # noqa: S608 - constants of our own only
    """create temp table fl_people as
        select source, min(coalesce(person, session)) as person
        from fl_owners left join fl_users using (session) group by source""",
    # The source replaces the node, so that statements that sum by node sum by source.
    f"""create temp view fl_calls as
        select t.* replace (source as node_id), coalesce({_USER}, person, source) as person
        from (select *, {_SOURCE} as source from raw_traces) t left join fl_people using (source)""",  # noqa: S608 - constants of our own only
    f"create temp view fl_turns as select * replace ({_TURN} as node_id) from conversation_logs",  # noqa: S608 - constants of our own only
    f"create temp table fl_failed as {failures_sql('fl_calls')}",
    f"create temp table fl_talk as {conversation_signals_sql('fl_turns', 'raw_traces')}",
    # What a conversation shows hangs on calls that name it or name none, not on another's in the same trace.
    f"""create temp view fl_own_calls as
        select * replace (case when {_SESSION} is null then trace_id end as trace_id) from raw_traces""",  # noqa: S608 - constants of our own only
    f"create temp table fl_own_talk as {conversation_signals_sql('fl_turns', 'fl_own_calls')}",
    # A session counts by its conversation and by one source.
    """create temp table fl_choices as
        with sources as (select node_id as source, bool_or(not success and caused_by is null) as failed
            from fl_calls group by 1),
        owned as (select session, source, failed from fl_owners join sources using (source)),
        sessions as (select session from owned union select node_id from fl_talk)
        select session, session in (select node_id from fl_talk) as talks,
            arg_min(source, (not failed, md5(session || source))) as source,
            coalesce(bool_or(failed), false) as failed
        from sessions left join owned using (session) group by session""",
    # Of all that is one person's one session or trace counts, one that failed first.
    f"""create temp table fl_units as
        with loose as (
            select node_id as source, min({_USER}) filter (node_id <> '') as person,
                bool_or(not success and caused_by is null) as failed
            from fl_calls where node_id not in (select source from fl_owners) group by node_id),
        units as (
            select session, null as source, coalesce('u:' || person, 's:' || session) as person, failed
            from fl_choices left join fl_users using (session)
            union all select null, source, coalesce('u:' || person, source), failed from loose)
        select session, source from units
        qualify row_number() over (
            partition by person order by not failed, md5(coalesce(session, source))) = 1""",  # noqa: S608 - constants of our own only
    "create temp table fl_picked as select * from fl_choices semi join fl_units using (session)",
    f"""create temp table fl_parts as
        with failed as (
            select node_id as source, count(distinct (service, method, masked_error)) as texts from fl_failed
            group by 1),
        picked as (
            select source, talks::integer as talks from fl_picked
            union all select source, 0 from fl_units where session is null)
        select source, max({PARTS} - talks) as texts,
            max({list(CALLS_BESIDE)}[1 + least({PARTS}, talks + coalesce(failed.texts, 0))]) as most
        from picked left join failed using (source) where source is not null group by source""",  # noqa: S608 - constants of our own only
)
"""Statements that make tables of each session's failed calls, signals and contribution from the views
`raw_traces` and `conversation_logs` of a day.

A session picks its contribution from its own events alone: its conversation, and one source of calls,
preferably one that failed. A source that several sessions picked counts as for the one of them of which it
counts most. So removing a session removes only its own pick, and changes no other's.
"""

_PERSONS = "count(distinct coalesce(person, node_id))"
SEEN_SQL = {
    "errors": f"""select masked_error, {_PERSONS} from fl_failed
        join (select event_id, person from fl_calls) using (event_id) group by 1""",  # noqa: S608 - constants of our own only
    "methods": f"select service || chr(31) || method, {_PERSONS} from fl_calls group by 1",  # noqa: S608 - constants of our own only
    "agents": f"select service, {_PERSONS} from fl_talk left join fl_users on session = node_id group by 1",  # noqa: S608 - constants of our own only
    "signals": f"""select service || chr(31) || signal, {_PERSONS} from fl_talk left join fl_users
        on session = node_id
        where sessions_affected > 0 group by 1""",  # noqa: S608 - constants of our own only
}
"""Persons with each name: users where events name them, else sessions, else traces."""

_TRACES = "count(distinct trace_id) + bool_or(trace_id is null)::integer as sessions"
EXACT_SQL = {
    "failures": f"""
        select service, method, masked_error as error, any_value(has_text) as has_text, count(*) as failures,
            {_TRACES}, {_PERSONS} as people, histogram(bucket) as durations
        from fl_failed join (select event_id, person from fl_calls) using (event_id) group by all""",  # noqa: S608
    "calls": f"""
        select service, method, count(*) as calls, count(*) filter (not success and caused_by is null)
            as failures, {_TRACES},
            histogram({bucket_sql("duration_ms")}) filter (success and duration_ms is not null) as durations
        from fl_calls group by all""",  # noqa: S608
    "talk": """
        select service, signal, sum(sessions_affected)::bigint as affected, sum(sessions)::bigint
            as sessions, sum(turns)::bigint as turns
        from fl_talk group by all""",
}
"""Counts over all sessions, as of signature_sql, call_totals_sql and conversation_signals_sql."""
_COARSE_SQL = (
    f"least({NOISE_WIDTH} * greatest(1, ceil({bucket_sql('duration_ms')} / "
    f"{NOISE_WIDTH}))::integer, {COARSE[-1]})"
)
BOUNDED_SQL = {
    "failures": f"""
        with of_texts as (
            select node_id, service, method, masked_error, any_value(has_text) as has_text,
                arg_min(bucket, md5(event_id)) as took,
                row_number() over (partition by node_id order by md5(min(event_id))) as place
            from fl_failed group by node_id, service, method, masked_error),
        counted as (
            select service, method, masked_error, any_value(has_text) as has_text,
                case when coalesce(took, 0) <= {COARSE[-4]} then {FAST} else
                    least({NOISE_WIDTH} * ceil(took / {NOISE_WIDTH})::integer, {COARSE[-1]}) end as bucket,
                count(*) filter (place <= coalesce(texts, 0)) as failures
            from of_texts left join fl_parts on source = node_id group by all)
        select service, method, masked_error as error, any_value(has_text) as has_text,
            sum(failures)::bigint as failures, map_from_entries(list((bucket, failures))) as durations
        from counted group by all""",  # noqa: S608 - constants of our own only
    "calls": f"""
        with drawn as (
            select service, method, success, node_id,
                case when duration_ms is null then {UNTIMED} else {_COARSE_SQL} end as bucket,
                row_number() over (partition by node_id, success order by md5(event_id)) as place
            from fl_calls),
        counted as (
            select service, method, bucket, count(*) filter (success and place <= coalesce(most, 0)) as calls
            from drawn left join fl_parts on source = node_id group by all)
        select service, method, sum(calls)::bigint as calls, map_from_entries(list((bucket, calls)))
            as durations
        from counted group by all""",  # noqa: S608 - constants of our own only
    "talk": """
        with own as (
            select node_id, arg_min(service, md5(service || node_id)) as service
            from fl_own_talk where node_id in (select session from fl_picked where talks) group by node_id),
        shown as (
            select service, arg_min(signal, md5(signal || node_id)) as signal
            from fl_own_talk semi join own using (node_id, service) where sessions_affected > 0
            group by node_id, service),
        of_agent as (select service, count(*) as sessions from own group by all),
        of_signal as (select service, signal, count(*) as affected from shown group by all)
        select service, signal, coalesce(sessions, 0) as sessions, coalesce(affected, 0) as affected
        from (select distinct service, signal from fl_own_talk)
        left join of_agent using (service) left join of_signal using (service, signal)""",
}
"""Counts with each session's contribution bounded (see PARTS): which of its calls, texts, agents and signals
count is drawn by the hash of their ids.

Calls are successful ones. A text counts once for a session. Rows with a count of 0 are
kept: their absence would reveal what noise hides.
"""


@dataclass(frozen=True)
class DayCounts:
    """A node's day before suppression.

    Attributes:
        events: calls and turns.
        failures: `service, method, error, has_text, failures, durations`, and without noise `sessions,
            people`; with noise the durations of those alone that ran out of time, in SLOW buckets.
        calls: `service, method, calls, durations`, and without noise `failures, sessions`; with noise
            successful ones alone, their durations in COARSE buckets.
        talk: `service, signal, sessions, affected`, and without noise `turns`.
        seen: sessions by name, for each key of SEEN_SQL.
    """

    events: int
    failures: Sequence[Mapping[str, Any]]
    calls: Sequence[Mapping[str, Any]]
    talk: Sequence[Mapping[str, Any]]
    seen: Mapping[str, Mapping[str, int]]
