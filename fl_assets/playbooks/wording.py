"""The sentences of playbooks, from numbers, enumerated words, and names that pass `safe_name`.

What does not go here: which of them a playbook needs (`propose.py`). No error text, message or value of a
call is read here; a `format` contrast shows a shape of letters and digits.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from fl_assets.core.data import read_data
from fl_assets.core.models import Consequence
from fl_assets.playbooks.facts import TRANSIENT, Facts, number_of, safe_name

_WORDS: dict[str, dict[str, str]] = read_data(Path(__file__).with_suffix(".yaml"))
SHOWN, TYPE_WORDS = _WORDS["signals"], _WORDS["types"]
ANY_SERVICE, ANY_METHOD, A_NAME = "a service", "a method", "a name that is not shown"
"""Words in place of names that `safe_name` refuses."""
MAX_SUSPECTS, MAX_NODES_NAMED, MAX_ARGUMENTS, MAX_TOOLS = 3, 3, 12, 4
MAX_SPREAD = 10
"""Upper end of an interval over its lower one, above which only the lower end is said."""
_FLAG = re.compile(r"-{1,2}[A-Za-z][A-Za-z-]{0,30}", re.ASCII)
_SHAPE = re.compile(r"[Aa9#_./ :-]{1,32}", re.ASCII)
"""A shape as `patterns/calls.py` writes it: A, a and 9 stand for letters and digits."""
_MEASURE = re.compile(r"-?[0-9.e+]{1,24}|first|2 to 5|6 to 20|after 20", re.ASCII)


def is_flag(name: str) -> bool:
    """Whether a name is a command's option, such as `-i` or `--all`."""
    return _FLAG.fullmatch(name) is not None and bool(safe_name(name.lstrip("-"), ""))


def named(name: str, otherwise: str = A_NAME) -> str:
    """Return a name in backticks, when it may be shown."""
    return f"`{name}`" if safe_name(name, "") or is_flag(name) else otherwise


def percent(share: float) -> str:
    """Return a share as a percentage of three digits."""
    return f"{100 * share:.3g} %"


def _whole_percent(share: float) -> str:
    """Return a share as a whole percentage; what is rare is not said to be none, nor what is common all."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def fields_of(facts: Facts) -> dict[str, str]:
    """Return the fields of a remedy's texts."""

    def milliseconds(value: float | None) -> str:
        return "unknown" if value is None else f"{value:,.0f} ms"

    return {
        "class": facts.failure_class.replace("_", " "),
        "state": facts.state,
        "service": _first_of(facts.services, ANY_SERVICE),
        "method": _first_of(facts.methods, ANY_METHOD),
        "failures": f"{facts.failures:,}",
        "calls": f"{facts.calls:,}",
        "rate": percent(facts.failure_rate),
        "lift": "unknown" if facts.lift is None else f"{facts.lift:.1f}",
        "nodes_affected": f"{facts.nodes_affected:,}",
        "nodes_reporting": f"{facts.nodes_reporting:,}",
        "window_days": f"{facts.window_days:,}",
        "p50_ms": milliseconds(facts.p50_ms),
        "p95_ms": milliseconds(facts.p95_ms),
        "p99_ms": "about " * facts.is_p99_estimated + milliseconds(facts.p99_ms),
        "failure_p50_ms": milliseconds(facts.failure_p50_ms),
        "arguments": _arguments(facts),
        "lookup": _with(_lookup(facts), "the tool that reads it"),
        "search": _with(facts.search, "the tool that lists what is available"),
        "profile": _with(facts.profile, "the tool that reads the user's account"),
        "dependency": named(facts.dependency, "what it depends on"),
        "caller": named(facts.caller, "what calls it"),
        "most_from": f"Most come from {named(facts.caller)}." if safe_name(facts.caller, "") else "",
        "callee": named(facts.callee, "its dependencies"),
        "exceptions": _exceptions(facts),
        "exception_habits": _habits(facts),
        "raised": _raised(facts),
        "argument": named(facts.argument) if safe_name(facts.argument, "") else "every required argument",
        "stated_limit": f"{facts.stated_limit:,.0f} {facts.stated_unit}" if facts.stated_limit else "unknown",
        "limit_per_node": _per_node(facts),
        "stated_unit": facts.stated_unit.replace(" ", "_"),
        "stated_wait": milliseconds(facts.stated_wait_ms),
    }


def _per_node(facts: Facts) -> str:
    """Return a node's share of nine tenths of a limit that all nodes share."""
    if not facts.stated_limit:
        return "unknown"
    return f"{0.9 * facts.stated_limit / max(1, facts.nodes_reporting):,.3g} {facts.stated_unit}"


_MIN_SHARE, _MAX_HABITS = 0.05, 4
_MIN_READ, _MOST_READ = 3, 0.7
"""Failed sessions from which it is said how many had read first, and the share that is most of them."""


