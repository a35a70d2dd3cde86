"""What reaches the fleet, and on which nodes first: the history of updates, the canary's nodes, the release that nodes read.

What goes here: records, the fold of the history into states, the draw of canary nodes, canonical bytes. What does not: files, keys and clocks
(`updates/log.py`, `updates/release_files.py`), the verdict on a canary (`outcomes.py`).

The history is the truth: which update is where follows from it alone, and so does the release, its sequence number included. Nothing is pushed to a node.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from pydantic import Field

from fl_assets.core.models import Category, Decision, Playbook, Record
from fl_assets.infra.json_text import canonical_json
from fl_assets.updates.decide import ConfigChange, ConfigValue, RefusedChangeError, UpdatePolicy, change_id
from fl_assets.updates.outcomes import Lesson

FORMAT = "fl-assets-release/1"
MACHINE = "machine"
What = Literal["approved", "rejected", "canary", "applied", "promoted", "rolled_back", "refused", "refreshed"]
Status = Literal["approved", "rejected", "canary", "applied", "promoted", "rolled_back", "refused"]
Ended = Literal["better", "worse", "inconclusive", "undone", "failed"]
"""How an update ended: by verdict; undone by a person; failed, when it could not be carried out."""

ON_NODES: tuple[Status, ...] = ("canary", "applied", "promoted")


class Update(Record):
    """A decided change, with all that its later history needs."""

    decision_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    day: date
    improvement_id: str
    pattern_id: str
    remedy_id: str
    change_id: str
    category: Category
    target: str
    from_value: str | None
    to_value: str | None

    @classmethod
    def of(cls, decision: Decision, playbook: Playbook) -> "Update":
        """Return the update that a decision on a playbook asks for."""
        shared = {
            name: getattr(decision, name)
            for name in (
                "decision_id",
                "day",
                "improvement_id",
                "pattern_id",
                "category",
                "target",
                "from_value",
                "to_value",
            )
        }
        return cls(**shared, remedy_id=playbook.remedy_id, change_id=change_id(playbook))

    @property
    def values(self) -> dict[str, ConfigValue]:
        """New value by what it changes: config keys, or the adapter."""
        return sides(self.to_value, self.target)

    def asks_the_same(self, other: "Update") -> bool:
        """Whether an answer to the other holds for this one: the same change of the same values."""
        return (self.change_id, self.target, self.from_value, self.to_value) == (
            other.change_id,
            other.target,
            other.from_value,
            other.to_value,
        )


class Event(Record):
    """One entry of the history; numbers rise by one, times never fall."""

    number: int = Field(ge=1)
    at: datetime
    what: What
    decision_id: str = Field("", description="'' for refreshed, which concerns the release alone.")
    by: str = Field(MACHINE, description="machine, or who.")
    reason: str = ""
    update: Update | None = None
    canary: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    ended: Ended | None = None
    by_hand: bool = Field(
        False, description="A person has put this machine's files right; only the release is left to change."
    )


@dataclass(frozen=True)
class Rollout:
    """Where one update is; `approved` is what a person last said yes to, `approval` the number of that event."""

    update: Update
    status: Status
    by: str
    reason: str
    approved: Update | None = None
    approval: int = 0
    canary: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    carried_out: Event | None = None
    ended: Ended | None = None
    ended_at: datetime | None = None
    by_hand: bool = False

    @property
    def is_running(self) -> bool:
        """Whether it is a canary without a verdict."""
        return self.status == "canary"


def fold(events: Iterable[Event]) -> dict[str, Rollout]:
    """Return where every update is, by decision, in the order in which each was first heard of.

    An event that its state does not allow (approving what was rolled back, say) is in the history and changes nothing.
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
        if event.what == "approved":
            changed = replace(changed, approved=update, approval=event.number)
        elif event.what in ("canary", "applied"):
            changed = replace(changed, canary=event.canary, control=event.control, carried_out=event)
        elif event.what in ("promoted", "rolled_back", "refused", "rejected"):
            changed = replace(changed, ended=event.ended or known.ended, ended_at=event.at)
        found[event.decision_id] = changed
    return found


