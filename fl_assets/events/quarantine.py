"""Refused lines and files: collected with bounds, redacted, and staged on a day.

What goes here: what is stored of a refusal, and how many events were lost with it. What does not: why a line
is refused (`event.py`, `formats/`), what a file of no known format looks like (`unread.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date

import duckdb
import pyarrow as pa

from fl_assets.core.tables import CONVERSATION_LOGS, QUARANTINED_EVENTS, RAW_TRACES
from fl_assets.events.days import with_neighbours
from fl_assets.events.event import excerpt, safe_redact
from fl_assets.events.formats.seam import early_in_words
from fl_assets.events.read import MAX_EXAMPLES, Reading
from fl_assets.infra.lake import Lake, Manifest
from fl_assets.infra.lake_views import view_days

_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """A refused line, or a count of them, as it is stored."""

    file_no: int
    source_line: int
    """From 1; 0 for the file as a whole."""
    reason: str
    detail: str
    excerpt: str
    """Redacted start of the line."""
    line_bytes: int
    events: int = 1
    """Events that were lost with it, as far as known."""
    lines: int = 1


_TYPES = {int: pa.int64(), str: pa.string()}
_SCHEMA = pa.schema([(one.name, _TYPES[one.type]) for one in fields(Refused) if one.name != "lines"])  # ty: ignore[invalid-argument-type]


class RefusedLines:
    """Refused lines of many files: MAX_EXAMPLES of each file and reason, the others only counted."""

    def __init__(self) -> None:
        self.rows: list[Refused] = []
        self._seen: Counter[tuple[int, str]] = Counter()
        self._further: dict[tuple[int, str], Refused] = {}

    def has_room(self, file_no: int, reason: str) -> bool:
        """Whether the next such line is kept as an example; pass others to `count`."""
        self._seen[file_no, reason] += 1
        return self._seen[file_no, reason] <= MAX_EXAMPLES

    def count(self, file_no: int, line: int, reason: str, size: int) -> None:
        """Count a line without keeping it."""
        old = self._further.get((file_no, reason), Refused(file_no, line, reason, "", "", 0, 0, 0))
        number = old.events + 1
        detail = f"{number:,} more lines like those"
        self._further[file_no, reason] = Refused(
            file_no, old.source_line, reason, detail, "", old.line_bytes + size, number, number
        )

    def all(self) -> list[Refused]:
        """Return the examples and the counts."""
        return [*self.rows, *self._further.values()]


def refused_early(early: Counter[tuple[int, date]], start: date) -> Iterator[Refused]:
    """Yield for each file how many of its events are older than the first day that is analysed."""
    for file_no in sorted({file_no for file_no, _ in early}):
        days = [day for other, day in early if other == file_no]
        count = sum(early[file_no, day] for day in days)
        yield Refused(file_no, 0, "before_start", early_in_words(count, "events", start, min(days)), "", 0, 0)


def refused_of(file_no: int, reading: Reading, clean: Callable[[str], str]) -> list[Refused]:
    """Return what was refused while a file was read, redacted."""
    reading.close()
    return [
        Refused(
            file_no,
            one.line,
            one.reason,
            safe_redact(one.detail, clean),
            excerpt(one.start, clean),
            one.size,
            one.events,
            one.lines,
        )
        for one in reading.problems
    ]


def stage_refused(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    rows: Iterable[Refused],
    fallback: dict[int, date],
    clean: Callable[[str], str],
) -> int:
    """Stage refused lines as `fl_bad`, each on the day of the last event before it in its file.

    `fallback` is the day of a line without an event before it, by file. Returns how many there are that were
    not stored before.
    """
    given = [
        {name: getattr(row, name) for name in _SCHEMA.names}
        | {"detail": safe_redact(row.detail, clean)[:_MAX_DETAIL]}
        for row in sorted(rows)
    ]
    connection.register("fl_given", pa.Table.from_pylist(given, schema=_SCHEMA))
    of_file = {"file_no": pa.array(fallback, pa.int32()), "day": pa.array(fallback.values(), pa.date32())}
    connection.register("fl_days", pa.table(of_file))
    columns = ", ".join(QUARANTINED_EVENTS.column_names)
    connection.execute(f"""
        create temp table fl_bad as
        with events as (
            select file_no, line_no, event_date from fl_stage where file_no in (select file_no
                from fl_given)),
        dated as (
            select b.*, coalesce(e.event_date, d.day) as event_date, s.path as source_file, coalesce(s.node,
                'unknown') as node_id
            from fl_given b join fl_sources s using (file_no) join fl_days d using (file_no)
            asof left join events e on b.file_no = e.file_no and b.source_line >= e.line_no)
        select distinct {columns} from dated""")  # noqa: S608 - our own names
    connection.unregister("fl_given")
    days = connection.execute("select distinct event_date from fl_bad").fetchall()
    if files := lake.paths("quarantined_events", with_neighbours(day for (day,) in days)):
        # A file that is refused as a whole is the same refusal however much it grew.
        connection.execute(
            """delete from fl_bad using (
                    select source_file, source_line, reason, excerpt, line_bytes
                    from read_parquet($files, hive_partitioning = false)) known
                where fl_bad.source_file = known.source_file and fl_bad.source_line = known.source_line
                    and fl_bad.reason = known.reason
                    and (fl_bad.source_line = 0 or (fl_bad.excerpt = known.excerpt
                        and fl_bad.line_bytes = known.line_bytes))""",
            {"files": files},
        )
    return connection.execute("select count(*) from fl_bad").fetchall()[0][0]


def lost_events(manifest: Manifest | None) -> int:
    """Return how many events of a day were lost with refused lines.

    Without a count it is none, unless the day is of a release that counted each line as one, and no files.
    """
    if manifest is None:
        return 0
    return int(manifest.stats.get("lost_events", 0 if "unread_files" in manifest.stats else manifest.rows))


_FEW_EVENTS = 0.1
"""Share of a day's events below which a folder of several nodes' names counts as one node."""
_BY_FOLDER = """
    with events as (
        select source_file, node_id, 0 as lost from raw_traces
        union all by name select source_file, node_id, 0 as lost from conversation_logs
        union all by name select source_file, null as node_id, coalesce(events, 1) as lost
            from quarantined_events)
    select if(contains(source_file, '/'), split_part(source_file, '/', 1), '') as folder,
        list(distinct node_id) filter (node_id is not null) as nodes, count(node_id) as read,
        sum(lost)::bigint as lost
    from events group by all order by lost desc, folder"""


def lost_elsewhere(
    connection: duckdb.DuckDBPyConnection, lake: Lake, day: date, *, worst: int, others: int
) -> int:
    """Return how many events of a day were lost, but for the `worst` nodes that lost most.

    A node is a folder from which one node at the most was read, or so little that it is no part of a fleet:
    a node may write any names. None is left out where fewer than `others` nodes were read from the other
    folders: then there is no fleet that could go on without it.
    """
    try:
        for table in (RAW_TRACES, CONVERSATION_LOGS, QUARANTINED_EVENTS):
            view_days(connection, lake, table, [day])
        found = connection.execute(_BY_FOLDER).fetchall()
    except duckdb.Error:  # a damaged file, which the gate names
        return lost_events(lake.manifest_or_damage(QUARANTINED_EVENTS.name, day))
    few = _FEW_EVENTS * sum(read for _, _, read, _ in found)
    left_out = [
        folder
        for folder, nodes, read, lost in found
        if folder and lost and (len(nodes or ()) <= 1 or read < few)
    ][:worst]
    rest = {node for folder, nodes, *_ in found if folder not in left_out for node in nodes or ()}
    is_enough = len(rest) >= others
    return sum(lost for folder, *_, lost in found if not (is_enough and folder in left_out))
