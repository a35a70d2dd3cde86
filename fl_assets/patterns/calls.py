# ruff: noqa: S608 - constants of our own only
r"""The calls of a window around its failures, as temporary tables; only sums of them reach Python.

What goes here: SQL over `raw_traces` that makes the tables. What does not: the sums that are read from them
(`call_sums.py`), what is made of those (`knowledge.py`).

The tables, in the order in which they are made:

| table | one row per |
|---|---|
| `fl_failed` | failed call, with the masked message |
| `fl_calls` | call of a sampled session, with its place in the session and its family when it failed |
| `fl_methods` | family, service and method that it fails in |
| `fl_focus` | call to one of those methods, with its arguments |
| `fl_features` | call and feature of it: an argument, an attribute of the telemetry, what came before |
| `fl_pairs` | failed call and the session's next call to the same method |

Names of arguments, tools and attributes are read as data and never formatted into SQL.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fl_assets.sums.masking import failures_sql
from fl_assets.sums.metadata_keys import ARGUMENT_KEYS, first_of

MAX_CALLS = 200_000
"""Calls that are compared; of a larger window a share of its sessions is drawn, whole sessions at a time."""
MAX_FAMILIES = 60
MIN_FAILURES = 2
"""Failures that a family must have to be looked into; what is said of it has its own least numbers."""
RETRY_CALLS = 6
"""Calls after a failure within which a second attempt counts as one."""
MAX_VALUES = 40
"""Distinct values above which an attribute or argument is taken to identify something and is left out."""
MAX_VALUE_CHARS = 48

SESSION_KEYS = ("session_id", "session.id", "gen_ai.conversation.id", "thread_id", "conversation_id")
_OUTCOME = (
    r"(?i)(status|code|error|exception|exit|result|output|response|completion|stack|message|retry|retries|attempt"
    r"|finish|outcome|success|fail|score|reward|feedback|evaluation|resolved|label|usage|token|cost|price|duration|latency)"
)
"""Attributes that say how a call went: an effect of the failure, not a cause."""
_IDENTITY = (
    r"(?i)(^|[._-])(id|ids|uuid|trace|span|timestamp|time|date|turn|step|seq|sequence|node_id|parent|request|session|user|email|name|query|prompt|text)$"
    r"|_id$|\.id$|^(input|arguments|args|parameters|tool_input)"
)
TOKEN_KEYS = (
    "gen_ai.usage.total_tokens", "total_tokens", "usage.total_tokens", "llm.token_count.total", "tokens",
)  # fmt: skip
COST_KEYS = ("cost", "cost_usd", "total_cost", "gen_ai.usage.cost", "llm.cost.total")
BAD_END_KEYS = (
    "task_resolved", "resolved", "task_success", "task.success", "evaluation.passed", "reward",
    "task_reward", "score",
)  # fmt: skip
"""Attributes by which telemetry says how a session ended; no, false and 0 are bad ends."""


def open_calls(connection: Any, source: str, family_of: Mapping[str, str], *, events: int) -> None:
    """Make the tables from `fl_failed` to `fl_focus`.

    Of a window with more than `MAX_CALLS` events, a share of the sessions is drawn.
    """
    every = max(1, -(-events // MAX_CALLS))
    columns = {"message_id": family_of.keys(), "family_id": family_of.values()}
    known = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    connection.register("fl_known_families", known)
    connection.execute("create temp table fl_family_of as select * from fl_known_families")
    for statement in (_failed_sql(source, every), _calls_sql(source, every), _METHODS_SQL, _FOCUS_SQL):
        connection.execute(statement)


def _failed_sql(source: str, every: int) -> str:
    """Return the statement that makes `fl_failed`, of one trace in `every`."""
    drawn = f"(select * from {source} where hash(trace_id) % {every} = 0)"
    return (
        f"create temp table fl_failed as select event_date, event_id, message_id, masked_error "
        f"from ({failures_sql(drawn)})"
    )


def _calls_sql(source: str, every: int) -> str:
    """Return the statement that makes `fl_calls`; a call that only repeats a deeper failure is left out.

    A failed call keeps its error, so that the statements behind read no file again.
    """
    return f"""
        create temp table fl_calls as
        with drawn as (
            select event_date, event_id, node_id, service, method, timestamp, source_line, success,
                case when not success then error end as error, duration_ms, metadata, trace_id,
                coalesce({first_of(SESSION_KEYS)}, trace_id) as session
            from {source} where caused_by is null and hash(trace_id) % {every} = 0),
        failed as (select event_date, event_id, family_id from fl_failed join fl_family_of using (message_id))
        select drawn.*, family_id, row_number() over steps as place, lag(method) over steps as before,
            lag(success) over steps as before_succeeded, count(*) over (partition by session) as session_calls
        from drawn left join failed using (event_date, event_id)
        window steps as (partition by session order by timestamp, source_line, event_id)"""


_METHODS_SQL = f"""
    create temp table fl_methods as
    with counted as (
        select family_id, service, method, count(*) as failures from fl_calls
            where family_id is not null group by all),
    sized as (select *, sum(failures) over (partition by family_id) as family_failures from counted),
    ranked as (select *, dense_rank() over (order by family_failures desc, family_id) as position from sized)
    select family_id, service, method from ranked
    where family_failures >= {MIN_FAILURES} and position <= {MAX_FAMILIES}
        and failures >= 0.05 * family_failures"""

_FOCUS_SQL = f"""
    create temp table fl_focus as
    with wanted as (select distinct service, method from fl_methods),
    given as (
        select event_date, event_id, node_id, service, method, session, place, before, before_succeeded,
            timestamp, success, family_id, error,
            metadata, {first_of(ARGUMENT_KEYS)} as arguments
        from fl_calls join wanted using (service, method))
    select *, row_number() over (order by event_date, event_id) as call,
        case when left(ltrim(arguments), 1) = '{{' and json_valid(arguments)
            and len(json_keys(arguments)) = len(list_distinct(json_keys(arguments)))
            then arguments::json end as fields
    from given"""

_SHAPE = (
    "regexp_replace(regexp_replace(regexp_replace(text, '[0-9]+', '9', 'g'), '[A-Z]+', 'A', 'g'), "
    "'[a-z]+', 'a', 'g')"
)
FEATURES_SQL = f"""
    create temp table fl_features as
    with
    pairs as (
        select call, unnest(map_entries(fields::map(varchar, json))) as entry from fl_focus
            where fields is not null),
    named as (
        select call, entry.key as name, json_type(entry.value) as type, entry.value as value,
            entry.value->>'$' as text
        from pairs where regexp_full_match(entry.key, '[A-Za-z_][A-Za-z0-9_.-]{{0,63}}')),
    attributes as (
        select call, unnest(map_entries(metadata::json::map(varchar, varchar))) as entry from fl_focus),
    commands as (select call, arguments as text from fl_focus where fields is null and arguments is not null),
    succeeded as (
        select session, method, min(place) as place from fl_calls where success group by all),
    features as (
        select call, 'argument' as feature, name, 'given' as value, null::double as number from named
            where type <> 'NULL'
        union all select call, 'type', name, lower(type), null from named
        union all select call, 'number', name, null, try_cast(text as double) from named
            where type in ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT')
                and (try_cast(text as double) = 0 or abs(try_cast(text as double)) between 1e-99 and 1e99)
        union all select call, 'items', name, null, json_array_length(value) from named where type = 'ARRAY'
        union all select call, 'length', name, null, length(text) from named where type = 'VARCHAR'
        union all select call, 'format', name, {_SHAPE}, null from named where type = 'VARCHAR'
            and length(text) between 1 and 32
        union all select call, 'value', name, text, null from named
            where type in ('VARCHAR', 'BOOLEAN') and length(text) between 1 and {MAX_VALUE_CHARS}
        union all select call, 'attribute', entry.key, entry.value, null from attributes
            where length(entry.value) between 1 and {MAX_VALUE_CHARS} and not regexp_matches(entry.key,
                '{_OUTCOME}')
                and not regexp_matches(entry.key, '{_IDENTITY}')
        union all select call, 'flag', flag, 'given', null
            from (select distinct call, unnest(regexp_extract_all(text,
                '(?:^|\\s)(-{{1,2}}[A-Za-z][A-Za-z-]{{0,30}})', 1)) as flag from commands)
        union all select call, 'command', 'pipe', 'given', null from commands where contains(text, '|')
        union all select call, 'command', 'several commands', 'given', null from commands
            where regexp_matches(text, '&&|;|\\n[a-z]')
        union all select call, 'command', 'text passed with <<', 'given', null from commands
            where contains(text, '<<')
        union all select call, 'length', 'command', null, length(text) from commands
        union all select call, 'hour', '', (6 * (hour(timestamp) // 6))::varchar, null from fl_focus
        union all select call, 'place', '', case when place = 1 then 'first' when place <= 5 then '2 to 5'
            when place <= 20 then '6 to 20' else 'after 20' end, null from fl_focus
        union all select call, 'before', coalesce(before, ''), 'right before', null from fl_focus
            where before is not null
        union all select call, 'earlier', succeeded.method, 'earlier', null
            from fl_focus join succeeded using (session)
            where succeeded.place < fl_focus.place and succeeded.method <> fl_focus.method
        union all select call, 'method', '', method, null from fl_focus
        union all select call, 'node', '', node_id, null from fl_focus
            join (select service from fl_focus group by service having count(distinct node_id) > 1)
                using (service)),  -- where a service has one node, that node is the service
    few as (
        select feature, name from features where number is null group by all
            having count(distinct value) <= {MAX_VALUES} or feature = 'node')
    select features.* from features left join few using (feature, name) where number is not null
        or few.feature is not null"""

# Calls up to a session's first failure of the family: what comes after it follows from it.
UNIVERSE_SQL = """
    create temp table fl_universe as
    with first_failure as (select family_id as family, session, min(place) as first_place from fl_calls
        where family_id is not null group by all)
    select m.family_id as family, c.call, c.node_id, c.session, c.family_id is not distinct
        from m.family_id as failed
    from fl_methods m join fl_focus c using (service, method)
    left join first_failure f on f.family = m.family_id and f.session = c.session
    where (c.success or c.family_id = m.family_id) and (f.first_place is null or c.place <= f.first_place)"""

PAIRS_SQL = f"""
    create temp table fl_pairs as
    with steps as (
        select event_date, event_id, family_id, node_id, session, service, method, place, timestamp,
            lead(place) over again as next_place, lead(event_id) over again as next_event,
                lead(event_date) over again as next_date,
            lead(success) over again as next_succeeded, lead(timestamp) over again as next_time
        from fl_calls window again as (partition by session, service, method order by place))
    select row_number() over (order by s.event_date, s.event_id) as pair, s.family_id as family, s.node_id,
        s.session, s.service, s.place,
        s.next_place, s.next_succeeded as recovered, epoch(s.next_time) - epoch(s.timestamp) as waited,
            a.call as failed_call, b.call as next_call
    from steps s join fl_methods m on m.family_id = s.family_id and m.service = s.service
        and m.method = s.method
    join fl_focus a on a.event_date = s.event_date and a.event_id = s.event_id
    join fl_focus b on b.event_date = s.next_date and b.event_id = s.next_event
    where s.family_id is not null and next_place - s.place <= {RETRY_CALLS}"""
