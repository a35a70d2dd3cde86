"""Files that are no lines of text hold the same events as their JSON does, whatever frames and packs them."""

import csv
import gzip
import io
import zipfile

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fl_assets.events.rows import inspect_eval, parquet, record, row_file_of
from fl_assets_tests.build import DAY
from fl_assets_tests.events.formats.documents import CLICKHOUSE, INSPECT, NANO, SPAN, TOOL, TRACE
from fl_assets_tests.events.test_ingest import Case

LOG_ROW = {
    "Timestamp": "2026-11-02 12:00:00.000000000",
    "TraceId": TRACE,
    "SpanId": TOOL,
    "SeverityText": "ERROR",
    "SeverityNumber": 17,
    "ServiceName": "billing",
    "Body": "refund failed",
    "ResourceAttributes": {"host.name": "node-7"},
    "ScopeName": "lib",
    "LogAttributes": {"exception.type": "RefundError", "exception.message": "order already refunded"},
}
LANGFUSE_ROWS = [
    {
        "id": "o1",
        "trace_id": "t1",
        "parent_observation_id": "",
        "type": "TOOL",
        "start_time": "2026-11-02 12:00:00.000000",
        "end_time": "2026-11-02 12:00:01.500000",
        "name": "refund",
        "level": "ERROR",
        "status_message": 'order "A-1", already\nrefunded',
        "input": '{"order":"A-1"}',
        "usage_details": "{}",
    },
    {
        "id": "o2",
        "trace_id": "t1",
        "parent_observation_id": "",
        "type": "GENERATION",
        "start_time": "2026-11-02 12:00:00.000000",
        "end_time": "2026-11-02 12:00:02.500000",
        "name": "chat",
        "level": "DEFAULT",
        "status_message": "",
        "input": '[{"role":"user","content":"refund my order"}]',
        "output": '{"role":"assistant","content":"It was refunded before."}',
        "usage_details": '{"input":10,"output":5}',
    },
]


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def found(case: Case, content: bytes, name: str = "file") -> tuple[list[tuple], list[str]]:
    """Read one file: its calls and turns as tuples, and what is said of what was not read."""
    path = case.write(f"n1/{name}")
    path.write_bytes(content)
    report = case.engine.ingest()
    days = [day for table in ("raw_traces", "conversation_logs") for day in case.engine.lake.days(table)]
    calls = [
        (row["event_id"], row["node_id"], row["method"], row["success"], row["error"], row["duration_ms"])
        for row in case.rows("raw_traces", *sorted(set(days)))
    ]
    turns = [
        (row["event_id"], row["user_query"], row["system_response"])
        for row in case.rows("conversation_logs", *sorted(set(days)))
    ]
    return sorted(calls) + sorted(turns), [f"{one.reason}: {one.detail}" for one in report.unread]


# OTLP in protobuf -------------------------------------------------------------------------------------------


def traces(number: int = 1) -> bytes:
    """One export request of two spans, the second of which failed."""
    data = TracesData()
    group = data.resource_spans.add()
    for key, value in (("service.name", "billing"), ("host.name", "node-7")):
        group.resource.attributes.add(key=key).value.string_value = value
    scoped = group.scope_spans.add()
    scoped.scope.name = "lib"
    for place, name in enumerate(("find", "refund")):
        span = scoped.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=(place + 1).to_bytes(8, "big"),
            name=f"execute_tool {name}",
            start_time_unix_nano=NANO,
            end_time_unix_nano=NANO + 412_000_000,
        )
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "execute_tool"
        span.attributes.add(key="gen_ai.tool.name").value.string_value = name
        span.attributes.add(key="tries").value.int_value = 2
        span.attributes.add(key="tags").value.array_value.values.add().double_value = 0.5
    span.status.code, span.status.message = 2, "order already refunded"
    return data.SerializeToString()


def of_traces(*numbers: int) -> list[tuple]:
    return sorted(
        (f"{number:032x}:{place:016x}", "node-7", name, error is None, error, 412.0)
        for number in numbers
        for place, name, error in ((1, "find", None), (2, "refund", "order already refunded"))
    )


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def with_length(*messages: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in messages)


