"""Recognising a format by the first bytes of a file."""

import re
from collections.abc import Callable

Test = Callable[[str, bytes], bool]
"""The `matches` of a format: takes the file's name and its first bytes."""


_PLAIN = re.compile(r"[\w|]+")


class _Key(bytes):
    """The pattern of an object's key; joined to another one it is mere bytes."""

    spelled: tuple[bytes, ...] = ()
    """The key as it must stand there, in each of its spellings, where that can be told."""


def json_key(names: str, value: bytes = b"") -> bytes:
    """Return the pattern of an object's key, one of some names (separated by `|`), and its value's beginning.

    The quote stands before the look-behind, so that Python searches for quotes: six times as fast.
    """
    key = _Key(rb'"(?<!\\")(?:%b)"\s*:\s*%b' % (names.encode(), value))
    if _PLAIN.fullmatch(names):
        key.spelled = tuple(b'"%b"' % name.encode() for name in names.split("|"))
    return key


def has_all(*patterns: bytes) -> Test:
    """Return a test for whether a file's first bytes have all of these patterns."""
    keys = [pattern.spelled for pattern in patterns if isinstance(pattern, _Key) and pattern.spelled]
    marks = [re.compile(pattern) for pattern in patterns]
    return lambda _, head: (
        all(any(one in head for one in spelled) for spelled in keys)  # five times as fast
        and all(mark.search(head) for mark in marks)
    )


def has_any(*tests: Test) -> Test:
    """Return a test for whether a file passes one of these."""
    return lambda name, head: any(test(name, head) for test in tests)
