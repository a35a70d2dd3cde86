"""Makes test data, in one place: each builder returns something believable, and takes as keywords what a test
is about.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from fl_assets.core.models import Playbook
from fl_assets.infra.keys import TrustedKeys

DAY = date(2026, 11, 1)


def pattern(**given: Any) -> dict[str, Any]:
    """One row of failure_patterns: a chronic timeout on 10 of 50 nodes."""
    row: dict[str, Any] = {
        "event_date": DAY,
        "pattern_id": "p-timeout",
        "kind": "error",
        "failure_class": "timeout",
        "rule_id": "timeout",
        "is_harmless": False,
        "family_id": "f-timeout",
        "template": "request timed out after <NUM> ms",
        "services": ["search"],
        "methods": ["query"],
        "breakdown": "[]",
        "window_days": 1,
        "failures": 200,
        "sessions": 40,
        "calls": 2000,
        "failure_rate": 0.1,
        "rate_low": 0.088,
        "rate_high": 0.114,
        "baseline_rate": 0.08,
        "lift": 1.25,
        "peer_rate": 0.01,
        "nodes_affected": 10,
        "nodes_reporting": 50,
        "nodes_expected": 50,
        "top_node_share": 0.2,
        "incident_node": None,
        "first_seen": datetime(2026, 10, 20, 8),  # noqa: DTZ001  the warehouse gives naive UTC
        "last_seen": datetime(2026, 11, 1, 22),  # noqa: DTZ001
        "state": "known",
        "confidence": 0.9,
        "confidence_raw": 0.9,
        "corroboration": 0.8,
        "p_value": 1e-6,
        "is_significant": True,
        "series": [14] * 14,
        "series_calls": [140] * 14,
        "p50_ms": 120.0,
        "p95_ms": 900.0,
        "p99_ms": 2100.0,
        "is_p99_estimated": False,
        "failure_p50_ms": 5000.0,
        "peak_calls_per_node": 4000,
        "exemplar_trace_ids": ["t1"],
        "suspects": [],
        "messages": 1,
        "why_grouped": "one template",
    }
    unknown = given.keys() - row.keys()
    assert not unknown, f"no column of failure_patterns: {unknown}"
    family = (
        {} if given.keys() & {"family_id"} else {"family_id": f"f-{given.get('pattern_id', 'p-timeout')[2:]}"}
    )
    return row | family | given


def patterns(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows as the frame that the domain reads."""
    return pd.DataFrame(list(rows), columns=list(pattern()))


def playbook(**given: Any) -> Playbook:
    """A config playbook that breaks no rule."""
    day = given.get("day", DAY)
    fields: dict[str, Any] = {
        "improvement_id": "0123456789abcdef",
        "category": "config",
        "description": "Set the limit to 8000 ms.",
        "confidence": 0.9,
        "corroboration": 0.8,
        "suggested_changes": {"timeout_ms": "8000"},
        "evidence_count": 200,
        "created_at": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1),
        "day": day,
        "pattern_id": "p-timeout",
        "remedy_id": "timeout-raise-limit",
        "failure_class": "timeout",
        "state": "known",
        "title": "Raise the time limit",
        "target": "search:query",
        "nodes_affected": 10,
        "nodes_reporting": 50,
        "failure_rate": 0.1,
        "is_significant": True,
        "version": 1,
    }
    return Playbook(**(fields | given))


def call_line(
    event_id: str = "e1",
    *,
    timestamp: Any = "2026-11-01T10:00:00Z",
    event: dict[str, Any] | None = None,
    **given: Any,
) -> bytes:
    """One line of the telemetrist's JSONL: a successful call on node n1; `given` wins in the trace, `event`
    in the event around it.
    """
    trace = {
        "trace_id": "t1",
        "request_id": "r1",
        "service": "search",
        "method": "query",
        "duration_ms": 12,
        "success": True,
        "error": None,
        "metadata": {"node_id": "n1"},
        "timestamp": timestamp,
    }
    unknown = given.keys() - trace.keys()
    assert not unknown, f"no field of a trace: {unknown}"
    line = {
        "event_id": event_id,
        "event_type": "ExecutionTrace",
        "execution_trace": trace | given,
        "conversation_log": None,
        "timestamp": timestamp,
    }
    return orjson.dumps(line | (event or {}))


def turn_line(event_id: str = "c1", *, timestamp: Any = "2026-11-01T10:00:00Z", **given: Any) -> bytes:
    """One line of the telemetrist's JSONL: a turn of talk on node n1; `given` wins."""
    log = {
        "log_id": event_id,
        "session_id": "s1",
        "user_query": "Where is my order?",
        "system_response": "On its way.",
        "metadata": {"node_id": "n1"},
        "timestamp": timestamp,
    }
    return orjson.dumps(
        {
            "event_id": event_id,
            "event_type": "ConversationLog",
            "execution_trace": None,
            "conversation_log": log | given,
            "timestamp": timestamp,
        }
    )


def trusting(public: Path) -> TrustedKeys:
    """A node's folder of trusted keys that holds one public key, copied from the file that lies beside the
    release.
    """
    folder = public.parent / "trusted"
    folder.mkdir(exist_ok=True)
    (folder / "release.pem").write_bytes(public.read_bytes())
    return TrustedKeys(folder)
