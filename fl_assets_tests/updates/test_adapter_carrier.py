"""What a decision about an adapter does on this machine.

Each step once, in any order of crashes and repeats.
"""

import hashlib
from datetime import date

import pytest

from fl_assets.adapters.store import AdapterStore
from fl_assets.updates.canary import TrialNodes
from fl_assets.updates.carriers.adapter import AdapterCarrier
from fl_assets.updates.history import Update
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.policy import RefusedChangeError
from fl_assets.updates.releases import Releases
from fl_assets_tests.adapter_servers import NOW, OTHER_KEY, adapter_settings
from fl_assets_tests.adapters.test_store import NAME, FolderSource, snapshot

DAY = date(2026, 11, 19)
NODES = TrialNodes(("n1", "n2", "n3"), ("n1", "n2", "n3"), ("n4", "n5", "n6"), ("n4", "n5", "n6"))


def update(to: str | None, before: str | None = None) -> Update:
    number = hashlib.sha256(f"{to}".encode()).hexdigest()[:16]
    fields = dict.fromkeys(("decision_id", "improvement_id", "pattern_id", "remedy_id", "change_id"), number)
    return Update(day=DAY, category="adapter", target=NAME, from_value=before, to_value=to, **fields)


@pytest.fixture
def source():
    found = FolderSource()
    for number in (1, 2, 3):
        found.publish(f"{number}.0.0")
    return found


@pytest.fixture
def store(tmp_path, source):
    return AdapterStore(adapter_settings(tmp_path), sources=[source])


@pytest.fixture
def carrier(store):
    return AdapterCarrier(store, lambda: NOW)


def current(store) -> str | None:
    found = store.current(NAME)
    return found.version if found else None


def test_staging_installs_and_switches_nothing(carrier, store, source):
    assert "verified" in carrier.stage(update("1.0.0"))
    assert current(store) is None
    assert carrier.stage(update("1.0.0")) == carrier.stage(update("1.0.0"))
    assert source.fetches == 2


def test_every_step_may_be_repeated_and_then_changes_nothing(carrier, store):
    first, second = update("1.0.0"), update("2.0.0", "1.0.0")
    for one in (first, second):
        carrier.apply(one, DAY)
    before = snapshot(store)
    for one in (first, second):  # as at every start, for all that was ever promoted
        carrier.apply(one, DAY)
    assert (snapshot(store), current(store)) == (before, "2.0.0")
    for _ in range(2):
        carrier.revert(second, DAY)
        assert current(store) == "1.0.0"
    carrier.apply(second, DAY)
    assert current(store) == "1.0.0"
    carrier.revert(first, DAY)
    assert current(store) is None
    carrier.revert(update("3.0.0"), DAY)
    assert current(store) is None


def test_a_rollback_by_hand_stays(carrier, store):
    for one in (update("1.0.0"), update("2.0.0", "1.0.0"), update("3.0.0", "2.0.0")):
        carrier.apply(one, DAY)
    store.rollback(NAME, now=NOW, to="1.0.0")
    for one in (update("1.0.0"), update("2.0.0", "1.0.0"), update("3.0.0", "2.0.0")):
        carrier.apply(one, DAY)
    assert current(store) == "1.0.0"
    carrier.revert(update("3.0.0", "2.0.0"), DAY)
    assert current(store) == "1.0.0"


def test_an_update_that_a_later_one_followed_is_not_taken_back_under_it(carrier, store):
    carrier.apply(update("1.0.0"), DAY)
    carrier.apply(update("2.0.0", "1.0.0"), DAY)
    with pytest.raises(RefusedChangeError, match="later version in use"):
        carrier.revert(update("1.0.0"), DAY)
    assert current(store) == "2.0.0"


def test_what_was_decided_from_another_version_is_decided_anew(carrier, store):
    carrier.apply(update("1.0.0"), DAY)
    with pytest.raises(RefusedChangeError, match="decide again"):
        carrier.apply(update("3.0.0", "2.0.0"), DAY)
    assert current(store) == "1.0.0"


def test_what_is_not_admitted_is_refused_with_its_rule(carrier, store, source):
    source.publish("4.0.0", key=OTHER_KEY)
    for version, rule in (
        ("4.0.0", "signature"),
        ("9.9.9", "source"),
        ("../1", "must be"),
        (None, "names no version"),
    ):
        with pytest.raises(RefusedChangeError, match=rule):
            carrier.stage(update(version))
        with pytest.raises(RefusedChangeError, match=rule):
            carrier.apply(update(version), DAY)
    assert current(store) is None


def test_from_a_released_decision_to_the_link_and_back_by_the_history(carrier, store, tmp_path):
    releases = Releases(
        tmp_path / "releases",
        UpdateLog(tmp_path / "history.jsonl", clock=lambda: NOW),
        {"adapter": carrier},
        key_path=tmp_path / "key.pem",
    )
    first, second = update("1.0.0"), update("2.0.0", "1.0.0")
    releases.carry_out(first)
    assert current(store) == "1.0.0"
    releases.carry_out(second, nodes=NODES)
    assert current(store) == "1.0.0"  # a canary is of the nodes' alone
    assert {one.version for one in store.installed()} == {"1.0.0", "2.0.0"}
    releases.promote(second.decision_id, reason="better")
    assert current(store) == "2.0.0"
    releases.settle()
    releases.roll_back(second.decision_id, ended="undone", by="ops", reason="worse")
    releases.settle()
    assert current(store) == "1.0.0"
    assert {name: one.status for name, one in releases.rollouts().items()} == {
        first.decision_id: "applied",
        second.decision_id: "rolled_back",
    }


def test_an_update_that_no_longer_passes_is_on_no_node(carrier, store, tmp_path):
    releases = Releases(
        tmp_path / "releases",
        UpdateLog(tmp_path / "history.jsonl", clock=lambda: NOW),
        {"adapter": carrier},
        key_path=tmp_path / "key.pem",
    )
    one = update("1.0.0")
    releases.carry_out(one, nodes=NODES)
    (store.root / "acme--tool-calling" / "1.0.0" / "adapter_model.safetensors").write_bytes(b"x")
    (tmp_path / "trusted" / "release.pem").unlink()
    assert releases.promote(one.decision_id, reason="better").status == "rolled_back"
    assert current(store) is None
