"""Small SVG charts as metadata values.

What goes here: drawing. What does not: the rows that are drawn, pages (`report/page.py`).

A chart is an image of a data URI, in which no script runs. It has its own light background, in the UI's dark
theme, too. Text from telemetry is drawn as it stands, and is never in the markdown around a chart.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import dagster as dg

from fl_assets.report.words import visible

Row = Mapping[str, Any]
Point = tuple[float, float]

INK, SOFT, LINE, GROUND = "#17202a", "#55606e", "#d5dbe2", "#fbfcfd"
VOLUME, FAILED, ACCENT, BAR = "#b9c6dc", "#b3261e", "#2f5bd0", "#8fa3bf"
WIDTH = 820
"""Pixels: the width of the UI's dialog."""
HEAD = 40
"""Pixels above what is drawn, for the title."""
TOP = 12
MAX_NODES = 40
MAX_BYTES = 200_000
_NO_XML = str.maketrans({"\ufffe": "□", "\uffff": "□"})


def volume_by_hour(hours: Sequence[Row]) -> dg.MetadataValue | None:
    """Return calls and failure rate by hour of a day; None without calls.

    Each has `hour`, `calls` and `failures`; hours without calls are left out.
    """
    if not hours:
        return None
    left, base, high, slot = 65, 235, 180, 28.75
    shares = [100 * row["failures"] / row["calls"] for row in hours]
    calls, failed = _ticks(max(row["calls"] for row in hours)), _ticks(max(shares))
    places = [left + slot * (row["hour"] + 0.5) for row in hours]
    drawn = []
    for row, x in zip(hours, places, strict=True):
        height = high * row["calls"] / calls[-1]
        drawn.append(_tag("rect", x=x - 11.5, y=base - height, width=23, height=height, fill=VOLUME))
    points = [(x, base - high * share / failed[-1]) for x, share in zip(places, shares, strict=True)]
    drawn += [_line(points, FAILED, 2), *(_dot(point, 2.5, FAILED) for point in points)]
    for ticks, x, anchor, ink in ((calls, left - 8, "end", SOFT), (failed, WIDTH - 57, "start", FAILED)):
        drawn += [_text(x, base - high * tick / ticks[-1], f"{tick:,.10g}", ink, anchor) for tick in ticks]
    drawn += [
        _text(left + slot * (hour + 0.5), base + 14, str(hour), SOFT, "middle") for hour in range(0, 24, 3)
    ]
    drawn += [
        _line([(left, base - high), (left, base), (WIDTH - 65, base), (WIDTH - 65, base - high)], LINE),
        _text(left - 8, base - high - 18, "calls", SOFT, "end"),
        _text(WIDTH - 57, base - high - 18, "failed, %", FAILED),
        _text(WIDTH / 2, base + 34, "hour of the day, UTC", SOFT, "middle"),
        _title("Calls (bars) and share that failed (line)"),
    ]
    return _picture(290, drawn, "calls and failure rate by hour")


def pattern_trends(patterns: Sequence[Row]) -> dg.MetadataValue | None:
    """Return the most frequent patterns with bars for their last 14 days; None when nothing fails."""
    shown = _most_frequent(patterns)
    if not shown:
        return None
    drawn = [_title("Most frequent patterns: failures of the last 14 days, of this window, and nodes")]
    for place, row in enumerate(shown):
        base = HEAD + 30 * place + 26
        last, most = len(row["series"]) - 1, max(*row["series"], 1)
        for day, count in enumerate(row["series"]):
            height, ink = 22 * count / most, ACCENT if day == last else BAR
            if count:
                x = 541 + 8.2 * day
                drawn.append(_tag("rect", x=x, y=base - height, width=6.4, height=height, fill=ink))
        ink = FAILED if row["state"] in ("new", "rising", "regressed") else SOFT
        share = f"{row['failures']:,}  ·  {row['nodes_affected']} of {row['nodes_reporting']} nodes"
        drawn += [
            _line([(538, base), (544 + 8.2 * (last + 1), base)], LINE),
            _tag("svg", _text(8, 13, _words(row["template"], 62)), y=base - 22, width=440, height=26),
            _text(525, base - 9, row["state"], ink, "end"),
            _text(668, base - 9, share),
        ]
    return _picture(HEAD + 30 * len(shown) + 8, drawn, "most frequent patterns with their last 14 days")


