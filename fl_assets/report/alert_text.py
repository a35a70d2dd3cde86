"""Alerts of a cycle: which events get one, and the message.

What does not go here: sending (`report/alerts.py`).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from fl_assets.core.models import Record
from fl_assets.report.records import Report
from fl_assets.report.words import visible

MAX_LISTED = 10
"""Lines of a kind in a message; further ones are counted."""
MAX_CHARS = 2900
"""Slack refuses a section above 3000 characters."""

TITLES = {
    "failed": "The learning cycle failed",
    "gated": "The gate stopped the learning cycle",
    "regression": "Failures that were gone are back",
    "silent_node": "Nodes that usually report are silent",
    "rollback": "Updates were rolled back",
    "new_playbook": "New playbooks may be acted on",
}
"""Kinds in order of urgency."""
Kind = Literal["failed", "gated", "regression", "silent_node", "rollback", "new_playbook"]


class Alert(Record):
    """One event of a day, identified by `kind` and `subject`, so that a rerun sends nothing twice."""

    day: date
    kind: Kind
    subject: str
    text: str

    @property
    def key(self) -> str:
        """Id within its day."""
        return f"{self.kind}:{self.subject}"


def alerts_of(report: Report) -> tuple[Alert, ...]:
    """Return the alerts of a cycle; the first cycle's state is no news."""
    found = []

    def alert(kind: Kind, subject: str, text: str) -> None:
        found.append(Alert(day=report.day, kind=kind, subject=subject, text=text))

    if report.status == "gated":
        alert("gated", "cycle", f"{_why_gated(report)} Nothing was decided.")
    for one in report.patterns:
        if one.state == "regressed" and one.failures and one.is_significant:
            where = f"{one.nodes_affected} of {one.nodes_reporting} nodes"
            text = f"{visible(one.template, 160)}: {one.failures:,} failures on {where}"
            alert("regression", one.pattern_id, text)
    for node in report.quality.silent:
        alert("silent_node", node, node)
    for one in report.outcomes:
        if one.action == "rolled_back":
            text = f"{one.category} update {one.decision_id} ({one.remedy_id}): {one.reason}"
            alert("rollback", one.decision_id, text)
    for one in report.actionable:
        if one.is_new and report.status != "gated":
            where = f"{one.nodes_affected} of {one.nodes_reporting} nodes"
            likely = f"{one.confidence:.0%} likely to continue"
            text = f"{one.title}: {likely}, {one.evidence_count:,} failures on {where}"
            alert("new_playbook", one.improvement_id, text)
    return tuple(found)


def _why_gated(report: Report) -> str:
    if report.actionable or not report.held:
        return report.reason
    first = report.held[0]
    others = f"Of {len(report.held)} playbooks the likeliest to continue, «{first.title}»,"
    return f"{others} has {first.confidence:.0%}."


def failed_cycle(run_id: str, day: date, reason: str) -> Alert:
    """Return the alert of a run that ended with an error."""
    return Alert(day=day, kind="failed", subject=run_id, text=visible(reason, 300))


def slack_message(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return a message for a Slack-compatible webhook: a `text` for notifications, and a block per kind.

    Blocks are plain text, so nothing from telemetry becomes a link or a mention; in `text`, which Slack reads
    as mrkdwn, `&`, `<` and `>` are escaped (https://api.slack.com/reference/surfaces/formatting#escaping).
    """
    day = max(alert.day for alert in alerts)
    blocks, counts = [], []
    for kind, title in TITLES.items():
        texts = [" ".join(alert.text.split()) for alert in alerts if alert.kind == kind]  # a line each
        if texts:
            more = [f"… and {len(texts) - MAX_LISTED} more"] if len(texts) > MAX_LISTED else []
            lines = "\n".join([title, *(f"• {text}" for text in texts[:MAX_LISTED]), *more])
            text = {"type": "plain_text", "text": visible(lines, MAX_CHARS), "emoji": False}
            blocks.append({"type": "section", "text": text})
            counts.append(f"{title.lower()} ({len(texts)})")
    text = f"Fleet {day}: {'; '.join(counts)}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "blocks": blocks}
