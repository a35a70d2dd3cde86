"""The failures planted in a simulated fleet with their actual counts: `truth.json`.

`PlantedFailure.failure_class` is called `class` in the file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import orjson

from fl_assets.simulator.catalogue import CallFailure, Shape, TalkFailure
from fl_assets.simulator.plan import FleetPlan
from fl_assets.simulator.words import pattern_of

ACTIONABLE_NODES, ACTIONABLE_FAILURES = 3, 10
"""Nodes and failures on the last day from which a lasting failure should be acted on."""


@dataclass(frozen=True)
class PlantedFailure:
    """A planted failure with its actual counts."""

    id: str
    """Name of it in the catalogue."""
    failure_class: str
    """An ErrorClass, or for conversations the signal."""
    shape: Shape
    """How it goes over the days."""
    services: tuple[str, ...]
    """Services (for conversations: the agent) it is planted in."""
    methods: tuple[str, ...]
    """Methods it is planted in; empty for conversations. An unknown tool's call may carry the invented name
    as its method instead."""
    match: str | None
    """Regular expression that matches every raw text of it and of nothing else; None without a text."""
    status: str | None
    """Value of `metadata.status` of its calls; None for conversations."""
    signal: str | None
    """Signal of a conversation failure, else None."""
    days: tuple[str, ...]
    """Days on which it happened."""
    nodes: tuple[str, ...]
    """Nodes on which it happened."""
    events_by_day: dict[str, int]
    """Failed calls (for conversations: sessions) by event day; only days with some."""
    events_by_node: dict[str, int]
    """The same by node."""
    actionable: bool
    """Whether a playbook for it should be actionable on the last day: it lasts (chronic, new or rising), and
    on that day at least 3 nodes had it, 10 times or more."""
    session_ids: tuple[str, ...] = ()
    """Sessions that show it, for conversations."""


@dataclass(frozen=True)
class Truth:
    """The content of a simulated fleet."""

    seed: int
    """Seed it was drawn from."""
    days: tuple[str, ...]
    """Days, oldest first."""
    nodes: tuple[str, ...]
    """Nodes, which are also the folders."""
    events: int
    """Distinct valid events."""
    duplicates: int
    """Further copies of an event with the same content."""
    conflicts: int
    """Further copies of an event's id with other content."""
    late: int
    """Events that lie in a file of a later day than their own."""
    malformed: int
    """Lines that are no valid event."""
    clock_skewed: int
    """Valid events (healthy calls) whose own time is decades off."""
    noise_failures: int
    """Failures that were not planted."""
    failures: tuple[PlantedFailure, ...]
    """The planted ones."""

    def to_json(self) -> bytes:
        """Return the bytes of `truth.json`."""
        content = asdict(self)
        for failure in content["failures"]:
            failure["class"] = failure.pop("failure_class")
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def planted_failures(
    plan: FleetPlan, session_ids: Mapping[str, tuple[str, ...]]
) -> tuple[PlantedFailure, ...]:
    """Return the planted failures that happened at least once."""
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
                    lasts
                    and not (call and call.is_harmless)
                    and (counts[-1] > 0).sum() >= ACTIONABLE_NODES
                    and by_day[-1] >= ACTIONABLE_FAILURES
                ),
                session_ids=session_ids.get(failure.id, ()),
            )
        )
    return tuple(found)


@dataclass
class Tally:
    """Counts of what `telemetry_files` adds to the plan."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    malformed: int = 0
    clock_skewed: int = 0
    session_ids: dict[str, list[str]] = field(default_factory=dict)


def truth_of(plan: FleetPlan, tally: Tally) -> Truth:
    """Return the truth of a plan and of the counts made while writing its files."""
    counts = asdict(tally)
    ids = {name: tuple(sorted(found)) for name, found in counts.pop("session_ids").items()}
    return Truth(
        **counts,
        seed=plan.seed,
        days=tuple(day.isoformat() for day in plan.days),
        nodes=plan.nodes,
        noise_failures=int(plan.noise.sum()),
        failures=planted_failures(plan, ids),
    )
