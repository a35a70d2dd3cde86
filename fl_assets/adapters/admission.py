"""Which adapters are admitted: named rules, checked before anything is downloaded.

What goes here: the rules, and the records they read and make. What does not: the manifest (`manifest.py`),
files (`weights.py`, `examine.py`), fetching (`hub.py`).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from pydantic import Field

from fl_assets.adapters.manifest import (
    BUNDLE,
    COMMIT,
    CONFIG,
    CONFIG_BYTES,
    FILES,
    MANIFEST,
    SIGNATURE,
    VERSION,
    AdapterManifest,
    name_problem,
    version_key,
)
from fl_assets.core.models import Record, Violation

MAX_VERSION_STEP = 1000
"""Most by which the first number of a version may rise at once: the largest number would block all later
versions."""
UNKNOWN = "unknown"

ADMISSION_RULES: Mapping[str, str] = {
    "source": "the source answers, and what it lists agrees with the manifest",
    "adapter_name": "the id is `name` or `org/name` of letters, digits, dot, dash and underscore",
    "manifest": "there is a manifest in canonical form that breaks no bound",
    "commit_pinned": "a repository's files come from the 40-digit commit that the manifest names",
    "file_names": "the source holds the two files of an adapter and, beside them, nothing but notes",
    "size_limit": "sizes agree with the manifest and stay below the maximum",
    "signature": "a trusted key signed the manifest",
    "model_signature": "where a key of model-signing bundles is set, model.sig by it holds over the files",
    "not_expired": "the manifest has not expired, by the latest clock reading ever seen",
    "base_model": "it was trained for the node's base model",
    "base_revision": "it was trained for the node's revision of the base model",
    "version_increases": "the version is not below the highest ever seen, nor the same with other content",
    "version_step": "the version does not run far ahead of the highest ever seen",
    "not_withdrawn": "the version was not rolled back here",
    "folder": "its folder here is as we left it, without links",
    "not_current": "the version is not the one in use",
    "checksum": "every file has the size and SHA-256 of the manifest",
    "config": "the adapter config is a plain LoRA config that names no code",
    "lora_rank": "the rank lies within what the server takes",
    "target_modules": "the target modules are among those that the server takes",
    "tensor_header": "the header of the weights is well-formed, without duplicates, gaps or overlaps",
    "tensor_names": "the tensors are pairs of lora_A and lora_B of the target modules, and no others",
    "tensor_shapes": "every pair has the rank of the config",
    "tensor_dtype": "tensors are F32, F16 or BF16",
    "finite_values": "no value is NaN or infinite",
}
"""Every admission rule; a refusal begins with its name."""

_NOTES = re.compile(r"README\.md|LICENSE(?:\.md|\.txt)?|NOTICE(?:\.md|\.txt)?|\.gitattributes")


class AdapterRefusedError(ValueError):
    """An adapter breaks rules, which `refusals` holds; nothing was installed or switched."""

    def __init__(self, adapter_id: str, version: str, refusals: Sequence[Violation]) -> None:
        super().__init__(f"{adapter_id} {version} is refused: {'; '.join(map(str, refusals))}")
        self.refusals = tuple(refusals)


class Inventory(Record):
    """The nodes' base model, and the limits of adapters that they accept."""

    base_model: str
    base_revision: str
    max_rank: int = Field(ge=1)
    target_modules: tuple[str, ...]
    max_bytes: int = Field(ge=1)
    require_signature: bool = True
    require_bundle: bool = False
    """Whether a model-signing bundle must come with the signed manifest."""


class Known(Record):
    """Known versions of an adapter."""

    highest: str = ""
    """Highest admissible version ever seen; '' for none."""
    highest_digest: str = ""
    current: str = ""
    withdrawn: tuple[str, ...] = ()


