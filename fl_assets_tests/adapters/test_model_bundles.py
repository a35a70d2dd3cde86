"""Model-signing bundles.

A second signature that an adapter needs where its key is set, by the real library where it is installed.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fl_assets.adapters import examine as examining
from fl_assets.adapters.hub import HubSource, ListSource
from fl_assets.adapters.manifest import BUNDLE, CONFIG, FILES, MANIFEST, WEIGHTS
from fl_assets.adapters.store import AdapterStore
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import KeyFileError, public_pem
from fl_assets_tests.adapter_servers import KEY, NOW, Hub, PlainList, adapter_settings, lora_files, serving
from fl_assets_tests.adapters.test_store import NAME, FolderSource, offers, refused, snapshot, take

real = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None,
    reason="model-signing is not installed (the extra `oms`)",
)


@pytest.fixture
def key(tmp_path) -> Path:
    """A private key; its public half lies beside it as `.pem`."""
    made = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "oms.key"
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.with_suffix(".pem").write_bytes(
        made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return path


@pytest.fixture
def source():
    return FolderSource()


@pytest.fixture
def store(tmp_path, key, source):
    return AdapterStore(
        adapter_settings(tmp_path, adapter_oms_key_path=key.with_suffix(".pem")), sources=[source]
    )


def publish(source: FolderSource, version: str, bundle: bytes, files: dict[str, bytes] | None = None) -> None:
    source.publish(version, files=files)
    candidate, files = source.offers.pop()
    source.offers.append((candidate.model_copy(update={"bundle": bundle}), files))


# The wiring, with a verifier that believes one text


@pytest.fixture
def faked(monkeypatch):
    def problem(folder: Path, hashes: dict[str, str], bundle: bytes) -> str:
        assert all((folder / name).is_file() for name in hashes)
        return "" if bundle == b"by us" and set(hashes) == set(FILES) else "no"

    monkeypatch.setattr(examining, "open_verifier", lambda _: problem)


def test_without_the_setting_no_bundle_is_asked_for_and_none_harms(tmp_path, source):
    store = AdapterStore(adapter_settings(tmp_path), sources=[source])
    publish(source, "1.0.0", b"by somebody")
    take(store, "1.0.0")
    assert store.verify(NAME, "1.0.0") == []


@pytest.mark.usefixtures("faked")
def test_a_version_without_a_bundle_is_refused_before_anything_is_downloaded(store, source):
    source.publish("1.0.0")
    assert offers(store) == {"1.0.0": ("model_signature",)}
    assert refused(store, "1.0.0") == {"model_signature"}
    assert source.fetches == 0


@pytest.mark.usefixtures("faked")
def test_a_bundle_is_no_way_round_the_signed_manifest(store, source):
    source.publish("1.0.0", key=None)
    candidate, files = source.offers.pop()
    source.offers.append((candidate.model_copy(update={"bundle": b"by us"}), files))
    assert refused(store, "1.0.0") == {"signature"}


@pytest.mark.usefixtures("faked")
def test_a_bundle_is_kept_with_its_version_and_verified_before_each_switch(store, source):
    publish(source, "1.0.0", b"by another")
    publish(source, "2.0.0", b"by us")
    assert refused(store, "1.0.0") == {"model_signature"}
    take(store, "2.0.0")
    kept = store.root / "acme--tool-calling" / "2.0.0" / BUNDLE
    assert kept.read_bytes() == b"by us"
    kept.unlink()
    assert [problem.rule for problem in store.verify(NAME, "2.0.0")] == ["model_signature"]


@pytest.mark.usefixtures("faked")
def test_a_bundle_is_found_beside_the_manifest_in_a_repository_and_beside_the_weights_on_a_server(store):
    hub, plain = Hub(), PlainList()
    hub.publish(extra={BUNDLE: b"by us"})
    plain.publish(adapter_id="tool-calling")
    plain.files[f"/files/tool-calling/1.0.0/{BUNDLE}"] = b"by us"
    plain.publish(adapter_id="unsigned")
    with serving(hub.page) as repositories, serving(plain.page) as server:
        sources = [
            HubSource([NAME], endpoint=repositories.url, bundles=True),
            ListSource(server.url, bundles=True),
        ]
        rows = AdapterStore(store._settings, sources=sources).observe(now=NOW)
    assert {row.adapter_id: tuple(text.split(":")[0] for text in row.refusals) for row in rows} == {
        NAME: (),
        "tool-calling": (),
        "unsigned": ("model_signature", "model_signature"),
    }


def test_without_the_library_nothing_is_admitted_and_the_refusal_says_what_to_install(
    store, source, monkeypatch
):
    publish(source, "1.0.0", b"by us")
    monkeypatch.setitem(sys.modules, "model_signing", None)
    (row,) = store.observe(now=NOW)
    assert "install fl-assets[oms]" in row.refusals[0]
    before = snapshot(store)
    with pytest.raises(KeyFileError, match=r"install fl-assets\[oms\]"):
        store.stage(NAME, "1.0.0", now=NOW)
    assert (snapshot(store), source.fetches) == (before, 0)


# The real library


def signed(folder: Path, key: Path, files: dict[str, bytes], **ignored) -> bytes:
    """The bundle that the library makes of these files."""
    from model_signing import hashing, signing

    made = folder / "made"
    made.mkdir(exist_ok=True)
    for name, content in files.items():
        (made / name).write_bytes(content)
    config = hashing.Config().set_ignored_paths(**ignored) if ignored else hashing.Config()
    signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(config).sign(
        made, folder / BUNDLE
    )
    return (folder / BUNDLE).read_bytes()


@real
def test_what_the_library_signed_is_installed_switched_to_and_verified_anew(store, source, key, tmp_path):
    files = lora_files()
    publish(source, "1.0.0", signed(tmp_path, key, files), files)
    take(store, "1.0.0")
    assert store.verify(NAME, "1.0.0") == []
    assert store.examine(store.root / "acme--tool-calling" / "1.0.0", now=NOW).problems == ()


@real
@pytest.mark.parametrize(
    "wrong",
    [
        "another key",
        "other weights",
        "weights ignored",
        "weights left out",
        "a file more",
        "changed",
        "no bundle",
    ],
)
def test_a_bundle_that_does_not_hold_over_both_files_by_the_key_is_refused(
    store, source, key, tmp_path, wrong
):
    files, other = lora_files(), lora_files(seed=2)
    if wrong == "another key":
        by_key = tmp_path / "other.key"
        by_key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )
        bundle = signed(tmp_path, by_key, files)
    elif wrong == "other weights":
        bundle = signed(tmp_path, key, other)
    elif wrong == "weights ignored":
        bundle = signed(tmp_path, key, files, paths=[WEIGHTS])
    elif wrong == "weights left out":
        bundle = signed(tmp_path, key, {CONFIG: files[CONFIG]})
    elif wrong == "a file more":
        bundle = signed(tmp_path, key, {**files, MANIFEST: canonical_record(source.publish("3.0.0"))})
    elif wrong == "changed":
        bundle, count = re.subn(rb'("sig": ?")', rb"\1AAAA", signed(tmp_path, key, files))
        assert count == 1
    else:
        bundle = b"{}"
    publish(source, "1.0.0", bundle, files)
    assert refused(store, "1.0.0") == {"model_signature"}


@real
@pytest.mark.parametrize("content", [public_pem(KEY), b"no key", None])
def test_a_key_that_the_library_cannot_use_is_named(store, source, key, content):
    publish(source, "1.0.0", b"{}")
    public = key.with_suffix(".pem")
    if content is None:
        public.unlink()
    else:
        public.write_bytes(content)
    with pytest.raises(KeyFileError, match=public.name):
        store.stage(NAME, "1.0.0", now=NOW)
