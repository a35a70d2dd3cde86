"""The history of updates as records, and where every update is: a fold over its events.

What goes here: events, what may follow what, what trials teach. What does not: the file (`updates/log.py`),
carrying anything out (`updates/releases.py`), what nodes read (`updates/release.py`).

The history is the truth: which update is where follows from it alone, and so does the release, its sequence
number included.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from pydantic import Field

from fl_assets.core.models import Category, Decision, Playbook, Record
from fl_assets.updates.ids import change_id
from fl_assets.updates.lessons import Lesson
from fl_assets.updates.policy import ConfigValue

MACHINE = "machine"

Status = Literal[
    "approved", "rejected", "canary", "widened", "applied", "promoted", "confirmed", "rolled_back", "refused"
]
What = Status | Literal["refreshed"]
Ended = Literal["better", "worse", "inconclusive", "faded", "undone", "failed"]
"""How an update ended: by verdict; faded: a promoted change lost its effect; undone: by a person; failed: it
could not be carried out."""

ON_NODES: tuple[Status, ...] = ("canary", "widened", "applied", "promoted", "confirmed")


class Update(Record):
    """A decided change, with all that its later history needs."""

    decision_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    day: date
    improvement_id: str
    pattern_id: str
    remedy_id: str
    failure_class: str = ""
    """Class of the pattern; '' in histories from before it was kept."""
    change_id: str
    category: Category
    target: str
    from_value: str | None
    to_value: str | None

    @classmethod
    def of(cls, decision: Decision, playbook: Playbook) -> "Update":
        """Return the update that a decision on a playbook asks for."""
        shared = decision.model_dump(include=set(cls.model_fields))
        return cls(
            **shared,
            remedy_id=playbook.remedy_id,
            failure_class=playbook.failure_class,
            change_id=change_id(playbook),
        )

    @property
    def values(self) -> dict[str, ConfigValue]:
        """New value by what it changes: config keys, or the adapter."""
        return sides(self.to_value, self.target)

    def asks_the_same(self, other: "Update") -> bool:
        """Whether an answer to the other update holds for this one: it makes the same change."""
        names = ("change_id", "target", "from_value", "to_value")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class Event(Record):
    """One entry of the history; numbers rise by one, times never fall."""

    number: int = Field(ge=1)
    at: datetime
    what: What
    decision_id: str = ""
    """'' for refreshed, which concerns the release alone."""
    by: str = MACHINE
    """machine, or who."""
    reason: str = ""
    update: Update | None = None
    canary: tuple[str, ...] = ()
    """Nodes that take it first."""
    control: tuple[str, ...] = ()
    """All other nodes of the trial."""
    half: tuple[str, ...] = ()
    """Nodes that take it once the canary nodes show no harm."""
    held_back: tuple[str, ...] = ()
    """Nodes that do not take it when it is promoted."""
    newcomers: tuple[str, ...] = ()
    """Nodes of the trial that have not reported for long."""
    effect: float | None = None
    """Measured failures over those expected."""
    power: float | None = None
    """Probability that the trial would have found 20 % fewer failures."""
    ended: Ended | None = None
    code: str = ""
    """Of an answer: what showed that it was meant."""
    by_hand: bool = False
    """A person has put this machine's files right; only the release is left to change."""


@dataclass(frozen=True)
class Rollout:
    """Where one update is.

    `approved` is what a person last said yes to, `approval` the number of that event, `code` what came with
    it; `answers` counts what people said so far.
    """

    update: Update
    status: Status
    by: str
    reason: str
    approved: Update | None = None
    approval: int = 0
    code: str = ""
    answers: int = 0
    carried_out: Event | None = None
    widened_at: datetime | None = None
    promoted_at: datetime | None = None
    closed_at: datetime | None = None
    effect: float | None = None
    power: float | None = None
    ended: Ended | None = None
    ended_at: datetime | None = None
    by_hand: bool = False

    @property
    def is_running(self) -> bool:
        """Whether it is on some of the nodes, without a verdict."""
        return self.status in ("canary", "widened")

    @property
    def is_watched(self) -> bool:
        """Whether it was promoted and is judged again against the nodes that were held back."""
        return self.status == "promoted" and bool(self.held_back)

    @property
    def short_id(self) -> str:
        """Start of its decision's id."""
        return self.update.decision_id[:8]

    @property
    def conflict(self) -> str:
        """Why no other trial may start on its pattern or keys."""
        if self.is_running:
            where = f"{len(self.treated)} of {len(self.canary) + len(self.control)} nodes"
            return f"trial {self.short_id} is on {where}; we can't tell two overlapping changes apart"
        return (
            f"trial {self.short_id} is watched: {len(self.held_back)} nodes are held back from it until it "
            "is sure to last"
        )

    @property
    def canary(self) -> tuple[str, ...]:
        """Nodes that took it first; none when it went to all at once."""
        return self.carried_out.canary if self.carried_out else ()

    @property
    def control(self) -> tuple[str, ...]:
        """All other nodes of its trial."""
        return self.carried_out.control if self.carried_out else ()

    @property
    def held_back(self) -> tuple[str, ...]:
        """Nodes that do not take it when it is promoted."""
        return self.carried_out.held_back if self.carried_out else ()

    @property
    def treated(self) -> tuple[str, ...]:
        """Nodes that have it while its trial runs."""
        is_widened = self.carried_out and self.status == "widened"
        return self.carried_out.half if self.carried_out and is_widened else self.canary

    @property
    def busy_nodes(self) -> tuple[str, ...]:
        """Nodes that no other trial may take: all of a running one, and those held back of a watched one."""
        if self.is_running:
            return (*self.canary, *self.control)
        return self.held_back if self.is_watched else ()


