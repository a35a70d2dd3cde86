"""What failed, what did not, and the most telling words for it.

From every place in which producers say so.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events.formats import conventions, outcomes
from fl_assets.events.formats.attributes import ATTRIBUTES
from fl_assets.events.formats.conventions import kind_and_method, kind_of
from fl_assets.events.formats.exceptions import leaf_of
from fl_assets.events.formats.outcomes import Outcome, outcome_of
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.tool_results import error_in_result

START, END = 1_793_620_800_000_000_000, 1_793_620_810_000_000_000
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "book"}
LLM = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/app/mcp.py", line 20, in run
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Exception Group Traceback (most recent call last):
    | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
    +-+---------------- 1 ----------------
      | Traceback (most recent call last):
      |   File "/app/http.py", line 9, in post
      | httpx.ConnectError: All connection attempts failed
      +------------------------------------"""


def span(
    status: str = "unset", message: str = "", *events: SpanEvent, end: int = END, **attributes: object
) -> Span:
    values = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span("t", "s", "", "step", START, end, status, message, attributes=values, events=events)


def raised(kind: str, message: str = "", stack: str = "", *, at: int = END, **more: object) -> SpanEvent:
    values = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack, **more}
    return SpanEvent("exception", values, at)


def ended(found: Span) -> Outcome:
    return outcome_of(found, kind_of(found))


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (span("error", "no seats"), "no seats"),
        (span(error__type="timeout"), "timeout"),
        (span("error", error__type="429", **LLM), "HTTP status 429 Too Many Requests"),
        (span("error", "HTTP 503"), "HTTP status 503 Service Unavailable"),
        (span("error", rpc__grpc__status_code=14), "UNAVAILABLE"),
        (
            span("unset", "", raised("ToolError", "no such trace"), error__type="tool_error"),
            "ToolError: no such trace",
        ),
        (span("unset", "", raised("ToolError", "no seats")), "ToolError: no seats"),
        (
            span("ok", gen_ai__tool__status="error", output__value="Error: full - no rooms", **TOOL),
            "Error: full - no rooms",
        ),
        (
            span(
                "ok",
                "",
                SpanEvent(
                    "gen_ai.choice",
                    {"message": '[{"text": "Error: no rooms on 4 May"}]', "tool.result": "error"},
                ),
                **TOOL,
            ),
            "Error: no rooms on 4 May",
        ),
        (span(success=False, error="529 overloaded"), "529 overloaded"),
        (
            span(success="false", error="exit code 127: pnpm: command not found"),
            "exit code 127: pnpm: command not found",
        ),
        (
            span(
                output__value='{"isError": true, "content": [{"type": "text", "text": "no such path"}]}',
                **TOOL,
            ),
            "no such path",
        ),
        (span(output__value='{"success": false, "message": "sold out today"}', **TOOL), "sold out today"),
        (
            span(output__value='{"error": {"code": "E1", "message": "sold out today"}}', **TOOL),
            "E1: sold out today",
        ),
        (
            span(output__value="Error executing tool book: sold out", **TOOL),
            "Error executing tool book: sold out",
        ),
        (span(gen_ai__response__finish_reasons=["content_filter"], **LLM), "finish reason: content_filter"),
        (span(http__response__status_code=529, **LLM), "HTTP status 529"),
        (span(exit_code=2, **TOOL), "exit code 2"),
        (span(tool__success=0, error__message="sold out today"), "sold out today"),
        (
            span(
                langfuse__observation__level="ERROR", langfuse__observation__status_message="sold out today"
            ),
            "sold out today",
        ),
        (
            span(gcp__vertex__agent__tool_response='{"status": "error", "error_message": "no city"}', **TOOL),
            "no city",
        ),
        (
            span(output__value="content='sold out' name='book' status='error'", **TOOL),
            "content='sold out' name='book' status='error'",
        ),
        (
            span(gen_ai__output__messages='[{"role":"assistant","finish_reason":"content_filter"}]', **LLM),
            "finish reason: content_filter",
        ),
        (span(error=True), None),
        (span(tool__call__status="failure", tool__call__error="no seats left"), "no seats left"),
        (
            span(
                output__value='{"output": {"type": "constructor", "id": ["langchain", "ToolMessage"], '
                '"kwargs": {"content": "Error: no such key", "status": "error"}}}',
                **TOOL,
            ),
            "Error: no such key",
        ),
        (
            span(
                output__value="\nI encountered an error while trying to use the tool. This was the error: "
                "[Errno 2] No such file or directory: 'x'.\n Tool ReadFile accepts these inputs: path",
                **TOOL,
            ),
            "[Errno 2] No such file or directory: 'x'",
        ),
        (
            span(
                output__value="An error occurred while running the tool. Please try again. Error: no seats",
                **TOOL,
            ),
            "no seats",
        ),
        (span(output__value='{"statusCode": 502, "body": "no seats"}', **TOOL), "no seats"),
        (span(output__value='{"data": null, "errors": [{"message": "no field x"}]}', **TOOL), "no field x"),
        (span(output__value="ToolError: no seats", **TOOL), "ToolError: no seats"),
        (span(output__value="Exit code: 127\nfoo: not found", **TOOL), "Exit code: 127\nfoo: not found"),
        (span(output__value="Invalid arguments: no date", **TOOL), "Invalid arguments: no date"),
        (span(output__value="Permission denied: /srv/x", **TOOL), "Permission denied: /srv/x"),
        (span(output__value="HTTP 404: Not Found", **TOOL), "HTTP 404: Not Found"),
        (span("unset", "", SpanEvent("error", {"error.message": "no seats"}, END)), "no seats"),
        (span(output__value="<tool_use_error>File is gone.</tool_use_error>", **TOOL), "File is gone."),
        (
            span(output__value="Failed to call tool book: no seats", **TOOL),
            "Failed to call tool book: no seats",
        ),
        (
            span("error", "Tool failed", output__value="stock service returned 503", **TOOL),
            "stock service returned 503",
        ),
        (
            span(
                "error",
                "",
                raised("ExceptionGroup", "unhandled errors in a TaskGroup (1 sub-exception)", GROUP),
            ),
            "httpx.ConnectError: All connection attempts failed",
        ),
        (
            span(
                "error",
                "",
                raised(
                    "java.lang.RuntimeException",
                    "tool failed",
                    "java.lang.RuntimeException: tool failed\n\tat A\nCaused by: java.io.IOException: "
                    "x\nCaused by: java.net.ConnectException: refused now\n\tat B",
                ),
            ),
            "java.net.ConnectException: refused now",
        ),
    ],
)
def test_failure_is_told_in_many_places(found, error):
    assert ended(found) == Outcome("failed", error)