class Candidate(Record):
    """One version that a source lists, not verified yet."""

    source: str
    adapter_id: str
    version: str = UNKNOWN
    manifest: AdapterManifest | None = None
    signature: str = ""
    bundle: bytes = b""
    """Its model-signing bundle, as the source has it; b'' for none."""
    from_repository: bool = False
    """Whether it comes from a repository, whose commit must be pinned."""
    commit: str = ""
    """Commit at which the source lists the files."""
    listed: dict[str, int | None] | None = None
    """Files by size, as the source lists them; None when it does not list."""
    location: str = ""
    """Where the source fetches the weights from; never shown."""
    problems: tuple[Violation, ...] = ()
    """What was wrong already when it was listed."""


_Broken = tuple[str, str, str]
"""Rule, expected, actual."""
_SHOWN_CHARS = 600  # of a value in a refusal


def broken_rule(rule: str, subject: str, expected: str, actual: str) -> Violation:
    """Return a refusal by name; its rule must be one of `ADMISSION_RULES`."""
    if rule not in ADMISSION_RULES:
        raise KeyError(f"no admission rule is named {rule!r}")
    words = {"subject": subject, "expected": expected, "actual": actual}
    return Violation(rule=rule, **{name: _shown(text) for name, text in words.items()})


def _shown(text: str) -> str:
    """Return what a source said as text that can be stored and shown: unseen letters written out, cut."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[:_SHOWN_CHARS]
    )


def admission(
    candidate: Candidate,
    *,
    inventory: Inventory,
    known: Known,
    signed_by: str | None,
    now: datetime,
    allow_rollback: bool = False,
) -> list[Violation]:
    """Return every rule that a candidate breaks before a download, in the order of `ADMISSION_RULES`.

    `now` is the latest clock reading ever seen.
    """
    subject = f"{candidate.adapter_id} {candidate.version}"
    broken: list[_Broken] = []
    if problem := name_problem(candidate.adapter_id):
        broken.append(("adapter_name", "a plain id", problem))
    if manifest := candidate.manifest:
        broken += _origin_problems(candidate, manifest)
        broken += _listing_problems(candidate, manifest, inventory)
        broken += _signature_problems(candidate, inventory, signed_by)
        if now.date() >= manifest.expires:
            expected = f"a manifest that holds on {now.date()}"
            broken.append(("not_expired", expected, f"one that expired on {manifest.expires}"))
        broken += _base_problems(manifest, inventory)
        broken += _version_problems(manifest, known, allow_rollback=allow_rollback)
    elif not candidate.problems:
        broken.append(("manifest", f"a signed {MANIFEST}", "none"))
    order = list(ADMISSION_RULES)
    found = [
        *candidate.problems,
        *(broken_rule(rule, subject, expected, actual) for rule, expected, actual in broken),
    ]
    return sorted(found, key=lambda problem: order.index(problem.rule))


def _origin_problems(candidate: Candidate, manifest: AdapterManifest) -> list[_Broken]:
    found = []
    listed = f"{candidate.adapter_id} {candidate.version}"
    named = f"{manifest.adapter_id} {manifest.version}"
    if named != listed:
        found.append(("source", f"the manifest of {listed}", f"that of {named}"))
    is_pinned = COMMIT.fullmatch(candidate.commit) and candidate.commit == manifest.revision
    if candidate.from_repository and not is_pinned:
        expected = f"files at commit {manifest.revision or '(none named)'}"
        found.append(("commit_pinned", expected, f"files at {candidate.commit or 'no commit'}"))
    return found


def _signature_problems(candidate: Candidate, inventory: Inventory, signed_by: str | None) -> list[_Broken]:
    found = []
    if signed_by is None and inventory.require_signature:
        actual = "one by no trusted key" if candidate.signature else "none"
        found.append(("signature", "a signature by a trusted key", actual))
    if inventory.require_bundle and not candidate.bundle:
        found.append(("model_signature", f"a model-signing bundle {BUNDLE}", "none"))
    return found


def _base_problems(manifest: AdapterManifest, inventory: Inventory) -> list[_Broken]:
    found = []
    for rule, what, own, nodes in (
        ("base_model", "base model", manifest.base_model, inventory.base_model),
        ("base_revision", "base revision", manifest.base_revision, inventory.base_revision),
    ):
        if own != nodes or not nodes:
            expected = f"{what} {nodes!r} of the nodes" if nodes else f"the nodes' {what} in the settings"
            found.append((rule, expected, f"{own!r}"))
    return found


def _listing_problems(candidate: Candidate, manifest: AdapterManifest, inventory: Inventory) -> list[_Broken]:
    found = []
    if candidate.listed is not None:
        if strange := file_problems(candidate.listed):
            found.append(("file_names", f"{' and '.join(FILES)} alone", "; ".join(strange)))
        wrong = [
            f"{file.name} of {candidate.listed[file.name]}"
            for file in manifest.files
            if candidate.listed.get(file.name) not in (None, file.size)
        ]
        if wrong:
            found.append(("size_limit", "the sizes of the manifest", ", ".join(wrong)))
    if manifest.size > inventory.max_bytes:
        found.append(("size_limit", f"at most {inventory.max_bytes} bytes", f"{manifest.size}"))
    if manifest.file(CONFIG).size > CONFIG_BYTES:
        expected = f"a config of at most {CONFIG_BYTES} bytes"
        found.append(("size_limit", expected, f"{manifest.file(CONFIG).size}"))
    return found


def file_problems(names: Mapping[str, int | None]) -> list[str]:
    """Return what is wrong with a source's list of files: missing ones, pickles, code, other configs."""
    missing = [f"no {name}" for name in FILES if name not in names]
    strange = sorted(
        name
        for name in names
        if name not in (*FILES, MANIFEST, SIGNATURE, BUNDLE) and _NOTES.fullmatch(name) is None
    )
    return [
        *missing,
        *(f"also {name[:80]!r}" for name in strange[:5]),
        *([f"and {len(strange) - 5} more"] if len(strange) > 5 else []),
    ]


