"""What `docs/promises.md` and `docs/attacks.md` say is shown by a test is shown by a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


PAGES = ("promises.md", "attacks.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_promise_names_exists(page):
    tests = set(
        re.findall(
            r"^def (test_\w+)\(",
            "\n".join(path.read_text() for path in sorted((ROOT / "fl_assets_tests").rglob("test_*.py"))),
            re.MULTILINE,
        )
    )
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text())
    assert len(named) > 40
    assert sorted(set(named) - tests) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_a_test(page):
    rows = [
        line
        for line in (ROOT / "docs" / page).read_text().splitlines()
        if line.startswith("| ") and "|---" not in line and not line.startswith(("| promise", "| attack |"))
    ]
    assert [row for row in rows if "`test_" not in row] == []
