"""fl_assets: the Federated Learning Coordinator, a Dagster project that turns fleet telemetry into playbooks.

The Python API is the two names exported here; import everything else from its own module.
"""

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

# Arrow reads it when it is first imported. Its own allocator, mimalloc, keeps pages of ended threads,
# some 0.9 MB a cycle, and takes 15 % more memory for an ingestion that is no faster.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
# glibc keeps an arena for each of up to eight threads a core, and of each the pages that are partly used:
# 0.8 MB more a cycle for some twenty cycles, since each starts threads. Four serve ingestion as fast.
_M_ARENA_MAX = -8
if "MALLOC_ARENA_MAX" not in os.environ:
    with suppress(AttributeError, OSError, TypeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 4)

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
    raise AttributeError(f"module 'fl_assets' has no attribute {name!r}; it exports {', '.join(__all__)}")
