"""Masking names of persons and places after redaction, by presidio and a spaCy model.

Off unless FEDERATED_LEARNING_PII is on: a model takes milliseconds per text, misses names, and mistakes words
for names. What has a form of its own (`events/redaction`) needs no model.
"""

import logging
from collections.abc import Callable
from typing import Any

from fl_assets.events.redaction import UNREDACTABLE

MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
"""Usable spaCy models, best first; one must be installed, none is downloaded."""
PLACEHOLDERS = {"PERSON": "<PERSON>", "LOCATION": "<LOCATION>"}
MIN_SCORE = 0.5


class NamesUnavailableError(RuntimeError):
    """FEDERATED_LEARNING_PII is on, but presidio or a spaCy model is not installed."""


def load_name_masking() -> Callable[[str], str]:
    """Return a function that masks names of persons and places in a redacted text.

    Raises:
        NamesUnavailableError: the extra `[pii]` or a spaCy model is missing.
    """
    try:
        import spacy.util  # ty: ignore[import-not-found] - of the extra [pii], as are the next
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # ty: ignore[import-not-found]
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # ty: ignore[import-not-found]
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer  # ty: ignore[import-not-found]
    except ImportError as error:
        raise NamesUnavailableError(
            f"FEDERATED_LEARNING_PII is on, but {error.name} is not installed: "
            "pip install 'fl-assets[pii]', or turn it off"
        ) from error
    model = next((name for name in MODELS if spacy.util.is_package(name)), None)
    if model is None:
        raise NamesUnavailableError(
            f"FEDERATED_LEARNING_PII is on, but none of the spaCy models {', '.join(MODELS)} is installed: "
            f"python -m spacy download {MODELS[-1]}"
        )
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    nlp = NlpEngineProvider(
        nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
    ).create_engine()
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_entities=list(PLACEHOLDERS))], supported_languages=["en"]
    )
    analyzer = AnalyzerEngine(nlp_engine=nlp, registry=registry, supported_languages=["en"])
    return lambda text: mask_names(
        text,
        lambda value: analyzer.analyze(value, "en", entities=list(PLACEHOLDERS), score_threshold=MIN_SCORE),
    )


def mask_names(text: str, find: Callable[[str], list[Any]]) -> str:
    """Replace what `find` reports (`start`, `end`, `entity_type`), the longest of those that overlap.

    If `find` fails, the text becomes UNREDACTABLE.
    """
    try:
        taken: list[Any] = []
        for found in sorted(find(text), key=lambda f: (f.start - f.end, f.start, f.entity_type)):
            # A placeholder of redaction, `<EMAIL>`, may look like a name.
            is_placeholder = (
                "<" in text[max(0, found.start - 1) : found.end] and ">" in text[found.start : found.end + 1]
            )
            if not is_placeholder and all(
                found.end <= other.start or found.start >= other.end for other in taken
            ):
                taken.append(found)
        for found in sorted(taken, key=lambda f: -f.start):
            text = text[: found.start] + PLACEHOLDERS[found.entity_type] + text[found.end :]
    except Exception:  # fails closed, as `redact` does
        return UNREDACTABLE
    return text
