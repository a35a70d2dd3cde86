"""How much a value looks like a secret, told from its characters alone.

What goes here: surprise (bits a character under a model of ordinary words) and grades of values. What does
not: where in a text a value of which grade is a secret (`likelihood.py`, `shapes.py`).

The model is a table of how seldom a letter follows another within a word, and a kind of character another,
in half bits. It was counted on the 157 000 different words of 250 000 lines of source code and manuals:
ordinary words take 4 bits a character, passwords with digits for letters 5 to 6, random strings 6 to 10.
"""

from functools import lru_cache

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.rule import any_case

_FOLLOWS = (
    "8a7899aa9ed99aa8g868bbbbhh",
    "ia88fe9ibid687i9i675begedi",
    "6dbe7efg79h5eg7ei98d6iic9f",
    "7gbe6fh6bi78eh4ei9c79hiidi",
    "6cea3def5ihaee8eib9d9hhidi",
    "9e88cadigii8a6dad567gbe8ci",
    "7ecd88gi4ii9gd5gi89a9iiici",
    "agdf3fb97iiab9aei67bahiigf",
    "4hhf4egg7ihdbe6eiac6aihidi",
    "aa89ac9iiih8946aia87gcidib",
    "7fdc4fgg9gbgeg4bfg5g9gcihi",
    "8gcc2bbe6ihcfbbdie8cahcifi",
    "7dfa47fi5ih7gi7eiha89diibi",
    "4afb4iii7ih9ae76ihafbiiidi",
    "7h867a6h9idegb8dig65bciigi",
    "ca98hdaidhc984b9i5a98cafii",
    "5hec5hga9ie7fh79i6b79hiiai",
    "fgfeghfhehg8dfgfgcbe1ffihh",
    "7gab4eai7icbbc7fi988aciiai",
    "ai9g4fh97idafe8agg749gfibi",
    "6hce4eh85iicch7bi79abigg9i",
    "a9bc8cci9ih786e8i675iiigii",
    "4gci2gei6iihdfaeigdeiiiigi",
    "5ged6gf94iedf86fi69ehhbhii",
    "af9d5fig8iie9ge6ig63ghicbi",
    "acceagahbii897b3ic67fgbiff",
    "6fgg2eid6ig8ce9fidffeheicd",
)
"""Half bits, as digits of base 20: a row a letter before, the first of it that begins a word; a column a
letter behind it, from a to z."""
_KINDS_FOLLOW = ("92587j", "2886h5", "f1b7h8", "9427h8", "7179h9", "527a67")
"""The same of kinds of characters, in their order below: the first row is of the beginning, the last column
of the end."""
_DIGIT, _SMALL, _CAPITAL, _JOIN, _MARK = range(5)
_KINDS = (
    dict.fromkeys(b"0123456789", _DIGIT)
    | dict.fromkeys(range(ord("a"), ord("z") + 1), _SMALL)
    | dict.fromkeys(range(ord("A"), ord("Z") + 1), _CAPITAL)
    | dict.fromkeys(b"-_.", _JOIN)
    | dict.fromkeys(range(128, 256), _SMALL)  # bytes of letters beyond ASCII
)
_LETTER_COST = [[int(cost, 20) / 2 for cost in row] for row in _FOLLOWS]
_KIND_COST = [[int(cost, 20) / 2 for cost in row] for row in _KINDS_FOLLOW]
_FOREIGN_LETTER = 3.0
"""Bits of a byte of a letter beyond ASCII."""


@lru_cache(maxsize=4096)
def surprise(value: bytes) -> float:
    """Return bits a character of a value, which is in UTF-8 and not empty."""
    bits, row, letter_before = 0.0, 0, 0
    for char in value:
        kind = _KINDS.get(char, _MARK)
        bits += _KIND_COST[row][kind]
        letter = 0
        if kind in (_SMALL, _CAPITAL) and char < 128:
            letter = (char | 32) - 96
            begins = kind == _CAPITAL and row == _SMALL + 1
            bits += _LETTER_COST[0 if begins else letter_before][letter - 1]
        elif kind == _SMALL:
            bits += _FOREIGN_LETTER
        row, letter_before = kind + 1, letter
    return (bits + _KIND_COST[row][-1]) / len(value)


