"""From decisions to the fleet: what a day's decisions and people's answers ask for is carried out, each once.

What goes here: reading a day and its gate, and taking the step that follows. What does not: rules (`updates/decide.py`, `updates/history.py`)
and files (`updates/releases.py`).

Nothing is carried out unless all of it holds: the decision is live, the apply level or a person's answer to this very change asks for it,
the day passes the gate now, and the playbook is, to the letter, the one that was decided on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from fl_assets.core.models import Decision, Playbook
from fl_assets.infra.clock import now_utc
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.updates.canary import TooFewNodesError, draw_canary
from fl_assets.updates.carriers.carrier import Tools, carriers, is_changed_by_machine
from fl_assets.updates.decide import is_for_review, route_of
from fl_assets.updates.history import MACHINE, Rollout, Update, under_way
from fl_assets.updates.ids import playbook_hash
from fl_assets.updates.intent import Intent
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.policy import RefusedChangeError
from fl_assets.updates.proposals import write_proposals
from fl_assets.updates.releases import Releases
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial_counts import affected_nodes

ANSWER_DAYS = 7
"""Days after which a person's yes no longer carries a decision out: its evidence is that old."""


Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Decided:
    """A stored decision with its playbook, and where its update is."""

    decision: Decision
    playbook: Playbook
    update: Update
    known: Rollout | None

    @property
    def is_approved(self) -> bool:
        """Whether a person said yes to this very change and nothing has been done about it."""
        return bool(
            self.known
            and self.known.approved
            and self.known.status in ("approved", "refused")
            and self.known.approved.asks_the_same(self.update)
        )


def open_releases(space: UpdateStores, clock: Clock = now_utc) -> Releases:
    """Return the history of updates and the release of the workspace's channel."""
    settings = space.settings
    return Releases(
        settings.data_path / "releases",
        UpdateLog(settings.data_path / "updates" / "history.jsonl", clock=clock),
        carriers(Tools(clock, space.update_policy, space.configs, space.adapters)),
        key_path=settings.signing_key_path or settings.data_path / "keys" / "release.pem",
        channel=settings.channel,
        valid_days=settings.release_days,
    )


def intent_of(space: UpdateStores) -> Intent:
    """Return what makes and checks the codes of answers."""
    return Intent(space.settings.data_path / "keys" / "approval.key")


def recover_configs(space: UpdateStores) -> str:
    """Take back what a crash left half done in config files; return what only a person can put right, '' for nothing."""
    try:
        if space.configs:
            space.configs.recover()
    except NeedsHumanError as error:
        return str(error)
    return ""


