"""What is not read is said, by file; what can be read is, whatever one character or the packing is."""

import gzip
import io
import json
import os
import tarfile
import time
import zipfile
import zlib
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.events.mend import mended
from fl_assets.events.unread import looks_like
from fl_assets_tests.build import DAY, call_line, turn_line
from fl_assets_tests.events.test_ingest import Case, SummingEngine


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jsonl", call_line())
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"), io.BytesIO())
    return out.getvalue()


FOREIGN = {
    "config.json": (b'{\n "model": "x",\n "tools": []\n}\n', "JSON, but none of the formats known here"),
    "lines.jsonl": (b'{"a": 1}\n{"a": 2}\n', "JSON lines, but none"),
    "broken.json": (b'{"a": 1\n"b": 2\n', "broken JSON"),
    "pretty.log": (
        b'{\n\t"a": 1\n}\n{\n\t"a": 2\n}\n',
        "JSON documents, but none of the formats known here (keys: a)",
    ),
    "firehose": (b'{"b": 1}{"b": 2}', "JSON documents, but none of the formats known here (keys: b)"),
    "export.csv": (b"id,name,level\n1,a,ERROR\n", "CSV"),
    "export.txt": (
        b"id\tname\tlevel\n1\ta\tERROR\n",
        "CSV, but none of the tables known here (keys: id, level, name)",
    ),
    "app.log": (b"2026-11-01 10:00:00 INFO start\n2026-11-01 10:00:01 ERROR boom\n", "application log"),
    "mcp.log": (b'2026-11-01T10:00:00.000Z [fs] [info] {"a":1,"b":2,"c":3}\n' * 4, "application log"),
    "json.log": (b"[2026-11-01 10:00:00] INFO start\n[2026-11-01 10:00:01] ERROR x\n", "application log"),
    "a.zip": (zipped(), "zip"),
    "a.tar": (tarred(), "tar"),
    "a.tar.gz": (gzip.compress(tarred()), "tar"),
    "a.parquet": (b"PAR1" + bytes(100), "Parquet"),
    "spans.binpb": (
        b'\n\xef#\n\xc7\x01\n"\n\x16telemetry.sdk.language\x12\x08\n\x06python' + bytes(range(50)),
        "OTLP protobuf",
    ),
    "run.eval": (zipped(), "zip"),
    "a.bin": (bytes(range(256)) * 20, "binary"),
    "notes.md": (b"# Notes\nnothing here\n", "text (md)"),
    "no-mark.json": (('{"a": 1}' * 20).encode("utf-16-le"), "UTF-16"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_no_known_format_is_one_refusal_that_names_it_and_what_it_looks_like(case, name):
    content, expected = FOREIGN[name]
    case.write("n1/good.jsonl", call_line("e1"))
    (case.cache / "n1" / name).write_bytes(content)
    report = case.engine.ingest()
    (unread,) = report.unread
    assert (unread.path, unread.size, unread.is_whole, unread.events) == (f"n1/{name}", len(content), True, 0)
    assert expected in unread.detail
    (row,) = [
        row
        for day in case.engine.lake.days("quarantined_events")
        for row in case.rows("quarantined_events", day)
    ]
    assert (row["source_file"], row["source_line"], row["events"]) == (f"n1/{name}", 0, 0)
    assert case.engine.day_stats(DAY)["bad_ratio"] == 0
    assert [one.path for one in case.engine.index.unread()] == [f"n1/{name}"]
    assert case.engine.ingest().unread == (), "it did not change"
    assert [one.path for one in case.engine.index.unread()] == [f"n1/{name}"], "and is there still"
    (case.cache / "n1" / name).unlink()
    assert case.engine.index.unread() == []


def test_what_was_left_out_on_the_day_it_came_does_not_count_as_broken(case):
    engine = SummingEngine(case.settings, clock=lambda: datetime(2026, 11, 1, 12, tzinfo=UTC))
    case.write("n1/good.jsonl", call_line("e1"))
    case.write("n1/config.json", b'{"a": [1]}')
    assert engine.ingest().events == 1
    assert (engine.day_stats(DAY)["quarantined"], engine.day_stats(DAY)["bad_ratio"]) == (1, 0)
    case.write("n1/tools.json", b'{"b": [1]}')
    case.write("n1/spans.jsonl", b"INFO begun", OTLP.replace(b"VALUE", b'"x"'), b"INFO done", b"INFO bye")
    assert engine.ingest().events == 1
    assert (engine.day_stats(DAY)["quarantined"], engine.day_stats(DAY)["bad_ratio"]) == (3, 0)
    case.write("n1/bad.jsonl", call_line("e2"), b"{cut")
    engine.ingest()
    assert (engine.day_stats(DAY)["lost_events"], engine.day_stats(DAY)["quarantined"]) == (1, 4)


def test_a_foreign_file_that_grows_stays_one_refusal(case):
    path = case.write("app.log", *(b"2026-11-01 10:00:00 INFO line",) * 3)
    case.engine.ingest()
    with path.open("ab") as file:
        file.write(b"2026-11-01 10:00:01 ERROR line\n")
    assert len(case.engine.ingest().unread) == 1
    days = case.engine.lake.days("quarantined_events")
    assert sum(case.engine.lake.manifest("quarantined_events", day).rows for day in days) == 1


def test_a_file_that_is_still_in_its_first_line_is_not_refused_but_waited_for(case):
    path = case.write("a.jsonl")
    path.write_bytes(call_line("e1")[:20])
    assert case.engine.ingest().unread == ()
    path.write_bytes(call_line("e1") + b"\n")
    assert case.engine.ingest().events == 1


def test_what_is_said_of_a_json_names_some_of_its_keys():
    found = looks_like("a.json", b"", b'{"data": [], "errors": null}')
    assert "data, errors" in str(found)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("traces.json", gzip.compress),
        ("traces.jsonl.zstd", zstandard.compress),
        ("traces", zstandard.compress),
        ("framed.json", lambda data: b"".join(
            len(frame).to_bytes(4, "big") + frame for frame in map(zstandard.compress, data.splitlines(keepends=True)))),  # noqa: E501
        ("utf16.jsonl", lambda data: data.decode().encode("utf-16")),
        ("utf16be.jsonl", lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be")),
        ("utf16.jsonl.gz", lambda data: gzip.compress(data.decode().encode("utf-16"))),
        ("plain.jsonl.gz", lambda data: data),
    ],
)  # fmt: skip
def test_how_a_file_is_packed_is_told_by_its_content(case, name, pack):
    lines = b"".join(call_line(f"e{number}", error="Ärger") + b"\n" for number in range(20))
    case.write("n1/a.jsonl").unlink()
    (case.cache / "n1" / name).write_bytes(pack(lines))
    report = case.engine.ingest()
    assert (report.events, report.unread) == (20, ())
    assert {row["error"] for row in case.rows("raw_traces")} == {"Ärger"}


def test_framed_zstd_that_ends_within_a_frame_keeps_what_was_whole(case):
    frame = zstandard.compress(call_line("e1") + b"\n")
    case.write("n1/a.json").write_bytes(len(frame).to_bytes(4, "big") + frame + b"\0\0\0\x63(\xb5/\xfd")
    report = case.engine.ingest()
    assert report.events == 1
    assert [one.reason for one in report.unread] == ["damaged_file"]


@pytest.mark.parametrize("is_native", [True, False])
def test_a_line_that_the_damage_cuts_is_lost_with_it_and_no_second_refusal(case, is_native):
    line = call_line("e1") if is_native else b'{"resourceSpans": [{"scopeSpans": [{"spans": []}]}], "n": ""}'
    packed = zlib.compressobj(wbits=31)
    whole = packed.compress(line + b"\n" + line[:60]) + packed.flush(zlib.Z_SYNC_FLUSH)
    case.write("n1/a.json.gz").write_bytes(whole)
    report = case.engine.ingest()
    assert (report.events, report.quarantined) == (int(is_native), 1)
    assert [one.reason for one in report.unread] == ["damaged_file"]


# Mending --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_is_in_order_is_not_changed(value):
    line = orjson.dumps(value)
    if b"\\u0000" not in line:
        assert mended(line) == (line, 0)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'"a \\ud83d b"', "a \ufffd b"),
        (b'"a \\ud83d\\ude00 b"', "a \U0001f600 b"),
        (b'"a \\ude00 b"', "a \ufffd b"),
        (b'"cut \xf0\x9f\x98"', "cut \ufffd"),
        (b"NaN", None),
        (b"-Infinity", None),
        (b'"NaN and Infinity"', "NaN and Infinity"),
        (b'"esc \\x1b[31m"', "esc \\x1b[31m"),
        (b'"raw \x01 control"', "raw   control"),
        (b'"nul \\u0000"', "nul \ufffd"),
        (b'"two \\\\ud83d"', "two \\ud83d"),
    ],
)
def test_one_bad_character_costs_one_value(case, raw, value):
    line, changed = mended(b'{"a":' + raw + b',"b":"kept"}')
    assert orjson.loads(line) == {"a": value, "b": "kept"}
    assert changed == (raw not in (b'"a \\ud83d\\ude00 b"', b'"NaN and Infinity"', b'"two \\\\ud83d"'))
    case.write(
        "n1/a.jsonl", turn_line("c1").replace(b'"user_query":', b'"user_query":null,"note":' + raw + b',"x":')
    )
    case.write("n1/spans.json", *OTLP.replace(b"VALUE", raw).splitlines())
    report = case.engine.ingest()
    assert (report.events, report.unread) == (2, ())
    assert bool(report.mended) == bool(changed)