def may_follow(known: Rollout | None, what: What, has_update: bool) -> bool:
    """Whether an event may come next for an update; the first one must say what the update is."""
    return has_update and what in _FIRST if known is None else what in _NEXT[known.status]


_FIRST: tuple[What, ...] = ("approved", "rejected", "canary", "applied", "refused")


_NEXT: Mapping[Status, tuple[What, ...]] = {
    "approved": ("approved", "rejected", "canary", "applied", "refused"),
    "rejected": ("approved",),
    "refused": ("approved", "rejected", "canary", "applied", "refused"),
    "canary": ("promoted", "rolled_back"),
    "applied": ("rolled_back",),
    "promoted": ("rolled_back",),
    "rolled_back": (),
}


def lessons(rollouts: Iterable[Rollout]) -> list[Lesson]:
    """Return how trials and answers ended, for `outcomes.learn`; what a person undid and what could not be carried out teaches nothing about the remedy."""
    found = []
    for one in rollouts:
        ended = "rejected" if one.status == "rejected" else one.ended
        if ended in ("better", "worse", "inconclusive", "rejected"):
            found.append(Lesson(one.update.change_id, one.update.improvement_id, one.update.remedy_id, ended))
    return found


def under_way(rollouts: Iterable[Rollout], pattern_id: str, target: str) -> str:
    """Return why nothing else may be tried on a pattern or target now; '' when nothing is under way there."""
    wanted = keys_of(target)
    for one in rollouts:
        if one.is_running and (one.update.pattern_id == pattern_id or wanted & keys_of(one.update.target)):
            return f"decision {one.update.decision_id} is on its canary nodes; two changes at once could not be told apart"
    return ""


def keys_of(target: str) -> set[str]:
    """Return the single keys that a decision's target names."""
    return {part for part in target.split(", ") if part}


# Canary nodes --------------------------------------------------------------------------------------------------------------


BY_PEOPLE: tuple[Category, ...] = ("prompt", "workflow")
"""What people change; a trial of it names its nodes, and no release holds it."""


class TooFewNodesError(ValueError):
    """Too few nodes for a canary that could be judged; the text says how many there are and are needed."""


