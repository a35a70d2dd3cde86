"""What a rule of redaction is, and what all rules share: entities, placeholders, words in any case.

What goes here: the record of a rule and the pieces that every family uses. What does not: the rules (a file
per family), running them (`engine.py`).

Patterns are RE2's (linear in the text, however hostile): no lookaround, no backreference. Classes are written
out, and case is folded letter by letter, since RE2 folds the Kelvin sign into k.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

UNREDACTABLE = "<UNREDACTABLE>"
"""What a text becomes when a rule crashes on it."""

KEY_SEPARATOR, ITEM_SEPARATOR = "\x1e", "\x1f"
"""Between a key and its value, and between texts, where many are redacted as one: a key is the context of its
value, and no rule reaches across an ITEM_SEPARATOR."""

ENTITIES = (
    "PEM",
    "JWT",
    "API_KEY",
    "URL_CREDENTIALS",
    "BEARER_TOKEN",
    "BASIC_AUTH",
    "PASSWORD",
    "EMAIL",
    "HOME_USER",
    "IBAN",
    "CARD",
    "SSN",
    "MAC",
    "IPV6",
    "IPV4",
    "PHONE",
)
"""Every entity, in the order in which they are masked."""

MASKED = f"<(?:{'|'.join(ENTITIES)})>"
"""A placeholder. It stands before a value as what was masked did, which was no boundary: a second redaction
finds nothing."""

WORD = "0-9A-Za-z_"
HEX = "[0-9A-Fa-f]"
LETTERS = "A-Za-zÀ-ÖØ-öø-ɏͰ-ԯ"
DASH = "‐‑–—\\-"
ESCAPED = "%[0-9A-Fa-f]{2}|\\\\[nrt]"
"""What may stand before a value in encoded text: `%3D` in a URL, a line end written out in JSON within a
string."""
EDGE = f"{MASKED}|^|{ESCAPED}|[^{WORD}"
"""The beginning of most values, to be completed by what else is no edge and a bracket: `({EDGE}.-])`."""
TAIL = f"(?:[{WORD}]|{MASKED})"
"""What, right behind a number, makes it a part of something longer."""


def any_case(words: str) -> str:
    """Return a pattern in which every letter matches in both cases; no class or escape may hold one."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in words)


@dataclass(frozen=True, slots=True)
class Unless:
    """An exception of a rule: a match stays as it is when each pattern that is given here matches.

    Attributes:
        value: from the beginning of the value; `$` is its end, and `.` any character, line ends included.
        before: up to the end of what stays before the value; `^` is its beginning.
        after: from the beginning of what stays after it.
    """

    value: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of what is masked.

    Attributes:
        entity: one of ENTITIES, whose placeholder the value becomes.
        find: has three groups: what stays before, the value, what stays after.
        examples: texts that the rule changes; the value stands between `‹` and `›`.
        stays: texts that look like it and that redaction leaves alone.
        need: the whole value must match it.
        unless: exceptions; a pattern alone is one about the value.
        alone: nothing may stand after, so that a value is not a part of something longer.
        check: tells whether the value's letters and digits are what they look like.
        judge: given the text and where matches begin and end, in bytes, gives where values are, in order, and
            of which entity; instead of the groups and all of the above.
        apart: it is looked for by itself: it counts what stands before a value, and beside others that do, an
            automaton has a state for each pair of counts.
        kinds: the alternatives of the value, where they are many: an automaton of all takes a thousand times
            as long to say where a value begins as one of those that are in a text.
    """

    entity: str
    find: str
    examples: tuple[str, ...] = field(default=(), compare=False)
    stays: tuple[str, ...] = field(default=(), compare=False)
    need: str = ""
    unless: tuple[Unless | str, ...] = ()
    alone: bool = False
    check: Callable[[str], bool] | None = None
    judge: Callable[[bytes, list[tuple[int, int]]], Iterable[tuple[int, int, str]]] | None = None
    apart: bool = False
    kinds: tuple[str, ...] = ()

    def find_of(self, kinds: Iterable[int]) -> str:
        """Return `find` with some of its kinds alone, by their places, in order."""
        return self.find.replace("|".join(self.kinds), "|".join(self.kinds[kind] for kind in kinds))
