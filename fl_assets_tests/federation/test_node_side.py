"""A node tells of its days by counts that no session can be read from, once, and within its budget."""

import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random

import duckdb
import orjson
import pyarrow as pa
import pytest

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES
from fl_assets.federation.counting import (
    BOUNDED_SQL,
    CALLS_BESIDE,
    COARSE,
    EXACT_SQL,
    MAX_CALLS,
    OF_CALLS,
    OF_ONE,
    PARTS,
    SEEN_SQL,
    SESSION_SQL,
    SLOW,
)
from fl_assets.federation.node_side import SummaryError, most_in_a_row
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.fleets import AFTER, DAY, call, lines_of, node_home, summaries_of, turn

SECRETS = (
    "CANARYRARE",  # an error of two sessions
    "canaryservice",  # a service of one
    "canarymethod",
    "CANARYGOAL",  # a word that varies in an error of many sessions
    "CANARYQUERY",
    "CANARYANSWER",
    "canary@example.com",
    "sk-canary0123456789abcdefghij",
    "t-canary",  # a trace id
    "s-canary",
)


def canary_lines() -> list[bytes]:
    """What must not leave the node, in every place that an event has for it."""
    lines = lines_of("n1", sessions=12)
    lines += [call("n1", session, 7, error="the vault door CANARYRARE is ajar") for session in (20, 21)]
    lines += [
        call("n1", 22, 7, service="canaryservice", method="canarymethod", error="search timed out after 9 s")
    ]
    goals = (
        "audit ledgers",
        "audit leads",
        "audit tickets",
        "audit CANARYGOAL",
        "audit invoices",
        "audit vendors",
        "audit routes",
    )
    lines += [
        call(
            "n1",
            30 + place,
            7,
            service="planner",
            method="plan",
            error=f"Agent stopped before the goal '{goal}' was met",
        )
        for place, goal in enumerate(goals)
    ]
    lines += [
        call(
            "n1",
            40 + place,
            7,
            error=f"mail to canary@example.com with key sk-canary0123456789abcdefghij bounced {place} times",
        )
        for place in range(4)
    ]
    lines += [
        call(
            "n1",
            50,
            7,
            trace_id="t-canary",
            metadata={"note": "CANARYQUERY"},
            error="search timed out after 7 s",
        )
    ]
    lines += [turn("n1", 60, 0, query="CANARYQUERY please", answer="CANARYANSWER it is")]
    return lines


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    return node_home(tmp_path_factory.mktemp("node"), "n1", canary_lines())


@pytest.fixture(scope="module")
def three_days(tmp_path_factory):
    """A node with three days of events, the last of them DAY."""
    days = [DAY - timedelta(days=back) for back in range(3)]
    return node_home(
        tmp_path_factory.mktemp("days"), "n1", [line for day in days for line in lines_of("n1", day=day)]
    )


@pytest.fixture
def home(three_days, tmp_path):
    """A copy of it, without a ledger, for one test."""
    shutil.copytree(three_days.settings.data_path, tmp_path / "n1")
    return Workspace(settings_in(tmp_path / "n1", node_id="n1"))


def test_a_summary_holds_no_text_that_fewer_than_k_sessions_had_and_nothing_that_anybody_said(canary):
    told = summaries_of(canary).summarize_day(DAY)
    found = [secret for secret in SECRETS if secret.lower().encode() in told.line.lower()]
    assert not found
    signatures, totals = canary.engine.signatures(DAY)
    sessions: Counter[str] = Counter()
    for rows, name in ((signatures, "masked_error"), (totals, "method"), (totals, "service")):
        for row in rows.to_pylist():
            sessions[row[name]] += row["sessions"]
    rare = [text for text, count in sessions.items() if count < 3]
    assert len(rare) > 3
    text = told.line.decode()
    assert not [one for one in rare if f'"{one}"' in text]
    errors = {one.error for one in told.summary.failures}
    assert "search timed out after <NUM>" in errors
    assert "Agent stopped before the goal <STR> was met" in errors, "masking makes one text of the rare ones"
    assert told.summary.unnamed.failures == 4, (
        "two of the vault, one of the rare service, one of the missing shards"
    )
    assert told.summary.unnamed.calls == 1


