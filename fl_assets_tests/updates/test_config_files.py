"""Config files.

Only the key changes, several files change together or not at all, and the way back is exact (FAULTS 40, 41).
"""

import errno
import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.infra.disk import Disk
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.edit import ConfigFileError, get, parse, replace
from fl_assets.updates.policy import ConfigChange, KeyRule, RefusedChangeError, UpdatePolicy
from fl_assets_tests.build import DAY
from fl_assets_tests.infra.test_rule_files import BOMB

TOML = (
    b"# limits\n[tools.search]  # ours\ntimeout_ms   =  5_000 # was 3000\nname = "
    b'"a"\n\n[[nodes]]\nretries = 1\n'
)
YAML = (
    b"# limits\ntools:\n    search: {timeout_ms: 5000,   retries: 1}  # ours\n    other:\n    -   x\n  "
    b"  - 'mode': fast   # slow, fast\n"
)
JSON = (
    b'{\n\t"tools": {"search": {"timeout_ms":5000, "s": "a\\"}"}},\n\t"list": [ [1,2], {"on" : true} ]\n}\n'
)
ID = "0123456789abcdef"


def rule(file: str, key: str, **given: Any) -> KeyRule:
    return KeyRule.model_validate(
        {
            "id": file.replace("/", "."),
            "file": file,
            "key": key,
            "change": "timeout_ms",
            "type": "int",
            "min": 0,
            "max": 100_000,
        }
        | given
    )


RULES = tuple(rule(f"agent.{ending}", "tools.search.timeout_ms") for ending in ("toml", "yaml", "json"))
POLICY = UpdatePolicy(keys=RULES)
OLD = {"agent.toml": TOML, "agent.yaml": YAML, "agent.json": JSON}
NEW = {name: content.replace(b"5_000", b"8000").replace(b"5000", b"8000") for name, content in OLD.items()}
CHANGES = tuple(ConfigChange(rule=one, old=5000, new=8000) for one in RULES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    for name, content in OLD.items():
        (tmp_path / "root" / name).write_bytes(content)
    return tmp_path / "root"


class QuickDisk(Disk):
    """A disk that need not survive a power cut, which no test makes.

    What a killed process wrote is kept without it.
    """

    def sync(self, path: Path) -> None:
        assert path.exists()


def files(root: Path, disk: Disk | None = None) -> ConfigFiles:
    return ConfigFiles(root, root.parent / "state", disk=disk or QuickDisk())


def content(root: Path) -> dict[str, bytes]:
    """Everything below the root, hidden files included: a file left lying about is a difference."""
    return {path.name: path.read_bytes() for path in sorted(root.iterdir())}


# Editing
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "before", "key", "new", "after"),
    [
        ("toml", TOML, "tools.search.timeout_ms", 8000, TOML.replace(b"5_000", b"8000")),
        ("toml", TOML, "nodes.0.retries", 2, TOML.replace(b"retries = 1", b"retries = 2")),
        ("toml", TOML, "tools.search.name", "b", TOML.replace(b'"a"', b'"b"')),
        ("toml", b"a.b = 1.5 # c\n", "a.b", 2.0, b"a.b = 2.0 # c\n"),
        ("yaml", YAML, "tools.search.timeout_ms", 8000, YAML.replace(b"5000", b"8000")),
        ("yaml", YAML, "tools.other.1.mode", "slow", YAML.replace(b"fast   #", b'"slow"   #')),
        (
            "yaml",
            b"---\na: 1\nb: yes # text in YAML 1.2\n...\n",
            "a",
            2,
            b"---\na: 2\nb: yes # text in YAML 1.2\n...\n",
        ),
        ("json", JSON, "tools.search.timeout_ms", 8000, JSON.replace(b"5000", b"8000")),
        ("json", JSON, "list.1.on", False, JSON.replace(b"true", b"false")),
        ("json", JSON, "list.0.1", 7, JSON.replace(b"2]", b"7]")),
    ],
)
@pytest.mark.parametrize(
    "dress",
    [lambda raw: raw, lambda raw: raw.replace(b"\n", b"\r\n"), lambda raw: b"\xef\xbb\xbf" + raw],
    ids=["lf", "crlf", "bom"],
)
def test_only_the_value_changes_and_comments_order_blanks_and_line_ends_stay(
    kind, before, key, new, after, dress
):
    assert replace(kind, dress(before), key.split("."), new, "f") == dress(after)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8),
        st.integers(0, 99),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_any_key_of_any_json_or_toml_is_found_and_only_it_changes(values, data):
    name = data.draw(st.sampled_from(sorted(values)))
    document = {"outer": values, "list": [values, 1]}
    for kind, text in (
        ("json", json.dumps(document, indent=data.draw(st.sampled_from([None, 2])), ensure_ascii=False)),
        ("toml", tomlkit.dumps(document)),
    ):
        changed = parse(kind, replace(kind, text.encode(), ("outer", name), 1234, "f"), "f")
        assert changed == {"outer": values | {name: 1234}, "list": [values, 1]}


