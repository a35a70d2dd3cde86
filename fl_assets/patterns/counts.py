"""Failures and calls of each pattern by node and day, and the cubes that confidence is computed from.

What goes here: indexing, and bounding what one node-day may weigh. What does not: probabilities
(`confidence.py`).
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

INCIDENT_DAYS, INCIDENTS_MOST = 7, 10
"""Incidents are counted over these last days, at most this many of a node and of a user."""
HISTORY_DAYS = 28
"""Days, ending with the analysed one, that may say anything about it."""
BASELINE_DAYS = 14
"""Days before the window that its rate is compared with, and for which a pattern that stopped is still
reported."""
NODE_CAP, NODE_CAP_NEW = 2.0, 1.0
"""Failures of a node-day count up to this many times the median of the node's last failing days; of a node
without such days, up to this many times the median of the nodes that fail on the day."""
SETTLED_LEAST = 3
"""Nodes with days of their own from which they alone are that median: fewer could be one party's."""
CALLS_CAP, CALLS_CAP_NEW = 1.5, 4.0
"""The same for calls, with a standard error of a count on top."""
OWN_DAYS, OWN_DAYS_LEAST = 6, 2
"""Days of a node's own that its bound is the median of, and how many it must have."""
MEMORY = 0.75
"""Weight of a day's evidence relative to the day after it."""


@dataclass(frozen=True)
class Counts:
    """Failures of each pattern by node and day, and the calls that they are held against.

    Patterns that fail in the same methods share the calls of that set, since a row for each pattern, node and
    day would not fit the memory of a large fleet.
    """

    failures: pd.DataFrame
    """`pattern_id, event_date, node_id, failures, sessions`, only rows with failures; and `noise`, the
    variance of noise on both, where a summary has any."""
    calls: pd.DataFrame
    """`set_id, event_date, node_id, calls`, only rows with calls."""
    set_of: pd.DataFrame
    """`pattern_id, set_id`, one row per pattern."""
    incidents: pd.DataFrame | None = None
    """`pattern_id, event_date, actor, incidents`: hours in which a user (else a session, else a trace) had
    the failure, on whatever nodes; actor is null where nobody is known, and each incident then is someone
    else's. None where nothing of it is known: sessions take its place."""


