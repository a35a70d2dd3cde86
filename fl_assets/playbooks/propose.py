"""From the day's failure patterns to playbooks, by remedy rules that are data.

What goes here: the shape of a remedy rule, the closed set of formulas that compute its changes, and `propose`.
What does not: reading YAML (`infra/rule_files.py`), the rules that hold a playbook back (`quality.py`), carrying a change out (`updates.py`).

A playbook's words come from a remedy's templates and from enumerated fields: numbers, our own names for classes and states, and
service or method names that pass `safe_name`. No template, message, query or response is read here, so none can be repeated.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from string import Formatter
from typing import Any, Self, get_args

import pandas as pd
from pydantic import Field, field_validator, model_validator

from fl_assets.core.models import (
    Category,
    ErrorClass,
    FailureClass,
    PatternKind,
    Playbook,
    Record,
    Signal,
    State,
)
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import residue
from fl_assets.playbooks.quality import violations

FAILURE_CLASSES: tuple[str, ...] = (*get_args(ErrorClass), *get_args(Signal))
ANY_SERVICE, ANY_METHOD = "a service", "a method"
"""What a text says in place of a name that `safe_name` refuses."""

_NAME = re.compile(r"[A-Za-z][\w.:/-]{0,63}", re.ASCII)
_LINK = re.compile(r"//|^www\.|^(?:https?|ftp|file|data|javascript|vbscript|mailto|xmpp|tel):", re.IGNORECASE)
_ORDER = re.compile(
    r"(?:ignore|disregard|forget|bypass|override|overrule)(?:all|any|the|these|those|previous|prior|above|earlier|your|every|safety|instruction|rule|guard)"
)
_NICE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_RETRY_TARGET = 0.01
MAX_SUSPECTS = 3
"""Prompts, configs and tools, at the most, that a playbook names as suspected."""
_HOURS_A_DAY, _SECONDS_A_DAY = 24, 86_400
_CLASS_WORDS: Mapping[str, str] = {
    "timeout": "timeouts",
    "rate_limit": "rate limits",
    "auth": "refused credentials",
    "bad_arguments": "wrong arguments",
    "unknown_tool": "calls of tools that do not exist",
    "invalid_output": "outputs that cannot be parsed",
    "context_overflow": "context overflows",
    "dependency_down": "an unavailable dependency",
    "resource_limit": "exhausted resources",
    "not_found": "things that are not found",
    "conflict": "conflicting changes",
    "policy_refusal": "refusals by policy",
    "step_limit": "loops and step limits",
    "business_rule": "broken business rules",
    "code_defect": "defects in code",
    "other": "failures of no known class",
    "repeated_question": "questions that users have to repeat",
    "correction": "answers that users correct",
    "abandonment": "conversations that users give up",
    "refusal": "answers that refuse",
    "apology_loop": "apologies without progress",
    "confident_after_failure": "confident answers after a failed call",
}


@dataclass(frozen=True)
class Facts:
    """What a remedy may know of a pattern: numbers, enumerated words, and names for matching only.

    Rates are shares, durations milliseconds; `None` is unknown. `services` and `methods` are as reported, most failures first.
    """

    pattern_id: str
    kind: PatternKind
    failure_class: FailureClass
    state: State
    services: tuple[str, ...]
    methods: tuple[str, ...]
    window_days: int
    failures: int
    sessions: int
    calls: int
    failure_rate: float
    rate_low: float
    rate_high: float
    lift: float | None
    nodes_affected: int
    nodes_reporting: int
    nodes_expected: int
    confidence: float
    is_significant: bool
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    failure_p50_ms: float | None
    peak_calls_per_node: int
    suspects: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read one row of failure_patterns; a pandas null becomes `None`, and the text columns are not looked at."""

        def number(name: str) -> float | None:
            value = row[name]
            return None if value is None or pd.isna(value) else float(value)

        def amount(name: str) -> int:
            return int(number(name) or 0)

        def share(name: str) -> float:
            return min(1.0, max(0.0, number(name) or 0.0))

        def names(column: str) -> tuple[str, ...]:
            value = row[column]
            return (
                ()
                if value is None or (isinstance(value, float) and math.isnan(value))
                else tuple(str(name) for name in value)
            )

        return cls(
            pattern_id=str(row["pattern_id"]),
            kind=row["kind"],
            failure_class=row["failure_class"],
            state=row["state"],
            services=names("services"),
            methods=names("methods"),
            window_days=amount("window_days"),
            failures=amount("failures"),
            sessions=amount("sessions"),
            calls=amount("calls"),
            failure_rate=share("failure_rate"),
            rate_low=share("rate_low"),
            rate_high=share("rate_high"),
            lift=number("lift"),
            nodes_affected=amount("nodes_affected"),
            nodes_reporting=amount("nodes_reporting"),
            nodes_expected=amount("nodes_expected"),
            confidence=share("confidence"),
            is_significant=bool(number("is_significant")),
            p50_ms=number("p50_ms"),
            p95_ms=number("p95_ms"),
            p99_ms=number("p99_ms"),
            failure_p50_ms=number("failure_p50_ms"),
            peak_calls_per_node=amount("peak_calls_per_node"),
            suspects=names("suspects"),
        )

    @property
    def latency_ratio(self) -> float | None:
        """Median duration of the failed calls over the 99th percentile of the successful ones; `None` when either is unknown."""
        if not self.p99_ms or self.failure_p50_ms is None:
            return None
        return self.failure_p50_ms / self.p99_ms

    @property
    def target(self) -> str:
        """`service` or `service:method` when there is one of each and its name is safe; '' when it cannot be named."""
        service = safe_name(self.services[0], "") if len(self.services) == 1 else ""
        method = safe_name(self.methods[0], "") if len(self.methods) == 1 else ""
        return f"{service}:{method}" if service and method else service


