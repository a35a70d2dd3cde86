"""Adapters on disk.

The old or the new, never a mixture, and nothing that breaks a rule, whatever a source, a crash or a stranger
does.
"""

import json
import os
import shutil
import signal
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from safetensors import safe_open
from safetensors.numpy import save

from fl_assets.adapters import examine as examining
from fl_assets.adapters import folder as folder_module
from fl_assets.adapters import install as install_module
from fl_assets.adapters import store as store_module
from fl_assets.adapters.admission import AdapterRefusedError, Candidate
from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.hub import HubSource, ListSource
from fl_assets.adapters.manifest import CONFIG, FILES, MANIFEST, SIGNATURE, WEIGHTS, parse_manifest
from fl_assets.adapters.memory import MemoryFile
from fl_assets.adapters.publish import seal
from fl_assets.adapters.store import AdapterStore
from fl_assets.adapters.vllm import LoraServer, LoraServerError
from fl_assets.adapters.web import FetchError, Web
from fl_assets.infra import disk as disk_module
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import KeyFileError, TrustedKeys, load_private_key, public_pem
from fl_assets_tests.adapter_servers import (
    EXPIRES,
    INVENTORY,
    KEY,
    NOW,
    OTHER_KEY,
    Hub,
    PlainList,
    Vllm,
    adapter_settings,
    config,
    lora_files,
    manifest_of,
    serving,
    signature_of,
    status,
    tensors,
)

NAME = "acme/tool-calling"


def audit_log(store):
    return MemoryFile(store.root.parent / "adapter-state.json").load().acts


class FolderSource:
    """A source without a network: versions and their files, in memory."""

    name = "memory"

    def __init__(self) -> None:
        self.offers: list[tuple[Candidate, dict[str, bytes]]] = []
        self.fetches = 0

    def publish(self, version: str, *, key=KEY, files=None, **given):
        files = files or lora_files(seed=int(version.split(".")[0]))
        manifest = manifest_of(files, version=version, **given)
        signature = signature_of(manifest, key) if key else ""
        self.offers.append(
            (
                Candidate(
                    source="memory",
                    adapter_id=manifest.adapter_id,
                    version=version,
                    manifest=manifest,
                    signature=signature,
                ),
                files,
            )
        )
        return manifest

    def candidates(self):
        return [candidate for candidate, _ in self.offers]

    def fetch(self, candidate, file, target):
        self.fetches += 1
        files = next(files for offered, files in self.offers if offered == candidate)
        target.write(files[file.name])


@pytest.fixture
def source():
    return FolderSource()


@pytest.fixture
def settings(tmp_path):
    return adapter_settings(tmp_path)


@pytest.fixture
def store(settings, source):
    return AdapterStore(settings, sources=[source])


def take(store, version, name=NAME, now=NOW):
    store.stage(name, version, now=now)
    return store.activate(name, version, now=now)


def refused(store, version, **given) -> set[str]:
    before = snapshot(store)
    with pytest.raises(AdapterRefusedError) as error:
        store.stage(NAME, version, now=NOW, **given)
    assert snapshot(store) == before
    return {problem.rule for problem in error.value.refusals}


def snapshot(store) -> dict[str, bytes | str]:
    """Every file and link below the folder of adapters."""
    found = {}
    for path in sorted(store.root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(store.root))] = str(path.readlink())
        elif path.is_file():
            found[str(path.relative_to(store.root))] = path.read_bytes()
    return found


def offers(store, now=NOW) -> dict[str, tuple[str, ...]]:
    return {
        row.version: tuple(refusal.split(":")[0] for refusal in row.refusals)
        for row in store.observe(now=now)
    }


# Installing and switching
# ----------------------------------------------------------------------------------------------------


