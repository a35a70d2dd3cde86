"""The lines of one node's calls and turns.

What goes here: drawing one batch of events. What does not: files (`emit.py`), damage (`damage.py`).
"""

from dataclasses import dataclass, field, replace
from datetime import date
from random import Random

import numpy as np
import orjson

from fl_assets.simulator.catalogue import AGENTS, CAUSES, METHODS, NOISE
from fl_assets.simulator.plan import REGIONS, FleetPlan
from fl_assets.simulator.second_attempts import with_second_attempts
from fl_assets.simulator.talk import conversation
from fl_assets.simulator.truth import Tally
from fl_assets.simulator.words import render

CALLS_PER_TRACE = 7
ARGUMENTS_PER_METHOD = 256
SHOWN_BY_FAILED, SHOWN_BY_HEALTHY = 0.92, 0.03
"""Share of a failure's calls that show its cause, and of the same methods' other calls."""
DAY_SECONDS = 86_400.0
_MODELS = ("atlas-8b", "atlas-70b", "borealis-24b")


@dataclass(frozen=True)
class NodeStyle:
    """How one node writes its events."""

    node: str
    metadata: str
    latency: float
    clock: np.ndarray
    """Quantiles of the time of day, seconds."""
    zone_hours: int
    zone: str
    arguments: tuple[tuple[str, ...], ...]
    """Arguments that its calls have, by method; quoted."""
    wrong_arguments: dict[int, tuple[str, ...]]
    """Arguments that show why calls fail, by method; quoted."""

    @classmethod
    def draw(cls, index: int, nodes: int, name: str, rng: np.random.Generator) -> "NodeStyle":
        """Draw the style of the node at an index of a fleet of `nodes`."""
        region, shift = REGIONS[index % len(REGIONS)]
        hour = np.arange(0, 24, 0.1)
        volume = (
            0.25
            + np.exp(-(((hour + 24 - shift) % 24 - 14.5) ** 2) / 18)
            + 0.5 * np.exp(-(((hour + 24 - shift) % 24 - 9.5) ** 2) / 5)
        )
        clock = np.interp(
            np.linspace(0, 1, 1001), np.r_[0, volume.cumsum() / volume.sum()], np.r_[hour, 24] * 3600
        )
        # One node is named by its folder alone.
        named = "" if nodes >= 4 and index == 1 else f'"node_id":"{name}",'
        version = f"2.{rng.integers(3, 6)}.{rng.integers(0, 9)}"
        model = _MODELS[rng.integers(len(_MODELS))]
        metadata = f'{named}"region":"{region}","model":"{model}","agent_version":"{version}"'
        abroad = nodes >= 6 and index == 3  # this one writes local time with its offset
        random = Random(int(rng.integers(2**63)))
        arguments = tuple(
            tuple(_quoted(render(m.arguments, random)) for _ in range(ARGUMENTS_PER_METHOD))
            if m.arguments
            else ()
            for m in METHODS
        )
        wrong_arguments = {}
        for at, cause in CAUSES:
            if not cause.attribute:
                template = METHODS[at].arguments.replace(cause.instead_of, cause.given)
                wrong_arguments[at] = tuple(
                    _quoted(render(template, random)) for _ in range(ARGUMENTS_PER_METHOD)
                )
        return cls(
            node=name,
            metadata=metadata,
            latency=float(rng.lognormal(0, 0.15)),
            clock=clock,
            zone_hours=2 if abroad else 0,
            zone="+02:00" if abroad else "Z",
            arguments=arguments,
            wrong_arguments=wrong_arguments,
        )


@dataclass(frozen=True)
class Events:
    """Lines of a batch with second of the day, event id, time as written, and whether the call is healthy."""

    lines: list[bytes]
    seconds: np.ndarray
    ids: list[str]
    stamps: list[str]
    is_healthy: np.ndarray


@dataclass(frozen=True)
class Draw:
    """The inputs of drawing a node's day."""

    plan: FleetPlan
    day: date
    style: NodeStyle
    rng: np.random.Generator
    random: Random
    tally: Tally


@dataclass(frozen=True)
class Calls:
    """Calls of a batch: method, cause of failure (-1 for none), trace, and duration in ms."""

    method: np.ndarray
    cause: np.ndarray
    trace: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    duration: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


@dataclass(frozen=True)
class Sessions:
    """Sessions of a batch: agent, planted failure (-1 for none), and number of turns."""

    agent: np.ndarray
    talk: np.ndarray
    length: np.ndarray


