"""How many injected faults do patterns name? Errors and latency of a microservice system under fault
injection, against its labels.

    python benchmarks/faults_found.py --data ../shared/data/nezha_trainticket [--show]

Each injection is one window of events labelled `type@service`; events outside of all windows are what is
normal. A window is analysed as a day whose day before are the normal events, with the project's own
signatures, patterns and evidence. A pattern is *concentrated* when its rate in the window is at least twice
the normal one and the difference survives false-discovery control at 10 % within the window (hypergeometric
test of counts). A fault is *found* when the service in which a concentrated pattern fails most is the faulty
one, and found @10 when that holds for one of the ten least likely patterns, concentrated or not. All other
concentrated patterns count as false, though some are the fault's echo in its callers. `found_by_chance` is
how many would be found if each window were asked for one of the other faulty services.

`ours` is what the project does; `ours_with_latency` adds services whose traces are slow, which it does not
yet raise as patterns; `exact_key` is the original's `service:method:error`, through the same steps. The last
line printed is JSON.
"""

import argparse
import json
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from fl_assets.core.tables import CONVERSATION_SIGNALS, RAW_TRACES
from fl_assets.patterns.evidence import summarise
from fl_assets.patterns.grouping import group_patterns
from fl_assets.patterns.window import WindowSums
from fl_assets.sums.masking import call_totals_sql, signature_sql

DAY = date(2023, 1, 30)
BEFORE = DAY - timedelta(days=1)
GAP_SECONDS, TOP, LIFT, FDR, SLOW = 90, 10, 2.0, 0.1, 0.95
NO_SIGNALS = pd.DataFrame(columns=CONVERSATION_SIGNALS.column_names)


def load(data: Path) -> tuple[duckdb.DuckDBPyConnection, pd.DataFrame]:
    """Return a database with `raw_traces` (a column `injection` says which window an event is in, 0 for
    none), and the injections.
    """
    db = duckdb.connect()
    columns = (
        "columns = {event_id: 'VARCHAR', execution_trace: 'JSON', timestamp: 'TIMESTAMP'}, format "
        "= 'newline_delimited'"
    )
    labels = "columns = {event_id: 'VARCHAR', label: 'VARCHAR'}, format = 'newline_delimited'"
    db.execute(
        f"create table events as select * from read_json(?, {columns}) where execution_trace is not null",
        [str(data / "events.jsonl.gz")],
    )
    db.execute(
        f"create table labels as select * from read_json(?, {labels})", [str(data / "labels.jsonl.gz")]
    )
    db.execute(
        f"""create table windows as
        select event_id, label, dense_rank() over (order by label, nth) as injection
        from (select *, sum(starts) over (partition by label order by timestamp, event_id) as nth from (
            select event_id, label, timestamp,
                coalesce(timestamp - lag(timestamp) over by_label > interval {GAP_SECONDS} seconds,
                    true)::int as starts
            from labels join events using (event_id) window by_label as (partition by label
                order by timestamp, event_id)))"""
    )
    db.execute(RAW_TRACES.ddl)
    db.execute("alter table raw_traces add column injection integer")
    db.execute(
        """insert into raw_traces by name
        select event_id, events.timestamp, coalesce(injection, 0) as injection, t->>'service' as service,
            t->>'method' as method,
            t->>'$.metadata.node_id' as node_id, t->>'trace_id' as trace_id, (t->>'duration_ms')::double
                as duration_ms, (t->>'success')::boolean as success,
            t->>'error' as error, case when injection is null then ?::date else ?::date end as event_date,
                map([]::varchar[], []::varchar[]) as metadata
        from (select event_id, timestamp, execution_trace as t from events) as events left
            join windows using (event_id)""",
        [BEFORE, DAY],
    )
    injections = db.execute(
        "select injection, split_part(label, '@', 1) as type, split_part(label, '@', 2) as service from "
        "windows group by all order by injection"
    ).df()
    return db, injections


def our_signatures(db: duckdb.DuckDBPyConnection, injection: int) -> pd.DataFrame:
    return db.execute(
        signature_sql(f"(select * exclude (injection) from raw_traces where injection = {injection})")
    ).df()


def exact_key_signatures(db: duckdb.DuckDBPyConnection, injection: int) -> pd.DataFrame:
    """One message a raw `service:method:error`."""
    return db.execute(
        """select event_date, node_id, service, method, md5(concat_ws(chr(31), service, method, error))
            as message_id, error as masked_error, true as has_text,
            count(*) as failures, count(distinct trace_id) as sessions, min(timestamp) as first_seen,
                max(timestamp) as last_seen,
            [min(trace_id)] as exemplar_trace_ids, null as latency_histogram
        from raw_traces where not success and injection = ? group by all order by all""",
        [injection],
    ).df()


def messages_of(signatures: pd.DataFrame) -> pd.DataFrame:
    rows = signatures.sort_values(["message_id", "service", "method"]).drop_duplicates("message_id")
    return rows.assign(first_day=BEFORE)[
        ["message_id", "masked_error", "has_text", "service", "method", "first_day"]
    ]


def each_its_own(messages: pd.DataFrame) -> pd.DataFrame:
    return messages.assign(
        pattern_id=messages["message_id"],
        kind="error",
        template=messages["masked_error"],
        why_grouped="",
        messages=1,
    )


