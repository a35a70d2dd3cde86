"""One connection to a DuckDB file, which one process at a time may open, limited to the folders it may read.

What goes here: opening, closing, and their errors. What does not: tables.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from fl_assets.infra.disk import is_writable

LOCK_WAIT_SECS = 120.0
"""How long to wait for another process to close the file."""


class WarehouseBusyError(RuntimeError):
    """Another process held the DuckDB file for longer than we wait."""


class WarehouseFileError(RuntimeError):
    """The DuckDB file cannot be opened, and waiting would not help."""


def _is_lock(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "could not set lock" in str(error).lower()


@contextmanager
def connect(
    path: Path, *, allowed: Iterable[Path] = (), wait_secs: float = LOCK_WAIT_SECS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file, limited to the `allowed` folders; read-only where it may not be written to.

    Raises:
        WarehouseBusyError: another process held the file for `wait_secs`; the text names it.
        WarehouseFileError: it is no DuckDB file, or was written by a newer DuckDB.
    """
    is_read_only = path.exists() and not is_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    retrying = Retrying(
        retry=retry_if_exception(_is_lock),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(wait_secs),
    )
    try:
        connection = retrying(duckdb.connect, os.fspath(path), read_only=is_read_only)
    except RetryError as error:
        message = (
            f"{path} is in use: waited {wait_secs:.0f} s for it, one process at a time may open it "
            f"({error.last_attempt.exception()})"
        )
        raise WarehouseBusyError(message) from error
    except duckdb.Error as error:
        message = (
            f"{path} cannot be opened as a DuckDB file: {error}. Run `fl-assets rebuild`: it moves "
            "the file aside and makes it again from the Parquet beside it."
        )
        raise WarehouseFileError(message) from error
    try:
        folders = sorted(os.fspath(folder.resolve()) for folder in allowed)
        connection.execute("set allowed_directories = $folders", {"folders": folders})
        for statement in (
            "set autoinstall_known_extensions = false",
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            connection.execute(statement)
        yield connection
    finally:
        connection.close()
