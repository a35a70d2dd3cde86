"""Decisions.

Every playbook gets one, nothing held is carried out, and a config changes only within its policy.
"""

import json
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fl_assets.adapters.admission import Offered
from fl_assets.core.models import Category, Decision
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.playbooks.rules import held_by
from fl_assets.updates import carriers
from fl_assets.updates.carriers.carrier import KnownTargets, is_changed_by_machine, module_of
from fl_assets.updates.decide import ApplyLevel, decide, in_words, route_of
from fl_assets.updates.ids import change_id, playbook_hash
from fl_assets.updates.policy import KeyRule, RefusedChangeError, UpdatePolicy, plan_changes
from fl_assets_tests.build import DAY, playbook

TIMEOUT = {
    "id": "t",
    "file": "agent.toml",
    "key": "search.timeout_ms",
    "change": "timeout_ms",
    "type": "int",
    "min": 100,
    "max": 10_000,
}
TARGET = "agent.toml#search.timeout_ms"
OFFER = Offered(
    source="hub", adapter_id="org/tools", version="3", installed_version="2", skills=("tool_calling",)
)
ADAPTER = playbook(category="adapter", suggested_changes={"adapter_skill": "tool_calling"})


def rule(**given: Any) -> KeyRule:
    return KeyRule.model_validate(TIMEOUT | given)


def policy(**given: Any) -> UpdatePolicy:
    return UpdatePolicy(keys=(rule(**given),))


def decided(one: Any = None, **given: Any) -> Decision:
    one = one or playbook()
    found = held_by([one], FederatedLearningConfig()).get(one.improvement_id, [])
    known = {"policy": policy(), "current": {TARGET: 5000}}
    known |= {name: given.pop(name) for name in [*given] if name in KnownTargets.__dataclass_fields__}
    return decide(one, found, known=KnownTargets(**known), **{"mode": "live", "apply_level": "on"} | given)


@settings(deadline=None)
@given(
    st.sampled_from(get_args(Category)),
    st.sampled_from(get_args(ApplyLevel)),
    st.sampled_from(["live", "backtest"]),
    st.floats(0, 1),
    st.integers(0, 9),
    st.booleans(),
)
def test_nothing_that_breaks_a_rule_is_ever_carried_out(
    category, level, mode, confidence, nodes, significant
):
    one = playbook(category=category, confidence=confidence, nodes_affected=nodes, is_significant=significant)
    decision = decided(one, apply_level=level, mode=mode, adapters=[OFFER])
    free = confidence >= 0.7 and nodes >= 3 and significant
    assert (decision.action == "hold") or free
    assert decision.action not in ("apply", "canary") or (
        free and category in ("config", "adapter") and level in ("on", "canary")
    )
    assert decision.reasons
    assert decision.revert_plan


def test_a_playbook_that_is_marked_as_held_is_held_even_when_no_violation_is_passed():
    decision = decide(
        playbook(held_because=("enough_nodes: 1 node",)),
        [],
        mode="live",
        apply_level="on",
        known=KnownTargets(policy=policy(), current={TARGET: 5000}),
    )
    assert (decision.action, decision.reasons[0]) == ("hold", "enough_nodes: 1 node")


@pytest.mark.parametrize(
    ("level", "action"), [("off", "none"), ("stage", "hold"), ("canary", "canary"), ("on", "apply")]
)
@pytest.mark.parametrize("one", [playbook(), ADAPTER])
def test_the_apply_level_says_how_far_a_free_decision_is_carried(one, level, action):
    decision = decided(one, apply_level=level, adapters=[OFFER])
    assert decision.action == action
    assert f"FEDERATED_LEARNING_APPLY={level}" in decision.reasons[-1]


def test_a_config_decision_says_from_to_and_the_way_back():
    decision = decided()
    assert (decision.target, decision.from_value, decision.to_value) == (
        TARGET,
        json.dumps({TARGET: 5000}),
        json.dumps({TARGET: 8000}),
    )
    assert decision.revert_plan.startswith("restore the old file from its backup (")


@pytest.mark.parametrize("category", ["prompt", "workflow"])
def test_prompts_and_workflows_are_exported_and_never_changed_by_machine(category):
    decision = decided(playbook(category=category))
    assert decision.action == "none"
    (reason,) = decision.reasons
    assert reason.startswith(f"needs you: approve it, then change the {category} on the nodes that")
    assert decision.to_value == '{"timeout_ms": "8000"}'


def test_a_historical_day_is_recorded_as_backtest_with_the_action_that_would_have_been():
    decision = decided(mode="backtest")
    assert (decision.mode, decision.action) == ("backtest", "apply")
    assert "never carried out" in decision.reasons[-1]
    (reason,) = decided(playbook(category="prompt"), mode="backtest").reasons
    assert "approve" not in reason


