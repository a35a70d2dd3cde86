"""The command line: each file registers its commands with the application when it is imported."""

import sys

try:
    from fl_assets.cli import (
        adapters,
        answers,
        commands,
        demo,
        export,
        inspect,
        mcp_server,
        nodes,
        pull,
        server,
    )
    from fl_assets.cli.application import app, main
except KeyboardInterrupt:  # importing takes a moment
    sys.exit(130)

__all__ = [
    "adapters", "answers", "app", "commands", "demo", "export", "inspect", "main", "mcp_server", "nodes",
    "pull", "server",
]  # fmt: skip
