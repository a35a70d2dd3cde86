"""The code that an answer to a decision must carry, bound to one change and good for one answer.

What goes here: making and checking codes. What does not: showing one (`fl-assets decisions`), recording the
answer (`updates/answers.py`).

Whoever reaches Dagster's API, even a web page if nothing stands in front, can launch a run with any
configuration. So an answer needs a code that only a reader of this machine's files can make: an HMAC (RFC
2104) of the change with a key in the data folder, in base 32. It includes the number of earlier answers, so
each answer needs a new one, and it is kept with the answer: an approval without its code is not carried out.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from fl_assets.infra.json_text import canonical_json
from fl_assets.infra.keys import make_secret
from fl_assets.updates.history import Rollout, Update

_LETTERS = 10
"""Length of a code: 50 bits."""


class Intent:
    """Codes made with the key in one file, which is made at the first use."""

    def __init__(self, key_path: Path) -> None:
        self._key_path = key_path

    def code(self, update: Update, known: Rollout | None) -> str:
        """Return the code of the next answer to an update."""
        return self._code(update, known.answers if known else 0)

    def is_meant(self, codes: Iterable[str], update: Update, known: Rollout | None) -> str:
        """Return the code of the next answer to an update if it is among `codes`, else ''."""
        expected = self.code(update, known)
        return next((expected for one in codes if hmac.compare_digest(_plain(one), _plain(expected))), "")

    def holds(self, known: Rollout) -> bool:
        """Whether the last approval in the history came with its code."""
        if known.approved is None:
            return False
        expected = self._code(known.approved, known.answers - 1)
        return hmac.compare_digest(_plain(known.code), _plain(expected))

    def _code(self, update: Update, answers: int) -> str:
        change = (update.decision_id, update.change_id, update.target, update.from_value, update.to_value)
        digest = hmac.digest(make_secret(self._key_path), canonical_json([*change, answers]), hashlib.sha256)
        text = base64.b32encode(digest)[:_LETTERS].decode("ascii")
        return f"{text[: _LETTERS // 2]}-{text[_LETTERS // 2 :]}"


def _plain(code: str) -> bytes:
    """Return a code without dashes and blanks, in capitals."""
    return code.replace("-", "").replace(" ", "").upper().encode()
