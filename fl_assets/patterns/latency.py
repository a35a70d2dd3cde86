"""Latency quantiles from log histograms, exact or with noise.

What goes here: quantiles of histograms. What does not: the buckets' SQL (`sums/masking.py`).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from fl_assets.patterns.window import PAIR, WindowSums, entries, since
from fl_assets.sums.masking import BUCKET_BASE, NOISE_BUCKET, NOISE_WIDTH

BELIEVED = 0.95
"""With noise a higher quantile that does not show is at most NOISE_WIDTH above this one: of 93 methods of two
real systems the 99th percentile was below five times the 95th in 90 %."""


def latency(window: WindowSums, patterns: pd.Index) -> dict[str, pd.Series]:
    """Return quantiles, ms, of successful calls to the affected methods and of failed calls.

    Returns:
        `p50_ms`, `p95_ms`, `p99_ms` and `failure_p50_ms` by pattern, NaN where nothing is known;
        `is_p99_estimated` where noise hides the 99th percentile and `p99_ms` is what it most likely is.
    """
    set_ids = window.set_of.set_index("pattern_id")["set_id"].reindex(patterns)
    wanted = window.sets[window.sets["set_id"].isin(set_ids)]

    def by_set(called: pd.DataFrame) -> pd.DataFrame:
        found = wanted.merge(_buckets(called, PAIR), on=PAIR)
        return found.groupby(["set_id", "bucket"], as_index=False)["weight"].sum()

    def by_pattern(failed: pd.DataFrame) -> pd.DataFrame:
        return _buckets(failed[failed["pattern_id"].isin(patterns)], ["pattern_id"])

    called = _enough(window.called, window, by_set)
    of_success = _quantiles(called, "set_id", (0.5, 0.95, 0.99))
    p99, likely = set_ids.map(of_success[0.99]).astype(float), set_ids.map(_estimates(called, "set_id"))
    of_failure = _quantiles(_enough(window.failed, window, by_pattern), "pattern_id", (0.5,))
    return {
        "p50_ms": set_ids.map(of_success[0.5]).astype(float),
        "p95_ms": set_ids.map(of_success[0.95]).astype(float),
        "p99_ms": p99.fillna(likely.astype(float)),
        "is_p99_estimated": p99.isna() & likely.notna(),
        "failure_p50_ms": of_failure[0.5].reindex(patterns),
    }


def quantile(buckets: np.ndarray, weights: np.ndarray, q: float, width: int = 1) -> float:
    """Return the q-quantile, ms, of a log histogram, interpolated (in the logarithm) within its bucket.

    Args:
        buckets: sorted buckets; b ends at `BUCKET_BASE ** b` ms.
        weights: calls in each.
        q: which quantile, between 0 and 1.
        width: of each bucket, in buckets of `BUCKET_BASE`.
    """
    cumulated = np.cumsum(weights)
    target = q * cumulated[-1]
    at = int(np.argmax(cumulated >= target))
    bucket = int(buckets[at])
    if bucket < 0:
        return 0.0
    inside = (target - (cumulated[at] - weights[at])) / weights[at]
    return float(BUCKET_BASE ** (bucket + width * (inside - 1)))


def noised_quantile(buckets: np.ndarray, weights: np.ndarray, q: float) -> float:
    """Return the q-quantile, ms, of a histogram with noise in it.

    Args:
        buckets: sorted; the first is NOISE_BUCKET, and its weight the variance of the noise in each bucket of
            NOISE_WIDTH.
        weights: calls; noise may have made them fewer than none.
        q: which quantile, between 0 and 1.

    Returns:
        NaN when there are fewer calls on one side of it than three standard errors of their count, or it lies
        among failures of which is only known that they were fast.
    """
    calls = _believed(buckets, weights)
    noised = max(2, np.count_nonzero(calls))
    # The noise of a sum over part of the buckets is largest for half of them.
    is_told = min(q, 1 - q) * calls.sum() >= 3 * np.sqrt(weights[0] * noised / 2)
    if not is_told or calls[0] >= q * calls.sum():
        return np.nan
    return quantile(NOISE_WIDTH * np.arange(calls.size), calls, q, NOISE_WIDTH)


def noised_estimate(buckets: np.ndarray, weights: np.ndarray, q: float = 0.99) -> float:
    """Return what the q-quantile, ms, of the same most likely is, when noise hides it.

    Returns:
        That of the calls that are more than noise, but no more than NOISE_WIDTH above the quantile BELIEVED;
        NaN when that does not show either, or more calls lie beyond than may.
    """
    bound = noised_quantile(buckets, weights, BELIEVED) * BUCKET_BASE**NOISE_WIDTH
    if np.isnan(bound):
        return bound
    calls = _believed(buckets, weights)
    beyond = calls[int(np.ceil(np.log(bound) / np.log(BUCKET_BASE) / NOISE_WIDTH)) + 1 :]
    most = (1 - q) * calls.sum() + 2 * np.sqrt(weights[0] * beyond.size)
    if beyond.sum() > most:
        return np.nan
    return min(bound, quantile(NOISE_WIDTH * np.arange(calls.size), calls, q, NOISE_WIDTH))


def _believed(buckets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return calls by bucket of NOISE_WIDTH, none where they are most likely nothing but noise."""
    wide = np.where(buckets[1:] < 0, 0, np.ceil(np.maximum(buckets[1:], 1) / NOISE_WIDTH).astype("int64"))
    calls = np.bincount(wide, weights=weights[1:], minlength=1)
    calls[np.abs(calls) < 2 * np.sqrt(weights[0])] = 0.0
    return calls


