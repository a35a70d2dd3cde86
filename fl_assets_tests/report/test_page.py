"""The report's page and its JSON twin."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from fl_assets.report.build import build_report
from fl_assets.report.page import (
    MAX_PATTERNS,
    delta,
    render_json,
    render_page,
    share,
    short,
    ticks,
    write_report,
)
from fl_assets.report.records import Headline, Report, ReportRows
from fl_assets_tests.build import DAY, pattern
from fl_assets_tests.report.test_report import (
    BEFORE,
    advice_row,
    decision_row,
    example_row,
    outcome_row,
    playbook_row,
    rows,
    totals,
    verdict_row,
)

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)></style></title><svg onload=alert(1)> "
    "{{7*7}} {% raw %} "
    "javascript:alert(1) &amp; `x` \u202egnp.exe"
)
LINKS = {("a", f"{DAY}.json"), ("a", f"{BEFORE}.html"), ("a", "index.html"), ("link", "data:,")}
"""All that a page links to beside itself: its twin, the day before, the list of days."""
VOID = {"meta", "link", "br", "input"}


class Page(HTMLParser):
    """Reads a page: its tags, attributes, and the text of style and script."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags, self.attributes, self.open, self.raw, self.texts = (
            [],
            [],
            [],
            {"script": "", "style": ""},
            [],
        )
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]] += data
        else:
            self.texts.append(data)


def hostile_report() -> Report:
    return build_report(
        rows(
            patterns=[
                pattern(
                    template=HOSTILE,
                    services=[HOSTILE],
                    methods=[HOSTILE],
                    exemplar_trace_ids=[HOSTILE],
                    suspects=[HOSTILE],
                    why_grouped=HOSTILE,
                    failure_class="other",
                    incident_node=HOSTILE,
                )
            ],
            playbooks=[
                playbook_row(
                    title=HOSTILE,
                    description=HOSTILE,
                    target=HOSTILE,
                    advice=advice_row(
                        headline=HOSTILE,
                        incident_node=HOSTILE,
                        examples=[{"trace_id": HOSTILE, "link": "javascript:alert(1)"}],
                    ),
                ),
                playbook_row(improvement_id="f" * 16, title=HOSTILE, held_because=(HOSTILE,)),
            ],
            decisions=[
                decision_row(
                    target=HOSTILE,
                    from_value=HOSTILE,
                    to_value=HOSTILE,
                    reasons=[HOSTILE],
                    revert_plan=HOSTILE,
                )
            ],
            totals=totals({HOSTILE: [10] * 13 + [0], "n1": [10] * 14}),
            quarantined=[{"reason": HOSTILE, "lines": 1}],
            outcomes=[outcome_row(reason=HOSTILE, remedy_id=HOSTILE, category=HOSTILE)],
            examples=[
                example_row(
                    message=HOSTILE, service=HOSTILE, method=HOSTILE, node_id=HOSTILE, trace_id=HOSTILE
                )
            ],
            by_node=[{"pattern_id": "p-timeout", "node_id": HOSTILE, "failures": 9}],
            verdicts=[verdict_row(rule=HOSTILE, expected=HOSTILE, actual=HOSTILE)],
            steps=[outcome_row(title=HOSTILE)],
            applied=[{"decision_id": "d1", "status": "staged", "reason": HOSTILE}],
            cycle={"status": "gated", "reason": HOSTILE, "window_days": 1},
        )
    )


def test_hostile_text_is_text():
    page = Page(render_page(hostile_report()))
    assert page.open == []
    assert (page.tags.count("script"), page.tags.count("style"), page.tags.count("title")) == (1, 1, 1)
    assert "img" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    text = "".join(page.texts)
    assert text.count("<script>alert(1)</script>") >= 20
    assert not [value for _, name, value in page.attributes if name == "href" and "javascript" in value]
    assert "\u202e" not in text
    assert "\\u202e" in text
    assert "{{7*7}}" in text


def test_an_incident_of_one_node_is_not_called_unlikely_to_continue():
    """Its confidence is that of two nodes: next to nothing, though it may fail on its node every day."""

    def column(**fields) -> str:
        page = render_page(build_report(rows(patterns=[pattern(confidence=0.019, **fields)]))).decode()
        return page.partition('<td data-v="0.02">')[2].partition("</td>")[0]

    assert column(incident_node="n1").startswith("one node only<small>")
    assert column().startswith("1.9 % <svg")


def test_a_card_says_what_the_failures_cost_without_a_click():
    text = "A retry soon worked in 2.5 % of cases. It costs 168 failed requests, 8 s a day. Sessions end."
    advice = advice_row(consequence={"text": text})
    page = render_page(build_report(rows(playbooks=[playbook_row(advice=advice)]))).decode()
    assert "<li>costs <strong>168 failed requests, 8 s</strong> a day</li>" in page


def test_a_card_says_each_difference_once():
    text = "Calls with top_k above 50 fail in 97 %, others in 1 %."
    made = playbook_row(
        description=f"Why. What is different: {text}", advice=advice_row(contrasts=[{"text": text}])
    )
    assert render_page(build_report(rows(playbooks=[made]))).decode().count(text) == 1


def test_the_page_loads_nothing_and_links_only_to_itself_and_its_twin():
    page = Page(render_page(hostile_report()))
    for tag, name, value in page.attributes:
        if name in {"src", "href", "action", "data", "poster", "srcset"}:
            assert value.startswith("#") or (tag, value) in LINKS, (tag, name, value)
    assert "url(" not in page.raw["style"]
    assert "@import" not in page.raw["style"]
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|eval", page.raw["script"])


