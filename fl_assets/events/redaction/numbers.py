"""Numbers of accounts, cards, social security, and network addresses: known by form, range and checksum."""

from fl_assets.events.redaction.blocks import ASSIGN, QUOTE
from fl_assets.events.redaction.checksums import iban_holds, luhn_holds
from fl_assets.events.redaction.rule import (
    DASH,
    EDGE,
    ESCAPED,
    HEX,
    MASKED,
    TAIL,
    WORD,
    Rule,
    Unless,
    any_case,
)

_IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FO FI GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ XK LT LU MN",
    21: "HR LV LI CH",
    22: "BH BG CR GE DE IE ME RS GB VA",
    23: "IL IQ TL AE SO GI",
    24: "AD CZ MD PK RO SA SK ES SE TN VG DZ",
    25: "LY PT ST",
    26: "IS TR",
    27: "FR GR IT MR MC SM BI DJ",
    28: "AL AZ CY DO SV GT HU LB PL BY NI",
    29: "BR PS QA UA EG",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Countries by the length of their account numbers (SWIFT IBAN registry)."""
_IBAN_SEP = "[ \u00a0-]"


def _iban_of(length: int, countries: str) -> str:
    """Return the pattern of account numbers of countries that have one length."""
    names = "|".join(any_case(country) for country in countries.split())
    return f"(?:{names}){_IBAN_SEP}?[0-9]{{2}}(?:{_IBAN_SEP}?[0-9A-Za-z]){{{length - 4}}}"


_IBAN = "|".join(_iban_of(length, countries) for length, countries in _IBAN_LENGTHS.items())

UNIT = "(?:(?:[Bb]ytes|ms|tokens|rows|chars|times|seconds|[kKMG]i?B)(?:[^0-9A-Za-z.]|$))"
"""What is counted, and no word that may stand behind a telephone: `Ms.`, `Europe`, `lines`."""
_LETTERED = (
    "(?:[a-f](?:[0-9][0-9a-f]{2}|[a-f][0-9][0-9a-f]|[a-f]{2}[0-9])"
    "|[0-9][a-f][0-9a-f]{2}|[0-9]{2}[a-f][0-9a-f]|[0-9]{3}[a-f])"
)
"""Two bytes of a dump that are no number."""
_CARD_SEP = f"[ \u00a0{DASH}._+ ]{{0,2}}"
_FOUR = "[0-9]{4}"
_CARD_FORMS = "|".join(
    (
        "[0-9]{13,19}",
        f"{_FOUR}{_CARD_SEP}{_FOUR}{_CARD_SEP}{_FOUR}{_CARD_SEP}{_FOUR}",
        f"{_FOUR}{_CARD_SEP}[0-9]{{6}}{_CARD_SEP}[0-9]{{4,5}}",
        f"{_FOUR}{_CARD_SEP}{_FOUR}{_CARD_SEP}{_FOUR}{_CARD_SEP}(?:[0-9]{{3}}|[0-9])",
    )
)


def _digits(count: str) -> str:
    return f"(?:[^0-9]{{0,2}}[0-9]){{{count}}}"


_CARD_NETWORKS = "|".join(
    (
        f"4{_digits('12')}(?:{_digits('3')}|{_digits('6')})?",  # Visa
        # Mastercard, Mir, JCB, Troy
        f"(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|220[0-4]|35|9792){_digits('12,14')}",
        f"3[47]{_digits('13')}",  # American Express
        f"3(?:0[0-5]|[689]){_digits('11,13')}",  # Diners
        f"(?:5[06-9]|6|81){_digits('11,18')}",  # Maestro, RuPay, Discover, UnionPay
    )
)
"""How a network's numbers begin, and how long they are."""

