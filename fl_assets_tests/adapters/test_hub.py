"""Sources of adapters against real servers on loopback.

What is offered is what is there, and a server that misbehaves costs no more than its bounds.
"""

import io
import json
import logging
import time

import pytest

from fl_assets.adapters.hub import HubSource, ListSource, open_sources
from fl_assets.adapters.manifest import CONFIG, MANIFEST, WEIGHTS
from fl_assets.adapters.web import ATTEMPTS, FetchError, Web, place
from fl_assets_tests.adapter_servers import (
    KEY,
    OTHER_KEY,
    Hub,
    PlainList,
    body,
    endless,
    lora_files,
    reset_after,
    serving,
    signature_of,
    status,
)
from fl_assets_tests.conftest import settings_in

NAME = "acme/tool-calling"


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def hub_server(hub):
    with serving(hub.page) as server:
        yield server


@pytest.fixture
def plain():
    return PlainList()


@pytest.fixture
def plain_server(plain):
    with serving(plain.page) as server:
        yield server


def web_for(server, waits=None, **given) -> Web:
    """A web that is allowed this server alone and notes pauses in place of taking them."""
    return Web(
        [server.url.removeprefix("http://")], sleep=(waits if waits is not None else []).append, **given
    )


def hub_source(server, *repos, waits=None, **given) -> HubSource:
    return HubSource(repos or (NAME,), endpoint=server.url, web=web_for(server, waits, **given))


def list_source(server, *, waits=None, **given) -> ListSource:
    return ListSource(server.url, web=web_for(server, waits, **given))


def fetched(source, candidate, name=WEIGHTS) -> bytes:
    target = io.BytesIO()
    source.fetch(candidate, candidate.manifest.file(name), target)
    return target.getvalue()


def problem_of(source) -> str:
    (candidate,) = source.candidates()
    (problem,) = candidate.problems
    return str(problem)


# What is there
# ----------------------------------------------------------------------------------------------------


def test_the_real_client_finds_the_manifest_and_the_files_at_its_commit(hub, hub_server):
    manifest = hub.publish("1.2.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    assert (candidate.adapter_id, candidate.version, candidate.manifest) == (NAME, "1.2.0", manifest)
    assert candidate.commit == manifest.revision != hub.repos[NAME].head
    assert set(candidate.listed) == {"README.md", CONFIG, WEIGHTS}
    assert candidate.signature == signature_of(manifest, KEY)
    assert {name: fetched(source, candidate, name) for name in (CONFIG, WEIGHTS)} == lora_files(seed=1)
    downloads = [path for _, path, _ in hub_server.asked if "/resolve/" in path]
    assert all("/resolve/main/" not in path for path in downloads)


def test_a_branch_that_moves_after_the_listing_changes_nothing_of_a_download(hub, hub_server):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    hub.publish("2.0.0")
    assert fetched(source, candidate) == lora_files(seed=1)[WEIGHTS]


def test_a_plain_list_is_read_with_the_manifest_beside_the_weights(plain, plain_server):
    first, second = plain.publish("1.0.0"), plain.publish("2.0.0")
    source = list_source(plain_server)
    found = source.candidates()
    assert [candidate.manifest for candidate in found] == [first, second]
    assert not any(candidate.problems for candidate in found)
    assert {name: fetched(source, found[1], name) for name in (CONFIG, WEIGHTS)} == lora_files(seed=2)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("checksum", "0" * 64, "source"),
        ("file_size", 1, "source"),
        ("file_size", "1", "source"),
        ("model_name", "acme/other", "source"),
        ("signature", None, "source"),
        ("adapter_id", "../../etc", "adapter_name"),
        ("download_url", "/nowhere/weights.safetensors", "manifest"),
        ("download_url", "http://[x", "manifest"),
        ("download_url", "http://127.0.0.1:port/x", "manifest"),
        ("download_url", "file:///etc/passwd", "manifest"),
        ("download_url", "http://169.254.169.254/latest/meta-data", "manifest"),
    ],
)
def test_an_entry_that_lies_is_a_candidate_with_the_problem(plain, plain_server, field, value, rule):
    plain.publish("1.0.0")
    plain.entries[0][field] = value
    (candidate,) = list_source(plain_server).candidates()
    assert [problem.rule for problem in candidate.problems] == [rule]


