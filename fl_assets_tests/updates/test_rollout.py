"""From decision to fleet and back.

What is carried out, what is refused, how a trial ends, and what that teaches (FAULTS 42, 46).
"""

import json
import math
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.assets import updates
from fl_assets.defs.automation import approved_updates
from fl_assets.defs.checks import updates_stand
from fl_assets.defs.resources import resources
from fl_assets.updates import answers
from fl_assets.updates.answers import code_for, codes_of, undo
from fl_assets.updates.decisions import cycle_result
from fl_assets.updates.history import lessons
from fl_assets.updates.intent import Intent
from fl_assets.updates.lessons import learn
from fl_assets.updates.release import open_release
from fl_assets.updates.rollout import carry_out_day, decided_on, history_of, open_releases
from fl_assets.updates.stores import UpdateStores
from fl_assets.updates.trial import WATCH_DAYS
from fl_assets.updates.trial_counts import counts_of, eligible_nodes
from fl_assets.updates.trials import judge_day
from fl_assets.workspace import Workspace
from fl_assets_tests.adapter_servers import OTHER_KEY, PlainList, adapter_settings, serving
from fl_assets_tests.build import call_line, trusting
from fl_assets_tests.conftest import ask, coordinator_in, settings_in

DAY = date(2026, 10, 14)
NODES = [f"n{number:02d}" for number in range(12)]
CALLS = 30
CONFIG = b"# limits\nsearch_timeout_ms = 5000\nsearch_retries = 0  # none so far\n"
CHANGED = b"# limits\nsearch_timeout_ms = 500\nsearch_retries = 2  # none so far\n"
"""What the remedy makes of it: shorter than the calls that fail anyhow, and tried again."""
DRAW = bytes(range(2, 34))
POLICY = """keys:
  - {id: search-timeout, file: agent.toml, key: search_timeout_ms, change: timeout_ms, targets: ["search:*"], type: int, min: 100, max: 60000}
  - {id: search-retries, file: agent.toml, key: search_retries, change: max_retries, targets: ["search:*"], type: int, min: 0, max: 5}
"""  # noqa: E501


def answer(stores: UpdateStores, decision_id: str, **said: Any) -> Any:
    """Answer as a person at the terminal does, who has the code."""
    return answers.answer(stores, decision_id, codes=[code_for(stores, decision_id)], **said)


class Clock:
    """A clock that a test sets: a quarter past midnight of the day after `day`."""

    def __init__(self, day: date) -> None:
        self.after(day)

    def after(self, day: date) -> None:
        self.now = datetime(day.year, day.month, day.day, 0, 20, tzinfo=UTC) + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


TIMEOUT = "request timed out after 5000 ms"


def write_day(folder: Path, day: date, failing: dict[str, int], error: str = TIMEOUT) -> None:
    """Write a day of calls of every node, `failing[node]` of which fail.

    A node that is not named writes nothing.
    """
    lines = []
    for node, failures in failing.items():
        for call in range(CALLS):
            failed = call < failures
            given: dict[str, Any] = {
                "duration_ms": 5000 if failed else 150 + 5 * call,
                "success": not failed,
                "trace_id": f"t-{node}-{day}-{call}",
            }
            given |= {"error": error} if failed else {}
            at = f"{day}T{call % 24:02d}:10:00Z"
            lines.append(call_line(f"{node}-{day}-{call}", timestamp=at, metadata={"node_id": node}, **given))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"events_{day}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def write_fortnight(folder: Path, error: str = TIMEOUT) -> None:
    for back in range(13, -1, -1):
        write_day(
            folder / "telemetry" / "cache",
            DAY - timedelta(days=back),
            {node: 3 + (back + place) % 4 for place, node in enumerate(NODES)},
            error,
        )


@pytest.fixture(scope="module")
def learned_once(tmp_path_factory, instance) -> Path:
    """A fleet of twelve nodes whose searches time out, after the learning cycle of a day.

    Its secret for draws is fixed: a change without effect is promoted in one draw of some thirty, as
    BETTER_ALPHA says, and rolled back as harm in as many.
    """
    folder = tmp_path_factory.mktemp("rollout")
    (folder / "keys").mkdir()
    (folder / "keys" / "draw.key").write_bytes(DRAW)
    (folder / "keys" / "draw.key").chmod(0o600)
    write_fortnight(folder)
    (folder / "agents").mkdir()
    (folder / "agents" / "policy.yaml").write_text(POLICY)
    (folder / "agents" / "agent.toml").write_bytes(CONFIG)
    result = coordinator_in(folder, instance, min_events=100).run_learning_cycle(DAY)
    assert result.status == "completed", result.reason
    return folder


@pytest.fixture
def folder(learned_once, tmp_path) -> Path:
    shutil.copytree(learned_once, tmp_path / "fleet")
    return tmp_path / "fleet"


def space_in(folder: Path, level: str = "canary", **given: Any) -> Workspace:
    settings = settings_in(
        folder, min_events=100, apply=level, update_policy_path=folder / "agents" / "policy.yaml", **given
    )
    return Workspace(settings)


