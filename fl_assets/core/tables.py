"""Every table once: columns, types and what they mean.

What goes here: the schema that the DDL, the Parquet, the UI's column schema and the schema check are all made
from. What does not: reading or writing (`lake.py`, `warehouse.py`).

Names: `_id` is a reference, `is_`/`has_` a boolean, a unit is a suffix (`_ms`, `_bytes`); rates are shares
between 0 and 1; times are UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

_ARROW = {
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "DOUBLE": pa.float64(),
    "INTEGER": pa.int32(),
    "UBIGINT": pa.uint64(),
    "JSON": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "VARCHAR": pa.string(),
    "BIGINT[]": pa.list_(pa.int64()),
    "VARCHAR[]": pa.list_(pa.string()),
    "MAP(INTEGER, BIGINT)": pa.map_(pa.int32(), pa.int64()),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True)
class Table:
    """One table; `key` identifies a row within an `event_date`, and also orders what is written."""

    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> list[str]:
        """Column names in declared order."""
        return [column.name for column in self.columns]

    @property
    def day_columns(self) -> list[str]:
        """Column names without `event_date`: what a day's rows are made with."""
        return [name for name in self.column_names if name != "event_date"]

    @property
    def arrow_schema(self) -> pa.Schema:
        """The same columns as an Arrow schema."""
        return pa.schema([(column.name, _ARROW[column.type]) for column in self.columns])

    def rows_of(self, day: date, records: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Return records as rows of a day; fields that the table lacks are ignored.

        Raises:
            KeyError: a column other than `event_date` is not in a record.
        """
        names = self.column_names
        rows = [{name: day if name == "event_date" else record[name] for name in names} for record in records]
        return pa.Table.from_pylist(rows, schema=self.arrow_schema)

    @property
    def columns_sql(self) -> str:
        """Names and types of the columns, for a CREATE TABLE."""
        return ", ".join(f"{column.name} {column.type}" for column in self.columns)

    @property
    def ddl(self) -> str:
        """The `create table if not exists` statement."""
        return f"create table if not exists {self.name} ({self.columns_sql})"

    @property
    def order_sql(self) -> str:
        """The ORDER BY of files: by time, where rows have one, and by key."""
        times = ["timestamp"] if "timestamp" in self.column_names else []
        return f"order by {', '.join([*times, *self.key])}"


_DAY = Column("event_date", "DATE", "Day of the row, UTC, by event time.")
_SOURCE = (
    Column("source_file", "VARCHAR", "File the event came from, relative to the telemetry folder."),
    Column("source_line", "BIGINT", "Line within that file, from 1."),
    Column(
        "has_clock_skew",
        "BOOLEAN",
        "Whether its own time was out of range: then its day is that of ingestion.",
    ),
)

# Lake: Parquet, one folder a day
# ----------------------------------------------------------------------------------------------------

RAW_TRACES = Table(
    "raw_traces",
    "Agent and tool calls, one row per call, redacted.",
    ("event_id",),
    (
        _DAY,
        Column("event_id", "VARCHAR", "Id of the event; unique within the day."),
        Column("timestamp", "TIMESTAMP", "When the call ended, UTC."),
        Column("node_id", "VARCHAR", "Node (deployment) that reported it."),
        Column("service", "VARCHAR", "Service or agent that was called."),
        Column("method", "VARCHAR", "Method or tool that was called."),
        Column("trace_id", "VARCHAR", "Trace the call belongs to: one task or request."),
        Column("request_id", "VARCHAR", "Id of the call itself; not unique in real data."),
        Column("duration_ms", "DOUBLE", "How long it took, milliseconds."),
        Column("success", "BOOLEAN", "Whether it succeeded."),
        Column("error", "VARCHAR", "Error text, redacted; null when there is none."),
        Column(
            "caused_by",
            "VARCHAR",
            "Id of the failed span below that this one repeats; `cancelled`, `interrupted` or "
            "`unfinished` for a call that neither succeeded nor failed; null for a failure of its "
            "own.",
        ),
        Column("metadata", "JSON", "Further attributes, redacted: a JSON object (`metadata->>'key'`)."),
        *_SOURCE,
    ),
)
CONVERSATION_LOGS = Table(
    "conversation_logs",
    "Conversations between users and agents, one row per turn, redacted.",
    ("event_id",),
    (
        _DAY,
        Column("event_id", "VARCHAR", "Id of the event; unique within the day."),
        Column("timestamp", "TIMESTAMP", "When the turn ended, UTC."),
        Column("node_id", "VARCHAR", "Node (deployment) that reported it."),
        Column("log_id", "VARCHAR", "Id of the turn."),
        Column("session_id", "VARCHAR", "Conversation the turn belongs to."),
        Column("trace_id", "VARCHAR", "Trace of the calls made in it (from metadata), or null."),
        Column("user_query", "VARCHAR", "What the user said, redacted."),
        Column("system_response", "VARCHAR", "What the system answered, redacted."),
        Column("metadata", "JSON", "Further attributes, redacted: a JSON object (`metadata->>'key'`)."),
        *_SOURCE,
    ),
)
QUARANTINED_EVENTS = Table(
    "quarantined_events",
    "Lines that could not be read as events, one row per line, with the reason.",
    ("source_file", "source_line"),
    (
        _DAY,
        Column("source_file", "VARCHAR", "File the line is in, relative to the telemetry folder."),
        Column("source_line", "BIGINT", "Line within that file, from 1; 0 when the whole file was refused."),
        Column("reason", "VARCHAR", "Rule that the line breaks, as one of a fixed set of names."),
        Column("detail", "VARCHAR", "What was found, redacted."),
        Column("excerpt", "VARCHAR", "Start of the line, redacted."),
        Column("node_id", "VARCHAR", "Node by folder, or `unknown`."),
        Column("line_bytes", "BIGINT", "Length of the line, bytes."),
        Column(
            "events",
            "BIGINT",
            "Events lost with it; 0 for a file of no known format; null in rows older than this column.",
        ),
    ),
)
ERROR_RECORDS = Table(
    "error_records",
    "Error records of the self-improvement engine, one row per record, redacted.",
    ("record_id",),
    (
        _DAY,
        Column("record_id", "VARCHAR", "Id of the record."),
        Column("request_id", "VARCHAR", "Call it explains, when that is known."),
        Column("timestamp", "TIMESTAMP", "When it was created, UTC."),
        Column("updated_at", "TIMESTAMP", "When it was last changed, UTC: the last version stays."),
        Column("failure_type", "VARCHAR", "Type as the engine named it."),
        Column("error_category", "VARCHAR", "Category as the engine named it."),
        Column("error_stage", "VARCHAR", "Stage at which it failed."),
        Column("target_service", "VARCHAR", "Service it concerns."),
        Column("error_type", "VARCHAR", "Type of the error."),
        Column("error_message", "VARCHAR", "Message, redacted."),
        Column("contributing_tools", "VARCHAR[]", "Tools that took part."),
        Column("suspected_prompts_or_configs", "VARCHAR[]", "Prompts and configs that the engine suspects."),
        Column("proposed_corrections", "VARCHAR[]", "Corrections that it proposes, redacted; never applied."),
    ),
)

EVALUATIONS = Table(
    "evaluations",
    "Scores that people, models and code gave calls and conversations, one row per score, redacted.",
    ("evaluation_id",),
    (
        _DAY,
        Column("evaluation_id", "VARCHAR", "Id of the score; a hash of its content where it has none."),
        Column("timestamp", "TIMESTAMP", "When it was given, UTC."),
        Column("updated_at", "TIMESTAMP", "When it was last changed, UTC: the last version is kept."),
        Column("node_id", "VARCHAR", "Node that reported it."),
        Column("trace_id", "VARCHAR", "Trace that was scored, as in raw_traces, or null."),
        Column("span_id", "VARCHAR", "Call that was scored (`metadata->>'span_id'` of raw_traces), or null."),
        Column("session_id", "VARCHAR", "Conversation that was scored, or null."),
        Column("name", "VARCHAR", "What was judged: relevance, helpfulness, user_feedback, say."),
        Column("value", "DOUBLE", "Score on its producer's own scale; yes is 1, no 0; null for words only."),
        Column("label", "VARCHAR", "Score in words, redacted; null for a number alone."),
        Column("source", "VARCHAR", "Kind of judge, as its producer names it: human, llm_judge, code, …."),
        Column("evaluator", "VARCHAR", "Who judged (a judge model, a function), redacted; or null."),
        Column("explanation", "VARCHAR", "Comment or reason that was given, redacted."),
        Column("source_file", "VARCHAR", "File it came from, relative to the telemetry folder."),
    ),
)

NODE_SUMMARIES = Table(
    "node_summaries",
    "Summaries that nodes send instead of events: the newest of each node and day, signed and checked.",
    ("node_id",),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that signed it; its raw events of the day, if any, do not count."),
        Column("sequence", "BIGINT", "Number that the node gave it; only a higher one takes its place."),
        Column("created_at", "TIMESTAMP", "When the node wrote it, UTC, by the node's clock."),
        Column("min_sessions", "INTEGER", "Fewest sessions of the node that had each text in it."),
        Column("epsilon", "DOUBLE", "Privacy loss by noise on its counts; 0 for exact counts."),
        Column("mask_version", "VARCHAR", "Way of masking that its texts went through."),
        Column("events", "BIGINT", "Calls and turns that it sums up."),
        Column("failures", "BIGINT", "Failures whose masked text it gives."),
        Column("unnamed_failures", "BIGINT", "Failures whose text too few sessions had."),
        Column("unnamed_calls", "BIGINT", "Calls of services and methods that too few sessions used."),
        Column("unnamed_sessions", "BIGINT", "Conversations of agents that too few sessions used."),
        Column(
            "texts_changed", "INTEGER", "Texts that masking again on arrival changed; 0 for an honest node."
        ),
        Column("source_file", "VARCHAR", "File it came in, relative to the folder of summaries."),
        Column("digest", "VARCHAR", "SHA-256 of the signed line."),
        Column("content", "VARCHAR", "The summary, JSON: what sums are counted and recounted from."),
    ),
)

# Warehouse: DuckDB
# ----------------------------------------------------------------------------------------------------

FAILURE_SIGNATURES = Table(
    "failure_signatures",
    "Failures of a day, summed by node, service, method and masked error.",
    ("node_id", "service", "method", "message_id"),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that reported the failures."),
        Column("service", "VARCHAR", "Service or agent that failed."),
        Column("method", "VARCHAR", "Method or tool that failed."),
        Column("message_id", "VARCHAR", "Hash of the masked error, or of service, method and status."),
        Column(
            "masked_error", "VARCHAR", "Error text, masked; where there is none, service, method and status."
        ),
        Column("has_text", "BOOLEAN", "Whether the failure had an error text."),
        Column("failures", "BIGINT", "Failed calls."),
        Column("sessions", "BIGINT", "Distinct traces among them."),
        Column("first_seen", "TIMESTAMP", "First of them, UTC."),
        Column("last_seen", "TIMESTAMP", "Last of them, UTC."),
        Column("exemplar_trace_ids", "VARCHAR[]", "Up to three traces, whatever the order of events."),
        Column(
            "incidents",
            "VARCHAR[]",
            "Up to 16 hashes of user (else session, else trace) and hour; equal on all nodes, so "
            "that a request retried on several nodes counts once. Null where not known.",
        ),
        Column(
            "latency_histogram",
            "MAP(INTEGER, BIGINT)",
            "Failed calls by duration: bucket b is (1.1^(b-1), 1.1^b] ms, b = -1 is 0 ms.",
        ),
    ),
)
CALL_TOTALS = Table(
    "call_totals",
    "Calls of a day by node, service and method: the denominator of failure rates.",
    ("node_id", "service", "method"),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that reported the calls."),
        Column("service", "VARCHAR", "Service or agent that was called."),
        Column("method", "VARCHAR", "Method or tool that was called."),
        Column("calls", "BIGINT", "Calls."),
        Column("failures", "BIGINT", "Failed calls among them, repeats of a deeper failure left out."),
        Column("sessions", "BIGINT", "Distinct traces among them."),
        Column(
            "latency_histogram",
            "MAP(INTEGER, BIGINT)",
            "Successful calls by duration (buckets as in failure_signatures). From a summary with "
            "noise: wide buckets, and in b = -2 the variance of the noise.",
        ),
    ),
)
CONVERSATION_SIGNALS = Table(
    "conversation_signals",
    "Failure seen in conversations, summed by node, agent and signal.",
    ("node_id", "service", "signal"),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that reported the conversations."),
        Column("service", "VARCHAR", "Agent (metadata service, agent or model family), or `conversation`."),
        Column(
            "signal",
            "VARCHAR",
            "repeated_question, correction, abandonment, refusal, apology_loop or confident_after_failure.",
        ),
        Column("sessions_affected", "BIGINT", "Conversations that show the signal."),
        Column(
            "sessions", "BIGINT", "All conversations of this node and agent; 0 affected means none was found."
        ),
        Column("turns", "BIGINT", "Turns that show it."),
        Column("first_seen", "TIMESTAMP", "First of those turns, UTC."),
        Column("last_seen", "TIMESTAMP", "Last of those turns, UTC."),
        Column("exemplar_session_ids", "VARCHAR[]", "Up to three conversations, whatever the order."),
    ),
)
NODE_REGISTRY = Table(
    "node_registry",
    "Which nodes are known, new or silent on a day, and how each reports: one row per node.",
    ("node_id",),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node."),
        Column("status", "VARCHAR", "reporting, quiet (under a quarter of `usual`), silent or first seen."),
        Column("source", "VARCHAR", "raw, summary, or none when it is silent."),
        Column("is_registered", "BOOLEAN", "Whether its key is registered, so that summaries are taken."),
        Column("is_expected", "BOOLEAN", "Whether it is registered, or reported on half of the week before."),
        Column("calls", "BIGINT", "Calls that it reported."),
        Column("failures", "BIGINT", "Failed calls among them."),
        Column("conversations", "BIGINT", "Conversations that it reported."),
        Column("usual", "DOUBLE", "Median calls and conversations a day of the seven days before."),
        Column("silent_days", "INTEGER", "Days since it last reported, 14 at the most; 0 when it reported."),
        Column("sequence", "BIGINT", "Number of its summary; null without one."),
    ),
)
FAILURE_PATTERNS = Table(
    "failure_patterns",
    "What keeps failing, one row per pattern and day, with its evidence and confidence.",
    ("pattern_id",),
    (
        _DAY,
        Column("pattern_id", "VARCHAR", "Stable id: the same from day to day, in any order of backfills."),
        Column("kind", "VARCHAR", "error, silent (failed without a text) or conversation."),
        Column("failure_class", "VARCHAR", "Class by the rules in failure_classes.yaml."),
        Column("rule_id", "VARCHAR", "Rule there that says so; '' for none."),
        Column("is_harmless", "BOOLEAN", "Whether that rule calls it an expected result; no playbook."),
        Column("family_id", "VARCHAR", "Family it belongs to: what a person would call one problem."),
        Column("template", "VARCHAR", "Template of its messages; <*> is what varies."),
        Column("services", "VARCHAR[]", "Services it fails in, most failures first."),
        Column("methods", "VARCHAR[]", "Methods it fails in, most failures first (ten at the most)."),
        Column("breakdown", "VARCHAR", "JSON list of {service, method, failures}, most first (at most 20)."),
        Column("window_days", "INTEGER", "Days analysed together, ending with this one."),
        Column("failures", "BIGINT", "Failures in the window."),
        Column("sessions", "BIGINT", "Distinct traces (summed by node and day) in the window."),
        Column("calls", "BIGINT", "Calls of the affected services and methods in the window."),
        Column("failure_rate", "DOUBLE", "failures / calls in the window."),
        Column("rate_low", "DOUBLE", "Lower end of its 95 % Wilson interval."),
        Column("rate_high", "DOUBLE", "Upper end of its 95 % Wilson interval."),
        Column("baseline_rate", "DOUBLE", "Rate in up to 14 days before the window; null without calls."),
        Column("lift", "DOUBLE", "failure_rate / baseline_rate; null without a baseline."),
        Column("peer_rate", "DOUBLE", "Rate of all other failures in the same services and methods."),
        Column("nodes_affected", "INTEGER", "Nodes that have it in the window."),
        Column("nodes_reporting", "INTEGER", "Nodes that reported anything in the window."),
        Column(
            "nodes_expected",
            "INTEGER",
            "Nodes that reported in the window or in the seven days before it: how complete the rates are.",
        ),
        Column("top_node_share", "DOUBLE", "Share of its failures that the loudest node reported."),
        Column("incident_node", "VARCHAR", "The only node that has it, five times or more; else null."),
        Column("first_seen", "TIMESTAMP", "First failure known on or before this day, UTC."),
        Column("last_seen", "TIMESTAMP", "Last failure in the window, UTC."),
        Column("state", "VARCHAR", "first_seen, new, known, rising, falling, resolved or regressed."),
        Column(
            "confidence",
            "DOUBLE",
            "Probability that in the next cycle it still fails on two nodes (two sessions where "
            "MIN_NODES is 1), at half the present rate or more; calibrated on past days.",
        ),
        Column("confidence_raw", "DOUBLE", "The same before calibration."),
        Column(
            "corroboration",
            "DOUBLE",
            "The same without the loudest MIN_NODES - 1 nodes (without the loudest user or "
            "session where MIN_NODES is 1).",
        ),
        Column("p_value", "DOUBLE", "Of the hypothesis that what is seen is background noise."),
        Column("is_significant", "BOOLEAN", "Whether it survives the day's false-discovery control."),
        Column("series", "BIGINT[]", "Failures of each of the last 14 days, oldest first."),
        Column("series_calls", "BIGINT[]", "Calls of each of the last 14 days, oldest first."),
        Column("p50_ms", "DOUBLE", "Median duration of successful calls of the affected methods, ms."),
        Column("p95_ms", "DOUBLE", "95th percentile of the same, ms."),
        Column("p99_ms", "DOUBLE", "99th percentile of the same, ms."),
        Column("failure_p50_ms", "DOUBLE", "Median duration of the failed calls, ms."),
        Column("peak_calls_per_node", "BIGINT", "Most calls of one node to these methods on one day."),
        Column("exemplar_trace_ids", "VARCHAR[]", "Up to three traces (or sessions) to look at."),
        Column("suspects", "VARCHAR[]", "Prompts, configs and tools that error records name, most first."),
        Column("messages", "INTEGER", "Distinct masked messages grouped in it."),
        Column("why_grouped", "VARCHAR", "Why these messages are one pattern, in one sentence."),
    ),
)
FAILURE_FAMILIES = Table(
    "failure_families",
    "What a person would call one problem, one row per family and day: the evidence of its patterns pooled.",
    ("family_id",),
    (
        *(column for column in FAILURE_PATTERNS.columns if column.name != "pattern_id"),
        Column("pattern_id", "VARCHAR", "The family's leading pattern: its oldest, or else its largest."),
        Column("patterns", "VARCHAR[]", "Its patterns, by id."),
    ),
)
PATTERN_CONSEQUENCES = Table(
    "pattern_consequences",
    "What a failure costs: whether sessions recover, after how many calls, and whether they end worse; "
    "one row per family.",
    ("family_id",),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column(
            "failures", "BIGINT", "Failures of the window that were looked at: a sample where it is large."
        ),
        Column("sessions", "BIGINT", "Sessions with one of them."),
        Column("nodes", "BIGINT", "Nodes with one of them."),
        Column(
            "retried", "BIGINT", "Failures after which the session called the method again within six calls."
        ),
        Column("recovered", "BIGINT", "Failures after which that method succeeded within six calls."),
        Column("recovered_rate", "DOUBLE", "recovered / failures."),
        Column("calls_to_recover", "DOUBLE", "Calls until it succeeded, on average; null when it never did."),
        Column("last_calls", "BIGINT", "Failures that were the last call of their session."),
        Column("time_ms", "DOUBLE", "Time that the failed calls took, ms."),
        Column("tokens", "DOUBLE", "Tokens that the failed calls used; null when not known."),
        Column("cost", "DOUBLE", "Money that the failed calls cost; null when the telemetry does not say."),
        Column(
            "end_measure", "VARCHAR", "How a bad end is known: judged (label, score, feedback) or last_call."
        ),
        Column("bad_ends", "BIGINT", "Sessions with the failure that ended badly."),
        Column("ends", "BIGINT", "Sessions with the failure whose end is known."),
        Column("bad_ends_without", "BIGINT", "Sessions without it that ended badly."),
        Column("ends_without", "BIGINT", "Sessions without it whose end is known."),
        Column(
            "risk_ratio",
            "DOUBLE",
            "Bad ends with the failure over bad ends without; null when too few are known.",
        ),
        Column("risk_low", "DOUBLE", "Lower end of its 95 % interval."),
        Column("risk_high", "DOUBLE", "Upper end of its 95 % interval."),
        Column("stated_limit", "DOUBLE", "Rate limit that its errors state; null when they state none."),
        Column("stated_unit", "VARCHAR", "Unit of that limit, such as `requests per minute`."),
        Column("stated_wait_ms", "DOUBLE", "Longest wait that its errors ask for, ms; null for none."),
        Column("node_ids", "VARCHAR[]", "Nodes that fail, most failures first, ten at the most."),
        Column("lookup", "VARCHAR", "Reading call that most successful calls come after; '' for none."),
        Column("search", "VARCHAR", "Such a call that says what is on offer; '' for none."),
        Column("profile", "VARCHAR", "Such a call that says what somebody owns; '' for none."),
        Column("argument", "VARCHAR", "Argument that most of its messages name; '' for none."),
        Column("dependency", "VARCHAR", "Service of the fleet that most of its messages name; '' for none."),
        Column("exceptions", "VARCHAR", "JSON: share of its failures by exception type, at most five."),
        Column("arguments", "VARCHAR", "JSON: type of each argument of successful calls; ? when optional."),
        Column(
            "is_agent", "BOOLEAN", "False for a service among services without a sign of an agent: no prompt."
        ),
        Column(
            "looped",
            "BIGINT",
            "Sessions that sent the identical failing call three times or more, and never with success.",
        ),
        Column("looped_nodes", "BIGINT", "Nodes with such a session."),
        Column("caller", "VARCHAR", "Of such a service: the one that most failing calls come from."),
        Column("callee", "VARCHAR", "Of such a service: one that most failing calls called with success."),
        Column(
            "began", "TIMESTAMP", "First failure, when all came within a sixth of the window; null otherwise."
        ),
        Column("ended", "TIMESTAMP", "Their last failure; null while it goes on."),
    ),
)
PATTERN_EXAMPLES = Table(
    "pattern_examples",
    "Calls as they were, redacted: each family's newest failures, of different nodes first, and one success.",
    ("family_id", "rank"),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column("rank", "INTEGER", "Failures first."),
        Column("succeeded", "BOOLEAN", "Whether the call succeeded."),
        Column("message", "VARCHAR", "Error text, redacted and cut; '' for a success."),
        Column("service", "VARCHAR", "Service or agent."),
        Column("method", "VARCHAR", "Method or tool."),
        Column("arguments", "VARCHAR", "JSON: type of each argument, or shape of a command; no value."),
        Column("node_id", "VARCHAR", "Node."),
        Column("timestamp", "TIMESTAMP", "When the call ended, UTC."),
        Column("trace_id", "VARCHAR", "Trace of the call."),
    ),
)
PATTERN_CONTRASTS = Table(
    "pattern_contrasts",
    "How calls that fail differ from calls of the same methods that succeed; one row per difference.",
    ("family_id", "rank"),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column("rank", "INTEGER", "1 is the strongest difference."),
        Column(
            "kind",
            "VARCHAR",
            "method, number, items, argument, type, format, value, attribute, earlier, flag, "
            "command, length, before, node, place or hour.",
        ),
        Column("name", "VARCHAR", "Argument, attribute, flag or method; '' where the kind needs none."),
        Column(
            "relation",
            "VARCHAR",
            "is, given, missing, above, up to, earlier, not called before or right before.",
        ),
        Column("value", "VARCHAR", "Value, shape or bound; '' where the relation needs none."),
        Column("failed_with", "BIGINT", "Failed calls (the first of their session) that have it."),
        Column("failed", "BIGINT", "Failed calls that were compared."),
        Column("succeeded_with", "BIGINT", "Successful calls that have it."),
        Column("succeeded", "BIGINT", "Successful calls that were compared."),
        Column("rate_with", "DOUBLE", "Failure rate with it."),
        Column("rate_without", "DOUBLE", "Failure rate without it."),
        Column("lift", "DOUBLE", "rate_with / rate_without."),
        Column("lift_low", "DOUBLE", "Lower end of its 95 % interval."),
        Column("lift_high", "DOUBLE", "Upper end of its 95 % interval."),
        Column("nodes", "INTEGER", "Nodes that failed with it."),
        Column("q_value", "DOUBLE", "Expected share of false ones among those as clear, over the day."),
        Column(
            "better_value",
            "VARCHAR",
            "Of an attribute, type or format: the value with fewest failures; '' for none.",
        ),
    ),
)
PATTERN_CURES = Table(
    "pattern_cures",
    "What worked where a failure was overcome or avoided; one row per family and cure.",
    ("family_id", "rank"),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column("rank", "INTEGER", "1 is what helped most."),
        Column(
            "source",
            "VARCHAR",
            "retry (a second attempt), instead (another tool), first (a call before it) or setting.",
        ),
        Column(
            "subject",
            "VARCHAR",
            "argument, type, format, value, number, items, flag, command, attribute, call, wait or same.",
        ),
        Column("name", "VARCHAR", "Argument, attribute, flag or method; seconds for wait."),
        Column(
            "change",
            "VARCHAR",
            "added, dropped, changed to, another value, lower, higher, in between, unchanged, "
            "waited, instead, before or other than.",
        ),
        Column("value", "VARCHAR", "New value or shape; '' where the change needs none."),
        Column("tried", "BIGINT", "Attempts with it."),
        Column("helped", "BIGINT", "Attempts with it that succeeded."),
        Column("tried_without", "BIGINT", "Attempts without it."),
        Column("helped_without", "BIGINT", "Attempts without it that succeeded."),
        Column("help_rate", "DOUBLE", "helped / tried."),
        Column("base_rate", "DOUBLE", "helped_without / tried_without."),
        Column("lift", "DOUBLE", "help_rate / base_rate."),
        Column("lift_low", "DOUBLE", "Lower end of its 95 % interval."),
        Column("lift_high", "DOUBLE", "Upper end of its 95 % interval."),
        Column("sessions", "BIGINT", "Sessions that it helped."),
        Column("nodes", "INTEGER", "Nodes that it helped."),
        Column("q_value", "DOUBLE", "Expected share of false ones among those as clear, over the day."),
    ),
)
PATTERN_MEMBERS = Table(
    "pattern_members",
    "Which masked messages belong to which pattern on a day; evidence is recounted by these.",
    ("pattern_id", "message_id"),
    (
        _DAY,
        Column("pattern_id", "VARCHAR", "Pattern."),
        Column(
            "message_id", "VARCHAR", "Message, as in failure_signatures; of conversations `signal|service`."
        ),
    ),
)
CONFIDENCE_CALIBRATION = Table(
    "confidence_calibration",
    "Confidence against outcome: past days, each assessed from what was known by its end, in bins.",
    ("bin_low",),
    (
        _DAY,
        Column("bin_low", "DOUBLE", "Lower end of the bin of confidence."),
        Column("bin_high", "DOUBLE", "Upper end of the bin of confidence."),
        Column("predictions", "BIGINT", "Patterns and days whose confidence fell into the bin."),
        Column("predicted", "DOUBLE", "Mean confidence among them."),
        Column("observed", "DOUBLE", "Share of them that came true on the next day."),
    ),
)
PLAYBOOKS = Table(
    "playbooks",
    "Improvements that the day's patterns call for, one row per playbook.",
    ("improvement_id",),
    (
        _DAY,
        Column("improvement_id", "VARCHAR", "Stable id, from pattern and remedy."),
        Column("category", "VARCHAR", "prompt, adapter, config or workflow."),
        Column("title", "VARCHAR", "One line."),
        Column("description", "VARCHAR", "What to do and why, from templates and enumerated fields."),
        Column("confidence", "DOUBLE", "Confidence of its pattern."),
        Column("corroboration", "DOUBLE", "Corroboration of its pattern; null in rows of earlier releases."),
        Column("suggested_changes", "VARCHAR", "JSON object of typed changes, str to str."),
        Column("evidence_count", "BIGINT", "Failures of its pattern in the window."),
        Column("created_at", "TIMESTAMP", "End of the first day that had it, UTC."),
        Column("pattern_id", "VARCHAR", "Its pattern."),
        Column("remedy_id", "VARCHAR", "Remedy rule it was made by."),
        Column("failure_class", "VARCHAR", "Class of its pattern."),
        Column("state", "VARCHAR", "State of its pattern."),
        Column(
            "target",
            "VARCHAR",
            "`service` or `service:method` that the changes are for; '' when not exactly one.",
        ),
        Column("merged_patterns", "VARCHAR[]", "Further patterns that the same change answers."),
        Column("nodes_affected", "INTEGER", "Nodes that have the pattern."),
        Column("nodes_reporting", "INTEGER", "Nodes that reported."),
        Column("failure_rate", "DOUBLE", "Rate of its pattern."),
        Column("is_significant", "BOOLEAN", "Whether its pattern survives false-discovery control."),
        Column("version", "INTEGER", "Counts the days on which its content changed."),
        Column(
            "advice",
            "VARCHAR",
            "JSON: headline, readiness, nodes, consequence, contrasts, cures, examples, benefit, "
            "alternatives.",
        ),
        Column("is_actionable", "BOOLEAN", "Whether it breaks no rule."),
        Column("held_because", "VARCHAR[]", "Rules that it breaks, in words."),
    ),
)
GATE_VERDICTS = Table(
    "gate_verdicts",
    "What each rule of the gate found on a day: a row per violation, or one that says the rule is kept.",
    ("rule", "position"),
    (
        _DAY,
        Column("rule", "VARCHAR", "Rule, as the asset check of the same name."),
        Column("position", "INTEGER", "0 where the rule is kept; else the number of the violation, from 1."),
        Column("subject", "VARCHAR", "What breaks it: a playbook, a table, a day; '' where it is kept."),
        Column("expected", "VARCHAR", "What the rule asks for."),
        Column("actual", "VARCHAR", "What was found; '' where it is kept."),
        Column("stops_day", "BOOLEAN", "Whether it stops the day; else it holds its playbook only."),
        Column("inputs", "VARCHAR", "Hash of what the rule read; with another one it is asked again."),
    ),
)
UPDATE_DECISIONS = Table(
    "update_decisions",
    "What is done about each playbook, one row per playbook and day, with reasons and rollback plan.",
    ("decision_id",),
    (
        _DAY,
        Column("decision_id", "VARCHAR", "Stable id, from playbook and day."),
        Column("improvement_id", "VARCHAR", "Playbook it decides on."),
        Column("pattern_id", "VARCHAR", "Pattern behind it."),
        Column("category", "VARCHAR", "prompt, adapter, config or workflow."),
        Column("action", "VARCHAR", "apply, canary, hold, reject or none."),
        Column("route", "VARCHAR", "Who acts on it: machine, wait, export, people, gate, busy or rejected."),
        Column("mode", "VARCHAR", "live, or backtest for a historical day, which is never applied."),
        Column("target", "VARCHAR", "What would change."),
        Column("from_value", "VARCHAR", "Present value, when known."),
        Column("to_value", "VARCHAR", "Proposed value."),
        Column("reasons", "VARCHAR[]", "Why, one sentence each."),
        Column(
            "helps",
            "DOUBLE",
            "Probability that the remedy helps against this class, from measured trials (beta-binomial).",
        ),
        Column(
            "benefit",
            "DOUBLE",
            "Failed requests a day that a trial should prevent, per day of trial; the order of trials.",
        ),
        Column("revert_plan", "VARCHAR", "How to roll it back."),
        Column(
            "playbook_hash", "VARCHAR", "Hash of the playbook as decided on; no other content is applied."
        ),
    ),
)
APPLIED_UPDATES = Table(
    "applied_updates",
    "How far each decision was carried out: staged, on canary nodes, applied, or why not.",
    ("decision_id",),
    (
        _DAY,
        Column("decision_id", "VARCHAR", "Decision it carries out."),
        Column("improvement_id", "VARCHAR", "Playbook behind it."),
        Column("pattern_id", "VARCHAR", "Pattern behind it."),
        Column("remedy_id", "VARCHAR", "Remedy rule behind it."),
        Column("category", "VARCHAR", "prompt, adapter, config or workflow."),
        Column("status", "VARCHAR", "staged, canary, applied, waiting, rejected, refused or off."),
        Column("target", "VARCHAR", "What changes."),
        Column("from_value", "VARCHAR", "Value before, when known."),
        Column("to_value", "VARCHAR", "Value after."),
        Column("canary_nodes", "VARCHAR[]", "Nodes that take it first."),
        Column("control_nodes", "VARCHAR[]", "Nodes that they are compared with."),
        Column("decided_by", "VARCHAR", "machine, or who approved or rejected it."),
        Column("carried_out_at", "TIMESTAMP", "When it reached the release, UTC; null when it has not."),
        Column("reason", "VARCHAR", "Why, in one sentence."),
    ),
)
UPDATE_OUTCOMES = Table(
    "update_outcomes",
    "Whether updates helped: one row per trial and day, canary nodes against untouched ones.",
    ("decision_id",),
    (
        _DAY,
        Column("decision_id", "VARCHAR", "Decision that is tried."),
        Column("improvement_id", "VARCHAR", "Playbook behind it."),
        Column("pattern_id", "VARCHAR", "Pattern whose rate is compared."),
        Column("remedy_id", "VARCHAR", "Remedy rule behind it."),
        Column("category", "VARCHAR", "prompt, adapter, config or workflow."),
        Column("failure_class", "VARCHAR", "Class of the pattern; empty where the history does not say."),
        Column("released_on", "DATE", "Day of the release; it counts neither before nor after."),
        Column(
            "stage",
            "VARCHAR",
            "canary (a tenth of the nodes, for harm), half (decides) or watch (all but those held back).",
        ),
        Column("days_observed", "INTEGER", "Days of the stage with telemetry, up to this one."),
        Column("canary_nodes", "INTEGER", "Nodes that took the change."),
        Column("control_nodes", "INTEGER", "Nodes that did not."),
        Column(
            "canary_rate_before",
            "DOUBLE",
            "Share of sessions on canary nodes that failed in the end by the pattern, in the 14 days before.",
        ),
        Column("canary_rate", "DOUBLE", "The same since."),
        Column("control_rate_before", "DOUBLE", "Rate on the other nodes before."),
        Column("control_rate", "DOUBLE", "The same since."),
        Column("effect", "DOUBLE", "Failures of canary nodes over those expected; 1 is no difference."),
        Column("effect_low", "DOUBLE", "Lower end of its 90 % interval, valid daily; null without one."),
        Column("effect_high", "DOUBLE", "Upper end of the same."),
        Column("all_failures_effect", "DOUBLE", "The same ratio for all sessions that failed in the end."),
        Column("p95_effect", "DOUBLE", "The same ratio for the p95 latency of the pattern's methods."),
        Column("power", "DOUBLE", "Probability that the stage would have found 20 % fewer failures."),
        Column("verdict", "VARCHAR", "safe, better, worse, wait, inconclusive, kept or faded."),
        Column("action", "VARCHAR", "widened, promoted, confirmed, rolled_back or none."),
        Column("reason", "VARCHAR", "Why, in one sentence."),
    ),
)
ADAPTER_CATALOGUE = Table(
    "adapter_catalogue",
    "Adapters on offer when a day was analysed, one row per version, with why it is not admitted.",
    ("adapter_id", "version", "source"),
    (
        _DAY,
        Column("adapter_id", "VARCHAR", "Adapter: `name` or `org/name`."),
        Column("version", "VARCHAR", "Version offered; `unknown` where the source did not say."),
        Column("source", "VARCHAR", "Server that offers it."),
        Column("base_model", "VARCHAR", "Base model it was trained for; '' without a readable manifest."),
        Column("base_revision", "VARCHAR", "Revision of that base model."),
        Column("expires", "DATE", "First day on which it is no longer admitted."),
        Column("size_bytes", "BIGINT", "Size of its files, bytes."),
        Column("skills", "VARCHAR[]", "What it is trained for."),
        Column("signed_by", "VARCHAR", "Trusted key that signed its manifest; '' for none."),
        Column("installed_version", "VARCHAR", "Version of this adapter in use; null when it is off."),
        Column("is_installed", "BOOLEAN", "Whether this version lies on disk, in use or not."),
        Column("refusals", "VARCHAR[]", "Rules of admission that it breaks; empty when admissible."),
    ),
)
LEARNING_CYCLES = Table(
    "learning_cycles",
    "Every cycle that was run, one row per run and day, insufficient data and failures included.",
    ("cycle_id",),
    (
        _DAY,
        Column("cycle_id", "VARCHAR", "Run id and day."),
        Column("start_time", "TIMESTAMP", "When it began, UTC."),
        Column("end_time", "TIMESTAMP", "When it ended, UTC; null while it runs."),
        Column("status", "VARCHAR", "running, completed, insufficient_data, gated, failed or disabled."),
        Column("reason", "VARCHAR", "Why it ended as it did, in one sentence."),
        Column("window_days", "INTEGER", "Days analysed together."),
        Column("events_processed", "BIGINT", "Events in the window."),
        Column("improvements_generated", "BIGINT", "Playbooks written."),
        Column("adapters_updated", "BIGINT", "Adapters updated."),
        Column("configs_updated", "BIGINT", "Configs updated."),
        Column("updates_rolled_back", "BIGINT", "Updates rolled back by measured outcome."),
        Column("updates_held", "BIGINT", "Decisions that wait for evidence or for a person."),
    ),
)

LAKE_TABLES = (RAW_TRACES, CONVERSATION_LOGS, QUARANTINED_EVENTS, ERROR_RECORDS, EVALUATIONS, NODE_SUMMARIES)
WAREHOUSE_TABLES = (
    FAILURE_SIGNATURES,
    CALL_TOTALS,
    CONVERSATION_SIGNALS,
    NODE_REGISTRY,
    FAILURE_PATTERNS,
    FAILURE_FAMILIES,
    PATTERN_MEMBERS,
    PATTERN_CONSEQUENCES,
    PATTERN_CONTRASTS,
    PATTERN_CURES,
    PATTERN_EXAMPLES,
    CONFIDENCE_CALIBRATION,
    PLAYBOOKS,
    GATE_VERDICTS,
    ADAPTER_CATALOGUE,
    UPDATE_DECISIONS,
    APPLIED_UPDATES,
    UPDATE_OUTCOMES,
    LEARNING_CYCLES,
)
TABLES = {table.name: table for table in (*LAKE_TABLES, *WAREHOUSE_TABLES)}
