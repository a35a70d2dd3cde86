"""Which failures of a trace only repeat a deeper one, so that each counts once.

A failed span repeats the deepest failed span below it when their errors are the same (by text or type), or
when nothing below it succeeded since. An agent that went on after a tool's error, or that hit a limit of its
own, has failed by itself. Whether a span failed is decided in `outcomes.py`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from typing import NamedTuple

from fl_assets.events.formats.attributes import ERRORS, telling
from fl_assets.events.formats.exceptions import is_vague

_MIN_TEXT = 8
_TYPE = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Exceeded|Failure|Timeout|Refused|Denied))\b")
_MAX_READ = 2000
"""Characters of an error in which its type, or a limit, is looked for."""
_MOST_AROUND = 100
_COMMON_ERRORS = frozenset(ERRORS["common_errors"])
_OWN_LIMIT = telling("own_limit", re.IGNORECASE)


class Place(NamedTuple):
    """A span's place in its trace; times are nanoseconds since 1970, 0 when unknown."""

    parent: str
    start_ns: int = 0
    end_ns: int = 0
    ended: str = ""
    """Kind of its `Outcome`."""
    says_ok: bool = False
    """Whether its status is `ok`, not merely unset: no failure passes through it."""


class FailedSpan(NamedTuple):
    """A failed span: the text of its error, and when it ended."""

    error: str
    end_ns: int


@dataclass(frozen=True, slots=True)
class _Cause:
    """A failure that a failed span may repeat; the one with the highest rank is taken."""

    is_same: bool
    depth: int
    end_ns: int
    span_id: str

    @property
    def rank(self) -> tuple[bool, int, tuple[int, str]]:
        return self.is_same, self.depth, (self.end_ns, self.span_id)


def causes_of(places: Mapping[str, Place], failed: Mapping[str, FailedSpan]) -> dict[str, str]:
    """Return, for each failed span that only repeats another, the deepest failed span that it repeats.

    Of several below it, one with the same error is preferred, then the deepest, the last to end, the greatest
    id. Where spans are missing in between, a failed span with the same error (or a vague one) that encloses
    the other in time is taken to be above it. Spans whose parents form a cycle cause nothing.
    """
    if len(failed) < 2:
        return {}
    above = nearest_of(places, failed)
    parent = {span_id: above(span_id) for span_id in failed}
    says = {span_id: _Said(entry.error) for span_id, entry in failed.items()}
    parent |= _across_gaps(places, says, parent)
    went_on = _last_success(places)
    stopped = _stopped(places, parent)
    waiting = dict.fromkeys(failed, 0)
    for up in parent.values():
        if up:
            waiting[up] += 1
    best = {span_id: _Cause(True, 0, entry.end_ns, span_id) for span_id, entry in failed.items()}
    root = {span_id: span_id for span_id in failed}
    leaves = [span_id for span_id, count in waiting.items() if not count]
    while leaves:
        span_id = leaves.pop()
        if not (up := parent[span_id]):
            continue
        is_same = says[up].is_same(says[span_id]) or says[up].is_same(says[root[span_id]])
        place, last = places[span_id], went_on.get(up, 0)
        recovered = last > place.end_ns or (last == place.end_ns > place.start_ns > 0)
        is_handled = span_id in stopped or recovered  # something began after it had ended, and succeeded
        if is_same or not (is_handled or _OWN_LIMIT.search(failed[up].error[:_MAX_READ])):
            below = best[span_id]
            cause = _Cause(is_same, below.depth + 1, below.end_ns, root[span_id])
            if best[up].depth == 0 or cause.rank > best[up].rank:
                best[up], root[up] = cause, root[span_id]
        waiting[up] -= 1
        if not waiting[up]:
            leaves.append(up)
    return {span_id: root[span_id] for span_id, cause in best.items() if cause.depth and not waiting[span_id]}


