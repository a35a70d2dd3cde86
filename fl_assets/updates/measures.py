"""Effects on failures, latency and silence: treated against control nodes, each against its own past.

What goes here: counts as arrays, and the effect of each draw of treated nodes. What does not: the test
(`updates/randomisation.py`), the verdict (`updates/outcomes.py`).

**One node decides nothing**, for it can report what it likes. So a node's failures count up to a bound that
follows from the spread of all nodes, its weight levels off with its size, and the best and the worst node of
either group are left out. The same is done in every draw, so the test stays exact.
"""

import math
import warnings
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from fl_assets.updates.trial import BASELINE_DAYS, Trial

COLUMNS = ("node_id", "event_date", "failures", "calls", "all_failures", "all_calls", "p95_ms")
OVERDISPERSION = 0.1
"""Variance of a node's own drift over its squared mean; sets weights and bounds, not error rates."""
CLIP = 2.5
"""Spreads from the median of all nodes at which a node's value is clipped."""
MIN_TRIMMED = 5
"""Least size of a group whose best and worst nodes are left out."""


@dataclass(frozen=True)
class Ratio:
    """Observed and expected failures: arrays (nodes, looks), not cumulated.

    `doubt` is each node's variance beyond that of its counts, (nodes, 1). The effect of a draw is the log of
    the treated nodes' ratio of observed to expected over the control nodes' (indirect standardisation:
    Breslow and Day, "Statistical Methods in Cancer Research" II, 1987, ch. 2).
    """

    observed: np.ndarray
    expected: np.ndarray
    doubt: np.ndarray

    def paths(self, draws: np.ndarray, assumed: float = 1.0, *, at: int | None = None) -> np.ndarray:
        """Return each draw's log effect by each look, or look `at`, after dividing out an assumed effect."""
        looks = slice(None) if at is None else slice(at, at + 1)
        observed = (self.observed / np.where(draws[0], assumed, 1.0)[:, None]).cumsum(axis=1)[:, looks]
        return _log_ratio(draws, *self._bounded(observed, self.expected.cumsum(axis=1)[:, looks]))

    def within(self, draw: np.ndarray, first: int, last: int) -> float:
        """Return the log effect of one draw in the looks from `first` to `last` alone."""
        part = slice(first, last + 1)
        observed = self.observed[:, part].sum(axis=1, keepdims=True)
        bounded = self._bounded(observed, self.expected[:, part].sum(axis=1, keepdims=True))
        return float(_log_ratio(draw[None, :], *bounded)[0, 0])

    def _bounded(self, observed: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weighted observed and expected counts, those of outlying nodes clipped."""
        spread = np.sqrt(self.doubt + 1 / (expected + 0.5))
        own = np.log((observed + 0.5) / (expected + 0.5))
        middle = np.median(own, axis=0)
        scaled = (own - middle) / spread
        unit = np.maximum(1.0, 1.4826 * np.median(np.abs(scaled), axis=0))
        factor = np.exp(middle + CLIP * unit * spread * np.array([[[-1.0]], [[1.0]]]))
        bounded = np.clip(observed, (expected + 0.5) * factor[0] - 0.5, (expected + 0.5) * factor[1] - 0.5)
        weight = 1 / (1 + self.doubt * expected)
        heavy = weight * expected
        weight = weight * np.minimum(1.0, 2 * np.median(heavy, axis=0) / np.maximum(heavy, 1e-12))
        return weight * np.maximum(bounded, 0.0), weight * expected


def _log_ratio(draws: np.ndarray, observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    # Half a failure is added, so that a group without failures has a finite ratio.
    found = [np.log((seen + 0.5) / (hoped + 0.5)) for seen, hoped in _groups(draws, observed, expected)]
    return found[0] - found[1]


def _groups(
    draws: np.ndarray, observed: np.ndarray, expected: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the sums of treated and of control nodes, (draws, looks), best and worst nodes left out."""
    level = observed.sum(axis=0) / np.maximum(expected.sum(axis=0), 1e-12)
    ranked = np.argsort(observed - level * expected, axis=0)
    found = []
    for chosen in (draws, ~draws):
        share = chosen.astype(float)
        seen, hoped = share @ observed, share @ expected
        if chosen[0].sum() >= MIN_TRIMMED:
            for look in range(observed.shape[1]):
                for order in (ranked[:, look], ranked[::-1, look]):
                    farthest = order[chosen[:, order].argmax(axis=1)]
                    seen[:, look] -= observed[farthest, look]
                    hoped[:, look] -= expected[farthest, look]
        found.append((seen, hoped))
    return found


@dataclass(frozen=True)
class Mean:
    """A value by node at each look, NaN where there is none; the effect is the difference of means."""

    values: np.ndarray

    def paths(self, draws: np.ndarray, assumed: float = 1.0) -> np.ndarray:
        """Return each draw's effect at each look, after taking an assumed factor out of the treated nodes."""
        known = np.isfinite(self.values)
        values = self.values - np.where(draws[0], math.log(assumed), 0.0)[:, None]
        values, share = np.where(known, values, 0.0), draws.astype(float)
        treated, count = share @ values, share @ known.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            return treated / count - (values.sum(axis=0) - treated) / (known.sum(axis=0) - count)


@dataclass(frozen=True)
class Panel:
    """The counts as arrays (nodes, days before + looks); zero and NaN where a node reported nothing."""

    counts: dict[str, np.ndarray]
    before: int
    looks: list[date]
    treated: np.ndarray
    strata: np.ndarray

    @classmethod
    def of(cls, counts: pd.DataFrame, trial: Trial, day: date) -> "Panel":
        """Return the counts of a trial's nodes before the release and in its stage up to `day`."""
        missing = [name for name in COLUMNS if name not in counts]
        if missing:
            raise ValueError(f"counts: column {missing[0]!r} is missing; needs {', '.join(COLUMNS)}")
        nodes = [*sorted(trial.treated), *sorted(trial.control)]
        days = pd.to_datetime(counts["event_date"]).dt.date
        first = trial.released_on - timedelta(days=BASELINE_DAYS)
        is_past = (days >= first) & (days < trial.released_on)
        is_look = (days > trial.began_on) & (days <= day)
        kept = counts["node_id"].isin(nodes) & (is_past | is_look)
        days, rows = days[kept], counts[kept]
        past, looks = sorted(set(days[is_past[kept]])), sorted(set(days[is_look[kept]]))
        row = rows["node_id"].map({node: place for place, node in enumerate(nodes)}).to_numpy(dtype=int)
        column = days.map({one: place for place, one in enumerate([*past, *looks])}).to_numpy(dtype=int)
        arrays = {}
        for name in COLUMNS[2:]:
            arrays[name] = np.full(
                (len(nodes), len(past) + len(looks)), math.nan if name == "p95_ms" else 0.0
            )
            arrays[name][row, column] = rows[name].to_numpy(dtype=float)
        treated = np.array([node in set(trial.treated) for node in nodes])
        strata = np.array([node in trial.newcomers for node in nodes])
        return cls(arrays, len(past), looks, treated, strata)

    def rates(self, at: int) -> dict[str, float | None]:
        """Return the pattern's plain rates of either group, before and after."""
        times = {"before": slice(0, self.before), "after": slice(self.before, self.before + at + 1)}
        found: dict[str, float | None] = {}
        for group, nodes in (("canary", self.treated), ("control", ~self.treated)):
            for when, days in times.items():
                calls = float(self.counts["calls"][nodes, days].sum())
                failures = float(self.counts["failures"][nodes, days].sum())
                found[f"{group}_{when}"] = failures / calls if calls else None
        return found

    def rate(self, failures: str = "failures", calls: str = "calls", *, fixed: bool = False) -> Ratio:
        """Return observed and expected failures.

        Expected is the node's own earlier rate, shrunk to the fleet's by one failure, times the day's effect.
        A node without a past is expected to fail as the fleet does, with a low weight.

        Args:
            failures: Column of failures.
            calls: Column of the calls they are counted among.
            fixed: Use every node's earlier traffic, so that more successes do not look like fewer failures.
        """
        past, now = slice(0, self.before), slice(self.before, None)
        failed, called = (self.counts[name][:, past].sum(axis=1) for name in (failures, calls))
        fleet = (failed.sum() + 0.5) / (called.sum() + 1.0)
        own = (failed + 1.0) / (called + 1.0 / fleet)
        observed, exposure = self.counts[failures][:, now], self.counts[calls][:, now]
        if fixed:
            reported = (self.counts[calls][:, past] > 0).sum(axis=1)
            usual = called / np.maximum(reported, 1)
            exposure = np.where((usual > 0)[:, None], (exposure > 0) * usual[:, None], exposure)
        expected = own[:, None] * exposure
        return Ratio(
            observed,
            expected * _day_effects(observed, expected),
            (OVERDISPERSION + 1 / (failed + 1))[:, None],
        )

    def level(self) -> Mean:
        """Return how much each node's mean log latency rose by each look, outliers clipped."""
        values = self.counts["p95_ms"]
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.where(values > 0, np.log(values), np.nan)
            known = np.isfinite(logs)
            logs = np.where(known, logs, 0.0)
            past = known[:, : self.before].sum(axis=1)
            earlier = logs[:, : self.before].sum(axis=1) / past
            later = logs[:, self.before :].cumsum(axis=1) / known[:, self.before :].cumsum(axis=1)
        rise = later - earlier[:, None]
        if not np.isfinite(rise).any():
            return Mean(rise)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a look at which no node has a latency
            middle = np.nanmedian(rise, axis=0)
            width = CLIP * np.maximum(0.05, 1.4826 * np.nanmedian(np.abs(rise - middle), axis=0))
        return Mean(np.clip(rise, middle - width, middle + width))

    def silence(self) -> Mean:
        """Return the share of silent days of each node that reported before: an update can stop a node."""
        reported = self.counts["all_calls"][:, : self.before].sum(axis=1) > 0
        silent = (self.counts["all_calls"][:, self.before :] == 0).cumsum(axis=1)
        share = silent / np.arange(1, len(self.looks) + 1)
        return Mean(np.where(reported[:, None], share, np.nan))


def _day_effects(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return each day's observed over expected failures of all nodes but the one that reported most."""
    effects = np.ones(observed.shape[1])
    for day in range(observed.shape[1]):
        rest = np.delete(np.arange(len(observed)), int(observed[:, day].argmax()))
        hoped = expected[rest, day].sum()
        effects[day] = (observed[rest, day].sum() + 0.5) / (hoped + 0.5) if hoped > 0 else 1.0
    return effects
