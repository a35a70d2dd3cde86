"""Compare the two engines event by event, on generated and on real telemetry, and say what each costs.

    python benchmarks/engines.py [--events 200000] [--data ../shared/data] [--master local[*]]

Both ingest the same files: a simulated fleet; lines of every reason for which a line is refused; the
redaction corpus, each text in an error, in talk and in metadata; and all real sets in a format that is
ingested. Compared are, day by day: the content of what is stored, each redacted text by its hash, quarantined
lines by file, line and reason, counts of what was masked, and signatures and call totals. It ends with 1
where anything differs. The last line is JSON.
"""

import argparse
import gzip
import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import orjson

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import LAKE_TABLES
from fl_assets.events.outcome import IngestReport
from fl_assets.simulator.write import simulate
from fl_assets.spark.engine import SparkEngine
from fl_assets.sums.engine import SummingEngine

END = date(2026, 11, 14)
CORPUS = Path(__file__).parent / "redaction_corpus.jsonl"
REDACTED = {
    "raw_traces": ("error", "metadata"),
    "conversation_logs": ("user_query", "system_response", "metadata"),
    "quarantined_events": ("detail", "excerpt"),
}


def event(event_id: str, **given: Any) -> dict[str, Any]:
    """One call of the telemetrist's; `given` wins in the trace."""
    stamp = f"{END}T10:00:00Z"
    trace = {
        "trace_id": "t1",
        "request_id": "r1",
        "service": "search",
        "method": "query",
        "duration_ms": 12,
        "success": False,
        "error": None,
    }
    trace |= {"metadata": {"node_id": "n1"}, "timestamp": stamp}
    return {
        "event_id": event_id,
        "event_type": "ExecutionTrace",
        "execution_trace": trace | given,
        "conversation_log": None,
        "timestamp": stamp,
    }


