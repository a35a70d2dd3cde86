"""Which masked messages are the same: skeletons, and the places in them where a word varies.

What goes here: from distinct masked messages to templates. What does not: masking (`sums/masking.py`, in
SQL), patterns and their ids (`grouping.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fl_assets.patterns.words import (
    EXCEPTION_NAME,
    FILLERS,
    IDENTIFIER,
    INTRODUCES,
    PIECE,
    PLACEHOLDER,
    PLAIN,
    PUNCTUATION,
    is_variable,
    skeleton,
)

STAR = 0  # token number of a variable


@dataclass(frozen=True)
class Grouping:
    """Messages grouped into templates."""

    group: np.ndarray
    """One number a message, 0 to `len(templates) - 1`; groups are numbered in the order of their
    templates."""
    templates: list[str]
    """One a group; `<*>` is what varies."""
    why: list[str]
    """One sentence a group: why its messages are one."""


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


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (splitmix64, Steele et al. 2014)."""
    z = values * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


# Evidence that a place varies. Words of prose are weak evidence (a log statement may well have five
# siblings), identifiers are better, and a number, path or address already seen in the same place is nearly
# proof.
MIN_WORDS = 5
MIN_IDENTIFIERS = 3
MIN_WORDS_AFTER_KEY = 3
MIN_CONSTANTS = 2  # words that must remain to say what the message is about
MIN_CONSTANTS_BESIDE = 4  # the same, where one word beside a variable is enough
MIN_PROPERTIES = 5
MAX_ROUNDS = 8

Item = tuple[int, ...]


@dataclass(frozen=True)
class _Words:
    """Every word of every item, one entry each; `constants` has one entry per item."""

    token: np.ndarray
    item: np.ndarray
    place: np.ndarray
    hash_without: np.ndarray
    is_certain: np.ndarray
    constants: np.ndarray


