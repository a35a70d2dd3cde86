"""The lake that the settings name: a folder, or an object store with its mirror."""

from importlib.util import find_spec
from pathlib import Path

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.errors import LakeError
from fl_assets.infra.lake import Lake


def open_lake(settings: FederatedLearningConfig) -> Lake:
    """Return the lake that the settings name.

    Raises:
        LakeError: it is on an object store, and the extra [object-storage] is not installed.
    """
    if isinstance(settings.lake_path, Path):
        return Lake(settings.lake_path)
    require_object_storage("LAKE_PATH", settings.lake_path)
    from fl_assets.infra.mirror import MirroredLake
    from fl_assets.infra.remote_lake import Objects, RemoteLake

    return MirroredLake(settings.lake_folder, RemoteLake(Objects(settings.lake_path)))


def require_object_storage(setting: str, url: str) -> None:
    """Check that the extra [object-storage], which a setting's URL needs, is installed.

    Raises:
        LakeError: it is not.
    """
    if find_spec("obstore") is None:
        raise LakeError(
            f"FEDERATED_LEARNING_{setting}={url}, but obstore is not installed: "
            "pip install 'fl-assets[object-storage]', or name a folder"
        )
