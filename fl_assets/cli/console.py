"""Printing results: tables for people, JSON for machines, plain text when piped.

What goes here: layout and words. What does not: reading results (`cycle_view.py`), running anything
(`coordinator.py`).
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.markup import escape

from fl_assets.cli import tables
from fl_assets.cli.cycle_view import CycleView
from fl_assets.core.models import LearningCycleResult, Playbook
from fl_assets.core.tables import WAREHOUSE_TABLES
from fl_assets.events.outcome import unread_in_words
from fl_assets.events.redaction import redact
from fl_assets.federation.node_side import DaySummary, NodeSummaries
from fl_assets.infra.result_files import Rebuilt
from fl_assets.report.records import Report
from fl_assets.report.words import counted, inert, json_code, rule, without_subject
from fl_assets.updates.carriers.people import NOTHING_CHANGES
from fl_assets.updates.decide import in_words
from fl_assets.updates.history import ON_NODES, Rollout, Update, lessons, sides
from fl_assets.updates.lessons import learn

TOP = 5
"""Playbooks that are printed after a cycle."""
_SHORT = 40
"""Longest value of a suggested change that a list of playbooks shows."""
_out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a text without reading markup in it; nothing in it moves the terminal."""
    _out.print(escape(inert(text)))


def say_fact(name: str, value: str) -> None:
    """Print a name with its value, wrapped at a terminal."""
    tables.show_fact(_out, name, value)


def fail(text: str) -> NoReturn:
    """Print an error and leave with exit code 1."""
    _err.print(f"[bold red]error:[/] {escape(inert(redact(text)))}")
    sys.exit(1)


def show_summaries(days: Sequence[DaySummary], out: Path, node: NodeSummaries) -> None:
    """Print each summary's counts, what it leaves out, the budget, and the key that the coordinator needs."""
    for one in days:
        summary, unnamed = one.summary, one.summary.unnamed
        named = sum(row.failures for row in summary.failures)
        noise = f", noise of epsilon {summary.settings.epsilon:g}" if summary.settings.epsilon else ""
        done = "summarized" if one.is_new else "summarized before, sent again as it was"
        say(f"{summary.day} {done}: number {summary.sequence} of {summary.node_id}{noise}")
        say(
            f"  {summary.events:,} events; {named:,} failures in {len(summary.failures)} texts that "
            f"{summary.settings.min_sessions} or more sessions had"
        )
        say(
            f"  as numbers alone: {unnamed.failures:,} failures, {unnamed.calls:,} calls, "
            f"{unnamed.sessions:,} conversations"
        )
    if spent := node.spent():
        say(f"budget: {float(spent):g} of {node.budget:g} spent")
    say(
        f"written to {out}; the coordinator needs {node.public_path} once, as "
        f"{days[-1].summary.node_id}.pem among its node keys"
    )


