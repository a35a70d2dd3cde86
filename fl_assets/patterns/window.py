"""The sums that one day's evidence is drawn from, brought to common columns once.

What goes here: failures and calls by pattern, day, node, service and method, for errors and conversations
alike. What does not: the columns of a pattern (`evidence.py`), which messages are one pattern
(`grouping.py`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from fl_assets.patterns.counts import BASELINE_DAYS, HISTORY_DAYS, INCIDENT_DAYS, Counts

PAIR = ["is_conversation", "service", "method"]
"""Columns that name what was called."""
SIGNAL_SENTENCES = {
    "repeated_question": "The user asks the same question again.",
    "correction": "The user says that the answer is wrong or not what was asked for.",
    "abandonment": "The user gives up: takes the question back, asks for a person, or leaves without thanks "
    "after a complaint.",
    "refusal": "The system says that it cannot or may not help.",
    "apology_loop": "The system apologises in two turns running.",
    "confident_after_failure": "The system reports success after a call in the same conversation failed, "
    "and says nothing of the failure.",
}
"""What each conversation signal means, in one sentence: the template of its patterns."""
_FAILURE_COLUMNS = [
    "pattern_id", "event_date", "node_id", "service", "method", "failures", "sessions", "first_seen",
    "last_seen", "exemplars", "incidents", "latency_histogram", "is_conversation",
]  # fmt: skip
_ACTOR = slice(6, 16)
"""Part of an incident that names the user (`sums.masking`)."""
_CALL_COLUMNS = [
    "event_date", "node_id", "service", "method", "calls", "failures", "latency_histogram",
    "is_conversation",
]  # fmt: skip


@dataclass(frozen=True)
class WindowSums:
    """Sums known by the end of a day, and the frames derived from them, each made once when it is first read.

    Raises:
        ValueError: when a signature names a message that is in no pattern (on the first read of a frame).
    """

    grouped: pd.DataFrame
    """One row per message: `message_id, pattern_id` (`evidence.summarise` also reads `kind, template,
    why_grouped, messages`)."""
    signatures: pd.DataFrame
    """Rows of failure_signatures; those before the horizon only date the first failure."""
    totals: pd.DataFrame
    """Rows of call_totals."""
    signals: pd.DataFrame
    """Rows of conversation_signals."""
    day: date
    """The analysed day; later rows are ignored."""
    window_days: int = 1
    """Days analysed together, ending with `day`."""
    summarised: pd.DataFrame | None = None
    """`event_date, node_id, noise` of each node's day that is known from its summary, with the variance of
    the noise on each of its numbers."""

    @property
    def start(self) -> date:
        """First day of the window."""
        return self.day - timedelta(days=self.window_days - 1)

    @property
    def baseline_start(self) -> date:
        """First of the days before the window that its rate is compared with."""
        return self.start - timedelta(days=BASELINE_DAYS)

    @property
    def horizon_start(self) -> date:
        """First day that counts at all."""
        return min(self.day - timedelta(days=HISTORY_DAYS - 1), self.baseline_start)

    @cached_property
    def ever_failed(self) -> pd.DataFrame:
        """Failures by pattern, day, node, service and method, of every day known."""
        return _failure_rows(self.grouped, self.signatures, self.signals, self.day)

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The same within the horizon."""
        return since(self.ever_failed, self.horizon_start)

    @cached_property
    def called(self) -> pd.DataFrame:
        """Calls by day, node, service and method within the horizon; of conversations, for each signal."""
        return _call_rows(self.totals, self.signals, self.horizon_start, self.day)

    @cached_property
    def set_of(self) -> pd.DataFrame:
        """`pattern_id, set_id`: the set of services and methods that each pattern fails in."""
        return self._pairs[["pattern_id", "set_id"]].drop_duplicates()

    @cached_property
    def sets(self) -> pd.DataFrame:
        """`set_id` with the columns of `PAIR`, one row per member of a set."""
        return self._pairs[["set_id", *PAIR]].drop_duplicates()

    @cached_property
    def _pairs(self) -> pd.DataFrame:
        """Pairs that each pattern fails in; most patterns share a set, so calls are summed once per set."""
        pairs = self.failed[["pattern_id", *PAIR]].drop_duplicates()
        pairs = pairs.assign(pair=pairs.groupby(PAIR, sort=True).ngroup())
        pairs = pairs.sort_values(["pattern_id", "pair"])
        members = pairs.groupby("pattern_id", sort=True)["pair"].agg(tuple)
        set_ids = pd.Series(pd.factorize(members)[0], index=members.index, dtype="int64")
        return pairs.assign(set_id=pairs["pattern_id"].map(set_ids).astype("int64"))

    @cached_property
    def counts(self) -> Counts:
        """Failures of each pattern and calls of each set by node and day, ordered by all but the counts.

        The calls are those to the services and methods in which the pattern failed within the horizon, so
        that a rate means the same thing on all its days. Of a conversation pattern they are conversations.
        """
        keys = ["event_date", "node_id"]
        called = self.sets.merge(self.called[[*PAIR, *keys, "calls"]], on=PAIR)
        called = called.groupby(["set_id", *keys], as_index=False)["calls"].sum()
        called = called[called["calls"] > 0]
        failed = self.failed.groupby(["pattern_id", *keys], as_index=False)[["failures", "sessions"]].sum()
        failed = self._with_noise(failed[failed["failures"] > 0])
        has_failures = self.set_of["pattern_id"].isin(failed["pattern_id"])
        has_calls = self.set_of["set_id"].isin(called["set_id"])
        return Counts(failed, called, self.set_of[has_failures | has_calls], self._incidents())

    def _with_noise(self, failed: pd.DataFrame) -> pd.DataFrame:
        """Add the variance of the noise on each sum, where a summary has any: of each number that it adds."""
        known = self.summarised
        if known is None or not (known["noise"] > 0).any():
            return failed
        keys = ["event_date", "node_id"]
        known = known.assign(
            event_date=pd.to_datetime(known["event_date"]).astype(failed["event_date"].dtype)
        )
        rows = self.failed.assign(
            numbers=[max(1, sum(1 for _ in entries(one)) - 1) for one in self.failed["latency_histogram"]]
        )
        numbers = rows.groupby(["pattern_id", *keys], as_index=False)["numbers"].sum()
        found = failed.merge(numbers, on=["pattern_id", *keys]).merge(known, on=keys, how="left")
        found["noise"] = found["noise"].fillna(0) * found["numbers"]
        return found.drop(columns="numbers")

    def _incidents(self) -> pd.DataFrame | None:
        """Incidents of the last days: one per user (else session, else trace) and hour, over all nodes."""
        if "incidents" not in self.failed:
            return None
        recent = since(self.failed, self.day - timedelta(days=INCIDENT_DAYS - 1))
        keys = ["pattern_id", "event_date"]
        is_named = np.array([isinstance(one, list | np.ndarray) for one in recent["incidents"]], dtype=bool)
        named = recent.loc[is_named, [*keys, "incidents"]].explode("incidents").dropna().drop_duplicates()
        named = named.assign(actor=named["incidents"].astype("str").str[_ACTOR])
        named = named.groupby([*keys, "actor"], as_index=False).agg(incidents=("incidents", "size"))
        others = recent.loc[~is_named, [*keys, "sessions"]].rename(columns={"sessions": "incidents"})
        return pd.concat([named, others.assign(actor=None)], ignore_index=True)

    @cached_property
    def reported(self) -> pd.DataFrame:
        """What each node reported on each day, any service, as `event_date, node_id, calls`, ordered so.

        Calls and conversations together; each signal's row repeats the conversations of its node and agent,
        which count once.
        """
        keys = ["event_date", "node_id"]
        conversations = self.called[self.called["is_conversation"]]
        conversations = conversations.groupby([*keys, "service"], as_index=False)["calls"].max()
        calls = self.called[~self.called["is_conversation"]]
        both = pd.concat([frame[[*keys, "calls"]] for frame in (calls, conversations)])
        return both.groupby(keys, as_index=False, sort=True)["calls"].sum()