def _enough(
    rows: pd.DataFrame, window: WindowSums, summed: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """Return the summed buckets of the window; with noise, of all days whose buckets are known."""
    recent = summed(since(rows, window.start))
    has_noise = recent["bucket"] == NOISE_BUCKET
    if not has_noise.any():
        return recent
    longer, key = summed(rows), recent.columns[0]
    noised = recent.loc[has_noise, key]
    both = pd.concat([recent[~recent[key].isin(noised)], longer[longer[key].isin(noised)]])
    return both.sort_values([key, "bucket"], ignore_index=True)


def _buckets(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return buckets and weights of the frame's histograms, summed by `keys`."""
    found = [
        (row, bucket, weight)
        for row, histogram in enumerate(frame["latency_histogram"])
        for bucket, weight in entries(histogram)
    ]
    rows, buckets, weights = (
        (np.array(part, "int64") for part in zip(*found, strict=True))
        if found
        else (np.zeros(0, "int64") for _ in range(3))
    )
    long = frame[keys].iloc[rows].assign(bucket=buckets, weight=weights)
    long = long[long["weight"] != 0]
    return long.groupby([*keys, "bucket"], as_index=False, sort=True)["weight"].sum()


def _quantiles(long: pd.DataFrame, key: str, points: tuple[float, ...]) -> pd.DataFrame:
    """Return quantiles by `key`, from rows sorted by key and bucket."""
    found = {}
    for group, rows in long.groupby(key, sort=True):
        of = noised_quantile if rows["bucket"].iloc[0] == NOISE_BUCKET else quantile
        found[group] = [of(rows["bucket"].to_numpy(), rows["weight"].to_numpy(), q) for q in points]
    return pd.DataFrame.from_dict(found, orient="index", columns=list(points), dtype=float)


def _estimates(long: pd.DataFrame, key: str) -> pd.Series:
    """Return what the 99th percentile most likely is by `key`, of histograms with noise alone."""
    found = {
        group: noised_estimate(rows["bucket"].to_numpy(), rows["weight"].to_numpy())
        for group, rows in long.groupby(key, sort=True)
        if rows["bucket"].iloc[0] == NOISE_BUCKET
    }
    return pd.Series(found, dtype=float)