def nodes_by_patterns(counts: Sequence[Row], patterns: Sequence[Row]) -> dg.MetadataValue | None:
    """Return a heat map of the most frequent patterns over nodes; None when nothing fails.

    `counts` has `pattern_id`, `node_id` and `failures` of the window.
    """
    shown = _most_frequent(patterns)
    places = {row["pattern_id"]: place for place, row in enumerate(shown)}
    by_node: dict[str, int] = {}
    cells: dict[tuple[int, str], int] = {}
    for row in counts:
        if row["pattern_id"] in places and row["failures"]:
            node, cell = row["node_id"], (places[row["pattern_id"]], row["node_id"])
            by_node[node] = by_node.get(node, 0) + row["failures"]
            cells[cell] = cells.get(cell, 0) + row["failures"]
    loudest = sorted(by_node, key=lambda node: (-by_node[node], node))[:MAX_NODES]
    if not loudest:
        return None
    left, high = 340, 28
    wide = (WIDTH - left - 10) / len(loudest)
    nodes = {node: left + wide * column for column, node in enumerate(sorted(loudest))}
    most = max(count for (_, node), count in cells.items() if node in nodes)
    end = HEAD + high * len(shown)
    drawn = []
    for (place, node), count in sorted(cells.items()):
        if node not in nodes:
            continue
        # The square root keeps a single loud node from fading all others.
        depth, x, y = math.sqrt(count / most), nodes[node], HEAD + high * place
        drawn.append(
            _tag("rect", x=x, y=y, width=wide, height=high, fill=ACCENT, fill_opacity=f"{depth:.2f}")
        )
        if len(nodes) <= 20:
            ink = "white" if depth > 0.6 else INK
            drawn.append(_text(x + wide / 2, y + high / 2, f"{count}", ink, "middle"))
    for row, y in zip(shown, range(HEAD + high // 2, end, high), strict=True):
        name = _text(left - 8, 13, _words(row["template"], 46), SOFT, "end")
        drawn.append(_tag("svg", name, y=y - 13, width=left, height=26))
    for node, x in nodes.items():
        turned = f"rotate(-60 {x + wide / 2:.1f} {end + 10})"
        drawn.append(_text(x + wide / 2, end + 10, _words(node, 18), SOFT, "end", transform=turned))
    more = (
        f" (the {MAX_NODES} with most failures, of {len(by_node)} nodes)" if len(by_node) > MAX_NODES else ""
    )
    drawn.append(_title(f"Failures by pattern and node{more}"))
    return _picture(end + 110, drawn, "failures by pattern and node")


def reliability_diagram(bins: Sequence[Row], threshold: float) -> dg.MetadataValue | None:
    """Return observed over predicted shares; None without predictions.

    `bins` are rows of confidence_calibration.
    """
    filled = [row for row in bins if row["predictions"]]
    if not filled:
        return None
    left, base, side = 65, 375, 320

    def at(predicted: float, observed: float) -> Point:
        return left + side * predicted, base - side * observed

    most = max(row["predictions"] for row in filled)
    x = at(threshold, 0)[0]
    drawn = [
        _line([at(0, 1), at(0, 0), at(1, 0)], LINE),
        _line([at(0, 0), at(1, 1)], SOFT, stroke_dasharray="4"),
        _line([at(threshold, 0), at(threshold, 1)], FAILED),
        _text(x - 8, base - 6, "threshold", FAILED, transform=f"rotate(-90 {x - 8:.1f} {base - 6})"),
    ]
    for row in filled:
        x, y = at(row["predicted"], row["observed"])
        drawn.append(_dot((x, y), 3 + 8 * math.sqrt(row["predictions"] / most), ACCENT, fill_opacity=0.75))
        drawn.append(_text(x, y + 18, str(row["predictions"]), SOFT, "middle"))
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        (x, _), (_, y) = at(share, 0), at(0, share)
        drawn += [
            _text(x, base + 14, f"{share:g}", SOFT, "middle"),
            _text(left - 8, y, f"{share:g}", SOFT, "end"),
        ]
    drawn += [
        _text(left + side / 2, base + 34, "confidence", SOFT, "middle"),
        _title("Share that came true the next day; dashed: perfectly calibrated"),
    ]
    return _picture(430, drawn, "reliability diagram: what came true over what was believed", width=520)


def before_and_after(outcomes: Sequence[Row]) -> dg.MetadataValue | None:
    """Return a plot of rates before and since an update, on canary nodes and others; None without trials.

    `outcomes` are rows of update_outcomes.
    """
    rates = ("canary_rate_before", "canary_rate", "control_rate_before", "control_rate")
    known = [row for row in outcomes if all(row[name] is not None for name in rates)]
    shown = sorted(known, key=lambda row: row["decision_id"])[:TOP]
    if not shown:
        return None
    left, right = 260, 610
    ticks = _ticks(100 * max(row[name] for row in shown for name in rates))
    end = HEAD + 50 * len(shown)

    def at(rate: float) -> float:
        return left + (right - left) * 100 * rate / ticks[-1]

    drawn = [_line([(left, HEAD), (left, end), (right, end)], LINE)]
    for place, row in enumerate(shown):
        y = HEAD + 50 * place + 25
        for lift, kind, ink in ((-7, "canary", ACCENT), (7, "control", BAR)):
            before, since = at(row[f"{kind}_rate_before"]), at(row[f"{kind}_rate"])
            drawn += [
                _line([(before, y + lift), (since, y + lift)], ink, 3),
                _dot((before, y + lift), 3.5, GROUND, stroke=ink),
                _dot((since, y + lift), 4, ink),
            ]
        effect = "" if row["effect"] is None else f", effect {row['effect']:.2f}"
        ink = FAILED if row["verdict"] == "worse" else INK
        name = _words(f"{row['remedy_id']} ({row['category']})", 38)
        drawn += [
            _text(right + 10, y, f"{row['verdict']}{effect}", ink),
            _text(left - 8, y, name, SOFT, "end"),
        ]
    drawn += [
        _text(left + (right - left) * tick / ticks[-1], end + 14, f"{tick:.10g}", SOFT, "middle")
        for tick in ticks
    ]
    drawn += [
        _text(
            (left + right) / 2,
            end + 34,
            "failures, % of calls: before (open) and since (filled)",
            SOFT,
            "middle",
        ),
        _text(right + 10, HEAD - 20, "canary nodes", ACCENT),
        _text(right + 110, HEAD - 20, "other nodes", BAR),
        _title("What updates did"),
    ]
    return _picture(
        end + 55, drawn, "failure rate before and after updates, on canary nodes and on the others"
    )


def _most_frequent(patterns: Sequence[Row]) -> list[Row]:
    failing = (row for row in patterns if row["failures"])
    return sorted(failing, key=lambda row: (-row["failures"], row["pattern_id"]))[:TOP]


def pictures(**drawn: dg.MetadataValue | None) -> dict[str, dg.MetadataValue]:
    """Return the pictures that are not None, by name."""
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _ticks(most: float) -> list[float]:
    """Return at most six round numbers from 0 to one that is not below `most`."""
    unit = 10 ** math.floor(math.log10(most)) if most > 0 else 1
    step = next(unit * part for part in (0.2, 0.5, 1, 2) if 5 * unit * part >= most)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)] if most > 0 else [0, step]


