"""The files that a simulation writes are readable, repeatable and what truth.json says."""

import gzip
import hashlib
import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
import zstandard

from fl_assets.simulator.damage import Damage
from fl_assets.simulator.write import simulate

FLEET = {"days": 5, "nodes": 8, "events_per_day": 2_000, "end": date(2026, 3, 31)}
DAMAGE = Damage(duplicates=0.02, conflicts=0.005, late=0.02, malformed=0.02, clock_skew=0.002)


def lines_of(path: Path) -> list[bytes]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    elif path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().decompress(content)
    assert content.endswith(b"\n")
    return content.removeprefix(b"\xef\xbb\xbf")[:-1].split(b"\n")


def event_in(line: bytes) -> dict | None:
    """Return a line's event, or None when it is malformed."""
    if len(line) > 1_048_576:
        return None
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if (
        not isinstance(event, dict)
        or not isinstance(event.get("event_id"), str)
        or not isinstance(event["timestamp"], str)
    ):
        return None
    payload = event["execution_trace"] or event["conversation_log"]
    return (
        event
        if payload and isinstance(payload["metadata"], dict) and payload["timestamp"][0] in "12"
        else None
    )


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(
        b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)
    ).hexdigest()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    out = tmp_path_factory.mktemp("fleet") / "cache"
    return simulate(out, seed=9, damage=DAMAGE, **FLEET)


def test_the_same_arguments_write_the_same_bytes_and_another_seed_does_not(fleet, tmp_path):
    again = simulate(tmp_path / "again" / "cache", seed=9, damage=DAMAGE, **FLEET)
    other = simulate(tmp_path / "other" / "cache", seed=10, damage=DAMAGE, **FLEET)
    assert digest(again.out.parent) == digest(fleet.out.parent)
    assert digest(other.out.parent) != digest(fleet.out.parent)


def test_each_node_has_a_folder_with_several_files_of_every_kind(fleet):
    folders = sorted(path for path in fleet.out.iterdir())
    assert tuple(folder.name for folder in folders) == tuple(sorted(fleet.truth.nodes))
    for folder in folders:
        names = [path.name for path in folder.iterdir()]
        assert len(names) > FLEET["days"]
        assert all(
            re.fullmatch(r"events_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl(\.gz|\.zst)?", name)
            for name in names
        )
        assert {Path(name).suffix for name in names} == {".jsonl", ".gz", ".zst"}


def test_truth_is_what_a_recount_of_the_files_finds(fleet):
    truth = orjson.loads(fleet.truth_path.read_bytes())
    lines = [
        (path.parent.name, line) for path in sorted(fleet.out.rglob("events_*")) for line in lines_of(path)
    ]
    events = [(node, line, event) for node, line in lines if (event := event_in(line))]
    contents: dict[str, Counter] = {}
    for _, line, event in events:
        contents.setdefault(event["event_id"], Counter())[line] += 1
    assert len(lines) - len(events) == truth["malformed"] > 0
    assert len(contents) == truth["events"] == FLEET["days"] * FLEET["events_per_day"]
    assert sum(len(versions) - 1 for versions in contents.values()) == truth["conflicts"] > 0
    assert (
        sum(sum(versions.values()) - len(versions) for versions in contents.values())
        == truth["duplicates"]
        > 0
    )
    skewed = [
        event
        for _, _, event in events
        if (event["execution_trace"] or event["conversation_log"])["timestamp"][:4] in {"2099", "1970"}
    ]
    assert len({event["event_id"] for event in skewed}) == truth["clock_skewed"] > 0

    by_day: dict[str, Counter] = {failure["id"]: Counter() for failure in truth["failures"]}
    patterns = [
        (failure["id"], re.compile(failure["match"])) for failure in truth["failures"] if failure["match"]
    ]
    for event in {event["event_id"]: event for _, _, event in events}.values():
        call = event["execution_trace"]
        if call and call["error"]:
            day = datetime.fromisoformat(call["timestamp"]).astimezone(UTC).date().isoformat()
            for name, pattern in patterns:
                by_day[name][day] += bool(pattern.search(call["error"]))
    for failure in truth["failures"]:
        if failure["match"]:
            assert +by_day[failure["id"]] == failure["events_by_day"]
            assert failure["days"] == sorted(failure["events_by_day"])


def test_late_events_lie_in_a_file_of_a_later_day(tmp_path):
    def out_of_order(report) -> int:
        found = 0
        for folder in report.out.iterdir():
            newest = ""
            for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
                for line in lines_of(path):
                    at = datetime.fromisoformat(orjson.loads(line)["timestamp"]).astimezone(UTC).isoformat()
                    found += at < newest
                    newest = max(newest, at)
        return found

    only_late = Damage(0, 0, 0.02, 0, 0)
    late = simulate(tmp_path / "late" / "cache", seed=9, damage=only_late, **FLEET)
    punctual = simulate(tmp_path / "punctual" / "cache", seed=9, damage=only_late, late=False, **FLEET)
    assert punctual.truth.late == out_of_order(punctual) == 0
    assert late.truth.late > 100
    assert 0.95 * late.truth.late <= out_of_order(late) <= late.truth.late
    assert late.truth.failures[0].events_by_day == punctual.truth.failures[0].events_by_day


def test_a_null_fleet_plants_nothing(tmp_path):
    report = simulate(tmp_path / "cache", seed=9, null=True, **FLEET)
    truth = orjson.loads(report.truth_path.read_bytes())
    assert truth["failures"] == []
    assert truth["noise_failures"] > 0


def test_one_day_in_plain_files_has_exactly_the_events_asked_for(tmp_path):
    report = simulate(
        tmp_path / "cache",
        days=1,
        nodes=3,
        events_per_day=3_000,
        seed=1,
        end=date(2026, 3, 31),
        damage=Damage(0, 0, 0, 0, 0),
        compression="plain",
    )
    lines = [line for path in report.out.rglob("*.jsonl") for line in lines_of(path)]
    assert len(lines) == 3_000
    assert {datetime.fromisoformat(orjson.loads(line)["timestamp"]).date() for line in lines} == {
        date(2026, 3, 31)
    }
    assert 450 < sum(map(len, lines)) / len(lines) < 700


def test_a_cache_that_holds_files_is_left_alone(fleet):
    before = digest(fleet.out.parent)
    with pytest.raises(FileExistsError, match="holds files already; simulate into a new or empty folder"):
        simulate(fleet.out, seed=1, **FLEET)
    assert digest(fleet.out.parent) == before


def test_progress_ends_at_the_lines_written(tmp_path):
    steps = []
    simulate(
        tmp_path / "cache",
        seed=9,
        damage=Damage(0, 0, 0, 0, 0),
        progress=lambda done, total: steps.append((done, total)),
        **FLEET,
    )
    assert steps == sorted(steps)
    assert steps[-1] == (10_000, 10_000)
