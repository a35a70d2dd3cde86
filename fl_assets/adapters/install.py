"""Installing a version of an adapter: written to a staging folder, checked, synced, renamed.

What goes here: the steps of an installation, and removing old versions. What does not: what is admitted
(`admission.py`), switching (`store.py`).
"""

import os
import secrets
import shutil
from contextlib import suppress
from datetime import datetime

from fl_assets.adapters.admission import AdapterRefusedError, Candidate
from fl_assets.adapters.examine import Examiner
from fl_assets.adapters.folder import (
    TEMPORARY,
    AdapterFolder,
    AdapterStoreError,
    current_version,
    discard,
    opened,
    versions_in,
)
from fl_assets.adapters.hub import OfferSource
from fl_assets.adapters.manifest import BUNDLE, MANIFEST, SIGNATURE, AdapterManifest, folder_name
from fl_assets.adapters.memory import MemoryFile, VersionMemory, previous_version
from fl_assets.infra.disk import new_file
from fl_assets.infra.json_text import canonical_record


class Installer:
    """Installs versions, and keeps the newest `keep`."""

    def __init__(self, folder: AdapterFolder, memory: MemoryFile, examiner: Examiner, *, keep: int) -> None:
        self._folder, self._memory, self._examiner, self._keep = folder, memory, examiner, keep

    def install(
        self, root: int, source: OfferSource, candidate: Candidate, *, now: datetime, note: str
    ) -> None:
        """Fetch, check and install an admitted candidate; a failure leaves nothing behind.

        With a `note` for the audit log, a version that was rolled back is offered again.

        Raises:
            AdapterRefusedError: its files break a rule.
            FetchError: they could not be fetched completely.
            AdapterStoreError: this version is in use and damaged.
        """
        manifest = candidate.manifest
        if manifest is None:
            raise AssertionError  # admission refuses it
        adapter_id, version = manifest.adapter_id, manifest.version
        staging = f"{TEMPORARY[0]}{secrets.token_hex(8)}"
        os.mkdir(staging, 0o755, dir_fd=root)
        try:
            with opened(root, staging) as folder:
                _fetch(folder, source, candidate, manifest)
                if problems := self._examiner.contents(folder, manifest):
                    raise AdapterRefusedError(adapter_id, version, problems)
                os.fsync(folder)
            with self._folder.switching():
                # Saved before the rename, so that a crash leaves no version whose number is not known.
                state = self._memory.load().at(now).seen(manifest)
                if note:
                    state = state.offered_again(adapter_id, version)
                self._memory.save(state.with_act(now, "staged", adapter_id, version, note))
                self._place(root, staging, folder_name(adapter_id), version, state.of(adapter_id))
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True, dir_fd=root)
            raise

    def _place(self, root: int, staging: str, name: str, version: str, memory: VersionMemory) -> None:
        """Rename a staged version into its adapter's folder, and remove old ones there."""
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=root)
            os.fsync(root)
        with opened(root, name) as folder:
            if version in versions_in(folder):
                self._remove_damaged(root, folder, name, version)
            os.rename(staging, version, src_dir_fd=root, dst_dir_fd=folder)
            os.fsync(folder)
            self._prune(root, folder, name, memory, version)

    def _remove_damaged(self, root: int, folder: int, name: str, version: str) -> None:
        if current_version(folder, self._folder.root / name) == version:
            raise AdapterStoreError(
                f"{self._folder.root / name / version} is in use and damaged; roll back first "
                "(fl-assets rollback), then stage it again"
            )
        discard(root, folder, version)

    def _prune(self, root: int, folder: int, name: str, memory: VersionMemory, fresh: str) -> None:
        versions, current = versions_in(folder), current_version(folder, self._folder.root / name)
        kept: set[str | None] = {*versions[: self._keep], fresh}
        if current is not None:
            kept |= {current, previous_version(memory, current, versions)}
        for version in versions:
            if version not in kept:
                discard(root, folder, version)


def _fetch(folder: int, source: OfferSource, candidate: Candidate, manifest: AdapterManifest) -> None:
    """Write the files of a candidate, its manifest and its signatures into an open folder."""
    for file in manifest.files:
        with new_file(file.name, folder=folder, mode=0o644) as target:
            source.fetch(candidate, file, target)
    extras = {MANIFEST: canonical_record(manifest), SIGNATURE: candidate.signature.strip().encode()}
    extras |= {BUNDLE: candidate.bundle} if candidate.bundle else {}
    for name, content in extras.items():
        with new_file(name, folder=folder, mode=0o644) as target:
            target.write(content)
