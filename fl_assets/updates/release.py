"""The release: the changes that the nodes of a channel read and run. Nothing is pushed to a node.

What goes here: its records and canonical bytes, how it follows from the history, and when a node refuses it.
What does not: files (`updates/releases.py` writes it, `updates/node_side.py` takes it).
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from fl_assets.core.models import Category, Record
from fl_assets.infra.json_text import canonical_json
from fl_assets.infra.keys import TrustedKeys
from fl_assets.updates.carriers.carrier import is_changed_by_machine
from fl_assets.updates.history import ON_NODES, Event, fold

FORMAT = "fl-assets-release/1"
MAX_RELEASE_BYTES = 4 * 1024 * 1024
"""Longest release that is read."""
MAX_AHEAD = timedelta(days=1)
"""How far ahead of a node's clock a release may be dated; decades ahead would make the node refuse all later
ones."""
MAX_STEP = 1_000_000
"""How far the number of a release may exceed the highest that a node has taken, for the same reason."""


class ReleaseRefusedError(ValueError):
    """A release must not be taken; the text names the rule it breaks."""


class ReleasedChange(Record):
    """One update as nodes read it."""

    update_id: str
    kind: Category
    values: dict[str, str]
    """JSON text of the value, by what it changes: `file#key` or an adapter."""
    nodes: tuple[str, ...] | None
    """Nodes that take it; null for all."""
    held_back: tuple[str, ...] = ()
    """Nodes that do not, though `nodes` is null."""

    @model_serializer(mode="wrap")
    def _without_nobody(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out an empty `held_back`, so that nodes of earlier releases can read it."""
        found = write(self)
        if not self.held_back:
            del found["held_back"]
        return found

    def is_for(self, node_id: str) -> bool:
        """Whether a node takes it."""
        return node_id not in self.held_back if self.nodes is None else node_id in self.nodes


class Release(Record):
    """What the nodes of a channel are to run, until it expires."""

    format: Literal["fl-assets-release/1"] = FORMAT
    channel: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    sequence: int = Field(ge=0)
    issued_at: datetime
    expires_at: datetime
    changes: tuple[ReleasedChange, ...]

    def canonical(self) -> bytes:
        """Return the bytes that are signed: JSON in UTF-8, keys sorted, no blanks, whole numbers only."""
        return canonical_json(self.model_dump(mode="json"), ascii_only=False)

    def for_node(self, node_id: str) -> dict[str, str]:
        """Return what one node runs: JSON values by config key or adapter; later changes win."""
        return {
            name: value for one in self.changes if one.is_for(node_id) for name, value in one.values.items()
        }


def release_of(events: Sequence[Event], *, channel: str, valid_days: int) -> Release:
    """Return the release that follows from a history, with the number and time of the last event.

    A change for all nodes is left out once later ones for all nodes have replaced every value of it.
    """
    live = [
        one
        for one in fold(events).values()
        if one.status in ON_NODES and one.carried_out and is_changed_by_machine(one.update.category)
    ]
    live.sort(key=lambda one: one.carried_out.number if one.carried_out else 0)
    changes: list[ReleasedChange] = []
    replaced: set[str] = set()
    for one in reversed(live):
        values = one.update.values
        if one.is_running or not values.keys() <= replaced:
            texts = {name: json.dumps(value, ensure_ascii=False) for name, value in sorted(values.items())}
            nodes = one.treated if one.is_running else None
            changes.append(
                ReleasedChange(
                    update_id=one.update.decision_id,
                    kind=one.update.category,
                    values=texts,
                    nodes=nodes,
                    held_back=one.held_back if one.is_watched else (),
                )
            )
        replaced |= set() if one.is_running or one.is_watched else values.keys()
    last = events[-1]
    expires = last.at + timedelta(days=valid_days)
    return Release(
        channel=channel,
        sequence=last.number,
        issued_at=last.at,
        expires_at=expires,
        changes=tuple(reversed(changes)),
    )


def signed_release(release: Release, key: Ed25519PrivateKey) -> bytes:
    """Return the file that nodes read: the release, and a signature over its canonical bytes."""
    key_id = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    signature = {"key_id": key_id, "signature": key.sign(release.canonical()).hex()}
    content = {"signed": release.model_dump(mode="json"), "signatures": [signature]}
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def open_release(content: bytes, trusted: TrustedKeys) -> Release:
    """Return a release that is signed by a trusted key.

    Raises:
        ReleaseRefusedError: naming the rule; too large, unreadable, or not signed by a trusted key.
    """
    if len(content) > MAX_RELEASE_BYTES:
        raise ReleaseRefusedError(
            f"size: the release has more than {MAX_RELEASE_BYTES} bytes, and no more are read"
        )
    try:
        found = json.loads(content)
        release = Release.model_validate(found["signed"])
        signatures = {str(one["key_id"]): bytes.fromhex(one["signature"]) for one in found["signatures"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReleaseRefusedError(f"format: the file is no signed release: {type(error).__name__}") from error
    for signature in signatures.values():
        if trusted.signed_by(release.canonical(), base64.b64encode(signature).decode()):
            return release
    given = ", ".join(sorted(signatures)) or "no signature"
    raise ReleaseRefusedError(f"signature: none of {given} is by a trusted key over this content")


def why_refused(release: Release, *, channel: str, highest: int, seen: datetime) -> str:
    """Return why a node must not take a release whose signature holds; '' when it may.

    `seen` is the latest time that the node has seen, on its clock or in a release, so that setting the clock
    back does not revive an expired release.
    """
    if release.channel != channel:
        return f"channel: the release is for {release.channel!r}, this node takes {channel!r}"
    if release.sequence < highest:
        return f"rollback: sequence {release.sequence} is below {highest}, which was taken before"
    if release.sequence > highest + MAX_STEP:
        return (
            f"future: sequence {release.sequence} is more than {MAX_STEP} above {highest}, the highest taken"
        )
    if release.issued_at > seen + MAX_AHEAD:
        return (
            f"future: it was issued at {release.issued_at:%Y-%m-%d %H:%M}, and it is "
            f"{seen:%Y-%m-%d %H:%M} UTC; "
            "set this node's clock, or have the release signed again"
        )
    if release.expires_at <= seen:
        return (
            f"expired: it held until {release.expires_at:%Y-%m-%d %H:%M}, and it is {seen:%Y-%m-%d %H:%M} UTC"
        )
    return ""
