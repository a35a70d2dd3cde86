"""Where adapters come from: repositories of the Hugging Face Hub, and a plain HTTP server that lists manifests.

What goes here: listing what a source offers, and fetching one file within bounds. What does not: whether it is admitted (`adapters/manifest.py`), where it
is put (`adapter_store.py`).

Repositories are asked through `huggingface_hub` (any `HF_ENDPOINT`, the token of the environment, its offline mode). Their files are streamed by our own
`Web`, with the URL and headers that the library makes: its own download looks at the size only after the last byte, follows a redirect to any
host, and names signed URLs in its log. Here a download stops at the byte after the promised length, stays on allowed hosts, and logs no URL.
"""

import http.client
import io
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from random import SystemRandom
from typing import Any, BinaryIO, Protocol
from urllib.parse import urljoin, urlsplit

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers

from fl_assets.adapters.manifest import (
    BUNDLE,
    BUNDLE_BYTES,
    COMMIT,
    CONFIG,
    MANIFEST,
    MANIFEST_BYTES,
    SIGNATURE,
    SIGNATURE_BYTES,
    UNKNOWN,
    WEIGHTS,
    AdapterFile,
    AdapterManifest,
    Candidate,
    ManifestError,
    name_problem,
    parse_manifest,
    refusal,
)
from fl_assets.core.models import Violation
from fl_assets.core.settings import FederatedLearningConfig

ATTEMPTS = 5
TIMEOUT_SECS = 30.0
MAX_WAIT_SECS = 120.0
"""A server that asks for a longer pause is not waited for: the next cycle asks again."""
SLOWEST_BYTES_PER_SEC = 20_000
LIST_BYTES = 4 * 1024 * 1024
MAX_LISTED = 200
_CHUNK = 1 << 20
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_HUB_HOSTS = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co")


class FetchError(RuntimeError):
    """A source could not be asked, or did not deliver what it promised; the text names host and reason, never a token or a query."""


class _TryAgainError(Exception):
    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Source(Protocol):
    """Something that offers adapters."""

    name: str

    def candidates(self) -> list[Candidate]:
        """Return what it offers, nothing of it believed; a source that does not answer is a candidate with that problem."""
        ...

    def fetch(self, candidate: Candidate, file: AdapterFile, target: BinaryIO) -> None:
        """Write one file of a candidate to `target`, at most its size.

        Raises:
            FetchError: it could not be had whole.
        """
        ...


# HTTP within bounds -----------------------------------------------------------------------------------------------------


