"""Telephone numbers that no rule names: groups of digits near a word for a telephone or a call.

What goes here: which groups of digits of a text are scored. What does not: how likely one is a telephone
number (`likelihood.py`), numbers that their form or the word before them names (`phones.py`).
"""

import re
from collections.abc import Iterator

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.likelihood import NUMBERS
from fl_assets.events.redaction.numbers import GERMAN_NUMBERED, NUMBERED_ABROAD, UNIT
from fl_assets.events.redaction.rule import DASH, MASKED, Rule, any_case
from fl_assets.events.redaction.word_kinds import NUMBER_SIGN, Word, words_of

_BEFORE, _BEHIND, _CONTEXT = 72, 24, 120
"""Bytes before and behind a number in which a word for a telephone is looked for, and around it in which
other words are."""
LEAST_LIKELY_NUMBER = 0.5
"""Least score, in logits, of what is masked."""
_GAP = f"[ ./(){DASH}\u00a0]{{0,3}}"
_NUMBER = f"[0-9](?:{_GAP}[0-9]){{6}}"
_is_other = linear.fully(
    "[0-9]{1,3}(?:[.][0-9]{1,3}){3}|[0-9]{3}-[0-9]{2}-[0-9]{4}|0?123456789?0?"
    "|(?:0|[1-9][0-9]*)[.][0-9]+|[0-9][.][0-9]{3}(?: [0-9]{1,4})+|(?:00[0-9]{2} ?)+"
)
"""An address and a number of social security, which other rules mask; a number that stands for any, a
fraction, characters by number."""
_OTHER = any_case(
    "(?:(?:id|function|order|ticket|invoice|account|serial|tracking|reference|ref|case|row|step|epoch"
    "|isbn|counts?|total|users|batch|queue|sku|viewport|screen|quota|column|version|size|cep|booking|reservation"
    "|graph|layout|seq|bytes|page|port|ratio|lot|sold|record|licen(?:s|c)e|passport|member|membership|policy|claim"
    f"|(?:tool|function|system|api|rpc)[_ -]calls?)(?:[_ -]?(?:no|nr|num|number|id))?"
    f"(?: is| was)?|{GERMAN_NUMBERED})"
)
_is_of_other = linear.searcher(f"(?:^|[^A-Za-z]){_OTHER}[.]?[\"']?[ :=#]{{1,3}}[\"']?$|{NUMBERED_ABROAD}")
"""Whether the word right before a number says of what else it is."""
_is_counted = linear.searcher(f"^ (?:{UNIT}|(?:calls|edges|nulls|records|per) )")
_LABEL, _COUNTED = 24, 12
_is_sign = linear.searcher(NUMBER_SIGN)
_masked = re.compile(f"<?{MASKED[1:]}".encode())
_find_numbers = linear.finder(f"(?:^|[^0-9A-Za-z_.,+($€£¥#{DASH}])[+(]{{0,2}}[0-9](?:{_GAP}[0-9]){{5,14}}")
_find_begin = linear.finder("[+(]{0,2}[0-9]")


def _is_near_sign(text: bytes, start: int, end: int) -> bool:
    """Tell whether a word for a telephone that is no placeholder is near a part of a text."""
    around = (text[max(start - _BEFORE, 0) : start], text[end : end + _BEHIND])
    return any(_is_sign(_masked.sub(b" ", part)) for part in around)


def numbers_near_signs(text: bytes) -> Iterator[tuple[list[Word], int]]:
    """Give groups of digits near words for a telephone: the words around one and it, and its place there."""
    for first, end in _find_numbers(text):
        start = first + _find_begin(text[first:end])[0][0]
        if text[end : end + 1].isalnum() or text[end : end + 1] == b"_":
            continue
        if _is_of_other(text[max(start - _LABEL, 0) : start]) or _is_counted(text[end : end + _COUNTED]):
            continue
        if not _is_other(text[start:end]) and _is_near_sign(text, start, end):
            before = words_of(text, max(start - _CONTEXT, 0), start)
            behind = words_of(text, end, min(end + _CONTEXT, len(text)))
            yield [*before, (start, end, text[start:end]), *behind], len(before)


def _judge(text: bytes, matches: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    for words, place in numbers_near_signs(text) if matches else ():
        if NUMBERS.score(text, words, place) >= LEAST_LIKELY_NUMBER:
            yield *words[place][:2], "PHONE"


RULES = (
    Rule(
        "PHONE",
        f"({NUMBER_SIGN})([^\r\n]*\r?\n?[^\r\n]*{_NUMBER})()|{_NUMBER}[^\r\n]*(?:{NUMBER_SIGN})",
        examples=(
            "Bitte um Rückruf bei Frau Behrens ‹0511 / 364 18 20›",
            "fixe ‹021 601 44 18› / natel ‹079 412 88 03›",
            "o número dela é ‹927 418 330›, o telemóvel",
            "call-log: out ‹0711 4417 290›, 37 s",
            "idraulico ‹338 4719205›",
            "dentista: ‹932 18 47 05›, pedir cita",
            "Garage Moreau ☎ ‹0142119851›",
            "zap: ‹11 9 8765-4769›",
            "carpintero Luis ‹677 120 934›",
            "お問い合わせは‹06-6345-7716›まで",
        ),
        stays=(
            "I called about order 417-7290844, nobody knows",
            "mobile data used: 4177290 bytes",
            "function call id 4177290844 timed out",
            "reached step 4177290 of 10000000",
            "text at offset 1732412345",
            "calling function 0012345678",
            "Contact ID: 0031234567",
            "called 12345678 times",
            "order no 0664 2317740",
            "my sister's booking 6125550173",
            "My driver's license number is 578988637",
            "call graph 671 209 344 nodes",
            "helion mag. mom. ratio 8.478 353 6198",
            "0123456 calls dropped",
            "sms quota 1000000 per day",
            "tool_call 11 22 33 44 aborted",
            "Bestellnummer 0171-4839205-22 wurde storniert",
            "Steuernummer 54/412/31233",
            "電話が壊れた、受付番号 7396079",
        ),
        judge=_judge,
    ),
)
