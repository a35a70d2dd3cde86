"""Secrets known by their shape: values that no word names, near a sign that one may stand there.

What goes here: which words of a text are looked at, and which are masked. What does not: how much one looks
like a secret (`surprise.py`), the signs (`signs.py`), values behind a word that names them (`passwords.py`,
`named_secrets.py`).

A program, a protocol or a language that nobody thought of still has a flag, a pair, a call or a word such as
`auth` near a secret, and a secret that a person or a machine made up still looks like one. Neither alone
tells; both together do. The less a sign says, the more the value has to look like a secret.
"""

from collections.abc import Iterable
from itertools import permutations

from fl_assets.events.redaction import linear, signs
from fl_assets.events.redaction.rule import Rule
from fl_assets.events.redaction.surprise import NOTHING, SURE, WEAK, grade

_LETTER = "A-Za-z\u00c0-\u04ff"
_CHAR, _KEY_CHAR = f"0-9{_LETTER}!@#$%^&*_.~+?-", "0-9A-Za-z+/_=~.-"
_ALNUM = {*b"0123456789", *range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)}
_CHAR_BYTES = frozenset(_ALNUM | {*b"!@#$%^&*_.~+?-"} | {*range(0xC3, 0xD4)})
_KEY_BYTES = frozenset(_ALNUM | {*b"+/_=~.-"})
"""Bytes with which one of these characters begins."""
_SHORTEST, _LONGEST, _KEY_SHORTEST, _COOKIE_SHORTEST, _CORE_SHORTEST = 6, 64, 20, 80, 14
"""Lengths in bytes: of a password, of a key, of one whose name tells nothing, and of what
is left of a key without its kind and its marks."""
_BEFORE, _AFTER, _LINES = 160, 48, 3
"""Bytes before and behind a value in which a sign is looked for, and lines up to its own."""
_has_glued_flag = linear.searcher("^-h?[pP][^-]")
_has_kind = linear.searcher("^(?:[a-z]{1,12}_)+|^[a-z]{2,12}-")


def _begin(text: bytes, start: int, chars: frozenset[int]) -> int:
    """Return where a word begins whose match may begin with the character before it."""
    if text[start] not in chars:
        start += 1
        while text[start] & 0xC0 == 0x80:
            start += 1
    return start


def _above(text: bytes, start: int) -> list[bytes]:
    """Return the lines above a place, as far as they are looked at, and what stands before it in its own."""
    return text[max(start - _BEFORE, 0) : start].split(b"\n")[-_LINES:]


def _graded(value: bytes) -> int:
    return grade(value) if len(value) >= _SHORTEST else NOTHING


