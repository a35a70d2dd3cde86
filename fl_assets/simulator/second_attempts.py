"""Second attempts in the simulated fleet: failures with a cause are tried again, mostly without the cause.

What goes here: the order of calls. What does not: their content (`lines.py`).
"""

from collections.abc import Sequence

import numpy as np

from fl_assets.simulator.catalogue import METHOD_INDEX, CallFailure

FAILS_AGAIN, WORKS_THEN = 0.15, 0.5
"""Share of the failures with a cause after which the next attempt fails too, and after which it works."""
LOOKED_FIRST = 0.9
"""Share of successful calls that follow the call that they need."""


def with_second_attempts(
    failures: Sequence[CallFailure],
    method: np.ndarray,
    cause: np.ndarray,
    trace: np.ndarray,
    sessions: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Move calls into the traces of failures that have a cause, right after them.

    Args:
        failures: Planted failures.
        method: Method of each call.
        cause: Failure of each call, -1 for none.
        trace: Trace of each call.
        sessions: Number of traces with talk, whose failures have no second attempt.
        rng: Random numbers.

    Returns:
        The trace of each call, and a number that orders the calls of a trace.
    """
    trace, place = trace.copy(), np.arange(len(trace), dtype=float)
    is_free = cause < 0

    def take(wanted: int, count: int) -> np.ndarray:
        found = rng.permutation(np.flatnonzero(is_free & (method == wanted)))[:count]
        is_free[found] = False
        return found

    def put(calls: np.ndarray, beside: np.ndarray, distance: float) -> None:
        trace[calls] = trace[beside[: len(calls)]]
        place[calls] = place[beside[: len(calls)]] + distance

    for index, failure in enumerate(failures):
        if failure.cause is None:
            continue
        for target in failure.targets:
            at = METHOD_INDEX[target]
            mine = rng.permutation(np.flatnonzero((cause == index) & (method == at) & (trace >= sessions)))
            again, works = round(len(mine) * FAILS_AGAIN), round(len(mine) * WORKS_THEN)
            put(mine[len(mine) - again :], mine[:again], 0.6)
            after = mine[again : again + works]
            second = take(at, len(after))
            put(second, after, 0.6)
            if failure.cause.before:
                needed = METHOD_INDEX[failure.cause.before]
                put(take(needed, len(second)), second, -0.3)
                others = np.flatnonzero(is_free & (method == at))
                others = others[rng.random(len(others)) < LOOKED_FIRST]
                put(take(needed, len(others)), others, -0.3)
    return trace, place
