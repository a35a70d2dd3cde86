"""What each step of a cycle costs, by events, nodes, days and distinct messages: seconds, CPU seconds and peak memory, fitted and projected.

    python benchmarks/scaling.py [--events 100000 300000 1000000] [--axes] [--project 1000000000] [--json]

Each point is a simulated fleet in a temporary folder, worked on by a process of its own: ingest (files to redacted Parquet), sums (signatures, totals, signals), patterns,
playbooks and report of the last day. `--axes` also varies nodes, days and distinct messages about the first number of events. The fit is a straight line through
the points of `--events` (least squares, with R² and the range that it saw); beyond that range it is a projection and no measurement. The last line is JSON.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import orjson
import pandas as pd

from fl_assets.domain.analysis import analyse
from fl_assets.domain.playbooks import propose
from fl_assets.domain.report import build_report
from fl_assets.domain.settings import FederatedLearningConfig
from fl_assets.domain.simulation import Damage
from fl_assets.storage.report_files import write_report
from fl_assets.storage.report_rows import report_rows
from fl_assets.storage.simulator import simulate
from fl_assets.storage.workspace import Workspace

DAY = date(2026, 11, 1)
STEPS = ("ingest", "sums", "patterns", "playbooks", "report")
PLAIN = {"nodes": 50, "days": 1, "messages": 0}
AXES = {"nodes": (10, 200), "days": (7, 14), "messages": (1_000, 10_000, 50_000)}


def word(number: int) -> str:
    """A word of letters alone, so that no mask makes two of them one."""
    letters = ""
    while True:
        number, rest = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[rest] + "aeiou"[rest % 5]
        if not number:
            return letters


def add_messages(cache: Path, messages: int, nodes: int) -> None:
    """Add failures that all say something else: each message on two nodes, in two orders of unlike words."""
    for node in range(2):
        lines = []
        for number in range(messages):
            text = f"{word(number * 7919 + 11)} {word(number * 104_729 + 5)} refused {word(number * 1_299_709 + 3)} of {word(number + 400)}"
            moment = f"{DAY}T{number % 24:02}:{number % 60:02}:00Z"
            trace = {
                "trace_id": f"t-{node}-{number}",
                "request_id": f"r-{node}-{number}",
                "service": "various",
                "method": "call",
                "duration_ms": 5,
                "success": False,
                "error": text,
                "metadata": {"node_id": f"node-{node:04}"},
                "timestamp": moment,
            }
            event = {"event_id": f"m-{node}-{number}", "event_type": "ExecutionTrace", "execution_trace": trace, "conversation_log": None, "timestamp": moment}
            lines.append(orjson.dumps(event))
        (cache / f"events_messages_{node}_of_{nodes}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def peak_mb(*, reset: bool = False) -> float:
    """The most memory that this process held since the last reset, in MB (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def work(folder: Path) -> dict:
    """Run the steps over the fleet in `folder` and measure each."""
    settings = FederatedLearningConfig.from_env(
        telemetry_path=folder / "cache", data_path=folder / "data", error_records_path=folder / "records", playbook_path=folder / "playbooks"
    )
    space = Workspace(settings)

    def patterns() -> None:
        window = space.window(DAY)
        found = analyse(
            space.history(DAY),
            window,
            rules=space.failure_classes,
            corrections=space.corrections,
            false_discovery_rate=settings.false_discovery_rate,
            summary_min_nodes=settings.summary_min_nodes,
            suspects=space.suspects(window.days),
        )
        space.warehouse.replace("failure_patterns", DAY, found.patterns)
        space.warehouse.replace("pattern_members", DAY, found.members)

    def playbooks() -> None:
        known = pd.DataFrame(space.warehouse.read_day("failure_patterns", DAY))
        space.store_playbooks(DAY, propose(known, space.remedies, day=DAY, settings=settings, previous=space.earlier_playbooks(DAY)))

    def sums() -> None:
        space.refresh_signatures(DAY)
        space.refresh_conversations(DAY)

    steps = {
        "ingest": space.ingest,
        "sums": sums,
        "patterns": patterns,
        "playbooks": playbooks,
        "report": lambda: write_report(settings.reports_path, build_report(report_rows(space, DAY))),
    }
    space.warehouse.create()
    measured = {}
    for name in STEPS:
        peak_mb(reset=True)
        wall, cpu = time.perf_counter(), time.process_time()
        steps[name]()
        measured[name] = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "mb": peak_mb()}
    rows = space.warehouse.rows(
        "select count(*) as sums, count(distinct message_id) as messages from failure_signatures where event_date = $day", {"day": DAY}
    )[0]
    found = space.warehouse.rows("select count(*) as patterns from failure_patterns where event_date = $day", {"day": DAY})[0]
    stored = sum(path.stat().st_size for path in settings.lake_path.rglob("*.parquet"))
    return {"steps": measured, **rows, **found, "lake_mb": stored / 1e6}


