from datetime import date, datetime, timedelta

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.core.tables import CONVERSATION_LOGS, CONVERSATION_SIGNALS, RAW_TRACES
from fl_assets.sums.conversations import LEXICONS, SIGNALS, conversation_signals_sql, lexicon

DAY = date(2026, 11, 20)
START = datetime.fromisoformat("2026-11-20T10:00:00")


class Talk:
    """Turns and calls of one day, in the lake's own columns."""

    def __init__(self):
        self.turns, self.calls = [], []

    def says(self, user, system, *, session="s1", node="n1", trace=None, metadata=None, minute=None):
        number = len(self.turns)
        time = START + timedelta(minutes=10 * number if minute is None else minute)
        metadata = {"agent": "helper"} if metadata is None else metadata
        self.turns.append(
            {
                "event_id": f"e{number:02}",
                "timestamp": time,
                "node_id": node,
                "session_id": session,
                "trace_id": trace,
                "user_query": user,
            }
            | {"system_response": system, "metadata": metadata}
        )
        return self

    def call(self, method, *, success, minute, trace="t1", metadata=None, caused_by=None):
        self.calls.append(
            {
                "timestamp": START + timedelta(minutes=minute),
                "service": "tools",
                "method": method,
                "trace_id": trace,
                "success": success,
                "caused_by": caused_by,
            }
            | {"metadata": metadata or {}}
        )
        return self


def signals(*talks):
    """Return the signals of each talk, all found by one statement; talks share no session, trace or node."""

    def apart(row, number):
        own = {
            key: f"{number}/{row[key]}"
            for key in ("event_id", "node_id", "session_id", "trace_id")
            if row.get(key) is not None
        }
        metadata = row["metadata"] | (
            {"session_id": f"{number}/{row['metadata']['session_id']}"}
            if "session_id" in row["metadata"]
            else {}
        )
        return row | own | {"metadata": metadata, "event_date": DAY}

    with duckdb.connect() as db:
        for table, kind in ((CONVERSATION_LOGS, "turns"), (RAW_TRACES, "calls")):
            db.execute(table.ddl)
            rows = [apart(row, number) for number, talk in enumerate(talks) for row in getattr(talk, kind)]
            if rows:
                db.executemany(
                    f"insert into {table.name} by name select "
                    f"{', '.join(f'? as {name}' for name in rows[0])}",
                    [list(row.values()) for row in rows],
                )
        result = db.execute(conversation_signals_sql("conversation_logs", "raw_traces"))
        names = [column[0] for column in result.description]
        found = [[] for _ in talks]
        for values in result.fetchall():
            row = dict(zip(names, values, strict=True))
            number, row["node_id"] = row["node_id"].split("/", 1)
            row["exemplar_session_ids"] = [
                session.split("/", 1)[1] for session in row["exemplar_session_ids"]
            ]
            found[int(number)].append(row)
        return found


def found(*talks):
    """Return the names of the signals that each talk shows in some session."""
    return [{row["signal"] for row in rows if row["sessions_affected"]} for rows in signals(*talks)]


QUESTION = "How do I export the monthly revenue report to a spreadsheet?"
ANSWER = "Open the report and look for the menu in the upper corner."


def test_the_columns_are_those_of_the_table_in_its_order():
    ((row, *_others),) = signals(Talk().says(QUESTION, ANSWER))
    assert [
        "event_date",
        *(name for name in row if name != "event_date"),
    ] == CONVERSATION_SIGNALS.column_names


def test_every_agent_that_talked_has_a_row_for_every_signal_even_when_nothing_was_found():
    (rows,) = signals(
        Talk().says(QUESTION, ANSWER).says("Thank you, that works", "You are welcome", node="n2")
    )
    assert [(row["node_id"], row["service"], row["signal"]) for row in rows] == [
        (node, "helper", signal) for node in ("n1", "n2") for signal in sorted(SIGNALS)
    ]
    assert all(
        (row["sessions_affected"], row["sessions"], row["turns"], row["exemplar_session_ids"])
        == (0, 1, 0, [])
        for row in rows
    )


def test_the_same_or_rephrased_question_is_a_repeated_one():
    texts = (
        QUESTION,
        "how do I export the monthly revenue report to a spreadsheet",
        "Can you tell me how to export the monthly revenue report to my spreadsheet?",
    )
    assert found(*(Talk().says(QUESTION, ANSWER).says(text, ANSWER) for text in texts)) == [
        {"repeated_question"}
    ] * len(texts)


def test_another_question_another_id_or_a_mere_consent_is_no_repeated_question():
    pairs = (
        (QUESTION, "How do I rename a column of the customer table?"),
        (
            "Please cancel the reservation with code HSR97W for me",
            "Please cancel the reservation with code FDZ0T5 for me",
        ),
        (
            "Yes, please proceed with the upgrade using my credit card",
            "Yes, please proceed with the upgrade using my credit card",
        ),
        ("Thanks", "Thanks"),
    )
    assert found(*(Talk().says(first, ANSWER).says(then, ANSWER) for first, then in pairs)) == [set()] * len(
        pairs
    )


