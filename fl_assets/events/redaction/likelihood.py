"""How likely a word of a text is a secret: a sum of weights of what is seen of it and around it.

What goes here: words, what is seen of each, and their score. What does not: which words are scored
(`shapes.py`), the weights (`likelihood.json`, fitted by `benchmarks/redaction_fit.py` on labelled texts).

A logistic regression: each thing seen has a weight, in logits. What is seen: the value's shape and grade
(`surprise.py`), what stands right before and behind it, the words of its line and of the two lines above,
and how far the nearest word of each kind is (of passwords, codes, keys, logins, users, ids).
"""

import json
from functools import lru_cache
from pathlib import Path

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.rule import MASKED, any_case
from fl_assets.events.redaction.surprise import NOTHING, grade, surprise

_WITHIN = {
    "password": "passw|passphrase|pwd|kennwort|contrase|senha|wachtwoord|adgangskode|kodeord|hasł|haslo|hesl"
    "|lozink|slaptažod|lösenord|salasõn|salasan|jelsz|şifre|sifre|parol|mật khẩu|khẩu|sandi|laluan|lykilorð"
    "|pasahitz|κωδικ|συνθηματικ|парол|лозинк|geslo|パスワード|密码|密碼|口令|비밀번호|비번|암호|مرور|سر"
    "|رمز عبور|گذرواژه|סיסמ|पासवर्ड|পাসওয়ার্ড|கடவுச்சொல்|รหัส",
    "code": "passcode|zugangscode|sicherheitscode|bestätigungscode|digicode|pincode|combination|暗証番号"
    "|コード|验证码|驗證碼|인증|رمز|otp",
    "key": "apikey|token|schlüssel|webhook|license|licence|signature|секрет|токен|ключ|密钥|金鑰|キー"
    "|トークン|키|مفتاح",
    "secret": "secret|geheim|segret|secreto|credential|zugangsdaten|credencia|identifiant|credenzia",
    "login": "login|logon|signin|anmeld|zugang|acceso|accesso|acesso|connexion|вход|логин|доступ|dostęp"
    "|přihl|inlog|wlan|wifi|hotspot|voicemail",
}
_WHOLE = {
    "password": "pass|passe|pw|pwds|psw|psk|mdp|clave|wpa|wpa2|sae|userpass|dbpass|sshpass|htpasswd|pgpass",
    "code": "pin|pins|puk|cvv2?|cvc2?|tan|mfa|code|codes|código|codice|kod|kodu|kodunuz|код|кода|combo|unlock"
    "|totp",
    "key": "key|keys|jwt|bearer|hmac|serial|clé|chave|pat",
    "secret": "creds?|secrets?|vault",
    "login": "ssid|safe|alarm|door|gate|lock|locker|sudo",
}
_AROUND = {
    "key": "sig|sign|sess|session|cookie|cookies|auth|authorization|api",
    "login": "sign|wi|fi|guest|ldap|smtp|imap|ftp|sftp|ssh|vpn|basic",
    "user": "user|users|username|usr|uid|admin|root|account|benutzer|usuario|utilisateur|utente|member"
    "|customer|kunde",
    "id": "ids?|uuid|hash|sha[0-9]*|digest|checksum|etag|commit|version|ver|revision|fingerprint|ref|image"
    "|branch|model|pod|trace|span|request|run|order|build|job|task|file|folder|path|dir|host|node|instance"
    "|object|block|event|message|thread|number|no|nr|invoice|ticket|issue|error|status|exit|country|postal"
    "|zip|line|port|page|step|rfc|public|primary|foreign|cache|partition|sort|len|length|count|size|limit"
    "|max|min|policy|md5",
    "verb": "set|change|changed|reset|type|typed|enter|entered|use|used|using|try|tried|say|says|said|told"
    "|is|was|ist|est|es|è|é|jest|to|now|new|old|temporary|temp|initial|default",
}
"""Words by kind: such as may be a part of a longer one, such as are whole, and such as are whole and none for
which words are scored."""
SIGNS = ("password", "code", "key", "secret", "login")
KINDS = (*SIGNS, "user", "id", "verb", "masked")


def _of_kind(kind: str) -> str:
    whole = "|".join(words[kind] for words in (_WHOLE, _AROUND) if kind in words)
    return "|".join([*(words[kind] for words in (_WITHIN,) if kind in words), f"(?:^|_)(?:{whole})(?:_|$)"])


_is_kind = {kind: linear.searcher(_of_kind(kind)) for kind in KINDS[:-1]}
_UNCASED = "\u0590-\u06ff\u0900-\u0eff\u1100-\u11ff\u3040-\u318f\u3400-\u9fff\uac00-\ud7af"
_SEPARATORS = "\\s\"'`“”«»„「」『』()\\[\\]{}<>,;=|:/\\\\→➜、。，：；（）\x1e\x1f"
_find_words = linear.finder(f"{MASKED}|[{_UNCASED}]+|[^{_SEPARATORS}{_UNCASED}]+")
_find_parts = linear.finder("\\p{Lu}+\\p{Ll}*|\\p{Ll}+|[0-9]+|[^\\x00-\\x7f]+")
is_uncased = linear.searcher(f"^[{_UNCASED}]")

