"""Staging: batches of lines become redacted, sorted files by day, and rows of `fl_stage`.

What goes here: running the SQL of `sql.py` over a batch, redacting each distinct text once, reading suspect
lines strictly, writing the files. What does not: reading batches and committing files (`ingest.py`), the
rules (`redaction/`, `event.py`).

Raw text stays in Arrow memory until it is redacted, since DuckDB may spill to disk.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES, Table
from fl_assets.events.bulk import read_events
from fl_assets.events.event import EXCERPT_CHARS, BadLine, excerpt_source, is_history, read_line, redact_event
from fl_assets.events.mend import mended
from fl_assets.events.pii_names import PLACEHOLDERS
from fl_assets.events.quarantine import Refused, RefusedLines
from fl_assets.events.read import BATCH_SCHEMA, batch_of
from fl_assets.events.redaction import ITEM_SEPARATOR, KEY_SEPARATOR, redact
from fl_assets.events.redaction.bulk import redact_many
from fl_assets.events.redaction.safe_names import SAFE_ITEM
from fl_assets.events.sql import TEXTS, events_sql, staged_sql
from fl_assets.infra.lake import Lake, LakeFile

PARQUET = "(format parquet, compression zstd, compression_level 1)"
"""Options of COPY for every file of the lake."""
_CHUNK_ROWS = 8192
"""Rows of an Arrow chunk, which one thread of DuckDB takes at a time."""
_SET_ASIDE_BYTES = 1024 * 1024
"""Suspect lines that are collected over several batches, in memory only."""
_FILTERED_SHARE = 8
"""A group of more than 1/8 of a batch's rows is filtered while it is written, a smaller one copied first."""


class _Given:
    """A registered table whose content changes, so that statements over it are planned once."""

    table: pa.Table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


@dataclass(frozen=True, slots=True)
class _Line:
    """A suspect or refused line."""

    file_no: int
    number: int
    raw: bytes