def test_an_adapter_without_an_offer_or_with_refused_ones_is_none_with_the_refusals():
    assert decided(ADAPTER).reasons == ("not applied: the catalogue offers no adapter for tool_calling",)
    refused = OFFER.model_copy(update={"refusals": ("unsigned", "base_revision differs")})
    decision = decided(ADAPTER, adapters=[refused])
    assert (decision.action, decision.reasons) == (
        "none",
        ("not applied: org/tools 3 is refused: unsigned; base_revision differs",),
    )


def test_the_newest_admissible_adapter_with_the_skill_is_taken():
    other = Offered(source="hub", adapter_id="org/json", version="9", skills=("structured_output",))
    refused = OFFER.model_copy(update={"version": "4", "refusals": ("unsigned",)})
    decision = decided(ADAPTER, adapters=[other, refused, OFFER])
    assert (decision.target, decision.from_value, decision.to_value) == ("org/tools", "2", "3")
    assert "back to version 2" in decision.revert_plan


def test_a_change_that_was_turned_down_is_rejected_for_the_same_values_only():
    why = "a trial of this change failed: the failure got more frequent"
    found = decided(rejected={change_id(playbook()): why})
    assert (found.action, found.reasons) == ("reject", (why,)), "that the policy would allow it says nothing"
    assert in_words(found.model_dump()) == "failed or rejected before"
    other = change_id(playbook(suggested_changes={"timeout_ms": "9000"}))
    assert decided(rejected={other: why}).action == "apply"


def test_the_same_playbook_has_one_decision_id_a_day():
    assert (
        decided().decision_id
        == decided(apply_level="off").decision_id
        != decided(playbook(day=DAY + timedelta(days=1))).decision_id
    )
    assert change_id(playbook()) == change_id(playbook(day=DAY + timedelta(days=1), confidence=0.8))


# The policy
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "current", "reason"),
    [
        ({"change": "max_retries"}, 5000, "no policy names a key for timeout_ms of search:query"),
        ({"targets": ["pay*"]}, 5000, "no policy names a key for timeout_ms of search:query"),
        ({}, None, "is not in its file"),
        ({}, 50, "present value is out of policy"),
        (
            {},
            "5000",
            "present value is out of policy: agent.toml#search.timeout_ms = '5000': must be a whole number",
        ),
        ({}, True, "must be a whole number"),
        ({"max": 7000}, 5000, "= 8000: must lie between 100 and 7000"),
        ({"max_step": 1.5}, 5000, "5000 → 8000 is more than a factor of 1.5"),
        ({}, 8000, "already holds these values"),
    ],
)
def test_a_config_change_outside_of_its_policy_is_none_and_says_why(given, current, reason):
    decision = decided(policy=policy(**given), current={} if current is None else {TARGET: current})
    assert decision.action == "none"
    assert reason in decision.reasons[0]
    is_in_effect = "already holds" in reason
    assert decision.route == ("done" if is_in_effect else "people")
    assert (in_words(decision.model_dump()) == "already in effect") == is_in_effect


def test_without_a_policy_no_config_changes():
    assert decided(policy=UpdatePolicy()).action == "none"


def test_a_playbook_without_a_single_named_target_matches_no_policy():
    assert decided(playbook(target="")).action == "none"


def test_a_key_that_a_person_changes_waits_for_approval_at_every_level():
    assert {
        decided(policy=policy(changed_by="person"), apply_level=level).action
        for level in ("stage", "canary", "on")
    } == {"hold"}


@pytest.mark.parametrize(("days", "action"), [(6, "none"), (7, "apply")])
def test_a_key_rests_between_changes(days, action):
    decision = decided(policy=policy(cooldown_days=7), last_changed={TARGET: DAY - timedelta(days=days)})
    assert decision.action == action
    again = DAY - timedelta(days=days) + timedelta(days=7)
    assert action == "apply" or f"it may change again from {again} on" in decision.reasons[0]


def test_several_changes_of_a_playbook_are_planned_together_or_not_at_all():
    retries = rule(id="r", key="search.retries", change="max_retries", min=0, max=5)
    both = playbook(suggested_changes={"timeout_ms": "8000", "max_retries": "2"})
    current = {TARGET: 5000, retries.target: 1}
    changes = plan_changes(both, UpdatePolicy(keys=(rule(), retries)), current=current)
    assert [(change.rule.target, change.old, change.new) for change in changes] == [
        (retries.target, 1, 2),
        (TARGET, 5000, 8000),
    ]
    with pytest.raises(RefusedChangeError, match="no policy names a key for max_retries"):
        plan_changes(both, policy(), current=current)


