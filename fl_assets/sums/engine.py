"""The default engine of sums: DuckDB, in process, over a day's Parquet.

What goes here: running the statements of this stage. What does not: the statements (`masking.py`,
`conversations.py`), storing the results (`store.py`).
"""

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from fl_assets.core.tables import CONVERSATION_LOGS, CONVERSATION_SIGNALS, RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.lake_views import view_days
from fl_assets.sums.conversations import conversation_signals_sql
from fl_assets.sums.masking import blank_digits, call_totals_sql, signature_sql


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
    """Return failure signatures and call totals of a connection's `raw_traces`."""
    connection.create_function("blank_digits", blank_digits, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
    signatures = connection.sql(signature_sql(RAW_TRACES.name, "blank_digits")).to_arrow_table()
    connection.remove_function("blank_digits")  # which all connections of an instance would have
    return signatures, connection.sql(call_totals_sql(RAW_TRACES.name)).to_arrow_table()
