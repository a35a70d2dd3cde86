"""DuckDB instances that are kept for the next user, since starting one takes 12 ms of processor time.

What goes here: lending an instance to one user at a time. What does not: its settings, and what it opens.
"""

import atexit
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager
from threading import Lock

import duckdb

from fl_assets.infra.sql import identifier, literal

_MOST_USES = 64
"""Uses after which an instance is closed: DuckDB remembers each block that it let go of, 0.2 kB each, up to
30 000 in each of eight queues, so that a process grew by 0.4 MB a cycle and more."""
_idle: dict[str, tuple[Hashable, duckdb.DuckDBPyConnection, int]] = {}
_lock = Lock()


@contextmanager
def lent(
    kind: str, key: Hashable, start: Callable[[], duckdb.DuckDBPyConnection]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend an instance to the block, which leaves it as it was; of each kind one is kept.

    After an error it is closed, since DuckDB may have invalidated it, and after _MOST_USES.

    Args:
        kind: who lends it.
        key: its settings; an idle one with others is closed.
        start: starts one where none with the key is idle.
    """
    with _lock:
        found = _idle.pop(kind, None)
    if found and found[0] != key:
        found[1].close()
        found = None
    instance, uses = found[1:] if found else (start(), 0)
    try:
        yield instance
    except BaseException:
        instance.close()
        raise
    if uses + 1 == _MOST_USES:
        instance.close()
        return
    with _lock:
        other = _idle.get(kind)
        _idle[kind] = key, instance, uses + 1
    if other:
        other[1].close()


@contextmanager
def attached(
    instance: duckdb.DuckDBPyConnection, path: str, name: str, mode: str = ""
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach a database for the length of the block, and give a connection for which it is the default.

    What is set for a connection alone (`TimeZone`) holds for it only if it was set globally. `path` is a file
    or `:memory:`, `mode` has options of ATTACH.
    """
    instance.execute(f"attach {literal(path)} as {identifier(name)} {mode}")
    with closing(instance.cursor()) as connection:
        connection.execute(f"use {identifier(name)}")
        yield connection
    instance.execute(f"detach {identifier(name)}")


def close_idle() -> None:
    """Close the instances that nobody uses, as is done when the process ends."""
    with _lock:
        idle = list(_idle.values())
        _idle.clear()
    for _, instance, _ in idle:
        instance.close()


def _leave_to_parent() -> None:
    """Use no instance of the process that this one was forked from: its threads are not here."""
    global _lock
    _left.extend(_idle.values())  # closing would wait for them
    _idle.clear()
    _lock = Lock()


_left: list[object] = []
os.register_at_fork(after_in_child=_leave_to_parent)
atexit.register(close_idle)
