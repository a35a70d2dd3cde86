r"""Repairing JSON, so that one bad character costs one value and not the whole line.

JSON strings hold no raw line ends, so each line of a document, pretty-printed or not, is repaired by itself:

- bytes that are not UTF-8, half a surrogate pair (`\ud83d`, of an emoji that was cut), NUL: become U+FFFD
- NUL outside of strings, of which a file that was truncated under its writer begins with a hole: is left out
- other raw control characters: become a blank
- a backslash before what it cannot escape (`\x1b`, `C:\temp`): is escaped itself
- `NaN`, `Infinity` and `-Infinity` outside of strings, which Python's json writes: become null

Sources: RFC 8259, sections 7 and 8; Unicode 16, section 3.9 (U+FFFD substitution of maximal subparts).
"""

import re

_REPLACEMENT = "\ufffd"
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|-?\b(?:NaN|Infinity)\b|\0+', re.DOTALL)
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # both halves: kept
    r"|\\(?:[\"\\/bfnrt]|u(?![dD][89a-fA-F])(?!0000)[0-9a-fA-F]{4})"  # whole escapes: kept
    r"|(?P<half>\\u[0-9a-fA-F]{4})"
    r"|(?P<stray>\\)"
)
_RAW_CONTROLS = re.compile("[\x01-\x1f]")


def mended(line: bytes) -> tuple[bytes, int]:
    """Return a line of JSON, repaired, and the number of values that were changed."""
    body = line.rstrip(b"\r\n")
    text = body.decode("utf-8", "replace")
    changed = 0

    def token(match: re.Match[str]) -> str:
        nonlocal changed
        raw = match[0]
        if raw[0] != '"':
            changed += 1
            return "" if raw[0] == "\0" else "null"
        fixed = _string(raw) if _REPLACEMENT in raw or "\\" in raw or _is_odd(raw) else raw
        changed += fixed != raw or (_REPLACEMENT in raw and _REPLACEMENT.encode() not in body)
        return fixed

    fixed = _TOKENS.sub(token, text)
    return (fixed.encode() + line[len(body) :], changed) if changed else (line, 0)


def _is_odd(raw: str) -> bool:
    return "\0" in raw or _RAW_CONTROLS.search(raw) is not None


def _string(raw: str) -> str:
    def escape(match: re.Match[str]) -> str:
        if match["half"]:
            return _REPLACEMENT
        return "\\\\" if match["stray"] else match[0]

    return _RAW_CONTROLS.sub(" ", _ESCAPES.sub(escape, raw).replace("\0", _REPLACEMENT))
