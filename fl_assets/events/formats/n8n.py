"""Executions of n8n with their data, as its API and its command line export them.

A run of a node is a call. Those below an agent's node (models, tools, memory) are its parts.

Source: n8n-io/n8n, `packages/workflow/src/interfaces.ts` (`ITaskData`), public API v1 (`/executions`).
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.readers import Found, NotUsed, or_reason, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, number_of, objects_of

_MODEL = ("lmchat", "lmopenai", "lmollama", "embeddings")


def _of_execution(value: Any) -> Iterator[Found]:
    whole = as_object(value)
    runs = as_object(as_object(as_object(whole.get("data")).get("resultData")).get("runData"))
    flow = as_object(whole.get("workflowData"))
    kinds = {str(node.get("name")): str(node.get("type") or "") for node in objects_of(flow.get("nodes"))}
    name = first(flow, ("name",)) or first(whole, ("workflowId",)) or "n8n"
    execution = first(whole, ("id",)) or first(whole, ("startedAt",))
    session = Session(f"n8n:{execution}", name, {"n8n.execution.id": execution})
    if not runs:
        yield NotUsed("executions without data (ask for includeData=true)")
    for node, listed in runs.items():
        for number, run in enumerate(objects_of(listed)):
            yield or_reason(_run, session, node, kinds.get(node, ""), number, run)


def _run(session: Session, node: str, kind: str, number: int, run: dict[str, Any]) -> Span:
    start, took = any_ns(run.get("startTime"), "startTime"), number_of(run, ("executionTime",))
    status = first(run, ("executionStatus",))
    has_failed = status in {"error", "crashed"} or bool(run.get("error"))
    type_name = kind.rpartition(".")[2].lower()
    connections = as_object(run.get("data")) | as_object(run.get("inputOverride"))
    is_part = any(name.startswith("ai_") for name in connections)
    source = next(iter(objects_of(run.get("source"))), {})
    operation = "invoke_agent" if type_name == "agent" else "execute_tool"
    operation = "chat" if type_name.startswith(_MODEL) else operation
    return session.span(
        f"{node}:{number}",
        operation,
        "chat" if operation == "chat" else node,
        (start, 0 if took is None or status in {"waiting", "running", "new"} else start + round(took * 1e6)),
        failed_text(run.get("error")) if has_failed else "",
        status="error" if has_failed else "unset",
        parent_id=f"{source.get('previousNode')}:{source.get('previousNodeRun') or 0}" if is_part else "",
        more={
            "gen_ai.agent.name" if operation == "invoke_agent" else "n8n.node.name": node,
            "error.type": "cancelled" if status == "canceled" else "",
        },
    )


FORMAT = Format(
    "n8n",
    "Executions of n8n with their data (JSON).",
    has_any(
        has_all(json_key("resultData", rb"\{"), json_key("runData", rb"\{")),
        has_all(json_key("workflowId"), json_key("startedAt"), json_key("mode"), json_key("stoppedAt")),
    ),
    span_reader(_of_execution, "runs", pages="data"),
)
