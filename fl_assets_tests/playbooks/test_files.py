"""Playbook files: the contract's fields first, and a rerun leaves what is the same alone."""

import json
import os
import re
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from fl_assets.core.models import Advice, Benefit, Helps, Playbook
from fl_assets.core.tables import TABLES
from fl_assets.infra.warehouse import Warehouse
from fl_assets.playbooks.files import CONTRACT_FIELDS, render, write_playbooks
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.updates.carriers.carrier import KnownTargets
from fl_assets.updates.decide import decide
from fl_assets.updates.policy import KeyRule, UpdatePolicy
from fl_assets.updates.proposals import playbook_page, proposal, write_proposals
from fl_assets_tests.build import DAY, playbook
from fl_assets_tests.report.test_report import outcome_row

ONE, TWO = playbook(improvement_id="1" * 16), playbook(improvement_id="2" * 16)


def read_playbooks(folder, day):
    """Return the day's playbooks from their files, by id."""
    found = []
    for path in sorted((folder / day.isoformat()).glob("*.json")):
        fields = json.loads(path.read_bytes())
        advice = {name: fields.pop(name) for name in Advice.model_fields if name in fields}
        found.append(Playbook(**fields, advice=Advice(**advice)))
    return found


def test_a_file_holds_the_contracts_fields_first_with_texts_as_changes(tmp_path):
    (path,) = write_playbooks(tmp_path, DAY, [ONE])
    assert path == tmp_path / "2026-11-01" / f"{'1' * 16}.json"
    content = json.loads(path.read_bytes())
    assert tuple(content)[: len(CONTRACT_FIELDS)] == CONTRACT_FIELDS
    assert content["suggested_changes"] == {"timeout_ms": "8000"}
    assert content["created_at"] == "2026-11-02T00:00:00Z"
    assert read_playbooks(tmp_path, DAY) == [ONE]


def test_a_rerun_leaves_bytes_and_times_alone(tmp_path):
    paths = write_playbooks(tmp_path, DAY, [ONE, TWO])
    for path in paths:
        os.utime(path, (1, 1))
    assert write_playbooks(tmp_path, DAY, [TWO, ONE]) == paths
    assert [path.stat().st_mtime for path in paths] == [1, 1]


def test_the_order_in_which_a_rule_names_its_changes_does_not_show(tmp_path):
    """The table keeps them by name, and the files of later days are written from there when an earlier one
    comes after them.
    """
    changes = {"write_style": "careful", "retries": "1", "backoff_ms": "20"}
    (path,) = write_playbooks(tmp_path, DAY, [ONE.model_copy(update={"suggested_changes": changes})])
    before = path.read_bytes()
    write_playbooks(
        tmp_path, DAY, [ONE.model_copy(update={"suggested_changes": dict(sorted(changes.items()))})]
    )
    assert path.read_bytes() == before


def test_a_playbook_that_changed_is_replaced_and_one_that_is_gone_is_removed(tmp_path):
    write_playbooks(tmp_path, DAY, [ONE, TWO])
    notes = tmp_path / "2026-11-01" / "notes.txt"
    notes.write_text("mine")
    changed = TWO.model_copy(update={"confidence": 0.8})
    write_playbooks(tmp_path, DAY, [changed])
    assert read_playbooks(tmp_path, DAY) == [changed]
    assert notes.exists()
    write_playbooks(tmp_path, DAY, [])
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_other_days_are_not_touched_and_an_empty_day_makes_no_folder(tmp_path):
    other = playbook(day=DAY.replace(day=2))
    write_playbooks(tmp_path, other.day, [other])
    write_playbooks(tmp_path, DAY, [])
    assert read_playbooks(tmp_path, other.day) == [other]
    assert not (tmp_path / "2026-11-01").exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    (path,) = write_playbooks(tmp_path, DAY, [ONE])
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_playbooks(tmp_path, DAY, [ONE.model_copy(update={"confidence": 0.75})])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_id_that_is_no_hash_names_no_file(tmp_path):
    with pytest.raises(ValueError, match="must be 16 hex digits"):
        write_playbooks(tmp_path, DAY, [playbook(improvement_id="../../x")])
    assert list(Path(tmp_path).iterdir()) == []


# Review files
# ----------------------------------------------------------------------------------------------------