def test_units_are_scaled_and_other_types_are_read():
    assert rule(type="float", min=0, max=60, scale=0.001).read("4100") == 4.1
    assert rule(type="bool", min=None, max=None).read("true") is True
    assert rule(type="str", min=None, max=None, choices=["a", "b"]).read("b") == "b"


@pytest.mark.parametrize(
    "suggested", ["nan", "inf", "-1", "1e9", "8000.5", "", "x", "0x1f", "１００００００"]
)
def test_a_value_that_is_no_number_in_bounds_is_refused(suggested):
    with pytest.raises(ValueError, match="must"):
        rule().read(suggested)


@settings(deadline=None)
@given(st.one_of(st.text(), st.floats().map(str), st.integers().map(str)), st.sampled_from(["int", "float"]))
def test_whatever_is_suggested_a_number_that_is_read_lies_within_the_bounds(suggested, kind):
    try:
        value = rule(type=kind).read(suggested)
    except ValueError:
        return
    assert 100 <= value <= 10_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file": "../agent.toml"}, "must be a relative path"),
        ({"file": "/etc/agent.toml"}, "must be a relative path"),
        ({"file": "agent.ini"}, "must be a relative path"),
        ({"min": None}, "needs min and max"),
        ({"min": 2e4}, "needs min and max"),
        ({"type": "bool"}, "are for numbers"),
        ({"type": "str", "min": None, "max": None}, "needs choices"),
        ({"choices": ["a"]}, "needs choices, and no other takes them"),
        ({"max_step": 1.0}, "greater than 1"),
        ({"scales": 1}, "Extra inputs"),
    ],
)
def test_a_bad_policy_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        rule(**given)


def test_two_rules_for_one_key_are_refused():
    with pytest.raises(ValidationError, match="occurs more than once"):
        UpdatePolicy(keys=(rule(), rule(id="u")))


def test_a_playbook_whose_trials_failed_twice_is_retired():
    decision = decided(retired={playbook().improvement_id})
    assert (decision.action, "retired" in decision.reasons[0]) == ("reject", True)


def test_while_a_trial_runs_on_the_pattern_a_change_is_held_and_an_export_is_not():
    decision = decided(busy="decision 1 is on its canary nodes")
    assert (decision.action, decision.reasons[0]) == ("hold", "decision 1 is on its canary nodes")
    assert decided(playbook(category="prompt"), busy="decision 1 is on its canary nodes").action == "none"


def test_the_hash_of_a_playbook_tells_every_change_of_it():
    one = playbook()
    assert playbook_hash(one) == playbook_hash(playbook())
    others = [
        one.model_copy(update={name: value})
        for name, value in (
            ("confidence", 0.91),
            ("suggested_changes", {"timeout_ms": "9000"}),
            ("title", "x"),
        )
    ]
    assert len({playbook_hash(each) for each in (one, *others)}) == 4


@pytest.mark.parametrize(
    ("row", "route"),
    [
        ({"action": "apply", "reasons": ["within the bounds"]}, "machine"),
        ({"action": "hold", "reasons": ["within the bounds", "waits for approval: FEDERATED…"]}, "wait"),
        ({"action": "hold", "reasons": ["enough_nodes: p has 1 node, needs 3"]}, "gate"),
        ({"action": "none", "reasons": ["for review: a prompt is never changed automatically"]}, "export"),
        ({"action": "none", "reasons": ["not applied: no policy names a key"]}, "people"),
        ({"action": "reject", "reasons": ["turned down", "waits for approval: …"]}, "rejected"),
        ({"action": "none", "reasons": ["said again"], "route": "export"}, "export"),
    ],
)
def test_the_route_of_rows_without_the_column_is_read_from_their_reasons(row, route):
    assert route_of(row) == route


def test_each_category_is_changed_by_its_own_file_or_by_people():
    assert [category for category in get_args(Category) if is_changed_by_machine(category)] == [
        "adapter",
        "config",
    ]
    for category in get_args(Category):
        assert {"propose", "carrier"} <= vars(module_of(category)).keys()


def test_a_new_category_is_one_file_and_one_entry(tmp_path, monkeypatch):
    (tmp_path / "cache.py").write_text(
        "from fl_assets.updates.carriers.carrier import Carrier, ProposedChange\n"
        "def propose(playbook, known):\n"
        "    return ProposedChange('cache of search', '60', '600', 'set 60 again', 'machine', ('longer',))\n"
        "def carrier(tools):\n"
        "    return Carrier()\n"
    )
    monkeypatch.setattr("fl_assets.updates.carriers.__path__", [*carriers.__path__, str(tmp_path)])
    one = playbook().model_copy(update={"category": "cache"})
    proposed = module_of("cache").propose(one, KnownTargets())
    assert (proposed.route, proposed.to_value) == ("machine", "600")
    assert is_changed_by_machine("cache")
