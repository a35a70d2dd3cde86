"""A regression set as files that evaluation tools read.

What goes here: file formats. What does not: which calls are cases and which values may be shown
(`patterns/cases.py`).

A case asks which call works in place of one that failed; the expected answer is a call that did.

| format | what it is |
|---|---|
| `jsonl` | one case a line, our own fields |
| `langfuse` | `{"dataset", "items"}`: bodies of POST /api/public/v2/datasets and /api/public/dataset-items |
| `inspect` | samples of Inspect (`json_dataset`): `id`, `input`, `target`, `metadata`, one a line |
| `promptfoo` | a list of test cases (`tests: file://…`), YAML |
"""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from fl_assets.patterns.cases import Case
from fl_assets.report.words import inert

_TEMPLATE_START = re.compile(r"\{(?=[{%#])")
"""Start of what promptfoo's template language would run."""

_ADDRESS = re.compile(r"\w+://|(?:file|python|javascript|package):", re.IGNORECASE)


def _call(case: Case, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"service": case.service, "method": case.method, "arguments": dict(arguments or {})}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _input(case: Case) -> dict[str, Any]:
    return {"failed_call": _call(case, case.failed_with), "error": case.message}


def _metadata(case: Case) -> dict[str, Any]:
    return {
        "family_id": case.family_id,
        "day": case.day.isoformat(),
        "trace_id": case.trace_id,
        "succeeded_next": case.succeeded_next,
    }


def _jsonl(cases: Sequence[Case], _: str) -> str:
    return "".join(f"{case.model_dump_json()}\n" for case in cases)


def _langfuse(cases: Sequence[Case], name: str) -> str:
    items = [
        {
            "id": case.case_id,
            "datasetName": name,
            "input": _input(case),
            "expectedOutput": _call(case, case.succeeded_with) if case.succeeded_with is not None else None,
            "metadata": _metadata(case),
            "sourceTraceId": case.trace_id,
            "status": "ACTIVE",
        }
        for case in cases
    ]
    dataset = {"name": name, "description": "Calls that failed in the fleet, and calls that worked."}
    return json.dumps({"dataset": dataset, "items": items}, ensure_ascii=False, indent=2) + "\n"


def _inspect(cases: Sequence[Case], _: str) -> str:
    lines = []
    for case in cases:
        asked = (
            f"This call failed: {_text(_call(case, case.failed_with))}\nThe error was: {case.message}\n"
            "Which call should be made instead? Answer with one JSON object of service, method and arguments."
        )
        sample = {
            "id": case.case_id,
            "input": asked,
            "target": _text(_call(case, case.succeeded_with)),
            "metadata": _metadata(case),
        }
        lines.append(json.dumps(sample, ensure_ascii=False) + "\n")
    return "".join(lines)


def _promptfoo(cases: Sequence[Case], _: str) -> str:
    tests = [
        {
            "description": f"{case.service} {case.method} ({case.family_id})",
            # JSON texts begin with a brace, so they are never taken for a file or a script to load.
            "vars": {"failed": _text(_input(case)), "worked": _text(_call(case, case.succeeded_with))},
            "assert": [
                {"type": "contains-json"},
                {"type": "contains-all", "value": [case.method, *sorted(case.succeeded_with or {})]},
            ],
            "metadata": {name: str(value) for name, value in _metadata(case).items()},
        }
        for case in cases
    ]
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 10_000
    yaml.dump(_inert(tests), out)
    if inert(out.getvalue()) == out.getvalue():
        return out.getvalue()
    out, yaml.allow_unicode = io.StringIO(), False
    yaml.dump(_inert(tests), out)
    return out.getvalue()


def _inert(value: Any) -> Any:
    """Return a value whose texts neither a template engine runs nor a loader takes for a path."""
    if isinstance(value, dict):
        return {_inert(name): _inert(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_inert(one) for one in value]
    if not isinstance(value, str):
        return value
    text = _TEMPLATE_START.sub("{ ", value)
    return f" {text}" if _ADDRESS.match(text) else text


FORMATS: Mapping[str, Callable[[Sequence[Case], str], str]] = {
    "jsonl": _jsonl,
    "langfuse": _langfuse,
    "inspect": _inspect,
    "promptfoo": _promptfoo,
}
"""Functions from cases and the name of the data set to the file's text."""
NEEDS_SUCCESS = frozenset({"inspect", "promptfoo"})


def written(cases: Sequence[Case], kind: str, name: str) -> str:
    """Return the cases as a file of a kind; cases without a success are left out where one is needed.

    What no eye sees, or turns the direction of text, stands as an escape of JSON or YAML: the same value.
    """
    shown = [case for case in cases if case.succeeded_with is not None or kind not in NEEDS_SUCCESS]
    return inert(FORMATS[kind](shown, name))
