"""Detecting a file's compression or encoding, and yielding its content as blocks of bounded size.

What goes here: gzip, zstd, the Collector's framed zstd, UTF-16, and the bound on what a file may unpack to.
What does not: lines (`read.py`), tables and binary records, which become lines of JSON (`rows/`).

Sources: RFC 1952 (gzip), RFC 8878 (zstd); OpenTelemetry Collector contrib, exporter/fileexporter (with
`compression: zstd` each message follows its length, four bytes, big-endian); Unicode, section 23.8 (byte
order mark).
"""

import codecs
import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Literal

import zstandard

from fl_assets.events.rows import ROW_FILES, BadRowsError, row_file_of

BLOCK_BYTES = 4 * 1024 * 1024
MAX_RATIO = 500
"""Highest compression ratio of a file; telemetry reaches some 60."""
MIN_BOUND_BYTES = 256 * 1024 * 1024
"""Bytes that any packed file may unpack to, however small it is."""
_FEED_BYTES = {"gzip": 256 * 1024, "zstd": 2048, "framed_zstd": 2048}
"""Bytes that are decompressed at a time: a zstd block of 4 bytes may yield 128 KiB."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_ZSTD = b"\x2a\x4d\x18"
_START_BYTES = 4096
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class BadPackingError(ValueError):
    """Packed data ends too early, is not what it claims to be, or unpacks to more than a file may."""

    def __init__(self, message: str, reason: Literal["damaged_file", "over_limit"] = "damaged_file") -> None:
        super().__init__(message)
        self.reason: Literal["damaged_file", "over_limit"] = reason


def coding_of(start: bytes, *, is_packed: bool = False) -> str | None:
    """Return `gzip`, `zstd`, `framed_zstd`, `utf-16` or a name of `ROW_FILES`; None for anything else.

    `start` are its first bytes, some 4 KiB; `is_packed` says that they were unpacked already.
    """
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(_ZSTD) or start[1:4] == _SKIPPABLE_ZSTD:
        return "zstd"
    if start[4:8] == _ZSTD:
        return "framed_zstd"
    if start.startswith(_UTF_16) and start[2:4] != b"\0\0":  # that would be UTF-32
        return "utf-16"
    return row_file_of(start, is_packed=is_packed)


def blocks(file: BinaryIO, coding: str | None, size: int) -> Iterator[bytes]:
    """Yield a file's content in blocks of bounded size, unpacked and as UTF-8.

    `size`, the bytes of the file, bounds what it may unpack to.

    Raises:
        BadPackingError: after the last good block.
    """
    if coding is None:
        while block := file.read(BLOCK_BYTES):
            yield block
        return
    most = max(MIN_BOUND_BYTES, MAX_RATIO * size)
    if coding in ROW_FILES:
        yield from _bounded(_joined(_lines_of(coding, file)), most)
        return
    if coding == "utf-16":
        content = _as_utf8(iter(lambda: file.read(BLOCK_BYTES), b""))
    else:
        content = _bounded(_joined(_unpacked(file, coding)), most)
    first = next(content, b"")
    whole, inner = _chain(first, content), coding_of(first[:_START_BYTES], is_packed=True)
    if inner == "utf-16":
        whole = _as_utf8(whole)
        first = next(whole, b"")
        whole, inner = _chain(first, whole), coding_of(first[:_START_BYTES], is_packed=True)
    if inner in ROW_FILES:
        yield from _bounded(_joined(_lines_of(inner, io.BufferedReader(_Blocks(whole)))), most)
    else:
        yield from whole


def _lines_of(kind: str, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from ROW_FILES[kind].lines(file)
    except BadRowsError as error:
        raise BadPackingError(str(error), error.reason) from error


class _Blocks(io.RawIOBase):
    """Blocks as a readable file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._held = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._held:
            self._held = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def _chain(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others


def _as_utf8(content: Iterable[bytes]) -> Iterator[bytes]:
    """Convert UTF-16 with a byte order mark to UTF-8; half a character becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    for block in content:
        if text := decoder.decode(block):
            yield text.encode("utf-8", "replace")
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8", "replace")


def _bounded(content: Iterator[bytes], most: int) -> Iterator[bytes]:
    total = 0
    for block in content:
        total += len(block)
        if total > most:
            raise BadPackingError(
                f"unpacks to more than {most:,} bytes, the most for its size: the rest was not read",
                "over_limit",
            )
        yield block


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Combine pieces to blocks of BLOCK_BYTES; on an error, yield what there is before raising it."""
    held = bytearray()
    error: BadPackingError | None = None
    try:
        for piece in pieces:
            held += piece
            while len(held) >= BLOCK_BYTES:
                yield bytes(held[:BLOCK_BYTES])
                del held[:BLOCK_BYTES]
    except BadPackingError as caught:
        error = caught
    if held:
        yield bytes(held)
    if error:
        raise error


def _fed(file: BinaryIO, coding: str) -> Iterator[bytes]:
    """Yield the packed bytes in small pieces, of framed files without the lengths between frames."""
    if coding != "framed_zstd":
        while data := file.read(_FEED_BYTES[coding]):
            yield data
        return
    while prefix := file.read(4):
        left = int.from_bytes(prefix, "big")
        while left > 0 and (data := file.read(min(left, _FEED_BYTES[coding]))):
            left -= len(data)
            yield data
        if left or len(prefix) < 4:
            raise BadPackingError(f"framed zstd data ends {left} bytes before its frame does")


def _unpacked(file: BinaryIO, coding: str) -> Iterator[bytes]:
    is_gzip = coding == "gzip"

    def begin() -> Any:  # the two share no type
        if is_gzip:
            return zlib.decompressobj(wbits=31)
        return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()

    frame, begun, read = begin(), False, 0
    for data in _fed(file, coding):
        read += len(data)
        while data:
            if not begun and not data.strip(b"\0"):
                break  # padding between or after members
            try:
                piece = frame.decompress(data, BLOCK_BYTES) if is_gzip else frame.decompress(data)
            except (zlib.error, zstandard.ZstdError) as error:
                raise BadPackingError(
                    f"{coding} data damaged within the {len(data)} bytes before byte {read}: {error}"
                ) from error
            begun = True
            if piece:
                yield piece
            if frame.eof:
                data, frame, begun = frame.unused_data, begin(), False
            else:
                data = frame.unconsumed_tail if is_gzip else b""
    if begun:
        raise BadPackingError(
            f"{coding} data ends after {read} bytes, within a {'member' if is_gzip else 'frame'}"
        )
