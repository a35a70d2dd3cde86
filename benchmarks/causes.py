"""Whether causes and cures that were planted in a fleet are the first ones named, and how many are named
where there is none.

    python -m benchmarks.causes [--seeds 5] [--null-days 20]

Each seed draws a fleet of twelve nodes for one day. Every planted failure has a cause that the calls show (a
number above a bound, an argument that is missing, of another type or of another form, a model, a version on
some nodes, a call that was left out before) and a cure that some sessions find (the argument added, a lower
number, the other form, a call in between, another tool, a wait). Failures without a cause lie beside them.
Null fleets have failures and attributes that have nothing to do with each other. What is named is what a
playbook would show: `learn_from` over the events, by the product's own path. A cause counts as named first
when the first contrast of its family names the same argument, attribute or call; a cure likewise. The last
line printed is JSON.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from fl_assets.patterns.knowledge import Knowledge, learn_from
from fl_assets.sums.masking import failures_sql

DAY = datetime(2026, 11, 1)  # noqa: DTZ001 - the lake holds naive UTC
NODES = [f"node-{number:02d}" for number in range(12)]
MIN_NODES = 3


@dataclass
class Call:
    """One call to be written."""

    method: str
    arguments: dict
    error: str | None = None
    gap_s: float = 3.0


@dataclass
class Session:
    """What a session is drawn from."""

    rng: random.Random
    node: str
    attributes: dict[str, str]
    calls: list[Call] = field(default_factory=list)

    def add(self, method: str, error: str | None = None, gap_s: float = 3.0, **arguments: object) -> None:
        """Add a call; it failed when it has an error."""
        self.calls.append(Call(method, arguments, error, gap_s))


@dataclass(frozen=True)
class Story:
    """A planted failure: its method, what is expected to be named, and how a session of it goes."""

    method: str
    cause: str
    cure: str
    play: Callable[[Session], None]


def _bound(session: Session) -> None:
    limit = session.rng.randint(1, 200)
    if limit > 100 and session.rng.random() < 0.9:
        session.add("list_orders", f"Error: page of {limit} is too large", limit=limit, query="x")
        if session.rng.random() < 0.6:
            session.add("list_orders", limit=session.rng.randint(10, 100), query="x")
        elif session.rng.random() < 0.5:
            session.add("list_orders", f"Error: page of {limit} is too large", limit=limit, query="x")
    else:
        session.add("list_orders", limit=limit, query="x")


def _missing(session: Session) -> None:
    given = session.rng.random() < 0.7
    if given:
        session.add("book_room", hotel="h1", currency="EUR")
        return
    session.add("book_room", "Error: the price cannot be computed", hotel="h1")
    draw = session.rng.random()
    if draw < 0.55:
        session.add("book_room", hotel="h1", currency="EUR")
    elif draw < 0.8:
        session.add("book_room", "Error: the price cannot be computed", hotel="h1")


def _form(session: Session) -> None:
    number = f"{session.rng.randint(1000, 9999)}"
    if session.rng.random() < 0.75:
        session.add("get_ticket", ticket=f"#T{number}")
        return
    session.add("get_ticket", "Error: ticket not found", ticket=number)
    draw = session.rng.random()
    if draw < 0.5:
        session.add("get_ticket", ticket=f"#T{number}")
    elif draw < 0.8:
        session.add("get_ticket", "Error: ticket not found", ticket=f"{number}0")


def _kind(session: Session) -> None:
    as_text = session.rng.random() < 0.3
    if not as_text:
        session.add("set_quantity", quantity=session.rng.randint(1, 9))
        return
    session.add("set_quantity", "ValidationError: bad quantity", quantity=str(session.rng.randint(1, 9)))
    draw = session.rng.random()
    if draw < 0.5:
        session.add("set_quantity", quantity=session.rng.randint(1, 9))
    elif draw < 0.75:
        session.add("set_quantity", "ValidationError: bad quantity", quantity=str(session.rng.randint(1, 9)))


def _look_up(session: Session) -> None:
    looked = session.rng.random() < 0.6
    if looked:
        session.add("get_cart", cart="c1")
    fails = session.rng.random() < (0.03 if looked else 0.7)
    if not fails:
        session.add("check_out", cart="c1")
        return
    session.add("check_out", "Error: the cart was changed meanwhile", cart="c1")
    if session.rng.random() < 0.55:
        session.add("get_cart", cart="c1")
        session.add("check_out", cart="c1")
    elif session.rng.random() < 0.5:
        session.add("check_out", "Error: the cart was changed meanwhile", cart="c1")


def _model(session: Session) -> None:
    fails = session.rng.random() < (0.5 if session.attributes["model"] == "m-small" else 0.02)
    session.add("plan_route", "Could not parse the plan that the model wrote" if fails else None, stops=3)


def _version(session: Session) -> None:
    fails = session.rng.random() < (0.35 if session.attributes["agent_version"] == "2.3.1" else 0.01)
    session.add("send_mail", "Error: template engine rejected the message" if fails else None, to="x")


def _other_tool(session: Session) -> None:
    by_mail = session.rng.random() < 0.5
    if not by_mail:
        session.add("find_user_by_name", name="a")
        return
    if session.rng.random() < 0.5:
        session.add("find_user_by_mail", "Error: user not found", mail="x")
        if session.rng.random() < 0.6:
            session.add("find_user_by_name", name="a")
    else:
        session.add("find_user_by_mail", mail="x")


def _wait(session: Session) -> None:
    if session.rng.random() < 0.7:
        session.add("translate", text="x")
        return
    session.add("translate", "503 Service Unavailable: the model is being loaded", text="x")
    waits = session.rng.random() < 0.5
    works = session.rng.random() < (0.9 if waits else 0.1)
    error = None if works else "503 Service Unavailable: the model is being loaded"
    session.add(
        "translate",
        error,
        gap_s=session.rng.uniform(35, 60) if waits else session.rng.uniform(0.5, 1.5),
        text="x",
    )


STORIES = (
    Story("list_orders", "limit", "limit", _bound),
    Story("book_room", "currency", "currency", _missing),
    Story("get_ticket", "ticket", "ticket", _form),
    Story("set_quantity", "quantity", "quantity", _kind),
    Story("check_out", "get_cart", "get_cart", _look_up),
    Story("plan_route", "model", "model", _model),
    Story("send_mail", "agent_version", "agent_version", _version),
    Story("find_user_by_mail", "", "find_user_by_name", _other_tool),
    Story("translate", "", "30", _wait),
)


def _noise(session: Session) -> None:
    """Add failures that nothing explains, at a rate of the node's own."""
    rate = 0.02 + 0.1 * (int(session.node[-2:]) % 5) / 4
    for method in ("search", "fetch_page", "summarise"):
        for _ in range(session.rng.randint(0, 3)):
            fails = session.rng.random() < rate
            session.add(
                method,
                f"Error: {method} broke down without a reason" if fails else None,
                depth=session.rng.randint(1, 50),
                mode=session.rng.choice(["fast", "deep"]),
            )


