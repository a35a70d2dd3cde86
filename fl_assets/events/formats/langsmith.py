"""LangSmith's runs and feedback: one per line, lists of them, and the SDK's batches (`post` and `patch`).

Source: langchain-ai/langsmith-sdk, `python/langsmith/schemas.py` (`RunBase`, `FeedbackBase`), `client.py`
(`batch_ingest_runs`); LangSmith's documentation, "Bulk exporting trace data".
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.exceptions import leaf_of
from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.readers import Found, NotUsed, Records, each_taken, file_reader, or_reason
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import any_ns, iso_ns, ns_or_none
from fl_assets.events.formats.values import (
    as_list,
    as_object,
    decoded,
    first,
    present,
    required_text,
    text_of,
)

_KINDS = {
    "llm": "chat",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "chain": "chain",
    "prompt": "chain",
    "parser": "chain",
}
_ORDER = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{6})Z")
_STATUS = {"error": "error", "success": "ok"}
_SESSION_KEYS = ("session_id", "thread_id", "conversation_id")


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    """Yield a span for each run; a patch overrides what was posted."""
    runs: dict[str, tuple[int, dict[str, Any]]] = {}

    def taken(line: int, value: Any) -> Iterator[tuple[int, Found]]:
        for raw in _runs(value):
            if "run_type" not in raw and "key" in raw and "score" in raw:
                yield line, or_reason(_feedback, raw)
                continue
            last = str(raw.get("dotted_order") or "").rpartition(".")[2].partition("Z")[2]
            key = str(raw.get("id") or last or f"{line}:{len(runs)}")
            raw = {"id": last or None, **raw}  # a patch has its run's id in its order only
            known = runs.get(key, (line, {}))[1]
            runs[key] = (line, {**known, **{name: item for name, item in raw.items() if item is not None}})

    yield from each_taken(records, taken)
    for line, raw in runs.values():
        is_begun = "run_type" in raw or "name" in raw or "start_time" in raw
        if not is_begun and not raw.get("error"):
            yield line, NotUsed("updates of runs that began in another file")
            continue
        yield line, (span := or_reason(_span, raw))
        if isinstance(span, Span):
            yield from ((line, found) for found in _stats(raw, span))


def _runs(value: Any) -> Iterator[dict[str, Any]]:
    """Yield a run and those within it."""
    if whole := as_object(value):
        yield whole
        for child in as_list(whole.get("child_runs")):
            yield from _runs(child)


def _span(raw: dict[str, Any]) -> Span:
    extra = as_object(raw.get("extra"))
    metadata = as_object(extra.get("metadata") or raw.get("metadata"))
    inputs, outputs = as_object(raw.get("inputs")), as_object(raw.get("outputs"))
    usage = as_object(outputs.get("usage_metadata")) or _usage(outputs)
    kind = str(raw.get("run_type") or "")
    error = raw.get("error")
    parts = str(raw.get("dotted_order") or "").split(".")
    parent = raw.get("parent_run_id") or (parts[-2].partition("Z")[2] if len(parts) > 1 else "")
    is_graph = kind == "chain" and str(raw.get("name")) in {"LangGraph", "AgentExecutor"}
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent" if is_graph else _KINDS.get(kind, kind),
        "gen_ai.tool.name": raw.get("name") if kind == "tool" else None,
        "gen_ai.request.model": metadata.get("ls_model_name") or inputs.get("model"),
        "session.id": first(metadata, _SESSION_KEYS) or raw.get("thread_id"),
        "input.value": inputs.get("input") if set(inputs) == {"input"} else inputs,
        "output.value": _answer(outputs),
        "gen_ai.usage.input_tokens": usage.get("input_tokens") or raw.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens") or raw.get("completion_tokens"),
        "gen_ai.usage.cost": raw.get("total_cost"),
    }
    own = {key: value for key, value in metadata.items() if isinstance(value, str | int | float | bool)}
    return Span(
        trace_id=required_text(raw.get("trace_id") or raw.get("id"), "trace_id"),
        span_id=required_text(raw.get("id"), "id"),
        parent_id=str(parent or ""),
        name=str(raw.get("name") or kind or "run"),
        start_ns=any_ns(raw.get("start_time"), "start_time") or _begun_ns(parts[-1]),
        end_ns=any_ns(raw.get("end_time"), "end_time"),
        status="error" if error else _STATUS.get(str(raw.get("status")), "unset"),
        status_message=_error(error),
        scope="langsmith",
        attributes={**own, **present(attributes)},
        resource={
            "service.name": raw.get("session_name") or metadata.get("LANGSMITH_PROJECT") or "langsmith",
            "node_id": metadata.get("node_id"),
        },
    )


def _begun_ns(order: str) -> int:
    """Return when a run began, by the last part of its order (`20261102T120000000001Z…`); else 0."""
    match = _ORDER.match(order)
    return iso_ns("{}-{}-{}T{}:{}:{}.{}".format(*match.groups())) if match else 0


def _feedback(raw: dict[str, Any]) -> Evaluation:
    value, words = score_of(raw.get("score"))
    said = raw.get("value")
    return Evaluation(
        id=str(raw.get("id") or ""),
        name=str(raw.get("key") or ""),
        value=value,
        label=text_of(said) if said is not None else words,
        time_ns=any_ns(raw.get("created_at") or raw.get("modified_at"), "created_at"),
        updated_ns=ns_or_none(raw.get("modified_at")),
        trace_id=str(raw.get("trace_id") or ""),
        span_id=str(raw.get("run_id") or ""),
        source=str(as_object(raw.get("feedback_source")).get("type") or ""),
        explanation=text_of(raw.get("comment")),
    )


def _stats(raw: dict[str, Any], span: Span) -> Iterator[Evaluation]:
    """Yield the feedback statistics of an exported run: the mean of each key."""
    for key, stats in as_object(raw.get("feedback_stats")).items():
        mean = as_object(stats).get("avg")
        labels = as_object(as_object(stats).get("values"))
        if isinstance(mean, int | float) or labels:
            yield Evaluation(
                id=f"{span.span_id}:{key}",
                name=str(key),
                value=score_of(mean)[0] if mean is not None else None,
                label=", ".join(map(str, labels))[:200],
                time_ns=span.time_ns,
                trace_id=span.trace_id,
                span_id=span.span_id,
            )


def _answer(outputs: dict[str, Any]) -> Any:
    """Return a run's answer: the text of a model's generations, else the outputs."""
    text = _generation(outputs).get("text")
    return text or (outputs.get("output") if set(outputs) == {"output"} else outputs)


def _generation(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return the first of a model's generations, which are lists of lists."""
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    return as_object(generations)


