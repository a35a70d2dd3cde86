"""What each step of a cycle costs, by events, nodes, days and distinct messages: CPU seconds and peak memory,
fitted, projected and priced.

    nice -n 10 python benchmarks/scaling.py --out points.jsonl [--events 100000 300000 1000000] [--axes]
    [--files 1000 4000] [--rows 50000] [--project 1000000000]

Each point is a simulated fleet in a temporary folder, worked on by a process of its own: ingest (files to
redacted Parquet), again (one event that comes late to the day), sums (signatures, totals, signals), patterns,
playbooks and report of the last day. `--axes` also varies nodes, days and distinct messages about the first
number of events. A point is appended to `--out` once it is measured, and one that is there already is not
measured again. `--files` measures what a day costs to read by the number of its files, `--rows` what an
analysis takes by the rows of sums that it reads.

CPU seconds are what is fitted: other work on the machine changes them by a quarter, and wall time by any
factor. Each step is fitted over all points against what it depends on (`DRIVERS`), with coefficients that are
not negative and relative errors squared, so that small points count as much as large ones. Beyond the range
of the points it is a projection and no measurement. Prices are assumptions (`--vcpu-hour`, `--disk-month`,
`--object-month`), and no quotes. The last line is JSON.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
from scipy.optimize import nnls

from fl_assets.core.cycles import window_of
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.engine import ROUND_BYTES
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.counts import HISTORY_DAYS
from fl_assets.patterns.grouping import load_corrections
from fl_assets.patterns.store import READ_DAYS
from fl_assets.playbooks.propose import propose
from fl_assets.playbooks.remedies import load_remedies
from fl_assets.report.build import build_report
from fl_assets.report.page import write_report
from fl_assets.simulator.catalogue import METHODS
from fl_assets.simulator.damage import Damage
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace

DAY = date(2026, 11, 1)
DRIVERS = {
    "ingest": ("events", "days"),
    "again": ("near",),
    "sums": ("events", "sums", "days"),
    "patterns": ("messages", "cells", "history"),
    "playbooks": ("patterns",),
    "report": ("patterns",),
}
"""What the CPU seconds of each step depend on. `events`: of all `days`. `near`: stored on the last day and
the one before. `sums`: rows of failure_signatures, `history`: those that an analysis reads. `messages`:
distinct ones. `cells`: patterns x days and nodes that reported."""
MEMORY = {"patterns": ("patterns",), "playbooks": ("patterns",), "report": ("patterns",)}
"""The same for memory. What ingestion and sums take is bounded by batches and by DuckDB's limit, so there the
most that was seen counts; what each row of `history` takes is told by `--rows`, since in the points rows and
messages grow together."""
STEPS = tuple(DRIVERS)
PLAIN = {"nodes": 50, "days": 1, "messages": 0}
AXES = {"nodes": (10, 200), "days": (7, 14), "messages": (1_000, 10_000, 50_000)}
CORNER = {"nodes": 200, "days": 14, "messages": 1_000}
"""Nodes, days and messages at once: what they do to each other shows nowhere else."""
KEY = ("events", "nodes", "days", "added_messages")


def word(number: int) -> str:
    """A word of letters alone, so that no mask makes two of them one."""
    letters = ""
    while True:
        number, rest = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[rest] + "aeiou"[rest % 5]
        if not number:
            return letters


def failed_call(name: str, node: int, error: str, number: int) -> bytes:
    """A failed call of a method that all nodes use."""
    moment = f"{DAY}T{number % 24:02}:{number % 60:02}:00Z"
    trace = {
        "trace_id": f"t-{name}",
        "request_id": f"r-{name}",
        "service": METHODS[0].service,
        "method": METHODS[0].name,
        "duration_ms": 5,
        "success": False,
        "error": error,
        "metadata": {"node_id": f"node-{node:04}"},
        "timestamp": moment,
    }
    return (
        orjson.dumps(
            {
                "event_id": f"m-{name}",
                "event_type": "ExecutionTrace",
                "execution_trace": trace,
                "conversation_log": None,
                "timestamp": moment,
            }
        )
        + b"\n"
    )


def add_messages(cache: Path, messages: int) -> None:
    """Add failures that all say something else: each message on two nodes, in unlike words."""
    for node in range(2):
        lines = []
        for number in range(messages):
            text = (
                f"{word(number * 7919 + 11)} {word(number * 104_729 + 5)} refused "
                f"{word(number * 1_299_709 + 3)} of {word(number + 400)}"
            )
            lines.append(failed_call(f"{node}-{number}", node, text, number))
        (cache / f"events_messages_{node}.jsonl").write_bytes(b"".join(lines))


def peak_mb(*, reset: bool = False) -> float:
    """The most memory that this process held since the last reset, in MB (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def work(folder: Path) -> dict:
    """Run the steps over the fleet in `folder` and measure each."""
    settings = FederatedLearningConfig.from_env(
        telemetry_path=folder / "cache",
        data_path=folder / "data",
        error_records_path=folder / "records",
        playbook_path=folder / "playbooks",
    )
    space = Workspace(settings)

    def again() -> None:
        (folder / "cache" / "late.jsonl").write_bytes(failed_call("late", 0, "late", 0))
        report, _ = space.intake.ingest()
        assert report.events == 1

    def patterns() -> None:
        window = space.days.window(DAY)
        found = analyse(
            space.patterns.history(DAY),
            window,
            rules=load_failure_classes(),
            corrections=load_corrections(space.settings.corrections_path),
            false_discovery_rate=settings.false_discovery_rate,
            summary_min_nodes=settings.summary_min_nodes,
            suspects=space.patterns.suspects(window.days),
        )
        space.warehouse.replace("failure_patterns", DAY, found.patterns)
        space.warehouse.replace("pattern_members", DAY, found.members)

    def playbooks() -> None:
        known = pd.DataFrame(space.warehouse.read_day("failure_patterns", DAY))
        space.playbooks.replace(
            DAY,
            propose(
                known,
                load_remedies(space.settings.remedies_path),
                day=DAY,
                settings=settings,
                previous=space.playbooks.before(DAY),
            ),
        )

    def sums() -> None:
        space.sums.refresh_signatures(space.days.with_events(DAY))
        space.sums.refresh_conversations(space.days.with_events(DAY))

    steps = {
        "ingest": space.intake.ingest,
        "again": again,
        "sums": sums,
        "patterns": patterns,
        "playbooks": playbooks,
        "report": lambda: write_report(settings.reports_path, build_report(space.report.rows(DAY))),
    }
    space.warehouse.create()
    measured = {}
    for name in STEPS:
        peak_mb(reset=True)
        wall, cpu = time.perf_counter(), time.process_time()
        steps[name]()
        measured[name] = {
            "seconds": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "mb": peak_mb(),
        }
        print(
            f"  {name}: {measured[name]['seconds']:.1f} s, {measured[name]['cpu']:.1f} CPU s, "
            f"{measured[name]['mb']:.0f} MB",
            file=sys.stderr,
        )
    since = {"day": DAY, "from_day": DAY - timedelta(days=HISTORY_DAYS - 1)}
    (found,) = space.warehouse.rows(
        """select (select count(*) from failure_signatures) as sums, (select count(distinct message_id)
            from failure_signatures) as messages,
            (select count(*) from failure_patterns where event_date = $day) as patterns,
            (select count(distinct (event_date, node_id)) from call_totals
                where event_date between $from_day and $day) as node_days""",
        since,
    )
    stored = list(settings.lake_path.rglob("*.parquet"))
    size = sum(path.stat().st_size for path in stored)
    return {
        "steps": measured,
        **found,
        "lake_mb": size / 1e6,
        "lake_files": len(stored),
        "warehouse_mb": settings.warehouse_path.stat().st_size / 1e6,
    }


def point(events: int, *, nodes: int, days: int, messages: int) -> dict:
    """Simulate one fleet and measure it in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fl-scaling-"))
    try:
        clean = Damage(duplicates=0, conflicts=0, late=0, malformed=0, clock_skew=0)
        simulate(
            folder / "cache",
            days=days,
            nodes=nodes,
            events_per_day=events,
            seed=1,
            end=DAY,
            late=False,
            damage=clean,
            compression="plain",
        )
        if messages:
            add_messages(folder / "cache", messages)
        size = sum(path.stat().st_size for path in (folder / "cache").rglob("*.jsonl"))
        return {
            "events": events,
            "nodes": nodes,
            "days": days,
            "added_messages": messages,
            "json_mb": size / 1e6,
            **in_a_process("--only", str(folder)),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_a_process(*arguments: str) -> dict:
    """Measure something in a process of its own; say with it what was measured and beside what."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.strip()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {
        **json.loads(done.stdout.strip().splitlines()[-1]),
        "commit": commit,
        "load": round(os.getloadavg()[1], 1),
    }


