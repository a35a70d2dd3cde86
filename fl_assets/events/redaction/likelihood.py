"""How likely a word of a text is a secret: a sum of weights of what is seen of it and around it.

What goes here: what is seen of a word, and its score. What does not: words and their kinds
(`word_kinds.py`), which words are scored (`shapes.py`), the weights (`likelihood.json`, fitted by
`benchmarks/redaction_fit.py` on labelled texts).

A logistic regression: each thing seen has a weight, in logits. What is seen: the value's shape and grade
(`surprise.py`), what stands right before and behind it, the words of its line and of the two lines above,
and how far the nearest word of each kind is. Each of these is looked at for itself, and remembered with its
weight, since texts say the same over and over; what is seen twice counts twice.
"""

import json
from functools import lru_cache
from pathlib import Path

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.surprise import NOTHING, grade, surprise
from fl_assets.events.redaction.word_kinds import KINDS, SIGNS, Word, parts_and_kinds

_WORDS_BEFORE, _WORDS_BEHIND, _LINES_ABOVE, _EDGE = 12, 6, 2, 6
"""How many words before and behind one and lines above it are looked at, and bytes at the edge of a text."""
_LEAST_ALONE, _LEAST_FIRST = -4.2, -2.9
"""Least that a value adds to its score for what is right beside it to be looked at, and least of both for all
else to be: one in two hundred secrets adds less, and nine of ten others."""
UNLIKELY = -99.0
"""The score of what was not looked at any further."""
Piece = tuple[tuple[str, ...], float]
"""What is seen, by names that have weights, and the sum of these."""


@lru_cache(maxsize=1)
def weights() -> dict[str, float]:
    """Return the weight, in logits, of each thing that may be seen."""
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["weights"]


def _piece(*names: str) -> Piece:
    get = weights().get
    return names, sum([get(name, 0.0) for name in names])


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


@lru_cache(maxsize=16384)
def _value(value: bytes) -> tuple[Piece, str, str, str]:
    """Return what is seen of a value alone; its grade, its type with its kinds of characters, its length."""
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
    return _piece(*seen), graded, shape, f"{kind}|{length}"


@lru_cache(maxsize=2048)
def _between(text: bytes) -> str:
    """Return what stands between two words, in short."""
    for quote in (b"\xe2\x80\x9c", b"\xe2\x80\x9d", b"\xc2\xab", b"\xc2\xbb", b"'", b"`"):
        text = text.replace(quote, b'"')
    lines = text.decode(errors="replace").split("\n")
    return "\n".join(" ".join(f"-{line}-".split())[1:-1] for line in (lines[0], lines[-1])[: len(lines)])[-6:]


@lru_cache(maxsize=4096)
def _edges(before: str, behind: str, kind: str) -> Piece:
    return _piece(
        f"<{before}", f"<{before}|{kind}", f">{behind[:3]}", f"<{before[-2:]}|>{behind[:2]}", "always"
    )


@lru_cache(maxsize=8192)
def _next_before(word: bytes, kind: str) -> Piece:
    """Return what is seen of the word right before one of a kind."""
    *others, last = parts_and_kinds(word)[0]
    return _piece(
        f"1 {last}", f"1 {last}|{kind}", f"1 ..{last[-4:]}", *(f"1- {part}" for part in others[-3:])
    )


@lru_cache(maxsize=8192)
def _before(word: bytes, where: str) -> Piece:
    parts = parts_and_kinds(word)[0]
    return _piece(*(f"{where} {part}" for part in (parts[-2:] if where == "above" else parts[-3:])))


@lru_cache(maxsize=8192)
def _behind(word: bytes, step: int, graded: str) -> Piece:
    parts, kinds = parts_and_kinds(word)
    return _piece(
        *(f"-{min(step, 2)} {part}" for part in parts[:2]),
        *(f"{kind} behind {min(step, 4)}|{graded}" for kind in kinds),
    )


@lru_cache(maxsize=8192)
def _nearest(kind: str, distance: str, graded: str, shape: str, length: str, before: str) -> Piece:
    """Return what is seen of the nearest word of a kind before a value."""
    there = f"{kind} {distance}"
    seen = [there, f"{there}|{graded}"]
    if kind in SIGNS:
        seen += [f"{there}|{shape}", f"{there}|{before}", f"{there}|{length}"]
    return _piece(*seen)


