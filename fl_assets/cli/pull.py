"""`fl-assets pull`: pull a day of a source now; see `sources/pull.py`."""

from datetime import date
from typing import Annotated

import typer

from fl_assets.cli.application import AsJson, CommandError, app, day_option
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.clock import yesterday


@app.command()
def pull(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name in sources.yaml; default: all.")
    ] = None,
    date_: Annotated[
        date | None, day_option("Day to pull, or today or yesterday; default: yesterday, UTC.", "--date")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pull a day's traces from Langfuse, Phoenix and others.

    From the servers that sources.yaml names, MLflow, LangSmith and ClickHouse too, into the telemetry folder.

    Example: fl-assets pull my-langfuse --date 2026-11-20
    """
    from fl_assets.cli.console import say, show_json, status
    from fl_assets.workspace import Workspace

    space = Workspace(FederatedLearningConfig.from_env())
    known = ", ".join(source.name for source in space.sources)
    if not known:
        raise CommandError(
            "pull: no sources; name a file of them in FEDERATED_LEARNING_SOURCES_PATH (docs/connect.md)"
        )
    chosen = [source for source in space.sources if name in (None, source.name)]
    if not chosen:
        raise CommandError(f"pull: no source is called {name!r}; there are: {known}")
    day = date_ or yesterday()
    with status(f"pulling {day}") as progress:
        found = [space.pull.day(source, day, progress) for source in chosen]
    if as_json:
        fields = {"source", "day", "kept", "completed", "problem"}
        show_json([one.model_dump(mode="json", include=fields) for one in found])
    for one in found:
        if not one.problem and not as_json:
            say(f"{one.source}: {one.kept:,} records of {day}")
    if problems := [f"{one.source}: {one.problem}" for one in found if one.problem]:
        raise CommandError("\n".join(problems))
