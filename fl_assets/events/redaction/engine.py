"""Running the rules: which of them a text needs, what they find, and the text with it masked.

What goes here: `redact` and what is made from it. What does not: the rules (`rules.py`), and what their texts
are read from.

All matching is RE2's (`linear.py`), so time is linear in the text. Only rules that a text needs (`needed.py`)
are run, one after another, each over the text as the ones before left it.
"""

import hashlib
import hmac
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.draft import Draft, Replacement
from fl_assets.events.redaction.needed import NONE, needed, needed_by
from fl_assets.events.redaction.people import is_telling_name
from fl_assets.events.redaction.rule import ENTITIES, ITEM_SEPARATOR, UNREDACTABLE, Rule, Unless
from fl_assets.events.redaction.rules import RULES
from fl_assets.events.redaction.views import VIEWS, has_trigger

_REACH = 48
"""Bytes around what is judged in which something that was normalised may tell that it is a secret."""
_JUDGED_AGAIN = 2
"""How often a text is judged again at the most: what was masked tells of what stands beside it."""
_FINDERS_OF_KINDS = 32
"""Finders that are kept for the kinds that were found together in a text."""
_ITEM_SEPARATOR = ITEM_SEPARATOR.encode()
_NAME = "HOME_USER"
_REPEATED = frozenset(ENTITIES) - {"URL_CREDENTIALS"}
"""Entities whose values are masked wherever a text repeats them."""
_ends_before_name, _begins_behind_name = (
    re.compile(pattern).match
    for pattern in (rb"[0-9A-Za-z_.\x80-\xff-]", rb"[0-9A-Za-z_\x80-\xff-]|[.][0-9A-Za-z]")
)
"""What, beside the name of a user, makes it a part of another one."""
_FILE_ENDING = re.compile(
    rb"[.](?:jsonl?|ndjson|csv|tsv|txt|log|parquet|pdf|docx?|xlsx?|xml|ya?ml|html?|md|png|jpe?g|zip|tar|eml|vcf)"
    rb"(?:[.](?:gz|zst|bz2|xz))?"
).fullmatch
"""What may stand behind a number that stands alone: it is the name of a file."""
_TELLING, _WORDS = 6, re.compile(rb"[A-Za-z\x80-\xff _.,:;-]*").fullmatch
"""A value of this many characters that is more than words is masked wherever the text repeats it."""
_MAX_REPEATED = 200
"""Values of one text that are looked for again, the longest first: each takes a pass over the text, so all of
them would take time that is not linear in it."""
_runs = re.compile(rb"[0-9A-Za-z]+").findall
"""Of many values most stand nowhere else: their runs of letters and digits are not all in the text."""
_HEX_TO_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")

_TEMPLATES = {"before": "(?s)(?:{})$", "value": "(?s)^(?:{})", "after": "(?s)^(?:{})"}
_Test = tuple[Callable[[bytes], bool], int]
"""A search, and which part of a match it is about."""


def _any_of(template: str, patterns: Iterable[str]) -> Callable[[bytes], bool] | None:
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return linear.searcher(template.format(joined)) if joined else None


class _Exceptions:
    """The exceptions of a rule, those about one part of a match as one pattern."""

    def __init__(self, exceptions: Sequence[Unless | str]) -> None:
        given = [Unless(value=one) if isinstance(one, str) else one for one in exceptions]
        single = {name: [] for name in ("before", "value", "after")}
        self._several: list[list[_Test]] = []
        for one in given:
            parts = {name: pattern for name in single if (pattern := getattr(one, name))}
            if len(parts) == 1:
                single[next(iter(parts))] += parts.values()
            else:
                tests = [_any_of(_TEMPLATES[name], [pattern]) for name, pattern in parts.items()]
                places = [list(single).index(name) for name in parts]
                self._several.append(
                    [(test, place) for test, place in zip(tests, places, strict=True) if test]
                )
        tests = [_any_of(_TEMPLATES[name], patterns) for name, patterns in single.items()]
        self._single = [(test, place) for place, test in enumerate(tests) if test]

    def hold(self, *match: bytes) -> bool:
        """Tell whether one of them is true of what stays before a value, the value, and what stays after."""
        for test, place in self._single:
            if match[place] and test(match[place]):
                return True
        return any(all(test(match[place]) for test, place in tests) for tests in self._several)


