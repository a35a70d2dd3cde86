"""Pulling a day: pages, limits, refusals, breaks, and tokens that are found nowhere."""

import base64
import gzip
import json
import logging
import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from typer.testing import CliRunner

from fl_assets.cli import app
from fl_assets.cli.application import CommandError
from fl_assets.cli.cycle_view import cycle_view
from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.defs.assets.sources import pulled_telemetry, sources_answer
from fl_assets.defs.resources import resources
from fl_assets.infra.rule_files import RuleFileError
from fl_assets.sources import api, phoenix
from fl_assets.sources import pull as pulling
from fl_assets.sources.pull import Pull
from fl_assets.sources.source import RemoteSource, read_sources
from fl_assets.workspace import Workspace
from fl_assets_tests.adapter_servers import Server
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.sources import servers
from fl_assets_tests.sources.servers import PROJECT, TOKEN, langfuse

DAY = date.fromisoformat(servers.DAY)
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
ENVIRONMENT = {"THE_TOKEN": TOKEN, "THE_USER": "pk-lf-1"}


@contextmanager
def served(server: Server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def source(server: Server, kind: str = "langfuse", **given) -> RemoteSource:
    fields = {
        "name": "shop",
        "kind": kind,
        "url": server.url,
        "token_env": "THE_TOKEN",
        "user_env": "THE_USER",
    }
    return RemoteSource(**(fields | given))


class Waits(list):
    """What would have been slept."""

    def __call__(self, secs: float) -> None:
        self.append(secs)


def puller(folder, *, now: datetime = NOW, waits=None, **given) -> Pull:
    sleep = waits if waits is not None else Waits()
    return Pull(folder, clock=lambda: now, environment=ENVIRONMENT, sleep=sleep, **given)


def file_of(folder, name: str = "shop"):
    return folder / name / servers.DAY / "pulled.jsonl.gz"


def lines_of(folder, name: str = "shop") -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(file_of(folder, name).read_bytes()).splitlines()]


def status(code: int, **headers: str):
    """An answer of this status, whatever is asked."""

    def answer(handler) -> bool:
        servers.body_of(handler)
        handler.send(code, b"no", **headers)
        return True

    return answer


def let_pass(_) -> bool:
    """No answer: the server's own is given."""
    return False


def saying(content: bytes):
    """An answer of this content."""

    def answer(handler) -> bool:
        servers.body_of(handler)
        handler.send(200, content)
        return True

    return answer


OBSERVATIONS = "/api/public/v2/observations"