def test_with_k_of_one_nothing_is_left_out(canary):
    told = summaries_of(canary, summary_min_sessions=1).summarize_day(DAY)
    signatures, totals = canary.engine.signatures(DAY)
    assert sum(one.failures for one in told.summary.failures) == sum(signatures["failures"].to_pylist())
    assert sum(one.calls for one in told.summary.calls) == sum(totals["calls"].to_pylist())
    assert (told.summary.unnamed.failures, told.summary.unnamed.calls, told.summary.unnamed.sessions) == (
        0,
        0,
        0,
    )
    assert told.summary.events == canary.days.events_on(DAY)


def test_a_conversation_with_many_traces_is_one_session(tmp_path):
    lines = [
        call(
            "n1",
            session,
            0,
            error="one user did it",
            metadata={"session_id": "s-same"},
            trace_id=f"t{session}",
        )
        for session in range(9)
    ]
    told = summaries_of(node_home(tmp_path, "n1", lines)).summarize_day(DAY)
    assert told.summary.failures == ()
    assert told.summary.unnamed.failures == 9


def test_a_day_is_told_again_as_it_was_until_exact_counts_change(home):
    first, again = (
        summaries_of(home).summarize_day(DAY),
        summaries_of(home, now=AFTER + timedelta(hours=1)).summarize_day(DAY),
    )
    assert (first.is_new, again.is_new) == (True, False)
    assert first.line == again.line
    (home.settings.telemetry_path / "events_2.jsonl").write_bytes(
        call("n1", 5, 50, error="search timed out after 2 s") + b"\n"
    )
    home.engine.ingest()
    later = summaries_of(home).summarize_day(DAY)
    assert later.is_new
    assert later.summary.sequence == first.summary.sequence + 1


def test_noise_is_drawn_once_a_day_whatever_comes_later(home):
    first = summaries_of(home, seed=1, summary_epsilon=1.0).summarize_day(DAY)
    (home.settings.telemetry_path / "events_2.jsonl").write_bytes(
        call("n1", 5, 50, error="search timed out after 2 s") + b"\n"
    )
    home.engine.ingest()
    for changes in ({"summary_epsilon": 1.0}, {"summary_epsilon": 0.5}, {"summary_epsilon": 0.0}):
        again = summaries_of(home, seed=2, **changes).summarize_day(DAY)
        assert again.line == first.line
        assert not again.is_new
    assert float(summaries_of(home).spent()) == 1.0


def test_beyond_the_budget_nothing_is_told_and_the_error_says_what_to_do(home):
    days = [DAY - timedelta(days=back) for back in range(3)]
    ours = {"summary_epsilon": 0.4, "summary_budget": 0.8}
    told = [summaries_of(home, **ours).summarize_day(day) for day in days[:2]]
    with pytest.raises(
        SummaryError,
        match=r"the budget is spent: 0\.8 of FEDERATED_LEARNING_SUMMARY_BUDGET=0\.8 .* needs 0\.4 more",
    ):
        summaries_of(home, **ours).summarize_day(days[2])
    assert summaries_of(home, **ours).summarize_day(days[1]).line == told[1].line, (
        "what was sent can be sent again"
    )
    assert summaries_of(home, summary_epsilon=0.4, summary_budget=1.2).summarize_day(days[2]).is_new


def test_no_budget_is_spent_on_a_day_that_was_told_exactly(home):
    summaries_of(home).summarize_day(DAY)
    with pytest.raises(SummaryError, match="was sent without noise"):
        summaries_of(home, summary_epsilon=1.0).summarize_day(DAY)
    assert summaries_of(home).spent() == 0


def test_a_day_that_is_not_over_gets_no_noise(home):
    with pytest.raises(SummaryError, match="is not over"):
        summaries_of(home, summary_epsilon=1.0, now=datetime(2026, 11, 1, 23, tzinfo=UTC)).summarize_day(DAY)