class _Finder:
    """A rule, compiled.

    RE2 finds where a match begins and ends: by an automaton alone, as long as no groups are asked for, which
    would take it ten times as long. Where the groups are in it says Python's `re`, which sees nothing but the
    match and the character before it.
    """

    def __init__(self, rule: Rule) -> None:
        self.mask = f"<{rule.entity}>".encode()
        self.entity = rule.entity
        self._find = _find_kinds(rule) if rule.kinds else linear.finder(rule.find)
        self._groups = re.compile(rule.find).match
        self._need = linear.fully(f"(?s){rule.need}") if rule.need else None
        self._is_exception = _Exceptions(rule.unless).hold
        self._alone, self._check, self._judge = rule.alone, rule.check, rule.judge

    def changes(self, text: bytes, touching: Sequence[tuple[int, int]] | None = None) -> list[Replacement]:
        """Return what is to be masked in a text.

        Args:
            text: in UTF-8.
            touching: where it was normalised, in order; given, only matches that touch one of these count.
        """
        found = []
        if self._judge:
            matches = self._find(text)
            if touching is not None:
                matches = [one for one in matches if _touches(touching, one[0] - _REACH, one[1] + _REACH)]
            return [
                Replacement(start, end, f"<{entity}>".encode(), entity)
                for start, end, entity in self._judge(text, matches)
            ]
        for start, end in self._find(text):
            if touching is not None and not _touches(touching, start, end):
                continue
            edge = start
            while edge and start - edge < 4:
                edge -= 1
                if text[edge] & 0xC0 != 0x80:  # where a character begins
                    break
            context = text[edge:start].decode(errors="replace")
            groups = self._groups(context + text[start:end].decode(errors="replace"), len(context))
            if groups is None:
                raise ValueError(f"no groups of {self.entity} in {end - start} bytes that RE2 found")
            before, value, after = groups.groups("")
            before, value, after = before.encode(), value.encode(), after.encode()
            if self._is_meant(before, value, after):
                start += len(before)
                found.append(Replacement(start, start + len(value), self.mask, self.entity))
        return found

    def _is_meant(self, before: bytes, value: bytes, after: bytes) -> bool:
        return not (
            (self._alone and after and not _FILE_ENDING(after))
            or (self._need and not self._need(value))
            or self._is_exception(before, value, after)
            or (self._check and not self._check(_alnum(value)))
        )


def _find_kinds(rule: Rule) -> Callable[[bytes], list[tuple[int, int]]]:
    """Return a finder for a rule of many kinds: by those alone that are in a text."""
    kinds_in = linear.any_of(rule.find_of([kind]) for kind in range(len(rule.kinds)))

    @lru_cache(maxsize=_FINDERS_OF_KINDS)
    def finder(kinds: tuple[int, ...]) -> Callable[[bytes], list[tuple[int, int]]]:
        return linear.finder(rule.find_of(kinds))

    def find(text: bytes) -> list[tuple[int, int]]:
        kinds = kinds_in(text)
        return finder(tuple(sorted(kinds)))(text) if kinds else []

    return find


def _alnum(value: bytes) -> str:
    return "".join(
        c for c in value.replace(b"%20", b"").decode(errors="replace") if c.isascii() and c.isalnum()
    )


@cache
def _finder(place: int) -> _Finder:
    return _Finder(RULES[place])


