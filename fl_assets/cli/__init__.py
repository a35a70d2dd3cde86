"""The command line."""

from fl_assets.cli import inspect, nodes
from fl_assets.cli.commands import app, main

__all__ = ["app", "inspect", "main", "nodes"]
