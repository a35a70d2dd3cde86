"""One connection to a DuckDB file, which one process at a time may open, limited to the folders it may read.

What goes here: opening, closing, and their errors. What does not: tables.

The file is closed after each use, so that other processes get it; the instance that opened it is kept.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

import duckdb
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from fl_assets.infra.disk import is_writable
from fl_assets.infra.duckdb_kept import attached, lent
from fl_assets.infra.errors import ExplainedError

LOCK_WAIT_SECS = 120.0
"""How long to wait for another process to close the file."""
_TAKEN = {"main", "memory", "system", "temp"}
"""Names that DuckDB gives to databases of its own."""
_open: set[Path] = set()
_changing = Lock()


class WarehouseBusyError(ExplainedError):
    """Another process held the DuckDB file for longer than we wait."""


class WarehouseFileError(ExplainedError):
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
    folders = tuple(sorted(os.fspath(folder.resolve()) for folder in allowed))
    retrying = Retrying(
        retry=retry_if_exception(_is_lock),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(wait_secs),
    )
    with ExitStack() as stack:
        try:
            connection = retrying(
                lambda: stack.enter_context(_opened(path.absolute(), folders, is_read_only=is_read_only))
            )
        except RetryError as error:
            raise WarehouseBusyError(
                f"{path} is in use: waited {wait_secs:.0f} s for it, one process at a time may open it "
                f"({error.last_attempt.exception()})"
            ) from error
        except duckdb.Error as error:
            raise WarehouseFileError(
                f"{path} cannot be opened as a DuckDB file: {error}. Run `fl-assets rebuild`: it moves "
                "the file aside and makes it again from the Parquet beside it."
            ) from error
        yield connection


@contextmanager
def _opened(
    path: Path, folders: tuple[str, ...], *, is_read_only: bool
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file by an instance that may have had it open before, and reaches nothing else but `folders`."""
    mode = "(read_only)" if is_read_only else ""
    name = path.stem if path.stem not in _TAKEN else f"{path.stem}_db"

    def start() -> duckdb.DuckDBPyConnection:
        instance = duckdb.connect()
        try:
            instance.execute("set temp_directory = $path", {"path": f"{path}.tmp"})
            with attached(instance, os.fspath(path), name, mode):  # what is open now may be opened again
                instance.execute("set allowed_directories = $folders", {"folders": list(folders)})
                for statement in (
                    "set autoinstall_known_extensions = false",
                    "set enable_external_access = false",
                    "set lock_configuration = true",
                ):
                    instance.execute(statement)
        except BaseException:
            instance.close()
            raise
        return instance

    with (
        _alone(path.resolve()),
        lent("file", (path, folders, is_read_only), start) as instance,
        attached(instance, os.fspath(path), name, mode) as connection,
    ):
        yield connection


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep another thread from opening a file, which the lock on it would not."""
    with _changing:
        if path in _open:
            raise duckdb.IOException(
                f"Could not set lock on {path}: another thread of this process has it open"
            )
        _open.add(path)
    try:
        yield
    finally:
        _open.discard(path)
