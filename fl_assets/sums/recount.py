"""The evidence of patterns, counted again from the lake.

By other statements than those that made the sums.

What goes here: counting failures and affected conversations by pattern. What does not: what follows when two
counts differ (`playbooks/quality.py`).

Failed calls are all counted, event by event: what is shared with the sums is only what a message is
(`failures_sql`), not the summing. Conversations cost more, so of these a sample is counted: the statement of
the signals runs again over the events of a few nodes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES, Table
from fl_assets.infra.lake import Lake
from fl_assets.infra.warehouse import Warehouse
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import failures_sql
from fl_assets.sums.summaries import Summaries

SAMPLED_NODES = 3
"""Nodes whose conversations are looked at again, of all that a day's signals name."""

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
        group by all"""
_SAMPLED_TURNS = """
    create temp table fl_sampled as select * from conversation_logs
        where node_id in (select unnest($nodes))"""


@dataclass(frozen=True)
class Recount:
    """Failures in a day's window, by pattern."""

    summed: Mapping[str, int]
    """By the stored sums."""
    counted: Mapping[str, int]
    """By the events; of conversations, those of the sampled nodes counted again and the others as summed."""


class Recounter:
    """Counts the evidence of patterns again.

    Args:
        warehouse: The stored sums and the members of patterns.
        lake: The events.
        connect: Gives a DuckDB that reaches the lake.
        summaries: Sums of nodes whose events are left out.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        lake: Lake,
        connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
        summaries: Summaries,
    ) -> None:
        self._warehouse = warehouse
        self._lake = lake
        self._connect = connect
        self._summaries = summaries

    def recount(self, day: date, window: Sequence[date]) -> Recount:
        """Return the failures of each pattern of `day` in its `window`, as summed and as counted."""
        by_message: Counter[str] = Counter()
        with self._connect() as connection:
            for table in (RAW_TRACES, CONVERSATION_LOGS):
                self._view(connection, table, window)
            self._add_failed_calls(by_message, connection, window)
            self._add_conversations(by_message, connection, window)
        counted: Counter[str] = Counter()
        for row in self._warehouse.read_day("pattern_members", day):
            counted[row["pattern_id"]] += by_message[row["message_id"]]
        summed = self._warehouse.rows(_SUMMED, {"day": day, "first": window[0]})
        return Recount({row["pattern_id"]: row["failures"] for row in summed}, counted)

    def _add_failed_calls(
        self, found: Counter[str], connection: duckdb.DuckDBPyConnection, window: Sequence[date]
    ) -> None:
        """Count failed calls by message: events, and for nodes with a summary what that reports."""
        summarised = {(day, node) for day in window for node in self._summaries.nodes(day)}
        for day in {day for day, _ in summarised}:
            for row in self._summaries.rows(day).signatures:
                found[row["message_id"]] += row["failures"]
        statement = _FAILED_CALLS.format(failures=failures_sql(RAW_TRACES.name))
        for day, node, message_id, failures in connection.sql(statement).fetchall():
            if (day, node) not in summarised:
                found[message_id] += failures

    def _add_conversations(
        self, found: Counter[str], connection: duckdb.DuckDBPyConnection, window: Sequence[date]
    ) -> None:
        """Count affected conversations by signal and service.

        Of the sampled nodes again, of the others as stored.
        """
        nodes = connection.sql("select distinct node_id from conversation_logs").fetchall()
        summarised = {node for day in window for node in self._summaries.nodes(day)}
        sample = sample_of({node for (node,) in nodes} - summarised, window[-1])
        for row in self._warehouse.rows(_STORED_SIGNALS, {"first": window[0], "day": window[-1]}):
            found[row["message_id"]] += row["failures"] if row["node_id"] not in sample else 0
        if sample:
            connection.execute(_SAMPLED_TURNS, {"nodes": sorted(sample)})
            signals = connection.sql(conversation_signals_sql("fl_sampled", RAW_TRACES.name))
            for signal, service, sessions in signals.project("signal, service, sessions_affected").fetchall():
                found[f"{signal}|{service}"] += sessions

    def _view(self, connection: duckdb.DuckDBPyConnection, table: Table, days: Sequence[date]) -> None:
        files = [str(path.resolve()) for path in self._lake.files(table.name, days)]
        if files:
            connection.read_parquet(files, hive_partitioning=False).create_view(table.name)
        else:
            connection.execute(table.ddl)


def sample_of(nodes: Iterable[str], day: date) -> set[str]:
    """Return SAMPLED_NODES of the nodes: others each day, and the same whenever the day is asked about."""
    by_hash = sorted(nodes, key=lambda node: hashlib.sha256(f"{day}\n{node}".encode()).digest())
    return set(by_hash[:SAMPLED_NODES])
