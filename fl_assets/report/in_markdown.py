"""The main parts of a report as Markdown, for the Dagster UI.

What does not go here: their content (`report/build.py`), the whole report as a page (`report/page.py`).
"""

from collections import Counter
from collections.abc import Iterator

from fl_assets.infra.markdown import code, plain, prose
from fl_assets.report.page import few, share
from fl_assets.report.records import PatternLine, PlaybookLine, Report
from fl_assets.report.words import apart_of, counted, rule

MAX_SHOWN = 30
"""Playbooks, incidents and patterns that are listed."""


def report_in_markdown(report: Report) -> str:
    """Return a report in short: what to do, what fails, what is held back and why."""
    decided = {one.improvement_id: one for one in report.decisions}
    lines = [
        f"# Fleet report of {report.day}",
        "",
        *(f"- {prose(sentence)}" for sentence in report.summary),
        "",
        "## What to do",
        "",
    ]
    for one in report.actionable[:MAX_SHOWN]:
        found = decided.get(one.improvement_id)
        lines += [f"**{prose(one.title)}** ({one.category})", "", prose(one.headline or one.description), ""]
        lines += [f"- {sentence}" for sentence in _certainty(one)]
        if found and found.can_be_answered:
            lines.append(f'- to accept it: `fl-assets approve {found.decision_id} --reason "why"`')
        lines.append("")
    if not report.actionable:
        lines += ["Nothing is ready.", ""]
    became = apart_of(report)
    for title, some in report.apart:
        if some:
            lines += [f"## {title}", ""]
            lines += [
                f"- {prose(one.title)}: {prose(became[one.improvement_id][1])}" for one in some[:MAX_SHOWN]
            ]
            lines.append("")
    if report.incidents:
        lines += ["## On one node only: to be fixed there", ""]
        lines += [
            f"- {code(one.incident_node or '')}: {_pattern(one)}" for one in report.incidents[:MAX_SHOWN]
        ]
        lines.append("")
    failing = [one for one in report.patterns if one.failures]
    lines += ["## What fails", "", *(f"- {_pattern(one)}" for one in failing[:MAX_SHOWN]), ""]
    if report.held:
        lines += ["## Held back", ""]
        for one in report.held[:MAX_SHOWN]:
            why = "; ".join(plain(rule(reason)) for reason in one.held_because)
            lines.append(f"- {prose(one.title)}: {why}")
        lines.append("")
    if report.decisions:
        lines += ["## Decisions", "", counted(Counter(one.outcome for one in report.decisions)), ""]
    return "\n".join(lines)


def _certainty(one: PlaybookLine) -> Iterator[str]:
    others = ""
    if one.corroboration is not None:
        others = f", {share(one.corroboration)} even without the worst nodes"
    yield f"likely to continue: {share(one.confidence)}{others}"
    tried = f"helped {one.helped} of {one.tried} times" if one.tried else "not tried yet"
    yield f"this change: {tried}"
    if one.avoided_per_day is not None:
        yield f"expected: {few(one.avoided_per_day)} fewer failures a day"


def _pattern(one: PatternLine) -> str:
    said = one.examples[0].message if one.examples and one.kind != "conversation" else ""
    return (
        f"{one.failures:,} of {one.calls:,} ({share(one.failure_rate)}) on {one.nodes_affected} of "
        f"{one.nodes_reporting} nodes, {one.state}: {code(said or one.template)}"
    )
