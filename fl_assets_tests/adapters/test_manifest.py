"""Admission of adapters: each rule refuses by its own name what it is for, and lets a sound adapter pass."""

import json
import struct
from datetime import UTC, date, datetime
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from fl_assets.adapters.admission import (
    ADMISSION_RULES,
    Candidate,
    Known,
    Offered,
    admission,
    broken_rule,
    file_problems,
    newest_first,
)
from fl_assets.adapters.manifest import (
    CONFIG,
    FILES,
    HEADER_BYTES,
    MANIFEST,
    WEIGHTS,
    AdapterFile,
    ManifestError,
    folder_name,
    manifest_to_sign,
    name_problem,
    parse_manifest,
    version_key,
)
from fl_assets.adapters.weights import (
    LoraConfig,
    check_config,
    check_tensors,
    count_not_finite,
    header_length,
    read_header,
)
from fl_assets.infra.json_text import canonical_record
from fl_assets_tests.adapter_servers import BASE, INVENTORY, NOW, config, lora_files, manifest_of, tensors

COMMIT = "a" * 40
SOUND = manifest_of(lora_files(), revision=COMMIT)
LISTED = MappingProxyType({"README.md": 10, MANIFEST: 500, **{file.name: file.size for file in SOUND.files}})


def candidate(manifest=SOUND, **given) -> Candidate:
    fields = {
        "source": "hub",
        "adapter_id": manifest.adapter_id,
        "version": manifest.version,
        "manifest": manifest,
        "signature": "x",
        "from_repository": True,
        "commit": COMMIT,
        "listed": dict(LISTED),
    }
    return Candidate(**(fields | given))


def rules(
    one: Candidate,
    *,
    inventory=INVENTORY,
    known=Known(),  # noqa: B008
    signed_by="release",
    now=NOW,
    **given,
) -> list[str]:
    return [
        problem.rule
        for problem in admission(one, inventory=inventory, known=known, signed_by=signed_by, now=now, **given)
    ]


def changed(**given):
    return SOUND.model_copy(update=given)


def test_a_sound_adapter_breaks_no_rule():
    assert rules(candidate()) == []
    assert rules(candidate(commit="", from_repository=False, listed=None)) == []


