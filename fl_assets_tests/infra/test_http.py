"""One exchange within bounds: servers that trickle, lie about sizes, break off, or are none."""

import re
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from fl_assets.infra.http import (
    Deadline,
    HttpError,
    UnresolvedHostError,
    exchange,
    failed,
    retry_after,
    retrying,
)

SECS = 0.6


@contextmanager
def speaking(talk):
    """A server that says to each connection what `talk` does with its socket.

    Yields its URL and what it was sent.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    heard.append(request_of(connection))
                    talk(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/secret?token=s3cret", heard
    finally:
        listener.close()


def request_of(connection: socket.socket) -> bytes:
    """A request, whole: its headers and a body of the length they give, in however many packets."""
    said = b""
    while b"\r\n\r\n" not in said and (part := connection.recv(65_536)):
        said += part
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (part := connection.recv(missing)):
        said, missing = said + part, missing - len(part)
    return said


def trickle(content: bytes, *, after: bytes = b""):
    """Say `after` at once, then the content a byte at a time, longer than anybody waits."""

    def talk(connection) -> None:
        connection.sendall(after)
        for number in range(2000):
            connection.sendall(content[number % len(content)].to_bytes())
            time.sleep(0.02)

    return talk


def saying(content: bytes):
    return lambda connection: connection.sendall(content)


def get(url: str, *, secs: float = SECS, limit: int = 1000, **given):
    return exchange("GET", url, deadline=Deadline(secs), limit=limit, **given)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        trickle(b"HTTP/1.1 200" + b" " * 3000),
        trickle(b"x-a: b\r\n", after=HEAD),
        trickle(b"HTTP/1.1 100 Continue\r\n\r\n"),
        trickle(b"0", after=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        trickle(b"x", after=HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"),
        trickle(b"x: y\r\n", after=HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        trickle(b"x", after=HEAD + b"Content-Length: 1000\r\n\r\n"),
        trickle(b"x", after=HEAD + b"\r\n"),
        lambda _: time.sleep(5),
    ],
    ids=[
        "status",
        "headers",
        "continue",
        "chunk size",
        "chunk",
        "trailer",
        "length",
        "until closed",
        "silence",
    ],
)
def test_one_deadline_holds_from_the_status_line_to_the_last_byte(talk):
    with speaking(talk) as (url, _):
        begin = time.monotonic()
        with pytest.raises(HttpError, match="too slow") as raised:
            get(url)
        assert time.monotonic() - begin < SECS + 0.5
        assert not raised.value.may_pass


def test_a_port_that_takes_connections_and_no_handshake_is_too_slow():
    with speaking(lambda _: time.sleep(5)) as (url, _):
        begin = time.monotonic()
        with pytest.raises(HttpError, match="too slow"):
            get(url.replace("http:", "https:"))
        assert time.monotonic() - begin < SECS + 0.5


def test_a_host_of_many_addresses_that_do_not_answer_is_too_slow(monkeypatch):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]  # fill the queue, so that no other gets an answer
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        found = socket.getaddrinfo(*listener.getsockname(), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found * 20)
        begin = time.monotonic()
        with pytest.raises(HttpError, match="too slow"):
            get("http://many.example/")
        assert time.monotonic() - begin < SECS + 0.5
        for one in waiting:
            one.close()


def test_the_next_address_of_a_host_is_tried(monkeypatch):
    with speaking(saying(HEAD + b"Content-Length: 2\r\n\r\nok")) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        dead, alive = (socket.getaddrinfo("127.0.0.1", to, type=socket.SOCK_STREAM) for to in (9, port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: dead + alive)
        assert get("http://two.example/").content == b"ok"


def test_a_deadline_within_another_ends_with_it():
    outer = Deadline(0.05)
    inner = Deadline(60, within=outer)
    inner.extend(600)
    assert inner.left() <= 0.05
    time.sleep(0.06)
    with pytest.raises(TimeoutError):
        inner.left()


def test_content_may_come_as_slowly_as_is_said():
    with speaking(trickle(b"x", after=HEAD + b"Content-Length: 60\r\n\r\n")) as (url, _):
        assert get(url, limit=60, bytes_per_sec=20).content == b"x" * 60
        with pytest.raises(HttpError, match="too slow"):
            get(url, limit=60, bytes_per_sec=10_000)


@pytest.mark.parametrize(
    ("answer", "given", "words", "may_pass"),
    [
        (HEAD + b"Content-Length: 1001\r\n\r\n", {}, "announces 1001 bytes, more than 1000", False),
        (HEAD + b"Content-Length: 999\r\n\r\n", {"exact": True}, "announces 999 bytes, not 1000", False),
        (HEAD + b"\r\n" + b"x" * 1001, {}, "sends more than 1000 bytes", False),
        (HEAD + b"Content-Length: 9\r\n\r\nx", {}, "ended after 1 of 9 bytes", True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {}, "no connection", True),
        (b"220 mail.example ESMTP\r\n", {}, "no connection", True),
        (b"", {}, "no connection", True),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n", {}, "no connection", True),
    ],
)
def test_what_is_wrong_is_said_without_the_address(answer, given, words, may_pass):
    with speaking(saying(answer)) as (url, _):
        with pytest.raises(HttpError, match=words) as raised:
            get(url, secs=5, **given)
        assert raised.value.may_pass == may_pass
        assert "s3cret" not in f"{raised.value} {raised.value.__cause__}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "http://",
        "http://[x",
        "http://a:port/",
        "ftp://a/",
        "file:///etc/passwd",
        "http://a/\r\nHost: b",
        "http://a b/",
        "http://é/",
    ],
)
def test_what_is_no_url_is_not_asked(url):
    with pytest.raises(HttpError, match="not a URL") as raised:
        get(url)
    assert not raised.value.may_pass


def test_a_name_without_an_address_is_known_but_not_part_of_the_text(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnresolvedHostError, match="cannot resolve the host's name") as raised:
        get("http://s3cret.internal/")
    assert (raised.value.host, raised.value.may_pass) == ("s3cret.internal", True)
    assert "s3cret" not in str(raised.value)


def test_nobody_there_may_pass_and_a_redirect_is_not_followed():
    with pytest.raises(HttpError, match="no connection") as raised:
        get("http://127.0.0.1:9/")
    assert raised.value.may_pass
    with speaking(saying(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")) as (
        url,
        heard,
    ):
        answer = get(url)
        assert (answer.status, answer.headers["Location"], len(heard)) == (302, "/elsewhere", 1)
        assert str(failed(answer)) == "HTTP 302"


def test_headers_and_body_are_sent_as_given():
    with speaking(saying(HEAD + b"Content-Length: 2\r\n\r\nok")) as (url, heard):
        given = {"Authorization": "Bearer x", "User-Agent": "other"}
        assert (
            exchange("POST", url, deadline=Deadline(5), limit=10, body=b"{}", headers=given).content == b"ok"
        )
    said = heard[0].decode().lower()
    assert said.startswith("post /secret?token=s3cret http/1.1\r\n")
    assert said.endswith("{}")
    assert said.count("user-agent:") == 1
    for line in (
        "authorization: bearer x",
        "user-agent: other",
        "accept-encoding: identity",
        "content-length: 2",
    ):
        assert line in said


def test_a_proxy_of_the_environment_is_asked_with_its_password(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    with speaking(saying(HEAD + b"Content-Length: 2\r\n\r\nok")) as (url, heard):
        port = url.split(":")[2].split("/")[0]
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{port}")
        assert get("http://far.example/a?b").content == b"ok"
        assert heard[0].startswith(b"GET http://far.example/a?b HTTP/1.1\r\n")
        assert b"proxy-authorization: basic dxnlcjpwqhnz\r\n" in heard[0].lower()
        assert b"host: far.example\r\n" in heard[0].lower()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        get(url)
        assert heard[1].startswith(b"GET /secret?token=s3cret HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("value", "secs"),
    [
        (None, None), ("7", 7), (" 7 ", 7), ("soon", None), ("-1", None), ("1e9", None), ("²", None), ("9" * 400, None), ("9" * 18, 1e18),  # noqa: E501
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00 +9999999999999999", None),
        ("Wed, 21 Oct 2015 07:28:00", None), ("Wed, 21 Oct 99999 07:28:00 GMT", None), ("", None),
    ],
)  # fmt: skip
def test_a_pause_is_read_in_both_of_its_forms_and_in_no_other(value, secs):
    assert retry_after(value) == secs


def calls(error: HttpError, attempts: int = 3, **given) -> tuple[int, list[float]]:
    """How often a function that always fails so is called, and the pauses."""
    made, pauses = [], []

    def fail() -> None:
        made.append(1)
        raise error

    with pytest.raises(HttpError):
        retrying(attempts, **{"first_wait": 2.0, "max_wait": 10.0, "sleep": pauses.append} | given)(fail)
    return len(made), pauses


def test_what_may_pass_is_tried_again_after_pauses_that_grow():
    times, pauses = calls(HttpError("x", may_pass=True), attempts=6)
    assert times == 6
    assert all(0 <= pause <= limit for pause, limit in zip(pauses, (2, 4, 8, 10, 10), strict=True))
    assert calls(HttpError("x")) == (1, [])
    times, pauses = calls(HttpError("x", may_pass=True, after=7))
    assert times == 3
    assert all(7 <= pause <= 8 for pause in pauses)
    assert calls(HttpError("x", may_pass=True, after=11)) == (1, [])
