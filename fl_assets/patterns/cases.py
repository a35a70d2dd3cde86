# ruff: noqa: S608 - constants of our own only
"""Failed calls with what succeeded beside them, for people to keep as a regression set.

What goes here: which calls, and which of their values may be shown. What does not: file formats
(`report/case_files.py`).

The value of an argument is shown only when calls of `min_nodes` nodes have it; otherwise its type and size.
A message that fewer nodes have is shown masked, and an argument or method that fewer nodes have is left out.
Families of fewer nodes have no cases.
"""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from fl_assets.core.models import Record
from fl_assets.events.redaction import residue
from fl_assets.infra.json_text import lenient_json
from fl_assets.patterns.calls import open_calls

MAX_MESSAGE_CHARS = 600
MAX_ARGUMENTS = 20
Arguments = dict[str, Any]


class Case(Record):
    """One failed call and a call that succeeded."""

    case_id: str
    family_id: str
    service: str
    method: str
    day: date
    trace_id: str
    message: str
    failed_with: Arguments
    succeeded_with: Arguments | None
    succeeded_next: bool
    """Whether the success is the next attempt of the same session, and not just a call of the same method."""


_CHOSEN = """
    create temp table fl_cases as
    with steps as (
        select *, lead(call) over again as next_call, lead(success) over again as next_success
        from fl_focus window again as (partition by session, service, method order by place)),
    wide as (
        select family_id from fl_calls where family_id is not null group by family_id
            having count(distinct node_id) >= $min_nodes),
    named as (  -- models invent names of methods
        select service, method from fl_calls group by all having count(distinct node_id) >= $min_nodes),
    spread as (
        select family_id, call, event_date, event_id, service, method, arguments, node_id,
            coalesce(next_success, false) as is_next, case when next_success then next_call end as next_call,
            row_number() over (partition by family_id, node_id
                order by coalesce(next_success, false) desc, md5(event_id)) as of_node
        from steps join wide using (family_id) join named using (service, method)),
    newest as (
        select service, method, arg_max(call, (timestamp, event_id)) as call from fl_focus where success
            group by all)
    select s.*, coalesce(next_call, n.call) as other_call
    from spread s left join newest n using (service, method)
    qualify row_number() over (
        partition by family_id order by of_node, is_next desc, md5(event_id)) <= $most"""

_SHARED_VALUES = """
    with wanted as (select distinct service, method from fl_cases),
    given as (
        select node_id, service, method, unnest(map_entries(fields::map(varchar, json))) as entry
        from fl_focus join wanted using (service, method) where fields is not null)
    select service, method, entry.key as name, entry.value::varchar as value,
        count(distinct node_id) as nodes
    from given group by all having count(distinct node_id) >= $min_nodes
    union all
    select service, method, '', arguments, count(distinct node_id)
    from fl_focus join wanted using (service, method) where fields is null and arguments is not null
    group by all having count(distinct node_id) >= $min_nodes"""

_SHARED_NAMES = """
    with given as (
        select service, method, node_id, unnest(json_keys(fields)) as name from fl_focus
        where fields is not null)
    select service, method, name from given group by all having count(distinct node_id) >= $min_nodes"""


def _rows(source: str) -> str:
    return f"""
        with said as (
            select error, count(distinct node_id) as nodes from {source} where not success group by error)
        select c.event_id, c.family_id, c.service, c.method, c.event_date as day, r.trace_id,
            case when nodes >= $min_nodes then r.error else f.masked_error end as message,
            a.arguments as failed_arguments, b.arguments as other_arguments, c.is_next,
            b.call is not null as has_other
        from fl_cases c join fl_focus a using (call) left join fl_focus b on b.call = c.other_call
        join {source} r on r.event_date = c.event_date and r.event_id = c.event_id
        join fl_failed f on f.event_date = c.event_date and f.event_id = c.event_id
        left join said on said.error = r.error
        order by c.family_id, c.of_node, c.event_id"""


def cases(
    connection: Any, source: str, family_of: Mapping[str, str], *, events: int, min_nodes: int, most: int
) -> list[Case]:
    """Return at most `most` failed calls of each family, of as many nodes as possible.

    Args:
        connection: To DuckDB; temporary tables are made in it.
        source: A relation with the columns of `raw_traces`, redacted.
        family_of: Family of each masked message.
        events: Events in the window; of many, a share of the sessions is drawn.
        min_nodes: Nodes that must have a family, a value, a name or a message before it is shown.
        most: Cases of a family.
    """
    open_calls(connection, source, family_of, events=events)
    limits = {"min_nodes": min_nodes}
    connection.execute(_CHOSEN, limits | {"most": most})
    shared = {row[:4] for row in connection.execute(_SHARED_VALUES, limits).fetchall()}
    names = set(connection.execute(_SHARED_NAMES, limits).fetchall())
    found = connection.execute(_rows(source), limits)
    columns = [column[0] for column in found.description]
    return [_case(dict(zip(columns, row, strict=True)), shared, names) for row in found.fetchall()]


def _case(row: Mapping[str, Any], shared: set[tuple], names: set[tuple]) -> Case:
    place = (row["service"], row["method"])
    return Case(
        case_id=f"{row['family_id']}-{row['event_id'][:36]}",
        family_id=row["family_id"],
        service=row["service"],
        method=row["method"],
        day=row["day"],
        trace_id=row["trace_id"],
        message=_clean(row["message"] or "")[:MAX_MESSAGE_CHARS],
        failed_with=_arguments(row["failed_arguments"], place, shared, names),
        succeeded_with=_arguments(row["other_arguments"], place, shared, names) if row["has_other"] else None,
        succeeded_next=row["is_next"],
    )


def _arguments(text: str | None, place: tuple[str, str], shared: set[tuple], names: set[tuple]) -> Arguments:
    """Return a call's arguments by name, each value that too few nodes have as its type and size."""
    if not text:
        return {}
    try:
        fields = lenient_json(text.encode("utf-8", "replace"))
    except ValueError:
        fields = text
    if not isinstance(fields, dict):
        return {"": _clean(text) if (*place, "", text) in shared else _size(text)}
    shown = {}
    for name, value in list(fields.items())[:MAX_ARGUMENTS]:
        if (*place, name) not in names or residue(name):
            continue
        written = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        is_known = (*place, name, written) in shared and not residue(written)
        shown[name] = value if is_known or value is None else _size(value)
    return shown


def _size(value: Any) -> str:
    if isinstance(value, bool):
        return "<true or false>"
    if isinstance(value, int | float):
        return f"<number near {float(f'{Decimal(value):.0e}'):.12g}>"
    if isinstance(value, str):
        return f"<text of {len(value)} characters>"
    return f"<{'list' if isinstance(value, list) else 'object'} of {len(value)}>"


def _clean(text: str) -> str:
    return "" if residue(text) else text
