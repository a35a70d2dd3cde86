"""HTTP requests within bounds of time and size, and their retries.

What goes here: every request that this program makes by itself. What does not: what is asked, and what an
answer means.

One deadline holds for a whole exchange, from the connection to the last byte, so a server cannot stretch it
by trickling bytes. Redirects are not followed. No error holds the URL, which may be a secret. The standard
library's client is used, since it honours the system's certificates and the environment's proxy.
"""

import base64
import http.client
import io
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Any, BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_CHUNK = 1 << 20
_RANDOM = SystemRandom()  # jitter must differ between nodes: no seed
_ADDRESS = re.compile(r"[!-~]+")


class HttpError(RuntimeError):
    """A failed exchange; the text gives the reason and no part of the URL."""

    def __init__(
        self, reason: str, *, status: int = 0, may_pass: bool = False, after: float | None = None
    ) -> None:
        """Store what is known.

        `status` is 0 for none, `after` the seconds that the server asks to wait first.
        """
        super().__init__(reason)
        self.status, self.may_pass, self.after = status, may_pass, after


class UnresolvedHostError(HttpError):
    """A name without an address; `host` is that name, a proxy's where there is one, and not in the text."""

    def __init__(self, host: str) -> None:
        super().__init__("cannot resolve the host's name", may_pass=True)
        self.host = host


class Deadline:
    """When an exchange must have ended."""

    def __init__(self, secs: float, *, within: "Deadline | None" = None) -> None:
        """Begin now; it never outlasts `within`, however often it is extended."""
        self.secs = secs
        self._end, self._within = time.monotonic() + secs, within

    def extend(self, secs: float) -> None:
        """Allow more time, for a body of known size."""
        self.secs += secs
        self._end += secs

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self._within.left()) if self._within else left


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    headers: Message
    content: bytes = b""


def exchange(
    method: str,
    url: str,
    *,
    deadline: Deadline,
    limit: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    target: BinaryIO | None = None,
    exact: bool = False,
    bytes_per_sec: float = 0,
    status_only: bool = False,
) -> Response:
    """Send one request and return the answer, without content unless its status is 2xx.

    Args:
        method: GET or POST.
        url: http or https.
        deadline: of the whole exchange.
        limit: most bytes of content.
        body: of the request.
        headers: of the request.
        target: file that the content is written to, instead of into the answer.
        exact: whether the content must be exactly `limit` bytes.
        bytes_per_sec: slowest rate of the content; extends the deadline accordingly.
        status_only: whether the content is not waited for.

    Raises:
        HttpError: no connection, too slow, a size other than announced or allowed, or not a URL.
    """
    connection = None
    try:
        parts = urlsplit(url)
        connection, address = _connect(parts, deadline)
        fixed = {"accept-encoding": "identity", "connection": "close", **connection.login}
        given = {name.lower(): value for name, value in (headers or {}).items()}
        connection.request(method, address, body, {"user-agent": "fl-assets", **given, **fixed})
        response = connection.getresponse()
        if status_only or not 200 <= response.status < 300:
            return Response(response.status, response.headers)
        expected = _announced(response.headers, limit, exact=exact)
        if bytes_per_sec:
            deadline.extend((limit if expected is None else expected) / bytes_per_sec)
        buffer = io.BytesIO() if target is None else target
        got = _copy(response, buffer, limit)
        wanted = limit if exact else expected
        if wanted is not None and got != wanted:
            raise HttpError(f"ended after {got} of {wanted} bytes", may_pass=True)
        return Response(
            response.status, response.headers, buffer.getvalue() if isinstance(buffer, io.BytesIO) else b""
        )
    except TimeoutError:
        raise HttpError(f"too slow: not over within {deadline.secs:.0f} s") from None
    except (OSError, http.client.HTTPException) as error:
        may_pass = not isinstance(error, ssl.SSLCertVerificationError | http.client.InvalidURL)
        raise HttpError(f"no connection ({type(error).__name__})", may_pass=may_pass) from None
    except ValueError:
        raise HttpError("not a URL") from None
    finally:
        if connection is not None:
            connection.hang_up()


def failed(answer: Response) -> HttpError:
    """Return the error for an answer whose status is not 2xx."""
    after = retry_after(answer.headers.get("Retry-After"))
    return HttpError(
        f"HTTP {answer.status}", status=answer.status, may_pass=answer.status in RETRIED, after=after
    )


