"""The memory of adapters: versions seen, used and rolled back, an audit log, the latest clock reading.

What goes here: `adapter-state.json`, and the rules of a switch that need it. What does not: switching
(`store.py`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from fl_assets.adapters.admission import broken_rule
from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.manifest import AdapterManifest, version_key
from fl_assets.core.models import Record, Violation
from fl_assets.infra.disk import write_atomically
from fl_assets.infra.errors import unreadable

_ENTRIES_KEPT = 500

VersionStatus = Literal["in use", "followed", "withdrawn", "never in use"]
Act = Literal["staged", "activated", "rolled back", "switched off"]


class AuditEntry(Record):
    """One entry of the audit log."""

    at: datetime
    act: Act
    adapter_id: str
    version: str
    note: str = ""


class VersionMemory(Record):
    """Known versions of one adapter."""

    highest: str = ""
    highest_digest: str = ""
    trail: tuple[str, ...] = ()
    """Versions that were in use, the latest last."""
    withdrawn: tuple[str, ...] = ()


class StoreMemory(Record):
    """The memory of all adapters; each method returns a changed copy."""

    latest_time: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    adapters: dict[str, VersionMemory] = Field(default_factory=dict)
    acts: tuple[AuditEntry, ...] = ()

    def of(self, adapter_id: str) -> VersionMemory:
        """Return the memory of an adapter."""
        return self.adapters.get(adapter_id, VersionMemory())

    def with_adapter(self, adapter_id: str, **changes: Any) -> "StoreMemory":
        """Change fields of an adapter's memory."""
        changed = self.of(adapter_id).model_copy(update=changes)
        return self.model_copy(update={"adapters": {**self.adapters, adapter_id: changed}})

    def with_act(self, now: datetime, act: Act, adapter_id: str, version: str, note: str) -> "StoreMemory":
        """Add an entry to the audit log."""
        entry = AuditEntry(at=now, act=act, adapter_id=adapter_id, version=version, note=note)
        return self.model_copy(update={"acts": (*self.acts, entry)[-_ENTRIES_KEPT:]})

    def at(self, now: datetime) -> "StoreMemory":
        """Remember a clock reading, if it is the latest."""
        return self.model_copy(update={"latest_time": max(now, self.latest_time)})

    def seen(self, manifest: AdapterManifest) -> "StoreMemory":
        """Remember a version, if it is the highest of its adapter."""
        memory = self.of(manifest.adapter_id)
        if memory.highest and version_key(manifest.version) <= version_key(memory.highest):
            return self
        return self.with_adapter(
            manifest.adapter_id, highest=manifest.version, highest_digest=manifest.digest
        )

    def offered_again(self, adapter_id: str, version: str) -> "StoreMemory":
        """Forget that a version was rolled back."""
        withdrawn = tuple(each for each in self.of(adapter_id).withdrawn if each != version)
        return self.with_adapter(adapter_id, withdrawn=withdrawn)

    def switched(self, adapter_id: str, before: str | None, version: str) -> "StoreMemory":
        """Remember that a version came into use after `before`."""
        trail = self.of(adapter_id).trail
        known = trail[: trail.index(before) + 1] if before in trail else (before,) if before else ()
        trail = (*(each for each in known if each != version), version)
        return self.offered_again(adapter_id, version).with_adapter(adapter_id, trail=trail)

    def rolled_back(self, adapter_id: str, before: str, target: str | None) -> "StoreMemory":
        """Remember that `before` and what came after `target` are not offered again."""
        memory = self.of(adapter_id)
        is_known = target in memory.trail
        left = memory.trail[memory.trail.index(target) + 1 :] if is_known and target else ()
        others = (each for each in memory.withdrawn if each != target)
        trail = memory.trail if target is None or is_known else (target, *memory.trail)
        withdrawn = tuple(dict.fromkeys((*others, *left, before)))
        return self.with_adapter(adapter_id, trail=trail, withdrawn=withdrawn)


class MemoryFile:
    """The memory in one file; only the holder of the lock for switching may save."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> StoreMemory:
        """Return the memory, empty without a file."""
        try:
            return StoreMemory.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return StoreMemory()
        except ValidationError as error:
            remedy = "restore it from a backup, for it says what was taken back and which versions were seen"
            raise AdapterStoreError(unreadable(str(self._path), error, remedy)) from error

    def save(self, memory: StoreMemory) -> None:
        """Write the memory if it has changed."""
        content = memory.model_dump_json(indent=1).encode()
        if not self._path.exists() or self._path.read_bytes() != content:
            write_atomically(self._path, content, mode=0o644)


def previous_version(memory: VersionMemory, current: str, installed: Iterable[str]) -> str | None:
    """Return the version in use before `current` that is installed and was not rolled back."""
    earlier = memory.trail[: memory.trail.index(current)] if current in memory.trail else memory.trail
    there = set(installed) - set(memory.withdrawn) - {current}
    return next((version for version in reversed(earlier) if version in there), None)


def switch_problems(
    manifest: AdapterManifest | None,
    state: StoreMemory,
    current: str | None,
    version: str,
    *,
    allow_rollback: bool,
) -> list[Violation]:
    """Return the rules that an installed version has come to break: expiry, manifest, version."""
    if manifest is None:
        return []
    found, subject, today = [], f"{manifest.adapter_id} {manifest.version}", state.latest_time.date()
    if today >= manifest.expires:
        expected = f"a manifest that holds on {today}"
        found.append(broken_rule("not_expired", subject, expected, f"one that expired on {manifest.expires}"))
    if manifest.version != version:
        found.append(
            broken_rule("manifest", subject, f"the manifest of {version}", f"that of {manifest.version}")
        )
    if allow_rollback:
        return found
    if current is not None and version_key(version) < version_key(current):
        found.append(
            broken_rule("version_increases", subject, f"at least {current}, which is in use", version)
        )
    if version in state.of(manifest.adapter_id).withdrawn:
        found.append(broken_rule("not_withdrawn", subject, "a version that was not rolled back", version))
    return found
