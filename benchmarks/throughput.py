"""Ingest a simulated day: bare DuckDB, our ingestion and the whole cycle, alternating, each in a process of
its own.

    python benchmarks/throughput.py --events 1000000 [--runs 3] [--malformed 0.01] [--compression gzip]
    [--format otlp] [--skip-cycle] [--json]

(a) bare: `create table as` over `read_json` with declared columns (the same types that we store) into a
database file; it checks nothing. (b) ingest: our ingestion of that day: parse, check, redact, deduplicate,
sort, Parquet, manifest, index. (c) cycle: `fl-assets cycle --date D` in a fresh process, Dagster included.

Prints medians, ratios and the peak memory of each process; the last line is JSON. Wall time includes no
simulation and no start of Python for (a) and (b). With `--compression` (a) reads the same files decompressed,
so that b/a stays comparable. With `--format otlp` (b) and (c) read the same events as spans of OTLP/JSON, a
hundred in a line, with the attributes of OpenTelemetry's conventions for generative AI; (a) reads what
it did.
"""

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import zstandard

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.engine import DuckDBEngine
from fl_assets.simulator.damage import Damage
from fl_assets.simulator.write import simulate

DAY = date(2026, 11, 1)
_SPANS_OF_A_LINE = 100
MEASURES = ("bare", "ingest", "cycle")
_SHARED = "metadata MAP(VARCHAR, VARCHAR), timestamp TIMESTAMPTZ"
COLUMNS = {
    "event_id": "VARCHAR",
    "event_type": "VARCHAR",
    "execution_trace": "STRUCT(trace_id VARCHAR, request_id VARCHAR, service VARCHAR, method VARCHAR, "
    "duration_ms DOUBLE, success BOOLEAN, error VARCHAR, " + _SHARED + ")",
    "conversation_log": "STRUCT(log_id VARCHAR, session_id VARCHAR, user_query VARCHAR, system_response "
    f"VARCHAR, {_SHARED})",
    "timestamp": "TIMESTAMPTZ",
}


def bare(folder: Path) -> int:
    """Load the plain files with nothing but DuckDB; malformed lines are left out by the simulation's twin
    without them.
    """
    with duckdb.connect(str(folder / "bare.duckdb")) as connection:
        files = sorted(map(str, (folder / "plain").rglob("*.jsonl")))
        connection.execute(
            "create table events as select * from read_json($files, format = 'newline_delimited', "
            f"columns = {COLUMNS}, ignore_errors = true)",
            {"files": files},
        )
        return connection.execute("select count(*) from events").fetchall()[0][0]


def ingest(folder: Path) -> int:
    """Run our ingestion over an empty lake."""
    settings = FederatedLearningConfig.from_env(
        telemetry_path=folder / "cache",
        data_path=folder / "data",
        error_records_path=folder / "records",
        playbook_path=folder / "playbooks",
    )
    report = DuckDBEngine(settings).ingest()
    return report.events + report.duplicates + report.conflicts + report.quarantined