def test_the_ledger_survives_a_torn_line_and_stops_at_a_damaged_one(home):
    ours = {"summary_epsilon": 1.0}
    first = summaries_of(home, **ours).summarize_day(DAY)
    path = summaries_of(home).ledger_path
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence":2,"da')
    assert summaries_of(home, **ours).summarize_day(DAY).line == first.line
    assert summaries_of(home, **ours).summarize_day(DAY - timedelta(days=1)).summary.sequence == 2
    assert [one.sequence for one in summaries_of(home).ledger()] == [1, 2]
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(SummaryError, match=r"line 1 of .*ledger\.jsonl cannot be read; restore"):
        summaries_of(home, **ours).summarize_day(DAY)


def test_a_line_that_is_not_what_the_ledger_speaks_of_is_not_sent(home):
    summaries_of(home, summary_epsilon=1.0).summarize_day(DAY)
    (path,) = (home.settings.data_path / "federation" / "sent").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"failures":', b'"failures" :', 1))
    with pytest.raises(SummaryError, match="restore it from a backup"):
        summaries_of(home).summarize_day(DAY)


def test_a_summary_speaks_for_one_node_and_needs_events(tmp_path):
    two = node_home(tmp_path, "n1", [*lines_of("n1"), *lines_of("n2")])
    with pytest.raises(SummaryError, match=r"is of n2, and FEDERATED_LEARNING_NODE_ID is n1"):
        summaries_of(two).summarize_day(DAY)
    with pytest.raises(SummaryError, match=r"is of n1, n2: set FEDERATED_LEARNING_NODE_ID"):
        summaries_of(two, node_id="").summarize_day(DAY)
    with pytest.raises(SummaryError, match=r"no events of 2026-10-01"):
        summaries_of(two).summarize_day(DAY - timedelta(days=31))


def test_the_private_key_is_its_owners_alone_and_made_once(home):
    tells = summaries_of(home)
    made = tells.key()
    assert tells.key_path.stat().st_mode & 0o777 == 0o600
    assert summaries_of(home).key().private_bytes_raw() == made.private_bytes_raw()
    assert b"PUBLIC KEY" in tells.public_path.read_bytes()


def test_the_budget_bounds_thirty_days_in_a_row_and_renews_as_they_pass():
    one = Fraction(1)
    told = [(DAY - timedelta(days=back), one) for back in range(1, 90)]
    assert most_in_a_row([*told, (DAY, one)], DAY) == 30
    assert most_in_a_row([*told[29:], (DAY, one)], DAY) == 1, "thirty days later all of it is there again"
    assert most_in_a_row([*told[:20], (DAY, one)], DAY - timedelta(days=5)) == 21, "later days count too"


# What one session may change
# ----------------------------------------------------------------------------------------------------


def counted(calls: list[dict], turns: list[dict], statements: dict[str, str]) -> dict[str, list[dict]]:
    """What statements say of a day."""
    connection = duckdb.connect()
    for table, rows in ((RAW_TRACES, calls), (CONVERSATION_LOGS, turns)):
        connection.execute(table.ddl)
        connection.register("given", pa.Table.from_pylist(rows, schema=table.arrow_schema))
        connection.execute(f"insert into {table.name} from given")
    for statement in SESSION_SQL:
        connection.execute(statement)
    return {name: connection.sql(sql).to_arrow_table().to_pylist() for name, sql in statements.items()}


def bounded(calls: list[dict], turns: list[dict]) -> dict[str, Counter]:
    """The bounded counts of a day, by family: each number once."""
    found = counted(calls, turns, BOUNDED_SQL)
    return {
        "failures": Counter(
            {(row["service"], row["method"], row["error"]): row["failures"] for row in found["failures"]}
        ),
        "took": Counter(
            {
                (row["service"], row["method"], row["error"], bucket): failed
                for row in found["failures"]
                for bucket, failed in row["durations"]
            }
        ),
        "calls": Counter(
            {
                (row["service"], row["method"], bucket): calls
                for row in found["calls"]
                for bucket, calls in row["durations"]
            }
        ),
        "talk": Counter({row["service"]: row["sessions"] for row in found["talk"]}),
        "signals": Counter({(row["service"], row["signal"]): row["affected"] for row in found["talk"]}),
    }