def fleet(seed: int, sessions: int, *, is_null: bool) -> list[dict]:
    """Return the calls of one day as rows of raw_traces."""
    rng = random.Random(seed)
    attributes = {
        node: {
            "region": rng.choice(["eu", "us", "ap"]),
            "agent_version": "2.3.1" if at % 3 == 0 else "2.3.0",
            "tier": rng.choice(["a", "b"]),
        }
        for at, node in enumerate(NODES)
    }
    rows: list[dict] = []
    for number in range(sessions):
        node = rng.choice(NODES)
        session = Session(
            rng, node, attributes[node] | {"model": rng.choice(["m-large", "m-small", "m-medium"])}
        )
        _noise(session)
        if not is_null:
            for story in rng.sample(STORIES, 3):
                story.play(session)
        _noise(session)
        at = DAY + timedelta(seconds=rng.uniform(0, 80_000))
        for call in session.calls:
            at += timedelta(seconds=call.gap_s)
            rows.append(
                {
                    "event_id": f"e{len(rows)}",
                    "event_date": DAY.date(),
                    "timestamp": at,
                    "node_id": node,
                    "service": "shop-agent",
                    "method": call.method,
                    "trace_id": f"t{seed}-{number}",
                    "request_id": f"r{len(rows)}",
                    "duration_ms": 100.0,
                    "success": call.error is None,
                    "error": call.error,
                    "metadata": json.dumps(session.attributes | {"arguments": json.dumps(call.arguments)}),
                    "source_line": len(rows),
                }
            )
    return rows


