"""The facts of a pattern that remedies may use, and the closed set of formulas over them.

What goes here: `Facts`, `safe_name` and `FORMULAS`. What does not: the rules that use them (`remedies.py`).
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Self

import pandas as pd

from fl_assets.core.models import FailureClass, PatternKind, State
from fl_assets.events.redaction import residue
from fl_assets.patterns.classes import own_work, readable

_NAME = re.compile(
    r"(?!.{65})/?[A-Za-z][\w.:/-]*|(?!.{97})/[A-Za-z][\w.:/-]*(?:\{\w{1,32}\}[\w.:/-]*)+", re.ASCII
)
"""A plain identifier, or a route with its parameters (`/orders/{id}`)."""
_LINK = re.compile(r"//|^www\.|^(?:https?|ftp|file|data|javascript|vbscript|mailto|xmpp|tel):", re.IGNORECASE)
_ORDER = re.compile(
    r"(?:ignore|disregard|forget|bypass|override|overrule)"
    r"(?:all|any|the|these|those|previous|prior|above|earlier|your|every|safety|instruction|rule|guard)"
)
_NICE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_RETRY_TARGET = 0.01
TRANSIENT = frozenset({"timeout", "rate_limit", "dependency_down", "resource_limit", "conflict", "other"})
"""Classes of failure that the same call once more can get over."""
_HOURS_A_DAY, _SECONDS_A_DAY = 24, 86_400
_AMOUNTS = ("window_days", "failures", "sessions", "calls", "nodes_affected", "nodes_reporting",
    "nodes_expected", "peak_calls_per_node")  # fmt: skip
_SHARES = ("failure_rate", "rate_low", "rate_high", "confidence", "corroboration")
_NUMBERS = ("lift", "p50_ms", "p95_ms", "p99_ms", "failure_p50_ms")
_NAMES_KNOWN = ("stated_unit", "lookup", "search", "profile", "argument", "dependency")


@dataclass(frozen=True)
class Facts:
    """What remedies may use of a pattern: numbers, enumerated words, and names for matching only.

    Rates are shares, durations milliseconds, `None` is unknown. `services` and `methods` are as reported,
    most failures first.
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
    corroboration: float
    is_significant: bool
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    is_p99_estimated: bool
    """Whether noise of summaries hides it, so that `p99_ms` is an estimate, and `latency_ratio`, too."""
    failure_p50_ms: float | None
    peak_calls_per_node: int
    suspects: tuple[str, ...]
    family_id: str = ""
    patterns: tuple[str, ...] = ()
    rule_id: str = ""
    is_harmless: bool = False
    words: str = ""
    """The template as `classes.readable` gives it: may select a remedy, and is never shown."""
    stated_limit: float | None = None
    stated_unit: str = ""
    stated_wait_ms: float | None = None
    lookup: str = ""
    search: str = ""
    profile: str = ""
    argument: str = ""
    dependency: str = ""
    read_before: tuple[tuple[str, int, int], ...] = ()
    """Of the reading calls above: sessions that failed after one, and all that failed."""
    exceptions: tuple[tuple[str, float], ...] = ()
    """Share of the failures by type of exception."""
    traces: int = 0
    raised_by_itself: int = 0
    """Failures with a trace of a script, and those of them that it raised itself."""
    retry_share: float = 0.5
    """Share of second attempts that work, with one success and one failure added."""
    arguments: tuple[tuple[str, str], ...] = ()
    is_command: bool = False
    """Whether its calls are commands of a shell."""
    is_agent: bool = True
    """Whether there may be a prompt to add to: not of a service that only other services call."""
    caller: str = ""
    callee: str = ""
    looped: int = 0
    """Sessions that sent the identical failing call three times or more."""

    @classmethod
    def of(
        cls, row: Mapping[str, Any], known: Mapping[str, Any] | None = None, *, is_command: bool = False
    ) -> Self:
        """Read one row of failure_families (or failure_patterns); a pandas null becomes `None`.

        `known` is the family's row of pattern_consequences, when there is one.
        """
        known = known or {}

        number = partial(number_of, row)

        def amount(name: str) -> int:
            return int(number(name) or 0)

        def share(name: str) -> float:
            return min(1.0, max(0.0, number(name) or 0.0))

        def names(column: str) -> tuple[str, ...]:
            value = row.get(column)
            is_null = value is None or (isinstance(value, float) and math.isnan(value))
            return () if is_null else tuple(str(name) for name in value)

        fields: dict[str, Any] = {name: row[name] for name in ("kind", "failure_class", "state")}
        fields |= {name: names(name) for name in ("services", "methods", "suspects")}
        fields |= {name: amount(name) for name in _AMOUNTS}
        fields |= {name: share(name) for name in _SHARES}
        fields |= {name: number(name) for name in _NUMBERS}
        fields |= {name: str(known.get(name) or "") for name in _NAMES_KNOWN}
        return cls(
            **fields,
            pattern_id=str(row["pattern_id"]),
            is_significant=bool(number("is_significant")),
            is_p99_estimated=bool(number("is_p99_estimated")),
            family_id=str(row.get("family_id") or row["pattern_id"]),
            patterns=names("patterns") or (str(row["pattern_id"]),),
            rule_id=str(row.get("rule_id") or ""),
            is_harmless=bool(row.get("is_harmless")),
            words=readable(str(row.get("template") or "")),
            stated_limit=number_of(known, "stated_limit"),
            stated_wait_ms=number_of(known, "stated_wait_ms"),
            read_before=tuple(
                (name, *counts) for name, counts in json.loads(known.get("read_before") or "{}").items()
            ),
            exceptions=tuple(json.loads(known.get("exceptions") or "{}").items()),
            traces=int(number_of(known, "traces") or 0),
            raised_by_itself=int(number_of(known, "raised_by_itself") or 0),
            retry_share=(1 + (number_of(known, "recovered") or 0)) / (2 + (number_of(known, "retried") or 0)),
            arguments=tuple(json.loads(known.get("arguments") or "{}").items()),
            is_command=is_command,
            is_agent=number_of(known, "is_agent") != 0,
            looped=int(number_of(known, "looped") or 0),
            caller=str(known.get("caller") or ""),
            callee=str(known.get("callee") or ""),
        )

    @property
    def latency_ratio(self) -> float | None:
        """Median duration of failed calls over the p99 of successful ones; `None` when either is unknown."""
        if not self.p99_ms or self.failure_p50_ms is None:
            return None
        return self.failure_p50_ms / self.p99_ms

    @property
    def raised_share(self) -> float:
        """Share of the failures whose exception the script itself raised; all where no trace tells."""
        return self.raised_by_itself / self.traces if self.traces else 1.0

    @property
    def is_own_work(self) -> bool:
        """Whether it is about what the agent wrote."""
        return self.rule_id in own_work()

    @property
    def target(self) -> str:
        """`service:method`, `service` or '': the names that are single and safe."""
        service = safe_name(self.services[0], "") if len(self.services) == 1 else ""
        method = safe_name(self.methods[0], "") if len(self.methods) == 1 else ""
        return f"{service}:{method}" if service and method else service