def draw_canary(
    decision_id: str, nodes: Collection[str], *, share: float, minimum: int, busy: Collection[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the canary and the control nodes of a decision.

    Nodes are ordered by a hash of decision and node, and the first are taken: the same for everyone who computes it, unrelated from one decision to the
    next, and a node that is added changes at most its own place. A node of another trial that is running is in neither group.

    Args:
        decision_id: What the draw is seeded by.
        nodes: Nodes that can show a difference.
        share: Share of them that is taken, rounded up.
        minimum: Nodes that either group must have.
        busy: Canary and control nodes of running trials.

    Raises:
        TooFewNodesError: naming both numbers.
    """
    free = sorted(
        set(nodes) - set(busy),
        key=lambda node: (hashlib.sha256(f"canary\n{decision_id}\n{node}".encode()).digest(), node),
    )
    size = max(minimum, math.ceil(share * len(free) - 1e-9))
    if len(free) - size < minimum:
        taken = len(set(nodes) & set(busy))
        also = f" ({taken} more are in a running trial)" if taken else ""
        message = f"canary: {len(free)} nodes can show a difference{also}; needs {size} canary nodes and {minimum} others"
        raise TooFewNodesError(message)
    return tuple(sorted(free[:size])), tuple(sorted(free[size:]))


# The release -----------------------------------------------------------------------------------------------------------------


class ReleasedChange(Record):
    """One update as nodes read it."""

    update_id: str
    kind: Category
    values: dict[str, str] = Field(
        description="JSON text of the value, by what it changes: `file#key` or an adapter."
    )
    nodes: tuple[str, ...] | None = Field(description="Nodes that take it; null for all.")


class Release(Record):
    """What the nodes of a channel are to run, until it expires."""

    format: Literal["fl-assets-release/1"] = FORMAT
    channel: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    sequence: int = Field(ge=0)
    issued_at: datetime
    expires_at: datetime
    changes: tuple[ReleasedChange, ...]

    def canonical(self) -> bytes:
        """Return the bytes that are signed: JSON, keys sorted, no blanks, UTF-8. All numbers in it are whole, so no two writers can differ."""
        return canonical_json(self.model_dump(mode="json"), ascii_only=False)

    def for_node(self, node_id: str) -> dict[str, str]:
        """Return what one node is to run: JSON text of the value by what it changes; a later change wins."""
        return {
            name: value
            for one in self.changes
            if one.nodes is None or node_id in one.nodes
            for name, value in one.values.items()
        }


def release_of(events: Sequence[Event], *, channel: str, valid_days: int) -> Release:
    """Return the release that follows from a history: its number is that of the last event, its time too.

    A change for all nodes is left out once later ones for all nodes have replaced every value of it.
    """
    live = [
        one
        for one in fold(events).values()
        if one.status in ON_NODES and one.carried_out and one.update.category not in BY_PEOPLE
    ]
    live.sort(key=lambda one: one.carried_out.number if one.carried_out else 0)
    changes: list[ReleasedChange] = []
    replaced: set[str] = set()
    for one in reversed(live):
        values = one.update.values
        if one.is_running or not values.keys() <= replaced:
            texts = {name: json.dumps(value, ensure_ascii=False) for name, value in sorted(values.items())}
            nodes = one.canary if one.is_running else None
            changes.append(
                ReleasedChange(
                    update_id=one.update.decision_id, kind=one.update.category, values=texts, nodes=nodes
                )
            )
        replaced |= set() if one.is_running else values.keys()
    last = events[-1]
    expires = last.at + timedelta(days=valid_days)
    return Release(
        channel=channel,
        sequence=last.number,
        issued_at=last.at,
        expires_at=expires,
        changes=tuple(reversed(changes)),
    )


def refusal(release: Release, *, channel: str, highest: int, seen: datetime) -> str:
    """Return why a node must not take a release whose signature holds; '' when it may.

    Args:
        release: What it says.
        channel: The node's channel.
        highest: Highest sequence number that the node has taken.
        seen: Latest time that the node has seen, on its clock or in a release: a clock that jumps back revives nothing.
    """
    if release.channel != channel:
        return f"channel: the release is for {release.channel!r}, this node takes {channel!r}"
    if release.sequence < highest:
        return f"rollback: sequence {release.sequence} is below {highest}, which was taken before"
    if release.expires_at <= seen:
        return (
            f"expired: it held until {release.expires_at:%Y-%m-%d %H:%M}, and it is {seen:%Y-%m-%d %H:%M} UTC"
        )
    return ""


# Config changes, from a decision back to rules ---------------------------------------------------------------------------------


def sides(value: str | None, target: str) -> dict[str, ConfigValue]:
    """Return a decision's from or to as value by what it changes: a JSON object of several, or one value of its target."""
    if value is None:
        return {}
    return json.loads(value) if value.startswith("{") else {target: value}


def config_changes(update: Update, policy: UpdatePolicy) -> list[ConfigChange]:
    """Return the checked changes of a decided config update, under the policy as it is now.

    Raises:
        RefusedChangeError: the policy has no rule for a key any more, or no longer allows the value.
    """
    rules = {rule.target: rule for rule in policy.keys}
    before, changes = sides(update.from_value, update.target), []
    for name, value in sorted(update.values.items()):
        if name not in rules or name not in before:
            raise RefusedChangeError(
                f"{name} of decision {update.decision_id}: the update policy names no such key any more"
            )
        try:
            changes.append(ConfigChange(rule=rules[name], old=before[name], new=rules[name].check(value)))
        except ValueError as error:
            raise RefusedChangeError(str(error)) from error
    return changes
