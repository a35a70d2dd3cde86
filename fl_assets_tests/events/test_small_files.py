"""Many small files cost little more than one, and give the same rows."""

import random

import pytest

from fl_assets.core.tables import RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.redaction import redact, redact_all
from fl_assets.infra.lake_views import view_days
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.fleets import DAY

ODD = {
    "no line end": call_line("x1"),
    "a short line": b'{"event_type":1}\n' + call_line("x2") + b"\n",
    "a mark": b"\xef\xbb\xbf" + call_line("x3") + b"\n",
    "not ASCII": call_line("x4", error="Größe", success=False) + b"\n",
    "not UTF-8": call_line("x5", error="Groesse", success=False).replace(b"oe", b"\xf6") + b"\n",
    "empty": b"",
    "blank": b"\n\n",
    "foreign": b"hello\n",
    "line ends of Windows": call_line("x6") + b"\r\n",
    "a long line": call_line("x7", error="x" * 5000, success=False) + b"\n",
}


def rows_of(folder, files):
    settings = settings_in(folder, max_line_bytes=4000)
    settings.telemetry_path.mkdir(parents=True)
    for name, content in files.items():
        (settings.telemetry_path / name).write_bytes(content)
    engine = DuckDBEngine(settings)
    report = engine.ingest()
    with engine.connect() as connection:
        view_days(connection, engine.lake, RAW_TRACES, [DAY])
        columns = "event_id, node_id, service, error, source_file, source_line"
        found = connection.execute(f"select {columns} from raw_traces order by all").fetchall()
    return found, report, engine


@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_many_small_files_give_the_rows_of_each_read_alone(tmp_path, monkeypatch, kept):
    monkeypatch.setattr("fl_assets.events.index._KEPT_BYTES", kept)
    monkeypatch.setattr("fl_assets.events.small_files._TOGETHER_BYTES", 2000)
    lines = [call_line(f"e{number}") + b"\n" for number in range(40)]
    files = {f"{number:03}.jsonl": b"".join(lines[number : number + 3]) for number in range(0, 40, 3)}
    files |= {f"{number:03}-odd.jsonl": content for number, content in enumerate(ODD.values())}
    together, report, engine = rows_of(tmp_path / "together", files)
    monkeypatch.setattr("fl_assets.events.ingest.small_file", lambda *_, **__: None)
    alone, expected, _ = rows_of(tmp_path / "alone", files)
    assert together == alone
    assert (report.events, report.quarantined, report.unread, report.formats) == (
        expected.events,
        expected.quarantined,
        expected.unread,
        expected.formats,
    )
    assert engine.ingest().events == 0


def test_where_a_line_of_a_small_file_stands_is_kept(tmp_path):
    files = {
        f"{number}.jsonl": b"".join(call_line(f"e{number}{line}") + b"\n" for line in range(3))
        for number in range(3)
    }
    found, _, _ = rows_of(tmp_path, files)
    assert [(row[4], row[5]) for row in found] == [
        (f"{number}.jsonl", line + 1) for number in range(3) for line in range(3)
    ]


def test_many_texts_are_redacted_as_each_alone():
    draw = random.Random(1)
    texts = [
        draw.choice(
            ["a/b.jsonl", "ada@example.com/x", "\x1b[31mada@example.com\x1b[0m", "", "\ud800/ada@example.com"]
        )
        for _ in range(100)
    ]
    assert redact_all(texts) == [redact(text) for text in texts]
