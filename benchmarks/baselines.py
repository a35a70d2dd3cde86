"""Simpler forecasts than confidence, for the same predictions: what it has to beat."""

import numpy as np
import pandas as pd
from scipy.special import expit


def baselines(known: pd.DataFrame, happened: np.ndarray) -> dict[str, float]:
    """Return Brier scores of simpler forecasts, each made from the outcomes of earlier assessed days alone.

    - constant: share of all predictions so far that came true;
    - yesterday: the same among patterns that did, or did not, fail on two nodes on the day (own_days
      rounded);
    - bucket: the same by failures and nodes, in powers of two;
    - logistic: ridge regression on what is known of each pattern (no model of ours in it), fitted in the
      fleet.
    """
    plain = [
        "failures",
        "nodes",
        "own_days",
        "own_runs",
        "own_outcomes",
        "above_usual",
        "below_usual",
        "age",
        "own_weekday",
    ]
    rows = np.column_stack([np.ones(len(known)), known[[f"f_{name}" for name in plain]].to_numpy()])
    state = (known["nodes_today"] >= 2).to_numpy().astype(int)
    bucket = (
        np.log2(known["failures"].clip(1)).round() * 20 + np.log2(known["nodes"].clip(1)).round()
    ).to_numpy()
    said = {name: np.full(len(known), 0.5) for name in ("constant", "yesterday", "bucket", "logistic")}
    back = known["back"].to_numpy()
    for day in np.unique(back)[::-1]:
        now, past = back == day, back > day
        if not past.any():
            continue
        share = happened[past].mean()
        said["constant"][now] = share
        for name, key in (("yesterday", state), ("bucket", bucket)):
            for value in np.unique(key[now]):
                like = past & (key == value)
                said[name][now & (key == value)] = (happened[like].sum() + 2 * share) / (like.sum() + 2)
        said["logistic"][now] = expit(rows[now] @ _ridge(rows[past], happened[past]))
    return {name: round(float(np.mean((values - happened) ** 2)), 4) for name, values in said.items()}


def _ridge(rows: np.ndarray, happened: np.ndarray) -> np.ndarray:
    weights, penalty = np.zeros(rows.shape[1]), np.eye(rows.shape[1])
    for _ in range(8):
        said = expit(rows @ weights)
        bend = (rows * (said * (1 - said))[:, None]).T @ rows + penalty
        weights -= np.linalg.solve(bend, rows.T @ (said - happened) + penalty @ weights)
    return weights
