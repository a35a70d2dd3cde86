"""How likely each failure pattern is to persist, how well that is corroborated, and whether it stands out.

What goes here: putting together the numbers of a day's patterns. What does not: the model (`persistence.py`),
learning from past days (`calibration.py`), acting (`playbooks/gate.py`). `docs/confidence.md` has the same in
prose.

The confidence of a pattern on day D is the probability that on day D + 1 it fails on at least two nodes, at
no less than half its present rate. *Rate* is failures over calls, where a node-day counts up to a multiple of
what is usual for the node. *Present* is the analysed window. Its corroboration is the probability that what
the other nodes report goes on, had the loudest `min_nodes - 1` nodes never existed. In a fleet where one node
is enough, sessions take the place of nodes in both.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from fl_assets.patterns.association import adjusted
from fl_assets.patterns.calibration import Calibration, calibrate
from fl_assets.patterns.counts import Counts
from fl_assets.patterns.features import features
from fl_assets.patterns.fleet import Fleet
from fl_assets.patterns.persistence import ANYWHERE, FleetPrior
from fl_assets.patterns.states import states_of

CORROBORATED = 0.5
"""Share of the threshold of confidence that corroboration must reach."""


def assess(
    counts: Counts,
    reporting: pd.DataFrame,
    *,
    day: date,
    window_days: int,
    min_nodes: int = 3,
    false_discovery_rate: float = 0.1,
) -> pd.DataFrame:
    """Return each pattern's state, its probability to persist, and whether it is significant.

    Args:
        counts: failures of each pattern by node and day, and calls.
        reporting: `event_date, node_id, calls`: all that each node reported; one without a row was silent.
        day: the analysed day; rows after it are ignored.
        window_days: days analysed together, ending with `day`.
        min_nodes: nodes that a playbook must rest on.
        false_discovery_rate: expected share of background noise among the significant patterns of the day.

    Returns:
        `pattern_id, state, confidence_raw, confidence, corroboration, p_value, is_significant`, one row per
        pattern of `counts`, by pattern_id. `confidence_raw` is the model's probability before anything is
        learnt from past days.

    Raises:
        ValueError: when a column of `reporting` is missing, or a number is out of range.
    """
    if not 0 < false_discovery_rate < 1:
        raise ValueError(f"false_discovery_rate={false_discovery_rate}: must lie between 0 and 1")
    fleet = Fleet(counts, reporting, day=day, window_days=window_days, min_nodes=min_nodes)
    calibration, _ = calibrate(fleet)
    facts = fleet.facts()
    prior = FleetPrior.of(facts, fleet.window)
    rows, view = features(facts, prior, fleet.window, fleet.question)
    failing = facts.failures[:, -fleet.window :].sum(axis=1) > 0
    incidents = fleet.incidents()
    p_value = np.where(
        failing,
        FleetPrior.of(replace(facts, incidents=incidents), fleet.window).noise_p_value(incidents),
        1.0,
    )
    return pd.DataFrame(
        {
            "pattern_id": fleet.patterns,
            "state": states_of(facts, fleet.window),
            "confidence_raw": np.round(view.probability, 6),
            "confidence": np.round(calibration(rows, view), 6),
            "corroboration": np.round(_corroboration(fleet, prior, calibration), 6),
            "p_value": p_value,
            "is_significant": discoveries(p_value, false_discovery_rate, among=failing),
        }
    )


def discoveries(p_values: np.ndarray, rate: float, *, among: np.ndarray) -> np.ndarray:
    """Return which hypotheses are rejected at false-discovery `rate`, counting those in `among` alone.

    By the q-values of `association.adjusted`.
    """
    found = np.zeros(p_values.shape, dtype=bool)
    found[among] = adjusted(p_values[among]) <= rate
    return found


def _corroboration(fleet: Fleet, prior: FleetPrior, calibration: Calibration) -> np.ndarray:
    """Return the probability that what others report persists anywhere, without the loudest nodes or user."""
    others = fleet.facts_without_loudest()
    rows, view = features(others, prior, fleet.window, ANYWHERE)
    return calibration(rows, view)
