"""Posting alerts, against a server on this machine."""

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import pytest
from pydantic import SecretStr

from fl_assets.core.settings import FederatedLearningConfig, SettingsError
from fl_assets.report.alert_text import Alert
from fl_assets.report.alerts import ATTEMPTS, AlertError, send_new
from fl_assets_tests.build import DAY
from fl_assets_tests.infra.test_http import saying, speaking, trickle

ALERT = Alert(day=DAY, kind="silent_node", subject="n2", text="n2")
OTHER = Alert(day=DAY, kind="gated", subject="cycle", text="held")


@contextmanager
def receiver(*answers: int, location: str = ""):
    """A webhook that gives these answers, then 200; yields its secret URL and what it got."""
    got, pending = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], orjson.loads(body)))
            self.send_response(pending.pop(0) if pending else 200)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield SecretStr(f"http://127.0.0.1:{server.server_port}/hook/s3cret"), got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(webhook, folder, alerts):
    return send_new(webhook, folder / "sent.json", alerts, wait_secs=0.01)


def test_alerts_of_a_day_arrive_once(tmp_path):
    with receiver() as (webhook, got):
        assert send(webhook, tmp_path, [ALERT]) == [ALERT]
        assert send(webhook, tmp_path, [ALERT, OTHER]) == [OTHER]
        assert send(webhook, tmp_path, [ALERT, OTHER]) == []
    assert len(got) == 2
    path, content_type, message = got[0]
    assert (path, content_type) == ("/hook/s3cret", "application/json")
    assert "n2" in message["blocks"][0]["text"]["text"]


def test_what_may_pass_is_tried_again(tmp_path):
    with receiver(503, 429) as (webhook, got):
        assert send(webhook, tmp_path, [ALERT]) == [ALERT]
    assert len(got) == 3


@pytest.mark.parametrize(("answers", "requests"), [((500,) * 9, ATTEMPTS), ((404,) * 9, 1)])
def test_what_was_not_sent_is_sent_the_next_time(tmp_path, answers, requests):
    with receiver(*answers) as (webhook, got):
        with pytest.raises(AlertError, match=f"it answered {answers[0]}") as caught:
            send(webhook, tmp_path, [ALERT])
        assert len(got) == requests
        assert caught.value.__cause__ is None
    assert "s3cret" not in str(caught.value)
    with receiver() as (webhook, got):
        assert send(webhook, tmp_path, [ALERT]) == [ALERT]


HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"\0" * 10_000_000)


@pytest.mark.parametrize(
    "talk",
    [
        saying(HEAD + b"Content-Length: 9000000000\r\n\r\n"),
        saying(HEAD + b"Content-Encoding: gzip\r\n\r\n" + BOMB),
        trickle(b"x", after=HEAD + b"\r\n"),
        trickle(b"1\r\nx\r\n", after=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        saying(HEAD + b"Content-Length: 9\r\n\r\nok"),
        saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
    ids=["huge", "bomb", "slow", "endless", "cut", "empty"],
)
def test_what_was_accepted_is_sent_once_whatever_the_answer_goes_on_with(talk, tmp_path):
    with speaking(talk) as (url, heard):
        begin = time.monotonic()
        assert send(SecretStr(url), tmp_path, [ALERT]) == [ALERT]
        assert send(SecretStr(url), tmp_path, [ALERT]) == []
        assert time.monotonic() - begin < 1
        assert len(heard) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"2026-11-01": 3}', b"\xff"])
def test_a_list_of_what_was_sent_that_is_damaged_stops_no_alert(content, tmp_path):
    (tmp_path / "sent.json").write_bytes(content)
    with receiver() as (webhook, got):
        assert send(webhook, tmp_path, [ALERT]) == [ALERT]
        assert send(webhook, tmp_path, [ALERT]) == []
    assert len(got) == 1


def test_names_from_telemetry_stay_in_the_body(tmp_path):
    """Whatever a node calls itself is no header, no mention, no link and no line of its own."""
    name = "n\r\nX-Evil: 1\r\n\r\n<!channel> <http://evil|here>\nNew playbooks may be acted on\n\u202e"
    alerts = [
        Alert(day=DAY, kind=kind, subject=name, text=name) for kind in ("silent_node", "rollback", "failed")
    ]
    with speaking(saying(HEAD + b"\r\n")) as (url, heard):
        send(SecretStr(url), tmp_path, alerts)
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert b"evil" not in head.lower()
    message = orjson.loads(body)
    assert "<" not in message["text"].replace("&lt;", "")
    for block in message["blocks"]:
        assert block["text"]["type"] == "plain_text"
        assert len(block["text"]["text"].splitlines()) == 2
        assert block["text"]["text"].replace("\n", "").isprintable(), "no direction is changed"


def test_a_redirect_is_not_followed(tmp_path):
    with (
        receiver() as (target, stolen),
        receiver(307, 307, location=target.get_secret_value()) as (webhook, _),
        pytest.raises(AlertError, match="307"),
    ):
        send(webhook, tmp_path, [ALERT])
    assert stolen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/s3cret",
        "http://127.0.0.1:notaport/s3cret",
        "http:///s3cret\x7f x",
        "http://[s3cret",
    ],
)
def test_the_url_is_in_no_error(tmp_path, url):
    with pytest.raises(AlertError) as caught:
        send(SecretStr(url), tmp_path, [ALERT])
    assert "s3cret" not in str(caught.value)
    assert "FEDERATED_LEARNING_ALERT_WEBHOOK" in str(caught.value)


def test_without_a_webhook_nothing_is_sent_or_remembered(tmp_path):
    assert send(None, tmp_path, [ALERT]) == []
    assert list(tmp_path.iterdir()) == []


def test_the_setting_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_ALERT_WEBHOOK", "https://hooks.example/s3cret")
    settings = FederatedLearningConfig.from_env()
    assert settings.alert_webhook.get_secret_value().endswith("s3cret")
    assert "s3cret" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    monkeypatch.setenv("FEDERATED_LEARNING_ALERT_WEBHOOK", "hooks.example/s3cret")
    with pytest.raises(SettingsError, match=r"FEDERATED_LEARNING_ALERT_WEBHOOK.*https://") as caught:
        FederatedLearningConfig.from_env()
    assert "s3cret" not in str(caught.value)
