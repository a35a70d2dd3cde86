"""The records of a report, and the rows that it is made from.

What does not go here: choosing and comparing (`report/build.py`), sentences (`report/words.py`), HTML
(`report/page.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pydantic import Field

from fl_assets.core.models import Record
from fl_assets.patterns.nodes import NodeStatus

Row = Mapping[str, Any]
Change = Literal["new", "grown", "shrunk", "gone", "same"]
Regrouping = Literal["split", "merged"]


@dataclass(frozen=True)
class ReportRows:
    """Rows a report is made from: columns as in `core/tables.yaml`, lists in key order."""

    day: date
    """The day reported."""
    threshold: float
    """Confidence that a playbook must reach."""
    min_nodes: int
    """Nodes that a playbook must rest on."""
    previous_day: date | None = None
    """The analysed day before it; None for the first one."""
    cycle: Row | None = None
    patterns: Sequence[Row] = ()
    earlier_patterns: Sequence[Row] = ()
    members: Sequence[Row] = ()
    earlier_members: Sequence[Row] = ()
    playbooks: Sequence[Row] = ()
    earlier_playbooks: Sequence[Row] = ()
    decisions: Sequence[Row] = ()
    applied: Sequence[Row] = ()
    outcomes: Sequence[Row] = ()
    calibration: Sequence[Row] = ()
    totals: Sequence[Row] = ()
    """`event_date, node_id, calls, failures`, sums of the last 14 days."""
    conversations: Sequence[Row] = ()
    """`event_date, node_id, sessions`, sums of the last 14 days."""
    ingestion: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    """Statistics of ingestion, of this day and the one before."""
    quarantined: Sequence[Row] = ()
    """`reason, lines` of the day."""
    unread: Sequence[str] = ()
    """What the last ingestion did not read, in words."""
    registered: Sequence[str] = ()
    """Nodes whose summaries are accepted."""
    examples: Sequence[Row] = ()
    """Rows of `pattern_examples`."""
    by_node: Sequence[Row] = ()
    """`pattern_id, node_id, failures` of the window, where there are any."""
    verdicts: Sequence[Row] = ()
    """Rows of `gate_verdicts`."""
    steps: Sequence[Row] = ()
    """What became of changes in the last 14 days: `event_date, decision_id, title, remedy_id, verdict,
    action, effect, effect_low, effect_high`."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """`messages` and `failures` that were too many to be looked at, and are in no pattern."""


class Headline(Record):
    """One number of the day, compared with the day before."""

    name: str
    value: float | None
    before: float | None
    unit: Literal["count", "share"] = "count"
    more_is: Literal["good", "bad", "neutral"] = "neutral"
    note: str = ""
    is_sure: bool = False
    """Whether it moved beyond chance: the 95 % intervals do not overlap."""


class ExampleLine(Record):
    """One failed call, redacted."""

    message: str
    method: str
    node: str
    time: str
    trace_id: str
    link: str = ""
    """By FEDERATED_LEARNING_TRACE_URL; '' without it."""


class PatternLine(Record):
    """One pattern, as the report shows it."""

    pattern_id: str
    template: str
    title: str
    """The template, with the status code that all its examples begin with."""
    kind: str
    failure_class: str
    state: str
    change: Change
    services: tuple[str, ...]
    methods: tuple[str, ...]
    breakdown: tuple[tuple[str, str, int], ...]
    """service, method, failures; most first."""
    failures: int
    sessions: int
    calls: int
    failure_rate: float
    rate_low: float
    rate_high: float
    rate_before: float | None
    """Rate of the same pattern in the cycle before."""
    baseline_rate: float | None
    peer_rate: float | None
    nodes_affected: int
    nodes_reporting: int
    top_node_share: float
    first_seen: str
    last_seen: str
    confidence: float
    corroboration: float | None = None
    """Confidence without the loudest nodes or user."""
    incident_node: str | None = None
    """The one node whose incident it is."""
    is_significant: bool
    series: tuple[int, ...]
    series_calls: tuple[int, ...]
    p95_ms: float | None
    failure_p50_ms: float | None
    exemplar_trace_ids: tuple[str, ...]
    suspects: tuple[str, ...]
    messages: int
    why_grouped: str
    playbooks: tuple[str, ...]
    """Improvements that answer it."""
    examples: tuple[ExampleLine, ...] = ()
    """Messages as they were, redacted."""
    nodes: tuple[tuple[str, int], ...] = ()
    """node, failures; most first."""
    is_harmless: bool = False
    """Whether a rule says that it is no fault."""


class PlaybookLine(Record):
    """One playbook with what was decided about it."""

    improvement_id: str
    pattern_id: str
    category: str
    title: str
    description: str
    target: str
    confidence: float
    """Probability that the failure persists."""
    corroboration: float | None = None
    """The same without the loudest nodes."""
    helps: float | None = None
    """Probability that the remedy helps, from measured trials."""
    benefit: float | None = None
    """Failed requests a day that a trial is expected to prevent, per day that it takes."""
    avoided_per_day: float | None = None
    """Failed requests a day that the change should prevent; null when not computed."""
    evidence_count: int
    nodes_affected: int
    nodes_reporting: int
    state: str
    failure_class: str
    failure_rate: float
    suggested_changes: tuple[tuple[str, str], ...]
    version: int
    is_new: bool
    """Whether the cycle before did not have it, or held it."""
    headline: str = ""
    """What fails, where and since when, in one sentence."""
    cost: str = ""
    """What the failures cost, in one or two sentences."""
    reasons_why: tuple[str, ...] = ()
    """Differences and cures behind the change."""
    tried: int = 0
    """Trials of its remedy that have ended."""
    helped: int = 0
    """Those of them in which it helped."""
    readiness: str = "ready"
    """As in the playbook; `under_way` or `tried` where a person has nothing to do now."""
    readiness_reason: str = ""
    incident_node: str = ""
    """The node, when this is the failure of one node."""
    held_because: tuple[str, ...]
    action: str
    reasons: tuple[str, ...]

    @property
    def is_apart(self) -> bool:
        """Whether a person has nothing to do about it: it is under way, or was tried in vain."""
        return self.readiness in ("under_way", "tried")


class DecisionLine(Record):
    """One decision."""

    decision_id: str
    improvement_id: str
    title: str
    action: str
    outcome: str
    """The action in a reader's words: `for review`, `to change by hand`, `held back` …"""
    mode: str
    category: str
    target: str
    from_value: str
    to_value: str
    reasons: tuple[str, ...]
    revert_plan: str
    status: str
    """What was done by now: staged, approved, waiting, canary, widened, applied, promoted, confirmed,
    rolled_back, rejected, refused, off; empty when nothing had to be."""
    status_reason: str
    can_be_answered: bool = False
    """Whether a person's yes or no is taken."""


