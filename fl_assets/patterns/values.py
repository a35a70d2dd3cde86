"""Where a value stands that nothing masks: names, lists of any length, values that may be missing.

What goes here: rules over items that need not be of one length. What does not: a word that varies
(`places.py`), the items themselves (`items.py`).
"""

from collections import defaultdict

import numpy as np

from fl_assets.patterns.items import MAX_LENGTH, STAR, Item, Items, Words, buckets_of, mix
from fl_assets.patterns.places import (
    MANY_CONSTANTS,
    MIN_CONSTANTS,
    MIN_CONSTANTS_BESIDE,
    MIN_IDENTIFIERS,
    MIN_WORDS,
    SOME_CONSTANTS,
)

LONGEST_GAP = 3
LONGEST_REPEAT = 8


class Names:
    """Items that agree in everything but names are one: a run of names and variables is one place.

    Of the first place, the subject, it takes six names.
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        self.done = 0
        self.first: dict[Item, int] = {}
        self.subjects: dict[Item, dict[int, int]] = defaultdict(dict)

    def vary_in_brackets(self, number: int, words: frozenset[str]) -> None:
        """Let the words that a message of an item has between brackets be names, too."""
        tokens = frozenset(self.items.token[word] for word in words if word in self.items.token)
        shape = self._shape(self.items.tuples[number], tokens)
        if sum(token != STAR for token in shape) >= MIN_CONSTANTS_BESIDE:
            self._link(shape, number)

    def vary(self) -> None:
        """Link and generalise the items that are new since the last call."""
        while self.done < len(self.items.tuples):
            number, item = self.done, self.items.tuples[self.done]
            self.done += 1
            shape = self._shape(item)
            if sum(token != STAR for token in shape) >= MIN_CONSTANTS_BESIDE:
                self._link(shape, number)
            if item and (item[0] == STAR or self.items.is_name[item[0]]):
                self._link_subject(self._shape((STAR, *item[1:])), item[0], number)

    def _link(self, shape: Item, number: int) -> None:
        known = self.first.setdefault(shape, number)
        if known != number:
            general = self.items.add(shape, _variables(shape))
            self.items.links.join(general, known)
            self.items.links.join(general, number)

    def _link_subject(self, shape: Item, subject: int, number: int) -> None:
        if sum(token != STAR for token in shape) < MIN_CONSTANTS_BESIDE:
            return
        subjects = self.subjects[shape]
        self.items.links.join(subjects.setdefault(subject, number), number)
        if len(subjects) > MIN_WORDS:
            general = self.items.add(shape, _variables(shape))
            for member in subjects.values():
                self.items.links.join(general, member)

    def _shape(self, item: Item, names: frozenset[int] = frozenset()) -> Item:
        """Return an item with each run of names and variables as one variable, `a, b and c` too."""
        shape: list[int] = []
        for place, token in enumerate(item):
            is_name = self.items.is_name[token] or (token in names and self.items.may_be_name[token])
            if token != STAR and not (place and is_name):
                shape.append(self.items.singular[token])
            elif len(shape) > 1 and shape[-1] in self.items.conjunctions and shape[-2] == STAR:
                shape.pop()
            elif not shape or shape[-1] != STAR:
                shape.append(STAR)
        return tuple(shape)


def _variables(shape: Item) -> int:
    return sum(1 << place for place, token in enumerate(shape) if token == STAR)


def repeats(items: Items, since: int) -> None:
    """Link items from a number on to what they are when words that repeat with a value are there once."""
    for number in range(since, len(items.tuples)):
        item = items.tuples[number]
        short = _once(item) if item.count(STAR) > 1 else item
        if short != item and sum(token != STAR for token in short) >= MIN_CONSTANTS:
            items.links.join(items.add(short, 0), number)


def _once(item: Item) -> Item:
    """Return an item in which each run of words with a variable stands once where it follows itself."""
    for size in range(2, LONGEST_REPEAT + 1):
        place = 0
        while place + 2 * size <= len(item):
            run = item[place : place + size]
            if run == item[place + size : place + 2 * size] and STAR in run:
                item = item[: place + size] + item[place + 2 * size :]
            else:
                place += 1
    return item


def gaps(items: Items, words: Words) -> None:
    """Link items that agree but for up to three words in one place inside.

    At least three such fillings of two lengths, a value or name in one, and none that tells failures apart.
    """
    item, place, size, key = _gaps(items, words)
    found = buckets_of(key, np.ones(len(key), bool))
    if found is None:
        return
    sizes = size[found.rows]
    lengths_differ = np.minimum.reduceat(sizes, found.start) < np.maximum.reduceat(sizes, found.start)
    for bucket in np.flatnonzero((found.size >= MIN_IDENTIFIERS) & lengths_differ):
        rows = found.rows_of(bucket)
        members = item[rows].tolist()
        fillings = {
            items.tuples[member][start : start + length]
            for member, start, length in zip(members, place[rows].tolist(), size[rows].tolist(), strict=True)
        }
        if any(token == STAR or items.is_name[token] for filling in fillings for token in filling):
            for member in members:
                items.links.join(members[0], member)


def _gaps(items: Items, words: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return item, first place, number of words and hash of the rest, of every place that may be a gap."""
    start = np.cumsum(words.lengths) - words.lengths
    length = words.lengths[words.item]
    with np.errstate(over="ignore"):
        front = mix((words.token * MAX_LENGTH + words.place + (1 << 52)).astype(np.uint64))
        back = mix((words.token * MAX_LENGTH + length - words.place + (1 << 53)).astype(np.uint64))
        before, behind = np.r_[np.uint64(0), np.cumsum(front)], np.r_[np.uint64(0), np.cumsum(back)]
    constant = np.r_[0, np.cumsum(words.token != STAR)]
    telling = np.r_[0, np.cumsum(items.tells[words.token])]
    found = []
    for size in range(LONGEST_GAP + 1):
        at = np.flatnonzero((words.place > 0) & (words.place + size < length))
        first, end = start[words.item[at]], start[words.item[at]] + length[at]
        rest = constant[end] - constant[first] - (constant[at + size] - constant[at])
        usable = (rest >= SOME_CONSTANTS) & (telling[at + size] == telling[at])
        at, first, end = at[usable], first[usable], end[usable]
        with np.errstate(over="ignore"):
            key = mix(before[at] - before[first]) + behind[end] - behind[at + size]
        found.append((words.item[at], words.place[at], np.full(len(at), size), key))
    item, place, size, key = (np.concatenate(column) for column in zip(*found, strict=True))
    return item, place, size, key


def missing(items: Items) -> None:
    """Link items that lack a value inside, or a key with its value, to those that have it."""
    for number in range(len(items.tuples)):
        item = items.tuples[number]
        constants = sum(token != STAR for token in item)
        for place in range(1, len(item)):
            if item[place] != STAR:
                continue
            has_key = place > 1 and items.is_key[item[place - 1]]
            if constants - has_key < (MIN_CONSTANTS_BESIDE if has_key else MANY_CONSTANTS):
                continue
            if has_key or place < len(item) - 1:
                shorter = items.number.get(item[: place - has_key] + item[place + 1 :])
                if shorter is not None:
                    items.links.join(shorter, number)
