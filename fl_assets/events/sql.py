"""The SQL of staging: checks and derived columns of events before they are stored.

What does not go here: running it (`stage.py`), the rules of redaction (`redaction/`).
"""

from datetime import date
from typing import Literal

from fl_assets.core.tables import Column, Table
from fl_assets.events.event import FIRST_TELEMETRY, IDS, MAX_DEPTH
from fl_assets.events.redaction import ITEM_SEPARATOR
from fl_assets.events.redaction.safe_names import SAFE_KEY, SAFE_NAME

_LONG_LINE, _MANY_MARKS = 16_384, 1024
_DEEP_MARKS = MAX_DEPTH - 3
"""Metadata with more opening brackets may be nested too deep: it is itself at depth three."""
_DEEP_BYTES = 2 * _DEEP_MARKS

TEXTS = ("error", "user_query", "system_response")


_TRACE_CONTENT = (
    "event_id, timestamp, node_id, service, method, trace_id, request_id, duration_ms, success, error, "
    "caused_by, metadata"
)
_TURN_CONTENT = (
    "event_id, timestamp, node_id, log_id, session_id, trace_id, user_query, system_response, metadata"
)


def content_sql(kind: Literal["trace", "turn", "either"]) -> str:
    """Return SQL for the hash of an event's content: all columns but source and day."""
    trace, turn = f"hash({_TRACE_CONTENT})", f"hash({_TURN_CONTENT})"
    return {"trace": trace, "turn": turn, "either": f"case when is_trace then {trace} else {turn} end"}[kind]


def own_content_sql(kind: Literal["trace", "turn"]) -> str:
    """Return SQL for the same without the cause and the error, which may come from other files."""
    return content_sql(kind).replace("error, caused_by, ", "")


_SAFE_NAMES = f"(?:{SAFE_NAME}{ITEM_SEPARATOR})*{SAFE_NAME}"
_SAFE_METADATA = f'[{{](?:"{SAFE_KEY}":"{SAFE_NAME}",)*"{SAFE_KEY}":"{SAFE_NAME}"[}}]'
"""Metadata that no rule masks: known keys that name no secret, with safe names as values."""


