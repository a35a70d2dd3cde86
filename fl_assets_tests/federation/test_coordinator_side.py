"""The coordinator believes what a registered node signed, once, in any order, and says by name why it refuses
the rest.
"""

import json
import random
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.automation import minimum_events_reached
from fl_assets.defs.resources import resources
from fl_assets.federation.coordinator_side import MAX_REFUSED, SummaryFiles
from fl_assets.federation.summary import (
    ADMISSION_RULES,
    MAX_LINE_BYTES,
    SIGNED_AS,
    FailureCount,
    SignedSummary,
    summary_to_sign,
)
from fl_assets.infra.json_text import canonical_json, canonical_record
from fl_assets.infra.keys import sign
from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.playbooks.propose import propose
from fl_assets.playbooks.remedies import load_remedies
from fl_assets_tests.fleets import (
    DAY,
    bring,
    call,
    coordinator_home,
    lines_of,
    node_home,
    register,
    summaries_of,
)

SUMS = ("failure_signatures", "call_totals", "conversation_signals")
NOT_TOLD = {"first_seen", "last_seen", "exemplar_trace_ids", "exemplar_session_ids", "incidents"}
NODES = ("n1", "n2", "n3")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Three nodes that tell everything: k of 1, no noise."""
    folder = tmp_path_factory.mktemp("nodes")
    return {
        name: node_home(folder, name, lines_of(name, sessions=4 + place), summary_min_sessions=1)
        for place, name in enumerate(NODES)
    }


@pytest.fixture(scope="module")
def told(nodes):
    """The line of each node."""
    return {name: summaries_of(node).summarize_day(DAY).line for name, node in nodes.items()}


@pytest.fixture(scope="module")
def expected(nodes):
    """What the nodes' events give by themselves."""
    return {
        name: sorted((row for node in nodes.values() for row in sums(node)[name]), key=str) for name in SUMS
    }


@pytest.fixture
def coordinator(tmp_path, nodes):
    return coordinator_home(tmp_path, *nodes.values(), summary_min_sessions=1, min_events=1)


def sums(space) -> dict[str, list[dict]]:
    space.sums.refresh_signatures(space.days.with_events(DAY))
    space.sums.refresh_conversations(space.days.with_events(DAY))
    return {
        name: [
            {key: value for key, value in row.items() if key not in NOT_TOLD}
            for row in space.warehouse.read_day(name, DAY)
        ]
        for name in SUMS
    }


def incidents(space) -> set[tuple]:
    """To whom and when each failure happened, where that is known."""
    rows = space.warehouse.read_day("failure_signatures", DAY)
    return {(row["node_id"], row["message_id"], *row["incidents"]) for row in rows if row["incidents"]}


def changed(node, line: bytes, *, resign: bool = True, **changes) -> bytes:
    """The line with other content, signed again by its node or not."""
    signed = SignedSummary.model_validate_json(line)
    summary = signed.signed.model_copy(update=changes)
    signature = sign(summaries_of(node).key(), summary_to_sign(summary)) if resign else signed.signature
    return canonical_record(
        SignedSummary.model_construct(signed=summary, signature=signature)
    )  # a hostile node checks nothing


def rules(space) -> list[str]:
    return [one.rule for one in space.intake.ingest()[1].refused]


def test_summaries_are_taken_once_and_kept_in_the_lake(coordinator, told):
    bring(coordinator, "all.jsonl", *told.values())
    _, taken = coordinator.intake.ingest()
    assert (taken.summaries, taken.known, taken.refused, taken.days) == (3, 0, [], {DAY})
    assert coordinator.intake.ingest()[1].files == 0
    bring(coordinator, "again/one.jsonl".replace("/", "-"), told["n1"])
    assert (coordinator.intake.ingest()[1].known, coordinator.summaries.refusals()) == (1, [])
    assert list(coordinator.summaries.nodes(DAY)) == ["n1", "n2", "n3"]
    assert coordinator.lake.verify("node_summaries", DAY) == []


