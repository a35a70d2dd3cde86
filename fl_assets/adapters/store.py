"""Installing, switching and rolling back adapters.

What does not go here: the rules (`admission.py`, `examine.py`), fetching (`hub.py`), the folder and its locks
(`folder.py`), the memory (`memory.py`), deciding (`updates/decide.py`).

A version is written to `adapters/.staging-…`, synced, and renamed to its place; `current` is replaced by
renaming a new link over it. So a crash leaves the old or the new state, and at worst a dot folder that the
next install removes.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path

from fl_assets.adapters.admission import (
    AdapterRefusedError,
    Candidate,
    Known,
    Offered,
    broken_rule,
    newest_first,
)
from fl_assets.adapters.examine import Examiner, FolderVerdict
from fl_assets.adapters.folder import (
    CURRENT,
    FOLDER_FLAGS,
    AdapterFolder,
    AdapterStoreError,
    current_version,
    names_in,
    opened,
    point_to,
    stored_manifest,
    stored_signature,
    versions_in,
)
from fl_assets.adapters.hub import OfferSource, open_sources
from fl_assets.adapters.install import Installer
from fl_assets.adapters.manifest import AdapterManifest, folder_name, manifest_to_sign, version_key
from fl_assets.adapters.memory import (
    Act,
    MemoryFile,
    StoreMemory,
    VersionStatus,
    previous_version,
    switch_problems,
)
from fl_assets.adapters.vllm import LoraServer, served_name
from fl_assets.core.models import Record, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.keys import KeyFileError


class InstalledAdapter(Record):
    """One version on disk."""

    adapter_id: str
    version: str
    path: Path
    is_current: bool
    expires: str = ""
    size_bytes: int = 0


class Switched(Record):
    """One switch: the version in use now and the one before."""

    adapter_id: str
    from_version: str | None
    to_version: str | None
    """None: the adapter is off."""
    path: Path | None


class AdapterStore:
    """The adapters that are offered, installed and in use."""

    def __init__(
        self,
        settings: FederatedLearningConfig,
        *,
        sources: Sequence[OfferSource] | None = None,
        server: LoraServer | None = None,
    ) -> None:
        """Keep adapters below the data folder of `settings`, which name the default sources and server."""
        self._settings = settings
        self._given_sources = sources
        self._server = server or (LoraServer(settings.vllm_url) if settings.vllm_url else None)
        self._folder = AdapterFolder(settings.data_path)
        self._memory = MemoryFile(settings.data_path / "adapter-state.json")
        self._examiner = Examiner(settings)
        self._installer = Installer(self._folder, self._memory, self._examiner, keep=settings.keep_versions)
        self.root = self._folder.root

    @cached_property
    def sources(self) -> Sequence[OfferSource]:
        """The sources of adapters."""
        return open_sources(self._settings) if self._given_sources is None else self._given_sources

    def observe(self, *, now: datetime) -> list[Offered]:
        """Return what every source offers, with the rules that it breaks, by adapter and newest first."""
        candidates = [candidate for source in self.sources for candidate in source.candidates()]
        if not candidates:
            return []
        with self._switching() as state, self._folder.open() as root:
            state = state.at(now)
            offered, seen = [], state
            for candidate in candidates:
                row, manifest = self._offered(root, state, candidate)
                offered.append(row)
                if manifest is not None and not row.refusals:
                    seen = seen.seen(manifest)
            self._memory.save(seen)
        return newest_first(offered)

    def installed(self) -> list[InstalledAdapter]:
        """Return every version on disk, by adapter and newest first."""
        if not self.root.exists():
            return []
        found = []
        with self._folder.open() as root:
            for name in [entry for entry in names_in(root) if not entry.startswith(".")]:
                with opened(root, name) as folder:
                    current, versions = current_version(folder, self.root / name), versions_in(folder)
                    for version in versions:
                        manifest = stored_manifest(folder, version)
                        one = InstalledAdapter(
                            adapter_id=manifest.adapter_id if manifest else name.replace("--", "/", 1),
                            version=version,
                            path=self.root / name / version,
                            is_current=version == current,
                            expires=str(manifest.expires) if manifest else "",
                            size_bytes=manifest.size if manifest else 0,
                        )
                        found.append(one)
        return found

    def current(self, adapter_id: str) -> InstalledAdapter | None:
        """Return the version in use; None when the adapter is off."""
        return next(
            (one for one in self.installed() if one.adapter_id == adapter_id and one.is_current), None
        )

    def status(self, adapter_id: str, version: str) -> VersionStatus:
        """Return whether a version is in use, followed by another, rolled back, or never was in use here."""
        memory, current = self._memory.load().of(adapter_id), self.current(adapter_id)
        if current is not None and current.version == version:
            return "in use"
        if version in memory.withdrawn:
            return "withdrawn"
        # A version after the current one in the trail was not switched to because of a crash.
        is_known = current and current.version in memory.trail
        earlier = memory.trail[: memory.trail.index(current.version)] if current and is_known else ()
        return "followed" if version in earlier else "never in use"

    def verify(self, adapter_id: str, version: str) -> list[Violation]:
        """Return what is now wrong with an installed version: files, hashes, signature, config, tensors.

        Raises:
            AdapterStoreError: it is not installed.
        """
        with self._folder.open() as root, self._folder.version(root, adapter_id, version) as folder:
            return self._examiner.examine(folder)[1]

    def examine(self, folder: Path, *, now: datetime) -> FolderVerdict:
        """Check a folder, installed or to be published, as a node would."""
        descriptor = os.open(folder, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        try:
            manifest, problems = self._examiner.examine(descriptor)
            if manifest is None:
                return FolderVerdict(path=folder, problems=tuple(problems))
            signed_by = self._examiner.keys.signed_by(
                manifest_to_sign(manifest), stored_signature(descriptor)
            )
        finally:
            os.close(descriptor)
        late = switch_problems(
            manifest, self._memory.load().at(now), None, manifest.version, allow_rollback=True
        )
        fields = {
            "adapter_id": manifest.adapter_id,
            "version": manifest.version,
            "expires": str(manifest.expires),
            "signed_by": signed_by,
        }
        return FolderVerdict(path=folder, problems=(*late, *problems), **fields)

    def stage(
        self, adapter_id: str, version: str, *, now: datetime, allow_rollback: bool = False
    ) -> InstalledAdapter:
        """Fetch, check and install a version beside the one in use, unless it is installed and intact.

        `allow_rollback` admits a version below the highest ever seen, or one that was rolled back here.

        Raises:
            AdapterRefusedError: no source offers it, or it breaks a rule.
            FetchError: it could not be fetched completely.
            AdapterStoreError: this version is in use and damaged, or the folder has been tampered with.
        """
        name, _ = folder_name(adapter_id), version_key(version)
        with self._folder.installing(), self._folder.open() as root:
            if self._is_whole(root, name, version):
                return self._found(adapter_id, version)
            listed = [(source, candidate) for source in self.sources for candidate in source.candidates()]
            fitting = [
                (source, candidate)
                for source, candidate in listed
                if (candidate.adapter_id, candidate.version) == (adapter_id, version)
            ]
            with self._switching() as state:
                state = state.at(now)
                given = {"allow_rollback": allow_rollback, "is_staging": True}
                refusals = [self._refusals(root, state, candidate, **given) for _, candidate in fitting]
                self._memory.save(state)
            admitted = next((one for one, found in zip(fitting, refusals, strict=True) if not found), None)
            if admitted is None:
                subject, expected = f"{adapter_id} {version}", "a source that offers it"
                nowhere = [broken_rule("source", subject, expected, "none")]
                raise AdapterRefusedError(adapter_id, version, refusals[0] if refusals else nowhere)
            source, candidate = admitted
            note = "allowed to be older" if allow_rollback else ""
            self._installer.install(root, source, candidate, now=now, note=note)
            return self._found(adapter_id, version)

    def activate(
        self, adapter_id: str, version: str, *, now: datetime, note: str = "", allow_rollback: bool = False
    ) -> Switched:
        """Switch to an installed version after verifying it again and loading it into the vLLM server.

        `note` is kept in the audit log; `allow_rollback` admits a version that was rolled back, or is below
        the one in use.

        Raises:
            AdapterRefusedError: it breaks a rule: hashes, signature, expiry, base model, version.
            AdapterStoreError: it is not installed.
            LoraServerError: the server did not load it; nothing was switched.
        """
        name = folder_name(adapter_id)
        with self._switching() as state, self._folder.open() as root:
            state = state.at(now)
            with self._folder.version(root, adapter_id, version) as folder:
                manifest, problems = self._examiner.examine(folder)
            with opened(root, name) as folder:
                before = current_version(folder, self.root / name)
                problems += switch_problems(manifest, state, before, version, allow_rollback=allow_rollback)
                if problems:
                    raise AdapterRefusedError(adapter_id, version, problems)
                self._serve(adapter_id, version)
                if before != version:
                    state = state.switched(adapter_id, before, version)
                    self._memory.save(state.with_act(now, "activated", adapter_id, version, note))
                    point_to(folder, version)
        return self._switched(adapter_id, before, version)

    def rollback(self, adapter_id: str, *, now: datetime, to: str | None = None, note: str = "") -> Switched:
        """Switch back to the version in use before or to `to`, or switch off when there was none.

        The version that is left is not offered again. An expired manifest does not prevent it, a wrong hash
        does.

        Raises:
            AdapterStoreError: the adapter is off already, or `to` is not installed.
            AdapterRefusedError: the version to go back to breaks a rule.
            LoraServerError: the server did not load it, and nothing was switched; or it did not unload the
                other, and everything else was switched.
        """
        name = folder_name(adapter_id)
        with self._switching() as state, self._folder.open() as root:
            state, memory = state.at(now), state.of(adapter_id)
            with self._folder.adapter(root, adapter_id) as folder:
                before = current_version(folder, self.root / name)
                if before is None:
                    raise AdapterStoreError(f"{adapter_id} is off; there is nothing to roll back")
                target = previous_version(memory, before, versions_in(folder)) if to is None else to
            if target == before:
                raise AdapterStoreError(f"{adapter_id} {before} is in use already")
            if target is not None:
                with self._folder.version(root, adapter_id, target) as folder:
                    if problems := self._examiner.examine(folder)[1]:
                        raise AdapterRefusedError(adapter_id, target, problems)
                self._serve(adapter_id, target)
            state = state.rolled_back(adapter_id, before, target)
            act: Act = "rolled back" if target else "switched off"
            self._memory.save(
                state.with_act(now, act, adapter_id, target or before, note or f"from {before}")
            )
            with self._folder.adapter(root, adapter_id) as folder:
                if target is None:
                    os.unlink(CURRENT, dir_fd=folder)
                    os.fsync(folder)
                else:
                    point_to(folder, target)
            if self._server is not None:
                self._server.unload(served_name(adapter_id, before))
        return self._switched(adapter_id, before, target)

    def _serve(self, adapter_id: str, version: str) -> None:
        if self._server is not None:
            path = self.root / folder_name(adapter_id) / version
            self._server.load(served_name(adapter_id, version), path.resolve())

    def _switched(self, adapter_id: str, before: str | None, now: str | None) -> Switched:
        path = self.root / folder_name(adapter_id) / now if now else None
        return Switched(adapter_id=adapter_id, from_version=before, to_version=now, path=path)

    def _offered(
        self, root: int, state: StoreMemory, candidate: Candidate
    ) -> tuple[Offered, AdapterManifest | None]:
        manifest = candidate.manifest
        try:
            signed_by = self._examiner.signed_by(candidate)
            known, installed = self._known(root, state, candidate.adapter_id)
            refusals = self._refusals(root, state, candidate)
        except (AdapterStoreError, KeyFileError) as error:
            signed_by, known, installed = None, Known(), []
            rule, expected = "signature", "trusted keys that can be read"
            if isinstance(error, AdapterStoreError):
                rule, expected = "folder", "a folder as it was left"
            refusals = [
                broken_rule(rule, f"{candidate.adapter_id} {candidate.version}", expected, str(error))
            ]
        row = Offered(
            source=candidate.source,
            adapter_id=candidate.adapter_id,
            version=candidate.version,
            installed_version=known.current or None,
            is_installed=candidate.version in installed,
            refusals=tuple(str(problem) for problem in refusals),
        )
        if manifest is not None and candidate.version == manifest.version:
            fields = {
                name: getattr(manifest, name) for name in ("base_model", "base_revision", "expires", "skills")
            }
            row = row.model_copy(update={**fields, "size_bytes": manifest.size, "signed_by": signed_by or ""})
        return row, manifest

    def _known(self, root: int, state: StoreMemory, adapter_id: str) -> tuple[Known, list[str]]:
        """Return the known and installed versions; installed ones count as seen if the memory was lost."""
        memory = state.of(adapter_id)
        versions: list[str] = []
        current = None
        with suppress(ValueError, FileNotFoundError):
            name = folder_name(adapter_id)
            with opened(root, name) as folder:
                versions, current = versions_in(folder), current_version(folder, self.root / name)
        highest, digest = memory.highest, memory.highest_digest
        if versions and (not highest or version_key(versions[0]) > version_key(highest)):
            highest, digest = versions[0], ""
        return Known(
            highest=highest, highest_digest=digest, current=current or "", withdrawn=memory.withdrawn
        ), versions

    @contextmanager
    def _switching(self) -> Generator[StoreMemory]:
        with self._folder.switching():
            yield self._memory.load()

    def _refusals(
        self, root: int, state: StoreMemory, candidate: Candidate, **given: bool
    ) -> list[Violation]:
        known, _ = self._known(root, state, candidate.adapter_id)
        return self._examiner.admission(candidate, known, now=state.latest_time, **given)

    def _is_whole(self, root: int, name: str, version: str) -> bool:
        try:
            with opened(root, name) as adapter, opened(adapter, version) as folder:
                return not self._examiner.examine(folder)[1]
        except FileNotFoundError:
            return False

    def _found(self, adapter_id: str, version: str) -> InstalledAdapter:
        return next(one for one in self.installed() if (one.adapter_id, one.version) == (adapter_id, version))
