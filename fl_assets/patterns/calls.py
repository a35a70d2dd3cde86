# ruff: noqa: S608 - constants of our own only
r"""What the fleet's calls say about its failures.

SQL over a window of `raw_traces`, of which only sums reach Python.

What goes here: SQL text. What does not: running it (`fl_assets/workspace.py`), and what to make of the sums
(`consequences.py`, `contrasts.py`, `cures.py`).

The statements build temporary tables in this order; each says what one row of it is.

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

from fl_assets.sums.masking import failures_sql

MAX_CALLS = 200_000
"""Calls that are compared; of a larger window a share of its sessions is drawn, whole sessions at a time."""
MAX_FAMILIES = 60
MIN_FAILURES = 4
"""Failures that a family must have to be looked into."""
RETRY_CALLS = 6
"""Calls after a failure within which a second attempt counts as one."""
MAX_VALUES = 40
"""Distinct values above which an attribute or argument is taken to identify something and is left out."""
MAX_VALUE_CHARS = 48

ARGUMENT_KEYS = (
    "arguments",
    "tool.arguments",
    "gen_ai.tool.call.arguments",
    "tool_call.function.arguments",
    "tool.parameters",
    "tool_input",
    "parameters",
    "args",
    "input",
    "input.value",
)
SESSION_KEYS = ("session_id", "session.id", "gen_ai.conversation.id", "thread_id", "conversation_id")
_OUTCOME = (
    r"(?i)(status|code|error|exception|exit|result|output|response|completion|stack|message|retry|retries|attempt"
    r"|finish|outcome|success|fail|score|reward|feedback|evaluation|resolved|label|usage|token|cost|price|duration|latency)"
)
"""Attributes that say how a call went: what follows from a failure cannot be its cause."""
_IDENTITY = (
    r"(?i)(^|[._-])(id|ids|uuid|trace|span|timestamp|time|date|turn|step|seq|sequence|node_id|parent|request|session|user|email|name|query|prompt|text)$"
    r"|_id$|\.id$|^(input|arguments|args|parameters|tool_input)"
)
TOKEN_KEYS = (
    "gen_ai.usage.total_tokens",
    "total_tokens",
    "usage.total_tokens",
    "llm.token_count.total",
    "tokens",
)
COST_KEYS = ("cost", "cost_usd", "total_cost", "gen_ai.usage.cost", "llm.cost.total")
BAD_END_KEYS = (
    "task_resolved",
    "resolved",
    "task_success",
    "task.success",
    "evaluation.passed",
    "reward",
    "task_reward",
    "score",
)
"""Attributes by which telemetry says how a session ended; no, false and 0 are bad ends."""


def _first(keys: tuple[str, ...]) -> str:
    """Return SQL for the first of some metadata keys that is there."""
    paths = ", ".join("'$.\"" + key + "\"'" for key in keys)
    return f"list_filter(json_extract_string(metadata, [{paths}]), lambda found: found is not null)[1]"


def failed_sql(source: str, every: int) -> str:
    """Return the statement that makes `fl_failed`: failures of the sampled sessions.

    Args:
        source: A relation with the columns of `raw_traces`.
        every: One of so many sessions is drawn.
    """
    drawn = f"(select * from {source} where hash(trace_id) % {every} = 0)"
    return (
        f"create temp table fl_failed as select event_date, event_id, message_id, masked_error "
        f"from ({failures_sql(drawn)})"
    )


def calls_sql(source: str, every: int) -> str:
    """Return the statement that makes `fl_calls`.

    It needs `fl_failed` and `fl_family_of (message_id, family_id)`.

    A call that only repeats a deeper failure is left out.
    """
    return f"""
        create temp table fl_calls as
        with drawn as (
            select event_date, event_id, node_id, service, method, timestamp, source_line, success,
                duration_ms, metadata,
                coalesce({_first(SESSION_KEYS)}, trace_id) as session
            from {source} where caused_by is null and hash(trace_id) % {every} = 0),
        failed as (select event_date, event_id, family_id from fl_failed join fl_family_of using (message_id))
        select drawn.*, family_id, row_number() over steps as place, lag(method) over steps as before,
            lag(success) over steps as before_succeeded, count(*) over (partition by session) as session_calls
        from drawn left join failed using (event_date, event_id)
        window steps as (partition by session order by timestamp, source_line, event_id)"""


METHODS_SQL = f"""
    create temp table fl_methods as
    with counted as (
        select family_id, service, method, count(*) as failures from fl_calls
            where family_id is not null group by all),
    sized as (select *, sum(failures) over (partition by family_id) as family_failures from counted),
    ranked as (select *, dense_rank() over (order by family_failures desc, family_id) as position from sized)
    select family_id, service, method from ranked
    where family_failures >= {MIN_FAILURES} and position <= {MAX_FAMILIES}
        and failures >= 0.05 * family_failures"""

FOCUS_SQL = f"""
    create temp table fl_focus as
    with wanted as (select distinct service, method from fl_methods),
    given as (
        select event_date, event_id, node_id, service, method, session, place, before, before_succeeded,
            timestamp, success, family_id,
            metadata, {_first(ARGUMENT_KEYS)} as arguments
        from fl_calls join wanted using (service, method))
    select *, row_number() over (order by event_date, event_id) as call,
        case when left(ltrim(arguments),
            1) = '{{' and json_valid(arguments) then arguments::json end as fields
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
        union all select call, 'node', '', node_id, null from fl_focus),
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

