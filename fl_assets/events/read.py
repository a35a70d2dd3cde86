"""Reading telemetry files: bytes, decompressed, cut into lines.

What goes here: decompression, the first bytes, lines and batches of them. What does not: what a line means (`event.py`, `formats/`), which files there
are (`find.py`), and which of them were read (`index.py`).
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from fl_assets.events.bulk import places_of
from fl_assets.events.event import Reason
from fl_assets.events.find import Source
from fl_assets.events.formats import HEAD_BYTES, MAX_DOCUMENT_BYTES

BLOCK_BYTES = 4 * 1024 * 1024
SETTLED = timedelta(days=1)
"""A last line without a line end is taken as it is once its file has not changed for so long."""
_FEED_BYTES = {"gzip": 256 * 1024, "zstd": 2048}
"""A zstd block of 4 bytes may stand for 128 KiB, so it is fed in small bites."""


@dataclass(slots=True)
class Reading:
    """What became of one source while it was read; complete once its lines are exhausted."""

    source: Source
    format: str = "telemetrist"
    end_offset: int = 0
    end_lines: int = 0
    problems: list[tuple[int, Reason, str, bytes, int]] = field(default_factory=list)
    """(line, reason, detail, start of the line, its bytes) of what never became a line of a batch."""

    def bad(self, line: int, reason: Reason, detail: str, start: bytes = b"", size: int = 0) -> None:
        """Note something that is not a line."""
        self.problems.append((line, reason, detail, start[:4096], size or len(start)))


class DamagedFileError(ValueError):
    """Compressed data ends too early or is not what it claims to be."""


def blocks(file: BinaryIO, compression: str | None) -> Iterator[bytes]:
    """Give a file's bytes, decompressed, in blocks of bounded size; what is good before the damage comes first.

    Raises:
        DamagedFileError: the compressed data is cut or corrupt, from the block after the last good one on.
    """
    if compression is None:
        while block := file.read(BLOCK_BYTES):
            yield block
        return
    yield from _joined(_decompressed(file, compression))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held, size = [], 0
    error: DamagedFileError | None = None
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
    except DamagedFileError as caught:
        error = caught
    if held:
        yield b"".join(held)
    if error:
        raise error


def _decompressed(file: BinaryIO, compression: str) -> Iterator[bytes]:
    def begin() -> Any:  # the two have no type in common, and differ in what `decompress` takes
        return (
            zlib.decompressobj(wbits=31)
            if compression == "gzip"
            else zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
        )

    frame, begun, read = begin(), False, 0
    while data := file.read(_FEED_BYTES[compression]):
        read += len(data)
        while data:
            if not begun and not data.strip(b"\0"):
                break  # padding between or after members
            try:
                piece = (
                    frame.decompress(data, BLOCK_BYTES) if compression == "gzip" else frame.decompress(data)
                )
            except (zlib.error, zstandard.ZstdError) as error:
                message = (
                    f"{compression} data damaged within the {len(data)} bytes before byte {read}: {error}"
                )
                raise DamagedFileError(message) from error
            begun = True
            if piece:
                yield piece
            if frame.eof:
                data, frame, begun = frame.unused_data, begin(), False
            else:
                data = frame.unconsumed_tail if compression == "gzip" else b""
    if begun:
        message = f"{compression} data ends after {read} bytes, within a {'member' if compression == 'gzip' else 'frame'}"
        raise DamagedFileError(message)


def read_head(source: Source) -> bytes:
    """Return the first bytes of a file, decompressed, for format detection; what there is of a damaged one."""
    head = b""
    try:
        with (source.root / source.path).open("rb") as file:
            for block in blocks(file, source.compression):
                head += block
                if len(head) >= HEAD_BYTES:
                    break
    except (DamagedFileError, OSError):
        pass
    return head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")


def numbered_lines(reading: Reading, now: datetime) -> Iterator[tuple[int, bytes]]:
    """Give all lines of a file with their numbers, from 1, for a format that is not the telemetrist's; damage ends them and is noted.

    Lines longer than `MAX_DOCUMENT_BYTES` are skipped while streaming, and noted. A last line without a line end that may still be written is left for next time.
    """
    source = reading.source
    held: list[bytes] = []  # of a line whose end has not been seen; of one that is too long, its start
    size = number = 0
    reading.end_offset = source.size
    try:
        with (source.root / source.path).open("rb") as file:
            for block in (
                blocks(file, source.compression) if source.compression else _up_to(file, source.size)
            ):
                *pieces, rest = block.split(b"\n")
                for piece in pieces:
                    number += 1
                    if size + len(piece) > MAX_DOCUMENT_BYTES:
                        reading.bad(
                            number,
                            "line_too_long",
                            f"{size + len(piece)} bytes, {MAX_DOCUMENT_BYTES} at the most",
                            b"".join(held),
                            size + len(piece),
                        )
                    else:
                        yield number, b"".join((*held, piece))
                    held, size = [], 0
                size += len(rest)
                held = [*held, rest] if size <= MAX_DOCUMENT_BYTES else [b"".join(held)[:4096]]
    except DamagedFileError as error:
        reading.bad(0, "damaged_file", str(error))
    last = b"".join(held)
    if size > MAX_DOCUMENT_BYTES:
        reading.bad(
            number + 1, "line_too_long", f"{size} bytes, {MAX_DOCUMENT_BYTES} at the most", last, size
        )
    elif last.strip() and not (
        source.compression
        or now - source.received > SETTLED
        or last.strip() in {b"}", b"]"}
        or _is_object(last)
    ):
        reading.end_offset -= size
    elif last:
        yield number + 1, last
    reading.end_lines = number


def line_batches(
    reading: Reading, file_no: int, *, max_line_bytes: int, now: datetime
) -> Iterator[pa.RecordBatch]:
    """Give the new complete lines of a telemetrist file as batches of (file_no, line_no, line), without copying them.

    Lines longer than `max_line_bytes` are skipped while streaming; they and lines that are not UTF-8 are noted in `reading`. A last line without a line end is
    left for next time, unless it is a whole JSON object, or nothing was added to the file for a day.
    """
    source = reading.source
    number = source.lines
    rest = b""  # of a line whose end has not been seen
    skipped, skipped_start = 0, b""  # of a line that is too long already
    consumed = source.offset
    try:
        with (source.root / source.path).open("rb") as file:
            file.seek(source.offset)
            limited = (
                blocks(file, source.compression)
                if source.compression
                else _up_to(file, source.size - source.offset)
            )
            for block in limited:
                first = consumed == 0 and not rest and not skipped
                if first and block.startswith(b"\xef\xbb\xbf"):
                    block, consumed = block[3:], 3
                end = block.find(b"\n") if rest or skipped else -1
                if skipped:
                    if end < 0:
                        skipped += len(block)
                        continue
                    skipped += end
                    number += 1
                    reading.bad(
                        number,
                        "line_too_long",
                        f"{skipped} bytes, {max_line_bytes} at the most",
                        skipped_start,
                        skipped,
                    )
                    consumed += skipped + 1
                    block, skipped, end = block[end + 1 :], 0, -1
                data = rest + block if rest else block
                last = data.rfind(b"\n")
                if last < 0:
                    rest = data
                else:
                    rest = data[last + 1 :]
                    yield from _batch(reading, file_no, number, data, last + 1, max_line_bytes)
                    number += reading.end_lines
                    consumed += last + 1
                if len(rest) > max_line_bytes:
                    skipped, skipped_start, rest = len(rest), rest[:4096], b""
    except DamagedFileError as error:
        reading.bad(0, "damaged_file", str(error))
    settled = source.compression is not None or now - source.received > SETTLED
    if skipped and settled:
        reading.bad(
            number + 1,
            "line_too_long",
            f"{skipped} bytes, {max_line_bytes} at the most",
            skipped_start,
            skipped,
        )
        consumed += skipped
    elif rest.strip() and (settled or _is_object(rest)):
        data = rest + b"\n"
        yield from _batch(reading, file_no, number, data, len(data), max_line_bytes)
        consumed += len(rest)  # the number stays: the line end, when it comes, ends this very line
    reading.end_lines = number
    reading.end_offset = source.size if source.compression else consumed


def _up_to(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Give the blocks of a plain file, but no byte that came after it was listed."""
    while size > 0 and (block := file.read(min(BLOCK_BYTES, size))):
        size -= len(block)
        yield block


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict | list)
    except orjson.JSONDecodeError:
        return False


