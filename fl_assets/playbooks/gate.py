"""What stands between a day and a decision: the rules of `rules.py`, asked and remembered.

What goes here: reading what rules need, asking each once per content, remembering. What does not: the rules.

A verdict is stored with a hash of what was read. Whoever asks again gets it as long as the hash is the same:
the checks, the steps of later assets, decisions, roll-out, the cycle's result. A damaged file changes no
manifest, so `ask_again` looks whatever is stored; the checks of input rules do that.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from fl_assets.core.cycles import Window
from fl_assets.core.models import CycleStatus, Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import TABLES
from fl_assets.events.days import EVENT_TABLES, EventDays
from fl_assets.events.quarantine import lost_events
from fl_assets.infra.lake import Lake
from fl_assets.infra.warehouse import Warehouse, in_batches
from fl_assets.playbooks import rules
from fl_assets.playbooks.rules import DayInput, GateRule, PlaybookInput, by_playbook, stopping
from fl_assets.playbooks.store import PlaybookStore
from fl_assets.sums.recount import Recount

SUMS_TABLES = ("failure_signatures", "call_totals", "conversation_signals")


@dataclass(frozen=True)
class Verdict:
    """What one rule found on one day."""

    rule: str
    violations: tuple[Violation, ...] = ()
    stopping: tuple[Violation, ...] = ()
    """Those that stop the day; the others hold a playbook."""
    inputs: str = ""
    """Hash of what was read."""


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
        """Store verdicts of days in place of those on the same rules, all at once."""
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


class Gate:
    """Asks the rules about days.

    Args:
        settings: Limits of the rules.
        lake: Events and their manifests.
        warehouse: Sums, playbooks and verdicts.
        days: Windows of days. It asks back whether a day is usable, so it is given as a call.
        playbooks: Playbooks of each day.
        recount: Counts the evidence of a day's patterns in a window.
    """

    def __init__(
        self,
        settings: FederatedLearningConfig,
        lake: Lake,
        warehouse: Warehouse,
        days: Callable[[], EventDays],
        playbooks: PlaybookStore,
        recount: Callable[[date, Sequence[date]], Recount],
    ) -> None:
        self._settings = settings
        self._lake = lake
        self._warehouse = warehouse
        self._days = days
        self._playbooks = playbooks
        self._recount = recount
        self._verdicts = VerdictStore(warehouse)

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
        """Return those of `days` that keep every input rule.

        The ones that a run of that day alone would analyse.
        """
        return [day for day in days if not self._stopped_by_input(day)]

    def ready_days(self, days: Iterable[date]) -> list[date]:
        """Return those of `days` that keep every rule, of inputs and of playbooks.

        The ones that may be decided on.
        """
        return [day for day in days if not self.stopping(day)]

    def stopping(self, day: date) -> list[Violation]:
        """Return all that stops a day.

        What is wrong with its data, or, where nothing is, with its playbooks.
        """
        with self._warehouse.session():
            return self._stopped_by_input(day) or [
                one for verdict in self.verdicts(day) for one in verdict.stopping
            ]

    def status(self, day: date) -> tuple[CycleStatus, list[Violation]]:
        """Return how a cycle of the day ends as far as the rules say, and what stops it."""
        broken = self.stopping(day)
        status_of = {rule.name: rule.status for rule in (*rules.INPUT_RULES, *rules.GATE)}
        return (status_of[broken[0].rule], broken) if broken else ("completed", [])

    def broken(self, day: date) -> dict[str, list[Violation]]:
        """Return what each playbook of a day breaks, by improvement id.

        One that breaks nothing has no entry.
        """
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
        """Return a rule's verdict on each day, as a check of it reports it.

        An input rule looks again whatever is stored.
        """
        if rule in rules.INPUT_RULES:
            found = {day: self._judge_input(rule, day) for day in days}
            self._verdicts.add({day: [verdict] for day, verdict in found.items()})
            return found
        return {day: one for day in days for one in self.verdicts(day) if one.rule == rule.name}

    def kept(self, rule: GateRule[Any], day: date) -> str:
        """Return what a rule looked at on a day that keeps it, in words and numbers."""
        if rule in rules.INPUT_RULES:
            return rule.kept(self._day_input(day))
        return rule.kept(PlaybookInput(self._playbooks.of(day), self._settings))

    def _stopped_by_input(self, day: date) -> list[Violation]:
        with self._warehouse.session():
            return [one for rule in rules.INPUT_RULES for one in self._of_input(rule, day).stopping]

    def _input_verdict(self, rule: GateRule[DayInput], day: date) -> Verdict:
        """Return what is stored of an input rule on a day, or judge it where that is no longer true."""
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
            self._settings,
            self._days().events_on(day),
            lost_events(self._lake.manifest("quarantined_events", day)),
            lambda: self._window(day),
            lambda: [broken for table in EVENT_TABLES for broken in self._lake.verify(table, day)],
            lambda: [
                broken
                for table in SUMS_TABLES
                for broken in self._warehouse.verify(table, self._window(day).days)
            ],
        )

    def _judge_playbooks(self, day: date, inputs: str) -> list[Verdict]:
        playbooks = self._playbooks.of(day)
        counted: list[Recount] = []

        def recount() -> Recount:
            if not counted:
                counted.append(self._recount(day, self._window(day).days))
            return counted[0]

        given = PlaybookInput(playbooks, self._settings, recount)
        found = (
            [(rule, rule.find(given)) for rule in rules.GATE]
            if playbooks
            else [(rule, []) for rule in rules.GATE]
        )
        return [
            Verdict(rule.name, tuple(broken), tuple(stopping(rule, broken, playbooks)), inputs)
            for rule, broken in found
        ]

    def _window(self, day: date) -> Window:
        return self._days().window(day)

    def _day_inputs(self, rule: GateRule[DayInput], day: date) -> str:
        """Hash what an input rule reads.

        The contents of its days, their files' sizes and times, and the limits.
        """
        days = [day] if rule.is_of_day_alone else list(self._window(day).days)
        read = [repr(sorted(rule.limits(self._settings).items()))]
        for each in days:
            quarantined = self._lake.manifest("quarantined_events", each)
            read += [str(each), self._lake.content_of(each), str(lost_events(quarantined))]
            if rule.is_of_day_alone:
                files = [path for table in EVENT_TABLES for path in self._lake.files(table, [each])]
                read += [repr(_stamp(path)) for path in files]
            else:
                read += [repr(self._warehouse.manifest(table, each)) for table in SUMS_TABLES]
        return _hash(read)

    def _playbook_inputs(self, day: date) -> str:
        """Hash what GATE reads.

        Playbooks, members of patterns, sums and events of the window, rules and limits.
        """
        read = [f"{rule.name} {sorted(rule.limits(self._settings).items())}" for rule in rules.GATE]
        read += [repr(self._warehouse.manifest(table, day)) for table in ("playbooks", "pattern_members")]
        for each in self._window(day).days:
            read += [self._lake.content_of(each)]
            read += [repr(self._warehouse.manifest(table, each)) for table in SUMS_TABLES]
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
    broken = [
        (
            Violation(rule=rule, subject=row["subject"], expected=row["expected"], actual=row["actual"]),
            row["stops_day"],
        )
        for row in rows
        if row["position"]
    ]
    return Verdict(
        rule,
        tuple(one for one, _ in broken),
        tuple(one for one, stops_day in broken if stops_day),
        rows[0]["inputs"],
    )