@pytest.mark.parametrize(
    "found",
    [
        span(),
        span("ok", "", raised("E", "handled")),
        span("unset", "", raised("E", "handled", at=START + 1)),
        span("unset", "", raised("E", "handled", **{"exception.escaped": "False"})),
        span("unset", "", raised("E", "retried"), SpanEvent("gen_ai.choice", {})),
        span(error=False, success=True),
        span(error="", error__type=""),
        span(output__value='{"error": null, "rows": []}', **TOOL),
        span(output__value="The page says: Error: 404", **TOOL),
        span(
            output__value='{"isError": false, "content": [{"type": "text", "text": "Error: 3 lines"}]}',
            **TOOL,
        ),
        span(output__value="Failed orders of May: none", **TOOL),
        span(output__value="Command exited with code 0\nok", **TOOL),
        span(output__value='{"data": {"rows": []}, "errors": [{"message": "one row is old"}]}', **TOOL),
        span(output__value='{"statusCode": 200, "body": "404"}', **TOOL),
        span(output__value="Errors and exceptions are explained in chapter 8.", **TOOL),
        span(evaluation__success=False),
        span(gen_ai__response__finish_reasons=["stop"], **LLM),
        span(http__response__status_code=404),
    ],
)
def test_what_was_handled_or_merely_read_is_no_failure(found):
    assert ended(found) == Outcome("ok")


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (
            span(
                "error", "", raised("langgraph.errors.GraphInterrupt", "(Interrupt(value={'q': 'send?'}),)")
            ),
            "interrupted",
        ),
        (span("error", "NodeInterrupt('approve')"), "interrupted"),
        (span("error", "", raised("pydantic_ai.exceptions.CallDeferred")), "interrupted"),
        (span("error", "", raised("ToolInterruptError")), "interrupted"),  # of Genkit
        (span("error", "CancelledError", raised("asyncio.exceptions.CancelledError")), "cancelled"),
        (span("error", "", raised("GeneratorExit")), "cancelled"),
        (span("error", "A task was canceled."), "cancelled"),
        (span("error", rpc__grpc__status_code=1), "cancelled"),
        (span("error", "", raised("StopAsyncIteration")), "interrupted"),
        (span("error", "context canceled"), "cancelled"),
        (span("error", "AbortError: This operation was aborted"), "cancelled"),
        (span("unset", http__response__status_code=499, **LLM), "cancelled"),
        (span("error", "The user doesn't want to proceed with this tool use."), "cancelled"),
        (span("error", "io.grpc.StatusRuntimeException: CANCELLED: RPC cancelled"), "cancelled"),
        (span("error", "HumanInTheLoopInterrupt: waiting for approval"), "interrupted"),
        (span("error", "User declined the elicitation request"), "cancelled"),
        (span("error", "Tool call requires approval"), "interrupted"),
        (
            span(
                output__value='{"error": "This tool call requires confirmation, please approve or reject."}',
                **TOOL,
            ),
            "interrupted",
        ),
        (span("error", "Card declined, the order requires confirmation by phone"), "failed"),
        (span("error", "TimeoutError: call timed out and was cancelled by client"), "failed"),
        (span("error", "", raised("TimeoutError", "deadline exceeded")), "failed"),
        (span("unset", end=0), "unfinished"),
        (span("error", "no seats", end=0), "failed"),
    ],
)
def test_waiting_and_giving_up_are_no_failures(found, kind):
    assert ended(found).kind == kind