class Stager:
    """Stages batches on a connection of its own; several stagers run in parallel.

    Attributes:
        refused: lines that are no events.
        early: by file and day, the events that are older than the first day that is analysed.
        mended: values in which a character was replaced.
        redactions: by entity, values masked one by one; those masked in bulk are in `fl_stage.masked`.
        files: added to the lake, by table and day, for a commit to name.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        *,
        start: date,
        secret: bytes,
        mask_names: Callable[[str], str] | None = None,
    ) -> None:
        self.connection, self.lake = connection, lake
        self.files: defaultdict[tuple[str, date], list[LakeFile]] = defaultdict(list)
        self.refused = RefusedLines()
        self.early: Counter[tuple[int, date]] = Counter()
        self.mended = 0
        self.redactions: Counter[str] = Counter()
        self._sources = (
            connection.sql("select path, node, received from fl_sources order by file_no")
            .to_arrow_table()
            .combine_chunks()
        )
        self._start, self._secret, self._mask_names = start, secret, mask_names
        self._given: dict[str, _Given] = {}
        self._again: list[pa.RecordBatch] = []
        self._refused: list[tuple[_Line, BadLine]] = []

    def stage(self, batch: pa.Table, read: pa.Table) -> None:
        """Stage a batch; suspect lines are read strictly, redacted one by one, and collected for `finish`.

        Args:
            batch: (`file_no`, `line_no`, `line`), as `read.line_batches` yields them.
            read: `read_events` of its lines, run by the reading thread because it holds the GIL.
        """
        events, suspect = self._read(batch, read)
        for line in suspect:
            raw, values = mended(line.raw)
            event = read_line(raw)
            if isinstance(event, BadLine):
                self._refuse(line, event)
            elif event is not None and (day := is_history(event, self._start)):
                self.early[line.file_no, day] += 1
            elif event is not None:
                event, counts = redact_event(event, self._secret)
                self.mended += values
                self.redactions.update(counts)
                self._again.append(lines_of(line.file_no, [(line.number, event)]))
        self._store(events)
        held = sum(len(line.raw) for line, _ in self._refused) + sum(lines.nbytes for lines in self._again)
        if held > _SET_ASIDE_BYTES:
            self.finish()

    def finish(self) -> None:
        """Stage the collected lines of many batches at once, since each statement has a fixed cost."""
        if self._again:
            again = pa.Table.from_batches(self._again, schema=BATCH_SCHEMA)
            events, suspect = self._read(again, read_events(again["line"]), is_strict=True)
            for line in suspect:
                self._refuse(line, BadLine("wrong_type", "cannot be read without a doubt"))
            self._store(events)
        excerpts = self.excerpts([line.raw for line, _ in self._refused])
        for (line, bad), text in zip(self._refused, excerpts, strict=True):
            size = len(line.raw.rstrip(b"\r\n"))
            self.refused.rows.append(Refused(line.file_no, line.number, bad.reason, bad.detail, text, size))
        self._again, self._refused = [], []

    def _refuse(self, line: "_Line", bad: BadLine) -> None:
        if self.refused.has_room(line.file_no, bad.reason):
            self._refused.append((line, bad))
        else:
            self.refused.count(line.file_no, line.number, bad.reason, len(line.raw))

    def excerpts(self, lines: list[bytes]) -> list[str]:
        """Return the redacted starts of refused lines; in bulk, as each alone takes a millisecond."""
        if not lines:
            return []
        texts = pa.array([excerpt_source(line) for line in lines], pa.string()).dictionary_encode()
        places, redacted, _ = self._redacted_items(texts.dictionary)
        items, changed = texts.dictionary.to_pylist(), redacted.to_pylist()
        clean = [
            (changed[place] if place >= 0 else item)[:EXCERPT_CHARS]
            for item, place in zip(items, places, strict=True)
        ]
        return [clean[index] for index in texts.indices.to_pylist()]

    def clean(self, text: str) -> str:
        """Redact one text, with names of persons where that is on."""
        return self._mask_names(redact(text)) if self._mask_names else redact(text)

    def _read(
        self, batch: pa.Table, read: pa.Table, *, is_strict: bool = False
    ) -> tuple[pa.Table, "list[_Line]"]:
        """Return the events of a batch, redacted, and its suspect lines; with `is_strict`, size is fine."""
        events = read.append_column("row_no", pa.array(np.arange(len(batch))))
        events = events.append_column("is_strict", pa.array(np.full(len(batch), is_strict)))
        for name in ("file_no", "line_no"):
            events = events.append_column(name, batch[name])
        for name in ("path", "node"):
            events = events.append_column(name, self._of_source(name, batch["file_no"]))
        events = events.append_column("received", self._sources["received"].take(batch["file_no"]))
        known = self._run("fl_read_events", events, lambda given: events_sql(given, self._start))
        if not np.array_equal(known["row_no"].to_numpy(), events["row_no"].to_numpy()):
            message = f"{len(batch)} lines became {len(known)} events, or in another order: some were lost"
            raise RuntimeError(message)
        events = events.rename_columns({"has_trace": "is_trace"}).drop_columns(
            ["event_type", "has_turn", "payload_time", "has_control", "node", "received", "is_strict"]
        )
        for name in known.column_names:
            events = events.drop_columns([name]) if name in events.column_names else events
            events = events.append_column(name, known[name])
        events = self._redact(events)
        found = events["row_no"].filter(events["is_suspect"])
        if not len(found):
            return events, []
        lines = batch.select(["file_no", "line_no", "line"]).take(found)
        columns = (column.to_pylist() for column in lines.columns)
        return events, [
            _Line(file_no, number, line.encode()) for file_no, number, line in zip(*columns, strict=True)
        ]

    def _of_source(self, name: str, file_nos: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column of the sources for each row; a join might change the order of rows."""
        column = self._sources[name].combine_chunks()
        return pa.chunked_array(
            [pa.DictionaryArray.from_arrays(chunk, column) for chunk in file_nos.chunks],
            pa.dictionary(pa.int32(), pa.string()),
        )

    def _store(self, events: pa.Table) -> None:
        """Add events that are not suspect to the lake, a file per day and table, and to STAGE."""
        is_trace, is_suspect = (events[name].to_numpy() for name in ("is_trace", "is_suspect"))
        staged = self._run(
            "fl_insert", events, lambda given: f"insert into fl_stage by name {staged_sql(given)}"
        )["Count"][0].as_py()
        if staged != len(events) - is_suspect.sum():
            message = f"{len(events) - is_suspect.sum()} events became {staged} staged rows: some were lost"
            raise RuntimeError(message)
        days = events["event_date"].combine_chunks()
        groups = np.where(
            is_suspect, -1, days.cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64) * 2 + is_trace
        )
        events = events.append_column("file_group", pa.array(groups))
        for group in np.unique(groups[~is_suspect]):
            (chosen,) = np.nonzero(groups == group)
            table, day = RAW_TRACES if group % 2 else CONVERSATION_LOGS, days[chosen[0]].as_py()
            rows = events if len(chosen) * _FILTERED_SHARE >= len(events) else events.take(pa.array(chosen))
            file = self.lake.add(
                table.name,
                day,
                len(chosen),
                lambda path, table=table, rows=rows, group=group: self._write(table, rows, int(group), path),
            )
            self.files[table.name, day].append(file)

    def _write(self, table: Table, rows: pa.Table, group: int, path: Path) -> None:
        """Write the events of one group as Parquet, ordered by time."""
        given = _Given()  # a stream, since Arrow would filter by copying
        given.table = rows
        self.connection.register("fl_written", given)
        found = {"source_file": "path", "source_line": "line_no"}
        columns = ", ".join(
            f"{found.get(column.name, column.name)}::{column.type} as {column.name}"
            for column in table.columns
        )
        sql = f"""copy (select {columns} from fl_written where file_group = $group {table.order_sql})
            to $path {PARQUET}"""  # noqa: S608 - our own names
        try:
            self.connection.execute(sql, {"path": os.fspath(path.resolve()), "group": group})
        finally:
            self.connection.unregister("fl_written")

    def _run(self, name: str, table: pa.Table, statement: Callable[[str], str]) -> pa.Table:
        """Run a statement over a table; it is prepared once, for tables with the same columns."""
        given = self._given.get(name)
        if given is None:
            given = self._given[name] = _Given()
            given.table = table
            self.connection.register(f"{name}_given", given)
            self.connection.execute(f"prepare {name} as {statement(f'{name}_given')}")
        given.table = table
        try:
            return self.connection.sql(f"execute {name}").to_arrow_table(_CHUNK_ROWS)
        finally:
            given.table = table.slice(0, 0)

    def _redact(self, events: pa.Table) -> pa.Table:
        """Redact what `events_sql` selects, each distinct text once; rows where that fails become suspect."""
        keys, values = (events[name].combine_chunks() for name in ("keys", "items"))
        entries = pc.binary_join_element_wise(
            keys.flatten(), pc.fill_null(values.flatten(), ""), KEY_SEPARATOR
        )
        texts = [events[name].combine_chunks() for name in (*TEXTS, "names")]
        encoded = pa.concat_arrays([*texts, entries]).dictionary_encode()
        items = encoded.dictionary
        places, redacted, masked = self._redacted_items(items)
        # Of each text, the place of its redacted form, or -1
        all_at = np.append(places, -1)[pc.fill_null(encoded.indices, len(items)).to_numpy()]
        *texts_at, entries_at = np.split(all_at, np.cumsum([len(text) for text in texts]))
        counts = []
        for name, text, at in zip(TEXTS, texts, texts_at, strict=False):
            if (at >= 0).any():
                events = _with_column(events, name, _replaced(text, at, redacted))
                counts.append(_named(masked, at))
        suspect = texts_at[-1] >= 0
        if (entries_at >= 0).any():
            offsets = keys.offsets.to_numpy() - keys.offsets[0].as_py()
            counts.append(
                pc.binary_join(
                    pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _named(masked, entries_at)), ""
                )
            )
            metadata, repeats = _redacted_metadata(
                events["metadata"].combine_chunks(),
                np.diff(offsets),
                entries,
                values.flatten().is_null(),
                entries_at,
                redacted,
            )
            events = _with_column(events, "metadata", metadata)
            suspect |= repeats
        total = pc.binary_join_element_wise(*counts, "") if counts else pa.nulls(len(events), pa.string())
        suspect = pc.or_(events["is_suspect"], pa.array(suspect))
        return (
            events.drop_columns(["names", "keys", "items", "is_suspect"])
            .append_column("is_suspect", suspect)
            .append_column("masked", pc.if_else(pc.equal(total, ""), None, total))
        )

    def _redacted_items(self, items: pa.StringArray) -> tuple[np.ndarray, pa.Array, pa.Array]:
        """Return each distinct text's place among the redacted ones (or -1), these, and what was masked."""
        is_safe = pc.match_substring_regex(items, f"^(?:{SAFE_ITEM})$").to_numpy(zero_copy_only=False)
        places, redacted, masked = redact_many(items, ~is_safe)
        if self._mask_names:
            return self._nameless(items, places, redacted, masked)
        return places, redacted, masked

    def _nameless(
        self, items: pa.StringArray, places: np.ndarray, redacted: pa.Array, masked: pa.Array
    ) -> tuple[np.ndarray, pa.Array, pa.Array]:
        """Mask names of persons in all texts but ids and keys, one by one, as a model reads them."""
        texts, counts = redacted.to_pylist(), masked.to_pylist()
        for number, item in enumerate(items.to_pylist()):
            if ITEM_SEPARATOR in item or not self._mask_names:
                continue
            at = places[number]
            before = texts[at] if at >= 0 else item
            key, separator, value = before.rpartition(KEY_SEPARATOR)
            after = key + separator + self._mask_names(value)
            if after != before:
                if at < 0:
                    at = places[number] = len(texts)
                    texts.append(after)
                    counts.append("")
                texts[at] = after
                counts[at] += "".join(
                    f"{entity} " * (after.count(mark) - before.count(mark))
                    for entity, mark in PLACEHOLDERS.items()
                )
        return places, pa.array(texts, pa.string()), pa.array(counts, pa.string())


