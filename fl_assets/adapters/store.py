"""Adapters on disk: fetched beside what is there, checked, put in place by one rename, switched by another, and switched back.

What goes here: installing, switching, rolling back, and what must be remembered for it. What does not: the rules (`adapters/manifest.py`), fetching
(`adapter_hub.py`), keys (`signing.py`), who decides (`updates/decide.py`).

Layout below the data folder: `adapters/<name>/<version>/` holds the two files, manifest and signature (and model-signing bundle); `adapters/<name>/current` links to the version in use.
`adapter-state.json` beside it remembers the highest version ever seen, what was in use before, what was rolled back, and the latest clock reading.

A version is written to `adapters/.staging-…`, synced, and renamed to its place; `current` is replaced by renaming a new link over it. So a crash at any point
leaves the old or the new, and at worst a dot folder that the next install removes. Folders are opened by descriptor and without following links, so that a link
put in their place leads nowhere. Two locks: one for installing, which may take as long as a download, and one for switching, which never waits for it.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from fl_assets.adapters.hub import FetchError, Source, open_sources
from fl_assets.adapters.manifest import (
    BUNDLE,
    BUNDLE_BYTES,
    CONFIG,
    CONFIG_BYTES,
    FILES,
    MANIFEST,
    MANIFEST_BYTES,
    SIGNATURE,
    SIGNATURE_BYTES,
    WEIGHTS,
    AdapterFile,
    AdapterManifest,
    Candidate,
    Inventory,
    Known,
    ManifestError,
    Offered,
    admission,
    canonical,
    check_config,
    check_tensors,
    count_not_finite,
    folder_name,
    header_length,
    newest_first,
    parse_manifest,
    read_header,
    refusal,
    signed_bytes,
    version_key,
)
from fl_assets.adapters.model_bundles import open_verifier
from fl_assets.adapters.vllm import LoraServer, served_name
from fl_assets.core.models import Record, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.keys import KeyFileError, TrustedKeys, sign

_CURRENT, _NEW_LINK = "current", ".current.new"
_TEMPORARY = (".staging-", ".trash-")
_CHUNK = 4 * 1024 * 1024
_ACTS_KEPT = 500
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Standing = Literal["in use", "followed", "withdrawn", "never in use"]
Act = Literal["staged", "activated", "rolled back", "switched off"]


class AdapterStoreError(RuntimeError):
    """The folder of adapters or its memory is not as it should be; the text names the path and what to do. Nothing was changed."""


class AdapterRefusedError(ValueError):
    """An adapter is not admitted; `refusals` holds every rule that it breaks. Nothing was installed or switched."""

    def __init__(self, adapter_id: str, version: str, refusals: Sequence[Violation]) -> None:
        super().__init__(
            f"{adapter_id} {version} is refused: {'; '.join(str(problem) for problem in refusals)}"
        )
        self.refusals = tuple(refusals)


class InstalledAdapter(Record):
    """One version on disk."""

    adapter_id: str
    version: str
    path: Path
    is_current: bool
    expires: str = ""
    size_bytes: int = 0


class Verdict(Record):
    """What a folder holds, and every rule that it breaks."""

    path: Path
    adapter_id: str = ""
    version: str = ""
    signed_by: str | None = None
    expires: str = ""
    problems: tuple[Violation, ...] = ()


class Switched(Record):
    """One switch: what is in use now, and what was before."""

    adapter_id: str
    from_version: str | None
    to_version: str | None = Field(description="None: the adapter is off.")
    path: Path | None


class StoredAct(Record):
    """One thing that was done, for whoever asks later."""

    at: datetime
    act: Act
    adapter_id: str
    version: str
    note: str = ""


class _Memory(Record):
    highest: str = ""
    highest_digest: str = ""
    trail: tuple[str, ...] = Field((), description="Versions that were in use, the latest last.")
    withdrawn: tuple[str, ...] = ()


class _State(Record):
    latest_time: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    adapters: dict[str, _Memory] = Field(default_factory=dict)
    acts: tuple[StoredAct, ...] = ()

    def of(self, adapter_id: str) -> _Memory:
        return self.adapters.get(adapter_id, _Memory())

    def with_adapter(self, adapter_id: str, **changes: Any) -> "_State":
        return self.model_copy(
            update={"adapters": {**self.adapters, adapter_id: self.of(adapter_id).model_copy(update=changes)}}
        )

    def with_act(self, **fields: Any) -> "_State":
        return self.model_copy(update={"acts": (*self.acts, StoredAct(**fields))[-_ACTS_KEPT:]})

    def at(self, now: datetime) -> "_State":
        return self.model_copy(update={"latest_time": max(now, self.latest_time)})

    def seen(self, manifest: AdapterManifest) -> "_State":
        memory = self.of(manifest.adapter_id)
        if memory.highest and version_key(manifest.version) <= version_key(memory.highest):
            return self
        return self.with_adapter(
            manifest.adapter_id, highest=manifest.version, highest_digest=manifest.digest
        )


class AdapterStore:
    """What is offered, what is installed, what is in use."""

    def __init__(
        self,
        settings: FederatedLearningConfig,
        *,
        sources: Sequence[Source] | None = None,
        server: LoraServer | None = None,
    ) -> None:
        """Keep adapters below the data folder of `settings`; sources and server default to the ones that it names."""
        self._settings = settings
        self._given_sources = sources
        self._server = server or (LoraServer(settings.vllm_url) if settings.vllm_url else None)
        self.root = settings.data_path / "adapters"
        self._state_path = settings.data_path / "adapter-state.json"

    @cached_property
    def sources(self) -> Sequence[Source]:
        """Where adapters come from."""
        return open_sources(self._settings) if self._given_sources is None else self._given_sources

    @property
    def inventory(self) -> Inventory:
        """What the nodes run and take."""
        settings = self._settings
        return Inventory(
            base_model=settings.base_model,
            base_revision=settings.base_revision,
            max_rank=settings.max_lora_rank,
            target_modules=settings.lora_targets,
            max_bytes=settings.max_adapter_bytes,
            require_signature=settings.require_signature,
            require_bundle=settings.adapter_oms_key_path is not None,
        )

    # Looking ------------------------------------------------------------------------------------------------------------

    def observe(self, *, now: datetime) -> list[Offered]:
        """Ask every source and return what it offers, each version with every rule that it breaks, by adapter and newest first."""
        candidates = [candidate for source in self.sources for candidate in source.candidates()]
        if not candidates:
            return []
        with self._switching() as state, self._open_root() as root:
            state = state.at(now)
            offered, seen = [], state
            for candidate in candidates:
                row, manifest = self._offered(root, state, candidate)
                offered.append(row)
                if manifest is not None and not row.refusals:
                    seen = seen.seen(manifest)
            self._save(seen)
        return newest_first(offered)

    def installed(self) -> list[InstalledAdapter]:
        """Return every version on disk, by adapter and newest first."""
        if not self.root.exists():
            return []
        found = []
        with self._open_root() as root:
            for name in [entry for entry in _names(root) if not entry.startswith(".")]:
                with _opened(root, name) as folder:
                    current, versions = _current(folder, self.root / name), _versions(folder)
                    for version in versions:
                        manifest = _stored_manifest(folder, version)
                        adapter_id = manifest.adapter_id if manifest else name.replace("--", "/", 1)
                        one = InstalledAdapter(
                            adapter_id=adapter_id,
                            version=version,
                            path=self.root / name / version,
                            is_current=version == current,
                        )
                        found.append(
                            one.model_copy(
                                update={"expires": str(manifest.expires), "size_bytes": manifest.size}
                            )
                            if manifest
                            else one
                        )
        return found

    def current(self, adapter_id: str) -> InstalledAdapter | None:
        """Return the version in use; None when the adapter is off."""
        return next(
            (one for one in self.installed() if one.adapter_id == adapter_id and one.is_current), None
        )

    def standing(self, adapter_id: str, version: str) -> Standing:
        """Return whether a version is in use, was followed by a later one, was rolled back, or never was in use here."""
        memory, current = self._load().of(adapter_id), self.current(adapter_id)
        if current is not None and current.version == version:
            return "in use"
        if version in memory.withdrawn:
            return "withdrawn"
        # A version behind the one in use is one whose switch a crash prevented.
        earlier = (
            memory.trail[: memory.trail.index(current.version)]
            if current and current.version in memory.trail
            else ()
        )
        return "followed" if version in earlier else "never in use"

    def acts(self) -> tuple[StoredAct, ...]:
        """Return what was done here, the latest last."""
        return self._load().acts

    def verify(self, adapter_id: str, version: str) -> list[Violation]:
        """Return what is wrong with an installed version now: files, hashes, signature, config, tensors.

        Raises:
            AdapterStoreError: it is not installed.
        """
        with self._open_root() as root, self._version(root, adapter_id, version) as folder:
            return self._examine(folder)[1]

    def look_at(self, folder: Path, *, now: datetime) -> Verdict:
        """Return what is in a folder anywhere, installed or about to be published, as a node would judge it."""
        descriptor = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        try:
            manifest, problems = self._examine(descriptor)
            if manifest is None:
                return Verdict(path=folder, problems=tuple(problems))
            signed_by = self._keys.signed_by(signed_bytes(manifest), _stored_signature(descriptor))
        finally:
            os.close(descriptor)
        late = _too_late(manifest, self._load().at(now), None, manifest.version, allow_rollback=True)
        fields = {
            "adapter_id": manifest.adapter_id,
            "version": manifest.version,
            "expires": str(manifest.expires),
            "signed_by": signed_by,
        }
        return Verdict(path=folder, problems=(*late, *problems), **fields)

    # Changing -----------------------------------------------------------------------------------------------------------

    def stage(
        self, adapter_id: str, version: str, *, now: datetime, allow_rollback: bool = False
    ) -> InstalledAdapter:
        """Fetch, check and install one version beside the one in use, and switch nothing; one that is installed and whole is left as it is.

        Args:
            adapter_id: As the catalogue names it.
            version: As the catalogue names it.
            now: Present time, aware.
            allow_rollback: Admit a version below the highest ever seen, or one that was rolled back here: an operator's word, recorded.

        Raises:
            AdapterRefusedError: no source offers it, or it breaks a rule.
            FetchError: it could not be had whole.
            AdapterStoreError: the version in use is this one and is damaged; or the folder is not ours.
        """
        name, _ = folder_name(adapter_id), version_key(version)
        with self._installing(), self._open_root() as root:
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
                verdicts = [
                    (
                        source,
                        candidate,
                        self._refusals(
                            root, state, candidate, allow_rollback=allow_rollback, is_staging=True
                        ),
                    )
                    for source, candidate in fitting
                ]
                self._save(state)
            admitted = next(
                ((source, candidate) for source, candidate, refusals in verdicts if not refusals), None
            )
            if admitted is None:
                nowhere = [
                    refusal(
                        "source", f"{adapter_id} {version}", expected="a source that offers it", actual="none"
                    )
                ]
                raise AdapterRefusedError(adapter_id, version, verdicts[0][2] if verdicts else nowhere)
            source, candidate = admitted
            if candidate.manifest is None:
                raise AssertionError  # admission refuses it
            self._install(
                root,
                source,
                candidate,
                candidate.manifest,
                now=now,
                note="allowed to be older" if allow_rollback else "",
            )
            return self._found(adapter_id, version)

    def activate(
        self, adapter_id: str, version: str, *, now: datetime, note: str = "", allow_rollback: bool = False
    ) -> Switched:
        """Switch to an installed version, having verified it anew; load it into the vLLM server first, when there is one.

        Args:
            adapter_id: As the catalogue names it.
            version: An installed one; the one in use already is left as it is.
            now: Present time, aware.
            note: Kept with the act, e.g. the decision.
            allow_rollback: Let a version pass that was rolled back, or is below the one in use: an operator's word.

        Raises:
            AdapterRefusedError: it breaks a rule by now: hashes, signature, expiry, base model, version.
            AdapterStoreError: it is not installed.
            LoraServerError: the server does not take it; nothing was switched.
        """
        name = folder_name(adapter_id)
        with self._switching() as state, self._open_root() as root:
            state = state.at(now)
            with self._version(root, adapter_id, version) as folder:
                manifest, problems = self._examine(folder)
            with _opened(root, name) as folder:
                before = _current(folder, self.root / name)
                problems += _too_late(manifest, state, before, version, allow_rollback=allow_rollback)
                if problems:
                    raise AdapterRefusedError(adapter_id, version, problems)
                if self._server is not None:
                    self._server.load(
                        served_name(adapter_id, version), (self.root / name / version).resolve()
                    )
                if before != version:
                    memory = state.of(adapter_id)
                    trail = (
                        memory.trail[: memory.trail.index(before) + 1]
                        if before in memory.trail
                        else (() if before is None else (before,))
                    )
                    withdrawn = tuple(each for each in memory.withdrawn if each != version)
                    trail = (*(each for each in trail if each != version), version)
                    state = state.with_adapter(adapter_id, trail=trail, withdrawn=withdrawn)
                    self._save(
                        state.with_act(
                            at=now, act="activated", adapter_id=adapter_id, version=version, note=note
                        )
                    )
                    _point(folder, version)
        return Switched(
            adapter_id=adapter_id, from_version=before, to_version=version, path=self.root / name / version
        )

    def rollback(self, adapter_id: str, *, now: datetime, to: str | None = None, note: str = "") -> Switched:
        """Switch back to the version that was in use before, or `to` another kept one; off when there was none. What is left is not offered again.

        An expired manifest does not stand in the way, a broken hash or a revoked key does.

        Raises:
            AdapterStoreError: the adapter is off already, or `to` is not installed.
            AdapterRefusedError: the version to go back to breaks a rule by now.
            LoraServerError: the server does not take it, and nothing was switched; or it does not let go of the other, and all else is switched.
        """
        name = folder_name(adapter_id)
        with self._switching() as state, self._open_root() as root:
            state, memory = state.at(now), state.of(adapter_id)
            with self._adapter(root, adapter_id) as folder:
                before = _current(folder, self.root / name)
                if before is None:
                    message = f"{adapter_id} is off; there is nothing to roll back"
                    raise AdapterStoreError(message)
                target = _previous(memory, before, _versions(folder)) if to is None else to
            if target == before:
                message = f"{adapter_id} {before} is in use already"
                raise AdapterStoreError(message)
            if target is not None:
                with self._version(root, adapter_id, target) as folder:
                    if problems := self._examine(folder)[1]:
                        raise AdapterRefusedError(adapter_id, target, problems)
                if self._server is not None:
                    self._server.load(served_name(adapter_id, target), (self.root / name / target).resolve())
            left = memory.trail[memory.trail.index(target) + 1 :] if target in memory.trail else ()
            withdrawn = tuple(
                dict.fromkeys((*(each for each in memory.withdrawn if each != target), *left, before))
            )
            trail = memory.trail if target is None or target in memory.trail else (target, *memory.trail)
            act: Act = "rolled back" if target else "switched off"
            state = state.with_adapter(adapter_id, withdrawn=withdrawn, trail=trail)
            self._save(
                state.with_act(
                    at=now,
                    act=act,
                    adapter_id=adapter_id,
                    version=target or before,
                    note=note or f"from {before}",
                )
            )
            with self._adapter(root, adapter_id) as folder:
                if target is None:
                    os.unlink(_CURRENT, dir_fd=folder)
                    os.fsync(folder)
                else:
                    _point(folder, target)
            if self._server is not None:
                self._server.unload(served_name(adapter_id, before))
        return Switched(
            adapter_id=adapter_id,
            from_version=before,
            to_version=target,
            path=self.root / name / target if target else None,
        )

    # How ----------------------------------------------------------------------------------------------------------------

    def _offered(
        self, root: int, state: _State, candidate: Candidate
    ) -> tuple[Offered, AdapterManifest | None]:
        manifest = candidate.manifest
        try:
            signed_by = self._signed_by(candidate)
            known, installed = self._known(root, state, candidate.adapter_id)
            refusals = self._refusals(root, state, candidate)
        except (AdapterStoreError, KeyFileError) as error:
            signed_by, known, installed = None, Known(), []
            rule, expected = (
                ("folder", "a folder as it was left")
                if isinstance(error, AdapterStoreError)
                else ("signature", "trusted keys that can be read")
            )
            refusals = [
                refusal(
                    rule, f"{candidate.adapter_id} {candidate.version}", expected=expected, actual=str(error)
                )
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

    def _refusals(
        self,
        root: int,
        state: _State,
        candidate: Candidate,
        *,
        allow_rollback: bool = False,
        is_staging: bool = False,
    ) -> list[Violation]:
        known, _ = self._known(root, state, candidate.adapter_id)
        if self._settings.adapter_oms_key_path is not None:
            open_verifier(
                self._settings.adapter_oms_key_path
            )  # what cannot be verified here is said before anything is downloaded
        if is_staging:  # installing again what is in use is no update, and no harm
            known = known.model_copy(update={"current": ""})
        return admission(
            candidate,
            inventory=self.inventory,
            known=known,
            signed_by=self._signed_by(candidate),
            now=state.latest_time,
            allow_rollback=allow_rollback,
        )

    @property
    def _keys(self) -> TrustedKeys:
        return TrustedKeys(self._settings.trusted_keys_path)

    def _signed_by(self, candidate: Candidate) -> str | None:
        return (
            self._keys.signed_by(signed_bytes(candidate.manifest), candidate.signature)
            if candidate.manifest
            else None
        )

    def _known(self, root: int, state: _State, adapter_id: str) -> tuple[Known, list[str]]:
        """Return what is remembered of an adapter; what is installed counts as seen, should the memory have been lost."""
        memory = state.of(adapter_id)
        versions: list[str] = []
        current = None
        with suppress(ValueError, FileNotFoundError):
            name = folder_name(adapter_id)
            with _opened(root, name) as folder:
                versions, current = _versions(folder), _current(folder, self.root / name)
        highest, digest = memory.highest, memory.highest_digest
        if versions and (not highest or version_key(versions[0]) > version_key(highest)):
            highest, digest = versions[0], ""
        return Known(
            highest=highest, highest_digest=digest, current=current or "", withdrawn=memory.withdrawn
        ), versions

    def _install(
        self,
        root: int,
        source: Source,
        candidate: Candidate,
        manifest: AdapterManifest,
        *,
        now: datetime,
        note: str,
    ) -> None:
        name, version = folder_name(manifest.adapter_id), manifest.version
        staging = f"{_TEMPORARY[0]}{secrets.token_hex(8)}"
        os.mkdir(staging, 0o755, dir_fd=root)
        try:
            with _opened(root, staging) as folder:
                for file in manifest.files:
                    with _created(folder, file.name) as target:
                        source.fetch(candidate, file, target)
                notes = {MANIFEST: canonical(manifest), SIGNATURE: candidate.signature.strip().encode()} | (
                    {BUNDLE: candidate.bundle} if candidate.bundle else {}
                )
                for file_name, content in notes.items():
                    with _created(folder, file_name) as target:
                        target.write(content)
                if problems := self._contents(folder, manifest):
                    raise AdapterRefusedError(manifest.adapter_id, version, problems)
                os.fsync(folder)
            with self._switching() as state:
                # Before the rename, so that no crash leaves a version on disk whose number is not remembered.
                state = state.at(now).seen(manifest)
                if note:
                    state = state.with_adapter(
                        manifest.adapter_id,
                        withdrawn=tuple(
                            each for each in state.of(manifest.adapter_id).withdrawn if each != version
                        ),
                    )
                self._save(
                    state.with_act(
                        at=now, act="staged", adapter_id=manifest.adapter_id, version=version, note=note
                    )
                )
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=root)
                    os.fsync(root)
                with _opened(root, name) as folder:
                    if version in _versions(folder):
                        self._remove_damaged(root, folder, name, version)
                    os.rename(staging, version, src_dir_fd=root, dst_dir_fd=folder)
                    os.fsync(folder)
                    self._prune(root, folder, name, state.of(manifest.adapter_id), version)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True, dir_fd=root)
            raise

    def _remove_damaged(self, root: int, folder: int, name: str, version: str) -> None:
        if _current(folder, self.root / name) == version:
            message = f"{self.root / name / version} is in use and damaged; roll back first (fl-assets rollback), then stage it again"
            raise AdapterStoreError(message)
        _discard(root, folder, version)

    def _prune(self, root: int, folder: int, name: str, memory: _Memory, fresh: str) -> None:
        versions, current = _versions(folder), _current(folder, self.root / name)
        kept: set[str | None] = {*versions[: self._settings.keep_versions], fresh}
        if current is not None:
            kept |= {current, _previous(memory, current, versions)}
        for version in versions:
            if version not in kept:
                _discard(root, folder, version)

    def _is_whole(self, root: int, name: str, version: str) -> bool:
        try:
            with _opened(root, name) as adapter, _opened(adapter, version) as folder:
                return not self._examine(folder)[1]
        except FileNotFoundError:
            return False

    def _found(self, adapter_id: str, version: str) -> InstalledAdapter:
        return next(one for one in self.installed() if (one.adapter_id, one.version) == (adapter_id, version))

    def _examine(self, folder: int) -> tuple[AdapterManifest | None, list[Violation]]:
        """Return the manifest in a folder, and everything that is wrong with folder and manifest, expiry left out."""
        manifest, found = examine(folder, inventory=self.inventory, keys=self._keys)
        return manifest, found + (self._bundle_problems(folder, manifest) if manifest else [])

    def _contents(self, folder: int, manifest: AdapterManifest) -> list[Violation]:
        return check_contents(folder, manifest, self.inventory) or self._bundle_problems(folder, manifest)

    def _bundle_problems(self, folder: int, manifest: AdapterManifest) -> list[Violation]:
        """Return what a model-signing bundle leaves to be desired; nothing when none is asked for."""
        key = self._settings.adapter_oms_key_path
        if key is None:
            return []
        verify = open_verifier(key)
        try:
            with _read_only(folder, BUNDLE) as file:
                bundle = file.read(BUNDLE_BYTES)
            # By path, since the library takes no descriptor: what it hashes there must be what the manifest names, so a swapped folder gains nothing.
            actual = verify(
                Path(f"/proc/self/fd/{folder}").resolve(),
                {file.name: file.sha256 for file in manifest.files},
                bundle,
            )
        except (OSError, ValueError) as error:
            actual = str(getattr(error, "strerror", None) or error)
        subject, expected = (
            f"{manifest.adapter_id} {manifest.version}",
            f"a model-signing bundle {BUNDLE} by {key.name} over its two files",
        )
        return [refusal("model_signature", subject, expected=expected, actual=actual)] if actual else []

    @contextmanager
    def _open_root(self) -> Generator[int]:
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.root, _FOLDER)
        except OSError as error:
            message = f"{self.root} must be a folder and no link: {error.strerror}"
            raise AdapterStoreError(message) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _adapter(self, root: int, adapter_id: str) -> Generator[int]:
        try:
            opened = _opened(root, folder_name(adapter_id))
            with opened as folder:
                yield folder
        except FileNotFoundError as error:
            message = f"{adapter_id} is not installed below {self.root}"
            raise AdapterStoreError(message) from error

    @contextmanager
    def _version(self, root: int, adapter_id: str, version: str) -> Generator[int]:
        version_key(version)
        with self._adapter(root, adapter_id) as adapter:
            if version not in _versions(adapter):
                message = f"{adapter_id} {version} is not installed below {self.root}; installed are {', '.join(_versions(adapter)) or 'none'}"
                raise AdapterStoreError(message)
            with _opened(adapter, version) as folder:
                yield folder

    @contextmanager
    def _installing(self) -> Generator[None]:
        with self._locked("adapter-install.lock"):
            with (
                self._open_root() as root
            ):  # no one else installs now, so what lies there was left by a crash
                for leftover in [entry for entry in _names(root) if entry.startswith(_TEMPORARY)]:
                    shutil.rmtree(leftover, dir_fd=root)
            yield

    @contextmanager
    def _switching(self) -> Generator[_State]:
        with self._locked("adapter-switch.lock"):
            yield self._load()

    @contextmanager
    def _locked(self, name: str) -> Generator[None]:
        folder = self._settings.data_path
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _load(self) -> _State:
        try:
            return _State.model_validate_json(self._state_path.read_bytes())
        except FileNotFoundError:
            return _State()
        except ValidationError as error:
            message = f"{self._state_path} cannot be read; restore it, or remove it to remember only what is installed"
            raise AdapterStoreError(message) from error

    def _save(self, state: _State) -> None:
        content = state.model_dump_json(indent=1).encode()
        if self._state_path.exists() and self._state_path.read_bytes() == content:
            return
        folder = os.open(self._state_path.parent, _FOLDER & ~os.O_NOFOLLOW)
        try:
            new = f".{self._state_path.name}.new"
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)
            with _created(folder, new) as target:
                target.write(content)
            os.rename(new, self._state_path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)


# Folders and files by descriptor ------------------------------------------------------------------------------------------


@contextmanager
def _opened(parent: int, name: str) -> Generator[int]:
    """Open a folder inside an open folder; a link in its place is an error."""
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):  # what systems say of a link
            raise
        message = f"{name} in the folder of adapters is a link or a file; must be a folder"
        raise AdapterStoreError(message) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _created(folder: int, name: str) -> Generator[BinaryIO]:
    """Create a file that must not exist, and have it reach the disk once it is written."""
    descriptor = os.open(
        name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
    )
    with os.fdopen(descriptor, "w+b") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _read_only(folder: int, name: str) -> Generator[BufferedReader]:
    """Open a plain file of one name for reading.

    Raises:
        OSError: it is not there, or a link.
        ValueError: it is no plain file of a single name.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            message = f"{name} is no plain file of a single name"
            raise ValueError(message)
        yield file


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _versions(folder: int) -> list[str]:
    """Return the versions in an adapter's folder, newest first."""
    found = []
    for name in _names(folder):
        with suppress(ValueError):
            found.append((version_key(name), name))
    return [name for _, name in sorted(found, reverse=True)]


