"""What people are told of a cycle."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fl_assets.report.alert_text import MAX_LISTED, Alert, alerts_of, failed_cycle, slack_message
from fl_assets.report.build import build_report
from fl_assets_tests.build import DAY, pattern
from fl_assets_tests.report.test_report import cycle, outcome_row, playbook_row, rows, totals


def kinds(given_rows):
    return {(alert.kind, alert.subject) for alert in alerts_of(build_report(given_rows))}


def test_a_playbook_is_news_once():
    assert kinds(rows()) == {("new_playbook", "0123456789abcdef")}
    assert kinds(rows(earlier_playbooks=[playbook_row()])) == set()


def test_a_playbook_that_was_held_before_is_news():
    assert kinds(rows(earlier_playbooks=[playbook_row(held_because=("confidence_gate: x",))])) == {
        ("new_playbook", "0123456789abcdef")
    }


def test_a_first_cycle_has_no_new_playbooks():
    assert kinds(rows(previous_day=None)) == set()


def test_a_regression_is_told_only_when_it_stands_out_from_noise():
    assert ("regression", "p-back") in kinds(rows(patterns=[pattern(pattern_id="p-back", state="regressed")]))
    assert ("regression", "p-back") not in kinds(
        rows(patterns=[pattern(pattern_id="p-back", state="regressed", is_significant=False)])
    )


def test_a_rollback_is_told():
    assert ("rollback", "d9") in kinds(
        rows(outcomes=[outcome_row(), outcome_row(decision_id="d9", verdict="worse", action="rolled_back")])
    )
    assert not [kind for kind, _ in kinds(rows(outcomes=[outcome_row()])) if kind == "rollback"]


def test_silent_nodes_are_named():
    assert ("silent_node", "n2") in kinds(rows(totals=totals({"n1": [9] * 14, "n2": [9] * 13 + [0]})))


def test_a_gated_day_names_no_new_playbook():
    found = kinds(replace(rows(), cycle=cycle(status="gated", reason="confidence_gate: x")))
    assert ("gated", "cycle") in found
    assert not [kind for kind, _ in found if kind == "new_playbook"]


def test_a_message_lists_the_most_urgent_kind_first_and_counts_the_rest():
    many = [
        Alert(day=DAY, kind="silent_node", subject=f"n{place}", text=f"n{place}")
        for place in range(MAX_LISTED + 5)
    ]
    message = slack_message([*many, failed_cycle("run-1", DAY, "no space left on device")])
    texts = [block["text"]["text"] for block in message["blocks"]]
    assert texts[0].startswith("The learning cycle failed")
    assert "no space left on device" in texts[0]
    assert texts[1].endswith("… and 5 more")
    assert "(15)" in message["text"]


@given(
    st.lists(
        st.tuples(st.text(max_size=400), st.sampled_from(["silent_node", "regression", "failed"])),
        min_size=1,
        max_size=30,
    )
)
def test_no_text_becomes_a_mention_or_breaks_slacks_limits(texts):
    message = slack_message(
        [Alert(day=DAY, kind=kind, subject="x", text=f"<!channel> {text}") for text, kind in texts]
    )
    assert "<" not in message["text"]
    assert all(
        block["text"]["type"] == "plain_text" and len(block["text"]["text"]) <= 3000
        for block in message["blocks"]
    )
