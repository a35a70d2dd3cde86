"""From the day's failure patterns to playbooks, by remedy rules that are data.

What goes here: `propose`, and how playbooks keep their history. What does not: the rules (`remedies.py`), the
rules that hold a playbook
back (`rules.py`), carrying a change out (`updates/`).

A playbook's words come from a remedy's templates and from enumerated fields: numbers, our own names for
classes and states, and
service or method names that pass `safe_name`. No template, message, query or response is read here, so none
can be repeated.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd

from fl_assets.core.models import Playbook
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.playbooks.facts import Facts, safe_name
from fl_assets.playbooks.remedies import Remedy
from fl_assets.playbooks.rules import held_by

ANY_SERVICE, ANY_METHOD = "a service", "a method"
"""What a text says in place of a name that `safe_name` refuses."""
MAX_SUSPECTS = 3
"""Prompts, configs and tools, at the most, that a playbook names as suspected."""


def propose(
    patterns: pd.DataFrame,
    remedies: Sequence[Remedy],
    *,
    day: date,
    settings: FederatedLearningConfig,
    previous: Sequence[Mapping[str, Any]] = (),
) -> list[Playbook]:
    """Return the day's playbooks, most confident first.

    For each pattern that is not resolved, the first rule of each category that applies makes one playbook.
    Playbooks of one category that
    ask for the same changes to the same named target are merged into the one that leads: it names the others'
    patterns and keeps its own numbers,
    so that its evidence can still be recounted.

    Args:
        patterns: Columns of failure_patterns, one row a pattern, all of one day.
        remedies: Rules in the order they are tried (see `override`).
        day: The partition.
        settings: Thresholds of the gate.
        previous: Rows of playbooks of earlier days (`event_date` < `day`; others are ignored): they give
            `created_at` and `version`.

    Returns:
        Playbooks with `held_because` filled in from the rules of `quality.violations` that need nothing but
        the playbook.
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
        "class": facts.failure_class.replace("_", " "),
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
    found = held_by(drafts, settings)
    return [
        draft.model_copy(
            update={"held_because": tuple(str(problem) for problem in found.get(draft.improvement_id, ()))}
        )
        for draft in drafts
    ]


def _merge(drafts: Sequence[Playbook], first_seen: Mapping[str, datetime]) -> list[Playbook]:
    """Join playbooks that ask for the same.

    Without a named target nobody can say that it is the same, so those stay apart.
    """
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
        # What may be acted on leads, then the pattern that is known longest: the leader's id, and with it the
        # history, changes only when the
        # gate's answer does. The playbook's own age would not do: it depends on which days have been
        # materialised.
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
    """Read first day, last version and last content of each playbook from rows of earlier days."""
    found: dict[str, _Earlier] = {}
    for then, row in _in_order(rows):
        if then < day:
            found[row["improvement_id"]] = _next(found.get(row["improvement_id"]), then, row)
    return found


def renumber(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stored playbooks whose `created_at` or `version` no longer follows from the days before, corrected.

    A day that is materialised after a later one makes the later one's history longer; with this, the table is
    the same whatever the order.

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