TOTALS_SQL = """
    select family, count(*) filter (failed) as failed, count(*) filter (not failed) as succeeded,
        count(distinct session) filter (not failed) as succeeded_sessions,
        count(distinct node_id) filter (failed) as failed_nodes, count(distinct node_id) as nodes
    from fl_universe group by family order by family"""

CONTRASTS_SQL = """
    with of_node as (
        select family, node_id, count(*) filter (failed) as failed, count(*) filter (not failed) as succeeded
        from fl_universe group by all),
    cells as (
        select family, feature, name, value, node_id, count(*) filter (failed) as failed_with,
            count(*) filter (not failed) as succeeded_with
        from fl_universe join fl_features using (call) where value is not null group by all),
    joined as (
        select *, failed - failed_with as failed_without, succeeded - succeeded_with as succeeded_without,
            failed + succeeded as calls
        from cells join of_node using (family, node_id))
    select family, feature, name, value, sum(failed_with)::bigint as failed_with,
        sum(succeeded_with)::bigint as succeeded_with,
        count(*) filter (failed_with > 0) as failed_nodes, count(*) as nodes_with,
        count(*) filter (failed_with + succeeded_with < calls) as nodes_mixed,
        sum(failed_with * (failed_without + succeeded_without) / calls) as mh_with,
        sum(failed_without * (failed_with + succeeded_with) / calls) as mh_without,
        list(node_id order by node_id) as node_ids
    from joined group by family, feature, name, value order by family, feature, name, value"""

NODE_RATES_SQL = """
    select family, node_id, count(*) filter (failed) as failed, count(*) as calls from fl_universe
        group by all order by family, node_id"""

NUMBERS_SQL = """
    with rounded as (
        select family, feature, name, failed, node_id, case when number = 0 then 0 when abs(number) < 100
            and number = floor(number) then number
            else round(number, (1 - floor(log10(abs(number))))::int) end as number
        from fl_universe join fl_features using (call) where number is not null)
    select family, feature, name, number, count(*) filter (failed) as failed, count(*) filter (not failed)
        as succeeded,
        list(distinct node_id) filter (failed) as failed_node_ids
    from rounded group by all order by family, feature, name, number"""

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

