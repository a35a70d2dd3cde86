r"""How failures become signatures: SQL that masks errors and sums a day by them.

What goes here: SQL text, made from our own constants alone. What does not: what is masked by what
(`masks.yaml`), running it (the engines), grouping the masked errors (`patterns/grouping.py`).

All patterns are RE2 (no look-around, no back-reference), run by DuckDB with either engine. There are four
steps, so that the expensive ones see each distinct text once: every digit becomes `0`, which makes most
messages of one kind equal; the message inside JSON is taken; of that the *salient part* (a traceback's last
line); and that is masked.
"""

from pathlib import Path

import pyarrow as pa

from fl_assets.core.data import read_data
from fl_assets.infra.sql import literal
from fl_assets.sums.metadata_keys import search_sql

NO_TEXT_PREFIX = "no error text:"
UNCAUGHT_PREFIX = "Traceback: "
MAX_MASKED_CHARS = 400
_MAX_READ_CHARS = 20_000
_LONG_CHARS = 2000
_STATUS_KEYS = (
    "status_code", "http.status_code", "http.response.status_code", "exit_code", "status", "error.type",
)  # fmt: skip

_USER_KEYS = (
    *("user_id", "user.id", "enduser.id", "customer_id", "account_id"),
    *("session_id", "session.id", "conversation_id"),
)
MAX_INCIDENTS = 16
"""Most incidents of a row of failure_signatures: a sample, by hash."""
BUCKET_BASE, _TOP_BUCKET = 1.1, 240
"""Latency bucket b has durations in (1.1^(b-1), 1.1^b] ms, bucket -1 has 0; the top one is some 32 years."""
NOISE_WIDTH, NOISE_BUCKET = 17, -2
"""With noise, 17 buckets (a factor of 5) are merged under the number of the last; bucket -2 then has the
variance of the noise in each, which adds up like counts.
"""

_ERROR_WORDS = (
    r"error|errors|exception|fail|failed|failure|fatal|panic|panicked|abort|aborted|cannot|can't"
    r"|couldn't|could not|unable|denied|forbidden|refused"
    r"|rejected|timeout|timed out|not found|no such|not "
    r"exist|invalid|illegal|unexpected|unknown|undefined|missing|unauthorized"
    r"|exceeded|killed|segmentation fault|core dumped|unreachable"
    r"|not allowed|command not found"
)
_EXCEPTION = (
    r"(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Z][A-Za-z0-9_]*"
    r"(?:Error|Exception|Exit|Interrupt|Iteration|Failure|Fault|Timeout|Expired|Exceeded|NotFound|DoesNotExist|Abort|Invalid)"
)