@pytest.mark.parametrize(
    "content", [b"<html>Log in</html>", b'{"a": 1}', json.dumps([{}] * 201).encode(), b"[" * 100_000]
)
def test_a_list_that_is_none_is_one_problem_of_the_source(plain_server, content):
    plain_server.plant("/list", body(content))
    assert problem_of(list_source(plain_server)).startswith("source:")


def test_entries_of_any_kind_are_candidates_with_problems(plain, plain_server):
    plain.entries = [None, 1, [], {"adapter_id": 5}, {"adapter_id": "a\x1b[31m", "version": None}]
    found = list_source(plain_server).candidates()
    assert len(found) == 5
    assert all(candidate.problems[0].rule == "source" for candidate in found)
    assert all(candidate.adapter_id.isprintable() for candidate in found)


def test_a_repository_that_is_not_there_or_has_no_manifest_says_so(hub, hub_server):
    hub.publish("1.0.0")
    hub.repos[NAME].commit({"README.md": b"nothing else"})
    problems = [
        candidate.problems[0]
        for candidate in hub_source(hub_server, NAME, "acme/none", "no-org", "../../etc").candidates()
    ]
    assert [problem.rule for problem in problems] == ["manifest", "source", "adapter_name", "adapter_name"]
    assert not any(".." in path for _, path, _ in hub_server.asked)


def test_a_captive_portal_in_front_of_the_hub_is_a_problem_and_no_crash(hub, hub_server):
    hub.publish("1.0.0")
    hub_server.plant(f"/api/models/{NAME}", body(b"<html>Log in</html>", Content_Type="text/html"))
    assert problem_of(hub_source(hub_server)).startswith("source:")
    hub_server.plant(f"/{NAME}/resolve/{hub.repos[NAME].head}/{MANIFEST}", body(b"<html>Log in</html>"))
    assert problem_of(hub_source(hub_server)).startswith("manifest:")


def test_files_of_another_commit_than_asked_for_are_refused(hub, hub_server):
    manifest = hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    weights = lora_files(seed=1)[WEIGHTS]
    hub_server.plant(f"/{NAME}/resolve/{manifest.revision}/{WEIGHTS}", body(weights, X_Repo_Commit="b" * 40))
    with pytest.raises(FetchError, match="in place of"):
        fetched(source, candidate)


def test_sources_come_from_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    settings = settings_in(
        tmp_path, adapter_repos="acme/a, acme/b@main", adapter_url="https://lists.example/x/"
    )
    assert [source.name for source in open_sources(settings)] == [
        "https://mirror.example",
        "https://lists.example/x",
    ]
    assert open_sources(settings_in(tmp_path)) == []


# What goes wrong
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_a_server_that_fails_for_a_while_is_asked_again(hub, hub_server, code):
    hub.publish("1.0.0")
    waits = []
    source = hub_source(hub_server, waits=waits)
    hub_server.plant(f"/api/models/{NAME}", status(code), status(code))
    (candidate,) = source.candidates()
    assert candidate.problems == ()
    weights = f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}"
    hub_server.plant(weights, status(code), status(code))
    assert fetched(source, candidate) == lora_files(seed=1)[WEIGHTS]
    assert hub_server.times(weights) == 3
    assert len(waits) == 4
    assert all(0 <= wait <= 4 for wait in waits)


def test_a_server_that_fails_for_ever_is_given_up_after_a_few_attempts(hub, hub_server):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    weights = f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}"
    hub_server.plant(weights, status(503), for_ever=True)
    with pytest.raises(FetchError, match=f"HTTP 503.*{ATTEMPTS} attempts"):
        fetched(source, candidate)
    assert hub_server.times(weights) == ATTEMPTS
    hub_server.plant(f"/api/models/{NAME}", status(500), for_ever=True)
    assert "HTTP 500" in problem_of(source)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451])
def test_what_no_further_attempt_can_mend_is_not_tried_again(plain_server, code):
    plain_server.plant("/list", status(code), for_ever=True)
    assert f"HTTP {code}" in problem_of(list_source(plain_server))
    assert plain_server.times("/list") == 1


def test_a_pause_that_the_server_asks_for_is_kept_unless_it_is_too_long(plain, plain_server):
    waits = []
    plain_server.plant(
        "/list",
        status(429, Retry_After="7"),
        status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        status(503, Retry_After="soon"),
        status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 +9999999999999999"),
    )
    assert list_source(plain_server, waits=waits).candidates() == []
    assert 7 <= waits[0] <= 8
    assert 0 <= waits[1] <= 1
    assert len(waits) == 4
    plain_server.plant("/list", status(429, Retry_After="86400"))
    assert "asks for a pause of 86400 s" in problem_of(list_source(plain_server))
    assert plain.entries == []


