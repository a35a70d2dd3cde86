"""Formats that are recognised only to be refused, with a reason that names them.

What goes here: files that a fleet may well drop into the cache and that hold no calls we could count. What
does not: anything that has rows.
"""

import re
from collections.abc import Iterator
from functools import partial

from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Format, Lines, ReadOptions, RefusedLine


def _refuse(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS, *, detail: str) -> Iterator[RefusedLine]:
    del lines, options  # nothing of it is read
    yield RefusedLine(0, "unsupported_format", detail, 0)


def _format(name: str, description: str, pattern: bytes, why: str) -> Format:
    regex = re.compile(pattern)
    return Format(
        name,
        description,
        lambda _, head: regex.search(head) is not None,
        partial(_refuse, detail=f"{name}: {why}"),
    )


FORMATS = (
    _format(
        "otlp_metrics",
        "OTLP/JSON metrics: refused, they hold sums and no calls.",
        rb'(?<!\\)"resource_?[mM]etrics"\s*:\s*\[',
        "OTLP metrics hold sums, not calls; send traces",
    ),
    _format(
        "swe_agent_traj",
        "SWE-agent trajectories (.traj): refused, their steps have no times.",
        rb'(?<!\\)"trajectory"\s*:\s*\[\s*(?:\{\s*"(?:action|observation|response|state|thought)"\s*:|\])',
        "the steps of a SWE-agent trajectory have no times, so they belong to no day; "
        "trace the agent with OpenTelemetry instead",
    ),
)
