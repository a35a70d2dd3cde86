"""ClickHouse: a day's rows of the Collector's tables `otel_traces` and `otel_logs` (HTTP interface).

A page begins at the time of the last row of the page before, and skips the rows already read with that time:
offsets stay small, and rows that share a nanosecond are not lost. Times are converted to UTC.

Source: ClickHouse's documentation, "HTTP interface" and "Queries with parameters";
opentelemetry-collector-contrib, `exporter/clickhouseexporter`.
"""

from typing import Any

from fl_assets.infra.json_text import lenient_json
from fl_assets.sources.source import Ask, Page, SourceError, SourceKind

_UTC = "toTimeZone(t.Timestamp, 'UTC') as Timestamp"
_EVENTS = "arrayMap(x -> toTimeZone(x, 'UTC'), t.`Events.Timestamp`) as `Events.Timestamp`"
_SQL = """\
select * replace ({replaced}) from {table} as t
where t.Timestamp >= toDateTime64({{start:String}}, 9, 'UTC')
  and t.Timestamp < toDateTime64({{end:String}}, 9, 'UTC')
order by {order} limit {{rows:UInt64}} offset {{skip:UInt64}}
format JSONEachRow"""
_TABLES = {
    "otel_traces": _SQL.format(
        table="otel_traces", replaced=f"{_UTC}, {_EVENTS}", order="t.Timestamp, t.TraceId, t.SpanId"
    ),
    "otel_logs": _SQL.format(
        table="otel_logs", replaced=_UTC, order="t.Timestamp, t.TraceId, t.SpanId, t.Body"
    ),
}


def page(ask: Ask) -> Page:
    """Return a page of traces, after them of logs where `logs` is set."""
    source, span, cursor = ask.source, ask.day, ask.cursor
    table = cursor.get("table", "otel_traces")
    start, skip = cursor.get("at", f"{span.start:%Y-%m-%d %H:%M:%S}"), int(cursor.get("skip", 0))
    limit = source.page_size or 10_000
    given = {"start": start, "end": f"{span.end:%Y-%m-%d %H:%M:%S}", "rows": limit, "skip": skip}
    query = [
        ("database", source.project or None),
        ("wait_end_of_query", 1),  # else a query that fails half way would have answered 200
        *((f"param_{name}", value) for name, value in given.items()),
    ]
    answer = ask.api.text("/", query, _TABLES[table])
    if answer.count(b"\n") > limit:
        raise SourceError(f"answers with more than the {limit} rows that were asked for")
    rows = answer.splitlines()
    if rows:
        _time(rows[0])
    if len(rows) < limit:
        return Page(rows, {"table": "otel_logs"} if source.logs and table == "otel_traces" else None)
    last, same = _time(rows[-1]), 0
    for row in reversed(rows):
        if _time(row) != last:
            break
        same += 1
    skipped = same + (skip if last == start else 0)
    return Page(rows, {"table": table, "at": last, "skip": skipped})


def _time(row: bytes) -> Any:
    try:
        return lenient_json(row)["Timestamp"]
    except (ValueError, KeyError, TypeError):
        raise SourceError("answers with rows that are not those of the Collector's exporter") from None


def _headers(user: str, token: str) -> dict[str, str]:
    named = {"x-clickhouse-user": user} if user else {}
    return named | ({"x-clickhouse-key": token} if token else {})


KIND = SourceKind(headers=_headers, page=page)