@pytest.mark.parametrize(
    ("kind", "content", "key", "said"),
    [
        ("yaml", b"a: &x 5000\nb: *x\n", "a", "must be a plain or quoted scalar without an anchor"),
        ("yaml", b"a: &x 5000\nb: *x\n", "b", "without an anchor"),
        ("yaml", b"base: &b {t: 5000}\nuse:\n  <<: *b\n", "use.t", "must be a plain"),
        ("yaml", b"base: &b {t: 5000}\nuse: *b\n", "use.t", "without an anchor"),
        ("yaml", b"a: |\n  5000\n", "a", "must be a plain or quoted"),
        ("yaml", b"a: 1\na: 2\n", "a", "cannot be read as yaml"),
        ("yaml", b"a: 1\n---\na: 2\n", "a", "cannot be read as yaml"),
        ("yaml", BOMB.encode() + b"z: 5000\n", "z", "more than 200000 values"),
        ("yaml", b"z: 0x" + b"f" * 5000 + b"\n", "z", "more than 1024"),
        ("toml", b"z = 0x" + b"f" * 5000 + b"\n", "z", "more than 1024"),
        ("json", b'{"a": 1, "a": 2}', "a", "key 'a' occurs twice"),
        ("json", b'{"a": NaN}', "a", "NaN is no JSON number"),
        ("json", b'{"a": 1', "a", "cannot be read as json"),
        ("json", b"\xff", "a", "cannot be read as json"),
        ("json", b'{"a": {"b": 1}}', "a", "must be a number, a text or a switch"),
        ("json", b'{"a": null}', "a", "must be a number, a text or a switch"),
        ("json", b'{"a": [1]}', "a.1", "is not there"),
        ("toml", b"a = 1\n", "b", "is not there"),
        ("toml", b"a = 1\na = 2\n", "a", "cannot be read as toml"),
        ("toml", b"a = 2020-01-01\n", "a", "must be a number, a text or a switch"),
    ],
)
def test_what_cannot_be_changed_alone_is_refused(kind, content, key, said):
    with pytest.raises(ConfigFileError, match=said):
        replace(kind, content, key.split("."), 7, "f")


def test_present_values_are_read_and_what_is_not_there_has_none(root):
    more = (
        rule("agent.toml", "tools.search.none", id="n"),
        rule("gone.toml", "a", id="g"),
        rule("agent.json", "list", id="l"),
    )
    assert files(root).read_values(UpdatePolicy(keys=(*RULES, *more))) == {one.target: 5000 for one in RULES}


# Applying and taking back
# ----------------------------------------------------------------------------------------------------


def test_a_change_of_three_files_is_made_read_back_and_taken_back_byte_for_byte(root):
    (root / "agent.toml").chmod(0o640)
    receipt = files(root).apply(ID, CHANGES, day=DAY)
    assert content(root) == NEW
    assert (root / "agent.toml").stat().st_mode & 0o777 == 0o640
    assert [(key.old, key.new) for key in receipt.keys] == [(5000, 8000)] * 3
    assert files(root).last_changed() == {one.target: DAY for one in RULES}
    files(root).revert(ID, day=DAY)
    assert content(root) == OLD
    assert (root / "agent.toml").stat().st_mode & 0o777 == 0o640


def test_every_file_is_synced_before_it_is_renamed_and_its_folder_after(root):
    class Noting(Disk):
        notes: list[tuple[str, Path]] = []  # noqa: RUF012

        def write(self, path: Path, content: bytes, mode: int) -> None:
            super().write(path, content, mode)
            self.notes.append(("written", path))

        def sync(self, path: Path) -> None:
            super().sync(path)
            self.notes.append(("synced", path))

        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            self.notes.append(("from", source))
            self.notes.append(("to", target))

    disk = Noting()
    files(root, disk).apply(ID, CHANGES, day=DAY)
    written = [path for what, path in disk.notes if what == "written"]
    assert len(written) == 7  # the plan, and a backup and a new file of each
    for path in written:
        at = disk.notes.index(("written", path))
        assert disk.notes.index(("synced", path), at) < disk.notes.index(("from", path), at)
    for at, (what, path) in enumerate(disk.notes):
        assert what != "to" or ("synced", path.parent) in disk.notes[at:]


