"""OpenSSF model-signing bundles: a second, optional verifier beside the signed manifest.

What goes here: asking the `model_signing` library (extra `oms`) whether a key signed the files of an adapter.
What does not: our own manifest and keys, the rule that requires a bundle (`admission.py`).

A bundle signs a list of file hashes, and may exclude paths. Here nothing may be excluded, and the hashes must
be those of our manifest: otherwise one signature could be over the weights that are checked and the other
over those that are served.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fl_assets.infra.keys import KeyFileError

BundleVerifier = Callable[[Path, Mapping[str, str], bytes], str]
"""From a folder, the SHA-256 of each file that must be signed, and the bundle, to what is wrong or ''."""


def open_verifier(key: Path) -> BundleVerifier:
    """Return a verifier of bundles by a public key (PEM, curve P-256, P-384 or P-521).

    Raises:
        KeyFileError: the library is not installed, or the file is no such key.
    """
    hashing, verifying = _library(key)

    def problem(folder: Path, hashes: Mapping[str, str], bundle: bytes) -> str:
        with tempfile.NamedTemporaryFile(prefix="fl-assets-", suffix=".sig") as file:
            file.write(bundle)
            file.flush()
            names = {path.name for path in folder.iterdir()}
            config = (
                verifying.Config()
                .use_elliptic_key_verifier(public_key=key)
                .set_hashing_config(_hashes_of_all(hashing, hashes, names))
            )
            try:
                config.verify(folder, Path(file.name))
            except Exception as error:  # whatever the library raises, the files are not verified
                return str(error)[:200] or type(error).__name__
        return ""

    return problem


def _library(key: Path) -> tuple[Any, Any]:
    """Return the two modules of `model_signing`, which is known to take the key."""
    try:
        from model_signing import hashing, verifying  # ty: ignore[import-not-found] - of the extra [oms]
    except ImportError as error:
        raise KeyFileError(
            f"{key} is set as the key of model-signing bundles, but model-signing cannot be "
            f"imported ({error}); install fl-assets[oms], or unset it"
        ) from error
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=key)
    except OSError as error:
        raise KeyFileError(f"{key} cannot be read: {error.strerror}") from error
    except Exception as error:  # the library raises several kinds: no PEM, another kind of key or curve
        raise KeyFileError(
            f"{key} is no public key of curve P-256, P-384 or P-521 in PEM, as model-signing needs"
        ) from error
    return hashing, verifying


def _hashes_of_all(hashing: Any, wanted: Mapping[str, str], names: set[str]) -> Any:
    """Return a configuration that hashes exactly the wanted files, whatever a bundle excludes."""

    class Whole(hashing.Config):
        def add_ignored_paths(self, **_: Any) -> None:
            """Exclude nothing."""

        def hash(self, model_path: Any, **given: Any) -> Any:
            found = super().hash(model_path, **given)
            hashes = {one.identifier: one.digest.digest_hex for one in found.resource_descriptors()}
            if hashes != dict(wanted):
                raise ValueError("the files are not those of the manifest")
            return found

    config = Whole()
    config.set_ignored_paths(paths=sorted(names - set(wanted)))
    return config
