"""Errors that more than one module raises or catches. An error with a single home stays there."""

import re

from pydantic import ValidationError


class ExplainedError(RuntimeError):
    """An error whose text says what happened and what to do: commands end with it, without a traceback."""


class LakeError(ExplainedError):
    """A manifest or a lake that cannot be used; the text names it and the remedy."""


class ForeignKeyError(ExplainedError):
    """A lake whose pseudonyms were made with another key; the text says what to do."""


class IngestBusyError(ExplainedError):
    """Another process has been writing to the lake for longer than we wait."""


class ConcurrentCommitError(ExplainedError):
    """Another coordinator committed to a lake on an object store since it was read."""


class NeedsHumanError(ExplainedError):
    """A change could be neither finished nor rolled back; the text names the files."""


def unreadable(what: str, error: ValidationError, remedy: str) -> str:
    """Return why a record on disk cannot be read, and what to do: another remedy where it may be newer.

    Args:
        what: the place.
        error: what its fields broke.
        remedy: for one that is damaged.
    """
    broken = {one["type"] for one in error.errors(include_url=False, include_input=False)}
    if broken == {"literal_error"}:  # a word that is not known: nothing says whose
        return (
            f"{what} has a word that this release does not know. Where a later release wrote it, use that "
            f"release; where it is damaged, {remedy}. Nothing was changed"
        )
    if broken <= {"extra_forbidden", "literal_error"}:
        return f"{what} was written by a later release. Use that release; nothing was changed"
    return f"{what} cannot be read; {remedy}"


def first_words(error: Exception) -> str:
    """Return the first line of an object store's error: the rest may quote the request, with its secrets."""
    return re.split(r"[<\n]", str(error))[0][:300].strip()
