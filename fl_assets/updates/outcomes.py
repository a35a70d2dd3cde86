"""Did an update help? The verdict on a stage of a trial, from what treated and control nodes reported.

What goes here: what follows from the measures on each day. What does not: the measures
(`updates/measures.py`), the test (`updates/randomisation.py`), which nodes are treated (`updates/canary.py`),
promoting or rolling back (`updates/trials.py`).

**What counts** is what a user got: sessions (requests, where there are none) whose last attempt failed, over
all of them. A retry that mends a request is help; more successful calls are not.

**Three stages.** A tenth of the nodes takes the change first, and is looked at for harm alone. Then half of
them take it, which decides: nothing gives more power than equal groups. A change that helps goes to all nodes
but those held back, and is judged again for WATCH_DAYS against these.

**Daily looks.** The error is spent over the days of a stage (Lan and DeMets, Biometrika 70, 1983): for harm
evenly, for help as O'Brien and Fleming do, late. So the probability that a change without any effect is ever
promoted is at most `BETTER_ALPHA`, however often one looks. The interval holds the effects that the same test
does not reject on its day (repeated confidence interval: Jennison and Turnbull, JRSS B 51, 1989).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import pandas as pd

from fl_assets.updates.measures import Mean, Panel, Ratio
from fl_assets.updates.randomisation import boundaries, draws_of, evenly, first_crossing, late
from fl_assets.updates.trial import Effect, Finding, StageVerdict, Trial, days_of_stage

BETTER_ALPHA = 0.035
"""Chance that a change without effect is promoted, over all looks."""
WORSE_ALPHA = 0.025
"""Chance that a change without effect is rolled back for the pattern it was made for, in each stage."""
GUARD_ALPHA = 0.025 / 3
"""The same for each of the three guard metrics, and for the other patterns of the service together."""
MAX_ALL_FAILURES = 1.10
"""Nothing is promoted unless all failures in the end are, but for DOUBT_ALPHA, below this factor."""
DOUBT_ALPHA = 0.1
MAX_P95, TOO_NOISY_P95 = 1.25, 1.5
"""Nothing is promoted while latency is, but for DOUBT_ALPHA, worse by more than the first factor (so is
harm, at its own error: a raised time limit lets slow calls succeed), or unless it is, but for DOUBT_ALPHA,
below the second: where it varies too much to tell a half more from nothing, nothing is known."""
LASTING = 0.5
"""Share of the effect that its later half must show too, and that must be there when traffic is taken as it
was.
"""
GONE_ODDS = 4.0
"""Odds before the watch that a measured effect lasts."""
SEEN_EFFECT = 0.8
"""Effect that a trial's power is given for."""


@dataclass(frozen=True)
class _Guard:
    """One metric beside the target.

    The log effects of all draws, and the look from which on it is surely worse.
    """

    name: str
    measure: Ratio | Mean
    paths: np.ndarray
    crossed: int | None

    @classmethod
    def of(cls, name: str, measure: Ratio | Mean, draws: np.ndarray, spent: np.ndarray) -> "_Guard":
        paths = measure.paths(draws)
        tolerated = measure.paths(draws, MAX_P95) if name == "p95_ms" else paths
        return cls(name, measure, paths, first_crossing(tolerated, spent))

    def effect(self, looks: list[date], at: int) -> Effect:
        has_crossed = self.crossed is not None and self.crossed <= at
        return Effect(
            self.name, _ratio(self.paths, at), worse_on=looks[self.crossed or 0] if has_crossed else None
        )


