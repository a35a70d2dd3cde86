"""The evidence of patterns, recounted from the lake by other statements than those of the sums.

What goes here: counting failures and affected conversations by pattern. What does not: what follows when
counts differ (`playbooks/quality.py`).

Failed calls are all counted, event by event; only masking (`failures_sql`) is shared with the sums.
Conversations cost more, so the statement of the signals runs again over those of a few nodes.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.lake_views import view_days
from fl_assets.infra.warehouse import Warehouse
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import failures_sql
from fl_assets.sums.summaries import Summaries

SAMPLED_NODES = 3
"""Nodes whose conversations are recounted."""

_SUMMED = """
    with summed as (
        select event_date, node_id, message_id, failures from failure_signatures
        union all select event_date, node_id, signal || '|' || service, sessions_affected
            from conversation_signals)
    select pattern_id, sum(failures)::bigint as failures
    from pattern_members join summed using (message_id)
    where pattern_members.event_date = $day and summed.event_date between $first and $day
    group by pattern_id"""
_STORED_SIGNALS = """
    select node_id, signal || '|' || service as message_id, sessions_affected as failures
    from conversation_signals where event_date between $first and $day"""
_FAILED_CALLS = """
    select event_date, node_id, message_id, count(distinct event_id) as failures from ({failures})
        where message_id in (select unnest($members)) group by all"""
_SAMPLED_TURNS = """
    create temp table fl_sampled as select * from conversation_logs
        where node_id in (select unnest($nodes))"""


@dataclass(frozen=True)
class Recount:
    """Failures in a day's window, by pattern."""

    summed: Mapping[str, int]
    """By the stored sums."""
    counted: Mapping[str, int]
    """By the events; conversations of nodes outside the sample as summed."""


@dataclass(frozen=True)
class Recounter:
    """Recounts the evidence of patterns."""

    warehouse: Warehouse
    """With the sums and the members of patterns."""
    engine: DuckDBEngine
    summaries: Summaries
    """Of nodes whose events do not count."""

    def recount(self, day: date, window: Sequence[date]) -> Recount:
        """Return the failures of each pattern of `day` in its `window`, as summed and as counted."""
        by_message: Counter[str] = Counter()
        members = self.warehouse.read_day("pattern_members", day)
        with self.engine.connect() as connection:
            for table in (RAW_TRACES, CONVERSATION_LOGS):
                view_days(connection, self.engine.lake, table, window)
            self._add_failed_calls(by_message, connection, window, {row["message_id"] for row in members})
            self._add_conversations(by_message, connection, window)
        counted: Counter[str] = Counter()
        for row in members:
            counted[row["pattern_id"]] += by_message[row["message_id"]]
        summed = self.warehouse.rows(_SUMMED, {"day": day, "first": window[0]})
        return Recount({row["pattern_id"]: row["failures"] for row in summed}, counted)

    def _add_failed_calls(
        self,
        found: Counter[str],
        connection: duckdb.DuckDBPyConnection,
        window: Sequence[date],
        members: Collection[str],
    ) -> None:
        """Count failed calls by message, of nodes with a summary as it reports them."""
        summarised = {(day, node) for day in window for node in self.summaries.nodes(day)}
        for day in {day for day, _ in summarised}:
            for row in self.summaries.rows(day).signatures:
                found[row["message_id"]] += row["failures"]
        statement = _FAILED_CALLS.format(failures=failures_sql(RAW_TRACES.name))
        rows = connection.execute(statement, {"members": sorted(members)}).fetchall()
        for day, node, message_id, failures in rows:
            if (day, node) not in summarised:
                found[message_id] += failures

    def _add_conversations(
        self, found: Counter[str], connection: duckdb.DuckDBPyConnection, window: Sequence[date]
    ) -> None:
        """Count affected conversations by signal and service, of nodes outside the sample as stored."""
        nodes = connection.sql("select distinct node_id from conversation_logs").fetchall()
        summarised = {node for day in window for node in self.summaries.nodes(day)}
        sample = sample_of({node for (node,) in nodes} - summarised, window[-1])
        for row in self.warehouse.rows(_STORED_SIGNALS, {"first": window[0], "day": window[-1]}):
            found[row["message_id"]] += row["failures"] if row["node_id"] not in sample else 0
        if sample:
            connection.execute(_SAMPLED_TURNS, {"nodes": sorted(sample)})
            signals = connection.sql(conversation_signals_sql("fl_sampled", RAW_TRACES.name))
            for signal, service, sessions in signals.project("signal, service, sessions_affected").fetchall():
                found[f"{signal}|{service}"] += sessions


def sample_of(nodes: Iterable[str], day: date) -> set[str]:
    """Return SAMPLED_NODES of the nodes: a different choice each day, always the same for a day."""
    by_hash = sorted(nodes, key=lambda node: hashlib.sha256(f"{day}\n{node}".encode()).digest())
    return set(by_hash[:SAMPLED_NODES])
