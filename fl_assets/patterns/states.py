"""How a pattern moves: the facts of its days, its spells, its day-to-day variation, and its state.

What goes here: what is derived from counts by day without a prior of the fleet. What does not: probabilities
(`confidence.py`).
"""

from dataclasses import dataclass

import numpy as np

from fl_assets.patterns.counts import BASELINE_DAYS, OWN_DAYS

SPREAD_COUNTS = (2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30)
"""Numbers of failures for which the chance that all fall on one node is computed."""
NEW_DAYS = 3
"""Days, the analysed one included, for which a pattern is new."""
CLEAN_DAYS = 3
"""Days with calls and without a failure after which a pattern's spell is over."""
DAY_VARIANCE, DAY_VARIANCE_WEIGHT = 0.06, 4.0
"""Squared coefficient of variation of a pattern's rate from day to day before any is seen, and the days this
is worth."""
REGRESSED_FAILURES = 3
"""Failures, in sessions, without which a pattern that was gone is not said to be back."""
PAIR_MOST, PAIR_LEAST = 3.0, 5.0
"""All patterns that the same two nodes have most of count together as no more than this many times what the
median pair has, or than this many patterns if that is more."""
LOAD_TEST, GROWN_DAYS = 1.4, 3
"""Times the median calls of the days before, as bounded by node, from which a day is not learnt from, unless
so many days after it have as many."""
RECENT_DAYS, DECLINE = 3, 0.8
"""A pattern is not rising when its last day's rate is below this share of the rate of the days before it."""
STATE_RATIO, STATE_Z = 1.5, 1.96
"""Rate ratio and z-value from which a pattern counts as rising or falling."""


@dataclass(frozen=True)
class FailureHistory:
    """What the model needs of each row (a pattern, or a pattern without one of its nodes)."""

    failures: np.ndarray
    """Capped failures by day (rows, days)."""
    exposure: np.ndarray
    """Capped calls by day (rows, days)."""
    sessions: np.ndarray
    """Sessions with failures by day (rows, days)."""
    failing_nodes: np.ndarray
    """Nodes with failures by day (rows, days)."""
    repeats: np.ndarray
    """Failures per session."""
    incidents: np.ndarray
    """Sessions of the last days, capped by node, the loudest node counting once."""
    nodes: np.ndarray
    """Nodes with discounted failures."""
    weight: np.ndarray
    """Sum of the nodes' discounted failures, in sessions."""
    rising_on_one_node: np.ndarray
    """Sum over nodes of w (w + 1) … (w + n - 1), w a node's weight, for each number n of failures that are
    considered to fall on one node (rows, numbers)."""
    complete: np.ndarray
    """Share of `weight` on nodes that reported on the last day."""
    reporting: np.ndarray
    """Nodes of the fleet that reported on the last day."""
    loudest: np.ndarray
    """A number for its two loudest nodes, the same for each row that has the same two."""
    noise: np.ndarray
    """Variance of the noise that summaries put on `failures` (rows, days)."""

    @staticmethod
    def join(parts: "list[FailureHistory]") -> "FailureHistory":
        """Return the rows of all parts, in their order."""
        return FailureHistory(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in FailureHistory.__dataclass_fields__
            }
        )


def votes_of(loudest: np.ndarray) -> np.ndarray:
    """Return what each row counts when rows are taken together: 1, less where few nodes have many rows.

    Rows with the same two loudest nodes are one party's to invent. They count as three times as many as the
    median pair of nodes has, or as `PAIR_LEAST`, at most.
    """
    if not loudest.size:
        return np.zeros(0)
    _, pair, rows = np.unique(loudest, return_inverse=True, return_counts=True)
    most = max(PAIR_MOST * float(np.median(rows)), PAIR_LEAST)
    return np.minimum(1.0, most / rows)[pair]


def load_tests(calls: np.ndarray) -> np.ndarray:
    """Return the days with far more calls than the days around them, whose rates teach nothing.

    Where the days after them have as many, it is the traffic that grew; until two of them are known, nobody
    can tell. `calls` are the fleet's by day.
    """
    found = np.zeros(calls.size, dtype=bool)
    for day in range(1, calls.size):
        before, after = calls[max(day - OWN_DAYS, 0) : day], calls[day + 1 : day + 1 + GROWN_DAYS]
        has_grown = after.size > 1 and calls[day] <= LOAD_TEST * np.median(after)
        found[day] = calls[day] > LOAD_TEST * max(float(np.median(before)), 1.0) and not has_grown
    return found


def spells(facts: FailureHistory) -> tuple[np.ndarray, np.ndarray]:
    """Return the days with failures of each day's spell, and the clean days before each day, (rows, days).

    A spell begins with a failure and ends with `CLEAN_DAYS` days that had calls but no failures; days without
    calls say nothing.
    """
    rows, days = facts.failures.shape
    age, clean = np.zeros((rows, days), dtype=np.int64), np.zeros((rows, days), dtype=np.int64)
    now, quiet = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for day in range(days):
        clean[:, day] = quiet
        active = facts.failures[:, day] > 0
        now = np.where(quiet >= CLEAN_DAYS, 0, now) + active
        quiet = np.where(active, 0, quiet + (facts.exposure[:, day] > 0))
        age[:, day] = now
    return age, clean


