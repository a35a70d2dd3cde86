"""Carrying out a day's decisions and people's answers, each once.

What goes here: reading a day and its gate, and taking the step that follows. What does not: rules
(`updates/decide.py`, `updates/history.py`) and files (`updates/releases.py`).

A decision is carried out only if it is live, the apply level or a person's answer to this very change asks
for it, the day passes the gate now, and the playbook has not changed since.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from fl_assets.core.models import Decision, Playbook
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.clock import now_utc
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.keys import make_secret
from fl_assets.updates.canary import TooFewNodesError, TrialNodes, draw_nodes
from fl_assets.updates.carriers.carrier import Tools, carriers, is_changed_by_machine
from fl_assets.updates.decide import is_for_review, route_of
from fl_assets.updates.decisions import worth_of
from fl_assets.updates.history import MACHINE, Rollout, Update, conflicting_trial, lessons
from fl_assets.updates.ids import playbook_hash
from fl_assets.updates.intent import Intent
from fl_assets.updates.lessons import learn
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.policy import RefusedChangeError
from fl_assets.updates.proposals import write_proposals
from fl_assets.updates.releases import Releases
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial import WATCH_DAYS, days_of_stage
from fl_assets.updates.trial_counts import eligible_nodes

ANSWER_DAYS = 7
"""Days after which an approval lapses, since the evidence is too old."""

NOT_YET = "not carried out yet: the sensor `approved_updates` does it, or `fl-assets approve` with --now"
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Decided:
    """A stored decision with its playbook, its update, and the update's state."""

    decision: Decision
    playbook: Playbook
    update: Update
    known: Rollout | None

    @property
    def is_approved(self) -> bool:
        """Whether a person approved this very change and it has not been carried out."""
        return bool(
            self.known
            and self.known.approved
            and self.known.status in ("approved", "refused")
            and self.known.approved.asks_the_same(self.update)
        )

    @property
    def asks_for_action(self) -> bool:
        """Whether it is live, and to be carried out by machine or answered by a person."""
        is_by_machine = self.decision.mode == "live" and self.decision.action in ("apply", "canary")
        return is_by_machine or is_for_review(self.decision)

    @property
    def may_start(self) -> bool:
        """Whether the decision allows a trial to begin now."""
        is_new = not (self.known and self.known.carried_out)
        return is_new and (self.is_approved or self.decision.action == "canary")


def open_releases(stores: UpdateStores, clock: Clock = now_utc) -> Releases:
    """Return the history of updates and the release of the workspace's channel."""
    settings = stores.settings
    return Releases(
        settings.data_path / "releases",
        history_of(settings, clock),
        carriers(Tools(clock, stores.update_policy, stores.configs, stores.adapters)),
        key_path=settings.signing_key_path or settings.data_path / "keys" / "release.pem",
        channel=settings.channel,
        valid_days=settings.release_days,
    )


def history_of(settings: FederatedLearningConfig, clock: Clock = now_utc) -> UpdateLog:
    """Return the history of updates."""
    return UpdateLog(settings.data_path / "updates" / "history.jsonl", clock=clock)


def intent_of(stores: UpdateStores) -> Intent:
    """Return what makes and checks the codes of answers."""
    return Intent(stores.settings.data_path / "keys" / "approval.key")


def recover_configs(stores: UpdateStores) -> str:
    """Roll back a half-done change of config files; return what needs a person, '' for nothing."""
    try:
        if stores.configs:
            stores.configs.recover()
    except NeedsHumanError as error:
        return str(error)
    return ""


