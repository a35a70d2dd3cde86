"""Commands that run on a node: taking releases, writing summaries.

What does not go here: the rules (`updates/node_side.py`, `federation/node_side.py`).
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fl_assets.cli.application import CommandError, app, day_option, settings_of_inputs
from fl_assets.infra.clock import yesterday


@app.command()
def take_release(
    node: Annotated[str, typer.Option("--node", metavar="ID", help="Id of this node.")],
    release: Annotated[Path, typer.Option("--release", help="The release file, as the node received it.")],
    trusted: Annotated[
        Path, typer.Option("--trusted", help="Folder of public keys (`*.pem`) that may sign releases.")
    ],
    memory: Annotated[
        Path, typer.Option("--memory", help="File in which this node remembers what it has taken.")
    ] = Path("data/node/release.json"),
    channel: Annotated[str, typer.Option("--channel", help="Channel of this node.")] = "stable",
) -> None:
    """On a node: verify a release and print what it is to run.

    A refused release changes nothing.

    Example: fl-assets take-release --node eu-1 --release stable.json --trusted keys
    """
    from fl_assets.cli.console import say
    from fl_assets.infra.keys import KeyFileError, TrustedKeys
    from fl_assets.updates.node_side import take_release as take
    from fl_assets.updates.release import ReleaseRefusedError

    if not trusted.is_dir():
        raise CommandError(
            f"take-release: --trusted '{trusted}' is no folder; put the coordinator's public key "
            "there as NAME.pem"
        )
    try:
        taken = take(release, memory, TrustedKeys(trusted), channel=channel, now=datetime.now(UTC))
    except (ReleaseRefusedError, KeyFileError) as error:
        raise CommandError(f"take-release: {error}") from error
    except OSError as error:
        raise CommandError(
            f"take-release: {error.filename or release} cannot be read or written: {error.strerror}"
        ) from error
    values = {name: json.loads(text) for name, text in taken.for_node(node).items()}
    fields: dict[str, Any] = {"node_id": node, "channel": taken.channel, "sequence": taken.sequence}
    fields |= {"expires_at": taken.expires_at.isoformat(), "values": values}
    say(json.dumps(fields))


@app.command()
def summarize(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write, one signed line a day; it is replaced. Bring it into the coordinator's "
            "folder of summaries."
        ),
    ],
    day: Annotated[
        date | None, day_option("Day to summarize; default: yesterday, UTC.", "--date", "--day")
    ] = None,
    from_: Annotated[
        date | None, day_option("First of several days; those without events are left out.", "--from")
    ] = None,
    to: Annotated[date | None, day_option("Last of them; default: yesterday, UTC.")] = None,
) -> None:
    """On a node: write days as signed counts; no event leaves it.

    docs/federation.md says how.

    Example: fl-assets summarize --out outbox/eu-1.jsonl --date 2026-11-20
    """
    from fl_assets.cli.console import show_summaries, status
    from fl_assets.federation.node_side import NodeSummaries, SummaryError
    from fl_assets.infra.disk import write_atomically
    from fl_assets.workspace import Workspace

    if day and (from_ or to):
        raise CommandError("summarize: give either --date, or --from and --to")
    if to and not from_:
        raise CommandError("summarize: --to needs --from")
    space = Workspace(settings_of_inputs())
    node = NodeSummaries(space.settings, space.engine)
    try:
        with status("reading new telemetry") as progress:
            space.engine.ingest(progress)
            first, last = from_, to or yesterday()
            days = node.days(first, last) if first else [day or yesterday()]
            summaries = [node.summarize_day(each) for each in days]
        if not summaries:
            raise CommandError(
                f"summarize: no events from {first} to {last} are in {space.settings.lake_path}"
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, b"".join(one.line + b"\n" for one in summaries))
    except SummaryError as error:
        raise CommandError(str(error)) from error
    show_summaries(summaries, out, node)