CHANGES_SQL = """
    with sides as (
        select pair, feature, name, value, number, 'before' as side from fl_pairs join fl_features
            on call = failed_call
        union all
        select pair, feature, name, value, number, 'after' from fl_pairs join fl_features
            on call = next_call),
    compared as (
        select pair, feature, name, any_value(value) filter (side = 'before') as old,
            any_value(value) filter (side = 'after') as new,
            any_value(number) filter (side = 'before') as old_number,
                any_value(number) filter (side = 'after') as new_number
        from sides where feature in ('argument', 'type', 'number', 'items', 'format', 'value', 'flag',
            'command', 'attribute') group by all),
    changes as (
        select pair, feature, name, 'added' as change, '' as value from compared
            where feature in ('argument', 'flag', 'command') and old is null and new is not null
        union all select pair, feature, name, 'dropped', '' from compared
            where feature in ('argument', 'flag', 'command') and old is not null and new is null
        union all select pair, feature, name, 'changed to', new from compared
            where feature in ('type', 'format', 'value', 'attribute') and old <> new
        union all select pair, 'argument', name, 'another value', '' from compared
            where feature = 'format' and old is not null and new is not null
            and exists (from compared c where c.pair = compared.pair and c.feature = 'value'
                and c.name = compared.name and c.old <> c.new)
        union all select pair, feature, name, case when new_number < old_number then 'lower'
            else 'higher' end, '' from compared
            where feature in ('number', 'items') and new_number <> old_number
        union all select distinct pair, 'call', method, 'in between', '' from fl_pairs
            join fl_calls c using (session)
            where c.success and c.place > fl_pairs.place and c.place < fl_pairs.next_place
        union all select pair, 'same', '', 'unchanged', '' from fl_pairs join fl_focus a
            on a.call = failed_call join fl_focus b on b.call = next_call
            where a.arguments is not distinct from b.arguments
        union all select pair, 'wait', cut::varchar, 'waited', '' from fl_pairs, (select unnest([2, 5, 10,
            30, 60, 300]) as cut) where waited >= cut)
    select family, feature, name, change, value, count(*) as pairs, count(*) filter (recovered) as recovered,
        count(distinct session) as sessions, count(distinct session) filter (recovered) as recovered_sessions,
        count(distinct node_id) filter (recovered) as nodes
    from changes join fl_pairs using (pair) group by all order by all"""

PAIR_TOTALS_SQL = """
    select family, count(*) as pairs, count(*) filter (recovered) as recovered, count(distinct session)
        as sessions,
        count(distinct node_id) as nodes
    from fl_pairs group by family order by family"""

# Another tool for the same end: the call right after a failure, against the call right after a success of the
# same method.
INSTEAD_SQL = """
    with followed as (
        select service, method, family_id, success, session, node_id, lead(method) over steps as next_method,
            lead(success) over steps as next_succeeded
        from fl_calls window steps as (partition by session order by place)),
    after_failure as (
        select family_id as family, next_method, count(*) as times, count(*) filter (next_succeeded)
            as succeeded,
            count(distinct session) filter (next_succeeded) as sessions,
                count(distinct node_id) filter (next_succeeded) as nodes
        from followed join fl_methods using (family_id, service, method) where next_method is not null
            and next_method <> method group by all),
    all_failures as (select family_id as family, count(*) as failures from followed
        join fl_methods using (family_id, service, method) group by all),
    after_success as (
        select m.family_id as family, next_method, count(*) as times from followed f
            join fl_methods m using (service, method)
        where f.success group by all),
    all_successes as (
        select m.family_id as family, count(*) as successes from followed f join fl_methods m using (service,
            method) where f.success group by all)
    select family, next_method, a.times, a.succeeded, a.sessions, a.nodes, failures, coalesce(s.times, 0)
        as times_after_success,
        coalesce(successes, 0) as successes
    from after_failure a join all_failures using (family) left join after_success s using (family,
        next_method) left join all_successes using (family)
    order by family, next_method"""

CONSEQUENCES_SQL = f"""
    with costs as (
        select *, try_cast({_first(TOKEN_KEYS)} as double) as tokens, try_cast({_first(COST_KEYS)}
            as double) as cost,
            lower({_first(BAD_END_KEYS)}) as ending
        from fl_calls),
    ends as (
        select session, any_value(node_id) as node_id, bool_or(ending is not null) as is_judged,
            bool_or(ending in ('false', 'no', '0', '0.0', 'failed', 'fail', 'unresolved')) as judged_bad,
            not arg_max(success, place) as ended_failed, bool_or(not success) as has_failure
        from fl_calls join (select event_date, event_id, ending from costs) using (event_date,
            event_id) group by session),
    again as (
        select *, lead(place) over (partition by session, service, method order by place) as next_place,
            min(case when success then place end) over (
                partition by session, service, method order by place rows between 1 following
                    and unbounded following) as success_place,
            sum(coalesce(tokens, 0)) over (partition by session order by place rows between current row
                and {RETRY_CALLS} following) as tokens_ahead
        from costs),
    failures as (
        select *, family_id as family, next_place - place <= {RETRY_CALLS} as is_retried,
            success_place - place <= {RETRY_CALLS} as is_recovered
        from again where family_id is not null),
    per_family as (
        select family, count(*) as failures, count(distinct session) as sessions, count(distinct node_id)
            as nodes,
            count(*) filter (is_retried) as retried, count(*) filter (is_recovered) as recovered,
            avg(success_place - place) filter (is_recovered) as calls_to_recover,
            count(*) filter (place = session_calls) as last_calls,
            sum(duration_ms) as time_ms, sum(tokens) as tokens, sum(cost) as cost
        from failures group by family),
    sessions_with as (
        select family, count(*) as n, count(*) filter (is_judged) as judged, count(*) filter (judged_bad)
            as judged_bad,
            count(*) filter (ended_failed) as ended_failed
        from (select distinct family, session from failures) join ends using (session) group by family),
    sessions_all as (
        select count(*) as n, count(*) filter (is_judged) as judged, count(*) filter (judged_bad)
            as judged_bad,
            count(*) filter (ended_failed) as ended_failed from ends)
    select p.*, w.judged as judged_with, w.judged_bad as judged_bad_with, w.ended_failed
        as ended_failed_with, w.n as sessions_with,
        a.judged - w.judged as judged_without, a.judged_bad - w.judged_bad as judged_bad_without,
        a.ended_failed - w.ended_failed as ended_failed_without, a.n - w.n as sessions_without
    from per_family p join sessions_with w using (family), sessions_all a order by family"""

