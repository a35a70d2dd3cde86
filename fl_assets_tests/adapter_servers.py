"""LoRA adapters that tests make, and servers on loopback that offer them: the Hub's API, a plain list, vLLM's
endpoints.

What goes here: small real safetensors files, signed folders, and servers that can be told to misbehave. What
does not: any assertion.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save

from fl_assets.adapters.admission import Inventory
from fl_assets.adapters.manifest import (
    CONFIG,
    FILES,
    MANIFEST,
    SIGNATURE,
    WEIGHTS,
    AdapterFile,
    AdapterManifest,
    manifest_to_sign,
)
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.json_text import canonical_record
from fl_assets.infra.keys import public_pem, sign
from fl_assets_tests.conftest import settings_in

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXPIRES = date(2027, 6, 1)
BASE, BASE_REVISION = "acme/base-1b", "0123456789abcdef0123456789abcdef01234567"
INVENTORY = Inventory(
    base_model=BASE,
    base_revision=BASE_REVISION,
    max_rank=16,
    target_modules=("q_proj", "v_proj"),
    max_bytes=1_000_000,
)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)


def tensors(
    *,
    rank: int = 4,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    layers: int = 2,
    seed: int = 1,
    dtype: str = "float32",
) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    made = {}
    for layer in range(layers):
        for target in targets:
            module = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            made[f"{module}.lora_A.weight"] = random.normal(size=(rank, 8)).astype(dtype)
            made[f"{module}.lora_B.weight"] = random.normal(size=(8, rank)).astype(dtype)
    return made


def config(*, rank: int = 4, targets: tuple[str, ...] = ("q_proj", "v_proj"), **given: Any) -> dict[str, Any]:
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE,
        "revision": None,
        "r": rank,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(targets),
        "inference_mode": True,
        "auto_mapping": None,
        "modules_to_save": None,
        "use_dora": False,
        "rank_pattern": {},
    }
    return fields | given


def lora_files(*, seed: int = 1, **config_given: Any) -> dict[str, bytes]:
    """The two files of a small, sound adapter."""
    return {CONFIG: json.dumps(config(**config_given)).encode(), WEIGHTS: save(tensors(seed=seed))}


def manifest_of(files: dict[str, bytes], **given: Any) -> AdapterManifest:
    fields = {
        "adapter_id": "acme/tool-calling",
        "version": "1.0.0",
        "base_model": BASE,
        "base_revision": BASE_REVISION,
        "expires": EXPIRES,
    }
    entries = tuple(
        AdapterFile(name=name, size=len(files[name]), sha256=hashlib.sha256(files[name]).hexdigest())
        for name in FILES
    )
    return AdapterManifest(**(fields | {"files": entries, "skills": ("tool_calling",)} | given))


def signature_of(manifest: AdapterManifest, key: Ed25519PrivateKey = KEY) -> str:
    return sign(key, manifest_to_sign(manifest))


def adapter_settings(folder: Path, **given: Any) -> FederatedLearningConfig:
    """Settings of nodes that run `BASE` and trust `KEY`."""
    keys = folder / "trusted"
    keys.mkdir(parents=True, exist_ok=True)
    (keys / "release.pem").write_bytes(public_pem(KEY))
    fields = {
        "base_model": BASE,
        "base_revision": BASE_REVISION,
        "trusted_keys_path": keys,
        "max_adapter_bytes": 1_000_000,
    }
    return settings_in(folder / "data", **(fields | given))


# Servers
# ----------------------------------------------------------------------------------------------------

Answer = Callable[["Handler"], bool]
"""Answers a request by itself and says so, or lets it pass."""


class Handler(BaseHTTPRequestHandler):
    """Answers from `server.pages`, unless a planted answer comes first."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append((self.command, path, self.headers.get("Authorization")))
        queue = self.server.planted.get(path, [])
        if queue and (queue[0] if len(queue) == 1 and self.server.keep_last else queue.pop(0))(self):
            return
        page = self.server.page(self.command, path, self)
        if page is None:
            self.send(404, b"not found")
        else:
            body, headers = page
            self.send(200, body, **headers)


