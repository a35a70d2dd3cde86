"""Group labelled failures of real agents: our patterns beside two baselines, in the same run.

    python benchmarks/failure_patterns.py --data ../shared/data/tau_bench_airline [--label-kind
    source_error_template]

Reads `events.jsonl.gz` and `labels.jsonl.gz` of the folder. For each kind of label, the failed calls that
carry one are grouped by (a) ours, the product's own path: masking in DuckDB, then `group_patterns` over all
failures, and the families over those; (b) the first sentence with quoted values and numbers masked, and the
exact key `service:method:error`; (c) TF-IDF and HDBSCAN on the raw text, where noise is apart and texts
beyond `--most` distinct ones take the cluster of their nearest neighbour among those. V-measure, homogeneity
(Rosenberg and Hirschberg 2007), adjusted Rand index and purity against the labels are printed, and last one
line of JSON: for the kind asked for, or the mean over kinds of two classes and more.
"""

import argparse
import gzip
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.families import Kind, families, kinds
from fl_assets.patterns.grouping import group_patterns
from fl_assets.sums.masking import failures_sql

_SCHEMA = pa.schema([
    ("event_id", pa.string()), ("day", pa.string()), ("service", pa.string()), ("method", pa.string()), ("error", pa.string()),  # noqa: E501
    ("metadata", pa.map_(pa.string(), pa.string())),
])  # fmt: skip


_RAW_TRACES = """(
    select event_id, day::date as event_date, '' as node_id, service, method, event_id as trace_id, null::timestamp as timestamp,
        null::double as duration_ms, false as success, error, null::varchar as caused_by, metadata
    from calls)"""  # noqa: E501
_MESSAGES = """
    select message_id, any_value(masked_error) as masked_error, any_value(has_text) as has_text, count(*)
        as failures,
        mode(service order by service) as service, mode(method order by method) as method,
        list(distinct method) as methods, min(event_date) as first_day
    from failures group by message_id order by message_id"""