def decided(space: Workspace, *, today: date = DAY + timedelta(days=1)):
    """Decide the day again and return the config decision."""
    rollouts = open_releases(space.updates).rollouts().values()
    space.decisions.replace(DAY, space.decisions.decide(DAY, today=today, rollouts=rollouts))
    return next(
        one
        for one in decided_on(space.updates, DAY, open_releases(space.updates).rollouts())
        if one.decision.category == "config"
    )


def carried_out(space: Workspace, clock: Clock) -> dict[str, Any]:
    """Carry the day out, store it, and return the row of the config decision."""
    rows = carry_out_day(space.updates, DAY, clock=clock)
    space.warehouse.replace_records("applied_updates", DAY, rows)
    return next(row for row in rows if row["category"] == "config")


def started(folder: Path, level: str = "canary", **given: Any) -> tuple[Workspace, Clock, dict[str, Any]]:
    """A workspace whose canary has begun."""
    space, clock = space_in(folder, level, **given), Clock(DAY)
    decided(space)
    row = carried_out(space, clock)
    assert row["status"] == "canary", row["reason"]
    return space, clock, row


def days_pass(
    space: Workspace,
    clock: Clock,
    row: dict[str, Any],
    days: int,
    failures: int | None,
    others: int = 4,
    error: str = TIMEOUT,
) -> date:
    """Let days go by on which nodes with the change have `failures` a day and the others `others`.

    None is a change without effect: nodes with it fail as often as the others. Return the last day.
    """
    released = clock().date()
    one = open_releases(space.updates, clock).rollouts()[row["decision_id"]]
    has = {*NODES} - {*one.held_back} if one.status == "promoted" else {*one.treated}
    for ahead in range(1, days + 1):
        given = {
            node: failures if node in has and failures is not None else others + (ahead + place) % 2
            for place, node in enumerate(NODES)
        }
        write_day(space.settings.telemetry_path, released + timedelta(days=ahead), given, error)
    last = released + timedelta(days=days)
    space.engine.ingest()
    space.sums.refresh_signatures(space.days.with_events(last))
    clock.after(last)
    return last


def judged(
    space: Workspace, clock: Clock, row: dict[str, Any], days: int, failures: int | None, **given: Any
) -> dict[str, Any]:
    """Let days go by until the verdict of the stage is no longer `wait`, at most so many.

    Return the last day's row.
    """
    for _ in range(days):
        (found,) = judge_day(space.updates, days_pass(space, clock, row, 1, failures, **given), clock=clock)
        if found["verdict"] != "wait":
            break
    return found


def widened(folder: Path, failures: int | None, **given: Any) -> tuple[Workspace, Clock, dict[str, Any]]:
    """A workspace whose canary nodes have shown no harm, so that half of the nodes have the change."""
    space, clock, row = started(folder, **given)
    found = judged(space, clock, row, 5, failures)
    assert (found["verdict"], found["action"]) == ("safe", "widened"), found["reason"]
    return space, clock, row


def config(folder: Path) -> bytes:
    return (folder / "agents" / "agent.toml").read_bytes()


def told(folder: Path, node: str) -> dict[str, str]:
    """What the release tells a node; nothing without one."""
    path = folder / "releases" / "stable.json"
    if not path.exists():
        return {}
    return open_release(path.read_bytes(), trusting(path.with_suffix(".pub"))).for_node(node)


# Carrying out


def test_the_default_prepares_a_proposal_and_switches_nothing(folder):
    space = space_in(folder, "stage")
    one = decided(space)
    row = carried_out(space, Clock(DAY))
    assert (row["status"], row["carried_out_at"], row["canary_nodes"]) == ("staged", None, [])
    proposal = (folder / "proposals" / str(DAY) / f"{one.update.improvement_id}.md").read_text()
    assert "5000" in proposal
    assert config(folder) == CONFIG
    assert not told(folder, row["decision_id"])
    assert open_releases(space.updates).events() == []


def test_off_carries_nothing_out_and_proposes_nothing(folder):
    space = space_in(folder, "off")
    decided(space)
    assert [
        row
        for row in carry_out_day(space.updates, DAY, clock=Clock(DAY))
        if row["status"] in ("canary", "applied", "staged") and row["category"] == "config"
    ] == []
    assert not (folder / "proposals").exists()


@pytest.mark.parametrize("level", ["stage", "canary", "on"])
def test_a_backtest_is_never_carried_out(folder, level):
    space = space_in(folder, level)
    assert decided(space, today=DAY + timedelta(days=9)).decision.mode == "backtest"
    assert carry_out_day(space.updates, DAY, clock=Clock(DAY + timedelta(days=9))) == []
    with pytest.raises(ValueError, match="of a past day"):
        answer(
            space.updates,
            decided(space, today=DAY + timedelta(days=9)).decision.decision_id,
            yes=True,
            by="ann",
            reason="try",
            clock=Clock(DAY),
        )
    assert config(folder) == CONFIG


def test_a_canary_reaches_a_tenth_of_the_nodes_three_at_least_once_however_often_it_is_launched(folder):
    space, clock, row = started(folder)
    assert (len(row["canary_nodes"]), len(row["control_nodes"])) == (3, 9)
    again = carried_out(space, clock)
    assert again == row
    assert [event.what for event in open_releases(space.updates).events()] == ["canary"]
    assert [bool(told(folder, node)) for node in (row["canary_nodes"][0], row["control_nodes"][0])] == [
        True,
        False,
    ]
    assert config(folder) == CONFIG, "this machine's own file waits for the verdict"
    assert cycle_result(space.updates, DAY)[2]["configs_updated"] == 1


