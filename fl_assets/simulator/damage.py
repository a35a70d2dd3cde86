"""Damaging correct lines as real fleets do: duplicates, conflicts, late and malformed lines, wrong clocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from fl_assets.simulator.lines import Events, uuids
from fl_assets.simulator.truth import Tally

HUGE_LINE_BYTES = 1_200_000


@dataclass(frozen=True)
class Damage:
    """Kinds of damage, as shares of the events."""

    duplicates: float = 0.004
    conflicts: float = 0.0005
    late: float = 0.006
    malformed: float = 0.002
    clock_skew: float = 0.0005


def damaged(
    events: Events,
    days_left: int,
    day: int,
    damage: Damage,
    rng: np.random.Generator,
    later: dict[int, list[bytes]],
    tally: Tally,
) -> tuple[list[bytes], np.ndarray]:
    """Return a batch's damaged lines and seconds of the day; late lines move to `later`, by day written."""
    lines, count = events.lines, len(events.lines)
    keep = np.ones(count, bool)
    extra: list[tuple[float, bytes]] = []
    end = float(events.seconds[-1])

    def some(share: float, among: np.ndarray) -> list[int]:
        return rng.choice(among, min(len(among), int(rng.poisson(share * count))), replace=False).tolist()

    healthy = np.flatnonzero(events.is_healthy)
    skewed = some(damage.clock_skew, healthy)
    for at in skewed:
        wrong = ("2099-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z")[at % 2].encode()
        times = 1 + at % 3 % 2  # on some only the call's own time is wrong
        lines[at] = lines[at].replace(events.stamps[at].encode(), wrong, times)
        tally.clock_skewed += 1
    sound = np.setdiff1d(np.arange(count), skewed)
    for at in some(damage.duplicates, sound):
        tally.duplicates += 1
        if days_left and at % 3 == 0:
            later.setdefault(day + 1, []).append(lines[at])
        else:
            extra.append((float(rng.uniform(events.seconds[at], end)), lines[at]))
    for at in some(damage.conflicts, np.setdiff1d(healthy, skewed)):
        tally.conflicts += 1
        other = lines[at].replace(b'"duration_ms":', b'"duration_ms":9', 1)
        extra.append((float(rng.uniform(events.seconds[at], end)), other))
    for at in some(damage.malformed, sound):
        line = lines[at].replace(events.ids[at].encode(), uuids(rng, 1)[0].encode())
        extra.append((float(events.seconds[at]), _malformed(tally.malformed, line, rng)))
        tally.malformed += 1
    if days_left:
        for at in some(damage.late, sound):
            keep[at] = False
            later.setdefault(day + int(rng.integers(1, min(3, days_left) + 1)), []).append(lines[at])
            tally.late += 1

    lines = [line for line, kept in zip(lines, keep.tolist(), strict=True) if kept]
    lines += [line for _, line in extra]
    seconds = np.r_[events.seconds[keep], [second for second, _ in extra]]
    if not lines:
        return [], np.array([0.0])
    order = np.argsort(seconds, kind="stable")
    return [lines[at] for at in order.tolist()], seconds[order]


def _malformed(serial: int, line: bytes, rng: np.random.Generator) -> bytes:
    """Return a line spoilt in one of the ways below, in turn; none leaves a valid event or a line feed."""
    half = len(line) // 2
    event = orjson.loads(line)
    payload = "execution_trace" if event["execution_trace"] else "conversation_log"
    ways: list[Any] = [
        lambda: line[: half + int(rng.integers(-half // 2, half // 2))],  # truncated
        lambda: line.replace(b'"timestamp":"', b'"timestamp":"\xff\xfe\xc3', 1),  # not UTF-8
        lambda: line[:half] + b"\x00" * 16 + line[half:],  # NUL bytes, as after a crash
        lambda: orjson.dumps(event | {"timestamp": {"seconds": 1_790_000_000}}),  # another type
        lambda: orjson.dumps(
            event | {payload: event[payload] | {"metadata": "none"}}
        ),  # text where an object belongs
        lambda: orjson.dumps({key: value for key, value in event.items() if key != "event_id"}),  # no id
        lambda: orjson.dumps(event | {"event_id": None}),
        lambda: orjson.dumps(event | {"execution_trace": None, "conversation_log": None}),  # no payload
        lambda: orjson.dumps([event["event_id"], payload]),  # JSON, but no object
        lambda: orjson.dumps(
            event | {"timestamp": "yesterday", payload: event[payload] | {"timestamp": "yesterday"}}
        ),  # no time
        lambda: line.replace(b'"metadata":{', b'"metadata":{"load":NaN,', 1),  # not JSON
        lambda: b"thread 'exporter' panicked at flush, restarting",  # another program's output
        lambda: line + line,  # two events on one line
        lambda: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,  # deeper than any event
        lambda: line[:-1] + b',"dump":"' + b"A" * HUGE_LINE_BYTES + b'"}',  # longer than any event
    ]
    # The longest one is made once in a hundred rounds, or it would be most of the bytes.
    kinds = len(ways) if serial % (100 * len(ways)) < len(ways) else len(ways) - 1
    return ways[serial % kinds]()
