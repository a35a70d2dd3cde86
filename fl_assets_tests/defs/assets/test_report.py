"""The report as the last step of a cycle, and its commands."""

import difflib
import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets.core.settings import PREFIX
from fl_assets.defs.assets import report as report_asset
from fl_assets_tests.conftest import DAYS, LAST_DAY
from fl_assets_tests.report.test_alerts import receiver


@pytest.fixture
def command(learned, monkeypatch):
    """Runs `fl-assets` over the learned fleet and returns what it printed."""
    for name in ("data_path", "telemetry_path", "playbook_path"):
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(getattr(learned.config, name)))

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, words)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


def test_every_day_of_a_backfill_has_its_page_and_twin(learned):
    assert {path.name for path in learned.config.reports_path.glob("2026*")} == {
        f"{day}.{kind}" for day in DAYS for kind in ("html", "json")
    }
    content = json.loads((learned.config.reports_path / f"{LAST_DAY}.json").read_bytes())
    assert content["status"] == "completed"
    assert len(content["decisions"]) == len(content["playbooks"]) > 0
    assert content["previous_day"] == str(LAST_DAY - timedelta(days=1))


def difference(old: str, new: str) -> list[str]:
    """The lines that differ between two pages, cut to what fits a failure's message."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line[:500] for line in lines][:40]


def test_a_rerun_of_a_past_day_gives_the_same_bytes_and_alerts_nobody(copied, monkeypatch):
    with receiver() as (webhook, got):
        # Before the coordinator is made: its runs have the settings that were read then, and no others.
        monkeypatch.setenv("FEDERATED_LEARNING_ALERT_WEBHOOK", webhook.get_secret_value())
        coordinator = copied()
        files = sorted(coordinator.config.reports_path.glob(f"{LAST_DAY}.*"))
        before = [path.read_text() for path in files]
        coordinator.run_learning_cycle(LAST_DAY)
    assert got == []
    after = [path.read_text() for path in files]
    changed = [line for old, new in zip(before, after, strict=True) for line in difference(old, new)]
    assert changed == [], "\n".join(changed)
    assert after == before
    assert len(files) == 2


def test_a_gated_day_has_a_report_and_no_failed_alert_stops_it(copied, monkeypatch):
    monkeypatch.setattr(
        report_asset,
        "now_utc",
        lambda: datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day + 1, 6, tzinfo=UTC),
    )
    with receiver(404) as (webhook, got):
        monkeypatch.setenv("FEDERATED_LEARNING_ALERT_WEBHOOK", webhook.get_secret_value())
        coordinator = copied(threshold=1.0)
        assert coordinator.run_learning_cycle(LAST_DAY).status == "gated"
        assert coordinator.run_learning_cycle(LAST_DAY).status == "gated"
    assert len(got) == 2, "refused the first time, sent the second"
    assert "The gate stopped" in got[1][2]["blocks"][0]["text"]["text"]
    content = json.loads((coordinator.config.reports_path / f"{LAST_DAY}.json").read_bytes())
    assert content["status"] == "gated"
    assert content["decisions"] == []
    assert all(one["held_because"] for one in content["playbooks"])


def test_commands_tell_the_same_as_the_page(command, learned):
    content = json.loads(command("report", "--json"))
    assert content == json.loads((learned.config.reports_path / f"{LAST_DAY}.json").read_bytes())
    assert [one["pattern_id"] for one in json.loads(command("patterns", "--all", "--json"))] == [
        one["pattern_id"] for one in content["patterns"]
    ]
    assert len(json.loads(command("playbooks", "--json"))) == len(content["playbooks"])
    decisions = json.loads(command("decisions", "--json"))
    # The code that an answer must come with is shown by the command alone; history has no answer.
    assert {one.pop("code") for one in decisions} == {""}
    assert decisions == content["decisions"]
    first = content["patterns"][0]
    explained = json.loads(command("explain", first["pattern_id"], "--json"))
    assert explained["pattern"] == first
    assert [one["improvement_id"] for one in explained["playbooks"]] == [
        one["improvement_id"] for one in content["playbooks"] if one["pattern_id"] == first["pattern_id"]
    ]


def test_commands_read_plainly_when_piped(command, learned):
    failing = [one for one in json.loads(command("patterns", "--json")) if one["failures"]]
    text = command("patterns")
    assert "\x1b" not in text
    assert all(one["pattern_id"] in text for one in failing)
    assert str(learned.config.reports_path / f"{LAST_DAY}.html") in command("report").replace("\n", "")
    assert "why one pattern" in command("explain", failing[0]["pattern_id"][:8])
    assert " ready" in command("playbooks")
    assert "rollback plan" in command("decisions")


@pytest.mark.parametrize("words", [("explain", "nothing-like-it"), ("report", "--date", "2026-01-01")])
def test_a_wrong_id_or_day_says_what_to_run(command, words):
    with pytest.raises(Exception, match=r"`fl-assets (patterns nothing-like-it|cycle --date )"):
        command(*words)
