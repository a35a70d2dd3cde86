"""A small federated fleet for tests: nodes with telemetry of their own, and a coordinator that trusts their
keys.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

from fl_assets.federation.node_side import NodeSummaries
from fl_assets.infra.keys import public_pem
from fl_assets.workspace import Workspace
from fl_assets_tests.build import call_line, turn_line
from fl_assets_tests.conftest import settings_in

DAY = date(2026, 11, 1)
AFTER = datetime(2026, 11, 3, 8, tzinfo=UTC)


def call(node: str, session: int, number: int = 0, *, day: date = DAY, **given) -> bytes:
    """One call of a session; a failed one has `error`."""
    metadata = {"node_id": node} | given.pop("metadata", {})
    hour = f"{day}T{session % 24:02}:{number % 60:02}:00Z"
    trace = given.pop("trace_id", f"{node}-t{session}")
    event_id = given.pop(
        "event_id",
        f"{node}-{day}-{session}-{number}-{given.get('method', '')}-{len(given.get('error') or '')}",
    )
    return call_line(
        event_id,
        timestamp=hour,
        trace_id=trace,
        success=given.get("error") is None,
        metadata=metadata,
        **given,
    )


def turn(
    node: str,
    session: int,
    number: int = 0,
    *,
    day: date = DAY,
    query: str = "Where is my order?",
    answer: str = "On its way.",
) -> bytes:
    """One turn of a conversation with the agent `support`."""
    return turn_line(
        f"{node}-{day}-talk-{session}-{number}",
        timestamp=f"{day}T{session % 24:02}:{number:02}:30Z",
        session_id=f"{node}-s{session}",
        user_query=query,
        system_response=answer,
        metadata={"node_id": node, "service": "support"},
    )


def lines_of(node: str, *, sessions: int = 6, day: date = DAY) -> list[bytes]:
    """A believable day: half of the sessions time out, one in three is refused, and some failures are of one
    session alone.
    """
    lines = []
    for session in range(sessions):
        lines += [
            call(node, session, 0, day=day),
            call(node, session, 1, day=day, service="planner", method="plan"),
        ]
        if session % 2:
            lines.append(
                call(
                    node,
                    session,
                    2,
                    day=day,
                    error=f"search timed out after {session + 3} s",
                    duration_ms=900 + session,
                )
            )
        lines.append(
            turn(
                node,
                session,
                0,
                day=day,
                answer="I am unable to help with that." if session % 3 == 0 else "On its way.",
            )
        )
    lines.append(call(node, 1, 3, day=day, error="index shards are missing"))
    return lines


def node_home(folder: Path, node: str, lines: Iterable[bytes], **overrides) -> Workspace:
    """A node that has ingested these lines."""
    space = Workspace(settings_in(folder / node, node_id=node, **overrides))
    space.settings.telemetry_path.mkdir(parents=True, exist_ok=True)
    (space.settings.telemetry_path / "events_1.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    space.engine.ingest()
    return space


def summaries_of(space: Workspace, *, seed: int = 1, now: datetime = AFTER, **changes) -> NodeSummaries:
    """The node's summaries, at a time of the test's own, with noise that can be repeated."""
    return NodeSummaries(
        space.settings.model_copy(update=changes), space.engine, clock=lambda: now, random=Random(seed)
    )


def coordinator_home(folder: Path, *nodes: Workspace, **overrides) -> Workspace:
    """A coordinator that has registered the keys of these nodes."""
    space = Workspace(settings_in(folder / "coordinator", **overrides))
    for path in (space.settings.summaries_path, space.settings.node_keys_path, space.settings.telemetry_path):
        path.mkdir(parents=True, exist_ok=True)
    for node in nodes:
        register(space, node)
    return space


def register(space: Workspace, node: Workspace) -> None:
    """Give the coordinator a node's public key."""
    (space.settings.node_keys_path / f"{node.settings.node_id}.pem").write_bytes(
        public_pem(summaries_of(node).key())
    )


def bring(space: Workspace, name: str, *lines: bytes) -> None:
    """Put summaries into the coordinator's folder."""
    (space.settings.summaries_path / name).write_bytes(b"".join(line + b"\n" for line in lines))