@lru_cache(maxsize=4096)
def safe_name(name: str, otherwise: str) -> str:
    """Return the name when it is a plain identifier, else `otherwise`.

    Names come from telemetry, and models invent methods. Only ASCII letters, digits and `_ . : / -` pass, 64 characters at the most, no
    link, no wording that orders a reader to drop its rules, nothing that looks like personal data or a secret (which would gate the whole day).
    Where a name is shown it also stands in backticks, so no viewer makes a link of it.
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    if _NAME.fullmatch(name) is None or _LINK.search(name) or _ORDER.search(letters) or residue(name):
        return otherwise
    return name


# Formulas: the closed set -----------------------------------------------------------------------------------------------


def nice_up(value: float) -> int:
    """Return the next round number (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten) that is not below `value`; whole, 1 or more."""
    if value <= _NICE[-1]:
        return max(1, math.ceil(value))
    scale = 10.0 ** math.floor(math.log10(value))
    return round(next((nice * scale for nice in _NICE if nice * scale >= value), 10 * scale))


def _times(value: float | None, factor: float) -> int | None:
    return None if not value else nice_up(value * factor)


def _retries(facts: Facts, factor: float) -> int:
    """Retries after which 1 % still fail, were attempts independent: the smallest n with rate^(n + 1) <= 0.01; they rarely are, so bound it."""
    rate = min(0.99, max(1e-6, facts.failure_rate))
    return max(1, math.ceil(factor * (math.log(_RETRY_TARGET) / math.log(rate) - 1) - 1e-9))


FORMULAS: Mapping[str, Callable[[Facts, float], int | None]] = {
    "above_p99": lambda facts, factor: _times(facts.p99_ms, factor),
    # The tail of the successes is cut off at the present limit, and failed calls last as long as that limit: so look at both.
    "above_slowest": lambda facts, factor: _times(
        facts.p99_ms and max(facts.p99_ms, facts.failure_p50_ms or 0.0), factor
    ),
    "backoff_ms": lambda facts, factor: _times(facts.p50_ms, factor),
    "calls_per_hour": lambda facts, factor: _times(
        facts.peak_calls_per_node * (1 - facts.failure_rate) / _HOURS_A_DAY, factor
    ),
    # Little's law: calls in flight = arrival rate x time in system, here of the busiest node's busiest day.
    "concurrency": lambda facts, factor: _times(
        (facts.p95_ms or 0.0) / 1000 * facts.peak_calls_per_node / _SECONDS_A_DAY, factor
    ),
    "retries": _retries,
    # The more calls overflow, the earlier to trim: 85 % of the window for a rare overflow, less by the failure rate, in steps of 5.
    "context_percent": lambda facts, factor: max(
        5, 5 * math.floor((85 - 100 * facts.failure_rate * factor) / 5)
    ),
    # Half as many repeats of a failing call as a session makes now.
    "repeat_limit": lambda facts, factor: max(
        1, math.ceil(factor * facts.failures / max(1, facts.sessions) / 2)
    ),
    # Half the present rate, the mark that the confidence is about, in whole per mille.
    "half_rate_permille": lambda facts, factor: nice_up(1000 * facts.failure_rate * factor / 2),
}
"""Name → function of (facts, factor): a whole number, or `None` when the pattern lacks what it needs. A rule can name no other."""

# Remedy rules -----------------------------------------------------------------------------------------------------------

TEXT_FIELDS = frozenset(
    {
        *(
            "class",
            "state",
            "service",
            "method",
            "failures",
            "calls",
            "rate",
            "nodes_affected",
            "nodes_reporting",
            "window_days",
        ),
        *("lift", "p50_ms", "p95_ms", "p99_ms", "failure_p50_ms"),
    }
)
"""Fields that a title or description may name; beside them, the keys of the rule's own changes."""


