"""Text of others inside Markdown: it is shown, and does nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_assets.infra.markdown import block, code, plain, prose

HOSTILE = (
    "![pixel](http://evil.example/a)",
    "[click me](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "see https://evil.example/x or www.evil.example or ada@example.org",
    "a `b` ``c`` | d\n\n# heading",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_text_holds_no_link_image_tag_or_address(text):
    shown = plain(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[\[\]<>|`*_#!]", shown)
    assert not re.search(r"(?i)https?:|www\.|[a-z]@", shown)


@given(st.text(max_size=80))
def test_code_cannot_be_left(text):
    shown = code(text)
    if not text.split():
        assert shown == ""
        return
    fence = re.match("`+", shown)[0]
    assert shown.endswith(fence)
    assert len(fence) > max(
        (len(run) for run in re.findall("`+", shown[len(fence) : -len(fence)])), default=0
    )
    assert "\n" not in shown


@given(st.text(alphabet="`ab \n", max_size=80))
def test_a_block_of_code_cannot_be_left(text):
    first, *inner, last = block(text, "text").split("\n")
    fence = first.removesuffix("text")
    assert last == fence
    assert not any(line.strip().startswith(fence) for line in inner)


def test_names_between_backticks_are_code_and_the_rest_is_plain():
    assert prose("Pace `complete` in `llm-gateway` (<b>)") == "Pace `complete` in `llm-gateway` (\\<b\\>)"
    assert prose("one ` only") == "one \\` only"