@pytest.mark.parametrize("rule", sorted(ADMISSION_RULES))
def test_each_refusal_has_its_name_is_recorded_and_loses_nothing(coordinator, nodes, told, tmp_path, rule):
    n1, line = nodes["n1"], told["n1"]
    before: list[bytes] = []
    if rule == "size":
        bad = b"x" * (MAX_LINE_BYTES + 10)
    elif rule == "format":
        bad = line.replace(b'"events":', b'"events": ')
    elif rule == "schema_version":
        bad = line.replace(b"fl-assets-summary/1", b"fl-assets-summary/2")
    elif rule == "unknown_node":
        bad = changed(n1, line, node_id="n9", resign=False)
    elif rule == "signature":
        bad = changed(n1, line, events=999_999, resign=False)
    elif rule == "wrong_node":
        bad = changed(nodes["n2"], line)
    elif rule == "settings_match":
        bad = changed(
            n1,
            line,
            settings=SignedSummary.model_validate_json(line).signed.settings.model_copy(
                update={"min_sessions": 2}
            ),
        )
    elif rule == "day":
        bad = changed(n1, line, day=datetime.now(UTC).date() + timedelta(days=2))
    elif rule == "replay":
        before, bad = [changed(n1, line, sequence=5)], line
    else:
        assert rule == "expired"
        (coordinator.settings.telemetry_path / "events_1.jsonl").write_bytes(call("n7", 1) + b"\n")
        coordinator.engine.ingest()
        coordinator.lake.expire(DAY + timedelta(days=30), 7)
        bad = line
    if before:
        bring(coordinator, "a.jsonl", *before)
        coordinator.intake.ingest()
    content = coordinator.lake.content_of(DAY)
    bring(coordinator, "b.jsonl", bad)
    assert rules(coordinator) == [rule]
    (refusal,) = coordinator.summaries.refusals()
    assert (refusal.path, refusal.line, refusal.rule) == ("b.jsonl", 1, rule)
    assert coordinator.lake.content_of(DAY) == content, "nothing was taken"
    assert (coordinator.settings.summaries_path / "b.jsonl").read_bytes() == bad + b"\n", "nothing was lost"


def test_a_stranger_that_signs_for_a_known_node_is_refused_as_tampering(tmp_path, coordinator, told):
    stranger = node_home(tmp_path / "elsewhere", "n1", lines_of("n1"), summary_min_sessions=1)
    bring(coordinator, "a.jsonl", changed(stranger, told["n1"]))
    assert rules(coordinator) == ["signature"]


def test_an_older_number_is_a_replay_also_when_index_and_database_are_lost(coordinator, nodes, told):
    newer = changed(nodes["n1"], told["n1"], sequence=7)
    bring(coordinator, "a.jsonl", newer)
    coordinator.intake.ingest()
    for path in coordinator.settings.data_path.rglob("*.sqlite"):
        path.unlink()
    bring(coordinator, "z.jsonl", told["n1"])
    assert rules(coordinator) == ["replay"]
    assert coordinator.summaries.nodes(DAY)["n1"]["sequence"] == 7


def test_a_refused_node_is_taken_as_soon_as_its_key_is_registered_and_revoked_with_it(tmp_path, nodes, told):
    space = coordinator_home(tmp_path, nodes["n2"], summary_min_sessions=1)
    bring(space, "a.jsonl", told["n1"], told["n2"])
    assert rules(space) == ["unknown_node"]
    register(space, nodes["n1"])
    assert rules(space) == []
    assert list(space.summaries.nodes(DAY)) == ["n1", "n2"]
    assert space.summaries.refusals() == []
    (space.settings.node_keys_path / "n2.pem").unlink()
    bring(space, "b.jsonl", changed(nodes["n2"], told["n2"], sequence=9))
    assert rules(space) == ["unknown_node"]


def test_hostile_text_is_masked_and_redacted_again(coordinator, nodes, told):
    summary = SignedSummary.model_validate_json(told["n1"]).signed
    texts = (
        "mail bob@example.com failed\u202e at 10.1.2.3 after 17 tries <STATUS_503>",
        "see <script>alert(1)</script> at /home/bob/secret.txt",
    )
    (pair,) = [one for one in summary.calls if one.method == "query"]
    hostile = tuple(
        FailureCount(
            service=pair.service, method=pair.method, error=text, has_text=True, failures=1, sessions=1
        )
        for text in texts
    )
    bring(coordinator, "a.jsonl", changed(nodes["n1"], told["n1"], failures=hostile))
    assert rules(coordinator) == []
    shown = " | ".join(row["masked_error"] for row in coordinator.summaries.rows(DAY).signatures)
    assert not [word for word in ("bob", "10.1.2.3", "17", "\u202e", "secret.txt") if word in shown]
    assert "<STATUS_503>" in shown
    assert coordinator.summaries.nodes(DAY)["n1"]["texts_changed"] == 2


