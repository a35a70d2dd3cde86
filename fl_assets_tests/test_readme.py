"""What the README says is true: its commands exist, its settings are those of the code, its links lead
somewhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.definitions import defs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = ROOT / "docs" / "settings.md"


def between(name: str, text: str = README) -> str:
    return text.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0].strip()


def settings_table() -> str:
    """The table of settings, as docs/settings.md must hold it."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in FederatedLearningConfig.model_fields.items():
        value = field.get_default(call_default_factory=True, validated_data={"data_path": Path("data")})
        default = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        default = ", ".join(value) if isinstance(value, tuple) else default
        if isinstance(value, Path):
            default = f"./{default}"
        words = " ".join((field.description or "").split())
        lines.append(f"| `{PREFIX}{name.upper()}` | {f'`{default}`' if default else ''} | {words} |")
    return "\n".join(lines)


def test_the_settings_are_those_of_the_code():
    assert between("settings", SETTINGS.read_text()) == settings_table()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_index_of_the_docs_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in PAGES if f"({page.name})" not in index and page.name != "README.md"] == []


def test_every_place_that_the_architecture_names_exists():
    page = (ROOT / "docs" / "architecture.md").read_text()
    places = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py|\.yaml|/))`(?: `(?:\w+\.)?(\w+)`)?", page)
    assert len(places) > 20
    for path, name in places:
        file = ROOT / path if path.startswith("fl_assets_tests/") else ROOT / "fl_assets" / path
        assert file.exists(), path
        assert not name or re.search(
            rf"\b(?:def|class) {name}\b|^{name}\b", file.read_text(), re.MULTILINE
        ), name


def test_its_loop_shows_every_asset():
    loop = re.search(r"## The loop\n\n```\n(.*?)```", README, re.DOTALL)
    assets = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    words = set(re.findall(r"[a-z_]+", loop[1]))
    assert assets <= words
    assert {word for word in words if "_" in word} <= assets


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 200


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)", README)) - {"and"} <= targets | {"alone"}


def test_make_alone_lists_its_targets():
    listed = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, check=True
    ).stdout
    for target in ("setup", "run", "dev", "test", "check", "bench"):
        assert f"make {target}" in listed


def test_every_command_it_names_exists_and_shows_an_example():
    names = set(re.findall(r"fl-assets ([a-z]+)", README)) | set(re.findall(r"`([a-z]+) FROM TO`", README))
    assert {"cycle", "backfill"} <= names
    for name in sorted(names):
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0, name
        assert "Example: " in shown.output, name


DRAW = bytes.fromhex("7328b8a501488f02cfa4b3d1a58cb79a5b604fc40f3851c09291003342b6a2b1")


@pytest.mark.faults
def test_what_make_run_prints_is_what_it_prints(tmp_path):
    """The README's block is the output at a terminal of 150 columns, but for numbers, days and names.

    The nodes of a trial are drawn by a secret key, so they, and when it is decided, differ from run to run;
    here the key is that of the README's run.
    """
    shown = between("make-run").strip("`").strip().splitlines()
    (last,) = re.findall(r"days to ([0-9-]+) in", between("make-run"))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment = plain | {"DAGSTER_HOME": "", "TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": "150"}
    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "draw.key").write_bytes(DRAW)
    (keys / "draw.key").chmod(0o600)
    printed = []
    for words in (["demo", "--end", last], ["cycle", "--if-new", "--date", last]):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        printed += [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in done.stdout.splitlines()]
    for step in ("promoted", "rolled back", "on canary nodes", "one node alone", "harmless, no playbook"):
        assert any(step in line for line in printed), step
        assert any(step in line for line in shown), step
    told = ("Setting up", "  20", "  one node alone", "  harmless", " " * 20)
    expected = [line for line in shown if not line.startswith(told) and not re.match(r"[\d.,]+ {2,}", line)]
    found = {_without_numbers(line) for line in printed}
    assert [line for line in expected if _without_numbers(line) not in found] == []
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "demo"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.count("promoted") == sum("promoted" in line for line in printed)


def _without_numbers(line: str) -> str:
    """Return a line with each run of digits as one sign, and states and outcomes in no order."""
    words = re.sub(r"[0-9][0-9,.]*", "#", line).split()
    is_counted = words[:2] in (["patterns", "found"], ["Decisions:", "#"])
    return words[0] if is_counted else " ".join(words)


def test_its_python_runs_as_far_as_the_first_cycle():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    lines = [
        line
        for line in code.splitlines()
        if "run_learning_cycle" not in line and "start_background" not in line
    ]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(lines)], check=True, cwd=ROOT, capture_output=True
    )


def test_every_message_that_troubleshooting_explains_is_in_the_code():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 15
    code = "\n".join(path.read_text() for path in [*(ROOT / "fl_assets").rglob("*.py"), ROOT / "Makefile"])
    joined = re.sub(r'"\s*\n\s*[rf]*"', "", code)  # a message may be divided over lines
    assert [message for message in messages if message not in joined] == []


if __name__ == "__main__":
    begin, end = "<!-- settings:begin -->\n", "\n<!-- settings:end -->"
    head, rest = SETTINGS.read_text().split(begin)
    SETTINGS.write_text(head + begin + settings_table() + end + rest.split(end.lstrip("\n"))[1])
