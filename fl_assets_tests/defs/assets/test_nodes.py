"""The registry of nodes is part of every cycle, and who is missing is said where people look."""

from fl_assets.infra.keys import make_private_key, public_pem
from fl_assets.report.build import build_report
from fl_assets_tests.conftest import LAST_DAY
from fl_assets_tests.fleets import coordinator_home


def test_a_cycle_records_how_every_node_stands(learned):
    rows = learned.workspace.warehouse.read_day("node_registry", LAST_DAY)
    reporting = {row["node_id"] for row in learned.workspace.warehouse.read_day("call_totals", LAST_DAY)}
    assert {row["node_id"] for row in rows if row["status"] != "silent"} >= reporting
    assert {row["source"] for row in rows} <= {"raw", "none"}
    assert all(
        row["nodes_reporting"] <= row["nodes_expected"]
        for row in learned.workspace.warehouse.read_day("failure_patterns", LAST_DAY)
    )


def test_a_registered_node_that_is_silent_shows_up_in_the_report(copied):
    space = copied().workspace
    space.settings.node_keys_path.mkdir(parents=True)
    key = make_private_key(space.settings.data_path / "elsewhere.key")
    (space.settings.node_keys_path / "edge-77.pem").write_bytes(public_pem(key))
    report = build_report(space.report.rows(LAST_DAY))
    assert "edge-77" in report.quality.silent
    assert report.quality.completeness < 1
    assert any("did not" in sentence for sentence in report.summary)


def test_without_keys_and_summaries_nothing_is_looked_for(tmp_path):
    space = coordinator_home(tmp_path)
    assert space.intake.ingest()[1].files == 0
    assert space.summaries.registered() == ()
    assert not (space.settings.data_path / "summaries.sqlite").exists()
