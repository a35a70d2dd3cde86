"""Changes that the fleet's own calls suggest, from cures and contrasts.

What goes here: which finding makes which change, from a closed set of sentences. What does not: whether a
finding holds (`patterns/cures.py`, `patterns/contrasts.py`).

Names of tools, arguments and attributes come from telemetry, so each passes `safe_name`, or its finding makes
no change. A value is used only where it is a number, a shape, or a plain name that several nodes have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fl_assets.core.advice import PRIOR_REDUCTION, Helps, Readiness
from fl_assets.core.models import Category
from fl_assets.playbooks.facts import TRANSIENT, Facts, safe_name
from fl_assets.playbooks.wording import TYPE_WORDS, fields_of, is_flag, named, shown_value, tools_of

_NOT_A_TOOL = frozenset(
    {"think", "plan", "reflect", "respond", "reply", "finish", "final_answer", "submit", "calculate"}
)
SETTING = "fleet-setting"
"""A setting under which the calls of some nodes work."""
MOST = 0.5
"""Share of the failures from which a measured setting is their cause."""
_OWN_WORK = frozenset({"own-script", "own-syntax", "one-action", "no-action", "test-run", "tests-failed",
    "not-set-up", "missing-module"})  # fmt: skip
"""Rules about code that the agent wrote: what it calls next is work on the cause, not an alternative."""
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
    fields = fields_of(facts)
    return [
        Answer(
            "fleet-loop",
            "workflow",
            f"Stop {fields['service']} when it sends the identical call of {fields['method']} again",
            f"{facts.looped:,} sessions sent the identical call three times or more, and it never worked.",
            {"stop_after_identical_failures": "2", "then": "change_the_call_or_tell_the_user"},
        )
    ]


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
    if source == "instead":
        return _from_another_call(facts, raw)
    if source == "first":
        if facts.rule_id in _OWN_WORK or is_thought(raw) or facts.is_command:
            return None
        fields, name = fields_of(facts), named(raw)
        method, service = fields["method"], fields["service"]
        return _prompt(
            "fleet-first",
            f"Have {service} call {name} before {method}",
            f"{method} succeeds in sessions that called {name} before, and fails in those that did not.",
            f"Before you call {tools_of(facts)}, call {name} in the same conversation, and use what it "
            "returns.",
        )
    return _from_setting(facts, row) if source == "setting" else _from_retry(facts, row)


def _from_second_attempt(facts: Facts, row: Mapping[str, Any]) -> Answer:
    """Suggest repeating the same call, at once or after a wait."""
    fields, seconds = fields_of(facts), str(row["name"])
    method, service = fields["method"], fields["service"]
    if row["subject"] == "wait":
        return _config(
            "fleet-wait",
            f"Wait {seconds} s before {service} tries {method} again",
            f"A second attempt at {method} succeeds once {seconds} s have passed.",
            {"retry_after_ms": str(int(float(seconds) * 1000)), "max_retries": "1"},
        )
    return _config(
        "fleet-retry",
        f"Retry {method} in {service} once",
        f"The same call of {method} once more mostly succeeds.",
        {"max_retries": "1", "retry_backoff": "exponential_with_jitter"},
    )


def _from_another_call(facts: Facts, raw: str) -> Answer | None:
    """Suggest the call that sessions went on with after the failure."""
    if facts.rule_id in _OWN_WORK or is_thought(raw) or facts.is_command:
        return None
    others = replace(facts, methods=tuple(one for one in facts.methods if one != raw))
    if not others.methods:
        return None
    service, failing, name = fields_of(facts)["service"], fields_of(others)["method"], named(raw)
    return _prompt(
        "fleet-instead",
        f"Have {service} go on with {name} when {failing} fails",
        f"Sessions that recovered went on with {name} after {failing} failed.",
        f"When {tools_of(others)} fails, do not repeat it: call {name} next, with what you know of the "
        "same thing.",
    )


def _from_setting(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the value of a setting that nodes differ in."""
    raw, own = str(row["name"]), str(row["value"])
    if not safe_name(own, ""):
        return None
    fields, name = fields_of(facts), named(raw)
    method, service = fields["method"], fields["service"]
    value = shown_value({"kind": "attribute", "value": row["value"]})
    if row["change"] == "set to":
        return _config(
            SETTING,
            f"Set {name} to {value} for {service}",
            f"{method} works where {name} is {value}; nodes that have another value can take it over.",
            {raw: own},
        )
    return _config(
        SETTING,
        f"Leave {name} {value} in {service}",
        f"{method} fails where {name} is {value}; take any other value.",
        {f"not_{raw}": own},
    )


