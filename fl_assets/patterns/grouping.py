"""Which failures are the same: templates become patterns with a stable id.

What goes here: patterns, their ids, and people's corrections. What does not: masking (`sums/masking.py`, in
SQL), mining (`mining.py`), counting (`evidence.py`).
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from fl_assets.core.models import Record
from fl_assets.infra.rule_files import read_record
from fl_assets.patterns.mining import describe, mined, same_words
from fl_assets.patterns.words import bracketed, skeleton, status_of
from fl_assets.sums.masking import UNCAUGHT_PREFIX


class Merge(Record):
    """Patterns that people say are one."""

    into: str = Field(min_length=1)
    """Pattern id that survives."""
    patterns: tuple[str, ...] = Field(min_length=1)
    """Pattern ids that become it."""


class Split(Record):
    """Messages that people say are not of a pattern: those with a given text in them."""

    pattern: str = Field(min_length=1)
    """Pattern id to take them from."""
    containing: str = Field(min_length=1)
    """Text that their masked error contains, letter by letter."""


class Corrections(Record):
    """People's corrections: permanent, and applied in every later and historical cycle."""

    merges: tuple[Merge, ...] = ()
    splits: tuple[Split, ...] = ()


def load_corrections(path: Path | None) -> Corrections:
    """Return people's merges and splits; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return read_record(path, Corrections) if path else Corrections()


NO_CORRECTIONS = Corrections()
GROUPED_COLUMNS = ["message_id", "pattern_id", "kind", "template", "why_grouped", "messages"]


def _pattern_id(*parts: str) -> str:
    return "p-" + hashlib.md5("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()[:12]


def group_patterns(messages: pd.DataFrame, corrections: Corrections = NO_CORRECTIONS) -> pd.DataFrame:
    """Group the distinct messages known up to a day into patterns with stable ids.

    The id of a pattern is the hash of the skeleton of its earliest message (by first day, then text).
    Messages that come later never split a group, so they can change an id only by joining two patterns, and
    then the older one's wins.

    Args:
        messages: One row a distinct message: `message_id, masked_error, has_text, service, method,
            first_day`, in any order.
        corrections: People's merges and splits, by pattern id.

    Returns:
        One row a message, ordered by `message_id`: `message_id, pattern_id, kind, template, why_grouped,
        messages` (distinct messages in the pattern).
    """
    if messages.empty:
        return pd.DataFrame(columns=GROUPED_COLUMNS)
    rows = messages.sort_values(["first_day", "masked_error", "message_id"], kind="stable").reset_index(
        drop=True
    )
    texts: list[str] = rows["masked_error"].tolist()
    has_text = rows["has_text"].to_numpy(dtype=bool)
    kept = [essence(text) for text in texts]
    shapes = [skeleton(text) if spoken else (text,) for text, spoken in zip(kept, has_text, strict=True)]
    own_ids = [
        _pattern_id(*(shape if spoken else (text,)), status_of(text))
        for shape, text, spoken in zip(shapes, texts, has_text, strict=True)
    ]
    groups: list[tuple] = [("silent", row) for row in range(len(rows))]
    spoken_rows = np.flatnonzero(has_text).tolist()
    if spoken_rows:
        spoken_shapes = [shapes[row] for row in spoken_rows]
        grouped = same_words(
            mined(spoken_shapes, [bracketed(kept[row]) for row in spoken_rows]), spoken_shapes
        )
        for row, group in zip(spoken_rows, grouped, strict=True):
            groups[row] = ("error", group, status_of(texts[row]), dependencies(shapes[row]))
    pattern, reason = _corrected(_named(own_ids, groups), own_ids, texts, corrections)
    members: dict[str, list[int]] = {}
    for row, name in enumerate(pattern):
        members.setdefault(name, []).append(row)
    template, why = {}, {}
    for name, group in members.items():
        oldest = group[0]
        template[name], why[name] = describe(kept[oldest], {shapes[row] for row in group})
        if kept[oldest] != texts[oldest]:
            template[name] += ": <*>"
            why[name] = "The same type of exception, or kind of error; the rest of its messages varies."
        if not has_text[oldest]:
            why[name] = "Failures without a text, of the same service, method and status."
        why[name] = reason.get(name, why[name])
    result = pd.DataFrame(
        {
            "message_id": rows["message_id"],
            "pattern_id": pattern,
            "kind": np.where(has_text, "error", "silent"),
            "template": [template[name] for name in pattern],
            "why_grouped": [why[name] for name in pattern],
            "messages": [len(members[name]) for name in pattern],
        }
    )
    return result.sort_values("message_id", kind="stable").reset_index(drop=True)


_UNCAUGHT = re.compile(rf"^{UNCAUGHT_PREFIX}(?:[A-Za-z0-9_]+\.)*([A-Za-z0-9_]+)")
_WITH_EXCEPTION = re.compile(r"^(.{12,} \| )(?:[A-Za-z0-9_]+\.)*([A-Z][A-Za-z0-9_]*(?:Error|Exception))\b.*$")
_GENERIC = frozenset({
    "Error", "Exception", "BaseException", "RuntimeError", "OSError", "IOError", "HTTPError", "APIError",
    "ClientError", "RequestException", "ServiceException",
    "IllegalStateException", "ToolError", "ToolException",
    "OperationalError", "ProgrammingError", "DatabaseError", "SQLException",
})  # fmt: skip


# What a compiler, a shell, a system call and a parser of options say, whatever stands before or after it
_COMPILE = re.compile(
    r"^(?:IndentationError|TabError|SyntaxError(?!: (?:Unexpected |Invalid |.*\bJSON\b)))(?=:|$)"
)
_SHELL_SYNTAX = re.compile(
    r"^(?:(?:<PATH>|[\w./-]+): )?(?:-c: )?(?:line )?<NUM>: (?:syntax error|unexpected EOF while looking)",
    re.IGNORECASE,
)
_ERRNO = re.compile(
    r"^([\w.-]+: [^|]{0,200}?(?:No such file or directory|Permission denied|Not a directory"
    r"|Directory not empty|File exists|[Cc]ommand not found)) \| "
)
_USAGE = re.compile(
    r"^[^|:]{1,80}: (error: (?:unrecognized arguments|the following arguments are required"
    r"|argument [^:]{1,60}:|no such option|invalid choice).*)$"
)


def essence(text: str) -> str:
    """Return what a masked error is grouped by: of an uncaught exception its type, unless that says nothing.

    The message of an uncaught exception holds details of the code that raised it; error trackers group those
    by where and what, not by message. A generic type (`RuntimeError`, `HTTPError`) says nothing without its
    message, so there the message counts. Of code that does not compile the type counts, of a failed system
    call what is said first, of wrong options what is said of them and not of which program.
    """
    match = _UNCAUGHT.match(text)
    if match:
        return text if match.group(1) in _GENERIC else UNCAUGHT_PREFIX + match.group(1)
    if match := _COMPILE.match(text):
        return UNCAUGHT_PREFIX + match.group()
    if _SHELL_SYNTAX.match(text):
        return "shell: syntax error"
    if match := _ERRNO.match(text) or _USAGE.match(text):
        return match.group(1)
    match = _WITH_EXCEPTION.match(text)
    if not match or match.group(2) in _GENERIC:
        return text
    return match.group(1) + (
        "SyntaxError" if match.group(2) in ("IndentationError", "TabError") else match.group(2)
    )  # Python's own hierarchy


_DEPENDENCY = re.compile(
    r"^[a-z][a-z0-9]*N?(?:-[a-z0-9]+N?)*-(?:service|svc|server|api|gateway|db|database|cache|queue|broker|store)$"
)


def dependencies(shape: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of services in a message: which one is down is what the failure is about."""
    return tuple(word for word in shape if _DEPENDENCY.match(word))


