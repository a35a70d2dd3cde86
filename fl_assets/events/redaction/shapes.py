"""Secrets that no rule names: words that look like one, and words near a word for one.

What goes here: which words of a text are scored, and what of the text is masked then. What does not: how
likely a word is a secret (`likelihood.py`), how much one looks like it (`surprise.py`), values behind a word
that names them (`passwords.py`, `named_secrets.py`).

A program, a protocol, a language or a sentence that nobody thought of still has a flag, a pair, a call or a
word such as `login` near a secret, and a secret that a person or a machine made up still looks like one.
Neither alone tells; a model that was fitted on labelled texts weighs both.
"""

from collections.abc import Callable, Iterator
from itertools import permutations

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.blocks import CODE, PROSE, STAND_IN
from fl_assets.events.redaction.likelihood import SECRETS
from fl_assets.events.redaction.named_secrets import KEY_OF, TOKEN_OF
from fl_assets.events.redaction.passwords import LABEL
from fl_assets.events.redaction.rule import MASKED, Rule, any_case
from fl_assets.events.redaction.safe_names import is_safe
from fl_assets.events.redaction.surprise import WEAK, grade
from fl_assets.events.redaction.word_kinds import SIGN, Word, is_uncased, kinds_near, words_of

Spans = list[tuple[int, int]]
"""Where matches begin and end, in bytes, in order."""
_LETTER = "A-Za-z\u00c0-\u04ff"
_CHAR = f"0-9{_LETTER}!@#$%^&*_.~+?-"
_SHORTEST, _SHORTEST_ALONE, _LONGEST, _KEY_SHORTEST, _KEY_ALONE = 3, 6, 256, 20, 32
"""Lengths in bytes: of a word near a sign, of one without, of any, and of what is a key rather than a
password near a word for a key, and without any."""
_CONTEXT, _BEFORE, _BEHIND, _LABEL = 120, 24, 100, 48
"""Bytes around a word that are looked at, before and behind a sign in which words are scored, and before a
word in which a label may stand that says what else it is."""
LEAST_LIKELY, LEAST_LIKELY_ALONE = 0.25, 1.25
"""Least score, in logits, of what is masked near a sign, and where there is none."""
_CODE_OF = any_case(
    "(?:error|status|exit|return|response|http|country|postal|zip|post|area|dialing|language|currency|product"
    "|item|booking|promo|discount|coupon|airport|sort|swift|tax|colour|color|department|project|source|qr|bar)"
)
_is_other = linear.searcher(
    "(?:(?:^|[^A-Za-z])(?:user(?:name)?|host(?:name)?|port|db(?:_?name)?|database|schema|region)[\"']?[:=]"
    "|(?:^|[^A-Za-z])(?:passwd(?: -[a-zS])?|(?:kubectl|oc) [a-z]+ secrets?|secret volume"
    "|realm|(?:publickey|interactive),password|password: see) )[\"']?$"
    "|[Cc]redential[._ -]?[Hh]elper[\"']?[ :=]{1,3}[\"']?$|WITH PASSWORD :'$|"
    "(?:[?&]v=|youtu[.]be/|[Mm]ethod[:=] ?|[Tt]oken[_ -]?[Ii][Dd][\"']?[ :=]{1,3}[\"']?"
    "|(?:wifi connect|[Ss][Ss][Ii][Dd])[\"']?[ :=]{1,3}[\"']?)$|"
    f"(?:{KEY_OF}[ _-]?[Kk]eys?|{TOKEN_OF}[ _-]?[Tt]okens?|{_CODE_OF}[ _-]?[Cc]odes?(?: is| was)?)"
    "[\"'`]?[ :=]{1,3}[\"'`]?$"
)
"""Whether the word before a value is about keys, tokens and codes that are no secrets."""
_find_masked = linear.finder(MASKED)
_is_amount = linear.searcher(
    "PASS(?:ED)?:? test[_s:/][^ ]*$|"
    "(?:ttl|timeout|expir[a-z]+|age|days|count|min|max|attempts)(?:_[a-z]{1,7})?[\"']?[ :=]{1,3}[0-9]+$"
)
"""Whether a value is a number of something about a secret, or the name of a test that passed."""
_is_name = linear.searcher(
    "[a-z](?:[Ss]ecret|-secret)(?:[-_]?(?:[Nn]ame|[Rr]ef))?[\"']?[ :=]{1,3}[\"']?[a-z0-9]+(?:-[a-z0-9]+)+$"
)
"""Whether a value is the name of a secret of a cluster."""
_CACHED = (
    "(?:node|p?npm|yarn|pip|poetry|uv|venv|cargo|go|gradle|maven|bundle|gems|composer|nuget|c?cache|docker|buildx"
    "|turbo|deps|build|linux|macos|windows|ubuntu|pre-commit|restore|v[0-9]{1,2})"
)
_NO_SECRET = "|".join(
    (
        "v?[0-9]+(?:[.][0-9]+)+$",  # a version, a measure
        "[A-Z][A-Za-z]+(?:Error|Exception|Warning)$",
        "(?i:(?:timestamp|datetime|varchar|int|bool|text|json|uuid|bytea|blob|char|date|time|decimal|numeric)[a-z0-9]*)$",
        f"{_CACHED}(?:-[a-z0-9.]+)*-(?:[0-9a-f]{{40}}|[0-9a-f]{{64}})$",  # the key of a cache
        "[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?:[.][a-z0-9]{2,7}){1,2}$",  # a file
    )
)
"""What a value is that is no secret, whatever is around it."""
_is_stand_in = linear.searcher(
    f"(?s)^(?:{STAND_IN}|{CODE}|{PROSE}|{LABEL}|{_NO_SECRET}|secretsmanager:|(?:E|GPIO|TS|CS|PGRST)[0-9]{{1,5}}$|[$][0-9a-z]{{1,8}}[$][0-9]{{2}}[$]$|(?:[a-z]+|{any_case('oauth')}[0-9]?)(?:_[a-z]+)+$)"
)
_is_flag = linear.searcher("^-h?[pP][^-]")
_to_quote = linear.finder("[\"'`\r\n]")
_goes_on = linear.finder("[^\\s\"'`<>(){}\\[\\],;|&“”«»„「」『』\x1e\x1f]+")
_VALUE_ENDS = b".,:;!?*"