@contextmanager
def status(text: str, *, as_lines: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a status, with a bar if its detail begins with a share (`42%: …`); yield its setter.

    With `as_lines`, each detail is a line of its own where stderr is no terminal.
    """
    if as_lines and not _err.is_terminal:
        yield lambda detail: _err.print(escape(inert(f"{text}: {detail}")))
        return
    with _err.status(escape(text)) as spinner:
        yield lambda detail: spinner.update(escape(inert(f"{text}: {_bar(detail)}{detail}")))


def _bar(detail: str) -> str:
    share = re.match(r"(\d{1,3})%: ", detail)
    done = round(int(share[1]) / 5) if share else 0
    return f"{'━' * done}{'·' * (20 - done)} " if share else ""


def say_outcome(outcome: LearningCycleResult | Exception) -> None:
    """Print the end of a cycle in one line."""
    if isinstance(outcome, Exception):
        say(f"cycle failed: {outcome}")
    else:
        say(f"{outcome.day}: {outcome.status}: {outcome.reason}")


def show_rebuilt(path: Path, done: Rebuilt) -> None:
    """Print what a rebuild of the database at `path` moved, restored, wrote and could not restore."""
    for moved in done.moved:
        say(f"{path.name} could not be opened: moved to {moved}")
    for table in WAREHOUSE_TABLES:
        for words, by_table in (
            ("restored from Parquet", done.restored),
            ("written as Parquet", done.written),
            ("lost", done.lost),
        ):
            if days := by_table.get(table.name):
                say(
                    f"{table.name}: {len(days)} {'day' if len(days) == 1 else 'days'} {words} "
                    f"({days[0]}{f' to {days[-1]}' if len(days) > 1 else ''})"
                )
    number = {
        name: sum(map(len, getattr(done, name).values())) for name in ("same", "restored", "written", "lost")
    }
    say(
        f"{path}: {number['same']} days of tables were right, {number['restored']} restored, "
        f"{number['written']} written as Parquet, {number['lost']} lost"
    )
    for day in sorted({day for days in done.lost.values() for day in days}):
        say(f"neither the database nor its file holds all of {day}: run `fl-assets cycle --date {day}`")


def show_cycle(view: CycleView, *, as_json: bool, everything: bool = False) -> None:
    """Print a cycle: what was read and found, its playbooks, its decisions, and its files.

    Without `everything`, only the playbooks that should prevent most are listed, and the others counted.
    """
    if as_json:
        named = ("pattern_id", "template", "failure_class", "state", "failures", "confidence")
        content = {
            "cycle": view.result.model_dump(mode="json"),
            "patterns": [{name: row[name] for name in named} for row in view.patterns],
            "playbooks": [playbook.model_dump(mode="json") for playbook in view.playbooks],
            "decisions": view.decisions,
            "files": {name: str(path) for name, path in view.files.items()},
            "not_read": [asdict(one) for one in view.unread],
            "not_pulled": [{"source": one.source, "problem": one.problem} for one in view.not_pulled],
        }
        show_json(content)
        return
    _show_input(view, everything=everything)
    if view.is_analysed:
        _show_findings(view, everything=everything)
    else:
        if view.why_nothing:
            say_fact("nothing to read", view.why_nothing)
        say_fact("stopped", view.result.reason)
    say("Where it is:")
    for name, path in view.files.items():
        say_fact(name, str(path))


def _show_input(view: CycleView, *, everything: bool) -> None:
    result = view.result
    days = f"{result.window_days} days to {result.day}" if result.window_days > 1 else str(result.day)
    say(f"Learning cycle of {result.day}: {result.status}")
    say_fact("events read", f"{result.events_processed:,} ({days}) from {view.telemetry_path}")
    for day, events in view.passed_over.items():
        few = f"{day}: {events:,} stray event{'s' if events != 1 else ''}"
        say_fact("passed over", f"{few}; `fl-assets cycle --date {day}` analyses it all the same")
    if view.summarised:
        say_fact("summaries", f"of {view.summarised} nodes")
    if view.refused:
        refused = f"{counted(view.refused)} among the summaries in {view.summaries_path}"
        say_fact("refused", f"{refused}: the check summaries_are_taken names each")
    not_read = unread_in_words(view.unread, *(() if everything else (1,)))
    for place, line in enumerate(not_read):
        say_fact("" if place else "skipped", f"{'  ' if place else ''}{line}")
    for place, one in enumerate(view.not_pulled):
        say_fact("" if place else "not pulled", f"{one.source}: {one.problem or 'not asked yet'}")


def _show_findings(view: CycleView, *, everything: bool) -> None:
    """Print the patterns of a cycle as numbers, its playbooks, and what was decided."""
    failing = Counter(row["state"] for row in view.patterns if row["failures"])
    gone = sum(not row["failures"] for row in view.patterns)
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(failing.items()))
    found = f"{failing.total()} failing ({states})" if failing else "none failing"
    stopped = f"; {gone} from the last 14 days no longer occur" if gone else ""
    is_unasked = view.result.status == "gated" and not view.patterns
    say_fact("patterns found", "not looked for" if is_unasked else f"{found}{stopped}")
    if view.too_few_nodes:
        say_fact("too few nodes", view.too_few_nodes)
    (show_playbooks if everything else show_top_playbooks)(view.playbooks, view.apart)
    if view.result.status == "gated":
        say(f"Gated: {view.result.reason}")
    if view.decisions:
        outcomes = Counter(in_words(row, view.done.get(row["decision_id"], "")) for row in view.decisions)
        is_past = view.decisions[0]["mode"] == "backtest"
        past = " (a day of the past: recorded, never carried out)" if is_past else ""
        say(f"Decisions: {counted(outcomes)}{past}")


def show_top_playbooks(playbooks: Sequence[Playbook], apart: Mapping[str, tuple[str, str]]) -> None:
    """Print the playbooks that should prevent the most failures, and how many more are ready or held.

    `apart` are those that a person has nothing to do about: what each is, and what became of it.
    """
    held = sum(bool(one.held_because) for one in playbooks)
    ready = [one for one in playbooks if not one.held_because and one.improvement_id not in apart]
    say(f"\n{counted_playbooks(len(ready))} ready{_ORDER if len(ready) > 1 else ''}")
    if ready:
        rows = [[*_cells(one), f"{one.title}{_changes(one, _SHORT)}"] for one in ready[:TOP]]
        show_table(_COLUMNS, rows)
    rest = [f"{len(ready) - TOP} more that are ready"] if len(ready) > TOP else []
    rest += [f"{len(apart)} under way or tried before"] if apart else []
    rest += [f"{held} held back, and why"] if held else []
    listed = " and ".join(filter(None, (", ".join(rest[:-1]), *rest[-1:])))
    say(f"{listed}: fl-assets playbooks" if rest else "in full: fl-assets playbooks")


def counted_playbooks(number: int) -> str:
    """Return a number of playbooks as the subject of a sentence: `1 playbook is`, `3 playbooks are`."""
    return f"{number} playbook{'s are' if number != 1 else ' is'}"


_COLUMNS = ("prevents", "confidence", "failures", "nodes", "state", "category", "playbook")
_ORDER = ", by the failures a day that each should prevent"


def show_playbooks(playbooks: Sequence[Playbook], apart: Mapping[str, tuple[str, str]]) -> None:
    """Print the playbooks that are ready, what became of others, and those that are held and why."""
    ready = [one for one in playbooks if not one.held_because and one.improvement_id not in apart]
    held = [one for one in playbooks if one.held_because]
    say(f"\n{counted_playbooks(len(ready))} ready{_ORDER if len(ready) > 1 else ''}")
    columns = ("id", *_COLUMNS)
    if ready:
        rows = [[one.improvement_id, *_cells(one), f"{one.title}{_changes(one)}"] for one in ready]
        show_table(columns, rows)
    for title in dict.fromkeys(title for title, _ in apart.values()):
        say(f"\n{title}")
        some = [one for one in playbooks if apart.get(one.improvement_id, ("",))[0] == title]
        rows = [[one.improvement_id, one.category, one.title, apart[one.improvement_id][1]] for one in some]
        show_table(("id", "category", "playbook", "what became of it"), rows)
    say(f"\n{counted_playbooks(len(held))} held back")
    if held:
        rows = []
        for one in held:
            why = "; ".join(rule(without_subject(each, one.improvement_id)) for each in one.held_because)
            rows.append([one.improvement_id, *_cells(one), one.title, why])
        show_table((*columns, "held because"), rows)


def show_json(content: Any) -> None:
    """Print JSON, indented, for machines.

    What is not printable, such as what turns the direction of text, stands as its JSON escape: the same
    value, which no terminal obeys.
    """
    text = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NAIVE_UTC).decode()
    if not text.replace("\n", "").isprintable():
        text = "".join(
            letter if letter.isprintable() or letter == "\n" else json_code(letter) for letter in text
        )
    sys.stdout.write(text + "\n")


def show_report(report: Report, page: Path, twin: Path, *, as_json: bool) -> None:
    """Print what a report says in short, and where it is."""
    if as_json:
        show_json(report.model_dump(mode="json"))
        return
    say(f"Report of {report.day}: {report.status.replace('_', ' ')}")
    for sentence in report.summary:
        say(f"  {sentence}")
    say_fact("page", str(page))
    say_fact("for machines", str(twin))


def show_decisions(report: Report, codes: Mapping[str, str], *, as_json: bool) -> None:
    """Print decisions as a table, or why there are none.

    `codes` has the code of an answer in the UI, by decision.
    """
    if as_json:
        coded = [(one, codes.get(one.decision_id, "")) for one in report.decisions]
        show_json([one.model_dump(mode="json") | {"code": code} for one, code in coded])
        return
    if not report.decisions:
        reason = f" ({report.reason})" if report.reason else ""
        say(f"No decision on {report.day}: the cycle is {report.status}{reason}.")
        return
    rows = []
    for one in report.decisions:
        decision = f"{one.outcome} (backtest)" if one.mode == "backtest" else one.outcome
        also = [one.status_reason] if one.status in ("waiting", "approved", "refused", "rejected") else []
        why = "; ".join([*map(rule, one.reasons), *also])
        rollback = "" if one.revert_plan == NOTHING_CHANGES else one.revert_plan
        code = codes.get(one.decision_id, "")
        rows.append([one.decision_id, decision, one.status, code, one.category, one.title, why, rollback])
    columns = ("id", "decision", "done", "code", "category", "playbook", "why", "rollback plan")
    shown = [place for place, name in enumerate(columns) if name != "code" or codes]
    show_table([columns[place] for place in shown], [[row[place] for place in shown] for row in rows])
    if any(one.can_be_answered for one in report.decisions):
        code = "; the code is for an answer in the Dagster UI" if codes else ""
        say(f"To answer one: fl-assets approve ID --reason WHY, or fl-assets reject{code}")


def show_updates(rollouts: Sequence[Rollout], *, as_json: bool) -> None:
    """Print the state of each update, then the results of each remedy."""
    learned = learn(lessons(rollouts))
    scores = learned.scores
    if as_json:
        names = ("status", "ended", "by", "reason")
        states = [{name: getattr(one, name) for name in names} for one in rollouts]
        updates = [one.update.model_dump(mode="json") for one in rollouts]
        merged = [state | update for state, update in zip(states, updates, strict=True)]
        show_json({"updates": merged, "remedies": scores})
        return
    if not rollouts:
        say("No update yet: none was approved, tried or applied. `fl-assets decisions` shows what waits.")
        return
    rows = []
    for one in rollouts:
        nodes = "all" if one.status in ON_NODES else "none"
        if one.is_running:
            nodes = f"{len(one.treated)} of {len(one.canary) + len(one.control)}"
        elif one.is_watched:
            nodes = f"all but {len(one.held_back)}"
        update, status = one.update, one.status.replace("_", " ")
        decided = [update.decision_id, str(update.day), status, nodes, _what_changes(update)]
        rows.append([*decided, one.by, one.reason])
    show_table(("decision", "day", "status", "nodes", "change", "by", "reason"), rows)
    for remedy, score in scores.items():
        ends = ", ".join(f"{count} {name}" for name, count in score.items() if count)
        chance = f"{learned.helps(remedy, '').probability * 100:.0f} %"
        say(f"remedy {remedy}: {ends}; estimated chance of helping: {chance}")


def _what_changes(update: Update) -> str:
    """Return each key with its old and new value; what people change, by its target alone."""
    before, after = sides(update.from_value, update.target), sides(update.to_value, update.target)
    changes = [f"{name} {before[name]} → {value}" for name, value in sorted(after.items()) if name in before]
    return ", ".join(changes) or update.target


def show_backfill(results: Sequence[LearningCycleResult], *, as_json: bool) -> None:
    """Print one line per day."""
    if as_json:
        show_json([result.model_dump(mode="json") for result in results])
        return
    rows = [
        [str(one.day), one.status, f"{one.events_processed:,}", str(one.improvements_generated), one.reason]
        for one in results
    ]
    show_table(("day", "status", "events", "playbooks", "reason"), rows)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal, or one line per row when piped."""
    tables.show_table(_out, columns, rows)


def _cells(one: Playbook) -> list[str]:
    benefit = one.advice.benefit
    return [
        f"{benefit.avoided_per_day:,.1f}" if benefit else "–",
        f"{one.confidence:.2f}",
        f"{one.evidence_count:,}",
        f"{one.nodes_affected} of {one.nodes_reporting}",
        one.state.replace("_", " "),
        one.category,
    ]


def _changes(one: Playbook, longest: int | None = None) -> str:
    """Return the suggested changes in brackets; those longer than `longest` characters by name alone."""
    shown = [
        name if longest and len(value) > longest else f"{name}={value}"
        for name, value in sorted(one.suggested_changes.items())
    ]
    return f" [{', '.join(shown)}]" if shown else ""
