"""Measure confidence on fleets whose next day is known: friendly and stress worlds, real counts, attacks.

    python benchmarks/confidence.py [--seeds N] [--counts DIR]

Friendly fleets differ in everything that is drawn (`counted_fleets.draw_fleet`); the project's own simulator
gives a third of them. Stress worlds (`stress_fleets.REGIMES`, and `UNFITTED`, which `fit_prior.py` does not
use) break one assumption each. `--counts` replays
real counts day by day (`NAME.failures.csv.gz`, `NAME.calls.csv.gz`, `NAME.patterns.csv.gz` for each NAME in
DIR). Seeds from 10 000 on were not used for fitting. A pattern is *actionable* when its confidence reaches
0.7 and its corroboration 0.5 of it, three nodes have it, and it is significant.

- `ece`, `brier`: confidence against what came true on the next day, over all patterns that failed in the
  window.
- `precision`: actionable patterns that came true; `precision_planted`: those that are planted failures of
  several nodes rather than noise.
- `recall`: share that is actionable of planted chronic, new and rising failures, on days on which at least
  three nodes had them, ten times or more.
- `false_actions_per_day`: actionable patterns on fleets in which nothing is planted, retries across nodes
  included.
- `stress`: the same for each regime. `counts`: for each source of real counts; `said` and `true` are means
  over the predictions of 0.7 and more, `baselines` are Brier scores of simpler forecasts on the same
  predictions.
- `attacks`: what liars can do (`attacks.py`): make a fake actionable, or hold a true failure back.
- `end_to_end`: the first figures through files, ingestion, grouping and evidence, on the project's simulator.

The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from attacks import SPREAD, attack_table
from baselines import baselines
from counted_fleets import (
    DAYS,
    END,
    CountedFleet,
    counts_of,
    counts_until,
    draw_fleet,
    outcomes,
    real_fleet,
    simulated_fleet,
    sources_in,
)
from stress_fleets import REGIMES, UNFITTED, stress_fleet

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.calibration import reliability
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.confidence import CORROBORATED, assess
from fl_assets.patterns.counts import Counts
from fl_assets.patterns.features import NAMES, features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.grouping import load_corrections
from fl_assets.patterns.persistence import TWO_NODES, FleetPrior
from fl_assets.patterns.window import WindowSums
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace

THRESHOLD, MIN_NODES, MIN_FAILURES, FDR = 0.7, 3, 10, 0.1
FIRST_SEED = 10_000
LASTING = {"chronic", "new", "rising"}
DAYS_BEFORE_END = (1, 2, 5, 9, 14, 20, 27, 31, 33)
"""Days that are assessed, counted back from the last, whose outcome is known: histories of 1 to 33 days."""
STRESS_DAYS = tuple(range(1, 20, 2))
"""The same in stress worlds: every weekday, with two weeks behind it or more."""
EVERY = 3
"""Of real counts, every so many days are assessed."""


@dataclass
class Tally:
    """What has been seen so far: one row per assessed pattern and day."""

    rows: list[pd.DataFrame] = field(default_factory=list)
    days: int = 0

    def frame(self) -> pd.DataFrame:
        """Return all rows as one frame."""
        return pd.concat(self.rows, ignore_index=True)


def measure(fleet: CountedFleet, tally: Tally, backs: Sequence[int] = DAYS_BEFORE_END) -> None:
    """Assess the chosen days of one fleet and add what was said and what came true."""
    for back in backs:
        day = fleet.end - timedelta(days=back)
        known, reporting = counts_until(fleet, day)
        said = judge(known, reporting, day, fleet.window_days)
        near, _ = counts_until(fleet, day + timedelta(days=1))
        came = outcomes(near, day=day, window_days=fleet.window_days).astype({"pattern_id": str})
        said = said.merge(came, on="pattern_id", how="left")
        said["shape"] = fleet.shapes.reindex(said["pattern_id"]).to_numpy()
        said["history"] = DAYS - back
        said["back"] = back
        tally.rows.append(said)
        tally.days += 1


def judge(
    counts: pd.DataFrame | Counts, reporting: pd.DataFrame, day: date, window_days: int
) -> pd.DataFrame:
    """Assess one day as the asset does, and add what makes a pattern actionable."""
    counts = counts if isinstance(counts, Counts) else counts_of(counts)
    said = assess(
        counts, reporting, day=day, window_days=window_days, min_nodes=MIN_NODES, false_discovery_rate=FDR
    )
    said["pattern_id"] = said["pattern_id"].astype(str)
    dates = counts.failures["event_date"]
    start = pd.Timestamp(day - timedelta(days=window_days - 1))
    failed = counts.failures[(dates >= start) & (dates <= pd.Timestamp(day))].astype({"pattern_id": str})
    today = failed[failed["event_date"] == pd.Timestamp(day)].groupby("pattern_id")
    in_window = failed.groupby("pattern_id").agg(nodes=("node_id", "nunique"), failures=("failures", "sum"))
    said = said.merge(in_window, on="pattern_id")
    of_today = today.agg(nodes_today=("node_id", "nunique"), failures_today=("failures", "sum"))
    said = said.merge(of_today, on="pattern_id", how="left").fillna({"nodes_today": 0})
    said["is_actionable"] = (
        (said["confidence"] >= THRESHOLD)
        & (said["corroboration"] >= CORROBORATED * THRESHOLD)
        & (said["nodes"] >= MIN_NODES)
        & said["is_significant"]
    )
    events = reporting.loc[reporting["event_date"].between(start, pd.Timestamp(day)), "calls"].sum()
    said["original"] = np.minimum(said["failures"] / max(events, 1), 1.0)
    return said


# Stress worlds and real counts ------------------------------------------------------------------------------


def stress_summary(seeds: range) -> dict[str, dict[str, object]]:
    """Return figures of each regime; false actions are those on fleets of the regime with nothing planted."""
    found = {}
    for name, regime in (REGIMES | UNFITTED).items():
        tally, null = Tally(), Tally()
        for seed in seeds:
            measure(stress_fleet(regime, seed), tally, STRESS_DAYS)
            measure(stress_fleet(regime, seed, null=True), null, STRESS_DAYS[::4])
        said = tally.frame()
        known = said[said["happened"].notna()]
        report = reliability(known["confidence"], known["happened"].astype(bool), threshold=THRESHOLD)
        wanted = said[said["shape"].isin(LASTING) & (said["nodes_today"] >= MIN_NODES)]
        acted = known.loc[known["is_actionable"], "happened"]
        found[name] = {
            "ece": round(report.ece, 4),
            "brier": round(report.brier, 4),
            "precision": _share(acted),
            "recall": _share(wanted.loc[wanted["failures_today"] >= MIN_FAILURES, "is_actionable"]),
            "actions": len(acted),
            "predictions": len(known),
            "false_actions": int(null.frame()["is_actionable"].sum()),
            "null_days": null.days,
        }
        print(name, found[name], flush=True)
    return found


def counts_summary(folder: Path) -> dict[str, dict[str, object]]:
    """Replay each source of real counts in a folder and return its figures."""
    found = {}
    for name in sources_in(folder):
        fleet = real_fleet(folder, name)
        first = pd.to_datetime(fleet.counts.failures["event_date"]).min().date()
        tally, rows = Tally(), []
        for back in range((fleet.end - first).days - 1, 0, -EVERY):
            measure(fleet, tally, (back,))
            rows.append(_features_of(fleet, fleet.end - timedelta(days=back)))
        said = tally.frame()
        known = said[said["happened"].notna() & (said["confidence_raw"] > 0)]
        known = known.merge(pd.concat(rows), left_on=["pattern_id", "back"], right_index=True)
        happened = known["happened"].astype(bool).to_numpy()
        report = reliability(known["confidence"], happened, threshold=THRESHOLD)
        likely = known["confidence"] >= THRESHOLD
        found[name] = {
            "n": len(known),
            "said": _share(known.loc[likely, "confidence"]),
            "true": _share(known.loc[likely, "happened"]),
            "likely": int(likely.sum()),
            "ece": round(report.ece, 4),
            "brier": round(report.brier, 4),
            "precision": _share(known.loc[known["is_actionable"], "happened"]),
            "recall": None if report.recall is None else round(report.recall, 4),
            "actions": int(known["is_actionable"].sum()),
            "auc": _auc(known["confidence"].to_numpy(), happened),
            "baselines": baselines(known, happened),
        }
        print(name, found[name], flush=True)
    return found


def _features_of(fleet: CountedFleet, day: date) -> pd.DataFrame:
    """Return the features of each pattern on a day, for the baselines."""
    now = Fleet(*counts_until(fleet, day), day=day, window_days=fleet.window_days)
    rows, _ = features(now.facts(), FleetPrior.of(now.facts(), now.window), now.window, TWO_NODES)
    keys = {"pattern_id": now.patterns.astype(str), "back": (fleet.end - day).days}
    return (
        pd.DataFrame(rows, columns=[f"f_{name}" for name in NAMES])
        .assign(**keys)
        .set_index(["pattern_id", "back"])
    )


def _auc(said: np.ndarray, happened: np.ndarray) -> float | None:
    ranks = pd.Series(said).rank().to_numpy()
    true = int(happened.sum())
    pairs = true * (happened.size - true)
    return round(float((ranks[happened].sum() - true * (true + 1) / 2) / pairs), 4) if pairs else None


# Through the whole pipeline ---------------------------------------------------------------------------------


def end_to_end(
    seed: int, *, null: bool = False, days: int = 14, nodes: int = 12, events_per_day: int = 2500
) -> dict[str, object]:
    """Take a fleet's telemetry through files, and hold its actionable patterns against the truth.

    A planted failure is found when an actionable pattern lies in its services and methods and has at least
    half of its failures of that day; an actionable pattern is false when that fits no planted failure of
    several nodes.
    """
    said, happened = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        truth = simulate(
            root / "cache",
            days=days,
            nodes=nodes,
            events_per_day=events_per_day,
            seed=seed,
            end=END,
            null=null,
        ).truth
        space = Workspace(
            FederatedLearningConfig(
                telemetry_path=root / "cache", data_path=root / "data", error_records_path=root / "none"
            )
        )
        space.engine.ingest()
        space.sums.refresh_signatures(space.days.with_events(END))
        space.sums.refresh_conversations(space.days.with_events(END))
        last = space.patterns.history(END)
        for back in range(6, -1, -1):
            day = END - timedelta(days=back)
            found = analyse(
                space.patterns.history(day),
                space.days.window(day),
                rules=load_failure_classes(),
                corrections=load_corrections(space.settings.corrections_path),
                false_discovery_rate=FDR,
            )
            patterns = found.patterns.assign(
                is_actionable=lambda f: (
                    (f["confidence"] >= THRESHOLD)
                    & (f["corroboration"] >= CORROBORATED * THRESHOLD)
                    & (f["nodes_affected"] >= MIN_NODES)
                    & f["is_significant"]
                )
            )
            said.append(patterns.assign(event_date=day))
            if back:
                window = {"day": day, "window_days": len(space.days.window(day).days)}
                known = last.signatures[last.signatures["message_id"].isin(found.members["message_id"])]
                came = outcomes(
                    WindowSums(
                        found.members, known, last.totals, last.signals, day + timedelta(days=1)
                    ).counts,
                    **window,
                )
                happened.append(patterns.merge(came, on="pattern_id"))
    planted = [failure for failure in truth.failures if failure.shape in SPREAD]
    acted = [pattern for frame in said for pattern in frame[frame["is_actionable"]].itertuples()]

    def fits(pattern: object, failure: object) -> bool:
        methods = (
            set(pattern.methods) <= set(failure.methods)
            or not failure.methods
            or failure.failure_class == "unknown_tool"
        )
        return (
            set(pattern.services) <= set(failure.services)
            and methods
            and pattern.failures >= failure.events_by_day.get(str(pattern.event_date), 0) / 2
        )

    wanted = [failure for failure in planted if failure.actionable]
    known = pd.concat(happened)
    return {
        "predicted": known["confidence"].tolist(),
        "happened": known["happened"].tolist(),
        "acted": [bool(row) for row in known["is_actionable"]],
        "wanted": len(wanted),
        "found": sum(
            any(pattern.event_date == END and fits(pattern, failure) for pattern in acted)
            for failure in wanted
        ),
        "false": sum(not any(fits(pattern, failure) for failure in planted) for pattern in acted),
        "days": len(said),
    }


def end_to_end_summary(seeds: range) -> dict[str, object]:
    """Return the figures of fleets through files; half of the seeds are taken without failures, too."""
    planted = [end_to_end(seed) for seed in seeds]
    quiet = [end_to_end(seed, null=True) for seed in seeds[: len(seeds) // 2]]
    predicted, happened, acted = (
        np.concatenate([np.asarray(run[name]) for run in planted])
        for name in ("predicted", "happened", "acted")
    )
    report = reliability(predicted, happened.astype(bool), threshold=THRESHOLD)
    return {
        "ece": round(report.ece, 4),
        "brier": round(report.brier, 4),
        "precision": _share(pd.Series(happened[acted.astype(bool)])),
        "recall": round(
            sum(run["found"] for run in planted) / max(sum(run["wanted"] for run in planted), 1), 4
        ),
        "false_actions_per_day": round(
            sum(run["false"] for run in quiet) / sum(run["days"] for run in quiet), 4
        ),
        "false_actions_per_day_beside_planted": round(
            sum(run["false"] for run in planted) / sum(run["days"] for run in planted), 4
        ),
        "predictions": report.pairs,
        "ece_of_right_forecasts": _ece_by_chance(predicted),
    }


def _ece_by_chance(predicted: np.ndarray) -> float:
    """Return the calibration error that 19 of 20 right forecasts stay below: much, where they are few."""
    rng = np.random.default_rng(0)
    drawn = [reliability(predicted, rng.random(predicted.size) < predicted).ece for _ in range(200)]
    return round(float(np.quantile(drawn, 0.95)), 4)


# Report -----------------------------------------------------------------------------------------------------


def summary(tally: Tally, null: Tally) -> dict[str, object]:
    """Return the figures of friendly fleets, and print the reliability table and recall by shape."""
    said, quiet = tally.frame(), null.frame()
    known = said[said["happened"].notna()]
    ours = reliability(
        known["confidence"].to_numpy(), known["happened"].astype(bool).to_numpy(), threshold=THRESHOLD
    )
    raw = reliability(
        known["confidence_raw"].to_numpy(), known["happened"].astype(bool).to_numpy(), threshold=THRESHOLD
    )
    original = reliability(
        known["original"].to_numpy(), known["happened"].astype(bool).to_numpy(), threshold=THRESHOLD
    )
    actionable = said[said["is_actionable"]]
    wanted = said[said["shape"].isin(LASTING) & (said["nodes_today"] >= MIN_NODES)]
    enough = wanted[wanted["failures_today"] >= MIN_FAILURES]
    print(ours.bins.round(3).to_string(index=False))
    by_shape = enough.groupby("shape").agg(
        days=("is_actionable", "size"), recall=("is_actionable", "mean"), confidence=("confidence", "mean")
    )
    print(by_shape.round(3).to_string())
    print(
        known[known["is_actionable"]].groupby("shape")["happened"].agg(["size", "mean"]).round(3).to_string()
    )
    print(
        enough.groupby(pd.cut(enough["history"], [0, 1, 3, 7, 14, 40]), observed=True)["is_actionable"]
        .agg(["size", "mean"])
        .round(3)
        .to_string()
    )
    return {
        "ece": round(ours.ece, 4),
        "brier": round(ours.brier, 4),
        "precision": _share(known.loc[known["is_actionable"], "happened"]),
        "recall": _share(enough["is_actionable"]),
        "false_actions_per_day": round(float(quiet["is_actionable"].sum() / max(null.days, 1)), 4),
        "precision_planted": _share(actionable["shape"].isin(SPREAD)),
        "recall_any_count": _share(wanted["is_actionable"]),
        "raw": {"ece": round(raw.ece, 4), "brier": round(raw.brier, 4)},
        "predictions": len(known),
        "days": tally.days,
        "null_days": null.days,
        "original": {
            "ece": round(original.ece, 4),
            "brier": round(original.brier, 4),
            "precision": None if original.precision is None else round(original.precision, 4),
            "recall": _share(enough["original"] >= THRESHOLD),
            "false_actions_per_day": round(
                float((quiet["original"] >= THRESHOLD).sum() / max(null.days, 1)), 4
            ),
        },
    }


def _share(values: pd.Series) -> float | None:
    return round(float(values.astype(float).mean()), 4) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=18,
        help="fleets with planted failures, and as many without (default: %(default)s)",
    )
    parser.add_argument(
        "--first-seed",
        type=int,
        default=FIRST_SEED,
        help="seeds below %(default)s were used while tuning (default: %(default)s)",
    )
    parser.add_argument("--counts", type=Path, help="folder of real counts to replay (default: none)")
    arguments = parser.parse_args()
    started = time.monotonic()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    tally, null = Tally(), Tally()
    for number, seed in enumerate(seeds):
        draw = simulated_fleet if number % 3 == 2 else draw_fleet
        measure(draw(seed), tally)
        measure(draw(seed, null=True), null, DAYS_BEFORE_END[::2])
    result = summary(tally, null)
    result["stress"] = stress_summary(range(FIRST_SEED, FIRST_SEED + max(1, arguments.seeds // 6)))
    result["counts"] = counts_summary(arguments.counts) if arguments.counts else {}
    result["attacks"] = attack_table(seeds[: max(4, len(seeds) // 4)], judge)
    print(pd.DataFrame(result["attacks"]).T.to_string())
    result["end_to_end"] = end_to_end_summary(seeds[:4])
    result["cpu_seconds"] = round(time.process_time(), 1)
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
