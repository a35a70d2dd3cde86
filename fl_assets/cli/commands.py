"""Commands that run cycles and show their results.

What does not go here: running a cycle (`coordinator.py`), printing (`console.py`), commands for a person's
answers (`answers.py`, `adapters.py`), for serving the UI (`server.py`) and for nodes (`nodes.py`).
"""

import errno
import shlex
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fl_assets.cli.application import (
    DAY,
    TOO_FEW_EVENTS,
    AsJson,
    CommandError,
    CycleDay,
    DateOption,
    app,
    coordinator_here,
    day_option,
    one_of,
    parse_day,
    report_of,
    settings_of_inputs,
)
from fl_assets.infra.clock import yesterday

Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Show every playbook; twice, Dagster's log, too.",
    ),
]


@app.command()
def cycle(
    date_: CycleDay = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    if_new: Annotated[
        bool, typer.Option("--if-new", help="Show the latest cycle instead when nothing has come since.")
    ] = False,
) -> None:
    """Learn from one day and say what was found.

    Exit code 3 when there are too few events.

    Example: fl-assets cycle --date 2026-11-20 --json
    """
    from fl_assets.cli.console import show_cycle, status
    from fl_assets.cli.cycle_view import cycle_view

    coordinator = coordinator_here(verbose=verbose > 1, first=date_)
    from fl_assets.coordinator import InsufficientData

    latest = None if date_ else yesterday()
    try:
        with status("reading new telemetry") as say:
            day = date_ or coordinator.latest_complete_day(say)
            known = coordinator.result_of(day) if if_new else None
            result = known or coordinator.run_learning_cycle(day, progress=say)
    except InsufficientData as error:
        result = error.result
    view = cycle_view(coordinator.workspace, result, later_until=latest)
    show_cycle(view, as_json=as_json, everything=verbose > 0)
    if result.status == "insufficient_data":
        raise typer.Exit(TOO_FEW_EVENTS)


@app.command()
def backfill(
    from_: Annotated[date, typer.Argument(parser=parse_day, metavar="FROM", help="First day, YYYY-MM-DD.")],
    to: Annotated[date, typer.Argument(parser=parse_day, metavar="TO", help="Last day, included.")],
    as_json: AsJson = False,
) -> None:
    """Learn from a range of days, oldest first.

    Exit code 3 when no day has enough events.

    Example: fl-assets backfill 2026-11-01 2026-11-14
    """
    from fl_assets.cli.console import show_backfill, status

    coordinator = coordinator_here(first=from_)
    with status("learning from history") as say:
        results = coordinator.backfill(from_, to, progress=say)
    show_backfill(results, as_json=as_json)
    if all(result.status == "insufficient_data" for result in results):
        raise typer.Exit(TOO_FEW_EVENTS)


@app.command()
def watch(
    every: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            help="Seconds between cycles; default: FEDERATED_LEARNING_CYCLE_INTERVAL_SECS.",
            min=1,
        ),
    ] = None,
) -> None:
    """Learn now, then at every interval, until interrupted.

    Example: fl-assets watch --every 3600
    """
    from fl_assets.cli.console import say_outcome

    coordinator = coordinator_here()
    if every:
        coordinator = type(coordinator)(coordinator.config.model_copy(update={"cycle_interval_secs": every}))
    thread = coordinator.start_background_cycles(say_outcome)
    try:
        while thread.is_alive():
            thread.join(timeout=1)
    except KeyboardInterrupt:
        coordinator.stop_background_cycles()


@app.command()
def simulate(
    out: Annotated[
        Path, typer.Option(help="Folder to write telemetry files into; truth.json goes beside it.")
    ] = Path("data/telemetry/cache"),
    days: Annotated[int, typer.Option(metavar="N", min=1, max=366, help="Days.")] = 14,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Nodes.")] = 12,
    events_per_day: Annotated[
        int, typer.Option(metavar="N", min=1, help="Events a day, over all nodes.")
    ] = 4000,
    seed: Annotated[int, typer.Option(help="Same seed and same days, same bytes.")] = 1,
    end: Annotated[date | None, day_option("Last day; default: yesterday, UTC.")] = None,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing when the folder already has files.")
    ] = False,
) -> None:
    """Write the telemetry of a simulated fleet.

    Failures are planted in it; truth.json beside it says which.

    Example: fl-assets simulate --out fleet/cache --nodes 50 --seed 7
    """
    from fl_assets.cli.console import say, status
    from fl_assets.simulator.write import simulate as write_fleet

    if out.exists() and any(path.is_file() for path in out.rglob("*")):
        if if_empty:
            say(f"telemetry: {out} has files already; nothing simulated")
            return
        raise CommandError(f"simulate: {out} is not empty; give another --out, or remove its files first")
    last = end or yesterday()
    with status(f"simulating {nodes} nodes over {days} days") as progress:
        report = write_fleet(
            out,
            days=days,
            nodes=nodes,
            events_per_day=events_per_day,
            seed=seed,
            end=last,
            progress=lambda done, total: progress(f"{done:,} of {total:,} events"),
        )
    say(
        f"telemetry: simulated {report.events:,} events of {nodes} nodes over {days} days to {last} in "
        f"{out}; what was planted is in {out.parent / 'truth.json'}"
    )


