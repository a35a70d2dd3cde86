"""What every category of update target has in common.

What goes here: the records, the protocol, and finding a category's module. What does not: any one category.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from fl_assets.adapters.admission import Offered
from fl_assets.adapters.store import AdapterStore
from fl_assets.core.models import Category, Playbook
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.history import Update
from fl_assets.updates.policy import ConfigValue, UpdatePolicy


@dataclass(frozen=True)
class ProposedChange:
    """The change a playbook asks for, before gate and apply level."""

    target: str
    """Config keys, an adapter, or the target in words where nothing can be named."""
    from_value: str | None
    """Present value, where it is known."""
    to_value: str | None
    """Value asked for."""
    revert_plan: str
    """How it would be reverted."""
    route: Literal["machine", "wait", "export", "none", "done"]
    """`machine` when it may be carried out, `wait` when a person must approve it, `export` when people change
    it, `none` when nothing can be done, `done` when it is in effect already."""
    reasons: tuple[str, ...]
    """Why, one sentence each."""


@dataclass(frozen=True)
class KnownTargets:
    """What there is to change."""

    policy: UpdatePolicy = field(default_factory=UpdatePolicy)
    """Config keys that may change."""
    current: Mapping[str, ConfigValue] = field(default_factory=dict)
    """Present value of config keys, by rule target."""
    last_changed: Mapping[str, date] = field(default_factory=dict)
    """Day of the last change of config keys, by rule target."""
    adapters: Sequence[Offered] = ()
    """What the catalogue offers, newest first."""


@dataclass(frozen=True)
class Tools:
    """What carriers change things with."""

    clock: Callable[[], datetime]
    policy: UpdatePolicy
    configs: ConfigFiles | None
    adapters: AdapterStore


class Carrier:
    """Makes one category's changes on this machine, each idempotently; this one leaves them to people."""

    def stage(self, update: Update) -> str:  # noqa: ARG002 (every carrier takes it)
        """Prepare and verify without switching; return what was done, '' for nothing.

        Raises:
            RefusedChangeError: the change cannot be made.
        """
        return ""

    def apply(self, update: Update, day: date) -> None:
        """Make the change.

        Raises:
            RefusedChangeError: it may not be made; nothing was changed.
        """

    def revert(self, update: Update, day: date) -> None:
        """Restore exactly what was before; nothing when the change was never made.

        Raises:
            RefusedChangeError: that would undo somebody else's work.
        """


def is_changed_by_machine(category: Category) -> bool:
    """Whether the category has a module of its own; people change all others, which no release holds."""
    return find_spec(f"{__package__}.{category}") is not None


def module_of(category: Category) -> Any:
    """Return the module that changes a category: its own, or `people`."""
    return import_module(f"{__package__}.{category if is_changed_by_machine(category) else 'people'}")


def carriers(tools: Tools) -> dict[Category, Carrier]:
    """Return the carrier of each category that one is set up for on this machine."""
    found = {category: module_of(category).carrier(tools) for category in get_args(Category)}
    return {category: carrier for category, carrier in found.items() if carrier}


def target_in_words(playbook: Playbook) -> str:
    """Return a playbook's target in words, for when no key or adapter can be named."""
    return f"{playbook.category} of {playbook.target}" if playbook.target else playbook.category


def as_json(values: Mapping[str, ConfigValue]) -> str:
    """Return values by name as the JSON text that decisions store."""
    return json.dumps(dict(sorted(values.items())), ensure_ascii=False)
