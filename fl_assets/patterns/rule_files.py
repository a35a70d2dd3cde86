"""Loading the rules of failure classes, and people's corrections of patterns.

What does not go here: reading YAML (`infra/rule_files.py`), what a rule means (`classes.py`, `grouping.py`).
"""

from functools import cache
from pathlib import Path

from fl_assets.infra.rule_files import read_record, read_rules
from fl_assets.patterns.classes import ClassRule
from fl_assets.patterns.grouping import Corrections

BUILT_IN_FAILURE_CLASSES = Path(__file__).parent / "failure_classes.yaml"


@cache
def load_failure_classes() -> tuple[ClassRule, ...]:
    """Return the failure classes' rules in the order they are tried.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return read_rules(BUILT_IN_FAILURE_CLASSES, ClassRule, section="failure_classes")


def load_corrections(path: Path | None) -> Corrections:
    """Return people's merges and splits of patterns; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    return read_record(path, Corrections) if path else Corrections()
