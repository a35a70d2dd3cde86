"""What nodes reported of a pattern: which of them can show a difference, and the counts that a trial is judged by.

What goes here: questions to the warehouse. What does not: the verdict (`updates/outcomes.py`).
"""

from datetime import date, timedelta

import pandas as pd

from fl_assets.sums.masking import NOISE_BUCKET
from fl_assets.updates.outcomes import BASELINE_DAYS
from fl_assets.updates.stores import UpdateStores


def affected_nodes(space: UpdateStores, pattern_id: str, day: date, *, at_least: int) -> list[str]:
    """Return the nodes that can show a difference: those with the pattern in the last 14 days; all that made its calls where those are too few."""
    counts = counts_of(space, pattern_id, day - timedelta(days=BASELINE_DAYS - 1), day)
    recent = set(counts.loc[counts["event_date"].dt.date > day - timedelta(days=3), "node_id"])
    sums = counts.groupby("node_id")[["failures", "calls"]].sum()
    affected = sorted(set(sums.index[sums["failures"] > 0]) & recent)
    return affected if len(affected) >= at_least else sorted(set(sums.index[sums["calls"] > 0]) & recent)


def counts_of(space: UpdateStores, pattern_id: str, first: date, last: date) -> pd.DataFrame:
    """Return what `outcomes.judge` reads: one row a node and day that reported anything.

    A pattern is all messages that were ever grouped in it up to `last`; its calls are those to the services and methods that these failed in,
    and of a conversation pattern the conversations in which the signal was looked for.
    """
    return space.warehouse.read(
        _COUNTS, {"pattern_id": pattern_id, "first": first, "last": last, "noise": NOISE_BUCKET}
    )


_COUNTS = """
    with members as (select distinct message_id from pattern_members where pattern_id = $pattern_id and event_date <= $last),
    failed as (select f.* from failure_signatures f semi join members using (message_id) where event_date between $first and $last),
    pairs as (select distinct service, method from failure_signatures f semi join members using (message_id) where event_date <= $last),
    called as (select c.* from call_totals c semi join pairs using (service, method) where event_date between $first and $last),
    talked as (select * from conversation_signals where event_date between $first and $last),
    counted as (
        select node_id, event_date, sum(failures) as failures, 0 as calls, 0 as all_failures, 0 as all_calls from failed group by all
        union all select node_id, event_date, 0, sum(calls), 0, 0 from called group by all
        union all select node_id, event_date, 0, 0, sum(failures), sum(calls) from call_totals where event_date between $first and $last group by all
        union all select node_id, event_date, sum(sessions_affected), sum(sessions), 0, 0 from talked
            semi join members on message_id = signal || '|' || service group by all
        union all select node_id, event_date, 0, 0, 0, max(sessions) from talked group by node_id, event_date, service),
    -- a histogram with noise in it (bucket $noise) has no 95th percentile of a node and day
    buckets as (
        select node_id, event_date, unnest(map_entries(latency_histogram)) as entry from called where not map_contains(latency_histogram, $noise)),
    summed as (select node_id, event_date, entry.key as bucket, sum(entry.value) as calls from buckets group by all),
    ranked as (
        select *, sum(calls) over (partition by node_id, event_date order by bucket) as up_to, sum(calls) over (partition by node_id, event_date) as total
        from summed),
    latency as (select node_id, event_date, pow(1.1, min(bucket)) as p95_ms from ranked where up_to >= 0.95 * total group by node_id, event_date)
    select node_id, event_date, sum(failures)::double as failures, sum(counted.calls)::double as calls, sum(all_failures)::double as all_failures,
        sum(all_calls)::double as all_calls, any_value(p95_ms) as p95_ms
    from counted left join latency using (node_id, event_date) group by node_id, event_date order by node_id, event_date"""
