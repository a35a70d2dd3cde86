"""Each rule by itself: what breaks it, in numbers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.playbooks.quality import (
    confidence_gate,
    enough_nodes,
    evidence_is_real,
    few_malformed_lines,
    is_significant,
    minimum_events,
    no_personal_data,
)
from fl_assets_tests.build import playbook

GOOD = playbook()


def test_a_thin_window_says_collected_required_and_missing():
    (problem,) = minimum_events(412, 1000, 7, subject="2026-11-01")
    assert (
        str(problem) == "minimum_events: 2026-11-01 has 412 events in 7 days, needs at least 1,000 events "
        "(FEDERATED_LEARNING_MIN_EVENTS)"
    )
    assert minimum_events(1000, 1000, 1, subject="2026-11-01") == []


def test_a_day_without_events_of_its_own_has_no_telemetry():
    (problem,) = minimum_events(9000, 1000, 2, subject="2026-11-01", own_events=0)
    assert "no telemetry" in str(problem)
    (problem,) = minimum_events(0, 1000, 7, subject="2026-11-01", own_events=0)
    assert "0 events in 7 days" in str(problem)


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(1, 2000))
def test_the_minimum_is_met_exactly_from_the_minimum_on(events, minimum):
    assert bool(minimum_events(events, minimum, 1, subject="d")) is (events < minimum)


def test_too_many_malformed_lines_are_named_and_no_lines_are_no_fault():
    assert (
        str(few_malformed_lines(6, 100, 0.05, subject="the day")[0])
        == "few_malformed_lines: the day has 6 of 100 (6.0%), needs at most 5.0% malformed lines"
    )
    assert few_malformed_lines(5, 100, 0.05, subject="d") == few_malformed_lines(0, 0, 0.0, subject="d") == []


def test_playbooks_below_the_threshold_are_listed_most_confident_first():
    low = [playbook(improvement_id=name * 16, confidence=given) for name, given in (("a", 0.2), ("b", 0.4))]
    assert [problem.subject for problem in confidence_gate([*low, GOOD], 0.7)] == ["b" * 16, "a" * 16]
    assert confidence_gate(low, 0.7)[0].actual == "0.400"
    assert confidence_gate(low, 0.7)[0].expected == "confidence of at least 0.70"


def test_too_few_nodes_are_named():
    (problem,) = enough_nodes([GOOD, playbook(nodes_affected=1)], 3)
    assert (problem.expected, problem.actual) == ("at least 3 nodes", "1 of 50 nodes")


def test_a_confidence_just_below_the_threshold_never_reads_as_the_threshold():
    assert confidence_gate([playbook(confidence=0.69999)], 0.7)[0].actual == "0.699"


def test_evidence_that_sums_or_a_recount_do_not_find_is_named_and_a_missing_pattern_counts_as_none():
    right, wrong = {"p-timeout": 200}, {"p-timeout": 199}
    assert evidence_is_real([GOOD], right, right) == []
    (problem,) = evidence_is_real([GOOD], wrong, wrong)
    assert (problem.expected, problem.actual) == ("the 199 failures that a recount finds", "200 claimed")
    assert evidence_is_real([GOOD], right, wrong)[0].expected.endswith("and the 200 in the sums")
    assert evidence_is_real([GOOD], wrong, right)
    assert evidence_is_real([GOOD], {}, {})[0].actual == "200 claimed"


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
