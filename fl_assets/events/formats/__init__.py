"""Input formats other than the telemetrist's own JSONL, and their detection.

Each format is one module of this package with a `FORMAT` (or `FORMATS`); a new file is a new format, nothing
else has to be edited (docs/formats.md shows one). The telemetrist's JSONL is read natively by the engine.

Use::

    format = detect(name, head)                 # None: the telemetrist's JSONL
    for result in format.read(enumerate(lines, 1), options):
        ...                                     # EventLine(line, data), EvaluationLine(line, data)
                                                # or RefusedLine(line, reason, detail, events)
"""

import pkgutil
from importlib import import_module

from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.telemetrist_document import FORMAT as DOCUMENT
from fl_assets.events.formats.telemetrist_document import NATIVE

HEAD_BYTES = 65_536
"""First bytes of a file, decompressed, that `detect` needs, if the file has as many."""


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
"""Every format, in the order in which they are tried."""


def detect(name: str, head: bytes, own: tuple[Format, ...] = ()) -> Format | None:
    """Return the format of a file; None for the telemetrist's JSONL, or for none.

    `head` are the file's first `HEAD_BYTES`, decompressed; `own` are the formats of the user's mappings.
    """
    head = head.lstrip()  # which some patterns would try in many ways
    if NATIVE.search(head):
        return DOCUMENT if DOCUMENT.matches(name, head) else None
    return next((entry for entry in (*own, *FORMATS) if entry.matches(name, head)), None)
