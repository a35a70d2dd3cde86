"""One transaction on a SQLite file that several processes use."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_SECS = 60
"""How long a transaction waits for another process's."""


@contextmanager
def transaction(path: Path, prepare: Callable[[sqlite3.Connection], object]) -> Iterator[sqlite3.Connection]:
    """Open the file, made if need be, for one transaction; what was not committed is rolled back.

    Args:
        path: the file.
        prepare: makes its tables what this release needs; called before the transaction begins.

    Raises:
        sqlite3.OperationalError: another process held it for longer than `WAIT_SECS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=WAIT_SECS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        prepare(connection)
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")
    finally:
        connection.close()
