"""Updates on disk.

Each step once, whole or not at all, signed, and taken back exactly (FAULTS 41, 42, 46, 47; kill -9 at every
call).
"""

import json
import os
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets.cli.application import CommandError
from fl_assets.infra.disk import Disk
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.keys import TrustedKeys, public_pem
from fl_assets.updates.canary import TrialNodes
from fl_assets.updates.carriers.config import ConfigCarrier
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.history import Update
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.node_side import take_release
from fl_assets.updates.policy import KeyRule, RefusedChangeError, UpdatePolicy
from fl_assets.updates.release import ReleaseRefusedError, open_release, signed_release
from fl_assets.updates.releases import Releases
from fl_assets_tests.build import trusting
from fl_assets_tests.updates.test_history import update

NOW = datetime(2026, 11, 15, 0, 20, tzinfo=UTC)
OLD, NEW = b"timeout = 5000 # ms\n", b"timeout = 8000 # ms\n"
POLICY = UpdatePolicy(
    keys=(
        KeyRule.model_validate(
            {
                "id": "t",
                "file": "agent.toml",
                "key": "timeout",
                "change": "timeout_ms",
                "type": "int",
                "min": 0,
                "max": 10_000,
            }
        ),
    )
)
NODES = TrialNodes(("n1", "n2", "n3"), ("n1", "n2", "n3", "n4"), ("n5", "n6", "n7", "n9"), ("n5", "n6", "n7"))


class QuickDisk(Disk):
    """A disk that need not survive a power cut."""

    def sync(self, path: Path) -> None:
        assert path.exists()


