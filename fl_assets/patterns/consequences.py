"""What a failure costs: recovery, calls until then, and how sessions end.

What goes here: rates and intervals. What does not: counting (`calls.py`).
"""

import numpy as np
import pandas as pd

from fl_assets.core.tables import PATTERN_CONSEQUENCES
from fl_assets.patterns.association import ratio_of_rates

MIN_JUDGED = 10
"""Sessions with a judged end, with the failure and without it, that make a comparison."""


def consequences(sums: pd.DataFrame) -> pd.DataFrame:
    """Return what each family's failures cost.

    Whether a session ended badly is what the telemetry says of it (a label, a score, feedback), where enough
    sessions have that; or else whether its last call failed. `sums` are those of
    `call_sums.CONSEQUENCES_SQL`.
    """
    if sums.empty:
        return pd.DataFrame(columns=PATTERN_CONSEQUENCES.day_columns)
    rows = sums.rename(columns={"family": "family_id"}).copy()
    rows["recovered_rate"] = rows["recovered"] / np.maximum(1, rows["failures"])
    judged = (rows["judged_with"] >= MIN_JUDGED) & (rows["judged_without"] >= MIN_JUDGED)
    rows["end_measure"] = np.where(judged, "judged", "last_call")
    for name, of_judged, of_last in (
        ("bad_ends", "judged_bad_with", "ended_failed_with"),
        ("ends", "judged_with", "sessions_with"),
        ("bad_ends_without", "judged_bad_without", "ended_failed_without"),
        ("ends_without", "judged_without", "sessions_without"),
    ):
        rows[name] = np.where(judged, rows[of_judged], rows[of_last]).astype("int64")
    counts = (rows[name].to_numpy(float) for name in ("bad_ends", "ends", "bad_ends_without", "ends_without"))
    rows["risk_ratio"], rows["risk_low"], rows["risk_high"] = ratio_of_rates(*counts)
    unknown = (rows["ends_without"] < MIN_JUDGED) | (rows["bad_ends"] + rows["bad_ends_without"] == 0)
    rows.loc[unknown, ["risk_ratio", "risk_low", "risk_high"]] = np.nan
    return rows[[name for name in PATTERN_CONSEQUENCES.day_columns if name in rows]].reset_index(drop=True)
