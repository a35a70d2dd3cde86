"""From the day's families of failures to playbooks, one each, with alternatives.

What goes here: `propose`. What does not: remedies (`remedies.py`), changes that the fleet found (`fleet.py`),
advice (`advise.py`), versions (`versions.py`), sentences (`wording.py`), the gate (`rules.py`), carrying a
change out (`updates/`).

A change is built from templates, enumerated words, numbers, and names that pass `safe_name`. No message,
query or response is read here; examples are data beside the change.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd

from fl_assets.core.models import PRIOR_REDUCTION, Advice, Playbook, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.playbooks.advise import advice_of, incident_node_of
from fl_assets.playbooks.facts import Facts
from fl_assets.playbooks.fleet import MOST, SETTING, Answer, FleetKnowledge, fleet_answers, loop_answers
from fl_assets.playbooks.remedies import Remedy
from fl_assets.playbooks.rules import held_by
from fl_assets.playbooks.versions import Earlier, content_of, following, history_of
from fl_assets.playbooks.wording import ANY_METHOD, evidence, fields_of, named, reading_text, tools_of

Row = Mapping[str, Any]
NOTHING_KNOWN = FleetKnowledge()
STANDARD = "No cause was found in your data: this is what usually helps."
NEEDS_AGENT = frozenset({"prompt", "adapter"})
"""Categories of changes that only an agent can take."""


def propose(
    families: pd.DataFrame,
    remedies: Sequence[Remedy],
    *,
    day: date,
    settings: FederatedLearningConfig,
    previous: Sequence[Row] = (),
    known: FleetKnowledge = NOTHING_KNOWN,
) -> list[Playbook]:
    """Return the day's playbooks: actionable ones first, then by expected benefit.

    Each family that is neither resolved nor harmless gets one: its first answer, with the others as
    alternatives. What the fleet itself found comes before remedies by class; what cannot be acted on yet
    comes last.

    Args:
        families: Columns of failure_families (or of failure_patterns, each its own family), all of one day.
        remedies: Rules in the order they are tried (see `override`).
        day: The partition.
        settings: Thresholds of the gate, and what is set up.
        previous: Rows of playbooks of earlier days (`event_date` < `day`; others are ignored): they give
            `created_at` and `version`.
        known: What the fleet knows of its failures.

    Returns:
        Playbooks with `held_because` filled in by the rules of the gate that need nothing but the playbook.
    """
    if families.empty:
        return []
    history = history_of(previous, day)
    drafts = []
    first_seen: dict[str, datetime] = {}
    for row in families.sort_values("pattern_id").to_dict("records"):
        mine = known.of(str(row.get("family_id") or row["pattern_id"]))
        is_command = any(_is_command(json.loads(one["arguments"] or "{}")) for one in mine.examples)
        facts = Facts.of(row, mine.consequences[0] if mine.consequences else None, is_command=is_command)
        if facts.state == "resolved" or facts.is_harmless:
            continue
        answers = _answers(facts, mine, remedies, settings)
        if answers:
            first_seen[facts.pattern_id] = row["first_seen"]
            advice = advice_of(facts, answers, mine, row, settings, incident_node_of(row, mine))
            if _is_standard(answers[0], advice, remedies):
                said = f"{advice.explanation} {STANDARD}"
                advice = advice.model_copy(update={"explanation": said})
            drafts.append(_playbook(facts, answers[0], advice, day, history))
    return sorted(_merged(_held(drafts, settings), first_seen), key=lambda one: one.rank)


def _is_command(arguments: Mapping[str, str]) -> bool:
    return set(arguments) == {"command"} and arguments["command"].startswith("text")


def improvement_id(pattern_id: str, remedy_id: str) -> str:
    """Return the stable id of a remedy's playbook for a pattern: 16 hex digits."""
    return hashlib.sha256(f"{pattern_id}\n{remedy_id}".encode()).hexdigest()[:16]


def _answers(
    facts: Facts, mine: FleetKnowledge, remedies: Sequence[Remedy], settings: FederatedLearningConfig
) -> list[Answer]:
    """Return possible changes, best first."""
    first, fallbacks = ([one for one in remedies if one.fallback is kind] for kind in (False, True))
    by_class = _of_remedies(facts, mine, first, settings) or _of_remedies(facts, mine, fallbacks, settings)
    measured = [
        one
        for one in fleet_answers(facts, mine.contrasts, mine.cures)
        if facts.is_agent or one.category not in NEEDS_AGENT
    ]
    answers = [*measured, *by_class, *loop_answers(facts)]
    # A remedy that names the failure exactly, or repeats what its errors state, comes before measured
    # changes; but a sentence for a prompt does not come before the setting that most of the failures have.
    is_set = bool(measured) and measured[0].remedy_id == SETTING and measured[0].reduction >= MOST
    if by_class and _is_specific(by_class[0], remedies) and not (is_set and by_class[0].category == "prompt"):
        answers = [by_class[0], *(one for one in answers if one is not by_class[0])]
    if any(one.readiness == "ready" for one in answers):  # looking at traces is no alternative
        answers = [one for one in answers if one.readiness != "needs_a_look"]
    # An available adapter can be tried by machine, so it goes first.
    return sorted(answers, key=lambda one: (one.readiness != "ready", one.category != "adapter"))


