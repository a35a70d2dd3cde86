"""How tests of formats read a file: as the engine does, and as what a person would count by hand."""

import io
from pathlib import Path
from typing import NamedTuple

import orjson

from fl_assets.events.formats import HEAD_BYTES, detect
from fl_assets.events.formats.seam import EventLine, ReadOptions, RefusedLine
from fl_assets.events.unpack import blocks, coding_of


def unpacked(path: Path) -> bytes:
    """Return a file's content as lines, whatever packs it."""
    content = path.read_bytes()
    return b"".join(blocks(io.BytesIO(content), coding_of(content[:4096]), len(content)))


def rows(
    name: str, content: bytes, options: ReadOptions | None = None
) -> tuple[str, list[dict], list[RefusedLine]]:
    """Read a file: the name of its format, events, and what was refused."""
    found = detect(name, content[:HEAD_BYTES])
    assert found is not None
    results = list(found.read(enumerate(content.splitlines(), 1), options or ReadOptions()))
    return (
        found.name,
        [orjson.loads(entry.data) for entry in results if isinstance(entry, EventLine)],
        [entry for entry in results if isinstance(entry, RefusedLine)],
    )


class Counted(NamedTuple):
    """What is in a file, counted by hand."""

    format: str
    calls: int
    failures: dict[str, str | None]
    """By method, the error's text."""
    turns: list[tuple[str, str, str]]
    """Session, question, answer."""


def counted(name: str, content: bytes) -> Counted:
    """Count what is read of a file: calls, failures of their own, turns."""
    found, events, _ = rows(name, content)
    calls = [event["execution_trace"] for event in events if event["execution_trace"]]
    turns = [event["conversation_log"] for event in events if event["conversation_log"]]
    return Counted(
        found,
        len(calls),
        {
            call["method"]: call["error"]
            for call in calls
            if not call["success"] and "caused_by" not in call["metadata"]
        },
        [(turn["session_id"], turn["user_query"], turn["system_response"]) for turn in turns],
    )