SIGN = "|".join(
    (
        "|".join(any_case(_WITHIN[kind]) for kind in SIGNS),
        f"(?:^|[^A-Za-z])(?:{'|'.join(any_case(_WHOLE[kind]) for kind in SIGNS)})(?:[^A-Za-z]|$)",
        "[a-z]Key(?:[^a-z]|$)",
    )
)
"""What is a word for a secret in a text."""

_WORDS_BEFORE, _WORDS_BEHIND, _LINES_ABOVE, _EDGE = 12, 6, 2, 6
"""How many words before and behind one and lines above it are looked at, and bytes at the edge of a text."""
Word = tuple[int, int, bytes]
"""Where a word begins and ends in a text, in bytes, and the word."""


def words_of(text: bytes, start: int, end: int) -> list[Word]:
    """Return the words between two places of a text, which are moved to where characters begin."""
    while start and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    part = text[start:end]
    return [(start + a, start + b, part[a:b]) for a, b in _find_words(part)]


@lru_cache(maxsize=8192)
def _parts_and_kinds(word: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the parts of a word (`dbPass` has two), in small letters, and of which kinds it is."""
    if word.startswith(b"<"):
        return (word.decode(),), ("masked",)
    word = word[:64]
    parts = tuple(word[a:b].decode(errors="replace").lower() for a, b in _find_parts(word))
    joined = "_".join(parts).encode()
    return parts or (word[:4].decode(errors="replace"),), tuple(
        kind for kind, is_kind in _is_kind.items() if is_kind(joined)
    )


def kinds_near(words: list[Word], place: int) -> tuple[str, ...]:
    """Return of which kinds the nearest sign before a word is, or the nearest behind it."""
    around = [*range(place - 1, max(place - 13, -1), -1), *range(place + 1, min(place + 7, len(words)))]
    return next((kinds for one in around if set(kinds := kinds_of(words[one][2])).intersection(SIGNS)), ())


def kinds_of(word: bytes) -> tuple[str, ...]:
    """Return of which kinds a word is."""
    return _parts_and_kinds(word)[1]


_TYPES = tuple(
    (name, linear.fully(pattern))
    for name, pattern in (
        ("digits", "[0-9]+[#*]?"),
        ("hex", "(?:0x)?[0-9a-fA-F]{8,}"),
        ("uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-.*"),
        ("date", "(?:19|20)[0-9]{2}[-/.]?[01][0-9].*"),
        ("version", "v?[0-9]+(?:[.-][0-9]+)+.*"),
        ("groups", "[0-9A-Z]{4,6}(?:-[0-9A-Z]{4,6}){2,}"),
        ("file", "[^@]*[.][a-z][a-z0-9]{1,4}"),
        ("name", "[A-Za-z]+(?:_[A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z0-9]+)+|[a-z]+(?:-[a-z]+)+"),
        ("letters", "\\pL+[.!?]?"),
    )
)
_LENGTHS = (3, 4, 5, 6, 7, 9, 12, 16, 24, 40, 1 << 30)
_MARKS = (("a", "\\p{Ll}"), ("A", "\\p{Lu}"), ("0", "[0-9]"), ("-", "[-_.]"), ("!", "[^\\pL0-9_.-]"))
_has_mark = tuple((mark, linear.searcher(pattern)) for mark, pattern in _MARKS)


@lru_cache(maxsize=2048)
def _value(value: bytes) -> tuple[tuple[str, ...], str, str, str]:
    """Return what is seen of a value alone; its grade, its type with its kinds of characters, its length."""
    length = f"l{next(i for i, most in enumerate(_LENGTHS) if len(value) <= most)}"
    kinds = "".join(mark for mark, has in _has_mark if has(value))
    bits = f"b{min(int(surprise(value) * 1.5), 14)}"
    kind = next((name for name, is_type in _TYPES if is_type(value)), "mixed")
    graded = f"g{grade(value) if len(value) > 3 else NOTHING}"
    shape = f"{kind}:{kinds}"
    seen = [
        graded,
        length,
        kinds,
        bits,
        kind,
        shape,
        f"{shape}|{graded}",
        f"{kind}|{length}",
        f"{kinds}|{length}",
    ]
    seen += [f"{kinds}|{bits}", f"first {value[:1]!r}", f"last {value[-1:]!r}"]
    if kind == "letters":
        low = value.decode(errors="replace").lower().rstrip(".!?")
        seen += [f"is {low}", f"ends {low[-3:]}"]
    return tuple(seen), graded, shape, f"{kind}|{length}"


@lru_cache(maxsize=2048)
def _between(text: bytes) -> str:
    """Return what stands between two words, in short."""
    for quote in (b"\xe2\x80\x9c", b"\xe2\x80\x9d", b"\xc2\xab", b"\xc2\xbb", b"'", b"`"):
        text = text.replace(quote, b'"')
    lines = text.decode(errors="replace").split("\n")
    return "\n".join(" ".join(f"-{line}-".split())[1:-1] for line in (lines[0], lines[-1])[: len(lines)])[-6:]


def _seen_before(text: bytes, words: list[Word], place: int, kind: str) -> tuple[set[str], dict[str, str]]:
    """Return what is seen before a word, and how near the nearest word of each kind is."""
    seen: set[str] = set()
    near: dict[str, str] = {}
    lines, edge = 0, words[place][0]
    for step in range(1, min(place, _WORDS_BEFORE) + 1):
        first, last, word = words[place - step]
        new = text.count(b"\n", last, edge)
        edge = first
        if new and not lines:
            seen.add(f"first in line {min(step, 3)}")
        lines += new
        if lines > _LINES_ABOVE:
            break
        parts, kinds = _parts_and_kinds(word)
        distance = f"above{lines}" if lines else str(min(step, 6))
        for one in kinds:
            near.setdefault(one, f"{one} {distance}")
        if lines:
            seen.update([f"above {part}" for part in parts[-2:]])
        elif step == 1:
            last_part = parts[-1]
            seen |= {f"1 {last_part}", f"1 {last_part}|{kind}", f"1 ..{last_part[-4:]}"}
            seen.update([f"1- {part}" for part in parts[:-1][-3:]])
        else:
            seen.update([f"{min(step, 3)} {part}" for part in parts[-3:]])
    return seen, near


def _seen_behind(text: bytes, words: list[Word], place: int, graded: str) -> set[str]:
    """Return what is seen behind a word in its line."""
    seen: set[str] = set()
    for step in range(1, min(len(words) - place, _WORDS_BEHIND + 1)):
        first, _, word = words[place + step]
        if b"\n" in text[words[place + step - 1][1] : first]:
            break
        parts, kinds = _parts_and_kinds(word)
        seen.update([f"-{min(step, 2)} {part}" for part in parts[:2]])
        seen.update([f"{one} behind {min(step, 4)}|{graded}" for one in kinds])
    return seen or {"last in line"}


def _seen_around(text: bytes, words: list[Word], place: int) -> set[str]:
    """Return what is seen around a word of a text, by names that have weights."""
    start, end, value = words[place]
    _, graded, shape, length = _value(value)
    before = _between(text[words[place - 1][1] if place else max(start - _EDGE, 0) : start])
    behind = _between(text[end : words[place + 1][0] if place + 1 < len(words) else end + _EDGE])
    kind = shape.partition(":")[0]
    seen, near = _seen_before(text, words, place, kind)
    seen |= _seen_behind(text, words, place, graded)
    seen |= {f"<{before}", f"<{before}|{kind}", f">{behind[:3]}", f"<{before[-2:]}|>{behind[:2]}", "always"}
    for one, there in near.items():
        seen |= {there, f"{there}|{graded}"}
        if one in SIGNS:
            seen |= {f"{there}|{shape}", f"{there}|{before[-2:]}", f"{there}|{length}"}
    seen.update([f"no {one}" for one in KINDS[:-1] if one not in near])
    signs = "+".join(one[:2] for one in SIGNS if one in near)
    return seen | {f"near {signs}", f"near {signs}|{graded}|{kind}", f"near {signs}|{before[-2:]}|{kind}"}


@lru_cache(maxsize=1)
def _weights() -> dict[str, float]:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["weights"]


@lru_cache(maxsize=16384)
def score_alone(value: bytes) -> float:
    """Return what a value adds to its score, wherever it stands."""
    get = _weights().get
    return sum(get(one, 0.0) for one in _value(value)[0])


@lru_cache(maxsize=4096)
def _score_around(part: bytes, start: int) -> float:
    """Return what the words around one, which begins at a place of a text, add to its score."""
    words = words_of(part, 0, len(part))
    place = next((place for place, word in enumerate(words) if word[0] >= start), len(words) - 1)
    get = _weights().get
    return sum([get(one, 0.0) for one in _seen_around(part, words, place)])


def score(text: bytes, words: list[Word], place: int) -> float:
    """Return how likely a word of a text is a secret, in logits: above 0, more likely than not."""
    first = max(words[max(place - _WORDS_BEFORE, 0)][0] - _EDGE, 0)
    last = words[min(place + _WORDS_BEHIND, len(words) - 1)][1] + _EDGE
    start, _, value = words[place]
    return score_alone(value) + _score_around(text[first:last], start - first)


def seen_of(text: bytes, words: list[Word], place: int) -> set[str]:
    """Return all that is seen of a word of a text, by names that have weights."""
    return {*_value(words[place][2])[0], *_seen_around(text, words, place)}
