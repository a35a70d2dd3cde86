"""Measure confidence on simulated fleets whose truth is known, beside the original's formula (count ÷ all events).

    python benchmarks/confidence.py [--seeds N]

Fleets differ in everything that is drawn (`draw_fleet`); the project's own simulator (`fl_assets.simulator.simulation`) gives a third of them. Seeds
from 10 000 on were not used while tuning. A pattern is *actionable* when its confidence reaches 0.7, three nodes have it and it is significant.

- `ece`, `brier`: confidence against what came true on the next day, over all patterns that failed in the window.
- `precision`: actionable patterns that came true; `precision_planted`: those that are planted failures of several nodes rather than noise.
- `recall`: share that is actionable of planted chronic, new and rising failures, on days on which at least three nodes had them, ten times or more.
- `false_actions_per_day`: actionable patterns on fleets in which nothing is planted.
- `attacks`: whether any attempt made a playbook actionable that was not so without the attacker (for the burst: on the two days after it ended).
  Imitated patterns are noise, rare failures and other nodes' own ones.
- `influence`: what one node can do to real failures of several nodes: tip one over that was nearly sure, hold one back by flooding it; and how often
  an outage is acted on before anybody can know that it will end.
- `end_to_end`: the same figures through files, ingestion, grouping and evidence, on the project's simulator.

The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from counted_fleets import counts_of, outcomes, simulate_counts

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.calibration import calibrate, reliability
from fl_assets.patterns.confidence import assess
from fl_assets.patterns.rule_files import load_corrections, load_failure_classes
from fl_assets.patterns.window import WindowSums
from fl_assets.simulator.simulation import DEFAULT_END
from fl_assets.simulator.simulator import simulate
from fl_assets.workspace import Workspace

THRESHOLD, MIN_NODES, MIN_FAILURES, FDR = 0.7, 3, 10, 0.1
FIRST_SEED = 10_000
DAYS = 35
END = date(2026, 10, 31)
LASTING = {"chronic", "new", "rising"}
SPREAD = LASTING | {"fixed", "burst", "rare"}
DAYS_BEFORE_END = (1, 2, 5, 9, 14, 20, 27, 31, 33)
"""Days that are assessed, counted back from the last, whose outcome is known: histories of 1 to 33 days."""


@dataclass(frozen=True)
class Fleet:
    """One simulated fleet: the frames that `assess` reads, and the shape of each pattern."""

    counts: pd.DataFrame
    reporting: pd.DataFrame
    shapes: pd.Series
    end: date
    window_days: int = 1


@dataclass
class Tally:
    """What has been seen so far: one row an assessed pattern and day."""

    rows: list[pd.DataFrame] = field(default_factory=list)
    days: int = 0

    def frame(self) -> pd.DataFrame:
        """Return all rows as one frame."""
        return pd.concat(self.rows, ignore_index=True)


def draw_fleet(seed: int, *, null: bool = False, nodes: int | None = None) -> Fleet:
    """Draw a fleet in which size, traffic, rates, heterogeneity, repeats, silence and the kind of noise all differ from seed to seed.

    Noise is either one-off texts, each on one node, or some dozens of kinds that come back at random on random nodes.
    """
    rng = np.random.default_rng([seed, 77])
    nodes = nodes or int(rng.integers(5, 60))
    traffic = rng.lognormal(np.log(10 ** rng.uniform(1.7, 3.2)), 0.6, nodes)
    week = 1 + 0.15 * np.sin(np.arange(DAYS) * 2 * np.pi / 7)
    reports = rng.random((DAYS, nodes)) >= rng.uniform(0, 0.06)
    leaves = rng.integers(DAYS // 2, DAYS * 6, nodes)
    reports &= np.arange(DAYS)[:, None] < leaves
    calls = rng.poisson(traffic * week[:, None]) * reports
    window = int(rng.choice([1, 1, 1, 1, 3, 7]))
    shapes = (
        []
        if null
        else ["chronic"] * 12
        + ["new"] * 8
        + ["rising"] * 5
        + ["fixed"] * 6
        + ["burst"] * 5
        + ["rare"] * 5
        + ["single_node"] * 4
    )
    methods = [rng.binomial(calls, share) for share in rng.uniform(0.1, 0.9, 12)]
    names, kinds, failures, of_calls = [], [], [], []
    for number, shape in enumerate(shapes):
        own_calls = methods[rng.integers(len(methods))]
        affected = np.zeros(nodes)
        chosen = rng.choice(
            nodes,
            1 if shape == "single_node" else min(nodes, max(3, round(nodes * rng.beta(1, 2)))),
            replace=False,
        )
        heterogeneity = rng.uniform(1.0, 8.0)
        affected[chosen] = rng.gamma(heterogeneity, 1 / heterogeneity, chosen.size)
        level = np.ones(DAYS)
        start = int(rng.integers(1, DAYS - 2))
        if shape == "new":
            level = (np.arange(DAYS) >= start).astype(float)
        elif shape == "rising":
            level = np.minimum(0.05 * rng.uniform(1.08, 1.5) ** np.arange(DAYS), 1.0)
        elif shape == "fixed":
            level = np.where(np.arange(DAYS) < start, 1.0, rng.choice([0.0, 0.0, 0.1]))
        elif shape == "burst":
            level = ((np.arange(DAYS) >= start) & (np.arange(DAYS) < start + rng.integers(1, 4))).astype(
                float
            )
        if shape == "rare":
            rate = np.full((DAYS, nodes), rng.uniform(0.1, 0.8) / max(own_calls.sum() / DAYS, 1))
        else:
            wanted = 10 ** rng.uniform(0.3, 2.5) / max((own_calls * affected).sum() / DAYS, 1e-9)
            spread = rng.uniform(3, 12)
            day = rng.gamma(12, 1 / 12, DAYS)[:, None]
            rate = np.minimum(
                wanted * level[:, None] * day * affected * rng.gamma(spread, 1 / spread, (DAYS, nodes)), 0.95
            )
        sessions = rng.binomial(own_calls, rate)
        repeats = rng.choice([1.0, 1.0, 0.6])
        failed = (
            np.minimum(
                sessions + rng.negative_binomial(np.maximum(sessions, 1), repeats) * (sessions > 0), own_calls
            )
            if repeats < 1
            else sessions
        )
        names.append(f"{shape}-{number}")
        kinds.append(shape)
        failures.append((failed, sessions))
        of_calls.append(own_calls)
    incidents = rng.poisson(rng.uniform(3, 25), DAYS)
    recurring = rng.random() < 0.5
    variety = int(rng.integers(20, 80)) if recurring else int(incidents.sum())
    noise = np.zeros((variety, DAYS, nodes), dtype=np.int64)
    days = np.repeat(np.arange(DAYS), incidents)
    kind = rng.integers(variety, size=days.size) if recurring else np.arange(days.size)
    at = rng.choice(nodes, days.size, p=traffic / traffic.sum())
    np.add.at(noise, (kind, days, at), 1 + rng.poisson(0.5, days.size))
    for number in range(variety):
        own_calls = methods[number % len(methods)]
        names.append(f"noise-{number}")
        kinds.append("noise")
        failures.append(
            (np.minimum(noise[number], own_calls), np.minimum(noise[number], np.minimum(own_calls, 1)))
        )
        of_calls.append(own_calls)
    failed, sessions, called = (
        np.array([f for f, _ in failures]),
        np.array([s for _, s in failures]),
        np.array(of_calls),
    )
    pattern, day, node = np.nonzero(called)
    calendar = np.array([pd.Timestamp(END - timedelta(days=DAYS - 1 - index)) for index in range(DAYS)])
    fleet_nodes = np.array([f"node-{index:02d}" for index in range(nodes)], dtype=object)
    counts = pd.DataFrame(
        {
            "pattern_id": pd.Categorical.from_codes(pattern, names),
            "event_date": calendar[day],
            "node_id": pd.Categorical.from_codes(node, fleet_nodes),
            "failures": failed[pattern, day, node],
            "sessions": sessions[pattern, day, node],
            "calls": called[pattern, day, node],
        }
    )
    day, node = np.nonzero(calls)
    reporting = pd.DataFrame(
        {
            "event_date": calendar[day],
            "node_id": pd.Categorical.from_codes(node, fleet_nodes),
            "calls": calls[day, node],
        }
    )
    return Fleet(counts, reporting, pd.Series(kinds, index=names), END, window)


def simulated_fleet(seed: int, *, null: bool = False) -> Fleet:
    """Return a fleet of the project's own simulator."""
    rng = np.random.default_rng([seed, 78])
    nodes = int(rng.integers(8, 60))
    counts, reporting, truth = simulate_counts(
        DAYS, nodes, int(nodes * 10 ** rng.uniform(2.0, 2.9)), seed, null
    )
    counts, reporting = (
        frame.assign(event_date=pd.to_datetime(frame["event_date"])) for frame in (counts, reporting)
    )
    return Fleet(counts, reporting, truth.set_index("pattern_id")["shape"], DEFAULT_END)


