"""From the history of updates to files: this machine's own, and the signed release that nodes read.

What goes here: each step of an update, keys, signatures, writing and taking a release. What does not: the rules of a step (`updates/releases.py`),
the history's format (`update_log.py`), how one category's change is made (a `Carrier`).

A step forward appends its event, which is the commit, and then files follow (`settle`): first this machine's, then the release, each whole or not at all. A
step back restores this machine's files first, for that may be refused, then appends and settles. What a crash left behind is settled by the next call, so
that everything ends as before the step or as after it. When files can be brought to neither, `NeedsHumanError` says what to look at.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fl_assets.core.models import Category
from fl_assets.infra.disk import Disk
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.keys import make_private_key, public_pem
from fl_assets.updates.config_files import ConfigFileError, ConfigFiles
from fl_assets.updates.decide import RefusedChangeError, UpdatePolicy
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.releases import (
    MACHINE,
    Ended,
    Event,
    Release,
    Rollout,
    Status,
    Update,
    What,
    config_changes,
    fold,
    may_follow,
    refusal,
    release_of,
)

MAX_BYTES = 4 * 1024 * 1024


class ReleaseRefusedError(ValueError):
    """A release must not be taken; the text names the rule it breaks."""


class Carrier(Protocol):
    """How one category's change is made on this machine. Each call may be repeated, and then changes nothing."""

    def stage(self, update: Update) -> str:
        """Prepare and verify, switching nothing; return what was done, '' for nothing. Raises RefusedChangeError when the change cannot be made."""
        ...

    def apply(self, update: Update, day: date) -> None:
        """Make the change. Raises RefusedChangeError, with nothing changed, when it may not be made."""
        ...

    def revert(self, update: Update, day: date) -> None:
        """Restore exactly what was before; nothing when it was never made. Raises RefusedChangeError when that would undo somebody else's work."""
        ...


class ConfigCarrier:
    """Config changes, in the files beside the update policy."""

    def __init__(self, configs: ConfigFiles, policy: UpdatePolicy) -> None:
        self._configs = configs
        self._policy = policy

    def stage(self, update: Update) -> str:
        """Test the change against policy and files; the proposal is written by others."""
        present = self._configs.read_values(self._policy)
        for change in config_changes(update, self._policy):
            if present.get(change.rule.target) != change.old:
                message = f"{change.rule.target} is {present.get(change.rule.target)!r} and was {change.old!r} when this was decided; decide anew"
                raise RefusedChangeError(message)
        return ""

    def apply(self, update: Update, day: date) -> None:
        """Change all keys or none."""
        if self._has("revert", update):
            message = f"decision {update.decision_id} was taken back from this machine's files"
            raise RefusedChangeError(message)
        if not self._has("apply", update):
            try:
                self._configs.apply(update.decision_id, config_changes(update, self._policy), day=day)
            except ConfigFileError as error:
                raise RefusedChangeError(str(error)) from error

    def revert(self, update: Update, day: date) -> None:
        """Restore the files byte for byte."""
        if self._has("apply", update) and not self._has("revert", update):
            try:
                self._configs.revert(update.decision_id, day=day)
            except ConfigFileError as error:
                raise RefusedChangeError(str(error)) from error

    def _has(self, kind: str, update: Update) -> bool:
        self._configs.recover()
        return any(
            (receipt.kind, receipt.decision_id) == (kind, update.decision_id)
            for receipt in self._configs.receipts()
        )