BIG = changed(files=(SOUND.files[0], AdapterFile(name=WEIGHTS, size=2_000_000, sha256="0" * 64)))
REFUSED = {
    "another commit than the manifest's": ("commit_pinned", candidate(commit="b" * 40), {}),
    "a branch in place of a commit": ("commit_pinned", candidate(commit="main"), {}),
    "a repository without a commit in the manifest": (
        "commit_pinned",
        candidate(changed(revision=""), commit=""),
        {},
    ),
    "a pickle beside the weights": ("file_names", candidate(listed={**LISTED, "adapter_model.bin": 9}), {}),
    "code beside the weights": ("file_names", candidate(listed={**LISTED, "modeling.py": 9}), {}),
    "a config of another kind": ("file_names", candidate(listed={**LISTED, "tokenizer_config.json": 9}), {}),
    "weights in a subfolder": ("file_names", candidate(listed={**LISTED, f"sub/{WEIGHTS}": 9}), {}),
    "no weights": (
        "file_names",
        candidate(listed={name: size for name, size in LISTED.items() if name != WEIGHTS}),
        {},
    ),
    "another size than the manifest's": ("size_limit", candidate(listed={**LISTED, WEIGHTS: 9}), {}),
    "too large": ("size_limit", candidate(BIG, listed={**LISTED, WEIGHTS: 2_000_000}), {}),
    "no trusted signature": ("signature", candidate(), {"signed_by": None}),
    "no signature": ("signature", candidate(signature=""), {"signed_by": None}),
    "expired today": ("not_expired", candidate(), {"now": datetime(2027, 6, 1, tzinfo=UTC)}),
    "another base model": ("base_model", candidate(changed(base_model="acme/other")), {}),
    "another revision of the base model": ("base_revision", candidate(changed(base_revision="f" * 40)), {}),
    "nodes that name no base model": (
        "base_model",
        candidate(),
        {"inventory": INVENTORY.model_copy(update={"base_model": ""})},
    ),
    "below the highest ever seen": ("version_increases", candidate(), {"known": Known(highest="1.0.1")}),
    "the highest with other content": (
        "version_increases",
        candidate(),
        {"known": Known(highest="1.0.0", highest_digest="0" * 64)},
    ),
    "far above anything seen": (
        "version_step",
        candidate(changed(version="2001.0.0")),
        {"known": Known(highest="1000.9.9")},
    ),
    "rolled back here": ("not_withdrawn", candidate(), {"known": Known(withdrawn=("1.0.0",))}),
    "in use": (
        "not_current",
        candidate(),
        {"known": Known(highest="1.0.0", highest_digest=SOUND.digest, current="1.0.0")},
    ),
    "in use under a longer number": ("not_current", candidate(), {"known": Known(current="1")}),
    "listed as another version": ("source", candidate(version="1.0.1"), {}),
    "listed as another adapter": ("source", candidate(adapter_id="acme/other"), {}),
    "a name that is a path": ("adapter_name", candidate(adapter_id="../../etc"), {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused_by_its_name(case):
    rule, one, given = REFUSED[case]
    expected = ["source", rule] if rule == "adapter_name" else [rule]  # such a name is no manifest's either
    assert rules(one, **given) == expected


def test_without_a_manifest_there_is_one_refusal_that_says_so():
    assert rules(candidate(manifest=SOUND).model_copy(update={"manifest": None})) == ["manifest"]


def test_a_problem_of_the_source_is_kept_and_hides_no_other():
    problem = broken_rule("source", "x", expected="an answer", actual="none")
    assert rules(candidate(problems=(problem,)), signed_by=None) == ["source", "signature"]


def test_every_rule_that_is_broken_is_named_at_once():
    one = candidate(changed(base_model="acme/other", expires=date(2026, 1, 1)), listed={**LISTED, "x.pkl": 1})
    assert rules(one, signed_by=None, known=Known(highest="2")) == [
        "file_names",
        "signature",
        "not_expired",
        "base_model",
        "version_increases",
    ]


def test_unsigned_is_admitted_only_when_the_settings_say_so():
    lax = INVENTORY.model_copy(update={"require_signature": False})
    assert rules(candidate(signature=""), signed_by=None, inventory=lax) == []


def test_an_operator_may_allow_an_older_version_and_nothing_else():
    known = Known(highest="2.0.0", withdrawn=("1.0.0",))
    assert rules(candidate(), known=known) == ["version_increases", "not_withdrawn"]
    assert rules(candidate(), known=known, allow_rollback=True) == []
    assert rules(candidate(), known=known, allow_rollback=True, signed_by=None) == ["signature"]


def test_a_refusal_needs_a_rule_that_exists():
    with pytest.raises(KeyError, match="no admission rule"):
        broken_rule("made_up", "x", expected="a", actual="b")


# Names and versions
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["acme/tool-calling", "tool-calling", "A/b", "acme/x.y_z-1", "a" * 96 + "/" + "b" * 96]
)
def test_plain_ids_pass(name):
    assert name_problem(name) == ""
    assert "/" not in folder_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../etc",
        "/etc/passwd",
        "a/b/c",
        "a//b",
        "a/",
        "/a",
        "acme/..",
        "acme/.hidden",
        "а/b",
        "acme/tool\u2010calling",
        "a\0b",
        "a b",
        "a" * 200,
        "acme/x\n",
        "C:\\x",
        "a--b/c",
        "a%2fb",
        "~root/x",
        "acme/x.git",
        "-rf/x",
        "acme/x.",
        "x:y/z",
    ],
)
def test_ids_that_could_lead_elsewhere_are_refused(name):
    assert name_problem(name)
    with pytest.raises(ValueError, match="must be"):
        folder_name(name)


