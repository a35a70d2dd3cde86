"""What an analysis reads from the warehouse and the lake.

What goes here: the history of a day, what error records suspect. What does not: the analysis (`analysis.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta

import duckdb
import pandas as pd

from fl_assets.core.cycles import Window
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.warehouse import Warehouse
from fl_assets.patterns.analysis import Analysis, History
from fl_assets.patterns.cases import Case, cases
from fl_assets.patterns.counts import BASELINE_DAYS, HISTORY_DAYS, INCIDENT_DAYS
from fl_assets.patterns.judged import NO_EVALUATIONS
from fl_assets.patterns.knowledge import NOTHING_KNOWN, Knowledge, learn_from
from fl_assets.patterns.talk import TALK_SQL, talk_examples
from fl_assets.sums.masking import signature_sql
from fl_assets.sums.summaries import Summaries

READ_DAYS = HISTORY_DAYS + BASELINE_DAYS
"""Days of sums that an analysis reads whole; of older ones, only what dates a message."""

MAX_MESSAGES = 20_000
"""An analysis looks at no more distinct messages than this: those that most nodes had, then most failures.

Each takes some 25 kB of memory while they are grouped. What is left out are messages of few calls each: their
failures stay in the sums and in every rate, and are in no pattern.
"""

_LISTED = """
    listed as materialized (
        select message_id from failure_signatures where event_date <= $day
        group by message_id
        order by max(event_date) >= $from_day desc, count(distinct node_id) desc, sum(failures) desc,
            message_id
        limit $most)"""
_LEFT_OUT = f"""
    with {_LISTED}
    select count(distinct message_id) as messages, coalesce(sum(failures), 0)::bigint as failures
    from failure_signatures anti join listed using (message_id)
    where event_date between $from_day and $day"""  # noqa: S608 - constants of our own only
_MESSAGES = f"""
    with {_LISTED}, sums as (
        select message_id, any_value(masked_error) as masked_error, any_value(has_text) as has_text, service,
        method,
            sum(failures) as failures, min(event_date) as first_day
        from failure_signatures semi join listed using (message_id) where event_date <= $day
        group by message_id, service, method)
    select message_id, any_value(masked_error) as masked_error, any_value(has_text) as has_text,
        arg_min(service, (-failures, service, method)) as service,
        arg_min(method, (-failures, service, method)) as method,
        min(first_day) as first_day
    from sums group by message_id order by message_id"""  # noqa: S608 - constants of our own only
# Lists take most of a row's memory, so they are read only where something needs them: latencies within the
# window, traces also of a message that has stopped.
_SIGNATURES = f"""
    with {_LISTED}, known as (
        select *, min(event_date) over (partition by message_id) as first_day,
            max(event_date) over (partition by message_id) as last_day
        from failure_signatures semi join listed using (message_id) where event_date <= $day)
    select event_date, node_id, service, method, message_id, failures, sessions, first_seen, last_seen,
        case when event_date >= $window or last_day < $day then exemplar_trace_ids end as exemplar_trace_ids,
        case when event_date >= $incidents then incidents end as incidents,
        case when event_date >= $window then latency_histogram end as latency_histogram
    from known where event_date >= $from_day or event_date = first_day"""  # noqa: S608
_TOTALS = """
    select * replace (case when event_date >= $window then latency_histogram end as latency_histogram)
    from call_totals where event_date between $from_day and $day"""
_SIGNALS = "select * from conversation_signals where event_date between $from_day and $day"

# The signature SQL sums by node: with the request in the node's place it gives each request's message.
_EXPLAINED = """
    create temp table fl_explained as select * replace (request_id as node_id) from fl_traces
    where not success and request_id in (select request_id from fl_records)"""
_SUSPECTS = """
    with suspects as (
        select request_id,
            unnest(list_distinct(suspected_prompts_or_configs || contributing_tools)) as suspect
        from fl_records)
    select message_id, suspect, sum(failures) as times from fl_messages join suspects on node_id = request_id
    where suspect <> '' group by all order by message_id, times desc, suspect"""

_FAMILIES = """
    select message_id, family_id from pattern_members join failure_patterns using (event_date, pattern_id)
    where event_date = $day order by message_id"""


def left_out(warehouse: Warehouse, day: date) -> dict[str, int]:
    """Return the `messages`, and their `failures`, that are too many for the analysis of a day."""
    first = day - timedelta(days=READ_DAYS - 1)
    (row,) = warehouse.rows(_LEFT_OUT, {"day": day, "from_day": first, "most": MAX_MESSAGES})
    return row


@dataclass(frozen=True)
class PatternStore:
    """Reads what the patterns of a day are made from, and replaces them."""

    warehouse: Warehouse
    """Sums by day, and the patterns."""
    engine: DuckDBEngine
    summaries: Summaries
    """Which nodes sent summaries."""

    def history(self, day: date) -> History:
        """Return the sums known by the end of `day`."""
        first = day - timedelta(days=READ_DAYS - 1)
        since = {"day": day, "from_day": first}
        recent = since | {"window": day - timedelta(days=self.engine.settings.max_window_days - 1)}
        incidents = {"incidents": day - timedelta(days=INCIDENT_DAYS - 1)}
        most, read = {"most": MAX_MESSAGES}, self.warehouse.read
        return History(
            messages=read(_MESSAGES, since | most),
            signatures=read(_SIGNATURES, recent | incidents | most),
            totals=read(_TOTALS, recent),
            signals=read(_SIGNALS, since),
            summarised=self._summarised(first, day),
        )

    def replace(self, day: date, found: Analysis) -> int:
        """Replace the day's patterns and their members; return how many patterns there are."""
        self.warehouse.replace("failure_families", day, found.families)
        self.warehouse.replace("pattern_members", day, found.members)
        return self.warehouse.replace("failure_patterns", day, found.patterns)

    def suspects(self, days: Iterable[date]) -> Mapping[str, list[str]]:
        """Return the prompts, configs and tools that error records suspect, by message id, most named first.

        A record is joined to the failed calls that have its `request_id`; one that matches none names
        nothing.
        """
        chosen = list(days)
        records, traces = (self.engine.lake.paths(name, chosen) for name in ("error_records", "raw_traces"))
        found: dict[str, list[str]] = {}
        if not records or not traces:
            return found
        with self.engine.connect() as connection:
            connection.read_parquet(records, union_by_name=True).create_view("fl_records")
            connection.read_parquet(traces, hive_partitioning=False).create_view("fl_traces")
            connection.execute(_EXPLAINED)
            connection.execute(f"create temp table fl_messages as {signature_sql('fl_explained')}")
            for message_id, suspect, _ in connection.sql(_SUSPECTS).fetchall():
                found.setdefault(message_id, []).append(suspect)
        return found

    def knowledge(self, day: date, window: Window, min_nodes: int) -> Knowledge:
        """Return the consequences, contrasts, cures and examples of a window's failures."""
        judged = self.engine.lake.paths("evaluations", window.days)
        talk = talk_examples(self.engine, self.warehouse.read(TALK_SQL, {"day": day}), window.days)
        with self._calls(day, window) as (connection, family_of):
            if not family_of:
                return replace(NOTHING_KNOWN, examples=talk)
            if judged:
                connection.read_parquet(judged, union_by_name=True).create_view("fl_evaluations")
            known = learn_from(
                connection,
                "fl_traces",
                family_of,
                events=window.events,
                min_nodes=min_nodes,
                evaluations="fl_evaluations" if judged else NO_EVALUATIONS,
            )
            return known if talk.empty else replace(known, examples=pd.concat([known.examples, talk]))

    def cases(self, day: date, window: Window, *, min_nodes: int, most: int) -> list[Case]:
        """Return failed calls of each of the day's families, with calls that succeeded beside them."""
        with self._calls(day, window) as (connection, family_of):
            if not family_of:
                return []
            limits = {"events": window.events, "min_nodes": min_nodes, "most": most}
            return cases(connection, "fl_traces", family_of, **limits)

    @contextmanager
    def _calls(self, day: date, window: Window) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
        """Open a view `fl_traces` of a window's calls; give each message's family, none without calls."""
        rows = self.warehouse.rows(_FAMILIES, {"day": day})
        traces = self.engine.lake.paths("raw_traces", window.days)
        with self.engine.connect() as connection:
            if traces:
                connection.read_parquet(traces, hive_partitioning=False).create_view("fl_traces")
            yield connection, {row["message_id"]: row["family_id"] for row in rows} if traces else {}

    def _summarised(self, first: date, last: date) -> pd.DataFrame:
        days = [day for day in self.engine.lake.days("node_summaries") if first <= day <= last]
        nodes = [(day, node, row["noise"]) for day in days for node, row in self.summaries.nodes(day).items()]
        return pd.DataFrame(nodes, columns=["event_date", "node_id", "noise"])
