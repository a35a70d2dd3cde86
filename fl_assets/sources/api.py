"""Requests to a source: JSON over HTTP, within bounds of time and size, with retries.

The token is read from the environment; it is sent in a header to the source's own address, and is in no
error, log or file: where a server says it back, it is masked. Redirects are not followed, since they would
pass it on.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from fl_assets.infra.http import Deadline, HttpError, UnresolvedHostError, exchange, failed, retrying
from fl_assets.infra.json_text import lenient_json
from fl_assets.sources.source import RemoteSource, SourceError, SourceKind

TIMEOUT_SECS = 60.0
SLOWEST_BYTES_PER_SEC = 50_000
MAX_PAGE_BYTES = 64 * 1024 * 1024
MAX_PAGE_VALUES = 4_000_000
"""Most values of one answer; each takes up to a hundred times its bytes once it is parsed."""
ATTEMPTS = 5
MAX_WAIT_SECS = 120.0
"""A server that asks for a longer pause is asked again in the next cycle, where the pull stopped."""
MIN_MASKED, _MASK = 8, b"<API_KEY>"
"""A shorter secret would be found by chance in what a server says, and is not masked there."""


class Api:
    """The API of one source."""

    def __init__(
        self,
        source: RemoteSource,
        kind: SourceKind,
        *,
        deadline: Deadline,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        """Read user and token from the environment.

        Raises:
            SourceError: a variable that sources.yaml names is not set, or cannot be sent in a header.
        """
        self._source, self._deadline, self._sleep = source, deadline, sleep
        user, token = (_secret(environment, name) for name in (source.user_env, source.token_env))
        self._headers = kind.headers(user, token)
        self._masked = [
            form.encode()
            for value in (token, *(words.partition(" ")[2] for words in self._headers.values()))
            if len(value) >= MIN_MASKED
            for form in (value, value.replace("/", "\\/"))
        ]
        self._retrying = retrying(ATTEMPTS, first_wait=2.0, max_wait=MAX_WAIT_SECS, sleep=self._pause)

    def get(self, path: str, query: Sequence[tuple[str, Any]] = ()) -> Any:
        """Return the JSON answer to a GET.

        None values of the query are left out.

        Raises:
            SourceError: after the last attempt, or at once where a retry cannot help.
        """
        return self._ask("GET", path, query, None, {}, _json)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a POST of JSON; see `get`."""
        kind = {"content-type": "application/json"}
        return self._ask("POST", path, (), orjson.dumps(body), kind, _json)

    def text(self, path: str, query: Sequence[tuple[str, Any]], body: str) -> bytes:
        """Return the raw answer to a POST of text; see `get`."""
        kind = {"content-type": "text/plain; charset=utf-8"}
        return self._ask("POST", path, query, body.encode(), kind, bytes)

    def _ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, Any]],
        body: bytes | None,
        kind: Mapping[str, str],
        read: Callable[[bytes], Any],
    ) -> Any:
        asked = urlencode([(name, value) for name, value in query if value is not None])
        url = f"{self._source.url}{path}{'?' + asked if asked else ''}"
        try:
            return self._retrying(self._once, method, url, body, {**self._headers, **kind}, read)
        except TimeoutError:
            raise SourceError(
                f"not over after {self._deadline.secs:.0f} s: it goes on there the next time"
            ) from None
        except UnresolvedHostError as error:
            raise SourceError(
                f"cannot resolve {error.host} ({ATTEMPTS} attempts): check the name and the network here"
            ) from None
        except HttpError as error:
            raise SourceError(
                f"{method} {path[:200]}: {self._in_words(error)}", status=error.status
            ) from None

    def _pause(self, secs: float) -> None:
        if secs >= self._deadline.left():
            raise TimeoutError
        self._sleep(secs)

    def _once(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        read: Callable[[bytes], Any],
    ) -> Any:
        self._deadline.left()
        answer = exchange(
            method,
            url,
            deadline=Deadline(TIMEOUT_SECS, within=self._deadline),
            limit=MAX_PAGE_BYTES,
            body=body,
            headers={"accept": "application/json", **headers},
            bytes_per_sec=SLOWEST_BYTES_PER_SEC,
        )
        if not 200 <= answer.status < 300:
            raise failed(answer)
        content = answer.content
        for secret in self._masked:
            content = content.replace(secret, _MASK)
        return read(content)

    def _in_words(self, error: HttpError) -> str:
        if error.status in (401, 403):
            named = " and ".join(filter(None, (self._source.user_env, self._source.token_env)))
            return (
                f"{error}: {f'the token in {named} is refused' if named else 'it wants a token: token_env'}"
            )
        if 300 <= error.status < 400:
            return f"{error}: it redirects, which is not followed; give the address it leads to as url"
        if (error.after or 0) > MAX_WAIT_SECS:
            return f"{error}: it asks for a pause of {error.after:.0f} s, longer than {MAX_WAIT_SECS:.0f}"
        return f"{error} ({ATTEMPTS} attempts)" if error.may_pass else str(error)


def _json(content: bytes) -> Any:
    """Parse an answer; what is odd in it is repaired by ingestion."""
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_PAGE_VALUES:
        raise HttpError(f"answers with more than {MAX_PAGE_VALUES} values: set a smaller page_size")
    try:
        return lenient_json(content)
    except ValueError:
        raise HttpError(
            "answers with what is no JSON: is the url that of the server's API?", may_pass=True
        ) from None


def _secret(environment: Mapping[str, str], name: str) -> str:
    if not name:
        return ""
    value = environment.get(name, "").strip()
    if not value:
        raise SourceError(f"the environment variable {name}, which sources.yaml names, is not set")
    if not (value.isascii() and value.isprintable()):
        raise SourceError(f"the environment variable {name} holds characters that no header may have")
    return value
