"""Records of a trial and its verdict, and the lengths of its stages.

What does not go here: how a verdict is reached (`updates/outcomes.py`).
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

BASELINE_DAYS = 14
"""Days before the release that a node is compared with."""
CANARY_DAYS = 2
"""Days of the safety look on the canary nodes, before half of the nodes take the change."""
WATCH_DAYS = 30
"""Days after a promotion in which the change is judged again, against the nodes that were held back."""

Stage = Literal["canary", "half", "watch"]
"""canary: a tenth of the nodes, watched for harm alone; half: half of them, which decides; watch: all but
those held back."""
Finding = Literal["safe", "better", "worse", "wait", "inconclusive", "kept", "faded"]
"""safe: no harm on the canary nodes, so half of them follow; kept, faded: whether the effect of a promoted
change lasts."""


@dataclass(frozen=True)
class Trial:
    """One stage of a trial: which nodes have the change, which do not, and since when."""

    decision_id: str
    """Decision on trial."""
    treated: tuple[str, ...]
    """Nodes that have the change; drawn at random."""
    control: tuple[str, ...]
    """Nodes that do not."""
    released_on: date
    """Day on which the first node took it; earlier days are every node's own past."""
    stage: Stage = "half"
    since: date | None = None
    """Day on which this stage began, by default the release. It does not count: nodes take the change in its
    course."""
    expected: float | None = None
    """Effect measured before the change was promoted; for the watch."""
    newcomers: frozenset[str] = frozenset()
    """Nodes without a past of BASELINE_DAYS; drawn among themselves."""

    def __post_init__(self) -> None:
        """Refuse a trial without treated or control nodes, or with nodes in both groups."""
        if not self.treated or not self.control or set(self.treated) & set(self.control):
            raise ValueError(
                f"trial {self.decision_id}: {len(self.treated)} treated and {len(self.control)} control "
                "nodes; "
                "needs some of each, and none in both"
            )

    @property
    def began_on(self) -> date:
        """First day of the stage, which does not count."""
        return self.since or self.released_on


def days_of_stage(stage: Stage, max_days: int) -> int:
    """Return the most days that a stage takes in a trial of `max_days` days."""
    canary = min(CANARY_DAYS, max(1, max_days // 4))
    # The day on which half of the nodes take the change counts in neither stage.
    return {"canary": canary, "half": max(1, max_days - canary - 1), "watch": WATCH_DAYS}[stage]


@dataclass(frozen=True)
class Effect:
    """One metric of treated nodes over control nodes; 1 is no difference, above 1 is worse."""

    name: str
    ratio: float | None


@dataclass(frozen=True)
class StageVerdict:
    """The verdict on a stage by the end of a day."""

    finding: Finding
    """What was found."""
    reason: str
    """Why, in one sentence."""
    looks: int
    """Days that counted."""
    decided_on: date | None
    """Day of the decision; None before it."""
    effect: Effect
    """Effect on the failures of the pattern."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of it."""
    guards: tuple[Effect, ...] = ()
    """Effects on all other metrics."""
    rates: dict[str, float | None] = field(default_factory=dict)
    """Plain rates of either group, before and after."""
    power: float | None = None
    """Probability that the stage would have found a change with 20 % fewer failures."""
