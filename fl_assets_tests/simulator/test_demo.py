"""The fleet of the demo: nodes do better or worse for what they run; one that was interrupted goes on."""

from datetime import date

import numpy as np

from fl_assets.simulator.demo import Demo, DemoFleet, react
from fl_assets.updates.policy import UpdatePolicy, load_policy
from fl_assets_tests.conftest import texts_below

END = date(2026, 11, 15)


def small() -> Demo:
    demo = Demo.load()
    return Demo(**vars(demo) | {"fleet": dict(demo.fleet) | {"days": 3, "nodes": 6, "events_per_day": 900}})


def failures(fleet: DemoFleet, name: str, node: int, day: int) -> int:
    kind = [one.id for one in fleet.plan.call_failures].index(name)
    return int(fleet.plan.failures[kind, day, node].sum())


def test_nodes_react_to_what_they_run_and_others_do_not():
    demo = Demo.load()
    for reaction in demo.reactions:
        before, after = DemoFleet(demo, END), DemoFleet(demo, END)
        treated = after.plan.nodes[:15]
        react(after.plan, 5, {node: {reaction.key: "any"} for node in treated}, demo.reactions)
        counts = [
            [sum(failures(fleet, reaction.failure, node, 5) for node in part) for fleet in (before, after)]
            for part in (range(15), range(15, 30))
        ]
        assert (counts[0][1] < counts[0][0]) == (reaction.factor < 1) or counts[0][0] == 0
        assert counts[1][0] == counts[1][1]
        assert np.array_equal(before.plan.calls, after.plan.calls)
        assert (after.plan.failures.sum(axis=0) <= after.plan.calls).all()


def test_days_that_were_written_are_made_again_to_the_byte(tmp_path):
    values = [{}, {"us-east-01": {"agent.toml#llm_gateway.prompt_version": "v6"}}, {}]
    whole, parts = DemoFleet(small(), END), DemoFleet(small(), END)
    for index, given in enumerate(values):
        whole.write_day(index, given, tmp_path / "whole")
        parts.write_day(index, given, tmp_path / "parts" if index == 2 else None)
    third = texts_below(tmp_path / "parts")
    assert third
    assert third.items() <= texts_below(tmp_path / "whole").items()
    assert whole.truth() == parts.truth()


def test_what_is_harmless_should_make_no_playbook():
    demo = small()
    fleet = DemoFleet(demo, END)
    for index in range(3):
        fleet.write_day(index, {}, None)
    planted = {one.id: one for one in fleet.truth().failures}
    assert planted[demo.harmless.id].events_by_day
    assert not planted[demo.harmless.id].actionable


def test_its_policy_names_keys_that_its_agents_have(tmp_path):
    from fl_assets.updates.config_files import ConfigFiles

    demo = Demo.load()
    (tmp_path / "policy.yaml").write_text(demo.policy)
    (tmp_path / "agent.toml").write_text(demo.agents)
    policy = load_policy(tmp_path / "policy.yaml")
    assert isinstance(policy, UpdatePolicy)
    present = ConfigFiles(tmp_path, tmp_path / "kept").read_values(policy)
    assert set(present) == {rule.target for rule in policy.keys}
    for rule in policy.keys:
        rule.check(present[rule.target])
    assert {one.key for one in (*demo.reactions, *demo.approvals)} <= set(present)
