"""Reading what the terminal shows of a cycle.

What does not go here: words and layout (`console.py`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_assets.core.models import LearningCycleResult, Playbook
from fl_assets.events.outcome import Unread
from fl_assets.report.build import build_report
from fl_assets.report.words import apart_of, too_few_nodes
from fl_assets.sources.pull import Pulled

if TYPE_CHECKING:
    from fl_assets.workspace import Workspace


@dataclass(frozen=True)
class CycleView:
    """A cycle as it is shown."""

    result: LearningCycleResult
    telemetry_path: str
    """Folder or bucket that telemetry was read from."""
    patterns: Sequence[dict[str, Any]]
    playbooks: Sequence[Playbook]
    apart: Mapping[str, tuple[str, str]]
    """Those under way or tried before, by id; see `report.words.apart_of`."""
    decisions: Sequence[dict[str, Any]]
    done: dict[str, str]
    """Status of the updates that decisions led to by now, by decision."""
    files: dict[str, Path]
    """Files that the cycle wrote, by name."""
    unread: Sequence[Unread]
    """Files that could not be read completely."""
    not_pulled: Sequence[Pulled]
    """Sources that did not give the whole day."""
    why_nothing: str
    """Why there was nothing to read, or ''."""
    summarised: int
    """Nodes that sent a summary."""
    refused: Counter[str]
    """Refused summaries, by rule."""
    summaries_path: Path
    too_few_nodes: str
    """What to do where fewer nodes report than a pattern must be on, or ''."""
    passed_over: dict[date, int]
    """Events of later days that hold strays alone, so that they were not taken for the latest."""

    @property
    def is_analysed(self) -> bool:
        """Whether the cycle made patterns."""
        return self.result.status in ("completed", "gated")


def cycle_view(
    space: "Workspace", result: LearningCycleResult, *, later_until: date | None = None
) -> CycleView:
    """Read a cycle's results; with `later_until`, also which later days up to it were passed over."""
    is_latest = later_until is not None and space.days.latest(later_until) == result.day
    later = [day for day in space.days.with_events(later_until) if day > result.day] if is_latest else []
    day, status = result.day, result.status
    is_analysed = status in ("completed", "gated")
    patterns = space.warehouse.read_day("failure_patterns", day) if is_analysed else []
    content = build_report(space.report.rows(day)) if is_analysed else None
    reporting = max((row["nodes_reporting"] for row in patterns), default=0)
    return CycleView(
        result=result,
        telemetry_path=str(space.settings.telemetry_path),
        patterns=patterns,
        too_few_nodes=too_few_nodes(reporting, space.settings.min_nodes),
        playbooks=space.playbooks.ranked(day) if is_analysed else [],
        apart=apart_of(content) if content else {},
        decisions=space.warehouse.read_day("update_decisions", day) if status == "completed" else [],
        done={one.decision_id: one.status for one in content.decisions} if content else {},
        files=_files(space, day),
        unread=space.index.unread(),
        not_pulled=space.pull.incomplete(space.sources, [day]),
        why_nothing="" if result.events_processed or is_analysed else space.index.why_nothing(),
        summarised=len(space.summaries.nodes(day)),
        refused=Counter(one.rule for one in space.summaries.refusals()),
        summaries_path=space.settings.summaries_path,
        passed_over={each: space.days.events_on(each) for each in later},
    )


def _files(space: "Workspace", day: date) -> dict[str, Path]:
    settings = space.settings
    places = {
        "report": settings.reports_path / f"{day}.html",
        "playbooks": settings.playbook_path / str(day),
        "for review": settings.data_path / "proposals" / str(day),
        "warehouse": settings.warehouse_path,
        "events (Parquet)": settings.lake_folder,
    }
    return {name: path for name, path in places.items() if path.exists()}
