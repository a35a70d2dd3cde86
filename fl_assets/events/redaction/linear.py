"""RE2, by the shortest way: what its package wraps around a search takes three times as long as the search.

What goes here: patterns and sets of patterns as functions of a text. What does not: what is looked for.
"""

from collections.abc import Callable, Iterable
from typing import Any

import re2

_ANYWHERE, _ALL = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_BOTH
_SET_MEMORY = 64 * 1024 * 1024
"""Bytes that the automaton of a finder or of a set may take before it is started over."""


def _options(max_bytes: int = 0) -> Any:
    options = re2.Options()
    options.never_capture, options.log_errors = True, False
    if max_bytes:
        options.max_mem = max_bytes
    return options


def _match(pattern: str, options: Any) -> Callable[..., Any]:
    return re2.compile(pattern.encode(), options)._regexp.Match


def searcher(pattern: str, *, is_bytes: bool = False) -> Callable[[bytes], bool]:
    """Return what tells whether a pattern, one of characters or of bytes, is found in a text."""
    options = _options()
    if is_bytes:
        options.encoding = re2.Options.Encoding.LATIN1
    match = _match(pattern, options)
    return lambda text: match(_ANYWHERE, text, 0, len(text))[0][0] >= 0


def fully(pattern: str) -> Callable[[bytes], bool]:
    """Return what tells whether a text as a whole is of a pattern."""
    match = _match(pattern, _options())
    return lambda text: match(_ALL, text, 0, len(text))[0][0] >= 0


def finder(pattern: str) -> Callable[[bytes], list[tuple[int, int]]]:
    """Return what says where a pattern is found in a text: begins and ends in bytes, in order."""
    match = _match(pattern, _options(_SET_MEMORY))

    def find(text: bytes) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at, size = 0, len(text)
        while True:
            span = match(_ANYWHERE, text, at, size)[0]
            start, end = span
            if start < 0:
                return found
            found.append(span)
            if at == size:
                return found
            at = at + 1 if at == end else end

    return find


def any_of(patterns: Iterable[str]) -> Callable[[bytes], list[int]]:
    """Return what says which of some patterns are found in a text: their places, in no order."""
    rules = re2.Set.SearchSet(_options(_SET_MEMORY))
    for pattern in patterns:
        rules.Add(pattern)
    rules.Compile()
    return rules._set.Match


def possible(patterns: Iterable[str]) -> Callable[[bytes], list[int]]:
    """Return what says which of some patterns a text may hold, by the words that each cannot do without.

    That takes a twentieth of the time that looking for them does. Patterns without such a word it names for
    each text.
    """
    rules = re2.Filter()
    for pattern in patterns:
        rules.Add(pattern, _options())
    rules.Compile()
    return lambda text: rules.Match(text, potential=True) or []