def test_a_question_is_repeated_only_within_a_session_and_not_when_the_system_speaks_twice():
    talks = (
        Talk().says(QUESTION, "Let me look that up for you, one moment.").says(QUESTION, ANSWER),
        Talk().says(QUESTION, ANSWER).says(QUESTION, ANSWER, session="s2"),
        Talk().says(QUESTION, ANSWER).says(QUESTION, ANSWER, node="n2"),
    )
    assert found(*talks) == [set()] * len(talks)


def test_a_correction_is_heard_after_an_answer_but_not_in_the_first_turn():
    texts = (
        "No, that's not what I asked for.",
        "that is wrong",
        "I said the blue one, in medium",
        "I think there might be a mix-up here",
        "You’ve misunderstood me",
        "It still doesn't work. Can you check again?",
    )
    assert found(
        *(Talk().says(QUESTION, ANSWER).says(text, ANSWER).says("Thank you", "Welcome") for text in texts)
    ) == [{"correction"}] * len(texts)
    assert found(*(Talk().says(text, ANSWER).says("Thank you", "Welcome") for text in texts)) == [
        set()
    ] * len(texts)


def test_what_a_speaker_only_quotes_or_says_of_something_else_is_no_signal():
    texts = (
        'My boss wrote "that is wrong" under the report, what does it refer to?',
        "What does “forget it” mean in German?",
        "Why does it print\n> I said no\n> never mind\nbefore the table?",
        "Explain this:\n```\nraise ValueError('that is wrong')  # never mind\n```",
        "Rename the function `never mind` please",
        "I ordered the wrong size, how do I exchange it?",
        "Sorry for the confusion, my zip code is 98187.",
        "The nevermindful author, said Said, is saidish.",
    )
    assert found(*(Talk().says(QUESTION, ANSWER).says(text, ANSWER) for text in texts)) == [set()] * len(
        texts
    )


def test_giving_up_is_abandonment():
    texts = (
        "Never mind.",
        "Forget it, I give up",
        "This is useless",
        "Let me talk to a human",
        "Please transfer me",
        "I'll do it myself",
    )
    talks = [
        Talk().says(QUESTION, ANSWER).says(text, "As you wish.").says("Thank you", "Welcome")
        for text in texts
    ]
    assert found(*talks) == [{"abandonment"}] * len(texts)


def test_a_session_that_ends_unanswered_or_on_a_complaint_is_abandoned():
    cases = (
        (Talk().says(QUESTION, ANSWER).says("And how do I print it?", None), {"abandonment"}),
        (Talk().says(QUESTION, ANSWER).says("That is wrong", ANSWER), {"correction", "abandonment"}),
        (
            Talk()
            .says(QUESTION, ANSWER)
            .says("And how do I print it?", " ")
            .says("Hello?", "Yes, use the menu"),
            set(),
        ),
        (Talk().says(QUESTION, "", metadata={"agent": "helper", "answer": "unknown"}), set()),
        (Talk().says(None, "Good morning, this is your daily report"), set()),
    )
    assert found(*(talk for talk, _expected in cases)) == [expected for _talk, expected in cases]


def test_a_refusal_is_the_systems_and_not_the_users():
    texts = (
        "I'm sorry, but I can't help with that.",
        "I am unable to assist with this request.",
        "As an AI language model, I have no opinion.",
        "This is against our policy.",
    )
    assert found(*(Talk().says(QUESTION, text) for text in texts)) == [{"refusal"}] * len(texts)
    assert found(*(Talk().says(text, ANSWER) for text in texts)) == [set()] * len(texts)


def test_two_apologies_running_are_a_loop_and_one_or_sympathy_is_none():
    sorry = "I apologize for the inconvenience."
    cases = (
        (Talk().says("a", sorry).says("b", sorry), {"apology_loop"}),
        (Talk().says("a", sorry).says("b", ANSWER).says("c", sorry), set()),
        (Talk().says("a", "I'm sorry to hear that you are ill.").says("b", "Sorry to hear it."), set()),
    )
    assert found(*(talk for talk, _expected in cases)) == [expected for _talk, expected in cases]