class GateLine(Record):
    """What one rule of the gate found."""

    rule: str
    expected: str
    held: int
    """Playbooks that it holds back."""
    stops_day: bool
    first: str
    """What the first of them has."""


class OutcomeLine(Record):
    """One trial of an update: canary nodes against untouched ones."""

    decision_id: str
    title: str
    pattern_id: str
    remedy_id: str
    category: str
    released_on: str
    stage: str = ""
    days_observed: int
    canary_nodes: int
    control_nodes: int
    canary_rate_before: float | None
    canary_rate: float | None
    control_rate_before: float | None
    control_rate: float | None
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    power: float | None = None
    """Probability that 20 % fewer failures would have been found."""
    verdict: str
    action: str
    reason: str


class StepLine(Record):
    """A change's step on one day: given to more nodes, promoted, rolled back."""

    day: date
    decision_id: str
    improvement_id: str = ""
    title: str
    verdict: str
    action: str
    reason: str = ""
    effect: float | None
    effect_low: float | None
    effect_high: float | None


class PatternChange(Record):
    """One pattern that changed since the cycle before."""

    pattern_id: str
    template: str
    change: Change
    rate: float
    rate_before: float
    failures: int
    failures_before: int


class Regrouped(Record):
    """A pattern whose messages are now split over several, or were merged from several."""

    how: Regrouping
    one: str
    others: tuple[str, ...]


class NodeLine(Record):
    """What one node reported."""

    node_id: str
    calls: int
    failures: int
    conversations: int
    usual: float
    """Median calls and conversations a day of the days before on which the fleet reported."""
    status: NodeStatus
    series: tuple[int, ...]
    """Calls and conversations of each of the last 14 days, oldest first."""


class Quality(Record):
    """How complete and how clean the day's telemetry is."""

    nodes: tuple[NodeLine, ...]
    nodes_left_out: int
    nodes_reporting: int
    nodes_usual: int
    completeness: float = Field(ge=0, le=1)
    """Share of the nodes expected that reported; registered ones and those of the days before are."""
    silent: tuple[str, ...]
    events: int
    quarantined: int
    bad_ratio: float
    quarantine_reasons: tuple[tuple[str, int], ...]
    unread: tuple[str, ...] = ()
    duplicates: int
    conflicts: int
    clock_skewed: int
    redactions: tuple[tuple[str, int], ...]


class Bin(Record):
    """One bin of the reliability diagram."""

    low: float
    high: float
    predictions: int
    predicted: float
    observed: float


class Report(Record):
    """The report of one cycle; the JSON twin is this record."""

    day: date
    previous_day: date | None
    status: str
    reason: str
    window_days: int
    threshold: float
    min_nodes: int
    summary: tuple[str, ...]
    """What a reader needs in the first ten seconds, one sentence each."""
    headlines: tuple[Headline, ...]
    states: tuple[tuple[str, int], ...]
    patterns: tuple[PatternLine, ...]
    playbooks: tuple[PlaybookLine, ...]
    moved: tuple[PatternChange, ...]
    moved_left_out: int
    regrouped: tuple[Regrouped, ...]
    decisions: tuple[DecisionLine, ...]
    outcomes: tuple[OutcomeLine, ...]
    quality: Quality
    calibration: tuple[Bin, ...]
    gate: tuple[GateLine, ...] = ()
    steps: tuple[StepLine, ...] = ()
    """What became of changes in the last 14 days."""

    @property
    def incidents(self) -> tuple[PatternLine, ...]:
        """Failures of one node alone, most first."""
        return tuple(one for one in self.patterns if one.incident_node and one.failures)

    @property
    def actionable(self) -> tuple[PlaybookLine, ...]:
        """Playbooks that a person can act on now, those that prevent most failures first."""
        return tuple(one for one in self.playbooks if not one.held_because and not one.is_apart)

    @property
    def apart(self) -> tuple[tuple[str, tuple[PlaybookLine, ...]], ...]:
        """The other playbooks that pass the gate: what is under way, and what was tried in vain."""
        passing = [one for one in self.playbooks if not one.held_because]
        groups = (("Under way", "under_way"), ("Tried before: worse, no help, or turned down", "tried"))
        return tuple(
            (title, tuple(one for one in passing if one.readiness == name)) for title, name in groups
        )

    @property
    def held(self) -> tuple[PlaybookLine, ...]:
        """Playbooks that may not, nearest to the threshold first."""
        held = (one for one in self.playbooks if one.held_because)
        return tuple(sorted(held, key=lambda one: (-one.confidence, one.improvement_id)))
