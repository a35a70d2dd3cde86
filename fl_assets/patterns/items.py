"""Skeletons as tuples of word numbers, what each generalises to, and which are linked.

What goes here: items, and how those that agree but for a word are found. What does not: when a word varies
(`places.py`, `values.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fl_assets.patterns.words import (
    CODE,
    EXCEPTION_NAME,
    FILLERS,
    IDENTIFIER,
    INTRODUCES,
    PLAIN,
    TELLS,
    singular_of,
)

STAR = 0  # token number of a variable
MAX_LENGTH = 512
"""More words than a masked message has."""

Item = tuple[int, ...]


class Links:
    """Union-find over numbered items; the smaller number is the root, so that the result has no order."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def add(self) -> int:
        """Return the number of a new item, which is linked to none."""
        self.parent.append(len(self.parent))
        return self.parent[-1]

    def root(self, item: int) -> int:
        """Return the smallest item that this one is linked to."""
        parent = self.parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Link two items."""
        a, b = self.root(one), self.root(other)
        if a != b:
            self.parent[max(a, b)] = min(a, b)


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (splitmix64, Steele et al. 2014)."""
    z = values * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Words:
    """Every word of every item, one entry each; `lengths` and `constants` have one entry per item."""

    token: np.ndarray
    item: np.ndarray
    place: np.ndarray
    lengths: np.ndarray
    hash_without: np.ndarray
    is_certain: np.ndarray
    constants: np.ndarray


@dataclass(frozen=True)
class Buckets:
    """Words whose items agree in all but that word: rows ordered by bucket, and where each bucket begins."""

    rows: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @property
    def several(self) -> np.ndarray:
        """Which buckets have more than one row."""
        return self.size > 1

    def rows_of(self, bucket: int) -> np.ndarray:
        """Return the rows of one bucket."""
        return self.rows[self.start[bucket] : self.start[bucket] + self.size[bucket]]

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Return how many words of each bucket are in the mask."""
        return np.add.reduceat(mask[self.rows].astype(np.int64), self.start)


def buckets_of(key: np.ndarray, usable: np.ndarray) -> Buckets | None:
    """Return the usable rows by their key; nothing where no row is usable."""
    rows = np.flatnonzero(usable)
    if not len(rows):
        return None
    rows = rows[np.argsort(key[rows], kind="stable")]
    start = np.flatnonzero(np.r_[True, key[rows][1:] != key[rows][:-1]])
    return Buckets(rows, start, np.diff(np.r_[start, len(rows)]))


class Items:
    """What the least fixed point of "a word that varies is a variable" is found over: tuples of word numbers.

    Items are skeletons and what they generalise to. Nothing is ever taken back: rounds only add items, links
    and knowledge of which variables are certain, and every condition is a count that can only grow. So the
    outcome depends on neither the order nor the company of messages: more of them never split a group.
    """

    def __init__(self, skeletons: Sequence[tuple[str, ...]]) -> None:
        vocabulary: dict[str, int] = {"*": STAR}
        self.links = Links()
        self.number: dict[Item, int] = {}
        self.tuples: list[Item] = []
        # Bit i: the variable at place i of the item was once a number, path or address, or has been mined.
        self.certain: list[int] = []
        numbers = []
        for words in skeletons:
            tokens = tuple(
                STAR if word in "*?" else vocabulary.setdefault(word, len(vocabulary)) for word in words
            )
            numbers.append(
                self.add(tokens, sum(1 << place for place, word in enumerate(words) if word == "*"))
            )
        singular = {
            number: vocabulary.setdefault(singular_of(word), len(vocabulary))
            for word, number in list(vocabulary.items())
        }
        names = list(vocabulary)
        self.numbers = numbers
        self.singular = [singular.get(number, number) for number in range(len(names))]
        self.is_key = np.array([False, *(word.endswith("=") for word in names[1:])])
        self.is_fixed = self.is_key | np.array(
            [False, *(bool(EXCEPTION_NAME.search(word)) for word in names[1:])]
        )
        self.introduces = np.array([False, *(word.lower() in INTRODUCES for word in names[1:])])
        self.is_filler = np.array([False, *(word in FILLERS for word in names[1:])])
        self.is_plain = np.array([False, *(bool(PLAIN.fullmatch(word)) for word in names[1:])])
        self.tells = self.is_fixed | np.array([False, *(bool(TELLS.search(word)) for word in names[1:])])
        self.is_identifier = (
            np.array([False, *(bool(IDENTIFIER.search(word)) for word in names[1:])]) & ~self.tells
        )
        is_code = np.array([False, *(bool(CODE.match(word)) for word in names[1:])])
        self.may_be_name = ~self.tells & ~is_code
        self.is_name = self.is_identifier & self.may_be_name
        self.token = vocabulary
        self.conjunctions = frozenset(vocabulary[word] for word in ("and", "or") if word in vocabulary)

    @property
    def size(self) -> tuple[int, int]:
        """How many items there are, and how much is known of their variables: grows with every change."""
        return len(self.tuples), sum(self.certain)

    def add(self, tokens: Item, certain: int) -> int:
        """Return the number of an item, which is new unless it is known.

        Neighbouring variables become one, which is certain.
        """
        item, bits = [], 0
        for place, token in enumerate(tokens):
            if token == STAR and item and item[-1] == STAR:
                bits |= 1 << (len(item) - 1)
                continue
            bits |= (certain >> place & 1) << len(item)
            item.append(token)
        key = tuple(item)
        number = self.number.get(key)
        if number is None:
            number = self.number[key] = self.links.add()
            self.tuples.append(key)
            self.certain.append(bits)
        else:
            self.certain[number] |= bits
        return number

    def generalise(self, members: Sequence[int], places: Sequence[int]) -> None:
        """Link items of one length that agree outside of the places, and make those places variables."""
        tokens, certain = list(self.tuples[members[0]]), sum(1 << place for place in places)
        for place in places:
            tokens[place] = STAR
        for member in members:
            certain |= self.certain[member]
        general = self.add(tuple(tokens), certain)
        for member in members:
            self.links.join(general, member)

    def words(self) -> Words:
        """Return every word of every item, with a hash of its item without it."""
        tuples = self.tuples
        lengths = np.fromiter((len(item) for item in tuples), np.int64, len(tuples))
        token = np.fromiter((token for item in tuples for token in item), np.int64, int(lengths.sum()))
        owner = np.repeat(np.arange(len(tuples)), lengths)
        place = np.arange(len(token)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        bits = (
            certain >> at & 1
            for item, certain in zip(tuples, self.certain, strict=True)
            for at in range(len(item))
        )
        with np.errstate(over="ignore"):
            mixed = mix((token * MAX_LENGTH + place + 1).astype(np.uint64))
            whole = np.zeros(len(tuples), np.uint64)
            np.add.at(whole, owner, mixed)
            gap = mix((place + (1 << 50)).astype(np.uint64))
            length = mix((lengths[owner] + (1 << 51)).astype(np.uint64))
            hash_without = whole[owner] - mixed + gap + length
        is_certain = np.fromiter(bits, bool, len(token)) & (token == STAR)
        constants = np.bincount(owner, weights=token != STAR, minlength=len(tuples))
        return Words(token, owner, place, lengths, hash_without, is_certain, constants)
