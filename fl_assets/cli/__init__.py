"""The command line: each file registers its commands with the application when it is imported."""

from fl_assets.cli import adapters, answers, commands, export, inspect, mcp_server, nodes, server
from fl_assets.cli.application import app, main

__all__ = [
    "adapters",
    "answers",
    "app",
    "commands",
    "export",
    "inspect",
    "main",
    "mcp_server",
    "nodes",
    "server",
]