def cycle(folder: Path) -> int:
    """Run the whole cycle as a user would; the process is this one's child, so its time includes the start of
    Python.
    """
    paths = {
        "TELEMETRY_PATH": "cache",
        "DATA_PATH": "data",
        "ERROR_RECORDS_PATH": "records",
        "PLAYBOOK_PATH": "playbooks",
    }
    environment = os.environ | {
        f"FEDERATED_LEARNING_{name}": str(folder / path) for name, path in paths.items()
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once
    subprocess.run(
        [sys.executable, "-m", "fl_assets.cli", "cycle", "--date", str(DAY)],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return 0


def measure(name: str, folder: Path) -> dict[str, float]:
    """Run one measurement in a process of its own, from nothing; return seconds and peak memory (largest of
    it and its children).
    """
    for path in ("data", "playbooks"):
        shutil.rmtree(folder / path, ignore_errors=True)
    for path in folder.glob("bare.duckdb*"):
        path.unlink()
    command = [sys.executable, str(Path(__file__).resolve()), "--only", name, "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed with status {status}")
    found = json.loads(output.strip().splitlines()[-1])
    return {
        "seconds": found["seconds"],
        "rows": found["rows"],
        "rss_mb": max(usage.ru_maxrss / 1024, found["rss_mb"]),
    }


def only(name: str, folder: Path) -> None:
    """Measure in this process and print it."""
    import resource

    begin = time.perf_counter()
    rows = {"bare": bare, "ingest": ingest, "cycle": cycle}[name](folder)
    seconds = time.perf_counter() - begin
    who = resource.RUSAGE_CHILDREN if name == "cycle" else resource.RUSAGE_SELF
    print(json.dumps({"seconds": seconds, "rows": rows, "rss_mb": resource.getrusage(who).ru_maxrss / 1024}))


def prepare(folder: Path, events: int, *, malformed: float, compression: str, seed: int) -> int:
    """Simulate the day, with the files as they are ingested in `cache` and plain in `plain`; return the bytes
    of JSON.
    """
    damage = Damage(duplicates=0, conflicts=0, late=0, malformed=malformed, clock_skew=0)
    simulate(
        folder / "cache",
        days=1,
        nodes=50,
        events_per_day=events,
        seed=seed,
        end=DAY,
        late=False,
        damage=damage,
        compression=compression,
    )
    size = 0
    for path in sorted(path for path in (folder / "cache").rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if path.suffix == ".zst":
            content = zstandard.ZstdDecompressor().stream_reader(content).read()
        target = (
            folder
            / "plain"
            / path.relative_to(folder / "cache").with_name(path.name.removesuffix(".gz").removesuffix(".zst"))
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        size += len(content)
    return size


def as_otlp(folder: Path) -> None:
    """Write native files again as export requests of OTLP/JSON, a hundred events in each line."""
    for path in sorted(folder.rglob("*.jsonl")):
        lines = path.read_bytes().splitlines()
        with path.open("wb") as file:
            for start in range(0, len(lines), _SPANS_OF_A_LINE):
                events = [orjson.loads(line) for line in lines[start : start + _SPANS_OF_A_LINE]]
                by_resource: dict[tuple[str, str], list[dict[str, Any]]] = {}
                for event in events:
                    payload = event["execution_trace"] or event["conversation_log"]
                    about = payload["metadata"]
                    service = payload.get("service") or about.get("service") or "agent"
                    node = about.get("node_id") or path.relative_to(folder).parts[0]
                    by_resource.setdefault((service, node), []).append(_span(event))
                request = {
                    "resourceSpans": [
                        {
                            "resource": {"attributes": _attributes({"service.name": name, "host.id": node})},
                            "scopeSpans": [{"scope": {"name": "simulated"}, "spans": spans}],
                        }
                        for (name, node), spans in by_resource.items()
                    ]
                }
                file.write(orjson.dumps(request) + b"\n")


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"stringValue": value}} for key, value in values.items() if value is not None
    ]


def _span(event: dict[str, Any]) -> dict[str, Any]:
    """Return the span that a program with OpenTelemetry would have sent of an event."""
    call, turn = event["execution_trace"], event["conversation_log"]
    about = (call or turn)["metadata"]
    end = int(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000) * 1_000_000
    span = {
        "traceId": str((call or about)["trace_id"]).replace("-", ""),
        "endTimeUnixNano": str(end),
        "status": {},
        "kind": 3,
    }
    if call:
        is_model = call["method"] in {"complete", "chat"}
        values = {
            "gen_ai.operation.name": "chat" if is_model else "execute_tool",
            "gen_ai.request.model": about.get("model") if is_model else None,
            "gen_ai.tool.name": None if is_model else call["method"],
            "gen_ai.tool.call.arguments": about.get("arguments"),
            "cloud.region": about.get("region"),
        }
        span |= {
            "spanId": call["request_id"],
            "parentSpanId": about.get("parent_span_id", ""),
            "name": f"chat {about.get('model')}" if is_model else f"execute_tool {call['method']}",
            "startTimeUnixNano": str(end - int(call["duration_ms"] * 1e6)),
            "attributes": _attributes(values),
        }
        if not call["success"]:
            exception = _attributes({"exception.type": "ToolError", "exception.message": call["error"]})
            span["status"] = {"code": 2, "message": call["error"]}
            span["events"] = [{"name": "exception", "timeUnixNano": str(end), "attributes": exception}]
        return span
    said = {"input": ("user", turn["user_query"]), "output": ("assistant", turn["system_response"])}
    messages = {
        f"gen_ai.{name}.messages": json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
        for name, (role, text) in said.items()
    }
    return span | {
        "spanId": turn["log_id"].replace("-", "")[:16],
        "name": "invoke_agent",
        "startTimeUnixNano": str(end - 1_000_000_000),
        "attributes": _attributes(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "agent",
                "gen_ai.conversation.id": turn["session_id"],
                **messages,
            }
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--malformed", type=float, default=0.0, help="share of malformed lines")
    parser.add_argument("--compression", choices=("plain", "gzip", "zstd", "mixed"), default="plain")
    parser.add_argument("--format", choices=("native", "otlp"), default="native", help="of the events")
    parser.add_argument("--skip-cycle", action="store_true", help="leave (c) out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the last line only")
    parser.add_argument(
        "--folder", type=Path, help="work here (it must be empty) instead of in a temporary folder"
    )
    parser.add_argument("--only", choices=MEASURES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.format == "otlp" and (given.compression != "plain" or given.malformed):
        parser.error("--format otlp takes neither --compression nor --malformed")
    if given.only:
        only(given.only, given.folder)
        return
    tell = (lambda _: None) if given.json else print
    folder = given.folder or Path(tempfile.mkdtemp(prefix="fl-throughput-"))
    try:
        size = prepare(
            folder, given.events, malformed=given.malformed, compression=given.compression, seed=given.seed
        )
        if given.format == "otlp":
            as_otlp(folder / "cache")
        tell(
            f"{given.events:,} events, {size / 1e6:.0f} MB of JSON, {given.compression}, "
            f"{given.malformed:.1%} malformed, as {given.format}"
        )
        measures = MEASURES[:2] if given.skip_cycle else MEASURES
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
        for number in range(given.runs):
            for name in measures:
                runs[name].append(measure(name, folder))
                tell(
                    f"  run {number + 1}, {name}: {runs[name][-1]['seconds']:.2f} s, "
                    f"{runs[name][-1]['rss_mb']:.0f} MB"
                )
        seconds = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items()}
        peaks = {name: round(max(run["rss_mb"] for run in found)) for name, found in runs.items()}
        for name in measures:
            tell(
                f"{name:7} {seconds[name]:8.2f} s  {given.events / seconds[name]:12,.0f} events/s  "
                f"{seconds[name] / seconds['bare']:5.2f} x bare  {peaks[name]:6} MB peak"
            )
        result = {"events": given.events, **{f"{name}_s": round(value, 3) for name, value in seconds.items()}}
        result |= {
            f"{name}_over_bare": round(seconds[name] / seconds["bare"], 3)
            for name in measures
            if name != "bare"
        }
        print(json.dumps(result | {"peak_rss_mb": peaks}))
    finally:
        if not given.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
