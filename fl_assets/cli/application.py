"""What all commands of `fl-assets` share: the application, its options, its errors, and how they begin.

What goes here: what more than one file of commands needs. What does not: any command.
Imports of Dagster wait until a command needs them, so that `--help` is quick.
"""

import gc
import getpass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fl_assets.core.settings import FederatedLearningConfig, SettingsError

if TYPE_CHECKING:
    from fl_assets.coordinator import FederatedLearningCoordinator
    from fl_assets.report.records import Report
    from fl_assets.workspace import Workspace

app = typer.Typer(
    name="fl-assets",
    help="A fleet's telemetry becomes playbooks it can defend, and updates it can undo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done (a day that the gate stopped is done, too); 1 an error, told on standard "
    "error, or a rule that `verify` finds broken; "
    "2 wrong usage; 3 too few events, so that nothing was learned.",
)
TOO_FEW_EVENTS = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
DecisionId = Annotated[
    str,
    typer.Argument(
        metavar="DECISION_ID", help="As `fl-assets decisions` shows it; its first letters suffice."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history of updates.")]
DateOption = Annotated[
    datetime | None,
    typer.Option(
        "--date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Day to look at; by default the latest that was analysed.",
    ),
]
CycleDay = Annotated[
    datetime | None,
    typer.Option(
        "--date",
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="Day to analyse; by default the latest complete one with events.",
    ),
]


class CommandError(Exception):
    """What went wrong and what to do, for the person at the terminal; exit code 1."""


def main() -> None:
    """Run the command; a known error is one message on standard error and exit code 1, no traceback."""
    from fl_assets.cli.console import fail
    from fl_assets.cli.processes import ServeError
    from fl_assets.events.redaction.errors import RedactedError, redacted_errors
    from fl_assets.infra.duckdb_file import WarehouseBusyError, WarehouseFileError
    from fl_assets.infra.result_files import ResultFileError

    try:
        with redacted_errors():
            app()
    except (
        RedactedError,
        SettingsError,
        CommandError,
        ValueError,
        OSError,
        ResultFileError,
        ServeError,
        WarehouseBusyError,
        WarehouseFileError,
    ) as error:
        fail(str(error))


def user() -> str:
    """Return who is at the terminal."""
    return getpass.getuser()


def settings_of_inputs() -> FederatedLearningConfig:
    """Return the settings of the environment, having seen that what they name to be read is there."""
    from fl_assets.core.inputs import missing_inputs

    settings = FederatedLearningConfig.from_env()
    if missing := missing_inputs(settings):
        raise SettingsError("\n".join(missing))
    return settings


def coordinator_here(*, verbose: bool = False) -> "FederatedLearningCoordinator":
    """Return a coordinator with the settings of the environment, Dagster's log silent unless asked for."""
    config = settings_of_inputs()
    # What is imported stays: looking through it for garbage takes a third of the time of importing.
    gc.disable()
    try:
        from fl_assets.coordinator import FederatedLearningCoordinator, open_home

        return FederatedLearningCoordinator(
            config, instance=open_home(config), log_level="INFO" if verbose else "CRITICAL"
        )
    finally:
        gc.freeze()
        gc.enable()


def report_of(date_: datetime | None) -> "tuple[Workspace, Report]":
    """Return the workspace and the report of a day, by default of the latest one that was analysed."""
    from fl_assets.report.build import build_report
    from fl_assets.workspace import Workspace

    space = Workspace(settings_of_inputs())
    space.warehouse.create()  # one of an earlier version lacks the newer tables
    wanted = as_day(date_)
    days = [
        row["day"]
        for row in space.warehouse.rows(
            "select distinct event_date as day from failure_patterns order by day"
        )
    ]
    if not days:
        message = (
            f"nothing has been learned yet in {space.settings.warehouse_path}: run `fl-assets cycle` first"
        )
        raise CommandError(message)
    if wanted and wanted not in days:
        message = (
            f"{wanted} has not been analysed: run `fl-assets cycle --date {wanted}` first "
            f"(analysed: {days[0]} to {days[-1]})"
        )
        raise CommandError(message)
    return space, build_report(space.report.rows(wanted or days[-1]))


def as_day(value: datetime | None) -> date | None:
    """Return the day of a parsed command-line date."""
    return value.date() if value else None