@given(st.text(max_size=60))
def test_an_id_that_passes_is_one_safe_folder_and_no_two_share_it(name):
    if name_problem(name):
        return
    folder = folder_name(name)
    assert folder.isascii()
    assert not folder.startswith(".")
    assert "/" not in folder
    assert folder.replace("--", "/", 1) == name


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1.2.3.4",
        "v1",
        "1.",
        "01",
        "1.02",
        "-1",
        "9223372036854775808",
        "1e3",
        "1.2-rc1",
        "latest",
        "١",
        "1\n",
    ],
)
def test_versions_are_a_few_small_numbers(version):
    with pytest.raises(ValueError, match="must be one to three numbers"):
        version_key(version)


@given(
    st.lists(st.integers(0, 999_999), min_size=1, max_size=3),
    st.lists(st.integers(0, 999_999), min_size=1, max_size=3),
)
def test_versions_compare_as_their_numbers(one, other):
    def padded(numbers):
        return tuple([*numbers, 0, 0][:3])

    written = [".".join(map(str, numbers)) for numbers in (one, other)]
    assert (version_key(written[0]) < version_key(written[1])) == (padded(one) < padded(other))


def test_the_catalogue_is_newest_first_and_in_any_order_the_same():
    rows = [
        Offered(source="s", adapter_id="a", version=version)
        for version in ("unknown", "1.9", "1.10", "2", "0.1")
    ]
    assert [row.version for row in newest_first(rows)] == ["2", "1.10", "1.9", "0.1", "unknown"]
    assert newest_first(rows[::-1]) == newest_first(rows)


# The manifest
# ----------------------------------------------------------------------------------------------------


def test_a_manifest_survives_its_canonical_form():
    assert parse_manifest(canonical_record(SOUND)) == SOUND
    assert parse_manifest(canonical_record(SOUND) + b"\n") == SOUND


def test_every_field_is_inside_the_signed_bytes():
    others = {
        "adapter_id": "acme/other",
        "version": "1.0.1",
        "revision": "b" * 40,
        "base_model": "acme/other",
        "base_revision": "x",
        "expires": date(2027, 6, 2),
        "skills": (),
        "description": "other",
        "files": (SOUND.files[0], AdapterFile(name=WEIGHTS, size=1, sha256="0" * 64)),
    }
    assert set(others) == set(type(SOUND).model_fields) - {"format"}
    assert (
        len(
            {
                manifest_to_sign(SOUND),
                *(manifest_to_sign(changed(**{name: value})) for name, value in others.items()),
            }
        )
        == len(others) + 1
    )


