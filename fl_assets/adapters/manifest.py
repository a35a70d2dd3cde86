"""Adapters as far as bytes and rules go: the signed manifest, what is admitted, and what a LoRA file must look like inside.

What goes here: the canonical manifest, the admission rules, each a named refusal, and the checks of config, tensor header and values.
What does not: fetching (`adapters/hub.py`), keys (`infra/keys.py`), files and switching (`adapters/store.py`).

Nothing an adapter says of itself is believed before its signature is: the manifest names repo, commit, version, base model, expiry and the hash of every file,
so that no part of it can be swapped, replayed or mixed with another version's (threats after Samuel et al., "Survivable Key Compromise in Software Update
Systems", CCS 2010, which The Update Framework follows). Safetensors run no code, but the library accepts duplicate names and NaN: hence our own checks.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, TypeGuard

import numpy as np
from pydantic import Field, ValidationError, field_validator

from fl_assets.adapters.offer import AdapterOffer
from fl_assets.core.models import Record, Violation

MANIFEST, SIGNATURE, BUNDLE = "fl-adapter.json", "fl-adapter.json.sig", "model.sig"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FILES = (CONFIG, WEIGHTS)
"""What is downloaded; nothing else ever is."""

MANIFEST_BYTES, SIGNATURE_BYTES, BUNDLE_BYTES, CONFIG_BYTES, HEADER_BYTES = (
    65_536,
    1_024,
    65_536,
    65_536,
    8 * 1024 * 1024,
)
"""Most bytes that are read of each, whatever a server says."""
MAX_VERSION_STEP = 1000
"""The first number of a version may rise by so much at once: a fast-forward to the largest number would otherwise shut every later version out."""
UNKNOWN = "unknown"

RULES: Mapping[str, str] = {
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

_ID = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){0,2}")
COMMIT = re.compile(r"[0-9a-f]{40}")
_NOTES = re.compile(r"README\.md|LICENSE(?:\.md|\.txt)?|NOTICE(?:\.md|\.txt)?|\.gitattributes")
_TENSOR = re.compile(
    r"(?P<module>base_model\.model(?:\.[A-Za-z0-9_]{1,64}){1,32})\.(?P<side>lora_[AB])(?:\.default)?\.weight"
)

_ITEM_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
_CONFIG_KEYS = frozenset(
    {
        *(
            "peft_type",
            "task_type",
            "r",
            "lora_alpha",
            "lora_dropout",
            "target_modules",
            "base_model_name_or_path",
            "revision",
            "inference_mode",
        ),
        *(
            "bias",
            "fan_in_fan_out",
            "init_lora_weights",
            "use_rslora",
            "layers_to_transform",
            "peft_version",
            "megatron_core",
            "qalora_group_size",
        ),
    }
)
"""Keys of PEFT's LoraConfig that may hold a value; any other must be empty, above all auto_mapping, modules_to_save and use_dora."""


class ManifestError(ValueError):
    """Bytes that are no manifest; the text names the rule."""


