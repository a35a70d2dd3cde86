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
    def ddl(self) -> str:
        """The `create table if not exists` statement."""
        columns = ", ".join(f"{column.name} {column.type}" for column in self.columns)
        return f"create table if not exists {self.name} ({columns})"

    @property
    def order_sql(self) -> str:
        """The ORDER BY of what is written: by time, where rows have one, and by key."""
        return (
            f"order by {', '.join([*(['timestamp'] if 'timestamp' in self.column_names else []), *self.key])}"
        )


_DAY = Column("event_date", "DATE", "Day of the row, UTC, by event time.")
_SOURCE = (
    Column("source_file", "VARCHAR", "File the event came from, relative to the telemetry folder."),
    Column("source_line", "BIGINT", "Line within that file, from 1."),
    Column(
        "has_clock_skew",
        "BOOLEAN",
        "Whether the event's own time was out of range, so that its day is that of its ingestion.",
    ),
)

# Lake: Parquet, one folder a day
# ----------------------------------------------------------------------------------------------------

RAW_TRACES = Table(
    "raw_traces",
    "Agent and tool calls, one row a call, redacted.",
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
            "Id of the deeper failed span that this failure only repeats, or `cancelled`, `interrupted`, "
            "`unfinished` for a call that neither "
            "succeeded nor failed; null for a failure of its own.",
        ),
        Column(
            "metadata",
            "JSON",
            "Further attributes, redacted: an object, whose keys `metadata->>'key'` reads.",
        ),
        *_SOURCE,
    ),
)
CONVERSATION_LOGS = Table(
    "conversation_logs",
    "Turns of talk between a user and an agent, one row a turn, redacted.",
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
        Column(
            "metadata",
            "JSON",
            "Further attributes, redacted: an object, whose keys `metadata->>'key'` reads.",
        ),
        *_SOURCE,
    ),
)
QUARANTINED_EVENTS = Table(
    "quarantined_events",
    "Lines that could not be read as events, one row a line, with the reason.",
    ("source_file", "source_line"),
    (
        _DAY,
        Column("source_file", "VARCHAR", "File the line is in, relative to the telemetry folder."),
        Column(
            "source_line", "BIGINT", "Line within that file, from 1; 0 when the file as a whole was refused."
        ),
        Column("reason", "VARCHAR", "Rule that the line breaks, as one of a fixed set of names."),
        Column("detail", "VARCHAR", "What was found, redacted."),
        Column("excerpt", "VARCHAR", "Start of the line, redacted."),
        Column("node_id", "VARCHAR", "Node by folder, or `unknown`."),
        Column("line_bytes", "BIGINT", "Length of the line, bytes."),
        Column(
            "events",
            "BIGINT",
            "Events that were lost with it; 0 for a file of no known format, which never counts as "
            "broken telemetry; null: written before this was counted.",
        ),
    ),
)
ERROR_RECORDS = Table(
    "error_records",
    "Error records of the self-improvement engine, one row a record, redacted.",
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
        Column(
            "proposed_corrections",
            "VARCHAR[]",
            "Corrections that the engine proposes, redacted; shown, never applied.",
        ),
    ),
)

EVALUATIONS = Table(
    "evaluations",
    "What people, models and code thought of calls and talks, one row a score, redacted.",
    ("evaluation_id",),
    (
        _DAY,
        Column("evaluation_id", "VARCHAR", "Id of the score; of one without, made of what it is of."),
        Column("timestamp", "TIMESTAMP", "When it was given, UTC."),
        Column(
            "updated_at",
            "TIMESTAMP",
            "When it was last changed, as its producer says, UTC: the last version stays.",
        ),
        Column("node_id", "VARCHAR", "Node that reported it."),
        Column("trace_id", "VARCHAR", "Trace that it is of, as in raw_traces, or null."),
        Column("span_id", "VARCHAR", "Call that it is of (`metadata->>'span_id'` of raw_traces), or null."),
        Column("session_id", "VARCHAR", "Conversation that it is of, or null."),
        Column("name", "VARCHAR", "What was judged: relevance, helpfulness, user_feedback, say."),
        Column(
            "value", "DOUBLE", "Score on its producer's own scale; yes is 1, no 0; null without a number."
        ),
        Column("label", "VARCHAR", "Score in words, redacted; null for a number alone."),
        Column(
            "source",
            "VARCHAR",
            "Kind of judge as its producer names it, in lower case: human, annotation, llm_judge, code.",
        ),
        Column("evaluator", "VARCHAR", "Who judged (a judge model, a function), redacted; or null."),
        Column("explanation", "VARCHAR", "Comment or reason that was given, redacted."),
        Column("source_file", "VARCHAR", "File it came from, relative to the telemetry folder."),
    ),
)

