"""What counts as personal data or a secret, and how it is masked: rules by family, and one engine.

What goes here: rules (`tokens`, `sessions`, `commands`, `config_lines`, `named_secrets`, `passwords`,
`people`, `numbers`, `phones`, with `vendor_keys` as data), which of them a text needs (`needed`), running
them (`engine`), pseudonyms for ids. What does not: reading or storing text (`events/stage.py`), person names
and addresses (`events/pii_names.py`), masking of numbers and paths for grouping (`sums/masking.py`).
"""

from fl_assets.events.redaction.checksums import iban_holds, luhn_holds
from fl_assets.events.redaction.engine import (
    pseudonym,
    redact,
    redact_all,
    redact_bytes,
    redact_id,
    redact_with_counts,
    residue,
    residue_named,
)
from fl_assets.events.redaction.needed import compile_rules
from fl_assets.events.redaction.rule import ENTITIES, ITEM_SEPARATOR, KEY_SEPARATOR, UNREDACTABLE, Rule
from fl_assets.events.redaction.rules import RULES

__all__ = [
    "ENTITIES",
    "ITEM_SEPARATOR",
    "KEY_SEPARATOR",
    "RULES",
    "UNREDACTABLE",
    "Rule",
    "compile_rules",
    "iban_holds",
    "luhn_holds",
    "pseudonym",
    "redact",
    "redact_all",
    "redact_bytes",
    "redact_id",
    "redact_with_counts",
    "residue",
    "residue_named",
]
