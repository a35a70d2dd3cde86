"""The application `fl-assets`, and what its commands share: options, errors, opening the workspace.

Dagster is imported only by commands that need it, so that `--help` is quick.
"""

import atexit
import errno
import gc
import getpass
import io
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fl_assets.cli.help_page import Sections
from fl_assets.core.settings import FederatedLearningConfig, SettingsError
from fl_assets.infra.clock import now_utc, yesterday
from fl_assets.infra.errors import ExplainedError

if TYPE_CHECKING:
    from fl_assets.coordinator import FederatedLearningCoordinator
    from fl_assets.report.records import Report
    from fl_assets.workspace import Workspace

app = typer.Typer(
    name="fl-assets",
    cls=Sections,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done (a day that the gate stopped is done, too); 1 an error, written to standard "
    "error, or a rule that `verify` finds broken; "
    "2 wrong usage; 3 too few events, so that nothing was learned.",
)
TOO_FEW_EVENTS = 3
INTERRUPTED = 130
MIN_ADDRESS_SPACE = 4 * 2**30
"""Bytes that Arrow, DuckDB and their threads reserve."""
_LISTED = 8
"""Ids that are listed when the start of one is ambiguous."""

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
DecisionId = Annotated[
    str,
    typer.Argument(
        metavar="DECISION_ID", help="As `fl-assets decisions` shows it; its first letters suffice."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history of updates.")]


def parse_day(text: str) -> date:
    """Read a day of the command line: YYYY-MM-DD, or `today` or `yesterday` in UTC."""
    named = {"today": now_utc().date(), "yesterday": yesterday()}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a valid date; write it as YYYY-MM-DD, or today or yesterday (UTC)"
        ) from None


DAY = "YYYY-MM-DD"
"""Placeholder of days that `parse_day` reads."""


def day_option(text: str, *names: str) -> Any:
    """Return an option that is a day, with its help."""
    return typer.Option(*names, parser=parse_day, metavar=DAY, help=text)


DateOption = Annotated[
    date | None, day_option("Day to look at, or today or yesterday; default: the latest analysed.", "--date")
]
CycleDay = Annotated[
    date | None,
    day_option(
        "Day to analyse, today or yesterday; default: the latest complete day with enough events.", "--date"
    ),
]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"fl-assets {version('fl-assets')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Find what keeps failing across LLM agents, and roll out fixes that can be rolled back."""


class CommandError(ExplainedError):
    """What went wrong and what to do, for the person at the terminal; exit code 1."""


def main() -> None:
    """Run the command; a known error gives a message on standard error and exit code 1."""
    from fl_assets.cli.console import fail
    from fl_assets.events.redaction.errors import RedactedError, redacted_errors

    for stream in (sys.stdout, sys.stderr):  # no sign that a locale lacks ends a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with redacted_errors(), _files_in_words():
            app()
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # as the application ends at Ctrl-C
            _interrupted()
        raise
    except (ExplainedError, RedactedError, ValueError, OSError) as error:
        fail(str(error))


def _interrupted() -> NoReturn:
    typer.echo("interrupted; run it again, nothing is stored twice", err=True)
    sys.exit(INTERRUPTED)


@contextmanager
def _files_in_words() -> Iterator[None]:
    """Say which file cannot be used and why, without the number of the error."""
    try:
        yield
    except OSError as error:
        if type(error).__module__ != "builtins" or not error.filename or not error.strerror:
            raise
        names = " -> ".join(str(one) for one in (error.filename, error.filename2) if one)
        message = f"{names}: {error.strerror}{_where_to_write(error)}"
        raise CommandError(message) from error
    except Exception as error:
        # By name, since importing SQLAlchemy would cost every command.
        kind = type(error)
        if (kind.__module__, kind.__name__) != ("sqlalchemy.exc", "OperationalError"):
            raise
        reason = str(getattr(error, "orig", error))
        space = "see that its disk has space, and " if "disk" in reason else ""  # SQLite says it in two ways
        raise CommandError(f"Dagster's database: {reason}; {space}run it again: nothing is lost") from error


def _where_to_write(error: OSError) -> str:
    """Name the setting of the data folder where a file of it cannot be written."""
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ""
    data = FederatedLearningConfig.from_env().data_path.absolute()
    if not Path(error.filename).absolute().is_relative_to(data):
        return ""
    return f"; {data} must be writable, or set FEDERATED_LEARNING_DATA_PATH to a folder that is"


def user() -> str:
    """Return the name of the user at the terminal."""
    return getpass.getuser()


def settings_of_inputs() -> FederatedLearningConfig:
    """Return the settings of the environment, after checking that the inputs they name exist."""
    from fl_assets.core.inputs import missing_inputs

    settings = FederatedLearningConfig.from_env()
    if missing := missing_inputs(settings):
        raise SettingsError("\n".join(missing))
    return settings


def coordinator_here(*, verbose: bool = False, first: date | None = None) -> "FederatedLearningCoordinator":
    """Return a coordinator with the settings of the environment.

    With `first`, a day to work on, partitions begin with the oldest telemetry there is.
    """
    config = settings_of_inputs()
    check_address_space()
    if first:
        from fl_assets.infra.first_day import first_partition, remember
        from fl_assets.workspace import Workspace

        if first < first_partition(config):  # before Dagster makes its partitions
            remember(config, (entry.day for entry in Workspace(config).intake.backlog().days))
    # Garbage collection takes a third of the time of importing, and imported objects stay anyway.
    gc.disable()
    try:
        from fl_assets.coordinator import FederatedLearningCoordinator, open_home

        return FederatedLearningCoordinator(
            config, instance=open_home(config), log_level="INFO" if verbose else "CRITICAL"
        )
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # else DuckDB's binding reports leaks
        gc.enable()


def check_address_space() -> None:
    """Refuse a limit under which libraries of ours end the process without a word.

    Raises:
        CommandError: `ulimit -v` is below `MIN_ADDRESS_SPACE`.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < MIN_ADDRESS_SPACE:
        raise CommandError(
            f"the address space is limited to {limit // 2**20} MiB (ulimit -v), and at least "
            f"{MIN_ADDRESS_SPACE // 2**20} are needed, most of which is never used; lift that limit, and "
            "bound memory by FEDERATED_LEARNING_MEMORY_MB or by a container"
        )


def report_of(wanted: date | None) -> "tuple[Workspace, Report]":
    """Return the workspace and the report of a day, by default the latest analysed one."""
    from fl_assets.report.build import build_report
    from fl_assets.workspace import Workspace

    space = Workspace(settings_of_inputs())
    space.warehouse.create()  # adds tables that a warehouse of an earlier release lacks
    known = "select distinct event_date as day from failure_patterns order by day"
    days = [row["day"] for row in space.warehouse.rows(known)]
    if not days:
        raise CommandError(
            f"nothing has been learned yet in {space.settings.warehouse_path}: run `fl-assets cycle` first"
        )
    if wanted and wanted > now_utc().date():
        raise CommandError(f"{wanted} has not begun (analysed: {days[0]} to {days[-1]})")
    if wanted and wanted not in days:
        raise CommandError(
            f"{wanted} has not been analysed: run `fl-assets cycle --date {wanted}` first "
            f"(analysed: {days[0]} to {days[-1]})"
        )
    return space, build_report(space.report.rows(wanted or days[-1]))


def one_of(begin: str, ids: Sequence[str], what: str, command: str) -> str:
    """Return the one id that is or starts with `begin`.

    Raises:
        CommandError: none or several do; several are listed.
    """
    if begin in ids:
        return begin
    found = sorted(one for one in ids if one.startswith(begin))
    if len(found) == 1:
        return found[0]
    shown = ", ".join(found[:_LISTED]) + (" …" if len(found) > _LISTED else "")
    counted = f"{begin!r} matches {len(found)} {what}" if found else f"{begin!r} matches none of the {what}"
    raise CommandError(f"{counted}{f': {shown}' if found else f'; `{command}` lists them'}")
