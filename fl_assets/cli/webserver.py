"""Dagster's webserver behind the guard (`web_guard.py`); it takes the options of `dagster-webserver`."""

import dagster_webserver.cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from fl_assets.cli.web_guard import WebGuard
from fl_assets.core.settings import FederatedLearningConfig


def main() -> None:
    """Serve the UI behind the guard."""
    hosts = FederatedLearningConfig.from_env().ui_hosts
    unguarded = DagsterWebserver.build_middleware  # fails here if a release lacks the hook
    DagsterWebserver.build_middleware = lambda self: [Middleware(WebGuard, hosts=hosts), *unguarded(self)]
    dagster_webserver.cli.main()


if __name__ == "__main__":
    main()
