"""Records that cross a boundary: closed, frozen, every number bounded, every choice a Literal.

What goes here: shapes. What does not: behaviour beyond reading one's own fields. Of the parts of a playbook
only `Example` holds text from telemetry; it is shown, and no change is made from it.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Category = Literal["prompt", "adapter", "config", "workflow"]
State = Literal["first_seen", "new", "known", "rising", "falling", "resolved", "regressed"]
PatternKind = Literal["error", "silent", "conversation"]
"""Failed calls with an error text; failed calls without one; failure seen in conversations."""

ErrorClass = Literal[
    "timeout",
    "rate_limit",
    "auth",
    "bad_arguments",
    "unknown_tool",
    "invalid_output",
    "context_overflow",
    "dependency_down",
    "resource_limit",
    "not_found",
    "conflict",
    "policy_refusal",
    "step_limit",
    "business_rule",
    "code_defect",
    "other",
]
Signal = Literal[
    "repeated_question", "correction", "abandonment", "refusal", "apology_loop", "confident_after_failure"
]
FailureClass = ErrorClass | Signal
Action = Literal["apply", "canary", "hold", "reject", "none"]
Route = Literal["machine", "wait", "export", "people", "gate", "busy", "rejected", "done"]
"""Who acts on a decision: the machine; a person who approves it (wait) or makes an exported change; people,
as it cannot be automated; nobody until the gate passes, or another trial has ended (busy); nobody, as it
was rejected or is in effect (done)."""
Mode = Literal["live", "backtest"]
CycleStatus = Literal["running", "completed", "insufficient_data", "gated", "failed", "disabled"]

Readiness = Literal["ready", "needs_setup", "needs_a_look"]
"""Can be acted on now; something must be configured first; no cure was found, so a person has to look."""

PRIOR_REDUCTION = 0.35
"""Share of the failures that a remedy that helps prevents, until trials have measured it."""


class Record(BaseModel):
    """Base of every record: frozen, and unknown fields are errors.

    A field is described by the docstring below it, or by `Field(description=…)` where the JSON schema of a
    playbook shows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Violation(Record):
    """One rule that one thing breaks, with the numbers expected and found."""

    rule: str = Field(
        min_length=1, description="Name of the rule; the asset check of the same name reports it."
    )
    subject: str = Field(description="What breaks it: a playbook, a pattern, a day.")
    expected: str
    actual: str

    def __str__(self) -> str:
        """Return the sentence that checks, logs and held playbooks show."""
        return f"{self.rule}: {self.subject} has {self.actual}, needs {self.expected}"


class Consequence(Record):
    """What the failures cost within the window."""

    text: str
    failures_per_day: float = Field(ge=0)
    is_over: bool = Field(
        False, description="Whether all of it came in a short part of the window, and none since."
    )
    recovered_rate: float | None = Field(
        None, ge=0, le=1, description="Share after which the call soon succeeded."
    )
    calls_to_recover: float | None = Field(None, ge=0)
    seconds_per_day: float | None = Field(None, ge=0, description="Time that the failed calls took.")
    tokens_per_day: float | None = Field(None, ge=0)
    cost_per_day: float | None = Field(None, ge=0)
    end_measure: str = Field("", description="How a bad end is known: judged, last_call, or '' for not.")
    bad_end_rate: float | None = Field(None, ge=0, le=1)
    bad_end_rate_without: float | None = Field(None, ge=0, le=1)
    risk_ratio: float | None = Field(None, ge=0)
    risk_low: float | None = Field(None, ge=0)
    risk_high: float | None = Field(None, ge=0)


class Contrast(Record):
    """One difference between the calls that fail and those that succeed."""

    text: str
    kind: str
    name: str
    relation: str
    value: str
    failed_with: int = Field(ge=0)
    failed: int = Field(ge=0)
    rate_with: float = Field(ge=0, le=1)
    rate_without: float = Field(ge=0, le=1)
    lift: float = Field(ge=0)
    lift_low: float = Field(ge=0)
    lift_high: float = Field(ge=0)
    nodes: int = Field(ge=0)


class Cure(Record):
    """One thing that worked, against attempts without it."""

    text: str
    source: str
    subject: str
    name: str
    change: str
    value: str
    helped: int = Field(ge=0)
    tried: int = Field(ge=0)
    helped_without: int = Field(ge=0)
    tried_without: int = Field(ge=0)
    lift_low: float = Field(ge=0)
    lift_high: float = Field(ge=0)
    sessions: int = Field(ge=0)
    nodes: int = Field(ge=0)


class Alternative(Record):
    """Another change for the same failure, to be tried when the first does not help."""

    remedy_id: str
    category: str
    title: str
    readiness: Readiness
    suggested_changes: dict[str, str]


class Example(Record):
    """One call as it was, redacted: data to look at, never part of a change."""

    succeeded: bool
    message: str = Field(description="Redacted error text, cut; '' for a success.")
    service: str
    method: str
    arguments: dict[str, str] = Field(description="Type of each argument, never its value.")
    node: str
    time: datetime
    trace_id: str
    link: str = Field("", description="By FEDERATED_LEARNING_TRACE_URL; '' without it.")

    @property
    def is_talk(self) -> bool:
        """Whether it is what somebody said: that stays with the reports, and goes into no issue."""
        return self.method == "conversation"


