"""Tables at a terminal: at any width nothing is cut, and no line is wider than the terminal."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fl_assets.cli.tables import EXTRAS, show_fact, show_table

COLUMNS = ("pattern", "state", "class", "failures", "rate", "14 days", "nodes", "confidence", "failure")
ROW = ("p-955bb2b04410", "known", "auth", "1,234", "90.4%", "▂▃▄▅▆▇█▂▃▄▅▆▇█", "10 of 12", "0.97")
TEXT = "401 Unauthorized: access token of service account <STR> expired <NUM> seconds ago (request <ID>)"


def shown(columns, rows, width: int) -> str:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    show_table(out, columns, rows)
    return out.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 150, 200])
def test_text_and_numbers_are_whole_at_any_width(width):
    found = shown(COLUMNS, [(*ROW, TEXT)], width)
    assert max(map(len, found.splitlines())) <= width
    left_out = {cell for name, cell in zip(COLUMNS, ROW, strict=False) if name in EXTRAS}
    lines = [line.split("  ") for line in found.splitlines()]
    words = {cell.strip() for line in lines for cell in line}
    assert set(ROW) - left_out <= words
    assert TEXT.replace(" ", "") in "".join(found.split())


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("width", [60, 200])
def test_no_value_moves_a_terminal_or_passes_for_another_line(is_terminal, width):
    odd = "shop\x1b[2J\u202e\nconfidence        1.00"
    out = Console(
        file=io.StringIO(), width=width, force_terminal=is_terminal, color_system=None, highlight=False
    )
    show_fact(out, "where", odd)
    show_table(out, ("id", "confidence", "playbook"), [(odd, "0.10", odd)])
    said = out.file.getvalue()
    assert said.replace("\n", "").isprintable()
    assert not re.search(r"^ {0,8}confidence        1.00", said, re.MULTILINE)
    assert r"shop\u001b[2J\u202e" in said


def test_what_is_left_out_is_left_out_only_where_there_is_no_room():
    assert "▂▃▄▅▆▇█" not in shown(COLUMNS, [(*ROW, TEXT)], 80)
    assert "▂▃▄▅▆▇█" in shown(COLUMNS, [(*ROW, TEXT)], 150)


@given(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=200))
def test_markup_in_a_cell_is_text_and_wide_characters_count_twice(cell):
    found = shown(("id", "playbook"), [["[red]", f"[b]{cell}[/b]"]], 40)
    assert "[red]" in found
    assert "".join(f"[b]{cell}[/b]".split()) in "".join(found.split())
    assert max(map(cell_len, found.splitlines())) <= 40
