"""Reports as files: a self-contained HTML page, and the same content as JSON.

What goes here: rendering and writing. What does not: the content (`report/build.py`), its rows
(`report/rows.py`).

Layout: `<data>/reports/<YYYY-MM-DD>.html` and `.json`. jinja2 escapes everything in the page; its content
security policy allows only its own style and script, by their hashes, and loads nothing.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fl_assets.infra.disk import write_atomically
from fl_assets.report.records import Bin, DecisionLine, Headline, PatternLine, Report
from fl_assets.report.words import apart_of, counted, rule, what_to_do

MARKS = {
    "first_seen": "● ",
    "new": "● ",
    "rising": "▲ ",
    "falling": "▼ ",
    "known": "■ ",
    "resolved": "✓ ",
    "regressed": "↺ ",
    "silent": "○ ",
    "quiet": "◐ ",
}
"""A mark beside each word, so that colour is not the only sign."""
URGENCY = {"regressed": 0, "new": 1, "rising": 2, "known": 3, "first_seen": 3, "falling": 4, "resolved": 5}
STATUS = {
    "insufficient_data": "too few events",
    "none": "no change",
    "hold": "held",
    "widened": "extended to half of the nodes",
}
MAX_CARDS = 3
"""Playbooks that are shown before "more" is pressed."""
MAX_NODES_NAMED = 12
"""Nodes that the evidence of a pattern names; the others are found by search."""
MAX_PATTERNS, MAX_LISTED = 600, 100
"""Patterns that the page lists, beside those that it links to, and entries of each other list; its twin has
all, and a day of a hundred thousand patterns still makes a page below 2 MB."""
INDEX = "index.html"
_DAY_PAGE = re.compile(r"(\d{4}-\d{2}-\d{2})\.html")


def report_paths(folder: Path, day: date) -> tuple[Path, Path]:
    """Return the paths of a day's page and its JSON twin in the folder of reports."""
    return folder / f"{day}.html", folder / f"{day}.json"


def write_report(folder: Path, report: Report) -> tuple[Path, Path]:
    """Write the page, its JSON twin and the index, each atomically; the same report gives the same bytes."""
    page, twin = report_paths(folder, report.day)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(page, render_page(report))
    write_atomically(twin, render_json(report))
    write_atomically(folder / INDEX, render_index(path.name for path in folder.iterdir()))
    return page, twin