def test_on_reaches_all_nodes_and_this_machines_file_at_once(folder):
    space = space_in(folder, "on")
    decided(space)
    row = carried_out(space, Clock(DAY))
    assert (row["status"], row["canary_nodes"]) == ("applied", [])
    assert config(folder) == CHANGED
    assert told(folder, "n05") == {"agent.toml#search_retries": "2", "agent.toml#search_timeout_ms": "500"}


def test_a_fleet_too_small_for_a_verdict_gets_no_canary(folder):
    space = space_in(folder, "canary", canary_min_nodes=7)
    decided(space)
    row = carried_out(space, Clock(DAY))
    assert (row["status"], "a trial needs 14 that" in row["reason"]) == ("refused", True)


def test_a_day_that_does_not_pass_the_gate_any_more_is_refused(folder):
    space = space_in(folder)
    decided(space)
    playbooks = space.playbooks.of(DAY)
    space.playbooks.replace(
        DAY, [one.model_copy(update={"evidence_count": one.evidence_count + 1}) for one in playbooks]
    )
    row = carried_out(space, Clock(DAY))
    assert (row["status"], "does not pass the gate: evidence_is_real" in row["reason"]) == ("refused", True)
    assert config(folder) == CONFIG


def test_a_playbook_that_is_not_to_the_letter_the_one_decided_on_is_refused(folder):
    space = space_in(folder)
    decided(space)
    playbooks = space.playbooks.of(DAY)
    space.playbooks.replace(
        DAY,
        [
            one.model_copy(update={"suggested_changes": dict.fromkeys(one.suggested_changes, "59000")})
            for one in playbooks
        ],
    )
    row = carried_out(space, Clock(DAY))
    assert (row["status"], "has changed since it was decided on" in row["reason"]) == ("refused", True)
    assert open_releases(space.updates).events() == []


def test_a_decision_without_its_playbook_is_not_carried_out(folder):
    space = space_in(folder)
    decided(space)
    space.playbooks.replace(DAY, [])
    assert carry_out_day(space.updates, DAY, clock=Clock(DAY)) == []


# Answers


