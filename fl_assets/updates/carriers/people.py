"""Updates that people make, such as prompts and workflows: exported for review, nothing done here."""

from datetime import date

from fl_assets.core.models import Playbook
from fl_assets.updates.carriers.carrier import KnownTargets, ProposedChange, Tools, as_json, target_in_words
from fl_assets.updates.history import Update

NOTHING_CHANGES = "nothing is changed automatically; keep the earlier version to go back to"
"""How to take back what people change themselves."""


def propose(playbook: Playbook, known: KnownTargets) -> ProposedChange:  # noqa: ARG001 (every category takes it)
    """Return what a playbook suggests to people."""
    return ProposedChange(
        target=target_in_words(playbook),
        from_value=None,
        to_value=as_json(playbook.suggested_changes),
        revert_plan=NOTHING_CHANGES,
        route="export",
        reasons=(f"for review: a {playbook.category} is never changed automatically",),
    )


def carrier(tools: Tools) -> "PeopleCarrier":  # noqa: ARG001 (every category takes it)
    """Return a carrier that changes nothing."""
    return PeopleCarrier()


class PeopleCarrier:
    """People make the change, on the nodes that the trial names."""

    def stage(self, update: Update) -> str:
        """Return what people are to do."""
        return f"the {update.category} is changed by people"

    def apply(self, update: Update, day: date) -> None:
        """Change nothing."""

    def revert(self, update: Update, day: date) -> None:
        """Change nothing."""
