"""Ed25519: key files, signing, and checking signatures.

What goes here: signatures over bytes. What does not: what the bytes mean; each kind of document begins them
with a line of its own, so that a signature of one never fits another (`manifest_to_sign` in
`adapters/manifest.py`).

A trusted key is a file `<name>.pem` in the folder of trusted keys; removing the file revokes the key.
"""

import base64
import binascii
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from fl_assets.infra.disk import new_file, sync_folder

_KEY_BYTES, _SECRET_BYTES = 16_384, 32


class KeyFileError(ValueError):
    """A key file that cannot be used; the text names file and rule, never its content."""


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file (PKCS8, not encrypted) that its owner alone can read.

    Raises:
        KeyFileError: it cannot be read, others can read it too, or it is no Ed25519 key.
    """
    content = _read(path, private=True)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} is no unencrypted PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(
            f"{path} holds a key of another kind; must be Ed25519 (openssl genpkey -algorithm ed25519)"
        )
    return key


def make_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key at a path, which is created with mode 600 where there is none.

    Raises:
        KeyFileError: as `load_private_key`.
    """
    if not path.exists():
        content = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        _first(path, content)
    return load_private_key(path)


def make_secret(path: Path, *, is_private: bool = True) -> bytes:
    """Return the 32 random bytes at a path, which is created with mode 600 where there is none.

    With `is_private` off, for a key that people copy between machines, others may read it.

    Raises:
        KeyFileError: it cannot be read, others can read it too, or it holds fewer bytes.
    """
    if not path.exists():
        _first(path, secrets.token_bytes(_SECRET_BYTES))
    content = _read(path, private=is_private)
    if is_private and len(content) < _SECRET_BYTES:
        raise KeyFileError(
            f"{path} holds {len(content)} bytes; must be {_SECRET_BYTES} random ones (remove it: "
            "another is made)"
        )
    return content


def _first(path: Path, content: bytes) -> None:
    """Create a private file; of several processes the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with new_file(temporary, mode=0o600) as file:
        file.write(content)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_folder(path.parent)


def sign(key: Ed25519PrivateKey, message: bytes) -> str:
    """Return the signature over a message, in base64."""
    return base64.b64encode(key.sign(message)).decode("ascii")


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public half of a key as the PEM file that a folder of trusted keys takes."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class TrustedKeys:
    """The public keys in one folder, by file name."""

    def __init__(self, folder: Path | None) -> None:
        """Read every `*.pem` of the folder; without a folder no key is trusted.

        Raises:
            KeyFileError: one of them is no Ed25519 public key.
        """
        self._keys: dict[str, Ed25519PublicKey] = {}
        for path in sorted(folder.glob("*.pem")) if folder else []:
            try:
                key = load_pem_public_key(_read(path))
            except (ValueError, UnsupportedAlgorithm) as error:
                raise KeyFileError(f"{path} is no PEM public key") from error
            if not isinstance(key, Ed25519PublicKey):
                raise KeyFileError(f"{path} holds a key of another kind; must be an Ed25519 public key")
            self._keys[path.stem] = key

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys."""
        return tuple(self._keys)

    def signed_by(self, message: bytes, signature: str, *, first: str = "") -> str | None:
        """Return the trusted key that signed a message, trying `first` first; None when none did."""
        try:
            raw = base64.b64decode(signature.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        for name, key in sorted(self._keys.items(), key=lambda item: item[0] != first):
            try:
                key.verify(raw, message)
            except InvalidSignature:
                continue
            return name
        return None


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if private and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(f"{path} can be read by others; must be its owner's alone (chmod 600)")
            return file.read(_KEY_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
