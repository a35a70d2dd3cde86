"""Loading remedies, the package's and the user's.

What does not go here: reading YAML (`infra/rule_files.py`), what a remedy means (`remedies.py`).
"""

from functools import cache
from pathlib import Path

from fl_assets.infra.rule_files import read_rules
from fl_assets.playbooks.remedies import Remedy, override

BUILT_IN_REMEDIES = Path(__file__).parent / "remedies.yaml"


def load_remedies(users: Path | None = None) -> tuple[Remedy, ...]:
    """Return the remedy rules in the order they are tried, the user's first.

    A user's rule replaces the built-in one of the same id.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return override(_built_in_remedies(), read_rules(users, Remedy, section="remedies") if users else ())


@cache
def _built_in_remedies() -> tuple[Remedy, ...]:
    """Read the package's file once per process."""
    return read_rules(BUILT_IN_REMEDIES, Remedy, section="remedies")
