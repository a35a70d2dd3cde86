"""Text written to harm whoever looks at it in the Dagster UI (case 22 of the list in `docs/promises.md`); the
report page has tests of its own.
"""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg
import pytest

from fl_assets.coordinator import prepare_home
from fl_assets_tests.browser.conftest import serving
from fl_assets_tests.build import call_line, turn_line
from fl_assets_tests.conftest import coordinator_in, settings_in
from fl_assets_tests.faults.test_cycles import variables_of

pytestmark = pytest.mark.faults

DAY = date(2026, 11, 14)
SHOWN = (
    "raw_traces",
    "conversation_logs",
    "quarantined_events",
    "failure_signatures",
    "conversation_signals",
    "failure_patterns",
    "pattern_examples",
    "node_registry",
    "playbooks",
    "cycle_report",
)
"""Assets whose pages show what telemetry says."""
HREFS = (
    "[...document.querySelectorAll('[href], [src], [action]')].flatMap(e => ['href', 'src', "
    "'action'].map(n => e.getAttribute(n) || ''))"
)


@contextmanager
def tracker() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that notes what it is asked for."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", hits
        server.shutdown()
        thread.join()


def payloads(address: str) -> list[str]:
    """Markdown and HTML that a careless page would load, run or offer to click."""
    return [
        f"![pixel]({address}/markdown)",
        f"![pixel][ref]\n\n[ref]: {address}/reference",
        f'<img src="{address}/image" onerror="fetch(\'{address}/onerror\')">',
        f"<script>fetch('{address}/script')</script>",
        f'"><svg onload="fetch(\'{address}/svg\')">',
        f'<iframe src="{address}/frame"></iframe>',
        f"<style>@import url({address}/style)</style>",
        "[click me](javascript:alert(1))",
        '<a href="javascript:alert(1)">click me</a>',
        f"`code` | cell | ![pixel]({address}/table) |",
        f"```\n```\n![pixel]({address}/fence)",
    ]


def hostile_lines(address: str) -> list[bytes]:
    """Events of four nodes with hostile text in every field, and broken lines of it."""
    lines = []
    for number, text in enumerate(payloads(address)):
        for node in range(4):
            for time in range(6):
                key = f"{number}-{node}-{time}"
                name: dict[str, Any] = {"node_id": f"n{node} {text}", "note": text, text: "key"}
                stamp = f"{DAY}T10:{time:02}:00Z"
                call: dict[str, Any] = {
                    "service": f"svc{number} {text}",
                    "method": f"do {text}",
                    "error": f"Timeout {text} after {time} s",
                    "metadata": name,
                }
                lines.append(call_line(f"e-{key}", timestamp=stamp, success=False, trace_id=text, **call))
                lines.append(
                    turn_line(
                        f"c-{key}",
                        timestamp=stamp,
                        session_id=f"{key} {text}",
                        user_query=text,
                        system_response=text,
                        metadata=name,
                    )
                )
        lines.append(f'{{"broken {text}'.replace("\n", " ").encode())
    return lines


def test_case_22_hostile_markdown_and_html_are_shown_as_text_and_load_run_and_link_nothing(watched, tmp_path):
    page, alerts = watched.page, []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    with tracker() as (address, hits):
        settings = settings_in(
            tmp_path / "data", telemetry_path=tmp_path / "cache", min_events=10, max_bad_ratio=1.0
        )
        settings.telemetry_path.mkdir()
        (settings.telemetry_path / "events_hostile.jsonl").write_bytes(
            b"\n".join(hostile_lines(address)) + b"\n"
        )
        with dg.DagsterInstance.from_config(str(prepare_home(settings))) as instance:
            coordinator = coordinator_in(
                tmp_path / "data",
                instance,
                telemetry_path=settings.telemetry_path,
                min_events=10,
                max_bad_ratio=1.0,
            )
            with ThreadPoolExecutor(
                1
            ) as other:  # Dagster's own event loop cannot run in a thread where Playwright's does
                other.submit(coordinator.run_learning_cycle, DAY).result()
            (run,) = instance.get_runs()
        assert coordinator.workspace.warehouse.rows("select count(*) as n from failure_patterns")[0]["n"] > 3
        seen, opened = "", 0
        with serving(variables_of(settings), tmp_path) as server:

            def look(path: str, waits_for: str) -> None:
                nonlocal seen
                page.goto(f"{server}{path}")
                page.get_by_text(waits_for).first.wait_for()
                page.wait_for_timeout(1000)
                seen += page.content()
                links = page.evaluate(HREFS)
                assert [
                    link for link in links if link.strip().lower().startswith(("javascript:", address))
                ] == [], path

            look("/assets", "adapter_catalogue")  # the first: those that one would scroll to are not drawn
            page.evaluate(
                f"new Promise(done => {{ const i = new Image(); i.onload = i.onerror = done; i.src = "
                f"'{address}/control' }})"
            )
            assert hits == ["/control"], "the tracker sees what these pages load"
            hits.clear()
            watched.requests.clear()
            for name in SHOWN:
                look(f"/assets/{name}?view=partitions&partition={DAY}", "dagster/partition_row_count")
                for place in range(min(3, page.get_by_text("[Show Markdown]").count())):
                    page.get_by_text("[Show Markdown]").nth(place).click()
                    page.get_by_role("dialog").wait_for()
                    page.wait_for_timeout(300)
                    seen += page.get_by_role("dialog").inner_html()
                    assert [
                        link
                        for link in page.evaluate(HREFS)
                        if link.strip().lower().startswith(("javascript:", address))
                    ] == [], name
                    opened += 1
                    page.keyboard.press("Escape")
                    page.wait_for_timeout(300)
            look("/assets/playbooks?view=checks&checkDetail=confidence_gate", "confidence_gate")
            look(f"/runs/{run.run_id}", "raw_traces")
        assert opened > 2
        assert "click me" in seen, "hostile text was on the pages"
        assert hits == []
        assert alerts == []
        assert {
            url
            for url in watched.requests
            if not url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))
        } == set()
