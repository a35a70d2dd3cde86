"""Masking says the same for the same failure, and signatures are sums that merge exactly."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import md5

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.core.tables import CALL_TOTALS, FAILURE_SIGNATURES, RAW_TRACES
from fl_assets.federation.coordinator_side import mask_texts
from fl_assets.sums import engine
from fl_assets.sums import masking as signatures
from fl_assets.sums.masking import (
    blank_digits,
    call_totals_sql,
    failures_sql,
    mask_sql,
    masked_sql,
    signature_sql,
)
from fl_assets.sums.metadata_keys import search_sql

TRACEBACK = """Traceback (most recent call last):
  File "/app/run.py", line 17, in <module>
    total = add(order, 3)
  File "/app/prices.py", line 5, in add
    raise ValueError("do not look at this line")
TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'
"""
REFUSED_EDIT = """Your proposed edit has introduced new syntax error(s). Please read this error message carefully.

ERRORS:
- E999 IndentationError: unexpected indent

This is how your edit would have looked if applied
-------------------------------------------------
[File: /repo/a.py (15 lines total)]
1:raise RuntimeError: nothing
2:    failed = True
(5 more lines below)
-------------------------------------------------
Your changes have NOT been applied. DO NOT re-run the same failed edit command.
"""  # noqa: E501


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        connection.create_function("blank_digits", blank_digits, ["VARCHAR"], "VARCHAR", type="arrow")
        columns = ", ".join(f"{column.name} {column.type}" for column in RAW_TRACES.columns)
        connection.execute(f"create table raw_traces ({columns})")
        yield connection


def mask(con, text: str) -> str:
    found = con.execute(f"select masked_error from ({masked_sql('(select ? as error)')})", [text])
    return found.fetchall()[0][0]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "Error: flight HAT030 not available on date 2024-05-13",
            "Error: flight <ID> not available on date <NUM>",
        ),
        ("connect to 10.0.3.17:5432 failed after 30.5 ms", "connect to <IP>:<NUM> failed after <NUM>"),
        ("user john.doe@example.com at https://a.example/x?y=1 refused", "user <EMAIL> at <URL> refused"),
        (
            "cannot open /srv/data/out.txt: No such file or directory",
            "cannot open <PATH>: No such file or directory",
        ),
        ("order 2ec304d3-da44-4967-813d-de6231698877 is gone", "order <UUID> is gone"),
        ("KeyError: 'price'", "KeyError: <STR>"),
        ("HTTP 429: slow down", "HTTP <NUM>: slow down <STATUS_429>"),
        ("Client error '401 Unauthorized' for url 'x'", "Client error <STR> for url <STR> <STATUS_401>"),
        ("exited with code 137", "exited with code <NUM> <STATUS_137>"),
        (
            '{"error": {"type": "overloaded_error", "message": "Too busy for request 17"}}',
            "overloaded_error Too busy for request <NUM>",
        ),
        (
            "429 from model: {'error': {'message': 'Rate limit of 30000 reached', 'code': 'rate_limit'}}",
            "<NUM> from model: rate_limit Rate limit of <NUM> reached",
        ),
        (TRACEBACK, "Traceback: TypeError: unsupported operand type(s) for +: <STR> and <STR>"),
        (
            REFUSED_EDIT,
            "Your proposed edit has introduced new syntax error(s) | IndentationError: unexpected indent",
        ),
        (
            "\x1b[31mBUILD\x1b[0m\nstep 3 of 9\nfatal: disk /dev/sda1 is full\nbye",
            "fatal: disk <PATH> is full",
        ),
        (
            "ERROR:\nNo replacement was performed, old_str `a\n 17\tb` did not appear in /repo/x.c.",
            "No replacement was performed, old_str <CODE> did not appear in <PATH>",
        ),
        (
            "java.lang.RuntimeException: outer\n\tat a.B.c(B.java:7)\nCaused by: java.io.IOException: "
            "inner\n\t... 3 more",
            "Traceback: java.io.IOException: inner",
        ),
    ],
)
def test_the_mask_keeps_what_went_wrong(con, text, masked):
    found = mask(con, text)
    assert found.replace("<TIME>", "<NUM>") == masked


GRPC = """<_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.{status}
\tdetails = "{details}"
\tdebug_error_string = "UNKNOWN:Error received from peer ipv4:10.0.0.1:443 {{grpc_status:14}}"
>"""


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            GRPC.format(status="UNAVAILABLE", details="Connection reset"),
            "StatusCode.UNAVAILABLE: Connection reset",
        ),
        (GRPC.format(status="NOT_FOUND", details="no stock 17"), "StatusCode.NOT_FOUND: no stock <NUM>"),
        (
            "thread 'main' panicked at src/main.rs:4:5:\nattempt to divide by zero\nnote: run with `X=1`",
            "thread <STR> panicked at <PATH>:<NUM>:<NUM>: attempt to divide by zero",
        ),
        (
            r'{"error": "model \"llama:3\" not found, try pulling it"}',
            "model <STR> not found, try pulling it",
        ),
        (
            "a.SlackError: The request failed.\nThe server responded with: {'ok': 0, 'error': 'ratelimited'}",
            "a.SlackError: The request failed. The server responded with: ratelimited",
        ),
        (
            "ApiError(429, 'cluster_block_exception', 'disk usage exceeded', None)",
            "ApiError(<NUM>) cluster_block_exception: disk usage exceeded, None)",
        ),
        ("{'error': {'code': 'content_filter', 'inner': {'code': 'Other'}}}", "content_filter"),
        ('failed: {"error_code": "QUOTA_USED", "retry": 5}', "failed: QUOTA_USED"),
    ],
)
def test_a_cause_on_a_line_or_in_a_code_of_its_own_tells_failures_apart(con, text, masked):
    assert mask(con, text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # What a logger quotes as a whole is its message
        (
            r'"Probe failed" pod="shop/web-7" err="no container \"web\" in pod"',
            "Probe failed pod=<STR> err=<STR>",
        ),
        ('"No room: disk "sda" of node "n 7" is full"', "No room: disk <STR> of node <STR> is full"),
        ('level=error msg="no such image" id=7', "level=error no such image id=<NUM>"),
        ("the name '' of \"\" is empty", "the name <STR> of <STR> is empty"),
        (r"Get \"https://a.example/x\": no answer", r"Get \<STR>: no answer"),
        ("lost worker@mq-b and worker@node7", "lost <EMAIL> and <EMAIL>"),
        ("no matching version for left-pad@1.3", "no matching version for left-pad@<NUM>"),
        ("started at 2026-11-30 10:20:30.123 CET", "started at <TIME>"),
        ("duration: 3 ms statement: UPDATE orders SET a = 1", "duration: <NUM> statement: <CODE>"),
        (
            'no upstreams, request: "GET /a/7 HTTP/1.1", host: "b"',
            "no upstreams, request: <STR>, host: <STR>",
        ),
        ("closing the connection of web:\n{error,closed}", "closing the connection of web: | {error,closed}"),
        (  # a list of findings after what was checked
            'Invalid arguments for tool book: [\n  {\n    "code": "invalid_type",\n    "path": [\n      "a"\n'
            '    ],\n    "message": "Expected number, received string"\n  }\n]',
            "Invalid arguments for tool book: invalid_type Expected number, received string",
        ),
        (  # a schema describes its values; that is no message
            "{'b': 'x y'} is not of type 'integer'\n\nFailed validating 'type' in schema['properties']:\n"
            "    {'description': 'How many', 'type': 'integer'}\n\nOn instance['a']:\n    {'b': 'x y'}",
            "{<STR>: <STR>} is not of type <STR>",
        ),
        (
            r"Invalid value for 'city': 'the user\'s favourite \"spot\" of 2023'. Expected one of ['a', 'b']",
            "Invalid value for <STR>: <STR>. Expected one of [<STR>, <STR>]",
        ),
    ],
)
def test_what_a_log_line_says_is_told_from_its_values(con, text, masked):
    assert mask(con, text) == masked


TEXTS = st.one_of(
    st.text(alphabet="abE: =0179/.'\"{}<>`|\n\t#@-é", max_size=60),
    st.sampled_from(
        [TRACEBACK, REFUSED_EDIT, "HTTP 503", '{"message": "no seat 12"}', "x" * 30_000 + " error 5", "", " "]
    ),
)


@given(st.lists(TEXTS, min_size=1, max_size=40))
@settings(max_examples=5, deadline=None)
def test_sharing_work_between_rows_changes_no_mask(con, texts):
    con.register("texts", pa.table({"error": pa.array(texts, pa.string())}))
    alone = con.execute(f"select error, {mask_sql('error')} from texts order by all").fetchall()
    for blank in (None, "blank_digits"):
        assert (
            con.execute(
                f"select error, masked_error from ({masked_sql('texts', blank)}) order by all"
            ).fetchall()
            == alone
        )


def test_rows_may_have_columns_of_any_name(con):
    row = "(select 'HTTP 503' as error, 1 as place, 2 as masked, 3 as message, 4 as said)"
    found = con.execute(f"select masked_error, place, masked, message, said from ({masked_sql(row)})")
    assert found.fetchone() == (mask(con, "HTTP 503"), 1, 2, 3, 4)


@given(st.lists(TEXTS, min_size=1, max_size=40, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_other_digits_give_the_same_mask_but_for_the_status(texts, rng):
    others = [
        "".join(rng.choice("123456789") if char in "0123456789" else char for char in text) for text in texts
    ]
    found = mask_texts([*texts, *others])
    # A blank text has no mask: it counts as no text.
    plain = [(masked or "").split(" <STATUS_")[0] for masked in found]
    assert plain[: len(texts)] == plain[len(texts) :]


def test_masks_hold_no_construct_that_re2_or_java_lacks():
    patterns = [pattern for pattern, _ in signatures.MASKS] + [
        value
        for name, value in vars(signatures).items()
        if name.startswith("_") and name.endswith(("_LINE", "_STATUS"))
    ]
    assert len(patterns) > 25
    assert not [
        pattern
        for pattern in patterns
        for construct in ("(?=", "(?!", "(?<", "(?P", "++", "*+", r"\K")
        if construct in pattern
    ]


# Sums
# ----------------------------------------------------------------------------------------------------

ERRORS = ["disk 7 is full", "disk 9 is full", "HTTP 500", None, "", TRACEBACK]
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["n1", "n2", "n3"]), st.sampled_from(["search", "edit"]), st.integers(0, 8), st.sampled_from(ERRORS), st.booleans(),  # noqa: E501
        st.sampled_from([None, 0.0, 0.4, 1.0, 1.05, 250.0, 1e12]), st.booleans(),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


def load(con, calls) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    con.execute("delete from raw_traces")
    for i, (node, method, trace, error, success, duration, repeats) in calls:
        at = start + timedelta(minutes=i)
        row = (
            at.date(),
            f"e{i}",
            at.replace(tzinfo=None),
            node,
            "tools",
            method,
            f"t{node}{trace}",
            "r",
            duration,
            success,
            error,
            "deeper" if repeats else None,
        )
        con.execute(
            f"insert into raw_traces values ({', '.join('?' * len(row))}, map {{'exit_code': '3'}}, 'f', "
            "1, false)",
            row,
        )


def rows(con, sql: str) -> dict[tuple, dict]:
    table = con.sql(sql).to_arrow_table()
    key = FAILURE_SIGNATURES.key if "message_id" in table.column_names else CALL_TOTALS.key
    return {tuple(row[name] for name in key): row for row in table.to_pylist()}


@given(CALLS, st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_signatures_and_totals_merge_exactly_over_nodes_and_traces(con, calls, rng):
    numbered = list(enumerate(calls))
    parts: dict[tuple, list] = {}
    for i, call in numbered:
        parts.setdefault((call[0], call[2] % 2), []).append(
            (i, call)
        )  # a trace lies within one part, as it does within one node
    for sql in (signature_sql, call_totals_sql):
        load(con, numbered)
        whole = rows(con, sql("raw_traces"))
        merged: dict[tuple, Counter] = {}
        buckets: dict[tuple, Counter] = {}
        for part in parts.values():
            load(con, rng.sample(part, len(part)))
            for key, row in rows(con, sql("raw_traces")).items():
                merged.setdefault(key, Counter()).update(
                    {name: row[name] for name in ("failures", "sessions", "calls") if name in row}
                )
                buckets.setdefault(key, Counter()).update(dict(row["latency_histogram"]))
        assert {key: {name: row[name] for name in merged[key]} for key, row in whole.items()} == {
            key: dict(sums) for key, sums in merged.items()
        }
        assert {key: dict(row["latency_histogram"]) for key, row in whole.items()} == {
            key: dict(counts) for key, counts in buckets.items()
        }


@given(CALLS, st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_order_of_events_changes_no_row(con, calls, rng):
    numbered = list(enumerate(calls))
    load(con, numbered)
    expected = (
        con.sql(signature_sql("raw_traces")).to_arrow_table(),
        con.sql(call_totals_sql("raw_traces")).to_arrow_table(),
    )
    load(con, rng.sample(numbered, len(numbered)))
    assert (
        con.sql(signature_sql("raw_traces")).to_arrow_table(),
        con.sql(call_totals_sql("raw_traces")).to_arrow_table(),
    ) == expected


def test_sums_in_parts_are_those_of_the_whole(con, monkeypatch):
    """However few failures a part has; a message is whole in one of them."""
    rng = random.Random(5)
    calls = [
        (f"n{rng.randrange(3)}", rng.choice(["search", "book"]), rng.randrange(9), rng.choice(WORDS))
        for _ in range(60)
    ]
    columns = ", ".join(f"{column.name} {column.type}" for column in RAW_TRACES.columns)
    events = [
        [str(i), node, service, f"t{i % 7}", f"cannot {word} {trace}", trace]
        for i, (node, service, trace, word) in enumerate(calls)
    ]

    def summed(part_rows: int) -> list[dict]:
        monkeypatch.setattr(engine, "PART_ROWS", part_rows)
        with duckdb.connect() as own:
            own.execute(f"create table raw_traces ({columns})")
            own.executemany(
                "insert into raw_traces by name select date '2026-11-01' as event_date, $1 as event_id, "
                "$2 as node_id, $3 as service, 'm' as method, $4 as trace_id, $5 as error, "
                "timestamp '2026-11-01 10:00' + to_hours($6) as timestamp, false as success, "
                "12.5 as duration_ms, '{}' as metadata",
                events,
            )
            assert engine.sums_of(own)[0].to_pylist() == rows_of(own)
            return rows_of(own)

    def rows_of(own: duckdb.DuckDBPyConnection) -> list[dict]:
        return own.sql(signature_sql("raw_traces")).to_arrow_table().to_pylist()

    assert summed(100) == summed(60) == summed(7) == summed(1)


WORDS = ["load the page", "reach it", "x" * 300, "find a seat", ""]


def test_columns_are_the_tables_columns_in_order(con):
    for table, sql in (
        (FAILURE_SIGNATURES, signature_sql("raw_traces")),
        (CALL_TOTALS, call_totals_sql("raw_traces")),
    ):
        described = con.execute(f"describe {sql}").fetchall()
        assert [(name, kind) for name, kind, *_ in described] == [
            (column.name, column.type) for column in table.columns
        ]


def test_a_failure_that_repeats_a_deeper_one_is_not_counted(con):
    load(
        con,
        enumerate(
            [("n1", "edit", 1, "boom", False, 5.0, True), ("n1", "edit", 1, "boom", False, 5.0, False)]
        ),
    )
    (signature,) = rows(con, signature_sql("raw_traces")).values()
    (total,) = rows(con, call_totals_sql("raw_traces")).values()
    assert (signature["failures"], total["failures"], total["calls"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"command": 'cd /w && grep -rn "a|b" src'}, "grep"),
        ("cat a.txt | rg 'x y'", "rg"),
        ({"cmd": "diff a b"}, "diff"),
        ({"command": "grep x a; python run.py"}, None),
        ({"command": "python run.py --test a"}, None),
        ({"query": "grep x"}, None),
        ("", None),
    ],
)
def test_the_search_that_a_command_ends_with_is_one_of_a_closed_list(con, arguments, word):
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    metadata = json.dumps({"arguments": given})
    found = con.execute(f"select {search_sql()} from (select ? as metadata)", [metadata]).fetchone()
    assert found == (word,)


def test_failures_without_text_are_told_apart_by_service_method_and_status(con):
    load(
        con,
        enumerate(
            [
                ("n1", "edit", 1, None, False, 5.0, False),
                ("n2", "edit", 1, " \n", False, 5.0, False),
                ("n1", "search", 1, "", False, 5.0, False),
            ]
        ),
    )
    signatures_found = rows(con, signature_sql("raw_traces")).values()
    assert {row["masked_error"] for row in signatures_found} == {
        "no error text: service=tools method=edit status=3",
        "no error text: service=tools method=search status=3",
    }
    assert not any(row["has_text"] for row in signatures_found)


def test_message_id_is_the_start_of_the_md5_of_the_masked_error(con):
    load(con, enumerate([("n1", "edit", 1, "disk 7 is full", False, 5.0, False)]))
    (row,) = rows(con, signature_sql("raw_traces")).values()
    assert row["message_id"] == md5(b"disk <NUM> is full", usedforsecurity=False).hexdigest()[:16]
    assert con.sql(failures_sql("raw_traces")).fetchall()[0][-1] == row["message_id"]


def test_exemplars_are_the_three_traces_of_smallest_hash(con):
    load(
        con,
        enumerate(
            [
                ("n1", "edit", trace, "boom", False, 5.0, False)
                for trace in random.Random(3).sample(range(50), 50)
            ]
        ),
    )
    (row,) = rows(con, signature_sql("raw_traces")).values()
    traces = sorted(
        (f"tn1{trace}" for trace in range(50)),
        key=lambda trace: md5(trace.encode(), usedforsecurity=False).hexdigest(),
    )
    assert row["exemplar_trace_ids"] == traces[:3]


@pytest.mark.parametrize(
    ("duration", "bucket"),
    [(0.0, -1), (-3.0, -1), (0.2, 0), (1.0, 0), (1.05, 1), (1.2, 2), (1e12, 240), (float("nan"), 240)],
)
def test_a_bucket_holds_durations_up_to_its_power_of_1_1(con, duration, bucket):
    load(con, enumerate([("n1", "edit", 1, "boom", False, duration, False)]))
    (row,) = rows(con, signature_sql("raw_traces")).values()
    assert row["latency_histogram"] == [(bucket, 1)]


@pytest.mark.parametrize(
    ("lines", "masked"),
    [
        (("a.py ....F...   [ 41%]", ".......     [ 84%]", "..."), "Tests were cut off"),
        (
            ("collected 9 items / 9 deselected / 0 selected", "==== 9 deselected in 2.25s ===="),
            "No tests ran",
        ),
        (("ERROR: not found: /w/a.py::test_x", "==== no tests ran in 0.01s ===="), "No tests ran"),
        (("a.py ....F [100%]", "==== 1 failed, 4 passed in 2.25s ===="), "Tests failed"),
    ],
)
def test_a_test_run_that_says_nothing_is_told_from_one_whose_tests_failed(con, lines, masked):
    assert mask(con, "\n".join(("==== test session starts ====", *lines))) == masked


def test_a_file_that_a_test_run_does_not_find_is_a_path_that_is_not_there(con):
    lines = (
        "ERROR: file or directory not found: /w/tests/a.py",
        "== test session starts ==",
        "= 7 warnings in 0.01s =",
    )
    assert mask(con, "\n".join(lines)) == "file or directory not found: <PATH>"