@lru_cache(maxsize=4096)
def _near(kinds: frozenset[str], graded: str, kind: str, before: str) -> Piece:
    """Return what is seen of the kinds of all words before a value."""
    signs = "+".join(one[:2] for one in SIGNS if one in kinds)
    return _piece(
        *(f"no {one}" for one in KINDS[:-1] if one not in kinds),
        f"near {signs}",
        f"near {signs}|{graded}|{kind}",
        f"near {signs}|{before}|{kind}",
    )


def _seen_behind(text: bytes, words: list[Word], place: int, graded: str) -> list[Piece]:
    """Return what is seen behind a word in its line."""
    seen: list[Piece] = []
    edge = words[place][1]
    for step in range(1, min(len(words) - place, _WORDS_BEHIND + 1)):
        first, last, word = words[place + step]
        if b"\n" in text[edge:first]:
            break
        edge = last
        seen.append(_behind(word, step, graded))
    return seen or [_before(b"line", "last in")]


def _seen_further(text: bytes, words: list[Word], place: int, before: str) -> list[Piece]:
    """Return what is seen around a word, but for what is right beside it."""
    _, graded, shape, length = _value(words[place][2])
    near: dict[str, str] = {}
    lines, edge = 0, words[place][0]
    seen: list[Piece] = []
    for step in range(1, min(place, _WORDS_BEFORE) + 1):
        first, last, word = words[place - step]
        new = text.count(b"\n", last, edge)
        edge = first
        if new and not lines:
            seen.append(_before(b"line", f"first in {min(step, 3)}"))
        lines += new
        if lines > _LINES_ABOVE:
            break
        for kind in parts_and_kinds(word)[1]:
            near.setdefault(kind, f"above{lines}" if lines else str(min(step, 6)))
        if lines:
            seen.append(_before(word, "above"))
        elif step > 1:
            seen.append(_before(word, str(min(step, 3))))
    seen += _seen_behind(text, words, place, graded)
    seen += [_nearest(*one, graded, shape, length, before[-2:]) for one in near.items()]
    seen.append(_near(frozenset(near), graded, shape.partition(":")[0], before[-2:]))
    return seen


def _seen_beside(text: bytes, words: list[Word], place: int) -> tuple[list[Piece], str]:
    """Return what is seen right beside a word, and what stands between it and the one before."""
    start, end, value = words[place]
    kind = _value(value)[2].partition(":")[0]
    before = _between(text[words[place - 1][1] if place else max(start - _EDGE, 0) : start])
    behind = _between(text[end : words[place + 1][0] if place + 1 < len(words) else end + _EDGE])
    seen = [_edges(before, behind, kind)]
    if place and b"\n" not in text[words[place - 1][1] : start]:
        seen.append(_next_before(words[place - 1][2], kind))
    return seen, before


def is_possible(value: bytes) -> bool:
    """Tell whether a value may be a secret at all, whatever is around it."""
    return _value(value)[0][1] >= _LEAST_ALONE


def score(text: bytes, words: list[Word], place: int) -> float:
    """Return how likely a word of a text is a secret, in logits: above 0, more likely than not."""
    total = _value(words[place][2])[0][1]
    if total < _LEAST_ALONE:
        return UNLIKELY
    beside, before = _seen_beside(text, words, place)
    total += sum([one[1] for one in beside])
    if total < _LEAST_FIRST:
        return UNLIKELY
    return total + sum([one[1] for one in _seen_further(text, words, place, before)])


def seen_of(text: bytes, words: list[Word], place: int) -> list[str]:
    """Return all that is seen of a word of a text, by names that have weights."""
    beside, before = _seen_beside(text, words, place)
    pieces = [_value(words[place][2])[0], *beside, *_seen_further(text, words, place, before)]
    return [name for names, _ in pieces for name in names]


def forget() -> None:
    """Forget what was remembered with weights that are no longer those that count."""
    for one in (_value, _edges, _next_before, _before, _behind, _nearest, _near):
        one.cache_clear()