def conversation_patterns(signals: pd.DataFrame) -> pd.DataFrame:
    """Return one pattern for each signal and agent that was ever affected, in the columns of `grouped`.

    Returns:
        One row per pattern with `message_id` (`signal|service`), `pattern_id`, `kind`, `template`,
        `why_grouped` and `messages`, ordered by message.
    """
    seen = signals.loc[signals["sessions_affected"] > 0, ["signal", "service"]].drop_duplicates()
    seen = seen.sort_values(["signal", "service"], ignore_index=True)
    message_ids = [f"{signal}|{service}" for signal, service in seen.itertuples(index=False)]
    patterns = pd.DataFrame({"message_id": pd.Series(message_ids, dtype="str")})
    return patterns.assign(
        pattern_id=pd.Series([_conversation_pattern_id(one) for one in message_ids], dtype="str"),
        kind=pd.Series("conversation", index=seen.index, dtype="str"),
        template=seen["signal"].map(SIGNAL_SENTENCES).astype("str"),
        why_grouped=pd.Series("One pattern for each signal and agent.", index=seen.index, dtype="str"),
        messages=pd.Series(1, index=seen.index, dtype="int64"),
    )


def entries(histogram: object) -> Iterator[tuple[int, int]]:
    """Yield bucket and weight; a MAP arrives as a dict or as pairs, a null as a None, a NaN or an NA."""
    if isinstance(histogram, dict):
        yield from histogram.items()
    elif isinstance(histogram, list | np.ndarray):
        yield from histogram


