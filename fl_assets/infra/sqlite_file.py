"""One transaction on a SQLite file that several processes use."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fl_assets.infra.disk import is_writable

WAIT_SECS = 60
"""How long a transaction waits for another process's."""


@contextmanager
def transaction(path: Path, prepare: Callable[[sqlite3.Connection], object]) -> Iterator[sqlite3.Connection]:
    """Open the file, made if need be, for one transaction; what was not committed is rolled back.

    One that may not be written to is opened to be read.

    Args:
        path: the file.
        prepare: makes its tables what this release needs; called before the transaction begins.

    Raises:
        sqlite3.OperationalError: another process held it for longer than `WAIT_SECS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    may_write = is_writable(path)
    # a file that may not be written to does not change either, so that it is read without a lock
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
