"""Did an update help? The verdict on a canary from what its nodes and the untouched ones reported.

What goes here: a difference in differences by node, a sequential test of it that may be looked at daily, guard metrics, and what the verdict teaches.
What does not: which nodes are canaries (`releases.py`), where the counts come from (`storage/`), promoting or rolling back (`assets/updates.py`).

**Estimate.** Every node is compared with itself: failures after the release over those expected from its own days before and from what all nodes saw on the
same days. The effect is the canary nodes' ratio of observed to expected over the control nodes' (indirect standardisation: Breslow and Day, "Statistical
Methods in Cancer Research" II, 1987, ch. 2); 0.5 means half the failures. A node's weight levels off with its size, as calls of one node fail together.

**Test.** Canary nodes were drawn by a hash that knows nothing of the outcome, so any other draw of as many nodes was as likely: the verdict compares the
effect with those of the other draws (randomisation test: Fisher 1935; Rosenbaum, "Observational Studies", 2002, ch. 2). The unit is the node, hence failures
may be over-dispersed, correlated within a node and driven by common day effects without harm to the error rate. It cannot be sure with few nodes: three
of six give twenty draws.

**Daily looks.** The error is spent over the days of the trial, linearly in calendar time (Lan and DeMets, Biometrika 70, 1983; Statistics in Medicine 8,
1989): each day's boundary is the value that the allowed share of draws exceeds, those counted in that crossed on an earlier day. So the probability
that a change without any effect is ever promoted is at most `BETTER_ALPHA`, however often one looks. The interval holds the effects that the same test does
not reject on its day (repeated confidence interval: Jennison and Turnbull, JRSS B 51, 1989).
"""

import hashlib
import math
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

BASELINE_DAYS = 14
"""Days before the start that a node is compared with."""


BETTER_ALPHA = 0.05
"""Chance that a change without effect is promoted, over all looks."""


WORSE_ALPHA = 0.05
"""Chance that a change without effect is rolled back for the pattern it was made for, over all looks."""


GUARD_ALPHA = 0.05 / 3
"""The same for each of the three guard metrics."""


GUARD_MARGIN = 1.25
"""Nothing is promoted while a guard metric looks worse by more than this factor, however unsure that is; latency must surely be worse by more than it to
count as harm, since a raised time limit lets slow calls succeed."""


OVERDISPERSION = 0.1
"""Variance of a node's own drift, as a share of its square: it sets weights, not error rates."""


DRAWS = 2000
"""Draws of canary nodes that the one made is compared with; all of them where there are no more."""


COLUMNS = ("node_id", "event_date", "failures", "calls", "all_failures", "all_calls", "p95_ms")


Finding = Literal["better", "worse", "wait", "inconclusive"]


@dataclass(frozen=True)
class Trial:
    """A canary: which nodes took the change, which did not, and on which day it was released."""

    decision_id: str
    canary: tuple[str, ...]
    control: tuple[str, ...]
    released_on: date

    def __post_init__(self) -> None:
        """Refuse a trial that no statistics could make sense of."""
        if not self.canary or not self.control or set(self.canary) & set(self.control):
            message = f"trial {self.decision_id}: {len(self.canary)} canary and {len(self.control)} control nodes; needs some of each, and none in both"
            raise ValueError(message)


@dataclass(frozen=True)
class Effect:
    """One metric of canary nodes over control nodes; 1 is no difference, above 1 is worse."""

    name: str
    ratio: float | None
    better_on: date | None = None
    worse_on: date | None = None


@dataclass(frozen=True)
class Verdict:
    """What is known of a trial by the end of a day."""

    finding: Finding
    reason: str
    looks: int
    decided_on: date | None
    effect: Effect
    low: float | None = None
    high: float | None = None
    guards: tuple[Effect, ...] = ()
    rates: dict[str, float | None] = field(default_factory=dict)