class Web:
    """GET within bounds: hosts, bytes, time, attempts."""

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = TIMEOUT_SECS,
    ) -> None:
        """Allow these hosts, globs of `host` or `host:port`; each must be the start, or an address that one of them redirects to."""
        self._hosts = tuple(host.lower() for host in hosts)
        self._sleep, self._timeout, self._random = (
            sleep,
            timeout,
            SystemRandom(),
        )  # jitter must differ between nodes: no seed
        self._opener = urllib.request.OpenerDirector()
        handlers = (
            urllib.request.ProxyHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPErrorProcessor,
        )
        for handler in (
            *(kind() for kind in handlers),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
            _Redirects(self.check_url),
        ):
            self._opener.add_handler(handler)

    def check_url(self, url: str) -> None:
        """Let only http and https to an allowed host pass.

        Raises:
            FetchError: naming the host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.username or parts.password or not self.allows(url):
            message = f"{place(url)} is no allowed host ({', '.join(self._hosts)}); FEDERATED_LEARNING_ADAPTER_HOSTS adds some"
            raise FetchError(message)

    def allows(self, url: str) -> bool:
        """Whether the URL's host, or host and port, is among the allowed ones."""
        return any(fnmatchcase(name, glob) for name in _names(url) for glob in self._hosts)

    def get(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Return a document of at most `limit` bytes.

        Raises:
            FetchError: it is larger, or could not be had.
        """
        buffer = io.BytesIO()
        self.stream(url, buffer, limit=limit, headers=headers)
        return buffer.getvalue()

    def stream(
        self,
        url: str,
        target: BinaryIO,
        *,
        limit: int,
        exact: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """Write a document to `target`, from its start, and return the headers of the answer.

        Tried at most `ATTEMPTS` times: after 408, 429, 5xx, timeouts and broken connections, each time from the start, after the pause that the server
        asks for or else a random part of a doubling one ("full jitter", Brooker, AWS Architecture Blog, 2015).

        Args:
            url: Where.
            target: Opened for writing; what it held is replaced.
            limit: Most bytes that are read.
            exact: Whether it must be exactly so many.
            headers: Sent to this origin alone, never to another that it redirects to.

        Raises:
            FetchError: after the last attempt, or at once for what no further attempt can mend.
        """
        for attempt in range(1, ATTEMPTS + 1):
            target.seek(0)
            target.truncate()
            try:
                return self._once(url, target, limit, headers or {}, exact=exact)
            except _TryAgainError as error:
                if attempt == ATTEMPTS:
                    message = f"{place(url)}: {error} ({ATTEMPTS} attempts)"
                    raise FetchError(message) from None
                self.pause(url, attempt, error.after)
        raise AssertionError  # the loop returns or raises

    def pause(self, url: str, attempt: int, after: float | None) -> None:
        """Wait before the next attempt: as long as the server asks for, or a random part of a time that doubles.

        Raises:
            FetchError: it asks for longer than `MAX_WAIT_SECS`.
        """
        if (after or 0) > MAX_WAIT_SECS:
            message = f"{place(url)}: asks for a pause of {after:.0f} s, longer than {MAX_WAIT_SECS:.0f}"
            raise FetchError(message)
        self._sleep(
            self._random.uniform(0, min(MAX_WAIT_SECS, 2.0**attempt))
            if after is None
            else after + self._random.uniform(0, 1)
        )

    def _once(
        self, url: str, target: BinaryIO, limit: int, headers: Mapping[str, str], *, exact: bool
    ) -> Message:
        self.check_url(url)
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
        for name, value in headers.items():
            request.add_unredirected_header(name, value)
        deadline = time.monotonic() + self._timeout + limit / SLOWEST_BYTES_PER_SEC
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                promised = response.headers.get("Content-Length", "")
                expected = int(promised) if promised.isdecimal() else None
                if (expected or 0) > limit or (exact and expected not in (None, limit)):
                    message = (
                        f"{place(url)}: announces {promised} bytes, {'not' if exact else 'more than'} {limit}"
                    )
                    raise FetchError(message)
                got = 0
                while chunk := response.read1(
                    min(_CHUNK, limit + 1 - got)
                ):  # what is there, so that a trickle cannot outlast the deadline
                    got += len(chunk)
                    if got > limit:
                        message = f"{place(url)}: sends more than {limit} bytes"
                        raise FetchError(message)
                    target.write(chunk)
                    if time.monotonic() > deadline:
                        message = f"{place(url)}: too slow, {got} bytes in {self._timeout + limit / SLOWEST_BYTES_PER_SEC:.0f} s"
                        raise FetchError(message)
                wanted = limit if exact else expected
                if wanted is not None and got != wanted:
                    raise _TryAgainError(f"ended after {got} of {wanted} bytes")
                return response.headers
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _RETRIED:
                raise _TryAgainError(
                    f"HTTP {error.code}", _retry_after(error.headers.get("Retry-After"))
                ) from None
            message = f"{place(url)}: HTTP {error.code}"
            raise FetchError(message) from None
        except (OSError, http.client.HTTPException) as error:  # URLError, timeouts, resets, broken answers
            reason = getattr(error, "reason", None) or error
            raise _TryAgainError(
                type(reason).__name__ if isinstance(reason, Exception) else "no connection"
            ) from None
        except ValueError:
            message = f"{place(url)}: redirects to what is no URL"
            raise FetchError(message) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed hosts; what was sent to one origin alone is not sent to another."""

    max_redirections = 5

    def __init__(self, check_url: Callable[[str], None]) -> None:
        self._check_url = check_url

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request that follows, if it may."""
        self._check_url(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            message = f"{place(req.full_url)} redirects from https to {place(newurl)} without"
            raise FetchError(message)
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and _origin(req.full_url) == _origin(newurl):
            for name, value in req.unredirected_hdrs.items():
                if name.lower() != "host":
                    following.add_unredirected_header(name, value)
        return following


def place(url: str) -> str:
    """Return what may be shown of a URL: scheme, host and path, without user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return f"{parts.scheme}://{host}{parts.path}"[:200]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _names(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        port = parts.port
    except ValueError:
        return "", ""
    return host, f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


# The Hub ----------------------------------------------------------------------------------------------------------------

_ALLOWED: ContextVar[Callable[[str], None] | None] = ContextVar("fl_assets_allowed_hosts", default=None)


def _stay_on_hosts(request: Any) -> None:
    check = _ALLOWED.get()
    if check is not None:
        check(str(request.url))


@contextmanager
def _guarded(check: Callable[[str], None]) -> Generator[None]:
    """Have the Hub's client, which follows any redirect, ask `check` before each request that is made inside the block."""
    hooks = huggingface_hub.get_session().event_hooks["request"]
    if _stay_on_hosts not in hooks:
        hooks.append(_stay_on_hosts)
    token = _ALLOWED.set(check)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


class HubSource:
    """Repositories of the Hub: each holds one adapter, its newest manifest at the head of the branch, its files at the commit that the manifest names."""

    def __init__(
        self,
        repos: Sequence[str],
        *,
        endpoint: str | None = None,
        hosts: Iterable[str] = (),
        bundles: bool = False,
        web: Web | None = None,
    ) -> None:
        """Offer these repositories, `org/name` or `org/name@revision`; `hosts` are allowed besides the endpoint's own, `bundles` are asked for too."""
        self._repos, self._bundles = tuple(repos), bundles
        self._endpoint = (
            endpoint or os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
        ).rstrip("/")
        parts = urlsplit(self._endpoint)
        if parts.username or parts.password:
            message = f"HF_ENDPOINT {place(self._endpoint)} must hold no user and no password; set HF_TOKEN"
            raise FetchError(message)
        known = _HUB_HOSTS if parts.hostname in ("huggingface.co", "hf.co") else ()
        self._web = web or Web((_names(self._endpoint)[1], *known, *hosts))
        self._api = huggingface_hub.HfApi(endpoint=self._endpoint)
        self.name = place(self._endpoint)

    def candidates(self) -> list[Candidate]:
        """Return the version at the head of each repository."""
        return [self._candidate(spec) for spec in self._repos]

    def fetch(self, candidate: Candidate, file: AdapterFile, target: BinaryIO) -> None:
        """Write a file of the pinned commit.

        Raises:
            FetchError: it could not be had whole, or the server answers for another commit.
        """
        self._file(candidate.adapter_id, candidate.commit, file.name, target, limit=file.size, exact=True)

    def _candidate(self, spec: str) -> Candidate:
        repo, _, revision = spec.partition("@")
        unknown = Candidate(source=self.name, adapter_id=repo[:200] or spec[:200], from_repository=True)
        problem = name_problem(repo) or ("" if "/" in repo else f"{repo!r} must be `org/name`")
        if problem:
            return _with(unknown, "adapter_name", "a repository id", problem)
        try:
            head = self._info(repo, revision or None)
            if MANIFEST not in head.names:
                return _with(unknown, "manifest", f"{MANIFEST} at {head.commit[:12]}", "none")
            content = self._small(repo, head.commit, MANIFEST, MANIFEST_BYTES)
            signature = (
                self._small(repo, head.commit, SIGNATURE, SIGNATURE_BYTES).decode("ascii", "replace").strip()
                if SIGNATURE in head.names
                else ""
            )
            bundle = (
                self._small(repo, head.commit, BUNDLE, BUNDLE_BYTES)
                if self._bundles and BUNDLE in head.names
                else b""
            )
            manifest = parse_manifest(content)
            fields = {
                "manifest": manifest,
                "signature": signature,
                "bundle": bundle,
                "version": manifest.version,
            }
            if not manifest.revision:
                return unknown.model_copy(update=fields)
            pinned = head if manifest.revision == head.commit else self._info(repo, manifest.revision)
        except ManifestError as error:
            return _with(unknown, "manifest", "a canonical manifest within its bounds", str(error))
        except FetchError as error:
            return _with(unknown, "source", "an answer", str(error))
        return unknown.model_copy(update={**fields, "commit": pinned.commit, "listed": pinned.files})

    def _info(self, repo: str, revision: str | None) -> "_Listing":
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with _guarded(self._web.check_url):
                    info = self._api.model_info(
                        repo, revision=revision, files_metadata=True, timeout=TIMEOUT_SECS
                    )
                if COMMIT.fullmatch(info.sha or "") is None:
                    message = f"{self.name}: names no commit of {repo}"
                    raise FetchError(message)
                return _Listing(
                    info.sha or "", {sibling.rfilename: sibling.size for sibling in info.siblings or []}
                )
            except OfflineModeIsEnabled:
                message = f"{self.name}: not asked, for HF_HUB_OFFLINE is set"
                raise FetchError(message) from None
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status not in _RETRIED or attempt == ATTEMPTS:
                    message = f"{self.name}: HTTP {status} for {repo}"
                    raise FetchError(message) from None
                self._web.pause(
                    self._endpoint, attempt, _retry_after(error.response.headers.get("Retry-After"))
                )
            except FetchError:
                raise
            except (
                Exception
            ) as error:  # the client's own: timeouts, broken connections, an answer that is no JSON
                if attempt == ATTEMPTS or isinstance(
                    error, ValueError | TypeError | KeyError | AttributeError
                ):
                    message = f"{self.name}: {type(error).__name__} for {repo}"
                    raise FetchError(message) from None
                self._web.pause(self._endpoint, attempt, None)
        raise AssertionError  # the loop returns or raises

    def _small(self, repo: str, commit: str, name: str, limit: int) -> bytes:
        buffer = io.BytesIO()
        self._file(repo, commit, name, buffer, limit=limit)
        return buffer.getvalue()

    def _file(
        self, repo: str, commit: str, name: str, target: BinaryIO, *, limit: int, exact: bool = False
    ) -> None:
        if huggingface_hub.is_offline_mode():
            message = f"{self.name}: not asked, for HF_HUB_OFFLINE is set"
            raise FetchError(message)
        url = huggingface_hub.hf_hub_url(repo, name, revision=commit, endpoint=self._endpoint)
        headers = build_hf_headers(library_name="fl-assets")
        answered = self._web.stream(url, target, limit=limit, exact=exact, headers=headers).get(
            "X-Repo-Commit", commit
        )
        if answered != commit:
            message = f"{self.name}: {name} of commit {answered[:40]} in place of {commit}"
            raise FetchError(message)


class _Listing:
    """A commit and its files by size."""

    def __init__(self, commit: str, files: dict[str, int | None]) -> None:
        self.commit, self.files = commit, files
        self.names = set(files)


# A plain list -----------------------------------------------------------------------------------------------------------

_ENTRY_TEXTS = ("adapter_id", "version", "model_name", "download_url", "signature", "checksum")


class ListSource:
    """A server whose `GET {url}/list` names adapters; manifest and config lie beside the weights that `download_url` points at."""

    def __init__(
        self, url: str, *, hosts: Iterable[str] = (), bundles: bool = False, web: Web | None = None
    ) -> None:
        """Offer what the server at `url` lists; `hosts` are allowed besides its own, `bundles` are asked for too."""
        self._url, self._bundles = url.rstrip("/"), bundles
        self._web = web or Web((_names(url)[1], *hosts))
        self.name = place(self._url)

    def candidates(self) -> list[Candidate]:
        """Return every listed version."""
        unknown = Candidate(source=self.name, adapter_id=UNKNOWN)
        try:
            entries = json.loads(self._web.get(f"{self._url}/list", limit=LIST_BYTES))
        except FetchError as error:
            return [_with(unknown, "source", "an answer", str(error))]
        except (ValueError, RecursionError):
            return [_with(unknown, "source", "a JSON list", "something else")]
        if not isinstance(entries, list) or len(entries) > MAX_LISTED:
            return [
                _with(
                    unknown, "source", f"a JSON list of at most {MAX_LISTED} adapters", type(entries).__name__
                )
            ]
        return [self._candidate(entry) for entry in entries]

    def fetch(self, candidate: Candidate, file: AdapterFile, target: BinaryIO) -> None:
        """Write a file.

        Raises:
            FetchError: it could not be had whole.
        """
        url = candidate.location if file.name == WEIGHTS else urljoin(candidate.location, CONFIG)
        self._web.stream(url, target, limit=file.size, exact=True)

    def _candidate(self, entry: Any) -> Candidate:
        fields = entry if isinstance(entry, dict) else {}
        unknown = Candidate(
            source=self.name, adapter_id=_text(fields.get("adapter_id")), version=_text(fields.get("version"))
        )
        missing = [name for name in _ENTRY_TEXTS if not isinstance(fields.get(name), str)]
        if (
            missing
            or isinstance(fields.get("file_size"), bool)
            or not isinstance(fields.get("file_size"), int)
        ):
            return _with(
                unknown,
                "source",
                f"{', '.join((*_ENTRY_TEXTS, 'file_size'))} of each adapter",
                f"none or another kind of {', '.join(missing) or 'file_size'}",
            )
        if problem := name_problem(fields["adapter_id"]):
            return _with(unknown, "adapter_name", "a plain id", problem)
        location = urljoin(f"{self._url}/", fields["download_url"])
        try:
            manifest = parse_manifest(self._web.get(urljoin(location, MANIFEST), limit=MANIFEST_BYTES))
        except FetchError as error:
            return _with(unknown, "manifest", f"{MANIFEST} beside the weights", str(error))
        except ManifestError as error:
            return _with(unknown, "manifest", "a canonical manifest within its bounds", str(error))
        found = {
            "manifest": manifest,
            "signature": fields["signature"],
            "location": location,
            "problems": tuple(_disagreements(fields, manifest)),
        }
        known = unknown.model_copy(update=found)
        if not self._bundles:
            return known
        try:
            return known.model_copy(
                update={"bundle": self._web.get(urljoin(location, BUNDLE), limit=BUNDLE_BYTES)}
            )
        except FetchError as error:
            return _with(known, "model_signature", f"{BUNDLE} beside the weights", str(error))


def _disagreements(entry: Mapping[str, Any], manifest: AdapterManifest) -> list[Violation]:
    weights = manifest.file(WEIGHTS)
    listed = {name: entry[name] for name in ("model_name", "file_size", "checksum")}
    listed["checksum"] = re.sub(r"^sha256:", "", listed["checksum"]).lower()
    signed = {"model_name": manifest.base_model, "file_size": weights.size, "checksum": weights.sha256}
    subject = f"{manifest.adapter_id} {manifest.version}"
    return [
        refusal(
            "source",
            subject,
            expected=f"{name} {signed[name]} of the manifest",
            actual=str(listed[name])[:120],
        )
        for name in signed
        if listed[name] != signed[name]
    ]


def _with(candidate: Candidate, rule: str, expected: str, actual: str) -> Candidate:
    subject = f"{candidate.adapter_id} {candidate.version}"
    return candidate.model_copy(
        update={"problems": (*candidate.problems, refusal(rule, subject, expected=expected, actual=actual))}
    )


def _text(value: Any) -> str:
    """Return an id or a version that is only shown."""
    return value[:120] if isinstance(value, str) and value.isprintable() and value else UNKNOWN


def open_sources(settings: FederatedLearningConfig) -> list[Source]:
    """Return the sources that the settings name."""
    sources: list[Source] = []
    bundles = settings.adapter_oms_key_path is not None
    if settings.adapter_repos:
        sources.append(HubSource(settings.adapter_repos, hosts=settings.adapter_hosts, bundles=bundles))
    if settings.adapter_url:
        sources.append(ListSource(settings.adapter_url, hosts=settings.adapter_hosts, bundles=bundles))
    return sources