class KilledDisk(QuickDisk):
    """A disk whose k-th call ends the process before it does anything, or (torn) half way through what it
    writes.
    """

    def __init__(self, calls: int, *, torn: bool) -> None:
        self.left, self.torn = calls, torn

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: Path, content: bytes, mode: int) -> None:
        if self.left == 1 and self.torn:
            super().write(path, content[: len(content) // 2], mode)
        self._count()
        super().write(path, content, mode)

    def append(self, path: Path, content: bytes) -> None:
        if self.left == 1 and self.torn:
            super().append(path, content[: len(content) // 2])
        self._count()
        super().append(path, content)

    def sync(self, path: Path) -> None:
        self._count()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._count()
        super().remove(path)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "agent.toml").write_bytes(OLD)
    return tmp_path


def releases(root: Path, clock: Clock | None = None, disk: Disk | None = None) -> Releases:
    disk = disk or QuickDisk()
    log = UpdateLog(root / "updates" / "history.jsonl", clock=clock or Clock(), disk=disk)
    carriers = {"config": ConfigCarrier(ConfigFiles(root / "configs", root / "state", disk=disk), POLICY)}
    return Releases(root / "releases", log, carriers, key_path=root / "keys" / "release.pem", disk=disk)


def start(found: Releases, one: Update | None = None):
    return found.carry_out(one or update(), nodes=NODES)


def released(root: Path) -> dict[str, Any]:
    """What a canary node and another are told; {} without a release."""
    path = root / "releases" / "stable.json"
    if not path.exists():
        return {"n1": {}, "n9": {}}
    release = open_release(path.read_bytes(), trusting(path.with_suffix(".pub")))
    return {node: release.for_node(node) for node in ("n1", "n9")}


def state(root: Path) -> tuple[bytes, bool, bool]:
    """Config bytes, and whether a canary node and another have the change."""
    told = released(root)
    return (root / "configs" / "agent.toml").read_bytes(), bool(told["n1"]), bool(told["n9"])


NOTHING, ON_CANARY, EVERYWHERE = (OLD, False, False), (OLD, True, False), (NEW, True, True)


def test_canary_promotion_and_undo_reach_nodes_and_files_in_turn(root):
    found = releases(root)
    assert start(found).status == "canary"
    assert state(root) == ON_CANARY
    assert found.promote(update().decision_id, reason="better").status == "promoted"
    assert state(root) == EVERYWHERE
    assert (
        found.roll_back(update().decision_id, ended="undone", reason="changed our minds").status
        == "rolled_back"
    )
    assert state(root) == NOTHING


def test_every_step_happens_once_however_often_it_is_asked_for(root):
    found = releases(root)
    for _ in range(3):
        start(found)
    for _ in range(3):
        found.promote(update().decision_id, reason="better")
    assert [event.what for event in found.events()] == ["canary", "promoted"]
    for _ in range(3):
        found.roll_back(update().decision_id, ended="worse", reason="worse")
    assert [event.what for event in found.events()] == ["canary", "promoted", "rolled_back"]
    with pytest.raises(RefusedChangeError, match="rolled_back; it cannot be canary"):
        start(found)


def test_many_at_once_carry_out_once(root):
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            start(releases(root))
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert [event.what for event in releases(root).events()] == ["canary"]


STEPS = {
    "canary": (NOTHING, lambda found: start(found), ON_CANARY),
    "applied": (NOTHING, lambda found: found.carry_out(update()), EVERYWHERE),
    "promoted": (ON_CANARY, lambda found: found.promote(update().decision_id, reason="better"), EVERYWHERE),
    "canary_rolled_back": (
        ON_CANARY,
        lambda found: found.roll_back(update().decision_id, ended="worse", reason="worse"),
        NOTHING,
    ),
    "promoted_rolled_back": (
        EVERYWHERE,
        lambda found: found.roll_back(update().decision_id, ended="undone", reason="no"),
        NOTHING,
    ),
}


@pytest.mark.parametrize(("name", "torn"), [*((name, True) for name in STEPS), ("promoted", False)])
def test_a_kill_at_any_call_leaves_what_was_before_or_what_comes_after(tmp_path, name, torn):
    before, step, after = STEPS[name]
    ends = set()
    for calls in range(1, 200):
        root = tmp_path / str(calls)
        (root / "configs").mkdir(parents=True)
        (root / "configs" / "agent.toml").write_bytes(OLD)
        if before is not NOTHING:
            start(releases(root))
        if before is EVERYWHERE:
            releases(root).promote(update().decision_id, reason="better")
        child = os.fork()
        if child == 0:
            step(releases(root, disk=KilledDisk(calls, torn=torn)))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        found = releases(root)
        found.settle()
        assert state(root) in (before, after), f"killed at call {calls}"
        ends.add(state(root))
        step(found)
        assert state(root) == after, f"killed at call {calls}, then done again"
        left = [path.name for path in root.rglob(".*") if path.is_file()]
        assert not left, left
    else:
        pytest.fail("the step never ended")
    assert ends == {before, after}, "kills before and after the commit were both tried"


def test_a_history_torn_at_any_byte_is_the_earlier_or_the_later_one(root):
    found = releases(root)
    start(found)
    path = root / "updates" / "history.jsonl"
    first = len(path.read_bytes())
    found.promote(update().decision_id, reason="better")
    whole = path.read_bytes()
    for length in range(first, len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        assert [event.what for event in releases(root).events()] == ["canary"]
    path.write_bytes(whole[:-1])
    releases(root).reject(update(2), by="ann", reason="no")
    assert [event.what for event in releases(root).events()] == ["canary", "rejected"]


def test_a_history_that_was_edited_or_lost_stops_for_a_person(root):
    found = releases(root)
    start(found)
    found.promote(update().decision_id, reason="better")
    path = root / "updates" / "history.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"{}\n" + lines[1])
    with pytest.raises(NeedsHumanError, match="line 1"):
        found.events()
    path.write_bytes(lines[1])
    with pytest.raises(NeedsHumanError, match="has number 2"):
        found.events()
    path.write_bytes(lines[0])
    with pytest.raises(NeedsHumanError, match=r"sequence 2, the history .* ends at 1"):
        found.settle()


def test_a_config_that_somebody_changed_before_the_promotion_is_left_alone_and_no_node_keeps_the_change(root):
    found = releases(root)
    start(found)
    theirs = b"timeout = 6000 # ours\n"
    (root / "configs" / "agent.toml").write_bytes(theirs)
    ended = found.promote(update().decision_id, reason="better")
    assert (ended.status, ended.ended) == ("rolled_back", "failed")
    assert state(root) == (theirs, False, False)


def test_a_rollback_that_would_undo_somebody_elses_work_changes_nothing_and_a_person_may_say_it_is_done(root):
    found = releases(root)
    found.carry_out(update())
    theirs = NEW + b"other = 1\n"
    (root / "configs" / "agent.toml").write_bytes(theirs)
    with pytest.raises(RefusedChangeError, match="has changed since"):
        found.roll_back(update().decision_id, ended="undone", reason="no")
    assert state(root) == (theirs, True, True)
    (root / "configs" / "agent.toml").write_bytes(OLD + b"other = 1\n")
    found.roll_back(update().decision_id, ended="undone", reason="restored by hand", by="ann", by_hand=True)
    assert state(root) == (OLD + b"other = 1\n", False, False)


def test_a_rollback_whose_backup_is_damaged_stops_for_a_person_and_changes_nothing(root):
    found = releases(root)
    found.carry_out(update())
    next((root / "state" / "backups").iterdir()).write_bytes(b"garbage")
    with pytest.raises(NeedsHumanError, match="backup"):
        found.roll_back(update().decision_id, ended="undone", reason="no")
    assert state(root) == EVERYWHERE
    assert found.rollouts()[update().decision_id].status == "applied"


def test_the_second_of_two_updates_of_one_key_is_refused_and_recorded(root):
    found = releases(root)
    found.carry_out(update())
    with pytest.raises(RefusedChangeError, match="decide again"):
        found.carry_out(update(2))
    assert state(root) == EVERYWHERE


def test_what_was_rejected_is_not_carried_out_until_a_person_approves_it(root):
    found = releases(root)
    found.reject(update(), by="ann", reason="too risky")
    with pytest.raises(RefusedChangeError, match="rejected; it cannot be canary"):
        start(found)
    found.approve(update(), by="ann", reason="we tested it")
    assert start(found).status == "canary"


def test_a_category_that_nothing_carries_is_refused(root):
    with pytest.raises(RefusedChangeError, match="nothing here changes a prompt"):
        releases(root).carry_out(update(category="prompt"))


def test_the_clock_that_jumps_back_lowers_neither_sequence_nor_time(root, clock):
    found = releases(root, clock)
    start(found)
    clock.now = NOW - timedelta(days=400)
    found.promote(update().decision_id, reason="better")
    events = found.events()
    assert [event.number for event in events] == [1, 2]
    assert events[1].at == events[0].at == NOW


def test_a_release_is_signed_anew_after_half_its_time_and_not_before(root, clock):
    found = releases(root, clock)
    found.refresh()
    assert found.events() == []
    start(found)
    clock.now = NOW + timedelta(days=3)
    found.refresh()
    assert len(found.events()) == 1
    clock.now = NOW + timedelta(days=4)
    found.refresh()
    assert [event.what for event in found.events()] == ["canary", "refreshed"]
    assert state(root) == ON_CANARY


# The node's side


def trusted(root: Path):
    return trusting(root / "releases" / "stable.pub")


def taken(root: Path, now: datetime, *, keys: Any = None, channel: str = "stable"):
    return take_release(
        root / "releases" / "stable.json",
        root / "memory.json",
        keys or trusted(root),
        channel=channel,
        now=now,
    )


def test_a_node_takes_what_is_signed_and_remembers_number_and_time(root):
    start(releases(root))
    assert taken(root, NOW).for_node("n2") == {"agent.toml#timeout": "8000"}
    assert json.loads((root / "memory.json").read_bytes()) == {"sequence": 1, "seen": NOW.isoformat()}
    (root / "memory.json").write_text(json.dumps({"sequence": 1, "seen": NOW.isoformat(), "later": 1}))
    taken(root, NOW)
    assert json.loads((root / "memory.json").read_bytes())["later"] == 1, (
        "what a later release put there stays"
    )


def test_a_node_refuses_an_older_release_though_it_is_validly_signed(root):
    found = releases(root)
    start(found)
    older = found.path.read_bytes()
    found.promote(update().decision_id, reason="better")
    taken(root, NOW)
    found.path.write_bytes(older)
    with pytest.raises(ReleaseRefusedError, match="rollback: sequence 1 is below 2"):
        taken(root, NOW)


def test_a_node_whose_clock_jumps_back_does_not_revive_an_expired_release(root):
    start(releases(root))
    taken(root, NOW + timedelta(days=6))
    memory = json.loads((root / "memory.json").read_bytes())
    (root / "memory.json").write_text(json.dumps(memory | {"seen": (NOW + timedelta(days=8)).isoformat()}))
    with pytest.raises(ReleaseRefusedError, match="expired"):
        taken(root, NOW)


def test_a_node_refuses_other_keys_other_content_other_channels_and_nonsense(root):
    found = releases(root)
    start(found)
    whole = found.path.read_bytes()
    with pytest.raises(ReleaseRefusedError, match="signature"):
        taken(root, NOW, keys=TrustedKeys(None))
    stranger = root / "stranger.pub"
    stranger.write_bytes(public_pem(Ed25519PrivateKey.generate()))
    with pytest.raises(ReleaseRefusedError, match="signature"):
        taken(root, NOW, keys=trusting(stranger))
    with pytest.raises(ReleaseRefusedError, match="channel"):
        taken(root, NOW, channel="edge")
    for spoiled in (
        whole.replace(b"8000", b"9000"),
        whole.replace(b'"n3"', b'"n4"'),
        whole.replace(b'"sequence": 1', b'"sequence": 9'),
    ):
        assert spoiled != whole
        found.path.write_bytes(spoiled)
        with pytest.raises(ReleaseRefusedError, match="signature"):
            taken(root, NOW)
    for spoiled in (
        b"",
        b"{}",
        b"[]",
        whole[:-40],
        whole.replace(b'"channel"', b'"chanel"'),
        b"[" * 100_000,
        b" " * (4 * 1024 * 1024 + 1),
    ):
        found.path.write_bytes(spoiled)
        with pytest.raises(ReleaseRefusedError):
            taken(root, NOW)


def test_the_private_key_is_for_its_owner_alone_and_the_same_history_gives_the_same_bytes(root):
    found = releases(root)
    start(found)
    assert stat.S_IMODE((root / "keys" / "release.pem").stat().st_mode) == 0o600
    first = found.path.read_bytes()
    found.path.unlink()
    found.settle()
    assert found.path.read_bytes() == first
    release = open_release(first, trusted(root))
    assert signed_release(release, Ed25519PrivateKey.generate()) != first


def test_the_command_of_a_node_prints_what_it_is_to_run_and_refuses_in_words(root, clock):
    clock.now = datetime.now(UTC)
    found = releases(root, clock)
    start(found)
    trusted(root)
    given = ["--release", str(found.path), "--trusted", str(found.path.parent / "trusted")]
    given += ["--memory", str(root / "node" / "memory.json")]
    shown = json.loads(CliRunner().invoke(app, ["take-release", "--node", "n2", *given]).stdout)
    assert (shown["sequence"], shown["values"]) == (1, {"agent.toml#timeout": 8000})
    assert (
        json.loads(CliRunner().invoke(app, ["take-release", "--node", "n9", *given]).stdout)["values"] == {}
    )
    found.path.write_bytes(found.path.read_bytes().replace(b"8000", b"9000"))
    refused = CliRunner().invoke(app, ["take-release", "--node", "n2", *given])
    assert isinstance(refused.exception, CommandError)
    assert "signature: none of" in str(refused.exception)
