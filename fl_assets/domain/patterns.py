"""Which failures are the same: distinct masked errors become templates, and templates become patterns with a stable id.

What goes here: grouping, ids, and people's corrections. What does not: masking (`signatures.py`, in SQL), counting (`evidence.py`), reading a corrections file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from fl_assets.domain.models import Record

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")
_STATUS = re.compile(r" <STATUS_[0-9]{3}>$")
_PIECE = re.compile(r"[^\s=:,;#@()\[\]{}<>\"'`|]+|=(?=[\s,;)\]}]|$)")
_VARIABLE_WORD = re.compile(r"\x00|[0-9]|^(?:true|false|null|none|nil|yes|no|on|off|nan|undefined)$", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[a-z][A-Z]|[A-Za-z]_|[A-Za-z][.$\\/-][A-Za-z]|^[^A-Za-z]+$")
_PUNCTUATION = re.compile(r"^[^\w\x00]+$")

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
    """Return the constant words of a masked message in order, each run of variables as one `*`."""
    words: list[str] = []
    for piece in _PIECE.findall(_PLACEHOLDER.sub("\x00", _STATUS.sub("", message))):
        if piece == "=" or _is_variable(piece):
            word = "*"
        elif _PUNCTUATION.match(piece):
            continue
        else:
            word = piece.rstrip(".!?")
        if word == "*" and words and words[-1] == "*":
            continue
        words.append(word)
    return tuple(words)


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


MIN_VALUES, MIN_IDENTIFIERS, MIN_BESIDE_VARIABLE, MIN_CONSTANTS, MAX_ROUNDS = 5, 2, 2, 2, 8


def mine(skeletons: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Return a group number for each of the distinct skeletons.

    A least fixed point: two skeletons that differ in one word are linked when that word takes enough values in its place. Then the place becomes a variable and
    the generalised skeleton is one more to compare. Items are only added, and links need counts that only grow, so the result does not depend on order and more
    messages never split a group.
    """
    vocabulary: dict[str, int] = {"*": STAR}
    items: dict[tuple[int, ...], int] = {}
    links = _Links()
    for words in skeletons:
        item = tuple(vocabulary.setdefault(word, len(vocabulary)) for word in words)
        items.setdefault(item, links.add())
    is_identifier = np.array([bool(_IDENTIFIER.search(word)) for word in vocabulary])
    known: list[tuple[int, ...]] = list(items)
    for _ in range(MAX_ROUNDS):
        lengths = np.fromiter((len(item) for item in known), np.int64, len(known))
        flat = np.fromiter((token for item in known for token in item), np.int64, int(lengths.sum()))
        owner = np.repeat(np.arange(len(known)), lengths)
        position = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        with np.errstate(over="ignore"):
            mixed = _mix((flat * 512 + position + 1).astype(np.uint64))
            whole = np.zeros(len(known), np.uint64)
            np.add.at(whole, owner, mixed)
            key = whole[owner] - mixed + _mix((position + (1 << 50)).astype(np.uint64)) + _mix((lengths[owner] + (1 << 51)).astype(np.uint64))
        constants = np.bincount(owner, weights=flat != STAR, minlength=len(known))
        order = np.argsort(key, kind="stable")
        sorted_key = key[order]
        start = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1]])
        size = np.diff(np.r_[start, len(order)])
        is_star = (flat == STAR)[order]
        identifiers = np.add.reduceat(is_identifier[flat][order], start)
        stars = np.add.reduceat(is_star.astype(np.int64), start)
        rest = (constants[owner] - (flat != STAR))[order][start]
        values = size - stars
        wide = (rest >= MIN_CONSTANTS) & (
            ((values >= MIN_VALUES) | (identifiers >= MIN_IDENTIFIERS)) & (position[order][start] > 0)
            | (stars > 0) & ((values >= MIN_BESIDE_VARIABLE) | (identifiers >= 1))
        )
        before = len(known)
        for bucket in np.flatnonzero(wide):
            members = order[start[bucket] : start[bucket] + size[bucket]]
            first = known[owner[members[0]]]
            place = position[members[0]]
            general = _collapse((*first[:place], STAR, *first[place + 1 :]))
            number = items.get(general)
            if number is None:
                number = items[general] = links.add()
                known.append(general)
            for member in owner[members]:
                links.join(number, items[known[member]])
        if len(known) == before:
            break
    return np.array([links.root(i) for i in range(len(skeletons))])