NODE_SUMMARIES = Table(
    "node_summaries",
    "What nodes told of a day instead of sending its events: one row a node, its newest summary, signed "
    "and checked.",
    ("node_id",),
    (
        _DAY,
        Column(
            "node_id",
            "VARCHAR",
            "Node that signed it; the sums of its day are these, whatever raw events of it there are.",
        ),
        Column("sequence", "BIGINT", "Number that the node gave it; only a higher one takes its place."),
        Column("created_at", "TIMESTAMP", "When the node wrote it, UTC, by the node's clock."),
        Column("min_sessions", "INTEGER", "Sessions of the node that had each text in it, at the least."),
        Column("epsilon", "DOUBLE", "Privacy loss by noise on its counts; 0 for exact counts."),
        Column("mask_version", "VARCHAR", "Way of masking that its texts went through."),
        Column("events", "BIGINT", "Calls and turns that it tells of."),
        Column("failures", "BIGINT", "Failures whose masked text it gives."),
        Column("unnamed_failures", "BIGINT", "Failures whose text too few sessions had."),
        Column("unnamed_calls", "BIGINT", "Calls of services and methods that too few sessions used."),
        Column("unnamed_sessions", "BIGINT", "Conversations of agents that too few sessions talked to."),
        Column(
            "texts_changed",
            "INTEGER",
            "Texts that a second masking changed on arrival; 0 for an honest node.",
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
    "Failures of a day as sums by node, service, method and masked error.",
    ("node_id", "service", "method", "message_id"),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that reported the failures."),
        Column("service", "VARCHAR", "Service or agent that failed."),
        Column("method", "VARCHAR", "Method or tool that failed."),
        Column(
            "message_id",
            "VARCHAR",
            "Hash of the masked error (and, where there is no text, of service, method and status).",
        ),
        Column(
            "masked_error",
            "VARCHAR",
            "Error with numbers, ids, paths and quoted values masked; a stand-in of service, method and "
            "status where there is no text.",
        ),
        Column("has_text", "BOOLEAN", "Whether the failure had an error text."),
        Column("failures", "BIGINT", "Failed calls."),
        Column("sessions", "BIGINT", "Distinct traces among them."),
        Column("first_seen", "TIMESTAMP", "First of them, UTC."),
        Column("last_seen", "TIMESTAMP", "Last of them, UTC."),
        Column(
            "exemplar_trace_ids",
            "VARCHAR[]",
            "Up to three traces, the same ones whatever the order of events.",
        ),
        Column(
            "incidents",
            "VARCHAR[]",
            "Up to 16 of the users (else sessions, else traces) and hours that it happened to, hashed; "
            "equal on all "
            "nodes, so that a request retried across nodes is one. Null where that is not known.",
        ),
        Column(
            "latency_histogram",
            "MAP(INTEGER, BIGINT)",
            "Failed calls by duration bucket; bucket b holds durations in (1.1^(b-1), 1.1^b] ms, b = -1 "
            "holds 0.",
        ),
    ),
)
CALL_TOTALS = Table(
    "call_totals",
    "Calls of a day by node, service and method: what failures are a share of.",
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
            "Successful calls by duration bucket (see failure_signatures); sums merge exactly. From a "
            "summary with noise: wide buckets, and in b = -2 their variance.",
        ),
    ),
)
CONVERSATION_SIGNALS = Table(
    "conversation_signals",
    "Failure seen in talk, as sums by node, agent and signal.",
    ("node_id", "service", "signal"),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node that reported the conversations."),
        Column(
            "service",
            "VARCHAR",
            "Agent that talked (metadata service, agent or model family), or `conversation`.",
        ),
        Column(
            "signal",
            "VARCHAR",
            "repeated_question, correction, abandonment, refusal, apology_loop or confident_after_failure.",
        ),
        Column("sessions_affected", "BIGINT", "Conversations that show the signal."),
        Column(
            "sessions",
            "BIGINT",
            "Conversations of this node and agent in all; a row with 0 affected says that the signal was "
            "looked for.",
        ),
        Column("turns", "BIGINT", "Turns that show it."),
        Column("first_seen", "TIMESTAMP", "First of those turns, UTC."),
        Column("last_seen", "TIMESTAMP", "Last of those turns, UTC."),
        Column(
            "exemplar_session_ids",
            "VARCHAR[]",
            "Up to three conversations, the same ones whatever the order of events.",
        ),
    ),
)
NODE_REGISTRY = Table(
    "node_registry",
    "Which nodes are known, new or silent on a day, and how each of them reports: one row a node.",
    ("node_id",),
    (
        _DAY,
        Column("node_id", "VARCHAR", "Node."),
        Column(
            "status",
            "VARCHAR",
            "reporting, quiet (less than a quarter of what is usual), silent or first seen.",
        ),
        Column("source", "VARCHAR", "raw, summary, or none when it is silent."),
        Column(
            "is_registered",
            "BOOLEAN",
            "Whether its public key is registered, so that its summaries are taken.",
        ),
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
    "What keeps failing, one row a pattern and day, with its evidence and confidence.",
    ("pattern_id",),
    (
        _DAY,
        Column(
            "pattern_id",
            "VARCHAR",
            "Stable id: the same failure keeps it from day to day, in any backfill order.",
        ),
        Column("kind", "VARCHAR", "error, silent (failed without a text) or conversation."),
        Column("failure_class", "VARCHAR", "Class by the rules in failure_classes.yaml."),
        Column("rule_id", "VARCHAR", "Rule there that says so; '' for none."),
        Column(
            "is_harmless",
            "BOOLEAN",
            "Whether that rule calls it a result and no failure; it makes no playbook.",
        ),
        Column("family_id", "VARCHAR", "Family it belongs to: what a person would call one problem."),
        Column("template", "VARCHAR", "Template of its messages; <*> is what varies."),
        Column("services", "VARCHAR[]", "Services it fails in, most failures first."),
        Column("methods", "VARCHAR[]", "Methods it fails in, most failures first (ten at the most)."),
        Column(
            "breakdown",
            "VARCHAR",
            "JSON list of {service, method, failures}, most first (twenty at the most).",
        ),
        Column("window_days", "INTEGER", "Days analysed together, ending with this one."),
        Column("failures", "BIGINT", "Failures in the window."),
        Column("sessions", "BIGINT", "Distinct traces (summed by node and day) in the window."),
        Column("calls", "BIGINT", "Calls of the affected services and methods in the window."),
        Column("failure_rate", "DOUBLE", "failures / calls in the window."),
        Column("rate_low", "DOUBLE", "Lower end of its 95 % Wilson interval."),
        Column("rate_high", "DOUBLE", "Upper end of its 95 % Wilson interval."),
        Column(
            "baseline_rate", "DOUBLE", "Rate in up to 14 days before the window; null when they had no calls."
        ),
        Column("lift", "DOUBLE", "failure_rate / baseline_rate; null without a baseline."),
        Column(
            "peer_rate",
            "DOUBLE",
            "Rate of all other failures in the same services and methods in the window.",
        ),
        Column("nodes_affected", "INTEGER", "Nodes that have it in the window."),
        Column("nodes_reporting", "INTEGER", "Nodes that reported anything in the window."),
        Column(
            "nodes_expected",
            "INTEGER",
            "Nodes that reported in the window or in the seven days before it; with the one before, how "
            "complete every rate is.",
        ),
        Column("top_node_share", "DOUBLE", "Share of its failures that the loudest node reported."),
        Column(
            "incident_node",
            "VARCHAR",
            "The node whose incident it is: the only one that has it, five times or more; null otherwise.",
        ),
        Column("first_seen", "TIMESTAMP", "First failure known on or before this day, UTC."),
        Column("last_seen", "TIMESTAMP", "Last failure in the window, UTC."),
        Column("state", "VARCHAR", "first_seen, new, known, rising, falling, resolved or regressed."),
        Column(
            "confidence",
            "DOUBLE",
            "Probability that it still fails in the next cycle on two nodes (in two sessions where "
            "MIN_NODES is 1), at "
            "half the present rate or more; learnt from what came true on past days.",
        ),
        Column(
            "confidence_raw",
            "DOUBLE",
            "The same by the model alone, before anything is learnt from past days.",
        ),
        Column(
            "corroboration",
            "DOUBLE",
            "Probability that what other nodes report persists, had the loudest MIN_NODES - 1 nodes "
            "never existed (where "
            "MIN_NODES is 1: without the loudest user or session).",
        ),
        Column("p_value", "DOUBLE", "Of the hypothesis that what is seen is background noise."),
        Column("is_significant", "BOOLEAN", "Whether it survives the day's false-discovery control."),
        Column("series", "BIGINT[]", "Failures of each of the last 14 days, oldest first."),
        Column("series_calls", "BIGINT[]", "Calls of each of the last 14 days, oldest first."),
        Column("p50_ms", "DOUBLE", "Median duration of successful calls of the affected methods, ms."),
        Column("p95_ms", "DOUBLE", "95th percentile of the same, ms."),
        Column("p99_ms", "DOUBLE", "99th percentile of the same, ms."),
        Column("failure_p50_ms", "DOUBLE", "Median duration of the failed calls, ms."),
        Column(
            "peak_calls_per_node",
            "BIGINT",
            "Most calls that one node made to the affected methods on one day of the window.",
        ),
        Column("exemplar_trace_ids", "VARCHAR[]", "Up to three traces (or sessions) to look at."),
        Column(
            "suspects",
            "VARCHAR[]",
            "Prompts, configs and tools that error records suspect, most named first.",
        ),
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
            "failures",
            "BIGINT",
            "Failures of the window that were looked at; of a large window a share of its sessions is.",
        ),
        Column("sessions", "BIGINT", "Sessions with one of them."),
        Column("nodes", "BIGINT", "Nodes with one of them."),
        Column(
            "retried",
            "BIGINT",
            "Failures after which the session called the same method again within six calls.",
        ),
        Column("recovered", "BIGINT", "Failures after which that method succeeded within six calls."),
        Column("recovered_rate", "DOUBLE", "recovered / failures."),
        Column("calls_to_recover", "DOUBLE", "Calls until it succeeded, on average; null when it never did."),
        Column("last_calls", "BIGINT", "Failures that were the last call of their session."),
        Column("time_ms", "DOUBLE", "Time that the failed calls took, ms."),
        Column(
            "tokens", "DOUBLE", "Tokens that the failed calls used; null when the telemetry does not say."
        ),
        Column("cost", "DOUBLE", "Money that the failed calls cost; null when the telemetry does not say."),
        Column(
            "end_measure",
            "VARCHAR",
            "How a bad end is told: judged (a label, score or feedback) or last_call.",
        ),
        Column("bad_ends", "BIGINT", "Sessions with the failure that ended badly."),
        Column("ends", "BIGINT", "Sessions with the failure whose end is known."),
        Column("bad_ends_without", "BIGINT", "Sessions without it that ended badly."),
        Column("ends_without", "BIGINT", "Sessions without it whose end is known."),
        Column(
            "risk_ratio",
            "DOUBLE",
            "Share of bad ends with the failure over the share without; null when too few ends are known.",
        ),
        Column("risk_low", "DOUBLE", "Lower end of its 95 % interval."),
        Column("risk_high", "DOUBLE", "Upper end of its 95 % interval."),
        Column("stated_limit", "DOUBLE", "Rate limit that its errors state; null when they state none."),
        Column("stated_unit", "VARCHAR", "Unit of that limit, such as `requests per minute`."),
        Column(
            "stated_wait_ms",
            "DOUBLE",
            "Longest wait that its errors ask for, ms; null when they ask for none.",
        ),
        Column("node_ids", "VARCHAR[]", "Nodes that fail, most failures first, ten at the most."),
        Column("lookup", "VARCHAR", "Reading call that most successful calls come after; '' for none."),
        Column("search", "VARCHAR", "Such a call that says what is on offer; '' for none."),
        Column("profile", "VARCHAR", "Such a call that says what somebody owns; '' for none."),
        Column("argument", "VARCHAR", "Argument that most of its messages name; '' for none."),
        Column("dependency", "VARCHAR", "Service of the fleet that most of its messages name; '' for none."),
        Column(
            "exceptions", "VARCHAR", "JSON: share of its failures by type of exception, five at the most."
        ),
        Column(
            "arguments",
            "VARCHAR",
            "JSON: type of each argument of successful calls; ? when not always given.",
        ),
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
    "What is different about the calls that fail, against calls of the same methods that succeed; one "
    "row per family and difference.",
    ("family_id", "rank"),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column("rank", "INTEGER", "1 is what tells most of failure."),
        Column(
            "kind",
            "VARCHAR",
            "method, number, items, argument, type, format, value, attribute, earlier, flag, command, "
            "length, before, node, place or hour.",
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
        Column(
            "q_value", "DOUBLE", "Share of false ones to expect among those at least as clear, over the day."
        ),
        Column(
            "better_value",
            "VARCHAR",
            "Of an attribute, type or form, the other value with which fewest such calls fail; '' for none.",
        ),
    ),
)
PATTERN_CURES = Table(
    "pattern_cures",
    "What worked where a failure was overcome or did not happen; one row per family and way.",
    ("family_id", "rank"),
    (
        _DAY,
        Column("family_id", "VARCHAR", "Family of patterns."),
        Column("rank", "INTEGER", "1 is what helped most."),
        Column(
            "source",
            "VARCHAR",
            "retry (a second attempt), instead (another tool), first (a call before it) or setting (a "
            "value that works elsewhere).",
        ),
        Column(
            "subject",
            "VARCHAR",
            "What was changed: argument, type, format, value, number, items, flag, command, attribute, "
            "call, wait or same.",
        ),
        Column("name", "VARCHAR", "Argument, attribute, flag or method; seconds for wait."),
        Column(
            "change",
            "VARCHAR",
            "added, dropped, changed to, another value, lower, higher, in between, unchanged, waited, "
            "instead, before or other than.",
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
        Column(
            "q_value", "DOUBLE", "Share of false ones to expect among those at least as clear, over the day."
        ),
    ),
)
PATTERN_MEMBERS = Table(
    "pattern_members",
    "Which masked messages belong to which pattern on a day: what evidence is recounted by.",
    ("pattern_id", "message_id"),
    (
        _DAY,
        Column("pattern_id", "VARCHAR", "Pattern."),
        Column(
            "message_id",
            "VARCHAR",
            "Message, as in failure_signatures; for conversation patterns `signal|service`.",
        ),
    ),
)
CONFIDENCE_CALIBRATION = Table(
    "confidence_calibration",
    "How often what was believed came true: past days assessed again, each from what was known by its "
    "end, in bins of confidence.",
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
    "Improvements that the day's patterns call for, one row a playbook.",
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
            "service or service:method that the changes are for; '' when there is no single, safely "
            "named one.",
        ),
        Column(
            "merged_patterns",
            "VARCHAR[]",
            "Further patterns that the same change answers; its numbers leave them out.",
        ),
        Column("nodes_affected", "INTEGER", "Nodes that have the pattern."),
        Column("nodes_reporting", "INTEGER", "Nodes that reported."),
        Column("failure_rate", "DOUBLE", "Rate of its pattern."),
        Column(
            "is_significant", "BOOLEAN", "Whether its pattern survives the day's false-discovery control."
        ),
        Column("version", "INTEGER", "Counts the days on which its content changed."),
        Column(
            "advice",
            "VARCHAR",
            "JSON: headline, readiness, nodes, consequence, contrasts, cures, examples, benefit and "
            "alternatives.",
        ),
        Column("is_actionable", "BOOLEAN", "Whether it breaks no rule."),
        Column("held_because", "VARCHAR[]", "Rules that it breaks, in words."),
    ),
)
GATE_VERDICTS = Table(
    "gate_verdicts",
    "What each rule of the gate found on a day: one row per violation, or one that says that the rule is "
    "kept.",
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
    "What happens with each playbook, one row a playbook and day, with reasons and the way back.",
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
            "Probability that the remedy helps against the class of failure, from measured trials "
            "(beta-binomial).",
        ),
        Column(
            "benefit",
            "DOUBLE",
            "Failed requests a day that a trial is expected to prevent, per day that it takes; trials "
            "begin in this order.",
        ),
        Column("revert_plan", "VARCHAR", "How to take it back."),
        Column(
            "playbook_hash",
            "VARCHAR",
            "Of the playbook's content as it was decided on; nothing is carried out for another content.",
        ),
    ),
)
APPLIED_UPDATES = Table(
    "applied_updates",
    "What was done about the day's decisions that ask for a change, one row a decision: staged, on "
    "canary nodes, applied, or why not.",
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
    "Whether updates helped: one row a trial and day, canary nodes against untouched ones, and what "
    "followed.",
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
            "canary (a tenth of the nodes, looked at for harm), half (decides) or watch (all but those "
            "held back).",
        ),
        Column("days_observed", "INTEGER", "Days of the stage with telemetry, up to this one."),
        Column("canary_nodes", "INTEGER", "Nodes that took the change."),
        Column("control_nodes", "INTEGER", "Nodes that did not."),
        Column(
            "canary_rate_before",
            "DOUBLE",
            "Share of the sessions of nodes with the change that failed in the end by the pattern, in "
            "the 14 days before.",
        ),
        Column("canary_rate", "DOUBLE", "The same since."),
        Column("control_rate_before", "DOUBLE", "Rate on the other nodes before."),
        Column("control_rate", "DOUBLE", "The same since."),
        Column(
            "effect",
            "DOUBLE",
            "Failures of canary nodes over those expected from before and from the other nodes; 1 is no "
            "difference.",
        ),
        Column(
            "effect_low",
            "DOUBLE",
            "Lower end of its 90 % interval, which may be looked at daily; null while it has none.",
        ),
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
    "What the sources of adapters offered when a day was analysed, one row a version, with why it is not "
    "admitted.",
    ("adapter_id", "version", "source"),
    (
        _DAY,
        Column("adapter_id", "VARCHAR", "Adapter: `name` or `org/name`."),
        Column(
            "version",
            "VARCHAR",
            "Version offered; `unknown` where the source did not say, or did not answer.",
        ),
        Column("source", "VARCHAR", "Server that offers it."),
        Column(
            "base_model", "VARCHAR", "Base model it was trained for; '' when it has no readable manifest."
        ),
        Column("base_revision", "VARCHAR", "Revision of that base model."),
        Column("expires", "DATE", "First day on which it is no longer admitted."),
        Column("size_bytes", "BIGINT", "Size of its files, bytes."),
        Column("skills", "VARCHAR[]", "What it is trained for."),
        Column("signed_by", "VARCHAR", "Trusted key that signed its manifest; '' for none."),
        Column("installed_version", "VARCHAR", "Version of this adapter in use; null when it is off."),
        Column("is_installed", "BOOLEAN", "Whether this version lies on disk, in use or not."),
        Column(
            "refusals",
            "VARCHAR[]",
            "Rules of admission that it breaks, in words; empty when it is admissible.",
        ),
    ),
)
LEARNING_CYCLES = Table(
    "learning_cycles",
    "Every cycle that was run, one row a run and day, insufficient data and failures included.",
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
        Column("updates_rolled_back", "BIGINT", "Updates taken back by measured outcome."),
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