def test_the_policy_allows_the_pages_own_style_and_script_only():
    page = Page(render_page(build_report(rows())))
    policy = next(
        value
        for tag, name, value in page.attributes
        if tag == "meta" and name == "content" and "default-src" in value
    )
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_every_link_into_the_page_arrives():
    page = Page(render_page(build_report(rows())))
    ids = {value for _, name, value in page.attributes if name == "id"}
    targets = {
        value[1:]
        for tag, name, value in page.attributes
        if (tag, name) == ("a", "href") and value.startswith("#")
    }
    labels = {value for _, name, value in page.attributes if name in {"aria-labelledby", "aria-describedby"}}
    assert len(targets) > 7
    assert targets | labels <= ids
    assert len(ids) == len([value for _, name, value in page.attributes if name == "id"])


def test_a_report_of_10_000_patterns_stays_below_2_mb_and_says_what_is_in_its_twin_alone():
    many = [
        pattern(
            pattern_id=f"p-{number:012x}",
            template=f"{number} could not reach <*> within <NUM> ms while <*> was waiting for shard <NUM> "
            + "of the index " * 20,
            exemplar_trace_ids=[f"{number:032x}"] * 3,
            series=list(range(1000, 1014)),
            services=[f"service-{place}" for place in range(5)],
            breakdown='[{"service": "service-1", "method": "method-1", "failures": 100}, {"service": '
            '"service-2", "method": "method-2", "failures": 50}]',
            why_grouped="these messages share a template and differ only in what <*> stands for",
        )
        for number in range(10_000)
    ]
    for number, one in enumerate(many):
        one |= {"failures": 10_000 - number, "incident_node": "alone" if number % 2 else None}
    report = build_report(rows(patterns=many, earlier_patterns=[]))
    page = render_page(report)
    assert page.count(b'data-rank="') == MAX_PATTERNS
    assert b"9,400 more, of 44,184,700 failures" in page
    assert b"4,900 more failures of one node" in page
    assert len(page) <= 2_000_000
    assert len(report.patterns) == 10_000


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_beside(tmp_path):
    paths = write_report(tmp_path, build_report(rows()))
    before = [path.read_bytes() for path in paths]
    assert write_report(tmp_path, build_report(rows())) == paths
    assert [path.read_bytes() for path in paths] == before
    assert {path.name for path in tmp_path.iterdir()} == {f"{DAY}.html", f"{DAY}.json", "index.html"}


def test_the_list_of_days_links_to_each_page_the_latest_first(tmp_path):
    for day in ("2026-10-30", "2026-11-02"):
        (tmp_path / f"{day}.html").write_text("")
    (tmp_path / "2026-11-02.json").write_text("")
    write_report(tmp_path, build_report(rows()))
    page = Page((tmp_path / "index.html").read_bytes())
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == sorted(("2026-10-30.html", "2026-11-02.html", f"{DAY}.html"), reverse=True)


def test_the_twin_is_the_whole_report():
    report = hostile_report()
    assert Report.model_validate_json(render_json(report)) == report


def test_a_day_of_nothing_renders():
    page = Page(render_page(build_report(ReportRows(day=DAY, threshold=0.7, min_nodes=3))))
    assert "Nothing that was reported failed." in page.texts


def test_shares_keep_the_digits_that_matter():
    assert [share(value) for value in (0, 0.00004, 0.0042, 0.1234, 1.0)] == [
        "0 %",
        "< 0.1 %",
        "0.4 %",
        "12 %",
        "100 %",
    ]
    assert [short(value) for value in (0.0, 0.5, 12.345, 100.0)] == ["0", "0.5", "12.35", "100"]


@given(before=st.floats(0, 1), now=st.floats(0, 1))
def test_a_share_never_moves_from_a_number_to_the_same_number(before, now):
    told = delta(Headline(name="Failed calls", value=now, before=before, unit="share", more_is="bad"))["text"]
    if told != "as the day before":
        first, _, second = told.partition(" from ")[2].partition(" to ")
        assert first != (second or share(now))
        assert abs(now - before) >= 0.0005


def test_a_rise_within_a_percent_is_told_with_its_digits():
    headline = Headline(
        name="Failed calls", value=0.1331, before=0.1262, unit="share", more_is="bad", is_sure=True
    )
    assert delta(headline) == {"text": "▲ up from 12.6 % to 13.3 %", "mood": "bad"}
    assert delta(headline.model_copy(update={"before": 0.1329})) == {
        "text": "as the day before",
        "mood": "neutral",
    }


def test_a_number_that_moved_within_chance_has_no_colour():
    headline = Headline(name="Failed calls", value=0.1331, before=0.1262, unit="share", more_is="bad")
    assert delta(headline)["mood"] == "neutral"


def test_a_link_to_a_trace_is_one_of_the_web():
    def shown(link: str) -> list[str]:
        advice = advice_row(examples=[{"trace_id": "t1", "link": link}])
        given = rows(examples=[example_row()], playbooks=[playbook_row(advice=advice)])
        page = Page(render_page(build_report(given)))
        return [
            value for tag, name, value in page.attributes if (tag, name) == ("a", "href") and "t1" in value
        ]

    assert "https://trace.example/t1" in shown("https://trace.example/t1")
    assert shown("javascript:alert('t1')") == []


def test_only_pairs_of_backticks_are_code():
    assert ticks("Pace `complete` in <b>") == "Pace <code>complete</code> in &lt;b&gt;"
    assert ticks("one ` only") == "one ` only"