POLICY = UpdatePolicy(
    keys=(KeyRule(id="t", file="a_b.toml", key="x", change="timeout_ms", type="int", min=1, max=9000),)
)


def proposals(folder, one, **given):
    known = KnownTargets(policy=POLICY, current={"a_b.toml#x": 5000})
    fields = {"mode": "live", "apply_level": "stage", "known": known}
    return write_proposals(folder, DAY, [(one, decide(one, [], **(fields | given)))])


@pytest.mark.parametrize(
    ("given", "how", "is_written"),
    [
        ({"category": "prompt"}, {}, True),
        ({"category": "workflow"}, {"apply_level": "on"}, True),
        ({}, {}, True),
        ({}, {"apply_level": "on"}, False),
        ({}, {"apply_level": "off"}, False),
        ({}, {"mode": "backtest"}, False),
        ({"category": "prompt", "held_because": ("confidence_gate: too low",)}, {}, False),
    ],
)
def test_a_review_file_is_written_exactly_where_a_person_is_asked_to_act(tmp_path, given, how, is_written):
    assert bool(proposals(tmp_path, playbook(**given), **how)) is is_written


def test_a_review_file_says_change_evidence_reasons_and_the_way_back(tmp_path):
    (path,) = proposals(tmp_path, ONE)
    page = path.read_text()
    for words in (
        "- `a_b.toml#x` (now `5000`): `8000`",
        "10 of 50 nodes",
        "200 failures",
        "needs your approval",
        "restore the old file from its backup",
        "it is never shown in the UI",
        "- **Likely to continue: ",
    ):
        assert words in page


def test_review_files_of_a_rerun_are_left_alone_and_stale_ones_removed(tmp_path):
    (path,) = proposals(tmp_path, ONE)
    os.utime(path, (1, 1))
    proposals(tmp_path, ONE)
    assert path.stat().st_mtime == 1
    proposals(tmp_path, ONE, apply_level="on")
    assert not path.exists()


def test_the_schema_in_the_docs_is_that_of_the_file():
    schema = Playbook.model_json_schema()
    schema["properties"].pop("advice")
    schema["properties"] |= schema["$defs"].pop("Advice")["properties"]
    documented = json.loads((Path(__file__).parents[2] / "docs" / "playbook.schema.json").read_text())
    assert documented == json.loads(json.dumps(schema))
    assert set(orjson.loads(render(ONE))) == set(schema["properties"])


def test_a_message_of_telemetry_is_code_on_the_page_of_a_decision_and_of_a_playbook():
    hostile = "![pixel](http://evil.example/a) <img src=x> `code` [click](javascript:alert(1))"
    said = {"succeeded": False, "message": hostile, "service": "search", "method": hostile, "node": hostile}
    said |= {"arguments": {}, "time": "2026-11-14T10:00:00", "trace_id": hostile}
    one = playbook(advice=Advice.model_validate({"headline": "It fails.", "examples": [said]}))
    for page in (playbook_page(one), proposal(one, decide(one, [], mode="live", apply_level="stage"))):
        without_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", page)
        assert page.count("evil.example") == 4
        assert "evil.example" not in without_code
        assert "<img" not in without_code


def test_a_trial_counts_on_the_day_that_it_ended(tmp_path):
    warehouse = Warehouse.at(tmp_path / "warehouse.duckdb", lake_path=tmp_path / "lake")
    warehouse.create()
    names = (*TABLES["update_outcomes"].day_columns,)
    row = {name: outcome_row(verdict="worse").get(name) for name in names}
    warehouse.replace_records("update_outcomes", DAY, [row])
    store = PlaybookStore(warehouse, tmp_path)
    assert store.helped(DAY)["timeout-raise-limit"] == Helps(tried=1, helped=0)
    assert store.helped(DAY - timedelta(days=1)) == {}


def test_a_page_says_how_its_benefit_is_computed():
    benefit = Benefit(failures_per_day=70, persists=0.91, helps=0.5, reduction=0.35, avoided_per_day=11.1)
    one = playbook(advice=Advice(benefit=benefit))
    page = proposal(one, decide(one, [], mode="live", apply_level="stage"))
    assert "70.0 a day × 91 % (it goes on) × 50 % (the change helps) × 35 % (fewer where it helps)" in page
