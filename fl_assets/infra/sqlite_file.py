"""Transactions on a SQLite file that several processes use."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fl_assets.infra.disk import is_writable

WAIT_SECS = 60
"""How long a transaction waits for another process."""


@contextmanager
def transaction(path: Path, prepare: Callable[[sqlite3.Connection], object]) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction, which an error rolls back; read-only where it may not be written to.

    `prepare` creates or migrates its tables, before the transaction begins.

    Raises:
        sqlite3.OperationalError: another process held it for longer than `WAIT_SECS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    may_write = is_writable(path)
    # immutable: read without a lock, which could not be created
    name = path if may_write else f"{path.resolve().as_uri()}?immutable=1"
    connection = sqlite3.connect(name, timeout=WAIT_SECS, isolation_level=None, uri=not may_write)
    try:
        connection.row_factory = sqlite3.Row
        if not may_write:
            yield connection
            return
        prepare(connection)
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")
    finally:
        connection.close()
