"""Tables in the UI fit a page: what has no blank may still break into lines."""

import re

import dagster as dg

from fl_assets.core.models import Decision
from fl_assets.defs.assets.updates import _shown_decisions
from fl_assets.defs.metadata import preview
from fl_assets_tests.build import playbook
from fl_assets_tests.conftest import LAST_DAY

WIDTH = 56
"""Letters that a page 1280 pixels wide leaves to all columns of a table."""


def test_json_without_blanks_may_break_and_short_lists_stay_as_they_are():
    rows = [{"excerpt": '{"event_id":{"type":"ExecutionTrace"},"n":[1,2]}', "ids": "1,2,3"}]
    (record,) = preview(rows, ("excerpt", "ids")).records
    assert max(map(len, record.data["excerpt"].split())) < 20
    assert record.data["ids"] == "1,2,3"


def least_width(table: dg.TableMetadataValue) -> int:
    """The letters of a table's columns when all their texts are wrapped, at blanks and after hyphens."""
    words = {}
    for name in (column.name for column in table.schema.columns):
        text = "\n".join([name, *(str(row.data[name]) for row in table.records)])
        words[name] = re.split(r"\s|(?<=-)", text)
    return sum(max(map(len, found)) for found in words.values())


def test_every_table_of_a_cycle_fits_its_page_and_shows_no_id_alone(learned, instance):
    (cycle,) = learned.workspace.warehouse.read_day("learning_cycles", LAST_DAY)
    run_id = cycle["cycle_id"].partition("/")[0]  # other tests have runs in the same instance
    tables = {}
    for key in instance.all_asset_keys():
        of_day = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[str(LAST_DAY)])
        records = instance.fetch_materializations(of_day, limit=1000).records
        for record in (one for one in records if one.run_id == run_id):
            for name, value in record.asset_materialization.metadata.items():
                if isinstance(value, dg.TableMetadataValue):
                    tables[key.to_user_string(), name] = value
    assert len(tables) > 10
    assert {name: width for name, table in tables.items() if (width := least_width(table)) > WIDTH} == {}
    empty = {
        name: column.name
        for name, table in tables.items()
        for column in table.schema.columns
        if not any(str(row.data[column.name]).strip() for row in table.records)
    }
    assert empty == {}
    for table in ("pattern_consequences", "pattern_contrasts", "pattern_cures", "pattern_examples"):
        names = [column.name for column in tables[table, "first"].schema.columns]
        assert names[-1] == "what fails"


def test_only_what_waits_for_a_person_is_counted_as_waiting_for_an_answer():
    routes = (("wait", "hold"), ("export", "none"), ("rejected", "reject"), ("people", "none"))
    decisions = [
        Decision(
            **dict.fromkeys(("improvement_id", "pattern_id", "target", "revert_plan", "playbook_hash"), "x"),
            decision_id=f"{place:016x}",
            day=LAST_DAY,
            category="config",
            action=action,
            route=route,
            mode="live",
            from_value=None,
            to_value=None,
            reasons=(),
        )
        for place, (route, action) in enumerate(routes)
    ]
    shown = _shown_decisions(decisions, {"x": playbook()}, "here")
    assert shown["how_to_answer"].startswith("2 wait for an answer")
    order = [row.data["decision"] for row in shown["decisions"].records]
    assert order[:2] == ["awaiting approval", "for review"]