_STRONG_LINE = (
    rf"(?m)^(?:E  +|- |Caused by: |[^ \n:]+:0+: |[a-z.]+: )?(?:[A-Z]+[0-9]+:? "
    rf")?({_EXCEPTION}(?:[^A-Za-z0-9_.(\n].*)?)$"
)
_NAMED_LINE = r"(?m)^([A-Za-z_][A-Za-z0-9_.]*: .*)$"
_RAISED = r"(?m)^(?:E  +[^ ]|\s+at [^ ]+ ?\(|\s+at [^ ]+:0|\s+File \"[^\"\n]+\", line )"
_SIDE_LINE = r"(?im)^[ \t]*(?:[0-9]+(?:[:|\t]|  )|(?:note|hint|help|see also|for further information)\b).*$"
_SCHEMA_DETAILS = r"\n\s*Failed validating (?s:.*)"  # jsonschema's schema and value below its finding
# What belongs together and stands on lines of its own: a call of gRPC in Python, a panic of Rust, a reason
_ONE_THING = (
    (r"""(?s)^.*\bstatus = (StatusCode\.[A-Z_]+)\s+details = "((?:[^"\\]|\\.)*)".*$""", r"\1: \2"),
    (r"(panicked at [^\n]*:)\n", r"\1 "),
    (r"(?i)\n[ \t]*((?:the )?(?:server |api |service )?(?:responded with|reason|cause): )", r" \1"),
)
_CHECKED_LINE = r"(?m)^[ \t]+([A-Z][^\n]* \[type=[a-z_]+, input_value=.*)$"  # a finding of pydantic
_LINT_LINE = r"(?m)^- ([A-Z]+[0-9]+ .*)$"
_WEAK_LINE = rf"(?im)^(.*\b(?:{_ERROR_WORDS})\b.*)$"
_LABEL_LINE = r"(?i)^\s*(?:error|errors|exception|stderr|stdout|output|failed|failure)[:.!]*[ \t]*\n"
_FIRST_SENTENCE = r"(?m)^[ \t]*([^ \t\n](?:[^.!?\n]|[.!?][^ \n])*)"
_HEADED = r"^[^\n]* [^\n]* [^\n]*:\n[^\n]*$"  # two lines, of which the first says of what the second is said
_LAST_LINE = r"(?m)^[ \t]*([^ \t\n-].*)$"
# What test runners print at the end: pytest, unittest, jest, mocha, go, cargo, Maven, rspec, PHPUnit, CTest
_TESTS_FAILED = (
    r"(?m)^=* ?(?:[0-9]+ (?:passed|skipped|deselected|xfailed|xpassed|warnings?|errors?), )*[0-9]+ "
    r"(?:failed|errors?)\b.* in [0-9.]+"
    r"|^FAILED \((?:failures|errors|skipped|expected failures|unexpected successes)=|^Tests?(?: "
    r"Suites?)?: +[0-9]+ failed"
    r"|^ +[0-9]+ failing$|^--- FAIL: |^FAIL\t|^test result: FAILED|^(?:\[ERROR\] +)?Tests run: [0-9]+, "
    r"Failures: |^[0-9]+ examples?, [0-9]+ failures?"
    r"|^=+ test session starts =+$|^Tests: [0-9]+, Assertions: [0-9]+, |^[0-9]+% tests passed, [0-9]+ "
    r"tests? failed"
)
_TEST_FINDING = (
    r"(?m)^(?:FAILED|ERROR) [^ \n]+ - (?:[A-Za-z_][A-Za-z0-9_]*\.)*"
    r"([A-Z][A-Za-z0-9_]*(?:Error|Exception|Failed|Exit|Warning)\b.*|assert\b.*|Failed: .*)$"
)
TESTS_FAILED, TESTS_CUT_OFF, NO_TESTS = "Tests failed", "Tests were cut off", "No tests ran"
# pytest's progress as the last line: it was stopped before it said what failed
_TESTS_CUT_OFF = r"\n(?:[^ \n]+\.py )?[.sxXFER]+(?: +\[ *[0-9]+%\])?\s*$"
# Its closing line that counts no test, or what it says of a name that selects none; a file's name is a path
_NO_TESTS = r"(?m)^=+ (?:no tests ran|(?:[0-9]+ (?:deselected|warnings?)(?:, )?)+) in [0-9.]+"
_NO_FILE = r"(?m)^ERROR: (file or directory not found: .*)$"
# What keeps tests from running at all is a mistake, and not what a test found
_BEFORE_TESTS = r"\b(?:ImportError|ModuleNotFoundError|SyntaxError|IndentationError|TabError)\b"
_TEST_CHECKS = (
    r"^(?:assert\b|(?:[A-Za-z_][A-Za-z0-9_]*\.)*(?:[A-Za-z]*Assert[A-Za-z]*|Failed|[A-Za-z]*Failure)\b)"
)
DIFFERENCES = "The files differ"
_DIFFERENCES = (
    r"(?m)^(?:@@ -[0-9]+(?:,[0-9]+)? \+[0-9]+|[0-9]+(?:,[0-9]+)?[acd][0-9]+(?:,[0-9]+)?$|Files "
    r".* and .* differ$|Binary files .* differ$)"
)
_RULER_LINE = r"(?m)^[ \t]*[=_*#~-]{3,}[^\n]*[=_*#~-]{3,}[ \t]*$"

_NO_SPACES = r"\x{2e80}-\x{a4cf}\x{ac00}-\x{d7af}\x{f900}-\x{faff}\x{ff00}-\x{ffef}"
"""Letters of languages without spaces between words: a number ends where they begin."""
_PIECE = rf"""[^\s=:,;#@()\[\]{{}}<>"'`|{_NO_SPACES}]"""
MASKS: tuple[tuple[str, str], ...] = tuple(
    (pattern.replace("{piece}", _PIECE), by)
    for pattern, by in read_data(Path(__file__).with_name("masks.yaml"))
)
"""Pattern and replacement of each mask."""


