"""Which masked messages are the same: from distinct messages to templates.

What goes here: the rounds of rules, and what a group is called. What does not: masking (`sums/masking.py`, in
SQL), the rules (`places.py`, `values.py`), patterns and their ids (`grouping.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fl_assets.patterns.items import Items, Links
from fl_assets.patterns.places import absorb, one_place, pooled_places, properties, vary_together
from fl_assets.patterns.values import Names, gaps, missing, repeats
from fl_assets.patterns.words import (
    FILLERS,
    PIECE,
    PLACEHOLDER,
    PUNCTUATION,
    bracketed,
    is_variable,
    singular_of,
    skeleton,
)

MAX_ROUNDS = 30


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


def group_messages(messages: Sequence[str]) -> Grouping:
    """Group masked messages into templates, all at once and independent of their order.

    Args:
        messages: Masked errors (`signatures.mask_sql`), in any order, repeats allowed.
    """
    shapes = [skeleton(message) for message in messages]
    roots = mined(shapes, [bracketed(message) for message in messages])
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


def mined(shapes: Sequence[tuple[str, ...]], names: Sequence[frozenset[str]] = ()) -> list[int]:
    """Return a group number for each skeleton.

    Args:
        shapes: The skeletons of messages.
        names: What `bracketed` gives of each message; without it nothing is known of brackets.
    """
    distinct = sorted(set(shapes))
    items = Items(distinct)
    vary_together(items)
    varying, read = Names(items), 0
    place = dict(zip(distinct, items.numbers, strict=True))
    for shape, words in dict.fromkeys(zip(shapes, names, strict=False)):
        if words:
            varying.vary_in_brackets(place[shape], words)
    for _ in range(MAX_ROUNDS):
        before = items.size
        varying.vary()
        since, read = read, len(items.tuples)
        repeats(items, since)
        words = items.words()
        one_place(items, words)
        if items.size == before:  # what costs more comes last
            pooled_places(items, words)
            if items.size == before:
                break
    gaps(items, words)
    properties(items)
    missing(items)
    absorb(items)
    return [items.links.root(place[shape]) for shape in shapes]


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
        bag = tuple(sorted({singular_of(word) for word in words - FILLERS}))
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
