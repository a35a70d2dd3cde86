"""Take the README's pictures from the running product, in headless Chromium: `make pictures`.

What goes here: which page, at which size. What does not: how a browser or a webserver starts
(`fl_assets_tests/browser`).

Two weeks of a fleet are simulated in a temporary folder, by the command that `make run` runs. With the data
folder of an earlier run as argument, pictures are taken of a copy of that
(`.venv/bin/python docs/make_pictures.py data`).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fl_assets.core.settings import PREFIX
from fl_assets_tests.browser.conftest import CHROMIUM, PATIENCE_MS, QUIET, WORKSPACE, serving

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLOURS = 256
"""Screens of flat colours lose nothing that one sees, and two thirds of their bytes."""
SETTLE_MS = 2500
REPORTS = sorted(Path(sys.argv[1], "reports").glob("2*.html")) if len(sys.argv) > 1 else []
LAST = date.fromisoformat(REPORTS[-1].stem) if REPORTS else datetime.now(UTC).date() - timedelta(days=1)
GATED = LAST - timedelta(days=1)


def main() -> None:
    """Make a fleet, learn from it, look at it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        if len(sys.argv) > 1:
            shutil.copytree(sys.argv[1], folder)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            "FEDERATED_LEARNING_DATA_PATH": str(folder),
            "FEDERATED_LEARNING_TELEMETRY_PATH": str(folder / "telemetry" / "cache"),
            "FEDERATED_LEARNING_PLAYBOOK_PATH": str(folder / "federated-learning" / "playbooks"),
            "DAGSTER_HOME": str(folder / "dagster"),
        }
        command(environment, "home")
        if not (folder / "reports").exists():
            command(environment, "demo", "--end", str(LAST))
        PICTURES.mkdir(exist_ok=True)
        with (
            serving(environment, Path(temporary), where=WORKSPACE) as address,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            look_at_the_report(browser, (folder / "reports" / f"{LAST}.html").resolve().as_uri())
            look_at_dagster(browser, address)  # before the gate stops a day, after which three assets are red
            command(environment | {"FEDERATED_LEARNING_THRESHOLD": "1.0"}, "cycle", "--date", str(GATED))
            look_at_the_gate(browser, address)
            browser.close()


def look_at_the_report(browser: Browser, address: str) -> None:
    """Take the report on a desk by day, its table of patterns, and on a telephone by night."""
    page = browser.new_page(viewport={"width": 1280, "height": 1130}, color_scheme="light")
    page.goto(address)
    keep(page, "report")
    page.locator("#fails").scroll_into_view_if_needed()
    page.locator("#patterns summary").nth(1).click()
    page.evaluate("document.getElementById('fails').scrollIntoView({behavior: 'instant'})")
    keep(page, "report-patterns")
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.goto(address)
    keep(page, "report-phone")


def look_at_dagster(browser: Browser, address: str) -> None:
    """Take the lineage, a partition with its pictures, and a decision's page."""
    page = browser.new_page(viewport={"width": 1100, "height": 1100}, device_scale_factor=1.5)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/assets/failure_patterns?view=lineage&lineageScope=neighbors&lineageDepth=10")
    page.get_by_text("Hide navigation").click()
    page.get_by_text("cycle_report", exact=True).first.wait_for()
    page.reload()  # the graph fits the window as it is when it is opened
    page.get_by_text("cycle_report", exact=True).first.wait_for()
    keep(page, "lineage")
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/assets/failure_patterns?view=partitions&partition={LAST}")
    for place, name in enumerate(("patterns-trend", "patterns-nodes")):
        page.get_by_text("[Show Markdown]").nth(place).click()
        page.get_by_role("dialog").get_by_role("img", name="pattern").wait_for()
        keep(page, name)
        page.get_by_role("button", name="Close").last.click()
        expect(page.get_by_role("dialog")).to_have_count(0)  # it fades; the next one must not meet it
    page.goto(f"{address}/assets/update_decisions?view=partitions&partition={LAST}")
    page.get_by_text("[Show Markdown]").first.click()
    page.get_by_role("dialog").get_by_text("How sure").wait_for()
    keep(page, "decision")


def look_at_the_gate(browser: Browser, address: str) -> None:
    """Take what a failed gate says, and the step that it kept from running."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/assets/playbooks?view=checks&checkDetail=confidence_gate")
    page.get_by_text("expected a playbook with confidence of at least 1.0").first.wait_for()
    keep(page, "gate")
    page.goto(f"{address}/assets/update_decisions?view=partitions&partition={GATED}")
    page.get_by_text("failed, and did not materialize this asset").wait_for()
    keep(page, "gate-kept-back")


def keep(page: Page, name: str) -> None:
    """Store what the page shows as a small PNG."""
    page.wait_for_timeout(SETTLE_MS)
    file = PICTURES / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} KB\n")


def command(environment: dict[str, str], *words: str) -> None:
    """Run `fl-assets` as a person would."""
    subprocess.run(
        [sys.executable, "-m", "fl_assets.cli", *words],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