def error_candidates(grouped: pd.DataFrame, signatures: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    """What failed in the window: named service, counts there and in normal times."""
    patterns = summarise(WindowSums(grouped, signatures, totals, NO_SIGNALS, DAY))
    patterns = patterns[patterns["failures"] > 0]
    calls_before = patterns["series_calls"].map(lambda series: series[-2])
    return pd.DataFrame(
        {
            "name": patterns["template"],
            "service": patterns["services"].map(lambda services: services[0]),
            "failures": patterns["failures"],
            "calls": patterns["calls"],
            "failures_before": patterns["series"].map(lambda series: series[-2]),
            "calls_before": calls_before,
        }
    )


def slow_candidates(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Which services were slow in which window, in traces: those of which half the calls to the service took
    longer than the method's normal 95th percentile.

    Traces are the unit, since the calls of one trace are slow together: counted by call, one slow request
    looks like a dozen.
    """
    return db.execute(
        """with normal as (select service, method, quantile_cont(duration_ms, ?) as long
            from raw_traces where injection = 0 group by all),
        traces as (
            select injection, service, trace_id, avg((duration_ms > long)::int) >= 0.5 as is_slow
            from raw_traces join normal using (service, method) group by all),
        counts as (select injection, service, count(*) filter (is_slow) as failures, count(*) as calls
            from traces group by all)
        select now.injection, 'slow traces' as name, service, now.failures, now.calls, before.failures
            as failures_before, before.calls as calls_before
        from counts as now join (select * from counts where injection = 0) as before using (service)
        where now.injection > 0 and now.failures > 0 order by all""",
        [SLOW],
    ).df()


def ranked(candidates: pd.DataFrame) -> pd.DataFrame:
    """Least likely first, with `is_concentrated`."""
    k, n, k0, n0 = (
        candidates[name].to_numpy(float) for name in ("failures", "calls", "failures_before", "calls_before")
    )
    p_value = hypergeom.sf(k - 1, n + n0, k + k0, n)
    is_twice = k * np.maximum(n0, 1) >= LIFT * np.maximum(k0, 0) * n
    significant = false_discovery_control(p_value) <= FDR if len(p_value) else np.zeros(0, bool)
    return candidates.assign(p_value=p_value, is_concentrated=significant & is_twice).sort_values(
        ["p_value", "name", "service"], ignore_index=True
    )


def score(injections: pd.DataFrame, windows: list[pd.DataFrame]) -> dict:
    found, found_at_10, false, by_chance, by_type = 0, 0, 0, 0.0, {}
    services = set(injections["service"])
    for fault, candidates in zip(injections.itertuples(), windows, strict=True):
        concentrated = candidates[candidates["is_concentrated"]]
        is_found = bool((concentrated["service"] == fault.service).any())
        found += is_found
        found_at_10 += bool((candidates.head(TOP)["service"] == fault.service).any())
        by_chance += len(set(concentrated["service"]) & services - {fault.service}) / (len(services) - 1)
        false += int((concentrated["service"] != fault.service).sum())
        of_type = by_type.setdefault(fault.type, [0, 0])
        of_type[0] += is_found
        of_type[1] += 1
    return {
        "found": found,
        "of": len(injections),
        "recall": round(found / len(injections), 3),
        "found_by_chance": round(by_chance, 1),
        "precision": round(found / max(1, found + false), 3),
        "recall_at_10": round(found_at_10 / len(injections), 3),
        "false_patterns_per_window": round(false / len(injections), 2),
        "by_type": {name: f"{hits}/{of}" for name, (hits, of) in sorted(by_type.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How many injected faults do patterns name?")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with events.jsonl.gz and labels.jsonl.gz"
    )
    parser.add_argument("--show", action="store_true", help="print each window's five least likely patterns")
    arguments = parser.parse_args()
    db, injections = load(arguments.data)
    numbers = [0, *injections["injection"].tolist()]
    source = "(select * exclude (injection) from raw_traces where injection = {})"
    totals = {n: db.execute(call_totals_sql(source.format(n))).df() for n in numbers}
    runs = {}
    for name, signatures_of, group in (
        ("ours", our_signatures, group_patterns),
        ("exact_key", exact_key_signatures, each_its_own),
    ):
        signatures = {n: signatures_of(db, n) for n in numbers}
        grouped = group(messages_of(pd.concat(signatures.values())))
        both = [
            (pd.concat([signatures[0], signatures[n]]), pd.concat([totals[0], totals[n]]))
            for n in numbers[1:]
        ]
        errors = [error_candidates(grouped, window, calls) for window, calls in both]
        runs[name] = errors
        print(
            f"{name}: {grouped['pattern_id'].nunique()} patterns of "
            f"{sum(int(s['failures'].sum()) for s in signatures.values())} failures"
        )
    slow = slow_candidates(db)
    runs = {name: [ranked(candidates) for candidates in windows] for name, windows in runs.items()}
    # two families, each with its own false-discovery control: tests of latency must not hide a failure
    runs["ours_with_latency"] = [
        pd.concat([errors, ranked(slow[slow["injection"] == n])]).sort_values(
            ["p_value", "name", "service"], ignore_index=True
        )
        for n, errors in zip(numbers[1:], runs["ours"], strict=True)
    ]
    if arguments.show:
        for fault, candidates in zip(injections.itertuples(), runs["ours_with_latency"], strict=True):
            print(f"\n{fault.type}@{fault.service} (window {fault.injection})")
            print(candidates.head(5).assign(name=candidates["name"].str[:90]).to_string(index=False))
    scores = {name: score(injections, windows) for name, windows in runs.items()}
    for name, result in scores.items():
        print(f"{name:17} {result}")
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
