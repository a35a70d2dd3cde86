"""The catalogue asset, its check, what a decision makes of it, and the commands for adapters."""

import json
from contextlib import contextmanager

import dagster as dg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from fl_assets import cli
from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.memory import MemoryFile
from fl_assets.adapters.store import AdapterStore
from fl_assets.cli.application import CommandError
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.assets.adapters import adapter_catalogue, adapter_freshness
from fl_assets.defs.resources import resources
from fl_assets.infra.clock import now_utc
from fl_assets.updates.carriers.carrier import KnownTargets
from fl_assets.updates.decide import decide
from fl_assets.workspace import Workspace
from fl_assets_tests.adapter_servers import (
    BASE,
    BASE_REVISION,
    KEY,
    OTHER_KEY,
    PlainList,
    adapter_settings,
    lora_files,
    serving,
)
from fl_assets_tests.build import playbook
from fl_assets_tests.conftest import LAST_DAY

NAME = "tool-calling"


@contextmanager
def offering(tmp_path, plain: PlainList, **given):
    """Settings, as text, of a coordinator whose source is the list."""
    with serving(plain.page) as server:
        settings = adapter_settings(tmp_path, adapter_url=server.url, **given)
        names = (
            "data_path",
            "telemetry_path",
            "error_records_path",
            "playbook_path",
            "trusted_keys_path",
            "base_model",
            "base_revision",
            "adapter_url",
        )
        yield {name: str(getattr(settings, name)) for name in names}, settings, server


def materialise(overrides) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [adapter_catalogue, adapter_freshness],
        partition_key=str(LAST_DAY),
        resources=resources(FederatedLearningConfig.from_env(**overrides)),
    )


def check(result) -> dg.AssetCheckEvaluation:
    (found,) = result.get_asset_check_evaluations()
    return found


def test_the_catalogue_of_a_day_is_what_decisions_choose_from(tmp_path):
    plain = PlainList()
    plain.publish("1.0.0")
    plain.publish("2.0.0", key=OTHER_KEY)
    with offering(tmp_path, plain) as (overrides, settings, _):
        result = materialise(overrides)
        assert check(result).passed
        offers = Workspace(settings).catalogue.offers(LAST_DAY)
    assert [(one.version, one.refusals == ()) for one in offers] == [("2.0.0", False), ("1.0.0", True)]
    needed = playbook(category="adapter", suggested_changes={"adapter_skill": "tool_calling"})
    decision = decide(needed, [], mode="live", apply_level="stage", known=KnownTargets(adapters=offers))
    assert (decision.action, decision.target, decision.from_value, decision.to_value) == (
        "hold",
        NAME,
        None,
        "1.0.0",
    )
    none = decide(needed, [], mode="live", apply_level="on", known=KnownTargets(adapters=offers[:1]))
    assert none.action == "none"
    assert none.reasons[0].startswith("not applied: tool-calling 2.0.0 is refused: signature:")


def test_without_a_source_the_catalogue_is_empty_and_fresh(tmp_path):
    settings = adapter_settings(tmp_path)
    overrides = {
        name: str(getattr(settings, name))
        for name in ("data_path", "telemetry_path", "error_records_path", "playbook_path")
    }
    assert check(materialise(overrides)).passed
    assert Workspace(settings).catalogue.offers(LAST_DAY) == []


def test_33_a_source_that_stands_still_until_its_manifests_expire_fails_the_check(tmp_path):
    plain = PlainList()
    plain.publish("1.0.0", expires=now_utc().date())
    with offering(tmp_path, plain) as (overrides, _, server):
        stale = check(materialise(overrides))
        assert not stale.passed
        assert stale.severity == dg.AssetCheckSeverity.WARN
        assert "not_expired" in stale.description
        server.plant("/list", lambda handler: handler.send(404) or True, for_ever=True)
        gone = check(materialise(overrides))
        assert not gone.passed
        assert "source" in gone.description


def test_30_a_folder_that_became_a_link_is_reported_and_stops_no_cycle(tmp_path):
    plain = PlainList()
    plain.publish("1.0.0")
    with offering(tmp_path, plain) as (overrides, settings, _):
        folder = settings.data_path / "adapters"
        folder.mkdir(parents=True)
        (folder / NAME).symlink_to(tmp_path)
        found = check(materialise(overrides))
        (offer,) = Workspace(settings).catalogue.offers(LAST_DAY)
    assert not found.passed
    assert "must be a folder" in found.description
    assert offer.refusals[0].startswith("folder:")


# Commands
# ----------------------------------------------------------------------------------------------------


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """Settings, and a published adapter in two versions that is staged and switched to."""
    plain = PlainList()
    for version in ("1.0.0", "2.0.0"):
        plain.publish(version)
    with offering(tmp_path, plain) as (overrides, settings, _):
        for name, value in overrides.items():
            monkeypatch.setenv(f"FEDERATED_LEARNING_{name.upper()}", value)
        store = AdapterStore(settings)
        for version in ("1.0.0", "2.0.0"):
            store.stage(NAME, version, now=now_utc())
            store.activate(NAME, version, now=now_utc())
        yield store


def run(*arguments: str):
    return CliRunner().invoke(cli.app, [str(each) for each in arguments], catch_exceptions=True)


def test_rollback_of_an_adapter_switches_back_and_says_so(at_home):
    shown = run("rollback", NAME, "--reason", "worse")
    assert shown.exit_code == 0
    assert "tool-calling: 2.0.0 → 1.0.0; 2.0.0 is not offered again" in shown.output
    assert at_home.current(NAME).version == "1.0.0"
    assert "worse" in MemoryFile(at_home.root.parent / "adapter-state.json").load().acts[-1].note
    assert run("rollback", NAME, "--reason", "worse").output.startswith("tool-calling: 1.0.0 → off")
    assert isinstance(run("rollback", NAME, "--reason", "worse").exception, AdapterStoreError)


def test_verify_judges_every_installed_version_and_fails_when_one_was_changed(at_home):
    shown = run("verify", NAME)
    assert shown.exit_code == 0
    assert shown.output.count("sound") == 2
    assert shown.output.count("signed by release") == 2
    (at_home.current(NAME).path / "adapter_config.json").write_bytes(b"{}")
    broken = run("verify", NAME, "--json")
    assert broken.exit_code == 1
    assert [[problem["rule"] for problem in one["problems"]] for one in json.loads(broken.stdout)] == [
        ["checksum"],
        [],
    ]
    assert isinstance(run("verify", "nothing").exception, CommandError)


def test_what_sign_writes_verify_finds_sound(at_home, tmp_path):
    folder, key = tmp_path / "made", tmp_path / "key.pem"
    folder.mkdir()
    for name, content in lora_files().items():
        (folder / name).write_bytes(content)
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    arguments = (
        "sign",
        folder,
        "--key",
        key,
        "--id",
        "acme/new",
        "--version",
        "1.0.0",
        "--expires",
        "2099-01-01",
        "--skill",
        "tool_calling",
    )
    shown = run(*arguments)
    assert shown.exit_code == 0, shown.output
    assert f"signed acme/new 1.0.0 for {BASE} ({BASE_REVISION})" in shown.output
    assert "acme/new 1.0.0: sound" in run("verify", folder).output
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    assert run("verify", folder).exit_code == 1
    assert "tensor_header" in str(run(*arguments).exception)
