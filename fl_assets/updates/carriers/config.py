"""Updates of config keys: what a playbook asks for, and staging, applying and reverting it.

What does not go here: which key may change (`updates/policy.py`), writing files (`updates/config_files.py`).
"""

from datetime import date

from fl_assets.core.models import Playbook
from fl_assets.updates.carriers.carrier import (
    Carrier,
    KnownTargets,
    ProposedChange,
    Tools,
    as_json,
    target_in_words,
)
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.edit import ConfigFileError
from fl_assets.updates.history import Update, sides
from fl_assets.updates.policy import ConfigChange, RefusedChangeError, UpdatePolicy, plan_changes, refusing

_IN_EFFECT = (
    "the config already holds these values; what still fails is on nodes that have not taken them yet or are "
    "held back from them, or has another cause"
)


def propose(playbook: Playbook, known: KnownTargets) -> ProposedChange:
    """Return the change of all config keys that a playbook names, or why none is changed."""
    try:
        changes = plan_changes(playbook, known.policy, current=known.current, last_changed=known.last_changed)
        route, why_not = "done", _IN_EFFECT
    except RefusedChangeError as error:
        changes, route, why_not = [], "none", f"not applied: {error}"
    if not changes:
        return ProposedChange(
            target=target_in_words(playbook),
            from_value=None,
            to_value=as_json(playbook.suggested_changes),
            revert_plan="nothing was changed",
            route=route,
            reasons=(why_not,),
        )
    before = {change.rule.target: change.old for change in changes}
    after = {change.rule.target: change.new for change in changes}
    by_person = [change.rule.target for change in changes if change.rule.changed_by == "person"]
    reason = "within the bounds, step and cool-down of the update policy"
    if by_person:
        reason = f"needs your approval: {', '.join(by_person)} may be changed by a person only"
    return ProposedChange(
        target=", ".join(after),
        from_value=as_json(before),
        to_value=as_json(after),
        revert_plan=f"restore the old file from its backup ({as_json(before)})",
        route="wait" if by_person else "machine",
        reasons=(reason,),
    )


def carrier(tools: Tools) -> "ConfigCarrier | None":
    """Return what changes config files; None without an update policy, which names their folder."""
    return ConfigCarrier(tools.configs, tools.policy) if tools.configs else None


class ConfigCarrier(Carrier):
    """Config changes: `target` names the keys, `from_value` and `to_value` their values as JSON."""

    def __init__(self, configs: ConfigFiles, policy: UpdatePolicy) -> None:
        self._configs = configs
        self._policy = policy

    def stage(self, update: Update) -> str:
        """Check the change against policy and files; nothing needs preparing."""
        present = self._configs.read_values(self._policy)
        for change in config_changes(update, self._policy):
            now = present.get(change.rule.target)
            if now != change.old:
                raise RefusedChangeError(
                    f"{change.rule.target} is {now!r} and was {change.old!r} when this was decided; "
                    "decide again"
                )
        return ""

    def apply(self, update: Update, day: date) -> None:
        """Change all keys or none."""
        if self._has("revert", update):
            raise RefusedChangeError(
                f"decision {update.decision_id} was taken back from this machine's files"
            )
        if not self._has("apply", update):
            with refusing(ConfigFileError):
                self._configs.apply(update.decision_id, config_changes(update, self._policy), day=day)

    def revert(self, update: Update, day: date) -> None:
        """Restore the files byte for byte."""
        if self._has("apply", update) and not self._has("revert", update):
            with refusing(ConfigFileError):
                self._configs.revert(update.decision_id, day=day)

    def _has(self, kind: str, update: Update) -> bool:
        self._configs.recover()
        return any(
            (receipt.kind, receipt.decision_id) == (kind, update.decision_id)
            for receipt in self._configs.receipts()
        )


def config_changes(update: Update, policy: UpdatePolicy) -> list[ConfigChange]:
    """Return the changes of a decided config update, checked against the current policy.

    Raises:
        RefusedChangeError: the policy has no rule for a key any more, or no longer allows the value.
    """
    rules = {rule.target: rule for rule in policy.keys}
    before, changes = sides(update.from_value, update.target), []
    for name, value in sorted(update.values.items()):
        if name not in rules or name not in before:
            raise RefusedChangeError(
                f"{name} of decision {update.decision_id}: the update policy names no such key any more"
            )
        with refusing(ValueError):
            changes.append(ConfigChange(rule=rules[name], old=before[name], new=rules[name].check(value)))
    return changes
