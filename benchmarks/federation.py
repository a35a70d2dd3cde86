"""What is kept of a fleet's actionable playbooks when its nodes send summaries with noise, and what is lost
to what.

    python benchmarks/federation.py --seeds 7 11 3 5 23 42 101 102 --draws 3

Each fleet is simulated and ingested once, by its nodes. Their days are counted once, exactly and with each
session's contribution bounded, for all draws of the noise. The reference is what summaries without noise (k
alone) make actionable on the last day; `--events` compares those with events, too. With `--null` nothing is
planted, and every actionable playbook is a false one. A JSON line for each fleet, and a last one of all:

- `k`: actionable with k alone; `draws`: independent draws of the noise.
- `kept`: of those, the same ones (by id: remedy and pattern, or by remedy and title) that are actionable with
  noise; `agree`: of these, those that suggest the same changes, numbers within a factor of 2 of the exact
  ones; `patterns`: of k's, those of whose pattern any playbook is actionable. By draw; in the last line
  over all draws, with shares by fleet of what k makes (`agree`: of what is kept).
- `extra`: actionable with noise alone; `lost`: why, and how often.
- `rates`: quartiles of methods' failure rates over exact ones (not in the last line).
"""

import argparse
import json
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd

from fl_assets.core.models import Playbook
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.federation import coordinator_side, node_side
from fl_assets.federation.counting import DayCounts
from fl_assets.federation.node_side import NodeSummaries
from fl_assets.infra.keys import public_pem
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.playbooks.propose import propose
from fl_assets.playbooks.remedies import load_remedies
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace

warnings.simplefilter("ignore")
END = date(2026, 11, 14)
NOW = datetime(2026, 11, 16, tzinfo=UTC)
FLEETS = (7, 11, 3, 5, 23, 42, 101, 102)


@dataclass(frozen=True)
class Learnt:
    """What a coordinator made of a fleet on the last day.

    Attributes:
        playbooks: all, held or not.
        rates: failures over calls of each service and method, all days and nodes together.
    """

    playbooks: Sequence[Playbook]
    rates: pd.Series

    @property
    def actionable(self) -> list[Playbook]:
        """Those that nothing holds."""
        return [one for one in self.playbooks if not one.held_because]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=6)
    parser.add_argument("--events-per-day", type=int, default=60_000, help="Of the whole fleet.")
    parser.add_argument("--seeds", type=int, nargs="+", default=FLEETS)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument(
        "--delta", type=float, default=0.0, help="Names by thresholds of this delta, in place of k."
    )
    parser.add_argument("--draws", type=int, default=3, help="Independent draws of the noise.")
    parser.add_argument("--null", action="store_true", help="Plant no failure.")
    parser.add_argument("--events", action="store_true", help="Compare k alone with events, too.")
    parser.add_argument("--homes", type=Path, help="Keeps the nodes' lakes for the next run.")
    asked = parser.parse_args()
    # Masking a summary's texts again is most of what taking it costs, and every draw has the same texts.
    remembered = {}

    def masked_once(texts: list[str]) -> list[str]:
        new = sorted(set(texts) - remembered.keys())
        remembered.update(zip(new, node_side_masks(new), strict=True))
        return [remembered[text] for text in texts]

    node_side_masks = coordinator_side.mask_texts
    coordinator_side.mask_texts = node_side.mask_texts = masked_once
    begin, fleets = time.process_time(), {}
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as folder:
            fleets[seed] = measured(asked, seed, Path(folder))
        print(json.dumps({"seed": seed, **fleets[seed]}), flush=True)
    together: dict[str, object] = {"k": sum(one["k"] for one in fleets.values()), "draws": asked.draws}
    together["of"] = sum(one["k"] * asked.draws for one in fleets.values())
    together |= {
        name: sum(sum(one[name]) for one in fleets.values())
        for name in ("kept", "agree", "patterns", "extra")
    }
    for name in ("kept", "agree", "patterns"):
        together[f"{name}_share"] = {
            seed: round(
                sum(one[name]) / max(1, sum(one["kept"]) if name == "agree" else one["k"] * asked.draws), 3
            )
            for seed, one in fleets.items()
        }
    together |= {
        "lost": sum((Counter(one["lost"]) for one in fleets.values()), Counter()),
        "cpu_seconds": round(time.process_time() - begin),
    }
    print(json.dumps(together))


