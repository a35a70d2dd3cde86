"""On the coordinator: taking nodes' summaries from a folder into the lake, and what they add to a day's sums.

What goes here: finding, verifying, storing. What does not: the rules (`admission.py`), remembering files and
what was refused (`files_seen.py`), writing summaries (`node_side.py`), adding them to other nodes' sums
(`intake.py`).

A taken summary is one row of the lake's `node_summaries`, the newest of its node and day; the highest
sequence number is remembered there and in no summary. A file is read again when it changes, and one that held
something refused also when keys or settings do. Nothing is ever removed from the folder.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import NODE_SUMMARIES
from fl_assets.events.find import list_files
from fl_assets.events.index import TelemetryIndex
from fl_assets.federation.admission import (
    check_summary,
    clean_summary,
    clean_text,
    read_summary,
    texts_to_mask,
)
from fl_assets.federation.files_seen import FilesSeen, RefusedSummary
from fl_assets.federation.rows import rows_of
from fl_assets.federation.summary import (
    MAX_LINE_BYTES,
    Summary,
    SummaryRefusedError,
    shared_settings,
    summary_to_sign,
)
from fl_assets.infra.clock import now_utc
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import TrustedKeys
from fl_assets.infra.lake import SCHEMA_VERSION, Manifest, retry_on_conflict
from fl_assets.infra.open_lake import open_lake
from fl_assets.sums.masking import mask_sql
from fl_assets.sums.summaries import SummaryRows


@dataclass(slots=True)
class Taken:
    """What one look at the folder did."""

    files: int = 0
    summaries: int = 0
    """Taken, each the newest of its node and day."""
    known: int = 0
    """Lines that had been taken before, byte for byte."""
    refused: list[RefusedSummary] = field(default_factory=list)
    days: set[date] = field(default_factory=set)
    """Days whose content changed."""


@dataclass(frozen=True, slots=True)
class _Line:
    path: str
    number: int
    content: bytes
    summary: Summary

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class _Look:
    """What the files that changed hold."""

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
        """Return the nodes whose summaries are taken, by name.

        Raises:
            KeyFileError: one of the files is no public key.
        """
        return self._keys().names

    def waiting(self) -> dict[date, tuple[int, str]]:
        """Return, by day, the events and a token of the summaries that would be taken now.

        Writes nothing, and costs a stat for a file that did not change.
        """
        found: dict[date, tuple[int, str]] = {}
        for line in self._admitted(self._look(), []):
            events, token = found.get(line.summary.day, (0, ""))
            found[line.summary.day] = (
                events + line.summary.events,
                hashlib.sha256(f"{token}{line.digest}".encode()).hexdigest()[:32],
            )
        return found

    @retry_on_conflict
    def take(self, index: TelemetryIndex) -> Taken:
        """Store what is new in the folder, then tell the index which days changed.

        A second call right after finds nothing to do.

        Args:
            index: told of the days, so that the sensor asks for them.

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
                by_day.setdefault(line.summary.day, []).append(line)
            for day, lines in sorted(by_day.items()):
                self._store(day, lines)
            taken.summaries, taken.refused, taken.days = len(admitted), refused, set(by_day)
            taken.known = len(look.lines) - len(admitted) - (len(refused) - len(look.refused))
            # Also of lines that were stored before: a crash may have come between that and this.
            stored = {
                line.summary.day
                for line in look.lines
                if self._lake.manifest(NODE_SUMMARIES.name, line.summary.day)
            }
            index.commit([], stored, self._lake)
            self._settle(look, admitted, refused)
        return taken

    def refusals(self) -> list[RefusedSummary]:
        """Return every line that was not taken, by file and line, removed files included."""
        return self._seen.refusals()

    def nodes(self, day: date) -> dict[str, dict[str, Any]]:
        """Return the rows of node_summaries of a day, without their content, by node."""
        names = [name for name in NODE_SUMMARIES.column_names if name != "content"]
        return {row["node_id"]: row for row in self._rows(day, names)}

    def rows(self, day: date) -> SummaryRows:
        """Return what the summaries of a day add to its sums, counted from what is stored of them."""
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

    # How
    # ------------------------------------------------------------------------------------------------

    def _rows(self, day: date, names: list[str]) -> list[dict[str, Any]]:
        return [
            row
            for path in self._lake.files(NODE_SUMMARIES.name, [day])
            for row in pq.read_table(path, columns=names, partitioning=None).to_pylist()
        ]

    def _keys(self) -> TrustedKeys:
        return TrustedKeys(self._settings.node_keys_path)

    def _judged_by(self) -> str:
        """Return what tells one way of judging from another.

        Registered keys, settings that must match, the days that may be told of.
        """
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
        """Read the files that changed, or that held something refused and would be judged otherwise now."""
        look = _Look()
        root = self._settings.summaries_path
        listed = {path: (status.st_size, status.st_mtime_ns) for path, status in list_files(root)}
        if not listed and not self._seen.exists():
            return look
        for path, status in self._seen.changed(listed, self._judged_by()):
            look.files[path] = status
            self._read(path, look)
        return look

    def _read(self, path: str, look: _Look) -> None:
        keys, number = self._keys(), 0
        ours, today = shared_settings(self._settings), self._clock().astimezone(UTC).date()
        try:
            with (self._settings.summaries_path / path).open("rb") as file:
                while content := file.readline(MAX_LINE_BYTES + 2):
                    number += 1
                    summary = None
                    try:
                        summary = read_summary(content).signed
                        self._verify(content, summary, keys)
                        check_summary(summary, settings=self._settings, ours=ours, today=today)
                    except SummaryRefusedError as error:
                        if content.strip():
                            look.refused.append(_refusal(path, number, content, error, summary))
                        if error.rule == "size":
                            return  # what follows in the file would be its middle
                        continue
                    look.lines.append(_Line(path, number, content.removesuffix(b"\n"), summary))
        except FileNotFoundError:
            del look.files[path]  # it vanished since it was listed
        except OSError as error:
            look.refused.append(
                _refusal(
                    path, 0, b"", SummaryRefusedError("format", f"cannot be read: {error.strerror}"), None
                )
            )

    def _verify(self, content: bytes, summary: Summary, keys: TrustedKeys) -> None:
        """Refuse a summary that its node did not sign.

        Raises:
            SummaryRefusedError: unknown_node, signature or wrong_node.
        """
        signer = keys.signed_by(
            summary_to_sign(summary), orjson.loads(content)["signature"], first=summary.node_id
        )
        if signer not in (None, summary.node_id):
            raise SummaryRefusedError(
                "wrong_node", f"it says that it is of {summary.node_id}, and {signer} signed it"
            )
        if summary.node_id not in keys.names:
            raise SummaryRefusedError(
                "unknown_node", f"{self._settings.node_keys_path} has no {summary.node_id}.pem"
            )
        if signer is None:
            raise SummaryRefusedError(
                "signature",
                f"the key of {summary.node_id} did not sign it: it was changed, or signed by another key",
            )

    def _admitted(self, look: _Look, refused: list[RefusedSummary]) -> list[_Line]:
        """Return the lines that are newer than what is stored, by node, day and number.

        A replay goes to `refused`.
        """
        admitted: list[_Line] = []
        highest: dict[tuple[str, date], tuple[int, str]] = {}
        # In order of their numbers, so that the order of files decides nothing.
        for line in sorted(
            look.lines,
            key=lambda line: (
                line.summary.day,
                line.summary.node_id,
                line.summary.sequence,
                line.path,
                line.number,
            ),
        ):
            summary, key = line.summary, (line.summary.node_id, line.summary.day)
            if key not in highest:
                stored = self.nodes(summary.day).get(summary.node_id)
                highest[key] = (stored["sequence"], stored["digest"]) if stored else (0, "")
            sequence, digest = highest[key]
            raw = self._lake.manifest("raw_traces", summary.day)
            try:
                if line.digest == digest:
                    continue
                if summary.sequence <= sequence:
                    detail = (
                        f"number {summary.sequence} of {summary.node_id} and {summary.day}, of which "
                        f"{sequence} has been taken"
                    )
                    raise SummaryRefusedError("replay", detail)
                if raw is not None and raw.is_expired:
                    raise SummaryRefusedError(
                        "expired", f"the raw events of {summary.day} were removed, and its sums stand"
                    )
            except SummaryRefusedError as error:
                refused.append(_refusal(line.path, line.number, line.content, error, summary))
                continue
            highest[key] = (summary.sequence, line.digest)
            admitted.append(line)
        return admitted

    def _store(self, day: date, lines: Iterable[_Line]) -> None:
        """Put the newest summary of each node in the place of its older one, in one commit."""
        rows = {row["node_id"]: row for row in self._rows(day, NODE_SUMMARIES.column_names)}
        for line in lines:
            rows[line.summary.node_id] = self._row(line)
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

    def _row(self, line: _Line) -> dict[str, Any]:
        texts = texts_to_mask(line.summary)
        summary, changed = clean_summary(line.summary, dict(zip(texts, mask_texts(texts), strict=True)))
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

    def _settle(self, look: _Look, admitted: list[_Line], refused: list[RefusedSummary]) -> None:
        """Remember, after the lake's commit, what became of each file."""
        taken: dict[str, int] = {}
        for line in admitted:
            taken[line.path] = taken.get(line.path, 0) + 1
        self._seen.settle(look.files, taken, refused, self._judged_by())


def _refusal(
    path: str, number: int, content: bytes, error: SummaryRefusedError, summary: Summary | None
) -> RefusedSummary:
    digest = hashlib.sha256(content.removesuffix(b"\n")).hexdigest()
    return RefusedSummary(
        path,
        number,
        error.rule,
        summary.node_id if summary else "",
        str(summary.day) if summary else "",
        clean_text(error.detail)[:300],
        digest,
    )


def mask_texts(texts: list[str]) -> list[str]:
    """Return texts masked as failures are."""
    if not texts:
        return []
    with duckdb.connect() as connection:
        connection.execute(
            "create table given as select unnest($texts) as text, unnest(range(len($texts))) as place",
            {"texts": texts},
        )
        return [
            masked
            for (masked,) in connection.execute(
                f"select {mask_sql('text')} from given order by place"  # noqa: S608
            ).fetchall()
        ]