SURE, LIKELY, WEAK, NOTHING = 3, 2, 1, 0
"""Grades: letters of both kinds and digits at random; words with digits or marks in them, or small letters
and digits at random; words and a number; what names, numbers and hashes look like, too."""
_RANDOM_BITS, _MIXED_BITS, _ODD_BITS, _NO_TERM_BITS = 6.4, 5.2, 7.2, 7.0
"""Least surprise of a random string, of a mixed word, of letters alone; and of what no term explains."""
_RANDOM_LENGTH, _CODE_LENGTH = 8, 10
"""Least length of a random string, and of one of capitals and digits alone."""
_ENDINGS = any_case(
    "(?:pyc?|jsx?|tsx?|jsonl?|ya?ml|txt|log|md|sh|cfg|conf|ini|toml|xml|html?|css|csv|gz|zip|tar|tgz|whl|deb|rpm"
    "|png|jpe?g|svg|gif|pdf|so|dll|exe|jar|java|go|rs|c|h|cc|cpp|rb|php|sql|db|lock|pem|crt|key|pub|p12|pfx|jks"
    "|kdbx?|io|com|net|org|de|dev|local|internal|intern|ova|iso|img|vmdk|7z|dump|bak|tmp|ipynb|proto|tf|env"
    "|service|socket|mp3|mp4)"
)
_is_name = linear.fully(
    "|".join(
        (
            "(?:0x|#)?[0-9A-Fa-f]+[hLu]?|[0-9A-Fa-f]+(?:[-_.][0-9A-Fa-f]+)+|U[+][0-9A-F]+",  # hash, UUID
            "[0-9a-f]{8}-[0-9a-f]{4}-.*",
            "[vVr]?[0-9]+(?:[-_.+~][0-9]+)*[-_.+~]?[A-Za-z%]{0,5}[0-9]?",  # number, version
            "[vV]?[0-9]+[.][0-9]+.*|.*[0-9][.][0-9]+[.][0-9].*",
            "[0-9]+(?:[xX][0-9]+|[KMGT]i?[Bb]?|bit)|[0-9]{2,4}-?[0-9]{2}-?[0-9]{2}T.*|UTC[+-].*",
            "[0-9A-Za-z._+-]+@(?:[0-9A-Za-z-]+(?:[.][0-9A-Za-z-]+)+|[0-9a-f]{6,8}|[a-z]+)",  # X@6eb01f46
            f"[^@]*[.]{_ENDINGS}[:]?",
            "(?:sha(?:1|224|256|384|512)|md5)-.*|iVBORw.*|MII[A-Z].*|AAAA.*|data:.*|eyJ.*|-*WebKitForm.*",
            "[$%][A-Za-z_]+.*|[.]{2,}.*|tmp[0-9A-Za-z_]{4,10}|1Password|[A-Za-z]+[0-9]?@%.*",
            "[A-Za-z]+-[0-9]{1,2}[A-Z]?(?:-[a-z]+)?|[A-Za-z]+(?:[+][A-Za-z0-9]+)+",  # java-17-openjdk
            "[a-z]{2,12}(?:-[a-z0-9]{2,12}){0,3}-[0-9a-f]{8,10}-[0-9a-z]{4,5}",  # a pod
            "[A-Z0-9]{2,6}(?:-[A-Z0-9]{2,6})+|[A-Z][A-Z0-9]{0,8}|[a-z]{2,}[0-9]{1,3}|[a-z]+[0-9]",
            "(?:[A-Za-z]{1,10}[_-][0-9]{1,2}|[a-z]{1,10}[_-][0-9]{1,4})[a-z]?|[a-z]+(?:_[a-z]+)+_[0-9]{3,}",
            "(?:[a-z]{1,12}_)+[0-9A-Za-z]{10,31}|[a-z]{2,12}-(?:[0-9]+-)?[0-9A-Za-z]{16,31}",  # ids of a kind
            "[a-z]{1,12}(?:_[a-z]{1,12})*[_-](?:[0-9]+-)?[0-9a-z]{32,}",
            "(?:cus|sub|in|inv|pi|ch|re|evt|price|prod|acct|seti|pm|txn|req|item|msg|run|call|conv|org|proj|step|thread"
            "|asst|file|batch|resp|order|toolu|ctag[0-9]*)[_.][0-9A-Za-z]{4,}",  # of Stripe, of models
            "c[0-9a-z]{24}(?:_.*)?|[a-z]{2,8}_[a-z]{1,8}[0-9]{1,2}",
            "[A-Z][a-z]{2,9}[0-9](?:[A-Z][a-z]+)?|[a-z]{4,}[0-9][a-z]|[A-Z]{2,}[#^][0-9]+",  # Jinja2, PKCS#8
            "[a-z0-9-]+(?:[.][a-z0-9-]+){2,}|[A-Za-z]{2,6}[+][A-Za-z]",  # host, Ctrl+C
            "[A-Za-z]{2,}[+*!?~=-]+|[$@#%&!*+?~^-]+[A-Za-z_.-]+[0-9]?[!?:]?|%[0-9A-F]{2}.*",
            "[A-Za-z.]+(?:%[0-9A-F]{2}[A-Za-z.]+)+|.*[+]0x[0-9a-f]+|[^0-9A-Za-z]*[0-9._+-]*[^0-9A-Za-z]*",
        )
    )
)
"""What is a name, a number or a hash, however it looks otherwise."""
_is_words = linear.fully(
    "|".join(
        (
            "(?:\\p{Lu}\\p{Ll}{2,11}){1,3}[-_.]?[0-9]{2,4}[!#?.*$]?",  # Falcon9723
            "\\pL{3,11}(?:[-_.]\\pL{3,11}){1,4}[-_.]?[0-9]{2,4}[!#?.*$]?",
            "\\p{Lu}\\p{Ll}{2,11}[_.-][0-9]{3,4}[a-z]?|[a-z]{4,12}[0-9]{4}",
            "\\p{Lu}\\p{Ll}{3,11}[0-9]{1,4}[!#?*$]+",
            "\\p{Lu}{4,}[@#!$][0-9]{2,4}[a-z]{1,4}|\\pL{3,}[!@#$%^&*][0-9A-Za-z]+[0-9!]{2}",
            "[A-Za-z]{1,9}(?:[013457]{1,2}[a-z]{1,12}){1,4}(?:[A-Z][a-z]{2,8}){0,2}(?:[-_.~][A-Za-z]{1,10}){0,3}"
            "(?:[-_.]?[0-9]{1,6})?[!#?*$]?",
            "[A-Za-z]{2,12}[-_](?:[A-Z]?[a-z]{1,6}[013457]){1,3}[a-z]{1,9}(?:[-_][A-Za-z]{1,10}){0,2}",
            "[a-z]?[0-9][-_]\\p{Lu}\\p{Ll}{3,}(?:[-_]\\p{Lu}\\p{Ll}{3,})*|[a-z]{4,11}[0-9]{1,4}[a-z]{3,12}",
            "\\p{Lu}\\p{Ll}{2,11}(?:[-_.!&]\\p{Lu}\\p{Ll}{2,11}){1,3}[-_.]?[0-9]{1,4}[!#?]?",
            "\\p{Lu}\\p{Ll}{2,11}(?:[-_.]\\pL{3,11}){1,3}[-_.]?[0-9][!#?]?|\\pL{3,}[0-9]{1,4}[!@#$%&*]\\pL{2,}",
            "\\p{Lu}\\p{Ll}{2,11}[!%&~][\\pL0-9]{3,12}|(?:[A-Z][a-z]{2,8}){1,3}[0-9](?:[A-Z][a-z]{2,8}){1,2}",
            "\\pL{2,11}(?:[-_.]\\pL{2,11}){1,3}[-_.][0-9]{1,4}[-_.]\\pL{2,11}",
        )
    )
)
_is_term = linear.searcher(
    any_case(
        "utf-?[0-9]|ucs-?[0-9]|sha-?[0-9]|md[45]|https?[0-9]|ipv?[46]|base(?:16|32|58|64|85)|u?int(?:8|16|32|64)"
        "|float(?:16|32|64)|win(?:32|64)|x86|amd64|a?arch64|arm(?:v[0-9]|64|hf)|aes-?[0-9]|rsa-?[0-9]"
        "|ed(?:25519|448)|x25519|pkcs|p256|tlsv?1|ssl[23]|socks[45]|oauth[12]?|i18n|l10n|m2m|a11y|k8s|hdf5|netcdf"
        "|h26[45]|mp[34]|ec2|route53|py(?:thon)?[23]|crc(?:16|32)|xml[0-9+]|html[0-9+]|e2fs|ext[234]|log4j|slf4j"
        "|neo4j|web3|gpt-?[0-9]|llama-?[0-9]|claude|gemini|qwen|hmac|pbkdf2|bcrypt|scrypt|argon2|iso-?8859|latin1"
        "|cp125|gb18030|rfc ?[0-9]|b2b|p2p|gfdl-|l?gpl|bsd-|cc-by|ideograph|ctrl[+]|removedin|sqlite3|psycopg"
    )
    + "|[a-z]2[a-z]{3}|[a-z_][23][dD](?:_|$)|lib[a-z]{2,8}[0-9]"
    "|^[A-Za-z_]+[0-9]*(?:[.][A-Za-z_]+[0-9]*){2,}$|^[A-Za-z_]{1,16}[0-9]{0,2}[.][A-Za-z_]+[0-9]?$"  # a.b.c
    "|^[a-z]+(?:[A-Z][a-z]+)+$|(?:[A-Z][a-z]{2,}){2,}"
)
"""Names of formats and algorithms, which hold digits, and names in code."""
_has_digit = linear.searcher("[0-9]")
_has_mark = linear.searcher("[0-9A-Za-z][!@#$^~][0-9A-Za-z]")
_has_capital_or_mark = linear.searcher("[A-Z!@#$%^&*~+]")
_is_odd = linear.searcher("[a-z][A-Z].*[a-z][A-Z]|[A-Z]{2}[a-z][A-Z]|[A-Z][a-z][A-Z]{2}")
_is_capitals = linear.fully("[0-9A-Z_.-]+")


@lru_cache(maxsize=4096)
def grade(value: bytes) -> int:
    """Return how much a value, in UTF-8 and not empty, looks like a secret: one of the grades."""
    if (value.isalpha() and value.islower()) or value.isdigit() or _is_name(value):
        return NOTHING
    is_mixed = _has_digit(value) or _has_mark(value)
    if not is_mixed and not _is_odd(value):
        return NOTHING
    bits = surprise(value)
    least = _RANDOM_BITS if is_mixed else _ODD_BITS
    if bits < _NO_TERM_BITS and _is_term(value):
        return WEAK if _is_words(value) else NOTHING
    if _is_capitals(value):
        return WEAK if bits >= _RANDOM_BITS and len(value) >= _CODE_LENGTH else NOTHING
    if bits >= least and len(value) >= _RANDOM_LENGTH and _has_capital_or_mark(value):
        return SURE
    if is_mixed and bits >= _MIXED_BITS:
        return LIKELY
    return WEAK if _is_words(value) else NOTHING
