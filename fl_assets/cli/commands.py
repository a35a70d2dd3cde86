"""The `fl-assets` command.

What goes here: arguments in, words out. What does not: anything a cycle does (`coordinator.py`), how a result reads (`console.py`).
Imports of Dagster wait until a command needs them, so that `--help` is quick.
"""

import gc
import getpass
import re
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_assets.core.settings import FederatedLearningConfig, SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator

    from fl_assets.coordinator import FederatedLearningCoordinator
    from fl_assets.report.records import Report
    from fl_assets.workspace import Workspace

app = typer.Typer(
    name="fl-assets",
    help="A fleet's telemetry becomes playbooks it can defend, and updates it can undo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done (a day that the gate stopped is done, too); 1 an error, told on standard error, or a rule that `verify` finds broken; "
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
    """Run the command; a known error is one clear message on standard error and exit code 1, never a traceback."""
    from fl_assets.cli.console import fail
    from fl_assets.cli.serve import ServeError
    from fl_assets.infra.result_files import ResultFileError
    from fl_assets.infra.warehouse import WarehouseBusyError, WarehouseFileError

    try:
        app()
    except (
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


@app.command()
def cycle(
    date_: CycleDay = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's log.")] = False,
) -> None:
    """Run one learning cycle and say what it found; exit code 3 when there are too few events.

    Example: fl-assets cycle --date 2026-11-20 --json
    """
    from fl_assets.cli.console import show_cycle, status

    coordinator = _coordinator(verbose=verbose)
    from fl_assets.coordinator import CycleFailedError, InsufficientData

    try:
        with status("reading new telemetry") as say:
            result = coordinator.run_learning_cycle(date_.date() if date_ else None, progress=say)
    except InsufficientData as error:
        result = error.result
    except CycleFailedError as error:
        raise CommandError(str(error)) from error
    show_cycle(coordinator.workspace, result, as_json=as_json)
    if result.status == "insufficient_data":
        raise typer.Exit(TOO_FEW_EVENTS)


@app.command()
def backfill(
    from_: Annotated[datetime, typer.Argument(metavar="FROM", formats=["%Y-%m-%d"], help="First day.")],
    to: Annotated[datetime, typer.Argument(metavar="TO", formats=["%Y-%m-%d"], help="Last day, included.")],
    as_json: AsJson = False,
) -> None:
    """Run the cycles of a range of days, oldest first, in this one process; exit code 3 when no day has enough events.

    Example: fl-assets backfill 2026-11-01 2026-11-14
    """
    from fl_assets.cli.console import show_backfill, status

    coordinator = _coordinator()
    from fl_assets.coordinator import CycleFailedError

    try:
        with status("learning from history") as say:
            results = coordinator.backfill(from_.date(), to.date(), progress=say)
    except CycleFailedError as error:
        raise CommandError(str(error)) from error
    show_backfill(results, as_json=as_json)
    if all(result.status == "insufficient_data" for result in results):
        raise typer.Exit(TOO_FEW_EVENTS)


@app.command()
def watch(
    every: Annotated[
        int | None,
        typer.Option(
            help="Seconds between cycles; by default FEDERATED_LEARNING_CYCLE_INTERVAL_SECS.", min=1
        ),
    ] = None,
) -> None:
    """Run a cycle now and then at every interval, until interrupted.

    Example: fl-assets watch --every 3600
    """
    from fl_assets.cli.console import say_outcome

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
    out: Annotated[
        Path, typer.Option(help="Folder to write telemetry files into; truth.json goes beside it.")
    ] = Path("data/telemetry/cache"),
    days: Annotated[int, typer.Option(min=1, max=366)] = 14,
    nodes: Annotated[int, typer.Option(min=1, max=10_000)] = 12,
    events_per_day: Annotated[int, typer.Option(min=1, help="Events a day, over all nodes.")] = 4000,
    seed: Annotated[int, typer.Option(help="Same seed and same days, same bytes.")] = 1,
    end: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last day; by default yesterday, UTC."),
    ] = None,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Do nothing when the folder already has files.")
    ] = False,
) -> None:
    """Write the telemetry of a believable fleet, with planted failures and the truth about them.

    Example: fl-assets simulate --out fleet/cache --days 14 --nodes 50 --events-per-day 20000 --seed 7
    """
    from fl_assets.cli.console import say, status
    from fl_assets.simulator.simulator import simulate as write_fleet

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
    say(
        f"telemetry: simulated {report.events:,} events of {nodes} nodes over {days} days to {last} in {out}; what was planted is in {out.parent / 'truth.json'}"
    )


