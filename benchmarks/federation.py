"""Learn from a simulated fleet three times: from its events, from its nodes' summaries, and from summaries
with noise; compare the patterns and playbooks.

    python benchmarks/federation.py --days 8 --nodes 12 --events-per-day 24000 --epsilon 1 --draws 5

A playbook is kept when on the last day the same one (by id: remedy and pattern) or the same remedy with the
same title is actionable with events and with summaries. Last line JSON: {"actionable", "kept_k1", "kept_k",
"kept_epsilon": [one a draw], "extra_epsilon": [actionable ones that events do not give], "kept_share",
"seconds"}.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pandas as pd

from fl_assets.core.models import Playbook
from fl_assets.core.settings import FederatedLearningConfig
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--events-per-day", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument(
        "--delta", type=float, default=0.0, help="Names by thresholds of this delta, in place of k."
    )
    parser.add_argument("--draws", type=int, default=5, help="Independent draws of the noise.")
    asked = parser.parse_args()
    begin = time.perf_counter()
    days = [END - timedelta(days=back) for back in range(asked.days - 1, -1, -1)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        simulate(
            root / "cache",
            days=asked.days,
            nodes=asked.nodes,
            events_per_day=asked.events_per_day,
            seed=asked.seed,
            end=END,
        )
        raw = actionable(learn(home(root / "raw", telemetry_path=root / "cache"), days))
        print(f"events: {len(raw)} actionable playbooks on {END}")
        nodes = [
            home(root / "nodes" / one.name, telemetry_path=root / "cache" / one.name, node_id=one.name)
            for one in sorted((root / "cache").iterdir())
        ]
        for node in nodes:
            node.engine.ingest()
        found = {}
        for name, changes in {"k1": {"summary_min_sessions": 1, "summary_min_nodes": 1}, "k": {}}.items():
            found[name] = actionable(learn(fleet(root / name, nodes, days, changes), days))
            told(name, raw, found[name])
        noised = []
        for draw in range(asked.draws):
            changes = {
                "summary_epsilon": asked.epsilon,
                "summary_delta": asked.delta,
                "summary_budget": 10_000.0,
            }
            noised.append(actionable(learn(fleet(root / f"noise{draw}", nodes, days, changes, draw), days)))
            told(f"epsilon {asked.epsilon:g}, draw {draw}", raw, noised[-1])
    shared = [len(kept(raw, one)) for one in noised]
    report = {
        "actionable": len(raw),
        "kept_k1": len(kept(raw, found["k1"])),
        "kept_k": len(kept(raw, found["k"])),
        "kept_epsilon": shared,
        "extra_epsilon": [len(one) - len(kept(one, raw)) for one in noised],
        "kept_share": round(statistics.mean(shared) / max(1, len(raw)), 3) if shared else None,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    print(json.dumps(report))


def kept(
    raw: Mapping[tuple[str, str], Playbook], found: Mapping[tuple[str, str], Playbook]
) -> set[tuple[str, str]]:
    """Those of `raw` that are in `found`, by id or by remedy and title.

    A pattern's first-named method, and its id, hang on which messages count most.
    """
    ids = {one.improvement_id for one in found.values()}
    return {key for key, one in raw.items() if key in found or one.improvement_id in ids}


def told(
    name: str, raw: Mapping[tuple[str, str], Playbook], found: Mapping[tuple[str, str], Playbook]
) -> None:
    same = kept(raw, found)
    print(f"{name}: {len(same)} of {len(raw)} kept, {len(found) - len(kept(found, raw))} more")
    for key in sorted(raw.keys() - same):
        one = raw[key]
        print(
            f"  lost: {one.category:<8} {one.confidence:.2f} {one.evidence_count:>5} failures on "
            f"{one.nodes_affected} nodes  {one.remedy_id}: {one.title}"
        )


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


def fleet(
    folder: Path,
    nodes: Iterable[Workspace],
    days: Iterable[date],
    changes: Mapping[str, object],
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
        summaries_of = NodeSummaries(
            settings,
            node.engine,
            clock=lambda: datetime(2026, 11, 16, tzinfo=UTC),
            random=Random(1000 * draw + number),
        )
        summaries_of._lake = node.lake
        told.append(summaries_of)
        key_path = coordinator.settings.node_keys_path / f"{settings.node_id}.pem"
        key_path.write_bytes(public_pem(summaries_of.key()))
    for day in sorted(days):
        lines = [one.summarize_day(day).line + b"\n" for one in told if one.days(day, day)]
        (coordinator.settings.summaries_path / f"{day}.jsonl").write_bytes(b"".join(lines))
        for one in told if changes.get("summary_delta") else ():
            known = one.ledger_path.parent / "known"
            known.mkdir(exist_ok=True)
            (known / f"{day}.jsonl").write_bytes(b"".join(lines))
    return coordinator


def learn(space: Workspace, days: Iterable[date]) -> list[Playbook]:
    """The playbooks of the last day, after all days before it."""
    _, taken = space.intake.ingest()
    assert not taken.refused, taken.refused[:3]
    day = max(days)
    space.sums.refresh_signatures(space.days.with_events(day))
    space.sums.refresh_conversations(space.days.with_events(day))
    rules = {
        "rules": load_failure_classes(),
        "corrections": load_corrections(space.settings.corrections_path),
        "false_discovery_rate": space.settings.false_discovery_rate,
    }
    found = analyse(
        space.patterns.history(day),
        space.days.window(day),
        **rules,
        summary_min_nodes=space.settings.summary_min_nodes,
    )
    return propose(
        pd.DataFrame(found.patterns),
        load_remedies(space.settings.remedies_path),
        day=day,
        settings=space.settings,
        previous=[],
    )


def actionable(playbooks: Iterable[Playbook]) -> dict[tuple[str, str], Playbook]:
    return {(one.remedy_id, one.title): one for one in playbooks if not one.held_because}


if __name__ == "__main__":
    main()
