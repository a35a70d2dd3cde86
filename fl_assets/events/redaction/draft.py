"""A text that is being changed, and which part of the original each changed part stands for."""

from collections.abc import Iterable
from typing import NamedTuple


class Edit(NamedTuple):
    """A part of a draft that differs from the original.

    Attributes:
        start, end: where it is in the draft, in bytes.
        origin_start, origin_end: what of the original it stands for, in bytes.
        entity: of what was masked; empty where the text was only normalised.
    """

    start: int
    end: int
    origin_start: int
    origin_end: int
    entity: str


class Replacement(NamedTuple):
    """What is to become of `start` to `end` of a draft, in bytes."""

    start: int
    end: int
    new: bytes
    entity: str = ""


class Draft:
    """A text in UTF-8 with its history.

    Attributes:
        text: what it is now.
        edits: where it differs from the original, in order.
    """

    __slots__ = ("edits", "original", "text")

    def __init__(self, original: bytes) -> None:
        self.original = self.text = original
        self.edits: list[Edit] = []

    def replace(self, changes: Iterable[Replacement]) -> None:
        """Change parts of the text; edits that they touch become a part of the change.

        Args:
            changes: in order, none overlaps another.
        """
        pieces: list[bytes] = []
        edits: list[Edit] = []
        if not self.edits:
            done = grown = 0
            for start, end, new, entity in changes:
                pieces += (self.text[done:start], new)
                edits.append(Edit(start + grown, start + grown + len(new), start, end, entity))
                grown += len(new) - (end - start)
                done = end
            pieces.append(self.text[done:])
            self.text, self.edits = b"".join(pieces), edits
            return
        old, place = self.edits, 0
        done = shift = grown = 0  # bytes copied; from draft to original; from old draft to new
        for change in changes:
            while place < len(old) and old[place].end <= change.start:
                shift = old[place].origin_end - old[place].end
                edits.append(_moved(old[place], grown))
                place += 1
            origin_start = change.start + shift
            if place < len(old) and old[place].start <= change.start:
                origin_start = old[place].origin_start
            end = 0
            while place < len(old) and old[place].start < change.end:
                end, shift = old[place].end, old[place].origin_end - old[place].end
                place += 1
            origin_end = max(end, change.end) + shift
            pieces += (self.text[done : change.start], change.new)
            done = change.end
            start = change.start + grown
            edits.append(Edit(start, start + len(change.new), origin_start, origin_end, change.entity))
            grown += len(change.new) - (change.end - change.start)
        edits += (_moved(edit, grown) for edit in old[place:])
        pieces.append(self.text[done:])
        self.text, self.edits = b"".join(pieces), edits

    def masked(self) -> "Draft":
        """Return the original with what was masked, and nothing else, changed."""
        draft = Draft(self.original)
        changes: list[Replacement] = []
        for edit in self.edits:
            if not edit.entity:
                continue
            if changes and edit.origin_start < changes[-1].end:  # both stand for a part of it
                last = changes.pop()
                edit = edit._replace(origin_start=last.start, origin_end=max(last.end, edit.origin_end))
            mask = f"<{edit.entity}>".encode()
            changes.append(Replacement(edit.origin_start, edit.origin_end, mask, edit.entity))
        draft.replace(changes)
        return draft


def _moved(edit: Edit, by: int) -> Edit:
    return edit._replace(start=edit.start + by, end=edit.end + by)
