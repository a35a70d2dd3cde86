"""Checks of a LoRA adapter's content: its config, the header of its tensors, its values.

What does not go here: reading the files (`examine.py`), the manifest. Safetensors run no code, but the
library accepts duplicate names and NaN, so we check these ourselves.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from fl_assets.adapters.admission import Inventory, broken_rule
from fl_assets.adapters.manifest import CONFIG, HEADER_BYTES, WEIGHTS, AdapterManifest
from fl_assets.core.models import Record, Violation
from fl_assets.infra.json_text import strict_json

_TENSOR = re.compile(
    r"(?P<module>base_model\.model(?:\.[A-Za-z0-9_]{1,64}){1,32})\.(?P<side>lora_[AB])(?:\.default)?\.weight"
)

_ITEM_BYTES: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2}
_CONFIG_KEYS = frozenset({
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "base_model_name_or_path",
    "revision", "inference_mode", "bias", "fan_in_fan_out", "init_lora_weights", "use_rslora",
    "layers_to_transform", "peft_version", "megatron_core", "qalora_group_size",
})  # fmt: skip
"""Keys of PEFT's LoraConfig that may hold a value; others, such as auto_mapping, modules_to_save and
use_dora, must be empty."""


class LoraConfig(Record):
    """The part of a LoRA config that tensors are checked against."""

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
    try:
        config = strict_json(content)
    except ValueError as error:
        return None, [_refused("config", "a JSON object", str(error))]
    if not isinstance(config, dict):
        return None, [_refused("config", "a JSON object", type(config).__name__)]
    found = [*_unlike_lora(config), *_of_another_base(config, manifest)]
    rank, targets = config.get("r"), config.get("target_modules")
    has_rank = _is_number(rank) and isinstance(rank, int) and 1 <= rank <= inventory.max_rank
    if not has_rank:
        found.append(_refused("lora_rank", f"a rank from 1 to {inventory.max_rank}", f"{rank!r:.40}"))
    has_targets = (
        isinstance(targets, list)
        and bool(targets)
        and all(isinstance(name, str) and name in inventory.target_modules for name in targets)
    )
    if not has_targets:
        expected = f"a list of some of {', '.join(inventory.target_modules)}"
        found.append(_refused("target_modules", expected, f"{targets!r:.120}"))
    if not (has_rank and has_targets):
        return None, found
    return LoraConfig(rank=rank, target_modules=tuple(sorted(set(targets)))), found


def _refused(rule: str, expected: str, actual: str, subject: str = CONFIG) -> Violation:
    return broken_rule(rule, subject, expected, actual)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unlike_lora(config: Mapping[str, Any]) -> list[Violation]:
    found = []
    unwanted = sorted(
        name
        for name, value in config.items()
        if name not in _CONFIG_KEYS and value not in (None, False, "", [], {})
    )
    if unwanted:
        also = ", ".join(repr(name[:40]) for name in unwanted[:5])
        found.append(_refused("config", "keys of a plain LoRA config alone", f"also {also}"))
    kind, bias = config.get("peft_type"), config.get("bias", "none")
    if (kind, bias) != ("LORA", "none"):
        found.append(_refused("config", "peft_type 'LORA' and bias 'none'", f"{kind!r:.40} and {bias!r:.40}"))
    alpha = config.get("lora_alpha")
    if not (_is_number(alpha) and 0 < alpha <= 65_536):
        found.append(_refused("config", "a lora_alpha above 0 and up to 65536", f"{alpha!r:.40}"))
    return found


def _of_another_base(config: Mapping[str, Any], manifest: AdapterManifest) -> list[Violation]:
    """Return how the base model that a config names differs from its manifest's."""
    found = []
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    for rule, own, expected, others in (
        ("base_model", base, manifest.base_model, ()),
        ("base_revision", revision, manifest.base_revision, (None, "")),
    ):
        if own != expected and own not in others:
            found.append(_refused(rule, f"{expected!r} in {CONFIG}, as in the manifest", f"{own!r:.80}"))
    return found