class Bounds(Record):
    """A range, both ends included; a number that is unknown lies in no range."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            message = "needs min, max or both"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min {self.min:g} must not be above max {self.max:g}"
            raise ValueError(message)
        return self

    def holds(self, value: float | None) -> bool:
        """Whether the number is known and within."""
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
    failures: Bounds = Field(Bounds(min=2), description="What was seen once is no pattern yet.")
    rate: Bounds | None = None
    nodes: Bounds | None = None
    lift: Bounds | None = None
    latency_ratio: Bounds | None = Field(
        None, description="Median duration of failed calls over the p99 of successful ones."
    )
    services: tuple[str, ...] = Field(
        (), description="Globs; one of the pattern's services must match one of them."
    )
    methods: tuple[str, ...] = Field(
        (), description="Globs; one of the pattern's methods must match one of them."
    )

    def hold(self, facts: Facts) -> bool:
        """Whether the pattern meets every condition."""
        ranges = (
            (self.failures, facts.failures),
            (self.rate, facts.failure_rate),
            (self.nodes, facts.nodes_affected),
            (self.lift, facts.lift),
            (self.latency_ratio, facts.latency_ratio),
        )
        return (
            facts.failure_class in self.failure_class
            and (not self.kind or facts.kind in self.kind)
            and (not self.state or facts.state in self.state)
            and all(bounds is None or bounds.holds(value) for bounds, value in ranges)
            and _matches(self.services, facts.services)
            and _matches(self.methods, facts.methods)
        )


class Change(Record):
    """One typed change: a fixed value, or a formula of the pattern's own numbers kept within bounds."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    value: str | None = Field(None, min_length=1, max_length=200)
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
            message = f"unknown formula {value!r}; must be one of {', '.join(sorted(FORMULAS))}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.value is None) == (self.formula is None):
            message = "needs either value or formula"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min {self.min} must not be above max {self.max}"
            raise ValueError(message)
        return self

    def computed(self, facts: Facts) -> str | None:
        """Return the value for this pattern, or `None` when the formula lacks a number."""
        if self.formula is None:
            return self.value
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
    fallback: bool = Field(
        False, description="Applies only to patterns that no other rule has an answer for."
    )

    @model_validator(mode="after")
    def _templates_are_sound(self) -> Self:
        keys = [change.key for change in self.changes]
        if len(set(keys)) != len(keys):
            message = f"changes: a key must occur once, got {', '.join(keys)}"
            raise ValueError(message)
        for name in ("title", "description"):
            _check_template(name, getattr(self, name), TEXT_FIELDS | set(keys))
        return self


def _check_template(name: str, text: str, known: Iterable[str]) -> None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from error
    for _, field, spec, conversion in parts:
        # No attribute, index, format or conversion: a template can show a field and do nothing else.
        if field is not None and (field not in known or spec or conversion):
            message = f"{name}: unknown field {{{field}}}; must be one of {', '.join(sorted(known))}, without format or attribute"
            raise ValueError(message)


def _matches(globs: Sequence[str], names: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for name in names for glob in globs)


