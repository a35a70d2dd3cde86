"""The rules that a day, a playbook or a batch of lines must keep, each in words and numbers that a person can check.

What goes here: one pure function a rule, returning the violations. What does not: what follows from one; asset checks report and block,
`playbooks.propose` marks, `updates.decide` holds. All of them call these same functions.

A rule named in a check returns what makes that *check* fail. A playbook that is already held for the reason is no failure of the day,
unless every playbook is: then nothing is left to act on, and the day is gated.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from fl_assets.core.models import Playbook, Violation

Residue = Callable[[str], Sequence[str]]
"""What is left of personal data and secrets in a text, by kind; `redaction.residue` is one."""


def minimum_events(
    events: int, minimum: int, window_days: int, *, subject: str = "the window"
) -> list[Violation]:
    """The window must hold the minimum of events.

    Args:
        events: Events in the window.
        minimum: Events that are required.
        window_days: Days in the window, ending with the partition.
        subject: The day, as text.
    """
    if events >= minimum:
        return []
    days = "1 day" if window_days == 1 else f"{window_days} days"
    return [
        _violation(
            "minimum_events",
            subject,
            f"at least {minimum} events",
            f"{events} events in {days}, {minimum - events} too few",
        )
    ]


def bad_ratio(bad: int, lines: int, maximum: float, *, subject: str = "the day") -> list[Violation]:
    """The share of lines that could not be read must not exceed the maximum."""
    if bad <= maximum * lines:
        return []
    return [
        _violation(
            "bad_ratio",
            subject,
            f"at most {maximum:.1%} malformed lines",
            f"{bad} of {lines} ({bad / max(1, lines):.1%})",
        )
    ]


def confidence_gate(playbooks: Sequence[Playbook], threshold: float) -> list[Violation]:
    """At least one playbook must reach the threshold when there are any; when none does, every one is listed."""
    return _gated(playbooks, _below(playbooks, threshold))


def enough_nodes(playbooks: Sequence[Playbook], min_nodes: int) -> list[Violation]:
    """No playbook that may be acted on rests on too few nodes, and on a day with playbooks at least one rests on enough."""
    return _gated(playbooks, _lonely(playbooks, min_nodes))


def is_significant(playbooks: Sequence[Playbook]) -> list[Violation]:
    """A playbook's pattern must survive the day's false-discovery control; every one that does not is listed."""
    return [
        _violation(
            "is_significant",
            one.improvement_id,
            "to survive the day's false-discovery control",
            "failures that may be noise",
        )
        for one in playbooks
        if not one.is_significant
    ]


def evidence_is_real(playbooks: Iterable[Playbook], recounted: Mapping[str, int]) -> list[Violation]:
    """Every playbook's evidence must equal the recount.

    Args:
        playbooks: Playbooks of one day.
        recounted: Failures of each pattern in the window, counted anew; a pattern that is missing has none.
    """
    return [
        _violation(
            "evidence_is_real",
            one.improvement_id,
            f"the {recounted.get(one.pattern_id, 0)} failures that a recount finds",
            f"{one.evidence_count} claimed",
        )
        for one in playbooks
        if one.evidence_count != recounted.get(one.pattern_id, 0)
    ]


def no_personal_data(playbooks: Iterable[Playbook], residue: Residue) -> list[Violation]:
    """No text of a playbook may hold personal data or a secret; what was found is named by kind and never repeated."""
    found = []
    for one in playbooks:
        kinds = sorted(
            {
                kind
                for text in (one.title, one.description, one.target, *one.suggested_changes.values())
                for kind in residue(text)
            }
        )
        if kinds:
            found.append(
                _violation(
                    "no_personal_data",
                    one.improvement_id,
                    "no personal data and no secret",
                    f"text that looks like {', '.join(kinds)}",
                )
            )
    return found


def violations(
    playbooks: Sequence[Playbook],
    *,
    threshold: float,
    min_nodes: int,
    recounted: Mapping[str, int] | None = None,
    residue: Residue | None = None,
) -> dict[str, list[Violation]]:
    """Return, by improvement id, every rule that a playbook breaks by itself; one that breaks none has no entry.

    The same for all callers: `propose` and `decide` both hold what is listed here. `recounted` and `residue` add the two rules that need
    more than the playbook.
    """
    found = [*_below(playbooks, threshold), *_lonely(playbooks, min_nodes), *is_significant(playbooks)]
    if recounted is not None:
        found += evidence_is_real(playbooks, recounted)
    if residue is not None:
        found += no_personal_data(playbooks, residue)
    by_playbook: dict[str, list[Violation]] = {}
    for problem in found:
        by_playbook.setdefault(problem.subject, []).append(problem)
    return by_playbook


def _below(playbooks: Iterable[Playbook], threshold: float) -> list[Violation]:
    return [
        _violation(
            "confidence_gate",
            one.improvement_id,
            f"confidence of at least {threshold:.2f}",
            f"{_down(one.confidence)}",
        )
        for one in sorted(playbooks, key=lambda one: (-one.confidence, one.improvement_id))
        if one.confidence < threshold
    ]


def _lonely(playbooks: Iterable[Playbook], min_nodes: int) -> list[Violation]:
    return [
        _violation(
            "enough_nodes",
            one.improvement_id,
            f"at least {min_nodes} nodes",
            f"{one.nodes_affected} of {one.nodes_reporting} reporting",
        )
        for one in playbooks
        if one.nodes_affected < min_nodes
    ]


def _gated(playbooks: Sequence[Playbook], found: list[Violation]) -> list[Violation]:
    if len(found) == len(playbooks):
        return found
    free = {one.improvement_id for one in playbooks if not one.held_because}
    return [problem for problem in found if problem.subject in free]


def _down(share: float) -> str:
    """Cut, never round: 0.6999 must not read as the 0.70 that it fails to reach."""
    return f"{int(share * 1000) / 1000:.3f}"


def _violation(rule: str, subject: str, expected: str, actual: str) -> Violation:
    return Violation(rule=rule, subject=subject, expected=expected, actual=actual)
