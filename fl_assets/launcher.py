"""Where the run launcher was: a `dagster.yaml` of an earlier release names it here.

What goes here: that name. What does not: the launcher (`defs/launcher.py`).
"""

from fl_assets.defs.launcher import WatchedRunLauncher

__all__ = ["WatchedRunLauncher"]