class _Said:
    """The text of an error, as it is compared: made once, and only where it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _words(self) -> str:
        return " ".join(self.text.split()).casefold()

    @cached_property
    def _types(self) -> set[str]:
        return {name for name in _TYPE.findall(self.text[:_MAX_READ]) if name not in _COMMON_ERRORS}

    @cached_property
    def is_vague(self) -> bool:
        return is_vague(self.text)

    def is_same(self, other: "_Said") -> bool:
        """Whether it is one error: one text contains the other, or both name one specific exception type."""
        short, long = sorted((self._words, other._words), key=len)
        if not short:
            return False
        is_within = short == long or (len(short) >= _MIN_TEXT and short in long)
        return is_within or not self._types.isdisjoint(other._types)


def same_error(one: str, other: str) -> bool:
    """Whether two texts are one error."""
    return _Said(one).is_same(_Said(other))


def _last_success(places: Mapping[str, Place]) -> dict[str, int]:
    """Return, for each span, when the last successful span below it began."""
    latest: dict[str, int] = {}
    succeeded = [
        (place.start_ns, span_id)
        for span_id, place in places.items()
        if place.ended == "ok" and place.start_ns
    ]
    for start, span_id in sorted(succeeded, reverse=True):
        here = places[span_id].parent
        while here in places and here not in latest:
            latest[here] = start
            here = places[here].parent
    return latest


def _stopped(places: Mapping[str, Place], parent: Mapping[str, str]) -> set[str]:
    """Return the failed spans with an `ok` span between them and the next failed one above."""
    says_ok = {span_id for span_id, place in places.items() if place.says_ok}
    nearest = nearest_of(places, says_ok | parent.keys())
    return {span_id for span_id in parent if nearest(span_id) in says_ok}


def _across_gaps(
    places: Mapping[str, Place], says: Mapping[str, _Said], parent: Mapping[str, str]
) -> dict[str, str]:
    """Return, for failed spans without a parent in the trace, the failed span that is taken to be above.

    It is the shortest that encloses them in time and has the same error, or a vague one. Of failed spans that
    run at a time, the `_MOST_AROUND` that last longest are looked at.
    """
    top = _tops(places)
    if not any(top(span_id) for span_id, up in parent.items() if not up):
        return {}
    found: dict[str, str] = {}
    around: list[tuple[int, int, str]] = []  # those that run, by when they end, as a heap
    for span_id in sorted(says, key=lambda one: (places[one].start_ns, -places[one].end_ns, one)):
        place = places[span_id]
        while around and around[0][0] < place.start_ns:
            heappop(around)
        if not parent[span_id] and says[span_id].text and top(span_id):
            enclosing = sorted(
                (end - start, other)
                for end, start, other in around
                if end >= place.end_ns and end - start > place.end_ns - place.start_ns
            )
            same = (
                other
                for _, other in enclosing
                if (says[other].is_vague or says[other].is_same(says[span_id])) and top(other) != top(span_id)
            )
            if above := next(same, ""):
                found[span_id] = above
        heappush(around, (place.end_ns, place.start_ns, span_id))
        if len(around) > _MOST_AROUND:
            heappop(around)
    return found


def _tops(places: Mapping[str, Place]) -> Callable[[str], str]:
    """Return a function from a span to its missing ancestor: '' if its root is there, or for a cycle."""
    known: dict[str, str] = {}

    def top(span_id: str) -> str:
        path: dict[str, None] = {}
        here = span_id
        while here in places and here not in known and here not in path:
            path[here] = None
            here = places[here].parent
        answer = known.get(here, "" if here in path else here)
        known.update(dict.fromkeys(path, answer))
        return answer

    return top


def nearest_of(places: Mapping[str, Place], targets: Collection[str]) -> Callable[[str], str]:
    """Return a function from a span to its nearest ancestor among the targets, '' for none or a cycle."""
    known: dict[str, str] = {}

    def nearest(span_id: str) -> str:
        path, here = [], span_id
        seen = {span_id}
        while True:
            path.append(here)
            up = places[here].parent
            if up not in places or up in seen:
                answer = ""
            elif up in targets:
                answer = up
            elif up in known:
                answer = known[up]
            else:
                seen.add(up)
                here = up
                continue
            known.update(dict.fromkeys(path, answer))
            return answer

    return nearest
