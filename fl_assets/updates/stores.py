"""The stores that updates read and change.

What goes here: the record that carries them, and opening those of this stage. What does not: opening those of
earlier stages (`workspace.py`).
"""

from dataclasses import dataclass

from fl_assets.adapters.store import AdapterStore
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.lake import Lake
from fl_assets.infra.warehouse import Warehouse
from fl_assets.playbooks.gate import Gate
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.sums.engine import SummingEngine
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.end_store import EndStore
from fl_assets.updates.policy import UpdatePolicy, load_policy


@dataclass(frozen=True)
class UpdateStores:
    """Stores of decisions, and of what carrying them out changes."""

    settings: FederatedLearningConfig
    warehouse: Warehouse
    playbooks: PlaybookStore
    gate: Gate
    adapters: AdapterStore
    update_policy: UpdatePolicy
    """Config keys that may change; none without a policy file."""
    configs: ConfigFiles | None
    """The config files beside the policy; None without one."""
    ends: EndStore

    @classmethod
    def opened(
        cls,
        settings: FederatedLearningConfig,
        warehouse: Warehouse,
        playbooks: PlaybookStore,
        gate: Gate,
        adapters: AdapterStore,
        lake: Lake,
        engine: SummingEngine,
    ) -> "UpdateStores":
        """Open the policy, the config files beside it, and the session ends.

        Raises:
            RuleFileError: the policy cannot be read.
        """
        policy, data = settings.policy_path, settings.data_path
        configs = ConfigFiles(policy.parent, data / "configs") if policy else None
        ends = EndStore(data / "updates" / "ends", lake, engine.connect)
        return cls(settings, warehouse, playbooks, gate, adapters, load_policy(policy), configs, ends)
