"""The words that the simulated fleet uses, from `words.yaml`, and the variable parts of its texts.

What goes here: drawing a text. What does not: which text is drawn when (`talk.py`, `emit.py`).

Texts are templates: `@name@` is a variable part, drawn for each occurrence by the function of that name in
`FIELDS`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fl_assets.core.data import read_data


@dataclass(frozen=True)
class Topic:
    """A subject of conversations; its openings have the same meaning and fields in the same order."""

    openings: tuple[str, ...]
    answer: str
    follow_ups: tuple[tuple[str, str], ...]


_DATA: dict[str, Any] = read_data(Path(__file__).with_suffix(".yaml"))


def _of(values: tuple[str, ...]) -> Callable[[Random], str]:
    return lambda random: values[int(random.random() * len(values))]


_first, _last, _noun, _verb, _word, _dir, _host = (
    _of(tuple(_DATA[name]))
    for name in ("first_names", "last_names", "nouns", "verbs", "words", "folders", "hosts")
)


def _digits(random: Random, count: int) -> str:
    return f"{int(random.random() * 10**count):0{count}d}"


def _hexadecimal(random: Random) -> str:
    return f"{random.getrandbits(64):016x}"


def _uuid(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _card(random: Random) -> str:
    """Draw a card number in a test range, with a valid Luhn digit (ISO/IEC 7812-1)."""
    body = ("424242", "555555", "400000")[int(random.random() * 3)] + _digits(random, 9)
    doubled = [int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(body)]
    check = -sum(value - 9 if value > 9 else value for value in doubled) % 10
    number = f"{body}{check}"
    spaced = " ".join(number[start : start + 4] for start in range(0, 16, 4))
    return spaced if random.random() < 0.5 else number


def _iban(random: Random) -> str:
    """Draw a German IBAN with valid check digits (ISO 13616, mod 97)."""
    account = _digits(random, 18)
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def _key(random: Random) -> str:
    prefix, length = (("sk-", 48), ("ghp_", 36), ("hf_", 34), ("AKIA", 16))[int(random.random() * 4)]
    alphabet = (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        if prefix == "AKIA"
        else "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
    )
    return prefix + "".join(random.choices(alphabet, k=length))


def _phone(random: Random) -> str:
    """Draw a number from the ranges that regulators keep for fiction (NANPA 555-01xx, Ofcom 7946 0xxx)."""
    if random.random() < 0.5:
        return f"+1-202-555-01{_digits(random, 2)}"
    return f"+44 20 7946 0{_digits(random, 3)}"


FIELDS: dict[str, Callable[[Random], str]] = {
    "num": lambda random: str(int(random.random() * 10 ** (1 + int(random.random() * 4)))),
    "small": lambda random: str(1 + int(random.random() * 9)),
    "big": lambda random: str(33_000 + int(random.random() * 90_000)),
    "count": lambda random: str(10 + int(random.random() * 90)),
    "upto50": lambda random: str(5 * (1 + int(random.random() * 10))),
    "above50": lambda random: str(60 + 20 * int(random.random() * 10)),
    "days": lambda random: str(31 + int(random.random() * 300)),
    "limit": lambda random: f"30.{int(random.random() * 1000):03d}",
    "dur": lambda random: f"{5 + random.random() * 55:.1f}",
    "hex": _hexadecimal,
    "uuid": _uuid,
    "noun": _noun,
    "verb": _verb,
    "word": _word,
    "host": lambda random: f"{_host(random)}.{_last(random)}.example",
    "ip": lambda random: f"203.0.113.{1 + int(random.random() * 254)}",
    "order": lambda random: f"SO-{_digits(random, 7)}",
    "ticket": lambda random: f"T{_digits(random, 6)}",
    "invented": lambda random: (
        f"{_verb(random)}_{_noun(random)}_{_word(random).split('-')[0].split()[0].lower().replace('/', '')}"
    ),
    "path": lambda random: f"/var/lib/agent/{_hexadecimal(random)[:8]}/{_noun(random)}.parquet",
    "home": lambda random: (
        f"/home/{_first(random)}{_last(random)[0]}/{_dir(random)}/{_verb(random)}_{_noun(random)}.py"
    ),
    "name": lambda random: f"{_first(random).title()} {_last(random).title()}",
    "email": lambda random: (
        f"{_first(random)}.{_last(random)}{int(random.random() * 90)}"
        f"@example.{('com', 'org', 'net')[int(random.random() * 3)]}"
    ),
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "key": _key,
}
_FIELD = re.compile(r"@(\w+)@")
_SPECIAL = re.compile(r"([.*+?^${}()|\[\]\\])")


def render(template: str, random: Random) -> str:
    """Fill a template's variable parts."""
    return _FIELD.sub(lambda found: FIELDS[found[1]](random), template)


def pattern_of(template: str) -> str:
    """Return the regular expression (RE2 and Java too) that matches a template's texts from end to end."""
    constants = _FIELD.split(template)[::2]
    return "(?s)^" + ".*?".join(_SPECIAL.sub(r"\\\1", part) for part in constants) + "$"


def _pairs(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((query, response) for query, response in rows)


TOPICS = tuple(
    Topic(tuple(row["openings"]), row["answer"], _pairs(row["follow_ups"])) for row in _DATA["topics"]
)
CLOSINGS, CONFIDENT = _pairs(_DATA["closings"]), _pairs(_DATA["confident"])
PERSONAL, COPIES, VAGUE, CORRECTIONS, GIVING_UP, REFUSALS, APOLOGIES, HONEST = (
    tuple(_DATA[name])
    for name in ("personal", "copies", "vague", "corrections", "giving_up", "refusals", "apologies", "honest")
)
