"""What ended trials teach: which changes not to repeat, how likely each remedy helps, what a trial is worth.

What goes here: arithmetic. What does not: reading the history (`updates/history.py`), the statistics of a
trial (`updates/outcomes.py`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from fl_assets.core.models import PRIOR_REDUCTION
from fl_assets.updates.outcomes import BETTER_ALPHA
from fl_assets.updates.trial import days_of_stage

FAILURES_TO_RETIRE = 2
"""Failed trials that could have seen a 20 % effect, after which a playbook is not tried again."""
POWERED = 0.8
"""Probability of finding a 20 % effect from which on a trial could have seen it."""
PRIOR_TRIALS = 4.0
"""Trials that the prior of a remedy is worth."""
PRIOR_HELPS = 0.5
"""Share of remedies that help, before any was tried."""
NODE_VARIANCE = 0.11
"""Variance of a node's log effect over a trial, beyond that of its counts; see `measures.OVERDISPERSION`."""

LessonEnd = Literal["better", "worse", "inconclusive", "faded", "rejected"]


@dataclass(frozen=True)
class Lesson:
    """How one trial or one person's answer ended for a change."""

    change_id: str
    """What was asked for."""
    improvement_id: str
    """Playbook behind it."""
    remedy_id: str
    """Remedy rule behind it."""
    ended: LessonEnd
    failure_class: str = ""
    """Class of the pattern; '' where the history does not say."""
    effect: float | None = None
    """Measured failures over those expected."""
    power: float | None = None
    """Probability that the trial would have found a 20 % effect; None where the history does not say."""

    @property
    def weight(self) -> float:
        """How much it says about the remedy: little, when the trial could not have seen an effect."""
        return {"rejected": 0.0, "inconclusive": self.power or 0.0}.get(self.ended, 1.0)


@dataclass(frozen=True)
class HelpEstimate:
    """How likely a remedy helps against a class of failure, and by how much if it does."""

    probability: float
    """Mean of the beta distribution."""
    reduction: float
    """Share of the failures that it prevents when it helps."""


@dataclass(frozen=True)
class Lessons:
    """What follows from all trials."""

    retired: frozenset[str]
    """Ids of playbooks that are not tried again."""
    scores: dict[str, dict[str, int]]
    """Trials of each remedy by how they ended."""
    all: tuple[Lesson, ...] = ()
    """Every lesson."""

    def helps(self, remedy_id: str, failure_class: str) -> HelpEstimate:
        """Return how likely a remedy helps against a class.

        Beta-binomial in two steps: the remedy's trials against any class, shrunk to PRIOR_HELPS with a weight
        of PRIOR_TRIALS trials, give the prior, of the same weight, for its trials against this class.
        """
        of_remedy = [one for one in self.all if one.remedy_id == remedy_id]
        of_class = [one for one in of_remedy if one.failure_class == failure_class]
        probability = _mean(of_class, _mean(of_remedy, PRIOR_HELPS))
        reduced = [1 - one.effect for one in of_remedy if one.ended == "better" and one.effect is not None]
        reduction = (PRIOR_TRIALS * PRIOR_REDUCTION + sum(reduced)) / (PRIOR_TRIALS + len(reduced))
        return HelpEstimate(probability, reduction)


def _mean(lessons: Sequence[Lesson], prior: float) -> float:
    weight = sum(one.weight for one in lessons)
    helped = sum(one.ended == "better" for one in lessons)
    return (PRIOR_TRIALS * prior + helped) / (PRIOR_TRIALS + weight)


def learn(lessons: Iterable[Lesson]) -> Lessons:
    """Return what earlier trials rule out.

    A playbook is not tried again after FAILURES_TO_RETIRE failed trials: those that did harm, faded, or found
    no effect though they could have seen one of 20 %.
    """
    found = tuple(lessons)
    failed: dict[str, int] = {}
    scores: dict[str, dict[str, int]] = {}
    names = {"better": "helpful", "worse": "harmful"}
    for one in found:
        score = scores.setdefault(
            one.remedy_id, {"helpful": 0, "harmful": 0, "inconclusive": 0, "faded": 0, "rejected": 0}
        )
        score[names.get(one.ended, one.ended)] += 1
        could_see = one.ended != "inconclusive" or (one.power or 0.0) >= POWERED
        if one.ended in ("worse", "inconclusive", "faded") and could_see:
            failed[one.improvement_id] = failed.get(one.improvement_id, 0) + 1
    return Lessons(
        retired=frozenset(identity for identity, times in failed.items() if times >= FAILURES_TO_RETIRE),
        scores=dict(sorted(scores.items())),
        all=found,
    )


@dataclass(frozen=True)
class TrialBenefit:
    """Expected benefit of a trial: failed requests prevented per day that it takes."""

    value: float
    """Failures a day x P(persists) x P(helps) x reduction / days that the trial is expected to take."""
    nodes: int
    """Nodes that it needs."""


def benefit(
    *, failures_a_day: float, persists: float, helps: HelpEstimate, nodes: int, minimum: int, max_days: int
) -> TrialBenefit:
    """Return the expected benefit of a trial of a remedy.

    `failures_a_day` are the pattern's failed requests in the fleet; each side needs `minimum` nodes.
    """
    effect = -math.log(1 - min(0.9, max(0.05, helps.reduction)))
    days = days_of_stage("half", max_days)
    a_node = max(0.05, failures_a_day / max(1, nodes) * days)
    variance = 4 * (NODE_VARIANCE + 1 / a_node)
    bound = NormalDist().inv_cdf(1 - BETTER_ALPHA)
    needed = math.ceil(variance * ((bound + 1.28) / effect) ** 2)  # found with a probability of nine in ten
    taken = min(nodes, max(4 * minimum, needed))
    time = min(1.0, max(4 / days, bound * math.sqrt(variance / max(1, taken)) / effect))
    length = days_of_stage("canary", max_days) + 1 + days * time
    prevented = failures_a_day * persists * helps.probability * helps.reduction
    return TrialBenefit(prevented / length, taken)