FRAMED = {
    "bare": b"".join,
    "length": lambda messages: with_length(*messages),
    "varint": lambda messages: b"".join(varint(len(one)) + one for one in messages),
    "gzip": lambda messages: gzip.compress(b"".join(messages)),
    "length in zstd": lambda messages: zstandard.compress(with_length(*messages)),
    "zstd framed": lambda messages: with_length(*map(zstandard.compress, messages)),
}


@pytest.mark.parametrize("framing", FRAMED)
def test_requests_in_protobuf_are_read_however_they_are_framed(case, framing):
    content = FRAMED[framing]([traces(1), traces(2), traces(3)])
    assert found(case, content) == (of_traces(1, 2, 3), [])
    assert case.engine.ingest().files == 0


def test_a_request_without_a_resource_is_one_too(case):
    data = TracesData.FromString(traces())
    data.resource_spans[0].ClearField("resource")
    calls, unread = found(case, data.SerializeToString())
    assert ([call[2] for call in calls], unread) == (["find", "refund"], [])


def test_log_records_in_protobuf_are_those_of_json(case):
    data = LogsData()
    group = data.resource_logs.add()
    group.resource.attributes.add(key="host.name").value.string_value = "node-7"
    entry = group.scope_logs.add().log_records.add(
        time_unix_nano=NANO, severity_number=17, trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(TOOL)
    )
    entry.body.string_value = "refund failed"
    entry.attributes.add(key="exception.type").value.string_value = "RefundError"
    entry.attributes.add(key="exception.message").value.string_value = "order already refunded"
    ((event, node, _, success, error, _),), unread = found(case, data.SerializeToString())
    assert (event, node, success, error) == (
        f"{TRACE}:{TOOL}",
        "node-7",
        False,
        "RefundError: order already refunded",
    )
    assert unread == []


def test_metrics_in_protobuf_are_refused_by_name(case):
    data = MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "billing"
    group.scope_metrics.add().metrics.add(name="tokens")
    rows, (refused,) = found(case, data.SerializeToString())
    assert rows == []
    assert "metrics hold sums" in refused


@pytest.mark.parametrize("framing", ["bare", "length", "varint"])
def test_what_was_whole_before_a_cut_is_kept_and_the_cut_is_said(case, framing):
    content = FRAMED[framing]([traces(1), traces(2)])[:-20]
    rows, (refused,) = found(case, content)
    assert rows == of_traces(1)
    assert "within a message" in refused


def test_text_is_no_protobuf():
    for text in (
        b'\n{\n "a": 1}',
        b"\n[\n\n",
        b"\n\n\n\n\n\n",
        b"\x0a",
        b'{"a": 1}\n',
        b"",
        b"\n\x12hello, how are you",
    ):
        assert row_file_of(text) is None


# Logs of containers -----------------------------------------------------------------------------------------