def _exceptions(facts: Facts) -> str:
    """Name the types of exception with their shares."""
    usual = [one for one in facts.exceptions if one[1] >= _MIN_SHARE and safe_name(one[0], "")]
    shown = [f"{named(name)} ({100 * share:.0f} %)" for name, share in usual]
    return f"mostly {', '.join(shown[:_MAX_HABITS])}" if shown else "of several types"


def _raised(facts: Facts) -> str:
    """Say how many exceptions a script raised itself: the others may be what it was written to show."""
    if not facts.traces:
        return ""
    itself = f"{facts.raised_by_itself:,} of {facts.traces:,} with a trace were raised in the script itself"
    if facts.raised_by_itself == facts.traces:
        return f"{itself}."
    return (
        f"{itself}; the others in code that it calls: those may be the error that it was written to show, or "
        "a change that is not done."
    )


def _habits(facts: Facts) -> str:
    """Say how to avoid the most frequent types of exception."""
    known = _WORDS["habits"]
    usual = [name for name, share in facts.exceptions if share >= _MIN_SHARE][:_MAX_HABITS]
    habits = [habit for name, habit in known.items() if name in usual] or [known["AttributeError"]]
    return f"{'; '.join(habits)}."


_OWNED = re.compile(r"\b(?:payment|card|balance|wallet|account|profile|user|customer|member)\b")
_OFFERED = re.compile(r"\b(?:flight|seat|room|table|ticket|available|availability|in stock)\b")


def _lookup(facts: Facts) -> str:
    """Return the reading call to name: by the failure's words, else the most frequent one."""
    for about, tool in ((_OWNED, facts.profile), (_OFFERED, facts.search)):
        if tool and tool not in facts.methods and about.search(facts.words):
            return tool
    return facts.lookup


def reading_text(facts: Facts, change: str) -> str:
    """Say whether sessions that failed had called the reading tool that a change names.

    Where most had, to call it is no cure: it is what it returned that was not kept to.
    """
    said = [one for one in facts.read_before if f"`{one[0]}`" in change and one[0] not in facts.methods]
    if not said or said[0][2] < _MIN_READ:
        return ""
    name, read, failed = said[0]
    if read >= _MOST_READ * failed:
        of = "All" if read == failed else f"{read:,} of"
        return (
            f"{of} {failed:,} sessions that failed had called {named(name)} before: calling it is not "
            "enough, what it returned has to be kept to."
        )
    return f"{failed - read:,} of {failed:,} sessions that failed had not called {named(name)} before."


def _with(tool: str, otherwise: str) -> str:
    return f"with {named(tool, otherwise)}"


def tools_of(facts: Facts) -> str:
    """Return the methods for a prompt, as `a`, `b` or `c`."""
    shown = [named(name) for name in facts.methods if safe_name(name, "")][:MAX_TOOLS]
    if not shown:
        return ANY_METHOD
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _arguments(facts: Facts) -> str:
    """Say which arguments a method takes, from its successful calls."""
    shown = [(name, kind) for name, kind in facts.arguments if safe_name(name, "")][:MAX_ARGUMENTS]
    always, maybe = [], []
    for name, kind in shown:
        text = f"{named(name)} ({TYPE_WORDS.get(kind.removesuffix('?'), 'value')})"
        (maybe if kind.endswith("?") else always).append(text)
    if not always:
        return "must be called with the arguments of its description"
    return f"takes {', '.join(always)}" + (f" and, when needed, {', '.join(maybe)}" if maybe else "")


def _first_of(names: Sequence[str], otherwise: str) -> str:
    """Name the two with most failures, and count the rest."""
    if not names or not safe_name(names[0], ""):
        return otherwise
    shown = [f"`{name}`" for name in names[:2] if safe_name(name, "")]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    parts = [*shown, *more]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def headline(facts: Facts, nodes: Sequence[str], since: str) -> str:
    """Say what fails, where and since when, in one sentence."""
    things = "conversations" if facts.kind == "conversation" else "calls"
    days = "1 day" if facts.window_days == 1 else f"{facts.window_days} days"
    shown = [named(node) for node in nodes if safe_name(node, "")][:MAX_NODES_NAMED]
    more = facts.nodes_affected - len(shown)
    where = f" ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})" if shown else ""
    fields = fields_of(facts)
    of = f"of {fields['method']} in {fields['service']}"
    alone = ", all in one session" if facts.sessions == 1 < facts.failures and facts.is_agent else ""
    failed = f"failed ({fields['class']})"
    if facts.kind == "conversation":
        of, failed, alone = f"with {fields['service']}", f"show {SHOWN[facts.failure_class]}", ""
    return (
        f"{facts.failures:,} of {facts.calls:,} {things} {of} {failed} in {days}{alone}, "
        f"on {facts.nodes_affected:,} of {facts.nodes_reporting:,} "
        f"node{'' if facts.nodes_reporting == 1 else 's'}{where}, since {since}."
    )


