"""Loading the user's update policy.

What does not go here: reading YAML (`infra/rule_files.py`), what a policy allows (`policy.py`).
"""

from pathlib import Path

from fl_assets.infra.rule_files import read_record
from fl_assets.updates.policy import UpdatePolicy


def load_policy(path: Path | None) -> UpdatePolicy:
    """Return the config keys that may change; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return read_record(path, UpdatePolicy) if path else UpdatePolicy()
