"""What worked: changed attempts, calls before success, settings of other nodes.

What goes here: which cures hold, and their order. What does not: counting (`calls.py`, `call_sums.py`), words
about them (`playbooks/`).

Four sources, each with its own denominator: a second attempt at the same call within six calls of its session
(*retry*); another tool that the session went on with (*instead*); a call that precedes success and not
failure (*first*); a value of an attribute that works on other nodes or at other times (*setting*).
"""

import re

import numpy as np
import pandas as pd

from fl_assets.core.tables import PATTERN_CURES
from fl_assets.patterns.association import adjusted, p_more, ratio_of_rates, wilson

FALSE_DISCOVERY_RATE = 0.05
MIN_GAIN = 0.15
"""By how much the success rate with a change must exceed the rate without it."""
MIN_HELPED = 0.5
MIN_SESSIONS = 4
MIN_SESSIONS_AGAIN = 8
"""Sessions in which repeating the same call worked: more, since there is no comparison."""
MAX_PER_FAMILY = 5
_NO_SETTING = re.compile(
    r"(?:^|[._-])(?:region|zone|country|city|location|datacenter|cluster|host|hostname|node|pod|namespace|machine|os"
    r"|platform|arch|environment|env|stage|tenant|customer|organi[sz]ation|team|locale|lang|language|timezone)"
    r"(?:[._-](?:name|id|type))?$",
    re.IGNORECASE,
)
"""Attributes that say where calls run and for whom: a fact to look at, not a setting to change."""
_ORDER = {"retry": 0, "first": 1, "setting": 2, "instead": 3}