def since(frame: pd.DataFrame, first_day: date) -> pd.DataFrame:
    """Return the rows of `first_day` and later."""
    return frame[frame["event_date"] >= pd.Timestamp(first_day)]


def _conversation_pattern_id(message_id: str) -> str:
    """Return a stable id in the shape that all patterns have: `p-` and 12 hex digits."""
    return "p-" + hashlib.sha256(f"conversation|{message_id}".encode()).hexdigest()[:12]


def _up_to(frame: pd.DataFrame, day: date) -> pd.DataFrame:
    """Rows up to `day`, with `event_date` as a timestamp at midnight."""
    dates = pd.to_datetime(frame["event_date"]).dt.as_unit("us")
    return frame.assign(event_date=dates)[dates <= pd.Timestamp(day)]


def _failure_rows(
    grouped: pd.DataFrame, signatures: pd.DataFrame, signals: pd.DataFrame, day: date
) -> pd.DataFrame:
    """Failures of calls and, in the same columns, of conversations, whose method is the signal."""
    calls = _up_to(signatures, day).merge(grouped[["message_id", "pattern_id"]], on="message_id", how="left")
    strays = sorted(calls.loc[calls["pattern_id"].isna(), "message_id"].unique())
    if strays:
        raise ValueError(
            f"{len(strays)} message(s) of failure_signatures are in no pattern, the first is {strays[0]!r}: "
            "group every message known up to the day"
        )
    calls = calls.rename(columns={"exemplar_trace_ids": "exemplars"}).assign(is_conversation=False)
    if "incidents" not in calls:
        calls["incidents"] = pd.Series(None, index=calls.index, dtype=object)
    signals = _up_to(signals, day)
    affected = signals[signals["sessions_affected"] > 0].drop(columns="sessions")
    affected = affected.rename(
        columns={"sessions_affected": "failures", "exemplar_session_ids": "exemplars", "signal": "method"}
    )
    names = zip(affected["method"], affected["service"], strict=True)
    pattern_ids = [_conversation_pattern_id(f"{signal}|{service}") for signal, service in names]
    affected = affected.assign(
        pattern_id=pd.Series(pattern_ids, index=affected.index, dtype="str"),
        sessions=affected["failures"],
        incidents=pd.Series(None, index=affected.index, dtype=object),
        latency_histogram=pd.Series(None, index=affected.index, dtype=object),
        is_conversation=True,
    )
    return _stack([calls[_FAILURE_COLUMNS], affected[_FAILURE_COLUMNS]])


def _call_rows(totals: pd.DataFrame, signals: pd.DataFrame, first_day: date, day: date) -> pd.DataFrame:
    """Calls and, in the same columns, conversations, whose method is the signal that was looked for."""
    calls = since(_up_to(totals, day), first_day).assign(is_conversation=False)
    conversations = since(_up_to(signals, day), first_day).rename(
        columns={"signal": "method", "sessions": "calls", "sessions_affected": "failures"}
    )
    conversations = conversations.assign(
        latency_histogram=pd.Series(None, index=conversations.index, dtype=object), is_conversation=True
    )
    return _stack([calls[_CALL_COLUMNS], conversations[_CALL_COLUMNS]])


def _stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate those frames that have rows, so that an empty one decides no type."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0].reset_index(drop=True)