def point(events: int, *, nodes: int, days: int, messages: int) -> dict:
    """Simulate one fleet and measure it in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fl-scaling-"))
    try:
        clean = Damage(duplicates=0, conflicts=0, late=0, malformed=0, clock_skew=0)
        simulate(folder / "cache", days=days, nodes=nodes, events_per_day=events, seed=1, end=DAY, late=False, damage=clean, compression="plain")
        if messages:
            add_messages(folder / "cache", messages, nodes)
        size = sum(path.stat().st_size for path in (folder / "cache").rglob("*.jsonl"))
        command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--only", str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return {"events": events, "nodes": nodes, "days": days, "added_messages": messages, "json_mb": size / 1e6, **found}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(one: dict) -> str:
    """One line of a Markdown table: wall / CPU seconds and peak MB of each step."""
    cells = [
        f"{one['events']:,}",
        str(one["nodes"]),
        str(one["days"]),
        f"{one['messages']:,}",
        f"{one['sums']:,}",
        str(one["patterns"]),
        f"{one['lake_mb']:.0f}",
    ]
    for name in STEPS:
        step = one["steps"][name]
        cells.append(f"{step['seconds']:.1f} / {step['cpu']:.1f} s, {step['mb']:.0f} MB")
    return "| " + " | ".join(cells) + " |"


def fit(points: list[dict], name: str, measure: str, project: int) -> dict:
    """A straight line through a step's cost by events, by least squares; R² says how much of the points' spread it explains."""
    events, cost = (np.array([value(one) for one in points], float) for value in (lambda one: one["events"], lambda one: one["steps"][name][measure]))
    slope, start = np.polyfit(events, cost, 1)
    spread = ((cost - cost.mean()) ** 2).sum()
    r2 = 1 - ((cost - start - slope * events) ** 2).sum() / spread if spread else float("nan")
    return {"per_million": slope * 1e6, "start": start, "r2": r2, "range": [int(events.min()), int(events.max())], "projected": start + slope * project}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--axes", action="store_true", help="also vary nodes, days and distinct messages")
    parser.add_argument("--project", type=int, default=1_000_000_000, help="events of a day to project to")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(work(given.only)))
        return
    tell = (lambda _: None) if given.json else (lambda text: print(text, flush=True))
    tell("| events a day | nodes | days | distinct messages | sums | patterns | lake, MB | " + " | ".join(STEPS) + " |")
    tell("|" + "---|" * (7 + len(STEPS)))
    grid = [(given.events[0], PLAIN | {axis: value}) for axis, values in AXES.items() for value in values] if given.axes else []
    points = []
    for events, varied in [*((events, PLAIN) for events in sorted(given.events)), *grid]:
        points.append(point(events, **varied))
        tell(row(points[-1]))
    line = points[: len(given.events)]
    fits = {}
    if len(line) > 2:
        for name in STEPS:
            fits[name] = {measure: fit(line, name, measure, given.project) for measure in ("seconds", "cpu", "mb")}
            cpu, memory = fits[name]["cpu"], fits[name]["mb"]
            tell(
                f"{name:10} {cpu['per_million']:8.2f} CPU s a million + {cpu['start']:.2f}, R² {cpu['r2']:.4f} over {cpu['range']}; "
                f"at {given.project:,}: {cpu['projected'] / 3600:.2f} CPU h; memory {memory['per_million']:.1f} MB a million + {memory['start']:.0f}, R² {memory['r2']:.3f}"
            )
    print(json.dumps({"points": points, "fits": fits}))


if __name__ == "__main__":
    main()
