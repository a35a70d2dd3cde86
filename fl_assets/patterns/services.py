# ruff: noqa: S608 - constants of our own only
"""Which families are failures of plain services, who calls them, and what they call: SQL that reads.

What goes here: telling a service among services from an agent, and the neighbours of a failing call. What
does not: the tables that are read (`calls.py`), what is advised (`playbooks/`).

An agent has a prompt that advice can be added to; a service has callers and dependencies. Nothing in the
telemetry says which of the two it is, so a service is taken for a plain one only when its calls carry no sign
of an agent (a model, tokens, a tool, arguments, a conversation) and its traces hold several services.
"""

MIN_SERVICES = 3
"""Services that the median trace with the failure must hold."""
MAX_LOOKED_AT = 200
"""Failing calls of a family whose neighbours are looked for."""
MAX_DEPTH = 6
"""Most spans between a failing call and its neighbour of another service."""
_SIGNS = (
    r'(?i)"(?:[^"]*[._])?(?:gen_ai|llm|model|agent|prompt|completion|tokens?|tool|arguments|args|tool_input'
    r'|conversation|session|session_id|openinference|traceloop)(?:[._][^"]*)?"\s*:'
)
_COMMON = "'service', 'server', 'backend', 'gateway'"
"""Words of a service's name that say nothing of what it does."""
_NO_SIGNS = r'"(?i:user_agent|http\.user_agent)[^"]*"\s*:'

PLAIN_SERVICES_SQL = f"""
    with signs as (
        select service, bool_or(coalesce(regexp_matches(regexp_replace(metadata, '{_NO_SIGNS}', '', 'g'),
            '{_SIGNS}'), false)) as is_agent
        from fl_calls group by service),
    sizes as (select session, count(distinct service) as services from fl_calls group by session),
    failing as (select distinct family_id as family, service, session from fl_calls
        where family_id is not null)
    select family from failing join signs using (service) join sizes using (session)
    group by family having not bool_or(is_agent) and median(services) >= {MIN_SERVICES} order by family"""


def neighbours_sql(source: str) -> str:
    """Return a SELECT of the other service that calls a failing call, and of one that it calls with success.

    That is the one that the message names by a word of its name, or else the last. Rows: `family, side
    ('caller' or 'callee'), name, times, failures`, of calls whose spans say what their parents are. It needs
    `fl_plain (family)`.

    Args:
        source: A relation with the columns of `raw_traces`.
    """
    return f"""
        with recursive failing as (
            select family_id as family, event_date, event_id from fl_calls
            where family_id in (select family from fl_plain)
            qualify row_number() over (partition by family_id order by timestamp desc, event_id)
                <= {MAX_LOOKED_AT}),
        chosen as (select family, r.trace_id, r.service, coalesce(r.metadata->>'$.span_id', r.request_id)
            as span, r.metadata->>'$.parent_span_id' as parent, event_id, lower(error) as said
            from failing join {source} r using (event_date, event_id)),
        spans as (
            select trace_id, service, timestamp, success,
                coalesce(metadata->>'$.span_id', request_id) as span, metadata->>'$.parent_span_id' as parent
            from {source} where trace_id in (select trace_id from chosen)),
        up as (
            select family, event_id, service as own, trace_id, parent as next, '' as name, 0 as depth
            from chosen
            union all
            select family, event_id, own, up.trace_id, parent, service, depth + 1
            from up join spans on spans.trace_id = up.trace_id and spans.span = up.next
            where depth < {MAX_DEPTH} and name in ('', own)),
        down as (
            select family, event_id, service as own, trace_id, span as next, '' as name, said,
                null::timestamp as timestamp, true as success, 0 as depth
            from chosen
            union all
            select family, event_id, own, down.trace_id, span, service, said, spans.timestamp, spans.success,
                depth + 1
            from down join spans on spans.trace_id = down.trace_id and spans.parent = down.next
            where depth < {MAX_DEPTH} and name in ('', own)),
        found as (
            select distinct family, 'caller' as side, event_id, name from up where name not in ('', own)
            union all
            select family, 'callee', event_id, arg_max(name, (len(list_filter(string_split(lower(name), '-'),
                lambda word: len(word) > 3 and word not in ({_COMMON}) and contains(said, word))) > 0,
                timestamp))
            from down where success and name not in ('', own)
            group by family, event_id),
        totals as (select family, count(*) as failures from chosen group by family)
    select family, side, name, count(*) as times, any_value(failures) as failures
    from found join totals using (family) group by family, side, name order by family, side, times desc,
        name"""


ROUTES_SQL = """
    with routes as (
        select method as route, any_value(service) as name from fl_calls
        where starts_with(method, '/') and length(method) > 3
        group by method having count(distinct service) = 1),
    said as (
        select family_id as family, event_id, service, unnest(list_distinct(regexp_extract_all(error,
            '/[A-Za-z0-9_.~/-]{3,120}'))) as route
        from fl_calls where family_id is not null),
    totals as (select family_id as family, count(*) as failures from fl_calls where family_id is not null
        group by all)
    select family, name, count(distinct event_id) as times, any_value(failures) as failures
    from said join routes using (route) join totals using (family) where name <> service
    group by family, name order by family, times desc, name"""
"""Services whose routes a family's messages name, as `call_sums.DEPENDENCIES_SQL` gives those named."""