def _replace(expr: str, pattern: str, by: str) -> str:
    return f"regexp_replace({expr}, {literal(pattern)}, {literal(by)}, 'g')"


def _last(expr: str, pattern: str) -> str:
    return f"regexp_extract_all({expr}, {literal(pattern)}, 1)[-1]"


def _salient_sql(expr: str) -> str:
    """Return SQL for the part of an error that says what went wrong.

    Single lines stay as they are. Of longer texts: the last line that names an exception (of a Python or Java
    trace its cause), or the last linter finding, or the last line with a word of error; prefixed by the first
    line where that is about an error too. Quoted listings are the user's code, and left out.
    """
    text = _replace(expr, r"\x1b\[[0-9;]*[A-Za-z]", "")
    for pattern, by in _ONE_THING:
        text = _replace(text, pattern, by)
    unescaped = (
        f"(case when not contains({text}, chr(10)) then replace({text}, '\\n', chr(10)) else {text} end)"
    )
    plain = _replace(f"replace({unescaped}, chr(13), '')", "`[^`]*`", "<CODE>")
    plain = _replace(_replace(plain, _SIDE_LINE, ""), _LABEL_LINE, "")
    plain = _replace(plain, _RULER_LINE, "")
    finding = "coalesce(s.checked, s.strong, s.lint, s.weak)"
    tests = f"regexp_matches({text}, {literal(_TESTS_FAILED)})"
    raised = "trim(coalesce(s.tested, s.strong))"
    is_checked = f"regexp_matches({raised}, {literal(_TEST_CHECKS)})"
    tested = f"case when {is_checked} then ': AssertionError' when {raised} <> '' then ': exception' end"
    differs = f"regexp_matches({text}, {literal(_DIFFERENCES)})"
    return f"""list_transform([{plain}], lambda fl_text: list_transform([{{
        'tests': {tests}, 'differs': {differs}, 'tested': {_last("fl_text", _TEST_FINDING)},
        'first': regexp_extract(fl_text, {literal(_FIRST_SENTENCE)}, 1),
        'last': {_last("fl_text", _LAST_LINE)},
        'strong': {_last("fl_text", _STRONG_LINE)}, 'named': {_last("fl_text", _NAMED_LINE)},
        'is_raised': regexp_matches(fl_text, {literal(_RAISED)}),
        'checked': {_last("fl_text", _CHECKED_LINE)}, 'lint': {_last("fl_text", _LINT_LINE)},
        'weak': {_last("fl_text", _WEAK_LINE)}
    }}], lambda s: case
        when s.tests and regexp_matches({text}, {literal(_TESTS_CUT_OFF)}) then {literal(TESTS_CUT_OFF)}
        when s.tests and regexp_matches({text}, {literal(_NO_TESTS)}) then coalesce(
            nullif(regexp_extract(fl_text, {literal(_NO_FILE)}, 1), ''), {literal(NO_TESTS)})
        when s.tests and not regexp_matches(coalesce(s.strong, s.tested, ''), {literal(_BEFORE_TESTS)})
            then {literal(TESTS_FAILED)} || coalesce({tested}, '')
        when contains(fl_text, 'Traceback (most recent call last)')
            and coalesce(s.strong, s.named) is not null or s.strong is not null and s.is_raised
            then {literal(UNCAUGHT_PREFIX)} || trim(coalesce(s.strong, s.named))
        when s.tests then {literal(UNCAUGHT_PREFIX)} || coalesce(s.tested, s.strong)
        when s.differs and s.strong is null and s.checked is null then {literal(DIFFERENCES)}
        when {finding} is null
            then case when starts_with(coalesce(s.last, ''), s.first) then s.last
                else left(s.first, 160) || ' | ' || s.last end
        when regexp_matches(fl_text, {literal(_HEADED)}) then replace(fl_text, chr(10), ' | ')
        else (case when regexp_matches(s.first, {literal(_WEAK_LINE)}) and not starts_with({finding}, s.first)
            then left(s.first, 160) || ' | ' else '' end)
             || trim({finding})
        end)[1])[1]"""


