"""What a playbook says beside its change: consequence, contrasts, cures, examples, benefit.

What goes here: the records. What does not: making them (`playbooks/`). Only `Example` holds text from
telemetry; it is shown, and no change is made from it.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Readiness = Literal["ready", "needs_setup", "needs_a_look"]
"""Can be acted on now; something must be configured first; no cure was found, so a person has to look."""

PRIOR_REDUCTION = 0.35
"""Share of the failures that a remedy that helps prevents, until trials have measured it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Consequence(_Part):
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


class Contrast(_Part):
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


class Cure(_Part):
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


class Alternative(_Part):
    """Another change for the same failure, to be tried when the first does not help."""

    remedy_id: str
    category: str
    title: str
    readiness: Readiness
    suggested_changes: dict[str, str]


class Example(_Part):
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


class Helps(_Part):
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


class Benefit(_Part):
    """What the change should bring: failed requests a day x P(goes on) x P(helps) x expected reduction."""

    failures_per_day: float = Field(ge=0)
    persists: float = Field(ge=0, le=1)
    helps: float = Field(ge=0, le=1)
    reduction: float = Field(ge=0, le=1)
    avoided_per_day: float = Field(ge=0)


class Denominators(_Part):
    """Denominators of the counts."""

    calls: int = Field(ge=0)
    sessions: int = Field(ge=0)
    window_days: int = Field(ge=1)
    nodes_reporting: int = Field(ge=0)
    nodes_expected: int = Field(ge=0)


class Advice(_Part):
    """All of it; the default of each field means "not known"."""

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