def test_an_approved_decision_is_carried_out_and_says_by_whom_and_why(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    answer(
        space.updates,
        one.decision.decision_id[:6],
        yes=True,
        by="ann",
        reason="tried on staging",
        clock=clock,
    )
    row = carried_out(space, clock)
    assert (row["status"], row["decided_by"], "tried on staging" in row["reason"]) == ("canary", "ann", True)
    assert told(folder, row["canary_nodes"][0])


SAID = {"by": "CEO", "reason": "it is urgent"}


@pytest.mark.parametrize("codes", [[], [""], ["AAAAA-BBBBB"], ["0"] * 50, ["é" * 10]])
@pytest.mark.parametrize("yes", [True, False])
def test_an_answer_without_the_code_of_its_change_is_refused_in_one_line(folder, yes, codes):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    with pytest.raises(
        ValueError, match="needs the code that `fl-assets decisions --date 2026-10-14` shows"
    ) as raised:
        answers.answer(space.updates, one.decision.decision_id, yes=yes, codes=codes, clock=clock, **SAID)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert open_releases(space.updates).events() == []
    assert carried_out(space, clock)["status"] == "staged"


@pytest.mark.parametrize(
    "odd", [{"by": "ann\x1b[31m"}, {"by": "a" * 201}, {"reason": "x" * 2001}, {"by": "a\u202eb"}]
)
def test_a_name_or_reason_that_no_history_should_keep_is_refused(folder, odd):
    """Also with the right code: a run's config is typed by whoever reaches the launchpad."""
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    codes = [code_for(space.updates, one)]
    with pytest.raises(ValueError, match="printable characters") as raised:
        answers.answer(space.updates, one, yes=True, codes=codes, clock=clock, **(SAID | odd))
    assert str(raised.value).isprintable()
    with pytest.raises(ValueError, match="matches no decision") as raised:
        answers.answer(space.updates, "'; drop\n" * 10_000, yes=True, codes=codes, clock=clock, **SAID)
    assert len(str(raised.value)) < 300
    assert open_releases(space.updates).events() == []


def test_a_code_is_good_for_one_answer(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    code = code_for(space.updates, one)
    answers.answer(space.updates, one, yes=False, codes=[code], clock=clock, by="ann", reason="not yet")
    with pytest.raises(
        ValueError, match=f"'{code}' is not its code; an answer to this change .* needs the code"
    ):
        answers.answer(space.updates, one, yes=True, codes=[code], clock=clock, **SAID)
    assert code_for(space.updates, one) != code
    answers.answer(
        space.updates,
        one,
        yes=True,
        codes=[code_for(space.updates, one).lower()],
        clock=clock,
        by="ann",
        reason="now",
    )
    assert carried_out(space, clock)["status"] == "canary"


@pytest.mark.parametrize(
    ("other", "says"), [("f" * 16, "matches no decision"), (None, "answered twice; give one answer")]
)
def test_of_answers_given_together_all_are_recorded_or_none(folder, other, says):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    given = [(one, True), (other or one, False)]
    with pytest.raises(answers.AnswerError, match=says):
        answers.answer_each(space.updates, given, codes=[code_for(space.updates, one)], clock=clock, **SAID)
    assert open_releases(space.updates).events() == []
    (found,) = answers.answer_each(
        space.updates, given[:1], codes=[code_for(space.updates, one)], clock=clock, **SAID
    )
    assert found.known.status == "approved"


@pytest.mark.parametrize("yes", [True, False])
def test_of_two_answers_at_once_by_one_code_one_counts(folder, monkeypatch, yes):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    code = code_for(space.updates, one)
    checked = Intent.is_meant

    def answered_between(self, *given):
        found = checked(self, *given)
        monkeypatch.setattr(Intent, "is_meant", checked)
        answers.answer(space.updates, one, yes=True, codes=[code], clock=clock, by="ann", reason="fine")
        return found

    monkeypatch.setattr(Intent, "is_meant", answered_between)
    with pytest.raises(answers.AnswerError, match="answered by somebody else"):
        answers.answer(space.updates, one, yes=yes, codes=[code], clock=clock, **SAID)
    assert carried_out(space, clock)["status"] == "canary"
    assert [event.by for event in open_releases(space.updates).events()][:1] == ["ann"]


def test_a_code_is_bound_to_the_values_of_its_change(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    code = code_for(space.updates, one)
    (folder / "agents" / "agent.toml").write_bytes(CONFIG.replace(b"5000", b"6000"))
    other = decided(space).decision.decision_id
    with pytest.raises(ValueError, match="needs the code"):
        answers.answer(space.updates, other, yes=True, codes=[code], clock=clock, **SAID)


def test_a_code_of_another_machine_is_none(folder, tmp_path):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space).decision.decision_id
    code, key = code_for(space.updates, one), space.settings.data_path / "keys" / "approval.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    with pytest.raises(ValueError, match="needs the code"):
        answers.answer(space.updates, one, yes=True, codes=[code], clock=clock, **SAID)
    key.chmod(0o644)
    with pytest.raises(ValueError, match="can be read by others"):
        code_for(space.updates, one)


@pytest.mark.parametrize("code", ["", "AAAAA-BBBBB"])
def test_an_approval_in_the_history_without_its_code_is_carried_out_by_nobody(folder, code):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    open_releases(space.updates, clock).approve(one.update, by="CEO", reason="it is urgent", code=code)
    assert sensed(space) == []
    row = carried_out(space, clock)
    assert (row["status"], row["reason"]) == (
        "refused",
        "approved without the code of this change; approve it again",
    )
    assert config(folder) == CONFIG
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="I mean it", clock=clock)
    assert len(sensed(space)) == 1
    assert carried_out(space, clock)["status"] == "canary"


def test_codes_are_for_decisions_that_may_be_answered(folder):
    space, _, row = started(folder)
    assert row["decision_id"] not in codes_of(space.updates, DAY), (
        "it is under way: there is nothing to answer"
    )
    past = space_in(folder, "stage")
    decided(past, today=DAY + timedelta(days=9))
    assert codes_of(past.updates, DAY) == {}


def sensed(space: Workspace) -> list[Any]:
    """What the sensor asks for."""
    with dg.build_sensor_context(resources={"workspace": resources(space.settings)["workspace"]}) as context:
        return approved_updates(context).run_requests or []


def test_what_is_approved_while_its_nodes_are_busy_says_when_it_starts_and_is_asked_for_again(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one, log = decided(space), history_of(space.settings, clock)
    own = {"decision_id": "f" * 16, "pattern_id": "p-other", "target": "other.toml#x"}
    shares = {"canary": NODES[:3], "half": NODES[:5], "control": NODES[3:10], "held_back": NODES[7:10]}
    other = {"decision_id": own["decision_id"], "update": one.update.model_copy(update=own)}
    with log.locked():
        log.append("canary", events=log.events(), **other, **shares)
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=clock)
    row, ends = carried_out(space, clock), clock().date() + timedelta(days=15)
    assert (row["status"], row["reason"].partition(": ")[0]) == (
        "waiting",
        "it starts by itself when enough nodes are free, at the latest when trial ffffffff ends "
        f"({ends}); after {DAY + timedelta(days=7)} it needs a new approval",
    )
    assert "only 2 eligible nodes are free; a trial needs 6" in row["reason"]
    assert [now["status"] for now in space.report.applied(DAY) if now["category"] == "config"] == ["approved"]
    assert one.decision.decision_id not in codes_of(space.updates, DAY)
    (before,) = sensed(space)
    with log.locked():
        log.append("rolled_back", events=log.events(), decision_id=own["decision_id"], ended="worse")
    (after,) = sensed(space)
    assert before.run_key != after.run_key
    assert carried_out(space, clock)["status"] == "canary"


def test_the_sensor_says_how_many_wait_only_when_the_number_changes(folder):
    space = space_in(folder, "stage")
    one = decided(space)
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=Clock(DAY))
    given = {"workspace": resources(space.settings)["workspace"]}
    said, cursor = [], None
    for _ in range(2):
        with dg.build_sensor_context(resources=given, cursor=cursor) as context:
            said.append([])
            context.log.info = said[-1].append
            cursor = approved_updates(context).cursor
    assert [len(lines) for lines in said] == [1, 0]


