"""People's answers to decisions: approve, reject, or undo.

What goes here: finding the decision and recording the answer. What does not: carrying it out
(`updates/rollout.py`).
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from fl_assets.infra.clock import now_utc
from fl_assets.updates.decide import in_words
from fl_assets.updates.history import Rollout
from fl_assets.updates.intent import Intent
from fl_assets.updates.policy import RefusedChangeError
from fl_assets.updates.proposals import can_be_answered
from fl_assets.updates.releases import Releases
from fl_assets.updates.rollout import Clock, Decided, decided_on, intent_of, open_releases
from fl_assets.updates.stores import UpdateStores

MAX_BY, MAX_REASON = 200, 2000
"""Longest name and reason that the history keeps, in characters."""
_LISTED = 8
"""Ids that are listed when the start of one is ambiguous."""


class AnswerError(ValueError):
    """An answer that is not accepted; the text says why, in one line."""


def locate_decision(stores: UpdateStores, decision_id: str, releases: Releases) -> Decided:
    """Return a stored decision by its id, or by the start of it.

    Raises:
        AnswerError: none or several have it.
    """
    rows = stores.warehouse.rows(
        "select distinct event_date, decision_id from update_decisions where starts_with(decision_id, "
        "$id) order by all",
        {"id": decision_id},
    )
    if len(rows) != 1 or not decision_id:
        raise AnswerError(_not_one(decision_id, [row["decision_id"] for row in rows], "decisions"))
    found = [
        one
        for one in decided_on(stores, rows[0]["event_date"], releases.rollouts())
        if one.decision.decision_id == rows[0]["decision_id"]
    ]
    if not found:
        raise AnswerError(
            f"decision {decision_id!r}: its playbook of {rows[0]['event_date']} is not stored any "
            "more; materialise the day again"
        )
    return found[0]


def codes_of(stores: UpdateStores, day: date) -> dict[str, str]:
    """Return by decision the code of the next answer, for a day's decisions that wait for one."""
    found, intent = decided_on(stores, day, open_releases(stores).rollouts()), intent_of(stores)
    return {
        one.decision.decision_id: intent.code(one.update, one.known)
        for one in found
        if one.decision.mode == "live"
        and not (one.known and (one.known.carried_out or _is_approved(one.known, intent)))
    }


def _is_approved(known: Rollout, intent: Intent) -> bool:
    return known.status == "approved" and intent.holds(known)


def code_for(stores: UpdateStores, decision_id: str) -> str:
    """Return the code of the next answer to a decision.

    Raises:
        AnswerError: none or several have the id.
    """
    found = locate_decision(stores, decision_id, open_releases(stores))
    return intent_of(stores).code(found.update, found.known)


def answer(stores: UpdateStores, decision_id: str, *, yes: bool, **said: Any) -> Decided:
    """Record a person's yes or no to one decision; see `answer_each`."""
    (found,) = answer_each(stores, [(decision_id, yes)], **said)
    return found


def answer_each(
    stores: UpdateStores,
    given: Sequence[tuple[str, bool]],
    *,
    by: str,
    reason: str,
    codes: Collection[str],
    clock: Clock = now_utc,
) -> list[Decided]:
    """Record a person's yes or no to decisions without carrying anything out; each is checked before any is.

    Of each change and answer `codes` must have the code.

    Raises:
        AnswerError: no such decision, or one twice; no valid code; its update is past that; or a yes to a
            decision that the gate holds, that is of a historical day, or that changes nothing.
    """
    if not given:
        return []
    _check_words(given[0][0], by=by, reason=reason)
    releases = open_releases(stores, clock)
    found = [locate_decision(stores, decision_id, releases) for decision_id, _ in given]
    ids = [one.decision.decision_id for one in found]
    if twice := [one for one in ids if ids.count(one) > 1]:
        raise AnswerError(f"decision {twice[0]}: answered twice; give one answer")
    intent = intent_of(stores)
    meant = [_code_meant(intent, one, codes, yes=yes) for one, (_, yes) in zip(found, given, strict=True)]
    for one, (_, yes), code in zip(found, given, meant, strict=True):
        after = one.known.answers if one.known else 0
        try:
            (releases.approve if yes else releases.reject)(
                one.update, by=by, reason=reason, code=code, after=after
            )
        except RefusedChangeError as error:
            raise AnswerError(str(error)) from error
    return [locate_decision(stores, decision_id, releases) for decision_id in ids]


def _check_words(decision_id: str, **said: str) -> None:
    for (name, text), most in zip(said.items(), (MAX_BY, MAX_REASON), strict=True):
        if len(text) > most or not text.replace("\n", " ").isprintable():
            raise AnswerError(
                f"decision {decision_id[:40]!r}: {name} must be at most {most} printable characters"
            )
    if empty := " and ".join(name for name, text in said.items() if not text.strip()):
        raise AnswerError(f"decision {decision_id!r}: {empty} must not be empty")


def _code_meant(intent: Intent, found: Decided, codes: Collection[str], *, yes: bool) -> str:
    """Return the code among `codes` that is for this answer, which must be one that can be given."""
    decision = found.decision
    if yes and not can_be_answered(decision):
        past = ", and of a past day" if decision.mode == "backtest" else ""
        raise AnswerError(
            f"decision {decision.decision_id} is {in_words(decision.model_dump())}{past}: there is nothing "
            f"to approve; `fl-assets explain {decision.decision_id[:8]}` says why"
        )
    if code := intent.is_meant(codes, found.update, found.known):
        return code
    shown = ", ".join(repr(one[:20]) for one in list(codes)[:3])
    given = f"{shown} is not its code" if codes else "no code was given"
    raise AnswerError(
        f"decision {decision.decision_id}: {given}; an answer to this change of {decision.target} needs the "
        f"code that `fl-assets decisions --date {decision.day}` shows now"
    )


def undo(
    stores: UpdateStores,
    decision_id: str,
    *,
    by: str,
    reason: str,
    by_hand: bool = False,
    clock: Clock = now_utc,
) -> Rollout:
    """Take an update back from every node and restore this machine's files.

    Raises:
        AnswerError: no update, or several, have an id that starts so.
        RefusedChangeError: the files have changed since.
        NeedsHumanError: the files cannot be restored.
    """
    releases = open_releases(stores, clock)
    found = [one for one in releases.rollouts() if decision_id and one.startswith(decision_id)]
    if len(found) != 1:
        raise AnswerError(_not_one(decision_id, found, "updates"))
    return releases.roll_back(found[0], ended="undone", by=by, reason=reason, by_hand=by_hand)


def _not_one(begin: str, found: Collection[str], what: str) -> str:
    """Say that none or several ids start so, and list them."""
    begin = begin[:40]
    lists = f"`fl-assets {what}` lists them with their ids"
    if not found and begin.startswith("p-"):
        return f"{begin!r} is the id of a pattern; {lists}"
    if not found:
        return f"{begin!r} matches no {what.removesuffix('s')}; {lists}"
    listed = f"{', '.join(sorted(found)[:_LISTED])}{' …' if len(found) > _LISTED else ''}"
    return f"{begin!r} matches {len(found)} {what}: {listed}; {lists}"
