"""What the simulated fleet does is what its truth says, in bytes and in counts."""

import re
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import get_args

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.counted_fleets import simulate_counts
from fl_assets.core.models import ErrorClass, Signal
from fl_assets.simulator.catalogue import CALL_FAILURES, METHOD_INDEX, NOISE, TALK_FAILURES, Shape
from fl_assets.simulator.damage import Damage, _malformed
from fl_assets.simulator.emit import telemetry_files
from fl_assets.simulator.plan import MAX_NOISE_PER_DAY, NOISE_PER_CALL, levels, plan_fleet
from fl_assets.simulator.talk import conversation
from fl_assets.simulator.truth import Tally, truth_of
from fl_assets.simulator.words import (
    APOLOGIES,
    CORRECTIONS,
    FIELDS,
    GIVING_UP,
    REFUSALS,
    TOPICS,
    pattern_of,
    render,
)

CLEAN = Damage(0, 0, 0, 0, 0)
SIZES = {
    "days": st.integers(1, 6),
    "nodes": st.integers(1, 9),
    "events_per_day": st.integers(1, 400),
    "seed": st.integers(0, 2**31),
}


def events_of(plan, damage=CLEAN):
    """Return a fleet's events as (folder, event), and its truth."""
    tally = Tally()
    found = []
    for file in telemetry_files(plan, tally, damage=damage, compression="plain"):
        found += [(file.path.split("/")[0], orjson.loads(line)) for line in file.content.splitlines()]
    return found, truth_of(plan, tally)


# The catalogue


def test_every_failure_class_every_signal_and_every_shape_is_planted():
    assert {failure.failure_class for failure in CALL_FAILURES} == set(get_args(ErrorClass))
    assert {failure.signal for failure in TALK_FAILURES} == set(get_args(Signal))
    assert {failure.shape for failure in (*CALL_FAILURES, *TALK_FAILURES)} == set(get_args(Shape))


def test_every_target_is_a_method_of_the_fleet():
    assert {target for failure in CALL_FAILURES for target in failure.targets} <= set(METHOD_INDEX)
    assert {(noise.service, noise.method) for noise in NOISE} <= set(METHOD_INDEX)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=30)
def test_a_planted_text_matches_its_own_pattern_and_no_other(seed):
    random = Random(seed)
    patterns = {failure.id: re.compile(pattern_of(failure.text)) for failure in CALL_FAILURES if failure.text}
    for failure in CALL_FAILURES:
        if failure.text:
            text = render(failure.text, random)
            assert [name for name, pattern in patterns.items() if pattern.search(text)] == [failure.id]
    for noise in NOISE:
        assert not any(pattern.search(render(noise.text, random)) for pattern in patterns.values())


def test_no_two_kinds_of_noise_read_alike():
    texts = [re.sub(r"@\w+@", "", noise.text).split() for noise in NOISE]
    for index, words in enumerate(texts):
        for other in texts[:index]:
            assert len(set(words) & set(other)) < 0.6 * len(set(words) | set(other))


@given(seed=st.integers(0, 2**31))
def test_personal_data_is_valid_in_form(seed):
    random = Random(seed)
    digits = [int(digit) for digit in FIELDS["card"](random).replace(" ", "")]
    assert len(digits) == 16
    assert sum(sum(divmod(digit * (2 - place % 2), 10)) for place, digit in enumerate(digits)) % 10 == 0
    iban = FIELDS["iban"](random)
    assert len(iban) == 22
    assert int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1
    assert re.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)", FIELDS["email"](random))