def test_an_approval_holds_for_the_change_it_was_given_to_and_no_other(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=clock)
    (folder / "agents" / "agent.toml").write_bytes(CONFIG.replace(b"5000", b"6000"))
    decided(space)
    assert carried_out(space, clock)["status"] == "staged"


def test_an_approval_that_comes_a_week_late_carries_nothing_out(folder):
    space = space_in(folder, "stage")
    one = decided(space)
    late = Clock(DAY + timedelta(days=8))
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=late)
    row = carried_out(space, late)
    assert (row["status"], "evidence is too old" in row["reason"]) == ("refused", True)


def test_a_rejected_change_is_not_carried_out_and_not_proposed_again(folder):
    space, clock = space_in(folder), Clock(DAY)
    one = decided(space)
    answer(
        space.updates,
        one.decision.decision_id,
        yes=False,
        by="ann",
        reason="the vendor forbids it",
        clock=clock,
    )
    assert carried_out(space, clock)["status"] == "rejected"
    assert decided(space).decision.action == "reject"


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ann", " ")])
def test_an_answer_says_who_and_why(folder, by, reason):
    space = space_in(folder, "stage")
    with pytest.raises(ValueError, match="must not be empty"):
        answer(
            space.updates,
            decided(space).decision.decision_id,
            yes=True,
            by=by,
            reason=reason,
            clock=Clock(DAY),
        )


def test_an_unknown_or_ambiguous_decision_is_an_error_that_says_so(folder):
    space = space_in(folder, "stage")
    decided(space)
    for wanted, expected in (("zz", "matches no decision"), ("", r"matches \d+ decisions")):
        with pytest.raises(ValueError, match=expected):
            answer(space.updates, wanted, yes=True, by="ann", reason="why", clock=Clock(DAY))


# Trials


def test_a_change_that_helps_goes_to_half_of_the_nodes_then_to_all_but_three_and_to_this_machines_file(
    folder,
):
    space, clock, row = widened(folder, failures=0)
    one = open_releases(space.updates).rollouts()[row["decision_id"]]
    assert (len(one.treated), set(row["canary_nodes"]) <= {*one.treated}) == (6, True)
    assert [bool(told(folder, node)) for node in NODES] == [node in one.treated for node in NODES]
    assert config(folder) == CONFIG, "half of the nodes is a trial still"
    found = judged(space, clock, row, 10, failures=0)
    assert (found["stage"], found["verdict"], found["action"]) == ("half", "better", "promoted"), found[
        "reason"
    ]
    assert found["effect"] < 0.5
    assert found["canary_rate"] == 0
    assert config(folder) == CHANGED
    assert sum(not told(folder, node) for node in NODES) == len(one.held_back) == 3
    again = judge_day(space.updates, clock().date() - timedelta(days=1), clock=clock)
    assert again == [found]
    undone = undo(space.updates, row["decision_id"][:8], by="ann", reason="asked for", clock=clock)
    assert undone.status == "rolled_back"
    assert config(folder) == CONFIG
    assert not told(folder, row["canary_nodes"][0])


def promoted(folder: Path) -> tuple[Workspace, Clock, dict[str, Any]]:
    space, clock, row = widened(folder, failures=0)
    assert judged(space, clock, row, 10, failures=0)["action"] == "promoted"
    return space, clock, row


def test_a_promoted_change_whose_effect_lasts_goes_to_the_nodes_held_back_too(folder):
    space, clock, row = promoted(folder)
    last = days_pass(space, clock, row, WATCH_DAYS, failures=0)
    (found,) = judge_day(space.updates, last, clock=clock)
    assert (found["stage"], found["verdict"], found["action"]) == ("watch", "kept", "confirmed"), found[
        "reason"
    ]
    assert all(told(folder, node) for node in NODES)
    assert config(folder) == CHANGED
    assert judge_day(space.updates, days_pass(space, clock, row, 1, failures=0), clock=clock) == []


def test_a_promoted_change_whose_effect_is_gone_is_taken_back_and_counts_as_failed(folder):
    space, clock, row = promoted(folder)
    last = days_pass(space, clock, row, 12, failures=4)
    (found,) = judge_day(space.updates, last, clock=clock)
    assert (found["stage"], found["verdict"], found["action"]) == ("watch", "faded", "rolled_back"), found[
        "reason"
    ]
    assert config(folder) == CONFIG
    assert not any(told(folder, node) for node in NODES)
    learned = learn(lessons(open_releases(space.updates).rollouts().values()))
    assert learned.scores[found["remedy_id"]]["faded"] == 1
    assert learned.helps(found["remedy_id"], found["failure_class"]).probability < 0.5


def test_a_change_that_harms_is_rolled_back_by_itself_and_not_tried_again(folder):
    space, clock, row = started(folder)
    found = judged(space, clock, row, 4, failures=25)
    assert (found["verdict"], found["action"]) == ("worse", "rolled_back"), found["reason"]
    assert not told(folder, row["canary_nodes"][0])
    assert config(folder) == CONFIG
    assert decided(space).decision.action == "reject"


