"""Pulling days from sources into the telemetry folder, where ingestion finds them.

What goes here: the file and the state of a day, which days are pulled. What does not: a server's API (one
file per kind), requests (`api.py`).

A day of a source is one file, `<telemetry>/<source>/<day>/pulled.jsonl.gz`, so that the spans of a trace are
together. Its pages are collected in a hidden file, which ingestion does not read, with a note of where the
next one begins, from which an interrupted pull resumes. The day's file is replaced when the pull is complete
and its content changed: ingestion then replaces unfinished observations by their finished versions.
"""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from fl_assets.events.redaction import redact
from fl_assets.infra.clock import now_utc
from fl_assets.infra.disk import LockBusyError, locked, new_file, sync_folder, write_atomically
from fl_assets.infra.http import Deadline
from fl_assets.infra.json_text import canonical_json
from fl_assets.sources import clickhouse, langfuse, langsmith, mlflow, phoenix
from fl_assets.sources.api import Api
from fl_assets.sources.source import Ask, Cursor, Interval, Page, RemoteSource, SourceError, SourceKind

KINDS: dict[str, SourceKind] = {
    "langfuse": langfuse.KIND,
    "phoenix": phoenix.KIND,
    "mlflow": mlflow.KIND,
    "langsmith": langsmith.KIND,
    "clickhouse": clickhouse.KIND,
}
FILE, _PAGES, _NOTE, _LOCK = "pulled.jsonl.gz", ".pages", ".pull.json", ".lock"
MAX_DAY_BYTES = 16 * 1024**3
"""Most that is collected of a day, uncompressed."""
PULL_SECS = 1800.0
"""A pull that takes longer stops, and resumes the next time."""
RESUMED_FOR = timedelta(hours=12)
"""Later than this, a pull starts again: cursors expire, and pages may have moved."""
SETTLED_AFTER = timedelta(hours=6)
"""Spans of a day may reach their server this long after its end."""
_MAX_MARK = 1 << 16
"""Longest note of where a page begins, bytes."""
FRESH_FOR, ASKED_AGAIN_AFTER = timedelta(minutes=10), timedelta(minutes=2)
"""A cycle pulls twice, for the latest day with events and for the day that it analyses: the second time is
skipped so soon after a success, or a failure."""


class Pulled(BaseModel):
    """State of a day of a source; kept beside its file."""

    source: str
    day: date
    key: str = ""
    """Hash of the source's entry: a changed entry starts again."""
    began: datetime | None = None
    cursor: Cursor | None = None
    """Where the next page begins, during a pull."""
    size: int = 0
    """Bytes of the pages that are collected."""
    records: int = 0
    pages: int = 0
    completed: datetime | None = None
    sha256: str = ""
    """Of the file's content, uncompressed."""
    kept: int = 0
    """Records in the file."""
    problem: str = ""
    """Why the last pull is incomplete."""
    asked: datetime | None = None


