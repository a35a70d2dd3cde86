"""Texts of exceptions: the root error of a stack trace, of whatever language.

Sources: PEP 654 (exception groups), PEP 3134 (chained exceptions); `Throwable.printStackTrace` of Java;
`Error.cause` and `AggregateError` as Node prints them; `Exception.ToString` of .NET; `anyhow` of Rust,
`full_message` of Ruby, `Throwable::__toString` of PHP.
"""

import re
from collections.abc import Mapping
from typing import Any

from fl_assets.events.formats.values import first

_GROUP = re.compile(r"(?:Base)?ExceptionGroup\b|unhandled errors in a TaskGroup|\(\d+ sub-exceptions?\)")
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.$]*)(?::\s*+(?P<message>.*))?")
_TYPE_NAME = re.compile(r"(?:.*[.$])?[A-Z]\w*|.*(?:Error|Exception|Interrupt|Exit|Warning)")
_GROUP_LINE = re.compile(r"^(?P<bars>[\s|+]*\|) (?P<text>\S.*)$")
_CAUSED_BY = re.compile(r"^[ \t]*Caused by: (.+)$", re.MULTILINE)
_NODE_CAUSE = re.compile(r"\[cause\]:?\s+(.+)$", re.MULTILINE)
_NODE_ERRORS = re.compile(r"\[errors\]:\s*\[\s*(\S.*)$", re.MULTILINE)
_DOTNET_CAUSE = re.compile(r"^[ \t]*---> (?:\(Inner Exception #\d+\) )?(\S.*)$", re.MULTILINE)
_RUST_CAUSES = re.compile(r"^[ \t]*Caused by:[ \t]*\n((?:[ \t]+\S.*\n?)+)", re.MULTILINE)
_FRAME = ("Traceback", "File ")
_NUMBERED = re.compile(r"^\d+: ")
_PHP_NEXT = re.compile(r"^Next [\w\\]+: .*$", re.MULTILINE)
_PHP_RAISED = re.compile(r"^(?P<error>.+?) in \S+:\d+$", re.MULTILINE)
_RUBY_RAISED = re.compile(
    r"^\S+:\d+:in [`'][^'\n]*': (?P<message>.*) \((?P<type>[A-Z][\w:]*)\)$", re.MULTILINE
)
_CHAINED = re.compile(
    r"The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:"
)
_VAGUE = re.compile(
    r"(?i)(?:an? )?(?:unknown|internal|unexpected|unhandled|generic|some)?[\s_-]*+(?:tool|agent|execution"
    r"|runtime|server|api|call|request|task|step|chain|run|connection|network|transport|http|fetch|client"
    r"|provider|upstream|service|model|llm|inference)?"
    r"[\s_-]*+(?:call|execution|invocation|run)?[\s_-]*+(?:error|errors|failed|failure|exception"
    r"|fail)(?: occurred)?[\s.!]*"
    r"|exit code -?\d+|HTTP status \d+[A-Za-z -]*|_OTHER|ERROR|\w+"
)


def is_vague(text: str) -> bool:
    """Whether a text says no more than that something failed: one word, a type, or such a phrase."""
    text = text.strip()
    return not text or " " not in text or _VAGUE.fullmatch(text) is not None


def exception_text(values: Mapping[str, Any]) -> str:
    """Return `type: message` of the root exception in attributes, else the stack trace's last line."""
    kind, message = first(values, ("exception.type",)), first(values, ("exception.message",))
    stack = first(values, ("exception.stacktrace",))
    outer = f"{kind}: {message}" if kind and message else message or kind
    leaf = leaf_of(stack, outer) if stack else outer
    if leaf and leaf != outer and not leaf.startswith(_FRAME):
        return leaf
    if not message:
        lines = [line.strip() for line in stack.splitlines() if line.strip()]
        return (lines[-1] if lines else "") or kind
    if not kind or message.startswith((f"{kind}:", f"{kind.rpartition('.')[2]}:")):
        return message
    return outer


def leaf_of(text: str, outer: str = "") -> str:
    """Return the root error of a text: a group's first leaf, the last `Caused by`, a vague error's cause.

    Args:
        text: an error's text; one without a stack trace is returned as it is.
        outer: type and message of the outermost exception, where known.
    """
    if _GROUP.search(outer or text) and (leaf := _of_group(text)):
        return leaf
    if "Caused by:" in text and (causes := _CAUSED_BY.findall(text)):  # a word is found sooner
        return causes[-1].strip()
    if "Caused by:" in text and (causes := _RUST_CAUSES.findall(text)):
        return _NUMBERED.sub("", causes[-1].strip().splitlines()[-1].strip())
    if (
        ":in " in text
        and len(causes := _RUBY_RAISED.findall(text)) > 1
        and is_vague(_message_of(outer or causes[0][0]))
    ):
        return f"{causes[-1][1]}: {causes[-1][0]}"
    if "Next " in text and _PHP_NEXT.search(text) and (first_raised := _PHP_RAISED.search(text)):
        return first_raised["error"].strip()
    if causes := _NODE_CAUSE.findall(text) or _DOTNET_CAUSE.findall(text) or _NODE_ERRORS.findall(text)[:1]:
        return causes[-1].strip().rstrip("{ ").strip()
    if (chained := _CHAINED.search(text)) and is_vague(_message_of(outer or _last_raised(text))):
        return _last_raised(text[: chained.start()]) or outer or text
    if outer:
        return outer
    _, mark, stack = text.rpartition("Traceback (most recent call last)")
    return (_last_raised(stack) or text) if mark else text


def _message_of(raised: str) -> str:
    match = _RAISED.fullmatch(raised)
    return (match["message"] or "") if match else raised


def _of_group(stack: str) -> str:
    """Return the deepest exception of a group that is no group itself; the first of equally deep ones."""
    lines = [match for line in stack.splitlines() if (match := _GROUP_LINE.match(line))]
    raised = [(len(line["bars"]), line["text"].strip()) for line in lines]
    leaves = [
        (depth, text)
        for depth, text in raised
        if not text.startswith(_FRAME) and not _GROUP.search(text) and _is_raised(text)
    ]
    return max(leaves, key=lambda leaf: leaf[0], default=(0, ""))[1]


def _last_raised(stack: str) -> str:
    """Return the last line of a traceback that names an exception, with what follows it; '' without one."""
    lines = stack.strip().splitlines()
    for number in range(len(lines) - 1, -1, -1):
        if lines[number][:1].strip() and _is_raised(lines[number]):
            return "\n".join(lines[number:]).strip()
    return ""


def _is_raised(line: str) -> bool:
    match = _RAISED.fullmatch(line.strip())
    return match is not None and _TYPE_NAME.fullmatch(match["type"]) is not None