def as_json(**given) -> bytes:
    return json.dumps(SOUND.model_dump(mode="json") | given, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Invalid JSON"),
        (b"<html>Log in to the network</html>", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b"x" * 70_000, "more than"),
        (as_json(extra=1), "extra"),
        (as_json(version="latest"), "version"),
        (as_json(version=1), "version"),
        (as_json(adapter_id="../x"), "adapter_id"),
        (as_json(revision="main"), "revision"),
        (as_json(files=[]), "files"),
        (as_json(files=[file.model_dump() for file in SOUND.files[::-1]]), "in this order"),
        (
            as_json(
                files=[
                    SOUND.files[0].model_dump(),
                    SOUND.files[1].model_dump() | {"name": "adapter_model.bin"},
                ]
            ),
            "name",
        ),
        (as_json(skills=["A B"]), "lower-case"),
        (as_json(format=2), "format"),
        (as_json(expires="never"), "expires"),
        (json.dumps(SOUND.model_dump(mode="json")).encode(), "canonical"),
        (canonical_record(SOUND).replace(b'{"adapter_id"', b'{"version":"9","adapter_id"', 1), "canonical"),
    ],
)
def test_what_is_no_canonical_manifest_is_refused_with_the_reason(content, why):
    with pytest.raises(ManifestError, match=why):
        parse_manifest(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_an_error_that_says_why(content):
    with pytest.raises(ManifestError):
        parse_manifest(content)


# The config
# ----------------------------------------------------------------------------------------------------


def config_rules(**given) -> list[str]:
    _, found = check_config(json.dumps(config(**given)).encode(), SOUND, INVENTORY)
    return [problem.rule for problem in found]


def test_a_plain_lora_config_passes():
    content = json.dumps(config()).encode()
    assert check_config(content, SOUND, INVENTORY) == (
        LoraConfig(rank=4, target_modules=("q_proj", "v_proj")),
        [],
    )


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("config", {"auto_mapping": {"base_model_class": "Evil"}}),
        ("config", {"auto_map": {"AutoModel": "evil.Model"}}),
        ("config", {"trust_remote_code": True}),
        ("config", {"modules_to_save": ["lm_head"]}),
        ("config", {"use_dora": True}),
        ("config", {"rank_pattern": {"q_proj": 512}}),
        ("config", {"peft_type": "PREFIX_TUNING"}),
        ("config", {"bias": "all"}),
        ("config", {"lora_alpha": 1e30}),
        ("config", {"lora_alpha": True}),
        ("base_model", {"base_model_name_or_path": "acme/other"}),
        ("base_revision", {"revision": "f" * 40}),
        ("lora_rank", {"rank": 17}),
        ("lora_rank", {"rank": 0}),
        ("lora_rank", {"r": True}),
        ("lora_rank", {"r": "4"}),
        ("target_modules", {"target_modules": "all-linear"}),
        ("target_modules", {"target_modules": []}),
        ("target_modules", {"target_modules": ["q_proj", "lm_head"]}),
        ("target_modules", {"target_modules": [["q_proj"]]}),
    ],
)
def test_a_config_that_breaks_a_rule_is_refused_by_its_name(rule, given):
    assert config_rules(**given) == [rule]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"r": 4, "r": 8}', b'{"lora_alpha": NaN}', b"[" * 50_000, b"\xff"]
)
def test_a_config_that_is_no_strict_json_object_is_refused(content):
    lora, found = check_config(content, SOUND, INVENTORY)
    assert lora is None
    assert [problem.rule for problem in found] == ["config"]


# The tensors
# ----------------------------------------------------------------------------------------------------

CONFIGURED = LoraConfig(rank=4, target_modules=("q_proj", "v_proj"))


