"""Phoenix: a day's spans, and their annotations (REST API).

Source: Arize-ai/phoenix, `src/phoenix/server/api/routers/v1/spans.py`, `annotations.py`.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import quote

from fl_assets.sources.source import (
    Asking,
    Cursor,
    Interval,
    Page,
    RemoteSource,
    SourceError,
    SourceKind,
    basic_or_bearer,
    objects_in,
    rfc3339,
)

_IDS = 100
"""Spans whose annotations are asked for at once; their ids are in the URL."""
_MAX_LISTS = 1000
"""Answers that a list of projects, or of annotations of these spans, may be divided into."""


def page(source: RemoteSource, span: Interval, cursor: Cursor, api: Asking) -> Page:
    """Return a page of spans, and their annotations after them."""
    project = cursor.get("project") or _project(source.project or "default", api)
    path = f"/v1/projects/{quote(project, safe='')}"
    query = [
        ("start_time", rfc3339(span.start)),
        ("end_time", rfc3339(span.end)),
        ("limit", min(source.page_size or 1000, 1000)),
        ("cursor", cursor.get("at")),
    ]
    answer = api.get(f"{path}/spans", query)
    spans = [{**one, "project_name": source.project or "default"} for one in objects_in(answer, "data")]
    after = answer.get("next_cursor")
    records = chain(spans, _annotations(path, spans, api))
    return Page(records, {"project": project, "at": after} if after else None)


def _project(name: str, api: Asking) -> str:
    """Return the id of a project, as its name may not fit into a URL."""
    at, seen = None, []
    for _ in range(_MAX_LISTS):
        answer = api.get("/v1/projects", [("limit", 1000), ("cursor", at)])
        for one in objects_in(answer, "data"):
            if name in (one.get("name"), one.get("id")) and one.get("id"):
                return str(one["id"])
            seen.append(str(one.get("name")))
        at = answer.get("next_cursor")
        if not at:
            break
    raise SourceError(f"Phoenix has no project {name!r}; there are: {', '.join(seen)[:500]}")


def _annotations(path: str, spans: list[dict[str, Any]], api: Asking) -> Iterator[Any]:
    contexts = [one["context"] for one in spans if isinstance(one.get("context"), dict)]
    traces = {str(one.get("span_id")): one.get("trace_id") for one in contexts}
    ids = list(traces)
    for start in range(0, len(ids), _IDS):
        given = [("span_ids", one) for one in ids[start : start + _IDS]]
        at = None
        for _ in range(_MAX_LISTS):
            try:
                answer = api.get(f"{path}/span_annotations", [*given, ("limit", 1000), ("cursor", at)])
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