def _extent(text: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the value is to which a word belongs: up to the quote, or to a blank."""
    if _is_flag(text[start:end]):
        start += 2 + (text[start + 1] == ord("h"))
    quote = text[start - 1 : start]
    if quote and quote in b"\"'`":
        closes = next((at for at, _ in _to_quote(text[end : end + _LONGEST])), -1)
        if closes >= 0 and text[end + closes : end + closes + 1] == quote:
            return start, end + closes
    more = _goes_on(text[end : end + _LONGEST])
    if more and more[0][0] == 0:
        end += more[0][1]
    value = text[start:end].rstrip(_VALUE_ENDS)
    return start, start + len(value) if value else end


def _is_plain(word: bytes) -> bool:
    return word.isalpha() and word.islower()


def _parts(text: bytes, matches: Spans, before: int, behind: int) -> Iterator[tuple[list[Word], list[int]]]:
    """Give the words of each part of a text that is near matches, and the places of those very near.

    Of words in small letters those alone that stand behind a match: one in a hundred secrets stands before.
    """
    at = 0
    while at < len(matches):
        first = at
        while at + 1 < len(matches) and matches[at + 1][0] - matches[at][1] < 2 * _CONTEXT:
            at += 1
        near = matches[first : at + 1]
        at += 1
        first, last = near[0][0] - before - _CONTEXT, near[-1][1] + behind + _CONTEXT
        words = words_of(text, max(first, 0), min(last, len(text)))
        chosen, one = [], 0
        for place, (start, end, word) in enumerate(words):
            while one < len(near) and near[one][1] + behind <= start:
                one += 1
            if one == len(near):
                break
            is_near = near[one][0] - before < end and (near[one][1] <= start + 1 or not _is_plain(word))
            if is_near and len(word) <= _LONGEST and not word.startswith(b"<") and not is_uncased(word):
                chosen.append(place)
        yield words, chosen


def _unmasked(text: bytes, matches: Spans) -> Spans:
    """Return the matches that are in no placeholder: their names are words for secrets, too."""
    masked = iter(_find_masked(text))
    one, kept = next(masked, None), []
    for start, end in matches:
        while one and one[1] <= start:
            one = next(masked, None)
        if not one or one[0] >= end - 1:
            kept.append((start, end))
    return kept


def near_signs(text: bytes, matches: Spans) -> Iterator[tuple[list[Word], list[int]]]:
    """Give the words of parts of a text, and the places of those that are near words for a secret."""
    for words, chosen in _parts(text, _unmasked(text, matches), _BEFORE, _BEHIND):
        yield words, [place for place in chosen if len(words[place][2]) >= _SHORTEST]


def look_so(text: bytes, matches: Spans) -> Iterator[tuple[list[Word], list[int]]]:
    """Give the words of parts of a text, and the places of those that look like a secret."""
    found = [one for one in matches if any(_looks_so(word) for *_, word in words_of(text, *one))]
    for words, chosen in _parts(text, found, 0, 0) if found else ():
        yield words, [place for place in chosen if _looks_so(words[place][2])]


def _looks_so(word: bytes) -> bool:
    return len(word) >= _SHORTEST_ALONE and grade(word) >= WEAK and SECRETS.is_possible(word)


def _judged(candidates: Callable, least: float) -> Callable[[bytes, Spans], Iterator[tuple[int, int, str]]]:
    """Return what gives where secrets are among candidates, which are likely enough."""

    def judge(text: bytes, matches: Spans) -> Iterator[tuple[int, int, str]]:
        done = 0
        if is_safe(text):
            return
        for words, chosen in candidates(text, matches):
            for place in chosen:
                start, end, _ = words[place]
                if start < done or SECRETS.score(text, words, place) < least:
                    continue
                if _is_other(text[max(start - _LABEL, 0) : start]):
                    continue
                start, end = _extent(text, start, end)
                if _is_stand_in(text[start:end]) or _is_other(text[max(start - _LABEL, 0) : start]):
                    continue
                labelled = text[max(start - _LABEL, 0) : end]
                if _is_amount(labelled) or _is_name(labelled):
                    continue
                done = end
                kinds = kinds_near(words, place)
                size = end - start
                is_key = size >= _KEY_SHORTEST if "key" in kinds else size >= _KEY_ALONE and not kinds
                yield start, end, "API_KEY" if is_key else "PASSWORD"

    return judge


_MIXED = [f"[{_CHAR}]*".join(order) for order in permutations(("[a-z]", "[A-Z]", "[0-9]"))]
"""Small letters, capitals and digits in a word, in any order."""
_SHAPES = (
    *_MIXED,
    "[g-z][0-9]+[a-z]|[a-z][0-9]+[g-z]",  # digits within a word that is no hash
    f"[g-z][a-z]{{0,8}}[0-9]{{4}}|[{_LETTER}]{{3}}[-_.][{_LETTER}]{{3,11}}[-_.]?[0-9]{{2}}",
    "[G-Z][0-9][0-9A-Z]{7}|[A-Za-z][!#$^~]+[0-9A-Za-z]|[0-9][!#$^~]+[A-Za-z]|[a-z][%&][A-Z]|[A-Z]{3}@[0-9]",
    "[a-z][A-Z][a-z]{0,2}[A-Z]|[A-Z]{2}[a-z][A-Z]",
)

RULES = (
    Rule(
        "PASSWORD",
        f"({SIGN})()()",
        examples=(
            "please use the login guest with ‹Falke_Turm77› today",
            "Agent: What is the password you used?\nCustomer: ‹Falke_Turm77›\nAgent: thanks",
            "Your new password:\n\n    ‹q8Tz-Lmw2x›\n",
            "the SMS says ‹4471›, is that the code?",
            "the PIN for the voicemail is ‹9051› btw",
            "$ pass show db\n‹Wein_Berg4x›",
        ),
        stays=("the login page of python3.11", "My zip code is 35649", "cache key a895013d9dc1bbf710aef1f3"),
        judge=_judged(near_signs, LEAST_LIKELY),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^{_CHAR}]))([{_CHAR}]*(?:{'|'.join(_SHAPES)})[{_CHAR}]*)()",
        examples=("newtool -u anna --frob ‹Falcon9723› x",),
        stays=(
            "newtool -u anna --frob python3.11",
            "user mei_davis_8935 has reservation NQNU5R",
            "login from web-7d9f8b5c6d-x2vbn with OAuth2PasswordBearer",
            "auth commit 4Ffj8WuKnJrTZT",
            'user: {"apiKeyX1Id": 3}',
            "ssh key SHA256:B8dNL7lCgcj5caSuVTJKDL109aqoG9oHDlCGsr4WKXs",
        ),
        judge=_judged(look_so, LEAST_LIKELY_ALONE),
        apart=True,
    ),
)