def known_of(rows: list[dict]) -> tuple[Knowledge, dict[str, str]]:
    """Return what the fleet knows, and the method that each family fails in.

    A family is one method's failures here.
    """
    with duckdb.connect() as connection:
        connection.register("given", pa.Table.from_pylist(rows))
        connection.execute("create table raw_traces as select *, null::varchar as caused_by from given")
        messages = connection.execute(
            f"select message_id, any_value(method) from ({failures_sql('raw_traces')}) group by message_id"
        ).fetchall()
        families = {message_id: f"f-{method}" for message_id, method in messages}
        return learn_from(connection, "raw_traces", families, events=len(rows), min_nodes=MIN_NODES), families


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="Fleets with causes and cures.")
    parser.add_argument("--null-days", type=int, default=20, help="Days of fleets without any.")
    parser.add_argument("--sessions", type=int, default=900, help="Sessions a day.")
    options = parser.parse_args()
    causes: list[int] = []
    cures: list[int] = []
    looked, seconds, calls = 0, 0.0, 0
    for seed in range(options.seeds):
        rows = fleet(seed, options.sessions, is_null=False)
        start = time.perf_counter()
        known, _ = known_of(rows)
        seconds += time.perf_counter() - start
        calls += len(rows)
        looked += len(known.consequences)
        for story in STORIES:
            family = f"f-{story.method}"
            named = known.contrasts[known.contrasts["family_id"] == family]
            worked = known.cures[known.cures["family_id"] == family]
            place = _place(
                story.cause,
                [f"{row.name_} {row.value}" for row in named.rename(columns={"name": "name_"}).itertuples()],
            )
            cure = _place(
                story.cure,
                [f"{row.name_} {row.value}" for row in worked.rename(columns={"name": "name_"}).itertuples()],
            )
            if story.cause:  # of the others, what calls show has no cause: the data are just not there
                causes.append(place)
            cures.append(cure)
            print(f"seed {seed} {story.method:<20} cause at {place or '-'}  cure at {cure or '-'}")
    false = 0
    for seed in range(options.null_days):
        known, _ = known_of(fleet(1000 + seed, options.sessions, is_null=True))
        looked += len(known.consequences)
        found = [*known.contrasts.itertuples(), *known.cures.itertuples()]
        false += len(found)
        for row in found:
            print(f"null {seed}: {row[1:8]}")
    print(f"{seconds / max(1, calls) * 1e6:.1f} s per million calls")
    figures = {
        "cause_first": round(sum(place == 1 for place in causes) / max(1, len(causes)), 3),
        "cause_in_three": round(sum(0 < place <= 3 for place in causes) / max(1, len(causes)), 3),
        "cure_first": round(sum(place == 1 for place in cures) / max(1, len(cures)), 3),
        "false_per_day": round(false / max(1, options.null_days), 3),
        "patterns": looked,
    }
    print(json.dumps(figures))


def _place(wanted: str, found: list[str]) -> int:
    """Return at which place, from 1, something is named; 0 for nowhere."""
    return next(
        (place for place, words in enumerate(found, start=1) if wanted and wanted in words.split()), 0
    )


if __name__ == "__main__":
    main()
