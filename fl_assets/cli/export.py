"""`fl-assets export`: playbooks as issues (`report/issue_text.py`) or test cases (`report/case_files.py`)."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fl_assets.cli.application import CommandError, DateOption, app, report_of
from fl_assets.core.models import Playbook
from fl_assets.core.settings import FederatedLearningConfig


class ExportFormat(StrEnum):
    """Formats of exported files."""

    MARKDOWN = "markdown"
    JSONL = "jsonl"
    LANGFUSE = "langfuse"
    INSPECT = "inspect"
    PROMPTFOO = "promptfoo"


@app.command()
def export(
    playbook_id: Annotated[
        str | None,
        typer.Argument(
            metavar="PLAYBOOK_ID", help="Its first letters suffice; default: every playbook that is ready."
        ),
    ] = None,
    format_: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="An issue's text in Markdown, or failed calls with what worked beside them."
        ),
    ] = ExportFormat.MARKDOWN,
    out: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    most: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Cases of each failure.")] = 10,
    date_: DateOption = None,
) -> None:
    """Write a playbook as an issue or as test cases.

    Values that fewer nodes have than FEDERATED_LEARNING_MIN_NODES are left out of regression sets.

    Example: fl-assets export 3f2a --format promptfoo --out regressions.yaml
    """
    from fl_assets.infra.disk import write_atomically
    from fl_assets.report.case_files import written
    from fl_assets.report.words import apart_of

    space, content = report_of(date_)
    day = content.day
    found = space.playbooks.ranked(day)
    apart = apart_of(content)  # nobody is asked to do what is under way or was tried in vain
    chosen = [one for one in found if not one.held_because and one.improvement_id not in apart]
    if playbook_id:
        chosen = [one for one in found if one.improvement_id.startswith(playbook_id)]
    if not chosen:
        which = f"begins with {playbook_id!r}" if playbook_id else "is ready"
        raise CommandError(
            f"export: no playbook of {day} {which}; `fl-assets playbooks --date {day}` lists them"
        )
    if format_ is ExportFormat.MARKDOWN:
        text = _issues(chosen, space.settings)
    else:
        window, least = space.days.window(day), space.settings.min_nodes
        families = {one.advice.family_id for one in chosen}
        known = space.patterns.cases(day, window, min_nodes=least, most=most)
        cases = [one for one in known if one.family_id in families]
        if not cases:
            raise CommandError(
                f"export: no failed call of these playbooks has {least} nodes that may be named"
            )
        text = written(cases, format_.value, f"fleet-failures-{day}")
    if out is None:
        sys.stdout.write(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode(), mode=0o644)
    typer.echo(f"export: wrote {out}")


def _issues(playbooks: Sequence[Playbook], settings: FederatedLearningConfig) -> str:
    from fl_assets.infra.http import Deadline
    from fl_assets.report.issue_text import issue_text
    from fl_assets.report.written_text import DEADLINE_SECS, WriterError, text_by_model

    deadline, texts = Deadline(DEADLINE_SECS), []
    for one in playbooks:
        try:
            texts.append(issue_text(one, text_by_model(one, settings, deadline)))
        except WriterError as error:  # what a model writes is beside the point
            typer.echo(f"export: {one.improvement_id}: no text by a model, {error}", err=True)
            texts.append(issue_text(one))
    return "\n\n---\n\n".join(texts)
