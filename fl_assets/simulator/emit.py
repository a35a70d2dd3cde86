"""A plan as telemetry: the files that the nodes of a simulated fleet write, node by node and day by day.

What goes here: which lines lie in which file. What does not: lines (`lines.py`), writing files (`write.py`).
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
    """One file as it will be written.

    Its path below the cache, its bytes before compression and when the node finished it.
    """

    path: str
    content: bytes
    written_at: datetime
    lines: int


def telemetry_files(
    plan: FleetPlan, tally: Tally, *, damage: Damage, compression: Compression
) -> Iterator[TelemetryFile]:
    """Make the files of a fleet, node by node and day by day.

    It never holds more than about two batches of events.

    Args:
        plan: What to show.
        tally: Counted up as files are made.
        damage: What goes wrong on top of the plan.
        compression: One kind of file, or a mixture.

    Yields:
        Files in the order in which a node finished them. A node changes file twice a day, at its own times,
        so that files cross midnight.
    """
    for node in range(len(plan.nodes)):
        rng = np.random.default_rng([plan.seed, 4, node])
        style = NodeStyle.draw(node, len(plan.nodes), plan.nodes[node], rng)
        cuts = np.sort(rng.uniform(0.15, 0.9, 2)) * DAY_SECONDS
        held: list[bytes] = []
        later: dict[int, list[bytes]] = {}
        made = 0

        def cut(
            at: datetime, held: list[bytes] = held, rng: np.random.Generator = rng, style: NodeStyle = style
        ) -> TelemetryFile:
            nonlocal made
            suffixes = _SUFFIXES[compression]
            name = f"{style.node}/events_{uuids(rng, 1)[0]}.jsonl{suffixes[made % len(suffixes)]}"
            mark = (
                b"\xef\xbb\xbf" if damage.malformed and made % 20 == 7 else b""
            )  # a byte order mark, which readers must bear
            content = mark + b"\n".join(held) + b"\n"
            count = len(held)
            held.clear()
            made += 1
            return TelemetryFile(name, content, at, count)

        for index, day in enumerate(plan.days):
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            held += later.pop(index, [])
            for lines, seconds in _node_day(plan, index, node, style, damage, later, tally):
                start = 0
                for second in cuts[(cuts > seconds[0]) & (cuts <= seconds[-1])]:
                    stop = int(np.searchsorted(seconds, second))
                    held += lines[start:stop]
                    start = stop
                    if held:
                        yield cut(midnight + timedelta(seconds=float(second)))
                held += lines[start:]
                if len(held) >= FILE_EVENTS:
                    yield cut(midnight + timedelta(seconds=float(seconds[-1])))
        if held:
            yield cut(datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))


def _node_day(
    plan: FleetPlan,
    day: int,
    node: int,
    style: NodeStyle,
    damage: Damage,
    later: dict[int, list[bytes]],
    tally: Tally,
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Make the lines of one node and day, in batches in the order of time.

    With each line comes the second of the day.
    """
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
