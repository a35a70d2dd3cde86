"""Which failures are the same: distinct masked errors become templates, and templates become patterns with a stable id.

What goes here: grouping, ids, and people's corrections. What does not: masking (`signatures.py`, in SQL), counting (`evidence.py`), reading a corrections file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from pydantic import Field

from fl_assets.core.models import Record
from fl_assets.sums.masking import UNCAUGHT_PREFIX

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
_STATUS = re.compile(r" <STATUS_[0-9]{3}>$")
_PIECE = re.compile(r"[^\s=:,;#@()\[\]{}<>\"'`|]+|=")
_VARIABLE_WORD = re.compile(
    r"[\x00\x01]|[0-9]|^(?:true|false|null|none|nil|yes|no|on|off|nan|undefined|root|admin)$", re.IGNORECASE
)
_IDENTIFIER = re.compile(r"[a-z][A-Z]|[A-Za-z]_|[A-Za-z][.$\\/-][A-Za-z]|^[^A-Za-z]+$")
_EXCEPTION_NAME = re.compile(r"[A-Za-z](?:Error|Exception)=?$")  # which exception it was is never a detail
_PUNCTUATION = re.compile(r"^[^\w\x00\x01]+$")

STAR = 0  # token number of a variable


@dataclass(frozen=True)
class Grouping:
    """Messages grouped into templates.

    Attributes:
        group: One number a message, 0 to `len(templates) - 1`; groups are numbered in the order of their templates.
        templates: One a group; `<*>` is what varies.
        why: One sentence a group: why its messages are one.
    """

    group: np.ndarray
    templates: list[str]
    why: list[str]


def skeleton(message: str) -> tuple[str, ...]:
    """Return the words of a masked message in order, each run of variables as one `*`, or `?` for a single `<ID>`; `key=` is a word of its own."""
    words: list[str] = []
    for piece in _PIECE.findall(_PLACEHOLDER.sub(_sign, _STATUS.sub("", message))):
        word = _word(piece)
        if word in "*?" and word and words and words[-1] in "*?":
            words[-1] = "*"
        elif word == "=":
            if words and words[-1] not in "*?":
                words[-1] = words[-1].removesuffix("=") + "="
        elif word:
            words.append(word)
    return tuple(words)


@lru_cache(maxsize=65_536)
def _word(piece: str) -> str:
    """Return a piece as its word: `*` and `?` for variables, `=` for itself, nothing for punctuation."""
    if piece == "=":
        return piece
    if _is_variable(piece):
        return "?" if piece == "\x01" else "*"
    return "" if _PUNCTUATION.match(piece) else piece.rstrip(".!?")


def _sign(match: re.Match[str]) -> str:
    return "\x01" if match.group() == "<ID>" else "\x00"


def _is_variable(piece: str) -> bool:
    return bool(_VARIABLE_WORD.search(piece))


class _Links:
    """Union-find over numbered items; the smaller number is the root, so that the result has no order."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def add(self) -> int:
        self.parent.append(len(self.parent))
        return self.parent[-1]

    def root(self, item: int) -> int:
        parent = self.parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        a, b = self.root(one), self.root(other)
        if a != b:
            self.parent[max(a, b)] = min(a, b)


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (splitmix64, Steele et al. 2014)."""
    z = values * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


# Evidence that a place varies. Words of prose are weak evidence (a log statement may well have five siblings), identifiers are better, and a number, path or
# address already seen in the same place is nearly proof.
MIN_WORDS = 5
MIN_IDENTIFIERS = 3
MIN_WORDS_AFTER_KEY = 3
MIN_CONSTANTS = 2  # words that must remain to say what the message is about
MIN_CONSTANTS_BESIDE = 4  # the same, where one word beside a variable is enough
MIN_PROPERTIES = 5
MAX_ROUNDS = 8

Item = tuple[int, ...]


class _Miner:
    """The least fixed point of "a word that varies is a variable", over token-number tuples.

    Items are skeletons and what they generalise to. Nothing is ever taken back: rounds only add items, links and knowledge of which variables are certain, and
    every condition is a count that can only grow. So the outcome depends on neither the order nor the company of messages: more of them never split a group.
    """

    def __init__(self, skeletons: Sequence[tuple[str, ...]]) -> None:
        vocabulary: dict[str, int] = {"*": STAR}
        self.links = _Links()
        self.number: dict[Item, int] = {}
        self.items: list[Item] = []
        self.certain: list[
            int
        ] = []  # bit i: the variable at place i of the item was once a number, path or address, or has been mined
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
            [False, *(bool(_EXCEPTION_NAME.search(word)) for word in names[1:])]
        )
        self.is_identifier = (
            np.array([False, *(bool(_IDENTIFIER.search(word)) for word in names[1:])]) & ~self.is_fixed
        )

    def add(self, tokens: Item, certain: int) -> int:
        """Return the number of an item, which is new unless it is known; neighbouring variables become one, which is certain."""
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
        items, is_key, is_identifier = self.items, self.is_key, self.is_identifier
        lengths = np.fromiter((len(item) for item in items), np.int64, len(items))
        flat = np.fromiter((token for item in items for token in item), np.int64, int(lengths.sum()))
        owner = np.repeat(np.arange(len(items)), lengths)
        place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        with np.errstate(over="ignore"):
            mixed = _mix((flat * 512 + place + 1).astype(np.uint64))
            whole = np.zeros(len(items), np.uint64)
            np.add.at(whole, owner, mixed)
            key = (
                whole[owner]
                - mixed
                + _mix((place + (1 << 50)).astype(np.uint64))
                + _mix((lengths[owner] + (1 << 51)).astype(np.uint64))
            )
        variable = flat == STAR
        certain = (
            np.fromiter(
                (
                    bits >> i & 1
                    for item, bits in zip(items, self.certain, strict=True)
                    for i in range(len(item))
                ),
                bool,
                len(flat),
            )
            & variable
        )
        constants = np.bincount(owner, weights=~variable, minlength=len(items))
        usable = ~self.is_fixed[flat]
        rows = np.flatnonzero(usable)
        rows = rows[np.argsort(key[rows], kind="stable")]
        if not len(rows):
            return
        start = np.flatnonzero(np.r_[True, key[rows][1:] != key[rows][:-1]])
        size = np.diff(np.r_[start, len(rows)])
        several = size > 1

        def count(mask: np.ndarray) -> np.ndarray:
            return np.add.reduceat(mask[rows].astype(np.int64), start)

        words, identifiers, variables, sure = (
            count(~variable),
            count(is_identifier[flat]),
            count(variable),
            count(certain),
        )
        first = rows[start]
        rest = constants[owner[first]] - ~variable[first]
        after_key = (np.r_[False, is_key[flat][:-1]] & (place > 0))[first]
        enough = (
            (words >= MIN_WORDS)
            | (identifiers >= MIN_IDENTIFIERS)
            | (identifiers >= 2) & (rest >= MIN_CONSTANTS_BESIDE)
        )
        inside = (place[first] > 0) | (variables > 0)
        value = after_key & ((words >= MIN_WORDS_AFTER_KEY) | (identifiers + (variables > 0) > 1))
        beside = (sure > 0) & ~after_key & (rest >= MIN_CONSTANTS_BESIDE)
        for bucket in np.flatnonzero(several & (rest >= MIN_CONSTANTS) & (enough & inside | value | beside)):
            members = rows[start[bucket] : start[bucket] + size[bucket]]
            self.generalise(owner[members].tolist(), [int(place[first[bucket]])])

    def all_identifiers(self) -> None:
        """Generalise items that agree in everything but identifiers, two or more that vary together."""
        buckets: dict[Item, list[int]] = {}
        for number, item in enumerate(self.items):
            places = tuple(place for place, token in enumerate(item) if place and self.is_identifier[token])
            if len(places) > 1:
                tokens = list(item)
                for place in places:
                    tokens[place] = -1
                buckets.setdefault(tuple(tokens), []).append(number)
        for shape, members in buckets.items():
            places = [place for place, token in enumerate(shape) if token == -1]
            varying = [
                place for place in places if len({self.items[member][place] for member in members}) > 1
            ]
            distinct = all(
                len({self.items[member][place] for member in members}) >= MIN_IDENTIFIERS for place in varying
            )
            if varying and distinct and sum(token > 0 for token in shape) >= MIN_CONSTANTS:
                self.generalise(members, varying)

    def properties(self) -> None:
        """Link messages that name one property each after the same words (`environment: key=value`), whatever the values are."""
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
        """Link items with one word more beside a variable to those without: inside a value at once, elsewhere when several words stand there."""
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
        self.all_identifiers()
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
    roots = _mined(shapes)
    members: dict[int, list[int]] = {}
    for i, root in enumerate(roots):
        members.setdefault(root, []).append(i)
    templates, why = {}, {}
    for root, rows in members.items():
        templates[root], why[root] = _describe(min(messages[i] for i in rows), {shapes[i] for i in rows})
    names = sorted(templates, key=lambda root: (templates[root], root))
    place = {root: i for i, root in enumerate(names)}
    return Grouping(
        np.array([place[root] for root in roots], dtype=np.int64),
        [templates[root] for root in names],
        [why[root] for root in names],
    )


def _mined(shapes: Sequence[tuple[str, ...]]) -> list[int]:
    """Return a group number for each skeleton."""
    distinct = sorted(set(shapes))
    number = dict(zip(distinct, _Miner(distinct).groups(), strict=True))
    return [number[shape] for shape in shapes]


def _describe(message: str, shapes: set[tuple[str, ...]]) -> tuple[str, str]:
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
            or _is_variable(piece)
            or _PUNCTUATION.match(piece)
        )
        return piece if fixed else "<*>"

    marked = _PLACEHOLDER.sub(lambda match: "\x00" + match.group()[1:-1] + "\x02", message)
    template = _PIECE.sub(keep, marked).replace("\x00", "<").replace("\x02", ">")
    template = re.sub(r"<\*>(?:[\s,]*<\*>)+", "<*>", template)
    return (
        template,
        f"{len(shapes)} wordings that differ only where a word varies (marked <*>), or only in order, case and filler words.",
    )


# Patterns: groups with an id, and people's corrections ----------------------------------------------------------------


class Merge(Record):
    """Patterns that people say are one."""

    into: str = Field(min_length=1, description="Pattern id that survives.")
    patterns: tuple[str, ...] = Field(min_length=1, description="Pattern ids that become it.")


class Split(Record):
    """Messages that people say are not of a pattern: those with a given text in them."""

    pattern: str = Field(min_length=1, description="Pattern id to take them from.")
    containing: str = Field(
        min_length=1, description="Text that their masked error contains, letter by letter."
    )


class Corrections(Record):
    """People's corrections: permanent, and applied in every later and historical cycle."""

    merges: tuple[Merge, ...] = ()
    splits: tuple[Split, ...] = ()


