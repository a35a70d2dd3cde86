"""Judging the trials that run, and taking the step that a verdict asks for.

What goes here: from counts to a promotion or a rollback, and the rows of `update_outcomes`. What does not: the statistics
(`updates/outcomes.py`), carrying a step out (`updates/releases.py`).
"""

from datetime import date, timedelta
from typing import Any

from fl_assets.core.cycles import mode_of
from fl_assets.infra.clock import now_utc
from fl_assets.updates.history import MACHINE
from fl_assets.updates.outcomes import BASELINE_DAYS, Trial, judge
from fl_assets.updates.rollout import Clock, open_releases
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial_counts import counts_of


def judge_day(space: UpdateStores, day: date, *, clock: Clock = now_utc) -> list[dict[str, Any]]:
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
