"""Failure seen in conversations: one SQL statement over a day's turns and calls, and its lexicons.

What goes here: what counts as a repeated question, a correction, an abandonment, a refusal, an apology loop
and a confident answer after a failed call. What does not: the phrases (`lexicons.yaml`), running the
statement (`engine.py`), what its counts mean (`patterns/`).

Only the speaker's own words count: fenced code, quoted lines and text in double quotes are removed first.
Phrases match at word boundaries. Lexicons are RE2 expressions by language; all languages are tried on every
turn. Windows run within one session, and calls are joined to turns on one timeline per trace, so the cost is
linear in the rows.
"""

from pathlib import Path
from typing import get_args

from fl_assets.core.data import read_data
from fl_assets.core.models import Signal
from fl_assets.infra.sql import literal

LEXICONS: dict[str, dict[str, list[str]]] = read_data(Path(__file__).with_name("lexicons.yaml"))
"""Phrases by language and purpose."""

SIGNALS: tuple[Signal, ...] = get_args(Signal)

SAME_QUESTION = 0.55
"""Jaccard similarity of content words from which two turns are the same question."""
CONTAINED_QUESTION = 0.9
"""Share of the shorter turn's content words in the longer one from which they are the same question."""
MIN_QUESTION_WORDS = 4
"""Content words of the shortest question: two short consents are not a repeated question."""
MAX_TEXT = 4000
"""Characters of a turn that are read."""
_PUNCTUATION = ".,?!\n"
_BOUNDARY = r"(?:^|[^\p{{L}}\p{{N}}])(?:{})(?:$|[^\p{{L}}\p{{N}}])"
"""Around phrases, for letters of any script; `\\b` knows only ASCII in RE2."""


def lexicon(purpose: str) -> str:
    """Return one regular expression for a purpose of `LEXICONS`, in all languages."""
    return _BOUNDARY.format(_phrases(purpose))


def conversation_signals_sql(conversations: str, traces: str) -> str:
    """Return the statement that finds failure in conversations.

    `conversations` and `traces` name views with the columns of conversation_logs and raw_traces, of the same
    days; each day is summed by itself.

    Returns:
        A SELECT with exactly the columns of conversation_signals: a row for every signal and every (node,
        service) with conversations, ordered by key.
    """
    return (_MARKED + _SUMS).format(conversations=conversations, traces=traces, **_CONSTANTS)


def telling_turns_sql(conversations: str, traces: str) -> str:
    """Return a SELECT of the turns that show a signal: day, event, service and `signal`."""
    marked = _MARKED.format(conversations=conversations, traces=traces, **_CONSTANTS)
    shown = ", ".join(f"case when {name} then '{name}' end" for name in SIGNALS)
    return f"""{marked}
        select event_date, event_id, service, unnest(list_filter([{shown}], lambda one: one is not null))
            as signal
        from marked"""  # noqa: S608 - constants and names of our own only


def _phrases(purpose: str) -> str:
    languages = [LEXICONS[name] for name in sorted(LEXICONS)]
    return "|".join(
        phrase.replace("{done}", "|".join(phrases.get("done", [])))
        for phrases in languages
        for phrase in phrases.get(purpose, [])
    )


def _own_words(column: str) -> str:
    """SQL for a text in lower case, without what its speaker quotes; '' for null."""
    text = f"lower(replace(left(coalesce({column}, ''), {MAX_TEXT}), '’', ''''))"
    quoted = literal(r"(?s)```.*?(?:```|$)|`[^`\n]*`|\"[^\"\n]*\"|“[^”\n]*”|(?:^|\n)[ \t]*>[^\n]*")
    return (
        f"case when regexp_matches({column}, '[`\"“>]') then regexp_replace({text}, {quoted}, ' ', "
        f"'g') else {text} end"
    )


def _says(text: str, purpose: str) -> str:
    return f"regexp_matches({text}, {literal(lexicon(purpose))})"


