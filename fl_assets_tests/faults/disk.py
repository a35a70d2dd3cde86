"""A disk whose k-th write, sync, rename or commit fails: the seam through which every storage module changes
anything.

Calls are those that Python makes: of `os`, of files opened for writing, and of the statements by which DuckDB
and SQLite write. What these two do inside a statement is covered by disks that are really full
(`test_disk.py`).
"""

import errno
import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pytest

from fl_assets.infra import duckdb_kept

CALLS = ("fsync", "replace", "rename", "unlink", "truncate", "link", "mkdir")
STATEMENTS = ("begin", "commit", "checkpoint", "copy")


class FailingDisk:
    """Counts calls that change the disk, and lets the one with number `fail_at` fail as a full disk does."""

    def __init__(self, fail_at: int = 0) -> None:
        self.fail_at = fail_at
        self.calls: list[str] = []

    def step(
        self,
        what: str,
        error: Callable[[str], Exception] = lambda what: OSError(
            errno.ENOSPC, "No space left on device", what
        ),
    ) -> None:
        self.calls.append(what)
        if len(self.calls) == self.fail_at:
            raise error(what)

    @property
    def has_failed(self) -> bool:
        return 0 < self.fail_at <= len(self.calls)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let everything that this process writes in the block go through here."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            patch.setattr(io, "open", self._opening(io.open))
            patch.setattr(duckdb_kept, "_idle", {})  # none of before, and none for after
            patch.setattr(duckdb, "connect", self._connecting(duckdb.connect))
            patch.setattr(sqlite3, "connect", self._connecting(sqlite3.connect))
            yield

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.step(name)
            return real(*given, **named)

        return call

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+"):
                return real(file, mode, *given, **named)
            self.step("open")
            return _Through(real(file, mode, *given, **named), {"write": lambda *_: "write"}, self)

        return call

    def _connecting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def first_word(sql: str, *_: Any) -> str:
            word = sql.split(maxsplit=1)[0].lower()
            return word if word in STATEMENTS else ""

        return lambda *given, **named: _Through(real(*given, **named), {"execute": first_word}, self)


class _Through:
    """Something that writes, with the calls named in `counted` counted; each tells what it does, or ''."""

    def __init__(self, real: Any, counted: dict[str, Callable[..., str]], disk: FailingDisk) -> None:
        object.__setattr__(self, "_Through__real", real)
        self.__dict__["_Through__counted"], self.__dict__["_Through__disk"] = counted, disk

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__real, name)
        if name == "cursor" and isinstance(self.__real, duckdb.DuckDBPyConnection):
            return lambda: _Through(found(), self.__counted, self.__disk)
        if name not in self.__counted:
            return found

        def call(*given: Any, **named: Any) -> Any:
            if what := self.__counted[name](*given):
                is_sql = isinstance(self.__real, duckdb.DuckDBPyConnection)
                self.__disk.step(what, duckdb.IOException) if is_sql else self.__disk.step(what)
            return found(*given, **named)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__real, name, value)

    def __enter__(self) -> Any:
        self.__real.__enter__()
        return self

    def __exit__(self, *given: Any) -> Any:
        return self.__real.__exit__(*given)