def number_of(row: Mapping[str, Any], name: str) -> float | None:
    """Return a number of a row; a missing one, or a null of pandas, is None."""
    value = row.get(name)
    return None if value is None or pd.isna(value) else float(value)


@lru_cache(maxsize=4096)
def safe_name(name: str, otherwise: str) -> str:
    """Return the name when it is a plain identifier, else `otherwise`.

    Names come from telemetry, and models invent methods. Only ASCII letters, digits and `_ . : / -` pass, up
    to 64 characters, or a route of up to 96 with parameters in braces; no link, no wording that orders a
    reader to drop its rules, nothing that looks like personal data or a secret (which would gate the whole
    day). Where a name is shown it also stands in backticks, so no viewer makes a link of it.
    """
    letters = re.sub(r"[^a-z]", "", name.lower())
    if _NAME.fullmatch(name) is None or _LINK.search(name) or _ORDER.search(letters) or residue(name):
        return otherwise
    return name


# Formulas: the closed set
# ----------------------------------------------------------------------------------------------------


def nice_up(value: float) -> int:
    """Return the next round number that is not below `value`; whole, 1 or more.

    Round are 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 and 8 times a power of ten.
    """
    if value <= _NICE[-1]:
        return max(1, math.ceil(value))
    scale = 10.0 ** math.floor(math.log10(value))
    return round(next((nice * scale for nice in _NICE if nice * scale >= value), 10 * scale))


def _times(value: float | None, factor: float) -> int | None:
    return None if not value else nice_up(value * factor)


def _retries(facts: Facts, factor: float) -> int:
    """Return the retries after which 1 % still fail: the least n with rate^(n + 1) <= 0.01.

    Attempts are taken to be independent, which they rarely are, so rules bound it.
    """
    rate = min(0.99, max(1e-6, facts.failure_rate))
    return max(1, math.ceil(factor * (math.log(_RETRY_TARGET) / math.log(rate) - 1) - 1e-9))


FORMULAS: Mapping[str, Callable[[Facts, float], int | None]] = {
    "above_p99": lambda facts, factor: _times(facts.p99_ms, factor),
    # The present limit cuts off the tail of the successes, and failed calls last as long as that limit.
    "above_slowest": lambda facts, factor: _times(
        facts.p99_ms and max(facts.p99_ms, facts.failure_p50_ms or 0.0), factor
    ),
    "backoff_ms": lambda facts, factor: _times(facts.p50_ms, factor),
    # For rules of users. Ours use only limits that errors state: a rate that got through is no limit.
    "calls_per_hour": lambda facts, factor: _times(
        facts.peak_calls_per_node * (1 - facts.failure_rate) / _HOURS_A_DAY, factor
    ),
    # As the errors state it, in their unit.
    "stated_limit": lambda facts, factor: (
        None if not facts.stated_limit else max(1, math.floor(facts.stated_limit * factor))
    ),
    "stated_wait_ms": lambda facts, factor: (
        None if not facts.stated_wait_ms else math.ceil(facts.stated_wait_ms * factor)
    ),
    # Little's law: calls in flight = arrival rate x time in system, here of the busiest node's busiest day.
    "concurrency": lambda facts, factor: _times(
        (facts.p95_ms or 0.0) / 1000 * facts.peak_calls_per_node / _SECONDS_A_DAY, factor
    ),
    "retries": _retries,
    # 85 % of the context window for a rare overflow, less by the failure rate, in steps of 5.
    "context_percent": lambda facts, factor: max(
        5, 5 * math.floor((85 - 100 * facts.failure_rate * factor) / 5)
    ),
    # Half of the present repeats of a failing call in a session.
    "repeat_limit": lambda facts, factor: max(
        1, math.ceil(factor * facts.failures / max(1, facts.sessions) / 2)
    ),
    # Half the present rate, as confidence predicts it, in whole per mille.
    "half_rate_permille": lambda facts, factor: nice_up(1000 * facts.failure_rate * factor / 2),
}
"""Every formula that a rule may name: from facts and factor to a whole number, `None` without its inputs."""
