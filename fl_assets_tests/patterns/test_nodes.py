"""A node is known by what it reported before, and by its key."""

from datetime import date, timedelta

from fl_assets.patterns.nodes import SERIES_DAYS, completeness, nodes_of

DAY = date(2026, 11, 20)


def rows(node: str, **calls_by_days_ago: int) -> list[dict]:
    return [
        {
            "event_date": DAY - timedelta(days=int(ago.removeprefix("d"))),
            "node_id": node,
            "calls": calls,
            "failures": 1,
        }
        for ago, calls in calls_by_days_ago.items()
    ]


def standing(totals: list[dict], registered: tuple[str, ...] = ()) -> dict[str, str]:
    return {one.node_id: one.status for one in nodes_of(totals, [], DAY, registered)}


def test_a_node_is_reporting_quiet_silent_or_new():
    totals = [
        *rows("a", d2=100, d1=100, d0=90),
        *rows("b", d2=100, d1=100, d0=10),
        *rows("c", d2=100, d1=100),
        *rows("d", d0=5),
    ]
    assert standing(totals) == {"a": "reporting", "b": "quiet", "c": "silent", "d": "first seen"}


def test_a_registered_node_that_was_never_heard_of_is_silent_and_expected():
    found = nodes_of(rows("a", d1=10, d0=10), [], DAY, ("a", "z"))
    assert [(one.node_id, one.status, one.is_expected, one.silent_days) for one in found] == [
        ("a", "reporting", True, 0),
        ("z", "silent", True, SERIES_DAYS),
    ]
    assert completeness(found) == 0.5


def test_completeness_counts_those_that_were_expected_alone():
    totals = [*rows("a", d1=10, d0=10), *rows("old", d12=10), *rows("new", d0=10), *rows("gone", d3=10)]
    assert completeness(nodes_of(totals, [], DAY)) == 0.5, (
        "a reported, gone did not; new was not expected, old no longer is"
    )
    assert completeness([]) == 1.0


def test_a_node_that_was_heard_of_once_is_not_expected():
    daily = {f"d{ago}": 10 for ago in range(7)}
    found = {one.node_id: one for one in nodes_of([*rows("a", **daily), *rows("once", d3=1)], [], DAY)}
    assert (found["a"].is_expected, found["once"].is_expected) == (True, False)
    assert completeness(found.values()) == 1.0


def test_a_day_on_which_nobody_reported_lowers_nobodys_usual():
    (one,) = nodes_of(rows("a", d6=100, d3=100, d0=30), [], DAY)
    assert (one.usual, one.status) == (100.0, "reporting")


def test_conversations_count_as_much_as_calls():
    talk = [{"event_date": DAY, "node_id": "a", "sessions": 7}]
    (one,) = nodes_of([], talk, DAY)
    assert (one.calls, one.conversations, one.status) == (0, 7, "first seen")
