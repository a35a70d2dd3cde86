"""Runs that a terminal started, filed under the code location, where the UI looks for runs.

What goes here: the tag and the origin that Dagster gives runs which it launches itself. What does not:
starting a run (`coordinator.py`).

A run in process has neither, so the pages Jobs and Timeline would show none of what `fl-assets cycle` did.
"""

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin  # noqa: TID251  has no public name in 1.13, which we pin
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG  # noqa: TID251  as above

LOCATION = "fl_assets"
"""Name of the code location in `workspace.yaml` and of what `fl-assets dev` serves."""
_ORIGIN = RemoteRepositoryOrigin(
    GrpcServerCodeLocationOrigin(host="localhost", location_name=LOCATION),  # ty: ignore[abstract-class-instantiation]
    "__repository__",
)
TAGS = {REPOSITORY_LABEL_TAG: _ORIGIN.get_label()}


def file_under_location(instance: dg.DagsterInstance, run_id: str) -> None:
    """Let a run that has come to its end look like one that the code location's own launcher started."""
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.run_storage.replace_job_origin(run, _ORIGIN.get_job_origin(run.job_name))
