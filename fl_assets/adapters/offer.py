"""One version of an adapter, as far as a decision about it needs to know."""

from pydantic import Field

from fl_assets.core.models import Record


class AdapterOffer(Record):
    """One version of an adapter that a catalogue offers, with every named refusal of its admission."""

    adapter_id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    installed_version: str | None = None
    skills: tuple[str, ...] = Field(
        (), description="What it is trained for, e.g. tool_calling; without any it is taken for every need."
    )
    refusals: tuple[str, ...] = Field((), description="Empty when it is admissible.")
