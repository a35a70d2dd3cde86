"""Which sessions people, models or code judged bad: evaluations as the end of a session.

What goes here: from scores and words to a verdict, as SQL. What does not: reading evaluations
(`events/formats/`), what follows from a bad end (`consequences.py`).

A score says how good something was on its producer's own scale, so the scale is what the window's scores of
that name show; a name whose high score is bad, and a scale that nobody can tell, give no verdict.
"""

from fl_assets.infra.sql import literal

BAD_WORDS = (
    *("bad", "fail", "failed", "failure", "false", "no", "incorrect", "wrong", "poor", "negative"),
    *("thumbs_down", "thumbs-down", "thumbs down", "thumbsdown", "down", "dislike", "unhelpful"),
    *("not helpful", "irrelevant", "unresolved", "rejected", "unsatisfied", "dissatisfied", "👎"),
)
GOOD_WORDS = (
    *("good", "pass", "passed", "success", "true", "yes", "correct", "right", "positive"),
    *("thumbs_up", "thumbs-up", "thumbs up", "thumbsup", "up", "like", "helpful"),
    *("relevant", "resolved", "accepted", "satisfied", "excellent", "👍"),
)
_HIGH_IS_BAD = (
    "(?i)toxic|hallucinat|bias|harm|risk|refus|jailbreak|pii|leak|error|latency|cost|token|count|length"
    "|duration|distance|violation|unsafe|frustrat|effort|perplexity|loss|fail"
)
"""Names of what should be low: their scores give no verdict."""
_SCALES = (
    ("low >= 0 and high <= 1", "value < 0.5"),
    ("low >= -1 and high <= 1", "value < 0"),
    ("low >= 1 and high <= 5", "value <= 2"),
    ("low >= 0 and high <= 10", "value <= 4"),
    ("low >= 0 and high <= 100", "value < 50"),
)
"""Scales by their ends, narrowest first, and the scores that are bad on each."""


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(literal(word) for word in words)


def judged_sql(evaluations: str) -> str:
    """Return the statement that makes `fl_judged (session, is_bad)` of a relation; it needs `fl_calls`.

    A session is bad when one of its verdicts is: of it, of a trace or of a call of it.

    Args:
        evaluations: A relation with the columns of `evaluations`.
    """
    scales = " ".join(f"when {ends} then {bad}" for ends, bad in _SCALES)
    return f"""
        create temp table fl_judged as
        with traces as (select distinct trace_id, session from fl_calls where trace_id is not null),
        scored as (
            select coalesce(traces.session, e.session_id) as session, name, value, lower(trim(label)) as label
            from {evaluations} e left join traces using (trace_id)),
        scales as (
            select name, min(value) as low, max(value) as high,
                not regexp_matches(name, {literal(_HIGH_IS_BAD)}) as is_good
            from scored group by name),
        verdicts as (
            select session, case
                when not is_good then null
                when label in ({_words(BAD_WORDS)}) then true when label in ({_words(GOOD_WORDS)}) then false
                when value is null then null {scales} end as is_bad
            from scored join scales using (name) where session is not null)
        select session, bool_or(is_bad) as is_bad from verdicts where is_bad is not null
        group by session"""  # noqa: S608 - constants of our own only


NO_EVALUATIONS = """(select null::varchar as trace_id, null::varchar as session_id, '' as name,
    null::double as value, null::varchar as label where false)"""
