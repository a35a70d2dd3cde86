"""The stores that updates read and change; `workspace.py` opens them."""

from dataclasses import dataclass

from fl_assets.adapters.store import AdapterStore
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.warehouse import Warehouse
from fl_assets.playbooks.gate import Gate
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.updates.config_files import ConfigFiles
from fl_assets.updates.end_store import EndStore
from fl_assets.updates.policy import UpdatePolicy


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
