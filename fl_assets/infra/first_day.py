"""The first daily partition: the one that was set, else the first day of telemetry.

What goes here: storing that day. What does not: partitions (`defs/partitions.py`), which events are too old
(`start_date`).

Dagster needs its partitions when definitions are loaded, before anything is read, so the day is kept in a
small file. It only moves back, to a day that has telemetry, so that the days of earlier runs stay partitions.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.disk import write_atomically

FILE = "first-day"


def first_partition(settings: FederatedLearningConfig) -> date:
    """Return the day that was set, else the one stored, else the default `start_date`."""
    if "start_date" in settings.model_fields_set:
        return settings.start_date
    return max(_remembered(settings) or settings.start_date, settings.start_date)


def remember(settings: FederatedLearningConfig, days: Iterable[date]) -> None:
    """Store the earliest of some days with telemetry, unless an earlier one is stored."""
    first, known = min(days, default=None), _remembered(settings)
    if first is None or (known and known <= first):
        return
    settings.data_path.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(settings), f"{first}\n".encode())


def _remembered(settings: FederatedLearningConfig) -> date | None:
    with suppress(OSError, ValueError):  # missing, or damaged
        return date.fromisoformat(_path(settings).read_text(encoding="ascii").strip())
    return None


def _path(settings: FederatedLearningConfig) -> Path:
    return settings.data_path / FILE
