"""How a text reads once what terminals, transports and pages wrap around a value is taken away.

A secret keeps its form in a coloured log line, in JSON within JSON or in HTML, and no rule would see it: so
rules look at views of a text as well, and what they find there is masked in the text itself, which otherwise
stays as it came (`draft.py`).

What goes here: the views. What does not: what is looked for in them. Each is one pass with one pattern,
without a repeat within a repeat, so linear in the text. The escapes are those of JSON (RFC 8259, section 7),
C and Python; colours those of ECMA-48; percent-encoding that of RFC 3986; entities those of HTML.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.draft import Replacement

TRIGGER = (
    r"[\\&%*`~\x1b\xcd\xd8-\xdb\xe1-\xf4]|\xc2[\x9b\xa0\xad]|</?[A-Za-z]"
    r"|(?:^|[^0-9A-Za-z_])(?:_|[bBN]r?[\"'])"
    r"|\^\[|\[[0-9;]{1,12}m|(?:value|val|data|text|content|input|arg|param|str|string)=|[^\n]{50}\n."
)


"""Finds, as bytes, something in every text that a view changes: what has none of it is not looked at again.
"""

has_trigger = linear.searcher(TRIGGER, is_bytes=True)

_LONG_LINE = 50
"""Characters of a line that a terminal or a writer may have broken."""
_WIDTHS = frozenset((78, 79, 80, 100, 120, 132, 160, 200))
"""Characters at which lines are broken as a rule."""
_INLINE = (
    "a|abbr|b|bdi|big|cite|code|em|font|i|ins|kbd|label|mark|q|s|samp|small|span"
    "|strong|sub|sup|time|tt|u|var|wbr"
)
_BLOCK = "blockquote|br|dd|div|dl|dt|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|thead|tr|ul"
_ATTRIBUTES = "(?:[ \t\r\n][^<>]{0,300})?/?>"
_CJK = r"(?:\xe3[\x81-\xbf][\x80-\xbf]|[\xe4-\xe9\xeb\xec][\x80-\xbf]{2}|[\xea\xed][\x80-\xbf]{2})"
_NUMBER_OF = r"\xe5\x8f\xb7|\xe8\x99\x9f|\xe5\x8d\x95|\xe5\x96\xae"
"""The last sign of words for a number or a form: it says what the number is."""
_NAMES = "value|val|data|text|content|input|arg|param|str|string"

_COLOURS = "|".join(
    (
        r"\x1b(?:\[[0-9;:?]{0,40}[ -/]{0,3}[@-~]|\][^\x07\x1b]{0,300}(?:\x07|\x1b\\)|[@-Z\\^_=>])",
        r"\xc2\x9b[0-9;:?]{0,40}[@-~]",
        r"(?:\\{1,8}(?:u001[bB]|x1[bB]|033|e)|\^\[)\[[0-9;:?]{0,40}[A-Za-z]",  # written out
        r"\[(?:[0-9]{1,3};){0,4}[0-9]{1,3}m",  # without their ESC
    )
)
_INVISIBLE = "|".join(
    (
        r"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]",  # zero width, direction
        r"\xef\xbb\xbf|\xc2\xad|\xcd\x8f|\xd8\x9c|\xe1\xa0\x8e",  # byte order mark, soft hyphen, joiners
        r"\xef\xb8[\x80-\x8f]",  # variation selectors
    )
)
_DIGITS = r"\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xf0\x9d\x9f[\x8e-\xbf]"  # Arabic, Persian, mathematical
_PARTS = {
    "path": r"(?<=[Uu]sers)\\(?=\\{1,7}(?:u001|x1|033|e\[|[\"']))",  # `C:\Users\` and what is written out
    "gone": f"{_COLOURS}|{_INVISIBLE}",
    "wide": rf"\xef\xbc[\x8b\x8d-\x9a\x9d\xa0-\xba\xbf]|\xef\xbd[\x81-\x9a]|{_DIGITS}",
    "blank": rf"\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe3\x80\x80|(?i:</?(?:{_BLOCK}){_ATTRIBUTES})",
    "tag": rf"(?i:</?(?:{_INLINE}){_ATTRIBUTES})",
    "entity": r"&(?:lt|gt|amp|quot|apos|nbsp|shy|zwnj|zwj|#[0-9]{1,6}|#[xX][0-9A-Fa-f]{1,5});",
    "escape": r"\\{1,8}(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrt/]"
    r"|[\"'](?![0-9A-Za-z])|(?<![0-9A-Za-z].)[\"'])",
    "percent": r"%(?:25){0,3}(?:[2-7][0-9A-Fa-f]|0[9aAdD])"
    r"(?![^ \t\r\n/@\"'<>]{0,100}(?:</[a-z]+>)?@)",  # not in a login
    "prefix": r"(?<![0-9A-Za-z_])(?:[bB][rR]?|N)(?=[\"'])",
}
"""What the plain view takes away or writes out."""
_QUOTE = r"(?:\\{1,8}[\"']|&(?:quot|apos|#34|#39|#x22|#x27);|%2[27])"
_MARKUP = "|".join(
    (
        r"(?<!\*)\*\*(?=[0-9A-Za-z+(/$_-])|(?<=[0-9A-Za-z)!.=$_-])\*\*(?!\*)|~~|`{1,3}",
        r"(?<![0-9A-Za-z*])\*(?=[0-9A-Za-z+(])|(?<=[0-9A-Za-z)])\*(?![0-9A-Za-z*])",
        r"(?<![0-9A-Za-z_])_{1,3}(?=[0-9A-Za-z+(/])|(?<=[0-9A-Za-z)])_{1,3}(?![0-9A-Za-z_-])",
        rf"(?<![0-9A-Za-z_])(?:{_NAMES})=[\"']?",
    )
)
_BARE_PARTS = {
    "quote": rf"{_QUOTE}(?=[0-9A-Za-z+(/~$])|(?<=[0-9A-Za-z)!=]){_QUOTE}",
    "space": r"(?<![0-9A-Za-z\\])\\{1,8}[nrt](?!\\)",
    "bytes": r"(?<![0-9A-Za-z_])[bB](?:'[^'\\\r\n]{1,300}'|\"[^\"\\\r\n]{1,300}\")",
    "bare": _MARKUP,
    "neighbour": rf"{_CJK}{{1,40}}(?<!{_NUMBER_OF})(?=[0-9A-Za-z+(/~-])",
}
_BARE_PARTS = {"path": _PARTS["path"], **_BARE_PARTS, **_PARTS}
"""The same without marks of emphasis, quotes that are written out, and letters that need no blank."""

_SIMPLE = {"n": b"\n", "r": b"\n", "t": b"\t", '"': b'"', "'": b"'", "/": b"/", "`": b"`"}


def _character(code: int) -> bytes:
    """Return a character as it reads: nothing for what cannot be seen."""
    if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        return b""
    char = chr(code)
    if unicodedata.category(char) == "Cf" or char in "\u034f":
        return b""
    return unicodedata.normalize("NFKC", char).encode() if 0xFF00 < code < 0xFFEF else char.encode()


def _escape(text: str) -> bytes:
    text = text.lstrip("\\")
    return _SIMPLE.get(text) or _character(int(text[1:], 16))


def _entity(text: str) -> bytes:
    read = html.unescape(text)
    return _character(ord(read)) if len(read) == 1 else read.encode()


_READ: dict[str, Callable[[str], bytes]] = {
    "path": lambda _: b"\\",
    "gone": lambda _: b"",
    "tag": lambda _: b"",
    "prefix": lambda _: b"",
    "quote": lambda _: b"",
    "bare": lambda _: b"",
    "space": lambda _: b"",
    "blank": lambda _: b" ",
    "wide": lambda text: unicodedata.normalize("NFKC", text).encode(),
    "entity": _entity,
    "escape": _escape,
    "percent": lambda text: bytes.fromhex(text[-2:]),
}


def _pattern(parts: dict[str, str], first: str) -> re.Pattern[bytes]:
    """Return a pattern of all parts, each a group; `first` finds quickly what any of them begins with."""
    joined = "|".join(f"(?P<{name}>{pattern})" for name, pattern in parts.items())
    return re.compile(f"(?={first})(?:{joined})".encode("latin-1"))


_FIRST = r"[\x1b\\^<&%\xc2\xcd\xd8\xd9\xdb\xe1-\xef\xf0]|\[[0-9]|(?<![0-9A-Za-z_])[bBN]r?[\"']"
_PLAIN = _pattern(_PARTS, _FIRST)
_BARE = _pattern(_BARE_PARTS, rf"{_FIRST}|[*~`_]|(?<![0-9A-Za-z_])(?:{_NAMES})=")


def _changes(pattern: re.Pattern[bytes], text: bytes) -> Iterator[Replacement]:
    for match in pattern.finditer(text):
        name = match.lastgroup or ""
        if name == "neighbour":  # between two words it stands for a blank
            before = text[match.start() - 1 : match.start()]
            yield Replacement(*match.span(), b" " if before.isalnum() else b"")
        elif name == "bytes":
            yield Replacement(match.start(), match.start() + 2, b"")
            yield Replacement(match.end() - 1, match.end(), b"")
        else:
            yield Replacement(*match.span(), _READ[name](match[0].decode(errors="replace")))


def plain(text: bytes) -> list[Replacement]:
    """Return what is to be changed so that a text reads as it is shown, without escapes, colours and tags.

    That is a part of what `bare` changes, so nothing where that is nothing.
    """
    return list(_changes(_PLAIN, text)) if bare(text) else []


@lru_cache(maxsize=1)
def bare(text: bytes) -> list[Replacement]:
    """Return what is to be changed so that values stand alone: `plain`, and marks of emphasis gone."""
    return list(_changes(_BARE, text))


@lru_cache(maxsize=1)
def _breaks(text: bytes) -> list[tuple[int, int, int]]:
    """Return where long lines end that another one follows: begin, end and the length of the line."""
    found, start = [], 0
    for match in re.finditer(rb"\r?\n", text):
        if match.start() - start >= _LONG_LINE and not text[match.end() : match.end() + 2].isspace():
            length = len(text[start : match.start()].decode(errors="replace"))
            if length >= _LONG_LINE:
                found.append((*match.span(), length))
        start = match.end()
    return found


def joined(text: bytes) -> list[Replacement]:
    """Return what is to be changed so that lines broken at a width are whole: usual or common."""
    breaks = _breaks(text)
    lengths = Counter(length for *_, length in breaks)
    widths = {length for length, count in lengths.items() if count > 1 or length in _WIDTHS}
    return [Replacement(start, end, b"") for start, end, length in breaks if length in widths]


def spaced(text: bytes) -> list[Replacement]:
    """Return what is to be changed so that lines broken between words are whole."""
    return [Replacement(start, end, b" ") for start, end, _ in _breaks(text)]


VIEWS: tuple[Callable[[bytes], list[Replacement]], ...] = (plain, bare, joined, spaced)
"""The views in the order in which rules look at them, all before the text itself: a part of a value that was
masked there would hide the rest from them."""
