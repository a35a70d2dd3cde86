"""Which rules a text needs: those that find something in it.

What goes here: looking for many rules at once, in one text or in many. What does not: what they find
(`engine.py`).

A set looks for many rules in one pass. Sets of twelve: with all in one, texts that vary a lot make its
automaton grow faster than it is used; with one each, every text pays for every rule. A set is looked for
where a word is found that one of its rules cannot do without. Many texts are first looked at as one, line by
line, for what most rules look for is in none of them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.rules import RULES

_RULES_OF_A_SET = 12
_BLOCK_TEXTS, _BLOCK_BYTES = 32, 8192
"""How many texts are looked at as one, and how long they are together at the most."""


@cache
def _possible() -> Callable[[bytes], list[int]]:
    """Return what says which rules may find something in a text, by their places."""
    return linear.possible(rule.find for rule in RULES)


@cache
def _groups() -> tuple[tuple[int, ...], ...]:
    """Return the places of the rules of each set: those that may always find something are not with others.

    So the sets of most rules are hardly ever looked for.
    """
    always = set(_possible()(b""))
    together = [place for place, rule in enumerate(RULES) if not rule.apart]
    halves = [[place for place in together if (place in always) is half] for half in (True, False)]
    return (
        *(
            tuple(half[at : at + _RULES_OF_A_SET])
            for half in halves
            for at in range(0, len(half), _RULES_OF_A_SET)
        ),
        *((place,) for place, rule in enumerate(RULES) if rule.apart),
    )


@cache
def _group_of() -> tuple[int, ...]:
    """Return of each rule the place of its group."""
    groups = {place: at for at, group in enumerate(_groups()) for place in group}
    return tuple(groups[place] for place in range(len(RULES)))


@cache
def _search(flags: str, group: tuple[int, ...]) -> Callable[[bytes], list[int]]:
    """Return the search for the rules at some places; `flags` stand before each."""
    return linear.any_of(flags + RULES[place].find for place in group)


_EXACTLY, _BY_LINE = "", "(?m)"


def compile_rules() -> None:
    """Compile what every text needs ahead of the first, since it takes as long as some thousand texts."""
    always = _possible()(b"")
    for group in _groups():
        if not set(always).isdisjoint(group):
            _search(_EXACTLY, group)
            _search(_BY_LINE, group)


NONE: list[int] = []
"""Of a text that needs no rule."""


def needed(text: bytes) -> list[int]:
    """Return the places of the rules that find something in a text, in order."""
    places: list[int] = []
    groups, group_of = _groups(), _group_of()
    for at in {group_of[place] for place in _possible()(text)}:
        if found := _search(_EXACTLY, groups[at])(text):
            places += [groups[at][one] for one in found]
    places.sort()
    return places


def _blocks(texts: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Give texts as lines of blocks: the first and the one behind the last of them, and the block."""
    first = size = 0
    for place, text in enumerate(texts):
        if place > first and (place - first == _BLOCK_TEXTS or size + len(text) > _BLOCK_BYTES):
            yield first, place, b"\n".join(texts[first:place])
            first, size = place, 0
        size += len(text)
    if texts:
        yield first, len(texts), b"\n".join(texts[first:])


def needed_by(texts: Sequence[bytes]) -> list[list[int]]:
    """Return of each text what `needed` does, with a search for many where there is nothing.

    What a rule finds in a text it finds in a block, too: `(?m)` has each line begin and end like a text.

    Args:
        texts: without an ITEM_SEPARATOR.
    """
    found_by: list[list[int]] = [NONE] * len(texts)
    blocks = [(*block, set(_possible()(block[-1]))) for block in _blocks(texts)]
    for group in _groups():
        for first, end, block, possible in blocks:
            if possible.isdisjoint(group) or not _search(_BY_LINE, group)(block):
                continue
            search = _search(_EXACTLY, group)
            for place in range(first, end):
                if found := search(texts[place]):
                    found_by[place] = sorted([*found_by[place], *(group[one] for one in found)])
    return found_by
