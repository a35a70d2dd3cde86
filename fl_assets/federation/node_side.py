"""On a node: writing summaries, the ledger of those sent and the epsilon spent, and the signing key.

What goes here: counting a day, appending to the ledger, writing lines. What does not: suppression and noise
(`privacy.py`), accepting summaries (`coordinator_side.py`).

The ledger is a file of JSON lines, appended and synced before a summary leaves: a crash may waste a number or
an epsilon, and never lets one be used twice. A day with noise is never counted again; its stored line is
sent. The ledger accounts for the epsilon spent, so it belongs in the node's backup.
"""

import hashlib
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from fl_assets.core.models import Record
from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES
from fl_assets.events.engine import Engine
from fl_assets.federation.admission import clean_text
from fl_assets.federation.coordinator_side import mask_texts
from fl_assets.federation.counting import BOUNDED_SQL, EXACT_SQL, MAX_CALLS, SEEN_SQL, SESSION_SQL, DayCounts
from fl_assets.federation.names import NOTHING_KNOWN, KnownNames
from fl_assets.federation.privacy import publish
from fl_assets.federation.rare import shared_templates, split_status
from fl_assets.federation.summary import NODE_ID, SignedSummary, Summary, shared_settings, summary_to_sign
from fl_assets.infra.clock import now_utc
from fl_assets.infra.disk import Disk, locked, write_atomically
from fl_assets.infra.errors import unreadable
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import make_private_key, public_pem, sign
from fl_assets.infra.open_lake import open_lake
from fl_assets.patterns.classes import load_failure_classes, rule_of

BUDGET_DAYS = 30
"""Length of the sliding window, in days, that the budget applies to."""


class SummaryError(RuntimeError):
    """A summary cannot be written; the text says why and what to do."""


class LedgerEntry(Record):
    """One line of the ledger: a summary that may have been sent."""

    sequence: int = Field(ge=1)
    day: date
    epsilon: float = Field(ge=0)
    content: str = Field(description="Hash of the summary without its number and time.")
    digest: str = Field(description="SHA-256 of the line that was sent.")
    at: datetime


@dataclass(frozen=True)
class DaySummary:
    """One day's line, and whether it had been sent before."""

    line: bytes
    summary: Summary
    is_new: bool


