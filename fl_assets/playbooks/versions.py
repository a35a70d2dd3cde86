"""Versions of playbooks: when each was first made, and how often its content changed since.

What does not go here: playbooks of a day (`propose.py`), storing them (`store.py`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any


@dataclass(frozen=True)
class Earlier:
    """A playbook's history up to a day."""

    created_at: datetime
    version: int
    content: str


def content_of(category: str, title: str, target: str, changes: Mapping[str, str]) -> str:
    """Return what a version is counted by: the change, without the day's numbers."""
    return json.dumps([category, title, target, dict(sorted(changes.items()))])


def history_of(rows: Iterable[Mapping[str, Any]], day: date) -> dict[str, Earlier]:
    """Return each playbook's history from rows of days before `day`."""
    found: dict[str, Earlier] = {}
    for then, row in _in_order(rows):
        if then < day:
            found[row["improvement_id"]] = _next(found.get(row["improvement_id"]), then, row)
    return found


def renumber(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, corrected, the rows whose `created_at` or `version` does not follow from earlier days.

    This makes the table the same in whatever order days are materialised.
    """
    found: dict[str, Earlier] = {}
    changed = []
    for then, row in _in_order(rows):
        known = found[row["improvement_id"]] = _next(found.get(row["improvement_id"]), then, row)
        stored = row["created_at"] if row["created_at"].tzinfo else row["created_at"].replace(tzinfo=UTC)
        if (stored, row["version"]) != (known.created_at, known.version):
            changed.append(dict(row) | {"created_at": known.created_at, "version": known.version})
    return changed


def _next(earlier: Earlier | None, day: date, row: Mapping[str, Any]) -> Earlier:
    changes = row["suggested_changes"]
    changes = json.loads(changes) if isinstance(changes, str) else changes
    return following(earlier, day, content_of(row["category"], row["title"], row["target"], changes))


def following(earlier: Earlier | None, day: date, content: str) -> Earlier:
    """Return a playbook's history up to a day on which it has this content."""
    if earlier is None:
        return Earlier(datetime.combine(day + timedelta(days=1), time.min, UTC), 1, content)
    return Earlier(earlier.created_at, earlier.version + (earlier.content != content), content)


def _in_order(rows: Iterable[Mapping[str, Any]]) -> list[tuple[date, Mapping[str, Any]]]:
    dated = ((_as_day(row["event_date"]), row) for row in rows)
    return sorted(dated, key=lambda pair: (pair[0], pair[1]["improvement_id"]))


def _as_day(value: date | str) -> date:
    """Return a day that came as a date, as a datetime or Timestamp from pandas, or as text from JSON."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(value)
