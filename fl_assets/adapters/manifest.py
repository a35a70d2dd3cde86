"""The signed manifest of one version of an adapter.

What goes here: its fields and bounds, its canonical form, names and version numbers. What does not: what is
admitted (`admission.py`), the content of its files (`weights.py`), keys (`infra/keys.py`).

The manifest names repository, commit, version, base model, expiry and the hash of every file, so that no part
of a signed version can be swapped, replayed or mixed with another's (threats after Samuel et al., "Survivable
Key Compromise in Software Update Systems", CCS 2010, which The Update Framework follows).
"""

import hashlib
import re
from datetime import date
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from fl_assets.core.models import Record
from fl_assets.infra.json_text import canonical_record

MANIFEST, SIGNATURE, BUNDLE = "fl-adapter.json", "fl-adapter.json.sig", "model.sig"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FILES = (CONFIG, WEIGHTS)
"""The only files that are downloaded."""
MANIFEST_BYTES, SIGNATURE_BYTES, BUNDLE_BYTES, CONFIG_BYTES = 65_536, 1_024, 65_536, 65_536
HEADER_BYTES = 8 * 1024 * 1024
"""Most bytes that are read of each, whatever a server says."""

_ID = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
VERSION = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){0,2}")

COMMIT = re.compile(r"[0-9a-f]{40}")


class ManifestError(ValueError):
    """Bytes that are no manifest; the text names the rule."""


class AdapterFile(Record):
    """One file of an adapter."""

    name: Literal["adapter_config.json", "adapter_model.safetensors"]
    size: int = Field(ge=1, le=2**40)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class AdapterManifest(Record):
    """The signed description of one version of an adapter."""

    format: Literal[1] = 1
    adapter_id: str
    """`name` or `org/name`; for a Hub repository its id."""
    version: str
    """One to three numbers with dots."""
    revision: str = Field("", pattern=r"^([0-9a-f]{40})?$")
    """Commit that holds the files; '' where they do not come from a repository."""
    base_model: str = Field(min_length=1, max_length=200)
    base_revision: str = Field(min_length=1, max_length=200)
    expires: date
    """First day (UTC) on which it is no longer installed or switched to."""
    skills: tuple[str, ...] = Field((), max_length=20)
    """What it is trained for, e.g. tool_calling."""
    description: str = Field("", max_length=500)
    files: tuple[AdapterFile, ...] = Field(min_length=2, max_length=2)

    @field_validator("adapter_id")
    @classmethod
    def _id_is_plain(cls, value: str) -> str:
        if problem := name_problem(value):
            raise ValueError(problem)
        return value

    @field_validator("version")
    @classmethod
    def _version_is_numbers(cls, value: str) -> str:
        version_key(value)
        return value

    @field_validator("skills")
    @classmethod
    def _skills_are_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [skill for skill in value if re.fullmatch(r"[a-z][a-z0-9_]{0,63}", skill) is None]:
            raise ValueError(f"skill {bad[0]!r} must be a lower-case word")
        return value

    @field_validator("files")
    @classmethod
    def _files_are_the_two(cls, value: tuple[AdapterFile, ...]) -> tuple[AdapterFile, ...]:
        if tuple(file.name for file in value) != FILES:
            raise ValueError(f"must be {' and '.join(FILES)}, in this order")
        return value

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return hashlib.sha256(canonical_record(self)).hexdigest()

    def file(self, name: str) -> AdapterFile:
        """Return the file of that name."""
        return next(file for file in self.files if file.name == name)


def manifest_to_sign(manifest: AdapterManifest) -> bytes:
    """Return the bytes that are signed: a line that names the kind of document, and the canonical form."""
    return b"fl-assets adapter manifest 1\n" + canonical_record(manifest)


def parse_manifest(content: bytes) -> AdapterManifest:
    """Return the manifest in these bytes.

    Raises:
        ManifestError: they are none, exceed a bound, or are not in canonical form (but for a final newline).
    """
    content = content.removesuffix(b"\n")
    if len(content) > MANIFEST_BYTES:
        raise ManifestError(f"has {len(content)} bytes, more than {MANIFEST_BYTES}")
    try:
        manifest = AdapterManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg'].removeprefix('Value error, ')}" if where else first["msg"]
        raise ManifestError(message[:300]) from None
    if canonical_record(manifest) != content:
        raise ManifestError("is not in canonical form (sorted keys, no blanks, no key twice)")
    return manifest


def name_problem(adapter_id: str) -> str:
    """Return what is wrong with an adapter id by the rules of Hugging Face, '' for nothing.

    They make an id a safe folder name once its slash is replaced.
    """
    ends_badly = any(part.endswith((".", "-", ".git")) for part in adapter_id.split("/"))
    if _ID.fullmatch(adapter_id) is None or ".." in adapter_id or "--" in adapter_id or ends_badly:
        return (
            f"{adapter_id[:120]!r} must be `name` or `org/name` of ASCII letters, digits, '.', '-' and "
            "'_', without '..' or '--'"
        )
    return ""


def folder_name(adapter_id: str) -> str:
    """Return the folder of an adapter below the adapters' folder.

    Raises:
        ValueError: the id is not valid.
    """
    if problem := name_problem(adapter_id):
        raise ValueError(problem)
    return adapter_id.replace("/", "--")


def version_key(version: str) -> tuple[int, int, int]:
    """Return a version as three numbers, for comparing.

    Raises:
        ValueError: it is not one to three numbers of at most six digits.
    """
    if VERSION.fullmatch(version) is None:
        raise ValueError(
            f"version {version[:40]!r} must be one to three numbers of at most six digits with "
            "dots, e.g. 1.2.0"
        )
    first, second, third, *_ = [*map(int, version.split(".")), 0, 0]
    return first, second, third