_JSON_MESSAGE = (
    r"""(?i)["'](?:message|error_message|errormessage|detail|details|msg|reason|description|error)["']\s*:\s*"""
    r"""(?:"((?:[^"\\]|\\.){4,})"|'((?:[^'\\]|\\.){4,})')"""
)
_JSON_LISTED = (  # a field's name and what is wrong with it, as form and schema libraries write it
    r"""(?i)^\s*\{\s*["'][^"']{1,80}["']\s*:\s*\[\s*["']([^"'\[\]]*\b(?:is|not|must|may|should|required|invalid|cannot|unknown|missing)"""
    r"""\b[^"'\[\]]*)["']\s*[\],]"""
)
_JSON_TYPE = r"""(?i)["'](?:type|error_type|code|error_code|status)["']\s*:\s*["']([A-Za-z_. -]+)["']"""
_JSON_CODE = r"""(?i)["'](?:error_type|code|error_?code)["']\s*:\s*["']([A-Za-z_.-]+)["']"""
# Up to a status, 000, as all digits are 0
_STATUS = (
    r"""(?is)^(.*?\b(?:https?(?:/[0-9.]+)?|status(?:[ _-]?code)?|error[ _-]code|(?:client|server) error"""
    r"""|exit(?:ed)?(?:[ _-]+(?:with|code|status|value|non-zero))*)"""
    r"""(?:["']?\s*[:=(]\s*["']?|\s+["']?))000\b"""
)


def _unwrapped_sql(expr: str) -> str:
    """Return SQL for the message inside JSON, after its type and the text before it; else the text itself."""
    flat = f"(case when contains({expr}, '{{\\\"') then replace({expr}, '\\\"', '\"') else {expr} end)"
    message = (
        f"coalesce(nullif(replace(regexp_extract({flat}, {literal(_JSON_MESSAGE)}, 1), '\\\"', '\"'), ''), "
        f"nullif(regexp_extract({flat}, {literal(_JSON_MESSAGE)}, 2), ''), "
        f"nullif(regexp_extract({flat}, {literal(_JSON_LISTED)}, 1), ''))"
    )
    before = f"rtrim(left(regexp_extract({expr}, '^[^{{]*'), 300), '[ ' || chr(10)) || ' '"
    kind = f"coalesce(nullif(regexp_extract({flat}, {literal(_JSON_TYPE)}, 1), '') || ' ', '')"
    code = f"nullif(regexp_extract({flat}, {literal(_JSON_CODE)}, 1), '')"
    return f"coalesce({before} || {kind} || {message}, {before} || {code}, {expr})"


def _status_place_sql(blanked: str) -> str:
    """Return SQL for the position of a status (after `HTTP`, `exit code`, …) in a text; 0 for none."""
    found = f"regexp_extract(left({blanked}, {_MAX_READ_CHARS // 2}), {literal(_STATUS)}, 1)"
    return f"(case when {found} = '' then 0 else length({found}) + 1 end)"


def _status_sql(expr: str, place: str) -> str:
    """Return SQL for the status at a position of a text, as ` <STATUS_429>`, or ''."""
    status = f"substr({expr}, {place}, 3)"
    return (
        f"(case when {place} > 0 and {status} between '100' and '599' then ' <STATUS_' || {status} || "
        "'>' else '' end)"
    )


def _blanked_sql(expr: str, blank: str | None) -> str:
    """Return SQL for a text with every digit as `0`, without its middle when it is very long."""
    half = _MAX_READ_CHARS // 2
    text = (
        f"case when length({expr}) > {_MAX_READ_CHARS} then left({expr}, {half}) || chr(10) || "
        f"right({expr}, {half}) else {expr} end"
    )
    return f"{blank}({text})" if blank else f"translate({text}, '123456789', '000000000')"


def _message_sql(blanked: str) -> str:
    """Return SQL for the message in a text whose digits are `0`: that inside JSON, or else all of it."""
    starts = ('{"', "{'", "{\\", "{\n", "{\r")
    is_json = " or ".join(f"contains({blanked}, {literal(start)})" for start in starts)
    finding = _replace(blanked, _SCHEMA_DETAILS, "")
    return (
        f"(case when contains({blanked}, 'Failed validating ') then {finding} "
        f"when {is_json} then {_unwrapped_sql(blanked)} else {blanked} end)"
    )


def _said_sql(message: str) -> str:
    """Return SQL for the salient part of a message, cut."""
    return (
        f"left(case when contains({message}, chr(10)) then {_salient_sql(message)} else {message} "
        f"end, {_LONG_CHARS})"
    )