@app.command()
def report(
    date_: DateOption = None,
    as_json: AsJson = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Write the report of a day as one page, say what it says in short, and where it is.

    Example: fl-assets report --date 2026-11-20 --open
    """
    from fl_assets.cli.console import show_report
    from fl_assets.report.page import write_report

    space, content = _report(date_)
    page, twin = write_report(space.settings.reports_path, content)
    show_report(content, page, twin, as_json=as_json)
    if open_:
        typer.launch(page.resolve().as_uri())


@app.command()
def patterns(
    date_: DateOption = None,
    as_json: AsJson = False,
    all_: Annotated[bool, typer.Option("--all", help="Also those that do not fail now.")] = False,
) -> None:
    """List what fails, most failures first.

    Example: fl-assets patterns --date 2026-11-20
    """
    from fl_assets.cli.console import show_patterns

    _, content = _report(date_)
    show_patterns([one for one in content.patterns if all_ or one.failures], as_json=as_json)


@app.command()
def playbooks(date_: DateOption = None, as_json: AsJson = False) -> None:
    """List what should change, and what is held back and why.

    Example: fl-assets playbooks --json
    """
    from fl_assets.cli.console import show_json, show_playbooks

    space, content = _report(date_)
    found = sorted(
        space.playbooks.of(content.day),
        key=lambda one: (bool(one.held_because), -one.confidence, one.improvement_id),
    )
    if as_json:
        show_json([one.model_dump(mode="json") for one in found])
    else:
        show_playbooks(found)


@app.command()
def decisions(date_: DateOption = None, as_json: AsJson = False) -> None:
    """List what happens with each playbook, why, how to take it back, and the code for answering in the UI.

    Example: fl-assets decisions --date 2026-11-20
    """
    from fl_assets.cli.console import show_decisions
    from fl_assets.updates.answers import codes_of

    space, content = _report(date_)
    show_decisions(content, codes_of(space.updates, content.day), as_json=as_json)


@app.command()
def explain(
    pattern_id: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN_ID", help="As `fl-assets patterns` shows it; its first letters suffice."
        ),
    ],
    date_: DateOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell all that is known of one pattern: evidence, trend, why it is one pattern, what should change.

    Example: fl-assets explain p-9de6de2b9fa6
    """
    from fl_assets.cli.console import show_pattern

    _, content = _report(date_)
    found = [one for one in content.patterns if one.pattern_id.startswith(pattern_id)]
    found = [one for one in found if one.pattern_id == pattern_id] or found
    if len(found) != 1:
        which = (
            f"{len(found)} patterns of {content.day} begin with {pattern_id!r}"
            if found
            else f"no pattern of {content.day} begins with {pattern_id!r}"
        )
        message = f"{which}; `fl-assets patterns --all --date {content.day}` lists them"
        raise CommandError(message)
    show_pattern(found[0], content, as_json=as_json)


@app.command()
def approve(
    decision_id: DecisionId,
    reason: Reason,
    now: Annotated[
        bool, typer.Option("--now", help="Carry it out at once instead of leaving it to the sensor.")
    ] = False,
) -> None:
    """Say yes to a decision that waits for approval; the sensor `approved_updates` carries it out, canary nodes first.

    Example: fl-assets approve 3f9c --reason "tried on staging" --now
    """
    _answer(decision_id, yes=True, reason=reason, now=now)


@app.command()
def reject(decision_id: DecisionId, reason: Reason) -> None:
    """Say no to a decision: the same change of the same pattern is not tried again.

    Example: fl-assets reject 3f9c --reason "the limit is a contract with the vendor"
    """
    _answer(decision_id, yes=False, reason=reason, now=False)


@app.command()
def rollback(
    what: Annotated[
        str,
        typer.Argument(
            metavar="DECISION_ID|ADAPTER",
            help="Decision whose update is taken back, its first letters suffice; or an installed adapter.",
        ),
    ],
    reason: Reason,
    by_hand: Annotated[
        bool,
        typer.Option(
            "--by-hand", help="You have restored the files yourself; only the release is left to change."
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Of an adapter: version to go back to; by default the one in use before."
        ),
    ] = None,
    allow_rollback: Annotated[
        bool,
        typer.Option(
            "--allow-rollback", help="Of an adapter: fetch VERSION again when it is no longer kept."
        ),
    ] = False,
) -> None:
    """Take an update back from every node, and restore the files that it changed byte for byte; or switch this machine's adapter back.

    Example: fl-assets rollback 3f9c --reason "support asked for it"

    Example: fl-assets rollback acme/tool-calling --reason "answers got worse"
    """
    from fl_assets.cli.console import say
    from fl_assets.infra.errors import NeedsHumanError
    from fl_assets.updates.answers import undo
    from fl_assets.workspace import Workspace

    space = Workspace(FederatedLearningConfig.from_env())
    if re.fullmatch(r"[0-9a-f]+", what) is None:  # ids of decisions are hex
        with _adapter_errors():
            if to and allow_rollback:
                space.adapters.stage(what, to, now=datetime.now(UTC), allow_rollback=True)
            switched = space.adapters.rollback(
                what, now=datetime.now(UTC), to=to, note=f"{_user()}: {reason}"
            )
        say(
            f"{what}: {switched.from_version} → {switched.to_version or 'off'}; {switched.from_version} is not offered again"
        )
        return
    try:
        found = undo(space.updates, what, by=_user(), reason=reason, by_hand=by_hand)
    except NeedsHumanError as error:
        raise CommandError(str(error)) from error
    say(
        f"{found.update.decision_id}: {found.status}: {found.update.target} is {found.update.from_value} again; {found.reason}"
    )


@app.command()
def sign(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder with adapter_config.json and adapter_model.safetensors.",
        ),
    ],
    key: Annotated[Path, typer.Option(help="Ed25519 private key (PEM) that its owner alone can read.")],
    adapter_id: Annotated[str, typer.Option("--id", metavar="ORG/NAME")],
    version: Annotated[str, typer.Option(metavar="1.2.0")],
    expires: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="First day on which nodes no longer take it."
        ),
    ],
    revision: Annotated[
        str, typer.Option(help="Commit of the repository that holds the files; none for a plain list.")
    ] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="What it is trained for, e.g. tool_calling; may be repeated.")
    ] = None,
    description: Annotated[str, typer.Option(help="One line.")] = "",
) -> None:
    """Write and sign the manifest of an adapter for the nodes' base model, having checked what nodes check.

    Example: fl-assets sign made/ --key release.key --id acme/tool-calling --version 1.2.0 --expires 2027-06-01 --skill tool_calling
    """
    from fl_assets.adapters.examine import Examiner
    from fl_assets.adapters.publish import seal
    from fl_assets.cli.console import say
    from fl_assets.infra.keys import load_private_key

    settings = FederatedLearningConfig.from_env()
    fields = {
        "base_model": settings.base_model,
        "base_revision": settings.base_revision,
        "expires": expires.date(),
        "skills": tuple(skill or ()),
    }
    with _adapter_errors():
        names = {
            "adapter_id": adapter_id,
            "version": version,
            "revision": revision,
            "description": description,
        }
        manifest = seal(folder, load_private_key(key), Examiner(settings).inventory, **names, **fields)
    say(
        f"signed {manifest.adapter_id} {manifest.version} for {manifest.base_model} ({manifest.base_revision}), holds until {manifest.expires}"
    )
    say(f"  {folder / 'fl-adapter.json'} and .sig, {manifest.size} bytes in {len(manifest.files)} files")


