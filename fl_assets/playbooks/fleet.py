"""Changes that the fleet's own calls suggest, from cures and contrasts.

What goes here: which finding makes which change. What does not: the sentences (`fleet_answers.yaml`), whether
a finding holds (`patterns/cures.py`, `patterns/contrasts.py`).

Names of tools, arguments and attributes come from telemetry, so each passes `safe_name`, or its finding makes
no change. A value is used only where it is a number, a shape, or a plain name that several nodes have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fl_assets.core.data import read_data
from fl_assets.core.models import PRIOR_REDUCTION, Category, Helps, Readiness
from fl_assets.playbooks.facts import TRANSIENT, Facts, safe_name
from fl_assets.playbooks.wording import TYPE_WORDS, fields_of, is_flag, named, shown_value, tools_of

_ANSWERS: dict[str, dict[str, Any]] = read_data(Path(__file__).with_name("fleet_answers.yaml"))
_NOT_A_TOOL = frozenset(
    {"think", "plan", "reflect", "respond", "reply", "finish", "final_answer", "submit", "calculate"}
)
SETTING = "fleet-setting"
"""A setting under which the calls of some nodes work."""
MOST = 0.5
"""Share of the failures from which a measured setting is their cause."""
MAX_ANSWERS = 2
MIN_LOOPED = 3
"""Sessions that repeat the identical failing call before a stop is proposed."""
_AS = {kind: kind for kind in TYPE_WORDS.values()} | {
    "number": "a number",
    "list": "a list",
    "object": "an object",
}


@dataclass(frozen=True)
class Answer:
    """One change that a playbook may propose."""

    remedy_id: str
    category: Category
    title: str
    description: str
    changes: dict[str, str]
    readiness: Readiness = "ready"
    reason: str = ""
    reduction: float = PRIOR_REDUCTION
    """Share of the failures that it prevents when it helps, measured where possible."""
    is_measured: bool = False
    """Whether its description says what the sessions that failed had done."""


@dataclass(frozen=True)
class FleetKnowledge:
    """The day's rows of the tables of advice, and outcomes by remedy."""

    consequences: Sequence[Mapping[str, Any]] = ()
    contrasts: Sequence[Mapping[str, Any]] = ()
    cures: Sequence[Mapping[str, Any]] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    helps: Mapping[str, Helps] = field(default_factory=dict)

    def of(self, family_id: str) -> "FleetKnowledge":
        """Return what is known of one family."""
        parts = (
            [row for row in rows if row["family_id"] == family_id]
            for rows in (self.consequences, self.contrasts, self.cures, self.examples)
        )
        return FleetKnowledge(*parts, self.helps)


def is_thought(name: str) -> bool:
    """Whether a method is the agent thinking or answering, not a tool."""
    return name.lower() in _NOT_A_TOOL


def fleet_answers(
    facts: Facts, contrasts: Sequence[Mapping[str, Any]], cures: Sequence[Mapping[str, Any]]
) -> list[Answer]:
    """Return the changes that the fleet's own calls suggest, the strongest first."""
    found = [
        replace(answer, reduction=_reduction(row))
        for row in cures
        if (answer := _from_cure(facts, row)) is not None
    ]
    found += [
        replace(answer, reduction=_share_explained(row))
        for row in contrasts
        if (answer := _from_contrast(facts, row)) is not None
    ]
    first: dict[str, Answer] = {}
    for answer in found:
        first.setdefault(answer.remedy_id, answer)
    return list(first.values())[:MAX_ANSWERS]


def loop_answers(facts: Facts) -> list[Answer]:
    """Return the stop for sessions that send the identical failing call again and again, if any is due."""
    if facts.looped < MIN_LOOPED or facts.failure_class in TRANSIENT or not facts.is_agent:
        return []
    changes = {"stop_after_identical_failures": "2", "then": "change_the_call_or_tell_the_user"}
    return [_answer("loop", fields_of(facts) | {"looped": f"{facts.looped:,}"}, changes)]


def _reduction(cure: Mapping[str, Any]) -> float:
    """Return the share of the failures that a cure prevents, taking association for cause."""
    if cure["source"] not in ("first", "setting"):
        return _share(cure["help_rate"] - cure["base_rate"])
    failed_without = cure["tried_without"] - cure["helped_without"]
    ratio = (1 - cure["help_rate"]) / max(1e-9, 1 - cure["base_rate"])
    return _share(failed_without / max(1.0, cure["sessions"]) * (1 - ratio))


def _share_explained(contrast: Mapping[str, Any]) -> float:
    """Return the share of failures that calls would avoid by failing as rarely as those without the trait."""
    ratio = contrast["rate_without"] / max(1e-9, contrast["rate_with"])
    return _share(contrast["failed_with"] / max(1.0, contrast["failed"]) * (1 - ratio))