def test_applying_or_reverting_twice_changes_nothing_and_a_reverted_decision_stays_reverted(root):
    first = files(root).apply(ID, CHANGES, day=DAY)
    assert files(root).apply(ID, CHANGES, day=DAY) == first
    back = files(root).revert(ID, day=DAY)
    assert files(root).revert(ID, day=DAY) == back
    with pytest.raises(RefusedChangeError, match="applied once"):
        files(root).apply(ID, CHANGES, day=DAY)
    assert content(root) == OLD


def test_the_second_of_two_queued_updates_of_one_key_is_refused(root):
    files(root).apply(ID, CHANGES[:1], day=DAY)
    with pytest.raises(RefusedChangeError, match="is 8000 and was 5000 when this was decided"):
        files(root).apply("ab" * 8, [CHANGES[0].model_copy(update={"new": 9000})], day=DAY)
    assert (root / "agent.toml").read_bytes() == NEW["agent.toml"]


def test_of_many_updates_at_once_exactly_one_wins(root):
    wins, refusals = [], []

    def attempt(number: int) -> None:
        try:
            wins.append(
                files(root).apply(
                    f"{number:016x}",
                    [change.model_copy(update={"new": 6000 + number}) for change in CHANGES],
                    day=DAY,
                )
            )
        except RefusedChangeError as error:
            refusals.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wins), len(refusals)) == (1, 5)
    values = files(root).read_values(POLICY)
    assert set(values.values()) == {wins[0].keys[0].new}


@pytest.mark.parametrize("old", [4999, 5000.0, True, "5000"])
def test_an_old_value_that_is_not_the_present_one_refuses_all_files(root, old):
    with pytest.raises(RefusedChangeError, match="when this was decided"):
        files(root).apply(ID, [*CHANGES[:2], CHANGES[2].model_copy(update={"old": old})], day=DAY)
    assert content(root) == OLD


@pytest.mark.parametrize("new", [100_001, -1, 8000.0, True, "8000", float("nan")])
def test_a_new_value_out_of_bounds_or_of_another_type_refuses_all_files(root, new):
    with pytest.raises(RefusedChangeError, match="must"):
        files(root).apply(ID, [*CHANGES[:2], CHANGES[2].model_copy(update={"new": new})], day=DAY)
    assert content(root) == OLD


def test_an_unknown_key_refuses_all_files(root):
    unknown = ConfigChange(rule=rule("agent.json", "tools.search.unknown"), old=5000, new=8000)
    with pytest.raises(ConfigFileError, match="is not there"):
        files(root).apply(ID, [*CHANGES[:2], unknown], day=DAY)
    assert content(root) == OLD


def test_a_read_only_file_refuses_all_files(root):
    (root / "agent.yaml").chmod(0o444)
    with pytest.raises(RefusedChangeError, match="read-only"):
        files(root).apply(ID, CHANGES, day=DAY)
    assert content(root) == OLD


def test_links_and_folders_are_not_changed(root):
    outside = root.parent / "outside.json"
    outside.write_bytes(JSON)
    (root / "link.json").symlink_to(outside)
    (root / "sub").symlink_to(root.parent)
    (root / "folder.json").mkdir()
    os.link(root / "agent.json", root / "twin.json")
    for name in ("link.json", "sub/outside.json", "folder.json", "twin.json"):
        with pytest.raises(ConfigFileError, match="plain file"):
            files(root).apply(
                ID, [ConfigChange(rule=rule(name, "tools.search.timeout_ms"), old=5000, new=8000)], day=DAY
            )
    assert outside.read_bytes() == JSON


def test_somebody_elses_change_since_is_not_undone(root):
    files(root).apply(ID, CHANGES, day=DAY)
    mine = NEW["agent.yaml"] + b"# mine\n"
    (root / "agent.yaml").write_bytes(mine)
    with pytest.raises(RefusedChangeError, match=r"agent\.yaml has changed since decision"):
        files(root).revert(ID, day=DAY)
    assert content(root) == NEW | {"agent.yaml": mine}


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_backup_stops_the_way_back_before_anything_changes(root, damage):
    receipt = files(root).apply(ID, CHANGES, day=DAY)
    damage(root.parent / "state" / receipt.files[2].backup)
    with pytest.raises(NeedsHumanError, match=r"backup .* of agent\.yaml is missing or damaged"):
        files(root).revert(ID, day=DAY)
    assert content(root) == NEW


