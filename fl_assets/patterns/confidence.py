"""How sure we are of each failure pattern, from counts by node and day alone.

What goes here: the state of a pattern, the probability that it goes on, and whether it stands out from background noise.
What does not: how such probabilities are checked and recalibrated (`calibration.py`), counting (`evidence.py`), acting (`quality.py`).
`docs/confidence.md` tells the same in prose.

The confidence of a pattern on day D is the probability that on day D + 1 it fails on at least two nodes, at no less than half its present
rate. *Rate* is capped failures over capped calls: on each day the loudest node counts as no more than `NODE_CAP` times the second loudest.
*Present* is the analysed window. It is a product of three probabilities:

- it is no one-off: a two-groups model (Efron, *Large-Scale Inference*, 2010, ch. 2) of how many incidents a pattern has;
- it does not end tonight: beta-geometric survival by age (Fader and Hardie, *How to project customer retention*, 2007);
- if it goes on, tomorrow's count is high enough and spread enough: gamma-Poisson with discounted history (Harvey and Fernandes, *Time series
  models for count or qualitative observations*, 1989), its nodes Dirichlet-multinomial, with a concentration as in Escobar and West (1995).

What the fleet's other patterns tell (`FleetPrior`) is empirical Bayes on the same counts. Nothing is sampled.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from scipy.special import betainc

from fl_assets.patterns.counts import HISTORY_DAYS, MEMORY, Counts, Cube, Rows, ages
from fl_assets.patterns.states import CLEAN_DAYS, Facts, day_variance, spells, states_of

Calibration = Callable[[np.ndarray], np.ndarray]
"""A map from raw to recalibrated confidence."""

SOLO_CEILING = 0.4
"""Confidence of a pattern that nothing but one node supports is at most this."""
PRIOR_EXPOSURE = 0.05
"""Days without failures that every pattern starts with."""
SILENCE_VARIANCE = 0.2
"""Variance of the same kind that is added when all the nodes that had a pattern have fallen silent; less when fewer have."""
SURVIVAL_PRIOR = (0.3, 1.2)
"""Beta prior of the chance that a pattern ends on a day: a new one goes on with probability 0.8, a fortnight-old one with 0.98."""
SURVIVAL_WEIGHT = 20.0
"""Spell days that the survival prior is worth against the fleet's own."""
INCIDENT_DAYS, INCIDENTS_PER_NODE, INCIDENTS_CENSORED = 7, 10, 10
"""Incidents are sessions of these last days, at most so many a node; the background is fitted below the last of these numbers."""
BACKGROUND_PRIOR, BACKGROUND_WEIGHT, BACKGROUND_CEILING = 0.1, 20.0, 0.8
"""Chance that a one-off is followed by a further incident: prior, the patterns it is worth, and the most that is believed."""
SHARE_ONE_OFF, REAL_CONTINUES = 0.5, 0.9
"""Share of patterns that are one-offs, and the chance of a further incident in those that are not."""

LEFT_OUT_NODES = 8
"""Nodes that are left out, one at a time, to see what the others support: all of a pattern's, or so many of its loudest."""

_CHUNK_CELLS = 2_000_000
_SPREAD_COUNTS = (2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30)
COLUMNS = ["pattern_id", "state", "confidence_raw", "confidence", "p_value", "is_significant"]


@dataclass(frozen=True)
class FleetPrior:
    """What a day's patterns say together: how often a one-off repeats, and how soon failures end."""

    background: float
    ends: tuple[float, float]

    def noise_p_value(self, incidents: np.ndarray) -> np.ndarray:
        """Return the chance that background noise shows as many `incidents`, given that it shows one."""
        return np.where(incidents > 0, self.background ** np.maximum(incidents - 1, 0), 1.0)

    def not_one_off(self, incidents: np.ndarray) -> np.ndarray:
        """Return the posterior probability that a pattern with so many `incidents` is more than a one-off."""
        more = np.maximum(incidents - 1, 0)
        noise = SHARE_ONE_OFF * (1 - self.background) * self.background**more
        real = (1 - SHARE_ONE_OFF) * (1 - REAL_CONTINUES) * REAL_CONTINUES**more
        return real / (noise + real)

    def goes_on(self, age: np.ndarray) -> np.ndarray:
        """Return the probability that a pattern with `age` days of failures has another."""
        alpha, beta = self.ends
        lived = np.maximum(age - 1, 0)
        return (beta + lived) / (alpha + beta + lived)


