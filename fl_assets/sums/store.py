"""Daily sums in the warehouse, kept up to date with the lake.

What goes here: `failure_signatures`, `call_totals` and `conversation_signals`, of raw events and of
summaries. What does not: summing a day (the engines), what the sums mean (`patterns/`).
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from fl_assets.core.tables import CALL_TOTALS, CONVERSATION_SIGNALS, FAILURE_SIGNATURES, Table
from fl_assets.infra.result_files import ResultFileError
from fl_assets.infra.warehouse import Warehouse, in_batches
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.engine import SummingEngine
from fl_assets.sums.masking import call_totals_sql, signature_sql
from fl_assets.sums.summaries import Summaries

SUMS_VERSION = hashlib.sha256(
    "\n".join((signature_sql("t"), call_totals_sql("t"), conversation_signals_sql("c", "t"))).encode()
).hexdigest()[:12]
"""Hash of the statements: a release with other masks sums every day again."""


@dataclass(frozen=True)
class SumsStore:
    """The sums of each day."""

    warehouse: Warehouse
    engine: SummingEngine
    summaries: Summaries
    """Sums of the nodes that send no events."""
    usable_days: Callable[[list[date]], list[date]]
    """Filters days by whether their events may be summed."""

    def refresh_signatures(self, days: Collection[date]) -> list[date]:
        """Update failure_signatures and call_totals of these days; return the days that were out of date."""
        return self._refresh(("failure_signatures", "call_totals"), days, self._signatures)

    def refresh_conversations(self, days: Collection[date]) -> list[date]:
        """Update conversation_signals of these days; return the days that were out of date."""
        return self._refresh(("conversation_signals",), days, self._conversations)

    def largest_signatures(self, day: date, most: int) -> tuple[dict[str, int], list[dict[str, Any]]]:
        """Return what a day's failure_signatures add up to, and those with most failures.

        A day may have a million rows, so none but these are read.
        """
        (sums,) = self.warehouse.rows(
            "select coalesce(sum(failures), 0)::bigint as failures, count(distinct message_id) "
            "as distinct_messages, count(*) as rows from failure_signatures where event_date = $day",
            {"day": day},
        )
        columns = "failures, node_id, service, method, masked_error"
        largest = self.warehouse.rows(
            f"select {columns} from failure_signatures where event_date = $day "  # noqa: S608 - our own names
            "order by failures desc, message_id, node_id limit $most",
            {"day": day, "most": most},
        )
        return sums, largest

    def _signatures(self, day: date) -> dict[str, pa.Table]:
        signatures, totals = self.engine.signatures(day)
        summarised = self.summaries.rows(day)
        return {
            "failure_signatures": self._with_summaries(
                FAILURE_SIGNATURES, day, signatures, summarised.signatures
            ),
            "call_totals": self._with_summaries(CALL_TOTALS, day, totals, summarised.totals),
        }

    def _conversations(self, day: date) -> dict[str, pa.Table]:
        raw, summarised = self.engine.conversation_signals(day), self.summaries.rows(day).signals
        return {"conversation_signals": self._with_summaries(CONVERSATION_SIGNALS, day, raw, summarised)}

    def _with_summaries(
        self, table: Table, day: date, raw: pa.Table, summarised: list[dict[str, Any]]
    ) -> pa.Table:
        """Add summaries to sums of raw events, and drop the raw ones of nodes that sent a summary."""
        nodes = self.summaries.nodes(day)
        if not nodes:
            return raw
        is_raw = [node not in nodes for node in raw["node_id"].to_pylist()]
        kept = raw.filter(pa.array(is_raw, pa.bool_())).cast(table.arrow_schema)
        return pa.concat_tables([kept, pa.Table.from_pylist(summarised, schema=table.arrow_schema)])

    def _refresh(
        self, names: tuple[str, ...], days: Collection[date], compute: Callable[[date], dict[str, pa.Table]]
    ) -> list[date]:
        # A window reaches back over days that had no cycle of their own, or got late events since. The
        # manifest has the inputs of a day's sums, so that an unchanged day costs one read of a file.
        stale = [day for day in days if not self._is_expired(day) and self._is_stale(names, day)]
        stale = self.usable_days(stale)
        for batch in in_batches(stale):
            self.engine.expect(batch)
            # Read first, so that what another process stores meanwhile makes these days stale again.
            inputs = {day: self._inputs_now(day) for day in batch}
            computed = {day: compute(day) for day in batch}
            for name in names:
                by_day = {day: tables[name] for day, tables in computed.items()}
                self.warehouse.replace_days(name, by_day, inputs=inputs)
        return stale

    def _is_stale(self, names: tuple[str, ...], day: date) -> bool:
        try:
            return any(self._inputs_of(name, day) != self._inputs_now(day) for name in names)
        except ResultFileError:  # sums of events that are there are made again
            return True

    def _is_expired(self, day: date) -> bool:
        """Whether retention removed a day's events, so that only its sums are left."""
        manifest = self.engine.lake.manifest_or_damage("raw_traces", day)
        return manifest is not None and manifest.is_expired

    def _inputs_now(self, day: date) -> str:
        """Return what a day's sums would be made from now: its events, and the statements."""
        return f"{self.engine.lake.content_of(day)} by {SUMS_VERSION}"

    def _inputs_of(self, table_name: str, day: date) -> str | None:
        manifest = self.warehouse.manifest(table_name, day)
        return manifest["inputs"] if manifest else None
