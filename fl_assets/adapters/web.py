"""GET from servers that are not trusted: allowed hosts, sizes, one deadline, a few attempts.

What does not go here: what is fetched (`hub.py`), a single exchange (`infra/http.py`).
"""

import io
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from email.message import Message
from fnmatch import fnmatchcase
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

from fl_assets.infra.errors import ExplainedError
from fl_assets.infra.http import Deadline, HttpError, exchange, failed, retrying

ATTEMPTS = 5
TIMEOUT_SECS = 30.0
MAX_WAIT_SECS = 120.0
"""Longest pause a server may ask for; beyond it, the next cycle tries again."""
SLOWEST_BYTES_PER_SEC = 20_000
MAX_REDIRECTS = 5
SOURCE_SECS = 300.0
"""What asking one source for all that it offers may take, however many entries and pauses it has."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchError(ExplainedError):
    """A source did not answer or deliver; the text names host and reason, never a token or a query."""


class Web:
    """GET within bounds: hosts, bytes, time, attempts."""

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = TIMEOUT_SECS,
    ) -> None:
        """Allow these hosts, globs of `host` or `host:port`, for first requests and redirects."""
        self._hosts = tuple(host.lower() for host in hosts)
        self._timeout, self._sleep = timeout, sleep
        self._all: Deadline | None = None
        self._retrying = retrying(ATTEMPTS, first_wait=2.0, max_wait=MAX_WAIT_SECS, sleep=self._pause)

    @contextmanager
    def asking(self) -> Generator[None]:
        """Let everything within be over after `SOURCE_SECS`; what is asked then is refused at once."""
        self._all = Deadline(SOURCE_SECS)
        try:
            yield
        finally:
            self._all = None

    def check_url(self, url: str) -> None:
        """Accept only http and https to an allowed host.

        Raises:
            FetchError: naming the host.
        """
        parts = split_url(url)
        if parts is None:
            raise FetchError("an address that is no URL")
        if parts.scheme not in ("http", "https") or parts.username or parts.password or not self.allows(url):
            raise FetchError(
                f"{place(url)} is no allowed host ({', '.join(self._hosts)}); "
                "FEDERATED_LEARNING_ADAPTER_HOSTS adds some"
            )

    def allows(self, url: str) -> bool:
        """Whether the URL's host, or host and port, is among the allowed ones."""
        return any(fnmatchcase(name, glob) for name in names_of(url) for glob in self._hosts)

    def get(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Return a document of at most `limit` bytes.

        Raises:
            FetchError: it is larger, or did not arrive within the timeout.
        """
        buffer = io.BytesIO()
        self._stream(url, buffer, limit=limit, headers=headers)
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

        The deadline is the timeout plus the content's time at `SLOWEST_BYTES_PER_SEC`. After 408, 429, 5xx
        and broken connections it is tried again from the start, at most `ATTEMPTS` times. With `exact` the
        document must have exactly `limit` bytes. Headers are sent to this origin alone, never to another that
        it redirects to.

        Raises:
            FetchError: after the last attempt, or at once for errors that a retry cannot help.
        """
        given = {"limit": limit, "exact": exact, "headers": headers}
        return self._stream(url, target, bytes_per_sec=SLOWEST_BYTES_PER_SEC, **given)

    def _stream(self, url: str, target: BinaryIO, **given: Any) -> Message:
        try:
            return self._retrying(self._once, url, target, **given)
        except HttpError as error:
            words = f"{error} ({ATTEMPTS} attempts)" if error.may_pass else str(error)
            if (error.after or 0) > MAX_WAIT_SECS:
                words = f"asks for a pause of {error.after:.0f} s, longer than {MAX_WAIT_SECS:.0f}"
            raise FetchError(f"{place(url)}: {words}") from None

    def _once(
        self, url: str, target: BinaryIO, *, headers: Mapping[str, str] | None, **given: Any
    ) -> Message:
        deadline, sent = Deadline(self._left(self._timeout)), dict(headers or {})
        for _ in range(MAX_REDIRECTS + 1):
            self.check_url(url)
            target.seek(0)
            target.truncate()
            answer = exchange("GET", url, deadline=deadline, headers=sent, target=target, **given)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                break
            following = self.following(url, answer.headers["Location"])
            url, sent = following, sent if _origin(following) == _origin(url) else {}
        if not 200 <= answer.status < 300:
            raise failed(answer)
        return answer.headers

    def _left(self, secs: float) -> float:
        """Return the seconds, or fewer when the source has fewer left."""
        try:
            return min(secs, self._all.left()) if self._all else secs
        except TimeoutError:
            raise HttpError(
                f"the source took more than {self._all.secs:.0f} s altogether" if self._all else ""
            ) from None

    def _pause(self, secs: float) -> None:
        self._sleep(self._left(secs))

    def following(self, url: str, location: str) -> str:
        """Return the target of a redirect that may be followed.

        Raises:
            FetchError: to another host, or away from https.
        """
        following = joined(url, location)
        self.check_url(following)
        if url.startswith("https:") and not following.startswith("https:"):
            raise FetchError(f"{place(url)} redirects from https to {place(following)} without")
        return following


def place(url: str) -> str:
    """Return what may be shown of a URL: scheme, host and path, without user, password and query."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"[:200] if parts else "(no URL)"


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, None if it is invalid."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def joined(base: str, address: str) -> str:
    """Return an address from a server as an absolute URL, '' if it is invalid."""
    try:
        return urljoin(base, address)
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def names_of(url: str) -> tuple[str, str]:
    """Return `host` and `host:port` of a URL, '' if it is invalid."""
    parts = split_url(url)
    if parts is None:
        return "", ""
    host = (parts.hostname or "").lower()
    return host, f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
