"""Parquet tables: one record per row, read in batches of bounded size.

Such are Langfuse's and LangSmith's bulk exports, ClickHouse's `otel_traces` and `otel_logs`, and Phoenix'
data frames.

A file of some 50 kB can stand for gigabytes: one long text that all rows repeat, or texts that are packed
well. So texts are read as a dictionary, whose entries are not repeated in memory, and measured before rows
are made of them; what is packed more than telemetry is read row by row.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError, as_texts, line_of, value_of

_BATCH_ROWS = 256
_MAX_BATCH_BYTES = 4 * MAX_RECORD_BYTES
_USUAL_RATIO = 60
"""Highest compression ratio of telemetry."""
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
        metadata = pq.read_metadata(file)
        columns = [metadata.schema.column(place) for place in range(len(metadata.schema))]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        table = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, pre_buffer=False)
        is_binary = "binary" in str(table.schema_arrow)
        for batch in _batches(table):
            size = sum(map(_bytes_of, batch.columns))
            if size > _MAX_BATCH_BYTES:
                raise BadRowsError(
                    f"{len(batch)} rows hold {size:,} bytes, more than are read at once", "over_limit"
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


def _batches(table: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    for group in range(table.num_row_groups):
        yield from table.iter_batches(
            _rows_at_once(table.metadata.row_group(group)), row_groups=[group], use_threads=False
        )


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    """Return how many rows of a group are read at once, by what its columns say that they unpack to."""
    columns = [group.column(place) for place in range(group.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns)
    if size <= _MAX_BATCH_BYTES:
        return _BATCH_ROWS
    if size > _USUAL_RATIO * sum(column.total_compressed_size for column in columns):
        return 1
    return max(1, min(_BATCH_ROWS, _MAX_BATCH_BYTES * group.num_rows // size))


def _bytes_of(array: pa.Array) -> int:
    """Return the bytes of an array's values, each of a dictionary's as often as it is there."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if pa.types.is_map(kind):
        entries = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return sum(_bytes_of(side[entries[0] : entries[1]]) for side in (array.keys, array.items))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _bytes_of(array.flatten())
    if pa.types.is_struct(kind):
        return sum(map(_bytes_of, array.flatten()))
    return array.nbytes
