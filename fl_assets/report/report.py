"""What a cycle's report says: one frozen record from the plain rows of a day and of the cycle before it.

What goes here: choosing, comparing, counting, and the sentences of the report. What does not: reading rows, HTML, files (`report/page.py`).

Nothing here reads a clock, so the same rows give the same report. Text from telemetry passes through `visible`, which shows control and
direction-changing characters by their code; escaping for HTML is the renderer's.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import Field

from fl_assets.core.models import Record
from fl_assets.patterns.nodes import NodeStatus, completeness, nodes_of
from fl_assets.updates.decide import in_words

Row = Mapping[str, Any]
Change = Literal["new", "grown", "shrunk", "gone", "same"]
Regrouping = Literal["split", "merged"]

MAX_TEXT = 600
MAX_BREAKDOWN = 5
MAX_NODES = 200
MAX_MOVED = 100
MAX_NAMED = 3

# C0, C1, soft hyphen, zero-width and direction-changing characters: invisible, or able to reorder the text around them.
_INVISIBLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class ReportRows:
    """Rows a report is made from: columns as in `core/tables.py`, lists in key order.

    Attributes:
        day: the day reported.
        previous_day: the analysed day before it; None for the first one.
        totals: `event_date, node_id, calls, failures`, sums of the last 14 days.
        conversations: `event_date, node_id, sessions`, sums of the last 14 days.
        ingestion: what ingestion counted, by day (this one and the one before).
        quarantined: `reason, lines` of the day.
        registered: nodes whose summaries are taken, heard of or not.
        threshold: confidence that a playbook must reach.
        min_nodes: nodes that a playbook must rest on.
    """

    day: date
    threshold: float
    min_nodes: int
    previous_day: date | None = None
    cycle: Row | None = None
    patterns: Sequence[Row] = ()
    earlier_patterns: Sequence[Row] = ()
    members: Sequence[Row] = ()
    earlier_members: Sequence[Row] = ()
    playbooks: Sequence[Row] = ()
    earlier_playbooks: Sequence[Row] = ()
    decisions: Sequence[Row] = ()
    applied: Sequence[Row] = ()
    outcomes: Sequence[Row] = ()
    calibration: Sequence[Row] = ()
    totals: Sequence[Row] = ()
    conversations: Sequence[Row] = ()
    ingestion: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    quarantined: Sequence[Row] = ()
    registered: Sequence[str] = ()


class Headline(Record):
    """One number of the day, against the day before."""

    name: str
    value: float | None
    before: float | None
    unit: Literal["count", "share"] = "count"
    more_is: Literal["good", "bad", "neutral"] = "neutral"
    note: str = ""


class PatternLine(Record):
    """One pattern, as the report shows it."""

    pattern_id: str
    template: str
    kind: str
    failure_class: str
    state: str
    change: Change
    services: tuple[str, ...]
    methods: tuple[str, ...]
    breakdown: tuple[tuple[str, str, int], ...] = Field(description="service, method, failures; most first.")
    failures: int
    sessions: int
    calls: int
    failure_rate: float
    rate_low: float
    rate_high: float
    rate_before: float | None = Field(description="Rate of the same pattern in the cycle before.")
    baseline_rate: float | None
    peer_rate: float | None
    nodes_affected: int
    nodes_reporting: int
    top_node_share: float
    first_seen: str
    last_seen: str
    confidence: float
    is_significant: bool
    series: tuple[int, ...]
    series_calls: tuple[int, ...]
    p95_ms: float | None
    failure_p50_ms: float | None
    exemplar_trace_ids: tuple[str, ...]
    suspects: tuple[str, ...]
    messages: int
    why_grouped: str
    playbooks: tuple[str, ...] = Field(description="Improvements that answer it.")


class PlaybookLine(Record):
    """One playbook with what was decided about it."""

    improvement_id: str
    pattern_id: str
    category: str
    title: str
    description: str
    target: str
    confidence: float
    evidence_count: int
    nodes_affected: int
    nodes_reporting: int
    state: str
    failure_class: str
    failure_rate: float
    suggested_changes: tuple[tuple[str, str], ...]
    version: int
    is_new: bool = Field(description="Whether the cycle before did not have it, or held it.")
    held_because: tuple[str, ...]
    action: str
    reasons: tuple[str, ...]


class DecisionLine(Record):
    """One decision, and the way back."""

    decision_id: str
    improvement_id: str
    title: str
    action: str
    outcome: str = Field(
        description="The action in a reader's words: `exported for review`, `left to people`, `held back` …"
    )
    mode: str
    category: str
    target: str
    from_value: str
    to_value: str
    reasons: tuple[str, ...]
    revert_plan: str
    status: str = Field(
        description="What was done: staged, canary, applied, waiting, rejected, refused, off; empty when nothing had to be."
    )
    status_reason: str


class OutcomeLine(Record):
    """One trial of an update: canary nodes against untouched ones."""

    decision_id: str
    pattern_id: str
    remedy_id: str
    category: str
    released_on: str
    days_observed: int
    canary_nodes: int
    control_nodes: int
    canary_rate_before: float | None
    canary_rate: float | None
    control_rate_before: float | None
    control_rate: float | None
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    verdict: str
    action: str
    reason: str


class Moved(Record):
    """One pattern that changed since the cycle before."""

    pattern_id: str
    template: str
    change: Change
    rate: float
    rate_before: float
    failures: int
    failures_before: int


class Regrouped(Record):
    """Messages of one pattern that several have now, or the other way round."""

    how: Regrouping
    one: str
    others: tuple[str, ...]


class NodeLine(Record):
    """What one node reported."""

    node_id: str
    calls: int
    failures: int
    conversations: int
    usual: float = Field(
        description="Median calls and conversations a day of the days before on which the fleet reported."
    )
    status: NodeStatus
    series: tuple[int, ...] = Field(
        description="Calls and conversations of each of the last 14 days, oldest first."
    )


class Quality(Record):
    """How complete and how clean the day's telemetry is."""

    nodes: tuple[NodeLine, ...]
    nodes_left_out: int
    nodes_reporting: int
    nodes_usual: int
    completeness: float = Field(
        ge=0,
        le=1,
        description="Share of the nodes expected that reported; registered ones and those of the days before are.",
    )
    silent: tuple[str, ...]
    events: int
    quarantined: int
    bad_ratio: float
    quarantine_reasons: tuple[tuple[str, int], ...]
    duplicates: int
    conflicts: int
    clock_skewed: int
    redactions: tuple[tuple[str, int], ...]


