"""Which nodes take a change first.

What goes here: the draw. What does not: which nodes can show a difference (`updates/trial_counts.py`).
"""

import hashlib
import math
from collections.abc import Collection


class TooFewNodesError(ValueError):
    """Too few nodes for a canary that could be judged; the text says how many there are and are needed."""


def draw_canary(
    decision_id: str, nodes: Collection[str], *, share: float, minimum: int, busy: Collection[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the canary and the control nodes of a decision.

    Nodes are ordered by a hash of decision and node, and the first are taken: the same for everyone who computes it, unrelated from one decision to the
    next, and a node that is added changes at most its own place. A node of another trial that is running is in neither group.

    Args:
        decision_id: What the draw is seeded by.
        nodes: Nodes that can show a difference.
        share: Share of them that is taken, rounded up.
        minimum: Nodes that either group must have.
        busy: Canary and control nodes of running trials.

    Raises:
        TooFewNodesError: naming both numbers.
    """
    free = sorted(
        set(nodes) - set(busy),
        key=lambda node: (hashlib.sha256(f"canary\n{decision_id}\n{node}".encode()).digest(), node),
    )
    size = max(minimum, math.ceil(share * len(free) - 1e-9))
    if len(free) - size < minimum:
        taken = len(set(nodes) & set(busy))
        also = f" ({taken} more are in a running trial)" if taken else ""
        message = f"canary: {len(free)} nodes can show a difference{also}; needs {size} canary nodes and {minimum} others"
        raise TooFewNodesError(message)
    return tuple(sorted(free[:size])), tuple(sorted(free[size:]))
