"""Commands that run on a node: what it may run, from the signed release.

What goes here: arguments in, words out. What does not: the rules (`updates/node_side.py`).
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fl_assets.cli.application import CommandError, app


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
        message = (
            f"take-release: --trusted '{trusted}' is no folder; put the coordinator's public key "
            "there as NAME.pem"
        )
        raise CommandError(message)
    try:
        taken = take(release, memory, TrustedKeys(trusted), channel=channel, now=datetime.now(UTC))
    except (ReleaseRefusedError, KeyFileError) as error:
        message = f"take-release: {error}"
        raise CommandError(message) from error
    except OSError as error:
        message = f"take-release: {error.filename or release} cannot be read or written: {error.strerror}"
        raise CommandError(message) from error
    values = {name: json.loads(text) for name, text in taken.for_node(node).items()}
    fields = {"node_id": node, "channel": taken.channel, "sequence": taken.sequence}
    say(
        json.dumps(
            fields | {"expires_at": taken.expires_at.isoformat(), "values": values}, ensure_ascii=False
        )
    )
