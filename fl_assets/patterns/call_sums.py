# ruff: noqa: S608 - constants of our own only
"""The sums that are read from the tables of `calls.py`: totals, contrasts, changes, costs, examples.

What goes here: SQL text that reads. What does not: SQL that makes the tables (`calls.py`), what to make of
the sums (`consequences.py`, `contrasts.py`, `cures.py`).
"""

from fl_assets.patterns.calls import BAD_END_KEYS, COST_KEYS, RETRY_CALLS, TOKEN_KEYS
from fl_assets.sums.metadata_keys import ARGUMENT_KEYS, first_of

MAX_CALL_MS, MAX_TOKENS, MAX_COST = 86_400_000, 10_000_000, 10_000
"""Most that one call may say that it took, used and cost: a day, and what no call does."""

_EXCEPTION = r"""regexp_extract(masked_error, '(?:^|[:| ])(?:[A-Za-z_][A-Za-z0-9_]*\.)*'
    || '([A-Z][A-Za-z0-9]{0,60}(?:Error|Exception))(?:$|[^A-Za-z0-9_])', 1)"""


def _bounded(text: str, most: float) -> str:
    """Return SQL for the number from 0 to `most` that a text holds; null for what is none, NaN too."""
    number = f"try_cast({text} as double)"
    return f"case when {number} between 0 and {most} then {number} end"


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
    select family, node_id, count(*) filter (failed) as failed, count(*) as calls
    from fl_universe group by all order by family, node_id"""

NUMBERS_SQL = """
    with rounded as (
        select family, feature, name, failed, node_id,
            case when number = 0 then 0 when abs(number) < 100 and number = floor(number) then number
                else round(number, (1 - floor(log10(abs(number))))::int) end as number
        from fl_universe join fl_features using (call) where number is not null)
    select family, feature, name, number, count(*) filter (failed) as failed,
        count(*) filter (not failed) as succeeded,
        list(distinct node_id) filter (failed) as failed_node_ids
    from rounded group by all order by family, feature, name, number"""

CHANGES_SQL = """
    with sides as (
        select pair, feature, name, value, number, 'before' as side
        from fl_pairs join fl_features on call = failed_call
        union all
        select pair, feature, name, value, number, 'after'
        from fl_pairs join fl_features on call = next_call),
    compared as (
        select pair, feature, name, any_value(value) filter (side = 'before') as old,
            any_value(value) filter (side = 'after') as new,
            any_value(number) filter (side = 'before') as old_number,
            any_value(number) filter (side = 'after') as new_number
        from sides
        where feature in ('argument', 'type', 'number', 'items', 'format', 'value', 'flag', 'command',
            'attribute')
        group by all),
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
        union all select pair, feature, name,
            case when new_number < old_number then 'lower' else 'higher' end, '' from compared
            where feature in ('number', 'items') and new_number <> old_number
        union all select distinct pair, 'call', method, 'in between', '' from fl_pairs
            join fl_calls c using (session)
            where c.success and c.place > fl_pairs.place and c.place < fl_pairs.next_place
        union all select pair, 'same', '', 'unchanged', '' from fl_pairs
            join fl_focus a on a.call = failed_call join fl_focus b on b.call = next_call
            where a.arguments is not distinct from b.arguments
        union all select pair, 'wait', cut::varchar, 'waited', '' from fl_pairs,
            (select unnest([2, 5, 10, 30, 60, 300]) as cut) where waited >= cut)
    select family, feature, name, change, value, count(*) as pairs, count(*) filter (recovered) as recovered,
        count(distinct session) as sessions, count(distinct session) filter (recovered) as recovered_sessions,
        count(distinct node_id) filter (recovered) as nodes
    from changes join fl_pairs using (pair) group by all order by all"""

PAIR_TOTALS_SQL = """
    select family, count(*) as pairs, count(*) filter (recovered) as recovered,
        count(distinct session) as sessions, count(distinct node_id) as nodes
    from fl_pairs group by family order by family"""

# Another tool for the same end: the call right after a failure, against the call right after a success of the
# same method. Of calls to that tool itself neither counts: it cannot be what is called in its own place.
INSTEAD_SQL = """
    with followed as (
        select service, method, family_id, success, session, node_id, lead(method) over steps as next_method,
            lead(success) over steps as next_succeeded
        from fl_calls window steps as (partition by session order by place)),
    after_failure as (
        select family_id as family, next_method, count(*) as times,
            count(*) filter (next_succeeded) as succeeded,
            count(distinct session) filter (next_succeeded) as sessions,
            count(distinct node_id) filter (next_succeeded) as nodes
        from followed join fl_methods using (family_id, service, method)
        where next_method is not null and next_method <> method group by all),
    all_failures as (
        select family_id as family, method, count(*) as failures
        from followed join fl_methods using (family_id, service, method) group by all),
    after_success as (
        select m.family_id as family, next_method, count(*) as times
        from followed f join fl_methods m using (service, method)
        where f.success and next_method <> method group by all),
    all_successes as (
        select m.family_id as family, method, count(*) as successes
        from followed f join fl_methods m using (service, method) where f.success group by all)
    select family, next_method, a.times, a.succeeded, a.sessions, a.nodes,
        (select sum(failures)::bigint from all_failures f
            where f.family = a.family and f.method <> a.next_method) as failures,
        coalesce(s.times, 0) as times_after_success,
        coalesce((select sum(successes)::bigint from all_successes c
            where c.family = a.family and c.method <> a.next_method), 0) as successes
    from after_failure a left join after_success s using (family, next_method)
    order by family, next_method"""

CONSEQUENCES_SQL = f"""
    with costs as (
        select * replace (least(duration_ms, {MAX_CALL_MS}) as duration_ms),
            {_bounded(first_of(TOKEN_KEYS), MAX_TOKENS)} as tokens,
            {_bounded(first_of(COST_KEYS), MAX_COST)} as cost, lower({first_of(BAD_END_KEYS)}) as ending
        from fl_calls),
    ends as (
        select session, bool_or(ending is not null or is_bad is not null) as is_judged,
            bool_or(ending in ('false', 'no', '0', '0.0', 'failed', 'fail', 'unresolved') or is_bad)
                as judged_bad,
            not arg_max(success, place) as ended_failed
        from costs left join fl_judged using (session) group by session),
    again as (
        select *, lead(place) over (partition by session, service, method order by place) as next_place,
            min(case when success then place end) over (
                partition by session, service, method order by place
                rows between 1 following and unbounded following) as success_place,
            sum(coalesce(tokens, 0)) over (partition by session order by place
                rows between current row and {RETRY_CALLS} following) as tokens_ahead
        from costs),
    failures as (
        select *, family_id as family, next_place - place <= {RETRY_CALLS} as is_retried,
            success_place - place <= {RETRY_CALLS} as is_recovered
        from again where family_id is not null),
    per_family as (
        select family, count(*) as failures, count(distinct session) as sessions,
            count(distinct node_id) as nodes,
            count(*) filter (is_retried) as retried, count(*) filter (is_recovered) as recovered,
            avg(success_place - place) filter (is_recovered) as calls_to_recover,
            count(*) filter (place = session_calls) as last_calls,
            sum(duration_ms) as time_ms, sum(tokens) as tokens, sum(cost) as cost
        from failures group by family),
    sessions_with as (
        select family, count(*) as n, count(*) filter (is_judged) as judged,
            count(*) filter (judged_bad) as judged_bad, count(*) filter (ended_failed) as ended_failed
        from (select distinct family, session from failures) join ends using (session) group by family),
    sessions_all as (
        select count(*) as n, count(*) filter (is_judged) as judged,
            count(*) filter (judged_bad) as judged_bad, count(*) filter (ended_failed) as ended_failed
        from ends)
    select p.*, w.judged as judged_with, w.judged_bad as judged_bad_with,
        w.ended_failed as ended_failed_with, w.n as sessions_with,
        a.judged - w.judged as judged_without, a.judged_bad - w.judged_bad as judged_bad_without,
        a.ended_failed - w.ended_failed as ended_failed_without, a.n - w.n as sessions_without
    from per_family p join sessions_with w using (family), sessions_all a order by family"""

NODES_SQL = """
    select family_id as family, node_id, count(*) as failures from fl_calls where family_id is not null
    group by all order by family, failures desc, node_id"""

# A reading call that most successful calls come after: where to look before the call. Of what is offered and
# of what somebody owns another call may say more than the most usual one.
_READS = "^(get|find|list|search|read|lookup|look_up|fetch|check|describe|query|show|view|retrieve)"
_VAGUE = "'details', 'detail', 'info', 'information', 'data', 'with', 'from', 'list', 'find', 'show', 'name'"
EXCESS = 0.1
"""Share by which a call must come before these calls more often than in the service's sessions at large."""
LOOKUPS_SQL = f"""
    with calls as (
        select family, count(*) filter (not failed) as succeeded, count(*) filter (failed) as failed_calls
        from fl_universe group by family),
    sessions as (select service, count(distinct session) as sessions from fl_calls group by service),
    usual as (
        select method as name, max(n / sessions) as usual_share from (
            select service, method, count(distinct session) as n from fl_calls where success group by all)
            join sessions using (service) group by method),
    said as (
        select family_id as family, message_id, any_value(masked_error) as message, count(*) as times
        from fl_failed join fl_family_of using (message_id) group by all),
    before as (
        select family, name, count(*) filter (not failed) as before_success,
            any_value(succeeded) as succeeded, count(distinct node_id) filter (not failed) as nodes,
            count(*) filter (failed) as before_failure, any_value(failed_calls) as failed
        from fl_universe join fl_features using (call) join calls using (family)
        where feature = 'earlier' and regexp_matches(lower(name), '{_READS}') group by family, name),
    words as (
        select distinct family, name, unnest(string_split(lower(name), '_')) as word from before),
    named as (
        select family, name, bool_or(is_said) as is_named from (
            select w.family, name, word, 2 * sum(times) filter (contains(lower(message), word))
                > sum(times) as is_said
            from words w join said using (family)
            where length(word) > 3 and word not in ({_VAGUE}) group by all)
        group by all)
    select family, name as method, before_success, succeeded, nodes, before_failure, failed
    from before join usual using (name) left join named using (family, name)
    order by family, coalesce(is_named, false) desc,
        greatest(before_success / greatest(succeeded, 1) - usual_share - {EXCESS}, 0) desc,
        before_success desc, name"""

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
    where feature = 'type' and value is not null  -- an argument that is always null has no type
    group by family, method, name order by family, method, given desc, name"""
_KIND = f"coalesce(nullif({_EXCEPTION}, ''), message_id)"
"""What examples differ in: the type of exception, or else the message."""


def examples_sql(source: str) -> str:
    """Return a SELECT of each family's newest failures and of one success of the same method.

    The most frequent messages come first, of each one that was seen before, then failures of different nodes.
    The success is a second attempt of a session that failed, where one worked; or else one of the method that
    fails most.
    """
    return f"""
        with messages as (
            select family_id as family, {_KIND} as message, count(*) as times
            from fl_failed join fl_family_of using (message_id) group by all),
        failures as (
            select family_id as family, c.event_date, c.event_id, {_KIND} as message, timestamp,
                count(*) over (partition by family_id, message_id) as alike,
                row_number() over (partition by family_id, node_id order by timestamp desc, event_id)
                    as of_node
            from fl_calls c join fl_failed f using (event_date, event_id) where family_id is not null),
        ranked as (
            select *, row_number() over (partition by family, message order by alike = 1, of_node,
                timestamp desc, event_id) as of_message
            from failures join messages using (family, message)),
        newest as (
            select family, event_date, event_id from ranked
            qualify row_number() over (partition by family order by of_message, times desc, of_node,
                timestamp desc, event_id) <= 3),
        failing as (
            select family_id as family, service, method, count(*) as times from fl_calls
            where family_id is not null group by all),
        successes as (
            select m.family_id as family, f.event_date, f.event_id from fl_methods m
                join fl_focus f using (service, method)
                left join fl_pairs p on p.family = m.family_id and p.next_call = f.call and p.recovered
                left join failing on failing.family = m.family_id and failing.service = m.service
                    and failing.method = m.method
            where f.success
            qualify row_number() over (partition by m.family_id order by p.pair is null, failing.times desc,
                f.timestamp desc, f.event_id) = 1),
        chosen as (select * from newest union all select * from successes)
        select family, r.success, coalesce(r.error, '') as error, r.service, r.method, r.node_id,
            r.timestamp, r.trace_id,
            {first_of(ARGUMENT_KEYS).replace("metadata", "r.metadata")} as arguments
        from chosen join {source} r using (event_date, event_id) order by family, r.success,
            r.timestamp desc, event_id"""


# Services of the fleet that a family's messages name beside their own.
DEPENDENCIES_SQL = r"""
    with known as (select distinct service as name, regexp_replace(service, '[0-9]+', 'N', 'g') as masked
        from fl_calls),
    words as (
        select message_id, unnest(list_distinct(regexp_extract_all(masked_error,
            '[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*'))) as masked
        from (select distinct message_id, masked_error from fl_failed)),
    said as (select message_id, name from words join known using (masked)),
    failing as (
        select family_id as family, service, message_id, count(*) as failures
        from fl_calls join fl_failed using (event_date, event_id) where family_id is not null group by all),
    totals as (select family, sum(failures)::bigint as failures from failing group by family)
    select family, name, sum(f.failures)::bigint as times, any_value(totals.failures) as failures
    from failing f join said using (message_id) join totals using (family) where name <> service
    group by family, name order by family, times desc, name"""


EPISODES_SQL = """
    with given as (select *, timestamp::date = event_date as is_own_day from fl_calls),
    seen as (
        select max(timestamp) as last, epoch(max(timestamp) - min(timestamp)) as seconds
        from given where is_own_day),
    failing as (
        select family_id, min(timestamp) as began, max(timestamp) as ended
        from given where family_id is not null group by all having count(*) >= 10 and bool_and(is_own_day)),
    short as (
        select family_id, began, ended, seconds, epoch(last - ended) as quiet
        from failing, seen where epoch(ended - began) <= seconds / 6 and seconds >= 3600)
    select family_id, began, case when quiet > seconds / 6 then ended end as ended
    from short where quiet > seconds / 6 or quiet <= seconds / 24 order by family_id"""
"""Families whose failures all came within a sixth of the window: one episode.

