"""Reading the user's own formats from `FEDERATED_LEARNING_MAPPING_PATH` (see `formats/mapped.py`)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fl_assets.events.formats.mapped import FieldMapping, mapped_format
from fl_assets.events.formats.seam import Format
from fl_assets.infra.rule_files import read_rules

_NAMES = {
    "time": r"(end_?|stop_?|finished_?|created_?|start_?)?(at|time|timestamp|ts|date)",
    "service": r"service|service_name|agent|app|component",
    "method": r"tool|tool_name|method|function|operation|name|call|action",
    "duration_ms": r"took|ms|(dur|duration|latency|elapsed)(_ms)?",
    "ok": r"ok|success|succeeded|fine|status",
    "error": r"error|error_message|exception|problem|err",
    "trace": r"trace|trace_?id|request|request_?id|run_?id",
    "session": r"session|session_?id|chat|chat_?id|conversation|conversation_?id|thread_?id",
    "node": r"node|node_?id|host|hostname|machine|place",
    "arguments": r"args|arguments|params|parameters|input",
    "question": r"question|asked|prompt|user_message",
    "answer": r"answer|answered|reply|response|completion",
}
"""By field of a mapping, names that such a field often has."""
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,40}")


def mapping_for(record: Mapping[str, Any]) -> str:
    """Return a mapping to begin with for lines like a record: fields are guessed by their names."""
    names = [name for name in record if _NAME.fullmatch(name)]
    found: dict[str, str] = {}
    for field, often in _NAMES.items():
        left = (name for name in names if name not in found.values())
        if fits := next((name for name in left if re.fullmatch(often, name, re.IGNORECASE)), None):
            found[field] = fits
    left = [name for name in names if name not in found.values()]
    lines = ["mappings:", "  - id: my_logs", f"    when: [{', '.join(names[:3])}]"]
    lines += [f"    {field}: {name}" for field, name in found.items()]
    if "time" not in found:
        lines.append("    time: WHICH_FIELD  # required: when it ended")
    lines += [f"    # not used yet: {', '.join(left)}"] if left else []
    return "\n".join(lines)


def mapped_formats(path: Path | None) -> tuple[Format, ...]:
    """Return the formats of a file of mappings, in order; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    if path is None:
        return ()
    return tuple(map(mapped_format, read_rules(path, FieldMapping, section="mappings")))
