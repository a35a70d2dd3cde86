"""What stands beside a change says what was seen, and names the tool and the argument that matter."""

import json
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from fl_assets.patterns.knowledge import Knowledge, learn_from
from fl_assets.playbooks.facts import Facts, safe_name
from fl_assets.playbooks.fleet import FleetKnowledge, fleet_answers
from fl_assets.playbooks.propose import _answers
from fl_assets.playbooks.wording import consequence_of, fields_of
from fl_assets.sums.masking import failures_sql
from fl_assets_tests.build import pattern
from fl_assets_tests.playbooks.test_propose import REMEDIES, SETTINGS, made

START = datetime(2026, 11, 1)  # noqa: DTZ001 - the lake holds naive UTC
Step = tuple[str, dict[str, Any] | str, str | None]


def known_of(*sessions: list[Step], nodes: int = 4) -> Knowledge:
    """What the fleet knows of sessions, each of which runs once on every node; a family is a method."""
    rows = []
    for number, steps in enumerate(sessions):
        for node in range(nodes):
            for place, (method, arguments, error) in enumerate(steps):
                given = arguments if isinstance(arguments, str) else json.dumps(arguments)
                rows.append({
                    "event_id": f"e{len(rows)}", "event_date": START.date(),
                    "timestamp": START + timedelta(minutes=number, seconds=5 * place), "node_id": f"n{node}",
                    "service": "agent", "method": method, "trace_id": f"t{number}-{node}",
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
        return learn_from(connection, "raw_traces", families, events=len(rows), min_nodes=3)


def row_of(known: Knowledge, method: str) -> dict[str, Any]:
    return known.consequences.set_index("family_id").loc[f"f-{method}"].to_dict()


def test_an_example_of_a_long_trace_keeps_its_last_line():
    trace = "Traceback (most recent call last):\n" + '  File "a.py", line 1, in f\n' * 60 + "KeyError: 'zone'"
    known = known_of([("run", {"x": 1}, trace)])
    shown = known.examples.iloc[0]["message"]
    assert shown.endswith("KeyError: 'zone'")
    assert shown.startswith("Traceback")
    assert len(shown) < 700


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
    assert "After 0 %" in consequence_of(never | {"retried": 9}, facts).text


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
    [("/api/v1/trips/left", True), ("//evil.example/x", False), ("/", False), ("/" + "a" * 64, False)],
)
def test_a_route_is_a_name(name, is_shown):
    assert bool(safe_name(name, "")) == is_shown


def test_the_service_that_has_no_instance_is_named_when_it_reports_itself():
    known = known_of([("pay", {}, "No instances available for agent-basic")])
    assert row_of(known, "pay")["dependency"] == ""
    row = pattern(failure_class="dependency_down", template="No instances available for ts-basic-service")
    facts = Facts.of(row, {"dependency": "ts-basic-service"})
    assert fields_of(facts)["dependency"] == "`ts-basic-service`"
    assert made(row)[0].title == "Keep an instance of what it depends on registered for `search`"