def session(random: Random, number: int) -> tuple[list[dict], list[dict]]:
    """A session of any shape.

    Many calls in several traces, many failures, several agents, several signals.
    """
    moment = datetime(2026, 11, 1, random.randrange(24), tzinfo=UTC).replace(tzinfo=None)
    common = {"event_date": DAY, "node_id": "n1"}
    calls = [
        common
        | {
            "event_id": f"{number}-{place}",
            "timestamp": moment + timedelta(seconds=place),
            "service": random.choice(("search", "planner")),
            "method": random.choice(("query", "plan")),
            "trace_id": f"{number}-t{random.randrange(3)}",
            "duration_ms": random.choice((5.0, 9_000.0, 40_000.0, 200_000.0, None)),
            "success": (failed := random.random() < 0.5) is False,
            "error": random.choice(("no route", "timed out", "missing key")) if failed else None,
            "metadata": orjson.dumps({"session_id": f"s{number}"}).decode(),
        }
        for place in range(random.randrange(9))
    ]
    turns = [
        common
        | {
            "event_id": f"{number}-turn{place}",
            "timestamp": moment + timedelta(minutes=place),
            "session_id": f"s{number}",
            "user_query": random.choice(
                ("Where is my order number 7 going now?", "That is wrong.", "Never mind, forget it.")
            ),
            "system_response": random.choice(
                ("I am unable to help with that.", "I apologize for that.", "It is done.")
            ),
            "metadata": orjson.dumps({"service": random.choice(("support", "sales"))}).decode(),
        }
        for place in range(random.randrange(6))
    ]
    return calls, turns


def change(everyone: dict[str, Counter], without: dict[str, Counter]) -> dict[str, int]:
    """By how much each kind of count differs.

    A conversation with a signal is in one number with it, and one without in another. A failure is in one of
    its duration.
    """
    for counts in (everyone, without):
        assert sum(counts["took"].values()) == sum(counts["failures"].values())
        counts["failures"] = counts["took"]
        quiet = {
            service: sessions - sum(n for (of, _), n in counts["signals"].items() if of == service)
            for service, sessions in counts["talk"].items()
        }
        counts["talk"] = Counter(quiet) + counts["signals"]
    return {
        name: sum(
            abs(everyone[name][key] - without[name][key])
            for key in everyone[name].keys() | without[name].keys()
        )
        for name in everyone
        if name not in ("signals", "took")
    }


@pytest.mark.parametrize("seed", range(3))
def test_one_session_more_is_no_more_than_two_failures_or_conversations_and_some_calls(seed):
    random = Random(seed)
    fleet = [session(random, number) for number in range(12)]
    everyone = bounded(
        [call for calls, _ in fleet for call in calls], [turn for _, turns in fleet for turn in turns]
    )
    without = bounded(
        [call for calls, _ in fleet[1:] for call in calls], [turn for _, turns in fleet[1:] for turn in turns]
    )
    changed = change(everyone, without)
    parts = changed["failures"] + changed["talk"]
    assert parts <= PARTS
    assert changed["calls"] <= CALLS_BESIDE[parts]
    assert all(sum(counts.values()) > 0 for counts in everyone.values())