NO_CORRECTIONS = Corrections()
GROUPED_COLUMNS = ["message_id", "pattern_id", "kind", "template", "why_grouped", "messages"]


def _pattern_id(*parts: str) -> str:
    return "p-" + hashlib.md5("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()[:12]


def group_patterns(messages: pd.DataFrame, corrections: Corrections = NO_CORRECTIONS) -> pd.DataFrame:
    """Group the distinct messages known up to a day into patterns with stable ids.

    The id of a pattern is the hash of the skeleton of its earliest message (by first day, then text). Messages that come later never split a group, so they can
    change an id only by joining two patterns, and then the older one's wins.

    Args:
        messages: One row a distinct message: `message_id, masked_error, has_text, service, method, first_day`, in any order.
        corrections: People's merges and splits, by pattern id.

    Returns:
        One row a message, ordered by `message_id`: `message_id, pattern_id, kind, template, why_grouped, messages` (distinct messages in the pattern).
    """
    if messages.empty:
        return pd.DataFrame(columns=GROUPED_COLUMNS)
    rows = messages.sort_values(["first_day", "masked_error", "message_id"], kind="stable").reset_index(
        drop=True
    )
    texts: list[str] = rows["masked_error"].tolist()
    has_text = rows["has_text"].to_numpy(dtype=bool)
    kept = [_essence(text) for text in texts]
    shapes = [skeleton(text) if spoken else (text,) for text, spoken in zip(kept, has_text, strict=True)]
    own_ids = [
        _pattern_id(*(shape if spoken else (text,)), _status(text))
        for shape, text, spoken in zip(shapes, texts, has_text, strict=True)
    ]
    groups: list[tuple] = [("silent", i) for i in range(len(rows))]
    spoken_rows = np.flatnonzero(has_text)
    if len(spoken_rows):
        spoken_shapes = [shapes[row] for row in spoken_rows]
        grouped = _same_words(_mined(spoken_shapes), spoken_shapes)
        for row, group in zip(spoken_rows.tolist(), grouped, strict=True):
            groups[row] = ("error", group, _status(texts[row]), _dependencies(shapes[row]))
    pattern, reason = _corrected(_named(own_ids, groups), own_ids, texts, corrections)
    members: dict[str, list[int]] = {}
    for row, name in enumerate(pattern):
        members.setdefault(name, []).append(row)
    template, why = {}, {}
    for name, group in members.items():
        oldest = group[0]
        template[name], why[name] = _describe(kept[oldest], {shapes[row] for row in group})
        if kept[oldest] != texts[oldest]:
            template[name] += ": <*>"
            why[name] = "The same type of exception that nobody caught; its messages vary."
        if not has_text[oldest]:
            why[name] = "Failures without a text, of the same service, method and status."
        why[name] = reason.get(name, why[name])
    result = pd.DataFrame(
        {
            "message_id": rows["message_id"],
            "pattern_id": pattern,
            "kind": np.where(has_text, "error", "silent"),
            "template": [template[name] for name in pattern],
            "why_grouped": [why[name] for name in pattern],
            "messages": [len(members[name]) for name in pattern],
        }
    )
    return result.sort_values("message_id", kind="stable").reset_index(drop=True)


_UNCAUGHT = re.compile(rf"^{UNCAUGHT_PREFIX}(?:[A-Za-z0-9_]+\.)*([A-Za-z0-9_]+)")
_WITH_EXCEPTION = re.compile(r"^(.{12,} \| )(?:[A-Za-z0-9_]+\.)*([A-Z][A-Za-z0-9_]*(?:Error|Exception))\b.*$")
_GENERIC = frozenset({
    "Error", "Exception", "BaseException", "RuntimeError", "OSError", "IOError", "HTTPError", "APIError", "ClientError", "RequestException", "ServiceException",
    "IllegalStateException", "ToolError", "ToolException",
})  # fmt: skip


def _essence(text: str) -> str:
    """Return what a masked error is grouped by: of an exception that nobody caught its type, unless the type says nothing.

    The message of an uncaught exception holds details of the code that raised it; error trackers group those by where and what, not by message. A generic type
    (`RuntimeError`, `HTTPError`) says nothing without its message, so there the message counts.
    """
    match = _UNCAUGHT.match(text)
    if match:
        return text if match.group(1) in _GENERIC else UNCAUGHT_PREFIX + match.group(1)
    match = _WITH_EXCEPTION.match(text)
    if not match or match.group(2) in _GENERIC:
        return text
    return match.group(1) + (
        "SyntaxError" if match.group(2) in ("IndentationError", "TabError") else match.group(2)
    )  # Python's own hierarchy


_DEPENDENCY = re.compile(
    r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*-(?:service|svc|server|api|gateway|db|database|cache|queue|broker|store)$"
)


def _dependencies(shape: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of services in a message: which one is down is what the failure is about, though the name varies."""
    return tuple(word for word in shape if _DEPENDENCY.match(word))


_FILLERS = frozenset(
    (
        *(
            "a",
            "an",
            "the",
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "being",
            "has",
            "have",
            "had",
            "this",
            "that",
            "these",
            "those",
            "please",
        ),
        *("to", "of", "in", "on", "at", "for", "with", "by", "and", "or", "it", "its", "your", "you"),
    )
)


def _same_words(groups: list[int], shapes: list[tuple[str, ...]]) -> list[int]:
    """Join groups of which two messages say the same words, whatever their order, case, number and fillers; two such words at least, and in each the same."""
    links = _Links()
    for _ in range(max(groups) + 1):
        links.add()
    first: dict[tuple[str, ...], int] = {}
    for group, shape in zip(groups, shapes, strict=True):
        words = {word.lower().rstrip("=") for word in shape if word not in "*?"}
        bag = tuple(
            sorted(
                {
                    word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
                    for word in words - _FILLERS
                }
            )
        )
        if len(bag) > 1:
            links.join(first.setdefault((*bag, "*" * sum(word in "*?" for word in shape)), group), group)
    return [links.root(group) for group in groups]


def _status(text: str) -> str:
    match = _STATUS.search(text)
    return match.group() if match else ""


def _named(own_ids: list[str], groups: list[tuple]) -> list[str]:
    """Return each row's pattern id: the own id of its group's first row, rows being ordered by age."""
    first: dict[tuple, str] = {}
    return [first.setdefault(group, own) for own, group in zip(own_ids, groups, strict=True)]


def _corrected(
    pattern: list[str], own_ids: list[str], texts: list[str], corrections: Corrections
) -> tuple[list[str], dict[str, str]]:
    """Apply splits, then merges; a rule finds its pattern by any message that once had that id, so it outlives later merges."""
    reason: dict[str, str] = {}
    current = dict(
        zip(own_ids, pattern, strict=True)
    )  # id that a message would have alone -> pattern it is in
    pattern = list(pattern)
    for split in corrections.splits:
        source = current.get(split.pattern, split.pattern)
        name = _pattern_id(split.pattern, split.containing)
        moved = [row for row, held in enumerate(pattern) if held == source and split.containing in texts[row]]
        for row in moved:
            pattern[row] = name
        if moved:
            reason[name] = f"Split from {split.pattern} by a person: contains the text that the rule names."
    names = {name: name for name in pattern}
    for merge in corrections.merges:
        target = current.get(merge.into, merge.into)
        for source in merge.patterns:
            held = current.get(source, source)
            names = {old: target if now == held else now for old, now in names.items()}
        reason[target] = f"Merged into {merge.into} by a person."
    return [names[name] for name in pattern], reason
