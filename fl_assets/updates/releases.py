"""From the history of updates to files: this machine's own, and the signed release that nodes read.

What goes here: each step of an update, and writing the release. What does not: which step may follow which
(`updates/history.py`), what a release says (`updates/release.py`), the history's format (`updates/log.py`),
how one category's change is made (`updates/carriers/`).

A step forward appends its event, which is the commit, and then updates files (`settle`): first this
machine's, then the release, each atomically. A step back first restores this machine's files, which may be
refused, then appends and settles. The next call settles what a crash left, so that everything ends as before
the step or as after it. When neither is possible, `NeedsHumanError` says what to look at.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_assets.core.models import Category
from fl_assets.infra.disk import Disk
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.keys import make_private_key, public_pem
from fl_assets.updates.canary import TrialNodes
from fl_assets.updates.carriers.carrier import Carrier
from fl_assets.updates.history import (
    MACHINE,
    ON_NODES,
    Ended,
    Event,
    Rollout,
    Status,
    Update,
    What,
    fold,
    may_follow,
)
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.policy import RefusedChangeError
from fl_assets.updates.release import Release, release_of, signed_release


class Releases:
    """Every step of an update, and the release of one channel."""

    def __init__(
        self,
        folder: Path,
        log: UpdateLog,
        carriers: Mapping[Category, Carrier],
        *,
        key_path: Path,
        channel: str = "stable",
        valid_days: int = 7,
        disk: Disk | None = None,
    ) -> None:
        self.path = folder / f"{channel}.json"
        self._log = log
        self._carriers = carriers
        self._key_path = key_path
        self._channel = channel
        self._valid_days = valid_days
        self._disk = disk or Disk()

    def rollouts(self) -> dict[str, Rollout]:
        """Return where every update is, by decision."""
        return fold(self._log.events())

    def events(self) -> list[Event]:
        """Return the whole history."""
        return self._log.events()

    def approve(
        self, update: Update, *, by: str, reason: str, code: str = "", after: int | None = None
    ) -> Rollout:
        """Record a person's approval of this very change; carrying it out checks the code.

        `code` shows that the approval is meant; `after` is the number of answers when it was made, None to
        take it whatever was answered since.

        Raises:
            RefusedChangeError: somebody answered since.
        """
        said: dict[str, Any] = {"update": update, "by": by, "reason": reason, "code": code}
        return self._step("approved", update.decision_id, done=(), after=after, **said)

    def reject(
        self, update: Update, *, by: str, reason: str, code: str = "", after: int | None = None
    ) -> Rollout:
        """Record a person's rejection, as `approve`: the same change of the pattern is not tried again."""
        said: dict[str, Any] = {"update": update, "by": by, "reason": reason, "code": code}
        return self._step("rejected", update.decision_id, done=("rejected",), after=after, **said)

    def refuse(self, update: Update, *, reason: str) -> Rollout:
        """Record why an update cannot be carried out."""
        return self._step("refused", update.decision_id, done=(), update=update, reason=reason)

    def carry_out(
        self, update: Update, *, nodes: TrialNodes | None = None, by: str = MACHINE, reason: str = ""
    ) -> Rollout:
        """Release an update to the canary nodes of a trial, or to all nodes without one; idempotent.

        Raises:
            RefusedChangeError: it cannot be made, or was rejected or taken back before; nothing was changed.
            NeedsHumanError: an earlier change is half done.
        """
        fields: dict[str, Any] = {"update": update, "by": by, "reason": reason}
        if nodes:
            others = sorted({*nodes.half, *nodes.rest} - {*nodes.canary})
            fields |= {"canary": nodes.canary, "control": tuple(others), "half": nodes.half}
            fields |= {"held_back": nodes.held_back, "newcomers": nodes.newcomers}
        what = "canary" if nodes else "applied"
        before = partial(self.stage, update)
        return self._step(what, update.decision_id, done=ON_NODES, before=before, **fields)

    def widen(self, decision_id: str, *, reason: str) -> Rollout:
        """Give a canary's change to half of the nodes of its trial."""
        return self._step("widened", decision_id, done=(*ON_NODES[1:], "rolled_back"), reason=reason)

    def promote(
        self, decision_id: str, *, reason: str, effect: float | None = None, power: float | None = None
    ) -> Rollout:
        """Give a change to all nodes but those held back, and to this machine's files.

        If the files now refuse it, it is rolled back.
        """
        measured: dict[str, Any] = {"ended": "better", "effect": effect, "power": power}
        done = ("promoted", "confirmed", "rolled_back")
        return self._step("promoted", decision_id, done=done, reason=reason, **measured)

    def confirm(self, decision_id: str, *, reason: str) -> Rollout:
        """Give a promoted change to the held-back nodes, too."""
        return self._step("confirmed", decision_id, done=("confirmed", "rolled_back"), reason=reason)

    def roll_back(
        self,
        decision_id: str,
        *,
        ended: Ended,
        by: str = MACHINE,
        reason: str,
        by_hand: bool = False,
        effect: float | None = None,
        power: float | None = None,
    ) -> Rollout:
        """Restore this machine's files, and take the update back from all nodes.

        With `by_hand` this machine's files are left alone: a person has restored them.

        Raises:
            RefusedChangeError: the files have changed since; nothing was changed.
            NeedsHumanError: the files cannot be restored; nothing more is changed until a person has looked.
        """

        def before() -> None:
            update = self.rollouts()[decision_id].update
            if not by_hand:
                self._carrier(update).revert(update, self._log.now(self._log.events()).date())

        return self._step(
            "rolled_back",
            decision_id,
            done=("rolled_back",),
            before=before,
            by=by,
            reason=reason,
            ended=ended,
            by_hand=by_hand,
            effect=effect,
            power=power,
        )

    def refresh(self) -> None:
        """Sign the release again once half of its time has passed; nodes drop one that has expired."""
        with self._log.locked():
            events = self._settle(self._log.events())
            if events and self._log.now(events) - events[-1].at > timedelta(days=self._valid_days) / 2:
                self._settle(self._log.append("refreshed", events=events))

    def stage(self, update: Update) -> str:
        """Prepare an update, switching nothing; return what was done.

        Raises:
            RefusedChangeError: it cannot be made.
        """
        return self._carrier(update).stage(update)

    def settle(self) -> None:
        """Make files follow the history; call it at start.

        Raises:
            NeedsHumanError: they cannot.
        """
        with self._log.locked():
            self._settle(self._log.events())

    def _step(
        self,
        what: What,
        decision_id: str,
        *,
        done: tuple[Status, ...],
        before: Callable[[], object] | None = None,
        after: int | None = None,
        **fields: Any,
    ) -> Rollout:
        """Append an event unless the update is in one of the states `done`, and update files.

        Events that only record something (approved, rejected, refused) touch no file.
        """
        is_said_only = what in ("approved", "rejected", "refused")
        with self._log.locked():
            events = self._log.events()
            if not is_said_only:
                events = self._settle(events)
            known = fold(events).get(decision_id)
            if known and known.status in done:
                return known
            if after is not None and after != (known.answers if known else 0):
                raise RefusedChangeError(
                    f"decision {decision_id} was answered by somebody else meanwhile; look again"
                )
            if not may_follow(known, what, "update" in fields):
                raise RefusedChangeError(
                    f"decision {decision_id} is {known.status if known else 'not known'}; it cannot "
                    f"be {what} ({known.reason if known else 'no history'})"
                )
            if before:
                before()
            events = self._log.append(what, events=events, decision_id=decision_id, **fields)
            return fold(events if is_said_only else self._settle(events))[decision_id]

    def _settle(self, events: list[Event]) -> list[Event]:
        for one in fold(events).values():
            if one.status in ("applied", "promoted", "confirmed"):
                when = one.promoted_at or (one.carried_out.at if one.carried_out else None)
                try:
                    self._carrier(one.update).apply(one.update, when.date() if when else one.update.day)
                except RefusedChangeError as error:
                    fields = {
                        "decision_id": one.update.decision_id,
                        "ended": "failed",
                        "reason": f"not on this machine, hence on no node: {error}",
                    }
                    events = self._log.append("rolled_back", events=events, **fields)
        if events:
            self._write(release_of(events, channel=self._channel, valid_days=self._valid_days))
        return events

    def _write(self, release: Release) -> None:
        content = signed_release(release, self._key())
        present = self.path.read_bytes() if self.path.exists() else b""
        if present == content:
            return
        highest = _sequence(present)
        if highest > release.sequence:
            raise NeedsHumanError(
                f"needs a person: {self.path} has sequence {highest}, the history {self._log.path} ends "
                f"at {release.sequence}; "
                "nodes take no lower number, so restore the history from a backup"
            )
        self._place(self.path, content, 0o644)

    def _key(self) -> Ed25519PrivateKey:
        """Return the signing key, made at first use, after writing its public half beside the release."""
        key = make_private_key(self._key_path)
        public, beside = public_pem(key), self.path.with_suffix(".pub")
        if not beside.exists() or beside.read_bytes() != public:
            self._place(beside, public, 0o644)
        return key

    def _place(self, path: Path, content: bytes, mode: int) -> None:
        """Put a file in place whole and synced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._disk.place(path, content, mode, by_way_of=path.with_name(f".{path.name}.new"))

    def _carrier(self, update: Update) -> Carrier:
        carrier = self._carriers.get(update.category)
        if carrier is None:
            raise RefusedChangeError(
                f"decision {update.decision_id}: nothing here changes a {update.category}; machine "
                f"changes are {', '.join(sorted(self._carriers)) or 'none'}"
            )
        return carrier


def _sequence(content: bytes) -> int:
    """Return the sequence number of a release file, 0 when no node could read it."""
    try:
        return int(json.loads(content)["signed"]["sequence"])
    except (ValueError, KeyError, TypeError):
        return 0
