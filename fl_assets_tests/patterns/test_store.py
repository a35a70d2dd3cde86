"""What an analysis reads is bounded, whatever a fleet sends."""

from fl_assets.patterns.analysis import analyse
from fl_assets.patterns.classes import load_failure_classes
from fl_assets.patterns.grouping import load_corrections
from fl_assets.patterns.store import left_out
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.fleets import DAY, call, turn

WORDS = ("alpha", "bravo", "coral", "delta", "ember", "frost", "grove", "haven", "inlet", "jolly")


def analysed(space, history):
    return analyse(
        history,
        space.days.window(DAY),
        rules=load_failure_classes(),
        corrections=load_corrections(None),
        false_discovery_rate=0.1,
        min_nodes=3,
        summary_min_nodes=3,
    )


def test_of_too_many_messages_those_of_most_nodes_are_looked_at_and_the_rest_is_counted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("fl_assets.patterns.store.MAX_MESSAGES", 8)
    space = Workspace(settings_in(tmp_path))
    space.settings.telemetry_path.mkdir(parents=True)
    common = [
        call(node, session, number, error=f"{word} is broken", method=word)
        for node in ("n1", "n2", "n3")
        for session, word in enumerate(WORDS[:5])
        for number in range(3)
    ]
    rare = [
        call("n4", session, number, error=f"{word} {other} went away", method=f"{word}{other}")
        for session, word in enumerate(WORDS)
        for number, other in enumerate(WORDS[:3])
    ]
    (space.settings.telemetry_path / "a.jsonl").write_bytes(b"\n".join([*rare, *common]) + b"\n")
    space.intake.ingest()
    space.sums.refresh_signatures(space.days.with_events(DAY))
    history = space.patterns.history(DAY)
    assert len(history.messages) == 8
    assert {f"{word} is broken" for word in WORDS[:5]} < set(history.messages["masked_error"])
    assert set(history.signatures["message_id"]) == set(history.messages["message_id"])
    expected = {"messages": 27, "failures": 27}
    assert left_out(space.warehouse, DAY) == space.report.rows(DAY).left_out == expected
    found = analysed(space, history)
    assert found.patterns["failures"].sum() == 48
    space.patterns.replace(DAY, found)
    again = space.recounter.recount(DAY, [DAY])
    assert again.summed == again.counted


def test_what_a_day_adds_up_to_is_read_without_its_rows(tmp_path):
    space = Workspace(settings_in(tmp_path))
    space.settings.telemetry_path.mkdir(parents=True)
    lines = [call("n1", 1, number, error=f"{word} is broken") for number, word in enumerate(WORDS)]
    lines += [call("n2", 2, number, error="alpha is broken") for number in range(3)]
    (space.settings.telemetry_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space.intake.ingest()
    space.sums.refresh_signatures(space.days.with_events(DAY))
    sums, largest = space.sums.largest_signatures(DAY, 2)
    assert sums == {"failures": 13, "distinct_messages": 10, "rows": 11}
    assert [(row["failures"], row["node_id"], row["masked_error"]) for row in largest][:1] == [
        (3, "n2", "alpha is broken")
    ]
    assert len(largest) == 2


def test_a_pattern_of_talk_has_turns_that_show_it_as_examples(tmp_path):
    space = Workspace(settings_in(tmp_path))
    space.settings.telemetry_path.mkdir(parents=True)
    refused = {"query": "Give me a refund", "answer": "I'm sorry, but I cannot help with that."}
    lines = [
        line
        for node in ("n1", "n2", "n3", "n4")
        for line in (turn(node, 1), turn(node, 2), turn(node, 2, 1, **refused))
    ]
    (space.settings.telemetry_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space.intake.ingest()
    days = space.days.with_events(DAY)
    space.sums.refresh_signatures(days)
    space.sums.refresh_conversations(days)
    found = analysed(space, space.patterns.history(DAY))
    space.patterns.replace(DAY, found)
    (family,) = found.patterns["family_id"]
    examples = space.patterns.knowledge(DAY, space.days.window(DAY), 3).examples
    assert set(examples["family_id"]) == {family}
    assert examples["rank"].tolist() == [1, 2, 3]
    assert examples["node_id"].nunique() == 3
    assert set(examples["message"]) == {
        "User: Give me a refund\nAgent: I'm sorry, but I cannot help with that."
    }
