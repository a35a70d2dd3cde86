"""Did an update help? The verdict on a stage of a trial, from what treated and control nodes reported.

What goes here: the verdict. What does not: the measures (`updates/measures.py`), the test
(`updates/randomisation.py`), which nodes are treated (`updates/canary.py`), promoting or rolling back
(`updates/trials.py`).

**What counts** is what users got: the share of sessions (or requests) whose last attempt failed. A retry that
mends a request helps; more successful calls do not.

**Three stages.** A tenth of the nodes takes the change first, and is watched for harm alone. Then half of
them take it, which decides: equal groups have the most power. A change that helps goes to all nodes but those
held back, and is judged against these for another WATCH_DAYS.

**Daily looks.** The error is spent over the days of a stage (Lan and DeMets, Biometrika 70, 1983): evenly for
harm, late for help, as O'Brien and Fleming do. So the probability that a change without effect is ever
promoted is at most `BETTER_ALPHA`, however many the looks. The interval holds the effects that the same test
does not reject on its day (repeated confidence interval: Jennison and Turnbull, JRSS B 51, 1989).
"""

import math
from collections.abc import Mapping, Sequence
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
"""Nothing is promoted unless failures of any kind rose by less than this factor, at level DOUBT_ALPHA."""
DOUBT_ALPHA = 0.1
MAX_P95, TOO_NOISY_P95 = 1.25, 1.5
"""Nothing is promoted while latency is worse by more than the first factor, at level DOUBT_ALPHA (harm too
must exceed it: a raised time limit lets slow calls succeed), nor unless it is below the second, at the same
level: when it varies that much, too little is known."""
LASTING = 0.5
"""Share of the effect that must also show in the later half of the days, and with earlier traffic."""
GONE_ODDS = 4.0
"""Prior odds that a measured effect lasts."""
MUST_LAST = 0.5
"""Rate ratio of a promoted change that still counts as lasting, however much better the trial measured it."""
_WATCHED_DAYS = 14
"""Latest days that a promoted change is judged by."""
SEEN_EFFECT = 0.8
"""Effect that a trial's power is given for."""


@dataclass(frozen=True)
class _Guard:
    """A guard metric: the log effects of all draws, and the first look at which it is significantly worse."""

    name: str
    measure: Ratio | Mean
    paths: np.ndarray
    crossed: int | None

    @classmethod
    def of(cls, name: str, measure: Ratio | Mean, draws: np.ndarray, spent: np.ndarray) -> "_Guard":
        paths = measure.paths(draws)
        tolerated = measure.paths(draws, MAX_P95) if name == "p95_ms" else paths
        return cls(name, measure, paths, first_crossing(tolerated, spent))


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
            sessions that ended with a failure of the pattern, among the `calls` sessions that used its
            methods; `all_failures` and `all_calls` are the node's, of any failure; `p95_ms` stands for the
            p95 latency of the pattern's methods (may be null). Rows of other nodes and later days are
            ignored.
        trial: The stage that is judged.
        day: Last day that counts.
        max_days: Days after the release when the trial ends.
        others: The same counts for other patterns of the same service, by their name; their `failures`
            and `calls` are read.
        interval: Whether to compute the interval, the slowest part.

    Returns:
        The finding of the first significant day; `wait` while there is none and the stage goes on.
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
    evidence = _Evidence(trial, panel, draws, guards, times, target=target, paths=paths)
    finding, look, reason = evidence.conclude((day - trial.began_on).days, stage_days)
    at = len(panel.looks) - 1 if look is None else look
    low, high = evidence.interval(at) if interval and at >= 0 else (None, None)
    return StageVerdict(
        finding=finding,
        reason=reason,
        looks=at + 1,
        decided_on=panel.looks[look] if look is not None else None,
        effect=Effect("failures", _ratio(paths, at)),
        low=low,
        high=high,
        guards=tuple(Effect(guard.name, _ratio(guard.paths, at)) for guard in guards),
        rates=panel.rates(at),
        power=evidence.power(at) if at >= 0 else None,
    )


_WHERE = {"canary": "canary nodes", "half": "half of the nodes", "watch": "all nodes but those held back"}


def _harm(where: str, harmed: Sequence[str], *, has_more: bool) -> str:
    """Say what a change made worse: the failure itself, or what it must not harm."""
    named = ", ".join(harmed)
    if not has_more:
        return f"worse {where}: {named}"
    return f"the failure got more frequent {where}{f'; worse too: {named}' if named else ''}"


