"""Ids of what is decided on.

Each follows from the playbook alone, so that every run of a day gives the same ones.
"""

import hashlib
import json

from fl_assets.core.models import Playbook


def decision_id(playbook: Playbook) -> str:
    """Return the id of the decision on a playbook of a day: 16 hex digits."""
    return _hash("decision", playbook.improvement_id, playbook.day.isoformat())


def change_id(playbook: Playbook) -> str:
    """Return the id of what is asked for, the same on every day that asks for it.

    Pattern, category, target and values.
    """
    wanted = json.dumps(dict(sorted(playbook.suggested_changes.items())), ensure_ascii=False)
    return _hash("change", playbook.pattern_id, playbook.category, playbook.target, wanted)


def playbook_hash(playbook: Playbook) -> str:
    """Return the hash of all that a playbook says: 16 hex digits.

    Its history is left out: an earlier day that is materialised later makes that longer, and changes nothing
    of what was decided on.
    """
    return _hash("playbook", playbook.model_dump_json(exclude={"version", "created_at"}))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
