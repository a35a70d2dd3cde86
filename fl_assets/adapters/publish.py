"""Signing an adapter, for its makers."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_assets.adapters.admission import AdapterRefusedError, Inventory
from fl_assets.adapters.examine import check_contents
from fl_assets.adapters.folder import FOLDER_FLAGS, read_only
from fl_assets.adapters.manifest import (
    FILES,
    MANIFEST,
    SIGNATURE,
    AdapterFile,
    AdapterManifest,
    manifest_to_sign,
    parse_manifest,
)
from fl_assets.infra.disk import new_file
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import sign


def seal(folder: Path, key: Ed25519PrivateKey, inventory: Inventory, **fields: Any) -> AdapterManifest:
    """Write manifest and signature into a folder that holds the two files of an adapter.

    `fields` are those of `AdapterManifest` other than `files`. An adapter that nodes would refuse is not
    signed.

    Raises:
        AdapterRefusedError: the files break a rule.
        ManifestError: a field does.
    """
    descriptor = os.open(folder, FOLDER_FLAGS & ~os.O_NOFOLLOW)
    try:
        files = []
        for name in FILES:
            with read_only(descriptor, name) as file:
                files.append(
                    AdapterFile(
                        name=name,
                        size=os.fstat(file.fileno()).st_size,
                        sha256=hashlib.file_digest(file, "sha256").hexdigest(),
                    )
                )
        manifest = parse_manifest(canonical_record(AdapterManifest(**fields, files=tuple(files))))
        if problems := check_contents(descriptor, manifest, inventory):
            raise AdapterRefusedError(manifest.adapter_id, manifest.version, problems)
        for name, content in (
            (MANIFEST, canonical_record(manifest)),
            (SIGNATURE, sign(key, manifest_to_sign(manifest)).encode()),
        ):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
            with new_file(name, folder=descriptor, mode=0o644) as target:
                target.write(content + b"\n")
    finally:
        os.close(descriptor)
    return manifest
