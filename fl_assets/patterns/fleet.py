"""All patterns of a fleet up to one day: their facts on each day, and what came true.

What goes here: reading counts as cubes of a bounded number of cells, and the outcome of a day. What does not:
probabilities (`persistence.py`, `calibration.py`).
"""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pandas as pd

from fl_assets.patterns.counts import (
    CALLS_CAP,
    CALLS_CAP_NEW,
    HISTORY_DAYS,
    INCIDENT_DAYS,
    INCIDENTS_MOST,
    NODE_CAP,
    NODE_CAP_NEW,
    Counts,
    Cube,
    Rows,
    ages,
    noise_of_capped,
)
from fl_assets.patterns.persistence import TWO_NODES, TWO_SESSIONS, Question, rising_factorials
from fl_assets.patterns.states import FailureHistory

_CHUNK_CELLS = 2_000_000


class Fleet:
    """Counts of all patterns up to one day, indexed once."""

    def __init__(
        self, counts: Counts, reporting: pd.DataFrame, *, day: date, window_days: int, min_nodes: int = 3
    ) -> None:
        """Index the counts.

        Args:
            counts: failures of each pattern by node and day, and calls.
            reporting: `event_date, node_id, calls`: all that each node reported.
            day: the analysed day; rows after it are ignored.
            window_days: days analysed together; those beyond the history do not count.
            min_nodes: nodes that a playbook must rest on; with 1, sessions take the place of nodes.

        Raises:
            ValueError: when a column of `reporting` is missing, or `window_days` is no positive number.
        """
        if window_days < 1:
            raise ValueError(f"window_days={window_days}: must be 1 or more")
        missing = sorted({"event_date", "node_id", "calls"} - set(reporting.columns))
        if missing:
            raise ValueError(f"reporting lacks the columns {missing}; it has {sorted(reporting.columns)}")
        self.day, self.window = day, min(window_days, HISTORY_DAYS)
        self.min_nodes = min_nodes
        self.question = TWO_NODES if min_nodes > 1 else TWO_SESSIONS
        set_of = counts.set_of.sort_values("pattern_id")
        self.patterns = pd.Index(set_of["pattern_id"])
        self._set_of, sets = pd.factorize(set_of["set_id"])
        known = pd.concat([counts.failures["node_id"], counts.calls["node_id"]])
        nodes = pd.Index(known.unique()).sort_values()
        self._nodes = len(nodes)
        names = ("failures", "sessions")
        self._failed = Rows(counts.failures, self.patterns, names, nodes=nodes, day=day)
        self._failed.values.append(
            self._failed.bounded(self._failed.values[0], NODE_CAP, NODE_CAP_NEW, slack=0.0)
        )
        self._noise = (
            Rows(counts.failures, self.patterns, ("noise",), nodes=nodes, day=day)
            if "noise" in counts.failures
            else None
        )
        self._called = Rows(counts.calls, pd.Index(sets, name="set_id"), ("calls",), nodes=nodes, day=day)
        self._called.values = [
            self._called.bounded(self._called.values[0], CALLS_CAP, CALLS_CAP_NEW, slack=1.0)
        ]
        age, kept = ages(reporting["event_date"], day)
        reporter = nodes.get_indexer(reporting["node_id"])[kept]
        heard = (reporter >= 0) & (reporting["calls"].to_numpy()[kept] > 0)
        self._reporting = np.zeros((self._nodes, HISTORY_DAYS), dtype=bool)
        self._reporting[reporter[heard], HISTORY_DAYS - 1 - age[kept][heard]] = True
        self._known: dict[int, FailureHistory] = {}
        self._of_users, self._loudest_share = self._count_users(counts.incidents)

    def learn(self, days_back: Sequence[int]) -> None:
        """Derive the facts of several past days in one pass over the counts."""
        parts: dict[int, list[FailureHistory]] = {back: [] for back in days_back}
        for cube in self._cubes():
            for back, found in parts.items():
                found.append(self._facts(cube, back))
        self._known |= {back: FailureHistory.join(found) for back, found in parts.items()}

    def facts(self, days_back: int = 0) -> FailureHistory:
        """Return every pattern's facts as they were known `days_back` days before the analysed day."""
        if days_back not in self._known:
            self.learn([days_back])
        return self._known[days_back]

    def facts_without_loudest(self) -> FailureHistory:
        """Return every pattern's facts of the day as if its loudest `min_nodes - 1` nodes had never existed.

        Where one node is enough: as if its loudest user had not.
        """
        parts, rows = [], 0
        for cube in self._cubes():
            shares = 1 - self._loudest_share[rows : rows + len(cube.failures)]
            rows += len(cube.failures)
            loudest = _loudest(cube, self.min_nodes - 1)
            parts.append(self._facts(cube.without(loudest) if loudest.size else cube.scaled(shares), 0))
        return FailureHistory.join(parts)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what came true after each day of the history, (rows, days - 1), and where that is known.

        It is known where the window had failures and the day after had calls.
        """
        return outcomes_of(self.facts(), self.window, self.question)

    def incidents(self) -> np.ndarray:
        """Return the independent incidents of each pattern in the last days.

        A node counts at most `INCIDENTS_MOST`, the loudest once, and so does a user, whatever the nodes: the
        fewer of the two is what is independent of both. Where one node is enough, users alone count.
        """
        of_nodes = self.facts().incidents
        return self._of_users if self.min_nodes == 1 else np.minimum(of_nodes, self._of_users)

    def _count_users(self, incidents: pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
        """Return each pattern's incidents by independent users, and the share of the loudest user."""
        sessions = self._failed.recent(1, INCIDENT_DAYS)
        if incidents is None:
            return sessions, np.divide(1.0, sessions, out=np.ones_like(sessions), where=sessions > 0)
        _, recent = ages(incidents["event_date"], self.day)
        rows = incidents.iloc[recent]
        is_known = rows["actor"].notna().to_numpy()
        nobody = self._by_pattern(rows[~is_known].groupby("pattern_id")["incidents"].sum())
        users = rows[is_known].groupby(["pattern_id", "actor"])["incidents"].sum().clip(upper=INCIDENTS_MOST)
        by_pattern = users.groupby("pattern_id")
        total, loudest = self._by_pattern(by_pattern.sum()), self._by_pattern(by_pattern.max())
        loudest = np.maximum(loudest, (nobody > 0).astype(float))
        every = total + nobody
        share = np.divide(loudest, every, out=np.ones_like(every), where=every > 0)
        return every - np.maximum(loudest - 1, 0), share

    def _by_pattern(self, values: pd.Series) -> np.ndarray:
        return values.reindex(self.patterns).fillna(0).to_numpy(dtype=float)

    def _facts(self, cube: Cube, days_back: int) -> FailureHistory:
        """Derive the facts of each row as they were known `days_back` days before the cube's last day."""
        days = HISTORY_DAYS - days_back
        failures, sessions = cube.summed[..., days]
        recent = sessions - cube.summed[1, ..., max(days - INCIDENT_DAYS, 0)]
        incidents = np.minimum(recent, INCIDENTS_MOST)
        loudest = incidents.max(axis=1, initial=0.0) if self.min_nodes > 1 else np.ones(len(incidents))
        per_session = np.minimum(failures / np.maximum(sessions, 1.0), 20.0)
        repeats = np.maximum(per_session.sum(axis=1) / np.maximum((failures > 0).sum(axis=1), 1), 1.0)
        weights = np.minimum(cube.loudness(days_back) / repeats[:, None], 1e6)
        total = weights.sum(axis=1)
        heard = weights[:, cube.reporting[:, days - 1]].sum(axis=1)
        return FailureHistory(
            failures=cube.daily_failures[:, :days],
            exposure=cube.daily_exposure[:, :days],
            sessions=cube.daily_sessions[:, :days],
            failing_nodes=cube.failing_nodes[:, :days],
            repeats=repeats,
            incidents=incidents.sum(axis=1) - np.maximum(loudest - 1, 0),
            nodes=(weights > 0).sum(axis=1),
            weight=total,
            rising_on_one_node=rising_factorials(weights).sum(axis=1),
            complete=np.divide(heard, total, out=np.ones_like(total), where=total > 0),
            reporting=np.full(total.size, cube.reporting[:, days - 1].sum()),
            loudest=_pair(weights),
            noise=cube.daily_noise[:, :days],
        )

    def _cubes(self) -> Iterator[Cube]:
        block = max(1, _CHUNK_CELLS // max(self._nodes * HISTORY_DAYS, 1))
        for start in range(0, max(len(self.patterns), 1), block):
            yield self._cube(np.arange(start, min(start + block, len(self.patterns))))

    def _cube(self, rows: np.ndarray) -> Cube:
        failures, sessions, capped = self._failed.cubes(rows)
        sets, of_row = np.unique(self._set_of[rows], return_inverse=True)
        (calls,) = self._called.cubes(sets)
        noise = np.zeros((1, 1, HISTORY_DAYS))
        if self._noise is not None:
            noise = noise_of_capped(self._noise.cubes(rows)[0], capped < failures)
        return Cube(
            failures,
            np.clip(sessions, np.minimum(failures, 1.0), failures),
            capped,
            np.maximum(calls[of_row], capped),
            self._reporting,
            noise,
        )


def outcomes_of(facts: FailureHistory, window: int, question: Question) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the day after each day but the last answered the question, and where that is known."""

    def in_window(values: np.ndarray) -> np.ndarray:
        summed = np.cumsum(values, axis=1)
        summed[:, window:] -= summed[:, :-window].copy()
        return summed[:, :-1]

    failed, called = in_window(facts.failures), in_window(facts.exposure)
    present = failed / np.maximum(called, 1.0)
    after = facts.failures[:, 1:] / np.maximum(facts.exposure[:, 1:], 1.0)
    spread = (facts.failing_nodes[:, 1:] >= question.nodes) & (facts.sessions[:, 1:] >= question.sessions)
    return (after >= present / 2) & spread, (failed > 0) & (facts.exposure[:, 1:] > 0)


def _pair(weights: np.ndarray) -> np.ndarray:
    """Return a number for the two nodes that weigh most in each row, their order aside."""
    rows, nodes = weights.shape
    if nodes < 2:
        return np.zeros(rows, dtype=np.int64)
    pair = np.argpartition(-weights, 1, axis=1)[:, :2]
    held = np.take_along_axis(weights, pair, axis=1) > 0
    pair = np.where(held, pair, np.where(held[:, ::-1], pair[:, ::-1], -1))
    return pair.min(axis=1) * nodes + pair.max(axis=1)


def _loudest(cube: Cube, nodes: int) -> np.ndarray:
    """Return the numbers of each pattern's loudest nodes, (patterns, nodes)."""
    return np.argsort(-cube.loudness(0), axis=1, kind="stable")[:, :nodes]