class Bin(Record):
    """One bin of the reliability diagram."""

    low: float
    high: float
    predictions: int
    predicted: float
    observed: float


class Report(Record):
    """Everything that the report of one cycle says; the JSON twin is this record."""

    day: date
    previous_day: date | None
    status: str
    reason: str
    window_days: int
    threshold: float
    min_nodes: int
    summary: tuple[str, ...] = Field(
        description="What a reader needs in the first ten seconds, one sentence each."
    )
    headlines: tuple[Headline, ...]
    states: tuple[tuple[str, int], ...]
    patterns: tuple[PatternLine, ...]
    playbooks: tuple[PlaybookLine, ...]
    moved: tuple[Moved, ...]
    moved_left_out: int
    regrouped: tuple[Regrouped, ...]
    decisions: tuple[DecisionLine, ...]
    outcomes: tuple[OutcomeLine, ...]
    quality: Quality
    calibration: tuple[Bin, ...]

    @property
    def actionable(self) -> tuple[PlaybookLine, ...]:
        """Playbooks that may be acted on, what prevents most failures first."""
        return tuple(one for one in self.playbooks if not one.held_because)

    @property
    def held(self) -> tuple[PlaybookLine, ...]:
        """Playbooks that may not, nearest to the threshold first."""
        return tuple(
            sorted(
                (one for one in self.playbooks if one.held_because),
                key=lambda one: (-one.confidence, one.improvement_id),
            )
        )


