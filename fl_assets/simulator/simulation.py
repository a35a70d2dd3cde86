"""What a simulated fleet does: how often what fails where, as counts, as telemetry bytes and as the truth about both.

What goes here: drawing, all of it from a seed. What does not: writing files (`simulator/simulator.py`), the fleet's services, failures and words
(`fleet_catalogue.py`).

`plan_fleet` draws once how many calls, sessions and failures each node has on each day. `simulate_counts` shows that plan as the frames that
confidence is computed from, `telemetry_files` shows the same plan as JSON lines, and `truth_of` says what was planted; so the three agree.

How often a planted failure happens on a node and day: `rate × level of the day × node factor × node-day factor`, binomial in the calls there. Both
factors are gamma with mean 1, which makes the counts over-dispersed (negative binomial like), as real failure counts are. The level of a day is
the failure's shape:

    chronic      1 on every day
    new          0, then 1 on the last two to four days
    rising       from 0.15 to 1, as the square of time
    fixed        1, then 0 from about three fifths of the days on
    single_node  1 on every day, on the busiest node alone
    burst        1 on two days around two fifths of the days, 0 else
    rare         1, at a rate that gives 0.4 failures a day in the whole fleet, however large it is

Noise is one or two failures on one node at a time, of forty kinds, at most 20 incidents a day however large the fleet is.

`truth.json` is `Truth` as JSON (`PlantedFailure.failure_class` is called `class` there).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Literal

import numpy as np
import orjson

from fl_assets.simulator.fleet_catalogue import (
    AGENT_SHARES,
    AGENTS,
    APOLOGIES,
    CALL_FAILURES,
    CLOSINGS,
    CONFIDENT,
    COPIES,
    CORRECTIONS,
    GIVING_UP,
    HONEST,
    METHOD_INDEX,
    METHODS,
    NOISE,
    PERSONAL,
    REFUSALS,
    TALK_FAILURES,
    TOPICS,
    VAGUE,
    CallFailure,
    Shape,
    TalkFailure,
    pattern_of,
    render,
)

TURN_SHARE = 0.25
"""Share of the events that are turns of talk."""
TURNS_PER_SESSION = 4
CALLS_PER_TRACE = 7
WEEKDAYS = np.array([1.05, 1.08, 1.08, 1.06, 1.0, 0.87, 0.86])
SILENT_SHARE = 0.02
"""Share of node-days on which a node reports nothing."""
NODE_SHAPE, NODE_DAY_SHAPE = 5.0, 8.0
"""Gamma shapes of the two factors; their variances are the reciprocals."""
RATE_SIGMA = 0.2
"""How much a failure's rate differs from one seed to another, as the sigma of its logarithm."""
MAX_RATE = 0.95
RARE_PER_DAY = 0.4
NOISE_PER_CALL, MAX_NOISE_PER_DAY = 0.0017, 20.0
ACTIONABLE_NODES, ACTIONABLE_FAILURES = 3, 10
"""What the last day must show of a lasting failure for it to count as one that should be acted on."""
BATCH_EVENTS = 50_000
FILE_EVENTS = 100_000
ARGUMENTS_PER_METHOD = 256
HUGE_LINE_BYTES = 1_200_000
DAY_SECONDS = 86_400.0
DEFAULT_END = date(2026, 10, 31)
_REGIONS = (("eu-central", 0), ("us-east", 6), ("ap-south", -5), ("eu-west", 1))
_MODELS = ("atlas-8b", "atlas-70b", "borealis-24b")

Compression = Literal["mixed", "plain", "gzip", "zstd"]
_SUFFIXES: Mapping[Compression, tuple[str, ...]] = {
    "mixed": ("", ".gz", ".zst"),
    "plain": ("",),
    "gzip": (".gz",),
    "zstd": (".zst",),
}