def _day_of(time: Any) -> date | None:
    return None if pd.isna(time) else time.date()


def consequence_of(known: Mapping[str, Any], facts: Facts, first_seen: datetime | None = None) -> Consequence:
    """Return what the failures cost, in numbers and in one sentence of those that are known.

    What was `first_seen` before the window has failed before, and is no episode.
    """
    began, first = _day_of(known.get("began")), _day_of(first_seen)
    if began and first and first < began:
        known = {**known, "began": None, "ended": None}
    number = partial(number_of, known)
    looked = number("failures") or 0.0
    scale = facts.failures / looked if looked else 0.0

    def daily(name: str, unit: float = 1.0) -> float | None:
        value = number(name)
        return None if value is None else value * scale / unit / facts.window_days

    cost = Consequence(
        text="",
        failures_per_day=facts.failures / facts.window_days,
        is_over=bool(pd.notna(known.get("began")) and pd.notna(known.get("ended"))),
        recovered_rate=number("recovered_rate"),
        calls_to_recover=number("calls_to_recover"),
        seconds_per_day=daily("time_ms", 1000),
        tokens_per_day=daily("tokens"),
        cost_per_day=daily("cost"),
        **_bad_ends(known),
    )
    sentences = (
        _recovery_text(cost, facts, looked=bool(looked), retried=bool(number("retried"))),
        _loop_text(facts),
        _episode(known),
        f"It cost {facts.failures:,} failed requests in all." if cost.is_over else _daily_text(cost, facts),
        _bad_ends_text(cost),
    )
    return cost.model_copy(update={"text": " ".join(filter(None, sentences))})


def _recovery_text(cost: Consequence, facts: Facts, *, looked: bool, retried: bool) -> str:
    rate, calls = cost.recovered_rate, cost.calls_to_recover
    if rate == 0 and retried:
        return "In no session did the same method work soon after."
    if rate == 0 and looked and facts.is_agent:  # one request to a service is no session
        return "No session tried the same method again soon."
    if rate and looked:
        later = f", {_calls(calls)}" if calls else ""
        return f"A retry soon worked in {_whole_percent(rate)} of cases{later}."
    return ""


def _loop_text(facts: Facts) -> str:
    if not facts.looped or facts.failure_class in TRANSIENT:
        return ""
    sessions = "1 session" if facts.looped == 1 else f"{facts.looped:,} sessions"
    return f"In {sessions} the identical call was sent three times or more and never worked."


def _daily_text(cost: Consequence, facts: Facts) -> str:
    verb, thing = ("touches", "conversation") if facts.kind == "conversation" else ("costs", "failed request")
    seconds, tokens, money = cost.seconds_per_day, cost.tokens_per_day, cost.cost_per_day
    count = f"{cost.failures_per_day:,.0f}"
    losses = [
        f"less than one {thing}"
        if cost.failures_per_day < 1
        else f"{count} {thing}{'' if count == '1' else 's'}",
        _duration(seconds) if seconds and seconds >= 1 else "",
        f"{tokens:,.0f} tokens" if tokens else "",
        f"{money:,.2f} in money" if money else "",
    ]
    return f"It {verb} {', '.join(filter(None, losses))} a day."


