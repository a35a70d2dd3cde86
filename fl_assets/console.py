"""How results read at a terminal: tables for people, JSON for machines, plain text when piped.

What goes here: layout and words. What does not: what is true (`storage/workspace.py`) or what to run (`coordinator.py`).
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fl_assets.domain.models import LearningCycleResult, Playbook
from fl_assets.storage.workspace import Workspace

PLAIN_WIDTH = 150
_out = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH, soft_wrap=not sys.stdout.isatty())
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line, nothing in it taken as markup."""
    _out.print(escape(text))


def fail(text: str) -> NoReturn:
    """Print an error and leave with exit code 1."""
    _err.print(f"[bold red]error:[/] {escape(text)}")
    sys.exit(1)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner with what is being done; yields a function that changes the words."""
    with _err.status(escape(text)) as spinner:
        yield lambda detail: spinner.update(escape(f"{text}: {detail}"))


def say_outcome(outcome: LearningCycleResult | Exception) -> None:
    """Print how one of many cycles ended, in one line."""
    say(f"cycle failed: {outcome}" if isinstance(outcome, Exception) else f"{outcome.day}: {outcome.status}: {outcome.reason}")


def show_cycle(space: Workspace, result: LearningCycleResult, *, as_json: bool) -> None:
    """Print a cycle: what was read, what was found, what may be done, what is held and why, and where the files are."""
    day = result.day
    analysed = result.status in ("completed", "gated")
    playbooks = sorted(space.playbooks(day), key=lambda one: (bool(one.held_because), -one.confidence, one.improvement_id)) if analysed else []
    patterns = space.warehouse.read_day("failure_patterns", day) if analysed else []
    decisions = space.warehouse.read_day("update_decisions", day) if result.status == "completed" else []
    files = where(space, day)
    if as_json:
        content = {
            "cycle": result.model_dump(mode="json"),
            "patterns": [{name: row[name] for name in ("pattern_id", "template", "failure_class", "state", "failures", "confidence")} for row in patterns],
            "playbooks": [playbook.model_dump(mode="json") for playbook in playbooks],
            "decisions": decisions,
            "files": {name: str(path) for name, path in files.items()},
        }
        sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_NAIVE_UTC).decode() + "\n")
        return
    days = f"{result.window_days} days to {day}" if result.window_days > 1 else str(day)
    say(f"Learning cycle of {day}: {result.status}")
    say(f"  events read       {result.events_processed:,} ({days})")
    if not analysed:
        say(f"  stopped           {result.reason}")
    else:
        states = Counter(row["state"] for row in patterns)
        say(f"  patterns found    {len(patterns)} ({', '.join(f'{count} {state}' for state, count in sorted(states.items()))})")
        show_playbooks(playbooks)
        if result.status == "gated":
            say(f"Gated: {result.reason}")
        if decisions:
            actions = Counter(f"{row['action']} ({row['mode']})" for row in decisions)
            say(f"Decisions: {', '.join(f'{count} {action}' for action, count in sorted(actions.items()))}")
    say("Where it is:")
    for name, path in files.items():
        say(f"  {name:<17} {path}")


def show_playbooks(playbooks: Sequence[Playbook]) -> None:
    """Print the playbooks that may be acted on, then those that are held, each with its reasons."""
    ready, held = [one for one in playbooks if not one.held_because], [one for one in playbooks if one.held_because]
    _out.print(f"\n{len(ready)} playbooks may be acted on")
    if ready:
        table = _table("category", "confidence", "evidence", "nodes", "state", "playbook")
        for one in ready:
            table.add_row(*_cells(one), escape(f"{one.title}{_changes(one)}"))
        _out.print(table)
    _out.print(f"\n{len(held)} playbooks are held")
    if held:
        table = _table("category", "confidence", "evidence", "nodes", "state", "playbook", "held because")
        for one in held:
            table.add_row(*_cells(one), escape(one.title), escape("; ".join(reason.replace(f" {one.improvement_id} has", "") for reason in one.held_because)))
        _out.print(table)


def show_backfill(results: Sequence[LearningCycleResult], *, as_json: bool) -> None:
    """Print one line a day."""
    if as_json:
        sys.stdout.write(orjson.dumps([result.model_dump(mode="json") for result in results], option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    table = _table("day", "status", "events", "playbooks", "reason")
    for one in results:
        table.add_row(str(one.day), one.status, f"{one.events_processed:,}", str(one.improvements_generated), escape(one.reason))
    _out.print(table)


def where(space: Workspace, day: date) -> dict[str, Path]:
    """Return what a cycle left on disk, by name; only what is there."""
    settings = space.settings
    places = {"playbooks": settings.playbook_path / str(day), "warehouse": settings.warehouse_path, "events (Parquet)": settings.lake_path}
    return {name: path for name, path in places.items() if path.exists()}


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name not in ("playbook", "held because", "reason"))
    return table


def _cells(one: Playbook) -> list[str]:
    return [one.category, f"{one.confidence:.2f}", f"{one.evidence_count:,}", f"{one.nodes_affected} of {one.nodes_reporting}", one.state]


def _changes(one: Playbook) -> str:
    changes: dict[str, Any] = one.suggested_changes
    return f" [{', '.join(f'{name}={value}' for name, value in sorted(changes.items()))}]" if changes else ""
