"""The run launcher's earlier module, which a `dagster.yaml` of an earlier release names."""

from fl_assets.defs.launcher import WatchedRunLauncher

__all__ = ["WatchedRunLauncher"]
