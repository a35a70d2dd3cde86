"""Turns of a conversation: one for each question of a user, however many calls of models it took to answer.

What goes here: the record of a turn, and which of several answers is the one that the user got. What does
not: reading messages (`messages.py`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fl_assets.events.formats.seam import EventLine
from fl_assets.events.formats.values import decoded, iso

SAME_REQUEST_NS = 3 * 10**9
"""How soon after an answer the same question is still the same request in another trace: no person reads and
asks again in that time."""
_BLANK = re.compile(r"\s+")
_MIN_CONTAINED = 12
"""Characters that a question must have to be found within a prompt that is built around it."""
_MAX_MARGIN = 40
"""Characters that may stand beside a question in a prompt that it begins or ends: "Question:", "Answer:"."""
_OTHER_TASK = re.compile(
    r"\b(?:title|summar\w+|tags?|follow-ups?|classif\w+|categor\w+|intent|rewrit\w+|rephras\w+|translat\w+|score"
    r"|rate|rating|grade|evaluat\w+|judge|extract\w*|keywords?|search quer\w+|memor\w+)\b"
)
"""What a prompt around a question asks for that is no answer to it."""


@dataclass(frozen=True, slots=True)
class Turn:
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
    """Whether the trace as a whole says so, before which nothing that a step of it says counts."""

    def event(self) -> EventLine:
        """Give the ConversationLog event."""
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
    """Give one turn for each question.

    Of those that follow each other in a trace, or within moments in a session, and ask the same, the last
    answer counts.

    A router, a classifier or a guardrail is asked what the user asked, or a prompt around it; what it says is
    not what the user read. Of answers in words and in JSON the words count, and of a question and a prompt
    around it the question.
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
    """Order answers to the same request.

    Words before data, and what was asked plainly before a prompt around it (a title, a summary).
    """
    return not _is_data(turn.answer), -len(_folded(turn.query))


def _answers_within(before: Turn, turn: Turn) -> bool:
    """Whether the later turn answers the question of the earlier one with something to read at hand.

    Its prompt has the question at its end or its beginning, and asks for nothing else.
    """
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
