"""The summary that a node sends of a day instead of its events, its canonical bytes and signature.

What goes here: records, and the names of the rules of admission. What does not: counting (`counting.py`),
suppression and noise (`privacy.py`), checking a summary (`admission.py`). See docs/federation.md.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from fl_assets.core.models import Record, Signal
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.json_text import canonical_record
from fl_assets.sums.masking import MAX_MASKED_CHARS, NO_TEXT_PREFIX, mask_sql

FORMAT = "fl-assets-summary/1"
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest summary that is read, bytes."""
MAX_ROWS = 50_000
MAX_NAME, MAX_ERROR, MAX_COUNT = 200, MAX_MASKED_CHARS + 13, 10**12
OTHER = "(few sessions)"
"""Service and method of calls whose own names are suppressed."""
SIGNED_AS = b"fl-assets node summary 1\n"
"""Precedes the canonical form in the bytes that are signed."""
NODE_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Valid names of nodes: file names of keys, never paths."""
ADMISSION_RULES: Mapping[str, str] = {
    "size": f"a summary is one line of at most {MAX_LINE_BYTES} bytes",
    "format": "it is a signed summary in canonical form that breaks no bound",
    "schema_version": f"its format is {FORMAT}",
    "unknown_node": "the public key of its node is registered",
    "signature": "its node's key signed exactly this",
    "wrong_node": "it is signed by the node that it names, and not by another",
    "settings_match": "node and coordinator mask alike and agree on k and epsilon",
    "day": "its day is a partition that has begun",
    "replay": "its sequence number is above the highest ever taken of its node and day",
    "expired": "the raw events of its day have not been removed by retention",
}
"""Every rule of admission; a refusal begins with its name."""


class SummaryRefusedError(ValueError):
    """A summary that is refused; `rule` is one of ADMISSION_RULES."""

    def __init__(self, rule: str, detail: str, *, node_id: str = "", day: str = "") -> None:
        """Note the rule, in words what broke it, and the node and day that the line claims to be of."""
        super().__init__(f"{rule}: {detail}; must hold: {ADMISSION_RULES[rule]}")
        self.rule, self.detail, self.node_id, self.day = rule, detail, node_id, day


Name = Field(min_length=0, max_length=MAX_NAME)
Count = Field(ge=0, le=MAX_COUNT)
Rows = Field(max_length=MAX_ROWS, fail_fast=True)
"""The first row that breaks a rule ends it: a list of a million of them costs 10 GB."""
Durations = tuple[tuple[int, int], ...]
_LAST_YEAR = 9998
"""Of a time of writing, which has to be a time in every zone."""


SIGNALS: tuple[str, ...] = get_args(Signal)
"""Every signal that a conversation may show."""


class FailureCount(Record):
    """Failed calls of one method with one masked error."""

    service: str = Name
    method: str = Name
    error: str = Field(
        min_length=1,
        max_length=2 * MAX_NAME + MAX_ERROR,
        description="Masked error, or the stand-in for none.",
    )
    has_text: bool
    failures: int = Field(ge=1, le=MAX_COUNT)
    sessions: int = Count
    people: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        description="Persons among them: users where events name them, else sessions, else traces. Unknown "
        "with noise, which counts a session once.",
    )
    durations: Durations = Field(
        (),
        max_length=300,
        fail_fast=True,
        description="Bucket and calls, as in failure_signatures; with noise all SLOW buckets, as noise has "
        "left them, and only of failures that ran out of time.",
    )

    @model_serializer(mode="wrap")
    def _without_unknown(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out unknown `people`, so that lines of earlier releases stay canonical."""
        found = plain(self)
        if self.people is None:
            del found["people"]
        return found


class CallCount(Record):
    """Calls of one method."""

    service: str = Name
    method: str = Name
    calls: int = Field(ge=1, le=MAX_COUNT)
    failures: int = Count
    sessions: int = Count
    durations: Durations = Field(
        (),
        max_length=300,
        fail_fast=True,
        description="Bucket and successful calls; with noise COARSE buckets, and calls as noise has left "
        "them.",
    )


class TalkCount(Record):
    """Conversations of one agent that show one signal."""

    service: str = Name
    signal: Signal
    affected: int = Count
    sessions: int = Count
    turns: int = Count


class Suppressed(Record):
    """Sums of everything that too few sessions had to be named."""

    failures: int = Count
    calls: int = Count
    sessions: int = Count


class SharedSettings(Record):
    """Settings that node and coordinator must share for their numbers to be added."""

    mask_version: str = Field(pattern=r"^[0-9a-f]{12}$")
    min_sessions: int = Field(ge=1)
    epsilon: float = Field(ge=0, le=100, description="0 is no noise.")


