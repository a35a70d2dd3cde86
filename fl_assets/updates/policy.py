"""The update policy: which config keys may change, and within which bounds.

What goes here: the policy's records, and `plan_changes`, which turns suggested changes into typed ones. What
does not: the decision (`updates/decide.py`), writing files (`updates/config_files.py`).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fl_assets.core.models import Playbook, Record
from fl_assets.infra.rule_files import read_record

ConfigFormat = Literal["toml", "yaml", "json"]
ConfigValue = bool | int | float | str
_FORMATS: Mapping[str, ConfigFormat] = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}


class KeyRule(Record):
    """One config key that may change: its place, its bounds, and the suggested change that sets it."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    file: str = Field(min_length=1)
    """Config file, relative to the policy file, inside its folder."""
    key: tuple[str | int, ...] = Field(min_length=1)
    """Path of the key: names, and numbers for places in a list (from 0)."""
    change: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Suggested change that it takes, e.g. timeout_ms."""
    targets: tuple[str, ...] = Field(("*",), min_length=1)
    """Globs of playbook targets, `service` or `service:method`, that it is the key for."""
    type: Literal["int", "float", "bool", "str"]
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    """Allowed texts of a str key."""
    scale: float = Field(1.0, gt=0)
    """The suggested number is multiplied by it, e.g. 0.001 where the file holds seconds."""
    max_step: float | None = Field(None, gt=1)
    """Largest factor between the old and the new number, up or down."""
    cooldown_days: int = Field(0, ge=0)
    """Days after a change before the next."""
    changed_by: Literal["machine", "person"] = "machine"
    """machine: may be changed without approval when the apply level says so."""

    @field_validator("key", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept `tools.search.timeout` as well as a list of its parts."""
        return value.split(".") if isinstance(value, str) else value

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        is_outside = path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value
        if is_outside or path.suffix.lower() not in _FORMATS:
            raise ValueError(
                f"{value!r} must be a relative path below the policy's folder that ends in "
                f"{', '.join(_FORMATS)}"
            )
        return value

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        numeric = self.type in ("int", "float")
        if numeric and (self.min is None or self.max is None or not self.min <= self.max):
            raise ValueError(f"a key of type {self.type} needs min and max, min not above max")
        bounds = (self.min, self.max, self.max_step)
        if not numeric and (self.scale != 1.0 or any(bound is not None for bound in bounds)):
            raise ValueError(f"min, max, max_step and scale are for numbers, not for type {self.type}")
        if (self.type == "str") != bool(self.choices):
            raise ValueError("a str key needs choices, and no other takes them")
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
        """Return the value of this key that a suggested change, a text, asks for.

        Raises:
            ValueError: naming value and rule, when the type is wrong or a bound is exceeded.
        """
        if self.type == "bool":
            if suggested not in ("true", "false"):
                raise ValueError(f"{self.target} = {suggested!r}: must be true or false")
            return suggested == "true"
        if self.type == "str":
            return self.check(suggested)
        try:
            number = float(f"{float(suggested) * self.scale:.12g}")  # 4.1, not 4.1000000000000005
        except ValueError:
            raise ValueError(f"{self.target} = {suggested!r}: must be a number") from None
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
            raise ValueError(f"{self.target} = {value!r}: {message}")
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
                raise ValueError(f"{name} {twice[0]!r} occurs more than once; must be unique")
        return self

    def rule_for(self, change: str, target: str) -> KeyRule | None:
        """Return the first rule that takes this change for this playbook target."""
        if not target:
            return None
        taking = (rule for rule in self.keys if rule.change == change)
        return next((rule for rule in taking if any(fnmatchcase(target, one) for one in rule.targets)), None)


def load_policy(path: Path | None) -> UpdatePolicy:
    """Return the config keys that may change; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return read_record(path, UpdatePolicy) if path else UpdatePolicy()


class ConfigChange(Record):
    """One key's change: tested against `old` before it is written."""

    rule: KeyRule
    old: ConfigValue
    new: ConfigValue


class RefusedChangeError(ValueError):
    """A suggested change that the policy does not allow; the text says which rule it breaks."""


@contextmanager
def refusing(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds into refusals."""
    try:
        yield
    except RefusedChangeError:
        raise
    except errors as error:
        raise RefusedChangeError(str(error)) from error


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
        Changes in the order of their targets; a key that already holds the value is left out, so the list may
        be empty.

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
        with refusing(ValueError):
            new = rule.read(suggested)
        if new == old:
            continue
        changed = (last_changed or {}).get(rule.target)
        if changed is not None and (playbook.day - changed).days < rule.cooldown_days:
            raise RefusedChangeError(
                f"{rule.target} changed on {changed}; it may change again from "
                f"{changed + timedelta(days=rule.cooldown_days)} on"
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
            f"{rule.target}: {old} → {new} is more than a factor of {rule.max_step:g}; a person may take "
            "it in smaller steps"
        )