def measured(asked: argparse.Namespace, seed: int, root: Path) -> dict[str, object]:
    """Return what one fleet keeps, over all draws."""
    days = [END - timedelta(days=back) for back in range(asked.days - 1, -1, -1)]
    kind = f"{'null' if asked.null else 'fleet'}-{seed}-{asked.nodes}-{asked.days}-{asked.events_per_day}"
    homes = (asked.homes or root) / kind
    if not homes.exists():
        simulate(
            homes / "cache",
            days=asked.days,
            nodes=asked.nodes,
            events_per_day=asked.events_per_day,
            seed=seed,
            end=END,
            null=asked.null,
        )
    nodes = [
        home(homes / "nodes" / one.name, telemetry_path=homes / "cache" / one.name, node_id=one.name)
        for one in sorted((homes / "cache").iterdir())
        if one.is_dir()
    ]
    for node in nodes:
        node.engine.ingest()
    counted: dict[object, tuple[str, DayCounts]] = {}
    exact = learnt(fleet(root / "k", nodes, days, {}, counted), days)
    print(f"seed {seed}: {len(exact.actionable)} actionable playbooks on {END} with k alone")
    found: dict[str, list] = {"kept": [], "agree": [], "patterns": [], "extra": []}
    if asked.events:
        raw = learnt(home(root / "events", telemetry_path=homes / "cache"), days)
        found["events"] = [len(raw.actionable), len(same(raw.actionable, exact.actionable))]
    lost: Counter[str] = Counter()
    ratios = []
    for draw in range(asked.draws):
        changes = {"summary_epsilon": asked.epsilon, "summary_delta": asked.delta, "summary_budget": 1e4}
        noised = learnt(fleet(root / f"noise{draw}", nodes, days, changes, counted, draw), days)
        still = same(exact.actionable, noised.actionable)
        patterns = {name for one in noised.actionable for name in patterns_of(one)}
        of_pattern = [one for one in exact.actionable if one in still or patterns & patterns_of(one)]
        found["kept"].append(len(still))
        others = [one for one in still if not agrees(one, noised.actionable)]
        found["agree"].append(len(still) - len(others))
        for one in others:
            now = [other.suggested_changes for other in same_as(one, noised.actionable)]
            print(f"  draw {draw} differs: {one.remedy_id}: {one.suggested_changes}, with noise {now}")
        found["patterns"].append(len(of_pattern))
        found["extra"].append(len(noised.actionable) - len(same(noised.actionable, exact.actionable)))
        for one in exact.actionable:
            if one not in still:
                reason, detail = why(one, noised)
                lost[reason] += 1
                print(
                    f"  draw {draw} lost: {one.confidence:.2f} {one.evidence_count:>5} failures on "
                    f"{one.nodes_affected} nodes  {one.remedy_id}: {one.title} - {detail}"
                )
        for one in noised.actionable:
            if one not in same(noised.actionable, exact.actionable):
                print(f"  draw {draw} extra: {one.confidence:.2f} {one.remedy_id}: {one.title}")
        both = noised.rates.reindex(exact.rates.index) / exact.rates
        ratios.append(both[np.isfinite(both)])
    quartiles = pd.concat(ratios).quantile([0.25, 0.5, 0.75]).round(2).tolist() if ratios else []
    return {"k": len(exact.actionable), "draws": asked.draws, **found, "lost": lost, "rates": quartiles}


def patterns_of(one: Playbook) -> set[str]:
    return {one.pattern_id, *one.merged_patterns}


def same(given: Iterable[Playbook], among: Sequence[Playbook]) -> list[Playbook]:
    """Those of `given` that are in `among`, by id or by remedy and title.

    A pattern's first-named method, and its id, hang on which messages count most.
    """
    ids = {one.improvement_id for one in among}
    titles = {(one.remedy_id, one.title) for one in among}
    return [one for one in given if one.improvement_id in ids or (one.remedy_id, one.title) in titles]


def same_as(one: Playbook, among: Iterable[Playbook]) -> list[Playbook]:
    """Those of `among` that are the same as `one`."""
    return [other for other in among if same([one], [other])]


def agrees(one: Playbook, among: Sequence[Playbook]) -> bool:
    """Whether one that is the same suggests the same changes, its numbers within a factor of 2."""
    changes = one.suggested_changes

    def is_near(exact: str, noised: str) -> bool:
        are_numbers = exact.isdigit() and noised.isdigit()
        near = int(exact) <= 2 * int(noised) and int(noised) <= 2 * int(exact) if are_numbers else False
        return exact == noised or near

    return any(
        other.suggested_changes.keys() == changes.keys()
        and all(is_near(value, other.suggested_changes[key]) for key, value in changes.items())
        for other in same_as(one, among)
    )