@pytest.mark.parametrize(
    ("text", "leaf"),
    [
        ("no trace at all", "no trace at all"),
        ("Traceback (most recent call last):\n  File \"a\"\nKeyError: 'a'\nmore", "KeyError: 'a'\nmore"),
        (
            "Error: tool failed\n    at x\n  [cause]: Error: connect ECONNREFUSED 10.0.0.1:80\n",
            "Error: connect ECONNREFUSED 10.0.0.1:80",
        ),
        (
            'out\nTraceback (most recent call last):\n  File "b"\njson.decoder.JSONDecodeError: bad',
            "json.decoder.JSONDecodeError: bad",
        ),
        (
            "System.AggregateException: One or more errors occurred. (Connection refused)\n"
            " ---> System.Net.Http.HttpRequestException: Connection refused (api:443)\n   at x\n",
            "System.Net.Http.HttpRequestException: Connection refused (api:443)",
        ),
        (
            "AggregateError: All promises were rejected\n    at x {\n  [errors]: [\n"
            "    Error: connect ECONNREFUSED api:80\n        at y\n  ]\n}",
            "Error: connect ECONNREFUSED api:80",
        ),
        (
            'Traceback (most recent call last):\n  File "a"\nhttpcore.ConnectError: no such host x\n\n'
            "The above exception was the direct cause of the following exception:\n\n"
            'Traceback (most recent call last):\n  File "b"\nopenai.APIConnectionError: Connection error.',
            "httpcore.ConnectError: no such host x",
        ),
        (
            "Traceback (most recent call last):\n  File \"a\", line 1, in f\nKeyError: 'order'\n\n"
            "During handling of the above exception, another exception occurred:\n\n"
            'Traceback (most recent call last):\n  File "b", line 2, in g\n'
            "ToolException: Tool execution failed\n",
            "KeyError: 'order'",
        ),
        (
            "tool failed\n\nCaused by:\n    0: client error\n    1: Connection refused (os error 111)",
            "Connection refused (os error 111)",
        ),
        (
            "app.rb:3:in `call': tool error (ToolError)\n\tfrom app.rb:9:in `<main>'\n"
            "app.rb:2:in `get': execution expired (Net::OpenTimeout)\n\tfrom x",
            "Net::OpenTimeout: execution expired",
        ),
        (
            "PDOException: SQLSTATE[HY000] [2002] Connection refused in /a.php:3\nStack trace:\n#0 x\n\n"
            "Next RuntimeException: agent failed in /a.php:9\nStack trace:\n#0 y",
            "PDOException: SQLSTATE[HY000] [2002] Connection refused",
        ),
    ],
)
def test_the_error_at_the_bottom_is_taken(text, leaf):
    assert leaf_of(text) == leaf


