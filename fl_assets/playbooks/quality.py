"""The arithmetic of the gate's rules: one pure function per rule, which returns its violations.

What does not go here: the list of rules (`rules.py`), evaluating them (`gate.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from fl_assets.core.models import Playbook, Violation
from fl_assets.patterns.confidence import CORROBORATED

Residue = Callable[[str], Sequence[str]]
"""Function that returns the kinds of personal data and secrets left in a text, as `redaction.residue`."""


def minimum_events(
    events: int, minimum: int, window_days: int, *, subject: str, own_events: int = 1
) -> list[Violation]:
    """The window must hold the minimum of events, and the day itself at least one.

    A day without events would otherwise decide again on earlier days.
    """
    if not own_events and events:
        return [_violation("minimum_events", subject, "events of the day itself", "no telemetry")]
    if events >= minimum:
        return []
    days = "1 day" if window_days == 1 else f"{window_days} days"
    actual = f"{events:,} event{'' if events == 1 else 's'} in {days}"
    expected = f"at least {minimum:,} events (FEDERATED_LEARNING_MIN_EVENTS)"
    return [_violation("minimum_events", subject, expected, actual)]


def few_malformed_lines(bad: int, lines: int, maximum: float, *, subject: str) -> list[Violation]:
    """The share of lines that could not be read must not exceed the maximum."""
    if bad <= maximum * lines:
        return []
    actual = f"{bad} of {lines} ({bad / max(1, lines):.1%})"
    return [_violation("few_malformed_lines", subject, f"at most {maximum:.1%} malformed lines", actual)]


def confidence_gate(playbooks: Iterable[Playbook], threshold: float) -> list[Violation]:
    """A playbook's confidence must reach the threshold; violations are sorted, most confident first."""
    expected = f"confidence of at least {threshold:.2f}"
    return [
        _violation("confidence_gate", one.improvement_id, expected, _floor(one.confidence))
        for one in sorted(playbooks, key=lambda one: (-one.confidence, one.improvement_id))
        if one.confidence < threshold
    ]


def needed_corroboration(threshold: float) -> float:
    """Return the corroboration that goes with a threshold of confidence."""
    return CORROBORATED * threshold


def corroborated(playbooks: Iterable[Playbook], threshold: float) -> list[Violation]:
    """Without the loudest nodes, a playbook's failure must be likely to persist, too.

    Playbooks of earlier releases have no corroboration and break no rule.
    """
    needed = needed_corroboration(threshold)
    expected = f"corroboration of at least {needed:.2f}"
    return [
        _violation("corroborated", one.improvement_id, expected, _floor(one.corroboration))
        for one in playbooks
        if one.corroboration is not None and one.corroboration < needed
    ]


def enough_nodes(playbooks: Iterable[Playbook], min_nodes: int) -> list[Violation]:
    """A playbook's pattern must be on enough nodes."""
    found = []
    for one in playbooks:
        if one.nodes_affected < min_nodes:
            actual = f"{one.nodes_affected} of {one.nodes_reporting} nodes"
            expected = f"at least {min_nodes} nodes"
            found.append(_violation("enough_nodes", one.improvement_id, expected, actual))
    return found


def is_significant(playbooks: Iterable[Playbook]) -> list[Violation]:
    """A playbook's pattern must survive the day's false-discovery control."""
    expected = "significance under the day's false-discovery control"
    actual = "failures that chance may explain"
    return [
        _violation("is_significant", one.improvement_id, expected, actual)
        for one in playbooks
        if not one.is_significant
    ]


def evidence_is_real(
    playbooks: Iterable[Playbook], summed: Mapping[str, int], counted: Mapping[str, int]
) -> list[Violation]:
    """A playbook's evidence must equal what the sums hold and what is counted in the lake.

    `summed` and `counted` are failures by pattern in the window: by the stored sums, and again from events.
    """
    found = []
    for one in playbooks:
        patterns = (one.pattern_id, *one.merged_patterns)
        in_sums, in_lake = (sum(counts.get(name, 0) for name in patterns) for counts in (summed, counted))
        if one.evidence_count != in_lake or one.evidence_count != in_sums:
            expected = f"the {in_lake} failures that a recount finds"
            expected += f" and the {in_sums} in the sums" if in_sums != in_lake else ""
            actual = f"{one.evidence_count} claimed"
            found.append(_violation("evidence_is_real", one.improvement_id, expected, actual))
    return found


def no_personal_data(playbooks: Iterable[Playbook], residue: Residue) -> list[Violation]:
    """No text of a playbook may hold personal data or a secret; violations name only the kind."""
    found = []
    for one in playbooks:
        texts = (one.title, one.description, one.target, *one.suggested_changes.values())
        kinds = sorted({kind for text in texts for kind in residue(text)})
        if kinds:
            actual = f"text that looks like {', '.join(kinds)}"
            expected = "no personal data and no secret"
            found.append(_violation("no_personal_data", one.improvement_id, expected, actual))
    return found


def _floor(share: float) -> str:
    """Cut, never round: 0.6999 must not read as the 0.70 that it fails to reach."""
    return f"{int(share * 1000) / 1000:.3f}"


def _violation(rule: str, subject: str, expected: str, actual: str) -> Violation:
    return Violation(rule=rule, subject=subject, expected=expected, actual=actual)
