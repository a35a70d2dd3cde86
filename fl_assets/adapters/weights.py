"""What a LoRA adapter must look like inside: its config, the header of its tensors, its values.

What goes here: checks of bytes that are at hand. What does not: reading them (`examine.py`), the manifest.
Safetensors run no code, but the library accepts duplicate names and NaN: hence our own checks.
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
"""Keys of PEFT's LoraConfig that may hold a value.

Any other must be empty, above all auto_mapping, modules_to_save and use_dora.
"""


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
        found.append(broken_rule(rule, CONFIG, expected=expected, actual=actual))

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
        return broken_rule(rule, WEIGHTS, expected=expected, actual=actual)

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
    """Return every rule that names and shapes break.

    For each module a lora_A of (rank, in) and a lora_B of (out, rank), and nothing else.
    """
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
                broken_rule(
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


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**53 for item in value
    )
