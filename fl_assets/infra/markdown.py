"""Escaping for Markdown, so that the text of others is shown and never rendered.

Dagster's UI renders images and links, and turns bare addresses into links. So what others wrote is shown as
code, and our own text is escaped, with addresses broken up.
"""

import re

_SPECIAL = re.compile(r"([\\`*_\[\]{}<>|#!~&])")
_ADDRESS = re.compile(r"(?i)(?<=https)(?=:)|(?<=http)(?=:)|(?<=ftp)(?=:)|(?<=www)(?=\.)|(?=@)")
_RUN = re.compile("`+")
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_BREAK = "\u200b"
"""Zero-width space: no renderer makes a link of `http\u200b://`."""


def plain(text: str) -> str:
    """Return a text in one line, escaped for Markdown and HTML."""
    return _ADDRESS.sub(_BREAK, _SPECIAL.sub(r"\\\1", _one_line(text)))


def code(text: str) -> str:
    """Return a text in one line as code, whatever backticks it has; '' for nothing."""
    line = _one_line(text)
    if not line:
        return ""
    fence = "`" * (1 + max(map(len, _RUN.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def prose(text: str) -> str:
    """Return a sentence of ours: names between backticks as code, the rest escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    shown = [code(part) if place % 2 else _between(part) for place, part in enumerate(parts)]
    return "".join(shown).strip()


def block(text: str, language: str = "") -> str:
    """Return a text of several lines as a code block."""
    fence = "`" * max(3, 1 + max(map(len, _RUN.findall(text)), default=0))
    lines = [_UNSEEN.sub("\ufffd", line) for line in text.splitlines()]
    return "\n".join([f"{fence}{language}", *lines, fence])


def _one_line(text: str) -> str:
    return _UNSEEN.sub("\ufffd", " ".join(text.split()))


def _between(part: str) -> str:
    """Escape the text between two names, keeping the blanks around it."""
    before, after = (" " if part[:1].isspace() else ""), (" " if part[-1:].isspace() else "")
    return f"{before}{plain(part)}{after}" if part.strip() else before
