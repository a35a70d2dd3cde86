"""Reading the rows of a day's report and its pictures.

What goes here: queries that only the report needs. What does not: building the report (`report/build.py`).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from fl_assets.events.days import EventDays
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.outcome import unread_in_words
from fl_assets.federation.coordinator_side import SummaryFiles
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.warehouse import Warehouse
from fl_assets.patterns.nodes import SERIES_DAYS
from fl_assets.patterns.store import left_out
from fl_assets.report.records import ReportRows
from fl_assets.report.words import visible, with_code
from fl_assets.updates.history import fold
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.rollout import applied_by_now

_CYCLE = """
    select * from learning_cycles where event_date = $day
    order by start_time desc, status = 'failed', cycle_id limit 1"""
_CALLS = """
    select event_date, node_id, sum(calls)::bigint as calls, sum(failures)::bigint as failures
        from call_totals
    where event_date between $from_day and $day group by all order by all"""
# A node's agent has a row for each signal, each with the same number of conversations.
_CONVERSATIONS = """
    with by_service as (
        select event_date, node_id, service, max(sessions) as sessions from conversation_signals
        where event_date between $from_day and $day group by all)
    select event_date, node_id, sum(sessions)::bigint as sessions from by_service group by all order by all"""
_REASONS = "select reason, count(*) as lines from fl_events group by reason order by lines desc, reason"
_HOURS = """
    select hour(timestamp)::integer as hour, count(*) as calls,
        count(*) filter (where not success and caused_by is null) as failures
    from fl_events group by hour order by hour"""
_FAILURES_BY_NODE = """
    with found as (
        select event_date, node_id, message_id, failures from failure_signatures
        union all select event_date, node_id, signal || '|' || service, sessions_affected
            from conversation_signals)
    select pattern_id, node_id, sum(failures)::bigint as failures
    from found join pattern_members using (message_id)
    where pattern_members.event_date = $day and found.event_date between $from_day and $day
    group by all having sum(failures) > 0 order by all"""

_LATEST_EXAMPLES = """
    with latest as (select max(event_date) as day from pattern_examples where event_date <= $day)
    select family_id, message from pattern_examples where not succeeded
        and event_date = (select day from latest)"""
_TITLES = """
    select improvement_id, max_by(title, event_date) as title from playbooks
    where event_date <= $day group by improvement_id"""
_STEPS = """
    select * from update_outcomes
    where event_date between $from_day and $day and action <> 'none' order by event_date, decision_id"""


@dataclass(frozen=True)
class ReportReader:
    """Reads what a day's report is made from."""

    warehouse: Warehouse
    engine: DuckDBEngine
    summaries: SummaryFiles
    days: EventDays
    history: UpdateLog

    def rows(self, day: date) -> ReportRows:
        """Return the rows of a day's report, and of the analysed day before it.

        Decisions of an earlier run are left out when the latest one was gated.
        """
        before = "select max(event_date) as day from failure_patterns where event_date < $day"
        previous_day = self.warehouse.rows(before, {"day": day})[0]["day"]
        cycles = self.warehouse.rows(_CYCLE, {"day": day})
        cycle = cycles[0] if cycles else None
        totals, conversations = self.reported(day)

        def of(table: str, when: date | None = day) -> list[dict[str, Any]]:
            return self.warehouse.read_day(table, when) if when else []

        titles = self.playbook_titles(day)

        def titled(row: dict[str, Any]) -> dict[str, Any]:
            return row | {"title": titles.get(row["improvement_id"], row["remedy_id"])}

        return ReportRows(
            day=day,
            threshold=self.engine.settings.threshold,
            min_nodes=self.engine.settings.min_nodes,
            previous_day=previous_day,
            cycle=cycle,
            patterns=of("failure_patterns"),
            earlier_patterns=of("failure_patterns", previous_day),
            members=of("pattern_members"),
            earlier_members=of("pattern_members", previous_day),
            playbooks=of("playbooks"),
            earlier_playbooks=of("playbooks", previous_day),
            decisions=of("update_decisions") if cycle and cycle["status"] != "gated" else [],
            applied=self.applied(day),
            outcomes=[titled(row) for row in of("update_outcomes")],
            calibration=of("confidence_calibration"),
            totals=totals,
            conversations=conversations,
            ingestion={each: self.engine.day_stats(each) for each in (day - timedelta(days=1), day)},
            quarantined=self.quarantine_reasons(day),
            unread=unread_in_words(self.engine.index.unread(), 20),
            registered=self.summaries.registered(),
            examples=of("pattern_examples"),
            by_node=self.failures_by_node(day),
            verdicts=of("gate_verdicts"),
            left_out=left_out(self.warehouse, day),
            steps=[
                titled(row)
                for row in self.warehouse.rows(
                    _STEPS, {"day": day, "from_day": day - timedelta(days=SERIES_DAYS - 1)}
                )
            ],
        )

    def applied(self, day: date) -> list[dict[str, Any]]:
        """Return the rows of a day's `applied_updates`, as the history of updates has them by now."""
        rows = self.warehouse.read_day("applied_updates", day)
        try:
            return applied_by_now(rows, fold(self.history.events()))
        except NeedsHumanError:  # of a damaged history; the steps that need it say so
            return rows

    def reported(self, day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return `event_date, node_id, calls, failures` and `event_date, node_id, sessions`, 14 days each."""
        since = {"day": day, "from_day": day - timedelta(days=SERIES_DAYS - 1)}
        return self.warehouse.rows(_CALLS, since), self.warehouse.rows(_CONVERSATIONS, since)

    def quarantine_reasons(self, day: date) -> list[dict[str, Any]]:
        """Return `reason, lines` of a day's quarantined lines, most first."""
        return self._from_lake("quarantined_events", day, _REASONS)

    def hourly(self, day: date) -> list[dict[str, Any]]:
        """Return `hour` (0 to 23, UTC), `calls` and `failures` of a day's hours with calls."""
        return self._from_lake("raw_traces", day, _HOURS)

    def failures_by_node(self, day: date) -> list[dict[str, Any]]:
        """Return `pattern_id, node_id, failures` of a day's window."""
        first = self.days.window(day).days[0]
        return self.warehouse.rows(_FAILURES_BY_NODE, {"day": day, "from_day": first})

    def titles(self, day: date, of: Literal["pattern", "family"] = "pattern") -> dict[str, str]:
        """Return the template of each pattern or family, with the status code of its latest examples."""
        messages: dict[str, list[str]] = {}
        for row in self.warehouse.rows(_LATEST_EXAMPLES, {"day": day}):
            messages.setdefault(row["family_id"], []).append(row["message"])
        table = "failure_patterns" if of == "pattern" else "failure_families"
        return {
            row[f"{of}_id"]: with_code(visible(row["template"]), messages.get(row["family_id"], ()))
            for row in self.warehouse.read_day(table, day)
        }

    def playbook_titles(self, day: date) -> dict[str, str]:
        """Return the latest title of each playbook up to a day, by its id."""
        return {row["improvement_id"]: row["title"] for row in self.warehouse.rows(_TITLES, {"day": day})}

    def _from_lake(self, table: str, day: date, sql: str) -> list[dict[str, Any]]:
        files = self.engine.lake.paths(table, [day])
        if not files:
            return []
        with self.engine.connect() as connection:
            connection.read_parquet(files, hive_partitioning=False).create_view("fl_events")
            return connection.sql(sql).to_arrow_table().to_pylist()
