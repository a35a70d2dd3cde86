"""Input formats other than the telemetrist's own JSONL: which one a file is, and its rows.

What goes here: `detect` and the list of formats. Each format is one module of this package that has a
`FORMAT` (or `FORMATS`); a new file is a new format, nothing else has to be edited (docs/formats.md shows
one). What does not: the telemetrist's JSONL, which the engine reads natively.

The engine's part::

    format = detect(name, head)                 # None: the telemetrist's JSONL
    for result in format.read(enumerate(lines, 1), options):
        ...                                     # EventLine(line, data), EvaluationLine(line, data)
                                                # or RefusedLine(line, reason, detail, events)
"""

import pkgutil
from importlib import import_module

from fl_assets.events.formats.seam import (
    MAX_DOCUMENT_BYTES,
    EvaluationLine,
    EventLine,
    Format,
    Lines,
    Read,
    ReadOptions,
    RefusedLine,
)
from fl_assets.events.formats.telemetrist_document import FORMAT as DOCUMENT
from fl_assets.events.formats.telemetrist_document import NATIVE

__all__ = [
    "FORMATS",
    "HEAD_BYTES",
    "MAX_DOCUMENT_BYTES",
    "EvaluationLine",
    "EventLine",
    "Format",
    "Lines",
    "Read",
    "ReadOptions",
    "RefusedLine",
    "detect",
]

HEAD_BYTES = 65_536
"""First bytes of a file, decompressed, that `detect` wants to see; fewer will do for a short file."""


def _formats() -> tuple[Format, ...]:
    """Collect the formats of every module of this package, in the order of their file names."""
    modules = [
        import_module(f"{__name__}.{module.name}")
        for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name)
    ]
    return tuple(
        entry
        for module in modules
        for entry in (*getattr(module, "FORMATS", ()), *filter(None, [getattr(module, "FORMAT", None)]))
    )


FORMATS: tuple[Format, ...] = _formats()
"""Every format, in the order in which they are asked."""


def detect(name: str, head: bytes, own: tuple[Format, ...] = ()) -> Format | None:
    """Say which format a file is, by its first bytes and, where they do not tell, its name.

    None is the telemetrist's JSONL.

    Args:
        name: name of the file, without `.gz` or `.zst`.
        head: its first bytes, decompressed: `HEAD_BYTES` or what there is.
        own: formats of the deployment's own mappings, which are asked before all others.
    """
    if NATIVE.search(head):
        return DOCUMENT if DOCUMENT.matches(name, head) else None
    return next((entry for entry in (*own, *FORMATS) if entry.matches(name, head)), None)
