"""The decision about a playbook, from gate, category and apply level.

What goes here: `decide`, and a decision's route in words. What does not: the change of each category
(`updates/carriers/`), the update policy (`updates/policy.py`), the rules of the gate.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from fl_assets.core.models import Action, Decision, Mode, Playbook, Route, Violation
from fl_assets.updates.carriers.carrier import KnownTargets, ProposedChange, module_of
from fl_assets.updates.ids import change_id, decision_id, playbook_hash
from fl_assets.updates.lessons import HelpEstimate, TrialBenefit

ApplyLevel = Literal["off", "stage", "canary", "on"]
Standing = Literal["to do", "under way", "tried"]
"""Whether a person can act on a playbook now, something is being done about it, or it was tried in vain or
turned down."""

_IN_WORDS: Mapping[Route, str] = {
    "export": "for review",
    "wait": "awaiting approval",
    "people": "to change by hand",
    "gate": "held back",
    "busy": "awaiting another trial",
    "rejected": "failed or rejected before",
    "done": "already in effect",
}
_SINCE: Mapping[str, str] = {
    "approved": "approved, waiting to start",
    "canary": "given to canary nodes",
    "widened": "given to half of the nodes",
    "applied": "applied",
    "promoted": "promoted",
    "confirmed": "promoted",
    "rolled_back": "rolled back",
    "rejected": "rejected",
}
"""What became of a decision, where that says more than what was decided."""
_BEGINS: Mapping[Route, tuple[str, ...]] = {
    "export": ("for review", "exported for review"),
    "wait": ("waits for approval",),
}
"""How the reasons of such decisions begin, in this release and in earlier ones."""


def decide(
    playbook: Playbook,
    violations: Sequence[Violation],
    *,
    mode: Mode,
    apply_level: ApplyLevel,
    known: KnownTargets | None = None,
    rejected: Mapping[str, str] | None = None,
    retired: Collection[str] = (),
    busy: str = "",
    helps: HelpEstimate | None = None,
    worth: TrialBenefit | None = None,
) -> Decision:
    """Decide what happens with one playbook on its day.

    `hold` waits for evidence (the gate) or for approval (apply level `stage`, or a key that a person
    changes). `none` changes nothing by machine: prompts and workflows, no admissible adapter, configs without
    a policy or with these values already, or apply level `off`. `reject` failed or was rejected before.
    `canary` and `apply` are carried out, unless the mode is backtest. The decision's `route` says which of
    these it was.

    Args:
        playbook: What is decided on; its own `held_because` counts too, so that no caller can pass a held
            playbook by leaving its violations out.
        violations: Every rule it breaks, recounted evidence and personal data included.
        mode: `backtest` for a historical day.
        apply_level: How far decisions are carried.
        known: What there is to change.
        rejected: Why changes were turned down, by a person or a measured outcome, by `change_id`.
        retired: Improvement ids of playbooks whose trials failed too often.
        busy: Why no other trial may start on this pattern or target now; '' when one may.
        helps: How likely the remedy helps.
        worth: Expected benefit of a trial.
    """
    proposed: ProposedChange = module_of(playbook.category).propose(playbook, known or KnownTargets())
    reasons = proposed.reasons
    gate = tuple(dict.fromkeys([*playbook.held_because, *(str(problem) for problem in violations)]))
    if gate:
        action, route, reasons = "hold", "gate", gate
    elif why := (rejected or {}).get(change_id(playbook)):
        action, route = "reject", "rejected"
        reasons = (why,)
    elif playbook.improvement_id in retired:
        action, route = "reject", "rejected"
        reasons = ("retired: two trials of this playbook that could have seen a 20 % effect failed",)
    elif proposed.route != "machine":
        action, route = _LEFT[proposed.route]
    elif busy:
        action, route, reasons = "hold", "busy", (busy, *reasons)
    else:
        action, route, why = _LEVELS[apply_level]
        reasons = (*reasons, why)
    if mode == "backtest":
        asked = () if route == "export" else reasons  # nobody can approve it
        reasons = (*asked, "backtest: a historical day is recorded and never carried out")
    return Decision(
        decision_id=decision_id(playbook),
        day=playbook.day,
        improvement_id=playbook.improvement_id,
        pattern_id=playbook.pattern_id,
        category=playbook.category,
        action=action,
        route=route,
        mode=mode,
        target=proposed.target,
        from_value=proposed.from_value,
        to_value=proposed.to_value,
        reasons=reasons,
        helps=helps.probability if helps else None,
        benefit=worth.value if worth else None,
        revert_plan=proposed.revert_plan,
        playbook_hash=playbook_hash(playbook),
    )


_LEFT: Mapping[str, tuple[Action, Route]] = {
    "wait": ("hold", "wait"),
    "export": ("none", "export"),
    "none": ("none", "people"),
    "done": ("none", "done"),
}
_STAGES = "needs your approval (FEDERATED_LEARNING_APPLY=stage)"
_LEVELS: Mapping[ApplyLevel, tuple[Action, Route, str]] = {
    "off": ("none", "people", "not applied: FEDERATED_LEARNING_APPLY=off"),
    "stage": ("hold", "wait", _STAGES),
    "canary": ("canary", "machine", "FEDERATED_LEARNING_APPLY=canary: to a share of the nodes first"),
    "on": ("apply", "machine", "FEDERATED_LEARNING_APPLY=on"),
}
"""What each apply level does with a change that nothing else prevents."""


def route_of(row: Mapping[str, Any]) -> Route:
    """Return the route of a stored decision; of rows older than the column, by how their reasons begin."""
    if row.get("route"):
        return row["route"]
    if row["action"] in ("apply", "canary", "reject"):
        return "rejected" if row["action"] == "reject" else "machine"
    for route in ("export", "wait"):
        if any(reason.startswith(_BEGINS[route]) for reason in row["reasons"]):
            return route
    return "people" if row["action"] == "none" else "gate"


def in_words(row: Mapping[str, Any], status: str = "") -> str:
    """Return in a few words what happens with a playbook; `status` is that of its update by now."""
    if status in _SINCE:
        return _SINCE[status]
    by_action = {"apply": "to be applied", "canary": "to canary nodes"}
    return by_action.get(row["action"]) or _IN_WORDS[route_of(row)]


def standing_of(row: Mapping[str, Any], status: str = "") -> Standing:
    """Return where a playbook stands by its decision, and by what was done about it."""
    route = route_of(row)
    if route == "rejected" or status in ("rejected", "rolled_back"):
        return "tried"
    is_carried_out = (
        is_answered(status)
        or status == "waiting"
        or (route == "machine" and row["mode"] == "live" and status not in ("staged", "refused", "off"))
    )
    return "under way" if is_carried_out or route in ("busy", "done") else "to do"


def is_answered(status: str) -> bool:
    """Whether a decision whose update has this status waits for nobody's yes any more."""
    return status in _SINCE and status != "rejected"


def is_for_review(decision: Decision) -> bool:
    """Whether a person is asked to act: it is live, passes the gate, and is not carried out by machine."""
    return decision.mode == "live" and decision.route in ("export", "wait")