KINDS = {
    "langfuse": (lambda: langfuse(25), {"page_size": 10}, 26),
    "langfuse before v4": (lambda: langfuse(25, newer=False), {"page_size": 10}, 35),
    "phoenix": (lambda: servers.phoenix(25), {"project": "my/shop", "page_size": 10}, 26),
    "mlflow": (lambda: servers.mlflow(25), {"project": "x", "page_size": 10}, 25),
    "langsmith": (lambda: servers.langsmith(25), {"project": "x", "page_size": 10}, 25),
    "langsmith v1": (lambda: servers.langsmith(25, newer=False), {"project": PROJECT, "page_size": 10}, 25),
    "clickhouse": (lambda: servers.clickhouse(25), {"page_size": 10}, 25),
    "clickhouse, all at one time": (lambda: servers.clickhouse(4), {"page_size": 2}, 4),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_day_of_every_kind_becomes_calls_and_failures(name, tmp_path):
    """Whatever the API's pages, the ingestion finds every record once: its calls, failures and scores."""
    make, given, records = KINDS[name]
    settings = settings_in(tmp_path)
    with served(make()) as server:
        kind, folder = name.split()[0].strip(","), "elsewhere" if name == "mlflow" else "shop"
        shop = source(server, kind, name=folder, **given)
        found = puller(settings.telemetry_path).day(shop, DAY)
    assert found.problem == ""
    assert found.kept == records
    space = Workspace(settings)
    report, _ = space.intake.ingest()
    assert not report.unread
    space.warehouse.create(settings.lake_folder)
    calls = space.warehouse.rows("select * from raw_traces where event_date = $day", {"day": DAY})
    own = [row for row in calls if not row["success"]]
    count = 4 if "one time" in name else 25
    assert len(calls) == count
    assert len(own) == -(-count // 3)
    assert {row["method"] for row in calls} == {"search"}
    assert {row["node_id"] for row in calls} == {"shop"}
    assert all("upstream timed out" in row["error"] for row in own)
    if name.startswith(("langfuse", "phoenix", "mlflow", "langsmith")):
        (scores,) = space.warehouse.rows("select count(*) as n from evaluations")
        assert scores["n"] == (9 if name == "mlflow" else 1)
    if name.startswith("langfuse"):
        assert {row["service"] for row in calls} == {"travel"}
        assert {json.loads(row["metadata"])["session_id"] for row in calls} == {"s-1"}


def test_pages_that_a_server_limits_are_waited_for(tmp_path):
    waits = Waits()
    with served(langfuse(3)) as server:
        server.plant(OBSERVATIONS, status(429, Retry_After="7"), status(503))
        found = puller(tmp_path, waits=waits).day(source(server), DAY)
    assert (found.problem, found.kept) == ("", 4)
    assert 7 <= waits[0] <= 8
    assert len(waits) == 2


def test_a_server_that_asks_for_an_hour_is_left_alone(tmp_path):
    waits = Waits()
    with served(langfuse(3)) as server:
        server.plant(OBSERVATIONS, status(429, Retry_After="3600"))
        found = puller(tmp_path, waits=waits).day(source(server), DAY)
    assert "a pause of 3600 s" in found.problem
    assert waits == []


def test_a_refused_token_is_told_by_the_name_of_its_variable(tmp_path):
    with served(langfuse(3)) as server:
        server.plant(OBSERVATIONS, status(401), for_ever=True)
        found = puller(tmp_path).day(source(server), DAY)
        assert len(server.asked) == 1
    assert "the token in THE_USER and THE_TOKEN is refused" in found.problem


def test_a_page_that_is_no_json_is_asked_for_again_and_then_told_of(tmp_path):
    cut = saying(b'{"data": [{"id": "1", "tra')

    with served(langfuse(3)) as server:
        server.plant(OBSERVATIONS, cut)
        assert puller(tmp_path).day(source(server), DAY).problem == ""
        server.plant(OBSERVATIONS, cut, for_ever=True)
        assert "no JSON" in puller(tmp_path).day(source(server), DAY).problem
        server.plant(OBSERVATIONS, saying(b'{"data": {"a": 1}}'))
        assert "without a list of objects as 'data'" in puller(tmp_path).day(source(server), DAY).problem
    assert len(lines_of(tmp_path)) == 4, "what was pulled before stays"


def test_a_redirect_is_not_followed(tmp_path):
    with served(langfuse(1)) as elsewhere, served(langfuse(1)) as server:
        server.plant(OBSERVATIONS, status(302, Location=elsewhere.url + OBSERVATIONS), for_ever=True)
        assert "it redirects" in puller(tmp_path).day(source(server), DAY).problem
        assert elsewhere.asked == []


def test_a_pull_that_broke_off_goes_on_where_it_stopped(tmp_path):
    """Nothing is read of half a day, and what follows is the same file as of a pull in one go."""
    with served(langfuse(25)) as server:
        shop = source(server, page_size=10)
        server.plant(OBSERVATIONS, let_pass, let_pass, status(500), for_ever=True)
        found = puller(tmp_path / "a").day(shop, DAY)
        assert "HTTP 500" in found.problem
        assert not file_of(tmp_path / "a").exists()
        server.planted.clear()
        server.asked.clear()
        found = puller(tmp_path / "a").day(shop, DAY)
        assert (found.problem, found.kept) == ("", 26)
        assert [path for _, path, _ in server.asked].count(OBSERVATIONS) == 1
        puller(tmp_path / "b").day(shop, DAY)
    assert file_of(tmp_path / "a").read_bytes() == file_of(tmp_path / "b").read_bytes()
    assert sorted(path.name for path in file_of(tmp_path / "a").parent.iterdir()) == [
        ".lock",
        ".pull.json",
        "pulled.jsonl.gz",
    ]


@pytest.mark.parametrize("how", ["cut page", "another entry", "long ago", "no pages"])
def test_what_was_collected_is_used_only_while_it_holds(how, tmp_path):
    with served(langfuse(25)) as server:
        shop = source(server, page_size=10)
        server.plant(OBSERVATIONS, let_pass, status(500), for_ever=True)
        puller(tmp_path).day(shop, DAY)
        server.planted.clear()
        pages = file_of(tmp_path).parent / ".pages"
        if how == "cut page":  # a crash while the next page was written
            pages.write_bytes(pages.read_bytes() + b'{"id": "half')
        elif how == "no pages":
            pages.unlink()
        later = NOW + timedelta(days=1 if how == "long ago" else 0)
        again = shop.model_copy(update={"page_size": 20}) if how == "another entry" else shop
        assert puller(tmp_path, now=later).day(again, DAY).problem == ""
    assert [row["id"] for row in lines_of(tmp_path)][:25] == [f"{number:016x}" for number in range(25)]


def test_pulling_again_finishes_what_was_unfinished_and_changes_nothing_else(tmp_path):
    settings = settings_in(tmp_path)
    space = Workspace(settings)
    rows = [servers.observation(1, done=False), servers.observation(2)]

    def page(_, path, handler):
        return servers.as_json({"data": rows if path == OBSERVATIONS else [], "meta": {}})

    with served(Server(page)) as server:
        shop = source(server)
        puller(settings.telemetry_path).day(shop, DAY)
        space.intake.ingest()
        before = file_of(settings.telemetry_path).stat()
        puller(settings.telemetry_path).day(shop, DAY)
        after = file_of(settings.telemetry_path).stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        rows[0] = servers.observation(1)
        puller(settings.telemetry_path).day(shop, DAY)
        report, _ = space.intake.ingest()
        assert report.files == 1
        rows.clear()
        assert puller(settings.telemetry_path).day(shop, DAY).kept == 2, "a day that a server forgot stays"
    space.warehouse.create(settings.lake_folder)
    calls = space.warehouse.rows("select success, duration_ms from raw_traces order by event_id")
    assert [(row["success"], row["duration_ms"]) for row in calls] == [(True, 500.0), (True, 500.0)]


def test_a_server_that_gives_the_same_page_for_ever_is_stopped(tmp_path):
    def page(_, path, handler):
        return servers.as_json({"data": [servers.observation(1)], "meta": {"cursor": "c1"}})

    with served(Server(page)) as server:
        assert "the same page again and again" in puller(tmp_path).day(source(server), DAY).problem


def lying(kind: str, content, folder, **given):
    """The state after a pull of a server whose records are these answers, the last one for ever."""
    make, about, _ = KINDS[kind]
    answers = [content] if isinstance(content, bytes) else content
    with served(make()) as server:
        server.plant(servers.PATHS[kind], *map(saying, answers), for_ever=True)
        shop = source(server, kind, **{**about, "page_size": None})
        return puller(folder, **given).day(shop, DAY)


@pytest.mark.parametrize("kind", servers.PATHS)
def test_one_odd_value_costs_that_value_and_no_day(kind, tmp_path):
    """Nested deeper than can be written, longer than a number, or no character at all."""
    for place, odd in enumerate(
        (b"[" * 1010 + b"]" * 1010, b"9" * 5000, b'"\\ud800"', b'"\xff\xfe"', b"NaN", b"1e999")
    ):
        record = servers.RECORD[:-1] + b', "odd": ' + odd + b"}"
        found = lying(kind, servers.a_page(kind, record), tmp_path / str(place))
        assert (found.problem, found.kept > 0) == ("", True), odd[:20]


@pytest.mark.parametrize("kind", [kind for kind in servers.PATHS if kind != "clickhouse"])
@pytest.mark.parametrize(
    "after",
    [b'"\\ud800"', b"[" * 300 + b"]" * 300, b'"' + b"a" * 100_000 + b'"'],
    ids=["a lone surrogate", "deep", "long"],
)
def test_a_next_page_that_cannot_be_noted_is_that_source_s_problem(kind, after, tmp_path):
    found = lying(kind, servers.a_page(kind, after=after), tmp_path)
    assert "says where the next page begins with what cannot be kept" in found.problem


@pytest.mark.parametrize("kind", [kind for kind in servers.PATHS if kind != "clickhouse"])
def test_pages_in_a_circle_are_noticed(kind, tmp_path):
    """By their marks, and by their content where the marks go on for ever."""
    turns = [
        servers.a_page(kind, b'{"trace_id": "tr-%d"}' % number, b'"%d"' % (number % 3))
        for number in (1, 2, 3, 4, 5)
    ]
    assert "same page again and again" in lying(kind, turns, tmp_path / "marks").problem
    ever = [servers.a_page(kind, after=b'"%d"' % number) for number in (1, 2)]
    assert "same page again and again" in lying(kind, ever, tmp_path / "content").problem


@pytest.mark.parametrize("kind", servers.PATHS)
def test_a_token_that_a_server_says_back_is_kept_nowhere(kind, tmp_path):
    """Neither as it was sent, nor as it stands in a header, nor with its slashes escaped."""
    sent = _basic() if kind in ("langfuse", "phoenix", "mlflow") else TOKEN
    record = servers.RECORD[:-1] + f', "k": ["{TOKEN}", "{sent}"]}}'.encode()
    found = lying(kind, servers.a_page(kind, record, json.dumps(TOKEN).encode()), tmp_path)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    kept += [gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz")]
    kept.append(found.model_dump_json().encode())
    assert not [content for content in kept if TOKEN.encode() in content or _basic().encode() in content]
    assert any(b"<API_KEY>" in content for content in kept)


def test_the_end_of_a_pull_holds_within_a_page_and_its_pauses(tmp_path):
    """MLflow's traces are asked for one by one, each of which may be slow, or put off."""
    waits = Waits()
    with served(servers.mlflow(25)) as server:
        server.plant("/ajax-api/2.0/mlflow/get-trace-artifact", status(429, Retry_After="100"), for_ever=True)
        shop = source(server, "mlflow", project="x")
        found = puller(tmp_path, seconds=150, waits=waits).day(shop, DAY)
    assert "not over after" not in found.problem, "pauses that fit are waited for"
    with served(servers.mlflow(25)) as server:
        server.plant("/ajax-api/2.0/mlflow/get-trace-artifact", status(429, Retry_After="100"), for_ever=True)
        found = puller(tmp_path, seconds=50, waits=(waits := Waits())).day(
            source(server, "mlflow", project="x"), DAY
        )
        assert ("not over after 50 s" in found.problem, waits) == (True, [])

        def drip(handler) -> bool:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(400):
                handler.wfile.write(b" ")
                time.sleep(0.02)
            return True

        server.plant("/ajax-api/2.0/mlflow/get-trace-artifact", drip, for_ever=True)
        since = time.monotonic()
        found = puller(tmp_path, seconds=0.3).day(source(server, "mlflow", project="x"), DAY)
        assert (found.problem != "", time.monotonic() - since < 3) == (True, True)


def test_lists_without_an_end_have_one(tmp_path, monkeypatch):
    monkeypatch.setattr(phoenix, "_MAX_LISTS", 20)
    numbers = iter(range(10_000))

    def endless(handler) -> bool:
        said = {"data": [{"name": f"\x1b[31mp{next(numbers)}\u202e"}], "next_cursor": str(next(numbers))}
        handler.send(200, json.dumps(said).encode())
        return True

    with served(servers.phoenix(3)) as server:
        server.plant("/v1/projects", endless, for_ever=True)
        problem = puller(tmp_path).day(source(server, "phoenix", project="my/shop"), DAY).problem
        assert "Phoenix has no project 'my/shop'" in problem
        assert problem.isprintable(), "names of a server move no terminal"
        server.planted.clear()
        server.plant("/v1/projects/UHJvamVjdDoy/span_annotations", endless, for_ever=True)
        found = puller(tmp_path).day(source(server, "phoenix", project="my/shop"), DAY)
        assert (found.problem, found.kept) == ("", 23)
        server.plant("/v1/projects", saying(b'{"data": [{"name": "my/shop"}]}'), for_ever=True)
        lost = puller(tmp_path, now=NOW + timedelta(days=1)).day(
            source(server, "phoenix", project="my/shop"), DAY
        )
        assert "no project" in lost.problem, "one without an id"


def test_answers_that_would_take_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "MAX_PAGE_VALUES", 1000)
    many = servers.a_page("langfuse", b"{}," * 2000 + b"{}")
    assert "more than 1000 values" in lying("langfuse", many, tmp_path).problem
    rows = servers.a_page("clickhouse") + b"\n" * 20_000
    assert "more than the 10000 rows" in lying("clickhouse", rows, tmp_path / "rows").problem


@pytest.mark.parametrize("what", [".pull.json", ".pages", ".lock", ".pulled.jsonl.gz.tmp"])
@pytest.mark.parametrize("how", ["folder", "pipe", "link"])
def test_what_lies_in_a_day_s_folder_stops_no_other_source(what, how, tmp_path):
    with served(langfuse(3)) as server:
        place = file_of(tmp_path).parent / what
        place.parent.mkdir(parents=True)
        {
            "folder": place.mkdir,
            "pipe": lambda: os.mkfifo(place),
            "link": lambda: place.symlink_to(tmp_path / "elsewhere"),
        }[how]()
        shop, other = source(server), source(server, name="other")
        found = puller(tmp_path).days([shop, other], [DAY])
        assert (found[1].source, found[1].problem) == ("other", "")
        assert not (tmp_path / "elsewhere").exists()
        assert "cannot be written to" in found[0].problem or found[0].kept == 4


def test_a_pull_has_an_end(tmp_path, monkeypatch):
    with served(langfuse(25)) as server:
        shop = source(server, page_size=10)
        assert "not over after 0 s" in puller(tmp_path, seconds=0).day(shop, DAY).problem
        monkeypatch.setattr(pulling, "MAX_DAY_BYTES", 3000)
        assert "more than 3000 bytes" in puller(tmp_path).day(shop, DAY).problem


def test_a_cycle_asks_no_more_of_a_source_that_is_out_of_reach(tmp_path):
    """One that answers is not held up by it; days that were just pulled, or just failed, are left alone."""
    days = [DAY, DAY + timedelta(days=1)]
    waits = Waits()
    with served(servers.phoenix(3)) as server:
        shop = source(server, "phoenix", project="my/shop")
        lost = source(server, name="lost").model_copy(update={"url": "http://127.0.0.1:9"})
        found = puller(tmp_path, waits=waits).days([lost, shop], days)
        assert [(one.source, bool(one.problem)) for one in found] == [
            ("lost", True),
            ("lost", True),
            ("shop", False),
            ("shop", False),
        ]
        assert len(waits) <= 8
        asked = len(server.asked)
        puller(tmp_path, waits=waits).days([lost, shop], days)
        assert len(server.asked) == asked
    assert "not asked: of a day before it" in found[1].problem


def test_a_day_pulled_too_soon_is_pulled_once_more(tmp_path):
    with served(servers.phoenix(3)) as server:
        shop = source(server, "phoenix", project="my/shop")
        soon = datetime(2026, 11, 3, 0, 30, tzinfo=UTC)
        next_day = soon + timedelta(days=1)
        puller(tmp_path, now=soon).days([shop], [DAY])
        found = puller(tmp_path, now=next_day).days([shop], [DAY + timedelta(days=1)])
        assert [one.day for one in found] == [DAY, DAY + timedelta(days=1)]
        found = puller(tmp_path, now=next_day + timedelta(days=1)).days([shop], [DAY + timedelta(days=1)])
        assert [one.day for one in found] == [DAY + timedelta(days=1)]


@pytest.mark.parametrize("kind", ["langfuse", "phoenix", "mlflow", "langsmith", "clickhouse"])
def test_the_token_is_sent_and_found_nowhere(kind, tmp_path, caplog, monkeypatch):
    """In no error, log, note or file, also when the server refuses it, breaks off or answers with it."""
    caplog.set_level(logging.DEBUG)
    settings = settings_in(tmp_path, sources_path=_sources_file(tmp_path, kind, "http://127.0.0.1:9"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    said = []
    for answer in (status(401), status(500, X_Echo=TOKEN), saying(TOKEN.encode())):
        with served(Server(lambda *_: None)) as server:
            server.planted = _Everywhere(answer)
            shop = source(server, kind, project="x")
            found = puller(settings.telemetry_path).day(shop, DAY)
            assert found.problem
            said.append(found.model_dump_json())
            headers = server.planted.headers
    assert any(TOKEN in value or "Basic" in value for value in headers), "it is sent"
    monkeypatch.setattr("fl_assets.sources.api.ATTEMPTS", 1)
    result = CliRunner().invoke(
        app,
        ["pull", "--date", servers.DAY],
        env={
            "FEDERATED_LEARNING_SOURCES_PATH": str(settings.sources_path),
            "FEDERATED_LEARNING_TELEMETRY_PATH": str(settings.telemetry_path),
        },
    )
    assert isinstance(result.exception, CommandError)
    said += [str(result.exception), result.output, caplog.text]
    said += [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in said if TOKEN in text or _basic() in text]


class _Everywhere(dict):
    """Planted answers: the same on every path; remembers the headers it was asked with."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.headers: list[str] = []

        def noting(handler) -> bool:
            self.headers += list(handler.headers.values())
            return answer(handler)

        self._answers = [noting]

    def get(self, *_):
        return list(self._answers)


def _basic() -> str:
    return base64.b64encode(f"pk-lf-1:{TOKEN}".encode()).decode()


def _sources_file(folder, kind: str, url: str, **more: str):
    """A file with the source `shop`, and others by name and url."""
    path = folder / "sources.yaml"
    about = f"kind: {kind}, project: x, token_env: THE_TOKEN, user_env: THE_USER"
    lines = [f"  - {{name: {name}, url: '{to}', {about}}}" for name, to in {"shop": url, **more}.items()]
    path.write_text("\n".join(["sources:", *lines, ""]))
    return path


def test_a_host_without_an_address_is_named(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with served(langfuse(1)) as server:
        there = source(server).model_copy(update={"url": "http://phoenix.internal"})
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    problem = puller(tmp_path).day(there, DAY).problem
    assert problem.startswith("cannot resolve phoenix.internal (")


def test_a_variable_that_is_not_set_is_named(tmp_path):
    with served(langfuse(1)) as server:
        lacking = source(server, token_env="NOT_SET")
        assert "the environment variable NOT_SET, which sources.yaml names, is not set" in (
            puller(tmp_path).day(lacking, DAY).problem
        )
        odd = Pull(tmp_path, environment={"THE_USER": "a", "THE_TOKEN": "se\ncret"}, clock=lambda: NOW)
        assert "characters that no header may have" in odd.day(source(server), DAY).problem
        assert server.asked == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{name: a, kind: langfuse, url: 'https://x', token_env: 'sk-lf-123'}", "token_env"),
        ("{name: a, kind: langfuse, url: 'https://u:sk-lf-123@x'}", "holds no user, password"),
        ("{name: a, kind: langfuse, url: 'https://x', token: 'sk-lf-123'}", "token"),
        ("{name: ../a, kind: langfuse, url: 'https://x'}", "name"),
        ("{name: a, kind: other, url: 'https://x'}", "kind"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_without_its_values(entry, words, tmp_path):
    path = tmp_path / "sources.yaml"
    path.write_text(f"sources:\n  - {entry}\n")
    with pytest.raises(RuleFileError, match=words) as error:
        read_sources(path)
    assert "sources.yaml:2" in str(error.value)
    assert "sk-lf-123" not in str(error.value)


def test_the_command_pulls_one_source_or_all(tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with served(langfuse(3)) as server:
        path = _sources_file(tmp_path, "langfuse", server.url)
        monkeypatch.setenv("FEDERATED_LEARNING_SOURCES_PATH", str(path))
        monkeypatch.setenv("FEDERATED_LEARNING_TELEMETRY_PATH", str(tmp_path / "cache"))
        result = CliRunner().invoke(app, ["pull", "shop", "--date", servers.DAY])
        assert (result.exit_code, result.output) == (0, f"shop: 4 records of {servers.DAY}\n")
        result = CliRunner().invoke(app, ["pull", "--date", servers.DAY, "--json"])
        assert json.loads(result.output)[0]["kept"] == 4
        result = CliRunner().invoke(app, ["pull", "other"])
        assert "there are: shop" in str(result.exception)
    monkeypatch.delenv("FEDERATED_LEARNING_SOURCES_PATH")
    result = CliRunner().invoke(app, ["pull"])
    assert "FEDERATED_LEARNING_SOURCES_PATH" in str(result.exception)


def _materialised(settings: FederatedLearningConfig, instance):
    return dg.materialize(
        [pulled_telemetry, sources_answer],
        partition_key=servers.DAY,
        instance=instance,
        resources=resources(settings),
    )


def test_the_asset_goes_on_without_a_source_and_says_which(tmp_path, instance, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("fl_assets.infra.http._RANDOM", type("Never", (), {"uniform": lambda *_: 0.0}))
    with served(langfuse(3)) as server:
        path = _sources_file(tmp_path, "langfuse", server.url, lost="http://127.0.0.1:9")
        done = _materialised(settings_in(tmp_path, sources_path=path), instance)
    assert done.success
    (check,) = done.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "lost did not" in check.description
    (event,) = done.asset_materializations_for_node("pulled_telemetry")
    assert event.metadata["dagster/partition_row_count"].value == 4
    assert event.metadata["sources_that_did_not_answer"].value == 1


def test_without_sources_the_asset_does_nothing(tmp_path, instance):
    done = _materialised(settings_in(tmp_path), instance)
    (check,) = done.get_asset_check_evaluations()
    assert done.success
    assert check.passed
    assert "no source is set" in check.description
    assert not (tmp_path / "telemetry").exists()


def test_a_cycle_pulls_yesterday_and_goes_on_to_it(tmp_path, instance, monkeypatch):
    """What was learned from the day before does not keep a cycle on that day; one that is lost is said."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("fl_assets.infra.http._RANDOM", type("Never", (), {"uniform": lambda *_: 0.0}))
    with served(langfuse(25)) as server:
        path = _sources_file(tmp_path, "langfuse", server.url, lost="http://127.0.0.1:9")
        settings = settings_in(tmp_path, sources_path=path, min_events=10)
        coordinator = FederatedLearningCoordinator(settings, instance=instance, clock=lambda: NOW)
        settings.telemetry_path.mkdir(parents=True)
        coordinator.workspace.pull = puller(settings.telemetry_path)
        assert coordinator.latest_complete_day() == DAY
        result = coordinator.run_learning_cycle(DAY)
    assert result.events_processed == 25
    (lost,) = cycle_view(coordinator.workspace, result).not_pulled
    assert lost.source == "lost"
    assert "no connection" in lost.problem
