"""The decisions of a day: what each playbook leads to, from what is stored.

What goes here: reading what a decision needs, storing decisions, how a day's cycle ended. What does not: the
rules of a decision (`decide.py`).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from fl_assets.adapters.catalogue import Catalogue
from fl_assets.core.cycles import mode_of
from fl_assets.core.models import CycleStatus, Decision, Playbook
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.updates.carriers.carrier import KnownTargets
from fl_assets.updates.decide import decide
from fl_assets.updates.history import Rollout, conflicting_trial, keys_of, lessons, turned_down
from fl_assets.updates.lessons import HelpEstimate, TrialBenefit, benefit, learn
from fl_assets.updates.stores import UpdateStores


def worth_of(playbook: Playbook, helps: HelpEstimate, settings: FederatedLearningConfig) -> TrialBenefit:
    """Return the expected benefit of a trial of a playbook."""
    return benefit(
        failures_a_day=float(playbook.evidence_count),
        persists=playbook.confidence,
        helps=helps,
        nodes=playbook.nodes_affected,
        minimum=settings.canary_min_nodes,
        max_days=settings.max_canary_days,
    )


@dataclass(frozen=True)
class Decisions:
    """Decides on a day's playbooks, and keeps the decisions."""

    stores: UpdateStores
    catalogue: Catalogue

    def decide(self, day: date, *, today: date, rollouts: Collection[Rollout] = ()) -> list[Decision]:
        """Return one decision for each playbook of a day.

        `today` tells a live day from history; of earlier `rollouts`, failures and running trials count.
        """
        learned = learn(lessons(rollouts))
        configs, policy = self.stores.configs, self.stores.update_policy
        known = KnownTargets(
            policy=policy,
            current=configs.read_values(policy) if configs else {},
            last_changed=self._last_changed(rollouts),
            adapters=self.catalogue.offers(day),
        )
        broken = self.stores.gate.broken(day)
        found = []
        for playbook in self.stores.playbooks.of(day):
            helps = learned.helps(playbook.remedy_id, playbook.failure_class)
            other = conflicting_trial(rollouts, playbook.pattern_id, "")
            decision = decide(
                playbook,
                broken.get(playbook.improvement_id, []),
                mode=mode_of(day, today=today),
                apply_level=self.stores.settings.apply,
                known=known,
                rejected=turned_down(rollouts),
                retired=learned.retired,
                busy=other.conflict if other else "",
                helps=helps,
                worth=worth_of(playbook, helps, self.stores.settings),
            )
            found.append(decision)
        return found

    def replace(self, day: date, decisions: Iterable[Decision]) -> int:
        """Replace the day's decisions; return how many there are."""
        records = (decision.model_dump() for decision in decisions)
        return self.stores.warehouse.replace_records("update_decisions", day, records)

    def _last_changed(self, rollouts: Collection[Rollout]) -> dict[str, date]:
        """Return the day of the last change of each config key; a trial that was rolled back counts."""
        configs = self.stores.configs
        found = configs.last_changed() if configs else {}
        for one in rollouts:
            if one.carried_out and one.ended_at:
                for key in keys_of(one.update.target):
                    found[key] = max(one.ended_at.date(), found.get(key, one.ended_at.date()))
        return found


def cycle_result(stores: UpdateStores, day: date) -> tuple[CycleStatus, str, dict[str, int]]:
    """Return how the cycle of a day ended, why, and its counts, as `learning_cycles` records them."""
    status, broken = stores.gate.status(day)
    if status == "insufficient_data":
        return status, str(broken[0]), {}
    stored = stores.playbooks.of(day)
    counts = {"improvements_generated": len(stored)}
    if broken:
        titles = {playbook.improvement_id: playbook.title for playbook in stored}
        first = broken[0].model_copy(update={"subject": titles.get(broken[0].subject, broken[0].subject)})
        held = len({one.subject for one in broken} & titles.keys())
        before = f"{held} playbooks are held back, the first by " if held > 1 else ""
        return status, f"{before}{first}", counts
    ready = sum(not playbook.held_because for playbook in stored)
    applied = stores.warehouse.read_day("applied_updates", day)
    done = [row["category"] for row in applied if row["status"] in ("canary", "applied")]
    ended = [row["action"] for row in stores.warehouse.read_day("update_outcomes", day)]
    held = sum(row["action"] == "hold" for row in stores.warehouse.read_day("update_decisions", day))
    counts |= {
        "adapters_updated": done.count("adapter"),
        "configs_updated": done.count("config"),
        "updates_rolled_back": ended.count("rolled_back"),
        "updates_held": held,
    }
    reason = f"{len(stored)} playbooks, {ready} of them ready, {len(done)} carried out"
    return status, reason, counts