def _masks_sql(said: str) -> str:
    """Return SQL that masks the salient part of a message."""
    masked = said
    for pattern, by in MASKS:
        masked = _replace(masked, pattern, by)
    masked = _replace(f"left(trim({masked}), {MAX_MASKED_CHARS})", "<[A-Z]*$", "")
    return (
        f"list_transform([{masked}], lambda m: case when m = split_part(m, ' | ', 1) || ' | ' || "
        "split_part(m, ' | ', 1) then split_part(m, ' | ', 1) else m end)[1]"
    )


def mask_sql(expr: str) -> str:
    """Return SQL that masks one text as `masked_sql` does, without sharing work between rows."""
    blanked = _blanked_sql(expr, None)
    masked = _masks_sql(_said_sql(_message_sql(blanked)))
    return f"({masked} || {_status_sql(expr, _status_place_sql(blanked))})"


def masked_sql(rows: str, blank: str | None = None) -> str:
    """Return a SELECT of all columns of some rows, and `masked_error`: null where `error` is.

    Each step is a relation of distinct texts: in one expression DuckDB plans it for longer than it runs.

    Args:
        rows: A relation (table, view or parenthesised SELECT) with a VARCHAR column `error`.
        blank: Name under which `blank_digits` is registered, if it is: a faster way to the same result.
    """
    return f"""
        with fl_blanked as (select *, {_blanked_sql("error", blank)} as blanked from {rows}),
        fl_messages as (
            select blanked, {_message_sql("blanked")} as message, {_status_place_sql("blanked")} as place
            from (select distinct blanked from fl_blanked where blanked is not null)),
        fl_said as (
            select message, {_said_sql("message")} as said from (select distinct message from fl_messages)),
        fl_masked as (select said, {_masks_sql("said")} as masked from (select distinct said from fl_said)),
        fl_texts as (
            select blanked, masked, place from fl_messages join fl_said using (message)
                join fl_masked using (said))
        select fl_blanked.* exclude (blanked),
            fl_texts.masked || {_status_sql("error", "fl_texts.place")} as masked_error
        from fl_blanked left join fl_texts using (blanked)"""  # noqa: S608 - constants and names of our own only


_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def blank_digits(texts: pa.Array) -> pa.Array:
    """Return texts with every digit as `0`: an Arrow function for DuckDB, 8 times as fast as `translate`."""
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    validity, offsets, data = array.buffers()
    blanked = pa.py_buffer(data.to_pybytes().translate(_ZEROS)) if data else data
    return pa.Array.from_buffers(
        array.type, len(array), [validity, offsets, blanked], array.null_count, array.offset
    )


def bucket_sql(duration: str) -> str:
    """Return SQL for the histogram bucket of a duration in ms."""
    return (
        f"case when {duration} <= 0 then -1 else greatest(0, least({_TOP_BUCKET}, ceil(ln({duration}) "
        f"/ ln({BUCKET_BASE}))))::integer end"
    )


def failures_sql(source: str, blank: str | None = None) -> str:
    """Return a SELECT of the failures of `raw_traces` that no deeper failure caused.

    It adds `masked_error`, `has_text`, `message_id` and the duration's `bucket`.

    Args:
        source: A relation with the columns of `raw_traces`: a table, a view or a `read_parquet(...)`.
        blank: As in `masked_sql`.
    """
    status = f"coalesce({', '.join(f'found[{place}]' for place in range(1, len(_STATUS_KEYS) + 1))})"
    paths = ", ".join(literal('$."' + key + '"') for key in (*_STATUS_KEYS, *_USER_KEYS))
    first, last = len(_STATUS_KEYS) + 1, len(_STATUS_KEYS) + len(_USER_KEYS)
    actor = f"coalesce({', '.join(f'found[{place}]' for place in range(first, last + 1))}, trace_id)"
    found = f"json_extract_string(metadata, [{paths}])"
    empty = "trim(coalesce(error, ''), ' ' || chr(9) || chr(10) || chr(13)) = ''"
    failed = f"""(
            select event_date, event_id, node_id, service, method, trace_id, timestamp, duration_ms,
                {found} as found, case when {empty} then {search_sql()} end as search,
                nullif(trim(error, ' ' || chr(9) || chr(10) || chr(13)), '') as error
            from {source} where not success and caused_by is null)"""  # noqa: S608 - constants and names of our own only
    stand_in = (
        f"{literal(NO_TEXT_PREFIX)} || ' service=' || service || ' method=' || method || "
        f"coalesce(' status=' || {status}, '') || coalesce(' command=' || nullif(search, method), '')"
    )
    return f"""
        select event_date, event_id, node_id, service, method, trace_id, timestamp,
            {bucket_sql("duration_ms")} as bucket,
            {actor} as actor,
            coalesce(masked_error, '') <> '' as has_text,
            coalesce(nullif(masked_error, ''), {stand_in}) as masked_error,
                left(md5(coalesce(nullif(masked_error, ''), {stand_in})), 16) as message_id
        from ({masked_sql(failed, blank)})"""  # noqa: S608 - constants and names of our own only


