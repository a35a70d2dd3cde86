"""Templates for several rare errors, none of which enough sessions had to be published itself.

What goes here: finding them. What does not: whether enough sessions had any of them, which is counted later
(`privacy.py`).
"""

import re
from collections.abc import Mapping

from fl_assets.patterns.mining import group_messages

MAX_GAP, MIN_SHARED = 3, 4
"""Rare texts share a template if they differ in at most MAX_GAP neighbouring words and share MIN_SHARED."""
_WORD = re.compile(r"[^\W_]+")
_HELD = re.compile(r"<[A-Z*][A-Z0-9_]*>|<\*>")


def shared_templates(seen: Mapping[str, int], k: int) -> dict[str, str]:
    """Return the template of masked errors that fewer than k sessions had, for those that share one.

    The miner's templates (`patterns/mining.py`) come first; then, since a single node has few texts to mine,
    texts that differ in one place. That place becomes `<VAR>`. Every word of a template is in every error
    that it stands for.

    Args:
        seen: sessions by masked error.
        k: sessions that must have had a text.
    """
    by_status: dict[str, list[str]] = {}
    for error in sorted(seen):
        text, status = split_status(error)
        by_status.setdefault(status, []).append(text)
    found: dict[str, str] = {}
    for status, bare in by_status.items():
        grouping = group_messages(bare)
        members: dict[int, list[str]] = {}
        for group, text in zip(grouping.group.tolist(), bare, strict=True):
            members.setdefault(group, []).append(text)
        for group, texts in members.items():
            template = grouping.templates[group].replace("<*>", "<VAR>")
            shared = set.intersection(*(set(_WORD.findall(_HELD.sub(" ", text))) for text in texts))
            rare = [text for text in texts if seen[text + status] < k]
            if (
                len(texts) > 1
                and set(_WORD.findall(_HELD.sub(" ", template))) <= shared
                and sum(seen[text + status] for text in rare) >= k
            ):
                found |= {text + status: template + status for text in rare}
        rare = {
            text: seen[text + status]
            for text in bare
            if seen[text + status] < k and text + status not in found
        }
        found |= {text + status: template + status for text, template in _gapped(rare, k).items()}
    return found


def _gapped(seen: Mapping[str, int], k: int) -> dict[str, str]:
    """Return templates of texts that differ in at most MAX_GAP neighbouring words, if k sessions had them.

    The largest groups come first.
    """
    groups: dict[str, list[str]] = {}
    for text in sorted(seen):
        words = text.split()
        of_prose = [bool(_WORD.search(_HELD.sub("", word))) for word in words]
        places = [
            (first, after)
            for first in range(len(words))
            for after in range(first + 1, min(first + MAX_GAP, len(words)) + 1)
        ]
        enough = [
            (first, after)
            for first, after in places
            if sum(of_prose) - sum(of_prose[first:after]) >= MIN_SHARED
        ]
        for template in {" ".join((*words[:first], "<VAR>", *words[after:])) for first, after in enough}:
            groups.setdefault(template, []).append(text)
    found: dict[str, str] = {}
    for template in sorted(
        groups, key=lambda template: (-sum(seen[text] for text in groups[template]), -len(template), template)
    ):
        left = [text for text in groups[template] if text not in found]
        if len(left) > 1 and sum(seen[text] for text in left) >= k:
            found |= dict.fromkeys(left, template)
    return found


def split_status(error: str) -> tuple[str, str]:
    """Return a masked error without its final status, and that status or ''."""
    text = _STATUS.sub("", error)
    return text, error[len(text) :]


_STATUS = re.compile(r"( <STATUS_[0-9]{3}>)?$")