BATCH_SCHEMA = pa.schema([("file_no", pa.int32()), ("line_no", pa.int64()), ("line", pa.string())])


def batch_of(file_no: int, numbers: np.ndarray, lines: pa.Array) -> pa.RecordBatch:
    """Return one batch in the schema that the engine reads."""
    return pa.RecordBatch.from_arrays(
        [pa.array(np.full(len(numbers), file_no, dtype=np.int32)), pa.array(numbers), lines],
        schema=BATCH_SCHEMA,
    )


def _batch(
    reading: Reading, file_no: int, before: int, data: bytes, end: int, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Split `data[:end]`, which ends with a line end; sets `reading.end_lines` to the number of lines in it."""
    ends = places_of(ord("\n"), np.frombuffer(data, dtype=np.uint8, count=end))
    offsets = np.empty(len(ends) + 1, dtype=np.int32)
    offsets[0] = 0
    offsets[1:] = ends + 1
    reading.end_lines = len(ends)
    numbers = np.arange(before + 1, before + len(ends) + 1, dtype=np.int64)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    keep = np.diff(offsets) <= max_line_bytes + 1
    for index in np.flatnonzero(~keep):
        line = data[offsets[index] : ends[index]]
        reading.bad(
            int(numbers[index]), "line_too_long", f"{len(line)} bytes, {max_line_bytes} at the most", line
        )
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        for index in np.flatnonzero(keep):
            line = data[offsets[index] : ends[index]]
            try:
                line.decode()
            except UnicodeDecodeError as error:
                keep[index] = False
                reading.bad(
                    int(numbers[index]),
                    "not_utf8",
                    f"byte {line[error.start]:#04x} at position {error.start}",
                    line,
                )
        lines = pa.array(
            [data[offsets[index] : offsets[index + 1]] for index in np.flatnonzero(keep)], type=pa.binary()
        ).cast(pa.string())
        yield batch_of(file_no, numbers[keep], lines)
        return
    if not keep.all():
        lines, numbers = lines.filter(pa.array(keep)), numbers[keep]
    yield batch_of(file_no, numbers, lines)
