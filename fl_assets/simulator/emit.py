"""The telemetry files of a simulated fleet, node by node and day by day.

What goes here: which lines are in which file. What does not: lines (`lines.py`), writing files (`write.py`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

import numpy as np

from fl_assets.simulator.catalogue import AGENTS, METHOD_INDEX, METHODS, NOISE
from fl_assets.simulator.damage import Damage, damaged
from fl_assets.simulator.lines import DAY_SECONDS, Calls, Draw, NodeStyle, Sessions, batch_of, uuids
from fl_assets.simulator.plan import TURNS_PER_SESSION, FleetPlan
from fl_assets.simulator.truth import Tally

BATCH_EVENTS = 50_000
FILE_EVENTS = 100_000
Compression = Literal["mixed", "plain", "gzip", "zstd"]
_SUFFIXES: Mapping[Compression, tuple[str, ...]] = {
    "mixed": ("", ".gz", ".zst"),
    "plain": ("",),
    "gzip": (".gz",),
    "zstd": (".zst",),
}


@dataclass(frozen=True)
class TelemetryFile:
    """A file to write: path below the cache, bytes before compression, and the time it was finished."""

    path: str
    content: bytes
    written_at: datetime
    lines: int


def telemetry_files(
    plan: FleetPlan, tally: Tally, *, damage: Damage, compression: Compression
) -> Iterator[TelemetryFile]:
    """Make the files of a fleet, node by node and day by day.

    It never holds more than about two batches of events.

    Yields:
        Files in the order in which a node finished them. A node changes file twice a day, at its own times,
        so that files cross midnight.
    """
    for node in range(len(plan.nodes)):
        files = NodeFiles(plan, node, tally, damage=damage, compression=compression)
        for index in range(len(plan.days)):
            yield from files.day(index)
        yield from files.rest(len(plan.days) - 1)


class NodeFiles:
    """The files of one node, day after day in their order."""

    def __init__(
        self, plan: FleetPlan, node: int, tally: Tally, *, damage: Damage, compression: Compression
    ) -> None:
        """Draw how the node writes; see `telemetry_files`."""
        self._plan, self._node, self._tally, self._damage = plan, node, tally, damage
        self._suffixes = _SUFFIXES[compression]
        self._rng = np.random.default_rng([plan.seed, 4, node])
        self._style = NodeStyle.draw(node, len(plan.nodes), plan.nodes[node], self._rng)
        self._cuts = np.sort(self._rng.uniform(0.15, 0.9, 2)) * DAY_SECONDS
        self._held: list[bytes] = []
        self._later: dict[int, list[bytes]] = {}
        self._made = 0

    def day(self, index: int) -> Iterator[TelemetryFile]:
        """Make what the node finishes in the course of a day; what it writes after that stays open."""
        self._held += self._later.pop(index, [])
        parts = _node_day(self._plan, index, self._node, self._style, self._damage, self._later, self._tally)
        for lines, seconds in parts:
            start = 0
            for second in self._cuts[(self._cuts > seconds[0]) & (self._cuts <= seconds[-1])]:
                stop = int(np.searchsorted(seconds, second))
                self._held += lines[start:stop]
                start = stop
                if self._held:
                    yield self._cut(index, float(second))
            self._held += lines[start:]
            if len(self._held) >= FILE_EVENTS:
                yield self._cut(index, float(seconds[-1]))

    def rest(self, index: int) -> Iterator[TelemetryFile]:
        """Make the file that is open at the end of a day, if there is one."""
        if self._held:
            yield self._cut(index, DAY_SECONDS)

    def _cut(self, index: int, second: float) -> TelemetryFile:
        day = self._plan.days[index]
        suffix = self._suffixes[self._made % len(self._suffixes)]
        name = f"{self._style.node}/events_{uuids(self._rng, 1)[0]}.jsonl{suffix}"
        # some files begin with a byte order mark, which readers must accept
        mark = b"\xef\xbb\xbf" if self._damage.malformed and self._made % 20 == 7 else b""
        content = mark + b"\n".join(self._held) + b"\n"
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)
        found = TelemetryFile(name, content, at, len(self._held))
        self._held.clear()
        self._made += 1
        return found


def _node_day(
    plan: FleetPlan,
    day: int,
    node: int,
    style: NodeStyle,
    damage: Damage,
    later: dict[int, list[bytes]],
    tally: Tally,
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Make the lines of a node's day with their seconds of the day, in batches in the order of time."""
    rng = np.random.default_rng([plan.seed, 5, node, day])
    calls, total = plan.calls[day, node], int(plan.calls[day, node].sum())
    method = np.repeat(np.arange(len(METHODS), dtype=np.int16), calls)
    cause = np.full(total, -1, dtype=np.int16)
    used = np.r_[0, calls.cumsum()[:-1]]
    for kind, target in zip(*np.nonzero(plan.failures[:, day, node]), strict=True):
        count = plan.failures[kind, day, node, target]
        cause[used[target] : used[target] + count] = kind
        used[target] += count
    for kind in np.flatnonzero(plan.noise[:, day, node]):
        target, count = METHOD_INDEX[NOISE[kind].service, NOISE[kind].method], plan.noise[kind, day, node]
        cause[used[target] : used[target] + count] = len(plan.call_failures) + kind
        used[target] += count
    order = rng.permutation(total)
    method, cause = method[order], cause[order]

    agent = np.repeat(np.arange(len(AGENTS)), plan.sessions[day, node])
    talk = np.full(len(agent), -1)
    length = np.full(len(agent), TURNS_PER_SESSION - 1)
    for index in range(len(AGENTS)):
        mine = np.flatnonzero(agent == index)
        if len(mine):
            length[mine] += rng.multinomial(
                plan.turns[day, node, index] - length[mine].sum(), np.full(len(mine), 1 / len(mine))
            )
        free = rng.permutation(mine)
        for kind, failure in enumerate(plan.talk_failures):
            if AGENTS.index(failure.agent) == index:
                talk[free[: plan.affected[kind, day, node]]] = kind
                free = free[plan.affected[kind, day, node] :]
    order = rng.permutation(len(agent))
    agent, talk, length = agent[order], talk[order], length[order]

    batches = max(1, math.ceil((total + length.sum()) / BATCH_EVENTS))
    for batch in range(batches):
        part = slice(total * batch // batches, total * (batch + 1) // batches)
        seats = slice(len(agent) * batch // batches, len(agent) * (batch + 1) // batches)
        span = (batch / batches, (batch + 1) / batches)
        calls, talks = Calls(method[part], cause[part]), Sessions(agent[seats], talk[seats], length[seats])
        events = batch_of(Draw(plan, plan.days[day], style, rng, Random(0), tally), span, calls, talks)
        if events.lines:
            yield damaged(events, len(plan.days) - 1 - day, day, damage, rng, later, tally)
