"""How sessions ended: whether their last attempt failed, and with which error.

What goes here: the statement, over events of some days. What does not: which errors belong to a pattern
(`updates/trial_counts.py`).

A session is a conversation with its calls; without a conversation it is the trace (one request), and without
a trace the single call. A failed call that a retry mends is no failure, and ten more successful calls are no
further success. A session whose attempts went to several nodes counts once, on its first node.
"""

from fl_assets.sums.masking import failures_sql


def ends_sql(traces: str, logs: str) -> str:
    """Return a SELECT of how the sessions of each node and method ended, each day by itself.

    Columns: `event_date, node_id, service, method, message_id, sessions`.

    `message_id` is that of the error that the last attempt failed with, null when it succeeded. Rows without
    a service are of all methods together: there `message_id` is `failed` when the last attempt at any method
    did.

    Args:
        traces: Relation with the columns of `raw_traces`.
        logs: Relation with the columns of `conversation_logs`.
    """
    return f"""
        with sessions as (
            select event_date, trace_id, min(session_id) as session_id from {logs}
            where trace_id is not null and nullif(session_id, '') is not null group by event_date, trace_id),
        attempts as (
            select calls.*, (timestamp, event_id) as place,
                coalesce(nullif(metadata->>'$.session_id', ''), session_id, nullif(trace_id, ''),
                    event_id) as session
            from {traces} calls left join sessions using (event_date, trace_id)
            where success or caused_by is null),
        tried as (
            select event_date, session, service, method, arg_min(node_id, place) as node_id, min(place)
                as first,
                arg_max(event_id, place) as event_id, not arg_max(success, place) as has_failed
            from attempts group by all),
        explained as (
            select event_date, event_id, message_id from (
                {failures_sql("(select * from attempts semi join tried using (event_date, event_id))")})),
        whole as (
            select event_date, session, arg_min(node_id, first) as node_id, bool_or(has_failed) as has_failed
            from tried group by event_date, session)
        select event_date, node_id, service, method, message_id, count(*) as sessions
        from tried left join explained using (event_date, event_id) group by all
        union all
        select event_date, node_id, null, null, case when has_failed then 'failed' end, count(*)
            from whole group by all"""  # noqa: S608
