"""Drawing the nodes of a trial: which take a change first, which follow, which are held back.

What goes here: the draw. What does not: which nodes can show a difference (`updates/trial_counts.py`).

Nodes are ordered by a keyed hash (HMAC) of decision and node. The key never leaves this machine, so nobody
can predict a draw or influence it by naming nodes. The order is reproducible and differs from decision to
decision; adding a node moves no other relative to the rest.
"""

import hashlib
import hmac
import math
from collections.abc import Collection
from dataclasses import dataclass

HELD_BACK_SHARE = 0.1
"""Share of the nodes that are held back from a promoted change, to see whether its effect lasts."""


class TooFewNodesError(ValueError):
    """Too few nodes for a trial that could be judged; the text says how many there are and are needed."""


@dataclass(frozen=True)
class TrialNodes:
    """The nodes of a trial, each tuple sorted."""

    canary: tuple[str, ...]
    """Nodes that take the change first; they report now and have for a fortnight."""
    half: tuple[str, ...]
    """Nodes that take it next, including the canary nodes."""
    rest: tuple[str, ...]
    """Nodes that do not take it during the trial."""
    held_back: tuple[str, ...]
    """Nodes of `rest` that do not take it when it is promoted."""
    newcomers: tuple[str, ...] = ()
    """Nodes of `half` and `rest` that have not reported for a fortnight."""


def draw_nodes(
    secret: bytes,
    decision_id: str,
    established: Collection[str],
    newcomers: Collection[str] = (),
    *,
    share: float,
    minimum: int,
    size: int | None = None,
) -> TrialNodes:
    """Return the nodes of a trial.

    Args:
        secret: Key of the draw.
        decision_id: Decision on trial.
        established: Nodes that can show a difference, report now, and have for a fortnight; none of them
            in another trial.
        newcomers: Nodes that can show a difference and report now, but have not for long.
        share: Share of the nodes that are canary nodes, rounded up.
        minimum: Least number of canary nodes, of nodes in either half, and of held-back nodes.
        size: Most nodes that the trial takes; all by default.

    Raises:
        TooFewNodesError: naming both numbers.
    """
    old, new = (
        _in_order(secret, decision_id, nodes) for nodes in (established, set(newcomers) - set(established))
    )
    if size is not None:
        old = old[: max(2 * minimum, size)]
        new = new[: max(0, size - len(old))]
    count = len(old) + len(new)
    first = max(minimum, math.ceil(share * count - 1e-9))
    of_old = max(first, (len(old) + 1) // 2)
    if len(old) - of_old < minimum:
        raise TooFewNodesError(
            f"only {len(old)} eligible {'node is' if len(old) == 1 else 'nodes are'} free; a trial needs "
            f"{first + minimum} that have the failure and have reported for a fortnight"
        )
    of_new = len(new) // 2
    held = max(minimum, math.ceil(HELD_BACK_SHARE * count - 1e-9))
    return TrialNodes(
        canary=tuple(sorted(old[:first])),
        half=tuple(sorted([*old[:of_old], *new[:of_new]])),
        rest=tuple(sorted([*old[of_old:], *new[of_new:]])),
        held_back=tuple(sorted(old[of_old:][-held:])),
        newcomers=tuple(sorted(new)),
    )


def _in_order(secret: bytes, decision_id: str, nodes: Collection[str]) -> list[str]:
    def place(node: str) -> tuple[bytes, str]:
        return hmac.digest(secret, f"{decision_id}\n{node}".encode(), hashlib.sha256), node

    return sorted(nodes, key=place)
