"""What stands between a day's playbooks and a decision: the same rules for the asset checks and for the decisions themselves.

What goes here: reading a day and asking `playbooks/quality.py` about it. What does not: the rules. A blocking check protects only its own run, so
`decide_day` asks again.
"""

from collections.abc import Collection
from datetime import date

from fl_assets.core.cycles import mode_of
from fl_assets.core.models import CycleStatus, Decision, Playbook, Violation
from fl_assets.events.redaction import residue
from fl_assets.playbooks.quality import (
    confidence_gate,
    enough_nodes,
    evidence_is_real,
    minimum_events,
    no_personal_data,
    violations,
)
from fl_assets.updates.carriers.carrier import KnownTargets
from fl_assets.updates.decide import decide
from fl_assets.updates.history import Rollout, keys_of, lessons, under_way
from fl_assets.updates.lessons import learn
from fl_assets.workspace import Workspace


def too_few_events(space: Workspace, day: date) -> list[Violation]:
    """Return what the day's window lacks of the minimum of events."""
    window = space.window(day)
    return minimum_events(window.events, window.required, len(window.days), subject=str(day))


def gate(space: Workspace, day: date) -> list[Violation]:
    """Return everything that gates a day: non-empty means that a run of it stops before decisions."""
    playbooks = space.playbooks(day)
    return [
        *confidence_gate(playbooks, space.settings.threshold),
        *enough_nodes(playbooks, space.settings.min_nodes),
        *evidence_is_real(playbooks, space.recount(day)),
        *no_personal_data(playbooks, residue),
    ]


def decide_day(
    space: Workspace, day: date, *, today: date, rollouts: Collection[Rollout] = ()
) -> list[Decision]:
    """Return one decision for each playbook of a day, those that break a rule held with its reasons.

    Args:
        space: Where playbooks and configs are.
        day: The partition.
        today: Tells a live day from history.
        rollouts: What became of earlier updates: what failed is not tried again, and nothing is tried on a pattern whose trial runs.
    """
    playbooks = space.playbooks(day)
    learned = learn(lessons(rollouts))
    settings = space.settings
    configs = space.configs
    last_changed = configs.last_changed() if configs else {}
    for one in rollouts:
        if (
            one.carried_out and one.ended_at
        ):  # a trial that was rolled back has changed no file, and cools down all the same
            for key in keys_of(one.update.target):
                last_changed[key] = max(one.ended_at.date(), last_changed.get(key, one.ended_at.date()))
    known = KnownTargets(
        policy=space.update_policy,
        current=configs.read_values(space.update_policy) if configs else {},
        last_changed=last_changed,
        adapters=space.adapter_offers(day),
    )
    broken = violations(
        playbooks,
        threshold=settings.threshold,
        min_nodes=settings.min_nodes,
        recounted=space.recount(day),
        residue=residue,
    )
    return [
        decide(
            playbook,
            broken.get(playbook.improvement_id, []),
            mode=mode_of(day, today=today),
            apply_level=settings.apply,
            known=known,
            rejected=learned.rejected,
            retired=learned.retired,
            busy=under_way(rollouts, playbook.pattern_id, ""),
        )
        for playbook in playbooks
    ]


def outcome(space: Workspace, day: date) -> tuple[CycleStatus, str, dict[str, int]]:
    """Return how the cycle of a day ended, why, and its counts, as `learning_cycles` records them."""
    if too_few := too_few_events(space, day):
        return "insufficient_data", str(too_few[0]), {}
    playbooks = space.playbooks(day)
    counts = {"improvements_generated": len(playbooks)}
    if stopped := gate(space, day):
        more = f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""
        titles = {playbook.improvement_id: playbook.title for playbook in playbooks}
        first = stopped[0].model_copy(update={"subject": titles.get(stopped[0].subject, stopped[0].subject)})
        return "gated", f"{first}{more}", counts
    decisions = space.warehouse.read_day("update_decisions", day)
    ready = sum(not playbook.held_because for playbook in playbooks)
    done = [
        row["category"]
        for row in space.warehouse.read_day("applied_updates", day)
        if row["status"] in ("canary", "applied")
    ]
    ended = [row["action"] for row in space.warehouse.read_day("update_outcomes", day)]
    counts |= {
        "adapters_updated": done.count("adapter"),
        "configs_updated": done.count("config"),
        "updates_rolled_back": ended.count("rolled_back"),
        "updates_held": sum(row["action"] == "hold" for row in decisions),
    }
    return (
        "completed",
        f"{len(playbooks)} playbooks, {ready} of them actionable, {len(done)} carried out",
        counts,
    )


def held(playbooks: list[Playbook]) -> list[Playbook]:
    """Return the playbooks that may not be acted on."""
    return [playbook for playbook in playbooks if playbook.held_because]
