"""On the coordinator: moving nodes' summaries from a folder into the lake, and their rows of a day's sums.

What goes here: finding, verifying, storing. What does not: the rules (`admission.py`), known files and
refused lines (`files_seen.py`), writing summaries (`node_side.py`).

The newest accepted summary of a node and day is one row of the lake's `node_summaries`, which also keeps its
sequence number. A file is read again when it changes, and after a refusal also when keys or settings change.
Nothing is ever removed from the folder.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import NODE_SUMMARIES
from fl_assets.events.find import open_regular, walk
from fl_assets.events.index import TelemetryIndex
from fl_assets.federation.admission import (
    check_summary,
    clean_summary,
    clean_text,
    read_summary,
    texts_to_mask,
)
from fl_assets.federation.counting import OF_ONE
from fl_assets.federation.files_seen import FilesSeen, RefusedSummary
from fl_assets.federation.rows import rows_of, variance_of
from fl_assets.federation.summary import (
    MAX_LINE_BYTES,
    SignedSummary,
    Summary,
    SummaryRefusedError,
    shared_settings,
)
from fl_assets.infra.clock import now_utc
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import TrustedKeys
from fl_assets.infra.lake import SCHEMA_VERSION, Manifest, retry_on_conflict
from fl_assets.infra.open_lake import open_lake
from fl_assets.sums.masking import masked_sql
from fl_assets.sums.summaries import SummaryRows

MAX_REFUSED = 1_000
"""Refused lines of a file that are kept one by one; the others are counted."""


@dataclass(slots=True)
class Taken:
    """Result of reading the folder."""

    files: int = 0
    summaries: int = 0
    """Accepted, each the newest of its node and day."""
    known: int = 0
    """Lines that had been accepted before, byte for byte."""
    refused: list[RefusedSummary] = field(default_factory=list)
    days: set[date] = field(default_factory=set)
    """Days whose content changed."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that its node signed, without what it holds: a thousand nodes' backlogs would take gigabytes."""

    path: str
    number: int
    start: int
    """Where it begins in its file, bytes."""
    size: int
    digest: str
    node_id: str
    day: date
    sequence: int
    events: int