def _split(text: str) -> str:
    """SQL for the words of a text; `replace` for each mark is much faster than `translate` or a regex."""
    for mark in _PUNCTUATION:
        text = f"replace({text}, {literal(mark)}, ' ')"
    return f"string_split({text}, ' ')"


def _content(words: str) -> str:
    """SQL for the hashes of the distinct content words of a turn."""
    stop_words = ", ".join(f"hash({literal(word)})" for word in (*_phrases("stop_words").split("|"), ""))
    return (
        f"list_distinct(list_filter(list_transform({words}, lambda word: hash(word)), lambda word: not "
        f"list_contains([{stop_words}], word)))"
    )


def _alike(back: int) -> str:
    """SQL for whether a turn repeats an earlier question: similar words, and no new number or id."""
    earlier, common = f"words_{back}", f"common_{back}"
    is_near = (
        f"({common} >= {SAME_QUESTION} * (len(words) + len({earlier}) - {common}) or {common} >= "
        f"{CONTAINED_QUESTION} * least(len(words), len({earlier})))"
    )
    return f"case when {is_near} then list_has_all({earlier}, ids) else false end"


_LEADING_CONSENT = r"^[^\p{L}\p{N}]*(?:" + _phrases("consent") + r")(?:$|[^\p{L}\p{N}])"
_CONSTANTS = {
    "own_query": _own_words("user_query"),
    "own_answer": _own_words("system_response"),
    "spoken": _split("said"),
    "words": _content("spoken"),
    "is_question": f"not regexp_matches(said, {literal(_LEADING_CONSENT)})",
    "is_correction": _says("said", "correction"),
    "is_giving_up": _says("said", "giving_up"),
    "is_refusal": _says("answered", "refusal"),
    "is_apology": _says("answered", "apology"),
    "claims_success": f"case when {_says('answered', 'success')} then not {_says('answered', 'trouble')} "
    "else false end",
    "is_interim": _says("right(answered, 250)", "interim"),
    "min_question_words": MIN_QUESTION_WORDS,
    "alike": " or ".join(_alike(back) for back in (1, 2, 3)),
    "common": ", ".join(f"len(list_intersect(words, words_{back})) as common_{back}" for back in (1, 2, 3)),
    "signal_rows": ", ".join(
        f"{{'signal': '{name}', 'turns': count(*) filter ({name}), 'first_seen': min(timestamp) filter "
        f"({name}), 'last_seen': max(timestamp) filter ({name})}}"
        for name in SIGNALS
    ),
}

