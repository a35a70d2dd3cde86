"""Reading telemetry files as lines and batches of lines, within bounds.

What does not go here: decompression (`unpack.py`), what a line means (`event.py`, `formats/`), which files
there are (`find.py`), and which of them were read (`index.py`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import BinaryIO

import numpy as np
import orjson
import pyarrow as pa

from fl_assets.events.bulk import places_of
from fl_assets.events.event import BadLine, Reason, read_line
from fl_assets.events.find import Source
from fl_assets.events.formats import HEAD_BYTES
from fl_assets.events.formats.seam import MAX_DOCUMENT_BYTES, is_balanced
from fl_assets.events.mend import mended
from fl_assets.events.unpack import BLOCK_BYTES, BadPackingError, blocks

SETTLED = timedelta(days=1)
"""A last line without a line end is read once its file has not changed for this long."""
MAX_EXAMPLES = 1000
"""Refused lines that are kept for each file and reason; the others are counted."""
SHORTEST_EVENT = 60
"""Bytes of the shortest native event; shorter lines are refused without the bulk reader."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refused part of a file."""

    line: int
    """From 1; 0 for the file as a whole."""
    reason: Reason
    detail: str
    start: bytes
    """Its first bytes, raw."""
    size: int
    """Bytes of the line."""
    events: int
    """Events that were lost with it, as far as known."""
    lines: int = 1


@dataclass(slots=True)
class Reading:
    """Result of reading one source; complete once its lines are exhausted."""

    source: Source
    format: str = "telemetrist"
    """Name of its format; `unknown` for a file that no format knows."""
    end_offset: int = 0
    end_lines: int = 0
    mended: int = 0
    """Values in which a character that JSON does not allow was replaced."""
    problems: list[Problem] = field(default_factory=list)
    """At most MAX_EXAMPLES for each reason, and one that counts the others."""
    _kept: Counter[str] = field(default_factory=Counter)
    _further: dict[str, Problem] = field(default_factory=dict)

    def bad(
        self, line: int, reason: Reason, detail: str, start: bytes = b"", size: int = 0, events: int = 1
    ) -> None:
        """Add a problem."""
        self._kept[reason] += 1
        if self._kept[reason] > MAX_EXAMPLES:
            self.bad_too(line, reason, 1, size or len(start), events)
        else:
            self.problems.append(Problem(line, reason, detail, start[:4096], size or len(start), events))

    def bad_too(self, line: int, reason: Reason, lines: int, size: int, events: int) -> None:
        """Count lines beyond MAX_EXAMPLES."""
        old = self._further.get(reason, Problem(line, reason, "", b"", 0, 0, 0))
        total = old.lines + lines
        detail = f"{total:,} more lines like those"
        self._further[reason] = Problem(
            old.line, reason, detail, b"", old.size + size, old.events + events, total
        )

    def has_room(self, reason: Reason) -> bool:
        """Whether one more problem with this reason is kept as an example."""
        return self._kept[reason] < MAX_EXAMPLES

    def close(self) -> None:
        """Add the counts to the problems."""
        self.problems += self._further.values()
        self._further = {}


def read_head(source: Source) -> bytes:
    """Return the first bytes of a file, unpacked, for format detection; fewer of a damaged one."""
    if source.content is not None and source.coding is None:
        return source.content.removeprefix(_BOM).lstrip(b"\0")
    head = b""
    try:
        with source.open() as file:
            for block in blocks(file, source.coding, source.size):
                head = (head + block).lstrip(b"\0")  # of a hole, where a file was truncated under its writer
                if len(head) >= HEAD_BYTES:
                    break
    except (BadPackingError, OSError):
        pass
    return head[:HEAD_BYTES].removeprefix(_BOM)


def damage_of(source: Source) -> BadPackingError | None:
    """Return why a packed file cannot be unpacked; None where it is merely empty."""
    try:
        with source.open() as file:
            next(blocks(file, source.coding, source.size), None)
    except BadPackingError as error:
        return error
    return None