class PeopleCarrier:
    """Prompts and workflows: people change them, on the nodes that the trial names; nothing is done here."""

    def stage(self, update: Update) -> str:
        """Return what people are to do."""
        return f"the {update.category} is changed by people"

    def apply(self, update: Update, day: date) -> None:
        """Change nothing."""

    def revert(self, update: Update, day: date) -> None:
        """Change nothing."""


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

    # Reading ---------------------------------------------------------------------------------------------------------------

    def rollouts(self) -> dict[str, Rollout]:
        """Return where every update is, by decision."""
        return fold(self._log.events())

    def events(self) -> list[Event]:
        """Return the whole history."""
        return self._log.events()

    # Steps -----------------------------------------------------------------------------------------------------------------

    def approve(self, update: Update, *, by: str, reason: str) -> Rollout:
        """Record a person's yes to this very change; carrying it out is another step."""
        return self._step("approved", update.decision_id, done=(), update=update, by=by, reason=reason)

    def reject(self, update: Update, *, by: str, reason: str) -> Rollout:
        """Record a person's no: the same change of the same pattern is not tried again."""
        return self._step(
            "rejected", update.decision_id, done=("rejected",), update=update, by=by, reason=reason
        )

    def refuse(self, update: Update, *, reason: str) -> Rollout:
        """Record why an update that was to be carried out cannot be."""
        return self._step("refused", update.decision_id, done=(), update=update, reason=reason)

    def carry_out(
        self,
        update: Update,
        *,
        canary: tuple[str, ...] = (),
        control: tuple[str, ...] = (),
        by: str = MACHINE,
        reason: str = "",
    ) -> Rollout:
        """Release an update to canary nodes, or to all nodes where none are given; once, however often it is called.

        Raises:
            RefusedChangeError: it cannot be made, or was rejected or taken back before; nothing was changed.
            NeedsHumanError: an earlier change is half done.
        """
        fields = {"update": update, "canary": canary, "control": control, "by": by, "reason": reason}
        before = lambda: self.stage(update)  # noqa: E731
        return self._step(
            "canary" if canary else "applied",
            update.decision_id,
            done=("canary", "applied", "promoted"),
            before=before,
            **fields,
        )

    def promote(self, decision_id: str, *, by: str = MACHINE, reason: str) -> Rollout:
        """Give a canary's change to all nodes, and to this machine's files; one that these refuse by now is rolled back, and says so."""
        return self._step(
            "promoted", decision_id, done=("promoted", "rolled_back"), by=by, reason=reason, ended="better"
        )

    def roll_back(
        self, decision_id: str, *, ended: Ended, by: str = MACHINE, reason: str, by_hand: bool = False
    ) -> Rollout:
        """Restore this machine's files, and take the update back from all nodes.

        Args:
            decision_id: Which.
            ended: Why, as a fixed word.
            by: Who.
            reason: Why, in words.
            by_hand: A person has restored this machine's files already; they are left alone.

        Raises:
            RefusedChangeError: the files have changed since; nothing was changed.
            NeedsHumanError: the files cannot be restored, and nothing more is changed until a person has looked.
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
        )

    def refresh(self) -> None:
        """Sign the release anew once half of its time has passed; nodes drop one that has expired."""
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

    # How -------------------------------------------------------------------------------------------------------------------

    def _step(
        self,
        what: What,
        decision_id: str,
        *,
        done: tuple[Status, ...],
        before: Callable[[], object] | None = None,
        **fields: Any,
    ) -> Rollout:
        """Append one event unless the update is where it leads already, and let files follow; words alone (approved, rejected, refused) wait for no file."""
        is_said_only = what in ("approved", "rejected", "refused")
        with self._log.locked():
            events = self._log.events()
            if not is_said_only:
                events = self._settle(events)
            known = fold(events).get(decision_id)
            if known and known.status in done:
                return known
            if not may_follow(known, what, "update" in fields):
                message = f"decision {decision_id} is {known.status if known else 'not known'}; it cannot be {what} ({known.reason if known else 'no history'})"
                raise RefusedChangeError(message)
            if before:
                before()
            events = self._log.append(what, events=events, decision_id=decision_id, **fields)
            return fold(events if is_said_only else self._settle(events))[decision_id]

    def _settle(self, events: list[Event]) -> list[Event]:
        for one in fold(events).values():
            if one.status in ("applied", "promoted"):
                when = one.ended_at or (one.carried_out.at if one.carried_out else None)
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
        content = sign(release, self._key())
        present = self.path.read_bytes() if self.path.exists() else b""
        if present == content:
            return
        highest = _sequence(present)
        if highest > release.sequence:
            message = (
                f"needs a person: {self.path} has sequence {highest}, the history {self._log.path} ends at {release.sequence}; "
                "nodes take no lower number, so restore the history from a backup"
            )
            raise NeedsHumanError(message)
        self._place(self.path, content, 0o644)

    def _key(self) -> Ed25519PrivateKey:
        """Return the key that signs; made at the first use, for its owner's eyes only, its public half beside the release."""
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
            message = f"decision {update.decision_id}: nothing here changes a {update.category}; machine changes are {', '.join(sorted(self._carriers)) or 'none'}"
            raise RefusedChangeError(message)
        return carrier


