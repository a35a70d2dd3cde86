"""Each failure once: what only repeats a deeper one, what failed by itself, and turns: one per question."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events.formats.causes import FailedSpan, Place, causes_of, same_error
from fl_assets.events.formats.turns import Turn, one_per_question


def tree(**spans: tuple) -> tuple[dict[str, Place], dict[str, FailedSpan]]:
    """Make a trace from parent, start, end and error (None: succeeded, 'ok': says so)."""
    places, failed = {}, {}
    for name, (parent, start, end, error) in spans.items():
        is_failed = error not in {None, "ok"}
        places[name] = Place(parent, start, end, "failed" if is_failed else "ok", says_ok=error == "ok")
        if is_failed:
            failed[name] = FailedSpan(error, end)
    return places, failed


def test_an_error_that_travels_up_is_one():
    found = tree(
        root=("", 1, 9, "no seats today"),
        step=("root", 2, 8, ""),
        tool=("step", 3, 7, "Error: no seats today"),
    )
    assert causes_of(*found) == {"root": "tool", "step": "tool"}


def test_a_limit_after_a_tool_error_that_was_handled_is_a_failure_of_its_own():
    found = tree(
        root=("", 1, 60, "Max turns (10) exceeded"),
        tool=("root", 2, 3, "404 Not Found"),
        chat=("root", 4, 5, None),
    )
    assert causes_of(*found) == {}


@pytest.mark.parametrize(
    "limit",
    [
        "UsageLimitExceeded: The next request would exceed the request_limit of 5",
        "GraphRecursionError: Recursion limit of 25 reached",
        "message limit of 3.0 reached",
        "working limit of 600 reached",
        "OutputGuardrailTripwireTriggered: triggered tripwire",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "too many steps",
        "error_max_turns",
        "error_max_budget_usd: Reached maximum budget ($0.5)",
        "UnexpectedModelBehavior: Exceeded maximum retries (1) for output validation: too many retries",
    ],
)
def test_a_limit_is_an_agents_own_failure_though_nothing_succeeded_since(limit):
    found = tree(root=("", 1, 60, limit), tool=("root", 2, 3, "404 Not Found"))
    assert causes_of(*found) == {}
    again = tree(root=("", 1, 60, f"run failed: {limit}"), agent=("root", 2, 50, limit))
    assert causes_of(*again) == {"root": "agent"}, "the same limit travels up"


def test_another_error_is_caused_by_it_where_nothing_succeeded_since():
    found = tree(
        root=("", 1, 9, "agent run failed"), chat=("root", 2, 3, None), tool=("root", 4, 5, "404 Not Found")
    )
    assert causes_of(*found) == {"root": "tool"}


def test_what_ran_beside_it_says_nothing_of_recovery():
    found = tree(
        root=("", 1, 9, "agent run failed"), tool=("root", 2, 6, "404 Not Found"), other=("root", 3, 8, None)
    )
    assert causes_of(*found) == {"root": "tool"}


def test_a_span_that_says_ok_stops_all_but_the_same_error():
    for error, expected in (("boom happened", {}), ("404 Not Found here", {"root": "tool"})):
        found = tree(root=("", 1, 9, error), step=("root", 2, 8, "ok"), tool=("step", 3, 7, "404 Not Found"))
        assert causes_of(*found) == expected


def test_the_same_failure_across_a_span_that_is_missing_is_one():
    error = "ToolError: stock service returned 503"
    found = tree(root=("", 1, 9, error), tool=("lost", 3, 4, error), other=("lost", 5, 6, "disk is full"))
    assert causes_of(*found) == {"root": "tool"}


@pytest.mark.parametrize(
    "above", ["Agent run failed: RateLimitError: 429 from m", "error", "Agent run failed"]
)
def test_across_a_span_that_is_missing_a_type_or_no_words_at_all_say_that_it_is_the_same(above):
    found = tree(root=("", 1, 9, above), tool=("lost", 3, 4, "openai.RateLimitError: 429 from m"))
    assert causes_of(*found) == {"root": "tool"}


def test_of_several_failures_below_the_same_error_goes_first():
    found = tree(
        root=("", 1, 9, "first trouble"),
        one=("root", 2, 3, "first trouble"),
        two=("root", 4, 5, "second trouble"),
    )
    assert causes_of(*found) == {"root": "one"}


def test_errors_are_the_same_by_text_or_telling_type():
    assert same_error("openai.RateLimitError: slow down", "RateLimitError: 429")
    assert not same_error("ToolError: a", "ToolError: b")
    assert not same_error("", "")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 13),
            st.sampled_from(["ok", None, "error one", "error two", "x"]),
            st.integers(1, 4),
        ),
        max_size=12,
    )
)
def test_causes_are_failures_below_and_cause_themselves_nothing(nodes):
    spans = {
        str(number): (str(parent) if parent < number else "lost" if parent == 13 else "", 1, end, error)
        for number, (parent, error, end) in enumerate(nodes)
    }
    places, failed = tree(**spans)
    causes = causes_of(places, failed)
    assert set(causes) <= set(failed)
    for span_id, cause in causes.items():
        assert cause in failed
        assert cause not in causes
        assert cause != span_id
    assert causes == causes_of(dict(reversed(places.items())), dict(reversed(failed.items())))


def turn(number: int, query: str, answer: str, *, at: int, session: str = "s", trace: str = "t") -> Turn:
    second = 10**9
    return Turn(
        1,
        str(number),
        str(number),
        session,
        query,
        answer,
        at * second,
        (at + 1) * second,
        {"trace_id": trace},
    )


def said(*turns: Turn) -> list[tuple[str, str]]:
    return [(one.query, one.answer) for one in one_per_question(turns)]


def test_a_router_and_an_answer_are_one_turn_with_the_answer():
    router, answer = (
        turn(1, "Why was I charged?", "billing", at=1),
        turn(2, "Why was I charged?", "Twice, sorry", at=3),
    )
    for order in ((router, answer), (answer, router)):
        assert said(*order) == [("Why was I charged?", "Twice, sorry")]


def test_a_prompt_around_the_question_is_the_question():
    prompt = turn(1, "Classify: Why was I charged twice?", '{"route": "billing"}', at=3)
    assert said(turn(2, "Why was I charged twice?", "By mistake", at=1), prompt) == [
        ("Why was I charged twice?", "By mistake")
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "Context: docs and docs.\n\nQuestion: Why was I charged twice?",
        "Why was I charged twice?\n\nContext: x",
    ],
)
def test_an_answer_from_documents_goes_before_what_only_led_to_it(prompt):
    rewriter = turn(1, "Why was I charged twice?", "double charge", at=1)
    assert said(rewriter, turn(2, prompt, "By mistake", at=3)) == [("Why was I charged twice?", "By mistake")]
    title = turn(2, "Write a title for this chat: Why was I charged twice?", "Charged twice", at=3)
    assert said(rewriter, title) == [("Why was I charged twice?", "double charge")]


def test_what_a_user_asks_again_later_is_another_turn():
    first, later = (
        turn(1, "Where is it?", "There", at=1, trace="a"),
        turn(2, "Where is it?", "Here", at=60, trace="b"),
    )
    assert len(said(first, later)) == 2
    soon = turn(3, "Where is it?", "Here", at=3, trace="b")
    assert len(said(first, soon)) == 1


def test_sessions_and_other_questions_stay_apart():
    assert (
        len(said(turn(1, "a b c", "x", at=1), turn(2, "d e f", "y", at=2), turn(3, "a b c", "z", at=3))) == 3
    )
    assert len(said(turn(1, "a b c", "x", at=1), turn(2, "a b c", "y", at=2, session="other"))) == 2
