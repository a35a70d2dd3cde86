"""The report asset: one page per cycle, and its alerts.

What goes here: the wiring of `report/`. What does not: the words of the page and of alerts.
"""

import dagster as dg

from fl_assets.core.cycles import mode_of
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.metadata import file_asset, numbers
from fl_assets.defs.per_day import report_day, sound_days
from fl_assets.defs.resources import WorkspaceResource
from fl_assets.events.redaction.errors import without_secrets
from fl_assets.infra.clock import now_utc
from fl_assets.report.alert_text import alerts_of
from fl_assets.report.alerts import AlertError, send_new, sent_file_in
from fl_assets.report.build import build_report
from fl_assets.report.in_markdown import report_in_markdown
from fl_assets.report.page import write_report
from fl_assets.report.records import Report

GROUP = "report"
# A blocking check on `playbooks` stops all that depends on it, and a gated day needs its report most. So the
# report depends on the patterns alone, and its low priority makes it run after playbooks and decisions.
LAST = {"dagster/priority": "-1"}


@dg.asset(deps=[failure_patterns], op_tags=LAST, **file_asset(GROUP, {"html", "python"}))
@without_secrets
def cycle_report(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> None:
    """What a cycle found, as one self-contained HTML page and as JSON; made for a gated day, too."""
    space = workspace.open()
    for day in sound_days(context, space):
        report = build_report(space.report.rows(day))
        page, twin = write_report(space.settings.reports_path, report)
        notify(context, space.settings, report)
        sums = {
            "patterns": len(report.patterns),
            "playbooks_ready": len(report.actionable),
            "playbooks_held": len(report.held),
        }
        sums |= {"decisions": len(report.decisions), "silent_nodes": len(report.quality.silent)}
        # Sentences of the summary may name a node, so they are text and not markdown.
        shown = {
            "summary": " ".join(report.summary).replace("`", ""),
            "to_read": dg.MetadataValue.md(report_in_markdown(report)),
            "page": dg.MetadataValue.path(page.resolve()),
            "json": dg.MetadataValue.path(twin.resolve()),
        }
        report_day(context, day, "cycle_report", len(report.patterns), {**shown, **numbers(sums)})


def notify(context: dg.AssetExecutionContext, settings: FederatedLearningConfig, report: Report) -> None:
    """Send the alerts of a live day; a failure to send them is only a warning."""
    if mode_of(report.day, today=now_utc().date()) != "live":
        return
    try:
        sent = send_new(settings.alert_webhook, sent_file_in(settings.data_path), alerts_of(report))
    except AlertError as error:
        context.log.warning(str(error))
    else:
        context.log.info(
            f"{len(sent)} alerts sent"
            if settings.alert_webhook
            else "no alerts: FEDERATED_LEARNING_ALERT_WEBHOOK is not set"
        )