class Pull:
    """Pulls from sources."""

    def __init__(
        self,
        telemetry: Path,
        *,
        clock: Callable[[], datetime] = now_utc,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], Any] = time.sleep,
        seconds: float = PULL_SECS,
    ) -> None:
        self._telemetry, self._clock, self._environment = telemetry, clock, environment
        self._sleep, self._seconds = sleep, seconds

    def days(
        self,
        sources: Sequence[RemoteSource],
        days: Iterable[date],
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[Pulled]:
        """Pull days of all sources, as a cycle does; a source that fails does not stop the others.

        A day that was pulled in the last minutes is skipped. The day before is pulled again where its last
        pull was too soon after its end.
        """
        found: list[Pulled] = []
        wanted = sorted(set(days))
        for source in sources:
            problem = ""
            for day in sorted({*wanted, *(self._unsettled(source, wanted))}):
                known = self.known(source, day)
                if known.completed and not known.cursor and self._clock() - known.completed < FRESH_FOR:
                    found.append(known)
                elif known.problem and known.asked and self._clock() - known.asked < ASKED_AGAIN_AFTER:
                    found.append(known)
                    problem = known.problem
                elif problem:
                    found.append(self._failed(source, day, f"not asked: of a day before it {problem}"))
                else:
                    found.append(self.day(source, day, progress))
                    problem = found[-1].problem
        return found

    def day(
        self, source: RemoteSource, day: date, progress: Callable[[str], None] = lambda _: None
    ) -> Pulled:
        """Pull a day of a source; errors are in the result."""
        try:
            return self._day(source, day, progress)
        except SourceError as error:
            return self._failed(source, day, _shown(error))
        except LockBusyError as error:  # another process writes the note
            return self.known(source, day).model_copy(update={"problem": str(error)})
        except OSError as error:
            message = f"cannot be written to {self._folder(source, day)} ({error.strerror})"
            return self.known(source, day).model_copy(update={"problem": message, "asked": self._clock()})

    def known(self, source: RemoteSource, day: date) -> Pulled:
        """Return the state of a day."""
        note = self._folder(source, day) / _NOTE
        with suppress(OSError, ValidationError):
            if note.is_file():  # a pipe would be waited for
                return Pulled.model_validate_json(note.read_bytes())
        return Pulled(source=source.name, day=day)

    def incomplete(self, sources: Sequence[RemoteSource], days: Iterable[date]) -> list[Pulled]:
        """Return the days of sources whose last pull is incomplete, or that were never pulled."""
        known = [self.known(source, day) for source in sources for day in days]
        return [one for one in known if one.problem or not one.completed]

    def _unsettled(self, source: RemoteSource, days: Iterable[date]) -> Iterable[date]:
        for day in days:
            before = day - timedelta(days=1)
            known = self.known(source, before)
            if known.completed and known.completed < Interval.of(before).end + SETTLED_AFTER:
                yield before

    def _day(self, source: RemoteSource, day: date, progress: Callable[[str], None]) -> Pulled:
        if day > self._clock().astimezone(UTC).date():
            raise SourceError(f"{day} has not begun")
        folder = self._folder(source, day)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / _LOCK, wait_secs=5.0):
            api = Api(
                source,
                KINDS[source.kind],
                deadline=Deadline(self._seconds),
                environment=self._environment,
                sleep=self._sleep,
            )
            state = self._begin(source, day)
            state = self._collect(source, state, api, progress)
            return self._finish(folder, state)

    def _begin(self, source: RemoteSource, day: date) -> Pulled:
        """Return the state to start from: that of a recent interrupted pull, or a new one."""
        known, now = self.known(source, day), self._clock()
        key = hashlib.sha256(canonical_json(source.model_dump(mode="json"))).hexdigest()[:16]
        pages = self._folder(source, day) / _PAGES
        is_usable = (
            known.cursor is not None
            and known.key == key
            and known.began is not None
            and now - known.began < RESUMED_FOR
            and pages.is_file()
            and pages.stat().st_size >= known.size
        )
        if is_usable:
            return known.model_copy(update={"asked": now})
        fresh = {"key": key, "began": now, "asked": now, "cursor": {}, "size": 0, "records": 0, "pages": 0}
        return known.model_copy(update=fresh)

    def _collect(
        self, source: RemoteSource, state: Pulled, api: Api, progress: Callable[[str], None]
    ) -> Pulled:
        folder, kind, span = self._folder(source, state.day), KINDS[source.kind], Interval.of(state.day)
        seen = {_mark(state.cursor)}
        with os.fdopen(
            os.open(folder / _PAGES, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b"
        ) as file:
            file.truncate(state.size)  # drops a half-written page
            file.seek(state.size)
            while state.cursor is not None:
                page = kind.page(Ask(source, span, state.cursor, api))
                mark = _mark(page.after)
                state, digest = _written(file, state, page)
                told = {one for one in (mark, digest) if one}
                if seen & told:
                    raise SourceError("gives the same page again and again")
                seen |= told
                if state.cursor is not None:  # the last page is noted with the file that it completes
                    self._note(folder, state)
                progress(f"{source.name} {state.day}: {state.records:,} records")
        return state

    def _finish(self, folder: Path, state: Pulled) -> Pulled:
        """Replace the day's file by what was collected, if anything was."""
        pages, temporary = folder / _PAGES, folder / f".{FILE}.tmp"
        done: dict[str, Any] = {"completed": self._clock(), "problem": "", "cursor": None}
        if state.records:
            digest = hashlib.sha256()
            temporary.unlink(missing_ok=True)
            with (
                pages.open("rb") as source,
                new_file(temporary, mode=0o600) as target,
                gzip.GzipFile("", "wb", 6, target, mtime=0) as packed,
            ):
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    packed.write(chunk)
            if digest.hexdigest() == state.sha256 and (folder / FILE).is_file():
                temporary.unlink()
            else:
                temporary.replace(folder / FILE)
                sync_folder(folder)
            done |= {"sha256": digest.hexdigest(), "kept": state.records}
        state = state.model_copy(update=done)
        self._note(folder, state)
        pages.unlink(missing_ok=True)
        return state

    def _failed(self, source: RemoteSource, day: date, problem: str) -> Pulled:
        state = self.known(source, day).model_copy(update={"problem": problem, "asked": self._clock()})
        folder = self._folder(source, day)
        folder.mkdir(parents=True, exist_ok=True)
        self._note(folder, state)
        return state

    @staticmethod
    def _note(folder: Path, state: Pulled) -> None:
        write_atomically(folder / _NOTE, state.model_dump_json(indent=1).encode(), mode=0o600)

    def _folder(self, source: RemoteSource, day: date) -> Path:
        places = dict.fromkeys(filter(None, (source.node, source.name)))
        return self._telemetry.joinpath(*places, str(day))


def _shown(error: SourceError) -> str:
    """Return what is said of an error, in which a server may have named things."""
    return redact("".join(letter if letter.isprintable() else " " for letter in str(error)))


def _mark(cursor: Cursor | None) -> bytes:
    """Return what a page's beginning is known by, b'' for none.

    Raises:
        SourceError: it cannot be kept in a note.
    """
    try:
        mark = b"" if cursor is None else orjson.dumps(cursor)
    except (TypeError, ValueError):
        mark = None
    if mark is None or len(mark) > _MAX_MARK:
        raise SourceError("says where the next page begins with what cannot be kept")
    return mark


def _written(file: Any, state: Pulled, page: Page) -> tuple[Pulled, bytes]:
    """Write a page to the disk, record by record; return the state after it and its hash, b'' without any."""
    size, records, digest = state.size, state.records, hashlib.sha256()
    for record in page.records:
        line = _line(record) + b"\n"
        size += len(line)
        if size > MAX_DAY_BYTES:
            raise SourceError(f"has more than {MAX_DAY_BYTES} bytes of a day")
        records += 1
        digest.update(line)
        file.write(line)
    file.flush()
    os.fsync(file.fileno())
    after = {"cursor": page.after, "size": size, "records": records, "pages": state.pages + 1}
    return state.model_copy(update=after), digest.digest() if records > state.records else b""


def _line(record: Mapping[str, Any] | bytes) -> bytes:
    """Write a record as a line, short values first, since formats are detected by a file's first bytes."""
    if isinstance(record, bytes):
        return record.strip()
    ordered = dict(sorted(record.items(), key=lambda item: _weight(item[1])))
    try:
        return orjson.dumps(ordered)
    except (TypeError, ValueError):
        with suppress(RecursionError):
            return json.dumps(ordered).encode()
    flat = {key: value for key, value in ordered.items() if not isinstance(value, Mapping | list)}
    return json.dumps(flat).encode()  # what is nested deeper than this can be written is nothing to read


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return 1000 if isinstance(value, Mapping | list) else 0
