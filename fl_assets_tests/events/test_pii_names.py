"""Names: what a finder reports is masked, and nothing passes when it crashes or is missing."""

import sys
from types import SimpleNamespace

import pytest

from fl_assets.events.pii_names import NamesUnavailableError, load_name_masking, mask_names
from fl_assets.events.redaction import UNREDACTABLE


def finding(text: str, *found: tuple[str, str]):
    return lambda _: [
        SimpleNamespace(start=text.index(part), end=text.index(part) + len(part), entity_type=kind)
        for part, kind in found
    ]


def test_names_and_places_are_masked_and_the_longer_of_two_wins():
    text = "Mia Garcia of Paris wrote"
    assert (
        mask_names(text, finding(text, ("Mia", "PERSON"), ("Mia Garcia", "PERSON"), ("Paris", "LOCATION")))
        == "<PERSON> of <LOCATION> wrote"
    )


def test_a_placeholder_that_looks_like_a_name_stays():
    text = "mail <EMAIL> now"
    assert mask_names(text, finding(text, ("EMAIL", "PERSON"))) == text


def test_a_crash_gives_unredactable():
    def crash(_: str) -> list:
        raise RuntimeError("model broke")

    assert mask_names("Mia Garcia", crash) == UNREDACTABLE


def test_a_missing_extra_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(NamesUnavailableError, match=r"FEDERATED_LEARNING_PII is on.*fl-assets\[pii\]"):
        load_name_masking()