def _password(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Return where in a match a password is, if there is one.

    Args:
        text: in UTF-8.
        start: of a word or of the character before it, in bytes.
        end: of the word, in bytes.
    """
    start = _begin(text, start, _CHAR_BYTES)
    if text[start] == ord("-") and _has_glued_flag(text[start:end]):
        start = text.index(b"p", start, end) + 1 if b"p" in text[start : start + 3] else start + 2
    value = text[start:end].rstrip(b".?:*")
    if b"%" in value and text[:start].endswith((b"-U ", b"-U '", b'-U "')):  # user%password
        start += value.index(b"%") + 1
        value = text[start:end]
    if len(value) > _LONGEST or signs.goes_on(text[end : end + 24]):
        return None
    lines = _above(text, start)
    before = lines[-1]
    found, is_pair = _graded(value), False
    at = value.rfind(b"@")
    if at >= _SHORTEST and ((is_pair := signs.is_pair(before)) or found == NOTHING):  # user:password@host
        value = value[:at]
        found = _graded(value)
    if before[-1:] in (b"/", b"\\"):
        found = min(found, WEAK)
    if found == NOTHING or signs.names_other(before):
        return None
    is_one = (
        is_pair
        or signs.stands_before[found](before)
        or signs.stands_behind[found](text[end : end + _AFTER])
        or (len(lines) > 1 and signs.has_column(b"\n".join(lines)))
    )
    return (start, start + len(value)) if is_one else None


def _key(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Return where in a match a key is that a machine made, if there is one; see `_password`."""
    start = _begin(text, start, _KEY_BYTES)
    value = text[start:end].rstrip(b".-_")
    if b"=" in value.rstrip(b"="):  # name=value
        at = value.rstrip(b"=").rindex(b"=") + 1
        start, value = start + at, value[at:]
    if len(value) < _KEY_SHORTEST:
        return None
    lines = _above(text, start)
    before = lines[-1]
    is_sign = signs.key_stands_right_before if _has_kind(value) else signs.key_stands_before
    if not (is_sign(before) or signs.key_stands_behind(text[end : end + _AFTER])) or signs.names_other(
        before
    ):
        return None
    core = value.translate(None, b"/+=")
    for join in (b"_", b"-"):
        kind, _, rest = core.partition(join)
        if kind.isalpha() and kind.islower() and len(rest) >= _CORE_SHORTEST:
            core = rest
    return (start, start + len(value)) if len(core) >= _CORE_SHORTEST and grade(core) == SURE else None


def _word(chars: str, shapes: Iterable[str]) -> str:
    """Return the pattern of words that have one of some shapes."""
    return f"((?:^|[^{chars}]))([{chars}]*(?:{'|'.join(shapes)})[{chars}]*)()"


def _mixed(chars: str) -> list[str]:
    """Return the patterns of small letters, capitals and digits in a word, in any order."""
    between = f"[{chars}]*"
    return [between.join(order) for order in permutations(("[a-z]", "[A-Z]", "[0-9]"))]


RULES = (
    Rule(
        "API_KEY",
        _word(_KEY_CHAR, _mixed(_KEY_CHAR)),
        examples=(
            "the token of newtool goes here: ‹Z6ZAhu7ftw4kGNA/T2G6eA8E42XU+O7StvDQrIwQDts=›",
            "newtool webhook at /x, then ‹m3yM39qEQaJOBFwZZfZJ6cFIC3oPkJXjQ2sB›",
        ),
        stays=(
            "session path /usr/lib/Python3/dist-packages/Auth2Client",
            "token of page_iVestuhokOvUCGPngAcT4k6i",
            "continuation token jxowWgPUmTFwnymwJLBQ5A== is invalid",
        ),
        judge=_key,
        apart=True,
    ),
    Rule(
        "PASSWORD",
        _word(
            _CHAR,
            (
                *_mixed(_CHAR),
                "[g-z][0-9]+[a-z]|[a-z][0-9]+[g-z]",  # digits within a word that is no hash
                f"[g-z][a-z]{{0,8}}[0-9]{{4}}|[{_LETTER}]{{3}}[-_.][{_LETTER}]{{3,11}}[-_.]?[0-9]{{2}}",
                "[G-Z][0-9][0-9A-Z]{7}|[A-Za-z][!#$^~]+[0-9A-Za-z]|[0-9][!#$^~]+[A-Za-z]|[a-z][%&][A-Z]|[A-Z]{3}@[0-9]",
                "[a-z][A-Z][a-z]{0,2}[A-Z]|[A-Z]{2}[a-z][A-Z]",
            ),
        ),
        examples=(
            "newtool -u anna --frob ‹Falcon9723› x",
            "newtool -w ‹maple-comet67› -f x",
            "newtool x -p‹Sommer-verano86› x",
            "newtool --auth-user 'anna:‹wint3r1995›' x",
            "newtool //s/x -U 'anna%‹Sommer-gato37›'",
            "newtool open x <<< '‹s4kur42025›'",
            "newtool CORP/anna:‹Oiseau1787›@dc01",
            "A1 LOGIN anna ‹Copper4481›",
            "newctl users add anna ‹River3670›",
            "Legacy.connectTo(url, 'anna', '‹qu4rtz1999›')",
            "the temporary one for guests is ‹Zk$ValNGoz!›",
            "newtool use Z: ‹Luna9287› /user:anna",
            "put ‹4Ffj8WuKnJrTZT› there as the credential",
            "| host | login | secret |\n|---|---|---|\n| db1 | anna | ‹orchid2013› |",
        ),
        stays=(
            "newtool -u anna --frob python3.11",
            "user mei_davis_8935 has reservation NQNU5R",
            "login from web-7d9f8b5c6d-x2vbn with OAuth2PasswordBearer",
            "auth commit 4Ffj8WuKnJrTZT",
            'user: {"apiKeyX1Id": 3}',
            "ssh key SHA256:B8dNL7lCgcj5caSuVTJKDL109aqoG9oHDlCGsr4WKXs",
        ),
        judge=_password,
        apart=True,
    ),
)
