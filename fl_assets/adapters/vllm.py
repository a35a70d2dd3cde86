"""A vLLM server that takes LoRA adapters while it runs.

What goes here: loading and unloading one by name (vLLM: `--enable-lora` and
`VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`). What does not: which one (`adapter_store.py`).
"""

import json
from pathlib import Path
from typing import Any

from fl_assets.infra.http import Deadline, HttpError, exchange

_TIMEOUT_SECS = 120.0
_MOST_BYTES = 1 << 20


class LoraServerError(RuntimeError):
    """The server did not load or unload an adapter; the text says what it answered."""


def served_name(adapter_id: str, version: str) -> str:
    """Return the model name that requests use: a new one for each version.

    So that no cache mixes two of them.
    """
    return f"{adapter_id}@{version}"


class LoraServer:
    """The two endpoints of vLLM that add and remove an adapter, and the one that lists what is served."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT_SECS) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout

    def load(self, name: str, path: Path) -> None:
        """Have the server serve the adapter in `path`, a folder as the server sees it; once is enough.

        Raises:
            LoraServerError: it does not.
        """
        if name not in self.names():
            self._call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        if name not in self.names():
            message = f"{self._url} took {name} and does not list it"
            raise LoraServerError(message)

    def unload(self, name: str) -> None:
        """Have the server forget an adapter; one that it does not serve is fine.

        Raises:
            LoraServerError: it still serves it.
        """
        if name in self.names():
            self._call("/v1/unload_lora_adapter", {"lora_name": name})

    def names(self) -> set[str]:
        """Return the names that the server serves.

        Raises:
            LoraServerError: it does not say.
        """
        try:
            return {entry["id"] for entry in json.loads(self._call("/v1/models", None))["data"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"{self._url}/v1/models is no list of models"
            raise LoraServerError(message) from error

    def _call(self, path: str, body: dict[str, Any] | None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        method, given = ("GET", {}) if body is None else ("POST", {"content-type": "application/json"})
        deadline = Deadline(self._timeout)
        try:
            answer = exchange(
                method, self._url + path, deadline=deadline, limit=_MOST_BYTES, body=content, headers=given
            )
        except HttpError as error:
            message = f"{self._url}{path} cannot be reached: {error}"
            raise LoraServerError(message) from None
        if not 200 <= answer.status < 300:
            message = f"{self._url}{path} answered HTTP {answer.status}"
            raise LoraServerError(message)
        return answer.content