def _from_retry(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the difference between a failed attempt and the one that then worked."""
    subject, change, name = row["subject"], row["change"], named(str(row["name"]))
    fields = fields_of(facts)
    method, service, tools = fields["method"], fields["service"], tools_of(facts)
    value = shown_value({"kind": subject, "value": row["value"]})
    said = {
        ("argument", "added"): (f"pass {name} to {method}", f"Always pass {name} when you call {tools}."),
        ("argument", "dropped"): (
            f"call {method} without {name}",
            f"Call {tools} without the argument {name}.",
        ),
        ("flag", "added"): (f"call {method} with {name}", f"Call {tools} with {name}."),
        ("flag", "dropped"): (f"call {method} without {name}", f"Call {tools} without {name}."),
        ("type", "changed to"): (
            f"pass {name} as {value} to {method}",
            f"Pass {name} to {tools} as {value}.",
        ),
        ("number", "lower"): (
            f"pass a lower {name} to {method}",
            f"Keep {name} low when you call {tools}; halve it when the call is refused.",
        ),
        ("number", "higher"): (f"pass a higher {name} to {method}", f"Raise {name} when {tools} refuses it."),
        ("items", "lower"): (
            f"pass fewer {name} to {method}",
            f"Pass few entries in {name} to {tools}; split the work over several calls.",
        ),
        ("items", "higher"): (
            f"pass more {name} to {method}",
            f"Pass every entry that belongs in {name} to {tools} at once.",
        ),
    }
    if subject == "format" and change == "changed to" and value.startswith("`"):
        said[subject, change] = (
            f"write {name} in the form {value}",
            f"Write {name} in the form {value} (A: capital letters, a: small letters, 9: digits) when you "
            f"call {tools}.",
        )
    if subject == "value" and change == "changed to" and safe_name(str(row["value"]), ""):
        said[subject, change] = (
            f"pass {value} as {name} to {method}",
            f"Pass {value} as {name} when you call {tools}.",
        )
    is_tool = facts.rule_id not in _OWN_WORK and not is_thought(str(row["name"]))
    if (subject, change) == ("call", "in between") and is_tool:
        said[subject, change] = (
            f"call {name} before it tries {method} again",
            f"When {tools} fails, call {name} first, use what it returns, and then call {tools} once more.",
        )
    if (subject, change) not in said:
        return None
    what, paragraph = said[subject, change]
    return _prompt(
        f"fleet-retry-{subject}",
        f"Have {service} {what}",
        f"Second attempts at {method} succeed with this difference.",
        paragraph,
    )


def _from_contrast(facts: Facts, row: Mapping[str, Any]) -> Answer | None:
    """Suggest the opposite of what the failing calls have in common."""
    kind, relation, raw = row["kind"], row["relation"], str(row["name"])
    if not (safe_name(raw, "") or is_flag(raw)) or facts.rule_id in _OWN_WORK:
        return None
    name, value = named(raw), shown_value(row)
    fields = fields_of(facts)
    method, service, tools = fields["method"], fields["service"], tools_of(facts)
    said = {
        ("number", "above"): (
            f"keep {name} at {value} or below",
            f"Keep {name} at {value} or below when you call {tools}; for more, call it several times.",
        ),
        ("number", "up to"): (
            f"keep {name} above {value}",
            f"Keep {name} above {value} when you call {tools}.",
        ),
        ("items", "above"): (
            f"pass at most {value} {name} at once",
            f"Pass at most {value} entries in {name} to {tools}; for more, call it several times.",
        ),
        ("items", "up to"): (
            f"pass more than {value} {name}",
            f"Pass more than {value} entries in {name} to {tools}.",
        ),
        ("argument", "missing"): (f"pass {name} to {method}", f"Always pass {name} when you call {tools}."),
        ("argument", "given"): (
            f"call {method} without {name}",
            f"Call {tools} without the argument {name}.",
        ),
        ("length", "above"): (
            f"keep {name} within {value} characters",
            f"Keep {name} within {value} characters when you call {tools}.",
        ),
    }
    if kind == "type" and str(row["value"]) in TYPE_WORDS:
        usual = TYPE_WORDS.get(str(row["better_value"]), value)
        said[kind, relation] = (
            (
                f"not pass {name} as {value}",
                f"Do not pass {name} to {tools} as {value}; use the type that its description names.",
            )
            if usual == value
            else (
                f"pass {name} as {_AS[usual]} to {method}",
                f"Pass {name} to {tools} as {_AS[usual]}, never as {_AS[value]}.",
            )
        )
    if kind == "format" and value.startswith("`"):
        usual = shown_value({"kind": kind, "value": row["better_value"]})
        letters = "(A: capital letters, a: small letters, 9: digits)"
        said[kind, relation] = (
            (
                f"write {name} in the form {usual}",
                f"Write {name} in the form {usual} and not {value} {letters} when you call {tools}.",
            )
            if usual.startswith("`") and row["better_value"]
            else (
                f"not write {name} in the form {value}",
                f"Do not write {name} in the form {value} {letters} when you call {tools}.",
            )
        )
    if kind == "value" and safe_name(str(row["value"]), ""):
        said[kind, relation] = (
            f"not pass {value} as {name}",
            f"Do not pass {value} as {name} when you call {tools}.",
        )
    if (kind, relation) not in said or raw == "command":
        return None
    what, paragraph = said[kind, relation]
    return _prompt(
        f"fleet-{kind}",
        f"Have {service} {what}",
        f"Calls of {method} fail with one difference to those that succeed.",
        paragraph,
    )


def _prompt(remedy_id: str, title: str, description: str, paragraph: str) -> Answer:
    return Answer(remedy_id, "prompt", title, description, {"add_to_prompt": paragraph})


def _config(remedy_id: str, title: str, description: str, changes: dict[str, str]) -> Answer:
    return Answer(remedy_id, "config", title, description, changes)
