"""Layout of tables at a terminal.

Nothing is cut. Numbers and ids are on one line; if the terminal is too narrow for columns of text beside
them, text goes below, indented.
"""

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

TEXTS = frozenset({"playbook", "held because", "reason", "failure", "why", "rollback plan", "target", "file"})
"""Columns whose text may take several lines on a terminal."""
EXTRAS = ("14 days", "class", "category", "state", "done")
"""Columns that are left out, in this order, when a line is too short for them."""
_GAP = 2
_ROOM = 36
"""Least width of a column of text beside the others."""
_INDENT = 4
_FACT = 20
"""Column in which the value of a fact begins."""


def show_table(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; when piped, one line per row without trailing blanks."""
    if not out.is_terminal:
        for line in _plain(columns, rows):
            out.print(escape(line))
        return
    texts = [place for place, name in enumerate(columns) if name in TEXTS]
    wide = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    needed = sum(min(one, _ROOM) if place in texts else one for place, one in enumerate(wide))
    if needed + _GAP * (len(columns) - 1) <= out.width:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, name in enumerate(columns):
            table.add_column(name, overflow="fold", no_wrap=place not in texts)
        for row in rows:
            table.add_row(*map(escape, row))
        out.print(table, soft_wrap=False)
        return
    numbers = _fitting(columns, wide, texts, out.width)
    out.print(f"[bold]{_line(columns, numbers, wide)}[/]", soft_wrap=True)
    for row in rows:
        out.print(escape(_line(row, numbers, wide)), soft_wrap=True)
        for place in texts:
            label = f"{columns[place]}: " if place != texts[0] else ""
            if row[place]:
                out.print(Padding(escape(label + row[place]), (0, 0, 0, _INDENT)), soft_wrap=False)


def show_fact(out: Console, name: str, value: str) -> None:
    """Print a name and its value, wrapped and indented at a terminal."""
    if not out.is_terminal or cell_len(value) <= out.width - _FACT:
        out.print(escape(f"  {name:<{_FACT - 3}} {value}"), soft_wrap=True)
        return
    first, *more = Text(value).wrap(out, max(out.width - _FACT, _ROOM))
    out.print(escape(f"  {name:<{_FACT - 3}} {first.plain.rstrip()}"), soft_wrap=True)
    for line in more:
        out.print(escape(" " * _FACT + line.plain.rstrip()), soft_wrap=True)


def _line(cells: Sequence[str], places: Sequence[int], wide: Sequence[int]) -> str:
    padded = (cells[place] + " " * (wide[place] - cell_len(cells[place])) for place in places)
    return (" " * _GAP).join(padded).rstrip()


def _fitting(columns: Sequence[str], wide: Sequence[int], texts: Collection[int], width: int) -> list[int]:
    """Return the columns other than texts that fit a line, leaving out as few extras as possible."""
    shown = [place for place in range(len(columns)) if place not in texts]
    for extra in EXTRAS:
        if sum(wide[place] + _GAP for place in shown) - _GAP <= width:
            break
        shown = [place for place in shown if columns[place] != extra]
    return shown


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [[" ".join(cell.split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    places = range(len(columns))
    return [_line(line, places, widths) for line in lines]
