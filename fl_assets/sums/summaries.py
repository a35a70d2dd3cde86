"""Sums that nodes send instead of events, as the stores of sums and patterns use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol


@dataclass(frozen=True)
class SummaryRows:
    """Rows of failure_signatures, call_totals and conversation_signals."""

    signatures: list[dict[str, Any]]
    totals: list[dict[str, Any]]
    signals: list[dict[str, Any]]


class Summaries(Protocol):
    """The summaries that were taken in."""

    def nodes(self, day: date) -> Mapping[str, Mapping[str, Any]]:
        """Return the nodes with a summary, by name, each with the variance of the `noise` on a number."""
        ...

    def rows(self, day: date) -> SummaryRows:
        """Return the sums of these summaries."""
        ...
