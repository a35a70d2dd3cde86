"""`fl-assets inspect`: a dry run of a cycle over a file or a folder; see `events/inspect.py`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_assets.cli.application import AsJson, CommandError, app
from fl_assets.core.cycles import latest_worth, window_of
from fl_assets.core.settings import FederatedLearningConfig

if TYPE_CHECKING:
    from fl_assets.events.inspect import InspectedFile, Inspection


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a folder of telemetry.")],
    as_json: AsJson = False,
) -> None:
    """Show how each file would be read, and what cannot be.

    Its format, events, days and nodes; then what a cycle would do.

    Nothing is stored.

    Example: fl-assets inspect data/telemetry/cache
    """
    from fl_assets.cli.console import status
    from fl_assets.events.inspect import inspect as look_at

    if not path.exists():
        raise CommandError(f"inspect: {path} is not there")
    settings = FederatedLearningConfig.from_env()
    with status("reading") as say:
        found = look_at(path, settings, say)
    _show(found, settings, as_json=as_json)


def _show(found: "Inspection", settings: FederatedLearningConfig, *, as_json: bool) -> None:
    from fl_assets.cli.console import say, show_json, show_table
    from fl_assets.events.mapping_files import mapping_for
    from fl_assets.events.outcome import unread_in_words

    lines = _what_a_cycle_would_do(found, settings)
    if as_json:
        files = [asdict(one) | {"nodes": sorted(one.nodes)} for one in found.files]
        days = {str(day): events for day, events in found.days.items()}
        show_json({"files": files, "days": days, "cycle": lines})
        return
    if found.files:
        names = ("file", "format", "events", "repeats", "days", "nodes", "lost")
        show_table(names, [_row(one) for one in found.files])
    skipped = unread_in_words(found.report.unread, 1000)
    for line in (*(f"skipped: {one}" for one in skipped[:1]), *skipped[1:], *lines):
        say(line)
    if found.own_record:
        say("To have such lines read, put this into a file, correct it (docs/formats.md), and inspect again")
        say("with FEDERATED_LEARNING_MAPPING_PATH set to that file:")
        say(mapping_for(found.own_record))


def _row(one: "InspectedFile") -> list[str]:
    days = {str(day) for day in (one.first_day, one.last_day) if day}
    nodes = sorted(one.nodes)
    named = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
    lost = ""
    if one.unread:
        is_lost = one.unread.is_refused and not one.events
        lost = "all of it" if is_lost else f"{one.unread.events:,}" if one.unread.events else ""
    repeats = f"{one.repeats:,}" if one.repeats else ""
    return [one.path, one.format, f"{one.events:,}", repeats, " to ".join(sorted(days)), named, lost]


def _what_a_cycle_would_do(found: "Inspection", settings: FederatedLearningConfig) -> list[str]:
    """Say what a cycle of the latest day would do with these files alone."""
    if not found.files:
        return ["a cycle would find no file here"]
    day = latest_worth(sorted(found.days), found.days.__getitem__, required=settings.min_events)
    if day is None:
        return ["a cycle would find no event in these files"]
    window = window_of(
        day,
        lambda each: found.days.get(each, 0),
        required=settings.min_events,
        max_days=settings.max_window_days,
    )
    days = "1 day" if len(window.days) == 1 else f"{len(window.days)} days"
    ends = "and would go on" if window.is_sufficient else "and would stop (FEDERATED_LEARNING_MIN_EVENTS)"
    lost, events = found.report.lost_events, sum(found.days.values())
    broken = lost / (lost + events)
    would = f"a cycle of {day} would read {window.events:,} events in {days}"
    lines = [f"{would}; it needs {window.required:,}, {ends}"]
    lines += [
        f"passed over: {found.days[each]:,} stray events of {each}"
        for each in sorted(found.days)
        if each > day
    ]
    if broken > settings.max_bad_ratio:
        lines.append(
            f"but {broken:.1%} of the events could not be read, and a day with more than "
            f"{settings.max_bad_ratio:.1%} stops, unless only a few nodes lost them"
        )
    return lines