def test_numbers_that_do_not_agree_are_refused(coordinator, nodes, told):
    summary = SignedSummary.model_validate_json(told["n1"]).signed
    more = tuple(one.model_copy(update={"failures": one.calls + 1}) for one in summary.calls)
    bring(coordinator, "a.jsonl", changed(nodes["n1"], told["n1"], calls=more))
    bring(coordinator, "b.jsonl", changed(nodes["n1"], told["n1"], calls=()))
    assert rules(coordinator) == ["format", "format"]


def signed_as_it_is(node, line: bytes, **changes) -> bytes:
    """A line whose plain JSON was changed, signed by its node: nothing checks what it says."""
    signed = json.loads(line)["signed"] | changes
    content = SIGNED_AS + canonical_json(signed)
    return canonical_json({"signature": sign(summaries_of(node).key(), content), "signed": signed})


CALLS = {"service": "a", "method": "b", "calls": 9, "failures": 0, "sessions": 1, "durations": []}
BEYOND = {
    "a time of year 1": {"created_at": "0001-01-01T00:00:00+05:00"},
    "a time of 9999": {"created_at": "9999-12-31T23:59:59-05:00"},
    "a time without a zone": {"created_at": "2026-11-02T00:00:00"},
    "a bucket twice": {"calls": [CALLS | {"durations": [[5, 1], [5, 1]]}]},
    "more durations than calls": {"calls": [CALLS | {"durations": [[5, 10]]}]},
    "a number with 400 digits": {"events": 10**400},
    "a number as text": {"events": "5"},
    "names that become one, beyond a bound": {
        "calls": [CALLS | {"service": f"a{mark}", "calls": 10**12} for mark in ("\u200b", "\u200c")]
    },
}


def test_what_a_registered_node_signs_beyond_the_bounds_costs_its_line_alone(coordinator, nodes, told):
    bad = [signed_as_it_is(nodes["n1"], told["n1"], failures=[], **given) for given in BEYOND.values()]
    bring(coordinator, "a.jsonl", told["n3"], *bad, told["n2"])
    _, taken = coordinator.intake.ingest()
    refused = sorted((one.line, one.rule, one.node_id) for one in taken.refused)
    assert refused == [(line, "format", "n1") for line in range(2, len(BEYOND) + 2)]
    assert (taken.summaries, list(coordinator.summaries.nodes(DAY))) == (2, ["n2", "n3"])
    sums(coordinator)
    assert coordinator.intake.ingest()[1].files == 0


def test_a_summary_that_cannot_be_stored_leaves_the_one_before_it(coordinator, nodes, told):
    bad = signed_as_it_is(
        nodes["n1"], told["n1"], failures=[], sequence=9, **BEYOND["names that become one, beyond a bound"]
    )
    bring(coordinator, "a.jsonl", told["n1"], bad)
    _, taken = coordinator.intake.ingest()
    assert (taken.summaries, [one.line for one in taken.refused]) == (1, [2])
    assert coordinator.summaries.nodes(DAY)["n1"]["sequence"] == 1


def test_what_nobody_signed_is_read_no_further_and_a_bad_row_ends_it(coordinator, nodes, told):
    rows = [{}] * 1_000_000
    bring(coordinator, "a.jsonl", signed_as_it_is(nodes["n1"], told["n1"], node_id="n9", failures=rows))
    begin = time.process_time()
    assert rules(coordinator) == ["wrong_node"]
    line = signed_as_it_is(nodes["n1"], told["n1"], failures=rows)
    with pytest.raises(ValidationError) as error:
        SignedSummary.model_validate_json(line)
    assert {one["loc"][2] for one in error.value.errors(include_url=False)} == {0}
    assert time.process_time() - begin < 10


def test_of_many_refused_lines_some_are_kept_and_the_others_counted(coordinator, told):
    bring(coordinator, "a.jsonl", *[b"x"] * (MAX_REFUSED + 5), told["n1"])
    _, taken = coordinator.intake.ingest()
    assert (taken.summaries, len(taken.refused)) == (1, MAX_REFUSED + 1)
    assert taken.refused[-1].detail == "5 more lines were refused"


