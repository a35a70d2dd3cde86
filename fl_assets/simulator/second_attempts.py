"""Second attempts of the simulated fleet: what fails with a cause is tried again, and mostly without it.

What goes here: which calls follow which. What does not: what calls look like (`lines.py`).
"""

from collections.abc import Sequence

import numpy as np

from fl_assets.simulator.catalogue import METHOD_INDEX, CallFailure

FAILS_AGAIN, WORKS_THEN = 0.15, 0.5
"""Share of the failures with a cause after which the next attempt fails too, and after which it works."""
LOOKED_FIRST = 0.9
"""Share of the calls that work which come after the call that they need."""


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
        failures: The planted ones.
        method: Method of each call.
        cause: Failure of each call, -1 for none.
        trace: Trace of each call.
        sessions: Traces below this number have talk; their failures stay alone, as the talk is about them.
        rng: What is drawn is drawn from it.

    Returns:
        The trace of each call and its place there, which only orders.
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
