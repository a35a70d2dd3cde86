"""The fleet of the demo, whose failures depend on the settings that its nodes run.

What goes here: the demo's content (`demo.yaml`), and the telemetry of each day, given every node's settings.
What does not: cycles, approvals and releases (`cli/demo.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fl_assets.core.data import read_data
from fl_assets.simulator.catalogue import METHOD_INDEX, NOISE, CallFailure
from fl_assets.simulator.damage import Damage
from fl_assets.simulator.emit import NodeFiles
from fl_assets.simulator.plan import MAX_RATE, FleetPlan, plan_fleet
from fl_assets.simulator.truth import Tally, Truth, truth_of
from fl_assets.simulator.write import write_file

Values = Mapping[str, Mapping[str, Any]]
"""Changed settings of each node, by key (`agent.toml#key`)."""


@dataclass(frozen=True)
class Reaction:
    """The effect of a changed setting: `factor` times as many of a planted failure."""

    key: str
    failure: str
    factor: float


@dataclass(frozen=True)
class Approval:
    """A decision that the demo's operator approves, by a key that it changes, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Demo:
    """The content of `demo.yaml`."""

    fleet: Mapping[str, int]
    louder: Mapping[str, float]
    harmless: CallFailure
    agents: str
    policy: str
    reactions: tuple[Reaction, ...]
    approvals: tuple[Approval, ...]
    first_approval_after_days: int
    patience_days: int
    canary_share: float
    max_canary_days: int

    @classmethod
    def load(cls) -> "Demo":
        """Read `demo.yaml`."""
        content: dict[str, Any] = read_data(Path(__file__).with_suffix(".yaml"))
        targets = tuple((service, method) for service, method in content["harmless"]["targets"])
        content["harmless"] = CallFailure(**content["harmless"] | {"targets": targets})
        content["reactions"] = tuple(Reaction(**row) for row in content["reactions"])
        content["approvals"] = tuple(Approval(**row) for row in content["approvals"])
        return cls(**content)


class DemoFleet:
    """The nodes of the demo; their days are written in order."""

    def __init__(self, demo: Demo, end: date) -> None:
        """Plan what they would do if nothing changed, up to the day `end`."""
        fleet = demo.fleet
        self._demo, self._tally = demo, Tally()
        sizes = (fleet["days"], fleet["nodes"], fleet["events_per_day"], fleet["seed"])
        self.plan = plan_fleet(*sizes, end=end, more=(demo.harmless,))
        rng, usual = np.random.default_rng([fleet["seed"], 7]), rates(self.plan)
        for failure, factor in demo.louder.items():
            for index, node in np.ndindex(len(self.plan.days), len(self.plan.nodes)):
                _scale(self.plan, index, node, failure, factor, usual, rng)
        self._usual = rates(self.plan)
        damage = Damage()
        self._nodes = [
            NodeFiles(self.plan, node, self._tally, damage=damage, compression="mixed")
            for node in range(len(self.plan.nodes))
        ]

    def write_day(self, index: int, values: Values, out: Path | None) -> int:
        """Write a day's telemetry below `out`; return its lines.

        Args:
            index: of the day; all days before it were written.
            values: settings of each node on the day.
            out: folder of the cache; None for a day whose files are there, so that the next can follow.
        """
        react(self.plan, index, values, self._demo.reactions, self._usual)
        lines = 0
        for node in self._nodes:
            for file in (*node.day(index), *node.rest(index)):
                lines += file.lines
                if out is not None:
                    write_file(out, file)
        return lines

    def truth(self) -> Truth:
        """Return what was planted, and came of it, on the days written so far."""
        return truth_of(self.plan, self._tally)


def rates(plan: FleetPlan) -> np.ndarray:
    """Return how often each planted failure befalls the calls of its methods on each node, F × N, 0 to 1."""
    found = np.zeros((len(plan.call_failures), len(plan.nodes)))
    for kind in range(len(plan.call_failures)):
        targets = _targets(plan, kind)
        calls = plan.calls[:, :, targets].sum(axis=(0, 2))
        found[kind] = plan.failures[kind][:, :, targets].sum(axis=(0, 2)) / np.maximum(1, calls)
    return found


def react(
    plan: FleetPlan, index: int, values: Values, reactions: Sequence[Reaction], usual: np.ndarray
) -> None:
    """Change a day's planned failures by the settings of the nodes; the calls stay the same.

    Args:
        plan: changed in place.
        index: of the day.
        values: settings of each node on the day.
        reactions: what they do.
        usual: `rates` of the plan before any day reacted.
    """
    rng = np.random.default_rng([plan.seed, 6, index])
    for reaction in reactions:
        for node, name in enumerate(plan.nodes):
            if reaction.key in values.get(name, {}):
                _scale(plan, index, node, reaction.failure, reaction.factor, usual, rng)


def _targets(plan: FleetPlan, kind: int) -> list[int]:
    return [METHOD_INDEX[target] for target in plan.call_failures[kind].targets]


def _scale(
    plan: FleetPlan,
    index: int,
    node: int,
    failure: str,
    factor: float,
    usual: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Multiply a failure's calls on a node's day by `factor`, on average.

    More of them are drawn by the node's usual rate, so that a day that had none by chance has some.
    """
    kind = next(place for place, one in enumerate(plan.call_failures) if one.id == failure)
    targets = _targets(plan, kind)
    failed = plan.failures[kind, index, node, targets]
    if factor <= 1:
        plan.failures[kind, index, node, targets] = rng.binomial(failed, factor)
        return
    free = _calls_that_succeed(plan, index, node)[targets]
    odds = usual[kind, node] / max(1 - usual[kind, node], 1 - MAX_RATE)
    plan.failures[kind, index, node, targets] = failed + rng.binomial(
        free, min(MAX_RATE, (factor - 1) * odds)
    )


def _calls_that_succeed(plan: FleetPlan, index: int, node: int) -> np.ndarray:
    """Return the calls of a node and day without a planned failure, by method."""
    free = plan.calls[index, node] - plan.failures[:, index, node].sum(axis=0)
    for kind, source in enumerate(NOISE):
        free[METHOD_INDEX[source.service, source.method]] -= plan.noise[kind, index, node]
    return np.maximum(free, 0)
