"""How likely a word of a text is a secret, or a telephone number: a sum of weights of what is seen.

What goes here: what is seen around a value, and its score. What does not: what is seen of the value alone
(`values_seen.py`), words and their kinds (`word_kinds.py`), which words are scored (`shapes.py`,
`spoken_numbers.py`), the weights (`likelihood.json`, fitted by `benchmarks/redaction_fit.py`).

A logistic regression: each thing seen has a weight, in logits. What is seen: the value's shape, what stands
right before and behind it, the words of its line and of the two lines above, and how far the nearest word of
each kind is. Each of these is looked at for itself, and remembered with its weight, since texts say the same
over and over; what is seen twice counts twice.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from fl_assets.events.redaction.values_seen import Value, seen_of_number, seen_of_secret
from fl_assets.events.redaction.word_kinds import KINDS, NUMBER_SIGNS, SIGNS, Word, parts_and_kinds

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
def _fitted() -> dict[str, dict[str, float]]:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["weights"]


@lru_cache(maxsize=2048)
def _between(text: bytes) -> str:
    """Return what stands between two words, in short."""
    for quote in (b"\xe2\x80\x9c", b"\xe2\x80\x9d", b"\xc2\xab", b"\xc2\xbb", b"'", b"`"):
        text = text.replace(quote, b'"')
    lines = text.decode(errors="replace").split("\n")
    return "\n".join(" ".join(f"-{line}-".split())[1:-1] for line in (lines[0], lines[-1])[: len(lines)])[-6:]


class Likelihood:
    """The scores of values of one sort.

    Args:
        name: of its weights.
        seen_of: gives what is seen of a value alone.
        signs: kinds of words near which such values are.
    """

    def __init__(self, name: str, seen_of: Callable[[bytes], Value], signs: tuple[str, ...]) -> None:
        self._name, self._seen_of, self._signs = name, seen_of, signs
        self.use(None)

    def use(self, weights: dict[str, float] | None) -> None:
        """Score by some weights, or by those that were fitted; what was remembered with others is gone."""
        self._weights = weights
        self._value = lru_cache(maxsize=16384)(self._see_value)
        self._edges = lru_cache(maxsize=4096)(self._see_edges)
        self._next = lru_cache(maxsize=8192)(self._see_next)
        self._before = lru_cache(maxsize=8192)(self._see_before)
        self._behind = lru_cache(maxsize=8192)(self._see_behind)
        self._nearest = lru_cache(maxsize=8192)(self._see_nearest)
        self._near = lru_cache(maxsize=4096)(self._see_near)

    @property
    def weights(self) -> dict[str, float]:
        """The weight, in logits, of each thing that may be seen."""
        if self._weights is None:
            self._weights = _fitted()[self._name]
        return self._weights

    def _piece(self, *names: str) -> Piece:
        get = self.weights.get
        return names, sum([get(name, 0.0) for name in names])

    def _see_value(self, value: bytes) -> tuple[Piece, str, str, str]:
        seen, *weighed = self._seen_of(value)
        return self._piece(*seen), weighed[0], weighed[1], weighed[2]

    def _see_edges(self, before: str, behind: str, kind: str) -> Piece:
        sides = f"<{before[-2:]}|>{behind[:2]}"
        return self._piece(f"<{before}", f"<{before}|{kind}", f">{behind[:3]}", sides, "always")

    def _see_next(self, word: bytes, kind: str) -> Piece:
        """Return what is seen of the word right before a value of a kind."""
        *others, last = parts_and_kinds(word)[0]
        more = [f"1- {part}" for part in others[-3:]]
        return self._piece(f"1 {last}", f"1 {last}|{kind}", f"1 ..{last[-4:]}", *more)

    def _see_before(self, word: bytes, where: str) -> Piece:
        parts = parts_and_kinds(word)[0]
        return self._piece(*(f"{where} {part}" for part in (parts[-2:] if where == "above" else parts[-3:])))

    def _see_behind(self, word: bytes, step: int, graded: str) -> Piece:
        parts, kinds = parts_and_kinds(word)
        seen = [f"-{min(step, 2)} {part}" for part in parts[:2]]
        return self._piece(*seen, *(f"{kind} behind {min(step, 4)}|{graded}" for kind in kinds))

    def _see_nearest(
        self, kind: str, distance: str, graded: str, shape: str, length: str, before: str
    ) -> Piece:
        """Return what is seen of the nearest word of a kind before a value."""
        there = f"{kind} {distance}"
        seen = [there, f"{there}|{graded}"]
        if kind in self._signs:
            seen += [f"{there}|{shape}", f"{there}|{before}", f"{there}|{length}"]
        return self._piece(*seen)

    def _see_near(self, kinds: frozenset[str], graded: str, kind: str, before: str) -> Piece:
        """Return what is seen of the kinds of all words before a value."""
        seen = [f"no {one}" for one in KINDS[:-1] if one not in kinds]
        signs = f"near {'+'.join(one[:2] for one in self._signs if one in kinds)}"
        return self._piece(*seen, signs, f"{signs}|{graded}|{kind}", f"{signs}|{before}|{kind}")

    def _seen_beside(self, text: bytes, words: list[Word], place: int) -> tuple[list[Piece], str]:
        """Return what is seen right beside a word, and what stands between it and the one before."""
        start, end, value = words[place]
        kind = self._value(value)[2].partition(":")[0]
        before = _between(text[words[place - 1][1] if place else max(start - _EDGE, 0) : start])
        behind = _between(text[end : words[place + 1][0] if place + 1 < len(words) else end + _EDGE])
        seen = [self._edges(before, behind, kind)]
        if place and b"\n" not in text[words[place - 1][1] : start]:
            seen.append(self._next(words[place - 1][2], kind))
        return seen, before

    def _seen_behind(self, text: bytes, words: list[Word], place: int, graded: str) -> list[Piece]:
        """Return what is seen behind a word in its line."""
        seen: list[Piece] = []
        edge = words[place][1]
        for step in range(1, min(len(words) - place, _WORDS_BEHIND + 1)):
            first, last, word = words[place + step]
            if b"\n" in text[edge:first]:
                break
            edge = last
            seen.append(self._behind(word, step, graded))
        return seen or [self._before(b"line", "last in")]

    def _seen_further(self, text: bytes, words: list[Word], place: int, before: str) -> list[Piece]:
        """Return what is seen around a word, but for what is right beside it."""
        _, graded, shape, length = self._value(words[place][2])
        near: dict[str, str] = {}
        lines, edge = 0, words[place][0]
        seen = self._seen_behind(text, words, place, graded)
        for step in range(1, min(place, _WORDS_BEFORE) + 1):
            first, last, word = words[place - step]
            new = text.count(b"\n", last, edge)
            edge = first
            if new and not lines:
                seen.append(self._before(b"line", f"first in {min(step, 3)}"))
            lines += new
            if lines > _LINES_ABOVE:
                break
            for kind in parts_and_kinds(word)[1]:
                near.setdefault(kind, f"above{lines}" if lines else str(min(step, 6)))
            if lines:
                seen.append(self._before(word, "above"))
            elif step > 1:
                seen.append(self._before(word, str(min(step, 3))))
        seen += [self._nearest(*one, graded, shape, length, before[-2:]) for one in near.items()]
        seen.append(self._near(frozenset(near), graded, shape.partition(":")[0], before[-2:]))
        return seen

    def is_possible(self, value: bytes) -> bool:
        """Tell whether a value may be one at all, whatever is around it."""
        return self._value(value)[0][1] >= _LEAST_ALONE

    def score(self, text: bytes, words: list[Word], place: int) -> float:
        """Return how likely a word of a text is one, in logits: above 0, more likely than not."""
        total = self._value(words[place][2])[0][1]
        if total < _LEAST_ALONE:
            return UNLIKELY
        beside, before = self._seen_beside(text, words, place)
        total += sum([one[1] for one in beside])
        if total < _LEAST_FIRST:
            return UNLIKELY
        return total + sum([one[1] for one in self._seen_further(text, words, place, before)])

    def seen_of(self, text: bytes, words: list[Word], place: int) -> list[str]:
        """Return all that is seen of a word of a text, by names that have weights."""
        beside, before = self._seen_beside(text, words, place)
        pieces = [self._value(words[place][2])[0], *beside, *self._seen_further(text, words, place, before)]
        return [name for names, _ in pieces for name in names]


SECRETS = Likelihood("secret", seen_of_secret, SIGNS)
NUMBERS = Likelihood("number", seen_of_number, NUMBER_SIGNS)
