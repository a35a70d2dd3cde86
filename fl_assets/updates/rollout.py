"""From decisions to the fleet and back: what is carried out, what is judged, what a person answers.

What goes here: reading a day, its gate and its counts, and taking the step that follows. What does not: rules (`updates/decide.py`, `updates/outcomes.py`,
`updates/releases.py`) and files (`updates/release_files.py`).

Nothing is carried out unless all of it holds: the decision is live, the apply level or a person's answer to this very change asks for it, the day passes the
gate now, and the playbook is, to the letter, the one that was decided on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from fl_assets.core.cycles import mode_of
from fl_assets.core.models import Category, Decision, Playbook
from fl_assets.infra.clock import now_utc
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.playbooks.files import write_proposals
from fl_assets.playbooks.gate import gate
from fl_assets.sums.masking import NOISE_BUCKET
from fl_assets.updates.adapter_carrier import AdapterCarrier
from fl_assets.updates.decide import RefusedChangeError, is_for_review, playbook_hash
from fl_assets.updates.log import UpdateLog
from fl_assets.updates.outcomes import BASELINE_DAYS, Trial, judge
from fl_assets.updates.release_files import Carrier, ConfigCarrier, PeopleCarrier, Releases
from fl_assets.updates.releases import (
    BY_PEOPLE,
    MACHINE,
    Rollout,
    TooFewNodesError,
    Update,
    draw_canary,
    under_way,
)
from fl_assets.workspace import Workspace

ANSWER_DAYS = 7
"""Days after which a person's yes no longer carries a decision out: its evidence is that old."""

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Decided:
    """A stored decision with its playbook, and where its update is."""

    decision: Decision
    playbook: Playbook
    update: Update
    known: Rollout | None

    @property
    def is_approved(self) -> bool:
        """Whether a person said yes to this very change and nothing has been done about it."""
        return bool(
            self.known
            and self.known.approved
            and self.known.status in ("approved", "refused")
            and self.known.approved.asks_the_same(self.update)
        )


def carriers(space: Workspace, clock: Clock = now_utc) -> dict[Category, Carrier]:
    """Return how each category's change is made on this machine; a category without a carrier is refused by name."""
    found: dict[Category, Carrier] = {category: PeopleCarrier() for category in BY_PEOPLE}
    found["adapter"] = AdapterCarrier(space.adapters, clock)
    if space.configs:
        found["config"] = ConfigCarrier(space.configs, space.update_policy)
    return found


def open_releases(space: Workspace, clock: Clock = now_utc) -> Releases:
    """Return the history of updates and the release of the workspace's channel."""
    settings = space.settings
    return Releases(
        settings.data_path / "releases",
        UpdateLog(settings.data_path / "updates" / "history.jsonl", clock=clock),
        carriers(space, clock),
        key_path=settings.signing_key_path or settings.data_path / "keys" / "release.pem",
        channel=settings.channel,
        valid_days=settings.release_days,
    )


def half_done_change(space: Workspace) -> str:
    """Return what a person must put right before configs change again; '' for nothing. What a crash left half done is taken back by asking."""
    try:
        if space.configs:
            space.configs.recover()
    except NeedsHumanError as error:
        return str(error)
    return ""


# Carrying out ------------------------------------------------------------------------------------------------------------------


