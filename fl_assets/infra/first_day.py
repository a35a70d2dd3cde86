"""The first daily partition: the one that was set, else the first day of telemetry.

What goes here: remembering that day. What does not: partitions (`defs/partitions.py`), which events are too
old (`start_date`).

Dagster makes its partitions when the definitions are loaded, before anything is read, so the day lies in a
small file. It only ever moves back, and only to a day that has telemetry: the days of runs that were made
stay partitions.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.disk import write_atomically

FILE = "first-day"


def first_partition(settings: FederatedLearningConfig) -> date:
    """Return the day that was set, else the one remembered, else `start_date` until there is telemetry."""
    if "start_date" in settings.model_fields_set:
        return settings.start_date
    return max(_remembered(settings) or settings.start_date, settings.start_date)


def remember(settings: FederatedLearningConfig, days: Iterable[date]) -> None:
    """Remember the earliest of some days with telemetry, where an earlier one is not known."""
    first, known = min(days, default=None), _remembered(settings)
    if first is None or (known and known <= first):
        return
    settings.data_path.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(settings), f"{first}\n".encode())


def _remembered(settings: FederatedLearningConfig) -> date | None:
    with suppress(OSError, ValueError):  # not there; or damaged, and then as good as that
        return date.fromisoformat(_path(settings).read_text(encoding="ascii").strip())
    return None


def _path(settings: FederatedLearningConfig) -> Path:
    return settings.data_path / FILE
