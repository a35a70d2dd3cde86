"""What a report says, from rows."""

import json
import random
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.playbooks.rules import held_by
from fl_assets.report.build import MAX_MESSAGE, build_report, change_of
from fl_assets.report.in_markdown import report_in_markdown
from fl_assets.report.page import render_page, write_report
from fl_assets.report.records import ReportRows
from fl_assets.report.words import MAX_TEXT, rule, too_few_nodes, visible, with_code, without_subject
from fl_assets.updates.decide import standing_of
from fl_assets_tests.build import DAY, pattern, playbook

BEFORE = DAY - timedelta(days=1)


def playbook_row(**given):
    """One row of the table `playbooks`."""
    advice = {"advice": given.pop("advice")} if "advice" in given else {}
    one = playbook(**given)
    fields = one.model_dump() | {
        "event_date": one.day,
        "is_actionable": not one.held_because,
        "suggested_changes": '{"timeout_ms": "8000"}',
        "advice": one.advice.model_dump_json(),
        **advice,
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def decision_row(**given):
    """One row of the table `update_decisions`."""
    row = {
        "event_date": DAY,
        "decision_id": "d1",
        "improvement_id": "0123456789abcdef",
        "pattern_id": "p-timeout",
        "category": "config",
        "action": "none",
        "mode": "live",
        "target": "config of search:query",
        "from_value": None,
        "to_value": '{"timeout_ms": "8000"}',
        "reasons": ["not applied: no policy names a key"],
        "revert_plan": "nothing was changed",
    }
    return row | given


def outcome_row(**given):
    """One row of the table `update_outcomes`: a change that halved the failures."""
    row = {
        "event_date": DAY,
        "decision_id": "d0",
        "improvement_id": "0123456789abcdef",
        "pattern_id": "p-timeout",
        "remedy_id": "timeout-raise-limit",
        "title": "Raise the time limit",
        "category": "config",
        "released_on": BEFORE,
        "days_observed": 1,
        "canary_nodes": 3,
        "control_nodes": 9,
        "canary_rate_before": 0.1,
        "canary_rate": 0.05,
        "control_rate_before": 0.1,
        "control_rate": None,
        "effect": 0.5,
        "effect_low": 0.3,
        "effect_high": None,
        "all_failures_effect": 1.0,
        "p95_effect": 1.0,
        "verdict": "better",
        "action": "promoted",
        "reason": "half the failures",
    }
    return row | given


def example_row(**given):
    """One row of the table `pattern_examples`."""
    row = {
        "event_date": DAY,
        "family_id": "f-timeout",
        "rank": 1,
        "succeeded": False,
        "message": "503 search timed out after 5012 ms",
        "service": "search",
        "method": "query",
        "arguments": "{}",
        "node_id": "n7",
        "timestamp": datetime(2026, 11, 14, 10, 3, 2, tzinfo=UTC),
        "trace_id": "t1",
    }
    return row | given


def verdict_row(**given):
    """One row of the table `gate_verdicts`: a playbook that is held."""
    row = {
        "event_date": DAY,
        "rule": "enough_nodes",
        "position": 1,
        "subject": "fedcba9876543210",
        "expected": "at least 3 nodes",
        "actual": "1 of 50 nodes",
        "stops_day": False,
        "inputs": "0",
    }
    return row | given


def advice_row(**given):
    """The column `advice` of a playbook."""
    return json.dumps({"headline": "200 of 2,000 calls of `query` failed.", "examples": []} | given)


def cycle(**given):
    """One row of the table `learning_cycles`, as far as a report reads it."""
    return {"status": "completed", "reason": "1 playbook", "window_days": 1} | given


def totals(counts: dict[str, list[int]], *, until: date = DAY):
    """Rows of calls by node and day; each list ends with `until`, a 0 is a day without a row."""
    return [
        {
            "event_date": until - timedelta(days=len(series) - 1 - place),
            "node_id": node,
            "calls": calls,
            "failures": calls // 10,
        }
        for node, series in counts.items()
        for place, calls in enumerate(series)
        if calls
    ]


def rows(**given) -> ReportRows:
    """A day with two patterns, one playbook ready and one held, and a day before it."""
    fields = {
        "day": DAY,
        "threshold": 0.7,
        "min_nodes": 3,
        "previous_day": BEFORE,
        "cycle": cycle(),
        "patterns": [
            pattern(),
            pattern(pattern_id="p-loud", nodes_affected=1, confidence=0.04, failures=300, state="new"),
        ],
        "earlier_patterns": [pattern(event_date=BEFORE)],
        "members": [{"pattern_id": "p-timeout", "message_id": "m1"}],
        "earlier_members": [{"pattern_id": "p-timeout", "message_id": "m1"}],
        "playbooks": [
            playbook_row(),
            playbook_row(
                improvement_id="fedcba9876543210",
                pattern_id="p-loud",
                confidence=0.04,
                held_because=("enough_nodes: fedcba9876543210 has 1, needs 3",),
            ),
        ],
        "decisions": [decision_row()],
        "calibration": [
            {"bin_low": 0.8, "bin_high": 0.9, "predictions": 12, "predicted": 0.85, "observed": 0.83}
        ],
        "totals": totals({"n1": [100] * 14, "n2": [100] * 14}),
        "ingestion": {
            DAY: {"events": 200, "quarantined": 2, "bad_ratio": 0.01, "redacted_email": 3},
            BEFORE: {"events": 180, "quarantined": 0, "bad_ratio": 0.0},
        },
        "quarantined": [{"reason": "invalid_json", "lines": 2}],
    }
    return ReportRows(**(fields | given))


def headline(report, name):
    return next(one for one in report.headlines if one.name == name)


@given(seed=st.integers(0, 999))
def test_the_order_of_rows_changes_nothing(seed):
    given_rows = rows(
        totals=totals({"n1": [7] * 14, "n2": [3] * 13 + [0], "n3": [0] * 13 + [5]}),
        conversations=[{"event_date": DAY, "node_id": node, "sessions": 4} for node in ("n1", "n3")],
        members=[
            {"pattern_id": one, "message_id": message}
            for one, message in (("p-timeout", "m1"), ("p-loud", "m2"), ("p-loud", "m3"))
        ],
        earlier_members=[
            {"pattern_id": "p-timeout", "message_id": message} for message in ("m1", "m2", "m3")
        ],
    )
    shuffle = random.Random(seed)
    names = (
        "patterns",
        "earlier_patterns",
        "members",
        "earlier_members",
        "playbooks",
        "decisions",
        "totals",
        "conversations",
        "quarantined",
    )
    mixed = {
        name: shuffle.sample(list(getattr(given_rows, name)), len(getattr(given_rows, name)))
        for name in names
    }
    assert build_report(replace(given_rows, **mixed)) == build_report(given_rows)


def test_what_would_prevent_most_failures_comes_first_and_held_ones_stay_out():
    report = build_report(
        rows(
            playbooks=[
                playbook_row(),
                playbook_row(improvement_id="aaaaaaaaaaaaaaaa", evidence_count=900),
                rows().playbooks[1],
            ]
        )
    )
    assert [one.improvement_id for one in report.actionable] == ["aaaaaaaaaaaaaaaa", "0123456789abcdef"]
    assert [one.improvement_id for one in report.held] == ["fedcba9876543210"]
    assert report.held[0].held_because == ("enough_nodes: 1, needs 3",)


@given(
    now=st.tuples(st.integers(0, 50), st.floats(0, 0.5), st.floats(0, 0.3)),
    before=st.tuples(st.integers(0, 50), st.floats(0, 0.5), st.floats(0, 0.3)),
)
def test_what_grew_one_way_shrank_the_other(now, before):
    one, other = (
        {"failures": count, "rate_low": low, "rate_high": low + width} for count, low, width in (now, before)
    )
    opposite = {"new": "gone", "gone": "new", "grown": "shrunk", "shrunk": "grown", "same": "same"}
    assert change_of(other, one) == opposite[change_of(one, other)]


def test_a_pattern_grows_only_when_the_intervals_part():
    before = pattern(rate_low=0.08, rate_high=0.12)
    assert change_of(pattern(rate_low=0.11, rate_high=0.15), before) == "same"
    assert change_of(pattern(rate_low=0.13, rate_high=0.17), before) == "grown"
    assert change_of(pattern(rate_low=0.13, rate_high=0.17), None) == "new"


def test_a_pattern_that_has_no_row_any_more_is_gone():
    report = build_report(rows(patterns=[]))
    assert [(one.pattern_id, one.change, one.failures_before, one.failures) for one in report.moved] == [
        ("p-timeout", "gone", 200, 0)
    ]


def test_nothing_changed_in_a_first_cycle():
    report = build_report(
        rows(previous_day=None, earlier_patterns=[], earlier_members=[], earlier_playbooks=[])
    )
    assert report.moved == ()
    assert headline(report, "Patterns failing").before is None
    assert not any(one.is_new for one in report.playbooks)


def test_split_and_merged_patterns_are_named():
    earlier = [
        {"pattern_id": one, "message_id": message} for one, message in (("a", "m1"), ("a", "m2"), ("b", "m3"))
    ]
    now = [
        {"pattern_id": one, "message_id": message} for one, message in (("a", "m1"), ("b", "m2"), ("b", "m3"))
    ]
    found = build_report(rows(members=now, earlier_members=earlier)).regrouped
    assert {(one.how, one.one, one.others) for one in found} == {
        ("split", "a", ("a", "b")),
        ("merged", "b", ("a", "b")),
    }


def test_a_node_that_usually_reports_and_did_not_is_silent():
    report = build_report(
        rows(
            totals=totals(
                {"n1": [100] * 14, "n2": [100] * 13 + [0], "n3": [0] * 13 + [50], "n4": [100] * 13 + [10]}
            )
        )
    )
    assert report.quality.silent == ("n2",)
    assert {one.node_id: one.status for one in report.quality.nodes} == {
        "n1": "reporting",
        "n2": "silent",
        "n3": "first seen",
        "n4": "quiet",
    }
    assert (report.quality.nodes_reporting, report.quality.nodes_usual) == (3, 3)
    assert any("n2" in sentence for sentence in report.summary)


def test_a_day_without_any_collection_makes_no_node_quiet():
    report = build_report(rows(totals=totals({"n1": [100] * 10 + [0, 0, 0, 100]})))
    (node,) = report.quality.nodes
    assert (node.status, node.usual) == ("reporting", 100.0)


def test_a_gated_day_says_that_nothing_was_changed_and_what_was_nearest():
    report = build_report(
        rows(
            cycle=cycle(status="gated", reason="confidence_gate: x"),
            playbooks=rows().playbooks[1:],
            decisions=[],
        )
    )
    assert (report.status, report.actionable, report.decisions) == ("gated", (), ())
    assert any("4%" in sentence and "70%" in sentence for sentence in report.summary)
    assert any("nothing was changed" in sentence for sentence in report.summary)


def test_headlines_compare_with_the_day_before():
    report = build_report(rows(totals=totals({"n1": [100] * 14})))
    assert not headline(report, "Failed calls").is_sure
    assert (headline(report, "Events").value, headline(report, "Events").before) == (200, 180)
    assert (headline(report, "Failed calls").value, headline(report, "Failed calls").before) == (0.1, 0.1)
    assert (headline(report, "Patterns failing").value, headline(report, "Patterns failing").before) == (2, 1)


def test_what_moved_beyond_chance_is_sure():
    many = [{"event_date": BEFORE, "node_id": "n1", "calls": 1000, "failures": 20}]
    many += [{"event_date": DAY, "node_id": "n1", "calls": 1000, "failures": 90}]
    assert headline(build_report(rows(totals=many)), "Failed calls").is_sure


def test_a_page_has_one_window():
    counts = totals({"n1": [100] * 14})
    given = rows(totals=counts, cycle=cycle(window_days=4, events_processed=800))
    found = {one.name: one for one in build_report(given).headlines}
    assert found["Events"].value == 800
    assert found["Failed calls"].note == "40 of 400 calls"
    assert [one.before for one in found.values()] == [None] * 6


def test_a_pattern_has_its_messages_as_they_were_and_its_nodes():
    nodes = [{"pattern_id": "p-timeout", "node_id": f"n{place}", "failures": place} for place in (5, 6, 7)]
    given = rows(examples=[example_row(), example_row(succeeded=True, rank=2)], by_node=nodes)
    one = next(one for one in build_report(given).patterns if one.pattern_id == "p-timeout")
    assert [(each.message, each.node) for each in one.examples] == [
        ("503 search timed out after 5012 ms", "n7")
    ]
    assert one.nodes == (("n7", 7), ("n6", 6), ("n5", 5))


def test_a_long_example_has_its_last_line():
    trace = "Traceback (most recent call last):\n" + "  File x\n" * 60 + "SyntaxError: '(' was never closed"
    report = build_report(rows(examples=[example_row(message=trace)]))
    (one,) = next(one for one in report.patterns if one.pattern_id == "p-timeout").examples
    assert one.message.startswith("Traceback")
    assert one.message.endswith("SyntaxError: '(' was never closed")
    assert len(one.message) <= MAX_MESSAGE


def test_an_incident_has_no_example_of_another_node():
    given = rows(
        patterns=[pattern(incident_node="n7")],
        examples=[example_row(node_id="n2"), example_row(rank=2, message="504 gone")],
        by_node=[{"pattern_id": "p-timeout", "node_id": "n7", "failures": 200}],
    )
    (one,) = build_report(given).incidents
    assert [each.message for each in one.examples] == ["504 gone"]


def test_an_incident_of_one_node_is_named_at_the_top():
    report = build_report(rows(patterns=[pattern(incident_node="n7")]))
    assert [one.incident_node for one in report.incidents] == ["n7"]
    assert any(
        "1 pattern is on one node alone" in one and "n7: 200 failures" in one for one in report.summary
    )


@pytest.mark.parametrize(
    ("template", "messages", "title"),
    [
        ("<NUM> Too Many Requests", ["429 Too Many Requests"] * 2, "429 Too Many Requests"),
        ("HTTP <NUM>: busy", ["HTTP 503: busy"], "HTTP 503: busy"),
        ("<NUM> failed", ["401 failed", "403 failed"], "<NUM> failed"),
        ("<NUM> tests failed", ["4 tests failed"], "<NUM> tests failed"),
        ("<NUM> rows", ["4290 rows"], "<NUM> rows"),
        ("<NUM> left", [], "<NUM> left"),
        ("no number", ["429"], "no number"),
    ],
)
def test_a_pattern_is_called_by_the_status_code_that_all_its_examples_have(template, messages, title):
    assert with_code(template, messages) == title


@pytest.mark.parametrize("limits", [{}, {"threshold": 0.9, "min_nodes": 5}])
def test_why_a_playbook_is_held_reads_without_the_names_of_rules(limits):
    settings = FederatedLearningConfig(**limits)
    weak = {"confidence": 0.01, "corroboration": 0.0, "nodes_affected": 1, "nodes_reporting": 30}
    one = playbook(**weak, is_significant=False)
    (broken,) = held_by([one], settings).values()
    assert [rule(without_subject(str(each), one.improvement_id)) for each in broken] == [
        f"confidence 0.010, needs {settings.threshold:.2f}",
        f"0.000 without the worst nodes, needs {settings.threshold / 2:.2f}",
        f"on 1 of 30 nodes, needs {settings.min_nodes}",
        "not statistically significant",
    ]


def test_a_change_that_was_taken_back_says_so_where_it_is_proposed_again():
    step = dict.fromkeys(("effect", "effect_low", "effect_high")) | {
        "event_date": BEFORE,
        "decision_id": "d0",
        "improvement_id": playbook_row()["improvement_id"],
        "title": "t",
        "verdict": "worse",
        "action": "rolled_back",
        "reason": "worse on canary nodes",
    }
    page = render_page(build_report(rows(steps=[step]))).decode()
    assert f"Tried and rolled back on {BEFORE}</strong>: worse on canary nodes." in page


def test_what_the_gate_found_is_told_by_rule():
    kept = verdict_row(rule="corroborated", position=0, subject="", expected="", actual="")
    report = build_report(rows(verdicts=[kept, verdict_row(), verdict_row(position=2)]))
    assert [(one.rule, one.held, one.stops_day) for one in report.gate] == [
        ("enough_nodes", 2, False),
        ("corroborated", 0, False),
    ]


def test_a_decision_that_waits_for_a_person_can_be_answered():
    exported = decision_row(reasons=["for review: a prompt is never changed automatically"])
    past = decision_row(decision_id="d2", mode="backtest", action="canary")
    report = build_report(rows(decisions=[exported, past, decision_row(decision_id="d3")]))
    assert {one.decision_id: one.can_be_answered for one in report.decisions} == {
        "d1": True,
        "d2": False,
        "d3": False,
    }


def test_a_day_of_nothing_is_still_a_report():
    report = build_report(ReportRows(day=DAY, threshold=0.7, min_nodes=3))
    assert report.status == "not run"
    assert report.summary == ("Nothing that was reported failed.",)
    assert headline(report, "Failed calls").value is None


@given(st.text(max_size=900))
def test_a_shown_text_hides_nothing_and_turns_nothing_round(text):
    shown = visible(text)
    assert len(shown) <= MAX_TEXT
    assert not [
        char
        for char in shown
        if unicodedata.bidirectional(char) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    ]
    assert not [char for char in shown if unicodedata.category(char) == "Cc" and char not in "\t\n"]


def test_what_was_done_stands_beside_what_was_decided():
    report = build_report(
        rows(applied=[{"decision_id": "d1", "status": "staged", "reason": "waits for approval"}])
    )
    assert [(one.decision_id, one.status, one.status_reason) for one in report.decisions] == [
        ("d1", "staged", "waits for approval")
    ]


def test_what_is_approved_and_waits_is_not_asked_for_again():
    wanted = decision_row(action="hold", route="wait")
    done = {"decision_id": "d1", "status": "approved", "reason": "it starts by itself"}
    report = build_report(rows(decisions=[wanted], applied=[done]))
    (shown,) = report.decisions
    assert (shown.outcome, shown.can_be_answered) == ("approved, waiting to start", False)
    assert [title for title, some in report.apart if some] == ["Under way"]


def test_decisions_that_need_a_person_come_in_the_order_of_their_benefit():
    given = [("d1", 1.0), ("d2", None), ("d3", 7.0)]
    wanted = [decision_row(decision_id=one, route="export", benefit=worth) for one, worth in given]
    assert [one.decision_id for one in build_report(rows(decisions=wanted)).decisions] == ["d3", "d1", "d2"]


def test_harm_is_listed_first_and_said_at_the_top():
    report = build_report(
        rows(outcomes=[outcome_row(), outcome_row(decision_id="d9", verdict="worse", action="rolled_back")])
    )
    assert [one.verdict for one in report.outcomes] == ["worse", "better"]
    assert "1 update rolled back." in report.summary


def test_what_became_of_changes_is_told_at_the_top_and_in_a_section():
    step = {"event_date": BEFORE, "title": "Raise the time limit", "remedy_id": "r1", "verdict": "better"}
    step |= {"decision_id": "d0", "action": "promoted", "effect": 0.4, "effect_low": 0.3, "effect_high": 0.6}
    undone = step | {"event_date": DAY, "decision_id": "d9", "verdict": "worse", "action": "rolled_back"}
    report = build_report(rows(outcomes=[outcome_row(action="none")], steps=[step, undone]))
    assert "Changes: 1 change on trial or being watched; in the last 14 days 1 promoted, 1 rolled back." in (
        report.summary
    )
    assert [(one.day, one.action) for one in report.steps] == [(BEFORE, "promoted"), (DAY, "rolled_back")]
    assert [one.title for one in report.outcomes] == ["Raise the time limit"]


def test_the_page_says_what_was_too_much_to_be_looked_at(tmp_path):
    said = "1,000,300 failures of 980,000 messages that are rarest are in no pattern"
    report = build_report(rows(left_out={"messages": 980_000, "failures": 1_000_300}))
    page, twin = write_report(tmp_path, report)
    for text in (" ".join(report.summary), page.read_text(), twin.read_text(), report_in_markdown(report)):
        assert said in text
    for nothing in ({}, {"messages": 0, "failures": 0}):
        assert "in no pattern" not in " ".join(build_report(rows(left_out=nothing)).summary)


def test_files_that_could_not_be_read_at_all_are_no_day_without_a_fault():
    files = ["1 file of no known format:"]
    found = build_report(rows(unread=files, ingestion={DAY: {"events": 200}}))
    assert headline(found, "Unreadable lines").note == "0 lines; some files not read"
    assert headline(build_report(rows(unread=files)), "Unreadable lines").note == "2 lines"


def test_fewer_nodes_than_a_pattern_needs_are_said_and_what_to_do():
    assert too_few_nodes(3, 3) == too_few_nodes(0, 3) == ""
    for number, words in ((1, "only 1 node reports"), (2, "only 2 nodes report")):
        assert words in (said := too_few_nodes(number, 3))
        assert "FEDERATED_LEARNING_MIN_NODES=1" in said
    few = [row | {"nodes_reporting": 2} for row in rows().patterns]
    assert any("Only 2 nodes report" in one for one in build_report(rows(patterns=few)).summary)


def test_the_summary_says_what_becomes_of_what_is_ready():
    exported = decision_row(
        category="prompt", reasons=["for review: a prompt is never changed automatically"]
    )
    ready = [
        playbook_row(),
        playbook_row(improvement_id="aaaaaaaaaaaaaaaa"),
        playbook_row(improvement_id="bbbbbbbbbbbbbbbb"),
    ]
    decisions = [
        exported,
        decision_row(improvement_id="aaaaaaaaaaaaaaaa", decision_id="d2"),
        exported | {"improvement_id": "bbbbbbbbbbbbbbbb", "decision_id": "d3"},
    ]
    report = build_report(rows(playbooks=[*ready, rows().playbooks[1]], decisions=decisions))
    assert any(
        sentence.startswith("3 playbooks are ready (2 for review, 1 to change by hand). Start with: ")
        for sentence in report.summary
    )
    assert sorted(one.outcome for one in report.decisions) == [
        "for review",
        "for review",
        "to change by hand",
    ]


def test_what_a_person_can_do_now_is_apart_from_what_is_under_way_or_was_tried():
    taken, worse = {"improvement_id": "aaaaaaaaaaaaaaaa"}, {"improvement_id": "bbbbbbbbbbbbbbbb"}
    step = {
        "event_date": DAY, "decision_id": "d3", **worse, "title": "T", "verdict": "worse", "effect": 4.15,
        "action": "rolled_back", "reason": "worse on canary nodes", "effect_low": None, "effect_high": None,
    }  # fmt: skip
    decisions = [
        decision_row(route="export"),
        decision_row(decision_id="d2", **taken, route="wait", action="hold"),
        decision_row(decision_id="d3", **worse, route="rejected", action="reject", reasons=["turned down"]),
    ]
    benefit = {"failures_per_day": 9, "persists": 1, "helps": 0.5, "reduction": 0.5, "avoided_per_day": 8.8}
    advice = advice_row(benefit=benefit)
    ids = ({}, taken | {"title": "Wait longer"}, worse | {"title": "Stop at once"})
    report = build_report(
        rows(
            playbooks=[playbook_row(**one, advice=advice) for one in ids],
            decisions=decisions,
            applied=[{"decision_id": "d2", "status": "canary", "reason": "to 3 of 12 nodes first"}],
            steps=[step],
        )
    )
    assert [one.improvement_id for one in report.actionable] == ["0123456789abcdef"]
    assert [[one.readiness for one in some] for _, some in report.apart] == [["under_way"], ["tried"]]
    assert any(one.startswith("1 playbook is ready (1 for review)") for one in report.summary)
    assert headline(report, "Playbooks ready").value == 1
    told = report_in_markdown(report)
    assert "Wait longer: given to canary nodes: to 3 of 12 nodes first" in told
    assert f"Stop at once: rolled back on {DAY}: worse on canary nodes" in told
    page = render_page(report).decode()
    for text, words in ((told, "8.8"), (page, "<strong>8.8</strong>")):
        assert text.count(words) == 1, "of what was tried, no benefit is shown"
    assert "To accept it:</span> <code>fl-assets approve d3" not in page


@pytest.mark.parametrize(("mode", "told"), [("live", "until someone approves"), ("backtest", "of the past")])
def test_what_nobody_can_approve_is_not_said_to_wait_for_it(mode, told):
    summary = build_report(rows(decisions=[decision_row(route="export", mode=mode)])).summary
    assert [told in one for one in summary].count(True) == 1
    assert [one for one in summary if "approves" in one or "of the past" in one] == [summary[-1]]


@pytest.mark.parametrize(
    ("route", "mode", "status", "standing"),
    [
        ("export", "live", "", "to do"),
        ("wait", "live", "staged", "to do"),
        ("wait", "live", "waiting", "under way"),
        ("machine", "live", "refused", "to do"),
        ("machine", "live", "", "under way"),
        ("machine", "backtest", "", "to do"),
        ("busy", "live", "", "under way"),
        ("done", "live", "", "under way"),
        ("export", "live", "rejected", "tried"),
        ("rejected", "live", "", "tried"),
    ],
)
def test_where_a_playbook_stands_follows_from_its_decision_and_what_was_done(route, mode, status, standing):
    assert standing_of(decision_row(route=route, mode=mode), status) == standing


def test_states_are_counted_of_patterns_of_enough_nodes_and_decisions_sorted_by_benefit():
    states = [pattern(state="new"), *rows().patterns[1:]]
    decisions = [
        decision_row(decision_id=name, improvement_id=name, route="export", benefit=benefit)
        for name, benefit in (("a", None), ("b", 0.1), ("c", 3.0))
    ]
    report = build_report(rows(patterns=states, decisions=decisions))
    assert report.summary[0] == "2 patterns of failure; 1 on 3 or more nodes: 1 new."
    assert headline(report, "Patterns failing").note == "1 new; 1 on few nodes"
    assert [one.decision_id for one in report.decisions] == ["c", "b", "a"]
