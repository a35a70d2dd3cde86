"""Container logs: the lines that a program printed, unwrapped from what keeps them.

These are Docker's `json-file` (`{"log": "…", "stream": "stdout", …}`), the CRI's text (`TIME stdout F …`) and
the journal's JSON (`{"MESSAGE": "…", …}`), in which a long line comes in parts, Loki's (`{"labels": …,
"line": "…"}`), and what Fluent Bit, FireLens, Vector, Filebeat and Cloud Logging write (`{"log": "…", …}`,
`{"message": "…", …}`, `{"textPayload": "…", …}`).

Source: Docker, "JSON File logging driver"; Kubernetes, `pkg/kubelet/kuberuntime/logs/logs.go`; systemd,
"Journal JSON Format" and `_LINE_BREAK`; Loki, `logcli query --output=jsonl`; Docker, "Fluentd logging driver"
(`partial_message`); Vector, sources `docker_logs` and `file`.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError

_DOCKER = re.compile(
    rb'\s*\{(?:(?=[^\n]*"(?:stream|source)"\s*:\s*"std(?:out|err)"|[^\n]*"source_type"\s*:)'
    rb'[^\n]*?"(?:log|message)"\s*:\s*"|"log"\s*:\s*"[^\n]+\Z)'
)
"""The stream stands behind what was printed, which may be longer than what is looked at."""
_JSON_IN_TEXT = re.compile(
    rb"\s*\{(?:[^{}\[\]\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\}|\[[^\[\]\n]*\])*?"
    rb'"(?:log|message|textPayload)"\s*:\s*"\{\\"'
)
"""An object of whose own texts one is an object."""
_JOURNAL = re.compile(rb'\s*\{(?=[^\n]*"__(?:CURSOR|REALTIME_TIMESTAMP)"\s*:)[^\n]*?"MESSAGE"\s*:\s*"')
_LOKI = re.compile(rb'\s*\{"labels"\s*:\s*\{[^{}\n]*\}\s*,\s*"line"\s*:\s*"')
_CRI = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) (?P<part>[FP]) ?")

_KEYS = ("log", "MESSAGE", "line", "message", "textPayload")


def matches(start: bytes) -> bool:
    """Whether a file's first line is that of a container log."""
    return any(wrapped.match(start) for wrapped in (_CRI, _DOCKER, _JOURNAL, _LOKI, _JSON_IN_TEXT))


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
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        entry = None
    given = entry if isinstance(entry, dict) else {}
    key = next((key for key in _KEYS if isinstance(given.get(key), str)), None)
    if key is None:
        return line.rstrip(b"\r\n"), True
    return given[key].rstrip("\r\n").encode(), _is_last_part(given, key)


def _is_last_part(given: dict[str, Any], key: str) -> bool:
    """Whether nothing more of a printed line follows: Docker's own files say so by its line end."""
    if key == "log" and "stream" in given and "time" in given:
        return given[key].endswith("\n")
    is_part = given.get("_LINE_BREAK") == "line-max" or str(given.get("partial_message")).lower() == "true"
    return not is_part or str(given.get("partial_last")).lower() == "true"