def override(built_in: Sequence[Remedy], users: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return the rules in the order they are tried: the user's first, then the built-in ones whose id the user did not take."""
    taken = {remedy.id for remedy in users}
    return (*users, *(remedy for remedy in built_in if remedy.id not in taken))


# Playbooks --------------------------------------------------------------------------------------------------------------


def propose(
    patterns: pd.DataFrame,
    remedies: Sequence[Remedy],
    *,
    day: date,
    settings: FederatedLearningConfig,
    previous: Sequence[Mapping[str, Any]] = (),
) -> list[Playbook]:
    """Return the day's playbooks, most confident first.

    For each pattern that is not resolved, the first rule of each category that applies makes one playbook. Playbooks of one category that
    ask for the same changes to the same named target are merged into the one that leads: it names the others' patterns and keeps its own numbers,
    so that its evidence can still be recounted.

    Args:
        patterns: Columns of failure_patterns, one row a pattern, all of one day.
        remedies: Rules in the order they are tried (see `override`).
        day: The partition.
        settings: Thresholds of the gate.
        previous: Rows of playbooks of earlier days (`event_date` < `day`; others are ignored): they give `created_at` and `version`.

    Returns:
        Playbooks with `held_because` filled in from the rules of `quality.violations` that need nothing but the playbook.
    """
    if patterns.empty:
        return []
    history = _history(previous, day)
    drafts: list[Playbook] = []
    first_seen: dict[str, datetime] = {}
    for row in patterns.sort_values("pattern_id").to_dict("records"):
        facts = Facts.of(row)
        if facts.state != "resolved":
            first_seen[facts.pattern_id] = row["first_seen"]
            drafts += [
                _playbook(facts, remedy, changes, day, history)
                for remedy, changes in _answers(facts, remedies)
            ]
    merged = _merge(_held(drafts, settings), first_seen)
    return sorted(
        merged,
        key=lambda playbook: (
            bool(playbook.held_because),
            -playbook.confidence,
            -playbook.evidence_count,
            playbook.improvement_id,
        ),
    )


def improvement_id(pattern_id: str, remedy_id: str) -> str:
    """Return the stable id of what a remedy answers to a pattern: 16 hex digits."""
    return hashlib.sha256(f"{pattern_id}\n{remedy_id}".encode()).hexdigest()[:16]


def _answers(facts: Facts, remedies: Sequence[Remedy]) -> list[tuple[Remedy, dict[str, str]]]:
    found: dict[str, tuple[Remedy, dict[str, str]]] = {}
    for fallback in (False, True):
        if found:
            break
        for remedy in remedies:
            if remedy.fallback is not fallback or remedy.category in found or not remedy.when.hold(facts):
                continue
            changes = {change.key: change.computed(facts) for change in remedy.changes}
            if None not in changes.values():  # a rule whose numbers are not all known has no answer
                found[remedy.category] = (remedy, {key: str(value) for key, value in changes.items()})
    return list(found.values())


def _playbook(
    facts: Facts, remedy: Remedy, changes: dict[str, str], day: date, history: Mapping[str, "_Earlier"]
) -> Playbook:
    fields = _fields(facts) | changes
    identity = improvement_id(facts.pattern_id, remedy.id)
    title = remedy.title.format_map(fields)
    # An adapter serves a whole service, whatever the method that showed the need.
    target = facts.target.partition(":")[0] if remedy.category == "adapter" else facts.target
    content = _content(remedy.category, title, target, changes)
    earlier = history.get(identity)
    return Playbook(
        improvement_id=identity,
        category=remedy.category,
        description=f"{remedy.description.format_map(fields)} {_evidence(facts)}",
        confidence=facts.confidence,
        suggested_changes=changes,
        evidence_count=facts.failures,
        created_at=earlier.created_at
        if earlier
        else datetime.combine(day + timedelta(days=1), time.min, UTC),
        day=day,
        pattern_id=facts.pattern_id,
        remedy_id=remedy.id,
        failure_class=facts.failure_class,
        state=facts.state,
        title=title,
        target=target,
        nodes_affected=facts.nodes_affected,
        nodes_reporting=facts.nodes_reporting,
        failure_rate=facts.failure_rate,
        is_significant=facts.is_significant,
        version=1 if earlier is None else earlier.version + (earlier.content != content),
    )


def _fields(facts: Facts) -> dict[str, str]:
    def milliseconds(value: float | None) -> str:
        return "unknown" if value is None else f"{value:,.0f} ms"

    return {
        "class": _CLASS_WORDS[facts.failure_class],
        "state": facts.state,
        "service": _quoted(facts.services, ANY_SERVICE),
        "method": _quoted(facts.methods, ANY_METHOD),
        "failures": f"{facts.failures:,}",
        "calls": f"{facts.calls:,}",
        "rate": _percent(facts.failure_rate),
        "lift": "unknown" if facts.lift is None else f"{facts.lift:.1f}",
        "nodes_affected": f"{facts.nodes_affected:,}",
        "nodes_reporting": f"{facts.nodes_reporting:,}",
        "window_days": f"{facts.window_days:,}",
        "p50_ms": milliseconds(facts.p50_ms),
        "p95_ms": milliseconds(facts.p95_ms),
        "p99_ms": milliseconds(facts.p99_ms),
        "failure_p50_ms": milliseconds(facts.failure_p50_ms),
    }


def _quoted(names: Sequence[str], otherwise: str) -> str:
    """Name the first, the one with most failures, and count the rest."""
    if not names or not safe_name(names[0], ""):
        return otherwise
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"`{names[0]}`{more}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _evidence(facts: Facts) -> str:
    things = "conversations" if facts.kind == "conversation" else "calls"
    days = "1 day" if facts.window_days == 1 else f"{facts.window_days} days"
    named = [f"`{name}`" for name in facts.suspects if safe_name(name, "")][:MAX_SUSPECTS]
    suspected = f" Error records suspect {' and '.join(named)}." if named else ""
    missing = f" ({facts.nodes_expected:,} expected)" if facts.nodes_expected > facts.nodes_reporting else ""
    return (
        f"Evidence: {facts.failures:,} of {facts.calls:,} {things} ({_percent(facts.failure_rate)}, 95 % interval {_percent(facts.rate_low)} to "
        f"{_percent(facts.rate_high)}) on {facts.nodes_affected:,} of {facts.nodes_reporting:,} nodes{missing} in {days}; the pattern is {facts.state}.{suspected}"
    )


def _held(drafts: Sequence[Playbook], settings: FederatedLearningConfig) -> list[Playbook]:
    found = violations(drafts, threshold=settings.threshold, min_nodes=settings.min_nodes)
    return [
        draft.model_copy(
            update={"held_because": tuple(str(problem) for problem in found.get(draft.improvement_id, ()))}
        )
        for draft in drafts
    ]


def _merge(drafts: Sequence[Playbook], first_seen: Mapping[str, datetime]) -> list[Playbook]:
    """Join playbooks that ask for the same; without a named target nobody can say that it is the same, so those stay apart."""
    groups: dict[str, list[Playbook]] = {}
    for draft in drafts:
        same = (
            _content(draft.category, draft.title, draft.target, draft.suggested_changes)
            if draft.target
            else draft.improvement_id
        )
        groups.setdefault(same, []).append(draft)
    merged = []
    for group in groups.values():
        # What may be acted on leads, then the pattern that is known longest: the leader's id, and with it the history, changes only when the
        # gate's answer does. The playbook's own age would not do: it depends on which days have been materialised.
        leader, *others = sorted(
            group, key=lambda one: (bool(one.held_because), first_seen[one.pattern_id], one.improvement_id)
        )
        if others:
            also = sorted({one.pattern_id for one in others})
            words = f"The same change answers {len(also)} more {'pattern' if len(also) == 1 else 'patterns'}: {', '.join(also)}."
            leader = leader.model_copy(
                update={"description": f"{leader.description} {words}", "merged_patterns": tuple(also)}
            )
        merged.append(leader)
    return merged


@dataclass(frozen=True)
class _Earlier:
    created_at: datetime
    version: int
    content: str


def _content(category: str, title: str, target: str, changes: Mapping[str, str]) -> str:
    """What a version counts: what is asked for, not the day's numbers behind it."""
    return json.dumps([category, title, target, dict(sorted(changes.items()))])


def _history(rows: Iterable[Mapping[str, Any]], day: date) -> dict[str, _Earlier]:
    """Read first day, last version and last content of each playbook from rows of earlier days, in any order."""
    found: dict[str, _Earlier] = {}
    for then, row in _in_order(rows):
        if then < day:
            found[row["improvement_id"]] = _next(found.get(row["improvement_id"]), then, row)
    return found


def renumber(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the stored playbooks whose `created_at` or `version` no longer follows from the days before them, with both set right.

    A day that is materialised after a later one makes the later one's history longer; with this, the table is the same whatever the order.

    Args:
        rows: All rows of playbooks, in any order.
    """
    found: dict[str, _Earlier] = {}
    changed = []
    for then, row in _in_order(rows):
        known = found[row["improvement_id"]] = _next(found.get(row["improvement_id"]), then, row)
        stored = row["created_at"] if row["created_at"].tzinfo else row["created_at"].replace(tzinfo=UTC)
        if (stored, row["version"]) != (known.created_at, known.version):
            changed.append(dict(row) | {"created_at": known.created_at, "version": known.version})
    return changed


def _next(earlier: _Earlier | None, day: date, row: Mapping[str, Any]) -> _Earlier:
    changes = row["suggested_changes"]
    content = _content(
        row["category"],
        row["title"],
        row["target"],
        json.loads(changes) if isinstance(changes, str) else changes,
    )
    if earlier is None:
        return _Earlier(datetime.combine(day + timedelta(days=1), time.min, UTC), 1, content)
    return _Earlier(earlier.created_at, earlier.version + (earlier.content != content), content)


def _in_order(rows: Iterable[Mapping[str, Any]]) -> list[tuple[date, Mapping[str, Any]]]:
    return sorted(
        ((_as_day(row["event_date"]), row) for row in rows),
        key=lambda pair: (pair[0], pair[1]["improvement_id"]),
    )


def _as_day(value: date | str) -> date:
    """A DATE comes as date from Python, as datetime or Timestamp from pandas, as text from JSON."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(value)
