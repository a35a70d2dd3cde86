"""Langfuse: a day's observations with fields of their traces, and scores.

It uses v2 of the public API for observations (Langfuse Cloud, self-hosted from v4), and on older servers the
pages of traces and observations that it replaces.

Source: Langfuse's API reference (`GET /api/public/v2/observations`, `/traces`, `/observations`,
`/v3/scores`, `/v2/scores`).
"""

from collections.abc import Mapping
from typing import Any

from fl_assets.sources.source import Ask, Page, SourceError, SourceKind, basic_or_bearer, objects_in

_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,trace_context"
_WHOLE = "attributes,resourceAttributes,scope"
"""Keys of metadata that v2 would cut after 200 characters."""
_OLDER = {"observations": "traces", "scores": "older_scores"}
"""What to ask older servers for instead."""
_NEXT = {
    "observations": "scores",
    "traces": "older_observations",
    "older_observations": "scores",
    "scores": None,
    "older_scores": None,
}


def page(ask: Ask) -> Page:
    """Return a page of observations, then of scores; of older servers traces first."""
    what, at = ask.cursor.get("what", "observations"), ask.cursor.get("at")
    try:
        records, after = _PAGES[what](ask, at)
    except SourceError as error:
        if error.status not in (404, 405) or at is not None or what not in _OLDER:
            raise
        return Page((), {"what": _OLDER[what]})
    following = _NEXT[what]
    if after is not None:
        return Page(records, {"what": what, "at": after})
    return Page(records, {"what": following} if following else None)


def _observations(ask: Ask, at: Any) -> tuple[list[Any], Any]:
    query = [
        *ask.between("fromStartTime", "toStartTime"),
        ("fields", _FIELDS),
        ("expandMetadata", _WHOLE),
        ("limit", ask.rows(1000, 1000)),
        ("cursor", at),
    ]
    answer = ask.api.get("/api/public/v2/observations", query)
    return list(objects_in(answer, "data")), _meta(answer).get("cursor")


def _scores(ask: Ask, at: Any) -> tuple[list[Any], Any]:
    query = [
        *ask.between("fromTimestamp", "toTimestamp"),
        ("fields", "details,subject"),
        ("limit", ask.rows(100, 100)),
        ("cursor", at),
    ]
    answer = ask.api.get("/api/public/v3/scores", query)
    return [_score(one) for one in objects_in(answer, "data")], _meta(answer).get("cursor")


def _score(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Name the subject of a score as earlier versions do."""
    subject = raw.get("subject")
    about = subject if isinstance(subject, Mapping) else {}
    kind, key = str(about.get("kind") or "").lower(), about.get("id")
    names = {"trace": "traceId", "observation": "observationId", "session": "sessionId"}
    found = {**raw, "traceId": about.get("traceId")}
    return found | ({names[kind]: key} if kind in names else {})


def _numbered(path: str, names: tuple[str, str], *more: tuple[str, str]) -> Any:
    """Return a function that asks for a page by its number."""

    def page_at(ask: Ask, at: Any) -> tuple[list[Any], Any]:
        number, limit = int(at or 1), ask.rows(100, 100)
        answer = ask.api.get(path, [*ask.between(*names), *more, ("limit", limit), ("page", number)])
        records = [_without_ids(one) for one in objects_in(answer, "data")]
        last = _meta(answer).get("totalPages")
        is_last = number >= last if isinstance(last, int) else len(records) < limit
        return records, None if is_last or not records else number + 1

    return page_at


def _without_ids(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Drop a trace's ids of observations and scores, which are pulled by themselves."""
    return {key: value for key, value in raw.items() if key not in {"observations", "scores"}}


def _meta(answer: Any) -> Mapping[str, Any]:
    found = answer.get("meta")
    return found if isinstance(found, Mapping) else {}


_PAGES = {
    "observations": _observations,
    "scores": _scores,
    "traces": _numbered("/api/public/traces", ("fromTimestamp", "toTimestamp"), ("fields", "core,io")),
    "older_observations": _numbered("/api/public/observations", ("fromStartTime", "toStartTime")),
    "older_scores": _numbered("/api/public/v2/scores", ("fromTimestamp", "toTimestamp")),
}


KIND = SourceKind(headers=basic_or_bearer, page=page)
