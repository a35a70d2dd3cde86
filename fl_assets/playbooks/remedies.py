"""Remedy rules: what to suggest for which failure patterns.

What goes here: the record of a rule, its checks, and what it computes for a pattern. What does not: the rules
(`remedies.yaml`), which rule a playbook is made from (`propose.py`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fl_assets.core.data import read_data
from fl_assets.core.models import Category, FailureClass, PatternKind, Record, State
from fl_assets.infra.rule_files import read_rules
from fl_assets.patterns.classes import Phrase, compiled
from fl_assets.playbooks.facts import FORMULAS, Facts, safe_name

TEXT_FIELDS = frozenset({
    "class", "state", "service", "method", "failures", "calls", "rate", "nodes_affected", "nodes_reporting",
    "window_days", "lift", "p50_ms", "p95_ms", "p99_ms", "failure_p50_ms", "arguments", "argument",
    "exceptions", "exception_habits", "dependency", "caller", "callee", "most_from", "lookup", "search",
    "profile", "stated_limit", "limit_per_node", "stated_unit", "stated_wait", "raised",
})  # fmt: skip
"""Fields that a title or description may name, besides the keys of the rule's own changes."""
_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


class Bounds(Record):
    """A range, both ends included; an unknown number lies in no range."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} must not be above max {self.max:g}")
        return self

    def holds(self, value: float | None) -> bool:
        """Whether the number is known and within the range."""
        return (
            value is not None
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
        )


class Conditions(Record):
    """When a remedy applies: every condition that is given must hold."""

    failure_class: tuple[FailureClass, ...] = Field(min_length=1, alias="class")
    kind: tuple[PatternKind, ...] = ()
    state: tuple[State, ...] = ()
    failures: Bounds = Bounds(min=2)
    """What was seen once is no pattern yet."""
    rate: Bounds | None = None
    nodes: Bounds | None = None
    lift: Bounds | None = None
    latency_ratio: Bounds | None = None
    """Median duration of failed calls over the p99 of successful ones; with a `max` not where noise hides
    it, since the ratio is only known to be at least so much then."""
    retry_share: Bounds | None = None
    """Share of second attempts that work; half when none was seen."""
    rule: tuple[str, ...] = ()
    """Rules of failure_classes.yaml, one of which named the class."""
    says: tuple[Phrase, ...] = ()
    """Phrases, one of which the pattern's words must have."""
    stated_limit: Bounds | None = None
    """Rate limit that the errors state."""
    stated_wait: Bounds | None = None
    """Wait that the errors state, ms."""
    agent: bool | None = None
    """Whether it may be an agent; false for a service that only services call."""
    command: bool | None = None
    """Whether its calls are commands of a shell: one may have changed something, and no setting sends it
    again."""
    dependency: bool | None = None
    """Whether its messages name a service of the fleet."""
    services: tuple[str, ...] = ()
    """Globs; one of the pattern's services must match one of them."""
    methods: tuple[str, ...] = ()
    """Globs; one of the pattern's methods must match one of them."""

    def hold(self, facts: Facts) -> bool:
        """Whether the pattern meets every condition."""
        ranges = (
            (self.failures, facts.failures),
            (self.rate, facts.failure_rate),
            (self.nodes, facts.nodes_affected),
            (self.lift, facts.lift),
            (self.latency_ratio, facts.latency_ratio),
            (self.retry_share, facts.retry_share),
            (self.stated_limit, facts.stated_limit),
            (self.stated_wait, facts.stated_wait_ms),
        )
        return (
            facts.failure_class in self.failure_class
            and (not self.kind or facts.kind in self.kind)
            and (not self.state or facts.state in self.state)
            and (not self.rule or facts.rule_id in self.rule)
            and (not self.says or compiled(self.says).search(facts.words) is not None)
            and all(bounds is None or bounds.holds(value) for bounds, value in ranges)
            and not (facts.is_p99_estimated and self.latency_ratio and self.latency_ratio.max is not None)
            and self.agent in (None, facts.is_agent)
            and self.command in (None, facts.is_command)
            and self.dependency in (None, bool(safe_name(facts.dependency, "")))
            and _matches(self.services, facts.services)
            and _matches(self.methods, facts.methods)
        )


