"""Evaluating the rules of `rules.py` on days and playbooks, and storing the verdicts.

What goes here: reading the inputs of rules, evaluating each once per content, storing. What does not: the
rules.

A verdict is stored with a hash of its inputs, and reused while that is the same: by checks, later assets,
decisions, roll-out and the cycle's result. A damaged file changes no manifest, so the checks of input rules
always look again (`ask`).
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from fl_assets.core.cycles import Window
from fl_assets.core.models import CycleStatus, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import TABLES
from fl_assets.events.days import EVENT_TABLES, EventDays
from fl_assets.events.quarantine import lost_elsewhere, lost_events
from fl_assets.infra.lake import Lake
from fl_assets.infra.warehouse import Warehouse, in_batches
from fl_assets.playbooks import rules
from fl_assets.playbooks.rules import DayInput, GateRule, PlaybookInput, by_playbook, stopping
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.sums.recount import Recount, Recounter

SUMS_TABLES = ("failure_signatures", "call_totals", "conversation_signals")


@dataclass(frozen=True)
class Verdict:
    """What one rule found on one day."""

    rule: str
    violations: tuple[Violation, ...] = ()
    stopping: tuple[Violation, ...] = ()
    """Violations that stop the day; the others hold a playbook."""
    inputs: str = ""
    """Hash of the inputs."""


class VerdictStore:
    """Rows of `gate_verdicts`."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._known: dict[date, dict[str, Verdict]] = {}

    def of(self, day: date) -> dict[str, Verdict]:
        """Return the stored verdicts of a day, by rule."""
        self.read([day])
        return self._known[day]

    def read(self, days: Iterable[date]) -> None:
        """Read the stored verdicts of days at once."""
        missing = [day for day in days if day not in self._known]
        rows: dict[date, dict[str, list[dict[str, Any]]]] = {day: {} for day in missing}
        for row in self._warehouse.read_days("gate_verdicts", missing):
            rows[row["event_date"]].setdefault(row["rule"], []).append(row)
        for day, of_day in rows.items():
            self._known[day] = {rule: _verdict(rule, found) for rule, found in of_day.items()}

    def add(self, by_day: Mapping[date, Iterable[Verdict]]) -> None:
        """Store verdicts, replacing those of the same days and rules, in one transaction."""
        changed = []
        for day, verdicts in by_day.items():
            found, known = {one.rule: one for one in verdicts}, self.of(day)
            if any(known.get(rule) != one for rule, one in found.items()):
                self._known[day] = known | found
                changed.append(day)
        if changed:
            rows = {day: [row for one in self._known[day].values() for row in _rows(one)] for day in changed}
            table = TABLES["gate_verdicts"]
            self._warehouse.replace_days(
                table.name, {day: table.rows_of(day, found) for day, found in rows.items()}
            )


