"""Printing the history of updates in the order of time; for its steps see `updates/releases.py`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from fl_assets.cli.console import say
from fl_assets.report.words import counted
from fl_assets.updates.history import Event, Update, sides

_STEPS = {"canary": "on canary nodes", "widened": "on half of them", "rolled_back": "rolled back"}
"""Steps whose words differ from their names."""


def show_story(
    events: Sequence[Event],
    patterns: Sequence[Mapping[str, Any]],
    *,
    cycles: Sequence[Mapping[str, Any]],
    messages: Mapping[str, str],
) -> None:
    """Print the cycles so far, each step of each change, incidents of one node, and what is harmless.

    Args:
        events: the history of updates.
        patterns: rows of `failure_patterns` of the last day.
        messages: a failed call's message, by `family_id`.
        cycles: `day, status, begun, ended` (naive, UTC) of each cycle, the earliest begun first.
    """
    if cycles:
        latest = {row["day"]: str(row["status"]) for row in cycles}
        ended = counted(Counter(latest.values()))
        say(f"Learning cycles of {min(latest)} to {max(latest)}: {ended}")
        say("What was tried, by day (the cycle of a day runs soon after its midnight):")
    updates: dict[str, Update] = {one.decision_id: one.update for one in events if one.update}
    for event in events:
        if event.decision_id not in updates:
            continue
        step = _STEPS.get(event.what, event.what)
        say(f"  {_day_of(event, cycles)}  {step:<16}  {_words(event, updates[event.decision_id])}")
    for row in patterns:
        times = f"{messages.get(row['family_id']) or row['template']} ({row['failures']:,} times)"
        if row["incident_node"] and row["failures"]:
            say(f"  {'one node alone':<28}  {row['incident_node']}: {times}")
        if row["is_harmless"] and row["failures"]:
            say(f"  {'harmless, no playbook':<28}  {times}")


def _day_of(event: Event, cycles: Sequence[Mapping[str, Any]]) -> date:
    """Return the day of the cycle that took a step, or else the day of the step."""
    at = event.at.replace(tzinfo=None)
    days = (row["day"] for row in cycles if row["ended"] and row["begun"] <= at <= row["ended"])
    return next(days, event.at.date())


def _words(event: Event, update: Update) -> str:
    if event.what == "approved":
        return f"by {event.by}: {changed(update)} ({event.reason})"
    if event.what == "canary":
        return f"{len(event.canary)} of {len(event.canary) + len(event.control)} nodes: {changed(update)}"
    return f"{changed(update)}: {event.reason}"


def changed(update: Update) -> str:
    """Return the changes of an update with the last part of each key."""
    before, after = sides(update.from_value, update.target), sides(update.to_value, update.target)
    changes = ((name.rpartition(".")[2], before.get(name), value) for name, value in sorted(after.items()))
    return ", ".join(
        f"{name}: {new}" if old is None else f"{name} {old} → {new}" for name, old, new in changes
    )
