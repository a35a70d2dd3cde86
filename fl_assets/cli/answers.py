"""Commands that answer decisions and undo updates; see `updates/answers.py`."""

import re
from typing import Annotated

import typer

from fl_assets.cli.adapters import roll_back_adapter
from fl_assets.cli.application import (
    AsJson,
    CommandError,
    DecisionId,
    Reason,
    app,
    coordinator_here,
    settings_of_inputs,
    user,
)
from fl_assets.core.models import Category
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.errors import ExplainedError


@app.command()
def approve(
    decision_id: DecisionId,
    reason: Reason,
    now: Annotated[
        bool, typer.Option("--now", help="Carry it out at once instead of leaving it to the sensor.")
    ] = False,
) -> None:
    """Approve a decision; canary nodes take it first.

    The sensor `approved_updates` carries it out, or --now does.

    Example: fl-assets approve 3f9c --reason "tried on staging" --now
    """
    _answer(decision_id, yes=True, reason=reason, now=now)


@app.command()
def reject(decision_id: DecisionId, reason: Reason) -> None:
    """Reject a decision; the same change is not proposed again.

    Example: fl-assets reject 3f9c --reason "the limit is a contract with the vendor"
    """
    _answer(decision_id, yes=False, reason=reason, now=False)


@app.command()
def rollback(
    what: Annotated[
        str,
        typer.Argument(
            metavar="DECISION_ID|ADAPTER",
            help="Decision whose update is rolled back, its first letters suffice; or an installed adapter.",
        ),
    ],
    reason: Reason,
    by_hand: Annotated[
        bool,
        typer.Option(
            "--by-hand", help="You have restored the files yourself; only the release is left to change."
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Of an adapter: version to go back to; default: the one in use before."
        ),
    ] = None,
    allow_rollback: Annotated[
        bool,
        typer.Option(
            "--allow-rollback", help="Of an adapter: fetch VERSION again when it is no longer kept."
        ),
    ] = False,
) -> None:
    """Roll an update back on every node.

    Files are restored byte for byte; with the name of an adapter, this machine's is switched back.

    Example: fl-assets rollback 3f9c --reason "support asked for it"

    Example: fl-assets rollback acme/tool-calling --reason "answers got worse"
    """
    from fl_assets.cli.console import say
    from fl_assets.updates.answers import undo
    from fl_assets.workspace import Workspace

    space = Workspace(FederatedLearningConfig.from_env())
    if re.fullmatch(r"[0-9a-f]+", what) is None:  # ids of decisions are hex
        try:
            roll_back_adapter(what, to=to, allow_rollback=allow_rollback, reason=reason)
        except ExplainedError as error:
            if any(one.adapter_id == what for one in space.adapters.installed()):
                raise
            message = f"No decision {what!r} (`fl-assets updates` lists them); as adapter: {error}"
            raise CommandError(message) from error
        return
    found = undo(space.updates, what, by=user(), reason=reason, by_hand=by_hand)
    say(
        f"{found.update.decision_id}: {found.status}: {found.update.target} is {found.update.from_value} "
        f"again; {found.reason}"
    )


@app.command()
def updates(as_json: AsJson = False) -> None:
    """List what was tried, what was rolled back, and what helped.

    Example: fl-assets updates
    """
    from fl_assets.cli.console import show_updates
    from fl_assets.updates.rollout import open_releases
    from fl_assets.workspace import Workspace

    show_updates(
        list(open_releases(Workspace(settings_of_inputs()).updates).rollouts().values()), as_json=as_json
    )


def _answer(decision_id: str, *, yes: bool, reason: str, now: bool) -> None:
    from fl_assets.cli.console import say
    from fl_assets.cli.story import changed
    from fl_assets.updates.answers import answer, code_for
    from fl_assets.workspace import Workspace

    space = Workspace(settings_of_inputs())
    code = code_for(space.updates, decision_id)
    found = answer(space.updates, decision_id, yes=yes, by=user(), reason=reason, codes=[code])
    say(
        f"{found.update.decision_id}: {'approved' if yes else 'rejected'}: {changed(found.update)} "
        f"({found.update.target})"
    )
    if not yes:
        return
    if not now:
        say(what_follows(found.update.category))
        return
    rows = coordinator_here().apply_updates(found.update.day)
    row = next(row for row in rows if row["decision_id"] == found.update.decision_id)
    say(f"{'approved' if row['status'] == 'waiting' else row['status']}: {row['reason']}")
    if row["canary_nodes"]:
        say(f"canary nodes: {', '.join(row['canary_nodes'])}")


def what_follows(category: Category) -> str:
    """Say what happens after a yes, and what is left to whoever gave it."""
    from fl_assets.updates.carriers.carrier import is_changed_by_machine

    if is_changed_by_machine(category):
        return "the sensor `approved_updates` carries it out while Dagster runs (make dev), or --now at once"
    return (
        "the sensor `approved_updates` draws the canary nodes while Dagster runs (make dev), or --now at "
        f"once; then change the {category} there: `fl-assets updates` names them"
    )