@app.command()
def report(
    date_: DateOption = None,
    as_json: AsJson = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Write a day's report as one HTML page and print its summary.

    In a read-only folder the existing page is kept.

    Example: fl-assets report --date 2026-11-20 --open
    """
    from fl_assets.cli.console import show_report
    from fl_assets.report.page import report_paths, write_report

    space, content = report_of(date_)
    folder = space.settings.reports_path
    page, twin = report_paths(folder, content.day)
    try:
        write_report(folder, content)
    except OSError as error:
        is_there = page.exists() and twin.exists()
        if not is_there or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    show_report(content, page, twin, as_json=as_json)
    if open_:
        typer.launch(page.resolve().as_uri())


@app.command()
def patterns(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD",
            help="Only those that have all of these somewhere: in the text, in a redacted example, as a "
            "status code, class, service, method or node.",
        ),
    ] = None,
    date_: DateOption = None,
    as_json: AsJson = False,
    all_: Annotated[bool, typer.Option("--all", help="Also those that do not fail now.")] = False,
) -> None:
    """List what fails, most failures first.

    Example: fl-assets patterns --date 2026-11-20

    Example: fl-assets patterns 401 eu-central-02
    """
    from fl_assets.cli.console import say
    from fl_assets.cli.pattern_view import show_patterns
    from fl_assets.cli.searching import searchable

    space, content = report_of(date_)
    found = [one for one in content.patterns if all_ or one.failures]
    if words:
        texts = searchable(space, content)
        found = [one for one in found if all(word.lower() in texts[one.pattern_id] for word in words)]
    if words and not found and not as_json:
        say(f"no pattern of {content.day} has {' and '.join(words)}; --all also looks at those that stopped")
        return
    show_patterns(found, as_json=as_json)


@app.command()
def playbooks(date_: DateOption = None, as_json: AsJson = False) -> None:
    """List what should change, and what is held back and why.

    What you can do now comes first, by the failures that it should prevent.

    Example: fl-assets playbooks --json
    """
    from fl_assets.cli.console import show_json, show_playbooks
    from fl_assets.report.words import apart_of

    space, content = report_of(date_)
    found = space.playbooks.ranked(content.day)
    if as_json:
        show_json([one.model_dump(mode="json") for one in found])
    else:
        show_playbooks(found, apart_of(content))


@app.command()
def decisions(date_: DateOption = None, as_json: AsJson = False) -> None:
    """List what waits for you and what else was decided, and why.

    With the way to roll each back, and the code that an answer in the Dagster UI needs.

    Example: fl-assets decisions --date 2026-11-20
    """
    from fl_assets.cli.console import show_decisions
    from fl_assets.updates.answers import codes_of

    space, content = report_of(date_)
    show_decisions(content, codes_of(space.updates, content.day), as_json=as_json)


@app.command()
def explain(
    pattern_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of a pattern, playbook or decision; its first letters suffice."),
    ],
    date_: DateOption = None,
    as_json: AsJson = False,
) -> None:
    """Show one pattern: examples, nodes, trend, what to change.

    The id of a playbook or a decision shows the pattern that it answers.

    Example: fl-assets explain p-9de6de2b9fa6
    """
    from fl_assets.cli.pattern_view import show_pattern

    _, content = report_of(date_)
    answered = {one.improvement_id: one.pattern_id for one in content.playbooks}
    ids = {one.pattern_id: one.pattern_id for one in content.patterns} | answered
    ids |= {one.decision_id: answered[one.improvement_id] for one in content.decisions}
    listing = f"fl-assets patterns --all --date {content.day}"
    if not any(one.startswith(pattern_id) for one in ids):
        search = f"fl-assets patterns {shlex.quote(pattern_id)}"
        raise CommandError(
            f"No pattern, playbook or decision {pattern_id!r} on {content.day}. To search text: `{search}`"
        )
    wanted = ids[one_of(pattern_id, list(ids), f"patterns of {content.day}", listing)]
    found = next(one for one in content.patterns if one.pattern_id == wanted)
    show_pattern(found, content, as_json=as_json)


@app.command()
def rebuild() -> None:
    """Rebuild the database from the Parquet beside it.

    One that is right stays as it is. Nothing is overwritten that cannot be read, and interrupting it is safe.

    Example: fl-assets rebuild
    """
    from fl_assets.cli.console import show_rebuilt, status
    from fl_assets.workspace import Workspace

    space = Workspace(settings_of_inputs())
    with status("comparing the database with its files") as say:
        done = space.rebuild(say)
    show_rebuilt(space.settings.warehouse_path, done)


@app.command()
def reingest(
    day: Annotated[date, typer.Argument(parser=parse_day, metavar=DAY, help="Day on which they were kept.")],
) -> None:
    """Re-date events after a clock error.

    Events that were kept on the day since their own time lay ahead of the clock come to the day of that time.

    Example: fl-assets reingest 2026-11-20
    """
    from fl_assets.cli.console import say
    from fl_assets.events.reingest import decide_again
    from fl_assets.workspace import Workspace

    found = decide_again(Workspace(settings_of_inputs()).engine, day)
    if not found.events:
        raise CommandError(f"{day} has no event whose own time is of another day, by the clock as it is now")
    say(f"{found.events:,} events of {day} came to their own days")
    say(f"Days that changed: {', '.join(map(str, found.days))}")
    say(f"Have them analysed: fl-assets backfill {found.days[0]} {found.days[-1]}")
