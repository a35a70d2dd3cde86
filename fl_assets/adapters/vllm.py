"""Loading LoRA adapters into a running vLLM server, and unloading them.

The server needs `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.
"""

import json
from pathlib import Path
from typing import Any

from fl_assets.infra.errors import ExplainedError
from fl_assets.infra.http import Deadline, HttpError, exchange

_TIMEOUT_SECS = 120.0
_MOST_BYTES = 1 << 20


class LoraServerError(ExplainedError):
    """The server did not load or unload an adapter; the text says what it answered."""


def served_name(adapter_id: str, version: str) -> str:
    """Return the model name of requests, one per version, so that no cache mixes versions."""
    return f"{adapter_id}@{version}"


class LoraServer:
    """The endpoints of vLLM that load, unload and list adapters."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def load(self, name: str, path: Path) -> None:
        """Load the adapter in `path`, a folder as the server sees it, unless it is loaded.

        Raises:
            LoraServerError: the server did not load it.
        """
        if name not in self.names():
            self._call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        if name not in self.names():
            raise LoraServerError(f"{self._url} took {name} and does not list it")

    def unload(self, name: str) -> None:
        """Unload an adapter if it is loaded.

        Raises:
            LoraServerError: the server did not unload it.
        """
        if name in self.names():
            self._call("/v1/unload_lora_adapter", {"lora_name": name})

    def names(self) -> set[str]:
        """Return the names of the served models.

        Raises:
            LoraServerError: the server did not list them.
        """
        try:
            return {entry["id"] for entry in json.loads(self._call("/v1/models", None))["data"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LoraServerError(f"{self._url}/v1/models is no list of models") from error

    def _call(self, path: str, body: dict[str, Any] | None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        method, given = ("GET", {}) if body is None else ("POST", {"content-type": "application/json"})
        deadline = Deadline(_TIMEOUT_SECS)
        try:
            answer = exchange(
                method, self._url + path, deadline=deadline, limit=_MOST_BYTES, body=content, headers=given
            )
        except HttpError as error:
            raise LoraServerError(f"{self._url}{path} cannot be reached: {error}") from None
        if not 200 <= answer.status < 300:
            raise LoraServerError(f"{self._url}{path} answered HTTP {answer.status}")
        return answer.content
