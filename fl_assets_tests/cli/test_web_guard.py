"""The rules of the guard in front of the webserver, request by request."""

import asyncio

import pytest

from fl_assets.cli.web_guard import LOOPBACK, Asked, WebGuard, problem_of

JSON = {"content-type": "application/json"}
OURS = {"host": "127.0.0.1:3000"}


def asked(method="GET", path="/", *, query=False, websocket=False, **headers) -> Asked:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Asked(method, path, query, named, websocket)


def refused(*given, hosts=LOOPBACK, **named) -> str:
    return problem_of(asked(*given, **named), hosts)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:3000"},
        {"host": "localhost"},
        {"host": "[::1]:3000", "sec_fetch_site": "none"},
        {"host": "LOCALHOST:3000", "sec_fetch_site": "same-origin", "origin": "http://localhost:3000"},
        {
            "host": "127.0.0.1:3000",
            "sec_fetch_site": "cross-site",
            "sec_fetch_mode": "navigate",
            "sec_fetch_dest": "document",
        },
    ],
)
def test_a_person_and_their_own_tools_read_pages(headers):
    assert refused("GET", "/assets/playbooks", query=True, **headers) == ""


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example:3000", "localhost.evil.example", "evil.example:127.0.0.1"),
        *(
            "",
            "localhost.",
            "127.1",
            "0.0.0.0:3000",
            "user@localhost",
            "localhost:3000:80",
            "[::1].evil.example",
        ),
    ],
)
def test_a_name_that_is_not_ours_reaches_nothing(host):
    assert "is none of this server's" in refused("GET", "/", host=host)
    assert "is none of this server's" in refused(
        "POST", "/graphql", host=host, content_type="application/json"
    )
    assert "is none of this server's" in refused("GET", "/graphql", websocket=True, host=host)


def test_without_a_host_nothing_is_answered():
    assert "is none of this server's" in refused("GET", "/")


def test_a_name_of_the_settings_is_ours():
    assert refused("GET", "/", hosts=(*LOOPBACK, "ui.example"), host="ui.example:8443") == ""


def test_the_ui_and_a_client_without_a_page_ask_graphql():
    page = {"origin": "http://127.0.0.1:3000", "sec_fetch_site": "same-origin"}
    for headers in ({}, page):
        assert (
            refused(
                "POST",
                "/graphql",
                query=True,
                **OURS,
                content_type="application/json; charset=utf-8",
                **headers,
            )
            == ""
        )
        assert refused("GET", "/graphql", websocket=True, **OURS, **headers) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:3001",
        "http://localhost:3000",
        "https://127.0.0.1:3000.evil.example",
        "127.0.0.1:3000",
    ],
)
def test_a_page_of_another_origin_asks_nothing(origin):
    for method, websocket in (("POST", False), ("GET", True), ("GET", False), ("OPTIONS", False)):
        found = refused(
            method, "/graphql", websocket=websocket, **OURS, content_type="application/json", origin=origin
        )
        assert "it comes from a page of" in found


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_what_a_foreign_page_embeds_is_not_answered(site):
    for dest in ("image", "iframe", "script", "empty", ""):
        assert "another origin" in refused(
            "GET",
            "/",
            **OURS,
            sec_fetch_site=site,
            sec_fetch_mode="navigate" if dest == "iframe" else "no-cors",
            sec_fetch_dest=dest,
        )
    followed = {"sec_fetch_site": site, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert "another origin" in refused("GET", "/graphql", **OURS, **followed)
    assert "another origin" in refused("POST", "/assets", **OURS, content_type="application/json", **followed)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql"])
def test_a_mutation_by_get_is_refused_whoever_sends_it(method, path):
    assert refused(method, path, query=True, **OURS) == "GraphQL is asked by POST"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/graphql",
        "application/jsonp",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/raw_traces"])
def test_what_a_form_can_send_changes_nothing(kind, path):
    headers = {"content_type": kind} if kind else {}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert refused(method, path, **OURS, **headers) == "what changes something comes as application/json"


@pytest.mark.parametrize("name", ["host", "origin", "content-type"])
def test_a_header_that_is_there_twice_is_not_guessed_at(name):
    headers = {"host": ["127.0.0.1"], "content-type": ["application/json"]}
    headers[name] = ["127.0.0.1", "evil.example"]
    assert (
        problem_of(Asked("POST", "/graphql", False, headers), LOOPBACK) == f"the header {name} is there twice"
    )


def through(scope) -> list[dict]:
    """What a guarded application that answers 200 sends."""
    sent: list[dict] = []

    async def application(_, __, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def send(message):
        sent.append(message)

    asyncio.run(WebGuard(application, hosts=("UI.example",))(scope, None, send))
    return sent


def test_an_answer_may_not_be_framed_or_read_by_others():
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"Host", b"ui.example")],
    }
    start, body = through(scope)
    assert start["status"] == 200
    assert body["body"] == b"ok"
    headers = dict(start["headers"])
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert headers[b"content-security-policy"] == b"frame-ancestors 'self'"
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"


def test_a_refusal_is_one_line_and_a_websocket_is_closed():
    start, body = through(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [(b"host", "évil\n".encode("latin-1"))],
        }
    )
    assert start["status"] == 403
    assert body["body"].startswith(b"refused: the host ")
    assert body["body"].count(b"\n") == 1
    (closed,) = through({"type": "websocket", "path": "/graphql", "query_string": b"", "headers": []})
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