def lines_of(file_no: int, rows: list[tuple[int, bytes]]) -> pa.RecordBatch:
    """Return numbered lines of a file as a batch."""
    return batch_of(
        file_no,
        np.array([line for line, _ in rows], dtype=np.int64),
        pa.array([data for _, data in rows], type=pa.binary()).cast(pa.string()),
    )


def _named(masked: pa.Array, places: np.ndarray) -> pa.Array:
    """Return the counts at each place, '' for -1."""
    return pc.fill_null(masked.take(pa.array(places, mask=places < 0)), "")


def _with_column(events: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return events.set_column(events.column_names.index(name), name, column)


def _replaced(texts: pa.Array, places: np.ndarray, redacted: pa.Array) -> pa.Array:
    """Return texts with the redacted one at each place that is not -1."""
    is_changed = places >= 0
    return pc.replace_with_mask(texts, pa.array(is_changed), redacted.take(pa.array(places[is_changed])))


def _redacted_metadata(
    metadata: pa.Array,
    sizes: np.ndarray,
    entries: pa.Array,
    is_null: pa.Array,
    places: np.ndarray,
    redacted: pa.Array,
) -> tuple[pa.Array, np.ndarray]:
    """Write the metadata of rows with a masked entry anew.

    Args:
        metadata: (rows,) JSON objects.
        sizes: (rows,) entries of each row.
        entries: (entries,) key, KEY_SEPARATOR and value, row by row.
        is_null: (entries,) whether the value is null.
        places: (entries,) of the redacted form among `redacted`, or -1.
        redacted: what entries became.

    Returns:
        The metadata, and of which rows a key was masked, (rows,) bool: it might repeat another, so such a row
        is redacted value by value.
    """
    rows = np.repeat(np.arange(len(sizes)), sizes)  # of each entry
    changed, repeats = np.zeros(len(sizes), dtype=bool), np.zeros(len(sizes), dtype=bool)
    changed[rows[places >= 0]] = True
    among = changed[rows]  # entries of changed rows
    at = places[among]
    before = entries.filter(pa.array(among))
    after = _replaced(before, at, redacted)
    keys_before, keys_after = (
        pc.replace_substring_regex(one.filter(pa.array(at >= 0)), f"(?s){KEY_SEPARATOR}.*", "")
        for one in (before, after)
    )
    has_key_masked = pc.not_equal(keys_before, keys_after).to_numpy(zero_copy_only=False)
    repeats[rows[among][at >= 0][has_key_masked]] = True
    written = _json_entries(after, is_null.filter(pa.array(among)))
    ends = pa.array(np.append(0, np.cumsum(sizes[changed])), pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(ends, written), ",")
    objects = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.replace_with_mask(metadata, pa.array(changed), objects), repeats


def _json_entries(entries: pa.Array, is_null: pa.Array) -> pa.Array:
    """Return entries of metadata (key, KEY_SEPARATOR, value) as members of a JSON object (RFC 8259, 7)."""
    for raw, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        entries = pc.replace_substring(entries, raw, escaped)
    entries = pc.replace_substring(entries, KEY_SEPARATOR, '":"', max_replacements=1)
    if pc.any(pc.match_substring_regex(entries, "[\x00-\x1f]")).as_py():
        for code in range(0x20):
            entries = pc.replace_substring(entries, chr(code), f"\\u{code:04x}")
    members = pc.binary_join_element_wise('"', entries, '"', "")
    return (
        pc.if_else(is_null, pc.replace_substring_regex(members, '":""$', '":null'), members)
        if pc.any(is_null).as_py()
        else members
    )