@dataclass(frozen=True)
class PlantedFailure:
    """One planted failure, as it came out.

    Attributes:
        id: Name of it in the catalogue.
        failure_class: An ErrorClass, or for conversations the signal.
        shape: How it goes over the days.
        services: Services (for conversations: the agent) it is planted in.
        methods: Methods it is planted in; empty for conversations. An unknown tool's call may carry the invented name as its method instead.
        match: Regular expression that matches every raw text of it and of nothing else; None without a text, then services, methods and status say it.
        status: Value of `metadata.status` of its calls; None for conversations.
        signal: Signal of a conversation failure, else None.
        days: Days on which it happened.
        nodes: Nodes on which it happened.
        events_by_day: Failed calls (for conversations: sessions) by event day; only days with some.
        events_by_node: The same by node.
        actionable: Whether a playbook for it should be actionable on the last day: it lasts (chronic, new or rising), and on that day at least 3 nodes
            had it, 10 times or more.
        session_ids: Sessions that show it, for conversations.
    """

    id: str
    failure_class: str
    shape: Shape
    services: tuple[str, ...]
    methods: tuple[str, ...]
    match: str | None
    status: str | None
    signal: str | None
    days: tuple[str, ...]
    nodes: tuple[str, ...]
    events_by_day: dict[str, int]
    events_by_node: dict[str, int]
    actionable: bool
    session_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth:
    """What a simulated fleet holds.

    Attributes:
        seed: Seed it was drawn from.
        days: Days, oldest first.
        nodes: Nodes, which are also the folders.
        events: Distinct valid events.
        duplicates: Further copies of an event with the same content.
        conflicts: Further copies of an event's id with other content.
        late: Events that lie in a file of a later day than their own.
        malformed: Lines that are no valid event.
        clock_skewed: Valid events (healthy calls) whose own time is decades off.
        noise_failures: Failures that were not planted.
        failures: The planted ones.
    """

    seed: int
    days: tuple[str, ...]
    nodes: tuple[str, ...]
    events: int
    duplicates: int
    conflicts: int
    late: int
    malformed: int
    clock_skewed: int
    noise_failures: int
    failures: tuple[PlantedFailure, ...]

    def to_json(self) -> bytes:
        """Return the bytes of `truth.json`."""
        content = asdict(self)
        for failure in content["failures"]:
            failure["class"] = failure.pop("failure_class")
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


@dataclass(frozen=True)
class FleetPlan:
    """How many calls, sessions and failures each node has on each day; D days, N nodes, M methods, A agents.

    Attributes:
        seed: Seed it was drawn from.
        days: D days, oldest first.
        nodes: N node names.
        calls: Calls, D × N × M.
        turns: Turns of talk, D × N × A.
        sessions: Sessions, D × N × A.
        failures: Failed calls of each planted failure, F × D × N × M.
        affected: Sessions that show each planted conversation failure, T × D × N.
        noise: Failed calls of each kind of noise, K × D × N.
        levels: Level of each planted failure on each day, (F + T) × D.
        call_failures: The F planted failures in calls.
        talk_failures: The T planted failures in talk.
    """

    seed: int
    days: tuple[date, ...]
    nodes: tuple[str, ...]
    calls: np.ndarray
    turns: np.ndarray
    sessions: np.ndarray
    failures: np.ndarray
    affected: np.ndarray
    noise: np.ndarray
    levels: np.ndarray
    call_failures: tuple[CallFailure, ...]
    talk_failures: tuple[TalkFailure, ...]


def levels(shape: Shape, days: int, when: float = 0.5) -> np.ndarray:
    """Return the level of each of `days` days for a shape (see the module's docstring); `when`, from 0 to 1, moves its turning point."""
    day = np.arange(days)
    if shape == "new":
        return (day >= max(min(1, days - 1), days - 2 - int(when * 3))).astype(float)
    if shape == "rising":
        return 0.15 + 0.85 * (day / (days - 1)) ** 2 if days > 1 else np.ones(1)
    if shape == "fixed":
        return (day < max(1, round(days * (0.45 + 0.3 * when)))).astype(float)
    if shape == "burst":
        start = int(days * (0.2 + 0.4 * when))
        return ((day >= start) & (day < start + 2)).astype(float)
    return np.ones(days)