@pytest.mark.parametrize("hole", [200, 100_000])
def test_a_hole_that_a_truncation_left_costs_nothing(case, hole):
    case.write("n1/a.jsonl", b"\0" * hole + turn_line("c1"))
    case.write("n1/spans.json", b"\0" * hole + b"".join(OTLP.replace(b"VALUE", b'"x"').splitlines()))
    report = case.engine.ingest()
    assert (report.events, report.unread) == (2, ())


OTLP = b"""{"resourceSpans":[{"resource":{"attributes":[]},
"scopeSpans":[{"spans":[
  {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"x",
   "startTimeUnixNano":"1793527200000000000","endTimeUnixNano":"1793527201000000000",
   "attributes":[{"key":"note","value":{"stringValue":VALUE}}]}]}]}]}
"""


# Finding --------------------------------------------------------------------------------------------------


def test_what_cannot_be_opened_is_refused_by_name_and_stops_nobody(case, tmp_path):
    case.write("n1/good.jsonl", call_line("e1"))
    outside = tmp_path / "secret.jsonl"
    outside.write_bytes(call_line("stolen") + b"\n")
    folder = case.cache / "n1"
    (folder / "out.jsonl").symlink_to(outside)
    (folder / "inside.jsonl").symlink_to(folder / "good.jsonl")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    with open(os.fsencode(folder) + b"/caf\xe9.jsonl", "wb") as file:  # noqa: PTH123 - bytes, on purpose
        file.write(call_line("e2"))
    begin = time.monotonic()
    report = case.engine.ingest()
    assert time.monotonic() - begin < 60
    assert {row["event_id"] for row in case.rows("raw_traces")} == {"e1"}
    found = {one.path: one.detail for one in report.unread}
    assert set(found) == {"n1/out.jsonl", "n1/loop.jsonl", "n1/pipe.jsonl", "n1/caf\\xe9.jsonl"}
    assert "leaves the folder" in found["n1/out.jsonl"]
    assert "named pipe" in found["n1/pipe.jsonl"]
    assert "UTF-8" in found["n1/caf\\xe9.jsonl"]


