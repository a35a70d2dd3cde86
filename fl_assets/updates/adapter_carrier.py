"""How an adapter decision is carried out on this machine: the seam between the history of updates and the store of adapters.

What goes here: what stage, apply and revert of one update mean for an adapter. What does not: how a version is installed or switched (`adapter_store.py`),
when (`release_files.py`, whose `Carrier` this is).
"""

from collections.abc import Callable
from datetime import date, datetime

from fl_assets.adapters.hub import FetchError
from fl_assets.adapters.store import AdapterRefusedError, AdapterStore, AdapterStoreError
from fl_assets.adapters.vllm import LoraServerError
from fl_assets.updates.decide import RefusedChangeError
from fl_assets.updates.releases import Update

_PROBLEMS = (AdapterRefusedError, AdapterStoreError, FetchError, LoraServerError, ValueError)
"""What stands in the way of one update; a ValueError is a name, a version or a key file that is none."""


class AdapterCarrier:
    """Adapter changes: `target` is the adapter, `to_value` the version."""

    def __init__(self, store: AdapterStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    def stage(self, update: Update) -> str:
        """Fetch, verify and install the version beside the one in use.

        Raises:
            RefusedChangeError: it cannot be had, or breaks a rule of admission.
        """
        version = _version(update)
        try:
            found = self._store.stage(update.target, version, now=self._clock())
        except RefusedChangeError:
            raise
        except _PROBLEMS as error:
            raise RefusedChangeError(str(error)) from error
        return f"{update.target} {version} is installed beside {update.from_value or 'none in use'}, {found.size_bytes} bytes, verified"

    def apply(self, update: Update, day: date) -> None:
        """Switch to the version; one that was in use here before, and was left by a person since, stays left.

        Raises:
            RefusedChangeError: another version is in use than the one that was decided from, or a rule is broken by now.
        """
        version = _version(update)
        try:
            if self._store.standing(update.target, version) != "never in use":
                return
            current = self._store.current(update.target)
            if (current.version if current else None) != update.from_value:
                at = current.version if current else "none"
                message = f"{update.target} is at {at} and was at {update.from_value or 'none'} when this was decided; decide anew"
                raise RefusedChangeError(message)
            self._store.stage(update.target, version, now=self._clock())
            self._store.activate(
                update.target, version, now=self._clock(), note=f"decision {update.decision_id} of {day}"
            )
        except RefusedChangeError:
            raise
        except _PROBLEMS as error:
            raise RefusedChangeError(str(error)) from error

    def revert(self, update: Update, day: date) -> None:
        """Switch back to the version that was in use before; nothing when it is not in use and was left already, or never was.

        Raises:
            RefusedChangeError: a newer version is in use, or the earlier one breaks a rule by now.
        """
        version = _version(update)
        try:
            standing = self._store.standing(update.target, version)
            if standing == "in use":
                self._store.rollback(
                    update.target,
                    now=self._clock(),
                    to=update.from_value,
                    note=f"decision {update.decision_id} taken back on {day}",
                )
            elif standing == "followed":
                message = f"{update.target} has a later version in use than {version} of decision {update.decision_id}; take that one back first"
                raise RefusedChangeError(message)
        except RefusedChangeError:
            raise
        except _PROBLEMS as error:
            raise RefusedChangeError(str(error)) from error


def _version(update: Update) -> str:
    if not update.to_value:
        message = f"decision {update.decision_id} names no version of {update.target}"
        raise RefusedChangeError(message)
    return update.to_value