def plan_fleet(
    days: int, nodes: int, events_per_day: int, seed: int, *, end: date = DEFAULT_END, null: bool = False
) -> FleetPlan:
    """Draw what each node does on each day.

    Args:
        days: Days, the last of them `end`.
        nodes: Nodes in the fleet.
        events_per_day: Events of the whole fleet a day, on average; the total is exact.
        seed: What everything is drawn from.
        end: Last day.
        null: Plant nothing; noise alone.

    Raises:
        ValueError: naming the argument that is below 1.
    """
    for name, value in (("days", days), ("nodes", nodes), ("events_per_day", events_per_day)):
        if value < 1:
            message = f"{name}={value}: must be at least 1"
            raise ValueError(message)
    rng = np.random.default_rng([seed, 0])
    calendar = tuple(end - timedelta(days=days - 1 - index) for index in range(days))
    names = tuple(
        f"{_REGIONS[index % len(_REGIONS)][0]}-{index // len(_REGIONS) + 1:02d}" for index in range(nodes)
    )

    traffic = rng.lognormal(0, 0.5, nodes)
    is_reporting = rng.random((days, nodes)) >= SILENT_SHARE
    is_reporting[~is_reporting.any(axis=1)] = True
    share = WEEKDAYS[[day.weekday() for day in calendar]][:, None] * traffic * is_reporting
    events = rng.multinomial(days * events_per_day, (share / share.sum()).ravel()).reshape(days, nodes)

    turns = rng.multinomial(rng.binomial(events, TURN_SHARE), AGENT_SHARES)
    turns[turns < TURNS_PER_SESSION - 1] = (
        0  # fewer cannot show what a conversation is about: those events are calls
    )
    sessions = np.where(turns > 0, np.maximum(1, turns // TURNS_PER_SESSION), 0)
    weights = np.array([method.weight for method in METHODS])
    mix = rng.dirichlet(weights / weights.sum() * 150, nodes)
    calls = rng.multinomial(events - turns.sum(axis=2), mix)

    call_failures = () if null else CALL_FAILURES
    talk_failures = () if null else TALK_FAILURES
    left = calls.copy()
    level = np.zeros((len(call_failures) + len(talk_failures), days))
    failures = np.zeros((len(call_failures), *calls.shape), dtype=np.int32)
    for index, failure in enumerate(call_failures):
        own = np.random.default_rng([seed, 1, index])
        targets = [METHOD_INDEX[target] for target in failure.targets]
        level[index] = levels(failure.shape, days, own.random())
        rates = _rates(failure, level[index], left[:, :, targets].sum(axis=2), traffic, own)
        failures[index][:, :, targets] = own.binomial(left[:, :, targets], rates[:, :, None])
        left -= failures[index]

    noise = _noise(left, np.random.default_rng([seed, 2]))

    free = sessions.copy()
    affected = np.zeros((len(talk_failures), days, nodes), dtype=np.int32)
    for index, failure in enumerate(talk_failures):
        own = np.random.default_rng([seed, 3, index])
        agent = AGENTS.index(failure.agent)
        level[len(call_failures) + index] = levels(failure.shape, days, own.random())
        count = own.binomial(
            free[:, :, agent],
            _rates(failure, level[len(call_failures) + index], free[:, :, agent], traffic, own),
        )
        if failure.signal == "confident_after_failure":  # needs a failed call each to be confident about
            count = np.minimum(count, failures.sum(axis=(0, 3)))
        affected[index] = count
        free[:, :, agent] -= count
    return FleetPlan(
        seed,
        calendar,
        names,
        calls,
        turns,
        sessions,
        failures,
        affected,
        noise,
        level,
        call_failures,
        talk_failures,
    )


def _rates(
    failure: CallFailure | TalkFailure,
    level: np.ndarray,
    calls: np.ndarray,
    traffic: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the probability (D × N) that a call or session has a failure."""
    days, nodes = calls.shape
    if failure.shape == "rare":
        return np.full((days, nodes), min(MAX_RATE, RARE_PER_DAY * days / max(1, calls.sum())))
    if failure.shape == "single_node":
        chosen = np.array([traffic.argmax()])
    else:
        few = failure.node_share > 1  # that many nodes, busy ones, or there would be nothing to see
        chosen = traffic.argsort()[nodes // 2 :] if few else np.arange(nodes)
        wanted = max(3, round(failure.node_share if few else failure.node_share * nodes))
        chosen = np.sort(rng.choice(chosen, min(len(chosen), wanted), replace=False))
    of_node = np.zeros(nodes)
    of_node[chosen] = (
        1.0 if failure.shape == "single_node" else rng.gamma(NODE_SHAPE, 1 / NODE_SHAPE, len(chosen))
    )
    of_node_day = rng.gamma(NODE_DAY_SHAPE, 1 / NODE_DAY_SHAPE, (days, nodes))
    rate = failure.rate * rng.lognormal(0, RATE_SIGMA)
    return np.minimum(MAX_RATE, rate * level[:, None] * of_node * of_node_day)


def _noise(left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw sporadic failures, K × D × N, out of the calls that are left (D × N × M)."""
    days, nodes, _ = left.shape
    noise = np.zeros((len(NOISE), days, nodes), dtype=np.int32)
    calls = left.sum(axis=2)
    incidents = rng.poisson(min(NOISE_PER_CALL * calls.sum(), MAX_NOISE_PER_DAY * days))
    cells = (
        rng.choice(days * nodes, incidents, p=(calls / max(1, calls.sum())).ravel())
        if calls.sum()
        else np.zeros(0, int)
    )
    kinds = rng.integers(len(NOISE), size=incidents)
    sizes = 1 + rng.poisson(0.5, incidents)
    np.add.at(noise.reshape(len(NOISE), -1), (kinds, cells), sizes)
    taken = np.zeros_like(left)
    for kind, source in enumerate(NOISE):
        method = METHOD_INDEX[source.service, source.method]
        noise[kind] = np.minimum(noise[kind], left[:, :, method] - taken[:, :, method])
        taken[:, :, method] += noise[kind]
    return noise


# Truth -------------------------------------------------------------------------------------------------------------------


def planted_failures(
    plan: FleetPlan, session_ids: Mapping[str, tuple[str, ...]]
) -> tuple[PlantedFailure, ...]:
    """Say what was planted and how it came out; failures that never happened are left out."""
    found = []
    for failure, counts in zip(
        (*plan.call_failures, *plan.talk_failures), (*plan.failures.sum(axis=3), *plan.affected), strict=True
    ):
        if not counts.any():
            continue
        by_day, by_node = counts.sum(axis=1), counts.sum(axis=0)
        lasts = failure.shape in {"chronic", "new", "rising"}
        call = failure if isinstance(failure, CallFailure) else None
        talk = failure if isinstance(failure, TalkFailure) else None
        found.append(
            PlantedFailure(
                id=failure.id,
                failure_class=failure.failure_class if isinstance(failure, CallFailure) else failure.signal,
                shape=failure.shape,
                services=tuple(sorted({service for service, _ in failure.targets}))
                if isinstance(failure, CallFailure)
                else (failure.agent,),
                methods=tuple(sorted({method for _, method in call.targets})) if call else (),
                match=pattern_of(call.text) if call and call.text else None,
                status=call.status if call else None,
                signal=talk.signal if talk else None,
                days=tuple(plan.days[index].isoformat() for index in np.flatnonzero(by_day)),
                nodes=tuple(sorted(plan.nodes[index] for index in np.flatnonzero(by_node))),
                events_by_day={
                    plan.days[index].isoformat(): int(by_day[index]) for index in np.flatnonzero(by_day)
                },
                events_by_node={plan.nodes[index]: int(by_node[index]) for index in np.flatnonzero(by_node)},
                actionable=bool(
                    lasts and (counts[-1] > 0).sum() >= ACTIONABLE_NODES and by_day[-1] >= ACTIONABLE_FAILURES
                ),
                session_ids=session_ids.get(failure.id, ()),
            )
        )
    return tuple(found)


# Telemetry ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TelemetryFile:
    """One file as it will be written: its path below the cache, its bytes before compression and when the node finished it."""

    path: str
    content: bytes
    written_at: datetime
    lines: int


@dataclass
class Tally:
    """What was put into the files beyond the plan; `telemetry_files` counts it up while it runs."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    malformed: int = 0
    clock_skewed: int = 0
    session_ids: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Damage:
    """How much of what real fleets do wrong goes into the files, as shares of the events."""

    duplicates: float = 0.004
    conflicts: float = 0.0005
    late: float = 0.006
    malformed: float = 0.002
    clock_skew: float = 0.0005


def truth_of(plan: FleetPlan, tally: Tally) -> Truth:
    """Join what was planned and what was counted while the files were made."""
    ids = {name: tuple(sorted(found)) for name, found in tally.session_ids.items()}
    return Truth(
        seed=plan.seed,
        days=tuple(day.isoformat() for day in plan.days),
        nodes=plan.nodes,
        events=tally.events,
        duplicates=tally.duplicates,
        conflicts=tally.conflicts,
        late=tally.late,
        malformed=tally.malformed,
        clock_skewed=tally.clock_skewed,
        noise_failures=int(plan.noise.sum()),
        failures=planted_failures(plan, ids),
    )


def telemetry_files(
    plan: FleetPlan, tally: Tally, *, damage: Damage, compression: Compression
) -> Iterator[TelemetryFile]:
    """Make the files of a fleet, node by node and day by day, never holding more than about two batches of events.

    Args:
        plan: What to show.
        tally: Counted up as files are made.
        damage: What goes wrong on top of the plan.
        compression: One kind of file, or a mixture.

    Yields:
        Files in the order in which a node finished them. A node changes file twice a day, at its own times, so that files cross midnight.
    """
    for node in range(len(plan.nodes)):
        rng = np.random.default_rng([plan.seed, 4, node])
        style = _NodeStyle.draw(node, len(plan.nodes), plan.nodes[node], rng)
        cuts = np.sort(rng.uniform(0.15, 0.9, 2)) * DAY_SECONDS
        held: list[bytes] = []
        later: dict[int, list[bytes]] = {}
        made = 0

        def cut(
            at: datetime, held: list[bytes] = held, rng: np.random.Generator = rng, style: _NodeStyle = style
        ) -> TelemetryFile:
            nonlocal made
            suffixes = _SUFFIXES[compression]
            name = f"{style.node}/events_{_uuids(rng, 1)[0]}.jsonl{suffixes[made % len(suffixes)]}"
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


@dataclass(frozen=True)
class _NodeStyle:
    """How one node writes its events."""

    node: str
    metadata: str
    latency: float
    clock: np.ndarray
    """Quantiles of the time of day, seconds."""
    zone_hours: int
    zone: str
    arguments: tuple[tuple[str, ...], ...]
    """Arguments that its calls have, by method; quoted."""

    @classmethod
    def draw(cls, index: int, nodes: int, name: str, rng: np.random.Generator) -> "_NodeStyle":
        region, shift = _REGIONS[index % len(_REGIONS)]
        hour = np.arange(0, 24, 0.1)
        volume = (
            0.25
            + np.exp(-(((hour + 24 - shift) % 24 - 14.5) ** 2) / 18)
            + 0.5 * np.exp(-(((hour + 24 - shift) % 24 - 9.5) ** 2) / 5)
        )
        clock = np.interp(
            np.linspace(0, 1, 1001), np.r_[0, volume.cumsum() / volume.sum()], np.r_[hour, 24] * 3600
        )
        named = (
            "" if nodes >= 4 and index == 1 else f'"node_id":"{name}",'
        )  # this one is known by its folder alone
        version = f"2.{rng.integers(3, 6)}.{rng.integers(0, 9)}"
        metadata = f'{named}"region":"{region}","model":"{_MODELS[rng.integers(len(_MODELS))]}","agent_version":"{version}"'
        abroad = nodes >= 6 and index == 3  # this one writes local time with its offset
        random = Random(int(rng.integers(2**63)))
        arguments = tuple(
            tuple(_quoted(render(m.arguments, random)) for _ in range(ARGUMENTS_PER_METHOD))
            if m.arguments
            else ()
            for m in METHODS
        )
        return cls(
            name,
            metadata,
            float(rng.lognormal(0, 0.15)),
            clock,
            2 if abroad else 0,
            "+02:00" if abroad else "Z",
            arguments,
        )


def _node_day(
    plan: FleetPlan,
    day: int,
    node: int,
    style: _NodeStyle,
    damage: Damage,
    later: dict[int, list[bytes]],
    tally: Tally,
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Make the lines of one node and day with the second of the day of each, in batches that follow each other in time."""
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
        events = _batch(
            plan,
            plan.days[day],
            style,
            rng,
            span,
            method[part],
            cause[part],
            agent[seats],
            talk[seats],
            length[seats],
            tally,
        )
        if events.lines:
            yield _damaged(events, len(plan.days) - 1 - day, day, damage, rng, later, tally)


@dataclass(frozen=True)
class _Events:
    """Lines of a batch, the second of the day of each, its event id, its time as written, and whether it is a call that went well."""

    lines: list[bytes]
    seconds: np.ndarray
    ids: list[str]
    stamps: list[str]
    is_healthy: np.ndarray


def _batch(
    plan: FleetPlan,
    day: date,
    style: _NodeStyle,
    rng: np.random.Generator,
    span: tuple[float, float],
    method: np.ndarray,
    cause: np.ndarray,
    agent: np.ndarray,
    talk: np.ndarray,
    length: np.ndarray,
    tally: Tally,
) -> _Events:
    """Make the calls and turns of a batch, in the order of time."""
    random = Random(int(rng.integers(2**63)))
    total, sessions = len(method), len(agent)
    alone = max(1, (total - 2 * sessions) // CALLS_PER_TRACE)
    trace = _assign_traces(plan, rng, cause, talk, sessions, alone)
    order = np.argsort(trace, kind="stable")
    method, cause, trace = method[order], cause[order], trace[order]

    duration = _durations(plan, rng, method, cause, style.latency)
    start = np.interp(rng.uniform(*span, sessions + alone), np.linspace(0, 1, 1001), style.clock)
    spent = np.cumsum(duration) / 1000
    first = np.searchsorted(trace, np.arange(sessions + alone))
    before = np.r_[0, spent][first]
    lasts = np.bincount(trace, duration / 1000, sessions + alone)
    gaps = 20 + rng.exponential(30, int(length.sum()))
    session_of_turn = np.repeat(np.arange(sessions), length)
    talked = np.cumsum(gaps)
    opening = np.r_[0, length.cumsum()[:-1]].astype(int)
    said = talked - np.r_[0, talked][opening][session_of_turn]
    is_last = np.r_[session_of_turn[1:] != session_of_turn[:-1], True] if len(said) else np.zeros(0, bool)
    said[is_last] = np.maximum(said[is_last], lasts[:sessions] + 1)
    room = np.maximum(lasts, 0)
    room[:sessions] = np.maximum(room[:sessions], said[is_last])
    start = np.clip(
        start, 0, np.maximum(0, DAY_SECONDS - 1 - room)
    )  # what begins before midnight also ends before it
    call_at = np.minimum(start[trace] + spent - before[trace], DAY_SECONDS - 0.01)
    turn_at = np.minimum(start[session_of_turn] + said, DAY_SECONDS - 0.005)
    answered = np.flatnonzero(
        (cause >= 0) & (trace < sessions)
    )  # what fails in a session fails right before its last answer
    call_at[answered] = turn_at[is_last][trace[answered]] - rng.uniform(0.05, 0.9, len(answered))

    trace_ids = _uuids(rng, sessions + alone)
    seconds = np.r_[call_at, turn_at]
    midnight = np.datetime64(day.isoformat(), "ms") + np.timedelta64(style.zone_hours, "h")
    stamps = [
        text + style.zone
        for text in np.datetime_as_string(
            midnight + (seconds * 1000).astype("timedelta64[ms]"), unit="ms"
        ).tolist()
    ]
    ids = _uuids(rng, len(seconds))
    lines = _call_lines(
        plan, style, random, rng, ids, stamps, method, cause, trace, first, duration, trace_ids
    )
    lines += _turn_lines(
        plan,
        style,
        random,
        rng,
        ids[total:],
        stamps[total:],
        trace_ids,
        agent,
        talk,
        length,
        _failed_sessions(cause, trace, sessions),
        tally,
    )
    order = np.argsort(seconds, kind="stable")
    is_healthy = np.r_[cause < 0, np.zeros(len(said), bool)]
    tally.events += len(lines)
    places = order.tolist()
    return _Events(
        [lines[at] for at in places],
        seconds[order],
        [ids[at] for at in places],
        [stamps[at] for at in places],
        is_healthy[order],
    )


def _assign_traces(
    plan: FleetPlan, rng: np.random.Generator, cause: np.ndarray, talk: np.ndarray, sessions: int, alone: int
) -> np.ndarray:
    """Give each call a trace: sessions own the first ones, tasks without talk the rest.

    A session's trace holds a failed call only when the session claims success over it or is honest about it, so that no other one can be taken for that.
    """
    trace = rng.integers(sessions + alone, size=len(cause))
    failed = rng.permutation(np.flatnonzero((cause >= 0) & (cause < len(plan.call_failures))))
    trace[cause >= 0] = sessions + rng.integers(alone, size=int((cause >= 0).sum()))
    kinds = [
        index
        for index, failure in enumerate(plan.talk_failures)
        if failure.signal == "confident_after_failure"
    ]
    confident = np.flatnonzero(np.isin(talk, kinds))
    honest = rng.permutation(np.flatnonzero(talk < 0))[: sessions // 15]
    owners = np.r_[confident, honest][: len(failed)]
    trace[failed[: len(owners)]] = owners
    return trace


def _failed_sessions(cause: np.ndarray, trace: np.ndarray, sessions: int) -> set[int]:
    return set(np.unique(trace[(cause >= 0) & (trace < sessions)]).tolist())


def _durations(
    plan: FleetPlan, rng: np.random.Generator, method: np.ndarray, cause: np.ndarray, latency: float
) -> np.ndarray:
    """Draw durations in whole ms: log-normal, one call in two hundred with a long tail; a failure may have a typical one of its own."""
    median = np.array([m.median_ms for m in METHODS])[method] * latency
    sigma = np.array([m.sigma for m in METHODS])[method]
    for index, failure in enumerate(plan.call_failures):
        if failure.duration_ms is not None:
            mine = cause == index
            median[mine], sigma[mine] = failure.duration_ms, 0.05
    tail = np.where(
        (rng.random(len(method)) < 0.005) & (cause < 0), 1 + rng.pareto(1.5, len(method)) * 2, 1.0
    )
    return np.clip(
        np.rint(median * np.exp(sigma * rng.standard_normal(len(method))) * tail), 0, 300_000
    ).astype(np.int64)


def _call_lines(
    plan: FleetPlan,
    style: _NodeStyle,
    random: Random,
    rng: np.random.Generator,
    ids: list[str],
    stamps: list[str],
    method: np.ndarray,
    cause: np.ndarray,
    trace: np.ndarray,
    first: np.ndarray,
    duration: np.ndarray,
    trace_ids: list[str],
) -> list[bytes]:
    total = len(method)
    spans = rng.bytes(8 * total).hex()
    parent = first[trace].tolist()
    heads = [f'"service":"{m.service}","method":"{m.name}","duration_ms":' for m in METHODS]
    picks = rng.integers(ARGUMENTS_PER_METHOD, size=total).tolist()
    invented = {
        index for index, failure in enumerate(plan.call_failures) if failure.failure_class == "unknown_tool"
    }
    planted = len(plan.call_failures)
    lines = []
    rows = zip(
        ids,
        stamps,
        method.tolist(),
        cause.tolist(),
        trace.tolist(),
        duration.tolist(),
        parent,
        picks,
        strict=False,
    )
    for at, (event_id, stamp, method_at, cause_at, trace_at, took, root, pick) in enumerate(rows):
        head, outcome, status = heads[method_at], "true", "ok"
        error = "null"
        if cause_at >= 0:
            outcome = "false"
            text = plan.call_failures[cause_at].text if cause_at < planted else NOISE[cause_at - planted].text
            status = plan.call_failures[cause_at].status if cause_at < planted else "error"
            if text is not None:
                text = render(text, random)
                error = _quoted(text)
                if cause_at in invented and random.random() < 0.3:
                    head = f'"service":"{METHODS[method_at].service}","method":{_quoted(text.split(chr(39))[1])},"duration_ms":'
        pool = style.arguments[method_at]
        extra = f',"arguments":{pool[pick]}' if pool else ""
        above = "" if root == at else f',"parent_span_id":"{spans[16 * root : 16 * root + 16]}"'
        lines.append(
            f'{{"event_id":"{event_id}","event_type":"ExecutionTrace","execution_trace":{{"trace_id":"{trace_ids[trace_at]}",'
            f'"request_id":"{spans[16 * at : 16 * at + 16]}",{head}{took},"success":{outcome},"error":{error},'
            f'"metadata":{{{style.metadata},"status":"{status}"{above}{extra}}},"timestamp":"{stamp}"}},"conversation_log":null,"timestamp":"{stamp}"}}'.encode()
        )
    return lines


def _turn_lines(
    plan: FleetPlan,
    style: _NodeStyle,
    random: Random,
    rng: np.random.Generator,
    ids: list[str],
    stamps: list[str],
    trace_ids: list[str],
    agent: np.ndarray,
    talk: np.ndarray,
    length: np.ndarray,
    failed: set[int],
    tally: Tally,
) -> list[bytes]:
    session_ids, log_ids = _uuids(rng, len(agent)), _uuids(rng, len(ids))
    lines: list[bytes] = []
    at = 0
    for session, (agent_at, talk_at, turns) in enumerate(
        zip(agent.tolist(), talk.tolist(), length.tolist(), strict=True)
    ):
        signal = None
        if talk_at >= 0:
            signal = plan.talk_failures[talk_at].signal
            tally.session_ids.setdefault(plan.talk_failures[talk_at].id, []).append(session_ids[session])
        for turn, (query, response) in enumerate(conversation(signal, turns, session in failed, random)):
            lines.append(
                f'{{"event_id":"{ids[at]}","event_type":"ConversationLog","execution_trace":null,"conversation_log":{{"log_id":"{log_ids[at]}",'
                f'"session_id":"{session_ids[session]}","user_query":{_quoted(query)},"system_response":{_quoted(response)},'
                f'"metadata":{{{style.metadata},"service":"{AGENTS[agent_at]}","trace_id":"{trace_ids[session]}","turn":"{turn + 1}"}},'
                f'"timestamp":"{stamps[at]}"}},"timestamp":"{stamps[at]}"}}'.encode()
            )
            at += 1
    return lines


def conversation(
    signal: str | None, turns: int, has_failed_call: bool, random: Random
) -> list[tuple[str, str]]:
    """Write a conversation of at least three turns; without a signal it shows none of them.

    Returns:
        Pairs of what the user says and what the system answers.
    """
    pick = random.choice
    middle_turns = turns - 2
    topics = random.sample(TOPICS, min(len(TOPICS), 1 + middle_turns // 3))
    wording, other_wording = random.sample(topics[0].openings, 2)
    values = random.getrandbits(32)
    opening = render(wording, Random(values))
    follow_ups = [turn for topic in topics for turn in random.sample(topic.follow_ups, len(topic.follow_ups))]
    follow_ups *= 1 + middle_turns // len(follow_ups)
    middle = [
        (render(query, random), render(response, random)) for query, response in follow_ups[:middle_turns]
    ]
    talk = [(opening, render(topics[0].answer, random)), *middle, pick(CLOSINGS)]
    if signal == "repeated_question":
        talk[0] = (opening, VAGUE[0])
        talk[1] = (opening if random.random() < 0.5 else render(other_wording, Random(values)), VAGUE[1])
    elif signal == "correction":
        talk[1] = (render(pick(CORRECTIONS), random), render(topics[0].answer, random))
    elif signal == "abandonment":
        talk[0] = (opening, pick(VAGUE))
        talk[-1] = (pick(GIVING_UP), "Understood.")
    elif signal == "refusal":
        place = random.randrange(turns - 1)
        talk[place] = (talk[place][0], pick(REFUSALS))
    elif signal == "apology_loop":
        first, second, third = random.sample(APOLOGIES, 3)
        for place, words in enumerate((first, second, third)):
            talk[place] = (talk[place][0], words)
    elif signal == "confident_after_failure":
        talk[-1] = pick(CONFIDENT)
    elif has_failed_call:
        talk[-1] = ("Did that work?", render(pick(HONEST), random))
    return [
        (
            _with_personal_data(query, PERSONAL, 0.12, random),
            _with_personal_data(response, COPIES, 0.04, random),
        )
        for query, response in talk
    ]


def _with_personal_data(text: str, sentences: tuple[str, ...], share: float, random: Random) -> str:
    return text + render(random.choice(sentences), random) if random.random() < share else text


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _uuids(rng: np.random.Generator, count: int) -> list[str]:
    """Draw version 4 UUIDs (RFC 9562)."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    return [
        f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-{text[at + 12 : at + 16]}-{text[at + 16 : at + 20]}-{text[at + 20 : at + 32]}"
        for at in range(0, 32 * count, 32)
    ]


# Damage ------------------------------------------------------------------------------------------------------------------


def _damaged(
    events: _Events,
    days_left: int,
    day: int,
    damage: Damage,
    rng: np.random.Generator,
    later: dict[int, list[bytes]],
    tally: Tally,
) -> tuple[list[bytes], np.ndarray]:
    """Add to a batch what real fleets get wrong; what is late moves to `later`, by the day on which it is written."""
    lines, count = events.lines, len(events.lines)
    keep = np.ones(count, bool)
    extra: list[tuple[float, bytes]] = []
    end = float(events.seconds[-1])

    def some(share: float, among: np.ndarray) -> list[int]:
        return rng.choice(among, min(len(among), int(rng.poisson(share * count))), replace=False).tolist()

    healthy = np.flatnonzero(events.is_healthy)
    skewed = some(damage.clock_skew, healthy)
    for at in skewed:
        wrong = ("2099-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z")[at % 2].encode()
        lines[at] = lines[at].replace(
            events.stamps[at].encode(), wrong, 1 + at % 3 % 2
        )  # on some only the call's own time is wrong
        tally.clock_skewed += 1
    sound = np.setdiff1d(np.arange(count), skewed)
    for at in some(damage.duplicates, sound):
        tally.duplicates += 1
        if days_left and at % 3 == 0:
            later.setdefault(day + 1, []).append(lines[at])
        else:
            extra.append((float(rng.uniform(events.seconds[at], end)), lines[at]))
    for at in some(damage.conflicts, np.setdiff1d(healthy, skewed)):
        tally.conflicts += 1
        extra.append(
            (
                float(rng.uniform(events.seconds[at], end)),
                lines[at].replace(b'"duration_ms":', b'"duration_ms":9', 1),
            )
        )
    for at in some(damage.malformed, sound):
        extra.append(
            (
                float(events.seconds[at]),
                _malformed(
                    tally.malformed,
                    lines[at].replace(events.ids[at].encode(), _uuids(rng, 1)[0].encode()),
                    rng,
                ),
            )
        )
        tally.malformed += 1
    if days_left:
        for at in some(damage.late, sound):
            keep[at] = False
            later.setdefault(day + int(rng.integers(1, min(3, days_left) + 1)), []).append(lines[at])
            tally.late += 1

    lines = [line for line, kept in zip(lines, keep.tolist(), strict=True) if kept] + [
        line for _, line in extra
    ]
    seconds = np.r_[events.seconds[keep], [second for second, _ in extra]]
    if not lines:
        return [], np.array([0.0])
    order = np.argsort(seconds, kind="stable")
    return [lines[at] for at in order.tolist()], seconds[order]


def _malformed(serial: int, line: bytes, rng: np.random.Generator) -> bytes:
    """Spoil a line in one of the ways below, each in its turn; no way leaves a valid event or a line feed."""
    half = len(line) // 2
    event = orjson.loads(line)
    payload = "execution_trace" if event["execution_trace"] else "conversation_log"
    ways: list[Any] = [
        lambda: line[: half + int(rng.integers(-half // 2, half // 2))],  # truncated
        lambda: line.replace(b'"timestamp":"', b'"timestamp":"\xff\xfe\xc3', 1),  # not UTF-8
        lambda: line[:half] + b"\x00" * 16 + line[half:],  # NUL bytes, as after a crash
        lambda: orjson.dumps(event | {"timestamp": {"seconds": 1_790_000_000}}),  # another type
        lambda: orjson.dumps(
            event | {payload: event[payload] | {"metadata": "none"}}
        ),  # text where an object belongs
        lambda: orjson.dumps({key: value for key, value in event.items() if key != "event_id"}),  # no id
        lambda: orjson.dumps(event | {"event_id": None}),
        lambda: orjson.dumps(event | {"execution_trace": None, "conversation_log": None}),  # no payload
        lambda: orjson.dumps([event["event_id"], payload]),  # JSON, but no object
        lambda: orjson.dumps(
            event | {"timestamp": "yesterday", payload: event[payload] | {"timestamp": "yesterday"}}
        ),  # no time
        lambda: line.replace(b'"metadata":{', b'"metadata":{"load":NaN,', 1),  # not JSON
        lambda: b"thread 'exporter' panicked at flush, restarting",  # another program's output
        lambda: line + line,  # two events on one line
        lambda: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,  # deeper than any event
        lambda: line[:-1] + b',"dump":"' + b"A" * HUGE_LINE_BYTES + b'"}',  # longer than any event
    ]
    # The longest one is made once in a hundred rounds, or it would be most of the bytes.
    kinds = len(ways) if serial % (100 * len(ways)) < len(ways) else len(ways) - 1
    return ways[serial % kinds]()