def _bad_ends(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that compare how sessions end with the failures and without; none if not measured."""
    number = partial(number_of, known)
    measure = str(known.get("end_measure") or "")
    risk = {name: number(name) for name in ("risk_ratio", "risk_low", "risk_high")}
    if risk["risk_ratio"] is None or not measure:
        return {"risk_ratio": risk["risk_ratio"]}

    def rate(bad: str, ends: str) -> float | None:
        of = number(ends)
        return (number(bad) or 0.0) / of if of else None

    return {
        "end_measure": measure,
        "bad_end_rate": rate("bad_ends", "ends"),
        "bad_end_rate_without": rate("bad_ends_without", "ends_without"),
        **risk,
    }


def _bad_ends_text(cost: Consequence) -> str:
    bad, without, low, high = cost.bad_end_rate, cost.bad_end_rate_without, cost.risk_low, cost.risk_high
    if cost.risk_ratio is None or bad is None or without is None or (low or 0) <= 1:
        return ""
    how = "are judged bad" if cost.end_measure == "judged" else "end with a failed call"
    times = _times_as_often(cost.risk_ratio, low, high)
    return (
        f"Sessions that hit it {how} {_whole_percent(bad)} of the time, others {_whole_percent(without)} "
        f"({times})."
    )


def _times_as_often(ratio: float, low: float | None, high: float | None) -> str:
    """Say a ratio of rates; by its least value where few cases leave it open."""
    low, high = low or 0.0, high or math.inf
    if high > MAX_SPREAD * low:
        return f"at least {low:.1f} times as often, by the 95 % interval"
    return f"{ratio:.1f} times as often, 95 % interval {low:.1f} to {high:.1f}"


def _episode(known: Mapping[str, Any]) -> str:
    """Say when it began and ended, when it all came in a short part of the window."""
    began, ended = known.get("began"), known.get("ended")
    if began is None or pd.isna(began):
        return ""
    if ended is None or pd.isna(ended):
        return f"All of it came after {began:%d %B %H:%M} UTC, up to the end of the telemetry."
    until = f"{ended:%H:%M}" if began.date() == ended.date() else f"{ended:%d %B %H:%M}"
    return f"All of it came between {began:%d %B %H:%M} and {until} UTC, and none since."


def _calls(number: float) -> str:
    return "usually the next call" if number < 1.5 else f"{number:.1f} calls later on average"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def contrast_text(row: Mapping[str, Any]) -> str:
    """Say what is different about the calls that fail."""
    what, without = _trait(row), row["rate_without"]
    times = _times_as_often(row["lift"], row["lift_low"], row["lift_high"] if without else None)
    others = f"others {f'in {percent(without)}' if without else 'never'} ({times})"
    return (
        f"Calls {what} fail in {percent(row['rate_with'])}, {others}: {row['failed_with']:,.0f} of "
        f"{row['failed']:,.0f} first failures of a session, on {row['nodes']:,.0f} "
        f"node{'' if row['nodes'] == 1 else 's'}."
    )


def shown_value(row: Mapping[str, Any]) -> str:
    """Return a value that may be shown: a bound, a shape of letters and digits, or a plain name."""
    value, kind = str(row["value"]), row["kind"]
    if kind in ("number", "items", "length", "hour", "place"):
        return value if _MEASURE.fullmatch(value) else "a number"
    if kind == "format":
        return f"`{value}`" if _SHAPE.fullmatch(value) else "another form"
    if kind == "type":
        return TYPE_WORDS.get(value, "another type")
    return named(value, "a value that is not shown")


def _trait(row: Mapping[str, Any]) -> str:
    kind, relation, raw, value = row["kind"], row["relation"], str(row["name"]), shown_value(row)
    start = int(value) if kind == "hour" and value.isdigit() else 0
    names = {"name": named(raw), "raw": raw, "relation": relation, "value": value}
    keys = (f"{kind} {raw} {relation}", f"{kind} {relation}", kind)
    said = next(_WORDS["traits"][key] for key in keys if key in _WORDS["traits"])
    return said.format(**names, start=start, end=start + 6)


def cure_text(row: Mapping[str, Any]) -> str:
    """Say what worked, with what happened without it."""
    name = named(str(row["name"]))
    value = shown_value({"kind": row["subject"], "value": row["value"]})
    if row["source"] == "instead":
        return (
            f"After {row['helped']:,.0f} of {row['tried']:,.0f} failures the session went on with {name}, "
            f"which succeeded (after {percent(row['base_rate'])} of the successes it is called too); "
            f"{row['sessions']:,.0f} sessions on {row['nodes']:,.0f} nodes."
        )
    found = _WORDS["cures"].get(f"{row['subject']} {row['change']}")
    what = found.format(name=name, raw=row["name"]) if found else None
    if what is None:
        takes_value = row["change"] in ("changed to", "set to", "other than")
        what = f"with {name} {row['change']}{f' {value}' if takes_value else ''}"
    kind = "second attempts" if row["source"] == "retry" else "calls"
    return (
        f"{row['helped']:,.0f} of {row['tried']:,.0f} {kind} {what} succeeded ({percent(row['help_rate'])}), "
        f"without it {percent(row['base_rate'])} of {row['tried_without']:,.0f}; {row['sessions']:,.0f} "
        f"sessions on {row['nodes']:,.0f} nodes."
    )


def evidence(facts: Facts) -> str:
    """Say which evidence a playbook has."""
    things = "conversations" if facts.kind == "conversation" else "calls"
    suspects = [named(name) for name in facts.suspects if safe_name(name, "")][:MAX_SUSPECTS]
    suspected = f" Error records suspect {' and '.join(suspects)}." if suspects else ""
    silent = facts.nodes_expected - facts.nodes_reporting
    missing = f"; {silent:,} of {facts.nodes_expected:,} nodes are silent" if silent > 0 else ""
    interval = f"95 % interval {percent(facts.rate_low)} to {percent(facts.rate_high)}"
    return (
        f"Evidence: {percent(facts.failure_rate)} of the {things}, {interval}{missing}; "
        f"{_WORDS['states'][facts.state]}.{suspected}"
    )
