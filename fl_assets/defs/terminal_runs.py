"""Showing runs that a terminal started on the UI's pages Jobs and Timeline.

What goes here: the tag and the origin that Dagster gives to runs which it launches itself, and which runs in
process lack. What does not: starting a run (`coordinator.py`).
"""

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin  # noqa: TID251  has no public name in 1.13, which we pin
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG  # noqa: TID251  as above

LOCATION = "fl_assets"
"""Name of the code location in `workspace.yaml` and in `fl-assets dev`."""
_ORIGIN = RemoteRepositoryOrigin(
    GrpcServerCodeLocationOrigin(host="localhost", location_name=LOCATION),  # ty: ignore[abstract-class-instantiation]
    "__repository__",
)
TAGS = {REPOSITORY_LABEL_TAG: _ORIGIN.get_label()}


def file_under_location(instance: dg.DagsterInstance, run_id: str) -> None:
    """Give a finished run the origin of runs that the code location's own launcher started."""
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.run_storage.replace_job_origin(run, _ORIGIN.get_job_origin(run.job_name))
