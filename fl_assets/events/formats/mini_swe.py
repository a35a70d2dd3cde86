"""Trajectories of mini-SWE-agent (`.traj.json`): commands with their results, and the exit status.

Source: SWE-agent/mini-swe-agent, `src/minisweagent/agents/default.py`, `run/utils/save.py` (formats
`mini-swe-agent-1` and `-1.1`). Messages have a time since version 1.8; a trajectory without times belongs to
no day and is refused.
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span
from fl_assets.events.formats.times import NoTimesError, ns_or_none
from fl_assets.events.formats.values import as_object, first, objects_of, text_of

_RETURN = re.compile(
    r"<returncode>\s*(-?\d{1,9})\s*</returncode>\s*(?:<(?:output|stdout)>)?(.*?)(?:</(?:output|stdout)>|\Z)",
    re.DOTALL,
)
_COMMAND = re.compile(r"```(?:bash|mswea_bash_command)[ \t\r]*\n(.*?)\n?```", re.DOTALL)
_TAIL = 2000
_NO_TIMES = (
    "mini_swe: this trajectory's messages have no times, so they belong to no day "
    "(mini-swe-agent writes them since 1.8)"
)


def _of_document(value: Any) -> Iterator[Span]:
    whole = as_object(value)
    messages = objects_of(whole.get("messages"))
    when = (one.get("timestamp") or as_object(one.get("extra")).get("timestamp") for one in messages)
    times = [ns_or_none(time) for time in when]
    if not any(times):
        raise NoTimesError(_NO_TIMES)
    info = as_object(whole.get("info"))
    model = as_object(as_object(as_object(info.get("config")).get("model"))).get("model_name")
    trace = first(whole, ("instance_id",)) or f"{times[0]}"
    session = Session(trace, "mini-swe-agent", {"session.id": trace, "gen_ai.request.model": model})
    for number in range(1, len(messages)):
        result = _result(messages[number])
        if times[number] and result is not None:
            yield _call(
                session, f"step-{number}", messages[number - 1], result, (times[number - 1], times[number])
            )
    exit_status = first(info, ("exit_status",))
    failed = bool(exit_status) and exit_status not in {"Submitted", "submitted"}
    error = f"{exit_status}: {text_of(info.get('submission'))[:300]}".removesuffix(": ") if failed else ""
    yield session.span(
        "run",
        "invoke_agent",
        "invoke_agent",
        (next(filter(None, times)), max(times)),
        error,
        status="error" if failed else "ok",
        more={"gen_ai.agent.name": "mini-swe-agent"},
    )


def _result(message: dict[str, Any]) -> tuple[int, str] | None:
    """Return a command's exit code and output; None for a message that is no result."""
    extra = as_object(message.get("extra"))
    if message.get("role") not in ("user", "tool"):  # a tuple, as the role may be unhashable
        return None
    if isinstance(code := extra.get("returncode"), int):
        return code, text_of(extra.get("raw_output") or extra.get("output") or message.get("content"))
    match = _RETURN.search(text_of(message.get("content")))
    return (int(match[1]), match[2]) if match else None


def _call(
    session: Session, key: str, asked: dict[str, Any], result: tuple[int, str], times: tuple[int, int]
) -> Span:
    code, output = result
    actions = objects_of(as_object(asked.get("extra")).get("actions"))
    match = _COMMAND.search(text_of(asked.get("content")))
    command = first(actions[0], ("command", "action")) if actions else match[1] if match else ""
    word = next(iter(command.split()), "bash")
    error = (output.strip()[-_TAIL:] or f"exit code {code}") if code else ""
    about = {
        "gen_ai.tool.name": word if re.fullmatch(r"[\w.-]{1,40}", word) else "bash",
        "gen_ai.tool.call.arguments": command,
        "exit_code": code or None,
    }
    return session.span(key, "execute_tool", word, times, error, parent_id="run", more=about)


FORMAT = Format(
    "mini_swe",
    "Trajectories of mini-SWE-agent (`.traj.json`).",
    has_all(
        rb'"trajectory_format"\s*:\s*"mini-swe-agent|mswea_bash_command|<returncode>|\\u003creturncode',
        json_key("role"),
        json_key("content"),
    ),
    span_reader(_of_document, "messages"),
)
