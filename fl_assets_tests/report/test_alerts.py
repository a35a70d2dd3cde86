"""Posting alerts, against a server on this machine."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import pytest
from pydantic import SecretStr

from fl_assets.core.settings import FederatedLearningConfig, SettingsError
from fl_assets.report.alert_text import Alert
from fl_assets.report.alerts import ATTEMPTS, AlertError, send_new
from fl_assets_tests.build import DAY

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