def visible(text: Any, limit: int = MAX_TEXT) -> str:
    """Return a text that shows all it holds: invisible and direction-changing characters by code, an over-long one cut with an ellipsis."""
    shown = _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", "" if text is None else str(text))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def build_report(rows: ReportRows) -> Report:
    """Return the report of a day."""
    before = {row["pattern_id"]: row for row in rows.earlier_patterns}
    answers: dict[str, list[str]] = {}
    for row in rows.playbooks:
        for pattern_id in (row["pattern_id"], *row["merged_patterns"]):
            answers.setdefault(pattern_id, []).append(row["improvement_id"])
    patterns = sorted(
        (
            _pattern(
                row,
                before.get(row["pattern_id"]),
                answers.get(row["pattern_id"], []),
                is_first=rows.previous_day is None,
            )
            for row in rows.patterns
        ),
        key=lambda one: (-one.failures, -one.confidence, one.pattern_id),
    )
    playbooks = _playbooks(rows)
    moved = _moved(patterns, rows)
    quality = _quality(rows)
    status = rows.cycle["status"] if rows.cycle else "not run"
    return Report(
        day=rows.day,
        previous_day=rows.previous_day,
        status=status,
        reason=visible(rows.cycle["reason"]) if rows.cycle else "",
        window_days=rows.cycle["window_days"]
        if rows.cycle
        else max((row["window_days"] for row in rows.patterns), default=1),
        threshold=rows.threshold,
        min_nodes=rows.min_nodes,
        summary=_summary(rows, status, patterns, playbooks, quality),
        headlines=_headlines(rows, patterns, playbooks, quality),
        states=tuple(sorted(Counter(one.state for one in patterns).items())),
        patterns=tuple(patterns),
        playbooks=tuple(playbooks),
        moved=tuple(moved[:MAX_MOVED]),
        moved_left_out=max(0, len(moved) - MAX_MOVED),
        regrouped=_regrouped(rows),
        decisions=_decisions(rows, playbooks),
        outcomes=_outcomes(rows),
        quality=quality,
        calibration=tuple(
            Bin(
                low=row["bin_low"],
                high=row["bin_high"],
                predictions=row["predictions"],
                predicted=row["predicted"],
                observed=row["observed"],
            )
            for row in rows.calibration
            if row["predictions"]
        ),
    )


def change_of(now: Row, before: Row | None) -> Change:
    """Return how a pattern moved since the cycle before.

    Grown and shrunk only where the 95 % intervals of the two rates do not overlap; that is stricter than a test at 5 %, so what is named did move.
    """
    failures_before = before["failures"] if before else 0
    if now["failures"] and not failures_before:
        return "new"
    if failures_before and not now["failures"]:
        return "gone"
    if before and now["rate_low"] > before["rate_high"]:
        return "grown"
    if before and now["rate_high"] < before["rate_low"]:
        return "shrunk"
    return "same"


def _pattern(row: Row, before: Row | None, playbooks: Sequence[str], *, is_first: bool) -> PatternLine:
    breakdown = [
        (visible(one["service"], 120), visible(one["method"], 120), one["failures"])
        for one in json.loads(row["breakdown"] or "[]")
    ]
    return PatternLine(
        pattern_id=row["pattern_id"],
        template=visible(row["template"]),
        kind=row["kind"],
        failure_class=row["failure_class"],
        state=row["state"],
        change="same" if is_first else change_of(row, before),
        services=tuple(visible(name, 120) for name in row["services"]),
        methods=tuple(visible(name, 120) for name in row["methods"]),
        breakdown=tuple(breakdown[:MAX_BREAKDOWN]),
        failures=row["failures"],
        sessions=row["sessions"],
        calls=row["calls"],
        failure_rate=row["failure_rate"],
        rate_low=row["rate_low"],
        rate_high=row["rate_high"],
        rate_before=before["failure_rate"] if before else None,
        baseline_rate=row["baseline_rate"],
        peer_rate=row["peer_rate"],
        nodes_affected=row["nodes_affected"],
        nodes_reporting=row["nodes_reporting"],
        top_node_share=row["top_node_share"],
        first_seen=f"{row['first_seen']:%Y-%m-%d %H:%M}" if row["first_seen"] else "",
        last_seen=f"{row['last_seen']:%Y-%m-%d %H:%M}" if row["last_seen"] else "",
        confidence=row["confidence"],
        is_significant=row["is_significant"],
        series=tuple(row["series"]),
        series_calls=tuple(row["series_calls"]),
        p95_ms=row["p95_ms"],
        failure_p50_ms=row["failure_p50_ms"],
        exemplar_trace_ids=tuple(visible(name, 120) for name in row["exemplar_trace_ids"]),
        suspects=tuple(visible(name, 120) for name in row["suspects"]),
        messages=row["messages"],
        why_grouped=visible(row["why_grouped"]),
        playbooks=tuple(playbooks),
    )


