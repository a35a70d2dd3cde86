"""The gate as data: every rule that a day must keep before its updates are decided on.

What goes here: two lists, INPUT_RULES for a day's data and GATE for its playbooks. What does not: evaluating
them (`gate.py`), a rule's arithmetic (`quality.py`). Asset checks, decisions, roll-out, the cycle's result,
the table in docs/gate.md and the report are made from these lists: a new rule is one function and
one entry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

from fl_assets.core.cycles import Window
from fl_assets.core.models import CycleStatus, Playbook, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import residue_named
from fl_assets.playbooks import quality
from fl_assets.sums.recount import Recount

Input = TypeVar("Input")


@dataclass(frozen=True)
class DayInput:
    """A day's data for rules; what is costly to read is a function."""

    day: date
    settings: FederatedLearningConfig
    events: int
    malformed_lines: int
    malformed_elsewhere: Callable[[], int]
    """Malformed lines but those of the nodes that have most, MIN_NODES - 1 of them."""
    window: Callable[[], Window]
    lake_damage: Callable[[], list[Violation]]
    """Files of the day that differ from their manifests."""
    table_damage: Callable[[], list[Violation]]
    """Tables of the window's days that differ from their files."""


@dataclass(frozen=True)
class PlaybookInput:
    """A day's playbooks for rules."""

    playbooks: Sequence[Playbook]
    settings: FederatedLearningConfig
    recount: Callable[[], Recount] = lambda: Recount({}, {})


@dataclass(frozen=True)
class GateRule(Generic[Input]):
    """One rule."""

    name: str
    """Name of the rule and of its asset check."""
    asset: str
    """Asset that the check is on."""
    doc: str
    """Description of the check, and the rule's line in the docs."""
    expected: Callable[[FederatedLearningConfig], str]
    find: Callable[[Input], list[Violation]]
    kept: Callable[[Input], str]
    """Description of the check on a day that keeps the rule, with the numbers."""
    limits: Callable[[FederatedLearningConfig], Mapping[str, float]] = lambda _: {}
    """Numbers of the settings that the check shows."""
    status: CycleStatus = "gated"
    """Status of a cycle that the rule stops."""
    is_of_day_alone: bool = False
    """Whether an input rule looks at the day alone; later windows leave out a day that breaks it."""
    needs_events: bool = False
    """Whether a playbook rule reads more than the playbook, so that it runs only on stored ones."""
    each_stops_day: bool = False
    """Whether one violation of a playbook rule stops the day; else it holds its playbook, and the day stops
    when no playbook is left."""


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _playbooks(found: Sequence[Playbook]) -> str:
    return f"{len(found):,} playbook{'' if len(found) == 1 else 's'}"


def _free(given: PlaybookInput) -> list[Playbook]:
    return [one for one in given.playbooks if not one.held_because]


def _malformed(day: DayInput, bad: int) -> list[Violation]:
    maximum = day.settings.max_bad_ratio
    return quality.few_malformed_lines(bad, bad + day.events, maximum, subject=str(day.day))


def _but_for_the_worst(day: DayInput) -> str:
    if not _malformed(day, day.malformed_lines):
        return ""
    return (
        f"; nearly all come from a few nodes, which stop no other ({day.malformed_elsewhere():,} elsewhere)"
    )


def _least(shares: Iterable[float | None]) -> str:
    known = [one for one in shares if one is not None]
    return f"{min(known):.2f}" if known else "none"


