"""Writing a simulated fleet as a telemetrist cache, with its truth as `truth.json`."""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import zstandard

from fl_assets.simulator.damage import Damage
from fl_assets.simulator.emit import Compression, TelemetryFile, telemetry_files
from fl_assets.simulator.plan import plan_fleet
from fl_assets.simulator.truth import Tally, Truth, truth_of

TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class SimulationReport:
    """What was written."""

    out: Path
    truth_path: Path
    truth: Truth
    files: int

    @property
    def events(self) -> int:
        """Distinct valid events written."""
        return self.truth.events


def simulate(
    out: Path,
    *,
    days: int,
    nodes: int,
    events_per_day: int,
    seed: int,
    end: date,
    null: bool = False,
    late: bool = True,
    damage: Damage | None = None,
    compression: Compression = "mixed",
    progress: Callable[[int, int], None] | None = None,
) -> SimulationReport:
    """Write the telemetry of a realistic fleet; the same arguments give the same bytes.

    For days, nodes, events, seed, end and `null` see `plan_fleet`. With `late`, some events lie in a file of
    a later day. `truth.json` goes beside the folder. `progress` is called with lines written and events in
    all after each file.

    Raises:
        FileExistsError: when `out` holds anything already, since two fleets in one cache have no truth.
        ValueError: when a count is below 1.
    """
    if any(path.is_file() for path in out.rglob("*")):
        raise FileExistsError(f"{out}: holds files already; simulate into a new or empty folder")
    plan = plan_fleet(days, nodes, events_per_day, seed, end=end, null=null)
    damage = damage or Damage()
    if not late:
        damage = Damage(damage.duplicates, damage.conflicts, 0, damage.malformed, damage.clock_skew)
    out.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    files = lines = 0
    for file in telemetry_files(plan, tally, damage=damage, compression=compression):
        write_file(out, file)
        files, lines = files + 1, lines + file.lines
        if progress:
            progress(lines, days * events_per_day)
    truth = truth_of(plan, tally)
    truth_path = out.parent / TRUTH_FILE
    truth_path.write_bytes(truth.to_json())
    return SimulationReport(out, truth_path, truth, files)


def write_file(out: Path, file: TelemetryFile) -> None:
    """Write a file of a node below a cache, with the time at which the node finished it."""
    path, content = out / file.path, _compressed(file.path, file.content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (file.written_at.timestamp(), file.written_at.timestamp()))


def _compressed(name: str, content: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(content, compresslevel=4, mtime=0)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor(level=3).compress(content)
    return content
