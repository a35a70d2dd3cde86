"""Playbooks as files: JSON for programs, with the contract's fields first, and Markdown for people to review.

What goes here: where the files lie, how they are written, and which of a day are removed. What does not: what a playbook or a decision says.

Layout: `<folder>/<YYYY-MM-DD>/<improvement_id>.json` (or `.md`). The name is ours (a hash), so nothing from telemetry is in a path.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from fl_assets.core.advice import Advice
from fl_assets.core.models import Decision, Playbook
from fl_assets.infra.disk import write_atomically
from fl_assets.updates.decide import is_for_review

CONTRACT_FIELDS = (
    "improvement_id",
    "category",
    "description",
    "confidence",
    "suggested_changes",
    "evidence_count",
    "created_at",
)
_NAME = re.compile(r"[0-9a-f]{16}\.(?:json|md)")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.(?:json|md)\..*\.tmp")


def write_playbooks(folder: Path, day: date, playbooks: Sequence[Playbook]) -> list[Path]:
    """Make the day's folder hold exactly these playbooks and return their files in order.

    Each file is replaced whole or not at all. A file that already has the same bytes is left alone, its time included; a playbook that the day no longer has
    is removed, and files with other names are not touched.
    """
    return _write_day(
        folder / day.isoformat(),
        {f"{playbook.improvement_id}.json": render(playbook) for playbook in playbooks},
    )


def write_proposals(folder: Path, day: date, decided: Iterable[tuple[Playbook, Decision]]) -> list[Path]:
    """Make the day's folder hold one Markdown file for each decision that asks a person to act, and return the files in order.

    A prompt or a workflow is changed by people only, and a staged or person-owned config waits for approval: this is what they read.
    Rewritten and removed as the JSON files are.
    """
    wanted = {
        f"{playbook.improvement_id}.md": proposal(playbook, decision)
        for playbook, decision in decided
        if is_for_review(decision)
    }
    return _write_day(folder / day.isoformat(), wanted)


def read_playbooks(folder: Path, day: date) -> list[Playbook]:
    """Return the day's playbooks from their files, by id."""
    paths = sorted((folder / day.isoformat()).glob("*.json"))
    return [_playbook(orjson.loads(path.read_bytes())) for path in paths if _NAME.fullmatch(path.name)]


def _playbook(fields: dict[str, Any]) -> Playbook:
    """Read a file's fields; those of the advice stand beside the others there."""
    advice = {name: fields.pop(name) for name in Advice.model_fields if name in fields}
    return Playbook(**fields, advice=Advice(**advice))


def render(playbook: Playbook) -> bytes:
    """Return the file's bytes: the same playbook always gives the same ones, its changes in the order of their names as everywhere else."""
    fields: dict[str, Any] = playbook.model_dump(mode="json") | {
        "suggested_changes": dict(sorted(playbook.suggested_changes.items()))
    }
    advice = fields.pop("advice")
    ours = {name: value for name, value in fields.items() if name not in CONTRACT_FIELDS} | advice
    return orjson.dumps(
        {name: fields[name] for name in CONTRACT_FIELDS} | ours,
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def proposal(playbook: Playbook, decision: Decision) -> bytes:
    """Return a decision as a page to review: the change, why, the numbers, and the way back."""
    wanted = _values(decision.to_value, decision.target)
    present = _values(decision.from_value, decision.target)
    rows = [
        f"| {_cell(name)} | {_cell(present.get(name, 'not known'))} | {_cell(value)} |"
        for name, value in wanted.items()
    ]
    lines = [
        f"# {playbook.title}",
        "",
        f"{playbook.category} · {decision.day} · confidence {playbook.confidence:.2f} · decision `{decision.decision_id}`",
        "",
        playbook.description,
        "",
        "## The change",
        "",
        f"Target: {_cell(decision.target)}",
        "",
        "| what | now | proposed |",
        "|---|---|---|",
        *rows,
        "",
        "## Evidence",
        "",
        f"- pattern `{playbook.pattern_id}` ({playbook.failure_class}, {playbook.state}), remedy `{playbook.remedy_id}`, version {playbook.version}",
        f"- {playbook.evidence_count:,} failures, rate {playbook.failure_rate:.2%}, on {playbook.nodes_affected} of {playbook.nodes_reporting} nodes",
        f"- improvement `{playbook.improvement_id}`, first proposed for the day that ended {playbook.created_at:%Y-%m-%d %H:%M} UTC",
        "",
        "## Why it is here",
        "",
        *(f"- {_cell(reason)}" for reason in decision.reasons),
        "",
        "## The way back",
        "",
        _cell(decision.revert_plan),
        "",
    ]
    return "\n".join(lines).encode()


def _values(value: str | None, target: str) -> dict[str, str]:
    """A decision's side as name → value: a JSON object of several, or one value of its target."""
    if value is None:
        return {}
    found = orjson.loads(value) if value.startswith("{") else {target: value}
    return {str(name): str(one) for name, one in found.items()}


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would read; values of people's config files pass through here."""
    return re.sub(r"([\\`*_\[\]<>|#!~])", r"\\\1", " ".join(text.split()))


def _write_day(target: Path, wanted: Mapping[str, bytes]) -> list[Path]:
    """Make a folder hold exactly these files of ours; leave what is the same, and what is not ours, alone."""
    strange = [name for name in wanted if _NAME.fullmatch(name) is None]
    if strange:
        message = (
            f"improvement_id {strange[0].rpartition('.')[0]!r} must be 16 hex digits, since it names a file"
        )
        raise ValueError(message)
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
