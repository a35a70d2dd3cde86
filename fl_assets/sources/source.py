"""Entries of sources.yaml, and the interface between one kind of server and the pull.

What does not go here: any server's API (one file each), requests (`api.py`), files (`pull.py`).
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fl_assets.core.models import Record
from fl_assets.core.settings import PlainUrl
from fl_assets.infra.rule_files import read_rules

if TYPE_CHECKING:
    from fl_assets.sources.api import Api

_VARIABLE = r"^([A-Za-z_][A-Za-z0-9_]{0,99})?$"


class SourceError(RuntimeError):
    """A request to a source failed; the text says why and has no token."""

    def __init__(self, reason: str, *, status: int = 0) -> None:
        """Store the reason, and the HTTP status, 0 for none."""
        super().__init__(reason)
        self.status = status


class RemoteSource(Record):
    """One entry of sources.yaml."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Folder below the telemetry folder; the node's name where none is named and `node` is not given."""
    kind: Literal["langfuse", "phoenix", "mlflow", "langsmith", "clickhouse"]
    url: PlainUrl = Field(min_length=1)
    """Address of the server, perhaps with a path before its API."""
    project: str = Field("", max_length=200)
    """Phoenix and LangSmith: name or id of the project; MLflow: of the experiment; ClickHouse: the
    database."""
    node: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    """The node's name where the traces name none."""
    page_size: int | None = Field(None, ge=1, le=100_000)
    """Records asked for at once; by default what the server allows."""
    token_env: str = Field("", pattern=_VARIABLE)
    """Environment variable that holds the token, key or password."""
    user_env: str = Field("", pattern=_VARIABLE)
    """Environment variable that holds the user (Langfuse: the public key)."""
    logs: bool = False
    """ClickHouse: pull `otel_logs` too."""


@dataclass(frozen=True)
class Interval:
    """A day, UTC: `start` included, `end` excluded."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, day: date) -> "Interval":
        """Return the interval of a day."""
        start = datetime.combine(day, time(), UTC)
        return cls(start, start + timedelta(days=1))


Cursor = dict[str, Any]
"""Where the next page begins, as JSON; {} for the first."""


@dataclass(frozen=True)
class Page:
    """Part of a day's records."""

    records: Iterable[Mapping[str, Any] | bytes]
    """Each as the server sent it; bytes are JSON already. What is asked for one by one is yielded."""
    after: Cursor | None
    """Where the next page begins; None after the last."""


@dataclass(frozen=True)
class Ask:
    """One request for a page of a day's records."""

    source: RemoteSource
    day: Interval
    cursor: Cursor
    api: "Api"

    def rows(self, usual: int, most: int) -> int:
        """Return how many records to ask for: the source's page size, else `usual`; `most` at most."""
        return min(self.source.page_size or usual, most)

    def between(self, first: str, last: str) -> list[tuple[str, Any]]:
        """Return the day's begin and end as two parameters of a query."""
        return [(first, rfc3339(self.day.start)), (last, rfc3339(self.day.end))]


@dataclass(frozen=True)
class SourceKind:
    """One kind of server: its headers of authentication, and how a page is read."""

    headers: Callable[[str, str], Mapping[str, str]]
    """Returns the headers for user and token, each of which may be ''."""
    page: Callable[[Ask], Page]


def basic_or_bearer(user: str, token: str) -> dict[str, str]:
    """Return a header of HTTP authentication: Basic (RFC 7617) with a user, else Bearer (RFC 6750)."""
    if user:
        return {"authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}
    return {"authorization": f"Bearer {token}"} if token else {}


def rfc3339(when: datetime) -> str:
    """Return a time as these APIs take it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def objects_in(answer: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the list of objects under a key of an answer.

    Raises:
        SourceError: the answer has another shape.
    """
    found = answer.get(key) if isinstance(answer, Mapping) else None
    if isinstance(found, list) and all(isinstance(entry, Mapping) for entry in found):
        return found
    raise SourceError(f"answers without a list of objects as {key!r}: is the url that of the server's API?")


def read_sources(path: Path | None) -> tuple[RemoteSource, ...]:
    """Read sources.yaml; no sources without a file.

    Raises:
        RuleFileError: naming file, line and rule, but no value, which may be a token.
    """
    return read_rules(path, RemoteSource, section="sources", key="name", show=False) if path else ()
