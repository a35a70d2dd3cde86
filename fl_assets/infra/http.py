"""HTTP: one exchange within bounds of time and size, and when it is tried again.

What goes here: every request that this program makes by itself. What does not: whom it asks, and what an
answer means.

One deadline holds for a whole exchange, from the connection to the last byte: each read may take what is left
of it, so that a server which trickles its status line, headers, chunk sizes or content gains nothing.
Redirects are never followed here. No error holds the URL, which may be a secret. The standard library's
client is used, since it trusts the certificates that the system trusts, and the proxy that the environment
names.
"""

import base64
import http.client
import io
import re
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
    """An exchange that failed; the text gives the reason and holds no part of the URL."""

    def __init__(
        self, reason: str, *, status: int = 0, may_pass: bool = False, after: float | None = None
    ) -> None:
        """Note what is known.

        Args:
            reason: in words.
            status: that was answered, 0 for none.
            may_pass: whether another attempt may succeed.
            after: seconds that the server asks to wait first.
        """
        super().__init__(reason)
        self.status, self.may_pass, self.after = status, may_pass, after


class Deadline:
    """The moment by which an exchange has to be over."""

    def __init__(self, secs: float) -> None:
        self.secs = secs
        self._end = time.monotonic() + secs

    def extend(self, secs: float) -> None:
        """Allow more time, for a body whose size is known by now."""
        self.secs += secs
        self._end += secs

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True)
class Response:
    """What a server answered."""

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
) -> Response:
    """Send one request and return the answer; the content of one that is no success is left unread.

    Args:
        method: GET or POST.
        url: http or https.
        deadline: by which it is over.
        limit: most bytes of content.
        body: sent.
        headers: sent.
        target: takes the content, instead of the answer.
        exact: whether the content must be exactly `limit` bytes.
        bytes_per_sec: gives the deadline more time for the content, so that it may come as slowly as this.

    Raises:
        HttpError: no connection, too slow, another size than promised or allowed, or no URL.
    """
    connection = None
    try:
        parts = urlsplit(url)
        connection, address = _connect(parts, deadline)
        fixed = {"accept-encoding": "identity", "connection": "close", **connection.login}
        given = {name.lower(): value for name, value in (headers or {}).items()}
        connection.request(method, address, body, {"user-agent": "fl-assets", **given, **fixed})
        response = connection.getresponse()
        if not 200 <= response.status < 300:
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
        message = f"too slow: not over within {deadline.secs:.0f} s"
        raise HttpError(message) from None
    except (OSError, http.client.HTTPException) as error:
        may_pass = not isinstance(error, ssl.SSLCertVerificationError | http.client.InvalidURL)
        raise HttpError(f"no connection ({type(error).__name__})", may_pass=may_pass) from None
    except ValueError:
        message = "not a URL"
        raise HttpError(message) from None
    finally:
        if connection is not None:
            connection.hang_up()


def failed(answer: Response) -> HttpError:
    """Return the error that an answer without success stands for."""
    after = retry_after(answer.headers.get("Retry-After"))
    return HttpError(
        f"HTTP {answer.status}", status=answer.status, may_pass=answer.status in RETRIED, after=after
    )


def retrying(
    attempts: int, *, first_wait: float, max_wait: float, sleep: Callable[[float], Any] = time.sleep
) -> Retrying:
    """Return what calls a function again while it raises an `HttpError` that may pass.

    Between attempts lies the pause that the server asks for, or a random part of one that doubles ("full
    jitter", Brooker, AWS Architecture Blog, 2015).

    Args:
        attempts: at most.
        first_wait: longest first pause, seconds.
        max_wait: longest pause at all; a server that asks for more is not asked again.
        sleep: waits.
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
    """Return the seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3).

    None for what is neither.
    """
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
        message = f"announces {promised} bytes, {'not' if exact else 'more than'} {limit}"
        raise HttpError(message)
    return expected


def _copy(response: http.client.HTTPResponse, target: BinaryIO, limit: int) -> int:
    got = 0
    while chunk := response.read1(min(_CHUNK, limit + 1 - got)):
        got += len(chunk)
        if got > limit:
            message = f"sends more than {limit} bytes"
            raise HttpError(message)
        target.write(chunk)
    return got


# A connection whose every read and write knows the deadline
# ---------------------------------------------------------


class _TimedReader(io.RawIOBase):
    """What a socket receives, each time within what is left."""

    def __init__(self, socket: Any, deadline: Deadline) -> None:
        self._socket, self._deadline = socket, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


class _TimedSocket:
    """As much of a socket as `http.client` uses of one that is connected."""

    def __init__(self, socket: Any, deadline: Deadline) -> None:
        self._socket, self._deadline = socket, deadline

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._socket, self._deadline))

    def sendall(self, content: Any) -> None:
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(content)

    def close(self) -> None:
        """Leave the socket open: the client closes it while the answer is still being read."""


class _Timed(http.client.HTTPConnection):
    """A connection that is over by a deadline."""

    deadline: Deadline
    login: Mapping[str, str] = {}

    def connect(self) -> None:
        """Connect, and through a proxy where there is one."""
        self.timeout = self.deadline.left()
        super().connect()
        self.socket = self.sock
        self.deadline.left()
        self.sock = _TimedSocket(self.socket, self.deadline)

    def hang_up(self) -> None:
        """Close the socket."""
        if (found := getattr(self, "socket", None) or self.sock) is not None:
            found.close()


class _TimedSecure(_Timed, http.client.HTTPSConnection):
    """The same under TLS; a handshake as a whole may take what is left."""


def _connect(parts: SplitResult, deadline: Deadline) -> tuple[_Timed, str]:
    """Return a connection for a URL, not yet made, and what is asked of it."""
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
