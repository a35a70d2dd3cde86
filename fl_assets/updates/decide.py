"""What is done with a playbook: the decision, the policy that allows a config key to change, and the checked change itself.

What goes here: `decide`, the records of the update policy, and `plan_changes`, which turns suggested changes into typed ones within bounds.
What does not: writing files (`updates/config_files.py`), installing adapters, and the rules of the gate (`quality.py`), whose violations come in.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fl_assets.core.models import Action, Decision, Mode, Playbook, Record, Violation

ApplyLevel = Literal["off", "stage", "canary", "on"]
ConfigFormat = Literal["toml", "yaml", "json"]
ConfigValue = bool | int | float | str

EXPORTED, WAITS = "exported for review", "waits for approval"
"""How the reasons begin that ask a person to act; a decision that the gate holds has none of them."""

_FORMATS: Mapping[str, ConfigFormat] = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}


# The update policy ------------------------------------------------------------------------------------------------------


class KeyRule(Record):
    """One config key that may change: where it is, what it takes, and which suggested change it answers."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    file: str = Field(
        min_length=1, description="Config file, relative to the policy file, inside its folder."
    )
    key: tuple[str | int, ...] = Field(
        min_length=1, description="Path of the key: names, and numbers for places in a list (from 0)."
    )
    change: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Suggested change that it takes, e.g. timeout_ms."
    )
    targets: tuple[str, ...] = Field(
        ("*",),
        min_length=1,
        description="Globs of playbook targets, `service` or `service:method`, that it is the key for.",
    )
    type: Literal["int", "float", "bool", "str"]
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = Field((), description="Allowed texts of a str key.")
    scale: float = Field(
        1.0,
        gt=0,
        description="The suggested number is multiplied by it, e.g. 0.001 where the file holds seconds.",
    )
    max_step: float | None = Field(
        None, gt=1, description="Largest factor between the old and the new number, up or down."
    )
    cooldown_days: int = Field(0, ge=0, description="Days after a change before the next.")
    changed_by: Literal["machine", "person"] = Field(
        "machine", description="machine: may be changed without approval when the apply level says so."
    )

    @field_validator("key", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept `tools.search.timeout` as well as a list of its parts."""
        return value.split(".") if isinstance(value, str) else value

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in value
            or "\0" in value
            or path.suffix.lower() not in _FORMATS
        ):
            message = f"{value!r} must be a relative path below the policy's folder that ends in {', '.join(_FORMATS)}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        numeric = self.type in ("int", "float")
        if numeric and (self.min is None or self.max is None or not self.min <= self.max):
            message = f"a key of type {self.type} needs min and max, min not above max"
            raise ValueError(message)
        if not numeric and (
            self.min is not None or self.max is not None or self.max_step is not None or self.scale != 1.0
        ):
            message = f"min, max, max_step and scale are for numbers, not for type {self.type}"
            raise ValueError(message)
        if (self.type == "str") != bool(self.choices):
            message = "a str key needs choices, and no other takes them"
            raise ValueError(message)
        return self

    @property
    def format(self) -> ConfigFormat:
        """Format of the file, by its ending."""
        return _FORMATS[PurePosixPath(self.file).suffix.lower()]

    @property
    def target(self) -> str:
        """`file#key.path`, as decisions name it."""
        return f"{self.file}#{'.'.join(str(part) for part in self.key)}"

    def read(self, suggested: str) -> ConfigValue:
        """Turn a suggested change, a text, into a value of this key.

        Raises:
            ValueError: naming value and rule, when it is none of the type or lies outside of the bounds.
        """
        if self.type == "bool":
            if suggested not in ("true", "false"):
                message = f"{self.target} = {suggested!r}: must be true or false"
                raise ValueError(message)
            return suggested == "true"
        if self.type == "str":
            return self.check(suggested)
        try:
            number = float(
                f"{float(suggested) * self.scale:.12g}"
            )  # 4100 x 0.001 is 4.1, not 4.1000000000000005
        except ValueError:
            message = f"{self.target} = {suggested!r}: must be a number"
            raise ValueError(message) from None
        whole = self.type == "int" and math.isfinite(number) and number == round(number)
        return self.check(round(number) if whole else number)

    def check(self, value: ConfigValue) -> ConfigValue:
        """Return the value when it is of the type and within the bounds.

        Raises:
            ValueError: naming value and rule.
        """
        message = None
        if self.type == "str":
            if not isinstance(value, str) or value not in self.choices:
                message = f"must be one of {', '.join(self.choices)}"
        elif self.type == "bool":
            if not isinstance(value, bool):
                message = "must be true or false"
        elif isinstance(value, bool) or not isinstance(value, int if self.type == "int" else int | float):
            message = "must be a whole number" if self.type == "int" else "must be a number"
        elif not math.isfinite(value) or not (self.min or 0) <= value <= (self.max or 0):
            message = f"must lie between {self.min:g} and {self.max:g}"
        if message is not None:
            message = f"{self.target} = {value!r}: {message}"
            raise ValueError(message)
        return value


class UpdatePolicy(Record):
    """Which config keys may change; without a rule, none may."""

    keys: tuple[KeyRule, ...] = ()

    @model_validator(mode="after")
    def _keys_are_unique(self) -> Self:
        for name in ("id", "target"):
            values = [getattr(rule, name) for rule in self.keys]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                message = f"{name} {twice[0]!r} occurs more than once; must be unique"
                raise ValueError(message)
        return self

    def rule_for(self, change: str, target: str) -> KeyRule | None:
        """Return the first rule that takes this change for this playbook target."""
        return next(
            (
                rule
                for rule in self.keys
                if rule.change == change
                and target
                and any(fnmatchcase(target, glob) for glob in rule.targets)
            ),
            None,
        )


class ConfigChange(Record):
    """One key's change: tested against `old` before it is written."""

    rule: KeyRule
    old: ConfigValue
    new: ConfigValue


class RefusedChangeError(ValueError):
    """A suggested change that the policy does not allow; the text says which rule it breaks."""


def plan_changes(
    playbook: Playbook,
    policy: UpdatePolicy,
    *,
    current: Mapping[str, ConfigValue],
    last_changed: Mapping[str, date] | None = None,
) -> list[ConfigChange]:
    """Return the config changes that a playbook asks for: all of them, or an error.

    Args:
        playbook: Of category config.
        policy: Which keys may change.
        current: Present value by rule target (`file#key`); a key that is missing cannot change.
        last_changed: Day of the last change by rule target.

    Returns:
        Changes in the order of their targets; a key that already holds the value is left out, so the list may be empty.

    Raises:
        RefusedChangeError: naming the first key, value and rule in the way.
    """
    changes = []
    for name, suggested in sorted(playbook.suggested_changes.items()):
        rule = policy.rule_for(name, playbook.target)
        if rule is None:
            where = (
                f"{name} of {playbook.target}" if playbook.target else f"{name}, which has no single target"
            )
            raise RefusedChangeError(f"no policy names a key for {where}")
        if rule.target not in current:
            raise RefusedChangeError(f"{rule.target} is not in its file; only a key that is there may change")
        old = current[rule.target]
        try:
            rule.check(old)
        except ValueError as error:
            raise RefusedChangeError(f"present value is out of policy: {error}") from error
        try:
            new = rule.read(suggested)
        except ValueError as error:
            raise RefusedChangeError(str(error)) from error
        if new == old:
            continue
        changed = (last_changed or {}).get(rule.target)
        if changed is not None and (playbook.day - changed).days < rule.cooldown_days:
            raise RefusedChangeError(
                f"{rule.target} changed on {changed}; the next change may come {rule.cooldown_days} days later"
            )
        _check_step(rule, old, new)
        changes.append(ConfigChange(rule=rule, old=old, new=new))
    return sorted(changes, key=lambda change: change.rule.target)


def _check_step(rule: KeyRule, old: ConfigValue, new: ConfigValue) -> None:
    if rule.max_step is None or isinstance(old, str) or isinstance(new, str):
        return
    low, high = sorted((float(old), float(new)))
    if low <= 0 or high / low > rule.max_step:
        raise RefusedChangeError(
            f"{rule.target}: {old} → {new} is more than a factor of {rule.max_step:g}; a person may take it in smaller steps"
        )


# Adapters, as far as a decision needs them ------------------------------------------------------------------------------


class AdapterOffer(Record):
    """One version of an adapter that a catalogue offers, with every named refusal of its admission."""

    adapter_id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    installed_version: str | None = None
    skills: tuple[str, ...] = Field(
        (), description="What it is trained for, e.g. tool_calling; without any it is taken for every need."
    )
    refusals: tuple[str, ...] = Field((), description="Empty when it is admissible.")


# The decision -----------------------------------------------------------------------------------------------------------


def decide(
    playbook: Playbook,
    violations: Sequence[Violation],
    *,
    mode: Mode,
    apply_level: ApplyLevel,
    policy: UpdatePolicy | None = None,
    current: Mapping[str, ConfigValue] | None = None,
    last_changed: Mapping[str, date] | None = None,
    adapters: Sequence[AdapterOffer] = (),
    rejected: Collection[str] = (),
    retired: Collection[str] = (),
    busy: str = "",
) -> Decision:
    """Decide what happens with one playbook on its day.

    `hold` waits for somebody: for evidence (the gate), or for approval (apply level `stage`, or a key that a person changes). `none` changes nothing by
    machine: prompts and workflows, adapters without an admissible one, configs without a policy, or apply level `off`. `reject` was refused before.
    `canary` and `apply` are carried out, unless the mode is backtest, which records what would have been done.

    Args:
        playbook: What is decided on; its own `held_because` counts too, so that no caller can pass a held playbook by leaving its violations out.
        violations: Every rule it breaks (`quality.violations`, recounted evidence and personal data included).
        mode: `backtest` for a historical day.
        apply_level: How far decisions are carried.
        policy: Config keys that may change.
        current: Present value of config keys, by rule target.
        last_changed: Day of the last change of config keys, by rule target.
        adapters: What the catalogue offers, newest first.
        rejected: `change_id`s that a person or a measured outcome turned down.
        retired: Improvement ids of playbooks whose trials failed too often.
        busy: Why nothing may be tried on this pattern or target now: another trial runs.
    """
    target, before, after, plan, outcome, reasons = _wanted(
        playbook, policy or UpdatePolicy(), current or {}, last_changed or {}, adapters
    )
    gate = tuple(dict.fromkeys([*playbook.held_because, *(str(problem) for problem in violations)]))
    if gate:
        action: Action = "hold"
        reasons = gate
    elif change_id(playbook) in rejected:
        action, reasons = "reject", ("the same change was turned down before for this pattern", *reasons)
    elif playbook.improvement_id in retired:
        action, reasons = "reject", ("retired: trials of this playbook failed twice", *reasons)
    elif busy and outcome == "apply":
        action, reasons = "hold", (busy, *reasons)
    elif outcome != "apply":
        action = outcome
    else:
        action, why = _carried(apply_level)
        reasons = (*reasons, why)
    if mode == "backtest":
        reasons = (*reasons, "backtest: a historical day is recorded and never carried out")
    return Decision(
        decision_id=decision_id(playbook),
        day=playbook.day,
        improvement_id=playbook.improvement_id,
        pattern_id=playbook.pattern_id,
        category=playbook.category,
        action=action,
        mode=mode,
        target=target,
        from_value=before,
        to_value=after,
        reasons=reasons,
        revert_plan=plan,
        playbook_hash=playbook_hash(playbook),
    )


def in_words(action: Action, reasons: Sequence[str]) -> str:
    """Return what happens with a playbook as a reader's words: `none` alone would sound as if nothing came of it."""
    if action == "none":
        return EXPORTED if any(reason.startswith(EXPORTED) for reason in reasons) else "left to people"
    if action == "hold":
        return WAITS if any(reason.startswith(WAITS) for reason in reasons) else "held back"
    return {"apply": "to be applied", "canary": "to canary nodes", "reject": "turned down before"}[action]


def is_for_review(decision: Decision) -> bool:
    """Whether a person is asked to act on it: free of the gate, of a day that is not history, and not carried out by machine."""
    return decision.mode == "live" and any(
        reason.startswith((EXPORTED, WAITS)) for reason in decision.reasons
    )


def decision_id(playbook: Playbook) -> str:
    """Return the id of the decision on a playbook of a day: 16 hex digits."""
    return _hash("decision", playbook.improvement_id, playbook.day.isoformat())


def change_id(playbook: Playbook) -> str:
    """Return the id of what is asked for, the same on every day that asks for it: pattern, category, target and values."""
    return _hash(
        "change", playbook.pattern_id, playbook.category, playbook.target, _json(playbook.suggested_changes)
    )


def playbook_hash(playbook: Playbook) -> str:
    """Return the hash of all that a playbook says: 16 hex digits.

    Its history is left out: an earlier day that is materialised later makes that longer, and changes nothing of what was decided on.
    """
    return _hash("playbook", playbook.model_dump_json(exclude={"version", "created_at"}))


_Wanted = tuple[str, str | None, str | None, str, Literal["apply", "hold", "none"], tuple[str, ...]]
"""Target, from, to, revert plan, what the gate and the apply level may still lower, and reasons."""


def _wanted(
    playbook: Playbook,
    policy: UpdatePolicy,
    current: Mapping[str, ConfigValue],
    last_changed: Mapping[str, date],
    adapters: Sequence[AdapterOffer],
) -> _Wanted:
    if playbook.category == "config":
        return _config(playbook, policy, current, last_changed)
    if playbook.category == "adapter":
        return _adapter(playbook, adapters)
    wanted = _json(playbook.suggested_changes)
    reason = f"{EXPORTED}: a {playbook.category} is changed by people, never by machine"
    return (
        _name(playbook),
        None,
        wanted,
        "nothing was changed by machine; whoever adopts it keeps the earlier version",
        "none",
        (reason,),
    )


def _config(
    playbook: Playbook,
    policy: UpdatePolicy,
    current: Mapping[str, ConfigValue],
    last_changed: Mapping[str, date],
) -> _Wanted:
    nothing = "nothing was changed"
    try:
        changes = plan_changes(playbook, policy, current=current, last_changed=last_changed)
    except RefusedChangeError as error:
        return (
            _name(playbook),
            None,
            _json(playbook.suggested_changes),
            nothing,
            "none",
            (f"none, because {error}",),
        )
    if not changes:
        return (
            _name(playbook),
            None,
            _json(playbook.suggested_changes),
            nothing,
            "none",
            ("none, because the config already holds these values",),
        )
    before, after = (
        {change.rule.target: value for change, value in zip(changes, values, strict=True)}
        for values in _sides(changes)
    )
    plan = f"write back {_json(before)}, byte for byte from the backup taken before the change"
    needs_person = [change.rule.target for change in changes if change.rule.changed_by == "person"]
    if needs_person:
        return (
            ", ".join(after),
            _json(before),
            _json(after),
            plan,
            "hold",
            (f"{WAITS}: {', '.join(needs_person)} may be changed by a person only",),
        )
    return (
        ", ".join(after),
        _json(before),
        _json(after),
        plan,
        "apply",
        ("within the bounds, step and cool-down of the update policy",),
    )


def _sides(changes: Sequence[ConfigChange]) -> tuple[list[ConfigValue], list[ConfigValue]]:
    return [change.old for change in changes], [change.new for change in changes]


def _adapter(playbook: Playbook, adapters: Sequence[AdapterOffer]) -> _Wanted:
    skill = playbook.suggested_changes.get("adapter_skill", "")
    fitting = [offer for offer in adapters if not skill or not offer.skills or skill in offer.skills]
    admissible = next((offer for offer in fitting if not offer.refusals), None)
    if admissible is None:
        kind = f"for {skill}" if skill else "at all"
        reasons = [
            f"none, because {offer.adapter_id} {offer.version} is refused: {'; '.join(offer.refusals)}"
            for offer in fitting
        ]
        reasons = reasons or [f"none, because the catalogue offers no adapter {kind}"]
        return _name(playbook), None, skill or None, "nothing was changed", "none", tuple(reasons)
    back = (
        f"switch back to version {admissible.installed_version}, which stays installed"
        if admissible.installed_version
        else "switch the adapter off"
    )
    reason = f"{admissible.adapter_id} {admissible.version} is the newest admissible adapter"
    return admissible.adapter_id, admissible.installed_version, admissible.version, back, "apply", (reason,)


def _carried(level: ApplyLevel) -> tuple[Action, str]:
    """What the apply level makes of a change that nothing else is in the way of."""
    if level == "off":
        return "none", "none, because FEDERATED_LEARNING_APPLY=off"
    if level == "stage":
        return "hold", f"{WAITS}: FEDERATED_LEARNING_APPLY=stage prepares and verifies, and switches nothing"
    if level == "canary":
        return "canary", "FEDERATED_LEARNING_APPLY=canary: to a share of the nodes first"
    return "apply", "FEDERATED_LEARNING_APPLY=on"


def _name(playbook: Playbook) -> str:
    return f"{playbook.category} of {playbook.target}" if playbook.target else playbook.category


def _json(values: Mapping[str, ConfigValue]) -> str:
    return json.dumps(dict(sorted(values.items())), ensure_ascii=False)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