def _version_problems(manifest: AdapterManifest, known: Known, *, allow_rollback: bool) -> list[_Broken]:
    found, version, key = [], manifest.version, version_key(manifest.version)
    highest = version_key(known.highest) if known.highest else (0, 0, 0)
    if known.current and version_key(known.current) == key:
        found.append(("not_current", "another version than the one in use", version))
    if key < highest and not allow_rollback:
        found.append(("version_increases", f"at least {known.highest}, the highest ever seen", version))
    if known.highest and key == highest and known.highest_digest not in ("", manifest.digest):
        expected = f"a new number for new content; {known.highest} was seen with another manifest"
        found.append(("version_increases", expected, version))
    if key[0] > highest[0] + MAX_VERSION_STEP:
        expected = f"at most {highest[0] + MAX_VERSION_STEP} as the first number"
        found.append(("version_step", expected, version))
    if version in known.withdrawn and not allow_rollback:
        found.append(("not_withdrawn", "a version that was not rolled back", version))
    return found


class Offered(Record):
    """One row of the catalogue: a version, whether it is installed, and why it is refused."""

    source: str
    adapter_id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    base_model: str = ""
    base_revision: str = ""
    expires: date | None = None
    size_bytes: int = 0
    skills: tuple[str, ...] = ()
    """What it is trained for, e.g. tool_calling; without any it is taken for every need."""
    signed_by: str = ""
    """Trusted key that signed it; '' for none."""
    installed_version: str | None = None
    """Version in use."""
    is_installed: bool = False
    """Whether this version lies on disk, in use or not."""
    refusals: tuple[str, ...] = ()
    """Empty when it is admissible."""


def newest_first(offered: Sequence[Offered]) -> list[Offered]:
    """Return the catalogue by adapter, newest version first, those without a readable version last."""

    def key(row: Offered) -> tuple[str, tuple[int, int, int], str]:
        first, second, third = version_key(row.version) if VERSION.fullmatch(row.version) else (-1, 0, 0)
        return row.adapter_id, (-first, -second, -third), row.source

    return sorted(offered, key=key)