def measure(fleet: Fleet, tally: Tally, backs: tuple[int, ...] = DAYS_BEFORE_END) -> None:
    """Assess the chosen days of one fleet and add what was said and what came true."""
    for back in backs:
        day = fleet.end - timedelta(days=back)
        said = judge(fleet.counts, fleet.reporting, day, fleet.window_days)
        near = fleet.counts[
            fleet.counts["event_date"] >= pd.Timestamp(day - timedelta(days=fleet.window_days))
        ]
        said = said.merge(
            outcomes(counts_of(near), day=day, window_days=fleet.window_days).astype({"pattern_id": str}),
            on="pattern_id",
            how="left",
        )
        said["shape"] = fleet.shapes.reindex(said["pattern_id"]).to_numpy()
        said["history"] = DAYS - back
        tally.rows.append(said)
        tally.days += 1


def judge(counts: pd.DataFrame, reporting: pd.DataFrame, day: date, window_days: int) -> pd.DataFrame:
    """Assess one day as the asset does, and add what makes a pattern actionable, for us and for the original."""
    counts = counts[counts["event_date"].between(pd.Timestamp(day - timedelta(days=27)), pd.Timestamp(day))]
    calibration = calibrate(counts_of(counts), reporting, day=day, window_days=window_days)
    said = assess(
        counts_of(counts),
        reporting,
        day=day,
        window_days=window_days,
        calibration=calibration,
        false_discovery_rate=FDR,
    )
    said["pattern_id"] = said["pattern_id"].astype(str)
    failed = counts[
        (counts["failures"] > 0) & (counts["event_date"] > pd.Timestamp(day - timedelta(days=window_days)))
    ].astype({"pattern_id": str})
    today = failed[failed["event_date"] == pd.Timestamp(day)].groupby("pattern_id")
    said = said.merge(
        failed.groupby("pattern_id").agg(nodes=("node_id", "nunique"), failures=("failures", "sum")),
        on="pattern_id",
    )
    said = said.merge(
        today.agg(nodes_today=("node_id", "nunique"), failures_today=("failures", "sum")),
        on="pattern_id",
        how="left",
    ).fillna({"nodes_today": 0})
    said["actionable"] = (
        (said["confidence"] >= THRESHOLD) & (said["nodes"] >= MIN_NODES) & said["is_significant"]
    )
    events = reporting.loc[
        reporting["event_date"].between(
            pd.Timestamp(day - timedelta(days=window_days - 1)), pd.Timestamp(day)
        ),
        "calls",
    ].sum()
    said["original"] = np.minimum(said["failures"] / max(events, 1), 1.0)
    return said


