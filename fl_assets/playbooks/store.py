"""Stored playbooks: rows of the warehouse, and files for people and programs.

What goes here: reading and replacing a day's playbooks. What does not: making them (`propose.py`), the files'
format (`files.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from typing import Any

from fl_assets.core.models import Helps, Playbook
from fl_assets.infra.warehouse import Warehouse
from fl_assets.playbooks.files import write_playbooks
from fl_assets.playbooks.versions import renumber

_TRIALS = """
    with ended as (
        select remedy_id, decision_id, bool_or(verdict = 'better') as is_better,
            bool_or(verdict in ('better', 'worse', 'inconclusive')) as has_ended
        from update_outcomes where event_date <= $day group by remedy_id, decision_id)
    select remedy_id, count(*) as tried, count(*) filter (is_better) as helped
    from ended where has_ended group by remedy_id order by remedy_id"""


@dataclass(frozen=True)
class PlaybookStore:
    """Playbooks of each day, in the warehouse and as files below `folder`."""

    warehouse: Warehouse
    folder: Path

    def of(self, day: date) -> list[Playbook]:
        """Return the day's playbooks, by id."""
        return [playbook_of(row) for row in self.warehouse.read_day("playbooks", day)]

    def ranked(self, day: date) -> list[Playbook]:
        """Return the day's playbooks, those that should prevent most failures first."""
        return sorted(self.of(day), key=lambda one: one.rank)

    def before(self, day: date) -> list[dict[str, Any]]:
        """Return the rows of playbooks of earlier days."""
        earlier = "select * from playbooks where event_date < $day order by event_date, improvement_id"
        return self.warehouse.rows(earlier, {"day": day})

    def helped(self, day: date) -> dict[str, Helps]:
        """Return by remedy how many of its trials had ended by a day, and how many had helped."""
        rows = self.warehouse.rows(_TRIALS, {"day": day})
        return {row["remedy_id"]: Helps(tried=row["tried"], helped=row["helped"]) for row in rows}

    def replace(self, day: date, playbooks: Sequence[Playbook]) -> int:
        """Replace the day's playbooks in table and files; return how many there are.

        Playbooks of later days, whose history this changes, get their versions counted again.
        """
        self._write(day, playbooks)
        later = "select 1 from playbooks where event_date > $day limit 1"
        if self.warehouse.rows(later, {"day": day}):
            changed = renumber(self.warehouse.rows("select * from playbooks"))
            for each in sorted({row["event_date"] for row in changed}):
                renewed = {
                    row["improvement_id"]: playbook_of(row) for row in changed if row["event_date"] == each
                }
                self._write(each, [renewed.get(one.improvement_id, one) for one in self.of(each)])
        return len(playbooks)

    def _write(self, day: date, playbooks: Sequence[Playbook]) -> None:
        self.warehouse.replace_records("playbooks", day, map(row_of, playbooks))
        write_playbooks(self.folder, day, playbooks)


def row_of(playbook: Playbook) -> dict[str, Any]:
    """Return a playbook as a row of the table; nested fields are JSON, times naive UTC."""
    return playbook.model_dump() | {
        "suggested_changes": json.dumps(playbook.suggested_changes, sort_keys=True),
        "advice": playbook.advice.model_dump_json(),
        "created_at": playbook.created_at.astimezone(UTC).replace(tzinfo=None),
        "is_actionable": not playbook.held_because,
    }


def playbook_of(row: dict[str, Any]) -> Playbook:
    """Return a row of the table as a playbook; rows of earlier releases may lack columns."""
    fields = {name: value for name, value in row.items() if name not in ("event_date", "is_actionable")}
    return Playbook(
        **fields
        | {
            "day": row["event_date"],
            "suggested_changes": json.loads(row["suggested_changes"]),
            "advice": json.loads(row.get("advice") or "{}"),
            "created_at": row["created_at"].replace(tzinfo=UTC),
        }
    )
