"""Redaction of wrapped values: recall stays, the text keeps its form, and time stays linear."""

import gc
import sys
import time
from pathlib import Path

import pytest

from fl_assets.events.redaction import RULES, redact
from fl_assets.events.redaction.draft import Draft, Replacement

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import redaction_wrapped
from redaction import ours, score

CORPUS = redaction_wrapped.sample(40)


def scored(corpus: list[dict]) -> dict[str, tuple[int, float]]:
    """Return, by entity, how many spans there are and the share that is found."""
    return {
        entity: (found["spans"], found["recall"])
        for entity, found in score(corpus, ours).items()
        if isinstance(found, dict) and found["spans"]
    }


PLAIN = scored(CORPUS)


@pytest.mark.parametrize("form", redaction_wrapped.FORMS)
def test_a_wrapping_costs_no_recall(form):
    wrapped = scored([redaction_wrapped.FORMS[form](row) for row in CORPUS])
    lost = {entity: round((PLAIN[entity][1] - recall) * spans) for entity, (spans, recall) in wrapped.items()}
    assert {entity: count for entity, count in lost.items() if count > max(1, 0.03 * PLAIN[entity][0])} == {}


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "\x1b[31mpassword\x1b[0m=\x1b[32mhunter2!\x1b[0m",
            "\x1b[31mpassword\x1b[0m=\x1b[32m<PASSWORD>\x1b[0m",
        ),
        ("card \\u001b[31m4111 1111 1111 1111\\u001b[0m x", "card \\u001b[31m<CARD>\\u001b[0m x"),
        ('{\\"password\\": \\"correct horse\\"}', '{\\"password\\": \\"<PASSWORD>\\"}'),
        ("mail=%3Cjo%40example.com%3E", "mail=%3C<EMAIL>%3E"),
        ("４１１１１１１１１１１１１１１１ ok", "<CARD> ok"),
        ("to <b>10.0.0.1</b>, &quot;10.0.0.2&quot;", "to <b><IPV4></b>, &quot;<IPV4>&quot;"),
        ("password=b'hunter2!'", "password=b'<PASSWORD>'"),
        ("**bold** and `code` stay", "**bold** and `code` stay"),
        ("AA:BB:CC:**:**:**", "AA:BB:CC:**:**:**"),
        ('{\\"user\\":\\"ops\\",\\"password\\":\\"\\"}', '{\\"user\\":\\"ops\\",\\"password\\":\\"\\"}'),
    ],
)
def test_a_text_keeps_its_form_outside_of_what_is_masked(text, redacted):
    assert redact(text) == redacted


def test_every_occurrence_of_a_value_is_masked():
    assert redact("password=Zx81kk!q, then Zx81kk!q again: Zx81kk!q.") == (
        "password=<PASSWORD>, then <PASSWORD> again: <PASSWORD>."
    )
    assert redact("api_key: a895013d9dc1bbf7; sent a895013d9dc1bbf7") == "api_key: <API_KEY>; sent <API_KEY>"


def test_a_draft_knows_what_its_parts_stand_for():
    draft = Draft(b"a\\u0040b c")
    draft.replace([Replacement(1, 7, b"@")])
    draft.replace([Replacement(0, 3, b"<EMAIL>", "EMAIL")])
    assert draft.text == b"<EMAIL> c"
    assert draft.edits[0][2:4] == (0, 8)
    assert draft.masked().text == b"<EMAIL> c"


HOSTILE = sorted(
    {example.replace("‹", "").replace("›", "") for rule in RULES for example in rule.examples[:1]}
    | {
        "AccountKey=",
        "password",
        "\\u001b[",
        "\\\\",
        "%25",
        "&#",
        "<b ",
        "**",
        "_",
        "\x1b[",
        "b'",
        "中",
        "\n" + "x" * 79,
    }
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_linearly_with_what_any_rule_looks_for(piece):
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        gc.disable()  # its time depends on all that other tests left
        start = time.thread_time()
        redact(text)
        found = time.thread_time() - start
        gc.enable()
        return found

    seconds(2_000)
    small, large = (min(seconds(size) for _ in range(2)) for size in (10_000, 80_000))  # automata grow once
    assert large < max(0.5, 8 * small * 3), "eight times the text may take three times as long a byte"