def _current(folder: int, shown: Path) -> str | None:
    try:
        target = os.readlink(_CURRENT, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{shown / _CURRENT} must be a link to a version: {error.strerror}"
        raise AdapterStoreError(message) from error
    if target not in _versions(folder):
        message = f"{shown / _CURRENT} leads to {target!r}, which is no installed version; remove it"
        raise AdapterStoreError(message)
    return target


def _point(folder: int, version: str) -> None:
    """Let `current` be a version, in one step."""
    with suppress(FileNotFoundError):
        os.unlink(_NEW_LINK, dir_fd=folder)
    os.symlink(version, _NEW_LINK, dir_fd=folder)
    os.rename(_NEW_LINK, _CURRENT, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _discard(root: int, folder: int, version: str) -> None:
    """Remove a version: out of sight by one rename, then file by file."""
    trash = f"{_TEMPORARY[1]}{secrets.token_hex(8)}"
    os.rename(version, trash, src_dir_fd=folder, dst_dir_fd=root)
    shutil.rmtree(trash, dir_fd=root)


def _previous(memory: _Memory, current: str, installed: Iterable[str]) -> str | None:
    """Return the version in use before `current`: installed, and not rolled back itself."""
    earlier = memory.trail[: memory.trail.index(current)] if current in memory.trail else memory.trail
    there = set(installed) - set(memory.withdrawn) - {current}
    return next((version for version in reversed(earlier) if version in there), None)


def _too_late(
    manifest: AdapterManifest | None,
    state: _State,
    current: str | None,
    version: str,
    *,
    allow_rollback: bool,
) -> list[Violation]:
    """Return what has come between installing a version and switching to it."""
    if manifest is None:
        return []
    found, subject, today = [], f"{manifest.adapter_id} {manifest.version}", state.latest_time.date()
    if today >= manifest.expires:
        found.append(
            refusal(
                "not_expired",
                subject,
                expected=f"a manifest that holds on {today}",
                actual=f"one that expired on {manifest.expires}",
            )
        )
    if manifest.version != version:
        found.append(
            refusal(
                "manifest",
                subject,
                expected=f"the manifest of {version}",
                actual=f"that of {manifest.version}",
            )
        )
    if allow_rollback:
        return found
    if current is not None and version_key(version) < version_key(current):
        found.append(
            refusal(
                "version_increases", subject, expected=f"at least {current}, which is in use", actual=version
            )
        )
    if version in state.of(manifest.adapter_id).withdrawn:
        found.append(
            refusal("not_withdrawn", subject, expected="a version that was not rolled back", actual=version)
        )
    return found


def _stored_manifest(folder: int, version: str) -> AdapterManifest | None:
    with (
        suppress(OSError, ValueError, AdapterStoreError),
        _opened(folder, version) as inside,
        _read_only(inside, MANIFEST) as file,
    ):
        return parse_manifest(file.read(MANIFEST_BYTES + 2))
    return None


def _stored_signature(folder: int) -> str:
    with suppress(OSError, ValueError), _read_only(folder, SIGNATURE) as file:
        return file.read(SIGNATURE_BYTES).decode("ascii", "replace")
    return ""


# Looking inside -----------------------------------------------------------------------------------------------------------


def examine(
    folder: int, *, inventory: Inventory, keys: TrustedKeys
) -> tuple[AdapterManifest | None, list[Violation]]:
    """Return the manifest in an open folder, and everything that is wrong with the folder, expiry left out."""
    try:
        with _read_only(folder, MANIFEST) as file:
            manifest = parse_manifest(file.read(MANIFEST_BYTES + 2))
    except (OSError, ValueError) as error:
        return None, [
            refusal(
                "manifest",
                "the folder",
                expected=f"a canonical {MANIFEST}",
                actual=str(error) or type(error).__name__,
            )
        ]
    subject = f"{manifest.adapter_id} {manifest.version}"
    found = []
    signature = _stored_signature(folder)
    if inventory.require_signature and keys.signed_by(signed_bytes(manifest), signature) is None:
        found.append(
            refusal(
                "signature",
                subject,
                expected="a signature by a trusted key",
                actual="one by no trusted key" if signature else "none",
            )
        )
    for rule, own, nodes in (
        ("base_model", manifest.base_model, inventory.base_model),
        ("base_revision", manifest.base_revision, inventory.base_revision),
    ):
        if own != nodes:
            found.append(refusal(rule, subject, expected=f"{nodes!r}", actual=f"{own!r}"))
    strange = sorted(set(_names(folder)) - {*FILES, MANIFEST, SIGNATURE, BUNDLE})
    if strange:
        found.append(
            refusal(
                "file_names",
                subject,
                expected=f"{', '.join((*FILES, MANIFEST, SIGNATURE))} alone",
                actual=f"also {strange[0][:80]!r}",
            )
        )
    return manifest, [*found, *check_contents(folder, manifest, inventory)]


def check_contents(folder: int, manifest: AdapterManifest, inventory: Inventory) -> list[Violation]:
    """Return what is wrong with the two files of an adapter: hashes first, and only when they agree what is inside."""
    found = []
    for file in manifest.files:
        try:
            with _read_only(folder, file.name) as opened:
                size, digest = (
                    os.fstat(opened.fileno()).st_size,
                    hashlib.file_digest(opened, "sha256").hexdigest(),
                )
        except (OSError, ValueError) as error:
            found.append(
                refusal(
                    "checksum",
                    file.name,
                    expected="a plain file",
                    actual=str(getattr(error, "strerror", None) or error),
                )
            )
            continue
        if (size, digest) != (file.size, file.sha256):
            found.append(
                refusal(
                    "checksum",
                    file.name,
                    expected=f"{file.size} bytes with SHA-256 {file.sha256}",
                    actual=f"{size} with {digest}",
                )
            )
    if found:
        return found
    with _read_only(folder, CONFIG) as opened:
        config, found = check_config(opened.read(CONFIG_BYTES), manifest, inventory)
    with _read_only(folder, WEIGHTS) as opened:
        length = opened.read(8)
        announced = header_length(length, manifest.file(WEIGHTS).size)
        if not announced:
            actual = f"{int.from_bytes(length, 'little')} bytes announced"
            return [
                *found,
                refusal(
                    "tensor_header", WEIGHTS, expected="a header of up to 8 MB inside the file", actual=actual
                ),
            ]
        tensors, problems = read_header(length, opened.read(announced), manifest.file(WEIGHTS).size)
        found += problems
        if problems:
            return found
        found += check_tensors(tensors, config) if config else []
        for tensor in tensors:
            opened.seek(tensor.start)
            left, bad = tensor.end - tensor.start, 0
            while left:
                chunk = opened.read(min(_CHUNK, left))
                bad, left = bad + count_not_finite(tensor.dtype, chunk), left - len(chunk)
            if bad:
                found.append(
                    refusal(
                        "finite_values",
                        WEIGHTS,
                        expected="finite values",
                        actual=f"{bad} NaN or infinite in {tensor.name[:120]}",
                    )
                )
                break
    return found


def seal(folder: Path, key: Ed25519PrivateKey, inventory: Inventory, **fields: Any) -> AdapterManifest:
    """Write manifest and signature into a folder that holds the two files of an adapter.

    Args:
        folder: Holds config and weights.
        key: Signs.
        inventory: What the adapter must fit; what nodes would refuse is not signed.
        fields: Of `AdapterManifest`, without `files`.

    Raises:
        AdapterRefusedError: the files break a rule.
        ManifestError: a field does.
    """
    descriptor = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
    try:
        files = []
        for name in FILES:
            with _read_only(descriptor, name) as file:
                files.append(
                    AdapterFile(
                        name=name,
                        size=os.fstat(file.fileno()).st_size,
                        sha256=hashlib.file_digest(file, "sha256").hexdigest(),
                    )
                )
        manifest = parse_manifest(canonical(AdapterManifest(**fields, files=tuple(files))))
        if problems := check_contents(descriptor, manifest, inventory):
            raise AdapterRefusedError(manifest.adapter_id, manifest.version, problems)
        for name, content in (
            (MANIFEST, canonical(manifest)),
            (SIGNATURE, sign(key, signed_bytes(manifest)).encode()),
        ):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
            with _created(descriptor, name) as target:
                target.write(content + b"\n")
    finally:
        os.close(descriptor)
    return manifest


__all__ = [
    "AdapterRefusedError",
    "AdapterStore",
    "AdapterStoreError",
    "FetchError",
    "InstalledAdapter",
    "ManifestError",
    "Switched",
    "check_contents",
    "examine",
    "seal",
]