@pytest.mark.parametrize("begin", [b"", call_line("e2") + b"\n"])
def test_a_file_of_a_terabyte_of_nothing_is_refused_and_a_truncated_log_is_read(case, begin):
    path = case.write("n1/hole.jsonl", call_line("e1"))
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(10**12)
    with case.write("n1/log.jsonl", call_line("e1")).open("wb") as file:
        file.seek(500_000)
        file.write(call_line("e3") + b"\n")
    begun = time.monotonic()
    report = case.engine.ingest()
    assert time.monotonic() - begun < 60
    assert {row["event_id"] for row in case.rows("raw_traces")} == {"e3"}
    (refused,) = report.unread
    assert refused.path == "n1/hole.jsonl"
    assert "are holes, which hold nothing; 17,179,869,184 are read at the most" in refused.detail


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(case):
    path = case.write("n1/a.jsonl", call_line("e1"))
    (source,) = case.engine.index.pending()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="named pipe"):
        source.open()


# Versions of an event -------------------------------------------------------------------------------------

OPEN = {"node_id": "n1", "unfinished": "true"}


def test_a_finished_version_replaces_an_unfinished_one_across_ingestions(case):
    case.write("p1.jsonl", call_line("e1", metadata=OPEN, duration_ms=None), call_line("e2"))
    case.engine.ingest()
    case.write(
        "p2.jsonl", call_line("e1", success=False, error="timed out", timestamp="2026-11-02T00:00:10Z")
    )
    report = case.engine.ingest()
    assert (report.events, report.superseded, report.conflicts, report.duplicates) == (1, 1, 0, 0)
    rows = case.rows("raw_traces", DAY, DAY + timedelta(days=1))
    assert {(row["event_id"], row["error"]) for row in rows} == {("e1", "timed out"), ("e2", None)}
    for day in (DAY, DAY + timedelta(days=1)):
        assert case.engine.lake.verify("raw_traces", day) == []
        assert case.engine.lake.manifest("raw_traces", day).rows == 1
    case.write("p3.jsonl", call_line("e1", metadata=OPEN, duration_ms=None))
    late = case.engine.ingest()
    assert (late.events, late.superseded, late.days) == (0, 1, ())


