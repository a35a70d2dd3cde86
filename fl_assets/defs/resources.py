"""Dagster resources: configuration in, plain objects out.

What goes here: how run config and environment become a `Workspace`. What does not: behaviour; the objects know no Dagster.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.launcher import held
from fl_assets.infra.warehouse import connect
from fl_assets.spark.engine import run_plainly
from fl_assets.workspace import Workspace


class WarehouseResource(DuckDBResource):
    """The DuckDB file of result tables, for assets of your own.

    The stock resource leaks its connection when the body raises, and retries without jitter; this one closes it and waits its turn.
    """

    lake: str = Field(description="Folder of the lake, which the file's views read.")

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, locked to the lake's folder, for the length of the block."""
        with connect(Path(self.database), allowed=[Path(self.lake)]) as connection:
            yield connection


class WorkspaceResource(dg.ConfigurableResource):
    """Everything on disk that the assets work with."""

    overrides: dict[str, str] = Field(
        default_factory=dict,
        description="Settings that win over the environment, by field name, e.g. {'min_events': '10'}.",
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """Hold the run's lock while its steps run, so that it is seen when its process dies."""
        with held(context.instance, context.run):
            yield self

    def open(self) -> Workspace:
        """Return the workspace; it connects only while used."""
        return Workspace(FederatedLearningConfig.from_env(**self.overrides), launch=run_in_pipes)


def run_in_pipes(command: Sequence[str], tell: Callable[[str], None]) -> dict[str, Any]:
    """Run a Spark job through Dagster Pipes, so that what it says is in the log of the step; outside a run, plainly."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return run_plainly(command, tell)
    done = dg.PipesSubprocessClient().run(context=context, command=command)
    return done.get_custom_messages()[-1]


def resources(**overrides: str) -> dict[str, dg.ConfigurableResource]:
    """Return the resources of the project; `overrides` are settings by field name."""
    settings = FederatedLearningConfig.from_env(**overrides)
    return {
        "workspace": WorkspaceResource(overrides=overrides),
        "warehouse": WarehouseResource(database=str(settings.warehouse_path), lake=str(settings.lake_folder)),
    }