def test_a_connection_that_breaks_in_the_middle_is_tried_again_from_the_start(hub, hub_server):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    weights = lora_files(seed=1)[WEIGHTS]
    hub_server.plant(
        f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}",
        reset_after(b"x" * 100, len(weights)),
        reset_after(weights[:-1], len(weights)),
    )
    assert fetched(source, candidate) == weights


def stalling(_handler) -> bool:
    time.sleep(0.5)
    return False


def test_a_server_that_is_not_there_or_does_not_answer_is_a_problem(plain_server):
    plain_server.plant("/list", stalling, for_ever=True)
    assert "too slow" in problem_of(list_source(plain_server, timeout=0.05))
    web = Web(["127.0.0.1:9"], sleep=lambda _: None)
    assert "attempts" in problem_of(ListSource("http://127.0.0.1:9", web=web))
    assert problem_of(HubSource([NAME], endpoint="http://127.0.0.1:9", web=web)).startswith("source:")


def test_data_without_end_stops_at_the_byte_after_the_promised_length(hub, hub_server):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    hub_server.plant(f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}", endless)
    target = io.BytesIO()
    with pytest.raises(FetchError, match="more than"):
        source.fetch(candidate, candidate.manifest.file(WEIGHTS), target)
    assert len(target.getvalue()) <= candidate.manifest.file(WEIGHTS).size
    hub_server.plant(f"/{NAME}/resolve/{hub.repos[NAME].head}/{MANIFEST}", endless)
    assert "more than" in problem_of(source)


def test_a_trickle_does_not_outlast_its_deadline(plain_server, monkeypatch):
    monkeypatch.setattr("fl_assets.adapters.hub.LIST_BYTES", 1000)
    sent = []

    def trickle(handler) -> bool:
        handler.send(200, b"", Content_Length="1000")
        for _ in range(200):
            sent.append(handler.wfile.write(b" "))
            time.sleep(0.02)
        return True

    plain_server.plant("/list", trickle)
    assert "too slow" in problem_of(list_source(plain_server, timeout=0.2))
    assert len(sent) < 100


def test_a_source_as_a_whole_has_a_deadline_however_many_entries_and_pauses_it_has(
    plain, plain_server, monkeypatch
):
    monkeypatch.setattr("fl_assets.adapters.web.SOURCE_SECS", 0.3)
    plain.publish("1.0.0")
    plain.entries *= 50
    manifest = f"/files/tool-calling/1.0.0/{MANIFEST}"
    plain_server.plant(manifest, status(503, Retry_After="100"), for_ever=True)
    slept = []

    def pause(secs: float) -> None:
        slept.append(secs)
        time.sleep(secs)

    begin = time.monotonic()
    found = ListSource(plain_server.url, web=Web([plain_server.url[7:]], sleep=pause)).candidates()
    assert time.monotonic() - begin < 5
    assert len(found) == 50
    assert all("altogether" in str(one.problems[0]) for one in found)
    assert max(slept) <= 0.3


@pytest.mark.parametrize("field", ["model_name", "checksum", "download_url", "adapter_id", "version"])
def test_what_a_source_says_can_be_stored_and_shown(plain, plain_server, field):
    plain.publish("1.0.0")
    plain.entries[0][field] = "\ud800\u202e\x1b[2J" * 500
    (found,) = list_source(plain_server).candidates()
    assert all(str(one).isprintable() and len(str(one)) < 10_000 for one in found.problems)


@pytest.mark.parametrize("extra", [-1, 1])
def test_another_length_than_promised_is_refused_before_a_byte_is_read(hub, hub_server, extra):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    size = candidate.manifest.file(WEIGHTS).size + extra
    hub_server.plant(f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}", body(b"x" * size))
    with pytest.raises(FetchError, match=f"announces {size} bytes"):
        fetched(source, candidate)


# Hosts and secrets
# ----------------------------------------------------------------------------------------------------


