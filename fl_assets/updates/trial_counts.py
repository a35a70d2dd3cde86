"""Nodes that can take part in a trial, and the counts that it is judged by.

What goes here: queries of the warehouse and of the session ends. What does not: the verdict
(`updates/outcomes.py`).

Counts are of sessions that ended with a failure (`updates/ends.py`). A node that sends summaries has no such
count: its failures are counted among its calls, both before and after the release.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from fl_assets.sums.masking import NOISE_BUCKET
from fl_assets.updates.measures import COLUMNS
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial import BASELINE_DAYS

MAX_OTHERS = 20
"""Most other patterns of the same service that a trial watches."""
SLOWEST = 0.1
"""Share of the calls whose geometric mean stands for p95 latency, which is their median.

The 95th percentile itself jumps from fast calls to those that time out where about one in twenty does.
"""
REPORTED_SHARE = 0.7
"""Share of the fleet's days that a node must have reported on to be an established one."""


@dataclass(frozen=True)
class Eligible:
    """Nodes that can show a difference and report now: established ones for a fortnight, and newcomers."""

    established: tuple[str, ...]
    newcomers: tuple[str, ...]


def eligible_nodes(stores: UpdateStores, pattern_id: str, day: date, *, at_least: int) -> Eligible:
    """Return the nodes that a trial may take: those with the pattern in the last 14 days.

    Where they are fewer than `at_least`, all nodes that made its calls. A node must have reported on one of
    the fleet's last two days. It is established when it has reported since the first of the last 14 days (or
    since the fleet's first day, if that is later) and on REPORTED_SHARE of the days.
    """
    counts = counts_of(stores, pattern_id, day - timedelta(days=BASELINE_DAYS - 1), day)
    days = sorted(counts["event_date"].unique())
    if not days:
        return Eligible((), ())
    by_node = counts.groupby("node_id").agg(
        failures=("failures", "sum"),
        calls=("calls", "sum"),
        days=("event_date", "nunique"),
        first=("event_date", "min"),
        last=("event_date", "max"),
    )
    now = by_node[by_node["last"] >= days[-2:][0]]
    affected = now[now["failures"] > 0]
    chosen = affected if len(affected) >= at_least else now[now["calls"] > 0]
    is_old = (chosen["first"] <= days[:2][-1]) & (chosen["days"] >= REPORTED_SHARE * len(days))
    return Eligible(tuple(sorted(chosen.index[is_old])), tuple(sorted(chosen.index[~is_old])))


def counts_of(stores: UpdateStores, pattern_id: str, first: date, last: date) -> pd.DataFrame:
    """Return the counts of `outcomes.judge`: one row per node and day that reported anything.

    A pattern is all messages that were grouped in it up to `last`. Its calls are those to the services and
    methods that they failed in; of a conversation pattern, all conversations of the agent.
    """
    given = {"pattern_id": pattern_id, "first": first, "last": last}
    sums = stores.warehouse.read(_COUNTS, given | {"noise": NOISE_BUCKET, "tail": SLOWEST})
    sums["event_date"] = pd.to_datetime(sums["event_date"])
    members = stores.warehouse.read(_MEMBERS, {"pattern_id": pattern_id, "last": last})
    pairs = stores.warehouse.read(_PAIRS, {"pattern_id": pattern_id, "last": last})
    ended = _ended(stores, _ENDED, first, last, members=members, pairs=pairs)
    if ended is None:
        return sums
    keys, of_calls = ["node_id", "event_date"], ["failures", "calls"]
    own = sums["node_id"].isin(set(ended["node_id"]))
    counted = sums[own].drop(columns=["all_failures", "all_calls", *(of_calls if len(pairs) else [])])
    ended = ended if len(pairs) else ended.drop(columns=of_calls)
    found = pd.concat([sums[~own], counted.merge(ended, how="outer", on=keys)], ignore_index=True)
    numbers = [name for name in COLUMNS[2:] if name != "p95_ms"]
    return found.fillna(dict.fromkeys(numbers, 0.0)).sort_values(["node_id", "event_date"], ignore_index=True)


def others_of(stores: UpdateStores, pattern_id: str, first: date, last: date) -> dict[str, pd.DataFrame]:
    """Return `node_id, event_date, failures, calls` of other patterns of its services, by class and id."""
    patterns = stores.warehouse.read(_OTHERS, {"pattern_id": pattern_id, "last": last, "most": MAX_OTHERS})
    if patterns.empty:
        return {}
    ended = _ended(stores, _ENDED_BY_PATTERN, first, last, members=patterns)
    if ended is None:
        return {}
    ended["name"] = ended["failure_class"] + " " + ended["pattern_id"]
    return {
        str(name): rows.drop(columns=["pattern_id", "failure_class", "name"])
        for name, rows in ended.groupby("name")
    }


