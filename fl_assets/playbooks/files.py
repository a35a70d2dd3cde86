"""Playbooks as files: JSON for programs, with the contract's fields first.

What goes here: layout, writing, and removing a day's files. What does not: the content of a playbook, pages
for people to review (`updates/proposals.py`).

Layout: `<folder>/<YYYY-MM-DD>/<improvement_id>.json` (or `.md`). The id is a hash, so no text of telemetry is
in a path.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from fl_assets.core.models import Playbook
from fl_assets.infra.disk import write_atomically

CONTRACT_FIELDS = ("improvement_id", "category", "description", "confidence", "suggested_changes",
    "evidence_count", "created_at")  # fmt: skip
_NAME = re.compile(r"[0-9a-f]{16}\.(?:json|md)")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.(?:json|md)\..*\.tmp")


def write_playbooks(folder: Path, day: date, playbooks: Sequence[Playbook]) -> list[Path]:
    """Make the day's folder hold exactly these playbooks; return their files in order.

    Files are replaced atomically, and only when their bytes differ. Files of other names are not touched.
    """
    return write_day(
        folder / day.isoformat(),
        {f"{playbook.improvement_id}.json": render(playbook) for playbook in playbooks},
    )


def render(playbook: Playbook) -> bytes:
    """Return the file's bytes, always the same for a playbook; changes are sorted by name."""
    fields: dict[str, Any] = playbook.model_dump(mode="json") | {
        "suggested_changes": dict(sorted(playbook.suggested_changes.items()))
    }
    advice = fields.pop("advice")
    ours = {name: value for name, value in fields.items() if name not in CONTRACT_FIELDS} | advice
    return orjson.dumps(
        {name: fields[name] for name in CONTRACT_FIELDS} | ours,
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def write_day(target: Path, wanted: Mapping[str, bytes]) -> list[Path]:
    """Make a folder hold exactly these files of ours; files of other names are not touched."""
    strange = [name for name in wanted if _NAME.fullmatch(name) is None]
    if strange:
        raise ValueError(
            f"improvement_id {strange[0].rpartition('.')[0]!r} must be 16 hex digits, since it names a file"
        )
    if wanted:
        target.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(wanted.items()):
        path = target / name
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content, mode=0o644)
    if target.is_dir():
        for path in sorted(target.iterdir()):
            stale = _NAME.fullmatch(path.name) and path.name not in wanted
            if stale or _LEFT_OVER.fullmatch(path.name):
                path.unlink()
    return [target / name for name in sorted(wanted)]