def _of_remedies(
    facts: Facts, mine: FleetKnowledge, remedies: Sequence[Remedy], settings: FederatedLearningConfig
) -> list[Answer]:
    """Return the first remedy of each category that applies."""
    fields = fields_of(facts)
    pasted = fields | {"method": tools_of(facts)}
    found: dict[str, Answer] = {}
    for remedy in remedies:
        if remedy.category in found or not remedy.when.hold(facts):
            continue
        if remedy.category in NEEDS_AGENT and not facts.is_agent:
            continue
        changes = {change.key: change.computed(facts, pasted) for change in remedy.changes}
        if None in changes.values():  # a formula lacks a number
            continue
        texts = fields | {key: str(value) for key, value in changes.items()}
        readiness, reason = _readiness(remedy, mine, settings)
        if readiness == "ready" and any(ANY_METHOD in str(value) for value in changes.values()):
            readiness, reason = "needs_a_look", "What is called has no name that may be shown."
        read = reading_text(facts, " ".join(map(str, changes.values())))
        found[remedy.category] = Answer(
            remedy_id=remedy.id,
            category=remedy.category,
            title=remedy.title.format_map(texts),
            description=" ".join(f"{remedy.description.format_map(texts)} {read}".split()),
            is_measured=bool(read),
            changes={key: str(value) for key, value in changes.items()},
            readiness=readiness,
            reason=reason,
            reduction=PRIOR_REDUCTION * remedy.reached(facts),
        )
    return list(found.values())


def _is_specific(answer: Answer, remedies: Sequence[Remedy], *, by_words: bool = False) -> bool:
    when = next((remedy.when for remedy in remedies if remedy.id == answer.remedy_id), None)
    is_by_words = when is not None and by_words and bool(when.says)
    return when is not None and bool(is_by_words or when.rule or when.stated_limit or when.stated_wait)


def _is_standard(answer: Answer, advice: Advice, remedies: Sequence[Remedy]) -> bool:
    """Whether a change follows from the class of the failure alone; nothing in the calls shows a cause."""
    is_by_class = any(one.id == answer.remedy_id for one in remedies)
    is_named = _is_specific(answer, remedies, by_words=True)
    is_shown = answer.is_measured or advice.contrasts or advice.cures or is_named
    return is_by_class and not is_shown and answer.readiness == "ready"


def _readiness(remedy: Remedy, mine: FleetKnowledge, settings: FederatedLearningConfig) -> tuple[Any, str]:
    if remedy.category == "adapter" and not (settings.adapter_repos or settings.adapter_url):
        names = "FEDERATED_LEARNING_ADAPTER_REPOS or FEDERATED_LEARNING_ADAPTER_URL"
        return "needs_setup", f"No source of adapters is set: {names}."
    if remedy.needs_a_look:
        everything = "arguments, attributes, order of calls and second attempts"
        looked = everything if mine.consequences else "its counts alone"
        return "needs_a_look", f"No cure was found; looked at were {looked}."
    return "ready", ""


def _playbook(
    facts: Facts, main: Answer, advice: Advice, day: date, history: Mapping[str, Earlier]
) -> Playbook:
    identity = improvement_id(facts.pattern_id, main.remedy_id)
    # An adapter serves a whole service, whatever the method that showed the need.
    target = facts.target.partition(":")[0] if main.category == "adapter" else facts.target
    node = named(advice.incident_node)
    where = f"on node {node} only" if facts.nodes_affected < 2 else f"mostly on node {node}"
    title = f"{main.title}, {where}" if advice.incident_node else main.title
    consequence = advice.consequence.text if advice.consequence else ""
    why = f" What is different: {advice.contrasts[0].text}" if advice.contrasts else ""
    worked = f" What worked: {advice.cures[0].text}" if advice.cures else ""
    content = content_of(main.category, title, target, main.changes)
    known = following(history.get(identity), day, content)
    return Playbook(
        improvement_id=identity,
        category=main.category,
        description=f"{advice.headline} {consequence} {advice.explanation}{why}{worked} {evidence(facts)}",
        confidence=facts.confidence,
        corroboration=facts.corroboration,
        suggested_changes=main.changes,
        evidence_count=facts.failures,
        created_at=known.created_at,
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
        version=known.version,
        advice=advice,
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
    reasons = {identity: tuple(map(str, problems)) for identity, problems in found.items()}
    return [one.model_copy(update={"held_because": reasons.get(one.improvement_id, ())}) for one in drafts]


def _merged(drafts: Sequence[Playbook], first_seen: Mapping[str, datetime]) -> list[Playbook]:
    """Join playbooks that ask for the same change of the same named target, and add up their evidence.

    The actionable one that is known longest leads, so that the id, and with it the history, changes only when
    the gate's verdict does.
    """
    groups: dict[str, list[Playbook]] = {}
    for draft in drafts:
        same = content_of(draft.category, draft.title, draft.target, draft.suggested_changes)
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
            listed = f"The same change answers {len(more)} more {word}: {', '.join(sorted(more))}."
            update = {
                "description": f"{leader.description} {listed}",
                "merged_patterns": tuple(names),
                "evidence_count": sum(one.evidence_count for one in group),
            }
            leader = leader.model_copy(update=update)
        merged.append(leader)
    return merged
