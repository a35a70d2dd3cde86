"""A dry run of ingestion over a folder or a file, into a temporary folder.

What goes here: the result, file by file. What does not: printing it (`cli/inspect.py`).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.formats import HEAD_BYTES
from fl_assets.events.outcome import IngestReport, Unread
from fl_assets.events.unpack import BadPackingError, blocks, coding_of
from fl_assets.events.unread import MAPPED

_BY_FILE = """
    select source_file, count(*), min(event_date), max(event_date), list(distinct node_id order by node_id)
    from read_parquet($files, hive_partitioning = false, union_by_name = true) group by source_file"""
_BY_DAY = """
    select event_date, count(*) from read_parquet($files, hive_partitioning = false,
        union_by_name = true) group by event_date"""


@dataclass(slots=True)
class InspectedFile:
    """Result of one file."""

    path: str
    format: str
    events: int = 0
    repeats: int = 0
    """Events of it that were read before, in this file or another."""
    first_day: date | None = None
    last_day: date | None = None
    nodes: set[str] = field(default_factory=set)
    unread: Unread | None = None
    """What of it could not be read."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of a folder."""

    files: list[InspectedFile]
    """By path."""
    days: dict[date, int]
    """Events by day."""
    report: IngestReport
    own_record: dict[str, Any] | None = None
    """The first object, or row, of the first file of no known format, which a mapping could make readable."""


def inspect(
    path: Path, settings: FederatedLearningConfig, progress: Callable[[str], None] | None = None
) -> Inspection:
    """Ingest a file or a folder of telemetry into a temporary folder; return what was found.

    The name of a file's folder is its node, as in the telemetry folder.
    """
    with TemporaryDirectory(prefix="fl-inspect-") as name, _as_folder(path, Path(name)) as root:
        folder = Path(name) / "data"
        tried = settings.model_copy(
            update={
                "telemetry_path": root,
                "data_path": folder,
                "lake_path": folder / "lake",
                "error_records_path": folder / "none",
                "engine": "duckdb",
            }
        )
        engine = DuckDBEngine(tried)
        report = engine.ingest(progress)
        found = {path: InspectedFile(path, format) for path, format in engine.index.formats()}
        days: dict[date, int] = {}
        with engine.connect() as connection:
            for table in ("raw_traces", "conversation_logs"):
                files = engine.lake.paths(table, engine.lake.days(table))
                if not files:
                    continue
                for source, events, first, last, nodes in connection.execute(
                    _BY_FILE, {"files": files}
                ).fetchall():
                    one = found.setdefault(source, InspectedFile(source, "telemetrist"))
                    one.events += events
                    one.first_day = min(first, one.first_day or first)
                    one.last_day = max(last, one.last_day or last)
                    one.nodes |= set(nodes)
                for day, events in connection.execute(_BY_DAY, {"files": files}).fetchall():
                    days[day] = days.get(day, 0) + events
        for source, repeats in report.repeats.items():
            found.setdefault(source, InspectedFile(source, "telemetrist")).repeats = repeats
        for unread in report.unread:
            found.setdefault(unread.path, InspectedFile(unread.path, "unknown")).unread = unread
        files = [found[key] for key in sorted(found)]
        return Inspection(files, dict(sorted(days.items())), report, _own_record(root, files))


def _own_record(root: Path, files: list[InspectedFile]) -> dict[str, Any] | None:
    """Return the first object of the first file whose refusal says to name its fields in a mapping."""
    head = b""
    for one in files:
        if one.unread is None or not one.unread.is_whole or MAPPED not in one.unread.fix + one.unread.detail:
            continue
        with (root / one.path).open("rb") as file, suppress(BadPackingError):
            coding = coding_of(file.read(4096))
            file.seek(0)
            head = next(blocks(file, coding, one.unread.size), b"")[:HEAD_BYTES]
        for line in head.splitlines():
            with suppress(orjson.JSONDecodeError):
                if isinstance(value := orjson.loads(line), dict):
                    return value
    return None


@contextmanager
def _as_folder(path: Path, temporary: Path) -> Iterator[Path]:
    """Yield a folder that holds the path."""
    if path.is_dir():
        yield path
        return
    node = temporary / "cache" / path.resolve().parent.name
    node.mkdir(parents=True)
    shutil.copy2(path, node / path.name)
    yield temporary / "cache"
