"""The table `learning_cycles`: a row is opened when a cycle begins, and closed however it ends."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from fl_assets.core.cycles import Window
from fl_assets.core.models import CycleStatus
from fl_assets.infra.clock import now_utc
from fl_assets.infra.warehouse import Warehouse

_COUNTS = ("improvements_generated", "adapters_updated", "configs_updated", "updates_rolled_back",
    "updates_held")  # fmt: skip


class CycleLog:
    """Rows of `learning_cycles`, one per run and day."""

    def __init__(self, warehouse: Warehouse, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._warehouse = warehouse
        self._clock = clock

    def begin(self, run_id: str, window: Window) -> None:
        """Open the row of a run's day; rows that a killed process left open are closed as failed."""
        now, cycle_id = self._naive_now(), self.cycle_id(run_id, window.day)
        others = """select * from learning_cycles
            where event_date = $day and status = 'running' and cycle_id <> $id"""
        ended = {"status": "failed", "end_time": now, "reason": "its process ended before the cycle did"}
        for row in self._warehouse.rows(others, {"day": window.day, "id": cycle_id}):
            self._warehouse.upsert("learning_cycles", row | ended)
        row = {
            "event_date": window.day,
            "cycle_id": cycle_id,
            "start_time": now,
            "end_time": None,
            "status": "running",
            "reason": "",
            "window_days": len(window.days),
            "events_processed": window.events,
        }
        self._warehouse.upsert("learning_cycles", row | dict.fromkeys(_COUNTS, 0))

    def of(self, cycle_id: str) -> dict[str, Any] | None:
        """Return the row of a cycle; None where it was never begun."""
        rows = self._warehouse.rows("select * from learning_cycles where cycle_id = $id", {"id": cycle_id})
        return rows[0] if rows else None

    def finish(
        self, run_id: str, day: date, status: CycleStatus, reason: str, **counts: int
    ) -> dict[str, Any] | None:
        """Close the row of a run's day and return it; None where the run opened none."""
        row = self.of(self.cycle_id(run_id, day))
        if row is None:
            return None
        row |= {"status": status, "reason": reason, "end_time": self._naive_now(), **counts}
        self._warehouse.upsert("learning_cycles", row)
        return row

    def fail_open(self, run_id: str, reason: str) -> list[date]:
        """Close as failed the rows that a run left open; return their days."""
        running = """select event_date from learning_cycles
            where starts_with(cycle_id, $run || '/') and status = 'running' order by event_date"""
        days = [row["event_date"] for row in self._warehouse.rows(running, {"run": run_id})]
        for day in days:
            self.finish(run_id, day, "failed", reason)
        return days

    @staticmethod
    def cycle_id(run_id: str, day: date) -> str:
        """Return the id of a run's cycle of a day."""
        return f"{run_id}/{day}"

    def _naive_now(self) -> datetime:
        return self._clock().astimezone(UTC).replace(tzinfo=None)