_MARKED = """
with turns as (
    select event_date, node_id, event_id, timestamp, trace_id, coalesce(session_id, log_id, event_id)
        as session_id,
        coalesce(
            nullif(named[1], ''), nullif(named[2], ''),
            nullif(regexp_extract(lower(named[3]), '([a-z]+(-?[0-9][0-9.]*[a-z]*)?)[^/]*$', 1), ''),
                'conversation'
        ) as service,
        hash(user_query) as query_hash, {own_query} as said, {own_answer} as answered,
            coalesce(named[4] = 'unknown', false) as is_answer_unknown
    from (select *, json_extract_string(metadata, ['$.service', '$.agent', '$.model', '$.answer'])
        as named from {conversations})
),
read as materialized (
    select * exclude (spoken), {words} as words, list_transform(list_filter(spoken,
        lambda word: regexp_matches(word, '[0-9]')), lambda word: hash(word)) as ids
    from (
        select * exclude (said, answered), trim(said) <> '' as has_said, is_answer_unknown
            or trim(answered) <> '' as has_answered,
            case when {is_question} then {spoken} else [] end as spoken, {is_correction} as corrects,
                {is_giving_up} as gives_up,
            {is_refusal} as refuses, {is_apology} as apologises, {claims_success} as claims_success,
                {is_interim} as is_interim
        from (select *, hash(event_date, node_id, session_id) as session_hash from turns)
    )
),
-- a system that speaks twice is logged with the same user turn twice: that is no repeated question
placed as materialized (
    select *,
        row_number() over session as place, lead(event_id) over session is null as is_last,
            lag(timestamp) over session as previous_timestamp,
        coalesce(query_hash = lag(query_hash) over session and lag(is_interim) over session, false)
            as is_continued,
        coalesce(lag(apologises) over session, false) as apologised_before
    from read
    window session as (partition by session_hash order by timestamp, event_id)
),
asked as (
    select *, lag(words, 1) over session as words_1, lag(words, 2) over session as words_2, lag(words,
        3) over session as words_3
    from placed
    where len(words) >= {min_question_words} and not is_continued
    window session as (partition by session_hash order by place)
),
repeats as (select event_date, node_id, event_id from (select *, {common} from asked) where {alike}),
-- calls and claims of success on one time line per trace (or session):
-- did a call fail, with no later success, since the turn before?
claims as (
    select event_date, node_id, event_id, timestamp, previous_timestamp, unnest(list_distinct([trace_id,
        session_id])) as line
    from placed
    where claims_success
),
-- a call that was given up, waits for a person or never ended neither failed nor succeeded
ended as (select * from {traces} where caused_by is null or caused_by not in ('cancelled', 'interrupted',
    'unfinished')),
calls as (
    select event_date, timestamp, service, method, success, line
    from (
        select event_date, timestamp, service, method, success, trace_id as line
        from ended
        where trace_id is not null
        union all
        select event_date, timestamp, service, method, success, metadata->>'$.session_id' as line
        from (select * from ended where contains(metadata, '"session_id"'))
        where line <> coalesce(trace_id, '')
    )
    semi join claims using (event_date, line)
),
failed_lines as (select distinct event_date, line from calls where not success),
time_line as (
    select event_date, line, timestamp, 0 as is_turn, service, method, success, null as event_id, null
        as node_id, null as previous_timestamp
    from calls
    semi join failed_lines using (event_date, line)
    union all by name
    select event_date, line, timestamp, 1 as is_turn, null as service, null as method, null as success,
        event_id, node_id, previous_timestamp
    from claims
    semi join failed_lines using (event_date, line)
),
numbered as (
    select *, coalesce(sum(is_turn) over (
        partition by event_date, line order by timestamp, is_turn, event_id, service, method,
            success rows between unbounded preceding and 1 preceding
    ), 0) as stretch
    from time_line
),
open_failures as (
    select event_date, line, stretch, max(failed_at) as failed_at
    from (
        select event_date, line, stretch, service, method, max(timestamp) filter (not success) as failed_at,
            max(timestamp) filter (success) as succeeded_at
        from numbered
        where is_turn = 0
        group by all
    )
    where failed_at > coalesce(succeeded_at, '-infinity'::timestamp)
    group by all
),
overconfident as (
    select distinct event_date, numbered.node_id, event_id
    from numbered
    join open_failures using (event_date, line, stretch)
    where is_turn = 1 and failed_at > coalesce(previous_timestamp, '-infinity'::timestamp)
),
marked as (
    select event_date, event_id, node_id, service, session_id, timestamp,
        repeats.event_id is not null as repeated_question,
        corrects and place > 1 and not is_continued as correction,
        (gives_up and not is_continued) or (is_last and has_said and (not has_answered or (corrects
            and place > 1))) as abandonment,
        refuses as refusal,
        apologises and apologised_before as apology_loop,
        overconfident.event_id is not null as confident_after_failure
    from placed
    left join repeats using (event_date, node_id, event_id)
    left join overconfident using (event_date, node_id, event_id)
)"""
_SUMS = """,
sessions as (
    select event_date, node_id, service, session_id, unnest([{signal_rows}], recursive := true)
    from marked
    group by event_date, node_id, service, session_id
)
select event_date, node_id, service, signal,
    count(*) filter (turns > 0) as sessions_affected, count(*) as sessions, sum(turns)::bigint as turns,
    min(first_seen) as first_seen, max(last_seen) as last_seen,
    coalesce(list_sort(min(session_id, 3) filter (turns > 0)), []) as exemplar_session_ids
from sessions
group by event_date, node_id, service, signal
order by event_date, node_id, service, signal
"""