class AdapterFile(Record):
    """One file of an adapter."""

    name: Literal["adapter_config.json", "adapter_model.safetensors"]
    size: int = Field(ge=1, le=2**40, description="Bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class AdapterManifest(Record):
    """What is signed: one version of one adapter, whole."""

    format: Literal[1] = 1
    adapter_id: str = Field(description="`name` or `org/name`; for a Hub repository its id.")
    version: str = Field(description="One to three numbers with dots.")
    revision: str = Field(
        "",
        pattern=r"^([0-9a-f]{40})?$",
        description="Commit that holds the files; '' where they do not come from a repository.",
    )
    base_model: str = Field(min_length=1, max_length=200)
    base_revision: str = Field(min_length=1, max_length=200)
    expires: date = Field(description="First day (UTC) on which it is no longer installed or switched to.")
    skills: tuple[str, ...] = Field(
        (), max_length=20, description="What it is trained for, e.g. tool_calling."
    )
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
            message = f"skill {bad[0]!r} must be a lower-case word"
            raise ValueError(message)
        return value

    @field_validator("files")
    @classmethod
    def _files_are_the_two(cls, value: tuple[AdapterFile, ...]) -> tuple[AdapterFile, ...]:
        if tuple(file.name for file in value) != FILES:
            message = f"must be {' and '.join(FILES)}, in this order"
            raise ValueError(message)
        return value

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return hashlib.sha256(canonical(self)).hexdigest()

    def file(self, name: str) -> AdapterFile:
        """Return the file of that name."""
        return next(file for file in self.files if file.name == name)


def canonical(record: Record) -> bytes:
    """Return the one form of a manifest, or another record, that is stored and signed: JSON with sorted keys, no blanks, ASCII only."""
    return json.dumps(
        record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


def signed_bytes(manifest: AdapterManifest) -> bytes:
    """Return what the signature is over: the canonical form behind a line that says what it is, so that no other document can pass for it."""
    return b"fl-assets adapter manifest 1\n" + canonical(manifest)


def parse_manifest(content: bytes) -> AdapterManifest:
    """Return the manifest in these bytes.

    Raises:
        ManifestError: they are none, break a bound, or are not in canonical form (a trailing line break is let pass).
    """
    content = content.removesuffix(b"\n")
    if len(content) > MANIFEST_BYTES:
        message = f"has {len(content)} bytes, more than {MANIFEST_BYTES}"
        raise ManifestError(message)
    try:
        manifest = AdapterManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg'].removeprefix('Value error, ')}" if where else first["msg"]
        raise ManifestError(message[:300]) from None
    if canonical(manifest) != content:
        message = "is not in canonical form (sorted keys, no blanks, no key twice)"
        raise ManifestError(message)
    return manifest


def name_problem(adapter_id: str) -> str:
    """Return what is wrong with an adapter id, '' for nothing; the rules of Hugging Face, so that an id is a safe folder name once its slash is replaced."""
    parts = adapter_id.split("/")
    if (
        _ID.fullmatch(adapter_id) is None
        or ".." in adapter_id
        or "--" in adapter_id
        or any(part.endswith((".", "-", ".git")) for part in parts)
    ):
        return f"{adapter_id[:120]!r} must be `name` or `org/name` of ASCII letters, digits, '.', '-' and '_', without '..' or '--'"
    return ""


def folder_name(adapter_id: str) -> str:
    """Return the folder of an adapter below the adapters' folder.

    Raises:
        ValueError: the id is none.
    """
    if problem := name_problem(adapter_id):
        raise ValueError(problem)
    return adapter_id.replace("/", "--")


def version_key(version: str) -> tuple[int, int, int]:
    """Return a version as three numbers, for comparing.

    Raises:
        ValueError: it is not one to three numbers of at most six digits.
    """
    if _VERSION.fullmatch(version) is None:
        message = f"version {version[:40]!r} must be one to three numbers of at most six digits with dots, e.g. 1.2.0"
        raise ValueError(message)
    first, second, third, *_ = [*map(int, version.split(".")), 0, 0]
    return first, second, third


# Admission --------------------------------------------------------------------------------------------------------------


class Inventory(Record):
    """What the nodes run and take."""

    base_model: str
    base_revision: str
    max_rank: int = Field(ge=1)
    target_modules: tuple[str, ...]
    max_bytes: int = Field(ge=1)
    require_signature: bool = True
    require_bundle: bool = Field(
        False, description="Whether a model-signing bundle must come with the signed manifest."
    )


class Known(Record):
    """What is remembered of an adapter, outside of its folder."""

    highest: str = Field("", description="Highest admissible version ever seen; '' for none.")
    highest_digest: str = ""
    current: str = ""
    withdrawn: tuple[str, ...] = ()


class Candidate(Record):
    """One version that a source lists, nothing of it believed yet."""

    source: str
    adapter_id: str
    version: str = UNKNOWN
    manifest: AdapterManifest | None = None
    signature: str = ""
    bundle: bytes = Field(b"", description="Its model-signing bundle, as the source has it; b'' for none.")
    from_repository: bool = Field(
        False, description="Whether it comes from a repository, whose commit must be pinned."
    )
    commit: str = Field("", description="Commit at which the source lists the files.")
    listed: dict[str, int | None] | None = Field(
        None, description="Files by size, as the source lists them; None when it does not list."
    )
    location: str = Field("", description="Where the source fetches the weights from; never shown.")
    problems: tuple[Violation, ...] = Field((), description="What was wrong already when it was listed.")


def refusal(rule: str, subject: str, *, expected: str, actual: str) -> Violation:
    """Return a named refusal; its rule must be one of `RULES`."""
    if rule not in RULES:
        message = f"no admission rule is named {rule!r}"
        raise KeyError(message)
    return Violation(rule=rule, subject=subject, expected=expected, actual=actual)


def admission(
    candidate: Candidate,
    *,
    inventory: Inventory,
    known: Known,
    signed_by: str | None,
    now: datetime,
    allow_rollback: bool = False,
) -> list[Violation]:
    """Return every rule that a candidate breaks before anything of it is downloaded, in the order of `RULES`.

    Args:
        candidate: As listed.
        inventory: What the nodes run.
        known: What is remembered of this adapter.
        signed_by: Name of the trusted key that signed the manifest; None for none.
        now: The latest clock reading ever seen, aware.
        allow_rollback: An operator asked for an older version by name.
    """
    subject = f"{candidate.adapter_id} {candidate.version}"
    found = list(candidate.problems)

    def refuse(rule: str, expected: str, actual: str) -> None:
        found.append(refusal(rule, subject, expected=expected, actual=actual))

    if problem := name_problem(candidate.adapter_id):
        refuse("adapter_name", "a plain id", problem)
    manifest = candidate.manifest
    if manifest is None:
        if not candidate.problems:
            refuse("manifest", f"a signed {MANIFEST}", "none")
        return _ordered(found)
    if (manifest.adapter_id, manifest.version) != (candidate.adapter_id, candidate.version):
        refuse("source", f"the manifest of {subject}", f"that of {manifest.adapter_id} {manifest.version}")
    if candidate.from_repository and (
        COMMIT.fullmatch(candidate.commit) is None or candidate.commit != manifest.revision
    ):
        refuse(
            "commit_pinned",
            f"files at commit {manifest.revision or '(none named)'}",
            f"files at {candidate.commit or 'no commit'}",
        )
    for rule, expected, actual in _listing_problems(candidate, manifest, inventory):
        refuse(rule, expected, actual)
    if signed_by is None and inventory.require_signature:
        refuse(
            "signature",
            "a signature by a trusted key",
            "one by no trusted key" if candidate.signature else "none",
        )
    if inventory.require_bundle and not candidate.bundle:
        refuse("model_signature", f"a model-signing bundle {BUNDLE}", "none")
    if now.date() >= manifest.expires:
        refuse(
            "not_expired", f"a manifest that holds on {now.date()}", f"one that expired on {manifest.expires}"
        )
    for rule, what, own, nodes in (
        ("base_model", "base model", manifest.base_model, inventory.base_model),
        ("base_revision", "base revision", manifest.base_revision, inventory.base_revision),
    ):
        if own != nodes or not nodes:
            refuse(
                rule,
                f"{what} {nodes!r} of the nodes" if nodes else f"the nodes' {what} in the settings",
                f"{own!r}",
            )
    for rule, expected, actual in _version_problems(manifest, known, allow_rollback=allow_rollback):
        refuse(rule, expected, actual)
    return _ordered(found)


def _listing_problems(
    candidate: Candidate, manifest: AdapterManifest, inventory: Inventory
) -> list[tuple[str, str, str]]:
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
        found.append(
            ("size_limit", f"a config of at most {CONFIG_BYTES} bytes", f"{manifest.file(CONFIG).size}")
        )
    return found


def file_problems(names: Mapping[str, int | None]) -> list[str]:
    """Return what is wrong with a source's list of files: pickles, code, configs of other kinds, and what is missing."""
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


def _version_problems(
    manifest: AdapterManifest, known: Known, *, allow_rollback: bool
) -> list[tuple[str, str, str]]:
    found, version, key = [], manifest.version, version_key(manifest.version)
    highest = version_key(known.highest) if known.highest else (0, 0, 0)
    if known.current and version_key(known.current) == key:
        found.append(("not_current", "another version than the one in use", version))
    if key < highest and not allow_rollback:
        found.append(("version_increases", f"at least {known.highest}, the highest ever seen", version))
    if known.highest and key == highest and known.highest_digest not in ("", manifest.digest):
        found.append(
            (
                "version_increases",
                f"a new number for new content; {known.highest} was seen with another manifest",
                version,
            )
        )
    if key[0] > highest[0] + MAX_VERSION_STEP:
        found.append(
            ("version_step", f"at most {highest[0] + MAX_VERSION_STEP} as the first number", version)
        )
    if version in known.withdrawn and not allow_rollback:
        found.append(("not_withdrawn", "a version that was not rolled back", version))
    return found


def _ordered(found: Sequence[Violation]) -> list[Violation]:
    order = list(RULES)
    return sorted(found, key=lambda problem: order.index(problem.rule))


class Offered(Record):
    """One row of the catalogue: a version, where it stands, and why it is not admitted."""

    source: str
    adapter_id: str
    version: str
    base_model: str = ""
    base_revision: str = ""
    expires: date | None = None
    size_bytes: int = 0
    skills: tuple[str, ...] = ()
    signed_by: str = Field("", description="Trusted key that signed it; '' for none.")
    installed_version: str | None = Field(None, description="Version in use.")
    is_installed: bool = Field(False, description="Whether this version lies on disk, in use or not.")
    refusals: tuple[str, ...] = Field((), description="Empty when it is admissible.")

    def offer(self) -> AdapterOffer:
        """Return what a decision needs of it."""
        fields = ("adapter_id", "version", "installed_version", "skills", "refusals")
        return AdapterOffer(**{name: getattr(self, name) for name in fields})


def newest_first(offered: Sequence[Offered]) -> list[Offered]:
    """Return the catalogue by adapter, newest version first, those without a readable version last."""

    def key(row: Offered) -> tuple[str, tuple[int, int, int], str]:
        first, second, third = version_key(row.version) if _VERSION.fullmatch(row.version) else (-1, 0, 0)
        return row.adapter_id, (-first, -second, -third), row.source

    return sorted(offered, key=key)


# What is inside the files -----------------------------------------------------------------------------------------------


class LoraConfig(Record):
    """What the tensors are checked against."""

    rank: int
    target_modules: tuple[str, ...]


class Tensor(Record):
    """One tensor of a safetensors header; offsets count from the first byte of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def check_config(
    content: bytes, manifest: AdapterManifest, inventory: Inventory
) -> tuple[LoraConfig | None, list[Violation]]:
    """Return the LoRA config in these bytes and every rule that it breaks."""
    found: list[Violation] = []

    def refuse(rule: str, expected: str, actual: str) -> None:
        found.append(refusal(rule, CONFIG, expected=expected, actual=actual))

    try:
        config = strict_json(content)
    except ValueError as error:
        refuse("config", "a JSON object", str(error))
        return None, found
    if not isinstance(config, dict):
        refuse("config", "a JSON object", type(config).__name__)
        return None, found
    unwanted = sorted(
        name
        for name, value in config.items()
        if name not in _CONFIG_KEYS and value not in (None, False, "", [], {})
    )
    if unwanted:
        refuse(
            "config",
            "keys of a plain LoRA config alone",
            f"also {', '.join(repr(name[:40]) for name in unwanted[:5])}",
        )
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none":
        refuse(
            "config",
            "peft_type 'LORA' and bias 'none'",
            f"{config.get('peft_type')!r:.40} and {config.get('bias', 'none')!r:.40}",
        )
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 65_536:
        refuse("config", "a lora_alpha above 0 and up to 65536", f"{alpha!r:.40}")
    if config.get("base_model_name_or_path") != manifest.base_model:
        refuse(
            "base_model",
            f"{manifest.base_model!r} in {CONFIG}, as in the manifest",
            f"{config.get('base_model_name_or_path')!r:.80}",
        )
    if config.get("revision") not in (None, "", manifest.base_revision):
        refuse(
            "base_revision",
            f"{manifest.base_revision!r} in {CONFIG}, as in the manifest",
            f"{config.get('revision')!r:.80}",
        )
    rank, targets = config.get("r"), config.get("target_modules")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= inventory.max_rank:
        refuse("lora_rank", f"a rank from 1 to {inventory.max_rank}", f"{rank!r:.40}")
        rank = None
    if (
        not isinstance(targets, list)
        or not targets
        or any(not isinstance(name, str) or name not in inventory.target_modules for name in targets)
    ):
        refuse(
            "target_modules", f"a list of some of {', '.join(inventory.target_modules)}", f"{targets!r:.120}"
        )
        targets = None
    if rank is None or targets is None:
        return None, found
    return LoraConfig(rank=rank, target_modules=tuple(sorted(set(targets)))), found


def read_header(length: bytes, header: bytes, file_size: int) -> tuple[list[Tensor], list[Violation]]:
    """Return the tensors of a safetensors file by offset, and every rule that its header breaks.

    The format: eight bytes with the length of the header, the header (JSON), the values
    (https://github.com/huggingface/safetensors#format).

    Args:
        length: The first eight bytes of the file.
        header: The bytes after them, as many as `header_length` said.
        file_size: Of the whole file, bytes.
    """

    def refused(expected: str, actual: str, rule: str = "tensor_header") -> Violation:
        return refusal(rule, WEIGHTS, expected=expected, actual=actual)

    try:
        content = strict_json(header)
    except ValueError as error:
        return [], [refused("a JSON object in which no name occurs twice", str(error))]
    if not isinstance(content, dict) or len(header) != int.from_bytes(length, "little"):
        return [], [
            refused(
                "a JSON object of the announced length", f"{type(content).__name__} of {len(header)} bytes"
            )
        ]
    found, tensors, base = [], [], 8 + len(header)
    notes = content.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        found.append(refused("text as __metadata__", "something else"))
    for name, entry in content.items():
        fields = entry if isinstance(entry, dict) else {}
        dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
        if (
            set(fields) != {"dtype", "shape", "data_offsets"}
            or not _are_sizes(shape)
            or not _are_sizes(offsets)
            or len(offsets) != 2
        ):
            return [], [
                *found,
                refused("dtype, shape and two offsets for each tensor", f"{name[:80]!r} without them"),
            ]
        if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
            found.append(
                refused(f"one of {', '.join(_ITEM_BYTES)}", f"{name[:80]!r} of {dtype!r:.20}", "tensor_dtype")
            )
        elif math.prod(shape) * _ITEM_BYTES[dtype] != offsets[1] - offsets[0]:
            found.append(
                refused(
                    "as many bytes as shape and dtype make",
                    f"{name[:80]!r} of shape {shape} in {offsets[1] - offsets[0]} bytes",
                )
            )
        tensors.append(
            Tensor(
                name=name,
                dtype=str(dtype),
                shape=tuple(shape),
                start=base + offsets[0],
                end=base + offsets[1],
            )
        )
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    at = base
    for tensor in tensors:
        if tensor.start != at or tensor.end < tensor.start:
            return [], [
                *found,
                refused(
                    f"a tensor at byte {at}", f"{tensor.name[:80]!r} from {tensor.start} to {tensor.end}"
                ),
            ]
        at = tensor.end
    if at != file_size:
        found.append(refused(f"a file of {at} bytes", f"one of {file_size}"))
    return tensors, found


def header_length(length: bytes, file_size: int) -> int:
    """Return how many bytes the header has, 0 when that is no length that may be read."""
    announced = int.from_bytes(length, "little")
    return announced if len(length) == 8 and 2 <= announced <= min(HEADER_BYTES, file_size - 8) else 0


def check_tensors(tensors: Sequence[Tensor], config: LoraConfig) -> list[Violation]:
    """Return every rule that names and shapes break: for each module a lora_A of (rank, in) and a lora_B of (out, rank), and nothing else."""
    sides: dict[str, dict[str, Tensor]] = {}
    strange, misshapen = [], []
    for tensor in tensors:
        match = _TENSOR.fullmatch(tensor.name)
        if (
            match is None
            or match["module"].rsplit(".", 1)[-1] not in config.target_modules
            or match["side"] in sides.get(match["module"], {})
        ):
            strange.append(tensor.name[:120])
            continue
        sides.setdefault(match["module"], {})[match["side"]] = tensor
        rank_at = 0 if match["side"] == "lora_A" else -1
        if len(tensor.shape) != 2 or tensor.shape[rank_at] != config.rank or 0 in tensor.shape:
            misshapen.append(f"{tensor.name[:120]} {list(tensor.shape)}")
    halves = sorted(module for module, found in sides.items() if len(found) != 2)
    unserved = sorted(set(config.target_modules) - {module.rsplit(".", 1)[-1] for module in sides})
    problems = []
    for rule, expected, wrong in (
        (
            "tensor_names",
            "pairs of lora_A and lora_B of the target modules alone",
            [f"also {name!r}" for name in strange],
        ),
        ("tensor_names", "both lora_A and lora_B of each module", halves),
        ("tensor_names", "tensors for every target module", [f"none for {name}" for name in unserved]),
        ("tensor_shapes", f"(rank, in) and (out, rank) with rank {config.rank}", misshapen),
    ):
        if wrong:
            problems.append(
                refusal(
                    rule,
                    WEIGHTS,
                    expected=expected,
                    actual=", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
                )
            )
    return problems


def count_not_finite(dtype: str, values: bytes) -> int:
    """Return how many of these little-endian values are NaN or infinite; the bytes must be whole values."""
    if (
        dtype == "BF16"
    ):  # numpy has no bfloat16: all bits of the exponent set is NaN or infinity, as in IEEE 754
        return int(np.count_nonzero((np.frombuffer(values, "<u2") & 0x7F80) == 0x7F80))
    numbers = np.frombuffer(values, "<f4" if dtype == "F32" else "<f2")
    return int(numbers.size - np.count_nonzero(np.isfinite(numbers)))


def strict_json(content: bytes) -> Any:
    """Return JSON in which no key occurs twice and every number is one.

    Raises:
        ValueError: it is not.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        message = "nested too deep"
        raise ValueError(message) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{twice[:80]!r} occurs twice"
        raise ValueError(message)
    return found


def _no_constant(name: str) -> Any:
    message = f"{name} is no JSON number"
    raise ValueError(message)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**53 for item in value
    )
