"""A guard in front of Dagster's webserver, so that visiting a foreign page starts and approves nothing.

What goes here: the rules for a request, and the ASGI middleware that applies them. What does not: login; see
`docs/serving.md`.

Dagster's GraphQL accepts mutations by GET, from any origin and under any host name, and a browser sends such
a request for any page. So every request must name a host of ours (DNS rebinding), come from a page of ours or
from no page (`Origin`, `Sec-Fetch-Site`), and change something only by a method and a content type that a
foreign page cannot send without a preflight. Answers may not be framed (clickjacking), nor read by other
origins. (OWASP, "Cross-Site Request Forgery Prevention"; W3C, "Fetch Metadata Request Headers"; Fetch
standard, "CORS-safelisted request-header".)
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?")
_READS = frozenset({"GET", "HEAD"})
_ANSWERED = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True)
class Asked:
    """The parts of a request that the guard checks."""

    method: str
    path: str
    has_query: bool
    headers: Mapping[str, list[str]]
    is_websocket: bool = False

    @classmethod
    def of(cls, scope: Message) -> "Asked":
        """Read an ASGI scope."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
        return cls(
            method=scope.get("method", "GET"),
            path=scope["path"],
            has_query=bool(scope.get("query_string")),
            headers=headers,
            is_websocket=scope["type"] == "websocket",
        )

    def header(self, name: str) -> str:
        """Return a header in lower case, '' where there is none."""
        return self.headers.get(name, [""])[0].lower()

    @property
    def is_graphql(self) -> bool:
        """Whether it is for Dagster's API."""
        return self.path.rstrip("/").lower().endswith("/graphql")


def problem_of(asked: Asked, hosts: Collection[str]) -> str:
    """Return why a request is refused, '' if it is not.

    `hosts` are the names that the server is reached by, without ports.
    """
    twice = [name for name in ("host", "origin", "content-type") if len(asked.headers.get(name, [])) > 1]
    if twice:
        return f"the header {twice[0]} is there twice"
    host = _HOST.fullmatch(asked.header("host"))
    if host is None or host[1] not in hosts:
        return (
            f"the host {asked.header('host')[:80]!r} is none of this server's ({', '.join(sorted(hosts))}); "
            "FEDERATED_LEARNING_UI_HOSTS names more"
        )
    if problem := _foreign(asked):
        return problem
    if asked.is_websocket:
        return ""
    is_json = asked.header("content-type").split(";")[0].strip() == "application/json"
    if asked.method not in _READS and not is_json:
        return "what changes something comes as application/json"
    if asked.is_graphql and asked.method in _READS and asked.has_query:
        return "GraphQL is asked by POST"
    return ""


def _foreign(asked: Asked) -> str:
    """Return the sign that a browser sent a request for a page of another origin, or ''."""
    origin, site = asked.header("origin"), asked.header("sec-fetch-site")
    if origin and origin.partition("://")[2] != asked.header("host"):
        return f"it comes from a page of {origin[:80]!r}"
    if site in ("", "none", "same-origin"):
        return ""
    is_link = (asked.header("sec-fetch-mode"), asked.header("sec-fetch-dest")) == ("navigate", "document")
    if asked.method == "GET" and is_link and not asked.is_graphql and not asked.is_websocket:
        return ""  # a link to a page of ours, followed by a person
    return f"it comes from a page of another origin ({site})"


class WebGuard:
    """ASGI middleware that refuses requests with a `problem_of`."""

    def __init__(self, app: App, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK, *hosts))

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass a request on, or answer 403 with the reason."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if problem := problem_of(Asked.of(scope), self._hosts):
            await _refuse(scope, send, f"refused: {problem}\n")
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_ANSWERED]}
            await send(message)

        await self._app(scope, receive, guarded)


async def _refuse(scope: Message, send: Callable[[Message], Awaitable[None]], words: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": words.strip()[:120]})
        return
    content = words.encode("ascii", "backslashreplace")
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
        *_ANSWERED,
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": content})