# Attacks -----------------------------------------------------------------------------------------------------------------


def with_failures(fleet: Fleet, rows: list[tuple[str, date, str, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the fleet's frames with failures (pattern, day, node, count) added, each a session and a call of its own."""
    extra = pd.DataFrame(rows, columns=["pattern_id", "event_date", "node_id", "failures"]).assign(
        event_date=lambda frame: pd.to_datetime(frame["event_date"])
    )
    extra["sessions"] = extra["calls"] = extra["failures"]
    plain = {"pattern_id": str, "node_id": str}
    fresh = sorted(set(extra["pattern_id"]) - set(fleet.shapes.index))
    # A fresh pattern is in a method that all nodes call. Rows of one pattern, day and node are summed by whoever reads them.
    called = [fleet.reporting.assign(pattern_id=pattern, failures=0, sessions=0) for pattern in fresh]
    counts = pd.concat([frame.astype(plain) for frame in (fleet.counts, extra, *called)], ignore_index=True)
    reporting = pd.concat(
        [
            frame.astype({"node_id": str})
            for frame in (fleet.reporting, extra[["event_date", "node_id", "calls"]])
        ],
        ignore_index=True,
    )
    return counts, reporting


def attack_tables(seeds: range) -> tuple[dict[str, dict[str, object]], dict[str, dict[str, int]]]:
    """Try each attack on a fleet a seed; return the attacks, and what one node can do to real failures."""
    tries: dict[str, list[pd.DataFrame]] = {}
    for seed in seeds:
        fleet = draw_fleet(seed, nodes=50 if seed % 2 else None)
        days = [fleet.end - timedelta(days=back) for back in range(30)]
        nodes = sorted(fleet.reporting["node_id"].unique())
        liars = [str(node) for node in np.random.default_rng([seed, 79]).permutation(nodes)[:3]]
        honest = judge(fleet.counts, fleet.reporting, fleet.end, fleet.window_days)
        sure = set(honest.loc[honest["actionable"], "pattern_id"])
        unsure = sorted(set(honest["pattern_id"]) - sure)
        real = {pattern for pattern in unsure if fleet.shapes[pattern] in SPREAD - {"rare"}}

        def attack(
            name: str,
            rows: list[tuple[str, date, str, int]],
            on: set[str],
            day: date = fleet.end,
            window: int = 0,
            fleet: Fleet = fleet,
        ) -> pd.DataFrame:
            said = judge(*with_failures(fleet, rows), day, window or fleet.window_days)
            # A pattern that is not failing on the day cannot be acted on: it was tried, too.
            found = pd.DataFrame({"pattern_id": sorted(on)}).merge(said, on="pattern_id", how="left")
            found = (
                found.astype({"actionable": object})
                .fillna({"actionable": False, "original": 0.0, "nodes": 0})
                .astype({"actionable": bool})
            )
            tries.setdefault(name, []).append(found)
            return found

        attack("one_node_10000_fakes", [("fake", fleet.end, liars[0], 10_000)], {"fake"})
        for name, count in (("one_node_imitates_loudly", 2_000), ("one_node_imitates_quietly", 3)):
            said = attack(
                name, [(pattern, day, liars[0], count) for pattern in unsure for day in days[:5]], set(unsure)
            )
            tries[name][-1] = said[~said["pattern_id"].isin(real)]
            tries.setdefault("tips_over", []).append(said[said["pattern_id"].isin(real)])
        attack(
            "one_node_drips_30_days",
            [("drip", day, liars[0], 3 + (30 - age) // 3) for age, day in enumerate(days)],
            {"drip"},
        )
        attack(
            "two_colluding_nodes",
            [("collusion", day, liar, 30) for day in days[:10] for liar in liars[:2]],
            {"collusion"},
        )
        if len(nodes) == 50:
            attack(
                "three_colluding_nodes_of_50",
                [("collusion", day, liar, 30) for day in days[:10] for liar in liars],
                {"collusion"},
            )
        burst = [("outage", day, node, 20) for day in days[2:4] for node in nodes]
        for day in days[:2]:
            attack("burst_that_ended", burst, {"outage"}, day, 1)
        attack("during_burst", burst, {"outage"}, days[3], 1)
        attack("hidden", [(pattern, fleet.end, liars[0], 2_000) for pattern in sorted(sure)], sure)
    done = {name: pd.concat(found) for name, found in tries.items()}
    tipped, hidden, during = (done.pop(name) for name in ("tips_over", "hidden", "during_burst"))
    table = {
        name: {
            "actionable": bool(rows["actionable"].any()),
            "original": bool((rows["original"] >= THRESHOLD).any()),
            "succeeded": int(rows["actionable"].sum()),
            "tries": len(rows),
        }
        for name, rows in done.items()
    }
    crowd = done["three_colluding_nodes_of_50"]
    table["three_colluding_nodes_of_50"]["actionable_with_min_nodes_4"] = bool(
        (crowd["actionable"] & (crowd["nodes"] >= 4)).any()
    )
    return table, {
        "real_but_unsure_failures_tipped_over": {
            "succeeded": int(tipped["actionable"].sum()),
            "tries": len(tipped),
        },
        "sure_failures_held_by_a_flood": {
            "succeeded": int((~hidden["actionable"]).sum()),
            "tries": len(hidden),
        },
        "outages_acted_on_on_their_first_day": {
            "succeeded": int(during["actionable"].sum()),
            "tries": len(during),
        },
    }


# Through the whole pipeline ----------------------------------------------------------------------------------------------


def end_to_end(
    seed: int, *, null: bool = False, days: int = 14, nodes: int = 12, events_per_day: int = 2500
) -> dict[str, object]:
    """Write a fleet's telemetry, ingest it, sum it, group it and assess its last days; the last one's actionable patterns are held against the truth.

    A planted failure is found when an actionable pattern lies in its services and methods and has at least half of its failures of that day;
    an actionable pattern is false when that fits no planted failure of several nodes.
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
                actionable=lambda f: (
                    (f["confidence"] >= THRESHOLD) & (f["nodes_affected"] >= MIN_NODES) & f["is_significant"]
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
    acted = [pattern for frame in said for pattern in frame[frame["actionable"]].itertuples()]

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
        "acted": [bool(row) for row in known["actionable"]],
        "wanted": len(wanted),
        "found": sum(
            any(pattern.event_date == END and fits(pattern, failure) for pattern in acted)
            for failure in wanted
        ),
        "false": sum(not any(fits(pattern, failure) for failure in planted) for pattern in acted),
        "days": len(said),
    }


def end_to_end_summary(seeds: range) -> dict[str, object]:
    planted, quiet = [end_to_end(seed) for seed in seeds], [end_to_end(seed, null=True) for seed in seeds]
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
    }


# Report ------------------------------------------------------------------------------------------------------------------


def summary(tally: Tally, null: Tally) -> dict[str, object]:
    """Return the figures of the last line, attacks left out, and print the reliability table and recall by shape."""
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
    actionable = said[said["actionable"]]
    wanted = said[said["shape"].isin(LASTING) & (said["nodes_today"] >= MIN_NODES)]
    enough = wanted[wanted["failures_today"] >= MIN_FAILURES]
    print(ours.bins.round(3).to_string(index=False))
    by_shape = enough.groupby("shape").agg(
        days=("actionable", "size"), recall=("actionable", "mean"), confidence=("confidence", "mean")
    )
    print(by_shape.round(3).to_string())
    print(known[known["actionable"]].groupby("shape")["happened"].agg(["size", "mean"]).round(3).to_string())
    print(
        enough.groupby(pd.cut(enough["history"], [0, 1, 3, 7, 14, 40]), observed=True)["actionable"]
        .agg(["size", "mean"])
        .round(3)
        .to_string()
    )
    return {
        "ece": round(ours.ece, 4),
        "brier": round(ours.brier, 4),
        "precision": _share(known.loc[known["actionable"], "happened"]),
        "recall": _share(enough["actionable"]),
        "false_actions_per_day": round(float(quiet["actionable"].sum() / max(null.days, 1)), 4),
        "precision_planted": _share(actionable["shape"].isin(SPREAD)),
        "recall_any_count": _share(wanted["actionable"]),
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
    arguments = parser.parse_args()
    started = time.monotonic()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    tally, null = Tally(), Tally()
    for number, seed in enumerate(seeds):
        draw = simulated_fleet if number % 3 == 2 else draw_fleet
        measure(draw(seed), tally)
        measure(draw(seed, null=True), null, DAYS_BEFORE_END[::2])
    result = summary(tally, null)
    result["attacks"], result["influence"] = attack_tables(seeds[: max(4, len(seeds) // 4)])
    result["end_to_end"] = end_to_end_summary(seeds[:2])
    result["cpu_seconds"] = round(time.process_time(), 1)
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
