"""The words by which `fl-assets patterns` finds a pattern."""

from typing import TYPE_CHECKING

from fl_assets.report.records import Report

if TYPE_CHECKING:
    from fl_assets.workspace import Workspace

_EXAMPLES = """
    select p.pattern_id, e.message from failure_patterns p
    join pattern_examples e on e.family_id = p.family_id and e.event_date = p.event_date
    where p.event_date = $day and not e.succeeded"""


def searchable(space: "Workspace", report: Report) -> dict[str, str]:
    """Return the lower-case words of each pattern of a report, by id.

    They are its text, class, state, places, nodes, and redacted examples, which have the numbers that the
    text masks.
    """
    found = {
        one.pattern_id: [
            one.pattern_id,
            one.template,
            one.failure_class,
            one.failure_class.replace("_", " "),
            one.kind,
            one.state,
            *one.services,
            *one.methods,
        ]
        for one in report.patterns
    }
    for row in space.report.failures_by_node(report.day):
        found.setdefault(row["pattern_id"], []).append(row["node_id"])
    for row in space.warehouse.rows(_EXAMPLES, {"day": report.day}):
        found.setdefault(row["pattern_id"], []).append(row["message"])
    return {name: "\n".join(map(str, words)).lower() for name, words in found.items()}