It is over when at least as long a time without it follows. A call whose clock was wrong has no time of the
window.
"""

LOOPED = 3
"""Times that the identical call must fail identically in a session to be a loop."""


_SAME = "session, service, method, arguments"
LOOPS_SQL = f"""
    with given as (select * from fl_focus where length(trim(arguments)) > 2),
    repeats as (
        select family_id as family, node_id, {_SAME} from given where family_id is not null
        group by family_id, node_id, {_SAME}, error having count(*) >= {LOOPED})
    select family, count(distinct session) as looped, count(distinct node_id) as looped_nodes
    from repeats anti join (select {_SAME} from given where success) using ({_SAME})
    group by family order by family"""
"""Sessions that repeat a failing call: same method, arguments and error.

A call without arguments says too little to be the same, and one that ever works in the session was rightly
tried again: what waits for something is no loop.
"""


# Types of exceptions in a family's messages.
EXCEPTIONS_SQL = f"""
    with named as (
        select family_id as family, c.node_id, {_EXCEPTION} as name
        from fl_calls c join fl_failed using (event_date, event_id) where family_id is not null)
    select family, name, count(*) as times, count(distinct node_id) as nodes, sum(count(*)) over (
        partition by family) as failures
    from named group by family, name order by family, times desc, name"""


# Exceptions with a trace, and those of them that the script itself raised: the last trace ends in the file
# in which it begins. What code that a script calls raises may be the very error that it was written to show.
RAISED_SQL = r"""
    with traces as (
        select family_id as family, regexp_extract_all(
            list_last(string_split(error, 'Traceback (most recent call last)')),
            'File "([^"\n]+)", line [0-9]', 1) as files
        from fl_calls where family_id is not null and contains(error, 'Traceback (most recent call last)'))
    select family, count(*) as traces, count(*) filter (files[1] = files[-1]) as raised_by_itself
    from traces where len(files) > 0 group by family order by family"""


# Arguments that messages name in quotes, on a line of their own or after a colon, and that the method does
# have: what a message merely says is no name.
NAMED_ARGUMENTS_SQL = r"""
    with known as (
        select family_id as family, name, count(distinct node_id) as nodes from (
            select m.family_id, f.node_id, unnest(json_keys(f.fields)) as name
            from fl_methods m join fl_focus f using (service, method) where f.fields is not null)
        group by all),
    said as (
        select family_id as family, event_id, unnest(list_distinct(regexp_extract_all(error,
            '(?m)(?:[''"`]|^|: )([A-Za-z_][A-Za-z0-9_]*)(?:[''"`]|[.,]?$)', 1))) as name
        from fl_calls where family_id is not null),
    totals as (select family_id as family, count(*) as failures from fl_calls where family_id is not null
        group by all)
    select family, name, count(*) as times, any_value(failures) as failures, any_value(nodes) as nodes
    from said join known using (family, name) join totals using (family)
    group by family, name order by family, times desc, name"""


TEXTS_SQL = """
    select family_id as family, error, histogram(node_id) as told
    from fl_calls
    where family_id is not null and regexp_matches(error,
        '(?i)[0-9].*(?:per |/|retry|again|wait)|(?:per |/|retry|again|wait).*[0-9]')
    group by family_id, error qualify row_number() over (partition by family_id order by
        count(distinct node_id) desc, count(*) desc, error) <= 50"""
"""The distinct error texts that may state a limit or a wait, with times by node."""
