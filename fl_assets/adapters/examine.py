"""Checking a folder with an adapter against every rule.

What goes here: reading files within bounds, keys and bundles. What does not: the rules of the files' content
(`weights.py`).
"""

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from fl_assets.adapters.admission import Candidate, Inventory, Known, admission, broken_rule
from fl_assets.adapters.folder import names_in, read_only, stored_signature
from fl_assets.adapters.manifest import (
    BUNDLE,
    BUNDLE_BYTES,
    CONFIG,
    CONFIG_BYTES,
    FILES,
    MANIFEST,
    MANIFEST_BYTES,
    SIGNATURE,
    WEIGHTS,
    AdapterFile,
    AdapterManifest,
    manifest_to_sign,
    parse_manifest,
)
from fl_assets.adapters.model_bundles import open_verifier
from fl_assets.adapters.weights import (
    LoraConfig,
    Tensor,
    check_config,
    check_tensors,
    count_not_finite,
    header_length,
    read_header,
)
from fl_assets.core.models import Record, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.keys import TrustedKeys

_CHUNK = 4 * 1024 * 1024


class FolderVerdict(Record):
    """The adapter in a folder, and every rule that it breaks."""

    path: Path
    adapter_id: str = ""
    version: str = ""
    signed_by: str | None = None
    expires: str = ""
    problems: tuple[Violation, ...] = ()


class Examiner:
    """Checks adapters with the settings' limits, trusted keys and bundle key."""

    def __init__(self, settings: FederatedLearningConfig) -> None:
        self._settings = settings

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

    @property
    def keys(self) -> TrustedKeys:
        """The present trusted keys."""
        return TrustedKeys(self._settings.trusted_keys_path)

    def signed_by(self, candidate: Candidate) -> str | None:
        """Return the trusted key that signed a candidate's manifest, None for none."""
        if candidate.manifest is None:
            return None
        return self.keys.signed_by(manifest_to_sign(candidate.manifest), candidate.signature)

    def admission(
        self,
        candidate: Candidate,
        known: Known,
        *,
        now: datetime,
        allow_rollback: bool = False,
        is_staging: bool = False,
    ) -> list[Violation]:
        """Return every rule that a candidate breaks before anything of it is downloaded."""
        if is_staging:  # the version in use may be installed again
            known = known.model_copy(update={"current": ""})
        if self._settings.adapter_oms_key_path is not None:
            open_verifier(self._settings.adapter_oms_key_path)  # fails early when it cannot verify
        return admission(
            candidate,
            inventory=self.inventory,
            known=known,
            signed_by=self.signed_by(candidate),
            now=now,
            allow_rollback=allow_rollback,
        )

    def examine(self, folder: int) -> tuple[AdapterManifest | None, list[Violation]]:
        """Return the manifest in an open folder, and every rule but expiry that the folder breaks."""
        manifest, found = examine(folder, inventory=self.inventory, keys=self.keys)
        return manifest, found + (self._bundle_problems(folder, manifest) if manifest else [])

    def contents(self, folder: int, manifest: AdapterManifest) -> list[Violation]:
        """Return what is wrong with an adapter's files, or else with its bundle, if one is required."""
        return check_contents(folder, manifest, self.inventory) or self._bundle_problems(folder, manifest)

    def _bundle_problems(self, folder: int, manifest: AdapterManifest) -> list[Violation]:
        """Return what is wrong with the model-signing bundle; nothing when none is required."""
        key = self._settings.adapter_oms_key_path
        if key is None:
            return []
        verify = open_verifier(key)
        try:
            with read_only(folder, BUNDLE) as file:
                bundle = file.read(BUNDLE_BYTES)
            # The library needs a path. A swapped folder gains nothing: hashes must be those of the manifest.
            hashes: dict[str, str] = {file.name: file.sha256 for file in manifest.files}
            actual = verify(Path(f"/proc/self/fd/{folder}").resolve(), hashes, bundle)
        except (OSError, ValueError) as error:
            actual = str(getattr(error, "strerror", None) or error)
        subject = f"{manifest.adapter_id} {manifest.version}"
        expected = f"a model-signing bundle {BUNDLE} by {key.name} over its two files"
        return [broken_rule("model_signature", subject, expected, actual)] if actual else []


