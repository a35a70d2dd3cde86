"""Do signals in talk point at failed tasks? Precision, recall and lift of each signal against recorded task
outcomes.

    python benchmarks/conversation_signals.py --data ../shared/data/tau_bench_airline

Reads `events.jsonl.gz` and the `task_reward` rows of `labels.jsonl.gz` (1 a task that succeeded, 0 one that
failed), joins talk and outcome by trace, and runs the statement that the product runs. The naive baseline is
any failed call in the task. A task without a failed call fails silently: how many of those are reached, and
how many clean successes are named in vain? The last line printed is JSON.
"""

import argparse
import json
from pathlib import Path

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES
from fl_assets.sums.conversations import SIGNALS, conversation_signals_sql


def load(data: Path) -> duckdb.DuckDBPyConnection:
    """Return a database with the lake's two tables of events, and `tasks(trace_id, has_failed)`."""
    db = duckdb.connect()
    columns = (
        "{event_id: 'VARCHAR', execution_trace: 'JSON', conversation_log: 'JSON', timestamp: 'TIMESTAMP'}"
    )
    db.execute(
        f"create table events as select * from read_json(?, columns = {columns}, format = "
        "'newline_delimited')",
        [str(data / "events.jsonl.gz")],
    )
    labels = "{event_id: 'VARCHAR', label: 'VARCHAR', label_kind: 'VARCHAR'}"
    db.execute(
        f"create table labels as select * from read_json(?, columns = {labels}, format = "
        "'newline_delimited')",
        [str(data / "labels.jsonl.gz")],
    )
    for table, column, names in (
        (RAW_TRACES, "execution_trace", ("service", "method", "trace_id", "error")),
        (CONVERSATION_LOGS, "conversation_log", ("log_id", "session_id", "user_query", "system_response")),
    ):
        db.execute(table.ddl)
        own = (
            "(e->>'success')::boolean as success"
            if table is RAW_TRACES
            else "e->>'$.metadata.trace_id' as trace_id"
        )
        texts = ", ".join(f"e->>'{name}' as {name}" for name in names)
        db.execute(
            f"""insert into {table.name} by name select event_id, timestamp, timestamp::date as event_date,
                {texts}, {own},
            e->>'$.metadata.node_id' as node_id, cast(e->'metadata' as map(varchar, varchar)) as metadata
            from (select event_id, timestamp, {column} as e from events) where e is not null"""
        )
    db.execute(
        """create table tasks as select trace_id, min(label) = '0' as has_failed
        from labels join raw_traces using (event_id) where label_kind = 'task_reward' group by trace_id"""
    )
    return db


def traces_with(db: duckdb.DuckDBPyConnection, signal: str) -> set[str]:
    """Return the tasks whose talk shows a signal: the statement run over one task a node, so that its sums
    name tasks.
    """
    db.execute(
        "create or replace temp view talk as select * replace (coalesce(trace_id, session_id) as "
        "node_id) from conversation_logs"
    )
    found = conversation_signals_sql("talk", "raw_traces")
    rows = db.execute(
        f"select distinct node_id from ({found}) where signal = ? and sessions_affected > 0", [signal]
    ).fetchall()
    return {row[0] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description="Do signals in talk point at failed tasks?")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with events.jsonl.gz and labels.jsonl.gz"
    )
    db = load(parser.parse_args().data)
    outcome = dict(db.execute("select trace_id, has_failed from tasks").fetchall())
    erring = {
        row[0] for row in db.execute("select distinct trace_id from raw_traces where not success").fetchall()
    }
    failed = {task for task, has_failed in outcome.items() if has_failed}
    silent, clean = failed - erring, set(outcome) - failed - erring
    hits = {signal: traces_with(db, signal) & set(outcome) for signal in SIGNALS}
    hits["any_signal"] = set().union(*hits.values())
    hits["any_but_refusal"] = set().union(*(hits[signal] for signal in SIGNALS if signal != "refusal"))
    hits["failed_call"] = erring & set(outcome)
    hits["failed_call_or_any_but_refusal"] = hits["failed_call"] | hits["any_but_refusal"]
    base = len(failed) / len(outcome)
    print(
        f"{len(outcome)} tasks, {len(failed)} failed ({base:.0%}), {len(silent)} of them without a failed "
        f"call; {len(clean)} succeeded without one"
    )
    scores = {}
    for name, found in hits.items():
        right = len(found & failed)
        precision = right / len(found) if found else None
        scores[name] = {
            "tasks": len(found),
            "precision": None if precision is None else round(precision, 3),
            "recall": round(right / len(failed), 3),
            "lift": None if precision is None else round(precision / base, 2),
            "false_alarms": round(len(found - failed) / (len(outcome) - len(failed)), 3),
            "silent_failures_reached": f"{len(found & silent)}/{len(silent)}",
            "clean_successes_named": f"{len(found & clean)}/{len(clean)}",
        }
        print(f"{name:31} {scores[name]}")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