def test_a_summary_that_is_changed_while_it_is_read_is_not_stored(coordinator, told, monkeypatch):
    bring(coordinator, "a.jsonl", told["n1"])
    seen = SummaryFiles._admitted

    def admitted(self, look, refused):
        bring(coordinator, "a.jsonl", told["n1"].replace(b"search", b"hcraes"))
        return seen(self, look, refused)

    monkeypatch.setattr(SummaryFiles, "_admitted", admitted)
    assert rules(coordinator) == ["format"]
    assert coordinator.summaries.nodes(DAY) == {}


def test_what_a_node_signed_stands_for_its_day_whatever_raw_events_of_it_there_are(coordinator, nodes, told):
    bring(coordinator, "a.jsonl", told["n1"])
    (coordinator.settings.telemetry_path / "events_1.jsonl").write_bytes(
        b"\n".join([*lines_of("n1", sessions=9), *lines_of("n2", sessions=5)]) + b"\n"
    )
    coordinator.intake.ingest()
    both = sums(coordinator)
    assert {row["node_id"] for row in both["call_totals"]} == {"n1", "n2"}
    mine = [row for row in both["failure_signatures"] if row["node_id"] == "n1"]
    assert sum(row["failures"] for row in mine) == sum(
        one.failures for one in SignedSummary.model_validate_json(told["n1"]).signed.failures
    )
    own = [nodes[name].days.events_on(DAY) for name in ("n1", "n2")]
    assert coordinator.days.events_on(DAY) == sum(own), "no event counts twice"


@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(raw=st.sets(st.sampled_from(NODES)), seed=st.integers(0, 99))
def test_any_mixture_of_events_and_summaries_in_any_order_gives_the_same_sums(
    tmp_path_factory, nodes, told, expected, raw, seed
):
    shuffle = random.Random(seed)
    space = coordinator_home(tmp_path_factory.mktemp("mix"), *nodes.values(), summary_min_sessions=1)
    lines = [told[name] for name in NODES if name not in raw]
    shuffle.shuffle(lines)
    events = [
        line for place, name in enumerate(NODES) if name in raw for line in lines_of(name, sessions=4 + place)
    ]
    shuffle.shuffle(events)
    steps = [lambda: bring(space, "a.jsonl", *lines[:1]), lambda: bring(space, "b.jsonl", *lines[1:])]
    if events:
        steps.append(
            lambda: (space.settings.telemetry_path / "events_1.jsonl").write_bytes(b"\n".join(events) + b"\n")
        )
    shuffle.shuffle(steps)
    for step in steps:
        step()
        space.intake.ingest()
    assert {name: sorted(rows, key=str) for name, rows in sums(space).items()} == expected
    found = incidents(space)
    own = set().union(*(incidents(nodes[name]) for name in raw))
    assert {one for one in found if one[0] in raw} == own, "those of raw events, whatever the order"
    persons = {
        (node, message, len({one[6:16] for one in named}))
        for name in NODES
        for node, message, *named in incidents(nodes[name])
    }
    assert {(node, message, len(named)) for node, message, *named in found if node not in raw} == {
        one for one in persons if one[0] not in raw
    }, "of a summary as many as there were persons"


def test_a_crash_after_the_lake_was_written_loses_and_doubles_nothing(coordinator, told, monkeypatch):
    bring(coordinator, "a.jsonl", *told.values())
    with monkeypatch.context() as patch:
        patch.setattr(coordinator.index, "commit", _fail)
        with pytest.raises(OSError, match="power is gone"):
            coordinator.summaries.take(coordinator.index)
    taken = coordinator.summaries.take(coordinator.index)
    assert (taken.summaries, taken.known, taken.refused) == (0, 3, [])
    assert [entry.day for entry in coordinator.intake.backlog().days] == [DAY], (
        "its day still waits to be analysed"
    )
    assert coordinator.lake.manifest("node_summaries", DAY).version == 1


def _fail(*_):
    raise OSError("power is gone")