BOOKED = "Your flight has been booked, enjoy your trip!"
OVERCONFIDENT = {
    "by trace": Talk()
    .says("Book it", ANSWER, trace="t1", minute=0)
    .call("book", success=False, minute=5)
    .says("Go ahead", BOOKED, trace="t1", minute=10),
    "by session in the metadata": Talk()
    .says("Book it", BOOKED, minute=10)
    .call("book", success=False, minute=5, trace="x", metadata={"session_id": "s1"}),
    "by session as trace": Talk()
    .says("Book it", BOOKED, session="t1", minute=10)
    .call("book", success=False, minute=5),
}
HONEST = {
    "retried": Talk()
    .says("Book it", BOOKED, trace="t1", minute=10)
    .call("book", success=False, minute=5)
    .call("book", success=True, minute=6),
    "failed later": Talk()
    .says("Book it", BOOKED, trace="t1", minute=10)
    .call("book", success=False, minute=15),
    "other trace": Talk()
    .says("Book it", BOOKED, trace="t2", minute=10)
    .call("book", success=False, minute=5),
    "says so": Talk()
    .says("Book it", "The booking failed, but your seat has been saved.", trace="t1", minute=10)
    .call("book", success=False, minute=5),
    "said so before": Talk()
    .call("find", success=False, minute=5)
    .says("Find it", "I couldn't find it.", trace="t1", minute=7)
    .says("Book it", BOOKED, trace="t1", minute=10),
    "given up": Talk()
    .says("Book it", BOOKED, trace="t1", minute=10)
    .call("book", success=False, minute=5, caused_by="cancelled"),
    "claims nothing": Talk()
    .says("Book it", ANSWER, trace="t1", minute=10)
    .call("book", success=False, minute=5),
}


def test_a_claim_of_success_after_a_failed_call_is_overconfident():
    assert dict(zip(OVERCONFIDENT, found(*OVERCONFIDENT.values()), strict=True)) == {
        name: {"confident_after_failure"} for name in OVERCONFIDENT
    }


def test_a_retried_later_foreign_or_admitted_failure_is_not_overconfidence():
    assert dict(zip(HONEST, found(*HONEST.values()), strict=True)) == {name: set() for name in HONEST}


def test_the_agent_is_named_by_service_agent_or_model_family():
    cases = (
        ({"service": "desk", "agent": "a", "model": "m"}, "desk"),
        ({"agent": "planner", "model": "m"}, "planner"),
        ({"model": "gpt-4o-2024-08-06"}, "gpt-4o"),
        ({"model": "meta-llama/Llama-3.1-70B-Instruct"}, "llama-3.1"),
        ({"model": "gpt-4o"}, "gpt-4o"),
        ({}, "conversation"),
    )
    rows = signals(*(Talk().says(QUESTION, ANSWER, metadata=metadata) for metadata, _service in cases))
    assert [{row["service"] for row in one} for one in rows] == [{service} for _metadata, service in cases]


def test_counts_are_sessions_and_exemplars_are_the_smallest_three():
    talk = Talk()
    for session in ("s5", "s1", "s4", "s2", "s3"):
        talk.says(QUESTION, "I can't help with that.", session=session).says(
            QUESTION + " Now?", "I can't help with that, sorry.", session=session
        )
    talk.says("Hello", "Hello", session="s6")
    (rows,) = signals(talk)
    (row,) = [row for row in rows if row["signal"] == "refusal"]
    assert (row["sessions_affected"], row["sessions"], row["turns"], row["exemplar_session_ids"]) == (
        5,
        6,
        10,
        ["s1", "s2", "s3"],
    )
    assert (row["first_seen"], row["last_seen"]) == (START, START + timedelta(minutes=90))


PHRASES = [QUESTION, "Never mind", "that is wrong", "I said no", "Thank you", "It broke again", None]
REPLIES = [ANSWER, BOOKED, "I apologize for the error.", "I can't help with that.", "Let me check.", None]


@settings(deadline=None, max_examples=10)
@given(
    turns=st.lists(
        st.tuples(
            st.sampled_from(PHRASES), st.sampled_from(REPLIES), st.sampled_from("ab"), st.sampled_from("xy")
        ),
        min_size=1,
        max_size=12,
    ),
    calls=st.lists(
        st.tuples(st.sampled_from(["book", "find"]), st.booleans(), st.integers(0, 120)), max_size=6
    ),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_rows_changes_nothing(turns, calls, random):
    talk, shuffled = Talk(), Talk()
    for user, system, session, node in turns:
        talk.says(user, system, session=session, node=node, trace="t1")
    for method, success, minute in calls:
        talk.call(method, success=success, minute=minute)
    shuffled.turns, shuffled.calls = (
        random.sample(talk.turns, len(talk.turns)),
        random.sample(talk.calls, len(talk.calls)),
    )
    in_order, in_any_order = signals(talk, shuffled)
    assert in_order == in_any_order


def test_every_purpose_is_one_regular_expression_that_re2_takes():
    with duckdb.connect() as db:
        for purpose in {purpose for phrases in LEXICONS.values() for purpose in phrases}:
            assert db.execute("select regexp_matches('', ?)", [lexicon(purpose)]).fetchone() is not None


def test_hostile_text_is_text():
    talk = Talk().says(
        "'; drop table raw_traces; --",
        "I can't help with that' || '",
        session="'\"s",
        node="n'1",
        metadata={"agent": "a'b{x}"},
    )
    assert found(talk) == [{"refusal"}]