def _content(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """Yield a file's blocks from its offset on; a plain file only up to its size when listed."""
    if source.coding:
        yield from blocks(file, source.coding, source.size)
        return
    file.seek(source.offset)
    left = source.size - source.offset
    while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
        left -= len(block)
        yield block


def _too_long(reading: Reading, number: int, size: int, most: int, start: bytes) -> None:
    reading.bad(number, "line_too_long", f"{size} bytes, at most {most} are read", start, size)


# Lines for formats ------------------------------------------------------------------------------------------


def numbered_lines(reading: Reading, now: datetime) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, from 1, repaired, for a format that is not native.

    Damage ends them, with the line that it cuts, and lines longer than `MAX_DOCUMENT_BYTES` are skipped; both
    are noted in `reading`. A last line without a line end is left for next time if it may still grow.
    """
    source = reading.source
    is_damaged = False
    held: list[bytes] = []  # of a line whose end has not been seen; of one that is too long, its start
    size = number = 0
    reading.end_offset = source.size
    try:
        with source.open() as file:
            for block in _content(file, source):
                *pieces, rest = block.split(b"\n")
                for piece in pieces:
                    number += 1
                    if size + len(piece) > MAX_DOCUMENT_BYTES:
                        _too_long(reading, number, size + len(piece), MAX_DOCUMENT_BYTES, b"".join(held))
                    else:
                        yield number, _mended(reading, b"".join((*held, piece)) if held else piece)
                    held, size = [], 0
                size += len(rest)
                held = [*held, rest] if size <= MAX_DOCUMENT_BYTES else [b"".join(held)[:4096]]
    except BadPackingError as error:
        reading.bad(0, error.reason, str(error))
        is_damaged = True
    last = b"".join(held)
    if size > MAX_DOCUMENT_BYTES:
        _too_long(reading, number + 1, size, MAX_DOCUMENT_BYTES, last)
    elif last.strip() and may_grow(source, last, now) and last.strip(b"}] \t\r"):
        reading.end_offset -= size
    elif last and (not is_damaged or _is_whole(last)):
        yield number + 1, _mended(reading, last)
    reading.end_lines = number


_CONTROLS = bytes({*range(0x20)} - {*b"\t\n\r"})
_ODD_ESCAPE = re.compile(rb'\\(?:[^"\\/bfnrtu]|u[dD])')


def _mended(reading: Reading, line: bytes) -> bytes:
    """Return a line, repaired if it is no valid JSON; cheap for most lines."""
    is_odd = (
        (not line.isascii() and not _is_utf8(line))
        or b"NaN" in line
        or b"Infinity" in line
        or (b"\\" in line and _ODD_ESCAPE.search(line) is not None)
        or len(line.translate(None, _CONTROLS)) != len(line)
    )
    if not is_odd or _is_value(line):
        return line
    fixed, values = mended(line)
    reading.mended += values
    return fixed


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_value(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_whole(line: bytes) -> bool:
    """Whether a line is an object or a list up to its last bracket, even if broken within."""
    try:
        return isinstance(orjson.loads(line), dict | list)
    except orjson.JSONDecodeError:
        return line.rstrip()[-1:] in {b"}", b"]"} and is_balanced(line)


def may_grow(source: Source, rest: bytes, now: datetime) -> bool:
    """Whether a last line without a line end may still be written to."""
    return not (source.coding or now - source.last_written > SETTLED or _is_whole(rest))


# Lines of the telemetrist -----------------------------------------------------------------------------------


def line_batches(
    reading: Reading, file_no: int, *, max_line_bytes: int, now: datetime
) -> Iterator[pa.RecordBatch]:
    """Yield the new lines of a native file as batches of (file_no, line_no, line), without copying.

    Lines longer than `max_line_bytes`, or too short for an event, are left out and noted in `reading`. A last
    line without a line end is left for next time if it may still grow; a line cut by damage is lost with it.
    """
    source = reading.source
    number = source.lines
    is_damaged = False
    rest = b""  # of a line whose end has not been seen
    skipped, skipped_start = 0, b""  # of a line that is too long already
    consumed = source.offset
    try:
        with source.open() as file:
            for block in _content(file, source):
                if consumed == 0 and not rest and not skipped and block.startswith(_BOM):
                    block, consumed = block[3:], 3
                if skipped:
                    end = block.find(b"\n")
                    if end < 0:
                        skipped += len(block)
                        continue
                    skipped += end
                    number += 1
                    _too_long(reading, number, skipped, max_line_bytes, skipped_start)
                    consumed += skipped + 1
                    block, skipped = block[end + 1 :], 0
                data = rest + block if rest else block
                last = data.rfind(b"\n")
                if last < 0:
                    rest = data
                else:
                    rest = data[last + 1 :]
                    yield from _batch(
                        reading, file_no, number, data[: last + 1] if rest else data, max_line_bytes
                    )
                    number += reading.end_lines
                    consumed += last + 1
                if len(rest) > max_line_bytes:
                    skipped, skipped_start, rest = len(rest), rest[:4096], b""
    except BadPackingError as error:
        reading.bad(0, error.reason, str(error))
        is_damaged = True
    if skipped and (source.coding or now - source.last_written > SETTLED):
        _too_long(reading, number + 1, skipped, max_line_bytes, skipped_start)
        consumed += skipped
    elif rest.strip() and not may_grow(source, rest, now) and (not is_damaged or _is_whole(rest)):
        yield from _batch(reading, file_no, number, rest + b"\n", max_line_bytes)
        consumed += len(rest)  # not counted: a line end that is added later ends this line
    reading.end_lines = number
    reading.end_offset = source.size if source.coding else consumed


BATCH_SCHEMA = pa.schema([("file_no", pa.int32()), ("line_no", pa.int64()), ("line", pa.string())])


def batch_of(file_no: int, numbers: np.ndarray, lines: pa.Array) -> pa.RecordBatch:
    """Return a batch in BATCH_SCHEMA."""
    return pa.RecordBatch.from_arrays(
        [pa.array(np.full(len(numbers), file_no, dtype=np.int32)), pa.array(numbers), lines],
        schema=BATCH_SCHEMA,
    )


def _batch(
    reading: Reading, file_no: int, before: int, data: bytes, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Yield the lines of `data`, which ends with a line end; set `reading.end_lines` to their number."""
    offsets, lines = split(data)
    if not _is_valid(lines):
        replaced = data.decode("utf-8", "replace").encode()
        reading.mended += replaced.count("\ufffd".encode()) - data.count("\ufffd".encode())
        data = replaced
        offsets, lines = split(data)
    reading.end_lines = len(lines)
    numbers = np.arange(before + 1, before + len(lines) + 1, dtype=np.int64)
    lengths = np.diff(offsets) - 1
    keep = (lengths <= max_line_bytes) & (lengths >= SHORTEST_EVENT)
    if not keep.all():
        for index in np.flatnonzero(lengths > max_line_bytes):
            line = data[offsets[index] : offsets[index + 1] - 1]
            _too_long(reading, int(numbers[index]), len(line), max_line_bytes, line)
        if (lengths < SHORTEST_EVENT).any():
            _refuse_short(reading, data, offsets, numbers)
        lines, numbers = lines.filter(pa.array(keep)), numbers[keep]
    if len(numbers):
        yield batch_of(file_no, numbers, lines)


def split(data: bytes) -> tuple[np.ndarray, pa.StringArray]:
    """Return where each line of `data`, which ends with a line end, begins, and the lines, without a copy."""
    ends = places_of(ord("\n"), np.frombuffer(data, dtype=np.uint8))
    offsets = np.empty(len(ends) + 1, dtype=np.int32)
    offsets[0] = 0
    offsets[1:] = ends + 1
    return offsets, pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))


def _is_valid(lines: pa.StringArray) -> bool:
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_short(reading: Reading, data: bytes, offsets: np.ndarray, numbers: np.ndarray) -> None:
    """Refuse lines that are too short for an event, except blank ones; only count most of them."""
    is_filled = np.add.reduceat(np.frombuffer(data, dtype=np.uint8) > ord(" "), offsets[:-1]) > 0
    (short,) = np.nonzero((np.diff(offsets) - 1 < SHORTEST_EVENT) & is_filled)
    for place, index in enumerate(short):
        if not reading.has_room("invalid_json"):
            left = short[place:]
            size = int((np.diff(offsets)[left] - 1).sum())
            reading.bad_too(int(numbers[left[0]]), "invalid_json", len(left), size, len(left))
            return
        line = data[offsets[index] : offsets[index + 1] - 1]
        found = read_line(line)
        if isinstance(found, BadLine):
            reading.bad(int(numbers[index]), found.reason, found.detail, line)
