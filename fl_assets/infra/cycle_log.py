"""The table `learning_cycles`: a row is opened when a cycle begins, and closed however it ends."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from fl_assets.core.cycles import Window
from fl_assets.core.models import CycleStatus
from fl_assets.infra.clock import now_utc
from fl_assets.infra.warehouse import Warehouse


class CycleLog:
    """Rows of `learning_cycles`, one per run and day."""

    def __init__(self, warehouse: Warehouse, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._warehouse = warehouse
        self._clock = clock

    def begin(self, run_id: str, window: Window) -> None:
        """Open the row of a run's day; rows that a killed process left open are closed as failed."""
        now = self._naive_now()
        for row in self._warehouse.rows(
            "select * from learning_cycles where event_date = $day and status = 'running'",
            {"day": window.day},
        ):
            if row["cycle_id"] != self.cycle_id(run_id, window.day):
                self._warehouse.upsert(
                    "learning_cycles",
                    row
                    | {
                        "status": "failed",
                        "end_time": now,
                        "reason": "its process ended before the cycle did",
                    },
                )
        row = {
            "event_date": window.day,
            "cycle_id": self.cycle_id(run_id, window.day),
            "start_time": now,
            "end_time": None,
            "status": "running",
            "reason": "",
            "window_days": len(window.days),
            "events_processed": window.events,
            "improvements_generated": 0,
            "adapters_updated": 0,
            "configs_updated": 0,
            "updates_rolled_back": 0,
            "updates_held": 0,
        }
        self._warehouse.upsert("learning_cycles", row)

    def finish(
        self, run_id: str, day: date, status: CycleStatus, reason: str, **counts: int
    ) -> dict[str, Any] | None:
        """Close the row of a run's day and return it; None where the run opened none."""
        rows = self._warehouse.rows(
            "select * from learning_cycles where cycle_id = $id", {"id": self.cycle_id(run_id, day)}
        )
        if not rows:
            return None
        row = rows[0] | {"status": status, "reason": reason, "end_time": self._naive_now(), **counts}
        self._warehouse.upsert("learning_cycles", row)
        return row

    def fail_open(self, run_id: str, reason: str) -> list[date]:
        """Close as failed the rows that a run left open; return their days."""
        rows = self._warehouse.rows(
            "select event_date from learning_cycles where starts_with(cycle_id, $run || '/') and status "
            "= 'running'",
            {"run": run_id},
        )
        for row in rows:
            self.finish(run_id, row["event_date"], "failed", reason)
        return sorted(row["event_date"] for row in rows)

    @staticmethod
    def cycle_id(run_id: str, day: date) -> str:
        """Return the id of a run's cycle of a day."""
        return f"{run_id}/{day}"

    def _naive_now(self) -> datetime:
        return self._clock().astimezone(UTC).replace(tzinfo=None)
