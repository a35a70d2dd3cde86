"""fl_assets: the Federated Learning Coordinator, a Dagster project that turns fleet telemetry into playbooks.

The Python API is the two names exported here; import everything else from its own module.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fl_assets.coordinator import FederatedLearningCoordinator
    from fl_assets.core.settings import FederatedLearningConfig

__all__ = ["FederatedLearningConfig", "FederatedLearningCoordinator"]


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that `import fl_assets.core…` stays free of Dagster."""
    if name == "FederatedLearningCoordinator":
        from fl_assets.coordinator import FederatedLearningCoordinator

        return FederatedLearningCoordinator
    if name == "FederatedLearningConfig":
        from fl_assets.core.settings import FederatedLearningConfig

        return FederatedLearningConfig
    message = f"module 'fl_assets' has no attribute {name!r}; it exports {', '.join(__all__)}"
    raise AttributeError(message)
