"""Everything on disk that one coordinator works with, opened from its settings.

What goes here: where each thing lies, and the few questions that need more than one of them (a day's window, signatures that are up to
date). What does not: rules (`domain/`), formats of single files (their own modules).
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from fl_assets.adapters.manifest import Offered, newest_first
from fl_assets.adapters.offer import AdapterOffer
from fl_assets.adapters.store import AdapterStore
from fl_assets.core.cycles import Window, window_of
from fl_assets.core.models import Decision, Playbook
from fl_assets.core.settings import FederatedLearningConfig, variable
from fl_assets.core.tables import CALL_TOTALS, CONVERSATION_SIGNALS, FAILURE_SIGNATURES, Table
from fl_assets.events.engine import DuckDBEngine, Engine
from fl_assets.events.index import Backlog, DayBacklog, TelemetryIndex
from fl_assets.events.ingest import IngestReport
from fl_assets.federation.coordinator_side import SummaryFiles, Taken
from fl_assets.infra import rule_files
from fl_assets.infra.lake import Lake
from fl_assets.infra.open_lake import open_lake
from fl_assets.infra.warehouse import Rebuilt, Warehouse
from fl_assets.patterns.analysis import History
from fl_assets.patterns.classes import ClassRule
from fl_assets.patterns.counts import BASELINE_DAYS, HISTORY_DAYS
from fl_assets.patterns.grouping import Corrections
from fl_assets.playbooks.files import write_playbooks
from fl_assets.playbooks.propose import renumber
from fl_assets.playbooks.remedies import Remedy
from fl_assets.spark.engine import Launch, SparkEngine, run_plainly
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import call_totals_sql, signature_sql
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.policy import UpdatePolicy

READ_DAYS = HISTORY_DAYS + BASELINE_DAYS
"""Days of sums that an analysis reads whole; of older ones, only what dates a message."""
DAYS_A_COMMIT = 28

_SUMS_VERSION = hashlib.sha256(
    "\n".join((signature_sql("t"), call_totals_sql("t"), conversation_signals_sql("c", "t"))).encode()
).hexdigest()[:12]

_EVENTS: dict[tuple[str, date, str], int] = {}
"""Events by lake, day and content of the day: counting those of nodes that have both events and a summary reads a column."""
_EVENTS_KEPT = 1000
"""A year of days, and what came late to them; those that were counted first are forgotten first."""

_COUNTED: dict[tuple[str, str, date, str], Counter[str]] = {}
"""What was counted from events in this process, by table, lake, day and content of the day."""


def _count(key: tuple[str, str, date, str], names: list[str], counts: list[int]) -> None:
    while len(_COUNTED) >= 2 * DAYS_A_COMMIT:
        _COUNTED.pop(next(iter(_COUNTED)))
    found = _COUNTED[key] = Counter()
    for name, count in zip(names, counts, strict=True):
        found[name] += count


INPUTS = (
    "telemetry_path",
    "remedies_path",
    "corrections_path",
    "update_policy_path",
    "trusted_keys_path",
    "adapter_oms_key_path",
)
"""Settings that name what is only read; a default need not be there."""


def missing_inputs(settings: FederatedLearningConfig) -> list[str]:
    """Return a line for each path that was set to be read and is not there: it would pass for a fleet that said nothing, or for no rules at all."""
    lines = []
    for name in INPUTS:
        path, default = getattr(settings, name), FederatedLearningConfig.model_fields[name].default
        if path is not None and path != default and not path.exists():
            lines.append(
                f"{variable(name)}='{path}': is not there; make it, correct the path, or unset it{f' for the default {default}' if default else ''}"
            )
    return lines


class Workspace:
    """The lake, the index, the engine and the warehouse of one coordinator."""

    def __init__(self, settings: FederatedLearningConfig, *, launch: Launch = run_plainly) -> None:
        self.settings = settings
        self._launch = launch

    @cached_property
    def engine(self) -> Engine:
        """What checks, redacts, masks and sums events."""
        return (
            SparkEngine(self.settings, launch=self._launch)
            if self.settings.engine == "spark"
            else DuckDBEngine(self.settings)
        )

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
        path = self.settings.warehouse_path
        warehouse = Warehouse.at(path, lake_path=self.settings.lake_folder)
        if not path.exists():
            warehouse.create()
        return warehouse

    def rebuild(self, progress: Callable[[str], None] = lambda _: None) -> Rebuilt:
        """Make the warehouse what its files say; see `Warehouse.rebuild`."""
        self.lake.refresh()
        warehouse = Warehouse.at(self.settings.warehouse_path, lake_path=self.settings.lake_folder)
        done = warehouse.rebuild(progress)
        warehouse.create(self.settings.lake_folder)
        return done

    @cached_property
    def summaries(self) -> SummaryFiles:
        """What nodes tell of themselves instead of sending events."""
        return SummaryFiles(self.settings)

    def ingest(self, progress: Callable[[str], None] | None = None) -> tuple[IngestReport, Taken]:
        """Store what is new in the folders of telemetry and of summaries; a second call right after finds nothing to do."""
        report, taken = self.engine.ingest(progress), self.summaries.take(self.index)
        if progress and taken.files:
            progress(
                f"{taken.files} files of summaries: {taken.summaries} taken, {taken.known} known, {len(taken.refused)} refused"
            )
        return report, taken

    def backlog(self) -> Backlog:
        """Count what was not analysed yet, by day: events in files and in the lake, and what summaries tell of that were not taken yet."""
        events, waiting = self.index.backlog(), self.summaries.waiting()
        days = {entry.day: entry for entry in events.days}
        for day, (count, token) in waiting.items():
            old = days.get(day, DayBacklog(day, 0, "none"))
            days[day] = DayBacklog(
                day, old.events + count, hashlib.sha256(f"{old.token}\n{token}".encode()).hexdigest()[:32]
            )
        found = tuple(days[day] for day in sorted(days))
        return Backlog(sum(entry.events for entry in found), events.files, found, events.unscanned)

    def events_on(self, day: date) -> int:
        """Events of a day in the lake: traces and conversation turns, and those that summaries tell of."""
        key = (str(self.settings.lake_folder.resolve()), day, self.lake.content_of(day))
        if key not in _EVENTS:
            while len(_EVENTS) >= _EVENTS_KEPT:
                _EVENTS.pop(next(iter(_EVENTS)))
            _EVENTS[key] = self.lake.events_on(day)
        return _EVENTS[key]

    def window(self, day: date) -> Window:
        """The days that `day` is analysed together with."""
        return window_of(
            day, self.events_on, required=self.settings.min_events, max_days=self.settings.max_window_days
        )

    def days_with_events(self, until: date) -> list[date]:
        """Days up to `until` that the lake holds events of, oldest first."""
        days = {
            *self.lake.days("raw_traces"),
            *self.lake.days("conversation_logs"),
            *self.lake.days("node_summaries"),
        }
        return sorted(day for day in days if day <= until)

    def sufficient(self, days: Iterable[date]) -> list[date]:
        """Return those of `days` whose window holds enough events: the ones a run of that day alone would go on with."""
        return [day for day in days if self.window(day).is_sufficient]

    def one_by_one(self, days: Iterable[date]) -> Iterator[date]:
        """Yield each day, with one connection to the warehouse kept for all that is done about it."""
        for day in days:
            with self.warehouse.session():
                yield day

    def refresh_signatures(self, until: date) -> list[date]:
        """Bring failure_signatures and call_totals up to date for every day up to `until`; return the days that were not."""
        return self._refresh(("failure_signatures", "call_totals"), until, self._sums)

    def refresh_conversations(self, until: date) -> list[date]:
        """Bring conversation_signals up to date for every day up to `until`; return the days that were not."""
        return self._refresh(("conversation_signals",), until, self._signals)

    def _sums(self, day: date) -> dict[str, pa.Table]:
        """Sums of a day's calls: of raw events, and what summaries tell."""
        key = self._counted_as("failure_signatures", day)
        signatures, totals = self.engine.signatures(day)
        told = self.summaries.rows(day)
        failures = self._with_summaries(FAILURE_SIGNATURES, day, signatures, told.signatures)
        _count(key, failures["message_id"].to_pylist(), failures["failures"].to_pylist())
        return {
            "failure_signatures": failures,
            "call_totals": self._with_summaries(CALL_TOTALS, day, totals, told.totals),
        }

    def _signals(self, day: date) -> dict[str, pa.Table]:
        """Sums of a day's talk: of raw events, and what summaries tell."""
        key = self._counted_as("conversation_signals", day)
        signals = self._with_summaries(
            CONVERSATION_SIGNALS, day, self.engine.conversation_signals(day), self.summaries.rows(day).signals
        )
        names = [
            f"{signal}|{service}"
            for signal, service in zip(
                signals["signal"].to_pylist(), signals["service"].to_pylist(), strict=True
            )
        ]
        _count(key, names, signals["sessions_affected"].to_pylist())
        return {"conversation_signals": signals}

    def _with_summaries(self, table: Table, day: date, raw: pa.Table, told: list[dict[str, Any]]) -> pa.Table:
        """Add summaries to sums of raw events; of a node that has both on a day, what it signed stands and its raw events are left out."""
        nodes = self.summaries.nodes(day)
        if not nodes:
            return raw
        kept = raw.filter(
            pa.array([node not in nodes for node in raw["node_id"].to_pylist()], pa.bool_())
        ).cast(table.arrow_schema)
        return pa.concat_tables([kept, pa.Table.from_pylist(told, schema=table.arrow_schema)])

    def history(self, day: date) -> History:
        """Return the sums known by the end of `day`."""
        until = {"day": day, "from_day": day - timedelta(days=READ_DAYS - 1)}
        recent = until | {"window": day - timedelta(days=self.settings.max_window_days - 1)}
        read = self.warehouse.read
        return History(
            messages=read(
                """
                with sums as (
                    select message_id, any_value(masked_error) as masked_error, any_value(has_text) as has_text, service, method,
                        sum(failures) as failures, min(event_date) as first_day
                    from failure_signatures where event_date <= $day group by message_id, service, method)
                select message_id, any_value(masked_error) as masked_error, any_value(has_text) as has_text,
                    arg_min(service, (-failures, service, method)) as service, arg_min(method, (-failures, service, method)) as method,
                    min(first_day) as first_day
                from sums group by message_id order by message_id""",
                {"day": day},
            ),
            # Of days before any window nothing reads latencies, nor the traces of a message that fails on its last day: lists cost more memory than all else in a row.
            signatures=read(
                """
                select event_date, node_id, service, method, message_id, failures, sessions, first_seen, last_seen,
                    case when event_date >= $window or max(event_date) over (partition by message_id) < $day then exemplar_trace_ids end as exemplar_trace_ids,
                    case when event_date >= $window then latency_histogram end as latency_histogram
                from failure_signatures where event_date <= $day
                qualify event_date >= $from_day or event_date = min(event_date) over (partition by message_id)""",
                recent,
            ),
            totals=read(
                """
                select * replace (case when event_date >= $window then latency_histogram end as latency_histogram)
                from call_totals where event_date between $from_day and $day""",
                recent,
            ),
            signals=read(
                "select * from conversation_signals where event_date between $from_day and $day", until
            ),
            summarised=self._summarised(until["from_day"], day),
        )

    def _summarised(self, first: date, last: date) -> pd.DataFrame:
        days = [day for day in self.lake.days("node_summaries") if first <= day <= last]
        return pd.DataFrame(
            [(day, node) for day in days for node in self.summaries.nodes(day)],
            columns=["event_date", "node_id"],
        )

    def mark_analysed(self, days: Iterable[date]) -> None:
        """Record that these days were analysed as the lake holds them now, so that the sensor asks for them again only when they change."""
        for day in days:
            self.index.mark_analysed(day, self.lake.content_of(day))

    def expire(self, analysed: date, *, today: date) -> list[date]:
        """Remove the raw events of days past retention, up to a day whose sums and those before it are stored; return those days."""
        keep = self.settings.retention_days
        return self.lake.expire(min(today, analysed + timedelta(days=keep + 1)), keep) if keep else []

    def suspects(self, days: Iterable[date]) -> dict[str, list[str]]:
        """Return what error records suspect of the failures of `days`, by message id: prompts, configs and tools, most named first.

        A record is joined to the failed calls that have its `request_id`; one that matches none names nothing.
        """
        records, traces = (
            [os.fspath(path.resolve()) for path in self.lake.files(name, days)]
            for name in ("error_records", "raw_traces")
        )
        if not records or not traces:
            return {}
        with self.engine.connect() as connection:
            connection.read_parquet(records).create_view("fl_records")
            connection.read_parquet(traces, hive_partitioning=False).create_view("fl_traces")
            # The signature SQL sums by node: with the request in the node's place it tells each request's message.
            connection.execute("""create temp table fl_explained as select * replace (request_id as node_id) from fl_traces
                where not success and request_id in (select request_id from fl_records)""")
            connection.execute(f"create temp table fl_messages as {signature_sql('fl_explained')}")
            named = connection.sql("""
                with suspects as (
                    select request_id, unnest(list_distinct(suspected_prompts_or_configs || contributing_tools)) as suspect from fl_records)
                select message_id, suspect, sum(failures) as times from fl_messages join suspects on node_id = request_id
                where suspect <> '' group by all order by message_id, times desc, suspect""")
            found: dict[str, list[str]] = {}
            for message_id, suspect, _ in named.fetchall():
                found.setdefault(message_id, []).append(suspect)
        return found

    def recount(self, day: date) -> dict[str, int]:
        """Count the failures of each pattern of a day's window anew, from the lake's events and summaries and not from any stored sum."""
        by_message: Counter[str] = Counter()
        days = self.window(day).days
        self.engine.expect(
            [each for each in days if self._counted_as("failure_signatures", each) not in _COUNTED]
        )
        for each in days:
            by_message.update(self._counted(each))
        counted: Counter[str] = Counter()
        for row in self.warehouse.read_day("pattern_members", day):
            counted[row["pattern_id"]] += by_message[row["message_id"]]
        return dict(counted)

    def _counted(self, day: date) -> Counter[str]:
        """Failures of a day by message id: as this process counted them from what the lake holds now, or else counted anew."""
        found: Counter[str] = Counter()
        for table, count in (("failure_signatures", self._sums), ("conversation_signals", self._signals)):
            if (key := self._counted_as(table, day)) not in _COUNTED:
                count(day)
            found.update(_COUNTED[key])
        return found

    def _counted_as(self, table: str, day: date) -> tuple[str, str, date, str]:
        return table, str(self.settings.lake_folder.resolve()), day, self.lake.content_of(day)

    def playbooks(self, day: date) -> list[Playbook]:
        """Return the day's playbooks as stored, by id."""
        return [_playbook(row) for row in self.warehouse.read_day("playbooks", day)]

    def earlier_playbooks(self, day: date) -> list[dict[str, Any]]:
        """Return the rows of playbooks of the days before `day`."""
        return self.warehouse.rows(
            "select * from playbooks where event_date < $day order by event_date, improvement_id",
            {"day": day},
        )

    def store_playbooks(self, day: date, playbooks: Sequence[Playbook]) -> int:
        """Replace the day's playbooks, in the table and as files; return how many there are.

        A day that is materialised after a later one makes that one's history longer, so the later days are numbered anew.
        """
        self._write_playbooks(day, playbooks)
        later = self.warehouse.rows(
            "select count(*) as n from playbooks where event_date > $day", {"day": day}
        )[0]["n"]
        if later:
            changed = renumber(self.warehouse.rows("select * from playbooks"))
            for each in sorted({row["event_date"] for row in changed}):
                renewed = {
                    row["improvement_id"]: _playbook(row) for row in changed if row["event_date"] == each
                }
                self._write_playbooks(
                    each, [renewed.get(one.improvement_id, one) for one in self.playbooks(each)]
                )
        return len(playbooks)

    def _write_playbooks(self, day: date, playbooks: Sequence[Playbook]) -> None:
        records = (
            playbook.model_dump()
            | {
                "suggested_changes": json.dumps(playbook.suggested_changes, sort_keys=True),
                "created_at": playbook.created_at.astimezone(UTC).replace(tzinfo=None),
                "is_actionable": not playbook.held_because,
            }
            for playbook in playbooks
        )
        self.warehouse.replace_records("playbooks", day, records)
        write_playbooks(self.settings.playbook_path, day, playbooks)

    @cached_property
    def adapters(self) -> AdapterStore:
        """Adapters: what is offered, installed and in use."""
        return AdapterStore(self.settings)

    def store_catalogue(self, day: date, offered: Sequence[Offered]) -> int:
        """Replace the day's catalogue of adapters; return how many versions it has."""
        if not offered and self.warehouse.manifest("adapter_catalogue", day) is None:
            return 0  # most fleets have no source, and a commit for each day of a backfill would cost more than the rest of the step
        return self.warehouse.replace_records("adapter_catalogue", day, (one.model_dump() for one in offered))

    def adapter_offers(self, day: date) -> list[AdapterOffer]:
        """Return what was offered when the day was analysed, by adapter and newest first."""
        rows = self.warehouse.read_day("adapter_catalogue", day)
        offered = [
            Offered(**{name: value for name, value in row.items() if name != "event_date"}) for row in rows
        ]
        return [one.offer() for one in newest_first(offered)]

    def store_decisions(self, day: date, decisions: Iterable[Decision]) -> int:
        """Replace the day's decisions; return how many there are."""
        return self.warehouse.replace_records(
            "update_decisions", day, (decision.model_dump() for decision in decisions)
        )

    @cached_property
    def failure_classes(self) -> tuple[ClassRule, ...]:
        """Rules of the failure classes."""
        return rule_files.load_failure_classes()

    @cached_property
    def corrections(self) -> Corrections:
        """People's merges and splits."""
        return rule_files.load_corrections(self.settings.corrections_path)

    @cached_property
    def remedies(self) -> tuple[Remedy, ...]:
        """Remedy rules, the user's first."""
        return rule_files.load_remedies(self.settings.remedies_path)

    @cached_property
    def update_policy(self) -> UpdatePolicy:
        """Config keys that may change; none without a policy file."""
        return rule_files.load_policy(self.settings.update_policy_path)

    @property
    def configs(self) -> ConfigFiles | None:
        """The config files beside the update policy; None without a policy."""
        path = self.settings.update_policy_path
        return ConfigFiles(path.parent, self.settings.data_path / "configs") if path else None

    def _refresh(
        self, names: tuple[str, ...], until: date, compute: Callable[[date], dict[str, pa.Table]]
    ) -> list[date]:
        # A window reaches back over days that may never have had a cycle of their own, or that got late events since. What a day's sums were
        # made from is in the manifest, so days that have not changed cost a file read each.
        days = [day for day in self.days_with_events(until) if not self._is_expired(day)]
        stale = [
            day for day in days if any(self._inputs_of(name, day) != self._inputs_now(day) for name in names)
        ]
        for start in range(0, len(stale), DAYS_A_COMMIT):
            batch = stale[start : start + DAYS_A_COMMIT]
            self.engine.expect(batch)
            inputs = {
                day: self._inputs_now(day) for day in batch
            }  # before: what another process stores meanwhile makes these days stale again
            computed = {day: compute(day) for day in batch}
            for name in names:
                self.warehouse.replace_days(name, {day: computed[day][name] for day in batch}, inputs=inputs)
        return stale

    def _is_expired(self, day: date) -> bool:
        """Whether retention removed a day's events: its sums are all that is left."""
        manifest = self.lake.manifest("raw_traces", day)
        return manifest is not None and manifest.is_expired

    def _inputs_now(self, day: date) -> str:
        """What a day's sums would be made from now: its events, and the SQL that sums them, so that a release with other masks sums anew."""
        return f"{self.lake.content_of(day)} by {_SUMS_VERSION}"

    def _inputs_of(self, table_name: str, day: date) -> str | None:
        manifest = self.warehouse.manifest(table_name, day)
        return manifest["inputs"] if manifest else None


def _playbook(row: dict[str, Any]) -> Playbook:
    fields = {name: value for name, value in row.items() if name not in ("event_date", "is_actionable")}
    changes = json.loads(fields.pop("suggested_changes"))
    created_at = row["created_at"].replace(tzinfo=UTC)
    return Playbook(
        **(fields | {"day": row["event_date"], "suggested_changes": changes, "created_at": created_at})
    )