def signature_sql(source: str) -> str:
    """Return a SELECT with exactly the columns of `failure_signatures`, over one day of `raw_traces`.

    Failures that only repeat a deeper one (`caused_by`) are left out; a call without a duration is in no
    bucket.

    Args:
        source: A relation with the columns of `raw_traces`: a table, a view or a `read_parquet(...)`.
    """
    return f"""
        with fl_rows as materialized ({failures_sql(source)}),{_OF_ROWS}"""


def signatures_of_sql(failures: str) -> str:
    """Return the same over a relation of rows of `failures_sql`, which has all of a message or none."""
    return f"with fl_rows as (select * from {failures}),{_OF_ROWS}"  # noqa: S608 - our own names


def _signatures_sql() -> str:
    key = "event_date, node_id, service, method, message_id, masked_error, has_text"
    return f"""
        fl_traces as (
            select {key}, trace_id, count(*) as failures, min(timestamp) as first_seen, max(timestamp)
                as last_seen from fl_rows group by {key}, trace_id),
        fl_buckets as (
            select {key}, map(list(bucket order by bucket), list(n order by bucket)) as latency_histogram
            from (select {key}, bucket, count(*) as n from fl_rows where bucket is not null group by {key},
                bucket) group by {key}),
        fl_incidents as (
            select {key}, list_sort(min(incident, {MAX_INCIDENTS})) as incidents
            from (
                select distinct {key},
                    left(md5(actor || '|' || hour(timestamp)), 6) || left(md5(actor),
                        10) || lpad(hour(timestamp)::varchar, 2, '0') as incident
                from fl_rows)
            group by {key}),
        fl_sums as (
            select {key}, sum(failures)::bigint as failures, count(*) as sessions, min(first_seen)
                as first_seen, max(last_seen) as last_seen,
                arg_min(trace_id, md5(trace_id), 3) as exemplar_trace_ids
            from fl_traces group by {key})
        select event_date, node_id, service, method, message_id, masked_error, has_text, failures, sessions,
            first_seen,
            last_seen, exemplar_trace_ids, incidents, coalesce(latency_histogram, map([]::integer[],
                []::bigint[])) as latency_histogram
        from fl_sums left join fl_buckets using ({key}) left join fl_incidents using ({key})
        order by event_date, node_id, service, method, message_id"""  # noqa: S608 - constants and names of our own only


_OF_ROWS = _signatures_sql()


def call_totals_sql(source: str) -> str:
    """Return a SELECT with exactly the columns of `call_totals`, over one day of `raw_traces`.

    Args:
        source: A relation with the columns of `raw_traces`: a table, a view or a `read_parquet(...)`.
    """
    key = "event_date, node_id, service, method"
    return f"""
        with fl_traces as (
            select {key}, trace_id, count(*) as calls, count(*) filter (where not success
                and caused_by is null) as failures
            from {source} group by {key}, trace_id),
        fl_sums as (select {key}, sum(calls)::bigint as calls, sum(failures)::bigint as failures, count(*)
            as sessions from fl_traces group by {key}),
        fl_buckets as (
            select {key}, map(list(bucket order by bucket), list(n order by bucket)) as latency_histogram
            from (select {key}, {bucket_sql("duration_ms")} as bucket, count(*) as n from {source}
                where success and duration_ms is not null group by all)
            group by {key})
        select event_date, node_id, service, method, calls, failures, sessions,
            coalesce(latency_histogram, map([]::integer[], []::bigint[])) as latency_histogram
        from fl_sums left join fl_buckets using ({key})
        order by event_date, node_id, service, method"""  # noqa: S608 - constants and names of our own only