def test_the_content_of_a_day_does_not_depend_on_which_version_came_first(case, tmp_path):
    lines = [call_line("e1", metadata=OPEN), call_line("e1", error="boom", success=False), call_line("e2")]
    other = Case(tmp_path / "other")
    for number, line in enumerate(lines):
        case.write(f"{number}.jsonl", line)
        case.engine.ingest()
    other.write("all.jsonl", *reversed(lines))
    other.engine.ingest()
    assert case.engine.lake.content_of(DAY) == other.engine.lake.content_of(DAY)


def test_of_versions_that_say_when_they_were_updated_the_last_stays(case, tmp_path):
    def version(hour: int, **given) -> bytes:
        metadata = {"node_id": "n1", "updated_at": f"2026-11-02T{hour:02}:00:00Z"}
        return call_line("e1", metadata=metadata, timestamp="2026-11-01T23:59:59Z", **given)

    good, bad = version(8), version(9, success=False, error="boom")
    other = Case(tmp_path / "other")
    for place, (line, found) in enumerate(
        [(good, (1, 0, 0)), (bad, (1, 1, 0)), (good, (0, 1, 0)), (bad, (0, 0, 1))]
    ):
        case.write(f"{place}.jsonl", line)
        report = case.engine.ingest()
        assert (report.events, report.superseded, report.duplicates) == found
        assert report.conflicts == 0
    other.write("all.jsonl", bad, good)
    assert other.engine.ingest().superseded == 1
    for each in (case, other):
        assert [(row["success"], row["error"]) for row in each.rows("raw_traces")] == [(False, "boom")]
        assert each.engine.lake.verify("raw_traces", DAY) == []
    assert case.engine.lake.content_of(DAY) == other.engine.lake.content_of(DAY)


def test_an_id_of_another_node_is_another_event_and_counted(case):
    case.write("a.jsonl", call_line("e1", metadata={"node_id": "attacker"}, timestamp="2026-11-01T00:00:00Z"))
    case.engine.ingest()
    case.write("b.jsonl", call_line("e1", success=False, error="boom"))
    report = case.engine.ingest()
    assert (report.events, report.conflicts, report.duplicates) == (1, 1, 0)
    assert {(row["node_id"], row["success"]) for row in case.rows("raw_traces")} == {
        ("attacker", True),
        ("n1", False),
    }
    assert case.engine.day_stats(DAY)["ids_of_other_nodes"] == 1


