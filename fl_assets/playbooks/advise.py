"""The advice of a playbook: numbers, findings, examples and the benefit to expect.

What goes here: filling the records of `core/models.py`. What does not: which change is proposed
(`propose.py`), sentences (`wording.py`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import pandas as pd

from fl_assets.core.models import Advice, Alternative, Benefit, Contrast, Cure, Denominators, Example, Helps
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import residue
from fl_assets.playbooks.facts import TRANSIENT, Facts, safe_name
from fl_assets.playbooks.fleet import Answer, FleetKnowledge, is_thought
from fl_assets.playbooks.wording import (
    consequence_of,
    contrast_text,
    cure_text,
    headline,
    is_flag,
    shown_value,
)

Row = Mapping[str, Any]
Finding = TypeVar("Finding", Contrast, Cure)
_JUDGED_BY_MACHINE = (
    "Nodes that take it first are compared with nodes that do not, over the same days, by the failures that "
    "users are left with."
)
_JUDGED_BY_PEOPLE = (
    "Compare this pattern's rate on the nodes that took the change with the others, over the same days."
)
_UNDONE_BY_MACHINE = "The previous value is kept and set back when the trial is worse."


def incident_node_of(row: Row, mine: FleetKnowledge) -> str:
    """Return the one node that has all or most of a family's failures, or ''."""
    if row["nodes_reporting"] < 2:
        return ""
    own = [one["value"] for one in mine.contrasts if one["kind"] == "node"]
    named = row.get("incident_node")  # NaN when missing in a frame
    node = named if isinstance(named, str) else own[0] if own else ""
    return safe_name(node, "")


def advice_of(
    facts: Facts,
    answers: Sequence[Answer],
    mine: FleetKnowledge,
    row: Row,
    settings: FederatedLearningConfig,
    node: str,
) -> Advice:
    """Return the advice of a playbook.

    The first answer is proposed, the others become alternatives. `node` is the one that has the failures, ''
    for several.
    """
    main = answers[0]
    known = mine.consequences[0] if mine.consequences else {}
    nodes = [str(name) for name in known.get("node_ids") or ()]
    helps = mine.helps.get(main.remedy_id, Helps())
    per_day = facts.failures / facts.window_days
    first_seen = row.get("first_seen")
    since = "the first day" if pd.isna(first_seen) else f"{first_seen:%Y-%m-%d}"
    is_by_machine = main.category in ("config", "adapter")
    return Advice(
        family_id=facts.family_id,
        headline=headline(facts, nodes, since),
        explanation=main.description,
        readiness=main.readiness,
        readiness_reason=main.reason,
        incident_node=node,
        nodes=tuple(name for name in nodes if safe_name(name, "")),
        denominators=Denominators.model_validate(facts, from_attributes=True),
        consequence=consequence_of(known, facts, first_seen),
        contrasts=tuple(
            _finding(Contrast, one, contrast_text(one), "kind")
            for one in mine.contrasts
            if not (facts.is_command and _is_of_its_form(one))
        ),
        cures=tuple(
            _finding(Cure, one, cure_text(one), "subject")
            for one in mine.cures
            # Repeating the same call is a cure for a busy service, not for an agent's own mistake; of its own
            # work the next command is repair.
            if (one["subject"] != "same" or facts.failure_class in TRANSIENT)
            and not is_thought(one["name"])
            and not (one["source"] == "instead" and (facts.is_command or facts.is_own_work))
        ),
        alternatives=tuple(
            Alternative(
                remedy_id=one.remedy_id,
                category=one.category,
                title=one.title,
                readiness=one.readiness,
                suggested_changes=one.changes,
            )
            for place, one in enumerate(answers[1:], start=1)
            if one.title not in {each.title for each in answers[:place]}
        ),
        examples=tuple(_example(one, settings.trace_url) for one in mine.examples),
        helps=helps,
        benefit=Benefit(
            failures_per_day=per_day,
            persists=facts.confidence,
            helps=helps.expected,
            reduction=main.reduction,
            avoided_per_day=per_day * facts.confidence * helps.expected * main.reduction,
        ),
        judged_by=_JUDGED_BY_MACHINE if is_by_machine else _JUDGED_BY_PEOPLE,
        undone_by=_UNDONE_BY_MACHINE if is_by_machine else "Remove the paragraph or step again.",
    )


def _is_of_its_form(contrast: Row) -> bool:
    """Whether a difference of commands says only what kind of command it is.

    Each command does something else: one that runs a script is short, has no option, and comes after the
    script was written, whatever it is that fails.
    """
    is_form = contrast["kind"] in ("command", "earlier") or contrast["name"] == "command"
    return is_form or (contrast["kind"] == "flag" and contrast["relation"] == "missing")


def _finding(record: type[Finding], row: Row, text: str, kind: str) -> Finding:
    """Return a finding with its sentence; a name or value that may not be shown becomes ''."""
    name = str(row["name"])
    is_ours = row[kind] in ("command", "wait", "same")
    value = shown_value({"kind": row[kind], "value": row["value"]})
    is_hidden = value in ("a number", "another form", "another type", "a value that is not shown")
    fields = {field: row[field] for field in record.model_fields if field != "text"} | {
        "name": name if (is_ours and len(name) <= 20) or safe_name(name, "") or is_flag(name) else "",
        "value": "" if is_hidden or not row["value"] else value.strip("`"),
    }
    return record(text=text, **fields)


def _example(row: Row, trace_url: str) -> Example:
    trace = str(row["trace_id"])
    message = str(row["message"])
    return Example(
        succeeded=bool(row["succeeded"]),
        message="" if residue(message) else message,
        service=str(row["service"]),
        method=str(row["method"]),
        arguments=json.loads(row["arguments"] or "{}"),
        node=str(row["node_id"]),
        time=row["timestamp"],
        trace_id=trace,
        link=trace_url.replace("{trace_id}", quote(trace, safe="")) if trace_url else "",
    )
