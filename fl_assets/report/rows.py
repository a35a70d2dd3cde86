"""Rows that a day's report and its pictures are made from.

What goes here: questions to the warehouse and the lake that only the report asks. What does not: what a report says (`report/report.py`).
"""

import os
from datetime import date, timedelta
from typing import Any

from fl_assets.patterns.nodes import SERIES_DAYS
from fl_assets.report.records import ReportRows
from fl_assets.workspace import Workspace


def report_rows(space: Workspace, day: date) -> ReportRows:
    """Return the rows of a day's report, and of the analysed day before it.

    Playbooks and decisions are there when the cycle came that far; decisions of an earlier run are left out when the latest one was gated.
    """
    warehouse = space.warehouse
    (previous,) = warehouse.rows(
        "select max(event_date) as day from failure_patterns where event_date < $day", {"day": day}
    )
    previous_day = previous["day"]
    cycles = warehouse.rows(
        "select * from learning_cycles where event_date = $day order by start_time desc, cycle_id limit 1",
        {"day": day},
    )
    cycle = cycles[0] if cycles else None
    totals, conversations = reported(space, day)

    def of(table: str, when: date | None = day) -> list[dict[str, Any]]:
        return warehouse.read_day(table, when) if when else []

    return ReportRows(
        day=day,
        threshold=space.settings.threshold,
        min_nodes=space.settings.min_nodes,
        previous_day=previous_day,
        cycle=cycle,
        patterns=of("failure_patterns"),
        earlier_patterns=of("failure_patterns", previous_day),
        members=of("pattern_members"),
        earlier_members=of("pattern_members", previous_day),
        playbooks=of("playbooks"),
        earlier_playbooks=of("playbooks", previous_day),
        decisions=of("update_decisions") if cycle and cycle["status"] != "gated" else [],
        applied=of("applied_updates"),
        outcomes=of("update_outcomes"),
        calibration=of("confidence_calibration"),
        totals=totals,
        conversations=conversations,
        ingestion={each: space.engine.day_stats(each) for each in (day - timedelta(days=1), day)},
        quarantined=quarantine_reasons(space, day),
        registered=space.summaries.registered(),
    )


def reported(space: Workspace, day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what each node reported on each of the last days: `event_date, node_id, calls, failures`, and `event_date, node_id, sessions`."""
    since = {"day": day, "from_day": day - timedelta(days=SERIES_DAYS - 1)}
    totals = space.warehouse.rows(
        """select event_date, node_id, sum(calls)::bigint as calls, sum(failures)::bigint as failures from call_totals
        where event_date between $from_day and $day group by all order by all""",
        since,
    )
    # A node's agent has a row for each signal, each with the same number of conversations.
    conversations = space.warehouse.rows(
        """select event_date, node_id, sum(sessions)::bigint as sessions from (
            select event_date, node_id, service, max(sessions) as sessions from conversation_signals
            where event_date between $from_day and $day group by all)
        group by all order by all""",
        since,
    )
    return totals, conversations


def quarantine_reasons(space: Workspace, day: date) -> list[dict[str, Any]]:
    """Return `reason, lines` of a day's quarantined lines, most first."""
    sql = "select reason, count(*) as lines from fl_events group by reason order by lines desc, reason"
    return _from_lake(space, "quarantined_events", day, sql)


def hourly(space: Workspace, day: date) -> list[dict[str, Any]]:
    """Return `hour` (0 to 23, UTC), `calls` and `failures` of a day's traces; hours without calls are left out."""
    sql = """select hour(timestamp)::integer as hour, count(*) as calls, count(*) filter (where not success and caused_by is null) as failures
        from fl_events group by hour order by hour"""
    return _from_lake(space, "raw_traces", day, sql)


def _from_lake(space: Workspace, table: str, day: date, sql: str) -> list[dict[str, Any]]:
    files = [os.fspath(path.resolve()) for path in space.lake.files(table, [day])]
    if not files:
        return []
    with space.engine.connect() as connection:
        connection.read_parquet(files, hive_partitioning=False).create_view("fl_events")
        return connection.sql(sql).to_arrow_table().to_pylist()


def failures_by_node(space: Workspace, day: date) -> list[dict[str, Any]]:
    """Return `pattern_id`, `node_id` and `failures` of a day's window, for every pattern and node that has any."""
    return space.warehouse.rows(
        """with found as (
            select event_date, node_id, message_id, failures from failure_signatures
            union all select event_date, node_id, signal || '|' || service, sessions_affected from conversation_signals)
        select pattern_id, node_id, sum(failures)::bigint as failures
        from found join pattern_members using (message_id)
        where pattern_members.event_date = $day and found.event_date between $from_day and $day
        group by all having sum(failures) > 0 order by all""",
        {"day": day, "from_day": space.window(day).days[0]},
    )
