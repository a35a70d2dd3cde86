"""The time that a file may take: one that takes longer than its size can explain stops nobody else's day.

What goes here: the bound, and the watch that counts while a file is read. What does not: reading it, and what
becomes of the rest (`events/ingest.py`).
"""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

LEAST_SECS = 120.0
"""What any file may take."""
BYTES_A_SEC = 100_000
"""Bytes of a file that may take a second more: the slowest format takes a fiftieth of that."""
_T = TypeVar("_T")


class OutOfTimeError(Exception):
    """A file has taken as long as it may."""


def seconds_for(size: int) -> float:
    """Return the seconds that a file of some bytes, as they are packed, may take to be read."""
    return LEAST_SECS + size / BYTES_A_SEC


class Watch:
    """Counts the seconds in which a file is read, and not those in which what was read waits for others.

    Attributes:
        most: seconds that it may take.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self._spent, self._since = 0.0, time.monotonic()

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return self._spent + time.monotonic() - self._since > self.most

    def check(self) -> None:
        """Go on while there is time.

        Raises:
            OutOfTimeError: it is up.
        """
        if self.is_over():
            raise OutOfTimeError

    def timed(self, results: Iterable[_T]) -> Iterator[_T]:
        """Give results, with the watch stopped while they are used."""
        self._since = time.monotonic()
        for result in results:
            self._spent += time.monotonic() - self._since
            yield result
            self._since = time.monotonic()