def render_index(names: Iterable[str]) -> bytes:
    """Return the index page, which links to each day's page, latest first."""
    days = sorted((found[1] for name in names if (found := _DAY_PAGE.fullmatch(name))), reverse=True)
    style = (files("fl_assets.report") / "templates" / "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("index.html.j2")
    return template.render(
        days=[date.fromisoformat(day) for day in days], style=Markup(style), style_hash=_hash(style)
    ).encode()


def render_json(report: Report) -> bytes:
    """Return the report as indented JSON."""
    return orjson.dumps(
        report.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def render_page(report: Report) -> bytes:
    """Return the report as one HTML page."""
    environment = _environment()
    templates = files("fl_assets.report") / "templates"
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    patterns = listed_patterns(report)
    page = environment.get_template("report.html.j2").render(
        report=report,
        patterns=patterns,
        by_id={one.pattern_id: one for one in patterns},
        most=MAX_LISTED,
        shown=MAX_CARDS,
        named=MAX_NODES_NAMED,
        ready={one.improvement_id for one in report.actionable[:MAX_LISTED]},
        decided_in_words=counted(Counter(one.outcome for one in report.decisions)),
        failing_states=Counter(one.state for one in patterns if one.failures),
        marks=MARKS,
        outcomes={one.improvement_id: one for one in report.decisions},
        became=apart_of(report),
        urgency=URGENCY,
        # Our own files, not telemetry; the policy allows exactly these bytes.
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return page.encode()


def listed_patterns(report: Report) -> list[PatternLine]:
    """Return the patterns of most failures, and those that another list of the page links to."""
    lists = (
        report.actionable,
        *(some for _, some in report.apart),
        report.held,
        report.incidents,
        report.outcomes,
        report.moved,
    )
    linked = {one.pattern_id for some in lists for one in some[:MAX_LISTED]}
    return [
        one for place, one in enumerate(report.patterns) if place < MAX_PATTERNS or one.pattern_id in linked
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fl_assets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "changes": changes,
        "count": lambda number: f"{number:,.0f}",
        "delta": delta,
        "interval": interval,
        "long_day": lambda day: f"{day:%A}, {day.day} {day:%B %Y}",
        "maybe": lambda value: "–" if value is None else share(value),
        "reliability": reliability,
        "rule": rule,
        "share": share,
        "short": short,
        "slope": slope,
        "spark": spark,
        "ticks": ticks,
        "value": lambda one: (
            "–" if one.value is None else share(one.value) if one.unit == "share" else f"{one.value:,.0f}"
        ),
        "few": few,
        "is_web": lambda link: link.startswith(("https://", "http://")),
        "what_to_do": what_to_do,
        "words": words,
    }
    return environment


def words(name: str) -> str:
    """Return an enumerated name in words."""
    return STATUS.get(name, name.replace("_", " "))


def ticks(text: str) -> Markup:
    """Return a text with the parts between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def changes(one: DecisionLine) -> list[tuple[str, str, str]]:
    """Return what a decision would change as name, present value and proposed value."""
    wanted, present = _values(one.to_value), _values(one.from_value)
    return [(name, present.get(name, ""), value) for name, value in wanted.items()]


def _values(text: str) -> dict[str, str]:
    try:
        found = orjson.loads(text) if text.startswith("{") else None
    except orjson.JSONDecodeError:  # one long value is shown cut
        found = None
    if isinstance(found, dict):
        return {str(name): str(value) for name, value in found.items()}
    return {"": text} if text else {}


def share(value: float) -> str:
    """Return a share as a percentage with the digits that matter: `0.4 %`, `12 %`."""
    percent = value * 100
    if percent == 0 or percent >= 10:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.1 else "< 0.1 %"


def few(number: float) -> str:
    """Return a number with a decimal where it is small: `0.4`, `12`."""
    return f"{number:,.1f}" if number < 10 else f"{number:,.0f}"


def short(value: float) -> str:
    """Return a number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def delta(one: Headline) -> dict[str, str] | None:
    """Return how a headline changed since the day before, as `text` and `mood`; None without one to compare.

    The mood is good, bad, or, unless the change is significant, neutral.
    """
    if one.value is None or one.before is None:
        return None
    change = one.value - one.before
    before, now = (share(each) if one.unit == "share" else f"{each:,.0f}" for each in (one.before, one.value))
    is_same_percent = one.unit == "share" and f"{one.before:.1%}" == f"{one.value:.1%}"
    if is_same_percent or abs(change) < (0.0005 if one.unit == "share" else 0.5):
        return {"text": "as the day before", "mood": "neutral"}
    mood = "neutral"
    if one.more_is != "neutral" and one.is_sure:
        mood = "good" if (change > 0) == (one.more_is == "good") else "bad"
    arrow = "▲ up" if change > 0 else "▼ down"
    if before == now:  # equal in the digits shown
        return {"text": f"{arrow} from {one.before:.1%} to {one.value:.1%}".replace("%", " %"), "mood": mood}
    return {"text": f"{arrow} from {before}", "mood": mood}


def slope(one: PatternLine) -> str:
    """Return the sort key of the trend column: mean of the last three days less that of the days before."""
    last, before = one.series[-3:], one.series[:-3]
    return short(sum(last) / max(1, len(last)) - sum(before) / max(1, len(before)))


def spark(series: Sequence[int], what: str = "failures") -> Markup:
    """Return a bar for each day, the last one marked, with the numbers as text for screen readers."""
    if not series:
        return Markup("")
    top = max(*series, 1)
    bars = [
        f"M{4 + 7 * place} 28v-{max(2, round(number / top * 26))}" if number else ""
        for place, number in enumerate(series)
    ]
    label = f"{what} a day, oldest first: {' '.join(map(str, series))}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 28" role="img" aria-label="{}"><path d="{}"/><path d="{}"/></svg>'
    ).format(7 * len(series) + 1, label, "".join(bars[:-1]), bars[-1])


def interval(one: PatternLine) -> Markup:
    """Return a rate as a point on its 95 % interval, on a scale from 0 to 100 %."""
    low, high, at = (
        short(round(value * 112 + 4, 1)) for value in (one.rate_low, one.rate_high, one.failure_rate)
    )
    return Markup(
        '<svg class="range" viewBox="0 0 120 12" aria-hidden="true"><path d="M{} 6H{}"/><circle cx="{}" '
        'cy="6" r="4"/></svg>'
    ).format(low, high, at)


def reliability(bins: Sequence[Bin]) -> Markup:
    """Return the reliability diagram: observed over predicted shares, with the diagonal."""
    most = max(one.predictions for one in bins)
    dots = "".join(
        f'<circle class="dot" cx="{40 + one.predicted * 220:.1f}" cy="{230 - one.observed * 220:.1f}" '
        f'r="{3 + 7 * (one.predictions / most) ** 0.5:.1f}"/>'
        for one in bins
    )
    ticks = "".join(
        f'<text class="tick" x="{40 + at * 2.2:.0f}" y="246" text-anchor="middle">{at} %</text>'
        f'<text class="tick" x="34" y="{234 - at * 2.2:.0f}" text-anchor="end">{at} %</text>'
        for at in (0, 50, 100)
    )
    label = "; ".join(
        f"believed {share(one.predicted)}, came true {share(one.observed)} of {one.predictions}"
        for one in bins
    )
    return Markup(
        '<svg width="300" height="270" viewBox="0 0 300 270" role="img" aria-label="{}"><path '
        'class="axis" fill="none" d="M40 10V230H260"/>'
        '<path class="diagonal" d="M40 230L260 10"/>{}{}<text class="tick" x="150" y="264" '
        'text-anchor="middle">believed</text>'
        '<text class="tick" x="46" y="20">came true</text></svg>'
    ).format(label, Markup(dots), Markup(ticks))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