def _ended(
    stores: UpdateStores, sql: str, first: date, last: date, **given: pd.DataFrame
) -> pd.DataFrame | None:
    """Run a statement over the session ends from `first` to `last`; None when there are none."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    found = stores.ends.read(sql, days, given)
    if found is not None:
        found["event_date"] = pd.to_datetime(found["event_date"])
    return found


_ENDED = """
    select node_id, event_date,
        coalesce(sum(sessions) filter (service is not null and is_member), 0)::double as failures,
        coalesce(sum(sessions) filter (service is not null and is_of_pair), 0)::double as calls,
        coalesce(sum(sessions) filter (service is null and message_id is not null), 0)::double
            as all_failures,
        coalesce(sum(sessions) filter (service is null), 0)::double as all_calls
    from (
        select ends.*, message_id in (select message_id from members) as is_member,
            (service, method) in (select (service, method) from pairs) as is_of_pair
        from ends)
    group by all"""

_ENDED_BY_PATTERN = """
    with failed as (
        select node_id, event_date, pattern_id, sum(sessions)::double as failures
        from ends join members using (message_id) where ends.service is not null group by all),
    called as (
        select node_id, event_date, pattern_id, failure_class, sum(sessions)::double as calls
        from ends join (select distinct pattern_id, failure_class, pair_service from members)
            on service = pair_service
        group by all)
    select node_id, event_date, pattern_id, failure_class, coalesce(failures, 0) as failures, calls
    from called left join failed using (node_id, event_date, pattern_id) order by all"""

_MEMBERS = (
    "select distinct message_id from pattern_members where pattern_id = $pattern_id and event_date <= $last"
)

_PAIRS = """
    select distinct service, method from failure_signatures
    where event_date <= $last and message_id in (
        select message_id from pattern_members where pattern_id = $pattern_id and event_date <= $last)"""

_OTHERS = """
    with latest as (
        select * from failure_patterns where event_date = (select max(event_date) from failure_patterns
            where event_date <= $last)),
    own as (select unnest(services) as service from latest where pattern_id = $pattern_id),
    others as (
        select pattern_id, failure_class, unnest(services) as service, failures from latest
        where pattern_id <> $pattern_id and kind <> 'conversation'),
    chosen as (
        select pattern_id, failure_class, service as pair_service, failures from others semi
            join own using (service)
        qualify dense_rank() over (order by failures desc, pattern_id) <= $most)
    select distinct chosen.pattern_id, failure_class, pair_service, message_id
    from chosen join pattern_members members on members.pattern_id = chosen.pattern_id
        and members.event_date <= $last"""

_COUNTS = """
    with members as (
        select distinct message_id from pattern_members where pattern_id = $pattern_id
            and event_date <= $last),
    failed as (
        select f.* from failure_signatures f semi join members using (message_id)
        where event_date between $first and $last),
    pairs as (
        select distinct service, method from failure_signatures f semi join members using (message_id)
        where event_date <= $last),
    called as (
        select c.* from call_totals c semi join pairs using (service, method)
            where event_date between $first and $last),
    signals as (select * from conversation_signals where event_date between $first and $last),
    counted as (
        select node_id, event_date, sum(failures) as failures, 0 as calls, 0 as all_failures, 0 as all_calls
        from failed group by all
        union all select node_id, event_date, 0, sum(calls), 0, 0 from called group by all
        union all select node_id, event_date, 0, 0, sum(failures), sum(calls) from call_totals
            where event_date between $first and $last group by all
        union all select node_id, event_date, sum(sessions_affected), sum(sessions), 0, 0 from signals
            semi join members on message_id = signal || '|' || service group by all
        union all select node_id, event_date, 0, 0, 0, max(sessions) from signals group by node_id,
            event_date, service),
    -- Successful calls and those that the pattern failed: of successes alone, what mends slow calls would
    -- pass for what makes calls slow.
    timed as (
        select node_id, event_date, latency_histogram from called
        union all by name select node_id, event_date, latency_histogram from failed),
    -- a histogram with noise in it (bucket $noise) does not show the slowest calls of a node and day
    buckets as (
        select node_id, event_date, unnest(map_entries(latency_histogram)) as entry from timed
        where not map_contains(latency_histogram, $noise)),
    summed as (
        select node_id, event_date, entry.key as bucket, sum(entry.value) as calls from buckets group by all),
    slowest as (
        select *, greatest(0, least(calls, $tail * sum(calls) over (partition by node_id, event_date)
            - sum(calls) over (partition by node_id, event_date order by bucket desc) + calls)) as part
        from summed),
    latency as (
        select node_id, event_date, pow(1.1, sum(part * bucket) / sum(part)) as p95_ms
        from slowest group by node_id, event_date)
    select node_id, event_date, sum(failures)::double as failures, sum(counted.calls)::double as calls,
        sum(all_failures)::double as all_failures, sum(all_calls)::double as all_calls, any_value(p95_ms)
            as p95_ms
    from counted left join latency using (node_id, event_date)
    group by node_id, event_date order by node_id, event_date"""
