"""The history of updates as the demo shows it: each step by the day whose cycle led to it."""

from datetime import UTC, date, datetime, timedelta

from fl_assets.cli.story import show_story
from fl_assets.updates.history import Event, Update

ID = "3f9c" * 4
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 2)


def after_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 0, 15, tzinfo=UTC) + timedelta(days=1)


def test_a_step_of_a_cycle_has_its_day_and_one_of_no_cycle_the_day_it_was_done(capsys):
    update = Update(
        decision_id=ID, day=FIRST, improvement_id="1", pattern_id="p-1", remedy_id="cut-timeout",
        failure_class="timeout", change_id="2", category="config", target="a.toml#limit", from_value="1",
        to_value="2",
    )  # fmt: skip
    steps = (
        ("approved", after_midnight(FIRST)),
        ("rolled_back", after_midnight(LAST)),
        ("rejected", after_midnight(LAST) + timedelta(hours=13)),
    )
    events = [
        Event(number=place, at=at, what=what, decision_id=ID, by="ada", update=update)
        for place, (what, at) in enumerate(steps, 1)
    ]
    cycles = [
        {"day": day, "status": "completed", "begun": at, "ended": ended}
        for day in (FIRST, LAST)
        for at in [after_midnight(day).replace(tzinfo=None)]
        for ended in (at, None)
    ]
    show_story(events, [], cycles=cycles, messages={})
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert lines == [["2026-11-01", "approved"], ["2026-11-02", "rolled"], ["2026-11-03", "rejected"]]
