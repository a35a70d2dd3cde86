"""Inspect AI's `.eval` logs: a zip of JSON, read as one log per sample (see `formats/inspect_log.py`).

Source: UKGovernmentBEIS/inspect_ai, `src/inspect_ai/log/_recorders/eval.py` (`header.json`,
`_journal/start.json`, `samples/<id>_epoch_<n>.json`; deflate, in newer releases zstd).
"""

import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
import zstandard

from fl_assets.events.formats.values import as_object
from fl_assets.events.mend import mended
from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError, line_of

_NAMES = (b"_journal/", b"header.json", b"samples/", b"summaries.json", b"reductions.json")
_ZSTD = 93
_LOCAL_HEADER_BYTES = 30
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    zstandard.ZstdError,
    orjson.JSONDecodeError,
    NotImplementedError,
    OSError,
)


def matches(start: bytes) -> bool:
    """Whether a zip begins with a member of such a log."""
    return start.startswith(b"PK\x03\x04") and start[_LOCAL_HEADER_BYTES:].startswith(_NAMES)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each sample as a log of that sample alone.

    Raises:
        BadRowsError: the archive is cut or damaged, or a member is too large.
    """
    try:
        members = {member.filename: member for member in zipfile.ZipFile(file).infolist()}
        head = members.get("header.json") or members.get("_journal/start.json")
        if head is None:
            raise BadRowsError("an Inspect log (.eval) without header.json and _journal/start.json")
        about = as_object(_read(_content(file, head)))
        about = {key: about.get(key) for key in ("version", "status", "eval", "plan", "error")}
        begin = line_of(about).rstrip()[:-1]
        for name in sorted(name for name in members if name.startswith("samples/")):
            sample = _content(file, members[name]).replace(b"\n", b" ").replace(b"\r", b" ")
            yield b'%b, "samples": [%b]}\n' % (begin, sample)
    except _DAMAGED as error:
        raise BadRowsError(f"an Inspect log (.eval) that cannot be read: {str(error)[:200]}") from error


def _read(content: bytes) -> Any:
    """Read a value; Python's JSON writes NaN, which costs a value."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return orjson.loads(mended(content)[0])


def _content(file: BinaryIO, member: zipfile.ZipInfo) -> bytes:
    """Unpack a member, up to MAX_RECORD_BYTES; `zipfile` has no zstd."""
    packed = _packed(file, member)
    if member.compress_type == zipfile.ZIP_STORED:
        content = packed
    elif member.compress_type == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MAX_RECORD_BYTES + 1)
    elif member.compress_type == _ZSTD:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(packed) as stream:
            content = stream.read(MAX_RECORD_BYTES + 1)
    else:
        raise BadRowsError(
            f"an Inspect log (.eval) in compression {member.compress_type}: `inspect log convert` it"
        )
    if len(content) > MAX_RECORD_BYTES:
        raise BadRowsError(
            f"{member.filename[:100]} unpacks to more than the {MAX_RECORD_BYTES} bytes that are read",
            "over_limit",
        )
    return content


def _packed(file: BinaryIO, member: zipfile.ZipInfo) -> bytes:
    """Return a member's compressed bytes."""
    if member.compress_size > MAX_RECORD_BYTES:
        raise BadRowsError(
            f"{member.filename[:100]} has more than the {MAX_RECORD_BYTES} bytes that are read", "over_limit"
        )
    if member.header_offset < 0:
        raise zipfile.BadZipFile("a member begins before the file does")
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    skipped = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(skipped, 1)
    return file.read(member.compress_size)