def test_while_a_trial_runs_nothing_else_is_tried_on_its_pattern(folder):
    space, clock, row = started(folder)
    last = days_pass(space, clock, row, 1, failures=4)
    (found,) = judge_day(space.updates, last, clock=clock)
    assert (found["verdict"], found["action"]) == ("wait", "none")
    decision = decided(space).decision
    assert (decision.action, "is on 3 of 12 nodes" in decision.reasons[0]) == ("hold", True)


def test_a_trial_without_a_sure_result_is_given_up_and_rolled_back(folder):
    space, clock, row = widened(folder, failures=None, max_canary_days=4)
    found = judged(space, clock, row, 3, failures=None)
    assert (found["verdict"], found["action"]) == ("inconclusive", "rolled_back"), found["reason"]
    assert not told(folder, row["canary_nodes"][0])


def test_a_historical_day_is_judged_and_nothing_follows(folder):
    space, clock, row = started(folder)
    last = days_pass(space, clock, row, 4, failures=0)
    clock.after(last + timedelta(days=5))
    (found,) = judge_day(space.updates, last, clock=clock)
    assert (found["verdict"], found["action"]) == ("safe", "none")
    assert [event.what for event in open_releases(space.updates).events()] == ["canary"]


def test_a_day_that_is_not_over_is_judged_by_the_days_before_it(folder):
    space, clock, row = started(folder)
    last = days_pass(space, clock, row, 4, failures=0)
    clock.now -= timedelta(hours=5)  # it is the evening of the last day
    (found,) = judge_day(space.updates, last, clock=clock)
    assert found["days_observed"] <= 3


@pytest.mark.parametrize(("failures", "action"), [(0, "none"), (25, "rolled_back")])
def test_switched_off_nothing_goes_on_and_harm_is_rolled_back_all_the_same(folder, failures, action):
    _, clock, row = started(folder)
    space = space_in(folder, "off")
    last = days_pass(space, clock, row, 4, failures=failures)
    (found,) = judge_day(space.updates, last, clock=clock)
    assert found["action"] == action


def test_the_draw_follows_a_key_of_this_machine_and_no_public_hash(folder, tmp_path):
    rows = []
    for number in range(2):
        shutil.copytree(folder, tmp_path / str(number))
        (tmp_path / str(number) / "keys" / "draw.key").write_bytes(bytes(32 - number) + DRAW[:number])
        rows.append(started(tmp_path / str(number))[2])
    assert rows[0]["decision_id"] == rows[1]["decision_id"]
    assert rows[0]["canary_nodes"] != rows[1]["canary_nodes"]


def test_a_node_that_is_silent_now_or_new_is_no_canary(folder):
    space = space_in(folder)
    pattern = decided(space).update.pattern_id
    found = eligible_nodes(space.updates, pattern, DAY, at_least=6)
    assert (found.established, found.newcomers) == (tuple(NODES), ())
    for ahead in (1, 2):
        given = dict.fromkeys([*NODES[1:], "fresh"], 4)
        write_day(space.settings.telemetry_path, DAY + timedelta(days=ahead), given)
    space.engine.ingest()
    space.sums.refresh_signatures(space.days.with_events(DAY + timedelta(days=2)))
    found = eligible_nodes(space.updates, pattern, DAY + timedelta(days=2), at_least=6)
    assert (found.established, found.newcomers) == (tuple(NODES[1:]), ("fresh",))