def test_from_the_hub_to_the_link_and_back(tmp_path, settings):
    hub = Hub()
    first = hub.publish("1.0.0")
    with serving(hub.page) as server:
        store = AdapterStore(settings, sources=[HubSource([NAME], endpoint=server.url)])
        staged = store.stage(NAME, "1.0.0", now=NOW)
        assert not staged.is_current
        assert store.current(NAME) is None
        switched = store.activate(NAME, "1.0.0", now=NOW)
        assert (switched.from_version, switched.to_version) == (None, "1.0.0")
        link = store.root / "acme--tool-calling" / "current"
        assert {path.name for path in link.iterdir()} == {*FILES, MANIFEST, SIGNATURE}
        assert parse_manifest((link / MANIFEST).read_bytes()) == first
        with safe_open(link / WEIGHTS, "numpy") as weights:
            assert set(weights.keys()) == set(tensors())
        hub.publish("2.0.0")
        take(store, "2.0.0")
    assert link.readlink() == Path("2.0.0")
    assert store.rollback(NAME, now=NOW).to_version == "1.0.0"
    assert (link / WEIGHTS).read_bytes() == lora_files(seed=1)[WEIGHTS]
    assert store.rollback(NAME, now=NOW).to_version is None
    assert not link.exists()
    assert [act.act for act in audit_log(store)] == [
        "staged",
        "activated",
        "staged",
        "activated",
        "rolled back",
        "switched off",
    ]


def test_staging_again_downloads_nothing(store, source):
    source.publish("1.0.0")
    first = store.stage(NAME, "1.0.0", now=NOW)
    assert store.stage(NAME, "1.0.0", now=NOW) == first
    assert source.fetches == 2
    source.offers.clear()
    assert store.stage(NAME, "1.0.0", now=NOW) == first


def test_switching_to_what_is_in_use_changes_nothing(store, source):
    source.publish("1.0.0")
    take(store, "1.0.0")
    before = snapshot(store)
    assert store.activate(NAME, "1.0.0", now=NOW).from_version == "1.0.0"
    assert snapshot(store) == before
    assert [act.act for act in audit_log(store)] == ["staged", "activated"]


def test_only_the_newest_versions_are_kept_and_always_those_in_use_and_before(store, source):
    for number in range(1, 4):
        source.publish(f"{number}.0.0")
        take(store, f"{number}.0.0")
    for number in range(4, 8):
        source.publish(f"{number}.0.0")
        store.stage(NAME, f"{number}.0.0", now=NOW)
    assert [one.version for one in store.installed()] == ["7.0.0", "6.0.0", "5.0.0", "3.0.0", "2.0.0"]
    assert store.rollback(NAME, now=NOW).to_version == "2.0.0"


def test_the_catalogue_says_what_is_offered_installed_and_in_use(store, source):
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        source.publish(version)
        if version != "3.0.0":
            store.stage(NAME, version, now=NOW)
    store.activate(NAME, "1.0.0", now=NOW)
    rows = store.observe(now=NOW)
    assert [(row.version, row.is_installed, row.installed_version, row.signed_by) for row in rows] == [
        ("3.0.0", False, "1.0.0", "release"),
        ("2.0.0", True, "1.0.0", "release"),
        ("1.0.0", True, "1.0.0", "release"),
    ]
    assert [row.refusals == () for row in rows] == [True, True, False]
    assert offers(store) == {
        "3.0.0": (),
        "2.0.0": ("version_increases",),
        "1.0.0": ("version_increases", "not_current"),
    }  # 3.0.0 was seen by now


def test_a_version_that_nobody_offers_is_a_refusal(store, source):
    source.publish("1.0.0")
    assert refused(store, "1.0.1") == {"source"}
    with pytest.raises(ValueError, match="must be"):
        store.stage("../../etc", "1.0.0", now=NOW)
    with pytest.raises(ValueError, match="must be one to three numbers"):
        store.stage(NAME, "../1.0.0", now=NOW)
    for act in (store.activate, store.verify):
        with pytest.raises(AdapterStoreError, match="is not installed"):
            act(NAME, "1.0.0", **({"now": NOW} if act == store.activate else {}))
    with pytest.raises(AdapterStoreError, match="is not installed"):
        store.rollback(NAME, now=NOW)


# Attacks (FAULTS 29-39, 47)
# ----------------------------------------------------------------------------------------------------


