"""The stores of one coordinator, made from its settings; functions are given those that they read."""

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
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.decisions import Decisions
from fl_assets.updates.end_store import EndStore
from fl_assets.updates.policy import load_policy
from fl_assets.updates.rollout import history_of
from fl_assets.updates.stores import UpdateStores


class Workspace:
    """The stores of one coordinator, each opened at first use."""

    def __init__(self, settings: FederatedLearningConfig, *, launch: Launch = run_plainly) -> None:
        self.settings, self._launch = settings, launch

    @cached_property
    def engine(self) -> SummingEngine:
        is_spark = self.settings.engine == "spark"
        return SparkEngine(self.settings, launch=self._launch) if is_spark else SummingEngine(self.settings)

    @property
    def lake(self) -> Lake:
        return self.engine.lake

    @property
    def index(self) -> TelemetryIndex:
        return self.engine.index

    @cached_property
    def warehouse(self) -> Warehouse:
        warehouse = Warehouse.at(self.settings.warehouse_path, lake_path=self.settings.lake_folder)
        if not self.settings.warehouse_path.exists():
            warehouse.create()
        return warehouse

    def rebuild(self, progress: Callable[[str], None] = lambda _: None) -> Rebuilt:
        """Rebuild the warehouse from its files; see `Warehouse.rebuild`."""
        self.lake.refresh()
        warehouse = Warehouse.at(self.settings.warehouse_path, lake_path=self.settings.lake_folder)
        return warehouse.rebuild(progress, views_of=self.settings.lake_folder)

    @cached_property
    def summaries(self) -> SummaryFiles:
        return SummaryFiles(self.settings)

    @cached_property
    def intake(self) -> Intake:
        def note_days(_: Collection[date]) -> None:  # days with unreadable lines alone are no telemetry
            remember(self.settings, (day for table in EVENT_TABLES for day in self.lake.days(table)[:1]))

        return Intake(self.engine, self.summaries, self.index, note_days=note_days)

    @cached_property
    def sources(self) -> tuple[RemoteSource, ...]:
        return read_sources(self.settings.sources_path)

    @cached_property
    def pull(self) -> Pull:
        return Pull(self.settings.telemetry_folder)

    @cached_property
    def days(self) -> EventDays:
        return EventDays(self.lake, self.settings, is_usable=lambda day: self.gate.is_usable(day))

    @cached_property
    def sums(self) -> SumsStore:
        return SumsStore(self.warehouse, self.engine, self.summaries, self.gate.usable_days)

    @cached_property
    def patterns(self) -> PatternStore:
        return PatternStore(self.warehouse, self.engine, self.summaries)

    @cached_property
    def recounter(self) -> Recounter:
        return Recounter(self.warehouse, self.engine, self.summaries)

    @cached_property
    def playbooks(self) -> PlaybookStore:
        return PlaybookStore(self.warehouse, self.settings.playbook_path)

    @cached_property
    def gate(self) -> Gate:
        days, recounter = (lambda: self.days), self.recounter
        return Gate(self.settings, self.lake, self.warehouse, days, self.playbooks, recounter)

    @cached_property
    def adapters(self) -> AdapterStore:
        return AdapterStore(self.settings)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.warehouse)

    @cached_property
    def updates(self) -> UpdateStores:
        path, data = self.settings.policy_path, self.settings.data_path
        return UpdateStores(
            settings=self.settings,
            warehouse=self.warehouse,
            playbooks=self.playbooks,
            gate=self.gate,
            adapters=self.adapters,
            update_policy=load_policy(path),
            configs=ConfigFiles(path.parent, data / "configs") if path else None,
            ends=EndStore(data / "updates" / "ends", self.engine),
        )

    @cached_property
    def decisions(self) -> Decisions:
        return Decisions(self.updates, self.catalogue)

    @cached_property
    def cycles(self) -> CycleLog:
        return CycleLog(self.warehouse)

    @cached_property
    def report(self) -> ReportReader:
        history = history_of(self.settings)
        return ReportReader(self.warehouse, self.engine, self.summaries, self.days, history)