def _touches(places: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Tell whether a match touches one of some places."""
    at = bisect_left(places, (start, start))
    return (at < len(places) and places[at][0] <= end) or (at > 0 and places[at - 1][1] > start)


def _apply(draft: Draft, found: dict[bytes, str], places: Iterable[int], *, is_view: bool) -> None:
    """Mask what the rules find, and remember it.

    A rule that finds nothing in the text as it came is not run: what earlier rules put there, placeholders,
    makes no value. In a view only what was normalised counts, since all else will be found in the text
    itself.

    Args:
        draft: changed in place.
        found: gets the values, with their entities.
        places: what `needed` says of its text.
        is_view: whether its edits so far are those of a view.
    """
    for place in places:
        normalised = [edit[:2] for edit in draft.edits if not edit.entity] if is_view else None
        changes = _finder(place).changes(draft.text, normalised)
        if changes:
            for start, end, _, entity in changes:
                found[draft.text[start:end]] = entity
            draft.replace(changes)


def _judge_again(draft: Draft, found: dict[bytes, str], places: Iterable[int]) -> None:
    """Mask what is judged to be a secret now that others are masked beside it; `found` gets them."""
    judged = [place for place in places if RULES[place].judge]
    for _ in range(_JUDGED_AGAIN if judged and found else 0):
        before = len(found)
        _apply(draft, found, judged, is_view=False)
        if len(found) == before:
            return


def _again(text: bytes, found: dict[bytes, str]) -> list[Replacement]:
    """Return where values that were found in a text stand in it once more, as words of their own."""
    changes: list[Replacement] = []
    if len(found) > _MAX_REPEATED:
        runs = set(_runs(text))
        candidates = (value for value in found if runs.issuperset(_runs(value)))
    else:
        candidates = (value for value in found if value in text)
    values = [value for value in candidates if found[value] in _REPEATED and _is_telling(value, found[value])]
    if not values:
        return changes
    for value in sorted(values, key=len, reverse=True)[:_MAX_REPEATED]:
        start = text.find(value)
        while start >= 0:
            end = start + len(value)
            if _is_whole(text, start, end, found[value]):
                changes.append(Replacement(start, end, f"<{found[value]}>".encode(), found[value]))
            start = text.find(value, end)
    changes.sort()
    return [
        change for last, change in pairwise([Replacement(0, 0, b""), *changes]) if change.start >= last.end
    ]


def _is_telling(value: bytes, entity: str) -> bool:
    """Tell whether a value is more than words that may well stand elsewhere."""
    if entity == _NAME:
        return is_telling_name(value)
    return len(value) >= _TELLING and not _WORDS(value)


def _is_whole(text: bytes, start: int, end: int, entity: str) -> bool:
    """Tell whether what stands at a place of a text is no part of something longer."""
    before, behind = text[max(start - 1, 0) : start], text[end : end + 2]
    if entity == _NAME:
        return not (_ends_before_name(before) or _begins_behind_name(behind))
    return not (before.isalnum() or behind[:1].isalnum())


def _redacted(
    text: bytes, places: list[int] | None = None, needed: Callable[[bytes], list[int]] = needed
) -> tuple[bytes, dict[str, int]]:
    """Return a text without an ITEM_SEPARATOR redacted, with the number of values masked by entity.

    Args:
        text: in UTF-8.
        places: what `needed` says of it, if that is known.
        needed: gives the places of the rules that a text needs.
    """
    has_views = has_trigger(text)
    if places is None:
        places = needed(text)
    if not (places or has_views):
        return text, {}
    draft = Draft(text)
    found: dict[bytes, str] = {}
    if has_views:
        seen: list[Replacement] = []
        for view in VIEWS:
            changes = view(draft.text)
            if changes and changes != seen:
                seen = changes
                draft.replace(changes)
                _apply(draft, found, needed(draft.text), is_view=True)
                draft = draft.masked()
        if draft.edits:
            places = needed(draft.text)
    _apply(draft, found, places, is_view=False)
    _judge_again(draft, found, places)
    if found and (changes := _again(draft.text, found)):
        draft.replace(changes)
    counts: dict[str, int] = {}
    for edit in draft.edits:
        if edit.entity:
            counts[edit.entity] = counts.get(edit.entity, 0) + 1
    return draft.text, counts


def _joined(parts: Sequence[tuple[bytes, dict[str, int]]]) -> tuple[bytes, dict[str, int]]:
    """Put parts, redacted, and their counts together again."""
    counts = sum((Counter(found) for _, found in parts), Counter())
    return _ITEM_SEPARATOR.join(part for part, _ in parts), counts


def redact_bytes(text: bytes) -> tuple[bytes, dict[str, int]]:
    """Return a text in UTF-8 redacted, with the number of values masked by entity.

    If a rule crashes on it, that is `<UNREDACTABLE>`.
    """
    try:
        if _ITEM_SEPARATOR not in text:
            return _redacted(text)
        return _joined([_redacted(part) for part in text.split(_ITEM_SEPARATOR)])
    except Exception:  # fails closed: whatever went wrong, the raw text must not pass
        return UNREDACTABLE.encode(), {UNREDACTABLE[1:-1]: 1}


def changed_of(
    texts: Sequence[bytes], have_views: Iterable[bool]
) -> Iterator[tuple[int, bytes, dict[str, int]]]:
    """Give, of texts that redaction changes, the place and what `redact_bytes` returns of them.

    It does so sooner, since one search looks at many texts.

    Args:
        texts: in UTF-8.
        have_views: of each, what `has_trigger` says of it.
    """
    whole = [b"" if _ITEM_SEPARATOR in text else text for text in texts]
    parts = {
        part: NONE
        for text, one in zip(texts, whole, strict=True)
        if text and not one
        for part in text.split(_ITEM_SEPARATOR)
    }
    try:
        found_by = needed_by(whole)
        parts = dict(zip(parts, needed_by(list(parts)), strict=True))
    except Exception:  # each for itself, so that it costs one text at the most
        found = ((place, *redact_bytes(text)) for place, text in enumerate(texts))
        yield from (one for one in found if one[1] != texts[one[0]])
        return
    for place, (text, has_views) in enumerate(zip(texts, have_views, strict=True)):
        try:
            if _ITEM_SEPARATOR in text:
                after, counts = _joined(
                    [_redacted(part, parts[part]) for part in text.split(_ITEM_SEPARATOR)]
                )
            elif found_by[place] or has_views:
                after, counts = _redacted(text, found_by[place])
            else:
                continue
        except Exception:  # fails closed: whatever went wrong, the raw text must not pass
            after, counts = UNREDACTABLE.encode(), {UNREDACTABLE[1:-1]: 1}
        if after != text:
            yield place, after, counts


def redact_with_counts(text: str) -> tuple[str, dict[str, int]]:
    """Return the redacted text and how many values of each entity were masked in it."""
    redacted, counts = redact_bytes(text.encode("utf-8", "surrogatepass"))
    return redacted.decode("utf-8", "surrogatepass"), dict(counts)


def redact(text: str) -> str:
    """Return `text` with every entity replaced by its placeholder, e.g. `<EMAIL>`; see `redact_bytes`."""
    return redact_with_counts(text)[0]


_MANY_TEXTS = 64


def redact_all(texts: Sequence[str]) -> list[str]:
    """Return what `redact` makes of each text, sooner where nothing is found in most."""
    if len(texts) < _MANY_TEXTS:
        return [redact(text) for text in texts]
    found, raw = list(texts), [text.encode("utf-8", "surrogatepass") for text in texts]
    for place, after, _ in changed_of(raw, map(has_trigger, raw)):
        found[place] = after.decode("utf-8", "surrogatepass")
    return found


def residue(text: str) -> list[str]:
    """Return the entities that are still found in a text that should hold none, in rule order."""
    return list(redact_with_counts(text)[1])


def residue_named(text: str) -> list[str]:
    """Return the same by the rules that name what they look for.

    A sentence of ours that speaks of credentials and of `billing-tools` is doubted by the rules that only
    judge how likely a word is a secret; the names in it were judged before they were stored.
    """
    return list(_redacted(text.encode("utf-8", "surrogatepass"), needed=_needed_named)[1])


def _needed_named(text: bytes) -> list[int]:
    return [place for place in needed(text) if not RULES[place].judge]


def pseudonym(value: str, secret: bytes) -> str:
    """Return a stable stand-in for an id, made under a local secret.

    It is `id-` and 64 bits of HMAC-SHA256 (RFC 2104) as 16 letters from `a` to `p`. No digits, since sixteen
    of them can be an account number (`be` and fourteen digits), which the rules would find in turn.
    """
    digest = hmac.new(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return "id-" + digest[:16].translate(_HEX_TO_LETTERS)


def redact_id(value: str, secret: bytes) -> str:
    """Return an id as it is, or its pseudonym when it holds personal data (an e-mail address, say)."""
    return value if redact(value) == value else pseudonym(value, secret)
