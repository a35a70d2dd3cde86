"""The Dagster UI over a fleet that has learned, as a person uses it."""

import re
import time

import pytest
from playwright.sync_api import expect

from fl_assets_tests.browser.conftest import EMPTY_DAY, GATED_DAY, PATIENCE_MS, is_local
from fl_assets_tests.conftest import DAYS, LAST_DAY


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(watched):
    """Whatever a test looks at asks this machine only."""
    yield
    assert [url for url in watched.requests if not is_local(url)] == []
    assert len(watched.requests) > 5


def test_the_lineage_shows_the_groups_and_what_a_pattern_comes_from(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/asset-groups")
    for group in ("telemetry", "patterns", "playbooks", "updates", "report", "cycles"):
        page.get_by_text(group, exact=True).first.wait_for()
    page.goto(f"{webserver}/assets/failure_patterns?view=lineage")
    for neighbour in ("failure_signatures", "error_records", "playbooks", "cycle_report"):
        page.get_by_text(neighbour, exact=True).last.wait_for()


def test_a_partition_shows_its_numbers_a_table_and_pictures(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/assets/failure_patterns?view=partitions&partition={LAST_DAY}")
    page.get_by_text("dagster/partition_row_count").wait_for()
    for name in ("significant", "events_in_window", "trends", "by_node", "top"):
        page.get_by_text(name, exact=True).first.wait_for()
    expect(page.get_by_role("table").filter(has_text="what fails").first).to_be_visible(timeout=PATIENCE_MS)
    for place, words in enumerate(
        ("most frequent patterns with their last 14 days", "failures by pattern and node")
    ):
        page.get_by_text("[Show Markdown]").nth(place).click()
        picture = page.get_by_role("dialog").get_by_role("img", name=words)
        picture.wait_for()
        width, source = picture.evaluate("image => [image.naturalWidth, image.src.slice(0, 26)]")
        assert width >= 700
        assert source == "data:image/svg+xml;base64,"
        page.get_by_role("button", name="Close").last.click()
        expect(page.get_by_role("dialog")).to_have_count(0)  # it fades; the next one must not meet it


def test_columns_are_explained(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/assets/playbooks")
    page.get_by_text("Rules that it breaks, in words.").wait_for()
    page.get_by_text("held_because", exact=True).first.wait_for()
    page.get_by_text("Proposed changes for the day's patterns").first.wait_for()


def test_a_day_below_the_threshold_fails_its_gate_and_decides_nothing(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/assets/playbooks?view=checks&checkDetail=confidence_gate")
    page.get_by_text("This is a blocking asset check").wait_for()
    for name in ("confidence_gate", "evidence_is_real", "enough_nodes", "no_personal_data"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("Execution history").click()
    page.get_by_text(
        re.compile("expected a playbook with confidence of at least 1.0; found: .* has 0[.]")
    ).first.wait_for()
    page.goto(f"{webserver}/assets/update_decisions?view=partitions&partition={GATED_DAY}")
    page.get_by_text("failed, and did not materialize this asset").wait_for()
    page.goto(f"{webserver}/assets/cycle_report?view=partitions&partition={GATED_DAY}")
    page.get_by_text("The gate stopped this cycle").first.wait_for()


def test_runs_of_the_terminal_are_among_the_runs_and_on_the_timeline(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/runs")
    expect(page.get_by_role("link", name="learning_cycle").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{webserver}/overview/timeline")
    expect(page.get_by_text("learning_cycle", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{webserver}/locations/fl_assets/jobs/learning_cycle/runs")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_day_without_telemetry_is_red_and_decides_nothing(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/assets/raw_traces?view=checks&checkDetail=minimum_events")
    page.get_by_text("Execution history").click()
    said = page.get_by_text(f"found: {EMPTY_DAY} has no telemetry")
    expect(said.first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{webserver}/assets/raw_traces?view=partitions&partition={EMPTY_DAY}")
    expect(page.get_by_text("no call of this day was read").first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{webserver}/assets/update_decisions?view=partitions&partition={EMPTY_DAY}")
    nothing = page.get_by_text("failed, and did not materialize this asset")
    expect(nothing.first).to_be_visible(timeout=PATIENCE_MS)


def test_the_report_and_the_playbooks_can_be_read(watched, webserver):
    page = watched.page
    for asset, words in (("cycle_report", "Fleet report of"), ("playbooks", "The change")):
        page.goto(f"{webserver}/assets/{asset}?view=partitions&partition={LAST_DAY}")
        row = page.get_by_role("row").filter(has_text="to_read")
        row.get_by_text("[Show Markdown]").click()
        expect(page.get_by_role("dialog").get_by_text(words).first).to_be_visible(timeout=PATIENCE_MS)


def test_a_backfill_is_launched(watched, webserver):
    page = watched.page
    page.goto(f"{webserver}/assets/playbooks")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Partition selection").wait_for()
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_text("Backfills in multiple runs, with a maximum of 31 partitions per run.").wait_for()
    launch = dialog.get_by_role("button", name=re.compile("Launch"))
    expect(launch).to_be_enabled(timeout=PATIENCE_MS)  # asked of the button that is there: it is drawn again
    launch.click()
    query = (
        "{ partitionBackfillsOrError { ... on PartitionBackfills { results { numPartitions "
        "assetSelection { path } } } } }"
    )
    stop = time.monotonic() + 60
    while not (
        found := page.request.post(f"{webserver}/graphql", data={"query": query}).json()["data"][
            "partitionBackfillsOrError"
        ]["results"]
    ):
        assert time.monotonic() < stop, "no backfill was launched"
        time.sleep(0.5)
    assert found[0]["assetSelection"] == [{"path": ["playbooks"]}]
    assert found[0]["numPartitions"] >= len(DAYS)
