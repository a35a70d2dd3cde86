"""Numbers that an error states: a rate limit with its unit, and how long to wait.

What goes here: reading them from error texts. What does not: what is made of them (`playbooks/facts.py`).
Only numbers and units of a closed list leave this file, never words of a text.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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


def stated(texts: Iterable[tuple[str, Mapping[str, int]]], *, min_nodes: int) -> Stated:
    """Return the limit and the wait that most errors state.

    A limit is that of at least half of the errors that state one, where all of a node's errors count as one:
    where each names another, none is known, and no node is louder than another.

    Args:
        texts: Error text, and how often it came from each node.
        min_nodes: Nodes that must have been told a number, or as long a wait.
    """
    limits: dict[str, Counter[tuple[float, str]]] = defaultdict(Counter)
    waits: dict[str, float] = {}
    for text, told in texts:
        limit, wait = _limit(text), _wait(text)
        for node, times in told.items():
            if limit is not None:
                limits[node][limit] += times
            if wait is not None:
                waits[node] = max(wait, waits.get(node, 0.0))
    voices: dict[tuple[float, str], float] = defaultdict(float)
    nodes: Counter[tuple[float, str]] = Counter()
    for of_node in limits.values():
        for limit, times in of_node.items():
            voices[limit] += times / of_node.total()
            nodes[limit] += 1
    number, unit = None, ""
    for limit, voice in sorted(voices.items(), key=lambda one: -one[1])[:1]:
        if nodes[limit] >= min_nodes and 2 * voice > len(limits) - 1e-9:
            number, unit = limit
    # Waits differ from call to call; one that as many nodes were told, or longer, is long enough for most.
    longest = sorted(waits.values(), reverse=True)
    return Stated(number, unit, longest[min_nodes - 1] if len(longest) >= min_nodes else None)


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
