"""Phoenix: a day's spans, and their annotations (REST API).

Source: Arize-ai/phoenix, `src/phoenix/server/api/routers/v1/spans.py`, `annotations.py`.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

from fl_assets.sources.source import Ask, Page, SourceError, SourceKind, basic_or_bearer, objects_in

_IDS = 100
"""Spans whose annotations are asked for at once; their ids are in the URL."""
_MAX_LISTS = 1000
"""Answers that a list of projects, or of annotations of these spans, may be divided into."""


def page(ask: Ask) -> Page:
    """Return a page of spans, and their annotations after them."""
    name, cursor = ask.source.project or "default", ask.cursor
    project = cursor.get("project") or _project(name, ask)
    path = f"/v1/projects/{quote(project, safe='')}"
    query = [
        *ask.between("start_time", "end_time"),
        ("limit", ask.rows(1000, 1000)),
        ("cursor", cursor.get("at")),
    ]
    answer = ask.api.get(f"{path}/spans", query)
    spans = [{**one, "project_name": name} for one in objects_in(answer, "data")]
    after = answer.get("next_cursor")
    records = chain(spans, _annotations(path, spans, ask))
    return Page(records, {"project": project, "at": after} if after else None)


def _project(name: str, ask: Ask) -> str:
    """Return the id of a project, as its name may not fit into a URL."""
    at, seen = None, []
    for _ in range(_MAX_LISTS):
        answer = ask.api.get("/v1/projects", [("limit", 1000), ("cursor", at)])
        for one in objects_in(answer, "data"):
            if name in (one.get("name"), one.get("id")) and one.get("id"):
                return str(one["id"])
            seen.append(str(one.get("name")))
        at = answer.get("next_cursor")
        if not at:
            break
    raise SourceError(f"Phoenix has no project {name!r}; there are: {', '.join(seen)[:500]}")


def _annotations(path: str, spans: list[dict[str, Any]], ask: Ask) -> Iterator[Any]:
    contexts = [one["context"] for one in spans if isinstance(one.get("context"), dict)]
    traces = {str(one.get("span_id")): one.get("trace_id") for one in contexts}
    ids = list(traces)
    for start in range(0, len(ids), _IDS):
        given = [("span_ids", one) for one in ids[start : start + _IDS]]
        at = None
        for _ in range(_MAX_LISTS):
            try:
                answer = ask.api.get(f"{path}/span_annotations", [*given, ("limit", 1000), ("cursor", at)])
            except SourceError as error:
                if error.status in (404, 405):  # of a server before 8.0, which keeps none of them
                    return
                raise
            for one in objects_in(answer, "data"):
                yield {**one, "trace_id": traces.get(str(one.get("span_id")))}
            at = answer.get("next_cursor")
            if not at:
                break


KIND = SourceKind(headers=basic_or_bearer, page=page)
