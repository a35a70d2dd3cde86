"""From the day's families of failures to playbooks: one each, with alternatives inside.

What goes here: `propose`, and how playbooks keep their history. What does not: the rules (`remedies.py`),
what the fleet found (`fleet.py`), sentences (`wording.py`), the rules that hold a playbook back (`rules.py`),
carrying a change out (`updates/`).

A change is built from templates, enumerated words, numbers, and names that pass `safe_name`. No message,
query or response is read here; examples stand beside the change, as data.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

import pandas as pd

from fl_assets.core.advice import Advice, Alternative, Benefit, Contrast, Cure, Denominators, Example, Helps
from fl_assets.core.models import Playbook, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import residue
from fl_assets.playbooks.facts import Facts, safe_name
from fl_assets.playbooks.fleet import TRANSIENT, Answer, FleetKnowledge, fleet_answers, is_thought
from fl_assets.playbooks.remedies import Remedy
from fl_assets.playbooks.rules import held_by
from fl_assets.playbooks.wording import (
    consequence_of,
    contrast_text,
    cure_text,
    evidence,
    fields_of,
    headline,
    is_flag,
    named,
    shown_value,
)

Row = Mapping[str, Any]


NOTHING_KNOWN = FleetKnowledge()


def propose(
    families: pd.DataFrame,
    remedies: Sequence[Remedy],
    *,
    day: date,
    settings: FederatedLearningConfig,
    previous: Sequence[Row] = (),
    known: FleetKnowledge = NOTHING_KNOWN,
    retired: Collection[tuple[str, str]] = (),
) -> list[Playbook]:
    """Return the day's playbooks: those that may be acted on first, by what they should bring.

    For each family that is neither resolved nor harmless, the first answer makes the playbook and the others
    are its alternatives. What the fleet itself found comes before remedies by class; what cannot be acted on
    yet comes last.

    Args:
        families: Columns of failure_families (or of failure_patterns, each its own family), all of one day.
        remedies: Rules in the order they are tried (see `override`).
        day: The partition.
        settings: Thresholds of the gate, and what is set up.
        previous: Rows of playbooks of earlier days (`event_date` < `day`; others are ignored): they give
            `created_at` and `version`.
        known: What the fleet knows of its failures.
        retired: Pattern and remedy that failed twice; the next answer takes its place.

    Returns:
        Playbooks with `held_because` filled in from the rules of `quality.violations` that need nothing but
        the playbook.
    """
    if families.empty:
        return []
    history = _history(previous, day)
    drafts = []
    first_seen: dict[str, datetime] = {}
    for row in families.sort_values("pattern_id").to_dict("records"):
        mine = known.of(str(row.get("family_id") or row["pattern_id"]))
        is_command = any(json.loads(one["arguments"] or "{}") == {"command": "text"} for one in mine.examples)
        facts = Facts.of(row, mine.consequences[0] if mine.consequences else None, is_command=is_command)
        if facts.state == "resolved" or facts.is_harmless:
            continue
        answers = [
            one
            for one in _answers(facts, mine, remedies, settings)
            if (facts.pattern_id, one.remedy_id) not in retired
        ]
        if answers:
            first_seen[facts.pattern_id] = row["first_seen"]
            drafts.append(_playbook(facts, answers, mine, row, day, settings, history))
    return sorted(_merged(_held(drafts, settings), first_seen), key=lambda one: one.rank)


def improvement_id(pattern_id: str, remedy_id: str) -> str:
    """Return the stable id of what a remedy answers to a pattern: 16 hex digits."""
    return hashlib.sha256(f"{pattern_id}\n{remedy_id}".encode()).hexdigest()[:16]


def _answers(
    facts: Facts, mine: FleetKnowledge, remedies: Sequence[Remedy], settings: FederatedLearningConfig
) -> list[Answer]:
    """Return what can be done, best first: of remedies, the first of each category that applies."""
    fields = fields_of(facts)
    found: dict[str, Answer] = {}
    for fallback in (False, True):
        if found:
            break
        for remedy in remedies:
            if remedy.fallback is not fallback or remedy.category in found or not remedy.when.hold(facts):
                continue
            changes = {change.key: change.computed(facts, fields) for change in remedy.changes}
            if None in changes.values():  # a rule whose numbers are not all known has no answer
                continue
            texts = fields | {key: str(value) for key, value in changes.items()}
            readiness, reason = _readiness(remedy, mine, settings)
            found[remedy.category] = Answer(
                remedy.id,
                remedy.category,
                remedy.title.format_map(texts),
                remedy.description.format_map(texts),
                {key: str(value) for key, value in changes.items()},
                readiness,
                reason,
            )
    by_class = list(found.values())
    answers = [*fleet_answers(facts, mine.contrasts, mine.cures), *by_class]
    # What names the failure exactly, or repeats what its errors state, is better than what was measured.
    if by_class and _is_specific(by_class[0], remedies):
        answers = [by_class[0], *(one for one in answers if one is not by_class[0])]
    # An adapter that can be had is the machine's to try, so it goes first.
    return sorted(answers, key=lambda one: (one.readiness != "ready", one.category != "adapter"))


def _is_specific(answer: Answer, remedies: Sequence[Remedy]) -> bool:
    return any(
        remedy.id == answer.remedy_id
        and (remedy.when.rule or remedy.when.stated_limit or remedy.when.stated_wait)
        for remedy in remedies
    )


def _readiness(remedy: Remedy, mine: FleetKnowledge, settings: FederatedLearningConfig) -> tuple[Any, str]:
    if remedy.category == "adapter" and not (settings.adapter_repos or settings.adapter_url):
        return (
            "needs_setup",
            "No source of adapters is set: FEDERATED_LEARNING_ADAPTER_REPOS or "
            "FEDERATED_LEARNING_ADAPTER_URL.",
        )
    if remedy.needs_a_look:
        looked = (
            "arguments, attributes, order of calls and second attempts"
            if mine.consequences
            else "its counts alone"
        )
        return "needs_a_look", f"No cure was found; looked at were {looked}."
    return "ready", ""


def _playbook(
    facts: Facts,
    answers: Sequence[Answer],
    mine: FleetKnowledge,
    row: Row,
    day: date,
    settings: FederatedLearningConfig,
    history: Mapping[str, "_Earlier"],
) -> Playbook:
    main = answers[0]
    identity = improvement_id(facts.pattern_id, main.remedy_id)
    # An adapter serves a whole service, whatever the method that showed the need.
    target = facts.target.partition(":")[0] if main.category == "adapter" else facts.target
    node = _incident_node(facts, mine)
    title = f"{main.title}, on node {named(node)} only" if node else main.title
    advice = _advice(facts, answers, mine, row, settings, node)
    consequence = advice.consequence.text if advice.consequence else ""
    why = f" What is different: {advice.contrasts[0].text}" if advice.contrasts else ""
    worked = f" What worked: {advice.cures[0].text}" if advice.cures else ""
    earlier = history.get(identity)
    content = _content(main.category, title, target, main.changes)
    return Playbook(
        improvement_id=identity,
        category=main.category,
        description=f"{advice.headline} {consequence} {main.description}{why}{worked} {evidence(facts)}",
        confidence=facts.confidence,
        corroboration=facts.corroboration,
        suggested_changes=main.changes,
        evidence_count=facts.failures,
        created_at=earlier.created_at
        if earlier
        else datetime.combine(day + timedelta(days=1), time.min, UTC),
        day=day,
        pattern_id=facts.pattern_id,
        remedy_id=main.remedy_id,
        failure_class=facts.failure_class,
        state=facts.state,
        title=title,
        target=target,
        merged_patterns=tuple(name for name in facts.patterns if name != facts.pattern_id),
        nodes_affected=facts.nodes_affected,
        nodes_reporting=facts.nodes_reporting,
        failure_rate=facts.failure_rate,
        is_significant=facts.is_significant,
        version=1 if earlier is None else earlier.version + (earlier.content != content),
        advice=advice,
    )


def _incident_node(facts: Facts, mine: FleetKnowledge) -> str:
    """Return the node, when nearly all of it is one node's and others could have it too."""
    if facts.nodes_reporting < 2:
        return ""
    names = list(mine.consequences[0].get("node_ids") or ()) if mine.consequences else []
    own = [row["value"] for row in mine.contrasts if row["kind"] == "node"]
    node = names[0] if facts.nodes_affected == 1 and names else own[0] if own else ""
    return node if safe_name(node, "") else ""


