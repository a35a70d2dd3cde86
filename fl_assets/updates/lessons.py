"""What the ends of trials teach: changes and playbooks that are not tried again, and each remedy's record."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FAILURES_TO_RETIRE = 2
"""Failed trials after which a playbook is not tried again."""


@dataclass(frozen=True)
class Lesson:
    """How one trial or one person's answer ended for a change."""

    change_id: str
    improvement_id: str
    remedy_id: str
    ended: Literal["better", "worse", "inconclusive", "rejected"]


@dataclass(frozen=True)
class Lessons:
    """What follows from all trials: changes and playbooks that are not tried again, and each remedy's score."""

    rejected: frozenset[str]
    retired: frozenset[str]
    scores: dict[str, dict[str, int]]


def learn(lessons: Iterable[Lesson]) -> Lessons:
    """Return what follows: a change that a person rejected or that did harm is not tried again, nor is a playbook whose trials failed twice.

    An inconclusive trial is a failed one, yet the same change may be tried once more.
    """
    found = list(lessons)
    failed: dict[str, int] = {}
    scores: dict[str, dict[str, int]] = {}
    for one in found:
        score = scores.setdefault(
            one.remedy_id, {"helpful": 0, "harmful": 0, "inconclusive": 0, "rejected": 0}
        )
        score[{"better": "helpful", "worse": "harmful"}.get(one.ended, one.ended)] += 1
        failed[one.improvement_id] = failed.get(one.improvement_id, 0) + (
            one.ended in ("worse", "inconclusive")
        )
    return Lessons(
        rejected=frozenset(one.change_id for one in found if one.ended in ("worse", "rejected")),
        retired=frozenset(identity for identity, times in failed.items() if times >= FAILURES_TO_RETIRE),
        scores=dict(sorted(scores.items())),
    )
