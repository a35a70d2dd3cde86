"""Numbers that an error states: a rate limit with its unit, and how long to wait.

What goes here: reading them from error texts. What does not: what is made of them (`playbooks/facts.py`).
Only numbers and units of a closed list leave this file, never words of a text.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBER = r"(?<![0-9,_])([0-9][0-9,_]{0,30}(?:\.[0-9]{1,20})?)"
_THINGS = r"(requests?|calls?|queries|messages?|(?:input |output )?tokens?)"
_PERIODS = r"(seconds?|secs?|minutes?|min|hours?|days?)"
_EVERY = r"(?:per|/|an?|each|every)\s*+"
_LIMITS = (
    re.compile(rf"{_NUMBER}\s*+(?:{_THINGS}\s*+)?{_EVERY}{_PERIODS}\b", re.IGNORECASE),
    re.compile(rf"{_THINGS}\s*+{_EVERY}{_PERIODS}\b[^.\n]{{0,60}}?\blimit[ :=]+{_NUMBER}", re.IGNORECASE),
)
_WAITS = (
    re.compile(
        r"(?:retry|try again|wait|available again)[^.\n0-9]{0,30}\s*([0-9]{1,30}(?:\.[0-9]{1,20})?)\s*"
        r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|hours?)\b",
        re.IGNORECASE,
    ),
    re.compile(r"retry[-_ ]?after[\"' :=]+([0-9]{1,30}(?:\.[0-9]{1,20})?)()", re.IGNORECASE),
)
_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "": 1000}


@dataclass(frozen=True)
class Stated:
    """What errors state: a limit, its unit such as `requests per minute`, and a wait, ms."""

    limit: float | None = None
    unit: str = ""
    wait_ms: float | None = None


def stated(texts: Iterable[tuple[str, int, int]], *, min_nodes: int) -> Stated:
    """Return the limit and the wait that most errors state.

    A limit is that of at least half of the errors that state one: where each names another, none is known.

    Args:
        texts: Error text, nodes that have it, and how often it came.
        min_nodes: Nodes that must have been told a number; texts that state the same one count together.
    """
    limits: Counter[tuple[float, str]] = Counter()
    waits: Counter[float] = Counter()
    nodes: Counter[object] = Counter()
    for text, of_nodes, times in texts:
        if (limit := _limit(text)) is not None:
            limits[limit] += times
            nodes[limit] += of_nodes
        if (wait := _wait(text)) is not None:
            waits[wait] += times
            nodes[wait] += of_nodes
    common = [
        limit
        for limit, times in limits.most_common(1)
        if nodes[limit] >= min_nodes and 2 * times >= limits.total()
    ]
    # Waits differ from call to call; the longest that is common is long enough for all of them.
    waited = sum(nodes[wait] for wait in waits) >= min_nodes
    number, unit = common[0] if common else (None, "")
    return Stated(number, unit, max(waits) if waits and waited else None)


def _limit(text: str) -> tuple[float, str] | None:
    found = _LIMITS[1].search(text)
    if found:
        thing, period, number = found.groups()
    else:
        found = _LIMITS[0].search(text)
        if not found:
            return None
        number, thing, period = found.groups()
    value = float(number.replace(",", "").replace("_", ""))
    name = {"s": "second", "m": "minute", "h": "hour", "d": "day"}[period[0].lower()]
    things = (thing or "requests").lower()
    things = things if things.endswith("s") else f"{things}s"
    return (value, f"{things} per {name}") if value > 0 else None


def _wait(text: str) -> float | None:
    for pattern in _WAITS:
        found = pattern.search(text)
        if found:
            number, unit = found.groups()
            unit = unit.lower()
            scale = 1 if unit in ("ms", "millisecond", "milliseconds") else _MILLISECONDS[unit[:1]]
            return float(number) * scale
    return None
