"""Which lake the settings name: a folder, or an object store with its mirror."""

from importlib.util import find_spec
from pathlib import Path

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.errors import LakeError
from fl_assets.infra.lake import Lake


def open_lake(settings: FederatedLearningConfig) -> Lake:
    """Return the lake that the settings name.

    Raises:
        LakeError: it is on an object store, and the extra that this needs is not installed.
    """
    if isinstance(settings.lake_path, Path):
        return Lake(settings.lake_path)
    if find_spec("obstore") is None:
        message = (
            f"FEDERATED_LEARNING_LAKE_PATH={settings.lake_path}, but obstore is not installed: "
            "pip install 'fl-assets[object-storage]', or name a folder"
        )
        raise LakeError(message)
    from fl_assets.infra.mirror import MirroredLake
    from fl_assets.infra.remote_lake import Objects, RemoteLake

    return MirroredLake(settings.lake_folder, RemoteLake(Objects(settings.lake_path)))