@dataclass(slots=True)
class _Look:
    """Contents of the files that changed."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    lines: list[_Line] = field(default_factory=list)
    refused: list[RefusedSummary] = field(default_factory=list)


class SummaryFiles:
    """Summaries of a fleet's nodes, in the folder `settings.summaries_path` and in the lake."""

    def __init__(self, settings: FederatedLearningConfig, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._settings = settings
        self._lake = open_lake(settings)
        self._clock = clock
        self._seen = FilesSeen(settings.data_path / "summaries.sqlite")

    def registered(self) -> tuple[str, ...]:
        """Return the names of the nodes whose summaries are accepted.

        Raises:
            KeyFileError: one of the files is no public key.
        """
        return self._keys().names

    def waiting(self) -> dict[date, tuple[int, str]]:
        """Return by day the events and a token of the summaries that `take` would store.

        It writes nothing, and only stats files that did not change.
        """
        found: dict[date, tuple[int, str]] = {}
        for line in self._admitted(self._look(), []):
            events, token = found.get(line.day, (0, ""))
            found[line.day] = (
                events + line.events,
                hashlib.sha256(f"{token}{line.digest}".encode()).hexdigest()[:32],
            )
        return found

    @retry_on_conflict
    def take(self, index: TelemetryIndex) -> Taken:
        """Store what is new in the folder, and mark the changed days in the index; idempotent.

        Args:
            index: marks the days, so that the sensor requests them.

        Raises:
            IngestBusyError: another process held the ingestion lock for ten minutes.
            KeyFileError: a file of the registered keys is no public key.
        """
        with self._lake.lock():
            look = self._look()
            taken = Taken(files=len(look.files))
            if not look.files:
                return taken
            refused = list(look.refused)
            admitted = self._admitted(look, refused)
            by_day: dict[date, list[_Line]] = {}
            for line in admitted:
                by_day.setdefault(line.day, []).append(line)
            taken.known = len(look.lines) - len(admitted) - (len(refused) - len(look.refused))
            for day, lines in sorted(by_day.items()):
                if broken := self._store(day, lines, refused):
                    admitted = [line for line in admitted if line not in broken]
            taken.summaries, taken.refused = len(admitted), refused
            taken.days = {line.day for line in admitted}
            # Includes lines stored before, since a crash may have come in between.
            days = {line.day for line in look.lines}
            stored = {day for day in days if self._lake.manifest(NODE_SUMMARIES.name, day)}
            index.commit([], stored, self._lake)
            self._settle(look, admitted, refused)
        return taken

    def refusals(self) -> list[RefusedSummary]:
        """Return every refused line, by file and line, removed files included."""
        return self._seen.refusals()

    def nodes(self, day: date) -> dict[str, dict[str, Any]]:
        """Return the rows of node_summaries of a day, without their content, by node.

        Each with the variance of the `noise` on a number of failures or conversations.
        """
        names = [name for name in NODE_SUMMARIES.column_names if name != "content"]
        return {
            row["node_id"]: row | {"noise": variance_of(OF_ONE, row["epsilon"])}
            for row in self._rows(day, names)
        }

    def rows(self, day: date) -> SummaryRows:
        """Return the rows that the stored summaries of a day add to its sums."""
        found = SummaryRows([], [], [])
        for row in self._rows(day, ["content"]):
            one = rows_of(Summary.model_validate_json(row["content"]))
            for own, more in (
                (found.signatures, one.signatures),
                (found.totals, one.totals),
                (found.signals, one.signals),
            ):
                own.extend(more)
        return found

    # How ------------------------------------------------------------------------------------------------

    def _rows(self, day: date, names: list[str]) -> list[dict[str, Any]]:
        return [
            row
            for path in self._lake.files(NODE_SUMMARIES.name, [day])
            for row in pq.read_table(path, columns=names, partitioning=None).to_pylist()
        ]

    def _keys(self) -> TrustedKeys:
        return TrustedKeys(self._settings.node_keys_path)

    def _judged_by(self) -> str:
        """Hash what verdicts depend on: registered keys, shared settings, and the allowed days."""
        keys = [
            f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in sorted(self._settings.node_keys_path.glob("*.pem"))
        ]
        parts = [
            *keys,
            shared_settings(self._settings).model_dump_json(),
            str(self._settings.start_date),
            str(self._clock().astimezone(UTC).date()),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _look(self) -> _Look:
        """Read the files that changed, or that had refusals and would be judged differently now."""
        look = _Look()
        root = self._settings.summaries_path
        listed = {path: (status.st_size, status.st_mtime_ns) for path, status in walk(root).files}
        if not listed and not self._seen.exists():
            return look
        for path, status in self._seen.changed(listed, self._judged_by()):
            look.files[path] = status
            self._read(path, look)
        return look

    def _read(self, path: str, look: _Look) -> None:
        keys, number, start, refused = self._keys(), 0, 0, 0
        ours, today = shared_settings(self._settings), self._clock().astimezone(UTC).date()
        try:
            with open_regular(self._settings.summaries_path, path) as file:
                while content := file.readline(MAX_LINE_BYTES + 2):
                    number, start = number + 1, start + len(content)
                    if not content.strip():
                        continue
                    digest = _digest(content)
                    try:
                        summary = read_summary(content, keys)
                        check_summary(summary, settings=self._settings, ours=ours, today=today)
                    except SummaryRefusedError as error:
                        refused += 1
                        if refused <= MAX_REFUSED:
                            look.refused.append(_refusal(path, number, digest, error))
                        if error.rule == "size":
                            break  # the rest of the file would start in the middle of a line
                        continue
                    at = start - len(content)
                    key = (summary.node_id, summary.day, summary.sequence, summary.events)
                    look.lines.append(_Line(path, number, at, len(content), digest, *key))
            if refused > MAX_REFUSED:
                more = SummaryRefusedError("format", f"{refused - MAX_REFUSED} more lines were refused")
                look.refused.append(_refusal(path, number, "", more))
        except FileNotFoundError:
            del look.files[path]  # removed since it was listed
        except OSError as error:
            look.refused.append(
                _refusal(path, 0, "", SummaryRefusedError("format", f"cannot be read: {error.strerror}"))
            )

    def _admitted(self, look: _Look, refused: list[RefusedSummary]) -> list[_Line]:
        """Return the lines that are newer than the stored ones; replays go to `refused`."""
        admitted: list[_Line] = []
        # By sequence number, so that the order of files does not matter.
        ordered = sorted(
            look.lines, key=lambda line: (line.day, line.node_id, line.sequence, line.path, line.number)
        )
        for day, lines in groupby(ordered, key=lambda line: line.day):
            raw = self._lake.manifest("raw_traces", day)
            highest = {node: (row["sequence"], row["digest"]) for node, row in self.nodes(day).items()}
            for line in lines:
                sequence, digest = highest.get(line.node_id, (0, ""))
                if line.digest == digest:
                    continue
                if line.sequence <= sequence:
                    of = f"of {line.node_id} and {day}"
                    detail = f"number {line.sequence} {of}, of which {sequence} has been taken"
                    refused.append(_refused_line(line, SummaryRefusedError("replay", detail)))
                elif raw is not None and raw.is_expired:
                    detail = f"the raw events of {day} were removed, and its sums stand"
                    refused.append(_refused_line(line, SummaryRefusedError("expired", detail)))
                else:
                    highest[line.node_id] = (line.sequence, line.digest)
                    admitted.append(line)
        return admitted

    def _store(self, day: date, lines: Iterable[_Line], refused: list[RefusedSummary]) -> set[_Line]:
        """Replace each node's older summary by its newest, in one commit.

        A line that turns out not to be storable goes to `refused`, and is returned.
        """
        before = {row["node_id"]: row for row in self._rows(day, NODE_SUMMARIES.column_names)}
        fresh: dict[str, dict[str, Any]] = {}
        broken: set[_Line] = set()
        for line in sorted(lines, key=lambda line: line.sequence, reverse=True):
            if line.node_id in fresh:
                continue
            try:
                fresh[line.node_id] = self._row(line)
            except SummaryRefusedError as error:
                refused.append(_refused_line(line, error))
                broken.add(line)
        if not fresh:
            return broken
        rows = before | fresh
        ordered = [rows[node] for node in sorted(rows)]
        old = self._lake.manifest(NODE_SUMMARIES.name, day)
        manifest = Manifest(
            table=NODE_SUMMARIES.name,
            day=day,
            rows=len(ordered),
            content_hash=f"{sum(int(row['digest'][:16], 16) for row in ordered) % 2**64:016x}",
            version=(old.version if old else 0) + 1,
            source_files=tuple(sorted({row["source_file"] for row in ordered})),
            schema_version=SCHEMA_VERSION,
            duckdb_version=duckdb.__version__,
            stats={"summary_events": sum(row["events"] for row in ordered)},
        )
        table = pa.Table.from_pylist(ordered, schema=NODE_SUMMARIES.arrow_schema)
        self._lake.commit(manifest, lambda path: pq.write_table(table, path, compression="zstd"))
        return broken

    def _row(self, line: _Line) -> dict[str, Any]:
        """Return the row of a line, which is read again.

        Raises:
            SummaryRefusedError: it changed since it was read, or cannot be stored.
        """
        content = self._again(line)
        found = SignedSummary.model_validate_json(content).signed
        texts = texts_to_mask(found)
        summary, changed = clean_summary(found, dict(zip(texts, mask_texts(texts), strict=True)))
        return {
            "event_date": summary.day,
            "node_id": summary.node_id,
            "sequence": summary.sequence,
            "created_at": summary.created_at.astimezone(UTC).replace(tzinfo=None),
            "min_sessions": summary.settings.min_sessions,
            "epsilon": summary.settings.epsilon,
            "mask_version": summary.settings.mask_version,
            "events": summary.events,
            "failures": sum(one.failures for one in summary.failures),
            "unnamed_failures": summary.unnamed.failures,
            "unnamed_calls": summary.unnamed.calls,
            "unnamed_sessions": summary.unnamed.sessions,
            "texts_changed": changed,
            "source_file": clean_text(line.path),
            "digest": line.digest,
            "content": canonical_record(summary).decode(),
        }

    def _again(self, line: _Line) -> bytes:
        try:
            with open_regular(self._settings.summaries_path, line.path) as file:
                file.seek(line.start)
                content = file.read(line.size)
        except OSError:
            content = b""
        if _digest(content) != line.digest:
            raise SummaryRefusedError("format", "the file changed while it was read")
        return content

    def _settle(self, look: _Look, admitted: list[_Line], refused: list[RefusedSummary]) -> None:
        """Record the outcome of each file, after the lake's commit."""
        taken: dict[str, int] = {}
        for line in admitted:
            taken[line.path] = taken.get(line.path, 0) + 1
        self._seen.settle(look.files, taken, refused, self._judged_by())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content.removesuffix(b"\n")).hexdigest()


def _refusal(path: str, number: int, digest: str, error: SummaryRefusedError) -> RefusedSummary:
    claim = clean_text(error.node_id), clean_text(error.day)
    return RefusedSummary(path, number, error.rule, *claim, clean_text(error.detail)[:300], digest)


def _refused_line(line: _Line, error: SummaryRefusedError) -> RefusedSummary:
    error.node_id, error.day = line.node_id, str(line.day)
    return _refusal(line.path, line.number, line.digest, error)


def mask_texts(texts: list[str]) -> list[str]:
    """Return texts masked as error texts are."""
    if not texts:
        return []
    with duckdb.connect() as connection:
        connection.execute(
            "create table given as select unnest($texts) as error, unnest(range(len($texts))) as number",
            {"texts": texts},
        )
        found = connection.execute(f"select masked_error from ({masked_sql('given')}) order by number")  # noqa: S608
        return [masked for (masked,) in found.fetchall()]
