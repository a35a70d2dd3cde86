"""Grouping depends on nothing but the messages: not on their order, not on what comes later."""

import gzip
import itertools
import json
import random
from collections import Counter, defaultdict
from datetime import date, timedelta
from hashlib import md5
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.patterns.grouping import Corrections, Merge, Split, group_patterns
from fl_assets.patterns.mining import group_messages
from fl_assets.patterns.words import skeleton
from fl_assets.sums.masking import masked_sql

REAL = Path(__file__).parents[2] / "../shared/data"
FIRST = date(2026, 11, 1)

# Few words, so that messages often differ in one place, and identifiers, keys and variables, so that every
# rule comes into play
WORDS = [
    "open",
    "close",
    "user",
    "file",
    "disk",
    "alpha",
    "beta",
    "gamma",
    "delta",
    "node.alpha",
    "node_beta",
    "NodeGamma",
    "mode=fast",
    "mode=slow",
    "[orders]",
    "and",
    "files",
    "<NUM>",
    "<ID>",
]
messages_strategy = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join),
    min_size=1,
    max_size=40,
    unique=True,
)


def frame(texts_by_day: dict[str, int], *, has_text: bool = True) -> pd.DataFrame:
    """Return the `messages` frame of texts and the day (counted from FIRST) each was first seen on."""
    rows = [
        {
            "message_id": md5(text.encode(), usedforsecurity=False).hexdigest()[:16],
            "masked_error": text,
            "has_text": has_text,
            "service": "tools",
            "method": "call",
            "first_day": FIRST + timedelta(days=day),
        }
        for text, day in texts_by_day.items()
    ]
    return pd.DataFrame(rows)


def ids(texts_by_day: dict[str, int], corrections: Corrections | None = None) -> dict[str, str]:
    """Return the pattern id of each text."""
    messages = frame(texts_by_day)
    grouped = group_patterns(messages, corrections or Corrections())
    return dict(
        messages.merge(grouped, on="message_id")[["masked_error", "pattern_id"]].itertuples(
            index=False, name=None
        )
    )


def sets(groups: dict[str, object]) -> set[frozenset[str]]:
    members = defaultdict(set)
    for text, group in groups.items():
        members[group].add(text)
    return {frozenset(texts) for texts in members.values()}


