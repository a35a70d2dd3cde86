"""What stands beside a change says what was seen, and names the tool and the argument that matter."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from fl_assets.patterns.knowledge import Knowledge, learn_from
from fl_assets.playbooks.advise import advice_of
from fl_assets.playbooks.facts import Facts, safe_name
from fl_assets.playbooks.fleet import Answer, FleetKnowledge, fleet_answers
from fl_assets.playbooks.propose import _answers
from fl_assets.playbooks.wording import consequence_of, contrast_text, fields_of
from fl_assets.sums.masking import failures_sql
from fl_assets_tests.build import pattern
from fl_assets_tests.playbooks.test_propose import REMEDIES, SETTINGS, made

START = datetime(2026, 11, 1)  # noqa: DTZ001 - the lake holds naive UTC
Step = tuple[str, dict[str, Any] | str, str | None]


def known_of(
    *sessions: list[Step],
    nodes: int = 4,
    judged: Callable[[int], dict[str, Any]] | None = None,
    service_of: Mapping[str, str] = MappingProxyType({}),
    node_of: Mapping[str, str] = MappingProxyType({}),
    of_1970: tuple[int, ...] = (),
) -> Knowledge:
    """What the fleet knows of sessions, each of which runs once on every node; a family is a method.

    `judged` gives the evaluation of a session by its number; the clock of those `of_1970` was wrong.
    """
    rows = []
    for number, steps in enumerate(sessions):
        began = datetime(1970, 1, 1) if number in of_1970 else START + timedelta(minutes=number)  # noqa: DTZ001
        for node in range(nodes):
            for place, (method, arguments, error) in enumerate(steps):
                given = arguments if isinstance(arguments, str) else json.dumps(arguments)
                rows.append({
                    "event_id": f"e{len(rows)}", "event_date": START.date(),
                    "timestamp": began + timedelta(seconds=5 * place),
                    "node_id": node_of.get(method, f"n{node}"),
                    "service": service_of.get(method, "agent"), "method": method,
                    "trace_id": f"t{number}-{node}",
                    "request_id": f"r{len(rows)}", "duration_ms": 10.0, "success": error is None,
                    "error": error, "metadata": json.dumps({"arguments": given}), "source_line": len(rows),
                })  # fmt: skip
    with duckdb.connect() as connection:
        connection.register("given", pa.Table.from_pylist(rows))
        connection.execute("create table raw_traces as select *, null::varchar as caused_by from given")
        messages = connection.execute(
            f"select distinct message_id, method from ({failures_sql('raw_traces')})"
        ).fetchall()
        families = {message_id: f"f-{method}" for message_id, method in messages}
        if judged is None:
            return learn_from(connection, "raw_traces", families, events=len(rows), min_nodes=3)
        every = [(number, node) for number in range(len(sessions)) for node in range(nodes)]
        scores = [
            {"trace_id": f"t{number}-{node}", "session_id": None, "label": None, "value": None}
            | judged(number)
            for number, node in every
        ]
        connection.register("scores", pa.Table.from_pylist(scores))
        return learn_from(
            connection, "raw_traces", families, events=len(rows), min_nodes=3, evaluations="scores"
        )


def row_of(known: Knowledge, method: str) -> dict[str, Any]:
    return known.consequences.set_index("family_id").loc[f"f-{method}"].to_dict()


@pytest.mark.parametrize(
    ("rate", "calls", "said"),
    [
        (0.0286, 1.0, "A retry soon worked in 3 % of cases, usually the next call."),
        (0.004, 2.25, "A retry soon worked in under 1 % of cases, 2.2 calls later on average."),
        (0.996, None, "A retry soon worked in over 99 % of cases."),
    ],
)
def test_how_often_a_retry_worked_is_said_in_whole_percent(rate, calls, said):
    row = {"failures": 200.0, "recovered_rate": rate, "calls_to_recover": calls}
    assert said in consequence_of(row, Facts.of(pattern(failure_class="timeout"), row)).text


def test_an_example_of_a_long_trace_keeps_its_last_line():
    trace = "Traceback (most recent call last):\n" + '  File "a.py", line 1, in f\n' * 60 + "KeyError: 'zone'"
    known = known_of([("run", {"x": 1}, trace)])
    shown = known.examples.iloc[0]["message"]
    assert shown.endswith("KeyError: 'zone'")
    assert shown.startswith("Traceback")
    assert len(shown) <= 600, "longer texts are cut at their end where they are shown"


def test_the_success_beside_a_failure_is_the_attempt_that_worked():
    known = known_of(
        [("buy", {"n": 1}, "Error: no seat"), ("buy", {"n": 1, "seat": "a"}, None)],
        [("buy", {"n": 1, "later": True}, None)],
    )
    success = known.examples[known.examples["succeeded"]].iloc[0]
    assert json.loads(success["arguments"]) == {"n": "number", "seat": "text"}


def test_a_command_is_shown_by_its_shape_and_an_argument_without_a_value_is_not():
    command = "cd /srv/secret-project && grep -rn password= --include=*.py . | head"
    known = known_of([("grep", command, "grep: boom")], [("edit", {"a": None, "b": 2}, "Error: a needed")])
    shown = {row.method: json.loads(row.arguments) for row in known.examples.itertuples()}
    assert shown["grep"] == {
        "command": f"text ({len(command)} characters, -rn, --include, several commands, a pipe)"
    }
    assert shown["edit"] == {"b": "number"}


def test_what_is_on_offer_and_what_somebody_owns_are_looked_up_with_tools_of_their_own():
    looked: list[Step] = [
        ("get_order", {}, None),
        ("get_user_details", {}, None),
        ("search_offers", {}, None),
    ]
    known = known_of([*looked, ("pay", {"n": 1}, None)], [("pay", {"n": 2}, "Error: balance is not enough")])
    row = row_of(known, "pay")
    assert (row["search"], row["profile"]) == ("search_offers", "get_user_details")


NO_FUNDS = "Error: balance is not enough"


def looped(*attempts: Step) -> int:
    """Sessions that loop, of four with these attempts and four with one that fails once."""
    known = known_of(list(attempts), [("pay", {"n": 9}, NO_FUNDS)])
    return int(row_of(known, "pay")["looped"])


def test_the_identical_call_that_fails_identically_three_times_is_a_loop():
    again: Step = ("pay", {"n": 2}, NO_FUNDS)
    assert looped(again, again, again) == 4
    assert looped(again, ("think", {}, None), again, ("get_user", {"id": 1}, None), again) == 4
    row = row_of(known_of([again] * 3, [again] * 4), "pay")
    assert (row["looped"], row["looped_nodes"]) == (8, 4)
    facts = Facts.of(pattern(failure_class="business_rule", services=["agent"], methods=["pay"]), row)
    assert "In 8 sessions the identical call was sent three times" in consequence_of(row, facts).text
    answers = _answers(facts, FleetKnowledge(), REMEDIES, SETTINGS)
    assert [one.remedy_id for one in answers][-1] == "fleet-loop"
    assert answers[0].remedy_id != "fleet-loop"
    waits = Facts.of(pattern(failure_class="rate_limit", services=["agent"], methods=["pay"]), row)
    assert "identical" not in consequence_of(row, waits).text


@pytest.mark.parametrize(
    "attempts",
    [
        [("pay", {"n": 2}, NO_FUNDS)] * 2,
        [("pay", {"n": n}, NO_FUNDS) for n in range(5)],  # it tries something else each time
        [("pay", {"n": 2}, f"{NO_FUNDS}: {n} short") for n in range(5)],  # what it waits for moves
        [("pay", {"n": 2}, NO_FUNDS)] * 4 + [("pay", {"n": 2}, None)],  # a retry that works
        [("pay", {}, NO_FUNDS)] * 4,  # nothing says that the calls are the same
        [("pay", {"n": 2}, NO_FUNDS), ("pay", {"n": 3}, NO_FUNDS)] * 2,
    ],
)
def test_retries_polls_and_other_attempts_are_no_loops(attempts):
    assert looped(*attempts) == 0


WITH, WITHOUT = [("pay", {"n": 2}, "Error: balance is not enough")], [("pay", {"n": 1}, None)]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"name": "correctness", "value": 1.0}, {"name": "correctness", "value": 0.2}),
        ({"name": "user_feedback", "value": 1.0}, {"name": "user_feedback", "value": -1.0}),
        ({"name": "stars", "value": 5.0}, {"name": "stars", "value": 1.0}),
        ({"name": "feedback", "label": "Thumbs_Up"}, {"name": "feedback", "label": "thumbs_down"}),
        ({"name": "verdict", "label": "pass", "value": 3.5}, {"name": "verdict", "label": "fail"}),
    ],
)
def test_sessions_that_people_or_judges_call_bad_are_the_bad_ends_of_a_failure(good, bad):
    known = known_of(
        *[WITH] * 5, *[WITHOUT] * 5, judged=lambda number: bad if number < 4 or number == 9 else good
    )
    row = row_of(known, "pay")
    assert row["end_measure"] == "judged"
    assert (row["bad_ends"], row["ends"]) == (16, 20)
    assert (row["bad_ends_without"], row["ends_without"]) == (4, 20)
    text = consequence_of(row, Facts.of(pattern(failure_class="business_rule"), row)).text
    assert "Sessions that hit it are judged bad 80 % of the time, others 20 % (4.0 times as often" in text


@pytest.mark.parametrize(
    "one",
    [
        {"name": "toxicity", "value": 0.1},  # low is good
        {"name": "tokens", "value": 3.0},
        {"name": "score", "value": 3_500.0},  # no scale
        {"name": "mood", "label": "pensive"},
        {"name": "quality", "label": None, "value": None},
    ],
)
def test_a_score_whose_scale_or_direction_nobody_knows_is_no_verdict(one):
    known = known_of(*[WITH] * 4, *[WITHOUT] * 4, judged=lambda _: one)
    assert row_of(known, "pay")["end_measure"] == "last_call"


@pytest.mark.parametrize(
    ("template", "tool"),
    [
        ("Error: payment method <ID> not found", "`get_user_details`"),
        ("Error: flight <ID> not found", "`search_flights`"),
        ("Error: reservation <ID> not found", "`get_reservation`"),
    ],
)
def test_what_a_failure_is_about_says_where_to_look(template, tool):
    known = {"lookup": "get_reservation", "search": "search_flights", "profile": "get_user_details"}
    facts = Facts.of(pattern(failure_class="not_found", template=template), known)
    assert fields_of(facts)["lookup"] == f"with {tool}"
    own = Facts.of(pattern(failure_class="not_found", template=template, methods=["get_user_details"]), known)
    assert "get_user_details" not in fields_of(own)["lookup"]


@pytest.mark.parametrize(
    "message",
    [
        "Parameter `old_str` is required for command: replace.",
        "1 validation error for Edit\nold_str\n  Field required [type=missing]",
        "'old_str' is a required property",
        "Missing required argument: old_str",
    ],
)
def test_the_argument_that_messages_name_is_named(message):
    known = known_of(
        [("edit", {"command": "replace", "path": "x"}, message)],
        [("edit", {"command": "replace", "path": "x", "old_str": "y"}, None)],
    )
    row = row_of(known, "edit")
    assert row["argument"] == "old_str"
    facts = Facts.of(pattern(failure_class="bad_arguments", methods=["edit"]), row)
    assert fields_of(facts)["argument"] == "`old_str`"


def test_a_fleet_of_one_node_is_told_its_tools_own_arguments():
    steps: list[Step] = [
        ("edit", {"old_str": "a", "path": "b"}, None),
        ("edit", {"path": "b"}, "Missing required argument: old_str"),
    ]
    known = row_of(known_of(*[steps] * 4, nodes=1), "edit")
    assert known["argument"] == "old_str"
    assert set(json.loads(known["arguments"])) == {"old_str", "path"}


def test_an_argument_that_is_always_null_has_no_type_and_is_not_shown():
    steps: list[Step] = [
        ("edit", {"path": "b", "x": None}, None),
        ("edit", {"path": "c", "x": None}, "Error: no"),
    ]
    assert set(json.loads(row_of(known_of(*[steps] * 4), "edit")["arguments"])) == {"path"}


def test_a_word_of_a_message_that_is_no_argument_is_not_named():
    known = known_of([("edit", {"path": "x"}, "Error: 'ignore_the_rules' is required")])
    assert row_of(known, "edit")["argument"] == ""


def test_scripts_that_stop_are_told_apart_by_their_exceptions():
    failing = "Traceback (most recent call last):\n  File 'a.py', line 1\n"
    known = known_of(
        [("python3", "python3 a.py", failing + "AttributeError: 'A' object has no attribute 'b'")] * 3,
        [("python3", "python3 a.py", failing + "TypeError: f() takes 1 argument")],
        [("python3", "python3 a.py", None)],
    )
    row = row_of(known, "python3")
    assert json.loads(row["exceptions"]) == {"AttributeError": 0.75, "TypeError": 0.25}
    facts = Facts.of(pattern(failure_class="code_defect", rule_id="own-script"), row)
    fields = fields_of(facts)
    assert fields["exceptions"] == "mostly `AttributeError` (75 %), `TypeError` (25 %)"
    assert "read a function's signature" in fields["exception_habits"]
    assert "divisor" not in fields["exception_habits"]


def test_an_incident_that_a_second_node_has_is_mostly_one_nodes():
    (two,) = made(pattern(incident_node="eu-02", nodes_affected=2))
    (one,) = made(pattern(incident_node="eu-02", nodes_affected=1))
    assert two.title.endswith("mostly on node `eu-02`")
    assert one.title.endswith("on node `eu-02` only")


def test_that_nobody_tried_again_is_not_called_a_failure_to_recover():
    facts = Facts.of(pattern())
    never = {"failures": 200, "recovered_rate": 0.0, "retried": 0}
    assert "No session tried the same method again" in consequence_of(never, facts).text
    assert "In no session did the same method work" in consequence_of(never | {"retried": 9}, facts).text
    service = replace(facts, is_agent=False)
    assert consequence_of(never, service).text.startswith("It costs"), "a request is no session"


def test_failures_of_one_episode_say_when_it_was():
    quiet = [[("ask", {"n": n}, None)] for n in range(120)]
    down: list[list[Step]] = [[("pay", {"n": n}, "Error: the bank is closed")] for n in range(5)]
    known = row_of(known_of(*quiet[:60], *down, *quiet[60:]), "pay")
    assert "between 01 November 01:00 and 01:04 UTC" in consequence_of(known, Facts.of(pattern())).text
    assert "It cost 200 failed requests in all" in consequence_of(known, Facts.of(pattern())).text
    known = row_of(known_of(*quiet, *down), "pay")
    assert "after 01 November 02:00 UTC" in consequence_of(known, Facts.of(pattern())).text
    spread = [one for pair in zip(quiet[::24], down, strict=True) for one in pair]
    known = row_of(known_of(*quiet, *spread), "pay")
    assert "All of it" not in consequence_of(known | {"began": None}, Facts.of(pattern())).text


def test_a_failure_that_went_on_all_day_is_no_episode_for_a_clock_that_was_wrong():
    quiet: list[list[Step]] = [[("ask", {"n": n}, None)] for n in range(120)]
    down: list[Step] = [("pay", {"n": 1}, "Error: the bank is closed")]
    known = known_of(*(down if n % 20 == 10 else one for n, one in enumerate(quiet)), of_1970=(0,))
    assert row_of(known, "pay")["began"] is None or pd.isna(row_of(known, "pay")["began"])
    paused = [down if n % 20 == 10 and n < 100 else one for n, one in enumerate(quiet)]
    assert "none since" not in consequence_of(row_of(known_of(*paused), "pay"), Facts.of(pattern())).text


def test_what_failed_before_the_window_is_no_episode_of_it():
    quiet = [[("ask", {"n": n}, None)] for n in range(120)]
    down: list[list[Step]] = [[("pay", {"n": n}, "Error: the bank is closed")] for n in range(5)]
    known = row_of(known_of(*quiet[:60], *down, *quiet[60:]), "pay")
    facts = Facts.of(pattern())
    cost = consequence_of(known, facts, START - timedelta(days=13))
    assert not cost.is_over
    assert cost.text == consequence_of(known | {"began": None}, facts).text
    assert "All of it" in consequence_of(known, facts, START + timedelta(hours=1)).text


def test_what_never_fails_otherwise_is_said_without_a_ratio():
    row = {
        "kind": "command", "relation": "missing", "name": "several commands", "value": "given", "lift": 63.0,
        "lift_low": 3.9, "lift_high": 1008.0, "rate_with": 0.08, "rate_without": 0.0, "failed_with": 89,
        "failed": 89, "nodes": 6,
    }  # fmt: skip
    said = contrast_text(row)
    assert said.startswith("Calls of a single command fail in 8 %, others never")
    assert "1008" not in said
    few = contrast_text(row | {"rate_without": 0.01, "lift_low": 4.4, "lift_high": 349.1})
    assert "others in 1 % (at least 4.4 times as often, by the 95 % interval)" in few
    many = contrast_text(row | {"rate_without": 0.01, "lift_low": 40.0, "lift_high": 91.0})
    assert "(63.0 times as often, 95 % interval 40.0 to 91.0)" in many


def test_a_limit_is_raised_only_for_calls_that_last_as_long_as_healthy_ones():
    (one,) = made(pattern(p99_ms=333.0, failure_p50_ms=0.0, failure_rate=0.06))
    assert one.remedy_id == "timeout-measure-first"
    (waiting,) = made(pattern(p99_ms=333.0, failure_p50_ms=0.0, rule_id="command-timed-out"))
    assert waiting.remedy_id == "timeout-command"


def test_a_family_of_two_failures_names_the_reading_call_too():
    paid: list[Step] = [("get_order", {}, None), ("pay", {"n": 1}, None)]
    refused: list[Step] = [("pay", {"n": 2}, "Error: order already paid")]
    known = known_of(*[paid] * 3, refused, nodes=3)
    assert row_of(known, "pay")["failures"] == 3
    assert row_of(known, "pay")["lookup"] == "get_order"


@pytest.mark.parametrize(
    ("failure_class", "rule", "remedy"),
    [
        ("not_found", "no-tests", "not-found-tests"),
        ("timeout", "tests-cut-off", "timeout-tests"),
        ("timeout", "command-timed-out", "timeout-command"),
        ("timeout", "lock-timeout", "timeout-lock"),
        ("auth", "no-access-to-file", "auth-file"),
        ("bad_arguments", "file-not-read", "code-defect-patch"),
        ("conflict", "file-changed", "code-defect-patch"),
        ("conflict", "packages-conflict", "not-found-version"),
    ],
)
def test_what_a_rule_names_gets_its_own_remedy_first(failure_class, rule, remedy):
    assert made(pattern(failure_class=failure_class, rule_id=rule, methods=["run"]))[0].remedy_id == remedy


def test_where_a_service_has_one_node_that_node_is_not_what_is_different():
    down = "Error: no bank"
    busy: list[list[Step]] = [[("pay", {}, down if n % 2 else None)] for n in range(40)]
    quiet: list[list[Step]] = [[("refund", {}, down if n % 20 == 1 else None)] for n in range(60)]

    def kinds(service_of: dict[str, str]) -> set[str]:
        node_of = {"pay": "a", "refund": "b"}
        known = known_of(*busy, *quiet, nodes=1, service_of=service_of, node_of=node_of)
        return set(known.contrasts["kind"])

    assert "node" in kinds({}), "one service on two nodes"
    assert "node" not in kinds({"pay": "payments", "refund": "refunds"})


def test_what_looks_things_up_is_not_to_be_looked_up_itself():
    by_mail = made(pattern(failure_class="not_found", methods=["find_user_by_mail"]))[0]
    assert by_mail.remedy_id == "not-found-asked-for"
    assert (
        made(pattern(failure_class="not_found", methods=["pay"]))[0].remedy_id
        == "not-found-look-up-before-use"
    )


def test_the_evidence_does_not_repeat_the_headline():
    one = made(pattern(failures=9, calls=200, state="first_seen"))[0]
    assert one.description.count("9 of 200") == 1
    assert "first_seen" not in one.description


def test_the_reading_call_to_name_is_not_the_one_that_every_session_begins_with():
    log_in: Step = ("find_user", {}, None)
    bought = [log_in, ("get_product", {}, None), ("swap", {"n": 1}, None)]
    refused: list[Step] = [log_in, ("swap", {"n": 2}, "Error: the new item was not found")]
    asked = [[log_in, ("answer", {"n": n}, None)] for n in range(4)]
    assert row_of(known_of(bought, refused, *asked), "swap")["lookup"] == "get_product"
    about_users: list[Step] = [log_in, ("swap", {"n": 2}, "Error: this user may not swap")]
    assert row_of(known_of(bought, about_users, *asked), "swap")["lookup"] == "find_user"
    assert row_of(known_of(bought, refused, *asked), "swap")["search"] == "", "a user is not on offer"


def test_a_retry_is_not_proposed_where_second_attempts_do_not_work():
    row = pattern(failure_class="dependency_down")
    known = {"retried": 50, "recovered": 2}
    assert Facts.of(row).retry_share == 0.5
    assert Facts.of(row, known).retry_share < 0.2
    assert made(row)[0].remedy_id == "dependency-down-retry"


def test_no_tool_is_the_way_out_of_its_own_failure():
    cure = {
        "source": "instead", "subject": "call", "change": "instead", "name": "by_name", "value": "",
        "help_rate": 0.6, "base_rate": 0.0, "sessions": 9, "tried_without": 5, "helped_without": 0,
    }  # fmt: skip
    facts = Facts.of(pattern(failure_class="not_found", methods=["by_mail", "by_name"]))
    (answer,) = fleet_answers(facts, [], [cure])
    assert answer.title == "Have `search` go on with `by_name` when `by_mail` fails"
    assert "`by_mail` fails, do not repeat it: call `by_name`" in answer.changes["add_to_prompt"]
    alone = Facts.of(pattern(failure_class="not_found", methods=["by_name"]))
    assert fleet_answers(alone, [], [cure]) == []


def test_no_command_of_a_shell_is_what_an_agents_own_script_lacks():
    cure = {
        "family_id": "f-timeout", "source": "first", "subject": "call", "change": "before", "name": "nl",
        "value": "", "help_rate": 0.98, "base_rate": 0.9, "sessions": 30, "tried_without": 400,
        "helped_without": 380,
    }  # fmt: skip
    row = pattern(failure_class="code_defect", rule_id="own-script")
    assert fleet_answers(Facts.of(row), [], [cure]) == []
    assert fleet_answers(Facts.of(pattern(), is_command=True), [], [cure]) == []
    assert fleet_answers(Facts.of(pattern()), [], [cure])[0].remedy_id == "fleet-first"


def test_an_example_is_one_that_recurs():
    usual: list[Step] = [("run", {"x": 1}, "ValueError: wrong zone")]
    once: list[list[Step]] = [
        [("run", {"x": 2}, f"ValueError: {word} alone")] for word in ("a", "b", "c", "d")
    ]
    found = known_of(usual, usual, *once, nodes=1).examples
    assert "ValueError: wrong zone" in set(found["message"]), "the newest four were each seen once"


@pytest.mark.parametrize(("tried_without", "first"), [(95, "fleet-setting"), (20, "invalid-output-json")])
def test_a_setting_that_most_failures_come_with_is_better_than_a_sentence(tried_without, first):
    cure = {
        "family_id": "f-timeout", "source": "setting", "subject": "setting", "change": "set to",
        "name": "prompt_version", "value": "v6", "help_rate": 0.98, "base_rate": 0.08, "sessions": 100,
        "tried_without": tried_without, "helped_without": 5,
    }  # fmt: skip
    row = pattern(failure_class="invalid_output", rule_id="json-unreadable")
    assert _answers(Facts.of(row), FleetKnowledge(cures=[cure]), REMEDIES, SETTINGS)[0].remedy_id == first


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("/api/v1/trips/left", True),
        ("/api/v1/trips/{date}/{from_place}/of/{to_place}/and/then/{trip_id}", True),
        ("/{}", False),
        ("/a/{x y}", False),
        ("/a/{" + "x" * 40 + "}", False),
        ("//evil.example/x", False),
        ("/", False),
        ("/" + "a" * 64, False),
    ],
)
def test_a_route_is_a_name(name, is_shown):
    assert bool(safe_name(name, "")) == is_shown


def test_the_service_that_has_no_instance_is_named_when_it_reports_itself():
    known = known_of([("pay", {}, "No instances available for agent-basic")])
    assert row_of(known, "pay")["dependency"] == ""
    steps: list[Step] = [("pay", {}, "No instances available for agent2-service"), ("ask", {}, None)]
    assert (
        row_of(known_of(steps, service_of={"ask": "agent2-service"}), "pay")["dependency"] == "agent2-service"
    )
    row = pattern(failure_class="dependency_down", template="No instances available for ts-basic-service")
    facts = Facts.of(row, {"dependency": "ts-basic-service"})
    assert fields_of(facts)["dependency"] == "`ts-basic-service`"
    assert made(row)[0].title == "Keep an instance of what it depends on registered for `search`"


def test_no_alternative_repeats_the_change_or_another_alternative():
    titles = ("Wait longer", "Wait longer", "Ask less", "Try again", "Ask less")
    answers = [
        Answer(f"r{place}", "config", title, "D", {"k": str(place)}) for place, title in enumerate(titles)
    ]
    advice = advice_of(Facts.of(pattern()), answers, FleetKnowledge(), pattern(), SETTINGS, "")
    assert [one.remedy_id for one in advice.alternatives] == ["r2", "r3"]


def test_a_name_where_a_number_belongs_is_to_be_looked_up():
    row = {
        "kind": "type", "name": "customer_id", "relation": "is", "value": "varchar", "better_value": "bigint",
        "failed_with": 80, "failed": 100, "rate_with": 0.9, "rate_without": 0.1,
    }  # fmt: skip
    (answer,) = fleet_answers(Facts.of(pattern()), [row], [])
    assert "never as text. When you only have a name, look the number up" in answer.changes["add_to_prompt"]


def test_another_tool_is_counted_against_failures_of_the_others_alone():
    by_mail: Step = ("find_by_mail", {"mail": "x"}, "Error: user not found")
    again: list[Step] = [by_mail, ("find_by_name", {"name": "x"}, None)]
    by_name: list[Step] = [("find_by_name", {"name": "y"}, "Error: user not found")]
    found: list[list[Step]] = [[("find_by_mail", {"mail": "y"}, None), ("pay", {}, None)]] * 3
    cures = known_of(again, again, by_name, *found).cures
    (cure,) = cures[cures["source"] == "instead"].to_dict("records")
    assert (cure["name"], cure["helped"], cure["tried"]) == ("find_by_name", 8, 8), "of by_name none"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (("get_order", {}, None), "All 4 sessions that failed had called `get_order` before"),
        (("greet", {}, None), "4 of 4 sessions that failed had not called `get_order` before"),
    ],
)
def test_whether_sessions_that_failed_had_read_first_is_said(first, said):
    paid: list[Step] = [("get_order", {}, None), ("pay", {"n": 1}, None)]
    known = known_of(paid, paid, [first, ("pay", {"n": 2}, "Error: order not found")])
    row = pattern(failure_class="not_found", methods=["pay"])
    facts = Facts.of(row, row_of(known, "pay"))
    assert said in _answers(facts, FleetKnowledge(), REMEDIES, SETTINGS)[0].description


def trace(*files: str) -> str:
    frames = "".join(f'  File "{file}", line 3, in run\n    go()\n' for file in files)
    return f"Traceback (most recent call last):\n{frames}ValueError: wrong"


def test_what_a_script_raised_itself_is_told_from_what_the_code_it_calls_raised():
    own: list[Step] = [("python", {"command": "python a.py"}, trace("a.py", "lib/b.py", "a.py"))]
    called: list[Step] = [("python", {"command": "python a.py"}, trace("a.py", "lib/b.py"))]
    row = row_of(known_of(own, called, called, called), "python")
    assert (row["traces"], row["raised_by_itself"]) == (16, 4)
    facts = Facts.of(pattern(failure_class="code_defect", rule_id="own-script"), row)
    assert fields_of(facts)["raised"].startswith("4 of 16 with a trace were raised in the script itself; ")
    assert facts.raised_share == 0.25


def test_of_commands_no_difference_of_form_is_shown():
    rows = [
        {"kind": kind, "name": name, "relation": relation, "value": "", "better_value": "", "rank": rank,
         "failed": 50.0, "succeeded": 400.0, "failed_with": 45.0, "succeeded_with": 90.0, "nodes": 4,
         "rate_with": 0.33, "rate_without": 0.02, "lift": 16.0, "lift_low": 6.0, "lift_high": 40.0}
        for rank, (kind, name, relation) in enumerate([
            ("command", "pipe", "missing"), ("earlier", "cat", "earlier"), ("flag", "-n", "missing"),
            ("length", "command", "up to"), ("flag", "-i", "given"), ("before", "sed", "right before"),
        ])
    ]  # fmt: skip
    known = FleetKnowledge(contrasts=rows)
    row, answer = pattern(), Answer("r", "prompt", "t", "d", {})

    def shown(*, is_command: bool) -> list[str]:
        facts = Facts.of(row, is_command=is_command)
        return [one.name for one in advice_of(facts, [answer], known, row, SETTINGS, "").contrasts]

    assert shown(is_command=True) == ["-i", "sed"]
    assert len(shown(is_command=False)) == len(rows)


def test_no_setting_sends_a_command_again_and_a_host_without_an_address_is_not_tried_again():
    template = "HTTPSConnectionPool(host=<STR>): Failed to resolve <STR> (Name or service not known)"
    row = pattern(failure_class="dependency_down", template=template)
    facts = Facts.of(row, is_command=True)
    found = [one.remedy_id for one in _answers(facts, FleetKnowledge(), REMEDIES, SETTINGS)]
    assert found[0] == "dependency-down-unknown-host"
    assert "dependency-down-retry" not in found
    assert made(row)[0].remedy_id == "dependency-down-unknown-host"
    assert made(pattern(failure_class="dependency_down"))[0].remedy_id == "dependency-down-retry"


def test_failures_of_one_session_are_said_to_be():
    assert ", all in one session, on " in made(pattern(sessions=1, failures=9))[0].advice.headline
    assert "session" not in made(pattern(sessions=2, failures=9))[0].advice.headline


def test_what_repairs_an_agents_own_work_is_not_said_to_have_worked():
    cure = {
        "source": "instead", "subject": "call", "change": "instead", "name": "sed", "value": "",
        "helped": 29.0, "tried": 58.0, "help_rate": 0.5, "base_rate": 0.1, "lift": 4.0,
        "lift_low": 2.0, "lift_high": 8.0, "sessions": 18, "nodes": 4,
        "tried_without": 90.0, "helped_without": 9.0, "rank": 1,
    }  # fmt: skip
    answer, known = Answer("r", "prompt", "t", "d", {}), FleetKnowledge(cures=[cure])

    def shown(rule: str) -> int:
        row = pattern(failure_class="code_defect", rule_id=rule)
        return len(advice_of(Facts.of(row), [answer], known, row, SETTINGS, "").cures)

    assert (shown("own-syntax"), shown("code-defect")) == (0, 1)
