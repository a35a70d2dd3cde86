"""Records that cross a boundary: closed, frozen, every number bounded, every choice a Literal.

What goes here: shapes. What does not: behaviour beyond reading one's own fields.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fl_assets.core.advice import Advice

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