def test_a_late_summary_makes_its_day_asked_for_once(coordinator, told):
    given_ = {
        name: str(getattr(coordinator.settings, name))
        for name in ("data_path", "telemetry_path", "summaries_path", "node_keys_path", "error_records_path")
    }

    def tick() -> list[tuple[str, str]]:
        space = resources(
            FederatedLearningConfig.from_env(**given_, summary_min_sessions="1", min_events="1")
        )["workspace"]
        with dg.build_sensor_context(resources={"workspace": space}) as context:
            return [
                (one.partition_key, one.run_key) for one in minimum_events_reached(context).run_requests or ()
            ]

    assert tick() == []
    bring(coordinator, "a.jsonl", told["n1"])
    first, second = tick(), tick()
    assert [day for day, _ in first] == [str(DAY)]
    assert first == second, "the same run key: asked for once"
    coordinator.intake.ingest()
    coordinator.index.mark_analysed(DAY, coordinator.lake.content_of(DAY))
    assert tick() == []
    bring(coordinator, "late.jsonl", told["n2"])
    assert [day for day, _ in tick()] == [str(DAY)]
    bring(coordinator, "bad.jsonl", told["n3"].replace(b'"events":', b'"events": '))
    coordinator.intake.ingest()
    coordinator.index.mark_analysed(DAY, coordinator.lake.content_of(DAY))
    assert tick() == [], "what is refused asks for nothing"


def learn(space, day=DAY):
    space.sums.refresh_signatures(space.days.with_events(day))
    space.sums.refresh_conversations(space.days.with_events(day))
    chosen = {
        "rules": load_failure_classes(),
        "corrections": load_corrections(space.settings.corrections_path),
        "false_discovery_rate": 0.1,
    }
    return analyse(
        space.patterns.history(day),
        space.days.window(day),
        **chosen,
        summary_min_nodes=space.settings.summary_min_nodes,
    )


def test_a_fleet_that_sends_summaries_gives_the_patterns_and_playbooks_of_one_that_sends_events(
    tmp_path, nodes, told
):
    by_events = coordinator_home(tmp_path / "events", summary_min_nodes=1)
    lines = [line for place, name in enumerate(NODES) for line in lines_of(name, sessions=4 + place)]
    (by_events.settings.telemetry_path / "events_1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    by_summary = coordinator_home(
        tmp_path / "summaries", *nodes.values(), summary_min_sessions=1, summary_min_nodes=1
    )
    bring(by_summary, "a.jsonl", *told.values())
    found = []
    for space in (by_events, by_summary):
        space.intake.ingest()
        patterns = learn(space).patterns
        books = propose(
            patterns,
            load_remedies(space.settings.remedies_path),
            day=DAY,
            settings=space.settings,
            previous=[],
        )
        found.append(
            (
                patterns.drop(columns=list(NOT_TOLD & set(patterns.columns))),
                [one.model_dump() for one in books],
            )
        )
    (patterns, books), (told_patterns, told_books) = found
    pd.testing.assert_frame_equal(patterns, told_patterns)
    assert books == told_books
    assert (len(patterns) >= 3, len(books) >= 3) == (True, True)


def test_a_pattern_is_shown_when_k_nodes_tell_of_it_or_raw_events_show_it(tmp_path, nodes, told):
    space = coordinator_home(tmp_path, *nodes.values(), summary_min_sessions=1, summary_min_nodes=3)
    bring(space, "a.jsonl", told["n1"], told["n2"])
    (space.settings.telemetry_path / "events_1.jsonl").write_bytes(
        call("n8", 1, error="index shards are missing") + b"\n"
    )
    space.intake.ingest()
    assert list(learn(space).patterns["template"]) == ["index shards are missing"], (
        "two nodes are too few, of which a third has one in raw events"
    )
    bring(space, "b.jsonl", told["n3"])
    space.intake.ingest()
    assert "search timed out after <NUM>" in set(learn(space).patterns["template"])


def test_evidence_of_summaries_is_recounted_from_what_is_stored_of_them(tmp_path, nodes, told):
    space = coordinator_home(tmp_path, *nodes.values(), summary_min_sessions=1, min_events=1)
    bring(space, "a.jsonl", *told.values())
    space.intake.ingest()
    found = learn(space)
    space.warehouse.replace("failure_patterns", DAY, found.patterns)
    space.warehouse.replace("pattern_members", DAY, found.members)
    claimed = dict(zip(found.patterns["pattern_id"], found.patterns["failures"], strict=True))
    window = space.days.window(DAY).days
    found = space.recounter.recount(DAY, window)
    assert dict(found.counted) == dict(found.summed) == claimed
    space.warehouse.replace("failure_signatures", DAY, space.engine.signatures(DAY)[0])
    assert dict(space.recounter.recount(DAY, window).counted) == claimed, "no stored sum is believed"
    assert sum(claimed.values()) > 0
