"""MLflow: traces that began on a day in one experiment, each with its spans.

Its search returns no spans, so they are read trace by trace, from the same endpoint as MLflow's UI does.

Source: mlflow/mlflow, `mlflow/store/tracking/rest_store.py` (`search_traces`), `mlflow/server/handlers.py`
(`get_trace_artifact_handler`).
"""

from typing import Any

from fl_assets.sources.source import Ask, Page, SourceError, SourceKind, basic_or_bearer, objects_in


def page(ask: Ask) -> Page:
    """Return a page of traces."""
    cursor = ask.cursor
    experiment = cursor.get("experiment") or _experiment(ask)
    start, end = (int(when.timestamp() * 1000) for when in (ask.day.start, ask.day.end))
    body = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}],
        "filter": f"timestamp_ms >= {start} AND timestamp_ms < {end}",
        "order_by": ["timestamp_ms ASC"],
        "max_results": ask.rows(100, 500),
        **({"page_token": cursor["at"]} if cursor.get("at") else {}),
    }
    answer = ask.api.post("/api/3.0/mlflow/traces/search", body)
    if isinstance(answer, dict):
        answer.setdefault("traces", [])  # an empty list is left out
    records = ({"info": info, "data": _data(info, ask)} for info in objects_in(answer, "traces"))
    after = answer.get("next_page_token")
    return Page(records, {"experiment": experiment, "at": after} if after else None)


def _data(info: Any, ask: Ask) -> dict[str, Any]:
    key = info.get("trace_id") or info.get("request_id")
    try:
        found = ask.api.get("/ajax-api/2.0/mlflow/get-trace-artifact", [("request_id", key)])
    except SourceError as error:
        if error.status == 404:  # it has none yet, or no longer
            return {"spans": []}
        raise
    return {"spans": list(objects_in(found, "spans"))}


def _experiment(ask: Ask) -> str:
    source = ask.source
    if source.project.isdigit() or not source.project:
        return source.project or "0"
    try:
        found = ask.api.get("/api/2.0/mlflow/experiments/get-by-name", [("experiment_name", source.project)])
        return str(found["experiment"]["experiment_id"])
    except SourceError as error:
        if error.status != 404:
            raise
    except (KeyError, TypeError):
        pass
    raise SourceError(f"MLflow has no experiment {source.project!r}")


KIND = SourceKind(headers=basic_or_bearer, page=page)