def _playbooks(rows: ReportRows) -> list[PlaybookLine]:
    ready_before = {row["improvement_id"] for row in rows.earlier_playbooks if row["is_actionable"]}
    decided = {row["improvement_id"]: row for row in rows.decisions}
    lines = []
    for row in rows.playbooks:
        decision = decided.get(row["improvement_id"])
        lines.append(
            PlaybookLine(
                improvement_id=row["improvement_id"],
                pattern_id=row["pattern_id"],
                category=row["category"],
                title=visible(row["title"]),
                description=visible(row["description"]),
                target=visible(row["target"], 120),
                confidence=row["confidence"],
                evidence_count=row["evidence_count"],
                nodes_affected=row["nodes_affected"],
                nodes_reporting=row["nodes_reporting"],
                state=row["state"],
                failure_class=row["failure_class"],
                failure_rate=row["failure_rate"],
                suggested_changes=tuple(
                    (visible(name, 120), visible(value, 240))
                    for name, value in sorted(json.loads(row["suggested_changes"]).items())
                ),
                version=row["version"],
                is_new=rows.previous_day is not None and row["improvement_id"] not in ready_before,
                held_because=tuple(_reason(reason, row["improvement_id"]) for reason in row["held_because"]),
                action=decision["action"] if decision else "",
                reasons=tuple(_reason(reason, row["improvement_id"]) for reason in decision["reasons"])
                if decision
                else (),
            )
        )
    # What would prevent the most failures comes first; the confidence is the chance that there are any to prevent.
    return sorted(lines, key=lambda one: (-one.evidence_count * one.confidence, one.improvement_id))


def _decisions(rows: ReportRows, playbooks: Sequence[PlaybookLine]) -> tuple[DecisionLine, ...]:
    order = {"apply": 0, "canary": 1, "reject": 2, "none": 3, "hold": 4}
    titles = {one.improvement_id: one.title for one in playbooks}
    done = {row["decision_id"]: row for row in rows.applied}
    lines = [
        DecisionLine(
            decision_id=row["decision_id"],
            improvement_id=row["improvement_id"],
            title=titles.get(row["improvement_id"], row["improvement_id"]),
            action=row["action"],
            outcome=in_words(row),
            mode=row["mode"],
            category=row["category"],
            target=visible(row["target"], 240),
            from_value=visible(row["from_value"], 240),
            to_value=visible(row["to_value"], 240),
            reasons=tuple(_reason(reason, row["improvement_id"]) for reason in row["reasons"]),
            revert_plan=visible(row["revert_plan"]),
            status=done[row["decision_id"]]["status"] if row["decision_id"] in done else "",
            status_reason=visible(done[row["decision_id"]]["reason"]) if row["decision_id"] in done else "",
        )
        for row in rows.decisions
    ]
    return tuple(sorted(lines, key=lambda one: (order.get(one.action, 9), one.title, one.decision_id)))


def _outcomes(rows: ReportRows) -> tuple[OutcomeLine, ...]:
    numbers = [name for name, field in OutcomeLine.model_fields.items() if field.annotation not in (str,)]
    lines = [
        OutcomeLine(
            **{
                name: row[name] if name in numbers else visible(row[name])
                for name in OutcomeLine.model_fields
            }
        )
        for row in rows.outcomes
    ]
    order = {"worse": 0, "better": 1, "inconclusive": 2, "wait": 3}
    return tuple(sorted(lines, key=lambda one: (order.get(one.verdict, 9), one.decision_id)))


def _reason(reason: str, improvement_id: str) -> str:
    """A rule's sentence without the name and the id that stand beside it anyway: `confidence 0.61, needs at least 0.70`."""
    return visible(reason.replace(f" {improvement_id} has ", " "))


def _moved(patterns: Sequence[PatternLine], rows: ReportRows) -> list[Moved]:
    before = {row["pattern_id"]: row for row in rows.earlier_patterns}
    moved = [
        Moved(
            pattern_id=one.pattern_id,
            template=visible(one.template, 200),
            change=one.change,
            rate=one.failure_rate,
            rate_before=one.rate_before or 0.0,
            failures=one.failures,
            failures_before=before[one.pattern_id]["failures"] if one.pattern_id in before else 0,
        )
        for one in patterns
        if one.change != "same"
    ]
    now = {one.pattern_id for one in patterns}
    moved += [
        Moved(
            pattern_id=row["pattern_id"],
            template=visible(row["template"], 200),
            change="gone",
            rate=0.0,
            rate_before=row["failure_rate"],
            failures=0,
            failures_before=row["failures"],
        )
        for row in rows.earlier_patterns
        if row["failures"] and row["pattern_id"] not in now
    ]
    order = {"new": 0, "grown": 1, "shrunk": 2, "gone": 3}
    return sorted(
        moved, key=lambda one: (order[one.change], -max(one.failures, one.failures_before), one.pattern_id)
    )