def fold(events: Iterable[Event]) -> dict[str, Rollout]:
    """Return where every update is, by decision, in the order of their first events.

    An event that the state does not allow, such as approving what was rolled back, changes nothing.
    """
    found: dict[str, Rollout] = {}
    for event in events:
        known = found.get(event.decision_id)
        update = event.update or (known.update if known else None)
        if (
            update is None
            or event.what == "refreshed"
            or not may_follow(known, event.what, event.update is not None)
        ):
            continue
        known = known or Rollout(update, "approved", event.by, event.reason)
        changed = replace(
            known, update=update, status=event.what, by=event.by, reason=event.reason, by_hand=event.by_hand
        )
        if event.what in ("approved", "rejected"):
            changed = replace(changed, answers=known.answers + 1)
        if event.what == "approved":
            changed = replace(changed, approved=update, approval=event.number, code=event.code)
        elif event.what in ("canary", "applied"):
            changed = replace(changed, carried_out=event)
        elif event.what == "widened":
            changed = replace(changed, widened_at=event.at)
        elif event.what in ("promoted", "rolled_back", "refused", "rejected"):
            measured = {"effect": event.effect or known.effect, "power": event.power or known.power}
            changed = replace(changed, ended=event.ended or known.ended, ended_at=event.at, **measured)
            if event.what == "promoted":
                changed = replace(changed, promoted_at=event.at)
        if event.what in ("confirmed", "rolled_back") or (event.what == "promoted" and not changed.held_back):
            changed = replace(changed, closed_at=event.at)
        found[event.decision_id] = changed
    return found


def may_follow(known: Rollout | None, what: What, has_update: bool) -> bool:
    """Whether an event may come next for an update; the first must contain the update."""
    return has_update and what in _FIRST if known is None else what in _NEXT[known.status]


_FIRST: tuple[What, ...] = ("approved", "rejected", "canary", "applied", "refused")
_NEXT: Mapping[Status, tuple[What, ...]] = {
    "approved": ("approved", "rejected", "canary", "applied", "refused"),
    "rejected": ("approved",),
    "refused": ("approved", "rejected", "canary", "applied", "refused"),
    "canary": ("widened", "promoted", "rolled_back"),
    "widened": ("promoted", "rolled_back"),
    "applied": ("rolled_back",),
    "promoted": ("confirmed", "rolled_back"),
    "confirmed": ("rolled_back",),
    "rolled_back": (),
}


def lessons(rollouts: Iterable[Rollout]) -> list[Lesson]:
    """Return how trials and answers ended, for `lessons.learn`.

    What a person undid or what could not be carried out says nothing about the remedy.
    """
    found = []
    for one in rollouts:
        ended = "rejected" if one.status == "rejected" else one.ended
        if ended and ended not in ("undone", "failed"):
            lesson = Lesson(
                change_id=one.update.change_id,
                improvement_id=one.update.improvement_id,
                remedy_id=one.update.remedy_id,
                ended=ended,
                failure_class=one.update.failure_class,
                effect=one.effect,
                power=one.power,
            )
            found.append(lesson)
    return found


def turned_down(rollouts: Iterable[Rollout]) -> dict[str, str]:
    """Return why changes are not tried again, by their ids."""
    found = {}
    for one in rollouts:
        day = one.ended_at.date() if one.ended_at else one.update.day
        if one.status == "rejected":
            found[one.update.change_id] = f"{one.by} rejected this change on {day}: {one.reason}"
        elif one.ended == "worse":
            found[one.update.change_id] = f"a trial of this change failed: {one.reason}"
    return found


def conflicting_trial(rollouts: Iterable[Rollout], pattern_id: str, target: str) -> Rollout | None:
    """Return what keeps another trial from starting on a pattern or target now; None when one may."""
    wanted = keys_of(target)
    for one in rollouts:
        has_key = bool(wanted & keys_of(one.update.target))
        if (one.is_running and one.update.pattern_id == pattern_id) or (
            has_key and (one.is_running or one.is_watched)
        ):
            return one
    return None


def keys_of(target: str) -> set[str]:
    """Return the single keys that a decision's target names."""
    return {part for part in target.split(", ") if part}


def sides(value: str | None, target: str) -> dict[str, ConfigValue]:
    """Return a decision's old or new values by config key, or its one value by target."""
    if value is None:
        return {}
    return json.loads(value) if value.startswith("{") else {target: value}