class Server(ThreadingHTTPServer):
    """A server whose pages are a function, and that can be told what to answer first on a path."""

    daemon_threads = True

    def __init__(self, page: Callable[[str, str, Handler], tuple[bytes, dict[str, str]] | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = page
        self.planted: dict[str, list[Answer]] = {}
        self.keep_last = False
        self.asked: list[tuple[str, str, str | None]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a test broke."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def plant(self, path: str, *answers: Answer, for_ever: bool = False) -> None:
        self.planted[path], self.keep_last = list(answers), for_ever

    def times(self, path: str, method: str = "GET") -> int:
        return sum((how, what) == (method, path) for how, what, _ in self.asked)


@contextmanager
def serving(page: Callable[[str, str, Handler], tuple[bytes, dict[str, str]] | None]) -> Iterator[Server]:
    server = Server(page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> bool:
        handler.send(code, b"no", **headers)
        return True

    return answer


def body(content: bytes, **headers: str) -> Answer:
    def answer(handler: Handler) -> bool:
        handler.send(200, content, **headers)
        return True

    return answer


def reset_after(content: bytes, promised: int) -> Answer:
    """Promise more than is sent, then cut the connection."""

    def answer(handler: Handler) -> bool:
        handler.send(200, content, Content_Length=str(promised))
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
        return True

    return answer


def endless(handler: Handler) -> bool:
    """Send chunks without length and without end."""
    handler.send(200, b"", Transfer_Encoding="chunked")
    try:
        for _ in range(100_000):
            handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    except OSError:
        handler.close_connection = True
    return True


@dataclass
class HubRepo:
    """Commits of one repository; the head is the last."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        digest = hashlib.sha1(
            b"".join(name.encode() + content for name, content in sorted(files.items())),
            usedforsecurity=False,
        ).hexdigest()
        self.commits[digest] = files
        return digest

    @property
    def head(self) -> str:
        return list(self.commits)[-1]


class Hub:
    """As much of the Hub's API as the real client asks for: model info with files, and files by commit."""

    def __init__(self) -> None:
        self.repos: dict[str, HubRepo] = {}

    def publish(
        self,
        version: str = "1.0.0",
        *,
        adapter_id: str = "acme/tool-calling",
        key: Ed25519PrivateKey | None = KEY,
        **given: Any,
    ) -> AdapterManifest:
        """Commit the files, then their manifest, as `docs/adapters.md` says."""
        repo = self.repos.setdefault(adapter_id, HubRepo())
        extra = given.pop("extra", {})
        files = given.pop("files", None) or lora_files(seed=int(version.split(".")[0]))
        at_commit = {"README.md": version.encode(), **files, **extra}
        manifest = manifest_of(
            files,
            **({"adapter_id": adapter_id, "version": version, "revision": repo.commit(at_commit)} | given),
        )
        notes = {MANIFEST: canonical_record(manifest)} | (
            {SIGNATURE: signature_of(manifest, key).encode()} if key else {}
        )
        repo.commit({**at_commit, **notes})
        return manifest

    def page(self, _method: str, path: str, _handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            repo, revision = self.repos.get("/".join(parts[2:4])), (parts[5:] or ["main"])[0]
            commit = repo and (repo.head if revision == "main" else revision)
            if repo is None or commit not in repo.commits:
                return None
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": "0" * 40}
                for name, content in sorted(repo.commits[commit].items())
            ]
            name = "/".join(parts[2:4])
            info = {
                "id": name,
                "modelId": name,
                "sha": commit,
                "siblings": siblings,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "private": False,
            }
            return json.dumps(info).encode(), {"Content_Type": "application/json"}
        if len(parts) > 4 and parts[2] == "resolve":
            repo, commit, name = self.repos.get("/".join(parts[:2])), parts[3], "/".join(parts[4:])
            content = repo.commits.get(commit, {}).get(name) if repo else None
            if content is None:
                return None
            return content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": commit}
        return None


class PlainList:
    """A server with a list of adapters, each in a folder of its own."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}

    def publish(
        self,
        version: str = "1.0.0",
        *,
        adapter_id: str = "tool-calling",
        key: Ed25519PrivateKey = KEY,
        **given: Any,
    ) -> AdapterManifest:
        files = given.pop("files", None) or lora_files(seed=int(version.split(".")[0]))
        manifest = manifest_of(files, **({"adapter_id": adapter_id, "version": version} | given))
        folder = f"/files/{adapter_id}/{version}"
        self.files |= {
            f"{folder}/{name}": content
            for name, content in {**files, MANIFEST: canonical_record(manifest)}.items()
        }
        weights = manifest.file(WEIGHTS)
        self.entries.append(
            {
                "adapter_id": adapter_id,
                "version": version,
                "model_name": BASE,
                "download_url": f"{folder}/{WEIGHTS}",
                "signature": signature_of(manifest, key),
                "file_size": weights.size,
                "checksum": weights.sha256,
                "description": "made by a test",
            }
        )
        return manifest

    def page(self, _method: str, path: str, _handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        if path == "/list":
            return json.dumps(self.entries).encode(), {"Content_Type": "application/json"}
        content = self.files.get(path)
        return None if content is None else (content, {})


class Vllm:
    """vLLM's endpoints for adapters: names served, and every load and unload in order."""

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        self.calls: list[str] = []
        self.refuses = False

    def page(self, method: str, path: str, handler: Handler) -> tuple[bytes, dict[str, str]] | None:
        asked = (
            json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))) if method == "POST" else {}
        )
        if path == "/v1/models":
            return json.dumps(
                {"object": "list", "data": [{"id": name} for name in (BASE, *self.served)]}
            ).encode(), {}
        if path == "/v1/load_lora_adapter" and not self.refuses and asked["lora_name"] not in self.served:
            self.calls.append(f"load {asked['lora_name']}")
            self.served[asked["lora_name"]] = asked["lora_path"]
            return b"Success", {}
        if path == "/v1/unload_lora_adapter" and asked["lora_name"] in self.served:
            self.calls.append(f"unload {asked['lora_name']}")
            del self.served[asked["lora_name"]]
            return b"Success", {}
        return None