def assess(
    counts: Counts,
    reporting: pd.DataFrame,
    *,
    day: date,
    window_days: int,
    calibration: Calibration | None = None,
    false_discovery_rate: float = 0.1,
) -> pd.DataFrame:
    """Say for every pattern how it moves, how likely it is to go on, and whether it stands out.

    Args:
        counts: failures of each pattern by node and day, and calls.
        reporting: `event_date, node_id, calls`: all that each node reported; a node without a row on a day was silent.
        day: the analysed day; rows after it are ignored.
        window_days: days analysed together, ending with `day`.
        calibration: map from raw to recalibrated confidence; None leaves it raw.
        false_discovery_rate: expected share of background noise among the significant patterns of the day.

    Returns:
        `pattern_id, state, confidence_raw, confidence, p_value, is_significant`, one row a pattern of `counts`, by pattern_id. `confidence_raw` is what
        the model says; `confidence` is that after recalibration and after the ceiling for what only one node supports.

    Raises:
        ValueError: when a column of `reporting` is missing, or `window_days` or `false_discovery_rate` is out of range.
    """
    if not 0 < false_discovery_rate < 1:
        message = f"false_discovery_rate={false_discovery_rate}: must lie between 0 and 1"
        raise ValueError(message)
    fleet = Fleet(counts, reporting, day=day, window_days=window_days)
    facts, raw = fleet.facts(), fleet.raw_confidence()
    failing = fleet.in_window(facts.failures) > 0
    p_value = np.where(failing, fleet.prior().noise_p_value(facts.incidents), 1.0)
    return pd.DataFrame(
        {
            "pattern_id": fleet.patterns,
            "state": states_of(facts, window_days),
            "confidence_raw": np.round(raw, 6),
            "confidence": np.round(fleet.confidence(calibration), 6),
            "p_value": p_value,
            "is_significant": discoveries(p_value, false_discovery_rate, among=failing),
        },
        columns=COLUMNS,
    )


def discoveries(p_values: np.ndarray, rate: float, *, among: np.ndarray) -> np.ndarray:
    """Tell which hypotheses are rejected at false-discovery `rate` (Benjamini and Hochberg, 1995), counting those in `among` alone."""
    tested = np.sort(p_values[among])
    passing = np.flatnonzero(tested <= rate * np.arange(1, tested.size + 1) / max(tested.size, 1))
    return among & (p_values <= tested[passing[-1]]) if passing.size else np.zeros(p_values.shape, dtype=bool)