class Rows:
    """Values by owner, node and day within the history, indexed once and read as cubes."""

    def __init__(
        self, frame: pd.DataFrame, owners: pd.Index, names: tuple[str, ...], *, nodes: pd.Index, day: date
    ) -> None:
        """Sum the values of `names` by owner, node and day.

        Args:
            frame: rows of the owner's column, `event_date`, `node_id` and the values.
            owners: every owner, in the order that cubes number them; named as its column.
            names: columns of the values.
            nodes: every node, in the order that cubes number them.
            day: last day of the history.
        """
        age, kept = ages(frame["event_date"], day)
        number = owners.get_indexer(frame[owners.name])
        kept = kept[number[kept] >= 0]
        self._shape = (len(nodes), HISTORY_DAYS)
        node, at = nodes.get_indexer(frame["node_id"])[kept], HISTORY_DAYS - 1 - age[kept]
        cells, place = np.unique((number[kept] * len(nodes) + node) * HISTORY_DAYS + at, return_inverse=True)
        self.values = [
            np.bincount(place, weights=frame[name].to_numpy(dtype=float)[kept], minlength=cells.size)
            for name in names
        ]
        self._cells = cells
        of_owner = cells // max(len(nodes) * HISTORY_DAYS, 1)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(of_owner, minlength=len(owners)))])

    def recent(self, place: int, days: int) -> np.ndarray:
        """Sum the value at `place` over the last `days`, by owner."""
        is_recent = self._cells % HISTORY_DAYS >= HISTORY_DAYS - days
        cells = self._shape[0] * HISTORY_DAYS
        owner = self._cells[is_recent] // max(cells, 1)
        sums = np.bincount(owner, weights=self.values[place][is_recent], minlength=self._first.size - 1)
        return sums.astype(float)

    def bounded(self, values: np.ndarray, cap: float, cap_new: float, slack: float) -> np.ndarray:
        """Bound each node-day by its node's own last days or, where they are too few, by other nodes.

        A day is bounded by days before it alone, so that what was said on a day does not change afterwards.

        Args:
            values: one value per cell.
            cap: of a node with days of its own: times the median of the last `OWN_DAYS` of them.
            cap_new: of other nodes: times the lower median of the owner's nodes on that day; of those alone
                that have days of their own, where they are `SETTLED_LEAST` or more, so that who never had a
                failure does not say how much of it is usual.
            slack: standard errors of a count on top of either.
        """
        series, at = np.divmod(self._cells, HISTORY_DAYS)
        before = np.full((OWN_DAYS, values.size), np.nan)
        for step in range(1, min(OWN_DAYS, values.size - 1) + 1):
            same = series[step:] == series[:-step]
            before[step - 1, step:][same] = values[:-step][same]
        known = np.isfinite(before).sum(axis=0)
        before.sort(axis=0)  # NaN last
        half = np.maximum(known - 1, 0)
        columns = np.arange(values.size)
        own = (before[half // 2, columns] + before[(half + 1) // 2, columns]) / 2
        is_fresh = known < OWN_DAYS_LEAST
        of_day = (series // max(self._shape[0], 1)) * HISTORY_DAYS + at
        order = np.lexsort((values, is_fresh, of_day))
        first = np.flatnonzero(np.diff(of_day[order], prepend=-1))
        ends = np.append(first, values.size)
        every, settled = np.diff(ends), np.diff(np.append(0, np.cumsum(~is_fresh[order]))[ends])
        count = np.where(settled >= SETTLED_LEAST, settled, every)
        median = np.zeros(values.size)
        median[order] = np.repeat(values[order][first + (count - 1) // 2], every)
        typical = np.where(is_fresh, median, own)
        factor = np.where(is_fresh, cap_new, cap)
        return np.minimum(
            values, factor * np.maximum(typical, 1.0) + slack * np.sqrt(np.maximum(typical, 1.0))
        )

    def cubes(self, owners: np.ndarray) -> list[np.ndarray]:
        """Return each value of some owners, (owners, nodes, days)."""
        spans = [np.arange(self._first[owner], self._first[owner + 1]) for owner in owners]
        taken = np.concatenate([np.zeros(0, dtype=np.int64), *spans])
        place = np.repeat(np.arange(owners.size), [span.size for span in spans])
        cells = self._shape[0] * self._shape[1]
        cell = place * cells + self._cells[taken] % max(cells, 1)
        shape = (owners.size, *self._shape)
        return [
            np.bincount(cell, weights=values[taken], minlength=owners.size * cells).reshape(shape)
            for values in self.values
        ]


class Cube:
    """Counts of some patterns by node and day, (patterns, nodes, days), up to the analysed day."""

    def __init__(
        self,
        failures: np.ndarray,
        sessions: np.ndarray,
        capped: np.ndarray,
        calls: np.ndarray,
        reporting: np.ndarray,
        noise: np.ndarray,
    ) -> None:
        """Derive what each day gives on its own.

        Args:
            failures: by pattern, node and day.
            sessions: the same, distinct sessions among the failures.
            capped: the same, failures after the bound on a node-day.
            calls: the same, calls after the bound, never fewer than the capped failures.
            reporting: whether a node reported anything (nodes, days).
            noise: variance of the noise on the capped failures, by pattern, node and day, or (1, 1, days).
        """
        self.failures, self.sessions, self.capped, self.calls = failures, sessions, capped, calls
        self.reporting, self.noise = reporting, noise
        # Failures and sessions up to the end of each day, a day of zeros first.
        self.summed = np.zeros((2, *failures.shape[:2], HISTORY_DAYS + 1))
        np.cumsum(failures, axis=2, out=self.summed[0, ..., 1:])
        np.cumsum(sessions, axis=2, out=self.summed[1, ..., 1:])
        self.daily_failures = capped.sum(axis=1)
        self.daily_exposure = calls.sum(axis=1)
        self.daily_sessions = sessions.sum(axis=1)
        self.failing_nodes = (failures > 0).sum(axis=1)
        self.daily_noise = np.broadcast_to(noise.sum(axis=1), self.daily_failures.shape)

    def loudness(self, days_back: int) -> np.ndarray:
        """Sum each node's capped failures as of `days_back` days before the last, (patterns, nodes).

        Older days count less.
        """
        days = HISTORY_DAYS - days_back
        return self.capped[..., :days] @ MEMORY ** np.arange(days - 1, -1, -1)

    def scaled(self, shares: np.ndarray) -> "Cube":
        """Return the patterns with so small a share of their failures."""
        parts = [values * shares[:, None, None] for values in (self.failures, self.sessions, self.capped)]
        return Cube(*parts, self.calls, self.reporting, self.noise * shares[:, None, None] ** 2)

    def without(self, nodes: np.ndarray) -> "Cube":
        """Return the patterns as if some of their `nodes` (patterns, how many) had never existed."""
        rows = np.arange(nodes.shape[0])[:, None]

        def left(given: np.ndarray) -> np.ndarray:
            values = given.copy()
            values[rows, nodes] = 0.0
            return values

        parts = [left(values) for values in (self.failures, self.sessions, self.capped, self.calls)]
        return Cube(*parts, self.reporting, left(self.noise) if self.noise.any() else self.noise)


def noise_of_capped(noise: np.ndarray, is_capped: np.ndarray) -> np.ndarray:
    """Return the variance of the noise on failures after the bound on a node-day.

    Node-days that are bounded by one node's number all carry its noise: n of them and itself (n + 1)^2 times.

    Args:
        noise: variance by pattern, node and day before the bound.
        is_capped: whether the bound took something away.
    """
    nodes = is_capped.sum(axis=1, keepdims=True)
    usual = noise.sum(axis=1, keepdims=True) / np.maximum((noise > 0).sum(axis=1, keepdims=True), 1)
    return np.where(is_capped, usual * ((nodes + 1) ** 2 - 1) / np.maximum(nodes, 1), noise)


def ages(days: pd.Series, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return the age of each row in days, and the places of the rows that lie in the history."""
    if not len(days):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    age = (pd.Timestamp(day) - pd.to_datetime(days).dt.normalize()).dt.days.to_numpy()
    return age, np.flatnonzero((age >= 0) & (age < HISTORY_DAYS))