def test_without_a_start_only_what_says_ok_succeeded():
    for status, kind in (("ok", "ok"), ("unset", "unfinished"), ("error", "failed")):
        found = Span("t", "s", "", "step", 0, END, status)
        assert (outcome_of(found, "").kind, found.duration_ms) == (kind, None)


def test_a_result_in_parts_and_within_itself_is_read():
    assert error_in_result([{"type": "text", "text": "Error: no"}]) == "Error: no"
    assert error_in_result({"content": [{"type": "text", "text": "Error: no"}]}) == "Error: no"
    assert error_in_result({"content": "fine"}) == ""
    assert error_in_result({"status": "error", "error_message": "no seats"}) == "no seats"
    assert error_in_result(7) == ""


def test_a_result_within_a_thousand_others_is_not_looked_for():
    result: object = {"error": "no"}
    for _ in range(1000):
        result = {"result": result}
    assert error_in_result(result) == ""


LINES = """chat
execute_tool
agent
error
true
false
500
stop
length
null
error.timeout
gpt-4o
CANCELLED
Tool call 7 requires approval
cancelled by the user
call 12 was aborted
{"isError": true}
[{"role": "assistant", "finish_reason": "content_filter"}]
"""
WORDS = st.sampled_from(LINES.split("\n"))
OTHERS = "error error.type success x.is_error gen_ai.output.messages http.route logfire.level_num"
NAMES = st.sampled_from(sorted({key for keys in ATTRIBUTES.values() for key in keys} | set(OTHERS.split())))
VALUES = WORDS | st.sampled_from([0, 1, 1.0, True, False, None, 17, [], ["error"], {"message": "no"}])
SPANS = st.builds(
    Span, st.just("t"), st.just("s"), st.just(""), WORDS, st.just(START), st.sampled_from([0, END]),
    st.sampled_from(["ok", "unset", "error"]), WORDS, attributes=st.dictionaries(NAMES, VALUES, max_size=5),
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(SPANS, max_size=8))
def test_what_is_remembered_and_left_out_is_what_each_span_says_for_itself(spans: list[Span]) -> None:
    def found() -> list[Any]:
        return [(*kind_and_method(one), outcome_of(one, kind_of(one))) for one in spans]

    soon = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "_may_tell", lambda _: True)
        patch.setattr(outcomes, "_may_have_codes", lambda _: True)
        patch.setattr(outcomes, "_NOUGHTS", {})
        patch.setattr(outcomes, "_ends_told", outcomes._ends_told.__wrapped__)
        patch.setattr(conventions, "_telling_of", lambda names: names)
        patch.setattr(conventions, "_MAX_REMEMBERED", -1)
        assert soon == found()
