"""Printing patterns: as a table, and one in full."""

from collections.abc import Sequence

from fl_assets.cli.console import TOP, say, say_fact, show_json, show_table
from fl_assets.report.records import PatternLine, PlaybookLine, Report
from fl_assets.report.words import rule, what_to_do


def show_patterns(patterns: Sequence[PatternLine], *, as_json: bool) -> None:
    """Print patterns as a table."""
    if as_json:
        show_json([one.model_dump(mode="json") for one in patterns])
        return
    rows = [
        [
            one.pattern_id,
            one.state.replace("_", " "),
            one.failure_class,
            f"{one.failures:,}",
            f"{one.failure_rate:.1%}",
            trend(one.series),
            f"{one.nodes_affected} of {one.nodes_reporting}",
            f"{one.confidence:.2f}",
            (one.examples[0].message if one.examples and one.kind != "conversation" else "") or one.title,
        ]
        for one in patterns
    ]
    show_table(
        ("pattern", "state", "class", "failures", "rate", "14 days", "nodes", "confidence", "failure"), rows
    )


def show_pattern(one: PatternLine, report: Report, *, as_json: bool) -> None:
    """Print one pattern in full."""
    answers = [playbook for playbook in report.playbooks if playbook.improvement_id in one.playbooks]
    if as_json:
        playbooks = [playbook.model_dump(mode="json") for playbook in answers]
        show_json({"pattern": one.model_dump(mode="json"), "playbooks": playbooks})
        return
    say(one.title)
    before = "no calls" if one.baseline_rate is None else f"{one.baseline_rate:.1%}"
    baseline = f"{before} in the days before"
    corroboration = "unknown"
    if one.corroboration is not None:
        worst = "nodes" if report.min_nodes > 1 else "user"
        corroboration = f"{one.corroboration:.2f} without the worst {worst}"
    significant = "yes" if one.is_significant else "no: chance may explain it"
    if one.incident_node:
        significant = f"no: an incident of node {one.incident_node}, to be fixed there"
    facts = {
        "pattern": f"{one.pattern_id} ({one.kind}, {f'{one.failure_class}, {one.state}'.replace('_', ' ')})",
        "example": one.examples[0].message if one.examples else "",
        "where": "; ".join(f"{service} {method}: {failures:,}" for service, method, failures in one.breakdown)
        or ", ".join(one.services),
        "failures": f"{one.failures:,} of {one.calls:,} calls: {one.failure_rate:.1%} (95 % interval "
        f"{one.rate_low:.1%} to {one.rate_high:.1%}); {baseline}",
        "14 days": f"{trend(one.series)}  {' '.join(map(str, one.series))}",
        "nodes": f"{one.nodes_affected} of {one.nodes_reporting}; the worst has "
        f"{one.top_node_share:.0%} of the failures: {_named(one.nodes, one.nodes_affected)}",
        "confidence": f"{one.confidence:.2f} that it still fails in the next cycle on two nodes, at half "
        "its rate or more",
        "corroboration": corroboration,
        "significant": significant,
        "seen": f"{one.first_seen} to {one.last_seen} UTC",
        "why one pattern": f"{one.why_grouped} ({one.messages} distinct "
        f"message{'' if one.messages == 1 else 's'})",
        "traces": ", ".join(one.exemplar_trace_ids) or "none kept",
        "suspected": ", ".join(one.suspects),
    }
    for name, value in facts.items():
        if value:
            say_fact(name, value)
    for playbook in answers:
        _show_answer(playbook, report)


def _show_answer(playbook: PlaybookLine, report: Report) -> None:
    """Print a playbook: what it changes, what became of it before, and how to accept it."""
    decided = {one.improvement_id: one for one in report.decisions}
    found = decided.get(playbook.improvement_id)
    say(f"\n{playbook.category}: {playbook.title}" + (f" ({found.outcome})" if found else ""))
    say(what_to_do(playbook.description, playbook))
    if playbook.cost:
        say_fact("cost", playbook.cost)
    for name, value in playbook.suggested_changes:
        say_fact(name, value)
    for reason in playbook.held_because:
        say_fact("held because", rule(reason))
    for step in report.steps:
        if step.improvement_id == playbook.improvement_id and step.action == "rolled_back":
            say_fact("tried before", f"rolled back on {step.day}: {step.reason}")
    if found and found.can_be_answered:
        say_fact("to accept it", f'fl-assets approve {found.decision_id} --reason "why"')


def _named(nodes: Sequence[tuple[str, int]], affected: int) -> str:
    """Return the loudest nodes with their failures."""
    more = f" and {affected - TOP} more" if affected > TOP else ""
    return ", ".join(f"{node} {failures:,}" for node, failures in nodes[:TOP]) + more


def trend(series: Sequence[int]) -> str:
    """Return a series as a line of bars, one character a day, a dot for a day without any."""
    top = max(*series, 1) if series else 1
    return "".join("·▁▂▃▄▅▆▇█"[-(-8 * number // top)] for number in series)