def judge(counts: pd.DataFrame, trial: Trial, *, day: date, max_days: int, interval: bool = True) -> Verdict:
    """Return the verdict on a trial by the end of `day`.

    The day of the release itself counts neither as before nor as after, as nodes took the change in its course.

    Args:
        counts: One row a node and day that reported anything: `COLUMNS`; `failures` of the pattern among `calls` to its methods, `all_failures` among
            `all_calls` of the node, `p95_ms` of its successful calls (may be null). Rows of other nodes and later days are ignored.
        trial: Which nodes, since when.
        day: Last day that counts.
        max_days: Days after the release when the trial is given up.
        interval: Whether to compute the interval, the slowest part.

    Returns:
        `better` and `worse` from the first day that the test was sure on; `inconclusive` once `max_days` have passed without; else `wait`.
    """
    panel = _Panel.of(counts, trial, day)
    spent = np.array([min(1.0, (look - trial.released_on).days / max_days) for look in panel.looks])
    draws = _draws(len(trial.canary) + len(trial.control), len(trial.canary), trial.decision_id)
    target = _rate(panel.failures, panel.calls, panel)
    paths = target.paths(draws)
    better = _first_crossing(-paths, BETTER_ALPHA * spent)
    worse = _first_crossing(paths, WORSE_ALPHA * spent)
    measures = (
        ("all_failures", _rate(panel.all_failures, panel.all_calls, panel)),
        ("p95_ms", _level(panel.p95_ms, panel)),
        ("silent_days", _silence(panel)),
    )
    guards = []
    for name, measure in measures:
        tolerated = GUARD_MARGIN if name == "p95_ms" else 1.0
        guards.append(
            (
                name,
                measure.paths(draws),
                _first_crossing(measure.paths(draws, tolerated), GUARD_ALPHA * spent),
            )
        )
    finding, look, reason = _conclude(panel.looks, better, worse, paths, guards, trial, day, max_days)
    at = len(panel.looks) - 1 if look is None else look
    shown = [
        Effect(name, _ratio(of_guard, at), worse_on=_on(panel.looks, crossed, at))
        for name, of_guard, crossed in guards
    ]
    low, high = target.interval(draws, spent, at) if interval and at >= 0 else (None, None)
    return Verdict(
        finding=finding,
        reason=reason,
        looks=at + 1,
        decided_on=panel.looks[look] if look is not None else None,
        effect=Effect(
            "failures", _ratio(paths, at), _on(panel.looks, better, at), _on(panel.looks, worse, at)
        ),
        low=low,
        high=high,
        guards=tuple(shown),
        rates=panel.rates(at),
    )


def _conclude(
    looks: list[date],
    better: int | None,
    worse: int | None,
    paths: np.ndarray,
    guards: list[tuple[str, np.ndarray, int | None]],
    trial: Trial,
    day: date,
    max_days: int,
) -> tuple[Finding, int | None, str]:
    """Return the finding, the look it was made at, and why: on each day in turn harm is looked for first."""
    for at, look in enumerate(looks):
        harmed = ["the pattern itself"] if worse is not None and worse <= at else []
        harmed += [name for name, _, crossed in guards if crossed is not None and crossed <= at]
        days = (look - trial.released_on).days
        if harmed:
            return "worse", at, f"worse on canary nodes after {_days(days)}: {', '.join(harmed)}"
        doubtful = [
            name
            for name, of_guard, _ in guards
            if name != "silent_days" and (_ratio(of_guard, at) or 1) > GUARD_MARGIN
        ]
        if better is not None and better <= at and not doubtful:
            change = 100 * (1 - math.exp(paths[0, at]))
            return (
                "better",
                at,
                f"{change:.0f} % fewer failures of the pattern on canary nodes after {_days(days)}, and no guard metric is worse",
            )
    passed = (day - trial.released_on).days
    if passed >= max_days:
        return (
            "inconclusive",
            None,
            f"no difference that is sure after {_days(passed)}; inconclusive is not success",
        )
    return "wait", None, f"{_days(max(0, passed))} of {max_days} have passed, and no difference is sure yet"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _ratio(paths: np.ndarray, at: int) -> float | None:
    value = float(paths[0, at]) if at >= 0 else math.nan
    return math.exp(value) if math.isfinite(value) else None


def _on(looks: list[date], crossed: int | None, at: int) -> date | None:
    return looks[crossed] if crossed is not None and crossed <= at else None


def _draws(nodes: int, canaries: int, seed: str) -> np.ndarray:
    """Return draws of canary nodes as rows of node numbers: the first is the one made (the first `canaries` nodes), the rest are others."""
    if math.comb(nodes, canaries) <= DRAWS:
        return np.array(
            list(combinations(range(nodes), canaries))
        )  # in lexicographic order: the one made comes first
    generator = np.random.default_rng(int(hashlib.sha256(f"draws\n{seed}".encode()).hexdigest()[:16], 16))
    chosen = np.argpartition(generator.random((DRAWS, nodes)), canaries, axis=1)[:, :canaries]
    chosen[0] = np.arange(canaries)
    return chosen


