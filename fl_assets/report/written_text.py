"""A title and an explanation by a language model, where one is set: of numbers and enumerated words alone.

What goes here: what the model is told, the request, and what is taken of its answer. What does not: the text
that they stand in (`issue_text.py`). It asks a server over HTTP, within one deadline for all playbooks.

The model sees no name, no message and no change, and what it says is checked: two short plain texts whose
every number it was told. They stand beside a playbook, marked; nothing is decided or changed by them.
"""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, ValidationError

from fl_assets.core.models import Playbook, Record
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import residue
from fl_assets.infra.http import Deadline, HttpError, exchange, failed
from fl_assets.infra.json_text import lenient_json

DEADLINE_SECS = 60.0
"""For all texts of one command together."""
MAX_ANSWER_BYTES = 1 << 16
_PLAIN = re.compile(r"[A-Za-z0-9 .,;:()%'+-]+")
_LINKED = re.compile(r"[A-Za-z0-9]\.[A-Za-z]{2}|\b[A-Z]{2,}-[0-9]|\b(?i:gh)-[0-9]")
"""What issue trackers make a link of in plain text: hosts (`www.x.com`), issues (`Fixes GH-12` closes it)."""
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_FACTS = frozenset(
    {"failure_class", "state", "category", "failure_rate", "nodes_affected", "nodes_reporting"}
)
_WORDS = {
    "contrasts": ("kind", "relation", "failed_with", "failed", "rate_with", "rate_without", "lift", "nodes"),
    "cures": ("source", "subject", "change", "helped", "tried", "help_rate", "base_rate", "nodes"),
}
"""Fields of findings that are numbers or words of ours; names and values are not told."""
_ASK = (
    "You get facts about one kind of failure in a fleet of software agents, as JSON. Rates are shares of 1. "
    "Write for the engineer who owns it: a title of at most 12 words, and an explanation of two or three "
    "sentences of what fails, how often, what it costs and what is different about the calls that fail. Use "
    "only numbers from the facts (you may write a share as a percentage), name nothing that is not in them, "
    "and propose no change. Plain ASCII text without markup."
)


class WriterError(RuntimeError):
    """No text could be had; says why, and holds nothing of the answer."""


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text) or _LINKED.search(text) or residue(text):
        raise ValueError("must be plain text without markup, links and personal data")
    return text


class Written(Record):
    """What a model wrote of a playbook."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=120), AfterValidator(_plain)]
    explanation: Annotated[str, StringConstraints(min_length=1, max_length=800), AfterValidator(_plain)]


def facts_of(playbook: Playbook) -> dict[str, Any]:
    """Return the facts of a playbook that a model is told: numbers, and words that are ours."""
    advice = playbook.advice
    facts = playbook.model_dump(include=set(_FACTS)) | {
        "failures": playbook.evidence_count,
        "goes_on_tomorrow": playbook.confidence,
        "readiness": advice.readiness,
    }
    if advice.denominators:
        facts |= advice.denominators.model_dump(include={"calls", "sessions", "window_days"})
    if advice.consequence:
        facts["consequence"] = advice.consequence.model_dump(exclude={"text"}, exclude_none=True)
    for name, fields in _WORDS.items():
        rows = [one.model_dump(include=set(fields)) for one in getattr(advice, name)[:3]]
        facts |= {name: rows} if rows else {}
    return facts


def text_by_model(
    playbook: Playbook, settings: FederatedLearningConfig, deadline: Deadline
) -> Written | None:
    """Return what the model of the settings writes of a playbook; `None` where none is set.

    Raises:
        WriterError: it did not answer in time, or not with two plain texts about these numbers.
    """
    if not settings.writer_url:
        return None
    facts = facts_of(playbook)
    schema = {"name": "playbook_text", "strict": True, "schema": Written.model_json_schema()}
    asked = {
        "model": settings.writer_model,
        "temperature": 0,
        "messages": [{"role": "system", "content": _ASK}, {"role": "user", "content": json.dumps(facts)}],
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    headers = {"content-type": "application/json"}
    if settings.writer_key:
        headers["authorization"] = f"Bearer {settings.writer_key.get_secret_value()}"
    url = f"{settings.writer_url.rstrip('/')}/chat/completions"
    try:
        answer = exchange(
            "POST",
            url,
            deadline=deadline,
            limit=MAX_ANSWER_BYTES,
            body=json.dumps(asked).encode(),
            headers=headers,
        )
        if not 200 <= answer.status < 300:
            raise failed(answer)
        said = lenient_json(answer.content)["choices"][0]["message"]["content"]
        written = Written.model_validate_json(said)
    except HttpError as error:
        raise WriterError(f"the model did not answer: {error}") from None
    except (ValueError, KeyError, IndexError, TypeError, ValidationError):
        raise WriterError("the model did not answer with a plain title and explanation") from None
    if made_up := _numbers(f"{written.title} {written.explanation}") - _known(facts):
        raise WriterError(
            f"the model wrote {len(made_up)} number{'s' if len(made_up) > 1 else ''} that it was not told"
        )
    return written


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(text)}


def _known(facts: Any) -> set[str]:
    """Return the numbers of facts as they may be written: rounded, and as percentages."""
    if isinstance(facts, dict | list):
        parts = facts.values() if isinstance(facts, dict) else facts
        return set().union(*map(_known, parts))
    if isinstance(facts, bool) or not isinstance(facts, int | float):
        return set()
    scales = (facts, 100 * facts)
    return {f"{scale:.{digits}f}" for scale in scales for digits in (0, 1, 2)} | {f"{facts:g}"}
