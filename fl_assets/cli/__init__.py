"""The command line: each file registers its commands with the application when it is imported."""

import sys

try:
    from fl_assets.cli import (  # noqa: F401 (importing them registers their commands)
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
    from fl_assets.cli.application import app as app
    from fl_assets.cli.application import main as main
except KeyboardInterrupt:  # importing takes a moment
    sys.exit(130)
