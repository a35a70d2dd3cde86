"""Settings that name files to read, and which of those files are missing."""

from pathlib import Path

from fl_assets.core.settings import FederatedLearningConfig, variable

INPUTS = (
    "telemetry_path", "sources_path", "remedies_path", "corrections_path", "mapping_path",
    "update_policy_path", "trusted_keys_path", "adapter_oms_key_path",
)  # fmt: skip
"""A default path need not exist."""


def missing_inputs(settings: FederatedLearningConfig) -> list[str]:
    """Return a line for each path that was set and does not exist.

    Otherwise a misspelt path would look like a silent fleet, or like no rules.
    """
    lines = []
    for name in INPUTS:
        path, default = getattr(settings, name), FederatedLearningConfig.model_fields[name].default
        if isinstance(path, Path) and path != default and not path.exists():
            unset = f" for the default {default}" if default else ""
            lines.append(
                f"{variable(name)}='{path}': is not there; make it, correct the path, or unset it{unset}"
            )
    return lines