def _advice(
    facts: Facts,
    answers: Sequence[Answer],
    mine: FleetKnowledge,
    row: Row,
    settings: FederatedLearningConfig,
    node: str,
) -> Advice:
    main = answers[0]
    known = mine.consequences[0] if mine.consequences else {}
    nodes = [str(name) for name in known.get("node_ids") or ()]
    helps = mine.helps.get(main.remedy_id, Helps())
    per_day = facts.failures / facts.window_days
    since = row.get("first_seen")
    machine = main.category in ("config", "adapter")
    return Advice(
        family_id=facts.family_id,
        headline=headline(
            facts, nodes, f"{since:%Y-%m-%d}" if since is not None and since == since else "the first day"
        ),
        readiness=main.readiness,
        readiness_reason=main.reason,
        incident_node=node,
        nodes=tuple(name for name in nodes if safe_name(name, "")),
        denominators=Denominators(
            calls=facts.calls,
            sessions=facts.sessions,
            window_days=facts.window_days,
            nodes_reporting=facts.nodes_reporting,
            nodes_expected=facts.nodes_expected,
        ),
        consequence=consequence_of(known, facts),
        contrasts=tuple(
            Contrast(
                text=contrast_text(one),
                **{name: one[name] for name in Contrast.model_fields if name != "text"} | _shown(one),
            )
            for one in mine.contrasts
        ),
        cures=tuple(
            Cure(
                text=cure_text(one),
                **{name: one[name] for name in Cure.model_fields if name != "text"} | _shown(one, "subject"),
            )
            for one in mine.cures
            # That an agent's own work succeeds when it is run again says nothing; that a busy service does,
            # much.
            if (one["subject"] != "same" or facts.failure_class in TRANSIENT) and not is_thought(one["name"])
        ),
        alternatives=tuple(
            Alternative(
                remedy_id=one.remedy_id,
                category=one.category,
                title=one.title,
                readiness=one.readiness,
                suggested_changes=one.changes,
            )
            for one in answers[1:]
        ),
        examples=tuple(_example(one, settings.trace_url) for one in mine.examples),
        helps=helps,
        benefit=Benefit(
            failures_per_day=per_day,
            persists=facts.confidence,
            helps=helps.expected,
            reduction=main.reduction,
            avoided_per_day=per_day * facts.confidence * helps.expected * main.reduction,
        ),
        judged_by=(
            "Nodes that take it first are compared with nodes that do not, over the same days, by the "
            "failures that users are left with."
            if machine
            else (
                "Compare this pattern's rate on the nodes that took the change with the others, over "
                "the same days."
            )
        ),
        undone_by="The previous value is kept and set back when the trial is worse."
        if machine
        else "Remove the paragraph or step again.",
    )