def test_32_a_signed_older_version_needs_the_operators_word(store, source):
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
    take(store, "2.0.0")
    assert offers(store)["1.0.0"] == ("version_increases",)
    assert refused(store, "1.0.0") == {"version_increases"}
    store.stage(NAME, "1.0.0", now=NOW, allow_rollback=True)
    with pytest.raises(AdapterRefusedError, match="version_increases"):
        store.activate(NAME, "1.0.0", now=NOW)
    assert store.activate(NAME, "1.0.0", now=NOW, allow_rollback=True).to_version == "1.0.0"
    assert next(act.note for act in audit_log(store) if act.version == "1.0.0") == "allowed to be older"
    assert offers(store)["2.0.0"] == ()


def test_32_the_highest_version_outlives_the_adapters_folder_and_the_installed_ones_the_memory(
    store, source, settings
):
    source.publish("2.0.0")
    store.stage(NAME, "2.0.0", now=NOW)
    source.offers.clear()
    source.publish("1.0.0")
    (settings.data_path / "adapter-state.json").unlink()
    assert refused(store, "1.0.0") == {"version_increases"}
    store.observe(now=NOW)
    source.publish("3.0.0")
    store.observe(now=NOW)
    shutil.rmtree(store.root)
    source.publish("2.5.0")
    assert refused(store, "2.5.0") == {"version_increases"}


def test_32_a_version_that_was_rolled_back_is_not_offered_again(store, source):
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
        take(store, version)
    store.rollback(NAME, now=NOW)
    assert offers(store)["2.0.0"] == ("not_withdrawn",)
    with pytest.raises(AdapterRefusedError, match="not_withdrawn"):
        store.activate(NAME, "2.0.0", now=NOW)
    source.publish("3.0.0")
    assert offers(store)["3.0.0"] == ()
    take(store, "3.0.0")
    assert store.rollback(NAME, now=NOW).to_version == "1.0.0"


def test_33_an_expired_manifest_is_neither_offered_nor_switched_to_but_can_be_left(store, source):
    source.publish("1.0.0", expires=date(2026, 12, 1))
    source.publish("2.0.0")
    take(store, "1.0.0")
    take(store, "2.0.0")
    late = datetime(2026, 12, 1, tzinfo=UTC)
    assert "not_expired" in offers(store, late)["1.0.0"]
    assert store.rollback(NAME, now=late).to_version == "1.0.0"
    with pytest.raises(AdapterRefusedError, match="not_expired"):
        store.activate(NAME, "2.0.0", now=datetime(2027, 6, 1, tzinfo=UTC), allow_rollback=True)


def test_34_weights_of_one_version_with_the_config_of_another_are_refused(store, source):
    first, second = lora_files(seed=1), lora_files(seed=2, lora_alpha=16)
    source.publish("1.0.0", files=first)
    source.offers[0] = (source.offers[0][0], {CONFIG: second[CONFIG], WEIGHTS: first[WEIGHTS]})
    assert refused(store, "1.0.0") == {"checksum"}
    source.offers[0] = (source.offers[0][0], {CONFIG: first[CONFIG], WEIGHTS: second[WEIGHTS]})
    assert refused(store, "1.0.0") == {"checksum"}
    source.offers[0] = (source.offers[0][0], {CONFIG: first[CONFIG], WEIGHTS: first[WEIGHTS][:-1] + b"\1"})
    assert refused(store, "1.0.0") == {"checksum"}


def test_34_the_same_number_with_other_content_is_refused(store, source):
    source.publish("1.0.0")
    store.observe(now=NOW)
    source.offers.clear()
    source.publish("1.0.0", files=lora_files(seed=9))
    assert refused(store, "1.0.0") == {"version_increases"}


def test_35_a_version_far_ahead_is_refused_and_shuts_no_later_one_out(store, source):
    source.publish("999999.0.0", files=lora_files())
    assert offers(store) == {"999999.0.0": ("version_step",)}
    source.publish("1.0.0")
    assert take(store, "1.0.0").to_version == "1.0.0"