def _collapse(item: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(token for i, token in enumerate(item) if token != STAR or i == 0 or item[i - 1] != STAR)


def group_messages(messages: Sequence[str]) -> Grouping:
    """Group masked messages into templates, all at once and independent of their order.

    Args:
        messages: Masked errors (`signatures.mask_sql`), in any order, repeats allowed.
    """
    shapes = [skeleton(message) for message in messages]
    distinct = sorted(set(shapes))
    number = dict(zip(distinct, mine(distinct).tolist(), strict=True))
    roots = [number[shape] for shape in shapes]
    members: dict[int, list[int]] = {}
    for i, root in enumerate(roots):
        members.setdefault(root, []).append(i)
    templates, why = {}, {}
    for root, rows in members.items():
        templates[root], why[root] = _describe(min(messages[i] for i in rows), {shapes[i] for i in rows})
    names = sorted(templates, key=lambda root: (templates[root], root))
    place = {root: i for i, root in enumerate(names)}
    return Grouping(np.array([place[root] for root in roots], dtype=np.int64), [templates[root] for root in names], [why[root] for root in names])


def _describe(message: str, shapes: set[tuple[str, ...]]) -> tuple[str, str]:
    """Return the template of a group, made from one of its messages, and why the group is one."""
    common = set.intersection(*(set(shape) for shape in shapes))

    def keep(match: re.Match[str]) -> str:
        word = match.group().rstrip(".!?")
        fixed = word in common or _is_variable(match.group()) or _PUNCTUATION.match(match.group()) or match.group() == "="
        return match.group() if fixed else "<*>"

    marked = _PLACEHOLDER.sub(lambda m: "\x00" + m.group()[1:-1] + "\x01", message)
    template = _PIECE.sub(keep, marked).replace("\x00", "<").replace("\x01", ">")
    template = re.sub(r"<\*>(?:[\s,]*<\*>)+", "<*>", template)
    if len(shapes) == 1:
        return template, "All its messages are the same once numbers, ids, paths and quoted values are masked."
    varying = len(set().union(*shapes) - common)
    return template, f"{len(shapes)} wordings agree in everything but {varying} words that stand in places where the word varies."


# Patterns: groups with an id, and people's corrections ----------------------------------------------------------------


class Merge(Record):
    """Patterns that people say are one."""

    into: str = Field(min_length=1, description="Pattern id that survives.")
    patterns: tuple[str, ...] = Field(min_length=1, description="Pattern ids that become it.")


class Split(Record):
    """Messages that people say are not of a pattern: those with a given text in them."""

    pattern: str = Field(min_length=1, description="Pattern id to take them from.")
    containing: str = Field(min_length=1, description="Text that their masked error contains, letter by letter.")


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
    rows = messages.sort_values(["first_day", "masked_error", "message_id"], kind="stable").reset_index(drop=True)
    texts: list[str] = rows["masked_error"].tolist()
    has_text = rows["has_text"].to_numpy(dtype=bool)
    shapes = [skeleton(text) if spoken else (text,) for text, spoken in zip(texts, has_text, strict=True)]
    own_ids = [_pattern_id(*shape, _status(text) if spoken else "") for shape, text, spoken in zip(shapes, texts, has_text, strict=True)]
    groups: list[tuple] = [("silent", i) for i in range(len(rows))]
    spoken_rows = np.flatnonzero(has_text)
    if len(spoken_rows):
        grouped = group_messages([texts[i] for i in spoken_rows])
        for row, group in zip(spoken_rows.tolist(), grouped.group.tolist(), strict=True):
            groups[row] = ("error", group, _status(texts[row]))
    pattern, reason = _corrected(_named(own_ids, groups), own_ids, texts, corrections)
    members: dict[str, list[int]] = {}
    for row, name in enumerate(pattern):
        members.setdefault(name, []).append(row)
    template, why = {}, {}
    for name, group in members.items():
        template[name], why[name] = _describe(texts[group[0]], {shapes[row] for row in group})
        why[name] = reason.get(name, why[name] if has_text[group[0]] else "Failures without a text, of the same service, method and status.")
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


def _status(text: str) -> str:
    match = _STATUS.search(text)
    return match.group() if match else ""


def _named(own_ids: list[str], groups: list[tuple]) -> list[str]:
    """Return each row's pattern id: the own id of its group's first row, rows being ordered by age."""
    first: dict[tuple, str] = {}
    return [first.setdefault(group, own) for own, group in zip(own_ids, groups, strict=True)]


def _corrected(pattern: list[str], own_ids: list[str], texts: list[str], corrections: Corrections) -> tuple[list[str], dict[str, str]]:
    """Apply splits, then merges; a rule finds its pattern by any message that once had that id, so it outlives later merges."""
    reason: dict[str, str] = {}
    current = dict(zip(own_ids, pattern, strict=True))  # id that a message would have alone -> pattern it is in
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