def carry_out_day(space: UpdateStores, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
    """Carry out what the day's decisions and people's answers ask for, each once; return the rows of `applied_updates`."""
    releases = open_releases(space, clock)
    found = decided_on(space, day, releases.rollouts())
    if found and space.settings.apply != "off" and any(one.decision.mode == "live" for one in found):
        write_proposals(
            space.settings.data_path / "proposals", day, [(one.playbook, one.decision) for one in found]
        )
    asked = [
        one
        for one in found
        if one.known
        or (
            one.decision.mode == "live"
            and (one.decision.action in ("apply", "canary") or is_for_review(one.decision))
        )
    ]
    stopped = [str(problem) for problem in space.gate.stopping(day)] if asked else []
    return [_row(one, *_carry_out(space, releases, one, stopped, clock())) for one in asked]


def decided_on(space: UpdateStores, day: date, rollouts: Mapping[str, Rollout]) -> list[Decided]:
    """Return the day's decisions with their playbooks, by decision; one whose playbook is gone is left out."""
    playbooks = {one.improvement_id: one for one in space.playbooks.of(day)}
    found = []
    for row in space.warehouse.read_day("update_decisions", day):
        decision = Decision.model_validate(row | {"day": row.pop("event_date"), "route": route_of(row)})
        playbook = playbooks.get(decision.improvement_id)
        if playbook:
            found.append(
                Decided(decision, playbook, Update.of(decision, playbook), rollouts.get(decision.decision_id))
            )
    return found


def _carry_out(
    space: UpdateStores, releases: Releases, one: Decided, stopped: list[str], now: datetime
) -> tuple[str, str, Rollout | None]:
    """Take the step that a decision asks for; return status, reason and where its update is."""
    known, level = one.known, space.settings.apply
    if known and known.carried_out:
        return known.carried_out.what, known.carried_out.reason, known
    if known and known.status == "rejected":
        return "rejected", known.reason, known
    if known and one.is_approved and not intent_of(space).holds(known):
        return "refused", "approved without the code of this change; approve it again", known
    if one.decision.mode == "backtest":
        return "refused", "backtest: a historical day is recorded and never carried out", known
    if stopped:
        return "refused", f"the day does not pass the gate: {stopped[0]}", known
    if one.decision.playbook_hash != playbook_hash(one.playbook):
        return (
            "refused",
            "the playbook has changed since it was decided on; materialise update_decisions again",
            known,
        )
    if level == "off":
        return "off", "FEDERATED_LEARNING_APPLY=off carries nothing out", known
    try:
        if not one.is_approved and (one.decision.action not in ("apply", "canary") or level == "stage"):
            done = releases.stage(one.update)
            return "staged", "; ".join(filter(None, ("waits for approval", done))), known
        if one.is_approved and (now.date() - one.decision.day).days > ANSWER_DAYS:
            return (
                "refused",
                f"decided on {one.decision.day}, more than {ANSWER_DAYS} days ago; its evidence is too old",
                known,
            )
        running = releases.rollouts().values()
        if busy := under_way(running, one.update.pattern_id, one.update.target):
            return "waiting", busy, known
        found = _release(space, releases, one, running)
        return found.carried_out.what if found.carried_out else found.status, found.reason, found
    except (RefusedChangeError, TooFewNodesError) as error:
        return (
            "refused",
            str(error),
            releases.refuse(one.update, reason=str(error)) if one.is_approved else known,
        )


def _release(space: UpdateStores, releases: Releases, one: Decided, running: Any) -> Rollout:
    settings = space.settings
    by = one.known.by if one.known and one.is_approved else MACHINE
    why = (
        f"approved: {one.known.reason}"
        if one.known and one.is_approved
        else f"FEDERATED_LEARNING_APPLY={settings.apply}"
    )
    if settings.apply == "on" and is_changed_by_machine(one.update.category):
        return releases.carry_out(
            one.update, by=by, reason=f"{why}: to all nodes at once, so that there are none to compare with"
        )
    busy = {node for other in running if other.is_running for node in (*other.canary, *other.control)}
    nodes = affected_nodes(
        space, one.update.pattern_id, one.update.day, at_least=2 * settings.canary_min_nodes
    )
    canary, control = draw_canary(
        one.update.decision_id,
        nodes,
        share=settings.canary_share,
        minimum=settings.canary_min_nodes,
        busy=busy,
    )
    words = f"{why}: to {len(canary)} of {len(canary) + len(control)} nodes first"
    words += (
        f"; people change the {one.update.category} on {', '.join(canary)}"
        if not is_changed_by_machine(one.update.category)
        else ""
    )
    return releases.carry_out(one.update, canary=canary, control=control, by=by, reason=words)


def _row(one: Decided, status: str, reason: str, known: Rollout | None) -> dict[str, Any]:
    out = known.carried_out if known else None
    answered = known.by if known and (known.approved or known.status == "rejected") else MACHINE
    return one.update.model_dump() | {
        "status": status,
        "canary_nodes": list(out.canary) if out else [],
        "control_nodes": list(out.control) if out else [],
        "decided_by": out.by if out else answered,
        "carried_out_at": out.at.astimezone(UTC).replace(tzinfo=None) if out else None,
        "reason": reason,
    }
