"""Failures and calls of each pattern by node and day, and the cubes that confidence is computed from.

What goes here: indexing, and bounding what one node-day may weigh. What does not: probabilities (`confidence.py`).
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

HISTORY_DAYS = 28
"""Days, ending with the analysed one, that may say anything about it."""
BASELINE_DAYS = 14
"""Days before the window that its rate is compared with, and for which a pattern that stopped is still reported."""
NODE_CAP = 3.0
"""The loudest node of a day counts as at most this many times the second loudest."""
MEMORY = 0.75
"""Weight of a day's evidence relative to the day after it."""


@dataclass(frozen=True)
class Counts:
    """Failures of each pattern by node and day, and the calls that they are held against.

    Patterns that fail in the same methods share the calls of that set, since a row for each pattern, node and day
    would not fit the memory of a large fleet.

    Attributes:
        failures: `pattern_id, event_date, node_id, failures, sessions`, only rows with failures.
        calls: `set_id, event_date, node_id, calls`, only rows with calls.
        set_of: `pattern_id, set_id`, one row per pattern.
    """

    failures: pd.DataFrame
    calls: pd.DataFrame
    set_of: pd.DataFrame


class Rows:
    """Values by owner, node and day, indexed once and read as cubes; days outside the history are left out."""

    def __init__(
        self,
        frame: pd.DataFrame,
        owners: pd.Index,
        owner: str,
        names: tuple[str, ...],
        nodes: pd.Index,
        day: date,
    ) -> None:
        age, kept = ages(frame["event_date"], day)
        number = owners.get_indexer(frame[owner])
        kept = kept[number[kept] >= 0]
        kept = kept[np.argsort(number[kept], kind="stable")]
        self._nodes = len(nodes)
        self._node, self._day = nodes.get_indexer(frame["node_id"])[kept], HISTORY_DAYS - 1 - age[kept]
        self._values = [frame[name].to_numpy(dtype=float)[kept] for name in names]
        self._first = np.concatenate([[0], np.cumsum(np.bincount(number[kept], minlength=len(owners)))])

    def cubes(self, owners: np.ndarray) -> list[np.ndarray]:
        """Return each value of some owners, (owners, nodes, days)."""
        spans = [np.arange(self._first[owner], self._first[owner + 1]) for owner in owners]
        taken = np.concatenate([np.zeros(0, dtype=np.int64), *spans])
        place = np.repeat(np.arange(owners.size), [span.size for span in spans])
        shape = (owners.size, self._nodes, HISTORY_DAYS)
        cell = (place * self._nodes + self._node[taken]) * HISTORY_DAYS + self._day[taken]
        return [
            np.bincount(cell, weights=values[taken], minlength=int(np.prod(shape))).reshape(shape)
            for values in self._values
        ]


class Cube:
    """Counts of some patterns by node and day, (patterns, nodes, days), the last day being the analysed one."""

    def __init__(
        self, failures: np.ndarray, sessions: np.ndarray, calls: np.ndarray, reporting: np.ndarray
    ) -> None:
        """Derive what each day gives on its own.

        Args:
            failures: by pattern, node and day.
            sessions: the same, distinct sessions among the failures.
            calls: the same, never fewer than the failures.
            reporting: whether a node reported anything (nodes, days).
        """
        self.failures, self.sessions, self.calls, self.reporting = failures, sessions, calls, reporting
        self.capped = _capped(failures)
        # Failures and sessions up to the end of each day, a day of zeros first.
        self.summed = np.zeros((2, *failures.shape[:2], HISTORY_DAYS + 1))
        np.cumsum(failures, axis=2, out=self.summed[0, ..., 1:])
        np.cumsum(sessions, axis=2, out=self.summed[1, ..., 1:])
        self.daily_failures = self.capped.sum(axis=1)
        self.daily_exposure = _capped(calls).sum(axis=1)
        self.failing_nodes = (failures > 0).sum(axis=1)

    def loudness(self, days_back: int) -> np.ndarray:
        """Sum each node's capped failures `days_back` days before the last, older days counting less, (patterns, nodes)."""
        days = HISTORY_DAYS - days_back
        return self.capped[..., :days] @ MEMORY ** np.arange(days - 1, -1, -1)

    def without(self, pattern: np.ndarray, node: np.ndarray) -> "Cube":
        """Return one row for each pair of `pattern` and `node`: the pattern as if that node had never existed."""
        arrays = [values[pattern] for values in (self.failures, self.sessions, self.calls)]
        for values in arrays:
            values[np.arange(pattern.size), node] = 0.0
        return Cube(*arrays, self.reporting)


def ages(days: pd.Series, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return the age of each row in days, and the places of the rows that lie in the history."""
    if not len(days):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    age = (pd.Timestamp(day) - pd.to_datetime(days).dt.normalize()).dt.days.to_numpy()
    return age, np.flatnonzero((age >= 0) & (age < HISTORY_DAYS))


def _capped(values: np.ndarray) -> np.ndarray:
    """Bound each node's share of each day by `NODE_CAP` times the second loudest (or as many failures)."""
    nodes = values.shape[1]
    if nodes > 1:
        second = np.partition(values, nodes - 2, axis=1)[:, nodes - 2]
    else:
        second = np.zeros((values.shape[0], values.shape[2]))
    return np.minimum(values, NODE_CAP * np.maximum(second, 1.0)[:, None, :])
