"""Ids of decisions and changes: hashes of the playbook, so that every run of a day gives the same ones."""

import hashlib
import json

from fl_assets.core.models import Playbook


def decision_id(playbook: Playbook) -> str:
    """Return the id of the decision on a playbook of a day: 16 hex digits."""
    return _hash("decision", playbook.improvement_id, playbook.day.isoformat())


def change_id(playbook: Playbook) -> str:
    """Return the id of a change (pattern, category, target and values), the same on every day."""
    wanted = json.dumps(dict(sorted(playbook.suggested_changes.items())), ensure_ascii=False)
    return _hash("change", playbook.pattern_id, playbook.category, playbook.target, wanted)


def playbook_hash(playbook: Playbook) -> str:
    """Return the hash of a playbook without its history: 16 hex digits.

    Materialising an earlier day later lengthens the history and changes nothing that was decided on.
    """
    return _hash("playbook", playbook.model_dump_json(exclude={"version", "created_at"}))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
