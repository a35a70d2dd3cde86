"""What counts as one incident: a user's hour, over all nodes, whatever retries there were."""

import json
from datetime import date, datetime, timedelta

import duckdb
import pandas as pd
import pytest

from fl_assets.patterns.confidence import assess
from fl_assets.patterns.window import WindowSums
from fl_assets.sums.masking import MAX_INCIDENTS, call_totals_sql, signature_sql

DAY = date(2026, 11, 1)
SIGNALS = pd.DataFrame(
    columns=[
        "event_date",
        "node_id",
        "service",
        "signal",
        "sessions_affected",
        "sessions",
        "turns",
        "first_seen",
        "last_seen",
        "exemplar_session_ids",
    ]
)


def failed(node: str, trace: str, *, day: date = DAY, hour: int = 9, **metadata: str) -> dict[str, object]:
    return {
        "event_date": day,
        "event_id": f"{node}-{trace}-{day}-{hour}",
        "node_id": node,
        "service": "search",
        "method": "query",
        "trace_id": trace,
        "timestamp": datetime(day.year, day.month, day.day, hour),  # noqa: DTZ001 - as in the lake
        "duration_ms": 12.0,
        "success": False,
        "error": "index missing",
        "caused_by": None,
        "metadata": json.dumps(metadata),
    }


def window_of(*calls: dict[str, object]) -> WindowSums:
    """Sum calls as the engine does, and take each message as a pattern of its own."""
    frame = pd.DataFrame(calls)
    with duckdb.connect() as connection:
        connection.register("calls", frame)
        parts = [frame for _, frame in frame.groupby("event_date")]
        signatures, totals = [], []
        for part in parts:
            connection.register("part", part)
            signatures.append(connection.sql(signature_sql("part")).df())
            totals.append(connection.sql(call_totals_sql("part")).df())
    signatures, totals = pd.concat(signatures, ignore_index=True), pd.concat(totals, ignore_index=True)
    grouped = signatures[["message_id"]].drop_duplicates().assign(pattern_id="p")
    return WindowSums(grouped, signatures, totals, SIGNALS, DAY)


def incidents(*calls: dict[str, object]) -> list[int]:
    """Hours of each user, most first."""
    found = window_of(*calls).counts.incidents
    return sorted(found.groupby("actor")["incidents"].sum(), reverse=True)


def test_a_request_that_is_retried_across_nodes_is_one_incident():
    assert incidents(*(failed(f"n{number}", "t1") for number in range(5))) == [1]


@pytest.mark.parametrize("key", ["user_id", "user.id", "enduser.id", "session_id"])
def test_a_user_is_one_whatever_their_traces_and_nodes(key):
    calls = [failed(f"n{number}", f"t{number}", **{key: "u"}) for number in range(5)]
    assert incidents(*calls) == [1]
    assert incidents(*calls, failed("n1", "t9", hour=10, **{key: "u"}), failed("n2", "t8", **{key: "v"})) == [
        2,
        1,
    ]


def test_where_nobody_is_named_each_trace_is_someone_else():
    assert incidents(*(failed("n1", f"t{number}") for number in range(4))) == [1] * 4


def test_a_row_names_so_many_incidents_at_most_and_the_same_in_any_order():
    calls = [failed("n1", f"t{number}") for number in range(40)]
    first, again = (window_of(*order).signatures["incidents"].iloc[0] for order in (calls, calls[::-1]))
    assert len(first) == MAX_INCIDENTS
    assert list(first) == list(again)


def test_one_user_behind_a_load_balancer_is_never_significant_and_many_users_are():
    nodes = [f"n{number}" for number in range(6)]
    days = [DAY - timedelta(days=back) for back in range(5)]
    said = []
    for user in ("u{}", "one"):
        calls = [
            failed(node, f"{node}-{day}", day=day, hour=9 + number, user_id=user.format(f"{node}-{day}"))
            for day in days
            for number, node in enumerate(nodes)
        ]
        sums = window_of(*calls)
        said.append(assess(sums.counts, sums.reported, day=DAY, window_days=1).iloc[0])
    assert said[0]["is_significant"]
    assert not said[1]["is_significant"]


def test_sums_of_an_earlier_release_count_sessions():
    sums = window_of(*(failed(f"n{number}", f"t{number}") for number in range(4)))
    old = WindowSums(sums.grouped, sums.signatures.drop(columns="incidents"), sums.totals, SIGNALS, DAY)
    assert old.counts.incidents["actor"].isna().all()
    assert old.counts.incidents["incidents"].sum() == 4