def _sums(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the sum over each draw's nodes: values (nodes, looks), result (draws, looks)."""
    total = np.zeros((len(draws), values.shape[1]))
    for place in range(draws.shape[1]):
        total += values[draws[:, place]]
    return total


def _boundaries(paths: np.ndarray, spent: np.ndarray) -> np.ndarray:
    """Return the value above which a draw crosses at each look (infinite while no draw may); paths are (draws, looks), larger is more extreme.

    The share of draws that have crossed by look k never exceeds `spent[k]`; draws with equal values cross together or not at all.
    """
    values = np.where(np.isnan(paths), -np.inf, paths)
    alive = np.ones(len(values), dtype=bool)
    bounds = np.full(values.shape[1], np.inf)
    for look in range(values.shape[1]):
        allowed = math.floor(spent[look] * len(values) + 1e-9) - int((~alive).sum())
        if allowed <= 0:
            continue
        left = np.sort(values[alive, look])[::-1]
        if allowed >= len(left):
            continue
        bounds[look] = left[allowed]
        alive &= ~(values[:, look] > bounds[look])
    return bounds


def _first_crossing(paths: np.ndarray, spent: np.ndarray) -> int | None:
    """Return the first look at which the draw that was made crosses."""
    crossed = np.flatnonzero(paths[0] > _boundaries(paths, spent))
    return int(crossed[0]) if len(crossed) else None


@dataclass(frozen=True)
class _Ratio:
    """Observed over expected, weighted, cumulated over the looks: arrays (nodes, looks); the first `canaries` nodes are the canary."""

    observed: np.ndarray
    expected: np.ndarray
    canaries: int

    def paths(self, draws: np.ndarray, assumed: float = 1.0) -> np.ndarray:
        """Return the log effect of each draw at each look, with an assumed effect taken out of the canary nodes first."""
        observed = self.observed.copy()
        observed[: self.canaries] /= assumed
        chosen, hoped = _sums(observed, draws), _sums(self.expected, draws)
        others, hoped_others = observed.sum(axis=0) - chosen, self.expected.sum(axis=0) - hoped
        # Half a failure on either side: a group that saw none is no proof that there are none.
        return np.log((chosen + 0.5) / (hoped + 0.5)) - np.log((others + 0.5) / (hoped_others + 0.5))

    def interval(self, draws: np.ndarray, spent: np.ndarray, at: int) -> tuple[float | None, float | None]:
        """Return the effects that are not rejected at a look; None where no end can be given yet."""

        def rejected(log_effect: float, sign: int) -> bool:
            paths = sign * self.paths(draws, math.exp(log_effect))
            alpha = WORSE_ALPHA if sign > 0 else BETTER_ALPHA
            return bool(paths[0, at] > _boundaries(paths[:, : at + 1], alpha * spent[: at + 1])[at])

        ends = []
        for sign in (1, -1):
            inside, outside = float(self.paths(draws)[0, at]), -sign * 5.0
            if rejected(inside, sign) or not rejected(outside, sign):
                ends.append(None)
                continue
            for _ in range(12):
                middle = (inside + outside) / 2
                inside, outside = (inside, middle) if rejected(middle, sign) else (middle, outside)
            ends.append(math.exp(outside))
        return ends[0], ends[1]


@dataclass(frozen=True)
class _Mean:
    """A value by node at each look, NaN where there is none; the effect is the difference of means. The first `canaries` nodes are the canary."""

    values: np.ndarray
    canaries: int

    def paths(self, draws: np.ndarray, assumed: float = 1.0) -> np.ndarray:
        """Return the effect of each draw at each look, with an assumed factor taken out of the canary nodes first."""
        known = np.isfinite(self.values)
        values = self.values.copy()
        values[: self.canaries] -= math.log(assumed)
        values = np.where(known, values, 0.0)
        chosen, count = _sums(values, draws), _sums(known.astype(float), draws)
        with np.errstate(invalid="ignore", divide="ignore"):
            return chosen / count - (values.sum(axis=0) - chosen) / (known.sum(axis=0) - count)


@dataclass(frozen=True)
class _Panel:
    """The counts as arrays (nodes, days before + looks), canary nodes first; zero and NaN where a node reported nothing."""

    failures: np.ndarray
    calls: np.ndarray
    all_failures: np.ndarray
    all_calls: np.ndarray
    p95_ms: np.ndarray
    before: int
    looks: list[date]
    canaries: int

    @classmethod
    def of(cls, counts: pd.DataFrame, trial: Trial, day: date) -> "_Panel":
        missing = [name for name in COLUMNS if name not in counts]
        if missing:
            message = f"counts: column {missing[0]!r} is missing; needs {', '.join(COLUMNS)}"
            raise ValueError(message)
        nodes = [*sorted(trial.canary), *sorted(trial.control)]
        days = pd.to_datetime(counts["event_date"]).dt.date
        first = trial.released_on - timedelta(days=BASELINE_DAYS)
        kept = counts["node_id"].isin(nodes) & (days >= first) & (days <= day) & (days != trial.released_on)
        days, kept_counts = days[kept], counts[kept]
        looks = sorted({one for one in days if one > trial.released_on})
        before = sorted({one for one in days if one < trial.released_on})
        row = pd.Series(range(len(nodes)), index=nodes)[kept_counts["node_id"]].to_numpy()
        column = (
            pd.Series(range(len(before) + len(looks)), index=[*before, *looks])[days].to_numpy()
            if len(days)
            else np.array([], dtype=int)
        )

        def array(name: str, otherwise: float) -> np.ndarray:
            found = np.full((len(nodes), len(before) + len(looks)), otherwise)
            found[row, column] = kept_counts[name].to_numpy(dtype=float)
            return found

        zero = {name: array(name, 0.0) for name in ("failures", "calls", "all_failures", "all_calls")}
        return cls(
            **zero,
            p95_ms=array("p95_ms", math.nan),
            before=len(before),
            looks=looks,
            canaries=len(trial.canary),
        )

    def rates(self, at: int) -> dict[str, float | None]:
        """Return the pattern's plain rates of either group, before and after."""
        groups = {"canary": slice(0, self.canaries), "control": slice(self.canaries, None)}
        times = {"before": slice(0, self.before), "after": slice(self.before, self.before + at + 1)}
        found: dict[str, float | None] = {}
        for group, nodes in groups.items():
            for when, days in times.items():
                calls = float(self.calls[nodes, days].sum())
                found[f"{group}_{when}"] = float(self.failures[nodes, days].sum()) / calls if calls else None
        return found


def _rate(failures: np.ndarray, calls: np.ndarray, panel: _Panel) -> _Ratio:
    """Return observed and expected failures: a node's own rate before, drawn to the fleet's as if that had shown one failure, times the day's effect."""
    past, now = slice(0, panel.before), slice(panel.before, None)
    failed, called = failures[:, past].sum(axis=1), calls[:, past].sum(axis=1)
    fleet = (failed.sum() + 0.5) / (called.sum() + 1.0)
    own = (failed + 1.0) / (called + 1.0 / fleet)
    weight = 1.0 / (1.0 + OVERDISPERSION * own * called)
    observed = weight[:, None] * failures[:, now]
    expected = weight[:, None] * own[:, None] * calls[:, now]
    totals = expected.sum(axis=0)
    expected *= np.divide(observed.sum(axis=0), totals, out=np.ones_like(totals), where=totals > 0)
    return _Ratio(observed.cumsum(axis=1), expected.cumsum(axis=1), panel.canaries)


def _level(values: np.ndarray, panel: _Panel) -> _Mean:
    """Return how much a node's mean log value rose, at each look."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(values > 0, np.log(values), np.nan)
    past, now = logs[:, : panel.before], logs[:, panel.before :]
    known = np.isfinite(now)
    with np.errstate(invalid="ignore", divide="ignore"):
        earlier = np.where(np.isfinite(past), past, 0.0).sum(axis=1) / np.isfinite(past).sum(axis=1)
        later = np.where(known, now, 0.0).cumsum(axis=1) / known.cumsum(axis=1)
    return _Mean(later - earlier[:, None], panel.canaries)


def _silence(panel: _Panel) -> _Mean:
    """Return the share of days on which a node that reported before the release has reported nothing since; an update can end a node."""
    reported = panel.all_calls[:, : panel.before].sum(axis=1) > 0
    silent = (panel.all_calls[:, panel.before :] == 0).cumsum(axis=1) / np.arange(1, len(panel.looks) + 1)
    return _Mean(np.where(reported[:, None], silent, np.nan), panel.canaries)
