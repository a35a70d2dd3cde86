"""The time that reading a file may take, so that a hostile one does not block the others.

What goes here: the bound, and a stopwatch. What does not: refusing the rest of the file (`events/ingest.py`).
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

LEAST_SECS = 120.0
"""Seconds that any file may take."""
BYTES_A_SEC = 100_000
"""Slowest rate allowed beyond that; the slowest format reads 50 times as fast."""
_T = TypeVar("_T")


class OutOfTimeError(Exception):
    """A file has used up its time."""


def seconds_for(size: int) -> float:
    """Return the seconds that a file may take, by its size in bytes (compressed)."""
    return LEAST_SECS + size / BYTES_A_SEC


class Watch:
    """Counts the seconds spent reading a file, not those in which its lines wait for later steps.

    Attributes:
        most: seconds that it may take.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self._spent, self._since = 0.0, time.monotonic()

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self._spent + time.monotonic() - self._since > self.most

    def check(self) -> None:
        """Raise when the time is up.

        Raises:
            OutOfTimeError: it is up.
        """
        if self.is_over():
            raise OutOfTimeError

    def timed(self, results: Iterable[_T]) -> Iterator[_T]:
        """Yield results, with the watch stopped while they are used."""
        self._since = time.monotonic()
        for result in results:
            self._spent += time.monotonic() - self._since
            yield result
            self._since = time.monotonic()