def carry_out_day(stores: UpdateStores, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
    """Carry out a day's decisions and people's answers, each once; return the rows of `applied_updates`."""
    releases = open_releases(stores, clock)
    found = decided_on(stores, day, releases.rollouts())
    if stores.settings.apply != "off" and any(one.decision.mode == "live" for one in found):
        pages = [(one.playbook, one.decision) for one in found]
        write_proposals(stores.settings.data_path / "proposals", day, pages)
    asked = [one for one in found if one.known or one.asks_for_action]
    asked.sort(key=lambda one: (-(one.decision.benefit or 0.0), one.decision.decision_id))
    stopped = [str(problem) for problem in stores.gate.stopping(day)] if asked else []
    starting = [one for one in asked if one.may_start]
    return [
        _row(one, *_carry_out(stores, releases, one, stopped, clock(), is_last=one in starting[-1:]))
        for one in asked
    ]


def applied_by_now(
    rows: Iterable[Mapping[str, Any]], rollouts: Mapping[str, Rollout]
) -> list[dict[str, Any]]:
    """Return rows of `applied_updates` with the answers and steps that came after they were written."""
    found = []
    for row in rows:
        known = rollouts.get(row["decision_id"])
        now = {"status": known.status, "reason": known.reason} if known else {}
        if known and known.status == "approved":
            now["reason"] = row["reason"] if row["status"] == "waiting" else NOT_YET
            now = {} if row["status"] == "refused" else now
        found.append({**row, **now})
    return found


def decided_on(stores: UpdateStores, day: date, rollouts: Mapping[str, Rollout]) -> list[Decided]:
    """Return the day's decisions whose playbooks are still stored."""
    playbooks = {one.improvement_id: one for one in stores.playbooks.of(day)}
    found = []
    for row in stores.warehouse.read_day("update_decisions", day):
        decision = Decision.model_validate(row | {"day": row.pop("event_date"), "route": route_of(row)})
        playbook = playbooks.get(decision.improvement_id)
        if playbook:
            found.append(
                Decided(decision, playbook, Update.of(decision, playbook), rollouts.get(decision.decision_id))
            )
    return found


def _carry_out(
    stores: UpdateStores,
    releases: Releases,
    one: Decided,
    stopped: list[str],
    now: datetime,
    *,
    is_last: bool,
) -> tuple[str, str, Rollout | None]:
    """Take the step that a decision asks for; return status, reason and the state of its update."""
    known, level = one.known, stores.settings.apply
    if done := _done_already(known) or _may_not_be_carried_out(stores, one, stopped, now):
        return *done, known
    try:
        if not one.is_approved and (one.decision.action not in ("apply", "canary") or level == "stage"):
            note = releases.stage(one.update)
            return "staged", "; ".join(filter(None, ("waits for approval", note))), known
        running = releases.rollouts().values()
        if other := conflicting_trial(running, one.update.pattern_id, one.update.target):
            end = _ends(other, stores.settings.max_canary_days)
            return "waiting", _starts(one, f"when trial {other.short_id} ends", end, other.conflict), known
        found = _release(stores, releases, one, running, takes_all=is_last)
        return found.carried_out.what if found.carried_out else found.status, found.reason, found
    except NodesBusyError as error:
        return "waiting", str(error), known
    except (RefusedChangeError, TooFewNodesError) as error:
        refused = releases.refuse(one.update, reason=str(error)) if one.is_approved else known
        return "refused", str(error), refused


def _done_already(known: Rollout | None) -> tuple[str, str] | None:
    """Return the status and reason of a decision that needs no further step."""
    if known and known.carried_out:
        return known.carried_out.what, known.carried_out.reason
    return ("rejected", known.reason) if known and known.status == "rejected" else None


def _may_not_be_carried_out(
    stores: UpdateStores, one: Decided, stopped: list[str], now: datetime
) -> tuple[str, str] | None:
    """Return why a decision may not be carried out, as status and reason; None where it may."""
    if one.known and one.is_approved and not intent_of(stores).holds(one.known):
        return "refused", "approved without the code of this change; approve it again"
    if one.decision.mode == "backtest":
        return "refused", "backtest: a historical day is recorded and never carried out"
    if stopped:
        return "refused", f"the day does not pass the gate: {stopped[0]}"
    if one.decision.playbook_hash != playbook_hash(one.playbook):
        reason = "the playbook has changed since it was decided on; materialise update_decisions again"
        return "refused", reason
    if stores.settings.apply == "off":
        return "off", "FEDERATED_LEARNING_APPLY=off carries nothing out"
    if one.is_approved and (now.date() - one.decision.day).days > ANSWER_DAYS:
        reason = f"decided on {one.decision.day}, more than {ANSWER_DAYS} days ago; its evidence is too old"
        return "refused", reason
    return None


def _release(
    stores: UpdateStores, releases: Releases, one: Decided, running: Collection[Rollout], *, takes_all: bool
) -> Rollout:
    settings, is_approved = stores.settings, one.known is not None and one.is_approved
    by = one.known.by if one.known and is_approved else MACHINE
    why = f"FEDERATED_LEARNING_APPLY={settings.apply}"
    if one.known and is_approved:
        why = f"approved: {one.known.reason}"
    is_by_machine = is_changed_by_machine(one.update.category)
    if settings.apply == "on" and is_by_machine:
        reason = f"{why}: to all nodes at once, so that there are none to compare with"
        return releases.carry_out(one.update, by=by, reason=reason)
    nodes = _nodes_for(stores, one, running, takes_all=takes_all)
    words = f"{why}: to {len(nodes.canary)} of {len(nodes.half) + len(nodes.rest)} nodes first"
    if not is_by_machine:
        words += f"; people change the {one.update.category} on {', '.join(nodes.canary)}"
    return releases.carry_out(one.update, nodes=nodes, by=by, reason=words)


def _nodes_for(
    stores: UpdateStores, one: Decided, running: Collection[Rollout], *, takes_all: bool
) -> TrialNodes:
    """Draw the nodes of a trial among those in no other trial.

    It takes all of them when no other trial waits, else as many as it needs.

    Raises:
        NodesBusyError: there are too few while another trial runs.
        TooFewNodesError: there are too few.
    """
    settings, update = stores.settings, one.update
    minimum = settings.canary_min_nodes
    found = eligible_nodes(stores, update.pattern_id, update.day, at_least=2 * minimum)
    busy = {node for other in running for node in other.busy_nodes}
    helps = learn(lessons(running)).helps(update.remedy_id, update.failure_class)
    draw = partial(
        draw_nodes,
        make_secret(settings.data_path / "keys" / "draw.key"),
        update.decision_id,
        share=settings.canary_share,
        minimum=minimum,
        size=None if takes_all else worth_of(one.playbook, helps, settings).nodes,
    )
    try:
        return draw(set(found.established) - busy, set(found.newcomers) - busy)
    except TooFewNodesError as error:
        draw(found.established, found.newcomers)  # raises if these are too few, too
        for end, other, nodes in sorted(_frees(running, settings.max_canary_days)):
            busy -= nodes
            with suppress(TooFewNodesError):
                draw(set(found.established) - busy, set(found.newcomers) - busy)
                when = f"when enough nodes are free, at the latest when trial {other} ends"
                raise NodesBusyError(_starts(one, when, end, str(error))) from error
        raise


def _frees(running: Collection[Rollout], max_days: int) -> Iterator[tuple[date, str, set[str]]]:
    """Yield by when, at the latest, which trial gives which nodes back."""
    for one in running:
        held, end = {*one.held_back}, _ends(one, max_days)
        if one.is_running:
            yield end, one.short_id, {*one.busy_nodes} - held
            yield end + timedelta(days=WATCH_DAYS + 1), one.short_id, held
        elif one.is_watched:
            yield end, one.short_id, held


def _ends(one: Rollout, max_days: int) -> date:
    """Return the day on which a trial, or the watch after it, gets its last verdict."""
    half = days_of_stage("half", max_days)
    begun = one.promoted_at or one.widened_at or (one.carried_out.at if one.carried_out else now_utc())
    if one.is_watched:
        days = WATCH_DAYS
    elif one.status == "widened":
        days = half
    else:
        days = days_of_stage("canary", max_days) + 1 + half
    return begun.date() + timedelta(days=days + 1)


def _starts(one: Decided, when: str, end: date, why: str) -> str:
    """Say when a decision that must wait is carried out; one without a person's yes is decided on again."""
    if not one.is_approved:
        return why
    lapses = one.decision.day + timedelta(days=ANSWER_DAYS)
    late = f"; after {lapses} it needs a new approval" if end > lapses else ""
    return f"it starts by itself {when} ({end}){late}: {why}"


class NodesBusyError(RuntimeError):
    """A trial must wait for the nodes of another."""


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
