"""Decisions that ask a person to act, as Markdown pages to review.

What goes here: what such a page says. What does not: how a day's folder is written (`playbooks/files.py`),
which decisions ask (`decide.py`).
"""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import orjson

from fl_assets.core.models import Decision, Playbook
from fl_assets.playbooks.files import write_day
from fl_assets.updates.decide import is_for_review


def write_proposals(folder: Path, day: date, decided: Iterable[tuple[Playbook, Decision]]) -> list[Path]:
    """Write one Markdown file for each decision that asks a person to act.

    Return the files in order.

    A prompt or a workflow is changed by people only, and a staged or person-owned config waits for approval:
    this is what they read. Rewritten and removed as the JSON files are.
    """
    wanted = {
        f"{playbook.improvement_id}.md": proposal(playbook, decision)
        for playbook, decision in decided
        if is_for_review(decision)
    }
    return write_day(folder / day.isoformat(), wanted)


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
        f"{playbook.category} · {decision.day} · confidence {playbook.confidence:.2f} · decision "
        f"`{decision.decision_id}`",
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
        f"- pattern `{playbook.pattern_id}` ({playbook.failure_class}, {playbook.state}), remedy "
        f"`{playbook.remedy_id}`, version {playbook.version}",
        f"- {playbook.evidence_count:,} failures, rate {playbook.failure_rate:.2%}, on "
        f"{playbook.nodes_affected} of {playbook.nodes_reporting} nodes",
        f"- improvement `{playbook.improvement_id}`, first proposed for the day that ended "
        f"{playbook.created_at:%Y-%m-%d %H:%M} UTC",
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
