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
PLAIN = re.compile(r"[A-Za-z]?[a-z]+(?:[-.'][A-Za-z]?[a-z]+)*")
"""A word in small letters, or a name; one of capitals is mostly a state or a code, which says which it is."""
# fmt: off
INTRODUCES = frozenset([
    "in", "for", "of", "from", "by", "with", "at", "on", "into", "via", "between", "near", "under", "user",
    "account", "customer", "host", "node", "server", "service", "pod", "container", "namespace", "cluster",
    "region", "zone", "queue", "topic", "table", "column", "field", "key", "property", "attribute",
    "parameter", "argument", "option", "flag", "type", "class", "method", "function", "tool", "command",
    "model", "package", "module", "plugin", "action", "event", "city", "country", "state", "name", "named",
    "called", "schema", "database", "role", "relation", "index", "view", "vhost", "exchange", "volume",
    "bucket", "extension", "tenant", "project", "repository", "branch", "secret", "group", "dag",
    "listener", "upstream", "domain", "image", "step", "stage", "job", "task", "variable", "device",
])
"""Words after which a name stands: of several there, fewer are evidence enough that they vary."""
FILLERS = frozenset([
    "a", "an", "the", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "this", "that",
    "these", "those", "please", "to", "of", "in", "on", "at", "for", "with", "by", "and", "or", "it", "its",
    "your", "you",
])
"""Words that a message says the same without."""
# fmt: on
EXCEPTION_NAME = re.compile(r"[A-Za-z](?:Error|Exception)=?$")  # which exception it was is never a detail
TELLS = re.compile(
    r"error|exception|fail|(?<!de)fault|time_?out|denied|refus|unavail|exceed|limit|exhaust|forbid|unauth"
    r"|not_?(?:found|exist|allow)|invalid|illegal|missing|unknown|unsupported|expired|conflict|mismatch"
    r"|abort|cancel|reject|reset|closed|lost|kill|crash|panic|back_?off|deadlock|overflow|locked|success"
    r"|^E[A-Z]{4,}$",
    re.IGNORECASE,
)
"""What says which failure it is, and so is no name although it may look like one."""
CODE = re.compile(r"[A-Z][A-Z0-9_.:-]*$")
"""A word of capitals: a state or a code, not a name."""
_NO_SPACES = r"\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_BESIDE = re.compile(rf"(?<=[\x00\x01])(?=[{_NO_SPACES}])|(?<=[{_NO_SPACES}])(?=[\x00\x01])")
"""Between a value and a word of a language that puts no spaces there."""
_COLUMNS = re.compile(r"\)=\(")
"""Between the columns of a key and their values: both vary."""
_TERM = re.compile(r"\{[a-z]\w*,\S*\}")
"""A term of Erlang: one value, however deep it is nested."""
_COMPARED = re.compile(r"(?<=[^\s=])[=<>!~]=|(?<=\s)(?:[=<>!~]=|=>)(?=\s)")
"""A comparison, which makes no key of the word before it."""
_CALL = re.compile(r"(?<![\w.])[a-z][\w.]*\((?=\w+=)")
"""A call of a function with named arguments, up to the first of them."""
_LIMITS = {"<": "less_than", ">": "more_than", "<=": "at_most", ">=": "at_least"}
_LIMITED = re.compile(r"(?<= be )[<>]=?(?= )")
"""What a value must be by a comparison: it says which rule is broken."""
_LISTED = re.compile(r",([A-Za-z][\w-]*):(?=[^\s:/])")
"""A key in a list without spaces, as `=` would make it: `,scope:cluster,verb:GET`."""
_LIST = re.compile(r"[\[(<{]([^\s\[\]()<>{},;]+(?:, ?[^\s\[\]()<>{},;]+)*)[\])>}]")
_ELEMENT = re.compile(r"[^\s,]+")
PUNCTUATION = re.compile(r"^[^\w\x00\x01]+$")


def skeleton(message: str) -> tuple[str, ...]:
    """Return the words of a masked message in order.

    Each run of variables is one `*`, or `?` for a single `<ID>`; `key=` is a word of its own.
    """
    words: list[str] = []
    if " be " in message:
        message = _LIMITED.sub(lambda found: f"{_LIMITS[found.group()]}= ", message)
    if "=" in message:
        message = _COMPARED.sub(" ", _COLUMNS.sub(") (", message))
        message = without_arguments(message)
    message = _LISTED.sub(r",\1=", message)
    signed = PLACEHOLDER.sub(_sign, STATUS.sub("", message))
    signed = _TERM.sub(_as_word, signed)
    for piece in PIECE.findall(signed if signed.isascii() else _BESIDE.sub(" ", signed)):
        word = _word(piece)
        if word in "*?" and word and words and words[-1] in "*?":
            words[-1] = "*"
        elif word == "=":
            if words and words[-1] not in "*?":
                words[-1] = words[-1].removesuffix("=") + "="
        elif word:
            words.append(word)
    return tuple(words)


def without_arguments(message: str) -> str:
    """Return a message with one variable in place of the named arguments of each call that it shows."""
    parts, end = [], 0
    for call in _CALL.finditer(message):
        if call.start() < end:
            continue
        parts.append(message[end : call.end()])
        depth, end = 1, call.end()
        while depth and end < len(message):
            depth += (message[end] in "([{") - (message[end] in ")]}")
            end += 1
        parts.append("\x00" + (")" if not depth else ""))
    return "".join([*parts, message[end:]]) if parts else message


def bracketed(message: str) -> frozenset[str]:
    """Return the words that stand alone or in a list between brackets: `[orders]`, `(lib, bin)`."""
    if not any(bracket in message for bracket in "[({"):
        return frozenset()
    message = PLACEHOLDER.sub("\x00", message)
    lists = _LIST.findall(message)
    return frozenset(word for found in lists for word in _ELEMENT.findall(found) if not is_variable(word))


def status_of(message: str) -> str:
    """Return the HTTP status that ends a masked message, as ` <STATUS_503>`, or ''."""
    match = STATUS.search(message)
    return match.group() if match else ""


@lru_cache(maxsize=65_536)
def _word(piece: str) -> str:
    """Return a piece as its word: `*` and `?` for variables, `=` for itself, nothing for punctuation."""
    if piece == "=":
        return piece
    word = piece.rstrip(".!?")
    if is_variable(word or piece):
        return "?" if piece == "\x01" else "*"
    return "" if PUNCTUATION.match(piece) else word


def _as_word(match: re.Match[str]) -> str:
    """Return a term as one word, which is a variable if it has one in it."""
    term = match.group()
    return "\x00" if "\x00" in term or "\x01" in term else re.sub(r"[^A-Za-z0-9]+", "_", term).strip("_")


def _sign(match: re.Match[str]) -> str:
    return "\x01" if match.group() == "<ID>" else "\x00"


def is_variable(piece: str) -> bool:
    """Say whether a piece of a message is a value: has a digit, or is `true`, `none`, `root` and the like."""
    return bool(_VARIABLE_WORD.search(piece))


def singular_of(word: str) -> str:
    """Return a word without the s that makes it mean several; it need not be a word then."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