@dataclass(frozen=True)
class Gate:
    """Evaluates the rules on days."""

    settings: FederatedLearningConfig
    lake: Lake
    warehouse: Warehouse
    days: Callable[[], EventDays]
    """Gives the windows of days; a function, since these ask the gate which days are usable."""
    playbooks: PlaybookStore
    recounter: Recounter

    @cached_property
    def _verdicts(self) -> VerdictStore:
        return VerdictStore(self.warehouse)

    def is_usable(self, day: date) -> bool:
        """Whether a day's events may be summed and analysed: by the rules that look at the day alone."""
        return self.usable_days([day]) == [day]

    def usable_days(self, days: Iterable[date]) -> list[date]:
        """Return those of `days` whose events may be summed and analysed.

        A batch of days is read and stored at once, so that a file of events of a thousand days does not
        take a thousand transactions.
        """
        usable: list[date] = []
        for batch in in_batches(list(days)):
            self._verdicts.read(batch)
            verdicts = {
                day: [self._input_verdict(rule, day) for rule in rules.INPUT_RULES if rule.is_of_day_alone]
                for day in batch
            }
            self._verdicts.add(verdicts)
            usable += [day for day in batch if not any(one.stopping for one in verdicts[day])]
        return usable

    def sound_days(self, days: Iterable[date]) -> list[date]:
        """Return those of `days` that keep every input rule: a run of that day alone would analyse it."""
        return [day for day in days if not self._stopped_by_input(day)]

    def ready_days(self, days: Iterable[date]) -> list[date]:
        """Return those of `days` that keep every rule and may be decided on."""
        return [day for day in days if not self.stopping(day)]

    def stopping(self, day: date) -> list[Violation]:
        """Return the violations that stop a day: of its data, or else of its playbooks."""
        with self.warehouse.session():
            found = self._stopped_by_input(day)
            return found or [one for verdict in self.verdicts(day) for one in verdict.stopping]

    def status(self, day: date) -> tuple[CycleStatus, list[Violation]]:
        """Return how a cycle of the day ends as far as the rules say, and what stops it."""
        broken = self.stopping(day)
        status_of = {rule.name: rule.status for rule in (*rules.INPUT_RULES, *rules.GATE)}
        return (status_of[broken[0].rule], broken) if broken else ("completed", [])

    def broken(self, day: date) -> dict[str, list[Violation]]:
        """Return the violations of a day's playbooks by improvement id; those without any are left out."""
        return by_playbook([one for verdict in self.verdicts(day) for one in verdict.violations])

    def verdicts(self, day: date) -> list[Verdict]:
        """Return the verdicts of GATE on a day's playbooks, in its order."""
        inputs, known = self._playbook_inputs(day), self._verdicts.of(day)
        if all(rule.name in known and known[rule.name].inputs == inputs for rule in rules.GATE):
            return [known[rule.name] for rule in rules.GATE]
        found = self._judge_playbooks(day, inputs)
        self._verdicts.add({day: found})
        return found

    def ask(self, rule: GateRule[Any], days: Collection[date]) -> dict[date, Verdict]:
        """Return a rule's verdict on each day for its check; input rules are always evaluated again."""
        if rule in rules.INPUT_RULES:
            found = {day: self._judge_input(rule, day) for day in days}
            self._verdicts.add({day: [verdict] for day, verdict in found.items()})
            return found
        return {day: one for day in days for one in self.verdicts(day) if one.rule == rule.name}

    def kept(self, rule: GateRule[Any], day: date) -> str:
        """Describe what a rule looked at on a day that keeps it."""
        if rule in rules.INPUT_RULES:
            return rule.kept(self._day_input(day))
        return rule.kept(PlaybookInput(self.playbooks.of(day), self.settings))

    def _stopped_by_input(self, day: date) -> list[Violation]:
        with self.warehouse.session():
            return [one for rule in rules.INPUT_RULES for one in self._of_input(rule, day).stopping]

    def _input_verdict(self, rule: GateRule[DayInput], day: date) -> Verdict:
        """Return the stored verdict of an input rule, or evaluate the rule when its inputs have changed."""
        stored = self._verdicts.of(day).get(rule.name)
        if stored and stored.inputs == self._day_inputs(rule, day):
            return stored
        return self._judge_input(rule, day)

    def _of_input(self, rule: GateRule[DayInput], day: date) -> Verdict:
        found = self._input_verdict(rule, day)
        self._verdicts.add({day: [found]})
        return found

    def _judge_input(self, rule: GateRule[DayInput], day: date) -> Verdict:
        found = rule.find(self._day_input(day))
        return Verdict(rule.name, tuple(found), tuple(found), self._day_inputs(rule, day))

    def _day_input(self, day: date) -> DayInput:
        return DayInput(
            day,
            self.settings,
            self.days().events_on(day),
            lost_events(self.lake.manifest_or_damage("quarantined_events", day)),
            lambda: self._lost_elsewhere(day),
            lambda: self._window(day),
            lambda: [broken for table in EVENT_TABLES for broken in self.lake.verify(table, day)],
            lambda: [
                broken
                for table in SUMS_TABLES
                for broken in self.warehouse.verify(table, self._window(day).days)
            ],
        )

    def _lost_elsewhere(self, day: date) -> int:
        least = self.settings.min_nodes
        with self.recounter.engine.connect() as connection:
            return lost_elsewhere(connection, self.lake, day, worst=max(1, least - 1), others=max(2, least))

    def _judge_playbooks(self, day: date, inputs: str) -> list[Verdict]:
        playbooks = self.playbooks.of(day)
        counted: list[Recount] = []

        def recount() -> Recount:
            if not counted:
                counted.append(self.recounter.recount(day, self._window(day).days))
            return counted[0]

        given = PlaybookInput(playbooks, self.settings, recount)
        found = []
        for rule in rules.GATE:
            broken = rule.find(given) if playbooks else []
            stops = tuple(stopping(rule, broken, playbooks))
            found.append(Verdict(rule.name, tuple(broken), stops, inputs))
        return found

    def _window(self, day: date) -> Window:
        return self.days().window(day)

    def _day_inputs(self, rule: GateRule[DayInput], day: date) -> str:
        """Hash what an input rule reads: limits, contents of its days, and their files' sizes and times."""
        days = [day] if rule.is_of_day_alone else list(self._window(day).days)
        read = [repr(sorted(rule.limits(self.settings).items()))]
        for each in days:
            quarantined = self.lake.manifest_or_damage("quarantined_events", each)
            read += [str(each), self.lake.content_of(each), str(lost_events(quarantined))]
            if rule.is_of_day_alone:
                files = [path for table in EVENT_TABLES for path in self.lake.files(table, [each])]
                read += [repr(_stamp(path)) for path in files]
            else:
                read += [repr(self.warehouse.manifest(table, each)) for table in SUMS_TABLES]
        return _hash(read)

    def _playbook_inputs(self, day: date) -> str:
        """Hash what GATE reads: rules, limits, playbooks, members, and the window's sums and events."""
        read = [f"{rule.name} {sorted(rule.limits(self.settings).items())}" for rule in rules.GATE]
        read += [repr(self.warehouse.manifest(table, day)) for table in ("playbooks", "pattern_members")]
        for each in self._window(day).days:
            read += [self.lake.content_of(each)]
            read += [repr(self.warehouse.manifest(table, each)) for table in SUMS_TABLES]
        return _hash(read)


def _stamp(path: Any) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return path.name, -1, -1
    return path.name, stat.st_size, stat.st_mtime_ns


def _hash(read: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(read).encode()).hexdigest()[:32]


def _rows(verdict: Verdict) -> list[dict[str, Any]]:
    kept = [{"position": 0, "subject": "", "expected": "", "actual": "", "stops_day": False}]
    broken = [
        {
            "position": place,
            "subject": one.subject,
            "expected": one.expected,
            "actual": one.actual,
            "stops_day": one in verdict.stopping,
        }
        for place, one in enumerate(verdict.violations, start=1)
    ]
    return [row | {"rule": verdict.rule, "inputs": verdict.inputs} for row in broken or kept]


def _verdict(rule: str, rows: Sequence[dict[str, Any]]) -> Verdict:
    broken, stops = [], []
    for row in rows:
        if row["position"]:
            texts = {name: row[name] for name in ("subject", "expected", "actual")}
            broken.append(Violation(rule=rule, **texts))
            stops += broken[-1:] if row["stops_day"] else []
    return Verdict(rule, tuple(broken), tuple(stops), rows[0]["inputs"])
