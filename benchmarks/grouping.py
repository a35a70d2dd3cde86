"""Group log lines of known templates: ours beside Drain3, accuracy and speed in the same run.

    python benchmarks/grouping.py --data ../shared/data/loghub [--lines 200000] [--seed 1]

Reads every `*_2k.jsonl.gz` in the folder (`content`, `true_event_id`). One configuration for all systems.
Ours is what the product runs: masking in DuckDB SQL, mining of distinct masked messages. Drain3 runs with its
defaults. GA (grouping accuracy, Zhu et al. 2019) is the share of lines whose group holds exactly the lines of
one true template; FGA (Jiang et al. 2024) is the F1 of groups that do. Speed is measured on the set enlarged
to `--lines` lines with its digits rewritten, one system at a time, from the list of lines to a group for each
line. The last line printed is JSON.
"""

import argparse
import gzip
import json
import logging
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig

from fl_assets.patterns.mining import group_messages
from fl_assets.sums.masking import blank_digits, masked_sql

PATIENCE_S = 30


def ours(lines: Sequence[str]) -> list[int]:
    """Mask in DuckDB, then mine the distinct masked messages."""
    table = pa.table({"line": np.arange(len(lines), dtype=np.int32), "error": pa.array(lines, pa.string())})
    with duckdb.connect() as con:
        con.create_function("blank_digits", blank_digits, ["VARCHAR"], "VARCHAR", type="arrow")
        con.register("lines", pa.Table.from_batches(table.to_batches(max_chunksize=16_384)))
        con.execute(
            "create temp table masks as select line, masked_error from "
            f"({masked_sql('lines', 'blank_digits')})"
        )
        messages = [row[0] for row in con.execute("select distinct masked_error from masks").fetchall()]
        con.register(
            "groups",
            pa.table(
                {
                    "masked_error": pa.array(messages, pa.string()),
                    "number": pa.array(group_messages(messages).group),
                }
            ),
        )
        rows = con.execute("select line, number from masks join groups using (masked_error)").fetchnumpy()
    groups = np.empty(len(lines), np.int64)
    groups[rows["line"]] = rows["number"]
    return groups.tolist()


def drain3(lines: Sequence[str]) -> list[int]:
    """Run Drain3 with its defaults, line by line; the group is the cluster that the line ended in.

    Stops after `PATIENCE_S`, since it slows down as it goes.
    """
    miner = TemplateMiner(config=TemplateMinerConfig())
    groups, end = [], time.perf_counter() + PATIENCE_S
    for line in lines:
        groups.append(miner.add_log_message(line)["cluster_id"])
        if not len(groups) % 1000 and time.perf_counter() > end:
            break
    return groups


def accuracy(groups: Sequence[int], truth: Sequence[str]) -> tuple[float, float]:
    """Return (GA, FGA)."""
    sizes, members = Counter(truth), defaultdict(Counter)
    for group, label in zip(groups, truth, strict=True):
        members[group][label] += 1
    right = [
        next(iter(labels.values()))
        for labels in members.values()
        if len(labels) == 1 and sizes[next(iter(labels))] == next(iter(labels.values()))
    ]
    precision, recall = len(right) / len(members), len(right) / len(sizes)
    return sum(right) / len(truth), 2 * precision * recall / (precision + recall) if right else 0.0


def enlarged(lines: Sequence[str], size: int, seed: int) -> list[str]:
    """Repeat lines up to a size, with every digit rewritten."""
    rng = random.Random(seed)
    result = [lines[i % len(lines)] for i in range(size)]
    return [re.sub("[0-9]", lambda _: rng.choice("0123456789"), line) for line in result]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="Folder with *_2k.jsonl.gz files.")
    parser.add_argument(
        "--lines", type=int, default=200_000, help="Lines that speed is measured on, a system; 0 skips speed."
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    files = sorted(options.data.glob("*_2k.jsonl.gz"))
    if not files:
        parser.error(f"--data={options.data}: must hold *_2k.jsonl.gz files")
    systems: dict[str, Callable[[Sequence[str]], list[int]]] = {"ours": ours, "drain3": drain3}
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in systems}
    print(f"{'system':<14}" + "".join(f"{name + ' GA':>12}{'FGA':>8}{'lines/s':>10}" for name in systems))
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            records = [json.loads(row) for row in rows]
        lines, truth = (
            [record["content"] for record in records],
            [record["true_event_id"] for record in records],
        )
        many = enlarged(lines, options.lines, options.seed)
        print(f"{file.name.removesuffix('_2k.jsonl.gz'):<14}", end="")
        for name, run in systems.items():
            ga, fga = accuracy(run(lines), truth)
            speed = 0.0
            if many:
                start = time.perf_counter()
                done = len(run(many))
                speed = done / (time.perf_counter() - start)
            figures[name].append((ga, fga, speed))
            print(f"{ga:>12.3f}{fga:>8.3f}{speed:>10.0f}", end="", flush=True)
        print()
    mean = {
        name: [sum(column) / len(files) for column in zip(*rows, strict=True)]
        for name, rows in figures.items()
    }
    print(
        f"{'mean':<14}" + "".join(f"{ga:>12.3f}{fga:>8.3f}{speed:>10.0f}" for ga, fga, speed in mean.values())
    )
    print(
        json.dumps(
            {
                name: {"GA": round(ga, 4), "FGA": round(fga, 4), "lines_per_s": round(speed)}
                for name, (ga, fga, speed) in mean.items()
            }
        )
    )


if __name__ == "__main__":
    main()
