"""The rules of the gate: what fails them, in numbers, and what a check makes of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.playbooks.quality import (
    bad_ratio,
    confidence_gate,
    enough_nodes,
    evidence_is_real,
    is_significant,
    minimum_events,
    no_personal_data,
    violations,
)
from fl_assets_tests.build import playbook

LOW = playbook(improvement_id="a" * 16, confidence=0.4, held_because=("confidence_gate: …",))
LONELY = playbook(improvement_id="b" * 16, nodes_affected=1, held_because=("enough_nodes: …",))
GOOD = playbook()


def test_a_thin_window_says_collected_required_and_missing():
    (problem,) = minimum_events(412, 1000, 7, subject="2026-11-01")
    assert (
        str(problem)
        == "minimum_events: 2026-11-01 has 412 events in 7 days, 588 too few, needs at least 1000 events"
    )
    assert minimum_events(1000, 1000, 1) == []


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(1, 2000))
def test_the_minimum_is_met_exactly_from_the_minimum_on(events, minimum):
    assert bool(minimum_events(events, minimum, 1)) is (events < minimum)


def test_a_bad_ratio_above_the_maximum_is_named_and_no_lines_are_no_fault():
    assert (
        str(bad_ratio(6, 100, 0.05)[0])
        == "bad_ratio: the day has 6 of 100 (6.0%), needs at most 5.0% malformed lines"
    )
    assert bad_ratio(5, 100, 0.05) == bad_ratio(0, 0, 0.0) == []


def test_the_gate_is_shut_only_when_no_playbook_reaches_the_threshold_while_there_are_some():
    assert confidence_gate([], 0.7) == []
    assert confidence_gate([LOW, GOOD], 0.7) == []
    (problem,) = confidence_gate([LOW], 0.7)
    assert (problem.subject, problem.actual, problem.expected) == (
        "a" * 16,
        "0.400",
        "confidence of at least 0.70",
    )


def test_a_playbook_below_the_threshold_that_is_not_held_fails_the_gate_though_others_pass():
    assert [
        problem.subject
        for problem in confidence_gate([LOW.model_copy(update={"held_because": ()}), GOOD], 0.7)
    ] == [LOW.improvement_id]


def test_too_few_nodes_fail_the_day_when_nothing_else_is_left_or_when_it_is_not_held():
    assert enough_nodes([LONELY, GOOD], 3) == []
    assert len(enough_nodes([LONELY], 3)) == 1
    assert len(enough_nodes([LONELY.model_copy(update={"held_because": ()}), GOOD], 3)) == 1


def test_a_confidence_just_below_the_threshold_never_reads_as_the_threshold():
    assert confidence_gate([playbook(confidence=0.69999)], 0.7)[0].actual == "0.699"


def test_evidence_that_a_recount_does_not_find_is_named_and_a_missing_pattern_counts_as_none():
    assert evidence_is_real([GOOD], {"p-timeout": 200}) == []
    assert evidence_is_real([GOOD], {"p-timeout": 199})[0].expected == "the 199 failures that a recount finds"
    assert evidence_is_real([GOOD], {})[0].actual == "200 claimed"


def test_noise_is_named():
    assert is_significant([GOOD]) == []
    assert [problem.rule for problem in is_significant([playbook(is_significant=False)])] == [
        "is_significant"
    ]


def test_personal_data_is_named_by_kind_and_not_repeated():
    leaky = playbook(description="Write to ada@example.org", suggested_changes={"k": "ada@example.org"})
    (problem,) = no_personal_data([GOOD, leaky], lambda text: ["email"] if "@" in text else [])
    assert "email" in problem.actual
    assert "ada" not in str(problem)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 9), st.booleans(), st.integers(0, 400))
def test_a_playbook_is_free_exactly_when_every_rule_holds(confidence, nodes, significant, recount):
    one = playbook(confidence=confidence, nodes_affected=nodes, is_significant=significant)
    found = violations(
        [one], threshold=0.7, min_nodes=3, recounted={"p-timeout": recount}, residue=lambda _: []
    )
    assert (found == {}) is (confidence >= 0.7 and nodes >= 3 and significant and recount == 200)