# The plan


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("chronic", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("new", [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
        ("fixed", [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
        ("burst", [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]),
        ("single_node", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_a_shape_says_on_which_days_a_failure_happens(shape, expected):
    assert levels(shape, 10).tolist() == expected


@given(days=st.integers(5, 40), when=st.floats(0, 1, exclude_max=True))
def test_wherever_its_turning_point_a_shape_stays_what_it_is(days, when):
    assert 2 <= levels("new", days, when).sum() <= 4
    assert levels("new", days, when)[-1] == 1
    assert 0 < levels("fixed", days, when).sum() < days
    assert levels("fixed", days, when)[-1] == levels("burst", days, when)[-1] == 0
    assert levels("burst", days, when).sum() == 2


def test_a_rising_failure_rises_every_day_to_its_full_rate():
    rising = levels("rising", 10)
    assert (np.diff(rising) > 0).all()
    assert rising[0] == pytest.approx(0.15)
    assert rising[-1] == 1


@given(**SIZES)
@settings(max_examples=40, deadline=None)
def test_no_more_fails_than_is_called_and_the_total_is_exact(days, nodes, events_per_day, seed):
    plan = plan_fleet(days, nodes, events_per_day, seed)
    assert plan.calls.sum() + plan.turns.sum() == days * events_per_day
    failed = plan.failures.sum(axis=0)
    for kind, noise in enumerate(NOISE):
        failed[:, :, METHOD_INDEX[noise.service, noise.method]] += plan.noise[kind]
    assert (failed <= plan.calls).all()
    assert (plan.turns >= 3 * plan.sessions).all()
    assert min(plan.failures.min(), plan.noise.min(), plan.affected.min()) >= 0


@pytest.mark.parametrize("argument", ["days", "nodes", "events_per_day"])
def test_a_count_below_one_is_refused_by_name(argument):
    with pytest.raises(ValueError, match=f"^{argument}=0: must be at least 1$"):
        plan_fleet(**({"days": 1, "nodes": 1, "events_per_day": 1, "seed": 1} | {argument: 0}))


def test_each_planted_failure_keeps_its_shape_and_its_nodes():
    plan = plan_fleet(14, 50, 20_000, seed=11)
    counted = zip(
        (*plan.call_failures, *plan.talk_failures),
        (*plan.failures.sum(axis=3), *plan.affected),
        plan.levels,
        strict=True,
    )
    for failure, counts, level in counted:
        by_day, nodes = counts.sum(axis=1), (counts.sum(axis=0) > 0).sum()
        if failure.shape == "single_node":
            assert nodes == 1
            assert by_day.sum() >= 20 * 14, "it is loud"
        elif failure.shape == "rare":
            assert by_day.sum() < 2 * 14
        else:
            assert nodes >= 3
            assert ((by_day > 0) == (level > 0)).all()
        if failure.shape == "rising":
            assert by_day[-5:].sum() > 2 * by_day[:5].sum()


def test_every_lasting_failure_of_the_default_fleet_of_fifty_can_be_found():
    _, _, truth = simulate_counts(14, 50, 20_000, seed=11)
    lasting = truth[truth["shape"].isin(["chronic", "new", "rising"])]
    assert (lasting["nodes"] >= 3).all()
    assert lasting["actionable"].all()
    assert not truth.loc[~truth["shape"].isin(["chronic", "new", "rising"]), "actionable"].any()


def test_counts_vary_more_than_chance_alone_would_have_it():
    plan = plan_fleet(14, 50, 20_000, seed=11)
    index = next(index for index, failure in enumerate(plan.call_failures) if failure.id == "output-not-json")
    method = METHOD_INDEX["llm-gateway", "structured_output"]
    failures, calls = plan.failures[index][:, :, method], plan.calls[:, :, method]
    affected = failures.sum(axis=0) > 0
    failures, calls = failures[:, affected], calls[:, affected]
    rate = failures.sum() / calls.sum()
    chi_square = ((failures - rate * calls) ** 2 / np.maximum(1e-9, rate * (1 - rate) * calls))[
        calls > 0
    ].mean()
    assert chi_square > 1.5


def test_a_null_fleet_has_noise_alone():
    plan = plan_fleet(14, 20, 8_000, seed=5, null=True)
    _, _, truth = simulate_counts(14, 20, 8_000, seed=5, null=True)
    assert plan.failures.sum() == plan.affected.sum() == 0
    assert plan.noise.sum() > 0
    assert set(truth["shape"]) == {"noise"}


def test_noise_does_not_grow_into_a_failure_of_the_fleet():
    for events in (2_000, 200_000):
        noise = plan_fleet(10, 20, events, seed=3, null=True).noise
        assert noise.sum() / 10 <= 2.2 * min(MAX_NOISE_PER_DAY, NOISE_PER_CALL * events)


# Talk


@given(seed=st.integers(0, 2**31), turns=st.integers(3, 10))
def test_healthy_talk_shows_no_signal(seed, turns):
    talk = conversation(None, turns, has_failed_call=False, random=Random(seed))
    assert len(talk) == turns
    queries = [query for query, _ in talk]
    assert len(set(queries)) == turns
    said = " ".join(query + response for query, response in talk).lower()
    assert not any(
        word in said
        for word in (
            "sorry",
            "apolog",
            "can't help",
            "unable to",
            "cannot assist",
            "forget it",
            "never mind",
            "give up",
            "that is wrong",
        )
    )


@given(seed=st.integers(0, 2**31), turns=st.integers(3, 10))
def test_talk_shows_the_signal_that_is_asked_for(seed, turns):
    def talk(signal):
        return conversation(signal, turns, has_failed_call=True, random=Random(seed))

    openings = {
        re.sub(r"@\w+@", ".*?", wording.replace("?", r"\?")) for topic in TOPICS for wording in topic.openings
    }
    assert all(
        any(re.match(opening, query) for opening in openings) for query, _ in talk("repeated_question")[:2]
    )
    assert any(
        re.match(re.sub(r"@\w+@", ".*?", wording), talk("correction")[1][0]) for wording in CORRECTIONS
    )
    assert talk("abandonment")[-1][0].startswith(GIVING_UP)
    assert any(response.startswith(REFUSALS) for _, response in talk("refusal"))
    assert all(response.startswith(APOLOGIES) for _, response in talk("apology_loop")[:3])
    assert "failed" in talk(None)[-1][1]
    assert "failed" not in talk("confident_after_failure")[-1][1]


# Events and counts


@pytest.fixture(scope="module")
def fleet():
    plan = plan_fleet(7, 8, 1_500, seed=21)
    return plan, *events_of(plan)


def recount(events, truth):
    """Count calls by (service, method), and failures by planted id, both with day and node, from events
    alone.
    """
    patterns = [(failure.id, re.compile(failure.match)) for failure in truth.failures if failure.match]
    silent = {
        (failure.services[0], failure.methods[0]): failure.id
        for failure in truth.failures
        if failure.signal is None and failure.match is None
    }
    failures, calls = Counter(), Counter()
    for node, event in events:
        call = event["execution_trace"]
        if call is None:
            continue
        day = datetime.fromisoformat(call["timestamp"]).astimezone(UTC).date().isoformat()
        calls[call["service"], day, node] += 1
        if not call["success"]:
            text = call["error"]
            names = (
                [name for name, pattern in patterns if pattern.search(text)]
                if text is not None
                else [silent[call["service"], call["method"]]]
            )
            assert len(names) <= 1
            failures[names[0] if names else "noise", day, node] += 1
    return failures, calls


def test_truth_is_what_a_recount_of_the_events_finds(fleet):
    _, events, truth = fleet
    failures, _ = recount(events, truth)
    assert len(events) == truth.events == 7 * 1_500
    assert sum(count for (name, _, _), count in failures.items() if name == "noise") == truth.noise_failures
    for failure in truth.failures:
        if failure.signal is None:
            found = {key[1:]: count for key, count in failures.items() if key[0] == failure.id}
            by_day, by_node = Counter(), Counter()
            for (day, node), count in found.items():
                by_day[day] += count
                by_node[node] += count
            assert by_day == failure.events_by_day
            assert by_node == failure.events_by_node
            assert tuple(sorted(by_node)) == failure.nodes


def test_counts_and_events_are_of_the_same_plan(fleet):
    _, events, truth = fleet
    counts, reporting, patterns = simulate_counts(7, 8, 1_500, seed=21)
    failures, calls = recount(events, truth)
    planted = counts[
        counts["pattern_id"].isin([failure.id for failure in truth.failures if failure.signal is None])
        & (counts["failures"] > 0)
    ]
    framed = {
        (row.pattern_id, row.event_date.date().isoformat(), row.node_id): row.failures
        for row in planted.itertuples()
    }
    assert framed == {key: count for key, count in failures.items() if key[0] != "noise"}
    called = Counter()
    for (_, day, node), count in calls.items():
        called[day, node] += count
    sessions = {
        (node, turn["session_id"]): turn["timestamp"]
        for node, event in events
        if (turn := event["conversation_log"])
    }
    for (node, _), at in sessions.items():
        called[datetime.fromisoformat(at).astimezone(UTC).date().isoformat(), node] += 1
    assert {
        (row.event_date.date().isoformat(), row.node_id): row.calls for row in reporting.itertuples()
    } == called
    talked = counts[counts["pattern_id"].isin([failure.id for failure in truth.failures if failure.signal])]
    assert talked.groupby("pattern_id")["failures"].sum().to_dict() == {
        f.id: len(f.session_ids) for f in truth.failures if f.signal
    }
    assert (counts["failures"] <= counts["calls"]).all()
    assert not counts.duplicated(["pattern_id", "event_date", "node_id"]).any()
    assert set(patterns["pattern_id"]) == set(counts["pattern_id"])
    assert {failure.id: failure.actionable for failure in truth.failures}.items() <= dict(
        zip(patterns["pattern_id"], patterns["actionable"], strict=True)
    ).items()


def test_a_session_that_claims_success_has_a_failed_call_in_its_trace_and_no_other_is_taken_for_it(fleet):
    _, events, truth = fleet
    failed = {
        event["execution_trace"]["trace_id"]
        for _, event in events
        if event["execution_trace"] and not event["execution_trace"]["success"]
    }
    last = {}
    for _, event in sorted(events, key=lambda found: datetime.fromisoformat(found[1]["timestamp"])):
        if turn := event["conversation_log"]:
            last[turn["session_id"]] = (turn["metadata"]["trace_id"], turn["system_response"])
    claims = next(
        set(failure.session_ids) for failure in truth.failures if failure.signal == "confident_after_failure"
    )
    assert claims
    for session, (trace, response) in last.items():
        if session in claims:
            assert trace in failed
        elif trace in failed:
            assert "failed" in response


def test_a_failed_call_comes_before_the_answer_that_claims_success(fleet):
    _, events, truth = fleet
    claims = next(
        set(failure.session_ids) for failure in truth.failures if failure.signal == "confident_after_failure"
    )
    failed_at, answered_at, traces = {}, {}, {}
    for _, event in events:
        at = datetime.fromisoformat(event["timestamp"])
        if call := event["execution_trace"]:
            if not call["success"]:
                failed_at[call["trace_id"]] = min(at, failed_at.get(call["trace_id"], at))
        elif (turn := event["conversation_log"])["session_id"] in claims:
            traces[turn["session_id"]] = turn["metadata"]["trace_id"]
            answered_at[turn["session_id"]] = max(at, answered_at.get(turn["session_id"], at))
    assert all(failed_at[traces[session]] < at for session, at in answered_at.items())


def test_calls_show_why_they_fail_and_the_next_attempt_that_works_does_not():
    events, _ = events_of(plan_fleet(4, 12, 3_000, seed=3))
    calls = sorted(
        (event["execution_trace"] for _, event in events if event["execution_trace"]),
        key=lambda call: datetime.fromisoformat(call["timestamp"]),
    )
    shows = {
        "search": lambda call: orjson.loads(call["metadata"]["arguments"])["top_k"] > 50,
        "find_customer": lambda call: isinstance(
            orjson.loads(call["metadata"]["arguments"])["customer_id"], str
        ),
        "structured_output": lambda call: call["metadata"]["prompt_version"] == "v7",
    }
    planted = {"search": "timed out", "find_customer": "customer_id must be", "structured_output": "as JSON"}
    for method, is_shown in shows.items():
        mine = [call for call in calls if call["method"] == method]
        failed = [call for call in mine if planted[method] in (call["error"] or "")]
        assert np.mean([is_shown(call) for call in failed]) > 0.8
        assert np.mean([is_shown(call) for call in mine if call["success"]]) < 0.1
        recovered, last = 0, {}
        for call in mine:
            before = last.get(call["trace_id"])
            recovered += bool(before and not before["success"] and call["success"])
            last[call["trace_id"]] = call
        assert recovered > 0.3 * len(failed)
    looked, fetched = set(), Counter()
    for call in calls:
        if call["method"] == "search" and call["success"]:
            looked.add(call["trace_id"])
        if call["method"] == "fetch_document":
            fetched[call["success"], call["trace_id"] in looked] += 1
    assert fetched[True, True] > 3 * fetched[True, False]
    assert fetched[False, False] > 3 * fetched[False, True]


def test_ids_are_unique_and_a_trace_has_several_calls(fleet):
    _, events, _ = fleet
    assert len({event["event_id"] for _, event in events}) == len(events)
    sizes = Counter(event["execution_trace"]["trace_id"] for _, event in events if event["execution_trace"])
    assert 2 < np.mean(list(sizes.values())) < 12


def test_every_call_but_the_first_of_a_trace_names_a_parent_in_it(fleet):
    _, events, _ = fleet
    calls = [event["execution_trace"] for _, event in events if event["execution_trace"]]
    spans = {(call["trace_id"], call["request_id"]) for call in calls}
    children = [call for call in calls if "parent_span_id" in call["metadata"]]
    assert len(calls) - len(children) == len({call["trace_id"] for call in calls})
    assert all((call["trace_id"], call["metadata"]["parent_span_id"]) in spans for call in children)


def test_latency_has_a_long_tail_and_volume_follows_the_day(fleet):
    _, events, _ = fleet
    calls = [event["execution_trace"] for _, event in events if event["execution_trace"]]
    took = [call["duration_ms"] for call in calls if call["success"] and call["method"] == "search"]
    median, high, top = np.percentile(took, [50, 95, 100])
    assert 120 < median < 260
    assert high > 2.5 * median
    assert top > 6 * median
    hours = Counter(datetime.fromisoformat(call["timestamp"]).astimezone(UTC).hour // 3 for call in calls)
    assert max(hours.values()) > 1.8 * min(hours.values())


def test_a_timeout_takes_as_long_as_its_limit(fleet):
    _, events, _ = fleet
    took = [
        call["duration_ms"]
        for _, event in events
        if (call := event["execution_trace"]) and "timed out" in (call["error"] or "")
    ]
    assert took
    assert 25_000 < min(took) < max(took) < 40_000


def test_a_node_without_its_name_in_the_metadata_is_known_by_its_folder(fleet):
    plan, events, _ = fleet
    named = Counter(
        (node, (event["execution_trace"] or event["conversation_log"])["metadata"].get("node_id"))
        for node, event in events
    )
    assert {node for node, name in named if name is None} == {plan.nodes[1]}
    assert all(name in (None, node) for node, name in named)


def test_files_cross_midnight_and_keep_the_order_of_time():
    plan, tally = plan_fleet(4, 5, 2_000, seed=2), Tally()
    crossing = 0
    for file in telemetry_files(plan, tally, damage=CLEAN, compression="plain"):
        times = [
            datetime.fromisoformat(orjson.loads(line)["timestamp"]) for line in file.content.splitlines()
        ]
        assert times == sorted(times)
        assert len(times) == file.lines
        crossing += len({time.astimezone(UTC).date() for time in times}) > 1
    assert crossing >= 5


def test_large_days_are_made_in_batches_that_follow_each_other():
    plan, tally = plan_fleet(1, 1, 110_000, seed=2), Tally()
    last = ""
    for file in telemetry_files(plan, tally, damage=CLEAN, compression="plain"):
        lines = file.content.splitlines()
        first = orjson.loads(lines[0])["timestamp"]
        assert first > last[:13], "within an hour: a long talk may reach into the next batch"
        last = orjson.loads(lines[-1])["timestamp"]
    assert tally.events == 110_000


@pytest.mark.parametrize("serial", range(15))
def test_a_malformed_line_is_one_line_and_no_valid_event(serial):
    plan = plan_fleet(1, 1, 200, seed=2)
    line = next(iter(telemetry_files(plan, Tally(), damage=CLEAN, compression="plain"))).content.splitlines()[
        0
    ]
    spoiled = _malformed(serial, line, np.random.default_rng(serial))
    assert b"\n" not in spoiled
    if len(spoiled) > 1_048_576:
        return
    try:
        event = orjson.loads(spoiled)
    except orjson.JSONDecodeError:
        return
    valid = (
        isinstance(event, dict)
        and isinstance(event.get("event_id"), str)
        and isinstance(event.get("timestamp"), str)
        and event["timestamp"][:2] == "20"
    )
    payload = valid and (event["execution_trace"] or event["conversation_log"])
    assert not (payload and isinstance(payload["metadata"], dict))
