"""The simulated fleet's services, planted failures and noise, from `catalogue.yaml`.

What does not go here: how often and where failures happen (`plan.py`), words (`words.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fl_assets.core.data import read_data
from fl_assets.core.models import ErrorClass, Signal

Shape = Literal["chronic", "new", "rising", "fixed", "single_node", "burst", "rare"]


@dataclass(frozen=True)
class Method:
    """A method: its share of calls (`weight`) and its latency, log-normal around `median_ms` with `sigma`."""

    service: str
    name: str
    weight: float
    median_ms: float
    sigma: float
    arguments: str = ""


@dataclass(frozen=True)
class Cause:
    """A visible cause of failures, which attempts that then work lack.

    One of three: failing calls have `given` in their arguments where others have `instead_of`; the same in an
    `attribute` of their metadata; or the call `before` (a service and a method) is missing.
    """

    given: str = ""
    instead_of: str = ""
    attribute: str = ""
    before: tuple[str, str] | None = None


@dataclass(frozen=True)
class CallFailure:
    """A failure of `rate` of the calls to `targets` on `node_share` of the nodes (above 1: their number)."""

    id: str
    failure_class: ErrorClass
    shape: Shape
    targets: tuple[tuple[str, str], ...]
    rate: float
    node_share: float
    text: str | None
    status: str
    duration_ms: float | None = None
    cause: Cause | None = None
    is_harmless: bool = False
    """Whether it is a result rather than a failure, for which no playbook should be made."""


@dataclass(frozen=True)
class TalkFailure:
    """A failure that `rate` of the sessions of `agent` show as `signal`, on `node_share` of the nodes."""

    id: str
    signal: Signal
    shape: Shape
    agent: str
    rate: float
    node_share: float


@dataclass(frozen=True)
class Noise:
    """A sporadic failure on one node at a time, of no meaning for the fleet."""

    service: str
    method: str
    text: str
    status: str = "error"


_DATA: dict[str, Any] = read_data(Path(__file__).with_suffix(".yaml"))

METHODS = tuple(Method(**row) for row in _DATA["methods"])
METHOD_INDEX = {(method.service, method.name): index for index, method in enumerate(METHODS)}
AGENTS = tuple(row["name"] for row in _DATA["agents"])
AGENT_SHARES = tuple(row["share"] for row in _DATA["agents"])


def _call_failure(row: dict[str, Any]) -> CallFailure:
    fields, cause = dict(row), row.get("cause")
    fields["targets"] = tuple((service, method) for service, method in row["targets"])
    if cause:
        fields["cause"] = _cause(cause)
    return CallFailure(**fields)


def _cause(row: dict[str, Any]) -> Cause:
    fields = dict(row)
    if "before" in row:
        fields["before"] = tuple(row["before"])
    return Cause(**fields)


CALL_FAILURES = tuple(map(_call_failure, _DATA["call_failures"]))
CAUSES = tuple(
    (METHOD_INDEX[target], failure.cause)
    for failure in CALL_FAILURES
    if failure.cause
    for target in failure.targets
)
"""Method and cause, of every failure that has one."""
TALK_FAILURES = tuple(TalkFailure(**row) for row in _DATA["talk_failures"])
NOISE = tuple(
    Noise(METHODS[(index * 7) % len(METHODS)].service, METHODS[(index * 7) % len(METHODS)].name, text)
    for index, text in enumerate(_DATA["noise_texts"])
)
