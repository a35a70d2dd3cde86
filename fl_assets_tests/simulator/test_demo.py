"""The fleet of the demo: nodes do better or worse for what they run; one that was interrupted goes on."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from fl_assets.simulator.catalogue import METHOD_INDEX
from fl_assets.simulator.demo import Demo, DemoFleet, rates, react
from fl_assets.simulator.plan import FleetPlan
from fl_assets.updates.canary import draw_nodes
from fl_assets.updates.outcomes import judge
from fl_assets.updates.policy import UpdatePolicy, load_policy
from fl_assets.updates.trial import Trial
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
        react(
            after.plan,
            5,
            {node: {reaction.key: "any"} for node in treated},
            demo.reactions,
            rates(after.plan),
        )
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


def of_failure(plan: FleetPlan, failure: str, until: int) -> pd.DataFrame:
    """The counts that a trial is judged by, a row per node and day up to the day with index `until`."""
    kind = [one.id for one in plan.call_failures].index(failure)
    targets = [METHOD_INDEX[target] for target in plan.call_failures[kind].targets]
    days = slice(0, until + 1)
    calls, failed = plan.calls[days], plan.failures[:, days]
    frame = pd.DataFrame(
        {
            "node_id": np.tile(plan.nodes, until + 1),
            "event_date": np.repeat(plan.days[days], len(plan.nodes)),
            "failures": failed[kind][:, :, targets].sum(axis=2).ravel(),
            "calls": calls[:, :, targets].sum(axis=2).ravel(),
            "all_failures": (failed.sum(axis=(0, 3)) + plan.noise[:, days].sum(axis=0)).ravel(),
            "all_calls": calls.sum(axis=2).ravel(),
            "p95_ms": 100.0,
        }
    )
    return frame[frame["all_calls"] > 0]


def nodes_with(plan: FleetPlan, failure: str, until: int) -> list[str]:
    counts = of_failure(plan, failure, until)
    return sorted(set(counts.loc[counts["failures"] > 0, "node_id"]))


def tried(fleet: DemoFleet, demo: Demo, key: str, approved: int) -> tuple[str, int, set[str]]:
    """Try a change that is approved after the day with index `approved`.

    Returns its end, the index of that day, and the nodes that no other trial may take then.

    As the product does it, with the plan's failures in the place of what sessions ended with.
    """
    plan, usual = fleet.plan, rates(fleet.plan)
    (failure,) = (one.failure for one in demo.reactions if one.key == key)
    affected = nodes_with(plan, failure, approved)
    released = plan.days[approved + 1]
    nodes = draw_nodes(b"draw", f"{key} {released}", affected, share=demo.canary_share, minimum=3)
    everyone, stage, treated, since = {*nodes.half, *nodes.rest}, "canary", nodes.canary, released
    for index in range(approved + 1, len(plan.days)):
        react(plan, index, {node: {key: "any"} for node in treated}, demo.reactions, usual)
        rest = tuple(sorted(everyone - {*treated}))
        trial = Trial(key, treated, rest, released_on=released, stage=stage, since=since)
        counts, day = of_failure(plan, failure, index), plan.days[index]
        found = judge(counts, trial, day=day, max_days=demo.max_canary_days, interval=False).finding
        if found == "safe":
            stage, treated, since = "half", nodes.half, day + timedelta(days=1)
        elif found != "wait":
            return found, index, {*nodes.held_back} if found == "better" else set()
    return "wait", len(plan.days), everyone


@pytest.mark.parametrize("later", range(10))
def test_whatever_day_it_ends_on_a_change_is_promoted_and_one_taken_back(later):
    demo = Demo.load()
    fleet = DemoFleet(demo, END + timedelta(days=later))
    # The first change is proposed on the second or the third day.
    found, day, held_back = tried(fleet, demo, demo.approvals[0].key, demo.first_approval_after_days)
    assert found == "better"
    found, day, _ = tried(fleet, demo, demo.approvals[1].key, day)
    assert found == "worse"
    assert day < len(fleet.plan.days) - 1, "the last day is not the only one that shows it"
    for planted in ("expired-token-on-one-node", demo.harmless.id):
        assert sum(failures(fleet, planted, node, -1) for node in range(30)) > 10
    for approval in demo.approvals[2:]:
        _, day, busy = tried(fleet, demo, approval.key, day)
        held_back |= busy
    answered = {one.key for one in demo.approvals}
    for one in demo.reactions:
        free = {*nodes_with(fleet.plan, one.failure, len(fleet.plan.days) - 1)} - held_back
        assert one.key in answered or len(free) >= 6, "who approves what is left sees it start at once"