GERMAN_NUMBERED = (
    "(?:bestell|auftrags|kunden|rechnungs|vorgangs|artikel|serien|sendungs|vertrags|mitglieds|beleg)"
    "-?(?:nummer|nr)"
)
_THINGS = any_case(
    "(?:ordine|fattura|pratica|protocollo|pedido|protocolo|fatura|factura|expediente|incidencia|commande|facture"
    "|dossier|réclamation|bestelling|bestelnummer|klantnummer|factuur|factuurnummer|zaaknummer|meldingsnummer"
    "|zamówieni(?:e|a)|zgłoszeni(?:e|a)|faktura|faktury|sprawa|sprawy|objednávka|sipariş|başvuru|kayıt|talep"
    "|vorgang|auftrag|rechnung|bestellung|vertrag|aktenzeichen|steuernummer|steuer-?id|complaint|receipt|folio"
    "|plainte|sinistre|contrat|contrato|contratto|contract|chamado|atendimento|ocorrência|denuncia|reclamo|segnalazione"
    "|aangifte|klacht|klantnr|umowa|zlecenie|reklamacja|smlouva|avtal|avtale|szerződés|contractul|договор|vertragsnr"
    "|tracking|parcel|policy|claim|beställning|ärende|ordre|tilaus|заказа?|заявк(?:а|и)|счёт|счет)"
)
_NO_OF = any_case("(?:no|nr|n|num|number|numero|número|numéro|nummer|numarası|номер)")
_THINGS_UNCASED = "单号?|單號?|编号?|編號?|(?:受付|注文|管理|お客様|問い合わせ)番号?|(?:주문|접수)번호?"
"""Their last sign may be gone: a letter without blanks before a number does not belong to it (`views.py`)."""
NUMBERED_ABROAD = (
    f"(?:(?:^|[^A-Za-z])(?:{_THINGS}|[A-Za-zäöü]{{3,20}}s-?(?:nummer|[Nn]r))"
    f"(?:[ -]?{_NO_OF}|[ ]?[Nn]?[°º№])?[.]?|{_THINGS_UNCASED})"
    "[\"']?[ :：=#]{0,3}[\"']?$"
)
"""Words, in a dozen languages, right behind which a number is one of a thing."""
NUMBERED = any_case(
    "(?:order|orders|ref|reference|invoice|part|sku|ticket|item|serial|model|isbn|tracking|case|build|version"
    "|id|no|nr|number|po|lot|batch|code|account|job|run|task|doc|rev|issue|suite|apt|unit|room|box"
    f"|{GERMAN_NUMBERED})"
)
"""Words that make the number after them a number of a thing."""
_NUMBER_WORD = any_case("(?:no|number|num|nr|id|code|key)")
NUMBERED_EDGE = f"(?:^|[^A-Za-z]){NUMBERED}(?:[_ -]?{_NUMBER_WORD})?[.\"']{{0,2}}[ #:=_-]{{1,4}}"
IS_NUMBERED = f"^(?:[^A-Za-z]?{NUMBERED}[^A-Za-z]|<[A-Z]).*"
NOT_TAILED = f"((?:[.{DASH}]?{TAIL})*)"
"""What stands after a number: nothing, or else it is a part of something longer."""
_SSN_WORD = any_case(
    "(?:ssn|social security(?: number| no[.]?| #)?|soc[.]? sec|social-security-number|social_security_number"
    "|tax[ _-]?id)"
)
NO_SSN = "(?:000|666|9)|[0-9]{3}[^0-9]?00[^0-9]?[0-9]{4}$|.*0000$"
"""Ranges that are not issued."""

_BEFORE_CARD = f"[0-9_]-|%B|{EDGE}.]|[^0-9][.]"
_NO_CARD = (
    Unless(before="^(?:[0-9_]-|<[A-Z]).*"),
    Unless(before=".*[+]$", value="[0-9]{13,15}$"),  # a telephone
    f".*[ \u00a0].*[0-9][{DASH}._+]|.*[{DASH}._+].*[0-9][ \u00a0]",  # separators that differ
    "[0-9]{7,}[^0-9]|.*[^0-9][0-9]{7}",  # columns of a table
)
_MAC_WORD = f"(?:^|[^A-Za-z]){any_case('(?:(?:hw|mac)[_ -]?addr(?:ess)?|mac)')}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP = f"{_OCTET}(?:[.]{_OCTET}){{3}}"
_GROUP = f"{HEX}{{1,4}}"
_IPV6 = "|".join(
    (
        f"(?:{_GROUP}:){{7}}{_GROUP}(?::[0-9]{{2,5}})?",
        f"(?:{_GROUP}:){{6}}{_IP}",
        f"(?:{_GROUP}(?::{_GROUP}){{0,6}})?::(?:{_GROUP}:){{0,5}}{_IP}",
        f"(?:{_GROUP}(?::{_GROUP}){{0,6}})?::(?:{_GROUP}(?::{_GROUP}){{0,6}})?",
    )
)
_NO_IPV6 = "|".join(
    (
        "(?:[0-9A-Fa-f]{2}:){7,8}[0-9A-Fa-f]{2}",  # a fingerprint
        "::[2-9]",  # a slice
        "[A-Fa-f]{1,4}::[A-Fa-f]{0,4}",  # a name in C++
        "[0-9]{1,3}::(?:[0-9]{0,3}|[A-Fa-f]{1,4})",
        "[0-9]{4}::",
        "(?:[013-9][0-9]{0,4}:){2}:",
        "(?:[0-9]:){7}[0-9]",
        "(?:[0-9]{2}:)+:[0-9]{2}",
        "::[A-Fa-f]+",
    )
)
_VERSION_WORD = any_case(
    "(?:versions?|versión|versão|versione|versie|wersja|версия|версии|версию|ver|release|rev|revision|firmware"
    "|build|section|sec|abschnitt|sección|sezione|seção|раздел|chapter|kapitel|clause|step|figure|fig|table|oid"
    "|sdk|driver|upgraded?|downgraded?|installed|requires?|v|§|版本|バージョン|버전)"
)
_A_VERSION = f"(?:{_VERSION_WORD}|[Vv]ersion)"
_PRODUCT = "[A-Z][A-Za-z-]*/"
_BEFORE_IP = "|".join(
    (
        f"(?:(?:^|[^A-Za-z]){_VERSION_WORD}|[Vv]ersion)(?:[^0-9A-Za-z\r\n]{{1,6}}(?:(?:to|is|of|from)[ ])?)?"
        f"(?:{_IP}(?:[ ,{DASH}]{{1,2}}| to | or | and |->| -> | → )){{0,3}}",
        _PRODUCT,
        "[=<>~!^]=[ ]?",
        "[(][=<>~]{1,2} ",
        "[A-Za-z]-",
        MASKED,
        "^",
        ESCAPED,
        f"[^{WORD}.]",
    )
)

