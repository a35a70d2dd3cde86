"""Commands that serve the Dagster UI; see `processes.py` and `web_guard.py`."""

import sys
from typing import Annotated

import typer

from fl_assets.cli.application import app
from fl_assets.core.settings import FederatedLearningConfig


@app.command()
def home() -> None:
    """Prepare Dagster's home and print its path.

    Example: DAGSTER_HOME="$(fl-assets home)" dagster-daemon run
    """
    from fl_assets.cli.console import say
    from fl_assets.coordinator import prepare_home

    # Inputs are not checked: a container that only serves the UI has no telemetry.
    say(str(prepare_home(FederatedLearningConfig.from_env())))


@app.command()
def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="Port to listen on.")] = 3000,
) -> None:
    """Open the Dagster UI, until interrupted.

    Its webserver refuses what other web pages send.

    Example: fl-assets dev --port 3001
    """
    from fl_assets.cli.console import say
    from fl_assets.cli.processes import check_port
    from fl_assets.cli.processes import serve as serve_all
    from fl_assets.coordinator import dagster_home

    check_port(host, port)
    home_path = dagster_home(FederatedLearningConfig.from_env())
    say(f"Dagster is starting on http://{host}:{port}; Ctrl-C stops it")
    try:
        serve_all(home_path, host=host, port=port)
    except KeyboardInterrupt:
        say("stopped")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context) -> None:
    """Run the guarded webserver alone.

    It is `dagster-webserver` behind a guard that refuses what other web pages send, and requests by names
    other than this machine's and those of FEDERATED_LEARNING_UI_HOSTS (docs/serving.md).

    Every option is passed on, such as --host, --port and --read-only: see `dagster-webserver --help`.

    Example: fl-assets serve --port 3000 --grpc-host code --grpc-port 4000
    """
    from fl_assets.cli import webserver

    sys.argv = ["dagster-webserver", *context.args]
    webserver.main()
