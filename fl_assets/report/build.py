"""Building a report from the rows of a day and of the cycle before it.

What goes here: choosing, comparing and counting. What does not: reading rows (`report/rows.py`), sentences
(`report/words.py`), HTML and files (`report/page.py`). The same rows give the same report.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from fl_assets.core.models import Record
from fl_assets.patterns.knowledge import without_middle
from fl_assets.patterns.nodes import completeness, nodes_of
from fl_assets.report.headlines import events_of, headlines
from fl_assets.report.records import (
    Bin,
    Change,
    DecisionLine,
    ExampleLine,
    GateLine,
    NodeLine,
    OutcomeLine,
    PatternChange,
    PatternLine,
    PlaybookLine,
    Quality,
    Regrouped,
    Regrouping,
    Report,
    ReportRows,
    Row,
    StepLine,
)
from fl_assets.report.words import MAX_NAME, summary_of, visible, with_code, without_subject
from fl_assets.updates.decide import in_words, is_answered, route_of, standing_of

MAX_BREAKDOWN, MAX_NODES, MAX_MOVED = 5, 200, 100
"""Rows of a list that are shown; further ones are counted."""
MAX_EXAMPLES, MAX_PATTERN_NODES, MAX_REASONS = 3, 200, 2
MAX_MESSAGE, MAX_DESCRIPTION = 300, 2000
"""Longest message of an example and description of a playbook, in characters."""
Line = TypeVar("Line", bound=Record)


def build_report(rows: ReportRows) -> Report:
    """Return the report of a day."""
    patterns, playbooks = _patterns(rows), _playbooks(rows)
    window = max((row["window_days"] for row in rows.patterns), default=1)
    status = "not run"
    if rows.cycle:
        window, status = rows.cycle["window_days"], rows.cycle["status"]
    moved = _moved(patterns, rows)
    quality = _quality(rows)
    return Report(
        day=rows.day,
        previous_day=rows.previous_day,
        status=status,
        reason=visible(rows.cycle["reason"]) if rows.cycle else "",
        window_days=window,
        threshold=rows.threshold,
        min_nodes=rows.min_nodes,
        summary=summary_of(rows, status, patterns, playbooks, quality),
        headlines=headlines(rows, patterns, playbooks, quality, window),
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
            _line(Bin, row, low=row["bin_low"], high=row["bin_high"])
            for row in rows.calibration
            if row["predictions"]
        ),
        gate=_gate(rows),
        steps=tuple(_line(StepLine, row, day=row["event_date"]) for row in rows.steps),
    )


def change_of(now: Row, before: Row | None) -> Change:
    """Return how a pattern changed since the cycle before.

    It is grown or shrunk only if the 95 % intervals of the two rates do not overlap, which is stricter than a
    test at 5 %.
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


def _line(kind: type[Line], row: Row, **own: Any) -> Line:
    """Return a record with a row's values, made visible; `own` replaces and adds fields."""
    shared = {name: _shown(row[name]) for name in kind.model_fields if name in row and name not in own}
    return kind.model_validate(shared | own)


