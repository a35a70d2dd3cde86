"""Statistics of 2x2 tables: tests, rate ratios and intervals.

What goes here: arithmetic on counts. What does not: which tables are looked at (`contrasts.py`, `cures.py`).
Association is not cause; the canary decides.
"""

import numpy as np
from scipy.special import gammaln

_Z95 = 1.959963984540054


def p_more(with_: np.ndarray, group: np.ndarray, with_all: np.ndarray, everyone: np.ndarray) -> np.ndarray:
    """Return the one-sided p-value of Fisher's exact test that a trait is more frequent in a group.

    Counts are of the group's members with the trait, the group, all with the trait, and everyone.
    """
    hits, members, hits_all, everyone = map(np.rint, (with_, group, with_all, everyone))
    rest = everyone - hits_all
    # The tail that leads away from the mean is summed, term by term: some ten standard deviations of them.
    is_upper = hits * everyone > members * hits_all
    at = np.where(is_upper, hits, hits - 1)
    least, most = np.maximum(0, members - rest), np.minimum(members, hits_all)
    is_possible = (least <= at) & (at <= most)
    at = np.where(is_possible, at, least)
    ways = _log_choose(hits_all, at) + _log_choose(rest, members - at) - _log_choose(everyone, members)
    term, tail = np.where(is_possible, np.exp(ways), 0.0), np.zeros_like(at)
    while (term > 1e-18 * tail).any():
        tail += term
        above = (hits_all - at) * (members - at), (at + 1) * (rest - members + at + 1)
        below = at * (rest - members + at), (hits_all - at + 1) * (members - at + 1)
        more, fewer = (np.where(is_upper, *both) for both in zip(above, below, strict=True))
        term = term * more / np.maximum(fewer, 1.0)
        at = at + np.where(is_upper, 1, -1)
    return np.where(is_upper, tail, 1.0 - tail)


def _log_choose(many: np.ndarray, some: np.ndarray) -> np.ndarray:
    return gammaln(many + 1) - gammaln(some + 1) - gammaln(many - some + 1)


def adjusted(p_values: np.ndarray) -> np.ndarray:
    """Return q-values by Benjamini and Hochberg (1995, JRSS B 57:289)."""
    count = len(p_values)
    if not count:
        return p_values
    order = np.argsort(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    result = np.empty(count)
    result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def ratio_of_rates(
    hits: np.ndarray, tries: np.ndarray, other_hits: np.ndarray, other_tries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ratio of two rates and its 95 % interval (Katz et al. 1978, Biometrics 34:469).

    Where a count is 0, half a count is added.
    """
    nil = (hits <= 0) | (other_hits <= 0) | (tries <= 0) | (other_tries <= 0)
    a, n = np.where(nil, hits + 0.5, hits), np.where(nil, tries + 1.0, tries)
    b, m = np.where(nil, other_hits + 0.5, other_hits), np.where(nil, other_tries + 1.0, other_tries)
    ratio = (a / n) / (b / m)
    spread = np.exp(_Z95 * np.sqrt(np.maximum(0.0, 1 / a - 1 / n + 1 / b - 1 / m)))
    return ratio, ratio / spread, ratio * spread


def wilson(hits: np.ndarray, tries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of each rate (Wilson 1927, JASA 22:209); (0, 1) where nothing was tried."""
    n = np.maximum(tries, 1.0)
    share, z2 = hits / n, _Z95**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
    empty = tries <= 0
    low = np.where(empty | (hits <= 0), 0.0, np.clip(centre - half, 0.0, 1.0))
    high = np.where(empty | (hits >= n), 1.0, np.clip(centre + half, 0.0, 1.0))
    return low, high


def information(
    with_: np.ndarray, without: np.ndarray, other_with: np.ndarray, other_without: np.ndarray
) -> np.ndarray:
    """Return the likelihood-ratio statistic of a 2x2 table (Dunning 1993, CL 19:61)."""
    table = np.stack([with_, without, other_with, other_without]).astype(float)
    total = table.sum(axis=0)
    group, others = with_ + without, other_with + other_without
    all_with, all_without = with_ + other_with, without + other_without
    rows = np.stack([group, group, others, others])
    columns = np.stack([all_with, all_without, all_with, all_without])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = table * np.log(table * total / (rows * columns))
    return 2 * np.nansum(np.where(table > 0, terms, 0.0), axis=0)
