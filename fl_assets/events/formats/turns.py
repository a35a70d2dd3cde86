"""Turns of a conversation: one per question, however many model calls it took to answer.

What goes here: the record of a turn, and which of several answers the user got. What does not: reading
messages (`messages.py`).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from fl_assets.events.formats.seam import EventLine
from fl_assets.events.formats.times import iso
from fl_assets.events.formats.values import decoded

SAME_REQUEST_NS = 3 * 10**9
"""The same question so soon after an answer is the same request, in another trace: no person is that fast."""
_BLANK = re.compile(r"\s+")
_MIN_CONTAINED = 12
"""Characters of the shortest question that is looked for within a longer prompt."""
_MAX_MARGIN = 40
"""Most characters before or after a question at an end of a prompt: "Question:", "Answer:"."""
_OTHER_TASK = re.compile(
    r"\b(?:title|summar\w+|tags?|follow-ups?|classif\w+|categor\w+|intent|rewrit\w+|rephras\w+|translat\w+|score"
    r"|rate|rating|grade|evaluat\w+|judge|extract\w*|keywords?|search quer\w+|memor\w+)\b"
)
"""Tasks of prompts around a question whose result is no answer to it."""


class Turn(Struct, frozen=True):
    """A user's question and the answer to it; times are nanoseconds since 1970 UTC."""

    line: int
    event_id: str
    log_id: str
    session: str
    query: str
    answer: str
    start_ns: int
    end_ns: int
    about: dict[str, Any]
    is_of_trace: bool = False
    """Whether it is the whole trace's, which overrides turns of its steps."""

    def event(self) -> EventLine:
        """Return the ConversationLog event."""
        when = iso(self.end_ns)
        log = {
            "log_id": self.log_id,
            "session_id": self.session,
            "user_query": self.query,
            "system_response": self.answer,
            "metadata": self.about,
            "timestamp": when,
        }
        event = {
            "event_id": self.event_id,
            "event_type": "ConversationLog",
            "execution_trace": None,
            "conversation_log": log,
            "timestamp": when,
        }
        return EventLine(self.line, orjson.dumps(event))


def one_per_question(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Yield one turn for each question, with the last answer of those in one trace, or moments apart.

    Routers, classifiers and guardrails get the user's question too, or a prompt around it, but the user does
    not read their answers. So text is preferred to JSON, and the answer to the question itself to that of a
    prompt around it.
    """
    last: dict[str, Turn] = {}
    for turn in sorted(turns, key=lambda turn: (turn.end_ns, turn.start_ns, turn.event_id)):
        before = last.get(turn.session)
        if before is None or not _is_same_request(before, turn):
            if before is not None:
                yield before
            last[turn.session] = turn
            continue
        is_last = _rank(turn) >= _rank(before) or _answers_within(before, turn)
        answered = turn if is_last else before
        last[turn.session] = replace(
            answered,
            query=min(before.query, turn.query, key=len),
            start_ns=min(before.start_ns, turn.start_ns),
        )
    yield from last.values()


def _rank(turn: Turn) -> tuple[bool, int]:
    """Rank answers to one request: text over data, the plain question over a prompt around it."""
    return not _is_data(turn.answer), -len(_folded(turn.query))


def _answers_within(before: Turn, turn: Turn) -> bool:
    """Whether a later prompt has the question at one end, with context (as in RAG), and no other task."""
    question, prompt = _folded(before.query), _folded(turn.query)
    place = prompt.rfind(question)
    is_at_an_end = place >= 0 and min(place, len(prompt) - place - len(question)) <= _MAX_MARGIN
    return is_at_an_end and not _is_data(turn.answer) and not _OTHER_TASK.search(prompt)


def _is_same_request(before: Turn, turn: Turn) -> bool:
    is_near = (
        before.about.get("trace_id") == turn.about.get("trace_id")
        or turn.start_ns - before.end_ns <= SAME_REQUEST_NS
    )
    if not is_near:
        return False
    one, other = sorted((_folded(before.query), _folded(turn.query)), key=len)
    return one == other or (len(one) >= _MIN_CONTAINED and one in other)


def _folded(text: str) -> str:
    return _BLANK.sub(" ", text).strip().casefold()


def _is_data(answer: str) -> bool:
    return isinstance(decoded(answer.strip()), dict | list) or (
        answer.startswith("```json") and answer.endswith("```")
    )
