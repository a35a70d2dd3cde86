"""The rules of every family, in the order in which they run."""

from fl_assets.events.redaction import (
    codes,
    commands,
    config_lines,
    named_secrets,
    numbers,
    password_words,
    passwords,
    people,
    phones,
    sessions,
    shapes,
    spoken_numbers,
    tokens,
)
from fl_assets.events.redaction.blocks import SEP
from fl_assets.events.redaction.checksums import iban_holds
from fl_assets.events.redaction.rule import DASH, ENTITIES, Rule

_TAGS = {
    "SSN": f"[0-9]{{3}}[{DASH} ]?[0-9]{{2}}[{DASH} ]?[0-9]{{4}}",
    "IBAN": "[A-Za-z]{2}[ \u00a0-]?[0-9]{2}(?:[ \u00a0-]?[0-9A-Za-z]){11,30}",
}


def _in_tags(entity: str) -> Rule:
    """Return the rule for XML whose tags are named like a placeholder, for which others may take them."""
    return Rule(
        entity,
        f"(<{entity}>)({_TAGS.get(entity, f'[^<>{SEP}]{{1,80}}')})(</{entity}>)",
        unless=(numbers.NO_SSN,) if entity == "SSN" else (),
        check=iban_holds if entity == "IBAN" else None,
    )


RULES: tuple[Rule, ...] = (
    *map(_in_tags, ENTITIES),
    *tokens.RULES,
    *sessions.RULES,
    *passwords.IN_TEXT,
    *commands.RULES,
    *config_lines.RULES,
    *passwords.IN_PLACES,
    *codes.RULES,
    *password_words.RULES,
    *named_secrets.RULES,
    *people.RULES,
    *numbers.RULES,
    *phones.RULES,
    *spoken_numbers.RULES,
    *shapes.RULES,
)