class Summary(Record):
    """One node's day."""

    format: Literal["fl-assets-summary/1"] = FORMAT
    node_id: str = Field(pattern=NODE_ID)
    day: date
    sequence: int = Field(ge=1, le=MAX_COUNT, description="Rises with every new summary of the node.")
    created_at: datetime
    settings: SharedSettings
    events: int = Count
    failures: tuple[FailureCount, ...] = Rows
    calls: tuple[CallCount, ...] = Rows
    talk: tuple[TalkCount, ...] = Rows
    unnamed: Suppressed

    @field_validator("created_at")
    @classmethod
    def _is_a_time_in_every_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None or not 1970 <= value.year <= _LAST_YEAR:
            message = f"must have a zone and be of a year from 1970 to {_LAST_YEAR}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _rows_are_unique(self) -> "Summary":
        for keys in (
            [(one.service, one.method, one.error) for one in self.failures],
            [(one.service, one.method) for one in self.calls],
            [(one.service, one.signal) for one in self.talk],
        ):
            if len(set(keys)) < len(keys):
                message = (
                    "each (service, method, error), (service, method) and (service, signal) may be there once"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _failures_are_of_calls(self) -> "Summary":
        of_pair = {(one.service, one.method): one for one in self.calls}
        named: dict[tuple[str, str], int] = dict.fromkeys(of_pair, 0)
        for one in self.failures:
            pair = (one.service, one.method)
            if pair not in of_pair:
                message = f"failures of {pair} need its calls"
                raise ValueError(message)
            if not one.has_text and not is_stand_in(one.error, one.service, one.method):
                message = (
                    f"a failure of {pair} without a text must have the stand-in of its service and "
                    "method, with a status or none"
                )
                raise ValueError(message)
            named[pair] += one.failures
        for pair, one in of_pair.items():
            if not named[pair] <= one.failures <= one.calls:
                message = (
                    f"{pair}: {named[pair]} named failures, {one.failures} failures and {one.calls} "
                    "calls must not fall in this order"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _counts_are_possible(self) -> "Summary":
        for one in self.talk:
            if one.affected > one.sessions:
                message = f"{one.service} {one.signal}: {one.affected} of {one.sessions} conversations"
                raise ValueError(message)
        least = -MAX_COUNT if self.settings.epsilon else 1
        timed = [
            *((one.durations, one.failures) for one in self.failures),
            *((one.durations, one.calls) for one in self.calls),
        ]
        for durations, calls in timed:
            buckets = [bucket for bucket, _ in durations]
            is_exact = not self.settings.epsilon
            if (
                buckets != sorted(set(buckets))
                or not all(-1 <= bucket <= 240 for bucket in buckets)
                or not all(least <= of_bucket <= MAX_COUNT for _, of_bucket in durations)
                or (is_exact and sum(of_bucket for _, of_bucket in durations) > calls)
            ):
                message = (
                    "durations must be rising buckets from -1 to 240 with positive counts, together no more "
                    "than the calls (with noise, any)"
                )
                raise ValueError(message)
        return self

    @property
    def content(self) -> str:
        """Hash of the summary without its number and time."""
        same = self.model_copy(update={"sequence": 1, "created_at": datetime(2000, 1, 1, tzinfo=UTC)})
        return hashlib.sha256(canonical_record(same)).hexdigest()


class SignedSummary(Record):
    """A summary and its node's signature, base64."""

    signed: Summary
    signature: str = Field(max_length=100)


def summary_to_sign(summary: Summary) -> bytes:
    """Return the bytes that are signed: a line that names the kind of document, and the canonical form."""
    return SIGNED_AS + canonical_record(summary)


def is_stand_in(error: str, service: str, method: str) -> bool:
    """Whether a masked error is that of a failure without a text, with or without a status."""
    status = error.removeprefix(stand_in(service, method))
    return len(status) < len(error) and _STATUS.fullmatch(status) is not None


_STATUS = re.compile(r"(?: status=[A-Za-z0-9_.:/ -]{1,64})?")


def stand_in(service: str, method: str) -> str:
    """Return the start of the masked error of a failure without a text."""
    return f"{NO_TEXT_PREFIX} service={service} method={method}"


def mask_version() -> str:
    """Return a hash of the masking SQL, which must be the same on nodes and coordinator."""
    return hashlib.sha256(mask_sql("t").encode()).hexdigest()[:12]


def shared_settings(settings: FederatedLearningConfig) -> SharedSettings:
    """Return this machine's settings that a summary must share."""
    return SharedSettings(
        mask_version=mask_version(),
        min_sessions=settings.summary_min_sessions,
        epsilon=settings.summary_epsilon,
    )
