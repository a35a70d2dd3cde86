"""The command line."""

from fl_assets.cli import nodes
from fl_assets.cli.commands import app, main

__all__ = ["app", "main", "nodes"]