def test_a_redirect_to_another_host_is_followed_only_when_it_is_allowed_and_without_the_token(
    hub, hub_server, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    hub.publish("1.0.0")
    weights = lora_files(seed=1)[WEIGHTS]
    with serving(lambda *_: (weights, {})) as cdn:
        source = hub_source(hub_server)
        (candidate,) = source.candidates()
        path = f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}"
        away = status(302, Location=f"{cdn.url}/blob?X-Amz-Signature=verysecret")
        hub_server.plant(path, away)
        with pytest.raises(FetchError, match="is no allowed host"):
            fetched(source, candidate)
        assert cdn.asked == []
        hub_server.plant(path, away)
        allowed = HubSource([NAME], endpoint=hub_server.url, hosts=[cdn.url.removeprefix("http://")])
        assert fetched(allowed, candidate) == weights
        assert cdn.asked == [("GET", "/blob", None)]
    assert ("GET", path, "Bearer hf_secretsecretsecret") in hub_server.asked


def test_a_redirect_on_the_same_host_keeps_the_token(hub, hub_server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    path = f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}"
    hub_server.plant(path, status(307, Location=f"{path}?again"))
    assert fetched(source, candidate) == lora_files(seed=1)[WEIGHTS]
    assert [token for _, asked, token in hub_server.asked if asked == path] == [
        "Bearer hf_secretsecretsecret"
    ] * 2


def test_what_a_repository_holds_is_asked_of_allowed_hosts_alone(hub, hub_server):
    hub.publish("1.0.0")
    with serving(lambda *_: (b"{}", {})) as other:
        hub_server.plant(f"/api/models/{NAME}", status(302, Location=f"{other.url}/api"), for_ever=True)
        assert "is no allowed host" in problem_of(hub_source(hub_server))
        assert other.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://user:pw@127.0.0.1/x",
        "data:,x",
        "//evil.example/x",
        "http://[::1",
    ],
)
def test_a_redirect_to_anything_but_plain_http_is_refused(plain_server, location):
    plain_server.plant("/list", status(302, Location=location), for_ever=True)
    assert problem_of(list_source(plain_server)).startswith("source:")


def test_redirects_in_a_circle_end(plain_server):
    plain_server.plant("/list", status(302, Location="/list"), for_ever=True)
    assert "HTTP 302" in problem_of(list_source(plain_server))
    assert plain_server.times("/list") <= 10


def test_https_is_never_left_for_http():
    with pytest.raises(FetchError, match="redirects from https"):
        Web(["127.0.0.1:*"]).following("https://127.0.0.1:1/x", "http://127.0.0.1:1/x")


def test_no_log_and_no_message_holds_a_token_or_a_signed_url(hub, hub_server, caplog, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    caplog.set_level(logging.DEBUG)
    hub.publish("1.0.0")
    weights = lora_files(seed=1)[WEIGHTS]
    with serving(lambda *_: (weights, {})) as cdn:
        source = HubSource([NAME], endpoint=hub_server.url, hosts=[cdn.url.removeprefix("http://")], web=None)
        (candidate,) = source.candidates()
        path = f"/{NAME}/resolve/{candidate.commit}/{WEIGHTS}"
        hub_server.plant(path, status(302, Location=f"{cdn.url}/blob?X-Amz-Signature=verysecret"))
        fetched(source, candidate)
        cdn.plant("/blob", status(403), for_ever=True)
        hub_server.plant(path, status(302, Location=f"{cdn.url}/blob?X-Amz-Signature=verysecret"))
        with pytest.raises(FetchError) as error:
            fetched(source, candidate)
    said = caplog.text + str(error.value) + repr(error.value.__context__)
    assert "secretsecret" not in said
    assert "verysecret" not in said


def test_what_is_shown_of_a_url_has_no_user_no_password_and_no_query():
    assert place("https://user:pw@host.example:8443/a/b?token=x#y") == "https://host.example:8443/a/b"
    with pytest.raises(FetchError, match="must hold no user") as error:
        HubSource([NAME], endpoint="https://user:pw@hub.example")
    assert "pw" not in str(error.value)


def test_offline_nothing_is_asked(hub, hub_server, monkeypatch):
    hub.publish("1.0.0")
    source = hub_source(hub_server)
    (candidate,) = source.candidates()
    hub_server.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in problem_of(source)
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set"):
        fetched(source, candidate)
    assert hub_server.asked == []


def test_a_signature_by_another_key_is_carried_as_it_is(hub, hub_server):
    manifest = hub.publish("1.0.0", key=OTHER_KEY)
    (candidate,) = hub_source(hub_server).candidates()
    assert candidate.signature == signature_of(manifest, OTHER_KEY)
