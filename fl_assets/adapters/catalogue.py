"""The catalogue of adapters as stored: what the sources offered when a day was analysed.

What goes here: rows of `adapter_catalogue`. What does not: asking the sources (`store.py`), rules of
admission (`admission.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fl_assets.adapters.admission import Offered, newest_first
from fl_assets.infra.warehouse import Warehouse


@dataclass(frozen=True)
class Catalogue:
    """Offers of each day, in the warehouse."""

    warehouse: Warehouse

    def replace(self, day: date, offered: Sequence[Offered]) -> int:
        """Replace the day's offers; return how many versions there are."""
        if not offered and self.warehouse.manifest("adapter_catalogue", day) is None:
            # Most fleets have no source, and a commit per day of a backfill costs more than the rest.
            return 0
        return self.warehouse.replace_records("adapter_catalogue", day, (one.model_dump() for one in offered))

    def offers(self, day: date) -> list[Offered]:
        """Return what was offered, by adapter and newest first."""
        rows = self.warehouse.read_day("adapter_catalogue", day)
        return newest_first(
            [Offered(**{name: value for name, value in row.items() if name != "event_date"}) for row in rows]
        )