# Signing, and the node's side ------------------------------------------------------------------------------------------------


def sign(release: Release, key: Ed25519PrivateKey) -> bytes:
    """Return a release as the file that nodes read: what is signed, and the signature over its canonical bytes."""
    content = {
        "signed": release.model_dump(mode="json"),
        "signatures": [
            {"key_id": key_id(key.public_key()), "signature": key.sign(release.canonical()).hex()}
        ],
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the hash of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def open_release(content: bytes, trusted: Iterable[Ed25519PublicKey]) -> Release:
    """Return a release whose signature by a trusted key holds.

    Raises:
        ReleaseRefusedError: naming the rule; too large, unreadable, or not signed by a trusted key.
    """
    if len(content) > MAX_BYTES:
        message = f"size: the release has {len(content)} bytes; at most {MAX_BYTES} are read"
        raise ReleaseRefusedError(message)
    try:
        found = json.loads(content)
        release = Release.model_validate(found["signed"])
        signatures = {str(one["key_id"]): bytes.fromhex(one["signature"]) for one in found["signatures"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"format: the file is no signed release: {type(error).__name__}"
        raise ReleaseRefusedError(message) from error
    for key in trusted:
        try:
            key.verify(signatures.get(key_id(key), b""), release.canonical())
        except InvalidSignature:
            continue
        return release
    message = f"signature: none of {', '.join(sorted(signatures)) or 'no signature'} is by a trusted key over this content"
    raise ReleaseRefusedError(message)


def take_release(
    path: Path,
    memory: Path,
    trusted: Iterable[Ed25519PublicKey],
    *,
    channel: str,
    now: datetime,
    disk: Disk | None = None,
) -> Release:
    """Return the release that a node may run, and remember its number and time; what a node calls.

    Args:
        path: The release file.
        memory: File in which this node remembers the highest number and the latest time that it has seen.
        trusted: Keys that may sign.
        channel: The node's channel.
        now: The node's clock.
        disk: What writes.

    Raises:
        ReleaseRefusedError: naming the rule: size, format, signature, channel, rollback or expired. The node keeps what it runs, and
            after expiry its own defaults.
    """
    release = open_release(path.read_bytes(), trusted)
    known = json.loads(memory.read_bytes()) if memory.exists() else {}
    seen = max(
        now.astimezone(UTC), datetime.fromisoformat(str(known.get("seen", "1970-01-01T00:00:00+00:00")))
    )
    why = refusal(release, channel=channel, highest=int(known.get("sequence", 0)), seen=seen)
    if why:
        raise ReleaseRefusedError(why)
    seen_now = {"sequence": release.sequence, "seen": max(seen, release.issued_at).isoformat()}
    neighbour = memory.with_name(f".{memory.name}.new")
    (disk or Disk()).place(memory, json.dumps(seen_now).encode(), 0o600, by_way_of=neighbour)
    return release


def _sequence(content: bytes) -> int:
    """Sequence number of a release file that is replaced; 0 when it cannot be read, for then no node could take it."""
    try:
        return int(json.loads(content)["signed"]["sequence"])
    except (ValueError, KeyError, TypeError):
        return 0
