"""The default engine of sums: DuckDB, in process, over a day's Parquet.

What goes here: running the statements of this stage. What does not: the statements (`masking.py`,
`conversations.py`), storing the results (`store.py`).
"""

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from fl_assets.core.tables import CONVERSATION_LOGS, CONVERSATION_SIGNALS, FAILURE_SIGNATURES, RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.lake_views import view_days
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import blank_digits, call_totals_sql, failures_sql, signatures_of_sql

PART_ROWS = 100_000
"""Failures that are summed at once: each may have a message of its own."""


class SummingEngine(DuckDBEngine):
    """Ingests events, and sums a day of them."""

    def signatures(self, day: date) -> tuple[pa.Table, pa.Table]:
        """Return a day's failure signatures and call totals, in the columns of those tables."""
        with self.connect() as connection:
            view_days(connection, self.lake, RAW_TRACES, [day])
            return sums_of(connection)

    def expect(self, days: Sequence[date]) -> None:
        """Do nothing: each day is summed by itself."""

    def conversation_signals(self, day: date) -> pa.Table:
        """Return a day's signals of failure in conversations, in the columns of that table."""
        if not self.lake.files(CONVERSATION_LOGS.name, [day]):
            return CONVERSATION_SIGNALS.arrow_schema.empty_table()
        with self.connect() as connection:
            for table in (RAW_TRACES, CONVERSATION_LOGS):
                view_days(connection, self.lake, table, [day])
            statement = conversation_signals_sql(CONVERSATION_LOGS.name, RAW_TRACES.name)
            return connection.sql(statement).to_arrow_table()


def sums_of(connection: duckdb.DuckDBPyConnection) -> tuple[pa.Table, pa.Table]:
    """Return failure signatures and call totals of a connection's `raw_traces`.

    Messages are summed in parts, by their hash: what DuckDB keeps of a message while it sums cannot spill.
    """
    connection.create_function("blank_digits", blank_digits, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
    failures = failures_sql(RAW_TRACES.name, "blank_digits")
    connection.execute(f"create or replace temp table fl_failures as {failures}")
    ((rows,),) = connection.execute("select count(*) from fl_failures").fetchall()
    parts = 1 + rows // PART_ROWS
    found = []
    for part in range(parts):
        of_part = f"(select * from fl_failures where hash(message_id) % {parts} = {part})"  # noqa: S608 - numbers
        found.append(connection.sql(signatures_of_sql(of_part)).to_arrow_table())
    connection.execute("drop table fl_failures")
    connection.remove_function("blank_digits")  # which all connections of an instance would have
    order = [(name, "ascending") for name in FAILURE_SIGNATURES.key]
    signatures = found[0] if parts == 1 else pa.concat_tables(found).sort_by(order)
    return signatures, connection.sql(call_totals_sql(RAW_TRACES.name)).to_arrow_table()