INPUT_RULES: tuple[GateRule[DayInput], ...] = (
    GateRule(
        "lake_matches_manifest",
        "raw_traces",
        "What the lake holds is what was committed: rows and hash.",
        lambda _: "rows and content hash as committed",
        lambda day: day.lake_damage(),
        lambda day: f"{day.events:,} events are stored as they were committed",
        is_of_day_alone=True,
    ),
    GateRule(
        "minimum_events",
        "raw_traces",
        "The day has telemetry, and its window holds the minimum of events.",
        lambda settings: f"at least {settings.min_events} events in the window",
        lambda day: quality.minimum_events(
            day.window().events,
            day.window().required,
            len(day.window().days),
            subject=str(day.day),
            own_events=day.window().own_events,
        ),
        lambda day: (
            f"{day.window().events:,} events in {_days(len(day.window().days))}, at least "
            f"{day.settings.min_events:,} are needed"
        ),
        lambda settings: {"required": settings.min_events},
        status="insufficient_data",
    ),
    GateRule(
        "few_malformed_lines",
        "raw_traces",
        "The share of lines that could not be read stays below the maximum, or few nodes lost most of them.",
        lambda settings: f"at most {settings.max_bad_ratio:.1%} malformed lines",
        lambda day: _malformed(day, day.malformed_lines) and _malformed(day, day.malformed_elsewhere()),
        lambda day: (
            f"{day.malformed_lines / max(1, day.malformed_lines + day.events):.1%} of "
            f"{day.malformed_lines + day.events:,} lines could not be read, at most "
            f"{day.settings.max_bad_ratio:.1%} may{_but_for_the_worst(day)}"
        ),
        lambda settings: {"maximum": settings.max_bad_ratio, "min_nodes": settings.min_nodes},
        is_of_day_alone=True,
    ),
    GateRule(
        "tables_match_manifest",
        "failure_signatures",
        "What the warehouse holds is what was committed: a torn log loses rows without an error.",
        lambda _: "rows and content hash as committed",
        lambda day: day.table_damage(),
        lambda day: f"the sums of {_days(len(day.window().days))} are stored as they were committed",
    ),
)
GATE: tuple[GateRule[PlaybookInput], ...] = (
    GateRule(
        "confidence_gate",
        "playbooks",
        "At least one playbook of the day reaches the threshold, when there are any.",
        lambda settings: f"a playbook with confidence of at least {settings.threshold}",
        lambda given: quality.confidence_gate(given.playbooks, given.settings.threshold),
        lambda given: (
            f"{sum(one.confidence >= given.settings.threshold for one in given.playbooks)} of "
            f"{_playbooks(given.playbooks)} reach {given.settings.threshold:.2f}; one is enough"
        ),
        lambda settings: {"threshold": settings.threshold},
    ),
    GateRule(
        "corroborated",
        "playbooks",
        "No playbook that may be acted on rests on what the worst nodes alone report.",
        lambda settings: f"corroboration of at least {quality.needed_corroboration(settings.threshold):.2f}",
        lambda given: quality.corroborated(given.playbooks, given.settings.threshold),
        lambda given: (
            f"{_playbooks(_free(given))} may be acted on; without the worst nodes the lowest has "
            f"{_least(one.corroboration for one in _free(given))}, "
            f"{quality.needed_corroboration(given.settings.threshold):.2f} is needed"
        ),
        lambda settings: {"minimum": quality.needed_corroboration(settings.threshold)},
    ),
    GateRule(
        "enough_nodes",
        "playbooks",
        "No playbook that may be acted on rests on fewer nodes than the minimum.",
        lambda settings: f"at least {settings.min_nodes} nodes behind what may be acted on",
        lambda given: quality.enough_nodes(given.playbooks, given.settings.min_nodes),
        lambda given: (
            f"{_playbooks(_free(given))} may be acted on, each on at least "
            f"{min((one.nodes_affected for one in _free(given)), default=0)} nodes, "
            f"{given.settings.min_nodes} are needed"
        ),
        lambda settings: {"minimum": settings.min_nodes},
    ),
    GateRule(
        "is_significant",
        "playbooks",
        "No playbook that may be acted on rests on what chance may explain.",
        lambda settings: (
            f"patterns that survive false-discovery control at {settings.false_discovery_rate:.0%}"
        ),
        lambda given: quality.is_significant(given.playbooks),
        lambda given: (
            f"{_playbooks(_free(given))} may be acted on, all told apart from noise at a false-discovery "
            f"rate of {given.settings.false_discovery_rate:.0%}"
        ),
        lambda settings: {"false_discovery_rate": settings.false_discovery_rate},
    ),
    GateRule(
        "evidence_is_real",
        "playbooks",
        "Every playbook's evidence equals the stored sums and a recount of the lake's events: all failed "
        "calls, and the conversations of a sample of nodes.",
        lambda _: "evidence that a recount from raw_traces confirms",
        lambda given: quality.evidence_is_real(
            given.playbooks, given.recount().summed, given.recount().counted
        ),
        lambda given: (
            f"{sum(one.evidence_count for one in given.playbooks):,} failures behind "
            f"{_playbooks(given.playbooks)}, all found again by a recount"
        ),
        needs_events=True,
        each_stops_day=True,
    ),
    GateRule(
        "no_personal_data",
        "playbooks",
        "No text of a playbook holds personal data or a secret.",
        lambda _: "no personal data and no secret in any playbook",
        lambda given: quality.no_personal_data(given.playbooks, residue_named),
        lambda given: f"{_playbooks(given.playbooks)} searched, nothing found",
        needs_events=True,
        each_stops_day=True,
    ),
)


def held_by(playbooks: Sequence[Playbook], settings: FederatedLearningConfig) -> dict[str, list[Violation]]:
    """Return by improvement id the violations that need nothing but the playbook itself."""
    given = PlaybookInput(playbooks, settings)
    return by_playbook([broken for rule in GATE if not rule.needs_events for broken in rule.find(given)])


def by_playbook(violations: Sequence[Violation]) -> dict[str, list[Violation]]:
    """Return violations by subject."""
    found: dict[str, list[Violation]] = {}
    for one in violations:
        found.setdefault(one.subject, []).append(one)
    return found


def stopping(
    rule: GateRule[PlaybookInput], violations: Sequence[Violation], playbooks: Sequence[Playbook]
) -> list[Violation]:
    """Return the violations that stop the day: all if every playbook breaks the rule, else new ones."""
    everyone = {one.improvement_id for one in playbooks}
    if rule.each_stops_day or {one.subject for one in violations} >= everyone:
        return list(violations)
    free = {one.improvement_id for one in playbooks if not one.held_because}
    return [one for one in violations if one.subject in free]
