"""The demo: two weeks of a simulated fleet, with a cycle per day, approvals and trials.

What goes here: running the days, and printing what happened. What does not: the fleet (`simulator/demo.py`).
Cycles, approvals, releases and verdicts are the product's own.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from fl_assets.cli.application import CommandError, app, day_option
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.clock import held_at, yesterday

STATE_FILE = "demo.json"
OPERATOR = "demo"
_NODES_TAKE, _CYCLE_RUNS = time(0, 30, tzinfo=UTC), time(0, 15, tzinfo=UTC)


@app.command()
def demo(end: Annotated[date | None, day_option("Last day; default: yesterday, UTC.")] = None) -> None:
    """Simulate two weeks of a fleet, learning daily.

    Its nodes run what releases tell them, a person approves changes, and trials end as they are measured.
    Nothing is done where there is telemetry.

    Example: fl-assets demo
    """
    from fl_assets.cli.console import say, status
    from fl_assets.cli.story import show_story
    from fl_assets.updates.rollout import open_releases
    from fl_assets.workspace import Workspace

    config = FederatedLearningConfig.from_env()
    if isinstance(config.telemetry_path, str):
        raise CommandError(
            f"demo: {config.telemetry_path} is a bucket; name a folder as the place of telemetry"
        )
    state, telemetry = config.data_path / STATE_FILE, config.telemetry_folder
    if not state.exists() and any(path.is_file() for path in telemetry.rglob("*")):
        say(f"telemetry: {telemetry} has files already; nothing simulated")
        return
    with status("simulating a fleet", as_lines=True) as progress:
        run = DemoRun(config, end or yesterday(), progress)
        run.live()
    plan, truth = run.fleet.plan, telemetry.parent / "truth.json"
    say(
        f"telemetry: simulated {run.fleet.truth().events:,} events of {len(plan.nodes)} nodes over "
        f"{len(plan.days)} days to {plan.days[-1]} in {telemetry}; what was planted, broken lines too, is in "
        f"{truth}"
    )
    space = Workspace(config)
    examples = space.warehouse.read_day("pattern_examples", plan.days[-1])
    show_story(
        open_releases(space.updates).events(),
        space.warehouse.read_day("failure_patterns", plan.days[-1]),
        messages={
            row["family_id"]: row["message"]
            for row in sorted(examples, key=lambda row: -row["rank"])  # the first one of each family stays
            if not row["succeeded"]
        },
        cycles=space.warehouse.rows(_CYCLES),
    )


_CYCLES = """
    select event_date as day, status, start_time as begun, end_time as ended
    from learning_cycles order by start_time, event_date"""


class DemoRun:
    """The days of the demo, in order; an interrupted run is continued."""

    def __init__(self, config: FederatedLearningConfig, end: date, progress: Callable[[str], None]) -> None:
        """Begin, or continue the run whose state is in the data folder."""
        from fl_assets.simulator.demo import Demo, DemoFleet

        self._demo, self._progress, self._path = Demo.load(), progress, config.data_path / STATE_FILE
        content = json.loads(self._path.read_bytes()) if self._path.exists() else {}
        self._written: list[dict[str, Any]] = content.get("nodes_ran", [])
        self._learned: int = content.get("days_learned", 0)
        self._end = date.fromisoformat(content.get("end", str(end)))
        self.fleet = DemoFleet(self._demo, self._end)
        agents = config.data_path / "agents"
        self.config = config.model_copy(
            update={
                "apply": "stage",
                "update_policy_path": agents / "policy.yaml",
                "canary_share": self._demo.canary_share,
                "max_canary_days": self._demo.max_canary_days,
            }
        )
        if not content:
            agents.mkdir(parents=True, exist_ok=True)
            for name, text in (("agent.toml", self._demo.agents), ("policy.yaml", self._demo.policy)):
                if not (agents / name).exists():
                    (agents / name).write_text(text, encoding="utf-8")
            self._save()

    def live(self) -> None:
        """Run the remaining days: telemetry, the cycle, a person's answers."""
        self.config.telemetry_folder.mkdir(parents=True, exist_ok=True)
        for index, values in enumerate(self._written):
            self.fleet.write_day(index, values, None)
        days = self.fleet.plan.days
        for index in range(self._learned, len(days)):
            if index >= len(self._written):
                values = self._values_of_nodes(days[index])
                self.fleet.write_day(index, values, self.config.telemetry_folder)
                self._written.append(values)
                self._save()
            self._progress(f"{100 * index // len(days)}%: learning from {days[index]}")
            with held_at(datetime.combine(days[index] + timedelta(days=1), _CYCLE_RUNS)):
                self._learn(index, days[index])
            self._learned = index + 1
            self._save()

    def _learn(self, index: int, day: date) -> None:
        from fl_assets.coordinator import CycleFailedError, InsufficientData

        try:
            self._coordinator.run_learning_cycle(day)
        except CycleFailedError as error:
            raise CommandError(f"{error}; run it again to go on with this day") from error
        except InsufficientData:
            return
        if index + 1 >= self._demo.first_approval_after_days:
            self._approve(index, day)

    @cached_property
    def _coordinator(self) -> Any:
        from fl_assets.coordinator import FederatedLearningCoordinator, open_home

        return FederatedLearningCoordinator(self.config, instance=open_home(self.config))

    def _approve(self, index: int, day: date) -> None:
        """Approve, as a person would, the next change to try, once no other is on trial."""
        from fl_assets.updates.answers import answer, code_for
        from fl_assets.updates.history import keys_of
        from fl_assets.updates.rollout import open_releases

        space = self._coordinator.workspace
        rollouts = open_releases(space.updates).rollouts().values()
        if any(one.is_running for one in rollouts):
            return
        tried = {key for one in rollouts for key in keys_of(one.update.target)}
        waiting = [row for row in space.warehouse.read_day("update_decisions", day) if row["route"] == "wait"]
        for approval in self._demo.approvals:
            wanted = [row for row in waiting if approval.key in keys_of(row["target"])]
            if not wanted and not tried and index < self._demo.patience_days:
                return
            if approval.key in tried or not wanted:
                continue
            identity = wanted[0]["decision_id"]
            code = code_for(space.updates, identity)
            answer(space.updates, identity, yes=True, by=OPERATOR, reason=approval.reason, codes=[code])
            self._coordinator.apply_updates(day)
            return

    def _values_of_nodes(self, day: date) -> dict[str, dict[str, Any]]:
        """Let every node take the day's release, as `fl-assets take-release` does; return its values."""
        from fl_assets.infra.keys import TrustedKeys
        from fl_assets.updates.node_side import take_release

        releases, memories = self.config.data_path / "releases", self.config.data_path / "demo-nodes"
        release = releases / f"{self.config.channel}.json"
        if not release.exists():
            return {}
        memories.mkdir(exist_ok=True)
        key = release.with_suffix(".pub").read_bytes()
        (memories / "coordinator.pem").write_bytes(key)
        trusted, now = TrustedKeys(memories), datetime.combine(day, _NODES_TAKE)
        found = {}
        for node in self.fleet.plan.nodes:
            memory = memories / f"{node}.json"
            taken = take_release(release, memory, trusted, channel=self.config.channel, now=now)
            if values := taken.for_node(node):
                found[node] = {name: json.loads(text) for name, text in values.items()}
        return found

    def _save(self) -> None:
        from fl_assets.infra.disk import write_atomically

        content = {"end": str(self._end), "days_learned": self._learned, "nodes_ran": self._written}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(content, indent=1).encode())
        if self._written:
            truth: Path = self.config.telemetry_folder.parent / "truth.json"
            write_atomically(truth, self.fleet.truth().to_json())