def test_36_signatures_by_another_key_by_none_for_another_adapter_or_by_a_revoked_key_are_refused(
    store, source, settings
):
    source.publish("1.0.0", key=OTHER_KEY)
    source.publish("2.0.0", key=None)
    other = source.publish("3.0.0", adapter_id="acme/other")
    mine = manifest_of(lora_files(seed=3), version="3.0.0")
    source.offers[-1] = (
        Candidate(
            source="memory", adapter_id=NAME, version="3.0.0", manifest=mine, signature=signature_of(other)
        ),
        lora_files(seed=3),
    )
    assert [refused(store, version) for version in ("1.0.0", "2.0.0", "3.0.0")] == [{"signature"}] * 3
    source.publish("4.0.0")
    store.stage(NAME, "4.0.0", now=NOW)
    (settings.trusted_keys_path / "release.pem").unlink()
    with pytest.raises(AdapterRefusedError, match="signature"):
        store.activate(NAME, "4.0.0", now=NOW)


def test_36_without_trusted_keys_nothing_is_admitted(tmp_path, source):
    source.publish("1.0.0")
    store = AdapterStore(adapter_settings(tmp_path, trusted_keys_path=None), sources=[source])
    assert refused(store, "1.0.0") == {"signature"}
    lax = AdapterStore(
        adapter_settings(tmp_path, trusted_keys_path=None, require_signature=False), sources=[source]
    )
    assert lax.stage(NAME, "1.0.0", now=NOW).version == "1.0.0"


def test_31_a_repository_with_a_pickle_is_refused_and_none_of_its_files_is_asked_for(settings):
    hub = Hub()
    hub.publish("1.0.0", extra={"adapter_model.bin": b"\x80\x04pickle", "modeling.py": b"import os"})
    with serving(hub.page) as server:
        store = AdapterStore(settings, sources=[HubSource([NAME], endpoint=server.url)])
        assert refused(store, "1.0.0") == {"file_names"}
        assert not [path for _, path, _ in server.asked if path.endswith((WEIGHTS, CONFIG, ".bin", ".py"))]


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        ("config", lora_files(auto_mapping={"base_model_class": "Evil"})),
        ("lora_rank", lora_files(rank=64)),
        ("target_modules", lora_files(target_modules=["q_proj", "lm_head"])),
        ("tensor_shapes", {CONFIG: json.dumps(config(rank=8)).encode(), WEIGHTS: save(tensors())}),
        (
            "tensor_names",
            {
                CONFIG: json.dumps(config()).encode(),
                WEIGHTS: save(tensors() | {"lm_head.weight": np.zeros((2, 2), "float32")}),
            },
        ),
        ("tensor_dtype", {CONFIG: json.dumps(config()).encode(), WEIGHTS: save(tensors(dtype="float64"))}),
        ("tensor_header", {CONFIG: json.dumps(config()).encode(), WEIGHTS: b"\0\0\0\x80\2\0\0\0{}"}),
        ("tensor_header", {CONFIG: json.dumps(config()).encode(), WEIGHTS: save(tensors()) + b"\0"}),
        *(
            (
                "finite_values",
                {
                    CONFIG: json.dumps(config()).encode(),
                    WEIGHTS: save({name: value * bad for name, value in tensors(dtype=dtype).items()}),
                },
            )
            for bad, dtype in ((np.float32("nan"), "float32"), (np.float16("inf"), "float16"))
        ),
    ],
)
def test_39_a_signed_adapter_that_is_broken_inside_is_refused_and_leaves_nothing(store, source, rule, files):
    source.publish("1.0.0", files=files)
    assert refused(store, "1.0.0") == {rule}
    assert list(store.root.iterdir()) == []


def test_39_one_bad_value_in_many_megabytes_is_found(store, source, monkeypatch):
    monkeypatch.setattr(examining, "_CHUNK", 64)
    made = tensors()
    made[sorted(made)[-1]][-1, -1] = np.nan
    source.publish("1.0.0", files={CONFIG: json.dumps(config()).encode(), WEIGHTS: save(made)})
    assert refused(store, "1.0.0") == {"finite_values"}


