"""Errors that more than one module raises or catches. An error with a single home stays there."""

import re


class LakeError(RuntimeError):
    """A manifest or a lake that cannot be used; the text names it and the remedy."""


class ForeignKeyError(RuntimeError):
    """A lake whose pseudonyms were made with another key; the text says what to do."""


class IngestBusyError(RuntimeError):
    """Another process has been writing to the lake for longer than we wait."""


class ConcurrentCommitError(RuntimeError):
    """Another coordinator committed to a lake on an object store since it was read."""


class NeedsHumanError(RuntimeError):
    """A change could be neither finished nor rolled back; the text names the files."""


def first_words(error: Exception) -> str:
    """Return the first line of an object store's error: the rest may quote the request, with its secrets."""
    return re.split(r"[<\n]", str(error))[0][:300].strip()
