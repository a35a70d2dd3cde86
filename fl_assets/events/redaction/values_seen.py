"""What is seen of a value alone that may be a secret, or a telephone number, whatever is around it.

What goes here: kinds of characters, lengths, groups of digits, by names. What does not: what these weigh
(`likelihood.py`), how random a value looks (`surprise.py`).
"""

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.surprise import NOTHING, grade, surprise

Value = tuple[list[str], str, str, str]
"""What is seen of a value alone, and three of these that are weighed with what is around it; the second has
its type before a colon."""
_TYPES = {
    "digits": "[0-9]+[#*]?",
    "hex": "(?:0x)?[0-9a-fA-F]{8,}",
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-.*",
    "date": "(?:19|20)[0-9]{2}[-/.]?[01][0-9].*",
    "version": "v?[0-9]+(?:[.-][0-9]+)+.*",
    "groups": "[0-9A-Z]{4,6}(?:-[0-9A-Z]{4,6}){2,}",
    "file": "[^@]*[.][a-z][a-z0-9]{1,4}",
    "name": "[A-Za-z]+(?:_[A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z0-9]+)+|[a-z]+(?:-[a-z]+)+",
    "letters": "\\pL+[.!?]?",
}
_MARKS = {"a": "\\p{Ll}", "A": "\\p{Lu}", "0": "[0-9]", "-": "[-_.]", "!": "[^\\pL0-9_.-]"}
_look = linear.any_of([*(f"^(?:{one})$" for one in _TYPES.values()), *_MARKS.values()])
_PLAIN = [list(_TYPES).index("letters"), len(_TYPES)]
"""How small letters alone look."""
_TYPE_NAMES, _MARK_NAMES = [*_TYPES, "mixed"], "".join(_MARKS)
_LENGTHS = (3, 4, 5, 6, 7, 9, 12, 16, 24, 40, 1 << 30)


def seen_of_secret(value: bytes) -> Value:
    """Return what is seen of what may be a secret; its grade, type with kinds of characters, length."""
    length = f"l{next(i for i, most in enumerate(_LENGTHS) if len(value) <= most)}"
    looks = _PLAIN if value.isalpha() and value.islower() else sorted(_look(value))
    kinds = "".join([_MARK_NAMES[one - len(_TYPES)] for one in looks if one >= len(_TYPES)])
    bits = f"b{min(int(surprise(value) * 1.5), 14)}"
    kind = _TYPE_NAMES[min(looks[0], len(_TYPES)) if looks else -1]
    graded = f"g{grade(value) if len(value) > 3 else NOTHING}"
    shape = f"{kind}:{kinds}"
    seen = [graded, length, kinds, bits, kind, shape, f"{shape}|{graded}", f"{kind}|{length}"]
    seen += [f"{kinds}|{length}", f"{kinds}|{bits}", f"first {value[:1]!r}", f"last {value[-1:]!r}"]
    if kind == "letters":
        low = value.decode(errors="replace").lower().rstrip(".!?")
        seen += [f"is {low}", f"ends {low[-3:]}"]
    return seen, graded, shape, f"{kind}|{length}"


_is_date = linear.searcher(
    "^(?:(?:19|20)[0-9]{2}[-./ ]?[01][0-9][-./ ]?[0-3][0-9]"
    "|[0-3]?[0-9][-./ ][0-3]?[0-9][-./ ](?:19|20)[0-9]{2})"
)
_groups_in = linear.finder("[0-9]+")


def seen_of_number(value: bytes) -> Value:
    """Return what is seen of what may be a telephone number; how many digits, how it begins, its groups."""
    groups = [value[a:b] for a, b in _groups_in(value)]
    digits = b"".join(groups).decode()
    begin = next((one for one in ("+", "(", "00", "0") if value.startswith(one.encode())), "1")
    signs = "".join(sorted({chr(sign) for sign in value if not 48 <= sign <= 57}))
    count, sizes = f"n{len(digits)}", "-".join(str(len(group)) for group in groups)
    shape = f"{begin}:{signs}"
    seen = [count, begin, signs, sizes, shape, f"{begin}|{count}", f"{begin}|{sizes}", f"{shape}|{count}"]
    seen += [f"first {digits[:1]}", f"first {digits[:2]}", f"groups {min(len(groups), 6)}|{begin}"]
    if _is_date(value):
        seen.append("date")
    if len(groups) == 1 and len(digits) in (10, 13) and digits[:2] in ("15", "16", "17", "18"):
        seen.append("time")
    if digits.endswith("000"):
        seen.append("round")
    return seen, count, shape, sizes