def read_header(length: bytes, header: bytes, file_size: int) -> tuple[list[Tensor], list[Violation]]:
    """Return the tensors of a safetensors file by offset, and every rule that its header breaks.

    The format: eight bytes with the length of the header, the header (JSON), the values
    (https://github.com/huggingface/safetensors#format).

    Args:
        length: The first eight bytes of the file.
        header: The bytes after them, as many as `header_length` said.
        file_size: Of the whole file, bytes.
    """
    try:
        content = strict_json(header)
    except ValueError as error:
        return [], [_bad_header("a JSON object in which no name occurs twice", str(error))]
    if not isinstance(content, dict) or len(header) != int.from_bytes(length, "little"):
        actual = f"{type(content).__name__} of {len(header)} bytes"
        return [], [_bad_header("a JSON object of the announced length", actual)]
    found, base = [], 8 + len(header)
    notes = content.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        found.append(_bad_header("text as __metadata__", "something else"))
    tensors: list[Tensor] = []
    for name, entry in content.items():
        tensor = _tensor(name, entry if isinstance(entry, dict) else {}, base)
        if tensor is None:
            expected = "dtype, shape and two offsets for each tensor"
            return [], [*found, _bad_header(expected, f"{name[:80]!r} without them")]
        found += _size_problems(tensor)
        tensors.append(tensor)
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    at = base
    for tensor in tensors:
        if tensor.start != at or tensor.end < tensor.start:
            actual = f"{tensor.name[:80]!r} from {tensor.start} to {tensor.end}"
            return [], [*found, _bad_header(f"a tensor at byte {at}", actual)]
        at = tensor.end
    if at != file_size:
        found.append(_bad_header(f"a file of {at} bytes", f"one of {file_size}"))
    return tensors, found


def _bad_header(expected: str, actual: str) -> Violation:
    return _refused("tensor_header", expected, actual, WEIGHTS)


def _tensor(name: str, fields: Mapping[str, Any], base: int) -> Tensor | None:
    """Return a tensor of the header; None if it lacks a field or has another."""
    shape, offsets = fields.get("shape"), fields.get("data_offsets")
    if set(fields) != {"dtype", "shape", "data_offsets"} or not _are_sizes(shape):
        return None
    if not _are_sizes(offsets) or len(offsets) != 2:
        return None
    start, end = base + offsets[0], base + offsets[1]
    return Tensor(name=name, dtype=str(fields["dtype"]), shape=tuple(shape), start=start, end=end)


def _size_problems(tensor: Tensor) -> list[Violation]:
    name, size = repr(tensor.name[:80]), tensor.end - tensor.start
    if tensor.dtype not in _ITEM_BYTES:
        expected = f"one of {', '.join(_ITEM_BYTES)}"
        return [_refused("tensor_dtype", expected, f"{name} of {tensor.dtype!r:.20}", WEIGHTS)]
    if math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype] != size:
        actual = f"{name} of shape {list(tensor.shape)} in {size} bytes"
        return [_bad_header("as many bytes as shape and dtype make", actual)]
    return []


def header_length(length: bytes, file_size: int) -> int:
    """Return the length of the header in bytes, 0 when it is invalid or too long."""
    announced = int.from_bytes(length, "little")
    return announced if len(length) == 8 and 2 <= announced <= min(HEADER_BYTES, file_size - 8) else 0


def check_tensors(tensors: Sequence[Tensor], config: LoraConfig) -> list[Violation]:
    """Return every rule that names and shapes break.

    Each module must have a lora_A of (rank, in) and a lora_B of (out, rank), and nothing else.
    """
    sides: dict[str, dict[str, Tensor]] = {}
    strange, misshapen = [], []
    for tensor in tensors:
        match = _TENSOR.fullmatch(tensor.name)
        is_target = match and match["module"].rsplit(".", 1)[-1] in config.target_modules
        if match is None or not is_target or match["side"] in sides.get(match["module"], {}):
            strange.append(tensor.name[:120])
            continue
        sides.setdefault(match["module"], {})[match["side"]] = tensor
        rank_at = 0 if match["side"] == "lora_A" else -1
        if len(tensor.shape) != 2 or tensor.shape[rank_at] != config.rank or 0 in tensor.shape:
            misshapen.append(f"{tensor.name[:120]} {list(tensor.shape)}")
    halves = sorted(module for module, found in sides.items() if len(found) != 2)
    unserved = sorted(set(config.target_modules) - {module.rsplit(".", 1)[-1] for module in sides})
    problems = []
    also = [f"also {name!r}" for name in strange]
    for rule, expected, wrong in (
        ("tensor_names", "pairs of lora_A and lora_B of the target modules alone", also),
        ("tensor_names", "both lora_A and lora_B of each module", halves),
        ("tensor_names", "tensors for every target module", [f"none for {name}" for name in unserved]),
        ("tensor_shapes", f"(rank, in) and (out, rank) with rank {config.rank}", misshapen),
    ):
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            problems.append(_refused(rule, expected, ", ".join(wrong[:3]) + more, WEIGHTS))
    return problems


def count_not_finite(dtype: str, values: bytes) -> int:
    """Return how many of these little-endian values are NaN or infinite; the bytes must be whole values."""
    if dtype == "BF16":  # numpy has none; as in IEEE 754, NaN and infinity have all exponent bits set
        return int(np.count_nonzero((np.frombuffer(values, "<u2") & 0x7F80) == 0x7F80))
    numbers = np.frombuffer(values, "<f4" if dtype == "F32" else "<f2")
    return int(numbers.size - np.count_nonzero(np.isfinite(numbers)))


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**53 for item in value
    )
