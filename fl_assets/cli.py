"""The `fl-assets` command.

What goes here: arguments in, words out. What does not: anything a cycle does (`coordinator.py`), how a result reads (`console.py`).
Imports of Dagster wait until a command needs them, so that `--help` is quick.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_assets.domain.settings import FederatedLearningConfig, SettingsError

if TYPE_CHECKING:
    from fl_assets.coordinator import FederatedLearningCoordinator

app = typer.Typer(
    name="fl-assets",
    help="A fleet's telemetry becomes playbooks it can defend, and updates it can undo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
DateOption = Annotated[
    datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Day to look at; by default the latest complete one.")
]


class CommandError(Exception):
    """What went wrong and what to do, for the person at the terminal; exit code 1."""


def main() -> None:
    """Run the command; a known error is one clear message on standard error and exit code 1, never a traceback."""
    from fl_assets.console import fail

    try:
        app()
    except (SettingsError, CommandError, ValueError) as error:
        fail(str(error))


@app.command()
def cycle(date_: DateOption = None, as_json: AsJson = False, verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's log.")] = False) -> None:
    """Run one learning cycle and say what it found.

    Example: fl-assets cycle --date 2026-11-20 --json
    """
    from fl_assets.console import show_cycle

    coordinator = _coordinator(verbose=verbose)
    from fl_assets.coordinator import CycleFailedError, InsufficientData

    try:
        result = coordinator.run_learning_cycle(date_.date() if date_ else None)
    except InsufficientData as error:
        result = error.result
    except CycleFailedError as error:
        raise CommandError(str(error)) from error
    show_cycle(coordinator.workspace, result, as_json=as_json)
    if result.status == "insufficient_data":
        raise typer.Exit(2)


@app.command()
def backfill(from_: Annotated[datetime, typer.Argument(metavar="FROM", formats=["%Y-%m-%d"])], to: Day, as_json: AsJson = False) -> None:
    """Run the cycles of a range of days, oldest first, in this one process.

    Example: fl-assets backfill 2026-11-01 2026-11-14
    """
    from fl_assets.console import show_backfill, status

    coordinator = _coordinator()
    from fl_assets.coordinator import CycleFailedError

    try:
        with status("learning from history") as say:
            results = coordinator.backfill(from_.date(), to.date(), progress=say)
    except CycleFailedError as error:
        raise CommandError(str(error)) from error
    show_backfill(results, as_json=as_json)


@app.command()
def watch(every: Annotated[int | None, typer.Option(help="Seconds between cycles; by default FEDERATED_LEARNING_CYCLE_INTERVAL_SECS.", min=1)] = None) -> None:
    """Run a cycle now and then at every interval, until interrupted.

    Example: fl-assets watch --every 3600
    """
    from fl_assets.console import say_outcome

    coordinator = _coordinator()
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
    out: Annotated[Path, typer.Option(help="Folder to write telemetry files into; truth.json goes beside it.")] = Path("data/telemetry/cache"),
    days: Annotated[int, typer.Option(min=1, max=366)] = 14,
    nodes: Annotated[int, typer.Option(min=1, max=10_000)] = 12,
    events_per_day: Annotated[int, typer.Option(min=1, help="Events a day, over all nodes.")] = 4000,
    seed: Annotated[int, typer.Option(help="Same seed and same days, same bytes.")] = 1,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day; by default yesterday, UTC.")] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing when the folder already has files.")] = False,
) -> None:
    """Write the telemetry of a believable fleet, with planted failures and the truth about them.

    Example: fl-assets simulate --out fleet/cache --days 14 --nodes 50 --events-per-day 20000 --seed 7
    """
    from fl_assets.console import say, status
    from fl_assets.storage.simulator import simulate as write_fleet

    if out.exists() and any(path.is_file() for path in out.rglob("*")):
        if if_empty:
            say(f"telemetry: {out} has files already; nothing simulated")
            return
        message = f"simulate: {out} is not empty; give another --out, or remove its files first"
        raise CommandError(message)
    last = end.date() if end else datetime.now(UTC).date() - timedelta(days=1)
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
    say(f"telemetry: simulated {report.events} events of {nodes} nodes over {days} days to {last} in {out}; what was planted is in {out.parent / 'truth.json'}")


@app.command()
def home() -> None:
    """Prepare Dagster's home under the data folder and print its path; `make dev` calls this first.

    Example: DAGSTER_HOME="$(fl-assets home)" dagster dev
    """
    from fl_assets.console import say
    from fl_assets.coordinator import prepare_home

    say(str(prepare_home(FederatedLearningConfig.from_env())))


def _coordinator(*, verbose: bool = False) -> "FederatedLearningCoordinator":
    """Return a coordinator with the settings of the environment, Dagster's own log silent unless asked for."""
    from fl_assets.coordinator import FederatedLearningCoordinator, open_home

    config = FederatedLearningConfig.from_env()
    return FederatedLearningCoordinator(config, instance=open_home(config), log_level="INFO" if verbose else "CRITICAL")


def as_day(value: datetime | None) -> date | None:
    """Return the day of a parsed command-line date."""
    return value.date() if value else None


if __name__ == "__main__":
    main()