@dataclass(frozen=True)
class _Buckets:
    """Words whose items agree in all but that word: rows ordered by bucket, and where each bucket begins."""

    rows: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @property
    def several(self) -> np.ndarray:
        return self.size > 1

    def rows_of(self, bucket: int) -> np.ndarray:
        return self.rows[self.start[bucket] : self.start[bucket] + self.size[bucket]]

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Return how many words of each bucket are in the mask."""
        return np.add.reduceat(mask[self.rows].astype(np.int64), self.start)


def _buckets(key: np.ndarray, usable: np.ndarray) -> _Buckets | None:
    rows = np.flatnonzero(usable)
    if not len(rows):
        return None
    rows = rows[np.argsort(key[rows], kind="stable")]
    start = np.flatnonzero(np.r_[True, key[rows][1:] != key[rows][:-1]])
    return _Buckets(rows, start, np.diff(np.r_[start, len(rows)]))


class _Miner:
    """The least fixed point of "a word that varies is a variable", over token-number tuples.

    Items are skeletons and what they generalise to. Nothing is ever taken back: rounds only add items, links
    and knowledge of which variables are certain, and every condition is a count that can only grow. So the
    outcome depends on neither the order nor the company of messages: more of them never split a group.
    """

    def __init__(self, skeletons: Sequence[tuple[str, ...]]) -> None:
        vocabulary: dict[str, int] = {"*": STAR}
        self.links = Links()
        self.number: dict[Item, int] = {}
        self.items: list[Item] = []
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
        names = list(vocabulary)
        self.numbers = numbers
        self.is_key = np.array([False, *(word.endswith("=") for word in names[1:])])
        self.is_fixed = self.is_key | np.array(
            [False, *(bool(EXCEPTION_NAME.search(word)) for word in names[1:])]
        )
        self.introduces = np.array([False, *(word.lower() in INTRODUCES for word in names[1:])])
        self.is_plain = np.array([False, *(bool(PLAIN.fullmatch(word)) for word in names[1:])])
        self.is_identifier = (
            np.array([False, *(bool(IDENTIFIER.search(word)) for word in names[1:])]) & ~self.is_fixed
        )

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
            self.items.append(key)
            self.certain.append(bits)
        else:
            self.certain[number] |= bits
        return number

    def generalise(self, members: Sequence[int], places: Sequence[int]) -> None:
        """Link items of one length that agree outside of the places, and make those places variables."""
        tokens, certain = list(self.items[members[0]]), sum(1 << place for place in places)
        for place in places:
            tokens[place] = STAR
        for member in members:
            certain |= self.certain[member]
        general = self.add(tuple(tokens), certain)
        for member in members:
            self.links.join(general, member)

    def one_place(self) -> None:
        """Generalise items that differ in one word, where the words there are evidence enough."""
        words = self._words()
        buckets = _buckets(words.hash_without, ~self.is_fixed[words.token])
        if buckets is None:
            return
        for bucket in np.flatnonzero(buckets.several & self._varies(words, buckets)):
            members = buckets.rows_of(bucket)
            self.generalise(words.item[members].tolist(), [int(words.place[members[0]])])

    def _words(self) -> "_Words":
        """Return every word of every item, with a hash of its item without it."""
        items = self.items
        lengths = np.fromiter((len(item) for item in items), np.int64, len(items))
        token = np.fromiter((token for item in items for token in item), np.int64, int(lengths.sum()))
        owner = np.repeat(np.arange(len(items)), lengths)
        place = np.arange(len(token)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        bits = (
            certain >> at & 1
            for item, certain in zip(items, self.certain, strict=True)
            for at in range(len(item))
        )
        with np.errstate(over="ignore"):
            mixed = _mix((token * 512 + place + 1).astype(np.uint64))
            whole = np.zeros(len(items), np.uint64)
            np.add.at(whole, owner, mixed)
            gap = _mix((place + (1 << 50)).astype(np.uint64))
            length = _mix((lengths[owner] + (1 << 51)).astype(np.uint64))
            hash_without = whole[owner] - mixed + gap + length
        is_certain = np.fromiter(bits, bool, len(token)) & (token == STAR)
        constants = np.bincount(owner, weights=token != STAR, minlength=len(items))
        return _Words(token, owner, place, hash_without, is_certain, constants)

    def _varies(self, words: "_Words", buckets: "_Buckets") -> np.ndarray:
        """Say of each bucket whether the words in its place are evidence enough that they vary."""
        is_variable_here = words.token == STAR
        first = buckets.rows[buckets.start]
        different = buckets.count(~is_variable_here)
        identifiers = buckets.count(self.is_identifier[words.token])
        variables = buckets.count(is_variable_here)
        sure = buckets.count(words.is_certain)
        rest = words.constants[words.item[first]] - ~is_variable_here[first]
        follows_key = np.r_[False, self.is_key[words.token][:-1]] & (words.place > 0)
        after_key = follows_key[first]
        introduced = (np.r_[False, self.introduces[words.token][:-1]] & (words.place > 0))[first]
        plain = buckets.count(self.is_plain[words.token])
        enough = (
            (different >= MIN_WORDS)
            | (identifiers >= MIN_IDENTIFIERS)
            | (identifiers >= 2) & (rest >= MIN_CONSTANTS_BESIDE)
            | (plain >= MIN_WORDS_AFTER_KEY) & introduced & (rest >= MIN_CONSTANTS_BESIDE)
        )
        inside = (words.place[first] > 0) | (variables > 0)
        value = after_key & ((different >= MIN_WORDS_AFTER_KEY) | (identifiers + (variables > 0) > 1))
        beside = (sure > 0) & ~after_key & (rest >= MIN_CONSTANTS_BESIDE)
        return (rest >= MIN_CONSTANTS) & (enough & inside | value | beside)

    def vary_together(self) -> None:
        """Generalise items that agree in everything but identifiers and values of keys, several at once.

        Each place that has three words or more among them varies; items that differ elsewhere stay apart.
        """
        buckets: dict[Item, list[int]] = {}
        for number, item in enumerate(self.items):
            places = [
                place
                for place, token in enumerate(item)
                if place
                and (self.is_identifier[token] or (self.is_key[item[place - 1]] and not self.is_fixed[token]))
            ]
            if len(places) > 1:
                tokens = list(item)
                for place in places:
                    tokens[place] = -1
                buckets.setdefault(tuple(tokens), []).append(number)
        for shape, members in buckets.items():
            varying = [
                place
                for place, token in enumerate(shape)
                if token == -1 and len({self.items[member][place] for member in members}) >= MIN_IDENTIFIERS
            ]
            if not varying or sum(token > 0 for token in shape) < MIN_CONSTANTS:
                continue
            alike: dict[Item, list[int]] = {}
            for member in members:
                item = self.items[member]
                alike.setdefault(
                    tuple(token for place, token in enumerate(item) if place not in varying), []
                ).append(member)
            for same in alike.values():
                self.generalise(same, varying)

    def properties(self) -> None:
        """Link messages that name one property each after the same words (`environment: key=value`)."""
        buckets: dict[Item, dict[int, list[int]]] = {}
        for number, item in enumerate(self.items):
            keys = [place for place, token in enumerate(item) if self.is_key[token]]
            if len(keys) == 1 and keys[0] >= MIN_CONSTANTS:
                buckets.setdefault(item[: keys[0]], {}).setdefault(item[keys[0]], []).append(number)
        for names in buckets.values():
            if len(names) >= MIN_PROPERTIES:
                members = [number for numbers in names.values() for number in numbers]
                for member in members:
                    self.links.join(members[0], member)

    def absorb(self) -> None:
        """Link items with one word more beside a variable to those without.

        Inside a value at once, elsewhere when several words stand there.
        """
        seen: dict[tuple[int, int], set[int]] = {}
        for number, item in enumerate(self.items):
            last = len(item) - 1
            for place, token in enumerate(item):
                before, after = (
                    place > 0 and item[place - 1] == STAR,
                    place < last and item[place + 1] == STAR,
                )
                if (
                    token == STAR
                    or self.is_fixed[token]
                    or last < MIN_CONSTANTS_BESIDE
                    or not (before or after)
                ):
                    continue
                shorter = item[:place] + item[place + 1 + (before and after) :]
                target = self.number.get(shorter)
                if target is None or sum(token != STAR for token in shorter) < MIN_CONSTANTS_BESIDE:
                    continue
                if place and self.is_key[item[place - 1]]:
                    self.links.join(target, number)
                else:
                    seen.setdefault((target, place if not before else place - 1), set()).add(number)
        for (target, _), numbers in seen.items():
            if len(numbers) > 1:
                for number in numbers:
                    self.links.join(target, number)

    def groups(self) -> list[int]:
        """Return a group number for each skeleton."""
        self.vary_together()
        for _ in range(MAX_ROUNDS):
            before = len(self.items), sum(self.certain)
            self.one_place()
            if (len(self.items), sum(self.certain)) == before:
                break
        self.properties()
        self.absorb()
        return [self.links.root(number) for number in self.numbers]


def group_messages(messages: Sequence[str]) -> Grouping:
    """Group masked messages into templates, all at once and independent of their order.

    Args:
        messages: Masked errors (`signatures.mask_sql`), in any order, repeats allowed.
    """
    shapes = [skeleton(message) for message in messages]
    roots = mined(shapes)
    members: dict[int, list[int]] = {}
    for i, root in enumerate(roots):
        members.setdefault(root, []).append(i)
    templates, why = {}, {}
    for root, rows in members.items():
        templates[root], why[root] = describe(min(messages[i] for i in rows), {shapes[i] for i in rows})
    names = sorted(templates, key=lambda root: (templates[root], root))
    place = {root: i for i, root in enumerate(names)}
    return Grouping(
        np.array([place[root] for root in roots], dtype=np.int64),
        [templates[root] for root in names],
        [why[root] for root in names],
    )


def mined(shapes: Sequence[tuple[str, ...]]) -> list[int]:
    """Return a group number for each skeleton."""
    distinct = sorted(set(shapes))
    number = dict(zip(distinct, _Miner(distinct).groups(), strict=True))
    return [number[shape] for shape in shapes]


def same_words(groups: list[int], shapes: list[tuple[str, ...]]) -> list[int]:
    """Join groups of which two messages say the same words, whatever their order, case, number and fillers.

    Two such words at least, and in each the same.
    """
    links = Links()
    for _ in range(max(groups) + 1):
        links.add()
    first: dict[tuple[str, ...], int] = {}
    for group, shape in zip(groups, shapes, strict=True):
        words = {word.lower().rstrip("=") for word in shape if word not in "*?"}
        bag = tuple(
            sorted(
                {
                    word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
                    for word in words - FILLERS
                }
            )
        )
        if len(bag) > 1:
            links.join(first.setdefault((*bag, "*" * sum(word in "*?" for word in shape)), group), group)
    return [links.root(group) for group in groups]


def describe(message: str, shapes: set[tuple[str, ...]]) -> tuple[str, str]:
    """Return the template of a group, made from one of its messages, and why the group is one."""
    if len(shapes) == 1:
        return message, "All its messages are the same once numbers, ids, paths and quoted values are masked."
    common = set.intersection(*(set(shape) for shape in shapes))

    def keep(match: re.Match[str]) -> str:
        piece = match.group()
        word = piece.rstrip(".!?")
        fixed = (
            piece == "="
            or word in common
            or word + "=" in common
            or is_variable(piece)
            or PUNCTUATION.match(piece)
        )
        return piece if fixed else "<*>"

    marked = PLACEHOLDER.sub(lambda match: "\x00" + match.group()[1:-1] + "\x02", message)
    template = PIECE.sub(keep, marked).replace("\x00", "<").replace("\x02", ">")
    template = re.sub(r"<\*>(?:[\s,]*<\*>)+", "<*>", template)
    return (
        template,
        f"{len(shapes)} wordings that differ only where a word varies (marked <*>), "
        "or only in order, case and filler words.",
    )
