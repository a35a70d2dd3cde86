"""Recognising a format by the first bytes of a file."""

import re
from collections.abc import Callable

Test = Callable[[str, bytes], bool]
"""The `matches` of a format: takes the file's name and its first bytes."""


def json_key(names: str, value: bytes = b"") -> bytes:
    """Return the pattern of an object's key, one of some names (separated by `|`), and its value's beginning.

    The quote stands before the look-behind, so that Python searches for quotes: six times as fast.
    """
    return rb'"(?<!\\")(?:%b)"\s*:\s*%b' % (names.encode(), value)


def has_all(*patterns: bytes) -> Test:
    """Return a test for whether a file's first bytes have all of these patterns."""
    marks = [re.compile(pattern) for pattern in patterns]
    return lambda _, head: all(mark.search(head) for mark in marks)


def has_any(*tests: Test) -> Test:
    """Return a test for whether a file passes one of these."""
    return lambda name, head: any(test(name, head) for test in tests)
