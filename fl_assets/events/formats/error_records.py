"""Error records of the self-improvement engine: one object, a list, or one per line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.seam import (
    DEFAULT_OPTIONS,
    EventLine,
    Format,
    Lines,
    ReadOptions,
    RefusedLine,
    json_records,
)


def _utc(value: Any) -> Any:
    """Read a time; UTC without a zone."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    raise ValueError("must be an ISO 8601 time")


def _utc_or_none(value: Any) -> Any:
    """Read a time; None for what is none."""
    try:
        return _utc(value)
    except (ValueError, OverflowError):
        return None


def _texts(value: Any) -> Any:
    """Read a text or a list; null is empty, entries that are no text become JSON."""
    if value is None:
        return ()
    entries = value if isinstance(value, list) else [value]
    return tuple(
        entry if isinstance(entry, str) else orjson.dumps(entry, option=orjson.OPT_SORT_KEYS).decode()
        for entry in entries
        if entry is not None
    )


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class ErrorRecord(BaseModel):
    """One record as the self-improvement engine writes it; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: str = Field(min_length=1)
    request_id: str | None = None
    failure_type: str | None = None
    error_category: str | None = None
    error_stage: str | None = None
    target_service: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    contributing_tools: Texts = ()
    suspected_prompts_or_configs: Texts = ()
    proposed_corrections: Texts = ()
    created_at: Annotated[datetime, BeforeValidator(_utc)]
    updated_at: Annotated[datetime | None, BeforeValidator(_utc_or_none)] = None


def error_record(value: Any) -> dict[str, Any]:
    """Validate one record; return its row of `error_records` (`timestamp` aware, UTC).

    Raises:
        ValueError: naming each field that breaks its rule, and the rule.
    """
    try:
        record = ErrorRecord.model_validate(value)
    except ValidationError as error:
        places = [".".join(map(str, problem["loc"])) or "record" for problem in error.errors()]
        texts = [problem["msg"].removeprefix("Value error, ") for problem in error.errors()]
        rules = (f"{place}: {text}" for place, text in zip(places, texts, strict=True))
        raise ValueError("; ".join(rules)) from error
    row = record.model_dump(exclude={"id", "created_at"})
    lists = {name: list(values) for name, values in row.items() if isinstance(values, tuple)}
    return {
        "event_date": record.created_at.date(),
        "record_id": record.id,
        "timestamp": record.created_at,
        **row,
        **lists,
    }


def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[EventLine | RefusedLine]:
    """Yield the rows of a file, and one refusal for each line with bad records."""
    del options  # records have their own days
    for entry in json_records(lines):
        if isinstance(entry, RefusedLine):
            yield entry
            continue
        line, value = entry
        records = value if isinstance(value, list) else [value]
        bad: list[str] = []
        for record in records:
            try:
                yield EventLine(line, orjson.dumps(error_record(record), option=orjson.OPT_UTC_Z))
            except (ValueError, orjson.JSONEncodeError) as error:
                bad.append(str(error))
        if bad:
            yield RefusedLine(line, "bad_record", f"{len(bad)} of {len(records)} records: {bad[0]}", len(bad))


FORMAT = Format(
    "error_records",
    "Error records of the self-improvement engine (JSON or JSONL).",
    has_all(json_key("failure_type"), json_key("error_category|error_stage|error_message|error_type")),
    read,
    table="error_records",
)
