"""Updates that people make, such as prompts and workflows: exported for review, nothing done here."""

from fl_assets.core.models import Playbook
from fl_assets.updates.carriers.carrier import (
    Carrier,
    KnownTargets,
    ProposedChange,
    Tools,
    as_json,
    target_in_words,
)

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
        reasons=(
            f"needs you: approve it, then change the {playbook.category} on the nodes that "
            "`fl-assets updates` names",
        ),
    )


def carrier(tools: Tools) -> Carrier:  # noqa: ARG001 (every category takes it)
    """Return a carrier that changes nothing."""
    return Carrier()
