"""Playbook JSON files: one file a playbook and day, with the contract's fields first.

What goes here: where the files lie, how they are written, and which of a day are removed. What does not: what a playbook says.

Layout: `<playbook path>/<YYYY-MM-DD>/<improvement_id>.json`. The name is ours (a hash), so nothing from telemetry is in a path.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from fl_assets.domain.models import Playbook

CONTRACT_FIELDS = ("improvement_id", "category", "description", "confidence", "suggested_changes", "evidence_count", "created_at")
_NAME = re.compile(r"[0-9a-f]{16}\.json")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.json\..*\.tmp")


def write_playbooks(folder: Path, day: date, playbooks: Sequence[Playbook]) -> list[Path]:
    """Make the day's folder hold exactly these playbooks and return their files in order.

    Each file is replaced whole or not at all. A file that already has the same bytes is left alone, its time included; a playbook that the day no longer has
    is removed, and files with other names are not touched.
    """
    target = folder / day.isoformat()
    wanted = {f"{playbook.improvement_id}.json": render(playbook) for playbook in playbooks}
    strange = [name for name in wanted if _NAME.fullmatch(name) is None]
    if strange:
        message = f"improvement_id {strange[0].removesuffix('.json')!r} must be 16 hex digits, since it names a file"
        raise ValueError(message)
    if wanted:
        target.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(wanted.items()):
        path = target / name
        if not path.is_file() or path.read_bytes() != content:
            _replace(path, content)
    if target.is_dir():
        for path in sorted(target.iterdir()):
            stale = _NAME.fullmatch(path.name) and path.name not in wanted
            if stale or _LEFT_OVER.fullmatch(path.name):
                path.unlink()
    return [target / name for name in sorted(wanted)]


def read_playbooks(folder: Path, day: date) -> list[Playbook]:
    """Return the day's playbooks from their files, by id."""
    paths = sorted((folder / day.isoformat()).glob("*.json"))
    return [Playbook.model_validate_json(path.read_bytes()) for path in paths if _NAME.fullmatch(path.name)]


def render(playbook: Playbook) -> bytes:
    """Return the file's bytes: the same playbook always gives the same ones."""
    fields: dict[str, Any] = playbook.model_dump(mode="json")
    ours = {name: value for name, value in fields.items() if name not in CONTRACT_FIELDS}
    return orjson.dumps({name: fields[name] for name in CONTRACT_FIELDS} | ours, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file, sync, and rename over it."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