class NodeSummaries:
    """Summaries of one node, kept in `federation/` below the data folder."""

    def __init__(
        self,
        settings: FederatedLearningConfig,
        engine: Engine,
        *,
        clock: Callable[[], datetime] = now_utc,
        random: Random | None = None,
    ) -> None:
        """Use the node's own engine and lake; `random` is for tests."""
        self._settings = settings
        self._engine = engine
        self._lake = open_lake(settings)
        self._clock = clock
        self._random = random or secrets.SystemRandom()
        self._folder = settings.data_path / "federation"
        self._disk = Disk()

    @property
    def key_path(self) -> Path:
        """Path of the private key that signs."""
        return self._settings.node_key_path or self._folder / "node.key"

    @property
    def ledger_path(self) -> Path:
        """Path of the ledger."""
        return self._folder / "ledger.jsonl"

    def summarize_day(self, day: date) -> DaySummary:
        """Return the signed summary of a day: the earlier one if it had noise or nothing has changed.

        Raises:
            SummaryError: the day has no events, is not over or was sent without noise before, the
                telemetry is of several nodes, or the budget is spent.
        """
        settings = shared_settings(self._settings)
        if self._settings.summary_delta > 1 - math.exp(-settings.epsilon / MAX_CALLS):
            message = (
                f"{PREFIX}SUMMARY_DELTA needs a larger {PREFIX}SUMMARY_EPSILON: noise decides about names"
            )
            raise SummaryError(message)
        with self._locked():
            spent = self.ledger()
            known = [one for one in spent if one.day == day]
            noised = [one for one in known if one.epsilon]
            if noised:
                return self._resend(noised[-1])
            if known and settings.epsilon:
                message = (
                    f"{day} was sent without noise (number {known[-1].sequence}): noise hides "
                    "nothing of it any more, so no budget is spent on it"
                )
                raise SummaryError(message)
            node_id, counts = self._count(day)
            now = self._clock().astimezone(UTC)
            if settings.epsilon and day >= now.date():
                message = (
                    f"{day} is not over (UTC): with {PREFIX}SUMMARY_EPSILON a day is sent once, so "
                    "summarize it when it has ended"
                )
                raise SummaryError(message)
            self._check_budget(day, spent)
            made = publish(
                counts,
                node_id=node_id,
                day=day,
                sequence=max((one.sequence for one in spent), default=0) + 1,
                created_at=now.replace(microsecond=0),
                settings=settings,
                random=self._random,
                delta=self._settings.summary_delta,
                known=self._known_names(spent),
            )
            if known and known[-1].content == made.content:
                return self._resend(known[-1])
            line = canonical_record(
                SignedSummary(signed=made, signature=sign(self.key(), summary_to_sign(made)))
            )
            self._keep(line, made)
            return DaySummary(line, made, is_new=True)

    def key(self) -> Ed25519PrivateKey:
        """Return the signing key, made at first use, after writing its public half for the coordinator."""
        key = make_private_key(self.key_path)
        public = self.public_path
        if not public.exists() or public.read_bytes() != public_pem(key):
            write_atomically(public, public_pem(key))
        return key

    @property
    def public_path(self) -> Path:
        """Path of the public half of the key."""
        return self.key_path.with_suffix(".pub.pem")

    def ledger(self) -> list[LedgerEntry]:
        """Return every summary that may have been sent, oldest first.

        Raises:
            SummaryError: a complete line cannot be read, or a number does not rise.
        """
        found: list[LedgerEntry] = []
        for number, line in enumerate(self._lines(), start=1):
            try:
                found.append(LedgerEntry.model_validate_json(line))
            except ValidationError as error:
                remedy = "restore the file from a backup, for it says what was spent"
                what = f"line {number} of {self.ledger_path}"
                raise SummaryError(unreadable(what, error, remedy)) from error
            if len(found) > 1 and found[-1].sequence <= found[-2].sequence:
                message = (
                    f"line {number} of {self.ledger_path} has number {found[-1].sequence} after "
                    f"{found[-2].sequence}; restore the file from a backup"
                )
                raise SummaryError(message)
        return found

    def spent(self) -> Fraction:
        """Return the epsilon spent in the last BUDGET_DAYS days."""
        last = self._clock().astimezone(UTC).date()
        recent = (one for one in self.ledger() if (last - one.day).days < BUDGET_DAYS)
        return sum((Fraction(str(one.epsilon)) for one in recent), Fraction(0))

    @property
    def budget(self) -> float:
        """Most epsilon that may be spent in BUDGET_DAYS days."""
        return self._settings.summary_budget

    def days(self, first: date, last: date) -> list[date]:
        """Return the days of a range with events of the node."""
        known = {*self._lake.days(RAW_TRACES.name), *self._lake.days(CONVERSATION_LOGS.name)}
        return sorted(day for day in known if first <= day <= last)

    # How ------------------------------------------------------------------------------------------------

    def _check_budget(self, day: date, spent: Iterable[LedgerEntry]) -> None:
        """Refuse a day if any BUDGET_DAYS consecutive days with it would exceed the budget."""
        epsilon = Fraction(str(self._settings.summary_epsilon))
        budget = Fraction(str(self._settings.summary_budget))
        total = most_in_a_row(
            [*((one.day, Fraction(str(one.epsilon))) for one in spent), (day, epsilon)], day
        )
        if epsilon and total > budget:
            message = (
                f"the budget is spent: {float(total - epsilon):g} of "
                f"{PREFIX}SUMMARY_BUDGET={float(budget):g} has gone into "
                f"{BUDGET_DAYS} days around {day}, which needs {float(epsilon):g} more. Days that were "
                "sent already can be sent "
                "again; the budget renews as days pass. Raise it only if that much may be learned of one "
                "session"
            )
            raise SummaryError(message)

    def _count(self, day: date) -> tuple[str, DayCounts]:
        """Count a day as a coordinator would, or, with noise, with each session's contribution bounded."""
        with self._engine.connect() as connection:
            events = 0
            for table in (RAW_TRACES, CONVERSATION_LOGS):
                files = [os.fspath(path.resolve()) for path in self._lake.files(table.name, [day])]
                if files:
                    connection.read_parquet(files, hive_partitioning=False).create_view(table.name)
                else:
                    connection.execute(table.ddl)
                manifest = self._lake.manifest(table.name, day)
                events += manifest.rows if manifest else 0
            if not events:
                message = (
                    f"no events of {day} are in {self._settings.lake_path}: put telemetry into "
                    f"{self._settings.telemetry_path}, or name another --date"
                )
                raise SummaryError(message)
            nodes = connection.execute(
                "select distinct node_id from (select node_id from raw_traces union all select node_id "
                "from conversation_logs) order by 1"
            )
            node_id = self._node_of([node for (node,) in nodes.fetchall()], day)
            for statement in SESSION_SQL:
                connection.execute(statement)
            if not self._settings.summary_delta:  # templates hang on exact counts
                self._templates(connection)
            seen = {kind: dict(connection.execute(sql).fetchall()) for kind, sql in SEEN_SQL.items()}
            statements = BOUNDED_SQL if self._settings.summary_epsilon else EXACT_SQL
            failures, calls, talk = (
                _records(connection, statements[name]) for name in ("failures", "calls", "talk")
            )
            if self._settings.summary_epsilon:
                failures = [row if _ran_out_of_time(row) else row | {"durations": ()} for row in failures]
            return node_id, DayCounts(events, failures, calls, talk, seen)

    def _templates(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Replace errors that too few sessions had by templates."""
        k = self._settings.summary_min_sessions
        seen = dict(
            connection.execute(
                "select masked_error, count(distinct node_id) from fl_failed where has_text group by 1"
            ).fetchall()
        )
        shared = shared_templates(seen, k)
        texts = sorted({split_status(template)[0] for template in shared.values()})
        once = mask_texts(texts)
        # A template must not change when the coordinator masks it again.
        lasting = {
            text: masked
            for text, masked, again in zip(texts, once, mask_texts(once), strict=True)
            if masked == again == clean_text(masked)
        }
        parts = {error: split_status(template) for error, template in shared.items()}
        sent = {error: lasting[text] + status for error, (text, status) in parts.items() if text in lasting}
        columns = {"error": sent.keys(), "template": sent.values()}
        given = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        connection.register("fl_given", given)
        connection.execute("create temp table fl_templates as select * from fl_given")
        connection.unregister("fl_given")
        connection.execute("""create or replace temp table fl_failed as
            select fl_failed.* replace (coalesce(template, masked_error) as masked_error)
            from fl_failed left join fl_templates on error = masked_error and has_text""")

    def _known_names(self, spent: Iterable[LedgerEntry]) -> KnownNames:
        """Return the names of earlier summaries and of those in `known/`, which others may have published."""
        if not self._settings.summary_delta:
            return NOTHING_KNOWN
        found = [self._resend(one).summary for one in spent]
        for path in sorted((self._folder / "known").glob("*.jsonl")):
            try:
                lines = path.read_bytes().splitlines()
                found += [SignedSummary.model_validate_json(line).signed for line in lines]
            except ValidationError as error:
                message = f"{path} must hold summaries alone; take it away, or copy it again"
                raise SummaryError(message) from error
        return KnownNames.of(found)

    def _node_of(self, found: list[str], day: date) -> str:
        own = self._settings.node_id
        others = [node for node in found if node not in (own, "unknown")]
        if own and not others:
            return own
        if not own and len(others) == 1 and re.fullmatch(NODE_ID, others[0]):
            return others[0]
        named = ", ".join(others[:5]) or "nobody by name"
        if own:
            message = (
                f"the telemetry of {day} is of {named}, and {PREFIX}NODE_ID is {own}: a summary "
                "speaks for one node. Set NODE_ID or TELEMETRY_PATH right"
            )
        else:
            message = (
                f"the telemetry of {day} is of {named}: set {PREFIX}NODE_ID to the one name "
                "(letters, digits, '.', '-', '_') that this node has in it"
            )
        raise SummaryError(message)

    def _resend(self, one: LedgerEntry) -> DaySummary:
        path = self._sent(one.day, one.sequence)
        try:
            line = path.read_bytes()
        except FileNotFoundError:
            line = b""
        if hashlib.sha256(line).hexdigest() != one.digest:
            message = (
                f"{path} is not the summary of {one.day} that the ledger speaks of; restore it from "
                "a backup, for a day is not sent twice"
            )
            raise SummaryError(message)
        return DaySummary(line, SignedSummary.model_validate_json(line).signed, is_new=False)

    def _keep(self, line: bytes, made: Summary) -> None:
        """Store the line, then enter it in the ledger, after which it counts as sent."""
        path = self._sent(made.day, made.sequence)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, line)
        digest = hashlib.sha256(line).hexdigest()
        entry = LedgerEntry(
            sequence=made.sequence,
            day=made.day,
            epsilon=made.settings.epsilon,
            content=made.content,
            digest=digest,
            at=self._clock().astimezone(UTC),
        )
        whole = sum(len(one) + 1 for one in self._lines())
        is_new = not self.ledger_path.exists()
        if not is_new and self.ledger_path.stat().st_size > whole:
            os.truncate(self.ledger_path, whole)  # a partial line after a crash: its summary was not sent
        self._disk.append(self.ledger_path, entry.model_dump_json().encode() + b"\n")
        self._disk.sync(self.ledger_path)
        if is_new:
            self._disk.sync(self.ledger_path.parent)

    def _sent(self, day: date, sequence: int) -> Path:
        return self._folder / "sent" / f"{day}-{sequence}.json"

    def _lines(self) -> list[bytes]:
        content = self.ledger_path.read_bytes() if self.ledger_path.exists() else b""
        return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / "ledger.lock"):
            yield


def most_in_a_row(spent: Iterable[tuple[date, Fraction]], day: date) -> Fraction:
    """Return the most epsilon of any BUDGET_DAYS consecutive days that include `day`."""
    found = list(spent)
    starts = (day - timedelta(days=back) for back in range(BUDGET_DAYS))
    return max(
        sum((epsilon for of, epsilon in found if 0 <= (of - start).days < BUDGET_DAYS), Fraction(0))
        for start in starts
    )


def _ran_out_of_time(row: Mapping[str, Any]) -> bool:
    """Whether the rule that names a failure's class says so.

    Nothing but its text and the names of its method and service is read: what its row tells when published.
    """
    if not row["has_text"]:
        return False
    rule = rule_of([row["error"]], [row["method"]], [row["service"]], "error", load_failure_classes())
    return rule is not None and rule.failure_class == "timeout"


def _records(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    rows = connection.sql(sql).to_arrow_table().to_pylist()
    return [row | ({"durations": row["durations"] or ()} if "durations" in row else {}) for row in rows]