@dataclass(frozen=True)
class _Evidence:
    """All that a stage has shown; each day is looked at for harm first."""

    trial: Trial
    """The stage."""
    panel: Panel
    """Counts of its nodes."""
    draws: np.ndarray
    """Draws of treated nodes, (draws, nodes)."""
    guards: list[_Guard]
    """Metrics that must not get worse."""
    times: np.ndarray
    """Share of the stage that has passed at each look."""
    target: Ratio
    """Failures of the pattern."""
    paths: np.ndarray
    """Their log effects, (draws, looks)."""

    def conclude(self, passed: int, stage_days: int) -> tuple[Finding, int | None, str]:
        """Return the finding, the look it was made at, and why."""
        is_half = self.trial.stage == "half"
        better = first_crossing(-self.paths, late(BETTER_ALPHA, self.times)) if is_half else None
        worse = first_crossing(self.paths, evenly(WORSE_ALPHA, self.times))
        for at, look in enumerate(self.panel.looks):
            days = _days((look - self.trial.began_on).days)
            has_more = worse is not None and worse <= at
            harmed = [one.name for one in self.guards if one.crossed is not None and one.crossed <= at]
            if has_more or harmed:
                return (
                    "worse",
                    at,
                    _harm(f"on {_WHERE[self.trial.stage]} after {days}", harmed, has_more=has_more),
                )
            if better is not None and better <= at and not self._doubts(at):
                return "better", at, f"{self._gain(at)} after {days}, and nothing else got worse"
            if self.trial.stage == "watch" and (reason := self._faded(at)):
                return "faded", at, f"{reason} after {days}"
        is_silent = self.trial.stage == "canary" and not self.panel.looks
        if passed < (2 if is_silent else 1) * stage_days:
            is_watched = self.trial.stage == "watch"
            seen = "nothing says that the effect is fading" if is_watched else "no difference is sure yet"
            return "wait", None, f"{_days(max(0, passed))} of {stage_days} have passed, and {seen}"
        if self.trial.stage == "watch":
            return "kept", None, f"the effect is still there after {_days(passed)}"
        if self.trial.stage == "canary" and self.panel.looks:
            return "safe", None, f"no clear harm on canary nodes after {_days(passed)}"
        if better is not None and self.panel.looks:
            last = len(self.panel.looks) - 1
            doubts = "; ".join(self._doubts(last))
            return "inconclusive", None, f"{self._gain(last)} after {_days(passed)}, not promoted: {doubts}"
        return "inconclusive", None, f"no clear difference after {_days(passed)}, which is not success"

    def _gain(self, at: int) -> str:
        fewer = 100 * (1 - math.exp(self.paths[0, at]))
        return f"{fewer:.0f} % fewer of these failures on the trial half"

    def _doubts(self, at: int) -> list[str]:
        """Return why a significant effect is not yet accepted as help."""
        effect = float(self.paths[0, at])
        found = []
        everything = self.panel.rate("all_failures", "all_calls")
        if _is_not_below(everything.paths(self.draws, MAX_ALL_FAILURES, at=at)[:, 0]):
            found.append(f"all failures may be {MAX_ALL_FAILURES:.2f} times as many")
        latency = next(one for one in self.guards if one.name == "p95_ms")
        if (times := _ratio(latency.paths, at)) is not None:
            above, below = (
                latency.measure.paths(self.draws, factor)[:, at] for factor in (MAX_P95, TOO_NOISY_P95)
            )
            if not _is_not_below(-above):
                found.append(f"p95 latency is {times:.2f} times as long")
            elif _is_not_below(below):
                found.append(f"p95 latency varies too much to rule out {TOO_NOISY_P95:g} times as long")
        later = self.target.within(self.draws[0], (at + 1) // 2, at)
        if later > LASTING * effect:
            found.append("less than half of the effect is left in the later half of the days")
        if self.panel.rate(fixed=True).within(self.draws[0], 0, at) > LASTING * effect:
            found.append("there are more successes and not fewer failures")
        return found

    def _faded(self, at: int) -> str:
        """Return why the effect of a promoted change is judged gone, by its odds on the latest days, or ''.

        A change that nearly ended all failures counts as lasting while half of them stay away: estimates from
        few failures are easily too good.
        """
        first = max(0, at + 1 - _WATCHED_DAYS)
        if at + 1 < _WATCHED_DAYS // 2:
            return ""
        seen = self.target.within(self.draws[0], first, at)
        spread = self._spread(at)
        expected = max(math.log(self.trial.expected or 1.0), math.log(MUST_LAST))
        if expected >= 0:
            return ""
        odds = math.log(GONE_ODDS) + (seen * expected - expected**2 / 2) / spread**2
        gone = 100 * (1 - math.exp(seen))
        before = 100 * (1 - (self.trial.expected or 1.0))
        found = (
            f"{gone:.0f} % fewer failures than on the nodes held back, {before:.0f} % were measured before"
        )
        return found if odds < 0 else ""

    def _spread(self, at: int) -> float:
        """Return the standard deviation of the log effect over the draws without the effect itself.

        It is at least that of Poisson counts.
        """
        effect = math.exp(float(self.paths[0, at]))
        expected = self.target.expected[:, : at + 1].sum(axis=1)
        groups = [float(expected[group].sum()) for group in (self.draws[0], ~self.draws[0])]
        least = math.sqrt(sum(1 / (group + 0.5) for group in groups))
        return max(least, float(np.std(self.target.paths(self.draws, effect, at=at))))

    def power(self, at: int) -> float:
        """Return the power of the stage to find SEEN_EFFECT by its end, from the spread of its draws."""
        normal = NormalDist()
        spread = self._spread(at)
        return normal.cdf(-math.log(SEEN_EFFECT) / spread - normal.inv_cdf(1 - BETTER_ALPHA))

    def interval(self, at: int) -> tuple[float | None, float | None]:
        """Return the interval of effects that are not rejected at a look; None for an end that is open."""
        spent = {1: evenly(WORSE_ALPHA * 2, self.times), -1: late(BETTER_ALPHA, self.times)}

        def is_rejected(log_effect: float, sign: int) -> bool:
            paths = sign * self.target.paths(self.draws, math.exp(log_effect))[:, : at + 1]
            return bool(paths[0, at] > boundaries(paths, spent[sign][: at + 1])[at])

        ends = []
        for sign in (1, -1):
            inside, outside = float(self.paths[0, at]), -sign * 5.0
            if is_rejected(inside, sign) or not is_rejected(outside, sign):
                ends.append(None)
                continue
            for _ in range(12):
                middle = (inside + outside) / 2
                inside, outside = (inside, middle) if is_rejected(middle, sign) else (middle, outside)
            ends.append(math.exp(outside))
        return ends[0], ends[1]


def _is_not_below(values: np.ndarray) -> bool:
    """Whether the first value does not lie below all but DOUBT_ALPHA of the draws."""
    return bool((values <= values[0]).mean() > DOUBT_ALPHA)


def _with(counts: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the counts with another pattern's failures instead of the target's."""
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
