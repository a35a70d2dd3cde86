"""The sentences of a report, and making text from telemetry visible.

What does not go here: numbers (`report/build.py`), escaping for HTML (`report/page.py`).
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fl_assets.patterns.store import MAX_MESSAGES
from fl_assets.report.records import PatternLine, PlaybookLine, Quality, Report, ReportRows
from fl_assets.updates.decide import in_words

MAX_TEXT, MAX_NAME = 600, 120
"""Longest text and longest name that are shown, in characters."""
ENDS = {"promoted": "promoted", "confirmed": "confirmed", "rolled_back": "rolled back"}
"""Steps of trials that the summary counts, in words."""
MAX_NAMED = 3
"""Nodes that a sentence names."""

# C0, C1, soft hyphen, zero-width and direction-changing characters: invisible, or able to reorder the text
# around them.
_INVISIBLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_UNREADABLE = re.compile("\ufffd{3,}")


def inert(text: str) -> str:
    """Return a text with invisible and direction-changing characters as codes, which no terminal obeys."""
    return _INVISIBLE.sub(lambda found: json_code(found[0]), text)


def json_code(letter: str) -> str:
    """Return a character as JSON escapes it, whether it has to be or not."""
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else json.dumps(letter)[1:-1]


def visible(text: Any, limit: int = MAX_TEXT) -> str:
    """Return a text with invisible and direction-changing characters as codes, cut to `limit`."""
    shown = inert("" if text is None else str(text))
    shown = _UNREADABLE.sub(lambda found: f"\ufffd×{len(found[0])}", shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def with_code(template: str, messages: Sequence[str]) -> str:
    """Return a template with the status code at its first number, where all of its messages have the same.

    `<NUM> Too Many Requests` of `429 Too Many Requests …` is `429 Too Many Requests`.
    """
    before, masked, after = template.partition("<NUM>")
    place = slice(len(before), len(before) + 3)
    codes = {
        one[place] if one.startswith(before) and not one[place.stop :][:1].isdigit() else ""
        for one in messages
    }
    code = codes.pop() if len(codes) == 1 else ""
    return f"{before}{code}{after}" if masked and _CODE.fullmatch(code) else template


_CODE = re.compile("[45][0-9][0-9]")


def without_subject(reason: str, improvement_id: str) -> str:
    """Return the reason for a hold without the playbook's id, which is shown beside it."""
    return visible(reason.replace(f" {improvement_id} has ", " "))


def rule(reason: str) -> str:
    """Return the reason for a hold without its rule's name: `confidence 0.61, needs 0.70`."""
    name, colon, rest = reason.partition(": ")
    if not colon or name not in _RULES:
        return reason
    actual, _, expected = rest.rpartition(", needs ")
    number = next((word for word in expected.split() if word[0].isdigit()), expected)
    return _RULES[name].format(actual=actual or rest, expected=expected, number=number)


_RULES = {
    "confidence_gate": "confidence {actual}, needs {number}",
    "corroborated": "{actual} without the worst nodes, needs {number}",
    "enough_nodes": "on {actual}, needs {number}",
    "evidence_is_real": "evidence not confirmed: {actual}, needs {expected}",
    "is_ready": "{actual}",
    "is_significant": "not statistically significant",
    "no_personal_data": "{actual}",
}


def summary_of(
    rows: ReportRows,
    status: str,
    patterns: Sequence[PatternLine],
    playbooks: Sequence[PlaybookLine],
    quality: Quality,
) -> tuple[str, ...]:
    """Return the summary of a report, one sentence each."""
    failing = [one for one in patterns if one.failures]
    passing = [one for one in playbooks if not one.held_because]
    ready = [one for one in passing if not one.is_apart]
    held = len(playbooks) - len(passing)
    incidents = [one for one in failing if one.incident_node]
    carried = sum(row["action"] in ("apply", "canary") for row in rows.decisions)
    undone = sum(row["action"] == "rolled_back" for row in rows.outcomes)
    is_gated = status == "gated"
    too_few = too_few_nodes(max((one.nodes_reporting for one in failing), default=0), rows.min_nodes)
    sentences = (
        (not failing, lambda: "Nothing that was reported failed."),
        (failing, lambda: _of_patterns(failing, rows.min_nodes)),
        (rows.left_out.get("messages"), lambda: _of_left_out(rows.left_out)),
        (ready, lambda: _of_ready(rows, ready, is_gated=is_gated)),
        (ready and ready[0].headline, lambda: f"The problem: {ready[0].headline}"),
        (incidents, lambda: _of_incidents(incidents)),
        (held, lambda: _of_held(held, playbooks, rows.threshold)),
        (too_few, lambda: f"{too_few[0].upper()}{too_few[1:]}."),
        (is_gated, lambda: "The gate stopped this cycle: nothing was decided and nothing was changed."),
        (not is_gated and carried, lambda: f"{_count(carried, 'change')} to be carried out."),
        (undone, lambda: f"{_count(undone, 'update')} rolled back."),
        (rows.outcomes or rows.steps, lambda: _of_trials(rows)),
        (
            not is_gated and rows.decisions and not carried,
            lambda: _PAST if rows.decisions[0]["mode"] == "backtest" else _UNTIL,
        ),
        (quality.silent, lambda: _of_silent(quality.silent)),
    )
    return tuple(sentence() for applies, sentence in sentences if applies)


