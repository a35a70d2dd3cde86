"""Dagster's own webserver with the guard in front; it takes the options of `dagster-webserver`.

What goes here: putting the two together. What does not: the rules (`web_guard.py`), the other processes
(`processes.py`).
"""

import dagster_webserver.cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from fl_assets.cli.web_guard import WebGuard
from fl_assets.core.settings import FederatedLearningConfig


def main() -> None:
    """Serve the UI, every request of which passes the guard first."""
    hosts = FederatedLearningConfig.from_env().ui_hosts
    unguarded = (
        DagsterWebserver.build_middleware
    )  # the hook that the class has for it; a release without it fails here
    DagsterWebserver.build_middleware = lambda self: [Middleware(WebGuard, hosts=hosts), *unguarded(self)]
    dagster_webserver.cli.main()


if __name__ == "__main__":
    main()
