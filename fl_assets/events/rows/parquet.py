"""Parquet tables: one record per row, read in batches of bounded size.

Such are Langfuse's and LangSmith's bulk exports, ClickHouse's `otel_traces` and `otel_logs`, and Phoenix'
data frames.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError, as_texts, line_of, value_of

_BATCH_ROWS = 256
_MAX_BATCH_BYTES = 4 * MAX_RECORD_BYTES
_MAGIC = b"PAR1"


def matches(start: bytes) -> bool:
    """Whether a file begins as Parquet does."""
    return start.startswith(_MAGIC)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each row as a line of JSON; texts with JSON become values.

    Raises:
        BadRowsError: the file is cut or damaged, or its rows are too large.
    """
    try:
        table = pq.ParquetFile(file, pre_buffer=False)
        is_binary = "binary" in str(table.schema_arrow)
        for batch in table.iter_batches(_BATCH_ROWS, use_threads=False):
            if batch.nbytes > _MAX_BATCH_BYTES:
                raise BadRowsError(
                    f"{len(batch)} rows hold {batch.nbytes:,} bytes, more than are read at once", "over_limit"
                )
            rows = batch.to_pylist(maps_as_pydicts="lossy")
            for row in map(as_texts, rows) if is_binary else rows:
                yield line_of(
                    {name: value_of(item) if isinstance(item, str) else item for name, item in row.items()}
                )
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, BadRowsError):
            raise
        raise BadRowsError(f"Parquet that cannot be read: {str(error)[:200]}") from error