def _usage(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return the token usage in a model's answer, by LangChain's or OpenAI's names."""
    message = as_object(_generation(outputs).get("message"))
    inside = as_object(message.get("kwargs")) or message
    usage = as_object(inside.get("usage_metadata")) or as_object(outputs.get("usage"))
    older = as_object(as_object(outputs.get("llm_output")).get("token_usage"))
    return {
        "input_tokens": usage.get("input_tokens") or usage.get("prompt_tokens") or older.get("prompt_tokens"),
        "output_tokens": usage.get("output_tokens")
        or usage.get("completion_tokens")
        or older.get("completion_tokens"),
    }


def _error(error: Any) -> str:
    """Return an error's text: LangSmith writes `repr(error)` followed by its traceback."""
    text = str(decoded(error) or "") if not isinstance(error, dict) else str(error.get("message") or error)
    head, mark, stack = text.partition("Traceback (most recent call last)")
    if not mark:
        return text.strip()
    match = re.fullmatch(r"(\w+)\((['\"])(.*)\2,?\)", head.strip(), re.DOTALL)
    return leaf_of(mark + stack, f"{match[1]}: {match[3]}" if match else head.strip())


FORMAT = Format(
    "langsmith",
    "LangSmith runs and feedback, as its API, bulk export and SDK write them.",
    has_any(
        has_all(
            json_key("run_type"),
            json_key("dotted_order|parent_run_id|session_name|session_id|child_runs|execution_order"),
        ),
        has_all(json_key("patch"), json_key("dotted_order")),
        has_all(
            json_key("run_id"), json_key("key"), json_key("score"), json_key("feedback_source|correction")
        ),
    ),
    file_reader(_of_file, "runs", pages="post patch runs"),
)
