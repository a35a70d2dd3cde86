"""Checking a summary, and cleaning its texts.

What goes here: rules on a single summary. What does not: files and sequence numbers (`coordinator_side.py`).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import ValidationError

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import redact
from fl_assets.federation.rare import split_status
from fl_assets.federation.summary import (
    FORMAT,
    MAX_ERROR,
    MAX_LINE_BYTES,
    MAX_NAME,
    NODE_ID,
    SIGNED_AS,
    CallCount,
    Durations,
    FailureCount,
    SharedSettings,
    SignedSummary,
    Summary,
    SummaryRefusedError,
    TalkCount,
    stand_in,
)
from fl_assets.infra.json_text import canonical_json, canonical_record
from fl_assets.infra.keys import TrustedKeys

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def clean_text(text: str) -> str:
    """Return a text without control characters, personal data and secrets; an honest node's has none."""
    return redact(_CONTROL.sub(" ", text))


def read_summary(line: bytes, keys: TrustedKeys) -> Summary:
    """Return the summary in a line that the node which it names has signed.

    What nobody signed is read as plain JSON and no further: a stranger's line costs little.

    Args:
        line: as it came; hostile.
        keys: of the registered nodes, by name.

    Raises:
        SummaryRefusedError: size, format, schema_version, unknown_node, wrong_node or signature.
    """
    line = line.removesuffix(b"\n")
    if len(line) > MAX_LINE_BYTES:
        raise SummaryRefusedError("size", f"{len(line)} bytes")
    try:
        found = json.loads(line)
        signed, signature = found["signed"], found["signature"]
        stated, node = signed["format"], signed.get("node_id")
        is_canonical = canonical_json(found) == line
        content = SIGNED_AS + canonical_json(signed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SummaryRefusedError(
            "format", f"{type(error).__name__} while reading it as JSON with `signed` and `signature`"
        ) from error
    if stated != FORMAT:
        raise SummaryRefusedError("schema_version", repr(stated)[:80])
    if not is_canonical:
        raise SummaryRefusedError("format", "not in canonical form (sorted keys, no blanks, no key twice)")
    if not isinstance(node, str) or not isinstance(signature, str) or re.fullmatch(NODE_ID, node) is None:
        raise SummaryRefusedError("format", "signed.node_id or signature breaks its rule")
    claim = {"node_id": node, "day": str(signed.get("day"))[:10]}
    del found, signed
    if broken := _broken_signature(content, signature, node, keys):
        raise SummaryRefusedError(*broken, **claim)
    try:
        summary = SignedSummary.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # The message repeats names of our fields only, never content of the line.
        detail = f"{'.'.join(str(part) for part in first['loc'])[:80]} breaks its rule ({first['type']})"
        raise SummaryRefusedError("format", detail, **claim) from None
    if canonical_record(summary) != line:
        raise SummaryRefusedError("format", "a value is not in its canonical form", **claim)
    return summary.signed


def _broken_signature(content: bytes, signature: str, node: str, keys: TrustedKeys) -> tuple[str, str] | None:
    """Return the rule that a signature breaks, and how; None where the node that is named signed."""
    signer = keys.signed_by(content, signature, first=node)
    if signer not in (None, node):
        return "wrong_node", f"it says that it is of {node}, and {signer} signed it"
    if node not in keys.names:
        return "unknown_node", f"no {node}.pem is among the keys of registered nodes"
    if signer is None:
        return "signature", f"the key of {node} did not sign it: it was changed, or signed by another key"
    return None


def check_summary(
    summary: Summary, *, settings: FederatedLearningConfig, ours: SharedSettings, today: date
) -> None:
    """Refuse a summary that this coordinator cannot add to others.

    Raises:
        SummaryRefusedError: settings_match or day.
    """
    differing = [
        name for name in SharedSettings.model_fields if getattr(summary.settings, name) != getattr(ours, name)
    ]
    if differing:
        named = ", ".join(
            f"{name} is {getattr(summary.settings, name)} there and {getattr(ours, name)} here"
            for name in differing
        )
        raise SummaryRefusedError("settings_match", named, node_id=summary.node_id, day=str(summary.day))
    if not settings.start_date <= summary.day <= today:
        detail = f"{summary.day} is not between {settings.start_date} and {today}"
        raise SummaryRefusedError("day", detail, node_id=summary.node_id, day=str(summary.day))


def clean_summary(summary: Summary, masked: Mapping[str, str]) -> tuple[Summary, int]:
    """Return a summary with its texts cleaned and masked again, and how many of them changed.

    Args:
        summary: The summary, not trusted.
        masked: Masked form of each of `texts_to_mask(summary)`.

    Raises:
        SummaryRefusedError: format; rows that cleaning makes the same add up past a bound.
    """
    changed = 0

    def name(text: str) -> str:
        return clean_text(text)[:MAX_NAME]

    failures: dict[tuple[str, str, str], FailureCount] = {}
    for one in summary.failures:
        service, method = name(one.service), name(one.method)
        error = one.error.replace(stand_in(one.service, one.method), stand_in(service, method), 1)
        if one.has_text:
            error = _masked(one.error, masked)
        changed += (service, method, error) != (one.service, one.method, one.error)
        moved = one.model_copy(update={"service": service, "method": method, "error": error})
        failures[service, method, error] = _sum(
            failures.get((service, method, error)), moved, ("failures", "sessions")
        )
    calls: dict[tuple[str, str], CallCount] = {}
    for one in summary.calls:
        pair = (name(one.service), name(one.method))
        changed += pair != (one.service, one.method)
        calls[pair] = _sum(
            calls.get(pair),
            one.model_copy(update={"service": pair[0], "method": pair[1]}),
            ("calls", "failures", "sessions"),
        )
    talk: dict[tuple[str, str], TalkCount] = {}
    for one in summary.talk:
        service = name(one.service)
        changed += service != one.service
        talk[service, one.signal] = _sum(
            talk.get((service, one.signal)),
            one.model_copy(update={"service": service}),
            ("affected", "sessions", "turns"),
        )
    if not changed:
        return summary, 0
    update = {
        "failures": tuple(failures.values()),
        "calls": tuple(calls.values()),
        "talk": tuple(talk.values()),
    }
    try:
        return Summary.model_validate(summary.model_copy(update=update).model_dump()), changed
    except ValidationError:
        claim = {"node_id": summary.node_id, "day": str(summary.day)}
        raise SummaryRefusedError("format", "rows that become one add up past a bound", **claim) from None


def texts_to_mask(summary: Summary) -> list[str]:
    """Return the error texts to mask again: cleaned, without the status that masking appended."""
    return sorted({split_status(clean_text(one.error))[0] for one in summary.failures if one.has_text})


def _masked(error: str, masked: Mapping[str, str]) -> str:
    text, status = split_status(clean_text(error))
    return (masked[text] + status)[:MAX_ERROR] or "<EMPTY>"


def _sum(one: Any, other: Any, names: Sequence[str]) -> Any:
    """Add the counts of two rows that cleaning has made equal."""
    if one is None:
        return other
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    if hasattr(one, "durations"):
        sums["durations"] = merge_durations(one.durations, other.durations)
    return one.model_copy(update=sums)


def merge_durations(*given: Iterable[tuple[int, int]]) -> Durations:
    """Return the sum of histograms, by bucket."""
    found: dict[int, int] = {}
    for one in given:
        for bucket, calls in one:
            found[bucket] = found.get(bucket, 0) + calls
    return tuple(sorted(found.items()))