def cures(
    pairs: pd.DataFrame,
    changes: pd.DataFrame,
    instead: pd.DataFrame,
    contrasts: pd.DataFrame,
    *,
    min_nodes: int,
) -> pd.DataFrame:
    """Return what worked, best first within each family.

    The frames are those of statements in `call_sums` and of `contrasts.contrasts`. A change is named once it
    has worked on `min_nodes`.
    """
    parts = [_retries(pairs, changes, min_nodes), _instead(instead, min_nodes), _from_contrasts(contrasts)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=PATTERN_CURES.day_columns)
    found = pd.concat(parts, ignore_index=True)
    found["order"] = found["source"].map(_ORDER)
    found = found.sort_values(
        ["family_id", "strength", "order", "subject", "name", "change", "value"],
        ascending=[True, False, True, True, True, True, True],
    )
    # Of several waits with equal support, the longest is known to be enough.
    waits = found["subject"] == "wait"
    found["seconds"] = pd.to_numeric(found["name"].where(waits)).fillna(0)
    found = found.sort_values(
        ["family_id", "strength", "order", "seconds"], ascending=[True, False, True, False], kind="stable"
    )
    found["name_once"] = found["name"].where(found["subject"] != "wait", "")
    found = found.drop_duplicates(["family_id", "source", "subject", "name_once"])
    found["rank"] = found.groupby("family_id").cumcount() + 1
    return found[found["rank"] <= MAX_PER_FAMILY][PATTERN_CURES.day_columns].reset_index(drop=True)


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Add rates, lift and p-value, from attempts and successes with a change and without it."""
    counts = [rows[name].to_numpy(float) for name in ("helped", "tried", "helped_without", "tried_without")]
    helped, tried, helped_without, tried_without = counts
    rows["help_rate"] = helped / np.maximum(1, tried)
    rows["base_rate"] = helped_without / np.maximum(1, tried_without)
    rows["lift"], rows["lift_low"], rows["lift_high"] = ratio_of_rates(*counts)
    rows["p_value"] = p_more(helped, tried, helped + helped_without, tried + tried_without)
    return rows


def _retries(pairs: pd.DataFrame, changes: pd.DataFrame, min_nodes: int) -> pd.DataFrame:
    rows = changes.merge(pairs, on="family", suffixes=("", "_all"))
    if rows.empty:
        return rows
    rows = rows.rename(
        columns={"family": "family_id", "feature": "subject", "pairs": "tried", "recovered": "helped"}
    )
    rows["source"] = "retry"
    rows["tried_without"] = rows["pairs_all"] - rows["tried"]
    rows["helped_without"] = rows["recovered_all"] - rows["helped"]
    rows["sessions"] = rows["recovered_sessions"]
    rows = _compared(rows)
    rows["q_value"] = adjusted(rows["p_value"].to_numpy(float))
    named = (rows["nodes"] >= min_nodes) & (rows["sessions"] >= max(MIN_SESSIONS, min_nodes))
    better = (rows["q_value"] <= FALSE_DISCOVERY_RATE) & (rows["help_rate"] - rows["base_rate"] >= MIN_GAIN)
    # Repeating the same call needs no comparison: it either works or is no cure.
    least, _ = wilson(rows["helped"].to_numpy(float), rows["tried"].to_numpy(float))
    sure = least >= MIN_HELPED
    again = (rows["subject"] == "same") & sure & (rows["sessions"] >= MIN_SESSIONS_AGAIN)
    rows = rows[named & (rows["help_rate"] >= MIN_HELPED) & (better | again)].copy()
    gain = (rows["help_rate"] - rows["base_rate"]).clip(lower=0.02)
    rows["strength"] = gain * np.log1p(rows["helped"]) * np.where(rows["subject"] == "same", 0.5, 1.0)
    return rows


def _instead(rows: pd.DataFrame, min_nodes: int) -> pd.DataFrame:
    rows = rows.rename(columns={"family": "family_id", "next_method": "name", "times": "took"}).copy()
    if rows.empty:
        return rows
    rows = rows.assign(source="instead", subject="call", change="instead", value="")
    rows["tried"], rows["helped"] = rows["failures"], rows["succeeded"]
    rows["tried_without"], rows["helped_without"] = rows["successes"], rows["times_after_success"]
    rows = _compared(rows)
    rows["q_value"] = adjusted(rows["p_value"].to_numpy(float))
    keep = (
        (rows["nodes"] >= min_nodes)
        & (rows["sessions"] >= max(MIN_SESSIONS, min_nodes))
        & (rows["q_value"] <= FALSE_DISCOVERY_RATE)
        & (rows["lift_low"] > 1.5)
        & (rows["help_rate"] >= 0.2)
        & (rows["succeeded"] >= 0.7 * rows["took"])
    )
    rows = rows[keep].copy()
    rows["strength"] = 0.5 * (rows["help_rate"] - rows["base_rate"]) * np.log1p(rows["helped"])
    return rows


def _from_contrasts(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Turn contrasts into cures: the earlier call, or the value, with which these calls succeed."""
    is_call = (contrasts["kind"] == "earlier") & (contrasts["relation"] == "not called before")
    is_setting = (contrasts["kind"] == "attribute") & ~contrasts["name"].str.contains(_NO_SETTING)
    rows = contrasts[(is_call | is_setting) & (contrasts["rank"] <= 3)].copy()
    if rows.empty:
        return rows
    call = rows["kind"] == "earlier"
    rows["source"] = np.where(call, "first", "setting")
    rows["subject"] = np.where(call, "call", "attribute")
    rows["change"] = np.where(call, "before", np.where(rows["better_value"] != "", "set to", "other than"))
    rows["value"] = np.where(rows["better_value"] != "", rows["better_value"], rows["value"])
    rows["tried"] = rows["failed"] + rows["succeeded"] - rows["failed_with"] - rows["succeeded_with"]
    rows["helped"] = rows["succeeded"] - rows["succeeded_with"]
    rows["tried_without"] = rows["failed_with"] + rows["succeeded_with"]
    rows["helped_without"] = rows["succeeded_with"]
    rows["help_rate"], rows["base_rate"] = 1 - rows["rate_without"], 1 - rows["rate_with"]
    rows["sessions"] = rows["failed"]
    rows["strength"] = 2 * (rows["help_rate"] - rows["base_rate"]) * np.log1p(rows["failed_with"])
    return rows