def judge(
    counts: pd.DataFrame,
    trial: Trial,
    *,
    day: date,
    max_days: int,
    others: Mapping[str, pd.DataFrame] | None = None,
    interval: bool = True,
) -> StageVerdict:
    """Return the verdict on a stage of a trial by the end of `day`.

    Args:
        counts: One row per node and day that reported anything: `measures.COLUMNS`; `failures` are
            sessions that failed in the end by the pattern, among the `calls` sessions that used its methods;
            `all_failures` among `all_calls` are those of the node, by any failure; `p95_ms` stands for
            the p95 latency of the pattern's methods (may be null). Rows of other nodes and later days are
            ignored.
        trial: Which nodes, since when, in which stage.
        day: Last day that counts.
        max_days: Days after the release when the trial is given up.
        others: The same counts for other patterns of the same service, by their name; their `failures`
            and `calls` are read.
        interval: Whether to compute the interval, the slowest part.

    Returns:
        The finding of the first day that the test was sure on; `wait` while it is not and the stage goes on.
    """
    panel = Panel.of(counts, trial, day)
    stage_days = days_of_stage(trial.stage, max_days)
    times = np.array([(look - trial.began_on).days / stage_days for look in panel.looks])
    draws = draws_of(panel.treated, panel.strata, trial.decision_id)
    target = panel.rate()
    paths = target.paths(draws)
    guarded = evenly(GUARD_ALPHA, times)
    guards = [
        _Guard.of("all_failures", panel.rate("all_failures", "all_calls"), draws, guarded),
        _Guard.of("p95_ms", panel.level(), draws, guarded),
        _Guard.of("silent_days", panel.silence(), draws, guarded),
    ]
    for name, frame in sorted((others or {}).items()):
        measure = Panel.of(_with(counts, frame), trial, day).rate()
        guards.append(_Guard.of(name, measure, draws, guarded / len(others or {})))
    evidence = _Evidence(trial, panel, draws, target, paths, guards, panel.rate(fixed=True), times)
    finding, look, reason = evidence.conclude((day - trial.began_on).days, stage_days)
    at = len(panel.looks) - 1 if look is None else look
    low, high = evidence.interval(at) if interval and at >= 0 else (None, None)
    on = [
        panel.looks[crossed] if crossed is not None and crossed <= at else None
        for crossed in evidence.crossed
    ]
    return StageVerdict(
        finding=finding,
        reason=reason,
        looks=at + 1,
        decided_on=panel.looks[look] if look is not None else None,
        effect=Effect("failures", _ratio(paths, at), *on),
        low=low,
        high=high,
        guards=tuple(guard.effect(panel.looks, at) for guard in guards),
        rates=panel.rates(at),
        power=evidence.power(at) if at >= 0 else None,
    )