def day_variance(facts: FailureHistory, in_spell: np.ndarray) -> np.ndarray:
    """Estimate each row's squared coefficient of variation from one day to the next, shrunk.

    What counting and the noise of summaries add is taken off; days weigh less the more noise they have.
    """
    failures = facts.failures / facts.repeats[:, None]
    level, noise = np.log((failures + 0.5) / np.maximum(facts.exposure, 1.0)), 1 / (failures + 0.5)
    added = facts.noise / facts.repeats[:, None] ** 2 * noise**2
    noise = noise + added
    weight = DAY_VARIANCE / (DAY_VARIANCE + (added[:, 1:] + added[:, :-1]) / 2)
    known = in_spell & (facts.exposure > 0)
    both = known[:, 1:] & known[:, :-1]
    excess = (np.diff(level, axis=1) ** 2 - noise[:, 1:] - noise[:, :-1]) / 2
    total = np.where(both, weight * excess, 0.0).sum(axis=1) + DAY_VARIANCE * DAY_VARIANCE_WEIGHT
    return np.clip(total / ((weight * both).sum(axis=1) + DAY_VARIANCE_WEIGHT), 0.02, 2.0)


def states_of(facts: FailureHistory, window: int) -> np.ndarray:
    """Name how each pattern moves; `docs/confidence.md` has the rules in words."""
    rows, days = facts.failures.shape
    start = days - window
    now, before, baseline = slice(start, days), slice(0, start), slice(max(0, start - BASELINE_DAYS), start)
    failures, exposure = facts.failures / facts.repeats[:, None], facts.exposure
    _, clean = spells(facts)
    fails_now, failed_before = failures[:, now].sum(axis=1) > 0, failures[:, before].sum(axis=1) > 0
    quiet = np.where(facts.failures[:, -1] > 0, 0, clean[:, -1] + (exposure[:, -1] > 0))
    back = ((facts.failures[:, now] > 0) & (clean[:, now] >= CLEAN_DAYS)).any(axis=1) & failed_before

    calls_now, calls_then = exposure[:, now].sum(axis=1), exposure[:, baseline].sum(axis=1)
    seen_now, seen_then = failures[:, now].sum(axis=1) + 0.5, failures[:, baseline].sum(axis=1) + 0.5
    ratio = np.log(seen_now / np.maximum(calls_now, 1)) - np.log(seen_then / np.maximum(calls_then, 1))
    days_now, days_then = (np.maximum((exposure[:, part] > 0).sum(axis=1), 1) for part in (now, baseline))
    variance = day_variance(facts, np.cumsum(failures, axis=1) > 0)
    error = np.sqrt(1 / seen_now + 1 / seen_then + variance * (1 / days_now + 1 / days_then))
    moved = (
        (calls_now > 0)
        & (calls_then > 0)
        & (np.abs(ratio) >= np.maximum(np.log(STATE_RATIO), STATE_Z * error))
    )

    state = np.full(rows, "known", dtype=object)
    state[moved & (ratio > 0) & _rises_at_the_end(failures, exposure, now, baseline) & ~_declines(facts)] = (
        "rising"
    )
    state[moved & (ratio < 0)] = "falling"
    state[back & (failures[:, now].sum(axis=1) >= REGRESSED_FAILURES)] = "regressed"
    older = slice(0, min(start, days - NEW_DAYS))
    had_calls = exposure[:, older].sum(axis=1) > 0
    state[fails_now & ~(failures[:, older].sum(axis=1) > 0) & had_calls] = "new"
    if not exposure[:, older].any():  # the fleet's own first days: nothing says what is new and what is not
        state[fails_now] = "first_seen"
    state[~fails_now & (quiet >= CLEAN_DAYS)] = "resolved"
    return state


def _declines(facts: FailureHistory) -> np.ndarray:
    """Whether fewer sessions a call failed on the last day than on the days before: what came days ago.

    Sessions, since failures are bounded by what was usual on a node, which makes a peak look flat.
    """
    recent = slice(-1 - RECENT_DAYS, -1)
    before = facts.sessions[:, recent].sum(axis=1) / np.maximum(facts.exposure[:, recent].sum(axis=1), 1)
    return facts.sessions[:, -1] / np.maximum(facts.exposure[:, -1], 1) < DECLINE * before


def _rises_at_the_end(failures: np.ndarray, exposure: np.ndarray, now: slice, baseline: slice) -> np.ndarray:
    """Whether the rate of the last day is above the baseline's, and not below the window's days before it."""

    def rate(days: slice) -> np.ndarray:
        return (failures[:, days].sum(axis=1) + 0.5) / np.maximum(exposure[:, days].sum(axis=1), 1)

    last = rate(slice(failures.shape[1] - 1, None))
    earlier = slice(now.start, failures.shape[1] - 1)
    rises = last > rate(baseline)
    return rises & (last >= rate(earlier)) if earlier.stop > earlier.start else rises