@pytest.mark.parametrize("named", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_one_conversation_less_costs_epsilon_however_traces_are_shared(seed, named):
    """Some calls name their session, the others only a trace, and both run in traces that several share."""
    random = Random(seed)
    fleet = [session(random, number) for number in range(10)]
    pool = [f"shared-t{number}" for number in range(6)]
    turns, calls = [], []
    for number, (given, said) in enumerate(fleet):
        turns += [(number, one | {"trace_id": random.choice([*pool, None])}) for one in said]
        for one in given:
            is_named = random.random() < named
            about = one["metadata"] if is_named else "{}"
            shared = one | {"trace_id": random.choice(pool), "metadata": about}
            calls.append((number if is_named else None, shared))

    def told(left: int) -> dict[str, Counter]:
        """What is counted without a session, its own calls, and those that nobody else has a trace of."""
        of_others = [(number, one) for number, one in turns + calls if number not in (None, left)]
        still = {one["trace_id"] for _, one in of_others}
        ever = {one["trace_id"] for number, one in turns + calls if number is not None}
        kept = [
            one
            for number, one in calls
            if number != left
            and (number is not None or one["trace_id"] in still or one["trace_id"] not in ever)
        ]
        return bounded(kept, [one for number, one in turns if number != left])

    everyone = told(-1)
    for left in range(len(fleet)):
        changed = change({name: Counter(count) for name, count in everyone.items()}, told(left))
        cost = (changed["failures"] + changed["talk"]) / OF_ONE + changed["calls"] / OF_CALLS
        assert cost <= 1, (left, changed)


def test_another_text_that_fails_in_the_same_sessions_takes_nothing_from_a_count():
    plain = [session(Random(seed), seed)[0] for seed in range(30)]
    first = [
        {**calls[0], "event_id": f"a{place}", "trace_id": f"t{place}", "metadata": "{}"}
        | {"success": False, "error": "no route", "service": "search", "method": "query"}
        for place, calls in enumerate(one for one in plain if one)
    ]
    again = [{**one, "event_id": f"again-{one['event_id']}"} for one in first]
    other = [{**one, "event_id": f"other-{one['event_id']}", "error": "timed out"} for one in first]
    for calls in (first, [*first, *other], [*first, *again], [*first, *again, *other]):
        found = bounded(calls, [])["failures"]
        assert found["search", "query", "no route"] == len(first), "once for each session"


@pytest.mark.parametrize("has_failed", [False, True])
def test_a_conversation_counts_whether_or_not_its_calls_failed(has_failed):
    calls, turns = session(Random(2), 1)
    assert calls
    assert turns
    calls = [one | {"success": not has_failed, "error": "no route" if has_failed else None} for one in calls]
    found = bounded(calls, turns)
    assert sum(found["talk"].values()) == 1
    assert sum(found["failures"].values()) == has_failed
    assert sum(found["calls"].values()) == (0 if has_failed else min(len(calls), CALLS_BESIDE[1]))


def test_with_noise_only_failures_that_ran_out_of_time_are_told_by_duration(tmp_path):
    home = node_home(tmp_path, "n1", canary_lines())
    told = summaries_of(home, summary_epsilon=1.0).summarize_day(DAY).summary
    timed = {row.error for row in told.failures if row.durations}
    assert timed == {"search timed out after <NUM>"}
    assert len(told.failures) > 1
    (row,) = (row for row in told.failures if row.durations)
    assert {bucket for bucket, _ in row.durations} <= set(SLOW)
    assert row.failures == max(1, sum(failed for _, failed in row.durations)), "of which each has noise"


def test_k_counts_persons_where_events_name_them():
    calls, _ = session(Random(4), 1)
    tries = [
        calls[0]
        | {
            "event_id": f"e{number}",
            "trace_id": f"t{number}",
            "success": False,
            "error": "the words of one person",
            "metadata": orjson.dumps({"user_id": user} if user else {}).decode(),
        }
        for number, user in enumerate(["ann", "ann", "ann", None])
    ]
    (row,) = counted(tries, [], SEEN_SQL)["errors"]
    assert list(row.values()) == ["the words of one person", 2]


def test_of_a_long_session_no_more_than_max_calls_count_whatever_their_method_and_duration():
    calls, _ = session(Random(4), 1)
    many = [
        {
            **calls[0],
            "event_id": f"e{place}",
            "success": True,
            "error": None,
            "duration_ms": 5.0**place if place < 9 else None,
        }
        for place in range(20)
    ]
    found = bounded(many, [])["calls"]
    assert sum(found.values()) == MAX_CALLS
    assert {bucket for _, _, bucket in found} == set(COARSE)
    assert (
        sum(
            bounded([*many, {**many[0], "event_id": "failed", "success": False, "error": "no route"}], [])[
                "calls"
            ].values()
        )
        == CALLS_BESIDE[1]
    ), "some beside a failure"


def test_which_rows_there_are_is_not_told_by_what_was_drawn():
    calls, _ = session(Random(4), 1)
    failed = [
        {**calls[0], "event_id": f"e{place}", "success": False, "error": error}
        for place, error in enumerate(("no route", "timed out", "missing key", "no such file"))
    ]
    found = bounded(failed, [])["failures"]
    assert sorted(found.values()) == [*[0] * (4 - PARTS), *[1] * PARTS]


def test_a_summary_says_how_many_persons_had_a_failure():
    calls, _ = session(Random(4), 1)
    tries = [
        calls[0]
        | {
            "event_id": f"e{number}",
            "trace_id": f"t{number}",
            "success": False,
            "error": "too slow",
            "metadata": orjson.dumps({"user_id": user} if user else {}).decode(),
        }
        for number, user in enumerate(["ann", "ann", "ann", "bob", None])
    ]
    (row,) = counted(tries, [], EXACT_SQL)["failures"]
    assert (row["failures"], row["sessions"], row["people"]) == (5, 5, 3)


def test_with_a_delta_a_text_is_named_by_what_was_published_before_and_not_by_k(tmp_path):
    days = [DAY - timedelta(days=back) for back in (1, 0)]
    lines = [call("n1", one, 7, day=days[0], error="no route to the host") for one in range(60)]
    for day in days:
        lines += [call("n1", one, 8, day=day, error=f"the vault {day} is ajar") for one in range(3)]
    lines += [call("n1", 90 + one, 7, day=days[1], error="no route to the host") for one in range(12)]
    home = node_home(tmp_path, "n1", lines)
    ours = {"summary_epsilon": 1.0, "summary_delta": 1e-5}
    told = [summaries_of(home, **ours).summarize_day(day).summary for day in days]
    assert [[row.error for row in one.failures] for one in told] == [["no route to the host"]] * 2
    shutil.rmtree(home.settings.data_path / "federation")
    assert summaries_of(home, **ours).summarize_day(days[1]).summary.failures == ()
    shutil.rmtree(home.settings.data_path / "federation")
    other = node_home(tmp_path / "other", "n2", [line.replace(b"n1", b"n2") for line in lines])
    heard = home.settings.data_path / "federation" / "known" / "n2.jsonl"
    heard.parent.mkdir(parents=True)
    heard.write_bytes(summaries_of(other, **ours).summarize_day(days[0]).line + b"\n")
    (row,) = summaries_of(home, **ours).summarize_day(days[1]).summary.failures
    assert row.error == "no route to the host"
    heard.write_bytes(b"a list of names\n")
    with pytest.raises(SummaryError, match=r"n2\.jsonl must hold summaries alone"):
        summaries_of(home, **ours).summarize_day(days[1] - timedelta(days=1))


def test_a_delta_needs_noise(home):
    with pytest.raises(SummaryError, match="needs a larger FEDERATED_LEARNING_SUMMARY_EPSILON"):
        summaries_of(home, summary_delta=1e-5).summarize_day(DAY)


@pytest.mark.parametrize("seed", range(3))
def test_one_person_less_costs_epsilon_however_many_sessions_and_traces_are_theirs(seed):
    random = Random(seed)
    owners = [f"u{random.randrange(4)}" if random.random() < 0.7 else None for _ in range(14)]
    calls, turns = [], []
    for number, owner in enumerate(owners):
        given, said = session(random, number)
        is_loose = random.random() < 0.3  # traces that belong to no session
        for one in (*given, *said):
            about = orjson.loads(one["metadata"]) | ({"user_id": owner} if owner else {})
            if is_loose:
                about.pop("session_id", None)
            one["metadata"] = orjson.dumps(about).decode()
        calls += [one | {"owner": owner} for one in given]
        turns += [] if is_loose else [one | {"owner": owner} for one in said]

    def told(left: str | None) -> dict[str, Counter]:
        kept = ([one for one in rows if left is None or one["owner"] != left] for rows in (calls, turns))
        return bounded(*([{k: v for k, v in one.items() if k != "owner"} for one in rows] for rows in kept))

    everyone = told(None)
    for person in {owner for owner in owners if owner}:
        changed = change({name: Counter(count) for name, count in everyone.items()}, told(person))
        parts = changed["failures"] + changed["talk"]
        assert parts <= PARTS
        assert changed["calls"] <= CALLS_BESIDE[parts]