def many_files(files: int, rows: int = 200) -> dict:
    """Sum a day that lies in so many small files, and the same rows in one."""
    folder = Path(tempfile.mkdtemp(prefix="fl-scaling-"))
    try:
        settings = FederatedLearningConfig.from_env(
            telemetry_path=folder / "cache", data_path=folder / "data"
        )
        space = Workspace(settings)
        simulate(
            folder / "cache",
            days=1,
            nodes=5,
            events_per_day=rows * 4 // 3,
            seed=1,
            end=DAY,
            late=False,
            compression="plain",
        )
        space.intake.ingest()
        manifest = space.lake.manifest("raw_traces", DAY)
        (only,) = manifest.files
        place = space.lake.folder("raw_traces", DAY)
        copies = [only.model_copy(update={"name": f"{number:06}-{only.name}"}) for number in range(files)]
        for copy in copies:
            os.link(place / only.name, place / copy.name)
        peak_mb(reset=True)
        cpu = time.process_time()
        space.lake.commit(
            manifest.model_copy(
                update={"files": (only, *copies), "rows": only.rows * (files + 1), "version": 2}
            )
        )
        committed, cpu = time.process_time() - cpu, time.process_time()
        space.engine.signatures(DAY)
        summed, cpu = time.process_time() - cpu, time.process_time()
        space.intake.backlog()
        asked, cpu = time.process_time() - cpu, time.process_time()
        return {
            "files": files,
            "rows": only.rows * (files + 1),
            "commit_cpu": committed,
            "sums_cpu": summed,
            "backlog_cpu": asked,
            "mb": peak_mb(),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def many_rows(rows: int, nodes: int = 1_000, messages: int = 200) -> dict:
    """Analyse so many rows of sums of the last days, of a fleet of many nodes, put straight into the
    warehouse.
    """
    with tempfile.TemporaryDirectory(prefix="fl-scaling-") as folder:
        space = Workspace(
            FederatedLearningConfig.from_env(
                telemetry_path=Path(folder) / "cache", data_path=Path(folder) / "data"
            )
        )
        place = {"service": METHODS[0].service, "method": METHODS[0].name}
        texts = [
            f"{word(number * 7919 + 11)} {word(number * 104_729 + 5)} refused {word(number * 1_299_709 + 3)}"
            for number in range(messages)
        ]
        a_day = rows // HISTORY_DAYS
        for back in range(HISTORY_DAYS - 1, -1, -1):
            day = DAY - timedelta(days=back)
            seen = {"first_seen": pd.Timestamp(day), "last_seen": pd.Timestamp(day)}
            calls = [
                {
                    "node_id": f"node-{node:04}",
                    **place,
                    "calls": 900,
                    "failures": 90,
                    "sessions": 500,
                    "latency_histogram": [(5, 900)],
                }
                for node in range(nodes)
            ]
            failures = []
            for row in range(a_day):
                message = (row // nodes + row * 7) % messages
                named = {
                    "message_id": f"{message:016}",
                    "masked_error": texts[message],
                    "has_text": True,
                    "failures": 3,
                    "sessions": 2,
                    **seen,
                }
                failures.append(
                    calls[row % nodes]
                    | named
                    | {
                        "exemplar_trace_ids": [f"{row:032}", f"{row + 1:032}"],
                        "latency_histogram": [(5, 2), (6 + row % 60, 1)],
                    }
                )
            space.warehouse.replace_records("failure_signatures", day, failures)
            space.warehouse.replace_records("call_totals", day, calls)
        del calls, failures
        before, cpu = peak_mb(reset=True), time.process_time()
        history = space.patterns.history(DAY)
        read, window = peak_mb(), window_of(DAY, lambda _: 1_000, required=1, max_days=1)
        found = analyse(
            history,
            window,
            rules=load_failure_classes(),
            corrections=load_corrections(space.settings.corrections_path),
            false_discovery_rate=0.1,
        )
        cpu = time.process_time() - cpu
        return {
            "rows": len(history.signatures),
            "patterns": len(found.patterns),
            "before_mb": before,
            "read_mb": read,
            "mb": peak_mb(),
            "cpu": cpu,
        }


def drivers_of(one: dict) -> dict[str, float]:
    """What the steps of a point depend on."""
    events = one["events"] * one["days"] + 2 * one["added_messages"]
    near = one["events"] * min(one["days"], 2) + 2 * one["added_messages"]
    return {
        "events": events,
        "days": one["days"],
        "near": near,
        "sums": one["sums"],
        "history": one["sums"],
        "messages": one["messages"],
        "patterns": one["patterns"],
        "cells": one["patterns"] * one["node_days"],
    }


def fit(rows: list[dict[str, float]], cost: list[float], names: tuple[str, ...]) -> dict:
    """Fit a cost as a start and a price for each unit of some drivers, none of them negative, by least
    squares of the relative errors.

    Returns:
        `start`, `per` (by driver), `r2` over the costs as they are, and `worst`: the largest relative error
        of a point.
    """
    given, wanted = np.array([[1.0, *(row[name] for name in names)] for row in rows]), np.array(cost, float)
    scale = np.maximum(given.max(axis=0), 1.0)
    weights, _ = nnls(given / scale / wanted[:, None], np.ones(len(wanted)))
    weights /= scale
    said = given @ weights
    spread = ((wanted - wanted.mean()) ** 2).sum()
    return {
        "start": float(weights[0]),
        "per": dict(zip(names, weights[1:].tolist(), strict=True)),
        "r2": float(1 - ((wanted - said) ** 2).sum() / spread) if spread else float("nan"),
        "worst": float(np.abs(said / wanted - 1).max()),
        "points": len(wanted),
    }


def at(fitted: dict, drivers: Mapping[str, float]) -> float:
    """What a fit says for some drivers."""
    return fitted["start"] + sum(price * drivers[name] for name, price in fitted["per"].items())


def missing(plan: list[tuple[int, dict]], points: list[dict]) -> list[tuple[int, dict]]:
    """Return what of a plan was not measured yet, in its order and each once."""
    done, left = {tuple(one[name] for name in KEY) for one in points}, []
    for events, varied in plan:
        key = (events, varied["nodes"], varied["days"], varied["messages"])
        if key not in done:
            done.add(key)
            left.append((events, varied))
    return left


def project(points: list[dict], fits: dict, target: dict[str, int], prices: dict[str, float]) -> dict:
    """Say what a day of `target` costs.

    Args:
        points: the measured ones; the largest says how many bytes an event has, as JSON and in the lake,
            and in how many files they lie.
        fits: by step, `cpu` and `mb`.
        target: `events, nodes, sums, messages, patterns` of a day, `days` of history that are analysed,
            and `keep`: days that raw events are kept.
        prices: `vcpu_hour`, `disk_month` and `object_month`, the last two for a GB.
    """
    largest = max(points, key=lambda one: one["events"] * one["days"])
    stored = largest["events"] * largest["days"]
    json_bytes, lake_bytes = (
        target["events"] * largest[name] * 1e6 / stored for name in ("json_mb", "lake_mb")
    )
    drivers = {
        "events": target["events"],
        "days": 1,
        "near": 2 * target["events"],
        "sums": target["sums"],
        "history": target["sums"] * READ_DAYS,
        "messages": target["messages"],
        "patterns": target["patterns"],
        "cells": target["patterns"] * target["nodes"] * target["days"],
    }
    rounds = max(1.0, np.ceil(json_bytes / ROUND_BYTES))
    hours = {name: at(fits[name]["cpu"], drivers) / 3600 for name in STEPS}
    # Each round looks for its ids among all that the day and its neighbours hold by then: half the day on
    # average, and the whole day before it.
    hours["again"] = rounds * at(fits["again"]["cpu"], {"near": 1.5 * target["events"]}) / 3600
    cpu = sum(hours.values())
    lake_gb = lake_bytes / 1e9
    return {
        "hours": hours,
        "cpu_hours": cpu,
        "vcpus_all_day": cpu / 24,
        "mb": {
            name: at(fits[name]["mb"], drivers)
            if name in MEMORY
            else max(one["steps"][name]["mb"] for one in points)
            for name in STEPS
        },
        "rounds": int(rounds),
        "json_gb": json_bytes / 1e9,
        "lake_gb": lake_gb,
        "lake_files": int(np.ceil(target["events"] * largest["lake_files"] / stored)),
        "usd_cpu_day": cpu * prices["vcpu_hour"],
        "usd_disk_month": lake_gb * target["keep"] * prices["disk_month"],
        "usd_object_month": lake_gb * target["keep"] * prices["object_month"],
    }


def table_row(one: dict) -> str:
    """One line of a Markdown table: CPU seconds and peak MB of each step."""
    cells = [
        f"{one['events']:,}",
        str(one["nodes"]),
        str(one["days"]),
        f"{one['messages']:,}",
        f"{one['sums']:,}",
        f"{one['patterns']:,}",
        f"{one['lake_mb']:.0f}",
    ]
    cells += [f"{one['steps'][name]['cpu']:.1f} s, {one['steps'][name]['mb']:.0f} MB" for name in STEPS]
    return "| " + " | ".join([*cells, one["commit"]]) + " |"


def fit_line(name: str, measure: str, one: dict) -> str:
    """One line of text: what a step's cost is made of."""
    unit = "CPU s" if measure == "cpu" else "MB"
    parts = [
        f"{one['start']:.2f} {unit}",
        *(
            f"{price:.2f} {unit} a day"
            if driver == "days"
            else f"{price * 1e6:.4g} {unit} a million {driver}"
            for driver, price in one["per"].items()
        ),
    ]
    return (
        f"{name:10} {' + '.join(parts)}; R² {one['r2']:.4f}, worst {one['worst']:.0%} of "
        f"{one['points']} points"
    )


def tell(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, nargs="*", default=[100_000, 300_000, 1_000_000])
    parser.add_argument(
        "--axes",
        action="store_true",
        help="also vary nodes, days and distinct messages about the first number of events",
    )
    parser.add_argument("--files", type=int, nargs="*", default=[], help="also sum days of so many files")
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="also analyse so many rows of sums")
    parser.add_argument(
        "--out", type=Path, help="file of measured points (JSON lines), which are not measured again"
    )
    parser.add_argument("--project", type=int, default=1_000_000_000, help="events of a day to project to")
    parser.add_argument("--nodes", type=int, default=1_000, help="nodes of the projected fleet")
    parser.add_argument(
        "--sums", type=int, default=100_000, help="sums of its day: nodes x distinct messages of each"
    )
    parser.add_argument("--messages", type=int, default=5_000, help="distinct messages that it has had")
    parser.add_argument("--patterns", type=int, default=1_000, help="patterns of its day")
    parser.add_argument("--keep", type=int, default=30, help="days that its raw events are kept")
    parser.add_argument("--vcpu-hour", type=float, default=0.05, help="USD, with 4 GB of memory")
    parser.add_argument("--disk-month", type=float, default=0.10, help="USD a GB of block storage")
    parser.add_argument("--object-month", type=float, default=0.025, help="USD a GB of object storage")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only-files", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only-rows", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name, measure in (("only", work), ("only_files", many_files), ("only_rows", many_rows)):
        if chosen := getattr(given, name):
            tell(json.dumps(measure(chosen)))
            return
    points = (
        [json.loads(line) for line in given.out.read_text().splitlines()]
        if given.out and given.out.exists()
        else []
    )
    grid = (
        [*(PLAIN | {axis: value} for axis, values in AXES.items() for value in values), CORNER]
        if given.axes
        else []
    )
    plan = missing(
        [
            *((events, PLAIN) for events in sorted(given.events)),
            *((given.events[0], varied) for varied in grid),
        ],
        points,
    )
    for number, (events, varied) in enumerate(plan, 1):
        print(
            f"{number} of {len(plan)}: {events:,} events a day, {varied}, load {os.getloadavg()[0]:.1f}",
            file=sys.stderr,
            flush=True,
        )
        points.append(point(events, **varied))
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps(points[-1]) + "\n")
    tell(
        "| events a day | nodes | days | distinct messages | sums | patterns | lake, MB | "
        + " | ".join(STEPS)
        + " | commit |"
    )
    tell("|" + "---|" * (8 + len(STEPS)))
    for one in points:
        tell(table_row(one))
    files = [in_a_process("--only-files", str(count)) for count in given.files]
    for one in files:
        tell(
            f"{one['files']:,} files: manifest {one['commit_cpu']:.2f}, sums {one['sums_cpu']:.2f}, "
            f"backlog {one['backlog_cpu']:.2f} CPU s, {one['mb']:.0f} MB"
        )
    rows = [in_a_process("--only-rows", str(count)) for count in given.rows]
    for one in rows:
        said = (
            f"{one['before_mb']:.0f} MB before, {one['read_mb']:.0f} once read, {one['mb']:.0f} at the most"
        )
        tell(f"{one['rows']:,} rows of sums, {one['patterns']} patterns: {one['cpu']:.1f} CPU s, {said}")
    fits = {}
    if len(points) > max(map(len, DRIVERS.values())) + 1:
        drivers_seen = [drivers_of(one) for one in points]
        for measure, drivers in (("cpu", DRIVERS), ("mb", MEMORY)):
            for name, names in drivers.items():
                found = fits.setdefault(name, {})[measure] = fit(
                    drivers_seen, [one["steps"][name][measure] for one in points], names
                )
                tell(fit_line(name, measure, found))
        if len(rows) > 1:
            more = np.polyfit([one["rows"] for one in rows], [one["mb"] for one in rows], 1)[0]
            fits["patterns"]["mb"]["per"]["history"] = max(0.0, float(more))
            tell(f"patterns   and {more * 1e6:.4g} MB a million history, of --rows")
    projected = None
    if fits:
        target = {
            "events": given.project,
            "nodes": given.nodes,
            "sums": given.sums,
            "messages": given.messages,
            "patterns": given.patterns,
            "days": HISTORY_DAYS,
            "keep": given.keep,
        }
        prices = {
            "vcpu_hour": given.vcpu_hour,
            "disk_month": given.disk_month,
            "object_month": given.object_month,
        }
        projected = project(points, fits, target, prices)
        tell(f"at {target}:")
        for name in STEPS:
            tell(f"{name:10} {projected['hours'][name]:.2f} CPU h, {projected['mb'][name]:,.0f} MB")
        tell(
            f"{projected['cpu_hours']:.1f} CPU h a day = {projected['usd_cpu_day']:.2f} USD a day; JSON "
            f"{projected['json_gb']:.0f} GB in {projected['rounds']} rounds; "
            f"lake {projected['lake_gb']:.0f} GB in {projected['lake_files']:,} files a day; {given.keep} "
            f"days of it {projected['usd_disk_month']:.0f} USD a month "
            f"on disks, {projected['usd_object_month']:.0f} as objects"
        )
    tell(json.dumps({"points": points, "files": files, "rows": rows, "fits": fits, "projected": projected}))


if __name__ == "__main__":
    main()
