"""What people are told of a cycle without asking, and in which words.

What goes here: which events are worth an alert, and the message. What does not: sending (`report/alerts.py`).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from fl_assets.core.models import Record
from fl_assets.report.records import Report
from fl_assets.report.words import visible

MAX_LISTED = 10
"""Lines of a kind in a message; the rest is counted."""
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
    """One event of one day.

    `kind` and `subject` identify it, so that a rerun of the day says nothing twice.
    """

    day: date
    kind: Kind
    subject: str
    text: str

    @property
    def key(self) -> str:
        """What identifies it within its day."""
        return f"{self.kind}:{self.subject}"


def alerts_of(report: Report) -> tuple[Alert, ...]:
    """Return what people should hear of a cycle; a first cycle has no news, only a state."""

    def alert(kind: Kind, subject: str, text: str) -> Alert:
        return Alert(day=report.day, kind=kind, subject=subject, text=text)

    found = []
    if report.status == "gated":
        nearest = report.held[0] if report.held and not report.actionable else None
        why = (
            f"Of {len(report.held)} playbooks the likeliest to persist, «{nearest.title}», has "
            f"{nearest.confidence:.0%}."
            if nearest
            else report.reason
        )
        found.append(alert("gated", "cycle", f"{why} Nothing was decided."))
    for one in report.patterns:
        if one.state == "regressed" and one.failures and one.is_significant:
            where = f"{one.nodes_affected} of {one.nodes_reporting} nodes"
            found.append(
                alert(
                    "regression",
                    one.pattern_id,
                    f"{visible(one.template, 160)}: {one.failures:,} failures on {where}",
                )
            )
    found += [alert("silent_node", node, node) for node in report.quality.silent]
    for one in report.outcomes:
        if one.action == "rolled_back":
            found.append(
                alert(
                    "rollback",
                    one.decision_id,
                    f"{one.category} update {one.decision_id} ({one.remedy_id}): {one.reason}",
                )
            )
    for one in report.actionable:
        if one.is_new and report.status != "gated":
            found.append(
                alert(
                    "new_playbook",
                    one.improvement_id,
                    f"{one.title}: {one.confidence:.0%} likely to persist, {one.evidence_count:,} "
                    f"failures on {one.nodes_affected} of {one.nodes_reporting} nodes",
                )
            )
    return tuple(found)


def failed_cycle(run_id: str, day: date, reason: str) -> Alert:
    """Return the alert of a run that ended with an error."""
    return Alert(day=day, kind="failed", subject=run_id, text=visible(reason, 300))


def slack_message(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return a message as a Slack-compatible webhook reads it.

    It has a `text` for notifications, and a block for each kind.

    Blocks are plain text, so nothing from telemetry becomes a link or a mention; in `text`, which Slack reads
    as mrkdwn, `&`, `<` and `>` are escaped (https://api.slack.com/reference/surfaces/formatting#escaping).
    """
    day = max(alert.day for alert in alerts)
    blocks = []
    for kind, title in TITLES.items():
        texts = [alert.text for alert in alerts if alert.kind == kind]
        if texts:
            more = [f"… and {len(texts) - MAX_LISTED} more"] if len(texts) > MAX_LISTED else []
            lines = "\n".join([title, *(f"• {text}" for text in texts[:MAX_LISTED]), *more])
            blocks.append(
                {
                    "type": "section",
                    "text": {"type": "plain_text", "text": visible(lines, MAX_CHARS), "emoji": False},
                }
            )
    counts = [
        f"{TITLES[kind].lower()} ({sum(alert.kind == kind for alert in alerts)})"
        for kind in TITLES
        if any(alert.kind == kind for alert in alerts)
    ]
    text = f"Fleet {day}: {'; '.join(counts)}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "blocks": blocks}