def read(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as rows:
        yield from map(json.loads, rows)


def failed_calls(folder: Path) -> list[dict]:
    """Return the failed calls of a folder, ordered by time and id."""
    calls = []
    for event in read(folder / "events.jsonl.gz"):
        call = event.get("execution_trace")
        if call and not call["success"]:
            metadata = [(key, str(value)) for key, value in (call.get("metadata") or {}).items()]
            calls.append(
                {
                    "event_id": event["event_id"],
                    "day": call["timestamp"][:10],
                    **{key: call[key] for key in ("service", "method", "error")},
                    "metadata": metadata,
                }
            )
    return calls


@dataclass(frozen=True)
class Grouped:
    """Failures as the product groups them: pattern, family and kind of each call, in the order given."""

    patterns: list[str]
    families: list[str]
    kinds: list[Kind]
    template_of: dict[str, str]


def ours(calls: Sequence[dict]) -> Grouped:
    """Return the pattern and family of each call, as the product gives them."""
    with duckdb.connect() as con:
        con.register("calls", pa.Table.from_pylist(list(calls), schema=_SCHEMA))
        con.execute(f"create temp table failures as {failures_sql(_RAW_TRACES)}")
        messages = con.execute(_MESSAGES).df()
        message_of = dict(con.execute("select event_id, message_id from failures").fetchall())
    grouped = group_patterns(messages)
    every = messages.merge(grouped, on="message_id")
    places = every.groupby("pattern_id", as_index=False).agg(
        methods=("methods", lambda lists: sorted({name for names in lists for name in names})),
        services=("service", lambda names: sorted(set(names))),
    )
    kind_of = kinds(messages, grouped, places, load_failure_classes())
    family_of = families(messages, grouped, kind_of)
    pattern_of = dict(zip(grouped["message_id"], grouped["pattern_id"], strict=True))
    found = [pattern_of[message_of[call["event_id"]]] for call in calls]
    return Grouped(
        found,
        [family_of[name] for name in found],
        [kind_of[name] for name in found],
        dict(zip(grouped["pattern_id"], grouped["template"], strict=True)),
    )


def naive(calls: Sequence[dict]) -> list[str]:
    """Return the first sentence of each error, quoted values masked."""
    sentences = [re.split(r"[.!?](?:\s|$)|\n", call["error"] or "")[0] for call in calls]
    return [re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[0-9]+", "*", sentence) for sentence in sentences]


def exact_key(calls: Sequence[dict]) -> list[str]:
    return [f"{call['service']}:{call['method']}:{call['error'] or ''}" for call in calls]


def tfidf_hdbscan(calls: Sequence[dict], most: int) -> list[int]:
    """Cluster distinct raw texts; each noise text is a cluster of its own."""
    texts = sorted({call["error"] or "" for call in calls})
    if len(texts) < 3:
        groups = list(range(len(texts)))
    else:
        vectors = TfidfVectorizer(sublinear_tf=True, max_features=50_000, token_pattern=r"\S+").fit_transform(
            text[:5000] or "-" for text in texts
        )
        size = min(50, vectors.shape[1] - 1, len(texts) - 1)
        points = (
            normalize(TruncatedSVD(size, random_state=0).fit_transform(vectors))
            if size > 1
            else vectors.toarray()
        )
        chosen = np.unique(np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int))
        labels = HDBSCAN(min_cluster_size=2 if len(texts) < 1000 else 5, copy=True).fit_predict(
            points[chosen]
        )
        labels = np.where(labels < 0, np.arange(len(labels)) + labels.max() + 1, labels)
        nearest = (
            NearestNeighbors(n_neighbors=1)
            .fit(points[chosen])
            .kneighbors(points, return_distance=False)[:, 0]
        )
        groups = labels[nearest].tolist()
    number = dict(zip(texts, groups, strict=True))
    return [number[call["error"] or ""] for call in calls]


def scores(groups: Sequence, truth: Sequence[str]) -> dict[str, float]:
    """Return V-measure, adjusted Rand index, homogeneity and purity."""
    homogeneity, _, v = homogeneity_completeness_v_measure(truth, pd.factorize(pd.Series(groups))[0])
    members = defaultdict(Counter)
    for group, label in zip(groups, truth, strict=True):
        members[group][label] += 1
    purity = sum(max(labels.values()) for labels in members.values()) / len(truth)
    return {"v": v, "ari": adjusted_rand_score(truth, groups), "homogeneity": homogeneity, "purity": purity}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="Folder with events.jsonl.gz and labels.jsonl.gz."
    )
    parser.add_argument(
        "--label-kind", help="Kind of label that the JSON line is about; without it, the mean over kinds."
    )
    parser.add_argument("--most", type=int, default=10_000, help="Distinct texts that HDBSCAN clusters.")
    options = parser.parse_args()
    calls = failed_calls(options.data)
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read(options.data / "labels.jsonl.gz"):
        labels[row["label_kind"]].setdefault(row["event_id"], row["label"])
    if options.label_kind and options.label_kind not in labels:
        parser.error(f"--label-kind={options.label_kind}: must be one of {sorted(labels)}")
    groups: dict[str, list] = {}
    seconds = {}
    start = time.perf_counter()
    found = ours(calls)
    seconds["ours"] = seconds["families"] = time.perf_counter() - start
    for name, run in (
        ("ours", lambda _: found.patterns),
        ("families", lambda _: found.families),
        ("first_sentence", naive),
        ("exact_key", exact_key),
        ("tfidf_hdbscan", lambda calls: tfidf_hdbscan(calls, options.most)),
    ):
        start = time.perf_counter()
        groups[name] = run(calls)
        seconds.setdefault(name, time.perf_counter() - start)
        print(f"{name}: {len(calls)} failures in {len(set(groups[name]))} groups, {seconds[name]:.1f} s")
    result: dict[str, list[dict[str, float]]] = defaultdict(list)
    for kind in sorted(labels):
        rows = [i for i, call in enumerate(calls) if call["event_id"] in labels[kind]]
        truth = [labels[kind][calls[i]["event_id"]] for i in rows]
        print(f"{kind}: {len(rows)} failures of {len(set(truth))} classes")
        for name, every in groups.items():
            if len(set(truth)) > 1:
                found = scores([every[i] for i in rows], truth)
                print(
                    f"  {name:<14}"
                    + "".join(f"{key} {value:.3f}  " for key, value in found.items())
                    + f"groups {len({every[i] for i in rows})}"
                )
                if options.label_kind in (None, kind):
                    result[name].append(found)
    print(
        json.dumps(
            {
                name: {key: round(sum(row[key] for row in rows) / len(rows), 4) for key in rows[0]}
                for name, rows in result.items()
            }
        )
    )


if __name__ == "__main__":
    main()