def test_a_call_that_is_tried_again_with_success_is_no_failure_in_the_end(folder):
    space = space_in(folder)
    pattern = decided(space).update.pattern_id
    day = DAY + timedelta(days=1)
    at = [f"{day}T10:00:0{second}Z" for second in range(3)]
    given = {"metadata": {"node_id": "n00"}, "trace_id": "one request"}
    failed = given | {"success": False, "error": TIMEOUT}
    lines = [call_line("a", timestamp=at[0], **failed), call_line("b", timestamp=at[1], **failed)]
    lines += [
        call_line("c", timestamp=at[2], **given),
        call_line("d", timestamp=at[2], **failed | {"trace_id": "other"}),
    ]
    (space.settings.telemetry_path / "events_again.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space.engine.ingest()
    space.sums.refresh_signatures([day])
    (row,) = counts_of(space.updates, pattern, day, day).to_dict("records")
    assert (row["failures"], row["calls"], row["all_failures"], row["all_calls"]) == (1, 2, 1, 2)


def latency_of_a_day(folder, *, slow: int, fast: int, failing: bool) -> float:
    """The p95 latency that a trial is judged by, where some calls take 5 s and the others 100 ms."""
    space = space_in(folder)
    pattern = decided(space).update.pattern_id
    day = DAY + timedelta(days=1)
    lines = []
    for number in range(slow + fast):
        fails = {"success": False, "error": TIMEOUT} if failing and number < slow else {}
        given = {"timestamp": f"{day}T10:00:00Z", "metadata": {"node_id": "n00"}, "trace_id": f"t{number}"}
        lines.append(
            call_line(f"c{number}", **given, **fails, duration_ms=5000.0 if number < slow else 100.0)
        )
    (space.settings.telemetry_path / "events_slow.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space.engine.ingest()
    space.sums.refresh_signatures([day])
    (row,) = counts_of(space.updates, pattern, day, day).to_dict("records")
    return row["p95_ms"]


@pytest.mark.parametrize("failing", [True, False], ids=["failing", "mended"])
def test_a_slow_call_counts_for_latency_whether_the_pattern_fails_it_or_not(folder, failing):
    """Or what mends slow calls would pass for what makes calls slow."""
    assert 4500 < latency_of_a_day(folder, slow=10, fast=10, failing=failing) < 5500


def test_one_slow_call_more_does_not_turn_the_latency_of_a_day_upside_down(folder, tmp_path):
    """The 95th percentile itself is 100 ms with five of a hundred, and 5 s with six."""
    shutil.copytree(folder, tmp_path / "six")
    found = [
        latency_of_a_day(of, slow=slow, fast=100 - slow, failing=False)
        for of, slow in ((folder, 5), (tmp_path / "six", 6))
    ]
    assert found[0] == pytest.approx(math.sqrt(100 * 5000), rel=0.1)
    assert 1 < found[1] / found[0] < 1.6


def test_the_counts_are_those_of_the_telemetry(folder):
    space = space_in(folder)
    pattern = decided(space).update.pattern_id
    counts = counts_of(space.updates, pattern, DAY - timedelta(days=13), DAY)
    assert len(counts) == 14 * len(NODES)
    assert set(counts["calls"]) == set(counts["all_calls"]) == {CALLS}
    expected = sum(3 + (back + place) % 4 for back in range(14) for place in range(len(NODES)))
    assert counts["failures"].sum() == counts["all_failures"].sum() == expected
    assert counts["p95_ms"].between(4500, 5500).all(), "one call in twenty at least is a timeout"


# An adapter, the whole way


def test_from_a_failing_pattern_to_an_adapter_on_all_nodes_and_back(tmp_path, instance):
    error, plain = "could not parse the JSON output of the model", PlainList()
    plain.publish("1.0.0", adapter_id="structured-output", skills=("structured_output",))
    plain.publish("2.0.0", adapter_id="structured-output", skills=("structured_output",), key=OTHER_KEY)
    plain.publish("1.0.0", adapter_id="tool-calling")
    write_fortnight(tmp_path / "data", error)
    with serving(plain.page) as server:
        settings = adapter_settings(tmp_path, adapter_url=server.url, min_events=100, apply="stage")
        learned = FederatedLearningCoordinator(settings, instance=instance).run_learning_cycle(DAY)
        assert learned.status == "completed", learned.reason
        space, clock = Workspace(settings), Clock(DAY)
        adapters = space.adapters

        def stored() -> dict[str, Any]:
            rows = carry_out_day(space.updates, DAY, clock=clock)
            space.warehouse.replace_records("applied_updates", DAY, rows)
            return next(row for row in rows if row["category"] == "adapter")

        # The decision is for the newest version that is admissible and trained for it, and stages it beside
        # nothing.
        space.decisions.replace(DAY, space.decisions.decide(DAY, today=DAY + timedelta(days=1)))
        one = next(one for one in decided_on(space.updates, DAY, {}) if one.decision.category == "adapter")
        assert one.playbook.suggested_changes == {"adapter_skill": "structured_output"}
        assert (one.decision.target, one.decision.from_value, one.decision.to_value) == (
            "structured-output",
            None,
            "1.0.0",
        )
        staged = stored()
        assert (staged["status"], "verified" in staged["reason"]) == ("staged", True)
        assert [(found.version, found.is_current) for found in adapters.installed()] == [("1.0.0", False)]

        # Approved it reaches the canary nodes; this machine waits for the verdict.
        answer(
            space.updates,
            one.decision.decision_id,
            yes=True,
            by="ann",
            reason="tried on staging",
            clock=clock,
        )
        row = stored()
        assert (row["status"], len(row["canary_nodes"]), row["decided_by"]) == ("canary", 3, "ann"), row[
            "reason"
        ]
        wanted = {"structured-output": '"1.0.0"'}
        assert [
            told(settings.data_path, nodes[0]) for nodes in (row["canary_nodes"], row["control_nodes"])
        ] == [wanted, {}]
        assert adapters.current("structured-output") is None

        # The days that follow tell; better goes to all nodes and to this machine.
        assert judged(space, clock, row, 5, failures=0, error=error)["action"] == "widened"
        found = judged(space, clock, row, 10, failures=0, error=error)
        assert (found["verdict"], found["action"]) == ("better", "promoted"), found["reason"]
        assert sum(told(settings.data_path, node) == wanted for node in NODES) == 9
        used = adapters.current("structured-output")
        assert used is not None
        assert (used.version, adapters.verify("structured-output", "1.0.0")) == ("1.0.0", [])

        # And back: off, told to nobody, and not offered again.
        assert (
            undo(
                space.updates, one.decision.decision_id, by="ann", reason="answers got shorter", clock=clock
            ).status
            == "rolled_back"
        )
        assert adapters.current("structured-output") is None
        assert not told(settings.data_path, row["canary_nodes"][0])
        refusals = {
            (offer.adapter_id, offer.version): offer.refusals for offer in adapters.observe(now=clock())
        }
        assert refusals["structured-output", "1.0.0"][0].startswith("not_withdrawn")


# In Dagster


def test_launching_the_asset_with_an_answer_does_what_the_command_line_does(folder, instance, monkeypatch):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    monkeypatch.setattr(updates, "now_utc", clock)
    result = dg.materialize(
        [updates.applied_updates],
        partition_key=str(DAY),
        resources=resources(space.settings),
        run_config={
            "ops": {
                "applied_updates": {
                    "config": {
                        "approve": [one.decision.decision_id],
                        "codes": [code_for(space.updates, one.decision.decision_id)],
                        "reason": "tried",
                        "by": "ann",
                    }
                }
            }
        },
        instance=instance,
    )
    assert result.success
    row = next(row for row in space.warehouse.read_day("applied_updates", DAY) if row["category"] == "config")
    assert (row["status"], row["decided_by"]) == ("canary", "ann")


def test_the_report_and_the_latest_cycle_show_what_was_done_since(folder, instance, monkeypatch):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    one = decided(space)
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=clock)
    monkeypatch.setattr(updates, "now_utc", clock)
    FederatedLearningCoordinator(space.settings, instance=instance).apply_updates(DAY)
    page = json.loads((space.settings.reports_path / f"{DAY}.json").read_bytes())
    shown = {row["decision_id"]: row for row in page["decisions"]}[one.decision.decision_id]
    assert (shown["outcome"], shown["can_be_answered"]) == ("given to canary nodes", False)
    for name, value in overrides_of(space.settings).items():
        monkeypatch.setenv(f"FEDERATED_LEARNING_{name.upper()}", str(value))
    said = CliRunner().invoke(app, ["cycle", "--date", str(DAY), "--if-new"]).output
    assert "1 given to canary nodes" in said
    assert "awaiting approval" not in said


def test_the_sensor_asks_once_for_the_day_of_an_approved_decision(folder):
    space, clock = space_in(folder, "stage"), Clock(DAY)
    assert sensed(space) == []
    one = decided(space)
    answer(space.updates, one.decision.decision_id, yes=True, by="ann", reason="fine", clock=clock)
    (request,) = sensed(space)
    assert (request.partition_key, one.decision.decision_id in request.run_key) == (str(DAY), True)
    carried_out(space, clock)
    assert sensed(space) == []


def overrides_of(settings: FederatedLearningConfig) -> dict[str, Any]:
    names = (
        "data_path",
        "telemetry_path",
        "error_records_path",
        "playbook_path",
        "update_policy_path",
        "min_events",
        "apply",
    )
    return {name: getattr(settings, name) for name in names}


def test_the_command_line_answers_and_lists(folder, monkeypatch):
    space = space_in(folder, "stage")
    one = decided(space)
    for name, value in overrides_of(space.settings).items():
        monkeypatch.setenv(f"FEDERATED_LEARNING_{name.upper()}", str(value))
    runner = CliRunner()
    approved = runner.invoke(app, ["approve", one.decision.decision_id[:6], "--reason", "tried on staging"])
    assert (approved.exit_code, "approved" in approved.output) == (0, True)
    listed = json.loads(runner.invoke(app, ["updates", "--json"]).output)
    assert [(row["decision_id"], row["status"], row["reason"]) for row in listed["updates"]] == [
        (one.decision.decision_id, "approved", "tried on staging")
    ]
    assert re.search(r"agent\.toml#\S+ \d+ → \d+", runner.invoke(app, ["updates"]).output)
    rejected = runner.invoke(app, ["reject", one.decision.decision_id, "--reason", "not yet"])
    assert (rejected.exit_code, "rejected" in rejected.output) == (0, True)
    refused = runner.invoke(app, ["rollback", one.decision.decision_id, "--reason", "never ran"])
    assert (type(refused.exception).__name__, "cannot be rolled_back" in str(refused.exception)) == (
        "RefusedChangeError",
        True,
    )


def test_an_update_that_its_outcome_took_back_is_a_warning(folder, instance):
    space, clock, row = started(folder)
    last = days_pass(space, clock, row, 4, failures=25)
    space.warehouse.replace_records("update_outcomes", last, judge_day(space.updates, last, clock=clock))
    (said,) = ask(updates_stand, instance, last, last, **space.settings.model_dump())
    assert (said.passed, said.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert said.description == (
        "expected no update rolled back; found: 1 rolled back by their measured outcome, 0 for a "
        "person to look at"
    )
    assert said.metadata["updates"].records[0].data["decision_id"] == row["decision_id"]
    (before,) = ask(updates_stand, instance, DAY, DAY, **space.settings.model_dump())
    assert before.passed


def test_a_change_that_cannot_be_taken_back_is_an_error_for_a_person(folder, instance):
    space, clock, row = started(folder)
    last = days_pass(space, clock, row, 1, failures=1)
    open_releases(space.updates, clock).promote(row["decision_id"], reason="better")
    state = space.settings.data_path / "configs"
    receipt = next((state / "apply").glob("*.json"))
    (state / "journal.json").write_bytes(receipt.read_bytes())
    (folder / "agents" / "agent.toml").write_text("nobody = 'wrote this'\n")
    (said,) = ask(updates_stand, instance, last, last, **space.settings.model_dump())
    assert (said.passed, said.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "1 for a person to look at" in said.description
    assert "needs a person" in said.metadata["updates"].records[0].data["reason"]