def refused_lines() -> list[bytes]:
    """Lines of every reason that a line of the telemetrist's can be refused for, and some that look like it
    and are taken.
    """

    def line(name: str, **given: Any) -> bytes:
        return orjson.dumps(event(name, **given))

    secret = "ask jane.doe@example.com"
    return [
        b'{"event_id": "\xff\xfe"}',
        line("nul", service="a\0b"),
        line("long", error="x" * 1_100_000),
        b"{broken " + secret.encode(),
        line("deep", metadata={"x": 1}).replace(b'"x":1', b'"x":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
        line("wide", metadata={f"k{n}": "v" for n in range(5000)}),
        b"[1, 2]",
        line(""),
        orjson.dumps(event("type") | {"event_type": secret}),
        orjson.dumps(event("both") | {"conversation_log": {"log_id": "c"}}),
        line("field", service=None),
        line("wrong", success=secret),
        line("duration", duration_ms=-1),
        line("stamp", timestamp=secret),
        line("nan").replace(b":12", b":NaN"),
        line("quoted", error="NaN, Infinity and ,} in a text"),
        line("twice").replace(b'"method":"query"', b'"method":"first","method":"second"'),
        line("unknown").replace(b'"success"', f'"new":"{secret}","success"'.encode()),
        line(
            secret,
            service=secret,
            trace_id=secret,
            metadata={"node_id": secret, secret: "x", "password": "tr0ub4dor&3", "list": [secret]},
        ),
        line("controls", error=f"\x1f{secret}\x1e\x02\x03"),
        line("text of many lines", error=f"a\r\nb\u2028c\u0085d\x0be\x1b[31m {secret}\u017f \u212a \u0131d"),
        line(
            "long and hostile",
            error='{"message": "' + "\\\\a" * 20_000 + "0-" * 20_000 + "((((" * 5000 + secret,
        ),
        b"",
        line("last"),
    ]


def write_cases(cache: Path, *, corpus_step: int = 1) -> None:
    """Write refused lines and every n-th text of the redaction corpus, as errors, talk and metadata."""
    folder = cache / "cases"
    folder.mkdir(parents=True)
    (folder / "refused.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(refused_lines()) + b"\n")
    cut = gzip.compress(
        b"\n".join(
            orjson.dumps(event(f"g{n}", error=hashlib.sha256(bytes([n])).hexdigest())) for n in range(200)
        )
    )
    (folder / "cut.jsonl.gz").write_bytes(cut[: len(cut) // 2])
    with (folder / "corpus.jsonl").open("wb") as file:
        for number, text in enumerate(
            orjson.loads(line)["text"] for line in CORPUS.read_bytes().splitlines()[::corpus_step]
        ):
            call = event(f"corpus-{number}", error=text, metadata={"node_id": "n1", "note": text})
            talk = {
                "log_id": f"l{number}",
                "session_id": f"s{number % 50}",
                "user_query": text,
                "system_response": text[::-1],
                "metadata": {},
                "timestamp": call["timestamp"],
            }
            turn = call | {
                "event_id": f"talk-{number}",
                "event_type": "ConversationLog",
                "execution_trace": None,
                "conversation_log": talk,
            }
            file.write(orjson.dumps(call) + b"\n" + orjson.dumps(turn) + b"\n")


def put_together(cache: Path) -> None:
    """Make one large file of three quarters of the generated ones, so that it is read in parts."""
    paths = [path for number, path in enumerate(sorted(cache.rglob("*.jsonl"))) if number % 4]
    with (cache / "large.jsonl").open("wb") as file:
        for path in paths:
            file.write(path.read_bytes())
            path.unlink()


def link_real(data: Path, cache: Path) -> int:
    """Copy real sets into the cache: canonical events, and samples in their original formats; return how many
    files.
    """
    paths = [
        path
        for path in sorted(data.rglob("*"))
        if path.is_file() and (path.name == "events.jsonl.gz" or "raw_formats" in path.parts)
    ]
    for path in paths:
        target = cache / "real" / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return len(paths)


def engines(folder: Path, cache: Path, master: str) -> tuple[SummingEngine, SparkEngine]:
    """Return both engines over one cache, each with a data folder of its own and the same secret."""
    made = []
    for name, kind in (("duckdb", SummingEngine), ("spark", SparkEngine)):
        data = folder / name
        data.mkdir()
        (data / "pseudonym.key").write_bytes(b"0" * 32)
        made.append(
            kind(
                FederatedLearningConfig.from_env(
                    data_path=data,
                    telemetry_path=cache,
                    error_records_path=folder / "records",
                    playbook_path=data / "playbooks",
                    engine=name,
                    spark_master=master,
                )
            )
        )
    return made[0], made[1]


def outcome(engine: SummingEngine) -> dict[str, Any]:
    """Return what an engine made of its files: by table and day what its manifest says, the refused lines,
    signatures and call totals.
    """
    found: dict[str, Any] = {}
    for table in (each.name for each in LAKE_TABLES):
        for day in engine.lake.days(table):
            manifest = engine.lake.manifest(table, day)
            if manifest is not None and manifest.files:
                found[f"{table} {day}"] = (
                    manifest.rows,
                    manifest.content_hash,
                    manifest.source_files,
                    manifest.stats,
                )
    with engine.connect() as connection:
        sql = (
            "select event_date, source_file, source_line, reason from "
            f"{stored(engine, 'quarantined_events')} order by all"
        )
        for day, *row in connection.execute(sql).fetchall():
            found.setdefault(f"refused {day}", []).append(row)
    days = engine.lake.days("raw_traces")
    engine.expect(days)
    for day in days:
        for name, sums in zip(("signatures", "totals"), engine.signatures(day), strict=True):
            found[f"{name} {day}"] = sums.to_pylist()
    return found


def stored(engine: SummingEngine, table: str) -> str:
    """Return SQL that reads all days of a lake table."""
    files = [str(path.resolve()) for path in engine.lake.files(table, engine.lake.days(table))]
    return f"read_parquet({files}, hive_partitioning = false)"


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Name what differs between two outcomes, with the first thing in it that does."""
    found = []
    for key in sorted({*ours, *theirs}):
        one, other = ours.get(key), theirs.get(key)
        if one != other:
            pair = next(
                ((a, b) for a, b in zip(one or [], other or [], strict=False) if a != b),
                (one and len(one), other and len(other)),
            )
            found.append(f"{key}: {pair[0]!r:.300} | {pair[1]!r:.300}")
    return found


def texts(ours: SummingEngine, theirs: SummingEngine) -> tuple[int, list[str]]:
    """Compare each redacted text by its hash, and the rest of its row: return how many hashes were compared,
    and the rows that only one engine has.
    """
    compared, found = 0, []
    with duckdb.connect() as connection:
        for table, columns in REDACTED.items():
            hashes = ", ".join(f"sha256({column}) as {column}" for column in columns)
            rows = [f"select * replace ({hashes}) from {stored(engine, table)}" for engine in (ours, theirs)]
            compared += connection.execute(
                f"select {' + '.join(f'count({column})' for column in columns)} from {stored(ours, table)}"
            ).fetchall()[0][0]
            for name, one, other in (("duckdb", *rows), ("spark", *reversed(rows))):
                only = connection.execute(f"{one} except all {other}").fetchall()
                found += [f"{table}: only by {name}: {row!r:.400}" for row in only]
    return compared, found


def measured(engine: SummingEngine) -> tuple[IngestReport, dict[str, Any], float]:
    """Ingest and sum; return the report, the outcome and the seconds."""
    begin = time.perf_counter()
    report = engine.ingest(lambda text: print(f"  {text}"))
    return report, outcome(engine), time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--master", default="local[*]")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fl-engines-"))
    try:
        cache = folder / "cache"
        cache.mkdir()
        simulate(cache, days=2, nodes=50, events_per_day=given.events // 2, seed=3, end=END)
        put_together(cache)
        write_cases(cache)
        real = link_real(given.data, cache)
        print(
            f"{given.events:,} simulated events, {real} real files"
            if real
            else f"{given.events:,} simulated events; {given.data} is not there: nothing real"
        )
        duckdb_engine, spark_engine = engines(folder, cache, given.master)
        result: dict[str, Any] = {"events": given.events, "real_files": real}
        outcomes = []
        for name, engine in (("duckdb", duckdb_engine), ("spark", spark_engine)):
            report, found, seconds = measured(engine)
            outcomes.append(found)
            result |= {
                f"{name}_s": round(seconds, 1),
                f"{name}_events": report.events,
                f"{name}_quarantined": report.quarantined,
                f"{name}_masked": sum(report.redactions.values()),
            }
            print(
                f"{name}: {report.events:,} events, {report.quarantined:,} refused, "
                f"{sum(report.redactions.values()):,} values masked; {seconds:.1f} s with sums"
            )
        hashes, wrong = texts(duckdb_engine, spark_engine)
        wrong += differences(*outcomes)
        reasons = Counter(
            reason for key, rows in outcomes[0].items() if key.startswith("refused") for _, _, reason in rows
        )
        result |= {
            "compared": len(outcomes[0]),
            "texts_compared": hashes,
            "different": len(wrong),
            "reasons": len(reasons),
            "signatures": sum(len(rows) for key, rows in outcomes[0].items() if key.startswith("signatures")),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        print(
            "\n".join(wrong[:20])
            or f"no difference in {len(outcomes[0])} comparisons and {hashes:,} hashes of texts; refused "
            f"for {dict(sorted(reasons.items()))}"
        )
        print(json.dumps(result))
        sys.exit(1 if wrong else 0)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
