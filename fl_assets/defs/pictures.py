"""Small PNG charts as metadata values.

What goes here: drawing. What does not: the rows that are drawn, pages (`report/page.py`).

Matplotlib is imported only when something is drawn, and only its Agg canvas, without pyplot's global state,
so that drawing works in any thread. Charts have their own light background, in the UI's dark theme, too. Text
from telemetry is drawn literally, not as mathematics, and is never in the markdown around a chart.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from fl_assets.report.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

INK, SOFT, LINE, GROUND = "#17202a", "#55606e", "#d5dbe2", "#fbfcfd"
VOLUME, FAILED, ACCENT, BAR = "#b9c6dc", "#b3261e", "#2f5bd0", "#8fa3bf"
WIDTH, DPI = 8.2, 100
"""Inches, and dots per inch: the width of the UI's dialog."""
TITLE: dict[str, Any] = {"loc": "left", "color": INK, "fontsize": 10.5}
LABEL: dict[str, Any] = {"va": "center", "fontsize": 8.5}
TOP = 12
MAX_NODES = 40
MAX_BYTES = 200_000


def volume_by_hour(hours: Sequence[Row]) -> dg.MetadataValue | None:
    """Return calls and failure rate by hour of a day; None without calls.

    Each has `hour`, `calls` and `failures`; hours without calls are left out.
    """
    if not hours:
        return None
    figure, axes = _figure(2.9)
    places = [row["hour"] for row in hours]
    axes.bar(places, [row["calls"] for row in hours], color=VOLUME, width=0.8)
    axes.set_ylabel("calls", color=SOFT)
    axes.set_xlabel("hour of the day, UTC", color=SOFT)
    axes.set_xlim(-0.6, 23.6)
    axes.set_xticks(range(0, 24, 3))
    rates = axes.twinx()
    shares = [100 * row["failures"] / row["calls"] for row in hours]
    rates.plot(places, shares, color=FAILED, marker="o", markersize=3.5, linewidth=1.6)
    rates.set_ylabel("failed, %", color=FAILED)
    rates.set_ylim(bottom=0)
    _plain(rates, "right")
    axes.set_title("Calls (bars) and share that failed (line)", **TITLE)
    return _picture(figure, "calls and failure rate by hour")


def pattern_trends(patterns: Sequence[Row]) -> dg.MetadataValue | None:
    """Return the most frequent patterns with bars for their last 14 days; None when nothing fails."""
    shown = _most_frequent(patterns)
    if not shown:
        return None
    figure, axes = _figure(0.45 + 0.3 * len(shown), left=0.1, bottom=0.05, right=0.1)
    for place, row in enumerate(shown):
        series = list(row["series"])
        top = max(*series, 1)
        base = len(shown) - 1 - place
        days, ends = [66 + day for day in range(len(series))], [base + 0.72 * count / top for count in series]
        axes.vlines(days, base, ends, colors=[BAR] * (len(series) - 1) + [ACCENT], linewidth=4.6)
        axes.plot([65.3, 65.7 + len(series)], [base, base], color=LINE, linewidth=0.8)
        axes.text(0, base + 0.3, _words(row["template"], 62), color=INK, **LABEL)
        colour = FAILED if row["state"] in ("new", "rising", "regressed") else SOFT
        axes.text(64, base + 0.3, row["state"], color=colour, ha="right", **LABEL)
        share = f"{row['failures']:,}  ·  {row['nodes_affected']} of {row['nodes_reporting']} nodes"
        axes.text(81, base + 0.3, share, color=INK, **LABEL)
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.15, len(shown))
    axes.set_axis_off()
    axes.set_title("Most frequent patterns: failures of the last 14 days, of this window, and nodes", **TITLE)
    return _picture(figure, "most frequent patterns with their last 14 days")


def nodes_by_patterns(counts: Sequence[Row], patterns: Sequence[Row]) -> dg.MetadataValue | None:
    """Return a heat map of the most frequent patterns over nodes; None when nothing fails.

    `counts` has `pattern_id`, `node_id` and `failures` of the window.
    """
    import numpy as np

    shown = _most_frequent(patterns)
    places = {row["pattern_id"]: place for place, row in enumerate(shown)}
    by_node: dict[str, int] = {}
    for row in counts:
        if row["pattern_id"] in places:
            by_node[row["node_id"]] = by_node.get(row["node_id"], 0) + row["failures"]
    loudest = sorted(by_node, key=lambda node: (-by_node[node], node))[:MAX_NODES]
    nodes = {node: column for column, node in enumerate(sorted(loudest))}
    if not nodes:
        return None
    cells = np.zeros((len(shown), len(nodes)))
    for row in counts:
        if row["pattern_id"] in places and row["node_id"] in nodes:
            cells[places[row["pattern_id"]], nodes[row["node_id"]]] += row["failures"]
    figure, axes = _figure(1.4 + 0.28 * len(shown), left=3.4, bottom=1.0, right=0.1)
    # The square root keeps a single loud node from fading all others.
    axes.imshow(np.sqrt(cells), aspect="auto", cmap="Blues", vmin=0)
    limit = np.sqrt(cells).max() * 0.6
    if len(nodes) <= 20:
        for (line, column), count in np.ndenumerate(cells):
            if count:
                colour = "white" if np.sqrt(count) > limit else INK
                axes.text(column, line, f"{count:.0f}", ha="center", va="center", fontsize=8, color=colour)
    turned: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(nodes)), [_words(node, 18) for node in nodes], fontsize=8, **turned)
    axes.set_yticks(range(len(shown)), [_words(row["template"], 46) for row in shown], fontsize=8)
    axes.tick_params(length=0)
    more = (
        f" (the {MAX_NODES} with most failures, of {len(by_node)} nodes)" if len(by_node) > MAX_NODES else ""
    )
    _corner_title(figure, f"Failures by pattern and node{more}")
    return _picture(figure, "failures by pattern and node")


