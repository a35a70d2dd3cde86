"""Evaluations: scores that people, models and code gave a call or a conversation.

What goes here: the record, its row, and evaluations by OpenTelemetry's conventions, in events and attributes.
What does not: other producers' records (their formats).

Sources: OpenTelemetry semantic conventions for generative AI, "Evaluation" (`gen_ai.evaluation.result`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from fl_assets.events.formats.attributes import ATTRIBUTES
from fl_assets.events.formats.conventions import session_of
from fl_assets.events.formats.seam import EvaluationLine
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import MAX_NS, iso
from fl_assets.events.formats.values import first, text_of

RESULT = "gen_ai.evaluation.result"
_MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One score of a call, a trace or a session.

    Times are nanoseconds since 1970, 0 for unknown; `value` is on its producer's scale; unknown ids are ''.

    Raises:
        ValueError: it has no name, neither value nor label, or no valid time.
    """

    name: str
    value: float | None
    label: str
    time_ns: int
    id: str = ""
    trace_id: str = ""
    span_id: str = ""
    session: str = ""
    source: str = ""
    evaluator: str = ""
    explanation: str = ""
    node: str = ""
    updated_ns: int = 0

    def __post_init__(self) -> None:
        if not self.name or (self.value is None and not self.label):
            raise ValueError(
                f"evaluation {self.id or self.name!r:.80} has {'no score' if self.name else 'no name'}"
            )
        if not 0 < self.time_ns <= MAX_NS:
            raise ValueError(f"evaluation {self.id or self.name!r:.80} has no usable time: {self.time_ns} ns")

    def row(self, line: int, *, session: str = "", node: str = "") -> EvaluationLine:
        """Return its row, by default with the session and node of its trace."""
        of = (self.trace_id, self.span_id, self.session, self.name, self.label, self.value, self.time_ns)
        texts = {
            "evaluation_id": self.id or hashlib.sha256(repr(of).encode()).hexdigest()[:32],
            "timestamp": iso(self.time_ns),
            "updated_at": iso(self.updated_ns if 0 < self.updated_ns <= MAX_NS else self.time_ns),
            "node_id": self.node or node,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "session_id": self.session or session,
            "name": self.name[:200],
            "label": self.label[:_MAX_TEXT],
            "source": self.source.lower()[:80],
            "evaluator": self.evaluator[:200],
            "explanation": self.explanation[:_MAX_TEXT],
        }
        found = {key: value for key, value in texts.items() if value}
        return EvaluationLine(line, orjson.dumps({**found, "value": self.value}))


def score_of(value: Any) -> tuple[float | None, str]:
    """Return a score as a number and as text; yes and no are 1 and 0, and keep their text."""
    if isinstance(value, bool):
        return float(value), str(value).lower()
    if isinstance(value, int | float):
        return (float(value), "") if value == value and abs(value) != float("inf") else (None, "")
    text = text_of(value).strip()
    try:
        number = float(text)
    except ValueError:
        flag = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}.get(text.lower())
        return flag, text
    return (number, "") if number == number and abs(number) != float("inf") else (None, text)


def of_attributes(values: Mapping[str, Any], **about: Any) -> Evaluation:
    """Return the evaluation in the attributes of a `gen_ai.evaluation.result`.

    `about` are further fields of the evaluation, among them its time.

    Raises:
        ValueError: as `Evaluation` does.
    """
    scores = (values.get(key) for key in ATTRIBUTES["evaluation_score"])
    value, words = score_of(next((score for score in scores if score is not None), None))
    return Evaluation(
        name=first(values, ("gen_ai.evaluation.name",)),
        value=value,
        label=first(values, ATTRIBUTES["evaluation_label"]) or words,
        source=first(values, ATTRIBUTES["evaluation_source"]),
        evaluator=first(values, ATTRIBUTES["evaluator"]),
        explanation=first(values, ATTRIBUTES["evaluation_explanation"]),
        **about,
    )


def in_span(span: Span, node: str) -> Iterator[Evaluation]:
    """Yield the evaluations in a span's events, or else in its attributes."""
    results = [(event.values, event.time_ns) for event in span.events if event.name == RESULT]
    if not results and "gen_ai.evaluation.name" in span.attributes:
        results.append((span.attributes, 0))
    for values, when in results:
        try:
            yield of_attributes(
                values,
                time_ns=when or span.time_ns,
                trace_id=span.trace_id,
                span_id=span.span_id,
                session=session_of(values) or session_of(span.attributes),
                node=node,
            )
        except ValueError:
            continue  # without a score