def events_sql(events: str, start: date) -> str:
    """Return a SELECT of checks and derived columns of events, a row each: raw text, to be kept in memory.

    Lines that are `is_suspect` must go through `read_line`, `is_history` and `redact_event` instead; their
    other columns mean nothing. To be redacted: TEXTS; `names`, null where all names are safe; and entries of
    metadata by `keys` and `items`, null where all are safe. A node's name with U+FFFD is replaced by the
    folder's.

    Args:
        events: a relation of what `read_events` returns and (`row_no`, `node`: by folder or null, `received`:
            TIMESTAMP, UTC).
        start: first day that is analysed.
    """
    names = f"concat_ws(chr({ord(ITEM_SEPARATOR)}), {', '.join(IDS)})"
    in_time = """(payload_time is null
                or (payload_time >= '1' and payload_time < '3' and payload_time[11] in ('T', ' ', 't')))"""
    return f"""
    with fl_typed as (
        select * exclude (payload_time), coalesce(timestamp, payload_time) as time_text,
            case when timestamp is not null then nullif(payload_time, timestamp) end as payload_time,
            case when metadata <> '{{}}' then json_extract_string(metadata, ['$.node_id', '$.trace_id',
                '$.caused_by']) end as found
        from {events}),
    fl_events as (
        select * replace (coalesce(trace_id, case when has_turn then found[2] end) as trace_id,
            coalesce(caused_by, found[3]) as caused_by),
            coalesce(case when not contains(found[1], '\ufffd') then nullif(found[1], '') end, node,
                'unknown') as node_id,
            metadata = '{{}}' or regexp_full_match(metadata, '{_SAFE_METADATA}') as is_safe_metadata,
            case when strlen(time_text) < 19 or time_text < '1' or time_text >= '3'
                or time_text[11] not in ('T', ' ', 't') then null
                 when suffix(time_text, 'Z') then try_cast(time_text as timestamp)
                 else make_timestamp(epoch_us(try_cast(time_text as timestamptz))) end as event_time
        from fl_typed),
    fl_names as (
        select *, {names} as names, case when not is_safe_metadata then json_keys(metadata) end as keys,
            coalesce(event_time < timestamp '{start}' or event_time > received + interval 1 day, true)
                as has_clock_skew
        from fl_events)
    select row_no, has_clock_skew, coalesce(event_time, received) as timestamp, node_id, trace_id, caused_by,
        coalesce(
            event_id = '' or has_trace = has_turn
            or event_type <> case when has_trace then 'ExecutionTrace' else 'ConversationLog' end
            or has_control or not starts_with(metadata, '{{')
            or (event_time is null and time_text is not null) or not {in_time}
            or coalesce(
                event_time >= timestamp '{FIRST_TELEMETRY}' and event_time < timestamp '{start}', false)
            or case when not is_strict and strlen(metadata) > {_LONG_LINE}
                then length(regexp_replace(metadata, '[^\\[{{:]+', '', 'g')) > {_MANY_MARKS} else false end
            or case when not is_strict and strlen(metadata) > {_DEEP_BYTES}
                then length(regexp_replace(metadata, '[^\\[{{]+', '', 'g')) > {_DEEP_MARKS} else false end
            or (has_trace and (service = '' or method = ''))
            or (has_trace and coalesce(duration_ms < 0 or duration_ms >= 1e300, false))
            or case when keys is null then false else list_unique(keys) < len(keys) end, true)
        or event_id is null
        or (has_trace and (service is null or method is null or success is null)) as is_suspect,
        case when not regexp_full_match(names, '{_SAFE_NAMES}') then names end as names,
        keys, case when not is_safe_metadata then json_extract_string(metadata, '$.*') end as items,
        case when has_clock_skew then greatest(received::date, date '{start}')
            else event_time::date end as event_date
    from fl_names"""  # noqa: S608 - constants and names of our own only


SOURCES = Table(
    "fl_sources",
    "Files of a round.",
    ("file_no",),
    (
        Column("file_no", "INTEGER", "Number of the file within the round, from 0."),
        Column("path", "VARCHAR", "Its path, redacted."),
        Column("node", "VARCHAR", "The node by folder, or null."),
        Column("received", "TIMESTAMP", "When it was received, UTC."),
    ),
)
STAGE = Table(
    "fl_stage",
    "Columns of staged events that later steps need; the events are in Parquet already.",
    ("file_no", "line_no"),
    (
        Column("event_date", "DATE", "Day it belongs to."),
        Column("file_no", "INTEGER", "File it came from, by its number in `fl_sources`."),
        Column("line_no", "BIGINT", "Line within that file."),
        Column("is_trace", "BOOLEAN", "Whether it is a call, rather than a conversation turn."),
        Column("has_clock_skew", "BOOLEAN", "Whether its own time was out of range."),
        Column("masked", "VARCHAR", "What was masked in it, by `redacted_sql`, or null."),
        Column("content", "UBIGINT", "Hash of its content, by `content_sql`."),
        Column("id_hash", "UBIGINT", "Hash of its id."),
    ),
)
_STAGED = {"content": content_sql("either"), "id_hash": "hash(event_id)"}
"""Columns of STAGE that are expressions over an event."""


def staged_sql(events: str) -> str:
    """Return a SELECT of the rows of STAGE for events that are not suspect.

    `events` is what `events_sql` returns, redacted, with `masked`.
    """
    columns = ", ".join(f"{_STAGED.get(name, name)} as {name}" for name in STAGE.column_names)
    return f"select {columns} from {events} where not is_suspect"  # noqa: S608 - constants and names of our own only
