"""Taking a release on a node, with a memory that keeps it from taking an older one again.

What does not go here: what a release contains and when it is refused (`updates/release.py`), writing one
(`updates/releases.py`). `fl-assets take-release` calls this; a node in another language does the same.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from fl_assets.infra.disk import Disk
from fl_assets.infra.keys import TrustedKeys
from fl_assets.updates.release import (
    MAX_RELEASE_BYTES,
    Release,
    ReleaseRefusedError,
    open_release,
    why_refused,
)


def take_release(path: Path, memory: Path, trusted: TrustedKeys, *, channel: str, now: datetime) -> Release:
    """Return a release that the node may run, after remembering its number and time.

    `memory` is the file in which this node remembers the highest number and the latest time that it has seen.

    Raises:
        OSError: the file cannot be read.
        ReleaseRefusedError: naming the rule: size, format, signature, channel, rollback, future or expired.
            The node keeps its present values, and after they expire its own defaults.
    """
    with path.open("rb") as file:
        release = open_release(file.read(MAX_RELEASE_BYTES + 1), trusted)
    known = json.loads(memory.read_bytes()) if memory.exists() else {}
    sequence = int(known.get("sequence", 0))
    seen = max(
        now.astimezone(UTC), datetime.fromisoformat(str(known.get("seen", "1970-01-01T00:00:00+00:00")))
    )
    if why := why_refused(release, channel=channel, highest=sequence, seen=seen):
        raise ReleaseRefusedError(why)
    remembered = known | {"sequence": release.sequence, "seen": max(seen, release.issued_at).isoformat()}
    memory.parent.mkdir(parents=True, exist_ok=True)
    neighbour = memory.with_name(f".{memory.name}.new")
    Disk().place(memory, json.dumps(remembered).encode(), 0o600, by_way_of=neighbour)
    return release
