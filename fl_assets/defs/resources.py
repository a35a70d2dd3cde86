"""Dagster resources: settings in, plain objects out that know no Dagster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.launcher import held
from fl_assets.infra.duckdb_file import connect
from fl_assets.spark.engine import run_plainly
from fl_assets.workspace import Workspace


class WarehouseResource(DuckDBResource):
    """The DuckDB file of result tables, for assets of your own.

    The stock resource leaks its connection when the body raises, and retries without jitter; this one does
    neither.
    """

    lake: str = Field(description="Folder of the lake, which the file's views read.")

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, locked to the lake's folder, for the length of the block."""
        with connect(Path(self.database), allowed=[Path(self.lake)]) as connection:
            yield connection


class WorkspaceOpener:
    """Opens the workspace for a step."""

    def __init__(self, settings: FederatedLearningConfig | None = None) -> None:
        """Use these settings, or else those of the environment, read again each time."""
        self._settings = settings

    def open(self) -> Workspace:
        """Return the workspace; it connects only while used."""
        return Workspace(self._settings or FederatedLearningConfig.from_env(), launch=run_in_pipes)


WorkspaceResource = dg.ResourceParam[WorkspaceOpener]


def run_in_pipes(command: Sequence[str], tell: Callable[[str], None]) -> dict[str, Any]:
    """Run a Spark job through Dagster Pipes, which logs its messages; outside of a run, run it plainly."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return run_plainly(command, tell)
    done = dg.PipesSubprocessClient().run(context=context, command=command)
    return done.get_custom_messages()[-1]


def resources(settings: FederatedLearningConfig | None = None) -> dict[str, dg.ResourceDefinition]:
    """Return the resources of the project.

    None has run config: whoever can launch a run must not choose a path, a webhook or a threshold. Settings
    are by default those of the environment.
    """

    def workspace(context: dg.InitResourceContext) -> Iterator[WorkspaceOpener]:
        with held(context.instance, context.run):  # so that the launcher notices when the process dies
            yield WorkspaceOpener(settings)

    def warehouse(_: dg.InitResourceContext) -> WarehouseResource:
        found = settings or FederatedLearningConfig.from_env()
        return WarehouseResource(database=str(found.warehouse_path), lake=str(found.lake_folder))

    makers = {"workspace": workspace, "warehouse": warehouse}
    return {name: dg.ResourceDefinition(make, config_schema={}) for name, make in makers.items()}
