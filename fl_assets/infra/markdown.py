"""Text as Markdown that says what it says and does nothing.

What goes here: escaping. What does not: what a page says.

Dagster's UI renders Markdown with images and links, and makes links of bare addresses. So what others wrote
is shown as code, in which nothing is read, and what stands between is escaped, its addresses broken.
"""

import re

_SPECIAL = re.compile(r"([\\`*_\[\]{}<>|#!~&])")
_ADDRESS = re.compile(r"(?i)(?<=https)(?=:)|(?<=http)(?=:)|(?<=ftp)(?=:)|(?<=www)(?=\.)|(?=@)")
_RUN = re.compile("`+")
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_BREAK = "\u200b"
"""Zero-width space: no renderer takes `http\u200b://` for an address."""


def plain(text: str) -> str:
    """Return a text in one line, with nothing in it that Markdown or HTML would read."""
    line = _UNSEEN.sub("\ufffd", " ".join(text.split()))
    return _ADDRESS.sub(_BREAK, _SPECIAL.sub(r"\\\1", line))


def code(text: str) -> str:
    """Return a text in one line as code, whatever backticks it has; '' for nothing."""
    line = _UNSEEN.sub("\ufffd", " ".join(text.split()))
    if not line:
        return ""
    fence = "`" * (1 + max(map(len, _RUN.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def prose(text: str) -> str:
    """Return a sentence of ours, names between backticks as code and the rest plain."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    shown = [code(part) if place % 2 else _between(part) for place, part in enumerate(parts)]
    return "".join(shown).strip()


def block(text: str, language: str = "") -> str:
    """Return a text of several lines as a block of code."""
    fence = "`" * max(3, 1 + max(map(len, _RUN.findall(text)), default=0))
    lines = [_UNSEEN.sub("\ufffd", line) for line in text.splitlines()]
    return "\n".join([f"{fence}{language}", *lines, fence])


def _between(part: str) -> str:
    """Return what stands between two names, with the blanks around it."""
    before, after = (" " if part[:1].isspace() else ""), (" " if part[-1:].isspace() else "")
    return f"{before}{plain(part)}{after}" if part.strip() else before