def carry_out_day(space: Workspace, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
    """Carry out what the day's decisions and people's answers ask for, each once; return the rows of `applied_updates`."""
    releases = open_releases(space, clock)
    found = decided_on(space, day, releases.rollouts())
    if found and space.settings.apply != "off" and any(one.decision.mode == "live" for one in found):
        write_proposals(
            space.settings.data_path / "proposals", day, [(one.playbook, one.decision) for one in found]
        )
    asked = [
        one
        for one in found
        if one.known
        or (
            one.decision.mode == "live"
            and (one.decision.action in ("apply", "canary") or is_for_review(one.decision))
        )
    ]
    stopped = [str(problem) for problem in gate(space, day)] if asked else []
    return [_row(one, *_carry_out(space, releases, one, stopped, clock())) for one in asked]


def decided_on(space: Workspace, day: date, rollouts: Mapping[str, Rollout]) -> list[Decided]:
    """Return the day's decisions with their playbooks, by decision; one whose playbook is gone is left out."""
    playbooks = {one.improvement_id: one for one in space.playbooks(day)}
    found = []
    for row in space.warehouse.read_day("update_decisions", day):
        decision = Decision(day=row.pop("event_date"), **row)
        playbook = playbooks.get(decision.improvement_id)
        if playbook:
            found.append(
                Decided(decision, playbook, Update.of(decision, playbook), rollouts.get(decision.decision_id))
            )
    return found


def _carry_out(
    space: Workspace, releases: Releases, one: Decided, stopped: list[str], now: datetime
) -> tuple[str, str, Rollout | None]:
    """Take the step that a decision asks for; return status, reason and where its update is."""
    known, level = one.known, space.settings.apply
    if known and known.carried_out:
        return known.carried_out.what, known.carried_out.reason, known
    if known and known.status == "rejected":
        return "rejected", known.reason, known
    if one.decision.mode == "backtest":
        return "refused", "backtest: a historical day is recorded and never carried out", known
    if stopped:
        return "refused", f"the day does not pass the gate: {stopped[0]}", known
    if one.decision.playbook_hash != playbook_hash(one.playbook):
        return (
            "refused",
            "the playbook has changed since it was decided on; materialise update_decisions again",
            known,
        )
    if level == "off":
        return "off", "FEDERATED_LEARNING_APPLY=off carries nothing out", known
    try:
        if not one.is_approved and (one.decision.action not in ("apply", "canary") or level == "stage"):
            done = releases.stage(one.update)
            return "staged", "; ".join(filter(None, ("waits for approval", done))), known
        if one.is_approved and (now.date() - one.decision.day).days > ANSWER_DAYS:
            return (
                "refused",
                f"decided on {one.decision.day}, more than {ANSWER_DAYS} days ago; its evidence is too old",
                known,
            )
        running = releases.rollouts().values()
        if busy := under_way(running, one.update.pattern_id, one.update.target):
            return "waiting", busy, known
        found = _release(space, releases, one, running)
        return found.carried_out.what if found.carried_out else found.status, found.reason, found
    except (RefusedChangeError, TooFewNodesError) as error:
        return (
            "refused",
            str(error),
            releases.refuse(one.update, reason=str(error)) if one.is_approved else known,
        )


def _release(space: Workspace, releases: Releases, one: Decided, running: Any) -> Rollout:
    settings = space.settings
    by = one.known.by if one.known and one.is_approved else MACHINE
    why = (
        f"approved: {one.known.reason}"
        if one.known and one.is_approved
        else f"FEDERATED_LEARNING_APPLY={settings.apply}"
    )
    if settings.apply == "on" and one.update.category not in BY_PEOPLE:
        return releases.carry_out(
            one.update, by=by, reason=f"{why}: to all nodes at once, so that there are none to compare with"
        )
    busy = {node for other in running if other.is_running for node in (*other.canary, *other.control)}
    nodes = concerned(space, one.update.pattern_id, one.update.day, at_least=2 * settings.canary_min_nodes)
    canary, control = draw_canary(
        one.update.decision_id,
        nodes,
        share=settings.canary_share,
        minimum=settings.canary_min_nodes,
        busy=busy,
    )
    words = f"{why}: to {len(canary)} of {len(canary) + len(control)} nodes first"
    words += (
        f"; people change the {one.update.category} on {', '.join(canary)}"
        if one.update.category in BY_PEOPLE
        else ""
    )
    return releases.carry_out(one.update, canary=canary, control=control, by=by, reason=words)


def _row(one: Decided, status: str, reason: str, known: Rollout | None) -> dict[str, Any]:
    out = known.carried_out if known else None
    answered = known.by if known and (known.approved or known.status == "rejected") else MACHINE
    return one.update.model_dump() | {
        "status": status,
        "canary_nodes": list(out.canary) if out else [],
        "control_nodes": list(out.control) if out else [],
        "decided_by": out.by if out else answered,
        "carried_out_at": out.at.astimezone(UTC).replace(tzinfo=None) if out else None,
        "reason": reason,
    }


# What nodes reported -------------------------------------------------------------------------------------------------------------


def concerned(space: Workspace, pattern_id: str, day: date, *, at_least: int) -> list[str]:
    """Return the nodes that can show a difference: those with the pattern in the last 14 days; all that made its calls where those are too few."""
    counts = counts_of(space, pattern_id, day - timedelta(days=BASELINE_DAYS - 1), day)
    recent = set(counts.loc[counts["event_date"].dt.date > day - timedelta(days=3), "node_id"])
    sums = counts.groupby("node_id")[["failures", "calls"]].sum()
    affected = sorted(set(sums.index[sums["failures"] > 0]) & recent)
    return affected if len(affected) >= at_least else sorted(set(sums.index[sums["calls"] > 0]) & recent)


def counts_of(space: Workspace, pattern_id: str, first: date, last: date) -> pd.DataFrame:
    """Return what `outcomes.judge` reads: one row a node and day that reported anything.

    A pattern is all messages that were ever grouped in it up to `last`; its calls are those to the services and methods that these failed in,
    and of a conversation pattern the conversations in which the signal was looked for.
    """
    return space.warehouse.read(
        _COUNTS, {"pattern_id": pattern_id, "first": first, "last": last, "noise": NOISE_BUCKET}
    )


_COUNTS = """
    with members as (select distinct message_id from pattern_members where pattern_id = $pattern_id and event_date <= $last),
    failed as (select f.* from failure_signatures f semi join members using (message_id) where event_date between $first and $last),
    pairs as (select distinct service, method from failure_signatures f semi join members using (message_id) where event_date <= $last),
    called as (select c.* from call_totals c semi join pairs using (service, method) where event_date between $first and $last),
    talked as (select * from conversation_signals where event_date between $first and $last),
    counted as (
        select node_id, event_date, sum(failures) as failures, 0 as calls, 0 as all_failures, 0 as all_calls from failed group by all
        union all select node_id, event_date, 0, sum(calls), 0, 0 from called group by all
        union all select node_id, event_date, 0, 0, sum(failures), sum(calls) from call_totals where event_date between $first and $last group by all
        union all select node_id, event_date, sum(sessions_affected), sum(sessions), 0, 0 from talked
            semi join members on message_id = signal || '|' || service group by all
        union all select node_id, event_date, 0, 0, 0, max(sessions) from talked group by node_id, event_date, service),
    -- a histogram with noise in it (bucket $noise) has no 95th percentile of a node and day
    buckets as (
        select node_id, event_date, unnest(map_entries(latency_histogram)) as entry from called where not map_contains(latency_histogram, $noise)),
    summed as (select node_id, event_date, entry.key as bucket, sum(entry.value) as calls from buckets group by all),
    ranked as (
        select *, sum(calls) over (partition by node_id, event_date order by bucket) as up_to, sum(calls) over (partition by node_id, event_date) as total
        from summed),
    latency as (select node_id, event_date, pow(1.1, min(bucket)) as p95_ms from ranked where up_to >= 0.95 * total group by node_id, event_date)
    select node_id, event_date, sum(failures)::double as failures, sum(counted.calls)::double as calls, sum(all_failures)::double as all_failures,
        sum(all_calls)::double as all_calls, any_value(p95_ms) as p95_ms
    from counted left join latency using (node_id, event_date) group by node_id, event_date order by node_id, event_date"""


# Judging ----------------------------------------------------------------------------------------------------------------------


def judge_day(space: Workspace, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
    """Judge every trial that ran by the end of `day`, promote or roll back what is decided, and return the rows of `update_outcomes`.

    A day that is not over is judged by the days before it. A historical day is judged and nothing follows.
    """
    releases = open_releases(space, clock)
    today = clock().date()
    known_until = min(day, today - timedelta(days=1))
    rows = []
    for one in releases.rollouts().values():
        out = one.carried_out
        if (
            out is None
            or not one.canary
            or out.at.date() > known_until
            or (one.ended_at and one.ended_at.date() <= known_until)
        ):
            continue
        trial = Trial(one.update.decision_id, one.canary, one.control, out.at.date())
        counts = counts_of(
            space, one.update.pattern_id, trial.released_on - timedelta(days=BASELINE_DAYS), known_until
        )
        found = judge(counts, trial, day=known_until, max_days=space.settings.max_canary_days)
        action = "none"
        if one.is_running and mode_of(day, today=today) == "live":
            if found.finding == "better" and space.settings.apply != "off":
                action = releases.promote(one.update.decision_id, reason=found.reason).status
            elif found.finding in ("worse", "inconclusive"):
                action = releases.roll_back(
                    one.update.decision_id, ended=found.finding, reason=found.reason
                ).status
        elif one.ended_at and one.by == MACHINE and mode_of(day, today=today) == "live":
            action = one.status  # what an earlier run of this day did
        guards = {guard.name: guard.ratio for guard in found.guards}
        rows.append(
            one.update.model_dump()
            | {
                "released_on": trial.released_on,
                "days_observed": found.looks,
                "canary_nodes": len(trial.canary),
                "control_nodes": len(trial.control),
                "canary_rate_before": found.rates.get("canary_before"),
                "canary_rate": found.rates.get("canary_after"),
                "control_rate_before": found.rates.get("control_before"),
                "control_rate": found.rates.get("control_after"),
                "effect": found.effect.ratio,
                "effect_low": found.low,
                "effect_high": found.high,
                "all_failures_effect": guards.get("all_failures"),
                "p95_effect": guards.get("p95_ms"),
                "verdict": found.finding,
                "action": action,
                "reason": found.reason,
            }
        )
    if mode_of(day, today=today) == "live":
        releases.refresh()
    return rows


# What a person answers -----------------------------------------------------------------------------------------------------------


def find(space: Workspace, decision_id: str, releases: Releases) -> Decided:
    """Return a stored decision by its id, or by the start of it.

    Raises:
        ValueError: none or several have it.
    """
    rows = space.warehouse.rows(
        "select distinct event_date, decision_id from update_decisions where starts_with(decision_id, $id) order by all",
        {"id": decision_id},
    )
    if len(rows) != 1 or not decision_id:
        message = f"decision {decision_id!r}: {len(rows)} decisions begin so; give the id of one, as `fl-assets decisions` shows it"
        raise ValueError(message)
    found = [
        one
        for one in decided_on(space, rows[0]["event_date"], releases.rollouts())
        if one.decision.decision_id == rows[0]["decision_id"]
    ]
    if not found:
        message = f"decision {decision_id!r}: its playbook of {rows[0]['event_date']} is not stored any more; materialise the day again"
        raise ValueError(message)
    return found[0]


def answer(
    space: Workspace, decision_id: str, *, yes: bool, by: str, reason: str, clock: Clock = now_utc
) -> Decided:
    """Record a person's yes or no to a decision; nothing is carried out by it.

    Raises:
        ValueError: no such decision; a yes to one that the gate holds, of a historical day, or that asks for nothing; or its update is past that.
    """
    if not by.strip() or not reason.strip():
        message = (
            f"decision {decision_id!r}: by {by!r}, reason {reason!r}; an answer says who gives it and why"
        )
        raise ValueError(message)
    releases = open_releases(space, clock)
    found = find(space, decision_id, releases)
    decision = found.decision
    if yes and not (
        decision.mode == "live"
        and (is_for_review(decision) or decision.action in ("apply", "canary", "reject"))
    ):
        message = f"decision {decision.decision_id} is {decision.action} ({decision.mode}): {'; '.join(decision.reasons)}; there is nothing to approve"
        raise ValueError(message)
    (releases.approve if yes else releases.reject)(found.update, by=by, reason=reason)
    return find(space, decision.decision_id, releases)


def undo(
    space: Workspace, decision_id: str, *, by: str, reason: str, by_hand: bool = False, clock: Clock = now_utc
) -> Rollout:
    """Take an update back from every node and restore this machine's files.

    Raises:
        ValueError: no update, or several, begin so, or the files have changed since.
        NeedsHumanError: the files cannot be restored.
    """
    releases = open_releases(space, clock)
    found = [one for one in releases.rollouts() if decision_id and one.startswith(decision_id)]
    if len(found) != 1:
        message = f"decision {decision_id!r}: {len(found)} updates begin so; give the id of one, as `fl-assets updates` shows it"
        raise ValueError(message)
    return releases.roll_back(found[0], ended="undone", by=by, reason=reason, by_hand=by_hand)
