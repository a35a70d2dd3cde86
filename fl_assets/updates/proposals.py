"""Playbooks and decisions as Markdown pages, for people who are asked to act.

What goes here: the pages, which are files below `data/proposals` and metadata in Dagster's UI. What does not:
writing a day's folder (`playbooks/files.py`), which decisions need a person (`decide.py`).
"""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from fl_assets.core.models import Decision, Playbook
from fl_assets.infra.markdown import block, code, plain, prose
from fl_assets.playbooks.files import write_day
from fl_assets.playbooks.wording import percent
from fl_assets.updates.decide import in_words, is_for_review
from fl_assets.updates.history import sides

MAX_SHOWN = 3
"""Examples, differences and cures that a page shows; the playbook's JSON has them all."""


def write_proposals(folder: Path, day: date, decided: Iterable[tuple[Playbook, Decision]]) -> list[Path]:
    """Write a Markdown file for each decision that a person must act on; return the files in order.

    They are rewritten and removed as the JSON files are.
    """
    wanted = {
        f"{playbook.improvement_id}.md": proposal(playbook, decision).encode()
        for playbook, decision in decided
        if is_for_review(decision)
    }
    return write_day(folder / day.isoformat(), wanted)


def can_be_answered(decision: Decision) -> bool:
    """Whether a person's yes or no to it is accepted."""
    return decision.mode == "live" and (
        is_for_review(decision) or decision.action in ("apply", "canary", "reject")
    )


def proposal(playbook: Playbook, decision: Decision, launchpad: str = "") -> str:
    """Return a decision as a page: the change, why, how sure, how to answer, and how it is undone.

    `launchpad` is the address, within the UI, of one that is filled in already.
    """
    answer = _section("Accept it, or turn it down", _answer(decision, launchpad))
    after = [playbook.advice.judged_by, decision.revert_plan]
    return _page(
        _title(playbook, f"{in_words(decision.model_dump())} · decision {code(decision.decision_id)}"),
        _section("The change", _change(decision)),
        _section("Evidence", _evidence(playbook)),
        _section("How sure", _certainty(playbook, decision)),
        _section("Why this decision", _reasons(playbook, decision.reasons)),
        answer if can_be_answered(decision) else "",
        _section("How it is judged and rolled back", [f"- {prose(one)}" for one in after if one]),
    )


def playbook_page(playbook: Playbook) -> str:
    """Return a playbook as a page: what fails, the change, the evidence, and what holds it back."""
    held = _reasons(playbook, playbook.held_because)
    changes = sorted(playbook.suggested_changes.items())
    return _page(
        _title(playbook, "held back" if held else "passed the gate"),
        _section("The change", [line for name, value in changes for line in _value(name, None, value)]),
        _section("Evidence", _evidence(playbook)),
        _section("Held because", held) if held else "",
    )


def answer_config(decision_id: str, code_words: str) -> str:
    """Return the launch configuration of `applied_updates` that approves a decision, as YAML."""
    return f"""ops:
  applied_updates:
    config:
      approve: ["{decision_id}"]
      reject: []
      codes: ["{code_words}"]
      reason: "why you approve it"
      by: "your name\""""


def _page(*parts: str) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(heading: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {heading}", "", *lines])


def _title(playbook: Playbook, state: str) -> str:
    about = f"**{playbook.category}** · {playbook.day} · {state}"
    headline = prose(playbook.advice.headline or playbook.description)
    return f"# {prose(playbook.title)}\n\n{about}\n\n{headline}"


def _reasons(playbook: Playbook, reasons: Iterable[str]) -> list[str]:
    return [f"- {prose(one.replace(f' {playbook.improvement_id} has', ''))}" for one in reasons]


def _change(decision: Decision) -> Iterator[str]:
    wanted = _values(decision.to_value, decision.target)
    present = _values(decision.from_value, decision.target)
    if decision.target:
        yield f"Where: {plain(decision.target)}"
        yield ""
    for name, value in wanted.items():
        yield from _value(name, present.get(name), value)


def _value(name: str, present: str | None, value: str) -> Iterator[str]:
    before = f" (now {code(present)})" if present else ""
    if "\n" not in value.strip():
        yield f"- {code(name)}{before}: {code(value)}"
        return
    yield f"{code(name)}{before}:"
    yield ""
    yield block(value, "text")
    yield ""


def _evidence(playbook: Playbook) -> Iterator[str]:
    advice = playbook.advice
    yield (
        f"- {playbook.evidence_count:,} failures, {percent(playbook.failure_rate)} of the calls, on "
        f"{playbook.nodes_affected} of {playbook.nodes_reporting} nodes; pattern {code(playbook.pattern_id)} "
        f"({plain(playbook.failure_class.replace('_', ' '))}, {playbook.state})"
    )
    if advice.consequence:
        yield f"- {prose(advice.consequence.text)}"
    for part in (advice.contrasts[:MAX_SHOWN], advice.cures[:MAX_SHOWN]):
        yield from (f"- {prose(one.text)}" for one in part)
    failed = [one for one in advice.examples if not (one.succeeded or one.is_talk)][:MAX_SHOWN]
    if failed:
        yield ""
        yield "Messages as they were:"
        yield ""
    for one in failed:
        where = f"{one.service} {one.method}".strip()
        yield f"- {code(one.message) or 'no text'} · {code(where)} · {code(one.node)} · {code(one.trace_id)}"


def _certainty(playbook: Playbook, decision: Decision) -> Iterator[str]:
    tried = playbook.advice.helps
    persists = percent(round(playbook.confidence, 2))
    yield f"- **Likely to continue: {persists}** (it still fails in the next cycle)."
    if playbook.corroboration is not None:
        yield f"- **Even without the worst nodes: {percent(round(playbook.corroboration, 2))}**."
    past = tried.text if tried.tried else f"{tried.text}, so that is a guess"
    if decision.helps is not None:
        yield f"- **This change helps: {percent(round(decision.helps, 2))}** ({past})."
    if playbook.advice.benefit:
        expected = playbook.advice.benefit
        factors = (
            f"{percent(round(expected.persists, 2))} (it goes on) × {percent(round(expected.helps, 2))} (the "
            f"change helps) × {percent(round(expected.reduction, 2))} (fewer where it helps)"
        )
        yield f"- How the benefit is computed: {expected.failures_per_day:,.1f} a day × {factors}."
        yield (
            f"- **Expected benefit**: about {_about(expected.avoided_per_day)} of "
            f"{_about(expected.failures_per_day)} failed requests a day."
        )


def _about(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.5 else f"{number:.2g}"


def _answer(decision: Decision, launchpad: str) -> Iterator[str]:
    yield "At a terminal of this machine:"
    yield ""
    yield block(
        f'fl-assets approve {decision.decision_id} --reason "why"\n'
        f'fl-assets reject {decision.decision_id} --reason "why"',
        "console",
    )
    yield ""
    link = f" ([filled in already]({launchpad}))" if launchpad else ""
    yield (
        f"Or in the UI: the launchpad of the job `apply_updates`{link}, partition `{decision.day}`, with the "
        f"configuration below. Its code is shown by `fl-assets decisions --date {decision.day}` at a "
        "terminal of the machine with the data; it is good for one answer, and it is never shown in the UI. "
        "To turn the change down, put the id beside `reject`."
    )
    yield ""
    yield block(answer_config(decision.decision_id, "the code"), "yaml")


def _values(value: str | None, target: str) -> dict[str, str]:
    return {name: str(one) for name, one in sides(value, target).items()}