def weights_of(header: dict | bytes, values: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + values


def weight_rules(content: bytes) -> list[str]:
    announced = header_length(content[:8], len(content))
    if not announced:
        return ["tensor_header"]
    found, problems = read_header(content[:8], content[8 : 8 + announced], len(content))
    return [problem.rule for problem in (problems or check_tensors(found, CONFIGURED))]


def test_what_the_library_writes_passes():
    assert weight_rules(save(tensors())) == []
    assert weight_rules(save(tensors(), metadata={"format": "pt"})) == []
    assert weight_rules(save(tensors(dtype="float16"))) == []


def entry(dtype="F32", shape=(1,), offsets=(0, 4)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HEADERS = {
    "a header of 10 GB": struct.pack("<Q", 10 * 2**30) + b"{}",
    "a header just above the limit": struct.pack("<Q", HEADER_BYTES + 1) + b" " * (HEADER_BYTES + 1),
    "a header beyond the file": struct.pack("<Q", 100) + b"{}",
    "an empty file": b"",
    "a pickle": b"\x80\x04\x95" + b"\0" * 20,
    "no JSON": weights_of(b"not json at all"),
    "a list": weights_of(b"[1, 2]"),
    "a name twice": weights_of(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2), b"\0" * 4),
    "a key twice inside": weights_of(
        b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"\0" * 4
    ),
    "bytes after the last tensor": weights_of({"a": entry()}, b"\0" * 5),
    "bytes that are missing": weights_of({"a": entry()}, b"\0" * 3),
    "a gap": weights_of({"a": entry(), "b": entry(offsets=(8, 12))}, b"\0" * 12),
    "an overlap": weights_of({"a": entry(shape=(2,), offsets=(0, 8)), "b": entry(offsets=(4, 8))}, b"\0" * 8),
    "a hole before the first": weights_of({"a": entry(offsets=(4, 8))}, b"\0" * 8),
    "offsets backwards": weights_of({"a": entry(offsets=(4, 0))}, b"\0" * 4),
    "a negative size": weights_of({"a": entry(shape=(-1,))}, b"\0" * 4),
    "a size that overflows": weights_of({"a": entry(shape=(2**62, 4))}, b"\0" * 4),
    "a shape that is not its bytes": weights_of({"a": entry(shape=(2,))}, b"\0" * 4),
    "a field too many": weights_of({"a": {**entry(), "code": "x"}}, b"\0" * 4),
    "metadata that is no text": weights_of({"__metadata__": {"a": 1}, "a": entry()}, b"\0" * 4),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_malformed_header_is_refused(case):
    assert set(weight_rules(HEADERS[case])) == {"tensor_header"}


def test_other_dtypes_are_refused():
    assert weight_rules(weights_of({"a": entry(dtype="F64", shape=(1,), offsets=(0, 8))}, b"\0" * 8)) == [
        "tensor_dtype"
    ]
    assert weight_rules(save(tensors(dtype="float64")))[0] == "tensor_dtype"


A, B = (
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("tensor_names", lambda made: made | {"base_model.model.lm_head.weight": made[A]}),
        (
            "tensor_names",
            lambda made: (
                made | {A.replace("q_proj", "o_proj"): made[A], B.replace("q_proj", "o_proj"): made[B]}
            ),
        ),
        ("tensor_names", lambda made: made | {A.replace("lora_A", "lora_A.default"): made[A]}),
        ("tensor_names", lambda made: {name: value for name, value in made.items() if name != B}),
        ("tensor_names", lambda made: {name: value for name, value in made.items() if "v_proj" not in name}),
        (
            "tensor_names",
            lambda made: {name.replace("base_model.", "../"): value for name, value in made.items()},
        ),
        ("tensor_shapes", lambda made: made | {A: made[A][:3]}),
        ("tensor_shapes", lambda made: made | {B: made[B].T}),
        ("tensor_shapes", lambda made: made | {A: made[A].reshape(-1)}),
        ("tensor_shapes", lambda made: made | {B: made[B][:0]}),
    ],
)
def test_tensors_that_are_no_pairs_of_the_targets_are_refused(rule, change):
    assert rule in weight_rules(
        save({name: np.ascontiguousarray(value) for name, value in change(tensors()).items()})
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_never_crash(content):
    assert weight_rules(content)
    assert weight_rules(struct.pack("<Q", len(content)) + content)


@given(st.lists(st.floats(width=32), max_size=50))
def test_values_that_are_not_finite_are_counted_in_every_dtype(values):
    wide = np.array(values, "<f4")
    bad = int(np.count_nonzero(~np.isfinite(wide)))
    assert count_not_finite("F32", wide.tobytes()) == bad
    assert count_not_finite("BF16", (wide.view("<u4") >> 16).astype("<u2").tobytes()) >= bad - int(
        np.isnan(wide).sum()
    )
    with np.errstate(over="ignore"):
        half = wide.astype("<f2")
    assert count_not_finite("F16", half.tobytes()) == int(np.count_nonzero(~np.isfinite(half)))


@pytest.mark.parametrize(
    ("bits", "bad"), [(0x7F80, 1), (0xFF80, 1), (0x7FC0, 1), (0x7F7F, 0), (0x0000, 0), (0x3F80, 0)]
)
def test_bfloat16_infinity_and_nan_are_seen(bits, bad):
    assert count_not_finite("BF16", struct.pack("<H", bits)) == bad


def test_file_lists_with_only_the_adapter_and_notes_pass():
    assert file_problems(dict.fromkeys((*FILES, "README.md", "LICENSE", ".gitattributes", MANIFEST))) == []
    assert file_problems({CONFIG: 1}) == [f"no {WEIGHTS}"]
    assert len(file_problems(dict.fromkeys([*FILES, *(f"{number}.bin" for number in range(9))]))) == 6


def test_the_manual_names_every_rule():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()
    assert not [rule for rule in ADMISSION_RULES if f"`{rule}`" not in text]


def test_the_base_of_the_tests_is_the_one_of_the_nodes():
    assert SOUND.base_model == BASE == INVENTORY.base_model
