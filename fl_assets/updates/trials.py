"""Judging running trials, and the step that each verdict asks for.

What goes here: from counts to the next stage, a promotion or a rollback, and the rows of `update_outcomes`.
What does not: the statistics (`updates/outcomes.py`), carrying a step out (`updates/releases.py`).
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from fl_assets.core.cycles import mode_of
from fl_assets.infra.clock import now_utc
from fl_assets.updates.carriers.carrier import is_changed_by_machine
from fl_assets.updates.history import MACHINE, Rollout
from fl_assets.updates.outcomes import judge
from fl_assets.updates.releases import Releases
from fl_assets.updates.rollout import Clock, open_releases
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial import BASELINE_DAYS, Finding, StageVerdict, Trial
from fl_assets.updates.trial_counts import counts_of, others_of


def judge_day(stores: UpdateStores, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
    """Judge every trial of a day, take the step that follows, and return the rows of `update_outcomes`.

    An unfinished day is judged by the days before it. For a historical day no step is taken.
    """
    releases = open_releases(stores, clock)
    today = clock().date()
    is_live = mode_of(day, today=today) == "live"
    known_until = min(day, today - timedelta(days=1))
    rows = []
    for one in releases.rollouts().values():
        trial = trial_on(one, known_until)
        if trial is None:
            continue
        first = trial.released_on - timedelta(days=BASELINE_DAYS)
        found = judge(
            counts_of(stores, one.update.pattern_id, first, known_until),
            trial,
            day=known_until,
            max_days=stores.settings.max_canary_days,
            others=others_of(stores, one.update.pattern_id, first, known_until),
        )
        action = "none"
        if is_live:
            is_due = trial == trial_on(one, today)  # it may have moved on to a later stage
            action = _step(releases, one, found, apply=stores.settings.apply) if is_due else _done(one)
        rows.append(_row(one, trial, found, action))
    if is_live:
        releases.refresh()
    return rows


def trial_on(one: Rollout, day: date) -> Trial | None:
    """Return the stage that an update was in at the end of a day; None when there was no trial."""
    out = one.carried_out
    is_closed = one.closed_at and one.closed_at.date() <= day
    if out is None or not one.canary or out.at.date() > day or is_closed:
        return None
    released_on, everyone = out.at.date(), {*one.canary, *one.control}
    fields: dict[str, Any] = {"released_on": released_on, "newcomers": frozenset(out.newcomers)}
    if one.promoted_at and one.promoted_at.date() <= day:
        others = tuple(sorted(everyone - {*one.held_back}))
        fields |= {"stage": "watch", "since": one.promoted_at.date(), "expected": one.effect}
        return Trial(one.update.decision_id, others, one.held_back, **fields)
    if one.widened_at and one.widened_at.date() <= day:
        rest = tuple(sorted(everyone - {*out.half}))
        fields |= {"stage": "half", "since": one.widened_at.date()}
        return Trial(one.update.decision_id, out.half, rest, **fields)
    # Trials of early releases have no half: their canary nodes decide.
    stage = "canary" if out.half else "half"
    return Trial(one.update.decision_id, one.canary, one.control, stage=stage, **fields)


def _step(releases: Releases, one: Rollout, found: StageVerdict, *, apply: str) -> str:
    """Take the step that a verdict asks for; return the update's new status, `none` without a step."""
    identity, reason = one.update.decision_id, found.reason
    if not is_changed_by_machine(one.update.category) and one.carried_out:
        places = {
            "safe": f"on {', '.join(one.carried_out.half)}",
            "better": f"everywhere but on {', '.join(one.held_back)}",
            "kept": "everywhere",
        }
        place = places.get(found.finding)
        reason += f"; people change the {one.update.category} {place}" if place else ""
    effect, power = found.effect.ratio, found.power
    steps: dict[Finding, Callable[[], Rollout]] = {
        "safe": lambda: releases.widen(identity, reason=reason),
        "better": lambda: releases.promote(identity, reason=reason, effect=effect, power=power),
        "kept": lambda: releases.confirm(identity, reason=reason),
    }
    if found.finding in ("worse", "inconclusive", "faded"):
        ended = found.finding
        return releases.roll_back(identity, ended=ended, reason=reason, effect=effect, power=power).status
    if found.finding in steps and apply != "off":
        return steps[found.finding]().status
    return "none"


def _done(one: Rollout) -> str:
    """Return the step that an earlier run of this day took."""
    return one.status if one.by == MACHINE else "none"


def _row(one: Rollout, trial: Trial, found: StageVerdict, action: str) -> dict[str, Any]:
    guards = {guard.name: guard.ratio for guard in found.guards}
    return one.update.model_dump() | {
        "released_on": trial.released_on,
        "stage": trial.stage,
        "days_observed": found.looks,
        "canary_nodes": len(trial.treated),
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
        "power": found.power,
        "verdict": found.finding,
        "action": action,
        "reason": found.reason,
    }