@given(messages_strategy, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_changes_no_group_template_or_reason(texts, rng):
    first = group_messages(texts)
    shuffled = rng.sample(texts, len(texts))
    second = group_messages(shuffled)
    assert (first.templates, first.why) == (second.templates, second.why)
    assert dict(zip(texts, first.group.tolist(), strict=True)) == dict(
        zip(shuffled, second.group.tolist(), strict=True)
    )


@given(messages_strategy, messages_strategy)
@settings(max_examples=100, deadline=None)
def test_more_messages_never_split_a_group(texts, more):
    before = sets(dict(zip(texts, group_messages(texts).group.tolist(), strict=True)))
    everything = sorted({*texts, *more})
    after = dict(zip(everything, group_messages(everything).group.tolist(), strict=True))
    assert all(len({after[text] for text in group}) == 1 for group in before)


@given(
    st.dictionaries(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
        st.integers(0, 4),
        min_size=1,
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_ids_survive_later_days_and_any_backfill_order(texts, rng):
    by_day = {
        day: ids({text: first for text, first in texts.items() if first <= day})
        for day in rng.sample(range(5), 5)
        if min(texts.values()) <= day
    }
    days = sorted(by_day)
    for earlier, later in itertools.pairwise(days):
        for pattern in set(by_day[earlier].values()):
            members = [text for text, name in by_day[earlier].items() if name == pattern]
            now = {by_day[later][text] for text in members}
            assert len(now) == 1, "a group was split"
            older = min(members, key=lambda text: (texts[text], text))
            joined = [text for text, name in by_day[later].items() if name in now]
            if min(joined, key=lambda text: (texts[text], text)) == older:
                assert now == {pattern}, "a group that is still the oldest of its own lost its id"


def test_the_older_id_wins_when_patterns_join():
    young = {f"lookup of {name} in region failed": 1 for name in ("alpha", "beta", "gamma", "delta")}
    old = {"lookup of omega in region failed": 0}
    alone = ids(old)["lookup of omega in region failed"]
    assert len(set(ids({**old, **dict(list(young.items())[:1])}).values())) == 2, (
        "two names are too few to call the place a variable"
    )
    assert set(ids({**old, **young}).values()) == {alone}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("data store interrupt caused by dcbf", "data store interrupt caused by icbi"),
        ("user not found", "order not found"),
        ("payment method not found", "payment method <ID> not found"),
        ("Error: payment method not found", "Error: payment method <ID> not found"),
        (
            "container of the pod <ID> waits with ImagePullBackOff",
            "container of the pod <ID> waits with CrashLoopBackOff",
        ),
        ("Connection reset by peer on <HOST>", "Connection timed out on <HOST>"),
        ("call to tool failed <STATUS_429>", "call to tool failed <STATUS_500>"),
        (
            "the tool raised a TimeoutError while it read the file",
            "the tool raised a PermissionError while it read the file",
        ),
        ("No instances available for cart-service", "No instances available for seat-service"),
        ("Traceback: TypeError: bad operand", "Traceback: KeyError: <STR>"),
        ("Traceback: RuntimeError: out of memory", "Traceback: RuntimeError: connection closed"),
        (
            "call of get_user by the tool ended with request_timeout in zone_a for <ID>",
            "call of get_order by the tool ended with access_denied in zone_b for <ID>",
        ),
        (
            "the gateway answered [denied] to the call of this tool",
            "the gateway answered [expired] to the call of this tool",
        ),
        ("the size of the page must be <= <NUM>", "the size of the page must be >= <NUM>"),
        ("the size of the page must be > <NUM>", "the size of the page must be <NUM>"),
    ],
)
def test_different_failures_stay_apart(first, second):
    grouped = ids({first: 0, second: 0})
    assert grouped[first] != grouped[second]


@pytest.mark.parametrize(
    "texts",
    [
        ["Execution timed out", "EXECUTION TIMED OUT."],
        ["The user was not found", "user not found"],
        [
            "Traceback: app.errors.QuotaExceededError: team <NUM>",
            "Traceback: QuotaExceededError: disk is full",
        ],
        ["read of <PATH> by worker failed", "read of stdin by worker failed"],
        [f"Unknown function: {name}" for name in ("get_wether", "find_user", "lookUp", "send_mail", "do_it")],
        [
            f"server environment: {key}={value}"
            for key, value in zip("abcde", ("Linux", "a b", "<PATH>", "<NUM>", "x"), strict=True)
        ],
        ["ids <ID> to delete", "ids <ID>, <ID> to delete", "ids <ID>, <NUM>, <ID> to delete"],
        [f"Key ({name})=(<NUM>) is not in table <STR>" for name in ("user_id", "order_id", "parent_id")],
        [
            f"queue <STR> in vhost <STR> crashed with {term}"
            for term in ("{badmatch,{error,enoent}}", "{bad_version,{<NUM>}}", "{timeout,{call,[<NUM>]}}")
        ],
        [
            f"mark task as failed dag_id={dag} task_id={task}"
            for dag, task in (("etl_a", "load"), ("sync_b", "notify"), ("<ID>", "<ID>"), ("daily_c", "wait"))
        ],
        [f"permission denied for schema {name}" for name in ("billing", "ops", "public")],
        [  # two names at once, each seen once
            "tool send_mail got no answer from mail.queue in time",
            "tool find_user got no answer from user.cache in time",
        ],
        [  # lists of any length
            "batch for [app.users, app.orders] is of size <NUM> and too large",
            "batch for [app.peers, app.local, app.sizes] is of size <NUM> and too large",
            "batch for <ID> is of size <NUM> and too large",
        ],
        [
            "call is missing <NUM> required positional arguments: <STR>, <STR> and <STR>",
            "call is missing <NUM> required positional argument: <STR>",
        ],
        ["merging [<PATH>:level=<NUM>]", "merging [<PATH>:level=<NUM>, <PATH>:level=<NUM>]"],
        [f"could not compile <CODE> ({part}) due to <NUM> errors" for part in ("lib", "build")],
        [  # values that vary independently
            f"limit of <NUM> {limit} exceeded by <NUM> {paid} for account <ID> of branch"
            for limit, paid in itertools.product(("EUR", "USD", "JPY", "GBP"), repeat=2)
            if limit <= paid
        ],
        [
            f"{name}() got an unexpected keyword argument <STR>"
            for name in ("a_b", "b_c", "cD", "d_e", "eF", "f_g")
        ],
        [  # a value that may be missing, and one of several words
            "Probe failed probe=<STR> pod=<STR> id=<STR> result=<STR>",
            "Probe failed probe=<STR> pod=<STR> result=<STR>",
        ],
        [
            f"Health check contributor{name} took <NUM>, more than the warning threshold of <NUM>"
            for name in ("", " <ID>", " a.b.Indicator (db)")
        ],
        [f"slow request url:<PATH>,verb:{verb},id:<ID>" for verb in ("GET", "PUT", "LIST")],
        [f"cannot install {one}<NUM> with this old python" for one in ("open-cv==", "my_sql>=")],
        [  # the named arguments of a call are no part of what went wrong
            f"the reply to {call} was not what it should have been"
            for call in (
                "book_hotel(city=<STR>, nights=<NUM>)",
                "send_mail(to=[<STR>, (<STR>, {<STR>: None})], body={<STR>: <NUM>})",
                "list_rooms(when=<STR>)",
            )
        ],
        [f"The type of the value is wrong. It is {value}." for value in ("<NUM>", "None", "True")],
        [  # words that others introduce, all of them different
            f"the property {one} is needed here when property {other} is there"
            for one, other in itertools.pairwise(("unit", "city", "width", "seat", "genre", "price", "date"))
        ],
    ],
)
def test_the_same_failure_is_one_pattern(texts):
    assert len(set(ids(dict.fromkeys(texts, 0)).values())) == 1


def test_a_value_that_varies_later_splits_nothing_that_varied_before():
    texts = [
        f"task failed in={zone} at_{step}" for zone, step in zip("abc", ("x_a", "x_b", "x_c"), strict=True)
    ]
    known = dict.fromkeys((f"{text} mode=fast" for text in texts), 0)
    assert len(set(ids(known).values())) == 1
    later = ids({**known, f"{texts[0]} mode=slow": 1})
    assert len({later[text] for text in known}) == 1


def test_a_template_marks_what_varies():
    grouping = group_messages(
        [f"user {name} may not read <PATH>" for name in ("ann", "bob", "cy", "dee", "eve")]
    )
    assert grouping.templates == ["user <*> may not read <PATH>"]
    assert "5 wordings" in grouping.why[0]


def test_a_key_without_a_value_reads_like_one_with_a_value():
    assert skeleton("logname= uid=<NUM> euid=<NUM>") == ("logname=", "uid=", "*", "euid=", "*")


def test_failures_without_text_are_silent_patterns_of_their_own():
    stand_ins = {f"no error text: service=s method=m{i} status=1": 0 for i in range(8)}
    grouped = group_patterns(frame(stand_ins, has_text=False))
    assert set(grouped["kind"]) == {"silent"}
    assert grouped["pattern_id"].nunique() == 8
    assert grouped.columns.tolist() == [
        "message_id",
        "pattern_id",
        "kind",
        "template",
        "why_grouped",
        "messages",
    ]


def test_no_messages_give_no_patterns():
    assert group_patterns(frame({"a": 0}).iloc[:0]).empty


def test_a_merge_is_kept_in_every_cycle_and_harmless_before_its_patterns_exist():
    plain = ids({"disk is full": 0, "no space left": 1})
    rule = Corrections(merges=(Merge(into=plain["no space left"], patterns=(plain["disk is full"],)),))
    assert set(ids({"disk is full": 0, "no space left": 1}, rule).values()) == {plain["no space left"]}
    assert ids({"disk is full": 0}, rule) == {"disk is full": plain["no space left"]}
    assert ids({"other": 0}, rule) == ids({"other": 0})


def test_a_split_takes_the_named_messages_out_and_outlives_a_later_merge():
    texts = {
        f"upload of {name} to bucket failed": 1 for name in ("alpha", "beta", "gamma", "delta", "epsilon")
    }
    pattern = next(iter(set(ids(texts).values())))
    rule = Corrections(splits=(Split(pattern=pattern, containing="of gamma to"),))
    split = ids(texts, rule)
    assert split["upload of gamma to bucket failed"] != pattern
    assert {split[text] for text in texts if "gamma" not in text} == {pattern}
    later = ids({**texts, "upload of aaa to bucket failed": 0}, rule)
    assert later["upload of gamma to bucket failed"] == split["upload of gamma to bucket failed"], (
        "an older message took over the pattern, and the rule still holds"
    )


# Real logs
# ----------------------------------------------------------------------------------------------------


def masked(texts: list[str]) -> list[str]:
    with duckdb.connect() as con:
        con.register("texts", pa.table({"error": pa.array(texts, pa.string())}))
        found = dict(
            con.execute(f"select distinct error, masked_error from ({masked_sql('texts')})").fetchall()
        )
    return [found[text] for text in texts]


@pytest.mark.real
def test_log_lines_are_grouped_as_people_labelled_them():
    files = sorted((REAL / "loghub").glob("*_2k.jsonl.gz"))
    if not files:
        pytest.skip(f"no real logs in {REAL / 'loghub'}")
    accuracy = []
    for file in files:
        records = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        groups = group_messages(masked([record["content"] for record in records])).group.tolist()
        truth = [record["true_event_id"] for record in records]
        sizes, members = Counter(truth), defaultdict(Counter)
        for group, label in zip(groups, truth, strict=True):
            members[group][label] += 1
        right = [
            sizes[label]
            for labels in members.values()
            for label, count in labels.items()
            if len(labels) == 1 and count == sizes[label]
        ]
        precision, recall = len(right) / len(members), len(right) / len(sizes)
        accuracy.append((sum(right) / len(truth), 2 * precision * recall / (precision + recall)))
    assert sum(ga for ga, _ in accuracy) / len(files) >= 0.99
    assert sum(fga for _, fga in accuracy) / len(files) >= 0.98


@pytest.mark.real
def test_twenty_shuffles_of_real_failures_give_identical_patterns():
    file = REAL / "nezha_trainticket" / "events.jsonl.gz"
    if not file.exists():
        pytest.skip(f"no real failures in {file}")
    calls = [
        json.loads(line)["execution_trace"]
        for line in gzip.decompress(file.read_bytes()).splitlines()
        if b'"success": false' in line
    ]
    days = {
        text: i % 5
        for i, text in enumerate(sorted(set(masked([call["error"] for call in calls if call["error"]]))))
    }
    expected = group_patterns(frame(days))
    rng = random.Random(0)
    for _ in range(20):
        pd.testing.assert_frame_equal(
            group_patterns(frame(dict(rng.sample(sorted(days.items()), len(days))))), expected
        )
