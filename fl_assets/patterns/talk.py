"""Turns of talk that show a pattern, as its examples.

What goes here: which turns are shown, and how. What does not: what is a signal (`sums/conversations.py`),
examples of calls (`knowledge.py`).
"""

from collections.abc import Sequence
from datetime import date

import pandas as pd

from fl_assets.core.tables import CONVERSATION_LOGS, PATTERN_EXAMPLES, RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.lake_views import view_days
from fl_assets.patterns.knowledge import NOTHING_KNOWN, without_middle
from fl_assets.sums.conversations import telling_turns_sql

TALK_SQL = """
    select family_id, failure_class as signal, services[1] as service,
        unnest(exemplar_trace_ids) as session_id
    from failure_patterns where event_date = $day and kind = 'conversation'"""
"""A day's patterns of talk, with sessions that show each."""
_TURNS = f"""
    create temp table fl_turns as select * from {CONVERSATION_LOGS.name}
    where coalesce(session_id, log_id, event_id) in (select session_id from fl_talk)"""  # noqa: S608
_EXAMPLES = """
    with patterns as (select distinct family_id, signal, service from fl_talk),
    told as ({turns}),
    shown as (
        select family_id, t.*, p.service as agent, row_number() over (
            partition by family_id, t.node_id order by t.timestamp desc, t.event_id) as of_node
        from told join patterns p using (signal, service) join fl_turns t using (event_date, event_id))
    select family_id, row_number() over (partition by family_id order by of_node, timestamp desc, event_id)
            ::integer as rank,
        false as succeeded, coalesce(user_query, '') as user_query,
        coalesce(system_response, '') as system_response,
        agent as service, 'conversation' as method, '{{}}' as arguments, node_id, timestamp,
        coalesce(trace_id, session_id, '') as trace_id
    from shown qualify rank <= 3 order by family_id, rank"""


def talk_examples(engine: DuckDBEngine, patterns: pd.DataFrame, days: Sequence[date]) -> pd.DataFrame:
    """Return up to three turns of each pattern of talk, of different nodes first and the newest of a node.

    Args:
        engine: Of the lake with the turns.
        patterns: Rows of `TALK_SQL`.
        days: The days of the window.

    Returns:
        Rows of `pattern_examples` without their day; the texts are redacted already, and cut.
    """
    if patterns.empty or not engine.lake.paths(CONVERSATION_LOGS.name, days):
        return NOTHING_KNOWN.examples
    with engine.connect() as connection:
        for table in (RAW_TRACES, CONVERSATION_LOGS):
            view_days(connection, engine.lake, table, days)
        connection.register("fl_talk", patterns)
        turns = telling_turns_sql("fl_turns", RAW_TRACES.name)
        connection.execute(_TURNS)
        found = connection.sql(_EXAMPLES.format(turns=turns)).df()
    said = zip(found.pop("user_query"), found.pop("system_response"), strict=True)
    messages = [
        f"User: {without_middle(asked, 250)}\nAgent: {without_middle(answer, 340)}" for asked, answer in said
    ]
    return found.assign(message=messages)[PATTERN_EXAMPLES.day_columns]