def retrying(
    attempts: int, *, first_wait: float, max_wait: float, sleep: Callable[[float], Any] = time.sleep
) -> Retrying:
    """Return a tenacity object that retries a function while it raises an `HttpError` that may pass.

    Pauses are as long as the server asks, else exponential with full jitter (Brooker, AWS Architecture Blog,
    2015), the first of `first_wait` seconds at most. A server that asks for a longer pause than `max_wait`
    seconds is not retried.
    """

    def is_worth_it(error: BaseException) -> bool:
        return isinstance(error, HttpError) and error.may_pass and (error.after or 0) <= max_wait

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.after if isinstance(error, HttpError) else None
        longest = min(max_wait, first_wait * 2.0 ** (state.attempt_number - 1))
        return _RANDOM.uniform(0, longest) if after is None else after + _RANDOM.uniform(0, 1)

    stop = stop_after_attempt(attempts)
    return Retrying(retry=retry_if_exception(is_worth_it), wait=pause, stop=stop, sleep=sleep, reraise=True)


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), None for what is none."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value[:100]) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _announced(headers: Message, limit: int, *, exact: bool) -> int | None:
    promised = headers.get("Content-Length", "")
    expected = int(promised) if re.fullmatch(r"[0-9]{1,18}", promised) else None
    if (expected or 0) > limit or (exact and expected not in (None, limit)):
        raise HttpError(f"announces {promised} bytes, {'not' if exact else 'more than'} {limit}")
    return expected


def _copy(response: http.client.HTTPResponse, target: BinaryIO, limit: int) -> int:
    got = 0
    while chunk := response.read1(min(_CHUNK, limit + 1 - got)):
        got += len(chunk)
        if got > limit:
            raise HttpError(f"sends more than {limit} bytes")
        target.write(chunk)
    return got


# Connections with a deadline for every read and write
# ---------------------------------------------------------


class _TimedReader(io.RawIOBase):
    """Reads from a socket before the deadline."""

    def __init__(self, connected: Any, deadline: Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


class _TimedSocket:
    """The part of a connected socket that `http.client` uses."""

    def __init__(self, connected: Any, deadline: Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._socket, self._deadline))

    def sendall(self, content: Any) -> None:
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(content)

    def close(self) -> None:
        """Do nothing: the client closes its socket while the answer is still being read."""


class _Timed(http.client.HTTPConnection):
    """A connection with a deadline."""

    deadline: Deadline
    login: Mapping[str, str] = {}

    def connect(self) -> None:
        """Connect, through the proxy where there is one."""
        self._create_connection = self._reach
        super().connect()
        self.socket = self.sock
        self.deadline.left()
        self.sock = _TimedSocket(self.socket, self.deadline)

    def _reach(self, place: tuple[str, int], *_: Any) -> socket.socket:
        """Connect to the first address of a host that answers, all of them before the deadline."""
        error = OSError("no address")
        try:
            addresses = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
        except socket.gaierror:
            raise UnresolvedHostError(place[0]) from None
        for family, kind, protocol, _name, address in addresses:
            tried = socket.socket(family, kind, protocol)
            try:
                tried.settimeout(self.deadline.left())
                tried.connect(address)
            except OSError as found:
                error = found
                tried.close()
            else:
                return tried
        raise error

    def hang_up(self) -> None:
        """Close the socket."""
        if (found := getattr(self, "socket", None) or self.sock) is not None:
            found.close()


class _TimedSecure(_Timed, http.client.HTTPSConnection):
    """The same with TLS; the handshake may take all the time that is left."""


def _connect(parts: SplitResult, deadline: Deadline) -> tuple[_Timed, str]:
    """Return an unopened connection for a URL, and the request target."""
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or _ADDRESS.fullmatch(parts.geturl()) is None:
        raise ValueError
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if not proxy or urllib.request.proxy_bypass(host):
        return _made(parts.scheme, host, parts.port, deadline), path
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = {}
    if through.username:
        words = f"{unquote(through.username)}:{unquote(through.password or '')}"
        login = {"Proxy-Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
    connection = _made(parts.scheme, through.hostname or "", through.port or 80, deadline)
    if parts.scheme == "https":
        connection.set_tunnel(host, parts.port, headers=login)
        return connection, path
    connection.login = login
    return connection, parts._replace(fragment="").geturl()


def _made(scheme: str, host: str, port: int | None, deadline: Deadline) -> _Timed:
    if scheme == "https":
        connection: _Timed = _TimedSecure(host, port, context=ssl.create_default_context())
    else:
        connection = _Timed(host, port)
    connection.deadline = deadline
    return connection
