"""Updates of adapters: what a playbook asks for, and staging, applying and reverting it.

What does not go here: how a version is installed or switched (`adapters/store.py`).
"""

from collections.abc import Callable
from datetime import date, datetime

from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.store import AdapterStore
from fl_assets.adapters.vllm import LoraServerError
from fl_assets.adapters.web import FetchError
from fl_assets.core.models import Playbook
from fl_assets.updates.carriers.carrier import Carrier, KnownTargets, ProposedChange, Tools, target_in_words
from fl_assets.updates.history import Update
from fl_assets.updates.policy import RefusedChangeError, refusing

_REFUSALS = (AdapterStoreError, FetchError, LoraServerError, ValueError)
"""A ValueError is a refused adapter, or an invalid name, version or key file."""


def propose(playbook: Playbook, known: KnownTargets) -> ProposedChange:
    """Return the switch to the newest admissible adapter that has the skill, or none and why."""
    skill = playbook.suggested_changes.get("adapter_skill", "")
    fitting = [offer for offer in known.adapters if not skill or not offer.skills or skill in offer.skills]
    chosen = next((offer for offer in fitting if not offer.refusals), None)
    if chosen is None:
        refused = [
            f"not applied: {offer.adapter_id} {offer.version} is refused: {'; '.join(offer.refusals)}"
            for offer in fitting
        ]
        kind = f"for {skill}" if skill else "at all"
        return ProposedChange(
            target=target_in_words(playbook),
            from_value=None,
            to_value=skill or None,
            revert_plan="nothing was changed",
            route="none",
            reasons=tuple(refused) or (f"not applied: the catalogue offers no adapter {kind}",),
        )
    back = "switch the adapter off"
    if chosen.installed_version:
        back = f"switch back to version {chosen.installed_version}, which stays installed"
    return ProposedChange(
        target=chosen.adapter_id,
        from_value=chosen.installed_version,
        to_value=chosen.version,
        revert_plan=back,
        route="machine",
        reasons=(f"{chosen.adapter_id} {chosen.version} is the newest admissible adapter",),
    )


def carrier(tools: Tools) -> "AdapterCarrier":
    """Return what switches adapters."""
    return AdapterCarrier(tools.adapters, tools.clock)


class AdapterCarrier(Carrier):
    """Adapter changes: `target` is the adapter, `to_value` the version."""

    def __init__(self, store: AdapterStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    def stage(self, update: Update) -> str:
        """Fetch, verify and install the version beside the one in use.

        Raises:
            RefusedChangeError: it cannot be had, or breaks a rule of admission.
        """
        version = _version(update)
        with refusing(*_REFUSALS):
            found = self._store.stage(update.target, version, now=self._clock())
        beside = update.from_value or "none in use"
        return f"{update.target} {version} is installed beside {beside}, {found.size_bytes} bytes, verified"

    def apply(self, update: Update, day: date) -> None:
        """Switch to the version, unless it has been in use here before: a person may have left it since.

        Raises:
            RefusedChangeError: the version in use is not the one decided from, or a rule is now broken.
        """
        version = _version(update)
        with refusing(*_REFUSALS):
            if self._store.status(update.target, version) != "never in use":
                return
            current = self._store.current(update.target)
            at = current.version if current else None
            if at != update.from_value:
                was = update.from_value or "none"
                raise RefusedChangeError(
                    f"{update.target} is at {at or 'none'} and was at {was} when this was decided; "
                    "decide again"
                )
            self._store.stage(update.target, version, now=self._clock())
            note = f"decision {update.decision_id} of {day}"
            self._store.activate(update.target, version, now=self._clock(), note=note)

    def revert(self, update: Update, day: date) -> None:
        """Switch back to the version that was in use before; do nothing if this one is not in use.

        Raises:
            RefusedChangeError: a newer version is in use, or the earlier one now breaks a rule.
        """
        version = _version(update)
        with refusing(*_REFUSALS):
            status = self._store.status(update.target, version)
            if status == "in use":
                note = f"decision {update.decision_id} taken back on {day}"
                self._store.rollback(update.target, now=self._clock(), to=update.from_value, note=note)
            elif status == "followed":
                raise RefusedChangeError(
                    f"{update.target} has a later version in use than {version} of decision "
                    f"{update.decision_id}; "
                    "take that one back first"
                )


def _version(update: Update) -> str:
    if not update.to_value:
        raise RefusedChangeError(f"decision {update.decision_id} names no version of {update.target}")
    return update.to_value
