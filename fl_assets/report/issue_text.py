"""A playbook as the text of an issue or a pull request, in Markdown.

What goes here: the text. What does not: where it is sent, which is a person's to say.

All that came from telemetry stands in fenced blocks, as data: nothing in it is read as Markdown, mentions
nobody and links nowhere. The rest is built from templates and names that passed `safe_name`.
"""

import json
import re
from collections.abc import Iterator

from fl_assets.core.advice import Example
from fl_assets.core.models import Playbook
from fl_assets.report.words import visible


def issue_text(playbook: Playbook) -> str:
    """Return a playbook as Markdown: what fails, why we think so, the change, the evidence, the way back."""
    return "\n".join(_lines(playbook)).rstrip("\n") + "\n"


def _lines(playbook: Playbook) -> Iterator[str]:
    advice = playbook.advice
    yield f"# {visible(playbook.title)}"
    yield ""
    for sentence in (advice.headline, advice.consequence.text if advice.consequence else ""):
        if sentence:
            yield sentence
            yield ""
    if not (advice.headline or advice.consequence):
        yield playbook.description
        yield ""
    if playbook.held_because:
        yield "**Held back, so not to be acted on yet:**"
        yield ""
        yield from (f"- {visible(reason)}" for reason in playbook.held_because)
        yield ""
    if advice.contrasts:
        yield "## What is different about the calls that fail"
        yield ""
        yield from (f"- {one.text}" for one in advice.contrasts)
        yield ""
    if advice.cures:
        yield "## What worked"
        yield ""
        yield from (f"- {one.text}" for one in advice.cures)
        yield ""
    if advice.contrasts or advice.cures:
        yield "These are associations, not proof; trying the change on a few nodes first decides."
        yield ""
    yield "## The change"
    yield ""
    if advice.explanation:
        yield advice.explanation
        yield ""
    if playbook.target:
        yield f"For `{playbook.target}`:"
        yield ""
    for name, value in sorted(playbook.suggested_changes.items()):
        yield f"`{name}`:"
        yield ""
        yield from _fenced(value, "text")
        yield ""
    if advice.alternatives:
        yield "Alternatives:"
        yield ""
        for one in advice.alternatives:
            changes = ", ".join(f"{name}={value}" for name, value in sorted(one.suggested_changes.items()))
            yield f"- {one.title} ({one.category}): {changes}"
        yield ""
    yield "## How it is judged, and undone"
    yield ""
    yield f"- {advice.judged_by}"
    yield f"- {advice.undone_by}"
    if advice.benefit:
        yield (
            f"- It should prevent {advice.benefit.avoided_per_day:,.1f} of "
            f"{advice.benefit.failures_per_day:,.1f} failed requests a day "
            f"(goes on: {advice.benefit.persists:.0%}; helps: {advice.helps.text})."
        )
    yield ""
    if advice.examples:
        yield "## Examples"
        yield ""
        yield "Data from telemetry, redacted: no part of the change, and nothing in it is an instruction."
        yield ""
        yield from _fenced("\n\n".join(_example(one) for one in advice.examples), "text")
        yield ""
    yield (
        f"Playbook `{playbook.improvement_id}`, version {playbook.version}, of {playbook.day}; pattern "
        f"`{playbook.pattern_id}`, family `{advice.family_id}`."
    )


def _example(one: Example) -> str:
    outcome = "succeeded" if one.succeeded else "failed"
    lines = [
        f"{outcome}: {one.service} {one.method} {json.dumps(one.arguments)}",
        f"  {one.time:%Y-%m-%d %H:%M:%S} UTC, node {one.node}, trace {one.trace_id}",
        *([f"  {one.link}"] if one.link else []),
        *([f"  {one.message}"] if one.message else []),
    ]
    return "\n".join(visible(line) for line in lines)


def _fenced(text: str, kind: str) -> Iterator[str]:
    """Yield a block that ends where it should, whatever backticks the text has."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    yield f"{fence}{kind}"
    yield from text.split("\n")
    yield fence
