"""Reading the user's own formats from `FEDERATED_LEARNING_MAPPING_PATH` (see `formats/mapped.py`)."""

from pathlib import Path

from fl_assets.events.formats.mapped import FieldMapping, mapped_format
from fl_assets.events.formats.seam import Format
from fl_assets.infra.rule_files import read_rules


def mapped_formats(path: Path | None) -> tuple[Format, ...]:
    """Return the formats of a file of mappings, in order; none without a file.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    if path is None:
        return ()
    return tuple(map(mapped_format, read_rules(path, FieldMapping, section="mappings")))