class Fleet:
    """Counts of all patterns up to one day, indexed once and read as cubes of a bounded number of cells."""

    def __init__(self, counts: Counts, reporting: pd.DataFrame, *, day: date, window_days: int) -> None:
        if not 1 <= window_days <= HISTORY_DAYS:
            message = f"window_days={window_days}: must lie between 1 and {HISTORY_DAYS}"
            raise ValueError(message)
        _require("reporting", reporting, ["event_date", "node_id", "calls"])
        self.window = window_days
        set_of = counts.set_of.sort_values("pattern_id")
        self.patterns = pd.Index(set_of["pattern_id"])
        self._set_of, sets = pd.factorize(set_of["set_id"])
        nodes = pd.Index(
            pd.concat([counts.failures["node_id"], counts.calls["node_id"]]).unique()
        ).sort_values()
        self._nodes = len(nodes)
        self._failed = Rows(
            counts.failures, self.patterns, "pattern_id", ("failures", "sessions"), nodes, day
        )
        self._called = Rows(counts.calls, pd.Index(sets), "set_id", ("calls",), nodes, day)
        age, kept = ages(reporting["event_date"], day)
        reporter = nodes.get_indexer(reporting["node_id"])[kept]
        heard = (reporter >= 0) & (reporting["calls"].to_numpy()[kept] > 0)
        self._reporting = np.zeros((self._nodes, HISTORY_DAYS), dtype=bool)
        self._reporting[reporter[heard], HISTORY_DAYS - 1 - age[kept][heard]] = True
        self._known: dict[int, Facts] = {}

    def in_window(self, values: np.ndarray) -> np.ndarray:
        """Sum `values` (rows, days) over the analysed days."""
        return values[:, -self.window :].sum(axis=1)

    def learn(self, days_back: Sequence[int]) -> None:
        """Derive the facts of several past days in one pass over the counts."""
        parts: dict[int, list[Facts]] = {back: [] for back in days_back}
        for cube in self._cubes():
            for back, found in parts.items():
                found.append(_facts(cube, back))
        self._known |= {back: Facts.join(found) for back, found in parts.items()}

    def facts(self, days_back: int = 0) -> Facts:
        """Return every pattern's facts as they were known `days_back` days before the analysed day."""
        if days_back not in self._known:
            self.learn([days_back])
        return self._known[days_back]

    def prior(self, days_back: int = 0) -> FleetPrior:
        """Return what the patterns together said `days_back` days before the analysed day."""
        facts = self.facts(days_back)
        return FleetPrior(
            background=_background(facts.incidents[self.in_window(facts.failures) > 0]), ends=_ends(facts)
        )

    def raw_confidence(self, days_back: int = 0) -> np.ndarray:
        """Return the model's probability for every pattern, before recalibration and ceiling."""
        return _probability(self.facts(days_back), self.prior(days_back), self.window)

    def confidence(self, calibration: Calibration | None, days_back: int = 0) -> np.ndarray:
        """Return the recalibrated probability for every pattern, below the ceiling for what only one node supports."""
        raw = self.raw_confidence(days_back)
        confidence = np.where(raw > 0, raw if calibration is None else calibration(raw), 0.0)
        unsure = np.flatnonzero(confidence > SOLO_CEILING)
        confidence[unsure] = np.minimum(
            confidence[unsure],
            SOLO_CEILING + (1 - SOLO_CEILING) * self._support_without_one(unsure, days_back),
        )
        return confidence

    def outcome(self, days_back: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what came true the day after, and where that can be told: the window had failures, and the day after had calls."""
        if days_back < 1:
            message = f"days_back={days_back}: the day after the analysed one is not known yet"
            raise ValueError(message)
        facts, after = self.facts(), HISTORY_DAYS - days_back
        window = slice(max(after - self.window, 0), after)
        present = facts.failures[:, window].sum(axis=1) / np.maximum(
            facts.exposure[:, window].sum(axis=1), 1.0
        )
        rate = facts.failures[:, after] / np.maximum(facts.exposure[:, after], 1.0)
        return (rate >= present / 2) & (facts.failing_nodes[:, after] >= 2), (present > 0) & (
            facts.exposure[:, after] > 0
        )

    def _support_without_one(self, rows: np.ndarray, days_back: int) -> np.ndarray:
        """Return the lowest probability that each pattern of `rows` has when one of its nodes is taken out, as if it had never existed."""
        support, prior = np.ones(rows.size), self.prior(days_back)
        block = max(1, _CHUNK_CELLS // max(self._nodes * HISTORY_DAYS * LEFT_OUT_NODES, 1))
        for start in range(0, rows.size, block):
            cube = self._cube(rows[start : start + block])
            loudness = cube.loudness(days_back)
            loudest = np.argsort(-loudness, axis=1, kind="stable")[:, :LEFT_OUT_NODES]
            pattern, rank = np.nonzero(np.take_along_axis(loudness, loudest, axis=1) > 0)
            others = _facts(cube.without(pattern, loudest[pattern, rank]), days_back)
            np.minimum.at(support, start + pattern, _probability(others, prior, self.window))
        return support

    def _cubes(self) -> Iterator[Cube]:
        block = max(1, _CHUNK_CELLS // max(self._nodes * HISTORY_DAYS, 1))
        for start in range(0, max(len(self.patterns), 1), block):
            yield self._cube(np.arange(start, min(start + block, len(self.patterns))))

    def _cube(self, rows: np.ndarray) -> Cube:
        failures, sessions = self._failed.cubes(rows)
        sets, of_row = np.unique(self._set_of[rows], return_inverse=True)
        (calls,) = self._called.cubes(sets)
        return Cube(
            failures,
            np.clip(sessions, np.minimum(failures, 1.0), failures),
            np.maximum(calls[of_row], failures),
            self._reporting,
        )


def _require(name: str, frame: pd.DataFrame, columns: list[str]) -> None:
    missing = sorted(set(columns) - set(frame.columns))
    if missing:
        message = f"{name} lacks the columns {missing}; it has {sorted(frame.columns)}"
        raise ValueError(message)


def _facts(cube: Cube, days_back: int = 0) -> Facts:
    """Derive the facts of each row as they were known `days_back` days before the cube's last day."""
    days = HISTORY_DAYS - days_back
    failures, sessions = cube.summed[..., days]
    incidents = np.minimum(sessions - cube.summed[1, ..., max(days - INCIDENT_DAYS, 0)], INCIDENTS_PER_NODE)
    loudest = incidents.max(axis=1, initial=0.0)
    per_session = np.minimum(failures / np.maximum(sessions, 1.0), 20.0)
    repeats = np.maximum(per_session.sum(axis=1) / np.maximum((failures > 0).sum(axis=1), 1), 1.0)
    weights = np.minimum(cube.loudness(days_back) / repeats[:, None], 1e6)
    total = weights.sum(axis=1)
    heard = weights[:, cube.reporting[:, days - 1]].sum(axis=1)
    return Facts(
        failures=cube.daily_failures[:, :days],
        exposure=cube.daily_exposure[:, :days],
        failing_nodes=cube.failing_nodes[:, :days],
        repeats=repeats,
        incidents=incidents.sum(axis=1) - loudest + (loudest > 0),
        nodes=(weights > 0).sum(axis=1),
        weight=total,
        rising_on_one_node=_rising_factorials(weights).sum(axis=1),
        complete=np.divide(heard, total, out=np.ones_like(total), where=total > 0),
    )


def _rising_factorials(start: np.ndarray) -> np.ndarray:
    """Return start (start + 1) … (start + n - 1) for each n of `_SPREAD_COUNTS`, which becomes the last axis."""
    found, product = [], start
    for step in range(1, _SPREAD_COUNTS[-1]):
        product = product * (start + step)
        if step + 1 in _SPREAD_COUNTS:
            found.append(product)
    return np.stack(found, axis=-1)


def _background(incidents: np.ndarray) -> float:
    """Fit a geometric distribution to the low end of the patterns' incidents: an empirical null (Efron, 2004)."""
    low = incidents[incidents <= INCIDENTS_CENSORED]
    chance = np.linspace(0.01, BACKGROUND_CEILING, 200)
    further = (low - 1).sum()
    fit = low.size * (np.log1p(-chance) - np.log1p(-(chance**INCIDENTS_CENSORED))) + further * np.log(chance)
    prior = BACKGROUND_WEIGHT * (
        BACKGROUND_PRIOR * np.log(chance) + (1 - BACKGROUND_PRIOR) * np.log1p(-chance)
    )
    return float(chance[np.argmax(fit + prior)])


def _ends(facts: Facts) -> tuple[float, float]:
    """Scale the survival prior's chance of an end to what this fleet's spells have shown (one gamma-Poisson update).

    A day counts once the `CLEAN_DAYS` after it are over; a pattern whose incidents come from one node does not count.
    """
    alpha, beta = SURVIVAL_PRIOR
    age, _ = spells(facts)
    active = facts.failures > 0
    days = active.shape[1] - CLEAN_DAYS
    later = np.stack([active[:, ahead : days + ahead] for ahead in range(1, CLEAN_DAYS + 1)]).any(axis=0)
    at_risk = active[:, :days] & (facts.incidents > 1)[:, None]
    expected = np.where(at_risk, alpha / (alpha + beta + np.maximum(age[:, :days] - 1, 0)), 0.0).sum()
    scale = (SURVIVAL_WEIGHT * alpha / (alpha + beta) + (at_risk & ~later).sum()) / (
        SURVIVAL_WEIGHT * alpha / (alpha + beta) + expected
    )
    return float(np.clip(alpha * scale, 0.05, 3.0)), beta


def _probability(facts: Facts, prior: FleetPrior, window: int) -> np.ndarray:
    """Return the confidence of each row before recalibration and ceiling; 0 where the window has no failure."""
    days = facts.failures.shape[1]
    age, clean = spells(facts)
    begins = (facts.failures > 0) & ((age == 1) | (clean >= CLEAN_DAYS))
    in_spell = np.maximum.accumulate(begins, axis=1) & (
        np.arange(days) >= np.where(begins, np.arange(days), -1).max(axis=1, initial=-1)[:, None]
    )
    variance = day_variance(facts, in_spell)
    failures, exposure = facts.failures / facts.repeats[:, None], facts.exposure
    # A day's count says little more about the level than the day-to-day variation lets it.
    trust = np.where(in_spell, MEMORY ** np.arange(days - 1, -1, -1), 0.0)
    typical = (failures * trust).sum(axis=1) / np.maximum((exposure * trust).sum(axis=1), 1e-9) * variance
    trust = trust / (1 + typical[:, None] * exposure)
    reported = np.maximum((exposure[:, -window:] > 0).sum(axis=1), 1)
    next_calls = np.maximum(exposure[:, -window:].sum(axis=1) / reported, 1e-9)
    seen = (failures * trust).sum(axis=1)
    failing = (facts.failures[:, -window:].sum(axis=1) > 0) & (seen > 0)
    seen = np.where(failing, seen, 1.0)
    expected = (
        seen
        / ((exposure * trust).sum(axis=1) + PRIOR_EXPOSURE * next_calls / (1 + typical * next_calls))
        * next_calls
    )
    size = 1 / (1 / seen + variance + variance / seen + SILENCE_VARIANCE * (1 - facts.complete))
    needed = np.maximum(np.ceil(failures[:, -window:].sum(axis=1) / reported / 2 - 1e-9), 2.0)
    goes_on = prior.not_one_off(facts.incidents) * prior.goes_on(age[:, -1])
    return np.where(failing, goes_on * _tail_on_two_nodes(facts, expected, size, needed), 0.0)


def _tail_on_two_nodes(
    facts: Facts, expected: np.ndarray, size: np.ndarray, needed: np.ndarray
) -> np.ndarray:
    """Return P(T >= needed, on two nodes or more) for a negative binomial T of mean `expected` and `size`.

    Given T the nodes are Dirichlet-multinomial, with the nodes' weights, and a concentration for nodes not yet affected: its posterior mean
    under a Gamma prior, given the number of nodes and their weight (Escobar and West, 1995).
    """

    def tail(least: np.ndarray) -> np.ndarray:
        return betainc(least, size, expected / (expected + size))

    new = np.maximum(facts.nodes - 0.5, 0.05) / (1 + np.log1p(facts.weight))
    enough = above = tail(needed)
    on_one = np.zeros_like(enough)
    anywhere = _rising_factorials(new + facts.weight)
    for place in range(len(_SPREAD_COUNTS)):
        beyond = (
            tail(np.maximum(needed, _SPREAD_COUNTS[place + 1])) if place + 1 < len(_SPREAD_COUNTS) else 0.0
        )
        on_one += (above - beyond) * np.minimum(facts.rising_on_one_node[:, place] / anywhere[:, place], 1.0)
        above = beyond
    return np.clip(enough - on_one, 0.0, 1.0)