PRINTED = orjson.dumps(
    {
        "traceId": TRACE,
        "spanId": TOOL,
        "name": "refund",
        "startTimeUnixNano": str(NANO),
        "endTimeUnixNano": str(NANO + 10**9),
    }
)
WRAPPED = {
    "docker": lambda lines: b"\n".join(
        orjson.dumps({"log": line.decode() + "\n", "stream": "stdout", "time": "2026-11-02T12:00:00Z"})
        for line in lines
    ),
    "docker in parts": lambda lines: b"\n".join(
        orjson.dumps({"log": part, "stream": "stdout", "time": "2026-11-02T12:00:00Z"})
        for line in lines
        for part in (line.decode()[:16_384], line.decode()[16_384:] + "\n")
    ),
    "cri": lambda lines: b"\n".join(b"2026-11-02T12:00:00.1Z stdout F " + line for line in lines),
    "cri in parts": lambda lines: b"\n".join(
        b"2026-11-02T12:00:00.1+01:00 stderr %b %b" % part
        for line in lines
        for part in ((b"P", line[:9]), (b"F", line[9:]))
    ),
    "the journal": lambda lines: b"\n".join(
        orjson.dumps({"__CURSOR": "s=1", "_HOSTNAME": "box", "PRIORITY": "6", "MESSAGE": line.decode()})
        for line in lines
    ),
    "the journal in parts": lambda lines: b"\n".join(
        orjson.dumps({"MESSAGE": part.decode(), "__REALTIME_TIMESTAMP": "1", **more})
        for line in lines
        for part, more in ((line[:5], {"_LINE_BREAK": "line-max"}), (line[5:], {}))
    ),
    "loki": lambda lines: b"\n".join(
        orjson.dumps({"labels": {"app": "a"}, "line": line.decode(), "timestamp": "2026-11-02T12:00:00Z"})
        for line in lines
    ),
    "firelens": lambda lines: b"\n".join(
        orjson.dumps({"container_id": "ab", "source": "stdout", "log": line.decode()}) for line in lines
    ),
    "firelens in parts": lambda lines: b"\n".join(
        orjson.dumps(
            {"source": "stdout", "log": part.decode(), "partial_message": "true", "partial_last": last}
        )
        for line in lines
        for part, last in ((line[:5], "false"), (line[5:], "true"))
    ),
    "fluent bit": lambda lines: b"\n".join(
        orjson.dumps({"date": 1.5, "stream": "stdout", "_p": "F", "log": line.decode()}) for line in lines
    ),
    "vector": lambda lines: b"\n".join(
        orjson.dumps({"host": "a", "label": {"x": "{"}, "message": line.decode(), "source_type": "file"})
        for line in lines
    ),
    "filebeat": lambda lines: b"\n".join(
        orjson.dumps(
            {"@timestamp": "x", "log": {"file": {"path": "a"}}, "tags": ["b"], "message": line.decode()}
        )
        for line in reversed(lines)
    ),
    "aws logs tail": lambda lines: b"\n".join(b"2026-11-02T12:00:00+00:00 default " + line for line in lines),
    "cloudwatch events": lambda lines: orjson.dumps(
        {"events": [{"timestamp": 1, "message": line.decode(), "ingestionTime": 2} for line in lines]},
        option=orjson.OPT_INDENT_2,
    ),
    "cloudwatch filtered": lambda lines: orjson.dumps(
        {"events": [{"logStreamName": "default", "timestamp": 1, "message": line.decode()} for line in lines]}
    ),
    "cloudwatch deliveries": lambda lines: b"".join(
        orjson.dumps(
            {"messageType": f"{kind}_MESSAGE", "logGroup": "g", "logEvents": [{"id": "1", "message": text}]}
        )
        for kind, text in (("CONTROL", "CWL CONTROL MESSAGE"), *(("DATA", line.decode()) for line in lines))
    ),
    "cloudwatch insights": lambda lines: orjson.dumps(
        {
            "results": [
                [{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": line.decode()}]
                for line in lines
            ],
            "status": "Complete",
        }
    ),
    "a logger's words": lambda lines: b"\n".join(b"INFO: " + line for line in lines),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_spans_that_a_container_printed_are_read_out_of_its_log(case, wrapped, packed):
    long = PRINTED[:-1] + b', "attributes": {"note": "' + b"x" * 20_000 + b'"}}'
    printed, others = (long, []) if wrapped == "docker in parts" else (PRINTED, [b"starting"])
    bare, _ = found(case, printed)
    content = packed(WRAPPED[wrapped]([*others, printed]))
    assert found(Case(case.cache.parent / "again"), content)[0] == bare
    assert len(bare) == 1


def test_a_log_of_words_alone_is_one_refusal(case):
    rows, (refused,) = found(case, WRAPPED["docker"]([b"INFO hello"] * 9))
    assert rows == []
    assert refused.startswith("unsupported_format")


def test_a_span_with_a_message_of_json_is_no_wrapped_line():
    span = {"attributes": {"message": "{}"}, "events": [{"message": '{"a": 1}'}], "name": "x"}
    assert row_file_of(orjson.dumps(span)) is None


def test_words_that_cloudwatch_keeps_are_one_refusal_that_names_it(case):
    rows, (refused,) = found(case, WRAPPED["cloudwatch events"]([b"START RequestId: 1", b"END RequestId: 1"]))
    assert rows == []
    assert refused.startswith("unsupported_format: messages of CloudWatch")


def test_what_cloudwatch_delivered_before_a_cut_is_read(case):
    rows, (refused,) = found(case, WRAPPED["cloudwatch deliveries"]([PRINTED]) + b'\n{"messageType": "DATA')
    assert len(rows) == 1
    assert "CloudWatch" in refused


# Tables -----------------------------------------------------------------------------------------------------


def as_csv(rows: list[dict], separator: str = ",") -> bytes:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows: list[dict], **types: pa.DataType) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


PACKED = {
    "jsonl": lambda rows: b"\n".join(map(orjson.dumps, rows)),
    "csv": as_csv,
    "tabs": lambda rows: as_csv(rows, "\t"),
    "of a spreadsheet": lambda rows: b"\xef\xbb\xbf" + as_csv(rows, ";"),
    "utf-16": lambda rows: as_csv(rows).decode().encode("utf-16"),
    "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "parquet": as_parquet,
    "a data frame's csv": lambda rows: as_csv([{"": place, **row} for place, row in enumerate(rows)]),
    "a data frame's csv by id": lambda rows: b"\n".join(
        (line.split(b",")[0] + b"," + line if line.startswith((b"id,", b"o1,", b"o2,")) else line)
        for line in as_csv([{"id": row["id"], **row} for row in rows]).splitlines()
    ),
}


@pytest.mark.parametrize("packing", PACKED)
def test_langfuses_rows_are_the_same_in_every_packing(case, packing):
    rows, unread = found(case, PACKED[packing](LANGFUSE_ROWS))
    assert unread == []
    assert rows == [
        ("t1:o1", "n1", "refund", False, 'order "A-1", already\nrefunded', 1500.0),
        ("t1:o2", "n1", "chat", True, None, 2500.0),
        ("t1:o2:talk", "refund my order", "It was refunded before."),
    ]


ATTRIBUTES = pa.map_(pa.string(), pa.string())


@pytest.mark.parametrize("packing", ["jsonl", "parquet", "bytes and times"])
def test_clickhouses_spans_and_log_records_are_the_same_in_every_packing(case, packing):
    span = {**CLICKHOUSE, "TraceId": "1" * 32, "StatusMessage": "no"}
    if packing == "jsonl":
        content = orjson.dumps(span) + b"\n" + orjson.dumps(LOG_ROW)
    else:
        types = dict.fromkeys(("ResourceAttributes", "SpanAttributes", "LogAttributes"), ATTRIBUTES) | {
            "Events.Attributes": pa.list_(ATTRIBUTES)
        }
        rows = [span, LOG_ROW]
        if packing == "bytes and times":
            types |= dict.fromkeys(("TraceId", "SpanId", "StatusCode", "SpanName"), pa.binary())
            types |= dict.fromkeys(
                ("ResourceAttributes", "SpanAttributes"), pa.map_(pa.binary(), pa.binary())
            )
            rows = [
                {**row, "TraceId": row["TraceId"].encode(), "SpanId": row["SpanId"].encode()} for row in rows
            ]
            types["Timestamp"] = pa.timestamp("ns")
            rows = [{**row, "Timestamp": NANO} for row in rows]
        content = as_parquet(rows[:1], **types)
        case.write("n1/logs").write_bytes(as_parquet(rows[1:], **types))
    rows, unread = found(case, content)
    assert unread == []
    assert [row[:2] + row[3:5] for row in rows] == [
        (f"{'1' * 32}:{TOOL}", "node-7", False, "RefundError: order already refunded"),
        (f"{TRACE}:{TOOL}", "node-7", False, "RefundError: order already refunded"),
    ]


@pytest.mark.parametrize("content", [as_csv([{"a": 1, "b": 2, "c": 3}]), as_parquet([{"a": 1, "b": 2}])])
def test_a_table_that_none_knows_is_one_refusal_that_names_its_columns(case, content):
    rows, (refused,) = found(case, content)
    assert rows == []
    assert "none of the tables known here (keys: a, b" in refused


@pytest.mark.parametrize("cell", ["[" * 400 + "]" * 400, "{'a': {(1, 2): 3}}", "{'a': " + "9" * 30 + "}"])
def test_a_cell_that_no_json_can_hold_costs_no_other_row(case, cell):
    expected, _ = found(case, as_csv(LANGFUSE_ROWS))
    first, *others = LANGFUSE_ROWS
    rows, unread = found(case, as_csv([{**first, "metadata": cell}, *others]), "other")
    assert (rows, unread) == (expected, [])


def test_a_damaged_table_is_one_refusal(case):
    content = as_parquet(LANGFUSE_ROWS)
    rows, (refused,) = found(case, content[: len(content) // 2])
    assert rows == []
    assert "Parquet that cannot be read" in refused


@pytest.mark.parametrize("packing", ["one text for all rows", "texts that are packed well"])
def test_a_small_table_of_gigabytes_takes_bounded_memory(packing):
    text = "x" * 2_000_000
    column = pa.array([0] * 400, pa.int32())
    repeated = pa.table({"id": pa.DictionaryArray.from_arrays(column, pa.array([text]))})
    many = pa.table({"id": pa.array([text] * 400, pa.large_string())})
    file = io.BytesIO()
    if packing == "one text for all rows":
        pq.write_table(repeated, file)
    else:
        pq.write_table(many, file, compression="zstd", use_dictionary=False, write_statistics=False)
    assert file.tell() < 1_000_000
    pool, usual = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        rows = sum(1 for _ in parquet.lines(file))
    except parquet.BadRowsError as error:
        rows, refusal = 0, str(error)
        assert "more than are read at once" in refusal
    finally:
        pa.set_memory_pool(usual)
    assert rows == (0 if packing == "one text for all rows" else 400)
    assert pool.max_memory() < 100_000_000


# Inspect ----------------------------------------------------------------------------------------------------


def evaluated(*, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("_journal/start.json", orjson.dumps({"version": 2, "eval": INSPECT["eval"]}))
        for sample in INSPECT["samples"]:
            archive.writestr("samples/1_epoch_1.json", orjson.dumps(sample, option=orjson.OPT_INDENT_2))
        header = orjson.dumps({**INSPECT, "samples": None, "results": 0.5})
        archive.writestr("header.json", header.replace(b"0.5", b"NaN"))
    return out.getvalue()


def with_zstd() -> bytes:
    """The same archive as newer releases write it, with a compression that Python's zipfile has not."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in (
            ("_journal/start.json", {"version": 2, "eval": INSPECT["eval"]}),
            ("samples/1_epoch_1.json", INSPECT["samples"][0]),
        ):
            archive.writestr(name, zstandard.compress(orjson.dumps(value)))
    content = bytearray(out.getvalue())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = -1
        while (at := content.find(mark, at + 1)) >= 0:
            content[at + place] = 93
    return bytes(content)


@pytest.mark.parametrize("content", [evaluated(), evaluated(compression=zipfile.ZIP_STORED), with_zstd()])
def test_an_inspect_log_in_its_archive_is_the_log_in_json(case, content, tmp_path):
    expected, said = found(Case(tmp_path / "json"), orjson.dumps(INSPECT), "log.json")
    assert len(expected) == 4
    assert found(case, content, "run.eval") == (expected, said)


def test_the_header_of_an_archive_that_is_no_object_costs_that_archive_alone(case):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.json", b"[7]")
        archive.writestr("samples/1_epoch_1.json", orjson.dumps(INSPECT["samples"][0]))
    case.write("n1/rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, LANGFUSE_ROWS)))
    rows, unread = found(case, out.getvalue(), "run.eval")
    assert len(rows) == 3
    assert len(unread) == 1


def test_a_member_that_unpacks_to_more_than_is_read_is_said(case, monkeypatch):
    monkeypatch.setattr(inspect_eval, "MAX_RECORD_BYTES", 200)
    rows, (refused,) = found(case, evaluated())
    assert rows == []
    assert refused.startswith("over_limit: ")


def test_a_cut_archive_is_one_refusal(case):
    rows, (refused,) = found(case, evaluated()[:-30])
    assert rows == []
    assert "an Inspect log (.eval) that cannot be read" in refused


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None),
        ("text", "text"),
        ('{"a": 1}', {"a": 1}),
        ("{'a':'it\\'s'}", {"a": "it's"}),
        ("[{'a': None}]", [{"a": None}]),
        ("{'a': __import__('os')}", "{'a': __import__('os')}"),
        ("['" * 5000, "['" * 5000),
        ("[not a list", "[not a list"),
        ("12", "12"),
    ],
)
def test_a_cell_is_what_it_holds(cell, value):
    assert record.value_of(cell) == value


def test_bytes_that_are_no_text_are_hex():
    assert orjson.loads(record.line_of({"a": b"abc", "b": bytes.fromhex(SPAN), "c": DAY})) == {
        "a": "abc",
        "b": SPAN,
        "c": str(DAY),
    }