NODES_SQL = """
    select family_id as family, node_id, count(*) as failures from fl_calls where family_id is not null
    group by all order by family, failures desc, node_id"""

# A reading call that most successful calls come after: where to look before the call.
_READS = "^(get|find|list|search|read|lookup|look_up|fetch|check|describe|query|show|view|retrieve)"
LOOKUPS_SQL = f"""
    with calls as (select family, count(*) filter (not failed) as succeeded from fl_universe group by family)
    select family, name as method, count(*) filter (not failed) as before_success, any_value(succeeded)
        as succeeded,
        count(distinct node_id) filter (not failed) as nodes
    from fl_universe join fl_features using (call) join calls using (family)
    where feature = 'earlier' and regexp_matches(lower(name), '{_READS}')
    group by family, name order by family, before_success desc, name"""

ARGUMENTS_SQL = """
    with described as (
        select family, m.service, m.method, f.call, f.node_id
        from fl_universe u join fl_focus f using (call, node_id) join fl_methods m on m.family_id = u.family
            and m.service = f.service and m.method = f.method
        where not failed and f.fields is not null),
    totals as (select family, method, count(*) as calls from described group by all)
    select family, method, name, mode(value) as type, count(*) as given, any_value(calls) as calls,
        count(distinct node_id) as nodes
    from described join fl_features using (call) join totals using (family, method)
    where feature = 'type' group by family, method, name order by family, method, given desc, name"""


def examples_sql(source: str, most: int = 3) -> str:
    """Return a SELECT of each family's newest failures and of one success of the same method.

    Failures of different nodes come first.
    """
    return f"""
        with failures as (
            select family_id as family, c.event_date, c.event_id,
                row_number() over (partition by family_id, node_id order by timestamp desc, event_id)
                    as of_node, timestamp
            from fl_calls c where family_id is not null),
        newest as (
            select family, event_date, event_id from failures
            qualify row_number() over (partition by family order by of_node, timestamp desc,
                event_id) <= {most}),
        successes as (
            select m.family_id as family, f.event_date, f.event_id from fl_methods m
                join fl_focus f using (service, method) where f.success
            qualify row_number() over (partition by m.family_id order by timestamp desc, f.event_id) = 1),
        chosen as (select * from newest union all select * from successes)
        select family, r.success, coalesce(r.error, '') as error, r.service, r.method, r.node_id,
            r.timestamp, r.trace_id,
            {_first(ARGUMENT_KEYS).replace("metadata", "r.metadata")} as arguments
        from chosen join {source} r using (event_date, event_id) order by family, r.success,
            r.timestamp desc, event_id"""


def texts_sql(source: str, most: int = 50) -> str:
    """Return a SELECT of the distinct error texts that may state a limit or a wait, with nodes."""
    return f"""
        select family_id as family, error, count(distinct r.node_id) as nodes, count(*) as times
        from fl_calls c join {source} r using (event_date, event_id)
        where regexp_matches(error,
            '(?i)[0-9].*(?:per |/|retry|again|wait)|(?:per |/|retry|again|wait).*[0-9]')
        group by family_id, error qualify row_number() over (partition by family_id order by count(*) desc,
            error) <= {most}"""