_UNTIL = "Nothing changes until someone approves it."
_PAST = "This is a day of the past: what it proposes is recorded and never carried out."


def apart_of(report: Report) -> dict[str, tuple[str, str]]:
    """Return the playbooks that are under way or were tried: what each is, and what became of it."""
    return {one.improvement_id: (title, _became(one, report)) for title, some in report.apart for one in some}


def _became(one: PlaybookLine, report: Report) -> str:
    """Say what is being done about a playbook, or how its last trial ended."""
    ended = [step for step in report.steps if step.improvement_id == one.improvement_id]
    if one.readiness == "tried" and ended and ended[-1].action == "rolled_back":
        return f"rolled back on {ended[-1].day}: {ended[-1].reason}"
    for found in report.decisions:
        if found.improvement_id == one.improvement_id:
            reasons = [found.status_reason, *found.reasons]
            return f"{found.outcome}: {rule(next(filter(None, reasons), ''))}"
    return ""


def what_to_do(text: str, one: PlaybookLine) -> str:
    """Return a description without what is shown beside it: headline, cost, evidence."""
    shown = text.partition(" Evidence: ")[0]
    for part in (one.headline, one.cost):
        shown = shown.replace(part, "", 1)
    return shown.strip()


def too_few_nodes(reporting: int, minimum: int) -> str:
    """Say what to do where fewer nodes report than a pattern must be on; '' where there are enough."""
    if not 0 < reporting < minimum:
        return ""
    report = "1 node reports" if reporting == 1 else f"{reporting} nodes report"
    return (
        f"only {report}, and nothing is acted on that fewer than {minimum} have: see that each machine or "
        "deployment names itself (docs/formats.md), or set FEDERATED_LEARNING_MIN_NODES=1, so that "
        "users or sessions count instead"
    )


def _of_patterns(failing: Sequence[PatternLine], min_nodes: int) -> str:
    states = Counter(one.state for one in failing if one.nodes_affected >= min_nodes)
    moods = [
        f"{states[state]} {state}" for state in ("new", "rising", "regressed", "falling") if states[state]
    ]
    wide = sum(one.nodes_affected >= min_nodes for one in failing)
    of_states = f": {_and(moods)}" if moods else ""
    return f"{_count(len(failing), 'pattern')} of failure; {wide} on {min_nodes} or more nodes{of_states}."


def _of_left_out(left_out: Mapping[str, int]) -> str:
    failures, messages = (_count(left_out[name], name[:-1]) for name in ("failures", "messages"))
    return (
        f"{failures} of {messages} that are rarest are in no pattern: an analysis looks at "
        f"{MAX_MESSAGES:,} messages, those of most nodes first."
    )


def _of_ready(rows: ReportRows, ready: Sequence[PlaybookLine], *, is_gated: bool) -> str:
    ids = {one.improvement_id for one in ready}
    done = {row["decision_id"]: row["status"] for row in rows.applied}
    decided = Counter(
        in_words(row, done.get(row["decision_id"], ""))
        for row in rows.decisions
        if row["improvement_id"] in ids
    )
    fate = f" ({counted(decided)})" if decided else ""
    are = "would be ready" if is_gated else "is ready" if len(ready) == 1 else "are ready"
    return f"{_count(len(ready), 'playbook')} {are}{fate}. Start with: {ready[0].title}."


def _of_held(held: int, playbooks: Sequence[PlaybookLine], threshold: float) -> str:
    highest = max(one.confidence for one in playbooks)
    nearest = ""
    if highest < threshold:
        nearest = f"; the highest confidence is {highest:.0%}, and {threshold:.0%} is needed"
    return f"{_count(held, 'playbook')} held back, each with its reason{nearest}."


def _of_trials(rows: ReportRows) -> str:
    """Count the changes on trial, and how changes of the last fortnight ended."""
    became = Counter(ENDS[row["action"]] for row in rows.steps if row["action"] in ENDS)
    on_trial = sum(row["action"] in ("none", "widened", "promoted") for row in rows.outcomes)
    now = f"{_count(on_trial, 'change')} on trial or being watched" if on_trial else "no change on trial"
    return f"Changes: {now}{f'; in the last 14 days {counted(became)}' if became else ''}."


def _of_incidents(incidents: Sequence[PatternLine]) -> str:
    named = [f"{one.incident_node}: {_count(one.failures, 'failure')}" for one in incidents[:MAX_NAMED]]
    more = f" and {len(incidents) - len(named)} more" if len(incidents) > len(named) else ""
    which = "1 pattern is" if len(incidents) == 1 else f"{len(incidents)} patterns are each"
    return f"{which} on one node alone, to be fixed there ({', '.join(named)}{more})."


def _of_silent(silent: Sequence[str]) -> str:
    names = f" ({', '.join(silent)})" if len(silent) <= MAX_NAMED else ""
    report = "reports" if len(silent) == 1 else "report"
    return f"{_count(len(silent), 'node')} that usually {report} did not{names}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counted(outcomes: Mapping[str, int]) -> str:
    """Return counts as words, most first: `16 for review, 8 to change by hand`."""
    in_order = sorted(outcomes.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} {name}" for name, count in in_order)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
