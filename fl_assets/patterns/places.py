"""When one word of a message varies, or several at once: the evidence in a place.

What goes here: rules over items of one length, and what belongs beside a variable. What does not: names,
lists and values that may be missing (`values.py`), the items themselves (`items.py`).
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from fl_assets.patterns.items import STAR, Buckets, Item, Items, Links, Words, buckets_of

# Evidence that a place varies. Words of prose are weak evidence (a log statement may well have five
# siblings), identifiers are better, and a number, path or address already seen in the same place is nearly
# proof.
MIN_WORDS = 5
MIN_IDENTIFIERS = 3
MIN_WORDS_AFTER_KEY = 3
MIN_CONSTANTS = 2  # words that must remain to say what the message is about
MIN_CONSTANTS_BESIDE = 4  # the same, where one word beside a variable is enough
SOME_CONSTANTS, MANY_CONSTANTS = 5, 7  # the same, where the words of a place are fewer
MIN_PROPERTIES = 5


def one_place(items: Items, words: Words) -> None:
    """Generalise items that differ in one word, where the words there are evidence enough."""
    found = buckets_of(words.hash_without, ~items.is_fixed[words.token])
    if found is None:
        return
    for bucket in np.flatnonzero(found.several & _varies(items, words, found)):
        members = found.rows_of(bucket)
        items.generalise(words.item[members].tolist(), [int(words.place[members[0]])])


def _varies(items: Items, words: Words, found: Buckets) -> np.ndarray:
    """Say of each bucket whether the words in its place are evidence enough that they vary."""
    is_variable_here = words.token == STAR
    first = found.rows[found.start]
    different = found.count(~is_variable_here)
    identifiers = found.count(items.is_identifier[words.token])
    variables = found.count(is_variable_here)
    sure = found.count(words.is_certain)
    rest = words.constants[words.item[first]] - ~is_variable_here[first]
    follows_key = np.r_[False, items.is_key[words.token][:-1]] & (words.place > 0)
    after_key = follows_key[first]
    introduced = (np.r_[False, items.introduces[words.token][:-1]] & (words.place > 0))[first]
    plain = found.count(items.is_plain[words.token])
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


def pooled_places(items: Items, words: Words) -> None:
    """Generalise items that differ in one word from each other, step by step, where places vary in all.

    Values that vary independently (`limit of <NUM> EUR exceeded by <NUM> USD`) rarely meet in messages that
    agree in all the rest, so the words of a place are counted over all items that such steps reach.
    """
    rest = words.constants[words.item] - (words.token != STAR)
    found = buckets_of(words.hash_without, ~items.tells[words.token] & (rest >= MIN_CONSTANTS_BESIDE))
    if found is None:
        return
    reach = Links()
    for _ in items.tuples:
        reach.add()
    steps = [found.rows_of(bucket) for bucket in np.flatnonzero(found.several)]
    for rows in steps:
        for row in rows[1:]:
            reach.join(int(words.item[rows[0]]), int(words.item[row]))
    members: dict[int, set[int]] = defaultdict(set)
    seen: dict[tuple[int, int], set[int]] = defaultdict(set)
    around: dict[tuple[int, int], int] = defaultdict(int)
    for rows in steps:
        root, place = reach.root(int(words.item[rows[0]])), int(words.place[rows[0]])
        members[root].update(words.item[rows].tolist())
        seen[root, place].update(words.token[rows].tolist())
        around[root, place] = max(around[root, place], int(rest[rows[0]]))
    varying: dict[int, list[int]] = defaultdict(list)
    for (root, place), tokens in seen.items():
        if _pooled_varies(items, place, tokens - {STAR}, around[root, place]):
            varying[root].append(place)
    for root, places in varying.items():
        _generalise_alike(items, sorted(members[root]), places)


def _pooled_varies(items: Items, place: int, tokens: set[int], rest: int) -> bool:
    """Say whether words are evidence enough that the place varies; of the first place it takes more."""
    if not place:
        return len(tokens) > MIN_WORDS and rest >= MANY_CONSTANTS
    plain = sum(bool(items.is_plain[token]) for token in tokens)
    return (
        len(tokens) >= MIN_WORDS
        or (len(tokens) >= MIN_WORDS - 1 and rest >= SOME_CONSTANTS)
        or (plain >= MIN_IDENTIFIERS and rest >= MANY_CONSTANTS)
    )


def _generalise_alike(items: Items, members: list[int], places: list[int]) -> None:
    """Generalise those of the items that agree outside of the places."""
    alike: dict[Item, list[int]] = defaultdict(list)
    for member in members:
        rest = tuple(token for at, token in enumerate(items.tuples[member]) if at not in places)
        alike[rest].append(member)
    for same in alike.values():
        items.generalise(same, places)


def vary_together(items: Items) -> None:
    """Generalise items that agree in everything but identifiers and values of keys, several at once.

    Each place that has three words or more among them varies; items that differ elsewhere stay apart. So do
    words that others introduce (`property … when property …`), but it takes five, and more that remain.
    """
    _vary_together(items, lambda item, place: _is_value(items, item, place), MIN_IDENTIFIERS, MIN_CONSTANTS)
    _vary_together(
        items,
        lambda item, place: _is_value(items, item, place) or _is_introduced(items, item, place),
        MIN_WORDS,
        MIN_CONSTANTS_BESIDE,
    )


def _is_value(items: Items, item: Item, place: int) -> bool:
    token = item[place]
    return bool(items.is_identifier[token] or (items.is_key[item[place - 1]] and not items.is_fixed[token]))


def _is_introduced(items: Items, item: Item, place: int) -> bool:
    token = item[place]
    introduced = items.introduces[item[place - 1]] and items.is_plain[token]
    return bool(introduced and not (items.tells[token] or items.is_filler[token]))


def _vary_together(
    items: Items, may_vary: Callable[[Item, int], bool], min_words: int, min_constants: int
) -> None:
    buckets: dict[Item, list[int]] = {}
    for number, item in enumerate(items.tuples):
        places = [place for place in range(1, len(item)) if may_vary(item, place)]
        if len(places) > 1:
            tokens = list(item)
            for place in places:
                tokens[place] = -1
            buckets.setdefault(tuple(tokens), []).append(number)
    for shape, members in buckets.items():
        varying = [
            place
            for place, token in enumerate(shape)
            if token == -1 and len({items.tuples[member][place] for member in members}) >= min_words
        ]
        if not varying or sum(token > 0 for token in shape) < min_constants:
            continue
        _generalise_alike(items, members, varying)


def properties(items: Items) -> None:
    """Link messages that name one property each after the same words (`environment: key=value`)."""
    buckets: dict[Item, dict[int, list[int]]] = {}
    for number, item in enumerate(items.tuples):
        keys = [place for place, token in enumerate(item) if items.is_key[token]]
        if len(keys) == 1 and keys[0] >= MIN_CONSTANTS:
            buckets.setdefault(item[: keys[0]], {}).setdefault(item[keys[0]], []).append(number)
    for names in buckets.values():
        if len(names) >= MIN_PROPERTIES:
            members = [number for numbers in names.values() for number in numbers]
            for member in members:
                items.links.join(members[0], member)


def absorb(items: Items) -> None:
    """Link items with one word more beside a variable to those without.

    Inside a value at once, elsewhere when several words stand there.
    """
    seen: dict[tuple[int, int], set[int]] = {}
    for number, item in enumerate(items.tuples):
        last = len(item) - 1
        for place, token in enumerate(item):
            before, after = (place > 0 and item[place - 1] == STAR, place < last and item[place + 1] == STAR)
            if token == STAR or items.is_fixed[token] or last < MIN_CONSTANTS_BESIDE or not (before or after):
                continue
            shorter = item[:place] + item[place + 1 + (before and after) :]
            target = items.number.get(shorter)
            if target is None or sum(token != STAR for token in shorter) < MIN_CONSTANTS_BESIDE:
                continue
            if place and items.is_key[item[place - 1]]:
                items.links.join(target, number)
            else:
                seen.setdefault((target, place if not before else place - 1), set()).add(number)
    for (target, _), numbers in seen.items():
        if len(numbers) > 1:
            for number in numbers:
                items.links.join(target, number)