@app.command()
def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ADAPTER|FOLDER",
            help="An installed adapter, all of its versions; or a folder with a signed one.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check files, hashes, signature, config and tensors of an adapter as a node would; exit code 1 when a rule is broken.

    Example: fl-assets verify acme/tool-calling
    """
    from fl_assets.adapters.store import AdapterStore
    from fl_assets.cli.console import say, show_json

    store = AdapterStore(FederatedLearningConfig.from_env())
    with _adapter_errors():
        installed = [one.path for one in store.installed() if one.adapter_id == what]
        if not installed and not Path(what).is_dir():
            message = f"{what} is neither an installed adapter nor a folder; installed are {', '.join(sorted({one.adapter_id for one in store.installed()})) or 'none'}"
            raise CommandError(message)
        verdicts = [store.examine(path, now=datetime.now(UTC)) for path in installed or [Path(what)]]
    if as_json:
        show_json([one.model_dump(mode="json") for one in verdicts])
    for one in [] if as_json else verdicts:
        verdict = (
            f"broken: {', '.join(dict.fromkeys(problem.rule for problem in one.problems))}"
            if one.problems
            else "sound"
        )
        say(f"{one.adapter_id or one.path} {one.version}: {verdict}")
        say(
            f"  signed by {one.signed_by or 'no trusted key'}, holds until {one.expires or '(no manifest)'}, {one.path}"
        )
        for problem in one.problems:
            say(f"  {problem}")
    if any(one.problems for one in verdicts):
        raise typer.Exit(1)


@app.command()
def updates(as_json: AsJson = False) -> None:
    """List every update that was approved, tried, applied or taken back, and each remedy's score.

    Example: fl-assets updates
    """
    from fl_assets.cli.console import show_updates
    from fl_assets.updates.rollout import open_releases
    from fl_assets.workspace import Workspace

    show_updates(list(open_releases(Workspace(_settings()).updates).rollouts().values()), as_json=as_json)


@app.command()
def rebuild() -> None:
    """Make the database anew from the Parquet beside it, and say what was done; a database that is right is left as it is.

    Nothing is overwritten that cannot be read, and interrupting it is safe.

    Example: fl-assets rebuild
    """
    from fl_assets.cli.console import show_rebuilt, status
    from fl_assets.workspace import Workspace

    space = Workspace(_settings())
    with status("comparing the database with its files") as say:
        done = space.rebuild(say)
    show_rebuilt(space, done)


@app.command()
def summarize(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, one signed line a day; it is replaced. Bring it into the coordinator's folder of summaries."
        ),
    ],
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Day to tell of; by default yesterday, UTC."
        ),
    ] = None,
    from_: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            help="First of several days; those without events are left out.",
        ),
    ] = None,
    to: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Last of them; by default yesterday, UTC."
        ),
    ] = None,
) -> None:
    """On a node: tell of days by counts alone, signed, so that no event has to leave it. docs/federation.md says what leaves and what does not.

    Example: fl-assets summarize --out outbox/eu-1-2026-11-20.jsonl --day 2026-11-20
    """
    from fl_assets.cli.console import show_summaries, status
    from fl_assets.federation.node_side import NodeSummaries, SummaryError
    from fl_assets.infra.disk import write_atomically
    from fl_assets.infra.keys import KeyFileError
    from fl_assets.workspace import Workspace

    if day and (from_ or to):
        message = "summarize: give either --day, or --from and --to"
        raise CommandError(message)
    if to and not from_:
        message = "summarize: --to needs --from"
        raise CommandError(message)
    space = Workspace(_settings())
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    teller = NodeSummaries(space.settings, space.engine)
    try:
        with status("reading new telemetry") as progress:
            space.engine.ingest(progress)
            first, last = as_day(from_), as_day(to) or yesterday
            days = teller.days(first, last) if first else [as_day(day) or yesterday]
            told = [teller.summarize_day(each) for each in days]
        if not told:
            message = f"summarize: no events from {first} to {last} are in {space.settings.lake_path}"
            raise CommandError(message)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, b"".join(one.line + b"\n" for one in told))
    except (SummaryError, KeyFileError) as error:
        raise CommandError(str(error)) from error
    show_summaries(told, out, teller)


@app.command()
def home() -> None:
    """Prepare Dagster's home under the data folder and print its path.

    Example: DAGSTER_HOME="$(fl-assets home)" dagster-daemon run
    """
    from fl_assets.cli.console import say
    from fl_assets.coordinator import prepare_home

    say(
        str(prepare_home(FederatedLearningConfig.from_env()))
    )  # a container that only serves the UI sees no telemetry


@app.command()
def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 3000,
) -> None:
    """Open the Dagster UI: code server, daemon and a webserver that refuses what other web pages send; until interrupted.

    Example: fl-assets dev --port 3001
    """
    from fl_assets.cli.console import say
    from fl_assets.cli.serve import serve as serve_all
    from fl_assets.coordinator import dagster_home

    home_path = dagster_home(FederatedLearningConfig.from_env())
    say(f"Dagster is starting on http://{host}:{port}; Ctrl-C stops it")
    try:
        serve_all(home_path, host=host, port=port)
    except KeyboardInterrupt:
        say("stopped")


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["--usage"],
    }
)
def serve(context: typer.Context) -> None:
    """Run the guarded webserver alone; takes the options of `dagster-webserver`. docs/serving.md says how a team reaches it.

    Example: fl-assets serve --host 0.0.0.0 --port 3000 --grpc-host code --grpc-port 4000
    """
    from fl_assets.cli import webserver

    sys.argv = ["dagster-webserver", *context.args]
    webserver.main()


def _answer(decision_id: str, *, yes: bool, reason: str, now: bool) -> None:
    from fl_assets.cli.console import say
    from fl_assets.updates.answers import answer, code_for
    from fl_assets.workspace import Workspace

    space = Workspace(_settings())
    code = code_for(space.updates, decision_id)
    found = answer(space.updates, decision_id, yes=yes, by=_user(), reason=reason, codes=[code])
    say(
        f"{found.update.decision_id}: {'approved' if yes else 'rejected'}: {found.update.target} {found.update.from_value or ''} → {found.update.to_value or ''}"
    )
    if not yes:
        return
    if not now:
        say("it is carried out by the sensor `approved_updates`, or by `fl-assets approve` with --now")
        return
    rows = _coordinator().apply_updates(found.update.day)
    row = next(row for row in rows if row["decision_id"] == found.update.decision_id)
    say(f"{row['status']}: {row['reason']}")
    if row["canary_nodes"]:
        say(f"canary nodes: {', '.join(row['canary_nodes'])}")


@contextmanager
def _adapter_errors() -> "Generator[None]":
    """Turn what the store of adapters, its sources and its server raise into one clear message."""
    from fl_assets.adapters.folder import AdapterStoreError
    from fl_assets.adapters.vllm import LoraServerError
    from fl_assets.adapters.web import FetchError

    try:
        yield
    except (AdapterStoreError, FetchError, LoraServerError) as error:
        raise CommandError(str(error)) from error


def _user() -> str:
    """Return who is at the terminal."""
    return getpass.getuser()


def _settings() -> FederatedLearningConfig:
    """Return the settings of the environment, having seen that what they name to be read is there."""
    from fl_assets.workspace import missing_inputs

    settings = FederatedLearningConfig.from_env()
    if missing := missing_inputs(settings):
        raise SettingsError("\n".join(missing))
    return settings


def _coordinator(*, verbose: bool = False) -> "FederatedLearningCoordinator":
    """Return a coordinator with the settings of the environment, Dagster's own log silent unless asked for."""
    config = _settings()
    gc.disable()  # what is imported stays: looking through it again and again for garbage takes a third of the time of importing
    try:
        from fl_assets.coordinator import FederatedLearningCoordinator, open_home

        return FederatedLearningCoordinator(
            config, instance=open_home(config), log_level="INFO" if verbose else "CRITICAL"
        )
    finally:
        gc.freeze()
        gc.enable()


def _report(date_: datetime | None) -> "tuple[Workspace, Report]":
    """Return the workspace and the report of a day, by default of the latest one that was analysed."""
    from fl_assets.report.build import build_report
    from fl_assets.workspace import Workspace

    space = Workspace(_settings())
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
        message = f"{wanted} has not been analysed: run `fl-assets cycle --date {wanted}` first (analysed: {days[0]} to {days[-1]})"
        raise CommandError(message)
    return space, build_report(space.report.rows(wanted or days[-1]))


def as_day(value: datetime | None) -> date | None:
    """Return the day of a parsed command-line date."""
    return value.date() if value else None


if __name__ == "__main__":
    main()