class _Evidence:
    """All that a stage has shown, and what follows on each day in turn; harm is looked for first."""

    def __init__(
        self,
        trial: Trial,
        panel: Panel,
        draws: np.ndarray,
        target: Ratio,
        paths: np.ndarray,
        guards: list[_Guard],
        usual: Ratio,
        times: np.ndarray,
    ) -> None:
        self._trial, self._panel, self._draws, self._guards = trial, panel, draws, guards
        self._target, self._paths, self._usual, self._times = target, paths, usual, times
        better = first_crossing(-paths, late(BETTER_ALPHA, times)) if trial.stage == "half" else None
        self.crossed = (better, first_crossing(paths, evenly(WORSE_ALPHA, times)))

    def conclude(self, passed: int, stage_days: int) -> tuple[Finding, int | None, str]:
        """Return the finding, the look it was made at, and why."""
        better, worse = self.crossed
        where = {
            "canary": "canary nodes",
            "half": "half of the nodes",
            "watch": "all nodes but those held back",
        }
        for at, look in enumerate(self._panel.looks):
            days = _days((look - self._trial.began_on).days)
            harmed = ["the pattern itself"] if worse is not None and worse <= at else []
            harmed += [one.name for one in self._guards if one.crossed is not None and one.crossed <= at]
            if harmed:
                return "worse", at, f"worse on {where[self._trial.stage]} after {days}: {', '.join(harmed)}"
            if better is not None and better <= at and not self._doubts(at):
                change = 100 * (1 - math.exp(self._paths[0, at]))
                reason = f"{change:.0f} % fewer failures of the pattern on {where['half']} after {days}"
                return "better", at, f"{reason}, and no guard metric is worse"
            if self._trial.stage == "watch" and (reason := self._faded(at)):
                return "faded", at, f"{reason} after {days}"
        if passed < stage_days or (
            self._trial.stage == "canary" and not self._panel.looks and passed < 2 * stage_days
        ):
            return (
                "wait",
                None,
                f"{_days(max(0, passed))} of {stage_days} have passed, and no difference is sure yet",
            )
        if self._trial.stage == "watch":
            return "kept", None, f"the effect is still there after {_days(passed)}"
        if self._trial.stage == "canary" and self._panel.looks:
            return "safe", None, f"no harm on canary nodes after {_days(passed)}"
        reason = f"no difference that is sure after {_days(passed)}; inconclusive is not success"
        if better is not None and self._panel.looks:
            reason += f" ({'; '.join(self._doubts(len(self._panel.looks) - 1))})"
        return "inconclusive", None, reason

    def _doubts(self, at: int) -> list[str]:
        """Return why an effect that the test is sure of is not taken for help yet."""
        effect = float(self._paths[0, at])
        found = []
        everything = self._panel.rate("all_failures", "all_calls")
        if _is_not_below(everything.paths(self._draws, MAX_ALL_FAILURES, at=at)[:, 0]):
            found.append(f"all failures may be {MAX_ALL_FAILURES:.2f} times as many")
        latency = next(one for one in self._guards if one.name == "p95_ms")
        if (times := _ratio(latency.paths, at)) is not None:
            above, below = (
                latency.measure.paths(self._draws, factor)[:, at] for factor in (MAX_P95, TOO_NOISY_P95)
            )
            if not _is_not_below(-above):
                found.append(f"p95 latency is {times:.2f} times as long")
            elif _is_not_below(below):
                found.append(f"p95 latency varies too much to tell {TOO_NOISY_P95:g} times as long from none")
        later = self._target.within(self._draws[0], (at + 1) // 2, at)
        if later > LASTING * effect:
            found.append("less than half of the effect is left in the later half of the days")
        if self._usual.within(self._draws[0], 0, at) > LASTING * effect:
            found.append("there are more successes and not fewer failures")
        return found

    def _faded(self, at: int) -> str:
        """Return that the effect of a promoted change is gone, '' while it may be there.

        The odds of lasting against gone, on the latest days. What nearly ended all failures lasts while
        half of them stay away: of few failures an estimate is easily too good.
        """
        first = max(0, at + 1 - _WATCHED_DAYS)
        if at + 1 < _WATCHED_DAYS // 2:
            return ""
        seen = self._target.within(self._draws[0], first, at)
        spread = self._spread(at)
        expected = max(math.log(self._trial.expected or 1.0), math.log(MUST_LAST))
        if expected >= 0:
            return ""
        odds = math.log(GONE_ODDS) + (seen * expected - expected**2 / 2) / spread**2
        gone = 100 * (1 - math.exp(seen))
        return (
            f"{gone:.0f} % fewer failures than on the nodes held back, "
            f"{100 * (1 - (self._trial.expected or 1.0)):.0f} % were measured before"
            if odds < 0
            else ""
        )

    def _spread(self, at: int) -> float:
        """Return the standard deviation of the log effect over the draws, its own effect taken out.

        Counts alone give as much as Poisson's at the least.
        """
        effect = math.exp(float(self._paths[0, at]))
        expected = self._target.expected[:, : at + 1].sum(axis=1)
        groups = [float(expected[group].sum()) for group in (self._draws[0], ~self._draws[0])]
        least = math.sqrt(sum(1 / (group + 0.5) for group in groups))
        return max(least, float(np.std(self._target.paths(self._draws, effect, at=at))))

    def power(self, at: int) -> float:
        """Return the power of the stage to find SEEN_EFFECT by its end.

        From the spread of its draws so far.
        """
        normal = NormalDist()
        spread = self._spread(at)
        return normal.cdf(-math.log(SEEN_EFFECT) / spread - normal.inv_cdf(1 - BETTER_ALPHA))

    def interval(self, at: int) -> tuple[float | None, float | None]:
        """Return the effects that are not rejected at a look; None where no end can be given yet."""
        spent = {1: evenly(WORSE_ALPHA * 2, self._times), -1: late(BETTER_ALPHA, self._times)}

        def is_rejected(log_effect: float, sign: int) -> bool:
            paths = sign * self._target.paths(self._draws, math.exp(log_effect))[:, : at + 1]
            return bool(paths[0, at] > boundaries(paths, spent[sign][: at + 1])[at])

        ends = []
        for sign in (1, -1):
            inside, outside = float(self._paths[0, at]), -sign * 5.0
            if is_rejected(inside, sign) or not is_rejected(outside, sign):
                ends.append(None)
                continue
            for _ in range(12):
                middle = (inside + outside) / 2
                inside, outside = (inside, middle) if is_rejected(middle, sign) else (middle, outside)
            ends.append(math.exp(outside))
        return ends[0], ends[1]


MUST_LAST = 0.5
"""Of a promoted change: rate ratio that still counts as lasting, however much better it was measured."""
_WATCHED_DAYS = 14
"""Latest days that a promoted change is judged by."""


def _is_not_below(values: np.ndarray) -> bool:
    """Whether the first value does not lie below all but DOUBT_ALPHA of the draws."""
    return bool((values <= values[0]).mean() > DOUBT_ALPHA)


def _with(counts: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the counts with another pattern's failures in the place of the target's."""
    keys = ["node_id", "event_date"]
    merged = counts.drop(columns=["failures", "calls"]).merge(
        other[[*keys, "failures", "calls"]], how="left", on=keys
    )
    return merged.fillna({"failures": 0.0, "calls": 0.0})


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _ratio(paths: np.ndarray, at: int) -> float | None:
    value = float(paths[0, at]) if at >= 0 else math.nan
    return math.exp(value) if math.isfinite(value) else None
