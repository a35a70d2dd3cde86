"""Everything on disk that one coordinator works with, opened from its settings.

What goes here: which store is made from what. What does not: a question to any of them; functions are given
the stores that they read, and never this.
"""

from collections.abc import Callable, Collection
from datetime import date
from functools import cached_property

from fl_assets.adapters.catalogue import Catalogue
from fl_assets.adapters.store import AdapterStore
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.days import EVENT_TABLES, EventDays
from fl_assets.events.index import TelemetryIndex
from fl_assets.federation.coordinator_side import SummaryFiles
from fl_assets.federation.intake import Intake
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.infra.first_day import remember
from fl_assets.infra.lake import Lake
from fl_assets.infra.open_lake import open_lake
from fl_assets.infra.result_files import Rebuilt
from fl_assets.infra.warehouse import Warehouse
from fl_assets.patterns.store import PatternStore
from fl_assets.playbooks.gate import Gate
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.report.rows import ReportReader
from fl_assets.sources.pull import Pull
from fl_assets.sources.source import RemoteSource, read_sources
from fl_assets.spark.engine import Launch, SparkEngine, run_plainly
from fl_assets.sums.engine import SummingEngine
from fl_assets.sums.recount import Recounter
from fl_assets.sums.store import SumsStore
from fl_assets.updates.decisions import Decisions
from fl_assets.updates.stores import UpdateStores


class Workspace:
    """The stores of one coordinator, each opened when it is first asked for."""

    def __init__(self, settings: FederatedLearningConfig, *, launch: Launch = run_plainly) -> None:
        self.settings, self._launch = settings, launch

    @cached_property
    def engine(self) -> SummingEngine:
        """What checks, redacts, masks and sums events."""
        is_spark = self.settings.engine == "spark"
        return SparkEngine(self.settings, launch=self._launch) if is_spark else SummingEngine(self.settings)

    @cached_property
    def lake(self) -> Lake:
        """Day-partitioned Parquet of events."""
        return open_lake(self.settings)

    @cached_property
    def index(self) -> TelemetryIndex:
        """Which bytes of which source file have been ingested, and which days were analysed since."""
        return TelemetryIndex(self.settings)

    @cached_property
    def warehouse(self) -> Warehouse:
        """Result tables."""
        warehouse = Warehouse.at(self.settings.warehouse_path, lake_path=self.settings.lake_folder)
        if not self.settings.warehouse_path.exists():
            warehouse.create()
        return warehouse

    def rebuild(self, progress: Callable[[str], None] = lambda _: None) -> Rebuilt:
        """Make the warehouse what its files say; see `Warehouse.rebuild`."""
        self.lake.refresh()
        warehouse = Warehouse.at(self.settings.warehouse_path, lake_path=self.settings.lake_folder)
        return warehouse.rebuild(progress, views_of=self.settings.lake_folder)

    @cached_property
    def summaries(self) -> SummaryFiles:
        """Sums that nodes send instead of events."""
        return SummaryFiles(self.settings)

    @cached_property
    def intake(self) -> Intake:
        """Taking in what the fleet sends."""
        return Intake(self.engine, self.summaries, self.index, note_days=self._note_days)

    def _note_days(self, _: Collection[date]) -> None:
        """Remember where telemetry begins; a day that only has lines that could not be read is none of it."""
        remember(self.settings, (day for table in EVENT_TABLES for day in self.lake.days(table)[:1]))

    @cached_property
    def sources(self) -> tuple[RemoteSource, ...]:
        """Servers that traces are pulled from."""
        return read_sources(self.settings.sources_path)

    @cached_property
    def pull(self) -> Pull:
        """Pulling from them."""
        return Pull(self.settings.telemetry_folder)

    @cached_property
    def days(self) -> EventDays:
        """Days of events, and their windows."""
        return EventDays(self.lake, self.settings, is_usable=lambda day: self.gate.is_usable(day))

    @cached_property
    def sums(self) -> SumsStore:
        """Daily sums, kept up to date with the lake."""
        usable = self.gate.usable_days
        return SumsStore(self.warehouse, self.lake, self.engine, self.summaries, usable_days=usable)

    @cached_property
    def patterns(self) -> PatternStore:
        """What an analysis reads."""
        connect, days = self.engine.connect, self.settings.max_window_days
        return PatternStore(self.warehouse, self.lake, connect, self.summaries, max_window_days=days)

    @cached_property
    def recounter(self) -> Recounter:
        """Counts evidence again from the lake."""
        return Recounter(self.warehouse, self.lake, self.engine.connect, self.summaries)

    @cached_property
    def playbooks(self) -> PlaybookStore:
        """Playbooks by day."""
        return PlaybookStore(self.warehouse, self.settings.playbook_path)

    @cached_property
    def gate(self) -> Gate:
        """The rules that a day must keep."""
        recount = self.recounter.recount
        return Gate(self.settings, self.lake, self.warehouse, lambda: self.days, self.playbooks, recount)

    @cached_property
    def adapters(self) -> AdapterStore:
        """Adapters: what is offered, installed and in use."""
        return AdapterStore(self.settings)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What was offered when a day was analysed."""
        return Catalogue(self.warehouse)

    @cached_property
    def updates(self) -> UpdateStores:
        """What updates read and change."""
        return UpdateStores.opened(
            self.settings, self.warehouse, self.playbooks, self.gate, self.adapters, self.lake, self.engine
        )

    @cached_property
    def decisions(self) -> Decisions:
        """Decides on a day's playbooks."""
        return Decisions(self.updates, self.catalogue)

    @cached_property
    def cycles(self) -> CycleLog:
        """The record of cycles."""
        return CycleLog(self.warehouse)

    @cached_property
    def report(self) -> ReportReader:
        """What a day's report is made from."""
        return ReportReader(
            self.settings, self.warehouse, self.lake, self.engine, self.summaries, self.days, self.index
        )