def batch_of(draw: Draw, span: tuple[float, float], calls: Calls, talks: Sessions) -> Events:
    """Make the calls and turns of a batch, in the order of time."""
    rng, style = draw.rng, draw.style
    draw = replace(draw, random=Random(int(rng.integers(2**63))))
    total, sessions = len(calls.method), len(talks.agent)
    alone = max(1, (total - 2 * sessions) // CALLS_PER_TRACE)
    trace = _assign_traces(draw, calls.cause, talks.talk, alone)
    trace, place = with_second_attempts(
        draw.plan.call_failures, calls.method, calls.cause, trace, sessions, rng
    )
    order = np.lexsort((place, trace))
    method, cause, trace = calls.method[order], calls.cause[order], trace[order]

    calls = Calls(method, cause, trace, _durations(draw, method, cause))
    call_at, turn_at = _times(draw, span, calls, talks.length, alone)
    trace_ids = uuids(rng, sessions + alone)
    seconds = np.r_[call_at, turn_at]
    midnight = np.datetime64(draw.day.isoformat(), "ms") + np.timedelta64(style.zone_hours, "h")
    stamps = [
        text + style.zone
        for text in np.datetime_as_string(
            midnight + (seconds * 1000).astype("timedelta64[ms]"), unit="ms"
        ).tolist()
    ]
    ids = uuids(rng, len(seconds))
    first = np.searchsorted(trace, np.arange(sessions + alone))
    lines = _call_lines(draw, ids, stamps, calls, first, trace_ids)
    failed = set(np.unique(trace[(cause >= 0) & (trace < sessions)]).tolist())
    lines += _turn_lines(draw, ids[total:], stamps[total:], talks, failed, trace_ids)
    order = np.argsort(seconds, kind="stable")
    is_healthy = np.r_[cause < 0, np.zeros(len(turn_at), bool)]
    draw.tally.events += len(lines)
    places = order.tolist()
    return Events(
        [lines[at] for at in places],
        seconds[order],
        [ids[at] for at in places],
        [stamps[at] for at in places],
        is_healthy[order],
    )


def _times(
    draw: Draw, span: tuple[float, float], calls: Calls, length: np.ndarray, alone: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds of the day at which calls, ordered by trace, and turns of sessions come."""
    rng, trace, sessions = draw.rng, calls.trace, len(length)
    start = np.interp(rng.uniform(*span, sessions + alone), np.linspace(0, 1, 1001), draw.style.clock)
    spent = np.cumsum(calls.duration) / 1000
    before = np.r_[0, spent][np.searchsorted(trace, np.arange(sessions + alone))]
    lasts = np.bincount(trace, calls.duration / 1000, sessions + alone)
    gaps = 20 + rng.exponential(30, int(length.sum()))
    session_of_turn = np.repeat(np.arange(sessions), length)
    talked = np.cumsum(gaps)
    opening = np.r_[0, length.cumsum()[:-1]].astype(int)
    said = talked - np.r_[0, talked][opening][session_of_turn]
    is_last = np.r_[session_of_turn[1:] != session_of_turn[:-1], True] if len(said) else np.zeros(0, bool)
    said[is_last] = np.maximum(said[is_last], lasts[:sessions] + 1)
    room = np.maximum(lasts, 0)
    room[:sessions] = np.maximum(room[:sessions], said[is_last])
    start = np.clip(start, 0, np.maximum(0, DAY_SECONDS - 1 - room))  # all end before midnight
    call_at = np.minimum(start[trace] + spent - before[trace], DAY_SECONDS - 0.01)
    turn_at = np.minimum(start[session_of_turn] + said, DAY_SECONDS - 0.005)
    # Calls that fail in a session do so right before its last answer.
    answered = np.flatnonzero((calls.cause >= 0) & (trace < sessions))
    call_at[answered] = turn_at[is_last][trace[answered]] - rng.uniform(0.05, 0.9, len(answered))
    return call_at, turn_at


def _assign_traces(draw: Draw, cause: np.ndarray, talk: np.ndarray, alone: int) -> np.ndarray:
    """Return the trace of each call: the first traces belong to sessions, the others have no talk.

    Only sessions that claim success after a failed call, or admit it, have one in their trace.
    """
    rng, plan, sessions = draw.rng, draw.plan, len(talk)
    trace = rng.integers(sessions + alone, size=len(cause))
    failed = rng.permutation(np.flatnonzero((cause >= 0) & (cause < len(plan.call_failures))))
    trace[cause >= 0] = sessions + rng.integers(alone, size=int((cause >= 0).sum()))
    kinds = [
        index
        for index, failure in enumerate(plan.talk_failures)
        if failure.signal == "confident_after_failure"
    ]
    confident = np.flatnonzero(np.isin(talk, kinds))
    honest = rng.permutation(np.flatnonzero(talk < 0))[: sessions // 15]
    owners = np.r_[confident, honest][: len(failed)]
    trace[failed[: len(owners)]] = owners
    return trace


def _durations(draw: Draw, method: np.ndarray, cause: np.ndarray) -> np.ndarray:
    """Draw durations in whole ms: log-normal, one in 200 with a long tail, or typical of a failure."""
    rng = draw.rng
    median = np.array([m.median_ms for m in METHODS])[method] * draw.style.latency
    sigma = np.array([m.sigma for m in METHODS])[method]
    for index, failure in enumerate(draw.plan.call_failures):
        if failure.duration_ms is not None:
            mine = cause == index
            median[mine], sigma[mine] = failure.duration_ms, 0.05
    tail = np.where(
        (rng.random(len(method)) < 0.005) & (cause < 0), 1 + rng.pareto(1.5, len(method)) * 2, 1.0
    )
    drawn = np.rint(median * np.exp(sigma * rng.standard_normal(len(method))) * tail)
    return np.clip(drawn, 0, 300_000).astype(np.int64)


def _call_lines(
    draw: Draw, ids: list[str], stamps: list[str], calls: Calls, first: np.ndarray, trace_ids: list[str]
) -> list[bytes]:
    plan, style, random, rng = draw.plan, draw.style, draw.random, draw.rng
    total = len(calls.method)
    spans = rng.bytes(8 * total).hex()
    parent = first[calls.trace].tolist()
    heads = [f'"service":"{m.service}","method":"{m.name}","duration_ms":' for m in METHODS]
    picks = rng.integers(ARGUMENTS_PER_METHOD, size=total).tolist()
    invented = {
        index for index, failure in enumerate(plan.call_failures) if failure.failure_class == "unknown_tool"
    }
    causes = (*plan.call_failures, *NOISE)
    attributes = {
        at: [f',"{cause.attribute}":"{value}"' for value in (cause.instead_of, cause.given)]
        for at, cause in CAUSES
        if cause.attribute
    }
    has_cause = np.array([bool(failure.cause) for failure in plan.call_failures] + [False] * (len(NOISE) + 1))
    shown = rng.random(total) < np.where(has_cause[calls.cause], SHOWN_BY_FAILED, SHOWN_BY_HEALTHY)
    lines = []
    arrays = (calls.method, calls.cause, calls.trace, calls.duration, shown)
    rows = zip(ids, stamps, *(array.tolist() for array in arrays), parent, picks, strict=False)
    for at, (event_id, stamp, method_at, cause_at, trace_at, took, is_shown, root, pick) in enumerate(rows):
        head, outcome, status = heads[method_at], "true", "ok"
        error = "null"
        if cause_at >= 0:
            cause = causes[cause_at]
            outcome, status = "false", cause.status
            if cause.text is not None:
                text = render(cause.text, random)
                error = _quoted(text)
                if cause_at in invented and random.random() < 0.3:
                    named = _quoted(text.split("'")[1])
                    head = f'"service":"{METHODS[method_at].service}","method":{named},"duration_ms":'
        pool = style.arguments[method_at]
        if is_shown and method_at in style.wrong_arguments:
            pool = style.wrong_arguments[method_at]
        extra = f',"arguments":{pool[pick]}' if pool else ""
        if method_at in attributes:
            extra += attributes[method_at][is_shown]
        above = "" if root == at else f',"parent_span_id":"{spans[16 * root : 16 * root + 16]}"'
        lines.append(
            f'{{"event_id":"{event_id}","event_type":"ExecutionTrace",'
            f'"execution_trace":{{"trace_id":"{trace_ids[trace_at]}",'
            f'"request_id":"{spans[16 * at : 16 * at + 16]}",{head}{took},'
            f'"success":{outcome},"error":{error},'
            f'"metadata":{{{style.metadata},"status":"{status}"{above}{extra}}},"timestamp":"{stamp}"}},'
            f'"conversation_log":null,"timestamp":"{stamp}"}}'.encode()
        )
    return lines


def _turn_lines(
    draw: Draw, ids: list[str], stamps: list[str], talks: Sessions, failed: set[int], trace_ids: list[str]
) -> list[bytes]:
    plan, random = draw.plan, draw.random
    session_ids, log_ids = uuids(draw.rng, len(talks.agent)), uuids(draw.rng, len(ids))
    lines: list[bytes] = []
    at = 0
    rows = zip(talks.agent.tolist(), talks.talk.tolist(), talks.length.tolist(), strict=True)
    for session, (agent_at, talk_at, turns) in enumerate(rows):
        signal = None
        if talk_at >= 0:
            signal = plan.talk_failures[talk_at].signal
            shown = draw.tally.session_ids.setdefault(plan.talk_failures[talk_at].id, [])
            shown.append(session_ids[session])
        for turn, (query, response) in enumerate(conversation(signal, turns, session in failed, random)):
            lines.append(
                f'{{"event_id":"{ids[at]}","event_type":"ConversationLog","execution_trace":null,'
                f'"conversation_log":{{"log_id":"{log_ids[at]}","session_id":"{session_ids[session]}",'
                f'"user_query":{_quoted(query)},"system_response":{_quoted(response)},'
                f'"metadata":{{{draw.style.metadata},"service":"{AGENTS[agent_at]}",'
                f'"trace_id":"{trace_ids[session]}","turn":"{turn + 1}"}},'
                f'"timestamp":"{stamps[at]}"}},"timestamp":"{stamps[at]}"}}'.encode()
            )
            at += 1
    return lines


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def uuids(rng: np.random.Generator, count: int) -> list[str]:
    """Draw version 4 UUIDs (RFC 9562)."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    return [
        "-".join(
            text[at + start : at + end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
        )
        for at in range(0, 32 * count, 32)
    ]