def test_37_a_source_that_fails_leaves_the_adapter_in_use_alone(settings):
    plain = PlainList()
    for version in ("1.0.0", "2.0.0"):
        plain.publish(version)
    with serving(plain.page) as server:
        store = AdapterStore(
            settings,
            sources=[
                ListSource(server.url, web=Web([server.url.removeprefix("http://")], sleep=lambda _: None))
            ],
        )
        take(store, "1.0.0", "tool-calling")
        before = snapshot(store)
        server.plant(f"/files/tool-calling/2.0.0/{WEIGHTS}", status(503), for_ever=True)
        with pytest.raises(FetchError, match="HTTP 503"):
            store.stage("tool-calling", "2.0.0", now=NOW)
        server.plant("/list", status(500), for_ever=True)
        assert [row.refusals[0].split(":")[0] for row in store.observe(now=NOW)] == ["source"]
    assert snapshot(store) == before


def test_30_links_in_place_of_folders_lead_nowhere(store, source, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    source.publish("1.0.0")
    store.root.mkdir(parents=True)
    (store.root / "acme--tool-calling").symlink_to(outside)
    for act in (
        lambda: store.stage(NAME, "1.0.0", now=NOW),
        lambda: store.activate(NAME, "1.0.0", now=NOW),
        store.installed,
    ):
        with pytest.raises(AdapterStoreError, match="link"):
            act()
    assert offers(store) == {"1.0.0": ("folder",)}
    (store.root / "acme--tool-calling").unlink()
    store.root.rmdir()
    store.root.symlink_to(outside)
    with pytest.raises(AdapterStoreError, match="no link"):
        store.stage(NAME, "1.0.0", now=NOW)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        "symlink",
        "hard link",
        "other bytes",
        "extra file",
        "missing",
        "folder",
        "other manifest",
        "fifo",
        "sparse",
    ],
)
def test_30_what_was_changed_on_disk_is_not_switched_to(store, source, tmp_path, damage):
    source.publish("1.0.0")
    folder = store.stage(NAME, "1.0.0", now=NOW).path
    weights = folder / WEIGHTS
    copy = tmp_path / "copy"
    copy.write_bytes(weights.read_bytes())
    if damage in ("symlink", "hard link", "missing", "folder", "fifo"):
        weights.unlink()
    if damage == "symlink":
        weights.symlink_to(copy)
    elif damage == "hard link":
        weights.hardlink_to(copy)
    elif damage == "other bytes":
        weights.write_bytes(copy.read_bytes()[:-1] + b"\7")
    elif damage == "extra file":
        (folder / "code.py").write_text("evil")
    elif damage == "folder":
        weights.mkdir()
    elif damage == "fifo":
        os.mkfifo(weights)
    elif damage == "sparse":  # of a size that nobody reads to its end
        os.truncate(weights, 1 << 43)
    elif damage == "other manifest":
        (folder / MANIFEST).write_bytes(
            canonical_record(manifest_of(lora_files(seed=1), version="1.0.0", skills=()))
        )
    assert store.verify(NAME, "1.0.0")
    with pytest.raises(AdapterRefusedError):
        store.activate(NAME, "1.0.0", now=NOW)
    assert store.current(NAME) is None
    store.stage(NAME, "1.0.0", now=NOW)  # fetched again
    assert store.verify(NAME, "1.0.0") == []


def test_a_damaged_version_in_use_is_not_replaced_under_the_nodes(store, source):
    source.publish("1.0.0")
    take(store, "1.0.0")
    (store.root / "acme--tool-calling" / "1.0.0" / WEIGHTS).write_bytes(b"x")
    with pytest.raises(AdapterStoreError, match="roll back first"):
        store.stage(NAME, "1.0.0", now=NOW)


@pytest.mark.parametrize("target", ["../../elsewhere", "9.9.9", "/etc"])
def test_a_link_to_anything_but_an_installed_version_is_an_error(store, source, target):
    source.publish("1.0.0")
    store.stage(NAME, "1.0.0", now=NOW)
    (store.root / "acme--tool-calling" / "current").symlink_to(target)
    with pytest.raises(AdapterStoreError, match="no installed version"):
        store.activate(NAME, "1.0.0", now=NOW)