def examine(
    folder: int, *, inventory: Inventory, keys: TrustedKeys
) -> tuple[AdapterManifest | None, list[Violation]]:
    """Return the manifest in an open folder, and every rule but expiry and bundle that it breaks."""
    try:
        with read_only(folder, MANIFEST) as file:
            manifest = parse_manifest(file.read(MANIFEST_BYTES + 2))
    except (OSError, ValueError) as error:
        actual = str(error) or type(error).__name__
        return None, [broken_rule("manifest", "the folder", f"a canonical {MANIFEST}", actual)]
    found = [*_not_for_nodes(folder, manifest, inventory, keys), *check_contents(folder, manifest, inventory)]
    return manifest, found


def _not_for_nodes(
    folder: int, manifest: AdapterManifest, inventory: Inventory, keys: TrustedKeys
) -> Iterator[Violation]:
    """Yield what is wrong with signature, base model and names of files."""
    subject, signature = f"{manifest.adapter_id} {manifest.version}", stored_signature(folder)
    if inventory.require_signature and keys.signed_by(manifest_to_sign(manifest), signature) is None:
        actual = "one by no trusted key" if signature else "none"
        yield broken_rule("signature", subject, "a signature by a trusted key", actual)
    for rule in ("base_model", "base_revision"):
        own, nodes = getattr(manifest, rule), getattr(inventory, rule)
        if own != nodes:
            yield broken_rule(rule, subject, f"{nodes!r}", f"{own!r}")
    if strange := sorted(set(names_in(folder)) - {*FILES, MANIFEST, SIGNATURE, BUNDLE}):
        expected = f"{', '.join((*FILES, MANIFEST, SIGNATURE))} alone"
        yield broken_rule("file_names", subject, expected, f"also {strange[0][:80]!r}")


def check_contents(folder: int, manifest: AdapterManifest, inventory: Inventory) -> list[Violation]:
    """Return what is wrong with the two files of an adapter: their hashes, or else their content."""
    if found := [problem for file in manifest.files if (problem := _wrong_file(folder, file))]:
        return found
    with read_only(folder, CONFIG) as opened:
        config, found = check_config(opened.read(CONFIG_BYTES), manifest, inventory)
    with read_only(folder, WEIGHTS) as opened:
        return [*found, *_wrong_weights(opened, manifest.file(WEIGHTS).size, config)]


def _wrong_file(folder: int, file: AdapterFile) -> Violation | None:
    """Return how a file differs from the manifest; one of another size is not read: it may be a terabyte."""
    try:
        with read_only(folder, file.name) as opened:
            size = os.fstat(opened.fileno()).st_size
            digest = hashlib.file_digest(opened, "sha256").hexdigest() if size == file.size else ""
    except (OSError, ValueError) as error:
        actual = str(getattr(error, "strerror", None) or error)
        return broken_rule("checksum", file.name, "a plain file", actual)
    if (size, digest) == (file.size, file.sha256):
        return None
    expected, more = f"{file.size} bytes with SHA-256 {file.sha256}", f" with {digest}" if digest else ""
    return broken_rule("checksum", file.name, expected, f"{size} bytes{more}")


def _wrong_weights(opened: BinaryIO, size: int, config: LoraConfig | None) -> list[Violation]:
    length = opened.read(8)
    announced = header_length(length, size)
    if not announced:
        actual = f"{int.from_bytes(length, 'little')} bytes announced"
        return [broken_rule("tensor_header", WEIGHTS, "a header of up to 8 MB inside the file", actual)]
    tensors, found = read_header(length, opened.read(announced), size)
    if found:
        return found
    found = check_tensors(tensors, config) if config else []
    for tensor in tensors:
        if bad := _not_finite(opened, tensor):
            actual = f"{bad} NaN or infinite in {tensor.name[:120]}"
            return [*found, broken_rule("finite_values", WEIGHTS, "finite values", actual)]
    return found


def _not_finite(opened: BinaryIO, tensor: Tensor) -> int:
    opened.seek(tensor.start)
    left, bad = tensor.end - tensor.start, 0
    while left and (chunk := opened.read(min(_CHUNK, left))):
        bad, left = bad + count_not_finite(tensor.dtype, chunk), left - len(chunk)
    return bad
