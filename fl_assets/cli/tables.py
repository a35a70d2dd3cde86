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

from fl_assets.report.words import inert

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
    rows = [[" ".join(inert(cell).split()) for cell in row] for row in rows]
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
    """Print a name and its value, wrapped at a terminal; no line of a value can pass for another fact."""
    lines = inert(value).split("\n")
    if out.is_terminal:
        width = max(out.width - _FACT, _ROOM)
        lines = [part.plain.rstrip() for line in lines for part in Text(line).wrap(out, width) or [Text()]]
    for place, line in enumerate(lines):
        begin = " " * _FACT if place else f"  {name:<{_FACT - 3}} "
        out.print(escape(f"{begin}{line}".rstrip()), soft_wrap=True)


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
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    return [_line(line, range(len(columns)), widths) for line in (columns, *rows)]