class Change(Record):
    """One change: a fixed value, or a formula over the pattern's numbers, within bounds."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    value: str | None = Field(None, min_length=1, max_length=1000)
    """May name the fields that a title may."""
    formula: str | None = None
    factor: float = Field(1.0, gt=0, le=1000)
    min: int | None = None
    max: int | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Accept YAML numbers and switches; changes are str to str."""
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, int | float) else value

    @field_validator("formula")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in FORMULAS:
            raise ValueError(f"unknown formula {value!r}; must be one of {', '.join(sorted(FORMULAS))}")
        return value

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.value is None) == (self.formula is None):
            raise ValueError("needs either value or formula")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} must not be above max {self.max}")
        return self

    def computed(self, facts: Facts, fields: Mapping[str, str]) -> str | None:
        """Return the value for this pattern, or `None` when the formula lacks a number."""
        if self.value is not None:
            # Other braces are the user's own, as in a JSON value.
            return _FIELD.sub(lambda found: fields.get(found.group(1), found.group()), self.value)
        if self.formula is None:
            return None
        result = FORMULAS[self.formula](facts, self.factor)
        if result is None:
            return None
        result = result if self.min is None else max(self.min, result)
        return str(result if self.max is None else min(self.max, result))


class Remedy(Record):
    """One rule: what to suggest for which patterns."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    when: Conditions
    category: Category
    title: str = Field(min_length=1, max_length=120)
    description: str = Field(min_length=1, max_length=1000)
    changes: tuple[Change, ...] = Field(min_length=1)
    needs_a_look: bool = False
    """Names no change: somebody has to look first."""
    fallback: bool = False
    """Applies only to patterns that no other rule has an answer for."""
    reach: Literal["all", "raised_by_itself"] = "all"
    """Failures that it can prevent: of scripts that stop those that raised the exception themselves; what the
    code that they call raises may be the very error that they were written to show."""

    @model_validator(mode="after")
    def _templates_are_sound(self) -> Self:
        keys = [change.key for change in self.changes]
        if len(set(keys)) != len(keys):
            raise ValueError(f"changes: a key must occur once, got {', '.join(keys)}")
        for name in ("title", "description"):
            _check_template(name, getattr(self, name), TEXT_FIELDS | set(keys))
        return self

    def reached(self, facts: Facts) -> float:
        """Return the share of the failures that it can prevent."""
        return facts.raised_share if self.reach == "raised_by_itself" else 1.0


def _check_template(name: str, text: str, known: Iterable[str]) -> None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    for _, field, spec, conversion in parts:
        # No attribute, index, format or conversion: a template can show a field and do nothing else.
        if field is not None and (field not in known or spec or conversion):
            choices = ", ".join(sorted(known))
            raise ValueError(
                f"{name}: unknown field {{{field}}}; must be one of {choices}, without format or attribute"
            )


def _matches(globs: Sequence[str], names: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for name in names for glob in globs)


def override(built_in: Sequence[Remedy], users: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return the rules in the order they are tried: the user's, then built-in ones of other ids."""
    taken = {remedy.id for remedy in users}
    return (*users, *(remedy for remedy in built_in if remedy.id not in taken))


BUILT_IN_REMEDIES = Path(__file__).with_suffix(".yaml")


def load_remedies(users: Path | None = None) -> tuple[Remedy, ...]:
    """Return the remedies in the order they are tried; a user's replaces the built-in one of the same id.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return override(_built_in_remedies(), read_rules(users, Remedy, section="remedies") if users else ())


@cache
def _built_in_remedies() -> tuple[Remedy, ...]:
    return tuple(map(Remedy.model_validate, read_data(BUILT_IN_REMEDIES)["remedies"]))