def test_47_a_clock_that_jumps_back_brings_no_expired_manifest_to_life(store, source):
    source.publish("1.0.0", expires=date(2026, 12, 1))
    assert offers(store, datetime(2026, 12, 5, tzinfo=UTC)) == {"1.0.0": ("not_expired",)}
    assert offers(store, NOW) == {"1.0.0": ("not_expired",)}
    assert refused(store, "1.0.0") == {"not_expired"}


def test_a_memory_that_cannot_be_read_stops_everything(store, source, settings):
    source.publish("1.0.0")
    store.stage(NAME, "1.0.0", now=NOW)
    (settings.data_path / "adapter-state.json").write_text("{")
    for act in (
        lambda: store.observe(now=NOW),
        lambda: store.activate(NAME, "1.0.0", now=NOW),
        lambda: store.stage(NAME, "2.0.0", now=NOW),
    ):
        with pytest.raises(AdapterStoreError, match="cannot be read"):
            act()


# Crashes and races
# ----------------------------------------------------------------------------------------------------

_STEPS = ("mkdir", "fsync", "rename", "symlink", "unlink", "open", "rmdir")


class _Counting:
    """The `os` of the store, killed at the k-th call that changes anything."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def __getattr__(self, name):
        found = getattr(os, name)
        if name not in _STEPS:
            return found

        def step(*args, **given):
            if name != "open" or args[1] & os.O_CREAT:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return found(*args, **given)

        return step


def killed(act, kill_at: int) -> bool:
    """Run `act` in a child that is killed (SIGKILL) at its k-th step; say whether it came so far."""
    pid = os.fork()
    if pid == 0:
        try:
            counting = _Counting(kill_at)
            for module in (folder_module, install_module, store_module, disk_module):
                module.os = counting
            act()
        finally:
            os._exit(0)
    _, ended = os.waitpid(pid, 0)
    return os.WIFSIGNALED(ended)


def whole_versions(store) -> dict[str, bool]:
    return {one.version: store.verify(NAME, one.version) == [] for one in store.installed()}


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_38_killed_at_any_step_of_installing_there_is_the_version_whole_or_not_at_all(settings, source):
    source.publish("1.0.0")
    source.publish("2.0.0")
    store = AdapterStore(settings.model_copy(update={"keep_versions": 2}), sources=[source])
    take(store, "1.0.0")
    step, left = 1, set()
    while killed(lambda: store.stage(NAME, "2.0.0", now=NOW), step):
        versions = whole_versions(store)
        assert versions in ({"1.0.0": True}, {"1.0.0": True, "2.0.0": True}), f"step {step}"
        assert store.current(NAME).version == "1.0.0"
        left |= set(versions)
        assert store.stage(NAME, "2.0.0", now=NOW).version == "2.0.0", f"step {step}: a retry finishes"
        assert sorted(path.name for path in store.root.iterdir()) == ["acme--tool-calling"], (
            f"step {step}: nothing is left lying about"
        )
        shutil.rmtree(store.root / "acme--tool-calling" / "2.0.0")
        step += 1
    assert step > 15
    assert left == {"1.0.0", "2.0.0"}


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_38_killed_at_any_step_of_removing_an_old_version_the_others_stay_whole(settings, source):
    store = AdapterStore(settings.model_copy(update={"keep_versions": 2}), sources=[source])
    for number in (1, 2, 3, 4):
        source.publish(f"{number}.0.0")
    step = 1
    while True:
        for number in (1, 2, 3):
            if number < 3 or step == 1:
                store.stage(NAME, f"{number}.0.0", now=NOW, allow_rollback=True)
        if not killed(lambda: store.stage(NAME, "4.0.0", now=NOW), step):
            break
        assert all(whole_versions(store).values()), f"step {step}"
        assert "3.0.0" in whole_versions(store)
        step += 6
    assert step > 15


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("act", ["activate", "rollback", "off"])
def test_killed_at_any_step_of_switching_the_old_or_the_new_is_in_use(store, source, act, settings):
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
        store.stage(NAME, version, now=NOW)
    if act != "off":
        store.activate(NAME, "1.0.0", now=NOW)
    if act != "activate":
        store.activate(NAME, "2.0.0", now=NOW)
    old, new = {"activate": ("1.0.0", "2.0.0"), "rollback": ("2.0.0", "1.0.0"), "off": ("2.0.0", None)}[act]
    state = settings.data_path / "adapter-state.json"
    before, link, step, seen = state.read_bytes(), store.root / "acme--tool-calling" / "current", 1, set()

    def switch():
        return store.activate(NAME, "2.0.0", now=NOW) if act == "activate" else store.rollback(NAME, now=NOW)

    while killed(switch, step):
        current = store.current(NAME)
        seen.add(current.version if current else None)
        assert seen <= {old, new}, f"step {step}"
        assert all(whole_versions(store).values())
        if (current.version if current else None) == old:
            assert switch().to_version == new, f"step {step}: a retry finishes"
        state.write_bytes(before)
        link.unlink(missing_ok=True)
        link.symlink_to(old)
        step += 1
    assert step > 5
    assert seen == {old, new}


def test_38_of_two_that_install_the_same_at_once_one_downloads(settings, source):
    source.publish("1.0.0")
    barrier, found = threading.Barrier(2), []

    def run():
        barrier.wait()
        found.append(AdapterStore(settings, sources=[source]).stage(NAME, "1.0.0", now=NOW))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert source.fetches == 2


def test_a_rollback_does_not_wait_for_a_download(store, source):
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        source.publish(version)
        if version != "3.0.0":
            take(store, version)
    begun, go_on = threading.Event(), threading.Event()
    fetch = source.fetch

    def slow(*args):
        begun.set()
        assert go_on.wait(10)
        fetch(*args)

    source.fetch = slow
    thread = threading.Thread(target=lambda: store.stage(NAME, "3.0.0", now=NOW))
    thread.start()
    assert begun.wait(10)
    assert store.rollback(NAME, now=NOW).to_version == "1.0.0"
    go_on.set()
    thread.join()
    assert whole_versions(store)["3.0.0"]


def test_a_rollback_to_a_named_version_keeps_it_and_withdraws_the_other(store, source):
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        source.publish(version)
        take(store, version)
    assert store.rollback(NAME, now=NOW, to="1.0.0").to_version == "1.0.0"
    with pytest.raises(AdapterStoreError, match="in use already"):
        store.rollback(NAME, now=NOW, to="1.0.0")
    with pytest.raises(AdapterStoreError, match="not installed"):
        store.rollback(NAME, now=NOW, to="9.0.0")


# vLLM
# ----------------------------------------------------------------------------------------------------


def test_a_server_gets_a_new_name_for_each_version_before_the_switch_and_loses_it_on_rollback(
    settings, source
):
    vllm = Vllm()
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
    with serving(vllm.page) as server:
        store = AdapterStore(settings.model_copy(update={"vllm_url": server.url}), sources=[source])
        take(store, "1.0.0")
        take(store, "2.0.0")
        store.activate(NAME, "2.0.0", now=NOW)  # loaded already: no second call
        assert Path(vllm.served[f"{NAME}@2.0.0"]) == (store.root / "acme--tool-calling" / "2.0.0").resolve()
        store.rollback(NAME, now=NOW)
    assert vllm.calls == [f"load {NAME}@1.0.0", f"load {NAME}@2.0.0", f"unload {NAME}@2.0.0"]
    assert set(vllm.served) == {f"{NAME}@1.0.0"}


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"data": [{"id": []}]}', b"5", b"\xff", b'{"data": {}}1']
)
def test_a_server_that_lists_no_models_is_named(content):
    with (
        serving(lambda *_: (content, {})) as server,
        pytest.raises(LoraServerError, match="no list of models"),
    ):
        LoraServer(server.url).names()


def test_a_server_that_does_not_take_an_adapter_keeps_the_old_one_in_use(settings, source):
    vllm = Vllm()
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
    with serving(vllm.page) as server:
        store = AdapterStore(settings, sources=[source], server=LoraServer(server.url))
        take(store, "1.0.0")
        vllm.refuses = True
        with pytest.raises(LoraServerError, match="answered HTTP 404"):
            take(store, "2.0.0")
        server.plant("/v1/models", status(500))
        with pytest.raises(LoraServerError, match="HTTP 500"):
            store.activate(NAME, "2.0.0", now=NOW)
    with pytest.raises(LoraServerError, match="cannot be reached"):
        store.activate(NAME, "2.0.0", now=NOW)
    assert store.current(NAME).version == "1.0.0"


# Signing
# ----------------------------------------------------------------------------------------------------


def folder_with(tmp_path, files) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


FIELDS = {
    "adapter_id": NAME,
    "version": "1.0.0",
    "base_model": INVENTORY.base_model,
    "base_revision": INVENTORY.base_revision,
    "expires": EXPIRES,
}


def test_what_is_sealed_is_admitted(tmp_path, store, source, settings):
    folder = folder_with(tmp_path, lora_files())
    manifest = seal(folder, KEY, INVENTORY, **FIELDS)
    assert parse_manifest((folder / MANIFEST).read_bytes()) == manifest
    signature = (folder / SIGNATURE).read_text()
    files = {name: (folder / name).read_bytes() for name in FILES}
    source.offers.append(
        (
            Candidate(
                source="memory", adapter_id=NAME, version="1.0.0", manifest=manifest, signature=signature
            ),
            files,
        )
    )
    assert take(store, "1.0.0").to_version == "1.0.0"
    assert seal(folder, KEY, INVENTORY, **FIELDS) == manifest


def test_what_nodes_would_refuse_is_not_signed(tmp_path):
    folder = folder_with(tmp_path, lora_files(rank=64))
    with pytest.raises(AdapterRefusedError, match="lora_rank"):
        seal(folder, KEY, INVENTORY, **FIELDS)
    assert not (folder / SIGNATURE).exists()


def test_a_private_key_that_others_can_read_is_not_used(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_private_key(path)
    path.chmod(0o600)
    assert load_private_key(path).public_key() == KEY.public_key()
    path.write_bytes(b"no key")
    with pytest.raises(KeyFileError, match="no unencrypted PEM"):
        load_private_key(path)


def test_a_trusted_key_that_is_none_stops_rather_than_trusts_less(tmp_path):
    (tmp_path / "a.pem").write_bytes(public_pem(KEY))
    assert TrustedKeys(tmp_path).names == ("a",)
    (tmp_path / "b.pem").write_text("no key")
    with pytest.raises(KeyFileError, match=r"b\.pem"):
        TrustedKeys(tmp_path)


@pytest.mark.parametrize("signature", ["", "x", "AAAA", "A" * 88, "ü" * 88, "\0"])
def test_what_is_no_signature_is_signed_by_nobody(tmp_path, signature):
    (tmp_path / "a.pem").write_bytes(public_pem(KEY))
    assert TrustedKeys(tmp_path).signed_by(b"message", signature) is None


def test_expiry_is_a_day_in_utc(store, source):
    source.publish("1.0.0", expires=date(2026, 11, 21))
    assert offers(store, NOW) == {"1.0.0": ()}
    assert offers(store, NOW + timedelta(hours=12)) == {"1.0.0": ("not_expired",)}


# For people
# ----------------------------------------------------------------------------------------------------


def test_a_verdict_tells_who_signed_and_every_rule_that_is_broken(tmp_path, store):
    folder = folder_with(tmp_path, lora_files())
    assert [problem.rule for problem in store.examine(folder, now=NOW).problems] == ["manifest"]
    seal(folder, KEY, INVENTORY, **FIELDS)
    assert store.examine(folder, now=NOW).signed_by == "release"
    assert store.examine(folder, now=NOW).problems == ()
    (folder / WEIGHTS).write_bytes(b"x")
    late = store.examine(folder, now=datetime(2028, 1, 1, tzinfo=UTC))
    assert [problem.rule for problem in late.problems] == ["not_expired", "checksum"]
