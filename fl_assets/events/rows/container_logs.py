"""Container logs: the lines that a program printed, unwrapped from Docker's and Kubernetes' log formats.

These are Docker's `json-file` (`{"log": "…", "stream": "stdout", …}`) and the CRI's text (`TIME stdout F …`),
in both of which a long line comes in parts.

Source: Docker, "JSON File logging driver"; Kubernetes, `pkg/kubelet/kuberuntime/logs/logs.go`.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError

_DOCKER = re.compile(
    rb'\s*\{(?:(?=[^\n]*"stream"\s*:\s*"std(?:out|err)")[^\n]*?"log"\s*:\s*"|"log"\s*:\s*"[^\n]+\Z)'
)
"""The stream stands behind what was printed, which may be longer than what is looked at."""
_CRI = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) (?P<part>[FP]) ?")


def matches(start: bytes) -> bool:
    """Whether a file's first line is that of a container log."""
    return _CRI.match(start) is not None or _DOCKER.match(start) is not None


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the printed lines; a line that is not wrapped stays as it is.

    Raises:
        BadRowsError: a line, all parts together, is too large.
    """
    held: list[bytes] = []
    size = 0
    while line := file.readline(MAX_RECORD_BYTES + 1):
        printed, is_whole = _printed(line)
        held.append(printed)
        size += len(line)
        if size > MAX_RECORD_BYTES:
            raise BadRowsError(
                f"a line of a container's log has more than the {MAX_RECORD_BYTES} bytes that are read",
                "over_limit",
            )
        if is_whole:
            yield b"".join(held) + b"\n"
            held, size = [], 0
    if held:
        yield b"".join(held) + b"\n"


def _printed(line: bytes) -> tuple[bytes, bool]:
    """Return the printed part of a line, and whether that ends the printed line."""
    if match := _CRI.match(line):
        return line[match.end() :].rstrip(b"\r\n"), match["part"] == b"F"
    try:
        text = orjson.loads(line).get("log")
    except (orjson.JSONDecodeError, AttributeError):
        text = None
    if not isinstance(text, str):
        return line.rstrip(b"\r\n"), True
    return text.rstrip("\r\n").encode(), text.endswith("\n")