def reliability_diagram(bins: Sequence[Row], threshold: float) -> dg.MetadataValue | None:
    """Return observed over predicted shares; None without predictions.

    `bins` are rows of confidence_calibration.
    """
    filled = [row for row in bins if row["predictions"]]
    if not filled:
        return None
    figure, axes = _figure(4.2, width=5.2, right=0.2)
    most = max(row["predictions"] for row in filled)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    axes.axvline(threshold, color=FAILED, linewidth=1)
    axes.text(threshold - 0.015, 0.03, "threshold", color=FAILED, fontsize=8, rotation=90, ha="right")
    sizes = [20 + 230 * row["predictions"] / most for row in filled]
    points = [(row["predicted"], row["observed"]) for row in filled]
    axes.scatter(*zip(*points, strict=True), s=sizes, color=ACCENT, alpha=0.75, zorder=3)
    beside: dict[str, Any] = {"xytext": (0, -14), "textcoords": "offset points", "ha": "center"}
    for row, point in zip(filled, points, strict=True):
        axes.annotate(str(row["predictions"]), point, fontsize=7.5, color=SOFT, **beside)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.08, 1.05)
    axes.set_xlabel("confidence", color=SOFT)
    axes.set_ylabel("share that came true the next day", color=SOFT)
    axes.set_title("Dashed line: perfectly calibrated", **TITLE)
    return _picture(figure, "reliability diagram: what came true over what was believed")


def before_and_after(outcomes: Sequence[Row]) -> dg.MetadataValue | None:
    """Return a plot of rates before and since an update, on canary nodes and others; None without trials.

    `outcomes` are rows of update_outcomes.
    """
    rates = ("canary_rate_before", "canary_rate", "control_rate_before", "control_rate")
    known = [row for row in outcomes if all(row[name] is not None for name in rates)]
    shown = sorted(known, key=lambda row: row["decision_id"])[:TOP]
    if not shown:
        return None
    figure, axes = _figure(1.15 + 0.5 * len(shown), left=2.6, right=2.1)
    for place, row in enumerate(reversed(shown)):
        for lift, kind, colour in ((0.14, "canary", ACCENT), (-0.14, "control", BAR)):
            before, since, at = 100 * row[f"{kind}_rate_before"], 100 * row[f"{kind}_rate"], place + lift
            name = ("canary nodes" if kind == "canary" else "other nodes") if not place else None
            axes.plot([before, since], [at, at], color=colour, linewidth=2.2, label=name)
            axes.plot([before], [at], marker="o", markersize=5, color=GROUND, markeredgecolor=colour)
            axes.plot([since], [at], marker="o", markersize=6, color=colour)
        effect = "" if row["effect"] is None else f", effect {row['effect']:.2f}"
        colour, across = FAILED if row["verdict"] == "worse" else INK, axes.get_yaxis_transform()
        axes.text(1.02, place, f"{row['verdict']}{effect}", transform=across, color=colour, **LABEL)
    names = [_words(f"{row['remedy_id']} ({row['category']})", 38) for row in reversed(shown)]
    axes.set_yticks(range(len(shown)), names, fontsize=8.5)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel("failures, % of calls: before (open) and since (filled)", color=SOFT)
    above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2}
    axes.legend(frameon=False, fontsize=8.5, labelcolor=SOFT, **above)
    _corner_title(figure, "What updates did")
    return _picture(figure, "failure rate before and after updates, on canary nodes and on the others")


def _corner_title(figure: "Figure", text: str) -> None:
    """Write a title at the left edge of a figure, whose axes begin further right."""
    figure.text(0.1 / WIDTH, 1 - 0.1 / figure.get_figheight(), text, va="top", color=INK, fontsize=10.5)


def _most_frequent(patterns: Sequence[Row]) -> list[Row]:
    failing = (row for row in patterns if row["failures"])
    return sorted(failing, key=lambda row: (-row["failures"], row["pattern_id"]))[:TOP]


def pictures(**drawn: dg.MetadataValue | None) -> dict[str, dg.MetadataValue]:
    """Return the pictures that are not None, by name."""
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _figure(
    height: float, *, width: float = WIDTH, left: float = 0.65, bottom: float = 0.55, right: float = 0.65
) -> tuple["Figure", "Axes"]:
    """Return a figure and its axes; all lengths in inches, with room for a title above."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + 0.4) / height),
        facecolor=GROUND,
    )
    _plain(axes, "left")
    return figure, axes


def _plain(axes: "Axes", side: str) -> None:
    for name, spine in axes.spines.items():
        spine.set_visible(name in (side, "bottom"))
        spine.set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=8.5)


def _picture(figure: "Figure", alt: str) -> dg.MetadataValue | None:
    """Return a figure as markdown with the image in it, None if too large; `alt` is never telemetry."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign in an error is a dollar sign
    for dpi in (DPI, DPI * 2 // 3):
        content = io.BytesIO()
        # Without metadata the same rows give the same bytes with any version of matplotlib.
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
        encoded = base64.b64encode(content.getvalue()).decode()
        if len(encoded) <= MAX_BYTES:
            return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{encoded})")
    return None


def _words(text: str, limit: int) -> str:
    """Return a text on one line, cut to `limit`, with characters that the font lacks as boxes."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    line = " ".join(visible(text, limit).split())
    return "".join(char if font.get_char_index(ord(char)) else "□" for char in line)
