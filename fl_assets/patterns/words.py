"""The words of a masked message: its skeleton, and which pieces of it are values.

What goes here: from text to words. What does not: which messages are the same (`mining.py`).
"""

import re
from functools import lru_cache

PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
STATUS = re.compile(r" <STATUS_[0-9]{3}>$")
PIECE = re.compile(r"[^\s=:,;#@()\[\]{}<>\"'`|]+|=")
_VARIABLE_WORD = re.compile(
    r"[\x00\x01]|[0-9]|^(?:true|false|null|none|nil|yes|no|on|off|nan|undefined|root|admin)$", re.IGNORECASE
)
IDENTIFIER = re.compile(r"[a-z][A-Z]|[A-Za-z]_|[A-Za-z][.$\\/-][A-Za-z]|^[^A-Za-z]+$")
EXCEPTION_NAME = re.compile(r"[A-Za-z](?:Error|Exception)=?$")  # which exception it was is never a detail
PUNCTUATION = re.compile(r"^[^\w\x00\x01]+$")


def skeleton(message: str) -> tuple[str, ...]:
    """Return the words of a masked message in order.

    Each run of variables is one `*`, or `?` for a single `<ID>`; `key=` is a word of its own.
    """
    words: list[str] = []
    for piece in PIECE.findall(PLACEHOLDER.sub(_sign, STATUS.sub("", message))):
        word = _word(piece)
        if word in "*?" and word and words and words[-1] in "*?":
            words[-1] = "*"
        elif word == "=":
            if words and words[-1] not in "*?":
                words[-1] = words[-1].removesuffix("=") + "="
        elif word:
            words.append(word)
    return tuple(words)


@lru_cache(maxsize=65_536)
def _word(piece: str) -> str:
    """Return a piece as its word: `*` and `?` for variables, `=` for itself, nothing for punctuation."""
    if piece == "=":
        return piece
    if is_variable(piece):
        return "?" if piece == "\x01" else "*"
    return "" if PUNCTUATION.match(piece) else piece.rstrip(".!?")


def _sign(match: re.Match[str]) -> str:
    return "\x01" if match.group() == "<ID>" else "\x00"


def is_variable(piece: str) -> bool:
    """Say whether a piece of a message is a value: has a digit, or is `true`, `none`, `root` and the like."""
    return bool(_VARIABLE_WORD.search(piece))