class Helps(Record):
    """How often the remedy helped in trials that ended."""

    tried: int = Field(0, ge=0)
    helped: int = Field(0, ge=0)

    @property
    def text(self) -> str:
        """The same in words."""
        return f"tried {self.tried} times, helped {self.helped}" if self.tried else "not tried yet"

    @property
    def expected(self) -> float:
        """Probability that it helps: beta-binomial with one success and one failure before any trial."""
        return (1 + self.helped) / (2 + self.tried)


class Benefit(Record):
    """What the change should bring: failed requests a day x P(goes on) x P(helps) x expected reduction."""

    failures_per_day: float = Field(ge=0)
    persists: float = Field(ge=0, le=1)
    helps: float = Field(ge=0, le=1)
    reduction: float = Field(ge=0, le=1)
    avoided_per_day: float = Field(ge=0)


class Denominators(Record):
    """Denominators of the counts."""

    calls: int = Field(ge=0)
    sessions: int = Field(ge=0)
    window_days: int = Field(ge=1)
    nodes_reporting: int = Field(ge=0)
    nodes_expected: int = Field(ge=0)


class Advice(Record):
    """What a playbook says beside its change; the default of each field means "not known"."""

    schema_version: int = 2
    family_id: str = ""
    headline: str = Field("", description="What fails, where, since when and what it costs, in one sentence.")
    explanation: str = Field("", description="What the change answers, in a sentence or two.")
    readiness: Readiness = "ready"
    readiness_reason: str = Field("", description="What must be set up or looked at; '' when ready.")
    incident_node: str = Field("", description="The node, when this is the failure of one node.")
    nodes: tuple[str, ...] = Field((), description="Nodes that fail, most failures first, ten at the most.")
    denominators: Denominators | None = None
    consequence: Consequence | None = None
    contrasts: tuple[Contrast, ...] = ()
    cures: tuple[Cure, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    examples: tuple[Example, ...] = ()
    helps: Helps = Helps()
    benefit: Benefit | None = None
    judged_by: str = Field("", description="How it will be judged once it is tried.")
    undone_by: str = Field("", description="How it is rolled back.")


class Playbook(Record):
    """One improvement: first the contract's fields, then ours."""

    improvement_id: str = Field(
        min_length=1, description="Stable over days: derived from pattern and remedy."
    )
    category: Category
    description: str = Field(
        description="Built from templates and enumerated fields, never from users' words."
    )
    confidence: float = Field(
        ge=0, le=1, description="Probability that the failure persists; it says nothing of the remedy."
    )
    suggested_changes: dict[str, str]
    evidence_count: int = Field(
        ge=0, description="Failures of the pattern in the window, recountable from raw_traces."
    )
    created_at: datetime = Field(
        description="First day that had this playbook, as its end in UTC; no wall clock."
    )
    # ours
    day: date
    pattern_id: str
    remedy_id: str
    failure_class: FailureClass
    state: State
    title: str
    target: str = Field(
        "",
        description="`service` or `service:method` that the changes are for; empty when there is no "
        "single, safely named one.",
    )
    merged_patterns: tuple[str, ...] = Field(
        (), description="Further patterns that the same change answers; its numbers leave them out."
    )
    corroboration: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The same without the loudest nodes; null when an earlier release made it.",
    )
    nodes_affected: int = Field(ge=0)
    nodes_reporting: int = Field(ge=0)
    failure_rate: float = Field(ge=0, le=1)
    is_significant: bool = Field(
        description="Whether the pattern survives the day's false-discovery control."
    )
    version: int = Field(ge=1, description="Counts the days on which its content changed.")
    advice: Advice = Field(Advice(), description="Evidence, examples and alternatives beside the change.")
    held_because: tuple[str, ...] = Field(
        (), description="Rules that it breaks; empty when it may be acted on."
    )

    @property
    def rank(self) -> tuple[bool, bool, float, float, str]:
        """Sort key: what may be acted on comes first, then what should prevent the most failures."""
        benefit = self.advice.benefit
        return (
            bool(self.held_because),
            self.advice.readiness != "ready",
            -(benefit.avoided_per_day if benefit else 0.0),
            -self.confidence,
            self.improvement_id,
        )


class Decision(Record):
    """What is done about one playbook on one day, and how to roll it back."""

    decision_id: str
    day: date
    improvement_id: str
    pattern_id: str
    category: Category
    action: Action
    route: Route = Field(description="Who acts on it.")
    mode: Mode
    target: str = Field(description="What would change: a config key, an adapter, a prompt; '' for none.")
    from_value: str | None
    to_value: str | None
    reasons: tuple[str, ...]
    helps: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability that the remedy helps against the class, from measured trials; not that "
        "the failure persists.",
    )
    benefit: float | None = Field(
        None,
        ge=0,
        description="Failed requests a day that a trial is expected to prevent, per day that it takes.",
    )
    revert_plan: str
    playbook_hash: str = Field(description="Hash of the playbook as decided on; no other content is applied.")


class LearningCycleResult(Record):
    """One cycle: first the contract's fields, then ours."""

    cycle_id: str
    start_time: datetime
    end_time: datetime | None
    events_processed: int = Field(ge=0)
    improvements_generated: int = Field(ge=0)
    adapters_updated: int = Field(ge=0)
    configs_updated: int = Field(ge=0)
    # ours
    updates_rolled_back: int = Field(0, ge=0)
    updates_held: int = Field(0, ge=0)
    day: date
    window_days: int = Field(ge=1)
    status: CycleStatus
    reason: str
