"""What reaches the fleet follows from the history alone: states, the draw of canary nodes, the release."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.updates.canary import TooFewNodesError, draw_nodes
from fl_assets.updates.history import Event, Status, Update, conflicting_trial, fold, lessons, turned_down
from fl_assets.updates.release import Release, release_of, why_refused

NOW = datetime(2026, 11, 15, 0, 20, tzinfo=UTC)
WHAT = [*get_args(Status), "refreshed"]


GROUPS = {
    "canary": ("n1", "n2", "n3"),
    "control": ("n4", "n5", "n6", "n7", "n8", "n9"),
    "half": ("n1", "n2", "n3", "n4"),
    "held_back": ("n7", "n8", "n9"),
}


def update(number: int = 1, **given: Any) -> Update:
    fields = {
        "decision_id": f"{number:016x}",
        "day": date(2026, 11, 14),
        "improvement_id": f"i{number}",
        "pattern_id": f"p{number}",
        "remedy_id": "timeout-raise-limit",
        "change_id": f"c{number}",
        "category": "config",
        "target": "agent.toml#timeout",
        "from_value": '{"agent.toml#timeout": 5000}',
        "to_value": '{"agent.toml#timeout": 8000}',
    }
    return Update(**(fields | given))


def history(*entries: tuple[str, int] | tuple[str, int, dict[str, Any]]) -> list[Event]:
    """Events by what and update number, an hour apart."""
    events = []
    for place, (what, number, *more) in enumerate(entries, start=1):
        groups = GROUPS if what == "canary" else {}
        fields: dict[str, Any] = {
            "decision_id": f"{number:016x}" if number else "",
            **groups,
            **(more[0] if more else {}),
        }
        if number and "update" not in fields:
            fields["update"] = update(number)
        events.append(Event(number=place, at=NOW + timedelta(hours=place), what=what, **fields))
    return events


def status(*entries: Any) -> str:
    return fold(history(*entries))[f"{1:016x}"].status


def test_an_update_goes_from_approval_to_canary_to_promotion_and_back():
    steps = [("approved", 1), ("canary", 1), ("promoted", 1), ("rolled_back", 1)]
    assert [status(*steps[:length]) for length in range(1, 5)] == [
        "approved",
        "canary",
        "promoted",
        "rolled_back",
    ]


@given(st.lists(st.sampled_from(WHAT), min_size=1, max_size=12))
def test_no_history_brings_back_what_was_rolled_back_or_carries_out_what_was_rejected(kinds):
    seen = []
    for length in range(1, len(kinds) + 1):
        found = fold(history(*((kind, 1) for kind in kinds[:length]))).get(f"{1:016x}")
        seen.append(found.status if found else None)
    for before, after in pairwise(seen):
        assert before != "rolled_back" or after == "rolled_back"
        assert before != "rejected" or after in ("rejected", "approved")
        assert after != "promoted" or before in ("canary", "widened", "promoted")
        assert after != "confirmed" or before in ("promoted", "confirmed")


def test_only_verdicts_and_rejections_teach():
    events = history(
        ("canary", 1), ("rolled_back", 1, {"ended": "worse"}), ("rejected", 2), ("canary", 3), ("rolled_back", 3, {"ended": "undone"}), ("canary", 4),  # noqa: E501
        ("promoted", 4, {"ended": "better"}), ("applied", 5), ("rolled_back", 5, {"ended": "failed"}), ("approved", 6),  # noqa: E501
    )  # fmt: skip
    assert [(one.change_id, one.ended) for one in lessons(fold(events).values())] == [
        ("c1", "worse"),
        ("c2", "rejected"),
        ("c4", "better"),
    ]


def test_a_promoted_change_that_is_taken_back_still_counts_by_its_last_end():
    events = history(
        ("canary", 1), ("promoted", 1, {"ended": "better"}), ("rolled_back", 1, {"ended": "undone"})
    )
    assert lessons(fold(events).values()) == []


def test_what_is_not_tried_again_says_when_it_failed_or_who_rejected_it():
    failed = fold(history(("canary", 1), ("rolled_back", 1, {"ended": "worse", "reason": "more failures"})))
    (why,) = turned_down(failed.values()).values()
    assert why == "a trial of this change failed: more failures"
    (why,) = turned_down(fold(history(("rejected", 1, {"by": "ann", "reason": "no"}))).values()).values()
    assert re.fullmatch(r"ann rejected this change on \d{4}-\d\d-\d\d: no", why)


def test_nothing_else_is_tried_on_a_pattern_or_key_whose_canary_runs():
    running = fold(history(("canary", 1))).values()
    assert conflicting_trial(running, "p1", "other.toml#x")
    assert conflicting_trial(running, "p2", "agent.toml#retries, agent.toml#timeout")
    assert not conflicting_trial(running, "p2", "agent.toml#retries")
    trial = {"canary": ("n1",), "control": ("n2", "n3", "n4"), "half": ("n1", "n2")}
    for steps, nodes in (((), "1 of 4 nodes"), ((("widened", 1),), "2 of 4 nodes")):
        stage = fold(history(("canary", 1, trial), *steps)).values()
        other = conflicting_trial(stage, "p1", "")
        assert other is not None
        assert f"is on {nodes}" in other.conflict
    watched = fold(history(("canary", 1), ("promoted", 1))).values()
    assert not conflicting_trial(watched, "p1", "agent.toml#retries"), "with other nodes it may be tried on"
    held = conflicting_trial(watched, "p1", "agent.toml#timeout")
    assert held is not None
    assert "held back" in held.conflict
    confirmed = fold(history(("canary", 1), ("promoted", 1), ("confirmed", 1))).values()
    assert not conflicting_trial(confirmed, "p1", "agent.toml#timeout")


# The nodes of a trial


@given(
    st.sets(st.integers(0, 10_000), min_size=6, max_size=60),
    st.integers(0, 8),
    st.integers(0, 2**64 - 1),
    st.floats(0.01, 0.5),
    st.randoms(),
)
def test_the_draw_depends_on_key_decision_and_nodes_alone_and_meets_every_minimum(
    numbers, new, seed, share, random
):
    nodes = [f"n{number}" for number in numbers]
    newcomers = [f"fresh{number}" for number in range(new)]
    shuffled = random.sample(nodes, len(nodes))
    try:
        found = draw_nodes(b"key", f"{seed:016x}", nodes, newcomers, share=share, minimum=3)
    except TooFewNodesError:
        assert len(nodes) - max(3, share * (len(nodes) + new)) < 4
        return
    assert found == draw_nodes(b"key", f"{seed:016x}", shuffled, newcomers, share=share, minimum=3)
    assert sorted([*found.half, *found.rest]) == sorted([*nodes, *newcomers])
    assert {*found.canary} <= {*found.half} - {*newcomers}
    assert {*found.held_back} <= {*found.rest} - {*newcomers}
    assert len(found.canary) >= max(3, share * (len(nodes) + new) - 1e-6)
    assert min(len(found.half), len(found.rest), len(found.held_back)) >= 3


def test_over_decisions_every_node_is_a_canary_about_as_often_and_another_key_draws_others():
    nodes = [f"n{number}" for number in range(20)]
    taken = dict.fromkeys(nodes, 0)
    same = 0
    for decision in range(400):
        canary = draw_nodes(b"key", f"{decision:016x}", nodes, share=0.2, minimum=3).canary
        same += canary == draw_nodes(b"other", f"{decision:016x}", nodes, share=0.2, minimum=3).canary
        for node in canary:
            taken[node] += 1
    assert all(50 < times < 115 for times in taken.values()), taken  # 80 expected, standard deviation 8
    assert same < 5


def test_a_trial_that_others_wait_for_takes_as_many_nodes_as_it_needs():
    nodes = [f"n{number:02d}" for number in range(40)]
    found = draw_nodes(b"key", "d", nodes, share=0.1, minimum=3, size=16)
    assert len(found.half) + len(found.rest) == 16


@pytest.mark.parametrize("nodes", [5, 3, 0])
def test_too_few_nodes_are_refused_with_both_numbers(nodes):
    names = [f"n{number}" for number in range(nodes)]
    wanted = rf"only {nodes} eligible nodes? (is|are) free; a trial needs 6"
    with pytest.raises(TooFewNodesError, match=wanted):
        draw_nodes(b"key", "d", names, share=0.1, minimum=3)


# The release


def release(*entries: Any) -> Release:
    return release_of(history(*entries), channel="stable", valid_days=7)


def test_only_canary_nodes_get_a_canary_and_all_nodes_what_is_promoted():
    assert release(("canary", 1)).for_node("n1") == {"agent.toml#timeout": "8000"}
    assert release(("canary", 1)).for_node("n4") == {}
    assert release(("canary", 1), ("promoted", 1)).for_node("n4") == {"agent.toml#timeout": "8000"}
    assert release(("canary", 1), ("rolled_back", 1)).changes == ()
    assert release(("approved", 1)).changes == ()


def test_what_later_changes_replace_in_full_is_left_out_and_a_canary_wins_on_its_nodes():
    later = {"update": update(2, to_value='{"agent.toml#timeout": 9000}')}
    assert [one.update_id[-1] for one in release(("applied", 1), ("applied", 2, later)).changes] == ["2"]
    tried = release(("applied", 1), ("canary", 2, later))
    assert (tried.for_node("n1"), tried.for_node("n9")) == (
        {"agent.toml#timeout": "9000"},
        {"agent.toml#timeout": "8000"},
    )


@given(st.lists(st.tuples(st.sampled_from(WHAT), st.integers(1, 3)), min_size=2, max_size=10))
def test_the_sequence_rises_with_every_event_and_the_bytes_follow_from_the_history_alone(entries):
    shorter, longer = release(*entries[:-1]), release(*entries)
    assert shorter.sequence < longer.sequence
    assert longer.canonical() == release(*entries).canonical()
    assert Release.model_validate_json(longer.canonical()) == longer


@settings(max_examples=30)
@given(st.integers(0, 20), st.integers(-300, 300))
def test_a_node_takes_no_lower_number_and_nothing_that_has_expired(highest, hours):
    one = release(("canary", 1), ("promoted", 1))
    seen = one.issued_at + timedelta(hours=hours)
    why = why_refused(one, channel="stable", highest=highest, seen=seen)
    assert bool(why) == (highest > 2 or hours >= 7 * 24 or hours < -24)
    assert why_refused(one, channel="edge", highest=0, seen=one.issued_at).startswith("channel")


def test_no_release_dated_far_ahead_or_numbered_far_above_can_bar_those_that_follow():
    one = release(("canary", 1))
    far = one.model_copy(update={"issued_at": one.issued_at.replace(year=2099)})
    assert why_refused(far, channel="stable", highest=0, seen=one.issued_at).startswith("future")
    high = one.model_copy(update={"sequence": 10**9})
    assert why_refused(high, channel="stable", highest=1, seen=one.issued_at).startswith("future")