def _named(own_ids: list[str], groups: list[tuple]) -> list[str]:
    """Return each row's pattern id: the own id of its group's first row, rows being ordered by age."""
    first: dict[tuple, str] = {}
    return [first.setdefault(group, own) for own, group in zip(own_ids, groups, strict=True)]


def _corrected(
    pattern: list[str], own_ids: list[str], texts: list[str], corrections: Corrections
) -> tuple[list[str], dict[str, str]]:
    """Apply splits, then merges.

    A rule finds its pattern by any message that once had that id, so it outlives later merges.
    """
    reason: dict[str, str] = {}
    current = dict(
        zip(own_ids, pattern, strict=True)
    )  # id that a message would have alone -> pattern it is in
    pattern = list(pattern)
    for split in corrections.splits:
        source = current.get(split.pattern, split.pattern)
        name = _pattern_id(split.pattern, split.containing)
        moved = [row for row, held in enumerate(pattern) if held == source and split.containing in texts[row]]
        for row in moved:
            pattern[row] = name
        if moved:
            reason[name] = f"Split from {split.pattern} by a person: contains the text that the rule names."
    names = {name: name for name in pattern}
    for merge in corrections.merges:
        target = current.get(merge.into, merge.into)
        for source in merge.patterns:
            held = current.get(source, source)
            names = {old: target if now == held else now for old, now in names.items()}
        reason[target] = f"Merged into {merge.into} by a person."
    return [names[name] for name in pattern], reason