def _shown(row: Row, kind: str = "kind") -> dict[str, Any]:
    """Return a finding's name and value as they may be shown: what is no plain name is left out."""
    name = str(row["name"])
    is_ours = row[kind] in ("command", "wait", "same")
    value = shown_value({"kind": row[kind], "value": row["value"]})
    is_hidden = value in ("a number", "another form", "another type", "a value that is not shown")
    return {
        "name": name if (is_ours and len(name) <= 20) or safe_name(name, "") or is_flag(name) else "",
        "value": "" if is_hidden or not row["value"] else value.strip("`"),
    }


def _example(row: Row, trace_url: str) -> Example:
    trace = str(row["trace_id"])
    message = str(row["message"])
    return Example(
        succeeded=bool(row["succeeded"]),
        message="" if residue(message) else message,
        service=str(row["service"]),
        method=str(row["method"]),
        arguments=json.loads(row["arguments"] or "{}"),
        node=str(row["node_id"]),
        time=row["timestamp"],
        trace_id=trace,
        link=trace_url.replace("{trace_id}", quote(trace, safe="")) if trace_url else "",
    )


def _held(drafts: Sequence[Playbook], settings: FederatedLearningConfig) -> list[Playbook]:
    found = held_by(drafts, settings)
    for draft in drafts:
        if draft.advice.readiness != "ready":
            problem = Violation(
                rule="is_ready",
                subject=draft.improvement_id,
                expected="a change that can be made now",
                actual=draft.advice.readiness_reason.rstrip(".").replace("No cure", "no cure"),
            )
            found.setdefault(draft.improvement_id, []).append(problem)
    return [
        draft.model_copy(
            update={"held_because": tuple(str(problem) for problem in found.get(draft.improvement_id, ()))}
        )
        for draft in drafts
    ]


def _merged(drafts: Sequence[Playbook], first_seen: Mapping[str, datetime]) -> list[Playbook]:
    """Join playbooks that ask for the same change.

    Without a named target nobody can say that it is the same, so those stay apart.

    Evidence is that of all their patterns together. What may be acted on leads, then what is known longest:
    the leader's id, and with it the history, changes only when the gate's answer does.
    """
    groups: dict[str, list[Playbook]] = {}
    for draft in drafts:
        same = _content(draft.category, draft.title, draft.target, draft.suggested_changes)
        groups.setdefault(same if draft.target else draft.improvement_id, []).append(draft)
    merged = []
    for group in groups.values():
        leader, *others = sorted(
            group, key=lambda one: (bool(one.held_because), first_seen[one.pattern_id], one.improvement_id)
        )
        if others:
            more = {name for one in others for name in (one.pattern_id, *one.merged_patterns)}
            names = sorted(more | set(leader.merged_patterns))
            word = "pattern" if len(more) == 1 else "patterns"
            leader = leader.model_copy(
                update={
                    "description": f"{leader.description} The same change answers {len(more)} more "
                    f"{word}: {', '.join(sorted(more))}.",
                    "merged_patterns": tuple(names),
                    "evidence_count": sum(one.evidence_count for one in group),
                }
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
    """Return stored playbooks with `created_at` and `version` corrected.

    Only those where they no longer follow from the days before.

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