def _regrouped(rows: ReportRows) -> tuple[Regrouped, ...]:
    """Patterns whose messages were elsewhere in the cycle before."""
    before = {row["message_id"]: row["pattern_id"] for row in rows.earlier_members}
    now = {row["message_id"]: row["pattern_id"] for row in rows.members}
    into: dict[str, set[str]] = {}
    out_of: dict[str, set[str]] = {}
    for message_id in sorted(before.keys() & now.keys()):
        into.setdefault(before[message_id], set()).add(now[message_id])
        out_of.setdefault(now[message_id], set()).add(before[message_id])
    split = [
        Regrouped(how="split", one=one, others=tuple(sorted(others)))
        for one, others in sorted(into.items())
        if len(others) > 1
    ]
    merged = [
        Regrouped(how="merged", one=one, others=tuple(sorted(others)))
        for one, others in sorted(out_of.items())
        if len(others) > 1
    ]
    return (*split, *merged)


def _quality(rows: ReportRows) -> Quality:
    days = nodes_of(rows.totals, rows.conversations, rows.day, rows.registered)
    nodes = [
        NodeLine(
            node_id=visible(one.node_id, 120),
            calls=one.calls,
            failures=one.failures,
            conversations=one.conversations,
            usual=one.usual,
            status=one.status,
            series=one.series,
        )
        for one in days
    ]
    order = {"silent": 0, "quiet": 1, "first seen": 2, "reporting": 3}
    nodes.sort(key=lambda one: (order[one.status], -one.calls, one.node_id))
    stats = rows.ingestion.get(rows.day, {})
    return Quality(
        nodes=tuple(nodes[:MAX_NODES]),
        nodes_left_out=max(0, len(nodes) - MAX_NODES),
        nodes_reporting=sum(one.status != "silent" for one in nodes),
        nodes_usual=sum(one.is_expected for one in days),
        completeness=completeness(days),
        silent=tuple(one.node_id for one in nodes if one.status == "silent"),
        events=_events_of(stats),
        quarantined=int(stats.get("quarantined", 0)),
        bad_ratio=float(stats.get("bad_ratio", 0.0)),
        quarantine_reasons=tuple(
            sorted(
                ((visible(row["reason"], 120), row["lines"]) for row in rows.quarantined),
                key=lambda one: (-one[1], one[0]),
            )
        ),
        duplicates=int(stats.get("duplicates", 0)),
        conflicts=int(stats.get("conflicts", 0)),
        clock_skewed=int(stats.get("clock_skewed", 0)),
        redactions=tuple(
            (name.removeprefix("redacted_"), int(count))
            for name, count in sorted(stats.items())
            if name.startswith("redacted_") and count
        ),
    )


def _headlines(
    rows: ReportRows, patterns: Sequence[PatternLine], playbooks: Sequence[PlaybookLine], quality: Quality
) -> tuple[Headline, ...]:
    day_before = rows.day - timedelta(days=1)
    earlier = rows.ingestion.get(day_before, {})
    if not _events_of(earlier):  # nothing came that day, so there is nothing to compare with
        earlier = {}
    failing = [one for one in patterns if one.failures]
    ready = sum(not one.held_because for one in playbooks)
    compared = rows.previous_day is not None
    reported_before = {
        row["node_id"] for row in (*rows.totals, *rows.conversations) if row["event_date"] == day_before
    }
    fresh, rising = (sum(one.state == state for one in failing) for state in ("new", "rising"))
    regressed = sum(one.state == "regressed" for one in failing)
    moods = [
        f"{count} {name}"
        for count, name in ((fresh, "new"), (rising, "rising"), (regressed, "regressed"))
        if count
    ]
    return (
        Headline(
            name="Events",
            value=quality.events,
            before=_events_of(earlier) or None,
            note="calls and conversation turns",
        ),
        Headline(
            name="Failed calls",
            value=_failed_share(rows.totals, rows.day),
            before=_failed_share(rows.totals, day_before),
            unit="share",
            more_is="bad",
            note=f"{sum(row['failures'] for row in rows.totals if row['event_date'] == rows.day):,} failures",
        ),
        Headline(
            name="Patterns failing",
            value=len(failing),
            before=sum(row["failures"] > 0 for row in rows.earlier_patterns) if compared else None,
            more_is="bad",
            note=", ".join(moods) or "none new or rising",
        ),
        Headline(
            name="Playbooks ready",
            value=ready,
            before=sum(bool(row["is_actionable"]) for row in rows.earlier_playbooks) if compared else None,
            note=f"{len(playbooks) - ready} held back",
        ),
        Headline(
            name="Nodes reporting",
            value=quality.nodes_reporting,
            before=len(reported_before) if reported_before else None,
            more_is="good",
            note=f"{len(quality.silent)} silent, {quality.completeness:.0%} complete"
            if quality.silent
            else "none silent",
        ),
        Headline(
            name="Unreadable lines",
            value=quality.bad_ratio,
            before=earlier.get("bad_ratio"),
            unit="share",
            more_is="bad",
            note=f"{quality.quarantined:,} lines",
        ),
    )


