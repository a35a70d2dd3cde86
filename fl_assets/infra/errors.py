"""Errors that more than one module of `infra` or a later stage raises or catches.

What goes here: errors whose module would otherwise have to import the one that raises them. An error with a
single home stays there.
"""


class LakeError(RuntimeError):
    """A manifest that cannot be read, or a lake that cannot be used; the text names it and the remedy."""


class ForeignKeyError(RuntimeError):
    """A lake whose pseudonyms were made with another key; the text says how to go on."""


class IngestBusyError(RuntimeError):
    """Another process has been writing to the lake for longer than we wait."""


class ConcurrentCommitError(RuntimeError):
    """Another coordinator committed to a lake on an object store since it was read."""


class NeedsHumanError(RuntimeError):
    """A change could be neither finished nor taken back.

    The text names the files; nothing more is changed until a person has looked.
    """
