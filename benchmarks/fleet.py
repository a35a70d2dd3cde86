"""Simulate a fleet, learn from all of its days, and compare with the truth: which planted failures became
patterns, and which may be acted on.

    python benchmarks/fleet.py --days 14 --nodes 50 --events-per-day 20000 --seed 7

The naive rival is the original's rule on the same events: group by exact `service:method:error`, confidence =
count / events of the day. Last line JSON: {"chronic_planted", "chronic_found", "actionable_expected",
"actionable_found", "single_node_actionable", "naive": {…}, "seconds"}.
"""

import argparse
import json
import tempfile
import time
import warnings
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import orjson

from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.simulator.write import simulate
from fl_assets.sums.masking import signature_sql

warnings.simplefilter("ignore")
END = date(2026, 11, 14)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--events-per-day", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    days = [END - timedelta(days=back) for back in range(asked.days - 1, -1, -1)]
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        root = Path(folder)
        simulate(
            root / "cache",
            days=asked.days,
            nodes=asked.nodes,
            events_per_day=asked.events_per_day,
            seed=asked.seed,
            end=END,
        )
        config = FederatedLearningConfig.from_env(
            data_path=root / "data",
            telemetry_path=root / "cache",
            playbook_path=root / "playbooks",
            error_records_path=root / "none",
        )
        coordinator = FederatedLearningCoordinator(config, instance=instance)
        begin = time.perf_counter()
        results = coordinator.backfill(days[0], days[-1])
        seconds = time.perf_counter() - begin
        for result in results:
            print(f"{result.day} {result.status:<18} {result.events_processed:>8} events  {result.reason}")
        truth = orjson.loads((root / "truth.json").read_bytes())["failures"]
        report = compare(coordinator, truth, days) | {
            "naive": naive(coordinator, truth, days[-1]),
            "seconds": round(seconds, 1),
        }
    print(json.dumps(report))


def compare(coordinator: FederatedLearningCoordinator, truth: list[dict], days: list[date]) -> dict:
    """Match planted failures with a text to the patterns that hold their messages."""
    space, last = coordinator.workspace, days[-1]
    told = [planted for planted in truth if planted["match"]]
    actionable = {
        day: {one.pattern_id for one in space.playbooks.of(day) if not one.held_because} for day in days
    }
    found, acted, loud = [], [], []
    for planted in told:
        patterns = {day: patterns_of(space, planted["match"], day) for day in days}
        if planted["shape"] == "chronic" and len(planted["nodes"]) >= 3:
            found.append(bool(patterns[last]))
        if planted["actionable"]:
            acted.append(bool(patterns[last] & merged(space, last, actionable[last])))
        if planted["shape"] == "single_node":
            loud += [day for day in days if patterns[day] & actionable[day]]
        print(
            f"{planted['id']:<28} {planted['shape']:<12} nodes {len(planted['nodes']):>3}  patterns "
            f"{len(patterns[last])}  actionable {bool(patterns[last] & actionable[last])}"
        )
    return {
        "chronic_planted": len(found),
        "chronic_found": sum(found),
        "actionable_expected": len(acted),
        "actionable_found": sum(acted),
        "single_node_actionable": len(loud),
    }


def merged(space, day: date, actionable: set[str]) -> set[str]:
    """Patterns that actionable playbooks answer, those merged into them included."""
    return actionable | {
        pattern for one in space.playbooks.of(day) if not one.held_because for pattern in one.merged_patterns
    }


def patterns_of(space, match: str, day: date) -> set[str]:
    with space.engine.connect() as connection:
        files = [str(path.resolve()) for path in space.lake.files("raw_traces", space.days.window(day).days)]
        connection.read_parquet(files, hive_partitioning=False).create_view("events")
        connection.execute(
            "create table planted as select * from events where not success and regexp_matches(error, "
            "$match)",
            {"match": match},
        )
        messages = set(connection.sql(signature_sql("planted")).to_arrow_table()["message_id"].to_pylist())
    return {
        row["pattern_id"]
        for row in space.warehouse.read_day("pattern_members", day)
        if row["message_id"] in messages
    }


def naive(coordinator: FederatedLearningCoordinator, truth: list[dict], day: date) -> dict:
    """The original's rule: groups by exact text, and confidence = count / events."""
    space = coordinator.workspace
    with space.engine.connect() as connection:
        files = [str(path.resolve()) for path in space.lake.files("raw_traces", [day])]
        connection.read_parquet(files, hive_partitioning=False).create_view("events")
        groups = connection.sql(
            "select service, method, error, count(*) as n from events where not success group by all"
        ).fetchall()
        events = connection.sql("select count(*) from events").fetchall()[0][0]
    return {
        "groups": len(groups),
        "actionable": sum(n / events >= 0.7 for *_, n in groups),
        "planted": len(truth),
    }


if __name__ == "__main__":
    main()