def _tag(name: str, content: str = "", **given: Any) -> str:
    """Return an element of a picture; `content` is written already."""
    attributes = "".join(
        f' {key.replace("_", "-")}="{round(value, 1) if isinstance(value, float) else value}"'
        for key, value in given.items()
    )
    return f"<{name}{attributes}>{content}</{name}>"


def _text(x: float, y: float, text: str, ink: str = INK, anchor: str = "start", **given: Any) -> str:
    """Return a text beside or around a point, in the middle of its height."""
    return _tag("text", escape(text), x=x, y=y + 4, fill=ink, text_anchor=anchor, **given)


def _title(text: str) -> str:
    return _text(10, 14, text, font_size=14)


def _line(points: Iterable[Point], ink: str, width: float = 1, **given: Any) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return _tag("polyline", points=path, fill="none", stroke=ink, stroke_width=width, **given)


def _dot(point: Point, radius: float, ink: str, **given: Any) -> str:
    return _tag("circle", cx=point[0], cy=point[1], r=radius, fill=ink, **given)


def _picture(height: int, drawn: Iterable[str], alt: str, *, width: int = WIDTH) -> dg.MetadataValue | None:
    """Return a picture as markdown with the image in it, None if too large; `alt` is never telemetry."""
    ground = _tag("rect", width=width, height=height, fill=GROUND)
    picture = _tag(
        "svg", ground + "".join(drawn), xmlns="http://www.w3.org/2000/svg", width=width, height=height,
        font_family="sans-serif", font_size=12,
    )  # fmt: skip
    encoded = base64.b64encode(picture.encode()).decode()
    if len(encoded) > MAX_BYTES:
        return None
    return dg.MetadataValue.md(f"![{alt}](data:image/svg+xml;base64,{encoded})")


def _words(text: str, limit: int) -> str:
    """Return a text on one line, cut to `limit`, with a box for each character that XML has not."""
    line = " ".join(visible(text, limit).split())
    return line.encode(errors="replace").decode().translate(_NO_XML)