def test_what_was_never_applied_cannot_be_taken_back(root):
    with pytest.raises(RefusedChangeError, match="never applied"):
        files(root).revert(ID, day=DAY)


@pytest.mark.parametrize("decision", ["../../x", "", "zz"])
def test_a_decision_id_that_is_no_hash_names_no_file(root, decision):
    with pytest.raises(ValueError, match="needs a hex id"):
        files(root).apply(decision, CHANGES, day=DAY)


# Faults: the k-th call fails, for every k
# ----------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more."""


class FaultyDisk(QuickDisk):
    """Counts calls and lets them fail from the k-th on, as the fault says."""

    def __init__(self, fail_at: int, fault: str) -> None:
        self.calls, self.fail_at, self.fault = 0, fail_at, fault

    def _call(self, act: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        self.calls += 1
        late = self.calls - self.fail_at
        if late < 0 or (self.fault == "once" and late > 0):
            act()
            return
        if late == 0:
            half()
        if self.fault == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "kill":
            raise KilledError
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, path: Path, content: bytes, mode: int) -> None:
        self._call(
            lambda: Disk.write(self, path, content, mode),
            lambda: Disk.write(self, path, content[: len(content) // 2], mode),
        )

    def sync(self, path: Path) -> None:
        self._call(lambda: QuickDisk.sync(self, path))

    def rename(self, source: Path, target: Path) -> None:
        self._call(lambda: Disk.rename(self, source, target))

    def remove(self, path: Path) -> None:
        self._call(lambda: Disk.remove(self, path))


def act(root: Path, kind: str, disk: Disk | None = None) -> None:
    if kind == "apply":
        files(root, disk).apply(ID, CHANGES, day=DAY)
    else:
        files(root, disk).revert(ID, day=DAY)


def steps(root: Path, kind: str) -> int:
    """Calls that the whole change makes, counted on the change itself.

    The test then starts from the same place.
    """
    disk = FaultyDisk(10**9, "once")
    act(root, kind, disk)
    return disk.calls


def fresh(tmp_path: Path, kind: str, number: object) -> Path:
    root = tmp_path / f"case{number}" / "root"
    root.mkdir(parents=True)
    for name, raw in OLD.items():
        (root / name).write_bytes(raw)
    if kind == "revert":
        act(root, "apply")
    return root


@pytest.mark.parametrize("kind", ["apply", "revert"])
@pytest.mark.parametrize("fault", ["once", "for_good", "kill", "sigkill"])
def test_whichever_call_fails_all_files_are_old_or_all_are_new_and_nothing_lies_about(tmp_path, kind, fault):
    before, after = (OLD, NEW) if kind == "apply" else (NEW, OLD)
    total = steps(fresh(tmp_path, kind, "count"), kind)
    assert total > 30
    ends = []
    for number in range(1, total + 1):
        root = fresh(tmp_path, kind, number)
        if fault == "sigkill":
            child = os.fork()
            if child == 0:
                act(root, kind, FaultyDisk(number, fault))
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        else:
            with pytest.raises((OSError, KilledError, NeedsHumanError)):
                act(root, kind, FaultyDisk(number, fault))
        if fault == "once":  # one failure is dealt with at once, without another process
            assert content(root) in (before, after), number
        files(root).recover()
        assert content(root) in (before, after), number
        finished = (root.parent / "state" / kind / f"{ID}.json").exists()
        assert (content(root) == after) is finished, number
        assert not list((root.parent / "state").glob("*.json")), number
        assert not list((root.parent / "state").rglob(".*")), number
        ends.append(finished)
        act(root, kind)  # and the change can be made afterwards
        assert content(root) == after, number
    assert ends == sorted(ends)
    assert not ends[0]
    assert ends[-1]


@pytest.mark.parametrize("kind", ["apply", "revert"])
def test_a_rollback_that_is_killed_at_any_call_is_finished_by_the_next(tmp_path, kind):
    before = OLD if kind == "apply" else NEW

    def killed_midway(number: object) -> Path:
        """Two of three files are switched."""
        root = fresh(tmp_path, kind, number)
        switched = 0

        class DyingDisk(QuickDisk):
            def rename(self, source: Path, target: Path) -> None:
                nonlocal switched
                switched += target.parent == root
                if switched == 3:
                    raise KilledError
                super().rename(source, target)

            def remove(self, path: Path) -> None:
                if switched == 3:
                    raise KilledError
                super().remove(path)

            def write(self, path: Path, content: bytes, mode: int) -> None:
                if switched == 3:
                    raise KilledError
                super().write(path, content, mode)

        with pytest.raises(KilledError):
            act(root, kind, DyingDisk())
        assert sum(content(root)[name] != before[name] for name in before) == 2
        return root

    disk = FaultyDisk(10**9, "once")
    assert "has been taken back" in files(killed_midway("count"), disk).recover()
    assert disk.calls > 10
    for number in range(1, disk.calls + 1):
        root = killed_midway(number)
        with pytest.raises(KilledError):
            files(root, FaultyDisk(number, "kill")).recover()
        files(root).recover()
        assert content(root) == before, number
        assert files(root).recover() == ""


class Interfering(QuickDisk):
    """Lets somebody else write the second file while the change is under way, and then dies or goes on."""

    def __init__(self, root: Path, when: str) -> None:
        self.root, self.when = root, when

    def rename(self, source: Path, target: Path) -> None:
        if target == self.root / "agent.json" and self.when == "before":
            (self.root / "agent.toml").write_bytes(b"# theirs\n")
        super().rename(source, target)
        if target == self.root / "agent.toml" and self.when == "after":
            (self.root / "agent.toml").write_bytes(b"# theirs\n")


def test_a_file_that_somebody_writes_before_it_is_switched_keeps_their_words_and_the_others_go_back(root):
    with pytest.raises(RefusedChangeError, match=r"agent\.toml has changed since it was read"):
        files(root, Interfering(root, "before")).apply(ID, CHANGES, day=DAY)
    assert content(root) == OLD | {"agent.toml": b"# theirs\n"}
    assert files(root).recover() == ""


def test_a_file_that_somebody_writes_after_it_was_switched_stops_everything_for_a_person(root):
    with pytest.raises(NeedsHumanError, match=r"agent\.toml holds neither"):
        files(root, Interfering(root, "after")).apply(ID, CHANGES, day=DAY)
    stuck = content(root)
    for call in (
        lambda: files(root).recover(),
        lambda: act(root, "apply"),
        lambda: files(root).apply("ab" * 8, CHANGES, day=DAY),
    ):
        with pytest.raises(NeedsHumanError, match="needs a person"):
            call()
    assert content(root) == stuck


def test_a_rollback_without_its_backup_stops_for_a_person(root):
    class Losing(QuickDisk):
        def rename(self, source: Path, target: Path) -> None:
            if target == root / "agent.yaml":
                for backup in (root.parent / "state" / "backups").iterdir():
                    backup.write_bytes(b"damaged")
                raise OSError(errno.EIO, "Input/output error")
            super().rename(source, target)

    with pytest.raises(NeedsHumanError, match=r"backup .* is missing or damaged"):
        files(root, Losing()).apply(ID, CHANGES, day=DAY)
    assert (root.parent / "state" / "journal.json").exists()
    with pytest.raises(NeedsHumanError):
        act(root, "apply")


def test_a_journal_that_cannot_be_read_stops_for_a_person(root):
    (root.parent / "state").mkdir()
    (root.parent / "state" / "journal.json").write_bytes(b"{")
    with pytest.raises(NeedsHumanError, match=r"journal\.json cannot be read"):
        act(root, "apply")
    assert content(root) == OLD


def test_values_of_a_config_are_only_scalars():
    assert get({"a": [1, {"b": "x"}]}, ("a", 1, "b"), "t") == "x"


def test_owner_mode_and_attributes_stay_through_a_change_and_back(root):
    path = root / "agent.toml"
    path.chmod(0o640)
    owner = (12_345, 23_456) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    with suppress(OSError):  # not every file system has them
        os.setxattr(path, "user.team", b"search")

    def looks() -> tuple:
        status, named = path.stat(), os.listxattr(path)
        return (
            status.st_uid,
            status.st_gid,
            status.st_mode & 0o777,
            {name: os.getxattr(path, name) for name in named},
        )

    before = looks()
    assert before[:3] == (*owner, 0o640)
    configs = files(root)
    configs.apply(ID, CHANGES, day=DAY)
    assert (looks(), path.read_bytes()) == (before, NEW["agent.toml"])
    configs.revert(ID, day=DAY)
    assert (looks(), path.read_bytes()) == (before, TOML)


def test_a_file_whose_owner_cannot_be_kept_is_left_as_it_is(root):
    class OthersDisk(QuickDisk):
        def write_like(self, path: Path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    with pytest.raises(PermissionError):
        files(root, OthersDisk()).apply(ID, CHANGES, day=DAY)
    assert content(root) == OLD
