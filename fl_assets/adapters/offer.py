"""The part of a catalogue's row that decisions read."""

from pydantic import Field

from fl_assets.core.models import Record


class AdapterOffer(Record):
    """One version of an adapter that the catalogue offers, with the admission rules that it breaks."""

    adapter_id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    installed_version: str | None = None
    skills: tuple[str, ...] = ()
    """What it is trained for, e.g. tool_calling; without any it is taken for every need."""
    refusals: tuple[str, ...] = ()
    """Empty when it is admissible."""