RULES = (
    Rule(
        "IBAN",
        f"({EDGE}])({_IBAN})([{WORD}]*)",
        examples=("pay to ‹DE89 3704 0044 0532 0130 00› now",),
        stays=("DE89 3704 0044 0532 0130 01",),
        unless=(Unless(before="^<[A-Z].*"),),
        alone=True,
        check=iban_holds,
    ),
    Rule(
        "IBAN",
        f"(^|[^{WORD}])([A-Z]{{2}}[0-9]{{2}}(?:%20[0-9A-Z]{{4}}){{2,7}}(?:%20[0-9A-Z]{{1,3}})?)([{WORD}]*)",
        examples=("iban=‹DE89%203704%200044%200532%200130%2000›",),
        alone=True,
        check=iban_holds,
    ),
    Rule(  # of nineteen digits, and none of sixteen with a code behind
        "CARD",
        f"({_BEFORE_CARD})({_FOUR}(?:{_CARD_SEP}{_FOUR}){{3}}{_CARD_SEP}[0-9]{{3}}){NOT_TAILED}",
        examples=("card ‹6212 3456 7890 1234 007›, please",),
        need=_CARD_NETWORKS,
        unless=_NO_CARD,
        alone=True,
        check=luhn_holds,
    ),
    Rule(
        "CARD",
        f"({_BEFORE_CARD})({_CARD_FORMS})"
        f"((?:[.{DASH}]?{TAIL})*(?: {_LETTERED} {HEX}{{4}}(?:[^0-9A-Za-z]|$)|[ ]{UNIT})?)",
        examples=(
            "card ‹4111 1111 1111 1111›",
            "‹378282246310005›, please",
            "‹4111 1111 1111 1111› face",
            "‹4111 1111 1111 1111› 0927 123",
            "‹4111-1111-1111-1111› ‹4242-4242-4242-4242›",
        ),
        stays=(
            "order 4111111111111112",
            "ts=1732412345123456789",
            "00000010: 4539 1488 0343 6467 0a0b 0c0d",
            "read 4539148803436467 bytes",
            "4539 1488-0343 6467",
            "sda1 40128888 88881881 used",
        ),
        need=_CARD_NETWORKS,
        unless=_NO_CARD,
        alone=True,
        check=luhn_holds,
    ),
    Rule(  # with a number of four digits before it, which may be the first of its groups as well
        "CARD",
        f"((?:^|[^0-9A-Za-z.,_ {DASH}] ?|[A-Za-z:#] ){_FOUR} )({_CARD_FORMS})((?:[ .{DASH}]?{TAIL})*)",
        examples=("till 0042 ‹4539148803436467›", "terminal 7731 ‹4111 1111 1111 1111›, approved"),
        stays=("1111 4111 1111 1111 1111 2222", "row 7731 4111 1111 1111 1112"),
        need=_CARD_NETWORKS,
        unless=(*_NO_CARD[1:], Unless(after="[^ ]| [0-9]")),
        check=luhn_holds,
    ),
    Rule(
        "SSN",
        f"({NUMBERED_EDGE}|{EDGE}.{DASH}])"
        f"([0-9]{{3}}[{DASH}][0-9]{{2}}[{DASH}][0-9]{{4}}|[0-9]{{3}} [0-9]{{2}} [0-9]{{4}})"
        f"([ ][0-9A-Za-z_-]+[.][a-z]|(?:[.{DASH}]?{TAIL})*)",
        examples=("it is ‹536-22-8726›.",),
        stays=("000-12-3456", "order no. 536-22-8726"),
        unless=(NO_SSN, Unless(before=IS_NUMBERED)),
        alone=True,
    ),
    Rule(
        "SSN",
        f"((?:^|[^A-Za-z]){_SSN_WORD}[^0-9\r\n]{{0,16}})"
        f"([0-9]{{3}}[{DASH}. ]?[0-9]{{2}}[{DASH}. ]?[0-9]{{4}}){NOT_TAILED}",
        examples=("SSN: ‹536228726›",),
        unless=(NO_SSN, Unless(before="^<SSN>.*")),
        alone=True,
    ),
    Rule(
        "MAC",
        f"({EDGE}:-])({HEX}{{2}}(?:(?::{HEX}{{2}}){{5}}|(?:-{HEX}{{2}}){{5}}|(?:%3[Aa]{HEX}{{2}}){{5}})"
        f"|{HEX}{{4}}[.]{HEX}{{4}}[.]{HEX}{{4}})((?:[.:-]?{TAIL})*)",
        examples=("from ‹00:1A:2B:3C:4D:5E›", "‹001a.2b3c.4d5e›"),
        stays=("12-11-24-10-30-45", "1234.5678.9012", "00:1A:2B:3C:4D:5E:6F", "brd ff:ff:ff:ff:ff:ff"),
        unless=(
            "(?i)(?:ff[:.-]?){6}$|(?:00[:.-]?){6}$",  # all, none
            f"{HEX}{{2}}(?:[:-]{HEX}{{2}}){{2}}(?:[:-]00){{3}}$",  # a range
            "[0-9]{4}[.][0-9]{4}[.][0-9]{4}$",
            "[0-9]{2}-(?:0[0-9]|1[0-2])-[0-3][0-9]-[0-2][0-9]-[0-5][0-9]-[0-5][0-9]$",
            Unless(before="^<[A-Z].*"),
        ),
        alone=True,
    ),
    Rule(
        "MAC",
        f"({_MAC_WORD}[0-9]?(?:{ASSIGN}{QUOTE}?|[ ]))({HEX}{{12}})([{WORD}]*)",
        examples=("mac=‹001a2b3c4d5e›", "--macaddress1 ‹080027A1F43C›"),
        alone=True,
    ),
    Rule(
        "IPV6",
        f"((?:{MASKED}|[0-9A-Za-z_)\\]])\\[|{EDGE}])"
        f"((?:(?:{HEX}{{0,4}}:){{2,8}}{_GROUP}(?:(?:[.][0-9]{{1,3}}){{1,3}}|::)?|(?:{_GROUP}:){{1,7}}:)"
        f"(?:%[0-9A-Za-z_.-]{{1,20}})?)((?:[.:]?{TAIL})*)",
        examples=("from ‹2001:db8::8a2e:370:7334›", "[‹fe80::1%eth0›]"),
        stays=("std::vector", "a[::2]", "12:30:45", "2026::"),
        need=f"(?:{_IPV6})(?:%.*)?",
        unless=(f"(?:{_NO_IPV6})$", Unless(before="^(?:[0-9A-Za-z_)\\]]\\[|<[A-Z]).*")),
        alone=True,
    ),
    Rule(
        "IPV4",
        f"({_BEFORE_IP})({_IP})"
        f"((?:[.]?{TAIL})*(?:[-+](?:alpha|beta|rc|dev|SNAPSHOT|final|release|preview|pre|[a-z][0-9])[0-9A-Za-z_.]*)?)",
        examples=("from ‹203.0.113.42›:80", "‹10.0.0.1›,‹10.0.0.2›"),
        stays=("version 1.2.3.4", "Chrome/120.0.0.0", "1.2.3.4.5", "x==1.2.3.4"),
        unless=(
            Unless(before=f"^(?:[^A-Za-z0-9]?(?:{_A_VERSION}[^A-Za-z]|[Vv]$)|{_PRODUCT}|[=<>~!^]=).*"),
            Unless(before="^(?:[(][=<>~]|[A-Za-z]-|<[A-Z]).*"),
        ),
        alone=True,
    ),
    Rule(  # the name of a machine in a cloud
        "IPV4",
        f"((?:^|[^0-9A-Za-z_-])ip-)({_OCTET}(?:-{_OCTET}){{3}})([.][a-z]|[^0-9A-Za-z_-]|$)",
        examples=("host ip-‹10-0-12-34›.ec2.internal unreachable",),
    ),
)
