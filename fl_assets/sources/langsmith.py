"""LangSmith: a day's runs in one project, with their feedback (query API v2; v1 on older servers).

Source: LangSmith's API reference (`POST /api/v2/runs/query`, `POST /api/v1/runs/query`,
`GET /api/v1/sessions`).
"""

import re
from collections.abc import Mapping
from typing import Any

from fl_assets.sources.source import Ask, Page, SourceError, SourceKind, objects_in, rfc3339

_SELECTED = (
    "id", "name", "run_type", "status", "start_time", "end_time", "error", "inputs", "outputs", "extra",
    "trace_id", "dotted_order", "feedback_stats", "prompt_tokens", "completion_tokens", "total_cost",
)  # fmt: skip
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def page(ask: Ask) -> Page:
    """Return a page of runs."""
    cursor = ask.cursor
    project = cursor.get("project") or _project(ask)
    kept = {"project": project, "version": cursor.get("version", 2)}
    try:
        runs, after = (_newer if kept["version"] == 2 else _older)(ask, project, cursor.get("at"))
    except SourceError as error:
        if error.status not in (404, 405) or cursor.get("version"):
            raise
        return Page((), {"project": project, "version": 1})
    named = [{**one, "session_name": ask.source.project} for one in runs]
    return Page(named, {**kept, "at": after} if after else None)


def _newer(ask: Ask, project: str, at: Any) -> tuple[list[Any], Any]:
    body = {
        "project_ids": [project],
        "min_start_time": rfc3339(ask.day.start),
        "max_start_time": rfc3339(ask.day.end),
        "page_size": ask.rows(100, 1000),
        "selects": [name.upper() for name in (*_SELECTED, "parent_run_ids", "project_id", "thread_id")],
        **({"cursor": at} if at else {}),
    }
    answer = ask.api.post("/api/v2/runs/query", body)
    return [_as_before(one) for one in objects_in(answer, "items")], answer.get("next_cursor")


def _as_before(run: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run of v2 to the fields of v1 and of exports."""
    parents = run.get("parent_run_ids")
    lower = {name: str(run[name]).lower() for name in ("run_type", "status") if run.get(name)}
    parent = {"parent_run_id": parents[-1]} if isinstance(parents, list) and parents else {}
    return {**run, **lower, **parent, "session_id": run.get("project_id")}


def _older(ask: Ask, project: str, at: Any) -> tuple[list[Any], Any]:
    start, end = rfc3339(ask.day.start), rfc3339(ask.day.end)
    body = {
        "session": [project],
        "start_time": start,
        "filter": f'and(gte(start_time, "{start}"), lt(start_time, "{end}"))',
        "limit": ask.rows(100, 100),
        "select": [*_SELECTED, "parent_run_id", "session_id"],
        **({"cursor": at} if at else {}),
    }
    answer = ask.api.post("/api/v1/runs/query", body)
    cursors = answer.get("cursors") if isinstance(answer, Mapping) else None
    return list(objects_in(answer, "runs")), cursors.get("next") if isinstance(cursors, Mapping) else None


def _project(ask: Ask) -> str:
    source = ask.source
    if _UUID.fullmatch(source.project):
        return source.project
    if not source.project:
        raise SourceError("project is not given in sources.yaml: LangSmith wants the name or id of one")
    found = ask.api.get("/api/v1/sessions", [("name", source.project), ("limit", 1)])
    if isinstance(found, list) and found and isinstance(found[0], Mapping) and found[0].get("id"):
        return str(found[0]["id"])
    raise SourceError(f"LangSmith has no project {source.project!r}")


def _headers(_: str, token: str) -> dict[str, str]:
    return {"x-api-key": token} if token else {}


KIND = SourceKind(headers=_headers, page=page)