# Bounds ---------------------------------------------------------------------------------------------------


def test_of_many_refused_lines_some_are_kept_and_the_others_counted(case):
    long = b'{"event_id": "x", "event_type": "ExecutionTrace", "note": "' + b"x" * 50 + b'"}'
    case.write("a.jsonl", call_line("e1"), *(b"no" for _ in range(3000)), *(long for _ in range(3000)))
    report = case.engine.ingest()
    assert (report.events, report.quarantined, report.lost_events) == (1, 6000, 6000)
    rows = case.rows("quarantined_events")
    assert len(rows) == 2002
    assert sum(row["events"] for row in rows) == 6000
    assert case.engine.day_stats(DAY)["lost_events"] == 6000


def test_large_metadata_is_stored(case):
    notes = {"node_id": "n1", "plan": orjson.dumps([{"a": [number]} for number in range(3000)]).decode()}
    case.write("a.jsonl", call_line("e1", metadata=notes))
    report = case.engine.ingest()
    assert (report.events, report.unread) == (1, ())
    assert orjson.loads(case.rows("raw_traces")[0]["metadata"]) == notes


def test_an_entry_that_a_reader_fails_over_costs_that_entry(case):
    case.write(
        "n1/spans.jsonl",
        *(
            b"".join(OTLP.replace(b"VALUE", b'"x"').replace(b"b174", b"b17%d" % number).splitlines())
            for number in range(3)
        ),
    )
    deep = b'{"resourceSpans":' + b"[" * 1000 + b"]" * 1000 + b"}"
    with (case.cache / "n1" / "spans.jsonl").open("ab") as file:
        file.write(
            deep
            + b"\n"
            + b"".join(OTLP.replace(b"VALUE", b'"x"').replace(b"b174", b"b179").splitlines())
            + b"\n"
        )
    report = case.engine.ingest()
    assert report.events == 4


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b",\n", b""])
def test_several_documents_in_one_file_are_read_pretty_printed_or_not(case, end):
    spans = [OTLP.replace(b"VALUE", b'"x"').replace(b"b174", b"b17%d" % number) for number in range(3)]
    pretty = [json.dumps(orjson.loads(span), indent=2).encode() for span in spans]
    compact = [orjson.dumps(orjson.loads(span)) for span in spans]
    (case.cache / "n1").mkdir(parents=True)
    (case.cache / "n1" / "compact.json").write_bytes(end.join(compact))
    if end:
        (case.cache / "n2").mkdir()
        (case.cache / "n2" / "pretty.json").write_bytes(end.join(pretty))
    os.utime(
        case.cache / "n1" / "compact.json", (1793527200, 1793527200)
    )  # long ago: nothing more comes of it
    report = case.engine.ingest()
    assert (report.events, report.unread) == (6 if end else 3, ())


def test_a_pretty_document_that_was_cut_does_not_cost_the_next_one(case):
    span = json.dumps(orjson.loads(OTLP.replace(b"VALUE", b'"x"')), indent=2).encode()
    case.write("n1/a.json", span[:300], span)
    report = case.engine.ingest()
    assert report.events == 1
    assert [one.lines for one in report.unread] == [1]


def test_what_an_earlier_release_refused_counts_beside_what_is_refused_now(case):
    path = case.write("a.jsonl", call_line("e1"), b"broken")
    case.engine.ingest()
    manifest = case.engine.lake.manifest("quarantined_events", DAY)
    case.engine.lake.commit(manifest.model_copy(update={"stats": {}}))
    assert case.engine.day_stats(DAY)["lost_events"] == 1
    with path.open("ab") as file:
        file.write(call_line("e2") + b"\nbroken again\n")
    case.engine.ingest()
    assert case.engine.day_stats(DAY)["lost_events"] == 2