def _share(value: float) -> float:
    return float(min(0.95, max(0.05, value)))


def _from_cure(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    source, raw = row["source"], str(row["name"])
    if row["subject"] in ("wait", "same"):
        return _from_second_attempt(facts, row) if facts.failure_class in TRANSIENT else None
    if not (safe_name(raw, "") or is_flag(raw)):
        return None
    if source == "setting":
        return _from_setting(facts, row)
    if source == "retry":
        return _from_retry(facts, row)
    if facts.is_own_work or is_thought(raw) or facts.is_command:
        return None
    if source == "first":
        return _answer(source, _names(facts, raw))
    others = replace(facts, methods=tuple(one for one in facts.methods if one != raw))
    return _answer(source, _names(others, raw)) if others.methods else None


def _from_second_attempt(facts: Facts, row: Mapping[str, Any]) -> Answer:
    """Suggest repeating the same call, at once or after a wait."""
    if row["subject"] == "same":
        changes = {"max_retries": "1", "retry_backoff": "exponential_with_jitter"}
        return _answer("again", fields_of(facts), changes)
    seconds = str(row["name"])
    changes = {"retry_after_ms": str(int(float(seconds) * 1000)), "max_retries": "1"}
    return _answer("wait", fields_of(facts) | {"seconds": seconds}, changes)


def _from_setting(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the value of a setting that nodes differ in."""
    raw, own = str(row["name"]), str(row["value"])
    if not safe_name(own, ""):
        return None
    names = _names(facts, raw, value=shown_value({"kind": "attribute", "value": own}))
    if row["change"] == "set to":
        return _answer("setting to take over", names, {raw: own})
    return _answer("setting to leave", names, {f"not_{raw}": own})


def _from_retry(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the difference between a failed attempt and the one that then worked."""
    subject, raw = row["subject"], str(row["name"])
    found = f"{subject} {row['change']}"
    value = shown_value({"kind": subject, "value": row["value"]})
    value = _AS.get(value, value) if subject == "type" else value
    may_be_said = {
        "format changed to": value.startswith("`"),
        "value changed to": bool(safe_name(str(row["value"]), "")),
        "call in between": not facts.is_own_work and not is_thought(raw),
    }
    if found not in _ANSWERS["retry"] or not may_be_said.get(found, True):
        return None
    why = "Second attempts at {method} succeed with this difference."
    return _prompt("retry", found, f"fleet-retry-{subject}", why, _names(facts, raw, value=value))


def _from_contrast(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the opposite of what the failing calls have in common."""
    kind, raw = row["kind"], str(row["name"])
    if not (safe_name(raw, "") or is_flag(raw)) or facts.is_own_work or raw == "command":
        return None
    found, value, usual = f"{kind} {row['relation']}", shown_value(row), ""
    if kind == "type":
        usual = TYPE_WORDS.get(str(row["better_value"]), value)
        if usual != value:
            is_name = (usual, value) == ("number", "text")
            found = "text for a number" if is_name else "type is unusual"
            usual, value = _AS[usual], _AS.get(value, value)
    if kind == "format" and row["better_value"]:
        usual = shown_value({"kind": kind, "value": row["better_value"]})
        found = "format is unusual" if usual.startswith("`") else found
    may_be_said = {
        "type": str(row["value"]) in TYPE_WORDS,
        "format": value.startswith("`"),
        "value": bool(safe_name(str(row["value"]), "")),
    }
    if found not in _ANSWERS["contrast"] or not may_be_said.get(kind, True):
        return None
    why = "Calls of {method} fail with one difference to those that succeed."
    return _prompt("contrast", found, f"fleet-{kind}", why, _names(facts, raw, value=value, usual=usual))


def _names(facts: Facts, raw: str, **more: str) -> dict[str, str]:
    return fields_of(facts) | {"name": named(raw), "tools": tools_of(facts)} | more


def _answer(found: str, names: Mapping[str, str], changes: dict[str, str] | None = None) -> Answer:
    """Return a change of `fleet_answers.yaml`; without `changes` it is a paragraph of a prompt."""
    said = _ANSWERS[found]
    title, description = said["title"].format_map(names), said["description"].format_map(names)
    changes = changes or {"add_to_prompt": said["prompt"].format_map(names)}
    return Answer(said["id"], said.get("category", "prompt"), title, description, changes)


def _prompt(part: str, found: str, remedy_id: str, why: str, names: Mapping[str, str]) -> Answer:
    """Return the paragraph for a difference of calls, from a part of `fleet_answers.yaml`."""
    said = _ANSWERS[part][found]
    title = f"Have {names['service']} {said['title'].format_map(names)}"
    changes = {"add_to_prompt": said["prompt"].format_map(names)}
    return Answer(remedy_id, "prompt", title, why.format_map(names), changes)