def _summary(
    rows: ReportRows,
    status: str,
    patterns: Sequence[PatternLine],
    playbooks: Sequence[PlaybookLine],
    quality: Quality,
) -> tuple[str, ...]:
    failing = [one for one in patterns if one.failures]
    if not failing:
        sentences = ["Nothing that was reported failed."]
    else:
        states = Counter(one.state for one in failing)
        moods = [
            f"{states[state]} {state}" for state in ("new", "rising", "regressed", "falling") if states[state]
        ]
        wide = sum(one.nodes_affected >= rows.min_nodes for one in failing)
        sentences = [
            f"{_count(len(failing), 'pattern')} of failure{f', {_and(moods)}' if moods else ''}; {wide} on {rows.min_nodes} or more nodes."
        ]
    ready = [one for one in playbooks if not one.held_because]
    if ready:
        is_ready = "would be ready" if status == "gated" else "is ready" if len(ready) == 1 else "are ready"
        ids = {one.improvement_id for one in ready}
        decided = Counter(in_words(row) for row in rows.decisions if row["improvement_id"] in ids)
        fate = f" ({counted(decided)})" if decided else ""
        sentences.append(
            f"{_count(len(ready), 'playbook')} {is_ready}{fate}; the one that would prevent most: {ready[0].title}."
        )
    held = len(playbooks) - len(ready)
    if held:
        surest = max(one.confidence for one in playbooks)
        nearest = (
            f"; the surest has {surest:.0%}, and {rows.threshold:.0%} is needed"
            if surest < rows.threshold
            else ""
        )
        sentences.append(f"{_count(held, 'playbook')} held back until the evidence is stronger{nearest}.")
    if status == "gated":
        sentences.append("The gate stopped this cycle: nothing was decided and nothing was changed.")
    elif rows.decisions:
        carried = sum(row["action"] in ("apply", "canary") for row in rows.decisions)
        sentences.append(
            f"{_count(carried, 'change')} to be carried out."
            if carried
            else "Nothing is changed without a person."
        )
    undone = sum(row["action"] == "rolled_back" for row in rows.outcomes)
    if undone:
        sentences.append(f"{_count(undone, 'update')} rolled back.")
    if quality.silent:
        names = f" ({', '.join(quality.silent)})" if len(quality.silent) <= MAX_NAMED else ""
        sentences.append(
            f"{_count(len(quality.silent), 'node')} that usually report{'s' if len(quality.silent) == 1 else ''} did not{names}."
        )
    return tuple(sentences)


def _events_of(stats: Mapping[str, float]) -> int:
    """Events of a day: read here, and told of in summaries."""
    return int(stats.get("events", 0)) + int(stats.get("summary_events", 0))


def _failed_share(totals: Iterable[Row], day: date) -> float | None:
    rows = [row for row in totals if row["event_date"] == day]
    calls = sum(row["calls"] for row in rows)
    return sum(row["failures"] for row in rows) / calls if calls else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counted(outcomes: Mapping[str, int]) -> str:
    """Return counts as words, the most first: `16 exported for review, 8 left to people`."""
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(outcomes.items(), key=lambda one: (-one[1], one[0]))
    )


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
