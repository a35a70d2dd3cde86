"""A playbook as the text of an issue or a pull request, in Markdown.

Text from telemetry is in fenced blocks, so that it is not read as Markdown, mentions nobody and links
nowhere. The rest is built from templates and names that passed `safe_name`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import get_args

from fl_assets.core.models import Benefit, Example, Playbook, Signal
from fl_assets.infra.markdown import block
from fl_assets.playbooks.wording import percent
from fl_assets.report.words import rule, visible, without_subject
from fl_assets.report.written_text import Written

_RARE = 0.1
"""Prevented a day below which the days to the first are said."""


def issue_text(playbook: Playbook, written: Written | None = None) -> str:
    """Return a playbook as Markdown: what fails, why we think so, the change, the evidence, the way back.

    What a model has `written` of its numbers is marked as such.
    """
    return "\n".join(_lines(playbook, written)).rstrip("\n") + "\n"


def _lines(playbook: Playbook, written: Written | None) -> Iterator[str]:
    advice = playbook.advice
    yield from _paragraphs(f"# {visible(playbook.title)}")
    if written:
        yield from _paragraphs(
            f"> *{visible(written.title)}.* {visible(written.explanation)}",
            "> Written by a language model from the numbers of this playbook; all the rest is not.",
        )
    said = (advice.headline, advice.consequence.text if advice.consequence else "")
    yield from _paragraphs(*(said if any(said) else (playbook.description,)))
    if playbook.held_because:
        yield from _paragraphs("**Held back, so not to be acted on yet:**")
        held = (rule(without_subject(one, playbook.improvement_id)) for one in playbook.held_because)
        yield from _bullets(dict.fromkeys(held))
    if advice.contrasts:
        yield from _paragraphs("## What is different about the calls that fail")
        yield from _bullets(one.text for one in advice.contrasts)
    if advice.cures:
        yield from _paragraphs("## What worked")
        yield from _bullets(one.text for one in advice.cures)
    if advice.contrasts or advice.cures:
        yield from _paragraphs(
            "These are associations, not proof; trying the change on a few nodes first decides."
        )
    yield from _paragraphs("## The change", advice.explanation)
    yield from _change(playbook)
    yield from _paragraphs("## How it is judged, and undone")
    yield from _bullets([advice.judged_by, advice.undone_by, *_expected(playbook)])
    if examples := [one for one in advice.examples if not one.is_talk]:
        yield from _paragraphs(
            "## Examples",
            "Data from telemetry, redacted: no part of the change, and nothing in it is an instruction.",
        )
        yield from _paragraphs(block("\n\n".join(map(_example, examples)), "text"))
    yield (
        f"Playbook `{playbook.improvement_id}`, version {playbook.version}, of {playbook.day}; pattern "
        f"`{playbook.pattern_id}`, family `{advice.family_id}`."
    )


def _paragraphs(*texts: str) -> Iterator[str]:
    for text in filter(None, texts):
        yield from (text, "")


def _bullets(texts: Iterable[str]) -> Iterator[str]:
    yield from (f"- {text}" for text in texts)
    yield ""


def _change(playbook: Playbook) -> Iterator[str]:
    if playbook.target:
        yield from _paragraphs(f"For `{playbook.target}`:")
    for name, value in sorted(playbook.suggested_changes.items()):
        yield from _paragraphs(f"`{name}`:", block(value, "text"))
    if playbook.advice.alternatives:
        yield from _paragraphs("Alternatives:")
        yield from _bullets(
            f"{one.title} ({one.category}): "
            + ", ".join(f"{name}={value}" for name, value in sorted(one.suggested_changes.items()))
            for one in playbook.advice.alternatives
        )


def _expected(playbook: Playbook) -> Iterator[str]:
    advice = playbook.advice
    if not (benefit := advice.benefit):
        return
    is_alone = playbook.nodes_affected == 1 and any(
        one.startswith("enough_nodes") for one in playbook.held_because
    )
    elsewhere = " and reaches a second node" if is_alone else ""
    chance = percent(round(benefit.persists, 2))
    if advice.consequence and advice.consequence.is_over:
        share = percent(round(benefit.helps * benefit.reduction, 2))
        yield (
            f"It is over; should it come back, the change should prevent {share} of it "
            f"(comes back{elsewhere}: {chance}; helps: {advice.helps.text})."
        )
        return
    here = "; how likely it is to go on where it is, is not known" if is_alone else ""
    yield (
        f"It should prevent {_fewer(playbook, benefit)} "
        f"(goes on{elsewhere}: {chance}; helps: {advice.helps.text}{here})."
    )


def _fewer(playbook: Playbook, benefit: Benefit) -> str:
    things = "conversations like these" if playbook.failure_class in get_args(Signal) else "failed requests"
    if benefit.avoided_per_day >= _RARE:
        return f"{benefit.avoided_per_day:,.1f} of {benefit.failures_per_day:,.1f} {things} a day"
    days = round(1 / max(benefit.avoided_per_day, 1e-9))
    return f"less than one of the {things} a year" if days > 365 else f"one of the {things} in {days} days"


def _example(one: Example) -> str:
    outcome = "succeeded" if one.succeeded else "failed"
    lines = [
        f"{outcome}: {one.service} {one.method} {json.dumps(one.arguments)}",
        f"  {one.time:%Y-%m-%d %H:%M:%S} UTC, node {one.node}, trace {one.trace_id}",
        *([f"  {one.link}"] if one.link else []),
    ]
    shown = [visible(line) for line in lines]
    return "\n".join([*shown, *([f"  {visible(one.message)}"] if one.message else [])])
