"""A service among services gets no advice for a prompt, and an agent always may."""

import json
from datetime import datetime, timedelta
from typing import Any, get_args

import duckdb
import pyarrow as pa
import pytest

from fl_assets.core.models import ErrorClass
from fl_assets.patterns.knowledge import learn_from
from fl_assets.playbooks.facts import Facts
from fl_assets.playbooks.fleet import FleetKnowledge
from fl_assets.playbooks.propose import _answers
from fl_assets.sums.masking import failures_sql
from fl_assets_tests.build import pattern
from fl_assets_tests.playbooks.test_propose import REMEDIES, SETTINGS

START = datetime(2026, 11, 1)  # noqa: DTZ001 - the lake holds naive UTC
Span = tuple[str, str, str | None, str | None]
"""Service, method, parent's service, error."""
SHOP: list[Span] = [
    ("gateway", "/*", None, None),
    ("orders", "/orders/pay", "gateway", None),
    ("stock", "/stock/left", "orders", None),
]


def row_of(spans: list[Span], service: str, *, links: bool = True, **metadata: str) -> dict[str, Any]:
    """The consequences' row of a service's failures, of twelve traces of the spans on four nodes."""
    rows = []
    for trace in range(12):
        for place, (name, method, parent, error) in enumerate(spans):
            linked = {"span_id": f"{trace}-{name}", "parent_span_id": f"{trace}-{parent}" if parent else ""}
            rows.append({
                "event_id": f"e{len(rows)}", "event_date": START.date(), "node_id": f"n{trace % 4}",
                "timestamp": START + timedelta(minutes=trace, seconds=place), "service": name,
                "method": method, "trace_id": f"t{trace}", "request_id": f"r{len(rows)}", "duration_ms": 10.0,
                "success": error is None, "error": error, "source_line": len(rows),
                "metadata": json.dumps((linked if links else {}) | metadata),
            })  # fmt: skip
    with duckdb.connect() as connection:
        connection.register("given", pa.Table.from_pylist(rows))
        connection.execute("create table raw_traces as select *, null::varchar as caused_by from given")
        found = connection.execute(
            f"select distinct message_id, service from ({failures_sql('raw_traces')})"
        ).fetchall()
        known = learn_from(connection, "raw_traces", dict(found), events=len(rows), min_nodes=3)
    return known.consequences.set_index("family_id").loc[service].to_dict()


def failing(*services: str, error: str = "boom") -> list[Span]:
    return [(*span[:3], error if span[0] in services else None) for span in SHOP]


def test_a_service_among_services_is_told_from_an_agent_and_its_neighbours_are_named():
    row = row_of(failing("orders"), "orders")
    assert (row["is_agent"], row["caller"], row["callee"]) == (False, "gateway", "stock")
    assert row_of(failing("stock"), "stock")["callee"] == ""


def test_of_several_that_were_called_the_one_that_the_message_names_is_told():
    spans = [*failing("orders", error="no stock found"), ("price", "/price", "orders", None)]
    assert row_of(spans, "orders")["callee"] == "stock"
    assert row_of([*failing("orders"), spans[-1]], "orders")["callee"] == "price"


def test_without_links_between_spans_no_neighbour_is_named():
    row = row_of(failing("orders"), "orders", links=False)
    assert (row["is_agent"], row["caller"], row["callee"]) == (False, "", "")


@pytest.mark.parametrize("sign", ["gen_ai.system", "arguments", "llm.model_name"])
def test_whatever_is_a_sign_of_an_agent_keeps_a_service_an_agent(sign):
    assert row_of(failing("orders"), "orders", **{sign: "x"})["is_agent"]


def test_a_browsers_name_is_no_sign_of_an_agent():
    assert not row_of(failing("orders"), "orders", **{"user_agent.original": "curl"})["is_agent"]


def test_traces_of_one_or_two_services_may_be_an_agents():
    assert row_of(failing("orders")[:2], "orders")["is_agent"]


def test_a_dependency_is_found_by_the_route_that_a_message_names():
    error = '500 Internal Server Error: [{"status":500,"path":"/stock/left"}]'
    assert row_of(failing("orders", error=error), "orders")["dependency"] == "stock"


@pytest.mark.parametrize("failure_class", get_args(ErrorClass))
def test_what_is_no_agent_gets_an_answer_without_prompt_or_adapter(failure_class):
    row = pattern(failure_class=failure_class, rule_id="", failure_rate=0.3)
    facts = Facts.of(row, {"is_agent": False, "caller": "gateway"})
    answers = _answers(facts, FleetKnowledge(), REMEDIES, SETTINGS)
    assert answers
    assert {one.category for one in answers} <= {"config", "workflow"}
    assert "agent" not in " ".join(f"{one.title} {one.description}" for one in answers)
    as_agent = _answers(Facts.of(row, {"is_agent": True}), FleetKnowledge(), REMEDIES, SETTINGS)
    assert not any("-service" in one.remedy_id for one in as_agent)