def why(one: Playbook, noised: Learnt) -> tuple[str, str]:
    """Return in a word and in words why a playbook is not actionable with noise."""
    others = [other for other in noised.playbooks if patterns_of(one) & patterns_of(other)]
    for other in others:
        if not other.held_because:
            return "another remedy", f"{other.remedy_id} in its place"
    if not others:
        return "no pattern", "its pattern has no playbook"
    rules = [reason.split(":")[0] for reason in others[0].held_because]
    return rules[0], f"{others[0].remedy_id} {others[0].confidence:.3f}: {'; '.join(others[0].held_because)}"


def home(folder: Path, **overrides) -> Workspace:
    """A workspace with every path in a folder of its own."""
    paths = {
        "data_path": folder,
        "playbook_path": folder / "playbooks",
        "error_records_path": folder / "none",
        "telemetry_path": folder / "none",
    }
    paths |= {"summaries_path": folder / "summaries", "node_keys_path": folder / "node-keys"}
    return Workspace(FederatedLearningConfig(**(paths | overrides)))


class CountedOnce(NodeSummaries):
    """A node whose days are counted once for all draws of the noise."""

    counted: dict[object, tuple[str, DayCounts]]

    def _count(self, day: date) -> tuple[str, DayCounts]:
        of = self._settings
        key = (of.node_id, day, of.summary_epsilon > 0, of.summary_delta > 0)
        if key not in self.counted:
            self.counted[key] = super()._count(day)
        return self.counted[key]


def fleet(
    folder: Path,
    nodes: Iterable[Workspace],
    days: Iterable[date],
    changes: Mapping[str, object],
    counted: dict[object, tuple[str, DayCounts]],
    draw: int = 0,
) -> Workspace:
    """A coordinator that has nothing but the summaries of all nodes.

    Each node's ledger is one of this coordinator alone. With a delta each node knows the names that any had
    published on earlier days.
    """
    coordinator = home(folder, **changes)
    for path in (coordinator.settings.summaries_path, coordinator.settings.node_keys_path):
        path.mkdir(parents=True)
    told = []
    for number, node in enumerate(nodes):
        settings = node.settings.model_copy(
            update={**changes, "data_path": folder / "nodes" / node.settings.node_id}
        )
        one = CountedOnce(settings, node.engine, clock=lambda: NOW, random=Random(1000 * draw + number))
        one._lake, one.counted = node.lake, counted
        told.append(one)
        key_path = coordinator.settings.node_keys_path / f"{settings.node_id}.pem"
        key_path.write_bytes(public_pem(one.key()))
    for day in sorted(days):
        lines = [one.summarize_day(day).line + b"\n" for one in told if one.days(day, day)]
        (coordinator.settings.summaries_path / f"{day}.jsonl").write_bytes(b"".join(lines))
        for one in told if changes.get("summary_delta") else ():
            known = one.ledger_path.parent / "known"
            known.mkdir(exist_ok=True)
            (known / f"{day}.jsonl").write_bytes(b"".join(lines))
    return coordinator


def learnt(space: Workspace, days: Iterable[date]) -> Learnt:
    """The playbooks of the last day, after all days before it."""
    _, taken = space.intake.ingest()
    assert not taken.refused, taken.refused[:3]
    day = max(days)
    space.sums.refresh_signatures(space.days.with_events(day))
    space.sums.refresh_conversations(space.days.with_events(day))
    history = space.patterns.history(day)
    found = analyse(
        history,
        space.days.window(day),
        rules=rules(),
        corrections=load_corrections(space.settings.corrections_path),
        false_discovery_rate=space.settings.false_discovery_rate,
        summary_min_nodes=space.settings.summary_min_nodes,
    )
    playbooks = propose(
        pd.DataFrame(found.patterns), remedies(), day=day, settings=space.settings, previous=[]
    )
    sums = history.totals.groupby(["service", "method"])[["failures", "calls"]].sum()
    return Learnt(playbooks, (sums["failures"] / sums["calls"])[sums["failures"] > 0])


@cache
def rules() -> tuple:
    return tuple(load_failure_classes())


@cache
def remedies() -> tuple:
    return tuple(load_remedies(None))


if __name__ == "__main__":
    main()