def _shown(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(visible(one, MAX_NAME) if isinstance(one, str) else one for one in value)
    return visible(value) if isinstance(value, str) else value


def _patterns(rows: ReportRows) -> list[PatternLine]:
    before = {row["pattern_id"]: row for row in rows.earlier_patterns}
    answers: dict[str, list[str]] = {}
    for row in rows.playbooks:
        for pattern_id in (row["pattern_id"], *row["merged_patterns"]):
            answers.setdefault(pattern_id, []).append(row["improvement_id"])
    examples, nodes = _examples(rows), _nodes(rows)
    lines = [
        _pattern(
            row,
            before.get(row["pattern_id"]),
            answers.get(row["pattern_id"], []),
            is_first=rows.previous_day is None,
            examples=_of_its_nodes(examples.get(row["family_id"], ()), nodes.get(row["pattern_id"], ())),
            nodes=nodes.get(row["pattern_id"], ()),
        )
        for row in rows.patterns
    ]
    return sorted(lines, key=lambda one: (-one.failures, -one.confidence, one.pattern_id))


def _pattern(
    row: Row,
    before: Row | None,
    playbooks: Sequence[str],
    *,
    is_first: bool,
    examples: Sequence[ExampleLine],
    nodes: Sequence[tuple[str, int]],
) -> PatternLine:
    breakdown = [
        (visible(one["service"], MAX_NAME), visible(one["method"], MAX_NAME), one["failures"])
        for one in json.loads(row["breakdown"] or "[]")
    ]
    return _line(
        PatternLine,
        row,
        title=with_code(visible(row["template"]), [one.message for one in examples]),
        change="same" if is_first else change_of(row, before),
        breakdown=tuple(breakdown[:MAX_BREAKDOWN]),
        rate_before=before["failure_rate"] if before else None,
        first_seen=f"{row['first_seen']:%Y-%m-%d %H:%M}" if row["first_seen"] else "",
        last_seen=f"{row['last_seen']:%Y-%m-%d %H:%M}" if row["last_seen"] else "",
        playbooks=tuple(playbooks),
        examples=tuple(examples),
        nodes=tuple(nodes),
    )


def _examples(rows: ReportRows) -> dict[str, list[ExampleLine]]:
    """Return failed calls by family of patterns, with links where a playbook has them."""
    links = {
        one["trace_id"]: one["link"] for row in rows.playbooks for one in _advice(row).get("examples", ())
    }
    found: dict[str, list[ExampleLine]] = {}
    for row in sorted(rows.examples, key=lambda one: (one["family_id"], one["rank"])):
        lines = found.setdefault(row["family_id"], [])
        if row["succeeded"] or len(lines) == MAX_EXAMPLES:
            continue
        lines.append(
            ExampleLine(
                message=visible(without_middle(row["message"] or "", MAX_MESSAGE), MAX_MESSAGE),
                method=visible(f"{row['service']} {row['method']}".strip(), MAX_NAME),
                node=visible(row["node_id"], MAX_NAME),
                time=f"{row['timestamp']:%Y-%m-%d %H:%M:%S}",
                trace_id=visible(row["trace_id"], MAX_NAME),
                link=links.get(row["trace_id"], ""),
            )
        )
    return found


def _of_its_nodes(
    examples: Sequence[ExampleLine], nodes: Sequence[tuple[str, int]]
) -> tuple[ExampleLine, ...]:
    """Return a family's examples that can be this pattern's: of a node that has it, where that is known."""
    names = {name for name, _ in nodes}
    is_known = 0 < len(nodes) < MAX_PATTERN_NODES
    return tuple(one for one in examples if one.node in names or not is_known)


def _nodes(rows: ReportRows) -> dict[str, list[tuple[str, int]]]:
    """Return nodes and their failures by pattern, most failures first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in sorted(rows.by_node, key=lambda one: (-one["failures"], one["node_id"])):
        lines = found.setdefault(row["pattern_id"], [])
        if len(lines) < MAX_PATTERN_NODES:
            lines.append((visible(row["node_id"], MAX_NAME), row["failures"]))
    return found


def _advice(row: Row) -> dict[str, Any]:
    """Return a playbook's advice, empty for one of an earlier release."""
    return json.loads(row.get("advice") or "{}")


def _gate(rows: ReportRows) -> tuple[GateLine, ...]:
    """Return what each rule found; rules that stop the day or hold most playbooks come first."""
    by_rule: dict[str, list[Row]] = {}
    for row in sorted(rows.verdicts, key=lambda one: (one["rule"], one["position"])):
        by_rule.setdefault(row["rule"], []).append(row)
    lines = [
        GateLine(
            rule=visible(rule, MAX_NAME),
            expected=visible(found[0]["expected"]),
            held=sum(row["position"] > 0 for row in found),
            stops_day=any(row["stops_day"] for row in found),
            first=visible(found[0]["actual"]),
        )
        for rule, found in by_rule.items()
    ]
    return tuple(sorted(lines, key=lambda one: (not one.stops_day, -one.held, one.rule)))


def _playbooks(rows: ReportRows) -> list[PlaybookLine]:
    ready_before = {row["improvement_id"] for row in rows.earlier_playbooks if row["is_actionable"]}
    decided = {row["improvement_id"]: row for row in rows.decisions}
    done = {row["decision_id"]: row["status"] for row in rows.applied}
    lines = []
    for row in rows.playbooks:
        identity = row["improvement_id"]
        decision = decided.get(identity, {"action": "", "reasons": ()})
        expected = {name: decision.get(name) for name in ("helps", "benefit")}
        advice = _advice(row)
        why = [one["text"] for kind in ("contrasts", "cures") for one in advice.get(kind, ())[:MAX_REASONS]]
        changes = sorted(json.loads(row["suggested_changes"]).items())
        line = _line(
            PlaybookLine,
            row,
            target=visible(row["target"], MAX_NAME),
            description=visible(row["description"], MAX_DESCRIPTION),
            suggested_changes=tuple((visible(name, MAX_NAME), visible(value)) for name, value in changes),
            is_new=rows.previous_day is not None and identity not in ready_before,
            held_because=tuple(without_subject(reason, identity) for reason in row["held_because"]),
            headline=visible(advice.get("headline", "")),
            cost=visible((advice.get("consequence") or {}).get("text", "")),
            reasons_why=tuple(visible(one) for one in why),
            **{name: (advice.get("helps") or {}).get(name, 0) for name in ("tried", "helped")},
            avoided_per_day=(advice.get("benefit") or {}).get("avoided_per_day"),
            readiness=_readiness(decided.get(identity), done, advice),
            readiness_reason=visible(advice.get("readiness_reason", "")),
            incident_node=visible(advice.get("incident_node", ""), MAX_NAME),
            **expected,
            action=decision["action"],
            reasons=tuple(without_subject(reason, identity) for reason in decision["reasons"]),
        )
        lines.append(line)

    def rank(one: PlaybookLine) -> tuple[float, float, str]:  # as of `Playbook.rank`
        return -(one.avoided_per_day or 0.0), -one.evidence_count * one.confidence, one.improvement_id

    return sorted(lines, key=rank)


def _readiness(decision: Row | None, done: Mapping[str, str], advice: Mapping[str, Any]) -> str:
    """Return whether a person can act on a playbook now, or what became of it."""
    where = standing_of(decision, done.get(decision["decision_id"], "")) if decision else "to do"
    return advice.get("readiness", "ready") if where == "to do" else where.replace(" ", "_")


def _decisions(rows: ReportRows, playbooks: Sequence[PlaybookLine]) -> tuple[DecisionLine, ...]:
    titles = {one.improvement_id: one.title for one in playbooks}
    done = {row["decision_id"]: row for row in rows.applied}
    lines = []
    for row in rows.decisions:
        applied = done.get(row["decision_id"], {"status": "", "reason": ""})
        line = _line(
            DecisionLine,
            row,
            title=titles.get(row["improvement_id"], row["improvement_id"]),
            outcome=in_words(row, applied["status"]),
            from_value=visible(row["from_value"], 240),
            to_value=visible(row["to_value"], 240),
            reasons=tuple(without_subject(reason, row["improvement_id"]) for reason in row["reasons"]),
            can_be_answered=row["mode"] == "live"
            and not is_answered(applied["status"])
            and (route_of(row) in ("export", "wait") or row["action"] in ("apply", "canary", "reject")),
            status=applied["status"],
            status_reason=visible(applied["reason"]),
        )
        lines.append(line)
    worth = {row["decision_id"]: row.get("benefit") or 0.0 for row in rows.decisions}
    return tuple(
        sorted(
            lines,
            key=lambda one: (_FIRST.get(one.outcome, 3), -worth[one.decision_id], one.title, one.decision_id),
        )
    )


_FIRST = {"awaiting approval": 0, "to be applied": 1, "to canary nodes": 1, "for review": 2,
    "failed or rejected before": 4, "held back": 5}  # fmt: skip
"""Order of decisions: those that need a person first, then by expected benefit, as in the UI."""


def _outcomes(rows: ReportRows) -> tuple[OutcomeLine, ...]:
    order = {"worse": 0, "faded": 1, "better": 2, "kept": 3, "inconclusive": 4, "safe": 5, "wait": 6}
    lines = [
        _line(OutcomeLine, row, released_on=str(row["released_on"]), stage=row.get("stage") or "")
        for row in rows.outcomes
    ]
    return tuple(sorted(lines, key=lambda one: (order.get(one.verdict, 9), one.decision_id)))


def _moved(patterns: Sequence[PatternLine], rows: ReportRows) -> list[PatternChange]:
    before = {row["pattern_id"]: row for row in rows.earlier_patterns}
    now = {one.pattern_id for one in patterns}
    moved = [
        PatternChange(
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
    for row in rows.earlier_patterns:
        if row["failures"] and row["pattern_id"] not in now:
            gone = {"change": "gone", "rate": 0.0, "failures": 0}
            earlier = {"rate_before": row["failure_rate"], "failures_before": row["failures"]}
            template = visible(row["template"], 200)
            moved.append(PatternChange(pattern_id=row["pattern_id"], template=template, **gone, **earlier))
    order = {"new": 0, "grown": 1, "shrunk": 2, "gone": 3}
    return sorted(
        moved, key=lambda one: (order[one.change], -max(one.failures, one.failures_before), one.pattern_id)
    )


def _regrouped(rows: ReportRows) -> tuple[Regrouped, ...]:
    """Return patterns whose messages were in other patterns in the cycle before."""
    before = {row["message_id"]: row["pattern_id"] for row in rows.earlier_members}
    now = {row["message_id"]: row["pattern_id"] for row in rows.members}
    into: dict[str, set[str]] = {}
    out_of: dict[str, set[str]] = {}
    for message_id in sorted(before.keys() & now.keys()):
        into.setdefault(before[message_id], set()).add(now[message_id])
        out_of.setdefault(now[message_id], set()).add(before[message_id])
    return (*_of_several("split", into), *_of_several("merged", out_of))


def _of_several(how: Regrouping, groups: Mapping[str, set[str]]) -> Iterator[Regrouped]:
    for one, others in sorted(groups.items()):
        if len(others) > 1:
            yield Regrouped(how=how, one=one, others=tuple(sorted(others)))


def _quality(rows: ReportRows) -> Quality:
    days = nodes_of(rows.totals, rows.conversations, rows.day, rows.registered)
    nodes = [_line(NodeLine, asdict(one), node_id=visible(one.node_id, MAX_NAME)) for one in days]
    order = {"silent": 0, "quiet": 1, "first seen": 2, "reporting": 3}
    nodes.sort(key=lambda one: (order[one.status], -one.calls, one.node_id))
    stats = rows.ingestion.get(rows.day, {})
    return Quality(
        nodes=tuple(nodes[:MAX_NODES]),
        nodes_left_out=max(0, len(nodes) - MAX_NODES),
        nodes_reporting=sum(one.status != "silent" for one in nodes),
        nodes_usual=sum(one.is_expected for one in days),
        completeness=completeness(days),
        silent=tuple(
            visible(one.node_id, MAX_NAME) for one in days if one.status == "silent" and one.is_expected
        ),
        events=events_of(stats),
        quarantined=int(stats.get("quarantined", 0)),
        bad_ratio=float(stats.get("bad_ratio", 0.0)),
        quarantine_reasons=tuple(
            sorted(
                ((visible(row["reason"], MAX_NAME), row["lines"]) for row in rows.quarantined),
                key=lambda one: (-one[1], one[0]),
            )
        ),
        unread=tuple(visible(line) for line in rows.unread),
        duplicates=int(stats.get("duplicates", 0)),
        conflicts=int(stats.get("conflicts", 0)),
        clock_skewed=int(stats.get("clock_skewed", 0)),
        redactions=tuple(
            (name.removeprefix("redacted_"), int(count))
            for name, count in sorted(stats.items())
            if name.startswith("redacted_") and count
        ),
    )
